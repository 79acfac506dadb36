//! From what herd.conf says to what it means: ranges, names, addresses and the graph.

use std::collections::BTreeMap;
use std::path::Path;
use std::thread;
use std::time::Duration;

use log::LevelFilter;
use toml::Spanned;

use super::paths::Paths;
use super::raw::{Problem, Raw, RawPlaces, RawServer, RawTiming};
use super::{Config, Server, Settings, hints, source};
use crate::limits::{self, Limit, SyncMode, Timing};
use crate::net::HostPort;
use crate::places::{self, Provider};

/// `text` is what it was read from, for the places of files that are opened later.
pub fn validate(path: &Path, raw: Raw, text: &str) -> Result<Config, Problem> {
    let folder = source::folder_of(path);
    let paths = Paths { folder, text };
    let insecure = raw.insecure_neighbours;
    let places_of: Vec<_> =
        raw.servers.iter().map(|(name, table)| (name.span().start, table.listen.span())).collect();
    let config = Config {
        path: path.to_owned(),
        text: text.into(),
        settings: settings(&raw)?,
        data_dir: match &raw.data_dir {
            Some(place) if place.get_ref().is_empty() => None,
            place => Some(paths.find("data_dir", place.as_ref())?.unwrap_or_else(|| folder.join("data"))),
        },
        log_dir: paths.find("log_dir", raw.log_dir.as_ref())?.unwrap_or_else(|| folder.join("log")),
        log_level: log_level(raw.log_level.as_ref())?,
        places: places(raw.places, &paths)?,
        places_line: None,
        secret_file: paths.find_secret("secret_file", raw.secret_file.as_ref())?,
        servers: servers(raw.servers, &paths)?,
    };
    if !insecure {
        guarded(&config, places_of)?;
    }
    Ok(config)
}

/// No server takes AT lines from other machines on trust.
fn guarded(config: &Config, mut places: Vec<(usize, std::ops::Range<usize>)>) -> Result<(), Problem> {
    places.sort_by_key(|(start, _)| *start);
    let is_outside = |server: &Server| !server.listen.is_loopback() || !server.address.is_loopback();
    for (index, (server, (_, listen))) in config.servers.iter().zip(places).enumerate() {
        let trusted = server.neighbours.iter().find(|&&other| {
            config.shared_secret(index, other).is_none()
                && (is_outside(server) || is_outside(&config.servers[other]))
        });
        if let Some(&other) = trusted {
            let why = format!(
                "{} and its neighbour {} can be reached from other machines and share no secret, so anybody there \
                 could forge positions; add secret_file = \"herd.key\", or insecure_neighbours = true to accept it",
                server.name, config.servers[other].name
            );
            return Err(Problem { span: Some(listen), why });
        }
    }
    Ok(())
}

fn settings(raw: &Raw) -> Result<Settings, Problem> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let seconds = |value: &Option<_>, limit, key| number(value, limit, key).map(Duration::from_secs);
    let workers = number(&raw.workers, &limits::WORKERS, "workers")? as usize;
    let idle_timeout = seconds(&raw.idle_timeout_s, &limits::IDLE_TIMEOUT_S, "idle_timeout_s")?;
    Ok(Settings {
        workers: if workers == 0 { cores.max(limits::WORKERS_MIN) } else { workers },
        max_connections: number(&raw.max_connections, &limits::MAX_CONNECTIONS, "max_connections")? as usize,
        max_clients: match number(&raw.max_clients, &limits::MAX_CLIENTS, "max_clients")? {
            0 => usize::MAX,
            max => usize::try_from(max).unwrap_or(usize::MAX),
        },
        max_line: number(&raw.max_line, &limits::MAX_LINE, "max_line")? as usize,
        idle_timeout: Some(idle_timeout).filter(|timeout| !timeout.is_zero()),
        write_timeout: seconds(&raw.write_timeout_s, &limits::WRITE_TIMEOUT_S, "write_timeout_s")?,
        max_unsent: number(&raw.max_unsent, &limits::MAX_UNSENT, "max_unsent")? as usize,
        stop_timeout: seconds(&raw.stop_timeout_s, &limits::STOP_TIMEOUT_S, "stop_timeout_s")?,
        max_ahead_ns: raw.max_ahead.as_ref().map(|place| duration_ns(place, "max_ahead")).transpose()?,
        sync: sync_mode(raw.sync.as_ref())?,
        forget_after_s: raw.forget_after.as_ref().map(forget_after_s).transpose()?,
        one_shot: one_shot(raw.connections.as_ref())?,
        timing: timing(&raw.timing)?,
    })
}

