//! What one neighbour is to be sent, and what of it has arrived: lines that wait, whether the store
//! has to be read, marks and their acknowledgement. One a link, behind its lock.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{LINK_PENDING_BYTES, MARKS_MAX};
use crate::protocol::neighbour::Word;
use crate::store::digest::Parts;
use crate::store::{Walk, Wanted};

/// The state of a link's sending side.
#[derive(Debug)]
pub struct Outbox {
    /// Bytes that may wait; more are dropped, and the store is read for them.
    room: usize,
    mode: Mode,
    /// What is to be sent next. The first bytes of it may be the rest of a line.
    pending: Vec<u8>,
    /// So many bytes of what is pending are in the log already.
    logged: usize,
    /// Lines were dropped, or never offered: the store has what is missing.
    behind: bool,
    /// Lines were dropped since the store was last to be read, whose place in it nobody knows.
    missed: bool,
    /// Parts of the store in which the neighbour differs.
    repair: Option<Parts>,
    /// The neighbour has all up to this epoch.
    seen: u32,
    /// Marks sent and not seen, oldest first.
    marks: VecDeque<Mark>,
    /// Records that were news to this server when the last mark that is seen was taken.
    confirmed: u64,
    /// When the first mark was taken that the neighbour has not confirmed, nor could be sent; None when there is none.
    unconfirmed_since: Option<Duration>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// The link is down: nothing is kept, coming up it reads the store.
    Down,
    /// What is offered waits behind what is being sent.
    Queueing,
    /// Nothing waits: what is offered may be sent at once.
    Live,
}

/// An epoch that was closed, and how much had been learned by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    pub epoch: u32,
    /// Records that were news since the start.
    pub total: u64,
    /// Since the start.
    pub at: Duration,
}

/// What becomes of lines that are offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    /// Send them now; `leave` what cannot be.
    Send,
    /// They wait; wake whoever sends what is pending.
    Wake,
    /// They wait behind others, or the store will be read for them.
    Kept,
}

/// What is to be sent next.
#[derive(Debug)]
pub enum Due {
    /// These bytes, of which the first are in the log already.
    Lines { bytes: Vec<u8>, logged: usize },
    /// What is met on this way through the store.
    Walk(Walk),
    /// Nothing: from here on lines are sent as they are offered.
    Nothing,
}

/// How far a neighbour is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    pub is_up: bool,
    /// Clients of which it is not known to have the latest record.
    pub clients: u64,
    /// Since when it is not known to have everything.
    pub time: Duration,
}

/// How far the sending has come, taken out from behind the link's lock.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    is_up: bool,
    /// The neighbour has all up to this epoch, in which so many records had been news by then.
    seen: u32,
    confirmed: u64,
    unconfirmed_since: Option<Duration>,
}

impl Default for Outbox {
    fn default() -> Outbox {
        Outbox::with_room(LINK_PENDING_BYTES)
    }
}

impl Outbox {
    /// One for a link that is down, in which so many bytes may wait.
    pub fn with_room(room: usize) -> Outbox {
        Outbox {
            room,
            mode: Mode::Down,
            pending: Vec::new(),
            logged: 0,
            behind: false,
            missed: false,
            repair: None,
            seen: 0,
            marks: VecDeque::new(),
            confirmed: 0,
            unconfirmed_since: None,
        }
    }

    /// The link is up; the neighbour has all up to the epoch `seen`.
    pub fn open(&mut self, seen: u32) {
        self.close();
        (self.mode, self.behind, self.seen) = (Mode::Queueing, true, seen);
    }

    /// What the neighbour is behind with lies in these parts: a walk through them is enough.
    pub fn narrow(&mut self, parts: Parts) {
        // But not with what was dropped while that was found out.
        self.behind = self.missed;
        self.repair(parts);
    }

    /// The link is down, and what was on its way may be lost.
    pub fn close(&mut self) {
        let Outbox { seen, confirmed, unconfirmed_since, .. } = *self;
        *self = Outbox { seen, confirmed, unconfirmed_since, ..Outbox::with_room(self.room) };
    }

    /// The last epoch that the neighbour is known to have all of.
    pub fn seen_epoch(&self) -> u32 {
        self.seen
    }

    pub fn is_up(&self) -> bool {
        self.mode != Mode::Down
    }

    /// Takes whole lines for the neighbour.
    pub fn offer(&mut self, lines: &[u8]) -> Offered {
        match self.mode {
            Mode::Down => Offered::Kept,
            Mode::Live => Offered::Send,
            Mode::Queueing if self.pending.len() + lines.len() > self.room => {
                (self.behind, self.missed) = (true, true);
                Offered::Kept
            }
            Mode::Queueing => {
                let first = self.pending.is_empty();
                self.pending.extend_from_slice(lines);
                if first { Offered::Wake } else { Offered::Kept }
            }
        }
    }

