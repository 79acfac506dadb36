//! The store's map from a client's ID to its record, which lies in the arena. The ID lies in the record's line, so there
//! is no second key. The store keeps one, under its lock.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::arena::{Arena, Handle, Moved};
use crate::limits::FETCHED_AT_ONCE;
use crate::protocol::{Coordinates, Record, StoredRecord};

/// One map in parts, the buckets: growing one, or walking it for a link, holds the lock for a small part of what the
/// whole would take.
pub struct Map {
    buckets: Buckets,
    arena: Arena,
    hashing: Hashing,
}

/// How clients are spread over the map.
#[derive(Clone)]
pub enum Hashing {
    /// In a way that nobody can foresee, so that nobody can choose IDs that all fall into one place.
    Random(RandomState),
    /// In the same way in every run, for a simulation that is to be repeated.
    Seeded(u64),
}

/// Those in a shelf are there together, from the first of their records on: a server that knows few clients touches no
/// memory for the others.
struct Buckets {
    shelves: Vec<Vec<Bucket>>,
    count: usize,
}

/// Buckets of a shelf.
const SHELF: usize = 64;

/// In the place of those that are not there.
static NONE: Bucket = Bucket { table: HashTable::new(), latest: 0 };

impl Buckets {
    fn new(count: usize) -> Buckets {
        Buckets { shelves: (0..count.div_ceil(SHELF)).map(|_| Vec::new()).collect(), count }
    }

    fn get(&self, bucket: usize) -> &Bucket {
        self.shelves[bucket / SHELF].get(bucket % SHELF).unwrap_or(&NONE)
    }

    fn get_mut(&mut self, bucket: usize) -> &mut Bucket {
        let shelf = &mut self.shelves[bucket / SHELF];
        if shelf.is_empty() {
            shelf.resize_with(SHELF, Bucket::default);
        }
        &mut shelf[bucket % SHELF]
    }
}

/// It is `hashbrown`'s table, on which std's `HashMap` stands too: hashed once an operation, replaced in place.
#[derive(Default)]
struct Bucket {
    table: HashTable<Slot>,
    /// The epoch of the latest record learned in it.
    latest: u32,
}

/// What the map has of a record beside the record: so a walk for what is new looks at no record that is not.
#[derive(Clone, Copy)]
struct Slot {
    handle: Handle,
    /// When it was learned, by the store's count: greater is later.
    epoch: u32,
}

const _: () = assert!(size_of::<Slot>() == 8, "a client's part of the map is small");

impl Hashing {
    pub fn of(&self, client: &[u8]) -> u64 {
        match self {
            Hashing::Random(state) => state.hash_one(client),
            Hashing::Seeded(seed) => xxh3_64_with_seed(client, *seed),
        }
    }
}

/// Whether a record is the client's own, or the note about it.
fn is_of(stored: StoredRecord<'_>, client: &[u8], is_note: bool) -> bool {
    stored.client() == client && stored.is_note() == is_note
}

/// The bucket, of so many, of the client with a hash, by middle bits: the table itself uses the lowest and the highest.
pub fn bucket_of(hash: u64, buckets: usize) -> usize {
    (hash >> 32) as usize & (buckets - 1)
}

/// Into how many parts a map of so many buckets can be cut, at most `most`, a power of two: shelves stay whole.
pub fn parts_of(buckets: usize, most: usize) -> usize {
    most.min(buckets / SHELF).max(1)
}

impl Map {
    /// An empty map in so many buckets, a power of two.
    pub fn new(buckets: usize, hashing: Hashing) -> Map {
        assert!(buckets.is_power_of_two(), "{buckets}");
        Map { buckets: Buckets::new(buckets), arena: Arena::default(), hashing }
    }

    /// One of so many that are to be joined to one with as many buckets.
    pub fn part(buckets: usize, hashing: Hashing, parts: usize) -> Map {
        Map { arena: Arena::part(parts), ..Map::new(buckets, hashing) }
    }

    pub fn bucket_count(&self) -> usize {
        self.buckets.count
    }

    fn bucket(&self, hash: u64) -> &Bucket {
        self.buckets.get(bucket_of(hash, self.buckets.count))
    }

    fn bucket_mut(&mut self, hash: u64) -> &mut Bucket {
        let bucket = bucket_of(hash, self.buckets.count);
        self.buckets.get_mut(bucket)
    }

