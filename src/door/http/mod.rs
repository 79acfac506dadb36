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
mod tokens;

use std::net::SocketAddr;
use std::time::Duration;

pub use listing::Listing;
pub use name::path_segment;
pub use phones::Friends;
pub use problem::Kind as ProblemKind;
pub use site::{Site, Tiles};
pub use tokens::{BadLine, Token, Tokens};

use super::{Answer, Manners, PEER_CLOSED, Question, Visit};
use crate::feed::Reader;
use crate::limits::{
    HTTP_BODY_BYTES_PER_S, HTTP_BODY_S, HTTP_FIRST_READ_BYTES, HTTP_HEAD_S, HTTP_IDLE_S, HTTP_ROOM_S,
    READ_BYTES,
};
use crate::logging::Wire;
use body::Incoming;
use call::Pending;
use events::Stream;
use head::{Bad, Head};
use problem::{Kind, Problem};
use reply::{CONTINUE, Way};

/// One connection's conversation. Times are since the start of the process's clock.
pub struct HttpDoor {
    address: SocketAddr,
    phase: Phase,
    /// Bytes read and not done with: the head of the request under way first, if it is whole.
    input: Vec<u8>,
    /// How far the input was looked at for the end of a head.
    looked: usize,
    /// The body of the request under way, once its head is there, and how long that head is.
    incoming: Option<(usize, Incoming)>,
    /// Until when the body of the request under way has to have room. Nothing is read meanwhile.
    no_room_until: Option<Duration>,
    /// When the request under way began, or the body of it.
    began: Option<Duration>,
    /// When bytes last came in.
    heard: Duration,
    /// When it last asked for something that could be read.
    spoken: Duration,
    has_ended: bool,
    is_stalled: bool,
    is_shown: bool,
}

enum Phase {
    Open,
    /// It waits for the answer to a question.
    Asked(Box<Pending>),
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
    pub fn new(address: SocketAddr, now: Duration) -> HttpDoor {
        HttpDoor {
            address,
            phase: Phase::Open,
            input: Vec::new(),
            looked: 0,
            incoming: None,
            no_room_until: None,
            began: None,
            heard: now,
            spoken: now,
            has_ended: false,
            is_stalled: false,
            is_shown: true,
        }
    }

    // --- what happens to it

    pub fn read(&mut self, visit: &mut Visit<'_>, bytes: &[u8]) -> Option<Question> {
        self.heard = visit.now.up;
        if matches!(self.phase, Phase::Closing(_)) {
            return None;
        }
        self.input.extend_from_slice(bytes);
        if self.no_room_until.is_some() {
            return None;
        }
        self.converse(visit)
    }

    pub fn end(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        self.has_ended = true;
        self.converse(visit)
    }

    pub fn go_on(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        if matches!(self.phase, Phase::Streaming(_)) {
            return self.ask_for_more(visit);
        }
        if !matches!(self.phase, Phase::Open)
            || (self.input.is_empty() && !self.has_ended)
            || self.no_room_until.is_some()
        {
            return None;
        }
        if visit.unsent > 0 {
            self.is_stalled = true;
            return None;
        }
        self.converse(visit)
    }

