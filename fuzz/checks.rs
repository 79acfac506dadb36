//! Where bytes come in from outside, one function a kind, with what must hold whatever they are. The fuzzer's targets
//! include this file and call it, and so does a test, with the inputs that the fuzzer found worth keeping.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use herd::clock::Moment;
use herd::config::Config;
use herd::door::http::body::Incoming;
use herd::door::http::head::{self, Framing, Head};
use herd::door::http::{Site, Tokens};
use herd::door::{self, Door, DoorKind, Manners, Question, Visit};
use herd::journal;
use herd::link::{Identity, KeyRing, Kind, Neighbour, Neighbours};
use herd::logging::Wire;
use herd::node::{Bounds, NeighbourId, Node};
use herd::places::ask::{Answer, Failed, Wording};
use herd::places::providers::file::File;
use herd::places::providers::{google, google_legacy, overpass};
use herd::places::{Lookup, Places};
use herd::protocol::neighbour::Word;
use herd::protocol::{Command, Record, Span};
use herd::status::HallStatus;
use herd::store::digest::Digest;
use herd::store::{Store, Walk};
use herd::tally::Reason;
use herd::turn::{Core, Turn};

/// What is called with bytes; it panics when something does not hold.
type Check = fn(&[u8]);

/// Every kind by its name, which is that of its target and of its folder of inputs.
pub const KINDS: [(&str, Check); 11] = [
    ("line", lines),
    ("link", links),
    ("head", heads),
    ("body", bodies),
    ("phones", phones),
    ("journal", segments),
    ("places", answers),
    ("conf", confs),
    ("table", tables),
    ("geojson", geojson),
    ("osm", extracts),
];

/// The check of a kind.
pub fn check(kind: &str, bytes: &[u8]) {
    let found = KINDS.iter().find(|(name, _)| *name == kind);
    found.unwrap_or_else(|| panic!("no kind {kind:?}")).1(bytes);
}

/// A client's or neighbour's bytes: whatever they are, every reply is one that is understood, and what was learned
/// is learned again as it is.
fn lines(bytes: &[u8]) {
    let manners = manners(None);
    let now = Moment { up: Duration::ZERO, posix_ns: 1_700_000_000_000_000_000 };
    for address in ["127.0.0.1:5", "127.0.0.2:5"] {
        let core = core();
        let mut turn = Turn::new(&core, Wire::mute());
        let address = address.parse().expect("an address");
        let mut door = Door::open_line(address, None, &core, now);
        let mut visit = Visit { address, ..calling(&core, &manners, &mut turn, now) };
        let mut question = door.read(&mut visit, bytes);
        while let Some(asked) = question {
            door.answer(&mut visit, answer(&asked, &core, now));
            question = door.go_on(&mut visit);
        }
        let last = door.end(&mut visit);
        assert!(last.is_none_or(|last| matches!(
            last,
            Question::Places(_) | Question::Near(_) | Question::Count | Question::Feed(_)
        )));
        check_replies(&turn.out);
        turn.commit(&core, now);
        check_store(&core.node);
    }
}

fn manners(http: Option<Arc<Site>>) -> Manners {
    Manners {
        max_line: 4_096,
        max_unsent: 262_144,
        max_clients: usize::MAX,
        one_shot: false,
        idle_timeout: None,
        greeting: Duration::from_secs(5),
        silent: Duration::from_secs(10),
        drain: Duration::from_secs(1),
        http,
    }
}

/// What a door is called with whose connection is a guest's and has nothing unsent.
fn calling<'a>(core: &'a Core, manners: &'a Manners, turn: &'a mut Turn, now: Moment) -> Visit<'a> {
    let address = ([127, 0, 0, 1], 5).into();
    Visit { core, manners, turn, now, address, unsent: 0, is_on_trial: false, is_stopping: false }
}

