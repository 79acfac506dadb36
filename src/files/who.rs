//! Whose a file is and as whom this runs, in words that say what to do. `files`, `journal` and `run` call it where the
//! system says no more than "Permission denied".

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, AtFlags, CWD, accessat};
use rustix::process::geteuid;

use crate::limits::USERS_FILE_MAX;

/// Who may be trusted with a file besides its user.
pub const ROOT: u32 = 0;

/// Who that is, is not known here: this may be run by somebody else.
const SERVERS_USER: &str = "the user that herd's servers run as";

/// A user, by name where the machine has one.
pub fn user(number: u32) -> String {
    match name_of(number) {
        _ if number == ROOT => "root".into(),
        Some(name) => format!("user {name} (uid {number})"),
        None => format!("user {number}"),
    }
}

/// What to do for a user whose files herd meets as root. A server that took them over would shut that user's servers out.
pub fn run_as(owner: u32) -> String {
    let name = name_of(owner).unwrap_or_else(|| format!("'#{owner}'"));
    format!("run this as that user: sudo -u {name} ...")
}

/// Whether we are root and meet what is somebody else's.
pub fn is_of_another(owner: u32, own: u32) -> bool {
    own == ROOT && owner != ROOT
}

/// Why a file with a secret cannot be opened, and what to do where this user may not.
pub fn unreadable(path: &Path, why: io::Error) -> io::Error {
    let Some(found) = denied(&why).and_then(|()| whose(path)) else { return why };
    let remedy = match found.path == path {
        true => format!(
            "chown it to {SERVERS_USER}, with mode 0600, or to root and a group of theirs with 0640, and run this as that user"
        ),
        false => format!("let {SERVERS_USER} enter it"),
    };
    io::Error::new(why.kind(), format!("{why}; {found}; {remedy}"))
}

/// What to do where a folder of herd's own, or what is in it, may not be written.
pub fn unwritable(folder: &Path, why: &io::Error) -> Option<String> {
    denied(why)?;
    let found = first_shut(folder)?;
    let (own, at) = (geteuid().as_raw(), folder.display());
    let is_above = !found.path.starts_with(folder);
    let remedy = match found.owner {
        owner if owner == own => format!("chmod u+rwX {}", found.path.display()),
        owner if owner != ROOT => run_as(owner),
        _ if !is_above => format!("chown -R {at} to {SERVERS_USER}"),
        _ if is_shut(&found.path, Access::EXEC_OK) => format!("let {SERVERS_USER} enter it"),
        _ => format!("make {at} for {SERVERS_USER}: install -d -m 0750 -o USER {at}"),
    };
    Some(format!("{found}; {remedy}"))
}

/// Only what the system said itself: we give reasons of our own with what to do.
fn denied(why: &io::Error) -> Option<()> {
    (why.kind() == io::ErrorKind::PermissionDenied && why.raw_os_error().is_some()).then_some(())
}

/// A file or a folder, and whose it is.
struct Found {
    path: PathBuf,
    owner: u32,
    mode: u32,
}

impl std::fmt::Display for Found {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Found { path, owner, mode } = self;
        let own = user(geteuid().as_raw());
        write!(
            out,
            "{} belongs to {} (mode {mode:04o}), and this runs as {own}",
            path.display(),
            user(*owner)
        )
    }
}

/// The last on the way to a path that we may look at: where it is not the path itself, we may not enter it, or it is not
/// there.
fn whose(path: &Path) -> Option<Found> {
    path.ancestors().find_map(|level| {
        let level = if level.as_os_str().is_empty() { Path::new(".") } else { level };
        let found = level.metadata().ok()?;
        Some(Found { path: level.to_owned(), owner: found.uid(), mode: found.mode() & 0o7777 })
    })
}

/// The folder, or the one in which it is to be made, if we may not write in it; else what in it we may not read or write.
fn first_shut(folder: &Path) -> Option<Found> {
    let nearest = whose(folder)?;
    if is_shut(&nearest.path, Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return Some(nearest);
    }
    let mut files = fs::read_dir(folder).into_iter().flatten().flatten().map(|file| file.path());
    files.find(|path| is_shut(path, Access::READ_OK | Access::WRITE_OK)).and_then(|path| whose(&path))
}

fn is_shut(path: &Path, access: Access) -> bool {
    accessat(CWD, path, access, AtFlags::EACCESS).is_err()
}

/// From the one file that has most of them. Those of a network service go by their number.
fn name_of(number: u32) -> Option<String> {
    let users = super::read(Path::new("/etc/passwd"), USERS_FILE_MAX).ok()?;
    let users = String::from_utf8_lossy(&users);
    users.lines().find_map(|line| {
        let mut words = line.split(':');
        let (name, _, found) = (words.next()?, words.next()?, words.next()?);
        (found.parse() == Ok(number)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_has_the_name_that_the_machine_has_for_it() {
        assert_eq!(user(ROOT), "root");
        assert_eq!(user(4_000_000_001), "user 4000000001");
        assert_eq!(run_as(4_000_000_001), "run this as that user: sudo -u '#4000000001' ...");
        assert_eq!(name_of(ROOT).as_deref(), Some("root"));
    }

    #[test]
    fn only_what_the_system_refused_gets_a_remedy() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("key");
        let said = |why: io::Error| unreadable(&path, why).to_string();
        let denied = said(io::Error::from_raw_os_error(13));
        assert!(
            denied.starts_with("Permission denied (os error 13); ") && denied.contains("enter it"),
            "{denied}"
        );
        fs::write(&path, "").expect("written");
        assert!(said(io::Error::from_raw_os_error(13)).contains("with mode 0600, or to root"));
        assert_eq!(said(io::Error::from_raw_os_error(2)), "No such file or directory (os error 2)");
        let own = io::Error::new(io::ErrorKind::PermissionDenied, "a reason of ours");
        assert_eq!(said(own), "a reason of ours");
    }
}
