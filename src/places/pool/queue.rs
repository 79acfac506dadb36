//! Lookups that wait for a thread. Addresses take turns, so that one that asks for much waits for itself, and when the
//! queue is full the address that has most in it loses its last one. The pool calls it.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Bounded; what is pushed when it is full comes out again, or another in its place.
pub struct Queue<T> {
    line: Mutex<Line<T>>,
    /// Somebody may take a thing, or is to end.
    changed: Condvar,
    max: usize,
}

struct Line<T> {
    /// Whose turn it is; each address that has something waiting is in it once.
    turns: VecDeque<IpAddr>,
    /// What waits, by address; never empty for one.
    waiting: HashMap<IpAddr, VecDeque<T>>,
    count: usize,
    is_closed: bool,
}

/// What was not taken into the queue.
#[derive(Debug, PartialEq)]
pub enum Refused<T> {
    /// It is full, and this goes.
    Full(T),
    Closed(T),
}

impl<T> Queue<T> {
    pub fn new(max: usize) -> Queue<T> {
        let (turns, waiting) = Default::default();
        let line = Line { turns, waiting, count: 0, is_closed: false };
        Queue { line: Mutex::new(line), changed: Condvar::new(), max: max.max(1) }
    }

    /// Puts something at the end of what an address has waiting.
    ///
    /// # Errors
    /// It is closed, or full; then the one that goes may be another's, whose address has more waiting than this.
    pub fn push(&self, address: IpAddr, thing: T) -> Result<(), Refused<T>> {
        let mut line = self.line();
        if line.is_closed {
            return Err(Refused::Closed(thing));
        }
        let mut goes = None;
        if line.count >= self.max {
            let own = line.waiting.get(&address).map_or(0, VecDeque::len);
            let most = line.waiting.iter().max_by_key(|(_, its)| its.len());
            let most = most.filter(|(_, its)| its.len() > own + 1).map(|(most, _)| *most);
            goes = most.and_then(|most| line.take_last(most));
            if goes.is_none() {
                return Err(Refused::Full(thing));
            }
        }
        line.put(address, thing);
        drop(line);
        self.changed.notify_one();
        goes.map_or(Ok(()), |goes| Err(Refused::Full(goes)))
    }

    /// The next thing, when there is one; None once it is closed and empty.
    pub fn take(&self) -> Option<T> {
        let mut line = self.line();
        loop {
            if let Some(thing) = line.take_next() {
                return Some(thing);
            }
            if line.is_closed {
                return None;
            }
            line = self.changed.wait(line).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Takes out what nobody wants any more.
    pub fn retain(&self, is_wanted: impl FnMut(&T) -> bool) {
        self.line().retain(is_wanted);
    }

    pub fn count(&self) -> usize {
        self.line().count
    }

    pub fn is_full(&self) -> bool {
        self.line().count >= self.max
    }

    /// Takes nothing more.
    pub fn close(&self) {
        self.line().is_closed = true;
        self.changed.notify_all();
    }

    fn line(&self) -> MutexGuard<'_, Line<T>> {
        // Each change is whole even after a panic elsewhere.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Line<T> {
    fn put(&mut self, address: IpAddr, thing: T) {
        let its = self.waiting.entry(address).or_default();
        if its.is_empty() {
            self.turns.push_back(address);
        }
        its.push_back(thing);
        self.count += 1;
    }

    fn take_next(&mut self) -> Option<T> {
        let address = self.turns.pop_front()?;
        let its = self.waiting.get_mut(&address)?;
        let thing = its.pop_front()?;
        self.count -= 1;
        if its.is_empty() {
            self.waiting.remove(&address);
        } else {
            self.turns.push_back(address);
        }
        Some(thing)
    }

    fn take_last(&mut self, address: IpAddr) -> Option<T> {
        let thing = self.waiting.get_mut(&address)?.pop_back()?;
        self.count -= 1;
        self.forget_idle();
        Some(thing)
    }

    fn retain(&mut self, mut is_wanted: impl FnMut(&T) -> bool) {
        self.waiting.values_mut().for_each(|its| its.retain(&mut is_wanted));
        self.count = self.waiting.values().map(VecDeque::len).sum();
        self.forget_idle();
    }

    /// Drops the turns of addresses that have nothing waiting any more.
    fn forget_idle(&mut self) {
        self.waiting.retain(|_, its| !its.is_empty());
        let waiting = &self.waiting;
        self.turns.retain(|address| waiting.contains_key(address));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: u8) -> IpAddr {
        [10, 0, 0, host].into()
    }

    #[test]
    fn addresses_take_turns() {
        let queue = Queue::new(8);
        for (host, thing) in [(1, "a1"), (1, "a2"), (1, "a3"), (2, "b1"), (3, "c1"), (2, "b2")] {
            assert_eq!(queue.push(at(host), thing), Ok(()));
        }
        queue.close();
        assert_eq!(queue.push(at(4), "d1"), Err(Refused::Closed("d1")));
        let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, ["a1", "b1", "c1", "a2", "b2", "a3"]);
    }

    #[test]
    fn when_it_is_full_the_address_with_most_loses_its_last_one() {
        let queue = Queue::new(4);
        for (host, thing, expected) in [
            (1, "a1", Ok(())),
            (1, "a2", Ok(())),
            (1, "a3", Ok(())),
            (1, "a4", Ok(())),
            (1, "a5", Err(Refused::Full("a5"))),
            (2, "b1", Err(Refused::Full("a4"))),
            (2, "b2", Err(Refused::Full("a3"))),
            (2, "b3", Err(Refused::Full("b3"))),
        ] {
            assert_eq!(queue.push(at(host), thing), expected, "{thing}");
        }
        assert!(queue.is_full());
        queue.retain(|thing| *thing != "b1" && *thing != "a1");
        assert_eq!(queue.push(at(3), "c1"), Ok(()));
        queue.close();
        let taken: Vec<_> = std::iter::from_fn(|| queue.take()).collect();
        assert_eq!(taken, ["a2", "b2", "c1"]);
    }
}
