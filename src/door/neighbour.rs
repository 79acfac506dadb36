//! What a dialler of the herd says beside AT lines, and how it is answered: the listening end of a link. The door
//! for lines hands such a word over.

use super::conversation::{Conversation, Line};
use super::line::{LineDoor, Phase};
use super::{Answer, Order, Outcome, Question, Visit};
use crate::link::{ASKER, Denied, Listener, Peer, PeerKind, keys};
use crate::logging::Escaped;
use crate::protocol::neighbour::{ClockReading, End, Proof, Word};
use crate::protocol::{Reply, Rule, Span};
use crate::status::{HallStatus, JournalStatus, Status};
use crate::store::digest::Digest;

impl LineDoor {
    /// Answers an ASK. With too much to do it says nothing, and the neighbour asks again later.
    pub(super) fn answer_ask(&self, visit: &mut Visit<'_>, answer: &Answer) {
        let takes_notes = self.neighbour.as_deref().is_some_and(|it| it.conf().is_some());
        let out = &mut visit.turn.out;
        match answer {
            Answer::Digest(digest) => write_digest(digest, out),
            Answer::Status(status) => write_status(status, takes_notes, out),
            Answer::Places(_)
            | Answer::Clients(_)
            | Answer::Phone(..)
            | Answer::Near(_)
            | Answer::Count(_)
            | Answer::Feed { .. }
            | Answer::Outcome(_)
            | Answer::None => {}
        }
    }

    /// Answers a HOW; with too much to do it says nothing.
    pub(super) fn answer_how(&self, visit: &mut Visit<'_>, answer: &Answer) {
        if let Answer::Status(status) = answer {
            let state = state(status, visit).to_string();
            Word::State(state.as_bytes()).write(&mut visit.turn.out);
        }
    }

    /// Says what came of an order.
    pub(super) fn answer_order(&self, visit: &mut Visit<'_>, answer: &Answer) {
        let out = &mut visit.turn.out;
        match answer {
            Answer::Outcome(Outcome::Done(what)) => Word::Done(one_line(what).as_bytes()).write(out),
            Answer::Outcome(Outcome::Kept { status, why }) => {
                Word::Kept { status: *status, why: one_line(why).as_bytes() }.write(out);
            }
            _ => Word::Kept { status: ORDERS_WAIT, why: b"it has other orders to carry out; ask again" }
                .write(out),
        }
    }
}

/// The exit status for an order that may be given again later.
const ORDERS_WAIT: u8 = 75;

/// A text without line breaks, as it is a part of a line.
fn one_line(text: &str) -> String {
    text.replace(|char: char| char.is_control(), " ")
}

/// How a server is, for whoever runs it.
fn state(status: &Status, visit: &Visit<'_>) -> serde_json::Value {
    let (core, now) = (visit.core, visit.now);
    let up_ns = status.opened_at.map(|at| now.up.saturating_sub(at).as_nanos() as u64);
    let HallStatus { guests, on_trial, herd, config, .. } = &status.hall;
    serde_json::json!({
        "server": core.node.name(),
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
        "since": up_ns.map(|up_ns| now.posix_ns.saturating_sub(up_ns) / 1_000_000_000),
        "clients": status.clients,
        "news": status.news,
        "connections": guests + on_trial + herd,
        "watchers": status.watchers,
        "refused_lines": status.refused_lines.iter().map(|(_, count)| count).sum::<u64>(),
        "journal": match status.journal {
            JournalStatus::Absent => "none",
            JournalStatus::Reading => "reading",
            JournalStatus::Written => "written",
            JournalStatus::Degraded => "degraded",
        },
        "config": format!("{config:016x}"),
    })
}

fn write_digest(digest: &Digest, out: &mut Vec<u8>) {
    Word::Digest { span: digest.span, count: digest.count, sums: digest.to_hex().as_bytes() }.write(out);
}

/// How far each neighbour is, what is wrong, and what is known.
fn write_status(status: &Status, takes_notes: bool, out: &mut Vec<u8>) {
    for link in &status.links {
        let (name, ms) = (link.name.as_bytes(), link.lag.time.as_millis() as u64);
        Word::Lag { name, is_up: link.lag.is_up, clients: link.lag.clients, ms }.write(out);
    }
    if takes_notes {
        status.notes().iter().for_each(|note| Word::Note(note.as_bytes()).write(out));
    }
    if let Some(digest) = &status.digest {
        write_digest(digest, out);
    }
}

