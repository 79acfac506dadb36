//! The flood: news goes to every link but the one it came from. The dedicated flooder thread takes
//! the workers' batches from a channel, joins what has gathered and keeps the newest record of each
//! client. While it is idle a worker sends a small batch itself: that spares an update the wait for
//! another thread at every server on its way, which halves the time until the farthest has it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, TrySendError, bounded};

use super::link::Outlet;
use super::marker::Marker;
use super::socket;
use super::turns::Turns;
use crate::limits::{FLOOD_BATCHES, FLOOD_DRAIN_BYTES, FLOOD_SMALL_BYTES, Timing};
use crate::link::{Lag, Mark};
use crate::logging::{Sink, Wire};
use crate::node::{News, Node, Source};
use crate::thread;

/// The workers' end of the flood.
pub struct Flood {
    /// Bounded: when it is full the batch is dropped and every link is marked behind, so that it
    /// reads the store instead. A worker never waits here.
    channel: Sender<Message>,
    sender: Arc<Mutex<FloodSender>>,
    links: Vec<Arc<Outlet>>,
    node: Arc<Node>,
    /// Marks are timed from here on.
    began: Instant,
}

pub(super) enum Message {
    News(News),
    /// All news of this epoch came before it.
    Mark(Mark),
    Stop,
}

/// What sending takes; whoever holds its lock sends.
struct FloodSender {
    links: Vec<Arc<Outlet>>,
    wire: Wire,
    sink: Arc<Sink>,
}

/// The newest of a client's records in a drain: which batch, which item in it.
type Newest<'a> = HashMap<&'a [u8], (usize, usize)>;

impl Flood {
    /// Starts the flooder. It ends at the `Stop` message, after all that was sent before it.
    pub fn start(
        links: Vec<Arc<Outlet>>,
        node: Arc<Node>,
        turns: Arc<[Turns]>,
        sink: Arc<Sink>,
        timing: Timing,
    ) -> io::Result<(Flood, JoinHandle<()>)> {
        let (channel, batches) = bounded(FLOOD_BATCHES);
        let began = Instant::now();
        let sender = FloodSender { links: links.clone(), wire: Wire::new(&sink), sink };
        let sender = Arc::new(Mutex::new(sender));
        let mut flooder = Flooder {
            batches,
            sender: sender.clone(),
            marker: Marker::new(node.clone(), turns, channel.clone(), began, timing.heartbeat),
        };
        let flooder = thread::spawn("flooder", move || flooder.run())?;
        Ok((Flood { channel, sender, links, node, began }, flooder))
    }

    /// How far each neighbour is behind. Walks the store for those that are.
    pub fn lags(&self) -> Vec<(&str, Lag)> {
        let (store, now) = (&self.node.store, self.began.elapsed());
        self.links.iter().map(|link| (link.name(), link.lag(store, now))).collect()
    }

    /// What whoever runs the herd should know of the links, in sentences.
    pub fn notes(&self) -> Vec<String> {
        self.links.iter().flat_map(|link| link.notes()).collect()
    }

    /// A neighbour has dialled and proven itself.
    pub fn call(&self, neighbour: u16) {
        self.links.iter().filter(|link| link.index() == neighbour).for_each(|link| link.call());
    }

    /// Puts news on its way, and returns what the next may be put into. Never blocks.
    pub fn send(&self, mut news: News) -> News {
        if self.links.is_empty() {
            news.clear();
            return news;
        }
        if news.lines.len() <= FLOOD_SMALL_BYTES
            && self.channel.is_empty()
            && let Ok(mut sender) = self.sender.try_lock()
        {
            sender.send(std::slice::from_ref(&news));
            news.clear();
            return news;
        }
        if let Err(TrySendError::Full(_)) = self.channel.try_send(Message::News(news)) {
            self.links.iter().for_each(|link| link.mark_behind());
        }
        News::default()
    }

    /// Ends the flooder after what is in the channel. Blocks while the channel is full.
    pub fn stop(&self) {
        // It fails only when the flooder has ended already.
        let _ = self.channel.send(Message::Stop);
    }
}

impl FloodSender {
    fn send(&mut self, drained: &[News]) {
        self.wire.at(socket::posix_ns());
        for (from, lines) in newest_by_source(drained) {
            self.links.iter().for_each(|link| link.offer(&lines, from, &mut self.wire));
        }
        self.wire.commit(&self.sink);
    }
}

/// The flooder thread.
struct Flooder {
    batches: Receiver<Message>,
    sender: Arc<Mutex<FloodSender>>,
    marker: Marker,
}