fn timing(raw: &RawTiming) -> Result<Timing, Problem> {
    let ms =
        |value, limit, key: &str| number(value, limit, &format!("timing.{key}")).map(Duration::from_millis);
    Ok(Timing {
        greeting: ms(&raw.greeting_ms, &limits::GREETING_MS, "greeting_ms")?,
        heartbeat: ms(&raw.heartbeat_ms, &limits::HEARTBEAT_MS, "heartbeat_ms")?,
        compare: ms(&raw.compare_ms, &limits::COMPARE_MS, "compare_ms")?,
        digest_wait: ms(&raw.digest_wait_ms, &limits::DIGEST_WAIT_MS, "digest_wait_ms")?,
        differ: ms(&raw.differ_ms, &limits::DIFFER_MS, "differ_ms")?,
        compact_rest: ms(&raw.compact_rest_ms, &limits::COMPACT_REST_MS, "compact_rest_ms")?,
    })
}

/// The value of a key, or its default; out of its range is an error that names the range.
fn number(value: &Option<Spanned<i64>>, limit: &Limit, key: &str) -> Result<u64, Problem> {
    let Some(place) = value else { return Ok(limit.default) };
    let number = u64::try_from(*place.get_ref()).ok().filter(|number| limit.range.contains(number));
    number.ok_or_else(|| {
        let (min, max) = (limit.range.start(), limit.range.end());
        Problem::at(place, format!("{key} is {}, but must be from {min} to {max}", place.get_ref()))
    })
}

/// `90s`, `15m`, `24h` or `7d` in seconds, up to 36500 days.
pub fn duration_s(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit_s = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return None,
    };
    let digits = !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    let seconds = number.parse::<u64>().ok().filter(|_| digits)?.checked_mul(unit_s)?;
    (seconds <= limits::DURATION_MAX_S).then_some(seconds)
}

/// The same in ns, of a key.
fn duration_ns(place: &Spanned<String>, key: &str) -> Result<u64, Problem> {
    let text = place.get_ref();
    let why = || format!("{key} is {text:?}, but must be like \"90s\", \"15m\", \"24h\" or \"7d\"");
    duration_s(text).map(|seconds| seconds * 1_000_000_000).ok_or_else(|| Problem::at(place, why()))
}

fn forget_after_s(place: &Spanned<String>) -> Result<u64, Problem> {
    match duration_ns(place, "forget_after")? / 1_000_000_000 {
        0 => Err(Problem::at(place, "forget_after is no time at all; leave it out to forget nobody")),
        seconds => Ok(seconds),
    }
}

fn sync_mode(value: Option<&Spanned<String>>) -> Result<SyncMode, Problem> {
    let Some(place) = value else { return Ok(SyncMode::Second) };
    match place.get_ref().as_str() {
        "always" => Ok(SyncMode::Always),
        "second" => Ok(SyncMode::Second),
        "never" => Ok(SyncMode::Never),
        other => {
            let why = format!("sync is {other:?}, but must be \"always\", \"second\" or \"never\"");
            Err(Problem::at(place, why))
        }
    }
}

fn one_shot(value: Option<&Spanned<String>>) -> Result<bool, Problem> {
    let Some(place) = value else { return Ok(false) };
    match place.get_ref().as_str() {
        "persistent" => Ok(false),
        "one-shot" => Ok(true),
        other => {
            let why = format!("connections is {other:?}, but must be \"persistent\" or \"one-shot\"");
            Err(Problem::at(place, why))
        }
    }
}

fn log_level(value: Option<&Spanned<String>>) -> Result<LevelFilter, Problem> {
    let Some(place) = value else { return Ok(LevelFilter::Info) };
    let why = "log_level must be \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
    place.get_ref().parse().map_err(|_| Problem::at(place, why))
}

