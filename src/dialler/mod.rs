//! One thread a neighbour, which dials it: it goes along the link's course with a connection to it, or, for a plain
//! neighbour, opens a connection for each AT line. The server starts and joins them. They name sockets and the
//! clock; what is said and when is the link's, when it is dialled the course's. Nothing that a neighbour does or
//! fails to do reaches beyond its own thread.

mod backbone;
mod course;
#[cfg(feature = "backbone")]
mod engine;
mod engine_settings;
mod health;
mod plain;
mod route;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::limits::Timing;
use crate::link::{Kind, Link, Neighbours, Outbox, Outlet};
use crate::logging::{Sink, Wire};
use crate::net::{Events, HostPort, Interest, Poller, WAKE, socket};
use crate::node::{NeighbourId, Node};
pub use backbone::{Backbone, Ending};
pub use course::{Course, Next};
pub use engine_settings::EngineSettings;
pub use route::{Ends, Route};

/// What a dialler needs to know.
pub struct DiallerSettings {
    /// The neighbour.
    pub id: NeighbourId,
    pub name: String,
    pub ends: Ends,
    pub kind: Kind,
    pub write_timeout: Duration,
    pub timing: Timing,
}

/// The thread's own.
pub struct Dialler {
    course: Course,
    route: Arc<Route>,
    clock: Clock,
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
        let DiallerSettings { id, name, ends, kind, write_timeout, timing } = settings;
        let poller = Arc::new(Poller::new()?);
        let waker = poller.clone();
        // What was there before the start a plain neighbour gets only by `refill`.
        let outlet = Outlet::new(id, &name, kind, Outbox::default(), Box::new(move || waker.wake()));
        let link = Link::new(node, neighbours, Arc::new(outlet), timing, write_timeout);
        let (course, wire) = (Course::new(Arc::new(link), clock.up()), Wire::new(sink));
        Ok(Dialler { course, route: Arc::new(Route::new(ends)), clock, poller, wire })
    }

    /// What the flood sends by.
    pub fn outlet(&self) -> Arc<Outlet> {
        self.link().outlet.clone()
    }

    /// Where it dials, which may be changed.
    pub fn route(&self) -> Arc<Route> {
        self.route.clone()
    }

    /// For the operator's `top -H`.
    pub fn thread_name(&self) -> String {
        format!("link-{}", self.link().outlet.name())
    }

    fn link(&self) -> &Link {
        self.course.link()
    }

    /// Runs until `Outlet::stop`.
    pub fn run(mut self) {
        let mut connection = None;
        let mut is_readable = false;
        loop {
            let next = self.course.go_on(is_readable, self.clock.now(), &mut self.wire);
            connection = connection.filter(|_| matches!(next, Next::Serve { .. }));
            let done = match next {
                Next::Stop => return,
                Next::Dial if self.link().outlet.kind().is_plain() => match self.serve_plain() {
                    Ok(()) => return self.link().outlet.close(),
                    Err(why) => Err(why),
                },
                Next::Dial => self.dial().map(|stream| {
                    connection = Some((stream, Interest::Readable));
                    false
                }),
                Next::Serve { interest, until } => {
                    self.watch(&mut connection, interest).and_then(|()| self.wait_until(until))
                }
                Next::Rest { until } => self.wait_until(until),
            };
            is_readable = done.unwrap_or_else(|why| {
                self.course.failed(&why.into(), self.clock.up());
                false
            });
        }
    }

    /// A connection to the neighbour, on which the link has begun.
    fn dial(&mut self) -> io::Result<Arc<TcpStream>> {
        let stream = Arc::new(self.connect()?);
        self.poller.add(&*stream, CONNECTION, Interest::Readable)?;
        let peer = stream.peer_addr().ok();
        self.course.begin(stream.clone(), peer, self.clock.now());
        Ok(stream)
    }

    /// Has the poller report what is of interest of the connection.
    fn watch(&self, connection: &mut Option<(Arc<TcpStream>, Interest)>, wanted: Interest) -> io::Result<()> {
        let Some((stream, watched)) = connection else { return Ok(()) };
        if *watched != wanted {
            self.poller.modify(&**stream, CONNECTION, wanted)?;
            *watched = wanted;
        }
        Ok(())
    }

    /// Dials every address of the neighbour in turn.
    fn connect(&mut self) -> io::Result<TcpStream> {
        let Ends { target, source } = self.route.ends();
        let addresses = target.resolve()?;
        if self.link().outlet.is_stopping() && !self.link().neighbours.has(self.link().outlet.id()) {
            return Err(io::Error::other("it is no neighbour any more"));
        }
        self.link().neighbours.update(self.link().outlet.id(), &addresses);
        let mut last = io::Error::other("no address");
        for address in addresses {
            let timeout = self.link().outlet.write_timeout();
            let source = source_for(source.as_ref(), &address);
            match source.and_then(|source| socket::dial(address, source, timeout)) {
                Ok(stream) => return Ok(stream),
                Err(why) => last = io::Error::new(why.kind(), format!("{address}: {why}")),
            }
        }
        Err(last)
    }

    fn wait_until(&self, until: Duration) -> io::Result<bool> {
        self.wait(Some(until.saturating_sub(self.clock.up())))
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
