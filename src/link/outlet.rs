//! The outgoing side of a link, between the flood and the link's dialler. While the neighbour keeps up the flood
//! writes to its stream itself, which spares every update a change of threads; what the stream does not take at
//! once, the dialler sends.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::{Due, Kind, Lag, Mark, Offered, Outbox, Refused};
use crate::limits::ODDITY_SAY_AGAIN_S;
use crate::logging::Wire;
use crate::net::Stream;
use crate::net::stream::is_retry;
use crate::node::{NeighbourId, Source};
use crate::store::Store;
use crate::store::digest::Differing;
use crate::tally::Tally;

/// Wakes the dialler of a link.
pub type Wake = Box<dyn Fn() + Send + Sync>;

/// Where the flood leaves AT lines for one neighbour.
pub struct Outlet {
    id: NeighbourId,
    /// The neighbour's.
    name: String,
    kind: Kind,
    /// Held for one write that does not wait, or to change what is pending.
    state: Mutex<State>,
    stopping: AtomicBool,
    /// This server is about to stop, and probably its neighbours, too.
    leaving: AtomicBool,
    /// The neighbour dialled while the link was down.
    called: AtomicBool,
    /// Its connection is to be made anew.
    is_stale: AtomicBool,
    /// How long the neighbour may take nothing of what waits for it, in ms.
    write_timeout_ms: AtomicU64,
    /// It was up, or could not be.
    was_tried: AtomicBool,
    wake: Wake,
    /// Records that the neighbour closed a connection over.
    pub spared: Tally,
    /// What it said of our marks that cannot be.
    pub untrue: Tally,
}

#[derive(Default)]
struct State {
    outbox: Outbox,
    /// What the flood may write to; None where there is a connection per line.
    stream: Option<Arc<dyn Stream>>,
    /// Which of the neighbour's starts is at the other end; 0 for another implementation.
    incarnation: u64,
    /// What records begin with that it closed the link over.
    refused: Refused,
    /// It has long known other clients than this server.
    differs: bool,
}

impl Outlet {
    /// In `outbox` so many bytes may wait as it has room for.
    pub fn new(id: NeighbourId, name: &str, kind: Kind, outbox: Outbox, wake: Wake) -> Outlet {
        let state = State { outbox, ..State::default() };
        Outlet {
            id,
            name: name.to_owned(),
            kind,
            state: Mutex::new(state),
            stopping: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            called: AtomicBool::new(false),
            is_stale: AtomicBool::new(false),
            write_timeout_ms: AtomicU64::new(0),
            was_tried: AtomicBool::new(false),
            wake,
            spared: Tally::with_rest(Duration::from_secs(ODDITY_SAY_AGAIN_S)),
            untrue: Tally::with_rest(Duration::from_secs(ODDITY_SAY_AGAIN_S)),
        }
    }

    /// Before it is up: a neighbour without marks gets what is of later epochs than this one.
    pub fn begin_after(&self, epoch: u32) {
        self.state().outbox.begin_after(epoch);
    }

