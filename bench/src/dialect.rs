//! What the generator says and what it accepts as the answer: one client's commands, rendered in
//! place, and the check of every reply against the command it answers.

use memchr::memchr;
use memchr::memmem;

use crate::course;
use crate::crowd::{Crowd, Size};
use crate::http;
use crate::mover::Mover;

/// What a server speaks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// IAMAT, and a WHATSAT in so many commands (0 is never), answered under this server's name.
    Herd { server: String, whatsat_every: u64 },
    /// The same as the course asks for it: a difference is any number, and a reply that is the only one of its connection
    /// may lack its newline.
    Course { server: String, whatsat_every: u64, ends_lines: bool },
    /// PUT of the same reports by HTTP, answered under this server's name.
    Http { server: String },
    /// A position in the shape of `/v1/events` to whoever passes on what is posted, and keeps no state.
    Publish,
    /// Reports by turns with searches for the nearest clients, by lines or by HTTP, answered under this server's name.
    Near { server: String, by_http: bool },
    /// IAMAT of more clients than there are connections, in no order, answered under this server's name.
    Crowd { server: String, size: Size },
    /// IAMAT, answered by a line of the right size whose text does not depend on the command.
    Echo,
    /// SET over RESP, of about the size of an AT line.
    Redis,
}

/// Digits of the counter that makes every command of a client newer than its last.
const COUNTER_DIGITS: usize = 9;

/// Longer than any difference, where a reply has no end that could be waited for.
const UNENDED_DIFFERENCE_MAX: usize = 64;

const LOCATION: &str = "+34.068930-118.445127";
const NUMBERS: &str = r#""lat":34.068930,"lon":-118.445127"#;

/// One client's side of a conversation. Commands are numbered from 0.
pub struct Script {
    dialect: Dialect,
    /// `AT Goloman `, which every reply begins with.
    head: Vec<u8>,
    /// The client's next report.
    report: Counted,
    /// What comes back of a report, and ends the reply: ID, location, time, and what is behind them.
    tail: Counted,
    query: Vec<u8>,
    /// Whose commands and replies they are instead.
    mover: Option<Mover>,
    crowd: Option<Crowd>,
}

/// A text with the counter in it.
struct Counted {
    text: Vec<u8>,
    counter_at: usize,
}

impl Counted {
    /// The counter is in front of `end`.
    fn new(front: &str, end: &str) -> Counted {
        let text = [front, &"0".repeat(COUNTER_DIGITS), end].concat().into_bytes();
        Counted { text, counter_at: front.len() }
    }

    fn set(&mut self, number: u64) -> &[u8] {
        let mut rest = number;
        for digit in self.text[self.counter_at..self.counter_at + COUNTER_DIGITS].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        &self.text
    }
}

/// Whose report an AT line of a herd under load tells of, and which of them: the client's number
/// and the command's.
pub fn report_of(line: &[u8]) -> Option<(usize, u64)> {
    let text = std::str::from_utf8(line).ok()?;
    let mut fields = text.split_whitespace();
    let client = fields.nth(3)?.strip_prefix('c')?.strip_suffix(".bench")?.parse().ok()?;
    let command = fields.nth(1)?.split_once('.')?.1.parse().ok()?;
    Some((client, command))
}