/// A server with a neighbour at 127.0.0.2.
fn core() -> Core {
    let mut node = Node::new("Goloman", Bounds { forget_after_s: Some(3_600), ..Bounds::default() });
    // The same in every run, and made at once.
    node.store = Store::seeded(16, 1);
    let own = Identity { name: "Goloman".into(), incarnation: 1, conf: 3 };
    let list = vec![Neighbour { name: "Hands".into(), kind: Kind::Herd }];
    let beat = Duration::from_secs(5);
    let neighbours = Neighbours::new(own, list, KeyRing::default(), Duration::ZERO, beat);
    neighbours.update(NeighbourId(0), &["127.0.0.2:5".parse().expect("an address")]);
    Core::alone(node, neighbours)
}

fn answer(asked: &Question, core: &Core, now: Moment) -> door::Answer {
    match asked {
        Question::Places(_) => door::Answer::Places(b"{}"[..].into()),
        asked => asked.answer(core, HallStatus::default(), now),
    }
}

fn check_replies(mut out: &[u8]) {
    while let Some(end) = out.iter().position(|&byte| byte == b'\n') {
        let line = &out[..end];
        let is_json = line == b"{}" || line.is_empty();
        let is_count = line.strip_prefix(b"COUNT ").is_some_and(|count| count.iter().all(u8::is_ascii_digit));
        let is_refusal = line.starts_with(b"? ");
        assert!(is_json || is_at(line) || is_count || is_refusal || Word::parse(line).is_some());
        out = &out[end + 1..];
    }
    assert!(out.is_empty());
}

fn check_store(node: &Node) {
    let mut lines = Vec::new();
    let mut walk = Walk::all();
    while walk.step(&node.store, &mut lines) {}
    let other = Node::new("Hands", Bounds::default());
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        assert!(restore(&other, line));
    }
    assert_eq!(other.store.digest(Span::ALL), node.store.digest(Span::ALL));
}

fn restore(node: &Node, line: &[u8]) -> bool {
    let Ok(Command::At(fields)) = Command::parse(line) else { return false };
    node.restore(&Record::write(&fields, &mut Vec::new()), 0);
    true
}

fn is_at(text: &[u8]) -> bool {
    matches!(Command::parse(text), Ok(Command::At(_)))
}

/// Requests by HTTP: they are answered in the same way wherever they are cut; and a head is what it looks like to one
/// who goes by its lines.
fn heads(bytes: &[u8]) {
    let whole = conversation([bytes]);
    assert!(whole == conversation(bytes.chunks(1)), "byte by byte");
    let (begin, rest) = bytes.split_at(bytes.len() / 2);
    assert!(whole == conversation([begin, rest]), "in halves");
    let mut looked = 0;
    let Ok(Some(length)) = head::end(bytes, &mut looked) else { return };
    let bytes = &bytes[..length];
    let Ok(head) = Head::parse(bytes) else { return };
    let text = std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Into::into);
    let mut lines = text.strip_suffix("\r\n\r\n").expect("an empty line").split("\r\n");
    let first: Vec<_> = lines.next().expect("a line").split(' ').collect();
    assert!(first.len() == 3 && first[2] == if head.is_http_1_0 { "HTTP/1.0" } else { "HTTP/1.1" });
    let fields: Vec<_> = lines.map(|line| line.split_once(':').expect("a field")).collect();
    let values = |name: &str| {
        let named = fields.iter().filter(|(field, _)| field.eq_ignore_ascii_case(name));
        named.map(|(_, value)| value.trim_matches([' ', '\t'])).collect::<Vec<_>>()
    };
    assert!(
        fields
            .iter()
            .all(|(name, value)| !name.ends_with([' ', '\t']) && !value.contains(['\r', '\n', '\0']))
    );
    assert!(values("host").len() <= 1 && (head.is_http_1_0 || head.host.is_some()));
    match (head.framing, &values("content-length")[..], &values("transfer-encoding")[..]) {
        (Framing::Chunked, [], [coding]) => {
            assert!(!head.is_http_1_0 && coding.eq_ignore_ascii_case("chunked"))
        }
        (Framing::Length(0), [], []) => {}
        (Framing::Length(length), [digits], []) => {
            assert!(digits.parse() == Ok(length) && length.to_string() == *digits || length == usize::MAX);
        }
        (framing, lengths, codings) => panic!("{framing:?} of {lengths:?} and {codings:?}"),
    }
    let target = first[1].as_bytes();
    assert!(target.ends_with(&[head.path, head.query].join(&b"?"[..])) || head.query.is_empty());
    assert!(head.path.starts_with(b"/") || head.path == b"*");
}

