//! The servers there are to compare, how each is started, and what is missing where one cannot be.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::course::Manners;
use crate::start::NAME;
use crate::workload::{Door, Of, Workload};

/// A way to serve herd's protocol, or a server to compare with that does not.
#[derive(Clone, Debug)]
pub struct Variant {
    pub name: String,
    pub speaks: Speaks,
    /// How it speaks lines; of a server of anyone's own that is found out.
    pub manners: Manners,
    pub keeps: Keeps,
    /// Lines at the top of its herd.conf.
    pub settings: String,
    /// Program and arguments, in which `{name}`, `{port}`, `{config}` and `{places}` are filled in.
    command: Vec<String>,
    needs: Vec<Need>,
}

/// What an answer to a report promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keeps {
    /// That it survives a kill -9, and all but the last second a power cut: a journal has it, which is synced once a
    /// second. A log has every line in and out, where the server has one.
    Kept,
    /// That it is in memory.
    Nothing,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// Lines, as the original herd.
    Lines,
    /// Lines, at the least as the course asks: a server of anyone's own, which may say that it listens or not.
    Own,
    /// Lines, and reports by HTTP where herd.conf has `http.listen`.
    LinesAndHttp,
    /// Reports by HTTP alone.
    Http,
    /// Reports by HTTP, and the nearest clients: measured where these are asked for.
    Near,
    /// Reports by HTTP, and a stream of what happens: measured where that is watched.
    Watch,
    /// It passes on what is posted to whoever subscribes, on `{port}`; it does not say when it listens.
    Publish,
    /// The same line to everything.
    Echo,
    /// RESP, on `{port}`; it does not say when it listens.
    Redis,
}

/// What must be there, and the one line that brings it.
#[derive(Clone, Debug)]
struct Need {
    /// Succeeds when it is there.
    test: Vec<String>,
    install: &'static str,
}

/// Where the comparison and what it builds are.
#[derive(Clone, Debug)]
pub struct Places {
    /// The folder of the comparison's Cargo.toml.
    pub bench: PathBuf,
    /// The folder of the built variants: `release` or `debug`.
    pub built: PathBuf,
    /// herd itself.
    pub herd: PathBuf,
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn variant(name: &str, program: &Path, arguments: &str) -> Variant {
    let mut command = vec![program.display().to_string()];
    command.extend(words(arguments));
    Variant {
        name: name.into(),
        speaks: Speaks::Lines,
        manners: Manners::of_herd(NAME),
        keeps: Keeps::Nothing,
        settings: String::new(),
        command,
        needs: Vec::new(),
    }
}

/// nginx's module, where Debian has it.
const NCHAN: &str = "/usr/lib/nginx/modules/ngx_nchan_module.so";

/// Every variant, herd first.
pub fn all(places: &Places) -> Vec<Variant> {
    let built = |bin: &str| places.built.join(bin);
    let inside = |path: &str| places.bench.join("variants").join(path).display().to_string();
    let python = inside("asyncio/.venv/bin/python");
    let asyncio = |name: &str, script: &str, flag: &str| Variant {
        needs: vec![need(&[&python, "-c", "import aiohttp, uvloop"], "bench/setup python")],
        ..variant(
            name,
            Path::new(&python),
            &format!("{} {flag} {{name}} {{config}}", inside(&format!("asyncio/{script}"))),
        )
    };
    let node = |name: &str, script: &str| Variant {
        needs: vec![
            need(&["node", "--version"], "apt-get install nodejs npm"),
            need(&["test", "-d", &inside("node/node_modules")], "bench/setup node"),
        ],
        ..variant(
            name,
            Path::new("node"),
            &format!("{} {{name}} {{config}}", inside(&format!("node/{script}"))),
        )
    };
    let kept = |variant: Variant| Variant { keeps: Keeps::Kept, ..variant };
    let http = |rival: Variant| Variant { speaks: Speaks::Http, ..rival };
    let herd = |name: &str, settings: &str, keeps| Variant {
        settings: settings.to_owned(),
        keeps,
        speaks: Speaks::LinesAndHttp,
        ..variant(name, &places.herd, "{name} --config {config}")
    };
    let watch = |name: &str, arguments: &str| Variant {
        speaks: Speaks::Watch,
        ..variant(name, &built("axum"), arguments)
    };
    let nchan = Variant {
        speaks: Speaks::Publish,
        needs: vec![need(&["test", "-e", NCHAN], "apt-get install nginx-light libnginx-mod-nchan")],
        ..variant("nchan", Path::new("sh"), &format!("{} {{port}} {NCHAN}", inside("nchan/start")))
    };
    let redis = |name: &str, appends: &str| Variant {
        speaks: Speaks::Redis,
        needs: vec![need(&["redis-server", "--version"], "apt-get install redis-server")],
        ..variant(
            name,
            Path::new("redis-server"),
            &format!("--port {{port}} --bind 127.0.0.1 --maxclients 30000 {appends}"),
        )
    };
    vec![
        herd("herd", "", Keeps::Kept),
        kept(variant("tokio-kept", &built("tokio-kept"), "{name} {config}")),
        kept(variant("tokio-kept-group", &built("tokio-kept"), "--group {name} {config}")),
        kept(asyncio("asyncio-kept", "server.py", "--kept")),
        kept(redis("redis-kept", "--appendonly yes --appendfsync everysec")),
        herd("herd-bare", "data_dir = \"\"\nlog_level = \"warn\"\n", Keeps::Nothing),
        herd("herd-quiet", "log_level = \"warn\"\n", Keeps::Kept),
        herd("herd-memory", "data_dir = \"\"\n", Keeps::Nothing),
        variant("tokio", &built("tokio"), "{name} {config}"),
        variant("tokio-1", &built("tokio"), "--current-thread {name} {config}"),
        variant("tokio-batched", &built("tokio-batched"), "{name} {config}"),
        variant("pool", &built("pool"), "{name} {config}"),
        variant("threads", &built("threads"), "{name} {config}"),
        asyncio("asyncio", "server.py", ""),
        asyncio("uvloop", "server.py", "--uvloop"),
        node("node", "server.mjs"),
        http(variant("axum", &built("axum"), "{name} {config}")),
        http(variant("axum-1", &built("axum"), "--current-thread {name} {config}")),
        Variant { speaks: Speaks::Near, ..variant("axum-rstar", &built("axum"), "--rstar {name} {config}") },
        watch("axum-watch", "--watch {name} {config}"),
        watch("axum-watch-100", "--watch-every=100 {name} {config}"),
        nchan,
        http(asyncio("aiohttp", "aiohttp_server.py", "--uvloop")),
        http(node("node-http", "http.mjs")),
        Variant { speaks: Speaks::Echo, ..variant("echo", &built("echo"), "{name} {config}") },
        redis("redis", "--appendonly no"),
    ]
}

fn need(test: &[&str], install: &'static str) -> Need {
    Need { test: test.iter().map(|word| (*word).to_owned()).collect(), install }
}

impl Speaks {
    pub fn lines(self) -> bool {
        matches!(self, Speaks::Lines | Speaks::LinesAndHttp | Speaks::Own)
    }

