//! Herds of random graphs under random faults, in virtual time: whatever happens, in the end all
//! servers know the same, and nothing that a server acknowledged and kept is missing. A failure
//! prints its seed; `HERD_SEED=... cargo test simulation` runs that one again.

mod clocks;
mod disk;
mod engine;
mod glue;
mod lies;
mod network;
mod server;
mod slow;
mod watching;
mod world;

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;
use herd::feed::Bounds as FeedBounds;
use herd::limits::{SCRUB_S, Timing};
use herd::protocol::{Command, Record};
use network::Line;
use world::World;

/// Virtual time, in µs.
pub type Time = u64;
pub const SECOND: Time = 1_000_000;

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Settings {
    pub servers: usize,
    pub edges: Vec<(usize, usize)>,
    /// Between servers, either way.
    pub line: Line,
    /// Whether quiet links compare what they know. Without it marks alone must do.
    pub compares: bool,
    /// A deliberate fault: a mark does not wait for the turn that is under way.
    pub early_marks: bool,
    /// Whether servers keep a journal; every other one promises only what is on the disk then.
    pub journals: bool,
    /// Whether records arrive a second time, at once or long after.
    pub duplicates: bool,
    /// After how many seconds servers forget a client.
    pub forget_after_s: Option<u64>,
    /// Whether clients are to be forgotten now and then.
    pub notes: bool,
    /// How many clients may be known before others are refused, and how many that are not known may be forgotten.
    pub max_clients: usize,
    /// How far ahead a time may be to count.
    pub max_ahead_s: u64,
    /// The longest bytes of a line that servers take from clients, in turn.
    pub max_lines: Vec<usize>,
    /// Bytes of the longest client's ID.
    pub id_bytes: usize,
    /// Now and then the system has no memory for a write, once in so many; 0 is never.
    pub no_memory_one_in: u32,
    /// The most a thread that is woken takes to come to it, a turn of a worker lasts, and the flooder takes to
    /// come to a batch.
    pub jitter: Time,
    pub turn: Time,
    pub flood_delay: Time,
    /// Buckets of a store.
    pub buckets: usize,
    /// Bytes that wait for a link.
    pub room: usize,
    /// Batches the flood's channel holds; more are dropped and the links marked behind. And bytes of a batch that a
    /// turn may send itself.
    pub channel: usize,
    pub small_bytes: usize,
    /// How those who watch are led through the store, and what is kept for them.
    pub feed: FeedBounds,
    /// Questions that wait at once at most; more are refused.
    pub errands: usize,
    /// Whether servers become neighbours, and are none any more, while they run.
    pub rewires: bool,
    /// In how many parts an engine has the herd, and who uses it; without one the graph is connected.
    pub engine: Option<(u16, Vec<bool>)>,
}

impl Settings {
    pub fn timing(&self) -> Timing {
        let compare = if self.compares { Timing::default().compare } else { Duration::from_secs(1 << 30) };
        Timing { compare, ..Timing::default() }
    }
}

/// Runs of the tests that always run.
const RUNS: u64 = 300;

/// A time that no client has, in a world in which it is 2020.
const FAR_AHEAD_S: u64 = 2_000_000_000;

/// How long clients report and things go wrong, and how long the herd then has to agree.
const FAULTS: Time = 40 * SECOND;
const AGREE: Time = 120 * SECOND;

fn random_graph(random: &mut Rng) -> (usize, Vec<(usize, usize)>) {
    let servers = random.usize(3..=12);
    // A random tree, so that it is connected, and some more.
    let mut edges: Vec<_> = (1..servers).map(|server| (random.usize(0..server), server)).collect();
    for _ in 0..random.usize(0..=servers) {
        let (a, b) = (random.usize(0..servers), random.usize(0..servers));
        if a < b && !edges.contains(&(a, b)) {
            edges.push((a, b));
        }
    }
    (servers, edges)
}

