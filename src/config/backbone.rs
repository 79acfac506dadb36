//! The table `[backbone]`: the engine that joins servers which do not reach one another, and how the herd is kept there.
//! `validate` calls it; no engine is asked, and the file with the password is opened by who uses it.

use std::fmt;
use std::time::Duration;

use toml::Spanned;

use super::paths::Paths;
use super::raw::{Problem, RawBackbone};
use super::secrets::SecretFile;
use super::settings::{duration_s, number};
use crate::limits::{
    ENGINE_HERD_MAX, ENGINE_LINGER_MS, ENGINE_PARTS, ENGINE_PORT, ENGINE_RETAIN_MS, ENGINE_TIMEOUT_S,
    ENGINE_URLS_MAX, ENGINE_USER_MAX, Limit,
};
use crate::net::HostPort;

/// The engine that joins servers that do not reach one another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backbone {
    /// Nodes of the engine, asked in turn.
    pub urls: Vec<EngineUrl>,
    /// What all keys begin with: servers with the same one are one herd.
    pub herd: String,
    /// How many parts the herd is kept in: a power of two.
    pub parts: u16,
    /// How long a record waits for others, with which it is sent.
    pub linger: Duration,
    /// How much of its log the engine keeps.
    pub retain: Duration,
    /// What a reply of the engine may take.
    pub timeout: Duration,
    /// None for the one that every engine has.
    pub user: Option<String>,
    pub password_file: Option<SecretFile>,
}

/// A node of the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineUrl {
    pub at: HostPort,
    pub is_tls: bool,
}

impl fmt::Display for EngineUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls { "rediss" } else { "redis" };
        write!(f, "{scheme}://{}", self.at)
    }
}

/// As `--check` prints it.
impl fmt::Display for Backbone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let urls: Vec<_> = self.urls.iter().map(ToString::to_string).collect();
        let parts = if self.parts == 1 { "part" } else { "parts" };
        write!(f, "engine {}, keys of {}, {} {parts}", urls.join(" or "), self.herd, self.parts)
    }
}

/// What herd.conf says of it. None when it names no node.
pub fn backbone(raw: &RawBackbone, paths: &Paths<'_>) -> Result<Option<Backbone>, Problem> {
    let Some(place) = &raw.urls else { return Ok(None) };
    if cfg!(not(feature = "backbone")) {
        let why = "backbone.urls: this herd was built without the feature backbone; take [backbone] out, or build one \
                   with --features backbone";
        return Err(Problem::at(place, why));
    }
    let urls = place.get_ref();
    if urls.is_empty() || urls.len() > ENGINE_URLS_MAX {
        let why =
            format!("backbone.urls has {} URLs, but must have 1 to {ENGINE_URLS_MAX}, {LIKE}", urls.len());
        return Err(Problem::at(place, why));
    }
    let is_insecure = raw.insecure_backbone.unwrap_or(false);
    let password_file = paths.find_secret("backbone.password_file", raw.password_file.as_ref())?;
    Ok(Some(Backbone {
        urls: urls.iter().map(|place| engine_url(place, is_insecure)).collect::<Result<_, _>>()?,
        herd: raw.herd.as_ref().map_or(Ok(HERD.to_owned()), herd)?,
        parts: parts(&raw.parts)?,
        linger: time(raw.linger.as_ref(), &ENGINE_LINGER_MS, "linger", "from \"0ms\" to \"1s\"")?,
        retain: time(raw.retain.as_ref(), &ENGINE_RETAIN_MS, "retain", "from \"10s\" to \"1h\"")?,
        timeout: Duration::from_secs(number(&raw.timeout_s, &ENGINE_TIMEOUT_S, "backbone.timeout_s")?),
        user: raw.user.as_ref().map(|place| user(place, password_file.is_some())).transpose()?,
        password_file,
    }))
}

/// Where herd.conf names no other.
const HERD: &str = "herd";

const LIKE: &str = "like \"redis://127.0.0.1:6379\"";

