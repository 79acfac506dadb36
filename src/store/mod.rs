//! What the herd knows: the newest record of every client.
//! The node learns and asks; links and the journal's compaction walk it, and may leave the walk and resume it.
//! It may touch `protocol`'s records and `limits`; time comes as a value.

mod area;
pub mod digest;
mod horizon;
pub mod index;
mod nearest;
mod walk;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

pub use area::Area;
pub use horizon::Horizon;
pub use index::Corners;
pub use nearest::{Around, Look, Looked};
pub use walk::Walk;

use crate::limits::STORE_BUCKETS;
use crate::protocol::{Record, Span, StoredRecord};
use digest::{Differing, Digest};
use index::Index;

/// A mutex-guarded hash map from a client's ID to its record; the ID lies in the record's line,
/// so there is no second key. It is `hashbrown`'s table, on which std's `HashMap` stands too:
/// hashed once an operation, replaced in place.
pub struct Store {
    /// Held for one map operation or the walk through one bucket, never across I/O.
    clients: Mutex<Clients>,
    hashing: Hashing,
    /// Buckets there are, less one.
    mask: usize,
}

/// How clients are spread over the map.
enum Hashing {
    /// In a way that nobody can foresee, so that nobody can choose IDs that all fall into one place.
    Random(RandomState),
    /// In the same way in every run, for a simulation that is to be repeated.
    Seeded(u64),
}

/// One map in parts, the buckets: growing one, or walking it for a link, holds the lock for a
/// small part of what the whole would take.
struct Clients {
    buckets: Vec<Bucket>,
    count: usize,
    /// Notes that clients are to be forgotten, which are records, too, and in the same buckets.
    notes: usize,
    /// Records that a note has kept out or taken out.
    voided: u64,
    /// What is learned now is of this epoch; `close_epoch` begins the next.
    epoch: u32,
    /// Records that were news.
    news: u64,
    /// Records that were forgotten.
    forgotten: u64,
    /// Bytes of the lines.
    bytes: u64,
    /// Where all clients are. None where nobody wants to pay for it.
    index: Option<Box<Index>>,
}

#[derive(Default)]
struct Bucket {
    table: HashTable<StoredRecord>,
    /// The epoch of the latest record learned in it.
    latest: u32,
}

/// What merging a record came to.
#[must_use = "only news is flooded"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is newer than what was stored, which it replaced.
    News,
    /// It is older or equal; nothing changed.
    Stale,
    /// Its client is not known, and there is no room for one more; nothing changed.
    Full,
}

/// Which records of a store a walk is for.
#[derive(Clone, Debug)]
pub enum Wanted {
    /// Those learned in a later epoch; 0 is all.
    After(u32),
    /// Those in which digests differ.
    In(Box<Differing>),
}

impl Default for Store {
    fn default() -> Store {
        Store::new(true)
    }
}

impl Store {
    /// An empty store, with an index of positions or without one.
    pub fn new(is_indexed: bool) -> Store {
        Store::with_buckets(STORE_BUCKETS, is_indexed)
    }

    /// An empty store in so many buckets, a power of two, that is the same in every run with this seed.
    pub fn seeded(count: usize, seed: u64) -> Store {
        Store { hashing: Hashing::Seeded(seed), ..Store::with_buckets(count, true) }
    }

    fn with_buckets(count: usize, is_indexed: bool) -> Store {
        assert!(count.is_power_of_two(), "{count}");
        let buckets = (0..count).map(|_| Bucket::default()).collect();
        Store {
            mask: count - 1,
            clients: Mutex::new(Clients {
                buckets,
                count: 0,
                notes: 0,
                voided: 0,
                epoch: 1,
                news: 0,
                forgotten: 0,
                bytes: 0,
                index: is_indexed.then(Box::default),
            }),
            hashing: Hashing::Random(RandomState::new()),
        }
    }

    /// The buckets, for walking through them.
    pub fn buckets(&self) -> std::ops::RangeInclusive<usize> {
        0..=self.mask
    }
}

/// Whether a record in the map is the client's own, or the note about it.
fn is_of(stored: &StoredRecord, client: &[u8], is_note: bool) -> bool {
    stored.client() == client && stored.is_note() == is_note
}

