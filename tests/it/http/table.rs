//! A table of requests as bytes, good ones and bad ones, and what comes of each: alone, cut at every byte, and behind a
//! good one. What is closed does nothing of what stands behind it.

use std::io::Write;
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::{Connection, alone, ask, get};
use herd::clock::Moment;
use herd::door::http::Site;
use herd::door::{Answer, Door, DoorKind, Manners, Question, Visit};
use herd::link::{Identity, KeyRing, Neighbours};
use herd::logging::Wire;
use herd::node::{Bounds, Node};
use herd::status::HallStatus;
use herd::store::{Store, Walk};
use herd::turn::{Core, Turn};

const TABLE: &str = include_str!("table.txt");

/// What RFC 9112 wants of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rfc {
    Accept,
    Refuse,
    Either,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Kept,
    Closed,
    /// The request is not whole.
    Waits,
}

/// One request, or some on one connection.
#[derive(Debug)]
pub struct Row {
    pub name: &'static str,
    pub rfc: Rfc,
    /// The statuses, and whether the body is left out.
    pub replies: Vec<(u16, bool)>,
    pub end: End,
    request: &'static str,
    has: Vec<&'static str>,
    lacks: Vec<&'static str>,
}

/// All rows.
pub fn rows() -> Vec<Row> {
    let mut rows = Vec::<Row>::new();
    let mut lines = TABLE.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    while let Some(line) = lines.next() {
        if let Some(more) = line.strip_prefix("  ") {
            let row = rows.last_mut().expect("a row");
            match more.split_at(2) {
                ("+ ", text) => row.has.push(text),
                ("- ", text) => row.lacks.push(text),
                _ => panic!("{line:?} is no part of {}", row.name),
            }
            continue;
        }
        let cells: Vec<&str> = line.split_whitespace().collect();
        let [name, rfc, herd] = cells[..] else { panic!("{line:?} is no row") };
        let rfc = match rfc {
            "accept" => Rfc::Accept,
            "refuse" => Rfc::Refuse,
            "either" => Rfc::Either,
            _ => panic!("{line:?}"),
        };
        let (herd, end) = match herd.strip_suffix('!') {
            Some(herd) => (herd, End::Closed),
            None if herd == "-" => ("", End::Waits),
            None => (herd, End::Kept),
        };
        let status =
            |cell: &str| (cell.trim_end_matches('^').parse().expect("a status"), cell.ends_with('^'));
        let replies = herd.split(',').filter(|cell| !cell.is_empty()).map(status).collect();
        let request = lines.next().expect("a request").strip_prefix("  ").expect("its place");
        assert!(
            lines.next().is_some_and(|why| why.trim_end().ends_with('.')),
            "{name} does not say what it is"
        );
        rows.push(Row { name, rfc, replies, end, request, has: Vec::new(), lacks: Vec::new() });
    }
    rows
}

const GET: &str = "GET /healthz HTTP/1.1|Host: localhost|";
const REPORT: &str = r#"{"lat":1,"lon":2,"time":5}"#;

