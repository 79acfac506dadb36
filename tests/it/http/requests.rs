//! Messages of HTTP as they come: pipelined, in pieces, too long, and in ways that could be read twice.

use super::{Connection, Reply, alone};
use crate::harness::wait_for;

/// All replies on a connection that says these bytes and no more.
fn replies(address: std::net::SocketAddr, bytes: &[u8]) -> Vec<Reply> {
    let mut connection = Connection::to(address);
    connection.say(bytes);
    let _ = connection.0.shutdown(std::net::Shutdown::Write);
    let said = connection.rest();
    let (mut replies, mut at) = (Vec::new(), 0);
    while let Some((reply, length)) = Reply::cut(&said[at..]) {
        at += length;
        replies.push(reply);
    }
    assert_eq!(at, said.len(), "{}", String::from_utf8_lossy(&said));
    replies
}

fn statuses(address: std::net::SocketAddr, bytes: &[u8]) -> Vec<u16> {
    replies(address, bytes).iter().map(|reply| reply.status).collect()
}

#[test]
fn pipelined_requests_are_answered_in_order_however_they_are_cut() {
    let (_folder, server) = alone("", "");
    let address = server.http.expect("it serves HTTP");
    let put = |client: &str, more: &str, body: &str| {
        format!("PUT /v1/clients/{client} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n{body}")
    };
    let body = r#"{"lat":1,"lon":2,"time":5}"#;
    let chunked = format!(
        "{:x}\r\n{}\r\n{:x};x=y\r\n{}\r\n0\r\nX: y\r\n\r\n",
        5,
        &body[..5],
        body.len() - 5,
        &body[5..]
    );
    let all = [
        put("a", &format!("Content-Length: {}\r\n", body.len()), body),
        "\r\n".into(),
        "GET /v1/clients/a HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        put("b", "Transfer-Encoding: chunked\r\n", &chunked),
        "GET /v1/clients?limit=10 HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
        "HEAD /v1/clients/b HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".into(),
    ]
    .concat();
    let expected = [200, 200, 200, 200, 404, 200];
    let check = |pieces: &[&[u8]]| {
        let mut connection = Connection::to(address);
        pieces.iter().for_each(|piece| connection.say(piece));
        let said = connection.rest();
        let said = String::from_utf8_lossy(&said);
        let found: Vec<u16> =
            said.split("HTTP/1.1 ").skip(1).map(|part| part[..3].parse().expect("a status")).collect();
        assert_eq!(found, expected, "{said}");
    };
    check(&[all.as_bytes()]);
    (1..all.len()).step_by(7).for_each(|at| {
        let (begin, rest) = all.as_bytes().split_at(at);
        check(&[begin, rest]);
    });
    check(&all.as_bytes().chunks(1).collect::<Vec<_>>());
}

#[test]
fn what_can_be_read_in_two_ways_is_read_in_none_and_nothing_behind_it_is_done() {
    let (_folder, server) = alone("", "");
    let address = server.http.expect("it serves HTTP");
    let smuggled = "PUT /v1/clients/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 16\r\n\r\n{\"lat\":1,\"lon\":1}";
    let good = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    for (bad, status) in [
        (
            "GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
            400,
        ),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: xchunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding : chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nX: a\nTransfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\n Transfer-Encoding: chunked\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0x5\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n", 400),
        (
            "PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n5 \r\nabcde\r\n0\r\n\r\n",
            400,
        ),
        ("PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999\r\n\r\n", 413),
        ("GET / HTTP/3.0\r\nHost: localhost\r\n\r\n", 505),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
        ("hello\r\n\r\n", 400),
    ] {
        assert_eq!(statuses(address, format!("{bad}{smuggled}").as_bytes()), [status], "{bad:?}");
        assert_eq!(statuses(address, format!("{good}{bad}{smuggled}").as_bytes()), [200, status], "{bad:?}");
    }
    assert!(server.knows("smuggled").is_none());
}

#[test]
fn a_client_that_waits_with_its_body_is_told_to_go_on() {
    let (_folder, server) = alone("", "");
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    let body = r#"{"lat":1,"lon":2,"time":5}"#;
    let head = format!(
        "PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    connection.say(head.as_bytes());
    assert_eq!(connection.reply().status, 100);
    connection.say(body.as_bytes());
    assert_eq!(connection.reply().status, 200);
    // One that does not wait is not told.
    connection.say(format!("{head}{body}").as_bytes());
    assert_eq!(connection.reply().status, 200);
}

#[test]
fn a_half_request_at_the_end_is_none() {
    let (_folder, server) = alone("", "");
    let address = server.http.expect("it serves HTTP");
    assert!(statuses(address, b"GET / HTTP/1.1\r\nHost: localho").is_empty());
    let half =
        b"PUT /v1/clients/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 26\r\n\r\n{\"lat\":1,\"lon\":1}";
    assert!(statuses(address, half).is_empty());
    assert!(server.knows("a").is_none());
}

#[test]
fn an_old_client_is_answered_and_kept_if_it_asks_for_it() {
    let (_folder, server) = alone("", "");
    let address = server.http.expect("it serves HTTP");
    let old = b"GET /healthz HTTP/1.0\r\n\r\nGET /healthz HTTP/1.0\r\n\r\n";
    assert_eq!(statuses(address, old), [200], "it is closed after the first");
    let kept = b"GET /healthz HTTP/1.0\r\nConnection: keep-alive\r\n\r\n";
    let found = replies(address, &kept.repeat(2));
    assert_eq!((found.len(), found[0].field("Connection")), (2, Some("keep-alive")));
}

#[test]
fn with_always_a_200_is_written_after_the_journal_has_it() {
    let (folder, server) = alone("sync = \"always\"", "");
    let address = server.http.expect("it serves HTTP");
    let request = |number: u32| {
        let body = format!("{{\"lat\":1,\"lon\":2,\"time\":{number}}}");
        format!(
            "PUT /v1/clients/c{number} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\n\r\n{body}GET /v1/clients/c{number} HTTP/1.1\r\nHost: localhost\r\n\r\n",
            body.len()
        )
    };
    let all: String = (1..=20).map(request).collect();
    assert_eq!(statuses(address, all.as_bytes()), [200; 40], "a read behind its write sees it");
    drop(server);
    let restarted = crate::harness::Server::start(folder.path(), "Goloman");
    (1..=20).for_each(|number| {
        wait_for("the client", || restarted.knows(&format!("c{number}")));
    });
}