/// The replies to these pieces without the interim ones, which depend on how they are cut, and whether it is closed.
fn conversation<'p>(pieces: impl IntoIterator<Item = &'p [u8]>) -> (Vec<u8>, bool) {
    let now = Moment { up: Duration::ZERO, posix_ns: 1_700_000_000_000_000_000 };
    let site = Site::new(Vec::new(), Vec::new(), 86_400_000_000_000, None);
    converse(&core(), site, now, pieces)
}

/// The same of a server.
fn converse<'p>(
    core: &Core,
    site: Site,
    now: Moment,
    pieces: impl IntoIterator<Item = &'p [u8]>,
) -> (Vec<u8>, bool) {
    let manners = manners(Some(Arc::new(site)));
    let mut turn = Turn::new(core, Wire::mute());
    let mut door = Door::open(DoorKind::Http, "127.0.0.1:5".parse().expect("an address"), None, core, now);
    let mut said = Vec::new();
    for piece in pieces {
        let mut visit = calling(core, &manners, &mut turn, now);
        let mut question = door.read(&mut visit, piece);
        loop {
            turn.commit(core, now);
            said.append(&mut turn.out);
            let mut visit = calling(core, &manners, &mut turn, now);
            match question {
                Some(asked) => door.answer(&mut visit, answer(&asked, core, now)),
                None if door.is_stalled() => {}
                None => break,
            }
            question = door.go_on(&mut visit);
        }
    }
    let go_on = b"HTTP/1.1 100 Continue\r\n\r\n";
    while let Some(at) = said.windows(go_on.len()).position(|window| window == go_on) {
        said.drain(at..at + go_on.len());
    }
    (said, door.closes().is_some())
}

/// Tokens, the way in which each is shown, and the clients that may come of it.
const TOKENS: &str = "all write the-token-of-all-vans\nreader read,write a-token-of-readers\n\
                      one write the-token-of-anna client=anna\nvan write the-token-of-vans client=van-*\n";
const SHOWN: [(&str, &str); 8] = [
    ("", ""),
    ("Authorization: Bearer the-token-of-all-vans\r\n", ""),
    ("Authorization: Bearer a-token-of-readers\r\n", ""),
    ("Authorization: Bearer the-token-of-anna\r\n", "anna"),
    ("Authorization: Bearer the-token-of-vans\r\n", "van-"),
    ("Authorization: Basic the-token-of-all-vans:\r\n", ""),
    ("Authorization: Basic YW5uYTp0aGUtdG9rZW4tb2YtYW5uYQ==\r\n", "anna"),
    ("Authorization: Bearer no-token-at-all-of-herd\r\n", ""),
];

const PHONE_PATHS: [&str; 10] = [
    "/owntracks",
    "/pub/",
    "/osmand",
    "/",
    "/overland",
    "/gpslogger/",
    "/traccar",
    "/api/webhook/the-token-of-all-vans",
    "/osmand/",
    "/owntracks/",
];

