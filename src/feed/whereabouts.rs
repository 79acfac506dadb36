//! Where clients were when that was last told: kept while somebody watches an area, for who enters and leaves.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use crate::node::Node;
use crate::protocol::Coordinates;

/// Where each client is, by its hash.
#[derive(Default)]
pub struct Whereabouts {
    hashing: RandomState,
    by_hash: HashMap<u64, Coordinates>,
}

impl Whereabouts {
    /// Of all that a node shows now.
    pub fn of_all(node: &Node) -> Whereabouts {
        let mut all = Whereabouts::default();
        for bucket in node.store.buckets() {
            node.see_bucket(bucket, |record| {
                all.note(record.client(), Some(record.coordinates()));
            });
        }
        all
    }

    pub fn of(&self, client: &[u8]) -> Option<Coordinates> {
        self.by_hash.get(&self.hashing.hash_one(client)).copied()
    }

    /// It is there now, or nowhere. Returns where it was.
    pub fn note(&mut self, client: &[u8], at: Option<Coordinates>) -> Option<Coordinates> {
        let hash = self.hashing.hash_one(client);
        match at {
            Some(at) => self.by_hash.insert(hash, at),
            None => self.by_hash.remove(&hash),
        }
    }
}
