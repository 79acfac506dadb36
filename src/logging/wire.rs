//! The traffic in the log: every line in and out with its peer, written once a turn. It bypasses
//! the `log` facade, whose formatting would cost a request more than answering it.

use std::io::Write;
use std::net::SocketAddr;

use time::OffsetDateTime;

use super::Sink;
use super::escape::escape;

/// A thread's lines for the log until it commits them.
pub struct Wire {
    enabled: bool,
    lines: Vec<u8>,
    records: u64,
    /// The time in ms that `stamp` shows.
    now_ms: u64,
    stamp: Vec<u8>,
    /// Whom the next lines are about, with a space before and behind.
    peer: Vec<u8>,
}

impl Wire {
    pub fn new(sink: &Sink) -> Wire {
        let enabled = sink.logs_traffic();
        Wire { enabled, lines: Vec::new(), records: 0, now_ms: 0, stamp: Vec::new(), peer: Vec::new() }
    }

    /// The lines from here on happened at `now_ns` (POSIX time).
    pub fn at(&mut self, now_ns: u64) {
        let now_ms = now_ns / 1_000_000;
        if !self.enabled || now_ms == self.now_ms {
            return;
        }
        self.now_ms = now_ms;
        self.stamp = stamp(now_ms, "INFO").into_bytes();
    }

    /// The lines from here on are about this peer.
    pub fn with(&mut self, peer: &SocketAddr) {
        if self.enabled {
            self.peer.clear();
            let _ = write!(self.peer, " {peer} ");
        }
    }

    /// The lines from here on are about this neighbour.
    pub fn with_neighbour(&mut self, name: &str) {
        if self.enabled {
            self.peer.clear();
            let _ = write!(self.peer, " {name} ");
        }
    }

    /// A line came in, without its newline.
    pub fn received(&mut self, line: &[u8]) {
        self.record(b"in", line);
    }

    /// A line goes out, without its newline.
    pub fn sent(&mut self, line: &[u8]) {
        self.record(b"out", line);
    }

    /// Lines go out to a neighbour, each with its newline; only AT lines are worth a record.
    pub fn sent_all(&mut self, lines: &[u8]) {
        if self.enabled {
            let lines = lines.split(|&byte| byte == b'\n').filter(|line| line.starts_with(b"AT "));
            lines.for_each(|line| self.sent(line));
        }
    }

    pub fn opened(&mut self) {
        self.record(b"open", b"");
    }

    pub fn closed(&mut self, why: &str) {
        self.record(b"close", why.as_bytes());
    }

    fn record(&mut self, what: &[u8], text: &[u8]) {
        if !self.enabled {
            return;
        }
        self.lines.extend_from_slice(&self.stamp);
        self.lines.extend_from_slice(what);
        self.lines.extend_from_slice(&self.peer);
        escape(text, &mut self.lines);
        while self.lines.last() == Some(&b' ') {
            self.lines.pop();
        }
        self.lines.push(b'\n');
        self.records += 1;
    }

    /// Hands the lines to the log.
    pub fn commit(&mut self, sink: &Sink) {
        if self.records > 0 {
            sink.append(&self.lines, self.records);
            self.lines.clear();
            self.records = 0;
        }
    }
}

/// `2026-01-31T23:59:59.123Z [LEVEL] ` for a time in ms since 1970.
pub fn stamp(posix_ms: u64, level: &str) -> String {
    let (seconds, millis) = ((posix_ms / 1_000) as i64, posix_ms % 1_000);
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z [{level}] ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traffic_has_time_direction_peer_and_escaped_text() {
        let mut wire = Wire {
            enabled: true,
            lines: Vec::new(),
            records: 0,
            now_ms: 0,
            stamp: Vec::new(),
            peer: Vec::new(),
        };
        wire.at(1_520_023_934_918_963_997);
        wire.with(&"127.0.0.1:4711".parse().expect("an address"));
        wire.opened();
        wire.received(b"IAMAT \xff\n");
        wire.with_neighbour("Hands");
        wire.sent(b"AT Goloman");
        wire.closed("idle");
        let expected = "\
            2018-03-02T20:52:14.918Z [INFO] open 127.0.0.1:4711\n\
            2018-03-02T20:52:14.918Z [INFO] in 127.0.0.1:4711 IAMAT \\xff\\n\n\
            2018-03-02T20:52:14.918Z [INFO] out Hands AT Goloman\n\
            2018-03-02T20:52:14.918Z [INFO] close Hands idle\n";
        assert_eq!(String::from_utf8_lossy(&wire.lines), expected);
        assert_eq!(wire.records, 4);
    }
}
