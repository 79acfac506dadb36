//! The tree of positions: who comes in, moves and goes out of it.
//!
//! A fork looks at four bits of a key, and has a way for each of their values. Several neighbouring ways may lead to one
//! leaf, which is for all keys that begin with their common bits. A leaf that is full is cut by the next bit; two halves
//! that have become small are joined. So leaves are about two thirds full whatever the density, and a key finds its leaf
//! by way of a quarter as many forks as it has bits that matter.

use super::depths::Depths;
use super::key::{FORK_BITS, Key, LEVELS, WAYS, common_bits};
use super::leaf::{AllLeaves, FREE};
use super::slab::Slab;
use crate::limits::INDEX_LEAF_JOINED;
use crate::protocol::Coordinates;

/// Which leaf everybody is in.
pub struct Index {
    pub(super) forks: Slab<Fork>,
    pub(super) leaves: AllLeaves,
    depths: Depths,
}

/// Where clients of the index are now, by their hashes: of each, in the same order.
pub type Locate<'l> = &'l dyn Fn(&[u64]) -> Vec<Option<Coordinates>>;

/// Where each of its ways leads to.
#[derive(Clone, Copy)]
pub struct Fork(pub(super) [Way; WAYS]);

/// Nowhere, to a leaf or to a fork: a number of either, doubled, with the lowest bit for the kind.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Way(u32);

/// Where a way leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Nowhere,
    Leaf(u32),
    Fork(u32),
}

/// Some neighbouring ways of a fork: as many as a power of two, beginning at a multiple of it.
#[derive(Clone, Copy)]
pub struct Ways {
    pub(super) first: usize,
    pub(super) count: usize,
}

/// The forks that a key went by.
#[derive(Clone, Copy)]
struct Path {
    forks: [u32; LEVELS],
    level: usize,
}

/// The fork at which every key begins.
pub const ROOT: u32 = 0;

impl Way {
    const NOWHERE: Way = Way(u32::MAX);

    fn to_leaf(number: u32) -> Way {
        Way(number << 1)
    }

    fn to_fork(number: u32) -> Way {
        Way(number << 1 | 1)
    }

    pub(super) fn end(self) -> End {
        match self {
            Way::NOWHERE => End::Nowhere,
            Way(number) if number & 1 == 0 => End::Leaf(number >> 1),
            Way(number) => End::Fork(number >> 1),
        }
    }
}

impl Default for Fork {
    fn default() -> Fork {
        Fork([Way::NOWHERE; WAYS])
    }
}

impl Fork {
    fn set(&mut self, ways: Ways, way: Way) {
        self.0[ways.first..ways.first + ways.count].fill(way);
    }

    /// The end of these ways, if it is one.
    fn common_end(&self, ways: Ways) -> Option<End> {
        let way = self.0[ways.first];
        self.0[ways.first..ways.first + ways.count].iter().all(|&other| other == way).then(|| way.end())
    }

    /// All ways around one that lead where it does.
    fn ways_beside(&self, way: usize) -> Ways {
        let mut ways = Ways { first: way, count: 1 };
        while ways.count < WAYS && self.common_end(ways.doubled()).is_some() {
            ways = ways.doubled();
        }
        ways
    }

    /// The ends of all ways that lead somewhere, each once.
    pub(super) fn ends(&self) -> impl Iterator<Item = (Ways, End)> {
        let mut first = 0;
        std::iter::from_fn(move || {
            while first < WAYS && self.0[first] == Way::NOWHERE {
                first += 1;
            }
            let way = *self.0.get(first)?;
            let count = self.0[first..].iter().take_while(|&&other| other == way).count();
            let ways = Ways { first, count };
            first += count;
            Some((ways, way.end()))
        })
    }
}

impl Ways {
    /// Those beside them, with which they make twice as many.
    fn beside(self) -> Ways {
        Ways { first: self.first ^ self.count, ..self }
    }

    fn doubled(self) -> Ways {
        Ways { first: self.first & !self.count, count: 2 * self.count }
    }

    /// How many bits of their keys are the same behind these ways of a fork of this level.
    fn bits(self, level: usize) -> u32 {
        FORK_BITS * (level as u32 + 1) - self.count.trailing_zeros()
    }
}

