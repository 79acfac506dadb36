//! A server that serves: it does what signals order until one of them ends it, and tells the service manager how it is.
//! `one` opens everything that it needs.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use super::manager::Manager;
use super::next::{Next, NotTaken};
use super::orders::{Order, Orders};
use super::reload::Readings;
use super::site::Web;
use super::upgrade::{Sockets, Successor};
use super::{exit, parent};
use crate::config::Config;
use crate::door::Outcome;
use crate::flood::UnderWay;
use crate::limits::{LAST_FLUSH, MANAGER_READY_AFTER, MANAGER_READY_LOOK, MANAGER_STATUS_REST};
use crate::logging::{self, Sink, count};
use crate::places::Places;
use crate::server::{Behind, Kept, Renewed, Server, Standing};
use crate::thread;
use crate::worker::Told as ToldOf;

/// A server with what it was opened from.
pub struct Service<'a> {
    pub served: Served,
    pub orders: &'a Orders,
    pub sink: &'a Sink,
    pub manager: &'a Manager,
    pub successor: &'a Successor,
}

/// What a server serves, which a reload replaces.
pub struct Served {
    config: Config,
    index: usize,
    web: Option<Web>,
    places: Arc<dyn Places>,
    readings: Readings,
}

/// What the service manager has been told, and when it is to hear more.
struct Told {
    begun: Instant,
    /// It has the sockets.
    are_kept: bool,
    is_ready: bool,
    status: String,
    status_at: Instant,
    pulse: Vec<UnderWay>,
    pulse_at: Instant,
}

/// How the serving ends.
enum End {
    Stop(Instant),
    /// By the next program, with these sockets and this herd.conf.
    Upgrade(Sockets, Vec<u8>),
}

/// An upgrade whose program is being checked.
struct Checking {
    /// Who asked for it.
    asker: Option<ToldOf>,
    /// It is to be checked again once a reload is over.
    waits: bool,
    check: Check,
}

/// The check itself, on a thread, as it may take minutes.
struct Check {
    thread: JoinHandle<()>,
    is_over: Arc<AtomicBool>,
}

/// Orders that nobody has acted on.
#[derive(Default)]
struct Waiting {
    is_stop: bool,
    is_reload: bool,
}

impl Served {
    pub fn new(config: Config, index: usize, web: Option<Web>, places: Arc<dyn Places>) -> Served {
        Served { config, index, web, places, readings: Readings::default() }
    }
}

