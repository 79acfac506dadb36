//! What a link's thread and the neighbour say to each other: the exchange that opens the link, marks
//! that were seen, digests, refusals.

use std::io::{self, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use memchr::memchr;

use super::super::connection::is_retry;
use super::super::keeper::digest;
use super::super::socket;
use super::Link;
use crate::digest::Digest;
use crate::limits::{LINK_LINE_MAX, MAX_LINE_MIN};
use crate::link::{Denied, Dialer, Heard, State, Welcome};
use crate::logging::Escaped;
use crate::protocol::line::Fields;
use crate::protocol::link::{ClockReading, Verb};

impl Link {
    /// The exchange that opens the link; nothing when it is to stop before.
    pub(super) fn greet(&mut self, stream: &TcpStream) -> io::Result<Option<Welcome>> {
        let mut said = Vec::new();
        let (neighbours, index) = (self.neighbours.clone(), self.outlet.index());
        let dialer = Dialer::greet(&neighbours.own, socket::random()?, &mut said);
        let sent_ns = socket::posix_ns();
        say(stream, &said)?;
        let until = Instant::now() + self.settings.timing.greeting;
        let Some(line) = self.next_line(stream, until)? else {
            return if self.outlet.is_stopping() {
                Ok(None)
            } else {
                Err(late("it does not answer HERD", self.settings.timing.greeting))
            };
        };
        said.clear();
        let keys = neighbours.keys(Some(index));
        let welcome = dialer.answer(&line, &neighbours.own, &self.settings.name, &keys, &mut said);
        let welcome = match welcome {
            Ok(welcome) => welcome,
            Err(Denied::Refused) => return Err(self.why_refused(stream, until)),
            Err(why) => return Err(io::Error::other(why.reason())),
        };
        self.take_up(&welcome, sent_ns, &mut said);
        say(stream, &said)?;
        Ok(Some(welcome))
    }

    /// Notes what the neighbour says of its clock and its herd.conf, if it does, and says what our clock
    /// reads.
    fn take_up(&mut self, welcome: &Welcome, sent_ns: u64, said: &mut Vec<u8>) {
        self.ask_time_at = None;
        let Some(conf) = welcome.conf else { return };
        let (neighbours, index) = (self.neighbours.clone(), self.outlet.index());
        neighbours.oddities.conf(index, conf);
        let theirs = ClockReading { now_ns: welcome.now_ns, echo_ns: sent_ns, ..ClockReading::default() };
        let ours = neighbours.hear_time(&mut self.meter, Some(index), &theirs, &self.node);
        Verb::Time(ours).write(said);
        self.ask_time_at = Some(self.now() + self.settings.timing.heartbeat);
    }

    /// A neighbour that refuses us may say why in its next line.
    fn why_refused(&mut self, stream: &TcpStream, until: Instant) -> io::Error {
        let said = self.next_line(stream, until);
        let word = match said.as_ref().map(|line| line.as_deref().and_then(Verb::parse)) {
            Ok(Some(Verb::Denied(word))) => word,
            _ => b"",
        };
        self.denied(word)
    }

    fn denied(&self, word: &[u8]) -> io::Error {
        io::Error::other(Denied::told(word, &self.neighbours.own.name, &self.settings.name))
    }

    /// Asks what the neighbour's clock reads, once a heartbeat.
    pub(super) fn ask_time_when_due(&mut self) {
        let now = self.now();
        if self.ask_time_at.is_none_or(|at| at > now) {
            return;
        }
        self.ask_time_at = Some(now + self.settings.timing.heartbeat);
        let (neighbours, mut line) = (&self.neighbours, Vec::new());
        let slowest = neighbours.oddities.clocks.slowest(neighbours.now());
        Verb::Time(self.meter.say(socket::posix_ns(), neighbours.now(), slowest)).write(&mut line);
        self.outlet.offer(&line, None, &mut self.wire);
    }

    /// Of a link that ended with a record refused.
    pub(super) fn spare_refused(&mut self) {
        let Some(beginning) = self.last_refused.take() else { return };
        if self.outlet.spare(&beginning) {
            // There may be more of them, and the others are to arrive soon.
            self.has_spared = true;
            let (name, record) = (&self.settings.name, Escaped(&beginning));
            self.spared.count(|total| {
                log::warn!(
                    "{name} closes the link over a record that it refuses, and is spared it from now on: {record}; \
                     {total} so far"
                );
            });
        }
    }

    /// Finds out what a neighbour lacks that knows a good deal, but not from this start of ours: the
    /// parts in which its digest differs. Without an answer it gets everything.
    pub(super) fn narrow(&mut self, stream: &TcpStream) -> io::Result<()> {
        say(stream, &ask())?;
        let until = Instant::now() + self.settings.timing.digest_wait;
        loop {
            let Some(line) = self.next_line(stream, until)? else { return Ok(()) };
            if let Some(theirs) = self.hear(&line)? {
                self.outlet.narrow(digest(&self.node).differing(&theirs));
                return Ok(());
            }
        }
    }

    pub(super) fn compare_when_quiet(&mut self) {
        let store = &self.node.store;
        let state = State { news: store.news(), forgotten: store.forgotten() };
        if self.session.asks(state, self.now()) {
            // The flooder may be writing, too, so it is offered like news.
            self.outlet.offer(&ask(), None, &mut self.wire);
        }
    }

    /// The next line of the neighbour; nothing when it takes too long or the link is to stop.
    fn next_line(&mut self, stream: &TcpStream, until: Instant) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some(line) = self.take_line() {
                return Ok(Some(line));
            }
            let left = until.saturating_duration_since(Instant::now());
            if self.outlet.is_stopping() || left.is_zero() {
                return Ok(None);
            }
            if self.outlet.wait(Some(left))? {
                self.fill(stream)?;
            }
        }
    }

    /// Reads what the neighbour says and acts on it.
    pub(super) fn read(&mut self, stream: &TcpStream) -> io::Result<()> {
        let filled = self.fill(stream);
        while let Some(line) = self.take_line() {
            if let Some(theirs) = self.hear(&line)? {
                self.mend(&theirs);
            }
        }
        filled
    }

    /// Reads what is there.
    fn fill(&mut self, stream: &TcpStream) -> io::Result<()> {
        let mut said = [0; 4096];
        match socket::read_now(stream, &mut said) {
            Ok(0) => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the link")),
            Ok(count) => {
                self.session.alive(self.now());
                self.input.extend_from_slice(&said[..count]);
                if self.input.len() > LINK_LINE_MAX && !self.input.contains(&b'\n') {
                    return Err(io::Error::other("it says a line without end"));
                }
                Ok(())
            }
            Err(why) if is_retry(&why) => Ok(()),
            Err(why) => Err(why),
        }
    }

    fn take_line(&mut self) -> Option<Vec<u8>> {
        let end = memchr(b'\n', &self.input)?;
        let rest = self.input.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.input, rest);
        line.pop();
        Some(line)
    }

    /// Takes note of a line; returns the digest, if it is one.
    fn hear(&mut self, line: &[u8]) -> io::Result<Option<Digest>> {
        let (name, neighbours) = (&self.settings.name, &self.neighbours);
        self.last_refused =
            line.strip_prefix(b"? ").filter(|record| is_of_one_record(record)).map(<[u8]>::to_vec);
        match self.session.hear(line, self.began.elapsed()) {
            Heard::Nothing => {}
            Heard::Seen(epoch) => {
                self.outlet.seen(epoch);
                self.live();
            }
            Heard::Digest(theirs) => return Ok(Some(theirs)),
            Heard::Time(reading) => {
                // What there is to be said of ours is said with the next question.
                neighbours.hear_time(&mut self.meter, Some(self.outlet.index()), &reading, &self.node);
            }
            Heard::Twin(address) => neighbours.oddities.is_twin(name, &neighbours.own.name, &address),
            Heard::Denied(why) => return Err(self.denied(&why)),
            Heard::Refusal => log::warn!(
                "{name} refuses what we send; is it the same herd.conf on both sides? It said: {}",
                Escaped(line)
            ),
        }
        Ok(None)
    }

    /// The neighbour's start at the other end of this link lives.
    fn live(&self) {
        if let Some(address) = self.peer {
            let (oddities, now) = (&self.neighbours.oddities, self.neighbours.now());
            let _ = oddities.lives(self.outlet.index(), self.incarnation, address, now);
        }
    }

    /// Has what differs sent; the neighbour does the same on its own link.
    fn mend(&mut self, theirs: &Digest) {
        let own = digest(&self.node);
        if let Some(parts) = self.session.compare(&own, theirs, self.node.store.news(), self.now()) {
            let (name, count) = (&self.settings.name, own.count);
            log::info!(
                "{name} knows {} clients and we {count}, or others: sending what differs",
                theirs.count
            );
            self.outlet.repair(parts);
        }
        if self.session.takes_note_of_difference(self.now()) {
            let (name, seconds) = (&self.settings.name, self.settings.timing.differ.as_secs_f64());
            log::warn!(
                "{name} and we have known different clients for over {seconds} s, whatever is sent; see what \
                 both logs say of records that were dropped, and compare the herd.confs and the clocks"
            );
        }
        self.outlet.set_differs(self.session.differs_for_long());
    }
}

/// Whether what a neighbour refused can only be one record, and not every one: its client's ID is whole, or it was
/// cut off where no sane ID ends.
fn is_of_one_record(refused: &[u8]) -> bool {
    let mut fields = Fields::of(refused);
    fields.next() == Some(b"AT") && (fields.count() > 3 || refused.len() >= MAX_LINE_MIN)
}

/// Says lines while nobody else writes.
fn say(mut stream: &TcpStream, lines: &[u8]) -> io::Result<()> {
    stream.write_all(lines)
}

fn ask() -> Vec<u8> {
    let mut line = Vec::new();
    Verb::Ask.write(&mut line);
    line
}

fn late(why: &str, wait: Duration) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{why} for {} s", wait.as_secs_f64()))
}
