//! What herd speaks, to the byte, over a socket.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::harness::{Client, Herd, solo};

const KIWI: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997";

/// A reply with the difference, which depends on the clock, as `DIFF`.
fn masked(reply: &str) -> String {
    let mask = |line: &str| {
        let mut fields: Vec<&str> = line.split(' ').collect();
        if fields.len() == 6 && fields[0] == "AT" {
            fields[2] = "DIFF";
        }
        fields.join(" ")
    };
    reply.split('\n').map(mask).collect::<Vec<_>>().join("\n")
}

fn now_ns() -> i128 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as i128
}

#[test]
fn replies_are_right_to_the_byte() {
    let (_folder, server) = solo("");
    let check = |sent: &[u8], expected: &[u8]| {
        let mut client = server.client();
        client.send(sent);
        client.half_close();
        let reply = String::from_utf8_lossy(&client.rest()).into_owned();
        let expected = String::from_utf8_lossy(expected);
        assert_eq!(masked(&reply), expected, "to {}", sent.escape_ascii());
    };
    check(b"", b"");
    check(b"\n \t\n\r\n", b"");
    check(b"IAMAT a +1-1 5\n", b"AT Goloman DIFF a +1-1 5\n");
    check(b"IAMAT a +1-1 5\r\n", b"AT Goloman DIFF a +1-1 5\n");
    check(b"IAMAT a +1-1 5", b"AT Goloman DIFF a +1-1 5\n");
    check(b" \tIAMAT\x0b\x0ca\r +1-1   5 \n", b"AT Goloman DIFF a +1-1 5\n");
    check(b"hello  world \n", b"? hello  world \n");
    check(b"hello\r\n", b"? hello\n");
    check(b"hello\r\r\n", b"? hello\r\n");
    check(b"iamat a +1-1 5\n", b"? iamat a +1-1 5\n");
    check(b"IAMAT a 1-1 5\n", b"? IAMAT a 1-1 5\n");
    check(b"IAMAT a +91+1 5\n", b"? IAMAT a +91+1 5\n");
    check(b"IAMAT a +1+1 nan\n", b"? IAMAT a +1+1 nan\n");
    check(b"IAMAT a +1+1 1.0000000001\n", b"? IAMAT a +1+1 1.0000000001\n");
    check(b"WHATSAT nobody 10 5\n", b"? WHATSAT nobody 10 5\n");
    check(b"WHATSAT a 51 5\n", b"? WHATSAT a 51 5\n");
    check(b"WHATSAT a 10 21\n", b"? WHATSAT a 10 21\n");
    check(b"NEAR +1-1 10 1\n", b"AT Goloman DIFF a +1-1 5\n\n");
    check(b"NEAR +2-1 10 1\n COUNT \n", b"\nCOUNT 1\n");
    check(b"NEAR +1-1 20038 1\n", b"? NEAR +1-1 20038 1\n");
    check(b"NEAR +1-1 10 1001\n", b"? NEAR +1-1 10 1001\n");
    check(b"NEAR a 10 1\nCOUNT 1\n", b"? NEAR a 10 1\n? COUNT 1\n");
    check(b"AT Hands +0.1 a +1+1 9\n", b"? AT Hands +0.1 a +1+1 9\n");
    check(b"one\n\n \ntwo\nIAMAT b +1+1 1\nthree", b"? one\n? two\nAT Goloman DIFF b +1+1 1\n? three\n");
    let mut raw = server.client();
    raw.send(b"IAMAT \xff\x00\xfe +1+1 1\n? \xf0\n");
    let reply = raw.line();
    assert!(reply.ends_with(b" \xff\x00\xfe +1+1 1\n"), "{}", reply.escape_ascii());
    assert_eq!(raw.line(), b"? ? \xf0\n");
}

#[test]
fn the_difference_is_the_servers_clock_minus_the_clients() {
    let (_folder, server) = solo("");
    let before = now_ns();
    let reply = server.ask(&format!("{KIWI}\n"));
    let after = now_ns();
    let fields: Vec<_> = reply.trim_end().split(' ').collect();
    assert_eq!(fields[3..].join(" "), &KIWI["IAMAT ".len()..]);
    let difference = fields[2].strip_prefix('+').expect("a sign");
    let (seconds, nanos) = difference.split_once('.').expect("a point");
    assert_eq!(nanos.len(), 9, "{difference}");
    let difference_ns: i128 = format!("{seconds}{nanos}").parse().expect("digits");
    let received = difference_ns + 1_520_023_934_918_963_997;
    assert!((before..=after).contains(&received), "{before} {received} {after}");
    let future = server.ask("IAMAT b +1+1 99999999999999999999\n");
    assert!(future.starts_with("AT Goloman -9999999999"), "{future}");
}

#[test]
fn commands_may_be_split_and_joined_anyhow() {
    let (_folder, server) = solo("");
    let mut client = server.client();
    for byte in format!("{KIWI}\r\nfoo\n").bytes() {
        client.send([byte]);
    }
    assert_eq!(masked(&client.text_line()), format!("AT Goloman DIFF {}\n", &KIWI[6..]));
    assert_eq!(client.text_line(), "? foo\n");
    let many: String = (0..5_000).map(|i| format!("IAMAT c{i} +1+1 {i}\n? {i}\n")).collect();
    let mut writer = client.stream.try_clone().expect("cloned");
    let sending = std::thread::spawn(move || std::io::Write::write_all(&mut writer, many.as_bytes()));
    for i in 0..5_000 {
        assert_eq!(masked(&client.text_line()), format!("AT Goloman DIFF c{i} +1+1 {i}\n"));
        assert_eq!(client.text_line(), format!("? ? {i}\n"));
    }
    sending.join().expect("joined").expect("sent");
}