/// `redis://HOST`, with a port or without. No error shows what there is instead, as there may be a password in it.
fn engine_url(place: &Spanned<String>, is_insecure: bool) -> Result<EngineUrl, Problem> {
    let problem = |why: &str| Problem::at(place, format!("backbone.urls {why}"));
    let text = place.get_ref();
    if text.contains('@') {
        let why = "has a URL with a user or a password; take them out of it, and write user = \"…\" and \
                   password_file = \"…\" in [backbone]";
        return Err(problem(why));
    }
    let (is_tls, rest) = match text.split_once("://") {
        Some(("redis", rest)) => (false, rest),
        // With TLS this becomes `(true, rest)`, and `NO_TLS` goes.
        Some(("rediss", _)) => return Err(problem(NO_TLS)),
        Some(_) | None => {
            return Err(problem(&format!("has a URL that does not begin with redis://, {LIKE}")));
        }
    };
    if rest.contains(['/', '?', '#']) {
        let why = "has a URL that goes on behind its port; end it there, as herd takes no database, option or \
                   password from it";
        return Err(problem(why));
    }
    let has_port = rest.contains(':') && !rest.ends_with(']');
    let at = if has_port { HostPort::parse(rest) } else { HostPort::parse(&format!("{rest}:{ENGINE_PORT}")) };
    let is_name =
        |host: &str| host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let Some(at) =
        at.filter(|at| at.port != 0 && !at.is_wildcard() && (at.ip().is_some() || is_name(&at.host)))
    else {
        return Err(problem(&format!("has a URL without a host and port that can be dialled, {LIKE}")));
    };
    let url = EngineUrl { at, is_tls };
    if !url.at.is_loopback() && !url.is_tls && !is_insecure {
        let why = format!(
            "has {url}, which is on another machine, and all that is known of clients would go there for all to read; set \
             insecure_backbone = true in [backbone] where nobody else is on the way, or use a tunnel that begins on this \
             machine"
        );
        return Err(problem(&why));
    }
    Ok(url)
}

/// Why `rediss://` is refused.
const NO_TLS: &str = "has rediss://, but TLS to the engine is not built yet; use redis:// through a tunnel that begins on \
                      this machine, or on a network where nobody else is, with insecure_backbone = true";

fn herd(place: &Spanned<String>) -> Result<String, Problem> {
    let text = place.get_ref();
    let is_one = (1..=ENGINE_HERD_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if is_one {
        return Ok(text.clone());
    }
    let why =
        format!("backbone.herd is {text:?}, but must be 1 to {ENGINE_HERD_MAX} letters, digits, '-' or '_'");
    Err(Problem::at(place, why))
}

fn parts(value: &Option<Spanned<i64>>) -> Result<u16, Problem> {
    let parts = number(value, &ENGINE_PARTS, "backbone.parts")?;
    match value {
        Some(place) if !parts.is_power_of_two() => {
            let why =
                format!("backbone.parts is {parts}, but must be a power of two: 1, 2, 4 and so on to 256");
            Err(Problem::at(place, why))
        }
        Some(_) | None => Ok(u16::try_from(parts).unwrap_or(u16::MAX)),
    }
}

/// A time of a key, or its default. `range` says which it may have.
fn time(value: Option<&Spanned<String>>, limit: &Limit, key: &str, range: &str) -> Result<Duration, Problem> {
    let Some(place) = value else { return Ok(Duration::from_millis(limit.default)) };
    let text = place.get_ref();
    let time_ms = match text.strip_suffix("ms") {
        Some(number) if number.bytes().all(|byte| byte.is_ascii_digit()) => number.parse().ok(),
        Some(_) => None,
        None => duration_s(text).map(|seconds| seconds * 1_000),
    };
    let time_ms = time_ms.filter(|time_ms| limit.range.contains(time_ms));
    time_ms
        .map(Duration::from_millis)
        .ok_or_else(|| Problem::at(place, format!("backbone.{key} is {text:?}, but must be {range}")))
}

fn user(place: &Spanned<String>, has_password: bool) -> Result<String, Problem> {
    let text = place.get_ref();
    let is_name = (1..=ENGINE_USER_MAX).contains(&text.chars().count())
        && !text.contains(|c: char| c.is_whitespace() || c.is_control());
    if !is_name {
        let why = format!("backbone.user must be 1 to {ENGINE_USER_MAX} characters, without white space");
        return Err(Problem::at(place, why));
    }
    if !has_password {
        let why = "backbone.user needs backbone.password_file, the file with the password of that user";
        return Err(Problem::at(place, why));
    }
    Ok(text.clone())
}

#[cfg(test)]
mod tests;
