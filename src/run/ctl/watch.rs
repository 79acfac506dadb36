//! `herdctl watch`: where clients are, and each change as it comes. `ctl` calls it.

use std::collections::HashSet;
use std::io;
use std::time::{Duration, Instant};

use serde_json::json;
use xxhash_rust::xxh3::xxh3_64;

use super::asking::{lost, nonsense};
use super::choice::{Choice, Chosen};
use super::lines::location_of;
use super::out::{Failed, Out, gone_of, record_of};
use crate::args::ctl::Watch;
use crate::client::explain;
use crate::limits::{FEED_PAUSE_S, NEAREST_RADIUS_MAX_KM, WATCH_KM, WATCH_THERE_MAX};
use crate::protocol::line::Fields;
use crate::protocol::record::AtFields;
use crate::protocol::reply::refused_line;
use crate::protocol::{Command, Location};
use crate::run::exit;
use crate::store::Around;

/// Prints lines until so many have come, the time is up, or the server ends it.
pub fn run(choice: &Choice, out: &mut Out, watch: &Watch) -> Result<u8, Failed> {
    let ask = match &watch.prefix {
        Some(prefix) if Fields::of(prefix.as_bytes()).exactly() != Some([prefix.as_bytes()]) => {
            return Err(usage("the beginning of a client's ID has no white space, and is not empty"));
        }
        Some(prefix) => format!("WATCH {prefix}\n"),
        None => "WATCH\n".to_owned(),
    };
    let mut area = Area::of(watch)?;
    let Chosen { name, mut lines, mut sayer } = choice.connect()?;
    sayer.say(ask.as_bytes()).map_err(|why| lost(&name, &lines, &why))?;
    let until = watch.span.map(|span| Instant::now() + span);
    // Until all that is there has been told, each line comes at once; then a server that has no news says that.
    let (mut silence, mut has_all) = (choice.patience(), false);
    let mut left = watch.lines;
    while left != Some(0) {
        if !lines.has_more() {
            out.flush()?;
        }
        let silent = Instant::now() + silence;
        let line = match lines.line_by(until.map_or(silent, |until| until.min(silent))) {
            Ok(Some(line)) => line,
            Err(why) if why.kind() == io::ErrorKind::TimedOut => {
                if has_all && until.is_some_and(|until| Instant::now() >= until) {
                    // Whoever waits for so many did not get them.
                    return Ok(if left.is_none() { exit::OK } else { exit::DISAGREE });
                }
                let waited = watch.span.map_or(silence, |span| span.min(silence));
                out.flush()?;
                return Err(lost(&name, &lines, &explain(why, waited)));
            }
            // Also one that has not sent all it had to say.
            Err(why) if why.kind() != io::ErrorKind::ConnectionReset => {
                return Err(lost(&name, &lines, &why));
            }
            Ok(None) | Err(_) => {
                let why = io::Error::other("it ended the connection; watch again, and all is told anew");
                out.flush()?;
                return Err(lost(&name, &lines, &why));
            }
        };
        if line.is_empty() {
            if !has_all && out.is_json {
                out.json(&json!({ "server": name, "snapshot": "over" }))?;
            }
            (silence, has_all) = (Duration::from_secs(FEED_PAUSE_S) + choice.patience(), true);
            // Without news nothing is written, by which that would show.
            if out.is_unread() {
                return Err(Failed::Unread);
            }
            continue;
        }
        if refused_line(&line).is_some() {
            let why = "as many watch it as may, or it is an older herd; ask another one by -s NAME";
            return Err(Failed::Status(exit::DISAGREE, format!("{name} refused: {why}")));
        }
        let told = Told::of(&line).ok_or_else(|| lost(&name, &lines, &nonsense()))?;
        if area.as_mut().is_some_and(|area| !area.concerns(&told)) {
            continue;
        }
        match told {
            Told::Gone(client) if out.is_json => out.json(&gone_of(client, &name))?,
            Told::At(_) if out.is_json => {
                record_of(&line, &name).map_or(Ok(()), |object| out.json(&object))?
            }
            Told::Gone(_) | Told::At(_) => out.line(&line)?,
        }
        left = left.map(|left| left - 1);
    }
    Ok(exit::OK)
}

/// What a line tells.
enum Told<'a> {
    At(AtFields<'a>),
    Gone(&'a [u8]),
}

impl Told<'_> {
    fn of(line: &[u8]) -> Option<Told<'_>> {
        if let Some(client) = line.strip_prefix(b"GONE ") {
            return (Fields::of(client).exactly() == Some([client])).then_some(Told::Gone(client));
        }
        match Command::parse(line) {
            Ok(Command::At(at)) => Some(Told::At(at)),
            _ => None,
        }
    }
}

/// The area that `--near` and `--km` mean. WATCH knows none, so what is elsewhere is left out here.
struct Area {
    around: Around,
    /// The clients that are there, by the hashes of their IDs: each is told once more when it leaves.
    there: HashSet<u64>,
}

impl Area {
    fn of(watch: &Watch) -> Result<Option<Area>, Failed> {
        let Some(near) = &watch.near else {
            return if watch.km.is_some() { Err(usage("--km needs --near LOCATION")) } else { Ok(None) };
        };
        let km = watch.km.unwrap_or(WATCH_KM);
        if !(0.0..=f64::from(NEAREST_RADIUS_MAX_KM)).contains(&km) {
            return Err(usage(format!("--km is from 0 to {NEAREST_RADIUS_MAX_KM}")));
        }
        let text = location_of(near.as_bytes()).map_err(usage)?;
        let location = Location::parse(&text)
            .ok_or_else(|| usage("--near takes a position like +34.07-118.44 or 34.07,-118.44"))?;
        Ok(Some(Area { around: Around::new(location.coordinates(), km * 1e3), there: HashSet::new() }))
    }

    /// Whether that is there, or has just left.
    fn concerns(&mut self, told: &Told<'_>) -> bool {
        match told {
            Told::Gone(client) => self.there.remove(&xxh3_64(client)),
            Told::At(at) if self.around.has(at.location.coordinates()) => {
                // Of more than so many at once, not all are told to leave.
                if self.there.len() < WATCH_THERE_MAX {
                    self.there.insert(xxh3_64(at.client));
                }
                true
            }
            Told::At(at) => self.there.remove(&xxh3_64(at.client)),
        }
    }
}

fn usage(why: impl Into<String>) -> Failed {
    Failed::Status(exit::USAGE, why.into())
}
