//! Compaction: the whole store as one segment in the place of all that came before. A new segment
//! is begun first, so that whatever is learned meanwhile is in it or in the store that is written;
//! the older ones go last, so that a crash at any point leaves everything in one or the other.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded};

use super::segment::{Open, Part, UNFINISHED, path_of, unfinished_path_of};
use super::{Entries, Journal, Lines, NotKept, later, replay};
use crate::limits::{
    COMPACT_BYTES_PER_S, COMPACT_CHUNK_BYTES, COMPACT_FACTOR, COMPACT_MIN_BYTES, COMPACT_SYNC_EVERY,
    SEGMENTS_MAX,
};
use crate::thread;

/// Whether so many segments are too many, or hold too much that is past in so many bytes.
pub fn is_due(segments: usize, bytes: u64, live_bytes: u64) -> bool {
    segments > SEGMENTS_MAX || (bytes >= COMPACT_MIN_BYTES && bytes > COMPACT_FACTOR * live_bytes)
}

/// Removes what a compaction left that did not end.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let file = file?;
        let path = file.path();
        // A folder is none that herd left, and is in nobody's way.
        if path.extension() == Some(OsStr::new(UNFINISHED)) && !file.file_type()?.is_dir() {
            fs::remove_file(&path)
                .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))?;
        }
    }
    Ok(())
}

impl Journal {
    /// Writes the store in the place of all segments; heals a journal that is degraded.
    pub(super) fn compact(&self, lines: &Lines<'_>) {
        let begun = Instant::now();
        match self.try_compact(lines) {
            Ok(bytes) => {
                let ms = begun.elapsed().as_millis();
                let mut active = self.active();
                if active.open.is_none() {
                    // It failed anew meanwhile: it stays degraded, and this is done again.
                    return;
                }
                active.rest_until = None;
                let healed = self.degraded.swap(false, Ordering::SeqCst);
                drop(active);
                // The end of a warning is heard where the warning was.
                let (level, what) = match healed {
                    true => (log::Level::Warn, "can be written again, and was compacted"),
                    false => (log::Level::Info, "was compacted"),
                };
                log::log!(level, "journal {} {what} to {bytes} bytes in {ms} ms", self.folder.display());
            }
            // While it is degraded this is tried every second, and was logged.
            Err(_) if self.is_degraded() => {}
            Err(_) if self.stopping.load(Ordering::SeqCst) => {}
            // What is appended is kept all the same.
            Err(why) => {
                self.active().rest_until = Some(Instant::now() + self.compact_rest);
                let rest_s = self.compact_rest.as_secs_f64();
                let folder = self.folder.display();
                log::warn!(
                    "journal {folder} cannot be compacted: {why}; it keeps growing, and the next try is in {rest_s} s"
                );
            }
        }
    }

    /// Returns the bytes written.
    fn try_compact(&self, lines: &Lines<'_>) -> io::Result<u64> {
        // Only this thread ends a degradation, so what it finds now holds until then.
        let is_healing = self.is_degraded();
        self.hold_folder()?;
        let first_new = self.begin_segment()?;
        // What is in the older segments is known from here on.
        drop(self.settling.write().unwrap_or_else(PoisonError::into_inner));
        let snapshot = first_new - 1;
        let (unfinished, path) =
            (unfinished_path_of(&self.folder, snapshot), path_of(&self.folder, snapshot));
        // A healing waits for nobody: the system may have no thread to give, and while it lasts nothing is synced.
        let written = match is_healing {
            true => self.write_snapshot(&unfinished, lines),
            false => self.write_beside(&unfinished, lines),
        };
        let replaced = written.and_then(|written| {
            self.disk.rename(&unfinished, &path)?;
            self.disk.sync_folder(&self.folder)?;
            Ok(written)
        });
        let bytes = replaced.inspect_err(|_| {
            // It is removed at the next start at the latest.
            let _ = self.disk.remove(&unfinished);
            if is_healing {
                self.take_back(first_new);
            }
        })?;
        let file = self.disk.find(&path).ok().map(|found| found.file);
        self.active().parts.push(Part { number: snapshot, path, bytes, file, is_held: false });
        self.remove_before(snapshot)?;
        Ok(bytes)
    }

