//! Reading a journal back: every entry of every segment, in any order, as merging does not mind. Several threads read a
//! block each; what else there is in blocks is taken in their order.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::aside::Aside;
use super::blocks::{Block, Cutter, Other, Sorted};
use super::disk::{Disk, Found};
use super::later::Later;
use super::segment::{self, Part};
use crate::files::{self, own};
use crate::limits::{REPLAY_SAY_EVERY, REPLAY_THREAD_BYTES, REPLAY_THREADS_MAX, SEGMENT_TOO_HIGH};
use crate::thread;

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

/// How many threads read a journal of so many bytes.
pub fn threads_for(bytes: u64) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    let worth_it = usize::try_from(bytes / REPLAY_THREAD_BYTES).unwrap_or(usize::MAX);
    worth_it.min(cores).clamp(1, REPLAY_THREADS_MAX)
}

/// Bytes of all segments.
pub fn bytes(folder: &Path) -> io::Result<u64> {
    let segments = segments(folder)?;
    Ok(segments.iter().map(|(_, path)| fs::metadata(path).map_or(0, |found| found.len())).sum())
}

/// Reads every segment in so many threads. `read` is handed every line that is as it was written, by any of them; it says
/// whether it is one it knows, and adds it to those of its block. `learn` is handed these by any of them, and `close` then
/// by one at a time, in the order of the journal; it empties them.
///
/// # Errors
/// A segment cannot be read.
pub fn replay<L: Default>(
    folder: &Path,
    threads: usize,
    read: impl Fn(&[u8], &mut L) -> bool + Sync,
    learn: impl Fn(&mut L) + Sync,
    close: impl FnMut(&mut L) + Send,
) -> io::Result<Replayed> {
    let (segments, total) = (segments(folder)?, bytes(folder)?);
    let strays = tell_strays(folder)?;
    let source = Mutex::new(Source { segments: segments.into_iter(), open: None, blocks: 0, strays });
    let closer = Closer {
        close,
        replayed: Replayed::default(),
        next: 0,
        current: None,
        failed: None,
        total,
        say_at: Instant::now() + REPLAY_SAY_EVERY,
    };
    let (closer, turns) = (Mutex::new(closer), Condvar::new());
    std::thread::scope(|scope| {
        let work = || work(&source, &closer, &turns, &read, &learn);
        for number in 1..threads {
            // Without it the others read all.
            if let Err(why) = thread::spawn_scoped(scope, &format!("replay-{number}"), work) {
                log::debug!("{why}");
            }
        }
        work();
    });
    let Closer { failed, mut replayed, .. } = closer.into_inner().unwrap_or_else(PoisonError::into_inner);
    replayed.strays = lock(&source).strays;
    failed.map_or(Ok(replayed), Err)
}

