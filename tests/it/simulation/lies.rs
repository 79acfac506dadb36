//! What one end of a link may say that is not so: it costs the liar its share, and nobody their positions for good.

use fastrand::Rng;
use herd::limits::Timing;
use herd::node::NeighbourId;

use super::network::Line;
use super::world::World;
use super::{SECOND, Settings, Time, random_settings};

/// Two servers that know each other by their address, on a good line.
fn two(change: impl Fn(&mut Settings)) -> World {
    let mut random = Rng::with_seed(1);
    let mut settings = random_settings(&mut random);
    (settings.servers, settings.edges) = (2, vec![(0, 1)]);
    (settings.journals, settings.turn, settings.compares) = (false, 0, true);
    (settings.no_memory_one_in, settings.max_lines, settings.errands) = (0, vec![4_096], 4);
    settings.forget_after_s = None;
    let line = Line { delay: (1_000, 10_000), bandwidth: None, is_relayed: false, ..settings.line };
    settings.line = Line { send_buffer: 1 << 20, receive_buffer: 1 << 20, ..line };
    change(&mut settings);
    World::open_to_all(settings, random)
}

/// Time passes, and both servers have news once a second.
fn run_busy(world: &mut World, duration: Time) {
    let until = world.now + duration;
    while world.now < until {
        world.run_until(world.now + SECOND);
        for server in 0..2 {
            let (client, time) = (world.now / SECOND % 50, world.now / SECOND);
            let _ = world.report(server, &format!("IAMAT news{server}.{client} +1+1 {time}"));
        }
    }
}

fn busy_ms() -> Time {
    Timing::default().compare_busy.as_micros() as Time
}

#[test]
fn what_a_mark_of_somebody_else_hid_is_found_in_a_herd_that_is_never_quiet() {
    let mut world = two(|_| ());
    run_busy(&mut world, 20 * SECOND);
    let core = world.core(1);
    let incarnation = world.core(0).neighbours.own.incarnation;
    let seen = core.neighbours.seen.of(NeighbourId(0), incarnation);
    assert!(seen > 5, "{seen}");
    (0..10).for_each(|_| world.break_one());
    world.cut(0, 1, 30 * SECOND);
    let _ = world.report(0, "IAMAT lost +1+1 1");
    run_busy(&mut world, 20 * SECOND);
    assert!(!world.links_up());
    let hello = format!("HERD 1 S0 {incarnation:016x} {:032x}\nPROOF -\nMARK {}\n", 1, seen + 10);
    let _ = world.visitor(1, hello.as_bytes());
    run_busy(&mut world, 60 * SECOND);
    assert!(world.links_up() && !world.knows(1, "lost"), "the lie is believed at first");
    run_busy(&mut world, busy_ms() + 30 * SECOND);
    assert!(world.knows(1, "lost"));
}

#[test]
fn a_mark_that_is_too_high_hides_nothing_once_its_owner_speaks() {
    let mut world = two(|settings| settings.compares = false);
    run_busy(&mut world, 20 * SECOND);
    let incarnation = world.core(0).neighbours.own.incarnation;
    let hello = format!("HERD 1 S0 {incarnation:016x} {:032x}\nPROOF -\nMARK {}\n", 1, u32::MAX);
    let _ = world.visitor(1, hello.as_bytes());
    run_busy(&mut world, 20 * SECOND);
    let seen = world.core(1).neighbours.seen.of(NeighbourId(0), incarnation);
    assert!(seen < 1_000, "its own mark counts: {seen}");
    let _ = world.visitor(1, hello.as_bytes());
    world.cut(0, 1, 40 * SECOND);
    run_busy(&mut world, 30 * SECOND);
    let _ = world.report(0, "IAMAT lost +1+1 1");
    run_busy(&mut world, 40 * SECOND);
    assert!(world.knows(1, "lost"));
}

#[test]
fn a_digest_that_nobody_asked_for_is_nothing() {
    let mut world = two(|settings| settings.compares = false);
    for client in 0..1_000 {
        let _ = world.report(0, &format!("IAMAT c{client} +1+1 1"));
    }
    world.run_until(30 * SECOND);
    assert!(world.agrees() && world.links_up());
    let lines = world.at_lines();
    for number in 0..50 {
        let sums = format!("{number:016x}").repeat(256);
        world.say_on_link(1, 0, format!("DIGEST - - 1 {sums}\n").as_bytes());
        world.run_until(world.now + SECOND);
    }
    assert_eq!(world.at_lines(), lines);
}

#[test]
fn a_record_heard_in_the_future_is_forgotten_and_does_not_come_back() {
    let mut world = two(|settings| settings.forget_after_s = Some(120));
    world.run_until(70 * SECOND);
    // As heard 3,000 years from now, and as made then, too; it seems to come from S1, which needs no copy.
    let lie = format!("AT S1 +{0} forged +1+1 1\nAT S1 +0.1 later +1+1 {0}\n", 3_000_u64 * 31_557_600);
    let _ = world.visitor(0, lie.as_bytes());
    world.run_until(world.now + 110 * SECOND);
    assert!(world.knows(0, "forged") && world.knows(0, "later") && world.agrees());
    // A start that knows nothing is told of them, and forgets them later. As they are not compared, S0 is not told again.
    let _ = world.crash(1, SECOND, false, false);
    world.run_until(world.now + 60 * SECOND);
    assert_eq!((world.links_up(), world.agrees(), world.count(0), world.count(1)), (true, true, 0, 2));
    for _ in 0..200 {
        world.run_until(world.now + SECOND);
        assert_eq!(world.count(0), 0);
    }
    assert_eq!(world.count(1), 0);
}
