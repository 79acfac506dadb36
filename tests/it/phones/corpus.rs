//! Requests of each app and version, a file each, and what comes of them: whole, cut at every byte, byte by byte, over
//! TLS, and with the token in each way in which the app can carry it.
//!
//! `--- title`, the request's line without its version, fields, an empty line, the body; then `=> ` and the body of the
//! answer, `AT client location time` for what is known afterwards (`now` for the server's clock), `? ` and the reasons
//! of X-Herd-Ignored. A row whose body does not say of which app it is cannot come by a webhook, and says so. `\xNN`, `\r` and `\n` are bytes. Host, Content-Length and the token are added.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use herd::clock::Moment;
use herd::door::http::{Site, Tokens};
use herd::tally::{App, Reason};

use super::{TOKEN, TOKEN_NAME, masked, tokens};
use crate::harness::Server;
use crate::http::table::Bare;
use crate::http::tls;
use crate::http::{Connection, Reply, alone, get};

/// How a token is carried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// `Authorization: Bearer TOKEN`.
    Bearer,
    /// As the password of somebody.
    Basic,
    /// As a user without a password.
    User,
    /// The same as Overland sends it, without base64.
    Raw,
    /// `?token=`.
    Query,
    /// As the end of the path.
    Webhook,
    /// None, on a server that needs none.
    None,
}

struct Shape {
    file: String,
    app: App,
    ways: Vec<Way>,
    rows: Vec<Row>,
}

#[derive(Default)]
struct Row {
    title: String,
    method: String,
    target: String,
    fields: Vec<u8>,
    body: Vec<u8>,
    answer: String,
    lines: Vec<String>,
    reasons: String,
}

/// All files.
fn shapes() -> Vec<Shape> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/phones");
    let entries = fs::read_dir(folder).expect("a folder");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut shapes: Vec<_> = paths
        .filter(|path| path.extension().is_some_and(|it| it == "http"))
        .map(|path| shape(&path))
        .collect();
    shapes.sort_by(|a, b| a.file.cmp(&b.file));
    assert!(shapes.len() > 10, "{}", shapes.len());
    shapes
}

fn shape(path: &Path) -> Shape {
    let text = fs::read_to_string(path).expect("text");
    let file = path.file_name().expect("a name").to_string_lossy().into_owned();
    let (head, rows) = text.split_once("\n--- ").expect("rows");
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).expect(name);
    let app = App::ALL.into_iter().find(|app| app.name() == value("# app: ")).expect("an app");
    let way = |name: &str| match name {
        "bearer" => Way::Bearer,
        "basic" => Way::Basic,
        "user" => Way::User,
        "raw" => Way::Raw,
        "query" => Way::Query,
        "webhook" => Way::Webhook,
        _ => panic!("{file}: {name}"),
    };
    let ways = value("# ways: ").split(' ').map(way).collect();
    assert!(head.contains("Its shape: "), "{file} does not say where its shape is from");
    let rows: Vec<_> = rows.split("\n--- ").map(row).collect();
    let mut known =
        rows.iter().flat_map(|row| &row.lines).map(|line| line.split(' ').nth(1)).collect::<Vec<_>>();
    let count = known.len();
    known.sort_unstable();
    known.dedup();
    assert_eq!(known.len(), count, "{file}: each row has a client of its own");
    Shape { file, app, ways, rows }
}

fn row(text: &str) -> Row {
    let mut row = Row::default();
    let (title, rest) = text.split_once('\n').expect("a title");
    let (request, outcome) = rest.split_once("\n=>").unwrap_or_else(|| panic!("{title}: no answer"));
    let (head, body) = request.split_once("\n\n").unwrap_or((request.trim_end(), ""));
    let (first, fields) = head.split_once('\n').unwrap_or((head, ""));
    let (method, target) = first.split_once(' ').expect("a target");
    (row.title, row.method, row.target) = (title.into(), method.into(), target.into());
    row.fields = fields.lines().flat_map(|field| [&bytes(field)[..], b"\r\n"].concat()).collect();
    row.body = bytes(body);
    let mut outcome = outcome.lines();
    row.answer = outcome.next().unwrap_or_default().trim_start().to_owned();
    for line in outcome.filter(|line| !line.is_empty()) {
        match line.split_once(' ') {
            Some(("?", reasons)) => row.reasons = reasons.to_owned(),
            Some(("AT", _)) => row.lines.push(line.to_owned()),
            _ => panic!("{title}: {line:?}"),
        }
    }
    assert!(!row.lines.is_empty() || !row.reasons.is_empty() || row.body.ends_with(b"[]}"), "{title}");
    for reason in row.reasons.split(", ").filter(|name| !name.is_empty()) {
        assert!(Reason::ALL.iter().any(|known| known.name() == reason), "{title}: {reason}");
    }
    row
}

