//! One simulated server: the real node, store, journal, turns, flood, room and doors, sweeps, and the dialling ends
//! of its links. Only threads, sockets and clocks are the world's.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use herd::backbone::{Lane as EngineLane, Tail as EngineTail};
use herd::clock::Moment;
use herd::dialler::Course;
use herd::door::{Answer, Door, Kin, Manners, Question};
use herd::feed::{Bounds as FeedBounds, Feeder};
use herd::flood::{Bounds as FloodBounds, Flood, Flooder};
use herd::journal::SyncMode;
use herd::limits::Timing;
use herd::link::{ENGINE, Identity, Key, KeyRing, Kind, Link, Neighbour, Neighbours, Outbox, Outlet};
use herd::logging::Wire;
use herd::net::{Event, Interest, Lane, Watch};
use herd::node::{Bounds, NeighbourId, Node};
use herd::places::pool::Asker;
use herd::server::{Sweeps, Tended, open_journal};
use herd::store::Store;
use herd::turn::{Core, Turn};
use herd::worker::{Admission, Outside, Room, Unsent};

use crate::harness::wait_for;

use super::disk::SimDisk;
use super::engine::Connection;
use super::network::{End, Net, Shared, SimStream, Watched};

/// As which link the lane of the backbone is woken.
pub const LANE: usize = usize::MAX;

/// What a server of one start is made with.
pub struct Plan<'a> {
    pub name: String,
    pub incarnation: u64,
    /// By name.
    pub neighbours: Vec<String>,
    pub keys: &'a [Key],
    pub timing: Timing,
    pub forget_after_s: Option<u64>,
    pub max_clients: usize,
    pub max_ahead_s: u64,
    pub max_line: usize,
    /// Buckets of its store.
    pub buckets: usize,
    /// Bytes that may wait for a link.
    pub room: usize,
    pub flood: FloodBounds,
    pub feed: FeedBounds,
    /// Questions that wait at once at most.
    pub errands: usize,
    /// In how many parts the engine has the herd; None without one.
    pub engine_parts: Option<u16>,
    /// Where its journal is, and the disk it is on.
    pub journal: Option<(PathBuf, SimDisk)>,
}

/// A running server.
pub struct Running {
    pub core: Arc<Core>,
    pub backbone: Option<SimBackbone>,
    pub room: Room<SimStream, Seat>,
    pub flooder: Flooder,
    pub feeder: Feeder,
    pub sweeps: Sweeps,
    tended: Tended,
    pub links: Vec<SimLink>,
    /// A turn of somebody who is no worker, for what comes another way.
    pub tail: Turn,
    pub wire: Wire,
    /// Connections that wait to be accepted.
    pub backlog: Vec<End>,
    pub answers: Vec<(u64, Answer)>,
    /// A turn was begun and is not finished.
    pub is_in_turn: bool,
    timing: Timing,
    /// Bytes that may wait for a link.
    room_bytes: usize,
}

/// The two ways to an engine, and their connections.
pub struct SimBackbone {
    pub lane: EngineLane,
    pub to: Option<Connection>,
    pub tail: EngineTail,
    pub from: Option<Connection>,
}

/// The dialling end of a link.
pub struct SimLink {
    pub course: Course,
    /// Its connection, if it has one.
    pub end: Option<End>,
    /// Its neighbour was removed.
    pub is_gone: bool,
}

/// The world around a room.
pub struct Seat {
    core: Arc<Core>,
    manners: Manners,
    pub watched: Watched,
    now_ns: Arc<AtomicU64>,
    /// Questions that wait for their answer.
    pub questions: Arc<Mutex<Vec<(u64, Question)>>>,
    errands: usize,
    unsent: Unsent,
}

