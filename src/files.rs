//! The one way to open files that are read whole: never one that keeps its reader waiting, like a FIFO, and never
//! more of it than its bound. `config` and `places` read theirs by it. What herd itself makes is in `own`.

pub mod own;
pub mod who;

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

/// Flags with which opening waits for nobody: without a reader or writer at the other end of a FIFO, without a
/// carrier on a line; and a terminal does not become this process's own.
pub const NO_WAIT: i32 = (OFlags::NONBLOCK.bits() | OFlags::NOCTTY.bits()) as i32;

/// Opens a regular file for reading.
///
/// # Errors
/// It cannot be opened, or is none; the message says what it is.
pub fn open(path: &Path) -> io::Result<File> {
    let opened = OpenOptions::new().read(true).custom_flags(NO_WAIT).open(path);
    let file = opened.map_err(|why| explain(path, why))?;
    match kind(&file.metadata()?.file_type()) {
        None => Ok(file),
        Some(kind) => Err(irregular(kind)),
    }
}

/// Reads a regular file of at most `bytes_max`.
///
/// # Errors
/// The same, or it is larger.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_up_to(open(path)?, bytes_max)
}

/// Reads a regular file that others must not read: the rule is PostgreSQL's.
///
/// # Errors
/// The same, or others may read it; the message says what to do.
pub fn read_secret(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let file = open(path).map_err(|why| who::unreadable(path, why))?;
    let found = file.metadata()?;
    if let Some(why) = objection(found.uid(), geteuid().as_raw(), found.mode() & 0o7777) {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, why));
    }
    read_up_to(file, bytes_max)
}

/// Reads to the end, which has to come within so many bytes.
pub fn read_up_to(file: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more shows that there is more.
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it has more than {bytes_max} bytes; is it the right file?"),
        ));
    }
    Ok(bytes)
}

/// Why a file cannot be opened, where the system's word for that says little: of a socket, for one.
pub(crate) fn explain(path: &Path, why: io::Error) -> io::Error {
    let kind = path.metadata().ok().and_then(|found| kind(&found.file_type()));
    kind.map_or(why, irregular)
}

pub(crate) fn irregular(kind: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}; name a regular file"))
}

/// What a file is that is no regular one.
pub(crate) fn kind(found: &std::fs::FileType) -> Option<&'static str> {
    match () {
        () if found.is_file() => None,
        () if found.is_dir() => Some("a folder"),
        () if found.is_fifo() => Some("a FIFO"),
        () if found.is_socket() => Some("a socket"),
        () => Some("a device"),
    }
}

/// Why a file of this owner and mode is no place for a secret of the user `own`: its own is for nobody else; of
/// root's, which systemd, Docker and Kubernetes make, a group may be given a look.
fn objection(owner: u32, own: u32, mode: u32) -> Option<String> {
    const OF_ROOT: &str =
        "give it to root and the group of herd with 0640: in Kubernetes, defaultMode: 0440 with fsGroup";
    let (allowed, most) = match owner {
        who::ROOT => (mode & 0o037 == 0, "0640"),
        _ if owner == own => (mode & 0o077 == 0, "0600"),
        _ => {
            let remedy = match who::is_of_another(owner, own) {
                true => who::run_as(owner),
                false => format!("chown it to that user, or {OF_ROOT}"),
            };
            return Some(format!(
                "it belongs to user {owner} (mode {mode:04o}), and herd runs as user {own}; {remedy}"
            ));
        }
    };
    let whose = if owner == own { format!("user {owner}, as whom herd runs") } else { "root".to_owned() };
    (!allowed).then(|| {
        format!(
            "others may read or change it (mode {mode:04o}, of {whose}; at most {most}); chmod 600 it, or {OF_ROOT}"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::net::UnixListener;

    #[test]
    fn a_secret_is_its_owners_or_roots_and_its_groups() {
        let check = |owner: u32, own: u32, mode: u32, hint: Option<&str>| {
            let why = objection(owner, own, mode);
            assert_eq!(why.is_some(), hint.is_some(), "{owner} {own} {mode:o}: {why:?}");
            assert!(why.unwrap_or_default().contains(hint.unwrap_or_default()), "{owner} {own} {mode:o}");
        };
        for mode in [0o600, 0o400, 0o700, 0o000] {
            check(7, 7, mode, None);
            check(0, 7, mode, None);
            check(0, 0, mode, None);
            check(8, 7, mode, Some("and herd runs as user 7; chown it"));
            check(7, 0, mode, Some("belongs to user 7 (mode"));
            // That would shut out the one it belongs to.
            check(7, 0, mode, Some("and herd runs as user 0; run this as that user: sudo -u "));
        }
        for mode in [0o640, 0o440] {
            check(7, 7, mode, Some("of user 7"));
            check(0, 7, mode, None);
            check(0, 0, mode, None);
        }
        for mode in [0o644, 0o604, 0o660, 0o650, 0o601, 0o444, 0o777] {
            check(7, 7, mode, Some("chmod 600"));
            check(0, 7, mode, Some("defaultMode: 0440 with fsGroup"));
            check(0, 0, mode, Some(&format!("mode {mode:04o}")));
        }
    }

    #[test]
    fn only_a_regular_file_of_some_size_is_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("file"), "12345").expect("written");
        assert_eq!(read(&path("file"), 5).expect("read"), b"12345");
        assert!(read(&path("file"), 4).is_err_and(|why| why.to_string().contains("more than 4 bytes")));
        let _listener = UnixListener::bind(path("socket")).expect("bound");
        std::os::unix::fs::symlink(path("socket"), path("link")).expect("linked");
        for (path, hint) in [
            (folder.path().to_owned(), "it is a folder"),
            (path("socket"), "it is a socket"),
            (path("link"), "it is a socket"),
            ("/dev/zero".into(), "it is a device"),
            (path("none"), "No such file"),
        ] {
            let why = read(&path, 5).expect_err("none").to_string();
            assert!(why.contains(hint), "{}: {why}", path.display());
        }
    }
}
