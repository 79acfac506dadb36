//! Asking a provider over HTTP within a deadline: time-outs, one retry, bounded answers, and
//! failures as words that hold no key. The three HTTP providers stand on it.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error, Timeout};

use super::key::{Key, detail};
use super::resolver::Names;
use super::{PlacesError, Settings, Status};

/// 20 places of the wordiest provider are some 40 KiB; more than this is not an answer.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// A connection owns its buffers while it lives, so they are sized for our questions and for
/// answers of some tens of KiB, not for downloads.
const BUFFER_BYTES: usize = 16 * 1024;

/// The pause before the second try: short against the deadline, long enough for a restart, and
/// spread so that all servers of a herd do not come back at once.
const RETRY_PAUSE_MS: std::ops::RangeInclusive<u64> = 50..=250;

/// An HTTP provider: its name in messages, its endpoint, and the key it may need.
pub(super) struct Http {
    name: &'static str,
    url: String,
    pub key: Option<Key>,
    agent: Agent,
    connect_timeout: Duration,
    total_timeout: Duration,
}

/// One request; GET without a body, else POST. No `Debug`, because the URL may hold the key.
pub(super) struct Question {
    pub url: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: Option<String>,
}

/// What came back, whatever its status code.
pub(super) struct Answer {
    pub code: u16,
    pub body: Vec<u8>,
}

/// A failed try, and whether another may succeed.
pub(super) struct Failed {
    pub error: PlacesError,
    pub again: bool,
}

impl Http {
    pub fn open(
        name: &'static str,
        url: &str,
        key: Option<Key>,
        settings: &Settings,
    ) -> Result<Http, String> {
        let host = host(url)?;
        let local = is_loopback(&host);
        if key.is_some() && !local && !url.starts_with("https:") {
            log::warn!("places.url: not https, so the key travels unprotected: use an https URL");
        }
        let threads = settings.threads();
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // A redirect would carry the key to wherever it points.
            .max_redirects(0)
            .user_agent(concat!("herd/", env!("CARGO_PKG_VERSION")))
            .input_buffer_size(BUFFER_BYTES)
            .output_buffer_size(BUFFER_BYTES)
            .max_idle_connections(threads)
            .max_idle_connections_per_host(threads);
        if local {
            config = config.proxy(None); // a proxy of the environment has another loopback
        }
        let config: Config = config.build();
        Ok(Http {
            name,
            url: url.to_string(),
            key,
            agent: Agent::with_parts(config, DefaultConnector::default(), Names),
            connect_timeout: settings.connect_timeout,
            total_timeout: settings.total_timeout,
        })
    }

    pub fn url(&self) -> &str {
        &self.url
    }

    /// Asks, and once more when the first try failed in a way that passes and time is left.
    pub fn ask<T>(
        &self,
        question: &Question,
        deadline: Instant,
        judge: impl Fn(Answer) -> Result<T, Failed>,
    ) -> Result<T, PlacesError> {
        let once = || self.send(question, deadline).and_then(&judge);
        let failed = match once() {
            Ok(answer) => return Ok(answer),
            Err(failed) => failed,
        };
        let pause = Duration::from_millis(fastrand::u64(RETRY_PAUSE_MS));
        if !failed.again || Instant::now() + pause >= deadline {
            return Err(failed.error);
        }
        log::info!("places: {}: once more in {} ms", failed.error, pause.as_millis());
        thread::sleep(pause);
        once().map_err(|failed| failed.error)
    }

    /// Closes every connection, which ends the calls that wait on them.
    pub fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    /// A failure worded `provider: why`; the provider's own words come through [`detail`].
    pub fn failed(&self, status: Status, why: &str) -> Failed {
        let error = PlacesError::new(status, format!("{}: {why}", self.name));
        Failed { error, again: false }
    }

    /// An answer that is not what the provider's interface promises.
    pub fn garbled(&self, why: &str) -> Failed {
        let words = detail(self.key.as_ref(), why);
        self.failed(
            Status::UnknownError,
            &format!("the answer cannot be read: {words}: try again, or check places.url"),
        )
    }

