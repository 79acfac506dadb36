//! Logs that never hold the server up: records go to a buffer, one thread writes it to the file.
//! `main` starts it; workers and links write their traffic through `Wire`, all else uses `log`.

mod escape;
mod sink;
mod wire;

use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{ConfigBuilder, LevelPadding, WriteLogger, format_description};

pub use escape::Escaped;
pub use sink::Sink;
pub use wire::Wire;

/// The target of records that `main` says on stderr itself, so that a terminal does not show twice.
pub const SAID_ALREADY: &str = "herd::start";

/// How long a dying process waits for its last words to reach the file.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Sends every record to the file's buffer and warnings to the terminal as well.
struct Loggers {
    file: Box<WriteLogger<Lines>>,
    console: Option<Box<WriteLogger<io::Stderr>>>,
    sink: Arc<Sink>,
}

/// simplelog writes a record in pieces; this hands it on as a whole, so that no other thread's
/// lines get into the middle of it.
struct Lines {
    pending: Vec<u8>,
    sink: Arc<Sink>,
}

/// Starts logging to `path` for the whole process, at most once. A file that cannot be opened is
/// reported on stderr and stops nothing.
///
/// # Errors
/// The log thread cannot be started, or logging was started before.
pub fn start(path: &Path, level: LevelFilter) -> io::Result<Arc<Sink>> {
    let sink = Sink::start(path, level >= LevelFilter::Info)?;
    let lines = Lines { pending: Vec::new(), sink: sink.clone() };
    let on_terminal = io::stderr().is_terminal();
    let console = on_terminal.then(|| {
        WriteLogger::new(
            LevelFilter::Warn,
            format().add_filter_ignore_str(SAID_ALREADY).build(),
            io::stderr(),
        )
    });
    let file = WriteLogger::new(level, format().build(), lines);
    log::set_boxed_logger(Box::new(Loggers { file, console, sink: sink.clone() }))
        .map_err(io::Error::other)?;
    log::set_max_level(if on_terminal { level.max(LevelFilter::Warn) } else { level });
    let last_words = sink.clone();
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        log::error!("{}", Escaped(panic.to_string().as_bytes()));
        last_words.flush(Instant::now() + LAST_WORDS);
    }));
    Ok(sink)
}

/// For a command that runs no server: warnings go to stderr and nowhere else.
pub fn warn_on_stderr() {
    // It fails only when logging was started before, and then warnings have their place.
    let _ = simplelog::WriteLogger::init(LevelFilter::Warn, format().build(), io::stderr());
}

/// `2026-01-31T23:59:59.123Z [INFO] message`, of our own records only: what ureq logs may hold a
/// URL with a key.
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
        .add_filter_allow_str("herd");
    format
}

impl Log for Loggers {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.file.enabled(metadata) || self.console.as_ref().is_some_and(|console| console.enabled(metadata))
    }

    fn log(&self, record: &Record<'_>) {
        self.file.log(record);
        if let Some(console) = &self.console {
            console.log(record);
        }
        if record.level() <= Level::Warn {
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
