//! The door for lines: it cuts lines, has the turn do what they ask, and answers in order. What a neighbour says
//! beside AT lines is in `neighbour`.

use std::net::SocketAddr;
use std::time::Duration;

use super::conversation::Conversation;
use super::neighbour::Neighbour;
use super::{Answer, Manners, Question, Visit};
use crate::link::Peer;
use crate::logging::Wire;
use crate::protocol::Reply;
use crate::turn::Core;

/// One connection's conversation. Times are since the start of the process's clock.
pub struct LineDoor {
    pub(super) address: SocketAddr,
    pub(super) peer: Peer,
    pub(super) phase: Phase,
    /// The other end as a dialler of the herd, once it has greeted.
    pub(super) neighbour: Option<Box<Neighbour>>,
    /// Bytes read and not answered: part of a line, or lines that must wait.
    input: Vec<u8>,
    /// When bytes last came in.
    heard: Duration,
    /// When it last said a whole line with something in it.
    pub(super) spoken: Duration,
    /// The peer has shut its sending side; what it sent is still answered.
    pub(super) has_ended: bool,
    /// A line of it has been taken up.
    pub(super) has_spoken: bool,
    /// The rest of a line that is too long is still to be dropped.
    pub(super) is_skipping: bool,
    /// What it kept was left because too much was unsent, and is to be taken up when all is sent.
    pub(super) is_stalled: bool,
    /// The log has that it was opened.
    pub(super) is_shown: bool,
    lasting: Lasting,
}

