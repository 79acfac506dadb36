//! The thread `journal`: once a second, or less often while nothing is written, it syncs, looks whether the files are in
//! their place, and compacts what has grown or is to be healed. What it waits for, the disk, keeps nobody else waiting.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::journal::{ENTRY_EXTRA, Journal};
use crate::limits::{TENDING_IDLE_MS, TENDING_TICK_MS};
use crate::link::Neighbours;
use crate::node::Node;
use crate::store::Walk;
use crate::thread;

/// The running thread.
pub struct Tending {
    journal: Arc<Journal>,
    thread: JoinHandle<()>,
}

/// What is in the journal.
pub struct Tended {
    pub node: Arc<Node>,
    pub neighbours: Arc<Neighbours>,
}

/// Between two looks at the journal.
const TICK: Duration = Duration::from_millis(TENDING_TICK_MS);
const IDLE: Duration = Duration::from_millis(TENDING_IDLE_MS);

impl Tending {
    /// Starts the thread. It ends at `stop`.
    pub fn start(journal: Arc<Journal>, tended: Tended) -> io::Result<Tending> {
        let own = journal.clone();
        let thread = thread::spawn("journal", move || run(&own, &tended))?;
        Ok(Tending { journal, thread })
    }

    /// Ends the thread after a last sync; false when that takes longer.
    pub fn stop(self, deadline: Instant) -> bool {
        self.journal.stop();
        thread::ends_by(&self.thread, deadline)
    }
}

fn run(journal: &Journal, tended: &Tended) {
    // At once, too: a server that is restarted again and again may not live for a tick.
    tended.tend(journal);
    while journal.rest(TICK, IDLE) {
        tended.tend(journal);
    }
    journal.finish(&|keep| tended.write_all(keep));
}

impl Tended {
    /// Looks after the journal.
    pub fn tend(&self, journal: &Journal) {
        let store = &self.node.store;
        let live_bytes = store.bytes() + ((store.count() + store.notes()) * ENTRY_EXTRA) as u64;
        journal.tend(live_bytes, &|keep| self.write_all(keep));
    }

    /// Hands over every line that is to be kept.
    fn write_all(&self, keep: &mut dyn FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
        // What was seen comes first: it is true of the store as it is from here on.
        self.neighbours.seen_lines().iter().try_for_each(|line| keep(line.as_bytes()))?;
        let (mut walk, mut lines) = (Walk::all(), Vec::new());
        while walk.step(&self.node.store, &mut lines) {
            let mut each = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            each.try_for_each(&mut *keep)?;
            lines.clear();
        }
        Ok(())
    }
}
