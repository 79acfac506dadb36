//! What a process of herd has from the one that started it for one server of a herd, and what it says to it.
//! `family` is that other process; `one`, `conf` and `upgrade` ask here.

use std::env;
use std::fs::File;
use std::io::{self, Seek, Write};
use std::os::fd::OwnedFd;

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};

use crate::config::{Config, ConfigError};
use crate::files;
use crate::limits::CONFIG_FILE_MAX;

/// Tells a child its parent, so that it does not outlive it.
pub const PARENT: &str = "HERD_PARENT";

/// How a line on stdout ends that says that a server was not upgraded.
pub const KEPT: &str = " is not upgraded; its log says why";

/// In a child of a herd: asks for SIGTERM when the parent dies, and says whether the
/// parent still lives. Always true for a server that was started by itself.
pub fn lives() -> bool {
    let Some(parent) = env::var(PARENT).ok().and_then(|pid| pid.parse::<i32>().ok()) else { return true };
    set_parent_process_death_signal(Some(Signal::TERM)).is_ok()
        && getppid().is_some_and(|pid| pid.as_raw_nonzero().get() == parent)
}

/// In a child of a herd: the herd.conf that its parent has read. None in a server that was started
/// by itself.
pub fn handed_on() -> Option<io::Result<Vec<u8>>> {
    env::var_os(PARENT).map(|_| files::read_up_to(io::stdin(), CONFIG_FILE_MAX))
}

/// The herd.conf of the program that this process is to become: that of its file, or in a child of a herd what its
/// parent has read.
///
/// # Errors
/// It cannot be read.
pub fn text_for_next(config: &Config) -> Result<Vec<u8>, ConfigError> {
    match env::var_os(PARENT) {
        Some(_) => Ok(config.text.as_bytes().to_vec()),
        None => config.text_again(),
    }
}

/// A text to be read by one process, from memory: herd.conf may be a pipe, which is empty by now, or be another
/// one by the time that the last server reads it.
pub fn hand_on(text: &[u8]) -> io::Result<OwnedFd> {
    let mut file = File::from(memfd_create("herd.conf", MemfdFlags::CLOEXEC)?);
    file.write_all(text)?;
    file.rewind()?;
    Ok(file.into())
}