/// Bytes of the table's notation.
fn bytes(text: &str, etag: &str) -> Vec<u8> {
    let put = "PUT /v1/clients/t HTTP/1.1|Host: localhost|";
    let smuggled = format!("PUT /v1/clients/smuggled HTTP/1.1|Host: localhost|Content-Length: 26||{REPORT}");
    let mut text = text.to_owned();
    for (name, meant) in [
        ("<GET>", GET),
        ("<PUT>", put),
        ("<DELETE>", "DELETE /v1/clients/nobody HTTP/1.1|Host: localhost|"),
        ("<KNOWN>", "GET /v1/clients/known HTTP/1.1|Host: localhost|"),
        ("<S>", &smuggled),
        ("<H>", "Host: localhost|"),
        ("<TE>", "Transfer-Encoding: chunked|"),
        ("<R>", REPORT),
        ("<etag>", etag),
        ("<tag>", etag.trim_matches('"')),
    ] {
        text = text.replace(name, meant);
    }
    while let Some((before, rest)) = text.split_once('<') {
        let (inside, behind) = rest.split_once('>').expect("an end");
        let repeated = match inside.rsplit_once('*') {
            Some((part, count)) => part.repeat(count.parse().expect("a count")),
            None if inside == "random" => random(),
            None => panic!("no shorthand {inside}"),
        };
        text = [before, &repeated, behind].concat();
    }
    let (mut bytes, mut rest) = (Vec::new(), text.as_str());
    while let Some(next) = rest.chars().next() {
        rest = &rest[next.len_utf8()..];
        if next == '|' {
            bytes.extend_from_slice(b"\r\n");
            continue;
        } else if next != '\\' {
            bytes.extend_from_slice(next.encode_utf8(&mut [0; 4]).as_bytes());
            continue;
        }
        let (kind, behind) = rest.split_at(1);
        rest = behind;
        bytes.push(match kind {
            "r" => b'\r',
            "n" => b'\n',
            "t" => b'\t',
            "s" => b' ',
            "0" => 0,
            "x" => {
                let (digits, behind) = rest.split_at(2);
                rest = behind;
                u8::from_str_radix(digits, 16).expect("two digits")
            }
            _ => panic!("no byte \\{kind}"),
        });
    }
    bytes
}

/// 256 bytes in the table's notation, the same ones each time.
fn random() -> String {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        format!("\\x{:02x}", state >> 24)
    };
    (0..256).map(|_| next()).collect()
}

impl Row {
    pub fn bytes(&self, etag: &str) -> Vec<u8> {
        bytes(self.request, etag)
    }

    /// The row with a good request behind it, if it is whole, and what is answered to that.
    fn followed(&self, good: &[u8], etag: &str) -> (Vec<u8>, &'static [u16]) {
        let behind = if self.end == End::Waits { &[][..] } else { good };
        let follows = if self.end == End::Kept { &[200][..] } else { &[] };
        ([&self.bytes(etag), behind].concat(), follows)
    }

    /// What is wrong with the replies to the row, between others; interim ones are not counted, which it is a matter of
    /// chance whether they are sent.
    fn fault(&self, said: &[u8], etag: &str, before: &[u16], behind: &[u16]) -> Option<&'static str> {
        let whole = |statuses: &[u16]| statuses.iter().map(|status| (*status, false)).collect::<Vec<_>>();
        let expected = [whole(before), self.replies.clone(), whole(behind)].concat();
        let (mut at, mut found, mut own) = (0, Vec::new(), Vec::new());
        while at < said.len() {
            let is_bodyless = expected.get(found.len()).is_some_and(|(_, is_bodyless)| *is_bodyless);
            let Some((status, length)) = reply(&said[at..], is_bodyless) else { return Some("half a reply") };
            if status >= 200 {
                found.push((status, is_bodyless));
            }
            if found.len() > before.len() && found.len() <= before.len() + self.replies.len() {
                own.extend_from_slice(&said[at..at + length]);
            }
            at += length;
        }
        if found != expected {
            return Some("other replies");
        }
        let holds = |text: &&'static str| {
            let part = bytes(text, etag);
            own.windows(part.len()).any(|window| window == part)
        };
        let lacking = self.has.iter().find(|text| !holds(text));
        lacking.or_else(|| self.lacks.iter().find(|text| holds(text))).copied()
    }
}

