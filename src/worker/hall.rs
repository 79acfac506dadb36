//! What all workers of a server share, and a worker's seat in it: the world around its room.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::accept::count_refused;
use super::desk::{Desk, Letter};
use super::entrance::{Admission, Entrance};
use super::live::{Copy, Live};
use super::room::Outside;
use super::unsent::Unsent;
use crate::clock::{self, Clock, Moment};
use crate::door::{Answer, Kin, Manners, Order, Outcome, Question, crowd};
use crate::limits::{ERRANDS_MAX, ERRANDS_OF_CLIENTS, PHONE_BATCHES_MAX};
use crate::logging::Sink;
use crate::net::{AnyStream, Interest, Lane, Watch};
use crate::places::pool::{Asker, Pool};
use crate::status::HallStatus;
use crate::turn::Core;

/// What all workers share.
pub struct Hall {
    pub core: Arc<Core>,
    pub entrance: Entrance,
    pub unsent: Unsent,
    /// One a worker.
    pub desks: Vec<Desk>,
    pub places: Live<Pool>,
    pub errands: Errands,
    /// What takes longer than a turn may of what phones say, for a thread of its own: they may come by the thousand.
    pub batches: Errands,
    pub terms: Live<Terms>,
    pub control: Control,
    pub clock: Clock,
    pub sink: Arc<Sink>,
    /// The first worker has those who report apart from all others, as the journal's disk is slow.
    pub is_parted: AtomicBool,
    /// When `stop` was called, by the time that the clock counts.
    pub stopped_at: OnceLock<Duration>,
}

/// On what connections are served.
pub struct Terms {
    pub manners: Manners,
    pub write_timeout: Duration,
    /// What tells the herd.conf that says so from another.
    pub config: u64,
}

/// Passes on what somebody who may do so orders the server to do, and has them told what came of it; false when too much
/// is ordered already.
pub type Control = Box<dyn Fn(Order, Told) -> bool + Send + Sync>;

/// What is called with what came of an order.
pub type Told = Box<dyn FnOnce(Outcome) + Send>;

/// What takes longer than a turn may, on its way to the thread that does it.
pub struct Errands {
    /// Bounded; an errand too many is refused.
    queue: Sender<Errand>,
}

pub enum Errand {
    Do(Box<dyn FnOnce(Moment) + Send>),
    /// The last one.
    Stop,
}

impl Hall {
    /// Has clients served from now on.
    pub fn open(&self) {
        self.entrance.open();
        self.desks.iter().for_each(|desk| desk.poller.wake());
    }

    /// Has every worker stop.
    pub fn stop(&self) {
        self.stopped_at.get_or_init(|| self.clock.up());
        self.desks.iter().for_each(|desk| desk.poller.wake());
    }

    /// What can be said of connections, of lookups and of the log.
    fn status(&self, now: Moment) -> HallStatus {
        let [guests, on_trial, herd] = self.entrance.count();
        let places = self.places.get();
        HallStatus {
            guests,
            on_trial,
            herd,
            unsent_bytes: self.unsent.bytes(),
            lookups_waiting: places.waiting(),
            lookups: places.results(),
            lookups_left_today: places.left_today(now.posix_ns),
            log_dropped: self.sink.lost(),
            config: self.terms.get().config,
        }
    }

    pub fn is_stopping(&self) -> bool {
        self.stopped_at.get().is_some()
    }
}

impl Errands {
    /// The two ends of a queue of so many at most.
    pub fn new(most: usize) -> (Errands, Receiver<Errand>) {
        let (queue, due) = bounded(most);
        (Errands { queue }, due)
    }

    /// Has an errand done; false when so many wait already.
    pub fn send(&self, most: usize, errand: impl FnOnce(Moment) + Send + 'static) -> bool {
        self.queue.len() < most && self.queue.try_send(Errand::Do(Box::new(errand))).is_ok()
    }

    /// Ends the thread after what it has to do.
    pub fn stop(&self) {
        // It fails only when the thread has ended already.
        let _ = self.queue.send(Errand::Stop);
    }
}

/// One worker's place in the hall.
pub struct Seat {
    hall: Arc<Hall>,
    index: usize,
    terms: Copy<Terms>,
}

impl Seat {
    pub fn new(hall: Arc<Hall>, index: usize) -> Seat {
        let terms = hall.terms.copy();
        Seat { hall, index, terms }
    }

    fn desk(&self) -> &Desk {
        &self.hall.desks[self.index]
    }

