//! Connections that change workers, as `balance` advises, and while the journal's disk is slow. Then whoever is to be
//! learned from is the first worker's, which waits for that disk in its turns; all others are another's, which accepts
//! connections, too.

use std::sync::atomic::Ordering;

use super::Worker;
use super::balance::Advice;
use super::desk::Letter;
use crate::limits::REPORTS_FOR_S;

/// The worker that learns while the journal's disk is slow, and the one that has all others then.
const LEARNS: usize = 0;
const ASKED: usize = 1;

impl Worker {
    /// Moves connections when the load asks for it.
    pub(super) fn balance(&mut self) {
        let hall = self.hall.clone();
        let window = self.gauge.window();
        let loads = |index: usize| hall.desks.get(index).map(|desk| &desk.load);
        let advice = self.gauge.look(self.now.up, self.index, loads);
        if self.is_parted {
            if self.index == LEARNS && self.gauge.window() != window {
                let now_s = self.now.up.as_secs() as u16;
                let movable = self.room.movable(|guest| now_s.wrapping_sub(guest.told_s) >= REPORTS_FOR_S);
                self.hand(ASKED, movable.into_iter());
            }
            return;
        }
        match advice {
            Advice::Stay => {}
            Advice::HandHalfTo(target) => {
                let movable = self.room.movable(|guest| guest.active_in == window as u16);
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

    /// Parts from the others, or joins them again, as the journal's disk is slow, or is not any more. Also while the
    /// server stops: those who only ask have their last answers in time, whatever the disk does.
    pub(super) fn part(&mut self, is_stopping: bool) {
        let hall = self.hall.clone();
        let is_slow = || hall.core.journal().is_some_and(|journal| journal.is_slow());
        // The first worker may be in an append that lasts longer than that, and all are apart until it is back.
        let lasts = self.index != LEARNS && hall.is_parted.load(Ordering::SeqCst);
        let is_parted = hall.desks.len() > ASKED && (lasts || is_slow());
        // A server that stops parts nobody who is not apart: the worker that would learn may have ended.
        if is_parted == self.is_parted || (is_parted && is_stopping) {
            return;
        }
        self.is_parted = is_parted;
        self.gauge.begin_anew();
        let desk = &hall.desks[self.index];
        if self.index == LEARNS {
            hall.is_parted.store(is_parted, Ordering::SeqCst);
        }
        if self.index != LEARNS {
            self.room.part(is_parted);
            if is_parted && self.index == ASKED {
                // It may have been about to rest.
                desk.load.set_at_work(true);
                self.acceptor.open(&hall.entrance, &desk.poller);
            }
        } else if is_parted {
            log::warn!(
                "the disk of the journal is slow: whoever reports waits for it, and others are served apart from them"
            );
            desk.load.set_at_work(false);
            self.acceptor.close(&hall.entrance, &desk.poller);
            hall.desks[ASKED].load.set_at_work(true);
            hall.desks[ASKED].poller.wake();
        } else {
            log::info!("the disk of the journal is as fast as it was");
            desk.load.set_at_work(true);
            self.acceptor.open(&hall.entrance, &desk.poller);
        }
    }

    /// Hands those on that have said what is learned by another worker.
    pub(super) fn hand_misplaced(&mut self) {
        let misplaced = self.room.take_misplaced();
        self.hand(LEARNS, misplaced.into_iter());
    }

    fn hand(&mut self, target: usize, keys: impl Iterator<Item = u64>) {
        let hall = self.hall.clone();
        for key in keys {
            let Some(guest) = self.room.hand_out(key) else { continue };
            if target != LEARNS {
                // The first one is, unless it is to have no others than these.
                hall.desks[target].load.set_at_work(true);
            }
            let letter = Letter::Guest(Box::new(guest));
            if let Err(Letter::Guest(guest)) = hall.desks[target].post(letter) {
                // The server stops, and that worker has ended: what it has said is learned here, and its replies are
                // flushed here.
                self.is_parted = false;
                self.room.part(false);
                self.room.adopt(*guest);
            }
        }
    }

    /// Whether others may still hand on whoever has said something to be learned here.
    pub(super) fn stays_for_others(&self) -> bool {
        let mut others = self.hall.desks.iter().skip(LEARNS + 1);
        self.index == LEARNS && self.is_parted && others.any(|desk| !desk.is_closed())
    }

    /// It has ended, which another may wait for.
    pub(super) fn tell_end(&self) {
        if self.index != LEARNS {
            self.hall.desks[LEARNS].poller.wake();
        }
    }
}
