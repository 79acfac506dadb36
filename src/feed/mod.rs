//! The feed: what those who watch the herd are sent, as it happens.
//! Whoever watches is a reader with a position, as a link is, and no queue: what it has not read is in the ring of its
//! channel, or else in the store. The flood leaves word of who has changed; the feeder, on a thread of its own, looks up
//! once in a while what became of them, writes that once for all who want the same, and answers readers that ask for
//! what is next. A reader that does not ask costs its position, and is sent the newest of each client when it does.
//! Doors write events in their own words. It may touch the node, the outlets' names and `protocol`'s records; it has a
//! thread only where `Feeder::run` is called.

mod channel;
mod event;
mod feeder;
mod guide;
mod reader;
mod ring;
mod scope;
mod tour;
mod whereabouts;

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use crossbeam_channel::{Receiver, Sender, bounded};

pub use event::{Bookmark, Event, Origin, PieceId, Why, Write};
pub use feeder::Feeder;
pub use reader::Reader;
pub use scope::{Place, Scope, View};

use crate::limits::{
    FEED_CHANGES_BYTES, FEED_LOOKS, FEED_OWN_PIECE_BYTES, FEED_PIECE_BYTES, FEED_READERS_MAX,
    FEED_RINGS_BYTES,
};
use crate::link::Links;
use reader::Seat;

/// The end of the feed that the flood and the doors have.
pub struct Feed {
    /// Held to note who has changed, or to take that.
    changes: Mutex<Changes>,
    /// Somebody watches: changes are noted.
    is_watched: AtomicBool,
    readers: Arc<AtomicUsize>,
    /// The epoch in which a client was last forgotten of which nothing was heard for long.
    expired_in: AtomicU32,
    asks: Sender<Message>,
    /// The links of the server, which a reload may replace.
    links: Mutex<Links>,
}

/// The bounds of a feed.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Parts of the store that one reader is led through before it is another one's turn.
    pub looks: usize,
    /// Bytes that are sent at once: of what readers share, and of what one has for itself.
    pub piece_bytes: usize,
    pub own_piece_bytes: usize,
    /// Bytes of pieces that all channels keep together.
    pub rings_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds {
            looks: FEED_LOOKS,
            piece_bytes: FEED_PIECE_BYTES,
            own_piece_bytes: FEED_OWN_PIECE_BYTES,
            rings_bytes: FEED_RINGS_BYTES,
        }
    }
}

/// Who has changed since that was last taken.
#[derive(Default)]
struct Changes {
    /// Their IDs, each with a newline; some more than once.
    clients: Vec<u8>,
    /// There were more than there is room for: readers have to look in the store.
    has_missed: bool,
    /// All changes up to this epoch were noted.
    mark: u32,
}

/// What a reader asks: what is next.
struct Ask {
    reader: Reader,
    /// Gone when nobody waits for the answer any more.
    alive: Weak<()>,
    answer: Answer,
}

/// Takes the reader, which has come further, and what it is sent.
type Answer = Box<dyn FnOnce(Reader, Arc<[u8]>) + Send>;

enum Message {
    Ask(Ask),
    /// The last one.
    Stop,
}

impl Default for Feed {
    fn default() -> Feed {
        Feed::new(Arc::default()).0
    }
}

impl Feed {
    /// The feed, and what readers ask on its way to the feeder.
    fn new(links: Links) -> (Feed, Receiver<Message>) {
        // Each reader asks one thing at a time.
        let (asks, due) = bounded(FEED_READERS_MAX + 1);
        let feed = Feed {
            changes: Mutex::default(),
            is_watched: AtomicBool::new(false),
            readers: Arc::default(),
            expired_in: AtomicU32::new(0),
            asks,
            links: Mutex::new(links),
        };
        (feed, due)
    }

    // --- what happens

    /// Whether anybody watches.
    pub fn is_watched(&self) -> bool {
        self.is_watched.load(Ordering::SeqCst)
    }

    /// There is news of these clients.
    pub fn changed<'c>(&self, clients: impl Iterator<Item = &'c [u8]>) {
        if !self.is_watched() {
            return;
        }
        let mut changes = self.changes();
        for client in clients {
            if changes.clients.len() + client.len() >= FEED_CHANGES_BYTES {
                changes.has_missed = true;
                return;
            }
            changes.clients.extend_from_slice(client);
            changes.clients.push(b'\n');
        }
    }

    /// News was lost on its way here.
    pub fn miss(&self) {
        self.changes().has_missed = true;
    }

    /// All news of this epoch was told.
    pub fn mark(&self, epoch: u32) {
        let mut changes = self.changes();
        changes.mark = changes.mark.max(epoch);
    }

    /// These clients were forgotten in this epoch, as nothing was heard of them for long. The store does not tell whoever
    /// asks it later.
    pub fn expired(&self, clients: &[Vec<u8>], epoch: u32) {
        if !clients.is_empty() {
            self.expired_in.fetch_max(epoch, Ordering::SeqCst);
            self.changed(clients.iter().map(Vec::as_slice));
        }
    }

    /// In this epoch some are shown again of which nothing was heard: all readers are to be told anew who is there.
    pub fn begin_anew(&self, epoch: u32) {
        self.expired_in.fetch_max(epoch, Ordering::SeqCst);
        self.miss();
    }

    /// The server has these links from now on.
    pub fn set_links(&self, links: Links) {
        *self.links.lock().unwrap_or_else(PoisonError::into_inner) = links;
    }

    fn links(&self) -> Links {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    // --- whoever watches

    /// Lets somebody watch, who was told all up to somewhere at this start; None when as many do as may.
    pub fn join(&self, view: View, since: Option<Bookmark>) -> Option<Reader> {
        let seat = Seat::take(&self.readers)?;
        self.is_watched.store(true, Ordering::SeqCst);
        Some(Reader::new(view, seat, since))
    }

    /// Has a reader told what is next, as soon as there is something; false if nobody will tell it.
    pub fn ask(
        &self,
        reader: Reader,
        alive: Weak<()>,
        answer: impl FnOnce(Reader, Arc<[u8]>) + Send + 'static,
    ) -> bool {
        let ask = Ask { reader, alive, answer: Box::new(answer) };
        self.asks.try_send(Message::Ask(ask)).is_ok()
    }

    /// How many watch.
    pub fn readers(&self) -> usize {
        self.readers.load(Ordering::SeqCst)
    }

    /// Ends the feeder.
    pub fn stop(&self) {
        // It fails only when the feeder has ended already.
        let _ = self.asks.send(Message::Stop);
    }

    fn take_changes(&self) -> Changes {
        let mut changes = self.changes();
        let mark = changes.mark;
        std::mem::replace(&mut *changes, Changes { mark, ..Changes::default() })
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
