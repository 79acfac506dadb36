//! `compare`: builds, checks and measures the variants, all of them in every round, one after
//! another, and writes the report.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::net::TcpListener;
use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::args::Compare;
use crate::choose::{self, Chosen, HERD};
use crate::conform;
use crate::conformance;
use crate::conformance_events;
use crate::conformance_http;
use crate::conformance_kept;
use crate::dialect::Dialect;
use crate::failure::HANG;
use crate::five;
use crate::generator::{self, Hooks, Outcome, Plan};
use crate::growth::{self, Growth};
use crate::pacing::Pace;
use crate::process::Usage;
use crate::report::growth::Grown;
use crate::report::machine::Machine;
use crate::report::{
    self, AGAIN, Cell, MISSING, OfReports, PERCENTILES, Report, Round, SCHEMA, VariantInfo, WorkloadInfo,
    html, table,
};
use crate::start::{NAME, Starter};
use crate::stats::Spread;
use crate::variants::{self, Keeps, Speaks, Variant};
use crate::watch::{self, Watched};
use crate::workload::{self, Door, Of, Times, Workload};

/// What the provider of `mixed` takes to answer.
const PLACES_DELAY: Duration = Duration::from_millis(20);

/// Why a round is void in which nothing went wrong and nothing came.
const NO_REPLY: &str = "no reply at all";

/// A comparison's settings, all decided.
struct Bench {
    variants: Vec<Variant>,
    workloads: Vec<Workload>,
    rounds: usize,
    times: Times,
    threads: usize,
    starter: Starter,
    progress: Progress,
}

/// # Errors
/// Nothing could be built or measured; with what to do.
pub fn run(args: &Compare) -> Result<(), String> {
    let begun_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let out = Path::new(&args.out);
    // What cannot be written is better known before it is measured.
    fs::create_dir_all(out).map_err(|why| format!("{}: {why}", out.display()))?;
    tempfile::tempfile_in(out).map_err(|why| format!("{}: {why}", out.display()))?;
    let bench_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    if args.rounds == Some(0) {
        return Err("--rounds: at least 1".into());
    }
    let built = choose::places(bench_folder)?;
    let Chosen { variants: mut all, workloads, growths } = choose::choose(args, variants::all(&built))?;
    if args.aa {
        let herd = all
            .iter()
            .find(|variant| variant.name == HERD)
            .ok_or("--aa is for herd, which --only leaves out")?;
        all.insert(1, herd.again(AGAIN));
    }
    if args.pin {
        pin_generator()?;
    }
    let mut bench = Bench {
        variants: Vec::new(),
        workloads,
        rounds: args.rounds.unwrap_or(if args.quick { 3 } else { 5 }),
        times: times(args)?,
        threads: args.threads.max(1),
        starter: Starter::new(PLACES_DELAY, args.pin)?,
        progress: Progress::new(),
    };
    // Before anything is built: a server of one's own that fails ends the run at once.
    let mut own = bench.examine(&mut all)?.into_iter();
    choose::build(bench_folder, &built, &all)?;
    let mut infos = Vec::new();
    for variant in all {
        let info = match variant.speaks {
            Speaks::Own => own.next().ok_or("a server of your own was not asked")?,
            _ => bench.info(&variant),
        };
        bench.progress.say(&describe(&info));
        if info.skipped.is_none() {
            bench.variants.push(variant);
        }
        infos.push(info);
    }
    if bench.variants.is_empty() {
        return Err("there is no variant to measure; see above what is missing".into());
    }
    let cells = bench.measure();
    let growth = bench.grow(args, &growths);
    if cells.is_empty() && growth.is_empty() {
        return Err("none of these variants is measured in these workloads; see above".into());
    }
    bench.progress.end();
    let report = Report {
        schema: SCHEMA.into(),
        command: command_line(std::env::args().skip(1)),
        begun_s,
        machine: Machine::read(),
        warm_up_s: bench.times.warm_up.as_secs_f64(),
        measured_s: bench.times.measured.as_secs_f64(),
        variants: infos,
        workloads: bench
            .workloads
            .iter()
            .map(|workload| WorkloadInfo { name: workload.name.into(), about: workload.about.into() })
            .collect(),
        cells,
        growth,
    };
    print!("{}{}", table::table(&report), report::growth::table(&report.growth));
    report.write(&out.join("report.json"))?;
    let page = out.join("report.html");
    fs::write(&page, html::html(&report)).map_err(|why| format!("{}: {why}", page.display()))?;
    println!("\nwritten: {} and {}", out.join("report.json").display(), page.display());
    Ok(())
}

