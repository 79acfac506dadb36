//! What is near a position: a trait, five providers, and the pool of threads that asks them.
//!
//! Lives here: the question and its answer (this file), `settings`, who answers (`providers`), how one is asked over
//! HTTP (`ask`), the search among points (`points`), and the threads (`pool`).
//! Called by: `run`, which calls [`open`] at a start and at a reload; `server`, which starts a [`pool::Pool`]; workers submit lookups.
//! May touch: the network below `ask`, the files of places and keys. It knows no client, no store and no server.

pub mod ask;
mod labels;
mod points;
pub mod pool;
pub mod providers;
mod settings;

use std::fmt;
use std::time::Instant;

pub use labels::Label;
pub use providers::layout::{failure_json, no_results_json};
pub use providers::open;
pub use settings::{Provider, Settings};

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
    pub const ALL: [Status; 4] =
        [Status::UnknownError, Status::OverQueryLimit, Status::RequestDenied, Status::InvalidRequest];

    pub fn as_str(self) -> &'static str {
        match self {
            Status::UnknownError => "UNKNOWN_ERROR",
            Status::OverQueryLimit => "OVER_QUERY_LIMIT",
            Status::RequestDenied => "REQUEST_DENIED",
            Status::InvalidRequest => "INVALID_REQUEST",
        }
    }
}

/// Why a lookup failed. The message goes to clients and logs: it says what kind of failure it is and what to do, and holds
/// neither a key nor a URL of the configuration nor a control character.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacesError {
    pub status: Status,
    pub message: String,
    /// The provider's own words, made fit for a message. They may tell of a project or an account, and so go to the
    /// log alone.
    pub said: String,
}

impl PlacesError {
    pub fn new(status: Status, message: impl Into<String>) -> PlacesError {
        let message = message.into();
        PlacesError { status, message, said: String::new() }
    }

    /// The same, with what the provider said.
    pub fn with_words(self, said: String) -> PlacesError {
        PlacesError { said, ..self }
    }
}

impl fmt::Display for PlacesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.message, self.status.as_str())?;
        if self.said.is_empty() { Ok(()) } else { write!(f, "; it said: {}", self.said) }
    }
}

/// Who is asked. A trait, so that tests hand in their own.
pub trait Places: Send + Sync {
    /// The JSON body in the legacy Nearby Search shape, cut to `lookup.bound`, each run of
    /// newlines made one, trailing newlines gone. Blocks until `deadline` at the latest.
    fn nearby(&self, lookup: &Lookup, deadline: Instant) -> Result<Vec<u8>, PlacesError>;

    /// Offers what a map is labelled with, what matters most first, until `take` returns false. Returns whom to name
    /// for it beside the map. The towns of the gazetteer, where nothing is the user's.
    fn labels(&self, take: &mut dyn FnMut(Label<'_>) -> bool) -> Vec<&'static str> {
        labels::towns(take)
    }

    /// What it answers from, in lines, where that is something of the user's: `--check` and the log say it.
    fn about(&self) -> Vec<String> {
        Vec::new()
    }

    /// Bytes of memory that what is the user's takes as long as it is answered from.
    fn memory_bytes(&self) -> usize {
        0
    }

    /// Ends the lookups in hand early, because the server stops. Nothing is asked after it.
    fn cancel(&self) {}
}
