//! The connection to a server of the herd: this moves its bytes, `link::Talk` says which.

use std::sync::Arc;

use super::{CONNECTION, Dialler, Served};
use crate::link::{Ended, Talk};
use crate::net::{Interest, Stream};

impl Dialler {
    /// Dials and serves until told to stop.
    ///
    /// # Errors
    /// There is no connection to be had, or it ended.
    pub(super) fn serve_herd(&mut self) -> Result<(), Served> {
        let stream = Arc::new(self.connect()?);
        self.poller.add(&*stream, CONNECTION, Interest::Readable)?;
        let (peer, shared) = (stream.peer_addr().ok(), stream.clone() as Arc<dyn Stream>);
        let now = self.clock.now();
        let begun = Talk::begin(self.link.clone(), shared, peer, now);
        let mut talk = begun.map_err(|why| Served { why, has_spared: false })?;
        let mut watched = Interest::Readable;
        let mut is_readable = false;
        loop {
            match talk.go_on(is_readable, self.clock.now(), &mut self.wire) {
                Ok(()) => {}
                Err(Ended::Stopped) => return Ok(()),
                Err(why) => {
                    // It may have closed because it refused us, and said so.
                    let why = talk.last_words(why, self.clock.now());
                    return Err(Served { why, has_spared: talk.spare_refused(self.clock.now()) });
                }
            }
            let now = self.clock.up();
            if talk.is_open() {
                self.health.connected(now);
            }
            if talk.is_caught_up() {
                self.health.caught_up(now);
            }
            let wanted = if talk.has_unsent() { Interest::Both } else { Interest::Readable };
            if watched != wanted {
                self.poller.modify(&*stream, CONNECTION, wanted)?;
                watched = wanted;
            }
            let due = talk.due(now).saturating_sub(now);
            let proven_in = self.health.proven_in(now).unwrap_or(due);
            is_readable = self.wait(Some(due.min(proven_in)))?;
        }
    }
}
