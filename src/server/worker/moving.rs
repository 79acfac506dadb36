//! Connections that change workers, as `balance` advises.

use super::Worker;
use crate::server::Letter;
use crate::server::balance::Advice;
use crate::server::connection::{Connection, Phase};

impl Worker {
    /// Moves connections when the load asks for it.
    pub(super) fn balance(&mut self) {
        let desks = &self.shared.desks;
        let window = self.gauge.window();
        let advice =
            self.gauge.look(self.turn.now, self.index, |index| desks.get(index).map(|desk| &desk.load));
        match advice {
            Advice::Stay => {}
            Advice::HandHalfTo(target) => {
                let active = |connection: &Connection| connection.active_in == window;
                let movable = self.movable(active);
                self.hand(target, movable.into_iter().skip(1).step_by(2));
            }
            Advice::HandBack => {
                let movable = self.movable(|_| true);
                self.hand(0, movable.into_iter());
                if self.connections.is_empty() {
                    self.shared.desks[self.index].load.set_at_work(false);
                    self.acceptor.close(&self.shared, self.index);
                }
            }
        }
    }

    /// Connections that can change hands: all but those whose answer will come here.
    fn movable(&mut self, wanted: impl Fn(&Connection) -> bool) -> Vec<u64> {
        let mut keys = self.connections.keys();
        keys.retain(|&key| {
            let connection = self.connections.get(key);
            connection.is_some_and(|it| wanted(it) && !matches!(it.phase, Phase::Lookup(_) | Phase::Asked))
        });
        keys
    }

    fn hand(&mut self, target: usize, keys: impl Iterator<Item = u64>) {
        for key in keys {
            let Some(connection) = self.connections.remove(key) else { continue };
            // Removing fails only for a source that is not watched, which is what it is to be.
            let _ = self.shared.desks[self.index].poller.remove(&connection.stream);
            self.shared.desks[target].load.set_at_work(true);
            let letter = Letter::Connection(Box::new(connection));
            if let Err(Letter::Connection(connection)) = self.shared.desks[target].post(letter) {
                // The server stops, and that worker has ended: its replies are flushed here.
                self.adopt(*connection);
            }
        }
    }
}
