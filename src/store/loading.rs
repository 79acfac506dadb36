//! Filling an empty store with many records at once, be it by several threads. The start does so, while it reads a journal.
//!
//! What can be done without a lock is done before: clients are hashed. Where several threads load, every part of the
//! clients, by their hashes, has a map and a lock of its own, so that they hardly wait for each other; at the end these
//! maps are joined, and the index is made. And the memory that some records need is fetched for all of them together.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use super::map::{Map, bucket_of, parts_of};
use super::{Clients, Horizon, Store};
use crate::limits::{FETCHED_AT_ONCE, FETCHED_FROM_CLIENTS, INDEXED_AT_ONCE, LOADING_PARTS};
use crate::protocol::Record;
use crate::protocol::record::{AtFields, Offsets};

/// A store that is being filled.
pub struct Loading<'s> {
    store: &'s Store,
    /// None where one thread fills the store itself.
    parts: Box<[Mutex<Clients>]>,
}

/// Records that are to be learned, with the hashes of their clients.
#[derive(Default)]
pub struct Batch {
    lines: Vec<u8>,
    /// Those of each part.
    parts: Vec<Vec<Item>>,
    count: usize,
}

/// One of them.
struct Item {
    /// Where its line begins and ends.
    start: u32,
    end: u32,
    offsets: Offsets,
    hash: u64,
}

impl Batch {
    /// How many were added since it was last cleared.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn clear(&mut self) {
        self.lines.clear();
        self.parts.iter_mut().for_each(Vec::clear);
        self.count = 0;
    }
}

impl Store {
    /// Begins to fill it, in so many threads.
    pub fn load(&self, threads: usize) -> Loading<'_> {
        let parts = if threads > 1 { parts_of(self.bucket_count, LOADING_PARTS) } else { 0 };
        let clients = || Mutex::new(Clients::new(Map::part(self.bucket_count, self.hashing.clone(), parts)));
        Loading { store: self, parts: (0..parts).map(|_| clients()).collect() }
    }
}

impl Loading<'_> {
    /// Adds a record to those that are to be learned.
    pub fn add(&self, fields: &AtFields<'_>, batch: &mut Batch) {
        let (hash, start) = (self.store.hashing.of(fields.client), batch.lines.len() as u32);
        let offsets = Offsets::write(fields, &mut batch.lines);
        let end = batch.lines.len() as u32;
        let part = bucket_of(hash, self.store.bucket_count) * self.parts.len() / self.store.bucket_count;
        if batch.parts.len() <= part {
            batch.parts.resize_with(part + 1, Vec::new);
        }
        batch.parts[part].push(Item { start, end, offsets, hash });
        batch.count += 1;
    }

    /// Learns them, as [`Store::learn`] does each.
    pub fn learn(&self, batch: &Batch, horizon: &Horizon) {
        if self.parts.is_empty() {
            let items = batch.parts.iter().flat_map(|items| items.chunks(FETCHED_AT_ONCE));
            return items.for_each(|items| learn(&mut self.store.lock(), &batch.lines, items, horizon));
        }
        let mut left: Vec<_> = batch.parts.iter().zip(&self.parts).collect();
        while !left.is_empty() {
            let before = left.len();
            left.retain(|(items, part)| match part.try_lock() {
                Ok(mut clients) => {
                    learn(&mut clients, &batch.lines, items, horizon);
                    false
                }
                Err(TryLockError::WouldBlock) => true,
                Err(TryLockError::Poisoned(_)) => false,
            });
            // Others are at all of these.
            if left.len() == before
                && let Some((items, part)) = left.pop()
            {
                learn(&mut lock(part), &batch.lines, items, horizon);
            }
        }
    }

    /// All is learned.
    pub fn end(self) {
        if self.parts.is_empty() {
            return;
        }
        let clients = &mut *self.store.lock();
        for part in self.parts {
            clients.join(part.into_inner().unwrap_or_else(PoisonError::into_inner));
        }
        clients.index_all();
    }
}

fn lock(part: &Mutex<Clients>) -> MutexGuard<'_, Clients> {
    part.lock().unwrap_or_else(PoisonError::into_inner)
}

fn learn(clients: &mut Clients, lines: &[u8], items: &[Item], horizon: &Horizon) {
    for items in items.chunks(FETCHED_AT_ONCE) {
        if clients.count >= FETCHED_FROM_CLIENTS / LOADING_PARTS {
            let mut hashes = [0; FETCHED_AT_ONCE];
            hashes.iter_mut().zip(items).for_each(|(hash, item)| *hash = item.hash);
            clients.map.fetch(&hashes[..items.len()]);
        }
        for item in items {
            let record = Record::new(&lines[item.start as usize..item.end as usize], item.offsets);
            let newer = |stored: &Record<&[u8]>| horizon.is_newer(&record, stored, || record.cmp_age(stored));
            // What is superseded by another one is no news.
            let _ = clients.learn(item.hash, &record, horizon, usize::MAX, newer);
        }
    }
}

