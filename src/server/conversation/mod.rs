//! The bytes of one connection into replies: lines are cut, answered in order and logged. A worker
//! calls it with what it read; everything it makes goes into the worker's `Turn`.

mod exchange;

use std::ops::Range;
use std::time::Instant;

use memchr::memchr;

use super::Shared;
use super::connection::{Connection, Phase};
use super::socket;
use crate::limits;
use crate::logging::{Escaped, Wire, count};
use crate::node::{self, Line, News, PeerKind, Reply, Silence};
use crate::places::Lookup;
use crate::protocol::{Command, Rule, line};

/// What one turn of a worker makes, for all its connections; reused by the next.
pub struct Turn {
    /// When the turn began.
    pub now: Instant,
    /// The replies, one connection's behind another's.
    pub out: Vec<u8>,
    pub news: News,
    /// Epochs of neighbours that are stored with it: index, incarnation, epoch.
    pub seen: Vec<(u16, u64, u32)>,
    /// What in `out` promises that something was kept, and what to say instead if it was not. Only
    /// where a reply promises that.
    pub promises: Vec<(Range<usize>, Vec<u8>)>,
    pub wire: Wire,
    /// Bytes read so far.
    pub read_bytes: usize,
}

/// What a connection waits for, unread.
pub enum Wait {
    /// The second half of the reply to a WHATSAT.
    Places(Lookup),
    /// A digest of the store.
    Digest,
}

/// Answers what a connection has read: first what it kept, then `bytes`. What cannot be answered
/// yet is kept. Returns what the conversation waits for when it came to that.
pub fn converse(shared: &Shared, turn: &mut Turn, connection: &mut Connection, bytes: &[u8]) -> Option<Wait> {
    shared.neighbours.show(&mut turn.wire, connection.link.as_deref(), &connection.address);
    let begin = turn.out.len();
    let now_ns = socket::posix_ns();
    turn.wire.at(now_ns);
    let mut talk = Talk { shared, turn, connection, begin, now_ns, wait: None };
    if talk.connection.input.is_empty() {
        let answered = talk.answer(bytes);
        // Once it is to close, what is left has no reader.
        if talk.connection.phase.has_reader() {
            talk.connection.keep(&bytes[answered..]);
        }
    } else {
        let mut input = std::mem::take(&mut talk.connection.input);
        input.extend_from_slice(bytes);
        let answered = talk.answer(&input);
        if talk.connection.phase.has_reader() && answered < input.len() {
            input.drain(..answered);
            talk.connection.input = input;
        }
    }
    talk.wait
}

/// One call of `converse`.
struct Talk<'a> {
    shared: &'a Shared,
    turn: &'a mut Turn,
    connection: &'a mut Connection,
    /// Where this connection's replies begin in the turn's output.
    begin: usize,
    now_ns: u64,
    wait: Option<Wait>,
}

