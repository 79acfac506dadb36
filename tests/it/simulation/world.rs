//! A herd without threads, sockets or a clock: the real node, store, outbox, session, exchange and
//! marks, moved by events in virtual time. One seed makes one run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use fastrand::Rng;
use herd::store::digest::Digest;
use herd::limits::{FORGET_SWEEP_S, Timing};
use herd::link::{
    Clocks, Dialer, Due, Heard, Identity, Key, Listener, Mark, Meter, Offered, Outbox, Seen, Session,
    Standing, State, Steps,
};
use herd::node::{Line, News, Node, Peer, PeerKind, Reply};
use herd::protocol::neighbour::{ClockReading, Nonce, Word};
use herd::store::{Store, Wanted};

/// Virtual time, in µs.
pub type Time = u64;
pub const SECOND: Time = 1_000_000;

/// Parts in which a store is walked, with time between them.
const WALK_PARTS: usize = 4;

/// What a run is like.
#[derive(Clone, Debug)]
pub struct Settings {
    pub servers: usize,
    pub edges: Vec<(usize, usize)>,
    /// The least and the most a line is under way.
    pub delay: (Time, Time),
    /// Whether quiet links compare what they know. Without it marks alone must do.
    pub compares: bool,
    /// A deliberate fault: a mark overtakes the news it vouches for.
    pub early_marks: bool,
    /// Whether servers keep a journal.
    pub journals: bool,
    /// Whether AT lines arrive a second time, at once or long after.
    pub duplicates: bool,
    /// After how many seconds servers forget a client.
    pub forget_after_s: Option<u64>,
    /// The most the flooder takes to come to a batch.
    pub flood_delay: Time,
    /// Bytes a connection holds before its sender has to wait, and bytes that then wait.
    pub capacity: usize,
    pub room: usize,
    /// Batches the flood's channel holds; more are dropped and the links marked behind.
    pub channel: usize,
}

enum Event {
    /// The front line of a direction of a connection arrives.
    Deliver {
        conn: usize,
        up: bool,
    },
    Dial {
        server: usize,
        link: usize,
        start: u32,
    },
    /// The link's thread goes on sending.
    Pump {
        server: usize,
        link: usize,
        conn: usize,
    },
    /// The flooder takes what is in its channel.
    Flood {
        server: usize,
        start: u32,
    },
    /// Once a second: marks, silence, comparison.
    Tick {
        server: usize,
        start: u32,
    },
    /// An AT line of a neighbour arrives once more.
    Again {
        server: usize,
        start: u32,
        line: Vec<u8>,
        peer: Peer,
    },
    /// A part of the exchange takes too long.
    Timeout {
        server: usize,
        link: usize,
        conn: usize,
    },
    Restart {
        server: usize,
    },
}

/// What waits in a server's flood channel.
enum Flooded {
    News(News),
    Mark(Mark),
}

enum Kept {
    At(Vec<u8>),
    Seen(u16, u64, u32),
}

pub struct Server {
    pub node: Node,
    pub alive: bool,
    /// Counts its starts, so that events of an earlier one are told.
    start: u32,
    began: Time,
    own: Identity,
    seen: Seen,
    /// What its clock is ahead, in ns.
    pub skew_ns: i64,
    /// What it knows of the others' clocks, and of jumps of its own.
    clocks: Clocks,
    steps: Steps,
    neighbours: Vec<usize>,
    links: Vec<Link>,
    flood: VecDeque<Flooded>,
    last_mark: Mark,
    beat: Time,
    journal: Vec<Kept>,
}

struct Link {
    outbox: Outbox,
    session: Session,
    stage: Stage,
    conn: usize,
    /// Which of the neighbour's starts is at the other end.
    incarnation: u64,
    meter: Meter,
    /// When it greeted, by the server's clock, and when it asks what the neighbour's reads.
    greeted_ns: u64,
    ask_time_at: Duration,
    /// What its thread is sending, line by line.
    sending: VecDeque<Vec<u8>>,
    /// How far it is in a walk through the store.
    walk: Option<(Wanted, usize)>,
}

enum Stage {
    Down,
    Greeting(Option<Dialer>),
    /// The neighbour knows a good deal: its digest is awaited.
    Narrowing,
    Open,
}

