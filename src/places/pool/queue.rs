//! Lookups that wait for a thread. Networks take turns, and in each its addresses, so that one that asks for much waits
//! for itself. When the queue is full, the network that has most in it loses the last one of its address that has most.
//! The pool calls it.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bounded; what is pushed when it is full comes out again, or another in its place.
pub struct Queue<T> {
    line: Mutex<Line<T>>,
    /// Somebody may take a thing, or is to end.
    changed: Condvar,
    max: usize,
}

struct Line<T> {
    /// Whose turn it is; each network that has something waiting is in it once.
    turns: VecDeque<IpAddr>,
    networks: HashMap<IpAddr, Network<T>>,
    count: usize,
    is_closed: bool,
}

/// What waits of one network, and whose turn it is there; nothing in it is empty.
struct Network<T> {
    turns: VecDeque<IpAddr>,
    addresses: HashMap<IpAddr, VecDeque<T>>,
    count: usize,
}

/// What was not taken into the queue.
#[derive(Debug, PartialEq)]
pub enum Refused<T> {
    /// It is full, and this goes.
    Full(T),
    Closed(T),
}

impl<T> Queue<T> {
    pub fn new(max: usize) -> Queue<T> {
        let (turns, networks) = Default::default();
        let line = Line { turns, networks, count: 0, is_closed: false };
        Queue { line: Mutex::new(line), changed: Condvar::new(), max: max.max(1) }
    }

    /// Puts something at the end of what an address has waiting.
    ///
    /// # Errors
    /// It is closed, or full; then the one that goes may be another's, whose network or address has more waiting.
    pub fn push(&self, address: IpAddr, thing: T) -> Result<(), Refused<T>> {
        let mut line = self.line();
        if line.is_closed {
            return Err(Refused::Closed(thing));
        }
        let mut goes = None;
        if line.count >= self.max {
            goes = line.make_room(address);
            if goes.is_none() {
                return Err(Refused::Full(thing));
            }
        }
        line.put(address, thing);
        drop(line);
        self.changed.notify_one();
        goes.map_or(Ok(()), |goes| Err(Refused::Full(goes)))
    }

    /// The next thing, when there is one; None once it is closed and empty.
    pub fn take(&self) -> Option<T> {
        let mut line = self.line();
        loop {
            if let Some(thing) = line.take_next() {
                return Some(thing);
            }
            if line.is_closed {
                return None;
            }
            line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes out what nobody wants any more.
    pub fn retain(&self, is_wanted: impl FnMut(&T) -> bool) {
        self.line().retain(is_wanted);
    }

    pub fn count(&self) -> usize {
        self.line().count
    }

    pub fn is_full(&self) -> bool {
        self.line().count >= self.max
    }

    /// Takes nothing more.
    pub fn close(&self) {
        self.line().is_closed = true;
        self.changed.notify_all();
    }

    fn line(&self) -> MutexGuard<'_, Line<T>> {
        // Each change is whole even after a panic elsewhere.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Line<T> {
    fn put(&mut self, address: IpAddr, thing: T) {
        let of = network(address);
        let turns = &mut self.turns;
        let network = self.networks.entry(of).or_insert_with(|| {
            turns.push_back(of);
            Network { turns: VecDeque::new(), addresses: HashMap::new(), count: 0 }
        });
        network.put(address, thing);
        self.count += 1;
    }

    fn take_next(&mut self) -> Option<T> {
        let of = self.turns.pop_front()?;
        let network = self.networks.get_mut(&of)?;
        let thing = network.take_next()?;
        self.count -= 1;
        if network.count == 0 {
            self.networks.remove(&of);
        } else {
            self.turns.push_back(of);
        }
        Some(thing)
    }

    /// Takes out what has to go for the next one of an address, where more waits than of that: the last one of the
    /// network with most, or of the address with most in the same network.
    fn make_room(&mut self, address: IpAddr) -> Option<T> {
        let own = self.networks.get(&network(address));
        let (own, of_address) = own.map_or((0, 0), |its| (its.count, its.count_of(address)));
        let most = self.networks.iter().max_by_key(|(_, its)| its.count).map(|(of, its)| (*of, its.count));
        let thing = match most {
            Some((of, count)) if count > own + 1 => self.networks.get_mut(&of)?.take_last(0)?,
            _ => self.networks.get_mut(&network(address))?.take_last(of_address + 1)?,
        };
        self.count -= 1;
        self.forget_idle();
        Some(thing)
    }

    fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) {
        self.networks.values_mut().for_each(|its| its.retain(&mut is_wanted));
        self.count = self.networks.values().map(|its| its.count).sum();
        self.forget_idle();
    }

    /// Drops the turns of networks that have nothing waiting any more.
    fn forget_idle(&mut self) {
        self.networks.retain(|_, its| its.count > 0);
        let networks = &self.networks;
        self.turns.retain(|of| networks.contains_key(of));
    }
}

impl<T> Network<T> {
    fn put(&mut self, address: IpAddr, thing: T) {
        let its = self.addresses.entry(address).or_default();
        if its.is_empty() {
            self.turns.push_back(address);
        }
        its.push_back(thing);
        self.count += 1;
    }

