//! NEAR, COUNT and `near=` of a running server, and what the index of positions costs.

use std::fmt::Write;
use std::time::Instant;

use herd::protocol::record::Offsets;
use herd::protocol::{Command, Coordinates, Record};
use herd::store::{Around, Horizon, Look, Looked, Store};

use crate::harness::{GOLOMAN_AND_HANDS, Herd, ONE_LINK};
use crate::http::{alone, ask, get};

/// What both doors say of who is near: the IDs, the nearest first.
fn nearest(
    server: &crate::harness::Server,
    latitude: f64,
    longitude: f64,
    km: u32,
    most: usize,
) -> Vec<String> {
    let said = server.ask(&format!("NEAR {latitude:+}{longitude:+} {km} {most}\n"));
    let said = said.strip_suffix('\n').expect("an empty line");
    let ids: Vec<_> = said.lines().map(|line| line.split(' ').nth(3).expect("an ID").to_owned()).collect();
    let metres = u64::from(km) * 1_000;
    let page =
        get(server, &format!("/v1/clients?near={latitude},{longitude}&radius_m={metres}&limit={most}"))
            .json();
    let features = page["features"].as_array().expect("a list").iter();
    let by_http: Vec<_> = features.map(|feature| feature["id"].as_str().expect("text").to_owned()).collect();
    assert_eq!(ids, by_http);
    ids
}

#[test]
fn both_doors_find_the_nearest_with_an_index_and_without_one() {
    for settings in ["", "index = false\n", "sync = \"always\"\n"] {
        let (_folder, server) = alone(settings, "");
        let reports = [
            ("fiji", "-18+178"),
            ("tonga", "-21-175"),
            ("la", "+34.068930-118.445127"),
            ("north", "+89.9+10"),
            ("across", "+89.9-170"),
        ];
        // In one write: who asks behind a report finds it.
        let lines: String = reports.iter().map(|(id, at)| format!("IAMAT {id} {at} 1520023934\n")).collect();
        let said = server.ask(&format!("{lines}COUNT\nNEAR +89.95+10 100 1\n"));
        assert!(
            said.contains("\nCOUNT 5\nAT Goloman ") && said.ends_with(" north +89.9+10 1520023934\n\n"),
            "{said}"
        );
        assert_eq!(nearest(&server, -18.0, 179.9, 20_037, 2), ["fiji", "tonga"]);
        assert_eq!(nearest(&server, -18.0, -179.9, 300, 1_000), ["fiji"]);
        assert_eq!(nearest(&server, 89.95, 10.0, 100, 5), ["north", "across"]);
        assert_eq!(nearest(&server, 34.06893, -118.445127, 0, 5), ["la"]);
        assert!(nearest(&server, 0.0, 0.0, 1, 5).is_empty());
        // The date line and a pole are each written in more than one way.
        server.ask("IAMAT line +1-180 5\nIAMAT pole +90+0 5\nIAMAT south -90-33.5 5\n");
        for longitude in [180.0, -180.0] {
            assert_eq!(nearest(&server, 1.0, longitude, 0, 5), ["line"]);
        }
        assert_eq!(nearest(&server, 90.0, 77.0, 0, 5), ["pole"]);
        assert_eq!(nearest(&server, -90.0, 180.0, 0, 5), ["south"]);
        for id in ["line", "pole", "south"] {
            assert_eq!(ask(&server, &format!("DELETE /v1/clients/{id}"), "", "").status, 204);
        }
        // One moves, and one is forgotten.
        server.ask("IAMAT fiji +0+0 1520023935\n");
        assert_eq!(ask(&server, "DELETE /v1/clients/north", "", "").status, 204);
        assert_eq!(nearest(&server, 0.0, 0.0, 1, 5), ["fiji"]);
        assert_eq!(nearest(&server, 89.95, 10.0, 100, 5), ["across"]);
        assert_eq!(server.ask("COUNT\n"), "COUNT 4\n");
    }
}

#[test]
fn who_was_told_elsewhere_and_who_comes_from_the_journal_is_found() {
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\""), ("Hands", "http.listen = \"127.0.0.1:0\"")];
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &tables);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    let reports: String = (0..500)
        .map(|client| format!("IAMAT c{client} +1.{client:03}+2 {}\n", 1_520_023_000 + client))
        .collect();
    let last = goloman.ask(&reports).lines().last().expect("a reply").to_owned();
    hands.wait_to_know("c499", &last);
    let expected: Vec<_> = (0..150).map(|client| format!("c{client}")).collect();
    assert_eq!(nearest(&hands, 1.0, 2.0, 20_037, 150), expected);
    assert_eq!(hands.stop(), Some(0));
    assert_eq!(goloman.stop(), Some(0));
    let hands = herd.start("Hands");
    assert_eq!(nearest(&hands, 1.0, 2.0, 20_037, 10), expected[..10]);
    assert_eq!(hands.ask("COUNT\n"), "COUNT 500\n");
}

