//! When the feeder looks at what has changed: readers and their questions, without a thread or a clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::*;
use crate::limits::{FEED_AREA_KEPT_S, FEED_AREAS_KEPT, FEED_LOOK_AGAIN_MS, FEED_PUT_OFF_MS, FEED_TICK_MS};
use crate::node::{Clients, Node};
use crate::protocol::{Command, Reply};
use crate::store::Area;

/// A node with its feed, whose time is what the test says.
struct Herd {
    node: Arc<Node>,
    feed: Arc<Feed>,
    feeder: Feeder,
    now: Duration,
    time: usize,
    /// When the next reports are heard.
    heard_ns: u64,
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

/// Each event as a word, and up to where all was told.
fn write_words(_: &Origin<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let word = match event {
        Event::Snapshot => "snapshot".into(),
        Event::Position { record, has_entered: true } => format!("+{}", text(record.client())),
        Event::Position { record, .. } => text(record.client()),
        Event::Gone { client, .. } => format!("-{}", text(client)),
        Event::CaughtUp => "caught-up".into(),
        Event::Mark { bookmark: Bookmark { epoch, piece }, .. } => {
            let PieceId { channel, number } = piece.expect("an area");
            format!("{epoch}/{channel}/{number}")
        }
        Event::Link { .. } | Event::Pause => return,
    };
    out.extend_from_slice(format!("{word} ").as_bytes());
}

impl Herd {
    fn new() -> Herd {
        Herd::bound(Bounds::default())
    }

    fn bound(bounds: Bounds) -> Herd {
        let of_node = crate::node::Bounds { forget_after_s: Some(30), ..crate::node::Bounds::default() };
        let node = Arc::new(Node::new("Goloman", of_node));
        let (feed, feeder) = Feeder::new(node.clone(), 1, Arc::default(), bounds, Duration::ZERO);
        Herd { node, feed, feeder, now: Duration::ZERO, time: 0, heard_ns: 1 }
    }

    fn watcher(&self) -> Watcher {
        let view = View { scope: Scope { clients: Clients::All, place: None }, write };
        self.watcher_of(view, None)
    }

    fn watcher_of(&self, view: View, since: Option<Bookmark>) -> Watcher {
        Watcher { reader: self.feed.join(view, since), alive: Arc::default(), answer: Arc::default() }
    }

    /// One of an area so many degrees high.
    fn area_watcher(&self, height: u32, since: Option<Bookmark>) -> Watcher {
        let area = Area { west: 0.0, south: 0.0, east: 2.0, north: f64::from(height) };
        let scope = Scope { clients: Clients::All, place: Some(Place::Within(area)) };
        self.watcher_of(View { scope, write: write_words }, since)
    }

