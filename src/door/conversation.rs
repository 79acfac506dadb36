//! One call of the door for lines: whole lines are cut, done and answered in order, for as long as replies may be made.

use std::time::Duration;

use memchr::{memchr, memchr_iter};

use super::line::{LineDoor, Phase, Wanted};
use super::{PEER_CLOSED, Question, Visit};
use crate::clock::Moment;
use crate::limits;
use crate::link::{Listener, PeerKind};
use crate::logging::Escaped;
use crate::node::{Heard, Source};
use crate::places::Lookup;
use crate::protocol::neighbour::Word;
use crate::protocol::record::AtFields;
use crate::protocol::{Command, Invalid, Query, Reply, Report, Rule, line};
use crate::tally::Asked;
use crate::turn::Core;

/// A line as it came.
#[derive(Clone, Copy)]
pub(super) struct Line<'a> {
    /// Without its newline.
    pub text: &'a [u8],
    /// False for what the peer left unterminated before its half-close.
    pub terminated: bool,
    /// None came before it on its connection.
    pub alone: bool,
    /// The log has that it came in.
    pub is_logged: bool,
    /// The log has it as it came.
    pub is_plain: bool,
}

impl<'a> Line<'a> {
    /// As it came, without the `\r` of a `\r\n`.
    pub(super) fn shown(&self) -> &'a [u8] {
        if self.terminated { line::without_cr(self.text) } else { self.text }
    }
}

/// One call of `converse`.
pub(super) struct Conversation<'a, 'v> {
    pub door: &'a mut LineDoor,
    pub visit: &'a mut Visit<'v>,
    /// Where this connection's replies begin in the turn's output.
    pub(super) begin: usize,
    pub question: Option<Question>,
}

