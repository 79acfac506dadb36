//! `/openapi.json` beside what a running server answers: whatever status a request can be given is listed for it.

use super::{Connection, Reply, alone, ask, get};
use crate::harness::{Server, write_secret};

const TOKEN: &str = "0123456789abcdef";

/// A request that provokes something, and by what status.
struct Provoked {
    method: String,
    target: String,
    fields: String,
    body: &'static str,
    version: &'static str,
    status: u16,
}

fn said(server: &Server, it: &Provoked) -> Reply {
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    let Provoked { method, target, fields, body, version, .. } = it;
    connection.say(format!("{method} {target} {version}\r\n{fields}\r\n{body}").as_bytes());
    connection.reply()
}

/// A target that the path of the document stands for.
fn target_of(path: &str) -> String {
    path.replace("{id}", "a").replace("{name}", "busy").replace("{token}", TOKEN)
}

/// What any request may be given, whatever it is for.
fn of_every_message(method: &str, target: &str) -> Vec<Provoked> {
    let host = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    let provoked = |fields: &str, status| Provoked {
        method: method.to_owned(),
        target: target.to_owned(),
        fields: format!("{host}{fields}"),
        body: "",
        version: "HTTP/1.1",
        status,
    };
    let many = "X: y\r\n".repeat(80);
    let mut all = vec![
        provoked("Host: again\r\n", 400),
        provoked("Content-Length: 99999999\r\n", 413),
        provoked("Expect: tea\r\n", 417),
        provoked(&many, 431),
        provoked("Transfer-Encoding: gzip, chunked\r\n", 501),
    ];
    let long = format!("{target}?x={}", "x".repeat(9_000));
    all.push(Provoked { target: long, ..provoked("", 414) });
    all.push(Provoked { version: "HTTP/2.0", ..provoked("", 505) });
    all
}

#[test]
fn every_status_that_can_be_provoked_is_listed() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    write_secret(&path, &format!("all read,write,metrics {TOKEN}\nnone metrics metrics-metrics-1\n"));
    let (_conf, server) = alone("", &format!("http.tokens_file = {path:?}\nhttp.max_ahead = \"1h\""));
    let document = get(&server, "/openapi.json").json();
    let as_all = format!("Host: localhost\r\nAuthorization: Bearer {TOKEN}\r\n");
    let mut count = 0;
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if method == "parameters" {
                continue;
            }
            let (method, target) = (method.to_uppercase(), target_of(path));
            let is_open = operation["security"].as_array().expect("security").is_empty() || path == "/";
            let is_pinned = path.contains("{token}");
            let mut all = of_every_message(&method, &target);
            let mut provoke = |method: &str, target: &str, fields: &str, body, status| {
                let (method, target, fields) = (method.to_owned(), target.to_owned(), fields.to_owned());
                all.push(Provoked { method, target, fields, body, version: "HTTP/1.1", status });
            };
            let elsewhere = as_all.replace("localhost", "evil.example");
            if path == "/healthz" {
                provoke(&method, &target, &elsewhere, "", 200);
            } else if operation["tags"][0] != "phones" {
                provoke(&method, &target, &elsewhere, "", 403);
            }
            provoke("PATCH", &target, &as_all, "", 405);
            if !is_open && !is_pinned {
                provoke(&method, &target, "Host: localhost\r\n", "", 401);
            }
            if path.contains("{id}") {
                provoke(&method, &target.replacen('a', "%zz", 1), &as_all, "", 404);
            }
            if path == "/v1/clients/{id}" && method == "PUT" {
                let length = |body: &str| format!("{as_all}Content-Length: {}\r\n", body.len());
                let ahead = r#"{"lat":"+1","lon":"+1","time":9999999999}"#;
                provoke(&method, &target, &length(ahead), ahead, 409);
                let text = format!("{}Content-Type: text/plain\r\n", length("{}"));
                provoke(&method, &target, &text, "{}", 415);
                let here = r#"{"lat":"+1","lon":"+1"}"#;
                provoke(&method, &target, &length(here), here, 200);
            }
            if path == "/v1/clients/{id}" && method == "GET" {
                // Of whom nothing is known there is nothing to be as expected.
                let here = r#"{"lat":"+1","lon":"+1"}"#;
                let fields = format!("{as_all}Content-Length: {}\r\n", here.len());
                provoke("PUT", &target, &fields, here, 200);
            }
            // Without Accept it is no page, and has no tag.
            if operation["responses"].get("412").is_some() && path != "/" {
                provoke(&method, &target, &format!("{as_all}If-Match: \"x\"\r\n"), "", 412);
            }
            for it in &all {
                let reply = said(&server, it);
                let shown = &it.target[..it.target.len().min(60)];
                assert_eq!(reply.status, it.status, "{} {shown} {}: {reply:?}", it.method, it.fields);
                let listed = &operation["responses"][reply.status.to_string()];
                assert!(!listed.is_null(), "{path} {method} lacks {}", reply.status);
                count += 1;
            }
            // A stream has no end.
            if path != "/v1/events" {
                let token = format!("Authorization: Bearer {TOKEN}\r\n");
                let reply = ask(&server, &format!("{method} {target}"), &token, "");
                let listed = &operation["responses"][reply.status.to_string()];
                assert!(!listed.is_null(), "{path} {method} lacks {}: {reply:?}", reply.status);
            }
        }
    }
    assert!(count > 240, "{count}");
    // With wrong tokens.
    for guess in 0..30 {
        let fields = format!("Authorization: Bearer guess-number-{guess:04}\r\n");
        ask(&server, "GET /v1/herd", &fields, "");
    }
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            if method == "parameters" || path.contains("{token}") {
                continue;
            }
            let line = format!("{} {}", method.to_uppercase(), target_of(path));
            let reply = ask(&server, &line, "Authorization: Bearer another-guess-1\r\n", "");
            let listed = &operation["responses"][reply.status.to_string()];
            assert!(!listed.is_null(), "{path} {method} lacks {}: {reply:?}", reply.status);
        }
    }
}