    pub fn http(self) -> bool {
        matches!(self, Speaks::Http | Speaks::LinesAndHttp | Speaks::Near | Speaks::Watch)
    }
}

impl Variant {
    /// Whether a workload is for it.
    pub fn does(&self, workload: &Workload) -> bool {
        let manners = &self.manners;
        if (manners.is_one_shot && !workload.fresh)
            || (!manners.has_places && workload.whatsat_every > 0)
            || (!manners.is_as_herd && workload.of != Of::One)
        {
            return false;
        }
        if workload.subscribers > 0 {
            return matches!(self.speaks, Speaks::LinesAndHttp | Speaks::Watch | Speaks::Publish);
        }
        if workload.known > 0 {
            return match workload.door {
                Door::Lines => self.speaks == Speaks::LinesAndHttp,
                Door::Http => matches!(self.speaks, Speaks::LinesAndHttp | Speaks::Near),
            };
        }
        match workload.door {
            _ if matches!(self.speaks, Speaks::Near | Speaks::Watch | Speaks::Publish) => false,
            Door::Http => self.speaks.http(),
            Door::Lines if self.speaks.lines() => true,
            // What is there to compare with knows reports alone.
            Door::Lines => {
                self.speaks != Speaks::Http && workload.whatsat_every == 0 && workload.of == Of::One
            }
        }
    }

    /// Whether it is herd, whose growth is measured.
    pub fn grows(&self) -> bool {
        self.speaks == Speaks::LinesAndHttp
    }

    /// Anyone's own, by `NAME=command`.
    ///
    /// # Errors
    /// There is no name or no command.
    pub fn custom(text: &str) -> Result<Variant, String> {
        let (name, command) = text.split_once('=').unwrap_or(("", ""));
        let command = words(command);
        if name.is_empty() || command.is_empty() {
            return Err(format!("--server {text:?}: say NAME='command with {{name}} {{port}} {{config}}'"));
        }
        Ok(Variant { command, speaks: Speaks::Own, ..variant(name, Path::new(""), "") })
    }