impl Bucket {
    /// The note about a client, if there is one that counts.
    fn note_of(&self, hash: u64, client: &[u8], horizon: &Horizon) -> Option<Record<&[u8]>> {
        let note = self.table.find(hash, |stored| is_of(stored, client, true))?.borrow();
        (horizon.believes(&note) && !horizon.is_past(&note)).then_some(note)
    }

    /// Whether a client's record was heard before it was to be forgotten.
    fn is_void(&self, hash: u64, record: &Record<&[u8]>, horizon: &Horizon) -> bool {
        let note = self.note_of(hash, record.client(), horizon);
        note.is_some_and(|note| record.received_ns() <= note.received_ns())
    }

    /// Takes out the client's own record, if the note voids it.
    fn take_void(&mut self, hash: u64, note: &Record<&[u8]>, horizon: &Horizon) -> Option<StoredRecord> {
        if !horizon.believes(note) || horizon.is_past(note) {
            return None;
        }
        let found = self.table.find_entry(hash, |stored| is_of(stored, note.client(), false)).ok()?;
        if found.get().borrow().received_ns() > note.received_ns() {
            return None;
        }
        Some(found.remove().0)
    }
}

impl Hashing {
    fn of(&self, client: &[u8]) -> u64 {
        match self {
            Hashing::Random(state) => state.hash_one(client),
            Hashing::Seeded(seed) => xxh3_64_with_seed(client, *seed),
        }
    }
}

/// Who is to be forgotten.
#[derive(Clone, Copy, Debug)]
pub struct Outdated {
    /// Who was heard before this second, since 1970.
    pub oldest_s: i64,
    /// Who was heard, as it seems, after this second, and was learned up to this epoch: nobody knows when that was.
    pub unheard: Option<(i64, u32)>,
    /// Notes from before this second.
    pub oldest_note_s: i64,
}

impl Outdated {
    fn has(&self, record: &StoredRecord) -> bool {
        let received_s = record.borrow().received_s();
        if record.is_note() {
            return received_s < self.oldest_note_s;
        }
        received_s < self.oldest_s
            || self.unheard.is_some_and(|(latest_s, epoch)| received_s > latest_s && record.epoch() <= epoch)
    }
}

impl Store {
    /// The only merge there is: keeps the record if it is newer by [`Record::cmp_age`], and not too far ahead beside
    /// one that is not. Commutes with itself, so that reports, floods and catch-ups may come in any order, any number
    /// of times.
    pub fn learn(&self, record: &Record<&[u8]>, horizon: &Horizon) -> Learned {
        let newer = |stored: &Record<&[u8]>| horizon.is_newer(record, stored, || record.cmp_age(stored));
        self.learn_if(record, horizon, usize::MAX, newer)
    }

    /// The same for a report made to this very server, which is no news when it is a repetition. With
    /// `max` clients known it is not for a client that is not.
    pub fn learn_report(&self, record: &Record<&[u8]>, horizon: &Horizon, max: usize) -> Learned {
        let newer = |stored: &Record<&[u8]>| horizon.is_newer(record, stored, || record.cmp_report(stored));
        self.learn_if(record, horizon, max, newer)
    }

