//! The simulated network: connections of bytes, each way with the buffers of both kernels, a bandwidth and a delay.
//! What is read and written here is what production code reads and writes.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use fastrand::Rng;
use herd::net::{Interest, Lane, Stream, Watch};

use super::Time;

/// What one way of a connection is like.
#[derive(Clone, Copy, Debug)]
pub struct Line {
    /// Bytes a second, which all connections from one server to another share; None for no bound.
    pub bandwidth: Option<u64>,
    /// The least and the most that bytes are under way.
    pub delay: (Time, Time),
    /// Bytes that the sender's kernel and the receiver's hold.
    pub send_buffer: usize,
    pub receive_buffer: usize,
    /// A relay holds what was sent, and goes on sending it when the sender has reset its connection.
    pub is_relayed: bool,
}

/// An end of a connection: 0 dialled, 1 accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct End {
    pub conn: usize,
    pub side: usize,
}

/// What the world has to see to.
#[derive(Debug)]
pub enum Due {
    /// Bytes or the end arrive at an end.
    Arrive(End),
    /// The line is free for more of what an end has to send.
    Transmit(End),
    /// An end may have waited for its peer for too long.
    GiveUp(End),
}

#[derive(Default)]
pub struct Net {
    conns: Vec<Conn>,
    pub now: Time,
    pub due: Vec<(Time, Due)>,
    /// Ends that may have become ready.
    pub touched: Vec<End>,
    /// Now and then the system has no memory for a write, one in so many; 0 is never.
    pub no_memory_one_in: u32,
    random: Option<Rng>,
    /// When the line from a server to another is free again.
    free_at: HashMap<(usize, usize), Time>,
    /// AT lines that arrived at servers.
    pub at_lines: u64,
}

struct Conn {
    line: Line,
    /// By the side that sends.
    pipes: [Pipe; 2],
    /// By side.
    closed: [bool; 2],
    reset: [bool; 2],
    pub servers: (usize, usize),
}

#[derive(Default)]
struct Pipe {
    /// In the sender's kernel.
    unsent: VecDeque<u8>,
    /// Under way, with when each part arrives.
    flight: VecDeque<(Time, Vec<u8>)>,
    flight_bytes: usize,
    /// In the receiver's kernel.
    arrived: VecDeque<u8>,
    is_finished: bool,
    /// Nothing that is written from now on arrives.
    is_broken: bool,
    fin_sent: bool,
    /// It is to be looked at when the line is free again.
    waits: bool,
    fin_arrived: bool,
    /// How long the sender waits for the receiver to take some, and since when it has taken none.
    patience: Option<Time>,
    taken_at: Time,
    /// What the line that is arriving begins with.
    head: Vec<u8>,
}

/// Bytes in one packet.
const PACKET: usize = 1_448;

impl Net {
    pub fn new(random: Rng) -> Net {
        Net { random: Some(random), ..Net::default() }
    }

    /// Connects two servers.
    pub fn connect(&mut self, line: Line, servers: (usize, usize)) -> usize {
        let pipes = [Pipe::default(), Pipe::default()];
        self.conns.push(Conn { line, pipes, closed: [false; 2], reset: [false; 2], servers });
        self.conns.len() - 1
    }

    /// The servers at the ends of a connection.
    pub fn servers(&self, conn: usize) -> (usize, usize) {
        self.conns[conn].servers
    }

    pub fn is_closed(&self, end: End) -> bool {
        self.conns[end.conn].closed[end.side]
    }

    /// Whether an end has been closed or reset.
    pub fn is_gone(&self, end: End) -> bool {
        let conn = &self.conns[end.conn];
        conn.closed[end.side] || conn.reset[end.side]
    }

    fn below(&mut self, most: u64) -> u64 {
        self.random.as_mut().map_or(0, |random| random.u64(0..=most))
    }

