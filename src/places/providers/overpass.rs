//! OpenStreetMap by an Overpass server the operator names; public ones forbid being a backend.
//! Interface: <https://wiki.openstreetmap.org/wiki/Overpass_API/Overpass_QL>

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Deserialize;

use super::layout::{Place, Point, decimal, results_json};
use crate::limits::{OVERPASS_FIRST_RADIUS_M, OVERPASS_WIDENING};
use crate::object;
use crate::places::ask::{Answer, Failed, Http, Question, Wording, detail, percent_encoded};
use crate::places::points::{distance_m, osm};
use crate::places::{Lookup, Places, PlacesError, Settings, Status};

/// Keys that make something a place, and the order their values have in `types`.
const KINDS: [&str; 5] = ["amenity", "shop", "tourism", "leisure", "aeroway"];

const ATTRIBUTIONS: [&str; 1] = [osm::ATTRIBUTION];

pub struct Overpass {
    http: Http,
}

/// What Overpass found.
#[derive(Deserialize)]
pub struct Found {
    elements: Vec<Element>,
    remark: Option<String>,
}

#[derive(Deserialize)]
struct Element {
    #[serde(rename = "type")]
    kind: String,
    id: u64,
    lat: Option<f64>,
    lon: Option<f64>,
    /// Instead of the two above, for what is more than a point.
    center: Option<Center>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

#[derive(Clone, Copy, Deserialize)]
struct Center {
    lat: f64,
    lon: f64,
}

/// An element that is near, ready to be sorted.
struct Near<'a> {
    element: &'a Element,
    at: Center,
    distance_m: f64,
}

impl Overpass {
    pub fn open(settings: &Settings) -> Result<Overpass, String> {
        let url = settings.url.as_deref().ok_or(
            "places.url: overpass needs a server you may use, such as \
             http://localhost/api/interpreter: public ones forbid being a backend",
        )?;
        Ok(Overpass { http: Http::open("overpass", url, None, settings)? })
    }

    fn ask(&self, lookup: &Lookup, radius_m: f64, deadline: Instant) -> Result<Found, PlacesError> {
        let left = deadline.saturating_duration_since(Instant::now());
        let query = query(lookup, radius_m, left.as_secs().max(1));
        let question = Question {
            url: self.http.url().to_string(),
            headers: vec![("Content-Type", "application/x-www-form-urlencoded".to_string())],
            body: Some(format!("data={}", percent_encoded(&query))),
        };
        self.http.ask(&question, deadline, |answer| parse(&answer, &self.http.wording))
    }
}

impl Places for Overpass {
    fn nearby(&self, lookup: &Lookup, deadline: Instant) -> Result<Vec<u8>, PlacesError> {
        let mut radius_m = OVERPASS_FIRST_RADIUS_M.min(lookup.radius_m);
        loop {
            let found = self.ask(lookup, radius_m, deadline)?;
            if let Some(json) = found.reply(lookup, radius_m) {
                return Ok(json);
            }
            radius_m = (radius_m * OVERPASS_WIDENING).min(lookup.radius_m);
        }
    }

    fn cancel(&self) {
        self.http.shutdown();
    }
}

impl Found {
    /// The JSON of the nearest places within the radius that was asked for. None when it has fewer than a wider circle
    /// could give.
    pub fn reply(&self, lookup: &Lookup, radius_m: f64) -> Option<Vec<u8>> {
        let bound = usize::from(lookup.bound);
        let near = nearest(&self.elements, lookup, radius_m);
        if near.len() < bound && radius_m < lookup.radius_m {
            return None;
        }
        let places: Vec<Place<'_>> = near.iter().take(bound).map(place).collect();
        Some(results_json(&ATTRIBUTIONS, &places))
    }
}

/// Reads an answer.
///
/// # Errors
/// It is a refusal, or not what the interface promises.
pub fn parse(answer: &Answer, wording: &Wording) -> Result<Found, Failed> {
    if answer.code != 200 {
        // Overpass words its errors in HTML pages; the code is all that is fit to show.
        return Err(wording.by_code(answer.code, ""));
    }
    let found: Found = object::read(&answer.body).map_err(|e| wording.garbled(&e.to_string()))?;
    match &found.remark {
        None => Ok(found),
        Some(remark) => {
            let words = detail(None, remark);
            let why = "the server gave up: try again shortly, or ask for a smaller radius";
            Err(wording.failed(Status::UnknownError, why, words))
        }
    }
}

