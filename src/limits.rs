//! Every bound of the program with the reason for its value. Those with a range can be set in
//! herd.conf, where `config` checks the range. Everybody reads them; those of connections, of logs, of places, of the
//! backbone and of commands have a file each.

mod backbone;
mod balance;
mod connections;
mod feed;
mod lanes;
mod logs;
mod nearest;
mod places;
mod run;

use std::ops::RangeInclusive;
use std::time::Duration;

pub use backbone::*;
pub use balance::*;
pub use connections::*;
pub use feed::*;
pub use lanes::*;
pub use logs::*;
pub use nearest::*;
pub use places::*;
pub use run::*;

/// A setting of herd.conf: its default and the values it may take.
pub struct Limit {
    pub default: u64,
    pub range: RangeInclusive<u64>,
}

const fn limit(default: u64, min: u64, max: u64) -> Limit {
    Limit { default, range: min..=max }
}

/// Worker threads. The default 0 stands for one a core, at least two, so that one stays free
/// while another is busy; more than 256 only adds switches.
pub const WORKERS: Limit = limit(0, 1, 256);
pub const WORKERS_MIN: usize = 2;

/// Clients known before a report of one that is not known is refused; 0 is no limit. A million take some
/// 155 MB; what neighbours say of further ones is taken all the same.
pub const MAX_CLIENTS: Limit = limit(1_000_000, 0, 4_000_000_000);

/// Bytes a client takes in memory, with an ID of 25 bytes: as measured, see docs/operations.md.
pub const CLIENT_BYTES: usize = 156;

/// How far ahead of this server's clock a client's time may be and count before others, in ns, unless `max_ahead`
/// says otherwise: a day is more than any time zone taken for another, and far less than milliseconds taken for
/// seconds.
pub const MAX_AHEAD_NS: u64 = 86_400 * 1_000_000_000;

/// Seconds within which a time that is far ahead has to be near the clock in another unit, to be taken for one in that
/// unit: 20 years, as no two units are that close.
pub const LIKELY_WITHIN_S: u64 = 20 * 365 * 86_400;

/// A time so close to the most that may be ahead, in ns, is ahead now or was a moment ago.
pub const AHEAD_UNSURE_NS: u64 = 60 * 1_000_000_000;

/// A clock that is behind a neighbour's by more, in ns, cannot tell what is ahead.
pub const CLOCK_SUSPECT_NS: i64 = 86_400 * 1_000_000_000;

/// Seconds for which it is remembered that a client was to be forgotten: a neighbour that is back within 30 days brings
/// nothing of it back.
pub const FORGOTTEN_FOR_S: u64 = 30 * 86_400;

/// In place of the second before which everything is past, while nothing is.
pub const NEVER_PAST_S: i64 = i64::MIN;

/// No clock that is right reads less, in ns since 1970: this is 2020.
pub const CLOCK_SANE_NS: u64 = 1_577_836_800 * 1_000_000_000;

/// Bytes in a client's line, without its newline. 4,096 holds any sane ID; the largest value
/// keeps every offset in an AT line within 16 bits.
pub const MAX_LINE: Limit = limit(4_096, MAX_LINE_MIN as u64, 16_384);
pub const MAX_LINE_MIN: usize = 128;

/// Seconds from SIGTERM to the exit, whatever still hangs.
pub const STOP_TIMEOUT_S: Limit = limit(5, 1, 3_600);

/// Percent of that time after which a stopping server answers nothing more that comes, cancels lookups, waits no more for its workers, and waits no
/// more for the flooder, the sweeps and the journal: what is late leaves some of the time to those who come after it.
pub const STOP_DRAIN_PERCENT: u32 = 25;
pub const STOP_LOOKUPS_PERCENT: u32 = 50;
pub const STOP_WORKERS_PERCENT: u32 = 80;
pub const STOP_OTHERS_PERCENT: u32 = 85;
const _: () =
    assert!(STOP_LOOKUPS_PERCENT < STOP_WORKERS_PERCENT && STOP_WORKERS_PERCENT < STOP_OTHERS_PERCENT);
