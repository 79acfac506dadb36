//! The outgoing side of a link, between the flooder and the link's thread. While the neighbour
//! keeps up the flooder writes to its socket itself, which spares every update a change of
//! threads; what the socket does not take at once, the link's thread sends.

use std::io;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::super::connection::is_retry;
use super::super::poller::{Events, Interest, Poller, WAKE};
use super::super::socket;
use crate::limits::LINK_PENDING_BYTES;
use crate::logging::Wire;

/// The key of the link's socket among its poller's events.
const SOCKET: u64 = 0;

/// Where the flooder leaves AT lines for one neighbour.
pub struct Outlet {
    index: u16,
    /// The neighbour's.
    name: String,
    /// Held for one write that does not wait, or to add or take what is pending.
    state: Mutex<State>,
    /// Something was dropped, or never offered: the store has what is missing.
    behind: AtomicBool,
    stopping: AtomicBool,
    /// The link's thread waits here.
    poller: Poller,
}

struct State {
    mode: Mode,
    /// What the link's thread is to send. The first bytes of it may be the rest of a line.
    pending: Vec<u8>,
    /// So many bytes of what is pending are in the log already.
    logged: usize,
}

/// Who sends.
enum Mode {
    /// Nobody: the link is down, and coming up it reads the store.
    Down,
    /// The link's thread, until nothing is pending.
    Queueing,
    /// The flooder.
    Live(Arc<TcpStream>),
}

/// What the link's thread has to send next.
pub enum Due {
    /// These bytes, of which the first are in the log already.
    Lines { bytes: Vec<u8>, logged: usize },
    /// The whole store.
    Store,
    /// Nothing; from here on the flooder sends.
    Nothing,
}

impl Outlet {
    pub fn new(index: u16, name: &str) -> io::Result<Outlet> {
        Ok(Outlet {
            index,
            name: name.to_owned(),
            state: Mutex::new(State { mode: Mode::Down, pending: Vec::new(), logged: 0 }),
            behind: AtomicBool::new(false),
            stopping: AtomicBool::new(false),
            poller: Poller::new()?,
        })
    }

    /// Which of this server's neighbours it leads to.
    pub fn index(&self) -> u16 {
        self.index
    }

    /// Sends AT lines to the neighbour, or leaves them to the link's thread, or notes that it will
    /// have to read the store. Never waits. What is sent here is logged here.
    pub fn offer(&self, lines: &[u8], wire: &mut Wire) {
        let mut state = self.state();
        let sent = match &state.mode {
            Mode::Down => return,
            Mode::Queueing if state.pending.len() + lines.len() > LINK_PENDING_BYTES => {
                return self.behind.store(true, Ordering::SeqCst);
            }
            Mode::Queueing => 0,
            Mode::Live(stream) => match socket::write_now(stream, lines) {
                Ok(sent) => sent,
                Err(why) if is_retry(&why) => 0,
                // Its thread learns of it from the socket, and coming up again reads the store.
                Err(_) => return,
            },
        };
        if matches!(state.mode, Mode::Live(_)) {
            wire.with_neighbour(&self.name);
            wire.sent_all(lines);
            if sent == lines.len() {
                return;
            }
            state.mode = Mode::Queueing;
            state.logged = lines.len() - sent;
        }
        let was_empty = state.pending.is_empty();
        state.pending.extend_from_slice(&lines[sent..]);
        drop(state);
        if was_empty {
            self.poller.wake();
        }
    }

    /// Notes that news was lost on the way to this link.
    pub fn mark_behind(&self) {
        if !self.behind.swap(true, Ordering::SeqCst) {
            self.poller.wake();
        }
    }

