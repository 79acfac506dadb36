//! Where bytes come in from outside, one function a kind, with what must hold whatever they are. The fuzzer's targets
//! include this file and call it, and so does a test, with the inputs that the fuzzer found worth keeping.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::{Duration, Instant};

use herd::config::Config;
use herd::digest::Digest;
use herd::journal::{self, Entries, Replayed};
use herd::node::{Line, News, Node, Peer, PeerKind, Reply};
use herd::places::ask::{Answer, Failed, Wording};
use herd::places::providers::file::File;
use herd::places::providers::{google, google_legacy, overpass};
use herd::places::{Lookup, Places};
use herd::protocol::link::Verb;
use herd::protocol::{Command, line};

/// What is called with bytes; it panics when something does not hold.
type Check = fn(&[u8]);

/// Every kind by its name, which is that of its target and of its folder of inputs.
pub const KINDS: [(&str, Check); 5] =
    [("line", lines), ("link", links), ("journal", segments), ("places", answers), ("conf", confs)];

/// The check of a kind.
pub fn check(kind: &str, bytes: &[u8]) {
    let found = KINDS.iter().find(|(name, _)| *name == kind);
    found.unwrap_or_else(|| panic!("no kind {kind:?}")).1(bytes);
}

/// A client's or neighbour's lines: what is accepted comes back as lines that are accepted.
fn lines(bytes: &[u8]) {
    let node = Node::new("Goloman", None).forgetting(Some(3_600));
    let address = IpAddr::V4(Ipv4Addr::LOCALHOST);
    for (number, text) in bytes.split(|&byte| byte == b'\n').enumerate() {
        // No longer than a server takes one.
        let text = &text[..text.len().min(16_384)];
        let kind = match number % 2 {
            0 => PeerKind::Stranger,
            _ => PeerKind::Neighbour { index: Some(1), plain: false },
        };
        let (mut out, mut news) = (Vec::new(), News::default());
        let line = Line { text, terminated: true, alone: number == 0 };
        let peer = Peer { address, kind, incarnation: 1 };
        match node.answer(line, peer, 1_700_000_000_000_000_000, &mut out, &mut news) {
            Reply::Located { .. } => assert!(out.ends_with(b"\n") && is_at(&out[..out.len() - 1])),
            Reply::Nearby(nearby) => assert!(is_at(&nearby.line[..nearby.line.len() - 1])),
            Reply::Refused(_) => assert_eq!(out, [b"? ", line::without_cr(text), b"\n"].concat()),
            Reply::Silence(_) | Reply::Link(_) => assert!(out.is_empty()),
        }
        for item in &news.items {
            let record = news.record(item);
            assert!(is_at(record.line()) && !record.line().contains(&b'\n'));
            assert!(Node::new("Hands", None).restore(record.line(), &mut Vec::new()));
        }
    }
}

fn is_at(text: &[u8]) -> bool {
    matches!(Command::parse(text), Ok(Command::At(_)))
}

/// What servers say beside AT lines: a line that is understood is written as it can be read again.
fn links(bytes: &[u8]) {
    for text in bytes.split(|&byte| byte == b'\n') {
        let Some(verb) = Verb::parse(text) else { continue };
        let mut written = Vec::new();
        verb.write(&mut written);
        assert_eq!(Verb::parse(&written[..written.len() - 1]), Some(verb));
        if let Verb::Digest { count, sums } = verb {
            let digest = Digest::from_hex(count, sums);
            assert!(digest.is_none_or(|digest| digest.to_hex().as_bytes().eq_ignore_ascii_case(sums)));
        }
    }
}

/// A segment of a journal: every good line is one that was written so.
fn segments(bytes: &[u8]) {
    let (mut replayed, mut kept, mut bad) = (Replayed::default(), Entries::default(), 0);
    let node = Node::new("Goloman", None);
    let mut scratch = Vec::new();
    let mut take = |line: &[u8]| {
        kept.report(line);
        node.restore(line, &mut scratch) || line.starts_with(b"SEEN ")
    };
    let scanned = journal::scan(&mut &bytes[..], &mut replayed, &mut take, &mut |_| bad += 1, &mut |_| {});
    assert!(scanned.is_ok());
    assert_eq!((replayed.bad, replayed.bytes), (bad, bytes.len() as u64));
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

/// A herd.conf: a herd, or an error in words.
fn confs(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match Config::parse(Path::new("herd.conf"), text) {
        Ok(config) => assert!(!config.servers.is_empty() && !config.to_string().is_empty()),
        Err(why) => assert!(why.to_string().starts_with("herd.conf")),
    }
}
