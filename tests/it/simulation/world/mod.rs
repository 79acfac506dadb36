//! A herd in virtual time: events move real servers, and the network between them. One seed makes one run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use herd::clock::Moment;
use herd::feed::Place;
use herd::link::Key;
use herd::store::Area;

use super::disk::SimDisk;
use super::engine::SimEngine;
use super::network::{Due, End, Net, Shared};
use super::server::{LANE, Running};
use super::watching::Watcher;
use super::{SECOND, Settings, Time};

mod backbone;
mod clients;
mod known;
mod links;
mod servers;

enum Event {
    Net(Due),
    /// A dialler looks after its link.
    Talk {
        link: usize,
    },
    Flood,
    /// The lane of the backbone, and its tail.
    Lane,
    Tail,
    Turn,
    /// The turn that was begun is finished.
    Finish,
    /// Once a second: what the threads for sweeps and for the journal do.
    Tick,
    /// The oldest question is answered.
    Errand,
    /// An AT line of a neighbour comes once more, by another way.
    Again {
        line: Vec<u8>,
    },
    Restart,
    /// It reads whether another server is its neighbour now.
    Rewire {
        other: usize,
    },
}

/// A server, running or not.
pub struct Server {
    pub running: Option<Running>,
    /// Counts its starts, so that events of an earlier one are told.
    start: u32,
    /// One a link; None for one that was removed.
    neighbours: Vec<Option<usize>>,
    /// How much its clock is ahead, in ns.
    pub skew_ns: i64,
    now_ns: Arc<AtomicU64>,
    disk: SimDisk,
    max_line: usize,
    /// When each of what repeats is next due, so that it is once: links, then flood, then turn.
    next: Vec<Option<Time>>,
}

pub struct World {
    pub settings: Settings,
    /// As the newest herd.conf has them.
    pub edges: Vec<(usize, usize)>,
    pub now: Time,
    pub servers: Vec<Server>,
    pub random: Rng,
    pub net: Shared,
    events: BinaryHeap<Reverse<(Time, u64)>>,
    bodies: HashMap<u64, (usize, u32, Event)>,
    next_event: u64,
    /// Which server's which link's dialler was woken.
    woken: Arc<Mutex<Vec<(usize, u32, usize)>>>,
    /// Who has an end: a server's room, or one of its links.
    owners: HashMap<End, (usize, u32, Option<usize>)>,
    /// Until when nothing passes between two servers.
    cut_until: HashMap<(usize, usize), Time>,
    /// Until when a server does nothing.
    stuck_until: Vec<Time>,
    keys: Vec<Key>,
    engine: Option<SimEngine>,
    /// Each server has one of everywhere and one of an area.
    watchers: Vec<[Watcher; 2]>,
    /// What was heard before this second was not shown by some server at some time, and so hid nothing there.
    pub shown_s: Option<i64>,
    folder: tempfile::TempDir,
}

impl World {
    pub fn new(settings: Settings, random: Rng) -> World {
        let keys = vec![Key::new(b"the secret of the simulated herd")];
        World::with_keys(settings, random, keys)
    }

    /// A herd without a secret, on loopback.
    pub fn open_to_all(settings: Settings, random: Rng) -> World {
        World::with_keys(settings, random, Vec::new())
    }

