//! `herdctl status` and `herdctl agree`: what the servers say of themselves and of their neighbours. `ctl` calls it.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use super::choice::{self, Choice};
use super::out::{Failed, Out};
use crate::client::{self, Agreement, Answer, Greeted};
use crate::clock::posix_ns;
use crate::config::{Config, Server};
use crate::limits::CONFIG_SHOWN;
use crate::link::Keys;
use crate::run::{exit, secrets};

/// A line a server. The status is 1 if one is down or behind, says that it loses something, or they do not know the same.
pub fn run(choice: &Choice, out: &mut Out, name: Option<&str>) -> Result<u8, Failed> {
    let name = choice.one_for("status", name)?;
    let config = choice.config()?;
    let meant = match name {
        Some(name) => {
            let index = choice::find(&config, &name)?;
            if config.servers[index].plain {
                let why =
                    format!("{name} is plain: another implementation, which cannot be asked for its status");
                return Err(Failed::Status(exit::USAGE, why));
            }
            index..index + 1
        }
        None => {
            some_of(&config)?;
            0..config.servers.len()
        }
    };
    let keys = keys_of(&config, &config.servers[meant.clone()])?;
    let asked: Vec<_> = config.servers[meant].iter().zip(&keys).collect();
    let found = Agreement::settled(&config, &asked, patience(choice, &config));
    let states = States::ask(&config, &asked, &found, choice.patience());
    if out.is_json {
        for ((name, answer), state) in found.servers.iter().zip(&states.all) {
            let mut object = object(name, answer, &found);
            object["state"] = state.clone();
            object["config_here"] = states.config.clone().into();
            if let (Some(note), Some(notes)) = (states.note(name, state), object["notes"].as_array_mut()) {
                notes.push(note.into());
            }
            out.json(&object)?;
        }
    } else {
        out.text(&table(&found, None, Some(&states)))?;
    }
    Ok(status_of(&found))
}

/// What servers say of themselves besides what they know.
pub struct States {
    /// One a server; null of one that says nothing of it.
    all: Vec<Value>,
    /// What tells our herd.conf from another.
    config: String,
    now_s: u64,
}

impl States {
    /// Asks those that were reached.
    pub fn ask(config: &Config, asked: &[(&Server, &Keys)], found: &Agreement, patience: Duration) -> States {
        let conf = config.digest();
        let state = |(name, answer): &(String, io::Result<Answer>)| {
            let (server, keys) = asked.iter().find(|(server, _)| answer.is_ok() && server.name == *name)?;
            client::state(&Greeted { server, keys, conf, patience }).ok().flatten()
        };
        States {
            all: found.servers.iter().map(|one| state(one).unwrap_or(Value::Null)).collect(),
            config: format!("{:016x}", config.fingerprint()),
            now_s: posix_ns() / 1_000_000_000,
        }
    }

    /// Records that were news to one server since its start, where it says so.
    pub fn news(&self, number: usize) -> Option<u64> {
        self.all.get(number)?["news"].as_u64()
    }

    /// The cells of a server: for how long it is up, its connections, refused lines, journal, version and herd.conf.
    fn cells(&self, state: &Value) -> [String; 6] {
        let number = |key: &str| state[key].as_u64();
        let text = |key: &str| state[key].as_str().unwrap_or("-");
        let shown = |number: Option<u64>| number.map_or("-".into(), |number| number.to_string());
        [
            number("since").map_or("-".into(), |since| span(self.now_s.saturating_sub(since))),
            shown(number("connections")),
            shown(number("refused_lines")),
            text("journal").into(),
            text("version").into(),
            text("config").get(..CONFIG_SHOWN).unwrap_or("-").into(),
        ]
    }

    /// What is to be done about it.
    fn note(&self, name: &str, state: &Value) -> Option<String> {
        let theirs = state["config"].as_str().filter(|theirs| *theirs != self.config)?;
        let (theirs, ours) = (theirs.get(..CONFIG_SHOWN)?, self.config.get(..CONFIG_SHOWN)?);
        Some(format!(
            "it goes by another herd.conf ({theirs}) than this one ({ours}): copy the file there if it is on another \
             machine, then herdctl reload {name}, which says what needs a restart"
        ))
    }
}