/// Whether all servers reach each other.
fn is_connected(servers: usize, edges: &[(usize, usize)]) -> bool {
    let mut reached = vec![false; servers];
    reached[0] = true;
    for _ in 0..servers {
        for &(a, b) in edges {
            let either = reached[a] || reached[b];
            (reached[a], reached[b]) = (either, either);
        }
    }
    reached.into_iter().all(|it| it)
}

fn random_settings(random: &mut Rng) -> Settings {
    let (servers, edges) = random_graph(random);
    let least = random.u64(0..20_000);
    let line = Line {
        bandwidth: (random.u8(0..4) == 0).then(|| random.u64(20_000..200_000)),
        delay: (least, least + random.u64(0..200_000)),
        send_buffer: random.usize(200..20_000),
        receive_buffer: random.usize(200..20_000),
        is_relayed: random.u8(0..4) == 0,
    };
    let notes = random.u8(0..3) == 0;
    let forget_after_s = (random.u8(0..4) == 0).then(|| random.u64(5..60));
    let max_lines = if random.u8(0..4) == 0 { vec![4_096, 128, 1_024] } else { vec![4_096] };
    Settings {
        servers,
        edges,
        line,
        // Servers that differ about who is not shown any more, or void, can only be brought to agree by comparing.
        compares: forget_after_s.is_some() || notes || random.u8(0..4) == 0,
        early_marks: false,
        journals: random.bool(),
        duplicates: random.bool(),
        forget_after_s,
        notes,
        // Each server has room for others of them, and all are to agree.
        max_clients: if notes && least.is_multiple_of(2) { 2 + least as usize % 30 } else { usize::MAX },
        max_ahead_s: 86_400,
        id_bytes: if max_lines.len() > 1 { 1_500 } else { 8 },
        max_lines,
        no_memory_one_in: if random.u8(0..4) == 0 { 100 } else { 0 },
        jitter: random.u64(0..2_000),
        turn: if random.bool() { random.u64(0..20_000) } else { 0 },
        flood_delay: random.u64(0..SECOND),
        // For hundreds of clients, and for being walked through thousands of times.
        buckets: 16,
        room: random.usize(100..10_000),
        channel: random.usize(1..50),
        small_bytes: if random.bool() { 0 } else { 16 * 1024 },
        // Many steps through the store, between which clients change, and rings that fall short of who reads slowly.
        feed: match random.bool() {
            true => FeedBounds::default(),
            false => FeedBounds {
                looks: random.usize(1..8),
                piece_bytes: random.usize(1..2_000),
                own_piece_bytes: random.usize(1..2_000),
                rings_bytes: random.usize(1_000..20_000),
            },
        },
        // One that answers no question of others is never compared with.
        errands: random.usize(usize::from(forget_after_s.is_some() || notes)..4),
        rewires: random.bool(),
        engine: None,
    }
}

/// A client's ID: most are short.
fn client_id(number: u32, settings: &Settings) -> String {
    let bytes = if number.is_multiple_of(5) { settings.id_bytes } else { 0 };
    format!("c{number}{}", "x".repeat(bytes.saturating_sub(8)))
}

/// When an AT line was heard, by the server that wrote it, in ns since 1970.
fn received_ns(line: &str) -> i128 {
    let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
    Record::write(&fields, &mut Vec::new()).received_ns()
}

