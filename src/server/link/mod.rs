//! One thread a neighbour: keeps a connection to it, sends it what the flooder offers, and what it
//! missed out of the store. Nothing a neighbour does or fails to do reaches beyond its own thread.

mod outlet;
mod plain;
mod talk;

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::neighbours::Neighbours;
use super::retry::{Backoff, Health};
use super::socket;
use super::tally::Tally;
use crate::limits::Timing;
use crate::link::{Due, Meter, Session};
use crate::logging::{Sink, Wire};
use crate::net::HostPort;
use crate::node::Node;
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
    pub timing: Timing,
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
    meter: Meter,
    /// Which of the neighbour's starts is at its other end.
    incarnation: u64,
    /// Where it leads to, once it stands.
    peer: Option<SocketAddr>,
    /// What the neighbour's clock is asked at, if it tells.
    ask_time_at: Option<Duration>,
    /// Records that the neighbour closed the link over, and whether the last link ended so.
    spared: Tally,
    has_spared: bool,
    /// The last thing it said was that it refuses this.
    last_refused: Option<Vec<u8>>,
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
        let session = Session::new(settings.timing, Duration::ZERO);
        let link = Link {
            settings,
            node,
            neighbours,
            outlet: outlet.clone(),
            health,
            input: Vec::new(),
            began: Instant::now(),
            session,
            meter: Meter::default(),
            incarnation: 0,
            peer: None,
            ask_time_at: None,
            spared: Tally::with_rest(Duration::from_secs(60)),
            has_spared: false,
            last_refused: None,
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
            let Ended::Failed(why) = ended else { return };
            if !self.outlet.is_leaving() {
                self.health.failed(&why);
            }
            if std::mem::take(&mut self.has_spared) {
                backoff = Backoff::default();
            }
            let pause = backoff.next(began.elapsed());
            log::debug!("next try of {} in {} ms: {why}", self.settings.name, pause.as_millis());
            if self.outlet.rest(pause) {
                return;
            }
        }
    }

    fn connect_and_serve(&mut self) -> Ended {
        let served = self.connect().and_then(|stream| {
            let stream = Arc::new(stream);
            self.input.clear();
            self.serve(&stream).map_err(|why| {
                // It may have closed because it refused us, and said so.
                let said = self.read(&stream).err().filter(|said| said.kind() == io::ErrorKind::Other);
                self.spare_refused();
                said.unwrap_or(why)
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
        self.session = Session::new(self.settings.timing, self.now());
        (self.meter, self.last_refused) = (Meter::default(), None);
        self.peer = stream.peer_addr().ok();
        let Some(welcome) = self.greet(stream)? else { return Ok(()) };
        self.incarnation = welcome.incarnation;
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
            self.ask_time_when_due();
            let timeout =
                self.health.proven_in().unwrap_or(LOOK).min(LOOK).min(self.settings.timing.heartbeat);
            if self.outlet.wait(Some(timeout))? {
                self.read(stream)?;
            }
            if self.session.is_silent(self.now()) {
                let why = format!("it said nothing for {} s", self.settings.timing.silence().as_secs_f64());
                return Err(io::Error::new(io::ErrorKind::TimedOut, why));
            }
        }
    }

    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Sends what is pending and, when the link is behind, the store, bucket by bucket.
    fn send_all(
        &mut self,
        mut send: impl FnMut(&mut Link, &[u8], usize) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            match self.outlet.next() {
                Due::Nothing => return Ok(()),
                Due::Lines { bytes, logged } => {
                    // Of those that wait behind the rest of a line each is whole.
                    let taken = self.outlet.taken(&bytes);
                    send(self, &taken, logged.min(taken.len()))?;
                }
                Due::Store(wanted) => {
                    let mut lines = Vec::new();
                    for bucket in self.node.store.buckets() {
                        lines.clear();
                        self.node.store.copy_bucket(bucket, &wanted, &mut lines);
                        let taken = self.outlet.taken(&lines);
                        if !taken.is_empty() {
                            send(self, &taken, 0)?;
                        }
                    }
                }
            }
        }
    }

    /// Sends lines, of which the first bytes are in the log already.
    fn write(&mut self, mut stream: &TcpStream, lines: &[u8], logged: usize) -> io::Result<()> {
        self.wire.at(socket::posix_ns());
        self.wire.flooded(&lines[logged..]);
        self.wire.commit(&self.sink);
        // It is not waited for longer than for a word of it.
        let timeout = self.settings.write_timeout.min(self.session.patience(self.now()));
        let timeout = timeout.max(Duration::from_millis(1));
        stream.set_write_timeout(Some(timeout))?;
        stream.write_all(lines).map_err(|why| match why.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let why = format!("it took nothing for {} s", timeout.as_secs_f64().ceil());
                io::Error::new(io::ErrorKind::TimedOut, why)
            }
            _ => why,
        })?;
        // It takes what it is sent, whether or not it finds time to say so.
        self.session.alive(self.now());
        Ok(())
    }
}

/// How often an open link looks after itself.
const LOOK: Duration = Duration::from_secs(1);

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