    /// Some clients go somewhere.
    fn go(&mut self, clients: &str, latitude: u32) {
        self.time += 1;
        for client in clients.split(' ') {
            let line = format!("IAMAT {client} +{latitude}+1 {}", self.time);
            let Ok(Command::Iamat(report)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
            assert!(self.node.report(&report, self.heard_ns, &mut Vec::new()).is_ok());
            self.feed.changed([client.as_bytes()].into_iter());
        }
    }

    /// All of these clients move.
    fn report(&mut self, clients: &[String]) {
        self.time += 1;
        for client in clients {
            let line = format!("IAMAT {client} +1+1 {}", self.time);
            let Ok(Command::Iamat(report)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
            assert!(self.node.report(&report, self.heard_ns, &mut Vec::new()).is_ok());
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

    /// Asks and takes words until there is nothing for it: those of each answer in their order, but for up to where all
    /// was told, which is returned, too.
    fn words(&mut self, herd: &mut Herd) -> (String, Option<Bookmark>) {
        let (mut words, mut last) = (Vec::new(), None);
        for _ in 0..100 {
            let answer = self.answer.lock().expect("no panic").take();
            if let Some((reader, bytes)) = answer {
                self.reader = Some(reader);
                let mut told: Vec<_> =
                    String::from_utf8_lossy(&bytes).split_whitespace().map(str::to_owned).collect();
                // Those of one look come in any order.
                let is_look = told.iter().all(|word| word != "snapshot" && word != "caught-up");
                if is_look {
                    told.sort();
                }
                for word in told {
                    let numbers: Vec<u64> = word.split('/').filter_map(|part| part.parse().ok()).collect();
                    if let [epoch, channel, number] = numbers[..] {
                        let piece = Some(PieceId { channel, number });
                        last = Some(Bookmark { epoch: u32::try_from(epoch).expect("an epoch"), piece });
                    } else {
                        words.push(word);
                    }
                }
            } else if self.reader.is_none() {
                return (words.join(" "), last);
            }
            self.ask(herd);
        }
        panic!("it never ends");
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
fn what_is_next_is_put_off_until_a_quarter_of_those_who_read_are_at_the_end_and_not_for_those_who_do_not() {
    let mut herd = Herd::new();
    let mut watchers: [_; 6] = std::array::from_fn(|_| herd.watcher());
    watchers.iter_mut().for_each(|watcher| watcher.catch_up(&mut herd));
    // They are told in two pieces.
    let clients: Vec<_> = (0..1_000).map(|number| format!("{number}-{}", "x".repeat(200))).collect();
    herd.report(&clients);
    herd.wait_ms(FEED_TICK_MS);
    for watcher in &mut watchers {
        let count = watcher.take();
        assert!(count.is_some_and(|count| count > 0 && count < clients.len()), "{count:?}");
    }
    // Five go on reading. The last does not, and holds up nobody.
    let [reading @ .., last] = &mut watchers;
    for watcher in reading.iter_mut() {
        watcher.ask(&mut herd);
        assert!(watcher.take().is_some());
    }
    herd.report(&clients[..1]);
    herd.wait_ms(FEED_TICK_MS);
    reading[0].ask(&mut herd);
    herd.wait_ms(FEED_LOOK_AGAIN_MS);
    assert_eq!(reading[0].take(), None, "one of five is too few");
    reading[1].ask(&mut herd);
    assert_eq!(reading[1].take(), None, "it waits, and two are enough");
    herd.wait_ms(FEED_LOOK_AGAIN_MS);
    assert_eq!((reading[0].take(), reading[1].take()), (Some(1), Some(1)));
    // Nobody is at the end: it goes on after all.
    reading.iter_mut().for_each(|watcher| watcher.catch_up(&mut herd));
    herd.report(&clients);
    herd.wait_ms(FEED_TICK_MS);
    for watcher in reading {
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
    last.catch_up(&mut herd);
}

#[test]
fn who_comes_back_to_an_area_is_told_once_who_came_and_who_left() {
    let mut herd = Herd::new();
    herd.go("a b c", 1);
    herd.go("x y", 9);
    let mut watcher = herd.area_watcher(2, None);
    let (words, _) = watcher.words(&mut herd);
    let mut words: Vec<_> = words.split(' ').collect();
    words[1..4].sort_unstable();
    assert_eq!(words, ["snapshot", "a", "b", "c", "caught-up"]);
    // What was told already does not come again, though the epoch is the same.
    herd.go("x", 1);
    herd.wait_ms(FEED_TICK_MS);
    let (words, since) = watcher.words(&mut herd);
    assert_eq!(words, "+x");
    drop(watcher);
    // Away. Who came and left again, or was never there, is nobody's business.
    herd.go("a", 9);
    herd.wait_ms(FEED_TICK_MS);
    herd.go("y", 1);
    herd.wait_ms(FEED_TICK_MS);
    herd.go("z", 5);
    herd.wait_ms(60_000);
    // This is not looked up yet when it comes back.
    herd.go("b", 9);
    herd.go("c", 2);
    let mut watcher = herd.area_watcher(2, since);
    assert_eq!(watcher.words(&mut herd).0, "-a +y");
    herd.wait_ms(FEED_TICK_MS);
    let (words, since) = watcher.words(&mut herd);
    assert_eq!(words, "-b c caught-up");
    drop(watcher);
    // One of another area, and one that is not of this start, begin anew.
    let other = since.map(|it| Bookmark { piece: Some(PieceId { channel: 7, number: 0 }), ..it });
    let late = since.map(|it| Bookmark { piece: it.piece.map(|it| PieceId { number: 99, ..it }), ..it });
    for (height, since) in
        [(3, since), (2, other), (2, late), (2, since.map(|it| Bookmark { piece: None, ..it }))]
    {
        let (words, _) = herd.area_watcher(height, since).words(&mut herd);
        assert!(words.starts_with("snapshot ") && words.ends_with(" caught-up"), "{words}");
    }
    // And whoever was away for so long that not all is kept.
    let mut watcher = herd.area_watcher(2, since);
    watcher.words(&mut herd);
    herd.wait_ms(FEED_TICK_MS);
    assert_eq!(watcher.words(&mut herd).0, "caught-up");
    drop(watcher);
    herd.feed.miss();
    herd.wait_ms(FEED_TICK_MS);
    assert!(herd.area_watcher(2, since).words(&mut herd).0.starts_with("snapshot "));
}

#[test]
fn who_comes_into_an_area_and_leaves_it_between_two_looks_does_not_stay_there() {
    let mut herd = Herd::new();
    herd.go("a", 1);
    herd.go("x", 9);
    let mut first = herd.area_watcher(2, None);
    first.words(&mut herd);
    herd.go("x", 1);
    let mut second = herd.area_watcher(2, None);
    assert_eq!(second.words(&mut herd).0, "snapshot a caught-up");
    herd.go("x", 9);
    herd.wait_ms(FEED_TICK_MS);
    assert_eq!([first.words(&mut herd).0, second.words(&mut herd).0], ["", ""]);
    herd.go("x", 1);
    herd.wait_ms(FEED_TICK_MS);
    assert_eq!([first.words(&mut herd).0, second.words(&mut herd).0], ["+x", "+x"]);
}

#[test]
fn who_is_in_an_area_and_not_heard_of_for_long_is_told_of_until_they_are_forgotten() {
    let mut herd = Herd::new();
    herd.go("a", 1);
    let mut first = herd.area_watcher(2, None);
    assert_eq!(first.words(&mut herd).0, "snapshot a caught-up");
    // Heard of at 1 ns, they are not shown any more, and not yet forgotten.
    herd.node.let_hide(31_000_000_000);
    assert!(herd.node.find(b"a").is_none());
    let mut second = herd.area_watcher(2, None);
    let snapshot = second.words(&mut herd).0;
    herd.heard_ns = 31_000_000_000;
    herd.go("a", 1);
    herd.wait_ms(FEED_TICK_MS);
    assert_eq!([first.words(&mut herd).0, second.words(&mut herd).0], ["a", "a"]);
    assert_eq!(snapshot, "snapshot a caught-up", "or nobody tells it that a has come");
}

#[test]
fn areas_that_nobody_watches_are_kept_for_a_while_and_few_of_them() {
    let mut herd = Herd::new();
    herd.go("a", 1);
    let leave = |herd: &mut Herd, height: u32| {
        let mut watcher = herd.area_watcher(height, None);
        watcher.words(herd).1
    };
    let all: Vec<_> = (1..=FEED_AREAS_KEPT as u32 + 3).map(|height| leave(&mut herd, height)).collect();
    herd.wait_ms(FEED_TICK_MS);
    let is_kept = |herd: &mut Herd, index: usize| {
        let (words, _) = herd.area_watcher(index as u32 + 1, all[index]).words(herd);
        !words.starts_with("snapshot")
    };
    for (index, expected) in [(3, true), (all.len() - 1, true), (0, false), (2, false)] {
        assert_eq!(is_kept(&mut herd, index), expected, "{index}");
    }
    herd.wait_ms(FEED_TICK_MS);
    herd.wait_ms(FEED_AREA_KEPT_S * 1_000 - 2 * FEED_TICK_MS);
    assert!(is_kept(&mut herd, 20));
    assert!(herd.feed.is_watched());
    herd.wait_ms(FEED_TICK_MS);
    herd.wait_ms(FEED_AREA_KEPT_S * 1_000);
    assert!(!herd.feed.is_watched(), "nobody has watched for long");
    assert!(!is_kept(&mut herd, 20));
}

/// A reader that does not read for long is told anew who is there, once what was written for it is gone.
#[test]
fn who_reads_an_area_too_slowly_begins_anew() {
    let mut herd = Herd::bound(Bounds { rings_bytes: 50, ..Bounds::default() });
    let mut watcher = herd.area_watcher(2, None);
    assert_eq!(watcher.words(&mut herd).0, "snapshot caught-up");
    for latitude in [1, 9, 1, 9, 1, 9, 1, 2] {
        herd.go("a bbbbbbbbbbbbbbbbbbbb", latitude);
        herd.wait_ms(FEED_TICK_MS);
    }
    // What it waited for, and then everybody.
    let (words, _) = watcher.words(&mut herd);
    assert!(words.starts_with("+a +bbbbbbbbbbbbbbbbbbbb snapshot "), "{words}");
    assert!(words.ends_with(" caught-up"), "{words}");
}

impl Feed {
    /// Whether anything waits to be looked at.
    fn has_changes(&self) -> bool {
        !self.changes().clients.is_empty()
    }
}
