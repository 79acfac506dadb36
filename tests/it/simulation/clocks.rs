//! Herds whose clocks are off by minutes, hours or years, and jump both ways: no server is mute for it,
//! and what the slowest says is when clients are forgotten.

use fastrand::Rng;
use herd::node::Heard;
use herd::protocol::{Command, Record};

use super::network::Line;
use super::world::World;
use super::{SECOND, Settings, random_settings, seeds};

const FORGET_AFTER_S: u64 = 60;

/// How long clocks jump about, and how long after that clients go on and all is to be known.
const JUMPS: u64 = 90;
const CALM: u64 = 50;

const OFF_BY_S: [i64; 6] = [0, 5, 5 * 60, 3 * 3_600, 40 * 86_400, 50 * 365 * 86_400];

fn off_by_ns(random: &mut Rng, both: bool) -> i64 {
    let seconds = OFF_BY_S[random.usize(..OFF_BY_S.len())];
    let sign = if both && random.bool() { -1 } else { 1 };
    sign * seconds * 1_000_000_000
}

/// One run. Returns why it failed.
fn run(seed: u64) -> Result<(), String> {
    let mut random = Rng::with_seed(seed);
    let mut settings = random_settings(&mut random);
    (settings.compares, settings.duplicates) = (true, false);
    (settings.forget_after_s, settings.journals) = (Some(FORGET_AFTER_S), true);
    let servers = settings.servers;
    let mut world = World::new(settings, random.fork());
    for server in &mut world.servers {
        server.skew_ns = -off_by_ns(&mut random, false);
    }
    // Twenty clients with clocks of their own, each of them heard of every few seconds somewhere.
    let clients = 20;
    let mut heard = vec![0; clients];
    while world.now < (JUMPS + CALM) * SECOND {
        world.run_until(world.now + random.u64(0..300_000));
        let (client, server) = (random.usize(..clients), random.usize(..servers));
        let line = format!("IAMAT c{client} +1-1 {}", world.now / SECOND + client as u64 * 1_000);
        if world.report(server, &line).is_some() {
            heard[client] = world.now;
        }
        let calm = world.now >= JUMPS * SECOND;
        match random.u8(0..100) {
            0..2 if !calm => world.servers[server].skew_ns = off_by_ns(&mut random, true),
            2..4 if !calm => world.break_one(),
            4 if !calm => {
                let _ = world.crash(server, random.u64(0..5 * SECOND), false, false);
            }
            _ => {}
        }
    }
    // Quiet, so that what was dropped in between can be found; nobody is to be forgotten yet.
    world.heal();
    world.run_until(world.now + 25 * SECOND);
    for (client, &at) in heard.iter().enumerate() {
        // Less than all the time there is, as clocks are known to some seconds only.
        if world.now - at > (FORGET_AFTER_S - 25) * SECOND {
            continue;
        }
        if let Some(server) = (0..servers).find(|&server| !world.knows(server, &format!("c{client}"))) {
            let skews: Vec<_> = world.servers.iter().map(|it| it.skew_ns / 1_000_000_000).collect();
            let ago = (world.now - at) / SECOND;
            return Err(format!(
                "HERD_SEED={seed}: S{server} does not know c{client}, heard of {ago} s ago; clocks are off by {skews:?} s"
            ));
        }
    }
    Ok(())
}

#[test]
fn no_clock_makes_a_server_mute_or_a_living_client_forgotten() {
    for seed in seeds(40) {
        if let Err(why) = run(seed) {
            panic!("{why}");
        }
    }
}

