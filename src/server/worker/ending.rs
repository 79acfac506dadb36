//! How connections end: broken, finished, out of time, or with the server.

use std::io;
use std::sync::atomic::Ordering;

use super::{SWEEP_REST, Worker};
use crate::server::connection::Phase;
use crate::server::socket;

impl Worker {
    /// Waits a while for the peer to close, too.
    pub(super) fn linger(&mut self, key: u64, why: &'static str) {
        if let Some(connection) = self.connections.get(key) {
            connection.linger(why, self.turn.now);
            self.watch(key);
        }
    }

    pub(super) fn close_lingering(&mut self, key: u64) {
        let why = match self.connections.get(key).map(|connection| &connection.phase) {
            Some(&Phase::Lingering { why, .. } | &Phase::Closing(why)) => why,
            Some(Phase::Open | Phase::Lookup(_) | Phase::Asked) | None => "the peer closed it",
        };
        self.close(key, why);
    }

    pub(super) fn broken(&mut self, key: u64, why: &io::Error) {
        self.close(key, &why.to_string());
    }

    pub(super) fn close(&mut self, key: u64, why: &str) {
        if let Some(connection) = self.connections.remove(key) {
            self.turn.wire.at(socket::posix_ns());
            let (neighbours, link) = (&self.shared.neighbours, connection.link.as_deref());
            neighbours.show(&mut self.turn.wire, link, &connection.address);
            self.turn.wire.closed(why);
            self.shared.open.fetch_sub(1, Ordering::SeqCst);
        }
    }

    pub(super) fn note_deadline(&mut self, key: u64) {
        let Some(connection) = self.connections.get(key) else { return };
        if let Some((at, _)) = connection.deadline(&self.shared.settings) {
            let at = at.max(self.swept_at + SWEEP_REST);
            self.sweep_at = Some(self.sweep_at.map_or(at, |sweep_at| sweep_at.min(at)));
        }
    }

    /// Closes connections whose time is up, and finds out when the next one's may be.
    pub(super) fn sweep(&mut self) {
        if self.sweep_at.is_none_or(|at| at > self.turn.now) {
            return;
        }
        self.sweep_at = None;
        self.swept_at = self.turn.now;
        for key in self.connections.keys() {
            let deadline =
                self.connections.get(key).and_then(|connection| connection.deadline(&self.shared.settings));
            match deadline {
                Some((at, why)) if at <= self.turn.now => {
                    self.note_unproven(key, why);
                    self.close(key, why);
                }
                Some(_) => self.note_deadline(key),
                None => {}
            }
        }
        self.turn.wire.commit(&self.shared.sink);
    }

    /// Counts a connection whose time is up before it proved who it is.
    fn note_unproven(&mut self, key: u64, why: &str) {
        if let Some(connection) = self.connections.get(key).filter(|connection| connection.is_greeting()) {
            self.shared.tallies.denied.count(|total| {
                log::warn!("closed a link from {}: {why}; {total} so far", connection.address);
            });
        }
    }

    /// While stopping: closes what has nothing to flush; true once nothing is left.
    pub(super) fn close_idle(&mut self) -> bool {
        self.acceptor.close(&self.shared, self.index);
        for key in self.connections.keys() {
            let Some(connection) = self.connections.get(key) else { continue };
            if connection.unsent() > 0
                || matches!(connection.phase, Phase::Lookup(_) | Phase::Lingering { .. })
            {
                continue;
            }
            // What the peer still sends would turn the close into a reset, and that might overtake
            // replies; so it is read and dropped for a while.
            let sends = connection.read(&mut self.buffer, self.turn.now).is_ok_and(|count| count > 0);
            if sends {
                self.linger(key, "the server stops");
            } else {
                self.close(key, "the server stops");
            }
        }
        self.turn.wire.commit(&self.shared.sink);
        self.connections.is_empty() && self.shared.desks[self.index].close()
    }
}
