//! A simulated disk: real files in memory, and how much of each is on the disk when power is lost.

use std::fs::OpenOptions;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use fastrand::Rng;
use herd::journal::{Disk, Found, RealDisk, Segment};

/// One server's disk, of one start.
#[derive(Clone, Default)]
pub struct SimDisk {
    /// Whether its journal is to promise only what is on it.
    pub is_strict: bool,
    files: Arc<Mutex<Vec<Written>>>,
}

/// A file, and how many bytes of it are on the disk.
type Written = (PathBuf, Arc<AtomicU64>);

struct SimSegment {
    file: Arc<dyn Segment>,
    /// Bytes that are on the disk.
    synced: Arc<AtomicU64>,
}

impl SimDisk {
    pub fn new(is_strict: bool) -> SimDisk {
        SimDisk { is_strict, ..SimDisk::default() }
    }

    /// Loses some of what was not synced; says whether that was anything.
    pub fn lose_power(&self, random: &mut Rng) -> bool {
        let mut has_lost = false;
        for (path, synced) in self.files.lock().expect("no panic before").iter() {
            let Ok(file) = OpenOptions::new().write(true).open(path) else { continue };
            let length = file.metadata().map_or(0, |file| file.len());
            let kept = random.u64(synced.load(Ordering::SeqCst).min(length)..=length);
            has_lost |= kept < length;
            file.set_len(kept).expect("cut");
        }
        has_lost
    }
}

impl Disk for SimDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        let synced = Arc::new(AtomicU64::new(0));
        self.files.lock().expect("no panic before").push((path.to_owned(), synced.clone()));
        Ok(Arc::new(SimSegment { file: RealDisk.create(path)?, synced }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        RealDisk.remove(path)
    }

    fn sync_file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn find(&self, path: &Path) -> io::Result<Found> {
        RealDisk.find(path)
    }
}

impl Segment for SimSegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.synced.store(self.file.found()?.bytes, Ordering::SeqCst);
        Ok(())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.file.cut(bytes)
    }

    fn found(&self) -> io::Result<Found> {
        self.file.found()
    }
}