/// The command that began this, as a shell in the folder above takes it.
fn command_line(words: impl Iterator<Item = String>) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_=,./:".contains(&byte);
    let quoted = words.map(|word| match !word.is_empty() && word.bytes().all(is_plain) {
        true => word,
        false => format!("'{}'", word.replace('\'', r"'\''")),
    });
    quoted.fold("cargo run --release --manifest-path bench/Cargo.toml --".into(), |line: String, word| {
        line + " " + &word
    })
}

fn describe(info: &VariantInfo) -> String {
    match (&info.skipped, info.conformed) {
        (None, Some(count)) if info.differences > 0 => format!(
            "{:14} conforms in {count} cases, and differs from herd's own rules in {}: `conform` lists them",
            info.name, info.differences
        ),
        (Some(why), _) => format!("{:14} skipped: {why}", info.name),
        (None, Some(count)) => format!("{:14} conforms in {count} cases", info.name),
        (None, None) => {
            format!("{:14} starts; it does not speak the protocol, and is there to compare with", info.name)
        }
    }
}

fn times(args: &Compare) -> Result<Times, String> {
    let seconds = args.seconds.unwrap_or(if args.quick { 0.5 } else { 2.0 });
    let measured = workload::measured(seconds)?;
    Ok(Times { warm_up: (measured / 4).clamp(Duration::from_millis(100), Duration::from_secs(1)), measured })
}

impl Bench {
    /// Has each server of anyone's own answer what the course asks, and notes its manners.
    ///
    /// # Errors
    /// One of them fails; with all that failed.
    fn examine(&self, all: &mut [Variant]) -> Result<Vec<VariantInfo>, String> {
        let mut infos = Vec::new();
        for variant in all.iter_mut().filter(|variant| variant.speaks == Speaks::Own) {
            let found = conform::examine(&self.starter, variant)?;
            if !found.course.is_enough() {
                return Err(format!("it does not conform\n{}", found.describe_course(&variant.name)));
            }
            variant.manners = found.course.manners;
            let herd = found.herd.unwrap_or_default();
            variant.manners.is_as_herd = herd.is_clean() && variant.is_told("{config}");
            let told = variant.manners.told();
            if !told.is_empty() {
                self.progress.say(&format!("{:14} {told}", variant.name));
            }
            infos.push(VariantInfo {
                name: variant.name.clone(),
                skipped: None,
                conformed: Some(found.course.tally.passed + herd.passed),
                differences: herd.cases() - herd.passed,
                keeps: false,
            });
        }
        Ok(infos)
    }

    fn info(&self, variant: &Variant) -> VariantInfo {
        let checked = self.check(variant);
        VariantInfo {
            name: variant.name.clone(),
            skipped: checked.as_ref().err().cloned(),
            conformed: checked.ok().flatten(),
            differences: 0,
            keeps: variant.keeps == Keeps::Kept,
        }
    }

