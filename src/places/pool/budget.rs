//! How many lookups a day may be sent to a provider, for those that cost money. The pool's threads call it.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::queue::network;
use crate::limits::{BUDGET_NETWORKS_MAX, SHARES_OF_BUDGET};
use crate::places::{PlacesError, Status};

/// Counts the lookups of a day in UTC. A network has its share of them, and beyond it what the passing day would have
/// given it alone: so none takes all at once, and one that asks alone gets all in the end. This machine has no share.
pub struct Budget {
    /// `BOUNDLESS` when there is no bound.
    most: AtomicU64,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// Days since 1970.
    day: u64,
    lookups: u64,
    /// By network; beyond so many, those that come later are one.
    by_network: HashMap<IpAddr, u64>,
    is_told: bool,
    is_share_told: bool,
}

/// Stands for a number of lookups that no day has.
const BOUNDLESS: u64 = u64::MAX;

const DAY_NS: u64 = 86_400 * 1_000_000_000;

impl Budget {
    pub fn new(most: Option<u64>) -> Budget {
        Budget { most: AtomicU64::new(most.unwrap_or(BOUNDLESS)), used: Mutex::default() }
    }

    /// So many count from now on; those of today that were sent already do, too.
    pub fn set_most(&self, most: Option<u64>) {
        self.most.store(most.unwrap_or(BOUNDLESS), Ordering::Relaxed);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        (used.is_told, used.is_share_told) = (false, false);
    }

    fn most(&self) -> Option<u64> {
        Some(self.most.load(Ordering::Relaxed)).filter(|&most| most != BOUNDLESS)
    }

    /// How many may still be sent on this day; None when there is no bound.
    pub fn left(&self, now_ns: u64) -> Option<u64> {
        let used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        let lookups = if now_ns / DAY_NS > used.day { 0 } else { used.lookups };
        self.most().map(|most| most.saturating_sub(lookups))
    }

    /// Counts a lookup that is about to be sent for these addresses: for the first of them that has some left.
    ///
    /// # Errors
    /// The day has had as many as it may, or these have.
    pub fn spend(&self, askers: &[IpAddr], now_ns: u64) -> Result<(), PlacesError> {
        let most = self.most();
        let (mut used, day) = (self.used.lock().unwrap_or_else(PoisonError::into_inner), now_ns / DAY_NS);
        // A clock that goes back gives no second budget.
        if day > used.day {
            *used = Used { day, ..Used::default() };
        }
        let Some(most) = most else {
            // There may be a bound later on this day.
            used.lookups += 1;
            return Ok(());
        };
        if used.lookups >= most {
            if !std::mem::replace(&mut used.is_told, true) {
                log::warn!(
                    "places: {most} lookups were sent today, as places.daily_budget allows; none until 00:00 UTC"
                );
            }
            let why = "the lookups of today are used up: try again tomorrow, or ask another server";
            return Err(over(why));
        }
        let share = most.div_ceil(SHARES_OF_BUDGET);
        let passed = u128::from(now_ns % DAY_NS) * u128::from(most - share) / u128::from(DAY_NS);
        let is_early = u128::from(used.lookups) >= u128::from(share) + passed;
        let payer = askers.iter().find(|asker| {
            asker.is_loopback()
                || !is_early
                || used.by_network.get(&used.key(**asker)).is_none_or(|&its| its < share)
        });
        if let Some(&payer) = payer {
            let key = used.key(payer);
            *used.by_network.entry(key).or_default() += 1;
            used.lookups += 1;
            return Ok(());
        }
        if let (Some(asker), false) = (askers.first(), std::mem::replace(&mut used.is_share_told, true)) {
            log::warn!(
                "places: {asker} has had its share of places.daily_budget, {share} lookups; it gets more as the day \
                 passes, so that others have some left"
            );
        }
        Err(over("your share of today's lookups is used up: try again later, or ask another server"))
    }
}

impl Used {
    /// What the lookups of an address are counted under.
    fn key(&self, address: IpAddr) -> IpAddr {
        let key = network(address);
        let has_room = self.by_network.len() < BUDGET_NETWORKS_MAX || self.by_network.contains_key(&key);
        if has_room { key } else { Ipv4Addr::UNSPECIFIED.into() }
    }
}

fn over(why: &str) -> PlacesError {
    PlacesError::new(Status::OverQueryLimit, format!("this server: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOME: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn at(host: u8) -> IpAddr {
        [10, 0, 0, host].into()
    }

    #[test]
    fn a_day_has_its_lookups_and_a_clock_that_goes_back_gives_no_more() {
        let budget = Budget::new(Some(2));
        for (day, expected) in
            [(5, true), (5, true), (5, false), (4, false), (6, true), (6, true), (6, false)]
        {
            let spent = budget.spend(&[HOME], day * DAY_NS + 7);
            assert_eq!(spent.is_ok(), expected, "{day}");
            assert!(spent.is_ok() || spent.is_err_and(|why| why.status == Status::OverQueryLimit));
        }
        assert!((0..9).all(|_| Budget::new(None).spend(&[at(1)], 0).is_ok()));
    }

    #[test]
    fn nobody_takes_all_at_once_and_who_asks_alone_gets_all_in_the_end() {
        let budget = Budget::new(Some(100));
        let take = |askers: &[IpAddr], hour: u64| {
            (0..1_000).take_while(|_| budget.spend(askers, hour * 3_600_000_000_000 + 5).is_ok()).count()
        };
        assert_eq!(take(&[at(1)], 0), 25, "its share");
        assert_eq!(take(&[at(2)], 0), 25, "another has one of its own");
        assert_eq!(take(&[at(1), at(3)], 0), 25, "who asks the same pays, and all have it");
        assert_eq!(take(&[at(1)], 12), 0, "half a day is worth 62, and others have had more");
        assert_eq!(take(&[at(1)], 18), 6, "of the 81 of three quarters of a day");
        assert_eq!(take(&[HOME], 18), 19, "this machine takes what there is");
        assert!(budget.spend(&[at(4)], 0).is_err_and(|why| why.to_string().contains("tomorrow")));
        let alone = Budget::new(Some(100));
        let of_site = |host: u16| -> IpAddr { [0x2001, 0xdb8, 1, host, 0, 0, 0, 1].into() };
        let taken = (0..240_u64).filter(|&i| alone.spend(&[of_site(i as u16)], i * DAY_NS / 240).is_ok());
        assert!(taken.count() >= 99, "one site over a day");
        let early = Budget::new(Some(100));
        assert_eq!((0..100).filter(|&host| early.spend(&[of_site(host)], 5).is_ok()).count(), 25);
    }
}
