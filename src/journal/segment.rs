//! The files of a journal: what they are called, the one that is written, and those that get no more.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::disk::{Disk, Segment};
use crate::limits::SEGMENT_DIGITS_MAX;

/// The ending of a segment's name. It is not `.log`, by which programs find what they rotate.
const ENDING: &str = "journal";

/// The ending that segments had before: they are read, and a compaction takes their place.
const OLD_ENDING: &str = "log";

/// The ending of a snapshot that is not whole yet.
pub const UNFINISHED: &str = "unfinished";

/// A segment that gets no more.
#[derive(Clone, Debug)]
pub struct Part {
    pub number: u64,
    pub path: PathBuf,
    pub bytes: u64,
    /// Which file it is, where that is known.
    pub file: Option<(u64, u64)>,
    /// It has lines that are nowhere else, so it is never removed.
    pub is_held: bool,
}

/// The segment that is appended to. What it counts changes only while the journal's lock is held.
pub struct Open {
    pub number: u64,
    pub path: PathBuf,
    pub file: Arc<dyn Segment>,
    /// Bytes of which an append was begun: the file has no more, unless somebody else writes to it.
    begun: AtomicU64,
    /// Bytes appended so far, and how many of them are known to be on the disk.
    appended: AtomicU64,
    safe: AtomicU64,
    /// It failed, or it is gone: what is not safe now never will be.
    is_lost: AtomicBool,
}

/// What a segment is called.
pub fn path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.{ENDING}"))
}

/// What the snapshot of this number is called until it is whole.
pub fn unfinished_path_of(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.{UNFINISHED}"))
}

/// The number of a segment by its name: `00000012.journal`.
pub fn number_of(name: &str) -> Option<u64> {
    let (digits, ending) = name.split_once('.')?;
    if ![ENDING, OLD_ENDING].contains(&ending) || !is_number(digits) || digits.len() > SEGMENT_DIGITS_MAX {
        return None;
    }
    digits.parse().ok()
}

/// Whether this looks like the name of a segment that somebody renamed, as rotating does.
pub fn is_stray(name: &str) -> bool {
    let Some((digits, ending)) = name.split_once('.') else { return false };
    let is_ours = number_of(name).is_some() || ending == UNFINISHED || name.ends_with(".bad");
    is_number(digits) && !is_ours
}

fn is_number(digits: &str) -> bool {
    digits.len() >= 8 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

impl Part {
    /// Why it would not be read as it was written, if that is so.
    pub fn misplaced(&self, disk: &dyn Disk) -> Option<io::Error> {
        match disk.find(&self.path) {
            Ok(found) if self.file.is_some_and(|file| file != found.file) => {
                Some(changed(&self.path, "was replaced"))
            }
            Ok(found) if found.bytes == self.bytes => None,
            Ok(_) => Some(changed(&self.path, "has another size than was written")),
            Err(why) => missing(&self.path, &why),
        }
    }
}

impl Open {
    pub fn new(number: u64, path: PathBuf, file: Arc<dyn Segment>) -> Open {
        let (begun, appended, safe) = Default::default();
        Open { number, path, file, begun, appended, safe, is_lost: AtomicBool::new(false) }
    }

    /// Whether nothing was ever appended.
    pub fn is_fresh(&self) -> bool {
        self.begun.load(Ordering::SeqCst) == 0
    }

    /// Notes that so many bytes are about to be appended.
    pub fn begin(&self, bytes: usize) {
        self.begun.fetch_add(bytes as u64, Ordering::SeqCst);
    }

    /// Notes that so many bytes were appended; returns how many there are now.
    pub fn grow(&self, bytes: usize) -> u64 {
        self.appended.fetch_add(bytes as u64, Ordering::SeqCst) + bytes as u64
    }

    pub fn appended(&self) -> u64 {
        self.appended.load(Ordering::SeqCst)
    }

    /// Notes that so many bytes of it are on the disk.
    pub fn save(&self, bytes: u64) {
        self.safe.fetch_max(bytes, Ordering::SeqCst);
    }

    pub fn safe(&self) -> u64 {
        self.safe.load(Ordering::SeqCst)
    }

    /// Gives up what is not safe.
    pub fn lose(&self) {
        self.is_lost.store(true, Ordering::SeqCst);
    }

    pub fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::SeqCst)
    }

    /// The same as one that gets no more.
    pub fn part(&self) -> Part {
        let file = self.file.found().ok().map(|found| found.file);
        Part { number: self.number, path: self.path.clone(), bytes: self.appended(), file, is_held: false }
    }

    /// Why it would not be read at the next start, if that is so.
    pub fn misplaced(&self, disk: &dyn Disk) -> Option<io::Error> {
        let appended = self.appended();
        let (found, own) = match (disk.find(&self.path), self.file.found()) {
            (Ok(found), Ok(own)) => (found, own),
            (Err(why), _) => return missing(&self.path, &why),
            // The next write tells.
            (_, Err(_)) => return None,
        };
        if found.file != own.file {
            Some(changed(&self.path, "was replaced"))
        } else if found.bytes < appended {
            Some(changed(&self.path, "was cut short"))
        } else if found.bytes > self.begun.load(Ordering::SeqCst) {
            // What is behind it would be read as the rest of a foreign line.
            Some(changed(&self.path, "was written to"))
        } else {
            None
        }
    }
}

/// That the file is gone. An error that is about something else says nothing of the file.
fn missing(path: &Path, why: &io::Error) -> Option<io::Error> {
    let is_gone = [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory].contains(&why.kind());
    is_gone.then(|| changed(path, "was renamed or removed"))
}

fn changed(path: &Path, how: &str) -> io::Error {
    let name = path.file_name().unwrap_or_default().display();
    io::Error::other(format!(
        "{name} {how} by another program (keep log rotation and clean-up out of this folder)"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_is_known_by_its_name_and_so_is_one_that_was_renamed() {
        for (name, number, stray) in [
            ("00000012.journal", Some(12), false),
            ("00000012.log", Some(12), false),
            ("123456789.journal", Some(123_456_789), false),
            ("0000012.journal", None, false),
            ("lock", None, false),
            ("00000012.journal.bad", None, false),
            ("00000012.log.bad", None, false),
            ("00000012.unfinished", None, false),
            ("00000012.log.1", None, true),
            ("00000012.log-20260101", None, true),
            ("00000012.log.1.gz", None, true),
            ("00000012.journal~", None, true),
            ("00000012.old", None, true),
            ("999999999999999999.journal", Some(999_999_999_999_999_999), false),
            ("9999999999999999999.journal", None, true),
            ("notes.journal", None, false),
            ("00000012", None, false),
        ] {
            assert_eq!((number_of(name), is_stray(name)), (number, stray), "{name}");
        }
    }
}