    pub fn get(&self, handle: Handle) -> StoredRecord<'_> {
        self.arena.get(handle)
    }

    /// Where a client's own record is, or the note about it.
    pub fn find(&self, hash: u64, client: &[u8], is_note: bool) -> Option<Handle> {
        let slot =
            self.bucket(hash).table.find(hash, |slot| is_of(self.get(slot.handle), client, is_note))?;
        Some(slot.handle)
    }

    /// A client's own record, or the note about it.
    pub fn record(&self, hash: u64, client: &[u8], is_note: bool) -> Option<Record<&[u8]>> {
        Some(self.get(self.find(hash, client, is_note)?).record())
    }

    /// Whether there is a record of a client, or a note about it.
    pub fn has(&self, hash: u64, client: &[u8]) -> bool {
        self.bucket(hash).table.find(hash, |slot| self.get(slot.handle).client() == client).is_some()
    }

    /// The record of the client of a hash.
    pub fn with_hash(&self, hash: u64) -> Option<Record<&[u8]>> {
        let slot = self.bucket(hash).table.find(hash, |slot| self.is_with_hash(slot.handle, hash))?;
        Some(self.get(slot.handle).record())
    }

    fn is_with_hash(&self, handle: Handle, hash: u64) -> bool {
        let stored = self.get(handle);
        !stored.is_note() && self.hashing.of(stored.client()) == hash
    }

    /// Hands the records of the clients of some hashes to `see`: None for one that is not there. Their memory is fetched for
    /// many of them at once.
    pub fn see(&self, hashes: &[u64], mut see: impl FnMut(u64, Option<Record<&[u8]>>)) {
        for hashes in hashes.chunks(FETCHED_AT_ONCE) {
            for (likely, &hash) in self.fetch(hashes).into_iter().zip(hashes) {
                let likely = likely.filter(|&handle| self.is_with_hash(handle, hash));
                see(hash, likely.map(|handle| self.get(handle).record()).or_else(|| self.with_hash(hash)));
            }
        }
    }

    /// Tells where the clients of some hashes are.
    pub fn locate(&self) -> impl Fn(&[u64]) -> Vec<Option<Coordinates>> {
        |hashes| {
            let mut places = Vec::with_capacity(hashes.len());
            self.see(hashes, |_, record| places.push(record.map(|record| record.coordinates())));
            places
        }
    }

    /// Touches the memory of some records, at most `FETCHED_AT_ONCE`, so that it is fetched for all of them at once and not
    /// for one after another: first where the map tells where they are, and then the records. Returns where each most
    /// likely is.
    pub fn fetch(&self, hashes: &[u64]) -> [Option<Handle>; FETCHED_AT_ONCE] {
        let mut handles = [None; FETCHED_AT_ONCE];
        for (handle, &hash) in handles.iter_mut().zip(hashes) {
            // Nearly always it is the right one, without a look at its ID.
            *handle = self.bucket(hash).table.find(hash, |_| true).map(|slot| slot.handle);
        }
        let touched = handles.iter().flatten().map(|&handle| self.arena.touch(handle));
        std::hint::black_box(touched.fold(0, u8::wrapping_add));
        handles
    }

    /// Has the memory of some clients' records fetched.
    pub fn fetch_clients<'c>(&self, clients: impl Iterator<Item = &'c [u8]>) {
        let (mut hashes, mut count) = ([0; FETCHED_AT_ONCE], 0);
        for (hash, client) in hashes.iter_mut().zip(clients) {
            *hash = self.hashing.of(client);
            count += 1;
        }
        self.fetch(&hashes[..count]);
    }

    // --- of a bucket

    /// The records of a bucket.
    pub fn records(&self, bucket: usize) -> impl Iterator<Item = StoredRecord<'_>> {
        self.buckets.get(bucket).table.iter().map(|slot| self.get(slot.handle))
    }

    /// Those that were learned after an epoch.
    pub fn newer(&self, bucket: usize, epoch: u32) -> impl Iterator<Item = StoredRecord<'_>> {
        self.newer_slots(bucket, epoch).map(|slot| self.get(slot.handle))
    }

    /// How many these are.
    pub fn count_newer(&self, bucket: usize, epoch: u32) -> usize {
        self.newer_slots(bucket, epoch).count()
    }

    fn newer_slots(&self, bucket: usize, epoch: u32) -> impl Iterator<Item = &Slot> {
        let bucket = Some(self.buckets.get(bucket)).filter(|bucket| bucket.latest > epoch);
        bucket.into_iter().flat_map(|bucket| &bucket.table).filter(move |slot| slot.epoch > epoch)
    }

    /// The IDs of those records of a bucket that go, by what they are and when they were learned, and whether each is of
    /// a note.
    pub fn select(
        &self,
        bucket: usize,
        goes: impl Fn(StoredRecord<'_>, u32) -> bool,
    ) -> Vec<(Vec<u8>, bool)> {
        let slots = self.buckets.get(bucket).table.iter().map(|slot| (self.get(slot.handle), slot.epoch));
        let gone = slots.filter(|&(stored, learned)| goes(stored, learned));
        gone.map(|(stored, _)| (stored.client().to_vec(), stored.is_note())).collect()
    }

    /// Adds where the clients of a bucket are, and their hashes.
    pub fn places(&self, bucket: usize, places: &mut Vec<(Coordinates, u64)>) {
        let slots: Vec<_> = self.buckets.get(bucket).table.iter().map(|slot| slot.handle).collect();
        for handles in slots.chunks(FETCHED_AT_ONCE) {
            std::hint::black_box(
                handles.iter().fold(0_u8, |sum, &at| sum.wrapping_add(self.arena.touch(at))),
            );
            let clients = handles.iter().map(|&handle| self.get(handle)).filter(|stored| !stored.is_note());
            places.extend(
                clients.map(|stored| (stored.record().coordinates(), self.hashing.of(stored.client()))),
            );
        }
    }

    // --- changes

    /// Takes in the records of another map that has none in this one's shelves.
    pub fn join(&mut self, other: Map) {
        let joined = self.arena.join(other.arena);
        for (own, mut shelf) in self.buckets.shelves.iter_mut().zip(other.buckets.shelves) {
            if shelf.is_empty() {
                continue;
            }
            debug_assert!(own.is_empty(), "no shelf is in two maps");
            let slots = shelf.iter_mut().flat_map(|bucket| bucket.table.iter_mut());
            slots.for_each(|slot| slot.handle = joined.handle(slot.handle));
            *own = shelf;
        }
        for old in joined.loose {
            let hash = self.hashing.of(self.get(old).client());
            let Some(new) = self.arena.settle(old) else { continue };
            if let Some(slot) = self.bucket_mut(hash).table.find_mut(hash, |slot| slot.handle == old) {
                slot.handle = new;
            }
        }
    }

    /// Takes in a record of which there is no other. False where the arena has no room.
    pub fn insert(&mut self, hash: u64, record: &Record<&[u8]>, epoch: u32) -> bool {
        let Some(handle) = self.arena.add(record) else { return false };
        let bucket = bucket_of(hash, self.buckets.count);
        let (bucket, arena, hashing) = (self.buckets.get_mut(bucket), &self.arena, &self.hashing);
        bucket.latest = epoch;
        let slot = Slot { handle, epoch };
        bucket.table.insert_unique(hash, slot, |slot| hashing.of(arena.get(slot.handle).client()));
        true
    }

    /// Has a record take the place of an older one of its client. False where the arena has no room.
    pub fn replace(&mut self, hash: u64, handle: Handle, record: &Record<&[u8]>, epoch: u32) -> bool {
        let stays = self.arena.replace(handle, record);
        let new = if stays { Some(handle) } else { self.arena.add(record) };
        let Some(new) = new else { return false };
        let bucket = self.bucket_mut(hash);
        bucket.latest = epoch;
        if let Some(slot) = bucket.table.find_mut(hash, |slot| slot.handle == handle) {
            *slot = Slot { handle: new, epoch };
        }
        if !stays {
            self.release(handle);
        }
        true
    }

    /// Takes out a record.
    pub fn remove(&mut self, hash: u64, handle: Handle) {
        if let Ok(found) = self.bucket_mut(hash).table.find_entry(hash, |slot| slot.handle == handle) {
            found.remove();
            self.release(handle);
        }
    }

    /// Gives back what a bucket has room for and does not need, after many of its records went.
    pub fn shrink(&mut self, bucket: usize) {
        if self.buckets.get(bucket).table.num_buckets() == 0 {
            return;
        }
        let (table, arena, hashing) = (&mut self.buckets.get_mut(bucket).table, &self.arena, &self.hashing);
        if 4 * table.len() < table.num_buckets() {
            table.shrink_to(0, |slot| hashing.of(arena.get(slot.handle).client()));
        }
    }

    /// Gives back the memory of a record that no slot leads to.
    fn release(&mut self, handle: Handle) {
        let Some(Moved { from, to }) = self.arena.remove(handle) else { return };
        let hash = self.hashing.of(self.get(to).client());
        if let Some(slot) = self.bucket_mut(hash).table.find_mut(hash, |slot| slot.handle == from) {
            slot.handle = to;
        }
    }

    /// Bytes that records and the slots that lead to them take, with what is free of them.
    #[cfg(test)]
    pub fn held(&self) -> usize {
        let slots: usize =
            self.buckets.shelves.iter().flatten().map(|bucket| bucket.table.allocation_size()).sum();
        self.arena.held() + slots
    }
}
