//! Who is nearest to a position: by the index if that can tell soon, or by looking at everybody. Doors ask it.

use super::Node;
use crate::limits::{NEAREST_BYTES_MAX, NEAREST_IN_TURN, NEAREST_ROUNDS_MAX};
use crate::protocol::Record;
use crate::store::{Around, Look, Looked};

/// Who is sought, and what is to be said of each.
pub struct Sought<'w> {
    pub around: Around,
    pub most: usize,
    /// Appends what is to be said of a record and its distance in metres; false for one that is not sought.
    pub write: &'w dyn Fn(&Record<&[u8]>, f64, &mut Vec<u8>) -> bool,
}

/// What is to be said of the nearest so far, each with its distance in metres.
#[derive(Default)]
struct Nearest {
    found: Vec<(f64, Vec<u8>)>,
    bytes: usize,
}

impl Node {
    /// Those who are wanted, the nearest first, if the index has them after one look; None if it takes longer than a turn
    /// of a worker may.
    pub fn nearest_soon(&self, sought: &Sought<'_>) -> Option<Vec<Vec<u8>>> {
        if sought.most > NEAREST_IN_TURN {
            return None;
        }
        let mut look = Look::new(sought.around, sought.most);
        match self.store.look(&mut look, self.shows()) {
            Looked::All => Some(self.say(sought, look)),
            Looked::Some | Looked::Nowhere => None,
        }
    }

    /// The same however long it takes. The store is locked for a small part of it at a time, so that a client that moves
    /// meanwhile is where it was or where it is.
    pub fn nearest(&self, sought: &Sought<'_>) -> Vec<Vec<u8>> {
        let mut look = Look::new(sought.around, sought.most);
        for _ in 0..NEAREST_ROUNDS_MAX {
            match self.store.look(&mut look, self.shows()) {
                Looked::All => return self.say(sought, look),
                Looked::Some => {}
                Looked::Nowhere => break,
            }
        }
        self.nearest_of_all(sought)
    }

    /// The same by looking at everybody: for who is wanted by something else, too, than where they are.
    pub fn nearest_of_all(&self, sought: &Sought<'_>) -> Vec<Vec<u8>> {
        let (mut nearest, mut farthest_m) = (Nearest::default(), f64::INFINITY);
        for bucket in self.store.buckets() {
            self.see_bucket(bucket, |record| {
                if let Some(distance_m) = sought.around.distance_m(&record).filter(|it| *it <= farthest_m) {
                    nearest.add(sought, &record, distance_m);
                }
            });
            farthest_m = nearest.prune(sought.most).unwrap_or(farthest_m);
        }
        nearest.finish(sought.most)
    }

    fn say(&self, sought: &Sought<'_>, look: Look) -> Vec<Vec<u8>> {
        let mut nearest = Nearest::default();
        self.store.see_nearest(look, |record, distance_m| nearest.add(sought, record, distance_m));
        nearest.finish(sought.most)
    }
}

impl Nearest {
    fn add(&mut self, sought: &Sought<'_>, record: &Record<&[u8]>, distance_m: f64) {
        let mut said = Vec::new();
        if (sought.write)(record, distance_m, &mut said) {
            self.bytes += said.len();
            self.found.push((distance_m, said));
        }
    }

    /// Drops the farthest, once there are many more than are wanted; returns how far the last one is that is left then.
    fn prune(&mut self, most: usize) -> Option<f64> {
        if self.found.len() < 2 * most && self.bytes < 2 * NEAREST_BYTES_MAX {
            return None;
        }
        self.cut(most);
        self.found.last().map(|(distance_m, _)| *distance_m)
    }

    /// Equally far ones are in the order of what is said of them, which is the same on every server.
    fn cut(&mut self, most: usize) {
        self.found.sort_unstable_by(|a, b| a.0.total_cmp(&b.0).then_with(|| a.1.cmp(&b.1)));
        self.found.truncate(most);
        self.bytes = 0;
        let mut kept = 0;
        for (_, said) in &self.found {
            if kept > 0 && self.bytes + said.len() > NEAREST_BYTES_MAX {
                break;
            }
            self.bytes += said.len();
            kept += 1;
        }
        self.found.truncate(kept);
    }

    fn finish(mut self, most: usize) -> Vec<Vec<u8>> {
        self.cut(most);
        self.found.into_iter().map(|(_, said)| said).collect()
    }
}
