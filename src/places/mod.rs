//! What is near a position: one trait, five providers, and the pool of threads that asks them.
//! The server calls [`open`] once at start and then only [`pool::Pool::submit`].

mod failure;
mod file;
#[cfg(feature = "gazetteer")]
mod gazetteer;
mod geojson;
mod google;
mod google_legacy;
mod http;
mod key;
mod layout;
mod near;
mod overpass;
#[cfg(feature = "gazetteer")]
mod pack;
pub mod pool;
mod resolver;
mod table;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use layout::{failure_json, no_results_json};

/// One question: what is within `radius_m` metres (0 to 50,000) of a position, at most
/// `bound` (0 to 20) of it, nearest first.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lookup {
    pub latitude_deg: f64,
    pub longitude_deg: f64,
    pub radius_m: f64,
    pub bound: u8,
}

/// The status words of Google Places that a failure may carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The provider could not be asked or did not answer sensibly; asking again may help.
    UnknownError,
    /// The provider's quota is used up.
    OverQueryLimit,
    /// The key is missing, wrong, or not allowed to ask this.
    RequestDenied,
    /// The provider did not understand the question.
    InvalidRequest,
}

impl Status {
    pub fn as_str(self) -> &'static str {
        match self {
            Status::UnknownError => "UNKNOWN_ERROR",
            Status::OverQueryLimit => "OVER_QUERY_LIMIT",
            Status::RequestDenied => "REQUEST_DENIED",
            Status::InvalidRequest => "INVALID_REQUEST",
        }
    }
}

/// Why a lookup failed. The message goes to clients and logs: it says what to do, and holds
/// neither a key nor a URL of the configuration nor a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacesError {
    pub status: Status,
    pub message: String,
}

impl PlacesError {
    pub(crate) fn new(status: Status, message: impl Into<String>) -> PlacesError {
        let message = message.into();
        PlacesError { status, message }
    }
}

impl fmt::Display for PlacesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.status.as_str())
    }
}

/// Who is asked. A trait, so that tests hand in their own.
pub trait Places: Send + Sync {
    /// The JSON body in the legacy Nearby Search shape, cut to `lookup.bound`, each run of
    /// newlines made one, trailing newlines gone. Blocks until `deadline` at the latest.
    fn nearby(&self, lookup: &Lookup, deadline: Instant) -> Result<Vec<u8>, PlacesError>;

    /// Ends the lookups in hand early, because the server stops. Nothing is asked after it.
    fn cancel(&self) {}
}

/// The providers of `places.provider`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    Gazetteer,
    Google,
    GoogleLegacy,
    Overpass,
    File,
}

impl FromStr for Provider {
    type Err = String;

    fn from_str(name: &str) -> Result<Provider, String> {
        match name {
            "gazetteer" => Ok(Provider::Gazetteer),
            "google" => Ok(Provider::Google),
            "google-legacy" => Ok(Provider::GoogleLegacy),
            "overpass" => Ok(Provider::Overpass),
            "file" => Ok(Provider::File),
            _ => Err(format!(
                "places.provider: unknown provider {name:?}: choose gazetteer, google, google-legacy, overpass or file"
            )),
        }
    }
}

/// The `places` part of the configuration. A key is no part of it, only where one is.
#[derive(Clone, Debug)]
pub struct Settings {
    pub provider: Provider,
    /// Replaces the provider's endpoint, whole.
    pub url: Option<String>,
    /// A file that holds nothing but the key; the environment's `HERD_PLACES_KEY` comes first.
    pub key_file: Option<PathBuf>,
    /// What `google` is asked for, instead of all the legacy shape can show.
    pub field_mask: Option<String>,
    /// The points of the `file` provider.
    pub path: Option<PathBuf>,
    pub connect_timeout: Duration,
    pub total_timeout: Duration,
    /// `None`: what [`Settings::threads`] says.
    pub threads: Option<usize>,
    /// Lookups that may wait for a thread.
    pub queue: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            provider: Provider::Gazetteer,
            url: None,
            key_file: None,
            field_mask: None,
            path: None,
            connect_timeout: Duration::from_secs(2),
            total_timeout: Duration::from_secs(5),
            threads: None,
            queue: 256,
        }
    }
}

impl Settings {
    /// Threads that ask: a provider behind HTTP may hold each for the whole total time-out, a
    /// local one for microseconds.
    pub fn threads(&self) -> usize {
        self.threads.unwrap_or(match self.provider {
            Provider::Google | Provider::GoogleLegacy | Provider::Overpass => 32,
            Provider::Gazetteer | Provider::File => 2,
        })
    }
}

/// What becomes of an answer of a provider over HTTP, or of a file of places: the JSON for a client,
/// or why there is none. Asks nobody; the fuzzer feeds it.
pub fn judge(provider: Provider, code: u16, body: Vec<u8>, bound: u8) -> Result<Vec<u8>, String> {
    let answer = http::Answer { code, body };
    match provider {
        Provider::Gazetteer => Err("the gazetteer is not asked over HTTP".into()),
        Provider::Google => google::judge(&answer, bound),
        Provider::GoogleLegacy => google_legacy::judge(answer, bound),
        Provider::Overpass => overpass::judge(&answer, bound),
        Provider::File => file::judge(&answer.body, bound),
    }
}

/// Opens the provider: reads its key and its files, asks nobody yet.
///
/// The error names the setting and says what to do; it holds no key.
pub fn open(settings: &Settings) -> Result<Arc<dyn Places>, String> {
    Ok(match settings.provider {
        Provider::Gazetteer => open_gazetteer()?,
        Provider::Google => Arc::new(google::Google::open(settings)?),
        Provider::GoogleLegacy => Arc::new(google_legacy::GoogleLegacy::open(settings)?),
        Provider::Overpass => Arc::new(overpass::Overpass::open(settings)?),
        Provider::File => Arc::new(file::File::open(settings)?),
    })
}

#[cfg(feature = "gazetteer")]
fn open_gazetteer() -> Result<Arc<dyn Places>, String> {
    Ok(Arc::new(gazetteer::Gazetteer))
}

#[cfg(not(feature = "gazetteer"))]
fn open_gazetteer() -> Result<Arc<dyn Places>, String> {
    Err("places.provider: the gazetteer was left out of this build: build with the default \
         features, or choose google, google-legacy, overpass or file"
        .to_string())
}

/// A number as JSON and query strings take it: no exponent, no more digits than it needs.
fn decimal(number: f64) -> String {
    // Nine decimals of a degree, or of a metre, are beyond any source's accuracy; rounding drops
    // the tail of digits that a conversion such as 8.47 km to metres leaves.
    let rounded = (number * 1e9).round() / 1e9;
    if rounded.is_finite() && rounded != 0.0 { rounded.to_string() } else { "0".to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn providers_by_name() {
        for (name, provider) in [
            ("gazetteer", Provider::Gazetteer),
            ("google", Provider::Google),
            ("google-legacy", Provider::GoogleLegacy),
            ("overpass", Provider::Overpass),
            ("file", Provider::File),
        ] {
            assert_eq!(name.parse(), Ok(provider));
        }
        assert!("Google".parse::<Provider>().is_err_and(|e| e.contains("google-legacy")));
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

    #[test]
    fn threads_follow_the_provider() {
        let mut settings = Settings::default();
        assert_eq!(settings.threads(), 2);
        settings.provider = Provider::Google;
        assert_eq!(settings.threads(), 32);
        settings.threads = Some(7);
        assert_eq!(settings.threads(), 7);
    }
}
