//! When what was appended is on the disk, and what becomes of it when it does not get there.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::segment::Open;
use super::{Active, Journal, NotKept, SyncMode};

impl Journal {
    /// Makes everything appended so far last.
    pub fn sync(&self) {
        let active = self.active();
        if let Some(open) = active.open.clone() {
            let end = open.appended();
            // A failure is logged and leaves the journal degraded.
            let _ = self.sync_up_to(active, &open, end);
        }
    }

    /// The sync of every second, in the mode of that name.
    pub(super) fn sync_where_due(&self) {
        if self.mode() == SyncMode::Second && !self.is_degraded() {
            self.sync();
        }
    }

    /// Has the journal's thread wait until it is to look again: for a tick, or longer while there is nothing to do. False
    /// when the server stops.
    pub fn rest(&self, tick: Duration, idle: Duration) -> bool {
        let begun = Instant::now();
        let mut active = self.active();
        let is_synced =
            self.mode() != SyncMode::Second || active.written().all(|open| open.safe() >= open.appended());
        let has_work =
            self.is_degraded() || self.hastened.load(Ordering::SeqCst) || active.rest_until.is_some();
        active.is_idle = is_synced && !has_work;
        let mut until = begun + if active.is_idle { idle } else { tick };
        loop {
            if self.stopping.load(Ordering::SeqCst) {
                return false;
            }
            let now = Instant::now();
            if !active.is_idle {
                // What came meanwhile is done a tick after it came.
                until = until.min(now + tick);
            }
            if now >= until {
                active.is_idle = false;
                return true;
            }
            let waited = self.due.wait_timeout(active, until - now);
            active = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Returns when so many bytes of a segment are on the disk. One sync serves all who wait for one.
    pub(super) fn sync_up_to<'a>(
        &'a self,
        mut active: MutexGuard<'a, Active>,
        open: &Open,
        end: u64,
    ) -> Result<(), NotKept> {
        loop {
            if open.safe() >= end {
                return Ok(());
            }
            if open.is_lost() {
                return Err(NotKept);
            }
            active = if active.syncing { self.wait(active) } else { self.sync_next(active) };
        }
    }

    /// Waits for the end of the sync that somebody is in.
    pub(super) fn wait<'a>(&self, active: MutexGuard<'a, Active>) -> MutexGuard<'a, Active> {
        self.synced.wait(active).unwrap_or_else(PoisonError::into_inner)
    }

    /// Syncs the oldest segment that is not whole on the disk. Nobody else is in a sync; meanwhile others
    /// append.
    fn sync_next<'a>(&'a self, mut active: MutexGuard<'a, Active>) -> MutexGuard<'a, Active> {
        let Some(open) = active.written().next().cloned() else { return active };
        active.syncing = true;
        let covered = open.appended();
        drop(active);
        let begun = Instant::now();
        // Nobody is told of a report that the next start would not find.
        let done = open.file.sync().and_then(|()| match self.is_strict() {
            true => open.misplaced(&*self.disk).map_or(Ok(()), Err),
            false => Ok(()),
        });
        active = self.active();
        self.syncs.take(1, begun.elapsed());
        match done {
            Ok(()) => {
                open.save(covered);
                active.settle_closed();
            }
            // The system tells only once, and what it could not write may be gone.
            Err(why) => active = self.give_up(active, &why),
        }
        active.syncing = false;
        self.synced.notify_all();
        active
    }

    /// A write failed: its segment gets no more. What was appended before is still synced for those who
    /// wait; what was written of this is taken off.
    pub(super) fn close_failed(&self, active: &mut Active, why: &io::Error) {
        if let Some(open) = active.open.take() {
            if open.file.cut(open.appended()).is_err() {
                active.uncut.push((open.clone(), open.appended()));
            }
            active.closing.push(open);
            active.settle_closed();
        }
        self.degrade(why);
    }

    /// Gives up what is not safe of every segment that is written. Whoever waits for it hears of that only
    /// when a restart would not find it any more, as far as the disk can be brought to that.
    fn give_up<'a>(&'a self, mut active: MutexGuard<'a, Active>, why: &io::Error) -> MutexGuard<'a, Active> {
        let mut lost = std::mem::take(&mut active.closing);
        lost.extend(active.open.take());
        self.degrade(why);
        drop(active);
        let uncut = lost.iter().filter(|open| self.is_strict() && !cut(open, open.safe()));
        let uncut: Vec<_> = uncut.map(|open| (open.clone(), open.safe())).collect();
        let mut active = self.active();
        active.uncut.extend(uncut);
        for open in lost {
            open.lose();
            active.parts.push(open.part());
        }
        active
    }

    /// The same, because of something that was found rather than by a sync.
    pub(super) fn give_up_for(&self, why: &io::Error) {
        let mut active = self.active();
        while active.syncing {
            active = self.wait(active);
        }
        active.syncing = true;
        active = self.give_up(active, why);
        active.syncing = false;
        self.synced.notify_all();
    }

    /// Takes off what was refused, where that failed before.
    pub(super) fn cut_refused(&self) {
        let uncut = std::mem::take(&mut self.active().uncut);
        let left: Vec<_> = uncut.into_iter().filter(|(open, bytes)| !cut(open, *bytes)).collect();
        self.active().uncut.extend(left);
    }

    fn degrade(&self, why: &io::Error) {
        self.failures.fetch_add(1, Ordering::Relaxed);
        if !self.degraded.swap(true, Ordering::SeqCst) {
            let rest = if self.is_strict() {
                "refusing reports until it can be written again"
            } else {
                "still answering, but reports are in memory only until it can be written again, and phones are asked to send theirs again"
            };
            log::error!("journal {} is degraded: {why}; {rest}", self.folder.display());
        }
    }
}

/// Cuts a segment to so many bytes, and says whether that lasts.
fn cut(open: &Open, bytes: u64) -> bool {
    open.file.cut(bytes).and_then(|()| open.file.sync()).is_ok()
}

impl Active {
    /// Notes which segments that get no more are whole on the disk.
    pub(super) fn settle_closed(&mut self) {
        let is_whole = |open: &mut Arc<Open>| open.safe() == open.appended();
        let whole: Vec<_> = self.closing.extract_if(.., is_whole).collect();
        self.parts.extend(whole.iter().map(|open| open.part()));
    }
}
