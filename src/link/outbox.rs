//! What one neighbour is to be sent, and what of it has arrived: lines that wait, whether the store
//! has to be read, marks and their acknowledgement. One a link, behind its lock.
//!
//! What a neighbour lacks is two things: what was learned after an epoch (`after`), and the rest of a long walk
//! through the store (`rest`), which goes on after a cut where the neighbour last said that it had read. Both outlive
//! a connection, as long as the same start of the neighbour is at its end.

use std::collections::VecDeque;
use std::time::Duration;

use memchr::memchr;

use crate::limits::{LINK_PENDING_BYTES, MARKS_MAX};
use crate::protocol::neighbour::Word;
use crate::store::digest::Differing;
use crate::store::{Walk, Wanted};

use super::Position;
use super::flow::{Flow, Progress};

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
    /// So many are the rest of what was being sent, and counted: they go out however much is on its way.
    begun: usize,
    /// What was learned after this epoch is to be read from the store: lines were dropped, or never offered.
    after: Option<u32>,
    /// What is left of the walk that a cut does not end; it stands where the neighbour is known to have read.
    rest: Option<Walk>,
    /// Lines were dropped since `after` was last read, whose place in the store nobody knows.
    missed: bool,
    /// Which walk is under way.
    walking: Walking,
    /// All of `rest` was sent on this connection.
    is_rest_sent: bool,
    /// Some of what was learned after this epoch was sent beside `rest`, and is not known to have arrived; and how
    /// many walks began on this connection.
    beside: Option<u32>,
    walks: u32,
    /// All of the epochs up to this one has been offered.
    offered: u32,
    /// The same when this connection began: what is of later ones was offered on it, or is in the store.
    began: u32,
    /// Which start of the neighbour `after` and `rest` are about; 0 for none.
    incarnation: u64,
    flow: Flow,
    /// What the neighbour is to be sent as its digest differs; and whether some was sent that is not known to have
    /// arrived.
    repair: Option<Differing>,
    is_repairing: bool,
    /// The neighbour has all up to this epoch.
    seen: u32,
    /// The last mark that could not be sent, as the store was still to be read for it.
    owed: Option<Mark>,
    /// The last one that there was.
    last: Mark,
    /// Marks sent and not seen, oldest first, and how many walks had begun by then.
    marks: VecDeque<(Mark, u32)>,
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

