//! Unit tests: conversations by HTTP, without sockets, cut at every byte.

use std::sync::Arc;

use super::*;
use crate::clock::Moment;
use crate::door::Manners;
use crate::limits::{HTTP_BODY_S, HTTP_CROWDED_SILENCE_S, HTTP_HEAD_S, HTTP_IDLE_S};
use crate::link::{Identity, KeyRing, Neighbours};
use crate::logging::Wire;
use crate::node::{Bounds, Node};
use crate::status::HallStatus;
use crate::turn::{Core, Told, Turn};

const NOW: Moment = Moment { up: Duration::from_secs(100), posix_ns: 1_520_023_935_182_837_383 };

/// A connection's door and all that it needs, without the connection.
struct Visitor {
    core: Core,
    turn: Turn,
    manners: Manners,
    door: HttpDoor,
    now: Moment,
    is_on_trial: bool,
    is_stopping: bool,
    said: String,
}

impl Visitor {
    fn new() -> Visitor {
        let own = Identity { name: "Goloman".into(), incarnation: 1, conf: 3 };
        let neighbours =
            Neighbours::new(own, Vec::new(), KeyRing::default(), Duration::ZERO, Duration::from_secs(5));
        let core = Core::alone(Node::new("Goloman", Bounds::default()), neighbours);
        let site = Site::new(Vec::new(), Vec::new(), 86_400_000_000_000, None);
        let manners = Manners {
            max_line: 4_096,
            max_unsent: 262_144,
            max_clients: usize::MAX,
            one_shot: false,
            idle_timeout: Some(Duration::from_secs(3_600)),
            greeting: Duration::from_secs(5),
            silent: Duration::from_secs(10),
            drain: Duration::from_secs(1),
            http: Some(Arc::new(site)),
        };
        let door = HttpDoor::new(NOW.up);
        let turn = Turn::new(&core, Wire::mute());
        Visitor {
            core,
            turn,
            manners,
            door,
            now: NOW,
            is_on_trial: false,
            is_stopping: false,
            said: String::new(),
        }
    }

