//! The door for lines, and what the room may ask of it. It cuts lines, has the turn do what they ask, and answers in
//! order: what happens to it is in `events`, a call with bytes in `conversation`, and what a neighbour says beside AT
//! lines in `neighbour`.

use std::net::SocketAddr;
use std::time::Duration;

use super::{Kin, Manners, Visit};
use crate::clock::Stamp;
use crate::feed::Reader;
use crate::link::{Listener, Peer, PeerKind};
use crate::logging::Wire;
use crate::turn::Core;

/// One connection's conversation. Times are since the start of the process's clock.
pub struct LineDoor {
    pub(super) phase: Phase,
    /// Who is at the other end, as far as is known.
    pub(super) peer_kind: PeerKind,
    pub(super) is_at_home: bool,
    /// The other end as a dialler of the herd, once it has greeted.
    pub(super) neighbour: Option<Box<Listener>>,
    /// Bytes read and not answered: part of a line, or lines that must wait.
    pub(super) input: Vec<u8>,
    /// When it last said a whole line with something in it. Of a link: since when it is one.
    pub(super) spoken: Stamp,
    /// The peer has shut its sending side; what it sent is still answered.
    pub(super) has_ended: bool,
    /// A line of it has been taken up.
    pub(super) has_spoken: bool,
    /// The rest of a line that is too long is still to be dropped.
    pub(super) is_skipping: bool,
    /// What it kept was left because too much was unsent, and is to be taken up when all is sent.
    pub(super) is_stalled: bool,
    /// The log has that it was opened.
    pub(super) is_shown: bool,
    /// How many had stopped to be neighbours when it was last looked whether its other end is one.
    pub(super) departures: u64,
    lasting: Lasting,
}

/// What a conversation waits for.
pub(super) enum Phase {
    /// Commands.
    Open,
    /// The places near a client.
    Places(Box<Wanted>),
    /// The nearest clients, or how many there are; this line, without its newline, asked for it.
    Clients { line: Box<[u8]> },
    /// The answer to a neighbour's ASK.
    Asked,
    /// How the server is.
    AskedHow,
    /// What comes of an order.
    Ordered,
    /// What changes, for as long as the connection lasts.
    Watching(Box<Watching>),
    /// Nothing but that its last replies are sent, and then, for this reason, the end.
    Closing(&'static str),
}

/// A client near which places are looked for.
pub(super) struct Wanted {
    /// What begins the reply, without a newline.
    pub record: Vec<u8>,
    /// When it was asked for.
    pub since: Duration,
}

/// A connection on which changes are told.
pub(super) struct Watching {
    pub reader: Reader,
    pub is_asked: bool,
    /// What came last is not sent yet.
    pub is_fresh: bool,
}

/// Whether a connection is a neighbour's link, which may be silent for as long as it likes.
#[derive(PartialEq, Eq)]
enum Lasting {
    No,
    /// It has just turned out.
    New,
    Yes,
}

/// Why a connection is closed that greeted and went no further.
const UNPROVEN: &str = "it did not prove who it is";

impl LineDoor {
    /// `departures` is how many had stopped to be neighbours when it was found out who the peer is.
    pub fn new(peer: &Peer, departures: u64, now: Duration) -> LineDoor {
        LineDoor {
            phase: Phase::Open,
            peer_kind: peer.kind,
            is_at_home: peer.is_at_home,
            neighbour: None,
            input: Vec::new(),
            spoken: now.into(),
            has_ended: false,
            has_spoken: false,
            is_skipping: false,
            is_stalled: false,
            is_shown: true,
            departures,
            lasting: Lasting::No,
        }
    }

    // --- what the room asks

