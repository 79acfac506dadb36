//! Which of many points are within a radius: the search under the gazetteer and the user's file.
//! Points sorted by latitude; a band by binary search, a longitude window, then the distance.

/// Mean radius of the Earth in metres, as IUGG gives it.
const EARTH_RADIUS_M: f64 = 6_371_008.8;

/// Slack of the band and the window in degrees (about 0.1 mm), so that rounding in them never
/// drops a point that the exact distance would keep.
const SLACK_DEG: f64 = 1e-9;

/// Points in ascending order of latitude.
pub trait Points {
    fn len(&self) -> usize;
    fn latitude_deg(&self, index: usize) -> f64;
    fn longitude_deg(&self, index: usize) -> f64;
}

/// A point found: its index and how far it is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hit {
    pub index: usize,
    pub distance_m: f64,
}

/// The points within `radius_m`, nearest first; equally far ones in the order of their index, so
/// that every server gives the same answer.
pub fn within(points: &impl Points, latitude_deg: f64, longitude_deg: f64, radius_m: f64) -> Vec<Hit> {
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
    hits.sort_by(|a, b| a.distance_m.total_cmp(&b.distance_m).then(a.index.cmp(&b.index)));
    hits
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

fn first_at_least(points: &impl Points, latitude_deg: f64) -> usize {
    let (mut low, mut high) = (0, points.len());
    while low < high {
        let middle = low + (high - low) / 2;
        if points.latitude_deg(middle) < latitude_deg {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Table(Vec<(f64, f64)>);

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
                    let hits = within(&table, lat, lon, radius_m);
                    let brute = |i: &usize| distance_m(lat, lon, table.0[*i].0, table.0[*i].1) <= radius_m;
                    let mut found: Vec<usize> = hits.iter().map(|hit| hit.index).collect();
                    found.sort_unstable();
                    let expected: Vec<usize> = (0..table.len()).filter(brute).collect();
                    assert_eq!(found, expected, "{lat} {lon} {radius_m}");
                    assert!(hits.is_sorted_by(|a, b| a.distance_m <= b.distance_m));
                }
            }
        }
    }
}
