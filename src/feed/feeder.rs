//! The feeder: looks up what became of who has changed, has each channel write it, and answers readers. The server gives
//! it a thread. It takes the time as a value, so that the simulation of the tests drives it, too.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::channel::{Change, Channel, Happened};
use super::event::Origin;
use super::guide::{Guide, Led};
use super::reader::{Reader, Tag};
use super::whereabouts::Whereabouts;
use super::{Ask, Bounds, Feed, Message};
use crate::clock::Clock;
use crate::limits::{
    FEED_AREA_KEPT_S, FEED_AREAS_KEPT, FEED_AWAITED_BY_ONE_IN, FEED_LOOK_AGAIN_MS, FEED_PAUSE_S,
    FEED_PUT_OFF_MS, FEED_TICK_MS,
};
use crate::link::{Links, Outlet};
use crate::node::Node;

/// The thread's own.
pub struct Feeder {
    feed: Arc<Feed>,
    bounds: Bounds,
    asks: Receiver<Message>,
    node: Arc<Node>,
    incarnation: u64,
    links: Links,
    /// Which links were up when readers were last told.
    were_up: Vec<bool>,
    channels: Vec<Channel>,
    next_tag: u64,
    /// While an area is watched.
    last_told: Option<Whereabouts>,
    /// All changes up to this epoch are in the channels.
    mark: u32,
    /// Readers on their way through the store, who take turns.
    touring: VecDeque<Ask>,
    /// Ticks are numbered from 1.
    ticks: u64,
    tick_at: Duration,
    /// When it is looked at next whether it is time for one.
    look_at: Duration,
    /// Readers that have asked since the last tick: they read.
    reading: usize,
}

const TICK: Duration = Duration::from_millis(FEED_TICK_MS);
const PUT_OFF: Duration = Duration::from_millis(FEED_PUT_OFF_MS);
const LOOK_AGAIN: Duration = Duration::from_millis(FEED_LOOK_AGAIN_MS);
const PAUSE: Duration = Duration::from_secs(FEED_PAUSE_S);
const AREA_KEPT: Duration = Duration::from_secs(FEED_AREA_KEPT_S);

impl Feeder {
    /// The two ends of the feed of a node.
    pub fn new(
        node: Arc<Node>,
        incarnation: u64,
        links: Links,
        bounds: Bounds,
        now: Duration,
    ) -> (Arc<Feed>, Feeder) {
        let (feed, asks) = Feed::new(links.clone());
        let feed = Arc::new(feed);
        let feeder = Feeder {
            feed: feed.clone(),
            bounds,
            asks,
            node,
            incarnation,
            were_up: vec![false; links.len()],
            links,
            channels: Vec::new(),
            next_tag: 0,
            last_told: None,
            mark: 0,
            touring: VecDeque::new(),
            ticks: 1,
            tick_at: now,
            look_at: now,
            reading: 0,
        };
        (feed, feeder)
    }

