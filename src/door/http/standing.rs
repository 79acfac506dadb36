//! How a connection of the door for HTTP stands: what the room asks, which reads it, keeps it waiting, and closes it.

use std::time::Duration;

use super::body::Incoming;
use super::{Hold, HttpDoor, Lack, Phase, Site};
use crate::door::Manners;
use crate::limits::{
    HTTP_BODY_BYTES_PER_S, HTTP_BODY_S, HTTP_CROWDED_SILENCE_S, HTTP_FIRST_READ_BYTES, HTTP_HEAD_S,
    HTTP_IDLE_S, READ_BYTES,
};

impl HttpDoor {
    pub fn reads(&self) -> bool {
        matches!(self.phase, Phase::Open) && self.hold().is_none()
    }

    /// Of a request whose head is not there: ten thousand may have to wait for room for their bodies, and have to keep
    /// what was read.
    pub fn takes(&self) -> usize {
        if self.incoming().is_some() { READ_BYTES } else { HTTP_FIRST_READ_BYTES }
    }

    pub fn waits(&self) -> bool {
        match &self.phase {
            Phase::Asked(_) => true,
            Phase::Streaming(stream) => stream.is_asked,
            Phase::Open | Phase::Late(_) | Phase::Closing(_) => false,
        }
    }

    pub fn is_owed(&self) -> bool {
        matches!(self.phase, Phase::Asked(_) | Phase::Late(_))
    }

    pub fn is_amid(&self) -> bool {
        self.under_way.is_some()
    }

    pub fn is_stalled(&self) -> bool {
        self.is_stalled
            || match &self.phase {
                Phase::Streaming(stream) => !stream.is_asked,
                Phase::Late(_) => true,
                Phase::Open | Phase::Asked(_) | Phase::Closing(_) => false,
            }
    }

    pub fn waits_for_room(&self) -> bool {
        self.hold().is_some()
    }

    /// Whether it waits for the end of a start, and not for room.
    pub fn waits_for_start(&self) -> bool {
        self.hold().is_some_and(|hold| hold.lack == Lack::Start)
    }

    /// Whether room is kept free for what is coming in, so that it may have to make way.
    pub fn keeps_room(&self) -> bool {
        self.incoming().is_some_and(Incoming::is_large)
    }

    pub fn closes(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Closing(why) => Some(why),
            Phase::Open | Phase::Asked(_) | Phase::Late(_) | Phase::Streaming(_) => None,
        }
    }

    pub fn deadline(
        &self,
        manners: &Manners,
        heard: Duration,
        taken: Duration,
    ) -> Option<(Duration, &'static str)> {
        if !matches!(self.phase, Phase::Open) {
            return None;
        }
        if let Some(Hold { until, lack, .. }) = self.hold() {
            return Some((
                *until,
                match lack {
                    Lack::Room => "there was no room for its body",
                    Lack::Start => "the server was still starting",
                },
            ));
        }
        Some(match (self.under_way.as_ref().and_then(|it| it.began), self.incoming()) {
            (Some(began), None) => {
                (began + Duration::from_secs(HTTP_HEAD_S), "its head did not come to an end")
            }
            (Some(began), Some(incoming)) => {
                let seconds = HTTP_BODY_S + (incoming.taken() / HTTP_BODY_BYTES_PER_S) as u64;
                let end = (began + Duration::from_secs(seconds), "its body did not come to an end");
                let silent = heard.max(began) + Duration::from_secs(HTTP_CROWDED_SILENCE_S);
                match incoming.is_large() && is_crowded(manners) {
                    true => end.min((silent, "its body came no further, and others wait for room")),
                    false => end,
                }
            }
            (None, _) => {
                let idle =
                    manners.idle_timeout.map_or(HTTP_IDLE_S, |timeout| timeout.as_secs().min(HTTP_IDLE_S));
                (heard.max(taken) + Duration::from_secs(idle), "idle")
            }
        })
    }

    pub fn silent_since(&self) -> Option<Duration> {
        matches!(self.phase, Phase::Open).then(|| self.spoken.up())
    }

    pub fn hide(&mut self) {
        self.is_shown = false;
    }

    pub fn is_shown(&self) -> bool {
        self.is_shown
    }

    pub(super) fn hold(&self) -> Option<&Hold> {
        self.under_way.as_ref()?.hold.as_ref()
    }

    /// The body that is coming in.
    fn incoming(&self) -> Option<&Incoming> {
        Some(&self.under_way.as_ref()?.incoming.as_ref()?.1)
    }
}

/// Whether somebody waits for room for a large body.
fn is_crowded(manners: &Manners) -> bool {
    manners.http.as_deref().is_some_and(Site::is_crowded)
}
