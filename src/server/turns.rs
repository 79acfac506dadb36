//! Counts a worker's turns, so that others can tell when what it had in hand has left it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Odd while a turn is under way.
#[derive(Default)]
pub struct Turns(AtomicU64);

impl Turns {
    pub fn begin(&self) {
        self.0.fetch_or(1, Ordering::SeqCst);
    }

    /// Ends the turn, if one is under way.
    pub fn end(&self) {
        let count = self.0.load(Ordering::SeqCst);
        self.0.store(count + (count & 1), Ordering::SeqCst);
    }

    /// The turn that is under way, if any.
    pub fn current(&self) -> Option<u64> {
        Some(self.0.load(Ordering::SeqCst)).filter(|count| count & 1 == 1)
    }

    /// Whether a turn that was under way is over.
    pub fn is_past(&self, turn: u64) -> bool {
        self.0.load(Ordering::SeqCst) != turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_under_way_until_it_ends() {
        let turns = Turns::default();
        turns.end();
        assert_eq!(turns.current(), None);
        turns.begin();
        let first = turns.current().expect("one is under way");
        assert!(!turns.is_past(first));
        turns.end();
        assert!(turns.is_past(first) && turns.current().is_none());
        turns.begin();
        assert!(turns.is_past(first) && turns.current().is_some());
    }
}
