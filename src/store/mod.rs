//! What the herd knows: the newest record of every client.
//! The node learns and asks; links and the journal's compaction walk it, and may leave the walk and resume it.
//! It may touch `protocol`'s records and `limits`; time comes as a value.

pub mod digest;
mod walk;

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

pub use walk::Walk;

use crate::limits::STORE_BUCKETS;
use crate::protocol::{Record, StoredRecord};
use digest::{Digest, Parts};

/// A mutex-guarded hash map from a client's ID to its record; the ID lies in the record's line,
/// so there is no second key. It is `hashbrown`'s table, on which std's `HashMap` stands too:
/// hashed once an operation, replaced in place.
pub struct Store {
    /// Held for one map operation or the walk through one bucket, never across I/O.
    clients: Mutex<Clients>,
    hasher: RandomState,
    /// Buckets there are, less one.
    mask: usize,
}

/// One map in parts, the buckets: growing one, or walking it for a link, holds the lock for a
/// small part of what the whole would take.
struct Clients {
    buckets: Vec<Bucket>,
    count: usize,
    /// What is learned now is of this epoch; `close_epoch` begins the next.
    epoch: u32,
    /// Records that were news.
    news: u64,
    /// Records that were forgotten.
    forgotten: u64,
    /// Bytes of the lines.
    bytes: u64,
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
    /// Those in parts of the digest that differ.
    In(Box<Parts>),
}

impl Default for Store {
    fn default() -> Store {
        Store::with_buckets(STORE_BUCKETS)
    }
}

impl Store {
    /// An empty store in so many buckets, a power of two.
    pub fn with_buckets(count: usize) -> Store {
        assert!(count.is_power_of_two(), "{count}");
        let buckets = (0..count).map(|_| Bucket::default()).collect();
        Store {
            mask: count - 1,
            clients: Mutex::new(Clients { buckets, count: 0, epoch: 1, news: 0, forgotten: 0, bytes: 0 }),
            hasher: RandomState::new(),
        }
    }

    /// The buckets, for walking through them.
    pub fn buckets(&self) -> std::ops::RangeInclusive<usize> {
        0..=self.mask
    }
}

/// Whether a record was heard by its origin before this second, if there is such a limit.
fn is_past(record: &Record<&[u8]>, oldest_s: Option<i64>) -> bool {
    oldest_s.is_some_and(|oldest_s| record.received_s() < oldest_s)
}

impl Store {
    /// The only merge there is: keeps the record if it is newer by [`Record::cmp_age`]. Commutes
    /// with itself, so that reports, floods and catch-ups may come in any order, any number of times.
    /// What was heard before `oldest_s` is as good as dropped already, and in nobody's way.
    pub fn learn(&self, record: &Record<&[u8]>, oldest_s: Option<i64>) -> Learned {
        let newer = |stored: &Record<&[u8]>| is_past(stored, oldest_s) || record.cmp_age(stored).is_gt();
        self.learn_if(record, usize::MAX, newer)
    }

    /// The same for a report made to this very server, which is no news when it is a repetition. With
    /// `max` clients known it is not for a client that is not.
    pub fn learn_report(&self, record: &Record<&[u8]>, oldest_s: Option<i64>, max: usize) -> Learned {
        let newer = |stored: &Record<&[u8]>| is_past(stored, oldest_s) || record.cmp_report(stored).is_gt();
        self.learn_if(record, max, newer)
    }

    fn learn_if(
        &self,
        record: &Record<&[u8]>,
        max: usize,
        newer: impl Fn(&Record<&[u8]>) -> bool,
    ) -> Learned {
        let client = record.client();
        let hash = self.hasher.hash_one(client);
        let mut clients = self.lock();
        let Clients { buckets, count, epoch, news, bytes, .. } = &mut *clients;
        let bucket = &mut buckets[self.bucket_of(hash)];
        match bucket.table.find_mut(hash, |stored| stored.client() == client) {
            Some(stored) if newer(&stored.borrow()) => {
                *bytes -= stored.line().len() as u64;
                stored.replace(record, *epoch);
            }
            Some(_) => return Learned::Stale,
            None if *count >= max => return Learned::Full,
            None => {
                let stored = StoredRecord::new(record, *epoch);
                bucket.table.insert_unique(hash, stored, |stored| self.hasher.hash_one(stored.client()));
                *count += 1;
            }
        }
        bucket.latest = *epoch;
        *bytes += record.line().len() as u64;
        *news += 1;
        Learned::News
    }

    /// The line to which a report made to this very server is no news, if there is one.
    pub fn superseding(&self, report: &Record<&[u8]>, oldest_s: Option<i64>) -> Option<Vec<u8>> {
        let line = self.read(report.client(), |stored| {
            let is_news = is_past(&stored, oldest_s) || report.cmp_report(&stored).is_gt();
            (!is_news).then(|| stored.line().to_vec())
        });
        line.flatten()
    }

