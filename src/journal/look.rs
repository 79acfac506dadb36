//! Once a second the journal's thread looks whether every file is where the next start will look for it,
//! as other programs rename, empty and remove files: rotation, clean-up, somebody at a terminal.

use std::fs;
use std::io;
use std::sync::PoisonError;

use super::{Found, Journal, open};

impl Journal {
    /// Degrades the journal when a part of it is gone: the healing writes all of it anew.
    pub(super) fn look(&self) {
        self.cut_refused();
        if self.is_degraded() {
            return;
        }
        let lost = self.hold_folder().err().or_else(|| self.misplaced());
        if let Some(why) = lost {
            // Of bad lines nothing could be written anew, so it is said once.
            self.active().parts.retain(|part| !part.is_held || part.misplaced(&*self.disk).is_none());
            self.give_up_for(&why);
        }
    }

    /// Why a part of it would not be read at the next start, if that is so.
    fn misplaced(&self) -> Option<io::Error> {
        let active = self.active();
        let written: Vec<_> = active.written().cloned().collect();
        let parts = active.parts.clone();
        drop(active);
        let disk = &*self.disk;
        let written = written.iter().find_map(|open| open.misplaced(disk));
        written.or_else(|| parts.iter().find_map(|part| part.misplaced(disk)))
    }

    /// Makes sure that the folder is there and that no other process uses it.
    ///
    /// # Errors
    /// One does, or the folder cannot be created again.
    pub(super) fn hold_folder(&self) -> io::Result<()> {
        let mut lock = self.lock.lock().unwrap_or_else(PoisonError::into_inner);
        let own = lock.metadata().map(|file| Found::of(&file).file);
        match fs::metadata(self.folder.join(open::LOCK)).map(|file| Found::of(&file).file) {
            Ok(found) if own.is_ok_and(|own| own == found) => return Ok(()),
            Err(why) if ![io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&why.kind()) => {
                // It says nothing of the lock, and the next write tells.
                return Ok(());
            }
            Ok(_) | Err(_) => {}
        }
        open::create(&self.folder, self.mode(), &*self.disk)?;
        *lock = open::lock(&self.folder)?;
        let folder = self.folder.display();
        log::warn!("journal {folder}: another program removed or replaced its lock file; it is locked again");
        Ok(())
    }
}
