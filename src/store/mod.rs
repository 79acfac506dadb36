//! What the herd knows: the newest record of every client.
//! The node learns and asks; links and the journal's compaction walk it, and may leave the walk and resume it.
//! It may touch `protocol`'s records and `limits`; time comes as a value.

mod area;
mod arena;
pub mod digest;
mod forget;
mod horizon;
pub mod index;
mod loading;
mod map;
mod nearest;
mod reading;
mod walk;

use std::hash::RandomState;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use area::Area;
pub use forget::Outdated;
pub use horizon::Horizon;
pub use index::Corners;
pub use loading::{Batch, Loading};
pub use nearest::{Around, Look, Looked};
pub use walk::Walk;

use crate::limits::STORE_BUCKETS;
use crate::protocol::{Coordinates, Record};
use digest::Differing;
use index::Index;
use map::{Hashing, Map, bucket_of};

/// A mutex-guarded map from a client's ID to its record.
pub struct Store {
    /// Held for one map operation or the walk through one bucket, never across I/O.
    clients: Mutex<Clients>,
    hashing: Hashing,
    bucket_count: usize,
}

struct Clients {
    map: Map,
    count: usize,
    /// Notes that clients are to be forgotten, which are records, too, and in the same map.
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

/// What merging a record came to.
#[must_use = "only news is flooded"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is newer than what was stored, which it replaced.
    News,
    /// It is older or equal; nothing changed.
    Stale,
    /// Its client is not known, and there is no room for one more; nothing changed. The same of any record where there are
    /// billions, which is as many as there are handles for.
    Full,
    /// The same, as so many clients are forgotten.
    FullOfNotes,
}

/// How many a store holds, and how many clients strangers may make it know. What neighbours say is merged all the same,
/// so that servers agree.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub count: usize,
    pub notes: usize,
    pub max: usize,
}

impl Room {
    /// Why one more client is refused of which nothing is known, or the note of such a one. Records and notes together
    /// are twice as many as may be known, at most: whoever invents clients and has them forgotten comes to an end, too.
    pub fn refusal(self, is_note: bool) -> Option<Learned> {
        match is_note {
            true => (self.notes >= self.max).then_some(Learned::FullOfNotes),
            false if self.count >= self.max => Some(Learned::Full),
            false => (self.count + self.notes >= self.max.saturating_mul(2)).then_some(Learned::FullOfNotes),
        }
    }
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
        Store::with_buckets(STORE_BUCKETS, Hashing::Random(RandomState::new()), is_indexed)
    }

    /// An empty store in so many buckets, a power of two, that is the same in every run with this seed.
    pub fn seeded(count: usize, seed: u64) -> Store {
        Store::with_buckets(count, Hashing::Seeded(seed), true)
    }

    fn with_buckets(count: usize, hashing: Hashing, is_indexed: bool) -> Store {
        Store {
            bucket_count: count,
            clients: Mutex::new(Clients {
                index: is_indexed.then(Box::default),
                ..Clients::new(Map::new(count, hashing.clone()))
            }),
            hashing,
        }
    }

    /// The buckets, for walking through them.
    pub fn buckets(&self) -> std::ops::RangeInclusive<usize> {
        0..=self.bucket_count - 1
    }
}

impl Clients {
    /// None yet, and no index.
    fn new(map: Map) -> Clients {
        Clients { map, count: 0, notes: 0, voided: 0, epoch: 1, news: 0, forgotten: 0, bytes: 0, index: None }
    }

    fn room(&self, max: usize) -> Room {
        Room { count: self.count, notes: self.notes, max }
    }

    /// The note about a client, if there is one that counts.
    fn note_of(&self, hash: u64, client: &[u8], horizon: &Horizon) -> Option<Record<&[u8]>> {
        let note = self.map.record(hash, client, true)?;
        (horizon.believes(&note) && !horizon.is_past(&note)).then_some(note)
    }

    /// Whether a client's record was heard before it was to be forgotten.
    fn is_void(&self, hash: u64, record: &Record<&[u8]>, horizon: &Horizon) -> bool {
        let note = self.note_of(hash, record.client(), horizon);
        note.is_some_and(|note| horizon.is_void(record, &note))
    }

