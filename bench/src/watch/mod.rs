//! Reports beside subscribers of a stream of events. `compare` measures what these get; `watch` starts herd, and says how
//! much longer reports take beside them.

mod subscribers;

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::args::WatchArgs;
use crate::dialect::Dialect;
use crate::dues::Dues;
use crate::generator::{self, BUSY_LIMIT, Hooks, Outcome, Plan};
use crate::leftovers;
use crate::pacing::Pace;
use crate::phones::{be_like_others, measure_first};
use crate::process::{Process, Ready, Usage};
use crate::report::table::short;
use crate::start::NAME;
use crate::stats::Spread;
use crate::workload::{self, Door};
pub use subscribers::Told;
use subscribers::{Stage, Subscribers};

/// Where herd and its rivals tell what happens.
pub const PATH: &str = "/v1/events";

/// Beside subscribers the p99 of reports may be so many times what it is alone; below this it is of no interest.
const TIMES_MAX: f64 = 2.0;
const FLOOR_US: f64 = 5_000.0;

/// How often memory is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// A run of `compare`.
pub struct Watched {
    /// Of the reports.
    pub outcome: Outcome,
    /// What subscribers got.
    pub told: Told,
    /// When it was ready, and around the measured time.
    pub usage: [Usage; 3],
    /// The most there was in the measured time.
    pub resident_bytes: u64,
}

/// Has subscribers read at an address while a plan makes its reports; `usage` is of the server.
///
/// # Errors
/// Nobody can connect, or a stream has what it should not.
pub fn run(
    plan: &Plan,
    stream: (SocketAddr, &str),
    subscribers: usize,
    usage: &(dyn Fn() -> Usage + Sync),
) -> io::Result<Watched> {
    let dues = Arc::new(Dues::new(plan.connections, plan.clients_each));
    let plan = Plan { dues: Some(dues.clone()), ..plan.clone() };
    let first = usage();
    let clients = plan.connections * plan.clients_each;
    let reading = Subscribers::connect(stream, [subscribers, 0], (clients, plan.base_s), dues.clone())?;
    let (stage, most_bytes) = (Stage::default(), AtomicU64::new(0));
    let (before, after) = (Mutex::new(first), Mutex::new(first));
    let note = |slot: &Mutex<Usage>| *slot.lock().unwrap_or_else(PoisonError::into_inner) = usage();
    let is_over = AtomicBool::new(false);
    let (outcome, told) = std::thread::scope(|scope| {
        scope.spawn(|| watch_memory(usage, &most_bytes, &is_over));
        let reading = scope.spawn(|| reading.run(&stage));
        let begins = |start| {
            let _ = dues.start.set(start);
        };
        let opens = || {
            note(&before);
            stage.open();
        };
        let closes = || {
            stage.close();
            note(&after);
        };
        let hooks = Hooks { begins: &begins, opens: &opens, closes: &closes };
        let outcome = generator::run(&plan, &hooks);
        stage.end();
        is_over.store(true, Ordering::SeqCst);
        let told = reading.join().map_err(|_| io::Error::other("the subscribers' thread panicked"));
        Ok::<_, io::Error>((outcome?, told?.map_err(io::Error::other)?))
    })?;
    let read = |slot: Mutex<Usage>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
    let usage = [first, read(before), read(after)];
    Ok(Watched { outcome, told, usage, resident_bytes: most_bytes.into_inner() })
}

fn watch_memory(usage: &(dyn Fn() -> Usage + Sync), most_bytes: &AtomicU64, is_over: &AtomicBool) {
    while !is_over.load(Ordering::SeqCst) {
        most_bytes.fetch_max(usage().resident_bytes, Ordering::SeqCst);
        std::thread::sleep(LOOK);
    }
}

/// `watch`: starts herd, and has it take reports alone, and then beside subscribers.
///
/// # Errors
/// A server that does not start, a stream with what it should not have, or reports that take too long.
pub fn command(args: &WatchArgs) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|why| format!("a folder for the server: {why}"))?;
    leftovers::watch(folder.path().to_owned()).map_err(|why| format!("signals: {why}"))?;
    let server = start(args, folder.path())?;
    let seconds = workload::measured(args.seconds)?;
    let mut plan = plan(args, &server)?;
    measure_first();
    plan.measured = seconds;
    let alone = generator::run(&plan, &Hooks::NONE).map_err(|why| format!("reports: {why}"))?;
    check(&alone)?;
    let before = server.usage();
    // Later than all before, so that every report is news.
    plan.base_s += 1;
    let found = beside(args, &server, &mut plan)?;
    let rate =
        args.rate.map_or_else(|| "as fast as they are answered".into(), |rate| format!("{}/s", short(rate)));
    println!(
        "{} reports of {} clients by {} over {} connections, alone: {}",
        rate,
        plan.connections * plan.clients_each,
        if args.lines { "lines" } else { "PUT" },
        plan.connections,
        in_words(&alone)
    );
    let Beside { outcome, told, most_bytes, idle, after } = found;
    let seconds = seconds.as_secs_f64();
    println!(
        "beside {} subscribers, {} of them asleep: {}",
        args.subscribers,
        args.asleep,
        in_words(&outcome)
    );
    let at = |percentile: f64| short(told.latency_ns.value_at_percentile(percentile) as f64 / 1e3);
    println!(
        "subscribers: {} positions/s, {:.0} MB/s, {:.0} % the newest when read; in µs from report to event p50 {}, p99 {}; {} lacked at the end, {} steps back",
        short(told.positions as f64 / seconds),
        told.bytes as f64 / 1e6 / seconds,
        100.0 * told.newest as f64 / told.seen.max(1) as f64,
        at(50.0),
        at(99.0),
        told.lacking,
        told.steps_back
    );
    let mb = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    println!(
        "memory: {} before, {} with the subscribers' connections, {} at most; {:.2} of a core",
        mb(before.resident_bytes),
        mb(idle.resident_bytes),
        mb(most_bytes),
        (after.cpu - idle.cpu).as_secs_f64() / seconds
    );
    verdict(&alone, &outcome)
}

