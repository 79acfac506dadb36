//! Who this server's neighbours are: by the name they prove, or, where the herd has no secret, by
//! the address they dial from. Doors ask for every connection; diallers tell what a name resolves to.

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use super::greeting::{Denied, Identity, Listener, Standing};
use super::oddities::Oddities;
use super::{KeyRing, Keys, Kind, Meter, Seen};
use crate::clock::Moment;
use crate::logging::Wire;
use crate::node::{NeighbourId, Node};
use crate::protocol::Vouch;
use crate::protocol::neighbour::{ClockReading, End, Nonce, Proof};

/// What neighbours are to know of us, and we of them.
pub struct Neighbours {
    pub own: Identity,
    pub seen: Seen,
    pub oddities: Oddities,
    /// A place in it is the number of a name. It only grows, so that a number means the same for as long as we live.
    list: RwLock<Vec<Known>>,
    /// How often somebody stopped to be a neighbour: who has a connection from then looks again whether it is one.
    departures: AtomicU64,
    state: Mutex<State>,
}

/// Who is or was a neighbour.
struct Known {
    neighbour: Arc<Neighbour>,
    is_one: bool,
}

/// One of them, as herd.conf has it.
pub struct Neighbour {
    pub name: String,
    /// A plain one is known by its address, never by a proof.
    pub kind: Kind,
}

/// Who is at the other end of a connection, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peer {
    pub address: IpAddr,
    pub kind: PeerKind,
    /// It dials from the address that it dials, or from loopback: it is on this machine.
    pub is_at_home: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerKind {
    /// No neighbour has this address.
    Stranger,
    Neighbour {
        /// Which one; None when several share the address, as on loopback.
        id: Option<NeighbourId>,
        /// Whether one of them is plain and may end an AT line with its EOF.
        may_be_plain: bool,
    },
}

struct State {
    /// Each address and the neighbour that has it, as last resolved.
    addresses: Vec<(IpAddr, NeighbourId)>,
    keys: KeyRing,
}

/// The name by which `herd --agree` introduces itself; no server can have it.
pub const ASKER: &str = "-";

/// The name of the engine that joins servers which do not reach one another; no server can have it.
pub const ENGINE: &str = "backbone:0";

impl Neighbours {
    /// A clock that was behind is reckoned with for `hold`; a neighbour that lives says something every
    /// `heartbeat`.
    pub fn new(
        own: Identity,
        list: Vec<Neighbour>,
        keys: KeyRing,
        hold: Duration,
        heartbeat: Duration,
    ) -> Neighbours {
        let state = Mutex::new(State { addresses: Vec::new(), keys });
        let oddities = Oddities::new(hold, heartbeat, own.conf);
        let (list_of_all, departures) = (RwLock::default(), AtomicU64::new(0));
        let neighbours =
            Neighbours { own, seen: Seen::default(), oddities, list: list_of_all, departures, state };
        list.into_iter().for_each(|neighbour| neighbours.add(neighbour));
        neighbours
    }

    /// Takes up a neighbour: under its old number if it has had one, else under the next.
    pub fn add(&self, neighbour: Neighbour) {
        let mut list = self.list.write().unwrap_or_else(PoisonError::into_inner);
        let neighbour = Arc::new(neighbour);
        match list.iter_mut().find(|known| known.neighbour.name == neighbour.name) {
            Some(known) => *known = Known { neighbour, is_one: true },
            None => {
                self.oddities.add(&neighbour.name);
                list.push(Known { neighbour, is_one: true });
            }
        }
    }

    /// Lets a neighbour go, which keeps its number. Its connections are closed when they say something.
    pub fn remove(&self, id: NeighbourId) {
        if let Some(known) = self.list.write().unwrap_or_else(PoisonError::into_inner).get_mut(id.index()) {
            known.is_one = false;
        }
        self.update(id, &[]);
        self.seen.let_go(id);
        self.oddities.let_go(id);
        self.departures.fetch_add(1, Ordering::SeqCst);
    }

