//! What phones said, from when it was read to when it is learned: meanwhile others may have to be looked for.

use crate::tally::{App, Reason};

/// What a request came to before it is learned.
pub struct Heard {
    pub app: App,
    /// It is answered as Overland needs it.
    pub is_overland: bool,
    /// The newest of each client, and others of the same time.
    pub reports: Vec<Said>,
    /// How many there were in all.
    pub count: u64,
    /// What does not count, and the client of whom it would; empty where nobody says.
    pub ignored: Vec<(Reason, Vec<u8>)>,
}

/// A report in the bytes of a line.
pub struct Said {
    pub id: Vec<u8>,
    pub location: Vec<u8>,
    pub time: Vec<u8>,
}
