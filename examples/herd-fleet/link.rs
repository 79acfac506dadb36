//! The connection to one server: reports leave as fast as it takes them, and it is dialled again when it is gone.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// How long a server may take to answer a dial, and how long it is left alone when it did not.
const DIAL_MAX: Duration = Duration::from_millis(300);
const RETRY: Duration = Duration::from_secs(1);

/// A server that leaves so much unread is as good as gone.
const UNSENT_MAX: usize = 4 * 1_024 * 1_024;

pub struct Link {
    pub name: String,
    address: SocketAddr,
    stream: Option<TcpStream>,
    dial_at: Duration,
    output: Vec<u8>,
    /// The last byte that came ended a line.
    is_at_line: bool,
    /// What was done: reports made, taken and refused, and connections lost.
    pub reports: u64,
    pub taken: u64,
    pub refused: u64,
    pub cut: u64,
}

impl Link {
    pub fn new(name: &str, address: SocketAddr) -> Link {
        Link {
            name: name.into(),
            address,
            stream: None,
            dial_at: Duration::ZERO,
            output: Vec::new(),
            is_at_line: true,
            reports: 0,
            taken: 0,
            refused: 0,
            cut: 0,
        }
    }

    pub fn is_up(&self) -> bool {
        self.stream.is_some()
    }

    /// Dials the server, if it is not there and it is time.
    pub fn dial(&mut self, now: Duration) {
        if self.is_up() || now < self.dial_at {
            return;
        }
        self.dial_at = now + RETRY;
        let dialled = TcpStream::connect_timeout(&self.address, DIAL_MAX);
        self.stream = dialled.and_then(|stream| stream.set_nonblocking(true).map(|()| stream)).ok();
        self.is_at_line = true;
    }

    pub fn report(&mut self, client: &str, location: &str, time: &str) {
        self.output.extend_from_slice(format!("IAMAT {client} {location} {time}\n").as_bytes());
        self.reports += 1;
    }

    /// Sends what the server takes, and reads what it answers.
    pub fn go_on(&mut self) {
        let Some(stream) = &self.stream else { return };
        let is_retry = |kind| matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted);
        let mut buffer = [0; 16_384];
        let mut stream = stream;
        let is_there = match stream.write(&self.output) {
            Ok(count) => {
                self.output.drain(..count);
                self.output.len() <= UNSENT_MAX
            }
            Err(why) => is_retry(why.kind()) && self.output.len() <= UNSENT_MAX,
        };
        let is_there = is_there
            && loop {
                match stream.read(&mut buffer) {
                    Ok(0) => break false,
                    Ok(count) => {
                        for &byte in &buffer[..count] {
                            if self.is_at_line {
                                self.taken += u64::from(byte == b'A');
                                self.refused += u64::from(byte == b'?');
                            }
                            self.is_at_line = byte == b'\n';
                        }
                    }
                    Err(why) => break is_retry(why.kind()),
                }
            };
        if !is_there {
            self.stream = None;
            self.output.clear();
            self.cut += 1;
        }
    }
}