#[test]
fn when_the_slowest_clock_says_so_all_are_forgotten() {
    for seed in seeds(10) {
        let mut random = Rng::with_seed(seed);
        let mut settings = random_settings(&mut random);
        (settings.compares, settings.forget_after_s) = (true, Some(FORGET_AFTER_S));
        let servers = settings.servers;
        let mut world = World::new(settings, random.fork());
        for server in &mut world.servers {
            server.skew_ns = -(random.u64(..600_000_000_000) as i64);
        }
        while world.now < 30 * SECOND {
            world.run_until(world.now + random.u64(0..300_000));
            world.report(random.usize(..servers), &format!("IAMAT c{} +1-1 5", random.u8(..20)));
        }
        let slowest = |world: &World| (0..servers).map(|server| world.posix_ns(server)).min();
        let told = slowest(&world).expect("one");
        // The fastest clock's records are heard of last.
        let spread = (0..servers).map(|server| world.posix_ns(server)).max().expect("one") - told;
        world.run_until(world.now + (FORGET_AFTER_S + 20) * SECOND + spread / 1_000);
        let known: Vec<_> = (0..servers).map(|server| world.count(server)).collect();
        assert!(known.iter().all(|&count| count == 0), "HERD_SEED={seed}: {known:?}");
    }
}

/// Three servers in a line whose clocks are off by so many seconds, on a good line.
fn three(off_by_s: [i64; 3], forget_after_s: u64) -> World {
    three_with(off_by_s, forget_after_s, |_| ())
}

fn three_with(off_by_s: [i64; 3], forget_after_s: u64, change: impl Fn(&mut Settings)) -> World {
    let mut random = Rng::with_seed(1);
    let mut settings = random_settings(&mut random);
    (settings.servers, settings.edges) = (3, vec![(0, 1), (1, 2)]);
    (settings.journals, settings.turn, settings.compares) = (false, 0, true);
    (settings.no_memory_one_in, settings.max_lines, settings.duplicates) = (0, vec![4_096], false);
    (settings.forget_after_s, settings.errands, settings.buckets) = (Some(forget_after_s), 4, 1_024);
    let line = Line { delay: (1_000, 10_000), bandwidth: None, is_relayed: false, ..settings.line };
    settings.line = Line { send_buffer: 1 << 20, receive_buffer: 1 << 20, ..line };
    change(&mut settings);
    let mut world = World::new(settings, random);
    for (server, off_by_s) in world.servers.iter_mut().zip(off_by_s) {
        server.skew_ns = off_by_s * 1_000_000_000;
    }
    // Their clocks are trusted from then on.
    world.run_until(70 * SECOND);
    world
}

#[test]
fn who_ages_out_by_clocks_that_differ_a_little_is_sent_to_nobody() {
    for forget_after_s in [20, 200] {
        let mut world = three([0, -9, 1], forget_after_s);
        for client in 0..200 {
            world.run_until(world.now + SECOND / 4);
            let _ = world.report(client % 3, &format!("IAMAT c{client} +1-1 5"));
        }
        world.run_until(world.now + SECOND);
        assert!(forget_after_s < 50 || world.agrees());
        let (lines, mut sizes) = (world.at_lines(), vec![0; 200]);
        while world.count(0) + world.count(1) + world.count(2) > 0 {
            sizes[world.count(0).min(199)] += 1;
            world.run_until(world.now + SECOND);
            assert!(world.agrees(), "at {} s", world.now / SECOND);
            assert!(world.now < 500 * SECOND, "somebody is not forgotten");
        }
        assert!(sizes.iter().filter(|seconds| **seconds > 0).count() > 10, "they age out one by one");
        assert_eq!(world.at_lines(), lines);
    }
}

#[test]
fn a_clock_that_jumps_for_a_while_makes_nobody_unknown() {
    const TWO_DAYS_NS: i64 = 2 * 86_400 * 1_000_000_000;
    for (jump_ns, all) in [(TWO_DAYS_NS, true), (TWO_DAYS_NS, false), (-TWO_DAYS_NS, true)] {
        let mut world = three([0, 0, 0], 3_600);
        for client in 0..20 {
            let _ = world.report(client % 3, &format!("IAMAT c{client} +1-1 5"));
        }
        let knows =
            |world: &World| (0..3).all(|server| (0..20).all(|it| world.knows(server, &format!("c{it}"))));
        world.run_until(world.now + 10 * SECOND);
        let jumping = if all { 3 } else { 1 };
        for by_ns in [jump_ns, -jump_ns] {
            world.servers[..jumping].iter_mut().for_each(|server| server.skew_ns += by_ns);
            for _ in 0..20 {
                world.run_until(world.now + SECOND);
                assert!(knows(&world), "{jump_ns} {all} at {} s", world.now / SECOND);
            }
        }
        world.run_until(world.now + 200 * SECOND);
        assert!(knows(&world) && world.agrees());
    }
}