/// What phones send: whatever it is, it is taken, in the way that the app needs, however it is cut; and what was learned
/// is of a client that the token is for.
fn phones(bytes: &[u8]) {
    let Some((&[path, shown, more], rest)) = bytes.split_first_chunk() else { return };
    let end = rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len());
    let (query, body) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let path = PHONE_PATHS[usize::from(path) % PHONE_PATHS.len()];
    let (fields, clients) = SHOWN[usize::from(shown) % SHOWN.len()];
    let is_set = |bit: u8| more & bit != 0;
    let is_open = is_set(32);
    let mut target = String::new();
    for &byte in query {
        match byte {
            b'!'..=b'~' if !b"\"#<>[]\\^`{|}".contains(&byte) => target.push(byte.into()),
            _ => target += &format!("%{byte:02X}"),
        }
    }
    let method = if is_set(1) { "GET" } else { "POST" };
    let mut text = format!("{method} {path}?{target} HTTP/1.1\r\nHost: localhost\r\n{fields}");
    for (bit, field) in [
        (2, "X-Limit-U: anna b\r\n"),
        (4, "X-Limit-D: a phone/2\r\n"),
        (8, "User-Agent: Overland/1.3\r\n"),
        (16, "Content-Type: application/json; charset=utf-8\r\n"),
    ] {
        text += if is_set(bit) { field } else { "" };
    }
    text += &format!("Content-Length: {}\r\n\r\n", body.len());
    let text = [text.as_bytes(), body].concat();
    let now = Moment { up: Duration::from_secs(100), posix_ns: 1_800_000_000_000_000_000 };
    let core = core();
    let tell = |piece: usize| {
        let tokens = Tokens::parse(TOKENS).expect("tokens");
        let site = Site::new(Vec::new(), Vec::new(), 86_400_000_000_000, (!is_open).then_some(tokens));
        let said = converse(&core, site, now, text.chunks(piece));
        let (mut lines, mut walk) = (Vec::new(), Walk::all());
        while walk.step(&core.node.store, &mut lines) {}
        (said, lines)
    };
    let ((said, is_closed), lines) = tell(text.len());
    let halves = tell(text.len() / 2 + 1);
    assert!(halves == ((said.clone(), false), lines.clone()) && !is_closed, "in halves");
    let said = String::from_utf8(said).expect("a reply is text");
    let (head, answer) = said.split_once("\r\n\r\n").expect("a head");
    let length = format!("\r\nContent-Length: {}\r\n", answer.len());
    let status: u16 =
        head.strip_prefix("HTTP/1.1 ").and_then(|rest| rest[..3].parse().ok()).expect("a status");
    assert!(format!("{head}\r\n").contains(&length), "{head}");
    let is_known = is_open || !fields.is_empty() && !fields.contains("no-token") || path.contains("webhook");
    match status {
        200 => assert!(is_known || target.contains("token") || (method, path) == ("GET", "/"), "{head}"),
        401 => assert!(!is_known, "{head}"),
        405 => {
            assert!(method == "GET" && !["/osmand", "/osmand/", "/gpslogger/", "/"].contains(&path), "{head}")
        }
        414 | 431 => assert!(target.len() > 4_000, "{head}"),
        _ => panic!("{head}"),
    }
    assert!(status == 200 || lines.is_empty(), "{head}");
    if status != 200 {
        return;
    }
    let ignored = head.lines().find_map(|line| line.strip_prefix("X-Herd-Ignored: "));
    let mut reasons = ignored.into_iter().flat_map(|reasons| reasons.split(", "));
    assert!(reasons.all(|reason| Reason::ALL.iter().any(|known| known.name() == reason)), "{head}");
    let json = serde_json::from_str::<serde_json::Value>(answer);
    let is_page = (method, path) == ("GET", "/") && answer.starts_with("herd, ");
    assert!(is_page || answer.is_empty() || json.is_ok_and(|json| json.is_array() || json["result"] == "ok"));
    let is_by_field = !is_open && !target.contains("token") && !path.contains("webhook");
    for line in lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let Ok(Command::At(fields)) = Command::parse(line) else { panic!("no AT line") };
        let id = String::from_utf8_lossy(Record::write(&fields, &mut Vec::new()).client()).into_owned();
        let is_allowed = id.starts_with(clients) && (clients != "anna" || id == "anna");
        assert!(is_allowed || !is_by_field, "{id}");
    }
}

