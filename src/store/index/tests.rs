//! The index against looking at everybody, wherever they are and however they move.

use std::collections::HashMap;

use super::key::{FORK_BITS, Key, LEVELS, WAYS};
use super::tree::{End, ROOT};
use super::*;
use crate::limits::INDEX_LOOKS_MAX;

/// Where clients are that are hard to find: at the poles, along the date line, in a town, all on one spot, anywhere.
const TOWNS: [(f64, f64); 8] = [
    (60.17, 24.94),
    (90.0, 0.0),
    (-90.0, 10.0),
    (0.0, 180.0),
    (89.9999, 179.99),
    (-45.0, -180.0),
    (0.0, 0.0),
    (34.06893, -118.445127),
];

fn somewhere(random: &mut fastrand::Rng) -> Coordinates {
    let (latitude, longitude) = TOWNS[random.usize(..TOWNS.len())];
    let spread = [0.0, 0.000_001, 0.001, 0.1, 1.0, 30.0, 360.0][random.usize(..7)];
    let latitude: f64 = latitude + spread * (random.f64() - 0.5);
    let longitude: f64 = longitude + spread * (random.f64() - 0.5);
    let date_line = if random.bool() { 180.0 } else { -180.0 };
    let longitude = (longitude + 180.0).rem_euclid(360.0) - 180.0;
    let longitude = if longitude == -180.0 { date_line } else { longitude };
    Coordinates::of_degrees(latitude.clamp(-90.0, 90.0), longitude)
}

/// The index and a plain list of the same clients.
#[derive(Default)]
struct Both {
    index: Index,
    known: HashMap<u64, Coordinates>,
}

impl Both {
    fn put(&mut self, hash: u64, at: Coordinates) {
        match self.known.insert(hash, at) {
            Some(before) => self.index.shift(before, at, hash),
            None => self.index.insert(at, hash),
        }
    }

    fn drop(&mut self, hash: u64) {
        if let Some(at) = self.known.remove(&hash) {
            self.index.remove(at, hash);
        }
    }

    /// Those found, and those that are within the radius: by their distances, as several may be equally far.
    fn check(&self, centre: Coordinates, radius_m: f64, most: usize, context: &str) {
        let centre = Centre::new(centre);
        let mut found = Vec::new();
        let is_whole = Search::new(centre, radius_m).run(&self.index, |entry, haversine| {
            assert_eq!(self.known.get(&entry.hash), Some(&entry.at), "{context}");
            assert_eq!(haversine, centre.to(entry.at));
            if distance_m(haversine) <= radius_m && found.len() < most {
                found.push((haversine, entry.hash));
            }
            found.len() < most
        });
        let mut expected: Vec<_> = self.known.values().map(|&at| centre.to(at)).collect();
        expected.retain(|&haversine| distance_m(haversine) <= radius_m);
        expected.sort_by(f64::total_cmp);
        expected.truncate(most);
        let (distances, mut hashes): (Vec<_>, Vec<_>) = found.into_iter().unzip();
        if !is_whole {
            assert!(self.known.len() > INDEX_LOOKS_MAX / 2, "{context}");
            return assert_eq!(distances, expected[..distances.len()], "{context}");
        }
        assert_eq!(distances, expected, "{context}: {centre:?} {radius_m} {most}");
        hashes.sort_unstable();
        hashes.dedup();
        assert_eq!(hashes.len(), distances.len(), "{context}: somebody was found twice");
    }

    /// Whether the tree is as it has to be: everybody once in the leaf of the key, and no fork or leaf that is not needed.
    fn check_tree(&self) {
        let (mut entries, mut leaves, mut due) = (0, 0, vec![(ROOT, 0)]);
        let mut forks = 0;
        while let Some((fork, level)) = due.pop() {
            forks += 1;
            assert!(level < LEVELS);
            let ends: Vec<_> = self.index.forks[fork].ends().collect();
            let alone = matches!(ends[..], [(ways, End::Leaf(_))] if ways.count == WAYS);
            assert!(fork == ROOT || (!ends.is_empty() && !alone), "a fork that is not needed");
            for (ways, end) in ends {
                match end {
                    End::Nowhere => panic!("an end"),
                    End::Fork(next) => due.push((next, level + 1)),
                    End::Leaf(leaf) => {
                        let leaf = &self.index.leaves[leaf];
                        assert!(ways.count.is_power_of_two() && ways.first % ways.count == 0);
                        assert!(!leaf.entries().is_empty());
                        let bits = FORK_BITS * (level as u32 + 1) - ways.count.trailing_zeros();
                        assert_eq!(u32::from(leaf.bits), bits);
                        for entry in leaf.entries() {
                            assert_eq!(self.known.get(&entry.hash), Some(&entry.at));
                            let way = Key::of(entry.at, entry.hash).way(level);
                            assert!((ways.first..ways.first + ways.count).contains(&way));
                        }
                        entries += leaf.entries().len();
                        leaves += 1;
                    }
                }
            }
        }
        assert_eq!(
            (entries, leaves, forks),
            (self.known.len(), self.index.leaves.len(), self.index.forks.len())
        );
    }
}

