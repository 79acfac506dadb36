//! Whether two servers live under one name, as they do when two machines have different herd.confs.
//! Doors and talks tell it, by `oddities`, of every sign of life on the links of a neighbour.

use std::time::Duration;

use crate::limits::{LIVES_MAX, SILENT_HEARTBEATS};

/// The starts of one neighbour that were heard of lately, each with its address. Times are since any fixed moment.
#[derive(Debug)]
pub struct Lives<A> {
    lives: Vec<Life<A>>,
}

#[derive(Clone, Copy, Debug)]
struct Life<A> {
    incarnation: u64,
    address: A,
    /// Its first word since the latest of all starts was first heard of; None while it has said nothing since.
    since: Option<Duration>,
    last: Duration,
}

impl<A> Life<A> {
    /// Whether it has gone on for a while beside the latest start. The last words of one that has ended may come
    /// long after its end, as the system goes on sending them while a line is cut; but they come all at once.
    fn goes_on(&self, grace: Duration) -> bool {
        self.since.is_some_and(|since| self.last.saturating_sub(since) >= grace)
    }
}

impl<A> Default for Lives<A> {
    fn default() -> Lives<A> {
        Lives { lives: Vec::new() }
    }
}

impl<A: Copy> Lives<A> {
    /// A start of the neighbour has proven itself, or said something, from this address. Returns where
    /// another one speaks from, if both have gone on for `grace` since the later of the two began:
    /// a restart ends the earlier one, two servers of one name do not.
    pub fn note(&mut self, incarnation: u64, address: A, now: Duration, grace: Duration) -> Option<A> {
        // A few words missed, and it is gone.
        self.lives.retain(|life| {
            now.saturating_sub(life.last) <= SILENT_HEARTBEATS * grace || life.incarnation == incarnation
        });
        let own = match self.lives.iter_mut().find(|life| life.incarnation == incarnation) {
            Some(own) => {
                (own.address, own.last) = (address, now);
                own.since.get_or_insert(now);
                *own
            }
            None => {
                if self.lives.len() == LIVES_MAX {
                    self.lives.remove(0);
                }
                self.lives.iter_mut().for_each(|life| life.since = None);
                let own = Life { incarnation, address, since: Some(now), last: now };
                self.lives.push(own);
                own
            }
        };
        let mut others = self.lives.iter().filter(|life| life.incarnation != incarnation);
        let twin = others.find(|other| own.goes_on(grace) && other.goes_on(grace));
        twin.map(|twin| twin.address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(5);

    fn note(lives: &mut Lives<u64>, incarnation: u64, seconds: u64) -> Option<u64> {
        lives.note(incarnation, incarnation, Duration::from_secs(seconds), GRACE)
    }

    #[test]
    fn a_restart_is_no_twin_however_late_its_last_words_come() {
        let mut lives = Lives::default();
        assert_eq!([0, 5, 10].map(|now| note(&mut lives, 1, now)), [None; 3]);
        assert_eq!(note(&mut lives, 2, 11), None);
        assert_eq!(note(&mut lives, 1, 12), None, "a word that was on its way");
        assert_eq!([16, 21, 26].map(|now| note(&mut lives, 2, now)), [None; 3]);
        assert_eq!(note(&mut lives, 3, 27), None);
    }

    #[test]
    fn the_last_words_of_the_dead_make_no_twin_though_a_line_held_them_up() {
        for late in [12, 17, 22, 27, 41, 60] {
            let mut lives = Lives::default();
            assert_eq!([0, 5, 10].map(|now| note(&mut lives, 1, now)), [None; 3]);
            for now in 11..90 {
                assert_eq!(note(&mut lives, 2, now), None, "{late}: {now}");
                if (late..late + 3).contains(&now) {
                    assert_eq!(note(&mut lives, 1, now), None, "{late}: {now}");
                }
            }
        }
    }

    #[test]
    fn two_that_go_on_are_told_to_both() {
        let mut lives = Lives::default();
        assert_eq!([0, 5, 10].map(|now| note(&mut lives, 1, now)), [None; 3]);
        assert_eq!(note(&mut lives, 2, 11), None);
        assert_eq!([15, 20].map(|now| note(&mut lives, 1, now)), [None; 2], "not yet");
        assert_eq!(note(&mut lives, 2, 21), Some(1));
        assert_eq!(note(&mut lives, 1, 22), Some(2));
        assert_eq!(note(&mut lives, 2, 26), Some(1));
        // The first one ends.
        assert_eq!([31, 36, 41].map(|now| note(&mut lives, 2, now)), [Some(1), Some(1), None]);
    }

    #[test]
    fn starts_without_end_take_bounded_memory() {
        let mut lives = Lives::default();
        (0..1_000).for_each(|incarnation| {
            let _ = note(&mut lives, incarnation, 1);
        });
        assert_eq!(lives.lives.len(), LIVES_MAX);
    }
}
