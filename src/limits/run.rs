//! The bounds of commands: of reading herd.conf, and of a herd started as a family of processes. `limits` hands them on.

use std::time::Duration;

use super::LISTENERS_MAX;

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

/// Orders by signals that may wait for a server: there are five kinds of them.
pub const ORDERS_MAX: usize = 16;

/// How long the next program may take to check herd.conf before an upgrade, which reads the places, too; how often it is
/// looked at meanwhile; and how many bytes of what it objects to are passed on.
pub const UPGRADE_CHECK: Duration = Duration::from_secs(300);
pub const UPGRADE_LOOK: Duration = Duration::from_millis(20);
pub const UPGRADE_WORDS_BYTES: usize = 4_096;

/// How long a herd waits for a server to listen again after its upgrade, before it leaves the others as they are.
pub const UPGRADE_PATIENCE: Duration = Duration::from_secs(330);
const _: () = assert!(UPGRADE_PATIENCE.as_secs() > UPGRADE_CHECK.as_secs(), "the check comes first");

/// Descriptors that a process takes from the one before it, and bytes of their names: listeners of two doors, herd.conf and
/// stdin.
pub const HANDED_ON_MAX: usize = 2 * LISTENERS_MAX + 2;
pub const HANDED_ON_BYTES: usize = 1_024;

/// Lines of a journal between two words of how far its reading is, and how often they are passed on.
pub const PROGRESS_LINES: u64 = 10_000;
pub const PROGRESS_REST: Duration = Duration::from_secs(1);

/// How much longer a start may take since its last word: a stuck disk is given that, and no longer.
pub const MANAGER_EXTEND: Duration = Duration::from_secs(30);

/// How long a manager that takes nothing is waited for, with what it has to hear.
pub const MANAGER_PATIENCE: Duration = Duration::from_secs(5);

/// Whoever computes less than this between two words does not get on.
pub const PROGRESS_COMPUTED: Duration = Duration::from_millis(10);

/// How often the service manager hears that a server lives, in the time in which it wants to hear it.
pub const MANAGER_WATCHDOG_SHARE: u32 = 3;

/// How long a server that listens waits for what its neighbours know before it is ready; how often it looks whether they
/// have sent it; and how often, once it is ready, the manager is told how it is, if that has changed.
pub const MANAGER_READY_AFTER: Duration = Duration::from_secs(10);
pub const MANAGER_READY_LOOK: Duration = Duration::from_millis(50);
pub const MANAGER_STATUS_REST: Duration = Duration::from_secs(5);

/// Events that may wait for the process that watches a herd: far more than its servers make. When it is full, whoever
/// has the next one waits.
pub const FAMILY_EVENTS: usize = 64;

/// Log lines shown of a server that died, and the bytes at the end of its log in which they are looked for.
pub const LAST_LINES: usize = 5;
pub const LAST_LINES_BYTES: u64 = 16 * 1024;

/// How much longer than `stop_timeout_s` a server's process has before it is killed: it needs that to end.
pub const KILL_GRACE: Duration = Duration::from_secs(1);

/// How long the thread that hears signals may take to end before the process becomes another program.
pub const LAST_SIGNAL: Duration = Duration::from_secs(1);

/// How much later than a server the process that watches it may hear of a signal that was meant for both.
pub const SIGNAL_GRACE: Duration = Duration::from_millis(500);

/// How often that process looks whether such a signal has come, or whether a server has ended.
pub const FAMILY_LOOK: Duration = Duration::from_millis(5);

/// News that is not confirmed for so long, in ms, is worth a line: a mark goes out every second.
pub const AGREE_CONFIRMED_MS: u64 = 5_000;

/// How long to wait before servers that differ are asked again.
pub const AGREE_REST: Duration = Duration::from_millis(200);

/// How long a server may take at least when the time for which servers are asked is nearly over.
pub const AGREE_LEAST: Duration = Duration::from_secs(1);

/// How long a server may take for each line that `herdctl` waits for, unless `--timeout` says otherwise: WHATSAT may ask a
/// provider of places meanwhile.
pub const CTL_PATIENCE: Duration = Duration::from_secs(5);

/// How long a server may take for an order of `herdctl`, unless `--timeout` says otherwise: it may read large files of
/// places, or a large journal. And how often `herdctl upgrade` looks whether it is back.
pub const ORDER_PATIENCE: Duration = Duration::from_secs(120);
pub const COMES_BACK_LOOK: Duration = Duration::from_millis(50);

/// Bytes of one line of a reply, and of all its lines: AT lines of NEAR, and the JSON of WHATSAT, are less.
pub const REPLY_LINE_MAX: u64 = 2 * 1024 * 1024;
pub const REPLY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Lines that `herdctl send` is ahead of their replies. When so many wait, it sends no more before the next has come.
pub const SEND_AHEAD_MAX: usize = 1_024;

/// Bytes of a line on stdin, the longest that any server takes.
pub const SEND_LINE_MAX: u64 = 16 * 1024;

/// Kilometres around the position of `herdctl watch --near`, unless `--km` says them.
pub const WATCH_KM: f64 = 10.0;

/// Changes of servers that are no neighbours which the answer of a reload names: a herd may have thousands.
pub const OTHERS_SAID_MAX: usize = 8;

/// Characters that `herdctl status` shows of what tells one herd.conf from another.
pub const CONFIG_SHOWN: usize = 8;

/// Clients in the area of `herdctl watch --near` of which it notices that they leave: 16 MB of hashes.
pub const WATCH_THERE_MAX: usize = 1_000_000;

/// How long whoever has the port may take to say who it is.
pub const PROBE_PATIENCE: Duration = Duration::from_secs(2);

/// Ports that are tried at once: each takes a small thread, which mostly waits.
pub const PROBES_AT_ONCE: usize = 32;
