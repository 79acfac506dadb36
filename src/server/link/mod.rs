//! One thread a neighbour: keeps a connection to it, sends it what the flooder offers, and what it
//! missed out of the store. Nothing a neighbour does or fails to do reaches beyond its own thread.

mod outlet;
mod plain;

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::connection::is_retry;
use super::neighbours::Neighbours;
use super::retry::{Backoff, Health};
use super::socket;
use crate::config::HostPort;
use crate::limits::STORE_BUCKETS;
use crate::logging::{Escaped, Sink, Wire};
use crate::node::Node;
use outlet::Due;
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
    pub write_timeout: Duration,
}

/// A link's thread: owns the outgoing socket.
pub struct Link {
    settings: LinkSettings,
    node: Arc<Node>,
    neighbours: Arc<Neighbours>,
    outlet: Arc<Outlet>,
    health: Health,
    /// This connection's refusals have been reported.
    refused: bool,
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
        let outlet = Arc::new(Outlet::new(index, &settings.name)?);
        let mut wire = Wire::new(&sink);
        wire.with_neighbour(&settings.name);
        let health = Health::new(&settings.name, settings.write_timeout);
        let link =
            Link { settings, node, neighbours, outlet: outlet.clone(), health, refused: false, sink, wire };
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
        match self.connect() {
            Ok(stream) => {
                let stream = Arc::new(stream);
                self.serve(&stream).map_or_else(
                    |why| {
                        // It may have stopped reading because its refusals were not read.
                        let mut said = [0; 4096];
                        let count = socket::read_now(&stream, &mut said).unwrap_or(0);
                        self.hear(&said[..count]);
                        Ended::Failed(why)
                    },
                    |()| Ended::Stopped,
                )
            }
            Err(why) => Ended::Failed(why),
        }
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

    /// Sends the store and has the flooder send whatever comes, until told to stop or the connection
    /// fails.
    fn serve(&mut self, stream: &Arc<TcpStream>) -> io::Result<()> {
        self.outlet.open();
        self.outlet.watch(stream)?;
        self.health.connected();
        self.refused = false;
        loop {
            self.send_all(Some(stream), |link, lines, logged| link.write(stream, lines, logged))?;
            self.health.caught_up();
            if self.outlet.is_stopping() {
                let _ = stream.shutdown(Shutdown::Write);
                return Ok(());
            }
            if self.outlet.wait(self.health.proven_in())? {
                self.read(stream)?;
            }
        }
    }

    /// Sends what is pending and, when the link is behind, the store, bucket by bucket.
    fn send_all(
        &mut self,
        stream: Option<&Arc<TcpStream>>,
        mut send: impl FnMut(&mut Link, &[u8], usize) -> io::Result<()>,
    ) -> io::Result<()> {
        loop {
            match self.outlet.next(stream) {
                Due::Nothing => return Ok(()),
                Due::Lines { bytes, logged } => send(self, &bytes, logged)?,
                Due::Store => {
                    let mut lines = Vec::new();
                    for bucket in 0..STORE_BUCKETS {
                        lines.clear();
                        self.node.store.copy_bucket(bucket, &mut lines);
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
        })
    }

    fn read(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut said = [0; 4096];
        match socket::read_now(stream, &mut said) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the link")),
            Ok(count) => {
                self.hear(&said[..count]);
                Ok(())
            }
            Err(why) if is_retry(&why) => Ok(()),
            Err(why) => Err(why),
        }
    }

    /// A neighbour says nothing on this connection, unless it refuses what it gets: logged once.
    fn hear(&mut self, said: &[u8]) {
        if said.is_empty() || std::mem::replace(&mut self.refused, true) {
            return;
        }
        log::warn!(
            "{} refuses our AT lines: its herd.conf must have us as a neighbour, at the address we dial from; \
             it said: {}",
            self.settings.name,
            Escaped(said.split(|&byte| byte == b'\n').next().unwrap_or_default())
        );
    }
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
