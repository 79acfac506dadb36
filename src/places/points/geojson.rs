//! GeoJSON as places, for `points::read`: a FeatureCollection, a Feature, or a sequence of either (RFC 7946, RFC 8142,
//! one a line). Each bad feature is told by its number and the line it begins on.

use serde_json::Value;
use serde_json::value::RawValue;

use super::json::{Members, text, word, words};
use super::row::{self, NAMELESS, Place, Reading, find, shown, types};
use super::shape;
use super::spot::Spot;

/// What begins each text of a sequence.
const RECORD_SEPARATOR: u8 = 0x1e;

/// How far reading has come in the text.
struct Progress<'a> {
    text: &'a str,
    line: u64,
    counted: usize,
    number: u64,
    /// Where the document in hand says that its points are: west, south, east, north. How many of them are there, and
    /// how many would be with latitude and longitude swapped.
    bbox: Option<[f64; 4]>,
    inside: [u64; 2],
}

/// Reads all features; an error is about the whole file, and begins with a line number.
pub fn read(bytes: &[u8], reading: &mut Reading) -> Result<(), String> {
    let text = str::from_utf8(bytes).map_err(|why| not_utf8(bytes, why.valid_up_to()))?;
    let mut progress = Progress { text, line: 1, counted: 0, number: 0, bbox: None, inside: [0; 2] };
    if bytes.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&RECORD_SEPARATOR) {
        // One that is cut off costs itself only.
        for record in text.split(char::from(RECORD_SEPARATOR)).filter(|record| !record.trim().is_empty()) {
            match serde_json::from_str::<&RawValue>(record) {
                Ok(value) => progress.document(value.get(), reading)?,
                Err(why) => progress.broken(record, &format!("not GeoJSON: {why}"), reading),
            }
        }
        return Ok(());
    }
    for value in serde_json::Deserializer::from_str(text).into_iter::<&RawValue>() {
        let value = value.map_err(|why| format!("{}: not GeoJSON: {why}", why.line()))?;
        progress.document(value.get(), reading)?;
    }
    Ok(())
}

fn not_utf8(bytes: &[u8], at: usize) -> String {
    let line = 1 + bytes[..at].iter().filter(|byte| **byte == b'\n').count();
    format!("{line}: not UTF-8, as GeoJSON has to be: it has the byte 0x{:02x}", bytes[at])
}

impl Progress<'_> {
    /// The line on which a part of the text begins.
    fn line_of(&mut self, part: &str) -> u64 {
        let start = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let between = self.text.as_bytes().get(self.counted..start).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.counted = start.max(self.counted);
        self.line
    }

    fn next(&mut self, part: &str) -> Place {
        self.number += 1;
        Place { number: self.number, line: Some(self.line_of(part)), what: "feature" }
    }

    fn broken(&mut self, part: &str, why: &str, reading: &mut Reading) {
        let at = self.next(part);
        reading.bad(at, 1, why);
    }

    fn document(&mut self, text: &str, reading: &mut Reading) -> Result<(), String> {
        let line = self.line_of(text);
        if text.starts_with('[') {
            let features: Vec<&RawValue> =
                serde_json::from_str(text).map_err(|why| format!("{line}: not GeoJSON: {why}"))?;
            return features.iter().try_for_each(|feature| self.feature(feature.get(), reading));
        }
        let not_geojson = |why: serde_json::Error| format!("{line}: not GeoJSON: {why}");
        let document: Members<'_> = serde_json::from_str(text).map_err(not_geojson)?;
        if let Some(name) = document.get("crs").and_then(foreign_crs) {
            return Err(format!(
                "{line}: its coordinates are in {name}: convert them to longitude and latitude (WGS 84, EPSG:4326)"
            ));
        }
        let kind = document.get("type").and_then(word);
        match (kind.as_deref(), document.get("features")) {
            (Some("Feature"), _) => self.feature(text, reading),
            (_, Some(features)) => {
                let features: Vec<&RawValue> = serde_json::from_str(features.get()).map_err(not_geojson)?;
                (self.bbox, self.inside) = (document.get("bbox").and_then(bounds), [0; 2]);
                features.iter().try_for_each(|feature| self.feature(feature.get(), reading))?;
                match (self.bbox, self.inside) {
                    (Some(bbox), [0, swapped]) if swapped > 0 => Err(format!(
                        "{line}: latitude and longitude are swapped, it seems: its bbox is {bbox:?}, and only swapped its \
                         points are in it; GeoJSON has the longitude first"
                    )),
                    _ => Ok(()),
                }
            }
            (Some("Topology"), _) => Err(format!("{line}: this is TopoJSON: convert it to GeoJSON")),
            (_, None) if document.get("elements").is_some() => {
                Err(format!("{line}: this is the answer of an Overpass server: convert it to GeoJSON"))
            }
            (kind, None) => {
                let kind = kind.map_or("an object without a type".to_owned(), |kind| format!("a {kind}"));
                Err(format!("{line}: {kind} is no FeatureCollection and no Feature: wrap it in one"))
            }
        }
    }

    fn feature(&mut self, text: &str, reading: &mut Reading) -> Result<(), String> {
        let at = self.next(text);
        if text == "null" {
            reading.skip("without a geometry");
            return Ok(());
        }
        match spot(text) {
            Ok(Some(spot)) => {
                if let Some([west, south, east, north]) = self.bbox {
                    let is_in = |x, y| west <= x && x <= east && south <= y && y <= north;
                    let (latitude, longitude) = (spot.latitude_deg, spot.longitude_deg);
                    self.inside[0] += u64::from(is_in(longitude, latitude));
                    self.inside[1] += u64::from(is_in(latitude, longitude));
                }
                reading.take(at, Ok(Some(spot)))
            }
            Ok(None) => {
                reading.skip("without a geometry");
                Ok(())
            }
            Err(Flaw::Nameless(keys)) => {
                let looked_for = row::NAME.join(" or ");
                reading.hint.get_or_insert_with(|| match &*keys {
                    "" => format!("no property {looked_for}; it has no properties"),
                    _ => format!("no property {looked_for} with a text in it; it has {keys}"),
                });
                reading.skip(NAMELESS);
                Ok(())
            }
            Err(Flaw::Bad(why)) => reading.take(at, Err(why)),
        }
    }
}