/// The status and the length of the first reply.
fn reply(said: &[u8], is_bodyless: bool) -> Option<(u16, usize)> {
    let end = said.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&said[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
    let length = if is_bodyless { 0 } else { length.map_or(Some(0), |text| text.parse().ok())? };
    (said.len() >= end + length).then_some((status, end + length))
}

#[test]
fn what_herd_answers_is_what_the_standard_wants() {
    let rows = rows();
    for row in &rows {
        let name = row.name;
        let is_refused = row.end == End::Waits
            || row.end == End::Closed && row.replies.last().is_some_and(|(status, _)| *status >= 400);
        let is_understood = match row.replies.first() {
            Some((status, _)) => *status < 500 && (*status < 400 || row.end == End::Kept),
            None => name.starts_with("h1spec"),
        };
        match row.rfc {
            Rfc::Accept => assert!(is_understood, "{name}"),
            Rfc::Refuse => assert!(is_refused, "{name}"),
            Rfc::Either => assert!(is_refused || is_understood, "{name}"),
        }
    }
    let mut names: Vec<_> = rows.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), rows.len(), "each name is one row's");
    let of_probe = |name: &&&str| !name.starts_with("h1spec-") && !name.starts_with("herd-");
    let count = names.iter().filter(of_probe).count();
    assert_eq!((count, names.iter().filter(|name| name.starts_with("h1spec-")).count()), (215, 33));
}

// --- on real connections

/// All that is said to these bytes, a write for each piece, and then no more.
fn said(address: SocketAddr, bytes: &[u8], piece: usize) -> Vec<u8> {
    let mut connection = Connection::to(address);
    connection.0.set_nodelay(true).expect("set");
    for piece in bytes.chunks(piece.max(1)) {
        if connection.0.write_all(piece).is_err() {
            // It closed, which the replies tell.
            break;
        }
    }
    let _ = connection.0.shutdown(Shutdown::Write);
    connection.rest()
}

