//! Counts of what goes wrong often, logged at most once a second.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::protocol::Rule;

/// A counter with a log line that repeats at most once a second, or after another rest.
pub struct Tally {
    total: AtomicU64,
    rest: Duration,
    began: Instant,
    /// When the next line may be logged, in ms after `began`.
    next_ms: AtomicU64,
    /// When it last counted.
    last_ms: AtomicU64,
}

const REST: Duration = Duration::from_secs(1);

/// How long what was counted is worth a word.
const RECENT: Duration = Duration::from_secs(600);

impl Default for Tally {
    fn default() -> Tally {
        Tally::with_rest(REST)
    }
}

impl Tally {
    /// One whose line repeats at most once in this time.
    pub fn with_rest(rest: Duration) -> Tally {
        let (total, next_ms, last_ms) = Default::default();
        Tally { total, rest, began: Instant::now(), next_ms, last_ms }
    }

    /// How many there were.
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    /// Whether it has counted in the last minutes.
    pub fn is_recent(&self) -> bool {
        let last = Duration::from_millis(self.last_ms.load(Ordering::Relaxed));
        self.total() > 0 && self.began.elapsed().saturating_sub(last) < RECENT
    }

    /// Counts one more and, unless that was done within the last second, calls `say` with the total.
    pub fn count(&self, say: impl FnOnce(u64)) {
        let total = self.total.fetch_add(1, Ordering::Relaxed) + 1;
        let now_ms = self.began.elapsed().as_millis() as u64;
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

    pub fn total(&self) -> u64 {
        self.0.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }
}

/// How many lines each rule refused, the rule of most lines first: `3: no such command`.
impl fmt::Display for Refusals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = Rule::ALL.iter().map(|rule| (self.0[rule.index()].load(Ordering::Relaxed), rule));
        let mut counts: Vec<_> = counts.filter(|(count, _)| *count > 0).collect();
        counts.sort_by_key(|(count, _)| std::cmp::Reverse(*count));
        let texts: Vec<_> = counts.iter().map(|(count, rule)| format!("{count}: {}", rule.words())).collect();
        f.write_str(&texts.join("; "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_said_once_and_counted_whole() {
        let (tally, mut said) = (Tally::default(), Vec::new());
        for _ in 0..1_000 {
            tally.count(|total| said.push(total));
        }
        assert_eq!(said[0], 1);
        assert!(said.len() <= 2, "{said:?}");
        tally.next_ms.store(0, Ordering::Relaxed);
        tally.count(|total| said.push(total));
        assert_eq!(said.last(), Some(&1_001));
    }
}
