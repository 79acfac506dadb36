//! How herd makes and opens its own files: logs and journals, which hold who was where. They are for its user and its
//! group, whatever the umask, and are never what somebody else has put in their place. `journal` and `logging` call it.

use std::fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use rustix::fs::OFlags;
use rustix::process::geteuid;

use super::NO_WAIT;
use super::who::{self, ROOT};
use crate::limits::LINKS_FOLLOWED_MAX;

/// The modes of what herd makes. A file system that has no modes (a memory stick's) refuses to set them, which is no
/// reason to keep nothing.
const FILE_MODE: u32 = 0o640;
const FOLDER_MODE: u32 = 0o750;

/// Makes a folder and those above it that are missing. Those that are there stay as they are.
pub fn make_folders(folder: &Path) -> io::Result<()> {
    refuse_links(folder)?;
    let whole = std::path::absolute(folder)?;
    let missing: Vec<_> = whole.ancestors().take_while(|level| !level.exists()).collect();
    for level in missing.into_iter().rev() {
        match DirBuilder::new().mode(FOLDER_MODE).create(level) {
            Ok(()) => {
                let _ = fs::set_permissions(level, Permissions::from_mode(FOLDER_MODE));
            }
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {}
            Err(why) => return Err(why),
        }
    }
    // What has the name of one may be no folder.
    if folder.is_dir() { Ok(()) } else { fs::create_dir_all(folder) }
}

/// Takes what others may do with a folder of herd's own from them, where that is its user's to say.
pub fn tighten_folder(folder: &Path) -> io::Result<()> {
    if let Some(mode) = narrower(&folder.metadata()?, FOLDER_MODE) {
        let _ = fs::set_permissions(folder, Permissions::from_mode(mode));
    }
    Ok(())
}

/// Creates a file that must not exist yet, for appending.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let file = options.append(true).create_new(true).mode(FILE_MODE).custom_flags(NO_WAIT).open(path)?;
    let _ = file.set_permissions(Permissions::from_mode(FILE_MODE));
    Ok(file)
}

/// Opens a file for appending, and creates it if need be. Waits for nobody.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    refuse_links(path)?;
    let no_follow = if is_shared(parent_of(path)) { OFlags::NOFOLLOW.bits() as i32 } else { 0 };
    let open = |options: &mut OpenOptions| options.append(true).custom_flags(NO_WAIT | no_follow).open(path);
    match open(&mut OpenOptions::new()) {
        Ok(file) => {
            tighten(&file)?;
            Ok(file)
        }
        Err(why) if why.kind() == io::ErrorKind::NotFound => match create(path) {
            // A link of ours that leads nowhere yet.
            Err(why) if why.kind() == io::ErrorKind::AlreadyExists => {
                open(OpenOptions::new().create(true).mode(FILE_MODE))
            }
            created => created,
        },
        Err(why) => Err(why),
    }
}

/// Takes what others may do with a file from them, where that is its user's to say.
pub fn tighten(file: &File) -> io::Result<()> {
    let found = file.metadata()?;
    if let Some(mode) = narrower(&found, FILE_MODE).filter(|_| found.is_file()) {
        let _ = file.set_permissions(Permissions::from_mode(mode));
    }
    Ok(())
}

/// The mode of what is herd's own and open to more than `most`; None when it stays as it is.
fn narrower(found: &Metadata, most: u32) -> Option<u32> {
    let mode = found.mode() & 0o7777;
    (found.uid() == geteuid().as_raw() && mode & !most != 0).then_some(mode & most)
}

/// Refuses a way on which somebody else may lead herd elsewhere: by a symbolic link in a folder that others may write
/// to, or by a file of theirs there. What is not there yet is no such thing.
///
/// # Errors
/// What it is, and what to do.
pub fn refuse_links(path: &Path) -> io::Result<()> {
    let mut ways = vec![std::path::absolute(path)?];
    for _ in 0..LINKS_FOLLOWED_MAX {
        let Some(way) = ways.pop() else { return Ok(()) };
        for level in way.ancestors() {
            let Ok(found) = fs::symlink_metadata(level) else { continue };
            let folder = parent_of(level);
            if found.is_symlink() {
                if is_shared(folder) {
                    return Err(foreign(level, "is a symbolic link", found.uid()));
                }
                ways.push(folder.join(fs::read_link(level)?));
            } else if level == way && !found.is_dir() && !is_trusted(found.uid()) && is_shared(folder) {
                return Err(foreign(level, "belongs to another user", found.uid()));
            }
        }
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("{}: too many links", path.display())))
}

fn foreign(path: &Path, what: &str, owner: u32) -> io::Error {
    let folder = parent_of(path);
    let of = folder.metadata().map(|found| found.uid());
    // The folder is that user's, like a service's, and what is in it, too: there is nothing to take away.
    let remedy = match of.is_ok_and(|of| of == owner && who::is_of_another(of, geteuid().as_raw())) {
        true => who::run_as(owner),
        false => {
            let folder = folder.display();
            format!("remove it, or take that from them (chown root {folder}; chmod go-w {folder})")
        }
    };
    let why = format!("{} {what}, in a folder that others may write to: {remedy}", path.display());
    io::Error::new(io::ErrorKind::PermissionDenied, why)
}

/// Whether others may put what they like in a folder.
fn is_shared(folder: &Path) -> bool {
    folder.metadata().is_ok_and(|found| found.mode() & 0o022 != 0 || !is_trusted(found.uid()))
}

fn is_trusted(owner: u32) -> bool {
    owner == ROOT || owner == geteuid().as_raw()
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
        None => path,
    }
}
