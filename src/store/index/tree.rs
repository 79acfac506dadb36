//! The tree of positions: who comes in, moves and goes out of it.
//!
//! A fork looks at four bits of a key, and has a way for each of their values. Several neighbouring ways may lead to one
//! leaf, which is for all keys that begin with their common bits. A leaf that is full is cut by the next bit; two halves
//! that have become small are joined. So leaves are about two thirds full whatever the density, and a key finds its leaf
//! by way of a quarter as many forks as it has bits that matter.

use super::Entry;
use super::key::{FORK_BITS, Key, LEVELS, WAYS};
use super::slab::Slab;
use crate::limits::{INDEX_LEAF_JOINED, INDEX_LEAF_MAX};
use crate::protocol::Coordinates;

/// Everybody's position.
pub struct Index {
    pub(super) forks: Slab<Fork>,
    pub(super) leaves: Slab<Leaf>,
}

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

/// Those whose keys begin with so many bits that are the same. They lie in the leaf itself, where a client that moves is
/// found with one look at the memory.
#[derive(Clone, Default)]
pub struct Leaf {
    count: u16,
    pub(super) bits: u16,
    entries: [Entry; INDEX_LEAF_MAX],
}

/// Some neighbouring ways of a fork: as many as a power of two, beginning at a multiple of it.
#[derive(Clone, Copy)]
pub struct Ways {
    pub(super) first: usize,
    pub(super) count: usize,
}

/// The forks that a key went by.
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

    /// The ways around one that lead nowhere either.
    fn nowhere_around(&self, way: usize) -> Ways {
        let mut ways = Ways { first: way, count: 1 };
        while ways.count < WAYS && self.common_end(ways.doubled()) == Some(End::Nowhere) {
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

    /// Those of a leaf for keys with so many common bits, around a way of a fork of this level.
    fn of_leaf(bits: u16, level: usize, way: usize) -> Ways {
        let count = 1 << (FORK_BITS * (level as u32 + 1) - u32::from(bits));
        Ways { first: way & !(count - 1), count }
    }
}

impl Leaf {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries[..usize::from(self.count)]
    }

    fn is_full(&self) -> bool {
        self.entries().len() == INDEX_LEAF_MAX
    }

    fn push(&mut self, entry: Entry) {
        self.entries[usize::from(self.count)] = entry;
        self.count += 1;
    }

    /// Takes out an entry; says whether it was there.
    fn remove(&mut self, entry: Entry) -> bool {
        let Some(place) = self.entries().iter().position(|other| *other == entry) else { return false };
        self.count -= 1;
        self.entries[place] = self.entries[usize::from(self.count)];
        true
    }

    /// Takes out those whose keys have the bit behind the common ones.
    fn take_upper(&mut self) -> Leaf {
        let bits = u32::from(self.bits);
        let [mut lower, mut upper] = [Leaf { bits: self.bits + 1, ..Leaf::default() }, Leaf::default()];
        upper.bits = lower.bits;
        for &entry in self.entries() {
            let is_upper = Key::of(entry.at, entry.hash).bit(bits);
            if is_upper { &mut upper } else { &mut lower }.push(entry);
        }
        *self = lower;
        upper
    }
}

impl Default for Index {
    fn default() -> Index {
        let mut forks = Slab::default();
        let root = forks.add(Fork::default());
        debug_assert_eq!(root, ROOT);
        Index { forks, leaves: Slab::default() }
    }
}

