//! How servers talk with each other, without sockets, threads or a clock: who is who, what is sent
//! when, and what has arrived. `server` moves the bytes; the simulation of the tests does, too.

pub mod clock;
pub mod exchange;
pub mod keys;
pub mod outbox;
pub mod refused;
pub mod seen;
pub mod session;
pub mod twins;

pub use clock::{Clocks, Meter, Offset, Steps};
pub use exchange::{Denied, Dialer, Identity, Listener, Standing, Welcome};
pub use keys::{Key, KeyRing, Keys};
pub use outbox::{Due, Lag, Mark, Offered, Outbox};
pub use refused::Refused;
pub use seen::Seen;
pub use session::{Heard, Session, State};
pub use twins::Lives;
