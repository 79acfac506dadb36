//! One running server: workers, flooder, links and the places pool around a `Node`. `main` starts
//! and stops it. Only the files of this folder name sockets.

mod accept;
mod agree;
mod balance;
mod connection;
mod conversation;
mod flooder;
mod journaling;
mod keeper;
mod link;
mod marker;
mod neighbours;
mod oddities;
mod poller;
mod probe;
mod retry;
mod slots;
mod socket;
mod start;
mod tally;
mod turns;
mod worker;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

pub use agree::Agreement;
pub use probe::{Port, probe};
pub use socket::listen;

use crate::config::Settings;
use crate::journal::Journal;
use crate::link::KeyRing;
use crate::logging::{Sink, count};
use crate::node::Node;
use crate::places::pool::Pool;
use crate::thread;
use balance::Load;
use connection::Connection;
use flooder::Flood;
use journaling::Journaling;
use keeper::Keeper;
use link::Outlet;
use neighbours::Neighbours;
use poller::Poller;
use tally::{Refusals, Tally};
use turns::Turns;

/// A running server. Dropping it does not stop it; `stop` does.
pub struct Server {
    shared: Arc<Shared>,
    addresses: Vec<SocketAddr>,
    /// End once `Shared::stopping` is set and their replies are flushed.
    workers: Vec<JoinHandle<()>>,
    /// End at their stop messages.
    flooder: JoinHandle<()>,
    keeper: JoinHandle<()>,
    journaling: Option<Journaling>,
    /// End at `Outlet::stop`, after what is queued.
    links: Vec<(Arc<Outlet>, JoinHandle<()>)>,
}

/// How a server ended.
pub struct Ending {
    /// Replies, floods and the journal's thread were done within `stop_timeout_s`.
    pub is_flushed: bool,
    pub keeping: Keeping,
}

/// What became of what a server learned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeping {
    /// It is on the disk, or nothing was to be.
    Kept,
    /// It is in the journal, and the disk did not take that in time.
    NotSynced,
    /// It is not in the journal.
    NotWritten { acknowledged: bool },
}

/// What the threads of a server share.
pub struct Shared {
    node: Arc<Node>,
    settings: Settings,
    /// `settings.max_connections`, or what the file limit leaves of it.
    max_connections: usize,
    neighbours: Arc<Neighbours>,
    /// One an address of `listen`, at least one.
    listeners: Vec<TcpListener>,
    flood: Flood,
    keeper: Keeper,
    journal: Option<Arc<Journal>>,
    places: Pool,
    sink: Arc<Sink>,
    /// One a worker.
    desks: Vec<Desk>,
    /// Connections open now.
    open: AtomicUsize,
    stopping: AtomicBool,
    tallies: Tallies,
    /// Lines of clients that were refused, by rule.
    refusals: Arc<Refusals>,
    /// One a worker.
    turns: Arc<[Turns]>,
}

/// What goes wrong now and then, each counted and logged at most so often.
struct Tallies {
    /// Connections closed for want of room.
    refused: Tally,
    /// Times that there was no descriptor for a new connection.
    starved: Tally,
    /// AT lines of neighbours that were none.
    dropped: Tally,
    /// AT lines of neighbours that were cut off before their end, as when a link breaks.
    cut: Tally,
    /// Links whose dialer was not who it should be.
    denied: Tally,
    /// Records of neighbours that were to be forgotten when they came.
    past: Tally,
    /// Reports of clients that are not known, with too many known.
    full: Tally,
    /// Reports whose time is far ahead.
    far_ahead: Tally,
    /// The same, where our own clock seems to be wrong.
    suspect: Tally,
}

impl Default for Tallies {
    fn default() -> Tallies {
        /// How long the log is spared a sentence that stays true.
        const SAY_AGAIN: Duration = Duration::from_secs(3_600);
        Tallies {
            refused: Tally::default(),
            starved: Tally::default(),
            dropped: Tally::default(),
            cut: Tally::default(),
            denied: Tally::default(),
            past: Tally::default(),
            full: Tally::with_rest(SAY_AGAIN),
            far_ahead: Tally::default(),
            suspect: Tally::with_rest(SAY_AGAIN),
        }
    }
}

