//! Whom OwnTracks shows beside its own phone: a card and a location of each. The app asks by telling where it is, and
//! takes what comes back for its friends.

use crate::door::http::feature::{halves, write_number};
use crate::door::http::name::write_json;
use crate::limits::{EVERYWHERE_M, FRIENDS_MAX, OWNTRACKS_TIME_DIGITS};
use crate::node::Clients;
use crate::node::{Node, Sought};
use crate::protocol::timestamp::cmp_exact;
use crate::protocol::{Location, Record};
use crate::store::Around;

/// A phone and those nearest to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Friends {
    around: Around,
    clients: Clients,
    id: Vec<u8>,
    /// When it was where it has just told that it is.
    time: Vec<u8>,
    /// Its own card and location, as it has just told them.
    own: Vec<u8>,
}

impl Friends {
    /// A phone at a location, and those around it that its token may read.
    pub fn around(id: &[u8], location: &Location<'_>, time: &[u8], clients: Clients) -> Friends {
        let (mut own, around) = (Vec::new(), Around::new(location.coordinates(), EVERYWHERE_M));
        write(id, location.text(), time, &mut own);
        Friends { around, clients, id: id.to_vec(), time: time.to_vec(), own }
    }

    /// The list, if it takes no longer than a turn may.
    pub fn soon(&self, node: &Node) -> Option<Vec<u8>> {
        if self.clients != Clients::All {
            return None;
        }
        let wanted = |record: &Record<&[u8]>, _: f64, out: &mut Vec<u8>| self.write(record, out);
        let found = node.nearest_soon(&Sought { around: self.around, most: FRIENDS_MAX, write: &wanted })?;
        Some(self.list_of(node, found))
    }

    /// The same, however long it takes.
    pub fn list(&self, node: &Node) -> Vec<u8> {
        let wanted = |record: &Record<&[u8]>, _: f64, out: &mut Vec<u8>| self.write(record, out);
        let sought = Sought { around: self.around, most: FRIENDS_MAX, write: &wanted };
        let found = match self.clients {
            Clients::All => node.nearest(&sought),
            Clients::One(_) | Clients::Prefix(_) => node.nearest_of_all(&sought),
        };
        self.list_of(node, found)
    }

    fn write(&self, record: &Record<&[u8]>, out: &mut Vec<u8>) -> bool {
        let is_other = record.client() != self.id && self.clients.has(record.client());
        is_other && write(record.client(), record.location(), record.time(), out)
    }

    fn list_of(&self, node: &Node, found: Vec<Vec<u8>>) -> Vec<u8> {
        // What it told may be of a queue, and something newer known of it.
        let newer = node.see(&self.id, |record| {
            let mut newer = Vec::new();
            let is_newer = cmp_exact(record.time(), &self.time).is_gt();
            (is_newer && write(&self.id, record.location(), record.time(), &mut newer)).then_some(newer)
        });
        let own = newer.flatten().or_else(|| Some(self.own.clone())).filter(|own| !own.is_empty());
        let all: Vec<_> = own.into_iter().chain(found).collect();
        let mut list = b"[".to_vec();
        list.extend_from_slice(&all.join(&b','));
        list.extend_from_slice(b"]\n");
        list
    }
}

/// The app knows a friend by its `tid` alone, so that is the whole ID; what it shows is the name of the card. False for
/// what it does not take.
fn write(id: &[u8], location: &[u8], time: &[u8], out: &mut Vec<u8>) -> bool {
    // Its times are whole seconds, and none is 0.
    let seconds = &time[..time.iter().position(|&byte| byte == b'.').unwrap_or(time.len())];
    let zeros = seconds.iter().take_while(|&&digit| digit == b'0').count();
    let seconds = &seconds[zeros..];
    if seconds.is_empty() || seconds.len() > OWNTRACKS_TIME_DIGITS {
        return false;
    }
    out.extend_from_slice(b"{\"_type\":\"card\",\"tid\":");
    write_json(id, out);
    out.extend_from_slice(b",\"name\":");
    write_json(id, out);
    out.extend_from_slice(b"},{\"_type\":\"location\",\"tid\":");
    write_json(id, out);
    let (latitude, longitude) = halves(location);
    out.extend_from_slice(b",\"lat\":");
    write_number(latitude, out);
    out.extend_from_slice(b",\"lon\":");
    write_number(longitude, out);
    out.extend_from_slice(b",\"tst\":");
    out.extend_from_slice(seconds);
    out.push(b'}');
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::Bounds;
    use crate::protocol::Command;

    #[test]
    fn friends_are_a_card_and_a_location_each() {
        let node = Node::new("Goloman", Bounds::default());
        let hear = |line: &str| {
            let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
            let _ = node.hear(&Record::write(&fields, &mut Vec::new()), 1_786_433_535_000_000_000);
        };
        hear("AT Goloman +1.0 van-2 +34.5-118.25 1786433532.5");
        hear("AT Goloman +1.0 van-1 +34.0-118.0 1786433532");
        hear("AT Goloman +1.0 anna +34.0-118.0 1786433532");
        hear("AT Goloman +1.0 van-0 +34.0-118.0 0");
        let here = Location::parse(b"+34.0-118.0").expect("a location");
        let shown = |clients: Clients| {
            let list = Friends::around(b"van-1", &here, b"1786433599", clients).list(&node);
            String::from_utf8(list).expect("text")
        };
        let expected = concat!(
            r#"[{"_type":"card","tid":"van-1","name":"van-1"},"#,
            r#"{"_type":"location","tid":"van-1","lat":34.0,"lon":-118.0,"tst":1786433599},"#,
            r#"{"_type":"card","tid":"van-2","name":"van-2"},"#,
            r#"{"_type":"location","tid":"van-2","lat":34.5,"lon":-118.25,"tst":1786433532}]"#,
            "\n"
        );
        assert_eq!(shown(Clients::Prefix(b"van-".to_vec())), expected);
        let all: serde_json::Value = serde_json::from_str(&shown(Clients::All)).expect("JSON");
        assert_eq!(all.as_array().map(Vec::len), Some(6));
        assert!(shown(Clients::Prefix(b"x".to_vec())).contains("van-1"), "itself");
        let late = Friends::around(b"van-1", &here, b"1786433531", Clients::All);
        hear("AT Goloman +1.0 van-1 +35.5-118.0 1786433533");
        for list in [Some(late.list(&node)), late.soon(&node)].into_iter().flatten() {
            let list = String::from_utf8(list).expect("text");
            assert!(list.contains(r#""tid":"van-1","lat":35.5,"lon":-118.0,"tst":1786433533}"#), "{list}");
        }
    }
}
