//! Unit tests: a node's answers, without a socket.

use super::*;
use std::net::Ipv4Addr;

const NOW_NS: u64 = 1_520_023_935_182_837_383;
const KIWI: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997";

fn peer(kind: PeerKind) -> Peer {
    Peer { address: Ipv4Addr::LOCALHOST.into(), kind, incarnation: 0 }
}

const STRANGER: PeerKind = PeerKind::Stranger;
const NEIGHBOUR: PeerKind = PeerKind::Neighbour { index: Some(3), plain: false };
const PLAIN: PeerKind = PeerKind::Neighbour { index: None, plain: true };

struct Answer<'a> {
    reply: Reply<'a>,
    out: String,
    news: Vec<(String, Option<u16>)>,
}

fn ask<'a>(node: &Node, kind: PeerKind, text: &'a str, terminated: bool) -> Answer<'a> {
    let (mut out, mut news) = (Vec::new(), News::default());
    let line = Line { text: text.as_bytes(), terminated, alone: true };
    let reply = node.answer(line, peer(kind), NOW_NS, &mut out, &mut news);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let items =
        news.items.iter().map(|item| (text(news.line(item)), item.from.map(|from| from.neighbour))).collect();
    Answer { reply, out: text(&out), news: items }
}

#[test]
fn the_original_example_comes_out_to_the_byte() {
    let node = Node::new("Goloman", None);
    let expected = "AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n";
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
    let check = |text: &str, why: Rule| {
        let answer = ask(&node, STRANGER, text, true);
        let line = text.strip_suffix('\r').unwrap_or(text);
        assert_eq!(answer.out, format!("? {line}\n"));
        assert!(matches!(answer.reply, Reply::Refused(reason) if reason == why), "{text}");
    };
    check("  hello\t world  ", Rule::Keyword);
    check("hello\r", Rule::Keyword);
    check("WHATSAT nobody 10 5", Rule::UnknownClient);
    check("AT Goloman +0.1 kiwi +1+1 1", Rule::NotANeighbour);
    check("AT", Rule::AtFields);
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
    check(NEIGHBOUR, "AT Hands +0.1 a +1+1 nan", true, Silence::Dropped(Rule::TimeDigits), 0);
    check(NEIGHBOUR, "  ", true, Silence::Blank, 0);
    let answer = ask(&node, NEIGHBOUR, "AT  Hands\t+0.1 b +1+1 1", true);
    assert_eq!(answer.news, [("AT Hands +0.1 b +1+1 1\n".to_owned(), Some(3))]);
}

#[test]
fn max_ahead_refuses_only_what_is_further_ahead() {
    let node = Node::new("Goloman", Some(5_000_000_000));
    let check = |time: &str, accepted: bool| {
        let line = format!("IAMAT a +1+1 {time}");
        let reply = ask(&node, STRANGER, &line, true).reply;
        assert_eq!(matches!(reply, Reply::Located { .. }), accepted, "{time}");
    };
    check("1520023940.182837383", true);
    check("1520023940.182837384", false);
    check("99999999999999999999", false);
    let unlimited = ask(&Node::new("Goloman", None), STRANGER, "IAMAT a +1+1 1520023940.5", true);
    assert_eq!(unlimited.out, "AT Goloman -5.317162617 a +1+1 1520023940.5\n");
}