    /// Starts a variant and has it pass the conformance run: how many cases, or nothing for one
    /// that does not speak the protocol.
    fn check(&self, variant: &Variant) -> Result<Option<usize>, String> {
        if let Some(install) = variant.lacks() {
            return Err(format!("{MISSING}{install}"));
        }
        let address = |listener: &TcpListener| listener.local_addr().map_err(|why| why.to_string());
        // With two on one address a server cannot tell which of them an AT line comes from, and so
        // passes it on to both.
        let (neighbour, other) = (conform::bind()?, conform::bind()?);
        let neighbours = [address(&neighbour)?, address(&other)?];
        let start = |neighbours, door| {
            self.starter.one(variant, neighbours, door).map_err(|why: io::Error| why.to_string())
        };
        let by_lines = || {
            if matches!(variant.speaks, Speaks::Http | Speaks::Near | Speaks::Watch | Speaks::Publish) {
                return Ok(0);
            }
            let started = start(&neighbours, Door::Lines)?;
            if !variant.speaks.lines() {
                return Ok(0);
            }
            let mut tally = conformance::run(started.first().address, NAME, Some(&neighbour));
            tally.extend(conformance::alone(start(&[], Door::Lines)?.first().address));
            if tally.is_clean() { Ok(tally.passed) } else { Err(format!("\n{tally}")) }
        };
        let by_http = || {
            if !variant.speaks.http() {
                return Ok(0);
            }
            let started = start(&[], Door::Http)?;
            conformance_http::run(started.first().at(Door::Http).map_err(|why| why.to_string())?)
        };
        let by_events = || match variant.speaks {
            Speaks::Watch | Speaks::LinesAndHttp => {
                let started = start(&[], Door::Http)?;
                conformance_events::run(started.first().at(Door::Http).map_err(|why| why.to_string())?)
            }
            Speaks::Publish => {
                conformance_events::passes_on(start(&[], Door::Lines)?.first().address).map(|()| 0)
            }
            Speaks::Lines | Speaks::Own | Speaks::Http | Speaks::Near | Speaks::Echo | Speaks::Redis => Ok(0),
        };
        let by_kill = || match variant.keeps {
            Keeps::Kept => conformance_kept::run(&self.starter, variant),
            Keeps::Nothing => Ok(0),
        };
        let cases: Result<usize, String> =
            by_lines().and_then(|cases| Ok(cases + by_http()? + by_events()? + by_kill()?));
        match cases {
            Ok(0) => Ok(None),
            Ok(cases) => Ok(Some(cases)),
            Err(why) => Err(format!("it does not conform: {why}")),
        }
    }

    /// All cells, workload by workload and in each round by round.
    fn measure(&self) -> Vec<Cell> {
        let mut cells = Vec::new();
        for workload in &self.workloads {
            let variants: Vec<_> = self.variants.iter().filter(|variant| variant.does(workload)).collect();
            let Some(first) = variants.first() else { continue };
            let rate =
                workload.open_share.map(|share| self.calibrate(first, workload).map(|found| share * found));
            let empty = |variant: &Variant| Cell {
                variant: variant.name.clone(),
                workload: workload.name.into(),
                rounds: Vec::new(),
            };
            let mut column: Vec<_> = variants.iter().copied().map(empty).collect();
            for round in 0..self.rounds {
                // In another order each time: who goes first in a round finds another machine than who goes last.
                let mut order: Vec<_> = (0..variants.len()).collect();
                fastrand::shuffle(&mut order);
                for index in order {
                    let (variant, cell) = (variants[index], &mut column[index]);
                    let (name, about) = (&variant.name, workload.about);
                    self.progress.now(&format!("{about}: round {} of {}: {name}", round + 1, self.rounds));
                    let ran = match rate {
                        Some(None) => Err(io::Error::other("the first variant gave no rate to go by")),
                        Some(Some(rate)) => self.run(variant, workload, Some(rate)),
                        None => self.run(variant, workload, None),
                    };
                    let void = |why: io::Error| Round { void: Some(why.to_string()), ..Round::default() };
                    let mut ran = ran.unwrap_or_else(void);
                    ran.rate = rate.flatten();
                    cell.rounds.push(ran);
                }
            }
            cells.append(&mut column);
        }
        cells
    }

