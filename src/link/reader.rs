//! A reader with a position: whoever is told what the store learns, and may fall behind. Its outbox holds what is
//! new while it is behind with little; the store has the rest, and a walk through it can be left and resumed
//! at any bucket. A neighbour's link is one; whoever listens is served in the same way.

use super::{Due, Outlet};
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

impl Reader {
    /// What is to be sent next. None when nothing is: from here on the flood sends what comes as it comes, and
    /// it is to be asked again when it is woken.
    pub fn next(&mut self, outlet: &Outlet, store: &Store) -> Option<Chunk> {
        loop {
            if let Some(walk) = &mut self.walk {
                let mut lines = Vec::new();
                if walk.step(store, &mut lines) {
                    let taken = outlet.taken(lines);
                    if !taken.is_empty() {
                        return Some(Chunk { bytes: taken, logged: 0 });
                    }
                } else {
                    self.walk = None;
                }
                continue;
            }
            match outlet.next() {
                Due::Nothing => return None,
                Due::Walk(walk) => self.walk = Some(walk),
                Due::Lines { bytes, logged } => {
                    // Of those that wait behind the rest of a line each is whole.
                    let bytes = outlet.taken(bytes);
                    let logged = logged.min(bytes.len());
                    if !bytes.is_empty() {
                        return Some(Chunk { bytes, logged });
                    }
                }
            }
        }
    }
}