    fn with_keys(settings: Settings, mut random: Rng, keys: Vec<Key>) -> World {
        let servers = (0..settings.servers).map(|index| Server {
            running: None,
            start: 0,
            next: Vec::new(),
            neighbours: Vec::new(),
            skew_ns: random.i64(-30_000_000_000..30_000_000_000),
            now_ns: Arc::default(),
            disk: SimDisk::default(),
            max_line: settings.max_lines[index % settings.max_lines.len()],
        });
        let servers = servers.collect();
        let mut net = Net::new(random.fork());
        net.no_memory_one_in = settings.no_memory_one_in;
        // How long a link rests.
        fastrand::seed(random.u64(..));
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        let (area, watchers) =
            (Place::Within(Area { west: -2.0, south: 0.5, east: 0.0, north: 1.5 }), 0..settings.servers);
        let watchers =
            watchers.map(|_| [None, Some(area)].map(|place| Watcher::new(place, &mut random))).collect();
        let parts = settings.engine.as_ref().map(|(parts, _)| *parts);
        let engine = parts.map(|parts| SimEngine::new(parts, random.fork()));
        let mut world = World {
            now: 0,
            servers,
            random,
            net: Shared::new(net),
            events: BinaryHeap::new(),
            bodies: HashMap::new(),
            next_event: 0,
            woken: Arc::default(),
            owners: HashMap::new(),
            cut_until: HashMap::new(),
            stuck_until: vec![0; settings.servers],
            keys,
            engine,
            watchers,
            shown_s: None,
            folder: folder.expect("a folder"),
            edges: settings.edges.clone(),
            settings,
        };
        (0..world.servers.len()).for_each(|server| world.start(server));
        world
    }

    /// Runs events up to a time.
    pub fn run_until(&mut self, until: Time) {
        while let Some(&Reverse((at, body))) = self.events.peek() {
            if at > until {
                break;
            }
            self.events.pop();
            self.now = at;
            self.net.lock().now = at;
            if let Some((server, start, event)) = self.bodies.remove(&body) {
                self.happen(server, start, event);
                self.settle();
            }
        }
        self.now = until;
        self.net.lock().now = until;
    }

    fn at(&mut self, at: Time, server: usize, event: Event) {
        let (body, start) = (self.next_event, self.servers[server].start);
        self.next_event += 1;
        self.bodies.insert(body, (server, start, event));
        self.events.push(Reverse((at.max(self.now), body)));
    }

    /// Some time within the delay of a thread that is woken.
    fn soon(&mut self) -> Time {
        self.now + self.random.u64(0..=self.settings.jitter)
    }

    /// Has something that repeats happen at a time, unless it does before that.
    fn look(&mut self, server: usize, what: usize, at: Time) {
        let next = &mut self.servers[server].next[what];
        if next.is_some_and(|next| next <= at) {
            return;
        }
        *next = Some(at);
        let links = self.servers[server].neighbours.len();
        let event = match what {
            link if link < links => Event::Talk { link },
            flood if flood == links => Event::Flood,
            lane if lane == links + 2 => Event::Lane,
            tail if tail == links + 3 => Event::Tail,
            _ => Event::Turn,
        };
        self.at(at, server, event);
    }

    fn look_at_flood(&mut self, server: usize, at: Time) {
        self.look(server, self.servers[server].neighbours.len(), at);
    }

    fn look_at_room(&mut self, server: usize, at: Time) {
        self.look(server, self.servers[server].neighbours.len() + 1, at);
    }

    /// Whether an event of what repeats is the one that is due.
    fn is_due(&mut self, server: usize, what: usize) -> bool {
        let now = self.now;
        self.servers[server].next[what].take_if(|at| *at <= now).is_some()
    }

    pub fn posix_ns(&self, server: usize) -> u64 {
        (1_600_000_000_000_000_000 + self.now as i64 * 1_000 + self.servers[server].skew_ns) as u64
    }

    fn moment(&self, server: usize) -> Moment {
        let now = Moment { up: Duration::from_micros(self.now), posix_ns: self.posix_ns(server) };
        self.servers[server].now_ns.store(now.posix_ns, Ordering::SeqCst);
        now
    }

