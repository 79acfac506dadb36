//! What this server has of its neighbours: the last epoch of which it stored everything.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::node::NeighbourId;

/// For each neighbour the incarnation it was heard in, and the last epoch of it that is stored.
#[derive(Debug, Default)]
pub struct Seen {
    marks: Mutex<Vec<(u64, u32)>>,
    /// Neighbours that have marked something since our start.
    marking: Mutex<Vec<bool>>,
}

impl Seen {
    /// The last epoch of a neighbour's incarnation that is stored; 0 is none.
    pub fn of(&self, neighbour: NeighbourId, incarnation: u64) -> u32 {
        let marks = self.marks();
        let known = marks.get(neighbour.index()).filter(|(known, _)| *known == incarnation);
        known.map_or(0, |(_, epoch)| *epoch)
    }

    /// All of a neighbour's records up to this epoch are stored. The mark that came last counts, and not the greatest:
    /// one that somebody else sent in its name is worth nothing once it speaks itself. What an older connection still
    /// delivers has it send some records again.
    pub fn note(&self, neighbour: NeighbourId, incarnation: u64, epoch: u32) {
        let mut marks = self.marks();
        let index = neighbour.index();
        if marks.len() <= index {
            marks.resize(index + 1, (0, 0));
        }
        marks[index] = (incarnation, epoch);
    }

    /// A neighbour has sent all it knew: it marks only what it has sent, and first of all what it finds missing.
    pub fn hear_mark(&self, neighbour: NeighbourId) {
        let mut marking = self.marking.lock().unwrap_or_else(PoisonError::into_inner);
        let index = neighbour.index();
        if marking.len() <= index {
            marking.resize(index + 1, false);
        }
        marking[index] = true;
    }

    /// Whether a neighbour has sent all it knew at some time since our start.
    pub fn has_marked(&self, neighbour: NeighbourId) -> bool {
        let marking = self.marking.lock().unwrap_or_else(PoisonError::into_inner);
        marking.get(neighbour.index()).copied().unwrap_or(false)
    }

    /// It is no neighbour any more: what it has sent stays, and what it knows now is to be heard anew.
    pub fn let_go(&self, neighbour: NeighbourId) {
        let mut marking = self.marking.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(has_marked) = marking.get_mut(neighbour.index()) {
            *has_marked = false;
        }
    }

    /// Every neighbour that was heard of: its index, its incarnation, and the last epoch of it.
    pub fn all(&self) -> Vec<(NeighbourId, u64, u32)> {
        let marks = self.marks();
        let known = (0..).zip(marks.iter()).filter(|(_, (_, epoch))| *epoch > 0);
        known
            .map(|(neighbour, (incarnation, epoch))| (NeighbourId(neighbour), *incarnation, *epoch))
            .collect()
    }

    fn marks(&self) -> MutexGuard<'_, Vec<(u64, u32)>> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_counts_in_its_incarnation_and_the_last_one_said_counts() {
        let (seen, third, second) = (Seen::default(), NeighbourId(3), NeighbourId(2));
        assert_eq!(seen.of(third, 7), 0);
        seen.note(third, 7, 5);
        seen.note(third, 7, 4);
        assert_eq!((seen.of(third, 7), seen.of(third, 8), seen.of(second, 7)), (4, 0, 0));
        seen.note(third, 8, 1);
        assert_eq!((seen.of(third, 7), seen.of(third, 8)), (0, 1));
    }
}
