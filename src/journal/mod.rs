//! What outlasts a restart: the AT line of every record that was news, in files of a folder of the
//! server's own. Workers append, the journal's thread syncs, compacts and looks after the files, the
//! start replays them. It may touch files, `limits` and `logging`, and knows no record: it keeps lines.

mod aside;
mod blocks;
mod compact;
mod disk;
mod entry;
mod later;
mod look;
mod open;
mod pace;
mod replay;
mod segment;
mod syncing;

use std::borrow::Cow;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

pub use blocks::{Other, scan};
pub use disk::{Disk, Found, RealDisk, Segment};
pub use entry::{EXTRA as ENTRY_EXTRA, Entries, Share, head};
use pace::Pace;
pub use replay::Replayed;
use segment::{Open, Part};

pub use crate::limits::SyncMode;
use crate::tally::{SummedTimes, Times};

/// The journal of one server.
pub struct Journal {
    folder: PathBuf,
    /// What is promised before it is on the disk, or not: for as long as it is open.
    is_strict: bool,
    /// It is synced once a second.
    is_synced: AtomicBool,
    disk: Box<dyn Disk>,
    /// Held while an entry is written, so that a write that fails half-way is followed by none. A
    /// disk that stalls stalls those who write, as it would without the lock.
    active: Mutex<Active>,
    /// A sync has ended, or there is nothing to wait for any more.
    synced: Condvar,
    /// Something is to be done before the journal's thread has rested as long as it may.
    due: Condvar,
    /// Held for reading from before an entry is written until what it says is known.
    settling: RwLock<()>,
    /// How long its syncs took, of which there is one at a time.
    syncs: Times,
    /// Whether its disk keeps those waiting who append.
    pace: Pace,
    /// Writes and syncs that failed.
    failures: AtomicU64,
    /// It cannot be written: nothing of what is learned is kept.
    degraded: AtomicBool,
    /// The server stops, and a compaction is not worth its wait.
    stopping: AtomicBool,
    /// It holds what is to be forgotten, and is to be compacted soon.
    hastened: AtomicBool,
    /// Entries of later versions, for them.
    later: Vec<u8>,
    /// After a compaction that failed, how long until the next try.
    compact_rest: Duration,
    /// Keeps a second process out for as long as it is open. Only the journal's thread changes it.
    lock: Mutex<File>,
}

struct Active {
    /// None while it cannot be written.
    open: Option<Arc<Open>>,
    /// Those before that get no more, until all of each is on the disk; the oldest first.
    closing: Vec<Arc<Open>>,
    /// Those before.
    parts: Vec<Part>,
    /// The highest number that is taken.
    number: u64,
    /// Segments that failed and are to be cut to so many bytes, behind which are reports that were refused.
    uncut: Vec<(Arc<Open>, u64)>,
    /// Somebody is in a sync, which whoever wants to sync waits for.
    syncing: bool,
    /// No compaction before this, as the last one failed.
    rest_until: Option<Instant>,
    /// The journal's thread rests for long, as there was nothing to do.
    is_idle: bool,
}

/// Calls what it is given with every line that is to be kept.
pub type Lines<'a> = dyn Fn(&mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> + Sync + 'a;

/// Something could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKept;

impl Journal {
    /// The same, with another rest after a compaction that failed.
    pub fn resting(self, compact_rest: Duration) -> Journal {
        Journal { compact_rest, ..self }
    }

    /// Whether nothing may be acknowledged that is not on the disk.
    pub fn is_strict(&self) -> bool {
        self.is_strict
    }

    /// How safe what is kept is.
    pub fn mode(&self) -> SyncMode {
        match (self.is_strict, self.is_synced.load(Ordering::Relaxed)) {
            (true, _) => SyncMode::Always,
            (false, true) => SyncMode::Second,
            (false, false) => SyncMode::Never,
        }
    }

    /// Has it synced once a second from now on, or not; one that is strict stays so, and no other becomes strict.
    pub fn set_mode(&self, mode: SyncMode) {
        self.is_synced.store(mode == SyncMode::Second, Ordering::Relaxed);
    }

    /// Whether it cannot be written now.
    pub fn is_degraded(&self) -> bool {
        self.degraded.load(Ordering::SeqCst)
    }

    /// Whether what it could not write was acknowledged all the same.
    pub fn has_broken_promises(&self) -> bool {
        self.is_degraded() && !self.is_strict()
    }

    /// How large its files are. None while somebody writes to them, for which nobody has to wait.
    pub fn bytes(&self) -> Option<u64> {
        self.active.try_lock().ok().map(|active| active.bytes())
    }

    /// Whether its disk has lately kept somebody waiting who appended, which others need not share.
    pub fn is_slow(&self) -> bool {
        self.pace.is_slow()
    }

