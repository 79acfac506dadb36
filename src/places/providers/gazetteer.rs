//! The default provider: towns and airports of the world, packed by build.rs into the program.
//! No start-up work and no heap; read where the linker put it.

use std::borrow::Cow;
use std::time::Instant;

use super::layout::{Place, Point, results_json};
use super::pack::{AIRPORT_ID_MIN, Columns, MAGIC, UNITS_PER_DEGREE, u32_at};
use crate::places::points::{Points, within};
use crate::places::{Lookup, Places, PlacesError};

static PACK: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/gazetteer.pack"));

const ROWS: usize = u32_at(PACK, 4) as usize;
const COLUMNS: Columns =
    Columns::new(ROWS, u32_at(PACK, 8) as usize, u32_at(PACK, 12) as usize, u32_at(PACK, 16) as usize);

// The reader below trusts the pack, because a pack that is not whole does not compile.
const _: () = assert!(u32_at(PACK, 0) == u32::from_le_bytes(MAGIC));
const _: () = assert!(PACK.len() == COLUMNS.end);

/// What the licences of the data ask to be shown; NOTICE says the same.
const ATTRIBUTIONS: [&str; 2] = [
    "Contains place data from GeoNames (https://www.geonames.org/), licensed CC BY 4.0 \
     (https://creativecommons.org/licenses/by/4.0/); selected and reformatted.",
    "Airports from airportsdata (https://github.com/mborsetti/airportsdata), MIT, (c) Mike Borsetti.",
];

pub struct Gazetteer;

impl Places for Gazetteer {
    fn nearby(&self, lookup: &Lookup, _deadline: Instant) -> Result<Vec<u8>, PlacesError> {
        let Lookup { latitude_deg, longitude_deg, radius_m, bound } = *lookup;
        let hits = within(self, latitude_deg, longitude_deg, radius_m, bound.into());
        let places: Vec<Place<'_>> = hits.iter().map(|hit| place(self, hit.index)).collect();
        Ok(results_json(&ATTRIBUTIONS, &places))
    }
}

impl Points for Gazetteer {
    fn len(&self) -> usize {
        ROWS
    }

    fn latitude_deg(&self, index: usize) -> f64 {
        degrees_at(COLUMNS.latitudes + 4 * index)
    }

    fn longitude_deg(&self, index: usize) -> f64 {
        degrees_at(COLUMNS.longitudes + 4 * index)
    }
}

fn place(points: &Gazetteer, index: usize) -> Place<'static> {
    let id = u32_at(PACK, COLUMNS.ids + 4 * index);
    let (place_id, types) = if id < AIRPORT_ID_MIN {
        (format!("geonames:{id}"), &["locality", "political"][..])
    } else {
        let letters = id.to_be_bytes();
        let types = &["airport", "point_of_interest", "establishment"][..];
        (format!("icao:{}", String::from_utf8_lossy(&letters)), types)
    };
    Place {
        location: Some(Point::of_degrees(points.latitude_deg(index), points.longitude_deg(index))),
        name: Some(text(COLUMNS.name_starts, COLUMNS.names, index)),
        place_id: Some(place_id.into()),
        types: types.into(),
        vicinity: Some(text(COLUMNS.region_starts, COLUMNS.region_texts, region(index))),
        ..Place::default()
    }
}

fn degrees_at(at: usize) -> f64 {
    f64::from(u32_at(PACK, at).cast_signed()) / UNITS_PER_DEGREE
}

fn region(index: usize) -> usize {
    let at = COLUMNS.regions + 2 * index;
    usize::from(u16::from_le_bytes([PACK[at], PACK[at + 1]]))
}

