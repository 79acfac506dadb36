//! The outgoing side of a link, between the flooder and the link's thread. While the neighbour
//! keeps up the flooder writes to its socket itself, which spares every update a change of
//! threads; what the socket does not take at once, the link's thread sends.

use std::borrow::Cow;
use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::connection::is_retry;
use super::super::poller::{Events, Interest, Poller, WAKE};
use super::super::socket;
use crate::digest::Parts;
use crate::link::{Due, Lag, Mark, Offered, Outbox, Refused};
use crate::logging::{Wire, count};
use crate::node::Source;
use crate::store::Store;

/// The key of the link's socket among its poller's events.
const SOCKET: u64 = 0;

/// Where the flooder leaves AT lines for one neighbour.
pub struct Outlet {
    index: u16,
    /// The neighbour's.
    name: String,
    /// It is of another make and knows no marks.
    plain: bool,
    /// Held for one write that does not wait, or to change what is pending.
    state: Mutex<State>,
    stopping: AtomicBool,
    /// This server is about to stop, and probably its neighbours, too.
    leaving: AtomicBool,
    /// The neighbour dialled while the link was down.
    called: AtomicBool,
    /// The link's thread waits here.
    poller: Poller,
}

#[derive(Default)]
struct State {
    outbox: Outbox,
    /// What the flooder may write to; nothing where there is a connection per line.
    stream: Option<Arc<TcpStream>>,
    /// Which of the neighbour's starts is at the other end; 0 for another implementation.
    incarnation: u64,
    /// What records begin with that it closed the link over.
    refused: Refused,
    /// It has long known other clients than this server.
    differs: bool,
}

impl Outlet {
    /// `seen` is the epoch from which a neighbour without marks gets what it misses.
    pub fn new(index: u16, name: &str, plain: bool, seen: u32) -> io::Result<Outlet> {
        let mut state = State::default();
        state.outbox.open(seen);
        state.outbox.close();
        Ok(Outlet {
            index,
            name: name.to_owned(),
            plain,
            state: Mutex::new(state),
            stopping: AtomicBool::new(false),
            leaving: AtomicBool::new(false),
            called: AtomicBool::new(false),
            poller: Poller::new()?,
        })
    }

    /// Which of this server's neighbours it leads to.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Sends lines to the neighbour, unless they came from it, or leaves them to the link's thread, or
    /// notes that it will have to read the store. Never waits. What is sent here is logged here.
    pub fn offer(&self, lines: &[u8], from: Option<Source>, wire: &mut Wire) {
        let mut state = self.state();
        let is_its_own = from.is_some_and(|from| {
            from.neighbour == self.index && (from.incarnation == 0 || from.incarnation == state.incarnation)
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
    pub(super) fn spare(&self, beginning: &[u8]) -> bool {
        self.state().refused.note(beginning)
    }

    /// The lines of these that the neighbour takes.
    pub(super) fn taken<'a>(&self, lines: &'a [u8]) -> Cow<'a, [u8]> {
        self.state().refused.without(lines)
    }

    /// Whether the neighbour has long known other clients.
    pub(super) fn set_differs(&self, differs: bool) {
        self.state().differs = differs;
    }

    /// The neighbour's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far the neighbour is behind a store, when it is so late.
    pub fn lag(&self, store: &Store, now: Duration) -> Lag {
        let position = self.state().outbox.position();
        position.lag(store.news(), now, |epoch| store.count_after(epoch))
    }

    /// What whoever runs the herd should know of this link, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let (name, mut notes) = (&self.name, Vec::new());
        let State { refused, differs, .. } = &*self.state();
        if refused.count() > 0 {
            let clients = count(refused.count() as u64, "client");
            notes.push(format!("{name} refuses the latest record of {clients}, and is spared it"));
        }
        if *differs {
            notes.push(format!(
                "{name} and this server have long known different clients; compare their logs"
            ));
        }
        notes
    }

    /// Tells the neighbour that all of an epoch is on its way.
    pub fn mark(&self, mark: Mark) {
        let (mut state, mut line) = (self.state(), Vec::new());
        if self.plain {
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
                self.poller.wake();
                false
            }
            (Offered::Send, None) => {
                outbox.leave(lines, 0);
                self.poller.wake();
                false
            }
            (Offered::Send, Some(stream)) => {
                match socket::write_now(stream, lines) {
                    Ok(sent) if sent == lines.len() => {}
                    Ok(sent) => {
                        outbox.leave_logged(lines, sent);
                        self.poller.wake();
                    }
                    Err(why) if is_retry(&why) => {
                        outbox.leave_logged(lines, 0);
                        self.poller.wake();
                    }
                    // Nothing of it went out. If the socket is dead its thread learns of it and the link
                    // comes up again; if it is not, as when the system has no memory for it, the lines are
                    // in the store.
                    Err(_) => {
                        outbox.mark_behind();
                        self.poller.wake();
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
            self.poller.wake();
        }
    }

    /// Has the link send what is pending and end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.poller.wake();
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
            self.poller.wake();
        }
    }

    /// Waits before the next try, or until the neighbour dials; true when the link is to stop instead.
    pub(super) fn rest(&self, pause: Duration) -> bool {
        let until = Instant::now() + pause;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.is_stopping() || left.is_zero() || self.called.swap(false, Ordering::SeqCst) {
                return self.is_stopping();
            }
            if self.wait(Some(left)).is_err() {
                return true;
            }
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Whether it has a connection, on which something may still have to be sent.
    pub fn is_up(&self) -> bool {
        self.state().outbox.is_up()
    }

    /// From here on news is kept for the link's thread, which reads the store for what was before,
    /// from the epoch the neighbour has seen.
    pub(super) fn open(&self, stream: Option<Arc<TcpStream>>, incarnation: u64, seen: u32) {
        let mut state = self.state();
        state.outbox.open(seen);
        (state.stream, state.incarnation) = (stream, incarnation);
    }

    /// The connection is gone, and with it what was on its way.
    pub(super) fn close(&self) {
        let mut state = self.state();
        state.outbox.close();
        state.stream = None;
    }

    /// The neighbour has everything but what is in these parts.
    pub(super) fn narrow(&self, parts: Parts) {
        self.state().outbox.narrow(parts);
    }

    /// The neighbour differs in these parts.
    pub(super) fn repair(&self, parts: Parts) {
        self.state().outbox.repair(parts);
    }

    /// The neighbour has all up to this epoch.
    pub(super) fn seen(&self, epoch: u32) {
        self.state().outbox.seen(epoch);
    }

    /// The last epoch that the neighbour is known to have all of.
    pub(super) fn seen_epoch(&self) -> u32 {
        self.state().outbox.seen_epoch()
    }

    /// What is next for the link's thread; with nothing left the flooder sends.
    pub(super) fn next(&self) -> Due {
        self.state().outbox.take_due()
    }

    /// Has `wait` tell when there is something to read.
    pub(super) fn watch(&self, stream: &TcpStream) -> io::Result<()> {
        self.poller.add(stream, SOCKET, Interest::Readable)
    }

    /// Waits for news, the stop, the timeout, or the socket, which is what true stands for.
    pub(super) fn wait(&self, timeout: Option<Duration>) -> io::Result<bool> {
        let mut events = Events::with_capacity(2);
        self.poller.wait(&mut events, timeout)?;
        let mut readable = false;
        for index in 0..events.len() {
            match events.get(index).key {
                WAKE => self.poller.woken(),
                _ => readable = true,
            }
        }
        Ok(readable)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
