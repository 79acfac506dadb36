//! When links are told that everything up to here is on its way. The flooder calls it between batches.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::Sender;

use super::message::Message;
use super::turns::{Turns, UnderWay};
use crate::limits::{MARK_ALONE_S, MARK_S, TURNS_LOOK_MS};
use crate::link::Mark;
use crate::node::Node;

/// Closes epochs. The life of a mark, in order:
///
/// 1. Whatever a server learns is of the store's current epoch. About a second after news the marker closes the
///    epoch; what is learned from then on is of the next one.
/// 2. News of the closed epoch may still be on its way to the links: in the turn of a thread that learned it, or in
///    the flood's channel. So the mark waits until every turn that was under way has ended, for a turn ends by
///    putting its news into the channel; and then it goes through the channel itself, behind that news.
/// 3. The flooder hands it to every link's outbox. A link that is still to read the store cannot vouch for the
///    epoch and drops the mark; a later one will do. Any other sends `MARK epoch` behind the news.
/// 4. The neighbour reads the line behind all those records. With its turn it puts `SEEN` for us into its journal,
///    behind them, notes it, and answers `SEEN epoch`; where it could not keep them, the last epoch that it did.
/// 5. The outbox takes that off its list: the neighbour has all up to that epoch. After an outage it says so when
///    it is greeted, and is sent what is of later epochs only. Only for the same start of ours, though: epochs count
///    anew from every start, which the incarnation tells.
///
/// Without news the last mark is repeated every heartbeat, so that both ends know that the link lives, and nothing is
/// looked for in between; without links not even that. Times are since the start of the process's clock.
pub struct Marker {
    node: Arc<Node>,
    turns: Arc<Turns>,
    channel: Sender<Message>,
    heartbeat: Duration,
    /// Whether anybody is told.
    has_links: Arc<AtomicBool>,
    /// The last one sent.
    last: Mark,
    /// The next, and the turns it waits for.
    closing: Option<(Mark, Vec<UnderWay>)>,
    look_at: Duration,
    beat_at: Duration,
    /// It looks at heartbeats only, until it is woken.
    idle: Arc<AtomicBool>,
}

impl Marker {
    pub fn new(
        node: Arc<Node>,
        turns: Arc<Turns>,
        channel: Sender<Message>,
        heartbeat: Duration,
        has_links: Arc<AtomicBool>,
        now: Duration,
    ) -> Marker {
        let last = Mark { epoch: 0, total: 0, at: Duration::ZERO };
        let (look_at, beat_at) = (now + look_every(heartbeat), now + heartbeat);
        Marker {
            node,
            turns,
            channel,
            heartbeat,
            has_links,
            last,
            closing: None,
            look_at,
            beat_at,
            idle: Arc::default(),
        }
    }

    /// Whether it is to be woken at the next news. Whoever wakes it takes that back.
    pub fn idle(&self) -> Arc<AtomicBool> {
        self.idle.clone()
    }

    /// There is news again.
    pub fn wake(&mut self, now: Duration) {
        self.look_at = self.look_at.min(now + look_every(self.heartbeat));
    }

    /// When to call `look` again.
    pub fn due(&self) -> Duration {
        self.look_at
    }

    /// Begins or ends a mark where it is time; returns one that is to be repeated.
    pub fn look(&mut self, now: Duration) -> Option<Mark> {
        if now < self.look_at {
            return None;
        }
        if let Some((mark, turns)) = &mut self.closing {
            turns.retain(|(count, turn)| !count.is_past(*turn));
            // A channel that is full is tried again at the next look.
            if turns.is_empty() && self.channel.try_send(Message::Mark(*mark)).is_ok() {
                (self.last, self.closing) = (*mark, None);
                self.look_at = now + look_every(self.heartbeat);
                self.beat_at = now + self.heartbeat;
            } else {
                self.look_at = now + Duration::from_millis(TURNS_LOOK_MS);
            }
            return None;
        }
        if self.node.store.news() != self.last.total {
            let (epoch, total) = self.node.store.close_epoch();
            let mark = Mark { epoch, total, at: now };
            self.closing = Some((mark, self.turns.under_way()));
            self.look_at = now;
            return None;
        }
        let beats = now >= self.beat_at;
        if beats {
            self.beat_at = now + self.heartbeat;
        }
        self.idle.store(true, Ordering::SeqCst);
        // What came before it said so, nobody wakes it for.
        let is_idle = self.node.store.news() == self.last.total;
        self.look_at = match (is_idle, self.has_links.load(Ordering::SeqCst)) {
            (true, true) => self.beat_at,
            (true, false) => now + ALONE,
            (false, _) => now + look_every(self.heartbeat),
        };
        beats.then_some(self.last)
    }
}

/// How long to look for nothing where nobody is told of it, unless woken.
const ALONE: Duration = Duration::from_secs(MARK_ALONE_S);

/// How often to look for news, or for a heartbeat that is due.
fn look_every(heartbeat: Duration) -> Duration {
    Duration::from_secs(MARK_S).min(heartbeat)
}
