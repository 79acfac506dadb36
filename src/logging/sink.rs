//! The log's buffer, and the thread that writes it to the file.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::console::Console;
use super::file::LogFile;
use super::ration::Ration;
use crate::limits::{LOG_BUFFER_MAX, LOG_BUFFER_WAKE, LOG_FLUSH_MS, LOG_SPARED_REST_MS, LogBounds};
use crate::thread;

/// Where records wait for the log thread. Bounded: when the disk cannot keep up, records are
/// dropped and counted, and the count is logged once there is room.
pub struct Sink {
    state: Mutex<State>,
    /// Wakes the log thread.
    wake: Condvar,
    /// Wakes those who wait in `flush`.
    written: Condvar,
    traffic: AtomicBool,
    /// What it takes of refused traffic.
    pub(super) ration: Ration,
    console: Arc<Console>,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    dropped: u64,
    /// The same since the start, told or not.
    dropped_in_all: u64,
    /// Lines about refused traffic that were left out, and when that may be told; None for at once.
    spared: u64,
    spared_at: Option<Instant>,
    /// Write now rather than at the next tick.
    urgent: bool,
    /// Open the file anew, as logrotate asks with SIGUSR1.
    reopen: bool,
    /// The thread has taken bytes from the buffer that are not in the file yet.
    writing: bool,
    /// The thread waits for whatever comes, however long that takes. Otherwise it looks by itself in time.
    resting: bool,
}

impl Sink {
    /// Starts the log thread, which lives as long as the process. `traffic`: whether lines in and
    /// out are logged, too.
    pub fn start(
        path: &Path,
        bounds: LogBounds,
        traffic: bool,
        console: Arc<Console>,
    ) -> io::Result<Arc<Sink>> {
        let file = LogFile::new(path, bounds, console.clone());
        let sink = Arc::new(Sink::new(traffic, console));
        let shared = sink.clone();
        // Detached on purpose: it has the last word, `flush` waits for it, the exit ends it.
        drop(thread::spawn("log", move || shared.run(file))?);
        Ok(sink)
    }

    fn new(traffic: bool, console: Arc<Console>) -> Sink {
        let (state, wake, written, ration) = Default::default();
        Sink { state, wake, written, traffic: AtomicBool::new(traffic), ration, console }
    }

    /// Whether lines in and out are logged.
    pub fn logs_traffic(&self) -> bool {
        self.traffic.load(Ordering::Relaxed)
    }

    /// Has lines in and out logged from now on, or not.
    pub fn log_traffic(&self, traffic: bool) {
        self.traffic.store(traffic, Ordering::Relaxed);
    }

    /// What is shown besides the log.
    pub fn console(&self) -> &Console {
        &self.console
    }

    /// Adds `records` whole lines; drops and counts them when there is no room.
    pub fn append(&self, lines: &[u8], records: u64) {
        let mut state = self.lock();
        if state.buffer.len() + lines.len() > LOG_BUFFER_MAX {
            state.dropped += records;
            state.dropped_in_all += records;
            return;
        }
        let (before, after) = (state.buffer.len(), state.buffer.len() + lines.len());
        state.buffer.extend_from_slice(lines);
        let is_resting = std::mem::take(&mut state.resting);
        drop(state);
        if is_resting || (before < LOG_BUFFER_WAKE && after >= LOG_BUFFER_WAKE) {
            self.wake.notify_one();
        }
    }

    /// Counts lines about refused traffic that were left out, which the log says once a second.
    pub fn spare(&self, lines: u64) {
        let mut state = self.lock();
        let is_first = state.spared == 0;
        state.spared += lines;
        drop(state);
        if is_first {
            self.wake.notify_one();
        }
    }

    /// Has what is buffered written without delay.
    pub fn wake(&self) {
        self.lock().urgent = true;
        self.wake.notify_one();
    }

    /// Opens the file anew before the next write.
    pub fn reopen(&self) {
        self.lock().reopen = true;
        self.wake();
    }

