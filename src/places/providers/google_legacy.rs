//! Places API (Legacy), for keys that still have it: Google's text goes to the client as it came,
//! but for results past the bound and blank lines.

use std::ops::Range;
use std::time::Instant;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::layout::decimal;
use crate::object;
use crate::places::ask::{Answer, Failed, Http, Key, Question, Wording, percent_encoded};
use crate::places::{Lookup, Places, PlacesError, Settings, Status};

const URL: &str = "https://maps.googleapis.com/maps/api/place/nearbysearch/json";

pub struct GoogleLegacy {
    http: Http,
}

#[derive(Deserialize)]
struct Body<'a> {
    status: String,
    #[serde(default)]
    error_message: String,
    #[serde(borrow, default)]
    results: Vec<&'a RawValue>,
}

impl GoogleLegacy {
    pub fn open(settings: &Settings) -> Result<GoogleLegacy, String> {
        let url = settings.url.as_deref().unwrap_or(URL);
        let http = Http::open("google-legacy", url, Some(Key::read(settings)?), settings)?;
        Ok(GoogleLegacy { http })
    }
}

impl Places for GoogleLegacy {
    fn nearby(&self, lookup: &Lookup, deadline: Instant) -> Result<Vec<u8>, PlacesError> {
        let url = self.http.url();
        let url = format!(
            "{url}{}location={},{}&radius={}&key={}",
            if url.contains('?') { '&' } else { '?' },
            decimal(lookup.latitude_deg),
            decimal(lookup.longitude_deg),
            decimal(lookup.radius_m),
            percent_encoded(self.http.key_text()),
        );
        let question = Question { url, headers: Vec::new(), body: None };
        let parse = |answer| parse(&answer, lookup.bound, &self.http.wording);
        Ok(self.http.scrubbed(self.http.ask(&question, deadline, parse)?))
    }

    fn cancel(&self) {
        self.http.shutdown();
    }
}

/// Cuts an answer to at most `bound` results, and leaves the rest of it as it came. The `status` in the body says
/// whether it is one; the HTTP code counts only when there is no status.
///
/// # Errors
/// It is a refusal, or not what the interface promises.
pub fn parse(answer: &Answer, bound: u8, wording: &Wording) -> Result<Vec<u8>, Failed> {
    let parsed = str::from_utf8(&answer.body)
        .map_err(|e| e.to_string())
        .and_then(|text| Ok((text, object::read(&answer.body).map_err(|e| e.to_string())?)));
    let (text, body): (&str, Body<'_>) = match parsed {
        Ok(parsed) => parsed,
        Err(_) if answer.code != 200 => return Err(wording.by_code(answer.code, "")),
        Err(why) => return Err(wording.garbled(&why)),
    };
    match body.status.as_str() {
        "OK" | "ZERO_RESULTS" => Ok(cut(text, &body.results, bound.into())),
        _ => Err(refused(&body, wording)),
    }
}

fn refused(body: &Body<'_>, wording: &Wording) -> Failed {
    let words = match wording.detail(&body.error_message) {
        words if words.is_empty() => wording.detail(&body.status),
        words => words,
    };
    let told = |status, what: &str| wording.failed(status, what, words.clone());
    match body.status.as_str() {
        "OVER_QUERY_LIMIT" | "OVER_DAILY_LIMIT" => {
            told(Status::OverQueryLimit, "too many requests: ask less often, or have the quota raised")
        }
        "REQUEST_DENIED" if words.to_ascii_lowercase().contains("legacy") => told(
            Status::RequestDenied,
            "request denied: set places.provider = \"google\" for Places API (New)",
        ),
        "REQUEST_DENIED" => told(
            Status::RequestDenied,
            "request denied: check the key in HERD_PLACES_KEY or places.key_file and what it may be used for",
        ),
        "INVALID_REQUEST" => told(Status::InvalidRequest, "request not understood: check places.url"),
        _ => Failed { again: true, ..told(Status::UnknownError, "the provider failed: try again shortly") },
    }
}

/// The text without the results past `bound`, and without what would be blank lines.
fn cut(text: &str, results: &[&RawValue], bound: usize) -> Vec<u8> {
    let mut kept = Vec::with_capacity(text.len());
    let past = past_bound(text, results, bound);
    collapse(&text.as_bytes()[..past.start], &mut kept);
    collapse(&text.as_bytes()[past.end..], &mut kept);
    while matches!(kept.last(), Some(b'\n' | b'\r')) {
        kept.pop();
    }
    kept
}

/// From the end of the last result kept to the end of the last there is: with the separators.
fn past_bound(text: &str, results: &[&RawValue], bound: usize) -> Range<usize> {
    // A raw value is a part of the text it was read from, so addresses give its place in it.
    let start = |raw: &RawValue| raw.get().as_ptr().addr().saturating_sub(text.as_ptr().addr());
    let end = |raw: &RawValue| (start(raw) + raw.get().len()).min(text.len());
    match (results.get(bound), results.last()) {
        (Some(_), Some(last)) if bound > 0 => end(results[bound - 1])..end(last),
        (Some(first), Some(last)) => start(first)..end(last),
        _ => 0..0,
    }
}

/// Copies, each run of newlines made one: an empty line would end the reply for a client. A run
/// goes on over the seam of two calls.
fn collapse(text: &[u8], kept: &mut Vec<u8>) {
    for (index, &byte) in text.iter().enumerate() {
        let before = kept.last().copied();
        let repeated = byte == b'\n' && before == Some(b'\n');
        // CRLF CRLF is a run too, for clients that take the CR for part of the newline.
        let repeated_crlf = byte == b'\r' && before == Some(b'\n') && text.get(index + 1) == Some(&b'\n');
        if !repeated && !repeated_crlf {
            kept.push(byte);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cut_to_the_byte() {
        let three = "{ \"results\" : [\n  {\"a\":[1]} ,\n\n  {\"b\": \"]\\\"\"},\n {\"c\":3}\n ],\n\n\n\"status\":\"OK\"}\n\n";
        for (bound, expected) in [
            (0, "{ \"results\" : [\n  \n ],\n\"status\":\"OK\"}"),
            (1, "{ \"results\" : [\n  {\"a\":[1]}\n ],\n\"status\":\"OK\"}"),
            (2, "{ \"results\" : [\n  {\"a\":[1]} ,\n  {\"b\": \"]\\\"\"}\n ],\n\"status\":\"OK\"}"),
            (
                3,
                "{ \"results\" : [\n  {\"a\":[1]} ,\n  {\"b\": \"]\\\"\"},\n {\"c\":3}\n ],\n\"status\":\"OK\"}",
            ),
            (
                20,
                "{ \"results\" : [\n  {\"a\":[1]} ,\n  {\"b\": \"]\\\"\"},\n {\"c\":3}\n ],\n\"status\":\"OK\"}",
            ),
        ] {
            let body: Body<'_> = serde_json::from_str(three).unwrap();
            let kept = String::from_utf8(cut(three, &body.results, bound)).unwrap();
            assert_eq!(kept, expected, "bound {bound}");
            assert!(serde_json::from_str::<serde_json::Value>(&kept).is_ok());
        }
    }

    #[test]
    fn newline_runs() {
        for (text, expected) in [
            ("", ""),
            ("\n\n", ""),
            ("a\n\n\nb\n", "a\nb"),
            ("a\r\n\r\n\r\nb\r\n\r\n", "a\r\nb"),
            ("a\n \nb", "a\n \nb"),
            ("a\n\rb", "a\n\rb"),
        ] {
            assert_eq!(String::from_utf8_lossy(&cut(text, &[], 5)), expected, "{text:?}");
        }
    }
}
