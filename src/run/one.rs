//! One server: opened, announced, served until a signal ends it, and stopped. `main` calls it when a server is named;
//! `family` starts a process of it for each.

use std::fmt::Display;
use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use super::inherit::Inherited;
use super::manager::Manager;
use super::orders::{Order, Orders};
use super::places::open_places;
use super::say::fail;
use super::service::{Served, Service};
use super::site::NextWeb;
use super::upgrade::Successor;
use super::{engine, exit, parent, secrets, site};
use crate::config::Config;
use crate::door::{self, DoorKind};
use crate::limits::{LAST_FLUSH, PROGRESS_REST};
use crate::logging::{self, Console, SAID_ALREADY, Sink};
use crate::net::socket::Spare;
use crate::server::{Opened, Server};
use crate::worker::Control;
use crossbeam_channel::Sender;

/// Runs one server until a signal ends it.
pub fn run(config: &Config, index: usize, inherited: Inherited) -> ExitCode {
    if !parent::lives() {
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
    let Inherited { sockets: mut spare, troubles, is_reload_due, .. } = inherited;
    let (orders, console) = match heard {
        Ok(heard) => heard,
        Err(why) => return fail(exit::OS, format!("cannot catch signals: {why}")),
    };
    if is_reload_due {
        // There is room for it: nobody has ordered anything yet.
        let _ = orders.giving().try_send(Order::Reload(None));
    }
    // Before the places, so that what is wrong with a file of them is logged.
    let (path, level) = (config.log_path(own), config.log_level);
    let sink = match logging::start(&own.name, &path, level, config.log_bounds, console) {
        Ok(sink) => sink,
        Err(why) => return fail(exit::OS, why),
    };
    let manager = Arc::new(Manager::of_environment().unwrap_or_else(|why| {
        log::warn!("the service manager is not told how this server is: {why}");
        Manager::default()
    }));
    let places = match manager.working("reads its places", || open_places(config, true)) {
        Ok(places) => places,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    let keys = match secrets::of_server(config, index) {
        Ok(keys) => keys,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    let engine = match engine::of_server(config, own) {
        Ok(engine) => engine,
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    let web = match NextWeb::of_server(config, own, Some(places.clone())) {
        Ok(web) => web.map(NextWeb::begin),
        Err(why) => return fail_logged(exit::CONFIG, why, &sink, config),
    };
    places.about().iter().for_each(|line| log::info!("places: {line}"));
    troubles.iter().for_each(|trouble| log::warn!("{trouble}; listening anew"));
    manager.extend("reads its journal");
    let opened = Opened {
        places: places.clone(),
        keys,
        engine,
        site: web.as_ref().map(|web| web.site.clone()),
        control: control(orders.giving()),
        progress: progress(manager.clone()),
    };
    let started = Successor::of_this().and_then(|successor| {
        let listeners = site::listen(own, web.as_ref(), &mut spare)?;
        settle(spare, &manager);
        Ok((Server::start(config, index, listeners, opened, sink.clone())?, successor))
    });
    match started {
        Ok((server, successor)) => {
            let (orders, manager, sink, successor) = (&orders, &*manager, &*sink, &successor);
            let served = Served::new(config.clone(), index, web, places);
            Service { served, orders, sink, manager, successor }.run(server)
        }
        Err(why) => {
            // The folder of its journal is another version's.
            let is_later = why.kind() == io::ErrorKind::InvalidData;
            let status = if is_later { exit::CONFIG } else { exit::OS };
            fail_logged(status, format!("{}: {why}", own.name), &sink, config)
        }
    }
}

/// Passes on what is ordered by lines.
fn control(giving: Sender<Order>) -> Control {
    Box::new(move |order, told| {
        let order = match order {
            door::Order::Reload => Order::Reload(Some(told)),
            door::Order::Upgrade => Order::Upgrade(Some(told)),
        };
        giving.try_send(order).is_ok()
    })
}

/// Closes the sockets that herd.conf has no use for any more, here and where the service manager keeps them.
fn settle(spare: Spare, manager: &Manager) {
    let addresses = spare.addresses();
    if addresses.is_empty() {
        return;
    }
    for address in addresses {
        log::info!("closes {address}, on which herd.conf has it listen no more");
    }
    // By name, so that those in use are closed there, too, until they are kept again.
    DoorKind::ALL.iter().for_each(|kind| manager.close(kind.name()));
}

/// Passes on to the service manager, now and then, how far the journal is read.
fn progress(manager: Arc<Manager>) -> Box<dyn FnMut(u64) + Send> {
    let mut told = Instant::now();
    Box::new(move |lines| {
        if told.elapsed() >= PROGRESS_REST {
            told = Instant::now();
            manager.extend(&format!("reads its journal: {lines} lines so far"));
        }
    })
}

/// Says on stderr and in the log why a server does not start.
fn fail_logged(status: u8, why: impl Display, sink: &Sink, config: &Config) -> ExitCode {
    log::error!(target: SAID_ALREADY, "{why}");
    sink.console().say(&format!("herd: {why}"));
    sink.flush(Instant::now() + config.settings.stop_timeout);
    sink.console().flush(Instant::now() + LAST_FLUSH);
    ExitCode::from(status)
}