/// One run. Returns why it failed.
fn run(seed: u64, change: impl Fn(&mut Settings)) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let mut settings = random_settings(&mut random);
    change(&mut settings);
    let servers = settings.servers;
    let fail = |settings: &Settings, why: String| Err(format!("HERD_SEED={seed}: {why}; {settings:?}"));
    let mut world = World::new(settings.clone(), random.fork());
    // Few, that are told over and over in several places, or many, of which each word counts.
    let clients = if random.bool() { 6 } else { 400 };
    // Memory that is gone with its server takes with it what nobody else had.
    let mut lost_memory = !settings.journals;
    // Each with its time, and when it was heard, in ns since 1970.
    let mut acknowledged: HashMap<String, Vec<(u64, i128)>> = HashMap::new();
    // Clients that were to be forgotten, and until when what was heard of them is void.
    let mut void: HashMap<String, i128> = HashMap::new();
    while world.now < FAULTS {
        world.run_until(world.now + random.u64(0..200_000));
        let server = random.usize(0..servers);
        match random.u8(0..100) {
            0..68 => {
                // Clocks of clients are ahead now and then, and later reports older for a while; or so far ahead that
                // they hide nothing.
                let ahead = match random.u8(0..16) {
                    0 => FAR_AHEAD_S,
                    1 | 2 => random.u64(0..100),
                    _ => random.u64(0..4),
                };
                let (client, time) = (random.u32(0..clients), world.now / SECOND + ahead);
                let client = client_id(client, &settings);
                let line = format!("IAMAT {client} +{}-1 {time}", random.u8(0..3));
                if let Some(reply) = world.report(server, &line) {
                    let heard_ns = received_ns(&reply);
                    if settings.duplicates && random.u8(0..4) == 0 {
                        world.repeat(server, random.usize(0..servers), &client);
                    }
                    acknowledged.entry(client).or_default().push((time, heard_ns));
                }
            }
            68..70 if settings.notes => {
                let client = client_id(random.u32(0..clients), &settings);
                if let Some(until_ns) = world.forget(server, &client) {
                    let known = void.entry(client).or_default();
                    *known = until_ns.max(*known);
                }
            }
            68..82 => world.break_one(),
            82..84 if settings.rewires => {
                let other = random.usize(0..servers);
                let pair = (server.min(other), server.max(other));
                let others: Vec<_> = world.edges.iter().copied().filter(|edge| *edge != pair).collect();
                let joins = others.len() == world.edges.len();
                if pair.0 < pair.1 && (joins || is_connected(servers, &others)) {
                    world.edges = if joins { others.into_iter().chain([pair]).collect() } else { others };
                    world.rewire_soon(pair);
                }
            }
            82..85 if settings.engine.is_some() => world.trouble_engine(),
            82..88 => world.cut(server, random.usize(0..servers), random.u64(0..30 * SECOND)),
            88..92 => world.stick(server, random.u64(0..25 * SECOND)),
            _ => {
                let (power, forgets) = (random.u8(0..4) == 0, random.u8(0..6) == 0);
                let back_after = random.u64(0..10 * SECOND);
                lost_memory |= world.crash(server, back_after, power, forgets);
            }
        }
    }
    world.heal();
    // What an engine has lost, with the origin, and comes back from somewhere later, is found by who looks now and then.
    let is_late = settings.engine.is_some() && settings.duplicates;
    let until = world.now + if is_late { (SCRUB_S + 60) * SECOND } else { AGREE };
    while world.now < until && !(world.links_up() && world.agrees() && world.engine_has_all()) {
        world.run_until(world.now + SECOND);
    }
    if !world.agrees() {
        return fail(&settings, format!("no agreement: {}", world.difference()));
    }
    if !world.engine_has_all() {
        return fail(&settings, format!("the engine has other records: {}", world.difference()));
    }
    for (client, reports) in acknowledged.iter().filter(|_| !lost_memory) {
        // A report is hidden by any with a later time, also by one that is forgotten by now.
        let believed = || reports.iter().filter(|(time, _)| *time < FAR_AHEAD_S);
        let Some(newest) = believed().map(|(time, _)| *time).max() else { continue };
        let from_s = world.span().from_s.max(world.shown_s);
        let void_ns = void.get(client).copied().unwrap_or(i128::MIN);
        let from_ns = from_s.map_or(i128::MIN, |from_s| i128::from(from_s) * 1_000_000_000);
        if believed().any(|(time, heard_ns)| *time == newest && *heard_ns < from_ns.max(void_ns + 1)) {
            continue;
        }
        let node = world.servers[0].running.as_ref().expect("it agrees").node();
        let stored = node.store.read(client.as_bytes(), |record| {
            String::from_utf8_lossy(record.line()).rsplit(' ').next().and_then(|time| time.parse().ok())
        });
        if stored.flatten().is_none_or(|stored: u64| stored < newest || stored >= FAR_AHEAD_S) {
            return fail(&settings, format!("{client} is not as new as was acknowledged"));
        }
    }
    for (client, until_ns) in void.iter().filter(|_| !lost_memory) {
        for server in &world.servers {
            let node = server.running.as_ref().expect("it agrees").node();
            let heard_ns = node.store.read(client.as_bytes(), |record| record.received_ns());
            if heard_ns.is_some_and(|heard_ns| heard_ns <= *until_ns) {
                return fail(&settings, format!("{client} was to be forgotten, and came back"));
            }
        }
    }
    if let Err(why) = world.have_watchers_catch_up() {
        return fail(&settings, format!("somebody who watches was not told: {why}"));
    }
    if let Some(forget_after_s) = settings.forget_after_s {
        // Until the last report is past by every clock; from there on nobody knows anything, for good.
        world.run_until(world.now.max(FAULTS + (forget_after_s + 110) * SECOND));
        for _ in 0..40 {
            if (0..servers).any(|server| world.count(server) > 0) {
                return fail(&settings, "what was forgotten came back".into());
            }
            world.run_until(world.now + SECOND);
        }
    }
    Ok(())
}

