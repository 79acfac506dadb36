//! herd.conf, valid in every part, or an error with its file, line and remedy.
//!
//! Lives here: the file as bytes (`source`), as TOML (`raw`, `parse`, `hints`), and as a valid `Config` (`validate`
//! and its parts).
//! Called by: `run`, which loads it at the start and at a reload; every other part gets values of it.
//! May touch: herd.conf and no other file. It resolves no name, and opens neither keys, places nor journals.

mod backbone;
mod change;
mod facts;
mod graph;
mod hints;
mod http;
mod map;
mod parse;
mod paths;
mod raw;
mod secrets;
mod servers;
mod settings;
mod source;
mod validate;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use log::LevelFilter;
use xxhash_rust::xxh3::xxh3_64;

pub use backbone::{Backbone, EngineUrl};
pub use change::Change;
pub use http::Http;
pub use map::Tiles;
pub use settings::duration_s;

use crate::limits::{LogBounds, SyncMode, Timing};
use crate::net::HostPort;
use crate::places;
pub use secrets::SecretFile;

/// Where herd.conf is looked for when none is named.
pub const DEFAULT_PATHS: [&str; 2] = ["herd.conf", "/etc/herd/herd.conf"];

/// A whole herd.
#[derive(Clone, Debug)]
pub struct Config {
    /// The file it came from.
    pub path: PathBuf,
    /// What was in it, as it may be a pipe, which is read once.
    pub text: Arc<str>,
    /// In the order of the file.
    pub servers: Vec<Server>,
    pub settings: Settings,
    pub places: places::Settings,
    /// None when servers hear of each other by their neighbours alone.
    pub backbone: Option<Backbone>,
    /// The line that names the provider of places, from 1. None when no line does.
    pub places_line: Option<usize>,
    /// What the servers share that have none of their own.
    secret_file: Option<SecretFile>,
    /// Where journals are, a folder a server. None when there are no journals.
    pub data_dir: Option<PathBuf>,
    pub log_dir: PathBuf,
    pub log_level: LevelFilter,
    pub log_bounds: LogBounds,
}

/// One server's table.
#[derive(Clone, Debug)]
pub struct Server {
    pub name: String,
    /// What it binds.
    pub listen: HostPort,
    /// What its neighbours dial: `listen` unless `address` says otherwise.
    pub address: HostPort,
    /// Another implementation: it knows only AT lines, one a connection.
    pub plain: bool,
    /// A plain one gets the whole store whenever it is back, not only what came since the start.
    pub refill: bool,
    /// What it alone shares with its neighbours.
    secret_file: Option<SecretFile>,
    /// What it and one of its neighbours alone share, whichever of the two names it.
    secret_files: Vec<(usize, SecretFile)>,
    /// Its door for HTTP, if it has one.
    pub http: Option<Http>,
    /// What its map page draws clients on, beside what every page has.
    pub tiles: Option<Tiles>,
    /// It reads and writes the engine of `Config::backbone`.
    pub has_backbone: bool,
    /// Indices into `Config::servers`, ascending; mutual.
    pub neighbours: Vec<usize>,
}

/// The limits and modes of a server, valid and with their defaults filled in.
#[derive(Clone, Debug)]
pub struct Settings {
    pub workers: usize,
    /// None for as many as there are cores.
    pub workers_said: Option<usize>,
    pub max_connections: usize,
    /// None for a share of those that may be.
    pub max_per_address: Option<usize>,
    /// usize::MAX for none.
    pub max_clients: usize,
    /// Bytes, without the newline.
    pub max_line: usize,
    /// None when silence closes no connection.
    pub idle_timeout: Option<Duration>,
    pub write_timeout: Duration,
    /// Bytes.
    pub max_unsent: usize,
    /// Bytes of all connections.
    pub max_unsent_total: usize,
    pub stop_timeout: Duration,
    pub max_ahead_ns: u64,
    /// `max_ahead` is set: reports that are further ahead are refused.
    pub refuses_ahead: bool,
    pub sync: SyncMode,
    /// Since its last report, by the origin's clock.
    pub forget_after_s: Option<u64>,
    /// How long it is remembered that a client was to be forgotten.
    pub forgotten_for_s: u64,
    /// There is an index of where clients are.
    pub is_indexed: bool,
    /// Close after the first reply, as the original servers did.
    pub one_shot: bool,
    pub timing: Timing,
}