#[test]
fn a_flood_of_searches_is_answered_in_order() {
    let (_folder, server) = alone("", "");
    let at = server.ask("IAMAT a +1+1 1520023934\n");
    let mut client = server.client();
    client.send("NEAR +1+1 1 5\nCOUNT\n".repeat(2_000));
    client.half_close();
    let said = client.rest();
    assert!(said == format!("{at}\nCOUNT 1\n").repeat(2_000).as_bytes(), "{} bytes", said.len());
}

// --- a figure

/// Where clients are.
#[derive(Clone, Copy)]
enum Spread {
    /// In one city, 4 km around its middle.
    City,
    /// In 2,000 towns of a country, large and small.
    Towns,
    /// Evenly over the world.
    World,
}

type Place = (f64, f64);

fn bell(random: &mut fastrand::Rng) -> f64 {
    (-2.0 * (1.0 - random.f64()).ln()).sqrt() * (std::f64::consts::TAU * random.f64()).cos()
}

fn places(spread: Spread, count: usize, random: &mut fastrand::Rng) -> Vec<Place> {
    let towns: Vec<Place> =
        (0..2_000).map(|_| (47.0 + 8.0 * random.f64(), 6.0 + 9.0 * random.f64())).collect();
    let mut pick = |_| match spread {
        Spread::City => (60.17 + 0.036 * bell(random), 24.94 + 0.072 * bell(random)),
        Spread::Towns => {
            // The n-th has a share of 1/(n + 10).
            let town = towns[((10.0 * (2_010.0_f64 / 10.0).powf(random.f64())) as usize - 10).min(1_999)];
            (town.0 + 0.01 * bell(random), town.1 + 0.015 * bell(random))
        }
        Spread::World => ((2.0 * random.f64() - 1.0).asin().to_degrees(), 360.0 * random.f64() - 180.0),
    };
    (0..count).map(&mut pick).collect()
}

/// Up to 50 m further on.
fn moved((latitude, longitude): Place, random: &mut fastrand::Rng) -> Place {
    let (step, way) = (50.0 / 111_195.0 * random.f64(), std::f64::consts::TAU * random.f64());
    let longitude = longitude + step * way.cos() / latitude.to_radians().cos().max(0.001);
    ((latitude + step * way.sin()).clamp(-90.0, 90.0), (longitude + 180.0).rem_euclid(360.0) - 180.0)
}

fn told(
    store: &Store,
    client: usize,
    (latitude, longitude): Place,
    time: usize,
    line: &mut String,
) -> (usize, Offsets) {
    let _ = store;
    let begin = line.len();
    let _ = write!(
        line,
        "AT Goloman +0.263873386 client-{client:08}.example {latitude:+.6}{longitude:+.6} {time}.918963997"
    );
    let Ok(Command::At(fields)) = Command::parse(&line.as_bytes()[begin..]) else { panic!("{line}") };
    (begin, Offsets::write(&fields, &mut Vec::new()))
}

/// The figures of docs/operations.md: `cargo test --release --test it -- --ignored --nocapture the_nearest_of_a_million`.
#[test]
#[ignore = "a figure: takes a minute and more than a gigabyte of memory"]
fn the_nearest_of_a_million_moving_clients() {
    const SPREADS: [(&str, Spread); 3] =
        [("one city", Spread::City), ("towns", Spread::Towns), ("the world", Spread::World)];
    const WHAT: &str = "HERD_TEST_FIGURE";
    if let Ok(what) = std::env::var(WHAT) {
        let (figure, name) = what.split_once(' ').expect("two words");
        let (_, spread) = SPREADS.into_iter().find(|(other, _)| *other == name).expect("a spread");
        return match figure {
            "bare" => println!("| {}", memory_of(spread, false)),
            "indexed" => println!("| {}", memory_of(spread, true)),
            _ => find_nearest(spread),
        };
    }
    // Each in a process of its own: memory that was freed would be used again, and not counted.
    let figure = |figure: &str, name: &str| {
        let output = std::process::Command::new(std::env::current_exe().expect("a path"))
            .args(["--ignored", "--exact", "--nocapture"])
            .arg("nearest::the_nearest_of_a_million_moving_clients")
            .env(WHAT, format!("{figure} {name}"))
            .output()
            .expect("a process");
        let said = String::from_utf8_lossy(&output.stdout);
        let row = said.lines().find_map(|line| line.strip_prefix("| "));
        row.unwrap_or_else(|| panic!("{said}{}", String::from_utf8_lossy(&output.stderr))).to_owned()
    };
    println!(
        "| clients | index | a report without it | with it | the nearest 10 | 99 in 100 | the nearest 100 |"
    );
    for (name, _) in SPREADS {
        let [bare, indexed] =
            ["bare", "indexed"].map(|kind| figure(kind, name).parse::<f64>().expect("bytes"));
        println!("| {name} | {:.0} bytes a client | {}", indexed - bare, figure("times", name));
    }
}