    fn call<T>(&mut self, call: impl FnOnce(&mut HttpDoor, &mut Visit<'_>) -> T) -> T {
        let mut visit = Visit {
            core: &self.core,
            manners: &self.manners,
            turn: &mut self.turn,
            now: self.now,
            address: ([127, 0, 0, 1], 5).into(),
            unsent: 0,
            is_on_trial: self.is_on_trial,
            is_stopping: self.is_stopping,
        };
        let done = call(&mut self.door, &mut visit);
        self.turn.commit(&self.core, NOW);
        self.said += &String::from_utf8_lossy(&std::mem::take(&mut self.turn.out));
        done
    }

    fn say(&mut self, bytes: &[u8]) {
        let mut question = self.call(|door, visit| door.read(visit, bytes));
        while let Some(asked) = question {
            let answer = match &asked {
                Question::Places(_) => Answer::Places(b"{}"[..].into()),
                asked => asked.answer(&self.core, HallStatus::default(), NOW),
            };
            self.call(|door, visit| door.answer(visit, answer));
            question = self.call(|door, visit| door.go_on(visit));
        }
    }
}

const BODY: &str = r#"{"lat":1,"lon":2,"time":5}"#;

fn conversation() -> String {
    let length = BODY.len();
    let chunks =
        format!("5\r\n{}\r\n{:x};x=y\r\n{}\r\n0\r\nX: y\r\n\r\n", &BODY[..5], length - 5, &BODY[5..]);
    [
        &format!("PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{BODY}"),
        // As some clients send behind a body.
        "\r\n",
        "GET /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "PUT /v1/clients/b HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        &chunks,
        "GET /v1/clients?limit=10 HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /v1/clients/a/places HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /v1/herd HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "DELETE /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "HEAD /v1/clients/b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ]
    .concat()
}

/// The first request, with which `a` is known.
fn first_report() -> String {
    conversation().split("\r\nGET").next().unwrap_or_default().to_owned()
}

fn answered(text: &str, pieces: impl Iterator<Item = usize>) -> String {
    // Clients are in the order of the store, which differs from start to start; there is one that is listed.
    let mut visitor = Visitor::new();
    let mut begin = 0;
    for end in pieces.chain([text.len()]) {
        visitor.say(&text.as_bytes()[begin..end]);
        begin = end;
    }
    let mut said = visitor.said;
    let features = ["\"id\":\"a\"", "\"id\":\"b\""].map(|id| said.contains(id));
    assert_eq!(features, [true, true]);
    // The page in either order.
    let page = said.find("{\"type\":\"FeatureCollection\"").expect("a page");
    let end = page + said[page..].find('\n').expect("its end");
    let tag = said[..page].rfind("ETag: ").expect("a tag");
    said.replace_range(page..end, "PAGE");
    let line_end = tag + said[tag..].find('\r').expect("its end");
    said.replace_range(tag..line_end, "TAG");
    said
}

#[test]
fn a_conversation_is_the_same_wherever_it_is_cut() {
    let text = conversation();
    let whole = answered(&text, std::iter::empty());
    let statuses: Vec<_> = whole.split("HTTP/1.1 ").skip(1).map(|reply| &reply[..3]).collect();
    assert_eq!(
        statuses,
        ["200", "200", "200", "200", "200", "200", "404", "204", "200"],
        "nothing after the close"
    );
    for at in 1..text.len() {
        assert_eq!(answered(&text, std::iter::once(at)), whole, "cut at {at}");
    }
    assert_eq!(answered(&text, 1..text.len()), whole, "byte by byte");
}

#[test]
fn who_has_no_place_is_told_so_and_who_is_served_at_the_end_is_told_that() {
    for (is_on_trial, is_stopping, path, fields, expected) in [
        (true, false, "/v1/clients", "", "503"),
        (true, false, "/v1/clients", "Connection: close\r\n", "503"),
        (true, false, "/healthz", "", "200"),
        (false, true, "/v1/clients", "", "200"),
        (true, true, "/v1/clients", "", "503"),
    ] {
        let mut visitor = Visitor { is_on_trial, is_stopping, ..Visitor::new() };
        visitor.say(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes());
        assert!(
            visitor.said.starts_with(&format!("HTTP/1.1 {expected} ")),
            "{path} {fields}: {}",
            visitor.said
        );
        assert!(visitor.said.contains("\r\nConnection: close\r\n"), "{}", visitor.said);
        assert!(visitor.door.closes().is_some());
    }
}

#[test]
fn at_a_stop_the_last_of_what_has_come_is_told_that_and_none_before_it() {
    let get = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (text, expected) in [
        (get.repeat(3), [false, false, true].to_vec()),
        // The rest of one may still come.
        (get.repeat(2) + &get[..9], vec![false, false]),
        ("GET /v1/clients/a/places HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned() + get, vec![false, true]),
    ] {
        let mut visitor = Visitor { is_stopping: true, ..Visitor::new() };
        visitor.say(first_report().as_bytes());
        let mut visitor = Visitor { door: HttpDoor::new(NOW.up), said: String::new(), ..visitor };
        visitor.say(text.as_bytes());
        let replies = visitor.said.split("HTTP/1.1 ").skip(1);
        let told: Vec<_> = replies.map(|reply| reply.contains("\r\nConnection: close\r\n")).collect();
        assert_eq!(told, expected, "{text}: {}", visitor.said);
        assert_eq!(visitor.door.closes().is_some(), expected.ends_with(&[true]), "{text}");
    }
    // One that waited for its answer when the stop came.
    let mut visitor = Visitor::new();
    visitor.say(first_report().as_bytes());
    visitor.said.clear();
    let request = "GET /v1/clients/a/places HTTP/1.1\r\nHost: localhost\r\n\r\n";
    assert!(visitor.call(|door, visit| door.read(visit, request.as_bytes())).is_some());
    visitor.is_stopping = true;
    visitor.call(|door, visit| door.answer(visit, Answer::Places(b"{}"[..].into())));
    assert!(visitor.said.starts_with("HTTP/1.1 200 ") && visitor.door.closes().is_some(), "{}", visitor.said);
    assert!(visitor.said.contains("\r\nConnection: close\r\n"), "{}", visitor.said);
}

#[test]
fn what_is_no_message_is_answered_without_a_body_where_it_begins_as_head() {
    for (text, status) in [
        ("HEAD / HTTP/1.9\r\nHost: localhost\r\n\r\n", "505"),
        ("HEAD / HTTP/1.1\r\nHost: localhost\r\nContent-Length: x\r\n\r\n", "400"),
    ] {
        let mut visitor = Visitor::new();
        visitor.say(text.as_bytes());
        assert!(visitor.said.starts_with(&format!("HTTP/1.1 {status} ")), "{}", visitor.said);
        assert!(visitor.said.ends_with("\r\n\r\n"), "{}", visitor.said);
    }
}

#[test]
fn a_request_has_its_time_and_is_told_when_it_is_over() {
    let mut visitor = Visitor::new();
    let left = |visitor: &Visitor| {
        visitor.door.deadline(&visitor.manners, NOW.up, NOW.up).map(|(at, _)| (at - NOW.up).as_secs())
    };
    assert_eq!(left(&visitor), Some(HTTP_IDLE_S));
    visitor.say(b"PUT /v1/clients/a HTTP/1.1\r\n");
    assert_eq!(left(&visitor), Some(HTTP_HEAD_S));
    visitor.now.up += Duration::from_secs(5);
    visitor.say(b"Host: localhost\r\nContent-Length: 26\r\n");
    assert_eq!(left(&visitor), Some(HTTP_HEAD_S), "however slowly it comes");
    visitor.say(b"\r\n{");
    assert_eq!(left(&visitor), Some(5 + HTTP_BODY_S));
    assert!(visitor.call(|door, visit| door.expire(visit, &mut None)));
    assert!(
        visitor.said.starts_with("HTTP/1.1 408 ") && visitor.said.contains("Connection: close"),
        "{}",
        visitor.said
    );
    assert!(visitor.door.closes().is_some() && !visitor.call(|door, visit| door.expire(visit, &mut None)));
    let mut idle = Visitor::new();
    assert!(
        !idle.call(|door, visit| door.expire(visit, &mut None)) && idle.said.is_empty(),
        "there is nobody to tell"
    );
}

#[test]
fn a_phone_whose_body_does_not_come_in_time_keeps_what_it_has() {
    for path in ["/owntracks", "/pub/", "/overland", "/", "/osmand"] {
        let mut visitor = Visitor::new();
        visitor.say(
            format!("POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 26\r\n\r\n{{").as_bytes(),
        );
        visitor.now.up += Duration::from_secs(2 * HTTP_BODY_S);
        assert!(visitor.call(|door, visit| door.expire(visit, &mut None)));
        let said = &visitor.said;
        assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("Retry-After: "), "{path}: {said}");
        assert_eq!(said.contains("{\"error\":"), path == "/overland", "{said}");
    }
}

#[test]
fn a_large_body_has_less_time_while_others_wait_for_room() {
    let mut visitor = Visitor::new();
    let site = visitor.manners.http.clone().expect("a site");
    let head = "POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: 300000\r\n\r\n";
    visitor.say(head.as_bytes());
    let left = |visitor: &Visitor| {
        let (at, _) = visitor.door.deadline(&visitor.manners, NOW.up, NOW.up).expect("a deadline");
        (at - visitor.now.up).as_secs()
    };
    assert_eq!(left(&visitor), HTTP_BODY_S);
    let others = site.reserve(crate::limits::PHONE_BODIES_BYTES - 300_000).expect("the rest");
    let mut late = Visitor::new();
    late.manners.http = Some(site.clone());
    late.say(head.as_bytes());
    assert_eq!((left(&visitor), left(&late)), (HTTP_CROWDED_SILENCE_S, HTTP_ROOM_S));
    // A small one takes nobody's room.
    let mut small = Visitor::new();
    small.manners.http = Some(site.clone());
    small.say(b"PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n");
    assert_eq!(left(&small), HTTP_BODY_S);
    let heard = NOW.up + Duration::from_secs(15);
    let (at, _) = visitor.door.deadline(&visitor.manners, heard, NOW.up).expect("a deadline");
    assert_eq!(
        at - heard,
        Duration::from_secs(HTTP_CROWDED_SILENCE_S),
        "as long as it goes on it has its time"
    );
    visitor.now.up += Duration::from_secs(HTTP_CROWDED_SILENCE_S);
    assert!(
        visitor.call(|door, visit| door.expire(visit, &mut None))
            && visitor.said.starts_with("HTTP/1.1 503 ")
    );
    drop((visitor, others));
    assert!(!late.call(|door, visit| door.find_room(visit).is_some()) && late.door.reads());
    assert_eq!(left(&late), HTTP_BODY_S, "nobody waits any more");
}

#[test]
fn overland_is_told_in_its_own_way_what_is_wrong_with_a_body() {
    for framing in ["Content-Length: 16777217\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n1000001\r\n"] {
        let mut visitor = Visitor::new();
        visitor.say(format!("POST /overland HTTP/1.1\r\nHost: localhost\r\n{framing}").as_bytes());
        let said = &visitor.said;
        assert!(said.starts_with("HTTP/1.1 413 ") && said.contains("{\"error\":"), "{said}");
    }
}

#[test]
fn a_large_body_waits_unread_until_there_is_room_for_it() {
    let mut visitor = Visitor::new();
    let site = visitor.manners.http.clone().expect("a site");
    let others = site.reserve(crate::limits::PHONE_BODIES_BYTES).expect("all of it");
    let length = 100_000;
    visitor.say(
        format!("POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n[").as_bytes(),
    );
    assert!(!visitor.door.reads() && visitor.said.is_empty(), "{}", visitor.said);
    let left = |visitor: &Visitor| {
        visitor.door.deadline(&visitor.manners, NOW.up, NOW.up).map(|(at, _)| (at - visitor.now.up).as_secs())
    };
    let mut late = Visitor::new();
    late.manners.http = Some(site.clone());
    late.say(b"POST /owntracks HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999\r\n\r\n");
    assert_eq!(left(&late), Some(HTTP_ROOM_S));
    late.now.up += Duration::from_secs(HTTP_ROOM_S - 1);
    assert!(!late.call(|door, visit| door.find_room(visit).is_some()) && late.door.waits_for_room());
    assert_eq!(left(&late), Some(1), "it waits on from when it began to");
    late.now.up += Duration::from_secs(1);
    assert!(late.call(|door, visit| door.expire(visit, &mut None)) && late.said.starts_with("HTTP/1.1 503 "));
    drop(others);
    assert!(!visitor.call(|door, visit| door.find_room(visit).is_some()) && visitor.door.reads());
    visitor.say(format!("{}]", " ".repeat(length - 2)).as_bytes());
    assert!(visitor.said.starts_with("HTTP/1.1 200 "), "{}", visitor.said);
}

/// A request of Overland with so many points.
fn batch(count: usize) -> String {
    let point = |number: usize| {
        format!(
            r#"{{"type":"Feature","geometry":{{"type":"Point","coordinates":[2,1]}},"properties":{{"timestamp":"2015-10-01T08:{:02}:{:02}Z","device_id":"van"}}}}"#,
            number / 60 % 60,
            number % 60
        )
    };
    let body = format!(r#"{{"locations":[{}]}}"#, (0..count).map(point).collect::<Vec<_>>().join(","));
    format!("POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

fn is_known(visitor: &Visitor, client: &[u8]) -> bool {
    visitor.core.node.see(client, |_| ()).is_some()
}

#[test]
fn what_a_phone_says_that_takes_long_is_read_elsewhere_and_learned_in_a_turn() {
    let mut visitor = Visitor::new();
    let small = batch(2);
    assert!(visitor.call(|door, visit| door.read(visit, small.as_bytes())).is_none());
    assert!(visitor.said.starts_with("HTTP/1.1 200 ") && is_known(&visitor, b"van"));
    let mut visitor = Visitor::new();
    let both = [batch(500), "GET /v1/clients/van HTTP/1.1\r\nHost: localhost\r\n\r\n".into()].concat();
    let asked = visitor.call(|door, visit| door.read(visit, both.as_bytes())).expect("a question");
    assert!(matches!(asked, Question::Phone(_)) && visitor.door.waits() && visitor.door.is_owed());
    assert!(visitor.said.is_empty() && !is_known(&visitor, b"van"));
    let site = visitor.manners.http.clone().expect("a site");
    let all = crate::limits::PHONE_BODIES_BYTES;
    assert!(site.reserve(all).is_none(), "it takes room for as long as it waits");
    let answer = asked.answer(&visitor.core, HallStatus::default(), NOW);
    drop(asked);
    assert!(site.reserve(all).is_none(), "and until it is learned");
    visitor.call(|door, visit| door.answer(visit, answer));
    assert!(site.reserve(all).is_some());
    assert!(
        is_known(&visitor, b"van") && visitor.said.ends_with("{\"result\":\"ok\"}\n"),
        "{}",
        visitor.said
    );
    visitor.call(|door, visit| door.go_on(visit));
    assert!(visitor.said.contains("1443686899"), "the newest of them: {}", visitor.said);
    // As there is too much to do.
    let mut visitor = Visitor::new();
    visitor.call(|door, visit| door.read(visit, batch(500).as_bytes())).expect("a question");
    visitor.call(|door, visit| door.answer(visit, Answer::None));
    assert!(visitor.said.starts_with("HTTP/1.1 503 ") && visitor.said.contains("Retry-After: "));
}

#[test]
fn what_was_read_elsewhere_waits_until_it_may_be_learned() {
    let mut visitor = Visitor::new();
    let asked = visitor.call(|door, visit| door.read(visit, batch(500).as_bytes())).expect("a question");
    visitor.turn.take_told();
    visitor.turn.part(true);
    let answer = asked.answer(&visitor.core, HallStatus::default(), NOW);
    visitor.call(|door, visit| door.answer(visit, answer));
    for _ in 0..2 {
        assert_eq!(visitor.turn.take_told(), Told::PutOff);
        assert!(visitor.said.is_empty() && !is_known(&visitor, b"van"));
        let door = &visitor.door;
        assert!(door.is_stalled() && door.is_owed() && !door.waits() && !door.reads());
        visitor.call(|door, visit| door.go_on(visit));
    }
    visitor.turn.part(false);
    visitor.call(|door, visit| door.go_on(visit));
    assert!(visitor.said.starts_with("HTTP/1.1 200 ") && is_known(&visitor, b"van"));
    assert!(!visitor.door.is_stalled() && visitor.door.reads());
}

#[test]
fn a_door_owns_a_buffer_only_while_it_holds_part_of_a_request() {
    let mut visitor = Visitor::new();
    visitor.say(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\nGET");
    assert!(visitor.door.under_way.is_some());
    visitor.say(b" /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    assert!(visitor.door.under_way.is_none());
}
