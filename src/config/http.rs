//! The tables `[http]` and `[servers.NAME.http]`: what a server serves by HTTP, where, and to whom. `servers` calls it;
//! the files that are named are opened by who uses them.

use std::time::Duration;

use toml::Spanned;

use super::paths::Paths;
use super::raw::{Problem, RawHttp};
use super::secrets::SecretFile;
use super::settings::{duration_ns, host_port};
use crate::limits::{HTTP_MAX_AHEAD_S, HTTP_READY_AFTER_S};
use crate::net::HostPort;

/// A server's door for HTTP.
#[derive(Clone, Debug)]
pub struct Http {
    pub listen: HostPort,
    /// The certificate and its key.
    pub tls: Option<(SecretFile, SecretFile)>,
    pub tokens_file: Option<SecretFile>,
    /// By which it may be called.
    pub names: Vec<String>,
    /// Web pages of which may use it.
    pub allow_origins: Vec<String>,
    pub max_ahead_ns: u64,
    /// How long after its start the server waits for its neighbours before it says that it is ready.
    pub ready_after: Duration,
}

impl Http {
    /// Where it is, as herd.conf says.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.listen)
    }
}

/// What a server's own table says, or that of all servers where its own says nothing. None where neither says where to
/// listen.
pub fn http(all: &RawHttp, own: Option<&RawHttp>, paths: &Paths<'_>) -> Result<Option<Http>, Problem> {
    let none = RawHttp::default();
    let own = own.unwrap_or(&none);
    macro_rules! either {
        ($key:ident) => {
            own.$key.as_ref().or(all.$key.as_ref())
        };
    }
    let Some(place) = either!(listen) else { return Ok(None) };
    let listen = host_port(place, "http.listen")?;
    let tls = match (either!(tls_cert), either!(tls_key)) {
        (Some(cert), Some(key)) => {
            Some((paths.secret("http.tls_cert", cert)?, paths.secret("http.tls_key", key)?))
        }
        (None, None) => None,
        (Some(lone), None) => {
            return Err(Problem::at(lone, "http.tls_cert needs http.tls_key, the file with its key"));
        }
        (None, Some(lone)) => {
            return Err(Problem::at(lone, "http.tls_key needs http.tls_cert, the file with its certificate"));
        }
    };
    let tokens_file = paths.find_secret("http.tokens_file", either!(tokens_file))?;
    let is_insecure = own.insecure_http.or(all.insecure_http).unwrap_or(false);
    if !listen.is_loopback() && tokens_file.is_none() {
        let why = "other machines reach http.listen, and anybody there could forge and read positions; add tokens_file = \
                   \"herd.tokens\" to its table (herd --new-token makes tokens), or listen on 127.0.0.1";
        return Err(Problem::at(place, why));
    }
    if !listen.is_loopback() && tls.is_none() && !is_insecure {
        let why = "other machines reach http.listen, and tokens would be sent for all to read; add tls_cert and tls_key \
                   to its table, or insecure_http = true where a proxy in front does that";
        return Err(Problem::at(place, why));
    }
    let max_ahead_ns = match either!(max_ahead) {
        Some(place) => duration_ns(place, "http.max_ahead")?,
        None => Duration::from_secs(HTTP_MAX_AHEAD_S).as_nanos() as u64,
    };
    Ok(Some(Http {
        listen,
        tls,
        tokens_file,
        names: either!(names).map(|names| names.iter().map(name).collect()).transpose()?.unwrap_or_default(),
        allow_origins: either!(allow_origins)
            .map(|origins| origins.iter().map(origin).collect())
            .transpose()?
            .unwrap_or_default(),
        max_ahead_ns,
        ready_after: Duration::from_nanos(match either!(ready_after) {
            Some(place) => duration_ns(place, "http.ready_after")?,
            None => Duration::from_secs(HTTP_READY_AFTER_S).as_nanos() as u64,
        }),
    }))
}

/// `herd.example`, without a port: a server answers to it on any.
fn name(place: &Spanned<String>) -> Result<String, Problem> {
    let text = place.get_ref();
    let is_name =
        !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    if is_name {
        return Ok(text.clone());
    }
    Err(Problem::at(
        place,
        format!("http.names has {text:?}, but a name is like \"herd.example\", without http:// and port"),
    ))
}

/// `https://map.example`, as a browser says it.
fn origin(place: &Spanned<String>) -> Result<String, Problem> {
    let text = place.get_ref();
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let is_origin = host.is_some_and(|host| {
        !host.is_empty()
            && host
                .bytes()
                .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-._:[]".contains(&byte))
    });
    if is_origin {
        return Ok(text.clone());
    }
    let why = format!(
        "http.allow_origins has {text:?}, but an origin is like \"https://map.example\", in small letters and without a path"
    );
    Err(Problem::at(place, why))
}
