//! How far a neighbour is behind, for `--agree` and the log. An outbox says where it stands; whoever asks counts
//! the clients.

use std::time::Duration;

/// How far a neighbour is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lag {
    pub is_up: bool,
    /// Clients of which it is not known to have the latest record.
    pub clients: u64,
    /// Since when it is not known to have everything.
    pub time: Duration,
}

/// How far the sending has come, taken out from behind the link's lock.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    pub(super) is_up: bool,
    /// The neighbour has all up to this epoch, in which so many records had been news by then.
    pub(super) seen: u32,
    pub(super) confirmed: u64,
    pub(super) unconfirmed_since: Option<Duration>,
}

impl Position {
    /// How far the neighbour is behind, when so many records have been news and it is so late.
    /// `count_after` counts the clients of which a record was learned after an epoch.
    pub fn lag(&self, total: u64, now: Duration, count_after: impl FnOnce(u32) -> u64) -> Lag {
        let clients = if total <= self.confirmed { 0 } else { count_after(self.seen) };
        // What is newer than the last mark is not late yet.
        let since = self.unconfirmed_since.filter(|_| clients > 0);
        let time = since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        Lag { is_up: self.is_up, clients, time }
    }
}
