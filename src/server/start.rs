//! The start of a server: its journal is read, its parts are made, its threads begin.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::backbone::Running;
use super::batches;
use super::capacity::capacity;
use super::sweeps::{self, Sweeps};
use super::tending::{Tended, Tending};
use super::{LinkThread, Server, Threads};
use crate::clock::Clock;
use crate::config::{self, Config, Settings};
use crate::dialler::{Backbone, Dialler, DiallerSettings, Ends, EngineSettings};
use crate::door::http::Site;
use crate::door::{DoorKind, Manners};
use crate::feed::{Bounds as FeedBounds, Feeder};
use crate::flood::{self, Flood, Flooder};
use crate::journal::{Disk, Journal, RealDisk, SyncMode};
use crate::limits::{DRAIN_MS, ERRANDS_MAX, PHONE_BATCHES_MAX, PROGRESS_LINES, STOP_DRAIN_PERCENT};
use crate::link::{ENGINE, Identity, KeyRing, Kind, Links, Neighbour, Neighbours, keys};
use crate::logging::{Sink, Wire, count};
use crate::net::{HostPort, Listener};
use crate::node::{Bounds, NeighbourId, Node};
use crate::places::Places;
use crate::places::pool::{self, Pool};
use crate::protocol::Command;
use crate::protocol::vouch::is_vouch;
use crate::store::{Batch, Loading};
use crate::thread;
use crate::turn::Core;
use crate::worker::{Control, Desk, Entrance, Errands, Hall, Live, Terms, Unsent, Worker};

/// The parts of a server before its threads begin.
struct Parts {
    core: Arc<Core>,
    flooder: Flooder,
    feeder: Feeder,
    diallers: Vec<Dialler>,
    backbone: Option<Backbone>,
}

/// What herd.conf names, opened by whoever starts the server.
pub struct Opened {
    pub places: Arc<dyn Places>,
    pub keys: KeyRing,
    /// The engine that joins it with servers that it does not reach.
    pub engine: Option<EngineSettings>,
    /// What it serves by HTTP.
    pub site: Option<Arc<Site>>,
    /// Who carries out what is ordered by lines.
    pub control: Control,
    /// Is told now and then how many lines of the journal were read.
    pub progress: Box<dyn FnMut(u64) + Send>,
}

impl Server {
    /// Starts the server at `index` of the config on listeners of its own, at least one.
    ///
    /// # Errors
    /// Its journal cannot be opened, or the system has no room for a thread or a poller.
    pub fn start(
        config: &Config,
        index: usize,
        listeners: Vec<(DoorKind, Listener)>,
        opened: Opened,
        sink: Arc<Sink>,
    ) -> io::Result<Server> {
        let Opened { places, keys, engine, site, control, mut progress } = opened;
        let (clock, settings) = (Clock::start(), &config.settings);
        let address = |(kind, listener): &(DoorKind, Listener)| Ok((*kind, listener.local_addr()?));
        let addresses = listeners.iter().map(address).collect::<io::Result<_>>()?;
        let Parts { core, flooder, feeder, diallers, backbone } =
            parts(config, index, keys, engine, clock, &sink)?;
        let (errands, due) = Errands::new(ERRANDS_MAX);
        let sweeps = Sweeps::new(core.clone(), config.settings.timing.settle, clock.now());
        let sweeps = thread::spawn("sweeps", move || sweeps::run(sweeps, &due, clock))?;
        let (batches, large) = Errands::new(PHONE_BATCHES_MAX);
        let batching = thread::spawn("batches", move || batches::run(&large, clock))?;
        let hall = Arc::new(Hall {
            core,
            entrance: Entrance::new(listeners, capacity(config, index)),
            unsent: Unsent::new(settings.max_unsent_total),
            desks: (0..settings.workers).map(|_| Desk::new()).collect::<io::Result<_>>()?,
            places: Live::new(Pool::start(places, pool_bounds(config))?),
            errands,
            batches,
            terms: Live::new(terms(config, site)),
            control,
            clock,
            sink,
            is_parted: AtomicBool::new(false),
            stopped_at: OnceLock::new(),
        });
        hall.desks[0].load.set_at_work(true);
        let worker = |index| {
            let worker = Worker::new(hall.clone(), index);
            thread::spawn(format!("worker-{index}"), move || worker.run())
        };
        // Before the journal is read, which may take long: they say so to whoever asks by HTTP.
        let workers = (0..hall.desks.len()).map(worker).collect::<io::Result<_>>()?;
        let journal =
            journal(config, index, &hall.core, clock, &mut *progress).inspect_err(|_| hall.stop())?;
        let core = &hall.core;
        core.open(journal.clone(), clock.up());
        let tended = Tended { node: core.node.clone(), neighbours: core.neighbours.clone() };
        let tending = journal.map(|journal| Tending::start(journal, tended)).transpose()?;
        let flooder = thread::spawn("flooder", move || flooder.run(clock))?;
        let feeder = thread::spawn("feed", move || feeder.run(clock))?;
        let links = diallers.into_iter().map(start_dialler).collect::<io::Result<_>>()?;
        let backbone =
            backbone.map(|backbone| Running::start(backbone, core, clock, &hall.sink)).transpose()?;
        hall.open();
        let threads =
            Threads { workers, flooder, feeder, sweeps, batches: batching, tending, links, backbone };
        Ok(Server { hall, addresses, threads })
    }
}

