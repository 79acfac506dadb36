//! Compaction: the whole store as one segment in the place of all that came before. A new segment
//! is begun first, so that whatever is learned meanwhile is in it or in the store that is written;
//! the older ones go last, so that a crash at any point leaves everything in one or the other.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::{Entries, Journal, Lines, SyncMode, replay, segment_path};
use crate::limits::{COMPACT_BYTES_PER_S, COMPACT_MIN_BYTES};

/// Written under this name until it is whole.
const UNFINISHED: &str = "unfinished";

/// Bytes gathered for a write.
const CHUNK: usize = 64 * 1024;

/// Whether segments of so many bytes hold too much that is past.
pub fn is_due(bytes: u64, live_bytes: u64) -> bool {
    bytes >= COMPACT_MIN_BYTES && bytes > 2 * live_bytes
}

/// Removes what a compaction left that did not end.
pub fn remove_unfinished(folder: &Path) -> io::Result<()> {
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.extension() == Some(OsStr::new(UNFINISHED)) {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

impl Journal {
    /// Writes the store in the place of all segments; heals a journal that is degraded.
    pub(super) fn compact(&self, lines: &Lines<'_>) {
        let begun = Instant::now();
        match self.try_compact(lines) {
            Ok((bytes, failures)) => {
                let ms = begun.elapsed().as_millis();
                let active = self.active();
                if active.segment.is_none() || active.failures != failures {
                    // It failed anew meanwhile: it stays degraded, and this is done again.
                    return;
                }
                let healed = self.degraded.swap(false, Ordering::SeqCst);
                drop(active);
                let what = if healed { "can be written again, and was compacted" } else { "was compacted" };
                log::info!("journal {} {what} to {bytes} bytes in {ms} ms", self.folder.display());
            }
            // While it is degraded this is tried every second, and was logged.
            Err(_) if self.is_degraded() => {}
            Err(why) => self.degrade(&mut self.active(), &why),
        }
    }

    /// Returns the bytes written, and how often the journal had failed when it began.
    fn try_compact(&self, lines: &Lines<'_>) -> io::Result<(u64, u64)> {
        let (first_new, failures) = self.begin_segment()?;
        let snapshot = first_new - 1;
        let unfinished = self.folder.join(format!("{snapshot:08}.{UNFINISHED}"));
        let written = self.write_snapshot(&unfinished, lines).inspect_err(|_| {
            // It is removed at the next start at the latest.
            let _ = self.disk.remove(&unfinished);
            self.take_back(first_new);
        })?;
        self.disk.rename(&unfinished, &segment_path(&self.folder, snapshot))?;
        self.disk.sync_folder(&self.folder)?;
        for (number, path) in replay::segments(&self.folder)? {
            if number < snapshot {
                self.disk.remove(&path)?;
            }
        }
        Ok((written, failures))
    }

    /// Appends go to a new segment from here on; the number before it is left for the snapshot.
    fn begin_segment(&self) -> io::Result<(u64, u64)> {
        let mut active = self.active();
        let (before, number) = (active.number, active.number + 2);
        let path = segment_path(&self.folder, number);
        let segment = self.disk.create(&path)?;
        // The name is taken now, whatever comes of it.
        active.number = number;
        // What is in the old one is in the store, too; but until that is written it counts.
        let sync_old = || active.segment.as_ref().map_or(Ok(()), |old| old.sync());
        if let Err(why) = self.disk.sync_folder(&self.folder).and_then(|()| sync_old()) {
            if self.disk.remove(&path).is_ok() {
                active.number = before;
            }
            return Err(why);
        }
        active.segment = Some(segment);
        active.synced = active.appended;
        active.bytes = 0;
        Ok((number, active.failures))
    }

    /// Removes the segment of a compaction that failed, if nothing is in it, so that trying again does
    /// not leave one a second.
    fn take_back(&self, number: u64) {
        let mut active = self.active();
        let path = segment_path(&self.folder, number);
        let is_empty = fs::metadata(&path).is_ok_and(|found| found.len() == 0);
        if self.is_degraded() && is_empty && active.number == number && self.disk.remove(&path).is_ok() {
            active.segment = None;
            active.number -= 2;
        }
    }

    fn write_snapshot(&self, path: &Path, lines: &Lines<'_>) -> io::Result<u64> {
        let file = self.disk.create(path)?;
        let (begun, mut written, mut entries) = (Instant::now(), 0, Entries::default());
        let mut synced_at = begun;
        let mut flush = |entries: &mut Entries| -> io::Result<()> {
            file.append(&entries.0)?;
            written += entries.0.len() as u64;
            entries.clear();
            // At a pace that leaves the disk and a core to the clients.
            let due = Duration::from_secs_f64(written as f64 / COMPACT_BYTES_PER_S as f64);
            std::thread::sleep(due.saturating_sub(begun.elapsed()));
            // What is learned meanwhile lasts as soon as at any other time.
            if self.mode == SyncMode::Second && synced_at.elapsed() >= Duration::from_secs(1) {
                self.sync();
                synced_at = Instant::now();
            }
            Ok(())
        };
        lines(&mut |line| {
            entries.push(line);
            if entries.0.len() >= CHUNK { flush(&mut entries) } else { Ok(()) }
        })?;
        flush(&mut entries)?;
        file.sync()?;
        self.active().bytes += written;
        Ok(written)
    }
}
