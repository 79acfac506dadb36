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
    pub write: &'w Write<'w>,
}

/// Says of a record and how far it is, in metres, what is wanted of it.
type Write<'w> = dyn Fn(&Record<&[u8]>, f64, &mut Vec<u8>) -> bool + 'w;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Bounds;
    use crate::protocol::{Command, Location};

    const NOW_NS: u64 = 1_520_023_935_000_000_000;

    fn hear(node: &Node, line: &str) {
        let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        let _ = node.hear(&Record::write(&fields, &mut Vec::new()), NOW_NS);
    }

    fn distance(_: &Record<&[u8]>, distance_m: f64, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(distance_m.to_string().as_bytes());
        true
    }

    fn line(record: &Record<&[u8]>, _: f64, out: &mut Vec<u8>) -> bool {
        out.extend_from_slice(record.line());
        true
    }

    fn around(location: &str, radius_m: f64) -> Around {
        Around::new(Location::parse(location.as_bytes()).expect("a location").coordinates(), radius_m)
    }

    fn lines(node: &Node, location: &str, radius_m: f64, most: usize) -> Vec<String> {
        let sought = Sought { around: around(location, radius_m), most, write: &line };
        let found = node.nearest(&sought).into_iter().map(|said| String::from_utf8(said).expect("text"));
        let ids = found.map(|line| line.split(' ').nth(3).expect("an ID").to_owned()).collect();
        let of_all = node.nearest_of_all(&sought).len();
        assert_eq!(Vec::len(&ids), of_all);
        ids
    }

    /// A location on the ice, at the date line, in a town, on one spot or anywhere, in a client's digits.
    fn somewhere(random: &mut fastrand::Rng) -> String {
        let towns = [(90.0, 0.0), (-90.0, 7.0), (0.0, 180.0), (-17.0, -180.0), (60.17, 24.94), (1.0, 1.0)];
        let (latitude, longitude) = towns[random.usize(..towns.len())];
        let spread = [0.0, 0.000_01, 0.01, 1.0, 60.0][random.usize(..5)];
        let latitude: f64 = latitude + spread * (random.f64() - 0.5);
        let longitude: f64 = longitude + spread * (random.f64() - 0.5);
        let longitude = (longitude + 180.0).rem_euclid(360.0) - 180.0;
        let (latitude, decimals) = (latitude.clamp(-90.0, 90.0), random.usize(..10));
        format!("{latitude:+.decimals$}{longitude:+.decimals$}")
    }

    #[test]
    fn with_an_index_the_nearest_are_those_without_whatever_is_reported_and_forgotten() {
        let seed = fastrand::u64(..);
        println!("seed {seed}");
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..40 {
            let bounds = Bounds { forget_after_s: Some(1_000), ..Bounds::default() };
            let indexed = Node::new("Goloman", bounds);
            let plain = Node::new("Goloman", Bounds { is_indexed: false, ..bounds });
            let clients = random.u32(1..600);
            for _ in 0..random.u32(1..3_000) {
                let (client, time) = (random.u32(..clients), 1_520_023_000 + random.u32(..930));
                let at = somewhere(&mut random);
                let line = match random.u8(..12) {
                    0 => format!("AT * +0 c{client} +0+0 {time}"),
                    _ => format!("AT Hands +1 c{client} {at} {time}"),
                };
                hear(&indexed, &line);
                hear(&plain, &line);
            }
            // Some are hidden, and of these some are forgotten.
            let later_ns = NOW_NS + random.u64(..900) * 1_000_000_000;
            for node in [&indexed, &plain] {
                node.let_pass(later_ns);
                node.store.buckets().take(3_000).for_each(|bucket| {
                    node.forget(bucket, later_ns, None, &mut Vec::new());
                });
                node.let_hide(later_ns + 50_000_000_000);
            }
            assert_eq!(
                indexed.store.digest(crate::protocol::Span::ALL).count as usize,
                indexed.store.count()
            );
            for _ in 0..40 {
                let radius_m = [0.0, 1.0, 5_000.0, 1_000_000.0, 20_037_000.0][random.usize(..5)];
                let around = around(&somewhere(&mut random), radius_m);
                let most = [0, 1, 10, 100, 1_000][random.usize(..5)];
                let sought = Sought { around, most, write: &distance };
                let expected = plain.nearest_of_all(&sought);
                assert_eq!(plain.nearest_soon(&sought), None, "there is no index");
                assert_eq!(plain.nearest(&sought), expected);
                // Those that were forgotten are not the same: each node has its clients in buckets of its own.
                let of_index = indexed.nearest(&sought);
                assert_eq!(of_index, indexed.nearest_of_all(&sought), "seed {seed}: {around:?} {most}");
                if let Some(soon) = indexed.nearest_soon(&sought) {
                    assert_eq!(soon, of_index, "seed {seed}");
                }
            }
        }
    }

    #[test]
    fn more_than_one_look_finds_a_thousand_and_a_crowd_of_hidden_ones_hides_nobody() {
        let node = Node::new("Goloman", Bounds { forget_after_s: Some(1_000), ..Bounds::default() });
        for client in 0..3_000 {
            hear(&node, &format!("AT Hands +1 old{client} +1.00001+1 1520022000"));
            hear(&node, &format!("AT Hands +1 c{client} +1.{client:05}+1 1520023900"));
        }
        let sought = |most| Sought { around: around("+1+1", 1_000_000.0), most, write: &distance };
        assert_eq!(node.nearest(&sought(1_000)), node.nearest_of_all(&sought(1_000)));
        node.let_hide(NOW_NS);
        assert_eq!(node.nearest_soon(&sought(10)), None, "too many are hidden");
        let found = lines(&node, "+1+1", 1_000_000.0, 10);
        assert_eq!(found, (0..10).map(|client| format!("c{client}")).collect::<Vec<_>>());
        assert_eq!(node.nearest(&sought(1_000)).len(), 1_000);
    }

    #[test]
    fn an_answer_has_its_bytes_and_the_farther_ones_are_left_out() {
        let node = Node::new("Goloman", Bounds::default());
        let long = "x".repeat(10_000);
        for client in 0..300 {
            hear(&node, &format!("AT Hands +1 {client:03}{long} +0.{client:05}+1 1520023900"));
        }
        let found = lines(&node, "+0+1", 1e6, 1_000);
        assert_eq!(found.len(), NEAREST_BYTES_MAX / (10_000 + "AT Hands +1 123 +0.00123+1 1520023900".len()));
        assert!(found.iter().enumerate().all(|(index, id)| id.starts_with(&format!("{index:03}"))));
    }

    #[test]
    fn a_client_that_goes_round_the_world_is_where_it_is_last() {
        let node = Node::new("Goloman", Bounds::default());
        (0..200).for_each(|client| hear(&node, &format!("AT Hands +1 c{client} +1.{client}+1 1520023000")));
        for step in 0..720 {
            let (longitude, time) = (f64::from(step - 360) / 2.0, 1_520_022_000 + step);
            hear(&node, &format!("AT Hands +1 round {:+}{longitude:+} {time}", 0));
            assert_eq!(lines(&node, &format!("+0{longitude:+}"), 1.0, 5), ["round"]);
        }
    }
}
