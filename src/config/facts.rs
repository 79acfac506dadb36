//! What a herd.conf says, fact by fact, as it counts: defaults are filled in, and what can be written in several ways is
//! one. `change` compares two such lists, and the number that tells one herd.conf from another is made of them, so that
//! both find the same things new. The patterns here name all fields there are.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use xxhash_rust::xxh3::xxh3_64;

use super::{Backbone, Config, Http, SecretFile, Server, Settings, Tiles};
use crate::limits::{SyncMode, Timing};
use crate::places::{self, Provider};

/// One thing that a herd.conf says.
pub struct Fact {
    /// As herd.conf has it: `places.queue`.
    pub key: String,
    /// The same in two herd.confs that say the same.
    pub value: String,
    /// For a person, as herd.conf would have it.
    pub words: String,
    /// Whether a server that serves can take it up, if that goes for what was there before, too.
    pub is_live: bool,
}

/// The facts of one list, as they are gathered.
#[derive(Default)]
pub struct Facts(Vec<Fact>);

const NONE: &str = "none";

impl Facts {
    fn live(&mut self, key: &str, value: impl ToString) {
        self.add(key, value.to_string(), None, true);
    }

    fn restart(&mut self, key: &str, value: impl ToString) {
        self.add(key, value.to_string(), None, false);
    }

    fn add(&mut self, key: &str, value: String, words: Option<String>, is_live: bool) {
        let words = words.unwrap_or_else(|| value.clone());
        self.0.push(Fact { key: key.to_owned(), value, words, is_live });
    }

    /// A text that may have any character.
    fn text(&mut self, key: &str, text: Option<&str>) {
        self.live(key, text.map_or(NONE.into(), quoted));
    }

    /// The keys above all tables, and those of `[places]`, `[backbone]` and `[timing]`.
    fn of_all(&mut self, config: &Config) {
        let Config {
            path: _,
            text: _,
            // A list for each.
            servers: _,
            settings,
            places,
            places_line: _,
            backbone,
            // What a server makes of it is in its own list.
            secret_file: _,
            data_dir,
            log_dir,
            log_level,
            log_bounds,
        } = config;
        self.restart("data_dir", data_dir.as_deref().map_or(NONE.into(), path));
        self.restart("log_dir", path(log_dir));
        self.live("log_level", log_level.as_str().to_lowercase());
        self.restart("log_max_bytes", log_bounds.bytes_max.unwrap_or(0));
        self.restart("log_keep", log_bounds.keep);
        self.settings(settings);
        self.places(places);
        match backbone {
            None => self.restart(BACKBONE_URLS, NONE),
            Some(backbone) => self.backbone(backbone),
        }
    }

    fn settings(&mut self, settings: &Settings) {
        let Settings {
            workers: _,
            workers_said,
            max_connections,
            max_per_address,
            max_clients,
            max_line,
            idle_timeout,
            write_timeout,
            max_unsent,
            max_unsent_total,
            stop_timeout,
            max_ahead_ns,
            refuses_ahead,
            sync,
            forget_after_s,
            forgotten_for_s,
            is_indexed,
            one_shot,
            timing,
        } = settings;
        // How many cores there are differs from machine to machine.
        self.restart("workers", or(*workers_said, "one a core"));
        self.live("max_connections", max_connections);
        self.live("max_per_address", or(*max_per_address, "a quarter of max_connections"));
        self.live("max_clients", if *max_clients == usize::MAX { 0 } else { *max_clients });
        self.live("max_line", max_line);
        self.live("idle_timeout_s", idle_timeout.unwrap_or_default().as_secs());
        self.live("write_timeout_s", write_timeout.as_secs());
        self.live("max_unsent", max_unsent);
        self.live("max_unsent_total", max_unsent_total);
        self.live("stop_timeout_s", stop_timeout.as_secs());
        // Set or not, it tells what is ahead; set, such a report is refused, too.
        self.live("max_ahead", if *refuses_ahead { in_ns(*max_ahead_ns) } else { NONE.into() });
        // What is promised before it is on the disk is learned another way.
        match sync {
            SyncMode::Always => self.restart("sync", "always"),
            SyncMode::Second => self.live("sync", "second"),
            SyncMode::Never => self.live("sync", "never"),
        }
        self.live("forget_after", forget_after_s.map_or(NONE.into(), duration));
        self.live("forgotten_for", duration(*forgotten_for_s));
        self.restart("index", is_indexed);
        self.live("connections", if *one_shot { "one-shot" } else { "persistent" });
        self.timing(timing);
    }

