//! Whether the journal's disk keeps those waiting who append. `Journal::append` notes it, workers ask.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use crate::limits::{SLOW_APPEND, SLOW_LASTS};

/// How long appends took lately.
pub struct Pace {
    origin: Instant,
    /// Until when the disk counts as slow, in ms since then.
    slow_until_ms: AtomicU64,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { origin: Instant::now(), slow_until_ms: AtomicU64::new(0) }
    }
}

impl Pace {
    /// A write that began then has ended, with its sync where that is waited for.
    pub fn note(&self, begun: Instant) {
        let now = Instant::now();
        if now.duration_since(begun) >= SLOW_APPEND {
            self.slow_until_ms.fetch_max(self.ms(now + SLOW_LASTS), Ordering::Relaxed);
        }
    }

    pub fn is_slow(&self) -> bool {
        let until_ms = self.slow_until_ms.load(Ordering::Relaxed);
        until_ms > 0 && self.ms(Instant::now()) < until_ms
    }

    fn ms(&self, at: Instant) -> u64 {
        at.duration_since(self.origin).as_millis() as u64
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_disk_is_slow_for_a_while_after_an_append_that_took_long() {
        let pace = Pace::default();
        let ago = |time: Duration| Instant::now().checked_sub(time).expect("the machine has run for so long");
        pace.note(Instant::now());
        assert!(!pace.is_slow());
        pace.note(ago(SLOW_APPEND));
        assert!(pace.is_slow());
        let later = Pace { origin: ago(SLOW_LASTS + Duration::from_secs(1)), ..pace };
        assert!(!later.is_slow(), "it was so long ago");
    }
}
