//! A worker thread: a poller, its connections and a loop of turns. One turn reads all that is
//! ready, answers it, hands the news to the flooder as one batch, and only then sends the replies.

mod ending;
mod keeping;
mod moving;
mod waiting;

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::accept::Acceptor;
use super::balance::{Gauge, LOOK_EVERY};
use super::connection::{Connection, Phase, is_retry};
use super::conversation::{self, Turn, Wait};
use super::poller::{Event, Events, WAKE};
use super::slots::Slots;
use super::{Letter, Shared};
use crate::journal::Entries;
use crate::limits::{
    ACCEPTS_PER_TURN, EVENTS_MAX, GREEDY_BYTES_MAX, READ_BYTES, READS_PER_ACCEPT, TURN_BYTES_MAX,
};
use crate::logging::Wire;
use crate::node::News;

/// The key of the listener among a poller's events.
pub const LISTENER: u64 = u64::MAX - 1;

/// Sweeps look at every connection, so there is a rest between them.
const SWEEP_REST: Duration = Duration::from_millis(250);

pub struct Worker {
    shared: Arc<Shared>,
    index: usize,
    connections: Slots<Connection>,
    acceptor: Acceptor,
    gauge: Gauge,
    turn: Turn,
    /// The journal's share of a turn; reused.
    entries: Entries,
    /// What this turn has made for whom: a key and its part of the turn's output.
    sends: Vec<(u64, Range<usize>)>,
    buffer: Box<[u8]>,
    /// What the poller reported for this turn.
    ready: usize,
    /// Ready connections that filled their last read, whose turn comes after the others'.
    greedy: Vec<u64>,
    /// The last of them that was read.
    greedy_last: u64,
    /// No connection's time is up before this.
    sweep_at: Option<Instant>,
    swept_at: Instant,
}

impl Worker {
    pub fn new(shared: Arc<Shared>, index: usize) -> Worker {
        let now = Instant::now();
        let wire = Wire::new(&shared.sink);
        Worker {
            index,
            connections: Slots::default(),
            acceptor: Acceptor::default(),
            gauge: Gauge::new(now),
            turn: Turn {
                now,
                out: Vec::new(),
                news: News::default(),
                seen: Vec::new(),
                promises: Vec::new(),
                wire,
                read_bytes: 0,
            },
            entries: Entries::default(),
            sends: Vec::new(),
            buffer: vec![0; READ_BYTES].into(),
            ready: 0,
            greedy: Vec::new(),
            greedy_last: 0,
            sweep_at: None,
            swept_at: now,
            shared,
        }
    }

