//! Counts the turns of each thread that learns, so that the marker can tell when what was in hand has left it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The turns of all threads that learn: each joins once.
#[derive(Default)]
pub struct Turns(Mutex<Vec<Arc<TurnCount>>>);

/// The turns of one thread.
#[derive(Default)]
pub struct TurnCount {
    /// Odd while a turn is under way.
    count: AtomicU64,
    /// It waits for the journal's disk.
    at_disk: AtomicBool,
}

/// A turn that is under way: whose, and which.
pub type UnderWay = (Arc<TurnCount>, u64);

impl Turns {
    /// A thread that learns begins. What it learns from now on is waited for.
    pub fn join(&self) -> Arc<TurnCount> {
        let count = Arc::new(TurnCount::default());
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(count.clone());
        count
    }

    /// The turns that are under way now.
    pub fn under_way(&self) -> Vec<UnderWay> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.iter().filter_map(|count| Some((count.clone(), count.current()?))).collect()
    }
}

impl TurnCount {
    pub fn begin(&self) {
        self.count.fetch_or(1, Ordering::SeqCst);
    }

    /// Ends the turn, if one is under way.
    pub fn end(&self) {
        let count = self.count.load(Ordering::SeqCst);
        self.count.store(count + (count & 1), Ordering::SeqCst);
    }

    /// The turn that is under way, if any.
    fn current(&self) -> Option<u64> {
        Some(self.count.load(Ordering::SeqCst)).filter(|count| count & 1 == 1)
    }

    /// Whether the turn waits for a disk, which may take as long as it likes.
    pub fn set_at_disk(&self, is_there: bool) {
        self.at_disk.store(is_there, Ordering::Relaxed);
    }

    /// Whether a turn that was under way still is, though no disk keeps it waiting.
    pub fn hangs_in(&self, turn: u64) -> bool {
        !self.is_past(turn) && !self.at_disk.load(Ordering::Relaxed)
    }

    /// Whether a turn that was under way is over.
    pub fn is_past(&self, turn: u64) -> bool {
        self.count.load(Ordering::SeqCst) != turn
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_under_way_until_it_ends() {
        let turns = Turns::default();
        let (first, second) = (turns.join(), turns.join());
        first.end();
        assert!(turns.under_way().is_empty());
        first.begin();
        let under_way = turns.under_way();
        let [(count, turn)] = &under_way[..] else { panic!("{}", under_way.len()) };
        assert!(!count.is_past(*turn) && count.hangs_in(*turn));
        count.set_at_disk(true);
        assert!(!count.hangs_in(*turn), "it is alive");
        count.set_at_disk(false);
        second.begin();
        assert_eq!(turns.under_way().len(), 2);
        first.end();
        assert!(count.is_past(*turn) && turns.under_way().len() == 1);
        first.begin();
        assert!(count.is_past(*turn) && turns.under_way().len() == 2, "another turn");
    }
}
