//! What is spoken by whoever dialled us. A door is a state machine over bytes: it takes what came in, puts into the
//! turn what it learns and what it answers, and says what it waits for and until when.
//! A worker's room opens one for each connection and calls it; it names no poller, socket, thread or clock, and
//! takes the time as a value. It may touch the turn, the neighbours, the status and `protocol`.

mod conversation;
mod crowd;
mod events;
pub mod http;
mod line;
mod nearby;
mod neighbour;
mod watching;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Moment;
use crate::feed::Reader;
use crate::limits::READ_BYTES;
use crate::logging::{Wire, count};
use crate::node::NeighbourId;
use crate::places::Lookup;
use crate::protocol::{Rule, Span};
use crate::status::{HallStatus, Status};
use crate::store::digest::Digest;
pub use crate::tally::DoorKind;
use crate::tally::Tallies;
use crate::turn::{Core, Turn};
pub use crowd::crowd;
use http::{Friends, Heard, HttpDoor, Listing, Message, Site};
use line::LineDoor;
pub use nearby::Nearby;

/// The protocols there are: one a kind of listener.
pub enum Door {
    /// Lines of text: clients, and the links of neighbours.
    Line(Box<LineDoor>),
    /// HTTP/1.1 and 1.0. It is the smaller one: phones keep their connections, and are silent for most of the time.
    Http(HttpDoor),
}

/// Why a door ends whose peer sends no more.
pub const PEER_CLOSED: &str = "the peer closed it";

/// As whom a connection is of the herd.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kin {
    Neighbour(NeighbourId),
    /// It may ask how the herd is; or it dials from an address that several neighbours share, and does not say which it
    /// is.
    Asker,
}

/// What doors allow.
#[derive(Clone, Debug)]
pub struct Manners {
    /// Bytes of a client's line, without its newline.
    pub max_line: usize,
    /// Unsent bytes of a connection at which no further command of it is answered.
    pub max_unsent: usize,
    /// Clients that may be known, for the log; the node refuses more.
    pub max_clients: usize,
    /// Close after the first reply.
    pub one_shot: bool,
    /// How long a connection may be silent; None for ever.
    pub idle_timeout: Option<Duration>,
    /// What a dialler has for each part of its greeting.
    pub greeting: Duration,
    /// How long a silence is that has a connection make way for another.
    pub silent: Duration,
    /// How long a server that stops goes on to answer at most.
    pub drain: Duration,
    /// What is served by HTTP; None where nothing is.
    pub http: Option<Arc<Site>>,
}

/// What a door is called with.
pub struct Visit<'a> {
    pub core: &'a Core,
    pub manners: &'a Manners,
    pub turn: &'a mut Turn,
    pub now: Moment,
    /// Where the peer is.
    pub address: SocketAddr,
    /// Bytes of its replies that the peer has not taken yet.
    pub unsent: usize,
    /// There is no room for it unless it is of the herd, which it has to say first.
    pub is_on_trial: bool,
    /// The server stops, and nothing more has come so far: who would be kept for its next request is told to come again on
    /// another connection.
    pub is_stopping: bool,
}

/// What a door has to be told before it goes on. The connection is not read meanwhile.
#[derive(Debug)]
pub enum Question {
    /// What is near a client.
    Places(Lookup),
    /// What this server knows of what was heard within a time, for a neighbour that compares.
    Digest(Span),
    /// All that it can say of itself, with what it knows of a time if one is named.
    Status(Option<Span>),
    /// A page of clients.
    Clients(Box<Listing>),
    /// Whom OwnTracks shows beside its own phone.
    Friends(Box<Friends>),
    /// What of a large request of a phone is to be learned.
    Phone(Box<Message<'static>>),
    /// The nearest clients, where that takes longer than a turn may.
    Near(Nearby),
    /// How many clients are shown.
    Count,
    /// What is next for somebody who watches.
    Feed(Box<Reader>),
    /// What came of an order.
    Order(Order),
}

/// What somebody who runs the herd orders a server to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Read herd.conf again.
    Reload,
    /// Become the program that has taken the place of its own.
    Upgrade,
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done: what is new, in words.
    Done(String),
    /// Nothing was changed: the exit status for that, and why.
    Kept { status: u8, why: String },
}

/// The answer.
pub enum Answer {
    /// JSON.
    Places(Arc<[u8]>),
    Digest(Box<Digest>),
    Status(Box<Status>),
    /// GeoJSON, or what OwnTracks reads.
    Clients(Vec<u8>),
    /// And the list of its friends, if it is to be told of them.
    Phone(Box<Heard>, Option<Vec<u8>>),
    /// AT lines, each with its newline.
    Near(Vec<u8>),
    Count(usize),
    /// What has changed, and how far whoever watches has come then.
    Feed {
        reader: Reader,
        bytes: Arc<[u8]>,
    },
    Outcome(Outcome),
    /// There is too much to do.
    None,
}