impl Running {
    /// Starts one; `woken` is told which link's dialler is woken.
    pub fn start(
        plan: Plan<'_>,
        now: Moment,
        now_ns: &Arc<AtomicU64>,
        woken: impl Fn(usize) + Clone + Send + Sync + 'static,
    ) -> Running {
        let max_ahead_ns = plan.max_ahead_s * 1_000_000_000;
        let Plan { forget_after_s, max_clients, .. } = plan;
        let bounds = Bounds { forget_after_s, max_ahead_ns, max_clients, ..Bounds::default() };
        let mut node = Node::new(&plan.name, bounds);
        node.store = Store::seeded(plan.buckets, plan.incarnation);
        let node = Arc::new(node);
        let neighbours = Arc::new(neighbours(&plan));
        let journal = plan.journal.map(|(folder, disk)| {
            let mode = if disk.is_strict { SyncMode::Always } else { SyncMode::Second };
            // A process that another test is about to start has all that this one has open, for a moment, and with
            // it the lock of the journal's last owner.
            let now_ns = now.posix_ns;
            let open = || match open_journal(
                &folder,
                mode,
                Box::new(disk.clone()),
                &node,
                &neighbours,
                now_ns,
                &mut |_| (),
            ) {
                Err(why) if why.kind() == std::io::ErrorKind::AddrInUse => None,
                opened => Some(opened.expect("a journal")),
            };
            Arc::new(wait_for("the lock of a journal", open))
        });
        let link = |(index, name): (usize, &String)| {
            let woken = woken.clone();
            let (outbox, wake) = (Outbox::with_room(plan.room), Box::new(move || woken(index)));
            let outlet = Outlet::new(NeighbourId(index as u16), name, Kind::Herd, outbox, wake);
            let link = Link::new(
                node.clone(),
                neighbours.clone(),
                Arc::new(outlet),
                plan.timing,
                Duration::from_secs(10),
            );
            SimLink { course: Course::new(Arc::new(link), now.up), end: None, is_gone: false }
        };
        let links: Vec<_> = plan.neighbours.iter().enumerate().map(link).collect();
        let engine = plan.engine_parts.map(|parts| {
            neighbours.add(Neighbour { name: ENGINE.into(), kind: Kind::Engine });
            let id = neighbours.id(ENGINE).expect("it was added");
            let woken = woken.clone();
            let (outbox, wake) = (Outbox::with_room(plan.room), Box::new(move || woken(LANE)));
            (Arc::new(Outlet::new(id, ENGINE, Kind::Engine, outbox, wake)), parts)
        });
        let outlets = links.iter().map(|it| it.course.link().outlet.clone());
        let outlets: Arc<[_]> = outlets.chain(engine.iter().map(|(outlet, _)| outlet.clone())).collect();
        let (feed, feeder) = Feeder::new(node.clone(), plan.incarnation, outlets.clone(), plan.feed, now.up);
        let (flood, flooder) =
            Flood::new(plan.flood, outlets, feed, node.clone(), Wire::mute(), plan.timing, now.up);
        let tended = Tended { node: node.clone(), neighbours: neighbours.clone() };
        let core = Arc::new(Core::new(node, flood, neighbours));
        core.open(journal, now.up);
        let backbone = engine.map(|(outlet, parts)| {
            let lane = EngineLane::new(core.clone(), outlet, parts, Wire::mute());
            let tail = EngineTail::new(core.clone(), &lane, parts, Wire::mute());
            SimBackbone { lane, to: None, tail, from: None }
        });
        let manners = Manners {
            max_line: plan.max_line,
            max_unsent: 4_096,
            max_clients: usize::MAX,
            one_shot: false,
            idle_timeout: Some(Duration::from_secs(3_600)),
            greeting: plan.timing.greeting,
            silent: plan.timing.silent,
            drain: Duration::from_secs(1),
            http: None,
        };
        let seat = Seat {
            core: core.clone(),
            manners,
            watched: Watched::default(),
            now_ns: now_ns.clone(),
            questions: Arc::default(),
            errands: plan.errands,
            unsent: Unsent::new(usize::MAX),
        };
        Running {
            backbone,
            room: Room::new(seat, Wire::mute(), now),
            flooder,
            feeder,
            sweeps: Sweeps::new(core.clone(), plan.timing.settle, now),
            tended,
            links,
            tail: Turn::new(&core, Wire::mute()),
            wire: Wire::mute(),
            backlog: Vec::new(),
            answers: Vec::new(),
            is_in_turn: false,
            timing: plan.timing,
            room_bytes: plan.room,
            core,
        }
    }

    /// What a reload does that adds a neighbour; `woken` is told when its dialler is.
    pub fn join(&mut self, name: &str, keys: &[Key], now: Moment, woken: impl Fn() + Send + Sync + 'static) {
        let Core { node, neighbours, .. } = &*self.core;
        let before = self.links.iter().filter(|link| !link.is_gone);
        let names = before.map(|link| link.course.link().outlet.name().to_owned()).chain([name.to_owned()]);
        let pairs = names.map(|name| (name, keys.to_vec())).collect();
        neighbours.rekey(KeyRing { pairs, own: keys.to_vec() });
        neighbours.add(Neighbour { name: name.to_owned(), kind: Kind::Herd });
        let id = neighbours.id(name).expect("it was added");
        if keys.is_empty() {
            neighbours.update(id, &[([127, 0, 0, 1], 1).into()]);
        }
        let outbox = Outbox::with_room(self.room_bytes);
        let outlet = Arc::new(Outlet::new(id, name, Kind::Herd, outbox, Box::new(woken)));
        let link =
            Link::new(node.clone(), neighbours.clone(), outlet.clone(), self.timing, Duration::from_secs(10));
        self.core.add_links(&[outlet]);
        self.links.push(SimLink { course: Course::new(Arc::new(link), now.up), end: None, is_gone: false });
    }

