//! Those who watch a simulated server: the real feed, feeder and readers, cut at random, and what they know by it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use herd::feed::{Event, Origin, Reader, Scope, View};
use herd::node::Clients;

use super::server::Running;

/// Somebody who watches one server, and comes back whenever they are cut.
#[derive(Default)]
pub struct Watcher {
    /// Up to which epoch of which start all was told.
    since: Option<(u64, u32)>,
    /// The AT line of each client.
    pub known: BTreeMap<Vec<u8>, Vec<u8>>,
    stream: Option<Stream>,
}

/// How far a reader has come, and what it was sent.
type Answer = (Reader, Arc<[u8]>);

struct Stream {
    incarnation: u64,
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
        Event::Position { record, .. } => put(record.client(), record.line()),
        Event::Gone { client, .. } => put(b"GONE", client),
        Event::Mark(epoch) => put(b"MARK", format!("{} {epoch}", origin.incarnation).as_bytes()),
        Event::Link { .. } | Event::CaughtUp | Event::Pause => {}
    }
}

impl Watcher {
    /// Reads what has come, and asks for more; or is cut.
    pub fn go_on(&mut self, running: &Running, now: Duration, random: &mut Rng) {
        let incarnation = running.core.neighbours.own.incarnation;
        let is_cut = random.u8(..30) == 0;
        if self.stream.as_ref().is_some_and(|stream| is_cut || stream.incarnation != incarnation) {
            self.stream = None;
        }
        let feed = &running.core.flood.feed;
        let stream = self.stream.get_or_insert_with(|| {
            let view = View { scope: Scope { clients: Clients::All, place: None }, write };
            let since = self.since.filter(|(of, _)| *of == incarnation).map(|(_, epoch)| epoch);
            let reader = feed.join(view, since);
            Stream { incarnation, reader, alive: Arc::default(), answer: Arc::default() }
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
        for line in bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
            let (word, text) = line.split_at(line.iter().position(|&byte| byte == b' ').expect("two words"));
            let text = &text[1..];
            match word {
                b"SNAPSHOT" => (self.known, self.since) = (BTreeMap::new(), None),
                b"GONE" => drop(self.known.remove(text)),
                b"MARK" => {
                    let text = std::str::from_utf8(text).expect("digits");
                    let (incarnation, epoch) = text.split_once(' ').expect("two numbers");
                    self.since = incarnation.parse().ok().zip(epoch.parse().ok());
                }
                client => drop(self.known.insert(client.to_vec(), text.to_vec())),
            }
        }
    }

    /// Which client it knows otherwise than the server that it watches, which is quiet. What is not shown any more it
    /// may know until it is forgotten.
    pub fn differs(&self, running: &Running) -> Option<String> {
        let mut shown = BTreeMap::new();
        for bucket in running.node().store.buckets() {
            let node = running.node();
            node.see_bucket(bucket, |record| {
                drop(shown.insert(record.client().to_vec(), record.line().to_vec()))
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
