//! Bytes to values and back: what herd speaks, without sockets, locks or a clock.
//! `node` calls it for every line; the store and the flood keep its `Record`s.

pub mod command;
pub mod decimal;
pub mod line;
pub mod link;
pub mod position;
pub mod record;
pub mod rule;
pub mod timestamp;

pub use command::{Command, Query, Report};
pub use position::Location;
pub use record::{Record, StoredRecord};
pub use rule::Rule;
pub use timestamp::Timestamp;
