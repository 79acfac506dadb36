//! One of the generator's connections: commands under way with the times they count from, bytes
//! that wait for room, and the front of a reply that is not whole.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::dialect::Script;
use crate::dues::Dues;

pub struct Connection {
    pub stream: TcpStream,
    /// Whose position it tells.
    client: usize,
    /// Of this client and of those it takes turns with.
    scripts: Vec<Script>,
    dues: Option<Arc<Dues>>,
    /// The number of the next command.
    next: u64,
    /// When each command under way was due, oldest first, in ns from the start of the run.
    pub due_ns: VecDeque<u64>,
    output: Vec<u8>,
    input: Vec<u8>,
    pub watched_for_room: bool,
    /// It says that it has ended behind each command.
    pub half_closes: bool,
}

/// Why a run is void.
#[derive(Debug)]
pub enum Fault {
    /// A reply is not what its command asks for.
    Wrong(String),
    Io(io::Error),
}

impl From<io::Error> for Fault {
    fn from(why: io::Error) -> Fault {
        Fault::Io(why)
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Fault::Wrong(why) => write!(f, "wrong reply: {why}"),
            Fault::Io(why) => write!(f, "connection failed: {why}"),
        }
    }
}

/// A server whose backlog is full lets SYNs wait; it is not waited for.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// A connected socket that does not block.
pub fn dial(address: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_tcp_nodelay(true)?;
    socket.connect_timeout(&address.into(), CONNECT_MAX)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

impl Connection {
    pub fn new(stream: TcpStream, client: usize, script: Script) -> Connection {
        Connection::of_some(stream, client, vec![script], None)
    }

    /// One of several clients, who take turns; `dues` is told of their reports.
    pub fn of_some(
        stream: TcpStream,
        client: usize,
        scripts: Vec<Script>,
        dues: Option<Arc<Dues>>,
    ) -> Connection {
        Connection {
            stream,
            client,
            scripts,
            dues,
            next: 0,
            due_ns: VecDeque::new(),
            output: Vec::new(),
            input: Vec::new(),
            watched_for_room: false,
            half_closes: false,
        }
    }

    /// Goes on over a fresh socket.
    pub fn replace(&mut self, stream: TcpStream) {
        self.stream = stream;
        self.input.clear();
        self.watched_for_room = false;
    }

    /// Makes one command and waits for its reply, at most so long.
    ///
    /// # Errors
    /// It is wrong, or does not come.
    pub fn ask(&mut self, wait: Duration) -> Result<(), Fault> {
        self.push(0);
        self.stream.set_nonblocking(false)?;
        self.stream.set_read_timeout(Some(wait))?;
        let deadline = Instant::now() + wait;
        while !self.due_ns.is_empty() {
            if Instant::now() > deadline {
                return Err(io::Error::from(ErrorKind::TimedOut).into());
            }
            self.send()?;
            self.receive(&mut [0; 4_096], |_| {})?;
        }
        Ok(self.stream.set_nonblocking(true)?)
    }

    /// Makes the next command, which was due at this time; it leaves with `send`.
    pub fn push(&mut self, due_ns: u64) {
        if let Some(dues) = &self.dues {
            dues.push(self.client, self.next, due_ns);
        }
        let turn = self.next as usize % self.scripts.len();
        self.scripts[turn].write(self.next, &mut self.output);
        self.next += 1;
        self.due_ns.push_back(due_ns);
    }

    /// The number of its client.
    pub fn client(&self) -> usize {
        self.client
    }

    /// The client, and how many of its commands were answered.
    pub fn answered(&self) -> (usize, u64) {
        (self.client, self.next - self.due_ns.len() as u64)
    }

    pub fn has_unsent(&self) -> bool {
        !self.output.is_empty()
    }

    /// Sends what the socket takes.
    pub fn send(&mut self) -> io::Result<()> {
        if self.output.is_empty() {
            return Ok(());
        }
        match (&self.stream).write(&self.output) {
            Ok(count) if count == self.output.len() => {
                self.output.clear();
                if self.half_closes {
                    // Whoever has closed already may have answered.
                    let _ = self.stream.shutdown(Shutdown::Write);
                }
            }
            Ok(count) => drop(self.output.drain(..count)),
            Err(why) if is_retry(&why) => {}
            Err(why) => return Err(why),
        }
        Ok(())
    }

    /// Reads once and calls `answered` with the due time of every command whose reply is whole.
    pub fn receive(&mut self, buffer: &mut [u8], mut answered: impl FnMut(u64)) -> Result<(), Fault> {
        let count = match (&self.stream).read(buffer) {
            Ok(0) => return Err(io::Error::new(ErrorKind::UnexpectedEof, "the server closed it").into()),
            Ok(count) => count,
            Err(why) if is_retry(&why) => return Ok(()),
            Err(why) => return Err(why.into()),
        };
        if self.input.is_empty() {
            let done = self.take_replies(&buffer[..count], &mut answered)?;
            self.input.extend_from_slice(&buffer[done..count]);
        } else {
            let mut input = std::mem::take(&mut self.input);
            input.extend_from_slice(&buffer[..count]);
            let done = self.take_replies(&input, &mut answered)?;
            input.drain(..done);
            self.input = input;
        }
        Ok(())
    }

    fn take_replies(&mut self, bytes: &[u8], answered: &mut impl FnMut(u64)) -> Result<usize, Fault> {
        let mut done = 0;
        while done < bytes.len() {
            let number = self.next - self.due_ns.len() as u64;
            let Some(&due_ns) = self.due_ns.front() else {
                let extra = String::from_utf8_lossy(&bytes[done..]).into_owned();
                return Err(Fault::Wrong(format!("{extra:?} answers nothing")));
            };
            let turn = number as usize % self.scripts.len();
            match self.scripts[turn].take_reply(number, &bytes[done..]).map_err(Fault::Wrong)? {
                Some(length) => done += length,
                None => break,
            }
            self.due_ns.pop_front();
            if let Some(dues) = &self.dues {
                dues.answer(self.client, number + 1);
            }
            answered(due_ns);
        }
        Ok(done)
    }
}

fn is_retry(why: &io::Error) -> bool {
    matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted)
}
