//! Lines at the limits of length and time: the default `max_line`, one write a reply, half-closes.

use std::io::Read;

use crate::harness::{Client, solo, wait_for};

#[test]
fn a_line_of_4096_bytes_is_a_command_and_one_more_byte_ends_the_connection() {
    let (_folder, server) = solo("");
    let id = "i".repeat(4_096 - "IAMAT  +1+1 1".len());
    let fits = format!("IAMAT {id} +1+1 1");
    assert_eq!(fits.len(), 4_096);
    for end in ["\n", "\r\n", ""] {
        let reply = server.ask(&format!("{fits}{end}"));
        assert!(reply.starts_with("AT Goloman +") && reply.ends_with(&format!(" {id} +1+1 1\n")), "{reply}");
    }
    let mut client = server.client();
    client.send(format!("? a\n{fits}2\n"));
    assert_eq!(client.text_line(), "? ? a\n");
    assert_eq!(client.text_line(), format!("? {fits}\n"));
    assert!(client.is_ended());
    // Without its newline a carriage return belongs to the line.
    assert_eq!(server.ask(&format!("{fits}\r")), format!("? {fits}\n"));
}

#[test]
fn an_over_long_lines_reply_is_not_lost_on_a_client_that_sends_on_before_it_reads() {
    let (_folder, server) = solo("");
    for round in 0..5 {
        let mut client = server.client();
        let peer = client.stream.local_addr().expect("connected");
        client.send("o".repeat(4_097));
        server.wait_for_log(&format!("refused {peer} "));
        for _ in 0..50 {
            client.send("n".repeat(10_000));
        }
        assert_eq!(client.text_line(), format!("? {}\n", "o".repeat(4_096)), "round {round}");
        assert!(client.is_ended());
    }
}

/// What one read brings, once something is there.
fn one_read(client: &mut Client) -> String {
    let mut bytes = vec![0; 100_000];
    let count = client.stream.read(&mut bytes).expect("a reply");
    String::from_utf8_lossy(&bytes[..count]).into_owned()
}

#[test]
fn a_reply_leaves_in_one_write_however_many_lines_it_has() {
    let (_folder, server) = solo("");
    let mut client = server.client();
    client.send("IAMAT a +34.068930-118.445127 1\n");
    let at = one_read(&mut client);
    assert!(at.starts_with("AT Goloman ") && at.ends_with(" 1\n"), "{at}");
    for _ in 0..50 {
        client.send("WHATSAT a 10 5\n");
        let reply = one_read(&mut client);
        assert!(reply.starts_with(&at) && reply.ends_with("}\n\n"), "{reply}");
    }
}

#[test]
fn commands_on_both_sides_of_a_pause_are_answered_and_so_is_a_stump_at_the_half_close() {
    let (_folder, server) = solo("");
    let mut client = server.client();
    let peer = client.stream.local_addr().expect("connected");
    client.send("one\nIAM");
    assert_eq!(client.text_line(), "? one\n");
    // The server has the first half for certain now, and answers it no sooner than it is whole.
    client.send("AT a +1+1 1\r\ntwo\r\n\r\n \nthr");
    assert!(client.text_line().ends_with(" a +1+1 1\n"));
    assert_eq!(client.text_line(), "? two\n");
    client.send("ee\r");
    client.half_close();
    assert_eq!(client.rest(), b"? three\r\n", "only a CRLF's CR is no part of the line");
    wait_for("the close", || server.log_text().contains(&format!("close {peer} ")).then_some(()));
}

#[test]
fn a_line_that_grew_too_long_behind_unsent_replies_is_refused_once_they_are_read() {
    let (_folder, server) = solo("max_unsent = 4096");
    let mut client = server.client();
    // As many replies as may be unsent, to the last line, and behind it one that has no end.
    let refused = "r".repeat(1_021);
    let lines = format!("{refused}\n").repeat(4);
    client.send(format!("{lines}{}", "o".repeat(4_097)));
    for _ in 0..4 {
        assert_eq!(client.text_line(), format!("? {refused}\n"));
    }
    assert_eq!(client.text_line(), format!("? {}\n", "o".repeat(4_096)));
    assert!(client.is_ended());
}

#[test]
fn a_half_close_without_reading_still_gets_every_reply() {
    let (_folder, server) = solo("max_unsent = 4096");
    let mut client = server.client();
    let lines: String = (0..20_000).map(|i| format!("{i}\n")).collect();
    client.send(&lines);
    client.half_close();
    let expected: String = (0..20_000).map(|i| format!("? {i}\n")).collect();
    assert!(client.rest() == expected.as_bytes(), "every reply in order and no byte more");
}
