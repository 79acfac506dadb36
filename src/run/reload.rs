//! Who asked that herd.conf be read again, while that is done on a thread, as it may take minutes. `service` has it done.

use std::sync::Arc;

use super::exit;
use super::next::Next;
use super::orders::Order;
use crate::config::Config;
use crate::door::Outcome;
use crate::places::Places;
use crate::thread;
use crate::worker::Told;
use crossbeam_channel::Sender;

/// Who asked for a reading that is under way, and who for the one behind it.
#[derive(Default)]
pub struct Readings {
    is_under_way: bool,
    waiting: Vec<Told>,
    /// One more is to follow, as somebody asked while one was under way.
    is_asked_again: bool,
    late: Vec<Told>,
}

impl Readings {
    /// Has a herd.conf read that takes the place of `old`, now or after the reading that is under way, and somebody told
    /// what came of it.
    pub fn ask(
        &mut self,
        told: Option<Told>,
        old: &Config,
        index: usize,
        places: &Arc<dyn Places>,
        giving: Sender<Order>,
    ) {
        if self.is_under_way {
            self.is_asked_again = true;
            self.late.extend(told);
            return;
        }
        self.waiting.extend(told);
        let (old, places) = (old.clone(), places.clone());
        // Detached: what it reads may be on a disk that hangs.
        let started = thread::spawn("reload", move || {
            let next = Next::read(&old, index, &places);
            // Nobody takes it when the server stops meanwhile.
            let _ = giving.send(Order::Read(Box::new(next)));
        });
        match started {
            Ok(_) => self.is_under_way = true,
            Err(why) => {
                log::error!("not reloaded: {why}");
                self.tell(&Outcome::Kept { status: exit::OS, why: why.to_string() });
            }
        }
    }

    /// Whether one is under way.
    pub fn are_under_way(&self) -> bool {
        self.is_under_way
    }

    /// A reading is over: tells those who asked for it. Says whether one more is to follow.
    pub fn end(&mut self, outcome: &Outcome) -> bool {
        self.is_under_way = false;
        self.tell(outcome);
        self.waiting = std::mem::take(&mut self.late);
        std::mem::take(&mut self.is_asked_again)
    }

    fn tell(&mut self, outcome: &Outcome) {
        self.waiting.drain(..).for_each(|told| told(outcome.clone()));
    }
}
