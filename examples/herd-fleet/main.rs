//! A fleet that drives about: clients on great circles, who report to whichever servers of a herd answer, so that there is
//! something to watch. `cargo run --release --example herd-fleet` beside one server of herd.conf or all of them.
#![forbid(unsafe_code)]

mod course;
mod link;

use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use argh::FromArgs;
use herd::config::Config;
use signal_hook::consts::{SIGINT, SIGTERM};

use course::Course;
use link::Link;

/// Clients that drive about on great circles, and report to the servers of a herd that answer.
#[derive(FromArgs, Debug)]
struct Args {
    /// servers by address, host:port (default: those of herd.conf)
    #[argh(positional)]
    servers: Vec<String>,

    /// the herd.conf to take servers from (default: ./herd.conf or /etc/herd/herd.conf)
    #[argh(option)]
    config: Option<PathBuf>,

    /// clients (default 1000)
    #[argh(option, default = "1_000")]
    clients: usize,

    /// seconds from one report of a client to its next (default 1)
    #[argh(option, default = "1.0")]
    every: f64,

    /// how fast they are (default 28000, as satellites are, so that they move on a map of the world)
    #[argh(option, default = "28_000.0")]
    speed_kmh: f64,
}

/// How often it is looked whether a report is due.
const TICK: Duration = Duration::from_millis(20);

/// How often it says how it is.
const SAYS_EVERY: Duration = Duration::from_secs(10);

struct Fleet {
    links: Vec<Link>,
    courses: Vec<Course>,
    /// When each client reports next, since the start.
    due: Vec<Duration>,
    every: Duration,
    begun: Instant,
}

/// What was done until some time.
#[derive(Clone, Copy, Default)]
struct Done {
    reports: u64,
    taken: u64,
    refused: u64,
    cut: u64,
}

fn main() -> ExitCode {
    let args: Args = argh::from_env();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("herd-fleet: {why}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), String> {
    let is_over = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, is_over.clone()).map_err(|why| format!("signals: {why}"))?;
    }
    let (links, page) = find(args)?;
    if args.clients == 0 || !(args.every > 0.0 && args.every <= 3_600.0) {
        return Err("--clients: at least 1; --every: more than 0 and at most 3600".into());
    }
    if !(0.0..=1e6).contains(&args.speed_kmh) {
        return Err("--speed-kmh: 0 to 1000000".into());
    }
    let every = Duration::from_secs_f64(args.every);
    let mut fleet = Fleet {
        links,
        courses: (0..args.clients).map(|_| Course::at_random(args.speed_kmh)).collect(),
        // Evenly over the time between two reports.
        due: (0..args.clients).map(|client| every.mul_f64(client as f64 / args.clients as f64)).collect(),
        every,
        begun: Instant::now(),
    };
    fleet.dial();
    say(&format!(
        "{} clients drive at {} km/h on great circles and report every {} s: {}",
        args.clients,
        args.speed_kmh,
        args.every,
        fleet.links_in_words()
    ))?;
    if let Some(page) = page {
        say(&format!("a map that shows them: {page}   ^C ends this"))?;
    }
    fleet.drive(&is_over)
}

/// The servers to report to, and the page of one of them.
fn find(args: &Args) -> Result<(Vec<Link>, Option<String>), String> {
    if !args.servers.is_empty() {
        let link = |text: &String| {
            let address =
                herd::net::HostPort::parse(text).ok_or_else(|| format!("{text:?}: say HOST:PORT"))?;
            Ok(Link::new(text, resolve(&address)?))
        };
        return Ok((args.servers.iter().map(link).collect::<Result<_, String>>()?, None));
    }
    let given = args.config.as_deref();
    let there = || herd::config::DEFAULT_PATHS.map(Path::new).into_iter().find(|path| path.exists());
    let path =
        given.or_else(there).ok_or("there is no herd.conf here; name one by --config, or name servers")?;
    let config = Config::load(path).map_err(|why| why.to_string())?;
    if config.settings.one_shot {
        return Err(format!(
            "{}: connections are \"one-shot\", and a fleet wants to keep its own",
            path.display()
        ));
    }
    let own = config.servers.iter().filter(|server| !server.plain);
    let links = own.clone().map(|server| Ok(Link::new(&server.name, resolve(&server.address)?)));
    let page = own.filter_map(|server| server.http.as_ref()).map(herd::config::Http::url).next();
    Ok((links.collect::<Result<_, String>>()?, page))
}

fn resolve(address: &herd::net::HostPort) -> Result<SocketAddr, String> {
    let found = address.resolve().map_err(|why| format!("{address}: {why}"))?;
    found.first().copied().ok_or_else(|| format!("{address}: the name has no address"))
}

/// Whoever reads this may be gone.
fn say(text: &str) -> Result<(), String> {
    let mut out = io::stdout();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|why| format!("stdout: {why}"))
}

impl Fleet {
    /// Reports until that is over, and says how it is now and then.
    fn drive(&mut self, is_over: &AtomicBool) -> Result<(), String> {
        let (mut says_at, mut before) = (SAYS_EVERY, Done::default());
        while !is_over.load(Ordering::SeqCst) {
            let now = self.begun.elapsed();
            self.dial();
            self.report(now);
            self.links.iter_mut().for_each(Link::go_on);
            if now >= says_at {
                let done = self.done();
                let per_second = (done.taken - before.taken) as f64 / SAYS_EVERY.as_secs_f64();
                say(&format!("{per_second:.0} reports/s were taken; {}", self.links_in_words()))?;
                (says_at, before) = (says_at + SAYS_EVERY, done);
            }
            std::thread::sleep(TICK);
        }
        let Done { reports, taken, refused, cut } = self.done();
        say(&format!(
            "{reports} reports in {:.0} s: {taken} taken, {refused} refused, {} without an answer; {cut} connections lost",
            self.begun.elapsed().as_secs_f64(),
            reports.saturating_sub(taken + refused)
        ))
    }

    fn dial(&mut self) {
        let now = self.begun.elapsed();
        self.links.iter_mut().for_each(|link| link.dial(now));
    }

    /// Has those report whose time it is, each to one of the servers that are up. Without any, they drive on.
    fn report(&mut self, now: Duration) {
        let up: Vec<_> = (0..self.links.len()).filter(|&index| self.links[index].is_up()).collect();
        for client in 0..self.courses.len() {
            if self.due[client] > now {
                continue;
            }
            // What was due while the machine slept is not made up for.
            self.due[client] = (self.due[client] + self.every).max(now.saturating_sub(self.every));
            if let Some(&index) = up.get(client % up.len().max(1)) {
                let location = self.courses[client].location(now);
                self.links[index].report(&format!("fleet-{client:04}"), &location, &posix());
            }
        }
    }

    fn done(&self) -> Done {
        self.links.iter().fold(Done::default(), |all, link| Done {
            reports: all.reports + link.reports,
            taken: all.taken + link.taken,
            refused: all.refused + link.refused,
            cut: all.cut + link.cut,
        })
    }

    fn links_in_words(&self) -> String {
        let named = |is_up| {
            let names =
                self.links.iter().filter(move |link| link.is_up() == is_up).map(|link| link.name.as_str());
            names.collect::<Vec<_>>().join(", ")
        };
        match (named(true), named(false)) {
            (up, down) if down.is_empty() => format!("to {up}"),
            (up, down) if up.is_empty() => format!("no server answers yet, of {down}"),
            (up, down) => format!("to {up}; no answer from {down}"),
        }
    }
}

/// The time, as reports have it.
fn posix() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:09}", now.as_secs(), now.subsec_nanos())
}
