//! The journal's thread: once a second it syncs, looks whether the files are in their place, and
//! compacts what has grown or is to be healed. What
//! it waits for, the disk, keeps nobody else waiting.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::neighbours::Neighbours;
use crate::journal::{ENTRY_EXTRA, Journal};
use crate::node::Node;
use crate::store::Wanted;
use crate::thread;

/// The running thread.
pub struct Journaling {
    journal: Arc<Journal>,
    /// Dropped to end it.
    going: Sender<()>,
    thread: JoinHandle<()>,
}

/// What it looks after.
pub struct Journaled {
    pub journal: Arc<Journal>,
    pub node: Arc<Node>,
    pub neighbours: Arc<Neighbours>,
}

/// How often it looks.
const TICK: Duration = Duration::from_secs(1);

impl Journaling {
    /// Starts the thread. It ends at `stop`.
    pub fn start(journaled: Journaled) -> io::Result<Journaling> {
        let (going, ended) = bounded(0);
        let journal = journaled.journal.clone();
        let thread = thread::spawn("journal", move || journaled.run(&ended))?;
        Ok(Journaling { journal, going, thread })
    }

    /// Ends the thread after a last sync; false when that takes longer.
    pub fn stop(self, deadline: Instant) -> bool {
        self.journal.stop();
        drop(self.going);
        thread::ends_by(&self.thread, deadline)
    }
}

impl Journaled {
    fn run(&self, ended: &Receiver<()>) {
        while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
            self.tend();
        }
        self.journal.finish(&|keep| self.write_all(keep));
    }

    fn tend(&self) {
        let (store, journal) = (&self.node.store, &self.journal);
        let live_bytes = store.bytes() + (store.count() * ENTRY_EXTRA) as u64;
        journal.tend(live_bytes, &|keep| self.write_all(keep));
        self.node.set_read_only(journal.is_strict() && journal.is_degraded());
    }
    /// Hands over every line that is to be kept.
    fn write_all(&self, keep: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        // What was seen comes first: it is true of the store as it is from here on.
        self.neighbours.seen_lines().iter().try_for_each(|line| keep(line.as_bytes()))?;
        let (store, mut lines) = (&self.node.store, Vec::new());
        for bucket in store.buckets() {
            lines.clear();
            store.copy_bucket(bucket, &Wanted::After(0), &mut lines);
            let mut each = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            each.try_for_each(&mut *keep)?;
        }
        Ok(())
    }
}
