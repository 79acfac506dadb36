//! The provider `file`: the user's own points, from CSV, TSV or GeoJSON, read once at the start by `open`. Bad rows
//! are reported with their line, and more than one in a hundred stops the start.

use std::path::Path;
use std::time::Instant;

use super::layout::{Place, Point, results_json};
use crate::files;
use crate::limits::{BAD_ROWS_IN_ERROR_MAX, BAD_ROWS_LOGGED_MAX, BAD_ROWS_PERCENT_MAX, PLACES_FILE_MAX};
use crate::places::points::{self, Points, Row, Spot, within};
use crate::places::{Lookup, Places, PlacesError, Settings};

/// Points in ascending order of latitude.
#[derive(Debug)]
pub struct File {
    spots: Vec<Spot>,
}

impl File {
    pub fn open(settings: &Settings) -> Result<File, String> {
        let path = settings.path.as_deref().ok_or(
            "places.path: not set, but the file provider needs one: name a CSV, TSV or GeoJSON file",
        )?;
        let shown = path.display();
        let bytes =
            files::read(path, PLACES_FILE_MAX).map_err(|why| format!("places.path: {shown}: {why}"))?;
        File::parse(&bytes, path)
    }

    /// The points in the bytes of a file. The path is for the words of errors.
    ///
    /// # Errors
    /// It is neither a table nor GeoJSON, too many of its rows are bad, or it has no point.
    pub fn parse(bytes: &[u8], path: &Path) -> Result<File, String> {
        let rows = points::rows(bytes).map_err(|why| format!("{}:{why}", path.display()))?;
        File::of_rows(rows, path)
    }

    fn of_rows(rows: Vec<Row>, path: &Path) -> Result<File, String> {
        let shown = path.display();
        let total = rows.len();
        let mut spots = Vec::with_capacity(total);
        let mut bad = Vec::new();
        for row in rows {
            match row {
                Ok(spot) => spots.push(spot),
                Err((line, why)) => bad.push(format!("{shown}:{line}: {why}")),
            }
        }
        if bad.len() * 100 > total * BAD_ROWS_PERCENT_MAX {
            let first = bad.iter().take(BAD_ROWS_IN_ERROR_MAX).cloned().collect::<Vec<_>>();
            return Err(format!(
                "places.path: {} of {total} rows are bad, more than {BAD_ROWS_PERCENT_MAX} %: correct them: {}",
                bad.len(),
                first.join("; ")
            ));
        }
        if spots.is_empty() {
            return Err(format!("places.path: {shown}: no places in it: add a row a place"));
        }
        for row in bad.iter().take(BAD_ROWS_LOGGED_MAX) {
            log::warn!("{row}: row left out");
        }
        if bad.len() > BAD_ROWS_LOGGED_MAX {
            log::warn!("{shown}: {} more bad rows left out", bad.len() - BAD_ROWS_LOGGED_MAX);
        }
        spots.sort_by(|a, b| a.latitude_deg.total_cmp(&b.latitude_deg));
        Ok(File { spots })
    }
}

impl Places for File {
    fn nearby(&self, lookup: &Lookup, _deadline: Instant) -> Result<Vec<u8>, PlacesError> {
        let Lookup { latitude_deg, longitude_deg, radius_m, bound } = *lookup;
        let hits = within(self, latitude_deg, longitude_deg, radius_m);
        let nearest = hits.iter().take(bound.into());
        let places: Vec<Place<'_>> = nearest.map(|hit| place(&self.spots[hit.index])).collect();
        Ok(results_json(&[], &places))
    }
}

impl Points for File {
    fn len(&self) -> usize {
        self.spots.len()
    }

    fn latitude_deg(&self, index: usize) -> f64 {
        self.spots[index].latitude_deg
    }

    fn longitude_deg(&self, index: usize) -> f64 {
        self.spots[index].longitude_deg
    }
}