    /// Waits until all that was appended is written, or until the deadline.
    pub fn flush(&self, deadline: Instant) {
        self.lock().spared_at = None;
        self.wake();
        let mut state = self.lock();
        while (!state.buffer.is_empty() || state.spared > 0 || state.writing) && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            state = self.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn run(&self, mut file: LogFile) {
        let mut batch = Vec::new();
        loop {
            let Taken { dropped, spared, reopen } = self.take(&mut batch);
            if reopen {
                file.reopen();
            }
            file.write(&batch, dropped, spared);
            batch.clear();
            batch.shrink_to(2 * LOG_BUFFER_WAKE);
            self.lock().writing = false;
            self.written.notify_all();
        }
    }

    /// Waits for records and for the tick or an urgent one, then swaps the buffers. It begins with the tick: under
    /// load there is something by then, and whoever appends it need not wake the thread, which costs more than
    /// to append.
    fn take(&self, batch: &mut Vec<u8>) -> Taken {
        let mut state = self.gather(self.lock());
        while !state.has_work() {
            state.urgent = false;
            state.resting = true;
            // It may be quiet for long.
            (state.buffer, *batch) = (Vec::new(), Vec::new());
            state = match state.spared_at.filter(|_| state.spared > 0) {
                Some(at) => self.wait_until(state, at),
                None => self.wake.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
            state.resting = false;
            state = self.gather(state);
        }
        std::mem::swap(&mut state.buffer, batch);
        state.urgent = false;
        state.writing = true;
        let spared = state.take_spared();
        let (dropped, reopen) = (std::mem::take(&mut state.dropped), std::mem::take(&mut state.reopen));
        Taken { dropped, spared, reopen }
    }

    /// Waits for the tick, for an urgent record, or for many.
    fn gather<'a>(&'a self, mut state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let tick = Instant::now() + Duration::from_millis(LOG_FLUSH_MS);
        while !state.urgent && state.buffer.len() < LOG_BUFFER_WAKE && Instant::now() < tick {
            state = self.wait_until(state, tick);
        }
        state
    }

    /// Records that were dropped since the start.
    pub fn lost(&self) -> u64 {
        self.lock().dropped_in_all
    }

    fn wait_until<'a>(&'a self, state: MutexGuard<'a, State>, at: Instant) -> MutexGuard<'a, State> {
        let left = at.saturating_duration_since(Instant::now());
        self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread is to do besides writing lines.
struct Taken {
    dropped: u64,
    spared: u64,
    reopen: bool,
}

impl State {
    fn has_work(&self) -> bool {
        !self.buffer.is_empty() || self.reopen || self.dropped > 0 || self.is_spared_due()
    }

    fn is_spared_due(&self) -> bool {
        self.spared > 0 && self.spared_at.is_none_or(|at| Instant::now() >= at)
    }

    /// How many lines to say were left out, when it is time for that.
    fn take_spared(&mut self) -> u64 {
        if !self.is_spared_due() {
            return 0;
        }
        self.spared_at = Some(Instant::now() + Duration::from_millis(LOG_SPARED_REST_MS));
        std::mem::take(&mut self.spared)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn start(path: &Path) -> Arc<Sink> {
        let console = Console::start().expect("started");
        Sink::start(path, LogBounds::default(), true, console).expect("started")
    }

    fn flush(sink: &Sink) {
        sink.flush(Instant::now() + Duration::from_secs(20));
    }

    #[test]
    fn lines_reach_the_file_and_a_reopened_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/Goloman.log");
        let sink = start(&path);
        sink.append(b"one\ntwo\n", 2);
        flush(&sink);
        assert_eq!(fs::read(&path).expect("a log"), b"one\ntwo\n");
        fs::rename(&path, folder.path().join("old")).expect("moved");
        sink.reopen();
        sink.append(b"three\n", 1);
        flush(&sink);
        assert_eq!(fs::read(&path).expect("a new log"), b"three\n");
    }

    #[test]
    fn lines_reach_the_file_by_themselves_whether_the_thread_rests_or_has_just_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let sink = start(&path);
        let mut expected = String::new();
        for round in 0..6 {
            let deadline = Instant::now() + Duration::from_secs(20);
            while round % 2 == 0 && !sink.lock().resting {
                assert!(Instant::now() < deadline, "it never rests");
                std::thread::yield_now();
            }
            let line = format!("{round}\n");
            sink.append(line.as_bytes(), 1);
            expected += &line;
            while fs::read_to_string(&path).expect("a log") != expected {
                assert!(Instant::now() < deadline, "{expected:?} is not written");
                std::thread::yield_now();
            }
        }
    }

    #[test]
    fn a_failing_disk_loses_records_and_says_how_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("blocked/Goloman.log");
        fs::write(folder.path().join("blocked"), "a file where the folder should be").expect("written");
        let sink = start(&path);
        sink.append(b"one\ntwo\n", 2);
        flush(&sink);
        fs::remove_file(folder.path().join("blocked")).expect("removed");
        sink.append(b"three\n", 1);
        flush(&sink);
        let log = fs::read_to_string(&path).expect("a log");
        assert!(log.contains("2 log records before this line were lost\nthree\n"), "{log}");
    }

    #[test]
    fn a_full_buffer_drops_and_counts() {
        let sink = Sink::new(true, Console::start().expect("started"));
        let line = vec![b'x'; LOG_BUFFER_MAX / 2];
        (0..5).for_each(|_| sink.append(&line, 1));
        let state = sink.lock();
        assert_eq!((state.buffer.len(), state.dropped), (LOG_BUFFER_MAX, 3));
    }
}
