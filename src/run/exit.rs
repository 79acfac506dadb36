//! The statuses with which a process of herd ends: those of BSD's sysexits.h where it has a fitting one. Every command
//! here ends with one of them.

pub const OK: u8 = 0;
/// The servers do not know the same (`--agree`).
pub const DISAGREE: u8 = 1;
/// The command line is wrong, or names a server that herd.conf does not have (EX_USAGE).
pub const USAGE: u8 = 64;
/// The line to explain is none that a server takes (EX_DATAERR).
pub const INVALID: u8 = 65;
/// No server of the herd did what was asked (EX_UNAVAILABLE).
pub const NO_ANSWER: u8 = 69;
/// A server of the herd died on its own (EX_SOFTWARE).
pub const SERVER_DIED: u8 = 70;
/// The system refused something: the address to listen on, a thread (EX_OSERR).
pub const OS: u8 = 71;
/// A server ended while it could not keep what it knows: its journal cannot be written (EX_IOERR).
pub const NOT_KEPT: u8 = 74;
/// herd.conf, a file it names, or the journal of a later version cannot be used (EX_CONFIG).
pub const CONFIG: u8 = 78;