impl Script {
    /// The commands of the client of this number; its times are fractions of the second `base_s`.
    pub fn new(dialect: &Dialect, client: usize, base_s: u64) -> Script {
        let id = format!("c{client:07}.bench");
        let position = format!("{id} {LOCATION} {base_s}.");
        let report = match dialect {
            Dialect::Herd { .. }
            | Dialect::Course { .. }
            | Dialect::Near { .. }
            | Dialect::Crowd { .. }
            | Dialect::Echo => Counted::new(&format!("IAMAT {position}"), "\n"),
            Dialect::Http { .. } => {
                let body = format!("{{{NUMBERS},\"time\":{base_s}.");
                let length = body.len() + COUNTER_DIGITS + 1;
                let head = format!(
                    "PUT /v1/clients/{id} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Content-Length: {length}\r\n\r\n"
                );
                Counted::new(&(head + &body), "}")
            }
            Dialect::Publish => {
                let front = format!("{{\"id\":\"{id}\",{NUMBERS},\"time\":\"{base_s}.");
                let end = format!("\",\"server\":\"Goloman\",\"received\":{base_s}}}");
                let length = front.len() + COUNTER_DIGITS + end.len();
                let head = format!(
                    "POST /publish HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
                     Content-Length: {length}\r\n\r\n"
                );
                Counted::new(&(head + &front), &end)
            }
            Dialect::Redis => {
                let value = format!("AT Goloman +0.263873386 {position}");
                let (id_bytes, value_bytes) = (id.len(), value.len() + COUNTER_DIGITS);
                let front = format!("*3\r\n$3\r\nSET\r\n${id_bytes}\r\n{id}\r\n${value_bytes}\r\n{value}");
                Counted::new(&front, "\r\n")
            }
        };
        let (head, end) = match dialect {
            Dialect::Herd { server, .. } | Dialect::Course { server, ends_lines: true, .. } => {
                (format!("AT {server} "), "\n")
            }
            Dialect::Course { server, ends_lines: false, .. } => (format!("AT {server} "), ""),
            Dialect::Http { server } => (format!("{{\"news\":true,\"at\":\"AT {server} "), "\"}\n"),
            Dialect::Near { .. }
            | Dialect::Crowd { .. }
            | Dialect::Publish
            | Dialect::Echo
            | Dialect::Redis => ("AT ".into(), "\n"),
        };
        let mover = match dialect {
            Dialect::Near { server, by_http } => Some(Mover::new(server, *by_http, client, base_s)),
            Dialect::Herd { .. }
            | Dialect::Course { .. }
            | Dialect::Crowd { .. }
            | Dialect::Http { .. }
            | Dialect::Publish
            | Dialect::Echo
            | Dialect::Redis => None,
        };
        let crowd = match dialect {
            Dialect::Crowd { server, size } => Some(Crowd::new(server, *size, client, base_s)),
            _ => None,
        };
        Script {
            dialect: dialect.clone(),
            head: head.into_bytes(),
            report,
            tail: Counted::new(&position, end),
            query: format!("WHATSAT {id} 10 5\n").into_bytes(),
            mover,
            crowd,
        }
    }

    fn is_query(&self, number: u64) -> bool {
        match self.dialect {
            Dialect::Herd { whatsat_every, .. } | Dialect::Course { whatsat_every, .. } => {
                whatsat_every > 0 && number % whatsat_every == whatsat_every - 1
            }
            Dialect::Http { .. }
            | Dialect::Publish
            | Dialect::Near { .. }
            | Dialect::Crowd { .. }
            | Dialect::Echo
            | Dialect::Redis => false,
        }
    }

    /// Appends command `number`.
    pub fn write(&mut self, number: u64, out: &mut Vec<u8>) {
        if let Some(mover) = &self.mover {
            mover.write(number, out);
        } else if let Some(crowd) = &mut self.crowd {
            crowd.write(number, out);
        } else if self.is_query(number) {
            out.extend_from_slice(&self.query);
        } else {
            out.extend_from_slice(self.report.set(number));
        }
    }

    /// Takes the reply to command `number` from the front of `bytes`: its length when it is right,
    /// nothing while it is not whole.
    ///
    /// # Errors
    /// It is not the reply to that command; the message says what came.
    pub fn take_reply(&mut self, number: u64, bytes: &[u8]) -> Result<Option<usize>, String> {
        if let Some(mover) = &self.mover {
            return mover.take_reply(number, bytes);
        }
        if let Some(crowd) = &mut self.crowd {
            return crowd.take_reply(number, bytes);
        }
        if matches!(self.dialect, Dialect::Http { .. } | Dialect::Publish) {
            return self.take_http(number, bytes);
        }
        if matches!(self.dialect, Dialect::Course { ends_lines: false, .. }) && !self.is_query(number) {
            return self.take_unended(number, bytes);
        }
        let Some(line_end) = memchr(b'\n', bytes) else { return Ok(None) };
        let line = &bytes[..=line_end];
        let wrong = || {
            format!(
                "reply {number} of a connection is {:?}",
                String::from_utf8_lossy(&line[..line.len().min(300)])
            )
        };
        match self.dialect {
            Dialect::Http { .. } | Dialect::Publish | Dialect::Near { .. } | Dialect::Crowd { .. } => {
                Ok(None)
            }
            Dialect::Redis => {
                if line == b"+OK\r\n" {
                    Ok(Some(line.len()))
                } else {
                    Err(wrong())
                }
            }
            Dialect::Echo => {
                let is_right = line.starts_with(&self.head) && line.len() > self.report.text.len();
                if is_right { Ok(Some(line.len())) } else { Err(wrong()) }
            }
            Dialect::Herd { .. } | Dialect::Course { .. } => {
                let is_query = self.is_query(number);
                // A query is answered with the client's last report.
                self.tail.set(if is_query { number - 1 } else { number });
                if !self.is_at_line(line) {
                    return Err(wrong());
                }
                if !is_query {
                    return Ok(Some(line.len()));
                }
                let json = &bytes[line.len()..];
                let Some(end) = memmem::find(json, b"\n\n") else { return Ok(None) };
                let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(&json[..end]).is_ok();
                if is_json { Ok(Some(line.len() + end + 2)) } else { Err(wrong()) }
            }
        }
    }

