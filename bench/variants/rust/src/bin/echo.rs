//! A bare epoll loop that answers every line with the same one of the usual size: no parsing, no store, no log, one
//! write a read. What any server could do at most on this machine. The comparison starts it as `echo NAME CONFIG`.

#[path = "../../../../src/poller.rs"]
mod poller;

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::time::Duration;

use variants::{Herd, blocking};

use poller::{Events, Interest, Poller};

const REPLY: &[u8] =
    b"AT Goloman +275000000.263873386 c0000000.bench +34.068930-118.445127 1520023934.000000000\n";

/// The key of the listener; those of connections begin behind it.
const LISTENER: usize = 0;

/// What herd reads and accepts in one go.
const READ_BYTES: usize = 16 * 1024;
const ACCEPTS: usize = 8;

/// Nothing has to be done after a while without an event.
const LONG: Duration = Duration::from_secs(3_600);

/// One connection. Its peer sends only so much before it reads, so what is unsent stays small.
struct Connection {
    stream: TcpStream,
    unsent: Vec<u8>,
}

/// One thread's loop.
struct Loop<'a> {
    poller: Poller,
    listener: &'a TcpListener,
    connections: HashMap<usize, Connection>,
    next_key: usize,
    buffer: Vec<u8>,
    out: Vec<u8>,
}

fn main() -> ExitCode {
    let herd = match Herd::from_args() {
        Ok(herd) => herd,
        Err(status) => return status,
    };
    match run(&herd) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

/// Listens, and answers until a signal ends the process. On a thread for every second core: the generator needs the
/// others, and threads that share few connections each wake for fewer of them at once.
fn run(herd: &Herd) -> io::Result<()> {
    let listener = blocking::listen(&herd.listen)?;
    listener.set_nonblocking(true)?;
    herd.ready(listener.local_addr()?);
    let threads = std::thread::available_parallelism().map_or(1, |cores| cores.get() / 2).max(1);
    std::thread::scope(|scope| {
        let started: Vec<_> = (0..threads).map(|_| scope.spawn(|| Loop::new(&listener)?.run())).collect();
        let ended = |thread: std::thread::ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread panicked")))
        };
        started.into_iter().try_for_each(ended)
    })
}

impl Loop<'_> {
    fn new(listener: &TcpListener) -> io::Result<Loop<'_>> {
        let poller = Poller::new()?;
        poller.add(listener, LISTENER, Interest::Readable)?;
        Ok(Loop {
            poller,
            listener,
            connections: HashMap::new(),
            next_key: LISTENER + 1,
            buffer: vec![0; READ_BYTES],
            out: Vec::new(),
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        loop {
            self.poller.wait(&mut events, LONG)?;
            for key in events.keys() {
                if key == LISTENER {
                    self.accept()?;
                } else if !self.answer(key)? {
                    // Closing it takes it out of the poller.
                    self.connections.remove(&key);
                }
            }
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS {
            // Another thread had it, or there is no descriptor for it: some will be closed.
            let Ok((stream, _)) = self.listener.accept() else { return Ok(()) };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            self.poller.add(&stream, self.next_key, Interest::Readable)?;
            self.connections.insert(self.next_key, Connection { stream, unsent: Vec::new() });
            self.next_key += 1;
        }
        Ok(())
    }

    /// Reads once, answers each line that ended, and writes once. Says whether the connection goes on.
    fn answer(&mut self, key: usize) -> io::Result<bool> {
        let Some(connection) = self.connections.get_mut(&key) else { return Ok(true) };
        self.out.clear();
        self.out.append(&mut connection.unsent);
        let had_unsent = !self.out.is_empty();
        let read = match connection.stream.read(&mut self.buffer) {
            Ok(0) => return Ok(false),
            Ok(read) => read,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Ok(false),
        };
        for _ in memchr::memchr_iter(b'\n', &self.buffer[..read]) {
            self.out.extend_from_slice(REPLY);
        }
        if self.out.is_empty() {
            return Ok(true);
        }
        let written = match connection.stream.write(&self.out) {
            Ok(written) => written,
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => return Ok(false),
        };
        connection.unsent.extend_from_slice(&self.out[written..]);
        let has_unsent = !connection.unsent.is_empty();
        if has_unsent != had_unsent {
            let interest = if has_unsent { Interest::ReadableAndWritable } else { Interest::Readable };
            self.poller.modify(&connection.stream, key, interest)?;
        }
        Ok(true)
    }
}
