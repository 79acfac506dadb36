//! The keeper: a thread for what takes longer than a worker's turn may. It makes digests for those
//! who ask, and forgets clients that were not heard of for long.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::neighbours::Neighbours;
use super::socket;
use super::tally::Refusals;
use crate::digest::Digest;
use crate::limits::{CLOCK_SETTLE_S, FORGET_SWEEP_S, KEEPER_JOBS};
use crate::link::Steps;
use crate::node::Node;
use crate::thread;

/// What to call with a digest.
pub type Answer = Box<dyn FnOnce(Digest) + Send>;

pub struct Keeper {
    /// Bounded; a job too many is refused.
    jobs: Sender<Job>,
}

enum Job {
    Digest(Answer),
    Stop,
}

/// How often it looks for clients to forget.
const TICK: Duration = Duration::from_secs(1);

impl Keeper {
    /// Starts the thread. It ends at `stop`.
    pub fn start(
        node: Arc<Node>,
        neighbours: Arc<Neighbours>,
        refusals: Arc<Refusals>,
    ) -> io::Result<(Keeper, JoinHandle<()>)> {
        let (jobs, due) = bounded(KEEPER_JOBS);
        let keeper = thread::spawn("keeper", move || run(&due, &node, &neighbours, &refusals))?;
        Ok((Keeper { jobs }, keeper))
    }

    /// Has a digest made and given to `answer`; false when there is too much to do.
    pub fn digest(&self, answer: Answer) -> bool {
        self.jobs.try_send(Job::Digest(answer)).is_ok()
    }

    /// Ends the thread after what it has to do.
    pub fn stop(&self) {
        // It fails only when the thread has ended already.
        let _ = self.jobs.send(Job::Stop);
    }
}

fn run(due: &Receiver<Job>, node: &Node, neighbours: &Neighbours, refusals: &Refusals) {
    let mut tick_at = Instant::now() + TICK;
    let (mut swept, mut steps) = (0, Steps::starting(socket::posix_ns(), neighbours.now()));
    let mut summary = Summary { said: 0, at: Instant::now() };
    loop {
        // First, as jobs may wait without end, and be handed out however late it is.
        if Instant::now() >= tick_at {
            neighbours.reckon(node);
            summary.say_when_due(refusals);
            if is_clock_settled(&mut steps, neighbours.now()) {
                forget(node, &mut swept);
            }
            tick_at = Instant::now() + TICK;
        }
        match due.recv_deadline(tick_at) {
            Ok(Job::Digest(answer)) => answer(digest(node)),
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => return summary.say(refusals),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// What the log has been told of refused lines.
struct Summary {
    said: u64,
    at: Instant,
}

/// How often the log is told of refused lines at most.
const SUMMARY_REST: Duration = Duration::from_secs(60);

impl Summary {
    fn say_when_due(&mut self, refusals: &Refusals) {
        if self.at.elapsed() >= SUMMARY_REST {
            self.say(refusals);
        }
    }

    fn say(&mut self, refusals: &Refusals) {
        let total = refusals.total();
        if total != self.said {
            log::info!("{total} lines of clients were refused since the start, by rule: {refusals}");
        }
        (self.said, self.at) = (total, Instant::now());
    }
}

/// Looks for jumps of our own clock: nothing is forgotten by one that has just jumped.
fn is_clock_settled(steps: &mut Steps, now: Duration) -> bool {
    if let Some(step_ns) = steps.look(socket::posix_ns(), now) {
        let (seconds, side) =
            (step_ns.unsigned_abs() / 1_000_000_000, if step_ns < 0 { "back" } else { "forward" });
        log::warn!(
            "the clock of this machine jumped {side} by {seconds} s; forgetting nobody for {CLOCK_SETTLE_S} s"
        );
    }
    steps.is_settled(now)
}

/// The digest of what a server knows now.
pub fn digest(node: &Node) -> Digest {
    node.store.digest(node.oldest_s(socket::posix_ns()))
}

/// Goes through a part of the store, all of it every `FORGET_SWEEP_S`.
fn forget(node: &Node, swept: &mut usize) {
    let Some(oldest_s) = node.oldest_s(socket::posix_ns()) else { return };
    let (mut forgotten, buckets) = (0, node.store.buckets().count());
    for _ in 0..buckets.div_ceil(FORGET_SWEEP_S) {
        forgotten += node.store.forget(*swept, oldest_s);
        *swept = (*swept + 1) % buckets;
    }
    if forgotten > 0 {
        log::debug!("forgot {forgotten} clients");
    }
}
