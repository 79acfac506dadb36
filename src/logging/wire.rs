//! The traffic in the log: every line in and out with its peer, written once a turn, or in two steps
//! where others log what happens between the two: what came in, the flood, what goes out. It bypasses the
//! `log` facade, whose formatting would cost a request more than answering it.

use std::net::{SocketAddr, SocketAddrV4};
use std::ops::Range;
use std::sync::Arc;

use memchr::memchr_iter;

use super::Sink;
use super::escape::{escape, is_all_plain};
use super::hide::{hide, hide_line};
use super::stamp::stamp;
use crate::limits::REFUSED_SHOWN_BYTES;

/// A thread's lines for the log until it commits them.
pub struct Wire {
    sink: Option<Arc<Sink>>,
    enabled: bool,
    /// What came in, and what goes out.
    received: Lines,
    sent: Lines,
    /// The time in ms that `stamp` shows.
    now_ms: u64,
    stamp: Words,
    /// Whom the next lines are about, with a space before and behind.
    peer: Words,
    /// Lines about refused traffic that were left out.
    spared: u64,
}

#[derive(Default)]
struct Lines {
    bytes: Vec<u8>,
    records: u64,
    /// Where the last one begins.
    last: usize,
}

impl Lines {
    /// Takes the last one out.
    fn take_back(&mut self) {
        self.bytes.truncate(self.last);
        self.records -= 1;
    }

    /// Hands them to the log.
    fn commit(&mut self, sink: Option<&Sink>) {
        if self.records > 0 {
            if let Some(sink) = sink {
                sink.append(&self.bytes, self.records);
            }
            self.bytes.clear();
            (self.records, self.last) = (0, 0);
        }
    }
}

/// What many lines have in common, in a buffer of at least a size known beforehand: it is copied by a few instructions,
/// where one of any length takes a call.
struct Words {
    bytes: Vec<u8>,
    length: usize,
}

/// A stamp has 32 bytes, and ` 255.255.255.255:65535 ` has 23.
const WORDS_BYTES: usize = 32;

impl Default for Words {
    fn default() -> Words {
        Words { bytes: vec![0; WORDS_BYTES], length: 0 }
    }
}

impl Words {
    /// Takes these parts in place of what there was.
    fn set(&mut self, parts: &[&[u8]]) {
        self.bytes.clear();
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.length = self.bytes.len();
        self.bytes.resize(self.length.max(WORDS_BYTES), 0);
    }

    fn shown_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..self.length]
    }

    fn append_to(&self, lines: &mut Vec<u8>) {
        match self.bytes.first_chunk::<WORDS_BYTES>() {
            Some(bytes) if self.length <= WORDS_BYTES => {
                let end = lines.len() + self.length;
                lines.extend_from_slice(bytes);
                lines.truncate(end);
            }
            _ => lines.extend_from_slice(&self.bytes[..self.length]),
        }
    }
}

impl Wire {
    pub fn new(sink: &Arc<Sink>) -> Wire {
        Wire { sink: Some(sink.clone()), enabled: sink.logs_traffic(), ..Wire::mute() }
    }

    /// One without a log.
    pub fn mute() -> Wire {
        let (received, sent, stamp, peer) = Default::default();
        Wire { sink: None, enabled: false, received, sent, now_ms: 0, stamp, peer, spared: 0 }
    }

    /// The lines from here on happened at `now_ns` (POSIX time).
    pub fn at(&mut self, now_ns: u64) {
        let now_ms = now_ns / 1_000_000;
        if let Some(sink) = &self.sink {
            self.enabled = sink.logs_traffic();
        }
        if !self.enabled || now_ms == self.now_ms {
            return;
        }
        if now_ms / 1_000 == self.now_ms / 1_000
            && let Some(millis) = self.stamp.shown_mut().get_mut(MILLIS)
        {
            write_millis(now_ms, millis);
        } else {
            self.stamp.set(&[stamp(now_ms, "INFO").as_bytes()]);
        }
        self.now_ms = now_ms;
    }

    /// The lines from here on are about this peer.
    pub fn with(&mut self, peer: &SocketAddr) {
        if self.enabled {
            match peer {
                SocketAddr::V4(peer) => set_peer(*peer, &mut self.peer),
                SocketAddr::V6(peer) => self.peer.set(&[format!(" {peer} ").as_bytes()]),
            }
        }
    }

