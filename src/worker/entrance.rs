//! Who is let in, and as what: guests up to `max_connections` and their address's share of it, and beside them the
//! herd's own, whose slots no guest can take. Workers ask for every connection.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::door::{DoorKind, Kin, crowd};
use crate::limits::{SLOTS_FOR_ASKERS, SLOTS_FOR_TRIALS, SLOTS_PER_NEIGHBOUR};
use crate::net::Listener;

/// Where connections come in, and how many are in.
pub struct Entrance {
    /// One an address of `listen`, at least one, and what is spoken on it.
    pub listeners: Vec<(DoorKind, Listener)>,
    counts: Mutex<Counts>,
    /// Clients are served.
    open: AtomicBool,
}

/// How many may be in.
#[derive(Clone, Copy, Debug, Default)]
pub struct Capacity {
    /// What herd.conf allows, or what the file limit leaves of it.
    pub guests: usize,
    /// Guests of one address; those of this machine and of neighbours count, and are not bounded.
    pub per_address: usize,
}

/// As what a connection is in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// It has one of the slots for guests.
    Guest,
    /// There was no slot for a further guest. It has a moment to prove that it is of the herd.
    OnTrial(Lack),
    /// It has proven that, and has one of the slots for its kind.
    Herd(Kin),
}

/// What there was none of for a further guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    Slots,
    ShareOfAddress,
}

#[derive(Default)]
struct Counts {
    bounds: Capacity,
    guests: usize,
    on_trial: usize,
    /// Those of the herd by kind; bounded by the neighbours there are.
    herd: HashMap<Kin, usize>,
    /// Guests by address; bounded by the guests there are.
    by_address: HashMap<IpAddr, usize>,
}

impl Entrance {
    pub fn new(listeners: Vec<(DoorKind, Listener)>, bounds: Capacity) -> Entrance {
        let counts = Mutex::new(Counts { bounds, ..Counts::default() });
        Entrance { listeners, counts, open: AtomicBool::new(false) }
    }

    pub fn bounds(&self) -> Capacity {
        self.counts().bounds
    }

    /// So many may be in from now on. Who is in stays.
    pub fn set_bounds(&self, bounds: Capacity) {
        self.counts().bounds = bounds;
    }

    /// Clients are served from now on, by workers that are woken.
    pub fn open(&self) {
        self.open.store(true, Ordering::Release);
    }

    /// Whether clients are served; before that only those are who ask how the server is.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Counts a guest in, if there is room; `is_free` says that its address has no bound of its own.
    ///
    /// # Errors
    /// There is none.
    pub fn enter(&self, address: IpAddr, is_free: bool) -> Result<Admission, Lack> {
        let mut counts = self.counts();
        let from_there = counts.by_address.get(&crowd(address)).copied().unwrap_or(0);
        if !is_free && from_there >= counts.bounds.per_address {
            return Err(Lack::ShareOfAddress);
        }
        if counts.guests >= counts.bounds.guests {
            return Err(Lack::Slots);
        }
        counts.guests += 1;
        *counts.by_address.entry(crowd(address)).or_default() += 1;
        Ok(Admission::Guest)
    }

    /// Counts in one for whom there is no room as a guest; None when there is none of this kind either.
    pub fn enter_on_trial(&self, lack: Lack) -> Option<Admission> {
        let mut counts = self.counts();
        if counts.on_trial >= SLOTS_FOR_TRIALS {
            return None;
        }
        counts.on_trial += 1;
        Some(Admission::OnTrial(lack))
    }

    /// A connection has proven that it is of the herd: it takes no guest's slot any more, if there is one for its kind.
    /// If not, it stays what it is. No name takes the slots of another, however many connections have it.
    pub fn prove(&self, admission: Admission, kin: Kin, address: IpAddr) -> Admission {
        let mut counts = self.counts();
        let slots = match kin {
            Kin::Neighbour(_) => SLOTS_PER_NEIGHBOUR,
            Kin::Asker => SLOTS_FOR_ASKERS,
        };
        let has_room = counts.herd.get(&kin).is_none_or(|&others| others < slots);
        match admission {
            Admission::Guest if has_room => counts.take_guest(address),
            Admission::OnTrial(_) if has_room => counts.on_trial -= 1,
            Admission::Guest | Admission::OnTrial(_) | Admission::Herd(_) => return admission,
        }
        *counts.herd.entry(kin).or_default() += 1;
        Admission::Herd(kin)
    }

