//! Replies that wait for clients to read, of all connections together. Rooms count theirs in and out.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::limits::KERNEL_UNSENT_BYTES;

/// What is unsent in all, the system's share included.
pub struct Unsent {
    bytes: AtomicUsize,
    max: AtomicUsize,
}

impl Unsent {
    /// When there are more than `max` bytes, connections have to go.
    pub fn new(max: usize) -> Unsent {
        Unsent { bytes: AtomicUsize::new(0), max: AtomicUsize::new(max) }
    }

    /// With more than these bytes connections have to go from now on.
    pub fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    /// What a connection counts for of which so many bytes wait here: the system holds some of it as well.
    pub fn weight(unsent: usize) -> usize {
        if unsent == 0 { 0 } else { unsent + KERNEL_UNSENT_BYTES }
    }

    /// A connection counts for something else.
    pub fn change(&self, before: usize, after: usize) {
        if after >= before {
            self.bytes.fetch_add(after - before, Ordering::Relaxed);
        } else {
            self.bytes.fetch_sub(before - after, Ordering::Relaxed);
        }
    }

    pub fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn is_too_much(&self) -> bool {
        self.bytes() > self.max.load(Ordering::Relaxed)
    }
}
