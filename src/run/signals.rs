//! What a process of herd does at each signal whose default would end it. `main`, `one` and `family` ask here; the
//! table of all signals is in docs/operations.md.

use std::io::{self, IsTerminal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use nix::sys::signal::SigSet;
use rustix::process::{Signal, getpid};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;
use signal_hook::iterator::Signals;

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

/// Before this process becomes another program: holds back what is acted on here, until `caught` does there. Between the
/// two, the system's default would end the process. (Another thread may still take one in the last moments.)
pub fn hold() {
    if let Err(why) = held().thread_block() {
        log::warn!("a signal may end this process while it becomes the next program: {why}");
    }
}

fn held() -> SigSet {
    let acted_on = STOPS.into_iter().chain([SIGHUP, SIGUSR1, SIGUSR2]);
    acted_on.filter_map(|signal| nix::sys::signal::Signal::try_from(signal).ok()).collect()
}

/// Has the first process of a container, to which the system passes no signal that it does not catch, end at a stop
/// like any other, until `caught` takes over.
pub fn hear_early() {
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
/// what stops it. Passes over what means nothing to it. At a terminal SIGHUP says that the terminal is gone, and ends the process as it does
/// others.
///
/// # Errors
/// The system refuses it.
pub fn caught() -> io::Result<Signals> {
    // A flag nobody reads: a signal that is caught ends nothing, and is not inherited as one that is ignored is.
    let nothing = Arc::new(AtomicBool::new(false));
    for signal in PASSED_OVER {
        flag::register(signal, nothing.clone())?;
    }
    for signal in REAL_TIME {
        // Which of them the C library keeps for itself differs.
        let _ = flag::register(signal, nothing.clone());
    }
    let mut signals = STOPS.to_vec();
    signals.extend([SIGUSR1, SIGUSR2]);
    if !io::stdin().is_terminal() {
        signals.push(SIGHUP);
    }
    let caught = Signals::new(signals)?;
    if let Some(early) = EARLY.get() {
        early.store(false, Ordering::SeqCst);
    }
    // What came in an upgrade is acted on now.
    held().thread_unblock()?;
    Ok(caught)
}
