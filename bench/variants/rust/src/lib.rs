//! What the Rust variants share with herd and with each other: herd's own protocol and store. So
//! what is compared is how connections are served, not how fast a time is parsed. A variant is one
//! file of `bin/` and one of `asynchronous.rs` or `blocking.rs`.
#![forbid(unsafe_code)]

pub mod asynchronous;
pub mod batched;
pub mod blocking;
pub mod kept;
pub mod places;
pub mod watching;

use std::net::IpAddr;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use herd::config::Config;
use herd::link::{Peer, PeerKind};
use herd::node::{Bounds, Heard, News, Node};
use herd::places::Lookup;
use herd::protocol::{Command, Query, Record, Reply, Report, line};
use herd::store::{Learned, Walk};

/// Bytes of a line without its newline; one that is longer is refused and the connection closed.
pub const MAX_LINE: usize = 4_096;

/// The same for the AT line of a neighbour.
pub const AT_LINE_MAX: usize = 2 * MAX_LINE;

/// News that may wait for a neighbour; when it is full, the neighbour gets the whole store again.
pub const QUEUE: usize = 10_000;

/// One server of herd.conf.
pub struct Herd {
    pub node: Arc<Node>,
    /// herd.conf, and which of its servers this is.
    pub config: Config,
    pub own: usize,
    pub listen: String,
    /// Where it serves HTTP.
    pub http: Option<String>,
    /// Where its neighbours listen.
    pub neighbours: Vec<String>,
    pub places: places::Settings,
    peers: Vec<IpAddr>,
}

/// What becomes of a line.
pub enum Outcome {
    /// The reply, if one is due, is in the output.
    Replied,
    /// The places are to be asked first; then the line and the JSON are the reply.
    Nearby(Nearby),
}

/// The first half of the reply to a query, and what to ask for the second.
pub struct Nearby {
    /// The stored AT line with its newline.
    pub line: Vec<u8>,
    pub lookup: Lookup,
}

impl Herd {
    /// Reads the arguments `NAME CONFIG`.
    ///
    /// # Errors
    /// They are not two, or the config is not valid; said on stderr by the exit status' owner.
    pub fn from_args() -> Result<Herd, ExitCode> {
        let arguments: Vec<_> =
            std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
        let [name, path] = &arguments[..] else {
            eprintln!("usage: VARIANT NAME CONFIG");
            return Err(ExitCode::from(64));
        };
        let opened = Config::load(Path::new(path)).map_err(|why| why.to_string());
        // Who has an R-tree of its own needs no index.
        let is_indexed = !std::env::args().any(|argument| argument == "--rstar");
        let herd = opened.and_then(|config| Herd::of(config, name, is_indexed));
        herd.map_err(|why| {
            eprintln!("{why}");
            ExitCode::from(78)
        })
    }

    fn of(config: Config, name: &str, is_indexed: bool) -> Result<Herd, String> {
        let index = config.find(name).ok_or_else(|| format!("no server {name:?}"))?;
        let own = &config.servers[index];
        let neighbours = own.neighbours.iter().map(|&other| config.servers[other].address.to_string());
        let peers = own.neighbours.iter().filter_map(|&other| config.servers[other].address.ip());
        Ok(Herd {
            node: Arc::new(Node::new(name, Bounds { is_indexed, ..Bounds::default() })),
            listen: own.listen.to_string(),
            http: own.http.as_ref().map(|http| http.listen.to_string()),
            neighbours: neighbours.collect(),
            peers: peers.collect(),
            places: places::Settings::new(&config.places),
            own: index,
            config,
        })
    }

    /// Who dials from an address: on loopback any neighbour, so news goes to all of them.
    pub fn peer(&self, address: IpAddr) -> Peer {
        let address = address.to_canonical();
        let is_neighbour = self.peers.contains(&address);
        let kind = if is_neighbour {
            PeerKind::Neighbour { id: None, may_be_plain: false }
        } else {
            PeerKind::Stranger
        };
        Peer { address, kind, is_at_home: address.is_loopback() }
    }

    /// Answers one line without its newline, and adds to `news` what the neighbours must hear
    /// before the reply is written.
    pub fn answer(
        &self,
        text: &[u8],
        terminated: bool,
        peer: Peer,
        out: &mut Vec<u8>,
        news: &mut News,
    ) -> Outcome {
        let shown = if terminated { line::without_cr(text) } else { text };
        let is_neighbour = peer.kind != PeerKind::Stranger;
        let answered = match Command::parse(text) {
            Ok(Command::Blank) => true,
            Ok(Command::Iamat(report)) => self.report(&report, out, news),
            Ok(Command::Whatsat(query)) => match self.find(&query) {
                Some(nearby) => return Outcome::Nearby(nearby),
                None => false,
            },
            Ok(Command::At(fields)) if is_neighbour => {
                let mut line = Vec::new();
                let record = Record::write(&fields, &mut line);
                if terminated && self.node.hear(&record, now_ns()) == Heard::News {
                    news.add_heard(&record, None);
                }
                true
            }
            // These servers know no links but plain AT lines, find nobody, and are watched by nobody.
            Ok(Command::At(_) | Command::Link(_) | Command::Near(_) | Command::Count | Command::Watch(_)) => {
                false
            }
            Err(invalid) => invalid.is_at && is_neighbour,
        };
        if !answered {
            Reply::Refused(shown).write(out);
        }
        Outcome::Replied
    }

    fn report(&self, report: &Report<'_>, out: &mut Vec<u8>, news: &mut News) -> bool {
        let mut line = Vec::new();
        let Ok((record, learned)) = self.node.report(report, now_ns(), &mut line) else { return false };
        if learned == Learned::News {
            news.add_report(&record);
        }
        Reply::At(record.line()).write(out);
        true
    }

    fn find(&self, query: &Query<'_>) -> Option<Nearby> {
        let found = self.node.find(query.client)?;
        let lookup = Lookup {
            latitude_deg: found.latitude_deg,
            longitude_deg: found.longitude_deg,
            radius_m: query.radius_m,
            bound: query.bound,
        };
        Some(Nearby { line: [&found.record[..], b"\n"].concat(), lookup })
    }

    /// The whole store as AT lines, for a neighbour that has just been connected.
    pub fn store(&self) -> Vec<u8> {
        let (mut lines, mut walk) = (Vec::new(), Walk::all());
        while walk.step(&self.node.store, &mut lines) {}
        lines
    }

    /// Says that connections are taken now.
    pub fn ready(&self, address: std::net::SocketAddr) {
        println!("{} listens on {address}", self.node.name());
    }
}

/// The reply to a line that is too long.
pub fn too_long(line: &[u8]) -> Vec<u8> {
    [b"? ", &line[..MAX_LINE], b"\n"].concat()
}

/// Whether a line, or the front of one, is longer than this peer's may be. A neighbour's AT line has
/// a name and a difference more than the client's line it tells of.
pub fn is_too_long(text: &[u8], peer: Peer) -> bool {
    let is_at = peer.kind != PeerKind::Stranger && text.starts_with(b"AT ");
    let max = if is_at { AT_LINE_MAX } else { MAX_LINE };
    text.strip_suffix(b"\r").unwrap_or(text).len() > max
}

pub(crate) fn now_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
