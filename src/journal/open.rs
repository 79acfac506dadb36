//! The start of a journal: its folder, its lock, what is in it, and its first segment.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, PoisonError, RwLock};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use super::pace::Pace;
use super::segment::{self, Open};
use super::{Active, Disk, Journal, Replayed, SyncMode, compact, replay};
use crate::files::{self, own, who};
use crate::limits::Timing;
use crate::tally::Times;

/// The name of the file that is locked.
pub const LOCK: &str = "lock";

impl Journal {
    /// Whether a process has the journal of a folder open. To be asked only where a server cannot start for another
    /// reason: it would find the journal taken in the moment of asking.
    pub fn is_held(folder: &Path) -> bool {
        let lock = File::options().read(true).custom_flags(files::NO_WAIT).open(folder.join(LOCK));
        lock.is_ok_and(|lock| flock(&lock, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK))
    }

    /// The file that whoever has the journal of a folder has open.
    pub fn lock_of(folder: &Path) -> PathBuf {
        folder.join(LOCK)
    }

    /// Opens the journal of a folder, which is created if need be, and hands every line in it to
    /// `take`, which says whether it knows what it is. Appending begins a new segment.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be read or written; the message says which. `InvalidData`: a later
    /// version of herd wrote it.
    pub fn open(
        folder: &Path,
        mode: SyncMode,
        disk: Box<dyn Disk>,
        take: impl FnMut(&[u8]) -> bool + Send,
    ) -> io::Result<(Journal, Replayed)> {
        let take = Mutex::new(take);
        let read = |line: &[u8], (): &mut ()| take.lock().unwrap_or_else(PoisonError::into_inner)(line);
        Journal::open_with(folder, mode, disk, || replay::replay(folder, 1, read, |()| (), |()| ()))
    }

    /// How many threads are worth it to read the journal of a folder.
    pub fn readers(folder: &Path) -> usize {
        replay::threads_for(replay::bytes(folder).unwrap_or(0))
    }

    /// The same, in so many threads. Each adds the lines that it knows to those of a block, and has them learned; and
    /// `close` is handed block after block, in their order, and empties them.
    ///
    /// # Errors
    /// The same.
    pub fn open_at_once<L: Default>(
        folder: &Path,
        mode: SyncMode,
        disk: Box<dyn Disk>,
        threads: usize,
        read: impl Fn(&[u8], &mut L) -> bool + Sync,
        learn: impl Fn(&mut L) + Sync,
        close: impl FnMut(&mut L) + Send,
    ) -> io::Result<(Journal, Replayed)> {
        let replay = || replay::replay(folder, threads, read, learn, close);
        Journal::open_with(folder, mode, disk, replay)
    }

    fn open_with(
        folder: &Path,
        mode: SyncMode,
        disk: Box<dyn Disk>,
        replay: impl FnOnce() -> io::Result<Replayed>,
    ) -> io::Result<(Journal, Replayed)> {
        Journal::open_as_is(folder, mode, disk, replay).map_err(|why| {
            let remedy = remedy(folder, &why).map(|remedy| format!("; {remedy}")).unwrap_or_default();
            io::Error::new(why.kind(), format!("journal {}: {why}{remedy}", folder.display()))
        })
    }

    fn open_as_is(
        folder: &Path,
        mode: SyncMode,
        disk: Box<dyn Disk>,
        replay: impl FnOnce() -> io::Result<Replayed>,
    ) -> io::Result<(Journal, Replayed)> {
        create(folder, mode, &*disk)?;
        let lock = lock(folder)?;
        compact::remove_unfinished(folder)?;
        replay::lower(folder, &*disk)?;
        let mut replayed = replay()?;
        let parts = std::mem::take(&mut replayed.parts);
        // What was read counts from now on, and what comes next may vouch for it; it may not have been on
        // the disk before a crash.
        parts.iter().try_for_each(|part| disk.sync_file(&part.path))?;
        let highest = parts.iter().map(|part| part.number).max().unwrap_or(0);
        let number = highest.max(replay::last_number(folder)?) + 1;
        let path = segment::path_of(folder, number);
        let file = disk.create(&path)?;
        disk.sync_folder(folder)?;
        let active = Active {
            open: Some(Arc::new(Open::new(number, path, file))),
            closing: Vec::new(),
            parts,
            number,
            uncut: Vec::new(),
            syncing: false,
            rest_until: None,
            is_idle: false,
        };
        let journal = Journal {
            folder: folder.to_owned(),
            is_strict: mode == SyncMode::Always,
            is_synced: AtomicBool::new(mode == SyncMode::Second),
            disk,
            active: Mutex::new(active),
            synced: Condvar::new(),
            due: Condvar::new(),
            settling: RwLock::new(()),
            syncs: Times::default(),
            pace: Pace::default(),
            failures: AtomicU64::default(),
            degraded: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            hastened: AtomicBool::new(false),
            later: replayed.later.all(),
            compact_rest: Timing::default().compact_rest,
            lock: Mutex::new(lock),
        };
        Ok((journal, replayed))
    }
}

/// What to do where a journal cannot be opened. None where the error says it itself.
fn remedy(folder: &Path, why: &io::Error) -> Option<String> {
    match why.kind() {
        io::ErrorKind::AddrInUse | io::ErrorKind::InvalidData => None,
        io::ErrorKind::PermissionDenied => who::unwritable(folder, why),
        io::ErrorKind::ReadOnlyFilesystem => Some(
            "have data_dir in herd.conf name a folder that may be written: for the packaged unit that is /var/lib/herd".into(),
        ),
        _ => Some("data_dir = \"\" in herd.conf keeps nothing on disk".into()),
    }
}

/// Creates a folder and those above it that are missing, and makes their names last.
pub fn create(folder: &Path, mode: SyncMode, disk: &dyn Disk) -> io::Result<()> {
    let whole = std::path::absolute(folder)?;
    let missing = whole.ancestors().take_while(|level| !level.exists()).count();
    own::make_folders(folder)?;
    own::tighten_folder(folder)?;
    if mode == SyncMode::Never {
        return Ok(());
    }
    // All of them at every start: the one that created them may have ended before it synced them.
    for (level, parent) in whole.ancestors().skip(1).enumerate() {
        match disk.sync_folder(parent) {
            // One that may not be read is somebody else's, and was there before.
            Err(why) if level < missing && why.kind() != io::ErrorKind::PermissionDenied => {
                return Err(io::Error::new(why.kind(), format!("{}: {why}", parent.display())));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Keeps every other process out of a folder while what it returns is open.
pub fn lock(folder: &Path) -> io::Result<File> {
    let lock = own::open_or_create(&folder.join(LOCK))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|why| match io::Error::from(why) {
        why if why.kind() == io::ErrorKind::WouldBlock => {
            let why = "another process has it; is this server running already?";
            io::Error::new(io::ErrorKind::AddrInUse, why)
        }
        why => why,
    })?;
    Ok(lock)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_may_not_write_a_journal_is_not_told_to_keep_none() {
        let folder = tempfile::tempdir().expect("a folder");
        let check = |code: i32, hint: Option<&str>| {
            let found = remedy(folder.path(), &io::Error::from_raw_os_error(code));
            assert_eq!(found.is_some(), hint.is_some(), "{code}: {found:?}");
            assert!(
                found.clone().unwrap_or_default().contains(hint.unwrap_or_default()),
                "{code}: {found:?}"
            );
        };
        check(30, Some("for the packaged unit that is /var/lib/herd"));
        check(28, Some("data_dir = \"\" in herd.conf keeps nothing on disk"));
        // All in it is ours: it comes from elsewhere.
        check(13, None);
    }
}
