//! The backbone: an engine, Redis or Valkey, in which servers that do not reach one another keep what they know of clients,
//! so that they are one herd. The engine has the herd in parts, by the clients' IDs: of each all AT lines, and a log of
//! what was news. A lane puts this server's news into it, a tail takes out what others put in. Whatever the engine loses
//! is put into it again, as each server has what it is the origin of; so it costs work, and no data.
//! Here is what is said and when, without threads, sockets or a clock: diallers have these.

pub mod engine;
mod findings;
pub mod lane;
mod learning;
pub mod merge;
mod scrub;
pub mod tail;

pub use engine::{Engine, Fault};
pub use lane::Lane;
pub use tail::Tail;