    fn take_http(&mut self, number: u64, bytes: &[u8]) -> Result<Option<usize>, String> {
        let wrong = |why: &str| {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(400)]);
            format!("reply {number} of a connection is {shown:?}: {why}")
        };
        let Some(reply) = http::cut(bytes).map_err(wrong)? else { return Ok(None) };
        if self.dialect == Dialect::Publish {
            return match reply.status {
                200..=299 => Ok(Some(reply.length())),
                _ => Err(wrong("it is refused")),
            };
        }
        self.tail.set(number);
        if reply.status != 200 || !self.is_at_line(reply.body) {
            return Err(wrong("not the answer to its report"));
        }
        Ok(Some(reply.length()))
    }

    /// Takes a reply that ends with the report's time, and has nothing behind it.
    fn take_unended(&mut self, number: u64, bytes: &[u8]) -> Result<Option<usize>, String> {
        self.tail.set(number);
        if self.is_at_line(bytes) {
            return Ok(Some(bytes.len()));
        }
        let begins_well = bytes.iter().zip(&self.head).all(|(got, expected)| got == expected);
        if begins_well && bytes.len() < self.head.len() + self.tail.text.len() + UNENDED_DIFFERENCE_MAX {
            return Ok(None);
        }
        let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(300)]);
        Err(format!("reply {number} of a connection is {shown:?}"))
    }

    fn is_at_line(&self, line: &[u8]) -> bool {
        match self.dialect {
            Dialect::Course { .. } => is_loose_report(line, &self.head, &self.tail.text),
            _ => is_report(line, &self.head, &self.tail.text),
        }
    }
}

/// As [`is_report`], with any number as the difference. A line may end as CRLF does.
fn is_loose_report(text: &[u8], head: &[u8], tail: &[u8]) -> bool {
    let (text, tail) = (text.trim_ascii_end(), tail.trim_ascii_end());
    let middle = text.strip_suffix(tail).and_then(|middle| middle.strip_prefix(head));
    let difference = middle.and_then(|middle| middle.strip_suffix(b" "));
    difference.is_some_and(|difference| course::seconds(difference).is_some())
}

