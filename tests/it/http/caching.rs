//! Tags, packed replies, and what caches and browsers are told.

use std::io::Read;

use super::{Connection, Reply, alone, ask, get};
use crate::harness::{HANG, write_secret};

const HERE: &str = r#"{"lat":1,"lon":2,"time":5}"#;

#[test]
fn if_match_compares_strongly() {
    let (_folder, server) = alone("", "");
    let told = ask(&server, "PUT /v1/clients/a", "", HERE);
    let tag = told.field("ETag").expect("a tag").to_owned();
    let weak = format!("If-Match: W/{tag}\r\n");
    let later = r#"{"lat":1,"lon":3,"time":6}"#;
    assert_eq!(ask(&server, "PUT /v1/clients/a", &weak, later).status, 412);
    assert_eq!(ask(&server, "DELETE /v1/clients/a", &weak, "").status, 412);
    let both = format!("If-Match: \"x\", {tag}\r\n");
    assert_eq!(ask(&server, "PUT /v1/clients/a", &both, later).status, 200);
    // The other one compares weakly.
    let tag = get(&server, "/v1/clients/a").field("ETag").expect("a tag").to_owned();
    assert_eq!(ask(&server, "GET /v1/clients/a", &format!("If-None-Match: W/{tag}\r\n"), "").status, 304);
    assert_eq!(ask(&server, "GET /v1/clients/a", &format!("If-Match: {tag}\r\n"), "").status, 200);
    assert_eq!(ask(&server, "GET /v1/clients/a", "If-Match: \"x\"\r\n", "").status, 412);
    assert_eq!(ask(&server, "PUT /v1/clients/a", &format!("If-None-Match: W/{tag}\r\n"), later).status, 412);
}

#[test]
fn what_stays_the_same_has_a_tag_and_is_sent_once() {
    let (_folder, server) = alone("", "");
    for target in
        ["/openapi.json", "/v1/labels", "/v1/labels?bbox=0,0,10,10", "/problems/busy", "/v1/clients?near=1,1"]
    {
        for coding in ["", "Accept-Encoding: gzip\r\n"] {
            let whole = ask(&server, &format!("GET {target}"), coding, "");
            let tag = whole.field("ETag").unwrap_or_else(|| panic!("{target}: {whole:?}")).to_owned();
            let fields = format!("{coding}If-None-Match: {tag}\r\n");
            let same = ask(&server, &format!("GET {target}"), &fields, "");
            assert_eq!((same.status, same.field("ETag")), (304, Some(tag.as_str())), "{target}");
            assert_eq!(same.field("Vary"), whole.field("Vary"), "{target}");
            assert_eq!(same.field("Cache-Control"), whole.field("Cache-Control"), "{target}");
            let matches = |tags: &str| {
                let fields = format!("{coding}If-Match: {tags}\r\n");
                ask(&server, &format!("GET {target}"), &fields, "").status
            };
            let found = [format!("\"x\", {tag}"), "*".into(), "\"x\"".into(), format!("W/{tag}")];
            assert_eq!(found.map(|tags| matches(&tags)), [200, 200, 412, 412], "{target}");
        }
    }
}

/// The bytes of a body, and its head.
fn packed(server: &crate::harness::Server, target: &str) -> (String, Vec<u8>) {
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    let fields = "Accept-Encoding: gzip\r\nConnection: close\r\n";
    connection.say(format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n").as_bytes());
    let bytes = connection.rest();
    let end = bytes.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    (String::from_utf8(bytes[..end].to_vec()).expect("text"), bytes[end..].to_vec())
}

#[test]
fn what_is_large_is_packed_for_those_who_read_that() {
    let (_folder, server) = alone("", "");
    let lines: String = (0..400).map(|number| format!("IAMAT c{number} +1+1 5\n")).collect();
    server.ask(&lines);
    for target in [
        "/metrics",
        "/v1/labels",
        "/v1/clients?near=1,1&limit=10",
        "/v1/clients?near=1,1&limit=400",
        "/v1/places?near=34.0689,-118.4451&radius_km=50",
        "/v1/clients?limit=100",
        "/openapi.json",
    ] {
        let plain = get(&server, target);
        assert_eq!(plain.status, 200);
        let (head, body) = packed(&server, target);
        assert!(head.contains("Vary: Accept-Encoding\r\n"), "{target}: {head}");
        assert!(plain.head.contains("Vary: Accept-Encoding\r\n"), "{target}: {}", plain.head);
        if plain.body.len() < 1_500 {
            continue;
        }
        assert!(
            head.contains("Content-Encoding: gzip\r\n") && body.len() < plain.body.len(),
            "{target}: {head}"
        );
        let mut text = String::new();
        flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).expect("whole");
        assert!(target == "/metrics" || text == plain.body, "{target}");
    }
}