const _: () =
    assert!(2 * STOP_DRAIN_PERCENT < STOP_WORKERS_PERCENT, "who is told the end has time to close, too");

/// Bytes of a secret at least: 16 random ones cannot be guessed. And of a file with some.
pub const SECRET_MIN: usize = 16;
pub const SECRET_FILE_MAX: u64 = 65_536;

/// Bytes of a herd.conf: ten thousand servers. Another file that is read to the end would cost the machine its memory.
pub const CONFIG_FILE_MAX: u64 = 4 * 1024 * 1024;

/// Bytes of a server's name, which stands in every AT line it originates.
pub const NAME_MAX: usize = 64;

/// An AT line is the client's three fields, a name and a difference, whose digits are at most
/// those of the time and ten more.
pub const fn at_line_max(max_line: usize) -> usize {
    2 * max_line + NAME_MAX + 32
}

/// The longest AT line any setting allows.
pub const AT_LINE_MAX: usize = at_line_max(16_384);
const _: () = assert!(AT_LINE_MAX < u16::MAX as usize, "an offset in an AT line fits in 16 bits");

/// Bytes read in one turn before its news and replies go out, so that a turn's memory and the
/// wait of its first reply are bounded.
pub const TURN_BYTES_MAX: usize = 128 * 1024;
const _: () = assert!(READ_BYTES <= TURN_BYTES_MAX, "a turn has room for one read");

/// Batches the workers may be ahead of the flooder. Full, every link is marked behind.
pub const FLOOD_BATCHES: usize = 256;

/// Bytes of a batch that a worker may send to the links itself: a turn of 50 clients fits, a burst
/// is left to the flooder, so that the worker has its time for its clients.
pub const FLOOD_SMALL_BYTES: usize = 16 * 1024;

/// Links that a worker may write to itself. A write costs as much as several updates, and the flooder has one for
/// what several turns had for a link.
pub const FLOOD_DIRECT_LINKS: usize = 4;

/// Microseconds the flooder gathers after it has written to more links than that. An update is later by so much at
/// each server on its way, at most.
pub const FLOOD_REST_US: u64 = 500;

/// Bytes of news the flooder joins before it offers them to the links.
pub const FLOOD_DRAIN_BYTES: usize = 256 * 1024;

/// Bytes of AT lines that wait for a link whose socket does not take them. Full, the link is marked
/// behind and reads what it missed from the store.
pub const LINK_PENDING_BYTES: usize = 4 * 1024 * 1024;

/// Bytes that may be under way to a neighbour which has not said that it read them: at first, at least, and at most.
/// The least fills a line of 27 KB/s with 600 ms there and back; the most is what a fast line takes in a moment.
pub const LINK_WINDOW_BYTES: u64 = 16 * 1024;
pub const LINK_WINDOW_MIN: u64 = 16 * 1024;
pub const LINK_WINDOW_MAX: u64 = 16 * 1024 * 1024;

/// Milliseconds for which sent bytes may wait on the way before the window shrinks, and below which they would still
/// wait when it has grown: what is new waits about as long.
pub const LINK_WINDOW_SHRINK_MS: u64 = 2_000;
pub const LINK_WINDOW_GROW_MS: u64 = 1_000;

/// Milliseconds that the way to a neighbour and back is believed to take at most.
pub const LINK_WAY_MS: u64 = 1_000;

/// Bytes of the store that a link reads for one write.
pub const LINK_WALK_BYTES: usize = 4 * 1024;

/// Seconds until the next try of a link that is down: doubling from the first to the second.
pub const RECONNECT_MIN_S: f64 = 0.1;
pub const RECONNECT_MAX_S: f64 = 5.0;

/// How often that doubles at most: far beyond the longest, and still a number.
pub const RECONNECT_DOUBLINGS_MAX: u32 = 16;

/// Seconds after its start in which a server warns of no neighbour that is not there yet: servers that start
/// together find each other a moment later.
pub const LINK_START_GRACE_S: u64 = 3;

