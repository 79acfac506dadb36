//! One feature of GeoJSON as a place. `geojson` asks for it.

use serde_json::value::RawValue;

use super::extent::Extent;
use super::json::{Object, fault, text, word, words};
use super::row::{self, find, shown, types};
use super::shape;
use super::spot::Spot;

/// Why a feature is no place.
pub enum Flaw {
    /// It has no name among these properties.
    Nameless(String),
    Bad(String),
}

impl From<String> for Flaw {
    fn from(why: String) -> Flaw {
        Flaw::Bad(why)
    }
}

/// The place that a feature is, and where it says that it is itself; None where it has no geometry.
pub fn spot(feature: &str) -> Result<Option<(Spot, Option<Extent>)>, Flaw> {
    let feature: Object<'_> = serde_json::from_str(feature).map_err(|why| fault(&why))?;
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
        feature.get("properties").and_then(|all| serde_json::from_str::<Object<'_>>(all.get()).ok());
    // The last of several with one key counts, and what says nothing counts for none.
    let with = |keys: &[&str], say: fn(&RawValue) -> Option<String>| {
        let all = properties.iter().flat_map(Object::iter).rev();
        let said: Vec<_> = all.filter_map(|(key, value)| Some((key, say(value)?))).collect();
        find(keys, said.into_iter())
    };
    let Some(name) = with(row::NAME, word) else {
        return Err(Flaw::Nameless(shown(properties.iter().flat_map(Object::iter).map(|(key, _)| key))));
    };
    let spot = Spot {
        latitude_deg,
        longitude_deg,
        name,
        id: feature.get("id").and_then(word).or_else(|| with(row::ID, word)),
        types: types(&with(row::TYPES, words).unwrap_or_default()),
        vicinity: with(row::VICINITY, word),
    };
    Ok(Some((spot, feature.get("bbox").and_then(Extent::of))))
}
