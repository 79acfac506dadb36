//! The link to a neighbour of another make: a connection per AT line, and none in between.

use std::io;
use std::net::Shutdown;
use std::sync::atomic::Ordering;

use super::{Ended, Link};

impl Link {
    /// Sends what is queued or missing, then whatever comes, until told to stop or a try fails.
    pub(super) fn serve_plain(&mut self) -> Ended {
        self.queue.up.store(true, Ordering::SeqCst);
        // After a failure its try tells whether the neighbour is back, before anything is sent.
        if self.health.is_failing() {
            if let Err(why) = self.connect() {
                return Ended::Failed(why);
            }
            self.queue.behind.store(true, Ordering::SeqCst);
        }
        loop {
            if let Err(ended) = self.send_all(Link::write_plain) {
                return ended;
            }
            if self.queue.is_stopping() && self.chunks.is_empty() {
                return Ended::Stopped;
            }
            if let Err(why) = self.wait(self.health.proven_in()) {
                return Ended::Failed(why);
            }
            self.health.caught_up();
        }
    }

    fn write_plain(&mut self, lines: &[u8]) -> io::Result<()> {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let stream = self.connect()?;
            self.write(&stream, line)?;
            stream.shutdown(Shutdown::Write)?;
            self.health.connected();
        }
        Ok(())
    }
}
