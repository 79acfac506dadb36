//! What the neighbour says on a connection that we dialled: its answer to the greeting, its digests, marks it has seen,
//! refusals.

use std::time::Duration;

use memchr::memchr;

use super::{Ended, Phase, Talk};
use crate::clock::Moment;
use crate::limits::{LINK_LINE_MAX, LINK_READ_BYTES, MAX_LINE_MIN};
use crate::link::{Compared, Denied, Heard, Progress, Welcome};
use crate::logging::{Escaped, count};
use crate::net::stream::is_retry;
use crate::node::Scope;
use crate::protocol::line::Fields;
use crate::protocol::neighbour::{ClockReading, Word};
use crate::protocol::reply::refused_line;
use crate::store::digest::Differing;

impl Talk {
    /// Reads what is there and acts on it.
    pub(super) fn read(&mut self, now: Moment) -> Result<(), Ended> {
        let filled = self.fill(now);
        while let Some(line) = self.take_line() {
            self.take(&line, now)?;
        }
        match (&self.phase, filled) {
            // It closed without a word of why.
            (Phase::Refused { .. }, Err(_)) => Err(self.denied(b"")),
            (_, filled) => filled,
        }
    }

    pub(super) fn fill(&mut self, now: Moment) -> Result<(), Ended> {
        let mut said = [0; LINK_READ_BYTES];
        match self.stream.read_now(&mut said) {
            Ok(0) => Err(Ended::Closed("it closed the link".into())),
            Ok(count) => {
                self.session.alive(now.up);
                self.input.extend_from_slice(&said[..count]);
                if self.input.len() > LINK_LINE_MAX && !self.input.contains(&b'\n') {
                    return Err(Ended::Refused("it says a line without end".into()));
                }
                Ok(())
            }
            Err(why) if is_retry(&why) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }

    pub(super) fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = memchr(b'\n', &self.input)?;
        let rest = self.input.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.input, rest);
        line.pop();
        Some(line)
    }

    pub(super) fn take(&mut self, line: &[u8], now: Moment) -> Result<(), Ended> {
        match &self.phase {
            Phase::Greeting { .. } => self.welcomed(line, now),
            Phase::Refused { .. } => Err(self.denied(match Word::parse(line) {
                Some(Word::Denied(word)) => word,
                _ => b"",
            })),
            Phase::Narrowing { .. } => {
                if let Some(Compared { theirs, .. }) = self.hear(line, now)? {
                    let parts = self.link.node.store.digest(theirs.span).differing(&theirs);
                    self.link.outlet.narrow(Differing { parts, span: theirs.span, has_rest: true });
                    self.open(now);
                }
                Ok(())
            }
            Phase::Leaving { .. } => Ok(()),
            Phase::Open => {
                if let Some(answer) = self.hear(line, now)? {
                    self.mend(&answer, now);
                }
                Ok(())
            }
        }
    }

    /// Takes its answer to our greeting.
    pub(super) fn welcomed(&mut self, line: &[u8], now: Moment) -> Result<(), Ended> {
        let Phase::Greeting { opening, sent_ns, until } = std::mem::replace(&mut self.phase, Phase::Open)
        else {
            return Ok(());
        };
        let link = self.link.clone();
        let (neighbours, outlet) = (&link.neighbours, &link.outlet);
        let keys = neighbours.keys(Some(outlet.id()));
        let welcome =
            match opening.answer(line, &neighbours.identity(), outlet.name(), &keys, &mut self.output) {
                Ok(welcome) => welcome,
                Err(Denied::Refused) => {
                    self.phase = Phase::Refused { until };
                    return Ok(());
                }
                Err(why) => return Err(Ended::Refused(why.reason().into())),
            };
        self.is_probed = welcome.conf.is_some();
        self.incarnation = welcome.incarnation;
        let (stream, seen) = (Some(self.stream.clone()), welcome.seen);
        let is_true = outlet.open(stream, welcome.incarnation, seen, self.is_probed);
        self.take_up(&welcome, sent_ns, now);
        if !is_true {
            self.tell_untrue(&format!("SEEN {} in its greeting", welcome.seen), now.up);
        }
        let (is_new, ours) = (welcome.seen == 0 || !is_true, self.link.node.store.count());
        if is_new && !outlet.goes_on() && welcome.count > 0 && ours > 0 {
            let mut line = Vec::new();
            self.ask(Scope::All, Progress::default(), now, &mut line);
            self.output.extend(line);
            self.phase = Phase::Narrowing { until: now.up + self.link.timing.digest_wait };
        } else {
            self.open(now);
        }
        Ok(())
    }

    pub(super) fn open(&mut self, now: Moment) {
        self.phase = Phase::Open;
        self.session.alive(now.up);
    }

    /// Notes what the neighbour says of its clock and its herd.conf, if it does, and says what our clock
    /// reads.
    pub(super) fn take_up(&mut self, welcome: &Welcome, sent_ns: u64, now: Moment) {
        let Some(conf) = welcome.conf else { return };
        let (neighbours, id) = (&self.link.neighbours, self.link.outlet.id());
        neighbours.oddities.conf(id, conf);
        let theirs = ClockReading { now_ns: welcome.now_ns, echo_ns: sent_ns, ..ClockReading::default() };
        let ours = neighbours.hear_time(&mut self.meter, Some(id), &theirs, &self.link.node, now);
        Word::Time(ours).write(&mut self.output);
        // Its answer tells how long the way is.
        self.link.outlet.probe(now.posix_ns, now.up, None);
        self.ask_time_at = Some(now.up + self.link.timing.heartbeat);
    }

    pub(super) fn denied(&self, word: &[u8]) -> Ended {
        Ended::Refused(Denied::told(word, &self.link.neighbours.own.name, self.link.outlet.name()))
    }

    /// Takes note of a line; returns the answer to our question, if it is that.
    pub(super) fn hear(&mut self, line: &[u8], now: Moment) -> Result<Option<Compared>, Ended> {
        let (outlet, neighbours) = (&self.link.outlet, &self.link.neighbours);
        let name = outlet.name();
        self.last_refused = refused_line(line).filter(|record| is_of_one_record(record)).map(<[u8]>::to_vec);
        match self.session.hear(line, now.up) {
            Heard::Nothing => {}
            Heard::Seen(epoch) if outlet.seen(epoch) => self.live(now.up),
            Heard::Seen(epoch) => self.tell_untrue(&format!("SEEN {epoch}"), now.up),
            Heard::Digest(answer) => return Ok(Some(answer)),
            Heard::Time(reading) => {
                outlet.answered(reading.echo_ns, now.up);
                // What there is to be said of ours is said with the next question.
                let node = &self.link.node;
                neighbours.hear_time(&mut self.meter, Some(outlet.id()), &reading, node, now);
            }
            Heard::Twin(address) => neighbours.oddities.is_twin(name, &neighbours.own.name, &address, now.up),
            Heard::Denied(why) => return Err(self.denied(&why)),
            Heard::Refusal => log::warn!(
                "{name} rejects lines that we send; compare herd.conf on both sides. It said: {}",
                Escaped(line)
            ),
        }
        Ok(None)
    }

    /// The neighbour's start at the other end of this link lives.
    pub(super) fn live(&self, now: Duration) {
        if let Some(address) = self.peer {
            let oddities = &self.link.neighbours.oddities;
            let _ = oddities.lives(self.link.outlet.id(), self.incarnation, address, now);
        }
    }

    /// It says that it has what it was never told of. It is not believed, so it costs nobody anything.
    fn tell_untrue(&self, said: &str, now: Duration) {
        let name = self.link.outlet.name();
        self.link.outlet.untrue.count(now, |total| {
            log::warn!(
                "{name} confirms what this server never marked ({said}): it is not believed, and is sent what it \
                 lacks; {total} so far"
            );
        });
    }

    /// Has what differs sent; the neighbour does the same on its own link.
    pub(super) fn mend(&mut self, answer: &Compared, now: Moment) {
        let (store, outlet) = (&self.link.node.store, &self.link.outlet);
        let own = store.digest(answer.theirs.span);
        let name = outlet.name();
        if let Some(parts) = self.session.compare(&own, answer, store.news(), now.up) {
            log::info!(
                "{name} knows {} and we {}, or others: sending what differs",
                count(answer.theirs.count, "client"),
                own.count
            );
            outlet.repair(Differing { parts, span: own.span, has_rest: false });
        }
        if self.session.takes_note_of_difference(now.up) {
            let seconds = self.link.timing.differ.as_secs_f64();
            log::warn!(
                "{name} and this server have known different clients for over {seconds} s, and sending them again does \
                 not help: look for dropped records in both logs, and compare herd.conf and the clocks"
            );
        }
        outlet.set_differs(self.session.differs_for_long());
    }
}

/// Whether what a neighbour refused can only be one record, and not every one: its client's ID is whole, or it was
/// cut off where no sane ID ends.
fn is_of_one_record(refused: &[u8]) -> bool {
    let mut fields = Fields::of(refused);
    fields.next() == Some(b"AT") && (fields.count() > 3 || refused.len() >= MAX_LINE_MIN)
}