/// Why a herd.conf cannot be used: `herd.conf:12: why`.
#[derive(Debug)]
pub struct ConfigError {
    path: PathBuf,
    /// From 1. None when the whole file is meant.
    line: Option<usize>,
    why: String,
}

impl Config {
    /// Reads and validates a file.
    ///
    /// # Errors
    /// The file cannot be read or is not valid; the message says where and what to do.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::of_bytes(path, text_of(path)?)
    }

    /// The same file as it is now; what it said before, where it was a pipe, which is read once.
    ///
    /// # Errors
    /// The same.
    pub fn again(&self) -> Result<Config, ConfigError> {
        if source::is_open_file(&self.path) { Ok(self.clone()) } else { Config::load(&self.path) }
    }

    /// The text of that file as it is now, which may not be valid; or what it said before, where it was a pipe.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn text_again(&self) -> Result<Vec<u8>, ConfigError> {
        if source::is_open_file(&self.path) { Ok(self.text.as_bytes().to_vec()) } else { text_of(&self.path) }
    }

    /// The same for what somebody else has read from that path.
    ///
    /// # Errors
    /// It is not valid.
    pub fn of_bytes(path: &Path, text: Vec<u8>) -> Result<Config, ConfigError> {
        let text = String::from_utf8(text).map_err(|why| {
            let valid = why.utf8_error().valid_up_to();
            let line = 1 + why.as_bytes()[..valid].iter().filter(|&&b| b == b'\n').count();
            ConfigError {
                path: path.to_owned(),
                line: Some(line),
                why: "not UTF-8; save the file in that encoding".into(),
            }
        })?;
        Config::parse(path, &text)
    }

    /// Validates the text of a file; `path` stands in the errors, and relative paths in the text
    /// begin at its folder, or at the working one where `path` is only a way to an open file.
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let raw = parse::parse(text).map_err(|problem| problem.in_file(path, text))?;
        validate::validate(path, raw, text).map_err(|problem| problem.in_file(path, text))
    }

    /// An error of whoever opens what herd.conf names: it tells the line that names it. None when there is no one line.
    pub fn error(&self, line: Option<usize>, why: impl Into<String>) -> ConfigError {
        ConfigError { path: self.path.clone(), line, why: why.into() }
    }

    /// A number that is the same for all herd.confs that say the same of the herd: its servers with
    /// their addresses and neighbours, when clients are forgotten, and which times are believed.
    pub fn digest(&self) -> u64 {
        let mut tables: Vec<_> = self
            .servers
            .iter()
            .map(|server| {
                let mut neighbours: Vec<_> =
                    server.neighbours.iter().map(|&other| self.servers[other].name.as_str()).collect();
                neighbours.sort_unstable();
                let (name, address, neighbours) = (&server.name, &server.address, neighbours.join(","));
                format!("{name} {address} {} {neighbours}", server.plain)
            })
            .collect();
        tables.sort_unstable();
        tables.push(format!("{:?} {}", self.settings.forget_after_s, self.settings.max_ahead_ns));
        xxh3_64(tables.join("\n").as_bytes())
    }

    /// The index of a server.
    pub fn find(&self, name: &str) -> Option<usize> {
        self.servers.iter().position(|server| server.name == name)
    }

    /// The names there are, for an error: `Goloman, Hands, Holiday`.
    pub fn names(&self) -> String {
        join(self.servers.iter().map(|server| server.name.as_str()))
    }

    /// The names of a server's neighbours.
    pub fn neighbour_names(&self, server: &Server) -> String {
        join(server.neighbours.iter().map(|&index| self.servers[index].name.as_str()))
    }

    /// Each tile server that is named.
    fn tile_servers(&self) -> Vec<&Tiles> {
        let mut all: Vec<&Tiles> = Vec::new();
        for tiles in self.servers.iter().filter_map(|server| server.tiles.as_ref()) {
            if !all.iter().any(|known| known.url == tiles.url) {
                all.push(tiles);
            }
        }
        all
    }

    /// The names of servers that reach each other by neighbours and theirs, or by the engine: one part, if the herd is
    /// connected.
    pub fn parts(&self) -> Vec<Vec<&str>> {
        let parts = graph::parts(&self.servers).into_iter();
        parts.map(|part| part.into_iter().map(|index| self.servers[index].name.as_str()).collect()).collect()
    }

    /// A server's own folder for its journal.
    pub fn data_path(&self, server: &Server) -> Option<PathBuf> {
        self.data_dir.as_ref().map(|folder| folder.join(&server.name))
    }

    /// A server's own log file.
    pub fn log_path(&self, server: &Server) -> PathBuf {
        self.log_dir.join(format!("{}.log", server.name))
    }
}

