//! What the program knows of the network below its protocols.
//!
//! Lives here: `HostPort`, a host and a port as herd.conf writes them.
//! Called by: `config`, which parses and never resolves; whoever listens or dials, which resolves.
//! May touch: the system's resolver. It knows no protocol and no other part of herd.

mod host_port;

pub use host_port::HostPort;
