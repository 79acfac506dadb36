//! One running server: its workers, flood, links and the places pool around a core.
//! `run` starts and stops it. It makes every thread and joins it; what they do is theirs. It may touch everything
//! below it.

mod backbone;
mod batches;
mod capacity;
mod renewal;
mod start;
mod sweeps;
mod tending;

pub use renewal::Renewed;
pub use start::{Opened, open_journal};
pub use sweeps::Sweeps;
pub use tending::Tended;

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::dialler::Route;
use crate::door::DoorKind;
use crate::flood::UnderWay;
use crate::journal::Journal;
use crate::limits::{STOP_LOOKUPS_PERCENT, STOP_OTHERS_PERCENT, STOP_WORKERS_PERCENT};
use crate::link::Outlet;
use crate::thread;
use crate::worker::Hall;
use tending::Tending;

/// A running server. Dropping it does not stop it; `stop` does.
pub struct Server {
    hall: Arc<Hall>,
    addresses: Vec<(DoorKind, SocketAddr)>,
    threads: Threads,
}

/// What runs.
struct Threads {
    /// End once the hall stops and their replies are flushed.
    workers: Vec<JoinHandle<()>>,
    /// End at their stop messages.
    flooder: JoinHandle<()>,
    feeder: JoinHandle<()>,
    sweeps: JoinHandle<()>,
    batches: JoinHandle<()>,
    tending: Option<Tending>,
    /// End at `Outlet::stop`, after what is queued.
    links: Vec<LinkThread>,
    backbone: Option<backbone::Running>,
}

/// The thread of a link.
struct LinkThread {
    outlet: Arc<Outlet>,
    route: Arc<Route>,
    handle: JoinHandle<()>,
}

/// How a server ended.
pub struct Ending {
    /// Replies, floods and the journal's thread were done in time.
    pub is_flushed: bool,
    pub kept: Kept,
}

/// How it stands with what a server knows.
pub struct Standing {
    pub clients: usize,
    /// How many neighbours have sent it what they knew at its start.
    pub caught_up: usize,
    /// The others.
    pub behind: Vec<(String, Behind)>,
}

/// Why a neighbour may know what the server does not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    NotReached,
    Sending,
}

/// What became of what a server learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// It is on the disk, or nothing was to be.
    Whole,
    /// It is in the journal, and the disk did not take that in time.
    NotSynced,
    /// It is not in the journal.
    NotWritten { acknowledged: bool },
}

impl Server {
    /// Where it listens: `127.0.0.1:16675`, or several, `127.0.0.1:16675, [::1]:16675`.
    pub fn addresses(&self) -> String {
        self.addresses_of(DoorKind::Line)
    }

    /// The same of its door for HTTP; None where it has none.
    pub fn http_addresses(&self) -> Option<String> {
        Some(self.addresses_of(DoorKind::Http)).filter(|addresses| !addresses.is_empty())
    }

    fn addresses_of(&self, wanted: DoorKind) -> String {
        let addresses = self.addresses.iter().filter(|(kind, _)| *kind == wanted);
        addresses.map(|(_, address)| address.to_string()).collect::<Vec<_>>().join(", ")
    }

    /// What it listens on, by door.
    pub fn listeners(&self) -> impl Iterator<Item = (DoorKind, BorrowedFd<'_>)> {
        self.hall.entrance.listeners.iter().map(|(kind, listener)| (*kind, listener.as_fd()))
    }

    /// Copies of the sockets that it listens on, by door: as long as there are any, whoever calls is not refused.
    ///
    /// # Errors
    /// There is no room for a further descriptor.
    pub fn sockets(&self) -> io::Result<Vec<(DoorKind, OwnedFd)>> {
        self.listeners().map(|(kind, listener)| Ok((kind, listener.try_clone_to_owned()?))).collect()
    }

    /// How it stands with what it knows.
    pub fn standing(&self) -> Standing {
        let core = &self.hall.core;
        let mut standing = Standing { clients: core.node.store.count(), caught_up: 0, behind: Vec::new() };
        for link in core.flood.links().iter() {
            let name = link.name().to_owned();
            match link.is_up() {
                true if link.kind().is_plain() || core.neighbours.seen.has_marked(link.id()) => {
                    standing.caught_up += 1;
                }
                true => standing.behind.push((name, Behind::Sending)),
                false => standing.behind.push((name, Behind::NotReached)),
            }
        }
        standing
    }

    /// Whether its journal cannot be written, so that an end would lose what it learned.
    pub fn is_degraded(&self) -> bool {
        self.hall.core.journal().is_some_and(|journal| journal.is_degraded())
    }

    /// Whether its workers have gone on since the last time that `pulse` was asked with. One that waits for a disk is
    /// alive.
    pub fn beats(&self, pulse: &mut Vec<UnderWay>) -> bool {
        let hangs = pulse.iter().any(|(count, turn)| count.hangs_in(*turn));
        if !hangs {
            *pulse = self.hall.core.flood.turns.under_way();
        }
        !hangs
    }

    /// Stops accepting, finishes the turn in hand, flushes replies and floods, and syncs the journal, all until the
    /// deadline.
    pub fn stop(self, deadline: Instant) -> Ending {
        let now = Instant::now();
        let timeout = deadline.saturating_duration_since(now);
        let after = |percent| now + timeout * percent / 100;
        let (early, later) = (after(STOP_WORKERS_PERCENT), after(STOP_OTHERS_PERCENT));
        let Threads { workers, flooder, feeder, sweeps, batches, tending, links, backbone } = self.threads;
        links.iter().for_each(|link| link.outlet.leave());
        backbone.iter().for_each(|backbone| backbone.leave());
        self.hall.stop();
        if !workers.iter().all(|worker| thread::ends_by(worker, after(STOP_LOOKUPS_PERCENT))) {
            self.hall.places.get().cancel();
        }
        let mut is_flushed = workers.iter().all(|worker| thread::ends_by(worker, early));
        self.hall.core.flood.stop();
        self.hall.core.flood.feed.stop();
        self.hall.errands.stop();
        self.hall.batches.stop();
        is_flushed &= thread::ends_by(&flooder, later);
        is_flushed &= thread::ends_by(&feeder, later);
        is_flushed &= thread::ends_by(&sweeps, later);
        is_flushed &= thread::ends_by(&batches, later);
        is_flushed &= backbone.iter().all(|backbone| backbone.settle(later));
        // After the workers, as the last of what they learned is to last.
        let kept = tending.map_or(Kept::Whole, |tending| {
            let is_synced = tending.stop(later);
            kept(self.hall.core.journal().map(|journal| &**journal), is_synced)
        });
        is_flushed &= kept != Kept::NotSynced;
        links.iter().for_each(|link| link.outlet.stop());
        // A link that is down has nothing to flush, and may be waiting for a dead host.
        is_flushed &=
            links.iter().all(|link| !link.outlet.is_up() || thread::ends_by(&link.handle, deadline));
        is_flushed &= backbone.is_none_or(|backbone| backbone.stop(deadline));
        // With all the others gone this is the last owner of the pool.
        let pool = Arc::into_inner(self.hall).and_then(|hall| Arc::into_inner(hall.places.get_last()));
        Ending { is_flushed: is_flushed && pool.is_none_or(|pool| pool.stop(deadline)), kept }
    }
}

fn kept(journal: Option<&Journal>, is_synced: bool) -> Kept {
    match journal {
        Some(journal) if journal.is_degraded() => {
            Kept::NotWritten { acknowledged: journal.has_broken_promises() }
        }
        _ if is_synced => Kept::Whole,
        _ => Kept::NotSynced,
    }
}
