//! The bounds of the feed: of those who watch, and what is kept for them. `limits` hands them on.

use super::{KERNEL_UNSENT_BYTES, MAX_UNSENT_TOTAL};

/// Readers of a server, by both doors. A dashboard is one, and a browser is one however many tabs it has.
pub const FEED_READERS_MAX: usize = 1_000;

/// Milliseconds between two looks at what has changed: nobody sees that a marker on a map is a tenth of a second late.
pub const FEED_TICK_MS: u64 = 100;

/// Milliseconds by which such a look is put off until one in so many of those who read has come to the end of what was told
/// last: what changes meanwhile is told them once, and not again and again. And milliseconds after which it is seen whether
/// they have.
pub const FEED_AWAITED_BY_ONE_IN: usize = 4;
pub const FEED_PUT_OFF_MS: u64 = 900;
pub const FEED_LOOK_AGAIN_MS: u64 = 10;

/// Seconds after which a reader that had nothing to be told of is told that. Proxies close what is silent for a minute.
pub const FEED_PAUSE_S: u64 = 15;

/// Bytes of the IDs of who has changed since the last look. With more, readers look in the store.
pub const FEED_CHANGES_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of a piece of events that is sent at once, and that a connection of somebody who does not read counts for: large
/// pieces take fewer turns and wake readers less often. All who are sent one share it. If nobody reads at all, what waits for
/// them is not yet what `max_unsent_total` has go.
pub const FEED_PIECE_BYTES: usize = 160 * 1024;
const _: () = assert!(
    FEED_READERS_MAX * (FEED_PIECE_BYTES + KERNEL_UNSENT_BYTES) < 4 * MAX_UNSENT_TOTAL.default as usize / 5
);

/// Bytes of a piece that a reader shares with nobody: of what it is told of the store, and where nobody else watches the same.
pub const FEED_OWN_PIECE_BYTES: usize = 64 * 1024;

/// Bytes of pieces that all channels keep together for readers that are a little behind; each keeps its last piece
/// beside that.
pub const FEED_RINGS_BYTES: usize = 16 * 1024 * 1024;

/// Seconds for which an area is kept that nobody watches any more, so that whoever comes back is told who came and who
/// left: longer than a browser, a proxy or a phone needs to find its way back. And how many such areas: with more, those
/// that were first watched go, as each takes a share of the bytes above and of the feeder's time.
pub const FEED_AREA_KEPT_S: u64 = 300;
pub const FEED_AREAS_KEPT: usize = 64;

/// Parts of the store that one reader is led through before it is another one's turn.
pub const FEED_LOOKS: usize = 64;

/// Milliseconds after which a browser is to come back whose connection was cut: at least, and up to so many more, so that
/// a thousand do not come at once.
pub const FEED_RETRY_MS: u64 = 2_000;
pub const FEED_RETRY_SPREAD_MS: u64 = 3_000;
