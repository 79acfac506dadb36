//! What one server's doors for HTTP serve, and to whom: the same for all of its connections.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use super::guesses::{Guesses, Verdict};
use super::head::Head;
use super::tokens::{Scopes, Tokens, mark, shown};
use crate::limits::{
    HTTP_READY_AFTER_S, PHONE_BODIES_BYTES, PHONE_SAY_AGAIN_S, PHONES_SAID_LOOK_S, PHONES_SAID_MAX,
};
use crate::node::Clients;
use crate::places::Places;

/// Pictures for the map page, of a tile server of the operator's.
#[derive(Clone, Debug)]
pub struct Tiles {
    /// With `{z}`, `{x}` and `{y}`.
    pub url: String,
    /// The one that the page may load pictures from, beside its own.
    pub origin: String,
    pub attribution: String,
}

/// A server of herd.conf.
#[derive(Clone, Debug)]
pub struct Member {
    pub name: String,
    /// The names of its neighbours.
    pub neighbours: Vec<String>,
}

/// The site of a server.
pub struct Site {
    /// Names by which it may be called, beside numeric addresses and localhost.
    pub names: Vec<String>,
    /// Web pages of elsewhere that may use it, like `https://map.example`.
    pub allow_origins: Vec<String>,
    /// How far ahead of this server's clock a report's time may be, in ns.
    pub max_ahead_ns: u64,
    /// How long after its start the server waits for its neighbours before it says that it is ready.
    pub ready_after: Duration,
    pub tiles: Option<Tiles>,
    /// All servers of herd.conf, in the order of the file.
    pub members: Vec<Member>,
    /// What the map is labelled with; None for nothing.
    pub places: Option<Arc<dyn Places>>,
    visitors: Arc<Visitors>,
}

/// Who comes to a site, and may. It goes on when what is served is read anew.
struct Visitors {
    /// Who may do what; None for a site that needs no token.
    tokens: RwLock<Option<Arc<Tokens>>>,
    /// How often they were read anew.
    generation: AtomicU64,
    guesses: Guesses,
    said: Mutex<Said>,
    /// Bytes of bodies that are longer than others may be.
    bodies: Arc<AtomicUsize>,
    /// Requests that wait for room for theirs.
    waiting: Arc<AtomicUsize>,
}

/// Without what asks and what is secret.
impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site").field("names", &self.names).field("tiles", &self.tiles).finish_non_exhaustive()
    }
}

/// What of phones the log has been told of.
#[derive(Debug, Default)]
struct Said {
    /// When. Bounded.
    at: HashMap<u64, Duration>,
    /// When those that are over were last looked for.
    looked: Duration,
}

/// Bytes that are kept free for a body, until it is dropped.
#[derive(Debug)]
pub struct Reserved {
    bodies: Arc<AtomicUsize>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.bodies.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// One more waits for room, until this is dropped.
#[derive(Debug)]
pub struct Waits {
    waiting: Arc<AtomicUsize>,
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why nobody is known to ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoCaller {
    Unknown,
    /// Too many wrong tokens came from there: none is looked at for so long. The first time it is worth a word.
    Guesses {
        rest: Duration,
        is_first: bool,
    },
}

/// Whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The token's name; None where none is needed.
    pub name: Option<String>,
    pub scopes: Scopes,
    pub clients: Clients,
}

impl Site {
    pub fn new(
        names: Vec<String>,
        allow_origins: Vec<String>,
        max_ahead_ns: u64,
        tokens: Option<Tokens>,
    ) -> Site {
        let ready_after = Duration::from_secs(HTTP_READY_AFTER_S);
        let visitors = Visitors {
            tokens: RwLock::new(tokens.map(Arc::new)),
            guesses: Guesses::default(),
            generation: AtomicU64::new(0),
            said: Mutex::default(),
            bodies: Arc::default(),
            waiting: Arc::default(),
        };
        Site {
            names,
            allow_origins,
            max_ahead_ns,
            ready_after,
            tiles: None,
            members: Vec::new(),
            places: None,
            visitors: Arc::new(visitors),
        }
    }

    /// The same site in the place of another one, whose visitors it has from now on. Its own tokens count for them.
    pub fn following(self, before: &Site) -> Site {
        let tokens = self.visitors.tokens().clone();
        before.visitors.replace_tokens(tokens);
        Site { visitors: before.visitors.clone(), ..self }
    }

    /// Which tokens count: another number for others.
    pub fn generation(&self) -> u64 {
        self.visitors.generation.load(Ordering::SeqCst)
    }