/// Reasons for which one link is down that the log has before it is up again: more are of an error that never is the same.
pub const LINK_REASONS_MAX: usize = 8;

/// Milliseconds that a link holds before it is believed to be up again after it was down.
pub const LINK_PROOF_MS: u64 = 1_000;

/// Milliseconds either end of a link has for each part of the exchange that opens it.
pub const GREETING_MS: Limit = limit(5_000, 10, 3_600_000);

/// Seconds after which news is confirmed by a mark.
pub const MARK_S: u64 = 1;

/// Seconds between two looks for news that nobody waits for, as there are no neighbours.
pub const MARK_ALONE_S: u64 = 60;

/// Milliseconds after which a mark is repeated when there is no news, so that both ends know that
/// the link lives.
pub const HEARTBEAT_MS: Limit = limit(5_000, 10, 3_600_000);

/// Heartbeats without a word of a neighbour after which its link is down: one lost in a stall is no
/// outage.
pub const SILENT_HEARTBEATS: u32 = 3;

/// Milliseconds without news after which a link compares its store with the neighbour's, and what a
/// neighbour may take to answer: a digest of a million clients takes a fraction of a second.
pub const COMPARE_MS: Limit = limit(10_000, 10, 3_600_000);
pub const DIGEST_WAIT_MS: Limit = limit(10_000, 10, 3_600_000);

/// Milliseconds after which stores are compared though there is news, as in a herd that is never quiet. What is new
/// is left out: seconds that a record has to be old, in which it comes by the slowest of ways, and clocks may be
/// apart by a third of it.
pub const COMPARE_BUSY_MS: Limit = limit(180_000, 10, 3_600_000);
pub const COMPARE_SETTLED_S: i64 = 30;

/// A comparison while there is news takes up to so many digests, so many milliseconds apart: a part of the store that
/// differs in all of them differs by more than what is on its way. At most so many of the 256 parts are then sent, so
/// that it costs an eighth of the store where news is so thick that nothing can be told apart.
pub const COMPARE_SAMPLES: u32 = 8;
pub const COMPARE_SAMPLE_MS: u64 = 1_000;
pub const COMPARE_PARTS_MAX: usize = 32;

/// Seconds before it is forgotten in which a client is not compared any more: twice what clocks may differ by
/// without a warning, and some for the time it takes to ask.
pub const COMPARE_MARGIN_S: i64 = 26;

/// Milliseconds for which two stores may differ before that is worth a warning: a repair takes a
/// comparison or two.
pub const DIFFER_MS: Limit = limit(60_000, 10, 3_600_000);

/// How often the rest between comparisons that find a difference doubles: a difference that stays costs little then.
pub const COMPARE_DOUBLINGS_MAX: u32 = 4;

/// Milliseconds until a compaction that failed, of a journal that can be appended to, is tried again.
pub const COMPACT_REST_MS: Limit = limit(60_000, 10, 3_600_000);

/// The long waits of a server, the table `[timing]` of herd.conf. The defaults suit every herd; tests
/// shorten them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timing {
    /// For each part of the exchange that opens a link.
    pub greeting: Duration,
    /// Between marks when there is no news.
    pub heartbeat: Duration,
    /// Without news, before stores are compared.
    pub compare: Duration,
    /// With news, between two comparisons.
    pub compare_busy: Duration,
    /// For the answer to ASK.
    pub digest_wait: Duration,
    /// For which stores may differ without a warning.
    pub differ: Duration,
    /// After a compaction that failed.
    pub compact_rest: Duration,
    /// A silence that has a connection make way for another.
    pub silent: Duration,
    /// After the start and after a jump of this machine's clock, in which nobody is forgotten.
    pub settle: Duration,
}

impl Timing {
    /// Without a word for this long, a link is down.
    pub fn silence(&self) -> Duration {
        self.heartbeat * SILENT_HEARTBEATS
    }
}

