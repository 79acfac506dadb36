//! How servers talk with each other, without sockets, threads or a clock: who is who, what is sent
//! when, and what has arrived.
//! Doors call it for whoever dialled us, diallers for whom we dial, the flood for what is to be passed on.
//! It may touch the node and the store, and a `net::Stream` that somebody hands in; it makes none. The
//! simulation of the tests runs it as it is.

pub mod clock;
mod flow;
pub mod greeting;
pub mod keys;
pub mod lag;
pub mod neighbours;
pub mod oddities;
pub mod outbox;
pub mod outlet;
pub mod reader;
pub mod refused;
pub mod seen;
pub mod session;
pub mod talk;
pub mod twins;

use std::sync::Arc;
use std::time::Duration;

pub use crate::protocol::record::is_note;
pub use clock::{Clocks, Meter, Offset, Steps};
pub use greeting::{Denied, Identity, Listener, Opening, Standing, Welcome};
pub use keys::{Key, KeyRing, Keys};
pub use lag::{Lag, Position};
pub use neighbours::{ASKER, ENGINE, Neighbour, Neighbours, Peer, PeerKind};
pub use oddities::Oddities;
pub use outbox::{Due, Mark, Offered, Outbox};
pub use outlet::Outlet;
pub use reader::Reader;
pub use refused::Refused;
pub use seen::Seen;
pub use session::{Compared, Heard, Progress, Session};
pub use talk::{Ended, Talk};
pub use twins::Lives;

use crate::limits::Timing;
use crate::node::Node;

/// The outlets of a server's links.
pub type Links = Arc<[Arc<Outlet>]>;

/// A link to one neighbour, whether it has a connection or not.
pub struct Link {
    pub node: Arc<Node>,
    pub neighbours: Arc<Neighbours>,
    /// What the neighbour is to be sent.
    pub outlet: Arc<Outlet>,
    pub timing: Timing,
}

impl Link {
    /// The neighbour may take nothing of what waits for it for so long.
    pub fn new(
        node: Arc<Node>,
        neighbours: Arc<Neighbours>,
        outlet: Arc<Outlet>,
        timing: Timing,
        write_timeout: Duration,
    ) -> Link {
        outlet.set_write_timeout(write_timeout);
        Link { node, neighbours, outlet, timing }
    }
}

/// What a link leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A server of the herd: it is greeted, told marks, and compared with.
    Herd,
    /// An engine, which keeps what it is sent for servers that are no neighbours.
    Engine,
    /// Another implementation, which knows only AT lines: each goes out on a connection of its own.
    Plain {
        /// It gets the whole store whenever it is back, not only what came since it was last there.
        refill: bool,
    },
}

impl Kind {
    pub fn is_plain(self) -> bool {
        matches!(self, Kind::Plain { .. })
    }
}
