//! What a server believes of the times in records: which are past, and which are too far ahead to count.
//! The node makes one by its clock; merging asks it.

use std::cmp::Ordering;

use crate::protocol::Record;

/// At one moment. Where there is None nothing is past, or nothing too far ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Horizon {
    /// What was heard by its origin before this second, since 1970, is as good as forgotten.
    pub oldest_s: Option<i64>,
    /// What was heard before this second is not shown, and so hides nothing either. No earlier than the other.
    pub shown_s: Option<i64>,
    /// A client's time after this, in ns since 1970, is wrong: it never hides one that may be right.
    pub latest_ns: Option<u64>,
    /// Notes from before this second are as good as forgotten.
    pub oldest_note_s: Option<i64>,
}

impl Horizon {
    /// Whether a record is as good as forgotten, and in nobody's way.
    pub fn is_past(&self, record: &Record<&[u8]>) -> bool {
        let oldest_s = if record.is_note() { self.oldest_note_s } else { self.oldest_s };
        oldest_s.is_some_and(|oldest_s| record.received_s() < oldest_s)
    }

    /// Whether a note counts: one that is too far ahead would have its client unknown until then.
    pub fn believes(&self, note: &Record<&[u8]>) -> bool {
        !self.is_ahead(note)
    }

    /// Whether a note that counts voids a record of its client. Nobody knows when a record was heard whose receipt is too far
    /// ahead, so it counts as heard before.
    pub fn is_void(&self, record: &Record<&[u8]>, note: &Record<&[u8]>) -> bool {
        record.received_ns() <= note.received_ns() || self.is_heard_ahead(record.received_ns())
    }

    /// Whether a receipt is too far ahead to be believed.
    pub fn is_heard_ahead(&self, received_ns: i128) -> bool {
        self.latest_ns.is_some_and(|latest_ns| received_ns > i128::from(latest_ns))
    }

    fn is_ahead(&self, record: &Record<&[u8]>) -> bool {
        self.latest_ns.is_some_and(|latest_ns| record.is_later_than(latest_ns))
    }

    /// Whether a record takes the place of the one that is stored, when `order` is theirs by age. What is not shown
    /// hides nothing that is. Those too far ahead are below all others. Within each of these the order decides, so
    /// that records may come in any order.
    pub(super) fn is_newer(
        &self,
        record: &Record<&[u8]>,
        stored: &Record<&[u8]>,
        order: impl FnOnce() -> Ordering,
    ) -> bool {
        if let Some(shown_s) = self.shown_s.max(self.oldest_s).filter(|_| !record.is_note()) {
            let is_shown = |record: &Record<&[u8]>| record.received_s() >= shown_s;
            match (is_shown(record), is_shown(stored)) {
                (true, false) => return true,
                (false, true) => return false,
                _ => {}
            }
        }
        match order() {
            Ordering::Equal => false,
            Ordering::Greater => !self.is_ahead(record) || self.is_ahead(stored),
            Ordering::Less => self.is_ahead(stored) && !self.is_ahead(record),
        }
    }
}
