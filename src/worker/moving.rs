//! Connections that change workers, as `balance` advises.

use super::Worker;
use super::balance::Advice;
use super::desk::Letter;

impl Worker {
    /// Moves connections when the load asks for it.
    pub(super) fn balance(&mut self) {
        let hall = self.hall.clone();
        let window = self.gauge.window();
        let loads = |index: usize| hall.desks.get(index).map(|desk| &desk.load);
        match self.gauge.look(self.now.up, self.index, loads) {
            Advice::Stay => {}
            Advice::HandHalfTo(target) => {
                let movable = self.room.movable(|guest| guest.active_in == window);
                self.hand(target, movable.into_iter().skip(1).step_by(2));
            }
            Advice::HandBack => {
                let movable = self.room.movable(|_| true);
                self.hand(0, movable.into_iter());
                if self.room.is_empty() {
                    let desk = &hall.desks[self.index];
                    desk.load.set_at_work(false);
                    self.acceptor.close(&hall.entrance, &desk.poller);
                }
            }
        }
    }

    fn hand(&mut self, target: usize, keys: impl Iterator<Item = u64>) {
        let hall = self.hall.clone();
        for key in keys {
            let Some(guest) = self.room.hand_out(key) else { continue };
            hall.desks[target].load.set_at_work(true);
            let letter = Letter::Guest(Box::new(guest));
            if let Err(Letter::Guest(guest)) = hall.desks[target].post(letter) {
                // The server stops, and that worker has ended: its replies are flushed here.
                self.room.adopt(*guest);
            }
        }
    }
}
