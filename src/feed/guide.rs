//! Leads one reader on: with what was written for its channel, or through the store where that does not reach. The
//! feeder makes one for each answer.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::channel::Channel;
use super::event::{Bookmark, Event, Origin};
use super::reader::{Position, Reader};
use super::tour::Tour;
use super::whereabouts::Whereabouts;
use super::{Bounds, Feed};
use crate::link::Outlet;
use crate::node::Node;

/// What it takes to lead readers on.
pub struct Guide<'f> {
    pub feed: &'f Feed,
    pub bounds: Bounds,
    pub node: &'f Node,
    pub links: &'f [Arc<Outlet>],
    pub origin: Origin<'f>,
    pub last_told: Option<&'f Whereabouts>,
    /// All changes up to this epoch are in the channels.
    pub mark: u32,
    /// The number of this tick.
    pub tick: u64,
}

/// What one reader was led to.
pub enum Led {
    Answer(Arc<[u8]>),
    /// It has to be led on, but others come first.
    Further,
    /// There is nothing for it now.
    Wait,
}

impl Guide<'_> {
    /// Leads a reader on, which is told so if it has heard nothing for long.
    pub fn lead(&self, channel: &Channel, reader: &mut Reader, is_silent: bool) -> Led {
        let mut out = Vec::new();
        if let Position::Live { next, mark, back_in } = &mut reader.at {
            if let Some(piece) = channel.ring.get(*next) {
                *next += 1;
                *mark = piece.mark.unwrap_or(*mark);
                return Led::Answer(piece.bytes.clone());
            }
            if channel.ring.reaches(*next) {
                // What happened before it came back is told when that was looked up.
                let has_caught_up = back_in.take_if(|back_in| self.tick > *back_in).is_some();
                if has_caught_up {
                    self.write(channel, &Event::CaughtUp, &mut out);
                } else if is_silent {
                    *mark = self.mark;
                    self.write(channel, &Event::Pause, &mut out);
                } else {
                    return Led::Wait;
                }
                // It has all there is.
                self.write(channel, &channel.mark(*mark, *next), &mut out);
                return Led::Answer(out.into());
            }
            reader.at = Position::Behind { after: Some(Bookmark { epoch: *mark, piece: None }) };
        }
        if let Position::Behind { after } = reader.at {
            reader.at = self.begin(channel, after, &mut out);
        }
        if let Position::Touring { tour, after, next, mark } = &mut reader.at {
            let (scope, looks) = (&channel.view.scope, self.bounds.looks);
            tour.step(self.node, scope, *after, self.last_told, looks, |event| {
                self.write(channel, event, &mut out);
                out.len() >= self.bounds.own_piece_bytes
            });
            if tour.is_done() {
                let (next, mark) = (*next, *mark);
                if channel.ring.reaches(next) {
                    self.write(channel, &Event::CaughtUp, &mut out);
                }
                let bookmark = channel.bookmark(mark, next);
                self.write(channel, &channel.mark(mark, next), &mut out);
                reader.at = match channel.ring.reaches(next) {
                    true => Position::Live { next, mark, back_in: None },
                    false => Position::Behind { after: Some(bookmark) },
                };
            }
        }
        if out.is_empty() { Led::Further } else { Led::Answer(out.into()) }
    }

    /// Where a reader begins that was told all up to somewhere, or nothing.
    fn begin(&self, channel: &Channel, after: Option<Bookmark>, out: &mut Vec<u8>) -> Position {
        let back_at = after.and_then(|after| Some((channel.piece_at(after)?, after.epoch)));
        let after = after.map(|after| after.epoch).filter(|after| self.is_told_from(channel, *after));
        if back_at.is_none() && after.is_none() {
            self.write(channel, &Event::Snapshot, out);
        }
        for link in self.links {
            self.write(channel, &Event::Link { neighbour: link.name(), is_up: link.is_up() }, out);
        }
        match back_at {
            Some((next, mark)) => Position::Live { next, mark, back_in: Some(self.tick) },
            None => {
                let tour = Tour::new(self.node, &channel.view.scope, after);
                Position::Touring { tour, after, next: channel.ring.next(), mark: self.mark }
            }
        }
    }

    /// Whether the store can tell what has changed since an epoch. It does not tell who was forgotten as nothing was
    /// heard of them, nor who was in an area before.
    fn is_told_from(&self, channel: &Channel, after: u32) -> bool {
        let is_there = after >= self.feed.expired_in.load(Ordering::SeqCst);
        !channel.has_area() && after <= self.mark && is_there
    }

    fn write(&self, channel: &Channel, event: &Event<'_>, out: &mut Vec<u8>) {
        (channel.view.write)(&self.origin, event, out);
    }
}
