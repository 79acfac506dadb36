//! What a dialler of the herd says beside AT lines, and how it is answered: the listening end of a link. The door
//! for lines hands such a word over.

use super::conversation::{Conversation, Line};
use super::line::{LineDoor, Phase};
use super::{Answer, Question, Visit};
use crate::link::{ASKER, Denied, Listener, PeerKind, keys};
use crate::logging::Escaped;
use crate::protocol::neighbour::{ClockReading, End, Proof, Word};
use crate::protocol::{Reply, Rule, Span};
use crate::status::Status;
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
            | Answer::Near(_)
            | Answer::Count(_)
            | Answer::Feed { .. }
            | Answer::None => {}
        }
    }
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
        let (core, peer) = (self.visit.core, self.door.peer);
        let (count, now_ns) = (core.node.store.count() as u64, self.visit.now.posix_ns);
        let nonce = keys::random().map_err(|_| Denied::NoRandomness)?;
        let out = &mut self.visit.turn.out;
        let listener = core.neighbours.welcome(dialler, &peer, nonce, count, now_ns, out)?;
        self.door.neighbour = Some(Box::new(listener));
        Ok(())
    }

    fn prove(&mut self, proof: &Proof) -> Result<(), Denied> {
        let (core, address, now) = (self.visit.core, self.door.address(), self.visit.now.up);
        let neighbours = &core.neighbours;
        let listener = self.listener()?;
        neighbours.prove(listener, proof)?;
        let (incarnation, conf) = (listener.incarnation(), listener.conf());
        let Some(id) = listener.neighbour() else { return Ok(()) };
        log::info!("{} links from {address}", neighbours.name_of(listener));
        self.door.peer.incarnation = incarnation;
        self.door.peer.kind = PeerKind::Neighbour { id: Some(id), may_be_plain: false };
        // Whether there are two is told with its marks.
        let _ = neighbours.oddities.lives(id, incarnation, address, now);
        if let Some(conf) = conf {
            neighbours.oddities.conf(id, conf);
        }
        self.door.show(core, &mut self.visit.turn.wire);
        core.flood.call(id);
        self.door.learned();
        Ok(())
    }

    fn mark(&mut self, epoch: u32) -> Result<(), Denied> {
        let (core, address, now) = (self.visit.core, self.door.address(), self.visit.now.up);
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

    /// Refuses a dialler, says why in the log, and to the dialler if it knows the word.
    fn deny(&mut self, why: Denied, word: &Word<'_>, line: Line<'_>) {
        let (core, address) = (self.visit.core, self.door.address());
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
