//! Where a client is: on a great circle, as a vector that turns. So poles and the date line are places like any other.

use std::time::Duration;

/// The radius of a sphere with the earth's volume, as the servers take it.
const EARTH_RADIUS_KM: f64 = 6_371.0;

type Vector = [f64; 3];

/// A great circle, and how fast it is driven along.
#[derive(Clone, Copy, Debug)]
pub struct Course {
    /// Where it begins, and where it heads from there, a quarter of the way round: both of the length 1.
    begin: Vector,
    ahead: Vector,
    radians_per_s: f64,
}

impl Course {
    /// From a place, by degrees from north by east, at km/h.
    pub fn new(latitude_deg: f64, longitude_deg: f64, bearing_deg: f64, speed_kmh: f64) -> Course {
        let (lat, lon, bearing) =
            (latitude_deg.to_radians(), longitude_deg.to_radians(), bearing_deg.to_radians());
        let begin = [lat.cos() * lon.cos(), lat.cos() * lon.sin(), lat.sin()];
        let north = [-lat.sin() * lon.cos(), -lat.sin() * lon.sin(), lat.cos()];
        let east = [-lon.sin(), lon.cos(), 0.0];
        let ahead = mix(north, bearing.cos(), east, bearing.sin());
        Course { begin, ahead, radians_per_s: speed_kmh / 3_600.0 / EARTH_RADIUS_KM }
    }

    /// From anywhere on the globe to anywhere.
    pub fn at_random(speed_kmh: f64) -> Course {
        // As much of a sphere is between two heights as between any others as far apart.
        let latitude_deg = (2.0 * fastrand::f64() - 1.0).asin().to_degrees();
        let longitude_deg = 360.0 * fastrand::f64() - 180.0;
        Course::new(latitude_deg, longitude_deg, 360.0 * fastrand::f64(), speed_kmh)
    }

    /// Latitude and longitude in degrees, after some time.
    pub fn degrees(&self, after: Duration) -> (f64, f64) {
        let angle = self.radians_per_s * after.as_secs_f64();
        let [x, y, z] = mix(self.begin, angle.cos(), self.ahead, angle.sin());
        // More than 1 by a hair is no sine.
        (z.clamp(-1.0, 1.0).asin().to_degrees(), y.atan2(x).to_degrees())
    }

    /// The same as a report has it: each with its sign, and six digits behind the point, which are some 10 cm.
    pub fn location(&self, after: Duration) -> String {
        let (latitude_deg, longitude_deg) = self.degrees(after);
        format!("{latitude_deg:+010.6}{longitude_deg:+011.6}")
    }
}

fn mix(a: Vector, of_a: f64, b: Vector, of_b: f64) -> Vector {
    std::array::from_fn(|axis| a[axis] * of_a + b[axis] * of_b)
}

#[cfg(test)]
mod tests {
    use herd::protocol::{Command, Location};

    use super::*;

    /// A quarter of the way round at this speed takes an hour.
    const QUARTER_KMH: f64 = EARTH_RADIUS_KM * std::f64::consts::FRAC_PI_2;

    fn after(course: &Course, hours: f64) -> (f64, f64) {
        course.degrees(Duration::from_secs_f64(3_600.0 * hours))
    }

    fn assert_near(found: (f64, f64), expected: (f64, f64), about: &str) {
        let is_near = |a: f64, b: f64| (a - b).abs() < 1e-6;
        assert!(
            is_near(found.0, expected.0) && is_near(found.1, expected.1),
            "{about}: {found:?}, {expected:?}"
        );
    }

    #[test]
    fn great_circles_go_over_the_equator_the_poles_and_the_date_line() {
        let third = 1.0 / 3.0;
        for (about, (lat, lon, bearing), hours, expected) in [
            ("nowhere yet", (34.0, -118.0, 77.0), 0.0, (34.0, -118.0)),
            ("east on the equator", (0.0, 10.0, 90.0), third, (0.0, 40.0)),
            ("west on the equator", (0.0, 10.0, 270.0), third, (0.0, -20.0)),
            ("north on a meridian", (10.0, 20.0, 0.0), third, (40.0, 20.0)),
            ("over the north pole", (80.0, 20.0, 0.0), third, (70.0, -160.0)),
            ("over the south pole", (-80.0, 20.0, 180.0), third, (-70.0, -160.0)),
            ("from the north pole itself", (90.0, 0.0, 90.0), third, (60.0, 90.0)),
            ("eastwards over the date line", (0.0, 170.0, 90.0), third, (0.0, -160.0)),
            ("westwards over the date line", (0.0, -170.0, 270.0), third, (0.0, 160.0)),
            ("half round", (30.0, 40.0, 12.3), 2.0, (-30.0, -140.0)),
            ("all round", (30.0, 40.0, 12.3), 4.0, (30.0, 40.0)),
            ("a quarter east of the north", (45.0, 0.0, 90.0), 1.0, (0.0, 90.0)),
        ] {
            assert_near(after(&Course::new(lat, lon, bearing, QUARTER_KMH), hours), expected, about);
        }
    }

    #[test]
    fn a_client_drives_as_fast_as_it_is_told_to() {
        let course = Course::new(12.0, 34.0, 56.0, 36.0);
        let (lat, lon) = course.degrees(Duration::from_secs(100));
        let north_km = (lat - 12.0).to_radians() * EARTH_RADIUS_KM;
        let east_km = (lon - 34.0).to_radians() * EARTH_RADIUS_KM * 12_f64.to_radians().cos();
        assert!((north_km.hypot(east_km) - 1.0).abs() < 1e-3, "{north_km} {east_km}");
    }

    #[test]
    fn every_location_is_one_that_a_server_takes() {
        let courses = [(90.0, 0.0, 0.0), (-90.0, 180.0, 90.0), (0.0, 180.0, 0.0), (0.0, -0.000_000_1, 90.0)];
        let courses = courses.map(|(lat, lon, bearing)| Course::new(lat, lon, bearing, QUARTER_KMH));
        let random = std::iter::repeat_with(|| Course::at_random(QUARTER_KMH)).take(1_000);
        for course in courses.into_iter().chain(random) {
            for minute in 0..240 {
                let location = course.location(Duration::from_secs(60 * minute));
                assert!(Location::parse(location.as_bytes()).is_some(), "{location}");
            }
            let line = format!("IAMAT fleet-0001 {} 1.000000000", course.location(Duration::ZERO));
            assert!(matches!(Command::parse(line.as_bytes()), Ok(Command::Iamat(_))), "{line}");
        }
    }
}
