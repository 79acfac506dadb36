//! How a failed lookup is worded: by ureq's error, by HTTP code, or with the provider's own words,
//! always `provider: why: what to do`, and never with a key or a URL.

use std::time::Duration;

#[cfg(feature = "online")]
use ureq::{Error, Timeout};

use super::key::{Key, detail};
#[cfg(feature = "online")]
use crate::limits::PLACES_ANSWER_MAX;
use crate::places::{PlacesError, Status};

/// A failed try, and whether another may succeed.
pub struct Failed {
    pub error: PlacesError,
    pub again: bool,
}

/// Words the failures of one provider.
pub struct Wording {
    provider: &'static str,
    /// Taken out of every word of the provider's.
    key: Option<Key>,
    #[cfg_attr(not(feature = "online"), expect(dead_code, reason = "nobody is asked"))]
    total_timeout: Duration,
}

impl Wording {
    pub fn new(provider: &'static str, key: Option<Key>, total_timeout: Duration) -> Wording {
        Wording { provider, key, total_timeout }
    }

    /// The key, for the request and for taking it out of answers. None for a provider that has none.
    pub fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The provider's own words, made fit for a message.
    pub fn detail(&self, words: &str) -> String {
        detail(self.key.as_ref(), words)
    }

    /// A failure worded `provider: why` for all, and with the provider's own words for the log, which come through
    /// [`Wording::detail`].
    pub fn failed(&self, status: Status, why: &str, said: String) -> Failed {
        let error = PlacesError::new(status, format!("{}: {why}", self.provider)).with_words(said);
        Failed { error, again: false }
    }

    /// An answer that is not what the provider's interface promises.
    pub fn garbled(&self, why: &str) -> Failed {
        self.failed(
            Status::UnknownError,
            "the answer cannot be read: try again, or check places.url",
            self.detail(why),
        )
    }

    /// A failure told by its status code, with the provider's words if it had any.
    pub fn by_code(&self, code: u16, words: &str) -> Failed {
        let told = |status, what: &str, remedy: &str| {
            self.failed(status, &format!("{what} (HTTP {code}): {remedy}"), self.detail(words))
        };
        match code {
            429 => {
                told(Status::OverQueryLimit, "too many requests", "ask less often, or have the quota raised")
            }
            401 | 403 => {
                told(Status::RequestDenied, "request denied", "check the key and what it may be used for")
            }
            300..=399 => told(
                Status::UnknownError,
                "redirect not followed",
                "set places.url to where the provider moved",
            ),
            408 | 500..=599 => Failed {
                again: true,
                ..told(Status::UnknownError, "the provider failed", "try again shortly")
            },
            400..=499 => told(
                Status::InvalidRequest,
                "request not understood",
                "check places.url and places.field_mask",
            ),
            _ => told(Status::UnknownError, "unexpected answer", "check places.url"),
        }
    }

    /// ureq's errors in words of ours, because some of its own hold the URL.
    #[cfg(feature = "online")]
    pub fn unreachable(&self, error: &Error) -> Failed {
        let total_s = self.total_timeout.as_secs_f64();
        let said = match error {
            Error::Io(error) => self.detail(&error.to_string()),
            _ => String::new(),
        };
        let (again, why) = match error {
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                (true, "no connection in time: check the network and places.url, or try again".to_string())
            }
            Error::Timeout(_) => {
                (false, format!("no answer within {total_s} s: try again, or raise places.total_timeout_s"))
            }
            Error::HostNotFound => (true, "host not found: check places.url and the name server".to_string()),
            Error::Io(_) | Error::ConnectionFailed => {
                (true, "connection failed: try again, or check places.url".to_string())
            }
            Error::BodyExceedsLimit(_) => (
                false,
                format!(
                    "the answer is over {} MiB and was refused: ask for a smaller radius, or check places.url",
                    PLACES_ANSWER_MAX >> 20
                ),
            ),
            Error::Tls(_) | Error::Rustls(_) => {
                (false, "TLS failed: check this machine's clock and places.url".to_string())
            }
            _ => (false, "not a proper HTTP exchange: check places.url".to_string()),
        };
        Failed { again, ..self.failed(Status::UnknownError, &why, said) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes() {
        let wording = Wording::new("test", None, Duration::from_secs(5));
        for (code, status, again) in [
            (400, Status::InvalidRequest, false),
            (401, Status::RequestDenied, false),
            (403, Status::RequestDenied, false),
            (404, Status::InvalidRequest, false),
            (429, Status::OverQueryLimit, false),
            (302, Status::UnknownError, false),
            (204, Status::UnknownError, false),
            (500, Status::UnknownError, true),
            (503, Status::UnknownError, true),
        ] {
            let failed = wording.by_code(code, "their words");
            assert_eq!((failed.error.status, failed.again), (status, again), "{code}");
            assert!(failed.error.to_string().contains("their words"), "{}", failed.error);
            assert!(!failed.error.message.contains("their words"), "{}", failed.error);
            assert!(failed.error.message.starts_with("test: "));
        }
    }
}