/// What a conversation waits for.
pub(super) enum Phase {
    /// Commands.
    Open,
    /// The places near a client; this record, without a newline, begins the reply.
    Places { record: Vec<u8> },
    /// The answer to a neighbour's ASK.
    Asked,
    /// Nothing but that its last replies are sent, and then, for this reason, the end.
    Closing(&'static str),
}

/// Whether a connection is a neighbour's link, which may be silent for as long as it likes.
#[derive(PartialEq, Eq)]
enum Lasting {
    No,
    /// It has just turned out.
    New,
    Yes,
}

/// Why a connection is closed that greeted and went no further.
const UNPROVEN: &str = "it did not prove who it is";

impl LineDoor {
    pub fn new(peer: Peer, address: SocketAddr, now: Duration) -> LineDoor {
        LineDoor {
            address,
            peer,
            phase: Phase::Open,
            neighbour: None,
            input: Vec::new(),
            heard: now,
            spoken: now,
            has_ended: false,
            has_spoken: false,
            is_skipping: false,
            is_stalled: false,
            is_shown: true,
            lasting: Lasting::No,
        }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    // --- what the room asks

    pub fn reads(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub fn waits(&self) -> bool {
        matches!(self.phase, Phase::Places { .. } | Phase::Asked)
    }

    pub fn is_owed(&self) -> bool {
        matches!(self.phase, Phase::Places { .. })
    }

    pub fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    pub fn closes(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Closing(why) => Some(why),
            Phase::Open | Phase::Places { .. } | Phase::Asked => None,
        }
    }

    pub fn take_lasting(&mut self) -> bool {
        let is_new = self.lasting == Lasting::New;
        if is_new {
            self.lasting = Lasting::Yes;
        }
        is_new
    }

    pub fn deadline(&self, manners: &Manners, taken: Duration) -> Option<(Duration, &'static str)> {
        if !matches!(self.phase, Phase::Open) {
            return None;
        }
        if self.is_greeting() {
            return Some((self.heard + manners.greeting, UNPROVEN));
        }
        // It has just got its replies, late as it or they may be, and has its time to say more.
        let idle_timeout = manners.idle_timeout.filter(|_| self.lasting == Lasting::No)?;
        Some((self.heard.max(taken) + idle_timeout, "idle"))
    }

    pub fn silent_since(&self) -> Option<Duration> {
        let is_guest = self.lasting == Lasting::No && self.neighbour.is_none();
        (is_guest && matches!(self.phase, Phase::Open)).then_some(self.spoken)
    }

    pub fn is_of_the_herd(&self) -> bool {
        self.lasting != Lasting::No || self.neighbour.as_deref().is_some_and(Neighbour::is_open)
    }

    /// Counts a connection whose time is up before it proved who it is.
    pub fn note_timeout(&self, core: &Core, why: &str, now: Duration) {
        if self.is_greeting() {
            let address = self.address;
            core.tallies
                .denied
                .count(now, |total| log::warn!("closed a link from {address}: {why}; {total} so far"));
        }
    }

    pub fn hide(&mut self) {
        self.is_shown = false;
    }

    pub fn show(&self, core: &Core, wire: &mut Wire) {
        let link = self.neighbour.as_deref().map(Neighbour::listener);
        core.neighbours.show(wire, link, &self.address);
    }

    /// Whether it has said which neighbour it is and not proven it, for which it has its time from there
    /// on, however slowly it speaks.
    pub fn is_greeting(&self) -> bool {
        self.neighbour.as_deref().is_some_and(|neighbour| !neighbour.is_open())
    }

    // --- what happens

    /// Takes what came in, behind what it kept.
    pub fn read(&mut self, visit: &mut Visit<'_>, bytes: &[u8]) -> Option<Question> {
        if !self.is_greeting() {
            self.heard = visit.now.up;
        }
        self.converse(visit, bytes)
    }

    pub fn end(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        self.has_ended = true;
        self.converse(visit, b"")
    }

    pub fn go_on(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        if !matches!(self.phase, Phase::Open) || (self.input.is_empty() && !self.has_ended) {
            return None;
        }
        if visit.unsent > 0 {
            self.is_stalled = true;
            return None;
        }
        self.converse(visit, b"")
    }

    pub fn answer(&mut self, visit: &mut Visit<'_>, answer: &Answer) {
        match (std::mem::replace(&mut self.phase, Phase::Open), answer) {
            (Phase::Places { record }, Answer::Places(json)) => {
                if visit.manners.one_shot {
                    self.close("one-shot");
                }
                self.say_places(visit, &record, json);
            }
            (Phase::Asked, answer) => self.answer_ask(visit, answer),
            // It is about to close, or that was never its question.
            (phase, _) => self.phase = phase,
        }
    }

    /// The log has the first line of the reply whole and the size of the rest, which would fill the disk of a small
    /// machine.
    fn say_places(&self, visit: &mut Visit<'_>, record: &[u8], json: &[u8]) {
        Reply::Places { record, json }.write(&mut visit.turn.out);
        let wire = &mut visit.turn.wire;
        wire.at(visit.now.posix_ns);
        wire.with(&self.address);
        let mut logged = record.to_vec();
        logged.extend_from_slice(format!(" and {} bytes of JSON", json.len()).as_bytes());
        wire.sent(&logged);
    }

    /// The line that came in last is a good one, and worth that the log has its connection.
    pub(super) fn show_opening(&mut self, wire: &mut Wire) {
        if !std::mem::replace(&mut self.is_shown, true) {
            wire.opened_late();
        }
    }

    /// Nothing is answered any more.
    pub(super) fn close(&mut self, why: &'static str) {
        self.input = Vec::new();
        self.phase = Phase::Closing(why);
    }

    /// Answers what it kept and then `bytes`, as far as it may. The rest is kept.
    fn converse(&mut self, visit: &mut Visit<'_>, bytes: &[u8]) -> Option<Question> {
        self.show(visit.core, &mut visit.turn.wire);
        visit.turn.wire.at(visit.now.posix_ns);
        let begin = visit.turn.out.len();
        let mut talk = Conversation { door: self, visit, begin, question: None };
        if talk.door.input.is_empty() {
            let answered = talk.answer(bytes);
            // Once it is to close, what is left has no reader.
            if talk.door.closes().is_none() {
                talk.door.input.extend_from_slice(&bytes[answered..]);
            }
        } else {
            let mut input = std::mem::take(&mut talk.door.input);
            input.extend_from_slice(bytes);
            let answered = talk.answer(&input);
            if talk.door.closes().is_none() && answered < input.len() {
                input.drain(..answered);
                talk.door.input = input;
            }
        }
        talk.question
    }

    /// The first AT line makes a connection a link: never idle, and watched for a dead other end.
    pub(super) fn learned(&mut self) {
        if self.lasting == Lasting::No {
            self.lasting = Lasting::New;
        }
    }
}
