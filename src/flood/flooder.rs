//! The flooder: takes batches and marks from the channel and sends them. The server gives it a thread.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::marker::Marker;
use super::message::Message;
use super::newest::newest_by_source;
use crate::clock::{Clock, Moment};
use crate::feed::Feed;
use crate::limits::{AHEAD_UNSURE_NS, FLOOD_BATCHES, FLOOD_DIRECT_LINKS, FLOOD_DRAIN_BYTES, FLOOD_REST_US};
use crate::link::{Links, Mark};
use crate::logging::Wire;
use crate::node::{News, Node};

/// What sending takes; whoever holds its lock sends.
pub struct FloodSender {
    pub node: Arc<Node>,
    pub links: Links,
    pub feed: Arc<Feed>,
    pub wire: Wire,
    /// How many batches were handed to links.
    pub batches: Arc<AtomicU64>,
}

impl FloodSender {
    /// Whether there are so few links that a turn may write to all of them itself.
    pub fn is_quick(&self) -> bool {
        self.links.len() <= FLOOD_DIRECT_LINKS
    }

    /// Hands the newest record of each client to every link but the one it came from.
    pub fn send(&mut self, drained: &[News], now_ns: u64) {
        self.wire.at(now_ns);
        self.batches.fetch_add(1, Ordering::Relaxed);
        let sure_ns = now_ns.saturating_add(self.node.bounds().max_ahead_ns).saturating_sub(AHEAD_UNSURE_NS);
        for (from, lines) in newest_by_source(drained, sure_ns) {
            self.links.iter().for_each(|link| link.offer(&lines, from, &mut self.wire));
        }
        self.wire.commit();
        drained.iter().for_each(|news| self.feed.changed(news.clients()));
    }
}

/// The receiving end of the flood.
pub struct Flooder {
    batches: Receiver<Message>,
    sender: Arc<Mutex<FloodSender>>,
    marker: Marker,
    /// It has just written to many links.
    is_spent: bool,
}

impl Flooder {
    pub fn new(batches: Receiver<Message>, sender: Arc<Mutex<FloodSender>>, marker: Marker) -> Flooder {
        Flooder { batches, sender, marker, is_spent: false }
    }

    /// The thread: ends at the stop message, after all that was sent before it.
    pub fn run(mut self, clock: Clock) {
        loop {
            // Unless so much has come already that there might be no room for more.
            if std::mem::take(&mut self.is_spent) && self.batches.len() < FLOOD_BATCHES / 4 {
                // What gathers meanwhile goes to each link in one write.
                thread::sleep(Duration::from_micros(FLOOD_REST_US));
            }
            let next = match self.batches.recv_deadline(clock.instant(self.due())) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            if !self.take(next, clock.now()) {
                return;
            }
        }
    }

    /// Whether it is to be told of news that is not sent by the channel.
    pub fn idle(&self) -> Arc<AtomicBool> {
        self.marker.idle()
    }

    /// When to go on at the latest, should no batch come before.
    pub fn due(&self) -> Duration {
        self.marker.due()
    }

    /// Goes on with what is in the channel, without waiting; false at the stop message.
    pub fn go_on(&mut self, now: Moment) -> bool {
        let next = self.batches.try_recv().ok();
        self.take(next, now)
    }

    /// Takes the next message, if there is one, and looks for a mark that is due.
    fn take(&mut self, next: Option<Message>, now: Moment) -> bool {
        let next = match next {
            Some(Message::News(first)) => {
                self.marker.wake(now.up);
                self.flood(first, now)
            }
            other => other,
        };
        match next {
            Some(Message::Mark(mark)) => self.mark(mark),
            Some(Message::Look) => self.marker.wake(now.up),
            Some(Message::Stop) => return false,
            // What ends a drain is never news.
            Some(Message::News(_)) | None => {}
        }
        if let Some(mark) = self.marker.look(now.up) {
            self.mark(mark);
        }
        true
    }

    /// Joins what has gathered behind a batch and sends it; returns what came after it.
    fn flood(&mut self, first: News, now: Moment) -> Option<Message> {
        let mut bytes = first.lines.len();
        let mut drained = vec![first];
        let mut next = None;
        while bytes < FLOOD_DRAIN_BYTES && next.is_none() {
            match self.batches.try_recv() {
                Ok(Message::News(news)) => {
                    bytes += news.lines.len();
                    drained.push(news);
                }
                Ok(other) => next = Some(other),
                Err(_) => break,
            }
        }
        let mut sender = self.sender();
        sender.send(&drained, now.posix_ns);
        let is_quick = sender.is_quick();
        drop(sender);
        self.is_spent = !is_quick;
        next
    }

    fn mark(&self, mark: Mark) {
        let sender = self.sender();
        sender.links.iter().for_each(|link| link.mark(mark));
        sender.feed.mark(mark.epoch);
        drop(sender);
        log::debug!("epoch {} is on its way to all links", mark.epoch);
    }

    fn sender(&self) -> MutexGuard<'_, FloodSender> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
