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
use crate::limits::LINK_LINE_MAX;
use crate::link::{Dialer, Heard, State, Welcome};
use crate::logging::Escaped;
use crate::protocol::link::Verb;

impl Link {
    /// The exchange that opens the link; nothing when it is to stop before.
    pub(super) fn greet(&mut self, stream: &TcpStream) -> io::Result<Option<Welcome>> {
        let mut said = Vec::new();
        let (neighbours, index) = (self.neighbours.clone(), self.outlet.index());
        let dialer = Dialer::greet(&neighbours.own, socket::random()?, &mut said);
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
        let welcome = welcome.map_err(|why| io::Error::other(why.reason()))?;
        say(stream, &said)?;
        Ok(Some(welcome))
    }

    /// Finds out what a neighbour lacks that knows a good deal, but not from this start of ours: the
    /// parts in which its digest differs. Without an answer it gets everything.
    pub(super) fn narrow(&mut self, stream: &TcpStream) -> io::Result<()> {
        say(stream, &ask())?;
        let until = Instant::now() + self.settings.timing.digest_wait;
        loop {
            let Some(line) = self.next_line(stream, until)? else { return Ok(()) };
            if let Some(theirs) = self.hear(&line) {
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
            if let Some(theirs) = self.hear(&line) {
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
    fn hear(&mut self, line: &[u8]) -> Option<Digest> {
        let name = &self.settings.name;
        match self.session.hear(line, self.began.elapsed()) {
            Heard::Nothing => {}
            Heard::Seen(epoch) => self.outlet.seen(epoch),
            Heard::Digest(theirs) => return Some(theirs),
            Heard::Refusal => log::warn!(
                "{name} refuses what we send; is it the same herd.conf on both sides? It said: {}",
                Escaped(line)
            ),
        }
        None
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
    }
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
