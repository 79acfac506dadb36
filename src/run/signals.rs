//! What a process of herd does at each signal whose default would end it. `main`, `one` and `family` ask here; the
//! table of all signals is in docs/operations.md.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::{SigSet, kill};
use nix::unistd::Pid;
use rustix::process::{Signal, getpid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;

/// These stop it: somebody asks for that, its computing time is used up (`ulimit -t`), or the power fails.
pub const STOPS: [i32; 4] = [SIGINT, SIGTERM, Signal::XCPU.as_raw(), Signal::POWER.as_raw()];

/// These mean nothing to it: timers that it does not set, descriptors that it does not watch that way, and what one
/// types for another program. With SIGXFSZ out of the way, a file that may not grow (`ulimit -f`) is a disk that fails.
const PASSED_OVER: [i32; 6] = [
    Signal::XFSZ.as_raw(),
    Signal::ALARM.as_raw(),
    Signal::VTALARM.as_raw(),
    Signal::PROF.as_raw(),
    Signal::IO.as_raw(),
    Signal::STKFLT.as_raw(),
];

/// Real-time signals that the C library leaves to programs.
const REAL_TIME: std::ops::RangeInclusive<i32> = 34..=64;

/// True while a stop is to end this process at once, where the system would not.
static EARLY: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Signals that this process acts on. They are blocked in all its threads but for one that waits for them: so they are
/// never lost, but wait until there is such a thread, here or in the program that the process becomes.
pub struct Caught(SigSet);

impl Caught {
    /// Waits for the next.
    ///
    /// # Errors
    /// The system knows one of them no more.
    pub fn next(&self) -> io::Result<i32> {
        Ok(self.0.wait()? as i32)
    }
}

/// Leaves a signal to whoever waits for it next.
pub fn give_back(signal: i32) {
    if let Ok(signal) = nix::sys::signal::Signal::try_from(signal) {
        // It is one that was caught, so that the system knows it.
        let _ = kill(Pid::this(), signal);
    }
}

/// In a server that begins: what is no stop waits until it is acted on, where the system would end the process. A process
/// that a herd starts, or that was another program before, has begun so.
pub fn put_off() {
    // Without it, it is ended as others are.
    let _ = set(acted_on().into_iter().filter(|signal| !STOPS.contains(signal))).thread_block();
}

fn acted_on() -> Vec<i32> {
    let mut signals = STOPS.to_vec();
    signals.extend([SIGUSR1, SIGUSR2]);
    if !io::stdin().is_terminal() {
        signals.push(SIGHUP);
    }
    signals
}

fn set(signals: impl IntoIterator<Item = i32>) -> SigSet {
    let known = |signal| nix::sys::signal::Signal::try_from(signal).ok();
    signals.into_iter().filter_map(known).collect()
}

/// Has a process end at a stop until `caught` takes over: whoever started it may have these blocked. The first process of
/// a container, too, to which the system passes no signal that it does not catch.
pub fn hear_early() {
    // Without it, it ends later.
    let _ = set(STOPS).thread_unblock();
    if !getpid().is_init() {
        return;
    }
    let early = EARLY.get_or_init(|| Arc::new(AtomicBool::new(true)));
    for signal in [SIGINT, SIGTERM] {
        // Without it, it ends later.
        let _ = flag::register_conditional_shutdown(signal, 128 + signal, early.clone());
    }
}

/// Catches what it acts on: SIGUSR1 opens the log anew, SIGHUP takes up a changed herd.conf, SIGUSR2 upgrades, and
/// what stops it. Passes over what means nothing to it. At a terminal SIGHUP says that the terminal is gone, and ends the
/// process as it does others. To be called by the main thread: threads that it starts have all signals blocked anyway.
///
/// # Errors
/// The system refuses it.
pub fn caught() -> io::Result<Caught> {
    // A flag nobody reads: a signal that is caught ends nothing, and is not inherited as one that is ignored is.
    let nothing = Arc::new(AtomicBool::new(false));
    for signal in PASSED_OVER {
        flag::register(signal, nothing.clone())?;
    }
    for signal in REAL_TIME {
        // Which of them the C library keeps for itself differs.
        let _ = flag::register(signal, nothing.clone());
    }
    let caught = set(acted_on());
    caught.thread_block()?;
    if let Some(early) = EARLY.get() {
        early.store(false, Ordering::SeqCst);
    }
    Ok(Caught(caught))
}