fn query(lookup: &Lookup, radius_m: f64, timeout_s: u64) -> String {
    format!(
        "[out:json][timeout:{timeout_s}];nwr(around:{},{},{})[name][~\"^({})$\"~\".\"];out tags center;",
        decimal(radius_m),
        decimal(lookup.latitude_deg),
        decimal(lookup.longitude_deg),
        KINDS.join("|"),
    )
}

/// The elements whose point or centre is within the radius, nearest first, then by type and id.
fn nearest<'a>(elements: &'a [Element], lookup: &Lookup, radius_m: f64) -> Vec<Near<'a>> {
    let mut near: Vec<Near<'_>> = elements
        .iter()
        .filter_map(|element| {
            let own = element.lat.zip(element.lon).map(|(lat, lon)| Center { lat, lon });
            let at = own.or(element.center)?;
            let distance_m = distance_m(lookup.latitude_deg, lookup.longitude_deg, at.lat, at.lon);
            Some(Near { element, at, distance_m })
        })
        .filter(|near| near.distance_m <= radius_m)
        .collect();
    near.sort_by(|a, b| {
        let by_id = || (&a.element.kind, a.element.id).cmp(&(&b.element.kind, b.element.id));
        a.distance_m.total_cmp(&b.distance_m).then_with(by_id)
    });
    near
}

fn place<'a>(near: &Near<'a>) -> Place<'a> {
    let tag = |key: &str| near.element.tags.get(key).map(String::as_str);
    let kinds = KINDS.iter().filter_map(|key| tag(key)).flat_map(|value| value.split(';'));
    let mut types: Vec<&str> = kinds.map(str::trim).filter(|kind| !kind.is_empty()).collect();
    types.extend(["point_of_interest", "establishment"]);
    let street = [tag("addr:housenumber"), tag("addr:street")];
    let street: Vec<&str> = street.into_iter().flatten().collect();
    let address = [Some(street.join(" ")), tag("addr:city").map(str::to_string)];
    let address: Vec<String> = address.into_iter().flatten().filter(|a| !a.is_empty()).collect();
    Place {
        location: Some(Point::of_degrees(near.at.lat, near.at.lon)),
        name: tag("name").map(Into::into),
        place_id: Some(format!("osm:{}/{}", near.element.kind, near.element.id).into()),
        types: types.into(),
        vicinity: (!address.is_empty()).then(|| address.join(", ").into()),
        ..Place::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOOKUP: Lookup = Lookup { latitude_deg: 50.0, longitude_deg: 8.25, radius_m: 500.0, bound: 3 };

    #[test]
    fn the_query() {
        assert_eq!(
            query(&LOOKUP, 500.0, 5),
            "[out:json][timeout:5];nwr(around:500,50,8.25)[name]\
             [~\"^(amenity|shop|tourism|leisure|aeroway)$\"~\".\"];out tags center;"
        );
    }

    #[test]
    fn sorted_by_distance_then_id() {
        let elements = r#"[
            {"type":"way","id":9,"center":{"lat":50.001,"lon":8.25},"tags":{"name":"C"}},
            {"type":"node","id":8,"lat":50.001,"lon":8.25,"tags":{"name":"B2"}},
            {"type":"node","id":7,"lat":50.001,"lon":8.25,"tags":{"name":"B1"}},
            {"type":"node","id":6,"lat":50.0,"lon":8.25,"tags":{"name":"A"}},
            {"type":"node","id":5,"lat":51.0,"lon":8.25,"tags":{"name":"far"}},
            {"type":"relation","id":4}]"#;
        let elements: Vec<Element> = serde_json::from_str(elements).unwrap();
        let ids: Vec<u64> = nearest(&elements, &LOOKUP, 500.0).iter().map(|near| near.element.id).collect();
        assert_eq!(ids, [6, 7, 8, 9]);
    }

    #[test]
    fn tags_to_types_and_vicinity() {
        let element = r#"{"type":"node","id":1,"lat":50,"lon":8.25,"tags":{"name":"Both",
            "shop":"bakery; pastry","amenity":"cafe","addr:street":"Main St",
            "addr:housenumber":"5","addr:city":"Mainz"}}"#;
        let elements = [serde_json::from_str::<Element>(element).unwrap()];
        let place = place(&nearest(&elements, &LOOKUP, 1.0)[0]);
        assert_eq!(*place.types, ["cafe", "bakery", "pastry", "point_of_interest", "establishment"]);
        assert_eq!(place.vicinity.as_deref(), Some("5 Main St, Mainz"));
        assert_eq!(place.place_id.as_deref(), Some("osm:node/1"));
    }
}