impl Flooder {
    fn run(&mut self) {
        loop {
            let next = match self.batches.recv_deadline(self.marker.due()) {
                Ok(Message::News(first)) => self.flood(first),
                Ok(other) => Some(other),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            match next {
                Some(Message::Mark(mark)) => self.mark(mark),
                Some(Message::Stop) => return,
                // What ends a drain is never news.
                Some(Message::News(_)) | None => {}
            }
            if let Some(mark) = self.marker.look() {
                self.mark(mark);
            }
        }
    }

    /// Joins what has gathered behind a batch and sends it; returns what came after it.
    fn flood(&self, first: News) -> Option<Message> {
        let mut bytes = first.lines.len();
        let mut drained = vec![first];
        let mut next = None;
        while bytes < FLOOD_DRAIN_BYTES && next.is_none() {
            match self.batches.try_recv() {
                Ok(Message::News(news)) => {
                    bytes += news.lines.len();
                    drained.push(news);
                }
                Ok(other) => next = Some(other),
                Err(_) => break,
            }
        }
        self.sender().send(&drained);
        next
    }

    fn mark(&self, mark: Mark) {
        self.sender().links.iter().for_each(|link| link.mark(mark));
        log::debug!("epoch {} is on its way to all links", mark.epoch);
    }

    fn sender(&self) -> MutexGuard<'_, FloodSender> {
        self.sender.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The AT lines of each client's newest record, grouped by the neighbour they came from.
fn newest_by_source(drained: &[News]) -> Vec<(Option<Source>, Cow<'_, [u8]>)> {
    if let [news] = drained
        && let [item] = &news.items[..]
    {
        return vec![(item.from, Cow::Borrowed(news.line(item)))];
    }
    let mut newest = Newest::new();
    for (batch, news) in drained.iter().enumerate() {
        for (index, item) in news.items.iter().enumerate() {
            let record = news.record(item);
            match newest.entry(news.client(item)) {
                Entry::Vacant(place) => {
                    place.insert((batch, index));
                }
                Entry::Occupied(mut place) => {
                    let (other, at) = *place.get();
                    let stored = drained[other].record(&drained[other].items[at]);
                    if record.cmp_age(&stored).is_gt() {
                        place.insert((batch, index));
                    }
                }
            }
        }
    }
    let mut groups: Vec<(Option<Source>, Cow<'_, [u8]>)> = Vec::new();
    for (batch, index) in newest.into_values() {
        let news = &drained[batch];
        let item = &news.items[index];
        let group = match groups.iter().position(|(from, _)| *from == item.from) {
            Some(group) => group,
            None => {
                groups.push((item.from, Cow::default()));
                groups.len() - 1
            }
        };
        groups[group].1.to_mut().extend_from_slice(news.line(item));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Line, Node, Peer, PeerKind};

    /// The news that a fresh server makes of AT lines from a neighbour.
    fn news(from: Option<u16>, lines: &[&str]) -> News {
        let (node, mut news) = (Node::new("Goloman", None), News::default());
        let kind = PeerKind::Neighbour { index: from, plain: false };
        let peer = Peer { address: std::net::Ipv4Addr::LOCALHOST.into(), kind, incarnation: 5 };
        for line in lines {
            let line = Line { text: line.as_bytes(), terminated: true, alone: true };
            let _ = node.answer(line, peer, 0, &mut Vec::new(), &mut news);
        }
        news
    }

    #[test]
    fn only_the_newest_of_a_client_goes_on_whatever_the_order() {
        let drained = [
            news(None, &["AT A +1 kiwi +1+1 5", "AT A +1 kiwi +1+1 7", "AT A +1 fig +1+1 1"]),
            news(Some(2), &["AT A +1 kiwi +1+1 6"]),
            news(Some(2), &["AT A +1 plum +1+1 1", "AT A +1 fig +1+1 2"]),
        ];
        let mut groups = newest_by_source(&drained);
        groups.sort_by_key(|(from, _)| from.is_some());
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0], (None, Cow::Borrowed(&b"AT A +1 kiwi +1+1 7\n"[..])));
        let mut lines: Vec<_> = groups[1].1.split_inclusive(|&b| b == b'\n').collect();
        lines.sort();
        assert_eq!(groups[1].0, Some(Source { neighbour: 2, incarnation: 5 }));
        assert_eq!(lines, [b"AT A +1 fig +1+1 2\n", &b"AT A +1 plum +1+1 1\n"[..]]);
    }
}
