//! A conversation in lines with one server, as its clients have them. `herdctl` holds it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::greeted::explain;
use super::patient::{Patient, dial};
use crate::limits::REPLY_LINE_MAX;
use crate::net::HostPort;

/// The end that hears what the server says.
pub struct Lines {
    reader: BufReader<Patient>,
    pub address: SocketAddr,
    /// How long the server may take for each line.
    patience: Duration,
}

/// The end that says something. It may be in another thread.
pub struct Sayer {
    stream: TcpStream,
}

impl Lines {
    /// Dials each address of a host until one takes the connection.
    ///
    /// # Errors
    /// None does within this time.
    pub fn dial(place: &HostPort, patience: Duration) -> io::Result<(Lines, Sayer)> {
        let until = Instant::now() + patience;
        let stream = dial(place, until)?;
        // Whoever says more than the server takes waits for as long as it likes: it is the reading that gives up.
        stream.set_write_timeout(None)?;
        let address = stream.peer_addr()?;
        let reader = BufReader::new(Patient { stream: stream.try_clone()?, until });
        Ok((Lines { reader, address, patience }, Sayer { stream }))
    }

    /// The next line without its newline, for which the server has its time from now on. None when the connection has
    /// ended.
    ///
    /// # Errors
    /// It does not come in time, is longer than any reply, or ends before its newline.
    pub fn line(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.line_by(Instant::now() + self.patience).map_err(|why| explain(why, self.patience))
    }

    /// The same until a moment. An error of the kind `TimedOut` says that it has passed.
    ///
    /// # Errors
    /// The same.
    pub fn line_by(&mut self, until: Instant) -> io::Result<Option<Vec<u8>>> {
        self.reader.get_mut().until = until;
        let mut line = Vec::new();
        (&mut self.reader).take(REPLY_LINE_MAX).read_until(b'\n', &mut line).map_err(|why| {
            match why.kind() {
                // What the system says when the time of a read is up.
                io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
                _ => why,
            }
        })?;
        match line.pop() {
            Some(b'\n') => Ok(Some(line)),
            None => Ok(None),
            Some(_) if line.len() as u64 + 1 >= REPLY_LINE_MAX => {
                Err(io::Error::other("it says a line that is longer than any reply; is it a herd server?"))
            }
            Some(_) => {
                Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection in a reply"))
            }
        }
    }

    /// Whether the server has left it open, as far as that shows by now.
    pub fn is_open(&self) -> bool {
        let stream = &self.reader.get_ref().stream;
        let is_set = stream.set_nonblocking(true).is_ok();
        let seen = stream.peek(&mut [0; 1]);
        let is_reset = stream.set_nonblocking(false).is_ok();
        is_set && is_reset && seen.is_err_and(|why| why.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether the next line has come already.
    pub fn has_more(&self) -> bool {
        !self.reader.buffer().is_empty()
    }
}

impl Sayer {
    /// # Errors
    /// The connection is gone.
    pub fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// Says that nothing follows.
    ///
    /// # Errors
    /// The connection is gone.
    pub fn end(&self) -> io::Result<()> {
        self.stream.shutdown(Shutdown::Write)
    }
}