impl Conversation<'_, '_> {
    /// Answers whole lines from the front of `bytes` for as long as replies may be made, and at the
    /// peer's half-close what it left unterminated. Returns how many bytes are done with.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> usize {
        let (mut done, mut fetched) = (0, 0);
        while self.may_reply() {
            if done >= fetched {
                fetched = done + self.fetch_ahead(&bytes[done..]);
            }
            if self.door.is_skipping {
                done += self.skip(&bytes[done..]);
                if self.door.is_skipping {
                    break;
                }
            }
            let rest = &bytes[done..];
            let (text, terminated) = match memchr(b'\n', rest) {
                Some(end) => (&rest[..end], true),
                None => (rest, false),
            };
            // The CR of a CRLF is no part of the line, nor is one whose LF may be still to come.
            let is_last = !terminated && self.door.has_ended;
            let length = if is_last { text.len() } else { line::without_cr(text).len() };
            if length > self.line_max(text) {
                if self.is_record(text) {
                    self.drop_long();
                    continue;
                }
                self.refuse_long(text);
                return bytes.len();
            }
            if !terminated && !is_last {
                break;
            }
            if (terminated || !text.is_empty()) && !self.take(text, terminated) {
                // It is asked again once that is kept, with its place in the order.
                self.door.is_stalled = true;
                return done;
            }
            done += text.len() + usize::from(terminated);
            if is_last {
                if matches!(self.door.phase, Phase::Open) {
                    self.door.close(PEER_CLOSED);
                }
                break;
            }
        }
        self.door.is_stalled = matches!(self.door.phase, Phase::Open) && !self.may_reply();
        done
    }

    /// Has the memory fetched in which the clients of the next lines are, of all at once; returns how far these lines go.
    fn fetch_ahead(&self, bytes: &[u8]) -> usize {
        let mut ends = memchr_iter(b'\n', bytes).map(|end| end + 1).take(limits::FETCHED_AT_ONCE).peekable();
        if ends.peek().is_none_or(|&end| end == bytes.len()) {
            // It is one line, and asks for what it needs itself.
            return bytes.len();
        }
        let mut next = 0;
        let lines = ends.map(|end| &bytes[std::mem::replace(&mut next, end)..end]);
        let is_done = self.visit.core.node.store.fetch(lines.filter_map(line::client_of));
        if is_done { next } else { bytes.len() }
    }

    fn may_reply(&self) -> bool {
        let unsent = self.visit.unsent + self.visit.turn.out.len() - self.begin;
        matches!(self.door.phase, Phase::Open) && unsent < self.visit.manners.max_unsent
    }

    // --- lines that are too long

    /// `max_line` bounds what clients say; what one server took, every server takes.
    fn line_max(&self, text: &[u8]) -> usize {
        let max_line = self.visit.manners.max_line;
        if text.len() <= max_line {
            return max_line;
        }
        if self.is_record(text) {
            return limits::AT_LINE_MAX;
        }
        let greets = text.starts_with(b"HERD ") || text.starts_with(b"PROOF ");
        if greets { max_line.max(limits::GREETING_LINE_MAX) } else { max_line }
    }

    /// Whether a line is a neighbour's and about a record, by its beginning.
    fn is_record(&self, text: &[u8]) -> bool {
        let head = &text[..text.len().min(self.visit.manners.max_line)];
        line::is_at(head) && self.peer_kind() != PeerKind::Stranger
    }

    /// A neighbour's AT line that is longer than any server's is dropped, and hides none behind it.
    fn drop_long(&mut self) {
        self.door.is_skipping = true;
        let (address, max) = (self.visit.address, limits::AT_LINE_MAX);
        self.visit.core.tallies.dropped.count(self.visit.now.up, |total| {
            log::warn!("dropped an AT line of {address}: it is longer than {max} bytes; {total} so far");
        });
    }

    /// Drops what is left of a line that is too long; returns its length here.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        match memchr(b'\n', bytes) {
            Some(end) => {
                self.door.is_skipping = false;
                end + 1
            }
            None => {
                if self.door.has_ended {
                    self.door.is_skipping = false;
                }
                bytes.len()
            }
        }
    }

    fn refuse_long(&mut self, text: &[u8]) {
        let head = &text[..self.visit.manners.max_line];
        self.visit.turn.wire.received_from_anybody(head);
        let line = Line { text: head, terminated: false, alone: false, is_logged: true, is_plain: false };
        self.refuse(Rule::TooLong, head, line);
        self.door.close("its line is longer than max_line");
    }

    // --- lines

    /// Asked anew of a stranger: a name may have been resolved since it connected.
    fn peer_kind(&self) -> PeerKind {
        match self.door.peer_kind {
            PeerKind::Stranger => self.visit.core.neighbours.peer(self.visit.address.ip()).kind,
            known @ PeerKind::Neighbour { .. } => known,
        }
    }

    /// Takes up a line; false if it has to wait for the next turn.
    fn take(&mut self, text: &[u8], terminated: bool) -> bool {
        let command = Command::parse(text);
        let (turn, core) = (&*self.visit.turn, self.visit.core);
        let is_early = match &command {
            Ok(Command::Whatsat(query)) => turn.is_early(core, query.client),
            Ok(Command::Near(_) | Command::Count | Command::Watch(_)) => turn.is_early_for_any(core),
            Ok(Command::Blank | Command::Iamat(_) | Command::At(_) | Command::Link(_)) | Err(_) => false,
        };
        let is_told = match &command {
            Ok(Command::Iamat(_) | Command::At(_) | Command::Link(Word::Mark(_) | Word::Forget(_))) => true,
            Ok(
                Command::Blank
                | Command::Whatsat(_)
                | Command::Near(_)
                | Command::Count
                | Command::Watch(_)
                | Command::Link(_),
            )
            | Err(_) => false,
        };
        // Who is refused anyway is refused here.
        let is_refused = self.visit.is_on_trial && !self.may_be_of_the_herd(&command);
        if is_early || (is_told && !is_refused && !self.visit.turn.may_learn()) {
            return false;
        }
        let is_at = matches!(&command, Ok(Command::At(_)) | Err(Invalid { is_at: true, .. }));
        let is_departed =
            core.neighbours.departures() != self.door.departures && !self.is_still_a_neighbour();
        let alone = !std::mem::replace(&mut self.door.has_spoken, true);
        // Of what neighbours say, the log has what is news of clients.
        let is_logged = self.door.neighbour.is_none() || is_at;
        let mut line = Line { text, terminated, alone, is_logged, is_plain: false };
        if is_logged {
            let (wire, is_command) = (&mut self.visit.turn.wire, command.is_ok() && !line::is_http(text));
            if is_command {
                line.is_plain = wire.received(line.shown());
            } else {
                wire.received_from_anybody(line.shown());
            }
        }
        let line = self.rationed(&command, line);
        if is_at && self.door.peer_kind == PeerKind::Stranger {
            self.door.peer_kind = self.peer_kind();
        }
        if is_departed {
            self.deny_departed(line);
            return true;
        }
        if line::is_http(text) || line::is_tls(text) {
            // A web page can have a browser send a request anywhere, with lines of its own making in it.
            self.refuse(Rule::Http, line.shown(), line);
            self.door.close("it speaks HTTP");
            return true;
        }
        if self.visit.is_on_trial && !self.may_be_of_the_herd(&command) {
            self.door.close("there is no room for it");
            return true;
        }
        match command {
            Ok(Command::Blank) => return true,
            Ok(Command::Iamat(report)) => self.report(&report, line),
            Ok(Command::Whatsat(query)) => self.find(&query, line),
            Ok(Command::Near(vicinity)) => self.near(&vicinity, line),
            Ok(Command::Count) => self.count(line),
            Ok(Command::Watch(prefix)) => self.watch(prefix, line),
            Ok(Command::At(fields)) => self.hear(&fields, line),
            // A prefix of it may be as good a line, so only the newline makes it one.
            Ok(Command::Link(word)) if terminated => self.link(&word, line),
            Ok(Command::Link(_)) => self.refused(Rule::Unterminated, line),
            Err(invalid) => self.invalid(invalid, line),
        }
        if !self.door.is_link() {
            self.door.spoken = self.visit.now.up.into();
        }
        true
    }

    /// Whether a line is one that only those of the herd say, and is not refused before it has shown anything.
    fn may_be_of_the_herd(&self, command: &Result<Command<'_>, Invalid>) -> bool {
        match command {
            Ok(Command::Link(Word::Hello(_))) => true,
            Ok(Command::Link(_)) => self.door.neighbour.is_some(),
            Ok(Command::At(_)) => self.door.peer_kind != PeerKind::Stranger,
            Ok(
                Command::Blank
                | Command::Iamat(_)
                | Command::Whatsat(_)
                | Command::Near(_)
                | Command::Count
                | Command::Watch(_),
            )
            | Err(_) => false,
        }
    }

    /// What gets no reply, or comes before it is known who speaks, is worth no more in the log than a refusal.
    fn rationed<'l>(&mut self, command: &Result<Command<'_>, Invalid>, line: Line<'l>) -> Line<'l> {
        let is_cheap = matches!(command, Ok(Command::Blank | Command::Link(_)));
        let is_logged = line.is_logged && (!is_cheap || self.visit.turn.wire.ration(line.text));
        Line { is_logged, ..line }
    }

    fn report(&mut self, report: &Report<'_>, line: Line<'_>) {
        let Moment { up, posix_ns } = self.visit.now;
        let (core, turn) = (self.visit.core, &mut *self.visit.turn);
        if let Err(rule) = turn.report(core, report, posix_ns) {
            return self.refused(rule, line);
        }
        self.door.show_opening(&mut turn.wire);
        if core.node.is_far_ahead(report, posix_ns) {
            warn_far_ahead(core, report, posix_ns, up);
        }
        let begin = turn.out.len();
        Reply::At(&turn.record).write(&mut turn.out);
        turn.promise(core, begin, || {
            let mut refusal = Vec::new();
            Reply::Refused(line.shown()).write(&mut refusal);
            refusal
        });
        if line.is_plain {
            turn.wire.sent_as_plain(&turn.record);
        } else {
            turn.wire.sent(&turn.record);
        }
        turn.asked.count(Asked::Iamat, true);
        self.close_if_one_shot();
    }

    fn find(&mut self, query: &Query<'_>, line: Line<'_>) {
        let Some(found) = self.visit.core.node.find(query.client) else {
            return self.refused(Rule::UnknownClient, line);
        };
        self.door.show_opening(&mut self.visit.turn.wire);
        self.question = Some(Question::Places(Lookup {
            latitude_deg: found.latitude_deg,
            longitude_deg: found.longitude_deg,
            radius_m: query.radius_m,
            bound: query.bound,
        }));
        self.door.phase = Phase::Places(Box::new(Wanted { record: found.record, since: self.visit.now.up }));
    }

    /// A record that a neighbour passes on.
    fn hear(&mut self, fields: &AtFields<'_>, line: Line<'_>) {
        let PeerKind::Neighbour { id, may_be_plain } = self.door.peer_kind else {
            return self.refused(Rule::NotANeighbour, line);
        };
        // A plain one sends one line a connection; a link that is cut in a later one has another neighbour at its
        // end, with whom it shares an address.
        let is_whole = line.terminated || (may_be_plain && line.alone);
        if !is_whole {
            return self.cut_off();
        }
        self.door.show_opening(&mut self.visit.turn.wire);
        // Of one that has proven nothing it is unknown.
        let link = self.door.neighbour.as_deref().filter(|link| link.is_open() && link.neighbour().is_some());
        let incarnation = link.map_or(0, Listener::incarnation);
        let from = id.map(|neighbour| Source { neighbour, incarnation });
        let now = self.visit.now;
        self.visit.turn.asked.count(Asked::At, true);
        if self.visit.turn.hear(self.visit.core, fields, from, now.posix_ns) == Heard::Past {
            let address = self.visit.address;
            self.visit.core.tallies.past.count(now.up, |total| {
                log::info!(
                    "dropped a record from {address}: it was last heard longer than forget_after ago; \
                     {total} so far"
                );
            });
        }
        self.door.learned();
    }

    fn cut_off(&self) {
        let address = self.visit.address;
        self.visit.core.tallies.cut.count(self.visit.now.up, |total| {
            log::warn!("dropped an AT line of {address}: it ended without its newline; {total} so far");
        });
    }

    fn invalid(&mut self, invalid: Invalid, line: Line<'_>) {
        if !invalid.is_at || self.door.peer_kind == PeerKind::Stranger {
            return self.refused(invalid.rule, line);
        }
        // The stump of a line that was cut off says nothing of the line.
        if !line.terminated {
            return self.cut_off();
        }
        let address = self.visit.address;
        self.visit.core.tallies.dropped.count(self.visit.now.up, |total| {
            log::warn!("dropped an AT line of {address}: {}; {total} so far", invalid.rule.words());
        });
    }

    // --- refusals

    pub(super) fn refused(&mut self, rule: Rule, line: Line<'_>) {
        self.refuse(rule, line.shown(), line);
        self.visit.manners.tell_full(&self.visit.core.tallies, rule, false, self.visit.now.up);
        self.close_if_one_shot();
    }

    /// Says, logs and counts a refusal. The log has by what rule, and how the line begins, which stands there
    /// already.
    fn refuse(&mut self, rule: Rule, shown: &[u8], line: Line<'_>) {
        Reply::Refused(shown).write(&mut self.visit.turn.out);
        self.visit.turn.wire.refused(rule.words(), line.text, line.is_logged);
        self.visit.core.tallies.refusals.count(rule);
        self.visit.turn.asked.count(asked_of(line.text), false);
    }

    pub(super) fn close_if_one_shot(&mut self) {
        if self.visit.manners.one_shot {
            self.door.close("one-shot");
        }
    }
}