/// Whether a text begins and ends as the reply to a report does, with a difference between.
pub fn is_report(text: &[u8], head: &[u8], tail: &[u8]) -> bool {
    let middle = text.strip_suffix(tail);
    let difference = middle.and_then(|middle| middle.strip_prefix(head));
    let Some([sign, digits @ .., b' ']) = difference else { return false };
    let Some(point) = digits.len().checked_sub(10) else { return false };
    let is_number = |text: &[u8]| !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    b"+-".contains(sign)
        && is_number(&digits[..point])
        && digits[point] == b'.'
        && is_number(&digits[point + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn herd(whatsat_every: u64) -> Script {
        Script::new(&Dialect::Herd { server: "Goloman".into(), whatsat_every }, 3, 1_520_023_934)
    }

    fn command(script: &mut Script, number: u64) -> String {
        let mut out = Vec::new();
        script.write(number, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn every_command_of_a_client_is_newer_than_its_last() {
        let mut script = herd(0);
        assert_eq!(
            command(&mut script, 0),
            "IAMAT c0000003.bench +34.068930-118.445127 1520023934.000000000\n"
        );
        assert!(command(&mut script, 1_234).ends_with(" 1520023934.000001234\n"));
    }

    #[test]
    fn a_reply_must_be_whole_right_and_in_its_place() {
        let mut script = herd(0);
        let tail = " c0000003.bench +34.068930-118.445127 1520023934.000000007\n";
        let right = format!("AT Goloman -12.345678901{tail}");
        let rest = format!("{right}AT Golo");
        assert_eq!(script.take_reply(7, rest.as_bytes()), Ok(Some(right.len())));
        assert_eq!(script.take_reply(7, &right.as_bytes()[..right.len() - 1]), Ok(None));
        for number in [6, 8, 70] {
            assert!(script.take_reply(number, right.as_bytes()).is_err(), "{number}");
        }
        for wrong in
            ["AT Hands +1.000000000", "AT Goloman 1.000000000", "AT Goloman +1.00", "? AT Goloman +", ""]
        {
            assert!(script.take_reply(7, format!("{wrong}{tail}").as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_course_takes_any_difference_and_a_reply_without_its_newline() {
        let course = |ends_lines| {
            let dialect = Dialect::Course { server: "Clark".into(), whatsat_every: 5, ends_lines };
            Script::new(&dialect, 3, 1_520_023_934)
        };
        let tail = "c0000003.bench +34.068930-118.445127 1520023934.000000007";
        let right = format!("AT Clark +1.25 {tail}\n");
        let mut ends = course(true);
        assert_eq!(ends.take_reply(7, right.as_bytes()), Ok(Some(right.len())));
        assert_eq!(ends.take_reply(7, right.trim_end().as_bytes()), Ok(None));
        for wrong in ["AT Clark 1.25", "AT Hands +1.25", "AT Clark +x", "? AT Clark +1"] {
            assert!(ends.take_reply(7, format!("{wrong} {tail}\n").as_bytes()).is_err(), "{wrong}");
        }
        let mut open = course(false);
        for end in ["", "\n"] {
            let reply = format!("{}{end}", right.trim_end());
            assert_eq!(open.take_reply(7, reply.as_bytes()), Ok(Some(reply.len())));
        }
        assert_eq!(open.take_reply(7, &right.as_bytes()[..40]), Ok(None));
        assert_eq!(open.take_reply(7, b"A"), Ok(None));
        for wrong in ["? IAMAT".into(), "AT Clark +1.25 ".repeat(20)] {
            assert!(open.take_reply(7, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_query_is_answered_with_the_last_report_and_json() {
        let mut script = herd(5);
        assert_eq!(command(&mut script, 4), "WHATSAT c0000003.bench 10 5\n");
        let line = "AT Goloman +1.000000000 c0000003.bench +34.068930-118.445127 1520023934.000000003\n";
        let whole = format!("{line}{{\n   \"a\" : 1\n}}\n\n");
        assert_eq!(script.take_reply(4, whole.as_bytes()), Ok(Some(whole.len())));
        assert_eq!(script.take_reply(4, &whole.as_bytes()[..whole.len() - 1]), Ok(None));
        assert!(script.take_reply(9, whole.as_bytes()).is_err(), "an older report");
        assert!(script.take_reply(4, format!("{line}oops\n\n").as_bytes()).is_err());
    }

    #[test]
    fn an_at_line_tells_whose_which_report_it_is() {
        let line = b"AT Goloman +1.0 c0000123.bench +34.068930-118.445127 1520023934.000000456";
        assert_eq!(report_of(line), Some((123, 456)));
        for other in [&b"AT Goloman +1.0 kiwi +34-118 1.5"[..], b"AT", b"", b"\xff"] {
            assert_eq!(report_of(other), None);
        }
    }

    #[test]
    fn a_report_by_http_is_answered_with_its_own_line() {
        let mut script = Script::new(&Dialect::Http { server: "Goloman".into() }, 3, 1_520_023_934);
        let said = command(&mut script, 7);
        let (head, body) = said.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("PUT /v1/clients/c0000003.bench HTTP/1.1\r\nHost: "), "{head}");
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())), "{head}");
        assert_eq!(body, r#"{"lat":34.068930,"lon":-118.445127,"time":1520023934.000000007}"#);
        let reply = |status: &str, front: &str, time: &str| {
            let body =
                format!("{front} c0000003.bench +34.068930-118.445127 1520023934.00000000{time}\"}}\n");
            format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
        };
        let front = r#"{"news":true,"at":"AT Goloman +1.000000000"#;
        let right = reply("200 OK", front, "7");
        assert_eq!(script.take_reply(7, format!("{right}HTTP").as_bytes()), Ok(Some(right.len())));
        assert_eq!(script.take_reply(7, &right.as_bytes()[..right.len() - 1]), Ok(None));
        for wrong in [
            reply("201 Created", front, "7"),
            reply("200 OK", front, "8"),
            reply("200 OK", &front.replace("true", "false"), "7"),
            reply("200 OK", &front.replace("Goloman", "Hands"), "7"),
            reply("200 OK", &front.replace('+', ""), "7"),
        ] {
            assert!(script.take_reply(7, wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn redis_and_echo_have_their_own_replies() {
        let mut redis = Script::new(&Dialect::Redis, 1, 1_520_023_934);
        let set = command(&mut redis, 5);
        assert!(set.starts_with("*3\r\n$3\r\nSET\r\n$14\r\nc0000001.bench\r\n$"), "{set}");
        assert!(set.ends_with(".000000005\r\n"), "{set}");
        assert_eq!(redis.take_reply(5, b"+OK\r\n+OK"), Ok(Some(5)));
        assert!(redis.take_reply(5, b"-ERR\r\n").is_err());
        let mut echo = Script::new(&Dialect::Echo, 1, 1_520_023_934);
        let line = "AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n";
        assert_eq!(echo.take_reply(5, line.as_bytes()), Ok(Some(line.len())));
        assert!(echo.take_reply(5, b"AT\n").is_err());
    }
}