/// The seeds to run: one that was asked for, or so many that nobody chose; `HERD_RUNS` asks for more.
fn seeds(runs: u64) -> Vec<u64> {
    let asked = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    match asked("HERD_SEED") {
        Some(seed) => vec![seed],
        None => (0..asked("HERD_RUNS").unwrap_or(runs)).map(|_| fastrand::u64(..)).collect(),
    }
}

fn check(runs: u64, change: impl Fn(&mut Settings)) {
    for seed in seeds(runs) {
        if let Err(why) = run(seed, &change) {
            panic!("{why}");
        }
    }
}

/// A herd that only marks can bring to agreement, in which turns are long enough for marks to come between their
/// beginning and their end, and nothing is missing for another reason.
fn with_long_turns(settings: &mut Settings) {
    (settings.compares, settings.notes, settings.turn, settings.forget_after_s) =
        (false, false, SECOND, None);
}

#[test]
fn any_herd_agrees_in_the_end_whatever_goes_wrong() {
    check(RUNS, |_| ());
}

/// Islands that only an engine joins.
fn with_engine(settings: &mut Settings) {
    let mut random = Rng::with_seed(settings.buckets as u64 ^ settings.room as u64 ^ settings.jitter);
    settings.rewires = false;
    settings.edges.retain(|_| random.u8(0..3) > 0);
    let mut is_member: Vec<_> = (0..settings.servers).map(|_| random.u8(0..3) > 0).collect();
    // Each island has a member.
    for server in 0..settings.servers {
        let island = island_of(server, settings);
        if !island.iter().any(|&other| is_member[other]) {
            is_member[server] = true;
        }
    }
    settings.engine = Some((1 << random.u32(0..4), is_member));
}

/// All servers that one reaches by links.
fn island_of(server: usize, settings: &Settings) -> Vec<usize> {
    let mut island = vec![server];
    for _ in 0..settings.servers {
        for &(a, b) in &settings.edges {
            match (island.contains(&a), island.contains(&b)) {
                (true, false) => island.push(b),
                (false, true) => island.push(a),
                _ => {}
            }
        }
    }
    island
}

#[test]
fn any_herd_joined_by_an_engine_agrees_in_the_end_whatever_goes_wrong() {
    check(RUNS / 2, with_engine);
}

/// The whole figure of it: `cargo test --release --test it -- --ignored ten_thousand`.
#[test]
#[ignore = "takes minutes; the same with fewer runs runs always"]
fn ten_thousand_herds_agree() {
    check(10_000, |_| ());
}

#[test]
fn no_mark_overtakes_what_a_turn_under_way_has_learned() {
    check(RUNS / 2, with_long_turns);
}

#[test]
fn a_mark_that_overtakes_its_news_is_caught() {
    let caught = (0..400).any(|seed| {
        let found = run(seed, |settings| {
            with_long_turns(settings);
            settings.early_marks = true;
        });
        found.is_err()
    });
    assert!(caught, "the simulation would not notice a mark sent too early");
}

