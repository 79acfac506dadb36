//! Herds whose clocks are off by minutes, hours or years, and jump both ways: no server is mute for it,
//! and what the slowest says is when clients are forgotten.

use fastrand::Rng;

use super::world::World;
use super::{SECOND, random_settings, seeds};

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
        let known: Vec<_> = (0..servers).map(|server| world.digest(server).count).collect();
        assert!(known.iter().all(|&count| count == 0), "HERD_SEED={seed}: {known:?}");
    }
}
