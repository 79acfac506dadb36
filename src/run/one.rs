//! One server: opened, announced, served until a signal ends it, and stopped. `main` calls it when a server is named;
//! `family` starts a process of it for each.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::orders::{Order, Orders};
use super::say::fail;
use super::site::Web;
use super::{exit, family, secrets, site};
use crate::config::{Config, ConfigError};
use crate::limits::LAST_FLUSH;
use crate::logging::{self, Console, SAID_ALREADY, Sink};
use crate::places::{self, Places};
use crate::server::{Kept, Opened, Server};
use crate::thread;

/// Runs one server until a signal ends it.
pub fn run(config: &Config, index: usize) -> ExitCode {
    if !family::parent_lives() {
        return ExitCode::from(exit::OS);
    }
    let own = &config.servers[index];
    if own.plain {
        let why = format!(
            "{} is plain = true, which is for a server that is not herd; start that one instead",
            own.name
        );
        return fail(exit::USAGE, why);
    }
    // Caught from here on, so that none is missed before the server runs.
    let heard = Console::start().and_then(|console| {
        Ok((Orders::hear(&own.name, config.settings.stop_timeout, console.clone())?, console))
    });
    let (orders, console) = match heard {
        Ok(heard) => heard,
        Err(why) => return fail(exit::OS, format!("cannot catch signals: {why}")),
    };
    // Before the places, so that what is wrong with a file of them is logged.
    let (path, level) = (config.log_path(own), config.log_level);
    let sink = match logging::start(&own.name, &path, level, config.log_bounds, console) {
        Ok(sink) => sink,
        Err(why) => return fail(exit::OS, why),
    };
    let places = match open_places(config, true) {
        Ok(places) => places,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    let keys = match secrets::of_server(config, index) {
        Ok(keys) => keys,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    let web = match Web::of_server(config, own, Some(places.clone())) {
        Ok(web) => web,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    places.about().iter().for_each(|line| log::info!("places: {line}"));
    let opened = Opened { places: places.clone(), keys, site: web.as_ref().map(|web| web.site.clone()) };
    let started = site::listen(own, web.as_ref())
        .and_then(|listeners| Server::start(config, index, listeners, opened, sink.clone()));
    match started {
        Ok(server) => {
            let rereader = Rereader::of(places);
            serve(index, server, web.as_ref(), &rereader, &orders, &sink, config)
        }
        Err(why) => {
            // The folder of its journal is another version's.
            let is_later = why.kind() == io::ErrorKind::InvalidData;
            let status = if is_later { exit::CONFIG } else { exit::OS };
            fail_logged(status, format!("{}: {why}", own.name), &sink, config)
        }
    }
}

fn serve(
    index: usize,
    server: Server,
    web: Option<&Web>,
    places: &Rereader,
    orders: &Orders,
    sink: &Sink,
    config: &Config,
) -> ExitCode {
    orders.take_on();
    let name = &config.servers[index].name;
    log::info!("{name} {} listens on {}", env!("CARGO_PKG_VERSION"), server.addresses());
    let http = server.http_addresses();
    let http = http.map(|addresses| {
        let what = if web.is_some_and(Web::is_sealed) { "HTTPS" } else { "HTTP" };
        format!("{name} serves {what} on {addresses}")
    });
    if let Some(line) = &http {
        log::info!("{line}");
    }
    // On disk before anybody counts on this server, should it die of what comes next.
    sink.flush(Instant::now() + LAST_FLUSH);
    let http = http.map_or(String::new(), |line| format!("{line}\n"));
    if let Err(why) = logging::announce(format!("{http}{name} listens on {}\n", server.addresses())) {
        log::warn!("cannot print where it listens: {why}");
    }
    let ordered = loop {
        match orders.next() {
            Order::Reopen => sink.reopen(),
            Order::Reread => {
                reload(index, &server, config);
                if let Some(web) = web {
                    web.reread(config);
                }
                places.reread();
            }
            Order::Stop(at) => break at,
        }
    };
    let deadline = ordered + config.settings.stop_timeout;
    log::info!("{name} stops");
    let ending = server.stop(deadline);
    if !ending.is_flushed {
        log::warn!("stops though not everything was sent or written within stop_timeout_s");
    }
    let status = status_of(ending.kept);
    sink.flush(deadline.max(Instant::now() + LAST_FLUSH));
    sink.console().flush(Instant::now() + LAST_FLUSH);
    ExitCode::from(status)
}

/// Says what a server takes with it, and the exit status for that.
fn status_of(keeping: Kept) -> u8 {
    match keeping {
        Kept::Whole => return exit::OK,
        Kept::NotSynced => {
            log::error!(
                "stops before its journal is on the disk, because the disk does not answer; if power fails now, the last reports are lost"
            );
        }
        Kept::NotWritten { acknowledged: true } => {
            log::error!(
                "stops while its journal cannot be written: reports acknowledged since then are lost unless a neighbour has them"
            );
        }
        Kept::NotWritten { acknowledged: false } => {
            log::error!("stops while its journal cannot be written; it acknowledged no report since then");
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
                "read the secrets again; herd.conf itself is read at the start only, so restart for changes of it"
            );
        }
        Err(why) => log::error!("keeping the old secrets: {why}"),
    }
}

/// Reads the user's places anew, on a thread, as that may take minutes.
struct Rereader {
    places: Arc<dyn Places>,
    /// It is to be done, and it is being done.
    state: Arc<Mutex<(bool, bool)>>,
}

impl Rereader {
    fn of(places: Arc<dyn Places>) -> Rereader {
        Rereader { places, state: Arc::default() }
    }

    /// Has them read once more, now or after the reading that is under way.
    fn reread(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.0 = true;
        if state.1 {
            return;
        }
        let (places, shared) = (self.places.clone(), self.state.clone());
        let started = thread::spawn("places-reader", move || {
            loop {
                let mut state = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if !std::mem::take(&mut state.0) {
                    state.1 = false;
                    return;
                }
                drop(state);
                match places.reload() {
                    None => {}
                    Some(Ok(about)) => about.iter().for_each(|line| log::info!("places, read again: {line}")),
                    Some(Err(why)) => log::error!("keeping the old places: {why}"),
                }
            }
        });
        match started {
            Ok(_) => state.1 = true,
            Err(why) => log::error!("keeping the old places: {why}"),
        }
    }
}

/// Opens the provider of places that herd.conf names.
///
/// # Errors
/// Its key or its file is missing or of no use.
pub fn open_places(config: &Config, is_cache_kept: bool) -> Result<Arc<dyn Places>, ConfigError> {
    let settings = places::Settings { is_cache_kept, ..config.places.clone() };
    places::open(&settings).map_err(|why| config.error(config.places_line, why))
}

/// Says on stderr and in the log why a server does not start.
fn fail_logged(status: u8, why: impl Display, sink: &Sink, config: &Config) -> ExitCode {
    log::error!(target: SAID_ALREADY, "{why}");
    sink.console().say(&format!("herd: {why}"));
    sink.flush(Instant::now() + config.settings.stop_timeout);
    sink.console().flush(Instant::now() + LAST_FLUSH);
    ExitCode::from(status)
}