impl Default for Timing {
    fn default() -> Timing {
        let ms = |limit: &Limit| Duration::from_millis(limit.default);
        Timing {
            greeting: ms(&GREETING_MS),
            heartbeat: ms(&HEARTBEAT_MS),
            compare: ms(&COMPARE_MS),
            compare_busy: ms(&COMPARE_BUSY_MS),
            digest_wait: ms(&DIGEST_WAIT_MS),
            differ: ms(&DIFFER_MS),
            compact_rest: ms(&COMPACT_REST_MS),
            silent: ms(&SILENT_MS),
            settle: ms(&SETTLE_MS),
        }
    }
}

/// How late what was appended to a journal may reach the disk: what an AT reply promises. It is `sync` of herd.conf,
/// and here because `config` reads it and `journal` keeps it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Before the reply.
    Always,
    /// Within a second; a crash of the process loses nothing.
    Second,
    /// When the system likes; a crash of the process loses nothing.
    Never,
}

/// Marks a link remembers that its neighbour has not confirmed: one a second for a quarter of an hour, in
/// which a neighbour whose disk fails confirms none.
pub const MARKS_MAX: usize = 1_024;

/// How often the flooder looks whether the workers' turns in hand are over, in ms.
pub const TURNS_LOOK_MS: u64 = 5;

/// Errands that may wait for their thread: a digest a link, and some who ask.
pub const ERRANDS_MAX: usize = 64;

/// Milliseconds by which the clocks of two neighbours may differ before that is worth a warning, and
/// is reckoned with when clients are forgotten. Machines that set theirs by the network differ by less
/// than one; a person who sets one by hand comes as close as this.
pub const CLOCKS_APART_MS: u64 = 10_000;

/// Seconds for which it counts that some clock of the herd is behind, after it was last measured: the
/// word passes from server to server with each heartbeat.
pub const CLOCK_TOLD_S: u64 = 600;

/// Milliseconds that this machine's clock may gain or lose between two looks, before that is a jump;
/// and for how long nobody is forgotten after a jump, so that neighbours can say what they think of it, and whoever
/// set the clock can mend a mistake.
pub const CLOCK_STEP_MS: u64 = 2_000;
pub const SETTLE_MS: Limit = limit(60_000, 10, 3_600_000);

/// Seconds for which a narrow measurement of a neighbour's clock counts before a wider one: an honest clock drifts by
/// less than 10 ms meanwhile.
pub const CLOCK_NARROW_S: u64 = 60;

/// Records that a neighbour is spared as it closed the link over them, and bytes by which one is known: it has
/// other bounds than this server, which no version of herd has, so that these are few.
pub const REFUSED_MAX: usize = 4_096;
pub const REFUSED_BYTES_MAX: usize = 512;

/// Bytes of the line in which a dialler greets or proves itself, at least, whatever `max_line` is here: a keyword, a
/// name, and hexadecimal digits.
pub const GREETING_LINE_MAX: usize = 256;
const _: () =
    assert!(GREETING_LINE_MAX > NAME_MAX + 32 + 16 + 16 + 16, "a greeting with the longest name fits");

/// Lines that one server may say to `herd --agree`: one a neighbour, and some notes. And the longest it prints.
pub const ANSWER_LINES_MAX: usize = 10_000;
pub const NOTE_MAX: usize = 1_024;

/// How long the herd.confs of two neighbours differ before the log is told: while all servers of a herd read theirs again.
pub const CONFS_DIFFER: Duration = Duration::from_secs(3);

/// Bytes a neighbour may say in one line: a digest, mostly.
pub const LINK_LINE_MAX: usize = 16 * 1024;

/// Bytes of a neighbour's words read at once: it says little.
pub const LINK_READ_BYTES: usize = 4096;

/// How often an open link looks after itself though nothing happens, in ms.
pub const LINK_LOOK_MS: u64 = 5_000;

/// Seconds a neighbour has to accept a link.
pub const LINK_CONNECT_TIMEOUT_S: u64 = 5;

/// Idle seconds after which the kernel asks whether a link's other end still lives, the seconds
/// between its questions, and how many go unanswered before the link is down.
pub const KEEPALIVE_IDLE_S: u64 = 15;
pub const KEEPALIVE_INTERVAL_S: u64 = 5;
pub const KEEPALIVE_RETRIES: u32 = 3;

