//! What a turn learned goes to the journal before anybody hears of it.

use std::ops::Range;

use super::Worker;
use crate::journal::NotKept;
use crate::node::NewsItem;
use crate::server::conversation::Turn;
use crate::server::{Shared, socket};

impl Worker {
    /// Has the journal keep what the turn learned. What could not be kept is not promised.
    pub(super) fn keep(&mut self) {
        let (shared, turn) = (self.shared.clone(), &mut self.turn);
        if let Some(journal) = &shared.journal {
            self.entries.clear();
            let (news, entries) = (&turn.news, &mut self.entries);
            let (heard, own) = (|item: &&NewsItem| !item.is_own(), |item: &&NewsItem| item.is_own());
            news.items.iter().filter(heard).for_each(|item| entries.hear(news.record(item).line()));
            news.items.iter().filter(own).for_each(|item| entries.report(news.record(item).line()));
            news.relied_on.iter().for_each(|line| entries.report(line));
            for &(neighbour, incarnation, epoch) in &turn.seen {
                self.entries.vouch(shared.neighbours.seen_line(neighbour, incarnation, epoch).as_bytes());
            }
            turn.news.relied_on.clear();
            journal.keep(&self.entries, |kept| match kept {
                Ok(()) => shared.node.learn_kept(&mut turn.news, socket::posix_ns()),
                Err(NotKept) if journal.is_strict() => refuse(&shared, turn, &mut self.sends),
                Err(NotKept) => {}
            });
        }
        if turn.news.is_empty() {
            // Of what is not passed on, nothing stays.
            turn.news.clear();
        }
        turn.promises.clear();
        for (neighbour, incarnation, epoch) in turn.seen.drain(..) {
            shared.neighbours.seen.note(neighbour, incarnation, epoch);
        }
    }
}

/// Takes back what the turn promised.
fn refuse(shared: &Shared, turn: &mut Turn, sends: &mut [(u64, Range<usize>)]) {
    shared.node.set_read_only(true);
    turn.news.drop_own();
    turn.seen.clear();
    if !turn.promises.is_empty() {
        let count = turn.promises.len();
        log::warn!("{count} replies are refusals though logged otherwise: the journal failed in between");
        retract(turn, sends);
    }
}

/// Puts into a turn's output what is to be said instead of its promises.
fn retract(turn: &mut Turn, sends: &mut [(u64, Range<usize>)]) {
    let said = std::mem::take(&mut turn.out);
    let mut promises = turn.promises.drain(..).peekable();
    for (_, range) in sends {
        let (begin, mut copied) = (turn.out.len(), range.start);
        while let Some((promise, instead)) = promises.next_if(|(promise, _)| promise.start < range.end) {
            turn.out.extend_from_slice(&said[copied..promise.start]);
            turn.out.extend_from_slice(&instead);
            copied = promise.end;
        }
        turn.out.extend_from_slice(&said[copied..range.end]);
        *range = begin..turn.out.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::logging::{Sink, Wire};
    use crate::node::News;
    use std::time::Instant;

    #[test]
    fn promises_that_cannot_be_held_are_replaced_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a folder");
        let wire = Wire::new(&Sink::start(&folder.path().join("log"), false).expect("started"));
        let mut turn = Turn {
            now: Instant::now(),
            out: b"AT 1\n? x\nAT 2\nSEEN 7\n{}\n".to_vec(),
            news: News::default(),
            seen: Vec::new(),
            promises: vec![
                (0..5, b"? one\n".to_vec()),
                (9..14, b"? 2\n".to_vec()),
                (14..21, b"SEEN 6\n".to_vec()),
            ],
            wire,
            read_bytes: 0,
        };
        let mut sends = vec![(1, 0..14), (2, 14..21), (3, 21..24), (4, 24..24)];
        retract(&mut turn, &mut sends);
        let said: Vec<_> = sends.iter().map(|(_, range)| &turn.out[range.clone()]).collect();
        assert_eq!(said, [&b"? one\n? x\n? 2\n"[..], b"SEEN 6\n", b"{}\n", b""]);
    }
}