/// A connection: the dialer's `up` to the listener, the listener's `down` back.
struct Conn {
    dialer: (usize, usize, u32),
    listener: (usize, u32),
    up: Pipe,
    down: Pipe,
    /// The dialer has given it up; what is on its way may still arrive.
    dropped: bool,
    link: Option<Listener>,
}

#[derive(Default)]
struct Pipe {
    lines: VecDeque<(Time, Vec<u8>)>,
    bytes: usize,
}

pub struct World {
    pub settings: Settings,
    pub now: Time,
    pub servers: Vec<Server>,
    pub random: Rng,
    events: BinaryHeap<Reverse<(Time, u64, usize)>>,
    bodies: HashMap<usize, Event>,
    next_event: usize,
    conns: Vec<Conn>,
    /// Until when nothing passes between two servers.
    cut_until: HashMap<(usize, usize), Time>,
    /// Until when a server reads nothing.
    stuck_until: Vec<Time>,
    keys: Vec<Key>,
    /// AT lines that arrived.
    pub at_lines: u64,
}

impl World {
    pub fn new(settings: Settings, random: Rng) -> World {
        let servers = (0..settings.servers).map(|index| {
            let mut neighbours: Vec<_> = settings
                .edges
                .iter()
                .filter_map(|&(a, b)| if a == index { Some(b) } else { (b == index).then_some(a) })
                .collect();
            neighbours.sort_unstable();
            Server {
                node: Node::new(&name(index), None),
                alive: false,
                start: 0,
                began: 0,
                own: Identity { name: name(index).into(), incarnation: 0, conf: 0 },
                seen: Seen::default(),
                skew_ns: 0,
                clocks: Clocks::new(Duration::ZERO),
                steps: Steps::default(),
                neighbours,
                links: Vec::new(),
                flood: VecDeque::new(),
                last_mark: Mark { epoch: 0, total: 0, at: Duration::ZERO },
                beat: 0,
                journal: Vec::new(),
            }
        });
        let mut world = World {
            servers: servers.collect(),
            now: 0,
            random,
            events: BinaryHeap::new(),
            bodies: HashMap::new(),
            next_event: 0,
            conns: Vec::new(),
            cut_until: HashMap::new(),
            stuck_until: vec![0; settings.servers],
            keys: vec![Key::new(b"the secret of the simulated herd")],
            at_lines: 0,
            settings,
        };
        for server in 0..world.servers.len() {
            world.servers[server].skew_ns = world.random.i64(-30_000_000_000..30_000_000_000);
            world.start(server);
        }
        world
    }

    /// Runs events up to a time.
    pub fn run_until(&mut self, until: Time) {
        while let Some(&Reverse((at, _, body))) = self.events.peek() {
            if at > until {
                break;
            }
            self.events.pop();
            self.now = at;
            if let Some(event) = self.bodies.remove(&body) {
                self.happen(event);
            }
        }
        self.now = until;
    }

    fn at(&mut self, at: Time, event: Event) {
        let body = self.next_event;
        self.next_event += 1;
        self.bodies.insert(body, event);
        self.events.push(Reverse((at, body as u64, body)));
    }

