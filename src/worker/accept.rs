//! Taking new connections: a few a turn, none over `max_connections`, and a rest when the process
//! is out of descriptors. Every worker at work has one of these for the listeners, which all share.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustix::io::Errno;

use super::entrance::{Admission, Capacity, Entrance, Lack};
use crate::door::DoorKind;
use crate::limits::ACCEPT_PAUSE_MS;
use crate::logging::count;
use crate::net::{AnyStream, Poller};
use crate::tally::Tallies;

/// The key of the listeners among a poller's events.
pub const LISTENER: u64 = u64::MAX - 1;

/// A connection that was let in.
pub struct Accepted {
    pub kind: DoorKind,
    pub stream: AnyStream,
    pub address: SocketAddr,
    pub admission: Admission,
}

/// Which listeners are watched.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Watching {
    #[default]
    None,
    /// Those that are asked how the server is, while it does not serve clients yet.
    Early,
    All,
}

/// Whether and when a worker watches the listeners.
#[derive(Default)]
pub struct Acceptor {
    watching: Watching,
    /// It took all it might at once, and there may be more.
    has_more: bool,
    resumes_at: Option<Duration>,
    /// The listener that was asked last, so that none keeps the others waiting.
    next: usize,
}

impl Acceptor {
    /// Watches the listeners from now on.
    pub fn open(&mut self, entrance: &Entrance, poller: &Poller) {
        let wanted = if entrance.is_open() { Watching::All } else { Watching::Early };
        if self.watching != wanted && self.resumes_at.is_none() {
            let before = std::mem::replace(&mut self.watching, wanted);
            let is_new = |kind: &DoorKind| watches(wanted, *kind) && !watches(before, *kind);
            for (_, listener) in entrance.listeners.iter().filter(|(kind, _)| is_new(kind)) {
                // One key for all: whichever has a connection, all are asked in turn.
                if let Err(why) = poller.add_shared(listener, LISTENER) {
                    log::error!("a worker cannot watch a listener: {why}");
                }
            }
        }
    }

    /// Watches it no more.
    pub fn close(&mut self, entrance: &Entrance, poller: &Poller) {
        (self.resumes_at, self.has_more) = (None, false);
        let before = std::mem::take(&mut self.watching);
        if before != Watching::None {
            for (_, listener) in entrance.listeners.iter().filter(|(kind, _)| watches(before, *kind)) {
                // Removing fails only for a source that is not watched, which is what it is to be.
                let _ = poller.remove(listener);
            }
        }
    }

    /// When the rest is over, if there is one.
    pub fn resumes_at(&self) -> Option<Duration> {
        self.resumes_at
    }

    /// Ends a rest that is over.
    pub fn resume(&mut self, entrance: &Entrance, poller: &Poller, now: Duration) {
        if self.resumes_at.is_some_and(|at| at <= now) {
            self.resumes_at = None;
            self.open(entrance, poller);
        }
    }

    /// Whether to go on in the next turn, reported or not: where thousands of connections are ready,
    /// the poller comes round to the listener only after all of them.
    pub fn has_more(&self) -> bool {
        self.has_more
    }

    /// Takes up to `count` of the connections that are due, and of them those that `admit` lets in.
    pub fn accept(
        &mut self,
        entrance: &Entrance,
        tallies: &Tallies,
        poller: &Poller,
        now: Duration,
        count: usize,
        mut admit: impl FnMut(SocketAddr) -> Result<Admission, Lack>,
    ) -> Vec<Accepted> {
        let mut accepted = Vec::new();
        self.has_more = true;
        // Listeners in a row that had nothing, and what the others gave.
        let (mut idle, mut taken) = (0, 0);
        while taken < count {
            self.next = (self.next + 1) % entrance.listeners.len();
            let (kind, listener) = &entrance.listeners[self.next];
            let result = match watches(self.watching, *kind) {
                true => listener.accept(),
                false => Err(io::ErrorKind::WouldBlock.into()),
            };
            if !matches!(&result, Err(why) if why.kind() == io::ErrorKind::WouldBlock) {
                (idle, taken) = (0, taken + 1);
            }
            match result {
                Ok((stream, address)) => match admit(address) {
                    Ok(admission) => accepted.push(Accepted { kind: *kind, stream, address, admission }),
                    Err(lack) => {
                        drop(stream);
                        count_refused(address, lack, entrance, tallies, now);
                    }
                },
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    idle += 1;
                    if idle == entrance.listeners.len() {
                        self.has_more = false;
                        break;
                    }
                }
                Err(why) if is_exhaustion(&why) => {
                    tallies.starved.count(now, |total| {
                        log::warn!("cannot accept: {why}; {total} so far; {REMEDY}");
                    });
                    self.close(entrance, poller);
                    self.resumes_at = Some(now + Duration::from_millis(ACCEPT_PAUSE_MS));
                    break;
                }
                // The peer gave up before its turn came, or the network did.
                Err(why) => log::debug!("a connection failed before it was accepted: {why}"),
            }
        }
        accepted
    }
}

fn watches(watching: Watching, kind: DoorKind) -> bool {
    match watching {
        Watching::None => false,
        Watching::Early => kind == DoorKind::Http,
        Watching::All => true,
    }
}

const REMEDY: &str = "raise the file limit (ulimit -n) or lower max_connections";

/// There was no room for a connection.
pub fn count_refused(address: SocketAddr, lack: Lack, entrance: &Entrance, tallies: &Tallies, now: Duration) {
    let Capacity { guests, per_address, .. } = entrance.bounds();
    tallies.refused.count(now, |total| match lack {
        Lack::Slots => log::warn!(
            "closed {address} at once: {} open, as max_connections or the file limit allows; {total} so far",
            are(guests as u64, "connection")
        ),
        Lack::ShareOfAddress => log::warn!(
            "closed {address} at once: its address has {}, as max_per_address in herd.conf allows; {total} so far",
            count(per_address as u64, "connection")
        ),
    });
}

/// `1 connection is`, `5 connections are`.
fn are(number: u64, what: &str) -> String {
    let verb = if number == 1 { "is" } else { "are" };
    format!("{} {verb}", count(number, what))
}

/// Out of descriptors or memory: trying again at once would only spin.
fn is_exhaustion(why: &io::Error) -> bool {
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];
    why.raw_os_error().is_some_and(|code| exhausted.iter().any(|errno| errno.raw_os_error() == code))
}
