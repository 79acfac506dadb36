//! A reader's way through the store, a little at a time.

use super::event::{Event, Why};
use super::scope::Scope;
use crate::limits::{AREA_READS_MAX, FEED_LOOKS};
use crate::node::{Clients, Node};
use crate::protocol::Record;

/// How far it has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Tour {
    /// Bucket by bucket.
    Buckets {
        next: usize,
    },
    /// Those who may be in an area, by their hashes.
    Hashes {
        hashes: Vec<u64>,
        next: usize,
    },
    /// The one client that is wanted.
    One,
    Done,
}

impl Tour {
    /// Through all that a scope may be about. What was learned up to the epoch `after` is not wanted.
    pub fn new(node: &Node, scope: &Scope, after: Option<u32>) -> Tour {
        if matches!(scope.clients, Clients::One(_)) {
            return Tour::One;
        }
        let area = scope.place.and_then(|place| place.area()).filter(|_| after.is_none());
        let hashes = area.and_then(|area| node.store.hashes_in(&area.corners(), AREA_READS_MAX));
        hashes.map_or(Tour::Buckets { next: 0 }, |hashes| Tour::Hashes { hashes, next: 0 })
    }

    pub fn is_done(&self) -> bool {
        *self == Tour::Done
    }

    /// Goes on until `tell` says that this is enough, or for as long as others may be kept waiting.
    pub fn step(
        &mut self,
        node: &Node,
        scope: &Scope,
        after: Option<u32>,
        mut tell: impl FnMut(&Event<'_>) -> bool,
    ) {
        let mut has_enough = false;
        let mut see = |record: &Record<&[u8]>, has_enough: &mut bool| {
            if !scope.clients.has(record.client()) {
                return;
            }
            if record.is_note() {
                // Whoever knew nothing has nothing to forget.
                if after.is_some() {
                    *has_enough |= tell(&Event::Gone { client: record.client(), why: Why::Forgotten });
                }
            } else if scope.place.is_none_or(|place| place.has(record.coordinates())) {
                *has_enough |= tell(&Event::Position { record, has_entered: false });
            }
        };
        match self {
            Tour::Buckets { next } => {
                for _ in 0..FEED_LOOKS {
                    if *next > *node.store.buckets().end() {
                        *self = Tour::Done;
                        return;
                    }
                    node.see_newer(*next, after.unwrap_or(0), |record| see(&record, &mut has_enough));
                    *next += 1;
                    if has_enough {
                        return;
                    }
                }
            }
            Tour::Hashes { hashes, next } => {
                for _ in 0..FEED_LOOKS {
                    let Some(&hash) = hashes.get(*next) else {
                        *self = Tour::Done;
                        return;
                    };
                    node.see_hashes(&[hash], |record| see(&record, &mut has_enough));
                    *next += 1;
                    if has_enough {
                        return;
                    }
                }
            }
            Tour::One => {
                if let Clients::One(client) = &scope.clients
                    && node.see(client, |record| see(&record, &mut has_enough)).is_none()
                    && after.is_some()
                {
                    tell(&Event::Gone { client, why: Why::Forgotten });
                }
                *self = Tour::Done;
            }
            Tour::Done => {}
        }
    }
}
