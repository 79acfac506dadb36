//! Connections end when their time is up, not before, and none stays when it is.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::harness::{Client, Herd, Server, solo, wait_for};

/// Lets a length of time pass that is itself what the test is about.
fn pass(time: Duration) {
    let begun = Instant::now();
    wait_for("time to pass", || (begun.elapsed() >= time).then_some(()));
}

/// Waits until the server has closed the connection of a client that does not close its own.
fn wait_for_close(server: &Server, client: &Client, why: &str) {
    let peer = client.stream.local_addr().expect("connected");
    server.wait_for_log(&format!("close {peer} {why}"));
}

#[test]
fn a_connection_that_is_done_with_is_closed_though_the_client_keeps_its_end() {
    for (settings, sent, why) in [
        ("max_line = 128\nidle_timeout_s = 0", "x".repeat(129), "its line is longer than max_line"),
        ("connections = \"one-shot\"\nidle_timeout_s = 0", "hello\n".to_owned(), "one-shot"),
    ] {
        let (_folder, server) = solo(settings);
        let mut client = server.client();
        client.send(sent);
        assert!(client.text_line().starts_with("? "));
        assert!(client.is_ended(), "{why}");
        wait_for_close(&server, &client, why);
    }
}

#[test]
fn a_reader_slower_than_the_idle_timeout_is_not_idle() {
    let (_folder, server) = solo("idle_timeout_s = 1\nmax_unsent = 4096");
    let mut client = server.client();
    let mut writer = client.stream.try_clone().expect("cloned");
    let lines: Vec<_> = (0..100_000).map(|i| format!("IAMAT slow +1+1 {i}\n")).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(lines.concat().as_bytes()).expect("sent"));
        pass(Duration::from_millis(2_500));
        for i in 0..lines.len() {
            let reply = client.text_line();
            assert!(reply.ends_with(&format!(" slow +1+1 {i}\n")), "{reply:?} for {i}");
        }
    });
}

#[test]
fn a_link_is_never_idle() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "idle_timeout_s = 1", &[]);
    let servers = herd.start_all();
    servers.iter().for_each(|server| {
        server.wait_for_log("link to");
    });
    let mut line = String::new();
    for (round, server) in servers.iter().enumerate() {
        line = server.ask(&format!("IAMAT c{round} +1+1 1\n"));
    }
    servers[0].wait_to_know("c1", line.trim_end());
    let idle = servers[0].client();
    // Once a client has been found idle, a link would have been, too.
    wait_for_close(&servers[0], &idle, "idle");
    pass(Duration::from_millis(1_500));
    for server in &servers {
        // A connection that has brought an AT line is a link; before that it may be a client.
        let log = server.log_text();
        let links = log.lines().filter(|line| line.contains(" AT ") && line.contains("] in "));
        let links: Vec<_> = links.filter_map(|line| line.split(' ').nth(3)).collect();
        assert!(!links.is_empty(), "{log}");
        links.iter().for_each(|link| assert!(!log.contains(&format!("close {link} idle")), "{log}"));
    }
}

#[test]
fn a_client_that_does_not_read_an_over_long_lines_reply_is_closed() {
    let (_folder, server) = solo("max_line = 128\nwrite_timeout_s = 1\nmax_unsent = 4096");
    let mut client = server.client();
    client.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("set");
    while client.stream.write_all("hello world\n".repeat(1_000).as_bytes()).is_ok() {}
    wait_for_close(&server, &client, "it does not read its replies");
    assert!(!client.rest_until_error().is_empty());
}

/// A server alone with one connection, so that nobody else's deadline makes it look at this one's.
fn alone_with(settings: &str) -> (Herd, Server) {
    let settings = format!("{settings}\nwrite_timeout_s = 1");
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], &settings, &[]);
    let server = herd.start("Goloman");
    (herd, server)
}

#[test]
fn a_greeting_that_goes_no_further_ends_by_itself_on_a_server_that_does_nothing_else() {
    let (herd, goloman) = alone_with("idle_timeout_s = 0\ntiming.greeting_ms = 300");
    let mut dialler = Client::connect_from(herd.ip("Hands"), goloman.address);
    dialler.send(format!("HERD 1 Hands {:016x} {:032x}\n", 7, 8));
    assert!(dialler.text_line().starts_with("HERD 1 Goloman "));
    assert!(dialler.is_ended());
    wait_for_close(&goloman, &dialler, "it did not prove who it is");
}

#[test]
fn an_idle_connection_ends_by_itself_on_a_server_that_does_nothing_else() {
    for said in ["", "IAMAT a +1+1 1\n", "IAMAT half", "\n"] {
        let (_herd, goloman) = alone_with("idle_timeout_s = 1");
        let mut client = goloman.client();
        client.send(said);
        if said.ends_with("1\n") {
            assert!(client.text_line().starts_with("AT Goloman"));
        }
        assert!(client.is_ended(), "{said:?}");
        wait_for_close(&goloman, &client, "idle");
    }
}

#[test]
fn one_that_asks_and_does_not_read_ends_by_itself_on_a_server_that_does_nothing_else() {
    let (herd, goloman) = alone_with("idle_timeout_s = 0\nmax_unsent = 4096");
    let mut asker = Client::connect_from(herd.ip("Hands"), goloman.address);
    asker.send(format!("HERD 1 - {:016x} {:032x}\nPROOF -\n", 7, 8));
    assert!(asker.text_line().starts_with("HERD 1 Goloman "));
    asker.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("set");
    while asker.stream.write_all(&b"ASK - -\n".repeat(1_000)).is_ok() {}
    wait_for_close(&goloman, &asker, "it does not read its replies");
}

#[test]
fn a_connection_ends_by_itself_after_a_lookup_as_after_any_reply() {
    let (_herd, goloman) = alone_with("idle_timeout_s = 1");
    let mut client = goloman.client();
    client.send("IAMAT kiwi +34.068930-118.445127 1\nWHATSAT kiwi 10 1\n");
    assert!(client.text_line().starts_with("AT Goloman"));
    assert!(client.text_line().starts_with("AT Goloman"));
    wait_for_close(&goloman, &client, "idle");
}
