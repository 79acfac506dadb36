//! Reading a journal back: every entry of every segment, in any order, as merging does not mind.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Instant;

use memchr::memchr;

use super::disk::{Disk, Found};
use super::entry;
use super::later::{self, Later, VERSION};
use super::segment::{self, Part};
use crate::files::{self, own};
use crate::limits::{AT_LINE_MAX, REPLAY_BYTES, REPLAY_SAY_EVERY, SEGMENT_TOO_HIGH};

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Entries that were as they had been written.
    pub entries: u64,
    /// Lines in the middle that were not; they are kept aside.
    pub bad: u64,
    /// Segments that end in the middle of a line, as they do after a crash.
    pub cut: u64,
    /// Those of them that are not the last: what a later one vouches for may be what is gone.
    pub gaps: u64,
    /// Files that look like segments that were renamed, and folders with the name of one: they are not read.
    pub strays: u64,
    pub bytes: u64,
    /// What only a later version knows.
    pub later: Later,
    /// Lines of it for which there was no room: they stay where they are.
    pub left: u64,
    /// The segments that were read.
    pub parts: Vec<Part>,
}

impl Replayed {
    /// Why what vouches for records may vouch for some that are gone, if that is so.
    pub fn doubt(&self) -> Option<String> {
        let Replayed { bad, gaps, strays, .. } = self;
        match (bad, gaps, strays) {
            (0, 0, 0) => None,
            (0, 0, _) => Some(format!("{strays} of its files were renamed or replaced")),
            (0, ..) => Some(format!("{gaps} of its segments lost their end")),
            _ => Some(format!("{bad} lines of it are bad")),
        }
    }
}

/// Longer than this no entry is: what has no newline within it is no journal.
const ENTRY_MAX: usize = AT_LINE_MAX + entry::EXTRA;

/// The segments of a folder with their numbers, in order.
pub fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(segment::number_of);
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

/// The highest number of a segment that leaves some for those to come; 0 where there is none.
pub fn last_number(folder: &Path) -> io::Result<u64> {
    let numbers = segments(folder)?.into_iter().map(|(number, _)| number);
    Ok(numbers.filter(|&number| number < SEGMENT_TOO_HIGH).max().unwrap_or(0))
}

/// Gives segments whose number is too high the next ones above the others'.
pub fn lower(folder: &Path, disk: &dyn Disk) -> io::Result<()> {
    let mut last = last_number(folder)?;
    for (_, path) in segments(folder)?.into_iter().filter(|(number, _)| *number >= SEGMENT_TOO_HIGH) {
        if path.is_dir() {
            continue;
        }
        let free = loop {
            last += 1;
            let free = segment::path_of(folder, last);
            if free == path || fs::symlink_metadata(&free).is_err() {
                break free;
            }
        };
        if free != path {
            disk.rename(&path, &free)?;
            disk.sync_folder(folder)?;
            let (path, free) = (path.display(), free.display());
            log::warn!("{path} was renamed to {free}: its number left too few for the segments to come");
        }
    }
    Ok(())
}

/// Tells of the files that look like segments that were renamed; returns how many there are.
fn tell_strays(folder: &Path) -> io::Result<u64> {
    let mut count = 0;
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        if path.file_name().and_then(|name| name.to_str()).is_some_and(segment::is_stray) {
            count += 1;
            let path = path.display();
            log::warn!(
                "{path} is not read: it looks like a segment that was renamed; to have it read, stop the \
                 server and rename it to digits of its own and .journal, else move it out of this folder"
            );
        }
    }
    Ok(count)
}

/// Hands every good line of every segment to `take`, which says whether it is one it knows.
///
/// # Errors
/// A segment cannot be read.
pub fn replay(folder: &Path, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<Replayed> {
    let segments = segments(folder)?;
    let total: u64 = segments.iter().map(|(_, path)| fs::metadata(path).map_or(0, |found| found.len())).sum();
    let mut replayed = Replayed { strays: tell_strays(folder)?, ..Replayed::default() };
    let mut say_at = Instant::now() + REPLAY_SAY_EVERY;
    // One for all segments: what is freed at this size may stay with the process.
    let mut buffer = vec![0; REPLAY_BYTES];
    for (number, path) in segments {
        // Herd made no such thing, so nothing of it is in there.
        if path.is_dir() {
            replayed.strays += 1;
            let path = path.display();
            log::warn!(
                "{path} is not read: it has the name of a segment and is a folder; move it out of this folder"
            );
            continue;
        }
        // Of those before, now that there is another.
        replayed.gaps = replayed.cut;
        let (before, left_before) = (replayed.bytes, replayed.left);
        let (file, is_aside) = read(&path, &mut buffer, &mut replayed, &mut take, &mut |replayed| {
            if Instant::now() >= say_at {
                say_at += REPLAY_SAY_EVERY;
                let (done, total) = (replayed.bytes / 1_000_000, total / 1_000_000);
                log::info!("reading the journal: {done} of {total} MB, {} entries", replayed.entries);
            }
        })
        .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))?;
        let bytes = replayed.bytes - before;
        let is_held = !is_aside || replayed.left > left_before;
        replayed.parts.push(Part { number, path, bytes, file: Some(file), is_held });
    }
    Ok(replayed)
}