    /// Who a request from an address is of.
    ///
    /// # Errors
    /// A token is needed, and none that is known is shown, or none from there is looked at.
    pub fn caller(&self, head: &Head<'_>, from: IpAddr, now: Duration) -> Result<Caller, NoCaller> {
        let tokens = self.visitors.tokens().clone();
        let Some(tokens) = tokens else {
            return Ok(Caller { name: None, scopes: Scopes::ALL, clients: Clients::All });
        };
        let secrets = shown(head);
        if secrets.is_empty() {
            return Err(NoCaller::Unknown);
        }
        let found = secrets.iter().find_map(|secret| Some((tokens.find(secret)?, mark(secret))));
        let marks: Vec<_> = secrets.iter().map(|secret| mark(secret)).collect();
        match self.visitors.guesses.weigh(from, &marks, found.map(|(_, mark)| mark), now) {
            Verdict::Open => {}
            Verdict::Shut { rest, is_first } => return Err(NoCaller::Guesses { rest, is_first }),
        }
        let (token, _) = found.ok_or(NoCaller::Unknown)?;
        Ok(Caller { name: Some(token.name.clone()), scopes: token.scopes, clients: token.clients.clone() })
    }

    /// Whether a request shows a token that may write, which counts neither for nor against its address.
    pub fn may_write(&self, head: &Head<'_>) -> bool {
        let tokens = self.visitors.tokens().clone();
        let Some(tokens) = tokens else { return true };
        shown(head).iter().find_map(|secret| tokens.find(secret)).is_some_and(|token| token.scopes.write)
    }

    /// Whether the site is only for those who show a token.
    pub fn needs_token(&self) -> bool {
        self.visitors.tokens().is_some()
    }

    /// Whether the log is to be told of something that is told of once an hour.
    pub fn is_said_now(&self, what: impl Hash, now: Duration) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let hash = hasher.finish();
        let mut said = self.visitors.said.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |at: Duration| now.saturating_sub(at) >= Duration::from_secs(PHONE_SAY_AGAIN_S);
        if let Some(at) = said.at.get_mut(&hash) {
            let is_again = is_over(*at);
            *at = if is_again { now } else { *at };
            return is_again;
        }
        // Not for each one more, as a batch may have thousands of names.
        if said.at.len() >= PHONES_SAID_MAX
            && now.saturating_sub(said.looked) >= Duration::from_secs(PHONES_SAID_LOOK_S)
        {
            said.looked = now;
            said.at.retain(|_, at| !is_over(*at));
        }
        // Of as many phones as are remembered it is told; the others are counted.
        let is_new = said.at.len() < PHONES_SAID_MAX;
        if is_new {
            said.at.insert(hash, now);
        }
        is_new
    }

    /// Room for a body that is longer than others may be; None where there is none.
    pub fn reserve(&self, bytes: usize) -> Option<Reserved> {
        let bodies = &self.visitors.bodies;
        let before = bodies.fetch_add(bytes, Ordering::Relaxed);
        let reserved = Reserved { bodies: bodies.clone(), bytes };
        (before + bytes <= PHONE_BODIES_BYTES).then_some(reserved)
    }

    /// There is none for one more.
    pub fn wait(&self) -> Waits {
        self.visitors.waiting.fetch_add(1, Ordering::Relaxed);
        Waits { waiting: self.visitors.waiting.clone() }
    }

    /// Whether somebody waits for room.
    pub fn is_crowded(&self) -> bool {
        self.visitors.waiting.load(Ordering::Relaxed) > 0
    }

    /// Whether a request is for this site, and no web page's that had its own name lead here.
    pub fn answers_to(&self, host: Option<&[u8]>) -> bool {
        let Some(host) = host.and_then(|host| std::str::from_utf8(host).ok()) else { return host.is_none() };
        let name = without_port(host);
        let bare = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(name);
        bare.parse::<IpAddr>().is_ok()
            || bare.eq_ignore_ascii_case("localhost")
            || self.names.iter().any(|known| known.eq_ignore_ascii_case(bare))
    }

