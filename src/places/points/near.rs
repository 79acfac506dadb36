//! Which of many points are near: all within a radius, of points sorted by latitude (the gazetteer), and the nearest
//! few, of points sorted into bands (the user's files).

use std::collections::BinaryHeap;
use std::ops::Range;

/// Mean radius of the Earth in metres, as IUGG gives it.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// Slack of the band and the window in degrees (about 0.1 mm), so that rounding in them never
/// drops a point that the exact distance would keep.
const SLACK_DEG: f64 = 1e-9;

/// Bands of latitude, each a 128th of a degree (870 m) high. Of a million places in one city narrower bands find faster,
/// and of as many over the whole world wider ones; of 32, 64, 128, 256 and 512 to a degree this one is good at both.
pub const BANDS: usize = 180 * BANDS_PER_DEGREE;
const BANDS_PER_DEGREE: usize = 128;

/// Points, for `within` in ascending order of latitude.
pub trait Points {
    fn len(&self) -> usize;
    fn latitude_deg(&self, index: usize) -> f64;
    fn longitude_deg(&self, index: usize) -> f64;
}

/// Points in bands, and in each in ascending order of longitude.
pub trait Banded: Points {
    /// The points of a band.
    fn band(&self, band: usize) -> Range<usize>;
}

/// The band of a latitude.
pub fn band_of(latitude_deg: f64) -> usize {
    (((latitude_deg + 90.0) * BANDS_PER_DEGREE as f64) as usize).min(BANDS - 1)
}

/// A point found: its index and how far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub index: usize,
    pub distance_m: f64,
}

/// The nearest `most` points within `radius_m`, nearest first; equally far ones in the order of their index, so
/// that every server gives the same answer.
#[cfg(any(test, feature = "gazetteer"))]
pub fn within(
    points: &impl Points,
    latitude_deg: f64,
    longitude_deg: f64,
    radius_m: f64,
    most: usize,
) -> Vec<Hit> {
    let reach_deg = (radius_m / EARTH_RADIUS_M).to_degrees() + SLACK_DEG;
    let window_deg = window_deg(latitude_deg, reach_deg);
    let first = first_at_least(points, latitude_deg - reach_deg);
    let mut hits = Vec::new();
    for index in first..points.len() {
        let latitude = points.latitude_deg(index);
        if latitude > latitude_deg + reach_deg {
            break;
        }
        let longitude = points.longitude_deg(index);
        let apart_deg = (longitude - longitude_deg).abs();
        if apart_deg > window_deg && apart_deg < 360.0 - window_deg {
            continue;
        }
        let distance_m = distance_m(latitude_deg, longitude_deg, latitude, longitude);
        if distance_m <= radius_m {
            hits.push(Hit { index, distance_m });
        }
    }
    let order = |a: &Hit, b: &Hit| a.distance_m.total_cmp(&b.distance_m).then(a.index.cmp(&b.index));
    if most < hits.len() {
        // Of a town there may be hundreds more than are asked for.
        hits.select_nth_unstable_by(most, order);
        hits.truncate(most);
    }
    hits.sort_unstable_by(order);
    hits
}

/// The same, for a heap with the farthest on top.
#[derive(Clone, Copy, PartialEq)]
struct Farthest(Hit);

impl Eq for Farthest {}

impl Ord for Farthest {
    fn cmp(&self, other: &Farthest) -> std::cmp::Ordering {
        let (one, other) = (self.0, other.0);
        one.distance_m.total_cmp(&other.distance_m).then(one.index.cmp(&other.index))
    }
}

impl PartialOrd for Farthest {
    fn partial_cmp(&self, other: &Farthest) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The nearest `most` points within `radius_m`, nearest first; equally far ones in the order of their index. Looks at
/// the bands from the nearest on, and in each east and west from the position, no further than there can be nearer
/// ones.
pub fn nearest(
    points: &impl Banded,
    latitude_deg: f64,
    longitude_deg: f64,
    radius_m: f64,
    most: usize,
) -> Vec<Hit> {
    if most == 0 {
        return Vec::new();
    }
    let mut search = Search {
        points,
        latitude_deg,
        longitude_deg,
        most,
        found: BinaryHeap::with_capacity(most + 1),
        reach_m: radius_m,
        window_deg: 0.0,
    };
    search.look_within(radius_m);
    let middle = band_of(latitude_deg);
    let (mut south, mut north) = (Some(middle), middle + 1);
    loop {
        let edge_deg = |band: usize| band as f64 / BANDS_PER_DEGREE as f64 - 90.0;
        // The nearest latitude of the next band on either side.
        let to_south = south.map(|band| latitude_deg - edge_deg(band + 1).min(latitude_deg));
        let to_north = (north < BANDS).then(|| (edge_deg(north) - latitude_deg).max(0.0));
        let is_south = to_south.is_some_and(|south| to_north.is_none_or(|north| south <= north));
        let Some(apart_deg) = (if is_south { to_south } else { to_north }) else { break };
        if (apart_deg - SLACK_DEG).to_radians() * EARTH_RADIUS_M > search.reach_m {
            break;
        }
        let Some(band) = south.filter(|_| is_south).or(Some(north)) else { break };
        search.look_at(points.band(band));
        if is_south { south = band.checked_sub(1) } else { north += 1 }
    }
    let found = search.found.into_sorted_vec();
    found.into_iter().map(|Farthest(hit)| hit).collect()
}

struct Search<'a, P> {
    points: &'a P,
    latitude_deg: f64,
    longitude_deg: f64,
    most: usize,
    found: BinaryHeap<Farthest>,
    /// Nothing farther is worth a look, nor what is farther east or west than the window.
    reach_m: f64,
    window_deg: f64,
}