    /// The lines from here on are about this neighbour.
    pub fn with_neighbour(&mut self, name: &str) {
        if self.enabled {
            self.peer.set(&[b" ", name.as_bytes(), b" "]);
        }
    }

    /// A line came in, without its newline. Says whether the log has it as it came.
    pub fn received(&mut self, line: &[u8]) -> bool {
        self.record(Way::In, IN, line)
    }

    /// The same of one that is no command, or a request: without what looks like a secret.
    pub fn received_from_anybody(&mut self, line: &[u8]) {
        if self.enabled {
            self.record(Way::In, IN, &hide_line(line));
        }
    }

    /// What is said to one goes out, as the log is to have it.
    pub fn sent_to_anybody(&mut self, text: &[u8]) {
        if self.enabled {
            self.record(Way::Out, OUT, &hide(text));
        }
    }

    /// A line goes out, without its newline.
    pub fn sent(&mut self, line: &[u8]) {
        self.record(Way::Out, OUT, line);
    }

    /// The same of one that is made of the words of a line which the log has as it came.
    pub fn sent_as_plain(&mut self, line: &[u8]) {
        debug_assert!(is_all_plain(line), "{line:?}");
        if self.enabled {
            self.begin(Way::Out, OUT).extend_from_slice(line);
            self.end(Way::Out);
        }
    }

    /// A line that came in is refused, by this rule; its beginning tells which one. Beyond the ration of such traffic
    /// the log has nothing of it, not even that it came in, which was the last thing that did if it `is_logged`.
    pub fn refused(&mut self, rule: &str, line: &[u8], is_logged: bool) {
        if !self.enabled {
            return;
        }
        if self.is_rationed(line.len()) {
            if is_logged {
                self.received.take_back();
            }
            self.spared += 1 + u64::from(is_logged);
            return;
        }
        let line = hide_line(line);
        let beginning = &line[..line.len().min(REFUSED_SHOWN_BYTES)];
        self.record(Way::Out, REFUSED, &[rule.as_bytes(), b": ", beginning].concat());
    }

    /// The line that came in last is worth no more than the ration: false when the log has nothing of it now.
    pub fn ration(&mut self, line: &[u8]) -> bool {
        if self.enabled && self.is_rationed(line.len()) {
            self.received.take_back();
            self.spared += 1;
            return false;
        }
        true
    }

    /// Whether the log takes no more about refused traffic in this second.
    fn is_rationed(&self, bytes: usize) -> bool {
        self.sink.as_ref().is_some_and(|sink| !sink.ration.takes(self.now_ms / 1_000, bytes))
    }

    /// Lines are passed on to a neighbour, each with its newline; only AT lines are worth a record.
    pub fn flooded(&mut self, lines: &[u8]) {
        if !self.enabled {
            return;
        }
        let mut begin = 0;
        for end in memchr_iter(b'\n', lines).chain([lines.len()]) {
            let line = &lines[begin..end];
            if line.starts_with(b"AT ") {
                self.record(Way::Out, FLOOD, line);
            }
            begin = end + 1;
        }
    }

    /// A connection has come, of whom nothing is known yet; false when the log has too many of them in this second.
    pub fn opened(&mut self) -> bool {
        if self.enabled && self.is_rationed(0) {
            self.spared += 1;
            return false;
        }
        self.record(Way::In, OPEN, b"");
        true
    }

    /// The same of a connection that was left out, now that the line that came in last turned out to be a good one.
    pub fn opened_late(&mut self) {
        if self.enabled {
            let line = self.received.bytes.split_off(self.received.last);
            self.record(Way::In, OPEN, b"");
            self.received.last = self.received.bytes.len();
            self.received.bytes.extend_from_slice(&line);
        }
    }

    /// A connection ends. Of one that `was_shown` nothing the log has nothing now.
    pub fn closed(&mut self, why: &str, was_shown: bool) {
        if was_shown {
            self.record(Way::Out, CLOSE, why.as_bytes());
        } else {
            self.spared += 1;
        }
    }

    /// Adds a line. Says whether its text is in it as it was given.
    fn record(&mut self, way: Way, what: What, text: &[u8]) -> bool {
        if !self.enabled {
            return false;
        }
        let is_plain = escape(text, self.begin(way, what));
        self.end(way);
        is_plain
    }

