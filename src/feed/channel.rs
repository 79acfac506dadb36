//! What is written once for all who want the same, and who of them waits for more. The feeder has one for each choice of
//! clients and area that somebody watches. The store does not tell who has left an area: a channel for one stays for a
//! while when its last reader has gone, for whoever comes back.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use super::Ask;
use super::event::{Bookmark, Event, Origin, PieceId, Why};
use super::reader::Tag;
use super::ring::{Piece, Ring};
use super::scope::View;
use crate::link::Outlet;
use crate::protocol::record::Offsets;
use crate::protocol::{Coordinates, Record};

/// Readers that want the same.
pub struct Channel {
    pub tag: Arc<Tag>,
    pub view: Arc<View>,
    scope_mark: u32,
    pub ring: Ring,
    /// Those that have all there is, and since when they have heard nothing.
    pub waiting: Vec<(Ask, Duration)>,
    /// Since when it has no readers.
    pub left_at: Option<Duration>,
    /// All up to this epoch was told in it; and something was told since that was said.
    marked: u32,
    is_unmarked: bool,
}

/// What became of one client.
pub struct Change {
    pub client: Range<usize>,
    /// Its record, if it is known.
    pub now: Option<(Range<usize>, Offsets)>,
    pub at: Option<Coordinates>,
    pub before: Option<Coordinates>,
}

/// What has happened since readers were last told.
pub struct Happened {
    pub changes: Vec<Change>,
    /// The clients' IDs and lines.
    pub bytes: Vec<u8>,
    /// The links that are up or down since then.
    pub links: Vec<(Arc<Outlet>, bool)>,
    /// With it all changes up to this epoch are told.
    pub mark: u32,
}

impl Channel {
    /// One without readers, in which all up to an epoch needs no telling.
    pub fn new(tag: Arc<Tag>, view: Arc<View>, marked: u32) -> Channel {
        let (ring, waiting) = (Ring::default(), Vec::new());
        let scope_mark = view.scope.mark();
        Channel { tag, view, scope_mark, ring, waiting, left_at: None, marked, is_unmarked: false }
    }

    pub fn has_area(&self) -> bool {
        self.view.scope.place.is_some()
    }

    /// Whether it may have several readers: each is in its connection and, while it asks, on its way or here.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.tag) > 1 + 2
    }

    /// For a reader that was told all up to an epoch, and goes on with the piece of a number.
    pub fn bookmark(&self, epoch: u32, number: u64) -> Bookmark {
        let piece = self.has_area().then(|| PieceId { channel: self.tag.0, number });
        Bookmark { epoch, piece }
    }

    /// Says where that is.
    pub fn mark(&self, epoch: u32, number: u64) -> Event<'static> {
        Event::Mark { bookmark: self.bookmark(epoch, number), scope: self.scope_mark }
    }

    /// The number of the piece with which a reader goes on that comes back, if it is still there, or the next to come.
    pub fn piece_at(&self, bookmark: Bookmark) -> Option<u64> {
        let piece = bookmark.piece.filter(|piece| piece.channel == self.tag.0)?;
        self.ring.leads_on(piece.number).then_some(piece.number)
    }

    /// Writes what has happened, in pieces of about so many bytes.
    pub fn write(&mut self, origin: &Origin<'_>, happened: &Happened, piece_bytes: usize) {
        let Happened { changes, bytes, links, mark } = happened;
        let (view, mark) = (self.view.clone(), *mark);
        let View { scope, write } = &*view;
        let (mut out, before) = (Vec::new(), self.ring.next());
        let mut tell = |event: &Event<'_>, ring: &mut Ring| {
            write(origin, event, &mut out);
            if out.len() >= piece_bytes {
                ring.push(Piece { bytes: std::mem::take(&mut out).into(), mark: None });
            }
        };
        for (link, is_up) in links {
            tell(&Event::Link { neighbour: link.name(), is_up: *is_up }, &mut self.ring);
        }
        for change in changes {
            let client = &bytes[change.client.clone()];
            if !scope.clients.has(client) {
                continue;
            }
            let is_in =
                |at: Option<Coordinates>| scope.place.is_none_or(|it| at.is_some_and(|at| it.has(at)));
            match &change.now {
                Some((line, offsets)) if is_in(change.at) => {
                    let record = &Record::new(&bytes[line.clone()], *offsets);
                    let has_entered = !is_in(change.before);
                    tell(&Event::Position { record, has_entered }, &mut self.ring);
                }
                now if is_in(change.before) => {
                    let why = if now.is_some() { Why::Left } else { Why::Forgotten };
                    tell(&Event::Gone { client, why }, &mut self.ring);
                }
                _ => {}
            }
        }
        let has_told = !out.is_empty() || self.ring.next() > before;
        let has_marked = mark > self.marked && (has_told || self.is_unmarked);
        // Where an area is watched each time is marked, so that nobody who comes back is told twice that a client came.
        let marks = (has_marked || has_told && self.has_area()).then_some(mark);
        if let Some(mark) = marks {
            // This piece is the last of them, and a reader goes on with the one behind it.
            write(origin, &self.mark(mark, self.ring.next() + 1), &mut out);
        }
        if has_marked {
            self.marked = mark;
        }
        // What is told now may be of an epoch that is still open.
        self.is_unmarked = has_told || self.is_unmarked && !has_marked;
        if !out.is_empty() {
            self.ring.push(Piece { bytes: out.into(), mark: marks });
        }
    }
}
