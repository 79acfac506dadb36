//! Places API (New): the one Google gives new projects; its answer is put into the legacy shape.
//! Interface: <https://developers.google.com/maps/documentation/places/web-service/nearby-search>

use std::borrow::Cow;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::layout::{Number, Place, Point, Viewport, decimal, results_json};
use crate::object;
use crate::places::ask::{Answer, Failed, Http, Key, Question, Wording};
use crate::places::{Lookup, Places, PlacesError, Settings, Status};

const URL: &str = "https://places.googleapis.com/v1/places:searchNearby";

/// The fields the legacy shape can show, all of Google's cheaper price groups.
const FIELD_MASK: &str = "places.id,places.displayName,places.location,places.types,\
     places.shortFormattedAddress,places.viewport,places.businessStatus";

pub struct Google {
    http: Http,
    field_mask: String,
}

/// Only what is shown; a field the mask left out is absent.
#[derive(Deserialize)]
struct Found<'a> {
    #[serde(borrow, default)]
    places: Vec<FoundPlace<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FoundPlace<'a> {
    id: Option<String>,
    display_name: Option<DisplayName>,
    #[serde(borrow)]
    location: Option<LatLng<'a>>,
    #[serde(borrow)]
    viewport: Option<LowHigh<'a>>,
    #[serde(default)]
    types: Vec<String>,
    short_formatted_address: Option<String>,
    formatted_address: Option<String>,
    business_status: Option<String>,
    #[serde(borrow)]
    rating: Option<&'a RawValue>,
    #[serde(borrow)]
    user_rating_count: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DisplayName {
    #[serde(default)]
    text: String,
}

/// Raw, so that Google's digits come through as they are. Its JSON may leave out a zero.
#[derive(Deserialize)]
struct LatLng<'a> {
    #[serde(borrow)]
    latitude: Option<&'a RawValue>,
    #[serde(borrow)]
    longitude: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct LowHigh<'a> {
    #[serde(borrow)]
    low: LatLng<'a>,
    #[serde(borrow)]
    high: LatLng<'a>,
}

#[derive(Deserialize)]
struct Refusal {
    error: RefusalError,
}

#[derive(Deserialize)]
struct RefusalError {
    #[serde(default)]
    message: String,
    #[serde(default)]
    status: String,
    #[serde(default)]
    details: Vec<RefusalDetail>,
}

#[derive(Deserialize)]
struct RefusalDetail {
    #[serde(default)]
    reason: String,
}

impl Google {
    pub fn open(settings: &Settings) -> Result<Google, String> {
        let field_mask = settings.field_mask.as_deref().unwrap_or(FIELD_MASK).trim();
        let proper = |field: &str| {
            let named = field.strip_prefix("places.").is_some_and(|name| !name.is_empty());
            (field == "*" || named) && field.bytes().all(|byte| byte.is_ascii_graphic())
        };
        if !field_mask.split(',').all(proper) {
            return Err("places.field_mask: not a list such as places.id,places.displayName: \
                        begin each field with `places.` and separate them by commas alone"
                .to_string());
        }
        let url = settings.url.as_deref().unwrap_or(URL);
        let http = Http::open("google", url, Some(Key::read(settings)?), settings)?;
        Ok(Google { http, field_mask: field_mask.to_string() })
    }
}

impl Places for Google {
    fn nearby(&self, lookup: &Lookup, deadline: Instant) -> Result<Vec<u8>, PlacesError> {
        let question = Question {
            url: self.http.url().to_string(),
            headers: vec![
                ("Content-Type", "application/json".to_string()),
                ("X-Goog-Api-Key", self.http.key_text().to_string()),
                ("X-Goog-FieldMask", self.field_mask.clone()),
            ],
            body: Some(body(lookup)),
        };
        let parse = |answer| parse(&answer, lookup.bound, &self.http.wording);
        Ok(self.http.scrubbed(self.http.ask(&question, deadline, parse)?))
    }

    fn cancel(&self) {
        self.http.shutdown();
    }
}

/// Puts an answer into the legacy shape, with at most `bound` of its places.
///
/// # Errors
/// It is a refusal, or not what the interface promises.
pub fn parse(answer: &Answer, bound: u8, wording: &Wording) -> Result<Vec<u8>, Failed> {
    if answer.code != 200 {
        return Err(refused(answer, wording));
    }
    let found: Found<'_> = object::read(&answer.body).map_err(|e| wording.garbled(&e.to_string()))?;
    let places: Option<Vec<Place<'_>>> = found.places.iter().take(bound.into()).map(place).collect();
    let places = places.ok_or_else(|| wording.garbled("a number is none"))?;
    Ok(results_json(&[], &places))
}