/// Starts the thread of a link.
pub fn start_dialler(dialler: Dialler) -> io::Result<LinkThread> {
    let (outlet, route) = (dialler.outlet(), dialler.route());
    let handle = thread::spawn(dialler.thread_name(), move || dialler.run())?;
    Ok(LinkThread { outlet, route, handle })
}

/// Makes what turns work on, and what they send to. Its journal is still to be read.
fn parts(
    config: &Config,
    index: usize,
    keys: KeyRing,
    engine: Option<EngineSettings>,
    clock: Clock,
    sink: &Arc<Sink>,
) -> io::Result<Parts> {
    let (own, settings) = (&config.servers[index], &config.settings);
    let node = Arc::new(Node::new(&own.name, node_bounds(settings)));
    let neighbours = Arc::new(neighbours(config, index, keys)?);
    let diallers = diallers(config, index, &node, &neighbours, clock, sink)?;
    let backbone = engine.map(|engine| backbone(engine, &neighbours)).transpose()?;
    let lane = backbone.as_ref().map(Backbone::outlet);
    let outlets: Links = diallers.iter().map(Dialler::outlet).chain(lane).collect();
    let incarnation = neighbours.own.incarnation;
    let (feed, feeder) =
        Feeder::new(node.clone(), incarnation, outlets.clone(), FeedBounds::default(), clock.up());
    let (flood, flooder) = Flood::new(
        flood::Bounds::default(),
        outlets,
        feed,
        node.clone(),
        Wire::new(sink),
        settings.timing,
        clock.up(),
    );
    Ok(Parts { core: Arc::new(Core::new(node, flood, neighbours)), flooder, feeder, diallers, backbone })
}

/// An engine counts as a neighbour, under a name that no server can have.
fn backbone(engine: EngineSettings, neighbours: &Neighbours) -> io::Result<Backbone> {
    neighbours.add(Neighbour { name: ENGINE.into(), kind: Kind::Engine });
    let id = neighbours.id(ENGINE).ok_or_else(|| io::Error::other("too many neighbours"))?;
    Backbone::new(id, ENGINE, engine)
}

/// Reads the journal of a server; None where it has none.
fn journal(
    config: &Config,
    index: usize,
    core: &Core,
    clock: Clock,
    progress: &mut (dyn FnMut(u64) + Send),
) -> io::Result<Option<Arc<Journal>>> {
    let (own, settings) = (&config.servers[index], &config.settings);
    let Some(folder) = config.data_path(own) else { return Ok(None) };
    let (mode, disk, now_ns) = (settings.sync, Box::new(RealDisk), clock.now().posix_ns);
    let journal = open_journal(&folder, mode, disk, &core.node, &core.neighbours, now_ns, progress)?;
    Ok(Some(Arc::new(journal.resting(settings.timing.compact_rest))))
}