fn places(raw: RawPlaces, paths: &Paths<'_>) -> Result<places::Settings, Problem> {
    let threads = number(&raw.threads, &limits::PLACES_THREADS, "places.threads")? as usize;
    let (connect, total) = (&limits::PLACES_CONNECT_TIMEOUT_S, &limits::PLACES_TOTAL_TIMEOUT_S);
    let connect_timeout_s = number(&raw.connect_timeout_s, connect, "places.connect_timeout_s")?;
    let connect_timeout = Duration::from_secs(connect_timeout_s);
    let total_timeout = Duration::from_secs(number(&raw.total_timeout_s, total, "places.total_timeout_s")?);
    let provider = match &raw.provider {
        None => Provider::Gazetteer,
        Some(place) => place.get_ref().parse().map_err(|_| {
            let known = "\"gazetteer\", \"google\", \"google-legacy\", \"overpass\" or \"file\"";
            Problem::at(place, format!("places.provider is {:?}, but must be {known}", place.get_ref()))
        })?,
    };
    if let Some(url) = &raw.url
        && !(url.get_ref().starts_with("http://") || url.get_ref().starts_with("https://"))
    {
        return Err(Problem::at(url, "places.url must begin with http:// or https://"));
    }
    let needs = |key: &str, why: &str| {
        let why = format!("places.provider needs places.{key}: {why}");
        match &raw.provider {
            Some(place) => Problem::at(place, why),
            None => Problem { span: None, why },
        }
    };
    if provider == Provider::Overpass && raw.url.is_none() {
        return Err(needs("url", "the Overpass server to ask, as public ones forbid being a backend"));
    }
    if provider == Provider::File && raw.path.is_none() {
        return Err(needs("path", "the CSV, TSV or GeoJSON file with your places"));
    }
    Ok(places::Settings {
        provider,
        url: raw.url.map(Spanned::into_inner),
        key_file: paths.find("places.key_file", raw.key_file.as_ref())?,
        field_mask: raw.field_mask,
        path: paths.find("places.path", raw.path.as_ref())?,
        threads: Some(threads).filter(|&threads| threads > 0),
        queue: number(&raw.queue, &limits::PLACES_QUEUE, "places.queue")? as usize,
        connect_timeout,
        total_timeout,
    })
}

fn servers(raw: BTreeMap<Spanned<String>, RawServer>, paths: &Paths<'_>) -> Result<Vec<Server>, Problem> {
    if raw.is_empty() {
        let why = "no servers: add a table like [servers.Goloman] with listen = \"127.0.0.1:16675\"";
        return Err(Problem { span: None, why: why.into() });
    }
    let mut tables: Vec<_> = raw.into_iter().collect();
    tables.sort_by_key(|(name, _)| name.span().start);
    let mut servers = Vec::with_capacity(tables.len());
    for (name, table) in &tables {
        servers.push(server(name, table, paths)?);
    }
    connect(&tables, &mut servers)?;
    pair_up(&tables, &mut servers, paths)?;
    distinct(&tables, &servers)?;
    dialable(&tables, &servers)?;
    one_family(&tables, &servers)?;
    Ok(servers)
}

fn server(name: &Spanned<String>, table: &RawServer, paths: &Paths<'_>) -> Result<Server, Problem> {
    let text = name.get_ref();
    let plain_byte = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let starts_well = text.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    if !starts_well || !text.bytes().all(plain_byte) || text.len() > limits::NAME_MAX {
        let why = format!(
            "server name {text:?} must be 1 to {} letters, digits, '-', '_' or '.', first a letter or digit",
            limits::NAME_MAX
        );
        return Err(Problem::at(name, why));
    }
    let listen = host_port(&table.listen, "listen")?;
    let address = match &table.address {
        Some(place) => host_port(place, "address")?,
        None => listen.clone(),
    };
    Ok(Server {
        name: text.clone(),
        listen,
        address,
        plain: table.plain,
        refill: table.refill,
        secret_file: paths.find_secret("secret_file", table.secret_file.as_ref())?,
        secret_files: Vec::new(),
        neighbours: Vec::new(),
    })
}

fn host_port(place: &Spanned<String>, key: &str) -> Result<HostPort, Problem> {
    HostPort::parse(place.get_ref()).ok_or_else(|| {
        let examples = "\"127.0.0.1:16675\", \"[::1]:16675\" or \"host.example:16675\"";
        Problem::at(place, format!("{key} is {:?}, but must be like {examples}", place.get_ref()))
    })
}

/// Fills in the neighbours, both ways.
fn connect(tables: &[(Spanned<String>, RawServer)], servers: &mut [Server]) -> Result<(), Problem> {
    for (index, (name, table)) in tables.iter().enumerate() {
        for neighbour in &table.neighbours {
            let other = tables.iter().position(|(name, _)| name.get_ref() == neighbour.get_ref());
            let why = match other {
                Some(other) if other != index => {
                    servers[index].neighbours.push(other);
                    servers[other].neighbours.push(index);
                    continue;
                }
                Some(_) => format!("{} names itself as a neighbour; take it out", name.get_ref()),
                None => {
                    let names: Vec<_> = tables.iter().map(|(name, _)| name.get_ref().as_str()).collect();
                    format!("no server {:?}; there are {}", neighbour.get_ref(), names.join(", "))
                }
            };
            return Err(Problem::at(neighbour, why));
        }
    }
    for server in servers {
        server.neighbours.sort_unstable();
        server.neighbours.dedup();
    }
    Ok(())
}

