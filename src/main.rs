//! `herd` starts the whole herd, `herd NAME` one server: arguments, config, logger, start, stop.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, UNIX_EPOCH};

use signal_hook::consts::{SIGHUP, SIGUSR1};
use signal_hook::iterator::Signals;

use herd::args::{Args, Early};
use herd::config::{self, Config, ConfigError, DEFAULT_PATHS};
use herd::limits::MAX_LINE;
use herd::logging::{self, SAID_ALREADY, Sink};
use herd::places::{self, Places};
use herd::run::secrets;
use herd::server::{self, Agreement, Keeping, Server};
use herd::{check, exit, explain, family};

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args_os()) {
        Ok(args) => args,
        Err(Early::Help(text)) => return say(text.trim_end()),
        Err(Early::Usage(text)) => return fail(exit::USAGE, text),
    };
    if args.version {
        return say(concat!("herd ", env!("CARGO_PKG_VERSION")));
    }
    let Some(wait_s) = args.wait.as_deref().map_or(Some(0), config::duration_s) else {
        return fail(exit::USAGE, "--wait must be like 10s or 5m");
    };
    if let Some(line) = &args.explain {
        return explain(line, args.config.as_deref());
    }
    let wants_help = args.may_want_help();
    let path = args.config.unwrap_or_else(default_path);
    let config = match family::handed_on() {
        None => Config::load(&path),
        Some(Ok(text)) => Config::of_bytes(&path, text),
        Some(Err(why)) => return fail(exit::OS, format!("cannot read what the parent hands on: {why}")),
    };
    let config = match config {
        Ok(config) => config,
        Err(_) if wants_help => return say(Args::help().trim_end()),
        Err(_) if !path.exists() && path == Path::new(DEFAULT_PATHS[0]) => {
            return fail(exit::CONFIG, ConfigError::nowhere());
        }
        Err(why) => return fail(exit::CONFIG, why),
    };
    let index = args.name.as_ref().map(|name| config.find(name).ok_or(name)).transpose();
    match index {
        Err(_) if wants_help => say(Args::help().trim_end()),
        Err(name) => {
            let (path, names) = (path.display(), config.names());
            fail(exit::USAGE, format!("no server {name:?} in {path}; there are {names}"))
        }
        Ok(_) if args.agree => agree(&config, Duration::from_secs(wait_s)),
        Ok(index) if args.check => check(&config, index),
        Ok(Some(index)) => run_one(&config, index),
        Ok(None) => family::run(&config),
    }
}

/// What a server makes of a line; one of a herd.conf, if that is named, as it may have other bounds.
fn explain(text: &str, config: Option<&Path>) -> ExitCode {
    let settings = match config.map(Config::load).transpose() {
        Ok(config) => config.map(|config| config.settings),
        Err(why) => return fail(exit::CONFIG, why),
    };
    let max_line = settings.as_ref().map_or(MAX_LINE.default as usize, |settings| settings.max_line);
    let max_ahead_ns = settings.and_then(|settings| settings.max_ahead_ns);
    let now_ns = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos() as u64);
    let text = text.strip_suffix('\n').unwrap_or(text);
    match explain::explain(text.as_bytes(), max_line, max_ahead_ns, now_ns) {
        Ok(meaning) => say(meaning),
        Err(rule) => fail(exit::INVALID, format!("refused: {}", rule.words())),
    }
}

/// All that can be wrong with herd.conf, the files it names and this machine, without starting anything.
fn check(config: &Config, index: Option<usize>) -> ExitCode {
    logging::warn_on_stderr();
    // Of a herd on several machines each has the secrets of its own servers only.
    let here = index.map_or(0..config.servers.len(), |index| index..index + 1);
    let opened = here.into_iter().try_for_each(|index| secrets::of_server(config, index).map(|_| ()));
    if let Err(why) = opened.and_then(|()| open_places(config).map(|_| ())) {
        return fail(exit::CONFIG, why);
    }
    let found = check::machine(config, index);
    if !found.problems.is_empty() {
        return fail(exit::OS, found.problems.join("\nherd: "));
    }
    let notes: String = found.notes.iter().map(|note| format!("\n{note}")).collect();
    say(format!("{}{notes}", config.to_string().trim_end()))
}

