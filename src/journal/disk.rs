//! The few things a journal does with a disk, so that a test can have them fail.

use std::fs::{self, File, Metadata};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

use crate::files::{self, own};

/// A folder's file system.
pub trait Disk: Send + Sync {
    /// Creates a file that must not exist yet.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Returns when what is in a file is on the disk, whoever wrote it.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// Makes what was created, renamed and removed in a folder last.
    fn sync_folder(&self, folder: &Path) -> io::Result<()>;
    /// What a path leads to.
    fn find(&self, path: &Path) -> io::Result<Found>;
}

/// A file that is only appended to.
pub trait Segment: Send + Sync {
    fn append(&self, bytes: &[u8]) -> io::Result<()>;
    /// Returns when what was appended is on the disk.
    fn sync(&self) -> io::Result<()>;
    /// Drops all but so many bytes.
    fn cut(&self, bytes: u64) -> io::Result<()>;
    /// What it is, wherever its name leads by now.
    fn found(&self) -> io::Result<Found>;
}

/// A file as it is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Which one: its device and its inode.
    pub file: (u64, u64),
    pub bytes: u64,
}

impl Found {
    pub fn of(file: &Metadata) -> Found {
        Found { file: (file.dev(), file.ino()), bytes: file.len() }
    }
}

/// The real one.
pub struct RealDisk;

impl Disk for RealDisk {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        Ok(Arc::new(own::create(path)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        files::open(path)?.sync_data()
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        File::open(folder)?.sync_all()
    }

    fn find(&self, path: &Path) -> io::Result<Found> {
        fs::metadata(path).map(|file| Found::of(&file))
    }
}

impl Segment for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&*self).write_all(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        // Never longer than it is, should somebody have cut it, too.
        if self.metadata()?.len() > bytes { self.set_len(bytes) } else { Ok(()) }
    }

    fn found(&self) -> io::Result<Found> {
        self.metadata().map(|file| Found::of(&file))
    }
}
