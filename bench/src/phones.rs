//! `phones`: starts herd, and has thousands of phones report to it beside clients that speak lines. Says how long either
//! waits, and what the phones take.

mod fleet;
mod shape;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::process::setpriority_process;
use rustix::thread::gettid;

use crate::args::PhonesArgs;
use crate::dialect::Dialect;
use crate::generator::{self, BUSY_LIMIT, Hooks, Outcome, Plan};
use crate::leftovers;
use crate::pacing::Pace;
use crate::process::{Process, Ready};
use crate::report::table::short;
use crate::start::NAME;
use crate::stats::Spread;
use crate::workload::{self, Door};
use fleet::{Crowd, Fleet, Told, Work};
pub use shape::Shape;

/// Beside phones a client's p99 may be so many times what it is alone; below this it is of no interest.
const TIMES_MAX: f64 = 3.0;
const FLOOR_US: f64 = 5_000.0;

/// How long the clients of lines are measured at once: their p99 is the median of these slices, so that what else a
/// machine does for a moment is none of it.
const SLICE: Duration = Duration::from_secs(1);

/// What clients of lines found, slice by slice.
#[derive(Default)]
struct Sliced {
    slices: Vec<Outcome>,
}

/// # Errors
/// A server that does not start or answers what no app understands, queues that do not drain, or clients that wait too
/// long beside them.
pub fn run(args: &PhonesArgs) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|why| format!("a folder for the server: {why}"))?;
    leftovers::watch(folder.path().to_owned()).map_err(|why| format!("signals: {why}"))?;
    let server = start(args, folder.path())?;
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let seconds = workload::measured(args.seconds)?;
    let work = match args.queued {
        0 => Work::Every(Duration::from_secs_f64(args.every.max(0.001))),
        points => Work::Queued(points),
    };
    let fleet = Fleet {
        address: server.at(Door::Http).map_err(|why| why.to_string())?,
        phones: args.phones.max(1),
        shape: args.shape,
        has_own_tokens: !args.shared_token,
        work,
        most: if args.queued == 0 { seconds } else { Duration::from_secs(args.most) },
        base_s: now_s - 80_000,
    };
    let pace = match args.rate {
        Some(per_second) if per_second > 0.0 => Pace::Open { per_second },
        Some(_) => return Err("--rate: it must be above 0".into()),
        None => Pace::Closed { depth: 1 },
    };
    let mut lines = Plan {
        known: 0,
        address: server.address,
        dialect: Dialect::Herd { server: NAME.into(), whatsat_every: 0 },
        connections: args.lines.max(1),
        clients_each: 1,
        dues: None,
        idle: 0,
        fresh: false,
        half_closes: false,
        greedy: false,
        mob: false,
        pace,
        warm_up: Duration::from_millis(100),
        measured: SLICE,
        threads: 1,
        first_client: 0,
        base_s: now_s,
    };
    measure_first();
    let before = server.usage();
    let mut alone = Sliced::default();
    while alone.elapsed() < seconds {
        alone.measure(&mut lines)?;
    }
    let crowd = Crowd::connect(&fleet).map_err(|why| format!("{} phones: {why}", fleet.phones))?;
    let (idle, most_bytes, is_over) = (server.usage(), AtomicU64::new(0), AtomicBool::new(false));
    let (told, beside) = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                most_bytes.fetch_max(server.usage().resident_bytes, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let phones = scope.spawn(|| {
            be_last();
            crowd.run(&is_over)
        });
        let mut beside = Sliced::default();
        while !is_over.load(Ordering::SeqCst) {
            beside.measure(&mut lines)?;
        }
        // The last one saw phones for a part of it.
        if beside.slices.len() > 1 {
            beside.slices.pop();
        }
        let told = phones.join().map_err(|_| "the phones' thread panicked".to_owned())??;
        Ok::<_, String>((told, beside))
    })?;
    let after = server.usage();
    for (name, sliced) in [("alone", &alone), ("beside phones", &beside)] {
        println!("{} clients that speak lines, {name}: {}", lines.connections, sliced.in_words());
    }
    println!("{} phones: {}", fleet.phones, told_in_words(&told, &fleet));
    let bytes = |bytes: u64| format!("{:.1} MB", bytes as f64 / 1e6);
    println!(
        "memory: {} before, {} with the phones' connections, {} at most, {} at the end; {:.1} s of computing",
        bytes(before.resident_bytes),
        bytes(idle.resident_bytes),
        bytes(most_bytes.into_inner()),
        bytes(after.resident_bytes),
        (after.cpu - idle.cpu).as_secs_f64(),
    );
    verdict(&alone, &beside, &told)
}

