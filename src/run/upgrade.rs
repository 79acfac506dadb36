//! An upgrade in place: the process becomes the program that has taken the place of its own, and goes on with the sockets
//! on which it listens, so that whoever calls meanwhile waits for a moment and is served. `one` does it when it is
//! ordered to.

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use rustix::io::ioctl_fionbio;

use super::next::NotTaken;
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
        let found = found(Path::new(&called)).map_or_else(|| env::current_exe().map(as_named), Ok);
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
    pub fn check(
        &self,
        sockets: Sockets,
        config: &Config,
        server: &Server,
        is_over: &AtomicBool,
    ) -> Result<Vec<u8>, NotTaken> {
        let program = self.program.display();
        let (failed, name) =
            (|why: io::Error| NotTaken::kept(format!("cannot run {program}: {why}")), &server.name);
        let text = parent::text_for_next(config).map_err(NotTaken::broken)?;
        let stdin = inherit::hand_on(sockets, &text).map_err(failed)?;
        let mut command = Command::new(&self.program);
        command.arg("--config").arg(&config.path).args(["--check", "--", name]);
        command.env(inherit::HANDED_ON, std::process::id().to_string());
        command.env(inherit::JOURNAL, config.data_path(server).unwrap_or_default());
        let mut child =
            command.stdin(stdin).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().map_err(failed)?;
        let (mut words, deadline) = (Words::of(child.stderr.take()), Instant::now() + UPGRADE_CHECK);
        let ended = loop {
            let ended = child.try_wait();
            words.take();
            match ended.map_err(failed)? {
                Some(ended) => break Some(ended),
                None if is_over.load(Ordering::SeqCst) || Instant::now() >= deadline => break None,
                None => std::thread::sleep(UPGRADE_LOOK),
            }
        };
        if ended.is_none() {
            let _ = child.kill().and_then(|()| child.wait());
        }
        if ended.is_some_and(|ended| ended.success()) {
            return Ok(text);
        }
        let is_broken = ended.and_then(|ended| ended.code()) == Some(exit::CONFIG.into());
        let words = String::from_utf8_lossy(&words.said).trim().replace('\n', "; ");
        let why = format!("{program} --check {name}: {}: {words}", how(ended));
        Err(NotTaken { status: if is_broken { exit::CONFIG } else { exit::KEPT }, why })
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

/// What a child says on stderr, of which the beginning is kept. It is read without waiting: what the child started, and is
/// still there, has that open, too.
struct Words {
    stderr: Option<ChildStderr>,
    said: Vec<u8>,
}

impl Words {
    fn of(stderr: Option<ChildStderr>) -> Words {
        // One that would be waited for is not read.
        Words { stderr: stderr.filter(|it| ioctl_fionbio(it, true).is_ok()), said: Vec::new() }
    }

    /// Takes what there is.
    fn take(&mut self) {
        let Some(stderr) = &mut self.stderr else { return };
        let mut bytes = [0; UPGRADE_WORDS_BYTES];
        while let Ok(count @ 1..) = stderr.read(&mut bytes) {
            let room = UPGRADE_WORDS_BYTES - self.said.len();
            self.said.extend_from_slice(&bytes[..count.min(room)]);
        }
    }
}

/// The file of a program as it was named before it was removed, which the system says behind it.
fn as_named(program: PathBuf) -> PathBuf {
    let named = program.as_os_str().as_bytes().strip_suffix(b" (deleted)").map(OsStr::from_bytes);
    named.filter(|_| !program.exists()).map_or(program.clone(), PathBuf::from)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_removed_is_known_by_its_name() {
        let (folder, gone) = (Path::new("/usr/bin"), "/usr/bin/no such herd (deleted)");
        assert_eq!(as_named(gone.into()), folder.join("no such herd"));
        let holder = tempfile::tempdir().expect("a folder");
        let there = holder.path().join("herd (deleted)");
        fs::write(&there, "").expect("written");
        assert_eq!(as_named(there.clone()), there, "it is called so");
    }
}