    /// Begins a line, whose text is to come.
    fn begin(&mut self, way: Way, what: What) -> &mut Vec<u8> {
        let lines = match way {
            Way::In => &mut self.received,
            Way::Out => &mut self.sent,
        };
        lines.last = lines.bytes.len();
        self.stamp.append_to(&mut lines.bytes);
        let end = lines.bytes.len() + what.length;
        lines.bytes.extend_from_slice(&what.bytes);
        lines.bytes.truncate(end);
        self.peer.append_to(&mut lines.bytes);
        &mut lines.bytes
    }

    fn end(&mut self, way: Way) {
        let lines = match way {
            Way::In => &mut self.received,
            Way::Out => &mut self.sent,
        };
        while lines.bytes.last() == Some(&b' ') {
            lines.bytes.pop();
        }
        lines.bytes.push(b'\n');
        lines.records += 1;
    }

    /// Hands what came in to the log, before others log what follows from it.
    pub fn commit_received(&mut self) {
        self.received.commit(self.sink.as_deref());
    }

    /// Hands the lines to the log: what came in, and what goes out.
    pub fn commit(&mut self) {
        self.received.commit(self.sink.as_deref());
        self.sent.commit(self.sink.as_deref());
        let spared = std::mem::take(&mut self.spared);
        if let Some(sink) = self.sink.as_deref().filter(|_| spared > 0) {
            sink.spare(spared);
        }
    }
}

#[derive(Clone, Copy)]
enum Way {
    In,
    Out,
}

/// What a line of the log is about, in a word of at most eight letters.
#[derive(Clone, Copy)]
struct What {
    bytes: [u8; 8],
    length: usize,
}

const IN: What = What { bytes: *b"in      ", length: 2 };
const OUT: What = What { bytes: *b"out     ", length: 3 };
const REFUSED: What = What { bytes: *b"refused ", length: 7 };
const FLOOD: What = What { bytes: *b"flood   ", length: 5 };
const OPEN: What = What { bytes: *b"open    ", length: 4 };
const CLOSE: What = What { bytes: *b"close   ", length: 5 };

/// Where a stamp has its milliseconds.
const MILLIS: Range<usize> = 20..23;

fn write_millis(ms: u64, digits: &mut [u8]) {
    let mut rest = ms;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
}

/// Sets ` 192.0.2.1:16675 `. It is done at every visit of a client, where `fmt` would take as long as a sixth of all
/// the rest.
fn set_peer(peer: SocketAddrV4, out: &mut Words) {
    let mut text = [b' '; " 255.255.255.255:65535 ".len()];
    let (mut places, mut length) = (text.iter_mut().rev().skip(1), 1);
    let mut put = |byte| {
        if let Some(place) = places.next() {
            (*place, length) = (byte, length + 1);
        }
    };
    // From the end, as the last digit of a number is known first.
    let [first, second, third, fourth] = peer.ip().octets().map(u16::from);
    for (number, before) in
        [(peer.port(), b':'), (fourth, b'.'), (third, b'.'), (second, b'.'), (first, b' ')]
    {
        let mut rest = number;
        while rest >= 10 {
            put(b'0' + (rest % 10) as u8);
            rest /= 10;
        }
        put(b'0' + rest as u8);
        put(before);
    }
    out.set(&[&text[text.len() - length..]]);
}

#[cfg(test)]
mod tests {
    use super::super::Escaped;
    use super::*;

    #[test]
    fn traffic_has_time_direction_peer_and_escaped_text() {
        let mut wire = Wire { enabled: true, ..Wire::mute() };
        wire.at(1_520_023_934_918_963_997);
        wire.with(&"127.0.0.1:4711".parse().expect("an address"));
        wire.opened();
        wire.received(b"IAMAT \xff\n");
        wire.with_neighbour("Hands");
        wire.sent(b"AT Goloman");
        wire.closed("idle", true);
        wire.flooded(b"AT Goloman\nMARK 5\n");
        let expected = "\
            2018-03-02T20:52:14.918Z [INFO] open 127.0.0.1:4711\n\
            2018-03-02T20:52:14.918Z [INFO] in 127.0.0.1:4711 IAMAT \\xff\\n\n";
        assert_eq!(String::from_utf8_lossy(&wire.received.bytes), expected);
        let expected = "\
            2018-03-02T20:52:14.918Z [INFO] out Hands AT Goloman\n\
            2018-03-02T20:52:14.918Z [INFO] close Hands idle\n\
            2018-03-02T20:52:14.918Z [INFO] flood Hands AT Goloman\n";
        assert_eq!(String::from_utf8_lossy(&wire.sent.bytes), expected);
        assert_eq!((wire.received.records, wire.sent.records), (2, 3));
    }

