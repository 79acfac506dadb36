//! One server without sockets: a line in, a reply and perhaps news out. The workers call it with
//! what they read; it has no socket and no clock of its own.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::limits::{self, NEWS_KEPT_BYTES};
use crate::places::Lookup;
use crate::protocol::link::Verb;
use crate::protocol::record::{Offsets, Parts};
use crate::protocol::{Command, Location, Query, Record, Report, Rule, line};
use crate::store::{Learned, Store};

/// The server of one name: what it knows and how it answers.
pub struct Node {
    name: Box<str>,
    /// How far ahead of this server's clock a report may be, in ns.
    max_ahead_ns: Option<u64>,
    /// A client not heard of for so long is unknown.
    forget_after_s: Option<u64>,
    /// By so many seconds later, as the clock that stamped its record may be behind ours.
    lead_s: AtomicU64,
    /// So many clients may be known before a report of one that is not known is refused.
    max_clients: usize,
    /// Reports are learned when they are kept, rather than as they come.
    keeps_first: bool,
    /// Reports cannot be kept as safe as they must be, and are refused.
    read_only: AtomicBool,
    pub store: Store,
}

/// Who sent a line, as far as its address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    pub kind: PeerKind,
    /// Of a neighbour's link: which of its starts is at the other end; 0 where that is unknown.
    pub incarnation: u64,
}

/// Where news came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    /// Which neighbour.
    pub neighbour: u16,
    /// Which of its starts; 0 where that is unknown. One that was started anew since may have lost
    /// what it said before, and then has to be told.
    pub incarnation: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKind {
    /// No neighbour has this address.
    Stranger,
    Neighbour {
        /// Which one; nothing when several share the address, as on loopback.
        index: Option<u16>,
        /// Whether one of them is of another make and may end an AT line with its EOF.
        plain: bool,
    },
}

/// A line as a connection gave it.
#[derive(Clone, Copy)]
pub struct Line<'a> {
    /// Without its newline.
    pub text: &'a [u8],
    /// False for what the peer left unterminated before its half-close.
    pub terminated: bool,
    /// Nothing came before it on its connection.
    pub alone: bool,
}

impl<'a> Line<'a> {
    /// As it came, without the `\r` of a `\r\n`.
    pub fn shown(&self) -> &'a [u8] {
        if self.terminated { line::without_cr(self.text) } else { self.text }
    }
}

/// What becomes of a line. Replies without a lookup are appended to the output by `answer`.
pub enum Reply<'a> {
    /// The AT line of a report is in the output. Its time may be so far ahead of this server's clock that
    /// no later report of the client will count.
    Located { is_far_ahead: bool },
    /// The AT line is known and the places are to be asked; nothing is in the output yet.
    Nearby(Nearby),
    /// The `? ` line is in the output.
    Refused(Rule),
    /// Nothing is due: a blank line, or an AT line of a neighbour.
    Silence(Silence),
    /// It is about the connection, whose owner answers it, or refuses it by [`refuse`].
    Link(Verb<'a>),
}

/// The first half of a WHATSAT reply, and what to ask for the second.
pub struct Nearby {
    /// The stored AT line with its newline.
    pub line: Vec<u8>,
    pub lookup: Lookup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    Blank,
    Learned,
    /// A neighbour's AT line that is none; it is counted.
    Dropped(Rule),
    /// A neighbour's record that is to be forgotten already; it is counted.
    Past,
    /// A neighbour's AT line without its newline, which may be the stump of another.
    Unterminated,
}

/// Records on their way to the neighbours: AT lines with their newlines, and whom each came from.
#[derive(Default)]
pub struct News {
    pub lines: Vec<u8>,
    pub items: Vec<NewsItem>,
    /// Lines of the store, which a report that is no news relies on where reports are kept first.
    pub relied_on: Vec<Vec<u8>>,
}

#[derive(Clone, Copy)]
pub struct NewsItem {
    start: u32,
    end: u32,
    offsets: Offsets,
    /// The neighbour that sent it and needs no copy.
    pub from: Option<Source>,
    /// It is a client's report to this very server.
    is_own: bool,
}

