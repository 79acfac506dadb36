//! The outgoing side of a link, between the flooder and the link's thread. While the neighbour
//! keeps up the flooder writes to its socket itself, which spares every update a change of
//! threads; what the socket does not take at once, the link's thread sends.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::super::connection::is_retry;
use super::super::poller::{Events, Interest, Poller, WAKE};
use super::super::socket;
use crate::digest::Parts;
use crate::link::{Due, Lag, Mark, Offered, Outbox};
use crate::logging::Wire;
use crate::node::Source;

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
    /// Which of the neighbour's starts is at the other end; 0 for one of another make.
    incarnation: u64,
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
        if !is_its_own && self.send(&mut state, lines) {
            wire.with_neighbour(&self.name);
            wire.sent_all(lines);
        }
    }

    /// The neighbour's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How far the neighbour is behind, when so many records have been news and it is so late.
    pub fn lag(&self, news: u64, now: Duration) -> Lag {
        self.state().outbox.lag(news, now)
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
                    // Its thread learns of it from the socket, and coming up again reads the store.
                    Err(_) => {}
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
mod tests {
    use super::*;
    use crate::limits::AT_LINE_MAX;
    use crate::logging::Sink;
    use std::io::Read;
    use std::net::TcpListener;

    #[test]
    fn a_link_rests_until_it_is_called_or_stopped() {
        const LONG: Duration = Duration::from_secs(3_600);
        let outlet = Outlet::new(0, "Hands", false, 0).expect("a poller");
        assert!(!outlet.rest(Duration::from_millis(1)));
        outlet.call();
        assert!(!outlet.rest(LONG), "there is somebody to be dialled");
        outlet.open(None, 7, 0);
        outlet.call();
        outlet.close();
        outlet.stop();
        assert!(outlet.rest(LONG));
        assert!(!outlet.called.load(Ordering::SeqCst), "it was up");
    }

    #[test]
    fn what_the_socket_does_not_take_is_left_to_the_links_thread_in_order() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let near = Arc::new(TcpStream::connect(listener.local_addr().expect("bound")).expect("connected"));
        let mut far = listener.accept().expect("accepted").0;
        let folder = tempfile::tempdir().expect("a folder");
        let mut wire = Wire::new(&Sink::start(&folder.path().join("log"), false).expect("started"));
        let outlet = Outlet::new(0, "Hands", false, 0).expect("a poller");
        let chunk = |number: usize| format!("{number:0width$}\n", width = AT_LINE_MAX).into_bytes();
        outlet.open(Some(near.clone()), 7, 0);
        assert!(matches!(outlet.next(), Due::Store(_)));
        assert!(matches!(outlet.next(), Due::Nothing));
        // The flooder sends until the socket is full, and from there on everything waits.
        let mut expected = Vec::new();
        let mut offered = 0;
        let (bytes, logged) = loop {
            outlet.offer(&chunk(offered), None, &mut wire);
            expected.extend(chunk(offered));
            offered += 1;
            if let Due::Lines { bytes, logged } = outlet.next() {
                break (bytes, logged);
            }
        };
        assert_eq!(logged, bytes.len(), "what the flooder logged is not logged twice");
        outlet.offer(&chunk(offered), None, &mut wire);
        expected.extend(chunk(offered));
        let Due::Lines { bytes: last, logged: 0 } = outlet.next() else { panic!("it waits behind the rest") };
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut said = Vec::new();
                far.read_to_end(&mut said).map(|_| said)
            });
            std::io::Write::write_all(&mut &*near, &[bytes, last].concat()).expect("sent");
            near.shutdown(std::net::Shutdown::Write).expect("shut");
            assert!(reader.join().expect("joined").expect("read") == expected);
        });
    }
}