fn place(spot: &Spot) -> Place<'_> {
    Place {
        location: Some(Point::of_degrees(spot.latitude_deg, spot.longitude_deg)),
        name: Some(spot.name.as_str().into()),
        place_id: Some(spot.id.as_str().into()),
        types: spot.types.iter().map(|kind| kind.as_str().into()).collect(),
        vicinity: spot.vicinity.as_deref().map(Into::into),
        ..Place::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<File, String> {
        File::parse(bytes, Path::new("my.csv"))
    }

    #[test]
    fn tables() {
        for text in [
            "name,lat,lon,id,types,vicinity\n\"Kiosk, old\",1.5,-2.25,k1,kiosk; food,\"By \"\"X\"\"\"\n",
            "\u{feff}NAME,Latitude,LNG,Id,Types,Vicinity\r\n\"Kiosk, old\",1.5,-2.25,k1,kiosk|food,\"By \"\"X\"\"\"\r\n",
            "extra\tid\tlongitude\tlat\tname\ttypes\tvicinity\n\tk1\t-2.25\t+1.50\t Kiosk, old \tkiosk,food\tBy \"X\"\n",
        ] {
            let file = read(text.as_bytes()).unwrap();
            let expected = Spot {
                latitude_deg: 1.5,
                longitude_deg: -2.25,
                name: "Kiosk, old".into(),
                id: "k1".into(),
                types: vec!["kiosk".into(), "food".into()],
                vicinity: Some("By \"X\"".into()),
            };
            assert_eq!(file.spots, [expected], "{text}");
        }
        let file = read(b"name,lat,lon\n\nA,1,2\n").unwrap();
        assert_eq!(file.spots[0].id, "file:3");
        assert_eq!(file.spots[0].types, ["point_of_interest"]);
    }

    #[test]
    fn bad_files() {
        for (text, expected) in [
            ("", "1: no column name"),
            ("name,lat\nA,1\n", "1: no column lon or lng or longitude"),
            ("name,lat,lon\n", "no places in it"),
            ("name,lat,lon\nA,north,2\n", "my.csv:2: latitude \"north\" is not a number"),
            ("name,lat,lon\nA,91,2\n", "my.csv:2: latitude 91 is not from -90 to 90"),
            ("name,lat,lon\nA,1,nan\n", "my.csv:2: longitude NaN"),
            ("name,lat,lon\nA,1\n", "my.csv:2: longitude \"\" is not a number"),
            ("name,lat,lon\n\n ,1,2\n", "my.csv:3: no name"),
            ("name,lat,lon\r\nA,1,2\r\n\r\n,1,2\r\n", "my.csv:4: no name"),
        ] {
            let error = read(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{text:?}: {error}");
        }
        assert!(read(b"name,lat,lon\n\xff,1,2\n").unwrap_err().contains(":2: not UTF-8"));
    }

    #[test]
    fn one_bad_row_in_a_hundred_is_left_out() {
        let good = "A,1,2\n".repeat(99);
        assert_eq!(read(format!("name,lat,lon\n{good}B,x,2\n").as_bytes()).unwrap().len(), 99);
        let error = read(format!("name,lat,lon\n{good}B,x,2\nC,y,2\n").as_bytes()).unwrap_err();
        assert!(error.contains("2 of 101 rows") && error.contains("my.csv:101:"), "{error}");
    }

    #[test]
    fn nearest_first() {
        let file = read(b"name,lat,lon\nFar,0.02,0\nNear,-0.01,0\nOut,1,0\n").unwrap();
        let lookup = Lookup { latitude_deg: 0.0, longitude_deg: 0.0, radius_m: 5e3, bound: 20 };
        let json = file.nearby(&lookup, Instant::now()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        assert_eq!(json["results"][0]["name"], "Near");
        assert_eq!(json["results"][1]["name"], "Far");
        assert_eq!(json["results"][2], serde_json::Value::Null);
    }
}