fn bytes(text: &str) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::new(), text);
    while let Some((before, behind)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (kind, behind) = behind.split_at(1);
        rest = behind;
        match kind {
            "r" => bytes.push(b'\r'),
            "n" => bytes.push(b'\n'),
            "x" => {
                bytes.push(u8::from_str_radix(&rest[..2], 16).expect("two digits"));
                rest = &rest[2..];
            }
            // JSON's own.
            _ => bytes.extend_from_slice(format!("\\{kind}").as_bytes()),
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}

impl Row {
    fn may(&self, way: Way) -> bool {
        way != Way::Webhook || !self.title.ends_with("; not by a webhook")
    }

    fn request(&self, way: Way) -> Vec<u8> {
        let mut target = self.target.clone();
        let field = match way {
            Way::Bearer => format!("Authorization: Bearer {TOKEN}\r\n"),
            Way::Basic => {
                format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("anna:{TOKEN}")))
            }
            Way::User => format!("Authorization: Basic {}\r\n", BASE64_STANDARD.encode(format!("{TOKEN}:"))),
            Way::Raw => format!("Authorization: Basic {TOKEN}:\r\n"),
            Way::Query => {
                target += if target.contains('?') { "&token=" } else { "?token=" };
                target += TOKEN;
                String::new()
            }
            Way::Webhook => {
                let query = target.find('?').map_or("", |at| &target[at..]);
                target = format!("/api/webhook/{TOKEN}{query}");
                String::new()
            }
            Way::None => String::new(),
        };
        let fields = String::from_utf8_lossy(&self.fields);
        let mut request =
            format!("{} {target} HTTP/1.1\r\nHost: localhost\r\n{field}", self.method).into_bytes();
        request.extend_from_slice(&self.fields);
        if self.method == "POST"
            && !fields.contains("Content-Length")
            && !fields.contains("Transfer-Encoding")
        {
            request.extend_from_slice(format!("Content-Length: {}\r\n", self.body.len()).as_bytes());
        }
        [&request[..], b"\r\n", &self.body].concat()
    }

    /// What is wrong with a reply.
    fn fault(&self, reply: &Reply, way: Way) -> Option<String> {
        let expected = if self.answer.is_empty() { String::new() } else { format!("{}\n", self.answer) };
        let ignored = reply.field("X-Herd-Ignored").unwrap_or_default();
        // Who may read is told where it is itself.
        let is_list = way == Way::None && self.answer == "[]" && reply.json().is_array();
        let is_typed = reply.field("Content-Type") == (!expected.is_empty()).then_some("application/json");
        let is_right = reply.status == 200 && (reply.body == expected || is_list) && is_typed;
        (!is_right || ignored != self.reasons).then(|| format!("{reply:?}"))
    }

    /// What is wrong with what is known of it.
    fn lack(&self, known: &dyn Fn(&str) -> Option<String>, way: Way) -> Option<String> {
        for line in &self.lines {
            let [_, client, location, time] = line.split(' ').collect::<Vec<_>>()[..] else {
                panic!("{line}")
            };
            if way == Way::None && client == TOKEN_NAME {
                continue;
            }
            let found = known(client).map(|found| masked(&found)).unwrap_or_default();
            let is_now = time == "now" && found.starts_with(&format!("AT {client} {location} 1"));
            if found != *line && !is_now {
                return Some(format!("{found:?} is known"));
            }
        }
        None
    }
}

// --- without sockets

const NOW: Moment = Moment { up: Duration::from_secs(100), posix_ns: 1_795_000_000_123_456_789 };

fn bare() -> Bare {
    let tokens = Tokens::parse(&format!("{TOKEN_NAME} write {TOKEN}\n")).expect("tokens");
    Bare::of(Site::new(Vec::new(), Vec::new(), 86_400_000_000_000, Some(tokens)), NOW)
}

#[test]
fn what_an_app_sends_is_the_same_wherever_it_is_cut_and_however_its_token_is_carried() {
    let (mut faults, mut count) = (String::new(), 0);
    for shape in shapes() {
        for row in &shape.rows {
            let mut check = |how: &str, way: Way, bare: &mut Bare, pieces: &[&[u8]]| {
                let (said, is_closed) = bare.converse(pieces.iter().copied());
                let lines = bare.lines();
                let known =
                    |client: &str| lines.iter().find(|line| line.split(' ').nth(3) == Some(client)).cloned();
                let fault = match Reply::cut(&said) {
                    Some((reply, length)) if length == said.len() && !is_closed => row.fault(&reply, way),
                    _ => Some(format!("no reply: {}", String::from_utf8_lossy(&said))),
                };
                let fault = fault.or_else(|| row.lack(&known, way));
                let fault =
                    fault.or((lines.len() != row.lines.len()).then(|| format!("{lines:?} are known")));
                if let Some(fault) = fault {
                    faults += &format!("{}: {} {way:?} {how}: {fault}\n", shape.file, row.title);
                }
                count += 1;
            };
            for &way in shape.ways.iter().filter(|way| row.may(**way)) {
                check("whole", way, &mut bare(), &[&row.request(way)]);
            }
            let (way, mut again) = (shape.ways[0], bare());
            let all = row.request(way);
            check("byte by byte", way, &mut again, &all.chunks(1).collect::<Vec<_>>());
            for at in 1..all.len() {
                let (begin, rest) = all.split_at(at);
                check(&format!("cut at {at}"), way, &mut again, &[begin, rest]);
            }
        }
    }
    assert!(faults.is_empty(), "{faults}");
    assert!(count > 10_000, "{count}");
}