    /// Which of this server's neighbours it leads to.
    pub fn id(&self) -> NeighbourId {
        self.id
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Sends lines to the neighbour, unless they came from it, or leaves them to the dialler, or
    /// notes that it will have to read the store. Never waits. What is sent here is logged here.
    pub fn offer(&self, lines: &[u8], from: Option<Source>, wire: &mut Wire) {
        let mut state = self.state();
        let is_its_own = from.is_some_and(|from| {
            from.neighbour == self.id && (from.incarnation == 0 || from.incarnation == state.incarnation)
        });
        if is_its_own {
            return;
        }
        let lines = state.refused.without(lines);
        if !lines.is_empty() && self.send(&mut state, &lines) {
            wire.with_neighbour(&self.name);
            wire.flooded(&lines);
        }
    }

    /// The neighbour closed the link over a record that begins so: from here on it is spared it, or it
    /// would never hear of those behind it. Says whether that is new.
    pub fn spare(&self, beginning: &[u8]) -> bool {
        self.state().refused.note(beginning)
    }

    /// The lines of these that the neighbour takes.
    pub fn taken(&self, lines: Vec<u8>) -> Vec<u8> {
        match self.state().refused.without(&lines) {
            Cow::Borrowed(_) => {}
            Cow::Owned(taken) => return taken,
        }
        lines
    }

    /// Whether the neighbour has long known other clients.
    pub fn set_differs(&self, differs: bool) {
        self.state().differs = differs;
    }

    /// The neighbour's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far the neighbour is behind a store, when it is so late. Walks the store if it is.
    pub fn lag(&self, store: &Store, now: Duration) -> Lag {
        let position = self.state().outbox.position();
        position.lag(store.news(), now, |epoch| store.count_after(epoch))
    }

    /// Of how many clients it refuses the latest record.
    pub fn refused(&self) -> usize {
        self.state().refused.count()
    }

    /// Whether it has long known other clients than this server.
    pub fn differs(&self) -> bool {
        self.state().differs
    }

    /// Tells the neighbour that all of an epoch is on its way.
    pub fn mark(&self, mark: Mark) {
        let (mut state, mut line) = (self.state(), Vec::new());
        if self.kind.is_plain() {
            state.outbox.mark_sent(mark);
        } else if state.outbox.mark(mark, &mut line) {
            self.send(&mut state, &line);
        }
    }

    /// Says whether the lines went to the socket, be it only in part.
    fn send(&self, state: &mut State, lines: &[u8]) -> bool {
        let State { outbox, stream, .. } = state;
        match (outbox.offer(lines), stream) {
            (Offered::Kept, _) => false,
            (Offered::Wake, _) => {
                (self.wake)();
                false
            }
            (Offered::Send, None) => {
                outbox.leave(lines, 0);
                (self.wake)();
                false
            }
            (Offered::Send, Some(stream)) => {
                match stream.write_now(lines) {
                    Ok(sent) if sent == lines.len() && outbox.wants_probe() => (self.wake)(),
                    Ok(sent) if sent == lines.len() => {}
                    Ok(sent) => {
                        outbox.leave_logged(lines, sent);
                        (self.wake)();
                    }
                    Err(why) if is_retry(&why) => {
                        outbox.leave_logged(lines, 0);
                        (self.wake)();
                    }
                    // Nothing of it went out. If the socket is dead its thread learns of it and the link
                    // comes up again; if it is not, as when the system has no memory for it, the lines are
                    // in the store.
                    Err(_) => {
                        outbox.mark_behind();
                        (self.wake)();
                        return false;
                    }
                }
                true
            }
        }
    }

    /// Notes that news was lost on the way to this link.
    pub fn mark_behind(&self) {
        if self.state().outbox.mark_behind() {
            (self.wake)();
        }
    }

    /// Has the link send what is pending and end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        (self.wake)();
    }

