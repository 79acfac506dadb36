//! Counts of what goes wrong often, each logged at most so often. Doors, workers and links count; the status
//! reads. Times are since the start of the process's clock.

mod phones;
mod times;
mod traffic;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::{TALLY_RECENT_S, TALLY_REST_S, TALLY_SAY_AGAIN_S};
use crate::protocol::Rule;
pub use phones::{App, Reason, SummedPhones};
pub use times::{SummedTimes, Times};
pub use traffic::{AllTraffic, Asked, DoorKind, Ended, InTurn, Summed, SummedConnections, Traffic};

/// A counter with a log line that repeats at most once a second, or after another rest.
pub struct Tally {
    total: AtomicU64,
    rest: Duration,
    /// When the next line may be logged, in ms.
    next_ms: AtomicU64,
    /// When it last counted.
    last_ms: AtomicU64,
}

impl Default for Tally {
    fn default() -> Tally {
        Tally::with_rest(Duration::from_secs(TALLY_REST_S))
    }
}

impl Tally {
    /// One whose line repeats at most once in this time.
    pub fn with_rest(rest: Duration) -> Tally {
        let (total, next_ms, last_ms) = Default::default();
        Tally { total, rest, next_ms, last_ms }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether it has counted in the last minutes.
    pub fn is_recent(&self, now: Duration) -> bool {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.total() > 0 && now.saturating_sub(last) < Duration::from_secs(TALLY_RECENT_S)
    }

    /// Counts one more and, unless that was said a moment ago, calls `say` with the total.
    pub fn count(&self, now: Duration, say: impl FnOnce(u64)) {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let now_ms = now.as_millis() as u64;
        self.last_ms.store(now_ms, Ordering::Relaxed);
        let next_ms = self.next_ms.load(Ordering::Relaxed);
        let then_ms = now_ms + self.rest.as_millis() as u64;
        let won = now_ms >= next_ms
            && self.next_ms.compare_exchange(next_ms, then_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok();
        if won {
            say(total);
        }
    }
}

/// What goes wrong on connections now and then.
pub struct Tallies {
    /// Connections closed for want of room.
    pub refused: Tally,
    /// Connections closed as they were silent, to make room.
    pub evicted: Tally,
    /// Connections closed as too much was unsent in all.
    pub shed: Tally,
    /// Times that there was no descriptor for a new connection.
    pub starved: Tally,
    /// AT lines of neighbours that are no valid records.
    pub dropped: Tally,
    /// AT lines of neighbours that were cut off before their end, as when a link breaks.
    pub cut: Tally,
    /// Links whose dialler was not who it should be.
    pub denied: Tally,
    /// Records of neighbours that were to be forgotten when they came.
    pub past: Tally,
    /// Reports of clients that are not known, with as many known as may be.
    pub full: Tally,
    /// The same, and clients to be forgotten that are not known, with as many forgotten as may be remembered.
    pub full_of_notes: Tally,
    /// Addresses that showed as many wrong tokens as may be.
    pub guessed: Tally,
    /// Reports whose time is far ahead.
    pub far_ahead: Tally,
    /// The same, where our own clock seems to be wrong.
    pub suspect: Tally,
    /// Lines of clients that were refused, by rule.
    pub refusals: Refusals,
    /// What was asked.
    pub traffic: AllTraffic,
}

impl Default for Tallies {
    fn default() -> Tallies {
        let say_again = Duration::from_secs(TALLY_SAY_AGAIN_S);
        Tallies {
            refused: Tally::default(),
            evicted: Tally::default(),
            shed: Tally::default(),
            starved: Tally::default(),
            dropped: Tally::default(),
            cut: Tally::default(),
            denied: Tally::default(),
            past: Tally::default(),
            full: Tally::with_rest(say_again),
            full_of_notes: Tally::with_rest(say_again),
            guessed: Tally::default(),
            far_ahead: Tally::default(),
            suspect: Tally::with_rest(say_again),
            refusals: Refusals::default(),
            traffic: AllTraffic::default(),
        }
    }
}

/// Lines of clients that were refused, by the rule that refused them.
pub struct Refusals([AtomicU64; Rule::ALL.len()]);

impl Default for Refusals {
    fn default() -> Refusals {
        Refusals(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl Refusals {
    pub fn count(&self, rule: Rule) {
        self.0[rule.index()].fetch_add(1, Ordering::Relaxed);
    }

    /// Those of each rule that refused any.
    pub fn by_rule(&self) -> Vec<(Rule, u64)> {
        let counts = Rule::ALL.iter().map(|rule| (*rule, self.0[rule.index()].load(Ordering::Relaxed)));
        counts.filter(|(_, count)| *count > 0).collect()
    }

    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// How many lines each rule refused, the rule of most lines first: `3: no such command`.
impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = self.by_rule();
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        let texts: Vec<_> = counts.iter().map(|(rule, count)| format!("{count}: {}", rule.words())).collect();
        f.write_str(&texts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_said_once_and_counted_whole() {
        let (tally, mut said) = (Tally::default(), Vec::new());
        for ms in 0..1_000 {
            tally.count(Duration::from_millis(ms), |total| said.push(total));
        }
        assert_eq!(said, [1]);
        tally.count(Duration::from_millis(1_000), |total| said.push(total));
        assert_eq!(said, [1, 1_001]);
        let is_recent = [1, 600, 601].map(|seconds| tally.is_recent(Duration::from_secs(seconds)));
        assert_eq!(is_recent, [true, true, false]);
    }
}
