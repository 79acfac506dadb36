//! What the herd knows: the newest record of every client. `node` learns and asks; a link that
//! is behind walks it.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use hashbrown::HashTable;

use crate::limits::STORE_BUCKETS;
use crate::protocol::{Record, StoredRecord};

/// A mutex-guarded hash map from a client's ID to its record; the ID lies in the record's line,
/// so there is no second key. It is `hashbrown`'s table, on which std's `HashMap` stands too:
/// hashed once an operation, replaced in place.
pub struct Store {
    /// Held for one map operation or the copy of one bucket, never across I/O.
    clients: Mutex<Clients>,
    hasher: RandomState,
}

/// One map in `STORE_BUCKETS` parts: growing one, or copying it for a link, holds the lock for a
/// thousandth of what the whole would take.
struct Clients {
    buckets: Vec<HashTable<StoredRecord>>,
    count: usize,
}

/// What merging a record came to.
#[must_use = "only news is flooded"]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Learned {
    /// It is newer than what was stored, which it replaced.
    News,
    /// It is older or equal; nothing changed.
    Stale,
}

impl Default for Store {
    fn default() -> Store {
        let buckets = (0..STORE_BUCKETS).map(|_| HashTable::new()).collect();
        Store { clients: Mutex::new(Clients { buckets, count: 0 }), hasher: RandomState::new() }
    }
}

impl Store {
    /// The only merge there is: keeps the record if it is newer by [`Record::cmp_age`]. Commutes
    /// with itself, so that reports, floods and catch-ups may come in any order, any number of times.
    pub fn learn(&self, record: &Record<&[u8]>) -> Learned {
        self.learn_if(record, |stored| record.cmp_age(stored).is_gt())
    }

    /// The same for a report made to this very server, which is no news when it is a repetition.
    pub fn learn_report(&self, record: &Record<&[u8]>) -> Learned {
        self.learn_if(record, |stored| record.cmp_report(stored).is_gt())
    }

    fn learn_if(&self, record: &Record<&[u8]>, newer: impl Fn(&StoredRecord) -> bool) -> Learned {
        let client = record.client();
        let hash = self.hasher.hash_one(client);
        let mut clients = self.lock();
        let Clients { buckets, count } = &mut *clients;
        let bucket = &mut buckets[bucket_of(hash)];
        match bucket.find_mut(hash, |stored| stored.client() == client) {
            Some(stored) if newer(stored) => stored.replace(record),
            Some(_) => return Learned::Stale,
            None => {
                bucket.insert_unique(hash, record.into(), |stored| self.hasher.hash_one(stored.client()));
                *count += 1;
            }
        }
        Learned::News
    }

    /// Hands the record of a client, if it is known, to `read` while the lock is held.
    pub fn read<T>(&self, client: &[u8], read: impl FnOnce(Record<&[u8]>) -> T) -> Option<T> {
        let hash = self.hasher.hash_one(client);
        let clients = self.lock();
        let stored = clients.buckets[bucket_of(hash)].find(hash, |stored| stored.client() == client)?;
        Some(read(stored.borrow()))
    }

    /// Appends the AT lines of one of the `STORE_BUCKETS` buckets, each with its newline.
    pub fn copy_bucket(&self, bucket: usize, out: &mut Vec<u8>) {
        let clients = self.lock();
        for record in &clients.buckets[bucket] {
            out.extend_from_slice(record.line());
            out.push(b'\n');
        }
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

/// Middle bits: the table itself uses the lowest and the highest ones.
fn bucket_of(hash: u64) -> usize {
    (hash >> 32) as usize % STORE_BUCKETS
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Command, record::Offsets};

    fn record(line: &[u8]) -> StoredRecord {
        let Ok(Command::At(parts)) = Command::parse(line) else { panic!("{}", line.escape_ascii()) };
        let mut out = Vec::new();
        let offsets = Offsets::write(&parts, &mut out);
        Record::new(out.into(), offsets)
    }

    fn learn(store: &Store, line: &str) -> Learned {
        store.learn(&record(line.as_bytes()).borrow())
    }

    fn line_of(store: &Store, client: &str) -> Option<String> {
        store.read(client.as_bytes(), |record| String::from_utf8_lossy(record.line()).into_owned())
    }

    fn sorted_lines(store: &Store) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        (0..STORE_BUCKETS).for_each(|bucket| store.copy_bucket(bucket, &mut all));
        let mut lines: Vec<_> = all.split_inclusive(|&b| b == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort();
        lines
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
    fn a_repeated_report_is_stale_and_a_repeated_record_with_a_greater_difference_is_not() {
        let store = Store::default();
        let again = record(b"AT G +5.0 kiwi +1+1 10");
        assert_eq!(learn(&store, "AT G +0.1 kiwi +1+1 10"), Learned::News);
        assert_eq!(store.learn_report(&again.borrow()), Learned::Stale);
        assert_eq!(store.learn(&again.borrow()), Learned::News);
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
                    let _ = servers[split(&mut random)].learn(&record(line).borrow());
                }
            }
            // Each server then hears from the others, in an order of its own, some of it twice.
            let mut heard: Vec<_> = servers.iter().flat_map(sorted_lines).collect();
            heard.extend_from_within(..heard.len() / 2);
            for server in &servers {
                random.shuffle(&mut heard);
                for line in &heard {
                    let _ = server.learn(&record(line).borrow());
                }
            }
            let expected = Store::default();
            for line in &records {
                let _ = expected.learn(&record(line).borrow());
            }
            for server in &servers {
                assert_eq!(sorted_lines(server), sorted_lines(&expected), "seed {seed}");
                assert_eq!(server.count(), expected.count());
            }
        }
    }
}