    pub fn answer(&mut self, visit: &mut Visit<'_>, answer: &Answer) {
        match std::mem::replace(&mut self.phase, Phase::Open) {
            Phase::Asked(pending) => {
                self.show(&mut visit.turn.wire);
                visit.turn.wire.at(visit.now.posix_ns);
                let is_kept = route::answer(*pending, visit, answer);
                self.done(is_kept);
            }
            Phase::Streaming(stream) => match answer {
                Answer::Feed { reader, bytes } if stream.tokens == tokens_of(visit) => {
                    visit.turn.out.extend_from_slice(bytes);
                    let stream =
                        Stream { reader: reader.clone(), is_asked: false, is_fresh: true, ..*stream };
                    self.phase = Phase::Streaming(Box::new(stream));
                }
                Answer::Feed { .. } => self.close("its token is to be shown again"),
                _ => self.close("nobody tells what happens any more"),
            },
            // That was never its question.
            phase => self.phase = phase,
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

    /// Does what is whole of what came in, as far as replies may be made.
    fn converse(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        self.show(&mut visit.turn.wire);
        visit.turn.wire.at(visit.now.posix_ns);
        let begin = visit.turn.out.len();
        let mut input = std::mem::take(&mut self.input);
        let mut done = 0;
        let mut question = None;
        self.is_stalled = false;
        while question.is_none() && !self.is_stalled && self.may_reply(visit, begin) {
            match self.next(visit, &mut input, done) {
                Ok(Some((taken, asks))) => (done, question) = (done + taken, asks),
                Ok(None) => break,
                Err(bad) => self.refuse(visit, bad),
            }
        }
        self.is_stalled |= matches!(self.phase, Phase::Open) && !self.may_reply(visit, begin);
        if self.has_ended && matches!(self.phase, Phase::Open) && !self.is_stalled {
            // What is left is no request.
            self.close(PEER_CLOSED);
        }
        if !matches!(self.phase, Phase::Closing(_)) {
            input.drain(..done);
            // An idle connection holds no buffer.
            self.input = if input.is_empty() { Vec::new() } else { input };
        }
        question
    }

    /// Does the next request, if it is whole: it begins at `at`. Returns how long it was, and what is asked for it; None
    /// when more has to come. What of a body was taken is out of the input then.
    fn next(&mut self, visit: &mut Visit<'_>, input: &mut Vec<u8>, at: usize) -> Result<Option<Next>, Bad> {
        let rest = &input[at..];
        // Nearly always a request comes whole, so that its head is read once.
        let mut known = None;
        if self.incoming.is_none() {
            if rest.is_empty() {
                return Ok(None);
            }
            if rest.starts_with(b"\r\n") && self.looked == 0 {
                // Some clients send one behind a body.
                return Ok(Some((2, None)));
            }
            if rest == b"\r" {
                return Ok(None);
            }
            self.began.get_or_insert(visit.now.up);
            let Some(length) = head::end(rest, &mut self.looked)? else { return Ok(None) };
            let head = Head::parse(&rest[..length])?;
            let Some(room) = route::room(visit, &head) else {
                // Refused, it would be sent again and again by all who were, and the network is the better queue.
                (self.no_room_until, self.looked) =
                    (Some(visit.now.up + Duration::from_secs(HTTP_ROOM_S)), 0);
                return Ok(None);
            };
            let incoming = Incoming::within(head.framing, room)?;
            if head.expects_continue && !incoming.is_whole() && rest.len() == length {
                visit.turn.out.extend_from_slice(CONTINUE);
            }
            self.began = Some(visit.now.up);
            self.incoming = Some((length, incoming));
            known = Some(head);
        }
        let Some((length, mut incoming)) = self.incoming.take() else { return Ok(None) };
        let taken = incoming.take(&rest[length..])?;
        if !incoming.is_whole() {
            drop(known);
            input.truncate(at + length);
            self.incoming = Some((length, incoming));
            return Ok(None);
        }
        let head = match known {
            Some(head) => head,
            None => Head::parse(&rest[..length])?,
        };
        let done = route::serve(visit, self.address.ip(), &head, &incoming);
        drop(head);
        if matches!(done, Done::Later) {
            input.drain(at + length..at + length + taken);
            self.incoming = Some((length, incoming));
            self.is_stalled = true;
            return Ok(None);
        }
        (self.looked, self.began, self.spoken) = (0, None, visit.now.up);
        let question = match done {
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
        };
        Ok(Some((length + taken, question)))
    }

    fn done(&mut self, is_kept: bool) {
        if !is_kept {
            self.close("the last request was answered");
        }
    }

    /// Answers what is no message, and closes: nobody knows where the next one begins.
    fn refuse(&mut self, visit: &mut Visit<'_>, bad: Bad) {
        let way = Way {
            is_kept: false,
            is_http_1_0: false,
            is_head: false,
            is_overland: false,
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

    /// Sees whether there is room for the body that waits for it, and goes on if there is.
    pub fn find_room(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        let until = self.no_room_until.filter(|_| route::has_room(visit))?;
        self.no_room_until = None;
        let question = self.converse(visit);
        // It waits on from when it began to.
        self.no_room_until = self.no_room_until.map(|_| until);
        question
    }

    /// Its time is up: says so, if it has begun a request. True if there was something to say, which was its end.
    pub fn expire(&mut self, visit: &mut Visit<'_>) -> bool {
        if self.no_room_until.is_some() {
            self.refuse(visit, TOO_MANY_BODIES);
            return true;
        }
        let is_late = self.began.is_some() && matches!(self.phase, Phase::Open);
        if is_late {
            // A phone on a bad line is to keep what it has.
            let status = if self.is_of_phone() { Kind::Busy.status() } else { 408 };
            self.refuse(visit, Bad { status, why: "the request did not come to an end in time" });
        }
        is_late
    }

    /// Whether the request under way is of a phone, as far as its head is there.
    fn is_of_phone(&self) -> bool {
        let head = self.incoming.as_ref().and_then(|(length, _)| self.input.get(..*length));
        head.is_some_and(|head| Head::parse(head).is_ok_and(|head| route::is_of_phone(&head)))
    }

    fn may_reply(&self, visit: &Visit<'_>, begin: usize) -> bool {
        let unsent = visit.unsent + visit.turn.out.len() - begin;
        matches!(self.phase, Phase::Open) && unsent < visit.manners.max_unsent
    }

    fn close(&mut self, why: &'static str) {
        (self.input, self.incoming, self.no_room_until) = (Vec::new(), None, None);
        self.phase = Phase::Closing(why);
    }

    // --- what the room asks

    pub fn reads(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.no_room_until.is_none()
    }

    /// Of a request whose head is not there: ten thousand may have to wait for room for their bodies, and have to keep
    /// what was read.
    pub fn takes(&self) -> usize {
        if self.incoming.is_some() { READ_BYTES } else { HTTP_FIRST_READ_BYTES }
    }

    pub fn waits(&self) -> bool {
        match &self.phase {
            Phase::Asked(_) => true,
            Phase::Streaming(stream) => stream.is_asked,
            Phase::Open | Phase::Closing(_) => false,
        }
    }

    pub fn is_owed(&self) -> bool {
        matches!(self.phase, Phase::Asked(_))
    }

    pub fn is_stalled(&self) -> bool {
        self.is_stalled || matches!(&self.phase, Phase::Streaming(stream) if !stream.is_asked)
    }

    pub fn waits_for_room(&self) -> bool {
        self.no_room_until.is_some()
    }

    pub fn closes(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Closing(why) => Some(why),
            Phase::Open | Phase::Asked(_) | Phase::Streaming(_) => None,
        }
    }

    pub fn deadline(&self, manners: &Manners, taken: Duration) -> Option<(Duration, &'static str)> {
        if !matches!(self.phase, Phase::Open) {
            return None;
        }
        if let Some(until) = self.no_room_until {
            return Some((until, "there was no room for its body"));
        }
        Some(match (self.began, &self.incoming) {
            (Some(began), None) => {
                (began + Duration::from_secs(HTTP_HEAD_S), "its head did not come to an end")
            }
            (Some(began), Some((_, incoming))) => {
                let seconds = HTTP_BODY_S + (incoming.taken() / HTTP_BODY_BYTES_PER_S) as u64;
                (began + Duration::from_secs(seconds), "its body did not come to an end")
            }
            (None, _) => {
                let idle =
                    manners.idle_timeout.map_or(HTTP_IDLE_S, |timeout| timeout.as_secs().min(HTTP_IDLE_S));
                (self.heard.max(taken) + Duration::from_secs(idle), "idle")
            }
        })
    }

    pub fn silent_since(&self) -> Option<Duration> {
        matches!(self.phase, Phase::Open).then_some(self.spoken)
    }

    pub fn hide(&mut self) {
        self.is_shown = false;
    }

    pub fn is_shown(&self) -> bool {
        self.is_shown
    }

    pub fn show(&self, wire: &mut Wire) {
        wire.with(&self.address);
    }
}

/// Which tokens there are now.
fn tokens_of(visit: &Visit<'_>) -> u64 {
    visit.manners.http.as_deref().map_or(0, Site::generation)
}

#[cfg(test)]
mod tests;
