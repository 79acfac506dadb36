//! A reader with a position: whoever is told what the store learns, and may fall behind. Its outbox holds what is
//! new while it is behind with little; the store has the rest, and a walk through it can be left and resumed
//! at any bucket. A neighbour's link is one; whoever listens is served in the same way.

use super::{Due, Outlet};
use crate::limits::LINK_WALK_BYTES;
use crate::store::{Store, Walk};

/// How far a reader is in the store; none where it is not behind.
#[derive(Default)]
pub struct Reader {
    walk: Option<Walk>,
}

/// Whole lines for a reader, but for the first, which may be the rest of one.
#[derive(Debug)]
pub struct Chunk {
    pub bytes: Vec<u8>,
    /// So many of the bytes are in the log already.
    pub logged: usize,
}

/// What a reader is to be sent next.
#[derive(Debug)]
pub enum Next {
    Chunk(Chunk),
    /// There is more, once it has read of what is on its way.
    Full,
    /// Nothing: from here on the flood sends what comes as it comes, and it is to be asked again when it is woken.
    Nothing,
}

impl Reader {
    /// The bucket of the store that is next; None where it is not behind.
    pub fn bucket(&self) -> Option<usize> {
        self.walk.as_ref().map(Walk::next)
    }

    /// What is to be sent next.
    pub fn next(&mut self, outlet: &Outlet, store: &Store) -> Next {
        loop {
            let (bytes, logged) = match outlet.next() {
                Due::Nothing => return Next::Nothing,
                Due::Full => return Next::Full,
                Due::Walk(walk) => {
                    self.walk = Some(walk);
                    continue;
                }
                Due::Step => (self.step(outlet, store), 0),
                Due::Lines { bytes, logged } => (bytes, logged),
            };
            // Of those that wait behind the rest of a line each is whole.
            let bytes = outlet.taken(bytes);
            if !bytes.is_empty() {
                let logged = logged.min(bytes.len());
                return Next::Chunk(Chunk { bytes, logged });
            }
        }
    }

    /// The next part of the walk; none at its end.
    fn step(&mut self, outlet: &Outlet, store: &Store) -> Vec<u8> {
        let mut lines = Vec::new();
        let Some(walk) = &mut self.walk else {
            outlet.walked();
            return lines;
        };
        while lines.len() < LINK_WALK_BYTES && walk.step(store, &mut lines) {}
        if lines.is_empty() {
            self.walk = None;
            outlet.walked();
        }
        outlet.count(lines.len());
        lines
    }
}
