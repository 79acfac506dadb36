//! The start of a server: its journal is read, its threads begin.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::flooder::Flood;
use super::journaling::{Journaled, Journaling};
use super::keeper::Keeper;
use super::link::{Link, LinkSettings, Outlet};
use super::neighbours::{Neighbour, Neighbours};
use super::tally::Refusals;
use super::turns::Turns;
use super::worker::Worker;
use super::{Desk, Server, Shared, Tallies, socket};
use crate::config::{self, Config, Settings};
use crate::journal::{Journal, RealDisk, SyncMode};
use crate::limits::RESERVED_DESCRIPTORS;
use crate::link::{Identity, KeyRing};
use crate::logging::Sink;
use crate::net::HostPort;
use crate::node::Node;
use crate::places::{Places, pool::Pool};
use crate::thread;

impl Server {
    /// Starts the server at `index` of the config on listeners of its own, at least one.
    ///
    /// # Errors
    /// The system has no room for a thread or a poller.
    pub fn start(
        config: &Config,
        index: usize,
        listeners: Vec<TcpListener>,
        places: Arc<dyn Places>,
        keys: KeyRing,
        sink: Arc<Sink>,
    ) -> io::Result<Server> {
        let own = &config.servers[index];
        let settings = config.settings.clone();
        let addresses = listeners.iter().map(TcpListener::local_addr).collect::<io::Result<_>>()?;
        let folder = config.data_path(own);
        let keeps_first = folder.is_some() && settings.sync == SyncMode::Always;
        let node = Node::new(&own.name, settings.max_ahead_ns)
            .forgetting(settings.forget_after_s)
            .holding(settings.max_clients);
        let node = Arc::new(node.keeping_first(keeps_first));
        let (journal, seen) = match folder {
            Some(folder) => open_journal(&folder, &settings, &node)?,
            None => (None, Vec::new()),
        };
        let incarnation = u64::from_be_bytes(socket::random()?);
        let own = Identity { name: own.name.as_str().into(), incarnation, conf: config.digest() };
        let (neighbours, links) = links(config, index, own, keys, &node, &sink)?;
        seen.iter().for_each(|line| neighbours.recall(line));
        let outlets = links.iter().map(|(outlet, _)| outlet.clone()).collect();
        let turns: Arc<[Turns]> = (0..settings.workers).map(|_| Turns::default()).collect();
        let (flood, flooder) =
            Flood::start(outlets, node.clone(), turns.clone(), sink.clone(), settings.timing)?;
        let refusals = Arc::new(Refusals::default());
        let (keeper, keeper_thread) = Keeper::start(node.clone(), neighbours.clone(), refusals.clone())?;
        let journaling = journal.clone().map(|journal| {
            Journaling::start(Journaled { journal, node: node.clone(), neighbours: neighbours.clone() })
        });
        let journaling = journaling.transpose()?;
        let shared = Arc::new(Shared {
            max_connections: room_for(settings.max_connections),
            desks: (0..settings.workers).map(|_| Desk::new()).collect::<io::Result<_>>()?,
            places: Pool::start(
                places,
                config.places.threads(),
                config.places.queue,
                config.places.total_timeout,
            )?,
            node,
            settings,
            neighbours,
            listeners,
            flood,
            keeper,
            journal,
            sink,
            open: AtomicUsize::new(0),
            stopping: AtomicBool::new(false),
            tallies: Tallies::default(),
            refusals,
            turns,
        });
        shared.desks[0].load.set_at_work(true);
        let links = links
            .into_iter()
            .map(|(outlet, link)| Ok((outlet, thread::spawn(link.thread_name(), move || link.run())?)))
            .collect::<io::Result<_>>()?;
        let worker = |index| {
            let worker = Worker::new(shared.clone(), index);
            thread::spawn(format!("worker-{index}"), move || worker.run())
        };
        let workers = (0..shared.desks.len()).map(worker).collect::<io::Result<_>>()?;
        Ok(Server { shared, addresses, workers, flooder, keeper: keeper_thread, journaling, links })
    }
}