/// What each of the threads does.
fn work<L: Default, F: FnMut(&mut L)>(
    source: &Mutex<Source>,
    closer: &Mutex<Closer<F>>,
    turns: &Condvar,
    read: &impl Fn(&[u8], &mut L) -> bool,
    learn: &impl Fn(&mut L),
) {
    let (mut block, mut sorted, mut lines) = (Block::default(), Sorted::default(), L::default());
    loop {
        let given = lock(source).next(&mut block);
        let Some((number, given)) = given else { return };
        let told = given.and_then(|segment| {
            let sorting = block.sort(&mut sorted, |line| read(line, &mut lines));
            sorting.map_err(|why| of_path(&segment.path, &why)).map(|()| segment)
        });
        if told.is_ok() {
            learn(&mut lines);
        }
        let is_before = |closer: &mut Closer<F>| closer.next != number;
        let mut closer = turns.wait_while(lock(closer), is_before).unwrap_or_else(PoisonError::into_inner);
        closer.next += 1;
        match told {
            _ if closer.failed.is_some() => {}
            Ok(segment) => closer.take(&segment, &block, &sorted, &mut lines),
            Err(why) => closer.failed = Some(why),
        }
        let is_over = closer.failed.is_some();
        drop(closer);
        turns.notify_all();
        if is_over {
            return;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn of_path(path: &Path, why: &io::Error) -> io::Error {
    io::Error::new(why.kind(), format!("{}: {why}", path.display()))
}

/// A segment that is read.
struct Reading {
    number: u64,
    path: PathBuf,
    file: (u64, u64),
}

/// What is still to be read. Its lock is held for one read of a file.
struct Source {
    segments: std::vec::IntoIter<(u64, PathBuf)>,
    open: Option<(Arc<Reading>, Cutter<File>)>,
    /// Blocks that were given out.
    blocks: u64,
    strays: u64,
}

impl Source {
    /// Fills a block with what is next, and says which of all blocks it is, and of which segment. None at the end.
    fn next(&mut self, block: &mut Block) -> Option<(u64, io::Result<Arc<Reading>>)> {
        let given = self.fill(block).transpose()?;
        if given.is_err() {
            (self.segments, self.open) = (Vec::new().into_iter(), None);
        }
        self.blocks += 1;
        Some((self.blocks - 1, given))
    }

    fn fill(&mut self, block: &mut Block) -> io::Result<Option<Arc<Reading>>> {
        if self.open.is_none() {
            self.open = self.open_next()?;
        }
        let Some((reading, cutter)) = &mut self.open else { return Ok(None) };
        cutter.cut(block).map_err(|why| of_path(&reading.path, &why))?;
        let reading = reading.clone();
        if block.end.is_some() {
            self.open = None;
        }
        Ok(Some(reading))
    }

    fn open_next(&mut self) -> io::Result<Option<(Arc<Reading>, Cutter<File>)>> {
        for (number, path) in self.segments.by_ref() {
            // Herd made no such thing, so nothing of it is in there.
            if path.is_dir() {
                self.strays += 1;
                let path = path.display();
                log::warn!(
                    "{path} is not read: it has the name of a segment and is a folder; move it out of this folder"
                );
                continue;
            }
            let (segment, file) = open(&path).map_err(|why| of_path(&path, &why))?;
            return Ok(Some((Arc::new(Reading { number, path, file }), Cutter::new(segment))));
        }
        Ok(None)
    }
}

/// Opens a segment, and says which file it is.
fn open(path: &Path) -> io::Result<(File, (u64, u64))> {
    own::refuse_links(path)?;
    let segment = files::open(path)?;
    own::tighten(&segment)?;
    let file = Found::of(&segment.metadata()?).file;
    Ok((segment, file))
}

/// Takes the blocks in their order, after what is in them is learned.
struct Closer<F> {
    close: F,
    replayed: Replayed,
    /// Whose turn it is.
    next: u64,
    /// The segment of the last block, unless that was its last.
    current: Option<Current>,
    /// Why nothing more is taken.
    failed: Option<io::Error>,
    /// Bytes of the journal.
    total: u64,
    say_at: Instant,
}

/// A segment of which some is taken.
struct Current {
    aside: Aside,
    bytes: u64,
    /// How many lines were left of the segments before.
    left_before: u64,
}

impl<F> Closer<F> {
    fn take<L>(&mut self, segment: &Reading, block: &Block, sorted: &Sorted, lines: &mut L)
    where
        F: FnMut(&mut L),
    {
        let Closer { close, replayed, .. } = self;
        let current = self.current.get_or_insert_with(|| {
            // Of those before, now that there is another.
            replayed.gaps = replayed.cut;
            Current { aside: Aside::of(&segment.path), bytes: 0, left_before: replayed.left }
        });
        replayed.bytes += block.read;
        current.bytes += block.read;
        replayed.entries += sorted.entries;
        close(lines);
        for (other, line) in block.others(sorted) {
            match other {
                Other::Later => replayed.left += u64::from(!replayed.later.keep(line)),
                Other::Bad => {
                    replayed.bad += 1;
                    current.aside.keep(line);
                }
            }
        }
        if let Some(end) = &block.end {
            self.end(segment, end.cut);
        }
        self.say();
    }

    fn end(&mut self, segment: &Reading, cut: Option<(usize, u64)>) {
        let Some(Current { aside, bytes, left_before }) = self.current.take() else { return };
        let Reading { number, path, file } = segment;
        if let Some((length, offset)) = cut {
            self.replayed.cut += 1;
            let path = path.display();
            log::warn!("{path}: dropped {length} bytes of a line cut off at its end, offset {offset}");
        }
        let is_held = !aside.finish() || self.replayed.left > left_before;
        let part = Part { number: *number, path: path.clone(), bytes, file: Some(*file), is_held };
        self.replayed.parts.push(part);
    }

    fn say(&mut self) {
        if Instant::now() >= self.say_at {
            self.say_at += REPLAY_SAY_EVERY;
            let (done, total) = (self.replayed.bytes / 1_000_000, self.total / 1_000_000);
            log::info!("reading the journal: {done} of {total} MB, {} entries", self.replayed.entries);
        }
    }
}
