//! Asking a provider over HTTP within a deadline: time-outs, one retry, bounded answers, and
//! no redirects. The three HTTP providers stand on it; `failure.rs` words what goes wrong.

use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use ureq::config::Config;
use ureq::http::{Response, Uri};
use ureq::unversioned::transport::DefaultConnector;
use ureq::{Agent, Body, Error, Timeout};

use super::failure::{Failed, Wording};
use super::key::Key;
use super::question::{Answer, Question};
use super::resolver::Names;
use crate::limits::{PLACES_ANSWER_MAX, PLACES_BUFFER_BYTES, PLACES_RETRY_PAUSE_MS};
use crate::places::{PlacesError, Settings};

/// An HTTP provider: its endpoint, and how its failures are told.
pub struct Http {
    url: String,
    pub wording: Wording,
    agent: Agent,
    connect_timeout: Duration,
}

impl Http {
    /// A provider of this name at an endpoint, with the key that its requests need.
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
            .input_buffer_size(PLACES_BUFFER_BYTES)
            .output_buffer_size(PLACES_BUFFER_BYTES)
            .max_idle_connections(threads)
            .max_idle_connections_per_host(threads);
        if local {
            config = config.proxy(None); // a proxy of the environment has another loopback
        }
        let config: Config = config.build();
        Ok(Http {
            url: url.to_string(),
            wording: Wording::new(name, key, settings.total_timeout),
            agent: Agent::with_parts(config, DefaultConnector::default(), Names::new(threads)),
            connect_timeout: settings.connect_timeout,
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
        let pause = Duration::from_millis(fastrand::u64(PLACES_RETRY_PAUSE_MS));
        if !failed.again || Instant::now() + pause >= deadline {
            return Err(failed.error);
        }
        log::info!("places: {}: once more in {} ms", failed.error, pause.as_millis());
        thread::sleep(pause);
        once().map_err(|failed| failed.error)
    }

    /// The key as its requests need it.
    pub fn key_text(&self) -> &str {
        self.wording.key().map(Key::reveal).unwrap_or_default()
    }

    /// Takes the key out of a good answer, should the other side have put it there.
    pub fn scrubbed(&self, answer: Vec<u8>) -> Vec<u8> {
        match self.wording.key() {
            Some(key) => key.scrub_answer(answer),
            None => answer,
        }
    }

    /// Closes every connection, which ends the calls that wait on them.
    pub fn shutdown(&self) {
        self.agent.clone().shutdown();
    }

    fn send(&self, question: &Question, deadline: Instant) -> Result<Answer, Failed> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(self.wording.unreachable(&Error::Timeout(Timeout::Global)));
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
        response.and_then(read).map_err(|error| self.wording.unreachable(&error))
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
    let body = response.body_mut().with_config().limit(PLACES_ANSWER_MAX).read_to_vec();
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
}
