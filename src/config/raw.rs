//! herd.conf as TOML gives it: every key known, every value of the right type, and its place in
//! the file. `validate` makes a `Config` of it.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use toml::Spanned;

use super::ConfigError;

/// What is wrong, and the bytes of the file it is about.
pub struct Problem {
    pub span: Option<Range<usize>>,
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Raw {
    pub workers: Option<Spanned<i64>>,
    pub max_connections: Option<Spanned<i64>>,
    pub max_per_address: Option<Spanned<i64>>,
    pub max_clients: Option<Spanned<i64>>,
    pub max_line: Option<Spanned<i64>>,
    pub idle_timeout_s: Option<Spanned<i64>>,
    pub write_timeout_s: Option<Spanned<i64>>,
    pub max_unsent: Option<Spanned<i64>>,
    pub max_unsent_total: Option<Spanned<i64>>,
    pub stop_timeout_s: Option<Spanned<i64>>,
    pub max_ahead: Option<Spanned<String>>,
    pub connections: Option<Spanned<String>>,
    pub secret_file: Option<Spanned<String>>,
    #[serde(default)]
    pub insecure_neighbours: bool,
    pub data_dir: Option<Spanned<String>>,
    pub sync: Option<Spanned<String>>,
    pub forget_after: Option<Spanned<String>>,
    pub forgotten_for: Option<Spanned<String>>,
    pub index: Option<bool>,
    pub log_dir: Option<Spanned<String>>,
    pub log_level: Option<Spanned<String>>,
    pub log_max_bytes: Option<Spanned<i64>>,
    pub log_keep: Option<Spanned<i64>>,
    #[serde(default)]
    pub places: RawPlaces,
    #[serde(default)]
    pub http: RawHttp,
    #[serde(default)]
    pub map: RawMap,
    #[serde(default)]
    pub backbone: RawBackbone,
    #[serde(default)]
    pub timing: RawTiming,
    #[serde(default)]
    pub servers: BTreeMap<Spanned<String>, RawServer>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [places] with keys like provider = \"gazetteer\"")]
pub struct RawPlaces {
    pub provider: Option<Spanned<String>>,
    pub url: Option<Spanned<String>>,
    pub key_file: Option<Spanned<String>>,
    pub field_mask: Option<String>,
    /// One or several.
    pub path: Option<Spanned<toml::Value>>,
    pub also_gazetteer: Option<bool>,
    pub language: Option<Spanned<String>>,
    pub connect_timeout_s: Option<Spanned<i64>>,
    pub total_timeout_s: Option<Spanned<i64>>,
    pub threads: Option<Spanned<i64>>,
    pub queue: Option<Spanned<i64>>,
    pub daily_budget: Option<Spanned<i64>>,
}

/// Of all servers, or of one.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [http] with listen = \"HOST:PORT\"")]
pub struct RawHttp {
    pub listen: Option<Spanned<String>>,
    pub tls_cert: Option<Spanned<String>>,
    pub tls_key: Option<Spanned<String>>,
    pub tokens_file: Option<Spanned<String>>,
    pub names: Option<Vec<Spanned<String>>>,
    pub allow_origins: Option<Vec<Spanned<String>>>,
    pub max_ahead: Option<Spanned<String>>,
    pub ready_after: Option<Spanned<String>>,
    pub insecure_http: Option<bool>,
}

/// Of all servers, or of one.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [map] with tiles and attribution")]
pub struct RawMap {
    pub tiles: Option<Spanned<String>>,
    pub attribution: Option<Spanned<String>>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [backbone] with urls = [\"redis://HOST:PORT\"]")]
pub struct RawBackbone {
    pub urls: Option<Spanned<Vec<Spanned<String>>>>,
    pub herd: Option<Spanned<String>>,
    pub parts: Option<Spanned<i64>>,
    pub linger: Option<Spanned<String>>,
    pub retain: Option<Spanned<String>>,
    pub timeout_s: Option<Spanned<i64>>,
    pub user: Option<Spanned<String>>,
    pub password_file: Option<Spanned<String>>,
    pub insecure_backbone: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [timing] with keys like compare_ms = 10000")]
pub struct RawTiming {
    pub greeting_ms: Option<Spanned<i64>>,
    pub heartbeat_ms: Option<Spanned<i64>>,
    pub compare_ms: Option<Spanned<i64>>,
    pub compare_busy_ms: Option<Spanned<i64>>,
    pub digest_wait_ms: Option<Spanned<i64>>,
    pub differ_ms: Option<Spanned<i64>>,
    pub compact_rest_ms: Option<Spanned<i64>>,
    pub silent_ms: Option<Spanned<i64>>,
    pub settle_ms: Option<Spanned<i64>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [servers.NAME] with listen = \"HOST:PORT\"")]
pub struct RawServer {
    pub listen: Spanned<String>,
    pub address: Option<Spanned<String>>,
    #[serde(default)]
    pub neighbours: Vec<Spanned<String>>,
    #[serde(default)]
    pub plain: bool,
    #[serde(default)]
    pub refill: bool,
    pub secret_file: Option<Spanned<String>>,
    #[serde(default)]
    pub secret_files: BTreeMap<Spanned<String>, Spanned<String>>,
    pub http: Option<RawHttp>,
    pub map: Option<RawMap>,
    pub backbone: Option<Spanned<bool>>,
}

impl Problem {
    pub fn at<T>(place: &Spanned<T>, why: impl Into<String>) -> Problem {
        Problem { span: Some(place.span()), why: why.into() }
    }

    /// Names the file and turns the bytes into a line.
    pub fn in_file(self, path: &Path, text: &str) -> ConfigError {
        let line = self.span.map(|span| line_of(&span, text));
        ConfigError { path: path.to_owned(), line, why: self.why }
    }
}

/// The line, from 1, on which a span begins.
pub fn line_of(span: &Range<usize>, text: &str) -> usize {
    let start = span.start.min(text.len());
    1 + text.as_bytes()[..start].iter().filter(|&&b| b == b'\n').count()
}
