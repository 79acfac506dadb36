//! The legacy Nearby Search shape, laid out as Google laid it out: three spaces a level, ` : `
//! after a key, keys in alphabetical order. Every provider but `google-legacy` writes with it.

use std::borrow::Cow;
use std::fmt::{self, Display, Formatter};
use std::io::Write;

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
    pub types: Cow<'a, [&'a str]>,
    pub vicinity: Option<Cow<'a, str>>,
}

pub struct Point<'a> {
    pub latitude: Number<'a>,
    pub longitude: Number<'a>,
}

impl Point<'static> {
    pub fn of_degrees(latitude_deg: f64, longitude_deg: f64) -> Point<'static> {
        Point { latitude: Number::Value(latitude_deg), longitude: Number::Value(longitude_deg) }
    }
}

pub struct Viewport<'a> {
    pub northeast: Point<'a>,
    pub southwest: Point<'a>,
}

/// A JSON number.
pub enum Number<'a> {
    /// As a provider wrote it, so that its digits survive.
    Text(Cow<'a, str>),
    /// Written without an exponent, and with no more digits than it needs.
    Value(f64),
}

impl Display for Number<'_> {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Number::Text(text) => out.write_str(text),
            Number::Value(number) => {
                // Nine decimals of a degree, or of a metre, are beyond any source's accuracy; rounding drops
                // the tail of digits that a conversion such as 8.47 km to metres leaves.
                let rounded = (number * 1e9).round() / 1e9;
                if rounded.is_finite() && rounded != 0.0 {
                    write!(out, "{rounded}")
                } else {
                    out.write_str("0")
                }
            }
        }
    }
}

/// The body of an answer; attributions travel only with results they are due for.
pub fn results_json(attributions: &[&str], places: &[Place<'_>]) -> Vec<u8> {
    if places.is_empty() {
        return no_results_json();
    }
    let credits: usize = attributions.iter().map(|text| text.len()).sum();
    let mut sheet = Sheet::with_capacity(ENDS_BYTES + credits + places.len() * PLACE_BYTES);
    sheet.open(b'{');
    sheet.key("html_attributions").texts(attributions);
    sheet.key("results").open(b'[');
    places.iter().for_each(|place| sheet.item().place(place));
    sheet.close(b']');
    sheet.key("status").text("OK");
    sheet.close(b'}');
    sheet.out
}

/// The body that says nothing is near.
pub fn no_results_json() -> Vec<u8> {
    nothing(None, "ZERO_RESULTS")
}

/// The body that says why there is no answer.
pub fn failure_json(error: &PlacesError) -> Vec<u8> {
    nothing(Some(&error.message), error.status.as_str())
}

fn nothing(message: Option<&str>, status: &str) -> Vec<u8> {
    let mut sheet = Sheet::with_capacity(ENDS_BYTES + message.map_or(0, str::len));
    sheet.open(b'{');
    if let Some(message) = message {
        sheet.key("error_message").text(message);
    }
    sheet.key("html_attributions").texts(&[]);
    sheet.key("results").texts(&[]);
    sheet.key("status").text(status);
    sheet.close(b'}');
    sheet.out
}

/// About as many bytes as a place of the gazetteer takes, and as what stands around places.
const PLACE_BYTES: usize = 352;
const ENDS_BYTES: usize = 128;

/// JSON that is being written, from its beginning to its end.
struct Sheet {
    out: Vec<u8>,
    /// Objects and lists that are open.
    level: usize,
    /// The innermost of them has something in it.
    has_items: bool,
}

impl Sheet {
    fn with_capacity(bytes: usize) -> Sheet {
        Sheet { out: Vec::with_capacity(bytes), level: 0, has_items: false }
    }

    fn open(&mut self, brace: u8) {
        self.out.push(brace);
        (self.level, self.has_items) = (self.level + 1, false);
    }

    fn close(&mut self, brace: u8) {
        (self.level, self.has_items) = (self.level - 1, true);
        self.break_line();
        self.out.push(brace);
    }

    /// Goes to where the next item of what is open begins.
    fn item(&mut self) -> &mut Sheet {
        if self.has_items {
            self.out.push(b',');
        }
        self.has_items = true;
        self.break_line();
        self
    }

    fn break_line(&mut self) {
        self.out.push(b'\n');
        (0..self.level).for_each(|_| self.out.extend_from_slice(b"   "));
    }

    /// Goes to where the value of a key begins.
    fn key(&mut self, key: &str) -> &mut Sheet {
        self.item();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\" : ");
        self
    }

    /// Writes a JSON string; every control character in it is escaped, so it never holds a newline.
    fn text(&mut self, text: &str) {
        // Memory takes what is written, and any text is a string of JSON.
        let _ = serde_json::to_writer(&mut self.out, text);
    }

    fn number(&mut self, number: &Number<'_>) {
        let _ = write!(self.out, "{number}");
    }

    /// Writes a list in one line.
    fn texts(&mut self, texts: &[&str]) {
        let mut before = &b"[ "[..];
        for text in texts {
            self.out.extend_from_slice(before);
            self.text(text);
            before = b", ";
        }
        self.out.extend_from_slice(if texts.is_empty() { b"[]" } else { b" ]" });
    }

    fn place(&mut self, place: &Place<'_>) {
        self.open(b'{');
        self.known("business_status", &place.business_status);
        if place.location.is_some() || place.viewport.is_some() {
            self.key("geometry").open(b'{');
            if let Some(location) = &place.location {
                self.key("location").point(location);
            }
            if let Some(Viewport { northeast, southwest }) = &place.viewport {
                self.key("viewport").open(b'{');
                self.key("northeast").point(northeast);
                self.key("southwest").point(southwest);
                self.close(b'}');
            }
            self.close(b'}');
        }
        self.known("name", &place.name);
        self.known("place_id", &place.place_id);
        self.counted("rating", &place.rating);
        self.key("types").texts(&place.types);
        self.counted("user_ratings_total", &place.ratings);
        self.known("vicinity", &place.vicinity);
        self.close(b'}');
    }

    fn known(&mut self, key: &str, text: &Option<Cow<'_, str>>) {
        if let Some(text) = text {
            self.key(key).text(text);
        }
    }

    /// Writes a number as its provider wrote it.
    fn counted(&mut self, key: &str, digits: &Option<Cow<'_, str>>) {
        if let Some(digits) = digits {
            self.key(key).out.extend_from_slice(digits.as_bytes());
        }
    }

    fn point(&mut self, point: &Point<'_>) {
        self.open(b'{');
        self.key("lat").number(&point.latitude);
        self.key("lng").number(&point.longitude);
        self.close(b'}');
    }
}

/// A number as JSON and query strings take it: no exponent, no more digits than it needs.
pub fn decimal(number: f64) -> String {
    Number::Value(number).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::places::Status;

    #[test]
    fn laid_out_as_google_did() {
        let text = |digits| Number::Text(Cow::Borrowed(digits));
        let point = |latitude, longitude| Point { latitude: text(latitude), longitude: text(longitude) };
        let place = Place {
            location: Some(Point::of_degrees(-33.86, 151.0)),
            viewport: Some(Viewport {
                northeast: point("-33.80", "151.2"),
                southwest: point("-33.90", "150.9"),
            }),
            name: Some("The \"Rocks\"\n".into()),
            place_id: Some("x:1".into()),
            types: vec!["locality", "political"].into(),
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