impl Node {
    pub fn new(name: &str, max_ahead_ns: Option<u64>) -> Node {
        let (name, store) = (name.into(), Store::default());
        let read_only = AtomicBool::new(false);
        Node {
            name,
            max_ahead_ns,
            forget_after_s: None,
            lead_s: AtomicU64::new(0),
            max_clients: usize::MAX,
            keeps_first: false,
            read_only,
            store,
        }
    }

    /// The same, forgetting clients not heard of for so long.
    pub fn forgetting(self, after_s: Option<u64>) -> Node {
        Node { forget_after_s: after_s, ..self }
    }

    /// The same, refusing reports of further clients once it knows so many. What neighbours say of any
    /// client is taken all the same, so that the herd agrees.
    pub fn holding(self, max_clients: usize) -> Node {
        Node { max_clients, ..self }
    }

    /// The same, learning reports only by `learn_kept`: nobody hears of one that cannot be kept.
    pub fn keeping_first(self, keeps_first: bool) -> Node {
        Node { keeps_first, ..self }
    }

    /// From here on reports are refused, or taken again.
    pub fn set_read_only(&self, read_only: bool) {
        self.read_only.store(read_only, Ordering::SeqCst);
    }

    pub fn is_read_only(&self) -> bool {
        self.read_only.load(Ordering::SeqCst)
    }

    /// How far the slowest clock of the herd is behind ours, in s: nobody is forgotten before it says so.
    pub fn set_lead_s(&self, lead_s: u64) {
        self.lead_s.store(lead_s, Ordering::Relaxed);
    }

    /// Records heard by their origin before this second are forgotten.
    pub fn oldest_s(&self, now_ns: u64) -> Option<i64> {
        let after_s = self.forget_after_s?.saturating_add(self.lead_s.load(Ordering::Relaxed));
        let after_s = i64::try_from(after_s).unwrap_or(i64::MAX);
        Some(((now_ns / 1_000_000_000) as i64).saturating_sub(after_s))
    }

    /// Learns an AT line that was kept; false if it is none. What is to be forgotten is so later: no
    /// neighbour has said yet what it thinks of our clock.
    pub fn restore(&self, line: &[u8], scratch: &mut Vec<u8>) -> bool {
        let Ok(Command::At(parts)) = Command::parse(line) else { return false };
        scratch.clear();
        let offsets = Offsets::write(&parts, scratch);
        // What is superseded in the same journal is no news.
        let _ = self.store.learn(&Record::new(&scratch[..], offsets), None);
        true
    }

