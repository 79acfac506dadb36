//! What a server that starts would meet on this machine: its ports, and the folders that it writes in. `check` asks.
//! Nothing is left behind.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::inherit::Inherited;
use super::owners::{self, Owners};
use crate::client::{self, Port};
use crate::config::{Config, Server};
use crate::door::DoorKind;
use crate::files::{own, who};
use crate::journal::Journal;
use crate::net::socket::{self, Spare};

/// What was found.
#[derive(Default)]
pub struct Found {
    /// Each would have a start fail, or go on without its log.
    pub problems: Vec<String>,
    /// Worth knowing.
    pub notes: Vec<String>,
}

/// Looks after the server of this index, or after all that are on this machine; or after the one that is to take the place
/// of whoever handed on its sockets.
pub fn look(config: &Config, index: Option<usize>, inherited: Inherited) -> Found {
    let mut found = Found::default();
    if let (Some(journal), Some(index)) = (&inherited.checks_for, index) {
        found.problems.extend(inherited.troubles);
        found.succession(config, &config.servers[index], journal, inherited.sockets);
        return found;
    }
    let is_meant = |number: usize| index.is_none_or(|index| index == number);
    let servers = config.servers.iter().enumerate();
    let servers = servers.filter(|(number, server)| is_meant(*number) && !server.plain).map(|(_, it)| it);
    let asked: Vec<_> = servers.clone().map(|server| (&server.listen, server.name.as_str())).collect();
    for (server, port) in servers.zip(client::probe(&asked)) {
        match found.port(config, server, port, index.is_some()) {
            Whose::NotHere => continue,
            Whose::Nobodys => found.web_port(server, None),
            Whose::Own(known) => found.web_port(server, Some(&known)),
        }
        found.folders(config, server);
    }
    found
}

/// Who has a port.
enum Whose {
    /// The server is on another machine.
    NotHere,
    /// It is free, or somebody else's.
    Nobodys,
    /// The server runs, as these processes.
    Own(Owners),
}

impl Found {
    fn folders(&mut self, config: &Config, server: &Server) {
        let checked = folders(config, server).map_err(|why| format!("{}: {why}", server.name));
        self.problems.extend(checked.err().filter(|why| !self.problems.contains(why)));
    }

    /// Whether the server could go on with these sockets, in the place of one that has a journal in this folder.
    fn succession(&mut self, config: &Config, server: &Server, journal: &Path, mut sockets: Spare) {
        let name = &server.name;
        if let Err(why) = socket::try_listen(DoorKind::Line.name(), &server.listen, &mut sockets) {
            self.problems.push(format!("{name}: {why}"));
        }
        if let Some(http) = &server.http
            && let Err(why) = socket::try_listen(DoorKind::Http.name(), &http.listen, &mut sockets)
        {
            self.problems.push(format!("{name}: http: {why}"));
        }
        let folder = config.data_path(server);
        if let Some(folder) = folder.filter(|folder| !is_same(folder, journal) && Journal::is_held(folder)) {
            self.problems
                .push(format!("{name}: data_dir: {}: another process has that journal", folder.display()));
        }
        self.folders(config, server);
    }

    /// Whether the server could listen for HTTP. If it runs, it may listen there already.
    fn web_port(&mut self, server: &Server, runs_as: Option<&Owners>) {
        let Some(http) = &server.http else { return };
        let Err(why) = socket::bind(&http.listen) else { return };
        let may_be_own = runs_as.is_some_and(|own| match why.kind() {
            io::ErrorKind::AddrInUse => own.may_have(&http.listen),
            // A port for which the server has a right that whoever asks has not.
            io::ErrorKind::PermissionDenied => owners::is_taken(&http.listen) && own.may_have(&http.listen),
            _ => false,
        });
        if !may_be_own {
            self.problems.push(format!("{}: http: {why}", server.name));
        }
    }

    /// Whether the server could listen for lines, or does.
    fn port(&mut self, config: &Config, server: &Server, port: Port, is_named: bool) -> Whose {
        let name = &server.name;
        let owners = || Owners::of(&server.listen, config.data_path(server));
        match port {
            Port::Free if runs(config, server) => {
                // A start would say so, where it is another one.
                self.notes.push(format!(
                    "{name} has its journal open, but not this port: a server that runs takes up another address when it \
                     is restarted; if it does not run, it is another process that has its data_dir"
                ));
            }
            Port::Free => {}
            Port::Elsewhere(_) if !is_named => {
                let why = "is not on this machine, and was not checked; check and start each one where it is, by its name";
                self.notes.push(format!("{name} {why}"));
                return Whose::NotHere;
            }
            Port::Taken { by_itself: true, .. } => {
                self.notes.push(format!("{name} runs already"));
                return Whose::Own(owners());
            }
            Port::Taken { why, .. } => {
                // It may have no time for an answer.
                let owners =
                    Some(owners()).filter(|owners| runs(config, server) && owners.may_have_journal());
                if let Some(owners) = owners {
                    self.notes.push(format!("{name} runs already"));
                    return Whose::Own(owners);
                }
                self.problems.push(format!("{name}: {why}; whoever has it does not answer as {name}"));
            }
            Port::Elsewhere(why) | Port::Refused(why) => self.problems.push(format!("{name}: {why}")),
        }
        Whose::Nobodys
    }
}

/// Whether two paths lead to one folder.
fn is_same(one: &Path, other: &Path) -> bool {
    let found = |path: &Path| fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    found(one) == found(other)
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
        Ok(_) => can_in(folder, "write in", key, there, Access::WRITE_OK | Access::EXEC_OK),
        Err(why) => Err(format!("{key}: {}: {why}", there.display())),
    }
}

/// As the user who this is run as, who should be the one herd runs as.
fn can(what: &str, key: &str, path: &Path, access: Access) -> Result<(), String> {
    can_in(path, what, key, path, access)
}

/// The same of what is on the way to a folder.
fn can_in(folder: &Path, what: &str, key: &str, path: &Path, access: Access) -> Result<(), String> {
    accessat(CWD, path, access, AtFlags::EACCESS).map_err(|why| {
        let why = io::Error::from(why);
        let remedy = who::unwritable(folder, &why).map(|remedy| format!("; {remedy}")).unwrap_or_default();
        format!("{key}: cannot {what} {}: {why}{remedy}", path.display())
    })
}
