//! What is read of the store: a client's record, those of a bucket, and the sum of all. Nodes, links and those who watch
//! ask.

use super::digest::Digest;
use super::{Horizon, Store, Wanted};
use crate::limits::FETCHED_FROM_CLIENTS;
use crate::protocol::{Record, Span, StoredRecord};

impl Store {
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
        clients.map.record(hash, client, false).map(read)
    }

    /// Has the memory fetched in which some clients are that are to be asked for next; says whether they are so many at
    /// all that it is worth it.
    pub fn fetch<'c>(&self, next: impl Iterator<Item = &'c [u8]>) -> bool {
        let clients = self.lock();
        let is_worth_it = clients.count >= FETCHED_FROM_CLIENTS;
        if is_worth_it {
            clients.map.fetch_clients(next);
        }
        is_worth_it
    }

    /// Hands the records of clients in one of the buckets to `read` while the lock is held.
    pub fn read_bucket(&self, bucket: usize, mut read: impl FnMut(Record<&[u8]>)) {
        let clients = self.lock();
        let records = clients.map.records(bucket).filter(|record| !record.is_note());
        records.for_each(|record| read(record.record()));
    }

    /// The same of those that were learned after an epoch, and the notes of clients of which nothing else is known.
    pub fn read_newer(&self, bucket: usize, epoch: u32, mut read: impl FnMut(Record<&[u8]>)) {
        let clients = self.lock();
        let is_known = |client: &[u8]| clients.map.find(self.hashing.of(client), client, false).is_some();
        for record in clients.map.newer(bucket, epoch) {
            if !record.is_note() || !is_known(record.client()) {
                read(record.record());
            }
        }
    }

    /// Appends the AT lines that are wanted of one of the buckets, each with its newline.
    pub fn copy_bucket(&self, bucket: usize, wanted: &Wanted, out: &mut Vec<u8>) {
        let clients = self.lock();
        let mut add = |record: StoredRecord<'_>| {
            out.extend_from_slice(record.line());
            out.push(b'\n');
        };
        match wanted {
            Wanted::After(epoch) => clients.map.newer(bucket, *epoch).for_each(&mut add),
            Wanted::In(differing) => {
                let records = clients.map.records(bucket);
                records.filter(|record| differing.has(&record.record())).for_each(&mut add);
            }
        }
    }

    /// How many clients' records were learned after an epoch.
    pub fn count_after(&self, epoch: u32) -> u64 {
        self.buckets().map(|bucket| self.lock().map.count_newer(bucket, epoch) as u64).sum()
    }

    /// What tells whether two servers know the same of what was heard within a time. Walks the store, a bucket at a
    /// time: it is of one moment only when nothing is learned meanwhile.
    pub fn digest(&self, span: Span) -> Digest {
        let mut digest = Digest::of(span);
        for bucket in self.buckets() {
            let clients = self.lock();
            for record in clients.map.records(bucket) {
                if span == Span::ALL || span.has(record.record().received_s()) {
                    let (client, line) = (record.client(), record.line());
                    if record.is_note() { digest.add_note(client, line) } else { digest.add(client, line) }
                }
            }
        }
        digest
    }
}
