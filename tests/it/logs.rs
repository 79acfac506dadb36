//! What the log holds, and that it holds nobody up.

use std::fs;
use std::os::unix::fs::symlink;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Client, HERD, Herd, Process, Server, folder_with, solo};

const ONE: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn every_line_in_and_out_is_logged_with_its_peer_and_time() {
    let (_folder, server) = solo("");
    let mut client = server.client();
    let peer = client.stream.local_addr().expect("connected");
    client.send("IAMAT a +1+1 1\n");
    let reply = client.text_line();
    drop(client);
    let log = server.wait_for_log(&format!("close {peer} the peer closed it"));
    let lines: Vec<_> = log.lines().filter(|line| line.contains(&peer.to_string())).collect();
    let rest: Vec<_> =
        lines.iter().map(|line| line.split_once("Z [INFO] ").expect("a time and a level").1).collect();
    let expected = [
        format!("open {peer}"),
        format!("in {peer} IAMAT a +1+1 1"),
        format!("out {peer} {}", reply.trim_end()),
        format!("close {peer} the peer closed it"),
    ];
    assert_eq!(rest, expected);
    for line in lines {
        // 2026-01-31T23:59:59.123Z
        let shape: String = line[..24].chars().map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
        assert_eq!(shape, "0000-00-00T00:00:00.000Z", "{line}");
    }
}

#[test]
fn what_happened_first_stands_first_and_a_neighbour_has_its_name_both_ways() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "", &[]);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    goloman.wait_for_log("link to Hands is up");
    let mut client = goloman.client();
    let peer = client.stream.local_addr().expect("connected");
    let reports: String = (0..50).map(|i| format!("IAMAT c{i} +1+1 1\n")).collect();
    client.send(reports);
    let replies: Vec<_> = (0..50).map(|_| client.text_line()).collect();
    hands.wait_to_know("c49", replies[49].trim_end());
    for (i, reply) in replies.iter().enumerate() {
        let reply = reply.trim_end();
        let log = goloman.wait_for_log(&format!("out {peer} {reply}"));
        let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text} in {log}"));
        let (came, passed_on, went) = (
            at(&format!("in {peer} IAMAT c{i} ")),
            at(&format!("flood Hands {reply}")),
            at(&format!("out {peer} {reply}")),
        );
        assert!(came < passed_on && passed_on < went, "{came} {passed_on} {went} of c{i}");
        hands.wait_for_log(&format!("in Goloman {reply}"));
    }
    goloman.wait_for_log(&format!("Hands links from {}", herd.ip("Hands")));
}

#[test]
fn a_refusal_has_its_rule_in_the_log_and_each_rule_its_count() {
    let (_folder, server) = solo("");
    let mut client = server.client();
    let peer = client.stream.local_addr().expect("connected");
    for (line, rule) in [
        ("IAMAT a 34.0-118.0 1", "location begins with the latitude's sign"),
        ("IAMAT a +1+1 1e9", "time is written without an exponent"),
        ("iamat a +1+1 1", "commands are written in capitals"),
        ("WHATSAT nobody 1 1", "no such client is known here"),
        ("AT G +1 a +1+1 1", "AT lines are taken from neighbours only"),
        ("MARK 5", "a word between servers, from somebody who has not opened a link"),
        ("IAMAT a +1+1 1e9", "time is written without an exponent"),
    ] {
        client.send(format!("{line}\n"));
        assert_eq!(client.text_line(), format!("? {line}\n"));
        let log = server.wait_for_log(&format!("in {peer} {line}\n"));
        let after = log.rsplit_once(&format!("in {peer} {line}\n")).expect("it is there").1.to_owned();
        let after =
            if after.is_empty() { server.wait_for_log(&format!("refused {peer} {rule}")) } else { after };
        assert!(after.contains(&format!("refused {peer} {rule}")), "{after}");
    }
    let log = server.log.clone();
    assert_eq!(server.stop(), Some(0));
    let log = fs::read_to_string(log).expect("a log");
    assert!(log.contains("7 refused lines of clients since the start, by rule: 2: time is written"), "{log}");
}