/// A bbox of two or three dimensions.
fn bounds(bbox: &RawValue) -> Option<[f64; 4]> {
    let all: Vec<f64> = serde_json::from_str(bbox.get()).ok()?;
    match all[..] {
        [west, south, east, north] | [west, south, _, east, north, _] => Some([west, south, east, north]),
        _ => None,
    }
}

/// A reference system that is none of degrees, by its name.
fn foreign_crs(crs: &RawValue) -> Option<String> {
    let crs: Value = serde_json::from_str(crs.get()).ok()?;
    let name = crs.pointer("/properties/name")?.as_str()?.to_owned();
    let upper = name.to_ascii_uppercase();
    let is_degrees = ["CRS84", "CRS83", "CRS84H", "WGS84", "4326", "4979", "4258", "4269"]
        .iter()
        .any(|known| upper.ends_with(known));
    (!is_degrees).then(|| name.chars().take(60).collect())
}

/// Why a feature is no place.
enum Flaw {
    /// It has no name among these properties.
    Nameless(String),
    Bad(String),
}

impl From<String> for Flaw {
    fn from(why: String) -> Flaw {
        Flaw::Bad(why)
    }
}

/// The place that a feature is; None where it has no geometry.
fn spot(feature: &str) -> Result<Option<Spot>, Flaw> {
    let feature: Members<'_> = serde_json::from_str(feature).map_err(|why| why.to_string())?;
    if let Some(kind) = feature.get("type").and_then(text)
        && kind != "Feature"
    {
        return Err(Flaw::Bad(format!("a {kind:?} is no Feature")));
    }
    let point = feature.get("geometry").map(shape::point_of).transpose()?.flatten();
    let Some((longitude_deg, latitude_deg)) = point else {
        return Ok(None);
    };
    let properties =
        feature.get("properties").and_then(|all| serde_json::from_str::<Members<'_>>(all.get()).ok());
    // The last of several with one key counts, and what says nothing counts for none.
    let with = |keys: &[&str], say: fn(&RawValue) -> Option<String>| {
        let all = properties.iter().flat_map(Members::iter).rev();
        let said: Vec<_> = all.filter_map(|(key, value)| Some((key, say(value)?))).collect();
        find(keys, said.into_iter())
    };
    let Some(name) = with(row::NAME, word) else {
        return Err(Flaw::Nameless(shown(properties.iter().flat_map(Members::iter).map(|(key, _)| key))));
    };
    Ok(Some(Spot {
        latitude_deg,
        longitude_deg,
        name,
        id: feature.get("id").and_then(word).or_else(|| with(row::ID, word)),
        types: types(&with(row::TYPES, words).unwrap_or_default()),
        vicinity: with(row::VICINITY, word),
    }))
}