    /// The thread: ends at the stop message.
    pub fn run(mut self, clock: Clock) {
        loop {
            self.go_on(clock.up());
            let next = if !self.touring.is_empty() {
                self.asks.try_recv().map_err(|_| RecvTimeoutError::Timeout)
            } else if self.is_at_rest() {
                self.asks.recv().map_err(|_| RecvTimeoutError::Disconnected)
            } else {
                self.asks.recv_deadline(clock.instant(self.look_at))
            };
            match next {
                Ok(Message::Ask(ask)) => self.take(ask, clock.up()),
                Ok(Message::Stop) | Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    /// Whether nobody watches.
    fn is_at_rest(&self) -> bool {
        self.channels.is_empty() && !self.feed.is_watched()
    }

    /// Does what is due, without waiting: for the simulation what readers asked, too.
    pub fn work(&mut self, now: Duration) {
        while let Ok(Message::Ask(ask)) = self.asks.try_recv() {
            self.take(ask, now);
        }
        self.go_on(now);
    }

    /// Tells what has changed, if it is time, and leads one reader on.
    fn go_on(&mut self, now: Duration) {
        if now >= self.look_at && !self.is_at_rest() {
            self.look_at = now + LOOK_AGAIN;
            if now >= self.tick_at + PUT_OFF || self.is_awaited() {
                self.ticks += 1;
                self.reading = 0;
                self.tick(now);
                (self.tick_at, self.look_at) = (now + TICK, now + TICK);
            }
        }
        if let Some(ask) = self.touring.pop_front() {
            self.serve(ask, now);
        }
    }

    /// Whether enough of those who read have all that was told, and wait for more.
    fn is_awaited(&self) -> bool {
        let waiting = self.channels.iter().flat_map(|channel| &channel.waiting);
        let at_end = waiting.filter(|(ask, _)| ask.reader.asked_in == self.ticks).count();
        FEED_AWAITED_BY_ONE_IN * at_end >= self.reading
    }

    // --- what has changed

    fn tick(&mut self, now: Duration) {
        self.sort_out(now);
        let taken = self.feed.take_changes();
        if taken.has_missed {
            self.channels.iter_mut().for_each(|channel| channel.ring.interrupt());
            self.last_told = None;
        }
        self.keep_whereabouts();
        self.mark = self.mark.max(taken.mark);
        let mut bytes = Vec::new();
        let changes = self.look_up(&taken.clients, &mut bytes);
        let happened = Happened { changes, bytes, links: self.turned_links(), mark: self.mark };
        let share = self.bounds.rings_bytes / self.channels.len().max(1);
        let origin = Origin { server: self.node.name(), incarnation: self.incarnation };
        for channel in &mut self.channels {
            let Bounds { piece_bytes, own_piece_bytes, .. } = self.bounds;
            let most = if channel.is_shared() { piece_bytes } else { own_piece_bytes };
            channel.write(&origin, &happened, most);
            channel.ring.keep(share);
        }
        for index in 0..self.channels.len() {
            for (ask, since) in std::mem::take(&mut self.channels[index].waiting) {
                self.serve_since(ask, since, now);
            }
        }
    }

    /// Lets go of those who are gone, and of what nobody needs.
    fn sort_out(&mut self, now: Duration) {
        for channel in &mut self.channels {
            channel.waiting.retain(|(ask, _)| ask.alive.strong_count() > 0);
        }
        self.touring.retain(|ask| ask.alive.strong_count() > 0);
        self.let_go(now);
        if self.channels.is_empty() && self.feed.readers() == 0 {
            self.feed.is_watched.store(false, Ordering::SeqCst);
            // Somebody may have come just now, and news may have been let pass.
            if self.feed.readers() > 0 {
                self.feed.is_watched.store(true, Ordering::SeqCst);
                self.feed.miss();
            }
        }
    }

    /// Lets go of channels without readers: of those for an area after a while, as who comes back is told by them who came
    /// and who left.
    fn let_go(&mut self, now: Duration) {
        let is_kept = |channel: &Channel| {
            channel.has_area() && channel.left_at.is_some_and(|left_at| now < left_at + AREA_KEPT)
        };
        for channel in &mut self.channels {
            let is_left = Arc::strong_count(&channel.tag) == 1;
            channel.left_at = is_left.then(|| channel.left_at.unwrap_or(now));
        }
        let kept = self.channels.iter().filter(|channel| is_kept(channel)).count();
        let mut excess = kept.saturating_sub(FEED_AREAS_KEPT);
        self.channels.retain(|channel| {
            let goes = is_kept(channel) && excess > 0;
            excess -= usize::from(goes);
            channel.left_at.is_none() || is_kept(channel) && !goes
        });
    }

    /// Keeps in mind where clients are, for as long as an area is watched.
    fn keep_whereabouts(&mut self) {
        if !self.channels.iter().any(Channel::has_area) {
            self.last_told = None;
        } else if self.last_told.is_none() {
            self.last_told = Some(Whereabouts::of_all(&self.node));
        }
    }

    /// What became of clients, each once. Their IDs and lines are in `bytes` then.
    fn look_up(&mut self, clients: &[u8], bytes: &mut Vec<u8>) -> Vec<Change> {
        let clients: HashSet<&[u8]> =
            clients.split(|&byte| byte == b'\n').filter(|client| !client.is_empty()).collect();
        let mut changes = Vec::with_capacity(clients.len());
        for client in clients {
            let begin = bytes.len();
            bytes.extend_from_slice(client);
            let id = begin..bytes.len();
            let seen = self.node.see(client, |record| {
                let begin = bytes.len();
                bytes.extend_from_slice(record.line());
                (begin..bytes.len(), record.offsets(), record.coordinates())
            });
            let at = seen.as_ref().map(|(_, _, at)| *at);
            let before = self.last_told.as_mut().and_then(|all| all.note(client, at));
            let now = seen.map(|(line, offsets, _)| (line, offsets));
            changes.push(Change { client: id, now, at, before });
        }
        changes
    }

    /// The links that are up or down since readers were last told.
    fn turned_links(&mut self) -> Vec<(Arc<Outlet>, bool)> {
        let mut turned = Vec::new();
        let links = self.feed.links();
        if !Arc::ptr_eq(&links, &self.links) {
            let were_up = |link: &Arc<Outlet>| {
                let before = self.links.iter().position(|known| Arc::ptr_eq(known, link));
                before.is_some_and(|index| self.were_up[index])
            };
            let now_up: Vec<_> = links.iter().map(were_up).collect();
            // Nobody is told any more how a link is that is gone.
            let gone =
                self.links.iter().zip(&self.were_up).filter(|(link, was_up)| {
                    **was_up && !links.iter().any(|known| known.name() == link.name())
                });
            turned.extend(gone.map(|(link, _)| (link.clone(), false)));
            (self.links, self.were_up) = (links, now_up);
        }
        for (link, was_up) in self.links.iter().zip(&mut self.were_up) {
            let is_up = link.is_up();
            if std::mem::replace(was_up, is_up) != is_up {
                turned.push((link.clone(), is_up));
            }
        }
        turned
    }

    // --- readers

    /// A reader asks what is next.
    fn take(&mut self, mut ask: Ask, now: Duration) {
        if ask.reader.channel.is_none() {
            ask.reader.channel = Some(self.channel_of(&ask.reader));
        }
        if std::mem::replace(&mut ask.reader.asked_in, self.ticks) != self.ticks {
            self.reading += 1;
        }
        self.serve(ask, now);
    }

    /// The channel of those that want the same as a reader.
    fn channel_of(&mut self, reader: &Reader) -> Arc<Tag> {
        if let Some(channel) = self.channels.iter().find(|channel| channel.view == reader.view) {
            return channel.tag.clone();
        }
        self.next_tag += 1;
        let tag = Arc::new(Tag(self.next_tag));
        self.channels.push(Channel::new(tag.clone(), reader.view.clone(), self.mark));
        // Who is in its area is known from here on.
        self.keep_whereabouts();
        tag
    }

    fn serve(&mut self, ask: Ask, now: Duration) {
        self.serve_since(ask, now, now);
    }

    /// Answers a reader that has heard nothing since then, or has it wait.
    fn serve_since(&mut self, mut ask: Ask, since: Duration, now: Duration) {
        if ask.alive.strong_count() == 0 {
            return;
        }
        let Some(tag) = ask.reader.channel.clone() else { return };
        let Some(index) = self.channels.iter().position(|channel| channel.tag.0 == tag.0) else { return };
        let Ask { reader, .. } = &mut ask;
        let is_silent = now.saturating_sub(since) >= PAUSE;
        match self.guide().lead(&self.channels[index], reader, is_silent) {
            Led::Answer(bytes) => (ask.answer)(ask.reader, bytes),
            Led::Further => self.touring.push_back(ask),
            Led::Wait => self.channels[index].waiting.push((ask, since)),
        }
    }

    fn guide(&self) -> Guide<'_> {
        Guide {
            feed: &self.feed,
            bounds: self.bounds,
            node: &self.node,
            links: &self.links,
            origin: Origin { server: self.node.name(), incarnation: self.incarnation },
            last_told: self.last_told.as_ref(),
            mark: self.mark,
            tick: self.ticks,
        }
    }
}
