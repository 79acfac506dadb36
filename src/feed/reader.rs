//! Whoever watches: what it wants, and how far it has come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::event::Bookmark;
use super::scope::View;
use super::tour::Tour;
use crate::limits::FEED_READERS_MAX;

/// A reader. It is with whoever waits, and goes to the feeder to ask.
#[derive(Clone, Debug)]
pub struct Reader {
    pub(super) view: Arc<View>,
    /// The channel of those that want the same, once it has asked.
    pub(super) channel: Option<Arc<Tag>>,
    pub(super) at: Position,
    /// The tick in which it last asked.
    pub(super) asked_in: u64,
    _seat: Arc<Seat>,
}

/// What a channel is known by. Its readers have it, too: with the last of them gone it is not needed.
#[derive(Debug)]
pub struct Tag(pub u64);

/// How far a reader has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Position {
    /// It was told all up to here, or nothing.
    Behind { after: Option<Bookmark> },
    /// It is led through the store, and goes on with the piece `next` of its channel then: it knows all up to the epoch
    /// `mark` by then.
    Touring { tour: Tour, after: Option<u32>, next: u64, mark: u32 },
    /// It goes on with the piece `next`, and knows all up to the epoch `mark`. It has come back in the tick `back_in`, if
    /// what was told before that is still on its way to it.
    Live { next: u64, mark: u32, back_in: Option<u64> },
}

/// One of the places there are for readers.
#[derive(Debug)]
pub struct Seat(Arc<AtomicUsize>);

impl Seat {
    /// Takes one, if there is one.
    pub fn take(taken: &Arc<AtomicUsize>) -> Option<Seat> {
        let more = |taken: usize| (taken < FEED_READERS_MAX).then_some(taken + 1);
        taken.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more).ok()?;
        Some(Seat(taken.clone()))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Reader {
    pub(super) fn new(view: View, seat: Seat, since: Option<Bookmark>) -> Reader {
        let at = Position::Behind { after: since };
        Reader { view: Arc::new(view), channel: None, at, asked_in: 0, _seat: Arc::new(seat) }
    }
}

impl PartialEq for Reader {
    fn eq(&self, other: &Reader) -> bool {
        self.view == other.view && self.at == other.at
    }
}
