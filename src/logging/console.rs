//! What a person or a service manager is to read, while serving: stderr by a thread of its own, so that a terminal
//! that is stopped, or a pipe that nobody reads, holds up neither the server nor its log.

use std::borrow::Cow;
use std::env;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::fstat;
use rustix::io::Errno;

use crate::limits::CONSOLE_BUFFER_MAX;
use crate::thread;

/// Where lines wait for stderr. Bounded: what it does not take is dropped and counted, and the count is
/// told once it takes something.
pub struct Console {
    state: Mutex<State>,
    /// Wakes the thread.
    wake: Condvar,
    /// Wakes those who wait in `flush`.
    written: Condvar,
    /// stderr is the journal of systemd, which takes a priority in front of each line.
    is_journal: bool,
}

/// How much a line matters, in the words and numbers of syslog(3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    Error = 3,
    Warning = 4,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    /// Lines that came while the buffer was full, so after all that is in it.
    dropped: u64,
    /// The thread has taken bytes from the buffer that are not written yet.
    writing: bool,
}

impl Console {
    /// Starts the thread, which lives as long as the process.
    ///
    /// # Errors
    /// The system has no room for a thread.
    pub fn start() -> io::Result<Arc<Console>> {
        let (wake, written, is_journal) = (Condvar::new(), Condvar::new(), is_journal());
        let console = Arc::new(Console { state: Mutex::default(), wake, written, is_journal });
        let shared = console.clone();
        // Detached on purpose: it may be writing for ever, and the exit ends it.
        drop(thread::spawn("console", move || shared.run())?);
        Ok(console)
    }

    /// Has a text shown that may have several lines; a newline is added at its end.
    pub fn say(&self, text: &str) {
        self.put(Priority::Warning, text);
    }

    /// The same, with what it matters, and when that was: the journal of systemd notes both by itself.
    pub fn log(&self, priority: Priority, stamp: &str, text: &str) {
        match self.is_journal {
            true => self.put(priority, text),
            false => self.put(priority, &format!("{stamp}{text}")),
        }
    }

    fn put(&self, priority: Priority, text: &str) {
        let text = text.trim_end_matches('\n');
        let text = match self.is_journal {
            true => Cow::Owned(marked(priority, text)),
            false => Cow::Borrowed(text),
        };
        let mut state = self.lock();
        // Behind what was dropped nothing is put, so that the count stands where the lines are missing.
        if state.dropped > 0 || state.buffer.len() + text.len() >= CONSOLE_BUFFER_MAX {
            state.dropped += 1 + text.matches('\n').count() as u64;
            return;
        }
        state.buffer.extend_from_slice(text.as_bytes());
        state.buffer.push(b'\n');
        drop(state);
        self.wake.notify_one();
    }

    /// Waits until all that was said is written, or until the deadline.
    pub fn flush(&self, deadline: Instant) {
        let mut state = self.lock();
        while (!state.buffer.is_empty() || state.writing) && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            state = self.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn run(&self) {
        let mut batch = Vec::new();
        loop {
            let dropped = self.take(&mut batch);
            if dropped > 0 {
                let said = "lines are missing here: they were written while nobody read this output";
                let _ = writeln!(batch, "herd: {dropped} {said}; the log has more");
            }
            write(&batch);
            batch.clear();
            self.lock().writing = false;
            self.written.notify_all();
        }
    }

    /// Waits for something to write, swaps the buffers, and returns how many lines are missing at the end.
    fn take(&self, batch: &mut Vec<u8>) -> u64 {
        let mut state = self.lock();
        while state.buffer.is_empty() {
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        std::mem::swap(&mut state.buffer, batch);
        state.writing = true;
        std::mem::take(&mut state.dropped)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Each line with its priority in front.
fn marked(priority: Priority, text: &str) -> String {
    let mut marked = String::new();
    for line in text.lines() {
        let newline = if marked.is_empty() { "" } else { "\n" };
        marked += &format!("{newline}<{}>{line}", priority as u8);
    }
    marked
}

/// Whether systemd says that stderr is its journal, and that is so still: whoever started us may have led it elsewhere.
fn is_journal() -> bool {
    let said = env::var("JOURNAL_STREAM").unwrap_or_default();
    let found = fstat(io::stderr());
    found.is_ok_and(|found| said == format!("{}:{}", found.st_dev, found.st_ino))
}

/// Writes to stderr, however long that takes, and past the lock that `std` has for it: what is stuck here must not
/// hold up whoever prints by other means. A stderr that is closed takes nothing, which is no reason to fail.
fn write(mut bytes: &[u8]) {
    let stderr = io::stderr();
    while !bytes.is_empty() {
        match rustix::io::write(&stderr, bytes) {
            Ok(0) => return,
            Ok(count) => bytes = &bytes[count..],
            Err(Errno::INTR) => {}
            // Somebody with the same terminal or pipe has it not wait.
            Err(Errno::AGAIN) => {
                let _ = poll(&mut [PollFd::new(&stderr, PollFlags::OUT)], None);
            }
            Err(_) => return,
        }
    }
}

/// Says something on stdout and waits for nothing: the thread for it may wait for as long as the process lives.
///
/// # Errors
/// The system has no room for a thread.
pub fn announce(text: String) -> io::Result<()> {
    let print = move || {
        let mut stdout = io::stdout();
        // That nobody reads it is no reason to fail.
        let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
    };
    thread::spawn("announce", print).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_buffer_drops_and_counts_lines() {
        let (wake, written, is_journal) = (Condvar::new(), Condvar::new(), false);
        let console = Console { state: Mutex::default(), wake, written, is_journal };
        let text = "x".repeat(CONSOLE_BUFFER_MAX / 2 - 1);
        console.say(&text);
        console.say(&text);
        console.say("one");
        console.say("two\nthree\n");
        let state = console.lock();
        assert_eq!((state.buffer.len(), state.dropped), (CONSOLE_BUFFER_MAX, 3));
    }
}
