//! `herd --check`: what a start would meet in herd.conf, the files it names, and this machine: ports, and folders to
//! write in. `main` calls it. Nothing is started, and nothing is left behind.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::memory::Memory;
use super::say::{fail, say};
use super::site::Web;
use super::{exit, one, secrets};
use crate::client::{self, Port};
use crate::config::{Config, Server};
use crate::files::own;
use crate::journal::Journal;
use crate::logging;
use crate::net::socket;

/// All that can be wrong with herd.conf, the files it names and this machine, without starting anything.
pub fn run(config: &Config, index: Option<usize>) -> ExitCode {
    logging::warn_on_stderr();
    // Of a herd on several machines each has the secrets of its own servers only.
    let here = index.map_or(0..config.servers.len(), |index| index..index + 1);
    let opened = here.into_iter().try_for_each(|index| {
        secrets::of_server(config, index)?;
        Web::of_server(config, &config.servers[index], None).map(|_| ())
    });
    let places = match opened.and_then(|()| one::open_places(config, false)) {
        Ok(places) => places,
        Err(why) => return fail(exit::CONFIG, why),
    };
    let found = machine(config, index);
    if !found.problems.is_empty() {
        return fail(exit::OS, found.problems.join("\nherd: "));
    }
    let notes: String = found.notes.iter().map(|note| format!("\n{note}")).collect();
    let parts = parts_note(config).map(|note| format!("\n{note}")).unwrap_or_default();
    // Of several servers, the one with most neighbours.
    let busiest = match index {
        Some(index) => config.servers.get(index),
        None => {
            config.servers.iter().filter(|server| !server.plain).max_by_key(|server| server.neighbours.len())
        }
    };
    let memory = busiest.map(|server| format!("\n{}", Memory::of(config, server))).unwrap_or_default();
    let about: String = places.about().iter().map(|line| format!("\nplaces: {line}")).collect();
    say(format!("{}{notes}{parts}{about}{}", config.to_string().trim_end(), memory.trim_end()))
}

/// What is to be said of a herd that falls into parts: A position told to a server is known in its part only.
fn parts_note(config: &Config) -> Option<String> {
    let parts = config.parts();
    let named: Vec<_> = parts.iter().map(|part| part.join(", ")).collect();
    (parts.len() > 1).then(|| {
        format!(
            "warning: this herd falls into {} parts that nobody connects, and what one is told the others never know: {}; \
             name a neighbour in another part",
            parts.len(),
            named.join(" | ")
        )
    })
}

/// What was found.
#[derive(Default)]
struct Found {
    /// Each would have a start fail, or go on without its log.
    problems: Vec<String>,
    /// Worth knowing.
    notes: Vec<String>,
}

/// Looks after the server of this index, or after all that are on this machine.
fn machine(config: &Config, index: Option<usize>) -> Found {
    let mut found = Found::default();
    let is_meant = |number: usize| index.is_none_or(|index| index == number);
    let servers = config.servers.iter().enumerate();
    let servers = servers.filter(|(number, server)| is_meant(*number) && !server.plain).map(|(_, it)| it);
    let asked: Vec<_> = servers.clone().map(|server| (&server.listen, server.name.as_str())).collect();
    for (server, port) in servers.zip(client::probe(&asked)) {
        if found.port(config, server, port, index.is_some()) {
            let checked = folders(config, server).map_err(|why| format!("{}: {why}", server.name));
            found.problems.extend(checked.err().filter(|why| !found.problems.contains(why)));
            found.web_port(config, server);
        }
    }
    found
}

impl Found {
    /// Whether the server could listen for HTTP, if it does not run already.
    fn web_port(&mut self, config: &Config, server: &Server) {
        let Some(http) = server.http.as_ref().filter(|_| !runs(config, server)) else { return };
        if let Err(why) = socket::bind(&http.listen) {
            self.problems.push(format!("{}: http: {why}", server.name));
        }
    }

    /// Whether the server is on this machine.
    fn port(&mut self, config: &Config, server: &Server, port: Port, is_named: bool) -> bool {
        let name = &server.name;
        match port {
            Port::Free if runs(config, server) => {
                let folder = config.data_path(server).unwrap_or_default();
                let why = "another process has that journal, though not this port; is it another herd.conf?";
                self.problems.push(format!("{name}: data_dir: {}: {why}", folder.display()));
            }
            Port::Free => {}
            Port::Elsewhere(_) if !is_named => {
                let why = "is not on this machine, and was not checked; check and start each one where it is, by its name";
                self.notes.push(format!("{name} {why}"));
                return false;
            }
            Port::Taken { by_itself, .. } if by_itself || runs(config, server) => {
                self.notes.push(format!("{name} runs already"));
            }
            Port::Taken { why, .. } => {
                self.problems.push(format!("{name}: {why}; whoever has it does not answer as {name}"));
            }
            Port::Elsewhere(why) | Port::Refused(why) => self.problems.push(format!("{name}: {why}")),
        }
        true
    }
}

/// Whether the journal says that the server runs, which may have no time for an answer.
fn runs(config: &Config, server: &Server) -> bool {
    config.data_path(server).is_some_and(|folder| Journal::is_held(&folder))
}

/// Whether a server can write, and read, where it is to.
fn folders(config: &Config, server: &Server) -> Result<(), String> {
    if let Some(folder) = config.data_path(server) {
        own::refuse_links(&folder).map_err(|why| format!("data_dir: {why}"))?;
        can_write("data_dir", &folder)?;
        for file in fs::read_dir(&folder).into_iter().flatten().flatten() {
            can("read", "data_dir", &file.path(), Access::READ_OK)?;
        }
        if folder.join("lock").exists() {
            can("write", "data_dir", &folder.join("lock"), Access::WRITE_OK)?;
        }
    }
    let log = config.log_path(server);
    own::refuse_links(&log).map_err(|why| format!("log_dir: {why}"))?;
    can_write("log_dir", &config.log_dir)?;
    if log.exists() { can("write", "log_dir", &log, Access::WRITE_OK) } else { Ok(()) }
}

/// Whether files can be made in a folder, or the folder itself where it is not there yet.
fn can_write(key: &str, folder: &Path) -> Result<(), String> {
    let is_there = |path: &&Path| fs::symlink_metadata(path).is_ok();
    let there = folder.ancestors().find(is_there).unwrap_or(Path::new("."));
    let there = if there.as_os_str().is_empty() { Path::new(".") } else { there };
    match there.metadata() {
        Ok(found) if !found.is_dir() => Err(format!("{key}: {} is no folder", there.display())),
        Ok(_) => can("write in", key, there, Access::WRITE_OK | Access::EXEC_OK),
        Err(why) => Err(format!("{key}: {}: {why}", there.display())),
    }
}

/// As the user who this is run as, who should be the one herd runs as.
fn can(what: &str, key: &str, path: &Path, access: Access) -> Result<(), String> {
    accessat(CWD, path, access, AtFlags::EACCESS).map_err(|why| {
        let why = io::Error::from(why);
        format!("{key}: cannot {what} {}: {why}", path.display())
    })
}
