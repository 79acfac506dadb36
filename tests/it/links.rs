//! Links between servers: what a returning neighbour is sent, and how servers are brought to agree.

use std::fs;

use crate::harness::{Client, GOLOMAN_AND_HANDS, Herd, LinkEnd, ONE_LINK, run};
use crate::secrets::{OLD, write_secret};

#[test]
fn a_returning_neighbour_is_sent_only_what_it_lacks() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let hands = herd.listen_as("Hands");
    let goloman = herd.start("Goloman");
    let first: Vec<_> = (0..50).map(|i| goloman.tell(&format!("first{i}"))).collect();
    let mut link = LinkEnd::accept(&hands, "Hands");
    let mut heard: Vec<_> = first.iter().map(|_| link.line().trim_end().to_owned()).collect();
    heard.sort();
    let mut sorted = first.clone();
    sorted.sort();
    assert_eq!(heard, sorted);
    // The first mark may be of nothing, as the link came up before an epoch was closed.
    let epoch = loop {
        let mark = link.line();
        let epoch = mark.strip_prefix("MARK ").expect(&mark).trim_end().to_owned();
        if epoch != "0" {
            break epoch;
        }
    };
    drop(link);
    let second = goloman.tell("second");
    let mut link = LinkEnd::accept_having(&hands, "Hands", &epoch);
    assert_eq!(link.line().trim_end(), second, "and nothing of what was marked");
}

#[test]
fn stores_that_differ_though_the_link_was_never_down_are_mended() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "timing.compare_ms = 500", &[]);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    hands.wait_to_know("kiwi", &goloman.tell("kiwi"));
    // Somebody speaks as this very start of Goloman and keeps from it what it says: only Hands knows
    // of it, and has no reason to pass it back.
    let mut asked = Client::connect_from(herd.ip("Hands"), goloman.address);
    asked.send(format!("HERD 1 Hands {:016x} {:032x}\n", 7, 8));
    let welcome = asked.text_line();
    let incarnation = welcome.split(' ').nth(3).expect("an incarnation");
    let mut other = Client::connect_from(herd.ip("Goloman"), hands.address);
    other.send(format!("HERD 1 Goloman {incarnation} {:032x}\n", 8));
    assert!(other.text_line().starts_with("HERD 1 Hands "));
    other.send("PROOF -\nAT Goloman +0.5 kept +1+1 5\n");
    hands.wait_to_know("kept", "AT Goloman +0.5 kept +1+1 5");
    goloman.wait_to_know("kept", "AT Goloman +0.5 kept +1+1 5");
    hands.wait_for_log("sending what differs");
    let (status, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert_eq!(status, Some(0), "{stdout}");
    assert_eq!(stdout.matches(" 2  ").count(), 2, "{stdout}");
}

/// A report that takes all of the default max_line, and what a server makes of it.
fn long_report(client: &str) -> String {
    format!("IAMAT {client}{} +1+1 1\n", "x".repeat(3_000))
}

#[test]
fn a_record_longer_than_max_line_hides_none_of_those_behind_it() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let goloman = herd.start("Goloman");
    let long = goloman.ask(&long_report("long"));
    assert!(long.starts_with("AT Goloman"));
    let lines: Vec<_> = (0..200).map(|i| goloman.tell(&format!("c{i}"))).collect();
    assert_eq!(goloman.stop(), Some(0));
    // What clients say is shorter from here on; what servers say to each other is not.
    let conf = herd.folder.path().join("herd.conf");
    let text = fs::read_to_string(&conf).expect("text");
    fs::write(&conf, format!("max_line = 128\n{text}")).expect("written");
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    for (i, line) in lines.iter().enumerate() {
        hands.wait_to_know(&format!("c{i}"), line);
    }
    let (status, stdout, _) = run(herd.folder.path(), &["--agree", "--wait", "10s"]);
    assert_eq!(status, Some(0), "{stdout}");
    assert_eq!(stdout.matches(" 201  ").count(), 2, "{stdout}");
    assert!(!goloman.log_text().contains("is down"), "{}", goloman.log_text());
}

#[test]
fn the_longest_name_greets_also_where_max_line_is_the_least() {
    let long = "N".repeat(64);
    let key = |herd: &Herd| write_secret(&herd.folder.path().join("herd.key"), OLD);
    let settings = "max_line = 128\nsecret_file = \"herd.key\"";
    let herd = Herd::new(&[&long, "Hands"], &[(&long, "Hands")], settings, &[]);
    key(&herd);
    let (one, hands) = (herd.start(&long), herd.start("Hands"));
    hands.wait_to_know("kiwi", &one.tell("kiwi"));
    one.wait_to_know("fig", &hands.tell("fig"));
}

#[test]
fn a_line_longer_than_any_record_is_dropped_counted_and_told_and_the_next_one_is_heard() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let goloman = herd.start("Goloman");
    let mut hands = Client::connect_from(herd.ip("Hands"), goloman.address);
    let too_long = format!("AT Hands +1 {} +1+1 1\n", "x".repeat(100_000));
    hands.send(format!("AT Hands +1 before +1+1 1\n{too_long}AT Hands +1 after +1+1 1\n{too_long}"));
    hands.send("AT Hands +1 last +1+1 1\n");
    for client in ["before", "after", "last"] {
        goloman.wait_to_know(client, &format!("AT Hands +1 {client} +1+1 1"));
    }
    goloman.wait_for_log("it is longer than 32864 bytes; 1 so far");
    let (_, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert!(
        stdout.contains("2 AT lines since the start, the last of them lately: of neighbours dropped"),
        "{stdout}"
    );
    // From a stranger it is what it was.
    let said = goloman.ask(&too_long);
    assert!(said.starts_with("? AT Hands") && said.len() == 2 + 4096 + 1, "{}", said.len());
}

#[test]
fn a_neighbour_that_closes_the_link_over_a_record_is_spared_it_and_told_the_others() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let hands = herd.listen_as("Hands");
    let goloman = herd.start("Goloman");
    assert!(goloman.ask(&long_report("long")).starts_with("AT Goloman"));
    let mut left: Vec<_> = (0..200).map(|i| goloman.tell(&format!("c{i}"))).collect();
    // More than fit into what is said of one at a time.
    for i in 1..80 {
        assert!(goloman.ask(&long_report(&format!("long{i}-"))).starts_with("AT Goloman"));
    }
    // One with a bound of its own, as an earlier version or another implementation may be: it closes the
    // link, as it would do for a client.
    let mut closed = 0;
    while !left.is_empty() {
        let mut link = LinkEnd::accept(&hands, "Hands");
        loop {
            let line = link.at_line();
            if line.len() > 1_000 {
                link.say(&format!("? {}\n", &line[..500]));
                closed += 1;
                break;
            }
            left.retain(|known| *known != line.trim_end());
            if left.is_empty() {
                break;
            }
        }
        assert!(
            closed <= 80,
            "the same records close the link again and again; {} are behind them",
            left.len()
        );
    }
    // Of 80 among 280 some come first, in whatever order.
    assert!(closed > 1, "{closed}");
    drop(hands);
    let log = goloman.wait_for_log("Hands closed the link because it rejects a record");
    assert_eq!(
        log.matches("closed the link because it rejects a record").count(),
        1,
        "it is told once a minute"
    );
    let (_, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert!(stdout.contains(&format!("Hands refuses the latest record of {closed} clients")), "{stdout}");
}
