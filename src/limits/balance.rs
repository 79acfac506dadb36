//! The bounds by which connections change workers. `worker` calls it.

use std::time::Duration;

/// How long a worker's load is measured before it is judged.
pub const WINDOW: Duration = Duration::from_millis(50);

/// A worker that computes for more of a window than this is saturated, in thousandths.
pub const SATURATED: u32 = 900;

/// A worker below this may take over connections of a saturated one.
pub const HAS_ROOM: u32 = 500;

/// When a worker's load and the first worker's together stay below this, the first can carry both.
pub const QUIET: u32 = 600;

/// Another worker is of use when the machine's cores idled for more than this in a window, in
/// thousandths of one core. The kernel counts it in ticks, of which a window has few.
pub const CORE_TO_SPARE: u32 = 500;

/// A worker that could compute but had no core for more than this of a window is in the way of
/// others, in thousandths.
pub const CROWDED: u32 = 200;

/// For how many windows it must be quiet or crowded, so that connections do not wander to and fro.
pub const QUIET_WINDOWS: u32 = 20;

/// How often a worker at work looks at its load though nothing happens.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// While the journal's disk is slow: who has said nothing to be learned for so many seconds is served apart from those who
/// do.
pub const REPORTS_FOR_S: u16 = 2;
