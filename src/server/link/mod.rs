//! One thread a neighbour: keeps a connection to it, sends it what the flooder offers, and what it
//! missed out of the store. Nothing a neighbour does or fails to do reaches beyond its own thread.

mod outlet;
mod plain;

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use memchr::memchr;

use super::connection::is_retry;
use super::keeper::digest;
use super::neighbours::Neighbours;
use super::retry::{Backoff, Health};
use super::socket;
use crate::config::HostPort;
use crate::digest::Digest;
use crate::limits::{DIGEST_WAIT_S, HANDSHAKE_S, LINK_LINE_MAX, LINK_SILENCE_S, STORE_BUCKETS};
use crate::link::{Dialer, Due, Heard, Session, Welcome};
use crate::logging::{Escaped, Sink, Wire};
use crate::node::Node;
use crate::protocol::link::Verb;
pub use outlet::Outlet;

/// What a link needs to know.
pub struct LinkSettings {
    /// The neighbour.
    pub name: String,
    /// Where it listens.
    pub target: HostPort,
    /// Where this server listens, by which the neighbour knows it; nothing for a wildcard, and for
    /// one of another make, which does not ask.
    pub source: Option<HostPort>,
    /// Of another make: a fresh connection per AT line, closed after it.
    pub plain: bool,
    /// A plain one gets the whole store on every return.
    pub refill: bool,
    pub write_timeout: Duration,
}

/// A link's thread: owns the outgoing socket.
pub struct Link {
    settings: LinkSettings,
    node: Arc<Node>,
    neighbours: Arc<Neighbours>,
    outlet: Arc<Outlet>,
    health: Health,
    /// What the neighbour said and has not ended.
    input: Vec<u8>,
    /// The times of a session count from here.
    began: Instant,
    /// The connection's.
    session: Session,
    sink: Arc<Sink>,
    wire: Wire,
}

/// Why a link's connection ended.
enum Ended {
    Stopped,
    Failed(io::Error),
}

impl Link {
    pub fn new(
        index: u16,
        settings: LinkSettings,
        node: Arc<Node>,
        neighbours: Arc<Neighbours>,
        sink: Arc<Sink>,
    ) -> io::Result<(Arc<Outlet>, Link)> {
        let outlet = Arc::new({
            // What was there before the start a plain neighbour gets only by `refill`.
            let (seen, _) = node.store.close_epoch();
            Outlet::new(index, &settings.name, settings.plain, seen)?
        });
        let mut wire = Wire::new(&sink);
        wire.with_neighbour(&settings.name);
        let health = Health::new(&settings.name, settings.write_timeout);
        let link = Link {
            settings,
            node,
            neighbours,
            outlet: outlet.clone(),
            health,
            input: Vec::new(),
            began: Instant::now(),
            session: Session::new(Duration::ZERO),
            sink,
            wire,
        };
        Ok((outlet, link))
    }

    /// For the operator's `top -H`.
    pub fn thread_name(&self) -> String {
        format!("link-{}", self.settings.name)
    }