// --- on real connections

/// What of a file's rows does not hold on a server that was told all of them.
fn faults(shape: &Shape, way: Way, server: &Server, mut tell: impl FnMut(&[u8]) -> Reply) -> String {
    let mut faults = String::new();
    for row in &shape.rows {
        if !row.may(way) {
            continue;
        }
        if way == Way::None && row.lines.iter().any(|line| line.starts_with(&format!("AT {TOKEN_NAME} "))) {
            continue;
        }
        let reply = tell(&row.request(way));
        let fault = row.fault(&reply, way).or_else(|| row.lack(&|client| server.knows(client), way));
        if let Some(fault) = fault {
            faults += &format!("{}: {} {way:?}: {fault}\n", shape.file, row.title);
        }
    }
    faults
}

#[test]
fn each_app_is_served_in_every_way_in_which_it_carries_its_token() {
    let (_folder, with_tokens) =
        tokens(&format!("{TOKEN_NAME} write {TOKEN}\nscraper metrics the-token-of-metrics\n"));
    let mut all = String::new();
    for shape in shapes() {
        for way in [&shape.ways[..], &[Way::None]].concat() {
            let settings = if way == Way::None { "" } else { &with_tokens };
            let (_conf, server) = alone(&format!("data_dir = \"\"\n{settings}"), "");
            let mut connection = Connection::to(server.http.expect("it serves HTTP"));
            all += &faults(&shape, way, &server, |request| {
                connection.say(request);
                connection.reply()
            });
            // As many count as are said to.
            let page = get(&server, "/metrics?token=the-token-of-metrics").body;
            if way != Way::None && way != Way::Webhook {
                all += &counted(&shape, &page);
            }
            assert!(!server.log_text().contains(TOKEN), "no token is in the log");
        }
    }
    assert!(all.is_empty(), "{all}");
}

/// What the counters of an app lack.
fn counted(shape: &Shape, page: &str) -> String {
    let (app, mut reasons) = (shape.app.name(), BTreeMap::<&str, u64>::new());
    for row in &shape.rows {
        row.reasons
            .split(", ")
            .filter(|it| !it.is_empty())
            .for_each(|it| *reasons.entry(it).or_default() += 1);
    }
    let mut lacks = String::new();
    for (reason, least) in reasons {
        let line = format!("herd_phone_reports_ignored_total{{app=\"{app}\",reason=\"{reason}\"}} ");
        let count = page.lines().find_map(|row| row.strip_prefix(&line)?.parse::<u64>().ok());
        if count.is_none_or(|count| count < least) {
            lacks += &format!("{}: {line}is {count:?}, not {least}\n", shape.file);
        }
    }
    let line = format!("herd_phone_reports_total{{app=\"{app}\"}} ");
    let count = page.lines().find_map(|row| row.strip_prefix(&line)?.parse::<usize>().ok());
    if count.is_none_or(|count| count < shape.rows.iter().map(|row| row.lines.len()).sum()) {
        lacks += &format!("{}: {line}is {count:?}\n", shape.file);
    }
    lacks
}

#[test]
fn each_app_is_served_byte_by_byte() {
    let (_folder, settings) = tokens(&format!("{TOKEN_NAME} write {TOKEN}\n"));
    let mut all = String::new();
    for shape in shapes() {
        let (_conf, server) = alone(&format!("data_dir = \"\"\nlog_level = \"warn\"\n{settings}"), "");
        let mut connection = Connection::to(server.http.expect("it serves HTTP"));
        connection.0.set_nodelay(true).expect("set");
        all += &faults(&shape, shape.ways[0], &server, |request| {
            request.iter().for_each(|byte| connection.0.write_all(&[*byte]).expect("sent"));
            connection.reply()
        });
    }
    assert!(all.is_empty(), "{all}");
}

#[test]
fn each_app_is_served_over_tls_also_byte_by_byte() {
    let (_folder, settings) = tokens(&format!("{TOKEN_NAME} write {TOKEN}\n"));
    let mut all = String::new();
    for shape in shapes() {
        for piece in [usize::MAX, 1] {
            let settings = format!("data_dir = \"\"\nlog_level = \"warn\"\n{settings}");
            let Some((_conf, server, trusted)) = tls::sealed(&settings) else { return };
            let mut peer = tls::Peer::to(&server, &trusted).shake(usize::MAX);
            all += &faults(&shape, shape.ways[0], &server, |request| {
                peer.say(request);
                peer.send(piece);
                peer.replies(1).remove(0)
            });
        }
    }
    assert!(all.is_empty(), "{all}");
}