impl Talk<'_> {
    /// Answers whole lines from the front of `bytes` for as long as replies may be made, and at the
    /// peer's half-close what it left unterminated. Returns how many bytes are done with.
    fn answer(&mut self, bytes: &[u8]) -> usize {
        let mut done = 0;
        while self.may_reply() {
            if self.connection.is_skipping {
                done += self.skip(&bytes[done..]);
                if self.connection.is_skipping {
                    break;
                }
            }
            let rest = &bytes[done..];
            let (text, terminated) = match memchr(b'\n', rest) {
                Some(end) => (&rest[..end], true),
                None => (rest, false),
            };
            // The CR of a CRLF is no part of the line, nor is one whose LF may be still to come.
            let is_last = !terminated && self.connection.eof;
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
            if self.shared.node.is_early(text, &self.turn.news) {
                // It is asked again once that is kept, with its place in the order.
                self.connection.stalled = true;
                return done;
            }
            done += text.len() + usize::from(terminated);
            if terminated || !text.is_empty() {
                let alone = !std::mem::replace(&mut self.connection.has_spoken, true);
                self.answer_line(Line { text, terminated, alone });
            }
            if is_last {
                if matches!(self.connection.phase, Phase::Open) {
                    self.connection.close_after_replies("the peer closed it");
                }
                break;
            }
        }
        self.connection.stalled = matches!(self.connection.phase, Phase::Open) && !self.may_reply();
        done
    }

    fn may_reply(&self) -> bool {
        let unsent = self.connection.unsent() + self.turn.out.len() - self.begin;
        matches!(self.connection.phase, Phase::Open) && unsent < self.shared.settings.max_unsent
    }

    /// `max_line` bounds what clients say; what one server took, every server takes.
    fn line_max(&self, text: &[u8]) -> usize {
        let max_line = self.shared.settings.max_line;
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
        let head = &text[..text.len().min(self.shared.settings.max_line)];
        node::is_at(head) && self.peer_kind() != PeerKind::Stranger
    }

    /// A neighbour's AT line that is longer than any server's is dropped, and hides none behind it.
    fn drop_long(&mut self) {
        self.connection.is_skipping = true;
        self.shared.tallies.dropped.count(|total| {
            let (address, max) = (self.connection.address, limits::AT_LINE_MAX);
            log::warn!("dropped an AT line of {address}: it is longer than {max} bytes; {total} so far");
        });
    }

    /// Drops what is left of a line that is too long; returns its length here.
    fn skip(&mut self, bytes: &[u8]) -> usize {
        match memchr(b'\n', bytes) {
            Some(end) => {
                self.connection.is_skipping = false;
                end + 1
            }
            None => {
                if self.connection.eof {
                    self.connection.is_skipping = false;
                }
                bytes.len()
            }
        }
    }

    /// Asked anew of a stranger: a name may have been resolved since it connected.
    fn peer_kind(&self) -> PeerKind {
        match self.connection.peer.kind {
            PeerKind::Stranger => self.shared.neighbours.peer(self.connection.peer.address).kind,
            known @ PeerKind::Neighbour { .. } => known,
        }
    }

    fn refuse_long(&mut self, text: &[u8]) {
        let head = &text[..self.shared.settings.max_line];
        self.turn.wire.received(head);
        self.turn.out.extend_from_slice(b"? ");
        self.turn.out.extend_from_slice(head);
        self.turn.out.push(b'\n');
        self.note_refusal(Rule::TooLong, head);
        self.connection.close_after_replies("its line is longer than max_line");
    }

    /// A web page can have a browser send a request anywhere, with lines of its own making in it.
    fn refuse_http(&mut self, line: Line<'_>) {
        node::refuse(line.shown(), &mut self.turn.out);
        self.note_refusal(Rule::Http, line.text);
        self.connection.close_after_replies("it speaks HTTP");
    }

    /// The `? ` line is in the output.
    pub(super) fn refused(&mut self, rule: Rule, text: &[u8]) {
        self.note_refusal(rule, text);
        if rule == Rule::Full {
            self.shared.tallies.full.count(|total| {
                let known = count(self.shared.settings.max_clients as u64, "client");
                log::warn!(
                    "reports of further clients are refused, as {known} may be known: max_clients in herd.conf; \
                     {total} so far"
                );
            });
        }
        self.close_if_one_shot();
    }

    /// Logs and counts a refusal: by what rule, and how the line begins, which stands in the log already.
    fn note_refusal(&mut self, rule: Rule, text: &[u8]) {
        self.turn.wire.refused(rule.words(), text);
        self.shared.refusals.count(rule);
    }

    /// A report so far ahead that no later one counts, or so it seems to a clock that is itself far behind.
    fn warn_far_ahead(&self, text: &[u8]) {
        let Ok(Command::Iamat(report)) = Command::parse(text) else { return };
        if self.shared.neighbours.oddities.is_clock_suspect(self.now_ns) {
            return self.shared.tallies.suspect.count(|_| {
                log::warn!("reports are far ahead of this machine's clock, which seems to be wrong: set it by the network");
            });
        }
        self.shared.tallies.far_ahead.count(|total| {
            let (client, time) = (Escaped(report.client), Escaped(report.time.text()));
            let cause = report.time.likely_cause(self.now_ns);
            log::warn!(
                "{client} reports a time far ahead, {time}: {cause}; until then no later report of it counts; \
                 max_ahead in herd.conf refuses such times; {total} so far"
            );
        });
    }

    fn answer_line(&mut self, line: Line<'_>) {
        // Of what neighbours say, the log has what is news of clients.
        if self.connection.link.is_none() || node::is_at(line.text) {
            self.turn.wire.received(line.shown());
        }
        if self.connection.peer.kind == PeerKind::Stranger && node::is_at(line.text) {
            self.connection.peer.kind = self.peer_kind();
        }
        let (start, peer) = (self.turn.out.len(), self.connection.peer);
        if line::is_http(line.text) || line::is_tls(line.text) {
            return self.refuse_http(line);
        }
        let reply = self.shared.node.answer(line, peer, self.now_ns, &mut self.turn.out, &mut self.turn.news);
        match reply {
            Reply::Located { is_far_ahead } => {
                if is_far_ahead {
                    self.warn_far_ahead(line.text);
                }
                self.promise(start, || {
                    let mut refusal = Vec::new();
                    node::refuse(line.shown(), &mut refusal);
                    refusal
                });
                self.replied(start);
            }
            Reply::Refused(rule) => self.refused(rule, line.text),
            Reply::Nearby(nearby) => {
                self.connection.phase = Phase::Lookup(nearby.line);
                self.wait = Some(Wait::Places(nearby.lookup));
            }
            Reply::Silence(silence) => self.heard(silence),
            Reply::Link(verb) => self.link(&verb, line),
        }
    }

    /// What is in the output from `start` on is a promise that something was kept.
    fn promise(&mut self, start: usize, instead: impl FnOnce() -> Vec<u8>) {
        if self.shared.journal.as_ref().is_some_and(|journal| journal.is_strict()) {
            self.turn.promises.push((start..self.turn.out.len(), instead()));
        }
    }

    fn replied(&mut self, start: usize) {
        self.log_reply(start);
        self.close_if_one_shot();
    }

    fn close_if_one_shot(&mut self) {
        if self.shared.settings.one_shot {
            self.connection.close_after_replies("one-shot");
        }
    }

    fn heard(&mut self, silence: Silence) {
        match silence {
            Silence::Blank => {}
            Silence::Learned => self.learned(),
            Silence::Dropped(why) => self.shared.tallies.dropped.count(|total| {
                log::warn!(
                    "dropped an AT line of {}: {}; {total} so far",
                    self.connection.address,
                    why.words()
                );
            }),
            Silence::Past => {
                self.learned();
                self.shared.tallies.past.count(|total| {
                    let address = self.connection.address;
                    log::info!(
                        "dropped a record from {address}: it was last heard longer than forget_after ago; \
                         {total} so far"
                    );
                });
            }
            Silence::Unterminated => self.shared.tallies.cut.count(|total| {
                let address = self.connection.address;
                log::warn!("dropped an AT line of {address}: it ended without its newline; {total} so far");
            }),
        }
    }

    /// The first AT line makes a connection a link: never idle, and watched for a dead other end.
    fn learned(&mut self) {
        if !std::mem::replace(&mut self.connection.is_link, true)
            && let Err(why) = socket::keep_alive((&self.connection.stream).into())
        {
            log::warn!("cannot keep the link of {} alive: {why}", self.connection.address);
        }
    }

    fn log_reply(&mut self, start: usize) {
        let reply = &self.turn.out[start..];
        self.turn.wire.sent(reply.strip_suffix(b"\n").unwrap_or(reply));
    }
}

/// The reply to a WHATSAT, now that its second half is there. The log has its first line whole and
/// the size of the rest, which would fill the disk of a small machine.
pub fn reply_nearby(turn: &mut Turn, connection: &Connection, line: &[u8], json: &[u8]) {
    turn.out.extend_from_slice(line);
    turn.out.extend_from_slice(json);
    turn.out.extend_from_slice(b"\n\n");
    turn.wire.at(socket::posix_ns());
    turn.wire.with(&connection.address);
    let mut logged = line.strip_suffix(b"\n").unwrap_or(line).to_vec();
    logged.extend_from_slice(format!(" and {} bytes of JSON", json.len()).as_bytes());
    turn.wire.sent(&logged);
}
