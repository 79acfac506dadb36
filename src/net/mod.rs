//! Sockets and what waits for them: the poller, a connection's bytes, listening and dialling.
//! Workers, diallers and clients call it. It knows nothing of what is said on a connection.
//! It may touch `limits` and the system, and nothing else of this crate. `Stream` and `Watch` are what a
//! worker's connections see of it; the simulation of the tests has its own.

pub mod connection;
mod host_port;
mod listener;
pub mod poller;
pub mod slots;
pub mod socket;
pub mod stream;
pub mod tls;

pub use connection::Connection;
pub use host_port::HostPort;
pub use listener::{AnyStream, Listener};
pub use poller::{Event, Events, Interest, Lane, Poller, WAKE};
pub use slots::Slots;
pub use stream::{Stream, Watch};
pub use tls::Tls;
