//! The flood: news goes to every link but the one it came from.
//! Turns put news on its way; the flooder thread joins what has gathered, keeps the newest record of each client
//! and hands it to the links' outlets, and marks behind it. While that thread is idle a turn sends a small batch to a few
//! links itself: that spares an update the wait for another thread at every server on its way. With many links the
//! flooder writes, and rests in between, so that each link gets in one write what several turns had for it.
//! It may touch the node's store and the links' outlets; it has a thread only where `Flooder::run` is called.

mod flooder;
mod marker;
mod message;
mod newest;
mod turns;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crossbeam_channel::{Sender, TrySendError, bounded};

use flooder::FloodSender;
pub use flooder::Flooder;
use marker::Marker;
use message::Message;
pub use turns::{TurnCount, Turns, UnderWay};

use crate::clock::Moment;
use crate::feed::Feed;
use crate::limits::{FLOOD_BATCHES, FLOOD_SMALL_BYTES, Timing};
use crate::link::Links;
use crate::logging::Wire;
use crate::node::{NeighbourId, News, Node};

/// The turns' end of the flood.
pub struct Flood {
    /// Bounded: when it is full the batch is dropped and every link is marked behind, so that it
    /// reads the store instead. Nobody waits here.
    channel: Sender<Message>,
    sender: Arc<Mutex<FloodSender>>,
    /// Replaced at a reload.
    links: Mutex<Links>,
    has_links: Arc<AtomicBool>,
    /// Those who watch.
    pub feed: Arc<Feed>,
    batches: Arc<AtomicU64>,
    /// Whose turns a mark waits for.
    pub turns: Arc<Turns>,
    /// The flooder is to be told of news that is not sent by the channel.
    idle: Arc<AtomicBool>,
    /// Bytes of a batch that a turn may send itself.
    small_bytes: usize,
}

/// The bounds of a flood.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Batches that turns may be ahead of the flooder.
    pub batches: usize,
    /// Bytes of a batch that a turn may send itself, while the flooder is idle.
    pub small_bytes: usize,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { batches: FLOOD_BATCHES, small_bytes: FLOOD_SMALL_BYTES }
    }
}

impl Flood {
    /// The two ends of a flood to these links. It stands still until the flooder's thread runs, or somebody else
    /// has it go on.
    pub fn new(
        bounds: Bounds,
        links: Links,
        feed: Arc<Feed>,
        node: Arc<Node>,
        wire: Wire,
        timing: Timing,
        now: Duration,
    ) -> (Flood, Flooder) {
        let (channel, batches) = bounded(bounds.batches);
        let turns = Arc::new(Turns::default());
        let sent = Arc::<AtomicU64>::default();
        let sender = Arc::new(Mutex::new(FloodSender {
            node: node.clone(),
            links: links.clone(),
            feed: feed.clone(),
            wire,
            batches: sent.clone(),
        }));
        let has_links = Arc::new(AtomicBool::new(!links.is_empty()));
        let marker =
            Marker::new(node, turns.clone(), channel.clone(), timing.heartbeat, has_links.clone(), now);
        let flooder = Flooder::new(batches, sender.clone(), marker);
        let idle = flooder.idle();
        (
            Flood {
                channel,
                sender,
                has_links,
                links: Mutex::new(links),
                feed,
                batches: sent,
                turns,
                idle,
                small_bytes: bounds.small_bytes,
            },
            flooder,
        )
    }

    /// The links there are.
    pub fn links(&self) -> Links {
        self.links.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has news go to these links from now on. What was learned before is in the store, which a link reads that comes up;
    /// what is put on its way from here on is for them.
    pub fn set_links(&self, links: Links) {
        // The sender first: whoever sees the new links here has what it sends go to them.
        let mut sender = self.sender.lock().unwrap_or_else(PoisonError::into_inner);
        sender.links = links.clone();
        self.has_links.store(!links.is_empty(), Ordering::SeqCst);
        drop(sender);
        *self.links.lock().unwrap_or_else(PoisonError::into_inner) = links;
        // With links there are heartbeats.
        self.wake();
    }

    /// How many batches were handed to links.
    pub fn batches(&self) -> u64 {
        self.batches.load(Ordering::Relaxed)
    }

    /// A neighbour has dialled and proven itself.
    pub fn call(&self, neighbour: NeighbourId) {
        self.links().iter().filter(|link| link.id() == neighbour).for_each(|link| link.call());
    }

    /// Puts news on its way, and returns what the next may be put into. Never blocks.
    pub fn send(&self, mut news: News, now: Moment) -> News {
        if !self.has_links.load(Ordering::SeqCst) {
            self.feed.changed(news.clients());
            self.wake();
            news.clear();
            return news;
        }
        if news.lines.len() <= self.small_bytes
            && self.channel.is_empty()
            && let Ok(mut sender) = self.sender.try_lock()
            && sender.is_quick()
        {
            sender.send(std::slice::from_ref(&news), now.posix_ns);
            drop(sender);
            self.wake();
            news.clear();
            return news;
        }
        if let Err(TrySendError::Full(_)) = self.channel.try_send(Message::News(news)) {
            self.links().iter().for_each(|link| link.mark_behind());
            self.feed.miss();
        }
        News::default()
    }

    /// Has the flooder look for a mark again, if it looks at heartbeats only.
    fn wake(&self) {
        if self.idle.load(Ordering::SeqCst) && self.idle.swap(false, Ordering::SeqCst) {
            // A full channel wakes it, too.
            let _ = self.channel.try_send(Message::Look);
        }
    }

    /// Ends the flooder after what is in the channel. Blocks while the channel is full.
    pub fn stop(&self) {
        // It fails only when the flooder has ended already.
        let _ = self.channel.send(Message::Stop);
    }
}

#[cfg(test)]
mod tests;