    /// Hands the record of a client, if it is known, to `read` while the lock is held.
    pub fn read<T>(&self, client: &[u8], read: impl FnOnce(Record<&[u8]>) -> T) -> Option<T> {
        let hash = self.hasher.hash_one(client);
        let clients = self.lock();
        let bucket = &clients.buckets[self.bucket_of(hash)];
        let stored = bucket.table.find(hash, |stored| stored.client() == client)?;
        Some(read(stored.borrow()))
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
            Wanted::In(parts) => {
                bucket.table.iter().filter(|record| parts.has(record.client())).for_each(&mut add);
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

    /// Records that were news since the start.
    pub fn news(&self) -> u64 {
        self.lock().news
    }

    /// Records that were forgotten since the start.
    pub fn forgotten(&self) -> u64 {
        self.lock().forgotten
    }

    /// What tells whether two servers know the same of those heard of since `oldest_s`. Walks the
    /// store, a bucket at a time: it is of one moment only when nothing is learned meanwhile.
    pub fn digest(&self, oldest_s: Option<i64>) -> Digest {
        let mut digest = Digest::default();
        for bucket in self.buckets() {
            let clients = self.lock();
            for record in &clients.buckets[bucket].table {
                if oldest_s.is_none_or(|oldest_s| record.borrow().received_s() >= oldest_s) {
                    digest.add(record.client(), record.line());
                }
            }
        }
        digest
    }

    /// Drops the records of a bucket that were heard before `oldest_s`; returns how many.
    pub fn forget(&self, bucket: usize, oldest_s: i64) -> usize {
        let mut clients = self.lock();
        let Clients { buckets, count, bytes, .. } = &mut *clients;
        let before = *count;
        buckets[bucket].table.retain(|record| {
            let stays = record.borrow().received_s() >= oldest_s;
            if !stays {
                *count -= 1;
                *bytes -= record.line().len() as u64;
            }
            stays
        });
        let forgotten = before - *count;
        clients.forgotten += forgotten as u64;
        forgotten
    }

    /// By middle bits: the table itself uses the lowest and the highest ones.
    fn bucket_of(&self, hash: u64) -> usize {
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
mod tests {
    use super::*;
    use crate::protocol::{Command, record::Offsets};

    fn record(line: &[u8]) -> StoredRecord {
        let Ok(Command::At(parts)) = Command::parse(line) else { panic!("{}", line.escape_ascii()) };
        let mut out = Vec::new();
        let offsets = Offsets::write(&parts, &mut out);
        StoredRecord::new(&Record::new(&out, offsets), 0)
    }

    fn learn(store: &Store, line: &str) -> Learned {
        store.learn(&record(line.as_bytes()).borrow(), None)
    }

    fn line_of(store: &Store, client: &str) -> Option<String> {
        store.read(client.as_bytes(), |record| String::from_utf8_lossy(record.line()).into_owned())
    }

    fn sorted_lines(store: &Store) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        store.buckets().for_each(|bucket| store.copy_bucket(bucket, &Wanted::After(0), &mut all));
        let mut lines: Vec<_> = all.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort();
        lines
    }

    fn wanted(store: &Store, wanted: &Wanted) -> Vec<String> {
        let mut all = Vec::new();
        store.buckets().for_each(|bucket| store.copy_bucket(bucket, wanted, &mut all));
        let mut lines: Vec<_> = String::from_utf8_lossy(&all).lines().map(str::to_owned).collect();
        lines.sort();
        lines
    }

    #[test]
    fn what_is_past_is_in_nobodys_way() {
        let store = Store::default();
        let told = |line: &str, oldest_s| store.learn(&record(line.as_bytes()).borrow(), oldest_s);
        assert_eq!(told("AT G -90 a +1+1 100", None), Learned::News, "heard at 10");
        assert_eq!(told("AT G +0 a +1+1 50", Some(10)), Learned::Stale);
        assert_eq!(told("AT G +0 a +1+1 50", Some(11)), Learned::News);
        assert_eq!(store.count(), 1);
    }

    #[test]
    fn a_walk_finds_what_was_learned_after_an_epoch_and_no_more() {
        let store = Store::default();
        assert_eq!(learn(&store, "AT G +0 kiwi +1+1 1"), Learned::News);
        assert_eq!(learn(&store, "AT G +0 fig +1+1 1"), Learned::News);
        let (first, _) = store.close_epoch();
        assert_eq!(wanted(&store, &Wanted::After(first)), [""; 0]);
        assert_eq!(learn(&store, "AT G +0 fig +1+1 1"), Learned::Stale);
        assert_eq!(learn(&store, "AT G +0 kiwi +1+1 2"), Learned::News);
        assert_eq!(wanted(&store, &Wanted::After(first)), ["AT G +0 kiwi +1+1 2"]);
        let (second, news) = store.close_epoch();
        assert_eq!((news, store.news()), (3, 3));
        assert_eq!(learn(&store, "AT G +0 plum +1+1 2"), Learned::News);
        assert_eq!(wanted(&store, &Wanted::After(second)), ["AT G +0 plum +1+1 2"]);
        assert_eq!(wanted(&store, &Wanted::After(0)).len(), 3);
        assert_eq!([0, first, second, second + 1].map(|epoch| store.count_after(epoch)), [3, 2, 1, 0]);
    }

    #[test]
    fn stores_differ_in_the_parts_that_hold_different_records_and_repair_each_other() {
        let (a, b) = (Store::default(), Store::default());
        for i in 0..5_000 {
            for store in [&a, &b] {
                let _ = learn(store, &format!("AT G +0 c{i} +1+1 1"));
            }
        }
        assert_eq!(a.digest(None), b.digest(None));
        let _ = learn(&a, "AT G +0 c7 +1+1 2");
        let _ = learn(&b, "AT G +0 c8 +1+1 2");
        let _ = learn(&b, "AT G +0 only +1+1 2");
        let parts = a.digest(None).differing(&b.digest(None));
        let (from_a, from_b) = (Wanted::In(parts.clone().into()), Wanted::In(parts.into()));
        let (from_a, from_b) = (wanted(&a, &from_a), wanted(&b, &from_b));
        assert!(from_a.len() < 200 && from_b.len() < 200, "{} {}", from_a.len(), from_b.len());
        from_a.iter().for_each(|line| {
            let _ = learn(&b, line);
        });
        from_b.iter().for_each(|line| {
            let _ = learn(&a, line);
        });
        assert_eq!(a.digest(None), b.digest(None));
        assert_eq!(sorted_lines(&a), sorted_lines(&b));
    }

    #[test]
    fn the_newest_record_of_a_client_stays() {
        let store = Store::default();
        assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 10"), Learned::News);
        assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 10"), Learned::Stale);
        assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 9.9"), Learned::Stale);
        assert_eq!(learn(&store, "AT G +0.25 kiwi +2+1 10.5"), Learned::News);
        assert_eq!(learn(&store, "AT G +0.1 fig +1+1 1"), Learned::News);
        assert_eq!(line_of(&store, "kiwi").as_deref(), Some("AT G +0.25 kiwi +2+1 10.5"));
        assert_eq!((store.count(), line_of(&store, "kiw")), (2, None));
    }

    #[test]
    fn what_was_not_heard_for_long_is_forgotten_and_nothing_else() {
        let store = Store::default();
        for (client, line) in [("old", "AT G +5 old +1+1 10"), ("new", "AT G +6 new +1+1 10")] {
            assert_eq!(learn(&store, line), Learned::News, "{client}");
        }
        assert_eq!(store.digest(Some(16)).count, 1);
        let forgotten: usize = store.buckets().map(|bucket| store.forget(bucket, 16)).sum();
        assert_eq!((forgotten, store.count(), line_of(&store, "old")), (1, 1, None));
        assert_eq!(store.bytes(), line_of(&store, "new").expect("known").len() as u64);
    }

    #[test]
    fn a_repeated_report_is_stale_and_a_repeated_record_with_a_greater_difference_is_not() {
        let store = Store::default();
        let again = record(b"AT G +5.0 kiwi +1+1 10");
        assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 10"), Learned::News);
        assert_eq!(store.learn_report(&again.borrow(), None, usize::MAX), Learned::Stale);
        assert_eq!(store.learn(&again.borrow(), None), Learned::News);
    }

    /// Records that collide in time, location, origin and difference as often as they can.
    fn random_record(random: &mut fastrand::Rng) -> Vec<u8> {
        let pick = |random: &mut fastrand::Rng, from: &[&str]| from[random.usize(..from.len())].to_owned();
        let time = pick(random, &["1", "1.0", "01", "1.5", "2", "10", "1.000000001", "99999999999999999999"]);
        let origin = pick(random, &["Goloman", "Hands", "Wilkes"]);
        let difference = pick(random, &["+0.1", "+0.10", "-3", "+12.000000000"]);
        let location = pick(random, &["+1+1", "+1-1", "-1+1", "+01+1", "+1+001"]);
        format!("AT {origin} {difference} client{} {location} {time}", random.u8(..4)).into_bytes()
    }

    #[test]
    fn any_order_duplication_and_split_between_servers_gives_the_same_store() {
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..300 {
            let records: Vec<_> = (0..random.usize(1..40)).map(|_| random_record(&mut random)).collect();
            let servers: Vec<_> = (0..3).map(|_| Store::default()).collect();
            let split = |random: &mut fastrand::Rng| random.usize(..servers.len());
            for line in &records {
                for _ in 0..random.usize(1..3) {
                    let _ = servers[split(&mut random)].learn(&record(line).borrow(), None);
                }
            }
            // Each server then hears from the others, in an order of its own, some of it twice.
            let mut heard: Vec<_> = servers.iter().flat_map(sorted_lines).collect();
            heard.extend_from_within(..heard.len() / 2);
            for server in &servers {
                random.shuffle(&mut heard);
                for line in &heard {
                    let _ = server.learn(&record(line).borrow(), None);
                }
            }
            let expected = Store::default();
            for line in &records {
                let _ = expected.learn(&record(line).borrow(), None);
            }
            for server in &servers {
                assert_eq!(sorted_lines(server), sorted_lines(&expected), "seed {seed}");
                assert_eq!(server.count(), expected.count());
            }
        }
    }
}
