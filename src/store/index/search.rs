//! Which leaves are near, in the order of how near each is at its nearest, and which are in an area. The store looks who is
//! in them.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::key::Cell;
use super::sphere::{Centre, Haversine};
use super::tree::{End, Index, ROOT};
use crate::limits::INDEX_PARTS_MAX;
use crate::protocol::Coordinates;

/// What came of looking at leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// There is no nearer one left.
    All,
    /// Whoever looks has had enough, or there are very many.
    Some,
}

/// A part of the globe that is to be looked at, and how near it is at its nearest.
struct Due {
    haversine: Haversine,
    what: What,
}

enum What {
    Leaf(u32),
    Fork(u32, Cell),
}

impl Index {
    /// Hands the hashes of leaves to `visit`, those of the nearest first, which says how near the next one has to be, or
    /// that it has had enough.
    pub fn search(
        &self,
        centre: &Centre,
        mut reach: Haversine,
        mut visit: impl FnMut(&[u64]) -> Option<Haversine>,
    ) -> Leaves {
        let (mut due, mut parts, mut hashes) = (BinaryHeap::new(), 0, Vec::new());
        due.push(Due { haversine: 0.0, what: What::Fork(ROOT, Cell::default()) });
        while let Some(Due { haversine, what }) = due.pop() {
            if haversine >= reach {
                break;
            }
            match what {
                What::Leaf(leaf) => {
                    hashes.clear();
                    hashes.extend(self.leaves.hashes(leaf));
                    match visit(&hashes) {
                        Some(nearer) => reach = nearer,
                        None => return Leaves::Some,
                    }
                }
                What::Fork(fork, cell) => {
                    for (ways, end) in self.forks[fork].ends() {
                        let part = cell.part(ways.first, ways.count);
                        let what = match end {
                            End::Nowhere => continue,
                            End::Leaf(leaf) => What::Leaf(leaf),
                            End::Fork(next) => What::Fork(next, part),
                        };
                        parts += 1;
                        let haversine = centre.to_nearest(part.corners());
                        if haversine < reach {
                            due.push(Due { haversine, what });
                        }
                    }
                }
            }
            if parts > INDEX_PARTS_MAX {
                return Leaves::Some;
            }
        }
        Leaves::All
    }

    /// Hands the hashes of the leaves that reach into an area, which is what lies between the corners of any of these, to
    /// `visit`, which says whether it wants more.
    pub fn search_area(&self, areas: &[Corners], mut visit: impl FnMut(u64) -> bool) -> Leaves {
        let (mut due, mut parts) = (vec![(ROOT, Cell::default())], 0);
        while let Some((fork, cell)) = due.pop() {
            for (ways, end) in self.forks[fork].ends() {
                parts += 1;
                let part = cell.part(ways.first, ways.count);
                if !areas.iter().any(|area| overlap(area, &part.corners())) {
                    continue;
                }
                match end {
                    End::Nowhere => {}
                    End::Fork(next) => due.push((next, part)),
                    End::Leaf(leaf) if self.leaves.hashes(leaf).all(&mut visit) => {}
                    End::Leaf(_) => return Leaves::Some,
                }
            }
            if parts > INDEX_PARTS_MAX {
                return Leaves::Some;
            }
        }
        Leaves::All
    }
}

/// The south-western and the north-eastern corner of an area that does not cross the date line.
pub type Corners = [Coordinates; 2];

fn overlap(one: &Corners, other: &Corners) -> bool {
    let meet = |of: fn(&Coordinates) -> i32| of(&one[0]) <= of(&other[1]) && of(&other[0]) <= of(&one[1]);
    meet(|corner| corner.latitude_e7) && meet(|corner| corner.longitude_e7)
}

/// For a heap with the nearest on top. Of what is equally near leaves come first: of very many at one position a few are
/// found at once.
impl Ord for Due {
    fn cmp(&self, other: &Due) -> Ordering {
        let is_leaf = |due: &Due| matches!(due.what, What::Leaf(_));
        other.haversine.total_cmp(&self.haversine).then_with(|| is_leaf(self).cmp(&is_leaf(other)))
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
