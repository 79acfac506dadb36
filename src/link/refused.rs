//! What one neighbour does not take: records over which it closed the link. It is spared them, or it would
//! never hear of those behind them.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::ops::Bound;

use crate::limits::{REFUSED_BYTES_MAX, REFUSED_MAX};

/// What the refused records begin with; none of them begins with another.
#[derive(Debug, Default)]
pub struct Refused {
    beginnings: BTreeSet<Box<[u8]>>,
}

impl Refused {
    /// Notes a record by what the neighbour said of it. Says whether that is new, and there was room.
    pub fn note(&mut self, beginning: &[u8]) -> bool {
        let beginning = &beginning[..beginning.len().min(REFUSED_BYTES_MAX)];
        if self.beginnings.len() == REFUSED_MAX || self.has(beginning) {
            return false;
        }
        self.beginnings.insert(beginning.into())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.beginnings.len()
    }

    fn has(&self, line: &[u8]) -> bool {
        let up_to_it = (Bound::Unbounded, Bound::Included(line));
        let nearest = self.beginnings.range::<[u8], _>(up_to_it).next_back();
        nearest.is_some_and(|beginning| line.starts_with(beginning))
    }

    /// The lines of these that the neighbour takes.
    pub fn without<'a>(&self, lines: &'a [u8]) -> Cow<'a, [u8]> {
        if self.beginnings.is_empty() {
            return Cow::Borrowed(lines);
        }
        let taken = lines.split_inclusive(|&byte| byte == b'\n').filter(|line| !self.has(line));
        Cow::Owned(taken.collect::<Vec<_>>().concat())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_records_are_left_out_and_no_others() {
        let mut refused = Refused::default();
        let lines = b"AT G +1 a +1+1 1\nAT G +1 long +1+1 1\nAT G +1 b +1+1 1\n";
        assert_eq!(refused.without(lines), &lines[..]);
        assert!(
            refused.note(b"AT G +1 lo") && !refused.note(b"AT G +1 lo") && !refused.note(b"AT G +1 long")
        );
        assert!(refused.note(b"AT G +1 zz"));
        assert_eq!(refused.without(lines), &b"AT G +1 a +1+1 1\nAT G +1 b +1+1 1\n"[..]);
    }

    #[test]
    fn as_many_as_there_is_room_for_stay_left_out() {
        let mut refused = Refused::default();
        let line = |number: usize| format!("AT G +1 {number:08}{}", "x".repeat(10_000)).into_bytes();
        let noted = (0..2 * REFUSED_MAX).filter(|&number| refused.note(&line(number))).count();
        assert_eq!((noted, refused.count()), (REFUSED_MAX, REFUSED_MAX));
        assert!(refused.without(&line(0)).is_empty() && !refused.without(&line(REFUSED_MAX)).is_empty());
        assert!(refused.beginnings.iter().all(|beginning| beginning.len() <= REFUSED_BYTES_MAX));
    }
}