    /// How often somebody stopped to be a neighbour.
    pub fn departures(&self) -> u64 {
        self.departures.load(Ordering::SeqCst)
    }

    /// Whether a number stands for a neighbour that there still is.
    pub fn has(&self, id: NeighbourId) -> bool {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.get(id.index()).is_some_and(|known| known.is_one)
    }

    /// The number that stands for a neighbour's name.
    pub fn id(&self, name: &str) -> Option<NeighbourId> {
        self.find(|it| it.name == name)
    }

    fn find(&self, is_it: impl Fn(&Neighbour) -> bool) -> Option<NeighbourId> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let found = list.iter().position(|known| known.is_one && is_it(&known.neighbour))?;
        u16::try_from(found).ok().map(NeighbourId)
    }

    /// All of them.
    pub fn ids(&self) -> Vec<NeighbourId> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        let numbered = (0..).zip(list.iter());
        numbered.filter(|(_, known)| known.is_one).map(|(index, _)| NeighbourId(index)).collect()
    }

    /// Who has this number, or had it.
    fn get(&self, id: NeighbourId) -> Option<Arc<Neighbour>> {
        let list = self.list.read().unwrap_or_else(PoisonError::into_inner);
        list.get(id.index()).map(|known| known.neighbour.clone())
    }

    /// As what this server presents itself.
    pub fn identity(&self) -> Identity {
        Identity { conf: self.oddities.own_conf(), ..self.own.clone() }
    }

    /// Has a node forget nobody before the slowest clock of the herd says so, and take nothing for too far ahead by a
    /// clock that is itself behind.
    pub fn reckon(&self, node: &Node, now: Duration) {
        let clocks = &self.oddities.clocks;
        node.set_clocks(clocks.lead_s(now), clocks.is_suspect());
    }

    /// A neighbour said what its clock reads. Returns what is to be said of ours.
    pub fn hear_time(
        &self,
        meter: &mut Meter,
        neighbour: Option<NeighbourId>,
        theirs: &ClockReading,
        node: &Node,
        now: Moment,
    ) -> ClockReading {
        let Moment { up: now, posix_ns: now_ns } = now;
        let offset = meter.hear(theirs, now_ns, now);
        if let Some(neighbour) = neighbour {
            if let Some(offset) = offset {
                self.oddities.measured(neighbour, offset, now);
            }
            let (behind_ms, age_ms, most_ms) = (theirs.behind_ms, theirs.age_ms, now_ns / 1_000_000);
            self.oddities.clocks.told(neighbour, behind_ms, age_ms, most_ms, now);
            self.reckon(node, now);
        }
        meter.say(now_ns, now, self.oddities.clocks.slowest(now))
    }

    /// Replaces the addresses of one neighbour.
    pub fn update(&self, neighbour: NeighbourId, resolved: &[SocketAddr]) {
        let mut state = self.state();
        state.addresses.retain(|&(_, id)| id != neighbour);
        state.addresses.extend(resolved.iter().map(|at| (at.ip().to_canonical(), neighbour)));
    }

    /// Replaces the secrets, and returns the old ones; links that are open stay open.
    pub fn rekey(&self, keys: KeyRing) -> KeyRing {
        std::mem::replace(&mut self.state().keys, keys)
    }

    /// What is shared with a neighbour, or with those who only ask.
    pub fn keys(&self, neighbour: Option<NeighbourId>) -> Keys {
        let state = self.state();
        match neighbour {
            Some(id) => {
                self.get(id).and_then(|it| state.keys.pairs.get(&it.name)).cloned().unwrap_or_default()
            }
            None => state.keys.own.clone(),
        }
    }

    /// The journal's line for what is stored of a neighbour.
    pub fn seen_line(&self, neighbour: NeighbourId, incarnation: u64, epoch: u32) -> String {
        Vouch { name: &self.name(neighbour), incarnation, epoch }.line()
    }

    /// The same for every neighbour that was heard of.
    pub fn seen_lines(&self) -> Vec<String> {
        let all = self.seen.all().into_iter();
        all.map(|(neighbour, incarnation, epoch)| self.seen_line(neighbour, incarnation, epoch)).collect()
    }

    /// Takes up a line of the journal; one of a server that is no neighbour any more is of no use.
    pub fn recall(&self, line: &[u8]) {
        let Some(Vouch { name, incarnation, epoch }) = Vouch::parse(line) else { return };
        if let Some(id) = self.id(name) {
            self.seen.note(id, incarnation, epoch);
        }
    }

    /// Who dials from this address, as far as it tells; where there is a secret it tells only of
    /// plain neighbours.
    pub fn peer(&self, address: IpAddr) -> Peer {
        let address = address.to_canonical();
        let state = self.state();
        let mut kind = PeerKind::Stranger;
        for &(_, found) in state.addresses.iter().filter(|(at, _)| *at == address) {
            let Some(neighbour) = self.get(found) else { continue };
            let is_plain = neighbour.kind.is_plain();
            if !is_plain && state.keys.has_secret(&neighbour.name) {
                continue;
            }
            kind = match kind {
                PeerKind::Stranger => PeerKind::Neighbour { id: Some(found), may_be_plain: is_plain },
                PeerKind::Neighbour { id, may_be_plain } => {
                    let id = id.filter(|&id| id == found);
                    PeerKind::Neighbour { id, may_be_plain: may_be_plain || is_plain }
                }
            };
        }
        Peer { address, kind, is_at_home: address.is_loopback() }
    }

    /// Answers a dialler that says who it is.
    ///
    /// # Errors
    /// It is no neighbour, or, where no secret is to prove it, does not dial from one's address.
    pub fn welcome(
        &self,
        dialler: &End<'_>,
        peer: &Peer,
        nonce: Nonce,
        count: u64,
        now_ns: u64,
        out: &mut Vec<u8>,
    ) -> Result<Listener, Denied> {
        let neighbour = self.named(dialler.name)?;
        let keys = self.keys(neighbour);
        if keys.is_empty() && !self.is_at(peer, neighbour) {
            return Err(Denied::Elsewhere);
        }
        let seen = neighbour.map_or(0, |neighbour| self.seen.of(neighbour, dialler.incarnation));
        let standing = Standing { seen, count, now_ns };
        Ok(Listener::welcome(&self.identity(), nonce, neighbour, dialler, &keys, standing, out))
    }

    /// Takes a dialler's proof.
    ///
    /// # Errors
    /// It does not hold.
    pub fn prove(&self, link: &mut Listener, proof: &Proof) -> Result<(), Denied> {
        let (name, neighbour) = (self.name_of(link), link.neighbour());
        link.prove(proof, &self.identity(), &name, &self.keys(neighbour))
    }

    /// Has the log's next lines be about a peer: a neighbour that has opened a link has its name, anybody else an
    /// address, as many may share a neighbour's.
    pub fn show(&self, wire: &mut Wire, link: Option<&Listener>, address: &SocketAddr) {
        let id = link.filter(|link| link.is_open()).and_then(Listener::neighbour);
        match id.and_then(|id| self.get(id)) {
            Some(neighbour) => wire.with_neighbour(&neighbour.name),
            None => wire.with(address),
        }
    }

    /// The name that a number stands for.
    pub fn name(&self, id: NeighbourId) -> String {
        self.get(id).map_or_else(String::new, |it| it.name.clone())
    }

    /// The name that a dialler proves, or says it is.
    pub fn name_of(&self, link: &Listener) -> String {
        let known = link.neighbour().and_then(|id| self.get(id));
        known.map_or_else(|| ASKER.to_owned(), |neighbour| neighbour.name.clone())
    }

    /// The neighbour of this name, or None for one who only asks.
    fn named(&self, name: &[u8]) -> Result<Option<NeighbourId>, Denied> {
        if name == ASKER.as_bytes() {
            return Ok(None);
        }
        let found = self.find(|it| it.name.as_bytes() == name && it.kind == Kind::Herd);
        found.map(Some).ok_or(Denied::Unknown)
    }

    /// Whether a neighbour has this address; those who only ask may be any of them, or at home.
    fn is_at(&self, peer: &Peer, neighbour: Option<NeighbourId>) -> bool {
        let known = |&(at, id): &(IpAddr, NeighbourId)| {
            at == peer.address && neighbour.is_none_or(|neighbour| neighbour == id)
        };
        (neighbour.is_none() && peer.is_at_home) || self.state().addresses.iter().any(known)
    }

    /// Whether any neighbour has this address.
    pub fn has_address(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.state().addresses.iter().any(|&(at, _)| at == address)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Key;
    use super::*;
    use crate::protocol::neighbour::NONCE_BYTES;

    fn neighbours(keys: KeyRing) -> Neighbours {
        let own = Identity { name: "Goloman".into(), incarnation: 1, conf: 3 };
        let list = [("A", Kind::Herd), ("B", Kind::Herd), ("C", Kind::Plain { refill: false })];
        let list = list.map(|(name, kind)| Neighbour { name: name.into(), kind }).into();
        let neighbours = Neighbours::new(own, list, keys, Duration::ZERO, Duration::from_secs(5));
        let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        neighbours.update(NeighbourId(0), &[at("10.0.0.1:1"), at("[::1]:1")]);
        neighbours.update(NeighbourId(1), &[at("127.0.0.1:2")]);
        neighbours.update(NeighbourId(2), &[at("127.0.0.1:3"), at("127.0.0.1:4")]);
        neighbours
    }

    fn kind(neighbours: &Neighbours, address: &str) -> PeerKind {
        neighbours.peer(address.parse().expect("an address")).kind
    }

    #[test]
    fn an_address_tells_one_neighbour_or_only_that_it_is_one() {
        let neighbours = neighbours(KeyRing::default());
        let a = PeerKind::Neighbour { id: Some(NeighbourId(0)), may_be_plain: false };
        for (address, expected) in [
            ("10.0.0.1", a),
            ("::ffff:10.0.0.1", a),
            ("::1", a),
            ("127.0.0.1", PeerKind::Neighbour { id: None, may_be_plain: true }),
            ("127.0.0.2", PeerKind::Stranger),
        ] {
            assert_eq!(kind(&neighbours, address), expected, "{address}");
        }
        neighbours.update(NeighbourId(0), &["10.0.0.2:1".parse().expect("an address")]);
        assert_eq!(kind(&neighbours, "10.0.0.1"), PeerKind::Stranger);
        assert_eq!(kind(&neighbours, "10.0.0.2"), a);
    }

    #[test]
    fn a_neighbour_keeps_its_number_whoever_comes_before_it_in_a_later_list() {
        let neighbours = neighbours(KeyRing::default());
        let before = ["A", "B", "C"].map(|name| neighbours.id(name));
        for (name, kind) in [("0", Kind::Herd), ("C", Kind::Herd), ("A", Kind::Herd)] {
            neighbours.add(Neighbour { name: name.into(), kind });
        }
        assert_eq!(["A", "B", "C"].map(|name| neighbours.id(name)), before);
        assert_eq!(neighbours.id("0"), Some(NeighbourId(3)));
        assert_eq!(neighbours.get(NeighbourId(2)).map(|it| it.kind), Some(Kind::Herd));
    }

    #[test]
    fn who_is_no_neighbour_any_more_is_not_known_by_name_or_address_and_comes_back_under_its_number() {
        let neighbours = neighbours(KeyRing::default());
        let b = neighbours.id("B").expect("a neighbour");
        neighbours.seen.note(b, 5, 7);
        neighbours.seen.hear_mark(b);
        neighbours.oddities.conf(b, 4);
        neighbours.remove(b);
        assert_eq!((neighbours.id("B"), neighbours.has(b), neighbours.departures()), (None, false, 1));
        assert!(!neighbours.ids().contains(&b) && !neighbours.seen.has_marked(b));
        assert_eq!(neighbours.oddities.notes(Duration::ZERO), [""; 0]);
        let c_alone = PeerKind::Neighbour { id: Some(NeighbourId(2)), may_be_plain: true };
        assert_eq!(kind(&neighbours, "127.0.0.1"), c_alone);
        assert_eq!(neighbours.named(b"B"), Err(Denied::Unknown));
        neighbours.add(Neighbour { name: "B".into(), kind: Kind::Herd });
        assert_eq!(neighbours.id("B"), Some(b));
        assert_eq!(neighbours.seen.of(b, 5), 7, "what it sent is there");
    }

    #[test]
    fn what_was_seen_comes_back_from_the_journal() {
        let (before, after) = (neighbours(KeyRing::default()), neighbours(KeyRing::default()));
        before.seen.note(NeighbourId(1), 0xabc, 7);
        let lines = before.seen_lines();
        assert_eq!(lines, ["SEEN B 0000000000000abc 7"]);
        lines.iter().for_each(|line| after.recall(line.as_bytes()));
        for other in ["SEEN Z 0000000000000abc 9", "SEEN B x 9", "SEEN B 0000000000000abc", ""] {
            after.recall(other.as_bytes());
        }
        assert_eq!(after.seen_lines(), lines);
    }

    #[test]
    fn with_a_secret_an_address_tells_only_who_is_of_another_make() {
        let key = || vec![Key::new(b"key")];
        let neighbours =
            neighbours(KeyRing { pairs: [("A".into(), key()), ("B".into(), key())].into(), own: key() });
        assert_eq!(kind(&neighbours, "10.0.0.1"), PeerKind::Stranger);
        let plain = PeerKind::Neighbour { id: Some(NeighbourId(2)), may_be_plain: true };
        assert_eq!(kind(&neighbours, "127.0.0.1"), plain);
    }

    #[test]
    fn a_name_is_believed_at_its_address_or_with_a_secret_to_prove_it() {
        let welcome = |neighbours: &Neighbours, name: &str, address: &str| {
            let dialler = End { name: name.as_bytes(), incarnation: 5, nonce: [0; NONCE_BYTES], conf: None };
            let address = address.parse().expect("an address");
            let peer = neighbours.peer(address);
            let link = neighbours.welcome(&dialler, &peer, [1; NONCE_BYTES], 0, 5, &mut Vec::new());
            link.map(|link| link.neighbour())
        };
        let open = neighbours(KeyRing::default());
        assert_eq!(welcome(&open, "A", "10.0.0.1"), Ok(Some(NeighbourId(0))));
        assert_eq!(welcome(&open, "A", "127.0.0.1"), Err(Denied::Elsewhere));
        assert_eq!(welcome(&open, "B", "127.0.0.1"), Ok(Some(NeighbourId(1))));
        assert_eq!(welcome(&open, "C", "127.0.0.1"), Err(Denied::Unknown), "a plain one");
        assert_eq!(welcome(&open, "D", "127.0.0.1"), Err(Denied::Unknown));
        assert_eq!(welcome(&open, ASKER, "127.0.0.1"), Ok(None));
        assert_eq!(welcome(&open, ASKER, "10.0.0.1"), Ok(None));
        assert_eq!(welcome(&open, ASKER, "10.0.0.9"), Err(Denied::Elsewhere));
        let pairs = [("A".into(), vec![Key::new(b"key")])].into();
        let secured = neighbours(KeyRing { pairs, own: vec![Key::new(b"key")] });
        assert_eq!(welcome(&secured, "A", "192.0.2.1"), Ok(Some(NeighbourId(0))), "its proof will tell");
    }
}
