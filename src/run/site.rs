//! The site of a server: what its door for HTTP serves, with the tokens and the certificate from the files that herd.conf
//! names. A server calls it at its start and at SIGHUP, `--check` calls it once.

use std::sync::Arc;
use std::{io, str};

use crate::config::{Config, ConfigError, Http, SecretFile, Server};
use crate::door::DoorKind;
use crate::door::http::{Site, Tiles, Tokens};
use crate::limits::{
    CERTIFICATE_FILE_MAX, CERTIFICATE_WARN_DAYS, HTTP_RECEIVE_BUFFER_BYTES, PHONES_IDLE, TOKENS_FILE_MAX,
};
use crate::net::tls::{BadPem, Certificate};
use crate::net::{Listener, Tls, socket};
use crate::places::Places;
use crate::{clock, files};

/// What a server serves by HTTP, and how.
pub struct Web {
    http: Http,
    pub site: Arc<Site>,
    /// None where it serves in clear.
    tls: Option<Arc<Tls>>,
}

impl Web {
    /// None for a server that serves nothing. Its map is labelled with these places.
    ///
    /// # Errors
    /// The file with its tokens, its certificate or its key is missing, can be read by others than its owner, or is of
    /// no use.
    pub fn of_server(
        config: &Config,
        server: &Server,
        places: Option<Arc<dyn Places>>,
    ) -> Result<Option<Web>, ConfigError> {
        let Some(http) = server.http.clone() else { return Ok(None) };
        if let Some(short) = config.settings.idle_timeout.filter(|&idle| idle < PHONES_IDLE) {
            let (idle_s, wanted_s) = (short.as_secs(), PHONES_IDLE.as_secs());
            log::warn!(
                "idle_timeout_s = {idle_s} closes connections that phones keep: set {wanted_s} or more, or 0, where {} \
                 serves any",
                server.name
            );
        }
        let Http { names, allow_origins, max_ahead_ns, .. } = http.clone();
        let mut site = Site::new(names, allow_origins, max_ahead_ns, tokens(config, &http)?);
        site.ready_after = http.ready_after;
        site.places = places;
        site.tiles = server.tiles.clone().map(|tiles| {
            let crate::config::Tiles { url, origin, attribution } = tiles;
            Tiles { url, origin, attribution }
        });
        let tls = certificate(config, &http)?.map(|certificate| Arc::new(Tls::new(certificate)));
        Ok(Some(Web { http, site: Arc::new(site), tls }))
    }

    /// Reads the files anew; with what was in them when that fails.
    pub fn reread(&self, config: &Config) {
        match tokens(config, &self.http) {
            Ok(Some(tokens)) => {
                log::info!("read the tokens again: {}", tokens.len());
                self.site.replace_tokens(tokens);
            }
            Ok(None) => {}
            Err(why) => log::error!("keeping the old tokens: {why}"),
        }
        let Some(tls) = &self.tls else { return };
        match certificate(config, &self.http) {
            Ok(Some(certificate)) => {
                let left = certificate.days_left(now_s()).unwrap_or_default();
                log::info!("read the certificate again: it counts for {left} days");
                tls.replace(certificate);
            }
            Ok(None) => {}
            Err(why) => log::error!("keeping the old certificate: {why}"),
        }
    }

    /// Whether it has TLS.
    pub fn is_sealed(&self) -> bool {
        self.tls.is_some()
    }

    fn listen(&self) -> io::Result<Vec<(DoorKind, Listener)>> {
        let of = |socket| match &self.tls {
            Some(tls) => Listener::sealed(socket, tls.clone()),
            None => Listener::clear(socket),
        };
        let sockets = socket::listen(&self.http.listen)?;
        for socket in &sockets {
            socket::receive_at_most(socket, HTTP_RECEIVE_BUFFER_BYTES)?;
        }
        Ok(sockets.into_iter().map(|socket| (DoorKind::Http, of(socket))).collect())
    }
}

fn now_s() -> u64 {
    clock::posix_ns() / 1_000_000_000
}

const MAKE_ONE: &str = "docs/api.md tells how to make one";

/// The certificate and its key, if herd.conf names them. One that clients will refuse is worth a warning: their clocks may
/// be right where ours is not.
fn certificate(config: &Config, http: &Http) -> Result<Option<Certificate>, ConfigError> {
    let Some((cert, key)) = &http.tls else { return Ok(None) };
    let error = |name: &str, file: &SecretFile, why: String| {
        config.error(Some(file.line), format!("http.{name} {}: {why}", file.path.display()))
    };
    let unread = |name: &'static str, file: &SecretFile, why: io::Error| match why.kind() {
        io::ErrorKind::NotFound => error(name, file, format!("{why}; {MAKE_ONE}")),
        _ => error(name, file, why.to_string()),
    };
    let chain = files::read(&cert.path, CERTIFICATE_FILE_MAX).map_err(|why| unread("tls_cert", cert, why))?;
    let secret =
        files::read_secret(&key.path, CERTIFICATE_FILE_MAX).map_err(|why| unread("tls_key", key, why))?;
    let certificate = Certificate::read(&chain, &secret).map_err(|why| match why {
        BadPem::Certificate(why) => error("tls_cert", cert, why),
        BadPem::Key(why) => error("tls_key", key, why),
    })?;
    let (path, now_s) = (cert.path.display(), now_s());
    if let Some(why) = certificate.objection(now_s) {
        log::warn!("clients will refuse the certificate of {path}: {why}");
    } else if let Some(days) = certificate.days_left(now_s).filter(|&days| days < CERTIFICATE_WARN_DAYS) {
        log::warn!("the certificate of {path} counts for {days} more days; renew it, and send SIGHUP");
    }
    if let Some((name, own)) = certificate.foreign(&http.names) {
        let own = if own.is_empty() { "no name".to_owned() } else { own.join(", ") };
        log::warn!(
            "the certificate of {path} is not for {name}, which http.names has, but for {own}: clients of that name will refuse it"
        );
    }
    Ok(Some(certificate))
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
pub fn listen(server: &Server, web: Option<&Web>) -> io::Result<Vec<(DoorKind, Listener)>> {
    let lines = socket::listen(&server.listen)?.into_iter();
    let mut all: Vec<_> = lines.map(|socket| (DoorKind::Line, Listener::clear(socket))).collect();
    if let Some(web) = web {
        all.extend(web.listen()?);
    }
    Ok(all)
}
