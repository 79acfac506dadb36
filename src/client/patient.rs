//! A connection on which all that a server says may take so long and no longer.

use std::io::{self, Read};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::limits::LINK_CONNECT_TIMEOUT_S;
use crate::net::{HostPort, socket};

/// Dials each address of a host until one takes the connection. Every client that knows a server by its place in herd.conf
/// comes this way.
///
/// # Errors
/// None does by then; the message has the last address.
pub fn dial(place: &HostPort, until: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::TimedOut, "no address took the connection in time");
    for address in place.resolve()? {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            break;
        }
        let connect = left.min(Duration::from_secs(LINK_CONNECT_TIMEOUT_S));
        match socket::dial_within(address, None, connect, left) {
            Ok(stream) => return Ok(stream),
            Err(why) => last = io::Error::new(why.kind(), format!("{address}: {why}")),
        }
    }
    Err(last)
}

/// Reads until a moment, however little comes at a time.
pub struct Patient {
    pub stream: TcpStream,
    pub until: Instant,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        self.stream.read(buffer)
    }
}
