//! Wrong tokens by address: who has shown as many different ones as a guesser would gets no further answer for a while.
//! A token that was right from there before stays right, so that nobody who shares an address with a guesser, as behind
//! a proxy, is locked out, however many they are. The same wrong one over and over, as of a phone that was not told of a new one, is one guess.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::door::crowd;
use crate::limits::{GUESS_ADDRESSES_MAX, GUESS_REST_S, GUESSES_MAX};

/// What a secret is remembered by: the beginning of its digest.
type Mark = u64;

#[derive(Debug, Default)]
pub struct Guesses {
    book: Mutex<Book>,
}

/// All that was shown.
#[derive(Debug, Default)]
struct Book {
    /// Bounded; the first to go are those that are over.
    by_address: HashMap<IpAddr, Shown>,
    numbers: Numbers,
}

/// A small number for each right token that was shown, so that it is a bit for an address. There are as many as tokens in
/// the file.
#[derive(Debug, Default)]
struct Numbers {
    of: HashMap<Mark, usize>,
    /// Those of tokens that are gone.
    free: Vec<usize>,
}

/// What was shown from one address.
#[derive(Debug, Default)]
struct Shown {
    /// Different wrong ones, and since when they count.
    wrong: Vec<Mark>,
    since: Duration,
    /// The numbers of right ones.
    right: Bits,
}

/// A set of small numbers.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

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
        let mut book = self.book();
        let Book { by_address, numbers } = &mut *book;
        let address = crowd(address);
        if !by_address.contains_key(&address) && by_address.len() >= GUESS_ADDRESSES_MAX {
            make_room(by_address, now);
        }
        let known = by_address.entry(address).or_default();
        if now.saturating_sub(known.since) >= REST {
            known.wrong.clear();
        }
        let was_shut = known.wrong.len() >= GUESSES_MAX;
        match right {
            Some(right) if numbers.of.get(&right).is_some_and(|&number| known.right.has(number)) => {
                return Verdict::Open;
            }
            Some(right) if !was_shut => {
                known.right.add(numbers.number(right));
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

    /// From now on these are right: what was wrong may be, and what was right from an address and still is, stays so.
    pub fn reread(&self, right: &[Mark]) {
        let mut book = self.book();
        let gone = book.numbers.keep(&right.iter().copied().collect());
        for shown in book.by_address.values_mut() {
            shown.wrong.clear();
            shown.right.remove(&gone);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Numbers {
    /// The number of a token, a new one if it has none.
    fn number(&mut self, mark: Mark) -> usize {
        let next = self.of.len();
        *self.of.entry(mark).or_insert_with(|| self.free.pop().unwrap_or(next))
    }

    /// Forgets all tokens but these; returns the numbers of the others, which are given again.
    fn keep(&mut self, right: &HashSet<Mark>) -> Bits {
        let mut gone = Bits::default();
        self.of.retain(|mark, number| {
            let is_right = right.contains(mark);
            if !is_right {
                gone.add(*number);
                self.free.push(*number);
            }
            is_right
        });
        gone
    }
}

impl Bits {
    fn has(&self, number: usize) -> bool {
        self.0.get(number / 64).is_some_and(|bits| bits >> (number % 64) & 1 == 1)
    }

    fn add(&mut self, number: usize) {
        let words = number / 64 + 1;
        if self.0.len() < words {
            // There are thousands of these, and most grow once.
            self.0.reserve_exact(words - self.0.len());
            self.0.resize(words, 0);
        }
        self.0[number / 64] |= 1 << (number % 64);
    }

    fn remove(&mut self, others: &Bits) {
        self.0.iter_mut().zip(&others.0).for_each(|(bits, gone)| *bits &= !gone);
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
    use crate::limits::TOKENS_FILE_MAX;
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
        guesses.reread(&[1]);
        (0..100).for_each(|guess| {
            is_open(&guesses, HERE, 2_000 + guess, false, 300);
        });
        let are_open = [1, 2].map(|mark| is_open(&guesses, HERE, mark, true, 300));
        assert_eq!(are_open, [true, false], "the one that is right still");
    }

    #[test]
    fn every_token_of_a_file_is_known_from_an_address_where_it_was_right() {
        let guesses = Guesses::default();
        // As many as a file has room for: NAME, a scope and 16 bytes a line.
        let tokens = TOKENS_FILE_MAX / "a read 0123456789abcdef\n".len() as u64;
        assert!((0..tokens).all(|mark| is_open(&guesses, HERE, mark, true, 100)));
        (0..100).for_each(|guess| {
            is_open(&guesses, HERE, tokens + guess, false, 100);
        });
        assert!(!is_open(&guesses, HERE, tokens + 100, true, 100));
        assert_eq!((0..tokens).find(|&mark| !is_open(&guesses, HERE, mark, true, 100)), None);
        // Tokens come and go, and none is taken for one that is gone.
        let others: Vec<_> = (tokens / 2..tokens * 3 / 2).collect();
        guesses.reread(&others);
        assert!((0..1_000).all(|mark| is_open(&guesses, HERE, tokens + mark, true, 100)));
        (0..100).for_each(|guess| {
            is_open(&guesses, HERE, 2 * tokens + guess, false, 100);
        });
        let known = (0..2 * tokens).filter(|&mark| is_open(&guesses, HERE, mark, true, 100));
        assert!(known.eq(tokens / 2..tokens + 1_000));
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
            assert!(guesses.book().by_address.len() <= GUESS_ADDRESSES_MAX);
        }
    }
}