    /// How the first variant grows that is a herd.
    fn grow(&self, args: &Compare, growths: &[Growth]) -> Vec<Grown> {
        let Some(variant) = self.variants.iter().find(|variant| variant.grows()) else { return Vec::new() };
        let bench = growth::Bench {
            starter: &self.starter,
            variant,
            times: self.times,
            rounds: args.rounds.unwrap_or(if args.quick { 1 } else { 3 }),
            is_quick: args.quick,
            says: &|text| self.progress.now(text),
        };
        growths.iter().map(|growth| bench.run(growth)).collect()
    }

    /// What the first variant does in the closed loop that goes with an open one, replies a second:
    /// the median of three runs.
    fn calibrate(&self, first: &Variant, workload: &Workload) -> Option<f64> {
        self.progress.now("finding a rate for the open loop");
        let closed = Workload { open_share: None, mob: false, ..*workload };
        let runs = (0..3).filter_map(|_| self.run(first, &closed, None).ok());
        let found = Spread::of(runs.filter(|round| round.void.is_none()).map(|round| round.per_second))?;
        Some(found.median)
    }

    /// A run. Where not one reply came, which a short one on a busy machine may be too short for, another that takes
    /// longer, until it takes what nothing takes that works.
    fn run(&self, variant: &Variant, workload: &Workload, rate: Option<f64>) -> io::Result<Round> {
        let mut times = self.times;
        loop {
            let round = self.run_for(variant, workload, rate, times)?;
            if round.void.as_deref() != Some(NO_REPLY) || times.measured >= HANG {
                return Ok(round);
            }
            times.measured = (4 * times.measured).min(HANG);
        }
    }

    fn run_for(
        &self,
        variant: &Variant,
        workload: &Workload,
        rate: Option<f64>,
        times: Times,
    ) -> io::Result<Round> {
        let ran = match workload.of {
            Of::One => return self.run_one(variant, workload, rate, times),
            Of::Five => five::herd(&self.starter, variant, rate, times)?,
            Of::FiveHealing => five::heal(&self.starter, variant)?,
        };
        let agreed_ms = Some(ran.agreed_after.as_secs_f64() * 1e3);
        Ok(Round { agreed_ms, ..round(&ran.outcome, ran.usage, &ran.stderr) })
    }

    fn run_one(
        &self,
        variant: &Variant,
        workload: &Workload,
        rate: Option<f64>,
        times: Times,
    ) -> io::Result<Round> {
        let started = self.starter.one(variant, &[], workload.door)?;
        let dialect = match (variant.speaks, workload.door) {
            (_, door) if workload.known > 0 => {
                Dialect::Near { server: NAME.into(), by_http: door == Door::Http }
            }
            (Speaks::Publish, _) => Dialect::Publish,
            (_, Door::Http) => Dialect::Http { server: NAME.into() },
            (Speaks::Echo, Door::Lines) => Dialect::Echo,
            (Speaks::Redis, Door::Lines) => Dialect::Redis,
            (Speaks::Own, Door::Lines) => Dialect::Course {
                server: variant.manners.server.clone(),
                whatsat_every: workload.whatsat_every,
                ends_lines: variant.manners.ends_lines,
            },
            (
                Speaks::Lines | Speaks::LinesAndHttp | Speaks::Http | Speaks::Near | Speaks::Watch,
                Door::Lines,
            ) => Dialect::Herd { server: NAME.into(), whatsat_every: workload.whatsat_every },
        };
        let address = match variant.speaks {
            Speaks::Publish => started.first().address,
            _ => started.first().at(workload.door)?,
        };
        let mut plan: Plan = workload.plan(address, dialect, times, self.threads);
        plan.half_closes = variant.manners.waits_for_end;
        if let Some(per_second) = rate {
            plan.pace = Pace::Open { per_second };
        }
        if workload.subscribers > 0 {
            let stream = (address, watch::PATH);
            let watched = watch::run(&plan, stream, workload.subscribers, &|| started.usage())?;
            return Ok(round_of_watched(watched, &started.first().stderr()));
        }
        let first = started.usage();
        let (before, after) = (Mutex::new(first), Mutex::new(first));
        let note = |slot: &Mutex<Usage>| {
            if let Ok(mut slot) = slot.lock() {
                *slot = started.usage();
            }
        };
        let hooks = Hooks { opens: &|| note(&before), closes: &|| note(&after), ..Hooks::NONE };
        let outcome = generator::run(&plan, &hooks)?;
        let read = |slot: Mutex<Usage>| slot.into_inner().unwrap_or(first);
        Ok(round(&outcome, [first, read(before), read(after)], &started.first().stderr()))
    }
}

