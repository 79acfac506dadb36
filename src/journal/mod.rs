//! What outlasts a restart: the AT line of every record that was news, in files of a folder of the
//! server's own. Workers append, the keeper syncs and compacts, the start replays.

mod compact;
mod disk;
mod entry;
mod replay;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};

use crate::limits::Timing;
pub use disk::{Disk, RealDisk, Segment};
pub use entry::{EXTRA as ENTRY_EXTRA, Entries};
pub use replay::{Replayed, scan};

/// When what was appended is on the disk: what an AT reply promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// Before the reply.
    Always,
    /// Within a second; a crash of the process loses nothing.
    Second,
    /// When the system likes; a crash of the process loses nothing.
    Never,
}

/// The journal of one server.
pub struct Journal {
    folder: PathBuf,
    mode: SyncMode,
    disk: Box<dyn Disk>,
    /// Held while an entry is written, so that a write that fails half-way is followed by none. A
    /// disk that stalls stalls those who write, as it would without the lock.
    active: Mutex<Active>,
    /// A sync has ended.
    synced: Condvar,
    /// Held for reading from before an entry is written until what it says is known.
    settling: RwLock<()>,
    /// It cannot be written: nothing of what is learned is kept.
    degraded: AtomicBool,
    /// The server stops, and a compaction is not worth its wait.
    stopping: AtomicBool,
    /// After a compaction that failed, how long until the next try.
    compact_rest: Duration,
    /// Segments whose bad lines are nowhere else.
    held: Vec<u64>,
    /// Keeps a second process out for as long as it is open.
    _lock: File,
}

struct Active {
    /// Nothing while it cannot be written.
    segment: Option<Arc<dyn Segment>>,
    number: u64,
    /// Of all segments.
    bytes: u64,
    /// Appends so far, and how many of them are on the disk.
    appended: u64,
    synced: u64,
    /// Somebody is in a sync, which whoever wants to sync or to change the segment waits for.
    syncing: bool,
    /// No compaction before this, as the last one failed.
    rest_until: Option<Instant>,
    /// How often it could not be written.
    failures: u64,
}

/// Calls what it is given with every line that is to be kept.
pub type Lines<'a> = dyn Fn(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> + Sync + 'a;

/// Something could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKept;