impl Conversation<'_, '_> {
    /// The exchange that opens a link, and what is said on it beside AT lines.
    pub(super) fn link(&mut self, word: &Word<'_>, line: Line<'_>) {
        let is_open = self.door.neighbour.as_deref().map(Listener::is_open);
        let done = match (word, is_open) {
            (Word::Hello(dialler), None) => self.greet(dialler),
            (Word::Proof(proof), Some(_)) => self.prove(proof),
            (Word::Mark(epoch), Some(true)) => self.mark(*epoch),
            (Word::Time(reading), Some(true)) => self.tell_time(reading),
            (Word::Forget(client), Some(true)) => {
                self.forget(client);
                Ok(())
            }
            (Word::Ask(span), Some(true)) => {
                self.ask(*span);
                Ok(())
            }
            (Word::How, Some(true)) => self.ask_how(),
            (Word::Reload, Some(true)) => self.order(Order::Reload),
            (Word::Upgrade, Some(true)) => self.order(Order::Upgrade),
            // From anybody else it is no command.
            (_, None) => return self.refused(Rule::NotOnALink, line),
            (_, Some(_)) => Err(Denied::OutOfTurn),
        };
        if let Err(why) = done {
            self.deny(why, word, line);
        }
    }

    fn listener(&mut self) -> Result<&mut Listener, Denied> {
        self.door.neighbour.as_deref_mut().ok_or(Denied::OutOfTurn)
    }

    fn greet(&mut self, dialler: &End<'_>) -> Result<(), Denied> {
        let core = self.visit.core;
        let LineDoor { peer_kind: kind, is_at_home, .. } = *self.door;
        let peer = Peer { address: self.visit.address.ip().to_canonical(), kind, is_at_home };
        let (count, now_ns) = (core.node.store.count() as u64, self.visit.now.posix_ns);
        let nonce = keys::random().map_err(|_| Denied::NoRandomness)?;
        let out = &mut self.visit.turn.out;
        let listener = core.neighbours.welcome(dialler, &peer, nonce, count, now_ns, out)?;
        self.door.neighbour = Some(Box::new(listener));
        self.door.spoken = self.visit.now.up.into();
        Ok(())
    }

    fn prove(&mut self, proof: &Proof) -> Result<(), Denied> {
        let (core, address, now) = (self.visit.core, self.visit.address, self.visit.now.up);
        let neighbours = &core.neighbours;
        let listener = self.listener()?;
        neighbours.prove(listener, proof)?;
        let (incarnation, conf) = (listener.incarnation(), listener.conf());
        let Some(id) = listener.neighbour() else { return Ok(()) };
        log::info!("{} links from {address}", neighbours.name_of(listener));
        self.door.peer_kind = PeerKind::Neighbour { id: Some(id), may_be_plain: false };
        // Whether there are two is told with its marks.
        let _ = neighbours.oddities.lives(id, incarnation, address, now);
        if let Some(conf) = conf {
            neighbours.oddities.conf(id, conf);
        }
        self.door.show_in(self.visit);
        core.flood.call(id);
        self.door.learned();
        Ok(())
    }

    fn mark(&mut self, epoch: u32) -> Result<(), Denied> {
        let (core, address, now) = (self.visit.core, self.visit.address, self.visit.now.up);
        let listener = self.listener()?;
        let (incarnation, is_told) = (listener.incarnation(), listener.conf().is_some());
        let id = listener.neighbour().ok_or(Denied::OutOfTurn)?;
        let twin = core.neighbours.oddities.lives(id, incarnation, address, now);
        core.neighbours.seen.hear_mark(id);
        let before = core.neighbours.seen.of(id, incarnation);
        let turn = &mut *self.visit.turn;
        // What cannot be kept is not confirmed; the old mark says that the link lives.
        let epoch = turn.mark(core, id, incarnation, epoch);
        let begin = turn.out.len();
        Word::Seen(epoch).write(&mut turn.out);
        turn.promise(core, begin, || {
            let mut old = Vec::new();
            Word::Seen(before).write(&mut old);
            old
        });
        if let Some(twin) = twin.filter(|_| is_told) {
            Word::Twin(twin.to_string().as_bytes()).write(&mut turn.out);
        }
        Ok(())
    }

