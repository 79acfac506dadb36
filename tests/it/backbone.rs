//! The backbone's script in a real engine.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use herd::backbone::engine::Height;
use herd::backbone::merge::{Keys, REPLACING, SCRIPT};
use herd::limits::MERGED_AT_ONCE_MAX;
use herd::protocol::Command as Line;
use herd::protocol::Record;
use redis::{Connection, FromRedisValue, Value};

use crate::harness::Engine;

/// An engine that has the script.
struct Merging {
    connection: Connection,
    script: String,
}

/// What the script gave.
struct Given {
    /// How many entries the log ever had.
    count: u64,
    held: Vec<Vec<u8>>,
}

impl Merging {
    fn new(engine: &Engine) -> Merging {
        let mut connection = engine.connection();
        let script = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query(&mut connection).expect("loaded");
        Merging { connection, script }
    }

    fn ask<T: FromRedisValue>(&mut self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| _ = command.arg(word));
        command.query(&mut self.connection).unwrap_or_else(|why| panic!("{words:?}: {why}"))
    }

    /// Has the engine take these clients' lines.
    fn merge(&mut self, keys: &Keys, log_ms: u64, records: &[(&[u8], &[u8])]) -> Given {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&self.script).arg(3).arg(&keys.all()).arg(log_ms);
        records.iter().for_each(|(client, line)| _ = command.arg(client).arg(line));
        let given: Vec<Value> = command.query(&mut self.connection).expect("merged");
        let mut given = given.into_iter();
        let height = given.next().map(|height| String::from_redis_value(height).expect("text"));
        let count = height.as_deref().and_then(Height::parse).expect("a height").entries;
        let held = given.map(|line| Vec::from_redis_value(line).expect("a line")).collect();
        Given { count, held }
    }

    /// What a part has of these clients.
    fn known(&mut self, keys: &Keys, clients: &[&[u8]]) -> Vec<Option<Vec<u8>>> {
        redis::cmd("HMGET").arg(&keys.hash).arg(clients).query(&mut self.connection).expect("read")
    }
}

/// A field of a line: one of few, so that of two lines many are often alike.
fn one_of<'a>(random: &mut fastrand::Rng, all: &[&'a [u8]]) -> &'a [u8] {
    all[random.usize(..all.len())]
}

/// A valid AT line of a client. Texts that a locale sorts otherwise than their bytes are among its fields, and times of all
/// sizes, alike as numbers and not as text.
fn line(random: &mut fastrand::Rng, client: &[u8]) -> Vec<u8> {
    let origins: [&[u8]; 11] = [
        b"a",
        b"a\xff",
        b"a\0b",
        b"B",
        b"b",
        b"Z",
        b"a-b",
        b"ab",
        "\u{e4}".as_bytes(),
        "z\u{fc}".as_bytes(),
        b"*",
    ];
    let locations: [&[u8]; 7] = [b"+1+1", b"+1-1", b"-1+1", b"+1+1.0", b"+01+1", b"+1.5+1", b"+10+1"];
    let differences: [&[u8]; 6] = [b"+0.1", b"-0.1", b"+0.10", b"+0.2", b"+10", b"+9"];
    let zeros = [b'0'; 300];
    let one_at_last = [&zeros[..], b"1"].concat();
    let wholes: [&[u8]; 20] = [
        &zeros,
        &one_at_last,
        b"9007199254740992",
        b"9007199254740993",
        b"9999999999999999",
        b"10000000000000000",
        b"123456789012345678901234567891",
        b"0223456789012345678901234567890",
        b"0",
        b"00",
        b"1",
        b"01",
        b"9",
        b"10",
        b"1520023934",
        b"1520023935",
        b"999999999999999",
        b"1000000000000000",
        b"01000000000000000",
        b"123456789012345678901234567890",
    ];
    let decimals: [&[u8]; 9] =
        [b"", b".0", b".1", b".10", b".09", b".000000001", b".999999999", b".5", b".50"];
    let parts = [
        b"AT".as_slice(),
        one_of(random, &origins),
        one_of(random, &differences),
        client,
        one_of(random, &locations),
        &[one_of(random, &wholes), one_of(random, &decimals)].concat(),
    ];
    parts.join(&b' ')
}

/// The record of a line.
fn record(line: &[u8]) -> Record<Vec<u8>> {
    let mut out = Vec::new();
    let Ok(Line::At(fields)) = Line::parse(line) else { panic!("{}", String::from_utf8_lossy(line)) };
    let offsets = Record::write(&fields, &mut out).offsets();
    assert_eq!(out, line);
    Record::new(out, offsets)
}

