//! What signals order one server to do, heard from its start to its end: a stop ends the process in time even while
//! its main thread hangs in a name that nobody resolves, a disk that does not answer, or a log. `one` makes it.

use std::io;
use std::process::exit as end;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, bounded};
use signal_hook::consts::{SIGHUP, SIGUSR1};
use signal_hook::iterator::Signals;

use super::{exit, signals};
use crate::limits::{LAST_FLUSH, ORDERS_MAX, STOP_GRACE};
use crate::logging::Console;
use crate::thread;

/// One signal's meaning.
pub enum Order {
    /// Open the log anew.
    Reopen,
    /// Read the secrets anew.
    Reread,
    /// End, as was ordered at this moment.
    Stop(Instant),
}

/// Where a server's orders come from.
pub struct Orders {
    given: Receiver<Order>,
    /// Somebody has taken it on to end the process in good order: the server once it serves, or else the thread.
    taken_on: Arc<AtomicBool>,
}

/// The thread's own.
struct Hearing {
    name: String,
    stop_timeout: Duration,
    console: Arc<Console>,
    orders: Sender<Order>,
    taken_on: Arc<AtomicBool>,
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
        let name = name.to_owned();
        let hearing = Hearing { name, stop_timeout, console, orders, taken_on: taken_on.clone() };
        // Detached on purpose: it outlasts everything that may hang.
        drop(thread::spawn("signals", move || hearing.run(caught))?);
        Ok(Orders { given, taken_on })
    }

    /// The server serves, and does itself what is ordered. Does not return when it was told to stop before.
    pub fn take_on(&self) {
        while self.taken_on.swap(true, Ordering::SeqCst) {
            // The thread is about to end the process.
            std::thread::park();
        }
    }

    /// Waits for the next order.
    pub fn next(&self) -> Order {
        // Without the thread there is nothing to wait for.
        self.given.recv().unwrap_or_else(|_| Order::Stop(Instant::now()))
    }
}

impl Hearing {
    fn run(self, mut caught: Signals) {
        for signal in caught.forever() {
            match signal {
                SIGUSR1 => drop(self.orders.try_send(Order::Reopen)),
                SIGHUP => drop(self.orders.try_send(Order::Reread)),
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
        let deadline = now + self.stop_timeout + STOP_GRACE;
        let _ = self.orders.send_deadline(Order::Stop(now), deadline);
        std::thread::sleep(deadline.saturating_duration_since(Instant::now()));
        let why = "it does not end within stop_timeout_s, and is ended; what was not on the disk is lost";
        console.say(&format!("herd: {name}: {why}"));
        console.flush(Instant::now() + LAST_FLUSH);
        end(exit::NOT_KEPT.into());
    }
}
