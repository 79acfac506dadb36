//! The link to a neighbour of another make: a connection per AT line, and none in between.

use std::io;
use std::net::Shutdown;

use super::{Ended, Link};

impl Link {
    /// Sends what is queued or missing, then whatever comes, until told to stop or a try fails.
    pub(super) fn serve_plain(&mut self) -> Ended {
        let seen = if self.settings.refill { 0 } else { self.outlet.seen_epoch() };
        self.outlet.open(None, 0, seen);
        // After a failure its try tells whether the neighbour is back, before anything is sent.
        if self.health.is_failing()
            && let Err(why) = self.connect()
        {
            return Ended::Failed(why);
        }
        loop {
            if let Err(why) = self.send_all(Link::write_plain) {
                return Ended::Failed(why);
            }
            if self.outlet.is_stopping() {
                return Ended::Stopped;
            }
            if let Err(why) = self.outlet.wait(self.health.proven_in()) {
                return Ended::Failed(why);
            }
            self.health.caught_up();
        }
    }

    fn write_plain(&mut self, lines: &[u8], _logged: usize) -> io::Result<()> {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let stream = self.connect()?;
            self.write(&stream, line, 0)?;
            stream.shutdown(Shutdown::Write)?;
            self.health.connected();
        }
        Ok(())
    }
}
