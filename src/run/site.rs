//! The site of a server: what its door for HTTP serves, with the tokens and the certificate from the files that herd.conf
//! names. A server calls it at its start and at SIGHUP, `--check` calls it once.

use std::sync::Arc;
use std::{io, str};

use crate::config::{Config, ConfigError, Http, SecretFile, Server};
use crate::door::DoorKind;
use crate::door::http::{Member, Site, Tiles, Tokens};
use crate::files::who;
use crate::limits::{
    CERTIFICATE_FILE_MAX, CERTIFICATE_WARN_DAYS, HTTP_RECEIVE_BUFFER_BYTES, PHONES_IDLE, TOKENS_FILE_MAX,
};
use crate::net::socket::Spare;
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

/// What a server is to serve by HTTP, as it was read.
pub struct NextWeb {
    http: Http,
    site: Site,
    /// How many tokens there are; None where none is needed.
    tokens: Option<usize>,
    certificate: Option<Certificate>,
}

fn member(config: &Config, server: &Server) -> Member {
    let neighbours = server.neighbours.iter().map(|&index| config.servers[index].name.clone()).collect();
    Member { name: server.name.clone(), neighbours }
}

impl NextWeb {
    /// None for a server that serves nothing. Its map is labelled with these places.
    ///
    /// # Errors
    /// The file with its tokens, its certificate or its key is missing, can be read by others than its owner, or is of
    /// no use.
    pub fn of_server(
        config: &Config,
        server: &Server,
        places: Option<Arc<dyn Places>>,
    ) -> Result<Option<NextWeb>, ConfigError> {
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
        let tokens = tokens(config, &http)?;
        let count = tokens.as_ref().map(Tokens::len);
        let mut site = Site::new(names, allow_origins, max_ahead_ns, tokens);
        site.ready_after = http.ready_after;
        site.places = places;
        site.members = config.servers.iter().map(|server| member(config, server)).collect();
        site.tiles = server.tiles.clone().map(|tiles| {
            let crate::config::Tiles { url, origin, attribution } = tiles;
            Tiles { url, origin, attribution }
        });
        let certificate = certificate(config, &http)?;
        Ok(Some(NextWeb { http, site, tokens: count, certificate }))
    }

    /// Of a server that starts.
    pub fn begin(self) -> Web {
        let tls = self.certificate.map(|certificate| Arc::new(Tls::new(certificate)));
        Web { http: self.http, site: Arc::new(self.site), tls }
    }

    /// In the place of what it serves, on the same sockets.
    pub fn follow(self, before: &Web) -> Web {
        if let Some(tokens) = self.tokens {
            log::info!("read the tokens again: {tokens}");
        }
        if let (Some(tls), Some(certificate)) = (&before.tls, self.certificate) {
            let left = certificate.days_left(now_s()).unwrap_or_default();
            log::info!("read the certificate again: it counts for {left} days");
            tls.replace(certificate);
        }
        let site = Arc::new(self.site.following(&before.site));
        Web { http: self.http, site, tls: before.tls.clone() }
    }
}

impl Web {
    /// Whether it has TLS.
    pub fn is_sealed(&self) -> bool {
        self.tls.is_some()
    }

    fn listen(&self, spare: &mut Spare) -> io::Result<Vec<(DoorKind, Listener)>> {
        let of = |socket| match &self.tls {
            Some(tls) => Listener::sealed(socket, tls.clone()),
            None => Listener::clear(socket),
        };
        let sockets = socket::listen(DoorKind::Http.name(), &self.http.listen, spare)?;
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
    let chain = files::read(&cert.path, CERTIFICATE_FILE_MAX)
        .map_err(|why| unread("tls_cert", cert, who::unreadable(&cert.path, why)))?;
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
            let path = path.display();
            error(format!("{why}; make one with `(umask 077; touch {path})`, as the user that herd runs as"))
        }
        _ => error(why.to_string()),
    })?;
    let text = str::from_utf8(&bytes).map_err(|_| error("it is no UTF-8".into()))?;
    Tokens::parse(text).map(Some).map_err(|why| error(why.to_string()))
}

/// Listens where a server is to, on all of its doors, by spare sockets where there are any.
///
/// # Errors
/// The system does not let it.
pub fn listen(
    server: &Server,
    web: Option<&Web>,
    spare: &mut Spare,
) -> io::Result<Vec<(DoorKind, Listener)>> {
    let lines = socket::listen(DoorKind::Line.name(), &server.listen, spare)?.into_iter();
    let mut all: Vec<_> = lines.map(|socket| (DoorKind::Line, Listener::clear(socket))).collect();
    if let Some(web) = web {
        all.extend(web.listen(spare)?);
    }
    Ok(all)
}