    fn timing(&mut self, timing: &Timing) {
        let Timing {
            greeting,
            heartbeat,
            compare,
            compare_busy,
            digest_wait,
            differ,
            compact_rest,
            silent,
            settle,
        } = timing;
        for (key, time) in [
            ("greeting_ms", greeting),
            ("heartbeat_ms", heartbeat),
            ("compare_ms", compare),
            ("compare_busy_ms", compare_busy),
            ("digest_wait_ms", digest_wait),
            ("differ_ms", differ),
            ("compact_rest_ms", compact_rest),
            ("silent_ms", silent),
            ("settle_ms", settle),
        ] {
            self.restart(&format!("timing.{key}"), time.as_millis());
        }
    }

    fn places(&mut self, places: &places::Settings) {
        let places::Settings {
            provider,
            url,
            key_file,
            field_mask,
            paths,
            also_gazetteer,
            language,
            // It follows data_dir.
            cache: _,
            is_cache_kept: _,
            connect_timeout,
            total_timeout,
            threads,
            queue,
            daily_budget,
        } = places;
        self.live("places.provider", provider_word(*provider));
        // It may have a key in it.
        let words = url.as_ref().map(|_| "a URL".to_owned());
        self.add("places.url", url.as_deref().map_or(NONE.into(), quoted), words, true);
        self.live("places.key_file", key_file.as_deref().map_or(NONE.into(), path));
        self.text("places.field_mask", field_mask.as_deref());
        self.live(
            "places.path",
            match &paths[..] {
                [] => NONE.into(),
                [one] => path(one),
                several => list(several.iter().map(|file| path(file))),
            },
        );
        self.live("places.also_gazetteer", also_gazetteer);
        self.text("places.language", language.as_deref());
        self.live("places.connect_timeout_s", connect_timeout.as_secs());
        self.live("places.total_timeout_s", total_timeout.as_secs());
        self.live("places.threads", or(*threads, "as suits the provider"));
        self.live("places.queue", queue);
        self.live("places.daily_budget", or(*daily_budget, NONE));
    }

    fn backbone(&mut self, backbone: &Backbone) {
        let Backbone { urls, herd, parts, linger, retain, timeout, user, password_file } = backbone;
        self.restart(BACKBONE_URLS, list(urls.iter().map(ToString::to_string)));
        self.restart("backbone.herd", quoted(herd));
        self.restart("backbone.parts", parts);
        self.restart("backbone.linger", in_ms(*linger));
        self.restart("backbone.retain", in_ms(*retain));
        self.restart("backbone.timeout_s", timeout.as_secs());
        self.restart("backbone.user", user.as_deref().map_or(NONE.into(), quoted));
        let file = password_file.as_ref().map(|file| path(&file.path));
        self.restart("backbone.password_file", file.unwrap_or_else(|| NONE.into()));
    }

    /// A server's own table, with what it has of the tables of all servers.
    fn of_server(&mut self, config: &Config, index: usize) {
        let server = &config.servers[index];
        let Server {
            name: _,
            listen,
            address,
            plain,
            refill,
            // As they come to be used, below.
            secret_file: _,
            secret_files: _,
            http,
            tiles,
            has_backbone,
            // By name, where lists of them are compared.
            neighbours,
        } = server;
        self.restart("listen", listen);
        self.live("address", address);
        self.restart("plain", plain);
        // Of a server of this make it says nothing.
        self.restart("refill", *plain && *refill);
        let own = config.own_secret(server).map(|file| &file.path);
        self.live("secret_file", own.map_or(NONE.into(), |file| path(file)));
        for &other in neighbours {
            let shared = config.shared_secret(index, other).map(|file| &file.path);
            let as_usual = if config.servers[other].plain || *plain { None } else { own };
            let words = match shared {
                _ if shared == as_usual => "secret_file".to_owned(),
                Some(file) => path(file),
                None => NONE.into(),
            };
            self.live(&format!("secret_files.{}", config.servers[other].name), words);
        }
        match tiles {
            None => {
                self.live("map.tiles", NONE);
                self.live("map.attribution", NONE);
            }
            Some(Tiles { url, origin, attribution }) => {
                // There may be a key in what is behind it.
                self.add("map.tiles", quoted(url), Some(format!("tiles of {origin}")), true);
                self.text("map.attribution", Some(attribution));
            }
        }
        // Where there is no engine it says nothing.
        if config.backbone.is_some() {
            self.restart("backbone", has_backbone);
        }
        match http {
            None => self.restart(HTTP_LISTEN, NONE),
            Some(http) => self.http(http),
        }
    }

    fn http(&mut self, http: &Http) {
        let Http { listen, tls, tokens_file, names, allow_origins, max_ahead_ns, ready_after } = http;
        self.restart(HTTP_LISTEN, listen);
        match tls {
            // A door without TLS does not become one with it.
            None => self.restart("http.tls_cert", NONE),
            Some((SecretFile { path: cert, .. }, SecretFile { path: key, .. })) => {
                self.live("http.tls_cert", path(cert));
                self.live("http.tls_key", path(key));
            }
        }
        self.live("http.tokens_file", tokens_file.as_ref().map_or(NONE.into(), |file| path(&file.path)));
        self.live("http.names", list(names.iter().cloned()));
        self.live("http.allow_origins", list(allow_origins.iter().cloned()));
        self.live("http.max_ahead", in_ns(*max_ahead_ns));
        self.live("http.ready_after", duration(ready_after.as_secs()));
    }
}

