//! A reader's way through the store, a little at a time.

use super::event::{Event, Why};
use super::scope::Scope;
use super::whereabouts::Whereabouts;
use crate::limits::AREA_READS_MAX;
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

    /// Goes on until `tell` says that this is enough, or for so many looks, as others wait. In an area are those
    /// who were last told to be there: of everybody else it is told, when that is looked up, that they came. One who
    /// came and left again in between would be told of by neither, and stay there for the reader. And also those of
    /// whom nothing was heard for long, until they are forgotten: if they are heard of again, nobody is told that they
    /// came.
    pub fn step(
        &mut self,
        node: &Node,
        scope: &Scope,
        after: Option<u32>,
        last_told: Option<&Whereabouts>,
        looks: usize,
        mut tell: impl FnMut(&Event<'_>) -> bool,
    ) {
        let mut has_enough = false;
        let has_area = scope.place.is_some();
        let mut see = |record: &Record<&[u8]>, has_enough: &mut bool| {
            if !scope.clients.has(record.client()) {
                return;
            }
            if record.is_note() {
                // Whoever knew nothing has nothing to forget.
                if after.is_some() {
                    *has_enough |= tell(&Event::Gone { client: record.client(), why: Why::Forgotten });
                }
            } else if scope.place.is_none_or(|place| {
                let last = last_told.map(|all| all.of(record.client()));
                place.has(record.coordinates()) && last.is_none_or(|at| at.is_some_and(|at| place.has(at)))
            }) {
                *has_enough |= tell(&Event::Position { record, has_entered: false });
            }
        };
        match self {
            Tour::Buckets { next } => {
                for _ in 0..looks {
                    if *next > *node.store.buckets().end() {
                        *self = Tour::Done;
                        return;
                    }
                    let after = after.unwrap_or(0);
                    match has_area {
                        true => node.store.read_newer(*next, after, |record| see(&record, &mut has_enough)),
                        false => node.see_newer(*next, after, |record| see(&record, &mut has_enough)),
                    }
                    *next += 1;
                    if has_enough {
                        return;
                    }
                }
            }
            Tour::Hashes { hashes, next } => {
                for _ in 0..looks {
                    let Some(&hash) = hashes.get(*next) else {
                        *self = Tour::Done;
                        return;
                    };
                    node.store.read_hashes(&[hash], |record| see(&record, &mut has_enough));
                    *next += 1;
                    if has_enough {
                        return;
                    }
                }
            }
            Tour::One => {
                let Clients::One(client) = &scope.clients else { return };
                let mut look = |record: Record<&[u8]>| see(&record, &mut has_enough);
                let seen = match has_area {
                    true => node.store.read(client, &mut look),
                    false => node.see(client, &mut look),
                };
                if seen.is_none() && after.is_some() {
                    tell(&Event::Gone { client, why: Why::Forgotten });
                }
                *self = Tour::Done;
            }
            Tour::Done => {}
        }
    }
}
