//! When the feeder looks at what has changed: readers and their questions, without a thread or a clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::limits::{FEED_LOOK_AGAIN_MS, FEED_PUT_OFF_MS, FEED_TICK_MS};
use crate::node::{Bounds, Clients, Node};
use crate::protocol::{Command, Reply};

/// A node with its feed, whose time is what the test says.
struct Herd {
    node: Arc<Node>,
    feed: Arc<Feed>,
    feeder: Feeder,
    now: Duration,
    time: usize,
}

/// How far a reader has come, and what it was sent.
type Answered = (Reader, Arc<[u8]>);

/// Somebody who watches.
struct Watcher {
    reader: Option<Reader>,
    alive: Arc<()>,
    answer: Arc<Mutex<Option<Answered>>>,
}

fn write(_: &Origin<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
    if let Event::Position { record, .. } = event {
        Reply::At(record.line()).write(out);
    }
    if matches!(event, Event::CaughtUp) {
        out.push(b'\n');
    }
}

impl Herd {
    fn new() -> Herd {
        let node = Arc::new(Node::new("Goloman", Bounds::default()));
        let (feed, feeder) = Feeder::new(node.clone(), 1, Vec::new(), Duration::ZERO);
        Herd { node, feed, feeder, now: Duration::ZERO, time: 0 }
    }

    fn watcher(&self) -> Watcher {
        let view = View { scope: Scope { clients: Clients::All, place: None }, write };
        let reader = self.feed.join(view, None);
        Watcher { reader, alive: Arc::default(), answer: Arc::default() }
    }

    /// All of these clients move.
    fn report(&mut self, clients: &[String]) {
        self.time += 1;
        for client in clients {
            let line = format!("IAMAT {client} +1+1 {}", self.time);
            let Ok(Command::Iamat(report)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
            assert!(self.node.report(&report, 1, &mut Vec::new()).is_ok());
        }
        self.feed.changed(clients.iter().map(String::as_bytes));
    }

    fn wait_ms(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.feeder.work(self.now);
    }
}

impl Watcher {
    /// Asks for what is next, if it does not wait already.
    fn ask(&mut self, herd: &mut Herd) {
        let Some(reader) = self.reader.take() else { return };
        let answer = self.answer.clone();
        let put = move |reader, bytes| *answer.lock().expect("no panic") = Some((reader, bytes));
        assert!(herd.feed.ask(reader, Arc::downgrade(&self.alive), put));
        // A way through the store has many steps.
        (0..1_000).for_each(|_| herd.feeder.work(herd.now));
    }

    /// How many positions came, if anything did.
    fn take(&mut self) -> Option<usize> {
        let (reader, bytes) = self.answer.lock().expect("no panic").take()?;
        self.reader = Some(reader);
        Some(bytes.iter().filter(|&&byte| byte == b'\n').count())
    }

    /// Asks and takes until there is nothing for it.
    fn catch_up(&mut self, herd: &mut Herd) {
        self.take();
        for _ in 0..100 {
            self.ask(herd);
            if self.take().is_none() {
                return;
            }
        }
        panic!("it never ends");
    }
}

#[test]
fn what_is_next_is_put_off_while_most_of_those_who_read_are_under_way_and_not_for_those_who_do_not() {
    let mut herd = Herd::new();
    let mut watchers = [herd.watcher(), herd.watcher(), herd.watcher()];
    watchers.iter_mut().for_each(|watcher| watcher.catch_up(&mut herd));
    // They are told in two pieces.
    let clients: Vec<_> = (0..500).map(|number| format!("{number}-{}", "x".repeat(200))).collect();
    herd.report(&clients);
    herd.wait_ms(FEED_TICK_MS);
    for watcher in &mut watchers {
        let count = watcher.take();
        assert!(count.is_some_and(|count| count > 0 && count < clients.len()), "{count:?}");
    }
    // Two go on reading. The third does not, and holds up nobody.
    let [first, second, third] = &mut watchers;
    first.ask(&mut herd);
    second.ask(&mut herd);
    assert!(first.take().is_some() && second.take().is_some());
    herd.report(&clients[..1]);
    herd.wait_ms(FEED_TICK_MS);
    first.ask(&mut herd);
    assert_eq!(first.take(), None, "it waits, and the half of them is enough");
    herd.wait_ms(FEED_LOOK_AGAIN_MS);
    assert_eq!(first.take(), Some(1));
    // Nobody is at the end: it goes on after all.
    second.catch_up(&mut herd);
    first.catch_up(&mut herd);
    herd.report(&clients);
    herd.wait_ms(FEED_TICK_MS);
    for watcher in [&mut *first, second] {
        assert!(watcher.take().is_some());
        watcher.ask(&mut herd);
        assert!(watcher.take().is_some());
    }
    let next = herd.time;
    herd.report(&clients[..1]);
    herd.wait_ms(FEED_TICK_MS);
    herd.wait_ms(FEED_PUT_OFF_MS - 1);
    assert!(herd.feed.has_changes(), "{next}");
    herd.wait_ms(FEED_LOOK_AGAIN_MS);
    assert!(!herd.feed.has_changes());
    third.catch_up(&mut herd);
}

impl Feed {
    /// Whether anything waits to be looked at.
    fn has_changes(&self) -> bool {
        !self.changes().clients.is_empty()
    }
}
