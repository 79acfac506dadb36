//! GeoJSON as places, for `points::read`: a FeatureCollection, a Feature, or a sequence of either (RFC 7946, RFC 8142,
//! one a line). Each bad feature is told by its number and the line it begins on, and so is each bad one of a sequence.

use serde_json::value::RawValue;

use super::crs;
use super::extent::Extent;
use super::feature::{Flaw, spot};
use super::json::{Object, fault, text, without_nan, word};
use super::row::{self, NAMELESS, Place, Reading, not_utf8, shown};
use super::spot::Spot;

/// What begins each text of a sequence.
const RECORD_SEPARATOR: u8 = 0x1e;

/// How far reading has come in the text.
struct Progress<'a> {
    text: &'a [u8],
    line: u64,
    counted: usize,
    number: u64,
    /// Where the document in hand says that its points are.
    extent: Option<Extent>,
    /// Features of which that is said, how many of them seem to be swapped, and what is said of the first.
    judged: u64,
    swapped: u64,
    first_swapped: String,
}

/// Why reading does not go on.
enum Stop {
    /// With this document.
    Document(String),
    /// At all.
    File(String),
}

impl From<String> for Stop {
    fn from(why: String) -> Stop {
        Stop::File(why)
    }
}

/// Reads all features; an error is about the whole file, and begins with a line number.
pub fn read(bytes: &[u8], reading: &mut Reading) -> Result<(), String> {
    if bytes.trim_ascii_start().starts_with(&[RECORD_SEPARATOR]) {
        // One that is cut off costs itself only.
        return Progress::over(bytes).each(bytes.split(|byte| *byte == RECORD_SEPARATOR), reading);
    }
    let why = match documents(bytes) {
        Ok(documents) => return Progress::over(bytes).all(&documents, reading),
        Err(why) => why,
    };
    if let Some((mended, count)) = without_nan(bytes) {
        let values = crate::logging::count(count, "value");
        reading.notes.push(format!("{values} NaN or Infinity, which JSON does not have, read as null"));
        match documents(&mended) {
            Ok(documents) => Progress::over(&mended).all(&documents, reading),
            Err(why) => by_line(&mended, reading, why),
        }
    } else {
        by_line(bytes, reading, why)
    }
}

/// The documents of a text, one behind the other.
fn documents(bytes: &[u8]) -> Result<Vec<&RawValue>, String> {
    let line = |bytes: &[u8]| 1 + bytes.iter().filter(|byte| **byte == b'\n').count();
    let text = str::from_utf8(bytes).map_err(|why| {
        let at = why.valid_up_to();
        format!("{}: {}", line(&bytes[..at]), not_utf8(bytes[at]))
    })?;
    let documents = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    documents.collect::<Result<_, _>>().map_err(|why| format!("{}: not GeoJSON: {why}", why.line()))
}

/// Reads what is no text of documents as lines that are one each, if most of them are; a bad one costs itself only.
fn by_line(bytes: &[u8], reading: &mut Reading, why: String) -> Result<(), String> {
    let lines = || bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty());
    let is_document = |line: &&[u8]| {
        line.trim_ascii_start().starts_with(b"{") && serde_json::from_slice::<&RawValue>(line).is_ok()
    };
    if lines().filter(is_document).count() * 2 <= lines().count() {
        return Err(why);
    }
    Progress::over(bytes).each(lines(), reading)
}