/// What herd.conf says of what the server takes.
pub fn node_bounds(settings: &Settings) -> Bounds {
    Bounds {
        max_ahead_ns: settings.max_ahead_ns,
        refuses_ahead: settings.refuses_ahead,
        forget_after_s: settings.forget_after_s,
        forgotten_for_s: settings.forgotten_for_s,
        max_clients: settings.max_clients,
        is_indexed: settings.is_indexed,
    }
}

/// What it says of lookups.
pub fn pool_bounds(config: &Config) -> pool::Bounds {
    let settings = &config.places;
    pool::Bounds {
        threads: settings.threads(),
        queue: settings.queue,
        total: settings.total_timeout,
        daily_budget: settings.daily_budget,
    }
}

/// Opens a server's journal and learns what is in it, by our clock now. `progress` is told how many lines were read.
///
/// # Errors
/// Another process has it, or its folder cannot be read or written.
pub fn open_journal(
    folder: &Path,
    mode: SyncMode,
    disk: Box<dyn Disk>,
    node: &Node,
    neighbours: &Neighbours,
    now_ns: u64,
    progress: &mut (dyn FnMut(u64) + Send),
) -> io::Result<Journal> {
    let (mut seen, mut lines, begun) = (Vec::new(), 0, Instant::now());
    let threads = Journal::readers(folder);
    let loading = node.store.load(threads);
    let read = |line: &[u8], kept: &mut Kept| kept.add(&loading, line);
    let learn = |kept: &mut Kept| node.restore_batch(&kept.records, &loading, now_ns);
    let (journal, replayed) =
        Journal::open_at_once(folder, mode, disk, threads, read, learn, |kept: &mut Kept| {
            let before = lines / PROGRESS_LINES;
            lines += (kept.records.count() + kept.vouches.len()) as u64;
            if lines / PROGRESS_LINES > before {
                progress(lines);
            }
            seen.append(&mut kept.vouches);
            kept.records.clear();
        })?;
    loading.end();
    if node.store.voided() > 0 {
        // As when the server died before a compaction.
        journal.hasten();
    }
    if replayed.bytes > 0 {
        let (clients, ms) = (count(node.store.count() as u64, "client"), begun.elapsed().as_millis());
        let entries = if replayed.entries == 1 {
            "1 entry".to_owned()
        } else {
            format!("{} entries", replayed.entries)
        };
        log::info!("read {clients} from {entries} of the journal in {ms} ms");
    }
    if replayed.later.count() > 0 {
        let lines = count(replayed.later.count() as u64 + replayed.left, "line");
        log::warn!("the journal has {lines} of a later version of herd, which are kept for it and not read");
    }
    if let Some(why) = replayed.doubt() {
        // What a neighbour is told to have been stored may be what was lost.
        seen.clear();
        log::warn!("the journal is damaged: {why}; neighbours are asked for everything");
    }
    seen.iter().for_each(|line| neighbours.recall(line));
    Ok(journal)
}

/// Lines of a journal that are known, before they are learned.
#[derive(Default)]
struct Kept {
    records: Batch,
    vouches: Vec<Vec<u8>>,
}

impl Kept {
    /// Adds a line; false if it is none that is known.
    fn add(&mut self, loading: &Loading<'_>, line: &[u8]) -> bool {
        if is_vouch(line) {
            self.vouches.push(line.to_vec());
            return true;
        }
        let Ok(Command::At(fields)) = Command::parse(line) else { return false };
        loading.add(&fields, &mut self.records);
        true
    }
}

