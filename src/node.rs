//! One server without sockets: a line in, a reply and perhaps news out. The workers call it with
//! what they read; it has no socket and no clock of its own.

use std::net::IpAddr;

use crate::places::Lookup;
use crate::protocol::record::{Offsets, Parts};
use crate::protocol::{Command, Location, Malformed, Query, Record, Report, line};
use crate::store::{Learned, Store};

/// The server of one name: what it knows and how it answers.
pub struct Node {
    name: Box<str>,
    /// How far ahead of this server's clock a report may be, in ns.
    max_ahead_ns: Option<u64>,
    pub store: Store,
}

/// Who sent a line, as far as its address tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    pub kind: PeerKind,
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
}

/// What becomes of a line. Replies without a lookup are appended to the output by `answer`.
pub enum Reply {
    /// The AT line of a report is in the output.
    Located,
    /// The AT line is known and the places are to be asked; nothing is in the output yet.
    Nearby(Nearby),
    /// The `? ` line is in the output.
    Refused(Refusal),
    /// Nothing is due: a blank line, or an AT line of a neighbour.
    Silence(Silence),
}

/// The first half of a WHATSAT reply, and what to ask for the second.
pub struct Nearby {
    /// The stored AT line with its newline.
    pub line: Vec<u8>,
    pub lookup: Lookup,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    Malformed(Malformed),
    UnknownClient,
    NotANeighbour,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Silence {
    Blank,
    Learned,
    /// A neighbour's AT line that is none; it is counted.
    Dropped(Malformed),
    /// A neighbour's AT line without its newline, which may be the stump of another.
    Unterminated,
}

/// Records on their way to the neighbours: AT lines with their newlines, and whom each came from.
#[derive(Default)]
pub struct News {
    pub lines: Vec<u8>,
    pub items: Vec<NewsItem>,
}

#[derive(Clone, Copy)]
pub struct NewsItem {
    start: u32,
    end: u32,
    offsets: Offsets,
    /// The neighbour that sent it and needs no copy.
    pub from: Option<u16>,
}

impl Node {
    pub fn new(name: &str, max_ahead_ns: Option<u64>) -> Node {
        Node { name: name.into(), max_ahead_ns, store: Store::default() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Answers one line that was received at `now_ns` (POSIX time, ns): appends the reply to
    /// `out`, and what the herd did not know yet to `news`.
    pub fn answer(
        &self,
        line: Line<'_>,
        peer: Peer,
        now_ns: u64,
        out: &mut Vec<u8>,
        news: &mut News,
    ) -> Reply {
        let refusal = match Command::parse(line.text) {
            Ok(Command::Blank) => return Reply::Silence(Silence::Blank),
            Ok(Command::Iamat(report)) => match self.locate(&report, now_ns, out, news) {
                Ok(()) => return Reply::Located,
                Err(why) => Refusal::Malformed(why),
            },
            Ok(Command::Whatsat(query)) => match self.nearby(&query) {
                Some(nearby) => return Reply::Nearby(nearby),
                None => Refusal::UnknownClient,
            },
            Ok(Command::At(parts)) => match peer.kind {
                PeerKind::Stranger => Refusal::NotANeighbour,
                PeerKind::Neighbour { index, plain } => {
                    return self.hear(&parts, line.terminated || plain, index, news);
                }
            },
            Err(why) if is_at(line.text) && peer.kind != PeerKind::Stranger => {
                return Reply::Silence(Silence::Dropped(why));
            }
            Err(why) => Refusal::Malformed(why),
        };
        refuse(line.text, out);
        Reply::Refused(refusal)
    }

    fn locate(
        &self,
        report: &Report<'_>,
        now_ns: u64,
        out: &mut Vec<u8>,
        news: &mut News,
    ) -> Result<(), Malformed> {
        if self.max_ahead_ns.is_some_and(|ahead_ns| report.time.is_ahead(now_ns, ahead_ns)) {
            return Err(Malformed::TooFarAhead);
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
        if self.store.learn_report(&record) == Learned::News {
            news.push(&record, None);
        }
        out.push(b'\n');
        Ok(())
    }

    fn nearby(&self, query: &Query<'_>) -> Option<Nearby> {
        self.store.read(query.client, |record| {
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
            Nearby { line, lookup }
        })
    }

    /// Merges what a neighbour passed on.
    fn hear(&self, parts: &Parts<'_>, committed: bool, from: Option<u16>, news: &mut News) -> Reply {
        if !committed {
            return Reply::Silence(Silence::Unterminated);
        }
        let start = news.lines.len();
        let offsets = Offsets::write(parts, &mut news.lines);
        let learned = self.store.learn(&Record::new(&news.lines[start..], offsets));
        match learned {
            Learned::News => news.commit(start, offsets, from),
            Learned::Stale => news.lines.truncate(start),
        }
        Reply::Silence(Silence::Learned)
    }
}

impl Refusal {
    /// For the log: what is wrong.
    pub fn reason(self) -> &'static str {
        match self {
            Refusal::Malformed(why) => why.reason(),
            Refusal::UnknownClient => "no such client is known",
            Refusal::NotANeighbour => "AT from an address that is no neighbour's",
        }
    }
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    fn push(&mut self, record: &Record<&[u8]>, from: Option<u16>) {
        let start = self.lines.len();
        self.lines.extend_from_slice(record.line());
        self.commit(start, record.offsets(), from);
    }

    /// The line that was written at the end of `lines` from `start` on is news.
    fn commit(&mut self, start: usize, offsets: Offsets, from: Option<u16>) {
        let end = self.lines.len() as u32;
        self.items.push(NewsItem { start: start as u32, end, offsets, from });
        self.lines.push(b'\n');
    }

    /// The record of one of the items.
    pub fn record(&self, item: &NewsItem) -> Record<&[u8]> {
        Record::new(&self.lines[item.start as usize..item.end as usize], item.offsets)
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
pub fn refuse(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"? ");
    out.extend_from_slice(line::without_cr(text));
    out.push(b'\n');
}

/// Whether the first field of a line is `AT`, be the rest as it may.
pub fn is_at(text: &[u8]) -> bool {
    line::Fields::of(text).next() == Some(b"AT")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const NOW_NS: u64 = 1_520_023_935_182_837_383;
    const KIWI: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997";

    fn peer(kind: PeerKind) -> Peer {
        Peer { address: Ipv4Addr::LOCALHOST.into(), kind }
    }

    const STRANGER: PeerKind = PeerKind::Stranger;
    const NEIGHBOUR: PeerKind = PeerKind::Neighbour { index: Some(3), plain: false };
    const PLAIN: PeerKind = PeerKind::Neighbour { index: None, plain: true };

    struct Answer {
        reply: Reply,
        out: String,
        news: Vec<(String, Option<u16>)>,
    }

    fn ask(node: &Node, kind: PeerKind, text: &str, terminated: bool) -> Answer {
        let (mut out, mut news) = (Vec::new(), News::default());
        let line = Line { text: text.as_bytes(), terminated };
        let reply = node.answer(line, peer(kind), NOW_NS, &mut out, &mut news);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let items = news.items.iter().map(|item| (text(news.line(item)), item.from)).collect();
        Answer { reply, out: text(&out), news: items }
    }

    #[test]
    fn the_original_example_comes_out_to_the_byte() {
        let node = Node::new("Goloman", None);
        let expected =
            "AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n";
        let answer = ask(&node, STRANGER, KIWI, true);
        assert_eq!(answer.out, expected);
        assert_eq!(answer.news, [(expected.to_owned(), None)]);
        let again = ask(&node, STRANGER, KIWI, true);
        assert_eq!((again.out.as_str(), again.news.len()), (expected, 0));
    }

    #[test]
    fn an_older_report_is_answered_and_changes_nothing() {
        let node = Node::new("Goloman", None);
        let _ = ask(&node, STRANGER, KIWI, true);
        let older = ask(&node, STRANGER, "IAMAT kiwi.cs.ucla.edu +1+1 1520023933", true);
        assert_eq!(older.out, "AT Goloman +2.182837383 kiwi.cs.ucla.edu +1+1 1520023933\n");
        assert!(older.news.is_empty());
        let Reply::Nearby(nearby) = ask(&node, STRANGER, "WHATSAT kiwi.cs.ucla.edu 10 5", true).reply else {
            panic!("the client is known")
        };
        assert!(nearby.line.ends_with(b"+34.068930-118.445127 1520023934.918963997\n"));
        let expected =
            Lookup { latitude_deg: 34.06893, longitude_deg: -118.445127, radius_m: 10_000.0, bound: 5 };
        assert_eq!(nearby.lookup, expected);
    }

    #[test]
    fn invalid_commands_come_back_as_they_came() {
        let node = Node::new("Goloman", None);
        let check = |text: &str, why: Refusal| {
            let answer = ask(&node, STRANGER, text, true);
            let line = text.strip_suffix('\r').unwrap_or(text);
            assert_eq!(answer.out, format!("? {line}\n"));
            assert!(matches!(answer.reply, Reply::Refused(reason) if reason == why), "{text}");
        };
        check("  hello\t world  ", Refusal::Malformed(Malformed::Keyword));
        check("hello\r", Refusal::Malformed(Malformed::Keyword));
        check("WHATSAT nobody 10 5", Refusal::UnknownClient);
        check("AT Goloman +0.1 kiwi +1+1 1", Refusal::NotANeighbour);
        check("AT", Refusal::Malformed(Malformed::FieldCount));
    }

    #[test]
    fn at_lines_of_neighbours_are_learned_in_silence() {
        let node = Node::new("Goloman", None);
        let check = |kind, text: &str, terminated, why: Silence, news: usize| {
            let answer = ask(&node, kind, text, terminated);
            assert!(matches!(answer.reply, Reply::Silence(silence) if silence == why), "{text}");
            assert_eq!((answer.out.as_str(), answer.news.len()), ("", news), "{text}");
        };
        check(NEIGHBOUR, "AT Hands +0.1 a +1+1 12", true, Silence::Learned, 1);
        check(NEIGHBOUR, "AT Hands +0.1 a +1+1 12", true, Silence::Learned, 0);
        check(NEIGHBOUR, "AT Hands +0.1 a +1+1 13", false, Silence::Unterminated, 0);
        check(PLAIN, "AT Hands +0.1 a +1+1 14", false, Silence::Learned, 1);
        check(NEIGHBOUR, "AT Hands +0.1 a +1+1 nan", true, Silence::Dropped(Malformed::Time), 0);
        check(NEIGHBOUR, "  ", true, Silence::Blank, 0);
        let answer = ask(&node, NEIGHBOUR, "AT  Hands\t+0.1 b +1+1 1", true);
        assert_eq!(answer.news, [("AT Hands +0.1 b +1+1 1\n".to_owned(), Some(3))]);
    }

    #[test]
    fn max_ahead_refuses_only_what_is_further_ahead() {
        let node = Node::new("Goloman", Some(5_000_000_000));
        let check = |time: &str, accepted: bool| {
            let reply = ask(&node, STRANGER, &format!("IAMAT a +1+1 {time}"), true).reply;
            assert_eq!(matches!(reply, Reply::Located), accepted, "{time}");
        };
        check("1520023940.182837383", true);
        check("1520023940.182837384", false);
        check("99999999999999999999", false);
        let unlimited = ask(&Node::new("Goloman", None), STRANGER, "IAMAT a +1+1 1520023940.5", true);
        assert_eq!(unlimited.out, "AT Goloman -5.317162617 a +1+1 1520023940.5\n");
    }
}