    fn is_past(&self, record: &Record<&[u8]>, now_ns: u64) -> bool {
        self.oldest_s(now_ns).is_some_and(|oldest_s| record.received_s() < oldest_s)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers one line that was received at `now_ns` (POSIX time, ns): appends the reply to
    /// `out`, and what the herd did not know yet to `news`.
    pub fn answer<'a>(
        &self,
        line: Line<'a>,
        peer: Peer,
        now_ns: u64,
        out: &mut Vec<u8>,
        news: &mut News,
    ) -> Reply<'a> {
        let refusal = match Command::parse(line.text) {
            Ok(Command::Blank) => return Reply::Silence(Silence::Blank),
            Ok(Command::Iamat(_)) if self.is_read_only() => Rule::NotKept,
            Ok(Command::Iamat(report)) => match self.locate(&report, now_ns, out, news) {
                Ok(()) => {
                    let is_far_ahead = report.time.is_ahead(now_ns, limits::FAR_AHEAD_NS);
                    return Reply::Located { is_far_ahead };
                }
                Err(why) => why,
            },
            Ok(Command::Whatsat(query)) => match self.nearby(&query, now_ns) {
                Some(nearby) => return Reply::Nearby(nearby),
                None => Rule::UnknownClient,
            },
            Ok(Command::At(parts)) => match peer.kind {
                PeerKind::Stranger => Rule::NotANeighbour,
                PeerKind::Neighbour { index, plain } => {
                    // One of another make sends one line a connection; a link that is cut in a
                    // later one has another neighbour at its end, with whom it shares an address.
                    let committed = line.terminated || (plain && line.alone);
                    let from = index.map(|neighbour| Source { neighbour, incarnation: peer.incarnation });
                    return self.hear(&parts, committed, from, now_ns, news);
                }
            },
            // A prefix of it may be as good a line, so only the newline makes it one.
            Ok(Command::Link(verb)) if line.terminated => return Reply::Link(verb),
            Ok(Command::Link(_)) => Rule::Unterminated,
            Err(why) if is_at(line.text) && peer.kind != PeerKind::Stranger => {
                // The stump of a line that was cut off says nothing of the line.
                let dropped = if line.terminated { Silence::Dropped(why) } else { Silence::Unterminated };
                return Reply::Silence(dropped);
            }
            Err(why) => why,
        };
        refuse(line.shown(), out);
        Reply::Refused(refusal)
    }

    fn locate(
        &self,
        report: &Report<'_>,
        now_ns: u64,
        out: &mut Vec<u8>,
        news: &mut News,
    ) -> Result<(), Rule> {
        if self.max_ahead_ns.is_some_and(|ahead_ns| report.time.is_ahead(now_ns, ahead_ns)) {
            return Err(Rule::TooFarAhead);
        }
        let mut difference = Vec::with_capacity(32);
        report.time.write_difference(now_ns, &mut difference);
        let parts = Parts {
            origin: self.name.as_bytes(),
            difference: &difference,
            client: report.client,
            location: report.location,
            time: report.time,
        };
        let start = out.len();
        let offsets = Offsets::write(&parts, out);
        let record = Record::new(&out[start..], offsets);
        let oldest_s = self.oldest_s(now_ns);
        let learned = if self.keeps_first {
            self.learn_later(&record, oldest_s, news)
        } else {
            self.store.learn_report(&record, oldest_s, self.max_clients)
        };
        match learned {
            Learned::News => news.push(&record),
            Learned::Stale => {}
            Learned::Full => {
                out.truncate(start);
                return Err(Rule::Full);
            }
        }
        out.push(b'\n');
        Ok(())
    }

    /// What learning a report will come to once it is kept.
    fn learn_later(&self, record: &Record<&[u8]>, oldest_s: Option<i64>, news: &mut News) -> Learned {
        if let Some(line) = self.store.superseding(record, oldest_s) {
            news.relied_on.push(line);
            return Learned::Stale;
        }
        let is_known = |client: &[u8]| self.store.read(client, |_| ()).is_some();
        let known = self.store.count();
        if known.saturating_add(news.items.len()) < self.max_clients
            || news.has_own(record.client())
            || is_known(record.client())
        {
            return Learned::News;
        }
        // Further clients of this turn are to be learned, too.
        let further = || {
            let own = news.items.iter().filter(|item| item.is_own).map(|item| news.client(item));
            own.filter(|client| !is_known(client)).collect::<HashSet<_>>().len()
        };
        let is_full = known >= self.max_clients || known + further() >= self.max_clients;
        if is_full { Learned::Full } else { Learned::News }
    }

    /// Learns the reports of a node that keeps them first, now that they are kept.
    pub fn learn_kept(&self, news: &mut News, now_ns: u64) {
        if !self.keeps_first {
            return;
        }
        let oldest_s = self.oldest_s(now_ns);
        let News { lines, items, .. } = news;
        items.retain(|item| {
            let record = item.record(lines);
            !item.is_own || self.store.learn_report(&record, oldest_s, usize::MAX) == Learned::News
        });
    }

    /// Whether a line asks for a client whose report is in `news` and still to be kept.
    pub fn is_early(&self, text: &[u8], news: &News) -> bool {
        self.keeps_first
            && !news.is_empty()
            && matches!(Command::parse(text), Ok(Command::Whatsat(query)) if news.has_own(query.client))
    }

    fn nearby(&self, query: &Query<'_>, now_ns: u64) -> Option<Nearby> {
        let found = self.store.read(query.client, |record| {
            if self.is_past(&record, now_ns) {
                return None;
            }
            let mut line = Vec::with_capacity(record.line().len() + 1);
            line.extend_from_slice(record.line());
            line.push(b'\n');
            let location = Location::parse(record.location());
            let lookup = Lookup {
                latitude_deg: location.map_or(0.0, |location| location.latitude_deg()),
                longitude_deg: location.map_or(0.0, |location| location.longitude_deg()),
                radius_m: query.radius_m,
                bound: query.bound,
            };
            Some(Nearby { line, lookup })
        });
        found.flatten()
    }

    /// Merges what a neighbour passed on.
    fn hear(
        &self,
        parts: &Parts<'_>,
        committed: bool,
        from: Option<Source>,
        now_ns: u64,
        news: &mut News,
    ) -> Reply<'static> {
        if !committed {
            return Reply::Silence(Silence::Unterminated);
        }
        let start = news.lines.len();
        let offsets = Offsets::write(parts, &mut news.lines);
        let record = Record::new(&news.lines[start..], offsets);
        // What has been forgotten here does not come back from one who is slower to.
        if self.is_past(&record, now_ns) {
            news.lines.truncate(start);
            return Reply::Silence(Silence::Past);
        }
        match self.store.learn(&record, self.oldest_s(now_ns)) {
            Learned::News => news.commit(start, offsets, from, false),
            Learned::Stale | Learned::Full => news.lines.truncate(start),
        }
        Reply::Silence(Silence::Learned)
    }
}

