//! Who is forgotten as nothing was heard of him for long. The node's sweeps go through the store bucket by bucket.

use super::{Clients, Store};
use crate::protocol::StoredRecord;

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
    /// Whether a record is that was learned in this epoch.
    fn has(&self, record: StoredRecord<'_>, learned: u32) -> bool {
        let received_s = record.record().received_s();
        if record.is_note() {
            return received_s < self.oldest_note_s;
        }
        received_s < self.oldest_s
            || self.unheard.is_some_and(|(latest_s, epoch)| received_s > latest_s && learned <= epoch)
    }
}

impl Store {
    /// Drops the records of a bucket that are outdated, and tells whose; returns the epoch in which that was.
    pub fn forget(&self, bucket: usize, outdated: &Outdated, gone: &mut Vec<Vec<u8>>) -> u32 {
        let mut clients = self.lock();
        let Clients { map, count, notes, bytes, index, forgotten, epoch, .. } = &mut *clients;
        // Each of them is taken out by its ID, as another record may have moved to its place meanwhile.
        for (client, is_note) in map.select(bucket, |record, learned| outdated.has(record, learned)) {
            let hash = self.hashing.of(&client);
            let Some(handle) = map.find(hash, &client, is_note) else { continue };
            let record = map.get(handle).record();
            *bytes -= record.line().len() as u64;
            if let Some(index) = index.as_mut().filter(|_| !is_note) {
                index.remove(record.coordinates(), hash);
            }
            map.remove(hash, handle);
            if is_note {
                *notes -= 1;
            } else {
                (*count, *forgotten) = (*count - 1, *forgotten + 1);
                gone.push(client);
            }
        }
        map.shrink(bucket);
        *epoch
    }
}
