//! Reading a journal back: every entry of every segment, in any order, as merging does not mind.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use memchr::memchr;

use super::entry;
use crate::limits::{AT_LINE_MAX, REPLAY_BYTES};

/// What a replay came to.
#[derive(Debug, Default)]
pub struct Replayed {
    /// Entries that were as they had been written.
    pub entries: u64,
    /// Lines in the middle that were not; they are kept aside.
    pub bad: u64,
    /// Segments that end in the middle of a line, as they do after a crash.
    pub cut: u64,
    pub bytes: u64,
}

/// Longer than this no entry is: what has no newline within it is no journal.
const ENTRY_MAX: usize = AT_LINE_MAX + entry::EXTRA;

/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(1);

/// The segments of a folder with their numbers, in order.
pub fn segments(folder: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut found = Vec::new();
    for file in fs::read_dir(folder)? {
        let path = file?.path();
        let number = path.file_name().and_then(|name| name.to_str()).and_then(number_of);
        found.extend(number.map(|number| (number, path)));
    }
    found.sort();
    Ok(found)
}

/// The number of a segment by its name: `00000012.log`.
fn number_of(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".log")?;
    (digits.len() >= 8 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse().ok())?
}

/// Hands every good line of every segment to `take`, which says whether it is one it knows.
///
/// # Errors
/// A segment cannot be read.
pub fn replay(folder: &Path, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<Replayed> {
    let segments = segments(folder)?;
    let total: u64 = segments.iter().map(|(_, path)| fs::metadata(path).map_or(0, |found| found.len())).sum();
    let mut replayed = Replayed::default();
    let mut say_at = Instant::now() + SAY_EVERY;
    for (_, path) in segments {
        read(&path, &mut replayed, &mut take, &mut |replayed| {
            if Instant::now() >= say_at {
                say_at += SAY_EVERY;
                let (done, total) = (replayed.bytes / 1_000_000, total / 1_000_000);
                log::info!("reading the journal: {done} of {total} MB, {} entries", replayed.entries);
            }
        })
        .map_err(|why| io::Error::new(why.kind(), format!("{}: {why}", path.display())))?;
    }
    Ok(replayed)
}

fn read(
    path: &Path,
    replayed: &mut Replayed,
    take: &mut impl FnMut(&[u8]) -> bool,
    say: &mut impl FnMut(&Replayed),
) -> io::Result<()> {
    let mut aside = Aside { path: path.with_extension("log.bad"), file: None };
    let cut = scan(&mut File::open(path)?, replayed, take, &mut |bad| aside.keep(bad), say)?;
    if let Some((length, offset)) = cut {
        log::warn!(
            "{}: dropped {length} bytes of a line cut off at its end, offset {offset}",
            path.display()
        );
    }
    aside.done();
    Ok(())
}

/// Reads one segment; returns the length and the offset of a line that is cut off at its end.
pub fn scan(
    segment: &mut impl Read,
    replayed: &mut Replayed,
    take: &mut impl FnMut(&[u8]) -> bool,
    bad: &mut impl FnMut(&[u8]),
    say: &mut impl FnMut(&Replayed),
) -> io::Result<Option<(usize, u64)>> {
    let mut buffer = vec![0; REPLAY_BYTES];
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
            if entry::read(found).is_some_and(&mut *take) {
                replayed.entries += 1;
            } else {
                replayed.bad += 1;
                bad(found);
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
    file: Option<File>,
}

impl Aside {
    fn keep(&mut self, line: &[u8]) {
        if self.file.is_none() {
            // Anew at every start, as it is written from the same segment.
            self.file = File::create(&self.path)
                .inspect_err(|why| log::warn!("cannot write {}: {why}", self.path.display()))
                .ok();
        }
        if let Some(file) = &mut self.file {
            // The segment itself stays as long as this could not be written.
            let _ = file.write_all(line).and_then(|()| file.write_all(b"\n"));
        }
    }

    fn done(self) {
        if let Some(file) = self.file {
            let _ = file.sync_all();
            log::warn!("bad lines of a segment are kept in {}", self.path.display());
        }
    }
}
