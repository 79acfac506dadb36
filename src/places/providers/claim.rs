//! The claim to read an extract: of servers that start at once one reads it, and the others wait for what it keeps. A
//! claim is the lock of the file that is then written, so that it ends with its process, however that ends. `extract`
//! takes it, `cache` writes to its file.

use std::cell::Cell;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::files::own;
use crate::limits::PLACES_CLAIM_LOOK_MS;

/// The claim of this process.
pub struct Claim {
    pub file: File,
    path: PathBuf,
    /// How often it was said that reading comes on.
    signs: Cell<u64>,
    is_done: bool,
}

/// What came of a claim.
pub enum Claimed {
    Here(Claim),
    /// Whoever had it is done with it, so that something may be kept now.
    Elsewhere,
    /// Whoever has it does not come on.
    Stuck,
}

impl Claim {
    /// Claims what is to be written to `path`. While somebody else has the claim it waits, as long as that one shows a
    /// sign of life within `patience`; `waits` is called once before that.
    ///
    /// # Errors
    /// The file cannot be made, or not be locked.
    pub fn of(path: &Path, patience: Duration, waits: &dyn Fn()) -> io::Result<Claimed> {
        let file = own::open_or_create(path)?;
        let (mut seen, mut since) = (None, Instant::now());
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK) => {}
                Err(why) => return Err(why.into()),
            }
            let signs = file.metadata()?.len();
            if seen.is_none() {
                waits();
            }
            if seen != Some(signs) {
                (seen, since) = (Some(signs), Instant::now());
            } else if since.elapsed() > patience {
                return Ok(Claimed::Stuck);
            }
            thread::sleep(Duration::from_millis(PLACES_CLAIM_LOOK_MS));
        }
        // Who is done has given the file another name, or removed it.
        if !is_at(&file, path) {
            return Ok(Claimed::Elsewhere);
        }
        Ok(Claimed::Here(Claim { file, path: path.to_owned(), signs: Cell::new(0), is_done: false }))
    }

    /// Shows those that wait that reading comes on: by the file's length, as clocks may be set.
    pub fn show_sign(&self) {
        self.signs.set(self.signs.get() + 1);
        // Where that is not possible, the others read for themselves.
        let _ = self.file.set_len(self.signs.get());
    }

    /// Gives the file, which is written, its name.
    pub fn finish(mut self, name: &Path) -> io::Result<()> {
        fs::rename(&self.path, name)?;
        self.is_done = true;
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if !self.is_done {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Whether a file still has this name.
fn is_at(file: &File, path: &Path) -> bool {
    let (here, there) = (file.metadata(), fs::symlink_metadata(path));
    here.is_ok_and(|here| there.is_ok_and(|there| (here.dev(), here.ino()) == (there.dev(), there.ino())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const LONG: Duration = Duration::from_secs(60);

    fn claim(path: &Path, patience: Duration) -> Claimed {
        Claim::of(path, patience, &|| {}).expect("a claim")
    }

    #[test]
    fn one_has_it_and_the_next_gets_it_when_that_is_gone() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = &folder.path().join("part");
        for is_finished in [false, true] {
            // One that was killed over it has left the file, and no lock.
            fs::write(path, "half").expect("written");
            let Claimed::Here(first) = claim(path, LONG) else { panic!("nobody has it") };
            assert!(matches!(claim(path, Duration::ZERO), Claimed::Stuck));
            thread::scope(|scope| {
                let (waits, waiting) = mpsc::channel();
                let next = scope.spawn(move || {
                    Claim::of(path, LONG, &|| waits.send(()).expect("heard")).expect("a claim")
                });
                waiting.recv().expect("it waits");
                first.show_sign();
                match is_finished {
                    true => first.finish(&folder.path().join("kept")).expect("renamed"),
                    false => drop(first),
                }
                assert!(matches!(next.join().expect("no panic"), Claimed::Elsewhere));
            });
            assert!(!path.exists() && folder.path().join("kept").exists() == is_finished);
            assert!(matches!(claim(path, LONG), Claimed::Here(_)));
        }
    }

    #[test]
    fn one_that_does_not_come_on_is_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("part");
        let _first = claim(&path, LONG);
        let begun = Instant::now();
        assert!(matches!(claim(&path, Duration::from_millis(200)), Claimed::Stuck));
        assert!(begun.elapsed() >= Duration::from_millis(200));
    }
}