impl<P: Points> Search<'_, P> {
    fn look_within(&mut self, reach_m: f64) {
        let reach_deg = (reach_m / EARTH_RADIUS_M).to_degrees() + SLACK_DEG;
        (self.reach_m, self.window_deg) = (reach_m, window_deg(self.latitude_deg, reach_deg));
    }

    /// Looks at the points of a band, from the position to the east and to the west.
    fn look_at(&mut self, band: Range<usize>) {
        let is_west = |index: usize| self.points.longitude_deg(index) < self.longitude_deg;
        let middle = partition(band.clone(), is_west);
        // Half way round, what is east is west.
        for index in (middle..band.end).chain(band.start..middle) {
            let apart_deg = (self.points.longitude_deg(index) - self.longitude_deg).rem_euclid(360.0);
            if apart_deg > self.window_deg.min(180.0) {
                break;
            }
            self.take(index);
        }
        for index in (band.start..middle).rev().chain((middle..band.end).rev()) {
            let longitude_deg = self.points.longitude_deg(index);
            let apart_deg = (self.longitude_deg - longitude_deg).rem_euclid(360.0);
            if apart_deg > self.window_deg || apart_deg >= 180.0 || longitude_deg == self.longitude_deg {
                break;
            }
            self.take(index);
        }
    }

    fn take(&mut self, index: usize) {
        let (latitude, longitude) = (self.points.latitude_deg(index), self.points.longitude_deg(index));
        let distance_m = distance_m(self.latitude_deg, self.longitude_deg, latitude, longitude);
        if distance_m > self.reach_m {
            return;
        }
        self.found.push(Farthest(Hit { index, distance_m }));
        if self.found.len() > self.most {
            self.found.pop();
        }
        if self.found.len() == self.most
            && let Some(Farthest(last)) = self.found.peek().copied()
            && last.distance_m < self.reach_m
        {
            self.look_within(last.distance_m);
        }
    }
}

/// The first of a range for which it does not hold, where it holds for all before that.
fn partition(mut range: Range<usize>, holds: impl Fn(usize) -> bool) -> usize {
    while !range.is_empty() {
        let middle = range.start + range.len() / 2;
        if holds(middle) { range.start = middle + 1 } else { range.end = middle }
    }
    range.start
}

/// The great-circle distance by the haversine formula, which is exact enough at any distance
/// two places near one another have.
pub fn distance_m(lat_a_deg: f64, lon_a_deg: f64, lat_b_deg: f64, lon_b_deg: f64) -> f64 {
    let (lat_a, lat_b) = (lat_a_deg.to_radians(), lat_b_deg.to_radians());
    let half_lat = ((lat_b - lat_a) / 2.0).sin();
    let half_lon = ((lon_b_deg - lon_a_deg).to_radians() / 2.0).sin();
    let chord = half_lat * half_lat + lat_a.cos() * lat_b.cos() * half_lon * half_lon;
    2.0 * EARTH_RADIUS_M * chord.sqrt().min(1.0).asin()
}

/// How far east and west a circle of `reach_deg` around a latitude extends: everywhere, when it
/// holds a pole.
fn window_deg(latitude_deg: f64, reach_deg: f64) -> f64 {
    if latitude_deg.abs() + reach_deg >= 90.0 {
        return 360.0;
    }
    let ratio = reach_deg.to_radians().sin() / latitude_deg.to_radians().cos();
    ratio.min(1.0).asin().to_degrees() + SLACK_DEG
}