    /// From here on a link that fails is nothing to warn of: where a whole herd stops, neighbours go first.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::SeqCst);
    }

    pub fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::SeqCst)
    }

    /// The neighbour has dialled, so it is there: a link that rests is tried now.
    pub fn call(&self) {
        if !self.is_up() {
            self.called.store(true, Ordering::SeqCst);
            (self.wake)();
        }
    }

    /// What is said at the begin of a connection, or to where it leads, has changed: it is made anew.
    pub fn redial(&self) {
        self.is_stale.store(true, Ordering::SeqCst);
        (self.wake)();
    }

    /// Whether its connection was to be made anew since this was last asked.
    pub fn was_redialled(&self) -> bool {
        self.is_stale.swap(false, Ordering::SeqCst)
    }

    /// How long the neighbour may take nothing of what waits for it.
    pub fn write_timeout(&self) -> Duration {
        Duration::from_millis(self.write_timeout_ms.load(Ordering::Relaxed))
    }

    pub fn set_write_timeout(&self, timeout: Duration) {
        let ms = u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX);
        self.write_timeout_ms.store(ms, Ordering::Relaxed);
    }

    /// Whether the neighbour has dialled since this was last asked.
    pub fn was_called(&self) -> bool {
        self.called.swap(false, Ordering::SeqCst)
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Whether it has a connection, on which something may still have to be sent.
    pub fn is_up(&self) -> bool {
        self.state().outbox.is_up()
    }

    /// Whether the neighbour is or was there, or is known not to be.
    pub fn was_tried(&self) -> bool {
        self.was_tried.load(Ordering::Relaxed)
    }

    /// From here on news is kept for the dialler, which reads the store for what was before, from the epoch the
    /// neighbour has seen, or from where it was when the last connection was cut. False where the neighbour says that
    /// it has what was never vouched for.
    pub fn open(
        &self,
        stream: Option<Arc<dyn Stream>>,
        incarnation: u64,
        seen: u32,
        is_probed: bool,
    ) -> bool {
        let mut state = self.state();
        if state.incarnation != incarnation {
            // Who was there before may have had other bounds, or been somebody else.
            state.refused = Refused::default();
        }
        (state.stream, state.incarnation) = (stream, incarnation);
        self.was_tried.store(true, Ordering::Relaxed);
        let is_true = state.outbox.open(incarnation, seen, is_probed);
        if !self.kind.is_plain() {
            state.outbox.owe_mark();
        }
        is_true
    }

    /// Whether it is known what the neighbour got before the last cut.
    pub fn goes_on(&self) -> bool {
        self.state().outbox.goes_on()
    }

    /// The connection is gone, and with it what was on its way.
    pub fn close(&self) {
        self.was_tried.store(true, Ordering::Relaxed);
        let mut state = self.state();
        state.outbox.close();
        state.stream = None;
    }

    /// The neighbour has everything but this.
    pub fn narrow(&self, differing: Differing) {
        self.state().outbox.narrow(differing);
    }

    /// The neighbour differs in this.
    pub fn repair(&self, differing: Differing) {
        self.state().outbox.repair(differing);
    }

    /// The neighbour has all up to this epoch, as it says; false where that was never vouched for.
    pub fn seen(&self, epoch: u32) -> bool {
        self.state().outbox.seen(epoch)
    }

    // --- what is under way

    /// Whether the neighbour is to be asked how far it has read.
    pub fn wants_probe(&self) -> bool {
        self.state().outbox.wants_probe()
    }

    /// Whether something waits that was offered.
    pub fn has_lines(&self) -> bool {
        self.state().outbox.has_lines()
    }

    /// Whether what is offered is sent at once.
    pub fn is_live(&self) -> bool {
        self.state().outbox.is_live()
    }

    /// Sends a line that asks so, behind all that was sent and however much that is; false while something waits,
    /// or the socket takes nothing.
    pub fn offer_probe(&self, line: &[u8], id: u64, now: Duration) -> bool {
        let State { outbox, stream, .. } = &mut *self.state();
        let Some(stream) = stream.as_ref().filter(|_| outbox.is_live()) else { return false };
        let Ok(sent) = stream.write_now(line) else { return false };
        if sent < line.len() {
            outbox.leave(line, sent);
            (self.wake)();
        }
        outbox.probe(id, now, None);
        true
    }

    /// The dialler sends it, behind what it was given, while the walk is at this bucket.
    pub fn probe(&self, id: u64, now: Duration, bucket: Option<usize>) {
        self.state().outbox.probe(id, now, bucket);
    }

    /// The neighbour has read everything before a probe.
    pub fn answered(&self, id: u64, now: Duration) {
        self.state().outbox.answered(id, now);
    }

    /// So many bytes of the store are sent.
    pub fn count(&self, bytes: usize) {
        self.state().outbox.count(bytes);
    }

    /// The walk is at its end.
    pub fn walked(&self) {
        self.state().outbox.walked();
    }

    /// The last epoch that the neighbour is known to have all of.
    pub fn seen_epoch(&self) -> u32 {
        self.state().outbox.seen_epoch()
    }

    /// What is next for the dialler; with nothing left the flood sends.
    pub fn next(&self) -> Due {
        self.state().outbox.take_due()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
