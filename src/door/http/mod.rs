//! The door for HTTP/1.1 and 1.0: requests are cut, done and answered in order, for as long as replies may be made.
//! Lives here: what a message is (`head`, `body`), who may do what (`site`, `tokens`), what is served (`route` and the
//! files of its routes), and how it is said (`reply`, `problem`, `feature`).
//! Called by: `Door`, for connections of listeners for HTTP. May touch what the door for lines may: the turn, the status
//! and `protocol`; it names no poller, socket, thread or clock.
//!
//! A head is read by `httparse`, and what it leaves open is decided here. `ureq_proto::server`, which ureq brings anyway,
//! was tried in place of both with the requests of tests/it/http/table.txt; docs/architecture.md has the figures.

pub mod body;
mod call;
mod clients;
mod date;
mod events;
mod feature;
mod guesses;
mod gzip;
pub mod head;
mod heard;
mod herd;
mod listing;
mod map;
mod metrics;
mod name;
mod number;
mod page;
mod paths;
mod phones;
mod problem;
mod query;
mod reply;
mod route;
mod site;
mod standing;
mod tokens;

use std::time::Duration;

pub use heard::Heard;
pub use listing::Listing;
pub use name::path_segment;
pub use phones::{Friends, Message};
pub use problem::Kind as ProblemKind;
pub use site::{Member, Site, Tiles};
pub use tokens::{BadLine, Token, Tokens};

use super::{Answer, PEER_CLOSED, Question, Visit};
use crate::clock::Stamp;
use crate::feed::Reader;
use crate::limits::{HTTP_ROOM_S, HTTP_START_MS};
use body::Incoming;
use call::Pending;
use events::Stream;
use head::{Bad, Head};
use problem::{Kind, Problem};
use reply::{CONTINUE, Way};
use site::Waits;

/// What a request waits for, and until when.
struct Hold {
    until: Duration,
    lack: Lack,
    /// For whoever has room, that somebody lacks it.
    _waits: Option<Waits>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Lack {
    /// Room for its body.
    Room,
    /// The end of the reading of the journal, before which there is no answer.
    Start,
}

/// One connection's conversation. Times are since the start of the process's clock. Ten thousand may be idle, so what a
/// request under way takes is kept apart.
pub struct HttpDoor {
    phase: Phase,
    /// None while nothing has come in that is not done with.
    under_way: Option<Box<UnderWay>>,
    /// When it last asked for something that could be read.
    spoken: Stamp,
    /// It waits for the end of a start before it is told of it.
    is_patient: bool,
    has_ended: bool,
    is_stalled: bool,
    is_shown: bool,
}

/// What has come in of a request that is not done with.
#[derive(Default)]
struct UnderWay {
    /// Its head first, if that is whole, and further requests.
    input: Vec<u8>,
    /// How far the input was looked at for the end of a head.
    looked: usize,
    /// Its body, once its head is there, and how long that head is.
    incoming: Option<(usize, Incoming)>,
    /// What it waits for. Nothing is read meanwhile.
    hold: Option<Hold>,
    /// When it began, or the body of it.
    began: Option<Duration>,
}

enum Phase {
    Open,
    /// It waits for the answer to a question.
    Asked(Box<Pending>),
    /// The answer is there, and what is to be learned with it is to be learned elsewhere.
    Late(Box<(Pending, Answer)>),
    /// It tells what happens, for as long as the connection lasts.
    Streaming(Box<Stream>),
    /// Nothing but that its last replies are sent, and then, for this reason, the end.
    Closing(&'static str),
}

const TOO_MANY_BODIES: Bad =
    Bad { status: 503, why: "this server takes in too many large bodies; send it again" };

/// How long a request was, and what is asked for it.
type Next = (usize, Option<Question>);

/// What a request came to.
enum Done {
    /// It is answered, and the connection is kept or not.
    Answered {
        is_kept: bool,
    },
    Asks(Question, Box<Pending>),
    /// It is answered for as long as the connection lasts.
    Watches(Box<Reader>),
    /// It is to be done once what the turn has learned is kept.
    Later,
}

impl HttpDoor {
    pub fn new(now: Duration) -> HttpDoor {
        HttpDoor {
            phase: Phase::Open,
            under_way: None,
            spoken: now.into(),
            is_patient: true,
            has_ended: false,
            is_stalled: false,
            is_shown: true,
        }
    }