impl Default for Index {
    fn default() -> Index {
        let mut forks = Slab::default();
        let root = forks.add(Fork::default());
        debug_assert_eq!(root, ROOT);
        Index { forks, leaves: AllLeaves::default(), depths: Depths::default() }
    }
}

impl Index {
    /// Somebody comes in.
    pub fn insert(&mut self, at: Coordinates, hash: u64, locate: Locate<'_>) {
        let key = Key::of(at, hash);
        let (mut fork, mut level) = (ROOT, 0);
        // Of those in the leaf, once it turns out to be full.
        let mut keys = Vec::new();
        loop {
            let way = key.way(level);
            match self.forks[fork].0[way].end() {
                End::Fork(next) => (fork, level) = (next, level + 1),
                End::Nowhere => {
                    let ways = self.forks[fork].ways_beside(way);
                    let leaf = self.leaves.add();
                    self.leaves.push(leaf, hash);
                    self.forks[fork].set(ways, Way::to_leaf(leaf));
                    return self.depths.note(at, ways.bits(level));
                }
                End::Leaf(number) => {
                    if !self.leaves.is_full(number) {
                        return self.leaves.push(number, hash);
                    }
                    let ways = self.forks[fork].ways_beside(way);
                    if ways.count > 1 {
                        if keys.is_empty() {
                            keys = self.keys_of(number, locate);
                        }
                        self.cut(fork, ways, number, &keys, ways.bits(level));
                        self.depths.note(at, ways.bits(level) + 1);
                    } else if level + 1 < LEVELS {
                        let next = self.forks.add(Fork([Way::to_leaf(number); WAYS]));
                        self.forks[fork].set(ways, Way::to_fork(next));
                    } else {
                        // As many have this very hash, which is as good as impossible, and one of them is not found.
                        return;
                    }
                }
            }
        }
    }

    /// Many come in, those who are near each other one after the other.
    pub fn insert_all(&mut self, clients: &mut Vec<(Coordinates, u64)>, locate: Locate<'_>) {
        clients.sort_unstable_by_key(|&(at, hash)| Key::of(at, hash).place());
        clients.drain(..).for_each(|(at, hash)| self.insert(at, hash, locate));
    }

    fn keys_of(&self, leaf: u32, locate: Locate<'_>) -> Vec<Key> {
        let hashes: Vec<_> = self.leaves.hashes(leaf).collect();
        let all = hashes.iter().zip(locate(&hashes));
        all.map(|(&hash, at)| Key::of(at.unwrap_or_default(), hash)).collect()
    }

    /// Cuts a leaf by the next bit of its keys. It stays as it is where all of them have the same bit.
    fn cut(&mut self, fork: u32, ways: Ways, number: u32, keys: &[Key], bits: u32) {
        let lower = Ways { count: ways.count / 2, ..ways };
        let upper = lower.beside();
        match keys.iter().filter(|key| key.bit(bits)).count() {
            0 => self.forks[fork].set(upper, Way::NOWHERE),
            count if count == keys.len() => self.forks[fork].set(lower, Way::NOWHERE),
            _ => {
                let way = Way::to_leaf(self.leaves.cut(number, keys, bits));
                self.forks[fork].set(upper, way);
            }
        }
    }

    /// Somebody moves: mostly within a leaf, which costs nothing more than to find that out.
    pub fn shift(&mut self, from: Coordinates, to: Coordinates, hash: u64, locate: Locate<'_>) {
        if common_bits(from, to) >= self.depths.around(from) {
            return;
        }
        let (key, to_key) = (Key::of(from, hash), Key::of(to, hash));
        let mut path = Path::default();
        // Both go by the same forks down to where they part, if they do.
        loop {
            let (way, to_way) = (self.way(&path, key), self.way(&path, to_key));
            match way.end() {
                _ if way != to_way => break,
                End::Fork(next) => path.push(next),
                End::Leaf(_) | End::Nowhere => return,
            }
        }
        let other = self.way(&self.path(path, to_key), to_key).end();
        let path = self.path(path, key);
        if !self.pass_on(self.way(&path, key).end(), other, hash) {
            self.remove_by(path, key, hash);
            self.insert(to, hash, locate);
        }
    }

