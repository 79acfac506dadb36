//! Slow lines, in virtual time: two servers whose line takes long for what one of them knows come to agree in little
//! more than the line needs, and what is new meanwhile does not wait behind that.

use fastrand::Rng;
use herd::feed::Bounds as FeedBounds;

use super::network::Line;
use super::world::World;
use super::{SECOND, Settings, Time, random_settings};

const CLIENTS: usize = 20_000;

/// Two servers, of which the first knows many clients, and nothing goes wrong but what the line is.
fn two(line: Line) -> World {
    let mut random = Rng::with_seed(11);
    let settings = Settings {
        servers: 2,
        edges: vec![(0, 1)],
        line,
        compares: true,
        journals: false,
        duplicates: false,
        forget_after_s: None,
        max_clients: usize::MAX,
        max_ahead_s: 86_400,
        max_lines: vec![4_096],
        no_memory_one_in: 0,
        turn: 0,
        flood_delay: 1_000,
        buckets: 4_096,
        room: 4 << 20,
        channel: 256,
        small_bytes: 16 * 1024,
        feed: FeedBounds::default(),
        errands: 64,
        ..random_settings(&mut random)
    };
    let mut world = World::new(settings, random);
    for first in (0..CLIENTS).step_by(100) {
        let lines =
            (first..first + 100).map(|client| format!("IAMAT client{client:06} +34.068930-118.445127 1\n"));
        world.say(0, lines.collect::<String>().as_bytes());
    }
    world
}

/// How long a line takes for all that is known, without a word more.
fn floor(world: &World, bandwidth: u64) -> Time {
    world.stored_bytes(0) * SECOND / bandwidth
}

/// Checks that two agree in at most 1.3 times what the line takes, while each of some reports is known at the other
/// end within some seconds.
fn check(what: &str, line: Line, known_within: Time) {
    let mut world = two(line);
    let floor = floor(&world, line.bandwidth.expect("a slow line"));
    let (mut told, mut latest) = (0, 0);
    // Until the two have greeted each other.
    world.run_until(2 * SECOND);
    while !world.agrees() {
        assert!(world.now < 3 * floor, "{what}: no agreement in three times what the line takes, {floor} us");
        let client = format!("news{told}");
        let said_at = world.now;
        world.report(0, &format!("IAMAT {client} +1+1 1"));
        while !world.knows(1, &client) && world.now < said_at + 3 * floor {
            world.run_until(world.now + SECOND / 10);
        }
        latest = latest.max(world.now - said_at);
        told += 1;
        world.run_until(world.now + 3 * SECOND);
    }
    let times = world.now as f64 / floor as f64;
    println!(
        "{what}: {times:.2} times what the line takes, {:.1} s; news after {:.1} s",
        floor as f64 / 1e6,
        latest as f64 / 1e6
    );
    assert!(times <= 1.3, "{what}: {times:.2} times what the line takes");
    assert!(latest <= known_within, "{what}: news took {latest} us");
}

#[test]
fn a_slow_line_behind_a_relay_is_filled_once_and_news_does_not_wait_behind_it() {
    let line = Line {
        bandwidth: Some(20_000),
        delay: (20_000, 20_000),
        send_buffer: 4 << 20,
        receive_buffer: 64 << 10,
        is_relayed: true,
    };
    check("20 KB/s behind a relay with 4 MB", line, 6 * SECOND);
}

#[test]
fn a_long_way_with_a_long_queue_is_filled_and_news_does_not_wait_in_it() {
    let line = Line {
        bandwidth: Some(32_000),
        delay: (300_000, 350_000),
        send_buffer: 1 << 20,
        receive_buffer: 256 << 10,
        is_relayed: false,
    };
    check("256 kbit/s, 600 ms there and back, 1 MB of queue", line, 6 * SECOND);
}

#[test]
fn a_burst_of_many_windows_arrives_without_a_rest() {
    let line = Line {
        bandwidth: None,
        delay: (1_000, 2_000),
        send_buffer: 256 << 10,
        receive_buffer: 256 << 10,
        is_relayed: false,
    };
    let mut world = two(line);
    world.run_until(10 * SECOND);
    assert!(world.agrees());
    let begun = world.now;
    for burst in 0..20 {
        let lines = (0..300).map(|client| format!("IAMAT burst{burst}x{client} +34.068930-118.445127 1\n"));
        world.say(0, lines.collect::<String>().as_bytes());
    }
    world.run_until(begun + 2 * SECOND);
    assert!(world.agrees(), "it stopped on the way");
}
