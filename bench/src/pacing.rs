//! When commands are due. Closed: a connection's next is due when a reply made room for it. Open:
//! command `i` is due at `i / rate`, whatever the server does, and its latency counts from then, so
//! that a stall shows in every command it delayed (no coordinated omission).

/// How commands follow one another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// Every connection has so many commands under way at all times.
    Closed { depth: usize },
    /// So many commands a second over all connections, in turn.
    Open { per_second: f64 },
}

/// The times of an open loop, in ns from its start.
#[derive(Debug)]
pub struct Schedule {
    per_second: f64,
    issued: u64,
}

impl Schedule {
    pub fn new(per_second: f64) -> Schedule {
        Schedule { per_second, issued: 0 }
    }

    /// When the next command is due.
    pub fn next_due_ns(&self) -> u64 {
        due_ns(self.per_second, self.issued)
    }

    /// The next command's number and due time, if it is due by now.
    pub fn take(&mut self, now_ns: u64) -> Option<(u64, u64)> {
        let due_ns = self.next_due_ns();
        (due_ns <= now_ns).then(|| {
            self.issued += 1;
            (self.issued - 1, due_ns)
        })
    }
}

/// When the command of this number is due.
pub fn due_ns(per_second: f64, number: u64) -> u64 {
    (number as f64 / per_second * 1e9) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_due_at_the_rate_and_none_is_left_out_after_a_pause() {
        let mut schedule = Schedule::new(1_000.0);
        assert_eq!(schedule.take(0), Some((0, 0)));
        assert_eq!(schedule.take(999_999), None);
        assert_eq!(schedule.take(1_000_000), Some((1, 1_000_000)));
        let late: Vec<_> = std::iter::from_fn(|| schedule.take(10_000_000)).collect();
        assert_eq!(late.len(), 9);
        assert_eq!((late[0], late[8]), ((2, 2_000_000), (10, 10_000_000)));
    }

    #[test]
    fn a_long_run_does_not_drift() {
        let mut schedule = Schedule::new(70_000.0);
        let mut count = 0;
        while schedule.take(60_000_000_000).is_some() {
            count += 1;
        }
        assert_eq!(count, 70_000 * 60 + 1);
    }
}
