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
/// A server kept what it has, as what is new needs a restart, or as it has other orders (EX_TEMPFAIL).
pub const KEPT: u8 = 75;
/// A server has another secret than herd.conf here, so that it tells nothing (EX_NOPERM).
pub const NOT_ALLOWED: u8 = 77;
/// herd.conf, a file it names, or the journal of a later version cannot be used (EX_CONFIG).
pub const CONFIG: u8 = 78;
