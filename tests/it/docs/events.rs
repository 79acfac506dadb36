//! What docs/events.md says that a program can do.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;

use super::page::Page;
use crate::harness::{HANG, Process};
use crate::http::alone;

#[test]
fn the_webhook_calls_when_a_client_comes_and_when_it_leaves() {
    let scripts = Page::read("docs/events.md").blocks_of("sh");
    let [script] = &scripts[..] else { panic!("{} scripts", scripts.len()) };
    for program in ["curl", "jq"] {
        if Command::new(program).arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "{program} is not installed");
            return eprintln!("not tested here: the webhook; {program} is not installed");
        }
    }
    let (folder, server) = alone("", "");
    let report = |location: &str, time: usize| {
        assert!(server.ask(&format!("IAMAT ki\\qwi {location} {time}\n")).starts_with("AT "));
    };
    report("+35-118.45", 1);
    let hook = TcpListener::bind("127.0.0.1:0").expect("a port");
    fs::write(folder.path().join("watch.sh"), script).expect("written");
    let (source, target) = (server.http.expect("HTTP"), hook.local_addr().expect("an address"));
    let (source, target) = (format!("http://{source}"), format!("http://{target}/hook"));
    let _watch = Process::start(Command::new("sh").args(["watch.sh", &source, &target]), folder.path());
    crate::harness::wait_for("a reader", || {
        crate::http::get(&server, "/metrics").body.contains("herd_event_subscribers 1").then_some(())
    });
    for (time, location, expected) in [
        (2, "+34.05-118.45", r#"{"id":"ki\\qwi","why":"entered"}"#),
        (3, "+34.06-118.45", ""),
        (4, "+35-118.45", r#"{"id":"ki\\qwi","why":"left"}"#),
    ] {
        report(location, time);
        if expected.is_empty() {
            continue;
        }
        let (stream, _) = hook.accept().expect("a call");
        stream.set_read_timeout(Some(HANG)).expect("set");
        let (mut reader, mut length) = (BufReader::new(&stream), 0);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a line");
            if let Some(value) = line.strip_prefix("Content-Length: ") {
                length = value.trim().parse().expect("a number");
            }
            if line == "\r\n" {
                break;
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("a body");
        assert_eq!(String::from_utf8_lossy(&body), expected);
        (&stream).write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").expect("answered");
    }
}