    /// What one does that removes it.
    pub fn leave(&mut self, link: usize) {
        let SimLink { course, is_gone, .. } = &mut self.links[link];
        *is_gone = true;
        let outlet = course.link().outlet.clone();
        self.core.remove_links(std::slice::from_ref(&outlet));
        outlet.leave();
        outlet.stop();
    }

    pub fn node(&self) -> &Node {
        &self.core.node
    }

    /// What a worker does until its turn is to be finished.
    pub fn begin_turn(&mut self, net: &Shared, now: Moment) {
        self.is_in_turn = true;
        self.room.begin(now, 0, None);
        for end in std::mem::take(&mut self.backlog) {
            let address = address_of(end);
            let door = Door::open_line(address, None, &self.core, now);
            self.room.welcome(net.stream(end), address, door, Admission::Guest, now.posix_ns);
        }
        for (key, answer) in std::mem::take(&mut self.answers) {
            self.room.answered(key, answer);
        }
        let ready = self.ready(&net.lock());
        for (key, event) in ready {
            self.room.ready(key, event);
        }
    }

    pub fn finish_turn(&mut self) {
        self.room.finish();
        self.room.rest();
        self.is_in_turn = false;
    }

    /// What the room's poller would report.
    pub fn ready(&self, net: &Net) -> Vec<(u64, Event)> {
        let list = self.room.outside().watched.list();
        // A connection that was closed is watched no more.
        let open = list.into_iter().filter(|(_, end, _)| !net.is_closed(*end));
        let event = |(key, end, interest): (u64, End, Interest)| {
            let readable = interest == Interest::Readable && net.is_readable(end);
            let writable = interest == Interest::Writable && net.is_writable(end);
            let broken = net.is_gone(end);
            (readable || writable || broken).then_some((key, Event { key, readable, writable, broken }))
        };
        open.filter_map(event).collect()
    }

    /// What the journal's thread does once a second.
    pub fn tend(&self) {
        if let Some(journal) = self.core.journal() {
            self.tended.tend(journal);
        }
    }
}

/// Where a connection comes from: one that is no neighbour's, as the herd has a secret.
fn address_of(end: End) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 1_024 + (end.conn % 60_000) as u16))
}

fn neighbours(plan: &Plan<'_>) -> Neighbours {
    let own = Identity { name: plan.name.as_str().into(), incarnation: plan.incarnation, conf: 0 };
    let list = plan.neighbours.iter().map(|name| Neighbour { name: name.clone(), kind: Kind::Herd });
    let pairs = plan.neighbours.iter().map(|name| (name.clone(), plan.keys.to_vec())).collect();
    let keys = KeyRing { pairs, own: plan.keys.to_vec() };
    let hold = Duration::from_secs(plan.forget_after_s.unwrap_or(0));
    let neighbours = Neighbours::new(own, list.collect(), keys, hold, plan.timing.heartbeat);
    if plan.keys.is_empty() {
        // Then they are known by their address, which all of them share.
        let own: SocketAddr = ([127, 0, 0, 1], 1).into();
        neighbours.ids().into_iter().for_each(|id| neighbours.update(id, &[own]));
    }
    neighbours
}

impl Outside<SimStream> for Seat {
    fn core(&self) -> &Core {
        &self.core
    }

    fn manners(&self) -> &Manners {
        &self.manners
    }

    fn refresh(&mut self) -> bool {
        false
    }

    fn write_timeout(&self) -> Duration {
        Duration::from_secs(10)
    }

    fn ask(&self, key: u64, _: Asker, question: Question) -> bool {
        let mut questions = self.questions.lock().expect("no panic before");
        let has_room = questions.len() < self.errands;
        if has_room {
            questions.push((key, question));
        }
        has_room
    }

    fn unsent(&self) -> &Unsent {
        &self.unsent
    }

    fn prove(&self, _: Admission, kin: Kin, _: IpAddr) -> Admission {
        Admission::Herd(kin)
    }

    fn left(&self, _: Admission, _: SocketAddr) {}

    fn posix_ns(&self) -> u64 {
        self.now_ns.load(Ordering::SeqCst)
    }
}

impl Watch<SimStream> for Seat {
    fn add(&self, lane: Lane, stream: &SimStream, key: u64, interest: Interest) -> std::io::Result<()> {
        self.watched.add(lane, stream, key, interest)
    }

    fn modify(&self, stream: &SimStream, key: u64, interest: Interest) -> std::io::Result<()> {
        self.watched.modify(stream, key, interest)
    }

    fn remove(&self, stream: &SimStream) -> std::io::Result<()> {
        self.watched.remove(stream)
    }
}

/// A server's own folder for its journal.
pub fn folder_of(all: &Path, server: usize) -> PathBuf {
    all.join(format!("S{server}"))
}