/// What is read from the store now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Walking {
    Nothing,
    /// What was learned since, beside the rest of a longer walk.
    Beside,
    Rest,
    Repair,
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
    /// The next step of the walk that is under way.
    Step,
    /// There is something, but enough is on its way that the neighbour has not read.
    Full,
    /// Nothing: from here on lines are sent as they are offered.
    Nothing,
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
            begun: 0,
            after: None,
            rest: None,
            missed: false,
            walking: Walking::Nothing,
            is_rest_sent: false,
            beside: None,
            walks: 0,
            offered: 0,
            began: 0,
            incarnation: 0,
            flow: Flow::new(false),
            repair: None,
            is_repairing: false,
            seen: 0,
            owed: None,
            last: Mark { epoch: 0, total: 0, at: Duration::ZERO },
            marks: VecDeque::new(),
            confirmed: 0,
            unconfirmed_since: None,
        }
    }

    /// Has a neighbour that knows no marks get only what is learned after an epoch.
    pub fn begin_after(&mut self, epoch: u32) {
        (self.seen, self.offered) = (epoch, epoch);
    }

    /// The link is up: this start of the neighbour has all up to the epoch `seen`, as it says. It is not believed to
    /// have what was never vouched for; false then. What it lacks is what it lacked when it was last there, or all
    /// that was learned after `seen`.
    pub fn open(&mut self, incarnation: u64, seen: u32, is_probed: bool) -> bool {
        self.close();
        let is_true = seen <= self.offered;
        let seen = if is_true { seen } else { 0 };
        if incarnation == 0 || incarnation != self.incarnation {
            (self.after, self.rest) = (Some(seen), None);
        }
        self.after = self.after.map(|after| after.max(seen));
        self.rest = self.rest.take().map(|rest| rest.only_after(seen));
        (self.mode, self.seen, self.incarnation) = (Mode::Queueing, seen, incarnation);
        (self.flow, self.began) = (Flow::new(is_probed), self.offered);
        is_true
    }

    /// The neighbour is told when it was sent all there is, though nothing is new: without that it would wait for the next
    /// heartbeat to know it. Whoever reads the store vouches for the last mark again.
    pub fn owe_mark(&mut self) {
        self.owed.get_or_insert(self.last);
    }

    /// Whether it is known which part of the store the neighbour got before the last cut.
    pub fn goes_on(&self) -> bool {
        self.rest.is_some() || self.after.is_some_and(|after| after > self.seen)
    }

    /// What the neighbour is behind with is this: a walk through it is enough, but for what was learned since the link
    /// is up.
    pub fn narrow(&mut self, differing: Differing) {
        self.rest = None;
        // Lines that were dropped while the parts were found are read all the same.
        self.after = self.after.filter(|_| self.missed);
        self.repair(differing);
    }

    /// The link is down, and what was on its way may be lost.
    pub fn close(&mut self) {
        if self.is_up() {
            self.after = [Some(self.began), self.after, self.beside].into_iter().flatten().min();
            if self.repair.is_some() || self.is_repairing {
                // Which of the parts arrived is not known; digests will tell again.
                (self.after, self.rest) = (Some(self.seen), None);
            }
        }
        let Outbox { seen, confirmed, unconfirmed_since, after, offered, incarnation, owed, last, .. } =
            *self;
        let rest = self.rest.take();
        let blank = Outbox::with_room(self.room);
        *self = Outbox {
            seen,
            confirmed,
            unconfirmed_since,
            after,
            rest,
            offered,
            incarnation,
            owed,
            last,
            ..blank
        };
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
            Mode::Live if self.flow.has_room() => {
                self.flow.count(lines.len());
                Offered::Send
            }
            Mode::Live | Mode::Queueing if self.pending.len() + lines.len() > self.room => {
                self.mode = Mode::Queueing;
                self.miss();
                Offered::Kept
            }
            Mode::Live | Mode::Queueing => {
                self.mode = Mode::Queueing;
                let first = self.pending.is_empty();
                self.pending.extend_from_slice(lines);
                if first { Offered::Wake } else { Offered::Kept }
            }
        }
    }

    /// What is offered now is lost, and with it nothing of an epoch that was offered whole.
    fn miss(&mut self) {
        self.missed = true;
        self.after = Some(self.after.map_or(self.offered, |after| after.min(self.offered)));
    }

    /// Lines that were to be sent could not be, from `sent` bytes on. The sender of what is pending
    /// is to be woken.
    pub fn leave(&mut self, lines: &[u8], sent: usize) {
        self.mode = Mode::Queueing;
        self.pending.extend_from_slice(&lines[sent..]);
        self.begun = self.pending.len();
    }

    /// The same, when all of them are in the log already.
    pub fn leave_logged(&mut self, lines: &[u8], sent: usize) {
        self.leave(lines, sent);
        self.logged = lines.len() - sent;
    }

    /// Lines for it were lost on the way here; true when the sender is to be woken.
    pub fn mark_behind(&mut self) -> bool {
        let woken = self.is_up() && self.after.is_none();
        if self.is_up() {
            self.miss();
        }
        woken
    }

    // --- what is under way

    /// Whether something waits that was offered.
    pub fn has_lines(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether what is offered is sent at once.
    pub fn is_live(&self) -> bool {
        self.mode == Mode::Live
    }

    /// Whether a probe is to be sent.
    pub fn wants_probe(&self) -> bool {
        self.flow.wants_probe()
    }

    /// A probe is sent behind all that was given out, while the walk was at this bucket.
    pub fn probe(&mut self, id: u64, at: Duration, bucket: Option<usize>) {
        let progress = match (self.walking, bucket) {
            (Walking::Rest, Some(bucket)) => Progress::Before(bucket),
            _ if !self.is_reading() => Progress::Done { walks: self.walks },
            _ => Progress::Unknown,
        };
        self.flow.probe(id, at, progress);
    }

    /// The neighbour has read everything before a probe.
    pub fn answered(&mut self, id: u64, now: Duration) {
        match (self.flow.answered(id, now), &mut self.rest) {
            (Some(Progress::Before(bucket)), Some(rest)) => rest.skip_to(bucket),
            (Some(Progress::Done { walks }), _) => self.arrived(walks),
            (Some(Progress::Before(_) | Progress::Unknown) | None, _) => {}
        }
    }

    /// So many bytes of the store are given out.
    pub fn count(&mut self, bytes: usize) {
        self.flow.count(bytes);
    }

    /// The neighbour differs in this.
    pub fn repair(&mut self, differing: Differing) {
        match &mut self.repair {
            _ if differing.is_empty() => {}
            Some(due) => due.join(&differing),
            None => self.repair = Some(differing),
        }
    }

    /// Whether the store is still to be read.
    fn is_reading(&self) -> bool {
        let has_rest = self.rest.is_some() && !self.is_rest_sent;
        self.after.is_some() || has_rest || self.repair.is_some() || self.walking != Walking::Nothing
    }

    /// Notes that an epoch is closed and that all of it has been offered; with `true` the mark is to
    /// be offered like a line. A link that has yet to read the store cannot vouch for it until it has.
    pub fn mark(&mut self, mark: Mark, out: &mut Vec<u8>) -> bool {
        if mark.total > self.confirmed {
            self.unconfirmed_since.get_or_insert(mark.at);
        }
        (self.offered, self.last) = (self.offered.max(mark.epoch), mark);
        if self.mode == Mode::Down || self.is_reading() {
            self.owed = Some(mark);
            return false;
        }
        self.owed = None;
        if self.marks.back().is_none_or(|(last, _)| last.epoch < mark.epoch) {
            if self.marks.len() == MARKS_MAX {
                // The newest vouches for those before it, too.
                self.marks.pop_back();
            }
            self.marks.push_back((mark, self.walks));
        }
        Word::Mark(mark.epoch).write(out);
        true
    }

    /// The same for a neighbour that knows no marks: when nothing waits, it was sent everything.
    pub fn mark_sent(&mut self, mark: Mark) {
        self.offered = self.offered.max(mark.epoch);
        if self.mode == Mode::Live && !self.is_reading() {
            (self.seen, self.confirmed, self.unconfirmed_since) = (mark.epoch, mark.total, None);
        } else if mark.total > self.confirmed {
            self.unconfirmed_since.get_or_insert(mark.at);
        }
    }

    /// The neighbour has all up to this epoch, as it says; false where that was never vouched for.
    pub fn seen(&mut self, epoch: u32) -> bool {
        if self.marks.back().map_or(self.seen, |(last, _)| last.epoch.max(self.seen)) < epoch {
            return false;
        }
        while let Some(&(mark, walks)) = self.marks.front().filter(|(mark, _)| mark.epoch <= epoch) {
            self.marks.pop_front();
            self.confirmed = mark.total;
            self.seen = self.seen.max(mark.epoch);
            self.unconfirmed_since = self.marks.front().map(|(next, _)| next.at);
            self.arrived(walks);
        }
        true
    }

    /// All that was sent arrived up to a moment at which so many walks had begun and ended.
    fn arrived(&mut self, walks: u32) {
        if walks == self.walks {
            (self.rest, self.beside, self.is_repairing) = (None, None, false);
        }
    }

    /// Marks sent and not seen.
    pub fn unseen(&self) -> usize {
        self.marks.len()
    }

    /// What is next; with nothing left, lines are sent as they are offered. What is new comes before what the store
    /// has, a share of the window at a time.
    pub fn take_due(&mut self) -> Due {
        if self.pending.is_empty() && !self.is_reading() && !self.vouch() {
            self.mode = Mode::Live;
            return Due::Nothing;
        }
        self.mode = Mode::Queueing;
        let begun = std::mem::take(&mut self.begun);
        if begun > 0 {
            return self.take_lines(begun);
        }
        if !self.flow.has_room() {
            return Due::Full;
        }
        if self.pending.is_empty() {
            return self.take_walk();
        }
        // Whole lines.
        let share = self.flow.share().min(self.pending.len());
        let end = memchr(b'\n', &self.pending[share..]).map_or(self.pending.len(), |end| share + end + 1);
        self.flow.count(end);
        self.take_lines(end)
    }

    /// Sends the mark that waited for the store to be read; true if there was one.
    fn vouch(&mut self) -> bool {
        let Some(mark) = self.owed.take() else { return false };
        let mut line = Vec::new();
        let is_sent = self.mark(mark, &mut line);
        self.pending.extend(line);
        is_sent
    }

    fn take_lines(&mut self, end: usize) -> Due {
        let rest = self.pending.split_off(end);
        let bytes = std::mem::replace(&mut self.pending, rest);
        let logged = self.logged.min(bytes.len());
        self.logged -= logged;
        Due::Lines { bytes, logged }
    }

    fn take_walk(&mut self) -> Due {
        if self.walking != Walking::Nothing {
            return Due::Step;
        }
        if let Some(after) = self.after.take() {
            (self.missed, self.walks) = (false, self.walks + 1);
            let walk = Walk::new(Wanted::After(after));
            if self.rest.is_some() {
                self.beside = Some(self.beside.map_or(after, |beside| beside.min(after)));
                self.walking = Walking::Beside;
                return Due::Walk(walk);
            }
            (self.rest, self.is_rest_sent) = (Some(walk), false);
        }
        if let Some(rest) = self.rest.clone().filter(|_| !self.is_rest_sent) {
            self.walking = Walking::Rest;
            return Due::Walk(rest);
        }
        if let Some(differing) = self.repair.take() {
            (self.walks, self.is_repairing) = (self.walks + 1, true);
            self.walking = Walking::Repair;
            return Due::Walk(Walk::through(differing));
        }
        Due::Step
    }

    /// The walk that was under way is at its end.
    pub fn walked(&mut self) {
        self.is_rest_sent |= self.walking == Walking::Rest;
        self.walking = Walking::Nothing;
    }

    pub fn position(&self) -> Position {
        let Outbox { seen, confirmed, unconfirmed_since, .. } = *self;
        Position { is_up: self.is_up(), seen, confirmed, unconfirmed_since }
    }
}

#[cfg(test)]
mod tests;
