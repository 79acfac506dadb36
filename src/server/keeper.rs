//! The keeper: a thread for what takes longer than a worker's turn may. It makes digests of the
//! store for those who ask.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use crate::digest::Digest;
use crate::limits::KEEPER_JOBS;
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

impl Keeper {
    /// Starts the thread. It ends at `stop`.
    pub fn start(node: Arc<Node>) -> io::Result<(Keeper, JoinHandle<()>)> {
        let (jobs, due) = bounded(KEEPER_JOBS);
        let keeper = thread::spawn("keeper", move || run(&due, &node))?;
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

fn run(due: &Receiver<Job>, node: &Node) {
    while let Ok(Job::Digest(answer)) = due.recv() {
        answer(node.store.digest());
    }
}