impl Service<'_> {
    /// Serves until a signal ends it.
    pub fn run(mut self, mut server: Server) -> ExitCode {
        self.orders.take_on();
        self.announce(&server);
        let end = self.serve(&mut server);
        let (settings, name) = (&self.served.config.settings, self.name());
        let (ordered, next) = match end {
            End::Stop(at) => (at, None),
            End::Upgrade(sockets, text) => (Instant::now(), Some((sockets, text))),
        };
        let deadline = ordered + settings.stop_timeout;
        if next.is_some() {
            log::info!("{name} becomes {}", self.successor.program().display());
            self.manager.status("becomes the next program");
        } else {
            log::info!("{name} stops");
            self.manager.stopping(settings.stop_timeout);
        }
        let ending = server.stop(deadline);
        if !ending.is_flushed {
            log::warn!("stops though not everything was sent or written within stop_timeout_s");
        }
        let mut status = status_of(ending.kept);
        let flush = || {
            self.sink.flush(deadline.max(Instant::now() + LAST_FLUSH));
            self.sink.console().flush(Instant::now() + LAST_FLUSH);
        };
        flush();
        if next.is_some() {
            self.orders.leave();
        }
        let waiting = self.waiting();
        // Who is told to end meanwhile does not become another.
        if let Some((sockets, text)) = next.filter(|_| !waiting.is_stop) {
            let why = self.successor.exec(sockets, &text, waiting.is_reload);
            log::error!("{name} ends, as it cannot become the next program: {why}");
            status = exit::OS;
            flush();
        }
        ExitCode::from(status)
    }

    /// What was ordered that nobody has acted on.
    fn waiting(&self) -> Waiting {
        let mut waiting = Waiting::default();
        for order in std::iter::from_fn(|| self.orders.next(Some(Instant::now()))) {
            waiting.is_stop |= matches!(order, Order::Stop(_));
            waiting.is_reload |= matches!(order, Order::Reload(_));
        }
        waiting
    }

    fn name(&self) -> &str {
        &self.served.config.servers[self.served.index].name
    }

    /// Says where it listens, and has the service manager keep the sockets.
    fn announce(&self, server: &Server) {
        let name = self.name();
        log::info!("{name} {} listens on {}", env!("CARGO_PKG_VERSION"), server.addresses());
        let http = server.http_addresses();
        let http = http.map(|addresses| {
            let what = if self.served.web.as_ref().is_some_and(Web::is_sealed) { "HTTPS" } else { "HTTP" };
            format!("{name} serves {what} on {addresses}")
        });
        if let Some(line) = &http {
            log::info!("{line}");
        }
        // On disk before anybody counts on this server, should it die of what comes next.
        self.sink.flush(Instant::now() + LAST_FLUSH);
        let http = http.map_or(String::new(), |line| format!("{line}\n"));
        if let Err(why) = logging::announce(format!("{http}{name} listens on {}\n", server.addresses())) {
            log::warn!("cannot print where it listens: {why}");
        }
    }

    fn serve(&mut self, server: &mut Server) -> End {
        let mut told = Told::at(Instant::now());
        let mut checking: Option<Checking> = None;
        loop {
            let due = self.manager.is_there().then(|| self.tell(server, &mut told));
            match self.orders.next(due) {
                Some(Order::Reopen) => self.sink.reopen(),
                Some(Order::Reload(asker)) => {
                    self.manager.reloading();
                    self.read(asker);
                }
                Some(Order::Read(next)) => {
                    let outcome = self.take_up(*next, server);
                    if self.served.readings.end(&outcome) {
                        self.read(None);
                        continue;
                    }
                    if told.is_ready {
                        self.manager.ready(&told.status);
                    }
                    checking = match checking.take() {
                        Some(Checking { asker, waits: true, .. }) => self.check_next(server, asker),
                        other => other,
                    };
                }
                Some(Order::Upgrade(asker)) if checking.is_some() => {
                    log::info!("the next program is being checked already");
                    answer(
                        asker,
                        Outcome::Kept { status: exit::KEPT, why: "an upgrade is under way already".into() },
                    );
                }
                Some(Order::Upgrade(asker)) => checking = self.check_next(server, asker),
                Some(Order::Checked(checked)) => {
                    let Some(Checking { asker, check, .. }) = checking.take() else { continue };
                    match checked.and_then(|text| self.is_settled(&text, server)) {
                        // What is being taken up is to be checked, too.
                        Ok(None) if self.served.readings.are_under_way() => {
                            checking = Some(Checking { asker, waits: true, check });
                        }
                        Ok(None) => checking = self.check_next(server, asker),
                        Ok(Some((sockets, text))) => {
                            let program = self.successor.program().display().to_string();
                            answer(asker, Outcome::Done(format!("becomes {program}")));
                            return End::Upgrade(sockets, text);
                        }
                        Err(why) => self.keep_program(why, asker),
                    }
                }
                Some(Order::Stop(at)) => {
                    if let Some(Checking { check, .. }) = checking.take() {
                        // Whoever checks has the sockets.
                        check.is_over.store(true, Ordering::SeqCst);
                        thread::ends_by(&check.thread, at + LAST_FLUSH);
                    }
                    return End::Stop(at);
                }
                None if due.is_some_and(|due| Instant::now() >= due) => {}
                // Whoever gives orders is gone, as the process ends.
                None => return End::Stop(Instant::now()),
            }
        }
    }

    /// Has herd.conf read again.
    fn read(&mut self, asker: Option<ToldOf>) {
        let Served { config, index, places, readings, .. } = &mut self.served;
        readings.ask(asker, config, *index, places, self.orders.giving());
    }

    /// Takes up what was read, or keeps what there is.
    fn take_up(&mut self, read: Result<Next, NotTaken>, server: &mut Server) -> Outcome {
        match read.and_then(|next| self.renew(next, server)) {
            Ok(news) => {
                let news = if news.is_empty() {
                    "nothing is new in herd.conf; the files that it names are read again".to_owned()
                } else {
                    news.join("; ")
                };
                log::info!("reloaded: {news}");
                Outcome::Done(news)
            }
            Err(NotTaken { status, why }) => {
                log::error!("not reloaded, keeping what there is: {why}");
                Outcome::Kept { status, why }
            }
        }
    }

    fn renew(&mut self, next: Next, server: &mut Server) -> Result<Vec<String>, NotTaken> {
        let Next { config, index, keys, places, web, news } = next;
        let served = &mut self.served;
        let (before, mut now) = (served.web.as_ref(), None);
        let site = Box::new(|| {
            // There is a door for HTTP in both or in neither.
            now = web.zip(before).map(|(web, before)| web.follow(before));
            now.as_ref().map(|web| web.site.clone())
        });
        let renewed = Renewed { keys, places: places.clone(), site };
        server
            .renew(&config, index, renewed)
            .map_err(|why| NotTaken { status: exit::OS, why: why.to_string() })?;
        let web = now;
        log::info!("read the secrets again");
        if let Some(places) = places {
            places.about().iter().for_each(|line| log::info!("places, read again: {line}"));
            served.places = places;
        }
        logging::set_level(config.log_level, self.sink);
        self.orders.set_stop_timeout(config.settings.stop_timeout);
        (served.config, served.index, served.web) = (config, index, web);
        Ok(news)
    }

    /// The sockets and the herd.conf to go on with, which was checked; None where it is another one by now, so that a
    /// reload in between would be undone.
    fn is_settled(&self, text: &[u8], server: &Server) -> Result<Option<(Sockets, Vec<u8>)>, NotTaken> {
        let now = parent::text_for_next(&self.served.config).map_err(NotTaken::broken)?;
        if self.served.readings.are_under_way() || now != text {
            return Ok(None);
        }
        Ok(Some((self.sockets(server)?, now)))
    }

    /// Has the next program look at herd.conf, for somebody who asked; None if it cannot.
    fn check_next(&self, server: &Server, asker: Option<ToldOf>) -> Option<Checking> {
        match self.sockets(server).and_then(|sockets| self.start_check(sockets)) {
            Ok(check) => Some(Checking { asker, waits: false, check }),
            Err(why) => {
                self.keep_program(why, asker);
                None
            }
        }
    }

    fn start_check(&self, sockets: Sockets) -> Result<Check, NotTaken> {
        let (successor, config, index) =
            (self.successor.clone(), self.served.config.clone(), self.served.index);
        let giving = self.orders.giving();
        let is_over = Arc::new(AtomicBool::new(false));
        let ends = is_over.clone();
        // It ends with its child, which is not waited for longer than a bound.
        let started = thread::spawn("upgrade", move || {
            let checked = successor.check(sockets, &config, &config.servers[index], &ends);
            if !ends.load(Ordering::SeqCst) {
                // Nobody takes it when the server stops meanwhile.
                let _ = giving.send(Order::Checked(checked));
            }
        });
        let thread = started
            .map_err(|why| NotTaken::kept(format!("cannot have the next program check herd.conf: {why}")))?;
        Ok(Check { thread, is_over })
    }

    fn keep_program(&self, NotTaken { status, why }: NotTaken, asker: Option<ToldOf>) {
        log::error!("not upgraded: {why}");
        answer(asker, Outcome::Kept { status, why });
        if let Err(why) = logging::announce(format!("{}{}\n", self.name(), parent::KEPT)) {
            log::warn!("cannot print that it is not upgraded: {why}");
        }
    }

    /// The sockets to hand on, if what was learned can be handed on, too.
    fn sockets(&self, server: &Server) -> Result<Sockets, NotTaken> {
        if server.is_degraded() {
            let why = "its journal cannot be written, so that what it learned would be lost";
            return Err(NotTaken::kept(why.into()));
        }
        let sockets = server.sockets();
        let sockets =
            sockets.map_err(|why| NotTaken::kept(format!("cannot hand on where it listens: {why}")))?;
        Ok(sockets.into_iter().map(|(kind, socket)| (kind.name(), socket)).collect())
    }

    /// Tells the service manager what is due, and returns when the next is.
    fn tell(&self, server: &Server, told: &mut Told) -> Instant {
        let (now, watch_rest) = (Instant::now(), self.manager.watch_rest());
        if !told.are_kept {
            told.are_kept =
                server.listeners().all(|(kind, listener)| self.manager.keep(kind.name(), listener));
        }
        if !told.is_ready {
            let (standing, waited) = (server.standing(), now.duration_since(told.begun));
            if standing.behind.is_empty() || waited >= MANAGER_READY_AFTER {
                told.status = words(&standing);
                told.is_ready = self.manager.ready(&told.status);
                told.status_at = now + MANAGER_STATUS_REST;
            }
        } else if now >= watch_rest.map_or(told.status_at, |_| told.pulse_at) {
            told.status_at = now + MANAGER_STATUS_REST;
            let status = words(&server.standing());
            if status != told.status {
                self.manager.status(&status);
                told.status = status;
            }
        }
        if let Some(rest) = watch_rest.filter(|_| now >= told.pulse_at) {
            if server.beats(&mut told.pulse) {
                self.manager.live();
            }
            told.pulse_at = now + rest;
        }
        match watch_rest {
            _ if !told.is_ready => now + MANAGER_READY_LOOK,
            // With the next sign of life, so that a server with nothing to do wakes for both at once.
            Some(_) => told.pulse_at,
            None => told.status_at,
        }
    }
}

fn answer(asker: Option<ToldOf>, outcome: Outcome) {
    if let Some(asker) = asker {
        asker(outcome);
    }
}

impl Told {
    fn at(now: Instant) -> Told {
        let (status, pulse) = (String::new(), Vec::new());
        Told { begun: now, are_kept: false, is_ready: false, status, status_at: now, pulse, pulse_at: now }
    }
}

/// How a server is, for the service manager's one line.
fn words(standing: &Standing) -> String {
    let Standing { clients, caught_up, behind } = standing;
    let mut words = format!("serving {}", count(*clients as u64, "client"));
    let neighbours = caught_up + behind.len();
    if neighbours > 0 {
        words += &format!("; {caught_up} of {} caught up", count(neighbours as u64, "neighbour"));
    }
    for (name, why) in behind {
        words += &match why {
            Behind::NotReached => format!(", {name} not reached"),
            Behind::Sending => format!(", {name} still sending"),
        };
    }
    words
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
