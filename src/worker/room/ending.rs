//! How a room's connections end: broken, finished, out of time, or with the server.

use std::io;
use std::io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
use std::time::Duration;

use super::{Guest, Outside, Room, SWEEP_REST};
use crate::door::PEER_CLOSED;
use crate::limits::{DRAIN_QUIET_MS, HTTP_CROWDED_SILENCE_S, LINGER_S};
use crate::net::Stream;
use crate::tally::Ended;

const LINGER: Duration = Duration::from_secs(LINGER_S);

/// Between two looks at whoever has room that others may wait for, in other rooms, too.
const CROWDED_LOOK: Duration = Duration::from_secs(HTTP_CROWDED_SILENCE_S);

/// How long a peer is silent of which no line is on its way.
const DRAIN_QUIET: Duration = Duration::from_millis(DRAIN_QUIET_MS);

impl<S: Stream, O: Outside<S>> Room<S, O> {
    /// Waits a while for the peer to close, too.
    pub(super) fn linger(&mut self, key: u64, why: &'static str) {
        let patience = if self.stops_since.is_some() { self.outside.manners().drain } else { LINGER };
        if let Some(guest) = self.guests.get(key) {
            guest.connection.linger(why, self.now.up + patience);
            self.watch(key);
        }
    }

    pub(super) fn close_lingering(&mut self, key: u64) {
        let lingers = self.guests.get(key).and_then(|guest| guest.connection.lingers());
        match lingers {
            Some((_, why)) => self.close(key, self.ended_by_us(), why),
            None => self.close(key, Ended::ByPeer, PEER_CLOSED),
        }
    }

    pub(super) fn broken(&mut self, key: u64, why: &io::Error) {
        let Some(guest) = self.guests.get(key) else { return };
        if guest.connection.lingers().is_some() {
            self.close_lingering(key);
        } else {
            let is_peers = matches!(why.kind(), ConnectionReset | BrokenPipe | ConnectionAborted);
            self.close(key, if is_peers { Ended::ByPeer } else { Ended::Broken }, &why.to_string());
        }
    }

    /// How one ends that its door, or the server's end, closes.
    fn ended_by_us(&self) -> Ended {
        if self.stops_since.is_some() { Ended::Stopping } else { Ended::ByDoor }
    }

    pub(super) fn close(&mut self, key: u64, ended: Ended, why: &str) {
        if let Some(mut guest) = self.guests.remove(key) {
            guest.connection.leave(self.outside.write_timeout());
            self.outside.unsent().change(guest.weight, 0);
            self.turn.wire.at(self.outside.posix_ns());
            guest.door.show(self.outside.core(), &guest.address, &mut self.turn.wire);
            self.turn.wire.closed(why, guest.door.is_shown());
            self.turn.closed(guest.door.kind(), ended);
            self.outside.left(guest.admission, guest.address);
        }
    }

    pub(super) fn deadline_of(&mut self, key: u64) -> Option<(Duration, &'static str)> {
        let guest = self.guests.get(key)?;
        guest.deadline(self.outside.manners(), self.outside.write_timeout())
    }

    pub(super) fn note_deadline(&mut self, key: u64) {
        let keeps_room = self.guests.get(key).is_some_and(|guest| guest.door.keeps_room());
        if let Some((at, _)) = self.deadline_of(key) {
            // It may have less time by then.
            let at = if keeps_room { at.min(self.now.up + CROWDED_LOOK) } else { at };
            let at = at.max(self.swept_at + SWEEP_REST);
            self.sweep_at = Some(self.sweep_at.map_or(at, |sweep_at| sweep_at.min(at)));
        }
    }

    /// Closes connections whose time is up, and finds out when the next one's may be.
    pub(super) fn sweep(&mut self) {
        if self.sweep_at.is_none_or(|at| at > self.now.up) {
            return;
        }
        (self.sweep_at, self.swept_at) = (None, self.now.up);
        let self_ended = self.ended_by_us();
        for key in self.guests.keys() {
            match self.deadline_of(key) {
                Some((at, _)) if at <= self.now.up && self.reads_after_all(key) => self.resume(key),
                Some((at, _)) if at <= self.now.up && self.expires(key) => self.flush(),
                Some((at, why)) if at <= self.now.up => {
                    let mut ended = Ended::Timeout;
                    if let Some(guest) = self.guests.get(key) {
                        // It has been told all it is to be told, and only its own end was waited for.
                        if guest.connection.lingers().is_some() {
                            ended = self_ended;
                        }
                        guest.door.note_timeout(self.outside.core(), guest.address, why, self.now.up);
                    }
                    self.close(key, ended, why);
                }
                Some(_) => self.note_deadline(key),
                None => {}
            }
        }
        self.turn.wire.commit();
    }