impl Manners {
    /// The log has that a report or a note was refused for want of room for its client, if it was by this rule.
    fn tell_full(&self, tallies: &Tallies, rule: Rule, is_note: bool, now: Duration) {
        let known = count(self.max_clients as u64, "client");
        if rule == Rule::Full {
            tallies.full.count(now, |total| {
                log::warn!(
                    "reports of further clients are refused, as {known} may be known: max_clients in herd.conf; \
                     {total} so far"
                );
            });
        }
        if rule == Rule::FullOfNotes {
            let what = match is_note {
                true => "unknown clients are not forgotten in advance",
                false => "reports of further clients are refused",
            };
            tallies.full_of_notes.count(now, |total| {
                log::warn!(
                    "{what}, as {known} that were forgotten may be remembered: max_clients in herd.conf; \
                     {total} so far"
                );
            });
        }
    }
}

impl Question {
    /// The answer, from what this server knows: takes as long as it takes to look at all clients. Places and what happens
    /// have to be asked for elsewhere.
    pub fn answer(&self, core: &Core, hall: HallStatus, now: Moment) -> Answer {
        match self {
            Question::Digest(span) => Answer::Digest(Box::new(core.node.digest(*span, now.posix_ns))),
            Question::Status(span) => Answer::Status(Box::new(Status::of(core, hall, *span, now))),
            Question::Clients(listing) => Answer::Clients(listing.page(&core.node)),
            Question::Friends(friends) => Answer::Clients(friends.list(&core.node)),
            Question::Phone(message) => {
                let (heard, friends) = message.answer(&core.node);
                Answer::Phone(Box::new(heard), friends)
            }
            Question::Near(nearby) => Answer::Near(nearby.lines(&core.node)),
            Question::Count => Answer::Count(core.node.count()),
            Question::Places(_) | Question::Feed(_) | Question::Order(_) => Answer::None,
        }
    }
}

impl Door {
    /// The door for a connection from `address` to a listener of this kind, at our `own` address, if that is known.
    pub fn open(kind: DoorKind, address: SocketAddr, own: Option<IpAddr>, core: &Core, now: Moment) -> Door {
        match kind {
            DoorKind::Line => Door::open_line(address, own, core, now),
            DoorKind::Http => Door::Http(HttpDoor::new(now.up)),
        }
    }

    /// The same for lines.
    pub fn open_line(address: SocketAddr, own: Option<IpAddr>, core: &Core, now: Moment) -> Door {
        let departures = core.neighbours.departures();
        let mut peer = core.neighbours.peer(address.ip());
        peer.is_at_home |= own == Some(address.ip());
        Door::Line(Box::new(LineDoor::new(&peer, departures, now.up)))
    }

    pub fn kind(&self) -> DoorKind {
        match self {
            Door::Line(_) => DoorKind::Line,
            Door::Http(_) => DoorKind::Http,
        }
    }

    /// Takes what came in.
    pub fn read(&mut self, visit: &mut Visit<'_>, bytes: &[u8]) -> Option<Question> {
        match self {
            Door::Line(line) => line.read(visit, bytes),
            Door::Http(http) => http.read(visit, bytes),
        }
    }

    /// The peer sends no more. What it sent is still answered.
    pub fn end(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        match self {
            Door::Line(line) => line.end(visit),
            Door::Http(http) => http.end(visit),
        }
    }

    /// Goes on with what was kept while too much was unsent, or while it waited.
    pub fn go_on(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        match self {
            Door::Line(line) => line.go_on(visit),
            Door::Http(http) => http.go_on(visit),
        }
    }

    /// Takes the answer to its question. Then it can go on.
    pub fn answer(&mut self, visit: &mut Visit<'_>, answer: Answer) {
        match self {
            Door::Line(line) => line.answer(visit, &answer),
            Door::Http(http) => http.answer(visit, answer),
        }
    }

    /// Whether it takes more bytes now.
    pub fn reads(&self) -> bool {
        match self {
            Door::Line(line) => line.reads(),
            Door::Http(http) => http.reads(),
        }
    }

    /// How many bytes it takes at once: what it may have to keep while it reads no more.
    pub fn takes(&self) -> usize {
        match self {
            Door::Line(_) => READ_BYTES,
            Door::Http(http) => http.takes(),
        }
    }

    /// Whether it waits for the answer to a question.
    pub fn waits(&self) -> bool {
        match self {
            Door::Line(line) => line.waits(),
            Door::Http(http) => http.waits(),
        }
    }