impl Index {
    /// Somebody comes in.
    pub fn insert(&mut self, at: Coordinates, hash: u64) {
        let (key, entry) = (Key::of(at, hash), Entry { at, hash });
        let (mut fork, mut level) = (ROOT, 0);
        loop {
            let way = key.way(level);
            match self.forks[fork].0[way].end() {
                End::Fork(next) => (fork, level) = (next, level + 1),
                End::Nowhere => {
                    let ways = self.forks[fork].nowhere_around(way);
                    let bits = FORK_BITS * (level as u32 + 1) - ways.count.trailing_zeros();
                    let mut leaf = Leaf { bits: bits as u16, ..Leaf::default() };
                    leaf.push(entry);
                    let leaf = self.leaves.add(leaf);
                    return self.forks[fork].set(ways, Way::to_leaf(leaf));
                }
                End::Leaf(number) => {
                    let leaf = &mut self.leaves[number];
                    if !leaf.is_full() {
                        return leaf.push(entry);
                    }
                    let ways = Ways::of_leaf(leaf.bits, level, way);
                    if ways.count > 1 {
                        self.cut(fork, ways, number);
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

    /// Cuts a leaf by the next bit of its keys.
    fn cut(&mut self, fork: u32, ways: Ways, number: u32) {
        let lower = Ways { count: ways.count / 2, ..ways };
        let upper = self.leaves[number].take_upper();
        let (is_empty, way) = (self.leaves[number].count == 0, Way::to_leaf(number));
        if upper.count == 0 {
            self.forks[fork].set(lower.beside(), Way::NOWHERE);
        } else if is_empty {
            self.leaves[number] = upper;
            self.forks[fork].set(lower, Way::NOWHERE);
            self.forks[fork].set(lower.beside(), way);
        } else {
            let way = Way::to_leaf(self.leaves.add(upper));
            self.forks[fork].set(lower.beside(), way);
        }
    }

    /// Somebody moves.
    pub fn shift(&mut self, from: Coordinates, to: Coordinates, hash: u64) {
        if from == to {
            return;
        }
        let (before, after) = (Key::of(from, hash), Key::of(to, hash));
        let (mut fork, mut level) = (ROOT, 0);
        while let End::Fork(next) = self.forks[fork].0[before.way(level)].end() {
            (fork, level) = (next, level + 1);
        }
        let End::Leaf(leaf) = self.forks[fork].0[before.way(level)].end() else { return };
        let leaf = &mut self.leaves[leaf];
        if before.common_bits(after) >= u32::from(leaf.bits) {
            let entry = Entry { at: from, hash };
            if let Some(place) = leaf.entries().iter().position(|other| *other == entry) {
                leaf.entries[place].at = to;
            }
        } else {
            self.remove(from, hash);
            self.insert(to, hash);
        }
    }

    /// Somebody goes.
    pub fn remove(&mut self, at: Coordinates, hash: u64) {
        let key = Key::of(at, hash);
        let mut path = Path { forks: [ROOT; LEVELS], level: 0 };
        while let End::Fork(next) = self.forks[path.fork()].0[key.way(path.level)].end() {
            path.level += 1;
            path.forks[path.level] = next;
        }
        let way = key.way(path.level);
        let End::Leaf(number) = self.forks[path.fork()].0[way].end() else { return };
        let leaf = &mut self.leaves[number];
        if !leaf.remove(Entry { at, hash }) {
            debug_assert!(false, "{at:?} is not in the index");
            return;
        }
        let ways = Ways::of_leaf(leaf.bits, path.level, way);
        let left = if leaf.count == 0 {
            self.leaves.take(number);
            self.forks[path.fork()].set(ways, Way::NOWHERE);
            None
        } else if leaf.entries().len() <= INDEX_LEAF_JOINED {
            Some(number)
        } else {
            return;
        };
        self.tidy(&key, path, ways, left);
    }

    /// Joins what is left at some ways with what is beside them, for as long as that makes a leaf that is not full.
    fn tidy(&mut self, key: &Key, mut path: Path, mut ways: Ways, mut left: Option<u32>) {
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
                        let both = self.leaves[one].count + self.leaves[other].count;
                        if usize::from(both) > INDEX_LEAF_JOINED {
                            break;
                        }
                        let other = self.leaves.take(other);
                        other.entries().iter().for_each(|&entry| self.leaves[one].push(entry));
                        Some(one)
                    }
                    (one, other) => one.or(other),
                };
                ways = ways.doubled();
            }
            // What is wider has fewer bits in common.
            let way = left.map_or(Way::NOWHERE, Way::to_leaf);
            self.forks[path.fork()].set(ways, way);
            if let Some(leaf) = left {
                self.leaves[leaf].bits =
                    (FORK_BITS * (path.level as u32 + 1) - ways.count.trailing_zeros()) as u16;
            }
        }
    }
}

impl Path {
    fn fork(&self) -> u32 {
        self.forks[self.level]
    }
}
