//! The workloads: what a cell of the comparison does to a server.

use std::net::SocketAddr;
use std::time::Duration;

use crate::dialect::Dialect;
use crate::generator::Plan;
use crate::pacing::Pace;

/// One column of the comparison.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Workload {
    pub name: &'static str,
    pub about: &'static str,
    pub connections: usize,
    pub depth: usize,
    pub idle: usize,
    /// Clients that are known before; each report is followed by a search among them. 0 is no search.
    pub known: usize,
    pub fresh: bool,
    /// The first connection pipelines without end, and is not counted.
    pub greedy: bool,
    /// Beside clients that mean no good.
    pub mob: bool,
    /// Subscribers of what happens, who are measured then. `WATCHED_CLIENTS` report.
    pub subscribers: usize,
    /// Reports a second for them; without it every reply makes room for the next report.
    pub reports: Option<f64>,
    /// One in so many commands is a WHATSAT; 0 is never.
    pub whatsat_every: u64,
    /// Latency is measured in an open loop at this share of herd's closed-loop rate of the round.
    pub open_share: Option<f64>,
    pub of: Of,
    pub door: Door,
}

/// Which way the load comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Door {
    Lines,
    /// Reports by HTTP; idle connections have made one.
    Http,
}

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    One,
    /// The five servers of the original herd, at one of them.
    Five,
    /// The same, one of which is down for a while.
    FiveHealing,
}

const PLAIN: Workload = Workload {
    name: "",
    about: "",
    connections: 50,
    depth: 1,
    idle: 0,
    known: 0,
    fresh: false,
    greedy: false,
    mob: false,
    subscribers: 0,
    reports: None,
    whatsat_every: 0,
    open_share: None,
    of: Of::One,
    door: Door::Lines,
};

pub const ALL: [Workload; 21] = [
    Workload { name: "1", about: "1 connection", connections: 1, ..PLAIN },
    Workload { name: "50", about: "50 connections", ..PLAIN },
    Workload { name: "500", about: "500 connections", connections: 500, ..PLAIN },
    Workload { name: "5000", about: "5,000 connections", connections: 5_000, ..PLAIN },
    Workload {
        name: "pipelined",
        about: "50 connections, 16 commands under way on each",
        depth: 16,
        ..PLAIN
    },
    Workload { name: "fresh", about: "a connection for every command, 50 at a time", fresh: true, ..PLAIN },
    Workload { name: "idle", about: "50 connections beside 10,000 idle", idle: 10_000, ..PLAIN },
    Workload {
        name: "beside",
        about: "49 connections beside one that pipelines without end, whose replies are not counted",
        greedy: true,
        ..PLAIN
    },
    Workload { name: "mixed", about: "50 connections, 1 in 5 a WHATSAT", whatsat_every: 5, ..PLAIN },
    Workload {
        name: "open",
        about: "50 connections, open loop at a quarter of what the first server does",
        open_share: Some(0.25),
        ..PLAIN
    },
    Workload {
        name: "mob",
        about: "the same rate beside 10,000 half commands, 100 at a byte a second, 20 that never read, endless lines, noise and resets",
        open_share: Some(0.25),
        mob: true,
        ..PLAIN
    },
    Workload {
        name: "five",
        about: "five servers, updates at one over 50 connections",
        of: Of::Five,
        ..PLAIN
    },
    Workload {
        name: "five-open",
        about: "five servers, open loop at half of what the first herd does, until the farthest has it",
        of: Of::Five,
        open_share: Some(0.5),
        ..PLAIN
    },
    Workload {
        name: "heal",
        about: "five servers, 5,000 updates/s of 1,000 clients, the farthest down for 5 s",
        of: Of::FiveHealing,
        ..PLAIN
    },
    Workload { name: "http", about: "reports by HTTP over 50 connections", door: Door::Http, ..PLAIN },
    Workload {
        name: "http-idle",
        about: "reports by HTTP over 50 connections beside 10,000 that have made one",
        idle: 10_000,
        door: Door::Http,
        ..PLAIN
    },
    Workload {
        name: "near",
        about: "50 clients that move and ask after every step for the 10 nearest of 100,000",
        known: 100_000,
        ..PLAIN
    },
    Workload { name: "near-http", about: "the same by HTTP", known: 100_000, door: Door::Http, ..PLAIN },
    Workload {
        name: "watch",
        about: "positions that 1,000 subscribers get of 2,000 reports/s of 1,000 clients",
        subscribers: 1_000,
        reports: Some(2_000.0),
        door: Door::Http,
        ..PLAIN
    },
    Workload {
        name: "watch-10000",
        about: "the same of 10,000 reports/s, by which every client has moved whenever it is looked",
        subscribers: 1_000,
        reports: Some(10_000.0),
        door: Door::Http,
        ..PLAIN
    },
    Workload {
        name: "watch-most",
        about: "the same of as many reports as 50 connections can make",
        subscribers: 1_000,
        door: Door::Http,
        ..PLAIN
    },
];

/// Clients that report where somebody watches.
const WATCHED_CLIENTS: usize = 1_000;

impl Workload {
    pub fn find(name: &str) -> Option<Workload> {
        ALL.into_iter().find(|workload| workload.name == name)
    }

    /// The run of it against a server.
    pub fn plan(&self, address: SocketAddr, dialect: Dialect, times: Times, threads: usize) -> Plan {
        Plan {
            address,
            dialect,
            connections: self.connections,
            clients_each: if self.subscribers > 0 { WATCHED_CLIENTS / self.connections } else { 1 },
            dues: None,
            idle: self.idle,
            known: self.known,
            fresh: self.fresh,
            half_closes: false,
            greedy: self.greedy,
            mob: self.mob,
            pace: match self.reports {
                Some(per_second) => Pace::Open { per_second },
                None => Pace::Closed { depth: self.depth },
            },
            warm_up: times.warm_up,
            measured: times.measured,
            threads,
            first_client: 0,
            base_s: BASE_S,
        }
    }
}

/// What the clients of a comparison count from, whose servers know nothing before.
pub const BASE_S: u64 = 1_520_023_934;

/// What `--seconds` says.
///
/// # Errors
/// It is too short to measure anything, or no time at all.
pub fn measured(seconds: f64) -> Result<Duration, String> {
    let measured =
        Duration::try_from_secs_f64(seconds).map_err(|why| format!("--seconds {seconds}: {why}"))?;
    if measured < Duration::from_millis(100) {
        return Err(format!("--seconds {seconds}: less than 0.1 measures nothing"));
    }
    Ok(measured)
}

/// How long a run takes.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    pub warm_up: Duration,
    pub measured: Duration,
}
