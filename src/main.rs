//! `herd` starts the whole herd, `herd NAME` one server: arguments, config, logger, start, stop.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use herd::args::{Args, Early};
use herd::config::{Config, ConfigError, DEFAULT_PATHS};
use herd::link::KeyRing;
use herd::logging::{self, SAID_ALREADY, Sink};
use herd::server::{self, Server};
use herd::{exit, family};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(Early::Help(text)) => return say(text.trim_end()),
        Err(Early::Usage(text)) => return fail(exit::USAGE, text),
    };
    if args.version {
        return say(concat!("herd ", env!("CARGO_PKG_VERSION")));
    }
    let path = args.config.unwrap_or_else(default_path);
    let config = match Config::load(&path) {
        Ok(config) => config,
        Err(_) if !path.exists() && path == Path::new(DEFAULT_PATHS[0]) => {
            return fail(exit::CONFIG, ConfigError::nowhere());
        }
        Err(why) => return fail(exit::CONFIG, why),
    };
    let index = args.name.as_ref().map(|name| config.find(name).ok_or(name)).transpose();
    match index {
        Err(name) => {
            let (path, names) = (path.display(), config.names());
            fail(exit::USAGE, format!("no server {name:?} in {path}; there are {names}"))
        }
        Ok(_) if args.check => check(&config),
        Ok(Some(index)) => run_one(&config, index),
        Ok(None) => family::run(&config),
    }
}

/// All that can be wrong with herd.conf and the files it names, without starting anything.
fn check(config: &Config) -> ExitCode {
    logging::warn_on_stderr();
    match config.open_places() {
        Ok(_) => say(config.to_string().trim_end()),
        Err(why) => fail(exit::CONFIG, why),
    }
}

/// Runs one server until a signal ends it.
fn run_one(config: &Config, index: usize) -> ExitCode {
    if !family::parent_lives() {
        return ExitCode::from(exit::OS);
    }
    let own = &config.servers[index];
    if own.plain {
        let why = format!("{} is plain = true, a server of another make; start that one instead", own.name);
        return fail(exit::USAGE, why);
    }
    // Caught from here on, so that none is missed before the server runs.
    let signals = match Signals::new([SIGINT, SIGTERM, SIGUSR1]) {
        Ok(signals) => signals,
        Err(why) => return fail(exit::OS, format!("cannot catch signals: {why}")),
    };
    // Before the places, so that what is wrong with a file of them is logged.
    let sink = match logging::start(&config.log_path(own), config.log_level) {
        Ok(sink) => sink,
        Err(why) => return fail(exit::OS, why),
    };
    let places = match config.open_places() {
        Ok(places) => places,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    let started = server::listen(&own.listen).and_then(|listener| {
        Server::start(config, index, listener, places, KeyRing::default(), sink.clone())
    });
    match started {
        Ok(server) => serve(&own.name, server, signals, &sink, config),
        Err(why) => fail_logged(exit::OS, format!("{}: {why}", own.name), &sink, config),
    }
}

fn serve(name: &str, server: Server, mut signals: Signals, sink: &Sink, config: &Config) -> ExitCode {
    log::info!("{name} {} listens on {}", env!("CARGO_PKG_VERSION"), server.address());
    // On disk before anybody counts on this server, should it die of what comes next.
    sink.flush(Instant::now() + LAST_FLUSH);
    let _ = say(format!("{name} listens on {}", server.address()));
    for signal in signals.forever() {
        if signal != SIGUSR1 {
            break;
        }
        sink.reopen();
    }
    let deadline = Instant::now() + config.settings.stop_timeout;
    log::info!("{name} stops");
    if !server.stop() {
        log::warn!("{name} gave up what was not flushed within stop_timeout_s");
    }
    sink.flush(deadline.max(Instant::now() + LAST_FLUSH));
    ExitCode::from(exit::OK)
}

/// What a flush of the log may take when there is no other time for it.
const LAST_FLUSH: Duration = Duration::from_millis(200);

fn default_path() -> PathBuf {
    let found = DEFAULT_PATHS.iter().map(Path::new).find(|path| path.exists());
    found.unwrap_or(Path::new(DEFAULT_PATHS[0])).to_owned()
}

/// Prints to stdout; that nobody reads it is no reason to fail.
fn say(text: impl Display) -> ExitCode {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    ExitCode::from(exit::OK)
}

/// The same for a server whose log is open.
fn fail_logged(status: u8, why: impl Display, sink: &Sink, config: &Config) -> ExitCode {
    log::error!(target: SAID_ALREADY, "{why}");
    sink.flush(Instant::now() + config.settings.stop_timeout);
    fail(status, why)
}

fn fail(status: u8, why: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "herd: {why}");
    ExitCode::from(status)
}