/// A request's body: it is the same however it is cut, and what a plain reader makes of the whole.
fn bodies(bytes: &[u8]) {
    const MAX: usize = 1_024;
    let Some((&kind, bytes)) = bytes.split_first() else { return };
    let framing = match kind {
        255 => Framing::Chunked,
        length => Framing::Length(usize::from(length) * 8),
    };
    let whole = take(framing, bytes, bytes.len().max(1), MAX);
    for piece in [1, 2, 3, 7] {
        assert_eq!(take(framing, bytes, piece, MAX), whole, "by {piece}");
    }
    match framing {
        Framing::Length(length) if length > MAX => assert_eq!(whole, Err(413)),
        Framing::Length(length) => {
            let expected = bytes.get(..length).map(|body| (body.to_vec(), length));
            assert_eq!(whole, Ok(expected));
        }
        Framing::Chunked => {
            if let Ok(Some((body, taken))) = whole {
                assert_eq!(plain_chunks(&bytes[..taken]), Some(body));
            }
        }
    }
}

/// The body and its bytes on the wire, None if it is not whole, or the status of what is wrong with it.
fn take(framing: Framing, bytes: &[u8], piece: usize, max: usize) -> Result<Option<(Vec<u8>, usize)>, u16> {
    let mut body = Incoming::new(framing, max).map_err(|bad| bad.status)?;
    let mut done = 0;
    for piece in bytes.chunks(piece) {
        let taken = body.take(piece).map_err(|bad| bad.status)?;
        done += taken;
        assert!(taken == piece.len() || body.is_whole());
        if taken < piece.len() {
            break;
        }
    }
    assert!(body.bytes().len() <= max);
    Ok(body.is_whole().then(|| (body.bytes().to_vec(), done)))
}

/// What these chunks hold, if they are chunks and no more.
fn plain_chunks(mut rest: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = rest.windows(2).position(|two| two == b"\r\n")?;
        let line = std::str::from_utf8(&rest[..end])
            .map_or_else(|_| String::from_utf8_lossy(&rest[..end]), Into::into);
        let digits = line.split([';', ' ', '\t']).next()?;
        let size = usize::from_str_radix(digits, 16).ok().filter(|_| !digits.starts_with('+'))?;
        rest = &rest[end + 2..];
        if size == 0 {
            let is_end = rest == b"\r\n"
                || rest.windows(4).position(|four| four == b"\r\n\r\n") == Some(rest.len() - 4);
            return is_end.then_some(body);
        }
        body.extend_from_slice(rest.get(..size)?);
        rest = rest[size..].strip_prefix(b"\r\n")?;
    }
}

/// What servers say beside AT lines: a line that is understood is written as it can be read again.
fn links(bytes: &[u8]) {
    for text in bytes.split(|&byte| byte == b'\n') {
        let Some(verb) = Word::parse(text) else { continue };
        let mut written = Vec::new();
        verb.write(&mut written);
        assert_eq!(Word::parse(&written[..written.len() - 1]), Some(verb));
        if let Word::Digest { span, count, sums } = verb {
            let digest = Digest::from_hex(span, count, sums);
            assert!(digest.is_none_or(|digest| digest.to_hex().as_bytes().eq_ignore_ascii_case(sums)));
        }
    }
}

/// A segment of a journal: every good line is one that was written so.
fn segments(bytes: &[u8]) {
    let node = Node::new("Goloman", Bounds::default());
    let take = |line: &[u8]| restore(&node, line) || line.starts_with(b"SEEN ");
    let mut others = 0;
    let scanned = journal::scan(bytes, take, |_, line| others += line.len() + 1);
    assert!(others <= bytes.len() + 1, "a line is handed on once");
    match scanned {
        Ok(end) => {
            if let Some((length, offset)) = end.cut {
                assert_eq!(offset + length as u64, bytes.len() as u64);
            }
        }
        // A later version's.
        Err(why) => assert_eq!(why.kind(), std::io::ErrorKind::InvalidData),
    }
}