#[test]
fn where_a_clock_stays_ahead_clients_go_a_share_at_a_time() {
    let mut world = three([0, 0, 0], 3_600);
    // Enough for a sweep to meet more than its share of them.
    let (node, now_ns, mut line) = (world.core(0), world.posix_ns(0), Vec::new());
    for client in 0..40_000 {
        let text = format!("AT S1 +0.1 c{client} +1-1 {}", now_ns / 1_000_000_000);
        let Ok(Command::At(fields)) = Command::parse(text.as_bytes()) else { panic!("{text}") };
        assert_eq!(node.node.hear(&Record::write(&fields, &mut line), now_ns), Heard::News);
    }
    // All of them, as otherwise the slower ones are reckoned with.
    world.servers.iter_mut().for_each(|server| server.skew_ns += 2 * 86_400 * 1_000_000_000);
    world.run_until(world.now + 59 * SECOND);
    let mut before = world.count(0);
    assert_eq!(before, 40_000);
    while world.count(0) > 0 {
        world.run_until(world.now + SECOND);
        let gone = before - world.count(0);
        assert!(gone <= 1_000 + 3 * 40_000 / world.settings.buckets, "{gone} at once");
        before = world.count(0);
        assert!(world.now < 300 * SECOND);
    }
}

#[test]
fn a_clock_that_was_wrong_for_minutes_is_right_as_soon_as_it_is_set() {
    const TWO_DAYS_NS: i64 = 2 * 86_400 * 1_000_000_000;
    let mut world = three([0, 0, 0], 3_600);
    world.servers.iter_mut().for_each(|server| server.skew_ns += TWO_DAYS_NS);
    world.run_until(world.now + 100 * SECOND);
    world.servers.iter_mut().for_each(|server| server.skew_ns -= TWO_DAYS_NS);
    world.run_until(world.now + 2 * SECOND);
    for server in 0..3 {
        let _ = world.report(server, &format!("IAMAT new{server} +1-1 5"));
    }
    world.run_until(world.now + 2 * SECOND);
    for client in 0..3 {
        assert!((0..3).all(|server| world.knows(server, &format!("new{client}"))), "new{client}");
    }
}

#[test]
fn what_a_clock_far_ahead_stamped_is_sent_to_who_was_away() {
    const FIVE_HOURS_S: i64 = 5 * 3_600;
    // With a max_ahead of an hour each of the two thinks that the other's receipts are in the future, or its own.
    for off_by_s in [[FIVE_HOURS_S, 0, 0], [0, -FIVE_HOURS_S, 0], [2 * 86_400, 0, 0]] {
        let mut world = three_with(off_by_s, 7 * 86_400, |settings| {
            (settings.journals, settings.max_ahead_s) = (true, 3_600);
        });
        let _ = world.report(0, "IAMAT before +1-1 5");
        world.run_until(world.now + 5 * SECOND);
        let _ = world.crash(1, 20 * SECOND, false, false);
        for client in 0..48 {
            assert!(world.report(0, &format!("IAMAT c{client} +1-1 5")).is_some());
        }
        // Another start of it, so that no mark tells what the other one has.
        let _ = world.crash(0, SECOND, false, false);
        world.run_until(world.now + 60 * SECOND);
        for client in 0..48 {
            let known = (0..3).all(|server| world.knows(server, &format!("c{client}")));
            assert!(known, "{off_by_s:?}: c{client}");
        }
    }
}