    fn learn_if(
        &self,
        record: &Record<&[u8]>,
        horizon: &Horizon,
        max: usize,
        newer: impl Fn(&Record<&[u8]>) -> bool,
    ) -> Learned {
        let (client, is_note) = (record.client(), record.is_note());
        let hash = self.hashing.of(client);
        let mut clients = self.lock();
        let Clients { buckets, count, notes, voided, epoch, news, bytes, forgotten, index } = &mut *clients;
        let bucket = &mut buckets[self.bucket_of(hash)];
        if *notes > 0 && !is_note && bucket.is_void(hash, record, horizon) {
            *voided += 1;
            return Learned::Stale;
        }
        let count_of_kind = if is_note { &mut *notes } else { &mut *count };
        // A note is of no client. And where the client was, if it is somewhere else now.
        let is_indexed = index.is_some() && !is_note;
        let (mut is_new, mut before) = (false, None);
        match bucket.table.find_mut(hash, |stored| is_of(stored, client, is_note)) {
            Some(stored) if newer(&stored.borrow()) => {
                *bytes -= stored.line().len() as u64;
                if is_indexed {
                    let older = stored.borrow();
                    before = (older.location() != record.location()).then(|| older.coordinates());
                }
                stored.replace(record, *epoch);
            }
            Some(_) => return Learned::Stale,
            None if *count_of_kind >= max => return Learned::Full,
            None => {
                let stored = StoredRecord::new(record, *epoch);
                bucket.table.insert_unique(hash, stored, |stored| self.hashing.of(stored.client()));
                *count_of_kind += 1;
                is_new = true;
            }
        }
        bucket.latest = *epoch;
        *bytes += record.line().len() as u64;
        *news += 1;
        if is_note && let Some(void) = bucket.take_void(hash, record, horizon) {
            *bytes -= void.line().len() as u64;
            if let Some(index) = index {
                index.remove(void.borrow().coordinates(), hash);
            }
            (*count, *voided, *forgotten) = (*count - 1, *voided + 1, *forgotten + 1);
        }
        if let Some(index) = index.as_mut().filter(|_| is_indexed && (is_new || before.is_some())) {
            let (at, locate) = (record.coordinates(), self.locate(buckets));
            match before {
                Some(before) => index.shift(before, at, hash, &locate),
                None => index.insert(at, hash, &locate),
            }
        }
        Learned::News
    }

    /// When a client was to be forgotten, in ns since 1970, if it was.
    pub fn void_until_ns(&self, client: &[u8], horizon: impl FnOnce() -> Horizon) -> Option<u64> {
        // Nearly always there are none.
        if self.notes() == 0 {
            return None;
        }
        let (hash, horizon, clients) = (self.hashing.of(client), horizon(), self.lock());
        let note = clients.buckets[self.bucket_of(hash)].note_of(hash, client, &horizon);
        note.map(|note| note.time_ns())
    }

    /// Records that a note has kept out or taken out, since the start.
    pub fn voided(&self) -> u64 {
        self.lock().voided
    }

    /// How many notes there are.
    pub fn notes(&self) -> usize {
        self.lock().notes
    }

    /// The line to which a report made to this very server is no news, if there is one.
    pub fn superseding(&self, report: &Record<&[u8]>, horizon: &Horizon) -> Option<Vec<u8>> {
        let line = self.read(report.client(), |stored| {
            let is_news = horizon.is_newer(report, &stored, || report.cmp_report(&stored));
            (!is_news).then(|| stored.line().to_vec())
        });
        line.flatten()
    }

    /// Hands the record of a client, if it is known, to `read` while the lock is held.
    pub fn read<T>(&self, client: &[u8], read: impl FnOnce(Record<&[u8]>) -> T) -> Option<T> {
        let hash = self.hashing.of(client);
        let clients = self.lock();
        let bucket = &clients.buckets[self.bucket_of(hash)];
        let stored = bucket.table.find(hash, |stored| is_of(stored, client, false))?;
        Some(read(stored.borrow()))
    }

    /// Hands the records of clients in one of the buckets to `read` while the lock is held.
    pub fn read_bucket(&self, bucket: usize, mut read: impl FnMut(Record<&[u8]>)) {
        let clients = self.lock();
        let records = clients.buckets[bucket].table.iter().filter(|record| !record.is_note());
        records.for_each(|record| read(record.borrow()));
    }

    /// The same of those that were learned after an epoch, and the notes of clients of which nothing else is known.
    pub fn read_newer(&self, bucket: usize, epoch: u32, mut read: impl FnMut(Record<&[u8]>)) {
        let clients = self.lock();
        let bucket = &clients.buckets[bucket];
        if bucket.latest <= epoch {
            return;
        }
        for record in bucket.table.iter().filter(|record| record.epoch() > epoch) {
            let is_known = |client: &[u8]| {
                bucket.table.find(self.hashing.of(client), |stored| is_of(stored, client, false)).is_some()
            };
            if !record.is_note() || !is_known(record.client()) {
                read(record.borrow());
            }
        }
    }

