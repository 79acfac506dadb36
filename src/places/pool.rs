//! The threads that ask the provider, so that a slow one holds no worker. Workers hand in lookups
//! with [`Pool::submit`] and are called back.

mod budget;
mod queue;

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, TryRecvError, bounded};

use self::budget::Budget;
use self::queue::{Queue, Refused};
use super::{Lookup, Places, PlacesError, Status, failure_json, no_results_json};
use crate::clock::posix_ns;
use crate::limits::PLACES_STACK_BYTES;
use crate::thread;

/// What is called with the answer.
type Done = Box<dyn FnOnce(Arc<[u8]>) + Send>;

/// A lookup by its bits, because `f64` has no `Eq`.
type Same = (u64, u64, u64, u8);

/// Dropping it is [`Pool::stop`] without waiting, but of one that is retired.
pub struct Pool {
    shared: Arc<Shared>,
    /// The pools whose place it has taken, while they have lookups under way.
    before: Vec<Weak<Shared>>,
    is_retired: AtomicBool,
    total: Duration,
    threads: Vec<JoinHandle<()>>,
    /// Disconnected when the last thread ended.
    ended: Receiver<()>,
}

/// A place in the queue. A lookup has one in the turns of each address that asks for it, and the first that comes up
/// counts: nobody waits longer because somebody else asks the same.
struct Place {
    job: u64,
    lookup: Lookup,
    address: IpAddr,
    deadline: Instant,
}

/// Who asks for a lookup.
pub struct Asker {
    /// Addresses take turns.
    pub address: IpAddr,
    /// Gone with the connection that the answer is for.
    pub alive: Weak<()>,
}

/// All who wait for the answer to one job.
struct Crowd {
    job: u64,
    all: Vec<Waiting>,
    /// Whose turns it has a place in.
    places: HashSet<IpAddr>,
    /// One of the places came up.
    is_asked: bool,
}

struct Waiting {
    alive: Weak<()>,
    done: Done,
}

/// What a pool may do.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub threads: usize,
    /// Lookups that wait; when there are more, one is answered at once as failed.
    pub queue: usize,
    /// For which a lookup may wait and be asked.
    pub total: Duration,
    /// Lookups a day that are sent to the provider; None for no bound.
    pub daily_budget: Option<u64>,
}

struct Shared {
    places: Arc<dyn Places>,
    /// Closing it ends the threads.
    jobs: Queue<Place>,
    budget: Arc<Budget>,
    stopping: AtomicBool,
    /// Who waits for each lookup that is queued or being asked. As long as the connections that
    /// have one WHATSAT each in hand, so bounded by their number.
    waiting: Mutex<HashMap<Same, Crowd>>,
    results: Arc<Results>,
    next_job: AtomicU64,
}

/// Lookups that were answered, and that failed, by status.
#[derive(Default)]
struct Results {
    answered: AtomicU64,
    failed: [AtomicU64; Status::ALL.len()],
}

impl Pool {
    /// Starts the threads, named `places-0` and so on.
    ///
    /// # Errors
    /// When the system gives no thread; those started by then end.
    pub fn start(places: Arc<dyn Places>, bounds: Bounds) -> io::Result<Pool> {
        Pool::start_behind(None, places, bounds)
    }

    /// One that is to take the place of this one, and goes on with its counts. Retire the one that is not used any more.
    ///
    /// # Errors
    /// The same.
    pub fn succeed(&self, places: Arc<dyn Places>, bounds: Bounds) -> io::Result<Pool> {
        let busy = self.before.iter().filter(|shared| shared.strong_count() > 0).cloned();
        let mut pool = Pool::start_behind(Some(&self.shared), places, bounds)?;
        pool.before = busy.chain([Arc::downgrade(&self.shared)]).collect();
        Ok(pool)
    }

    /// The budget of this day is by these bounds from now on: also for a pool whose place this one takes.
    pub fn bound_by(&self, bounds: &Bounds) {
        self.shared.budget.set_most(bounds.daily_budget);
    }