#[test]
fn the_newest_report_stays_and_an_older_one_is_only_answered() {
    let (_folder, server) = solo("");
    let first = server.ask("IAMAT a +1+1 10.5\n");
    assert_eq!(masked(&server.ask("IAMAT a +2+2 10.499999999\n")), "AT Goloman DIFF a +2+2 10.499999999\n");
    assert_eq!(masked(&server.ask("IAMAT a +1+1 10.5\n")), "AT Goloman DIFF a +1+1 10.5\n");
    assert_eq!(server.knows("a").as_deref(), Some(first.trim_end()), "nothing changed");
    let newer = server.ask("IAMAT a +3+3 10.500000001\n");
    assert_eq!(server.knows("a").as_deref(), Some(newer.trim_end()));
}

#[test]
fn an_over_long_line_is_answered_in_part_and_ends_the_connection() {
    let (_folder, server) = solo("max_line = 200");
    let fits = "x".repeat(200);
    assert_eq!(server.ask(&format!("{fits}\n{fits}\n")), format!("? {fits}\n? {fits}\n"));
    for end in ["\n", "\nIAMAT a +1+1 1\n", ""] {
        let mut client = server.client();
        client.send(format!("first\n{}{end}", "y".repeat(201)));
        assert_eq!(client.text_line(), "? first\n");
        assert_eq!(client.text_line(), format!("? {}\n", "y".repeat(200)));
        assert_eq!(client.rest(), b"", "closed in good order after {end:?}");
    }
    // A client that is still sending gets the reply all the same.
    let mut client = server.client();
    client.send("z".repeat(300_000));
    assert_eq!(client.text_line(), format!("? {}\n", "z".repeat(200)));
    // By a FIN: a reset could have taken the reply away on its way.
    client.half_close();
    assert_eq!(client.rest(), b"");
}

#[test]
fn one_shot_closes_after_the_first_reply() {
    let (_folder, server) = solo("connections = \"one-shot\"");
    for (sent, expected) in [
        ("IAMAT a +1+1 1\nIAMAT b +1+1 1\n", "AT Goloman DIFF a +1+1 1\n"),
        ("\n\n? no\nIAMAT b +1+1 1\n", "? ? no\n"),
    ] {
        let mut client = server.client();
        client.send(sent);
        assert_eq!(masked(&client.text_line()), expected);
        assert!(client.is_ended());
    }
    let mut client = server.client();
    client.send("WHATSAT a 0 0\nmore\n");
    let reply = String::from_utf8(client.rest()).expect("text");
    assert!(reply.starts_with("AT Goloman") && reply.ends_with("}\n\n"), "{reply}");
}

#[test]
fn a_report_too_far_ahead_is_refused_when_so_configured() {
    let (_folder, server) = solo("max_ahead = \"24h\"");
    let seconds = now_ns() / 1_000_000_000;
    let soon = format!("IAMAT a +1+1 {}\n", seconds + 86_000);
    assert!(server.ask(&soon).starts_with("AT Goloman -8"), "{soon}");
    let late = format!("IAMAT a +1+1 {}\n", seconds + 87_000);
    assert_eq!(server.ask(&late), format!("? {late}"));
}

/// Goloman with a neighbour Hands and a plain one, Plain, both played by the test.
fn with_neighbours() -> Herd {
    let edges = [("Goloman", "Hands"), ("Goloman", "Plain")];
    Herd::new(&["Goloman", "Hands", "Plain"], &edges, "", &[("Plain", "plain = true")])
}

#[test]
fn at_lines_count_only_from_neighbours() {
    let herd = with_neighbours();
    let goloman = herd.start("Goloman");
    assert_eq!(goloman.ask("AT Hands +0.1 a +1+1 9\n"), "? AT Hands +0.1 a +1+1 9\n");
    let hands = || Client::connect_from(herd.ip("Hands"), goloman.address);
    assert_eq!(hands().say("AT Hands  +0.1234567890123 a +1+1 9 \n\n"), "");
    goloman.wait_to_know("a", "AT Hands +0.1234567890123 a +1+1 9");
    assert_eq!(hands().say("AT Hands +0.1 a +1+1 nan\nAT\nAT Hands 0.1 a +1+1 99\n"), "");
    goloman.wait_for_log("dropped an AT line");
    assert_eq!(goloman.knows("a").as_deref(), Some("AT Hands +0.1234567890123 a +1+1 9"));
    assert_eq!(hands().say("hello\n"), "? hello\n");
}

#[test]
fn an_at_line_may_be_twice_as_long_as_a_clients_line() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "max_line = 200", &[]);
    let servers = herd.start_all();
    let client = "c".repeat(200 - "IAMAT  +1+1 1".len());
    let line = servers[0].ask(&format!("IAMAT {client} +1+1 1\n"));
    assert!(line.len() > 202);
    servers[1].wait_to_know(&client, line.trim_end());
}

#[test]
fn a_link_that_dies_in_the_middle_of_a_line_teaches_nothing() {
    let herd = with_neighbours();
    let goloman = herd.start("Goloman");
    let line = "AT Hands +0.1 stump +34.068930-118.445127 1520023934.918963997";
    for end in 1..=line.len() {
        assert_eq!(
            Client::connect_from(herd.ip("Hands"), goloman.address).say(&line[..end]),
            "".to_owned() + &refusal(&line[..end])
        );
    }
    assert_eq!(goloman.knows("stump"), None);
    assert_eq!(Client::connect_from(herd.ip("Plain"), goloman.address).say(line), "");
    goloman.wait_to_know("stump", line);
}

/// What is no AT line at all is answered even to a neighbour.
fn refusal(stump: &str) -> String {
    if stump.starts_with("AT ") || stump == "AT" { String::new() } else { format!("? {stump}\n") }
}