/// Opens a server's journal and learns what is in it; returns it with its lines about neighbours.
#[expect(clippy::type_complexity, reason = "two things that only `start` takes apart")]
fn open_journal(
    folder: &Path,
    settings: &Settings,
    node: &Node,
) -> io::Result<(Option<Arc<Journal>>, Vec<Vec<u8>>)> {
    let (mut seen, mut scratch, begun) = (Vec::new(), Vec::new(), Instant::now());
    let (journal, replayed) = Journal::open(folder, settings.sync, Box::new(RealDisk), |line| {
        if line.starts_with(b"SEEN ") {
            seen.push(line.to_vec());
            return true;
        }
        node.restore(line, &mut scratch)
    })?;
    if replayed.bytes > 0 {
        let (entries, ms) = (replayed.entries, begun.elapsed().as_millis());
        log::info!("read {} clients from {entries} entries of the journal in {ms} ms", node.store.count());
    }
    if let Some(why) = replayed.doubt() {
        // What a neighbour is told to have been stored may be what was lost.
        seen.clear();
        log::warn!("the journal is damaged: {why}; neighbours are asked for everything");
    }
    Ok((Some(Arc::new(journal.resting(settings.timing.compact_rest))), seen))
}

/// The links of a server and what it knows of its neighbours' addresses. Names are left to the
/// links, because asking for one can take seconds.
#[expect(clippy::type_complexity, reason = "two lists that only `start` takes apart")]
fn links(
    config: &Config,
    index: usize,
    identity: Identity,
    keys: KeyRing,
    node: &Arc<Node>,
    sink: &Arc<Sink>,
) -> io::Result<(Arc<Neighbours>, Vec<(Arc<Outlet>, Link)>)> {
    let own = &config.servers[index];
    let others: Vec<_> = own.neighbours.iter().map(|&other| &config.servers[other]).collect();
    let known = others.iter().map(|other| Neighbour { name: other.name.clone(), plain: other.plain });
    let Settings { forget_after_s, timing, .. } = &config.settings;
    let hold = Duration::from_secs(forget_after_s.unwrap_or(0));
    let neighbours = Arc::new(Neighbours::new(identity, known.collect(), keys, hold, timing.heartbeat));
    let mut links = Vec::with_capacity(others.len());
    for (number, other) in (0..).zip(&others) {
        if let Ok(ip) = other.address.host.parse() {
            neighbours.update(number, &[SocketAddr::new(ip, other.address.port)]);
        }
        let settings = LinkSettings {
            name: other.name.clone(),
            target: other.address.clone(),
            source: source(own).filter(|_| !other.plain),
            plain: other.plain,
            refill: other.refill,
            write_timeout: config.settings.write_timeout,
            timing: config.settings.timing,
        };
        links.push(Link::new(number, settings, node.clone(), neighbours.clone(), sink.clone())?);
    }
    Ok((neighbours, links))
}

/// The address that neighbours know a server by, as far as it can dial from it: where it listens,
/// or, if that is everywhere, its `address`. A name would be asked of another resolver than theirs.
fn source(own: &config::Server) -> Option<HostPort> {
    let known = if own.listen.is_wildcard() { &own.address } else { &own.listen };
    Some(known.clone()).filter(|known| !own.listen.is_wildcard() || known.ip().is_some())
}

/// Raises the soft file limit as far as allowed and returns how many of `wanted` connections fit.
fn room_for(wanted: usize) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    // If it may not be raised, what it is now counts.
    let _ = setrlimit(Resource::Nofile, raised);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let room = files.saturating_sub(RESERVED_DESCRIPTORS).max(files / 2).max(1);
    let room = usize::try_from(room).unwrap_or(usize::MAX);
    if room < wanted {
        log::info!("holding at most {room} connections, as the file limit of {files} leaves (ulimit -n)");
    }
    wanted.min(room)
}