    /// Has the link send what is pending and end.
    pub fn stop(&self) {
        self.stopping.store(true, Ordering::SeqCst);
        self.poller.wake();
    }

    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::SeqCst)
    }

    /// Whether it has a connection, on which something may still have to be sent.
    pub fn is_up(&self) -> bool {
        !matches!(self.state().mode, Mode::Down)
    }

    /// From here on news is kept for the link's thread, which reads the store for what was before.
    pub(super) fn open(&self) {
        self.state().mode = Mode::Queueing;
        self.behind.store(true, Ordering::SeqCst);
    }

    /// The connection is gone, and with it what was on its way.
    pub(super) fn close(&self) {
        *self.state() = State { mode: Mode::Down, pending: Vec::new(), logged: 0 };
    }

    /// What is next for the link's thread; with nothing left the flooder sends on `stream`.
    pub(super) fn next(&self, stream: Option<&Arc<TcpStream>>) -> Due {
        let mut state = self.state();
        if !state.pending.is_empty() {
            // The flooder may have sent its beginning: whatever else is due comes after it.
            let logged = std::mem::take(&mut state.logged);
            return Due::Lines { bytes: std::mem::take(&mut state.pending), logged };
        }
        if self.behind.swap(false, Ordering::SeqCst) {
            state.mode = Mode::Queueing;
            return Due::Store;
        }
        if let Some(stream) = stream {
            state.mode = Mode::Live(stream.clone());
        }
        Due::Nothing
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

    fn wire() -> Wire {
        let folder = tempfile::tempdir().expect("a folder");
        Wire::new(&Sink::start(&folder.path().join("log"), false).expect("started"))
    }

    fn pair() -> (Arc<TcpStream>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        (Arc::new(near), listener.accept().expect("accepted").0)
    }

    #[test]
    fn what_the_socket_does_not_take_is_left_to_the_links_thread_in_order() {
        let (near, mut far) = pair();
        let outlet = Outlet::new(0, "Hands").expect("a poller");
        let mut wire = wire();
        let chunk = |number: usize| format!("{number:0width$}\n", width = AT_LINE_MAX).into_bytes();
        outlet.offer(&chunk(0), &mut wire);
        assert!(matches!(outlet.next(None), Due::Nothing), "a link that is down takes nothing");
        outlet.open();
        outlet.offer(&chunk(1), &mut wire);
        assert!(matches!(outlet.next(Some(&near)), Due::Lines { bytes, logged: 0 } if bytes == chunk(1)));
        assert!(matches!(outlet.next(Some(&near)), Due::Store));
        assert!(matches!(outlet.next(Some(&near)), Due::Nothing));
        // The flooder sends until the socket is full, and from there on everything waits.
        let mut expected = Vec::new();
        let mut offered = 2;
        while matches!(outlet.state().mode, Mode::Live(_)) {
            outlet.offer(&chunk(offered), &mut wire);
            expected.extend(chunk(offered));
            offered += 1;
        }
        outlet.offer(&chunk(offered), &mut wire);
        expected.extend(chunk(offered));
        let Due::Lines { bytes, logged } = outlet.next(Some(&near)) else { panic!("the rest is due") };
        assert_eq!(logged, bytes.len() - chunk(offered).len(), "what the flooder logged is not logged twice");
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| {
                let mut said = Vec::new();
                far.read_to_end(&mut said).map(|_| said)
            });
            std::io::Write::write_all(&mut &*near, &bytes).expect("sent");
            near.shutdown(std::net::Shutdown::Write).expect("shut");
            assert!(reader.join().expect("joined").expect("read") == expected);
        });
    }

    #[test]
    fn a_link_that_takes_nothing_keeps_so_much_and_then_reads_the_store() {
        let outlet = Outlet::new(0, "Hands").expect("a poller");
        let mut wire = wire();
        outlet.open();
        assert!(matches!(outlet.next(None), Due::Store));
        let chunk = vec![b'\n'; LINK_PENDING_BYTES / 4];
        (0..5).for_each(|_| outlet.offer(&chunk, &mut wire));
        assert!(matches!(outlet.next(None), Due::Lines { bytes, .. } if bytes.len() == LINK_PENDING_BYTES));
        assert!(matches!(outlet.next(None), Due::Store));
        assert!(matches!(outlet.next(None), Due::Nothing));
    }
}
