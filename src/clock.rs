//! The time as a value. The threads read their clock and pass on a `Moment`; whatever has no thread takes
//! the time from whoever calls it, and so does the simulation of the tests.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Now, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Since the start of the clock. It never goes back.
    pub up: Duration,
    /// Since 1970 in ns, as clients count it. Somebody may set it.
    pub posix_ns: u64,
}

/// A time since the start of the clock, in half the bytes: for what is kept of each of many thousands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    ns: u64,
}

impl Stamp {
    pub fn up(self) -> Duration {
        Duration::from_nanos(self.ns)
    }
}

impl From<Duration> for Stamp {
    fn from(up: Duration) -> Stamp {
        Stamp { ns: up.as_nanos() as u64 }
    }
}

/// Counts from its start.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    began: Instant,
}

impl Clock {
    pub fn start() -> Clock {
        Clock { began: Instant::now() }
    }

    /// Both clocks.
    pub fn now(self) -> Moment {
        Moment { up: self.up(), posix_ns: posix_ns() }
    }

    /// The time since the start.
    pub fn up(self) -> Duration {
        self.began.elapsed()
    }

    /// The instant of a time since the start.
    pub fn instant(self, up: Duration) -> Instant {
        self.began + up
    }
}

/// The time since 1970 in ns; 0 before 1970.
pub fn posix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
