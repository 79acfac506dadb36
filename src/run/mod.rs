//! What a command of herd does, from valid arguments to an exit status.
//!
//! Lives here: what is needed to run one server or a whole herd of them.
//! Called by: `main`.
//! May touch: everything below it.

pub mod secrets;
