//! Unit tests: a node's verbs, in values.

use super::*;
use crate::protocol::{Command, Location, Timestamp};

const NOW_NS: u64 = 1_520_023_935_182_837_383;

fn node(bounds: Bounds) -> Node {
    Node::new("Goloman", bounds)
}

/// Reports where a client is; its AT line, and whether that is news.
fn tell(node: &Node, client: &str, location: &str, time: &str) -> Result<(String, bool), Rule> {
    let report = Report {
        client: client.as_bytes(),
        location: Location::parse(location.as_bytes()).expect("a location"),
        time: Timestamp::parse(time.as_bytes()).expect("a time"),
    };
    let mut line = Vec::new();
    let (record, learned) = node.report(&report, NOW_NS, &mut line)?;
    Ok((String::from_utf8_lossy(record.line()).into_owned(), learned == Learned::News))
}

fn hear(node: &Node, line: &str) -> Heard {
    let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
    node.hear(&Record::write(&fields, &mut Vec::new()), NOW_NS)
}

#[test]
fn the_original_example_comes_out_to_the_byte() {
    let node = node(Bounds::default());
    let expected = "AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997";
    let tell = || tell(&node, "kiwi.cs.ucla.edu", "+34.068930-118.445127", "1520023934.918963997");
    assert_eq!(tell(), Ok((expected.to_owned(), true)));
    assert_eq!(tell(), Ok((expected.to_owned(), false)));
}

#[test]
fn an_older_report_is_answered_and_changes_nothing() {
    let node = node(Bounds::default());
    let _ = tell(&node, "kiwi", "+34.068930-118.445127", "1520023934.918963997");
    let older = tell(&node, "kiwi", "+1+1", "1520023933");
    assert_eq!(older, Ok(("AT Goloman +2.182837383 kiwi +1+1 1520023933".to_owned(), false)));
    let found = node.find(b"kiwi").expect("known");
    assert!(found.record.ends_with(b"+34.068930-118.445127 1520023934.918963997"));
    assert_eq!((found.latitude_deg, found.longitude_deg), (34.06893, -118.445127));
    assert_eq!(node.find(b"nobody"), None);
}

#[test]
fn a_report_of_values_is_one_of_text() {
    let (of_text, of_values) = (node(Bounds::default()), node(Bounds::default()));
    let told = tell(&of_text, "kiwi", "+34.06893-118.445127", "1520023934.918963997");
    let (mut location, mut time, mut line) = (Vec::new(), Vec::new(), Vec::new());
    let report = Report {
        client: b"kiwi",
        location: Location::of_degrees(34.06893, -118.445127, &mut location).expect("in range"),
        time: Timestamp::of_ns(1_520_023_934_918_963_997, &mut time),
    };
    let (record, learned) = of_values.report(&report, NOW_NS, &mut line).expect("taken");
    let told_of_values = (String::from_utf8_lossy(record.line()).into_owned(), learned == Learned::News);
    assert_eq!(told, Ok(told_of_values));
}

#[test]
fn records_of_neighbours_are_merged() {
    let node = node(Bounds::default());
    assert_eq!(hear(&node, "AT Hands +0.1 a +1+1 12"), Heard::News);
    assert_eq!(hear(&node, "AT Hands +0.1 a +1+1 12"), Heard::Stale);
    assert_eq!(hear(&node, "AT Hands +0.1 a +1+1 11"), Heard::Stale);
}

