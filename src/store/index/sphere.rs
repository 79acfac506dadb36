//! Distances on the globe, which is a sphere here: from where somebody asks to a position, and to the nearest that a part
//! of the globe has. The search of the index and the scan without one compute them here.

use std::f64::consts::PI;

use crate::limits::{EARTH_RADIUS_M, INDEX_PARALLEL_E7};
use crate::protocol::Coordinates;

/// Radians of a ten-millionth of a degree.
const STEP_RAD: f64 = PI / 1_800_000_000.0;

/// By how much a bound is less than it is computed: more than rounding takes away.
const SLACK: f64 = 1.0 - 1e-12;

/// Where somebody asks from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Centre {
    at: Coordinates,
    sin_latitude: f64,
    cos_latitude: f64,
}

/// The square of the sine of half the angle between two positions: what distances are compared by.
pub type Haversine = f64;

/// Metres along the surface.
pub fn distance_m(haversine: Haversine) -> f64 {
    2.0 * EARTH_RADIUS_M * haversine.sqrt().min(1.0).asin()
}

fn haversine_of(distance_m: f64) -> Haversine {
    let half = (distance_m / (2.0 * EARTH_RADIUS_M)).min(PI / 2.0);
    half.sin().powi(2)
}

/// No position with a greater one is within this distance.
pub fn reach(distance_m: f64) -> Haversine {
    haversine_of(distance_m) / SLACK + f64::MIN_POSITIVE
}

/// The cosine of a latitude: none at a pole, where all longitudes are one place.
fn cos(latitude_e7: i32) -> f64 {
    if latitude_e7.abs() == Coordinates::POLE_E7 { 0.0 } else { (f64::from(latitude_e7) * STEP_RAD).cos() }
}

/// The square of the sine of half an angle.
fn sin_half_squared(angle_e7: i64) -> f64 {
    let sin_half = (angle_e7 as f64 * (STEP_RAD / 2.0)).sin();
    sin_half * sin_half
}

/// The angle between two longitudes: nothing at all between 180 degrees and -180.
fn apart_e7(one_e7: i32, other_e7: i32) -> i64 {
    let apart = (i64::from(other_e7) - i64::from(one_e7)).abs();
    apart.min(4 * i64::from(Coordinates::POLE_E7) - apart)
}

impl Centre {
    pub fn new(at: Coordinates) -> Centre {
        let sin_latitude = (f64::from(at.latitude_e7) * STEP_RAD).sin();
        Centre { at, sin_latitude, cos_latitude: cos(at.latitude_e7) }
    }

    pub fn at(&self) -> Coordinates {
        self.at
    }

    /// To a position.
    pub fn to(&self, at: Coordinates) -> Haversine {
        self.over(at.latitude_e7, self.across(at.longitude_e7))
    }

    /// To a position, if that is less than `reach`. Of one that is too far north or south it is seen at once.
    pub fn to_within(&self, at: Coordinates, reach: Haversine) -> Option<Haversine> {
        let along = self.along(at.latitude_e7);
        if along >= reach {
            return None;
        }
        let haversine = along + self.cos_latitude * cos(at.latitude_e7) * self.across(at.longitude_e7);
        (haversine < reach).then_some(haversine)
    }

    /// Along a meridian to a latitude.
    fn along(&self, latitude_e7: i32) -> f64 {
        sin_half_squared(i64::from(latitude_e7) - i64::from(self.at.latitude_e7))
    }

    /// The square of the sine of half the angle to a meridian.
    fn across(&self, longitude_e7: i32) -> f64 {
        sin_half_squared(apart_e7(self.at.longitude_e7, longitude_e7))
    }

    /// To a latitude on a meridian.
    fn over(&self, latitude_e7: i32, across: f64) -> Haversine {
        self.along(latitude_e7) + self.cos_latitude * cos(latitude_e7) * across
    }

    /// To the nearest position between two corners, or a little less.
    pub fn to_nearest(&self, [southwest, northeast]: [Coordinates; 2]) -> Haversine {
        let (south, north) = (southwest.latitude_e7, northeast.latitude_e7);
        let (west, east) = (southwest.longitude_e7, northeast.longitude_e7);
        let gap = self.along(self.at.latitude_e7.clamp(south, north));
        if (west..=east).contains(&self.at.longitude_e7) {
            return gap * SLACK;
        }
        // The nearer meridian of the two, whichever way round.
        let apart_e7 = [west, east].map(|edge| apart_e7(self.at.longitude_e7, edge));
        let across = sin_half_squared(apart_e7[0].min(apart_e7[1]));
        let farthest_e7 = south.abs().max(north.abs());
        if farthest_e7 <= INDEX_PARALLEL_E7 {
            // No position is nearer by its latitude than the gap, nor by its longitude than where the cosine is least.
            return (gap + self.cos_latitude * cos(farthest_e7) * across) * SLACK;
        }
        // Along a meridian the nearest position is where a right angle is, or at the end that is nearer to that.
        let foot = self.sin_latitude.atan2(self.cos_latitude * (1.0 - 2.0 * across)) / STEP_RAD;
        let ends = self.over(south, across).min(self.over(north, across));
        if (f64::from(south)..=f64::from(north)).contains(&foot) {
            let at_foot = self.over(foot.round() as i32, across).min(ends);
            // It is rounded to a step, and the way there is flat.
            return (at_foot - STEP_RAD * STEP_RAD) * SLACK;
        }
        ends * SLACK
    }
}