#[cfg(any(test, feature = "gazetteer"))]
fn first_at_least(points: &impl Points, latitude_deg: f64) -> usize {
    partition(0..points.len(), |index| points.latitude_deg(index) < latitude_deg)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::points::pack::{Builder, Pack};
    use crate::places::points::spot::Spot;

    struct Table(Vec<(f64, f64)>);

    /// The same points in bands.
    fn banded(table: &Table) -> Pack {
        let mut builder = Builder::default();
        for (index, &(latitude_deg, longitude_deg)) in table.0.iter().enumerate() {
            let spot = Spot { latitude_deg, longitude_deg, name: "x".into(), ..Spot::default() };
            builder.add(&spot, &index.to_string()).expect("room");
        }
        builder.finish()
    }

    /// The nearest are those that looking at each point finds, at any place, in any number.
    fn check(pack: &Pack, lat: f64, lon: f64, radius_m: f64, most: usize) {
        let all = (0..pack.len()).map(|index| Hit {
            index,
            distance_m: distance_m(lat, lon, pack.latitude_deg(index), pack.longitude_deg(index)),
        });
        let mut expected: Vec<_> = all.filter(|hit| hit.distance_m <= radius_m).collect();
        expected.sort_by_key(|hit| Farthest(*hit));
        expected.truncate(most);
        assert_eq!(nearest(pack, lat, lon, radius_m, most), expected, "{lat} {lon} {radius_m} {most}");
    }

    #[test]
    fn the_nearest_are_those_of_brute_force() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        println!("seed {seed}");
        for _ in 0..40 {
            // Some in a town, some at a pole or the date line, some on one spot, some anywhere.
            let near =
                [(60.17, 24.94), (90.0, 0.0), (-90.0, 10.0), (0.0, 180.0), (89.99, 179.99), (-45.0, -180.0)];
            let count = random.usize(0..300);
            let points = (0..count).map(|_| {
                let (lat, lon) = near[random.usize(..near.len())];
                let spread = [0.0, 0.001, 0.1, 1.0, 30.0][random.usize(..5)];
                let lat: f64 = lat + spread * (random.f64() - 0.5);
                let lon: f64 = lon + spread * (random.f64() - 0.5);
                (lat.clamp(-90.0, 90.0), (lon + 180.0).rem_euclid(360.0) - 180.0)
            });
            let pack = banded(&Table(points.collect()));
            for _ in 0..20 {
                let (lat, lon) = near[random.usize(..near.len())];
                let spread = [0.0, 0.01, 1.0, 10.0][random.usize(..4)];
                let lat = (lat + spread * (random.f64() - 0.5)).clamp(-90.0, 90.0);
                let lon: f64 = (lon + spread * (random.f64() - 0.5) + 180.0).rem_euclid(360.0) - 180.0;
                let radius_m = [0.0, 50.0, 1_000.0, 50_000.0][random.usize(..4)];
                check(&pack, lat, lon, radius_m, random.usize(0..25));
            }
        }
    }

    impl Points for Table {
        fn len(&self) -> usize {
            self.0.len()
        }
        fn latitude_deg(&self, index: usize) -> f64 {
            self.0[index].0
        }
        fn longitude_deg(&self, index: usize) -> f64 {
            self.0[index].1
        }
    }

    #[test]
    fn distances() {
        let quarter_m = EARTH_RADIUS_M * std::f64::consts::FRAC_PI_2;
        for (a, b, expected_m) in [
            ((0.0, 0.0), (0.0, 0.0), 0.0),
            ((0.0, 0.0), (90.0, 77.0), quarter_m),
            ((0.0, 0.0), (0.0, 180.0), 2.0 * quarter_m),
            ((0.0, 179.5), (0.0, -179.5), quarter_m / 90.0),
            ((51.5074, -0.1278), (48.8566, 2.3522), 343_557.0),
        ] {
            let found_m = distance_m(a.0, a.1, b.0, b.1);
            assert!((found_m - expected_m).abs() < 10.0, "{a:?} {b:?}: {found_m}");
        }
    }

    /// Every point of a grid made dense around the poles and the date line, from positions on
    /// the grid and off it: the search finds what looking at each point finds.
    #[test]
    fn as_brute_force() {
        let mut latitudes = vec![-90.0, -89.9, -89.6, 0.0, 0.2, 59.9, 60.0, 60.3, 89.6, 89.9, 90.0];
        latitudes.sort_by(f64::total_cmp);
        let longitudes = [-180.0, -179.8, -90.0, -0.1, 0.0, 0.3, 90.0, 135.0, 179.7, 179.9, 180.0];
        let grid = latitudes.iter().flat_map(|&lat| longitudes.iter().map(move |&lon| (lat, lon)));
        let table = Table(grid.collect());
        for &(lat, lon) in &table.0 {
            for (lat, lon) in [(lat, lon), (lat * 0.999, lon * 0.999)] {
                for radius_m in [0.0, 1.0, 10_000.0, 50_000.0] {
                    let hits = within(&table, lat, lon, radius_m, usize::MAX);
                    let brute = |i: &usize| distance_m(lat, lon, table.0[*i].0, table.0[*i].1) <= radius_m;
                    let mut found: Vec<usize> = hits.iter().map(|hit| hit.index).collect();
                    found.sort_unstable();
                    let expected: Vec<usize> = (0..table.len()).filter(brute).collect();
                    assert_eq!(found, expected, "{lat} {lon} {radius_m}");
                    assert!(hits.is_sorted_by(|a, b| a.distance_m <= b.distance_m));
                    for most in [0, 1, hits.len() / 2, hits.len()] {
                        assert_eq!(
                            within(&table, lat, lon, radius_m, most),
                            hits[..most.min(hits.len())],
                            "{most}"
                        );
                    }
                }
            }
        }
    }
}