/// Without a door for HTTP there is nothing else to say of it.
pub const HTTP_LISTEN: &str = "http.listen";

/// And nothing else of a backbone without an engine.
const BACKBONE_URLS: &str = "backbone.urls";

impl Config {
    /// What it says of all servers alike.
    pub fn facts(&self) -> Vec<Fact> {
        let mut facts = Facts::default();
        facts.of_all(self);
        facts.0
    }

    /// What it says of one.
    pub fn facts_of(&self, index: usize) -> Vec<Fact> {
        let mut facts = Facts::default();
        facts.of_server(self, index);
        facts.0
    }

    /// The same with its paths as they stand in the text: where herd.conf lies differs from machine to machine.
    pub fn as_written(&self) -> Config {
        // It was valid when it was read, wherever it lay.
        Config::parse(Path::new("herd.conf"), &self.text).unwrap_or_else(|_| self.clone())
    }

    /// A number that is the same for two herd.confs between which no server would find anything new, on whichever
    /// machine, and another for others. What is in files that are named does not count.
    pub fn fingerprint(&self) -> u64 {
        let config = self.as_written();
        let mut said = String::new();
        let mut say = |facts: Vec<Fact>| {
            // Versions that know of no backbone have the same number for a herd without one.
            let is_silent = |fact: &Fact| fact.key == BACKBONE_URLS && fact.value == NONE;
            for Fact { key, value, .. } in facts.into_iter().filter(|fact| !is_silent(fact)) {
                // With its length, as there may be anything in it.
                let _ = writeln!(said, "{key} {} {value}", value.len());
            }
        };
        say(config.facts());
        let mut servers: Vec<_> = (0..config.servers.len()).collect();
        servers.sort_unstable_by_key(|&index| &config.servers[index].name);
        for index in servers {
            let (name, neighbours) = (config.servers[index].name.clone(), sorted_neighbours(&config, index));
            let mut facts = Facts::default();
            facts.live("server", name);
            facts.live("neighbours", neighbours.join(","));
            say(facts.0);
            let mut own = config.facts_of(index);
            own.sort_by(|a, b| a.key.cmp(&b.key));
            say(own);
        }
        xxh3_64(said.as_bytes())
    }
}

/// The names of the neighbours of a server, in an order that is not that of the file.
pub fn sorted_neighbours(config: &Config, index: usize) -> Vec<&str> {
    let all = config.servers[index].neighbours.iter();
    let mut names: Vec<_> = all.map(|&other| config.servers[other].name.as_str()).collect();
    names.sort_unstable();
    names
}

fn provider_word(provider: Provider) -> &'static str {
    match provider {
        Provider::Gazetteer => "gazetteer",
        Provider::Google => "google",
        Provider::GoogleLegacy => "google-legacy",
        Provider::Overpass => "overpass",
        Provider::File => "file",
    }
}

fn or<T: ToString>(value: Option<T>, none: &str) -> String {
    value.map_or_else(|| none.to_owned(), |value| value.to_string())
}

/// `./a//b` and `a/b` are one.
fn path(path: &Path) -> String {
    let parts = path.components().filter(|part| *part != std::path::Component::CurDir);
    let path: PathBuf = parts.collect();
    if path.as_os_str().is_empty() { ".".into() } else { path.display().to_string() }
}

/// As herd.conf has it.
fn quoted(text: &str) -> String {
    // What JSON makes of a text is TOML, too.
    serde_json::Value::from(text).to_string()
}

fn list(texts: impl Iterator<Item = String>) -> String {
    format!("[{}]", texts.map(|text| quoted(&text)).collect::<Vec<_>>().join(", "))
}

/// As `[backbone]` has it, where a time may have a part of a second.
fn in_ms(time: Duration) -> String {
    let is_whole = time.subsec_nanos() == 0 && !time.is_zero();
    if is_whole { duration(time.as_secs()) } else { format!("{}ms", time.as_millis()) }
}

fn in_ns(ns: u64) -> String {
    duration(Duration::from_nanos(ns).as_secs())
}

/// As herd.conf has it.
fn duration(seconds: u64) -> String {
    let units = [(86_400, "d"), (3_600, "h"), (60, "m")];
    let unit = units.into_iter().find(|(unit_s, _)| seconds > 0 && seconds.is_multiple_of(*unit_s));
    unit.map_or_else(|| format!("{seconds}s"), |(unit_s, unit)| format!("{}{unit}", seconds / unit_s))
}