/// What a line that was refused was meant to be.
pub(super) fn asked_of(text: &[u8]) -> Asked {
    let text = text.trim_ascii_start();
    let is = |keyword: &[u8]| {
        text.strip_prefix(keyword).is_some_and(|rest| rest.first().is_none_or(u8::is_ascii_whitespace))
    };
    match () {
        () if is(b"IAMAT") => Asked::Iamat,
        () if is(b"WHATSAT") => Asked::Whatsat,
        () if is(b"NEAR") => Asked::Near,
        () if is(b"COUNT") => Asked::Count,
        () if is(b"WATCH") => Asked::Watch,
        () if is(b"AT") => Asked::At,
        () => Asked::NoCommand,
    }
}

/// A report that is further ahead than is believed, or so it seems to a clock that is itself far behind.
fn warn_far_ahead(core: &Core, report: &Report<'_>, now_ns: u64, now: Duration) {
    if core.neighbours.oddities.is_clock_suspect(now_ns) {
        return core.tallies.suspect.count(now, |_| {
            log::warn!("reports are far ahead of this machine's clock, which seems to be wrong: set it by the network");
        });
    }
    core.tallies.far_ahead.count(now, |total| {
        let (client, time) = (Escaped(report.client), Escaped(report.time.text()));
        let cause = report.time.likely_cause(now_ns);
        log::warn!(
            "{client} reports a time far ahead, {time}: {cause}; any other report of it counts before this one; \
             {total} so far"
        );
    });
}
