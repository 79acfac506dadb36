//! Those who watch a simulated server: the real feed, feeder and readers, cut at random, and what they know by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use herd::feed::{Bookmark, Event, Origin, PieceId, Place, Reader, Scope, View};
use herd::node::Clients;

use super::server::Running;

/// Somebody who watches one server, and comes back whenever they are cut.
pub struct Watcher {
    /// None for everywhere.
    place: Option<Place>,
    /// It is cut once in so many looks; 0 is never.
    cut_one_in: u32,
    /// Up to where of which start all was told.
    since: Option<(u64, Bookmark)>,
    /// The AT line of each client.
    known: BTreeMap<Vec<u8>, Vec<u8>>,
    /// What was written while it was led through the store may still come: of who came meanwhile it may have been told
    /// neither by that nor as one that enters, if it left again in between.
    is_unsure: bool,
    /// A client that it was not told to have entered.
    missed: Option<Vec<u8>>,
    stream: Option<Stream>,
}

/// How far a reader has come, and what it was sent.
type Answer = (Reader, Arc<[u8]>);

struct Stream {
    incarnation: u64,
    /// It began with everybody who is there.
    is_anew: bool,
    /// None while it has asked.
    reader: Option<Reader>,
    alive: Arc<()>,
    answer: Arc<Mutex<Option<Answer>>>,
}

fn write(origin: &Origin<'_>, event: &Event<'_>, out: &mut Vec<u8>) {
    let mut put = |word: &[u8], text: &[u8]| {
        [word, b" ", text, b"\n"].iter().for_each(|part| out.extend_from_slice(part));
    };
    match event {
        Event::Snapshot => put(b"SNAPSHOT", b""),
        Event::Position { record, has_entered } => {
            if *has_entered {
                put(b"ENTERS", record.client());
            }
            put(record.client(), record.line());
        }
        Event::Gone { client, .. } => put(b"GONE", client),
        Event::CaughtUp => put(b"CAUGHT-UP", b""),
        Event::Mark { bookmark: Bookmark { epoch, piece }, .. } => {
            let (channel, number) = piece.map_or((0, 0), |piece| (piece.channel, piece.number));
            put(b"MARK", format!("{} {epoch} {channel} {number}", origin.incarnation).as_bytes());
        }
        Event::Link { .. } | Event::Pause => {}
    }
}

impl Watcher {
    /// One of everywhere or of an area, that is cut often or seldom.
    pub fn new(place: Option<Place>, random: &mut Rng) -> Watcher {
        Watcher {
            place,
            cut_one_in: random.u32(10..1_000),
            since: None,
            known: BTreeMap::new(),
            is_unsure: true,
            missed: None,
            stream: None,
        }
    }

    /// It is cut no more.
    pub fn stay(&mut self) {
        self.cut_one_in = 0;
    }

    /// Reads what has come, and asks for more; or is cut.
    pub fn go_on(&mut self, running: &Running, now: Duration, random: &mut Rng) {
        let incarnation = running.core.neighbours.own.incarnation;
        let is_cut = self.cut_one_in > 0 && random.u32(..self.cut_one_in) == 0;
        if self.stream.as_ref().is_some_and(|stream| is_cut || stream.incarnation != incarnation) {
            self.stream = None;
        }
        let feed = &running.core.flood.feed;
        let stream = self.stream.get_or_insert_with(|| {
            let view = View { scope: Scope { clients: Clients::All, place: self.place }, write };
            let since = self.since.filter(|(of, _)| *of == incarnation).map(|(_, bookmark)| bookmark);
            let reader = feed.join(view, since);
            Stream { incarnation, is_anew: false, reader, alive: Arc::default(), answer: Arc::default() }
        });
        // Some read slowly.
        if random.bool() {
            let answer = stream.answer.lock().expect("no panic before").take();
            if let Some((reader, bytes)) = answer {
                stream.reader = Some(reader);
                self.read(&bytes);
            }
        }
        let Some(stream) = &mut self.stream else { return };
        if let Some(reader) = stream.reader.take() {
            let answer = stream.answer.clone();
            let kept = move |reader, bytes| *answer.lock().expect("no panic before") = Some((reader, bytes));
            assert!(feed.ask(reader, Arc::downgrade(&stream.alive), kept), "{now:?}");
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        let Some(stream) = &mut self.stream else { return };
        let mut enters: &[u8] = b"";
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let (word, text) = line.split_at(line.iter().position(|&byte| byte == b' ').expect("two words"));
            let text = &text[1..];
            match word {
                b"SNAPSHOT" => {
                    (self.known, self.since) = (BTreeMap::new(), None);
                    (stream.is_anew, self.is_unsure) = (true, true);
                }
                b"GONE" => drop(self.known.remove(text)),
                b"ENTERS" => enters = text,
                // All that came before it came back was told.
                b"CAUGHT-UP" => self.is_unsure &= stream.is_anew,
                b"MARK" => {
                    let text = std::str::from_utf8(text).expect("digits");
                    let numbers: Vec<u64> =
                        text.split(' ').map(|number| number.parse().expect("a number")).collect();
                    let [incarnation, epoch, channel, number] = numbers[..] else { panic!("{text}") };
                    let piece = (channel > 0).then_some(PieceId { channel, number });
                    let epoch = u32::try_from(epoch).expect("an epoch");
                    self.since = Some((incarnation, Bookmark { epoch, piece }));
                }
                client => {
                    let was_known = self.known.insert(client.to_vec(), text.to_vec()).is_some();
                    if self.place.is_some() && !was_known && enters != client && !self.is_unsure {
                        self.missed.get_or_insert(client.to_vec());
                    }
                }
            }
        }
    }

    /// Which client it knows otherwise than the server that it watches, which is quiet. What is not shown any more it
    /// may know until it is forgotten.
    pub fn differs(&self, running: &Running) -> Option<String> {
        if let Some(client) = &self.missed {
            return Some(format!("{:?} was there without having entered", String::from_utf8_lossy(client)));
        }
        let mut shown = BTreeMap::new();
        for bucket in running.node().store.buckets() {
            running.node().see_bucket(bucket, |record| {
                if self.place.is_none_or(|place| place.has(record.coordinates())) {
                    shown.insert(record.client().to_vec(), record.line().to_vec());
                }
            });
        }
        let all = shown.keys().chain(self.known.keys());
        let differing = all.into_iter().find(|client| {
            let is_known = running.node().store.read(client, |_| ()).is_some();
            (shown.contains_key(*client) || !is_known) && shown.get(*client) != self.known.get(*client)
        });
        differing.map(|client| {
            let line = |lines: &BTreeMap<Vec<u8>, Vec<u8>>| {
                lines.get(client).map(|line| String::from_utf8_lossy(line).into_owned())
            };
            format!(
                "{:?} is {:?} and told as {:?}",
                String::from_utf8_lossy(client),
                line(&shown),
                line(&self.known)
            )
        })
    }
}
