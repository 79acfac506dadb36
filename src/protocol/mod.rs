//! Bytes to values and back: every word that herd speaks is read and written here, and nowhere else.
//! Doors, diallers and clients call it; the node, the store and the flood keep its `Record`s.
//! It touches nothing: no socket, no lock, no clock, no file, no log.

pub mod command;
pub mod decimal;
pub mod line;
pub mod neighbour;
pub mod position;
pub mod record;
pub mod reply;
pub mod rule;
pub mod span;
pub mod timestamp;
pub mod vouch;

pub use command::{Command, Invalid, Query, Report, Vicinity};
pub use position::{Coordinates, Location};
pub use record::{Record, StoredRecord};
pub use reply::Reply;
pub use rule::Rule;
pub use span::Span;
pub use timestamp::Timestamp;
pub use vouch::Vouch;