    // --- what happens to it

    pub fn read(&mut self, visit: &mut Visit<'_>, bytes: &[u8]) -> Option<Question> {
        if matches!(self.phase, Phase::Closing(_)) {
            return None;
        }
        if let Some(held) = self.under_way.as_mut().filter(|it| it.hold.is_some()) {
            held.input.extend_from_slice(bytes);
            return None;
        }
        self.converse(visit, bytes)
    }

    pub fn end(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        self.has_ended = true;
        self.converse(visit, b"")
    }

    pub fn go_on(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        if matches!(self.phase, Phase::Streaming(_)) {
            return self.ask_for_more(visit);
        }
        if let Some((pending, answer)) = self.take_late() {
            self.phase = Phase::Asked(Box::new(pending));
            self.answer(visit, answer);
        }
        if !matches!(self.phase, Phase::Open)
            || (self.under_way.is_none() && !self.has_ended)
            || self.hold().is_some()
        {
            return None;
        }
        if visit.unsent > 0 {
            self.is_stalled = true;
            return None;
        }
        self.converse(visit, b"")
    }

    pub fn answer(&mut self, visit: &mut Visit<'_>, answer: Answer) {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Asked(pending) if pending.what.tells() && !visit.turn.may_learn() => {
                self.phase = Phase::Late(Box::new((*pending, answer)));
            }
            Phase::Asked(pending) => {
                visit.turn.wire.with(&visit.address);
                visit.turn.wire.at(visit.now.posix_ns);
                let mut pending = *pending;
                // There may have been a stop meanwhile.
                pending.way.is_kept &= !visit.is_stopping || self.under_way.is_some();
                let is_kept = route::answer(pending, visit, answer);
                self.done(is_kept);
            }
            Phase::Streaming(stream) => match answer {
                Answer::Feed { reader, bytes } if stream.tokens == tokens_of(visit) => {
                    visit.turn.share(bytes);
                    let stream = Stream { reader, is_asked: false, is_fresh: true, ..*stream };
                    self.phase = Phase::Streaming(Box::new(stream));
                }
                Answer::Feed { .. } => self.close("its token is to be shown again"),
                _ => self.close("nobody tells what happens any more"),
            },
            // That was never its question.
            phase => self.phase = phase,
        }
    }