#[test]
fn each_request_of_the_table_is_answered_so_alone_in_pieces_and_behind_a_good_one() {
    let (_folder, server) = alone("", "");
    let address = server.http.expect("it serves HTTP");
    ask(&server, "PUT /v1/clients/known", "", REPORT);
    let etag = get(&server, "/v1/clients/known").field("ETag").expect("a tag").to_owned();
    let (good, mut faults) = (bytes(&format!("{GET}|"), ""), String::new());
    for row in rows() {
        let (all, follows) = row.followed(&good, &etag);
        let mut check = |how: &str, said: Vec<u8>, before: &[u16]| {
            if let Some(fault) = row.fault(&said, &etag, before, follows) {
                faults += &format!("{} {how}: {fault}: {}\n", row.name, String::from_utf8_lossy(&said));
            }
        };
        check("alone", said(address, &all, all.len()), &[]);
        // Those of 100 KB come in pieces that are no bytes.
        check("in pieces", said(address, &all, all.len() / 4_096 + 1), &[]);
        let pipelined = [&good[..], &all].concat();
        check("pipelined", said(address, &pipelined, pipelined.len()), &[200]);
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(server.knows("smuggled").is_none());
}

// --- without them

const NOW: Moment = Moment { up: Duration::from_secs(100), posix_ns: 1_520_023_935_182_837_383 };

/// A server of which there is no more than what it knows.
pub struct Bare {
    core: Core,
    manners: Manners,
    turn: Turn,
    now: Moment,
}

impl Bare {
    pub fn new() -> Bare {
        Bare::of(Site::new(Vec::new(), Vec::new(), 86_400_000_000_000, None), NOW)
    }

    /// One with this door for HTTP, at this time.
    pub fn of(site: Site, now: Moment) -> Bare {
        let mut node = Node::new("Goloman", Bounds::default());
        // As many as there are at once take long to look through.
        node.store = Store::seeded(16, 1);
        let own = Identity { name: "Goloman".into(), incarnation: 1, conf: 3 };
        let neighbours =
            Neighbours::new(own, Vec::new(), KeyRing::default(), Duration::ZERO, Duration::from_secs(5));
        let core = Core::alone(node, neighbours);
        let manners = Manners {
            max_line: 4_096,
            max_unsent: 262_144,
            max_clients: usize::MAX,
            one_shot: false,
            idle_timeout: None,
            greeting: Duration::from_secs(5),
            silent: Duration::from_secs(10),
            drain: Duration::from_secs(1),
            http: Some(Arc::new(site)),
        };
        let turn = Turn::new(&core, Wire::mute());
        Bare { core, manners, turn, now }
    }

    /// The AT lines of all that it knows.
    pub fn lines(&self) -> Vec<String> {
        let (mut lines, mut walk) = (Vec::new(), Walk::all());
        while walk.step(&self.core.node.store, &mut lines) {}
        String::from_utf8_lossy(&lines).lines().map(str::to_owned).collect()
    }

    /// What it says to these lines.
    pub fn say(&mut self, text: &[u8]) -> String {
        let mut door =
            Door::open_line("127.0.0.1:5".parse().expect("an address"), None, &self.core, self.now);
        let mut said = Vec::new();
        let question = self.visit(&mut said, |visit| door.read(visit, text));
        assert!(question.is_none(), "no line that asks");
        String::from_utf8(said).expect("text")
    }

    /// A new conversation of these pieces: what is said to it, and whether it is closed.
    pub fn converse<'p>(&mut self, pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, bool) {
        let address = "127.0.0.1:5".parse().expect("an address");
        let mut door = Door::open(DoorKind::Http, address, None, &self.core, self.now);
        let mut said = Vec::new();
        for piece in pieces {
            let mut question = self.visit(&mut said, |visit| door.read(visit, piece));
            loop {
                if let Some(asked) = question {
                    let answer = self.answer(&asked);
                    self.visit(&mut said, |visit| door.answer(visit, answer));
                } else if !door.is_stalled() {
                    break;
                }
                question = self.visit(&mut said, |visit| door.go_on(visit));
            }
        }
        (said, door.closes().is_some())
    }

    fn visit<T>(&mut self, said: &mut Vec<u8>, call: impl FnOnce(&mut Visit<'_>) -> T) -> T {
        let mut visit = Visit {
            core: &self.core,
            manners: &self.manners,
            turn: &mut self.turn,
            now: self.now,
            address: ([127, 0, 0, 1], 5).into(),
            unsent: 0,
            is_on_trial: false,
            is_stopping: false,
        };
        let done = call(&mut visit);
        self.turn.commit(&self.core, self.now);
        said.append(&mut self.turn.out);
        done
    }

    fn answer(&self, question: &Question) -> Answer {
        match question {
            Question::Places(_) => Answer::Places(b"{}"[..].into()),
            question => question.answer(&self.core, HallStatus::default(), self.now),
        }
    }
}

#[test]
fn a_request_of_the_table_is_the_same_wherever_it_is_cut() {
    let mut bare = Bare::new();
    let put = "PUT /v1/clients/known HTTP/1.1|Host: localhost|Content-Length: 26||<R>";
    bare.converse([&bytes(put, "")[..]]);
    let (known, _) = bare.converse([&bytes("<KNOWN>|", "")[..]]);
    let known = String::from_utf8(known).expect("text");
    let etag = known.lines().find_map(|line| line.strip_prefix("ETag: ")).expect("a tag").to_owned();
    let (good, mut faults) = (bytes(&format!("{GET}|"), ""), String::new());
    for row in rows() {
        let (all, follows) = row.followed(&good, &etag);
        let mut check = |how: &str, pieces: &[&[u8]]| {
            let (said, is_closed) = bare.converse(pieces.iter().copied());
            let fault = row.fault(&said, &etag, &[], follows);
            let fault = fault.or((is_closed != (row.end == End::Closed)).then_some("another end"));
            if let Some(fault) = fault {
                faults += &format!("{} {how}: {fault}: {}\n", row.name, String::from_utf8_lossy(&said));
            }
        };
        check("whole", &[&all]);
        // Of those of 100 KB not each byte is tried, which says nothing new.
        let step = all.len() / 2_048 + 1;
        for at in (1..all.len()).step_by(step) {
            let (begin, rest) = all.split_at(at);
            check(&format!("cut at {at}"), &[begin, rest]);
        }
        check("byte by byte", &all.chunks(1).collect::<Vec<_>>());
    }
    assert!(faults.is_empty(), "{faults}");
    let smuggled = bytes("GET /v1/clients/smuggled HTTP/1.1|<H>|", "");
    assert!(bare.converse([&smuggled[..]]).0.starts_with(b"HTTP/1.1 404"), "nothing was smuggled");
}
