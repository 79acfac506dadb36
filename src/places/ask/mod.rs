//! A provider is asked over HTTP.
//!
//! Lives here: the request within a deadline (`http`), what goes in and out of it (`question`), the provider's key
//! (`key`), names to addresses (`resolver`), the words for what goes wrong (`failure`), and what stands in for `http` in
//! a build without the feature `online` (`offline`).
//! Called by: the providers `google`, `google_legacy` and `overpass`.
//! May touch: sockets, by ureq and the system's resolver, and the file with the key. Nothing else in places does.

mod failure;
#[cfg(feature = "online")]
mod http;
mod key;
#[cfg(not(feature = "online"))]
mod offline;
mod question;
#[cfg(feature = "online")]
mod resolver;

pub use failure::{Failed, Wording};
#[cfg(feature = "online")]
pub use http::Http;
pub use key::{Key, detail, percent_encoded};
#[cfg(not(feature = "online"))]
pub use offline::Http;
pub use question::{Answer, Question};
