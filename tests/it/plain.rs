//! Neighbours of another implementation: one AT line a connection, and none is lost while they are away.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::TcpListener;

use crate::harness::{Client, HANG, Herd, wait_for};

fn with_plain() -> Herd {
    Herd::new(&["Goloman", "Plain"], &[("Goloman", "Plain")], "", &[("Plain", "plain = true")])
}

/// Takes connections until each of `lines` has come on one of its own; an empty one is a try.
/// Returns all that came.
fn collect(listener: &TcpListener, lines: &[String]) -> Vec<String> {
    let mut heard = Vec::new();
    let mut missing: BTreeSet<_> = lines.iter().map(|line| line.as_bytes().to_vec()).collect();
    while !missing.is_empty() {
        let (mut stream, _) = listener.accept().expect("accepted");
        stream.set_read_timeout(Some(HANG)).expect("set");
        let mut said = Vec::new();
        stream.read_to_end(&mut said).expect("a line and the end");
        let newlines = said.iter().filter(|&&byte| byte == b'\n').count();
        assert!(newlines <= 1, "{}", said.escape_ascii());
        missing.remove(&said);
        heard.push(String::from_utf8(said).expect("text"));
    }
    heard
}

#[test]
fn a_plain_neighbour_that_starts_late_gets_what_was_told_before() {
    let herd = with_plain();
    let goloman = herd.start("Goloman");
    let lines: Vec<_> = (0..5).map(|i| goloman.ask(&format!("IAMAT c{i} +1+1 1\n"))).collect();
    // It has been dialled in vain by now.
    goloman.wait_for_log("link to Plain is down");
    collect(&herd.listen_as("Plain"), &lines);
}

#[test]
fn a_plain_neighbour_that_was_away_gets_what_it_missed() {
    let herd = with_plain();
    let plain = herd.listen_as("Plain");
    let goloman = herd.start("Goloman");
    let mut lines = vec![goloman.ask("IAMAT first +1+1 1\n")];
    collect(&plain, &lines);
    drop(plain);
    lines.extend((0..50).map(|i| goloman.ask(&format!("IAMAT c{i} +1+1 1\n"))));
    goloman.wait_for_log("link to Plain is down");
    collect(&herd.listen_as("Plain"), &lines);
    goloman.wait_for_log("link to Plain is up");
}

#[test]
fn a_plain_neighbour_that_returns_gets_what_it_missed_and_all_only_if_so_configured() {
    for (refill, expects_all) in [("plain = true", false), ("plain = true\nrefill = true", true)] {
        let debug = "log_level = \"debug\"";
        let herd = Herd::new(&["Goloman", "Plain"], &[("Goloman", "Plain")], debug, &[("Plain", refill)]);
        let plain = herd.listen_as("Plain");
        let goloman = herd.start("Goloman");
        let before = goloman.ask("IAMAT before +1+1 1\n");
        collect(&plain, std::slice::from_ref(&before));
        // By the second mark nothing has been waiting for seconds.
        wait_for("two marks", || {
            (goloman.log_text().matches("is on its way to all links").count() >= 2).then_some(())
        });
        drop(plain);
        let missed = goloman.ask("IAMAT missed +1+1 1\n");
        goloman.wait_for_log("link to Plain is down");
        let plain = herd.listen_as("Plain");
        let heard = collect(&plain, std::slice::from_ref(&missed));
        if expects_all && !heard.contains(&before) {
            collect(&plain, &[before]);
        } else {
            assert_eq!(heard.contains(&before), expects_all);
        }
    }
}

#[test]
fn the_eof_of_a_plain_neighbour_ends_its_line_and_no_later_one_of_a_cut_link() {
    let herd = with_plain();
    let goloman = herd.start("Goloman");
    let say = |lines: &str| Client::connect_from(herd.ip("Plain"), goloman.address).say(lines);
    assert_eq!(say("AT Plain +0.5 one +1+1 15"), "");
    goloman.wait_to_know("one", "AT Plain +0.5 one +1+1 15");
    // A server that shares the plain one's address is cut off in its second line.
    assert_eq!(say("AT Plain +0.5 whole +1+1 15\nAT Plain +0.5 cut +1+1 15"), "");
    goloman.wait_to_know("whole", "AT Plain +0.5 whole +1+1 15");
    goloman.wait_for_log("it ended without its newline");
    assert_eq!(goloman.knows("cut"), None);
}
