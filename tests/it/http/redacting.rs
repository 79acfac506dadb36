//! Tokens that are shown in odd places do not get into a log or a reply.

use std::io::Write;
use std::net::TcpStream;

use super::{Connection, alone, ask};
use crate::harness::write_secret;

const SECRET: &str = "0123456789abcdef";

#[test]
fn no_token_gets_into_a_log_or_a_reply_wherever_it_is_shown() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    write_secret(&path, &format!("anna write,read {SECRET}\n"));
    let (_conf, server) = alone("log_level = \"debug\"\n", &format!("http.tokens_file = {path:?}"));
    let http = server.http.expect("it serves HTTP");
    ask(&server, "PUT /v1/clients/a", &format!("Authorization: Bearer {SECRET}\r\n"), r#"{"lat":1,"lon":2}"#);
    let queries = [
        "/v1/clients?near=1,2?token=",
        "/v1/clients?limit=1?token=",
        "/v1/clients?bbox=1,2,3,4?token=",
        "/v1/clients?after=?token=",
        "/v1/places?near=1,2?token=",
        "/v1/labels?bbox=1,2,3,4?token=",
        "/v1/labels?limit=1?token=",
        "/v1/clients/a/places?bound=1?token=",
        "/v1/clients/a/places?radius_km=1?token=",
        "/v1/events?bbox=1,2,3,4?token=",
        "/v1/events?near=1,2&radius_m=1?token=",
        "/v1/clients?Token=",
        "/v1/clients?TOKEN=",
        "/v1/clients?t%6Fken=",
        "/v1/clients?limit=1;token=",
        "/v1/clients?limit=1%26token=",
        "/v1/clients?limit=1%26token%3D",
        "/v1/clients?x=\\token=",
        "/osmand?id=a?token=",
        "/osmand?id=a&Token=",
        "/osmand?id=a%3Ftoken%3D",
        "/api/webhook/",
        "/API/webhook/",
        "/%61pi/webhook/",
        "/api//webhook/",
        "/api/webhook%2F",
        "/api/./webhook/",
        "/x/../api/WebHook/",
    ];
    for method in ["GET", "POST", "PUT", "DELETE"] {
        for target in queries {
            for fields in [String::new(), format!("Authorization: Bearer {SECRET}\r\n")] {
                let mut connection = Connection::to(http);
                let end = "Connection: close\r\nContent-Length: 0\r\n";
                let head =
                    format!("{method} {target}{SECRET} HTTP/1.1\r\nHost: localhost\r\n{end}{fields}\r\n");
                connection.say(head.as_bytes());
                // A stream of events has no end.
                let reply = match target.starts_with("/v1/events") {
                    true => connection.reply().body.into_bytes(),
                    false => connection.rest(),
                };
                let reply = String::from_utf8_lossy(&reply).into_owned();
                assert!(!reply.contains(SECRET), "{target}: {reply}");
            }
        }
    }
    // A phone that is set to the wrong port.
    for line in [
        format!("GET /v1/clients?token={SECRET} HTTP/1.1"),
        format!("GET /v1/clients?TOKEN={SECRET} HTTP/1.1"),
        format!("POST /?id=1?token={SECRET}&lat=1 HTTP/1.1"),
        format!("GET /api/webhook/{SECRET} HTTP/1.1"),
        format!("GET /api/webhook/{SECRET}"),
        format!("Authorization: Bearer {SECRET}"),
        format!("authorization:Basic {SECRET}"),
        format!("X-Token: {SECRET}"),
        format!("{{\"token\": \"{SECRET}\"}}"),
        format!("{} ?token={SECRET}", "x".repeat(5_000)),
        format!("IAMAT a +1+1 ?token={SECRET}"),
    ] {
        let mut stream = TcpStream::connect(server.address).expect("connected");
        stream.write_all(format!("{line}\r\n\r\n").as_bytes()).expect("said");
        let said = Connection(stream);
        said.0.shutdown(std::net::Shutdown::Write).expect("shut");
        { said }.rest();
    }
    // A client that is called so is logged as it is.
    server.ask("IAMAT token=abc +1+1 5\n");
    let log = server.wait_for_log("IAMAT token=abc +1+1 5");
    let shown: Vec<_> = log.lines().filter(|line| line.contains(SECRET)).collect();
    assert!(shown.is_empty(), "{}", shown.join("\n"));
    let folder = std::fs::read_dir(_conf.path()).expect("a folder");
    assert!(folder.count() > 0);
}
