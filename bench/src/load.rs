//! `load ADDRESS`: drives one server that runs already, and says how it did.

use std::net::ToSocketAddrs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::args::LoadArgs;
use crate::dialect::Dialect;
use crate::generator::{self, BUSY_LIMIT, Hooks, Outcome, Plan};
use crate::pacing::Pace;
use crate::report::table::short;
use crate::workload;

/// # Errors
/// The server cannot be reached, or the run is void.
pub fn run(args: &LoadArgs) -> Result<(), String> {
    let found = args.address.to_socket_addrs().map_err(|why| format!("{}: {why}", args.address))?.next();
    let address = found.ok_or_else(|| format!("{}: the name has no address", args.address))?;
    let pace = match args.rate {
        Some(per_second) if per_second > 0.0 => Pace::Open { per_second },
        Some(_) => return Err("--rate: it must be above 0".into()),
        None => Pace::Closed { depth: args.depth.max(1) },
    };
    if args.fresh && (args.rate.is_some() || args.depth > 1) {
        return Err("--fresh has one command under way on each connection: no --depth and no --rate".into());
    }
    if args.whatsat_every == 1 {
        return Err("--whatsat-every: a WHATSAT needs an IAMAT before it, so 2 or more".into());
    }
    if args.http && (args.whatsat_every > 0 || args.mob) {
        return Err("--http makes reports alone: no --whatsat-every and no --mob".into());
    }
    let plan = Plan {
        address,
        dialect: match args.http {
            true => Dialect::Http { server: args.name.clone() },
            false => Dialect::Herd { server: args.name.clone(), whatsat_every: args.whatsat_every },
        },
        connections: args.connections.max(1),
        clients_each: 1,
        dues: None,
        idle: args.idle,
        known: 0,
        mob: args.mob,
        fresh: args.fresh,
        greedy: false,
        pace,
        warm_up: Duration::from_millis(500),
        measured: workload::measured(args.seconds)?,
        threads: args.threads.max(1),
        first_client: 0,
        // Newer than any run before it.
        base_s: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
    };
    let outcome = generator::run(&plan, &Hooks::NONE).map_err(|why| format!("{address}: {why}"))?;
    print!("{}", describe(&outcome));
    match outcome.fault {
        Some(why) => Err(format!("the run is void: {why}")),
        None if outcome.replies == 0 => Err(format!("{address}: no reply at all")),
        None => Ok(()),
    }
}

fn describe(outcome: &Outcome) -> String {
    let at = |percentile: f64| short(outcome.latency_ns.value_at_percentile(percentile) as f64 / 1e3);
    let mut text = format!("{} requests/s, {} replies\n", short(outcome.per_second()), outcome.replies);
    text += &format!(
        "latency in µs: p50 {}, p90 {}, p99 {}, p99.9 {}, max {}\n",
        at(50.0),
        at(90.0),
        at(99.0),
        at(99.9),
        short(outcome.latency_ns.max() as f64 / 1e3)
    );
    if outcome.unanswered > 0 {
        text += &format!("{} were never answered\n", outcome.unanswered);
    }
    text += &format!("the busiest generator thread computed {:.0} % of the time", outcome.busy * 100.0);
    text += if outcome.busy > BUSY_LIMIT { ": it may have been the limit\n" } else { "\n" };
    text
}