fn join<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// The herd as `--check` prints it: who listens where and who talks with whom.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listens: Vec<_> = self.servers.iter().map(|server| server.listen.to_string()).collect();
        let name_width = self.servers.iter().map(|server| server.name.len()).max().unwrap_or(0).max(6);
        let listen_width = listens.iter().map(String::len).max().unwrap_or(0).max(10);
        let urls: Vec<_> = self
            .servers
            .iter()
            .map(|server| server.http.as_ref().map_or("-".to_owned(), Http::url))
            .collect();
        // Only where there is any.
        let url_width = urls.iter().map(String::len).max().filter(|&width| width > 1).unwrap_or(0);
        let url = |url: &str| if url_width == 0 { String::new() } else { format!("{url:url_width$}  ") };
        let head = url("HTTP at");
        writeln!(f, "{:name_width$}  {:listen_width$}  {head}talks with", "server", "listens on")?;
        for ((server, listen), own) in self.servers.iter().zip(&listens).zip(&urls) {
            let own = url(own);
            let make = if server.plain { " (plain)" } else { "" };
            let neighbours = self.neighbour_names(server);
            let neighbours = if neighbours.is_empty() { "nobody" } else { &neighbours };
            writeln!(f, "{:name_width$}  {listen:listen_width$}  {own}{neighbours}{make}", server.name)?;
        }
        for Tiles { origin, attribution, url } in self.tile_servers() {
            let has_it = |server: &&Server| server.tiles.as_ref().is_some_and(|tiles| tiles.url == *url);
            let with: Vec<_> =
                self.servers.iter().filter(has_it).map(|server| server.name.as_str()).collect();
            let is_all = with.len() == self.servers.len();
            let whose = if is_all { String::new() } else { format!(" of {}", with.join(", ")) };
            writeln!(f, "map{whose}: tiles of {origin}, {attribution}")?;
        }
        if let Some(backbone) = &self.backbone {
            let with = self.servers.iter().filter(|server| server.has_backbone);
            let with = join(with.map(|server| server.name.as_str()));
            let is_all = self.servers.iter().all(|server| server.has_backbone || server.plain);
            let whose = match &with[..] {
                "" => " of nobody".to_owned(),
                _ if is_all => String::new(),
                some => format!(" of {some}"),
            };
            writeln!(f, "backbone{whose}: {backbone}")?;
        }
        Ok(())
    }
}

fn text_of(path: &Path) -> Result<Vec<u8>, ConfigError> {
    source::read(path).map_err(|why| {
        let why = format!("cannot read it: {why}; --config PATH names another file");
        ConfigError { path: path.to_owned(), line: None, why }
    })
}

impl ConfigError {
    /// None of the default files exists.
    pub fn nowhere() -> ConfigError {
        let [here, etc] = DEFAULT_PATHS;
        let why = format!("no such file, nor {etc}; name one with --config PATH");
        ConfigError { path: here.into(), line: None, why }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.why),
            None => write!(f, "{}: {}", self.path.display(), self.why),
        }
    }
}

impl std::error::Error for ConfigError {}
