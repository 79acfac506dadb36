//! The site of a server: what its door for HTTP serves, with the tokens from the file that herd.conf names. A server
//! calls it at its start and at SIGHUP, `--check` calls it once.

use std::net::TcpListener;
use std::sync::Arc;
use std::{io, str};

use crate::config::{Config, ConfigError, Http, SecretFile, Server};
use crate::door::DoorKind;
use crate::door::http::{Site, Tokens};
use crate::files;
use crate::limits::TOKENS_FILE_MAX;
use crate::net::socket;

/// What a server serves by HTTP; None where it does not.
///
/// # Errors
/// The file with its tokens is missing, can be read by others than its owner, or has a line that is no token.
pub fn of_server(config: &Config, server: &Server) -> Result<Option<Arc<Site>>, ConfigError> {
    let Some(http) = &server.http else { return Ok(None) };
    let Http { names, allow_origins, max_ahead_ns, .. } = http.clone();
    let mut site = Site::new(names, allow_origins, max_ahead_ns, tokens(config, http)?);
    site.ready_after = http.ready_after;
    Ok(Some(Arc::new(site)))
}

/// Reads the tokens anew; with the old ones when that fails.
pub fn reread(config: &Config, server: &Server, site: &Site) {
    let read = server.http.as_ref().map(|http| tokens(config, http));
    match read {
        Some(Ok(Some(tokens))) => {
            log::info!("read the tokens again: {}", tokens.len());
            site.replace_tokens(tokens);
        }
        Some(Err(why)) => log::error!("keeping the old tokens: {why}"),
        Some(Ok(None)) | None => {}
    }
}

fn tokens(config: &Config, http: &Http) -> Result<Option<Tokens>, ConfigError> {
    let Some(SecretFile { path, line }) = &http.tokens_file else { return Ok(None) };
    let error = |why: String| config.error(Some(*line), format!("tokens_file {}: {why}", path.display()));
    let bytes = files::read_secret(path, TOKENS_FILE_MAX).map_err(|why| match why.kind() {
        io::ErrorKind::NotFound => {
            error(format!("{why}; make one with `(umask 077; touch {})`", path.display()))
        }
        _ => error(why.to_string()),
    })?;
    let text = str::from_utf8(&bytes).map_err(|_| error("it is no UTF-8".into()))?;
    Tokens::parse(text).map(Some).map_err(|why| error(why.to_string()))
}

/// Listens where a server is to, on all of its doors.
///
/// # Errors
/// The system does not let it.
pub fn listen(server: &Server) -> io::Result<Vec<(DoorKind, TcpListener)>> {
    let of = |kind| move |listener| (kind, listener);
    let mut all: Vec<_> = socket::listen(&server.listen)?.into_iter().map(of(DoorKind::Line)).collect();
    if let Some(http) = &server.http {
        all.extend(socket::listen(&http.listen)?.into_iter().map(of(DoorKind::Http)));
    }
    Ok(all)
}
