//! How many lookups a day may be sent to a provider, for those that cost money. The pool's threads call it.

use std::sync::{Mutex, PoisonError};

use crate::places::{PlacesError, Status};

/// Counts the lookups of a day in UTC.
pub struct Budget {
    /// None when there is no bound.
    most: Option<u64>,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// Days since 1970.
    day: u64,
    lookups: u64,
    is_told: bool,
}

const DAY_NS: u64 = 86_400 * 1_000_000_000;

impl Budget {
    pub fn new(most: Option<u64>) -> Budget {
        Budget { most, used: Mutex::default() }
    }

    /// How many may still be sent on this day; None when there is no bound.
    pub fn left(&self, now_ns: u64) -> Option<u64> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let lookups = if now_ns / DAY_NS > used.day { 0 } else { used.lookups };
        self.most.map(|most| most.saturating_sub(lookups))
    }

    /// Counts a lookup that is about to be sent.
    ///
    /// # Errors
    /// The day has had as many as it may.
    pub fn spend(&self, now_ns: u64) -> Result<(), PlacesError> {
        let Some(most) = self.most else { return Ok(()) };
        let (mut used, day) = (self.used.lock().unwrap_or_else(PoisonError::into_inner), now_ns / DAY_NS);
        // A clock that goes back gives no second budget.
        if day > used.day {
            *used = Used { day, ..Used::default() };
        }
        if used.lookups < most {
            used.lookups += 1;
            return Ok(());
        }
        if !std::mem::replace(&mut used.is_told, true) {
            log::warn!(
                "places: {most} lookups were sent today, as places.daily_budget allows; none until 00:00 UTC"
            );
        }
        let why = "this server: the lookups of today are used up: try again tomorrow, or ask another server";
        Err(PlacesError::new(Status::OverQueryLimit, why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_its_lookups_and_a_clock_that_goes_back_gives_no_more() {
        let budget = Budget::new(Some(2));
        for (day, expected) in
            [(5, true), (5, true), (5, false), (4, false), (6, true), (6, true), (6, false)]
        {
            let spent = budget.spend(day * DAY_NS + 7);
            assert_eq!(spent.is_ok(), expected, "{day}");
            assert!(spent.is_ok() || spent.is_err_and(|why| why.status == Status::OverQueryLimit));
        }
        assert!((0..9).all(|_| Budget::new(None).spend(0).is_ok()));
    }
}
