//! How a room's connections are read: at an event, after the others, or without one.

use super::{Outside, Room};
use crate::limits::{GREEDY_BYTES_MAX, HANDSHAKES_PER_TURN};
use crate::net::stream::is_retry;
use crate::net::{Interest, Stream};

impl<S: Stream, O: Outside<S>> Room<S, O> {
    pub(super) fn read(&mut self, key: u64) {
        let Some(guest) = self.guests.get(key) else { return };
        guest.active_in = self.window;
        let lingers = guest.connection.lingers().is_some();
        match guest.connection.read(&mut self.buffer, self.now.up) {
            Ok(0) if lingers => self.close_lingering(key),
            Ok(_) if lingers => self.watch(key),
            Ok(count) => {
                guest.connection.eof = count == 0;
                guest.is_greedy = count == self.buffer.len();
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
        let mut left = if self.is_stopping { 0 } else { HANDSHAKES_PER_TURN };
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
        for key in greedy.drain(..) {
            if self.read_bytes >= GREEDY_BYTES_MAX {
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
}
