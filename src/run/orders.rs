//! What signals order one server to do, heard from its start to its end: a stop ends the process in time even while
//! its main thread hangs in a name that nobody resolves, a disk that does not answer, or a log. `one` makes it.

use std::io;
use std::process::exit as end;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGUSR1, SIGUSR2};

use super::next::{Next, NotTaken};
use super::signals::Caught;
use super::{exit, signals};
use crate::limits::{LAST_FLUSH, LAST_SIGNAL, ORDERS_MAX, STOP_GRACE};
use crate::logging::Console;
use crate::thread;
use crate::worker::Told;

/// One signal's meaning.
pub enum Order {
    /// Open the log anew.
    Reopen,
    /// Read herd.conf anew, and what it names.
    Reload(Option<Told>),
    /// That is read.
    Read(Box<Result<Next, NotTaken>>),
    /// Become the program that has taken the place of our own, if it has no objection.
    Upgrade(Option<Told>),
    /// What that program said: which herd.conf it takes, or its objection.
    Checked(Result<Vec<u8>, NotTaken>),
    /// End, as was ordered at this moment.
    Stop(Instant),
}

/// Where a server's orders come from.
pub struct Orders {
    given: Receiver<Order>,
    giving: Sender<Order>,
    /// Somebody has taken it on to end the process in good order: the server once it serves, or else the thread.
    taken_on: Arc<AtomicBool>,
    stop_timeout_ms: Arc<AtomicU64>,
    /// What comes from here on is the next program's.
    is_leaving: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

/// The thread's own.
struct Hearing {
    name: String,
    stop_timeout_ms: Arc<AtomicU64>,
    console: Arc<Console>,
    orders: Sender<Order>,
    taken_on: Arc<AtomicBool>,
    is_leaving: Arc<AtomicBool>,
}

impl Orders {
    /// Hears signals from here on, in a thread that lives as long as the process.
    ///
    /// # Errors
    /// The system refuses it.
    pub fn hear(name: &str, stop_timeout: Duration, console: Arc<Console>) -> io::Result<Orders> {
        let caught = signals::caught()?;
        let (orders, given) = bounded(ORDERS_MAX); // full: the same orders wait in it, so that further ones say nothing new
        let taken_on = Arc::new(AtomicBool::new(false));
        let (name, giving) = (name.to_owned(), orders.clone());
        let stop_timeout_ms = Arc::new(AtomicU64::new(in_ms(stop_timeout)));
        let (of_hearing, until) = (taken_on.clone(), stop_timeout_ms.clone());
        let is_leaving = Arc::new(AtomicBool::new(false));
        let leaves = is_leaving.clone();
        let hearing = Hearing {
            name,
            stop_timeout_ms: until,
            console,
            orders,
            taken_on: of_hearing,
            is_leaving: leaves,
        };
        // It outlasts everything that may hang.
        let thread = thread::spawn("signals", move || hearing.run(&caught))?;
        Ok(Orders { given, giving, taken_on, stop_timeout_ms, is_leaving, thread })
    }

    /// Before this process becomes another program: what comes from here on waits for that. What came before is in
    /// `next`.
    pub fn leave(&self) {
        self.is_leaving.store(true, Ordering::SeqCst);
        // It ends at the next signal. The next program opens its log anyway.
        signals::give_back(SIGUSR1);
        // One that has heard a stop does not end, but has said so.
        thread::ends_by(&self.thread, Instant::now() + LAST_SIGNAL);
    }

    /// A stop may take so long from now on.
    pub fn set_stop_timeout(&self, timeout: Duration) {
        self.stop_timeout_ms.store(in_ms(timeout), Ordering::Relaxed);
    }

    /// The server serves, and does itself what is ordered. Does not return when it was told to stop before.
    pub fn take_on(&self) {
        while self.taken_on.swap(true, Ordering::SeqCst) {
            // The thread is about to end the process.
            std::thread::park();
        }
    }

    /// For whoever has something to order besides the signals.
    pub fn giving(&self) -> Sender<Order> {
        self.giving.clone()
    }

    /// Waits for the next order, until `due` if that is a moment: None when it has come.
    pub fn next(&self, due: Option<Instant>) -> Option<Order> {
        match due {
            Some(due) => self.given.recv_deadline(due).ok(),
            None => self.given.recv().ok(),
        }
    }
}

fn in_ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl Hearing {
    fn run(self, caught: &Caught) {
        while let Ok(signal) = caught.next() {
            if self.is_leaving.load(Ordering::SeqCst) {
                return if signal != SIGUSR1 {
                    signals::give_back(signal)
                };
            }
            match signal {
                SIGUSR1 => drop(self.orders.try_send(Order::Reopen)),
                SIGHUP => drop(self.orders.try_send(Order::Reload(None))),
                SIGUSR2 => drop(self.orders.try_send(Order::Upgrade(None))),
                _ => return self.stop(Instant::now()),
            }
        }
    }

    #[expect(clippy::disallowed_methods, reason = "main hangs, so that it returns no status")]
    fn stop(&self, now: Instant) {
        let Hearing { name, console, .. } = self;
        if !self.taken_on.swap(true, Ordering::SeqCst) {
            // It has promised nothing to anybody yet.
            log::info!("{name} stops before it has started");
            log::logger().flush();
            console.say(&format!("herd: {name} stops before it has started"));
            console.flush(Instant::now() + LAST_FLUSH);
            end(exit::OK.into());
        }
        let timeout = Duration::from_millis(self.stop_timeout_ms.load(Ordering::Relaxed));
        let deadline = now + timeout + STOP_GRACE;
        let _ = self.orders.send_deadline(Order::Stop(now), deadline);
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        let why = "it does not end within stop_timeout_s, and is ended; what was not on the disk is lost";
        console.say(&format!("herd: {name}: {why}"));
        console.flush(Instant::now() + LAST_FLUSH);
        end(exit::NOT_KEPT.into());
    }
}
