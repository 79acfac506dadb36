//! The keeper: a thread for what takes longer than a worker's turn may. It makes digests for those
//! who ask, syncs and compacts the journal, and forgets clients that were not heard of for long.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::neighbours::Neighbours;
use super::socket;
use crate::digest::Digest;
use crate::journal::{ENTRY_EXTRA, Journal};
use crate::limits::{FORGET_SWEEP_S, KEEPER_JOBS, STORE_BUCKETS};
use crate::node::Node;
use crate::store::Wanted;
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

/// What the thread looks after.
pub struct Kept {
    pub node: Arc<Node>,
    pub neighbours: Arc<Neighbours>,
    pub journal: Option<Arc<Journal>>,
}

/// How often it looks.
const TICK: Duration = Duration::from_secs(1);

impl Keeper {
    /// Starts the thread. It ends at `stop`.
    pub fn start(kept: Kept) -> io::Result<(Keeper, JoinHandle<()>)> {
        let (jobs, due) = bounded(KEEPER_JOBS);
        let keeper = thread::spawn("keeper", move || run(&due, &kept))?;
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

fn run(due: &Receiver<Job>, kept: &Kept) {
    let mut tick_at = Instant::now() + TICK;
    let mut swept = 0;
    loop {
        // First, as jobs may wait without end, and be handed out however late it is.
        if Instant::now() >= tick_at {
            kept.tend();
            kept.forget(&mut swept);
            tick_at = Instant::now() + TICK;
        }
        match due.recv_deadline(tick_at) {
            Ok(Job::Digest(answer)) => answer(digest(&kept.node)),
            Ok(Job::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
    if let Some(journal) = &kept.journal {
        journal.sync();
    }
}

/// The digest of what a server knows now.
pub fn digest(node: &Node) -> Digest {
    node.store.digest(node.oldest_s(socket::posix_ns()))
}

impl Kept {
    fn tend(&self) {
        let Some(journal) = &self.journal else { return };
        let store = &self.node.store;
        let live_bytes = store.bytes() + (store.count() * ENTRY_EXTRA) as u64;
        journal.tend(live_bytes, &|keep| {
            // What was seen comes first: it is true of the store as it is from here on.
            self.neighbours.seen_lines().iter().try_for_each(|line| keep(line.as_bytes()))?;
            let mut lines = Vec::new();
            for bucket in 0..STORE_BUCKETS {
                lines.clear();
                store.copy_bucket(bucket, &Wanted::After(0), &mut lines);
                let mut each = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
                each.try_for_each(&mut *keep)?;
            }
            Ok(())
        });
        self.node.set_read_only(journal.is_strict() && journal.is_degraded());
    }

    /// Goes through a part of the store, all of it every `FORGET_SWEEP_S`.
    fn forget(&self, swept: &mut usize) {
        let Some(oldest_s) = self.node.oldest_s(socket::posix_ns()) else { return };
        let mut forgotten = 0;
        for _ in 0..STORE_BUCKETS.div_ceil(FORGET_SWEEP_S) {
            forgotten += self.node.store.forget(*swept, oldest_s);
            *swept = (*swept + 1) % STORE_BUCKETS;
        }
        if forgotten > 0 {
            log::debug!("forgot {forgotten} clients");
        }
    }
}
