//! Who this server's neighbours are: by the name they prove, or, where the herd has no secret, by
//! the address they dial from. Workers ask for every connection; links tell what a name resolves to.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::oddities::Oddities;
use super::socket;
use crate::link::exchange::{Denied, Identity, Listener, Standing};
use crate::link::{KeyRing, Keys, Meter, Seen};
use crate::logging::Wire;
use crate::node::{Node, Peer, PeerKind};
use crate::protocol::link::{ClockReading, End, Nonce, Proof};

/// What neighbours are to know of us, and we of them.
pub struct Neighbours {
    pub own: Identity,
    pub seen: Seen,
    pub oddities: Oddities,
    list: Vec<Neighbour>,
    state: Mutex<State>,
    began: Instant,
}

/// One of them, as herd.conf has it.
pub struct Neighbour {
    pub name: String,
    /// Of another make: known by its address, never by a proof.
    pub plain: bool,
}

struct State {
    /// Each address and the neighbour that has it, as last resolved.
    addresses: Vec<(IpAddr, u16)>,
    keys: KeyRing,
}

/// The name by which `herd --agree` introduces itself; no server can have it.
pub const ASKER: &str = "-";

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
        let names = list.iter().map(|neighbour| neighbour.name.clone()).collect();
        let oddities = Oddities::new(hold, heartbeat, own.conf, names);
        Neighbours { own, seen: Seen::default(), oddities, list, state, began: Instant::now() }
    }

    /// Time since the start.
    pub fn now(&self) -> Duration {
        self.began.elapsed()
    }

    /// Has a node forget nobody before the slowest clock of the herd says so.
    pub fn reckon(&self, node: &Node) {
        node.set_lead_s(self.oddities.clocks.lead_s(self.now()));
    }

    /// A neighbour said what its clock reads. Returns what is to be said of ours.
    pub fn hear_time(
        &self,
        meter: &mut Meter,
        neighbour: Option<u16>,
        theirs: &ClockReading,
        node: &Node,
    ) -> ClockReading {
        let (now_ns, now) = (socket::posix_ns(), self.now());
        let offset = meter.hear(theirs, now_ns, now);
        if let Some(neighbour) = neighbour {
            if let Some(offset) = offset {
                self.oddities.measured(neighbour, offset, now);
            }
            let (behind_ms, age_ms, most_ms) = (theirs.behind_ms, theirs.age_ms, now_ns / 1_000_000);
            self.oddities.clocks.told(neighbour, behind_ms, age_ms, most_ms, now);
            self.reckon(node);
        }
        meter.say(now_ns, now, self.oddities.clocks.slowest(now))
    }

    /// Replaces the addresses of one neighbour.
    pub fn update(&self, neighbour: u16, resolved: &[SocketAddr]) {
        let mut state = self.state();
        state.addresses.retain(|&(_, index)| index != neighbour);
        state.addresses.extend(resolved.iter().map(|at| (at.ip().to_canonical(), neighbour)));
    }

    /// Replaces the secrets; links that are open stay open.
    pub fn rekey(&self, keys: KeyRing) {
        self.state().keys = keys;
    }

    /// What is shared with a neighbour, or with those who only ask.
    pub fn keys(&self, neighbour: Option<u16>) -> Keys {
        let state = self.state();
        match neighbour {
            Some(index) => state.keys.pairs.get(usize::from(index)).cloned().unwrap_or_default(),
            None => state.keys.own.clone(),
        }
    }

    /// The journal's line for what is stored of a neighbour.
    pub fn seen_line(&self, neighbour: u16, incarnation: u64, epoch: u32) -> String {
        let name = self.list.get(usize::from(neighbour)).map_or("", |it| it.name.as_str());
        format!("SEEN {name} {incarnation:016x} {epoch}")
    }

    /// The same for every neighbour that was heard of.
    pub fn seen_lines(&self) -> Vec<String> {
        let all = self.seen.all().into_iter();
        all.map(|(neighbour, incarnation, epoch)| self.seen_line(neighbour, incarnation, epoch)).collect()
    }

    /// Takes up a line of the journal; one of a server that is no neighbour any more is of no use.
    pub fn recall(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(line);
        let fields: Vec<_> = text.split(' ').collect();
        let ["SEEN", name, incarnation, epoch] = fields[..] else { return };
        let known = (0..).zip(&self.list).find(|(_, it)| it.name == name);
        let parsed = (u64::from_str_radix(incarnation, 16), epoch.parse());
        if let (Some((index, _)), (Ok(incarnation), Ok(epoch))) = (known, parsed) {
            self.seen.note(index, incarnation, epoch);
        }
    }

    /// Who dials from this address, as far as it tells; where there is a secret it tells only of
    /// neighbours of another make.
    pub fn peer(&self, address: IpAddr) -> Peer {
        let address = address.to_canonical();
        let state = self.state();
        let mut kind = PeerKind::Stranger;
        for &(_, found) in state.addresses.iter().filter(|(at, _)| *at == address) {
            let found_plain = self.list.get(usize::from(found)).is_some_and(|it| it.plain);
            if !found_plain && state.keys.has_secret(found) {
                continue;
            }
            kind = match kind {
                PeerKind::Stranger => PeerKind::Neighbour { index: Some(found), plain: found_plain },
                PeerKind::Neighbour { index, plain } => {
                    let index = index.filter(|&index| index == found);
                    PeerKind::Neighbour { index, plain: plain || found_plain }
                }
            };
        }
        Peer { address, kind, incarnation: 0 }
    }

    /// Answers a dialer that says who it is.
    ///
    /// # Errors
    /// It is no neighbour, or, where no secret is to prove it, does not dial from one's address.
    pub fn welcome(
        &self,
        dialer: &End<'_>,
        address: IpAddr,
        nonce: Nonce,
        count: u64,
        out: &mut Vec<u8>,
    ) -> Result<Listener, Denied> {
        let neighbour = self.named(dialer.name)?;
        let keys = self.keys(neighbour);
        if keys.is_empty() && !self.is_at(address.to_canonical(), neighbour) {
            return Err(Denied::Elsewhere);
        }
        let seen = neighbour.map_or(0, |neighbour| self.seen.of(neighbour, dialer.incarnation));
        let standing = Standing { seen, count, now_ns: socket::posix_ns() };
        Ok(Listener::welcome(&self.own, nonce, neighbour, dialer, &keys, standing, out))
    }

    /// Takes a dialer's proof.
    ///
    /// # Errors
    /// It does not hold.
    pub fn prove(&self, link: &mut Listener, proof: &Proof) -> Result<(), Denied> {
        let (name, neighbour) = (self.name_of(link), link.neighbour());
        link.prove(proof, &self.own, name, &self.keys(neighbour))
    }

    /// Has the log's next lines be about a peer: a neighbour that has opened a link has its name, anybody else an
    /// address, as many may share a neighbour's.
    pub fn show(&self, wire: &mut Wire, link: Option<&Listener>, address: &SocketAddr) {
        let index = link.filter(|link| link.is_open()).and_then(Listener::neighbour);
        match index.and_then(|index| self.list.get(usize::from(index))) {
            Some(neighbour) => wire.with_neighbour(&neighbour.name),
            None => wire.with(address),
        }
    }

    /// The name that a dialer proves, or says it is.
    pub fn name_of(&self, link: &Listener) -> &str {
        let known = link.neighbour().and_then(|index| self.list.get(usize::from(index)));
        known.map_or(ASKER, |neighbour| neighbour.name.as_str())
    }

    /// The neighbour of this name, or None for one who only asks.
    fn named(&self, name: &[u8]) -> Result<Option<u16>, Denied> {
        if name == ASKER.as_bytes() {
            return Ok(None);
        }
        let found = (0..).zip(&self.list).find(|(_, it)| it.name.as_bytes() == name && !it.plain);
        found.map(|(index, _)| Some(index)).ok_or(Denied::Unknown)
    }

    /// Whether a neighbour has this address; those who only ask may be any of them, or at home.
    fn is_at(&self, address: IpAddr, neighbour: Option<u16>) -> bool {
        let known = |&(at, index): &(IpAddr, u16)| {
            at == address && neighbour.is_none_or(|neighbour| neighbour == index)
        };
        (neighbour.is_none() && address.is_loopback()) || self.state().addresses.iter().any(known)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Key;
    use crate::protocol::link::NONCE_BYTES;

    fn neighbours(keys: KeyRing) -> Neighbours {
        let own = Identity { name: "Goloman".into(), incarnation: 1, conf: 3 };
        let list = [("A", false), ("B", false), ("C", true)];
        let list = list.map(|(name, plain)| Neighbour { name: name.into(), plain }).into();
        let neighbours = Neighbours::new(own, list, keys, Duration::ZERO, Duration::from_secs(5));
        let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        neighbours.update(0, &[at("10.0.0.1:1"), at("[::1]:1")]);
        neighbours.update(1, &[at("127.0.0.1:2")]);
        neighbours.update(2, &[at("127.0.0.1:3"), at("127.0.0.1:4")]);
        neighbours
    }

    fn kind(neighbours: &Neighbours, address: &str) -> PeerKind {
        neighbours.peer(address.parse().expect("an address")).kind
    }

    #[test]
    fn an_address_tells_one_neighbour_or_only_that_it_is_one() {
        let neighbours = neighbours(KeyRing::default());
        let a = PeerKind::Neighbour { index: Some(0), plain: false };
        for (address, expected) in [
            ("10.0.0.1", a),
            ("::ffff:10.0.0.1", a),
            ("::1", a),
            ("127.0.0.1", PeerKind::Neighbour { index: None, plain: true }),
            ("127.0.0.2", PeerKind::Stranger),
        ] {
            assert_eq!(kind(&neighbours, address), expected, "{address}");
        }
        neighbours.update(0, &["10.0.0.2:1".parse().expect("an address")]);
        assert_eq!(kind(&neighbours, "10.0.0.1"), PeerKind::Stranger);
        assert_eq!(kind(&neighbours, "10.0.0.2"), a);
    }

    #[test]
    fn what_was_seen_comes_back_from_the_journal() {
        let (before, after) = (neighbours(KeyRing::default()), neighbours(KeyRing::default()));
        before.seen.note(1, 0xabc, 7);
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
        let neighbours = neighbours(KeyRing { pairs: vec![key(), key(), Vec::new()], own: key() });
        assert_eq!(kind(&neighbours, "10.0.0.1"), PeerKind::Stranger);
        let plain = PeerKind::Neighbour { index: Some(2), plain: true };
        assert_eq!(kind(&neighbours, "127.0.0.1"), plain);
    }

    #[test]
    fn a_name_is_believed_at_its_address_or_with_a_secret_to_prove_it() {
        let welcome = |neighbours: &Neighbours, name: &str, address: &str| {
            let dialer = End { name: name.as_bytes(), incarnation: 5, nonce: [0; NONCE_BYTES], conf: None };
            let address = address.parse().expect("an address");
            let link = neighbours.welcome(&dialer, address, [1; NONCE_BYTES], 0, &mut Vec::new());
            link.map(|link| link.neighbour())
        };
        let open = neighbours(KeyRing::default());
        assert_eq!(welcome(&open, "A", "10.0.0.1"), Ok(Some(0)));
        assert_eq!(welcome(&open, "A", "127.0.0.1"), Err(Denied::Elsewhere));
        assert_eq!(welcome(&open, "B", "127.0.0.1"), Ok(Some(1)));
        assert_eq!(welcome(&open, "C", "127.0.0.1"), Err(Denied::Unknown), "of another make");
        assert_eq!(welcome(&open, "D", "127.0.0.1"), Err(Denied::Unknown));
        assert_eq!(welcome(&open, ASKER, "127.0.0.1"), Ok(None));
        assert_eq!(welcome(&open, ASKER, "10.0.0.1"), Ok(None));
        assert_eq!(welcome(&open, ASKER, "10.0.0.9"), Err(Denied::Elsewhere));
        let pairs = vec![vec![Key::new(b"key")]];
        let secured = neighbours(KeyRing { pairs, own: vec![Key::new(b"key")] });
        assert_eq!(welcome(&secured, "A", "192.0.2.1"), Ok(Some(0)), "its proof will tell");
    }
}
