//! Who makes way in a room when there is no slot for the next one, and who turns out to be of the herd.

use std::net::IpAddr;
use std::time::Duration;

use super::super::entrance::{Admission, Lack};
use super::{Guest, Outside, Room, SWEEP_REST};
use crate::door::{Kin, crowd};
use crate::limits::{QUIET_MAX, SLOTS_FOR_ASKERS, SLOTS_PER_NEIGHBOUR};
use crate::net::Stream;
use crate::tally::Ended;

/// Guests that were silent for long when all were looked at, the most silent last.
#[derive(Default)]
pub struct Quiet {
    /// Only guests from there.
    whose: Option<IpAddr>,
    keys: Vec<u64>,
    /// When all may be looked at again.
    again_at: Duration,
}

impl<S: Stream> Guest<S> {
    /// Since when a guest has said nothing and has been owed nothing; None for a connection that may be silent. A link in
    /// a guest's slot counts as silent, whatever it says: its name has slots of its own.
    fn silent_since(&self) -> Option<Duration> {
        let is_guest = self.admission == Admission::Guest;
        let is_owed = self.connection.unsent() > 0 || self.connection.lingers().is_some();
        if !is_guest || is_owed {
            return None;
        }
        if self.door.kin().is_some() {
            return self.door.kin_since();
        }
        Some(self.door.silent_since()?.max(self.connection.taken()))
    }
}

impl<S: Stream, O: Outside<S>> Room<S, O> {
    /// Closes the guest that has been silent for longest, if that is long; says whether there was one. For one whose
    /// address has its share already it is a guest from there.
    pub fn make_way(&mut self, lack: Lack, address: IpAddr) -> bool {
        let (whose, reason) = match lack {
            Lack::Slots => (None, "max_connections or the file limit is reached"),
            Lack::ShareOfAddress => (Some(crowd(address)), "its address has max_per_address"),
        };
        while let Some(key) = self.next_quiet(whose) {
            let Some((since, address)) = self.quiet_one(key, whose) else { continue };
            let silent_s = self.now.up.saturating_sub(since).as_secs();
            self.outside.core().tallies.evicted.count(self.now.up, |total| {
                log::warn!(
                    "closed {address}, which was silent for {silent_s} s, to let in another: {reason}; {total} so far"
                );
            });
            self.close(key, Ended::NoRoom, "it was silent, and another needs its place");
            return true;
        }
        false
    }

    /// One that was silent for long when all were looked at, which is not done often.
    fn next_quiet(&mut self, whose: Option<IpAddr>) -> Option<u64> {
        let now = self.now.up;
        let quiet = if whose.is_some() { &self.quiet_of_address } else { &self.quiet };
        if (quiet.keys.is_empty() || quiet.whose != whose) && now >= quiet.again_at {
            let found = self.look_for_quiet(whose);
            *(if whose.is_some() { &mut self.quiet_of_address } else { &mut self.quiet }) = found;
        }
        let quiet = if whose.is_some() { &mut self.quiet_of_address } else { &mut self.quiet };
        quiet.keys.pop_if(|_| quiet.whose == whose)
    }

    /// Looks at all guests for some of the most silent.
    fn look_for_quiet(&mut self, whose: Option<IpAddr>) -> Quiet {
        let keys = self.guests.keys().into_iter();
        let mut quiet: Vec<_> =
            keys.filter_map(|key| self.quiet_one(key, whose).map(|(since, _)| (since, key))).collect();
        quiet.sort_unstable();
        quiet.truncate(QUIET_MAX);
        let keys = quiet.into_iter().rev().map(|(_, key)| key).collect();
        Quiet { whose, keys, again_at: self.now.up + SWEEP_REST }
    }

    /// A guest that has been silent for long, from anywhere or from there: since when, and its address.
    fn quiet_one(&mut self, key: u64, whose: Option<IpAddr>) -> Option<(Duration, std::net::SocketAddr)> {
        let (silent, now) = (self.outside.manners().silent, self.now.up);
        let guest = self.guests.get(key)?;
        if whose.is_some_and(|whose| whose != crowd(guest.address.ip())) {
            return None;
        }
        let since = guest.silent_since().filter(|&since| since + silent <= now)?;
        Some((since, guest.address))
    }

    /// Ends a trial for one who comes from `address`; says whether there was one to end. First goes whoever has not even
    /// greeted. Of those who have, any one goes, as each waits for its way there and back, and the oldest is who has the
    /// longest way; but none from a neighbour's address goes for somebody from elsewhere.
    pub fn end_trial(&mut self, address: IpAddr) -> bool {
        let (guests, neighbours) = (&mut self.guests, &self.outside.core().neighbours);
        let mut trial = |key: u64| {
            let guest = guests.get(key).filter(|guest| matches!(guest.admission, Admission::OnTrial(_)))?;
            Some((guest.door.is_greeting(), neighbours.has_address(guest.address.ip())))
        };
        self.trials.retain(|&key| trial(key).is_some());
        let is_known = neighbours.has_address(address);
        let silent = self.trials.iter().position(|&key| matches!(trial(key), Some((false, _))));
        let mut may_go = |is_kept: bool| {
            let all = self.trials.iter().enumerate();
            let found = all.filter(|(_, key)| trial(**key).is_some_and(|(_, known)| known == is_kept));
            let found: Vec<usize> = found.map(|(index, _)| index).collect();
            found.get(fastrand::usize(..found.len().max(1))).copied()
        };
        let chosen = silent.or_else(|| may_go(false)).or_else(|| if is_known { may_go(true) } else { None });
        let Some(key) = chosen.and_then(|index| self.trials.remove(index)) else { return false };
        self.close(key, Ended::NoRoom, "there is no room for it");
        true
    }

    /// After a connection said something: whether it has turned out to be of the herd. One on trial is closed if there
    /// is no slot for its kind.
    pub(super) fn weigh(&mut self, key: u64) {
        let Some(guest) = self.guests.get(key) else { return };
        let Some(kin) = guest.door.kin().filter(|_| !matches!(guest.admission, Admission::Herd(_))) else {
            return;
        };
        guest.admission = self.outside.prove(guest.admission, kin, guest.address.ip());
        if !matches!(guest.admission, Admission::OnTrial(_)) {
            return;
        }
        let address = guest.address;
        let core = self.outside.core();
        core.tallies.denied.count(self.now.up, |total| match kin {
            Kin::Neighbour(id) => log::warn!(
                "closed a link from {address}: {} has {SLOTS_PER_NEIGHBOUR} already, and no guest's slot is free; \
                 {total} so far",
                core.neighbours.name(id)
            ),
            Kin::Asker => log::warn!(
                "closed {address}, which asks how the herd is: {SLOTS_FOR_ASKERS} ask already, and no guest's slot is \
                 free; {total} so far"
            ),
        });
        self.close(key, Ended::NoRoom, "others of its kind have the slots for them");
    }
}
