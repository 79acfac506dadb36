//! What holds the parts of a server together, one fault at a time: each of these went wrong once.

use std::time::Duration;

use fastrand::Rng;
use herd::limits::{READ_BYTES, STACK_BYTES, Timing};

use super::world::World;
use super::{SECOND, random_settings};

const HELLO: &str = "HERD 1 - 0000000000000007 00000000000000000000000000000002 0000000000000003\n";

/// A quiet herd without a secret, in which who asks from this machine needs no proof.
fn quiet() -> World {
    let mut random = Rng::with_seed(1);
    let mut settings = random_settings(&mut random);
    (settings.journals, settings.errands, settings.turn) = (false, 0, 0);
    (settings.no_memory_one_in, settings.max_lines) = (0, vec![4_096]);
    let mut world = World::open_to_all(settings, random);
    world.run_until(30 * SECOND);
    world
}

#[test]
fn a_greeting_that_goes_no_further_ends_on_a_server_that_does_nothing_else() {
    let mut world = quiet();
    let guest = world.visitor(0, HELLO.as_bytes());
    world.run_until(world.now + SECOND);
    assert!(!world.net.lock().is_closed(guest), "it has its time");
    let late = Timing::default().greeting + Duration::from_secs(2);
    world.run_until(world.now + late.as_micros() as u64);
    assert!(world.net.lock().is_closed(guest), "it greeted and went no further");
}

#[test]
fn questions_without_end_are_answered_however_many_are_refused() {
    // On the stack of a worker.
    let run = || {
        let mut world = quiet();
        let asks = "ASK - -\n".repeat(READ_BYTES / 8 - 64);
        let guest = world.visitor(0, format!("{HELLO}PROOF -\n{asks}").as_bytes());
        world.run_until(world.now + 20 * SECOND);
        assert!(!world.net.lock().is_closed(guest) && !world.net.lock().is_readable(guest));
        assert!(world.agrees());
    };
    let worker = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(run);
    worker.expect("a thread").join().expect("it holds");
}