#[test]
fn the_same_seed_is_the_same_run() {
    let trace = || {
        let mut world = World::new(random_settings(&mut Rng::with_seed(7)), Rng::with_seed(7));
        for second in 1..20 {
            world.report(0, &format!("IAMAT c +1+1 {second}"));
            world.break_one();
            world.run_until(second * SECOND);
        }
        (world.at_lines(), world.random.u64(..))
    };
    assert_eq!(trace(), trace());
}

fn shape(name: &str, servers: usize) -> Vec<(usize, usize)> {
    match name {
        "line" => (1..servers).map(|server| (server - 1, server)).collect(),
        "ring" => (0..servers).map(|server| (server, (server + 1) % servers)).collect(),
        "tree" => (1..servers).map(|server| ((server - 1) / 2, server)).collect(),
        "star" => (1..servers).map(|server| (0, server)).collect(),
        "mesh" => (0..servers).flat_map(|a| (a + 1..servers).map(move |b| (a, b))).collect(),
        other => panic!("{other}"),
    }
}

/// AT lines per update, and ms until all know it, with 1 ms from server to server.
fn flood_of(name: &str, servers: usize, updates: u64) -> (f64, f64) {
    let most = 1 << 30;
    let settings = Settings {
        servers,
        edges: shape(name, servers),
        line: Line {
            bandwidth: None,
            delay: (1_000, 1_000),
            send_buffer: most,
            receive_buffer: most,
            is_relayed: false,
        },
        compares: false,
        early_marks: false,
        journals: false,
        duplicates: false,
        forget_after_s: None,
        notes: false,
        max_clients: usize::MAX,
        max_ahead_s: 86_400,
        max_lines: vec![4_096],
        id_bytes: 0,
        no_memory_one_in: 0,
        jitter: 0,
        turn: 0,
        flood_delay: 0,
        buckets: 16,
        room: most,
        channel: 256,
        small_bytes: 16 * 1024,
        feed: FeedBounds::default(),
        errands: 64,
        rewires: false,
        engine: None,
    };
    let mut world = World::new(settings, Rng::with_seed(1));
    while !world.links_up() {
        world.run_until(world.now + SECOND);
    }
    let (lines_before, mut spent) = (world.at_lines(), 0);
    for update in 0..updates {
        let begun = world.now;
        world.report(servers / 3, &format!("IAMAT c{update} +1+1 1"));
        // Looked at every ms at first, and more coarsely the longer it takes.
        while !world.agrees() {
            let step = 1_000.max((world.now - begun) / 50);
            world.run_until(world.now + step);
        }
        spent += world.now - begun;
        world.run_until(world.now + SECOND);
    }
    ((world.at_lines() - lines_before) as f64 / updates as f64, spent as f64 / updates as f64 / 1e3)
}

#[test]
fn a_flood_reaches_every_server_once_by_every_link_and_ends() {
    // In a tree of n servers n - 1 lines go out; in a mesh each that hears it tells all but one.
    for (name, expected) in [("line", 4.0), ("ring", 6.0), ("tree", 4.0), ("star", 4.0), ("mesh", 16.0)] {
        let (lines, ms) = flood_of(name, 5, 20);
        let exact = name != "ring" && name != "mesh";
        let fits = if exact { lines == expected } else { lines >= 4.0 && lines <= expected + 4.0 };
        assert!(fits && ms < 1_000.0, "{name}: {lines} lines, {ms} ms");
    }
}

/// The table of docs/promises.md: `cargo test --release --test it -- --ignored --nocapture table_of_floods`.
#[test]
#[ignore = "prints a table; nothing to fail"]
fn table_of_floods() {
    println!("| graph | 5 | 50 | 500 |\n|---|---|---|---|");
    for name in ["line", "ring", "tree", "star", "mesh"] {
        let cells: Vec<_> = [5, 50, 500]
            .into_iter()
            .map(|servers| {
                let (lines, ms) = flood_of(name, servers, if servers > 100 { 3 } else { 20 });
                format!("{lines:.0} / {ms:.0} ms")
            })
            .collect();
        println!("| {name} | {} |", cells.join(" | "));
    }
}
