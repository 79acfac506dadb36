//! Unit tests: one store, and several that hear from each other.

use std::collections::HashMap;

use super::*;
use crate::protocol::record::Offsets;
use crate::protocol::{Command, Span};

/// A line, and where its fields lie.
struct Told(Vec<u8>, Offsets);

impl Told {
    fn borrow(&self) -> Record<&[u8]> {
        Record::new(&self.0, self.1)
    }
}

fn record(line: &[u8]) -> Told {
    let Ok(Command::At(parts)) = Command::parse(line) else { panic!("{}", line.escape_ascii()) };
    let mut out = Vec::new();
    let offsets = Offsets::write(&parts, &mut out);
    Told(out, offsets)
}

fn learn(store: &Store, line: &str) -> Learned {
    store.learn(&record(line.as_bytes()).borrow(), &Horizon::default())
}

fn line_of(store: &Store, client: &str) -> Option<String> {
    store.read(client.as_bytes(), |record| String::from_utf8_lossy(record.line()).into_owned())
}

fn sorted_lines(store: &Store) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    store.buckets().for_each(|bucket| store.copy_bucket(bucket, &Wanted::After(0), &mut all));
    let mut lines: Vec<_> = all.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
    lines.sort();
    lines
}

fn wanted(store: &Store, wanted: &Wanted) -> Vec<String> {
    let mut all = Vec::new();
    store.buckets().for_each(|bucket| store.copy_bucket(bucket, wanted, &mut all));
    let mut lines: Vec<_> = String::from_utf8_lossy(&all).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn what_is_past_is_in_nobodys_way() {
    let store = Store::default();
    let told = |line: &str, oldest_s| {
        let horizon = Horizon { oldest_s, ..Horizon::default() };
        store.learn(&record(line.as_bytes()).borrow(), &horizon)
    };
    assert_eq!(told("AT G -90 a +1+1 100", None), Learned::News, "heard at 10");
    assert_eq!(told("AT G +0 a +1+1 50", Some(10)), Learned::Stale);
    assert_eq!(told("AT G +0 a +1+1 50", Some(11)), Learned::News);
    assert_eq!(store.count(), 1);
}

#[test]
fn a_walk_finds_what_was_learned_after_an_epoch_and_no_more() {
    let store = Store::default();
    assert_eq!(learn(&store, "AT G +0 kiwi +1+1 1"), Learned::News);
    assert_eq!(learn(&store, "AT G +0 fig +1+1 1"), Learned::News);
    let (first, _) = store.close_epoch();
    assert_eq!(wanted(&store, &Wanted::After(first)), [""; 0]);
    assert_eq!(learn(&store, "AT G +0 fig +1+1 1"), Learned::Stale);
    assert_eq!(learn(&store, "AT G +0 kiwi +1+1 2"), Learned::News);
    assert_eq!(wanted(&store, &Wanted::After(first)), ["AT G +0 kiwi +1+1 2"]);
    let (second, news) = store.close_epoch();
    assert_eq!((news, store.news()), (3, 3));
    assert_eq!(learn(&store, "AT G +0 plum +1+1 2"), Learned::News);
    assert_eq!(wanted(&store, &Wanted::After(second)), ["AT G +0 plum +1+1 2"]);
    assert_eq!(wanted(&store, &Wanted::After(0)).len(), 3);
    assert_eq!([0, first, second, second + 1].map(|epoch| store.count_after(epoch)), [3, 2, 1, 0]);
}

#[test]
fn stores_differ_in_the_parts_that_hold_different_records_and_repair_each_other() {
    let (a, b) = (Store::default(), Store::default());
    for i in 0..5_000 {
        for store in [&a, &b] {
            let _ = learn(store, &format!("AT G +0 c{i} +1+1 1"));
        }
    }
    assert_eq!(a.digest(Span::ALL), b.digest(Span::ALL));
    let _ = learn(&a, "AT G +0 c7 +1+1 2");
    let _ = learn(&b, "AT G +0 c8 +1+1 2");
    let _ = learn(&b, "AT G +0 only +1+1 2");
    let parts = a.digest(Span::ALL).differing(&b.digest(Span::ALL));
    let differing = Differing { parts, span: Span::ALL, has_rest: false };
    let (from_a, from_b) = (Wanted::In(differing.clone().into()), Wanted::In(differing.into()));
    let (from_a, from_b) = (wanted(&a, &from_a), wanted(&b, &from_b));
    assert!(from_a.len() < 200 && from_b.len() < 200, "{} {}", from_a.len(), from_b.len());
    from_a.iter().for_each(|line| {
        let _ = learn(&b, line);
    });
    from_b.iter().for_each(|line| {
        let _ = learn(&a, line);
    });
    assert_eq!(a.digest(Span::ALL), b.digest(Span::ALL));
    assert_eq!(sorted_lines(&a), sorted_lines(&b));
}

#[test]
fn the_newest_record_of_a_client_stays() {
    let store = Store::default();
    assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 10"), Learned::News);
    assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 10"), Learned::Stale);
    assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 9.9"), Learned::Stale);
    assert_eq!(learn(&store, "AT G +0.25 kiwi +2+1 10.5"), Learned::News);
    assert_eq!(learn(&store, "AT G +0.1 fig +1+1 1"), Learned::News);
    assert_eq!(line_of(&store, "kiwi").as_deref(), Some("AT G +0.25 kiwi +2+1 10.5"));
    assert_eq!((store.count(), line_of(&store, "kiw")), (2, None));
}

#[test]
fn what_was_not_heard_for_long_is_forgotten_and_nothing_else() {
    let store = Store::default();
    for (client, line) in [("old", "AT G +5 old +1+1 10"), ("new", "AT G +6 new +1+1 10")] {
        assert_eq!(learn(&store, line), Learned::News, "{client}");
    }
    assert_eq!(store.digest(Span { from_s: Some(16), to_s: None }).count, 1);
    let outdated = Outdated { oldest_s: 16, unheard: None, oldest_note_s: 0 };
    let mut gone = Vec::new();
    for bucket in store.buckets() {
        store.forget(bucket, &outdated, &mut gone);
    }
    assert_eq!((gone.len(), store.count(), line_of(&store, "old")), (1, 1, None));
    assert_eq!(store.bytes(), line_of(&store, "new").expect("known").len() as u64);
}

#[test]
fn records_that_go_leave_all_others_where_they_are_found() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let (store, mut known) = (Store::default(), HashMap::new());
    for time in 100..5_100 {
        let client = format!("c{}", random.usize(..400));
        let (zeros, is_note) = (random.usize(..30), random.usize(..4) == 0);
        let line = match is_note {
            true => format!("AT * +0 {client} +0+0 {time}"),
            false => format!("AT G +0 {client} +1.{:0zeros$}+1 {time}", 0),
        };
        assert_eq!(learn(&store, &line), Learned::News, "seed {seed}: {line}");
        known.remove(&client);
        if !is_note {
            known.insert(client, (line, time));
        }
        if time % 500 == 0 {
            let outdated = Outdated { oldest_s: time - 600, unheard: None, oldest_note_s: time - 300 };
            let (mut gone, before) = (Vec::new(), known.len());
            store.buckets().for_each(|bucket| _ = store.forget(bucket, &outdated, &mut gone));
            known.retain(|_, (_, heard)| *heard >= time - 600);
            assert_eq!(gone.len(), before - known.len(), "seed {seed}");
        }
        for (client, (line, _)) in known.iter().take(5) {
            assert_eq!(line_of(&store, client).as_ref(), Some(line), "seed {seed}");
        }
    }
    assert_eq!(store.count(), known.len(), "seed {seed}");
    for (client, (line, _)) in &known {
        assert_eq!(line_of(&store, client).as_ref(), Some(line), "seed {seed}");
    }
}

