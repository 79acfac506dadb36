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
mod tests {
    use super::*;
    use crate::store::digest::Digest;

    fn mark(epoch: u32, total: u64) -> Mark {
        Mark { epoch, total, at: Duration::from_secs(total) }
    }

    /// From which epoch on a walk through the store is due, if it is.
    fn walks_after(due: Due) -> Option<u32> {
        match due {
            Due::Walk(walk) => match walk.wanted() {
                Wanted::After(epoch) => Some(*epoch),
                Wanted::In(_) => None,
            },
            Due::Lines { .. } | Due::Nothing => None,
        }
    }

    #[test]
    fn an_opened_link_reads_the_store_from_what_was_seen_and_then_sends_at_once() {
        let mut outbox = Outbox::default();
        assert_eq!(outbox.offer(b"lost\n"), Offered::Kept);
        outbox.open(4);
        assert_eq!(outbox.offer(b"kept\n"), Offered::Wake);
        assert_eq!(outbox.offer(b"more\n"), Offered::Kept);
        assert!(matches!(outbox.take_due(), Due::Lines { bytes, logged: 0 } if bytes == b"kept\nmore\n"));
        assert_eq!(walks_after(outbox.take_due()), Some(4));
        assert!(matches!(outbox.take_due(), Due::Nothing));
        assert_eq!(outbox.offer(b"now\n"), Offered::Send);
        outbox.leave_logged(b"now\n", 1);
        assert_eq!(outbox.offer(b"later\n"), Offered::Kept);
        assert!(matches!(outbox.take_due(), Due::Lines { bytes, logged: 3 } if bytes == b"ow\nlater\n"));
        outbox.close();
        assert_eq!(outbox.offer(b"lost\n"), Offered::Kept);
    }

    #[test]
    fn no_mark_passes_what_is_still_in_the_store() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        assert!(!outbox.mark(mark(1, 1), &mut out));
        outbox.open(0);
        assert!(!outbox.mark(mark(1, 1), &mut out), "nothing has been read yet");
        assert!(matches!(outbox.take_due(), Due::Walk(_)));
        assert!(outbox.mark(mark(2, 1), &mut out), "it waits behind what the walk sends");
        assert!(matches!(outbox.take_due(), Due::Nothing));
        assert!(outbox.mark_behind() && !outbox.mark_behind());
        assert!(!outbox.mark(mark(3, 2), &mut out), "something was dropped");
        outbox.seen(2);
        assert_eq!(walks_after(outbox.take_due()), Some(2), "only what came after");
        assert_eq!(out, b"MARK 2\n");
    }

    #[test]
    fn what_was_dropped_while_the_differences_were_found_is_read_all_the_same() {
        for drop in [false, true] {
            let (mut outbox, mut out) = (Outbox::default(), Vec::new());
            outbox.open(0);
            if drop {
                let _ = outbox.offer(&vec![b'\n'; LINK_PENDING_BYTES + 1]);
            }
            let nowhere = Digest::default().differing(&Digest::default());
            outbox.narrow(nowhere);
            assert_eq!(outbox.mark(mark(1, 1), &mut out), !drop);
            assert_eq!(walks_after(outbox.take_due()) == Some(0), drop);
        }
    }

    #[test]
    fn a_neighbour_without_marks_has_what_was_sent_when_nothing_waits() {
        let mut outbox = Outbox::default();
        outbox.open(3);
        outbox.mark_sent(mark(4, 1));
        assert_eq!(outbox.seen_epoch(), 3, "the store is still to be read");
        assert_eq!(walks_after(outbox.take_due()), Some(3));
        assert!(matches!(outbox.take_due(), Due::Nothing));
        outbox.mark_sent(mark(5, 2));
        outbox.leave(b"waits\n", 0);
        outbox.mark_sent(mark(6, 3));
        outbox.close();
        assert_eq!(outbox.seen_epoch(), 5);
    }

    #[test]
    fn a_full_outbox_reads_the_store_instead() {
        let mut outbox = Outbox::default();
        outbox.open(0);
        assert!(matches!(outbox.take_due(), Due::Walk(_)));
        let chunk = vec![b'\n'; LINK_PENDING_BYTES / 4];
        for _ in 0..5 {
            let _ = outbox.offer(&chunk);
        }
        assert!(matches!(outbox.take_due(), Due::Lines { bytes, .. } if bytes.len() == LINK_PENDING_BYTES));
        assert_eq!(walks_after(outbox.take_due()), Some(0));
        assert!(matches!(outbox.take_due(), Due::Nothing));
    }

    #[test]
    fn marks_that_are_not_seen_take_bounded_memory_and_the_newest_confirms_all() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        outbox.open(0);
        assert!(matches!(outbox.take_due(), Due::Walk(_)));
        let last = 3 * MARKS_MAX as u32;
        assert!((1..=last).all(|epoch| outbox.mark(mark(epoch, epoch.into()), &mut out)));
        assert_eq!(outbox.unseen(), MARKS_MAX);
        outbox.seen(last - 1);
        assert_eq!(outbox.unseen(), 1);
        outbox.seen(last);
        assert_eq!(
            (outbox.unseen(), outbox.position().lag(last.into(), Duration::ZERO, |_| 1).clients),
            (0, 0)
        );
    }

    #[test]
    fn lag_is_the_clients_learned_of_since_the_last_mark_that_was_seen() {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        let now = Duration::from_secs(20);
        let lag = |outbox: &Outbox, total| outbox.position().lag(total, now, |epoch| 100 - u64::from(epoch));
        outbox.open(0);
        assert!(matches!(outbox.take_due(), Due::Walk(_)));
        assert!(outbox.mark(mark(1, 10), &mut out) && outbox.mark(mark(2, 15), &mut out));
        assert_eq!(lag(&outbox, 18), Lag { is_up: true, clients: 100, time: Duration::from_secs(10) });
        outbox.seen(1);
        assert_eq!(lag(&outbox, 18), Lag { is_up: true, clients: 99, time: Duration::from_secs(5) });
        outbox.seen(2);
        // A quiet time is no lag, and what has come since the last mark is not late.
        assert_eq!(lag(&outbox, 15), Lag { is_up: true, clients: 0, time: Duration::ZERO });
        assert_eq!(lag(&outbox, 16), Lag { is_up: true, clients: 98, time: Duration::ZERO });
        outbox.close();
        assert!(!outbox.mark(mark(3, 19), &mut out));
        assert_eq!(lag(&outbox, 19), Lag { is_up: false, clients: 98, time: Duration::from_secs(1) });
        outbox.open(2);
        assert!(matches!(outbox.take_due(), Due::Walk(_)));
        assert!(outbox.mark(mark(4, 19), &mut out));
        outbox.seen(4);
        assert_eq!(lag(&outbox, 19), Lag { is_up: true, clients: 0, time: Duration::ZERO });
    }
}