/// Pairs of lines, of which the engine keeps the one that a store would, whichever comes first, and gives back the other's
/// better.
fn check_order(engine: &Engine, pairs: usize) {
    const AT_ONCE: usize = 250;
    let mut merging = Merging::new(engine);
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for round in 0..pairs.div_ceil(AT_ONCE) {
        let keys = Keys::new("herd", u16::try_from(round).expect("a part"));
        let odd = [b'\0', 0xff, b'%'];
        let client = |number: usize| [format!("client-{number}").as_bytes(), &odd[..number % 4]].concat();
        let clients: Vec<_> = (0..AT_ONCE).map(client).collect();
        let first: Vec<_> = clients.iter().map(|client| line(&mut random, client)).collect();
        let second: Vec<_> = clients.iter().map(|client| line(&mut random, client)).collect();
        for lines in [&first, &second] {
            let both: Vec<_> = clients.iter().zip(lines).map(|(client, line)| (&**client, &**line)).collect();
            let given = merging.merge(&keys, 0, &both);
            let lines =
                lines.iter().zip(&first).filter(|(line, first)| record(first).cmp_age(&record(line)).is_gt());
            let better: Vec<_> = lines.map(|(_, first)| first.clone()).collect();
            assert_eq!(given.held, better, "what is held and newer");
        }
        let clients: Vec<_> = clients.iter().map(|client| &**client).collect();
        for ((first, second), known) in first.iter().zip(&second).zip(merging.known(&keys, &clients)) {
            let newest = if record(first).cmp_age(&record(second)).is_lt() { second } else { first };
            let known = known.expect("it is there");
            let shown = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
            assert_eq!(shown(&known), shown(newest), "of {} and {}", shown(first), shown(second));
        }
    }
}

#[test]
fn the_engine_merges_as_the_store_does() {
    let Some(engine) = Engine::start() else { return };
    check_order(&engine, 100_000);
}

#[test]
fn the_engine_merges_as_the_store_does_in_a_locale_that_sorts_otherwise() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path().join("en_US.UTF-8");
    let made = Command::new("localedef").args(["-i", "en_US", "-f", "UTF-8"]).arg(&to).output();
    if !made.is_ok_and(|made| made.status.success()) || !to.is_dir() {
        assert!(std::env::var_os("CI").is_none(), "no locales: .ci/run installs them");
        return eprintln!("not tested here: the backbone in another locale; install locales");
    }
    let in_locale = |path: &Path, command: &mut Command| {
        command.env("LOCPATH", path).env("LC_ALL", "en_US.UTF-8");
    };
    let Some(engine) = Engine::start_by(|command| in_locale(folder.path(), command)) else { return };
    let sorts_otherwise: i64 = Merging::new(&engine).ask(&["EVAL", "return 'a' < 'B' and 1 or 0", "0"]);
    assert_eq!(sorts_otherwise, 1, "by bytes B is before a");
    check_order(&engine, 100_000);
}

#[test]
fn what_is_news_is_counted_and_logged_once() {
    let Some(engine) = Engine::start() else { return };
    let mut merging = Merging::new(&engine);
    let keys = Keys::new("herd", 3);
    let at = |client: &str, time: u32| format!("AT Goloman +1 {client} +1+1 {time}").into_bytes();
    let [a1, a2, a3, b1] = [at("a", 1), at("a", 2), at("a", 3), at("b", 1)];
    // Of a client that comes more than once the newest counts.
    let given = merging.merge(&keys, 60_000, &[(b"a", &a2), (b"b", &b1), (b"a", &a3), (b"a", &a1)]);
    assert_eq!((given.count, given.held), (1, vec![a3.clone()]));
    // What is there already is no news, and what is older gets what is there.
    let given = merging.merge(&keys, 60_000, &[(b"a", &a1), (b"b", &b1)]);
    assert_eq!((given.count, given.held), (1, vec![a3.clone()]));
    let given = merging.merge(&keys, 60_000, &[(b"a", &at("a", 4))]);
    assert_eq!((given.count, given.held), (2, vec![]));
    // Without a log it is counted all the same, so that who reads the log sees that something is missing.
    assert_eq!(merging.merge(&keys, 0, &[(b"a", &at("a", 5))]).count, 3);

    let entries: Vec<(String, BTreeMap<String, String>)> = merging.ask(&["XRANGE", &keys.log, "-", "+"]);
    let told: Vec<_> = entries
        .iter()
        .map(|(_, fields)| {
            let mut lines: Vec<_> = fields["at"].split('\n').collect();
            lines.sort_unstable();
            (Height::parse(&fields["n"]).expect("a height"), lines)
        })
        .collect();
    let text = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    let (a3, b1, a4) = (text(&a3), text(&b1), text(&at("a", 4)));
    let life = told[0].0.life;
    let height = |entries| Height { life, entries };
    assert_eq!(told, [(height(1), vec![&*a3, &*b1]), (height(2), vec![&*a4])]);
    // What is begun anew is another life, with however many entries.
    let _: String = merging.ask(&["FLUSHALL"]);
    merging.merge(&keys, 60_000, &[(b"a", &a1)]);
    let height: String = merging.ask(&["GET", &keys.height]);
    let other = Height::parse(&height).expect("a height");
    assert!(other.life > life && other.entries == 1, "{other:?}");
}

