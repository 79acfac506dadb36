//! The log file: within its bounds, whatever is written to it, and never at the journal's cost. The log's thread owns
//! it.

use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use memchr::{memchr, memrchr};
use rustix::fs::{OFlags, fcntl_setfl, fstatvfs};

use super::console::Console;
use super::stamp::stamp;
use crate::files::own;
use crate::limits::{LOG_SPARES_BYTES, LOG_SPARES_PART, LogBounds};

/// The file and what is known of its state.
pub struct LogFile {
    path: PathBuf,
    bounds: LogBounds,
    open: Option<Open>,
    /// Set when the file failed, so that it is reported once.
    failing: bool,
    /// It is told already that old files cannot be kept.
    keeps_none: bool,
    /// Its disk has too little room.
    is_short: bool,
    /// Records lost since the file failed.
    lost: u64,
    /// Where it is told that the log is not being kept.
    console: Arc<Console>,
}

/// What is written to.
struct Open {
    file: File,
    /// Its length; None for a device or a FIFO, which takes what it takes.
    bytes: Option<u64>,
}

impl LogFile {
    /// Opens it; one that cannot be opened is reported, and tried again at each write.
    pub fn new(path: &Path, bounds: LogBounds, console: Arc<Console>) -> LogFile {
        let mut file = LogFile {
            path: path.to_owned(),
            bounds,
            open: None,
            failing: false,
            keeps_none: false,
            is_short: false,
            lost: 0,
            console,
        };
        file.reopen();
        file
    }

    /// Opens the file of its name anew.
    pub fn reopen(&mut self) {
        self.open = None;
        if let Err(why) = self.open() {
            self.fail(&why);
        }
    }

    /// Writes whole lines; what the file does not take is lost and counted, and so is what was `dropped` before.
    /// Says how many lines about refused traffic were left out, if any were.
    pub fn write(&mut self, lines: &[u8], dropped: u64, spared: u64) {
        self.lost += dropped;
        let (before, after) = (self.told_lost(), told_spared(spared));
        let mut parts = [before.as_bytes(), lines, after.as_bytes()].into_iter();
        match parts.try_for_each(|part| self.put(part)) {
            Ok(()) => self.recover(),
            Err(why) => {
                self.lost += count_lines(lines);
                self.fail(&why);
            }
        }
    }

    /// What the log says of records that are not in it.
    fn told_lost(&self) -> String {
        if self.lost == 0 {
            return String::new();
        }
        // What failed may have left half a line.
        let newline = if self.failing { "\n" } else { "" };
        format!("{newline}{}{} log records before this line were lost\n", stamped("WARN"), self.lost)
    }

    /// Writes lines, a file after the other.
    fn put(&mut self, mut lines: &[u8]) -> io::Result<()> {
        while !lines.is_empty() {
            if self.open.is_none() {
                self.open()?;
            }
            let Some(open) = &mut self.open else { continue };
            let length = fitting(open.bytes.zip(self.bounds.bytes_max), lines);
            if length == 0 {
                self.rotate()?;
                continue;
            }
            if let Some(bytes) = &mut open.bytes {
                find_room(&open.file, length as u64, &mut self.is_short)?;
                *bytes += length as u64;
            }
            open.file.write_all(&lines[..length])?;
            lines = &lines[length..];
        }
        Ok(())
    }

    fn open(&mut self) -> io::Result<()> {
        let folder = self.path.parent().unwrap_or(Path::new("."));
        own::make_folders(folder)?;
        let file = own::open_or_create(&self.path)?;
        // From here on it may wait: what is written has a thread of its own.
        fcntl_setfl(&file, OFlags::APPEND)?;
        let found = file.metadata()?;
        self.open = Some(Open { file, bytes: found.is_file().then_some(found.len()) });
        Ok(())
    }

    /// Begins a new file. The old ones change their names, and the oldest goes.
    fn rotate(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        // Somebody else may have given it another name already.
        if !self.is_in_place(&open.file) {
            return Ok(());
        }
        let Err(why) = self.shift() else { return Ok(()) };
        // The bound holds all the same.
        open.file.set_len(0)?;
        if !std::mem::replace(&mut self.keeps_none, true) {
            let path = self.path.display();
            self.console
                .say(&format!("herd: cannot keep old logs of {path}: {why}; it starts over each time"));
        }
        Ok(())
    }