impl NewsItem {
    /// Whether it is a report to this very server.
    pub fn is_own(&self) -> bool {
        self.is_own
    }

    fn record<'a>(&self, lines: &'a [u8]) -> Record<&'a [u8]> {
        Record::new(&lines[self.start as usize..self.end as usize], self.offsets)
    }
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Empties it, to be filled anew.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.items.clear();
        self.relied_on.clear();
        self.lines.shrink_to(NEWS_KEPT_BYTES);
        self.items.shrink_to(NEWS_KEPT_BYTES / size_of::<NewsItem>());
    }

    /// Adds a report to this very server.
    fn push(&mut self, record: &Record<&[u8]>) {
        let start = self.lines.len();
        self.lines.extend_from_slice(record.line());
        self.commit(start, record.offsets(), None, true);
    }

    /// The line that was written at the end of `lines` from `start` on is news.
    fn commit(&mut self, start: usize, offsets: Offsets, from: Option<Source>, is_own: bool) {
        let end = self.lines.len() as u32;
        self.items.push(NewsItem { start: start as u32, end, offsets, from, is_own });
        self.lines.push(b'\n');
    }

    /// Takes out what came from clients of this server.
    pub fn drop_own(&mut self) {
        self.items.retain(|item| !item.is_own);
        self.relied_on.clear();
    }

    fn has_own(&self, client: &[u8]) -> bool {
        self.items.iter().any(|item| item.is_own && self.client(item) == client)
    }

    /// The record of one of the items.
    pub fn record(&self, item: &NewsItem) -> Record<&[u8]> {
        item.record(&self.lines)
    }

    /// The client that one of the items is about.
    pub fn client(&self, item: &NewsItem) -> &[u8] {
        item.offsets.client(&self.lines[item.start as usize..item.end as usize])
    }

    /// The AT line of one of the items, with its newline.
    pub fn line(&self, item: &NewsItem) -> &[u8] {
        &self.lines[item.start as usize..=item.end as usize]
    }
}

/// Appends the reply to an invalid command: `? `, the line as it came, and a newline.
pub fn refuse(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"? ");
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// Whether the first field of a line is `AT`, be the rest as it may.
pub fn is_at(text: &[u8]) -> bool {
    line::Fields::of(text).next() == Some(b"AT")
}

#[cfg(test)]
mod tests;
