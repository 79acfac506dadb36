//! The threads that ask the provider, so that a slow one holds no worker. Workers hand in lookups
//! with [`Pool::submit`] and are called back.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, TrySendError, bounded};

use super::{Lookup, Places, PlacesError, Status, failure_json, no_results_json};
use crate::limits::PLACES_STACK_BYTES;
use crate::thread;

/// What is called with the answer.
type Done = Box<dyn FnOnce(Arc<[u8]>) + Send>;

/// A lookup by its bits, because `f64` has no `Eq`.
type Same = (u64, u64, u64, u8);

/// Dropping it is [`Pool::stop`] without waiting.
pub struct Pool {
    shared: Arc<Shared>,
    total: Duration,
    /// When full, the lookup is answered at once as failed: this server has too many waiting.
    /// Dropping it ends the threads.
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
    /// Disconnected when the last thread ended.
    ended: Receiver<()>,
}

struct Job {
    lookup: Lookup,
    deadline: Instant,
}

struct Shared {
    places: Arc<dyn Places>,
    stopping: AtomicBool,
    /// Who waits for each lookup that is queued or being asked. As long as the connections that
    /// have one WHATSAT each in hand, so bounded by their number.
    waiting: Mutex<HashMap<Same, Vec<Done>>>,
}

impl Pool {
    /// Starts `threads` threads named `places-0` and so on, before which at most `queue` lookups
    /// wait, each given up `total` after it was submitted.
    ///
    /// # Errors
    /// When the system gives no thread; those started by then end.
    pub fn start(places: Arc<dyn Places>, threads: usize, queue: usize, total: Duration) -> io::Result<Pool> {
        let (sender, jobs) = bounded(queue.max(1)); // full: see `Pool::jobs`
        let (alive, ended) = bounded::<()>(1); // nothing is ever sent
        let stopping = AtomicBool::new(false);
        let shared = Arc::new(Shared { places, stopping, waiting: Mutex::default() });
        let threads: io::Result<Vec<_>> = (0..threads.max(1))
            .map(|number| {
                let (shared, jobs, alive) = (shared.clone(), jobs.clone(), alive.clone());
                thread::spawn_with_stack(format!("places-{number}"), PLACES_STACK_BYTES, move || {
                    shared.serve(&jobs);
                    drop(alive);
                })
            })
            .collect();
        Ok(Pool { shared, total, jobs: Some(sender), threads: threads?, ended })
    }

    /// Asks what is near and calls `done` with the JSON, which of a failure says why. Never
    /// blocks. `done` runs on a places thread, or at once on this one when the queue is full or
    /// the answer is known to be empty; it should only pass the answer on.
    ///
    /// A lookup that equals one in flight shares its answer, and its deadline.
    pub fn submit(&self, lookup: Lookup, done: impl FnOnce(Arc<[u8]>) + Send + 'static) {
        if lookup.bound == 0 || lookup.radius_m <= 0.0 {
            return done(no_results_json().into());
        }
        {
            let mut waiting = self.shared.waiting();
            if let Some(others) = waiting.get_mut(&same(&lookup)) {
                others.push(Box::new(done));
                return;
            }
            waiting.insert(same(&lookup), vec![Box::new(done)]);
        }
        let job = Job { lookup, deadline: Instant::now() + self.total };
        let why = match self.jobs.as_ref().map(|jobs| jobs.try_send(job)) {
            Some(Ok(())) => return,
            Some(Err(TrySendError::Full(_))) => "too many lookups waiting: try again shortly",
            Some(Err(TrySendError::Disconnected(_))) | None => "stopping: ask another server",
        };
        self.shared.answer(&lookup, Err(unasked(why)), Duration::ZERO);
    }

    /// Takes no more lookups, ends those in hand early and waits for the threads until
    /// `deadline`. Those still queued are answered as failed. Says whether all threads ended.
    pub fn stop(mut self, deadline: Instant) -> bool {
        self.quit();
        // Nothing is ever sent, so an error is either the deadline or the end of all threads.
        let _ = self.ended.recv_deadline(deadline);
        let mut all = true;
        for thread in self.threads.drain(..) {
            // The last of a thread's life is a matter of microseconds once `ended` says so.
            if self.ended.try_recv() == Err(crossbeam_channel::TryRecvError::Disconnected) {
                all &= thread.join().is_ok();
            } else {
                all = false;
            }
        }
        all
    }

    /// Ends the lookups in hand early and answers all others as failed.
    pub fn cancel(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        self.shared.places.cancel();
    }

    fn quit(&mut self) {
        self.cancel();
        self.jobs = None;
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if self.jobs.is_some() {
            self.quit();
        }
    }
}

impl Shared {
    fn serve(&self, jobs: &Receiver<Job>) {
        for Job { lookup, deadline } in jobs {
            let begun = Instant::now();
            let result = if self.stopping.load(Ordering::Acquire) {
                Err(unasked("stopping: ask another server"))
            } else if begun >= deadline {
                Err(unasked("the lookup waited too long for its turn: try again shortly"))
            } else {
                self.places.nearby(&lookup, deadline)
            };
            self.answer(&lookup, result, begun.elapsed());
        }
    }

    /// Answers all who wait for the lookup, and is the one place that logs it.
    fn answer(&self, lookup: &Lookup, result: Result<Vec<u8>, PlacesError>, took: Duration) {
        let waiting = self.waiting().remove(&same(lookup)).unwrap_or_default();
        let outcome = match &result {
            Ok(json) => format!("{} bytes", json.len()),
            Err(error) => error.to_string(),
        };
        log::info!(
            "places: {},{} within {} m, at most {}: {outcome}, {:.1} ms, {} waiting",
            lookup.latitude_deg,
            lookup.longitude_deg,
            lookup.radius_m,
            lookup.bound,
            took.as_secs_f64() * 1e3,
            waiting.len(),
        );
        let json: Arc<[u8]> = result.unwrap_or_else(|error| failure_json(&error)).into();
        for done in waiting {
            done(json.clone());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Same, Vec<Done>>> {
        // Each change is one map operation, so the map is whole even after a panic elsewhere.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn same(lookup: &Lookup) -> Same {
    let Lookup { latitude_deg, longitude_deg, radius_m, bound } = *lookup;
    (latitude_deg.to_bits(), longitude_deg.to_bits(), radius_m.to_bits(), bound)
}

fn unasked(why: &str) -> PlacesError {
    PlacesError::new(Status::UnknownError, format!("this server: {why}"))
}

#[cfg(test)]
mod tests;