    /// Removes the segments that a snapshot takes the place of. What could not be removed counts on.
    fn remove_before(&self, snapshot: u64) -> io::Result<()> {
        let is_past = |part: &Part| part.number < snapshot && !part.is_held;
        let past: Vec<_> = self.active().parts.iter().filter(|part| is_past(part)).cloned().collect();
        let mut failed = Ok(());
        for part in past {
            match self.disk.remove(&part.path) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => failed = Err(why),
                Ok(()) | Err(_) => {
                    let mut active = self.active();
                    active.parts.retain(|other| other.path != part.path);
                    active.uncut.retain(|(other, _)| other.path != part.path);
                }
            }
        }
        failed
    }

    /// Appends go to a new segment from here on; the number before it is left for the snapshot. Returns
    /// when all before it is on the disk, as what is appended to it may vouch for that.
    fn begin_segment(&self) -> io::Result<u64> {
        // Somebody may have put back what he had taken away.
        let found = replay::last_number(&self.folder)?;
        let number = self.active().number.max(found) + 2;
        let path = path_of(&self.folder, number);
        let file = self.disk.create(&path)?;
        let named = self.disk.sync_folder(&self.folder);
        let mut active = self.active();
        while active.syncing {
            active = self.wait(active);
        }
        if let Err(why) = named {
            // The name is taken, unless it can be given back.
            if self.disk.remove(&path).is_err() {
                active.number = number;
            }
            return Err(why);
        }
        active.number = number;
        let old = active.open.replace(Arc::new(Open::new(number, path, file)));
        active.closing.extend(old);
        active.settle_closed();
        let Some(last) = active.closing.last().cloned() else { return Ok(number) };
        let end = last.appended();
        match self.sync_up_to(active, &last, end) {
            Ok(()) => Ok(number),
            Err(NotKept) => Err(io::Error::other("what came before it cannot be written")),
        }
    }

    /// Gives up the segment of a healing that failed: nothing in it is promised, and trying again must
    /// not leave one a second.
    fn take_back(&self, number: u64) {
        let mut active = self.active();
        let Some(open) = active.open.take_if(|open| open.number == number) else { return };
        open.lose();
        if self.disk.remove(&open.path).is_ok() {
            active.number -= 2;
        } else {
            active.parts.push(open.part());
        }
    }

    /// Writes the snapshot in a thread of its own, so that what is learned meanwhile lasts as soon as
    /// at any other time, however slow the disk takes the snapshot.
    fn write_beside(&self, path: &Path, lines: &Lines<'_>) -> io::Result<u64> {
        std::thread::scope(|scope| {
            let (done, waits) = bounded(1);
            let write = move || {
                // It fails only when nobody waits any more.
                let _ = done.send(self.write_snapshot(path, lines));
            };
            thread::spawn_scoped(scope, "compaction", write)?;
            loop {
                match waits.recv_timeout(COMPACT_SYNC_EVERY) {
                    Ok(written) => return written,
                    Err(RecvTimeoutError::Timeout) => self.sync_where_due(),
                    Err(RecvTimeoutError::Disconnected) => {
                        return Err(io::Error::other("the thread that wrote it ended"));
                    }
                }
            }
        })
    }

    fn write_snapshot(&self, path: &Path, lines: &Lines<'_>) -> io::Result<u64> {
        let file = self.disk.create(path)?;
        let first = [later::first(), self.later.clone()].concat();
        file.append(&first)?;
        let (begun, mut written, mut entries) = (Instant::now(), first.len() as u64, Entries::default());
        let mut flush = |entries: &mut Entries, is_last: bool| -> io::Result<()> {
            file.append(entries.all())?;
            written += entries.all().len() as u64;
            entries.clear();
            if is_last {
                return Ok(());
            }
            if self.stopping.load(Ordering::SeqCst) {
                // What is kept all the same is not worth the wait, and nobody is in the way of the rest.
                let is_healing = self.is_degraded();
                return if is_healing { Ok(()) } else { Err(io::Error::other("the server stops")) };
            }
            // At a pace that leaves the disk and a core to the clients.
            let due = Duration::from_secs_f64(written as f64 / COMPACT_BYTES_PER_S as f64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            Ok(())
        };
        lines(&mut |line| {
            entries.hear(line);
            if entries.all().len() >= COMPACT_CHUNK_BYTES { flush(&mut entries, false) } else { Ok(()) }
        })?;
        flush(&mut entries, true)?;
        file.sync()?;
        Ok(written)
    }
}
