//! Named threads with a small stack, and joining with a deadline. The only place that spawns: whatever has a thread
//! calls it.

use std::io;
use std::thread::{Builder, JoinHandle, Scope};
use std::time::Instant;

use nix::sys::signal::{SigSet, SigmaskHow, Signal};

use crate::limits::{STACK_BYTES, THREAD_LOOK};

/// Starts a thread; its name shows in `top -H` and in a panic's message.
///
/// # Errors
/// The system has no room for another thread.
pub fn spawn<T: Send + 'static>(
    name: impl Into<String>,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    spawn_with_stack(name, STACK_BYTES, run)
}

/// The same with a stack of another size, in bytes.
///
/// # Errors
/// The same.
pub fn spawn_with_stack<T: Send + 'static>(
    name: impl Into<String>,
    stack_bytes: usize,
    run: impl FnOnce() -> T + Send + 'static,
) -> io::Result<JoinHandle<T>> {
    let name = name.into();
    without_signals(|| Builder::new().name(name.clone()).stack_size(stack_bytes).spawn(run))
        .map_err(|why| io::Error::new(why.kind(), format!("cannot start thread {name}: {why}")))
}

/// The same for a thread that ends before its scope.
///
/// # Errors
/// The same.
pub fn spawn_scoped<'scope>(
    scope: &'scope Scope<'scope, '_>,
    name: &str,
    run: impl FnOnce() + Send + 'scope,
) -> io::Result<()> {
    let builder = Builder::new().name(name.to_owned()).stack_size(STACK_BYTES);
    let started = without_signals(|| builder.spawn_scoped(scope, run));
    started.map(drop).map_err(|why| io::Error::new(why.kind(), format!("cannot start thread {name}: {why}")))
}

/// A thread has the signals blocked that whoever starts it has blocked then: all of them, so that each comes to the main
/// thread, or to one that waits for it. Faults of its own it has itself.
fn without_signals<T>(start: impl FnOnce() -> T) -> T {
    let mut signals = SigSet::all();
    for fault in
        [Signal::SIGSEGV, Signal::SIGBUS, Signal::SIGILL, Signal::SIGFPE, Signal::SIGTRAP, Signal::SIGSYS]
    {
        signals.remove(fault);
    }
    // It fails for a set that is none.
    let before = signals.thread_swap_mask(SigmaskHow::SIG_BLOCK);
    let started = start();
    if let Ok(before) = before {
        let _ = before.thread_set_mask();
    }
    started
}

/// Waits until the thread has ended or the deadline is there, and says whether it ended.
pub fn ends_by<T>(thread: &JoinHandle<T>, deadline: Instant) -> bool {
    while !thread.is_finished() && Instant::now() < deadline {
        std::thread::sleep(THREAD_LOOK);
    }
    thread.is_finished()
}