const CLIENTS: usize = 1_000_000;

/// Bytes a client that a store takes.
fn memory_of(spread: Spread, is_indexed: bool) -> f64 {
    let places = places(spread, CLIENTS, &mut fastrand::Rng::with_seed(7));
    let (before, store) = (resident_bytes(), Store::new(is_indexed));
    learn_all(&store, &places, 0);
    (resident_bytes() - before) / CLIENTS as f64
}

fn find_nearest(spread: Spread) {
    let mut random = fastrand::Rng::with_seed(7);
    let mut places = places(spread, CLIENTS, &mut random);
    let stores = [false, true].map(|is_indexed| {
        let store = Store::new(is_indexed);
        learn_all(&store, &places, 0);
        store
    });
    let (mut learned, mut found) = ([Vec::new(), Vec::new()], [Vec::new(), Vec::new()]);
    for round in 1..=2_000 {
        let (mut text, mut reports) = (String::new(), Vec::new());
        for _ in 0..500 {
            let client = random.usize(..CLIENTS);
            places[client] = moved(places[client], &mut random);
            reports.push(told(&stores[0], client, places[client], round, &mut text));
        }
        for (store, took) in stores.iter().zip(&mut learned) {
            let begun = Instant::now();
            let ends = reports.iter().skip(1).map(|(begin, _)| *begin).chain([text.len()]);
            for ((begin, offsets), end) in reports.iter().zip(ends) {
                let record = Record::new(&text.as_bytes()[*begin..end], *offsets);
                let _ = store.learn(&record, &Horizon::default());
            }
            took.push(begun.elapsed().as_secs_f64() / 500.0);
        }
        for (most, took) in [10, 100].into_iter().zip(&mut found) {
            let (latitude, longitude) = moved(places[random.usize(..CLIENTS)], &mut random);
            let at = Coordinates::of_degrees(latitude, longitude);
            let begun = Instant::now();
            let mut look = Look::new(Around::new(at, 20_037_000.0), most);
            // Ten are always found by one look, a hundred nearly always.
            let looks =
                1 + (0..8).take_while(|_| stores[1].look(&mut look, |_| true) == Looked::Some).count();
            assert!(looks == 1 || (most == 100 && looks < 8), "{looks}");
            let mut lines = Vec::new();
            stores[1].see_nearest(look, |record, _| lines.push(record.line().to_vec()));
            took.push(begun.elapsed().as_secs_f64());
            assert_eq!(lines.len(), most);
        }
    }
    let [mut learned, mut found] = [learned, found];
    let at = |times: &mut Vec<f64>, percent: usize| {
        times.sort_by(f64::total_cmp);
        times[times.len() * percent / 100]
    };
    println!(
        "| {:.0} ns | {:.0} ns | {:.0} us | {:.0} us | {:.0} us |",
        at(&mut learned[0], 50) * 1e9,
        at(&mut learned[1], 50) * 1e9,
        at(&mut found[0], 50) * 1e6,
        at(&mut found[0], 99) * 1e6,
        at(&mut found[1], 50) * 1e6,
    );
}

fn learn_all(store: &Store, places: &[Place], time: usize) {
    let mut text = String::new();
    for (client, place) in places.iter().enumerate() {
        text.clear();
        let (_, offsets) = told(store, client, *place, time, &mut text);
        let _ = store.learn(&Record::new(text.as_bytes(), offsets), &Horizon::default());
    }
}

fn resident_bytes() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("text");
    let kb =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.strip_suffix("kB")?.trim().parse().ok());
    1_024.0 * kb.unwrap_or(0.0)
}
