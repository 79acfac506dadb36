//! A walk through the store that can be left and resumed: what a reader is sent that is behind. A link does
//! it, and whoever compacts the journal.

use super::digest::Differing;
use super::{Store, Wanted};

/// How far a reader has come. What is learned meanwhile in a bucket that was walked already is no part of it:
/// that comes as news.
#[derive(Clone, Debug)]
pub struct Walk {
    wanted: Wanted,
    next: usize,
}

impl Walk {
    /// A walk from the first bucket.
    pub fn new(wanted: Wanted) -> Walk {
        Walk { wanted, next: 0 }
    }

    pub fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    /// All records.
    pub fn all() -> Walk {
        Walk::new(Wanted::After(0))
    }

    /// Those in which digests differ.
    pub fn through(differing: Differing) -> Walk {
        Walk::new(Wanted::In(differing.into()))
    }

    /// The same walk, without what was learned up to an epoch.
    pub fn only_after(self, epoch: u32) -> Walk {
        let wanted = match self.wanted {
            Wanted::After(before) => Wanted::After(before.max(epoch)),
            differing @ Wanted::In(_) => differing,
        };
        Walk { wanted, ..self }
    }

    /// The bucket that is next.
    pub fn next(&self) -> usize {
        self.next
    }

    /// Goes on from a bucket.
    pub fn skip_to(&mut self, bucket: usize) {
        self.next = bucket;
    }

    /// Appends the lines of the next bucket that has some, each with its newline; false when there was none.
    /// The store is locked for one bucket at a time.
    pub fn step(&mut self, store: &Store, out: &mut Vec<u8>) -> bool {
        let before = out.len();
        while out.len() == before && self.next <= *store.buckets().end() {
            store.copy_bucket(self.next, &self.wanted, out);
            self.next += 1;
        }
        out.len() > before
    }
}
