//! What was last written for a channel, for those of its readers that are a little behind.

use std::collections::VecDeque;
use std::sync::Arc;

/// Pieces, numbered from the start of the channel.
#[derive(Default)]
pub struct Ring {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// The number of the first one that is still there.
    first: u64,
}

/// Whole events that are sent at once.
#[derive(Clone)]
pub struct Piece {
    pub bytes: Arc<[u8]>,
    /// Whoever has it and all before it knows all up to this epoch, if there is one.
    pub mark: Option<u32>,
}

impl Ring {
    /// The number that the next piece will have.
    pub fn next(&self) -> u64 {
        self.first + self.pieces.len() as u64
    }

    /// Whether what comes from this number on is there.
    pub fn reaches(&self, number: u64) -> bool {
        number >= self.first
    }

    /// Whether a reader can go on with the piece of a number, which may be the next one to come.
    pub fn leads_on(&self, number: u64) -> bool {
        self.reaches(number) && number <= self.next()
    }

    /// The piece of a number.
    pub fn get(&self, number: u64) -> Option<&Piece> {
        self.pieces.get(usize::try_from(number.checked_sub(self.first)?).ok()?)
    }

    pub fn push(&mut self, piece: Piece) {
        self.bytes += piece.bytes.len();
        self.pieces.push_back(piece);
    }

    /// Keeps no more than so many bytes, but the last piece.
    pub fn keep(&mut self, most: usize) {
        while self.bytes > most && self.pieces.len() > 1 {
            if let Some(piece) = self.pieces.pop_front() {
                self.bytes -= piece.bytes.len();
                self.first += 1;
            }
        }
    }

    /// Something was left out: nobody can go on from what is there.
    pub fn interrupt(&mut self) {
        (self.first, self.bytes) = (self.next() + 1, 0);
        self.pieces.clear();
    }
}
