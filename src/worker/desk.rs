//! Where a worker is reached by other threads.

use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::balance::Load;
use super::room::Guest;
use crate::door::Answer;
use crate::net::{AnyStream, Poller};

/// A worker's poller and its inbox.
pub struct Desk {
    pub poller: Poller,
    /// Bounded by the connections: each is in at most one letter. None once the worker has ended.
    inbox: Mutex<Option<Vec<Letter>>>,
    pub load: Load,
}

/// What other threads send a worker.
pub enum Letter {
    /// A connection that is the worker's from now on.
    Guest(Box<Guest<AnyStream>>),
    /// The answer that a connection waits for.
    Answer { key: u64, answer: Answer },
}

impl Desk {
    pub fn new() -> io::Result<Desk> {
        Ok(Desk { poller: Poller::with_lanes()?, inbox: Mutex::new(Some(Vec::new())), load: Load::default() })
    }

    /// Gives the worker a letter, or gives it back when the worker has ended.
    pub fn post(&self, letter: Letter) -> Result<(), Letter> {
        let mut inbox = self.inbox();
        let Some(letters) = inbox.as_mut() else { return Err(letter) };
        letters.push(letter);
        if letters.len() == 1 {
            drop(inbox);
            self.poller.wake();
        }
        Ok(())
    }

    pub fn take_letters(&self) -> Vec<Letter> {
        self.inbox().as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Takes no more letters, unless there are some to be opened first; says whether it is closed.
    pub fn close(&self) -> bool {
        let mut inbox = self.inbox();
        if inbox.as_ref().is_some_and(Vec::is_empty) {
            *inbox = None;
        }
        inbox.is_none()
    }

    pub fn is_closed(&self) -> bool {
        self.inbox().is_none()
    }

    fn inbox(&self) -> MutexGuard<'_, Option<Vec<Letter>>> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