    /// A client is to be forgotten, says somebody who has proven to be of the herd.
    fn forget(&mut self, client: &[u8]) {
        let (core, now_ns) = (self.visit.core, self.visit.now.posix_ns);
        let turn = &mut *self.visit.turn;
        let begin = turn.out.len();
        if let Err(rule) = turn.forget(core, client, now_ns) {
            self.visit.manners.tell_full(&core.tallies, rule, true, self.visit.now.up);
            return Word::Note(rule.words().as_bytes()).write(&mut turn.out);
        }
        Word::Gone(client).write(&mut turn.out);
        turn.promise(core, begin, || {
            let mut refusal = Vec::new();
            Word::Note(Rule::NotKept.words().as_bytes()).write(&mut refusal);
            refusal
        });
    }

    fn tell_time(&mut self, theirs: &ClockReading) -> Result<(), Denied> {
        let (core, now) = (self.visit.core, self.visit.now);
        let listener = self.listener()?;
        let id = listener.neighbour();
        let ours = core.neighbours.hear_time(&mut listener.meter, id, theirs, &core.node, now);
        Word::Time(ours).write(&mut self.visit.turn.out);
        Ok(())
    }

    /// The answer comes later. One who is no server is told of the neighbours, too.
    fn ask(&mut self, span: Span) {
        let is_server = self.door.neighbour.as_deref().is_some_and(|it| it.neighbour().is_some());
        self.door.phase = Phase::Asked;
        self.question = Some(if is_server { Question::Digest(span) } else { Question::Status(Some(span)) });
    }

    /// Whether the other end, which was a neighbour, still is one.
    pub(super) fn is_still_a_neighbour(&mut self) -> bool {
        let neighbours = &self.visit.core.neighbours;
        let departures = neighbours.departures();
        let named = self.door.neighbour.as_deref().and_then(Listener::neighbour);
        match (named, self.door.peer_kind) {
            (Some(id), _) | (None, PeerKind::Neighbour { id: Some(id), .. }) if !neighbours.has(id) => false,
            // Of several at one address some may have left.
            (None, PeerKind::Neighbour { id: None, .. }) => {
                self.door.peer_kind = neighbours.peer(self.visit.address.ip()).kind;
                self.door.departures = departures;
                true
            }
            _ => {
                self.door.departures = departures;
                true
            }
        }
    }

    /// Refuses what somebody says who is no neighbour any more.
    pub(super) fn deny_departed(&mut self, line: Line<'_>) {
        match self.door.neighbour.as_deref() {
            Some(_) => self.deny(Denied::Unknown, &Word::How, line),
            None => {
                self.door.peer_kind = PeerKind::Stranger;
                self.refused(Rule::NotANeighbour, line);
                self.door.close("it is no neighbour any more");
            }
        }
    }

    /// How the server is, is told to those who are no servers. The answer comes later.
    fn ask_how(&mut self) -> Result<(), Denied> {
        if self.listener()?.neighbour().is_some() {
            return Err(Denied::OutOfTurn);
        }
        self.door.phase = Phase::AskedHow;
        self.question = Some(Question::Status(None));
        Ok(())
    }

    /// An order, from one who is no server and has proven itself: where there is no secret, by being on this machine.
    fn order(&mut self, order: Order) -> Result<(), Denied> {
        if self.listener()?.neighbour().is_some() {
            return Err(Denied::OutOfTurn);
        }
        let is_open = self.visit.core.neighbours.keys(None).is_empty();
        if is_open && !self.door.is_at_home {
            return Err(Denied::Elsewhere);
        }
        let address = self.visit.address;
        log::info!("{address} orders: {order:?}");
        self.door.phase = Phase::Ordered;
        self.question = Some(Question::Order(order));
        Ok(())
    }

    /// Refuses a dialler, says why in the log, and to the dialler if it knows the word.
    fn deny(&mut self, why: Denied, word: &Word<'_>, line: Line<'_>) {
        let (core, address) = (self.visit.core, self.visit.address);
        let (name, is_told) = match (word, self.door.neighbour.as_deref()) {
            (_, Some(listener)) => {
                (core.neighbours.name_of(listener).as_bytes().to_vec(), listener.conf().is_some())
            }
            (Word::Hello(dialler), None) => (dialler.name.to_vec(), dialler.conf.is_some()),
            (_, None) => (ASKER.as_bytes().to_vec(), false),
        };
        let out = &mut self.visit.turn.out;
        Reply::Refused(line.shown()).write(out);
        if is_told {
            Word::Denied(why.word().as_bytes()).write(out);
        }
        core.tallies.denied.count(self.visit.now.up, |total| {
            let (name, reason) = (Escaped(&name), why.reason());
            log::warn!("closed a link from {address}, which calls itself {name}: {reason}; {total} so far");
        });
        self.door.close("it is not known as a neighbour");
    }
}
