//! What a command of herd does, from valid arguments to an exit status.
//!
//! Lives here: one server (`one`), a process a server of a whole herd (`family`), the commands that start none
//! (`check`, `explain`, `agree`, `forget`, `token`, and `ctl` for those of `herdctl`), and what they share: herd.conf, secrets, signals, statuses, words.
//! Called by: `main`, with the arguments; the tests start the program itself.
//! May touch: everything. Nothing else calls it.

pub mod agree;
pub mod check;
pub mod conf;
pub mod ctl;
mod engine;
pub mod exit;
pub mod explain;
pub mod family;
pub mod forget;
pub mod inherit;
mod machine;
pub mod manager;
pub mod memory;
pub mod next;
pub mod one;
pub mod orders;
mod owners;
pub mod parent;
pub mod phone;
pub mod places;
pub mod reload;
pub mod say;
pub mod secrets;
pub mod service;
pub mod signals;
pub mod site;
pub mod token;
pub mod upgrade;
