//! One thread a neighbour: keeps a connection to it, sends it what the flooder offers, and what it
//! missed out of the store. Nothing a neighbour does or fails to do reaches beyond its own thread.

mod plain;

use std::io::{self, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::connection::is_retry;
use super::neighbours::Neighbours;
use super::poller::{Events, Interest, Poller, WAKE};
use super::retry::{Backoff, Health};
use super::socket;
use crate::config::HostPort;
use crate::limits::{LINK_CHUNKS, STORE_BUCKETS};
use crate::logging::{Escaped, Sink, Wire};
use crate::node::Node;

/// The key of the link's socket among its poller's events.
const SOCKET: u64 = 0;

/// The flooder's end of a link.
pub struct LinkQueue {
    index: u16,
    /// Bounded: when it is full the chunk is dropped and the link marked behind.
    chunks: Sender<Arc<[u8]>>,
    /// Something was dropped, or never offered: the store has what is missing.
    behind: AtomicBool,
    /// False while down, when offering is no use: coming up, the link reads the store anyway.
    up: AtomicBool,
    stopping: AtomicBool,
    poller: Poller,
}

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
    queue: Arc<LinkQueue>,
    chunks: Receiver<Arc<[u8]>>,
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

impl From<io::Error> for Ended {
    fn from(why: io::Error) -> Ended {
        Ended::Failed(why)
    }
}

impl LinkQueue {
    /// Which of this server's neighbours it leads to.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Takes AT lines for the neighbour, or notes that it will have to read the store. Never blocks.
    pub fn offer(&self, chunk: &Arc<[u8]>) {
        if !self.up.load(Ordering::SeqCst) {
            return;
        }
        if let Err(TrySendError::Full(_)) = self.chunks.try_send(chunk.clone()) {
            self.behind.store(true, Ordering::SeqCst);
        }
        self.poller.wake();
    }

    /// Notes that news was lost on the way to this link.
    pub fn mark_behind(&self) {
        self.behind.store(true, Ordering::SeqCst);
        self.poller.wake();
    }

    /// Has the link send what is queued and end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.poller.wake();
    }

    /// Whether it has a connection, on which something may still have to be sent.
    pub fn is_up(&self) -> bool {
        self.up.load(Ordering::SeqCst)
    }

    fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }
}

impl Link {
    pub fn new(
        index: u16,
        settings: LinkSettings,
        node: Arc<Node>,
        neighbours: Arc<Neighbours>,
        sink: Arc<Sink>,
    ) -> io::Result<(Arc<LinkQueue>, Link)> {
        let (sender, chunks) = bounded(LINK_CHUNKS);
        let queue = Arc::new(LinkQueue {
            index,
            chunks: sender,
            behind: AtomicBool::new(false),
            up: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            poller: Poller::new()?,
        });
        let mut wire = Wire::new(&sink);
        wire.with_neighbour(&settings.name);
        let health = Health::new(&settings.name, settings.write_timeout);
        let link = Link {
            settings,
            node,
            neighbours,
            queue: queue.clone(),
            chunks,
            health,
            refused: false,
            sink,
            wire,
        };
        Ok((queue, link))
    }

    /// For the operator's `top -H`.
    pub fn thread_name(&self) -> String {
        format!("link-{}", self.settings.name)
    }

    /// Runs until `LinkQueue::stop`.
    pub fn run(mut self) {
        let mut backoff = Backoff::default();
        loop {
            let began = Instant::now();
            let ended = if self.settings.plain { self.serve_plain() } else { self.connect_and_serve() };
            self.queue.up.store(false, Ordering::SeqCst);
            while self.chunks.try_recv().is_ok() {}
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
            if self.queue.is_stopping() || left.is_zero() {
                return self.queue.is_stopping();
            }
            if self.wait(Some(left)).is_err() {
                return true;
            }
        }
    }

    fn connect_and_serve(&mut self) -> Ended {
        match self.connect() {
            Ok(stream) => match self.serve(&stream) {
                Ok(()) => Ended::Stopped,
                Err(ended) => {
                    // It may have stopped reading because its refusals were not read.
                    let mut said = [0; 4096];
                    let count = socket::read_now(&stream, &mut said).unwrap_or(0);
                    self.hear(&said[..count]);
                    ended
                }
            },
            Err(why) => Ended::Failed(why),
        }
    }

    /// Dials every address of the neighbour in turn.
    fn connect(&mut self) -> io::Result<TcpStream> {
        let addresses = self.settings.target.resolve()?;
        self.neighbours.update(self.queue.index, &addresses);
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

    /// Sends the store, then whatever comes, until told to stop or the connection fails.
    fn serve(&mut self, stream: &TcpStream) -> Result<(), Ended> {
        // Up first: news from here on is offered, news before is in the store.
        self.queue.up.store(true, Ordering::SeqCst);
        self.queue.poller.add(stream, SOCKET, Interest::Readable)?;
        self.queue.behind.store(true, Ordering::SeqCst);
        self.health.connected();
        self.refused = false;
        loop {
            self.send_all(|link, lines| link.write(stream, lines))?;
            self.health.caught_up();
            if self.queue.is_stopping() && self.chunks.is_empty() {
                let _ = stream.shutdown(Shutdown::Write);
                return Ok(());
            }
            if self.wait(self.health.proven_in())? {
                self.read(stream)?;
            }
        }
    }

    /// Sends what is queued and, when the link is behind, the store, bucket by bucket.
    fn send_all(&mut self, mut send: impl FnMut(&mut Link, &[u8]) -> io::Result<()>) -> Result<(), Ended> {
        loop {
            while let Ok(chunk) = self.chunks.try_recv() {
                send(self, &chunk)?;
            }
            if !self.queue.behind.swap(false, Ordering::SeqCst) {
                return Ok(());
            }
            let mut lines = Vec::new();
            for bucket in 0..STORE_BUCKETS {
                lines.clear();
                self.node.store.copy_bucket(bucket, &mut lines);
                if !lines.is_empty() {
                    send(self, &lines)?;
                }
            }
        }
    }

    fn write(&mut self, mut stream: &TcpStream, lines: &[u8]) -> io::Result<()> {
        self.wire.at(socket::posix_ns());
        lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .for_each(|line| self.wire.sent(line));
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

    /// Waits for news, the stop, the timeout, or the socket, which is what true stands for.
    fn wait(&mut self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut events = Events::with_capacity(2);
        self.queue.poller.wait(&mut events, timeout)?;
        let mut readable = false;
        for index in 0..events.len() {
            match events.get(index).key {
                WAKE => self.queue.poller.woken(),
                _ => readable = true,
            }
        }
        Ok(readable)
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