/// Reads one segment. Says which file it is, and false when it has bad lines that could not be kept aside.
fn read(
    path: &Path,
    buffer: &mut [u8],
    replayed: &mut Replayed,
    take: &mut impl FnMut(&[u8]) -> bool,
    say: &mut impl FnMut(&Replayed),
) -> io::Result<((u64, u64), bool)> {
    let mut aside_path = path.as_os_str().to_owned();
    aside_path.push(".bad");
    let mut aside = Aside { path: aside_path.into(), file: Ok(None) };
    own::refuse_links(path)?;
    let mut segment = files::open(path)?;
    own::tighten(&segment)?;
    let found = Found::of(&segment.metadata()?);
    let cut = scan(&mut segment, buffer, replayed, take, &mut |bad| aside.keep(bad), say)?;
    if let Some((length, offset)) = cut {
        log::warn!(
            "{}: dropped {length} bytes of a line cut off at its end, offset {offset}",
            path.display()
        );
    }
    Ok((found.file, aside.finish()))
}

/// Whether a line states the version of its segment, and this version of herd can read that.
fn is_version(line: &[u8]) -> io::Result<bool> {
    match later::version_of(line) {
        None => Ok(false),
        Some(version) if version <= VERSION => Ok(true),
        Some(version) => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "a later version of herd wrote it (version {version} of the journal, and this herd reads {VERSION}); \
                 start that one, or move the folder away and let neighbours fill a new one"
            ),
        )),
    }
}

/// Reads one segment through a buffer of `REPLAY_BYTES`; returns the length and the offset of a line that is cut off at its end.
pub fn scan(
    segment: &mut impl Read,
    buffer: &mut [u8],
    replayed: &mut Replayed,
    take: &mut impl FnMut(&[u8]) -> bool,
    bad: &mut impl FnMut(&[u8]),
    say: &mut impl FnMut(&Replayed),
) -> io::Result<Option<(usize, u64)>> {
    // So much of the buffer is the beginning of an entry.
    let mut kept = 0;
    let mut offset = 0;
    loop {
        let count = segment.read(&mut buffer[kept..])?;
        if count == 0 {
            break;
        }
        replayed.bytes += count as u64;
        let filled = kept + count;
        let mut done = 0;
        while let Some(end) = memchr(b'\n', &buffer[done..filled]) {
            let found = &buffer[done..done + end];
            done += end + 1;
            if found.is_empty() {
                continue;
            }
            match entry::read(found) {
                Some(line) if is_version(line)? => {}
                Some(line) if take(line) => replayed.entries += 1,
                Some(line) if later::is_later(line) => {
                    replayed.left += u64::from(!replayed.later.keep(found))
                }
                Some(_) | None => {
                    replayed.bad += 1;
                    bad(found);
                }
            }
        }
        // Garbage without a newline is kept aside as it comes, so that memory is bounded.
        if filled - done > ENTRY_MAX {
            replayed.bad += 1;
            bad(&buffer[done..filled]);
            done = filled;
        }
        buffer.copy_within(done..filled, 0);
        offset += done as u64;
        kept = filled - done;
        say(replayed);
    }
    if kept == 0 {
        return Ok(None);
    }
    replayed.cut += 1;
    Ok(Some((kept, offset)))
}

/// Where bad lines of a segment go.
struct Aside {
    path: PathBuf,
    /// Nothing before the first; why it cannot be written, once that is so.
    file: io::Result<Option<File>>,
}

impl Aside {
    fn keep(&mut self, line: &[u8]) {
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
    fn finish(self) -> bool {
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
