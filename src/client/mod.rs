//! A blocking client of a running herd.
//! Here live what `--agree` asks every server, what `--forget` tells one, and what `--check` asks whoever has a port.
//! `run` calls it. It names sockets, as it is its own connection; it may touch the greeting of links, `protocol`
//! and `net`.

mod agree;
mod forget;
mod greeted;
mod patient;
mod probe;

pub use agree::Agreement;
pub use forget::forget;
use patient::Patient;
pub use probe::{Port, probe};
