//! A leaf of the tree: the hashes of those whose keys begin alike. The tree keeps it.

use super::key::Key;
use crate::limits::{INDEX_LEAF_MAX, INDEX_LEAF_SLOTS};

/// A hash is in the slot of its lowest bits, or in the first one behind that was free. So it is found by one look at
/// memory, which is what a move from leaf to leaf costs, and there are always free slots.
#[derive(Clone)]
pub struct Leaf {
    count: usize,
    slots: [u64; INDEX_LEAF_SLOTS],
}

/// What a free slot holds. A client with this hash, which is as good as impossible, is not found.
pub const FREE: u64 = u64::MAX;

impl Default for Leaf {
    fn default() -> Leaf {
        Leaf { count: 0, slots: [FREE; INDEX_LEAF_SLOTS] }
    }
}

fn wrapped(slot: usize) -> usize {
    slot % INDEX_LEAF_SLOTS
}

fn home(hash: u64) -> usize {
    wrapped(hash as usize)
}

impl Leaf {
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn hashes(&self) -> impl Iterator<Item = u64> {
        self.slots.iter().copied().filter(|&hash| hash != FREE)
    }

    /// What is in the slot that a hash is sought in first.
    pub fn at_home(&self, hash: u64) -> u64 {
        self.slots[home(hash)]
    }

    pub fn is_full(&self) -> bool {
        self.count == INDEX_LEAF_MAX
    }

    /// Takes in a hash. The leaf must not be full.
    pub fn push(&mut self, hash: u64) {
        if hash == FREE || self.is_full() {
            return;
        }
        let mut slot = home(hash);
        while self.slots[slot] != FREE {
            slot = wrapped(slot + 1);
        }
        self.slots[slot] = hash;
        self.count += 1;
    }

    /// Takes out a hash; says whether it was there.
    pub fn remove(&mut self, hash: u64) -> bool {
        let mut gap = home(hash);
        while self.slots[gap] != hash {
            if self.slots[gap] == FREE {
                return false;
            }
            gap = wrapped(gap + 1);
        }
        if hash == FREE {
            return false;
        }
        // Whoever is behind and would be sought from the gap or from before it goes there.
        let mut next = wrapped(gap + 1);
        while self.slots[next] != FREE {
            let distance = |from: usize| wrapped(next + INDEX_LEAF_SLOTS - from);
            if distance(home(self.slots[next])) >= distance(gap) {
                self.slots[gap] = self.slots[next];
                gap = next;
            }
            next = wrapped(next + 1);
        }
        self.slots[gap] = FREE;
        self.count -= 1;
        true
    }

    /// Takes out those of its keys that have a one behind so many bits.
    pub fn take_upper(&mut self, keys: &[Key], bits: u32) -> Leaf {
        let (mut lower, mut upper) = (Leaf::default(), Leaf::default());
        for key in keys {
            if key.bit(bits) { &mut upper } else { &mut lower }.push(key.hash());
        }
        *self = lower;
        upper
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
            let (mut leaf, mut set) = (Leaf::default(), HashSet::new());
            // All in one place, in two at the ends, or anywhere.
            let places = [1, 2, INDEX_LEAF_SLOTS as u64][random.usize(..3)];
            for _ in 0..2_000 {
                let slots = INDEX_LEAF_SLOTS as u64;
                let hash = (random.u64(..200) << 32) | ((slots - 1 + random.u64(..places)) % slots);
                if set.remove(&hash) {
                    assert!(leaf.remove(hash), "seed {seed}");
                } else if !leaf.is_full() {
                    set.insert(hash);
                    leaf.push(hash);
                }
                assert!(!leaf.remove(FREE) && !leaf.remove(hash ^ 1 << 60), "seed {seed}");
            }
            assert_eq!(leaf.hashes().collect::<HashSet<_>>(), set, "seed {seed}");
            assert_eq!((leaf.hashes().count(), leaf.count()), (set.len(), set.len()), "seed {seed}");
        }
    }
}