    /// Whether somebody is in the leaf in which he is sought.
    #[cfg(test)]
    pub fn has(&self, at: Coordinates, hash: u64) -> bool {
        let key = Key::of(at, hash);
        match self.way(&self.path(Path::default(), key), key).end() {
            End::Leaf(number) => self.leaves.hashes(number).any(|other| other == hash),
            End::Nowhere | End::Fork(_) => false,
        }
    }

    /// Somebody goes.
    pub fn remove(&mut self, at: Coordinates, hash: u64) {
        let key = Key::of(at, hash);
        self.remove_by(self.path(Path::default(), key), key, hash);
    }

    /// All forks that a key goes by, from those of a path onwards.
    fn path(&self, mut path: Path, key: Key) -> Path {
        while let End::Fork(next) = self.way(&path, key).end() {
            path.push(next);
        }
        path
    }

    /// The way of a key at the last fork of a path.
    fn way(&self, path: &Path, key: Key) -> Way {
        self.forks[path.fork()].0[key.way(path.level)]
    }

    /// Moves somebody from one leaf to another, as most moves between leaves are: the one is not to be joined by that, and
    /// the other has room. Otherwise it does nothing, and says so.
    fn pass_on(&mut self, one: End, other: End, hash: u64) -> bool {
        let (End::Leaf(one), End::Leaf(other)) = (one, other) else { return false };
        if self.leaves.is_full(other) || self.leaves.count(one) <= INDEX_LEAF_JOINED + 1 {
            return false;
        }
        self.leaves.fetch([one, other], hash);
        let was_there = self.leaves.remove(one, hash);
        if was_there {
            self.leaves.push(other, hash);
        }
        was_there
    }

    fn remove_by(&mut self, path: Path, key: Key, hash: u64) {
        let way = key.way(path.level);
        let End::Leaf(number) = self.forks[path.fork()].0[way].end() else { return };
        let was_there = self.leaves.remove(number, hash);
        debug_assert!(was_there || hash == FREE, "{hash:x} is not in the index");
        if self.leaves.count(number) > INDEX_LEAF_JOINED {
            return;
        }
        let ways = self.forks[path.fork()].ways_beside(way);
        let left = if self.leaves.count(number) == 0 {
            self.leaves.take(number);
            self.forks[path.fork()].set(ways, Way::NOWHERE);
            None
        } else {
            Some(number)
        };
        self.tidy(key, path, ways, left);
    }

    /// Joins what is left at some ways with what is beside them, for as long as that makes a leaf that is not full.
    fn tidy(&mut self, key: Key, mut path: Path, mut ways: Ways, mut left: Option<u32>) {
        loop {
            if ways.count == WAYS {
                let Some(level) = path.level.checked_sub(1) else { break };
                // All of the fork is one leaf, or empty: it is not needed.
                self.forks.take(path.fork());
                path.level = level;
                ways = Ways { first: key.way(level), count: 1 };
            } else {
                let beside = match self.forks[path.fork()].common_end(ways.beside()) {
                    Some(End::Nowhere) => None,
                    Some(End::Leaf(other)) => Some(other),
                    Some(End::Fork(_)) | None => break,
                };
                left = match (left, beside) {
                    (Some(one), Some(other)) => {
                        let both = self.leaves.count(one) + self.leaves.count(other);
                        if both > INDEX_LEAF_JOINED {
                            break;
                        }
                        self.leaves.join(one, other);
                        Some(one)
                    }
                    (one, other) => one.or(other),
                };
                ways = ways.doubled();
            }
            self.forks[path.fork()].set(ways, left.map_or(Way::NOWHERE, Way::to_leaf));
        }
    }
}

impl Default for Path {
    fn default() -> Path {
        Path { forks: [ROOT; LEVELS], level: 0 }
    }
}

impl Path {
    /// Goes on to a fork.
    fn push(&mut self, fork: u32) {
        self.level += 1;
        self.forks[self.level] = fork;
    }

    fn fork(&self) -> u32 {
        self.forks[self.level]
    }
}