#[test]
fn what_is_to_be_forgotten_is_unknown_and_does_not_come_back() {
    let node = node(Bounds { forget_after_s: Some(100), ..Bounds::default() });
    let line = |seconds: u64| format!("AT Hands +0.5 a +1+1 {seconds}");
    let forget = |now_ns| {
        let mut gone = Vec::new();
        node.store.buckets().for_each(|bucket| {
            node.forget(bucket, now_ns, None, &mut gone);
        });
        gone.len()
    };
    assert_eq!(
        hear(&node, &line(1_520_023_834).replace(" a ", " old ")),
        Heard::News,
        "before the clock is trusted"
    );
    assert_eq!(forget(NOW_NS), 0);
    assert!(node.find(b"old").is_some());
    node.let_hide(NOW_NS);
    assert_eq!((node.find(b"old"), forget(NOW_NS)), (None, 0));
    node.let_pass(NOW_NS);
    assert_eq!(forget(NOW_NS), 1);
    assert_eq!(hear(&node, &line(1_520_023_834)), Heard::Past);
    assert_eq!(hear(&node, &line(1_520_023_835)), Heard::News);
    assert!(node.find(b"a").is_some() && forget(NOW_NS + 99_000_000_000) == 0, "only as time is let pass");
    node.let_pass(NOW_NS + 1_000_000_000);
    assert!(node.find(b"a").is_none());
    node.set_clocks(5, false);
    node.let_pass(NOW_NS);
    assert_eq!(hear(&node, &line(1_520_023_834).replace(" a ", " b ")), Heard::News, "by a slower clock");
    assert_eq!(forget(NOW_NS), 0);
    node.let_pass(NOW_NS + 7_000_000_000);
    assert_eq!(forget(NOW_NS + 7_000_000_000), 2);
}

#[test]
fn what_is_not_shown_hides_nothing_that_is_in_whatever_order_they_come() {
    // Hidden at NOW_NS by 30 s, though it has the later time; and one that is shown.
    let (hidden, shown) = ("AT Hands -130 a +9+9 1520023935", "AT Hands +10 a +1+1 1520023900");
    let older_hidden = "AT Hands -130 a +8+8 1520023934";
    let bounds = Bounds { forget_after_s: Some(100), ..Bounds::default() };
    let found = |lines: [&str; 3], learn: fn(&Node, &str)| {
        let node = node(bounds);
        node.let_hide(NOW_NS);
        lines.iter().for_each(|line| learn(&node, line));
        node.find(b"a").map(|found| found.latitude_deg)
    };
    for lines in [
        [hidden, shown, older_hidden],
        [hidden, older_hidden, shown],
        [shown, hidden, older_hidden],
        [older_hidden, shown, hidden],
    ] {
        let heard = |node: &Node, line: &str| {
            hear(node, line);
        };
        let restored = |node: &Node, line: &str| {
            let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
            node.restore(&Record::write(&fields, &mut Vec::new()), NOW_NS);
        };
        assert_eq!(found(lines, heard), Some(1.0), "{lines:?}");
        assert_eq!(found(lines, restored), Some(1.0), "{lines:?}");
    }
    let node = node(bounds);
    assert_eq!([hidden, older_hidden].map(|line| hear(&node, line)), [Heard::News, Heard::Stale]);
    node.let_hide(NOW_NS);
    assert_eq!(
        hear(&node, older_hidden),
        Heard::Stale,
        "one that is not shown does not replace a newer one either"
    );
}

#[test]
fn max_ahead_refuses_only_what_is_further_ahead() {
    let bounds = Bounds { max_ahead_ns: 5_000_000_000, refuses_ahead: true, ..Bounds::default() };
    let near = node(bounds);
    let check = |time: &str, accepted: bool| {
        let told = tell(&near, "a", "+1+1", time);
        assert_eq!(told.is_ok(), accepted, "{time}");
        assert!(accepted || told == Err(Rule::TooFarAhead));
    };
    check("1520023940.182837383", true);
    check("1520023940.182837384", false);
    check("99999999999999999999", false);
    let taken = tell(&node(Bounds { refuses_ahead: false, ..bounds }), "a", "+1+1", "1520023940.5");
    assert_eq!(taken, Ok(("AT Goloman -5.317162617 a +1+1 1520023940.5".to_owned(), true)));
}

#[test]
fn with_as_many_clients_as_it_holds_others_are_refused_and_known_ones_and_neighbours_are_not() {
    let node = node(Bounds { max_clients: 2, ..Bounds::default() });
    let takes = |client: &str, time: &str| match tell(&node, client, "+1+1", time) {
        Ok(_) => true,
        Err(why) => {
            assert_eq!(why, Rule::Full);
            false
        }
    };
    assert!(takes("a", "1") && takes("b", "1") && !takes("c", "1") && takes("a", "2"));
    assert_eq!(hear(&node, "AT Hands +0.1 d +1+1 1"), Heard::News);
    assert_eq!(node.store.count(), 3);
    assert!(!takes("c", "2") && takes("d", "2") && takes("b", "2"));
}

