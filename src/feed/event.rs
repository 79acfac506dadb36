//! What a reader is told, before a door has put it into words.

use crate::protocol::Record;

/// One thing that happened, or that a reader has to know.
pub enum Event<'a> {
    /// What follows up to `CaughtUp` is everybody there is: who is not in it is gone.
    Snapshot,
    /// Where a client is now; and whether it came into the area that is watched from elsewhere.
    Position { record: &'a Record<&'a [u8]>, has_entered: bool },
    /// A client is not there any more.
    Gone { client: &'a [u8], why: Why },
    /// The link to a neighbour is up, or down.
    Link { neighbour: &'a str, is_up: bool },
    /// From here on it is told what happens as it happens.
    CaughtUp,
    /// All was told up to here, to whoever wants what the mark `scope` is of.
    Mark { bookmark: Bookmark, scope: u32 },
    /// Nothing has happened for a while.
    Pause,
}

/// How far a reader was told all, for when it comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bookmark {
    /// What was learned up to this epoch was told.
    pub epoch: u32,
    /// Where an area is watched: the piece that comes next. The store does not tell who left the area.
    pub piece: Option<PieceId>,
}

/// A piece of what was written for those who want the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PieceId {
    pub channel: u64,
    pub number: u64,
}

/// Why a client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// It is elsewhere now.
    Left,
    /// Somebody wanted it forgotten, or nothing was heard of it for long.
    Forgotten,
}

/// Puts an event into words: of the server of this name, at this start of it.
pub type Write = fn(&Origin<'_>, &Event<'_>, &mut Vec<u8>);

/// Who tells.
pub struct Origin<'a> {
    pub server: &'a str,
    pub incarnation: u64,
}