#[test]
fn a_report_that_is_kept_first_is_known_when_it_is_and_not_before() {
    let node = Node::new("Goloman", None).keeping_first(true);
    let mut news = News::default();
    let say = |news: &mut News, kind, text: &str| {
        let mut out = Vec::new();
        let line = Line { text: text.as_bytes(), terminated: true, alone: true };
        let _ = node.answer(line, peer(kind), NOW_NS, &mut out, news);
        String::from_utf8_lossy(&out).into_owned()
    };
    let knows = |client: &str| node.store.read(client.as_bytes(), |_| ()).is_some();
    assert!(say(&mut news, STRANGER, "IAMAT fig +1+1 5").starts_with("AT Goloman"));
    assert!(say(&mut news, STRANGER, "IAMAT fig +1+1 5").starts_with("AT Goloman"), "twice in a turn");
    let _ = say(&mut news, PLAIN, "AT Hands +1 plum +1+1 5");
    assert_eq!((knows("fig"), knows("plum"), news.items.len()), (false, true, 3));
    for (text, is_early) in [("WHATSAT fig 1 1", true), ("WHATSAT plum 1 1", false), ("IAMAT fig 1 1", false)]
    {
        assert_eq!(node.is_early(text.as_bytes(), &news), is_early, "{text}");
    }
    // Refused: nothing of it is left, and what a neighbour said goes on.
    let mut refused = std::mem::take(&mut news);
    refused.drop_own();
    assert_eq!((refused.items.len(), knows("fig")), (1, false));
    // Kept: it is known, and once.
    let _ = say(&mut news, STRANGER, "IAMAT fig +1+1 5");
    let _ = say(&mut news, STRANGER, "IAMAT fig +1+1 5");
    node.learn_kept(&mut news, NOW_NS);
    assert_eq!((news.items.len(), knows("fig")), (1, true));
    // A repetition is no news, and as safe as what it repeats, which may be on its way to the disk.
    news.clear();
    let answer = say(&mut news, STRANGER, "IAMAT plum +1+1 4");
    assert!(answer.starts_with("AT Goloman") && news.is_empty());
    assert_eq!(news.relied_on, [b"AT Hands +1 plum +1+1 5"]);
    assert!(!node.is_early(b"WHATSAT plum 1 1", &news));
}

#[test]
fn a_report_that_is_not_kept_first_is_learned_once() {
    let node = Node::new("Goloman", None);
    let mut news = News::default();
    let line = Line { text: KIWI.as_bytes(), terminated: true, alone: true };
    let _ = node.answer(line, peer(STRANGER), NOW_NS, &mut Vec::new(), &mut news);
    node.learn_kept(&mut news, NOW_NS);
    assert_eq!(news.items.len(), 1, "it is still to be flooded");
}

#[test]
fn a_time_in_milliseconds_is_noticed_and_a_right_one_is_not() {
    let node = Node::new("Goloman", None);
    let check = |time: &str, expected: bool| {
        let line = format!("IAMAT a +1+1 {time}");
        let Reply::Located { is_far_ahead } = ask(&node, STRANGER, &line, true).reply else {
            panic!("{time}")
        };
        assert_eq!(is_far_ahead, expected, "{time}");
    };
    check("1520023934.918963997", false);
    check("1520027535", false);
    check("1520023934918", true);
    check("2147483647", true);
}

#[test]
fn with_as_many_clients_as_it_holds_others_are_refused_and_known_ones_and_neighbours_are_not() {
    for keeps_first in [false, true] {
        let node = Node::new("Goloman", None).holding(2).keeping_first(keeps_first);
        let tell = |client: &str, time: u32| {
            let (mut out, mut news) = (Vec::new(), News::default());
            let text = format!("IAMAT {client} +1+1 {time}");
            let line = Line { text: text.as_bytes(), terminated: true, alone: true };
            let reply = node.answer(line, peer(STRANGER), NOW_NS, &mut out, &mut news);
            let is_refused = matches!(reply, Reply::Refused(Rule::Full));
            assert_eq!(is_refused, out == format!("? {text}\n").as_bytes(), "{}", out.escape_ascii());
            node.learn_kept(&mut news, NOW_NS);
            !is_refused
        };
        assert!(tell("a", 1) && tell("b", 1) && !tell("c", 1) && tell("a", 2));
        let _ = ask(&node, NEIGHBOUR, "AT Hands +0.1 d +1+1 1", true);
        assert_eq!(node.store.count(), 3);
        assert!(!tell("c", 2) && tell("d", 2) && tell("b", 2));
    }
    // In one turn, whose reports are learned at its end.
    let node = Node::new("Goloman", None).holding(3).keeping_first(true);
    let (mut out, mut news) = (Vec::new(), News::default());
    let told: Vec<_> = ["a", "a", "b", "a", "b", "c", "d", "a", "c"]
        .iter()
        .enumerate()
        .map(|(time, client)| {
            let text = format!("IAMAT {client} +1+1 {time}");
            let line = Line { text: text.as_bytes(), terminated: true, alone: true };
            let reply = node.answer(line, peer(STRANGER), NOW_NS, &mut out, &mut news);
            matches!(reply, Reply::Located { .. })
        })
        .collect();
    assert_eq!(told, [true, true, true, true, true, true, false, true, true]);
    {}
}