/// Whether all servers know the same.
fn agree(config: &Config, wait: Duration) -> ExitCode {
    let keys = match secrets::for_asking(config) {
        Ok(keys) => keys,
        Err(why) => return fail(exit::CONFIG, why),
    };
    let found = Agreement::find(config, &keys, wait);
    let _ = say(found.to_string().trim_end());
    ExitCode::from(if found.is_whole() { exit::OK } else { exit::DISAGREE })
}

/// The provider of places that herd.conf names.
fn open_places(config: &Config) -> Result<Arc<dyn Places>, ConfigError> {
    places::open(&config.places).map_err(|why| config.error(config.places_line, why))
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
    let signals = match Signals::new(exit::signals()) {
        Ok(signals) => signals,
        Err(why) => return fail(exit::OS, format!("cannot catch signals: {why}")),
    };
    // Before the places, so that what is wrong with a file of them is logged.
    let sink = match logging::start(&own.name, &config.log_path(own), config.log_level) {
        Ok(sink) => sink,
        Err(why) => return fail(exit::OS, why),
    };
    let places = match open_places(config) {
        Ok(places) => places,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    let keys = match secrets::of_server(config, index) {
        Ok(keys) => keys,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    let started = server::listen(&own.listen)
        .and_then(|listeners| Server::start(config, index, listeners, places, keys, sink.clone()));
    match started {
        Ok(server) => serve(index, server, signals, &sink, config),
        Err(why) => fail_logged(exit::OS, format!("{}: {why}", own.name), &sink, config),
    }
}

fn serve(index: usize, server: Server, mut signals: Signals, sink: &Sink, config: &Config) -> ExitCode {
    let name = &config.servers[index].name;
    log::info!("{name} {} listens on {}", env!("CARGO_PKG_VERSION"), server.addresses());
    // On disk before anybody counts on this server, should it die of what comes next.
    sink.flush(Instant::now() + LAST_FLUSH);
    if let Err(why) = logging::announce(format!("{name} listens on {}\n", server.addresses())) {
        log::warn!("cannot print where it listens: {why}");
    }
    for signal in signals.forever() {
        match signal {
            SIGUSR1 => sink.reopen(),
            SIGHUP => reload(index, &server, config),
            _ => break,
        }
    }
    let deadline = Instant::now() + config.settings.stop_timeout;
    log::info!("{name} stops");
    let ending = server.stop();
    if !ending.is_flushed {
        log::warn!("gave up what was not flushed within stop_timeout_s");
    }
    let status = status_of(ending.keeping);
    sink.flush(deadline.max(Instant::now() + LAST_FLUSH));
    sink.console().flush(Instant::now() + LAST_FLUSH);
    ExitCode::from(status)
}

/// Says what a server takes with it, and the exit status for that.
fn status_of(keeping: Keeping) -> u8 {
    match keeping {
        Keeping::Kept => return exit::OK,
        Keeping::NotSynced => {
            log::error!(
                "ends before its journal is on the disk, which does not answer; a loss of power now would cost the last reports"
            );
        }
        Keeping::NotWritten { acknowledged: true } => {
            log::error!(
                "ends while its journal cannot be written: what it acknowledged since then is lost, but for what reached a neighbour"
            );
        }
        Keeping::NotWritten { acknowledged: false } => {
            log::error!("ends while its journal cannot be written; it acknowledged nothing since then");
        }
    }
    exit::NOT_KEPT
}

/// Reads the secrets anew; with the old ones when that fails.
fn reload(index: usize, server: &Server, config: &Config) {
    match secrets::of_server(config, index) {
        Ok(keys) => {
            server.rekey(keys);
            log::info!(
                "read the secrets anew; all else in herd.conf is read at the start only: restart for it"
            );
        }
        Err(why) => log::error!("keeping the secrets there were: {why}"),
    }
}

/// What a flush of the log may take when there is no other time for it, and one of stderr, which may be stuck.
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

/// The same for a server whose log is open, and which signals do not end.
fn fail_logged(status: u8, why: impl Display, sink: &Sink, config: &Config) -> ExitCode {
    log::error!(target: SAID_ALREADY, "{why}");
    sink.console().say(&format!("herd: {why}"));
    sink.flush(Instant::now() + config.settings.stop_timeout);
    sink.console().flush(Instant::now() + LAST_FLUSH);
    ExitCode::from(status)
}

fn fail(status: u8, why: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "herd: {why}");
    ExitCode::from(status)
}