/// What came of the reports beside subscribers.
struct Beside {
    outcome: Outcome,
    told: Told,
    most_bytes: u64,
    idle: Usage,
    after: Usage,
}

fn beside(args: &WatchArgs, server: &Process, plan: &mut Plan) -> Result<Beside, String> {
    let dues = Arc::new(Dues::new(plan.connections, plan.clients_each));
    let clients = plan.connections * plan.clients_each;
    let address = server.at(Door::Http).map_err(|why| why.to_string())?;
    let asleep = args.asleep.min(args.subscribers);
    let counts = [args.subscribers - asleep, asleep];
    let reading = Subscribers::connect((address, PATH), counts, (clients, plan.base_s), dues.clone())
        .map_err(|why| format!("{} subscribers: {why}", args.subscribers))?;
    let (idle, most_bytes, is_over) = (server.usage(), AtomicU64::new(0), AtomicBool::new(false));
    let stage = Stage::default();
    std::thread::scope(|scope| {
        let usage = || server.usage();
        let (most, over) = (&most_bytes, &is_over);
        scope.spawn(move || {
            be_like_others();
            watch_memory(&usage, most, over);
        });
        let reading = scope.spawn(|| {
            be_like_others();
            reading.run(&stage)
        });
        plan.dues = Some(dues.clone());
        let begins = |start| {
            let _ = dues.start.set(start);
        };
        let hooks = Hooks { begins: &begins, opens: &|| stage.open(), closes: &|| stage.close() };
        let outcome = generator::run(plan, &hooks).map_err(|why| format!("reports: {why}"));
        let after = server.usage();
        stage.end();
        is_over.store(true, Ordering::SeqCst);
        let told = reading.join().map_err(|_| "the subscribers' thread panicked".to_owned())?;
        let outcome = outcome?;
        check(&outcome)?;
        Ok(Beside { outcome, told: told?, most_bytes: most_bytes.load(Ordering::SeqCst), idle, after })
    })
}

fn plan(args: &WatchArgs, server: &Process) -> Result<Plan, String> {
    let pace = match args.rate {
        Some(per_second) if per_second > 0.0 => Pace::Open { per_second },
        Some(_) => return Err("--rate: it must be above 0".into()),
        None => Pace::Closed { depth: 1 },
    };
    let (door, dialect) = match args.lines {
        true => (Door::Lines, Dialect::Herd { server: NAME.into(), whatsat_every: 0 }),
        false => (Door::Http, Dialect::Http { server: NAME.into() }),
    };
    let connections = args.connections.max(1);
    Ok(Plan {
        address: server.at(door).map_err(|why| why.to_string())?,
        dialect,
        connections,
        clients_each: (args.clients / connections).max(1),
        dues: None,
        idle: 0,
        known: 0,
        fresh: false,
        half_closes: false,
        greedy: false,
        mob: false,
        pace,
        warm_up: Duration::from_millis(300),
        measured: Duration::from_secs(1),
        threads: 1,
        first_client: 0,
        base_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    })
}

fn start(args: &WatchArgs, folder: &Path) -> Result<Process, String> {
    let settings = &args.settings;
    let conf =
        format!("{settings}\n[servers.{NAME}]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n");
    fs::write(folder.join("herd.conf"), conf).map_err(|why| format!("{}: {why}", folder.display()))?;
    let binary = fs::canonicalize(&args.herd)
        .map_err(|why| format!("{}: {why}; build it with cargo build --release", args.herd))?;
    Process::start(Command::new(binary).arg(NAME), folder, Ready::Listens).map_err(|why| why.to_string())
}

fn check(outcome: &Outcome) -> Result<(), String> {
    match &outcome.fault {
        Some(why) => Err(format!("the run is void: {why}")),
        None => Ok(()),
    }
}

fn us(outcome: &Outcome, percentile: f64) -> f64 {
    outcome.latency_ns.value_at_percentile(percentile) as f64 / 1e3
}

fn in_words(outcome: &Outcome) -> String {
    let at = |percentile: f64| short(us(outcome, percentile));
    let limit = if outcome.busy > BUSY_LIMIT { "; the generator may have been the limit" } else { "" };
    let unanswered = match outcome.unanswered {
        0 => String::new(),
        count => format!("; {count} were never answered"),
    };
    let rate = short(outcome.per_second());
    format!("{rate}/s, in µs p50 {}, p99 {}, p99.9 {}{unanswered}{limit}", at(50.0), at(99.0), at(99.9))
}

/// The p99 of a second in the median, so that what else a machine does for a moment is none of it.
fn usual_p99_us(outcome: &Outcome) -> f64 {
    let seconds = outcome.p99_ns.iter().map(|&ns| ns as f64 / 1e3);
    Spread::of(seconds).map_or_else(|| us(outcome, 99.0), |found| found.median)
}

fn verdict(alone: &Outcome, beside: &Outcome) -> Result<(), String> {
    let (alone, beside) = (usual_p99_us(alone), usual_p99_us(beside));
    println!(
        "the p99 of a second, in the median: {} µs alone, {} µs beside subscribers, which is {:.1} times as much",
        short(alone),
        short(beside),
        beside / alone
    );
    match beside <= (TIMES_MAX * alone).max(FLOOR_US) {
        true => Ok(()),
        false => Err(format!("that is more than {TIMES_MAX} times, and more than {FLOOR_US} µs")),
    }
}