    fn soon(&mut self, most: Time) -> Time {
        self.now + self.random.u64(0..=most)
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Deliver { conn, up } => self.deliver(conn, up),
            Event::Dial { server, link, start } if self.runs(server, start) => self.dial(server, link),
            Event::Pump { server, link, conn } => self.pump(server, link, conn),
            Event::Flood { server, start } if self.runs(server, start) => self.flood(server),
            Event::Tick { server, start } if self.runs(server, start) => self.tick(server),
            Event::Timeout { server, link, conn } => self.time_out(server, link, conn),
            Event::Restart { server } if !self.servers[server].alive => self.start(server),
            Event::Again { server, start, line, peer } if self.runs(server, start) => {
                self.turn(server, &line, peer);
            }
            Event::Dial { .. }
            | Event::Flood { .. }
            | Event::Tick { .. }
            | Event::Again { .. }
            | Event::Restart { .. } => {}
        }
    }

    fn runs(&self, server: usize, start: u32) -> bool {
        self.servers[server].alive && self.servers[server].start == start
    }

    // --- servers

    fn start(&mut self, server: usize) {
        let incarnation = self.random.u64(1..);
        let (now, now_ns, room) = (self.now, self.posix_ns(server), self.settings.room);
        let forget_after_s = self.settings.forget_after_s;
        let it = &mut self.servers[server];
        it.start += 1;
        (it.alive, it.began, it.beat) = (true, now, now);
        it.own.incarnation = incarnation;
        it.node = Node::new(&it.own.name, None).forgetting(forget_after_s);
        // For hundreds of clients, and for being walked through thousands of times.
        it.node.store = Store::with_buckets(16);
        it.seen = Seen::default();
        it.clocks = Clocks::new(Duration::from_secs(forget_after_s.unwrap_or(0)));
        it.steps = Steps::starting(now_ns, Duration::from_micros(now));
        it.flood.clear();
        it.last_mark = Mark { epoch: 0, total: 0, at: Duration::ZERO };
        let mut scratch = Vec::new();
        for kept in &it.journal {
            match kept {
                Kept::At(line) => assert!(it.node.restore(line, &mut scratch)),
                Kept::Seen(neighbour, incarnation, epoch) => it.seen.note(*neighbour, *incarnation, *epoch),
            }
        }
        it.links = it
            .neighbours
            .iter()
            .map(|_| Link {
                outbox: Outbox::with_room(room),
                session: Session::new(Timing::default(), Duration::ZERO),
                stage: Stage::Down,
                conn: usize::MAX,
                incarnation: 0,
                meter: Meter::default(),
                greeted_ns: 0,
                ask_time_at: Duration::ZERO,
                sending: VecDeque::new(),
                walk: None,
            })
            .collect();
        let start = it.start;
        for link in 0..self.servers[server].links.len() {
            let at = self.soon(50_000);
            self.at(at, Event::Dial { server, link, start });
        }
        let at = self.soon(SECOND);
        self.at(at, Event::Tick { server, start });
    }

    /// Ends a server at once. With `power` the last entries of its journal are lost, too.
    pub fn crash(&mut self, server: usize, back_after: Time, power: bool, forgets: bool) {
        if !self.servers[server].alive {
            return;
        }
        self.servers[server].alive = false;
        if forgets || !self.settings.journals {
            self.servers[server].journal.clear();
        } else if power {
            let kept = self.servers[server].journal.len();
            let lost = self.random.usize(0..=kept.min(20));
            self.servers[server].journal.truncate(kept - lost);
        }
        for link in 0..self.servers[server].links.len() {
            let conn = self.servers[server].links[link].conn;
            self.abandon(conn);
        }
        // The dialers of its connections find out a moment later.
        for conn in 0..self.conns.len() {
            if self.conns[conn].listener.0 == server && !self.conns[conn].dropped {
                let (dialer, link, _) = self.conns[conn].dialer;
                let at = self.soon(20_000);
                self.at(at, Event::Timeout { server: dialer, link, conn });
            }
        }
        self.at(self.now + back_after, Event::Restart { server });
    }

    /// A client tells a server where it is.
    pub fn report(&mut self, server: usize, line: &str) -> Option<String> {
        if !self.servers[server].alive {
            return None;
        }
        let peer =
            Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), kind: PeerKind::Stranger, incarnation: 0 };
        let out = self.turn(server, line.as_bytes(), peer);
        String::from_utf8(out).ok()
    }

    /// One line in a turn of its own.
    fn turn(&mut self, server: usize, line: &[u8], peer: Peer) -> Vec<u8> {
        let now_ns = self.posix_ns(server);
        let (mut out, mut news) = (Vec::new(), News::default());
        let it = &mut self.servers[server];
        let line = Line { text: line, terminated: true, alone: false };
        let reply = it.node.answer(line, peer, now_ns, &mut out, &mut news);
        assert!(!matches!(reply, Reply::Refused(_) | Reply::Nearby(_)), "nothing here is refused");
        if !news.is_empty() {
            let lines = news.items.iter().map(|item| Kept::At(news.record(item).line().to_vec()));
            it.journal.extend(lines);
            self.send_news(server, news);
        }
        out
    }

    fn send_news(&mut self, server: usize, news: News) {
        let it = &mut self.servers[server];
        if it.flood.len() >= self.settings.channel {
            for link in 0..it.links.len() {
                if self.servers[server].links[link].outbox.mark_behind() {
                    self.wake(server, link);
                }
            }
            return;
        }
        it.flood.push_back(Flooded::News(news));
        let start = it.start;
        let at = self.soon(self.settings.flood_delay);
        self.at(at, Event::Flood { server, start });
    }

    fn flood(&mut self, server: usize) {
        while let Some(flooded) = self.servers[server].flood.pop_front() {
            match flooded {
                Flooded::News(news) => {
                    for item in &news.items {
                        for link in 0..self.servers[server].links.len() {
                            let open_to = self.servers[server].links[link].incarnation;
                            let own = item.from.is_some_and(|from| {
                                from.neighbour == link as u16 && from.incarnation == open_to
                            });
                            if !own {
                                self.offer(server, link, news.line(item));
                            }
                        }
                    }
                }
                Flooded::Mark(mark) => self.mark(server, mark),
            }
        }
    }

    fn mark(&mut self, server: usize, mark: Mark) {
        for link in 0..self.servers[server].links.len() {
            let mut line = Vec::new();
            if self.servers[server].links[link].outbox.mark(mark, &mut line) {
                self.offer(server, link, &line);
            }
        }
    }

    fn tick(&mut self, server: usize) {
        let (now, early) = (self.now, self.settings.early_marks);
        let it = &mut self.servers[server];
        let start = it.start;
        if it.node.store.news() != it.last_mark.total {
            let (epoch, total) = it.node.store.close_epoch();
            let mark = Mark { epoch, total, at: Duration::from_micros(now) };
            (it.last_mark, it.beat) = (mark, now);
            if early {
                self.mark(server, mark);
            } else {
                it.flood.push_back(Flooded::Mark(mark));
                let at = self.soon(self.settings.flood_delay);
                self.at(at, Event::Flood { server, start });
            }
        } else if now - it.beat >= micros(Timing::default().heartbeat) {
            it.beat = now;
            let mark = it.last_mark;
            self.mark(server, mark);
        }
        for link in 0..self.servers[server].links.len() {
            self.look_after(server, link);
        }
        // All of it at once, as where a store keeps a record is random.
        let (sweeps, now_ns) = ((now / SECOND).is_multiple_of(FORGET_SWEEP_S as u64), self.posix_ns(server));
        self.reckon(server);
        let (time, it) = (Duration::from_micros(now), &mut self.servers[server]);
        let _ = it.steps.look(now_ns, time);
        let (node, is_settled) = (&it.node, it.steps.is_settled(time));
        if let Some(oldest_s) = node.oldest_s(now_ns).filter(|_| sweeps && is_settled) {
            for bucket in node.store.buckets() {
                node.store.forget(bucket, oldest_s);
            }
        }
        self.at(now + SECOND, Event::Tick { server, start });
    }

    /// Nobody is forgotten before the slowest clock says so.
    fn reckon(&self, server: usize) {
        let it = &self.servers[server];
        it.node.set_lead_s(it.clocks.lead_s(Duration::from_micros(self.now)));
    }

    /// A neighbour said what its clock reads; returns what is to be said of this server's.
    fn hear_time(
        &self,
        server: usize,
        neighbour: usize,
        meter: &mut Meter,
        theirs: &ClockReading,
    ) -> ClockReading {
        let (now_ns, now) = (self.posix_ns(server), Duration::from_micros(self.now));
        let clocks = &self.servers[server].clocks;
        if let Some(offset) = meter.hear(theirs, now_ns, now) {
            let _ = clocks.measured(neighbour as u16, offset, now);
        }
        clocks.told(neighbour as u16, theirs.behind_ms, theirs.age_ms, now_ns / 1_000_000, now);
        self.reckon(server);
        meter.say(now_ns, now, clocks.slowest(now))
    }

    fn ask_time(&mut self, server: usize, link: usize) {
        let (now_ns, now) = (self.posix_ns(server), Duration::from_micros(self.now));
        let it = &mut self.servers[server];
        let found = &mut it.links[link];
        if now < found.ask_time_at {
            return;
        }
        found.ask_time_at = now + Timing::default().heartbeat;
        let mut line = Vec::new();
        Word::Time(found.meter.say(now_ns, now, it.clocks.slowest(now))).write(&mut line);
        self.offer(server, link, &line);
    }

    fn look_after(&mut self, server: usize, link: usize) {
        let (now, compares) = (Duration::from_micros(self.now), self.settings.compares);
        let it = &mut self.servers[server];
        let state = State { news: it.node.store.news(), forgotten: it.node.store.forgotten() };
        let found = &mut it.links[link];
        if !matches!(found.stage, Stage::Open) {
            return;
        }
        if found.session.is_silent(now) {
            let conn = found.conn;
            return self.lose(server, link, conn);
        }
        self.ask_time(server, link);
        let found = &mut self.servers[server].links[link];
        if compares && found.session.asks(state, now) {
            let mut line = Vec::new();
            Word::Ask.write(&mut line);
            self.offer(server, link, &line);
        }
    }

    // --- links

    fn dial(&mut self, server: usize, link: usize) {
        let other = self.servers[server].neighbours[link];
        if !self.servers[other].alive || self.is_cut(server, other) {
            return self.dial_later(server, link);
        }
        let conn = self.conns.len();
        self.conns.push(Conn {
            dialer: (server, link, self.servers[server].start),
            listener: (other, self.servers[other].start),
            up: Pipe::default(),
            down: Pipe::default(),
            dropped: false,
            link: None,
        });
        let mut said = Vec::new();
        let nonce = self.nonce();
        let dialer = Dialer::greet(&self.servers[server].own, nonce, &mut said);
        let greeted_ns = self.posix_ns(server);
        let found = &mut self.servers[server].links[link];
        (found.conn, found.stage) = (conn, Stage::Greeting(Some(dialer)));
        (found.meter, found.greeted_ns) = (Meter::default(), greeted_ns);
        found.session = Session::new(Timing::default(), Duration::from_micros(self.now));
        self.put(conn, true, said);
        self.at(self.now + micros(Timing::default().greeting), Event::Timeout { server, link, conn });
    }

    fn dial_later(&mut self, server: usize, link: usize) {
        let start = self.servers[server].start;
        let at = self.now + self.random.u64(100_000..2 * SECOND);
        self.at(at, Event::Dial { server, link, start });
    }

    /// The dialer's end of a connection is gone.
    fn lose(&mut self, server: usize, link: usize, conn: usize) {
        let (_, _, start) = self.conns[conn].dialer;
        self.abandon(conn);
        if self.runs(server, start) && self.servers[server].links[link].conn == conn {
            let found = &mut self.servers[server].links[link];
            found.outbox.close();
            (found.stage, found.walk, found.conn) = (Stage::Down, None, usize::MAX);
            found.sending.clear();
            self.dial_later(server, link);
        }
    }

    /// Nothing more is put in; of what is on its way a part still arrives, however late.
    fn abandon(&mut self, conn: usize) {
        let Some(found) = self.conns.get_mut(conn).filter(|found| !found.dropped) else { return };
        found.dropped = true;
        let arrives = self.random.usize(0..=found.up.lines.len());
        found.up.lines.truncate(arrives);
        found.down.lines.clear();
    }

    /// A connection breaks, as networks will.
    pub fn break_one(&mut self) {
        let open: Vec<_> = (0..self.conns.len()).filter(|&conn| !self.conns[conn].dropped).collect();
        if let Some(&conn) = self.random.choice(&open) {
            let (server, link, _) = self.conns[conn].dialer;
            self.lose(server, link, conn);
        }
    }

    pub fn cut(&mut self, a: usize, b: usize, duration: Time) {
        self.cut_until.insert((a.min(b), a.max(b)), self.now + duration);
    }

    pub fn stick(&mut self, server: usize, duration: Time) {
        self.stuck_until[server] = self.now + duration;
    }

    /// All faults end.
    pub fn heal(&mut self) {
        self.cut_until.clear();
        self.stuck_until.fill(0);
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut_until.get(&(a.min(b), a.max(b))).is_some_and(|&until| until > self.now)
    }

    fn time_out(&mut self, server: usize, link: usize, conn: usize) {
        let (listener, start) = self.conns[conn].listener;
        let (_, _, dialers) = self.conns[conn].dialer;
        if !self.runs(server, dialers) || self.servers[server].links[link].conn != conn {
            return;
        }
        match self.servers[server].links[link].stage {
            Stage::Greeting(_) => self.lose(server, link, conn),
            // Without a digest the neighbour gets everything.
            Stage::Narrowing if self.runs(listener, start) => self.open_up(server, link, conn),
            // The other end has ended.
            Stage::Open | Stage::Narrowing if !self.runs(listener, start) => self.lose(server, link, conn),
            Stage::Open | Stage::Narrowing | Stage::Down => {}
        }
    }

    fn open_up(&mut self, server: usize, link: usize, conn: usize) {
        self.servers[server].links[link].stage = Stage::Open;
        self.pump(server, link, conn);
    }

    /// Lines for a neighbour, from the flooder.
    fn offer(&mut self, server: usize, link: usize, line: &[u8]) {
        let conn = self.servers[server].links[link].conn;
        match self.servers[server].links[link].outbox.offer(line) {
            Offered::Kept => {}
            Offered::Wake => self.wake(server, link),
            Offered::Send if self.has_room(conn) => self.put(conn, true, line.to_vec()),
            Offered::Send => {
                self.servers[server].links[link].outbox.leave_logged(line, 0);
                self.wake(server, link);
            }
        }
    }

    fn wake(&mut self, server: usize, link: usize) {
        let conn = self.servers[server].links[link].conn;
        let at = self.soon(1_000);
        self.at(at, Event::Pump { server, link, conn });
    }

    /// The link's thread: sends what waits, and what the store has, as far as there is room.
    fn pump(&mut self, server: usize, link: usize, conn: usize) {
        if conn >= self.conns.len() || self.conns[conn].dropped {
            return;
        }
        loop {
            let found = &mut self.servers[server].links[link];
            if found.conn != conn || !matches!(found.stage, Stage::Open) {
                return;
            }
            if let Some(line) = found.sending.pop_front() {
                if !self.has_room(conn) {
                    self.servers[server].links[link].sending.push_front(line);
                    return;
                }
                self.servers[server].links[link].session.alive(Duration::from_micros(self.now));
                self.put(conn, true, line);
                continue;
            }
            if let Some((wanted, bucket)) = found.walk.take() {
                let mut lines = Vec::new();
                let store = &self.servers[server].node.store;
                store.buckets().for_each(|bucket| store.copy_bucket(bucket, &wanted, &mut lines));
                // Where a store keeps a record is random; here a part is of the same clients always.
                let parts = lines.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec);
                let mut part: Vec<_> = parts.filter(|line| line.len() % WALK_PARTS == bucket).collect();
                part.sort();
                let found = &mut self.servers[server].links[link];
                found.sending.extend(part);
                if bucket + 1 < WALK_PARTS {
                    found.walk = Some((wanted, bucket + 1));
                    // Others have their turn between two parts of a walk.
                    return self.wake(server, link);
                }
                continue;
            }
            match found.outbox.take_due() {
                Due::Nothing => return,
                Due::Store(wanted) => found.walk = Some((wanted, 0)),
                Due::Lines { bytes, .. } => {
                    found.sending.extend(bytes.split_inclusive(|&byte| byte == b'\n').map(<[u8]>::to_vec));
                }
            }
        }
    }

    // --- the network

    fn has_room(&self, conn: usize) -> bool {
        self.conns[conn].up.bytes < self.settings.capacity
    }

    fn put(&mut self, conn: usize, up: bool, lines: Vec<u8>) {
        for line in lines.split_inclusive(|&byte| byte == b'\n') {
            let (least, most) = self.settings.delay;
            let delay = self.random.u64(least..=most);
            let found = &mut self.conns[conn];
            if found.dropped {
                return;
            }
            let pipe = if up { &mut found.up } else { &mut found.down };
            // In order, as TCP has it.
            let at = pipe.lines.back().map_or(0, |(at, _)| *at).max(self.now + delay);
            pipe.bytes += line.len();
            pipe.lines.push_back((at, line.to_vec()));
            self.at(at, Event::Deliver { conn, up });
        }
    }

    fn deliver(&mut self, conn: usize, up: bool) {
        let ((dialer, link, dialers), (listener, listeners)) =
            (self.conns[conn].dialer, self.conns[conn].listener);
        let reader = if up { listener } else { dialer };
        let wait = self.stuck_until[reader].max(if self.is_cut(dialer, listener) {
            self.cut_until[&(dialer.min(listener), dialer.max(listener))]
        } else {
            0
        });
        if wait > self.now {
            return self.at(wait, Event::Deliver { conn, up });
        }
        let pipe = if up { &mut self.conns[conn].up } else { &mut self.conns[conn].down };
        let Some((_, line)) = pipe.lines.pop_front() else { return };
        pipe.bytes -= line.len();
        let line = &line[..line.len() - 1];
        if up {
            if self.runs(listener, listeners) {
                self.hear_dialer(conn, listener, line);
            }
            if self.runs(dialer, dialers) && !self.conns[conn].dropped {
                self.pump(dialer, link, conn);
            }
        } else if self.runs(dialer, dialers) && !self.conns[conn].dropped {
            self.hear_listener(conn, dialer, link, line);
        }
    }

    /// What a worker does with a line of a neighbour.
    fn hear_dialer(&mut self, conn: usize, server: usize, line: &[u8]) {
        let dialer = self.conns[conn].dialer.0;
        let Some(neighbour) = self.servers[server].neighbours.iter().position(|&it| it == dialer) else {
            panic!("only neighbours dial");
        };
        let (index, nonce) = (neighbour as u16, self.nonce());
        let now_ns = self.posix_ns(server);
        let it = &self.servers[server];
        let mut out = Vec::new();
        let mut link = self.conns[conn].link.take();
        let is_open = link.as_ref().map(Listener::is_open);
        match (Word::parse(line), is_open) {
            (Some(Word::Hello(end)), None) => {
                let (seen, count) = (it.seen.of(index, end.incarnation), it.node.store.count() as u64);
                let had = Standing { seen, count, now_ns };
                link = Some(Listener::welcome(&it.own, nonce, Some(index), &end, &self.keys, had, &mut out));
            }
            (Some(Word::Proof(proof)), Some(false)) => {
                let link = link.as_mut().expect("it greeted");
                link.prove(&proof, &it.own, &name(dialer), &self.keys).expect("it knows the secret");
            }
            (Some(Word::Time(reading)), Some(true)) => {
                let link = link.as_mut().expect("it greeted");
                Word::Time(self.hear_time(server, neighbour, &mut link.meter, &reading)).write(&mut out);
            }
            (Some(Word::Mark(epoch)), Some(true)) => {
                let incarnation = link.as_ref().expect("it greeted").incarnation();
                it.seen.note(index, incarnation, epoch);
                Word::Seen(epoch).write(&mut out);
                self.servers[server].journal.push(Kept::Seen(index, incarnation, epoch));
            }
            (Some(Word::Ask), Some(true)) => {
                let digest = self.digest(server);
                Word::Digest { count: digest.count, sums: digest.to_hex().as_bytes() }.write(&mut out);
            }
            (None, Some(true)) => {
                let incarnation = link.as_ref().expect("it greeted").incarnation();
                self.at_lines += 1;
                let kind = PeerKind::Neighbour { index: Some(index), plain: false };
                let peer = Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), kind, incarnation };
                self.turn(server, line, peer);
                if self.settings.duplicates && self.random.u8(0..4) == 0 {
                    let at = self.soon(30 * SECOND);
                    let (start, line) = (self.servers[server].start, line.to_vec());
                    self.at(at, Event::Again { server, start, line, peer });
                }
            }
            (verb, is_open) => panic!("{verb:?} at {is_open:?}"),
        }
        self.conns[conn].link = link;
        self.put(conn, false, out);
    }

    /// What a link's thread does with a line of the neighbour.
    fn hear_listener(&mut self, conn: usize, server: usize, link: usize, line: &[u8]) {
        let now = Duration::from_micros(self.now);
        let own = line.starts_with(b"DIGEST ").then(|| self.digest(server));
        let listener = name(self.conns[conn].listener.0);
        if self.servers[server].links[link].conn != conn {
            return;
        }
        if let Some(Word::Time(reading)) = Word::parse(line) {
            let mut meter = self.servers[server].links[link].meter;
            self.hear_time(server, link, &mut meter, &reading);
            self.servers[server].links[link].meter = meter;
        }
        let it = &mut self.servers[server];
        let (own_count, found) = (it.node.store.count(), &mut it.links[link]);
        if let Stage::Greeting(dialer) = &mut found.stage {
            let (mut said, dialer) = (Vec::new(), dialer.take().expect("it is answered once"));
            let welcome = dialer.answer(line, &it.own, &listener, &self.keys, &mut said);
            let welcome = welcome.expect("it knows the secret");
            found.session.alive(now);
            found.outbox.open(welcome.seen);
            found.incarnation = welcome.incarnation;
            let narrows = welcome.seen == 0 && welcome.count > 0 && own_count > 0;
            let (mut meter, echo_ns) = (found.meter, found.greeted_ns);
            let theirs = ClockReading { now_ns: welcome.now_ns, echo_ns, ..ClockReading::default() };
            Word::Time(self.hear_time(server, link, &mut meter, &theirs)).write(&mut said);
            if narrows {
                Word::Ask.write(&mut said);
            }
            let found = &mut self.servers[server].links[link];
            (found.stage, found.meter) = (Stage::Narrowing, meter);
            found.ask_time_at = now + Timing::default().heartbeat;
            self.put(conn, true, said);
            if narrows {
                self.at(
                    self.now + micros(Timing::default().digest_wait),
                    Event::Timeout { server, link, conn },
                );
            } else {
                self.open_up(server, link, conn);
            }
            return;
        }
        match found.session.hear(line, now) {
            Heard::Seen(epoch) => found.outbox.seen(epoch),
            Heard::Digest(theirs) => {
                let own = own.expect("it is one");
                if matches!(found.stage, Stage::Narrowing) {
                    found.outbox.narrow(own.differing(&theirs));
                    self.open_up(server, link, conn);
                } else if let Some(parts) = found.session.compare(&own, &theirs, it.node.store.news(), now) {
                    found.outbox.repair(parts);
                    self.wake(server, link);
                }
            }
            Heard::Nothing | Heard::Time(_) => {}
            Heard::Refusal | Heard::Twin(_) | Heard::Denied(_) => panic!("refused: {}", line.escape_ascii()),
        }
    }

    fn nonce(&mut self) -> Nonce {
        std::array::from_fn(|_| self.random.u8(..))
    }

    pub fn posix_ns(&self, server: usize) -> u64 {
        (1_600_000_000_000_000_000 + self.now as i64 * 1_000 + self.servers[server].skew_ns) as u64
    }

    /// Whether a server answers what is near a client.
    pub fn knows(&self, server: usize, client: &str) -> bool {
        let line = format!("WHATSAT {client} 1 0");
        let line = Line { text: line.as_bytes(), terminated: true, alone: false };
        let peer =
            Peer { address: IpAddr::V4(Ipv4Addr::LOCALHOST), kind: PeerKind::Stranger, incarnation: 0 };
        let (mut out, mut news) = (Vec::new(), News::default());
        let now_ns = self.posix_ns(server);
        let reply = self.servers[server].node.answer(line, peer, now_ns, &mut out, &mut news);
        matches!(reply, Reply::Nearby(_))
    }

    /// Whether all servers know the same.
    pub fn agrees(&self) -> bool {
        if !self.servers.iter().all(|server| server.alive) {
            return false;
        }
        let first = self.digest(0);
        (0..self.servers.len()).all(|server| self.digest(server) == first)
    }

    /// What a server knows, by its own clock.
    pub fn digest(&self, server: usize) -> Digest {
        let node = &self.servers[server].node;
        node.store.digest(node.oldest_s(self.posix_ns(server)))
    }

    /// The second before which all servers have forgotten what was heard, by whichever clock.
    pub fn oldest_s(&self) -> Option<i64> {
        let all = self.servers.iter().enumerate();
        all.filter_map(|(server, it)| it.node.oldest_s(self.posix_ns(server))).max()
    }

    pub fn links_up(&self) -> bool {
        let open = |server: &Server| server.links.iter().all(|link| matches!(link.stage, Stage::Open));
        self.servers.iter().all(|server| server.alive && open(server))
    }
}

fn name(index: usize) -> String {
    format!("S{index}")
}

fn micros(time: Duration) -> Time {
    time.as_micros() as Time
}
