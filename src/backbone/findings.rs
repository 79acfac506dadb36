//! What a lane finds out of its engine that the tail is to know.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

#[derive(Default)]
pub struct Findings {
    /// How often everything was to be published: rises whenever the engine is found not to be the one it was, or not to have
    /// what it had.
    beginnings: AtomicU64,
    /// How often somebody stopped to be a member.
    departures: AtomicU64,
    /// The engine's clock is far ahead of ours.
    is_clock_behind: AtomicBool,
}

impl Findings {
    pub fn beginnings(&self) -> u64 {
        self.beginnings.load(Ordering::SeqCst)
    }

    pub fn begin(&self) {
        self.beginnings.fetch_add(1, Ordering::SeqCst);
    }

    pub fn departures(&self) -> u64 {
        self.departures.load(Ordering::SeqCst)
    }

    pub fn depart(&self) {
        self.departures.fetch_add(1, Ordering::SeqCst);
    }

    pub fn is_clock_behind(&self) -> bool {
        self.is_clock_behind.load(Ordering::SeqCst)
    }

    pub fn set_clock_behind(&self, is_behind: bool) {
        self.is_clock_behind.store(is_behind, Ordering::SeqCst);
    }
}
