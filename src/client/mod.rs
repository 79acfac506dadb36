//! A blocking client of a running herd.
//! Here live what `--agree` asks every server, what `--forget` tells one, what `--check` asks whoever has a port, and the
//! lines of `herdctl`.
//! `run` calls it. It names sockets, as it is its own connection; it may touch the greeting of links, `protocol`
//! and `net`.

mod agree;
mod forget;
mod greeted;
mod lines;
mod order;
mod patient;
mod probe;

pub use agree::{Agreement, Answer, Link};
pub use forget::forget;
pub use greeted::{Greeted, explain};
pub use lines::{Lines, Sayer};
pub use order::{Ordered, reload, state, upgrade};
use patient::Patient;
pub use probe::{Port, probe};