    /// Runs until the server stops and every reply is flushed.
    pub fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS_MAX);
        if self.shared.desks[self.index].load.is_at_work() {
            self.acceptor.open(&self.shared, self.index);
        }
        loop {
            self.shared.turns[self.index].end();
            if let Err(why) = self.shared.desks[self.index].poller.wait(&mut events, self.timeout()) {
                log::error!("worker {} cannot wait for its connections: {why}", self.index);
                return;
            }
            self.shared.turns[self.index].begin();
            self.turn.now = Instant::now();
            let stopping = self.shared.stopping.load(Ordering::SeqCst);
            self.ready = events.len();
            if self.acceptor.has_more() && !stopping {
                self.accept();
            }
            for index in 0..events.len() {
                self.take(events.get(index), stopping);
                if self.turn.read_bytes >= TURN_BYTES_MAX {
                    self.finish_turn();
                }
            }
            self.finish_turn();
            self.read_greedy();
            self.sweep();
            if stopping {
                if self.close_idle() {
                    return;
                }
            } else {
                self.acceptor.resume(&self.shared, self.index, self.turn.now);
                self.balance();
            }
        }
    }

    /// Until when the wait may last: the next deadline, or the next look at the load.
    fn timeout(&self) -> Option<Duration> {
        let until = |at: Instant| at.saturating_duration_since(self.turn.now);
        let desk = &self.shared.desks[self.index];
        let look = (self.index > 0 && desk.load.is_at_work()).then_some(LOOK_EVERY);
        [self.sweep_at.map(until), self.acceptor.resumes_at().map(until), look].into_iter().flatten().min()
    }

    fn take(&mut self, event: Event, stopping: bool) {
        match event.key {
            WAKE => self.open_inbox(),
            LISTENER if stopping => {}
            // Those that are accepted already in this turn.
            LISTENER if self.acceptor.has_more() => {}
            LISTENER => self.accept(),
            key => self.ready(key, event, stopping),
        }
    }

    fn open_inbox(&mut self) {
        self.shared.desks[self.index].poller.woken();
        for letter in self.shared.desks[self.index].take_letters() {
            match letter {
                Letter::Connection(connection) => self.adopt(*connection),
                Letter::Places { key, json } => self.looked_up(key, &json),
                Letter::Digest { key, line } => self.digested(key, &line),
            }
        }
        if self.shared.desks[self.index].load.is_at_work() {
            self.acceptor.open(&self.shared, self.index);
        }
    }

    fn accept(&mut self) {
        let shared = self.shared.clone();
        let count = ACCEPTS_PER_TURN.max(self.ready / READS_PER_ACCEPT);
        for (stream, address) in self.acceptor.accept(&shared, self.index, self.turn.now, count) {
            let peer = shared.neighbours.peer(address.ip());
            self.turn.wire.at(super::socket::posix_ns());
            self.turn.wire.with(&address);
            self.turn.wire.opened();
            self.adopt(Connection::new(stream, address, peer, self.turn.now));
        }
    }

    /// Makes a connection this worker's own.
    fn adopt(&mut self, mut connection: Connection) {
        connection.watched = connection.interest();
        let (key, connection) = self.connections.insert(connection);
        let poller = &self.shared.desks[self.index].poller;
        if let Err(why) = poller.add(&connection.stream, key, connection.watched) {
            log::warn!("cannot watch {}: {why}", connection.address);
            self.close(key, "it cannot be watched");
            return;
        }
        self.note_deadline(key);
    }

    fn ready(&mut self, key: u64, event: Event, stopping: bool) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.unsent() > 0 {
            if !event.writable && !event.broken {
                return;
            }
            return match connection.send_rest(self.turn.now) {
                Ok(()) => self.resume(key),
                Err(why) => self.broken(key, &why),
            };
        }
        let lingering = matches!(connection.phase, Phase::Lingering { .. });
        if event.readable && (!stopping || lingering) {
            if connection.is_greedy { self.greedy.push(key) } else { self.read(key) }
        } else if event.broken {
            self.close(key, "the peer reset it");
        }
    }

    fn read(&mut self, key: u64) {
        let Some(connection) = self.connections.get(key) else { return };
        let lingering = matches!(connection.phase, Phase::Lingering { .. });
        connection.active_in = self.gauge.window();
        match connection.read(&mut self.buffer, self.turn.now) {
            Ok(0) if lingering => self.close_lingering(key),
            Ok(_) if lingering => {}
            Ok(count) => {
                connection.eof = count == 0;
                connection.is_greedy = count == self.buffer.len();
                self.turn.read_bytes += count;
                self.converse(key, count);
            }
            Err(why) if is_retry(&why) => {}
            Err(why) => self.broken(key, &why),
        }
    }

    /// Reads those that always have more, one after another, as far as a turn goes. The poller
    /// reports the rest again, and then it begins behind the last one read.
    fn read_greedy(&mut self) {
        let mut greedy = std::mem::take(&mut self.greedy);
        greedy.sort_unstable();
        let next = greedy.partition_point(|&key| key <= self.greedy_last);
        greedy.rotate_left(next);
        for key in greedy.drain(..) {
            if self.turn.read_bytes >= GREEDY_BYTES_MAX {
                break;
            }
            self.greedy_last = key;
            self.read(key);
        }
        self.greedy = greedy;
        self.finish_turn();
    }

    /// Answers what was read into the buffer: `count` bytes of this connection, or what it kept.
    fn converse(&mut self, key: u64, count: usize) {
        let Some(connection) = self.connections.get(key) else { return };
        let begin = self.turn.out.len();
        let wait = conversation::converse(&self.shared, &mut self.turn, connection, &self.buffer[..count]);
        self.sends.push((key, begin..self.turn.out.len()));
        match wait {
            Some(Wait::Places(lookup)) => self.look_up(key, lookup),
            Some(Wait::Digest) => self.ask(key),
            None => {}
        }
    }

    /// Goes on with what the connection kept while it waited.
    fn converse_kept(&mut self, key: u64) {
        let Some(connection) = self.connections.get(key) else { return };
        if !matches!(connection.phase, Phase::Open) {
            return;
        }
        if connection.unsent() > 0 {
            connection.stalled = true;
        } else if connection.eof || !connection.input.is_empty() {
            self.converse(key, 0);
        }
    }

    /// Everything the turn made leaves: first to the journal, then the news, the log, the replies. Replies that
    /// went out at once may free a connection to go on, which makes for another round.
    fn finish_turn(&mut self) {
        while !self.sends.is_empty() || !self.turn.news.is_empty() || !self.turn.seen.is_empty() {
            self.keep();
            if !self.turn.news.is_empty() {
                // The flood is logged by whoever sends it: after what it comes from.
                self.turn.wire.commit_received(&self.shared.sink);
                self.turn.news = self.shared.flood.send(std::mem::take(&mut self.turn.news));
            }
            self.turn.wire.commit(&self.shared.sink);
            let (mut sends, out) = (std::mem::take(&mut self.sends), std::mem::take(&mut self.turn.out));
            for (key, range) in sends.drain(..) {
                self.send(key, &out[range]);
            }
            if self.sends.is_empty() {
                self.sends = sends;
            }
            if self.turn.out.is_empty() {
                self.turn.out = out;
                self.turn.out.clear();
                self.turn.out.shrink_to(4 * TURN_BYTES_MAX);
            }
        }
        self.turn.wire.commit(&self.shared.sink);
        self.turn.read_bytes = 0;
    }

    fn send(&mut self, key: u64, replies: &[u8]) {
        let Some(connection) = self.connections.get(key) else { return };
        let sent = if replies.is_empty() { Ok(()) } else { connection.send(replies, self.turn.now) };
        match sent {
            Ok(()) => self.resume(key),
            Err(why) => self.broken(key, &why),
        }
    }

    /// After replies were sent: goes on with what is kept, or ends it, or watches for what is next.
    fn resume(&mut self, key: u64) {
        let Some(connection) = self.connections.get(key) else { return };
        if connection.unsent() == 0 {
            match connection.phase {
                Phase::Open if connection.stalled => self.converse_kept(key),
                Phase::Closing(why) if connection.eof => return self.close(key, why),
                Phase::Closing(why) => return self.linger(key, why),
                Phase::Open | Phase::Lookup(_) | Phase::Asked | Phase::Lingering { .. } => {}
            }
        }
        self.watch(key);
    }

    /// Tells the poller what the connection waits for, if that has changed, and the clock until when. Every
    /// turn of a connection ends here, and every change of its phase.
    fn watch(&mut self, key: u64) {
        let Some(connection) = self.connections.get(key) else { return };
        let interest = connection.interest();
        if interest != connection.watched {
            connection.watched = interest;
            let modified = self.shared.desks[self.index].poller.modify(&connection.stream, key, interest);
            if let Err(why) = modified {
                return self.broken(key, &why);
            }
        }
        self.note_deadline(key);
    }
}
