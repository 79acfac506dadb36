//! herd's own journal and log behind `batched.rs`.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use herd::journal::{ENTRY_EXTRA, Entries, Journal, RealDisk};
use herd::logging::{self, Console, Sink, Wire};
use herd::node::Node;
use herd::protocol::{Command, Record};
use herd::store::Walk;
use tokio::sync::{mpsc, oneshot};

use crate::batched::{Keeper, Log};
use crate::{Herd, now_ns};

/// Between two syncs, as herd's.
const TICK: Duration = Duration::from_secs(1);

/// Batches that may wait for the task that appends, and how many it takes at once.
const WAITING: usize = 4_096;

/// An open journal, and a log.
pub struct Kept {
    journal: Arc<Journal>,
    sink: Arc<Sink>,
}

impl Kept {
    /// Opens what herd.conf names, learns what is in the journal, and has a thread of its own sync it once a second and compact it.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn open(herd: &Herd) -> io::Result<Kept> {
        let Herd { node, config, own, .. } = herd;
        let own = &config.servers[*own];
        let (path, bounds) = (config.log_path(own), config.log_bounds);
        let sink = logging::start(node.name(), &path, config.log_level, bounds, Console::start()?)?;
        let folder = config.data_path(own).ok_or_else(|| io::Error::other("data_dir is empty"))?;
        let (mut scratch, now) = (Vec::new(), now_ns());
        let (journal, _) = Journal::open(&folder, config.settings.sync, Box::new(RealDisk), |line| {
            let Ok(Command::At(fields)) = Command::parse(line) else { return false };
            node.restore(&Record::write(&fields, &mut scratch), now);
            true
        })?;
        let journal = Arc::new(journal);
        let (tended, node) = (journal.clone(), node.clone());
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(TICK);
                tend(&tended, &node);
            }
        });
        Ok(Kept { journal, sink })
    }

    /// Appends lines, each with its newline, in one write. That it failed changes nothing for whoever is answered, as with
    /// herd's `sync = "second"`; a round in which it does is void, as the server says so on stderr.
    fn append<'a>(&self, batches: impl Iterator<Item = &'a [u8]>, entries: &mut Entries) {
        entries.clear();
        for lines in batches {
            lines
                .split(|&byte| byte == b'\n')
                .filter(|line| !line.is_empty())
                .for_each(|line| entries.hear(line));
        }
        self.journal.keep(&*entries, |kept| {
            if kept.is_err() {
                log::error!("the journal takes nothing");
            }
        });
    }
}

fn tend(journal: &Journal, node: &Node) {
    let store = &node.store;
    let live_bytes = store.bytes() + (store.count() * ENTRY_EXTRA) as u64;
    journal.tend(live_bytes, &|keep| {
        let (mut walk, mut lines) = (Walk::all(), Vec::new());
        while walk.step(store, &mut lines) {
            let mut each = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
            each.try_for_each(&mut *keep)?;
            lines.clear();
        }
        Ok(())
    });
}

impl Keeper for Kept {
    type Log = Wired;

    fn log(&self, peer: SocketAddr) -> Wired {
        Wired::begin(&self.sink, peer)
    }

    async fn keep(&self, lines: &mut Vec<u8>) {
        // A write of some kilobytes into the page cache: less than handing it to another thread would take.
        self.append([lines.as_slice()].into_iter(), &mut Entries::default());
    }
}

/// One task appends for all connections: what waits while it writes is its next write.
pub struct Group {
    due: mpsc::Sender<Due>,
    sink: Arc<Sink>,
}

/// Lines to append, and who is told that they are.
struct Due {
    lines: Vec<u8>,
    done: oneshot::Sender<Vec<u8>>,
}

impl Group {
    /// Starts the task.
    pub fn start(kept: Kept) -> Group {
        let (sender, mut due) = mpsc::channel(WAITING);
        let sink = kept.sink.clone();
        tokio::spawn(async move {
            let (mut batch, mut entries) = (Vec::with_capacity(WAITING), Entries::default());
            while due.recv_many(&mut batch, WAITING).await > 0 {
                kept.append(batch.iter().map(|due: &Due| due.lines.as_slice()), &mut entries);
                for Due { lines, done } in batch.drain(..) {
                    // Nobody takes it whose connection broke meanwhile.
                    let _ = done.send(lines);
                }
            }
        });
        Group { due: sender, sink }
    }
}

impl Keeper for Group {
    type Log = Wired;

    fn log(&self, peer: SocketAddr) -> Wired {
        Wired::begin(&self.sink, peer)
    }

    async fn keep(&self, lines: &mut Vec<u8>) {
        let (done, told) = oneshot::channel();
        let due = Due { lines: std::mem::take(lines), done };
        if self.due.send(due).await.is_ok()
            && let Ok(back) = told.await
        {
            *lines = back;
        }
    }
}

/// herd's log of one connection.
pub struct Wired {
    wire: Wire,
    peer: SocketAddr,
    /// Something was logged since it was handed on.
    is_due: bool,
}

impl Wired {
    fn begin(sink: &Arc<Sink>, peer: SocketAddr) -> Wired {
        let mut wire = Wire::new(sink);
        wire.at(now_ns());
        wire.with(&peer);
        wire.opened();
        wire.commit();
        Wired { wire, peer, is_due: false }
    }
}

impl Log for Wired {
    fn answered(&mut self, line: &[u8], reply: &[u8]) {
        if !std::mem::replace(&mut self.is_due, true) {
            self.wire.at(now_ns());
            self.wire.with(&self.peer);
        }
        self.wire.received(line);
        if let Some(reply) = reply.strip_suffix(b"\n") {
            self.wire.sent(reply);
        }
    }

    fn commit(&mut self) {
        self.is_due = false;
        self.wire.commit();
    }
}

impl Drop for Wired {
    fn drop(&mut self) {
        self.wire.at(now_ns());
        self.wire.with(&self.peer);
        self.wire.closed("it ended", true);
        self.wire.commit();
    }
}