#[test]
fn the_memory_of_whoever_is_forgotten_goes_back() {
    const CLIENTS: usize = 300_000;
    let store = Store::new(false);
    for round in 0..2 {
        for i in 0..CLIENTS {
            // Lines of many lengths.
            let location = &"+1.0000000000000"[..4 + i % 13];
            let line = format!("AT G +0 c{i} {location}+1 {}", 10 + round);
            assert_eq!(learn(&store, &line), Learned::News, "{line}");
        }
        let most = store.lock().map.held();
        assert!((40 * CLIENTS..80 * CLIENTS).contains(&most), "{most} bytes");
        let outdated = Outdated { oldest_s: 100, unheard: None, oldest_note_s: 0 };
        let mut gone = Vec::new();
        for bucket in store.buckets() {
            store.forget(bucket, &outdated, &mut gone);
        }
        assert_eq!((gone.len(), store.count(), store.bytes()), (CLIENTS, 0, 0));
        assert_eq!(store.lock().map.held(), 0);
    }
}

#[test]
fn a_repeated_report_is_stale_and_a_repeated_record_with_a_greater_difference_is_not() {
    let store = Store::default();
    let again = record(b"AT G +5.0 kiwi +1+1 10");
    assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 10"), Learned::News);
    assert_eq!(store.learn_report(&again.borrow(), &Horizon::default(), usize::MAX), Learned::Stale);
    assert_eq!(store.learn(&again.borrow(), &Horizon::default()), Learned::News);
}

