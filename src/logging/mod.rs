//! Logs that never hold the server up: records go to a buffer, one thread writes it to the file, and another one
//! writes to stderr what is to be seen at once.
//! `run` starts it. Workers and links write their traffic through `Wire`; all else uses `log`.

mod console;
mod escape;
mod file;
mod hide;
mod ration;
mod sink;
mod stamp;
mod wire;

use std::backtrace::{Backtrace, BacktraceStatus};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Instant, UNIX_EPOCH};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, LevelPadding, WriteLogger, format_description};

use crate::limits::{LogBounds, PANIC_FLUSH};
use console::Priority;
pub use console::{Console, announce};
pub use escape::Escaped;
pub use hide::{hide, hide_rest};
pub use sink::Sink;
use stamp::stamp;
pub use wire::Wire;

/// The target of records that `run` says on stderr itself, so that a terminal does not show twice.
pub const SAID_ALREADY: &str = "herd::start";

/// What the targets of our own records begin with: what ureq logs may hold a URL with a key.
const OURS: &str = "herd";

/// Sends every record to the file's buffer, and warnings to stderr as well.
struct Loggers {
    /// Whose they are, as several servers may share a stderr.
    name: String,
    /// It takes all that it is given.
    file: Box<WriteLogger<Lines>>,
    sink: Arc<Sink>,
}

/// What of our own records goes into the file: a `LevelFilter` as a number, which a reload may change.
static LEVEL: AtomicUsize = AtomicUsize::new(0);

/// Has records of this level and above logged from now on.
pub fn set_level(level: LevelFilter, sink: &Sink) {
    LEVEL.store(level as usize, Ordering::Relaxed);
    // Warnings go to stderr in any case.
    log::set_max_level(level.max(LevelFilter::Warn));
    sink.log_traffic(level >= LevelFilter::Info);
}

/// simplelog writes a record in pieces; this hands it on as a whole, so that no other thread's
/// lines get into the middle of it.
struct Lines {
    pending: Vec<u8>,
    sink: Arc<Sink>,
}

/// Starts logging to `path` for the whole process, which is the server `name`, at most once. A file that cannot be
/// opened is reported on stderr and stops nothing.
///
/// # Errors
/// The log's threads cannot be started, or logging was started before.
pub fn start(
    name: &str,
    path: &Path,
    level: LevelFilter,
    bounds: LogBounds,
    console: Arc<Console>,
) -> io::Result<Arc<Sink>> {
    let sink = Sink::start(path, bounds, level >= LevelFilter::Info, console)?;
    let lines = Lines { pending: Vec::new(), sink: sink.clone() };
    let file = WriteLogger::new(LevelFilter::max(), format().build(), lines);
    let loggers = Loggers { name: name.to_owned(), file, sink: sink.clone() };
    log::set_boxed_logger(Box::new(loggers)).map_err(io::Error::other)?;
    set_level(level, &sink);
    report_panics(sink.clone());
    Ok(sink)
}

/// Has the log and stderr tell of a panic, in place of the usual report, which would wait for stderr.
fn report_panics(sink: Arc<Sink>) {
    std::panic::set_hook(Box::new(move |panic| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("without a name");
        log::error!("thread {thread} {}", Escaped(panic.to_string().as_bytes()));
        let trace = Backtrace::capture();
        if trace.status() == BacktraceStatus::Captured {
            sink.console().say(&trace.to_string());
        }
        let deadline = Instant::now() + PANIC_FLUSH;
        sink.flush(deadline);
        sink.console().flush(deadline);
    }));
}

/// `1 client`, `5 clients`: for sentences that count.
pub fn count(number: u64, what: &str) -> String {
    let plural = if number == 1 { "" } else { "s" };
    format!("{number} {what}{plural}")
}

/// For a command that runs no server: warnings go to stderr and nowhere else.
pub fn warn_on_stderr() {
    // It fails only when logging was started before, and then warnings have their place.
    let _ = simplelog::WriteLogger::init(LevelFilter::Warn, format().build(), io::stderr());
}

/// `2026-01-31T23:59:59.123Z [INFO] message`, of our own records only.
fn format() -> ConfigBuilder {
    let mut format = ConfigBuilder::new();
    format
        .set_time_format_custom(format_description!(
            "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z"
        ))
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .set_level_padding(LevelPadding::Off)
        .add_filter_allow_str(OURS);
    format
}

impl Loggers {
    /// Shows a warning or an error, whatever stderr is: what a service manager keeps of it may be all there is,
    /// when the log is on the disk that fails.
    fn show(&self, record: &Record<'_>) {
        let now_ms = UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64);
        let stamp = stamp(now_ms, record.level().as_str());
        let priority = if record.level() == Level::Error { Priority::Error } else { Priority::Warning };
        self.sink.console().log(priority, &stamp, &format!("{}: {}", self.name, record.args()));
    }
}

fn is_logged(metadata: &Metadata<'_>) -> bool {
    metadata.level() as usize <= LEVEL.load(Ordering::Relaxed)
}

impl Log for Loggers {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= Level::Warn || is_logged(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        if is_logged(record.metadata()) {
            self.file.log(record);
        }
        if record.level() <= Level::Warn {
            if record.target().starts_with(OURS) && record.target() != SAID_ALREADY {
                self.show(record);
            }
            self.sink.wake();
        }
    }

    fn flush(&self) {
        self.sink.wake();
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.pending.ends_with(b"\n") {
            self.sink.append(&self.pending, 1);
            self.pending.clear();
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