#[test]
fn with_origins_every_reply_says_that_it_depends_on_them() {
    let origin = "https://map.example";
    let (_folder, server) = alone("", &format!("http.allow_origins = [\"{origin}\"]"));
    ask(&server, "PUT /v1/clients/a", "", HERE);
    let (_other, without) = alone("", "");
    for target in [
        "/v1/clients",
        "/v1/clients/a",
        "/v1/clients/nobody",
        "/v1/clients?limit=x",
        "/v1/clients/a/places",
        "/v1/places?near=1,1",
        "/v1/labels",
        "/v1/herd",
        "/metrics",
        "/readyz",
        "/openapi.json",
        "/nowhere",
    ] {
        for fields in
            [String::new(), format!("Origin: {origin}\r\n"), "Origin: https://evil.example\r\n".into()]
        {
            let reply = ask(&server, &format!("GET {target}"), &fields, "");
            let varies = reply.head.lines().any(|line| line.starts_with("Vary: ") && line.contains("Origin"));
            assert!(varies, "{target} {fields}: {reply:?}");
            let is_allowed = reply.field("Access-Control-Allow-Origin") == Some(origin);
            let shows =
                reply.field("Access-Control-Expose-Headers").is_some_and(|shown| shown.contains("ETag"));
            assert_eq!(shows, is_allowed, "{reply:?}");
            assert_eq!(is_allowed, fields.contains(origin), "{target}: {reply:?}");
        }
        assert!(!get(&without, target).head.contains("Origin"), "{target}");
    }
    let mut stream = Connection::to(server.http.expect("it serves HTTP"));
    stream.say(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    stream.0.set_read_timeout(Some(HANG)).expect("set");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.0.read_exact(&mut byte).expect("a head");
        head.extend_from_slice(&byte);
    }
    assert!(String::from_utf8_lossy(&head).contains("Vary: Origin\r\n"));
}

#[test]
fn the_head_of_a_stream_has_no_length() {
    let (_folder, server) = alone("", "");
    let reply = ask(&server, "HEAD /v1/events", "", "");
    assert_eq!((reply.status, reply.field("Content-Length")), (200, None), "{reply:?}");
    assert_eq!(reply.field("Content-Type"), Some("text/event-stream"));
}

#[test]
fn parameters_that_nobody_knows_are_told() {
    let (_folder, server) = alone("", "");
    for (target, status) in [("/v1/herd?x=1", 400), ("/v1/herd?token=x", 200), ("/metrics?x=1", 200)] {
        assert_eq!(get(&server, target).status, status, "{target}");
    }
    for target in ["/openapi.json?x=1", "/v1/herd?x=1"] {
        let reply = get(&server, target);
        assert!(reply.status == 400 && reply.json()["parameter"] == "x", "{reply:?}");
    }
}

/// What is said to a head that waits for a word, before its body is sent.
fn first_word(server: &crate::harness::Server, line: &str, fields: &str) -> (Reply, bool) {
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    let head = format!("{line} HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 30\r\n{fields}\r\n");
    connection.say(head.as_bytes());
    let reply = connection.reply();
    let is_closed = reply.field("Connection") == Some("close");
    (reply, is_closed)
}

#[test]
fn what_is_refused_by_its_head_is_refused_before_its_body_is_sent() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    write_secret(&path, "anna write,read 0123456789abcdef client=anna\nbert read fedcba9876543210\n");
    let (_conf, server) = alone("", &format!("http.tokens_file = {path:?}"));
    let token = "Host: localhost\r\nAuthorization: Bearer 0123456789abcdef\r\n";
    let reader = "Host: localhost\r\nAuthorization: Bearer fedcba9876543210\r\n";
    for (line, fields, status) in [
        ("PUT /v1/clients/anna", "Host: localhost\r\n".to_owned(), 401),
        ("PUT /v1/clients/anna", "Host: localhost\r\nAuthorization: Bearer x\r\n".to_owned(), 401),
        ("PUT /v1/clients/anna", reader.to_owned(), 403),
        ("PUT /v1/clients/bert", token.to_owned(), 403),
        ("PUT /v1/clients/anna", format!("{token}Origin: https://evil.example\r\n"), 403),
        ("PUT /v1/clients/anna", token.replace("localhost", "evil.example"), 403),
        ("PUT /v1/clients/anna", format!("{token}Content-Type: text/plain\r\n"), 415),
        ("PUT /v1/clients/anna", format!("{token}If-Match: \"x\"\r\n"), 412),
        ("PUT /v1/clients/anna?x=1", token.to_owned(), 400),
        ("POST /v1/clients/anna", token.to_owned(), 405),
        ("PUT /nowhere", token.to_owned(), 404),
        ("GET /v1/clients/nobody", token.replace("anna", "x"), 403),
        ("GET /healthz", token.to_owned(), 200),
        ("POST /owntracks", "Host: localhost\r\n".to_owned(), 401),
    ] {
        let (reply, is_closed) = first_word(&server, line, &fields);
        assert_eq!((reply.status, is_closed), (status, true), "{line} {fields}: {reply:?}");
    }
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    let body = r#"{"lat":1,"lon":2,"time":15}   "#;
    let expect = format!("Expect: 100-continue\r\nContent-Length: {}\r\n{token}\r\n", body.len());
    connection.say(format!("PUT /v1/clients/anna HTTP/1.1\r\n{expect}").as_bytes());
    assert_eq!(connection.reply().status, 100);
    connection.say(body.as_bytes());
    let reply = connection.reply();
    assert_eq!((reply.status, reply.field("Connection")), (200, None), "{reply:?}");
}