fn text(starts: usize, texts: usize, index: usize) -> Cow<'static, str> {
    let start = u32_at(PACK, starts + 4 * index) as usize;
    let end = u32_at(PACK, starts + 4 * index + 4) as usize;
    String::from_utf8_lossy(&PACK[texts + start..texts + end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::points::distance_m;

    const TABLE: &str = include_str!("../data/gazetteer.tsv");

    fn ids_within(latitude_deg: f64, longitude_deg: f64, radius_m: f64) -> Vec<String> {
        let hits = within(&Gazetteer, latitude_deg, longitude_deg, radius_m, usize::MAX);
        let id = |index| place(&Gazetteer, index).place_id.unwrap_or_default().into_owned();
        hits.iter().map(|hit| id(hit.index)).collect()
    }

    #[test]
    fn known_counts() {
        for (latitude_deg, longitude_deg, near, far) in [
            (34.068930, -118.445127, 15, 164),
            (51.507351, -0.127758, 91, 447),
            (35.6812, 139.7671, 83, 311),
            (-1.292066, 36.821945, 4, 29),
            (41.0, -118.0, 0, 2),
        ] {
            let count = |radius_m| ids_within(latitude_deg, longitude_deg, radius_m).len();
            assert_eq!((count(10_000.0), count(50_000.0)), (near, far), "{latitude_deg}");
        }
    }

    #[test]
    fn every_row_is_packed() {
        assert_eq!(ROWS, TABLE.lines().count() - 1);
        let mut packed: Vec<String> = (0..ROWS).map(described).collect();
        let mut table: Vec<String> = TABLE.lines().skip(1).map(expected).collect();
        packed.sort_unstable();
        table.sort_unstable();
        assert!(packed == table, "the pack is not the table");
    }

    fn described(index: usize) -> String {
        let place = place(&Gazetteer, index);
        let point = place.location.map(|at| format!("{} {}", at.latitude, at.longitude));
        let [point, name, id, vicinity] = [
            point,
            place.name.map(Cow::into_owned),
            place.place_id.map(Cow::into_owned),
            place.vicinity.map(Cow::into_owned),
        ]
        .map(Option::unwrap_or_default);
        format!("{point} {name} {id} {} {vicinity}", place.types[0])
    }

    fn expected(line: &str) -> String {
        let fields: Vec<&str> = line.split('\t').collect();
        let degrees = |text: &str| text.parse::<f64>().unwrap().to_string();
        let vicinity = [fields[3], fields[4]].join(", ");
        format!(
            "{} {} {} {} {} {}",
            degrees(fields[0]),
            degrees(fields[1]),
            fields[2],
            fields[7].replace("gn:", "geonames:").replace("ap:", "icao:"),
            fields[5],
            vicinity.trim_start_matches(", "),
        )
    }

    #[test]
    fn as_brute_force_over_the_table() {
        let rows: Vec<(f64, f64)> =
            (0..ROWS).map(|index| (Gazetteer.latitude_deg(index), Gazetteer.longitude_deg(index))).collect();
        let mut random = fastrand::Rng::with_seed(20180308);
        let mut spots = vec![(90.0, 0.0), (-90.0, 180.0), (89.99, -77.0), (-89.99, 166.0)];
        spots.extend((-90..=90).step_by(6).map(|lat| (f64::from(lat), 180.0)));
        spots.extend((-90..=90).step_by(6).map(|lat| (f64::from(lat) * 0.97, -179.99)));
        spots.extend((0..60).map(|_| rows[random.usize(..ROWS)]));
        for (lat, lon) in spots {
            for radius_m in [50_000.0, random.f64() * 50_000.0] {
                let mut found: Vec<usize> =
                    within(&Gazetteer, lat, lon, radius_m, ROWS).iter().map(|hit| hit.index).collect();
                found.sort_unstable();
                let near = |i: &usize| distance_m(lat, lon, rows[*i].0, rows[*i].1) <= radius_m;
                let expected: Vec<usize> = (0..ROWS).filter(near).collect();
                assert_eq!(found, expected, "{lat} {lon} {radius_m}");
            }
        }
    }

    #[test]
    fn answers_in_googles_shape() {
        let mut lookup =
            Lookup { latitude_deg: 34.068930, longitude_deg: -118.445127, radius_m: 1e4, bound: 5 };
        let json = Gazetteer.nearby(&lookup, Instant::now()).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
        let mut names: Vec<&str> =
            json["results"].as_array().unwrap().iter().map(|r| r["name"].as_str().unwrap()).collect();
        names.sort_unstable();
        assert_eq!(names, ["Bel Air", "Beverly Hills", "Brentwood", "Century City", "Sawtelle"]);
        assert_eq!(json["status"], "OK");
        assert_eq!(json["html_attributions"][0], ATTRIBUTIONS[0]);

        lookup.longitude_deg = -150.0;
        let json = Gazetteer.nearby(&lookup, Instant::now()).unwrap();
        assert_eq!(json, crate::places::no_results_json());
    }
}