    fn is_in_place(&self, file: &File) -> bool {
        let of = |found: fs::Metadata| (found.dev(), found.ino());
        // The log may be a link; then it is the link that gets another name.
        let named = fs::metadata(&self.path).map(of);
        file.metadata().map(of).is_ok_and(|own| named.is_ok_and(|named| own == named))
    }

    /// `log`, `log.1`, `log.2` become `log.1`, `log.2`, `log.3`, and the old `log.3` goes.
    fn shift(&self) -> io::Result<()> {
        if self.bounds.keep == 0 {
            return fs::remove_file(&self.path);
        }
        // Each name is free before a file gets it: where a rename replaces a file, ext4 first writes the other one to
        // the disk, and lines would be lost meanwhile.
        match fs::remove_file(self.old(self.bounds.keep)) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            Ok(()) | Err(_) => {}
        }
        for number in (1..self.bounds.keep).rev() {
            match fs::rename(self.old(number), self.old(number + 1)) {
                Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
                Ok(()) | Err(_) => {}
            }
        }
        fs::rename(&self.path, self.old(1))
    }

    fn old(&self, number: u64) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        name.into()
    }

    /// Says once that the log is not being kept; every later write tries again.
    fn fail(&mut self, why: &io::Error) {
        if !self.failing {
            let path = self.path.display();
            self.console.say(&format!("herd: cannot write log {path}: {why}; serving goes on without"));
        }
        self.failing = true;
        self.open = None;
    }

    fn recover(&mut self) {
        if self.failing {
            let (path, lost) = (self.path.display(), self.lost);
            self.console.say(&format!("herd: log {path} is written again; {lost} records are missing in it"));
        }
        (self.failing, self.lost) = (false, 0);
    }
}

/// How many bytes of whole lines go into a file of this length and bound; 0 when it is full.
fn fitting(room: Option<(u64, u64)>, lines: &[u8]) -> usize {
    let Some((bytes, max)) = room else { return lines.len() };
    let left = usize::try_from(max.saturating_sub(bytes)).unwrap_or(usize::MAX);
    if lines.len() <= left {
        return lines.len();
    }
    match memrchr(b'\n', &lines[..left]) {
        Some(end) => end + 1,
        // One that fits nowhere is not held back for that.
        None if bytes == 0 => memchr(b'\n', lines).map_or(lines.len(), |end| end + 1),
        None => 0,
    }
}

/// Fails when so many bytes more would leave the journal too little of the disk.
fn find_room(file: &File, bytes: u64, is_short: &mut bool) -> io::Result<()> {
    let found = fstatvfs(file)?;
    let (free, whole) = (found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize);
    let spared = (whole / LOG_SPARES_PART).min(LOG_SPARES_BYTES);
    // Not at the first byte that somebody frees.
    let least = if *is_short { 2 * spared } else { spared };
    // Some file systems do not know their size.
    *is_short = whole > 0 && free < least + bytes;
    if *is_short {
        let (free, spared) = (free / 1_000, spared / 1_000);
        let why =
            format!("{free} KB of its disk are free, and it leaves {spared} KB to the journal; make room");
        return Err(io::Error::new(io::ErrorKind::StorageFull, why));
    }
    Ok(())
}

fn told_spared(spared: u64) -> String {
    match spared {
        0 => String::new(),
        _ => format!("{}{spared} further lines about refused traffic are left out here\n", stamped("INFO")),
    }
}

fn stamped(level: &str) -> String {
    stamp(UNIX_EPOCH.elapsed().map_or(0, |since| since.as_millis() as u64), level)
}

fn count_lines(lines: &[u8]) -> u64 {
    lines.iter().filter(|&&byte| byte == b'\n').count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_takes_whole_lines_up_to_its_bound() {
        let check = |bytes, max, lines: &str, expected| {
            assert_eq!(fitting(Some((bytes, max)), lines.as_bytes()), expected, "{bytes} {max} {lines:?}");
        };
        check(0, 10, "one\ntwo\n", 8);
        check(2, 10, "one\ntwo\n", 8);
        check(3, 10, "one\ntwo\n", 4);
        check(6, 10, "one\ntwo\n", 4);
        check(7, 10, "one\ntwo\n", 0);
        check(99, 10, "one\ntwo\n", 0);
        check(0, 2, "one\ntwo\n", 4);
        assert_eq!(fitting(None, b"one\ntwo\n"), 8);
    }
}