    /// Takes out the client's own record, if the note voids it.
    fn take_void(&mut self, hash: u64, note: &Record<&[u8]>, horizon: &Horizon) {
        if !horizon.believes(note) || horizon.is_past(note) {
            return;
        }
        let Some(handle) = self.map.find(hash, note.client(), false) else { return };
        let void = self.map.get(handle).record();
        if !horizon.is_void(&void, note) {
            return;
        }
        self.bytes -= void.line().len() as u64;
        if let Some(index) = &mut self.index {
            index.remove(void.coordinates(), hash);
        }
        self.map.remove(hash, handle);
        (self.count, self.voided, self.forgotten) = (self.count - 1, self.voided + 1, self.forgotten + 1);
    }

    /// Has the index know where a client is that is new, or was elsewhere before.
    fn reindex(&mut self, hash: u64, record: &Record<&[u8]>, before: Option<Coordinates>) {
        let Some(index) = &mut self.index else { return };
        let (at, locate) = (record.coordinates(), self.map.locate());
        match before {
            Some(before) => index.shift(before, at, hash, &locate),
            None => index.insert(at, hash, &locate),
        }
    }

    /// The merge, of a record whose client has this hash.
    fn learn(
        &mut self,
        hash: u64,
        record: &Record<&[u8]>,
        horizon: &Horizon,
        max: usize,
        newer: impl Fn(&Record<&[u8]>) -> bool,
    ) -> Learned {
        let (client, is_note) = (record.client(), record.is_note());
        if self.notes > 0 && !is_note && self.is_void(hash, record, horizon) {
            self.voided += 1;
            return Learned::Stale;
        }
        let epoch = self.epoch;
        match self.map.find(hash, client, is_note) {
            Some(handle) => {
                let stored = self.map.get(handle).record();
                if !newer(&stored) {
                    return Learned::Stale;
                }
                let length = stored.line().len() as u64;
                // A note is of no client. And where the client was, if it is somewhere else now.
                let has_moved = self.index.is_some() && !is_note && stored.location() != record.location();
                let before = has_moved.then(|| stored.coordinates());
                if !self.map.replace(hash, handle, record, epoch) {
                    return Learned::Full;
                }
                self.bytes -= length;
                if before.is_some() {
                    self.reindex(hash, record, before);
                }
            }
            None => {
                let refusal = (max < usize::MAX).then(|| self.room(max).refusal(is_note)).flatten();
                // A note takes the place of what is known of its client, so whoever is known can be forgotten.
                let is_known = || is_note && self.map.find(hash, client, false).is_some();
                if let Some(refusal) = refusal.filter(|_| !is_known()) {
                    return refusal;
                }
                if !self.map.insert(hash, record, epoch) {
                    return Learned::Full;
                }
                if is_note {
                    self.notes += 1;
                } else {
                    self.count += 1;
                    self.reindex(hash, record, None);
                }
            }
        }
        self.bytes += record.line().len() as u64;
        self.news += 1;
        if is_note {
            self.take_void(hash, record, horizon);
        }
        Learned::News
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

    /// The same for a report made to this very server, which is no news when it is a repetition, or for a note made
    /// here. With `max` clients known it is not for a client that is not.
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
        let hash = self.hashing.of(record.client());
        self.lock().learn(hash, record, horizon, max, newer)
    }

    /// When a client was to be forgotten, in ns since 1970, if it was.
    pub fn void_until_ns(&self, client: &[u8], horizon: impl FnOnce() -> Horizon) -> Option<u64> {
        // Nearly always there are none.
        if self.notes() == 0 {
            return None;
        }
        let (hash, horizon, clients) = (self.hashing.of(client), horizon(), self.lock());
        clients.note_of(hash, client, &horizon).map(|note| note.time_ns())
    }

    /// Records that a note has kept out or taken out, since the start.
    pub fn voided(&self) -> u64 {
        self.lock().voided
    }

    /// What there is room for.
    pub fn room(&self, max: usize) -> Room {
        self.lock().room(max)
    }

    /// Whether there is a record of a client, or a note about it.
    pub fn has(&self, client: &[u8]) -> bool {
        let hash = self.hashing.of(client);
        self.lock().map.has(hash, client)
    }

    /// How many notes there are.
    pub fn notes(&self) -> usize {
        self.lock().notes
    }

    /// The bucket in which a client is, if it is known.
    pub fn bucket_with(&self, client: &[u8]) -> usize {
        self.bucket_of(self.hashing.of(client))
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

    /// The bucket of the client with a hash.
    pub fn bucket_of(&self, hash: u64) -> usize {
        bucket_of(hash, self.bucket_count)
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
