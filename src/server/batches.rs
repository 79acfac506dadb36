//! The thread `batches`: reads what phones say that takes longer than a turn may. Apart from the other errands, as
//! thousands of phones may come back at once with all that they have kept.

use crossbeam_channel::Receiver;

use crate::clock::Clock;
use crate::worker::Errand;

/// The thread: ends after what came before `Errand::Stop`.
pub fn run(due: &Receiver<Errand>, clock: Clock) {
    while let Ok(Errand::Do(errand)) = due.recv() {
        errand(clock.now());
    }
}
