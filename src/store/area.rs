//! An area of the globe between two meridians and two parallels. Whoever lists clients or watches them asks it.

use super::Corners;
use crate::limits::AREA_SLACK_DEG;
use crate::protocol::Coordinates;

/// From west to east, over the date line where west is more than east. Degrees.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Area {
    pub west: f64,
    pub south: f64,
    pub east: f64,
    pub north: f64,
}

impl Area {
    pub fn has(&self, latitude_deg: f64, longitude_deg: f64) -> bool {
        let is_between = if self.west <= self.east {
            (self.west..=self.east).contains(&longitude_deg)
        } else {
            longitude_deg >= self.west || longitude_deg <= self.east
        };
        // The date line is one meridian, whichever sign it is written with.
        let is_on_line =
            longitude_deg.abs() == 180.0 && [self.west, self.east].iter().any(|edge| edge.abs() == 180.0);
        (is_between || is_on_line) && (self.south..=self.north).contains(&latitude_deg)
    }

    /// What is between these has all of it, and a little more.
    pub fn corners(&self) -> Vec<Corners> {
        let between = |west: f64, east: f64| {
            let corner = |latitude_deg: f64, longitude_deg: f64| {
                Coordinates::of_degrees(latitude_deg.clamp(-90.0, 90.0), longitude_deg.clamp(-180.0, 180.0))
            };
            let [south, north] = [self.south - AREA_SLACK_DEG, self.north + AREA_SLACK_DEG];
            [corner(south, west - AREA_SLACK_DEG), corner(north, east + AREA_SLACK_DEG)]
        };
        let mut all = if self.west <= self.east {
            vec![between(self.west, self.east)]
        } else {
            vec![between(self.west, 180.0), between(-180.0, self.east)]
        };
        if [self.west, self.east].iter().any(|edge| edge.abs() == 180.0) {
            all.extend([between(180.0, 180.0), between(-180.0, -180.0)]);
        }
        all
    }
}
