//! The feeder: looks up what became of who has changed, writes it for each channel, and answers readers. The server gives
//! it a thread. It takes the time as a value, so that the simulation of the tests drives it, too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use super::event::{Event, Origin, Why};
use super::reader::{Position, Reader, Tag};
use super::ring::{Piece, Ring};
use super::scope::{Place, View};
use super::tour::Tour;
use super::{Ask, Feed, Message};
use crate::clock::Clock;
use crate::limits::{
    FEED_LOOK_AGAIN_MS, FEED_PAUSE_S, FEED_PIECE_BYTES, FEED_PUT_OFF_MS, FEED_RINGS_BYTES, FEED_TICK_MS,
};
use crate::link::Outlet;
use crate::node::Node;
use crate::protocol::record::Offsets;
use crate::protocol::{Coordinates, Record};

/// The thread's own.
pub struct Feeder {
    feed: Arc<Feed>,
    asks: Receiver<Message>,
    node: Arc<Node>,
    incarnation: u64,
    links: Vec<Arc<Outlet>>,
    /// Which links were up when readers were last told.
    were_up: Vec<bool>,
    channels: Vec<Channel>,
    next_tag: u64,
    /// Where clients were when that was last told: kept while somebody watches an area, for who enters and leaves.
    places: Option<Places>,
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

/// Readers that want the same.
struct Channel {
    tag: Arc<Tag>,
    view: Arc<View>,
    ring: Ring,
    /// Those that have all there is, and since when they have heard nothing.
    waiting: Vec<(Ask, Duration)>,
    /// All up to this epoch was told in it; and something was told since that was said.
    marked: u32,
    is_unmarked: bool,
}

/// Where each client is, by its hash.
#[derive(Default)]
struct Places {
    hashing: RandomState,
    by_hash: HashMap<u64, Coordinates>,
}

/// What became of one client.
struct Change {
    client: Range<usize>,
    /// Its record, if it is known.
    now: Option<(Range<usize>, Offsets)>,
    at: Option<Coordinates>,
    before: Option<Coordinates>,
}

const TICK: Duration = Duration::from_millis(FEED_TICK_MS);
const PUT_OFF: Duration = Duration::from_millis(FEED_PUT_OFF_MS);
const LOOK_AGAIN: Duration = Duration::from_millis(FEED_LOOK_AGAIN_MS);
const PAUSE: Duration = Duration::from_secs(FEED_PAUSE_S);

/// What one reader was led to.
enum Led {
    Answer(Arc<[u8]>),
    /// It has to be led on, but others come first.
    Further,
    /// There is nothing for it now.
    Wait,
}

impl Feeder {
    /// The two ends of the feed of a node.
    pub fn new(
        node: Arc<Node>,
        incarnation: u64,
        links: Vec<Arc<Outlet>>,
        now: Duration,
    ) -> (Arc<Feed>, Feeder) {
        let (feed, asks) = Feed::new();
        let feed = Arc::new(feed);
        let feeder = Feeder {
            feed: feed.clone(),
            asks,
            node,
            incarnation,
            were_up: vec![false; links.len()],
            links,
            channels: Vec::new(),
            next_tag: 0,
            places: None,
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

    /// Whether most of those who read have all that was told, and wait for more.
    fn is_awaited(&self) -> bool {
        let waiting = self.channels.iter().flat_map(|channel| &channel.waiting);
        let at_end = waiting.filter(|(ask, _)| ask.reader.asked_in == self.ticks).count();
        2 * at_end >= self.reading
    }

    // --- what has changed

    fn tick(&mut self, now: Duration) {
        self.sort_out();
        let taken = self.feed.take_changes();
        if taken.has_missed {
            self.channels.iter_mut().for_each(|channel| channel.ring.interrupt());
            self.places = None;
        }
        self.keep_places();
        let mut bytes = Vec::new();
        let changes = self.look_up(&taken.clients, &mut bytes);
        let turned = self.turned_links();
        self.mark = self.mark.max(taken.mark);
        let share = FEED_RINGS_BYTES / self.channels.len().max(1);
        for index in 0..self.channels.len() {
            self.write(index, &changes, &bytes, &turned);
            self.channels[index].ring.keep(share);
            for (ask, since) in std::mem::take(&mut self.channels[index].waiting) {
                self.serve_since(ask, since, now);
            }
        }
    }

    /// Lets go of those who are gone, and of what nobody needs.
    fn sort_out(&mut self) {
        for channel in &mut self.channels {
            channel.waiting.retain(|(ask, _)| ask.alive.strong_count() > 0);
        }
        self.touring.retain(|ask| ask.alive.strong_count() > 0);
        self.channels.retain(|channel| Arc::strong_count(&channel.tag) > 1);
        if self.feed.readers() == 0 {
            self.feed.is_watched.store(false, Ordering::SeqCst);
            // Somebody may have come just now, and news may have been let pass.
            if self.feed.readers() > 0 {
                self.feed.is_watched.store(true, Ordering::SeqCst);
                self.feed.miss();
            }
        }
    }

    /// Keeps in mind where clients are, for as long as somebody watches an area.
    fn keep_places(&mut self) {
        let is_wanted = self.channels.iter().any(|channel| channel.view.scope.place.is_some());
        if !is_wanted {
            self.places = None;
        } else if self.places.is_none() {
            let mut places = Places::default();
            for bucket in self.node.store.buckets() {
                self.node.see_bucket(bucket, |record| {
                    let hash = places.hashing.hash_one(record.client());
                    places.by_hash.insert(hash, record.coordinates());
                });
            }
            self.places = Some(places);
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
            let before = self.places.as_mut().and_then(|places| {
                let hash = places.hashing.hash_one(client);
                match at {
                    Some(at) => places.by_hash.insert(hash, at),
                    None => places.by_hash.remove(&hash),
                }
            });
            let now = seen.map(|(line, offsets, _)| (line, offsets));
            changes.push(Change { client: id, now, at, before });
        }
        changes
    }

    /// The links that are up or down since readers were last told.
    fn turned_links(&mut self) -> Vec<(Arc<Outlet>, bool)> {
        let mut turned = Vec::new();
        for (link, was_up) in self.links.iter().zip(&mut self.were_up) {
            let is_up = link.is_up();
            if std::mem::replace(was_up, is_up) != is_up {
                turned.push((link.clone(), is_up));
            }
        }
        turned
    }

    /// Writes what has changed for one channel.
    fn write(&mut self, index: usize, changes: &[Change], bytes: &[u8], turned: &[(Arc<Outlet>, bool)]) {
        let (origin, mark) = (Origin { server: self.node.name(), incarnation: self.incarnation }, self.mark);
        let channel = &mut self.channels[index];
        let View { scope, write } = &*channel.view;
        let (mut out, before) = (Vec::new(), channel.ring.next());
        let mut tell = |event: &Event<'_>, ring: &mut Ring| {
            write(&origin, event, &mut out);
            if out.len() >= FEED_PIECE_BYTES {
                ring.push(Piece { bytes: std::mem::take(&mut out).into(), mark: None });
            }
        };
        for (link, is_up) in turned {
            tell(&Event::Link { neighbour: link.name(), is_up: *is_up }, &mut channel.ring);
        }
        for change in changes {
            let client = &bytes[change.client.clone()];
            if !scope.clients.has(client) {
                continue;
            }
            let is_in =
                |at: Option<Coordinates>| scope.place.is_none_or(|it| at.is_some_and(|at| it.has(at)));
            match &change.now {
                Some((line, offsets)) if is_in(change.at) => {
                    let record = &Record::new(&bytes[line.clone()], *offsets);
                    let has_entered = !is_in(change.before);
                    tell(&Event::Position { record, has_entered }, &mut channel.ring);
                }
                now if is_in(change.before) => {
                    let why = if now.is_some() { Why::Left } else { Why::Forgotten };
                    tell(&Event::Gone { client, why }, &mut channel.ring);
                }
                _ => {}
            }
        }
        let has_told = !out.is_empty() || channel.ring.next() > before;
        let marks = (mark > channel.marked && (has_told || channel.is_unmarked)).then_some(mark);
        if let Some(mark) = marks {
            write(&origin, &Event::Mark(mark), &mut out);
            channel.marked = mark;
        }
        // What is told now may be of an epoch that is still open.
        channel.is_unmarked = has_told || channel.is_unmarked && marks.is_none();
        if !out.is_empty() {
            channel.ring.push(Piece { bytes: out.into(), mark: marks });
        }
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
        let (view, ring) = (reader.view.clone(), Ring::default());
        self.channels.push(Channel {
            tag: tag.clone(),
            view,
            ring,
            waiting: Vec::new(),
            marked: self.mark,
            is_unmarked: false,
        });
        // Who is in its area is known from here on.
        self.keep_places();
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
        match self.lead(index, reader, now.saturating_sub(since) >= PAUSE) {
            Led::Answer(bytes) => (ask.answer)(ask.reader, bytes),
            Led::Further => self.touring.push_back(ask),
            Led::Wait => self.channels[index].waiting.push((ask, since)),
        }
    }

    /// Leads a reader on.
    fn lead(&self, index: usize, reader: &mut Reader, is_silent: bool) -> Led {
        let Channel { ring, view, .. } = &self.channels[index];
        let (origin, write) = (self.origin(), view.write);
        let mut out = Vec::new();
        if let Position::Live { next, mark } = &mut reader.at {
            if let Some(piece) = ring.get(*next) {
                *next += 1;
                *mark = piece.mark.unwrap_or(*mark);
                return Led::Answer(piece.bytes.clone());
            }
            if ring.reaches(*next) {
                if !is_silent {
                    return Led::Wait;
                }
                // It has all there is.
                *mark = self.mark;
                write(&origin, &Event::Pause, &mut out);
                write(&origin, &Event::Mark(self.mark), &mut out);
                return Led::Answer(out.into());
            }
            reader.at = Position::Behind { after: Some(*mark) };
        }
        if let Position::Behind { after } = reader.at {
            let after = after.filter(|after| self.is_told_from(*after, view.scope.place));
            let tour = Tour::new(&self.node, &view.scope, after);
            if after.is_none() {
                write(&origin, &Event::Snapshot, &mut out);
            }
            for link in &self.links {
                write(&origin, &Event::Link { neighbour: link.name(), is_up: link.is_up() }, &mut out);
            }
            reader.at = Position::Touring { tour, after, next: ring.next(), mark: self.mark };
        }
        if let Position::Touring { tour, after, next, mark } = &mut reader.at {
            tour.step(&self.node, &view.scope, *after, |event| {
                write(&origin, event, &mut out);
                out.len() >= FEED_PIECE_BYTES
            });
            if tour.is_done() {
                if ring.reaches(*next) {
                    write(&origin, &Event::CaughtUp, &mut out);
                }
                write(&origin, &Event::Mark(*mark), &mut out);
                reader.at = match ring.reaches(*next) {
                    true => Position::Live { next: *next, mark: *mark },
                    false => Position::Behind { after: Some(*mark) },
                };
            }
        }
        if out.is_empty() { Led::Further } else { Led::Answer(out.into()) }
    }

    /// Whether the store can tell what has changed since an epoch. It does not tell who was forgotten as nothing was
    /// heard of them, nor who was in an area before.
    fn is_told_from(&self, after: u32, place: Option<Place>) -> bool {
        place.is_none() && after <= self.mark && after >= self.feed.expired_in.load(Ordering::SeqCst)
    }

    fn origin(&self) -> Origin<'_> {
        Origin { server: self.node.name(), incarnation: self.incarnation }
    }
}
