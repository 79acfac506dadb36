//! Where the bad lines of a segment are kept: in a file beside it. `replay` finds them.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::files::own;

/// The file of one segment.
pub struct Aside {
    path: PathBuf,
    /// Nothing before the first; why it cannot be written, once that is so.
    file: io::Result<Option<File>>,
}

impl Aside {
    /// There is no file before there is a bad line.
    pub fn of(segment: &Path) -> Aside {
        let mut path = segment.as_os_str().to_owned();
        path.push(".bad");
        Aside { path: path.into(), file: Ok(None) }
    }

    pub fn keep(&mut self, line: &[u8]) {
        if let Err(why) = self.write(line) {
            self.file = Err(why);
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        let Ok(place) = &mut self.file else { return Ok(()) };
        let file = match place {
            Some(file) => file,
            // Anew at every start, as it is written from the same segment; whatever else has its name goes.
            None => {
                let _ = fs::remove_file(&self.path);
                place.insert(own::create(&self.path)?)
            }
        };
        file.write_all(line)?;
        file.write_all(b"\n")
    }

    /// Says what became of them, and whether all of them are kept.
    pub fn finish(self) -> bool {
        let path = self.path.display();
        match self.file.and_then(|file| file.map_or(Ok(false), |file| file.sync_all().map(|()| true))) {
            Ok(false) => true,
            Ok(true) => {
                log::warn!("bad lines of a segment are kept in {path}");
                true
            }
            Err(why) => {
                log::warn!("cannot write {path}: {why}; the segment with its bad lines stays as it is");
                false
            }
        }
    }
}
