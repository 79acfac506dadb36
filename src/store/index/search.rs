//! Who is nearest: looks at forks, leaves and clients in the order of how near each is at its nearest. The store calls it.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::Entry;
use super::key::Cell;
use super::sphere::{Centre, Haversine, reach};
use super::tree::{End, Index, ROOT};
use crate::limits::INDEX_LOOKS_MAX;

/// From where, and how far.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Search {
    pub centre: Centre,
    reach: Haversine,
}

/// What is to be looked at, and how near it is at its nearest.
struct Due {
    haversine: Haversine,
    what: What,
}

enum What {
    Entry(Entry),
    Leaf(u32),
    Fork(u32, Cell),
}

impl Search {
    pub fn new(centre: Centre, radius_m: f64) -> Search {
        Search { centre, reach: reach(radius_m) }
    }

    /// Hands everybody within the radius to `take`, the nearest first, until it has enough and says no. False if that takes
    /// too many looks: many may be equally near.
    pub fn run(&self, index: &Index, mut take: impl FnMut(Entry, Haversine) -> bool) -> bool {
        let mut due = BinaryHeap::with_capacity(INDEX_LOOKS_MAX / 8);
        due.push(Due { haversine: 0.0, what: What::Fork(ROOT, Cell::default()) });
        let mut looks = 0;
        while let Some(Due { haversine, what }) = due.pop() {
            match what {
                What::Entry(entry) => {
                    if !take(entry, haversine) {
                        return true;
                    }
                }
                What::Leaf(leaf) => {
                    let entries = index.leaves[leaf].entries();
                    looks += entries.len();
                    for &entry in entries {
                        self.add(&mut due, self.centre.to(entry.at), What::Entry(entry));
                    }
                }
                What::Fork(fork, cell) => {
                    for (ways, end) in index.forks[fork].ends() {
                        let part = cell.part(ways.first, ways.count);
                        let what = match end {
                            End::Nowhere => continue,
                            End::Leaf(leaf) => What::Leaf(leaf),
                            End::Fork(next) => What::Fork(next, part),
                        };
                        looks += 1;
                        self.add(&mut due, self.centre.to_nearest(part.corners()), what);
                    }
                }
            }
            if looks > INDEX_LOOKS_MAX {
                return false;
            }
        }
        true
    }

    fn add(&self, due: &mut BinaryHeap<Due>, haversine: Haversine, what: What) {
        if haversine <= self.reach {
            due.push(Due { haversine, what });
        }
    }
}

impl Due {
    /// Of what is equally near, clients come first: of very many at one position a few are found at once. And they come
    /// in an order that does not depend on the tree.
    fn rank(&self) -> (u8, u64) {
        match self.what {
            What::Entry(entry) => (0, entry.hash),
            What::Leaf(_) => (1, 0),
            What::Fork(..) => (2, 0),
        }
    }
}

/// For a heap with the nearest on top.
impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        other.haversine.total_cmp(&self.haversine).then_with(|| other.rank().cmp(&self.rank()))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Due) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Due) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Due {}
