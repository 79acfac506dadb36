//! How much of a second's refused traffic a log takes: whoever sends what nobody answers must not fill the disk, nor
//! have the old log files go. All threads share one; `Wire` asks it.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::limits::{LOG_RATION, LOG_RATION_BYTES};

/// The second of the last record, in the upper half, and what was taken in it.
#[derive(Default)]
pub struct Ration(AtomicU64);

const HALF: u32 = 32;

impl Ration {
    /// Whether there is room for a record of so many bytes in this second, by whatever clock.
    pub fn takes(&self, second: u64, bytes: usize) -> bool {
        let second = second & u64::from(u32::MAX);
        let cost = 1 + (bytes / LOG_RATION_BYTES) as u64;
        let spend = |last: u64| {
            let spent = if last >> HALF == second { last & u64::from(u32::MAX) } else { 0 };
            (spent < LOG_RATION).then_some((second << HALF) | (spent + cost))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_has_its_ration_and_long_records_use_it_up_sooner() {
        let ration = Ration::default();
        let taken = |second, bytes| (0..10_000).filter(|_| ration.takes(second, bytes)).count() as u64;
        assert_eq!([taken(7, 10), taken(7, 10), taken(8, 10)], [LOG_RATION, 0, LOG_RATION]);
        // A clock that is set back begins a second like any other.
        assert_eq!(taken(7, LOG_RATION_BYTES), LOG_RATION / 2);
    }
}