    /// Lines that were to be sent could not be, from `sent` bytes on. The sender of what is pending
    /// is to be woken.
    pub fn leave(&mut self, lines: &[u8], sent: usize) {
        self.mode = Mode::Queueing;
        self.pending.extend_from_slice(&lines[sent..]);
    }

    /// The same, when all of them are in the log already.
    pub fn leave_logged(&mut self, lines: &[u8], sent: usize) {
        self.leave(lines, sent);
        self.logged = lines.len() - sent;
    }

    /// Lines for it were lost on the way here; true when the sender is to be woken.
    pub fn mark_behind(&mut self) -> bool {
        let woken = self.is_up() && !self.behind;
        self.behind |= self.is_up();
        self.missed |= self.is_up();
        woken
    }

    /// It differs in these parts.
    pub fn repair(&mut self, parts: Parts) {
        match &mut self.repair {
            Some(due) => due.join(&parts),
            None => self.repair = Some(parts).filter(|parts| !parts.is_empty()),
        }
    }

    /// Notes that an epoch is closed and that all of it has been offered; with `true` the mark is to
    /// be offered like a line. A link that has yet to read the store cannot vouch for it.
    pub fn mark(&mut self, mark: Mark, out: &mut Vec<u8>) -> bool {
        if mark.total > self.confirmed {
            self.unconfirmed_since.get_or_insert(mark.at);
        }
        if self.mode == Mode::Down || self.behind || self.repair.is_some() {
            return false;
        }
        if self.marks.back().is_none_or(|last| last.epoch < mark.epoch) {
            if self.marks.len() == MARKS_MAX {
                // The newest vouches for those before it, too.
                self.marks.pop_back();
            }
            self.marks.push_back(mark);
        }
        Word::Mark(mark.epoch).write(out);
        true
    }

    /// The same for a neighbour that knows no marks: when nothing waits, it was sent everything.
    pub fn mark_sent(&mut self, mark: Mark) {
        if self.mode == Mode::Live && !self.behind {
            (self.seen, self.confirmed, self.unconfirmed_since) = (mark.epoch, mark.total, None);
        } else if mark.total > self.confirmed {
            self.unconfirmed_since.get_or_insert(mark.at);
        }
    }

    /// The neighbour has all up to this epoch.
    pub fn seen(&mut self, epoch: u32) {
        while let Some(mark) = self.marks.front().filter(|mark| mark.epoch <= epoch) {
            self.confirmed = mark.total;
            self.seen = self.seen.max(mark.epoch);
            self.marks.pop_front();
            self.unconfirmed_since = self.marks.front().map(|next| next.at);
        }
    }

    /// Marks sent and not seen.
    pub fn unseen(&self) -> usize {
        self.marks.len()
    }

    /// What is next; with nothing left, lines are sent as they are offered.
    pub fn take_due(&mut self) -> Due {
        if !self.pending.is_empty() {
            // Its beginning may be sent already: whatever else is due comes after it.
            let logged = std::mem::take(&mut self.logged);
            return Due::Lines { bytes: std::mem::take(&mut self.pending), logged };
        }
        if std::mem::take(&mut self.behind) {
            self.missed = false;
            self.mode = Mode::Queueing;
            return Due::Walk(Walk::new(Wanted::After(self.seen)));
        }
        if let Some(parts) = self.repair.take() {
            self.mode = Mode::Queueing;
            return Due::Walk(Walk::through(parts));
        }
        self.mode = Mode::Live;
        Due::Nothing
    }

    pub fn position(&self) -> Position {
        let Outbox { seen, confirmed, unconfirmed_since, .. } = *self;
        Position { is_up: self.is_up(), seen, confirmed, unconfirmed_since }
    }
}

impl Position {
    /// How far the neighbour is behind, when so many records have been news and it is so late.
    /// `count_after` counts the clients of which a record was learned after an epoch.
    pub fn lag(&self, total: u64, now: Duration, count_after: impl FnOnce(u32) -> u64) -> Lag {
        let clients = if total <= self.confirmed { 0 } else { count_after(self.seen) };
        // What is newer than the last mark is not late yet.
        let since = self.unconfirmed_since.filter(|_| clients > 0);
        let time = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        Lag { is_up: self.is_up, clients, time }
    }
}

#[cfg(test)]
mod tests;
