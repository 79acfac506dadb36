//! A provider is asked over HTTP.
//!
//! Lives here: the request within a deadline (`http`), the provider's key (`key`), names to addresses (`resolver`), and
//! the words for what goes wrong (`failure`).
//! Called by: the providers `google`, `google_legacy` and `overpass`.
//! May touch: sockets, by ureq and the system's resolver, and the file with the key. Nothing else in places does.

mod failure;
mod http;
mod key;
mod resolver;

pub use failure::{Failed, Wording};
pub use http::{Answer, Http, Question};
pub use key::{Key, detail, percent_encoded};