    /// The origin of the web page that has this sent, if it is one that may use the site. The page of the site itself
    /// needs no word.
    pub fn allowed_origin<'h>(&self, head: &Head<'h>) -> Option<&'h str> {
        let origin = std::str::from_utf8(head.field("origin")?).ok()?;
        self.allow_origins.iter().any(|allowed| allowed == origin).then_some(origin)
    }

    /// Whether a web page of elsewhere has this sent, which it may do without asking, and which is not to change anything.
    pub fn is_from_elsewhere(&self, head: &Head<'_>) -> bool {
        if self.allowed_origin(head).is_some() {
            return false;
        }
        let is_own = |origin: &[u8]| {
            let rest = origin.strip_prefix(b"http://").or_else(|| origin.strip_prefix(b"https://"));
            rest.is_some_and(|rest| head.host.is_some_and(|host| host.eq_ignore_ascii_case(rest)))
        };
        let mut sites = head.fields("sec-fetch-site");
        let mut origins = head.fields("origin");
        sites.any(|site| site != b"same-origin" && site != b"none") || origins.any(|origin| !is_own(origin))
    }
}

impl Visitors {
    fn tokens(&self) -> RwLockReadGuard<'_, Option<Arc<Tokens>>> {
        self.tokens.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has other tokens count from now on.
    fn replace_tokens(&self, tokens: Option<Arc<Tokens>>) {
        let marks = |tokens: &Option<Arc<Tokens>>| tokens.as_ref().map(|tokens| tokens.marks());
        let now = marks(&tokens);
        let before = {
            let mut known = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
            if *known != tokens {
                self.generation.fetch_add(1, Ordering::SeqCst);
            }
            std::mem::replace(&mut *known, tokens)
        };
        if marks(&before) != now {
            self.guesses.reread(&now.unwrap_or_default());
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rfind(':') {
        Some(at) if !host[at..].contains(']') => &host[..at],
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn site() -> Site {
        let tokens = Tokens::parse("anna write,read 0123456789abcdef client=anna").expect("valid");
        Site::new(vec!["herd.example".into()], vec!["https://map.example".into()], 0, Some(tokens))
    }

    fn with<T>(fields: &str, of: impl FnOnce(&Site, &Head<'_>) -> T) -> T {
        let text = format!("PUT / HTTP/1.1\r\nHost: herd.example:80\r\n{fields}\r\n");
        of(&site(), &Head::parse(text.as_bytes()).expect("a head"))
    }

    #[test]
    fn a_site_answers_to_its_names_and_to_addresses_alone() {
        let site = site();
        for host in ["herd.example", "HERD.example:80", "localhost:1", "127.0.0.1", "[::1]:80", "[::1]"] {
            assert!(site.answers_to(Some(host.as_bytes())), "{host}");
        }
        for host in ["evil.example", "", "localhost.evil.example", "herd.example.evil:80", "\u{ff}"] {
            assert!(!site.answers_to(Some(host.as_bytes())), "{host}");
        }
        assert!(site.answers_to(None), "HTTP/1.0");
    }

    #[test]
    fn a_web_page_of_elsewhere_is_told_from_everybody_else() {
        let is_from_elsewhere = |fields: &str| with(fields, |site, head| site.is_from_elsewhere(head));
        for fields in [
            "",
            "Origin: http://herd.example:80\r\nSec-Fetch-Site: same-origin\r\n",
            "Sec-Fetch-Site: none\r\n",
            "Origin: https://map.example\r\nSec-Fetch-Site: cross-site\r\n",
        ] {
            assert!(!is_from_elsewhere(fields), "{fields}");
        }
        for fields in [
            "Origin: https://evil.example\r\n",
            "Origin: null\r\n",
            "Sec-Fetch-Site: cross-site\r\n",
            "Sec-Fetch-Site: same-site\r\n",
            "Origin: http://herd.example:80\r\nOrigin: https://evil.example\r\n",
            "Origin: http://herd.example:81\r\n",
        ] {
            assert!(is_from_elsewhere(fields), "{fields}");
        }
    }

    #[test]
    fn a_caller_is_known_by_its_token() {
        let caller = |fields: &str| with(fields, |site, head| site.caller(head, HERE, Duration::ZERO));
        assert_eq!(caller(""), Err(NoCaller::Unknown));
        assert_eq!(caller("Authorization: Bearer x\r\n"), Err(NoCaller::Unknown));
        let anna = caller("Authorization: Bearer 0123456789abcdef\r\n").expect("known");
        assert!(
            anna.scopes.write
                && !anna.scopes.metrics
                && anna.clients.has(b"anna")
                && !anna.clients.has(b"bert")
        );
        let open = Site::new(Vec::new(), Vec::new(), 0, None);
        let text = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let anybody = open
            .caller(&Head::parse(text).expect("a head"), HERE, Duration::ZERO)
            .expect("no token is needed");
        assert_eq!(anybody.scopes, Scopes::ALL);
    }
}
