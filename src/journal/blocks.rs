//! A segment in blocks of whole lines, and what the lines of a block are. `replay` has several threads read blocks.

use std::io::{self, Read};
use std::ops::Range;

use memchr::{memchr, memrchr};

use super::entry;
use super::later::{self, VERSION};
use crate::limits::{AT_LINE_MAX, REPLAY_BYTES};

/// Longer than this no entry is: what has no newline within it is no journal.
const ENTRY_MAX: usize = AT_LINE_MAX + entry::EXTRA;

/// Takes blocks from a segment, one after the other.
pub struct Cutter<R> {
    segment: R,
    /// The beginning of a line, of which the next block has the rest.
    begun: Vec<u8>,
    /// Where it stands in the segment.
    offset: u64,
}

/// A part of a segment that begins and ends with a line, reused by the next.
pub struct Block {
    bytes: Box<[u8]>,
    /// So many bytes are lines with their newlines.
    whole: usize,
    /// So many behind them are garbage without one.
    garbage: usize,
    /// Bytes that were read for it.
    pub read: u64,
    /// None before the last block of a segment.
    pub end: Option<End>,
}

/// How a segment ends.
pub struct End {
    /// The length and the offset of a line that is cut off there.
    pub cut: Option<(usize, u64)>,
}

/// What the lines of a block are, but for those that somebody has taken. Reused by the next.
#[derive(Default)]
pub struct Sorted {
    /// Those that somebody has taken.
    pub entries: u64,
    /// Where the others are: entries of a later version, and bad lines.
    others: Vec<(Other, Range<u32>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Other {
    Later,
    Bad,
}

impl<R: Read> Cutter<R> {
    pub fn new(segment: R) -> Cutter<R> {
        Cutter { segment, begun: Vec::new(), offset: 0 }
    }

    /// Fills a block with what comes next.
    ///
    /// # Errors
    /// The segment cannot be read.
    pub fn cut(&mut self, block: &mut Block) -> io::Result<()> {
        let mut filled = self.begun.len();
        block.bytes[..filled].copy_from_slice(&self.begun);
        let mut is_last = false;
        while filled < block.bytes.len() && !is_last {
            match self.segment.read(&mut block.bytes[filled..]) {
                Ok(count) => (filled, is_last) = (filled + count, count == 0),
                Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
                Err(why) => return Err(why),
            }
        }
        block.read = (filled - self.begun.len()) as u64;
        block.whole = memrchr(b'\n', &block.bytes[..filled]).map_or(0, |end| end + 1);
        let rest = filled - block.whole;
        // It is kept aside as it comes, so that memory is bounded.
        block.garbage = if rest > ENTRY_MAX { rest } else { 0 };
        let done = block.whole + block.garbage;
        self.offset += done as u64;
        self.begun.clear();
        self.begun.extend_from_slice(&block.bytes[done..filled]);
        let cut = Some((self.begun.len(), self.offset)).filter(|(length, _)| *length > 0);
        block.end = is_last.then_some(End { cut });
        Ok(())
    }
}

impl Default for Block {
    fn default() -> Block {
        Block { bytes: vec![0; REPLAY_BYTES].into(), whole: 0, garbage: 0, read: 0, end: None }
    }
}

impl Block {
    /// Finds out what its lines are. `take` is handed each that is as it was written, and says whether it knows it.
    ///
    /// # Errors
    /// A later version of herd wrote it, in a format that this one cannot read.
    pub fn sort(&self, sorted: &mut Sorted, mut take: impl FnMut(&[u8]) -> bool) -> io::Result<()> {
        sorted.entries = 0;
        sorted.others.clear();
        let mut done = 0;
        while let Some(length) = memchr(b'\n', &self.bytes[done..self.whole]) {
            let place = done as u32..(done + length) as u32;
            let found = &self.bytes[done..done + length];
            done += length + 1;
            if found.is_empty() {
                continue;
            }
            match entry::read(found) {
                Some(line) if is_version(line)? => {}
                Some(line) if take(line) => sorted.entries += 1,
                Some(line) if later::is_later(line) => sorted.others.push((Other::Later, place)),
                Some(_) | None => sorted.others.push((Other::Bad, place)),
            }
        }
        if self.garbage > 0 {
            let place = self.whole as u32..(self.whole + self.garbage) as u32;
            sorted.others.push((Other::Bad, place));
        }
        Ok(())
    }

    /// The other lines that were found in it, in their order, without their newlines.
    pub fn others<'a>(&'a self, sorted: &'a Sorted) -> impl Iterator<Item = (Other, &'a [u8])> {
        let text = |place: &Range<u32>| &self.bytes[place.start as usize..place.end as usize];
        sorted.others.iter().map(move |(other, place)| (*other, text(place)))
    }
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

/// Reads one segment in this thread alone, and hands on the lines that `take` does not know.
///
/// # Errors
/// It cannot be read, or a later version of herd wrote it.
pub fn scan(
    segment: impl Read,
    mut take: impl FnMut(&[u8]) -> bool,
    mut other: impl FnMut(Other, &[u8]),
) -> io::Result<End> {
    let (mut cutter, mut block, mut sorted) = (Cutter::new(segment), Block::default(), Sorted::default());
    loop {
        cutter.cut(&mut block)?;
        block.sort(&mut sorted, &mut take)?;
        block.others(&sorted).for_each(|(kind, line)| other(kind, line));
        if let Some(end) = block.end.take() {
            return Ok(end);
        }
    }
}
