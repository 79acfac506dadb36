//! Exit statuses, those of BSD's sysexits.h where it has one.

pub const OK: u8 = 0;
/// The command line is wrong, or names a server that herd.conf does not have (EX_USAGE).
pub const USAGE: u8 = 64;
/// A server of the herd died on its own (EX_SOFTWARE).
pub const SERVER_DIED: u8 = 70;
/// The system refused something: the address to listen on, a thread (EX_OSERR).
pub const OS: u8 = 71;
/// herd.conf, or a file it names, cannot be used (EX_CONFIG).
pub const CONFIG: u8 = 78;
