//! The index against looking at everybody, wherever they are and however they move.

use std::collections::HashMap;

use super::key::{Key, LEVELS, WAYS};
use super::tree::{End, ROOT};
use super::*;
use crate::protocol::Coordinates;

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
        let before = self.known.insert(hash, at);
        let locate =
            |hashes: &[u64]| hashes.iter().map(|hash| self.known.get(hash).copied()).collect::<Vec<_>>();
        match before {
            Some(before) => self.index.shift(before, at, hash, &locate),
            None => self.index.insert(at, hash, &locate),
        }
    }

    fn drop(&mut self, hash: u64) {
        if let Some(at) = self.known.remove(&hash) {
            self.index.remove(at, hash);
        }
    }

    /// The nearest by the leaves that the index hands out, and how many clients were in these.
    fn search(&self, centre: &Centre, radius_m: f64, most: usize) -> (Vec<f64>, usize) {
        let (mut found, mut looks) = (Vec::new(), 0);
        let leaves = self.index.search(centre, reach(radius_m), |hashes| {
            looks += hashes.len();
            found.extend(hashes.iter().map(|hash| centre.to(self.known[hash])));
            found.retain(|&haversine| distance_m(haversine) <= radius_m);
            found.sort_by(f64::total_cmp);
            found.truncate(most);
            Some(if found.len() == most { found[most - 1] } else { reach(radius_m) })
        });
        assert_eq!(leaves, Leaves::All);
        (found, looks)
    }

    /// Those found are those that are within the radius: by their distances, as several may be equally far.
    fn check(&self, centre: Coordinates, radius_m: f64, most: usize, context: &str) {
        let centre = Centre::new(centre);
        let mut expected: Vec<_> = self.known.values().map(|&at| centre.to(at)).collect();
        expected.retain(|&haversine| distance_m(haversine) <= radius_m);
        expected.sort_by(f64::total_cmp);
        expected.truncate(most);
        let (found, _) = self.search(&centre, radius_m, most);
        assert_eq!(found, expected, "{context}: {centre:?} {radius_m} {most}");
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
                        let all = &self.index.leaves;
                        assert!(ways.count.is_power_of_two() && ways.first % ways.count == 0);
                        assert!(all.count(leaf) > 0);
                        for hash in all.hashes(leaf) {
                            let way = Key::of(self.known[&hash], hash).way(level);
                            assert!((ways.first..ways.first + ways.count).contains(&way));
                        }
                        entries += all.hashes(leaf).count();
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
    let (found, looks) = both.search(&Centre::new(spot), 0.0, 100);
    assert!(found == [0.0; 100] && looks < 200, "{looks}");
    hashes.iter().for_each(|&hash| both.drop(hash));
    both.check_tree();
}

#[test]
fn who_is_equally_far_from_very_many_is_told_that_it_is_too_much() {
    // Nobody around the pole can be left out.
    let mut both = Both::default();
    for client in 0..400_000_u32 {
        let longitude = f64::from(client) * 0.000_9 - 180.0;
        both.put(u64::from(client) << 40, Coordinates::of_degrees(89.0, longitude));
    }
    let pole = Centre::new(Coordinates::of_degrees(90.0, 0.0));
    assert_eq!(both.index.search(&pole, reach(1e9), |_| Some(1.0)), Leaves::Some);
    both.check(Coordinates::of_degrees(89.0, 12.3), 20_037_000.0, 10, "beside one of them");
}
