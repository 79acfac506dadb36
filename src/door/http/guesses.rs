//! Wrong tokens by address: who has shown as many different ones as a guesser would gets no further answer for a while.
//! A token that was right from there before stays right, so that nobody who shares an address with a guesser, as behind
//! a proxy, is locked out. The same wrong one over and over, as of a phone that was not told of a new one, is one guess.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::door::crowd;
use crate::limits::{GUESS_ADDRESSES_MAX, GUESS_KNOWN_MAX, GUESS_REST_S, GUESSES_MAX};

/// What a secret is remembered by: the beginning of its digest.
type Mark = u64;

#[derive(Debug, Default)]
pub struct Guesses {
    /// Bounded; the first to go are those that are over.
    by_address: Mutex<HashMap<IpAddr, Shown>>,
}

/// What was shown from one address.
#[derive(Debug, Default)]
struct Shown {
    /// Different wrong ones, and since when they count.
    wrong: Vec<Mark>,
    since: Duration,
    /// Right ones.
    right: Vec<Mark>,
}

/// What comes of a token that was shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It counts for what it is.
    Open,
    /// It is one guess too many: nothing that is not known from there is looked at for so long.
    Shut { rest: Duration, is_first: bool },
}

const REST: Duration = Duration::from_secs(GUESS_REST_S);

impl Guesses {
    /// Tokens were shown from an address, of which one is right or none.
    pub fn weigh(&self, address: IpAddr, shown: &[Mark], right: Option<Mark>, now: Duration) -> Verdict {
        let mut by_address = self.by_address();
        let address = crowd(address);
        if !by_address.contains_key(&address) && by_address.len() >= GUESS_ADDRESSES_MAX {
            make_room(&mut by_address, now);
        }
        let known = by_address.entry(address).or_default();
        if now.saturating_sub(known.since) >= REST {
            known.wrong.clear();
        }
        let was_shut = known.wrong.len() >= GUESSES_MAX;
        let is_known = |mark: &Mark| known.right.contains(mark);
        match right {
            Some(right) if is_known(&right) => return Verdict::Open,
            Some(right) if !was_shut => {
                if known.right.len() >= GUESS_KNOWN_MAX {
                    known.right.remove(0);
                }
                known.right.push(right);
                return Verdict::Open;
            }
            // It may be a guess, which is told nothing.
            Some(_) => {}
            None => {
                for &mark in shown {
                    if known.wrong.len() < GUESSES_MAX && !known.wrong.contains(&mark) {
                        if known.wrong.is_empty() {
                            known.since = now;
                        }
                        known.wrong.push(mark);
                    }
                }
                if !was_shut && known.wrong.len() < GUESSES_MAX {
                    return Verdict::Open;
                }
            }
        }
        Verdict::Shut { rest: (known.since + REST).saturating_sub(now), is_first: !was_shut }
    }

    /// Other tokens count from now on.
    pub fn forget(&self) {
        self.by_address().clear();
    }

    fn by_address(&self) -> MutexGuard<'_, HashMap<IpAddr, Shown>> {
        self.by_address.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lets go of those from where nothing wrong came lately, or of all if there are none: whoever has so many addresses is
/// not stopped by them.
fn make_room(by_address: &mut HashMap<IpAddr, Shown>, now: Duration) {
    by_address.retain(|_, shown| !shown.wrong.is_empty() && now.saturating_sub(shown.since) < REST);
    if by_address.len() >= GUESS_ADDRESSES_MAX {
        by_address.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    const THERE: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

    fn is_open(guesses: &Guesses, from: IpAddr, mark: Mark, is_right: bool, now_s: u64) -> bool {
        let now = Duration::from_secs(now_s);
        guesses.weigh(from, &[mark], is_right.then_some(mark), now) == Verdict::Open
    }

    #[test]
    fn who_guesses_is_told_nothing_and_who_was_right_before_is_served() {
        let guesses = Guesses::default();
        assert!(is_open(&guesses, HERE, 1, true, 100));
        let told = (0..100).filter(|guess| is_open(&guesses, HERE, 1_000 + guess, false, 100)).count();
        assert_eq!(told, GUESSES_MAX - 1);
        assert!(!is_open(&guesses, HERE, 2, true, 100), "a right guess is not told from a wrong one");
        assert!(is_open(&guesses, HERE, 1, true, 100), "it was right from there before");
        assert!(is_open(&guesses, THERE, 2, true, 100), "another address");
        assert!(is_open(&guesses, HERE, 2, true, 100 + GUESS_REST_S), "after a rest");
    }

    #[test]
    fn the_same_wrong_token_over_and_over_is_one_guess() {
        let guesses = Guesses::default();
        (0..1_000).for_each(|_| assert!(is_open(&guesses, HERE, 7, false, 100)));
    }

    #[test]
    fn guessers_of_many_addresses_take_no_memory_without_end() {
        let guesses = Guesses::default();
        for number in 0..3 * GUESS_ADDRESSES_MAX as u32 {
            let from = Ipv4Addr::from_bits(number).into();
            is_open(&guesses, from, 1, number % 2 == 0, 1 + u64::from(number) / 1_000);
            assert!(guesses.by_address().len() <= GUESS_ADDRESSES_MAX);
        }
    }
}
