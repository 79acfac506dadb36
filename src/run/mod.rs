//! What a command of herd does, from valid arguments to an exit status.
//!
//! Lives here: one server (`one`), a process a server of a whole herd (`family`), the commands that start none
//! (`check`, `explain`, `agree`, `forget`, `token`), and what they share: herd.conf, secrets, signals, statuses, words.
//! Called by: `main`, with the arguments; the tests start the program itself.
//! May touch: everything. Nothing else calls it.

pub mod agree;
pub mod check;
pub mod conf;
pub mod exit;
pub mod explain;
pub mod family;
pub mod forget;
pub mod memory;
pub mod one;
pub mod orders;
pub mod phone;
pub mod say;
pub mod secrets;
pub mod signals;
pub mod site;
pub mod token;