impl Progress<'_> {
    fn over(text: &[u8]) -> Progress<'_> {
        let first_swapped = String::new();
        Progress { text, line: 1, counted: 0, number: 0, extent: None, judged: 0, swapped: 0, first_swapped }
    }

    /// The line on which a part of the text begins.
    fn line_of(&mut self, part: &[u8]) -> u64 {
        let start = part.as_ptr().addr().saturating_sub(self.text.as_ptr().addr());
        let between = self.text.get(self.counted..start).unwrap_or_default();
        self.line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        self.counted = start.max(self.counted);
        self.line
    }

    fn next(&mut self, part: &[u8]) -> Place {
        self.number += 1;
        Place { number: self.number, line: Some(self.line_of(part)), what: "feature" }
    }

    /// Reads documents. Of one that is alone everything has to be right, of several most.
    fn all(mut self, documents: &[&RawValue], reading: &mut Reading) -> Result<(), String> {
        for document in documents {
            let text = document.get();
            match self.document(text, reading) {
                Ok(()) => {}
                Err(Stop::Document(why)) if documents.len() > 1 => {
                    self.broken(text.as_bytes(), &why, reading)
                }
                Err(Stop::Document(why) | Stop::File(why)) => {
                    return Err(format!("{}: {why}", self.line_of(text.as_bytes())));
                }
            }
        }
        self.end(reading)
    }

    /// Reads texts that should be a document each.
    fn each<'t>(
        mut self,
        texts: impl Iterator<Item = &'t [u8]>,
        reading: &mut Reading,
    ) -> Result<(), String> {
        for part in texts.filter(|part| !part.trim_ascii().is_empty()) {
            let document = str::from_utf8(part).map_err(|why| not_utf8(part[why.valid_up_to()]));
            let document =
                document.and_then(|text| serde_json::from_str::<&RawValue>(text).map_err(not_geojson));
            match document.map_err(Stop::Document).and_then(|text| self.document(text.get(), reading)) {
                Ok(()) => {}
                Err(Stop::Document(why)) => self.broken(part.trim_ascii_start(), &why, reading),
                Err(Stop::File(why)) => return Err(format!("{}: {why}", self.line_of(part))),
            }
        }
        self.end(reading)
    }

    fn broken(&mut self, part: &[u8], why: &str, reading: &mut Reading) {
        let at = self.next(part);
        reading.bad(at, 1, why);
    }

    /// Looks at what was said of where the points are. One that is wrong may be as it is; most of them are not.
    fn end(self, reading: &mut Reading) -> Result<(), String> {
        let Progress { judged, swapped, first_swapped, .. } = self;
        if swapped * 2 > judged {
            return Err(format!(
                "{first_swapped}: latitude and longitude are swapped, it seems, as in {swapped} of {judged} features: \
                 GeoJSON has the longitude first; if it is the bbox that is wrong, take it out"
            ));
        }
        if swapped > 0 {
            reading.notes.push(format!(
                "{first_swapped}, as in {swapped} of {judged} features: read as it is; look whether latitude and longitude are swapped"
            ));
        }
        Ok(())
    }

    fn document(&mut self, text: &str, reading: &mut Reading) -> Result<(), Stop> {
        self.extent = None;
        let wrong = |why| Stop::Document(not_geojson(why));
        if text.starts_with('[') {
            let features: Vec<&RawValue> = serde_json::from_str(text).map_err(wrong)?;
            return features.iter().try_for_each(|feature| self.feature(feature.get(), reading));
        }
        let document: Object<'_> = serde_json::from_str(text).map_err(wrong)?;
        if let Some(name) = document.get("crs").and_then(crs::foreign) {
            return Err(Stop::Document(format!(
                "its coordinates are in {name}: convert them to longitude and latitude (WGS 84, EPSG:4326)"
            )));
        }
        let kind = document.get("type").and_then(word);
        match (kind.as_deref(), document.get("features")) {
            (Some("Feature"), _) => self.feature(text, reading),
            (_, Some(_)) if is_esri(&document) => Err(Stop::Document(
                "this is Esri JSON: ask its server with f=geojson, or convert it to GeoJSON (ogr2ogr new.geojson this.json)"
                    .to_owned(),
            )),
            (_, Some(features)) => {
                let features: Vec<&RawValue> = serde_json::from_str(features.get()).map_err(wrong)?;
                self.extent = document.get("bbox").and_then(Extent::of);
                features.iter().try_for_each(|feature| self.feature(feature.get(), reading))
            }
            (kind, None) => Err(Stop::Document(no_features(kind, &document))),
        }
    }

    fn feature(&mut self, text: &str, reading: &mut Reading) -> Result<(), Stop> {
        let at = self.next(text.as_bytes());
        if text == "null" {
            reading.skip("without a geometry");
            return Ok(());
        }
        match spot(text) {
            Ok(Some((spot, own))) => {
                if let Some(extent) = own.or(self.extent) {
                    self.judge(at, &spot, extent);
                }
                reading.take(at, Ok(Some(spot)))?;
            }
            Ok(None) => {
                let why = || "no feature has a geometry, which is the position in GeoJSON".to_owned();
                reading.hint.get_or_insert_with(why);
                reading.skip("without a geometry");
            }
            Err(Flaw::Nameless(keys)) => {
                let looked_for = row::NAME.join(" or ");
                reading.hint.get_or_insert_with(|| match &*keys {
                    "" => format!("no property {looked_for}; it has no properties"),
                    _ => format!("no property {looked_for} with a text in it; it has {keys}"),
                });
                reading.skip(NAMELESS);
            }
            Err(Flaw::Bad(why)) => reading.take(at, Err(why))?,
        }
        Ok(())
    }

    fn judge(&mut self, at: Place, spot: &Spot, extent: Extent) {
        self.judged += 1;
        if extent.has_swapped(spot) {
            if self.swapped == 0 {
                self.first_swapped =
                    format!("{at}its point is outside its bbox {extent}, and would be inside when swapped");
            }
            self.swapped += 1;
        }
    }
}

/// What the reader of JSON says, without a line of its own in a text that has one.
fn not_geojson(why: serde_json::Error) -> String {
    let (line, column) = (why.line(), why.column());
    let of_line = if line > 1 { format!(" of its line {line}") } else { String::new() };
    format!("not GeoJSON: {}, at character {column}{of_line}", fault(&why))
}

/// Whether a document is what servers of Esri answer by default.
fn is_esri(document: &Object<'_>) -> bool {
    let is_named = document.get("geometryType").and_then(text).is_some_and(|kind| kind.starts_with("esri"));
    let features = document.get("features").map(|all| serde_json::from_str::<Vec<&RawValue>>(all.get()));
    let first = features.and_then(|all| all.ok()?.first().copied());
    let first = first.and_then(|first| serde_json::from_str::<Object<'_>>(first.get()).ok());
    is_named || first.is_some_and(|it| it.get("attributes").is_some() && it.get("properties").is_none())
}

/// What a document without features is.
fn no_features(kind: Option<&str>, document: &Object<'_>) -> String {
    match kind {
        Some("Topology") => "this is TopoJSON: convert it to GeoJSON".to_owned(),
        _ if document.get("elements").is_some() => {
            "this is the answer of an Overpass server: convert it to GeoJSON".to_owned()
        }
        Some(kind) => format!("a {kind} is no FeatureCollection and no Feature: wrap it in one"),
        None => {
            let keys = Some(shown(document.iter().map(|(key, _)| key))).filter(|keys| !keys.is_empty());
            let keys = keys.map(|keys| format!(" ({keys})")).unwrap_or_default();
            format!("an object without a type{keys} is no FeatureCollection and no Feature: wrap it in one")
        }
    }
}