/// Parts the store is walked in when a link catches up: the lock is held for one of them.
pub const STORE_BUCKETS: usize = 4_096;

/// Records lie in chunks of memory, each for records of one size. Sizes are so many bytes apart up to the second number, so
/// that a usual record is four bytes shorter than its place on average; beyond, there are so many until the double.
pub const ARENA_STEP: usize = 8;
pub const ARENA_FINE_MAX: usize = 256;
pub const ARENA_DOUBLING: usize = 8;

/// Bytes and records of a chunk, at most, but for one long record: small enough that one which is not full is no loss, and
/// what musl's allocator hands out for 16 KiB. And the chunks there may be.
pub const ARENA_CHUNK_BYTES: usize = 16_360;
pub const ARENA_CHUNK_ITEMS: usize = 256;
pub const ARENA_CHUNKS_MAX: usize = 1 << 24;

/// Records whose memory is fetched at once: they fit into the fastest cache of a core. And clients there have to be before
/// it is done for the lines to come: with fewer what they take is in a core's cache anyway.
pub const FETCHED_AT_ONCE: usize = 32;
pub const FETCHED_FROM_CLIENTS: usize = 10_000;

/// Bytes of a journal that a thread reads at once: a few thousand entries, and little memory in all threads.
pub const REPLAY_BYTES: usize = 256 * 1024;
const _: () = assert!(REPLAY_BYTES > 4 * AT_LINE_MAX, "an entry fits, with room to read on");

/// Threads that read a journal, as far as there are cores: the index is made by one, so more are of little use. And bytes
/// of a journal for each of them: a small machine's is read by one, which needs the least memory.
pub const REPLAY_THREADS_MAX: usize = 4;
pub const REPLAY_THREAD_BYTES: u64 = 24 * 1024 * 1024;

/// Parts of the clients that are locked one by one while several threads learn: so many that each finds one that no other
/// is at. And clients that come into the index together after that: their positions take 1 MB.
pub const LOADING_PARTS: usize = 16;
pub const INDEXED_AT_ONCE: usize = 64 * 1024;
const _: () = assert!(LOADING_PARTS.is_power_of_two() && LOADING_PARTS > REPLAY_THREADS_MAX);

/// Bytes that one of them takes: its block, a copy of the lines in it, and where their fields lie.
pub const REPLAY_READER_BYTES: usize = 4 * REPLAY_BYTES;

/// Bytes of a journal's lines that a later version wrote, which are kept in memory: segments with more of them are left as
/// they are.
pub const LATER_KEPT_BYTES: usize = 4 * 1024 * 1024;

/// How often the clock is looked at and clients are forgotten, and how often the journal is looked after, in ms.
pub const SWEEPS_TICK_MS: u64 = 1_000;
pub const TENDING_TICK_MS: u64 = 1_000;

/// The same while nothing is learned, so that a server with nothing to do hardly wakes.
pub const SWEEPS_IDLE_MS: u64 = 2_000;
pub const TENDING_IDLE_MS: u64 = 10_000;

/// Seconds between two lines of the log that say how many lines were refused, by rule.
pub const REFUSALS_REST_S: u64 = 60;

/// How often a long replay says how far it is: often enough that nobody takes it for stuck.
pub const REPLAY_SAY_EVERY: Duration = Duration::from_secs(1);

/// Seconds in which the sweeps have gone through the whole store for clients to forget.
pub const FORGET_SWEEP_S: usize = 16;

/// Of all clients, at most one in so many is forgotten in a second, or so many: where a clock is wrong, the warning
/// comes before all are gone.
pub const FORGET_SHARE: usize = 64;
pub const FORGET_LEAST: usize = 1_000;

/// How often in the time of `forget_after` it is noted what had been learned, to forget those of whom nobody knows when
/// they were heard.
pub const FORGET_NOTES: u32 = 16;