    fn start_behind(
        before: Option<&Arc<Shared>>,
        places: Arc<dyn Places>,
        bounds: Bounds,
    ) -> io::Result<Pool> {
        let budget = before.map(|before| before.budget.clone());
        let results = before.map(|before| before.results.clone());
        let (alive, ended) = bounded::<()>(1); // nothing is ever sent
        let shared = Arc::new(Shared {
            places,
            jobs: Queue::new(bounds.queue),
            budget: budget.unwrap_or_else(|| Arc::new(Budget::new(bounds.daily_budget))),
            stopping: AtomicBool::new(false),
            waiting: Mutex::default(),
            results: results.unwrap_or_default(),
            next_job: AtomicU64::default(),
        });
        let threads: io::Result<Vec<_>> = (0..bounds.threads.max(1))
            .map(|number| {
                let (shared, alive) = (shared.clone(), alive.clone());
                thread::spawn_with_stack(format!("places-{number}"), PLACES_STACK_BYTES, move || {
                    shared.serve();
                    drop(alive);
                })
            })
            .collect();
        if threads.is_err() {
            shared.jobs.close();
        }
        let (before, is_retired) = (Vec::new(), AtomicBool::new(false));
        Ok(Pool { shared, before, is_retired, total: bounds.total, threads: threads?, ended })
    }

    /// Asks what is near and calls `done` with the JSON, which of a failure says why. Never
    /// blocks. `done` runs on a places thread, or at once on this one when the queue is full or
    /// the answer is known to be empty; it should only pass the answer on.
    ///
    /// A lookup that equals one in flight shares its answer, and the deadline of the one whose turn comes first.
    pub fn submit(&self, lookup: Lookup, asker: Asker, done: impl FnOnce(Arc<[u8]>) + Send + 'static) {
        if lookup.bound == 0 || lookup.radius_m <= 0.0 {
            return done(no_results_json().into());
        }
        let Asker { address, alive } = asker;
        let one = Waiting { alive, done: Box::new(done) };
        let Some(job) = self.shared.join(&lookup, address, one) else { return };
        if self.shared.jobs.is_full() {
            self.shared.forget_gone();
        }
        let place = Place { job, lookup, address, deadline: Instant::now() + self.total };
        let (goes, why) = match self.shared.jobs.push(address, place) {
            Ok(()) => return,
            Err(Refused::Full(goes)) => (goes, "too many lookups waiting: try again shortly"),
            Err(Refused::Closed(goes)) => (goes, "stopping: ask another server"),
        };
        if self.shared.was_last(&goes) {
            self.shared.answer(&goes.lookup, Err(unasked(why)), Duration::ZERO);
        }
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
            if self.ended.try_recv() == Err(TryRecvError::Disconnected) {
                all &= thread.join().is_ok();
            } else {
                all = false;
            }
        }
        all
    }

    /// Lookups that wait for a thread.
    pub fn waiting(&self) -> usize {
        self.shared.jobs.count()
    }

    /// How many lookups came to what, since the start.
    pub fn results(&self) -> Vec<(&'static str, u64)> {
        let Results { answered, failed } = &*self.shared.results;
        let failed = Status::ALL.iter().zip(failed);
        let failed = failed.map(|(status, count)| (status.as_str(), count.load(Ordering::Relaxed)));
        [("OK", answered.load(Ordering::Relaxed))].into_iter().chain(failed).collect()
    }

    /// How many lookups may still be sent on this day; None when there is no bound.
    pub fn left_today(&self, now_ns: u64) -> Option<u64> {
        self.shared.budget.left(now_ns)
    }

    /// Ends the lookups in hand early and answers all others as failed.
    pub fn cancel(&self) {
        let before: Vec<_> = self.before.iter().filter_map(Weak::upgrade).collect();
        for shared in before.iter().chain([&self.shared]) {
            shared.stopping.store(true, Ordering::Release);
            shared.places.cancel();
        }
    }

    /// Another one has taken its place: its threads end with what is queued and under way, and nobody waits for them.
    pub fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
        self.shared.jobs.close();
    }

    fn quit(&self) {
        self.cancel();
        self.shared.jobs.close();
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        if !self.is_retired.load(Ordering::Acquire) {
            self.quit();
        }
    }
}

