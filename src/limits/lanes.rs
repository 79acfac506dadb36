//! Bounds of lanes and tails, the ways into the engine of the backbone and out of it.

use std::time::Duration;

/// Records that the script merges in one call. Lua takes no more than some thousand values at once.
pub const MERGED_AT_ONCE_MAX: usize = 1_024;

/// Records and bytes of one batch: an engine does nothing else meanwhile, which is about 1 ms.
pub const BATCH_RECORDS: usize = 256;
pub const BATCH_BYTES: usize = 32 * 1024;
const _: () = assert!(BATCH_RECORDS <= MERGED_AT_ONCE_MAX, "the script takes a batch");

/// Batches that are on their way to an engine at once, so that neither end waits for the way there and back of each.
pub const BATCHES_UNDER_WAY: usize = 4;

/// Bytes of AT lines that a lane takes up at once.
pub const LANE_BYTES: usize = 256 * 1024;

/// How often a server says in the engine that it is a member, and looks whether the engine has what it had.
pub const MEMBER_S: u64 = 5;

/// For how long servers that find that an engine has lost what it had put off telling it again, at random so that not all of
/// them do at once: this for each client that there is, and no more than the other.
pub const AGAIN_CLIENT_US: u64 = 100;
pub const AGAIN_MAX_S: u64 = 10;

/// Bytes of AT lines from an engine that are learned before they go on.
pub const BACKBONE_TURN_BYTES: usize = 64 * 1024;

/// Lines that are asked for at once of all that a part has, about. An engine does nothing else meanwhile.
pub const SCAN_COUNT: usize = 250;

/// Entries that are asked for at once: as many of each part as makes that, and one at least. Each has up to 32 KB.
pub const ENTRIES_AT_ONCE: usize = 256;

/// How long an engine waits for entries before it says that there are none. A server that stops waits no longer for that.
pub const READ_WAIT: Duration = Duration::from_millis(500);

/// Origins of records that are kept in mind as no members. More than any herd has; of further ones each record has a lane
/// ask for members.
pub const STRANGERS_MAX: usize = 4_096;

/// How often a server looks whether a part has all that it knows, whoever is its origin: an origin may be gone for good. And
/// how long after an engine was found to have lost something: the others put in again what is theirs before that.
pub const SCRUB_S: u64 = 3_600;
pub const SCRUB_SOON_S: (u64, u64) = (20, 50);

/// Into how many shares the herd is divided for that: of a share all clients are kept in mind at once, some 20 bytes each.
pub const SCRUB_SHARES: usize = 16;

/// Lines at once that an engine has and that are to be put right; further ones are when they are read the next time.
pub const WRONG_MAX: usize = 1_024;

/// Who was not there for so long is no member any more. And so far behind the engine's clock ours may be before it is not
/// believed about what is too far ahead.
pub const MEMBER_AWAY_S: u64 = 30;
pub const CLOCK_BEHIND_S: u64 = 60;