/// Bytes of journal below which compaction is not worth its while.
pub const COMPACT_MIN_BYTES: u64 = 16 * 1024 * 1024;

/// Digits of a segment's number that is read at most: it fits in 64 bits. And a number that no server comes to, at a
/// segment a second: one that somebody made up is lowered at the start, so that those to come have no more digits.
pub const SEGMENT_DIGITS_MAX: usize = 18;
pub const SEGMENT_TOO_HIGH: u64 = 100_000_000_000_000_000;

/// Segments of a journal before it is compacted, as each start begins one.
pub const SEGMENTS_MAX: usize = 16;

/// Times by which a journal may be larger than what is live in it, before it is compacted: at two, at most half of the
/// disk it takes is waste, and an entry is rewritten about once.
pub const COMPACT_FACTOR: u64 = 2;

/// Bytes a compaction gathers for a write, after which it rests: what takes no longer than a turn hardly delays one.
pub const COMPACT_CHUNK_BYTES: usize = 8 * 1024;

/// How often the journal is synced while a compaction runs: the second that `sync = "second"` promises.
pub const COMPACT_SYNC_EVERY: Duration = Duration::from_secs(1);

/// An append to the journal that takes so long keeps others waiting, who need not share it.
pub const SLOW_APPEND: Duration = Duration::from_millis(20);

/// So long after such an append more are expected.
pub const SLOW_LASTS: Duration = Duration::from_secs(60);

/// Bytes before the line of a journal's entry: its sum in eight digits, and a space.
pub const ENTRY_HEAD_BYTES: usize = 9;

/// Bytes that a worker keeps for the entries of its next turn: more was a burst, whose memory goes back.
pub const ENTRIES_KEPT_BYTES: usize = 1024 * 1024;

/// Bytes a compaction writes a second: a million clients in some 3 s, beside which their reports go
/// on at nearly full speed.
pub const COMPACT_BYTES_PER_S: u64 = 40_000_000;

/// Bytes of output that a thread keeps for its next turn.
pub const TURN_KEPT_BYTES: usize = 4 * TURN_BYTES_MAX;

/// Bytes that a thread keeps for the news of its next turn.
pub const NEWS_KEPT_BYTES: usize = 256 * 1024;

/// Seconds for which the log is spared a line that only counts, and one that stays true; and for which a count is
/// worth a word to whoever asks how the herd is.
pub const TALLY_REST_S: u64 = 1;
pub const TALLY_SAY_AGAIN_S: u64 = 3_600;
pub const TALLY_RECENT_S: u64 = 600;

/// Seconds for which the log is spared a sentence about a neighbour that it has already.
pub const ODDITY_SAY_AGAIN_S: u64 = 60;

/// Starts of one neighbour that are remembered at once: two servers of its name, and a restart of each.
pub const LIVES_MAX: usize = 4;

/// Links of a path that are followed after each other, as many as the system follows.
pub const LINKS_FOLLOWED_MAX: usize = 40;

/// Bytes of /etc/passwd that are looked through for the name of a user: ten thousand users have less than 1 MB.
pub const USERS_FILE_MAX: u64 = 4 * 1024 * 1024;

/// How long a dying process waits for its last words to reach the file and stderr: a disk that works needs far less.
pub const PANIC_FLUSH: Duration = Duration::from_secs(1);

/// Bytes for stderr that wait while it takes none; beyond, lines are dropped and counted. More than anybody
/// reads of what a terminal missed, and enough for the end of a log that is shown with a death.
pub const CONSOLE_BUFFER_MAX: usize = 64 * 1024;

/// Bytes that are resident of a server with nothing to do: its program, most of which it shares, and what its threads
/// begin with. packaging/footprint measures it.
pub const PROGRAM_BYTES: usize = 6 * 1024 * 1024;

/// Stack of a thread: their frames are small, a Pi's memory too. The system's resolver needs some tens of KiB.
pub const STACK_BYTES: usize = 256 * 1024;

/// How often it is looked whether a thread has ended that is waited for until a deadline.
pub const THREAD_LOOK: Duration = Duration::from_millis(1);