    /// Whether one whose time is up is told so first, and then closed like any other.
    fn expires(&mut self, key: u64) -> bool {
        let is_sending =
            |guest: &mut Guest<S>| guest.connection.unsent() > 0 || guest.connection.lingers().is_some();
        if self.guests.get(key).is_none_or(is_sending) {
            return false;
        }
        let mut is_told = false;
        self.visit(key, |door, visit, _| {
            let mut asks = None;
            is_told = door.expire(visit, &mut asks);
            asks
        });
        is_told
    }

    /// Whether one whose replies have waited for long has taken some of them, though not so much that the system
    /// reports it.
    fn reads_after_all(&mut self, key: u64) -> bool {
        let now = self.now.up;
        let Some(guest) = self.guests.get(key) else { return false };
        let before = guest.connection.unsent();
        before > 0 && guest.connection.send_rest(now).is_ok() && guest.connection.unsent() < before
    }

    /// While too much is unsent in all: closes connections that have something unsent, first the one that has taken
    /// nothing for longest.
    pub(super) fn shed(&mut self) {
        if !self.outside.unsent().is_too_much() {
            return;
        }
        let guests = &mut self.guests;
        let keys = guests.keys().into_iter();
        let mut owed: Vec<_> = keys
            .filter_map(|key| guests.get(key).map(|guest| (guest.connection.taken(), guest.weight, key)))
            .filter(|&(_, weight, _)| weight > 0)
            .collect();
        owed.sort_unstable_by_key(|&(taken, weight, _)| (taken, std::cmp::Reverse(weight)));
        for (_, _, key) in owed {
            if !self.outside.unsent().is_too_much() {
                break;
            }
            let address = self.guests.get(key).map(|guest| guest.address.to_string()).unwrap_or_default();
            self.outside.core().tallies.shed.count(self.now.up, |total| {
                log::warn!(
                    "closed {address}, which does not read fast enough: more replies wait in all than \
                     max_unsent_total in herd.conf allows; {total} so far"
                );
            });
            self.close(key, Ended::Unread, "too much is unsent in all");
        }
        self.turn.wire.commit();
    }

    /// The server has stopped for so long that nothing more is answered.
    pub(super) fn is_drained(&self) -> bool {
        let drain = self.outside.manners().drain;
        self.stops_since.is_some_and(|since| self.now.up >= since + drain)
    }

    /// While the server stops: closes whoever has fallen silent, and at the end of the drain everybody, once nothing is
    /// left to be sent; true once nobody is left. What is on its way from a peer meanwhile is still answered.
    pub fn close_idle(&mut self) -> bool {
        let is_drained = self.is_drained();
        // What was taken back from another room, and answered, is still to be sent.
        self.flush();
        for key in self.guests.keys() {
            let Some(guest) = self.guests.get(key) else { continue };
            let is_owed = guest.door.is_owed() || self.misplaced.contains(&key);
            if guest.connection.unsent() > 0 || is_owed || guest.connection.lingers().is_some() {
                continue;
            }
            // A link's neighbour is told by the end of it, and says on the next one what it has said here.
            let is_in_handshake = guest.connection.stream.is_in_handshake();
            let is_amid = is_in_handshake || guest.door.is_amid();
            // Who has just come is about to say something.
            let quiet = if guest.has_spoken { DRAIN_QUIET } else { self.outside.manners().drain };
            let is_quiet = self.now.up >= guest.heard.up() + quiet && (is_drained || !is_amid);
            let is_silent = is_quiet || guest.door.kin().is_some();
            let has_input = !is_in_handshake && guest.connection.stream.has_input();
            if !is_drained && (!is_silent || has_input) {
                continue;
            }
            if is_drained && self.expires(key) {
                // It knows now that it is to send that again.
                self.flush();
                continue;
            }
            // What the peer still sends would turn the close into a reset, and that might overtake replies; so its end is
            // told first, and what comes behind that is read and dropped for a while.
            if is_silent && !has_input {
                self.close(key, Ended::Stopping, "the server stops");
            } else {
                self.linger(key, "the server stops");
            }
        }
        self.turn.wire.commit();
        self.guests.is_empty()
    }

    /// What has come by the end of the drain is read once more, to be answered in this turn, before anybody is told the
    /// end.
    pub(super) fn read_last(&mut self) {
        for key in self.guests.keys() {
            let Some(guest) = self.guests.get(key) else { continue };
            let connection = &guest.connection;
            let takes = connection.unsent() == 0 && connection.lingers().is_none() && guest.door.reads();
            if takes && !connection.stream.is_in_handshake() && connection.stream.has_input() {
                self.read(key);
            }
        }
    }
}
