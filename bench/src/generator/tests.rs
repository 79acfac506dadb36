//! The generator against servers whose behaviour is known: what it reports must be that.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::*;
use crate::workload::BASE_S;

/// A server that gives every line to `answer`, which writes the reply when it likes.
fn serve(answer: impl Fn(&str, &mut TcpStream) + Send + Sync + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound");
    let answer = Arc::new(answer);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let answer = answer.clone();
            std::thread::spawn(move || {
                stream.set_nodelay(true).expect("set");
                let reader = BufReader::new(stream.try_clone().expect("cloned"));
                for line in reader.lines().map_while(Result::ok) {
                    answer(&line, &mut stream);
                }
            });
        }
    });
    address
}

fn right_reply(line: &str) -> String {
    format!("AT Goloman +0.000000001 {}\n", line.strip_prefix("IAMAT ").expect("a report"))
}

fn plan(address: SocketAddr, pace: Pace) -> Plan {
    Plan {
        address,
        dialect: Dialect::Herd { server: "Goloman".into(), whatsat_every: 0 },
        connections: 4,
        clients_each: 1,
        dues: None,
        idle: 3,
        known: 0,
        fresh: false,
        half_closes: false,
        greedy: false,
        mob: false,
        pace,
        warm_up: Duration::from_millis(100),
        measured: Duration::from_millis(900),
        threads: 2,
        first_client: 0,
        base_s: BASE_S,
    }
}

fn measure(plan: &Plan) -> Outcome {
    run(plan, &Hooks::NONE).expect("connected")
}

#[test]
fn a_known_delay_is_the_latency_and_sets_the_rate() {
    let delay = Duration::from_millis(20);
    let address = serve(move |line, stream| {
        std::thread::sleep(delay);
        let _ = stream.write_all(right_reply(line).as_bytes());
    });
    let outcome = measure(&plan(address, Pace::Closed { depth: 1 }));
    assert_eq!(outcome.fault, None);
    // Each of four connections can have no more than one reply in 20 ms.
    assert!(outcome.replies > 0 && outcome.per_second() <= 4.0 / 0.020 * 1.05, "{}", outcome.per_second());
    assert!(outcome.latency_ns.min() >= 19_900_000, "{}", outcome.latency_ns.min());
    assert_eq!(outcome.latency_ns.len(), outcome.replies);
}

#[test]
fn a_stall_shows_in_the_latency_of_all_it_delayed() {
    let (from, stall) = (Instant::now() + Duration::from_millis(400), Duration::from_millis(400));
    let address = serve(move |line, stream| {
        let now = Instant::now();
        if (from..from + stall).contains(&now) {
            std::thread::sleep(from + stall - now);
        }
        let _ = stream.write_all(right_reply(line).as_bytes());
    });
    let outcome = measure(&plan(address, Pace::Open { per_second: 400.0 }));
    assert_eq!((outcome.fault.clone(), outcome.unanswered), (None, 0));
    // Due in 900 ms whatever happened: the rate is kept.
    let due = outcome.latency_ns.len();
    assert!((350..=370).contains(&due), "{due}");
    // 400 ms of 900 were a stall, so well over a tenth waited for over half of it.
    assert!(outcome.latency_ns.value_at_quantile(0.9) > 200_000_000);
    assert!(outcome.latency_ns.max() < 10_000_000_000);
    // A closed loop would have told of one late command a connection.
    let late = outcome.latency_ns.count_between(100_000_000, LATENCY_MAX_NS);
    assert!(late > 80, "{late}");
}

#[test]
fn what_is_never_answered_is_counted_with_the_time_it_waited() {
    let address = serve(|_, _| {});
    let mut plan = plan(address, Pace::Open { per_second: 100.0 });
    plan.measured = Duration::from_millis(200);
    let outcome = measure(&plan);
    assert_eq!((outcome.replies, outcome.fault), (0, None));
    assert!((18..=22).contains(&outcome.unanswered), "{}", outcome.unanswered);
    assert!(outcome.latency_ns.min() >= DRAIN.as_nanos() as u64 / 2);
}

#[test]
fn a_connection_that_is_never_answered_is_counted_in_a_closed_loop_too() {
    let address = serve(|line, stream| {
        if !line.contains("c0000002") {
            let _ = stream.write_all(right_reply(line).as_bytes());
        }
    });
    let outcome = measure(&plan(address, Pace::Closed { depth: 3 }));
    assert_eq!((outcome.fault.clone(), outcome.unanswered), (None, 3));
    assert!(outcome.replies > 3 && outcome.latency_ns.max() >= 990_000_000, "{}", outcome.latency_ns.max());
}

#[test]
fn an_open_loop_counts_what_came_in_time_however_much_comes_later() {
    // One command in 20 ms on each of four connections is a fifth of what is due.
    let address = serve(|line, stream| {
        std::thread::sleep(Duration::from_millis(20));
        let _ = stream.write_all(right_reply(line).as_bytes());
    });
    let outcome = measure(&plan(address, Pace::Open { per_second: 1_000.0 }));
    assert_eq!((outcome.fault.clone(), outcome.unanswered), (None, 0));
    assert!(outcome.latency_ns.len() > 880, "{}", outcome.latency_ns.len());
    assert!(outcome.per_second() <= 4.0 / 0.020 * 1.05, "{}", outcome.per_second());
}

#[test]
fn a_wrong_reply_voids_the_run() {
    for wrong in ["? what\n", "AT Goloman +0.000000001 c9 +1+1 1\n"] {
        let address = serve(move |_, stream| drop(stream.write_all(wrong.as_bytes())));
        let fault = measure(&plan(address, Pace::Closed { depth: 2 })).fault.expect("void");
        assert!(fault.contains("wrong reply") && fault.contains(wrong.trim_end()), "{fault}");
    }
    let address = serve(|line, stream| drop(stream.write_all(right_reply(line).repeat(2).as_bytes())));
    let fault = measure(&plan(address, Pace::Closed { depth: 1 })).fault.expect("void");
    assert!(fault.contains("answers nothing") || fault.contains("wrong reply"), "{fault}");
}

#[test]
fn a_closed_connection_voids_the_run() {
    let address = serve(|_, stream| drop(stream.shutdown(std::net::Shutdown::Both)));
    let fault = measure(&plan(address, Pace::Closed { depth: 1 })).fault.expect("void");
    assert!(fault.contains("closed") || fault.contains("reset"), "{fault}");
}

#[test]
fn a_fresh_connection_a_command_is_one() {
    let address = serve(|line, stream| {
        let _ = stream.write_all(right_reply(line).as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
    });
    let outcome = measure(&Plan { fresh: true, idle: 0, ..plan(address, Pace::Closed { depth: 1 }) });
    assert_eq!(outcome.fault, None);
    assert!(outcome.replies > 4, "every connection of the four was used once only: {}", outcome.replies);
}

#[test]
fn what_was_due_is_sent_however_late_the_generator_is() {
    let address = serve(|line, stream| stream.write_all(right_reply(line).as_bytes()).expect("sent"));
    // Over before any thread gets to run.
    let short = Plan {
        warm_up: Duration::ZERO,
        measured: Duration::from_nanos(1),
        threads: 1,
        ..plan(address, Pace::Open { per_second: 1.0 })
    };
    let outcome = measure(&short);
    assert_eq!((outcome.latency_ns.len(), outcome.unanswered, outcome.fault), (1, 0, None));
}