/// Fills in what pairs of neighbours share, at both of them.
fn pair_up(
    tables: &[(Spanned<String>, RawServer)],
    servers: &mut [Server],
    paths: &Paths<'_>,
) -> Result<(), Problem> {
    for (index, (name, table)) in tables.iter().enumerate() {
        for (neighbour, place) in &table.secret_files {
            let (name, neighbour_name) = (name.get_ref(), neighbour.get_ref());
            let found =
                servers[index].neighbours.iter().find(|&&other| servers[other].name == *neighbour_name);
            let Some(&other) = found else {
                let hint = hints::home_of(neighbour_name)
                    .map_or(String::new(), |home| format!("; if it is a setting, it belongs {home}"));
                let why =
                    format!("{neighbour_name} is no neighbour of {name}, and shares nothing with it{hint}");
                return Err(Problem::at(neighbour, why));
            };
            if servers[index].plain || servers[other].plain {
                let why = format!(
                    "{name} and {neighbour_name} are not both of this make: a plain one proves nothing"
                );
                return Err(Problem::at(neighbour, why));
            }
            let file = paths.secret("secret_files", place)?;
            let named = servers[index].secret_files.iter().find(|(with, _)| *with == other);
            match named {
                Some((_, first)) if first.path != file.path => {
                    let why = format!(
                        "{neighbour_name} names {} for its link with {name}; name one file, at one of the two",
                        first.path.display()
                    );
                    return Err(Problem::at(place, why));
                }
                Some(_) => {}
                None => {
                    servers[other].secret_files.push((index, file.clone()));
                    servers[index].secret_files.push((other, file));
                }
            }
        }
    }
    Ok(())
}

/// No two servers on one address, however it is written.
fn distinct(tables: &[(Spanned<String>, RawServer)], servers: &[Server]) -> Result<(), Problem> {
    for (index, ((_, table), server)) in tables.iter().zip(servers).enumerate() {
        let first = servers[..index].iter().find(|other| other.listen.port != 0 && clash(other, server));
        if let Some(first) = first {
            let why = format!("{} listens on {} already; choose another port", first.name, first.listen);
            return Err(Problem::at(&table.listen, why));
        }
        let same = |other: &&Server| {
            other.address.port == server.address.port && other.address.same_host(&server.address)
        };
        let dialled = |other: &&Server| other.address.port != 0 && same(other);
        if let Some(first) = servers[..index].iter().find(dialled) {
            let why = format!("{} has the address {} already; give each its own", first.name, first.address);
            return Err(Problem::at(table.address.as_ref().unwrap_or(&table.listen), why));
        }
    }
    Ok(())
}

/// Whether two servers cannot both listen, as far as can be told without asking for names. One that
/// listens on every address of its machine and is dialled by another may be on another machine.
fn clash(a: &Server, b: &Server) -> bool {
    let elsewhere = |server: &Server| server.listen.is_wildcard() && server.address != server.listen;
    if a.listen.port != b.listen.port || elsewhere(a) || elsewhere(b) {
        return false;
    }
    let either_wildcard = a.listen.is_wildcard() || b.listen.is_wildcard();
    let here = |at: &HostPort| at.is_wildcard() || at.is_loopback();
    a.listen.same_host(&b.listen) || (either_wildcard && here(&a.listen) && here(&b.listen))
}

/// Neighbours know each other by their addresses, so these must be of one family.
fn one_family(tables: &[(Spanned<String>, RawServer)], servers: &[Server]) -> Result<(), Problem> {
    for ((_, table), server) in tables.iter().zip(servers) {
        for other in server.neighbours.iter().map(|&other| &servers[other]) {
            let (Some(own), Some(others)) = (server.listen.ip(), other.address.ip()) else { continue };
            if own.is_unspecified() || server.plain || other.plain || own.is_ipv4() == others.is_ipv4() {
                continue;
            }
            let why = format!(
                "{} and its neighbour {} are on addresses of different families ({own} and {others}) and would \
                 not know each other; give both IPv4 or both IPv6 addresses",
                server.name, other.name
            );
            return Err(Problem::at(&table.listen, why));
        }
    }
    Ok(())
}

/// A server with neighbours has an address that they can dial.
fn dialable(tables: &[(Spanned<String>, RawServer)], servers: &[Server]) -> Result<(), Problem> {
    for ((_, table), server) in tables.iter().zip(servers) {
        if server.neighbours.is_empty() {
            continue;
        }
        let place = table.address.as_ref().unwrap_or(&table.listen);
        if server.address.port == 0 {
            return Err(Problem::at(place, "port 0 cannot be dialled by its neighbours; choose a port"));
        }
        if server.address.is_wildcard() {
            let why = format!(
                "{} cannot be dialled by its neighbours; add address = \"HOST:{}\" to its table",
                server.address, server.address.port
            );
            return Err(Problem::at(place, why));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
