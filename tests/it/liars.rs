//! A listener that has proven who it is, and lies to whoever dials it: what each of its words costs is in the table of
//! docs/links.md.

use std::io::Read;
use std::net::TcpListener;

use crate::harness::{Herd, LinkEnd, Server};

/// Three heartbeats without a word are the end of a link. That is long enough for a liar of these tests whom a busy machine
/// keeps from its answer.
const QUICK: &str = "timing.heartbeat_ms = 3000\ntiming.compare_ms = 300\nlog_level = \"debug\"";

/// Goloman, and who listens in the place of Hands, its neighbour.
fn with_liar(settings: &str) -> (Herd, TcpListener, Server) {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], settings, &[]);
    let hands = herd.listen_as("Hands");
    let goloman = herd.start("Goloman");
    (herd, hands, goloman)
}

fn report(server: &Server, client: &str) -> String {
    server.ask(&format!("IAMAT {client} +1+1 5\n"))
}

/// Takes the next connection, and answers as a start of Hands that has `seen` and knows `count` clients, and has the same
/// herd.conf: who has another is dialled anew, to be asked again.
fn greet(listener: &TcpListener, incarnation: u64, seen: u32, count: u64) -> LinkEnd {
    let mut end = LinkEnd::of(listener.accept().expect("the link").0);
    let hello = end.line();
    assert!(hello.starts_with("HERD 1 Goloman "));
    let conf = hello.split_whitespace().nth(5).expect("its herd.conf");
    end.say(&format!("HERD 1 Hands {incarnation:016x} {:032x} {seen} {count} - {conf} 1\n", 2));
    assert_eq!(end.line(), "PROOF -\n");
    end
}

/// The next line that begins so; clocks are answered on the way.
fn line_of(end: &mut LinkEnd, word: &str) -> String {
    loop {
        let line = end.line();
        if line.starts_with(word) {
            return line;
        }
        assert!(!line.is_empty(), "it closed the link before {word}");
        if let Some(reading) = line.strip_prefix("TIME ") {
            let now_ns = reading.split(' ').next().expect("a reading");
            end.say(&format!("TIME 1 {now_ns} 0 0 0\n"));
        }
    }
}

#[test]
fn what_was_never_marked_is_not_believed_to_have_come() {
    let (_herd, hands, goloman) = with_liar(QUICK);
    let at = report(&goloman, "kiwi");
    let mut end = greet(&hands, 1, u32::MAX, 0);
    assert_eq!(line_of(&mut end, "AT "), at);
    goloman.wait_for_log(
        "[WARN] Hands confirms what this server never marked (SEEN 4294967295 in its greeting)",
    );
    // The first one may be of nothing, as the link came up before an epoch was closed.
    let mark = loop {
        let mark = line_of(&mut end, "MARK ");
        if mark != "MARK 0\n" {
            break mark;
        }
    };
    end.say("SEEN 4294967295\nSEEN 99999999999\n");
    // It goes on as if nothing had been said, and so does what waits to be confirmed.
    assert_eq!(line_of(&mut end, "MARK "), mark);
    let next = report(&goloman, "fig");
    assert_eq!(line_of(&mut end, "AT "), next);
    drop(end);
    // It is sent the same again.
    let mut end = greet(&hands, 1, 0, 0);
    let all = [line_of(&mut end, "AT "), line_of(&mut end, "AT ")];
    assert!(all.contains(&at) && all.contains(&next), "{all:?}");
}

#[test]
fn a_start_that_says_it_knows_something_is_asked_once_and_one_that_knows_nothing_is_sent_all() {
    let (_herd, hands, goloman) = with_liar(QUICK);
    let at = report(&goloman, "kiwi");
    let nothing = format!("DIGEST - - 0 {}\n", "0".repeat(16 * 256));
    for incarnation in 1..5 {
        let mut end = greet(&hands, incarnation, 0, 7);
        assert_eq!(line_of(&mut end, "ASK "), "ASK - -\n");
        end.say(&nothing);
        // A second answer to one question is nothing.
        end.say(&nothing);
        assert_eq!(line_of(&mut end, "AT "), at);
        assert!(line_of(&mut end, "MARK ").starts_with("MARK "));
    }
    let mut end = greet(&hands, 9, 0, 0);
    assert_eq!(line_of(&mut end, "AT "), at);
    // And so is one that does not answer.
    drop(end);
    let (_herd, hands, goloman) = with_liar("timing.digest_wait_ms = 100");
    let at = report(&goloman, "kiwi");
    let mut end = greet(&hands, 1, 0, 7);
    assert_eq!(line_of(&mut end, "AT "), at);
}