    /// The bucket in which a client is, if it is known.
    pub fn bucket_with(&self, client: &[u8]) -> usize {
        self.bucket_of(self.hashing.of(client))
    }

    /// Appends the AT lines that are wanted of one of the buckets, each with its newline.
    pub fn copy_bucket(&self, bucket: usize, wanted: &Wanted, out: &mut Vec<u8>) {
        let clients = self.lock();
        let bucket = &clients.buckets[bucket];
        let mut add = |record: &StoredRecord| {
            out.extend_from_slice(record.line());
            out.push(b'\n');
        };
        match wanted {
            Wanted::After(epoch) if bucket.latest <= *epoch => {}
            Wanted::After(epoch) => {
                bucket.table.iter().filter(|record| record.epoch() > *epoch).for_each(&mut add);
            }
            Wanted::In(differing) => {
                bucket.table.iter().filter(|record| differing.has(&record.borrow())).for_each(&mut add);
            }
        }
    }

    /// How many clients' records were learned after an epoch.
    pub fn count_after(&self, epoch: u32) -> u64 {
        let newer = |bucket: usize| {
            let clients = self.lock();
            let bucket = &clients.buckets[bucket];
            let is_newer = |record: &&StoredRecord| record.epoch() > epoch;
            if bucket.latest > epoch { bucket.table.iter().filter(is_newer).count() as u64 } else { 0 }
        };
        self.buckets().map(newer).sum()
    }

    /// Ends the epoch and returns it with the news so far: whatever is learned from here on is of a
    /// later one.
    pub fn close_epoch(&self) -> (u32, u64) {
        let mut clients = self.lock();
        let closed = clients.epoch;
        // One a second lasts for 136 years; a count that stood still would only resend too much.
        clients.epoch = closed.saturating_add(1);
        (closed, clients.news)
    }

    /// What is learned now is of this epoch.
    pub fn epoch(&self) -> u32 {
        self.lock().epoch
    }

    /// Records that were news since the start.
    pub fn news(&self) -> u64 {
        self.lock().news
    }

    /// Records that were forgotten since the start.
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    /// What tells whether two servers know the same of what was heard within a time. Walks the store, a bucket at a
    /// time: it is of one moment only when nothing is learned meanwhile.
    pub fn digest(&self, span: Span) -> Digest {
        let mut digest = Digest::of(span);
        for bucket in self.buckets() {
            let clients = self.lock();
            for record in &clients.buckets[bucket].table {
                if span == Span::ALL || span.has(record.borrow().received_s()) {
                    let (client, line) = (record.client(), record.line());
                    if record.is_note() { digest.add_note(client, line) } else { digest.add(client, line) }
                }
            }
        }
        digest
    }

    /// Drops the records of a bucket that are outdated, and tells whose; returns the epoch in which that was.
    pub fn forget(&self, bucket: usize, outdated: &Outdated, gone: &mut Vec<Vec<u8>>) -> u32 {
        let mut clients = self.lock();
        let Clients { buckets, count, notes, bytes, index, .. } = &mut *clients;
        let before = *count;
        buckets[bucket].table.retain(|record| {
            let stays = !outdated.has(record);
            if !stays {
                *if record.is_note() { &mut *notes } else { &mut *count } -= 1;
                *bytes -= record.line().len() as u64;
                if !record.is_note() {
                    gone.push(record.client().to_vec());
                    if let Some(index) = index {
                        index.remove(record.borrow().coordinates(), self.hashing.of(record.client()));
                    }
                }
            }
            stays
        });
        clients.forgotten += (before - clients.count) as u64;
        clients.epoch
    }

    /// The bucket of the client with a hash, by middle bits: the table itself uses the lowest and the highest ones.
    pub fn bucket_of(&self, hash: u64) -> usize {
        (hash >> 32) as usize & self.mask
    }

    /// Bytes of all lines, without newlines.
    pub fn bytes(&self) -> u64 {
        self.lock().bytes
    }

    /// How many clients are known.
    pub fn count(&self) -> usize {
        self.lock().count
    }

    /// A panic is the end of the process, so a poisoned lock is one that a test left behind.
    fn lock(&self) -> MutexGuard<'_, Clients> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
