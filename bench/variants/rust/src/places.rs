//! The reply of the places provider, cut to what was asked for. How it is asked is the variant's.

use herd::places::{Lookup, Settings as HerdSettings, failure_json, no_results_json};
use serde_json::Value;

/// Where the provider is and with which key it is asked.
pub struct Settings {
    url: String,
    key: String,
}

impl Settings {
    pub fn new(settings: &HerdSettings) -> Settings {
        Settings {
            url: settings.url.clone().unwrap_or_default(),
            key: std::env::var("HERD_PLACES_KEY").unwrap_or_default(),
        }
    }

    /// What to GET, or nothing when the answer is known to be empty.
    pub fn url(&self, lookup: &Lookup) -> Option<String> {
        let Lookup { latitude_deg, longitude_deg, radius_m, bound } = lookup;
        let (url, key) = (&self.url, &self.key);
        let is_asked = *bound > 0 && *radius_m > 0.0;
        is_asked.then(|| format!("{url}?location={latitude_deg},{longitude_deg}&radius={radius_m}&key={key}"))
    }
}

/// The JSON of a reply, from the provider's: at most `bound` results, no blank line.
pub fn json(answer: Result<String, String>, bound: u8) -> Vec<u8> {
    match answer.and_then(|text| cut(text, bound.into())) {
        Ok(text) => text.into_bytes(),
        Err(why) => {
            let status = herd::places::Status::UnknownError;
            failure_json(&herd::places::PlacesError::new(status, why))
        }
    }
}

/// The JSON when nobody is asked.
pub fn nothing() -> Vec<u8> {
    no_results_json()
}

fn cut(text: String, bound: usize) -> Result<String, String> {
    let mut value: Value =
        serde_json::from_str(&text).map_err(|why| format!("the provider's answer: {why}"))?;
    let results =
        value.get_mut("results").and_then(Value::as_array_mut).ok_or("the provider sent no results")?;
    if results.len() > bound {
        results.truncate(bound);
        return serde_json::to_string_pretty(&value).map_err(|why| why.to_string());
    }
    let mut lines: Vec<_> = text.split('\n').collect();
    lines.retain(|line| !line.is_empty());
    Ok(lines.join("\n"))
}
