//! The legacy Nearby Search shape, laid out as Google laid it out: three spaces a level, ` : `
//! after a key, keys in alphabetical order. Every provider but `google-legacy` writes with it.

use std::borrow::Cow;

use crate::places::PlacesError;

/// One element of `results`; what a provider does not know is left out.
#[derive(Default)]
pub struct Place<'a> {
    pub location: Option<Point<'a>>,
    pub viewport: Option<Viewport<'a>>,
    pub business_status: Option<Cow<'a, str>>,
    pub name: Option<Cow<'a, str>>,
    pub place_id: Option<Cow<'a, str>>,
    pub rating: Option<Cow<'a, str>>,
    pub ratings: Option<Cow<'a, str>>,
    pub types: Vec<Cow<'a, str>>,
    pub vicinity: Option<Cow<'a, str>>,
}

/// Coordinates as the text of JSON numbers, so that a provider's digits survive.
pub struct Point<'a> {
    pub latitude: Cow<'a, str>,
    pub longitude: Cow<'a, str>,
}

impl Point<'static> {
    pub fn of_degrees(latitude_deg: f64, longitude_deg: f64) -> Point<'static> {
        Point { latitude: decimal(latitude_deg).into(), longitude: decimal(longitude_deg).into() }
    }
}

pub struct Viewport<'a> {
    pub northeast: Point<'a>,
    pub southwest: Point<'a>,
}