/// Records that collide in time, location, origin and difference as often as they can.
fn random_record(random: &mut fastrand::Rng) -> Vec<u8> {
    let pick = |random: &mut fastrand::Rng, from: &[&str]| from[random.usize(..from.len())].to_owned();
    let time = pick(random, &["1", "1.0", "01", "1.5", "2", "10", "1.000000001", "99999999999999999999"]);
    let origin = pick(random, &["Goloman", "Hands", "Wilkes"]);
    let difference = pick(random, &["+0.1", "+0.10", "-3", "+12.000000000"]);
    let location = pick(random, &["+1+1", "+1-1", "-1+1", "+01+1", "+1+001"]);
    format!("AT {origin} {difference} client{} {location} {time}", random.u8(..4)).into_bytes()
}

#[test]
fn any_order_duplication_and_split_between_servers_gives_the_same_store() {
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..300 {
        // What is too far ahead is below what is not, and that is an order, too.
        let latest_ns = Some(random.u64(0..3) * 1_000_000_000).filter(|_| random.bool());
        let horizon = Horizon { latest_ns, ..Horizon::default() };
        let records: Vec<_> = (0..random.usize(1..40)).map(|_| random_record(&mut random)).collect();
        let servers: Vec<_> = (0..3).map(|_| Store::default()).collect();
        let split = |random: &mut fastrand::Rng| random.usize(..servers.len());
        for line in &records {
            for _ in 0..random.usize(1..3) {
                let _ = servers[split(&mut random)].learn(&record(line).borrow(), &horizon);
            }
        }
        // Each server then hears from the others, in an order of its own, some of it twice.
        let mut heard: Vec<_> = servers.iter().flat_map(sorted_lines).collect();
        heard.extend_from_within(..heard.len() / 2);
        for server in &servers {
            random.shuffle(&mut heard);
            for line in &heard {
                let _ = server.learn(&record(line).borrow(), &horizon);
            }
        }
        let expected = Store::default();
        for line in &records {
            let _ = expected.learn(&record(line).borrow(), &horizon);
        }
        for server in &servers {
            assert_eq!(sorted_lines(server), sorted_lines(&expected), "seed {seed}");
            assert_eq!(server.count(), expected.count());
        }
    }
}

#[test]
fn what_is_too_far_ahead_hides_nothing_that_is_not() {
    let now = Horizon { latest_ns: Some(100_000_000_000), ..Horizon::default() };
    let store = Store::default();
    let told = |line: &str| store.learn(&record(line.as_bytes()).borrow(), &now);
    assert_eq!(told("AT G -900 a +1+1 1000"), Learned::News, "it is all that is known");
    assert_eq!(told("AT G -901 a +1+1 1001"), Learned::News);
    assert_eq!(told("AT G +0 a +2+2 100"), Learned::News);
    assert_eq!(told("AT G -902 a +1+1 1002"), Learned::Stale);
    assert_eq!(told("AT G -0.1 a +1+1 100.000000001"), Learned::Stale);
    assert_eq!(told("AT G +1 a +2+2 99"), Learned::Stale);
    assert_eq!(line_of(&store, "a").as_deref(), Some("AT G +0 a +2+2 100"));
    let report = record(b"AT G -900 a +3+3 1000");
    assert_eq!(store.learn_report(&report.borrow(), &now, usize::MAX), Learned::Stale);
    assert!(store.superseding(&report.borrow(), &now).is_some());
    // When its time comes it counts as any other.
    let later = Horizon { latest_ns: Some(1_000_000_000_000), ..now };
    assert_eq!(store.learn(&report.borrow(), &later), Learned::News);
}

#[test]
fn who_was_heard_later_than_can_be_is_forgotten_by_when_he_was_learned() {
    let store = Store::default();
    assert_eq!(learn(&store, "AT G +5000 old +1+1 10"), Learned::News);
    let (before, _) = store.close_epoch();
    assert_eq!(learn(&store, "AT G +5000 new +1+1 10"), Learned::News);
    assert_eq!(learn(&store, "AT G +50 right +1+1 10"), Learned::News);
    let forget = |unheard| {
        let outdated = Outdated { oldest_s: 16, unheard, oldest_note_s: 0 };
        let mut gone = Vec::new();
        for bucket in store.buckets() {
            store.forget(bucket, &outdated, &mut gone);
        }
        gone.len()
    };
    assert_eq!([forget(None), forget(Some((6_000, before))), forget(Some((4_000, before)))], [0, 0, 1]);
    assert_eq!((line_of(&store, "old"), store.count()), (None, 2));
}