    /// Counts a connection out.
    pub fn leave(&self, admission: Admission, address: IpAddr) {
        let mut counts = self.counts();
        match admission {
            Admission::Guest => counts.take_guest(address),
            Admission::OnTrial(_) => counts.on_trial -= 1,
            Admission::Herd(kin) => {
                counts.herd.entry(kin).and_modify(|its| *its -= 1);
            }
        }
    }

    /// How many are in: guests, those on trial, and those of the herd.
    pub fn count(&self) -> [usize; 3] {
        let counts = self.counts();
        [counts.guests, counts.on_trial, counts.herd.values().sum()]
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn take_guest(&mut self, address: IpAddr) {
        self.guests -= 1;
        if let Entry::Occupied(mut from_there) = self.by_address.entry(crowd(address)) {
            *from_there.get_mut() -= 1;
            if *from_there.get() == 0 {
                from_there.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NeighbourId;

    fn at(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn entrance() -> Entrance {
        Entrance::new(Vec::new(), Capacity { guests: 4, per_address: 2 })
    }

    #[test]
    fn an_address_has_its_share_and_a_host_of_ipv6_one_address() {
        let entrance = entrance();
        for (address, is_free, expected) in [
            ("10.0.0.1", false, Ok(Admission::Guest)),
            ("::ffff:10.0.0.1", false, Ok(Admission::Guest)),
            ("10.0.0.1", false, Err(Lack::ShareOfAddress)),
            ("fd00::1", false, Ok(Admission::Guest)),
            ("10.0.0.1", true, Ok(Admission::Guest)),
            ("fd00::2", false, Err(Lack::Slots)),
        ] {
            assert_eq!(entrance.enter(at(address), is_free), expected, "{address}");
        }
        (0..3).for_each(|_| entrance.leave(Admission::Guest, at("10.0.0.1")));
        assert_eq!(entrance.enter(at("fd00::2"), false), Ok(Admission::Guest));
        assert_eq!(entrance.enter(at("fd00::3:1"), false), Err(Lack::ShareOfAddress));
        (0..2).for_each(|_| entrance.leave(Admission::Guest, at("fd00::9")));
        assert!(entrance.counts().by_address.is_empty(), "nothing is kept of those who left");
    }

    #[test]
    fn the_herd_has_its_own_slots_and_takes_no_guests() {
        let (entrance, guest, link) = (entrance(), at("10.0.0.1"), Kin::Neighbour(NeighbourId(0)));
        (0..4).for_each(|_| assert!(entrance.enter(guest, true).is_ok()));
        let trial = Admission::OnTrial(Lack::Slots);
        assert_eq!(entrance.enter_on_trial(Lack::Slots), Some(trial));
        assert_eq!(entrance.prove(trial, link, guest), Admission::Herd(link));
        assert_eq!(entrance.prove(Admission::Guest, link, guest), Admission::Herd(link));
        assert_eq!(entrance.enter(guest, true), Ok(Admission::Guest), "the slot it had as a guest");
        assert_eq!(entrance.prove(Admission::Guest, link, guest), Admission::Guest, "it stays what it is");
        (0..SLOTS_FOR_TRIALS).for_each(|_| assert!(entrance.enter_on_trial(Lack::Slots).is_some()));
        assert_eq!(entrance.enter_on_trial(Lack::Slots), None);
        entrance.leave(Admission::Herd(link), guest);
        assert_eq!(entrance.prove(trial, link, guest), Admission::Herd(link));
        assert!(entrance.enter_on_trial(Lack::Slots).is_some());
        assert_eq!(entrance.count(), [4, SLOTS_FOR_TRIALS, 2]);
    }

    #[test]
    fn no_kind_takes_the_slots_of_another() {
        let (entrance, guest, trial) = (entrance(), at("10.0.0.1"), Admission::OnTrial(Lack::Slots));
        let prove = |kin| {
            assert!(entrance.enter_on_trial(Lack::Slots).is_some());
            let proven = entrance.prove(trial, kin, guest);
            if proven == trial {
                entrance.leave(trial, guest);
            }
            proven != trial
        };
        let [a, b] = [0, 1].map(|id| Kin::Neighbour(NeighbourId(id)));
        for (kin, slots) in
            [(a, SLOTS_PER_NEIGHBOUR), (Kin::Asker, SLOTS_FOR_ASKERS), (b, SLOTS_PER_NEIGHBOUR)]
        {
            let proven = (0..100).filter(|_| prove(kin)).count();
            assert_eq!(proven, slots, "{kin:?}");
        }
    }
}