/// The answers of places providers, and files of places: JSON, or an error in words.
fn answers(bytes: &[u8]) {
    let Some((&[kind, code], body)) = bytes.split_first_chunk() else { return };
    let code = [200, 200, 400, 403, 429, 500][usize::from(code) % 6];
    let (answer, bound) = (Answer { code, body: body.to_vec() }, kind / 4 % 21);
    let lookup = Lookup { latitude_deg: 50.0, longitude_deg: 8.0, radius_m: 50_000.0, bound };
    let wording = Wording::new("places", None, Duration::from_secs(5));
    let told = |failed: Failed| failed.error.to_string();
    let json = match kind % 4 {
        0 => google::parse(&answer, bound, &wording).map_err(told),
        1 => google_legacy::parse(&answer, bound, &wording).map_err(told),
        2 => overpass::parse(&answer, &wording)
            .map_err(told)
            .map(|found| found.reply(&lookup, lookup.radius_m).expect("there is no wider circle to ask for")),
        _ => File::parse(body, Path::new("places"))
            .and_then(|file| file.nearby(&lookup, Instant::now()).map_err(|why| why.to_string())),
    };
    match json {
        Ok(json) => assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok()),
        Err(why) => assert!(!why.is_empty()),
    }
}

/// A table of places, with a header that names its columns or one of its own.
fn tables(bytes: &[u8]) {
    let Some((&kind, rows)) = bytes.split_first() else { return };
    let headers =
        ["", "name,lat,lon,id\n", "name;lat;lon;types\n", "name\tlat\tlon\tvicinity\n", "sep=|\nname|y|x\r"];
    let header = headers[usize::from(kind) % headers.len()];
    files(&[header.as_bytes(), rows].concat());
}

/// GeoJSON: bytes as they are, or as the properties and the geometry of a feature.
fn geojson(bytes: &[u8]) {
    files(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    files(
        format!(
            r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[8,50]}},"properties":{text}}}"#
        )
        .as_bytes(),
    );
    files(format!(r#"{{"type":"Feature","geometry":{text},"properties":{{"name":"A"}}}}"#).as_bytes());
}

/// A file of places: places that are found where they are, or an error in words.
fn files(bytes: &[u8]) {
    match File::parse(bytes, Path::new("places")) {
        Ok(file) => {
            let lookup = Lookup { latitude_deg: 50.0, longitude_deg: 8.0, radius_m: 50_000.0, bound: 20 };
            let json = file.nearby(&lookup, Instant::now()).expect("it asks nobody");
            assert!(serde_json::from_slice::<serde_json::Value>(&json).is_ok());
        }
        Err(why) => assert!(!why.is_empty()),
    }
}

/// An extract of OpenStreetMap: bytes as they are, or as what is in one block of it, as the fuzzer packs nothing.
fn extracts(bytes: &[u8]) {
    const HEAD: &[u8] = b"\0\0\0\x0d\x0a\x09OSMHeader\x18\x02\x0a\0";
    files(bytes);
    let varint = |number: usize| [number as u8 & 0x7f | 0x80, (number >> 7) as u8 & 0x7f];
    let block = &bytes[..bytes.len().min(0x3000)];
    let (length, size) = (varint(block.len()), varint(block.len() + 3));
    files(&[HEAD, b"\0\0\0\x0c\x0a\x07OSMData\x18", &size, &[0x0a], &length, block].concat());
}

/// A herd.conf: a herd, or an error in words.
fn confs(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(Path::new("herd.conf"), text) {
        Ok(config) => assert!(!config.servers.is_empty() && !config.to_string().is_empty()),
        Err(why) => assert!(why.to_string().starts_with("herd.conf")),
    }
}
