//! Starts variants in folders of their own: one server, or the five of the original herd.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use crate::leftovers;
use crate::link_end::NAME as OBSERVER;
use crate::process::{Process, Ready, Usage};
use crate::stand_in;
use crate::variants::{Speaks, Variant};
use crate::workload::Door;

/// The server under measurement, which the updates of a herd go to.
pub const NAME: &str = "Goloman";

/// The original herd; Welsh is farthest from Goloman, and this program listens behind it.
const GRAPH: [(&str, &[&str]); 5] = [
    ("Goloman", &["Hands", "Holiday", "Wilkes"]),
    ("Hands", &["Wilkes"]),
    ("Holiday", &["Welsh", "Wilkes"]),
    ("Welsh", &[OBSERVER]),
    ("Wilkes", &[]),
];
pub const FARTHEST: &str = "Welsh";

/// How variants are started.
pub struct Starter {
    /// The provider they ask.
    pub places: SocketAddr,
    /// On the first core only.
    pub pin: bool,
    /// Holds the folders of all that is started.
    pub folder: TempDir,
}

/// One or more servers of one config.
pub struct Started {
    /// Names and processes, `NAME` first.
    pub servers: Vec<(String, Process)>,
    config: PathBuf,
    folder: TempDir,
}

impl Starter {
    /// With a provider that takes so long; whatever is started is ended with this program.
    ///
    /// # Errors
    /// The system refuses a port, a folder, or to tell of signals.
    pub fn new(places_delay: Duration, pin: bool) -> Result<Starter, String> {
        let places = stand_in::start(places_delay).map_err(|why| format!("the places stand-in: {why}"))?;
        let folder = tempfile::tempdir().map_err(|why| format!("a folder for the servers: {why}"))?;
        leftovers::watch(folder.path().to_owned()).map_err(|why| format!("signals: {why}"))?;
        Ok(Starter { places, pin, folder })
    }

    /// One server, with these neighbours, of which the first is the observer. It serves HTTP where that is loaded.
    ///
    /// # Errors
    /// It does not start; with what it said.
    pub fn one(&self, variant: &Variant, neighbours: &[SocketAddr], door: Door) -> io::Result<Started> {
        let listen = free_address()?;
        let named: Vec<_> =
            neighbours.iter().enumerate().map(|(index, address)| (neighbour_name(index), address)).collect();
        let names: Vec<_> = named.iter().map(|(name, _)| name).collect();
        let mut tables = format!("[servers.{NAME}]\nlisten = \"{listen}\"\nneighbours = {names:?}\n");
        if door == Door::Http {
            tables += "http.listen = \"127.0.0.1:0\"\n";
        }
        for (name, address) in named {
            tables += &format!("[servers.{name}]\nlisten = \"{address}\"\n");
        }
        let mut started = self.prepare(variant, &tables)?;
        self.add(&mut started, variant, NAME, listen)?;
        Ok(started)
    }

    /// The whole herd, `observer` behind the farthest.
    ///
    /// # Errors
    /// One of them does not start; with what it said.
    pub fn five(&self, variant: &Variant, observer: SocketAddr) -> io::Result<Started> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let graph = GRAPH.map(|(name, neighbours)| (name.to_owned(), owned(neighbours)));
        self.graph(variant, &graph, observer)
    }

    /// So many servers in a ring with chords, each with four neighbours, and `observer` behind one that is far from the
    /// first.
    ///
    /// # Errors
    /// One of them does not start; with what it said.
    pub fn ring(&self, variant: &Variant, count: usize, observer: SocketAddr) -> io::Result<Started> {
        self.graph(variant, &ring(count), observer)
    }

    /// Servers and the neighbours that each of them names, of whom one is `observer`.
    fn graph(
        &self,
        variant: &Variant,
        graph: &[(String, Vec<String>)],
        observer: SocketAddr,
    ) -> io::Result<Started> {
        // All ports at once, so that none is given out twice.
        let held: Vec<_> = graph.iter().map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).collect();
        let mut listens = Vec::new();
        for listener in held {
            listens.push(listener?.local_addr()?);
        }
        let mut tables = format!("[servers.{OBSERVER}]\nlisten = \"{observer}\"\n");
        for ((name, neighbours), listen) in graph.iter().zip(&listens) {
            tables += &format!("[servers.{name}]\nlisten = \"{listen}\"\nneighbours = {neighbours:?}\n");
        }
        let mut started = self.prepare(variant, &tables)?;
        for ((name, _), listen) in graph.iter().zip(listens) {
            self.add(&mut started, variant, name, listen)?;
        }
        Ok(started)
    }

    fn prepare(&self, variant: &Variant, tables: &str) -> io::Result<Started> {
        let folder = tempfile::tempdir_in(self.folder.path())?;
        let config = folder.path().join("herd.conf");
        let (places, settings) = (self.places, &variant.settings);
        let head = format!(
            "log_dir = \"log\"\n{settings}[places]\nprovider = \"google-legacy\"\nurl = \"http://{places}/json\"\n"
        );
        fs::write(&config, head + tables)?;
        Ok(Started { servers: Vec::new(), config, folder })
    }

    /// Starts the server of this name, for the first time or again.
    ///
    /// # Errors
    /// It does not start; with what it said.
    pub fn add(
        &self,
        started: &mut Started,
        variant: &Variant,
        name: &str,
        listen: SocketAddr,
    ) -> io::Result<()> {
        let ready = match variant.speaks {
            Speaks::Redis | Speaks::Publish => Ready::Takes(listen),
            Speaks::Http | Speaks::Near | Speaks::Watch => Ready::ServesHttp,
            Speaks::Lines | Speaks::LinesAndHttp | Speaks::Echo => Ready::Listens,
            Speaks::Own => {
                let is_told_where = variant.is_told("{port}") || variant.is_told("{config}");
                Ready::Anyhow(is_told_where.then_some(listen))
            }
        };
        let mut command = variant.command(name, listen.port(), &started.config, self.places);
        if self.pin {
            command = pinned(&command);
        }
        started.servers.push((name.to_owned(), Process::start(&mut command, started.folder.path(), ready)?));
        Ok(())
    }
}