#[test]
fn a_client_ahead_of_its_time_hides_nobody_whoever_passes_it_on() {
    const NOW: &str = "1700000000";
    let now_ns = 1_700_000_000_000_000_000;
    let node = node(Bounds::default());
    let hear = |line: &str| {
        let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        node.hear(&Record::write(&fields, &mut Vec::new()), now_ns)
    };
    assert_eq!(hear("AT Hands -447483647 a +9+9 2147483647"), Heard::News, "it is all that is known");
    assert_eq!(hear(&format!("AT Hands +0.1 a +1+1 {NOW}")), Heard::News);
    assert_eq!(hear("AT Hands -447483647 a +9+9 2147483648"), Heard::Stale);
    assert!(node.find(b"a").is_some_and(|found| found.latitude_deg == 1.0));
    // By a clock that is far behind those of others nobody can tell.
    node.set_clocks(0, true);
    assert_eq!(hear("AT Hands -447483647 a +9+9 2147483648"), Heard::News);
}

#[test]
fn what_is_compared_leaves_out_what_is_coming_and_going() {
    const NOW_S: i64 = 1_700_000_000;
    let now_ns = NOW_S as u64 * 1_000_000_000;
    let all = node(Bounds::default());
    assert_eq!(all.span(Scope::All, now_ns), Span::ALL);
    assert_eq!(all.span(Scope::Settled, now_ns), Span { from_s: None, to_s: Some(NOW_S - 30) });
    let some = node(Bounds { forget_after_s: Some(1_000), ..Bounds::default() });
    let day = Some(NOW_S + 86_400);
    assert_eq!(some.span(Scope::All, now_ns), Span { from_s: None, to_s: day }, "nothing is past yet");
    some.let_pass(now_ns);
    let own = Span { from_s: Some(NOW_S - 1_000 + 26), to_s: day };
    assert_eq!(some.span(Scope::All, now_ns), own);
    let answered = |from_s, to_s| {
        let Span { from_s, to_s } = some.digest(Span { from_s, to_s }, now_ns).span;
        (from_s, to_s)
    };
    assert_eq!(answered(None, None), (own.from_s, None));
    assert_eq!(answered(Some(NOW_S - 1_000 + 12), None), (own.from_s, None));
    // By a clock that is 13 s ahead of the one that asks.
    assert_eq!(answered(Some(NOW_S - 1_000 + 13), Some(5)), (Some(NOW_S - 1_000 + 13), Some(5)));
    assert_eq!(answered(Some(NOW_S), day), (Some(NOW_S), day));
    let short = node(Bounds { forget_after_s: Some(20), ..Bounds::default() });
    short.let_pass(now_ns);
    assert_eq!(short.span(Scope::All, now_ns).from_s, Some(NOW_S - 15));
}

#[test]
fn what_a_note_voids_is_gone_in_whatever_order_they_come_and_later_reports_are_known() {
    const NOW_S: u64 = 1_520_023_935;
    let note = format!("AT * +0 a +0+0 {NOW_S}");
    // Heard before, with a client's clock that is years ahead; heard before, too; and heard afterwards.
    let ahead = format!("AT Hands -900 a +1+1 {}", NOW_S + 900);
    let before = format!("AT Hands -5 a +2+2 {}", NOW_S + 5);
    let after = format!("AT Hands +3 a +3+3 {}", NOW_S - 2);
    for lines in [
        [&note, &ahead, &before, &after],
        [&after, &note, &ahead, &before],
        [&before, &after, &note, &ahead],
        [&note, &after, &before, &ahead],
    ] {
        let node = node(Bounds::default());
        lines.iter().for_each(|line| {
            hear(&node, line);
        });
        let found = node.find(b"a").map(|found| found.latitude_deg);
        // One that was never stored, as a voided one was in its way, comes again when stores are compared.
        let expected = if lines[0] == &before { [None, None] } else { [Some(3.0), Some(3.0)] };
        assert!(expected.contains(&found), "{lines:?}: {found:?}");
        hear(&node, &after);
        assert_eq!(node.find(b"a").map(|found| found.latitude_deg), Some(3.0), "{lines:?}");
        assert_eq!((node.store.count(), node.store.notes()), (1, 1));
    }
}

