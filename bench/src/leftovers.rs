//! What a comparison that is ended by a signal must not leave behind: the servers it started, which
//! nobody else would end, and their folder.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static LEFT: Mutex<Left> = Mutex::new(Left { servers: Vec::new(), folder: None });

struct Left {
    servers: Vec<Pid>,
    folder: Option<PathBuf>,
}

fn left() -> MutexGuard<'static, Left> {
    LEFT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// From now on SIGINT, SIGTERM and SIGHUP end the servers and remove `folder` before this program.
///
/// # Errors
/// The system refuses.
pub fn watch(folder: PathBuf) -> io::Result<()> {
    left().folder = Some(folder);
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    std::thread::spawn(move || {
        let Some(signal) = signals.forever().next() else { return };
        // Held to the end, so that no server is started any more.
        let left = left();
        for &server in &left.servers {
            let _ = kill_process(server, Signal::KILL);
        }
        if let Some(folder) = &left.folder {
            // A server that is just ending may write a last file.
            while fs::remove_dir_all(folder).is_err_and(|why| why.kind() != io::ErrorKind::NotFound) {}
        }
        std::process::exit(128 + signal);
    });
    Ok(())
}

/// Starts a server that is ended with this program.
pub fn spawn(command: &mut Command) -> io::Result<Child> {
    let mut left = left();
    let child = command.spawn()?;
    left.servers.push(Pid::from_child(&child));
    Ok(child)
}

/// This one has ended.
pub fn forget(child: &Child) {
    let ended = Pid::from_child(child);
    left().servers.retain(|&server| server != ended);
}
