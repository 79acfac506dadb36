//! The settings of a herd.conf, in their ranges and with their defaults. `validate` calls it.

use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use log::LevelFilter;
use toml::Spanned;

use super::Settings;
use super::paths::Paths;
use super::raw::{Problem, Raw, RawPlaces, RawTiming};
use crate::limits::{self, Limit, LogBounds, SyncMode, Timing};
use crate::net::HostPort;
use crate::places::{self, Provider};

/// The limits and modes of a server.
pub fn settings(raw: &Raw) -> Result<Settings, Problem> {
    let cores = thread::available_parallelism().map_or(1, |cores| cores.get());
    let seconds = |value: &Option<_>, limit, key| number(value, limit, key).map(Duration::from_secs);
    let workers = number(&raw.workers, &limits::WORKERS, "workers")? as usize;
    let idle_timeout = seconds(&raw.idle_timeout_s, &limits::IDLE_TIMEOUT_S, "idle_timeout_s")?;
    Ok(Settings {
        workers: if workers == 0 { cores.max(limits::WORKERS_MIN) } else { workers },
        workers_said: Some(workers).filter(|&workers| workers > 0),
        max_connections: number(&raw.max_connections, &limits::MAX_CONNECTIONS, "max_connections")? as usize,
        max_per_address: match number(&raw.max_per_address, &limits::MAX_PER_ADDRESS, "max_per_address")? {
            0 => None,
            max => Some(max as usize),
        },
        max_clients: match number(&raw.max_clients, &limits::MAX_CLIENTS, "max_clients")? {
            0 => usize::MAX,
            max => usize::try_from(max).unwrap_or(usize::MAX),
        },
        max_line: number(&raw.max_line, &limits::MAX_LINE, "max_line")? as usize,
        idle_timeout: Some(idle_timeout).filter(|timeout| !timeout.is_zero()),
        write_timeout: seconds(&raw.write_timeout_s, &limits::WRITE_TIMEOUT_S, "write_timeout_s")?,
        max_unsent: number(&raw.max_unsent, &limits::MAX_UNSENT, "max_unsent")? as usize,
        max_unsent_total: usize::try_from(number(
            &raw.max_unsent_total,
            &limits::MAX_UNSENT_TOTAL,
            "max_unsent_total",
        )?)
        .unwrap_or(usize::MAX),
        stop_timeout: seconds(&raw.stop_timeout_s, &limits::STOP_TIMEOUT_S, "stop_timeout_s")?,
        max_ahead_ns: match &raw.max_ahead {
            Some(place) => duration_ns(place, "max_ahead")?,
            None => limits::MAX_AHEAD_NS,
        },
        refuses_ahead: raw.max_ahead.is_some(),
        sync: sync_mode(raw.sync.as_ref())?,
        forget_after_s: raw.forget_after.as_ref().map(forget_after_s).transpose()?,
        forgotten_for_s: match &raw.forgotten_for {
            Some(place) => duration_ns(place, "forgotten_for")? / 1_000_000_000,
            None => limits::FORGOTTEN_FOR_S,
        },
        is_indexed: raw.index.unwrap_or(true),
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
        compare_busy: ms(&raw.compare_busy_ms, &limits::COMPARE_BUSY_MS, "compare_busy_ms")?,
        digest_wait: ms(&raw.digest_wait_ms, &limits::DIGEST_WAIT_MS, "digest_wait_ms")?,
        differ: ms(&raw.differ_ms, &limits::DIFFER_MS, "differ_ms")?,
        compact_rest: ms(&raw.compact_rest_ms, &limits::COMPACT_REST_MS, "compact_rest_ms")?,
        silent: ms(&raw.silent_ms, &limits::SILENT_MS, "silent_ms")?,
        settle: ms(&raw.settle_ms, &limits::SETTLE_MS, "settle_ms")?,
    })
}

