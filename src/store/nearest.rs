//! Finding clients by the index, the nearest or those in an area: it tells which they may be, and their records tell where
//! they are.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::index::{Centre, Corners, Haversine, Leaves, distance_m, reach};
use super::{Area, Store};
use crate::limits::{
    AREA_SLACK_DEG, AROUND_LATITUDE_MAX_DEG, EARTH_RADIUS_M, NEAREST_READS_MAX, NEAREST_WRITTEN_AT_ONCE,
};
use crate::protocol::{Coordinates, Record};

/// A position, and how far around it somebody looks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Around {
    centre: Centre,
    radius_m: f64,
}

/// Looking around, as far as it has come.
pub struct Look {
    around: Around,
    most: usize,
    /// The nearest so far, the farthest of them on top.
    nearest: BinaryHeap<Near>,
    /// The hashes of those whose records were read.
    seen: HashTable<u64>,
}

/// What looking by the index came to.
#[must_use = "there may be more"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// There is nobody nearer.
    All,
    /// There may be, for which the lock is to be taken again.
    Some,
    /// There is no index.
    Nowhere,
}

/// Somebody who is near.
#[derive(Clone, Copy)]
struct Near {
    haversine: Haversine,
    hash: u64,
}

impl Around {
    pub fn new(at: Coordinates, radius_m: f64) -> Around {
        Around { centre: Centre::new(at), radius_m }
    }

    /// How far a record is, in metres, if it is within the radius.
    pub fn distance_m(&self, record: &Record<&[u8]>) -> Option<f64> {
        let distance_m = distance_m(self.centre.to(record.coordinates()));
        (distance_m <= self.radius_m).then_some(distance_m)
    }

    /// Whether a position is within the radius.
    pub fn has(&self, at: Coordinates) -> bool {
        distance_m(self.centre.to(at)) <= self.radius_m
    }

    /// An area that has all of it; None where a pole is in it, or nearly.
    pub fn area(&self) -> Option<Area> {
        let (latitude_deg, longitude_deg) = self.centre.at().degrees();
        // A little more than it is.
        let reach_deg = (self.radius_m / EARTH_RADIUS_M).to_degrees() * 1.001 + AREA_SLACK_DEG;
        let (south, north) = (latitude_deg - reach_deg, latitude_deg + reach_deg);
        let farthest_deg = south.abs().max(north.abs());
        if farthest_deg > AROUND_LATITUDE_MAX_DEG {
            return None;
        }
        let wide_deg = reach_deg / farthest_deg.to_radians().cos();
        if wide_deg >= 180.0 {
            return None;
        }
        let wrapped = |degrees: f64| match degrees {
            _ if degrees > 180.0 => degrees - 360.0,
            _ if degrees < -180.0 => degrees + 360.0,
            _ => degrees,
        };
        let (west, east) = (wrapped(longitude_deg - wide_deg), wrapped(longitude_deg + wide_deg));
        Some(Area { west, south, east, north })
    }
}

impl Look {
    /// For the nearest `most`.
    pub fn new(around: Around, most: usize) -> Look {
        let (nearest, seen) =
            (BinaryHeap::with_capacity(most + 1), HashTable::with_capacity(NEAREST_READS_MAX / 2));
        Look { around, most, nearest, seen }
    }

    /// Nobody who is not nearer than this is of interest.
    fn reach(&self) -> Haversine {
        match self.nearest.peek() {
            Some(farthest) if self.nearest.len() >= self.most => farthest.haversine,
            _ if self.most == 0 => 0.0,
            _ => reach(self.around.radius_m),
        }
    }

    /// Whether somebody's record was not read yet. It is now.
    fn is_new(&mut self, hash: u64) -> bool {
        match self.seen.entry(hash, |&other| other == hash, |&other| other) {
            Entry::Occupied(_) => false,
            Entry::Vacant(place) => {
                place.insert(hash);
                true
            }
        }
    }

    fn add(&mut self, near: Near) {
        if near.haversine < self.reach() && distance_m(near.haversine) <= self.around.radius_m {
            self.nearest.push(near);
            if self.nearest.len() > self.most {
                self.nearest.pop();
            }
        }
    }
}

impl Store {
    /// Looks who is near, of those who are `wanted`. The lock is held for as long as it takes to read some hundred records.
    /// (Of two clients with the same hash, which are as good as never, one may not be found.)
    pub fn look(&self, look: &mut Look, wanted: impl Fn(&Record<&[u8]>) -> bool) -> Looked {
        let clients = self.lock();
        let Some(index) = &clients.index else { return Looked::Nowhere };
        let (centre, mut reads, mut unseen) = (look.around.centre, 0, Vec::new());
        let leaves = index.search(&centre, look.reach(), |hashes| {
            if reads > NEAREST_READS_MAX {
                return None;
            }
            unseen.clear();
            unseen.extend(hashes.iter().copied().filter(|&hash| look.is_new(hash)));
            reads += unseen.len();
            clients.map.see(&unseen, |hash, record| {
                let Some(record) = record else { return };
                let near = centre.to_within(record.coordinates(), look.reach());
                if let Some(haversine) = near.filter(|_| wanted(&record)) {
                    look.add(Near { haversine, hash });
                }
            });
            Some(look.reach())
        });
        match leaves {
            Leaves::All => Looked::All,
            Leaves::Some => Looked::Some,
        }
    }

    /// Hands the records of those who were found to `see`, each with its distance in metres. It is locked for some of them
    /// at a time: they may have moved meanwhile.
    pub fn see_nearest(&self, look: Look, mut see: impl FnMut(&Record<&[u8]>, f64)) {
        let nearest = look.nearest.into_sorted_vec();
        for some in nearest.chunks(NEAREST_WRITTEN_AT_ONCE) {
            let clients = self.lock();
            for near in some {
                let record = clients.map.with_hash(near.hash);
                if let Some((record, distance_m)) =
                    record.and_then(|record| Some((record, look.around.distance_m(&record)?)))
                {
                    see(&record, distance_m);
                }
            }
        }
    }

    /// The hashes of all clients that are in an area, and of some beside it, in the order of their buckets. None without
    /// an index, or where it finds more than `most`. The lock is held only while it is asked, not while records are read.
    pub fn hashes_in(&self, areas: &[Corners], most: usize) -> Option<Vec<u64>> {
        let mut found = Vec::new();
        let clients = self.lock();
        let leaves = clients.index.as_ref()?.search_area(areas, |hash| {
            found.push(hash);
            found.len() <= most
        });
        drop(clients);
        found.sort_unstable_by_key(|&hash| self.bucket_of(hash));
        (leaves == Leaves::All).then_some(found)
    }

    /// Hands the records of the clients with these hashes to `read` while the lock is held.
    pub fn read_hashes(&self, hashes: &[u64], mut read: impl FnMut(Record<&[u8]>)) {
        let clients = self.lock();
        hashes.iter().filter_map(|&hash| clients.map.with_hash(hash)).for_each(&mut read);
    }
}

impl Ord for Near {
    fn cmp(&self, other: &Near) -> Ordering {
        self.haversine.total_cmp(&other.haversine).then_with(|| self.hash.cmp(&other.hash))
    }
}

impl PartialOrd for Near {
    fn partial_cmp(&self, other: &Near) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Near {
    fn eq(&self, other: &Near) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Near {}