    /// Has what takes long found out by the errands' thread, and the answer posted. No more than `most` may wait.
    fn find_out(&self, key: u64, most: usize, question: Question) -> bool {
        let (hall, index) = (self.hall.clone(), self.index);
        self.hall.errands.send(most, move |now| {
            if hall.is_stopping() && matches!(question, Question::Digest(_)) {
                // Its neighbour asks again; clients are owed their answers.
                return;
            }
            let answer = question.answer(&hall.core, hall.status(now), now);
            // A worker that has ended has nobody left to answer.
            let _ = hall.desks[index].post(Letter::Answer { key, answer });
        })
    }
}

impl Outside<AnyStream> for Seat {
    fn core(&self) -> &Core {
        &self.hall.core
    }

    fn manners(&self) -> &Manners {
        &self.terms.get().manners
    }

    fn refresh(&mut self) -> bool {
        self.hall.terms.refresh(&mut self.terms)
    }

    fn write_timeout(&self) -> Duration {
        self.terms.get().write_timeout
    }

    fn ask(&self, key: u64, asker: Asker, question: Question) -> bool {
        match question {
            Question::Places(lookup) => {
                let (hall, index) = (self.hall.clone(), self.index);
                let asker = Asker { address: crowd(asker.address), ..asker };
                self.hall.places.get().submit(lookup, asker, move |json| {
                    // A worker ends only when none of its connections waits for places.
                    let _ = hall.desks[index].post(Letter::Answer { key, answer: Answer::Places(json) });
                });
                true
            }
            Question::Feed(reader) => {
                let (hall, index) = (self.hall.clone(), self.index);
                self.hall.core.flood.feed.ask(*reader, asker.alive, move |reader, bytes| {
                    // A worker that has ended has nobody left to tell.
                    let answer = Answer::Feed { reader, bytes };
                    let _ = hall.desks[index].post(Letter::Answer { key, answer });
                })
            }
            Question::Order(order) => {
                let (hall, index) = (self.hall.clone(), self.index);
                let told = move |outcome| {
                    // A worker that has ended has nobody left to tell.
                    let _ = hall.desks[index].post(Letter::Answer { key, answer: Answer::Outcome(outcome) });
                };
                (self.hall.control)(order, Box::new(told))
            }
            // Of what clients ask fewer may wait, so that neighbours are not kept waiting.
            Question::Digest(_) | Question::Status(_) => self.find_out(key, ERRANDS_MAX, question),
            Question::Clients(_) | Question::Friends(_) | Question::Near(_) | Question::Count => {
                self.find_out(key, ERRANDS_OF_CLIENTS, question)
            }
            Question::Phone(message) => {
                let (hall, index, alive) = (self.hall.clone(), self.index, asker.alive);
                self.hall.batches.send(PHONE_BATCHES_MAX, move |_| {
                    // Nobody is told that it counts, so the phone still has it.
                    if alive.upgrade().is_none() {
                        return;
                    }
                    let (heard, friends) = message.answer(&hall.core.node);
                    // A worker that has ended has nobody left to answer.
                    let answer = Answer::Phone(Box::new(heard), friends);
                    let _ = hall.desks[index].post(Letter::Answer { key, answer });
                })
            }
        }
    }

    fn unsent(&self) -> &Unsent {
        &self.hall.unsent
    }

    fn prove(&self, admission: Admission, kin: Kin, address: IpAddr) -> Admission {
        self.hall.entrance.prove(admission, kin, address)
    }

    fn left(&self, admission: Admission, address: SocketAddr) {
        let Hall { entrance, core, clock, .. } = &*self.hall;
        entrance.leave(admission, address.ip());
        if let Admission::OnTrial(lack) = admission {
            count_refused(address, lack, entrance, &core.tallies, clock.up());
        }
    }

    fn posix_ns(&self) -> u64 {
        clock::posix_ns()
    }
}

impl Watch<AnyStream> for Seat {
    fn add(&self, lane: Lane, stream: &AnyStream, key: u64, interest: Interest) -> io::Result<()> {
        self.desk().poller.add_in(lane, stream, key, interest)
    }

    fn modify(&self, stream: &AnyStream, key: u64, interest: Interest) -> io::Result<()> {
        self.desk().poller.modify(stream, key, interest)
    }

    fn remove(&self, stream: &AnyStream) -> io::Result<()> {
        self.desk().poller.remove(stream)
    }
}