/// What this server knows of its neighbours before it has heard of them. Names are left to the diallers, because
/// asking for one can take seconds.
fn neighbours(config: &Config, index: usize, keys: KeyRing) -> io::Result<Neighbours> {
    let own = &config.servers[index];
    let incarnation = u64::from_be_bytes(keys::random()?);
    let identity = Identity { name: own.name.as_str().into(), incarnation, conf: config.digest() };
    let others = own.neighbours.iter().map(|&other| &config.servers[other]);
    let known = others.clone().map(|other| Neighbour { name: other.name.clone(), kind: kind_of(other) });
    let Settings { forget_after_s, timing, .. } = &config.settings;
    let hold = Duration::from_secs(forget_after_s.unwrap_or(0));
    let neighbours = Neighbours::new(identity, known.collect(), keys, hold, timing.heartbeat);
    others.for_each(|other| locate(&neighbours, other));
    Ok(neighbours)
}

/// Notes the address of a neighbour where herd.conf has no name for it.
pub fn locate(neighbours: &Neighbours, other: &config::Server) {
    if let (Some(id), Some(ip)) = (neighbours.id(&other.name), other.address.ip()) {
        neighbours.update(id, &[SocketAddr::new(ip, other.address.port)]);
    }
}

const DRAIN: Duration = Duration::from_millis(DRAIN_MS);

/// What herd.conf says of how connections are served.
pub fn terms(config: &Config, http: Option<Arc<Site>>) -> Terms {
    let settings = &config.settings;
    let manners = Manners {
        max_line: settings.max_line,
        max_unsent: settings.max_unsent,
        max_clients: settings.max_clients,
        one_shot: settings.one_shot,
        idle_timeout: settings.idle_timeout,
        greeting: settings.timing.greeting,
        silent: settings.timing.silent,
        drain: DRAIN.min(settings.stop_timeout * STOP_DRAIN_PERCENT / 100),
        http,
    };
    Terms { manners, write_timeout: settings.write_timeout, config: config.fingerprint() }
}

/// What a link to a server is.
pub fn kind_of(server: &config::Server) -> Kind {
    if server.plain { Kind::Plain { refill: server.refill } } else { Kind::Herd }
}

/// The threads to come that dial the neighbours.
fn diallers(
    config: &Config,
    index: usize,
    node: &Arc<Node>,
    neighbours: &Arc<Neighbours>,
    clock: Clock,
    sink: &Arc<Sink>,
) -> io::Result<Vec<Dialler>> {
    let own = &config.servers[index];
    let others = own.neighbours.iter().map(|&other| &config.servers[other]);
    // Its number is the one of its name; a herd.conf has no room for more names than there are numbers.
    let numbered = others.filter_map(|other| Some((neighbours.id(&other.name)?, other)));
    let diallers = numbered.map(|(id, other)| {
        let settings = dialler_settings(config, own, other, id);
        Dialler::new(settings, node.clone(), neighbours.clone(), clock, sink)
    });
    diallers.collect()
}

/// What the dialler of a neighbour needs to know.
pub fn dialler_settings(
    config: &Config,
    own: &config::Server,
    other: &config::Server,
    id: NeighbourId,
) -> DiallerSettings {
    DiallerSettings {
        id,
        name: other.name.clone(),
        ends: ends(own, other),
        kind: kind_of(other),
        write_timeout: config.settings.write_timeout,
        timing: config.settings.timing,
    }
}

/// Where a server dials a neighbour, and from where.
pub fn ends(own: &config::Server, other: &config::Server) -> Ends {
    Ends { target: other.address.clone(), source: source(own).filter(|_| !other.plain) }
}

/// The address that neighbours know a server by, as far as it can dial from it: where it listens,
/// or, if that is everywhere, its `address`. A name would be asked of another resolver than theirs.
fn source(own: &config::Server) -> Option<HostPort> {
    let known = if own.listen.is_wildcard() { &own.address } else { &own.listen };
    Some(known.clone()).filter(|known| !own.listen.is_wildcard() || known.ip().is_some())
}