/// The body of an answer; attributions travel only with results they are due for.
pub fn results_json(attributions: &[&str], places: &[Place<'_>]) -> Vec<u8> {
    if places.is_empty() {
        return no_results_json();
    }
    let attributions: Vec<Cow<'_, str>> = attributions.iter().map(|a| (*a).into()).collect();
    let results: Vec<String> = places.iter().map(result).collect();
    object(
        0,
        &[
            field("html_attributions", &strings(&attributions)),
            field("results", &format!("[\n      {}\n   ]", results.join(",\n      "))),
            field("status", "\"OK\""),
        ],
    )
    .into_bytes()
}

/// The body that says nothing is near.
pub fn no_results_json() -> Vec<u8> {
    object(
        0,
        &[field("html_attributions", "[]"), field("results", "[]"), field("status", "\"ZERO_RESULTS\"")],
    )
    .into_bytes()
}

/// The body that says why there is no answer.
pub fn failure_json(error: &PlacesError) -> Vec<u8> {
    object(
        0,
        &[
            field("error_message", &quoted(&error.message)),
            field("html_attributions", "[]"),
            field("results", "[]"),
            field("status", &quoted(error.status.as_str())),
        ],
    )
    .into_bytes()
}

fn result(place: &Place<'_>) -> String {
    let mut geometry = Vec::new();
    if let Some(location) = &place.location {
        geometry.push(field("location", &point(4, location)));
    }
    if let Some(viewport) = &place.viewport {
        let corners = [
            field("northeast", &point(5, &viewport.northeast)),
            field("southwest", &point(5, &viewport.southwest)),
        ];
        geometry.push(field("viewport", &object(4, &corners)));
    }
    let text = |value: &Option<Cow<'_, str>>| value.as_ref().map(|value| quoted(value));
    let number = |value: &Option<Cow<'_, str>>| value.as_ref().map(|value| value.to_string());
    let fields: Vec<String> = [
        ("business_status", text(&place.business_status)),
        ("geometry", (!geometry.is_empty()).then(|| object(3, &geometry))),
        ("name", text(&place.name)),
        ("place_id", text(&place.place_id)),
        ("rating", number(&place.rating)),
        ("types", Some(strings(&place.types))),
        ("user_ratings_total", number(&place.ratings)),
        ("vicinity", text(&place.vicinity)),
    ]
    .into_iter()
    .filter_map(|(key, value)| Some(field(key, &value?)))
    .collect();
    object(2, &fields)
}

fn point(level: usize, point: &Point<'_>) -> String {
    object(level, &[field("lat", &point.latitude), field("lng", &point.longitude)])
}

/// An object whose closing brace stands `level` steps in.
fn object(level: usize, fields: &[String]) -> String {
    let outer = "   ".repeat(level);
    let separator = format!(",\n{outer}   ");
    format!("{{\n{outer}   {}\n{outer}}}", fields.join(&separator))
}

fn field(key: &str, value: &str) -> String {
    format!("\"{key}\" : {value}")
}

fn strings(texts: &[Cow<'_, str>]) -> String {
    if texts.is_empty() {
        return "[]".to_string();
    }
    let texts: Vec<String> = texts.iter().map(|text| quoted(text)).collect();
    format!("[ {} ]", texts.join(", "))
}

/// A JSON string; every control character in it is escaped, so it never holds a newline.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// A number as JSON and query strings take it: no exponent, no more digits than it needs.
pub fn decimal(number: f64) -> String {
    // Nine decimals of a degree, or of a metre, are beyond any source's accuracy; rounding drops
    // the tail of digits that a conversion such as 8.47 km to metres leaves.
    let rounded = (number * 1e9).round() / 1e9;
    if rounded.is_finite() && rounded != 0.0 { rounded.to_string() } else { "0".to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Status;

    #[test]
    fn laid_out_as_google_did() {
        let place = Place {
            location: Some(Point::of_degrees(-33.86, 151.0)),
            viewport: Some(Viewport {
                northeast: Point { latitude: "-33.80".into(), longitude: "151.2".into() },
                southwest: Point { latitude: "-33.90".into(), longitude: "150.9".into() },
            }),
            name: Some("The \"Rocks\"\n".into()),
            place_id: Some("x:1".into()),
            types: vec!["locality".into(), "political".into()],
            vicinity: Some("Sydney, AU".into()),
            ..Place::default()
        };
        let bare = Place::default();
        let expected = r#"{
   "html_attributions" : [ "by us" ],
   "results" : [
      {
         "geometry" : {
            "location" : {
               "lat" : -33.86,
               "lng" : 151
            },
            "viewport" : {
               "northeast" : {
                  "lat" : -33.80,
                  "lng" : 151.2
               },
               "southwest" : {
                  "lat" : -33.90,
                  "lng" : 150.9
               }
            }
         },
         "name" : "The \"Rocks\"\n",
         "place_id" : "x:1",
         "types" : [ "locality", "political" ],
         "vicinity" : "Sydney, AU"
      },
      {
         "types" : []
      }
   ],
   "status" : "OK"
}"#;
        let json = results_json(&["by us"], &[place, bare]);
        assert_eq!(String::from_utf8_lossy(&json), expected);
        assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
    }

    #[test]
    fn failures_and_nothing() {
        let error = PlacesError::new(Status::OverQueryLimit, "quota: ask \"less\"\u{7}");
        assert_eq!(
            String::from_utf8_lossy(&failure_json(&error)),
            "{\n   \"error_message\" : \"quota: ask \\\"less\\\"\\u0007\",\n   \
             \"html_attributions\" : [],\n   \"results\" : [],\n   \
             \"status\" : \"OVER_QUERY_LIMIT\"\n}"
        );
        let nothing = "{\n   \"html_attributions\" : [],\n   \"results\" : [],\n   \
                       \"status\" : \"ZERO_RESULTS\"\n}";
        assert_eq!(String::from_utf8_lossy(&no_results_json()), nothing);
        assert_eq!(String::from_utf8_lossy(&results_json(&["by us"], &[])), nothing);
    }

    #[test]
    fn numbers_have_no_tail() {
        for (number, text) in [
            (8.47 * 1000.0, "8470"),
            (50000.0, "50000"),
            (-118.445127, "-118.445127"),
            (-0.0, "0"),
            (1e-12, "0"),
            (f64::NAN, "0"),
        ] {
            assert_eq!(decimal(number), text);
        }
    }
}
