//! Going over an extract, block by block: all of it at first, and then the stretches that have what is looked for.

use std::io::{Read, Seek};

use super::blobs::Blobs;
use super::block::{Block, NODES, RELATIONS, Texts, WAYS};
use super::fault::Fault;
use super::keys::Keys;
use crate::limits::OSM_STRETCHES_MAX;

/// How often a file is gone over, in tenths, before it is known what is in it.
const USUAL_TENTHS: u64 = 23;

/// Blobs one after the other that have the same kinds of elements, as bits.
struct Stretch {
    begin: u64,
    end: u64,
    kinds: u8,
}

pub struct Walk<R> {
    blobs: Blobs<R>,
    texts: Texts,
    keys: Keys,
    /// All of the file, until it is known what is in it.
    stretches: Vec<Stretch>,
    /// What the first time has found so far; None after it.
    found: Option<Vec<Stretch>>,
    /// What is looked for, in which stretch, and where that ends.
    kinds: u8,
    next_stretch: usize,
    end: u64,
    /// Bytes that are behind, of how many.
    done: u64,
    all: u64,
}

impl<R: Read + Seek> Walk<R> {
    pub fn over(source: R, length: u64, keys: Keys) -> Walk<R> {
        Walk {
            blobs: Blobs::of(source, length),
            texts: Texts::default(),
            keys,
            stretches: vec![Stretch { begin: 0, end: length, kinds: NODES | WAYS | RELATIONS }],
            found: Some(Vec::new()),
            kinds: 0,
            next_stretch: 0,
            end: 0,
            done: 0,
            all: length.saturating_mul(USUAL_TENTHS) / 10,
        }
    }

    /// Goes to the beginning, to look for these kinds.
    pub fn begin(&mut self, kinds: u8) {
        if self.kinds != 0
            && let Some(found) = self.found.take()
        {
            self.stretches = found;
            let later = 2 * self.bytes(WAYS) + self.bytes(NODES) + self.bytes(RELATIONS);
            self.all = self.done + later;
        }
        (self.kinds, self.next_stretch, self.end) = (kinds, 0, 0);
    }

    /// Does not go over what has these kinds, which was to be.
    pub fn leave_out(&mut self, kinds: u8) {
        self.done += self.bytes(kinds);
    }

    fn bytes(&self, kinds: u8) -> u64 {
        let those = self.stretches.iter().filter(|stretch| stretch.kinds & kinds != 0);
        those.map(|stretch| stretch.end - stretch.begin).sum()
    }

    /// Bytes that are behind, of how many.
    pub fn progress(&self) -> (u64, u64) {
        (self.done.min(self.all), self.all)
    }

    /// What is wrong is wrong in the last block.
    pub fn here(&self, fault: Fault) -> Fault {
        match fault {
            Fault::Here(why) => self.blobs.damaged(why),
            fault => fault,
        }
    }

    /// The next block; None at the end.
    pub fn block(&mut self) -> Result<Option<Block<'_>>, Fault> {
        if (self.end == 0 || self.blobs.position() >= self.end) && !self.next_stretch()? {
            return Ok(None);
        }
        let begin = self.blobs.position();
        if !self.blobs.step()? {
            self.end = self.blobs.position();
            return Ok(None);
        }
        let end = self.blobs.position();
        self.done += end - begin;
        let block = Block::of(self.blobs.raw(), &mut self.texts, &self.keys);
        let block = block.map_err(|why| self.blobs.damaged(why))?;
        if let Some(found) = &mut self.found {
            remember(found, begin, end, block.kinds().map_err(|why| self.blobs.damaged(why))?);
        }
        Ok(Some(block))
    }

    /// Goes on to the next stretch that has what is looked for; false where there is none.
    fn next_stretch(&mut self) -> Result<bool, Fault> {
        let rest = self.stretches.iter().enumerate().skip(self.next_stretch);
        let Some((index, stretch)) = rest.into_iter().find(|(_, one)| one.kinds & self.kinds != 0) else {
            return Ok(false);
        };
        (self.next_stretch, self.end) = (index + 1, stretch.end);
        self.blobs.go_to(stretch.begin)?;
        Ok(true)
    }
}

fn remember(found: &mut Vec<Stretch>, begin: u64, end: u64, kinds: u8) {
    let is_full = found.len() >= OSM_STRETCHES_MAX;
    match found.last_mut() {
        // One that has more kinds than it should is looked at in vain, which costs time only.
        Some(last) if last.kinds == kinds || is_full => {
            (last.end, last.kinds) = (end, last.kinds | kinds);
        }
        _ => found.push(Stretch { begin, end, kinds }),
    }
}
