//! The bounds of commands: of reading herd.conf, and of a herd started as a family of processes. `limits` hands them on.

use std::time::Duration;

/// Seconds for which a herd.conf from a pipe or a terminal is waited for before stderr says so.
pub const CONFIG_QUIET_S: i64 = 1;

/// Seconds of the longest duration in herd.conf and on the command line: a hundred years, whose nanoseconds fit in 64
/// bits.
pub const DURATION_MAX_S: u64 = 36_500 * 86_400;
const _: () = assert!(DURATION_MAX_S < u64::MAX / 1_000_000_000, "the nanoseconds fit");

/// How long a process that ends waits for its log, and for a stderr that may be stuck, where no other time is set.
pub const LAST_FLUSH: Duration = Duration::from_millis(200);

/// How much longer than `stop_timeout_s` a server has before it is ended by its own thread for signals: its last words
/// to the log and to stderr take twice `LAST_FLUSH`. Whoever started it kills it later still.
pub const STOP_GRACE: Duration = Duration::from_millis(600);
const _: () = assert!(STOP_GRACE.as_millis() > 2 * LAST_FLUSH.as_millis(), "the last words fit");
const _: () =
    assert!(STOP_GRACE.as_millis() + LAST_FLUSH.as_millis() < KILL_GRACE.as_millis(), "it ends first");

/// Orders by signals that may wait for a server: there are three kinds of them.
pub const ORDERS_MAX: usize = 16;

/// Events that may wait for the process that watches a herd: far more than its servers make. When it is full, whoever
/// has the next one waits.
pub const FAMILY_EVENTS: usize = 64;

/// Log lines shown of a server that died, and the bytes at the end of its log in which they are looked for.
pub const LAST_LINES: usize = 5;
pub const LAST_LINES_BYTES: u64 = 16 * 1024;

/// How much longer than `stop_timeout_s` a server's process has before it is killed: it needs that to end.
pub const KILL_GRACE: Duration = Duration::from_secs(1);

/// How much later than a server the process that watches it may hear of a signal that was meant for both.
pub const SIGNAL_GRACE: Duration = Duration::from_millis(500);

/// How often that process looks whether such a signal has come, or whether a server has ended.
pub const FAMILY_LOOK: Duration = Duration::from_millis(5);

/// News that is not confirmed for so long, in ms, is worth a line: a mark goes out every second.
pub const AGREE_CONFIRMED_MS: u64 = 5_000;

/// How long to wait before servers that differ are asked again.
pub const AGREE_REST: Duration = Duration::from_millis(200);

/// How long whoever has the port may take to say who it is.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// Ports that are tried at once: each takes a small thread, which mostly waits.
pub const PROBES_AT_ONCE: usize = 32;
