//! The log file, its buffer and the thread that writes one to the other.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use rustix::fs::{OFlags, fcntl_setfl};

use super::console::Console;
use super::wire::stamp;
use crate::files::NO_WAIT;
use crate::limits::{LOG_BUFFER_MAX, LOG_BUFFER_WAKE, LOG_FLUSH_MS};
use crate::thread;

/// Where records wait for the log thread. Bounded: when the disk cannot keep up, records are
/// dropped and counted, and the count is logged once there is room.
pub struct Sink {
    state: Mutex<State>,
    /// Wakes the log thread.
    wake: Condvar,
    /// Wakes those who wait in `flush`.
    written: Condvar,
    traffic: bool,
    console: Arc<Console>,
}

#[derive(Default)]
struct State {
    buffer: Vec<u8>,
    dropped: u64,
    /// Write now rather than at the next tick.
    urgent: bool,
    /// Open the file anew, as logrotate asks with SIGUSR1.
    reopen: bool,
    /// The thread has taken bytes from the buffer that are not in the file yet.
    writing: bool,
}

/// The log thread's own: the file and what is known of its state.
struct Writer {
    path: PathBuf,
    file: Option<File>,
    /// Set when the file failed, so that it is reported once.
    failing: bool,
    /// Records lost since the file failed.
    lost: u64,
    /// Where it is told that the log is not being kept.
    console: Arc<Console>,
}

impl Sink {
    /// Starts the log thread, which lives as long as the process. `traffic`: whether lines in and
    /// out are logged, too.
    pub fn start(path: &Path, traffic: bool) -> io::Result<Arc<Sink>> {
        let console = Console::start()?;
        let (wake, written) = (Condvar::new(), Condvar::new());
        let sink =
            Arc::new(Sink { state: Mutex::default(), wake, written, traffic, console: console.clone() });
        let mut writer = Writer { path: path.to_owned(), file: None, failing: false, lost: 0, console };
        writer.open();
        let shared = sink.clone();
        // Detached on purpose: it has the last word, `flush` waits for it, the exit ends it.
        drop(thread::spawn("log", move || shared.run(writer))?);
        Ok(sink)
    }

    /// Whether lines in and out are logged.
    pub fn logs_traffic(&self) -> bool {
        self.traffic
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
            return;
        }
        let (before, after) = (state.buffer.len(), state.buffer.len() + lines.len());
        state.buffer.extend_from_slice(lines);
        drop(state);
        if before == 0 || (before < LOG_BUFFER_WAKE && after >= LOG_BUFFER_WAKE) {
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
        self.wake();
        let mut state = self.lock();
        while (!state.buffer.is_empty() || state.writing) && Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            state = self.written.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn run(&self, mut writer: Writer) {
        let mut batch = Vec::new();
        loop {
            let (dropped, reopen) = self.take(&mut batch);
            if reopen {
                writer.open();
            }
            writer.write(&batch, dropped);
            batch.clear();
            batch.shrink_to(2 * LOG_BUFFER_WAKE);
            self.lock().writing = false;
            self.written.notify_all();
        }
    }

    /// Waits for records and for the tick or an urgent one, then swaps the buffers.
    fn take(&self, batch: &mut Vec<u8>) -> (u64, bool) {
        let mut state = self.lock();
        while state.buffer.is_empty() && !state.reopen && state.dropped == 0 {
            state.urgent = false;
            state = self.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        let tick = Instant::now() + Duration::from_millis(LOG_FLUSH_MS);
        while !state.urgent && state.buffer.len() < LOG_BUFFER_WAKE && Instant::now() < tick {
            let left = tick.saturating_duration_since(Instant::now());
            state = self.wake.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        std::mem::swap(&mut state.buffer, batch);
        state.urgent = false;
        state.writing = true;
        (std::mem::take(&mut state.dropped), std::mem::take(&mut state.reopen))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Writer {
    fn open(&mut self) {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        let opened = fs::create_dir_all(folder)
            .and_then(|()| {
                OpenOptions::new().create(true).append(true).custom_flags(NO_WAIT).open(&self.path)
            })
            // From here on it may wait: what is written has a thread of its own.
            .and_then(|file| Ok(fcntl_setfl(&file, OFlags::APPEND).map(|()| file)?));
        match opened {
            Ok(file) => self.file = Some(file),
            Err(why) => self.fail(&why),
        }
    }

    /// Writes whole lines; what the file does not take is lost and counted.
    fn write(&mut self, lines: &[u8], dropped: u64) {
        self.lost += dropped;
        if self.file.is_none() {
            self.open();
        }
        let Some(file) = &mut self.file else {
            self.lost += count_lines(lines);
            return;
        };
        let mut preface = String::new();
        if self.lost > 0 {
            // What failed may have left half a line.
            let newline = if self.failing { "\n" } else { "" };
            let now_ms = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64);
            let stamp = stamp(now_ms, "WARN");
            preface = format!("{newline}{stamp}{} log records before this line were lost\n", self.lost);
        }
        let written = file.write_all(preface.as_bytes()).and_then(|()| file.write_all(lines));
        match written {
            Ok(()) => (self.failing, self.lost) = (false, 0),
            Err(why) => {
                self.lost += count_lines(lines);
                self.fail(&why);
            }
        }
    }

    /// Says once that the log is not being kept; every later write tries again.
    fn fail(&mut self, why: &io::Error) {
        if !self.failing {
            let path = self.path.display();
            self.console.say(&format!("herd: cannot write log {path}: {why}; serving goes on without"));
        }
        self.failing = true;
        self.file = None;
    }
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flush(sink: &Sink) {
        sink.flush(Instant::now() + Duration::from_secs(20));
    }

    #[test]
    fn lines_reach_the_file_and_a_reopened_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("new/Goloman.log");
        let sink = Sink::start(&path, true).expect("started");
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
    fn a_failing_disk_loses_records_and_says_how_many() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("blocked/Goloman.log");
        fs::write(folder.path().join("blocked"), "a file where the folder should be").expect("written");
        let sink = Sink::start(&path, true).expect("started all the same");
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
        let (wake, written) = (Condvar::new(), Condvar::new());
        let console = Console::start().expect("started");
        let sink = Sink { state: Mutex::default(), wake, written, traffic: true, console };
        let line = vec![b'x'; LOG_BUFFER_MAX / 2];
        (0..5).for_each(|_| sink.append(&line, 1));
        let state = sink.lock();
        assert_eq!((state.buffer.len(), state.dropped), (LOG_BUFFER_MAX, 3));
    }
}