    /// Runs until `Outlet::stop`.
    pub fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let ended = if self.settings.plain { self.serve_plain() } else { self.connect_and_serve() };
            self.outlet.close();
            match ended {
                Ended::Stopped => return,
                Ended::Failed(why) => self.health.failed(&why),
            }
            let pause = backoff.next(began.elapsed());
            log::debug!("next try of {} in {} ms", self.settings.name, pause.as_millis());
            if self.rest(pause) {
                return;
            }
        }
    }

    /// Waits before the next try; true when the link is to stop instead.
    fn rest(&mut self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.outlet.is_stopping() || left.is_zero() {
                return self.outlet.is_stopping();
            }
            if self.outlet.wait(Some(left)).is_err() {
                return true;
            }
        }
    }

    fn connect_and_serve(&mut self) -> Ended {
        let served = self.connect().and_then(|stream| {
            let stream = Arc::new(stream);
            self.input.clear();
            self.serve(&stream).inspect_err(|_| {
                // It may have closed because it refused us, and said so.
                let _ = self.read(&stream);
            })
        });
        served.map_or_else(Ended::Failed, |()| Ended::Stopped)
    }

    /// Dials every address of the neighbour in turn.
    fn connect(&mut self) -> io::Result<TcpStream> {
        let addresses = self.settings.target.resolve()?;
        self.neighbours.update(self.outlet.index(), &addresses);
        let mut last = io::Error::other("no address");
        for address in addresses {
            let timeout = self.settings.write_timeout;
            let source = source_for(self.settings.source.as_ref(), &address);
            match source.and_then(|source| socket::dial(address, source, timeout)) {
                Ok(stream) => return Ok(stream),
                Err(why) => last = io::Error::new(why.kind(), format!("{address}: {why}")),
            }
        }
        Err(last)
    }

    /// Opens the link, sends what the neighbour lacks and has the flooder send whatever comes, until
    /// told to stop or the connection fails.
    fn serve(&mut self, stream: &Arc<TcpStream>) -> io::Result<()> {
        self.outlet.watch(stream)?;
        self.session = Session::new(self.now());
        let Some(welcome) = self.greet(stream)? else { return Ok(()) };
        self.outlet.open(Some(stream.clone()), welcome.incarnation, welcome.seen);
        if welcome.seen == 0 && welcome.count > 0 && self.node.store.count() > 0 {
            self.narrow(stream)?;
        }
        self.health.connected();
        self.session.alive(self.now());
        loop {
            self.send_all(|link, lines, logged| link.write(stream, lines, logged))?;
            self.health.caught_up();
            if self.outlet.is_stopping() {
                let _ = stream.shutdown(Shutdown::Write);
                return Ok(());
            }
            self.compare_when_quiet();
            let timeout = self.health.proven_in().unwrap_or(LOOK).min(LOOK);
            if self.outlet.wait(Some(timeout))? {
                self.read(stream)?;
            }
            if self.session.is_silent(self.now()) {
                let why = format!("it said nothing for {LINK_SILENCE_S} s");
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }

    /// The exchange that opens the link; nothing when it is to stop before.
    fn greet(&mut self, stream: &TcpStream) -> io::Result<Option<Welcome>> {
        let mut said = Vec::new();
        let (neighbours, index) = (self.neighbours.clone(), self.outlet.index());
        let dialer = Dialer::greet(&neighbours.own, socket::random()?, &mut said);
        say(stream, &said)?;
        let until = Instant::now() + Duration::from_secs(HANDSHAKE_S);
        let Some(line) = self.next_line(stream, until)? else {
            return if self.outlet.is_stopping() { Ok(None) } else { Err(late("it does not answer HERD")) };
        };
        said.clear();
        let keys = neighbours.keys(Some(index));
        let welcome = dialer.answer(&line, &neighbours.own, &self.settings.name, &keys, &mut said);
        let welcome = welcome.map_err(|why| io::Error::other(why.reason()))?;
        say(stream, &said)?;
        Ok(Some(welcome))
    }

    /// Finds out what a neighbour lacks that knows a good deal, but not from this start of ours: the
    /// parts in which its digest differs. Without an answer it gets everything.
    fn narrow(&mut self, stream: &TcpStream) -> io::Result<()> {
        say(stream, &ask())?;
        let until = Instant::now() + Duration::from_secs(DIGEST_WAIT_S);
        loop {
            let Some(line) = self.next_line(stream, until)? else { return Ok(()) };
            if let Some(theirs) = self.hear(&line) {
                self.outlet.narrow(digest(&self.node).differing(&theirs));
                return Ok(());
            }
        }
    }

    fn compare_when_quiet(&mut self) {
        if self.session.asks(self.node.store.news(), self.now()) {
            // The flooder may be writing, too, so it is offered like news.
            self.outlet.offer(&ask(), None, &mut self.wire);
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// The next line of the neighbour; nothing when it takes too long or the link is to stop.
    fn next_line(&mut self, stream: &TcpStream, until: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.outlet.is_stopping() || left.is_zero() {
                return Ok(None);
            }
            if self.outlet.wait(Some(left))? {
                self.fill(stream)?;
            }
        }
    }

    /// Sends what is pending and, when the link is behind, the store, bucket by bucket.
    fn send_all(
        &mut self,
        mut send: impl FnMut(&mut Link, &[u8], usize) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            match self.outlet.next() {
                Due::Nothing => return Ok(()),
                Due::Lines { bytes, logged } => send(self, &bytes, logged)?,
                Due::Store(wanted) => {
                    let mut lines = Vec::new();
                    for bucket in 0..STORE_BUCKETS {
                        lines.clear();
                        self.node.store.copy_bucket(bucket, &wanted, &mut lines);
                        if !lines.is_empty() {
                            send(self, &lines, 0)?;
                        }
                    }
                }
            }
        }
    }

    /// Sends lines, of which the first bytes are in the log already.
    fn write(&mut self, mut stream: &TcpStream, lines: &[u8], logged: usize) -> io::Result<()> {
        self.wire.at(socket::posix_ns());
        self.wire.sent_all(&lines[logged..]);
        self.wire.commit(&self.sink);
        stream.write_all(lines).map_err(|why| match why.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let timeout_s = self.settings.write_timeout.as_secs();
                io::Error::new(io::ErrorKind::TimedOut, format!("it took nothing for {timeout_s} s"))
            }
            _ => why,
        })?;
        // It takes what it is sent, whether or not it finds time to say so.
        self.session.alive(self.now());
        Ok(())
    }

    /// Reads what the neighbour says and acts on it.
    fn read(&mut self, stream: &TcpStream) -> io::Result<()> {
        let filled = self.fill(stream);
        while let Some(line) = self.take_line() {
            if let Some(theirs) = self.hear(&line) {
                self.mend(&theirs);
            }
        }
        filled
    }

    /// Reads what is there.
    fn fill(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut said = [0; 4096];
        match socket::read_now(stream, &mut said) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the link")),
            Ok(count) => {
                self.session.alive(self.now());
                self.input.extend_from_slice(&said[..count]);
                if self.input.len() > LINK_LINE_MAX && !self.input.contains(&b'\n') {
                    return Err(io::Error::other("it says a line without end"));
                }
                Ok(())
            }
            Err(why) if is_retry(&why) => Ok(()),
            Err(why) => Err(why),
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = memchr(b'\n', &self.input)?;
        let rest = self.input.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.input, rest);
        line.pop();
        Some(line)
    }

    /// Takes note of a line; returns the digest, if it is one.
    fn hear(&mut self, line: &[u8]) -> Option<Digest> {
        let name = &self.settings.name;
        match self.session.hear(line, self.began.elapsed()) {
            Heard::Nothing => {}
            Heard::Seen(epoch) => self.outlet.seen(epoch),
            Heard::Digest(theirs) => return Some(theirs),
            Heard::Refusal => log::warn!(
                "{name} refuses what we send; is it the same herd.conf on both sides? It said: {}",
                Escaped(line)
            ),
        }
        None
    }

    /// Has what differs sent; the neighbour does the same on its own link.
    fn mend(&mut self, theirs: &Digest) {
        let own = digest(&self.node);
        if let Some(parts) = self.session.compare(&own, theirs, self.node.store.news()) {
            let (name, count) = (&self.settings.name, own.count);
            log::info!(
                "{name} knows {} clients and we {count}, or others: sending what differs",
                theirs.count
            );
            self.outlet.repair(parts);
        }
    }
}