    pub fn reads(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    pub fn waits(&self) -> bool {
        match &self.phase {
            Phase::Places(_) | Phase::Clients { .. } | Phase::Asked | Phase::AskedHow | Phase::Ordered => {
                true
            }
            Phase::Watching(watching) => watching.is_asked,
            Phase::Open | Phase::Closing(_) => false,
        }
    }

    pub fn is_owed(&self) -> bool {
        matches!(self.phase, Phase::Places(_) | Phase::Clients { .. })
    }

    pub fn is_stalled(&self) -> bool {
        self.is_stalled || matches!(&self.phase, Phase::Watching(watching) if !watching.is_asked)
    }

    pub fn closes(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Closing(why) => Some(why),
            Phase::Open
            | Phase::Places(_)
            | Phase::Clients { .. }
            | Phase::Asked
            | Phase::AskedHow
            | Phase::Ordered
            | Phase::Watching(_) => None,
        }
    }

    pub fn take_lasting(&mut self) -> bool {
        let is_new = self.lasting == Lasting::New;
        if is_new {
            self.lasting = Lasting::Yes;
        }
        is_new
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
        if self.is_greeting() {
            return Some((self.spoken.up() + manners.greeting, UNPROVEN));
        }
        // It has just got its replies, late as it or they may be, and has its time to say more.
        let idle_timeout = manners.idle_timeout.filter(|_| self.lasting == Lasting::No)?;
        Some((heard.max(taken) + idle_timeout, "idle"))
    }

    pub fn silent_since(&self) -> Option<Duration> {
        (!self.is_link() && matches!(self.phase, Phase::Open)).then(|| self.spoken.up())
    }

    pub fn kin(&self) -> Option<Kin> {
        let link = self.neighbour.as_deref().filter(|link| link.is_open());
        match (link, self.peer_kind) {
            (Some(link), _) => Some(link.neighbour().map_or(Kin::Asker, Kin::Neighbour)),
            (None, _) if self.lasting == Lasting::No => None,
            (None, PeerKind::Neighbour { id: Some(id), .. }) => Some(Kin::Neighbour(id)),
            (None, PeerKind::Neighbour { id: None, .. } | PeerKind::Stranger) => Some(Kin::Asker),
        }
    }

    pub fn kin_since(&self) -> Duration {
        self.spoken.up()
    }

    /// Whether it has greeted or learned somebody's news, which no client does.
    pub(super) fn is_link(&self) -> bool {
        self.neighbour.is_some() || self.lasting != Lasting::No
    }

    /// Counts a connection whose time is up before it proved who it is.
    pub fn note_timeout(&self, core: &Core, address: SocketAddr, why: &str, now: Duration) {
        if self.is_greeting() {
            core.tallies
                .denied
                .count(now, |total| log::warn!("closed a link from {address}: {why}; {total} so far"));
        }
    }

    pub fn hide(&mut self) {
        self.is_shown = false;
    }

    pub fn show(&self, core: &Core, address: &SocketAddr, wire: &mut Wire) {
        let link = self.neighbour.as_deref();
        core.neighbours.show(wire, link, address);
    }

    /// The same in a call of the room.
    pub(super) fn show_in(&self, visit: &mut Visit<'_>) {
        self.show(visit.core, &visit.address, &mut visit.turn.wire);
    }

    /// Whether it has said which neighbour it is and not proven it, for which it has its time from there
    /// on, however slowly it speaks.
    pub fn is_greeting(&self) -> bool {
        self.neighbour.as_deref().is_some_and(|neighbour| !neighbour.is_open())
    }

    /// The line that came in last is a good one, and worth that the log has its connection.
    pub(super) fn show_opening(&mut self, wire: &mut Wire) {
        if !std::mem::replace(&mut self.is_shown, true) {
            wire.opened_late();
        }
    }

    /// Nothing is answered any more.
    pub(super) fn close(&mut self, why: &'static str) {
        self.input = Vec::new();
        self.phase = Phase::Closing(why);
    }

    /// The first AT line makes a connection a link: never idle, and watched for a dead other end.
    pub(super) fn learned(&mut self) {
        if self.lasting == Lasting::No {
            self.lasting = Lasting::New;
        }
    }
}
