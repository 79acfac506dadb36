//! What phones said, from when it was read to when it is learned: meanwhile others may have to be looked for.

use std::collections::HashMap;
use std::sync::Arc;

use super::site::Reserved;
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
    /// How much does not count, by the reason and the client of whom it would; empty where nobody says.
    pub ignored: HashMap<(Reason, Vec<u8>), u64>,
    /// The room that what was said has taken, and what was read of it takes.
    pub _reserved: Option<Arc<Reserved>>,
}

impl Heard {
    /// One more that does not count.
    pub fn ignore(&mut self, reason: Reason, client: Vec<u8>) {
        *self.ignored.entry((reason, client)).or_default() += 1;
    }
}

/// A report in the bytes of a line.
#[derive(PartialEq, Eq)]
pub struct Said {
    pub id: Vec<u8>,
    pub location: Vec<u8>,
    pub time: Vec<u8>,
}