impl Shared {
    fn serve(&self) {
        while let Some(place) = self.jobs.take() {
            let Some(askers) = self.begin(&place) else { continue };
            let (lookup, deadline, begun) = (&place.lookup, place.deadline, Instant::now());
            let result = if self.stopping.load(Ordering::Acquire) {
                Err(unasked("stopping: ask another server"))
            } else if begun >= deadline {
                Err(unasked("the lookup waited too long for its turn: try again shortly"))
            } else {
                self.budget.spend(&askers, posix_ns()).and_then(|()| self.places.nearby(lookup, deadline))
            };
            self.answer(lookup, result, begun.elapsed());
        }
    }

    /// Has one more wait for a lookup. Returns the job that needs a place in the turns of its address, if one does.
    fn join(&self, lookup: &Lookup, address: IpAddr, one: Waiting) -> Option<u64> {
        let mut waiting = self.waiting();
        let crowd = waiting.entry(same(lookup)).or_insert_with(|| Crowd {
            job: self.next_job.fetch_add(1, Ordering::Relaxed),
            all: Vec::new(),
            places: HashSet::new(),
            is_asked: false,
        });
        crowd.all.push(one);
        let needs_place = !crowd.is_asked && crowd.places.insert(address);
        needs_place.then_some(crowd.job)
    }

    /// A place has come up: who asks for its lookup, if anybody still waits for it. If not it is forgotten, so that
    /// whoever asks the same from now on has it queued anew.
    fn begin(&self, place: &Place) -> Option<Vec<IpAddr>> {
        let mut waiting = self.waiting();
        let crowd = waiting.get_mut(&same(&place.lookup)).filter(|crowd| crowd.waits_for(place))?;
        if !crowd.is_there() {
            waiting.remove(&same(&place.lookup));
            return None;
        }
        crowd.is_asked = true;
        let askers: Vec<_> = crowd.places.drain().collect();
        drop(waiting);
        if askers.len() > 1 {
            self.jobs.retain(|other| other.job != place.job);
        }
        Some(askers)
    }

    /// Notes that a place is not in the queue; true if its lookup has no other one, and is to be answered.
    fn was_last(&self, place: &Place) -> bool {
        let mut waiting = self.waiting();
        let crowd = waiting.get_mut(&same(&place.lookup)).filter(|crowd| crowd.waits_for(place));
        crowd.is_some_and(|crowd| crowd.places.remove(&place.address) && crowd.places.is_empty())
    }

    /// Takes out of the queue what nobody waits for any more.
    fn forget_gone(&self) {
        let mut gone = HashSet::new();
        self.waiting().retain(|_, crowd| {
            let is_there = crowd.is_there();
            if !is_there {
                gone.insert(crowd.job);
            }
            is_there
        });
        self.jobs.retain(|place| !gone.contains(&place.job));
    }

    /// Answers all who wait for the lookup, and is the one place that logs it.
    fn answer(&self, lookup: &Lookup, result: Result<Vec<u8>, PlacesError>, took: Duration) {
        let all = self.waiting().remove(&same(lookup)).map_or_else(Vec::new, |crowd| crowd.all);
        let counter = match &result {
            Ok(_) => &self.results.answered,
            Err(error) => &self.results.failed[error.status as usize],
        };
        counter.fetch_add(1, Ordering::Relaxed);
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
            all.len(),
        );
        let json: Arc<[u8]> = result.unwrap_or_else(|error| failure_json(&error)).into();
        for one in all {
            (one.done)(json.clone());
        }
    }

    fn waiting(&self) -> MutexGuard<'_, HashMap<Same, Crowd>> {
        // Each change is one map operation, so the map is whole even after a panic elsewhere.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Crowd {
    /// Whether a place is one of its own, and none has come up before.
    fn waits_for(&self, place: &Place) -> bool {
        self.job == place.job && !self.is_asked
    }

    /// Whether anybody of them is still there.
    fn is_there(&mut self) -> bool {
        self.all.retain(|one| one.alive.strong_count() > 0);
        !self.all.is_empty()
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
