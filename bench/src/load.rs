//! `load ADDRESS`: drives one server that runs already, and says how it did.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::args::LoadArgs;
use crate::course::Manners;
use crate::dialect::Dialect;
use crate::failure::HANG;
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
    let measured = workload::measured(args.seconds)?;
    // Newer than any run before it.
    let base_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let manners = match args.http {
        true => name_by_http(address, base_s - 1).map(|name| Manners::of_herd(&name)),
        false => manners(address, base_s - 1),
    };
    let manners = manners.map_err(|why| format!("{address}: {why}"))?;
    if manners.is_one_shot && !args.fresh {
        return Err(format!("{address}: it answers one command a connection; say --fresh"));
    }
    let server = args.name.clone().unwrap_or(manners.server);
    let plan = Plan {
        address,
        dialect: match args.http {
            true => Dialect::Http { server },
            false => {
                Dialect::Course { server, whatsat_every: args.whatsat_every, ends_lines: manners.ends_lines }
            }
        },
        connections: args.connections.max(1),
        clients_each: 1,
        dues: None,
        idle: args.idle,
        known: 0,
        mob: args.mob,
        fresh: args.fresh,
        half_closes: manners.waits_for_end,
        greedy: false,
        pace,
        warm_up: Duration::from_millis(500),
        measured,
        threads: args.threads.max(1),
        first_client: 0,
        base_s,
    };
    let outcome = generator::run(&plan, &Hooks::NONE).map_err(|why| format!("{address}: {why}"))?;
    print!("{}", describe(&outcome));
    match outcome.fault {
        Some(why) => Err(format!("the run is void: {why}")),
        None if outcome.replies == 0 => Err(format!("{address}: no reply at all")),
        None => Ok(()),
    }
}

/// How a server speaks lines, by its replies to two reports of a client of no load.
fn manners(address: SocketAddr, at_s: u64) -> io::Result<Manners> {
    Manners::find(address, at_s).map_err(|(heard, sent)| {
        let why = format!("to {sent} it says {heard}: is it a server of the herd's protocol?");
        io::Error::other(why)
    })
}

/// What a server calls itself, by its reply to one report of a client of the load.
fn name_by_http(address: SocketAddr, at_s: u64) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, HANG)?;
    stream.set_read_timeout(Some(HANG))?;
    let body = format!("{{\"lat\":34.068930,\"lon\":-118.445127,\"time\":{at_s}}}");
    let report = format!(
        "PUT /v1/clients/c0000000.bench HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(report.as_bytes())?;
    let (mut said, mut piece) = (Vec::new(), [0; 4_096]);
    loop {
        let text = String::from_utf8_lossy(&said);
        let begin = text.find("\"at\":\"AT ").map(|at| at + 9);
        if let Some((name, _)) = begin.and_then(|begin| text.get(begin..)?.split_once(' ')) {
            return Ok(name.to_owned());
        }
        match stream.read(&mut piece)? {
            count if count > 0 && said.len() <= 65_536 => said.extend_from_slice(&piece[..count]),
            _ => {
                let said = text.lines().next().unwrap_or_default().escape_debug().to_string();
                let why = format!("to a report it says {said:?}, and no AT line: is it a door of herd's?");
                return Err(io::Error::other(why));
            }
        }
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
