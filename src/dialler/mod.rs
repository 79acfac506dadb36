//! One thread a neighbour, which dials it: it keeps a connection to it and moves the bytes of `link::Talk`, or,
//! for a plain neighbour, opens a connection for each AT line. The server starts and joins them. They name
//! sockets and the clock; what is said and when is the link's. Nothing that a neighbour does or fails to do
//! reaches beyond its own thread.

mod health;
mod herd;
mod plain;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::limits::{RECONNECT_MAX_S, Timing};
use crate::link::{Ended, Kind, Link, Neighbours, Outbox, Outlet};
use crate::logging::{Sink, Wire};
use crate::net::{Events, HostPort, Poller, WAKE, socket};
use crate::node::{NeighbourId, Node};
use health::{Backoff, Health};

/// What a dialler needs to know.
pub struct DiallerSettings {
    /// The neighbour.
    pub id: NeighbourId,
    pub name: String,
    /// Where it listens.
    pub target: HostPort,
    /// Where this server listens, by which the neighbour knows it; None for a wildcard, and for a plain
    /// neighbour, which does not ask.
    pub source: Option<HostPort>,
    pub kind: Kind,
    pub write_timeout: Duration,
    pub timing: Timing,
}

/// The thread's own.
pub struct Dialler {
    link: Arc<Link>,
    target: HostPort,
    source: Option<HostPort>,
    health: Health,
    clock: Clock,
    /// When the neighbour was last dialled at once, as it had dialled.
    called_at: Option<Duration>,
    /// It waits here.
    poller: Arc<Poller>,
    wire: Wire,
}

/// The key of the connection among the poller's events.
const CONNECTION: u64 = 0;

impl Dialler {
    pub fn new(
        settings: DiallerSettings,
        node: Arc<Node>,
        neighbours: Arc<Neighbours>,
        clock: Clock,
        sink: &Arc<Sink>,
    ) -> io::Result<Dialler> {
        let DiallerSettings { id, name, target, source, kind, write_timeout, timing } = settings;
        let poller = Arc::new(Poller::new()?);
        let waker = poller.clone();
        // What was there before the start a plain neighbour gets only by `refill`.
        let (seen, _) = node.store.close_epoch();
        let outlet = Outlet::new(id, &name, kind, seen, Outbox::default(), Box::new(move || waker.wake()));
        let health = Health::new(&name, write_timeout, clock.up());
        let link = Link::new(node, neighbours, Arc::new(outlet), timing, write_timeout);
        let (link, wire) = (Arc::new(link), Wire::new(sink));
        Ok(Dialler { link, target, source, health, clock, called_at: None, poller, wire })
    }

    /// What the flood sends by.
    pub fn outlet(&self) -> Arc<Outlet> {
        self.link.outlet.clone()
    }

    /// For the operator's `top -H`.
    pub fn thread_name(&self) -> String {
        format!("link-{}", self.link.outlet.name())
    }

    /// Runs until `Outlet::stop`.
    pub fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let began = self.clock.up();
            let served =
                if self.link.outlet.kind().is_plain() { self.serve_plain() } else { self.serve_herd() };
            self.link.outlet.close();
            let Err(Served { why, has_spared }) = served else { return };
            if !self.link.outlet.is_leaving() {
                self.health.failed(&why, self.clock.up());
            }
            if has_spared {
                // There may be more such records, and the others are to arrive soon.
                backoff = Backoff::default();
            }
            let pause = backoff.next(self.clock.up() - began);
            log::debug!("next try of {} in {} ms: {why}", self.link.outlet.name(), pause.as_millis());
            if self.rest(pause) {
                return;
            }
        }
    }

    /// Dials every address of the neighbour in turn.
    fn connect(&mut self) -> io::Result<TcpStream> {
        let addresses = self.target.resolve()?;
        self.link.neighbours.update(self.link.outlet.id(), &addresses);
        let mut last = io::Error::other("no address");
        for address in addresses {
            let timeout = self.link.write_timeout;
            let source = source_for(self.source.as_ref(), &address);
            match source.and_then(|source| socket::dial(address, source, timeout)) {
                Ok(stream) => return Ok(stream),
                Err(why) => last = io::Error::new(why.kind(), format!("{address}: {why}")),
            }
        }
        Err(last)
    }

    /// Waits before the next try, or until the neighbour dials; true when the link is to stop instead.
    fn rest(&mut self, pause: Duration) -> bool {
        let (outlet, until) = (self.link.outlet.clone(), self.clock.up() + pause);
        loop {
            let left = until.saturating_sub(self.clock.up());
            let is_called = outlet.was_called() && self.may_hear_call();
            if outlet.is_stopping() || left.is_zero() || is_called {
                return outlet.is_stopping();
            }
            if self.wait(Some(left)).is_err() {
                return true;
            }
        }
    }

    /// A neighbour that dials is there, and is dialled at once; but one that dials again and again has us wait.
    fn may_hear_call(&mut self) -> bool {
        let now = self.clock.up();
        let may = self.called_at.is_none_or(|at| now.saturating_sub(at).as_secs_f64() >= RECONNECT_MAX_S);
        if may {
            self.called_at = Some(now);
        }
        may
    }

    /// Waits for news, the stop, the timeout, or the connection; says whether that may be read.
    fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut events = Events::with_capacity(2);
        self.poller.wait(&mut events, timeout)?;
        let mut is_readable = false;
        for index in 0..events.len() {
            let event = events.get(index);
            match event.key {
                WAKE => self.poller.woken(),
                _ => is_readable |= event.readable || event.broken,
            }
        }
        Ok(is_readable)
    }
}

/// How a try ended that did not end with the stop of the server.
struct Served {
    why: Ended,
    /// The neighbour closed the connection over a record that it is spared from now on.
    has_spared: bool,
}

impl From<io::Error> for Served {
    fn from(why: io::Error) -> Served {
        Served { why: why.into(), has_spared: false }
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