/// How often an open link looks after itself.
const LOOK: Duration = Duration::from_secs(1);

/// Says lines while nobody else writes.
fn say(mut stream: &TcpStream, lines: &[u8]) -> io::Result<()> {
    stream.write_all(lines)
}

fn ask() -> Vec<u8> {
    let mut line = Vec::new();
    Verb::Ask.write(&mut line);
    line
}

fn late(why: &str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{why} for {HANDSHAKE_S} s"))
}

/// This server's own address of the target's family, by which the neighbour recognises it.
fn source_for(own: Option<&HostPort>, target: &SocketAddr) -> io::Result<Option<IpAddr>> {
    let Some(own) = own else { return Ok(None) };
    let addresses = own.resolve()?;
    let fitting = addresses.iter().map(SocketAddr::ip).find(|ip| ip.is_ipv4() == target.is_ipv4());
    fitting.map(Some).ok_or_else(|| {
        let family = if target.is_ipv4() { "IPv4" } else { "IPv6" };
        io::Error::other(format!("{} has no {family} address by which it would know us", own.host))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_dialled_from_the_address_the_neighbour_knows() {
        let own = HostPort::parse("127.0.0.1:1").expect("valid");
        let source = |own: Option<&HostPort>, target: &str| {
            source_for(own, &target.parse().expect("an address")).map_err(|why| why.to_string())
        };
        assert_eq!(source(Some(&own), "127.0.0.2:5"), Ok(Some([127, 0, 0, 1].into())));
        assert_eq!(source(None, "[::1]:5"), Ok(None));
        let why = source(Some(&own), "[::1]:5").expect_err("no such address");
        assert!(why.starts_with("127.0.0.1 has no IPv6 address"), "{why}");
    }
}
