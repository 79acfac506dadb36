//! A worker's connections and their doors, moved by events: what is ready is read and answered in a turn, what the
//! turn said is sent, and each connection ends in time. It names no thread, poller, socket or protocol; a worker
//! drives it, and so does the simulation of the tests.

mod admitting;
mod ending;
mod reading;

use std::collections::{BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::entrance::Admission;
use super::unsent::Unsent;
use crate::clock::{Moment, Stamp};
use crate::door::{Answer, Door, DoorKind, Kin, Manners, PEER_CLOSED, Question, Visit};
use crate::limits::{
    DRAIN_LOOK_MS, HANDSHAKE_S, METERED_TURN_US, READ_BYTES, REPORTS_FOR_S, SWEEP_REST_MS, TURN_BYTES_MAX,
};
use crate::logging::Wire;
use crate::net::{Connection, Event, Interest, Lane, Slots, Stream, Watch};
use crate::places::pool::Asker;
use crate::tally::Ended;
use crate::turn::{Core, Told, Turn};
use admitting::Quiet;

/// What a room needs of the world around it.
pub trait Outside<S>: Watch<S> {
    fn core(&self) -> &Core;
    fn manners(&self) -> &Manners;
    /// Takes up other manners, if there are any; says whether there were.
    fn refresh(&mut self) -> bool;
    /// How long a peer may take nothing of its replies.
    fn write_timeout(&self) -> Duration;
    /// Has a question answered: the answer is for this connection and comes later, never from within this call.
    /// False when there is too much to do.
    fn ask(&self, key: u64, asker: Asker, question: Question) -> bool;
    /// What is unsent of all connections, of other rooms, too.
    fn unsent(&self) -> &Unsent;
    /// A connection has proven that it is of the herd. As what it is in from now on.
    fn prove(&self, admission: Admission, kin: Kin, address: IpAddr) -> Admission;
    /// A connection is gone, which was in as this.
    fn left(&self, admission: Admission, address: SocketAddr);
    /// The time since 1970 in ns.
    fn posix_ns(&self) -> u64;
}

/// The connections of one worker.
pub struct Room<S, O> {
    outside: O,
    guests: Slots<Guest<S>>,
    turn: Turn,
    buffer: Box<[u8]>,
    now: Moment,
    /// Since when the server stops; None while it does not.
    stops_since: Option<Duration>,
    /// Bytes read in this turn.
    read_bytes: usize,
    /// Ready connections that filled their last read, whose turn comes after the others'.
    greedy: Vec<u64>,
    /// The last of them that was read.
    greedy_last: u64,
    /// Connections whose streams have more of which no event tells. They are read in the next turn.
    held: Vec<u64>,
    /// Connections that are ready to go on with their handshake, the first one first: a few of them are read a turn, and
    /// none is watched meanwhile.
    handshakes: VecDeque<u64>,
    /// Connections that wait for room for what is large, the first one first.
    unroomed: VecDeque<u64>,
    /// When those of the metered lane began to be served in this turn.
    metered_ns: u64,
    /// Connections whose question was refused, which are told so in the next turn.
    refused: Vec<u64>,
    /// The server stops, and what had come by the end of its drain was read.
    has_read_last: bool,
    /// Connections that have said what is learned in another room.
    misplaced: BTreeSet<u64>,
    /// No connection's time is up before this.
    sweep_at: Option<Duration>,
    swept_at: Duration,
    /// What connections are marked with when they are read.
    window: u32,
    /// Who may be closed for the next one, from anywhere or from one address.
    quiet: Quiet,
    quiet_of_address: Quiet,
    /// Connections that came in on trial, the first one first; some have ended or proven themselves.
    trials: VecDeque<u64>,
}

/// A connection and what is spoken on it.
pub struct Guest<S> {
    pub connection: Connection<S>,
    pub door: Door,
    pub address: SocketAddr,
    admission: Admission,
    /// While it waits for an answer: gone when it is.
    waits: Option<Arc<()>>,
    /// When it last said something, or came: what a handshake takes is not heard, and one on trial is not either.
    heard: Stamp,
    /// It has said something since it came.
    has_spoken: bool,
    /// What it counts for among what is unsent.
    weight: usize,
    /// Its last read filled the buffer: there is more where that came from.
    is_greedy: bool,
    /// It is among those that its room reads without an event.
    is_held: bool,
    /// It is among those that wait to go on with their handshake.
    is_put_off: bool,
    /// It is among those that wait for room.
    is_unroomed: bool,
    /// The last of its worker's load windows in which it was read, and the second in which it last said what was to be
    /// learned: their last 16 bits, as there may be many of these.
    pub active_in: u16,
    pub told_s: u16,
}

/// Sweeps look at every connection, so there is a rest between them.
const SWEEP_REST: Duration = Duration::from_millis(SWEEP_REST_MS);

/// While the server stops: between two looks at who has fallen silent.
const DRAIN_LOOK: Duration = Duration::from_millis(DRAIN_LOOK_MS);

const HANDSHAKE: Duration = Duration::from_secs(HANDSHAKE_S);

const METERED_TURN: Duration = Duration::from_micros(METERED_TURN_US);

impl<S: Stream> Guest<S> {
    fn lane(&self) -> Lane {
        match self.door.kind() {
            DoorKind::Line => Lane::Open,
            DoorKind::Http => Lane::Metered,
        }
    }

    fn interest(&self) -> Interest {
        if self.is_put_off { Interest::Nothing } else { self.connection.interest(self.door.reads()) }
    }

    /// When it is to be closed unless something happens, and why.
    fn deadline(&self, manners: &Manners, write_timeout: Duration) -> Option<(Duration, &'static str)> {
        if let Some(lingers) = self.connection.lingers() {
            Some(lingers)
        } else if matches!(self.admission, Admission::OnTrial(_)) {
            Some((self.heard.up() + manners.greeting, "there is no room for it"))
        } else if self.connection.stream.is_in_handshake() {
            Some((self.heard.up() + HANDSHAKE, "its handshake did not come to an end"))
        } else if self.connection.unsent() > 0 {
            Some((self.connection.taken() + write_timeout, "it does not read its replies"))
        } else {
            self.door.deadline(manners, self.heard.up(), self.connection.taken())
        }
    }
}

impl<S: Stream, O: Outside<S>> Room<S, O> {
    pub fn new(outside: O, wire: Wire, now: Moment) -> Room<S, O> {
        let turn = Turn::new(outside.core(), wire);
        Room {
            outside,
            guests: Slots::default(),
            turn,
            buffer: vec![0; READ_BYTES].into(),
            now,
            stops_since: None,
            read_bytes: 0,
            greedy: Vec::new(),
            greedy_last: 0,
            held: Vec::new(),
            handshakes: VecDeque::new(),
            unroomed: VecDeque::new(),
            metered_ns: 0,
            refused: Vec::new(),
            has_read_last: false,
            misplaced: BTreeSet::new(),
            sweep_at: None,
            swept_at: now.up,
            window: 0,
            quiet: Quiet::default(),
            quiet_of_address: Quiet::default(),
            trials: VecDeque::new(),
        }
    }

    pub fn outside(&self) -> &O {
        &self.outside
    }

    // --- a turn, from its beginning to its end

    /// What is about to be waited for begins after all that was learned has left.
    pub fn rest(&self) {
        self.turn.end();
    }

    /// A turn begins.
    pub fn begin(&mut self, now: Moment, window: u32, stops_since: Option<Duration>) {
        self.turn.begin();
        (self.now, self.window, self.stops_since) = (now, window, stops_since);
        self.metered_ns = now.posix_ns;
        if self.outside.refresh() {
            // Some may have less time from now on.
            self.sweep_at = Some(now.up);
        }
        for key in std::mem::take(&mut self.refused) {
            self.answered(key, Answer::None);
        }
        for key in std::mem::take(&mut self.held) {
            if let Some(guest) = self.guests.get(key) {
                guest.is_held = false;
                self.ready(key, Event { key, readable: true, writable: false, broken: false });
            }
        }
    }

    /// All of the open lane that were ready are served, and those of the metered lane come next.
    pub fn begin_metered(&mut self) {
        if !self.turn.is_commit_dear(self.outside.core()) {
            self.flush();
        }
        self.metered_ns = self.outside.posix_ns();
    }

    /// Whether one more of the metered lane may be served in this turn: those of the open lane wait for it.
    pub fn has_metered_time(&self) -> bool {
        let took_ns = self.outside.posix_ns().saturating_sub(self.metered_ns);
        Duration::from_nanos(took_ns) < METERED_TURN
    }

    /// Ends the turn: sends what it made, reads those that always have more and those in their handshake, and closes
    /// whose time is up.
    pub fn finish(&mut self) {
        if self.is_drained() && !std::mem::replace(&mut self.has_read_last, true) {
            self.read_last();
        }
        self.flush();
        self.read_greedy();
        self.find_room();
        self.read_handshakes();
        self.sweep();
        self.shed();
        // What a sweep had go on.
        self.flush();
    }

    /// How long the next turn may be waited for; None for ever.
    pub fn patience(&self) -> Option<Duration> {
        if !(self.refused.is_empty() && self.held.is_empty() && self.handshakes.is_empty()) {
            return Some(Duration::ZERO);
        }
        // Another worker may have made room.
        let looks_for_room = (!self.unroomed.is_empty()).then_some(SWEEP_REST);
        let sweeps = self.sweep_at.map(|at| at.saturating_sub(self.now.up));
        let drains = (self.stops_since.is_some() && !self.guests.is_empty()).then_some(DRAIN_LOOK);
        [looks_for_room, sweeps, drains].into_iter().flatten().min()
    }

    // --- connections come and go

    /// A connection was accepted and counted in.
    pub fn welcome(
        &mut self,
        stream: S,
        address: SocketAddr,
        mut door: Door,
        admission: Admission,
        now_ns: u64,
    ) {
        self.turn.wire.at(now_ns);
        self.turn.wire.with(&address);
        if !self.turn.wire.opened() {
            door.hide();
        }
        let opened = self.now.up;
        self.turn.opened(door.kind());
        let connection = Connection::new(stream, opened);
        self.adopt(Guest {
            connection,
            door,
            address,
            admission,
            waits: None,
            heard: opened.into(),
            has_spoken: false,
            weight: 0,
            is_greedy: false,
            is_held: false,
            is_put_off: false,
            is_unroomed: false,
            active_in: 0,
            told_s: (opened.as_secs() as u16).wrapping_sub(REPORTS_FOR_S),
        });
    }

    /// Makes a connection this room's own.
    pub fn adopt(&mut self, mut guest: Guest<S>) {
        // Of what another room was about to do it knows nothing.
        (guest.is_held, guest.is_put_off, guest.is_unroomed) = (false, false, false);
        // What it has sent behind that is read by a server that stops, too.
        self.has_read_last = false;
        let has_more = guest.door.is_stalled();
        guest.connection.watched = guest.interest();
        let (key, guest) = self.guests.insert(guest);
        if matches!(guest.admission, Admission::OnTrial(_)) {
            self.trials.push_back(key);
        }
        // Thousands of phones may come back at once, and whoever speaks lines is not to wait for all of them.
        let lane = guest.lane();
        if let Err(why) = self.outside.add(lane, &guest.connection.stream, key, guest.connection.watched) {
            log::warn!("cannot watch {}: {why}", guest.address);
            self.close(key, Ended::Broken, "it cannot be watched");
            return;
        }
        self.hold(key);
        self.line_up(key);
        self.note_deadline(key);
        if has_more {
            self.go_on(key);
        }
    }

    /// Has nothing be learned in this room from here on, or has it be.
    pub fn part(&mut self, is_parted: bool) {
        self.turn.part(is_parted);
    }

    /// The connections that have said what is learned in another room.
    pub fn take_misplaced(&mut self) -> BTreeSet<u64> {
        std::mem::take(&mut self.misplaced)
    }

    /// The connections that can change rooms: all but those whose answer will come here.
    pub fn movable(&mut self, wanted: impl Fn(&Guest<S>) -> bool) -> Vec<u64> {
        let mut keys = self.guests.keys();
        keys.retain(|&key| self.guests.get(key).is_some_and(|guest| wanted(guest) && !guest.door.waits()));
        keys
    }

    /// Gives a connection away.
    pub fn hand_out(&mut self, key: u64) -> Option<Guest<S>> {
        let guest = self.guests.remove(key)?;
        // Removing fails only for a source that is not watched, which is what it is to be.
        let _ = self.outside.remove(&guest.connection.stream);
        Some(guest)
    }

    pub fn is_empty(&self) -> bool {
        self.guests.is_empty()
    }

    // --- what is ready

    /// Something happened to a connection.
    pub fn ready(&mut self, key: u64, event: Event) {
        let is_reading = !self.is_drained();
        let Some(guest) = self.guests.get(key) else { return };
        if guest.connection.unsent() > 0 {
            match guest.connection.send_rest(self.now.up) {
                Ok(()) => self.resume(key),
                Err(why) => self.broken(key, &why),
            }
        } else if event.readable && (is_reading || guest.connection.lingers().is_some()) {
            if guest.connection.stream.is_in_handshake() {
                self.put_off(key);
            } else if guest.is_greedy {
                self.greedy.push(key);
            } else {
                self.read(key);
            }
        } else if event.broken {
            self.close(key, Ended::ByPeer, "the peer reset it");
        }
        if self.read_bytes >= TURN_BYTES_MAX {
            self.flush();
        }
    }

    /// Calls a connection's door. What it says is sent at the end of the turn; what it asks is asked now.
    fn visit(&mut self, key: u64, call: impl FnOnce(&mut Door, &mut Visit<'_>, &[u8]) -> Option<Question>) {
        let (is_stopping, is_drained) = (self.stops_since.is_some(), self.is_drained());
        let Some(guest) = self.guests.get(key) else { return };
        let begin = self.turn.out.len();
        let now = Moment { posix_ns: self.outside.posix_ns(), ..self.now };
        let mut visit = Visit {
            core: self.outside.core(),
            manners: self.outside.manners(),
            turn: &mut self.turn,
            now,
            address: guest.address,
            unsent: guest.connection.unsent(),
            is_on_trial: matches!(guest.admission, Admission::OnTrial(_)),
            is_stopping: is_stopping && (is_drained || !guest.connection.stream.has_input()),
        };
        let question = call(&mut guest.door, &mut visit, &self.buffer);
        self.turn.send(key, begin);
        match self.turn.take_told() {
            Told::Nothing => {}
            Told::Learned => guest.told_s = self.now.up.as_secs() as u16,
            Told::PutOff => _ = self.misplaced.insert(key),
        }
        if guest.door.take_lasting()
            && let Err(why) = guest.connection.stream.keep_alive()
        {
            log::warn!("cannot keep the link of {} alive: {why}", guest.address);
        }
        if let Some(question) = question {
            self.ask(key, question);
        }
        self.weigh(key);
    }

    fn ask(&mut self, key: u64, question: Question) {
        let Some(guest) = self.guests.get(key) else { return };
        let waits = guest.waits.insert(Arc::default());
        let asker = Asker { address: guest.address.ip(), alive: Arc::downgrade(waits) };
        if !self.outside.ask(key, asker, question) {
            // Told in the next turn, and never by a call: an answer from here would have the next question asked
            // one level deeper, and a peer may send as many as it likes.
            self.refused.push(key);
        }
    }

    /// The answer to a connection's question has come.
    pub fn answered(&mut self, key: u64, answer: Answer) {
        self.visit(key, |door, visit, _| {
            door.answer(visit, answer);
            None
        });
        if let Some(guest) = self.guests.get(key) {
            guest.waits = None;
        }
        self.go_on(key);
    }

    /// Goes on with what the door kept.
    fn go_on(&mut self, key: u64) {
        self.visit(key, |door, visit, _| door.go_on(visit));
    }

    // --- what was made is sent

    /// Everything the turn made leaves: first to the journal, then the news, the log, the replies. Replies that
    /// went out at once may free a connection to go on, which makes for another round.
    pub fn flush(&mut self) {
        while self.turn.is_due() {
            self.turn.commit(self.outside.core(), self.now);
            let said = self.turn.take_said();
            said.parts().for_each(|(key, replies)| self.send(key, replies));
            said.shared().for_each(|(key, bytes)| self.send_shared(key, bytes));
            // Only then, as a connection that is to be closed may have said something twice.
            said.parts().for_each(|(key, _)| self.resume(key));
            self.turn.give_back(said);
        }
        self.turn.wire.commit();
        let took_ns = self.outside.posix_ns().saturating_sub(self.now.posix_ns);
        self.turn.settle(Duration::from_nanos(took_ns));
        self.read_bytes = 0;
    }

    /// The same when much has been said, and then has those make way who do not take what they are sent. Says whether
    /// that was so.
    pub fn flush_much(&mut self) -> bool {
        let is_much = self.turn.said_bytes() >= TURN_BYTES_MAX;
        if is_much {
            self.flush();
            self.shed();
        }
        is_much
    }

    fn send(&mut self, key: u64, replies: &[u8]) {
        let Some(guest) = self.guests.get(key) else { return };
        let sent = if replies.is_empty() { Ok(()) } else { guest.connection.send(replies, self.now.up) };
        if let Err(why) = sent {
            self.broken(key, &why);
        }
    }

    fn send_shared(&mut self, key: u64, bytes: &Arc<[u8]>) {
        let Some(guest) = self.guests.get(key) else { return };
        if let Err(why) = guest.connection.send_shared(bytes, self.now.up) {
            self.broken(key, &why);
        }
    }

    /// After replies were sent: goes on with what is kept, or ends it, or watches for what is next.
    fn resume(&mut self, key: u64) {
        let Some(guest) = self.guests.get(key) else { return };
        if guest.connection.unsent() == 0 && guest.connection.lingers().is_none() {
            match guest.door.closes() {
                Some(why) if guest.connection.eof => {
                    let ended = if why == PEER_CLOSED { Ended::ByPeer } else { Ended::ByDoor };
                    return self.close(key, ended, why);
                }
                Some(why) => return self.linger(key, why),
                None if guest.door.is_stalled() && !self.misplaced.contains(&key) => self.go_on(key),
                None => {}
            }
        }
        self.watch(key);
    }

    /// Has the connection watched for what it waits for, if that has changed, and notes until when. Every
    /// turn of a connection ends here, and every change of what it waits for.
    fn watch(&mut self, key: u64) {
        let Some(guest) = self.guests.get(key) else { return };
        let before = std::mem::replace(&mut guest.weight, Unsent::weight(guest.connection.unsent()));
        self.outside.unsent().change(before, guest.weight);
        let interest = guest.interest();
        if interest != guest.connection.watched {
            guest.connection.watched = interest;
            if let Err(why) = self.outside.modify(&guest.connection.stream, key, interest) {
                return self.broken(key, &why);
            }
        }
        self.hold(key);
        self.line_up(key);
        self.note_deadline(key);
    }
}