fn refused(answer: &Answer, wording: &Wording) -> Failed {
    let Ok(Refusal { error }) = object::read(&answer.body) else {
        return wording.by_code(answer.code, "");
    };
    let reasons: Vec<&str> = error.details.iter().map(|d| d.reason.as_str()).collect();
    let words = wording.detail(&error.message);
    // Google answers a bad key with 400, so its words go before the code.
    if reasons.iter().any(|reason| reason.starts_with("API_KEY_")) {
        let why = "the key is refused: check the key in HERD_PLACES_KEY or places.key_file";
        return wording.failed(Status::RequestDenied, why, words);
    }
    if reasons.contains(&"SERVICE_DISABLED") {
        let why = "the key's project may not ask: enable Places API (New) for it";
        return wording.failed(Status::RequestDenied, why, words);
    }
    match error.status.as_str() {
        "RESOURCE_EXHAUSTED" => wording.by_code(429, &error.message),
        "PERMISSION_DENIED" | "UNAUTHENTICATED" => wording.by_code(403, &error.message),
        _ => wording.by_code(answer.code, &error.message),
    }
}

fn body(lookup: &Lookup) -> String {
    format!(
        "{{\"maxResultCount\":{},\"rankPreference\":\"DISTANCE\",\"locationRestriction\":{{\"circle\":\
         {{\"center\":{{\"latitude\":{},\"longitude\":{}}},\"radius\":{}}}}}}}",
        lookup.bound,
        decimal(lookup.latitude_deg),
        decimal(lookup.longitude_deg),
        decimal(lookup.radius_m),
    )
}

/// `None` when something that should be a number is none.
fn place<'a>(found: &'a FoundPlace<'_>) -> Option<Place<'a>> {
    let address = found.short_formatted_address.as_ref().or(found.formatted_address.as_ref());
    let text = |text: &'a String| Cow::Borrowed(text.as_str());
    Some(Place {
        location: optional(found.location.as_ref(), point)?,
        viewport: optional(found.viewport.as_ref(), |viewport| {
            let (northeast, southwest) = (point(&viewport.high)?, point(&viewport.low)?);
            Some(Viewport { northeast, southwest })
        })?,
        business_status: found.business_status.as_ref().map(text),
        name: found.display_name.as_ref().map(|name| text(&name.text)),
        place_id: found.id.as_ref().map(text),
        rating: optional(found.rating, number)?,
        ratings: optional(found.user_rating_count, number)?,
        types: found.types.iter().map(String::as_str).collect(),
        vicinity: address.map(text),
    })
}

/// Absent is fine (`Some(None)`), present but wrong is not (`None`).
fn optional<T, U>(value: Option<T>, read: impl Fn(T) -> Option<U>) -> Option<Option<U>> {
    value.map_or(Some(None), |value| read(value).map(Some))
}

fn point<'a>(at: &LatLng<'a>) -> Option<Point<'a>> {
    let digits = |value: Option<&'a RawValue>| value.map_or(Some(Cow::Borrowed("0")), number);
    let coordinate = |value| digits(value).map(Number::Text);
    Some(Point { latitude: coordinate(at.latitude)?, longitude: coordinate(at.longitude)? })
}

/// Raw text that is a JSON number and nothing else.
fn number(raw: &RawValue) -> Option<Cow<'_, str>> {
    let text = raw.get();
    text.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b)).then_some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits() {
        for (json, expected) in [
            ("[{\"location\":{\"latitude\":34.0500,\"longitude\":-1.10e2}}]", Some(("34.0500", "-1.10e2"))),
            ("[{\"location\":{\"longitude\":5}}]", Some(("0", "5"))),
            ("[{\"location\":{\"latitude\":\"34\",\"longitude\":5}}]", None),
            ("[{\"location\":{\"latitude\":[\n\n],\"longitude\":5}}]", None),
        ] {
            let found: Vec<FoundPlace<'_>> = serde_json::from_str(json).unwrap();
            let place = place(&found[0]).and_then(|place| place.location);
            let place = place.map(|at| (at.latitude.to_string(), at.longitude.to_string()));
            let expected = expected.map(|(latitude, longitude)| (latitude.into(), longitude.into()));
            assert_eq!(place, expected, "{json}");
        }
    }

    #[test]
    fn the_body_is_json() {
        let lookup = Lookup { latitude_deg: 34.5, longitude_deg: -118.0, radius_m: 8470.0, bound: 7 };
        let body: serde_json::Value = serde_json::from_str(&body(&lookup)).unwrap();
        assert_eq!(body["maxResultCount"], 7);
        assert_eq!(body["rankPreference"], "DISTANCE");
        let circle = &body["locationRestriction"]["circle"];
        assert_eq!(circle["center"]["latitude"], 34.5);
        assert_eq!(circle["center"]["longitude"], -118);
        assert_eq!(circle["radius"], 8470);
    }
}