impl Clients {
    /// Takes in all that is known of other clients, without the index.
    fn join(&mut self, other: Clients) {
        self.map.join(other.map);
        self.count += other.count;
        self.notes += other.notes;
        self.voided += other.voided;
        self.news += other.news;
        self.forgotten += other.forgotten;
        self.bytes += other.bytes;
    }

    /// Has the index, which is empty, know all clients. Those who are near each other come in together, as far as a little
    /// memory allows, so that less of the tree's memory is waited for.
    fn index_all(&mut self) {
        let Some(index) = &mut self.index else { return };
        let mut places = Vec::with_capacity(INDEXED_AT_ONCE.min(self.count));
        for bucket in 0..self.map.bucket_count() {
            self.map.places(bucket, &mut places);
            if places.len() >= INDEXED_AT_ONCE || bucket + 1 == self.map.bucket_count() {
                index.insert_all(&mut places, &self.map.locate());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::hash::RandomState;

    use super::super::map::Hashing;
    use super::*;
    use crate::limits::STORE_BUCKETS;
    use crate::protocol::{Command, Coordinates, Span};

    fn fields_of(line: &str) -> AtFields<'_> {
        let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        fields
    }

    fn random_line(random: &mut fastrand::Rng) -> String {
        let client = random.u32(..3_000);
        let (origin, time) = if random.u32(..50) == 0 { ("*", 40) } else { ("G", 0) };
        let time = time + random.u32(..100);
        // Lines of many sizes.
        let fill = "x".repeat(client as usize % 7 * 40);
        let (north, east) = (random.i32(-89..90), random.i32(-179..180));
        let most = 1 << random.u32(1..30);
        format!("AT {origin} +0 c{client}{fill} {north:+}{east:+}.{} {time}", random.u32(..most))
    }

    /// Several threads come to the same as one that learns record by record.
    #[test]
    fn what_several_threads_load_is_what_one_learns() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        let lines: Vec<_> = (0..40_000).map(|_| random_line(&mut random)).collect();
        let horizon = Horizon::default();
        let (one, mut scratch) = (Store::default(), Vec::new());
        for line in &lines {
            let _ = one.learn(&Record::write(&fields_of(line), &mut scratch), &horizon);
        }
        for threads in [1, 3] {
            let several = Store::with_buckets(STORE_BUCKETS, Hashing::Random(RandomState::new()), true);
            let loading = several.load(threads);
            std::thread::scope(|scope| {
                for lines in lines.chunks(lines.len().div_ceil(threads)) {
                    let loading = &loading;
                    scope.spawn(move || {
                        let mut batch = Batch::default();
                        for lines in lines.chunks(1_000) {
                            lines.iter().for_each(|line| loading.add(&fields_of(line), &mut batch));
                            assert_eq!(batch.count(), lines.len());
                            loading.learn(&batch, &horizon);
                            batch.clear();
                        }
                    });
                }
            });
            loading.end();
            assert!(several.digest(Span::ALL) == one.digest(Span::ALL), "seed {seed}, {threads} threads");
            let sums = |store: &Store| (store.count(), store.notes(), store.bytes());
            assert_eq!(sums(&several), sums(&one), "seed {seed}");
            several.check();
            // It goes on as one that learned all itself.
            for line in &lines[..2_000] {
                let moved = line.replace(" +0 c", " +0 d").replacen("AT * ", "AT G ", 1);
                let _ = several.learn(&Record::write(&fields_of(&moved), &mut scratch), &horizon);
            }
            several.check();
            for bucket in several.buckets() {
                let outdated = super::super::Outdated { oldest_s: 60, unheard: None, oldest_note_s: 60 };
                several.forget(bucket, &outdated, &mut Vec::new());
            }
            several.check();
        }
    }

    impl Store {
        /// Every record is found, and every client is in the index where it is.
        fn check(&self) {
            let clients = self.lock();
            let (mut places, mut count) = (Vec::new(), 0);
            for bucket in 0..clients.map.bucket_count() {
                for record in clients.map.records(bucket) {
                    let hash = self.hashing.of(record.client());
                    assert_eq!(self.bucket_of(hash), bucket);
                    let found = clients.map.record(hash, record.client(), record.is_note());
                    assert_eq!(found.expect("found").line(), record.line());
                    count += 1;
                }
                clients.map.places(bucket, &mut places);
            }
            assert_eq!((count, places.len()), (clients.count + clients.notes, clients.count));
            let index = clients.index.as_ref().expect("an index");
            let all: Vec<(Coordinates, u64)> = places;
            assert!(all.iter().all(|&(at, hash)| index.has(at, hash)));
        }
    }
}
