//! What was asked, what came of it, and how long it took: counted by each turn's owner for itself, so that nobody waits
//! for another or takes its cache line; whoever reads sums them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits::DURATION_BUCKETS_US;

macro_rules! commands {
    ($($command:ident: $door:literal $name:literal,)+) => {
        /// What can be asked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Asked {
            $($command,)+
        }

        impl Asked {
            pub const ALL: [Asked; 0 $(+ { let _ = Asked::$command; 1 })+] = [$(Asked::$command,)+];

            /// The door by which it is asked.
            pub fn door(self) -> &'static str {
                match self {
                    $(Asked::$command => $door,)+
                }
            }

            /// What it is called there.
            pub fn name(self) -> &'static str {
                match self {
                    $(Asked::$command => $name,)+
                }
            }
        }
    };
}

commands! {
    Iamat: "line" "IAMAT",
    Whatsat: "line" "WHATSAT",
    At: "line" "AT",
    NoCommand: "line" "none",
    HttpPut: "http" "put",
    HttpGet: "http" "get",
    HttpDelete: "http" "delete",
    HttpList: "http" "list",
    HttpPlaces: "http" "places",
    HttpOther: "http" "other",
}

const COUNT: usize = Asked::ALL.len();
const BUCKETS: usize = DURATION_BUCKETS_US.len();

/// One owner's. Only the owner writes, so a load and a store add.
#[derive(Default)]
pub struct Traffic {
    commands: [Counts; COUNT],
}

#[derive(Default)]
struct Counts {
    done: AtomicU64,
    refused: AtomicU64,
    /// Of those done: by how long they took, the last for longer than any bucket, and in all, in ns.
    buckets: [AtomicU64; BUCKETS],
    beyond: AtomicU64,
    sum_ns: AtomicU64,
}

/// How many were asked in a turn that is not over: done, refused.
#[derive(Default)]
pub struct InTurn {
    counts: [[u32; 2]; COUNT],
    is_empty: bool,
}

/// The sum of all owners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summed {
    pub done: u64,
    pub refused: u64,
    pub buckets: [u64; BUCKETS],
    pub beyond: u64,
    pub sum_ns: u64,
}

/// All owners there are.
#[derive(Default)]
pub struct AllTraffic {
    owners: Mutex<Vec<Arc<Traffic>>>,
}

fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}

impl InTurn {
    /// One more was asked, and done or refused.
    pub fn count(&mut self, asked: Asked, is_done: bool) {
        self.counts[asked as usize][usize::from(!is_done)] += 1;
        self.is_empty = false;
    }
}

impl Traffic {
    /// Takes over what was asked in a turn, which took so long to be answered.
    pub fn take(&self, turn: &mut InTurn, took: Duration) {
        if std::mem::replace(&mut turn.is_empty, true) {
            return;
        }
        for (counts, [done, refused]) in self.commands.iter().zip(&mut turn.counts) {
            if *done > 0 {
                counts.take(std::mem::take(done).into(), took);
            }
            if *refused > 0 {
                add(&counts.refused, std::mem::take(refused).into());
            }
        }
    }

    /// Counts one that was asked some turns ago.
    pub fn count(&self, asked: Asked, is_done: bool, took: Duration) {
        let counts = &self.commands[asked as usize];
        if is_done { counts.take(1, took) } else { add(&counts.refused, 1) }
    }
}

impl Counts {
    fn take(&self, count: u64, took: Duration) {
        let took_us = took.as_micros() as u64;
        let bucket = DURATION_BUCKETS_US.iter().position(|most_us| took_us <= *most_us);
        add(bucket.map_or(&self.beyond, |bucket| &self.buckets[bucket]), count);
        add(&self.sum_ns, count.saturating_mul(took.as_nanos() as u64));
        add(&self.done, count);
    }
}

impl AllTraffic {
    /// A new owner's own.
    pub fn join(&self) -> Arc<Traffic> {
        let own = Arc::<Traffic>::default();
        self.owners().push(own.clone());
        own
    }

    /// What all owners counted of a command.
    pub fn of(&self, asked: Asked) -> Summed {
        let mut summed = Summed::default();
        for owner in self.owners().iter() {
            let counts = &owner.commands[asked as usize];
            let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            summed.done += get(&counts.done);
            summed.refused += get(&counts.refused);
            summed.beyond += get(&counts.beyond);
            summed.sum_ns += get(&counts.sum_ns);
            summed.buckets.iter_mut().zip(&counts.buckets).for_each(|(sum, bucket)| *sum += get(bucket));
        }
        summed
    }

    fn owners(&self) -> MutexGuard<'_, Vec<Arc<Traffic>>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_owners_count_for_themselves_is_summed() {
        let all = AllTraffic::default();
        let (first, second) = (all.join(), all.join());
        let mut turn = InTurn::default();
        turn.count(Asked::Iamat, true);
        turn.count(Asked::Iamat, true);
        turn.count(Asked::Iamat, false);
        first.take(&mut turn, Duration::from_micros(60));
        first.take(&mut turn, Duration::from_micros(60));
        second.count(Asked::Iamat, true, Duration::from_secs(60));
        let summed = all.of(Asked::Iamat);
        assert_eq!((summed.done, summed.refused, summed.beyond, summed.buckets[1]), (3, 1, 1, 2));
        assert_eq!(summed.buckets.iter().sum::<u64>() + summed.beyond, summed.done);
        assert_eq!(all.of(Asked::At), Summed::default());
    }
}
