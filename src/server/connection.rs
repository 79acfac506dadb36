//! One connection between turns: its socket, what is unanswered and what is unsent. A worker owns
//! it; it holds a buffer only while there is something in it.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::poller::Interest;
use super::socket;
use crate::config::Settings;
use crate::limits::LINGER_S;
use crate::link::Listener;
use crate::node::Peer;

/// Why a connection is closed that greeted and went no further.
const UNPROVEN: &str = "it did not prove who it is";

pub struct Connection {
    pub stream: TcpStream,
    pub address: SocketAddr,
    pub peer: Peer,
    pub phase: Phase,
    /// The peer has shut its sending side; what it sent is still answered.
    pub eof: bool,
    /// It has delivered AT lines: a neighbour's link, which may be silent for as long as it likes.
    pub is_link: bool,
    /// The exchange by which the other end shows that it is a neighbour, once it has begun.
    pub link: Option<Box<Listener>>,
    /// A line of it has been taken up.
    pub has_spoken: bool,
    /// The rest of a line that is too long is still to be dropped.
    pub is_skipping: bool,
    /// What it kept was left because too much was unsent, and is to be taken up when all is sent.
    pub stalled: bool,
    /// Its last read filled the buffer: there is more where that came from.
    pub is_greedy: bool,
    /// Bytes read and not answered: part of a line, or lines that must wait.
    pub input: Vec<u8>,
    /// Replies that the socket did not take; `sent` bytes of them are gone.
    output: Vec<u8>,
    sent: usize,
    /// When bytes last came in.
    heard: Instant,
    /// When the socket last took replies, or first took none.
    taken: Instant,
    /// What the worker's poller watches it for.
    pub watched: Interest,
    /// The last of its worker's load windows in which it was read.
    pub active_in: u32,
}

/// What a connection waits for.
pub enum Phase {
    /// Commands.
    Open,
    /// A places lookup; this AT line with its newline begins the reply.
    Lookup(Vec<u8>),
    /// A digest of the store, for a neighbour that compares.
    Asked,
    /// Nothing but the last replies to be sent, and then, for this reason, the end.
    Closing(&'static str),
    /// All is said; what the peer still sends is dropped, so that no reset overtakes the reply.
    Lingering { until: Instant, why: &'static str },
}

impl Phase {
    /// Whether what the peer sends is still going to be answered.
    pub fn has_reader(&self) -> bool {
        match self {
            Phase::Open | Phase::Lookup(_) | Phase::Asked => true,
            Phase::Closing(_) | Phase::Lingering { .. } => false,
        }
    }
}

impl Connection {
    pub fn new(stream: TcpStream, address: SocketAddr, peer: Peer, now: Instant) -> Connection {
        Connection {
            stream,
            address,
            peer,
            phase: Phase::Open,
            eof: false,
            is_link: false,
            link: None,
            has_spoken: false,
            is_skipping: false,
            stalled: false,
            is_greedy: false,
            input: Vec::new(),
            output: Vec::new(),
            sent: 0,
            heard: now,
            taken: now,
            watched: Interest::Nothing,
            active_in: 0,
        }
    }

    /// Bytes that wait for room in the socket.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    /// Reads what is there, if any.
    pub fn read(&mut self, buffer: &mut [u8], now: Instant) -> io::Result<usize> {
        let count = socket::read_now(&self.stream, buffer)?;
        if !self.is_greeting() {
            self.heard = now;
        }
        Ok(count)
    }

    /// Whether it has said which neighbour it is and not proven it, for which it has its time from there
    /// on, however slowly it speaks.
    pub fn is_greeting(&self) -> bool {
        self.link.as_deref().is_some_and(|link| !link.is_open())
    }

    /// Sends replies behind those unsent; what the socket does not take at once is kept.
    pub fn send(&mut self, replies: &[u8], now: Instant) -> io::Result<()> {
        if self.unsent() > 0 {
            self.output.extend_from_slice(replies);
            return Ok(());
        }
        let taken = match socket::write_now(&self.stream, replies) {
            Ok(taken) => taken,
            Err(why) if is_retry(&why) => 0,
            Err(why) => return Err(why),
        };
        self.output.extend_from_slice(&replies[taken..]);
        self.taken = now;
        Ok(())
    }

    /// Sends more of what is unsent, now that there may be room.
    pub fn send_rest(&mut self, now: Instant) -> io::Result<()> {
        match socket::write_now(&self.stream, &self.output[self.sent..]) {
            Ok(taken) => self.sent += taken,
            Err(why) if is_retry(&why) => return Ok(()),
            Err(why) => return Err(why),
        }
        self.taken = now;
        if self.unsent() == 0 {
            self.output = Vec::new();
            self.sent = 0;
        }
        Ok(())
    }

    /// Keeps bytes for later, behind those kept already.
    pub fn keep(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// Ends the conversation: nothing is answered any more.
    pub fn close_after_replies(&mut self, why: &'static str) {
        self.input = Vec::new();
        self.phase = Phase::Closing(why);
    }

    /// All is sent: tells the peer so and drops what it still sends, for a while.
    pub fn linger(&mut self, why: &'static str, now: Instant) {
        // The peer may be gone already, which the next event will tell.
        let _ = self.stream.shutdown(std::net::Shutdown::Write);
        self.phase = Phase::Lingering { until: now + Duration::from_secs(LINGER_S), why };
    }

    /// What to watch it for in the state it is in.
    pub fn interest(&self) -> Interest {
        if self.unsent() > 0 {
            return Interest::Writable;
        }
        match self.phase {
            Phase::Open | Phase::Lingering { .. } if !self.eof => Interest::Readable,
            Phase::Open | Phase::Lingering { .. } | Phase::Lookup(_) | Phase::Asked | Phase::Closing(_) => {
                Interest::Nothing
            }
        }
    }

    /// When it is to be closed unless something happens, and why.
    pub fn deadline(&self, settings: &Settings) -> Option<(Instant, &'static str)> {
        if let Phase::Lingering { until, why } = self.phase {
            return Some((until, why));
        }
        if self.unsent() > 0 {
            return Some((self.taken + settings.write_timeout, "it does not read its replies"));
        }
        if matches!(self.phase, Phase::Open) && self.is_greeting() {
            return Some((self.heard + settings.timing.greeting, UNPROVEN));
        }
        match (&self.phase, settings.idle_timeout) {
            // One that has just got its replies, late as it or they may be, has its time to say more.
            (Phase::Open, Some(timeout)) if !self.is_link => {
                Some((self.heard.max(self.taken) + timeout, "idle"))
            }
            _ => None,
        }
    }
}

/// Whether a read or write is to be tried again when the poller says so.
pub fn is_retry(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}