#[test]
fn the_nearest_are_those_of_brute_force_whoever_comes_moves_and_goes() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..60 {
        let mut both = Both::default();
        let (clients, rounds) = (random.u64(1..800), random.usize(1..2_500));
        // The same few bits in all hashes, so that there are forks behind those of a spot, too.
        let hash = |client: u64| (client << 52) | (client % 7);
        for _ in 0..rounds {
            let client = random.u64(..clients);
            match random.u8(..10) {
                0..=1 => both.drop(hash(client)),
                // A small step, as most are.
                2..=5 if both.known.contains_key(&hash(client)) => {
                    let Coordinates { latitude_e7, longitude_e7 } = both.known[&hash(client)];
                    let step = random.i32(1..20_000);
                    let latitude_e7 =
                        (latitude_e7 + random.i32(-step..=step)).clamp(-900_000_000, 900_000_000);
                    let longitude_e7 =
                        (longitude_e7 + random.i32(-step..=step)).clamp(-1_800_000_000, 1_800_000_000);
                    both.put(hash(client), Coordinates { latitude_e7, longitude_e7 });
                }
                _ => both.put(hash(client), somewhere(&mut random)),
            }
        }
        both.check_tree();
        for _ in 0..60 {
            let centre = match both.known.values().nth(random.usize(..clients as usize)) {
                Some(&at) if random.bool() => at,
                _ => somewhere(&mut random),
            };
            let radius_m = [0.0, 0.02, 50.0, 1_000.0, 50_000.0, 5_000_000.0, 20_037_000.0][random.usize(..7)];
            let most = [1, 3, 10, 100, 1_000][random.usize(..5)];
            both.check(centre, radius_m, most, &format!("seed {seed} round {round}"));
        }
        let mut hashes: Vec<_> = both.known.keys().copied().collect();
        random.shuffle(&mut hashes);
        for hash in hashes {
            both.drop(hash);
        }
        both.check_tree();
        assert_eq!((both.index.leaves.len(), both.index.forks.len()), (0, 1), "it takes nothing in the end");
    }
}

#[test]
fn a_crowd_on_one_spot_is_found_and_moved_as_fast_as_anybody() {
    let mut both = Both::default();
    let mut random = fastrand::Rng::with_seed(5);
    let spot = Coordinates::of_degrees(0.0, 0.0);
    let hashes: Vec<u64> = (0..20_000).map(|_| random.u64(..)).collect();
    hashes.iter().for_each(|&hash| both.put(hash, spot));
    both.check_tree();
    let mut taken = 0;
    let is_whole = Search::new(Centre::new(spot), 0.0).run(&both.index, |_, _| {
        taken += 1;
        taken < 100
    });
    assert!(is_whole && taken == 100);
    hashes.iter().for_each(|&hash| both.drop(hash));
    both.check_tree();
}

#[test]
fn who_asks_for_too_much_is_told_so() {
    // Everybody is equally far from the pole: nobody can be left out.
    let mut both = Both::default();
    for client in 0..100_000_u32 {
        let longitude = f64::from(client) * 0.0036 - 180.0;
        both.put(u64::from(client) << 40, Coordinates::of_degrees(89.0, longitude));
    }
    let mut taken = 0;
    let is_whole = Search::new(Centre::new(Coordinates::of_degrees(90.0, 0.0)), 20_037_000.0).run(
        &both.index,
        |_, _| {
            taken += 1;
            taken < 10
        },
    );
    assert!(!is_whole && taken < 10);
    both.check(Coordinates::of_degrees(89.0, 12.3), 20_037_000.0, 10, "beside one of them");
}
