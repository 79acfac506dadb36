//! An upgrade in place: the process becomes the program that has taken the place of its own, and goes on with the sockets
//! on which it listens, so that whoever calls meanwhile waits for a moment and is served. `one` does it when it is
//! ordered to.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use super::{exit, inherit, parent};
use crate::config::{Config, Server};
use crate::limits::{UPGRADE_CHECK, UPGRADE_LOOK, UPGRADE_WORDS_BYTES};

/// Sockets that listen, by the names of their doors.
pub type Sockets = Vec<(&'static str, OwnedFd)>;

/// What the process is to become: what was its program when it began, by the same arguments.
#[derive(Clone)]
pub struct Successor {
    program: PathBuf,
    /// As it was called, which says which server is meant.
    called: OsString,
    arguments: Vec<OsString>,
}

impl Successor {
    /// Of this process. To be asked at its start: once another file has taken the place of its program, the system does not
    /// tell which.
    ///
    /// # Errors
    /// The system does not tell.
    pub fn of_this() -> io::Result<Successor> {
        let mut arguments = env::args_os();
        let called = arguments.next().unwrap_or_default();
        let found = found(Path::new(&called)).map_or_else(env::current_exe, Ok);
        Ok(Successor { program: std::path::absolute(found?)?, called, arguments: arguments.collect() })
    }

    pub fn program(&self) -> &Path {
        &self.program
    }

    /// Has the new program check herd.conf, and this machine, for the server of this name, as it would start there: with
    /// these sockets by name, and in the place of the journal that this process has. Returns the herd.conf that it
    /// checked, to start by.
    ///
    /// # Errors
    /// What it objects to, or why it cannot be asked.
    pub fn check(&self, sockets: Sockets, config: &Config, server: &Server) -> Result<Vec<u8>, String> {
        let (failed, name) =
            (|why: io::Error| format!("cannot run {}: {why}", self.program.display()), &server.name);
        let text = parent::text_for_next(config).map_err(|why| why.to_string())?;
        let stdin = inherit::hand_on(sockets, &text).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&config.path).args(["--check", "--", name]);
        command.env(inherit::HANDED_ON, std::process::id().to_string());
        command.env(inherit::JOURNAL, config.data_path(server).unwrap_or_default());
        let mut child =
            command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        let deadline = Instant::now() + UPGRADE_CHECK;
        let ended = loop {
            match child.try_wait().map_err(failed)? {
                Some(ended) => break Some(ended),
                None if Instant::now() >= deadline => break None,
                None => std::thread::sleep(UPGRADE_LOOK),
            }
        };
        if ended.is_none() {
            let _ = child.kill().and_then(|()| child.wait());
        }
        if ended.is_some_and(|ended| ended.success()) {
            return Ok(text);
        }
        let mut words = Vec::new();
        let said = child.stderr.take().map(|said| said.take(UPGRADE_WORDS_BYTES).read_to_end(&mut words));
        let words = if said.is_some_and(|read| read.is_ok()) { words } else { Vec::new() };
        let words = String::from_utf8_lossy(&words).trim().replace('\n', "; ");
        Err(format!("{} --check {name}: {}: {words}", self.program.display(), how(ended)))
    }

    /// Becomes the new program, with these sockets by name and this herd.conf, and with the order to read that again if
    /// somebody has given it meanwhile. Returns only if neither it nor our own can be run.
    pub fn exec(&self, sockets: Sockets, text: &[u8], is_reload_due: bool) -> io::Error {
        let stdin = inherit::hand_on(sockets, text);
        let stdin = match stdin.and_then(|stdin| Ok([stdin.try_clone()?, stdin])) {
            Ok(stdin) => stdin,
            Err(why) => return why,
        };
        // Our own is there whatever became of its file.
        let programs = [&*self.program, Path::new("/proc/self/exe")];
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for (program, stdin) in programs.into_iter().zip(stdin) {
            last = Command::new(program)
                .arg0(&self.called)
                .args(&self.arguments)
                .env(inherit::HANDED_ON, std::process::id().to_string())
                .env(inherit::RELOAD, if is_reload_due { inherit::DUE } else { "" })
                .stdin(stdin)
                .exec();
            log::error!("cannot become {}: {last}", program.display());
        }
        last
    }
}

/// The file that was meant by what a process was called: a path, or a name that the system looked for in PATH.
fn found(called: &Path) -> Option<PathBuf> {
    let is_program = |path: &PathBuf| {
        fs::metadata(path).is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    if called.components().count() > 1 {
        return Some(called.to_owned()).filter(is_program);
    }
    let path = env::var_os("PATH")?;
    env::split_paths(&path).map(|folder| folder.join(called)).find(is_program)
}

fn how(ended: Option<ExitStatus>) -> String {
    match ended.map(|ended| (ended, ended.code())) {
        Some((_, Some(code))) if code == i32::from(exit::CONFIG) => "it cannot use herd.conf".into(),
        Some((ended, _)) => ended.to_string(),
        None => format!("no answer within {} s", UPGRADE_CHECK.as_secs()),
    }
}
