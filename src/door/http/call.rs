//! A request that is being served, and how it is answered: at once, or when what it asks for is there.

use super::heard::Heard;
use super::problem::{Kind, Problem};
use super::query::BadParameter;
use super::reply::{Reply, Way, itoa};
use super::site::{Caller, Site};
use super::{Done, feature, gzip, head::Head};
use std::time::Duration;

use crate::door::{Question, Visit};
use crate::tally::Asked;

/// A request that is being served.
pub struct Call<'c, 'v> {
    pub visit: &'c mut Visit<'v>,
    pub site: &'c Site,
    pub head: &'c Head<'c>,
    pub way: Way,
    pub asked: Asked,
    pub caller: Caller,
    /// Fields that every reply to it has.
    pub fields: String,
}

/// A request that waits for the answer to a question.
pub struct Pending {
    pub way: Way,
    pub asked: Asked,
    pub since: Duration,
    pub fields: String,
    pub what: Wanted,
}

/// What it wants.
pub enum Wanted {
    Places,
    /// A page of clients, unless it is still the one with this tag.
    Clients {
        if_match: Option<Vec<u8>>,
        if_none_match: Option<Vec<u8>>,
    },
    Herd,
    Metrics,
    Ready,
    /// To learn what a phone said, once that is read.
    Phone,
    /// The same, which is read, and to tell it of others.
    Friends(Heard),
}

impl Wanted {
    /// Whether something is to be learned with the answer.
    pub fn tells(&self) -> bool {
        matches!(self, Wanted::Phone | Wanted::Friends(_))
    }
}

pub fn say(visit: &mut Visit<'_>, way: Way, fields: &str, reply: Reply<'_>) -> Done {
    let both = if fields.is_empty() { String::new() } else { [reply.fields, fields].concat() };
    let reply = if both.is_empty() { reply } else { Reply { fields: &both, ..reply } };
    reply.write(way, &mut visit.turn.out);
    log_reply(visit, reply.status, reply.body.len());
    Done::Answered { is_kept: way.is_kept }
}

/// The same of what may be large, packed for those who read that.
pub fn say_packed(visit: &mut Visit<'_>, way: Way, fields: &str, reply: Reply<'_>) -> Done {
    let body = gzip::pack_for(way, reply.body.into());
    let both = [reply.fields, gzip::fields(&body)].concat();
    say(visit, way, fields, Reply { body: &body, fields: &both, ..reply })
}

pub fn refuse(visit: &mut Visit<'_>, way: Way, fields: &str, problem: Problem<'_>) -> Done {
    let both = [problem.fields, fields].concat();
    let problem = Problem { fields: &both, ..problem };
    problem.write(way, &mut visit.turn.out);
    let said = format!("{} {}", problem.status.unwrap_or(problem.kind.status()), problem.detail);
    visit.turn.wire.sent_to_anybody(said.as_bytes());
    Done::Answered { is_kept: way.is_kept }
}

/// The log has that a stream began.
pub fn log_begun(visit: &mut Visit<'_>) {
    visit.turn.wire.sent(b"200 and a stream");
}

fn log_reply(visit: &mut Visit<'_>, status: u16, length: usize) {
    let (status, length) = (itoa(status.into()), itoa(length as u64));
    let said = [status.text(), " and ", length.text(), " bytes"].concat();
    visit.turn.wire.sent(said.as_bytes());
}

impl Call<'_, '_> {
    pub fn say(&mut self, reply: Reply<'_>) -> Done {
        say(self.visit, self.way, &self.fields, reply)
    }

    /// Says what is the same for everybody for a while: with a tag, and not again to whoever has it. It is packed
    /// already, or as it is to be sent.
    pub fn say_tagged(&mut self, reply: Reply<'_>) -> Done {
        let tag = feature::etag(reply.body);
        let both = [reply.fields, gzip::fields(reply.body)].concat();
        let reply = Reply { etag: Some(&tag), fields: &both, ..reply };
        if let Some(problem) = mismatch(self.head.fields("if-match"), &tag) {
            return self.refuse(problem);
        }
        if feature::lists_tag(self.head.fields("if-none-match"), &tag) {
            return self.say(Reply { status: 304, kind: None, body: b"", ..reply });
        }
        self.say(reply)
    }

    pub fn refuse(&mut self, problem: Problem<'_>) -> Done {
        refuse(self.visit, self.way, &self.fields, problem)
    }

    pub fn refuse_parameter(&mut self, bad: &BadParameter) -> Done {
        self.refuse(Problem::of(Kind::Parameter, &bad.name, &bad.why))
    }

    pub fn ask(&mut self, question: Question, what: Wanted) -> Done {
        let (asked, since) = (self.asked, self.visit.now.up);
        let pending = Pending { way: self.way, asked, since, fields: self.fields.clone(), what };
        Done::Asks(question, Box::new(pending))
    }
}

/// Why what has this tag is not told: `If-Match` is for something else.
pub fn mismatch<'a>(wanted: impl IntoIterator<Item = &'a [u8]>, tag: &str) -> Option<Problem<'static>> {
    let mut wanted = wanted.into_iter().peekable();
    (wanted.peek().is_some() && !feature::lists_strong_tag(wanted, tag))
        .then(|| Problem::new(Kind::Precondition, "it has changed since, or never had a tag of If-Match"))
}

/// A problem as it would be said, for what is promised and cannot be kept.
pub fn written(way: Way, fields: &str, problem: Problem<'_>) -> Vec<u8> {
    let both = [problem.fields, fields].concat();
    let mut out = Vec::new();
    Problem { fields: &both, ..problem }.write(way, &mut out);
    out
}