#[test]
fn a_digest_of_less_or_more_than_was_asked_for_costs_the_liar_its_share_and_nobody_else() {
    let (_herd, hands, goloman) = with_liar(&format!("forget_after = \"1h\"\n{QUICK}"));
    report(&goloman, "kiwi");
    let mut end = greet(&hands, 1, 0, 0);
    assert!(line_of(&mut end, "AT ").contains("kiwi"));
    let mark = line_of(&mut end, "MARK ");
    end.say(&mark.replace("MARK", "SEEN"));
    let asked = line_of(&mut end, "ASK ");
    let zeros = "0".repeat(16 * 256);
    // Before all that is known nothing differs, and with that they are the same.
    end.say(&format!("DIGEST 5 9 0 {zeros}\n"));
    let next = report(&goloman, "fig");
    assert_eq!(line_of(&mut end, "AT "), next, "nothing was sent again");
    // Of more than was asked for it is no answer: the question is asked again.
    assert!(asked.starts_with("ASK - 1"), "{asked}");
    assert!(line_of(&mut end, "ASK ").starts_with("ASK - 1"));
    end.say(&format!("DIGEST - - 0 {zeros}\n"));
    let last = report(&goloman, "plum");
    assert_eq!(line_of(&mut end, "AT "), last, "nothing was sent again");
}

#[test]
fn another_server_of_the_name_is_told_once_a_minute_however_often_it_is_said() {
    let (_herd, hands, goloman) = with_liar(QUICK);
    let mut end = greet(&hands, 1, 0, 0);
    end.say(&"TWIN 10.0.0.1:5\nTWIN \u{1b}[2J\n".repeat(200));
    let at = report(&goloman, "kiwi");
    assert_eq!(line_of(&mut end, "AT "), at);
    goloman.wait_for_log(
        "another server calls itself Goloman, as we do: Hands has a link from it at 10.0.0.1:5",
    );
    // What was said before the answer to a mark is heard by then.
    let mark = line_of(&mut end, "MARK ");
    end.say(&mark.replace("MARK", "SEEN"));
    let next = report(&goloman, "fig");
    assert_eq!(line_of(&mut end, "AT "), next);
    assert_eq!(goloman.log_text().matches("another server calls itself").count(), 1);
}

#[test]
fn who_is_refused_comes_again_whatever_the_reason() {
    let (_herd, hands, goloman) = with_liar(QUICK);
    for why in ["unknown", "elsewhere", "unproven", "turn", "random", "\u{1b}[2J", &"x".repeat(9_000)] {
        let mut end = LinkEnd::of(hands.accept().expect("the link").0);
        let hello = end.line();
        end.say(&format!("? {hello}DENIED {why}\n"));
        // It closes, or resets where it read the first line only.
        let mut rest = Vec::new();
        let _ = end.reader.read_to_end(&mut rest);
        assert_eq!(rest, b"", "{why}");
    }
    let log = goloman.wait_for_log("link to Hands is down");
    assert!(!log.contains('\u{1b}') && !log.contains(&"x".repeat(2_000)));
    let at = report(&goloman, "kiwi");
    let mut end = greet(&hands, 1, 0, 0);
    assert_eq!(line_of(&mut end, "AT "), at);
    // Later on, too.
    end.say("DENIED unknown\n");
    drop(end);
    let mut end = greet(&hands, 1, 0, 0);
    assert_eq!(line_of(&mut end, "AT "), at);
}

#[test]
fn a_neighbour_that_is_silent_or_says_a_line_without_end_is_down() {
    let (_herd, hands, goloman) = with_liar("timing.heartbeat_ms = 200");
    let mut end = greet(&hands, 1, 0, 0);
    end.say(&"x".repeat(20_000));
    goloman.wait_for_log("link to Hands is down: it says a line without end");
    drop(end);
    let end = greet(&hands, 1, 0, 0);
    goloman.wait_for_log("link to Hands is down: it said nothing for 0.6 s");
    drop(end);
}
