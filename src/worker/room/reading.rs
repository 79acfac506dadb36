//! How a room's connections are read: at an event, after the others, or without one.

use super::super::entrance::Admission;
use super::{Guest, Outside, Room, SWEEP_REST};
use crate::limits::{GREEDY_BYTES_MAX, HANDSHAKES_PER_TURN, METERED_EVENTS_MAX};
use crate::net::stream::is_retry;
use crate::net::{Interest, Lane, Stream};

impl<S: Stream, O: Outside<S>> Room<S, O> {
    pub(super) fn read(&mut self, key: u64) {
        let Some(guest) = self.guests.get(key) else { return };
        guest.active_in = self.window as u16;
        let lingers = guest.connection.lingers().is_some();
        let most = guest.door.takes().min(self.buffer.len());
        match guest.connection.read(&mut self.buffer[..most], self.now.up) {
            Ok(0) if lingers => self.close_lingering(key),
            Ok(_) if lingers => self.watch(key),
            Ok(count) => {
                guest.connection.eof = count == 0;
                guest.is_greedy = count == most;
                if count > 0 && !matches!(guest.admission, Admission::OnTrial(_)) {
                    guest.heard = self.now.up.into();
                    guest.has_spoken = true;
                }
                self.read_bytes += count;
                self.visit(key, |door, visit, buffer| match count {
                    0 => door.end(visit),
                    _ => door.read(visit, &buffer[..count]),
                });
            }
            // What it waits for may have changed.
            Err(why) if is_retry(&why) => self.watch(key),
            Err(why) => self.broken(key, &why),
        }
    }

    /// Has one that is in its handshake wait until those before it were read.
    pub(super) fn put_off(&mut self, key: u64) {
        if let Some(guest) = self.guests.get(key)
            && !guest.is_put_off
        {
            guest.is_put_off = true;
            self.handshakes.push_back(key);
            self.watch(key);
        }
    }

    /// Reads some of those that are in their handshake, in the order in which they were ready.
    pub(super) fn read_handshakes(&mut self) {
        let mut left = if self.is_drained() { 0 } else { HANDSHAKES_PER_TURN };
        while left > 0 {
            let Some(key) = self.handshakes.pop_front() else { break };
            let Some(guest) = self.guests.get(key) else { continue };
            guest.is_put_off = false;
            left -= 1;
            self.read(key);
        }
        self.flush();
    }

    /// Has one read in the next turn whose stream has more, if its door takes more.
    pub(super) fn hold(&mut self, key: u64) {
        let Some(guest) = self.guests.get(key) else { return };
        let reads = matches!(guest.interest(), Interest::Readable | Interest::Both);
        if reads && !guest.is_held && guest.connection.stream.has_more() {
            guest.is_held = true;
            self.held.push(key);
        }
    }

    /// Reads those that always have more, one after another, as far as a turn goes. They are reported again, and
    /// then it begins behind the last one read.
    pub(super) fn read_greedy(&mut self) {
        let mut greedy = std::mem::take(&mut self.greedy);
        greedy.sort_unstable();
        let next = greedy.partition_point(|&key| key <= self.greedy_last);
        greedy.rotate_left(next);
        let mut metered = 0;
        for key in greedy.drain(..) {
            let is_metered = self.guests.get(key).is_some_and(|guest| guest.lane() == Lane::Metered);
            // One at least, however long the others of its lane took.
            metered += usize::from(is_metered);
            let is_late = is_metered && metered > 1 && !self.has_metered_time();
            if is_late || self.read_bytes >= GREEDY_BYTES_MAX {
                // Unless no event tells of it.
                self.hold(key);
                continue;
            }
            self.greedy_last = key;
            self.read(key);
        }
        self.greedy = greedy;
        self.flush();
    }

    /// Notes one that waits for room.
    pub(super) fn line_up(&mut self, key: u64) {
        if let Some(guest) = self.guests.get(key)
            && guest.door.waits_for_room()
            && !guest.is_unroomed
        {
            guest.is_unroomed = true;
            self.unroomed.push_back(key);
        }
    }

    /// Has those that wait for room go on, in the order in which they began to, as far as there is some.
    pub(super) fn find_room(&mut self) {
        for _ in 0..METERED_EVENTS_MAX {
            let Some(&key) = self.unroomed.front() else { break };
            let waits = |guest: &mut Guest<S>| guest.door.waits_for_room();
            if self.guests.get(key).is_some_and(waits) {
                let waits_for_start = |guest: &mut Guest<S>| guest.door.waits_for_start();
                let waited_for_start = self.guests.get(key).is_some_and(waits_for_start);
                self.visit(key, |door, visit, _| door.find_room(visit));
                let waits_for_start = self.guests.get(key).is_some_and(waits_for_start);
                if waited_for_start && !waits_for_start && self.guests.get(key).is_some_and(waits) {
                    // The server has started, and those behind it may lack no more than that.
                    self.unroomed.pop_front();
                    self.unroomed.push_back(key);
                    continue;
                }
                if self.guests.get(key).is_some_and(waits) {
                    // Those that have it have less time from now on.
                    let at = self.now.up.max(self.swept_at + SWEEP_REST);
                    self.sweep_at = Some(self.sweep_at.map_or(at, |sweep_at| sweep_at.min(at)));
                    break;
                }
            }
            if let Some(guest) = self.guests.get(key) {
                guest.is_unroomed = false;
            }
            self.unroomed.pop_front();
        }
        self.flush();
    }
}
