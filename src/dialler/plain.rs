//! The link to a plain neighbour: a connection per AT line, and none in between.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};

use super::Dialler;
use crate::link::reader::{Next, Reader};
use crate::link::{Kind, is_note};

impl Dialler {
    /// Sends what is queued or missing, then whatever comes, until told to stop.
    ///
    /// # Errors
    /// A try failed.
    pub(super) fn serve_plain(&mut self) -> io::Result<()> {
        let link = self.course.link().clone();
        let refills = link.outlet.kind() == Kind::Plain { refill: true };
        link.outlet.open(None, 0, if refills { 0 } else { link.outlet.seen_epoch() }, false);
        // After a failure its try tells whether the neighbour is back, before anything is sent.
        if self.course.health().is_failing() {
            self.connect()?;
        }
        let mut reader = Reader::default();
        loop {
            while let Next::Chunk(chunk) = reader.next(&link.outlet, &link.node.store) {
                self.send_plain(&chunk.bytes)?;
            }
            if link.outlet.is_stopping() {
                return Ok(());
            }
            let proven_in = self.course.health().proven_in(self.clock.up());
            self.wait(proven_in)?;
            self.course.health().caught_up(self.clock.up());
        }
    }

    fn send_plain(&mut self, lines: &[u8]) -> io::Result<()> {
        // It knows no notes, and would take one for a client's position.
        let lines = lines.split_inclusive(|&byte| byte == b'\n').filter(|line| !is_note(line));
        for line in lines {
            let stream = self.connect()?;
            self.wire.at(self.clock.now().posix_ns);
            self.wire.with_neighbour(self.course.link().outlet.name());
            self.wire.flooded(line);
            self.wire.commit();
            self.write(&stream, line)?;
            stream.shutdown(Shutdown::Write)?;
            self.course.health().connected(self.clock.up());
        }
        Ok(())
    }

    fn write(&self, mut stream: &TcpStream, line: &[u8]) -> io::Result<()> {
        let timeout = self.link().outlet.write_timeout();
        stream.set_write_timeout(Some(timeout))?;
        stream.write_all(line).map_err(|why| match why.kind() {
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                let why = format!("it took nothing for {} s", timeout.as_secs_f64().ceil());
                io::Error::new(io::ErrorKind::TimedOut, why)
            }
            _ => why,
        })
    }
}
