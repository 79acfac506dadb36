//! What happens to a door for lines: bytes come in, the peer ends, replies are sent, a question is answered. `Door`
//! passes it on.

use super::conversation::Conversation;
use super::line::{LineDoor, Phase};
use super::{Answer, Question, Visit};
use crate::protocol::Reply;
use crate::tally::Asked;

impl LineDoor {
    /// Takes what came in, behind what it kept.
    pub fn read(&mut self, visit: &mut Visit<'_>, bytes: &[u8]) -> Option<Question> {
        self.converse(visit, bytes)
    }

    pub fn end(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        self.has_ended = true;
        self.converse(visit, b"")
    }

    pub fn go_on(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        if matches!(self.phase, Phase::Watching(_)) {
            return self.ask_for_more(visit);
        }
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
            (Phase::Places(wanted), Answer::Places(json)) => {
                let took = visit.now.up.saturating_sub(wanted.since);
                visit.turn.answered(Asked::Whatsat, true, took);
                if visit.manners.one_shot {
                    self.close("one-shot");
                }
                say_places(visit, &wanted.record, json);
            }
            (Phase::Clients { line }, answer) => self.answer_of_clients(visit, &line, answer),
            (Phase::Watching(_), Answer::Feed { reader, bytes }) => self.tell(visit, reader, bytes),
            (Phase::Watching(_), _) => self.close("nobody tells what happens any more"),
            (Phase::Asked, answer) => self.answer_ask(visit, answer),
            (Phase::AskedHow, answer) => self.answer_how(visit, answer),
            (Phase::Ordered, answer) => self.answer_order(visit, answer),
            // It is about to close, or that was never its question.
            (phase, _) => self.phase = phase,
        }
    }

    /// Answers what it kept and then `bytes`, as far as it may. The rest is kept.
    fn converse(&mut self, visit: &mut Visit<'_>, bytes: &[u8]) -> Option<Question> {
        self.show_in(visit);
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
}

/// The log has the first line of the reply whole and the size of the rest, which would fill the disk of a small machine.
fn say_places(visit: &mut Visit<'_>, record: &[u8], json: &[u8]) {
    Reply::Places { record, json }.write(&mut visit.turn.out);
    let wire = &mut visit.turn.wire;
    wire.at(visit.now.posix_ns);
    wire.with(&visit.address);
    let mut logged = record.to_vec();
    logged.extend_from_slice(format!(" and {} bytes of JSON", json.len()).as_bytes());
    wire.sent(&logged);
}
