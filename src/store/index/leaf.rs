//! The leaves of the tree: each lists the hashes of those whose keys begin alike. The tree keeps them.

use super::key::Key;
use super::slab::Slab;
use crate::limits::{INDEX_LEAF_MAX, INDEX_LEAF_SLOTS};

/// All leaves, by their numbers. How many hashes each has stands apart: that is asked of every leaf that somebody leaves
/// or comes to, and of a million clients it is 32 KB, which stay in the cache of a core.
#[derive(Default)]
pub struct AllLeaves {
    slots: Slab<Slots>,
    counts: Vec<u8>,
}

/// A hash is in the slot of its lowest bits, or in the first one behind that was free. So it is found by one look at
/// memory, which is what a move from leaf to leaf costs, and there are always free slots.
#[derive(Clone)]
struct Slots([u64; INDEX_LEAF_SLOTS]);

const _: () = assert!(INDEX_LEAF_MAX <= u8::MAX as usize, "a count is a byte");

/// What a free slot holds. A client with this hash, which is as good as impossible, is not found.
pub const FREE: u64 = u64::MAX;

impl Default for Slots {
    fn default() -> Slots {
        Slots([FREE; INDEX_LEAF_SLOTS])
    }
}

fn wrapped(slot: usize) -> usize {
    slot % INDEX_LEAF_SLOTS
}

fn home(hash: u64) -> usize {
    wrapped(hash as usize)
}

impl Slots {
    fn push(&mut self, hash: u64) {
        let mut slot = home(hash);
        while self.0[slot] != FREE {
            slot = wrapped(slot + 1);
        }
        self.0[slot] = hash;
    }

    fn remove(&mut self, hash: u64) -> bool {
        let mut gap = home(hash);
        while self.0[gap] != hash {
            if self.0[gap] == FREE {
                return false;
            }
            gap = wrapped(gap + 1);
        }
        // Whoever is behind and would be sought from the gap or from before it goes there.
        let mut next = wrapped(gap + 1);
        while self.0[next] != FREE {
            let distance = |from: usize| wrapped(next + INDEX_LEAF_SLOTS - from);
            if distance(home(self.0[next])) >= distance(gap) {
                self.0[gap] = self.0[next];
                gap = next;
            }
            next = wrapped(next + 1);
        }
        self.0[gap] = FREE;
        true
    }
}

impl AllLeaves {
    /// An empty one; returns its number.
    pub fn add(&mut self) -> u32 {
        let number = self.slots.add(Slots::default());
        let counts = self.counts.len().max(number as usize + 1);
        self.counts.resize(counts, 0);
        number
    }

    /// Takes out one, whose number stands for another one some day.
    pub fn take(&mut self, number: u32) {
        self.slots.take(number);
        self.counts[number as usize] = 0;
    }

    pub fn count(&self, number: u32) -> usize {
        usize::from(self.counts[number as usize])
    }

    pub fn is_full(&self, number: u32) -> bool {
        self.count(number) == INDEX_LEAF_MAX
    }

    pub fn hashes(&self, number: u32) -> impl Iterator<Item = u64> {
        self.slots[number].0.iter().copied().filter(|&hash| hash != FREE)
    }

    /// Has the memory in which a hash is sought in two leaves fetched, of both at once.
    pub fn fetch(&self, numbers: [u32; 2], hash: u64) {
        std::hint::black_box(numbers.map(|number| self.slots[number].0[home(hash)]));
    }

    /// Takes in a hash. The leaf must not be full.
    pub fn push(&mut self, number: u32, hash: u64) {
        if hash == FREE || self.is_full(number) {
            return;
        }
        self.slots[number].push(hash);
        self.counts[number as usize] += 1;
    }

    /// Takes out a hash; says whether it was there.
    pub fn remove(&mut self, number: u32, hash: u64) -> bool {
        let was_there = hash != FREE && self.slots[number].remove(hash);
        self.counts[number as usize] -= u8::from(was_there);
        was_there
    }

    /// Moves those of its keys that have a one behind so many bits to a new leaf, whose number it returns.
    pub fn cut(&mut self, number: u32, keys: &[Key], bits: u32) -> u32 {
        let above = self.add();
        self.slots[number] = Slots::default();
        self.counts[number as usize] = 0;
        for key in keys {
            self.push(if key.bit(bits) { above } else { number }, key.hash());
        }
        above
    }

    /// Moves all of another leaf, which is taken out, to this one.
    pub fn join(&mut self, number: u32, other: u32) {
        let hashes: Vec<_> = self.hashes(other).collect();
        self.take(other);
        hashes.into_iter().for_each(|hash| self.push(number, hash));
    }

    /// How many there are.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.slots.len()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_leaf_is_a_set_whatever_slots_its_hashes_want() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..100 {
            let (mut leaves, mut set) = (AllLeaves::default(), HashSet::new());
            let leaf = leaves.add();
            // All in one place, in two at the ends, or anywhere.
            let places = [1, 2, INDEX_LEAF_SLOTS as u64][random.usize(..3)];
            for _ in 0..2_000 {
                let slots = INDEX_LEAF_SLOTS as u64;
                let hash = (random.u64(..200) << 32) | ((slots - 1 + random.u64(..places)) % slots);
                if set.remove(&hash) {
                    assert!(leaves.remove(leaf, hash), "seed {seed}");
                } else if !leaves.is_full(leaf) {
                    set.insert(hash);
                    leaves.push(leaf, hash);
                }
                assert!(!leaves.remove(leaf, FREE) && !leaves.remove(leaf, hash ^ 1 << 60), "seed {seed}");
            }
            assert_eq!(leaves.hashes(leaf).collect::<HashSet<_>>(), set, "seed {seed}");
            assert_eq!(
                (leaves.hashes(leaf).count(), leaves.count(leaf)),
                (set.len(), set.len()),
                "seed {seed}"
            );
        }
    }
}