    /// The answer that came where nothing may be learned.
    fn take_late(&mut self) -> Option<(Pending, Answer)> {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Late(late) => Some(*late),
            phase => {
                self.phase = phase;
                None
            }
        }
    }

    /// Has a stream go on, once all of it is sent.
    fn ask_for_more(&mut self, visit: &Visit<'_>) -> Option<Question> {
        let Phase::Streaming(stream) = &mut self.phase else { return None };
        if std::mem::take(&mut stream.is_fresh) || stream.is_asked || visit.unsent > 0 {
            return None;
        }
        stream.is_asked = true;
        Some(Question::Feed(Box::new(stream.reader.clone())))
    }

    /// Does what is whole of what came in, of which `bytes` are the last, as far as replies may be made.
    fn converse(&mut self, visit: &mut Visit<'_>, bytes: &[u8]) -> Option<Question> {
        visit.turn.wire.with(&visit.address);
        visit.turn.wire.at(visit.now.posix_ns);
        let begin = visit.turn.out.len();
        let mut under_way = self.under_way.take().map_or_else(UnderWay::default, |it| *it);
        under_way.input.extend_from_slice(bytes);
        let mut done = 0;
        let mut question = None;
        self.is_stalled = false;
        while question.is_none() && !self.is_stalled && self.may_reply(visit, begin) {
            match self.next(visit, &mut under_way, done) {
                Ok(Some((taken, asks))) => (done, question) = (done + taken, asks),
                Ok(None) => break,
                Err(bad) => self.refuse(visit, bad, &under_way.input[done..]),
            }
        }
        self.is_stalled |= matches!(self.phase, Phase::Open) && !self.may_reply(visit, begin);
        if self.has_ended && matches!(self.phase, Phase::Open) && !self.is_stalled {
            // What is left is no request.
            self.close(PEER_CLOSED);
        }
        if !matches!(self.phase, Phase::Closing(_)) {
            under_way.input.drain(..done);
            // An idle connection holds no buffer.
            self.under_way = (!under_way.input.is_empty()).then(|| Box::new(under_way));
        }
        question
    }

    /// Does the next request, if it is whole: it begins at `at`. Returns how long it was, and what is asked for it; None
    /// when more has to come. What of a body was taken is out of the input then.
    fn next(
        &mut self,
        visit: &mut Visit<'_>,
        under_way: &mut UnderWay,
        at: usize,
    ) -> Result<Option<Next>, Bad> {
        let (UnderWay { input, looked, incoming: body, hold, began }, ip) = (under_way, visit.address.ip());
        let rest = &input[at..];
        // Nearly always a request comes whole, so that its head is read once.
        let mut known = None;
        if body.is_none() {
            if rest.is_empty() {
                return Ok(None);
            }
            if rest.starts_with(b"\r\n") && *looked == 0 {
                // Some clients send one behind a body.
                return Ok(Some((2, None)));
            }
            if rest == b"\r" {
                return Ok(None);
            }
            began.get_or_insert(visit.now.up);
            let Some(length) = head::end(rest, looked)? else { return Ok(None) };
            let head = Head::parse(&rest[..length])?;
            if self.is_patient && route::has_to_wait(visit, &head) {
                let until = visit.now.up + Duration::from_millis(HTTP_START_MS);
                (*hold, *looked) = (Some(Hold { until, lack: Lack::Start, _waits: None }), 0);
                return Ok(None);
            }
            // Whatever of the body is there already, so that it does not matter how it is cut.
            let waits = head.expects_continue && !head.is_whole();
            if let Some(done) = waits.then(|| route::serve_without_body(visit, ip, &head)).flatten() {
                (*looked, *began) = (0, None);
                return Ok(Some((length, self.settle(visit, done))));
            }
            let Some(room) = route::room(visit, &head) else {
                // Refused, it would be sent again and again by all who were, and the network is the better queue.
                let until = visit.now.up + Duration::from_secs(HTTP_ROOM_S);
                let waits = visit.manners.http.as_deref().map(Site::wait);
                (*hold, *looked) = (Some(Hold { until, lack: Lack::Room, _waits: waits }), 0);
                return Ok(None);
            };
            let incoming = Incoming::within(head.framing, room)?;
            if waits && rest.len() == length {
                visit.turn.out.extend_from_slice(CONTINUE);
            }
            *began = Some(visit.now.up);
            *body = Some((length, incoming));
            known = Some(head);
        }
        let Some((length, mut incoming)) = body.take() else { return Ok(None) };
        let taken = incoming.take(&rest[length..])?;
        if !incoming.is_whole() {
            drop(known);
            input.truncate(at + length);
            *body = Some((length, incoming));
            return Ok(None);
        }
        let head = match known {
            Some(head) => head,
            None => Head::parse(&rest[..length])?,
        };
        let is_last = rest.len() == length + taken;
        let done = route::serve(visit, ip, &head, &mut incoming, is_last);
        drop(head);
        if matches!(done, Done::Later) {
            input.drain(at + length..at + length + taken);
            *body = Some((length, incoming));
            self.is_stalled = true;
            return Ok(None);
        }
        (*looked, *began) = (0, None);
        Ok(Some((length + taken, self.settle(visit, done))))
    }

    /// The request under way is done with; returns what is asked for it.
    fn settle(&mut self, visit: &Visit<'_>, done: Done) -> Option<Question> {
        self.spoken = visit.now.up.into();
        match done {
            Done::Asks(question, pending) => {
                self.phase = Phase::Asked(pending);
                Some(question)
            }
            Done::Answered { is_kept } => {
                self.done(is_kept);
                None
            }
            Done::Watches(reader) => {
                let (reader, tokens) = (*reader, tokens_of(visit));
                let question = Question::Feed(Box::new(reader.clone()));
                self.phase =
                    Phase::Streaming(Box::new(Stream { reader, is_asked: true, is_fresh: false, tokens }));
                Some(question)
            }
            Done::Later => None,
        }
    }

    fn done(&mut self, is_kept: bool) {
        if !is_kept {
            self.close("the last request was answered");
        }
    }

    /// Answers what is no message, or the one under way, which begins `input`, and closes: nobody knows where the next one
    /// begins.
    fn refuse(&mut self, visit: &mut Visit<'_>, bad: Bad, input: &[u8]) {
        let length = head::end(input, &mut 0).ok().flatten();
        let head = length.and_then(|length| Head::parse(&input[..length]).ok());
        let way = Way {
            is_kept: false,
            is_http_1_0: false,
            is_head: input.starts_with(b"HEAD "),
            is_overland: head.is_some_and(|head| route::is_of_overland(&head)),
            reads_gzip: false,
            now_s: visit.now.posix_ns / 1_000_000_000,
        };
        let kind = [Kind::TooLarge, Kind::Busy].into_iter().find(|kind| kind.status() == bad.status);
        let fields = if kind == Some(Kind::Busy) { "Retry-After: 10\r\n" } else { "" };
        let problem = Problem::new(kind.unwrap_or(Kind::Message), bad.why);
        Problem { status: Some(bad.status), fields, ..problem }.write(way, &mut visit.turn.out);
        let what = if kind.is_some() { &b"a message of HTTP"[..] } else { b"no message of HTTP" };
        visit.turn.wire.received(what);
        visit.turn.wire.refused(bad.why, b"", true);
        self.close(if kind.is_some() {
            "its body is not taken in"
        } else {
            "what it said is no message of HTTP"
        });
    }

    /// Sees whether there is what the request waits for, and goes on if there is.
    pub fn find_room(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        let is_there = |hold: &Hold| match hold.lack {
            Lack::Room => route::has_room(visit),
            Lack::Start => visit.core.opened_at().is_some(),
        };
        let before = self.under_way.as_mut()?.hold.take_if(|hold| is_there(hold))?;
        let question = self.converse(visit, b"");
        // It waits on from when it began to.
        let hold = self.under_way.as_mut().and_then(|it| it.hold.as_mut());
        if let Some(hold) = hold.filter(|hold| hold.lack == before.lack) {
            hold.until = before.until;
        }
        question
    }

    /// Its time is up: says so, if it has begun a request. True if there was something to say, which was its end, unless
    /// something is asked for it.
    pub fn expire(&mut self, visit: &mut Visit<'_>, asks: &mut Option<Question>) -> bool {
        let Some(under_way) = &mut self.under_way else { return false };
        match under_way.hold.as_ref().map(|hold| hold.lack) {
            Some(Lack::Room) => {
                let input = std::mem::take(&mut under_way.input);
                self.refuse(visit, TOO_MANY_BODIES, &input);
                return true;
            }
            Some(Lack::Start) => {
                (under_way.hold, self.is_patient) = (None, false);
                // The start may have ended, and others have been before it.
                *asks = self.converse(visit, b"");
                return true;
            }
            None => {}
        }
        let is_late = under_way.began.is_some() && matches!(self.phase, Phase::Open);
        if is_late {
            let input = std::mem::take(&mut under_way.input);
            let head =
                under_way.incoming.as_ref().and_then(|(length, _)| Head::parse(&input[..*length]).ok());
            // A phone on a bad line is to keep what it has.
            let is_busy = visit.is_stopping || head.is_some_and(|head| route::is_of_phone(&head));
            let status = if is_busy { Kind::Busy.status() } else { 408 };
            self.refuse(visit, Bad { status, why: "the request did not come to an end in time" }, &input);
        }
        is_late
    }

    fn may_reply(&self, visit: &Visit<'_>, begin: usize) -> bool {
        let unsent = visit.unsent + visit.turn.out.len() - begin;
        matches!(self.phase, Phase::Open) && unsent < visit.manners.max_unsent
    }

    fn close(&mut self, why: &'static str) {
        self.under_way = None;
        self.phase = Phase::Closing(why);
    }
}

/// Which tokens there are now.
fn tokens_of(visit: &Visit<'_>) -> u64 {
    visit.manners.http.as_deref().map_or(0, Site::generation)
}

#[cfg(test)]
mod tests;