/// For how long, in its largest unit and the next: `3d 4h`.
fn span(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

/// The exit status for that.
pub fn status_of(found: &Agreement) -> u8 {
    let is_refused = |(_, answer): &(String, io::Result<Answer>)| answer.as_ref().is_err_and(is_refusal);
    match () {
        () if found.servers.iter().any(is_refused) => exit::NOT_ALLOWED,
        () if found.is_well() => exit::OK,
        () => exit::DISAGREE,
    }
}

/// What `herd --agree` prints, and its status.
pub fn agree(choice: &Choice, out: &mut Out, wait: Duration) -> Result<u8, Failed> {
    choice.is_for_all("agree")?;
    let config = choice.config()?;
    some_of(&config)?;
    let keys = keys_of(&config, &config.servers)?;
    let found = Agreement::find(&config, &keys, wait, patience(choice, &config));
    if out.is_json {
        found.servers.iter().try_for_each(|(name, answer)| out.json(&object(name, answer, &found)))?;
    } else {
        out.text(&found.to_string())?;
    }
    Ok(match status_of(&found) {
        // Whether they are well besides is not asked.
        _ if found.is_whole() => exit::OK,
        exit::NOT_ALLOWED => exit::NOT_ALLOWED,
        _ => exit::DISAGREE,
    })
}

/// Whether a server runs and answers, and refuses whoever asks: it has another secret.
fn is_refusal(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::PermissionDenied
}

/// Fails where there is no server that can be asked for its status.
pub fn some_of(config: &Config) -> Result<(), Failed> {
    if config.servers.iter().all(|server| server.plain) {
        let why = "all servers are plain: other implementations, which cannot be asked for their status";
        return Err(Failed::Status(exit::USAGE, format!("{}: {why}", config.path.display())));
    }
    Ok(())
}

pub fn keys_of(config: &Config, servers: &[Server]) -> Result<Vec<Keys>, Failed> {
    let keys = servers.iter().map(|server| secrets::for_asking_one(config, server)).collect::<Result<_, _>>();
    keys.map_err(|why| Failed::Status(exit::CONFIG, why.to_string()))
}

pub fn patience(choice: &Choice, config: &Config) -> Duration {
    choice.timeout().unwrap_or(config.settings.timing.digest_wait)
}

/// The links of a server that are up, of how many, and the most that a neighbour is behind.
fn links(answer: &Answer) -> (usize, usize, u64, u64) {
    let up = answer.links.iter().filter(|link| link.is_up).count();
    let behind = answer.links.iter().filter(|link| link.is_behind());
    let clients = behind.clone().map(|link| link.clients).max().unwrap_or(0);
    (up, answer.links.len(), clients, behind.map(|link| link.ms).max().unwrap_or(0))
}

/// What came a second to a server since it was last asked. None where that is not known.
#[derive(Clone, Copy, Default)]
pub struct Rates {
    pub clients: Option<f64>,
    pub news: Option<f64>,
}

impl Rates {
    fn cells(self) -> [String; 2] {
        let shown = |rate: Option<f64>| rate.map_or("-".into(), |rate| format!("{rate:.1}"));
        [self.clients.map_or("-".into(), |rate| format!("{rate:+.1}")), shown(self.news)]
    }
}

/// For a person: the columns are as wide as what stands in them. `rates` has one a server.
pub fn table(found: &Agreement, rates: Option<&[Rates]>, states: Option<&States>) -> String {
    let mut rows =
        vec![["server", "state", "clients", "digest", "links", "behind"].map(str::to_owned).to_vec()];
    rows.extend(found.servers.iter().map(|(name, answer)| row(name, answer)));
    let mut of_states: Vec<Vec<String>> = vec![Vec::new(); found.servers.len()];
    if let Some(states) = states {
        let head = ["up for", "connections", "refused", "journal", "version", "herd.conf"].map(str::to_owned);
        let cells = [head].into_iter().chain(states.all.iter().map(|state| states.cells(state)));
        rows.iter_mut().zip(cells).for_each(|(row, cells)| row.extend(cells));
        for ((notes, (name, _)), state) in of_states.iter_mut().zip(&found.servers).zip(&states.all) {
            notes.extend(states.note(name, state));
        }
    }
    if let Some(rates) = rates {
        let head = ["clients/s", "news/s"].map(str::to_owned);
        let cells = [head].into_iter().chain(rates.iter().map(|rates| rates.cells()));
        rows.iter_mut().zip(cells).for_each(|(row, cells)| drop(row.splice(3..3, cells)));
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<_> = (0..rows[0].len()).map(width).collect();
    // The head has none.
    let of_servers = found
        .servers
        .iter()
        .zip(of_states)
        .map(|((_, answer), more)| notes_of(answer).into_iter().chain(more).collect::<Vec<_>>());
    let mut notes = [Vec::new()].into_iter().chain(of_servers);
    let mut table = String::new();
    for row in &rows {
        let cells: Vec<_> = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        table += &format!("{}\n", cells.join("  ").trim_end());
        for note in notes.next().unwrap_or_default() {
            table += &format!("{:width$}  {note}\n", "", width = widths[0]);
        }
    }
    if !found.is_whole() && !found.is_news && found.servers.iter().all(|(_, answer)| answer.is_ok()) {
        table += "they do not know the same; herdctl agree --wait 10s gives news time to arrive\n";
    }
    table
}

fn row(name: &str, answer: &io::Result<Answer>) -> Vec<String> {
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => {
            let state = if is_refusal(why) { "refused" } else { "down" };
            return [name, state, "-", "-", "-", "-"].map(str::to_owned).to_vec();
        }
    };
    let (up, all, clients, ms) = links(answer);
    let behind = if clients == 0 { "-".into() } else { format!("{clients} for {:.1} s", ms as f64 / 1e3) };
    let digest = format!("{:016x}", answer.digest.total());
    vec![name.into(), "up".into(), answer.digest.count.to_string(), digest, format!("{up}/{all}"), behind]
}

fn notes_of(answer: &io::Result<Answer>) -> Vec<String> {
    match answer {
        Ok(answer) => answer.notes.clone(),
        Err(why) => vec![why.to_string()],
    }
}

/// What is known of a server, and whether all that were asked know the same.
pub fn object(name: &str, answer: &io::Result<Answer>, all: &Agreement) -> Value {
    let is_same = all.is_whole() || all.is_news;
    match answer {
        Ok(answer) => {
            let links = answer.links.iter().map(|link| {
                json!({
                    "neighbour": link.neighbour,
                    "up": link.is_up,
                    "clients_behind": link.clients,
                    "ms_behind": if link.clients > 0 { link.ms } else { 0 },
                })
            });
            json!({
                "server": name,
                "up": true,
                "clients": answer.digest.count,
                "digest": format!("{:016x}", answer.digest.total()),
                "links": links.collect::<Vec<_>>(),
                "late": answer.is_late,
                "ill": answer.is_ill,
                "same": is_same,
                "notes": answer.notes,
            })
        }
        Err(why) => {
            let is_refused = is_refusal(why);
            json!({
                "server": name,
                "up": is_refused,
                "refused": is_refused,
                "same": is_same,
                "why": why.to_string(),
            })
        }
    }
}