    /// A failure told by its status code alone, with the provider's words if it had any.
    pub fn by_code(&self, code: u16, words: &str) -> Failed {
        let words = detail(self.key.as_ref(), words);
        let why = if words.is_empty() { String::new() } else { format!(": {words}") };
        let told = |status, what: &str, remedy: &str| {
            self.failed(status, &format!("{what} (HTTP {code}){why}: {remedy}"))
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

    fn send(&self, question: &Question, deadline: Instant) -> Result<Answer, Failed> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.unreachable(&Error::Timeout(Timeout::Global)));
        }
        let response = match &question.body {
            None => {
                let request = headed(self.agent.get(&question.url), &question.headers);
                let config = request.config().timeout_global(Some(left));
                let config = config.timeout_resolve(Some(self.connect_timeout.min(left)));
                config.timeout_connect(Some(self.connect_timeout.min(left))).build().call()
            }
            Some(body) => {
                let request = headed(self.agent.post(&question.url), &question.headers);
                let config = request.config().timeout_global(Some(left));
                let config = config.timeout_resolve(Some(self.connect_timeout.min(left)));
                config.timeout_connect(Some(self.connect_timeout.min(left))).build().send(body)
            }
        };
        response.and_then(read).map_err(|error| self.unreachable(&error))
    }

    /// ureq's errors in words of ours, because some of its own hold the URL.
    fn unreachable(&self, error: &Error) -> Failed {
        let total_s = self.total_timeout.as_secs_f64();
        let (again, why) = match error {
            Error::Timeout(Timeout::Connect | Timeout::Resolve) => {
                (true, "no connection in time: check the network and places.url, or try again".to_string())
            }
            Error::Timeout(_) => {
                (false, format!("no answer within {total_s} s: try again, or raise places.total_timeout_s"))
            }
            Error::Io(error) => {
                let words = detail(self.key.as_ref(), &error.to_string());
                (true, format!("connection failed: {words}: try again, or check places.url"))
            }
            Error::HostNotFound => (true, "host not found: check places.url and the name server".to_string()),
            Error::ConnectionFailed => {
                (true, "connection failed: try again, or check places.url".to_string())
            }
            Error::BodyExceedsLimit(_) => (
                false,
                "the answer is over 1 MiB and was refused: ask for a smaller radius, or check places.url"
                    .to_string(),
            ),
            Error::Tls(_) | Error::Rustls(_) => {
                (false, "TLS failed: check this machine's clock and places.url".to_string())
            }
            _ => (false, "not a proper HTTP exchange: check places.url".to_string()),
        };
        Failed { again, ..self.failed(Status::UnknownError, &why) }
    }
}

fn headed<B>(
    request: ureq::RequestBuilder<B>,
    headers: &[(&'static str, String)],
) -> ureq::RequestBuilder<B> {
    headers.iter().fold(request, |request, (name, value)| request.header(*name, value))
}

fn read(mut response: Response<Body>) -> Result<Answer, Error> {
    let code = response.status().as_u16();
    let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec();
    match body {
        Ok(body) => Ok(Answer { code, body }),
        // The status code says enough when the words to it are lost.
        Err(_) if code >= 300 => Ok(Answer { code, body: Vec::new() }),
        Err(error) => Err(error),
    }
}

/// The host of an http(s) URL; the error does not repeat the URL, which might hold a secret.
fn host(url: &str) -> Result<String, String> {
    let uri: Option<Uri> = url.parse().ok();
    uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")))
        .and_then(|uri| uri.host().map(str::to_string))
        .filter(|host| !host.is_empty())
        .ok_or_else(|| "places.url: no http:// or https:// URL: write all of it".to_string())
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare == "localhost" || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for (url, expected) in [
            ("http://127.0.0.1:80/x?y=z", Some(("127.0.0.1", true))),
            ("https://[::1]/x", Some(("[::1]", true))),
            ("http://localhost", Some(("localhost", true))),
            ("https://places.example/", Some(("places.example", false))),
            ("ftp://places.example/", None),
            ("places.example", None),
            ("", None),
            ("http:///x", None),
        ] {
            let found = host(url).ok();
            let found = found.as_deref().map(|host| (host, is_loopback(host)));
            assert_eq!(found, expected, "{url}");
        }
    }

    #[test]
    fn codes() {
        let settings = Settings::default();
        let http = Http::open("test", "http://127.0.0.1/", None, &settings).unwrap();
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
            let failed = http.by_code(code, "their words");
            assert_eq!((failed.error.status, failed.again), (status, again), "{code}");
            assert!(failed.error.message.contains("their words"), "{}", failed.error);
            assert!(failed.error.message.starts_with("test: "));
        }
    }
}
