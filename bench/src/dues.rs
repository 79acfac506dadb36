//! When reports were due and which of them are answered, for the thread that sees them come out of a stream. The
//! generator's connections write it.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Reports of a connection whose due times are known. An older one that is seen has no latency.
const KEPT: usize = 4_096;

/// Of all connections of a run. Connection `c` reports for the clients `c`, `c` + connections, and so on, in turn.
#[derive(Debug)]
pub struct Dues {
    /// From which due times count.
    pub start: OnceLock<Instant>,
    clients_each: usize,
    connections: Vec<Reports>,
}

/// Of one connection.
#[derive(Debug)]
struct Reports {
    /// Of report `n` at `n % KEPT`.
    due_ns: Box<[AtomicU64]>,
    pushed: AtomicU64,
    answered: AtomicU64,
}

/// What is known of a report that came out of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// None where it is too long ago.
    pub due_ns: Option<u64>,
    /// No newer one of its client is answered yet.
    pub is_newest: bool,
}

impl Dues {
    pub fn new(connections: usize, clients_each: usize) -> Dues {
        let reports = || Reports {
            due_ns: (0..KEPT).map(|_| AtomicU64::new(0)).collect(),
            pushed: AtomicU64::new(0),
            answered: AtomicU64::new(0),
        };
        Dues {
            start: OnceLock::new(),
            clients_each: clients_each.max(1),
            connections: (0..connections.max(1)).map(|_| reports()).collect(),
        }
    }

    pub fn push(&self, connection: usize, number: u64, due_ns: u64) {
        if let Some(reports) = self.connections.get(connection) {
            reports.due_ns[number as usize % KEPT].store(due_ns, Ordering::Relaxed);
            reports.pushed.store(number + 1, Ordering::Release);
        }
    }

    /// All reports before this one are answered.
    pub fn answer(&self, connection: usize, count: u64) {
        if let Some(reports) = self.connections.get(connection) {
            reports.answered.store(count, Ordering::Release);
        }
    }

    /// The number of the last report of a client that was answered, and one; 0 if there is none.
    pub fn count(&self, client: usize) -> u64 {
        let reports = &self.connections[client % self.connections.len()];
        let (each, turn) = (self.clients_each as u64, (client / self.connections.len()) as u64);
        let answered = reports.answered.load(Ordering::Acquire);
        match answered.checked_sub(turn + 1) {
            Some(behind) => behind / each * each + turn + 1,
            None => 0,
        }
    }

    /// What is known of this report of a client; None if nobody made it.
    pub fn see(&self, client: usize, number: u64) -> Option<Seen> {
        let reports = &self.connections[client % self.connections.len()];
        let turn = client / self.connections.len();
        let (each, pushed) = (self.clients_each as u64, reports.pushed.load(Ordering::Acquire));
        if turn >= self.clients_each || number % each != turn as u64 || number >= pushed {
            return None;
        }
        let due_ns = reports.due_ns[number as usize % KEPT].load(Ordering::Relaxed);
        let is_kept = reports.pushed.load(Ordering::Acquire) <= number + KEPT as u64;
        // The last report of this client that is answered is one of the last `each`.
        let is_newest = number + each >= reports.answered.load(Ordering::Acquire);
        Some(Seen { due_ns: is_kept.then_some(due_ns), is_newest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_the_newest_until_a_newer_one_of_its_client_is_answered() {
        let dues = Dues::new(2, 3);
        let seen = |client, number| dues.see(client, number);
        // Client 3 is of connection 1, and the second in turn there.
        assert_eq!(seen(3, 1), None);
        (0..2).for_each(|number| dues.push(1, number, 100 + number));
        assert_eq!(seen(3, 1), Some(Seen { due_ns: Some(101), is_newest: true }));
        (2..5).for_each(|number| dues.push(1, number, 100 + number));
        dues.answer(1, 4);
        assert_eq!(seen(3, 1), Some(Seen { due_ns: Some(101), is_newest: true }));
        dues.answer(1, 5);
        assert_eq!(seen(3, 1), Some(Seen { due_ns: Some(101), is_newest: false }));
        assert_eq!(seen(3, 4), Some(Seen { due_ns: Some(104), is_newest: true }));
        assert_eq!([1, 3, 5, 0].map(|client| dues.count(client)), [4, 5, 3, 0]);
        for (client, number) in [(3, 2), (3, 7), (1, 1), (7, 1), (0, 0)] {
            assert_eq!(seen(client, number), None, "{client} {number}");
        }
        (5..KEPT as u64 + 2).for_each(|number| dues.push(1, number, number));
        assert_eq!(seen(3, 1), Some(Seen { due_ns: None, is_newest: false }));
    }
}
