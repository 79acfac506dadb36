//! Where GeoJSON says that its points are (`bbox`), and whether one of them seems to have latitude and longitude swapped.
//! `geojson` asks for it.

use serde_json::value::RawValue;

use super::spot::Spot;

/// West, south, east and north in degrees. One with its west east of its east goes over the date line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Extent {
    west: f64,
    south: f64,
    east: f64,
    north: f64,
}

impl Extent {
    /// One of two or three dimensions; None for what can be none.
    pub fn of(bbox: &RawValue) -> Option<Extent> {
        let all: Vec<f64> = serde_json::from_str(bbox.get()).ok()?;
        let (west, south, east, north) = match all[..] {
            [west, south, east, north] | [west, south, _, east, north, _] => (west, south, east, north),
            _ => return None,
        };
        let is_one = -90.0 <= south && south <= north && north <= 90.0 && west.abs().max(east.abs()) <= 360.0;
        let wrapped =
            |degrees: f64| if degrees.abs() > 180.0 { degrees - 360_f64.copysign(degrees) } else { degrees };
        let (west, east) =
            if east - west >= 360.0 { (-180.0, 180.0) } else { (wrapped(west), wrapped(east)) };
        is_one.then_some(Extent { west, south, east, north })
    }

    fn has(self, longitude: f64, latitude: f64) -> bool {
        let is_between = match self.west <= self.east {
            true => self.west <= longitude && longitude <= self.east,
            false => self.west <= longitude || longitude <= self.east,
        };
        is_between && self.south <= latitude && latitude <= self.north
    }

    /// Whether a place is outside, and would be inside with latitude and longitude swapped.
    pub fn has_swapped(self, spot: &Spot) -> bool {
        let (latitude, longitude) = (spot.latitude_deg, spot.longitude_deg);
        !self.has(longitude, latitude) && self.has(latitude, longitude)
    }
}

impl std::fmt::Display for Extent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}, {}, {}, {}]", self.west, self.south, self.east, self.north)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_or_three_dimensions_and_over_the_date_line() {
        let extent = |text: &str| Extent::of(serde_json::from_str(text).expect("JSON"));
        for (bbox, longitude_deg, latitude_deg, expected) in [
            ("[24,60,25,61]", 24.5, 60.5, false),
            ("[24,60,25,61]", 60.5, 24.5, true),
            ("[24,60,0,25,61,9]", 60.5, 24.5, true),
            // Elsewhere, whichever way.
            ("[24,60,25,61]", 8.0, 50.0, false),
            ("[170,-20,-170,-10]", -175.0, -15.0, false),
            ("[170,-20,190,-10]", -175.0, -15.0, false),
            ("[-190,-20,-170,-10]", 175.0, -15.0, false),
            ("[70,-20,-170,-10]", -15.0, 80.0, true),
            ("[0,-90,360,90]", -15.0, 80.0, false),
        ] {
            let spot = Spot { latitude_deg, longitude_deg, ..Spot::default() };
            let found = extent(bbox).unwrap_or_else(|| panic!("{bbox}")).has_swapped(&spot);
            assert_eq!(found, expected, "{bbox} {longitude_deg} {latitude_deg}");
        }
        for bbox in
            ["[]", "5", "[1,2,3]", "[24,61,25,60]", "[60,24,61,95]", "[1,2,null,4]", "[385000,60,386000,61]"]
        {
            assert_eq!(extent(bbox), None, "{bbox}");
        }
    }
}
