//! Where a neighbour is dialled, and from where. A reload may change it while the dialler's thread goes on.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::net::HostPort;

/// What a dialler's thread looks up whenever it dials.
pub struct Route(Mutex<Ends>);

/// The two ends of a connection to come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ends {
    /// Where the neighbour listens.
    pub target: HostPort,
    /// Where this server listens, by which the neighbour knows it; None for a wildcard, and for a plain
    /// neighbour, which does not ask.
    pub source: Option<HostPort>,
}

impl Route {
    pub fn new(ends: Ends) -> Route {
        Route(Mutex::new(ends))
    }

    pub fn ends(&self) -> Ends {
        self.lock().clone()
    }

    /// Says whether that is another way.
    pub fn lead(&self, ends: Ends) -> bool {
        let mut own = self.lock();
        let is_new = *own != ends;
        *own = ends;
        is_new
    }

    fn lock(&self) -> MutexGuard<'_, Ends> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