    fn count_of(&self, address: IpAddr) -> usize {
        self.addresses.get(&address).map_or(0, VecDeque::len)
    }

    fn take_next(&mut self) -> Option<T> {
        let address = self.turns.pop_front()?;
        let its = self.addresses.get_mut(&address)?;
        let thing = its.pop_front()?;
        self.count -= 1;
        if its.is_empty() {
            self.addresses.remove(&address);
        } else {
            self.turns.push_back(address);
        }
        Some(thing)
    }

    /// Takes the last one of the address with most, if that has more than so many.
    fn take_last(&mut self, more_than: usize) -> Option<T> {
        let most = self.addresses.values_mut().max_by_key(|its| its.len());
        let thing = most.filter(|its| its.len() > more_than)?.pop_back()?;
        self.count -= 1;
        self.forget_idle();
        Some(thing)
    }

    fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) {
        self.addresses.values_mut().for_each(|its| its.retain(&mut is_wanted));
        self.count = self.addresses.values().map(VecDeque::len).sum();
        self.forget_idle();
    }

    /// Drops the turns of addresses that have nothing waiting any more.
    fn forget_idle(&mut self) {
        self.addresses.retain(|_, its| !its.is_empty());
        let addresses = &self.addresses;
        self.turns.retain(|address| addresses.contains_key(address));
    }
}

/// The network that an address takes turns with: of IPv6 a site has a /48, in which are 65,536 times those addresses
/// that are one host's.
pub fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 80 << 80).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: u8) -> IpAddr {
        [10, 0, 0, host].into()
    }

    #[test]
    fn addresses_take_turns() {
        let queue = Queue::new(8);
        for (host, thing) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            assert_eq!(queue.push(at(host), thing), Ok(()));
        }
        queue.close();
        assert_eq!(queue.push(at(4), "d1"), Err(Refused::Closed("d1")));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn a_site_with_many_addresses_has_one_turn_and_its_addresses_take_turns_in_it() {
        let queue = Queue::new(8);
        let of_site = |host: u16| -> IpAddr { [0x2001, 0xdb8, 1, host, 0, 0, 0, 0].into() };
        for (address, thing) in
            [(of_site(1), "a1"), (of_site(1), "a2"), (of_site(2), "b1"), (of_site(3), "c1")]
        {
            assert_eq!(queue.push(address, thing), Ok(()));
        }
        assert_eq!(queue.push([0x2001, 0xdb8, 2, 1, 0, 0, 0, 0].into(), "d1"), Ok(()));
        assert_eq!(queue.push(at(1), "e1"), Ok(()));
        for (address, thing, goes) in
            [(of_site(4), "f1", None), (of_site(5), "g1", None), (at(2), "h1", Some("a2"))]
        {
            assert_eq!(queue.push(address, thing).err(), goes.map(Refused::Full), "{thing}");
        }
        queue.close();
        let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, ["a1", "d1", "e1", "h1", "b1", "c1", "f1", "g1"]);
    }

    #[test]
    fn when_it_is_full_the_address_with_most_loses_its_last_one() {
        let queue = Queue::new(4);
        for (host, thing, expected) in [
            (1, "a1", Ok(())),
            (1, "a2", Ok(())),
            (1, "a3", Ok(())),
            (1, "a4", Ok(())),
            (1, "a5", Err(Refused::Full("a5"))),
            (2, "b1", Err(Refused::Full("a4"))),
            (2, "b2", Err(Refused::Full("a3"))),
            (2, "b3", Err(Refused::Full("b3"))),
        ] {
            assert_eq!(queue.push(at(host), thing), expected, "{thing}");
        }
        assert!(queue.is_full());
        queue.retain(|thing| *thing != "b1" && *thing != "a1");
        assert_eq!(queue.push(at(3), "c1"), Ok(()));
        queue.close();
        let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, ["a2", "b2", "c1"]);
    }
}