    /// Whether its program is this one, or in this folder.
    pub fn is_in(&self, path: &Path) -> bool {
        self.command.first().is_some_and(|program| Path::new(program).starts_with(path))
    }

    /// Whether its command has this word in it.
    pub fn is_told(&self, word: &str) -> bool {
        self.command.iter().any(|part| part.contains(word))
    }

    /// The same by another name, to compare it with itself.
    pub fn again(&self, name: &str) -> Variant {
        Variant { name: name.into(), ..self.clone() }
    }

    /// The line that installs the first thing it lacks.
    pub fn lacks(&self) -> Option<&'static str> {
        self.needs.iter().find(|need| !need.is_met()).map(|need| need.install)
    }

    /// Starts the server `name` of a config, on `port` if it is one that must be told.
    pub fn command(&self, name: &str, port: u16, config: &Path, places: SocketAddr) -> Command {
        let fill = |word: &String| {
            word.replace("{name}", name)
                .replace("{port}", &port.to_string())
                .replace("{config}", &config.display().to_string())
                .replace("{places}", &format!("http://{places}/json"))
        };
        let mut words = self.command.iter().map(fill);
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).env("HERD_PLACES_KEY", "bench");
        if self.speaks == Speaks::Own {
            // As its author starts it, with the files beside it.
            command.current_dir(".");
        }
        if self.speaks == Speaks::Redis {
            // An empty argument, which a template of words cannot hold: no snapshots.
            command.args(["--save", ""]);
        }
        command
    }
}

impl Need {
    fn is_met(&self) -> bool {
        let [program, arguments @ ..] = &self.test[..] else { return true };
        let mut command = Command::new(program);
        command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().is_ok_and(|status| status.success())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_of_anyones_own_is_started_by_its_template() {
        let own =
            Variant::custom("mine=python3 my.py --port {port} {name} {config} {places}").expect("valid");
        let places = "127.0.0.1:6".parse().expect("an address");
        let command = own.command("Goloman", 5, Path::new("herd.conf"), places);
        assert_eq!(command.get_program(), "python3");
        assert_eq!(command.get_current_dir(), Some(Path::new(".")));
        let arguments: Vec<_> = command.get_args().collect();
        assert_eq!(arguments, ["my.py", "--port", "5", "Goloman", "herd.conf", "http://127.0.0.1:6/json"]);
        assert!(own.is_told("{port}") && !own.is_told("{other}"));
        for wrong in ["", "x", "x=", "=x"] {
            assert!(Variant::custom(wrong).is_err_and(|why| why.contains("NAME=")), "{wrong}");
        }
    }

    #[test]
    fn who_answers_one_command_a_connection_is_measured_by_that_alone() {
        let mut own = Variant::custom("mine=true").expect("valid");
        let does = |own: &Variant| {
            let done = crate::workload::ALL.into_iter().filter(|workload| own.does(workload));
            done.map(|workload| workload.name).collect::<Vec<_>>()
        };
        own.manners.is_as_herd = false;
        assert!(does(&own).contains(&"mixed") && !does(&own).contains(&"five"));
        own.manners.has_places = false;
        assert!(does(&own).contains(&"50") && !does(&own).contains(&"mixed"));
        own.manners.is_one_shot = true;
        assert_eq!(does(&own), ["fresh"]);
    }

    #[test]
    fn only_what_is_measured_is_built() {
        let places = Places {
            bench: "/b".into(),
            built: "/b/target/release".into(),
            herd: "/target/release/herd".into(),
        };
        let of = |name: &str| all(&places).into_iter().find(|variant| variant.name == name).expect("known");
        for (name, of_herd, of_variants) in [
            ("herd", true, false),
            ("herd-bare", true, false),
            ("tokio", false, true),
            ("axum-rstar", false, true),
            ("echo", false, true),
            ("asyncio", false, false),
            ("redis", false, false),
        ] {
            let found = (of(name).is_in(&places.herd), of(name).is_in(&places.built));
            assert_eq!(found, (of_herd, of_variants), "{name}");
        }
    }

    #[test]
    fn what_is_missing_is_told_with_the_line_that_installs_it() {
        let mut own = Variant::custom("mine=true").expect("valid");
        assert_eq!(own.lacks(), None);
        own.needs = vec![need(&["true"], "a"), need(&["no-such-program"], "b"), need(&["false"], "c")];
        assert_eq!(own.lacks(), Some("b"));
    }
}
