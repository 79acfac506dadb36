//! GeoJSON as rows, for `points::rows`: a FeatureCollection of Points (RFC 7946), each bad feature
//! told by the line it begins on.

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::row::{Row, Spot, types};

#[derive(Deserialize)]
struct Collection<'a> {
    #[serde(rename = "type")]
    kind: String,
    #[serde(borrow)]
    features: Vec<&'a RawValue>,
}

#[derive(Deserialize)]
struct Feature {
    id: Option<Value>,
    geometry: Option<Geometry>,
    properties: Option<Properties>,
}

#[derive(Deserialize)]
struct Geometry {
    #[serde(rename = "type")]
    kind: String,
    coordinates: Option<Value>,
}

#[derive(Default, Deserialize)]
struct Properties {
    id: Option<Value>,
    name: Option<String>,
    types: Option<Value>,
    vicinity: Option<String>,
}

/// A row for each feature; the error begins with a line number.
pub fn rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
    let text = str::from_utf8(bytes).map_err(|e| format!("1: not UTF-8: {e}"))?;
    let collection: Collection<'_> =
        serde_json::from_str(text).map_err(|e| format!("{}: not GeoJSON: {e}", e.line()))?;
    if collection.kind != "FeatureCollection" {
        return Err(format!("1: a {} is no FeatureCollection: wrap it in one", collection.kind));
    }
    let mut rows = Vec::with_capacity(collection.features.len());
    let (mut line, mut counted) = (1, 0);
    for feature in collection.features {
        // A raw value is a part of the text it was read from; the lines up to it are counted on
        // from the feature before.
        let start = feature.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
        let between = bytes.get(counted..start).unwrap_or_default();
        line += between.iter().filter(|byte| **byte == b'\n').count() as u64;
        counted = start;
        rows.push(spot(feature.get(), line).map_err(|why| (line, why)));
    }
    Ok(rows)
}

fn spot(feature: &str, line: u64) -> Result<Spot, String> {
    let feature: Feature = serde_json::from_str(feature).map_err(|e| e.to_string())?;
    let geometry = feature.geometry.ok_or("no geometry")?;
    if geometry.kind != "Point" {
        return Err(format!("only Points can be used, and this is a {}", geometry.kind));
    }
    let coordinates = geometry.coordinates.unwrap_or_default();
    let degrees = |index: usize| coordinates.get(index).and_then(Value::as_f64);
    let (Some(longitude_deg), Some(latitude_deg)) = (degrees(0), degrees(1)) else {
        return Err("the coordinates are not two numbers".to_string());
    };
    let properties = feature.properties.unwrap_or_default();
    let id = feature.id.or(properties.id).as_ref().and_then(word);
    let kinds = match properties.types {
        Some(Value::Array(kinds)) => kinds.iter().filter_map(word).collect::<Vec<_>>().join(";"),
        Some(other) => word(&other).unwrap_or_default(),
        None => String::new(),
    };
    Spot {
        latitude_deg,
        longitude_deg,
        name: properties.name.unwrap_or_default().trim().to_string(),
        id: id.unwrap_or_else(|| format!("file:{line}")),
        types: types(&kinds),
        vicinity: properties.vicinity.filter(|vicinity| !vicinity.is_empty()),
    }
    .checked()
}

/// A string as it is, a number as its digits, anything else not at all.
fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collection(features: &str) -> String {
        format!("{{\"type\":\"FeatureCollection\",\n\"features\":[\n{features}\n]}}")
    }

    #[test]
    fn features() {
        let good = r#"{"type":"Feature","id":7,"geometry":{"type":"Point","coordinates":[8.25,50,99]},
"properties":{"name":"Dom","types":["church"],"vicinity":"Mainz","more":{"a":1}}},
{"type":"Feature","geometry":{"type":"Point","coordinates":[0,0]},"properties":{"name":"Null","id":"n","types":"a|b"}}"#;
        let rows = rows(collection(good).as_bytes()).unwrap();
        let dom = rows[0].as_ref().unwrap();
        assert_eq!((dom.latitude_deg, dom.longitude_deg), (50.0, 8.25));
        assert_eq!((dom.name.as_str(), dom.id.as_str()), ("Dom", "7"));
        assert_eq!((dom.types[0].as_str(), dom.vicinity.as_deref()), ("church", Some("Mainz")));
        let null = rows[1].as_ref().unwrap();
        assert_eq!((null.id.as_str(), null.types.len(), &null.vicinity), ("n", 2, &None));
    }

    #[test]
    fn bad_features_by_line() {
        for (feature, expected) in [
            (r#"{"type":"Feature","geometry":null,"properties":{"name":"A"}}"#, "no geometry"),
            (
                r#"{"geometry":{"type":"LineString"},"properties":{"name":"A"}}"#,
                "only Points can be used, and this is a LineString",
            ),
            (r#"{"geometry":{"type":"Point","coordinates":["8",50]}}"#, "not two numbers"),
            (r#"{"geometry":{"type":"Point","coordinates":[8,50]}}"#, "no name"),
            (
                r#"{"geometry":{"type":"Point","coordinates":[50,95]},"properties":{"name":"A"}}"#,
                "latitude 95",
            ),
            ("17", "invalid type"),
        ] {
            let text = collection(&format!("{feature},\n\n{feature}"));
            let rows = rows(text.as_bytes()).unwrap();
            for (row, expected_line) in rows.iter().zip([3, 5]) {
                let (line, why) = row.as_ref().unwrap_err();
                assert_eq!(*line, expected_line, "{feature}");
                assert!(why.contains(expected), "{feature}: {why}");
            }
        }
    }

    #[test]
    fn bad_files() {
        for (text, expected) in [
            ("{\n\"type\":\"Feature", "2: not GeoJSON"),
            ("{\"type\":\"Feature\",\"features\":[]}", "1: a Feature is no FeatureCollection"),
            ("{}", "1: not GeoJSON"),
        ] {
            let error = rows(text.as_bytes()).unwrap_err();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