impl Journal {
    /// Opens the journal of a folder, which is created if need be, and hands every line in it to
    /// `take`, which says whether it knows what it is. Appending begins a new segment.
    ///
    /// # Errors
    /// Another process has it, or the folder cannot be read or written; the message says which.
    pub fn open(
        folder: &Path,
        mode: SyncMode,
        disk: Box<dyn Disk>,
        take: impl FnMut(&[u8]) -> bool,
    ) -> io::Result<(Journal, Replayed)> {
        let explain = |why: io::Error| {
            let remedy = "; data_dir = \"\" in herd.conf keeps nothing on disk";
            io::Error::new(why.kind(), format!("journal {}: {why}{remedy}", folder.display()))
        };
        fs::create_dir_all(folder).map_err(explain)?;
        if mode != SyncMode::Never {
            // The folder's own name has to last, too, and that of the one it is in.
            for parent in folder.ancestors().skip(1).take(2) {
                let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
                match disk.sync_folder(parent) {
                    // One that may not be read is somebody else's, and was there before.
                    Err(why) if why.kind() == io::ErrorKind::PermissionDenied => {}
                    done => done.map_err(explain)?,
                }
            }
        }
        let lock = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(folder.join("lock"))
            .map_err(explain)?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|why| {
            let why = io::Error::from(why);
            if why.kind() != io::ErrorKind::WouldBlock {
                return explain(why);
            }
            let why = format!(
                "journal {}: another process has it; is this server running already?",
                folder.display()
            );
            io::Error::new(io::ErrorKind::AddrInUse, why)
        })?;
        compact::remove_unfinished(folder).map_err(explain)?;
        let replayed = replay::replay(folder, take).map_err(explain)?;
        if mode != SyncMode::Never {
            // What was read counts from now on, and may not have been on the disk before a crash.
            let found = replay::segments(folder).map_err(explain)?;
            found.iter().try_for_each(|(_, path)| disk.sync_file(path)).map_err(explain)?;
        }
        let number = replay::segments(folder).map_err(explain)?.last().map_or(0, |(number, _)| *number) + 1;
        let segment = disk.create(&segment_path(folder, number)).map_err(explain)?;
        disk.sync_folder(folder).map_err(explain)?;
        let active = Active {
            segment: Some(segment),
            number,
            bytes: replayed.bytes,
            appended: 0,
            synced: 0,
            syncing: false,
            rest_until: None,
            failures: 0,
        };
        let journal = Journal {
            folder: folder.to_owned(),
            mode,
            disk,
            active: Mutex::new(active),
            synced: Condvar::new(),
            settling: RwLock::new(()),
            degraded: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            compact_rest: Timing::default().compact_rest,
            held: replayed.held.clone(),
            _lock: lock,
        };
        Ok((journal, replayed))
    }

    /// The same, with another rest after a compaction that failed.
    pub fn resting(self, compact_rest: Duration) -> Journal {
        Journal { compact_rest, ..self }
    }

    /// Whether nothing may be acknowledged that is not on the disk.
    pub fn is_strict(&self) -> bool {
        self.mode == SyncMode::Always
    }

    /// Whether it cannot be written now.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::SeqCst)
    }

    /// Appends entries in one write, and calls `settle` when they are as safe as the mode says, or
    /// cannot be. What becomes known only in `settle` is known before a compaction looks.
    pub fn keep<T>(&self, entries: &Entries, settle: impl FnOnce(Result<(), NotKept>) -> T) -> T {
        let settling = self.is_strict().then(|| self.settling.read().unwrap_or_else(PoisonError::into_inner));
        let settled = settle(self.append(entries));
        drop(settling);
        settled
    }

    /// Appends entries in one write, and returns when they are as safe as the mode says.
    ///
    /// # Errors
    /// They are not; from here on the journal is degraded until it is compacted.
    fn append(&self, entries: &Entries) -> Result<(), NotKept> {
        if entries.is_empty() {
            return Ok(());
        }
        let mut active = self.active();
        let Some(segment) = active.segment.clone() else { return Err(NotKept) };
        // While it is healed records are written, and nothing that vouches for those that were not.
        let is_healing = self.is_degraded();
        let bytes = if is_healing { entries.records() } else { entries.all() };
        if let Err(why) = segment.append(bytes) {
            // What was written of it is a cut end, as this segment gets no more.
            self.degrade(&mut active, &why);
            return Err(NotKept);
        }
        active.bytes += bytes.len() as u64;
        active.appended += 1;
        let ticket = active.appended;
        match self.is_strict() {
            true if is_healing => Err(NotKept),
            true => self.sync_up_to(active, ticket),
            false => Ok(()),
        }
    }

    /// Makes everything appended so far last.
    pub fn sync(&self) {
        let active = self.active();
        let ticket = active.appended;
        // A failure is logged and leaves the journal degraded.
        let _ = self.sync_up_to(active, ticket);
    }

    /// Once a second: syncs, where the mode says so, and compacts what has grown, or what is to be
    /// healed. `live_bytes` is what the records themselves take; `lines` writes them all.
    pub fn tend(&self, live_bytes: u64, lines: &Lines<'_>) {
        self.sync_where_due();
        let active = self.active();
        let rests = active.rest_until.is_some_and(|until| Instant::now() < until);
        let is_due = compact::is_due(active.bytes, live_bytes) && !rests;
        drop(active);
        if self.is_degraded() || is_due {
            self.compact(lines);
        }
    }

    /// Has a compaction end where it is.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
    }

    /// The sync of every second, in the mode of that name.
    fn sync_where_due(&self) {
        if self.mode == SyncMode::Second && !self.is_degraded() {
            self.sync();
        }
    }

    /// One sync serves all who wait for one.
    fn sync_up_to<'a>(&'a self, mut active: MutexGuard<'a, Active>, ticket: u64) -> Result<(), NotKept> {
        let failures = active.failures;
        while active.synced < ticket {
            let Some(segment) = active.segment.clone() else { return Err(NotKept) };
            if active.failures != failures {
                // It may have been in the segment that failed, and this is the one that heals it.
                return Err(NotKept);
            }
            if active.syncing {
                active = self.synced.wait(active).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            active = self.sync_segment(active, &*segment);
        }
        Ok(())
    }

    /// Syncs a segment that holds what was appended so far and is not synced yet. Nobody else is in a
    /// sync; meanwhile others append.
    fn sync_segment<'a>(
        &'a self,
        mut active: MutexGuard<'a, Active>,
        segment: &dyn Segment,
    ) -> MutexGuard<'a, Active> {
        active.syncing = true;
        let covered = active.appended;
        drop(active);
        let done = segment.sync();
        active = self.active();
        active.syncing = false;
        match done {
            Ok(()) => active.synced = active.synced.max(covered),
            // The system tells only once, and what it could not write may be gone.
            Err(why) => self.degrade(&mut active, &why),
        }
        self.synced.notify_all();
        active
    }

    fn degrade(&self, active: &mut Active, why: &io::Error) {
        active.segment = None;
        active.failures += 1;
        if !self.degraded.swap(true, Ordering::SeqCst) {
            let rest = if self.is_strict() {
                "refusing reports until it can be written again"
            } else {
                "serving on, and keeping nothing until it can be written again"
            };
            log::error!("journal {} is degraded: {why}; {rest}", self.folder.display());
        }
    }

    fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn segment_path(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.log"))
}

#[cfg(test)]
mod tests;
