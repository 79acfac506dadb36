//! The bounds of logs. `limits` hands them on.

use super::{Limit, limit};

/// Bytes of a log file at which a new one is begun; 0 is no bound. The old ones are kept up to a number, so that all
/// logs of a server take 256 MiB at most, with the defaults. The least has room for any line.
pub const LOG_MAX_BYTES: Limit = limit(64 * 1024 * 1024, 0, 1 << 50);
pub const LOG_MAX_BYTES_LEAST: u64 = 128 * 1024;
const _: () =
    assert!(LOG_MAX_BYTES_LEAST > 4 * super::AT_LINE_MAX as u64 / 2 + 1_024, "an escaped line fits");

/// Old log files that are kept.
pub const LOG_KEEP: Limit = limit(3, 0, 1_000);

/// What a log may take. It is here because `config` reads it and `logging` keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogBounds {
    /// Of one file; None for no bound.
    pub bytes_max: Option<u64>,
    /// Files besides the one that is written.
    pub keep: u64,
}

impl Default for LogBounds {
    fn default() -> LogBounds {
        LogBounds { bytes_max: Some(LOG_MAX_BYTES.default), keep: LOG_KEEP.default }
    }
}

/// What a log leaves of its disk to the journal: one part in so many, and never more than so many bytes, which a
/// hundred thousand clients' journal does not fill while it compacts. It writes again when twice that is free.
pub const LOG_SPARES_PART: u64 = 20;
pub const LOG_SPARES_BYTES: u64 = 64 * 1024 * 1024;

/// Records about refused traffic that a log takes a second, one for so many bytes of them: enough to see who does
/// what, and at worst 100 KB a second.
pub const LOG_RATION: u64 = 200;
pub const LOG_RATION_BYTES: usize = 512;

/// Milliseconds between two lines that say how many such records were left out.
pub const LOG_SPARED_REST_MS: u64 = 1_000;

/// Bytes of log waiting for the disk; beyond, records are dropped and counted.
pub const LOG_BUFFER_MAX: usize = 4 * 1024 * 1024;

/// Bytes of log that wake the log thread before its timer does.
pub const LOG_BUFFER_WAKE: usize = 256 * 1024;

/// The longest a log record waits before it is written.
pub const LOG_FLUSH_MS: u64 = 200;

/// Bytes of a refused line that are shown again: enough to know it by.
pub const REFUSED_SHOWN_BYTES: usize = 40;
