//! herd.conf as bytes: from a file, or from a pipe or a terminal, as with `--config <(command)` and
//! `--config /dev/stdin`.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use crate::files;
use crate::limits::{CONFIG_FILE_MAX, CONFIG_QUIET_S};

/// Names of this process's own stdin, which may be what cannot be opened anew: a socket, a file of another user.
const STDIN: [&str; 3] = ["/dev/stdin", "/dev/fd/0", "/proc/self/fd/0"];

/// Where open files have names: what is there has no folder of its own.
const OPEN_FILES: [&str; 3] = ["/dev/fd", "/dev/stdin", "/proc"];

/// Where relative paths in a herd.conf begin.
pub fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|_| !is_open_file(path)).unwrap_or(Path::new(""))
}

/// Whether a path is the name of an open file: a pipe, perhaps.
pub fn is_open_file(path: &Path) -> bool {
    OPEN_FILES.iter().any(|folder| path.starts_with(folder))
}

/// Reads all of it. Whoever is to write it is waited for, but not without a word.
///
/// # Errors
/// It cannot be read, or is too large for a herd.conf.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let found = file.metadata()?.file_type();
    if found.is_file() {
        return files::read_up_to(file, CONFIG_FILE_MAX);
    }
    let kind = files::kind(&found).unwrap_or("a file");
    // A name of an open file is one that whoever runs this has just made: by <(command), or a pipe to stdin.
    if found.is_dir() || !is_open_file(path) {
        return Err(files::irregular(kind));
    }
    let said = format!("herd: waiting for herd.conf from {}, which is {kind}", path.display());
    files::read_up_to(Waiting { file, said: Some(said) }, CONFIG_FILE_MAX)
}

fn open(path: &Path) -> io::Result<File> {
    if STDIN.iter().any(|name| path == Path::new(name)) {
        return Ok(io::stdin().as_fd().try_clone_to_owned()?.into());
    }
    let opened = OpenOptions::new().read(true).custom_flags(files::NO_WAIT).open(path);
    opened.map_err(|why| files::explain(path, why))
}

/// A file whose bytes may be a while in coming.
struct Waiting {
    file: File,
    /// What to say once nothing has come for a while.
    said: Option<String>,
}

impl Read for Waiting {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let quiet = Timespec { tv_sec: CONFIG_QUIET_S, tv_nsec: 0 };
            let quiet = self.said.is_some().then_some(&quiet);
            match poll(&mut [PollFd::new(&self.file, PollFlags::IN)], quiet) {
                Ok(0) => {
                    let said = self.said.take().unwrap_or_default();
                    let _ = writeln!(io::stderr(), "{said}");
                }
                Ok(_) => match self.file.read(buffer) {
                    // Another process was faster.
                    Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                    done => return done,
                },
                Err(Errno::INTR) => {}
                Err(why) => return Err(why.into()),
            }
        }
    }
}
