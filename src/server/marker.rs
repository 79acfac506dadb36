//! When links are told that everything up to here is on its way. The flooder calls it between
//! batches.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;

use super::flooder::Message;
use super::turns::Turns;
use crate::limits::{MARK_S, TURNS_LOOK_MS};
use crate::link::Mark;
use crate::node::Node;

/// Closes epochs. News that was stored before an epoch was closed may still be on its way to the
/// links, in the turn of a worker or in the flood's channel. So the mark waits for the turns that
/// were under way, and then goes through the channel behind the news.
pub struct Marker {
    node: Arc<Node>,
    turns: Arc<[Turns]>,
    channel: Sender<Message>,
    began: Instant,
    heartbeat: Duration,
    /// The last one sent.
    last: Mark,
    /// The next, and the turns it waits for.
    closing: Option<(Mark, Vec<(usize, u64)>)>,
    look_at: Instant,
    beat_at: Instant,
}

impl Marker {
    /// Marks are timed from `began` on.
    pub fn new(
        node: Arc<Node>,
        turns: Arc<[Turns]>,
        channel: Sender<Message>,
        began: Instant,
        heartbeat: Duration,
    ) -> Marker {
        let now = Instant::now();
        let last = Mark { epoch: 0, total: 0, at: Duration::ZERO };
        let (look_at, beat_at) = (now + look_every(heartbeat), now + heartbeat);
        Marker { node, turns, channel, began, heartbeat, last, closing: None, look_at, beat_at }
    }

    /// When to call `look` again.
    pub fn due(&self) -> Instant {
        self.look_at
    }

    /// Begins or ends a mark where it is time; returns one that is to be repeated.
    pub fn look(&mut self) -> Option<Mark> {
        let now = Instant::now();
        if now < self.look_at {
            return None;
        }
        if let Some((mark, turns)) = &mut self.closing {
            turns.retain(|(index, turn)| !self.turns[*index].is_past(*turn));
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
            let mark = Mark { epoch, total, at: now - self.began };
            let turns = self.turns.iter().map(Turns::current).enumerate();
            let under_way = turns.filter_map(|(index, turn)| Some((index, turn?))).collect();
            self.closing = Some((mark, under_way));
            self.look_at = now;
            return None;
        }
        self.look_at = now + look_every(self.heartbeat);
        if now < self.beat_at {
            return None;
        }
        self.beat_at = now + self.heartbeat;
        Some(self.last)
    }
}

/// How often to look for news, or for a heartbeat that is due.
fn look_every(heartbeat: Duration) -> Duration {
    Duration::from_secs(MARK_S).min(heartbeat)
}