/// A run's figures where subscribers are measured: by position, and not by report.
fn round_of_watched(watched: Watched, stderr: &str) -> Round {
    let Watched { outcome, told, usage, resident_bytes } = watched;
    let us = |percentile: f64| outcome.latency_ns.value_at_percentile(percentile) as f64 / 1e3;
    let seen = told.seen.max(1) as f64;
    let of_reports = OfReports {
        per_second: outcome.per_second(),
        p50_us: us(50.0),
        p99_us: us(99.0),
        newest_share: told.newest as f64 / seen,
        lags: told.lags,
        lacking: told.lacking,
    };
    // What is told of a reply elsewhere is told of a position.
    let outcome = Outcome {
        replies: told.positions,
        latency_ns: told.latency_ns,
        busy: outcome.busy.max(told.busy),
        ..outcome
    };
    let round = round(&outcome, usage, stderr);
    if round.void.is_some() {
        return round;
    }
    let grown_bytes = resident_bytes.saturating_sub(usage[0].resident_bytes);
    Round { resident_bytes, grown_bytes, of_reports: Some(of_reports), ..round }
}

/// A run's figures; `usage` is from the start, the begin and the end of the measured time.
pub fn round(outcome: &Outcome, [first, before, after]: [Usage; 3], stderr: &str) -> Round {
    let void = match &outcome.fault {
        Some(why) if stderr.is_empty() => Some(why.clone()),
        Some(why) => Some(format!("{why}; it said: {stderr}")),
        None if outcome.replies == 0 => Some(NO_REPLY.into()),
        None => None,
    };
    if void.is_some() {
        return Round { void, ..Round::default() };
    }
    let replies = outcome.replies as f64;
    Round {
        void: None,
        per_second: outcome.per_second(),
        cpu_us: after.cpu.saturating_sub(before.cpu).as_secs_f64() * 1e6 / replies,
        resident_bytes: after.resident_bytes,
        grown_bytes: after.resident_bytes.saturating_sub(first.resident_bytes),
        switches: after.switches.saturating_sub(before.switches) as f64 / replies,
        threads: after.threads,
        generator_busy: outcome.busy,
        unanswered: outcome.unanswered,
        rate: None,
        agreed_ms: None,
        of_reports: None,
        latency_us: PERCENTILES.map(|at| outcome.latency_ns.value_at_percentile(at) as f64 / 1e3).to_vec(),
    }
}

/// This process on every core but the first.
fn pin_generator() -> Result<(), String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        return Err("--pin: there is one core only".into());
    }
    let mut set = rustix::thread::CpuSet::new();
    (1..cores).for_each(|core| set.set(core));
    rustix::thread::sched_setaffinity(None, &set).map_err(|why| format!("--pin: {why}"))
}

/// The line that says what is being done, where somebody looks on.
struct Progress {
    is_live: bool,
}

impl Progress {
    fn new() -> Progress {
        Progress { is_live: io::stderr().is_terminal() }
    }

    fn now(&self, text: &str) {
        if self.is_live {
            let _ = write!(io::stderr(), "\r\x1b[K{text}").and_then(|()| io::stderr().flush());
        }
    }

    fn say(&self, text: &str) {
        self.end();
        let _ = writeln!(io::stderr(), "{text}");
    }

    fn end(&self) {
        if self.is_live {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}