/// The value of a key, or its default; out of its range is an error that names the range.
pub fn number(value: &Option<Spanned<i64>>, limit: &Limit, key: &str) -> Result<u64, Problem> {
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
pub fn duration_ns(place: &Spanned<String>, key: &str) -> Result<u64, Problem> {
    let text = place.get_ref();
    let why = || format!("{key} is {text:?}, but must be like \"90s\", \"15m\", \"24h\" or \"7d\"");
    duration_s(text).map(|seconds| seconds * 1_000_000_000).ok_or_else(|| Problem::at(place, why()))
}

/// An address of a key.
pub fn host_port(place: &Spanned<String>, key: &str) -> Result<HostPort, Problem> {
    HostPort::parse(place.get_ref()).ok_or_else(|| {
        let examples = "\"127.0.0.1:16675\", \"[::1]:16675\" or \"host.example:16675\"";
        Problem::at(place, format!("{key} is {:?}, but must be like {examples}", place.get_ref()))
    })
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

/// The level of the log.
pub fn log_level(value: Option<&Spanned<String>>) -> Result<LevelFilter, Problem> {
    let Some(place) = value else { return Ok(LevelFilter::Info) };
    let why = "log_level must be \"off\", \"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
    place.get_ref().parse().map_err(|_| Problem::at(place, why))
}

/// What the log may take.
pub fn log_bounds(raw: &Raw) -> Result<LogBounds, Problem> {
    let keep = number(&raw.log_keep, &limits::LOG_KEEP, "log_keep")?;
    let bytes_max = number(&raw.log_max_bytes, &limits::LOG_MAX_BYTES, "log_max_bytes")?;
    let least = limits::LOG_MAX_BYTES_LEAST;
    match &raw.log_max_bytes {
        Some(place) if (1..least).contains(&bytes_max) => {
            let why =
                format!("log_max_bytes is {bytes_max}, but must be 0, for no bound, or at least {least}");
            Err(Problem::at(place, why))
        }
        Some(_) | None => Ok(LogBounds { bytes_max: Some(bytes_max).filter(|&max| max > 0), keep }),
    }
}

/// The files of `places.path`: one, or a list of them.
fn place_files(raw: Option<&Spanned<toml::Value>>, paths: &Paths<'_>) -> Result<Vec<PathBuf>, Problem> {
    let Some(place) = raw else { return Ok(Vec::new()) };
    let expected = "places.path must be a path, or a list of paths: [\"city.osm.pbf\", \"our-shops.csv\"]";
    let path = |value: &toml::Value| match value {
        toml::Value::String(text) => paths.at("places.path", &Spanned::new(place.span(), text.clone())),
        _ => Err(Problem::at(place, expected)),
    };
    match place.get_ref() {
        toml::Value::Array(list) if list.is_empty() => Err(Problem::at(place, expected)),
        toml::Value::Array(list) => list.iter().map(path).collect(),
        one => Ok(vec![path(one)?]),
    }
}

/// A language as it stands behind `name:` in OpenStreetMap: `en`, `pt-BR`, `sr-Latn`.
fn language(place: &Spanned<String>) -> Result<String, Problem> {
    let text = place.get_ref();
    let is_one = (2..=20).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b));
    if is_one {
        return Ok(text.clone());
    }
    Err(Problem::at(place, format!("places.language is {text:?}, but must be like \"en\" or \"pt-BR\"")))
}

/// The table `[places]`; `cache` is where what is read of files is kept.
pub fn places(
    raw: RawPlaces,
    paths: &Paths<'_>,
    cache: Option<PathBuf>,
) -> Result<places::Settings, Problem> {
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
        return Err(needs("path", "the CSV, TSV, GeoJSON or .osm.pbf file with your places"));
    }
    Ok(places::Settings {
        provider,
        url: raw.url.map(Spanned::into_inner),
        key_file: paths.find("places.key_file", raw.key_file.as_ref())?,
        field_mask: raw.field_mask,
        paths: place_files(raw.path.as_ref(), paths)?,
        also_gazetteer: raw.also_gazetteer.unwrap_or(false),
        language: raw.language.as_ref().map(language).transpose()?,
        cache,
        is_cache_kept: true,
        threads: Some(threads).filter(|&threads| threads > 0),
        queue: number(&raw.queue, &limits::PLACES_QUEUE, "places.queue")? as usize,
        daily_budget: match raw.daily_budget {
            None => None,
            some => Some(number(&some, &limits::PLACES_DAILY_BUDGET, "places.daily_budget")?),
        },
        connect_timeout,
        total_timeout,
    })
}