    /// Whether the peer is owed the answer that it waits for, even by a server that stops.
    pub fn is_owed(&self) -> bool {
        match self {
            Door::Line(line) => line.is_owed(),
            Door::Http(http) => http.is_owed(),
        }
    }

    /// Whether a part of something has come that is not there as a whole yet.
    pub fn is_amid(&self) -> bool {
        match self {
            Door::Line(line) => !line.input.is_empty(),
            Door::Http(http) => http.is_amid(),
        }
    }

    /// Whether it has kept something to go on with as soon as everything is sent.
    pub fn is_stalled(&self) -> bool {
        match self {
            Door::Line(line) => line.is_stalled(),
            Door::Http(http) => http.is_stalled(),
        }
    }

    /// Why the connection is to be closed once everything is sent; None while it is not.
    pub fn closes(&self) -> Option<&'static str> {
        match self {
            Door::Line(line) => line.closes(),
            Door::Http(http) => http.closes(),
        }
    }

    /// When the connection is to be closed, and why, unless something happens; it was last heard at `heard`, and its last
    /// replies were taken at `taken`.
    pub fn deadline(
        &self,
        manners: &Manners,
        heard: Duration,
        taken: Duration,
    ) -> Option<(Duration, &'static str)> {
        match self {
            Door::Line(line) => line.deadline(manners, heard, taken),
            Door::Http(http) => http.deadline(manners, heard, taken),
        }
    }

    /// Since when it has said nothing; None for a connection that may be silent.
    pub fn silent_since(&self) -> Option<Duration> {
        match self {
            Door::Line(line) => line.silent_since(),
            Door::Http(http) => http.silent_since(),
        }
    }

    /// Whether it has said that it is of the herd, and not proven it.
    pub fn is_greeting(&self) -> bool {
        match self {
            Door::Line(line) => line.is_greeting(),
            Door::Http(_) => false,
        }
    }

    /// As whom it is of the herd, once it has proven that; None of a client.
    pub fn kin(&self) -> Option<Kin> {
        match self {
            Door::Line(line) => line.kin(),
            Door::Http(_) => None,
        }
    }

    /// Since when it has said that it is of the herd.
    pub fn kin_since(&self) -> Option<Duration> {
        match self {
            Door::Line(line) => Some(line.kin_since()),
            Door::Http(_) => None,
        }
    }

    /// True once, when it has turned out that the connection is to outlast a silence.
    pub fn take_lasting(&mut self) -> bool {
        match self {
            Door::Line(line) => line.take_lasting(),
            Door::Http(_) => false,
        }
    }

    /// Whether it reads nothing until there is room for more of what is large.
    pub fn waits_for_room(&self) -> bool {
        match self {
            Door::Line(_) => false,
            Door::Http(http) => http.waits_for_room(),
        }
    }

    /// The same until the server has started.
    pub fn waits_for_start(&self) -> bool {
        match self {
            Door::Line(_) => false,
            Door::Http(http) => http.waits_for_start(),
        }
    }

    /// Whether room is kept free for what it is taking in.
    pub fn keeps_room(&self) -> bool {
        match self {
            Door::Line(_) => false,
            Door::Http(http) => http.keeps_room(),
        }
    }

    /// Goes on if there is room for what waits for it.
    pub fn find_room(&mut self, visit: &mut Visit<'_>) -> Option<Question> {
        match self {
            Door::Line(_) => None,
            Door::Http(http) => http.find_room(visit),
        }
    }

    /// Its time is up: says so where that is said. True if there was something to say.
    pub fn expire(&mut self, visit: &mut Visit<'_>, asks: &mut Option<Question>) -> bool {
        match self {
            Door::Line(_) => false,
            Door::Http(http) => http.expire(visit, asks),
        }
    }

    /// Its time is up: counts what that is worth.
    pub fn note_timeout(&self, core: &Core, address: SocketAddr, why: &str, now: Duration) {
        match self {
            Door::Line(line) => line.note_timeout(core, address, why, now),
            Door::Http(_) => {}
        }
    }

    /// The log has left out that the connection was opened, and has that as soon as the peer says something good.
    pub fn hide(&mut self) {
        match self {
            Door::Line(line) => line.hide(),
            Door::Http(http) => http.hide(),
        }
    }

    /// Whether the log has that the connection was opened.
    pub fn is_shown(&self) -> bool {
        match self {
            Door::Line(line) => line.is_shown,
            Door::Http(http) => http.is_shown(),
        }
    }

    /// Has the log's next lines be about the peer, which is at `address`.
    pub fn show(&self, core: &Core, address: &SocketAddr, wire: &mut Wire) {
        match self {
            Door::Line(line) => line.show(core, address, wire),
            Door::Http(_) => wire.with(address),
        }
    }
}

#[cfg(test)]
mod tests;