/// The clients of lines stand for other machines, which do not wait for a core of this one: their thread goes before the
/// others, whether phones are there or not. Where the system does not let it, the figures are worse, and that is told.
pub fn measure_first() {
    if let Err(why) = setpriority_process(Some(gettid()), -20) {
        eprintln!("the thread that measures goes before no other ({why}): its own waiting is in the figures");
    }
}

/// What a thread that was begun by the one that measures is to be.
pub fn be_like_others() {
    let _ = setpriority_process(Some(gettid()), 0);
}

/// The phones stand for ten thousand machines, none of which takes the server a core: they run when nobody else does.
fn be_last() {
    let _ = setpriority_process(Some(gettid()), 19);
}

/// One server with a door for HTTP, and a token a phone or one for all.
fn start(args: &PhonesArgs, folder: &Path) -> Result<Process, String> {
    let conf = format!(
        "{}\n[http]\ntokens_file = \"tokens\"\n[servers.{NAME}]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n",
        args.settings
    );
    let line = |phone: usize| {
        let (id, secret) = (shape::id(phone), shape::secret(phone, true));
        format!("{id} read,write {secret} client={id}\n")
    };
    let tokens: String = match args.shared_token {
        true => format!("all read,write {}\n", shape::secret(0, false)),
        false => (0..args.phones.max(1)).map(line).collect(),
    };
    let file = folder.join("tokens");
    fs::write(folder.join("herd.conf"), conf)
        .and_then(|()| fs::write(&file, tokens))
        .and_then(|()| fs::set_permissions(&file, fs::Permissions::from_mode(0o600)))
        .map_err(|why| format!("{}: {why}", folder.display()))?;
    let binary = fs::canonicalize(&args.herd)
        .map_err(|why| format!("{}: {why}; build it with cargo build --release", args.herd))?;
    Process::start(Command::new(binary).arg(NAME), folder, Ready::Listens).map_err(|why| why.to_string())
}

impl Sliced {
    fn measure(&mut self, lines: &mut Plan) -> Result<(), String> {
        // Later than all before, so that every command is news.
        lines.base_s += 1;
        let slice = generator::run(lines, &Hooks::NONE).map_err(|why| format!("clients of lines: {why}"))?;
        match &slice.fault {
            Some(why) => return Err(format!("the run is void: {why}")),
            None => self.slices.push(slice),
        }
        Ok(())
    }

    fn elapsed(&self) -> Duration {
        self.slices.iter().map(|slice| slice.elapsed).sum()
    }

    /// The median of all slices.
    fn median(&self, figure: impl Fn(&Outcome) -> f64) -> f64 {
        Spread::of(self.slices.iter().map(figure)).map_or(f64::NAN, |spread| spread.median)
    }

    fn us(&self, percentile: f64) -> f64 {
        self.median(|slice| slice.latency_ns.value_at_percentile(percentile) as f64 / 1e3)
    }

    fn in_words(&self) -> String {
        let (rate, busy) = (short(self.median(Outcome::per_second)), self.median(|slice| slice.busy));
        let limit = if busy > BUSY_LIMIT { "; the generator may have been the limit" } else { "" };
        let at = |percentile: f64| short(self.us(percentile));
        format!("{rate} commands/s, in µs p50 {}, p99 {}, p99.9 {}{limit}", at(50.0), at(99.0), at(99.9))
    }
}

fn told_in_words(told: &Told, fleet: &Fleet) -> String {
    let at = |percentile: f64| short(told.latency_ns.value_at_percentile(percentile) as f64 / 1e6);
    let seconds = told.took.as_secs_f64();
    let drained = match fleet.work {
        Work::Every(_) => String::new(),
        Work::Queued(_) => format!("drained in {seconds:.1} s with {} points left, ", told.left),
    };
    format!(
        "{drained}{} requests/s, {} points/s, in ms p50 {}, p99 {}, max {}; {} refused and made again, {} connections lost",
        short(told.requests as f64 / seconds),
        short(told.points as f64 / seconds),
        at(50.0),
        at(99.0),
        at(100.0),
        told.refused,
        told.lost
    )
}

fn verdict(alone: &Sliced, beside: &Sliced, told: &Told) -> Result<(), String> {
    if told.left > 0 {
        return Err(format!("{} points are left; --most gives them longer", told.left));
    }
    let (alone, beside) = (alone.us(99.0), beside.us(99.0));
    println!("a client's p99 beside phones is {:.1} times what it is alone", beside / alone);
    match beside <= (TIMES_MAX * alone).max(FLOOR_US) {
        true => Ok(()),
        false => Err(format!("that is more than {TIMES_MAX} times, and more than {FLOOR_US} µs")),
    }
}
