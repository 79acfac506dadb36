//! The workloads of a whole herd: updates at one server, seen behind the farthest; and a server
//! that was down and heals. `compare` calls it.

use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::dialect::Dialect;
use crate::generator::{self, Hooks, Outcome, Plan};
use crate::observer::{Observer, Timing};
use crate::pacing::Pace;
use crate::process::{self, Usage};
use crate::start::{AGREE_MAX, FARTHEST, NAME, Started, Starter};
use crate::variants::Variant;
use crate::workload::{BASE_S, Times};

/// What came of a run.
pub struct HerdOutcome {
    /// Its latencies are those at the observer, where an open loop was timed there.
    pub outcome: Outcome,
    /// When they were ready, and around the measured time: of all servers, or of the loaded one
    /// where another was down meanwhile.
    pub usage: [Usage; 3],
    /// From the end of the load until the observer had seen the newest of every client; of a server
    /// that was down, from its start.
    pub agreed_after: Duration,
    /// What the loaded server said on stderr.
    pub stderr: String,
}

/// `heal`: clients, updates a second, and how long the farthest server is down.
const HEAL_CLIENTS: usize = 1_000;
const HEAL_PER_SECOND: f64 = 5_000.0;
const HEAL_DOWN: Duration = Duration::from_secs(5);
/// How long the load goes on after the server is back.
const HEAL_AFTER: Duration = Duration::from_secs(5);

pub fn plan(address: SocketAddr, connections: usize, pace: Pace, times: Times) -> Plan {
    Plan {
        address,
        dialect: Dialect::Herd { server: NAME.into(), whatsat_every: 0 },
        connections,
        clients_each: 1,
        dues: None,
        idle: 0,
        known: 0,
        mob: false,
        fresh: false,
        half_closes: false,
        greedy: false,
        pace,
        warm_up: times.warm_up,
        measured: times.measured,
        // One, so that every client's place in the schedule is known to the observer.
        threads: 1,
        first_client: 0,
        base_s: BASE_S,
    }
}

/// Starts five servers and waits until an update at the first reaches the observer.
fn start(starter: &Starter, variant: &Variant, clients: usize) -> io::Result<(Started, Observer)> {
    // One client more than the load has: the first update shows that the servers are linked.
    let observer = Observer::start(clients + 1)?;
    let started = starter.five(variant, observer.address)?;
    tell_once(started.first().address, clients, BASE_S)?;
    let is_probe = |client| u64::from(client == clients);
    match observer.wait_for(is_probe, AGREE_MAX) {
        Some(_) => Ok((started, observer)),
        None => Err(io::Error::other("an update does not reach the farthest server")),
    }
}

/// Has a client report once, in this second, and waits for the reply.
///
/// # Errors
/// It cannot be reached. What goes wrong later shows in that the report is seen nowhere.
pub fn tell_once(address: SocketAddr, client: usize, at_s: u64) -> io::Result<()> {
    let times = Times { warm_up: Duration::ZERO, measured: Duration::from_millis(1) };
    let told = Plan {
        first_client: client,
        base_s: at_s,
        ..plan(address, 1, Pace::Open { per_second: 1.0 }, times)
    };
    generator::run(&told, &Hooks::NONE).map(drop)
}

/// Updates at one server over 50 connections, as fast as they are answered, or at a rate.
///
/// # Errors
/// The herd does not start, or does not agree in the end.
pub fn herd(
    starter: &Starter,
    variant: &Variant,
    rate: Option<f64>,
    times: Times,
) -> io::Result<HerdOutcome> {
    const CONNECTIONS: usize = 50;
    let (started, observer) = start(starter, variant, CONNECTIONS)?;
    let pace = rate.map_or(Pace::Closed { depth: 1 }, |per_second| Pace::Open { per_second });
    let plan = plan(started.first().address, CONNECTIONS, pace, times);
    let window_ns = times.warm_up.as_nanos() as u64..(times.warm_up + times.measured).as_nanos() as u64;
    let first = started.usage();
    let (before, after) = (Mutex::new(first), Mutex::new(first));
    let note =
        |slot: &Mutex<Usage>| *slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = started.usage();
    let hooks = Hooks {
        begins: &|start| {
            if let Some(per_second) = rate {
                observer.time(Timing::new(start, per_second, CONNECTIONS, window_ns.clone()));
            }
        },
        opens: &|| note(&before),
        closes: &|| note(&after),
    };
    let mut outcome = generator::run(&plan, &hooks)?;
    let agreed_after = agree(&observer, &outcome)?;
    if let Some(seen) = observer.timed() {
        outcome.latency_ns = seen;
    }
    let read = |slot: Mutex<Usage>| slot.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    let usage = [first, read(before), read(after)];
    Ok(HerdOutcome { outcome, usage, agreed_after, stderr: started.first().stderr() })
}

/// Waits until the observer has the newest of what was answered.
fn agree(observer: &Observer, outcome: &Outcome) -> io::Result<Duration> {
    let mut newest = vec![0; outcome.answered.len() + 1];
    for &(client, count) in &outcome.answered {
        newest[client] = count;
    }
    let agreed = observer.wait_for(|client| newest[client], AGREE_MAX);
    agreed.ok_or_else(|| io::Error::other("the herd did not agree"))
}

/// The farthest server is killed under load and started again: how long until it agrees.
///
/// # Errors
/// The herd does not start, or does not agree while the load lasts.
pub fn heal(starter: &Starter, variant: &Variant) -> io::Result<HerdOutcome> {
    let (mut started, observer) = start(starter, variant, HEAL_CLIENTS)?;
    let warm_up = Duration::from_secs(1);
    let times = Times { warm_up, measured: HEAL_DOWN + HEAL_AFTER };
    let pace = Pace::Open { per_second: HEAL_PER_SECOND };
    let plan = plan(started.first().address, HEAL_CLIENTS, pace, times);
    let loaded = started.first().id();
    let usage_now = || process::usage(loaded).unwrap_or_default();
    let (before, after) = (Mutex::new(Usage::default()), Mutex::new(Usage::default()));
    let note =
        |slot: &Mutex<Usage>| *slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner()) = usage_now();
    let hooks = Hooks { opens: &|| note(&before), closes: &|| note(&after), ..Hooks::NONE };
    let first = usage_now();
    std::thread::scope(|scope| {
        let load = scope.spawn(|| generator::run(&plan, &hooks));
        std::thread::sleep(warm_up);
        let listen = started.kill(FARTHEST).ok_or_else(|| io::Error::other("it was gone"))?;
        std::thread::sleep(HEAL_DOWN);
        observer.forget();
        let restarted = Instant::now();
        starter.add(&mut started, variant, FARTHEST, listen)?;
        // Of every client what was due by now, but for what is on its way.
        let due = (warm_up + HEAL_DOWN).as_secs_f64() - 0.1;
        let each = (due * HEAL_PER_SECOND / HEAL_CLIENTS as f64) as u64;
        let agreed = observer.wait_for(|client| if client < HEAL_CLIENTS { each } else { 0 }, HEAL_AFTER);
        let agreed_after = agreed.map(|_| restarted.elapsed());
        let outcome = load.join().map_err(|_| io::Error::other("the generator panicked"))??;
        let agreed_after =
            agreed_after.ok_or_else(|| io::Error::other("it did not agree while the load lasted"))?;
        let read = |slot: &Mutex<Usage>| *slot.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let stderr = started.first().stderr();
        Ok(HerdOutcome { outcome, usage: [first, read(&before), read(&after)], agreed_after, stderr })
    })
}