    pub fn is_readable(&self, end: End) -> bool {
        let conn = &self.conns[end.conn];
        let pipe = &conn.pipes[1 - end.side];
        conn.reset[end.side] || !pipe.arrived.is_empty() || pipe.fin_arrived
    }

    pub fn is_writable(&self, end: End) -> bool {
        let conn = &self.conns[end.conn];
        conn.reset[end.side] || conn.pipes[end.side].unsent.len() < conn.line.send_buffer
    }

    fn read(&mut self, end: End, buffer: &mut [u8]) -> io::Result<usize> {
        let conn = &mut self.conns[end.conn];
        if conn.reset[end.side] {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let pipe = &mut conn.pipes[1 - end.side];
        if pipe.arrived.is_empty() {
            return if pipe.fin_arrived { Ok(0) } else { Err(io::ErrorKind::WouldBlock.into()) };
        }
        let count = pipe.arrived.len().min(buffer.len());
        for (to, from) in buffer.iter_mut().zip(pipe.arrived.drain(..count)) {
            *to = from;
        }
        self.transmit(End { side: 1 - end.side, ..end });
        Ok(count)
    }

    fn write(&mut self, end: End, bytes: &[u8]) -> io::Result<usize> {
        if self.no_memory_one_in > 0 && self.below(u64::from(self.no_memory_one_in)) == 0 {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let conn = &mut self.conns[end.conn];
        if conn.reset[end.side] || conn.pipes[end.side].is_finished {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let pipe = &mut conn.pipes[end.side];
        let room = conn.line.send_buffer.saturating_sub(pipe.unsent.len());
        if room == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let count = room.min(bytes.len());
        if pipe.is_broken {
            return Ok(count);
        }
        pipe.unsent.extend(&bytes[..count]);
        self.transmit(end);
        Ok(count)
    }

    fn finish(&mut self, end: End) {
        self.conns[end.conn].pipes[end.side].is_finished = true;
        self.transmit(end);
    }

    /// An end drops what it has not sent, and the other learns of it as soon as it can.
    fn abandon(&mut self, end: End) {
        let conn = &mut self.conns[end.conn];
        if !conn.line.is_relayed {
            conn.pipes[end.side].unsent.clear();
        }
        conn.pipes[end.side].is_broken = true;
    }

    /// An end waits for its peer no longer than this.
    fn give_up_after(&mut self, end: End, patience: Time) {
        let now = self.now;
        let pipe = &mut self.conns[end.conn].pipes[end.side];
        (pipe.patience, pipe.taken_at) = (Some(patience), now);
        self.due.push((now + patience, Due::GiveUp(end)));
    }

    /// Breaks a connection whose peer has taken nothing for too long.
    pub fn give_up(&mut self, end: End) {
        let now = self.now;
        let conn = &mut self.conns[end.conn];
        let is_gone = conn.reset[end.side] || conn.reset[1 - end.side];
        let pipe = &mut conn.pipes[end.side];
        let Some(patience) = pipe.patience.filter(|_| !is_gone) else { return };
        if pipe.unsent.is_empty() {
            pipe.taken_at = now;
        }
        if pipe.taken_at + patience <= now {
            pipe.unsent.clear();
            self.reset(end);
            self.reset(End { side: 1 - end.side, ..end });
        } else if !conn.closed[end.side] || !conn.pipes[end.side].unsent.is_empty() {
            let at = conn.pipes[end.side].taken_at + patience;
            self.due.push((at, Due::GiveUp(end)));
        }
    }

    /// Closes an end. What it has written still arrives; what it has not read is answered by a reset.
    fn close(&mut self, end: End) {
        let conn = &mut self.conns[end.conn];
        if std::mem::replace(&mut conn.closed[end.side], true) {
            return;
        }
        if conn.pipes[1 - end.side].arrived.is_empty() {
            self.finish(end);
        } else {
            self.reset(End { side: 1 - end.side, ..end });
        }
    }

    /// An end learns that the connection is broken. What it had not read is lost.
    pub fn reset(&mut self, end: End) {
        let conn = &mut self.conns[end.conn];
        conn.reset[end.side] = true;
        conn.pipes[1 - end.side].arrived.clear();
        self.touched.push(end);
    }

    /// A connection breaks, as networks will: some of what is under way still arrives, however late, and then
    /// both ends learn of it.
    pub fn break_off(&mut self, conn: usize) {
        for side in 0..2 {
            let most = self.conns[conn].pipes[side].flight_bytes as u64;
            let mut left = self.below(most) as usize;
            let pipe = &mut self.conns[conn].pipes[side];
            pipe.unsent.clear();
            (pipe.is_broken, pipe.fin_sent) = (true, true);
            for (_, bytes) in &mut pipe.flight {
                bytes.truncate(left);
                left -= bytes.len();
            }
            pipe.flight_bytes = pipe.flight.iter().map(|(_, bytes)| bytes.len()).sum();
            let at = pipe.flight.back().map_or(0, |(at, _)| *at).max(self.now);
            pipe.flight.push_back((at, Vec::new()));
            self.due.push((at, Due::Arrive(End { conn, side: 1 - side })));
        }
    }

    /// The line may be free for an end that waited for it.
    pub fn transmit_again(&mut self, end: End) {
        self.conns[end.conn].pipes[end.side].waits = false;
        self.transmit(end);
    }

    /// Puts on the line what it has room for.
    fn transmit(&mut self, end: End) {
        loop {
            let now = self.now;
            let Conn { line, pipes, servers, .. } = &mut self.conns[end.conn];
            let (line, pipe) = (*line, &mut pipes[end.side]);
            let way = if end.side == 0 { *servers } else { (servers.1, servers.0) };
            let free_at = self.free_at.entry(way).or_default();
            let window = line.receive_buffer.saturating_sub(pipe.arrived.len() + pipe.flight_bytes);
            let packet = if line.bandwidth.is_some() { PACKET } else { usize::MAX };
            let count = pipe.unsent.len().min(window).min(packet);
            let is_fin = pipe.unsent.is_empty() && pipe.is_finished && !pipe.fin_sent;
            if count == 0 && !is_fin {
                return;
            }
            if line.bandwidth.is_some() && *free_at > now {
                // It is looked at again when another connection's packet is out.
                if !std::mem::replace(&mut pipe.waits, true) {
                    self.due.push((*free_at, Due::Transmit(end)));
                }
                return;
            }
            pipe.fin_sent |= is_fin;
            let bytes: Vec<_> = pipe.unsent.drain(..count).collect();
            pipe.flight_bytes += count;
            pipe.taken_at = now;
            *free_at = now + line.bandwidth.map_or(0, |rate| count as u64 * 1_000_000 / rate.max(1));
            let free_at = *free_at;
            let (least, most) = line.delay;
            let under_way = least + self.below(most - least);
            let pipe = &mut self.conns[end.conn].pipes[end.side];
            // In order, as TCP has it.
            let last = pipe.flight.back().map_or(0, |(at, _)| *at);
            let at = last.max(free_at + under_way);
            pipe.flight.push_back((at, bytes));
            self.due.push((at, Due::Arrive(End { side: 1 - end.side, ..end })));
            self.touched.push(end);
        }
    }

    /// What is due arrives at an end. An empty part is the end of what the other sends.
    pub fn arrive(&mut self, end: End) {
        let now = self.now;
        let conn = &mut self.conns[end.conn];
        let is_gone = conn.closed[end.side] || conn.reset[end.side];
        let pipe = &mut conn.pipes[1 - end.side];
        while pipe.flight.front().is_some_and(|(at, _)| *at <= now) {
            let Some((_, bytes)) = pipe.flight.pop_front() else { break };
            pipe.flight_bytes -= bytes.len();
            if bytes.is_empty() {
                pipe.fin_arrived = true;
            } else if !is_gone {
                self.at_lines += pipe.count_at_lines(&bytes) * (end.side as u64);
                pipe.arrived.extend(bytes);
            } else if conn.closed[end.side] {
                conn.reset[1 - end.side] = true;
                self.touched.push(End { side: 1 - end.side, ..end });
            }
        }
        self.touched.push(end);
        self.transmit(End { side: 1 - end.side, ..end });
    }

    /// Everything that an end was sent, wherever it is.
    pub fn take_all(&mut self, end: End) -> Vec<u8> {
        let pipe = &mut self.conns[end.conn].pipes[1 - end.side];
        let mut all: Vec<u8> = pipe.arrived.drain(..).collect();
        pipe.flight.drain(..).for_each(|(_, bytes)| all.extend(bytes));
        all.extend(pipe.unsent.drain(..));
        pipe.flight_bytes = 0;
        all
    }

    /// Bytes that are at an end at once, as of a peer on the same machine.
    pub fn put(&mut self, end: End, bytes: &[u8]) {
        self.conns[end.conn].pipes[1 - end.side].arrived.extend(bytes);
        self.touched.push(end);
    }
}

impl Pipe {
    fn count_at_lines(&mut self, bytes: &[u8]) -> u64 {
        let mut count = 0;
        for &byte in bytes {
            if byte == b'\n' {
                count += u64::from(self.head == b"AT ");
                self.head.clear();
            } else if self.head.len() < 3 {
                self.head.push(byte);
            }
        }
        count
    }
}

/// The net, shared by all who have a connection in it.
#[derive(Clone)]
pub struct Shared(Arc<Mutex<Net>>);

impl Shared {
    pub fn new(net: Net) -> Shared {
        Shared(Arc::new(Mutex::new(net)))
    }

    pub fn lock(&self) -> MutexGuard<'_, Net> {
        self.0.lock().expect("no panic before")
    }

    pub fn stream(&self, end: End) -> SimStream {
        SimStream { net: self.clone(), end }
    }
}

/// One end, as production code holds it. Dropping it closes it.
pub struct SimStream {
    net: Shared,
    pub end: End,
}

impl Stream for SimStream {
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.net.lock().read(self.end, buffer)
    }

    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.net.lock().write(self.end, bytes)
    }