impl Started {
    /// The server that is loaded.
    pub fn first(&self) -> &Process {
        &self.servers[0].1
    }

    /// What all servers have used together.
    pub fn usage(&self) -> Usage {
        let mut total = Usage::default();
        for usage in self.servers.iter().map(|(_, process)| process.usage()) {
            total.cpu += usage.cpu;
            total.resident_bytes += usage.resident_bytes;
            total.switches += usage.switches;
            total.threads += usage.threads;
        }
        total
    }

    /// Kills the server of this name, and says where it listened.
    pub fn kill(&mut self, name: &str) -> Option<SocketAddr> {
        let index = self.servers.iter().position(|(known, _)| known == name)?;
        let (_, process) = self.servers.remove(index);
        let address = process.address;
        process.kill();
        Some(address)
    }
}

/// How long a herd may take to be linked, and to agree.
pub const AGREE_MAX: Duration = Duration::from_secs(20);

/// The name of a neighbour that this program is.
pub fn neighbour_name(index: usize) -> String {
    if index == 0 { OBSERVER.into() } else { format!("Other{index}") }
}

/// A ring of so many servers; the first is `NAME`. Each is linked with the next, and with one that is about the root of
/// their number away.
fn ring(count: usize) -> Vec<(String, Vec<String>)> {
    let name = |index: usize| match index % count {
        0 => NAME.to_owned(),
        index => format!("S{index}"),
    };
    let chord = (count.isqrt()).max(2);
    let neighbours = |index: usize| {
        let mut names = vec![name(index + 1), name(index + chord)];
        if index == count / 2 {
            names.push(OBSERVER.into());
        }
        names
    };
    (0..count).map(|index| (name(index), neighbours(index))).collect()
}

/// A port that was free a moment ago: not every server can choose its own and say which. It is none of those that the
/// system gives to connections (from 32,768 on, unless somebody has changed that), of which a client may take one before
/// the server does.
fn free_address() -> io::Result<SocketAddr> {
    let below = std::iter::repeat_with(|| fastrand::u16(10_000..32_768)).take(1_000);
    let mut free = below.filter_map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok());
    free.next().map_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)), Ok)?.local_addr()
}

/// The same command on the first core only.
fn pinned(command: &Command) -> Command {
    let mut pinned = Command::new("taskset");
    pinned.args(["-c", "0"]).arg(command.get_program()).args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        pinned.current_dir(folder);
    }
    command.get_envs().for_each(|(key, value)| {
        if let Some(value) = value {
            pinned.env(key, value);
        }
    });
    pinned
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_a_ring_each_server_has_four_neighbours_and_one_has_the_observer() {
        for count in [5, 10, 20, 50] {
            let graph = ring(count);
            assert_eq!((graph.len(), graph[0].0.as_str()), (count, NAME));
            for (name, named) in &graph {
                let naming = graph.iter().filter(|(_, others)| others.contains(name)).count();
                let named = named.iter().filter(|other| *other != OBSERVER && *other != name).count();
                assert_eq!((named, naming), (2, 2), "{name} of {count}");
            }
            let observed = graph.iter().filter(|(_, named)| named.iter().any(|name| name == OBSERVER));
            assert_eq!(observed.count(), 1);
        }
    }
}