    fn happen(&mut self, server: usize, start: u32, event: Event) {
        match event {
            Event::Net(Due::Transmit(end)) => return self.net.lock().transmit_again(end),
            Event::Net(Due::Arrive(end)) => return self.arrive(end),
            Event::Net(Due::GiveUp(end)) => return self.net.lock().give_up(end),
            Event::Restart if self.servers[server].running.is_none() => return self.start(server),
            // Whether it runs or not, its file has changed.
            Event::Rewire { other } => return self.rewire(server, other),
            _ => {}
        }
        if self.servers[server].running.is_none() || self.servers[server].start != start {
            return;
        }
        let links = self.servers[server].neighbours.len();
        let what = match event {
            Event::Talk { link } => Some(link),
            Event::Flood => Some(links),
            Event::Turn => Some(links + 1),
            Event::Lane => Some(links + 2),
            Event::Tail => Some(links + 3),
            _ => None,
        };
        if what.is_some_and(|what| !self.is_due(server, what)) {
            return;
        }
        let stuck_until = self.stuck_until[server];
        if stuck_until > self.now {
            return match what {
                Some(what) => self.look(server, what, stuck_until),
                None => self.at(stuck_until, server, event),
            };
        }
        match event {
            Event::Talk { link } => self.talk(server, link),
            Event::Flood => self.flood(server),
            Event::Lane => self.lane(server),
            Event::Tail => self.tail(server),
            Event::Turn => self.turn(server),
            Event::Finish => self.finish(server),
            Event::Tick => self.tick(server),
            Event::Errand => self.errand(server),
            Event::Again { line } => self.again(server, &line),
            Event::Net(_) | Event::Restart | Event::Rewire { .. } => {}
        }
        self.watch(server);
    }

    /// Those who watch a server read and ask, and its feeder answers.
    fn watch(&mut self, server: usize) {
        let now = Duration::from_micros(self.now);
        let Some(running) = &mut self.servers[server].running else { return };
        for watcher in &mut self.watchers[server] {
            watcher.go_on(running, now, &mut self.random);
        }
        running.feeder.work(now);
    }

    /// Waits until all who watch, and are cut no more, know what their server knows.
    ///
    /// # Errors
    /// Who does not.
    pub fn have_watchers_catch_up(&mut self) -> Result<(), String> {
        let mut differing = None;
        self.watchers.iter_mut().flatten().for_each(Watcher::stay);
        for _ in 0..30 {
            self.run_until(self.now + SECOND);
            for server in 0..self.servers.len() {
                (0..100).for_each(|_| self.watch(server));
            }
            differing = self.servers.iter().zip(&self.watchers).find_map(|(server, both)| {
                let running = server.running.as_ref()?;
                both.iter().find_map(|watcher| watcher.differs(running))
            });
            if differing.is_none() {
                return Ok(());
            }
        }
        Err(differing.unwrap_or_default())
    }

    /// Sees to what the last event has brought about: bytes on their way, ends that are ready, diallers woken.
    fn settle(&mut self) {
        let (due, touched) = {
            let mut net = self.net.lock();
            (std::mem::take(&mut net.due), std::mem::take(&mut net.touched))
        };
        due.into_iter().for_each(|(at, due)| self.at(at, 0, Event::Net(due)));
        for end in touched {
            let Some(&(server, start, link)) = self.owners.get(&end) else { continue };
            if !self.runs(server, start) {
                continue;
            }
            let at = self.soon();
            match link {
                Some(link) => self.look(server, link, at),
                None => self.look_at_room(server, at),
            }
        }
        let woken = std::mem::take(&mut *self.woken.lock().expect("no panic before"));
        for (server, start, link) in woken {
            if self.runs(server, start) {
                let at = self.soon();
                let what = if link == LANE { self.servers[server].neighbours.len() + 2 } else { link };
                self.look(server, what, at);
            }
        }
    }

    fn runs(&self, server: usize, start: u32) -> bool {
        self.servers[server].running.is_some() && self.servers[server].start == start
    }

    fn running(&mut self, server: usize) -> &mut Running {
        self.servers[server].running.as_mut().expect("it runs")
    }
}

pub fn name(index: usize) -> String {
    format!("S{index}")
}