#[test]
fn what_is_no_at_line_is_older_than_any() {
    let Some(engine) = Engine::start() else { return };
    let mut merging = Merging::new(&engine);
    let keys = Keys::new("herd", 0);
    let damaged = [
        "",
        "nonsense",
        "AT Goloman +1 a +1+1",
        "AT Goloman +1 a +1+1 1e5",
        "AT Goloman +1 a +1+1 .5",
        "AT Goloman +1 a +1+1 9.",
        "AT Goloman +1 a +1+1 9.9.9",
        "AT Goloman 1 a +1+1 9",
        "AT Goloman +1 a 1+1 9",
        "AT Goloman +1 a +1 9",
        "AT Goloman +1 a +1+1 9 ",
    ];
    for damaged in damaged {
        let _: i64 = merging.ask(&["HSET", &keys.hash, "a", damaged]);
        let line = b"AT Goloman -9 a -1-1 0";
        assert_eq!(merging.merge(&keys, 0, &[(b"a", line)]).held, Vec::<Vec<u8>>::new(), "{damaged}");
        assert_eq!(merging.known(&keys, &[b"a"]), [Some(line.to_vec())], "{damaged}");
        let _: i64 = merging.ask(&["DEL", &keys.hash]);
    }
}

#[test]
fn what_fails_writes_nothing() {
    let Some(engine) = Engine::start() else { return };
    let mut merging = Merging::new(&engine);
    let keys = Keys::new("herd", 0);
    let line = "AT Goloman +1 a +1+1 1";
    let tries = |merging: &mut Merging, log_ms: &str| {
        let mut command = redis::cmd("EVALSHA");
        command.arg(&merging.script).arg(3).arg(&keys.all()).arg(log_ms).arg("a").arg(line);
        command.query::<Value>(&mut merging.connection).map_err(|why| why.to_string())
    };
    let nothing = |merging: &mut Merging| assert_eq!(merging.known(&keys, &[b"a"]), [None]);
    for log_ms in ["nonsense", "-1", ""] {
        tries(&mut merging, log_ms).expect_err("no milliseconds");
        nothing(&mut merging);
    }
    for (key, why) in [(&keys.log, "is no log"), (&keys.height, "is no height")] {
        let _: String = merging.ask(&["SET", key, "nonsense"]);
        let said = tries(&mut merging, "1000").expect_err("another's");
        assert!(said.contains(&format!("{key} {why}")), "{said}");
        nothing(&mut merging);
        let _: i64 = merging.ask(&["DEL", key]);
    }
    // A log that is kept for longer than there has been time.
    tries(&mut merging, "9000000000000000").expect("kept");
    assert_eq!(merging.ask::<i64>(&["XLEN", &keys.log]), 1);
}

#[test]
fn as_many_records_as_are_allowed_are_merged_at_once() {
    let Some(engine) = Engine::start() else { return };
    let mut merging = Merging::new(&engine);
    let of = |number: usize| {
        (format!("c{number}").into_bytes(), format!("AT Goloman +1 c{number} +1+1 1").into_bytes())
    };
    let all: Vec<_> = (0..MERGED_AT_ONCE_MAX).map(of).collect();
    let all: Vec<_> = all.iter().map(|(client, line)| (&**client, &**line)).collect();
    let keys = Keys::new("herd", 0);
    assert_eq!(merging.merge(&keys, 1_000, &all).count, 1);
    assert_eq!(merging.ask::<i64>(&["HLEN", &keys.hash]), MERGED_AT_ONCE_MAX as i64);
}

#[test]
fn what_counts_nowhere_is_replaced_if_it_is_still_there() {
    let Some(engine) = Engine::start() else { return };
    let mut merging = Merging::new(&engine);
    let keys = Keys::new("herd", 0);
    let [wrong, right, other] = ["9999", "7", "8"].map(|time| format!("AT Goloman +1 a +1+1 {time}"));
    merging.merge(&keys, 60_000, &[(b"a", wrong.as_bytes())]);
    let mut replace = |there: &str| -> i64 {
        let [hash, log, height] = keys.all();
        merging.ask(&["EVAL", REPLACING, "3", hash, log, height, "60000", "a", there, &right])
    };
    assert_eq!(replace(&other), 0, "somebody was first");
    assert_eq!(replace(&wrong), 1);
    assert_eq!(replace(&wrong), 0, "it is done");
    assert_eq!(merging.known(&keys, &[b"a"]), [Some(right.clone().into_bytes())]);
    let entries: Vec<(String, BTreeMap<String, String>)> = merging.ask(&["XRANGE", &keys.log, "-", "+"]);
    let told: Vec<_> = entries.iter().map(|(_, fields)| &*fields["at"]).collect();
    assert_eq!(told, [&*wrong, &*right], "others hear of it");
}