impl Shared {
    /// What whoever runs the herd should know of this server, in sentences; nothing while all is well.
    fn notes(&self) -> Vec<String> {
        let mut notes = self.neighbours.oddities.notes(self.neighbours.now());
        notes.extend(self.flood.notes());
        if self.journal.as_ref().is_some_and(|journal| journal.is_degraded()) {
            let what = "the journal cannot be written: what this server learns is in its memory only, or refused; its log \
                        says why";
            notes.push(what.to_owned());
        }
        let counted = [
            (&self.tallies.dropped, "AT line", "of neighbours dropped, as no valid record; the log says why"),
            (&self.tallies.past, "record", "of neighbours dropped: forget_after had passed when it came"),
            (
                &self.tallies.full,
                "report",
                "refused: its client is not known, and as many as max_clients allows are",
            ),
            (
                &self.tallies.far_ahead,
                "report",
                "with a time far ahead, which hides later ones; the log has some of the clients",
            ),
        ];
        let counted = counted.iter().filter(|(tally, ..)| tally.is_recent());
        notes.extend(counted.map(|(tally, what, rest)| {
            format!("{} since the start, the last of them lately: {rest}", count(tally.total(), what))
        }));
        notes
    }
}

/// Where a worker is reached.
struct Desk {
    poller: Poller,
    /// Bounded by the connections: each is in at most one letter. Nothing once the worker has ended.
    inbox: Mutex<Option<Vec<Letter>>>,
    load: Load,
}

/// What other threads send a worker.
enum Letter {
    /// A connection that is the worker's from now on.
    Connection(Box<Connection>),
    /// The places for a connection that waits for them.
    Places { key: u64, json: Arc<[u8]> },
    /// The digest for a neighbour's connection that waits for it.
    Digest { key: u64, line: Vec<u8> },
}

impl Desk {
    fn new() -> io::Result<Desk> {
        Ok(Desk { poller: Poller::new()?, inbox: Mutex::new(Some(Vec::new())), load: Load::default() })
    }

    /// Gives the worker a letter, or gives it back when the worker has ended.
    fn post(&self, letter: Letter) -> Result<(), Letter> {
        let mut inbox = self.inbox();
        let Some(letters) = inbox.as_mut() else { return Err(letter) };
        letters.push(letter);
        if letters.len() == 1 {
            drop(inbox);
            self.poller.wake();
        }
        Ok(())
    }

    fn take_letters(&self) -> Vec<Letter> {
        self.inbox().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes no more letters, unless there are some to be opened first; says whether it is closed.
    fn close(&self) -> bool {
        let mut inbox = self.inbox();
        if inbox.as_ref().is_some_and(Vec::is_empty) {
            *inbox = None;
        }
        inbox.is_none()
    }

    fn inbox(&self) -> MutexGuard<'_, Option<Vec<Letter>>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Server {
    /// Where it listens: `127.0.0.1:16675`, or several, `127.0.0.1:16675, [::1]:16675`.
    pub fn addresses(&self) -> String {
        self.addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(", ")
    }

    /// Replaces the secrets; links that are open stay open.
    pub fn rekey(&self, keys: KeyRing) {
        self.shared.neighbours.rekey(keys);
    }

    /// Stops accepting, finishes the turn in hand, flushes replies and floods, and syncs the journal.
    pub fn stop(self) -> Ending {
        let (now, timeout) = (Instant::now(), self.shared.settings.stop_timeout);
        // What is late leaves some of the time to those who come after it.
        let (patience, early, deadline) = (now + timeout / 2, now + timeout * 4 / 5, now + timeout);
        self.links.iter().for_each(|(outlet, _)| outlet.leave());
        self.shared.stopping.store(true, Ordering::SeqCst);
        self.shared.desks.iter().for_each(|desk| desk.poller.wake());
        if !self.workers.iter().all(|worker| thread::ends_by(worker, patience)) {
            self.shared.places.cancel();
        }
        let mut clean = self.workers.iter().all(|worker| thread::ends_by(worker, early));
        self.shared.flood.stop();
        self.shared.keeper.stop();
        clean &= thread::ends_by(&self.flooder, early + timeout / 20);
        clean &= thread::ends_by(&self.keeper, early + timeout / 20);
        // After the workers, as the last of what they learned is to last.
        let keeping = self.journaling.map_or(Keeping::Kept, |journaling| {
            let is_synced = journaling.stop(early + timeout / 20);
            keeping(self.shared.journal.as_deref(), is_synced)
        });
        clean &= keeping != Keeping::NotSynced;
        self.links.iter().for_each(|(outlet, _)| outlet.stop());
        // One that is down has nothing to flush, and may be waiting for a dead host.
        clean &= self.links.iter().all(|(outlet, link)| !outlet.is_up() || thread::ends_by(link, deadline));
        // With all the others gone this is the last owner of the pool.
        let pool = Arc::into_inner(self.shared).map(|shared| shared.places);
        Ending { is_flushed: clean && pool.is_none_or(|pool| pool.stop(deadline)), keeping }
    }
}

fn keeping(journal: Option<&Journal>, is_synced: bool) -> Keeping {
    match journal {
        Some(journal) if journal.is_degraded() => Keeping::NotWritten { acknowledged: !journal.is_strict() },
        _ if is_synced => Keeping::Kept,
        _ => Keeping::NotSynced,
    }
}