#[test]
fn a_note_made_here_voids_what_is_known_and_no_report_made_here_afterwards() {
    let node = node(Bounds { max_clients: 2, ..Bounds::default() });
    // By a clock that is a minute ahead of ours.
    let _ = hear(&node, &format!("AT Hands +60 a +1+1 {}", NOW_NS / 1_000_000_000));
    let mut line = Vec::new();
    let note = node.note(b"a", NOW_NS, &mut line);
    assert_eq!(node.learn_report(&note, NOW_NS), Learned::News);
    assert_eq!((node.find(b"a"), node.store.count(), node.store.bytes()), (None, 0, line.len() as u64));
    let told = tell(&node, "a", "+2+2", "1520023000").expect("taken");
    assert!(told.1 && node.find(b"a").is_some(), "{told:?}");
    let forget = |client: &str| {
        let mut line = Vec::new();
        node.learn_report(&node.note(client.as_bytes(), NOW_NS, &mut line), NOW_NS)
    };
    assert_eq!(
        [forget("nobody"), forget("further")],
        [Learned::News, Learned::FullOfNotes],
        "of those that are not known they are bounded, too"
    );
    assert_eq!(forget("a"), Learned::News, "it is known");
    assert_eq!(tell(&node, "a", "+2+2", "1520023001").map(|told| told.1), Ok(true), "and comes back");
    assert_eq!(node.digest(Span::ALL, NOW_NS).count, 1);
    let days_31_ns = 31 * 86_400 * 1_000_000_000;
    let mut gone = Vec::new();
    for bucket in node.store.buckets() {
        node.forget(bucket, NOW_NS + days_31_ns, None, &mut gone);
    }
    assert_eq!((gone.len(), node.store.notes(), node.store.count()), (0, 0, 1), "only notes grow old");
}

#[test]
fn a_note_made_here_voids_what_a_clock_heard_that_is_years_ahead() {
    const NOW_S: u64 = 1_700_000_000;
    let now_ns = NOW_S * 1_000_000_000;
    let later = format!("AT Hands +0 a +1+1 {}", NOW_S + 2 * 365 * 86_400);
    let now = format!("AT Hands +0 a +2+2 {}", NOW_S + 1);
    let node = node(Bounds::default());
    let hear = |line: &str| {
        let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        node.hear(&Record::write(&fields, &mut Vec::new()), now_ns);
        node.find(b"a").map(|found| found.latitude_deg)
    };
    assert_eq!(hear(&later), Some(1.0));
    let mut line = Vec::new();
    let note = node.note(b"a", now_ns, &mut line);
    assert_eq!((node.learn_report(&note, now_ns), node.find(b"a")), (Learned::News, None));
    assert_eq!(hear(&later), None, "nor does it come back");
    assert_eq!(hear(&now), Some(2.0), "what is heard by a clock that is right does");
}

#[test]
fn a_note_from_the_future_voids_nothing() {
    const NOW_S: u64 = 1_700_000_000;
    let now_ns = NOW_S * 1_000_000_000;
    let node = node(Bounds::default());
    let hear = |line: String| {
        let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        node.hear(&Record::write(&fields, &mut Vec::new()), now_ns);
        node.find(b"a").map(|found| found.latitude_deg)
    };
    assert_eq!(hear(format!("AT Hands +0 a +1+1 {NOW_S}")), Some(1.0));
    assert_eq!(hear(format!("AT * +0 a +0+0 {}", NOW_S + 2 * 86_400)), Some(1.0));
    assert_eq!(hear(format!("AT Hands +0 a +2+2 {}", NOW_S + 1)), Some(2.0));
    let (mut time, mut line) = (Vec::new(), Vec::new());
    let location = Location::parse(b"+3+3").expect("a location");
    let report = Report { client: b"a", location, time: Timestamp::of_ns(now_ns, &mut time) };
    let (record, _) = node.report(&report, now_ns, &mut line).expect("taken");
    assert_eq!(record.received_ns(), now_ns.into(), "its receipt is by the server's own clock");
    assert_eq!(hear(format!("AT * +0 a +0+0 {}", NOW_S + 60)), None, "one that is a little ahead counts");
}
