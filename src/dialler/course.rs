//! The course of a link, try after try: when the neighbour is dialled, what is done with the connection, how long the
//! link rests after its end, and what is said of it. A dialler's thread goes along it, and so does the simulation; it
//! has no thread, no socket and no clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::health::{Backoff, Health};
use crate::clock::Moment;
use crate::limits::RECONNECT_MAX_S;
use crate::link::{Ended, Link, Talk};
use crate::logging::Wire;
use crate::net::{Interest, Stream};

/// Times are since the start of the process's clock.
pub struct Course {
    link: Arc<Link>,
    health: Health,
    backoff: Backoff,
    /// When the last try began; None before the first.
    began: Option<Duration>,
    /// When the next one is due.
    dial_at: Duration,
    /// When the neighbour was last dialled at once, as it had dialled.
    called_at: Option<Duration>,
    talk: Option<Talk>,
}

/// What is next. A connection that there was is over, unless it is to be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Dial the neighbour, and say what came of it: `begin` or `failed`.
    Dial,
    /// Go on when the connection is ready for this, at this time, or when the outlet wakes.
    Serve { interest: Interest, until: Duration },
    /// Go on at this time, or when the outlet wakes.
    Rest { until: Duration },
    /// The server stops, and all is sent.
    Stop,
}

impl Course {
    pub fn new(link: Arc<Link>, now: Duration) -> Course {
        let health = Health::new(link.outlet.name(), now);
        let backoff = Backoff::default();
        Course { link, health, backoff, began: None, dial_at: now, called_at: None, talk: None }
    }

    pub fn link(&self) -> &Arc<Link> {
        &self.link
    }

    /// The conversation on the connection, if there is one.
    pub fn talk(&self) -> Option<&Talk> {
        self.talk.as_ref()
    }

    pub(super) fn health(&mut self) -> &mut Health {
        &mut self.health
    }

    /// Does what is due, with the connection if there is one; `is_readable` says whether that may be read.
    pub fn go_on(&mut self, is_readable: bool, now: Moment, wire: &mut Wire) -> Next {
        if self.link.outlet.was_redialled() && !self.link.outlet.is_stopping() {
            self.talk = None;
            self.link.outlet.close();
            (self.backoff, self.dial_at) = (Backoff::default(), now.up);
        }
        let Some(talk) = &mut self.talk else { return self.rest(now.up) };
        match talk.go_on(is_readable, now, wire) {
            Ok(()) => {
                if talk.is_open() {
                    self.health.connected(now.up);
                }
                if talk.is_caught_up() {
                    self.health.caught_up(now.up);
                }
                let interest = if talk.has_unsent() { Interest::Both } else { Interest::Readable };
                let due = talk.due(now.up);
                let proven_at = self.health.proven_in(now.up).map_or(due, |left| now.up + left);
                Next::Serve { interest, until: due.min(proven_at) }
            }
            Err(Ended::Stopped) => {
                self.talk = None;
                self.stop()
            }
            Err(why) => {
                // It may have closed because it refused us, and said so.
                let why = talk.last_words(why, now);
                if talk.spare_refused(now) {
                    // There may be more such records, and the others are to arrive soon.
                    self.backoff = Backoff::default();
                }
                self.failed(&why, now.up);
                self.rest(now.up)
            }
        }
    }

    /// The neighbour was dialled, and this is the connection.
    pub fn begin(&mut self, stream: Arc<dyn Stream>, peer: Option<SocketAddr>, now: Moment) {
        match Talk::begin(self.link.clone(), stream, peer, now) {
            Ok(talk) => self.talk = Some(talk),
            Err(why) => self.failed(&why, now.up),
        }
    }

    /// There was no connection to be had, or it is over.
    pub fn failed(&mut self, why: &Ended, now: Duration) {
        self.talk = None;
        self.link.outlet.close();
        if !self.link.outlet.is_leaving() {
            self.health.failed(why, self.link.outlet.write_timeout(), now);
        }
        let pause = self.backoff.next(now.saturating_sub(self.began.unwrap_or(now)));
        log::debug!("next try of {} in {} ms: {why}", self.link.outlet.name(), pause.as_millis());
        self.dial_at = now + pause;
    }

    fn stop(&self) -> Next {
        self.link.outlet.close();
        Next::Stop
    }

    /// Waits until the next try is due, or the neighbour has dialled. The first one is made even by a server that
    /// stops, which may have something to send.
    fn rest(&mut self, now: Duration) -> Next {
        if self.began.is_some() && self.link.outlet.is_stopping() {
            return self.stop();
        }
        let is_called = self.link.outlet.was_called() && self.may_hear_call(now);
        if now < self.dial_at && !is_called {
            return Next::Rest { until: self.dial_at };
        }
        self.began = Some(now);
        Next::Dial
    }

    /// A neighbour that dials is there, and is dialled at once; but one that dials again and again has us wait.
    fn may_hear_call(&mut self, now: Duration) -> bool {
        let may = self.called_at.is_none_or(|at| now.saturating_sub(at).as_secs_f64() >= RECONNECT_MAX_S);
        if may {
            self.called_at = Some(now);
        }
        may
    }
}
