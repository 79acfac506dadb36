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
    pub max_line: Option<Spanned<i64>>,
    pub idle_timeout_s: Option<Spanned<i64>>,
    pub write_timeout_s: Option<Spanned<i64>>,
    pub max_unsent: Option<Spanned<i64>>,
    pub stop_timeout_s: Option<Spanned<i64>>,
    pub max_ahead: Option<Spanned<String>>,
    pub connections: Option<Spanned<String>>,
    pub log_dir: Option<String>,
    pub log_level: Option<Spanned<String>>,
    #[serde(default)]
    pub places: RawPlaces,
    #[serde(default)]
    pub servers: BTreeMap<Spanned<String>, RawServer>,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, expecting = "a table: [places] with keys like provider = \"gazetteer\"")]
pub struct RawPlaces {
    pub provider: Option<Spanned<String>>,
    pub url: Option<Spanned<String>>,
    pub key_file: Option<String>,
    pub field_mask: Option<String>,
    pub path: Option<Spanned<String>>,
    pub connect_timeout_s: Option<Spanned<i64>>,
    pub total_timeout_s: Option<Spanned<i64>>,
    pub threads: Option<Spanned<i64>>,
    pub queue: Option<Spanned<i64>>,
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
}

pub fn parse(text: &str) -> Result<Raw, Problem> {
    toml::from_str(text).map_err(|error| {
        let why = one_line(error.message());
        let why = match (error.span(), why.strip_prefix("missing field `listen`")) {
            (_, Some(_)) => "no listen: add listen = \"HOST:PORT\" to the table of the server".to_owned(),
            (Some(span), None) if why.starts_with("invalid type") => {
                let why = why.replace("expected i64", "expected a whole number");
                format!("{}: {why}", key_of(&span, text))
            }
            _ => why,
        };
        Problem { span: error.span(), why }
    })
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

/// The key whose value a span is, as it stands on its line.
fn key_of<'a>(span: &Range<usize>, text: &'a str) -> &'a str {
    let before = text.get(..span.start).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    line.split('=').next().unwrap_or(line).trim()
}

/// The line, from 1, on which a span begins.
pub fn line_of(span: &Range<usize>, text: &str) -> usize {
    let start = span.start.min(text.len());
    1 + text.as_bytes()[..start].iter().filter(|&&b| b == b'\n').count()
}

fn one_line(message: &str) -> String {
    message.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