    /// How long its syncs took.
    pub fn syncs(&self) -> SummedTimes {
        self.syncs.summed()
    }

    /// How often it could not be written.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }

    /// Appends entries in one write, and calls `settle` when they are as safe as the mode says, or
    /// cannot be. What becomes known only in `settle` is known before a compaction looks.
    pub fn keep<'a, T>(
        &self,
        share: impl Into<Share<'a>>,
        settle: impl FnOnce(Result<(), NotKept>) -> T,
    ) -> T {
        let settling = self.is_strict().then(|| self.settling.read().unwrap_or_else(PoisonError::into_inner));
        let settled = settle(self.append(share));
        drop(settling);
        settled
    }

    /// Appends entries in one write, and returns when they are as safe as the mode says.
    ///
    /// # Errors
    /// They are not; from here on the journal is degraded until it is compacted. In the strict mode no
    /// report among them is in a segment that outlasts that.
    fn append<'a>(&self, share: impl Into<Share<'a>>) -> Result<(), NotKept> {
        let share = share.into();
        if share.all.is_empty() {
            return Ok(());
        }
        let mut active = self.active();
        if std::mem::take(&mut active.is_idle) {
            self.due.notify_one();
        }
        let Some(open) = active.open.clone() else { return Err(NotKept) };
        // Decided under the lock, as it was said of none of them before: while it is healed a strict
        // journal takes no report, because it could not promise to have it.
        let is_refusing = self.is_strict() && self.is_degraded();
        let bytes = if is_refusing {
            share.heard
        } else if self.is_degraded() || !active.closing.is_empty() {
            // Records that this would vouch for may not be on the disk when it is.
            share.records
        } else {
            share.all
        };
        let bytes = match open.is_fresh() && !bytes.is_empty() {
            true => Cow::Owned([&later::first(), bytes].concat()),
            false => Cow::Borrowed(bytes),
        };
        open.begin(bytes.len());
        // Not the wait for the lock: of that, whoever has it tells.
        let begun = Instant::now();
        if let Err(why) = open.file.append(&bytes) {
            self.close_failed(&mut active, &why);
            return Err(NotKept);
        }
        let end = open.grow(bytes.len());
        let kept = match self.is_strict() {
            true if is_refusing => Err(NotKept),
            true => self.sync_up_to(active, &open, end),
            false => Ok(()),
        };
        self.pace.note(begun);
        kept
    }

    /// Once a second: syncs, where the mode says so, looks after the files, and compacts what has grown,
    /// or what is to be healed. `live_bytes` is what the records themselves take; `lines` writes them all.
    pub fn tend(&self, live_bytes: u64, lines: &Lines<'_>) {
        self.look();
        self.sync_where_due();
        let active = self.active();
        let rests = active.rest_until.is_some_and(|until| Instant::now() < until);
        let live_bytes = live_bytes + self.later.len() as u64;
        let is_large = compact::is_due(active.segments(), active.bytes(), live_bytes);
        drop(active);
        let is_due = !rests && (is_large | self.hastened.swap(false, Ordering::SeqCst));
        if self.is_degraded() || is_due {
            self.compact(lines);
        }
    }

    /// Has it compacted soon, whatever its size: it holds what is to be forgotten.
    pub fn hasten(&self) {
        self.hastened.store(true, Ordering::SeqCst);
        if std::mem::take(&mut self.active().is_idle) {
            self.due.notify_one();
        }
    }

    /// Has a compaction end where it is, and the journal's thread rest no more.
    pub fn stop(&self) {
        let active = self.active();
        self.stopping.store(true, Ordering::SeqCst);
        drop(active);
        self.due.notify_one();
    }

    /// At the end, after the last that is appended: makes all last. What would not be found at the next
    /// start, or could not be written, is written once more.
    pub fn finish(&self, lines: &Lines<'_>) {
        self.sync();
        self.look();
        if self.is_degraded() {
            self.compact(lines);
        }
    }

    fn active(&self) -> MutexGuard<'_, Active> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Active {
    /// The segments that are not yet whole on the disk, the oldest first.
    fn written(&self) -> impl Iterator<Item = &Arc<Open>> {
        self.closing.iter().chain(&self.open)
    }

    /// How many segments a compaction can take the place of.
    fn segments(&self) -> usize {
        self.parts.iter().filter(|part| !part.is_held).count() + self.written().count()
    }

    /// Bytes of all segments that a compaction can take the place of.
    fn bytes(&self) -> u64 {
        let closed: u64 = self.parts.iter().filter(|part| !part.is_held).map(|part| part.bytes).sum();
        closed + self.written().map(|open| open.appended()).sum::<u64>()
    }
}

#[cfg(test)]
mod tests;