    fn shown(words: &Words) -> String {
        let mut text = b"before".to_vec();
        words.append_to(&mut text);
        String::from_utf8_lossy(&text["before".len()..]).into_owned()
    }

    #[test]
    fn a_stamp_and_a_peer_are_written_as_fmt_would() {
        let mut wire = Wire { enabled: true, ..Wire::mute() };
        for now_ms in [7, 999, 1_000, 1_520_023_934_918, 1_520_023_934_091, 1_520_023_935_000] {
            wire.at(now_ms * 1_000_000);
            assert_eq!(shown(&wire.stamp), stamp(now_ms, "INFO"));
        }
        for peer in [
            "0.0.0.0:0",
            "127.0.0.1:4711",
            "255.100.10.9:65535",
            "[::1]:80",
            "[2001:db8::1]:10000",
            "[2001:db8:1111:2222:3333:4444:5555:6666]:10000",
        ] {
            let peer = peer.parse().expect("an address");
            wire.with(&peer);
            assert_eq!(shown(&wire.peer), format!(" {peer} "));
        }
    }

    #[test]
    fn the_log_has_what_was_said_byte_for_byte_however_it_is_written() {
        let mut wire = Wire { enabled: true, ..Wire::mute() };
        let (mut received, mut sent) = (String::new(), String::new());
        for round in 0..5_000 {
            let now_ms = 1_520_023_934_000 + 7 * round;
            wire.at(now_ms * 1_000_000);
            let peer = match fastrand::u8(..3) {
                0 => format!("server-{}", "x".repeat(fastrand::usize(..80))),
                1 => SocketAddr::from((fastrand::u128(..).to_be_bytes(), fastrand::u16(..))).to_string(),
                _ => SocketAddr::from((fastrand::u32(..).to_be_bytes(), fastrand::u16(..))).to_string(),
            };
            match peer.parse() {
                Ok(address) => wire.with(&address),
                Err(_) => wire.with_neighbour(&peer),
            }
            let byte = || if fastrand::u8(..50) == 0 { fastrand::u8(..) } else { fastrand::u8(b' '..=b'~') };
            let line: Vec<_> = std::iter::repeat_with(byte).take(fastrand::usize(..150)).collect();
            let text = Escaped(&line).to_string();
            let expected = |what: &str| {
                format!("{}{what} {peer} {text}", stamp(now_ms, "INFO")).trim_end_matches(' ').to_owned()
                    + "\n"
            };
            received += &expected("in");
            sent += &expected("out");
            match wire.received(&line) {
                true => wire.sent_as_plain(&line),
                false => wire.sent(&line),
            }
        }
        assert_eq!(String::from_utf8_lossy(&wire.received.bytes), received);
        assert_eq!(String::from_utf8_lossy(&wire.sent.bytes), sent);
    }

    #[test]
    fn beyond_the_ration_the_log_has_neither_a_refused_line_nor_its_connection_until_it_says_something_good()
    {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("log");
        let console = super::super::Console::start().expect("started");
        let sink = Sink::start(&path, crate::limits::LogBounds::default(), true, console).expect("started");
        let mut wire = Wire::new(&sink);
        wire.at(1_520_023_934_918_963_997);
        wire.with(&"127.0.0.1:4711".parse().expect("an address"));
        while wire.opened() {}
        wire.received(b"x");
        wire.refused("no such command", b"x", true);
        wire.received(b"");
        assert!(!wire.ration(b""));
        wire.closed("idle", false);
        let rationed = wire.received.records;
        assert_eq!((rationed, wire.sent.records, wire.spared), (crate::limits::LOG_RATION, 0, 5));
        wire.received(b"IAMAT a +1+1 1");
        wire.opened_late();
        let log = String::from_utf8_lossy(&wire.received.bytes).into_owned();
        let last: Vec<_> = log.lines().rev().take(2).map(|line| &line[line.len() - 14..]).collect();
        assert_eq!(last, ["IAMAT a +1+1 1", "127.0.0.1:4711"], "{log}");
        wire.commit();
        sink.flush(std::time::Instant::now() + std::time::Duration::from_secs(20));
        let log = std::fs::read_to_string(&path).expect("a log");
        assert!(log.ends_with("[INFO] 5 further lines about refused traffic are left out here\n"), "{log}");
    }
}
