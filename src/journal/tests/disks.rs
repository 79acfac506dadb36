//! Disks on which a journal is tested.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::super::{Disk, Found, RealDisk, Segment};

/// A disk on which operations fail from one on, as in a crash or when it is full.
#[derive(Clone)]
pub struct Failing {
    /// Operations left.
    pub left: Arc<AtomicUsize>,
    /// A full disk still removes what is on it; one that is gone does not.
    is_full: bool,
}

impl Failing {
    pub fn after(operations: usize) -> Failing {
        Failing { left: Arc::new(AtomicUsize::new(operations)), is_full: false }
    }

    pub fn full() -> Failing {
        Failing { is_full: true, ..Failing::after(usize::MAX) }
    }

    pub fn spend(&self) -> io::Result<()> {
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(|_| ()).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    pub fn is_spent(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    pub fn mend(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }
}

struct FailingSegment(Failing, Arc<dyn Segment>);

impl Disk for Failing {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        self.spend()?;
        Ok(Arc::new(FailingSegment(self.clone(), RealDisk.create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.spend()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.is_full {
            self.spend()?;
        }
        RealDisk.remove(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.spend()?;
        RealDisk.sync_folder(folder)
    }

    fn find(&self, path: &Path) -> io::Result<Found> {
        RealDisk.find(path)
    }
}

impl Segment for FailingSegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let FailingSegment(disk, segment) = self;
        if let Err(why) = disk.spend() {
            // A disk that fills takes a part of it.
            segment.append(&bytes[..bytes.len() / 2])?;
            return Err(why);
        }
        segment.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.spend()?;
        self.1.sync()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let FailingSegment(disk, segment) = self;
        if !disk.is_full {
            disk.spend()?;
        }
        segment.cut(bytes)
    }

    fn found(&self) -> io::Result<Found> {
        self.1.found()
    }
}

/// A disk on which a function is called before every operation, with its name and the file's, and may
/// fail it or take its time.
#[derive(Clone)]
pub struct Watched(Arc<Watch>);
pub type Watch = dyn Fn(&str, &str) -> io::Result<()> + Send + Sync;

struct WatchedSegment(Watched, String, Arc<dyn Segment>);

impl Watched {
    pub fn new(watch: impl Fn(&str, &str) -> io::Result<()> + Send + Sync + 'static) -> Box<Watched> {
        Box::new(Watched(Arc::new(watch)))
    }

    fn see(&self, what: &str, path: &Path) -> io::Result<String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (self.0)(what, &name).map(|()| name)
    }
}

impl Disk for Watched {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        let name = self.see("create", path)?;
        Ok(Arc::new(WatchedSegment(self.clone(), name, RealDisk.create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.see("rename", to).and_then(|_| RealDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.see("remove", path).and_then(|_| RealDisk.remove(path))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.see("sync_file", path).and_then(|_| RealDisk.sync_file(path))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.see("sync_folder", folder).and_then(|_| RealDisk.sync_folder(folder))
    }

    fn find(&self, path: &Path) -> io::Result<Found> {
        RealDisk.find(path)
    }
}

impl Segment for WatchedSegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let WatchedSegment(disk, name, segment) = self;
        (disk.0)("append", name).and_then(|()| segment.append(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let WatchedSegment(disk, name, segment) = self;
        (disk.0)("sync", name).and_then(|()| segment.sync())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let WatchedSegment(disk, name, segment) = self;
        (disk.0)("cut", name).and_then(|()| segment.cut(bytes))
    }

    fn found(&self) -> io::Result<Found> {
        self.2.found()
    }
}

/// A disk that fails at random, forgets what it could not sync, and at last loses power.
#[derive(Clone, Default)]
pub struct Moody(Arc<Mutex<Files>>);

#[derive(Default)]
pub struct Files {
    is_off: bool,
    /// From here on all goes well.
    is_calm: bool,
    /// How much of each file would survive a loss of power.
    synced: HashMap<PathBuf, u64>,
}

struct MoodySegment {
    disk: Moody,
    /// As it was created.
    path: PathBuf,
    file: File,
}

impl Moody {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().expect("unpoisoned")
    }

    /// Most operations go well, until the power is gone.
    pub fn spend(&self) -> io::Result<MutexGuard<'_, Files>> {
        std::thread::yield_now();
        let files = self.files();
        let fails = !files.is_calm && fastrand::u8(..30) == 0;
        if files.is_off || fails { Err(io::Error::other("EIO")) } else { Ok(files) }
    }

    pub fn calm(&self) {
        self.files().is_calm = true;
    }

    /// What was synced stays, and perhaps some more.
    pub fn lose_power(&self) {
        let mut files = self.files();
        files.is_off = true;
        for (path, &synced) in &files.synced {
            if let Ok(file) = File::options().write(true).open(path) {
                let length = file.metadata().expect("found").len();
                file.set_len(fastrand::u64(synced..=length.max(synced))).expect("cut");
            }
        }
    }
}

impl Disk for Moody {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        let mut files = self.spend()?;
        let file = File::options().append(true).create_new(true).open(path)?;
        files.synced.insert(path.to_owned(), 0);
        Ok(Arc::new(MoodySegment { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.spend()?;
        let length = files.synced.remove(from).expect("it was created");
        files.synced.insert(to.to_owned(), length);
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let _files = self.spend()?;
        RealDisk.remove(path)
    }

    fn sync_file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.spend().map(drop)
    }

    fn find(&self, path: &Path) -> io::Result<Found> {
        RealDisk.find(path)
    }
}

impl Segment for MoodySegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let half = &bytes[..bytes.len() / 2];
        let _files = self.disk.spend().inspect_err(|_| {
            let files = self.disk.files();
            if !files.is_off {
                self.file.append(half).expect("written");
            }
        })?;
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        // Others append meanwhile, and perhaps the power goes.
        std::thread::sleep(Duration::from_micros(fastrand::u64(..600)));
        match self.disk.spend() {
            Ok(mut files) => {
                // It may have been cut meanwhile.
                let length = length.min(self.file.metadata()?.len());
                files.synced.insert(self.path.clone(), length);
                Ok(())
            }
            Err(why) => {
                let files = self.disk.files();
                if !files.is_off {
                    // The system drops what it could not write, and says so once.
                    self.file.set_len(files.synced.get(&self.path).copied().unwrap_or(0))?;
                }
                Err(why)
            }
        }
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        let mut files = self.disk.spend()?;
        self.file.cut(bytes)?;
        if let Some(synced) = files.synced.get_mut(&self.path) {
            *synced = bytes.min(*synced);
        }
        Ok(())
    }

    fn found(&self) -> io::Result<Found> {
        self.file.found()
    }
}
