//! What docs/events.md says that a program can do.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::process::Command;

use super::page::Page;
use crate::harness::{HANG, Process, wait_for};
use crate::http::alone;

/// Ends the program that reads the stream of a server, which was started by the script.
fn cut_curl(source: &str) {
    let is_it = |pid: i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        line.starts_with("curl\0") && line.contains(&format!("{source}/v1/events"))
    };
    let pid = wait_for("curl", || {
        let entries = fs::read_dir("/proc").expect("processes").flatten();
        let mut pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        pids.find(|pid| is_it(*pid))
    });
    let pid = rustix::process::Pid::from_raw(pid).expect("a process");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
}

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
    wait_for("a reader", || {
        crate::http::get(&server, "/metrics").body.contains("herd_event_subscribers 1").then_some(())
    });
    for (time, location, expected, is_cut) in [
        (2, "+34.05-118.45", r#"{"id":"ki\\qwi","why":"entered"}"#, false),
        (3, "+34.06-118.45", "", false),
        (4, "+35-118.45", r#"{"id":"ki\\qwi","why":"left"}"#, false),
        // What happens while the stream is cut is called for when it is back; what is not news is not.
        (5, "+34.05-118.45", r#"{"id":"ki\\qwi","why":"entered"}"#, true),
        (6, "+34.06-118.45", "", true),
        (7, "+35-118.45", r#"{"id":"ki\\qwi","why":"left"}"#, true),
    ] {
        if is_cut {
            cut_curl(&source);
        }
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