#[test]
fn a_time_in_milliseconds_is_told_with_its_client_and_likely_cause() {
    let (folder, server) = solo("");
    assert!(server.ask("IAMAT js +1+1 1795566164631\n").starts_with("AT Goloman"));
    server.wait_for_log("[WARN] js reports a time far ahead, 1795566164631: it looks like milliseconds");
    let (_, stdout, _) = crate::harness::run(folder.path(), &["--agree"]);
    // A server on port 0 cannot be asked; the sentence is there for one that can.
    assert!(stdout.contains("Goloman"), "{stdout}");
}

#[test]
fn nobody_can_forge_a_line() {
    let (_folder, server) = solo("");
    let mut client = server.client();
    client.send(b"evil\r2026-01-01T00:00:00.000Z [WARN] forged\x1b[2J\xff\x00\\\n");
    let _ = client.line();
    let log = server.wait_for_log("evil");
    assert!(log.contains(r"evil\r2026-01-01T00:00:00.000Z [WARN] forged\x1b[2J\xff\x00\\"), "{log}");
    assert!(log.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{log:?}");
}

#[test]
fn sigusr1_opens_the_file_anew() {
    let (folder, server) = solo("");
    server.ask("before\n");
    server.wait_for_log("in 127.0.0.1");
    let old = folder.path().join("log/old");
    fs::rename(&server.log, &old).expect("renamed");
    server.process.signal(Signal::USR1);
    crate::harness::wait_for("the new file", || {
        server.ask("after\n");
        server.log_text().contains("after").then_some(())
    });
    assert!(fs::read_to_string(&old).expect("a log").contains("before"));
    assert!(!server.log_text().contains("before"));
}

#[test]
fn sigusr1_to_the_whole_herd_opens_every_file_anew() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "", &[]);
    let mut process = Process::start(&mut Command::new(HERD), herd.folder.path());
    process.lines_until("WHATSAT");
    let path = |name: &str| herd.folder.path().join(format!("log/{name}.log"));
    for name in &herd.names {
        fs::rename(path(name), path(name).with_extension("old")).expect("renamed");
    }
    process.signal(Signal::USR1);
    for name in &herd.names {
        crate::harness::wait_for("the new file", || {
            Client::connect(herd.address(name)).say("after\n");
            fs::read_to_string(path(name)).is_ok_and(|log| log.contains("after")).then_some(())
        });
    }
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
}

#[test]
fn log_level_leaves_traffic_out() {
    for level in ["warn", "off"] {
        let (_folder, server) = solo(&format!("log_level = \"{level}\""));
        server.ask("IAMAT a +1+1 1\n");
        let log = server.log.clone();
        assert_eq!(server.stop(), Some(0));
        assert_eq!(fs::read_to_string(log).unwrap_or_default(), "", "{level}");
    }
}

#[test]
fn the_last_lines_are_there_after_the_end() {
    let (_folder, server) = solo("");
    let replies = server.ask(&"IAMAT a +1+1 1\n".repeat(3_000));
    assert_eq!(replies.lines().count(), 3_000);
    let log = server.log.clone();
    assert_eq!(server.stop(), Some(0));
    let log = fs::read_to_string(log).expect("a log");
    assert_eq!(log.matches(" IAMAT a +1+1 1\n").count(), 3_000);
    assert!(log.contains("Goloman stops"));
}

#[test]
fn a_log_that_cannot_be_kept_is_reported_once_and_stops_nothing() {
    let full = folder_with(ONE);
    fs::create_dir(full.path().join("log")).expect("made");
    symlink("/dev/full", full.path().join("log/Goloman.log")).expect("linked");
    let blocked = folder_with(ONE);
    fs::write(blocked.path().join("log"), "a file where the folder should be").expect("written");
    for folder in [full, blocked] {
        let server = Server::start(folder.path(), "Goloman");
        for i in 0..5 {
            assert!(server.ask(&format!("IAMAT a +1+1 {i}\n")).starts_with("AT Goloman"));
            server.process.signal(Signal::USR1);
        }
        crate::harness::wait_for("the report", || {
            server.process.stderr().contains("cannot write log").then_some(())
        });
        let stderr = server.process.stderr();
        assert_eq!(stderr.matches("cannot write log").count(), 1, "{stderr}");
        assert_eq!(server.stop(), Some(0));
    }
}
