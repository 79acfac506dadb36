//! How long something took, in buckets, as Prometheus' histograms have it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::limits::DURATION_BUCKETS_US;

const BUCKETS: usize = DURATION_BUCKETS_US.len();

/// One writer's, and only the writer adds: so a load and a store do.
#[derive(Default)]
pub struct Times {
    /// By how long it took, the last for longer than any bucket, and in all, in ns.
    buckets: [AtomicU64; BUCKETS],
    beyond: AtomicU64,
    sum_ns: AtomicU64,
}

/// A sum of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummedTimes {
    pub buckets: [u64; BUCKETS],
    pub beyond: u64,
    pub sum_ns: u64,
}

/// Adds to a counter that nobody else writes.
pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl Times {
    /// So many took so long each.
    pub fn take(&self, count: u64, took: Duration) {
        let took_us = took.as_micros() as u64;
        let bucket = DURATION_BUCKETS_US.iter().position(|most_us| took_us <= *most_us);
        add(bucket.map_or(&self.beyond, |bucket| &self.buckets[bucket]), count);
        add(&self.sum_ns, count.saturating_mul(took.as_nanos() as u64));
    }

    /// These alone.
    pub fn summed(&self) -> SummedTimes {
        let mut sum = SummedTimes::default();
        self.add_to(&mut sum);
        sum
    }

    pub(super) fn add_to(&self, sum: &mut SummedTimes) {
        let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        sum.buckets.iter_mut().zip(&self.buckets).for_each(|(sum, bucket)| *sum += get(bucket));
        sum.beyond += get(&self.beyond);
        sum.sum_ns += get(&self.sum_ns);
    }
}

impl SummedTimes {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.buckets.iter().sum::<u64>() + self.beyond
    }
}