    fn write_apart(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_now(bytes)
    }

    fn finish(&self) -> io::Result<()> {
        self.net.lock().finish(self.end);
        Ok(())
    }

    fn abandon(&self) {
        self.net.lock().abandon(self.end);
    }

    fn give_up_after(&self, patience: Duration) {
        self.net.lock().give_up_after(self.end, patience.as_micros() as Time);
    }

    fn keep_alive(&self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        // A test that fails has poisoned the lock, and then it does not matter.
        if let Ok(mut net) = self.net.0.lock() {
            net.close(self.end);
        }
    }
}

/// What a room's connections are watched for.
#[derive(Clone, Default)]
pub struct Watched(Arc<Mutex<Vec<(u64, End, Interest)>>>);

impl Watched {
    pub fn list(&self) -> Vec<(u64, End, Interest)> {
        self.0.lock().expect("no panic before").clone()
    }
}

impl Watch<SimStream> for Watched {
    fn add(&self, _: Lane, stream: &SimStream, key: u64, interest: Interest) -> io::Result<()> {
        self.0.lock().expect("no panic before").push((key, stream.end, interest));
        Ok(())
    }

    fn modify(&self, stream: &SimStream, key: u64, interest: Interest) -> io::Result<()> {
        let mut list = self.0.lock().expect("no panic before");
        let found = list.iter_mut().find(|(_, end, _)| *end == stream.end).expect("it is watched");
        *found = (key, stream.end, interest);
        Ok(())
    }

    fn remove(&self, stream: &SimStream) -> io::Result<()> {
        self.0.lock().expect("no panic before").retain(|(_, end, _)| *end != stream.end);
        Ok(())
    }
}
