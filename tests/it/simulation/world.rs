//! A herd in virtual time: events move real servers, and the network between them. One seed makes one run.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use fastrand::Rng;
use herd::clock::Moment;
use herd::door::{Answer, Question};
use herd::flood::Bounds as FloodBounds;
use herd::link::{Ended, Key, Talk};
use herd::net::Stream;
use herd::protocol::{Command, Reply};
use herd::status::Status;
use herd::store::digest::Digest;

use super::disk::SimDisk;
use super::network::{Due, End, Line, Net, Shared};
use super::server::{Plan, Running, folder_of};
use super::{SECOND, Settings, Time};

enum Event {
    Net(Due),
    Dial {
        link: usize,
    },
    /// A dialler looks after its connection.
    Talk {
        link: usize,
    },
    Flood,
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
}

/// A server, running or not.
pub struct Server {
    pub running: Option<Running>,
    /// Counts its starts, so that events of an earlier one are told.
    start: u32,
    neighbours: Vec<usize>,
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
        let servers = (0..settings.servers).map(|index| {
            let mut neighbours: Vec<_> = settings
                .edges
                .iter()
                .filter_map(|&(a, b)| if a == index { Some(b) } else { (b == index).then_some(a) })
                .collect();
            neighbours.sort_unstable();
            Server {
                running: None,
                start: 0,
                next: vec![None; neighbours.len() + 2],
                neighbours,
                skew_ns: random.i64(-30_000_000_000..30_000_000_000),
                now_ns: Arc::default(),
                disk: SimDisk::default(),
                max_line: settings.max_lines[index % settings.max_lines.len()],
            }
        });
        let servers = servers.collect();
        let mut net = Net::new(random.fork());
        net.no_memory_one_in = settings.no_memory_one_in;
        let memory = std::path::Path::new("/dev/shm");
        let folder = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
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
            folder: folder.expect("a folder"),
            settings,
        };
        (0..world.servers.len()).for_each(|server| world.start(server));
        world
    }

    // --- time

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
            Event::Net(Due::Transmit(end)) => return self.net.lock().transmit(end),
            Event::Net(Due::Arrive(end)) => return self.arrive(end),
            Event::Restart if self.servers[server].running.is_none() => return self.start(server),
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
            Event::Dial { link } => self.dial(server, link),
            Event::Talk { link } => self.talk(server, link),
            Event::Flood => self.flood(server),
            Event::Turn => self.turn(server),
            Event::Finish => self.finish(server),
            Event::Tick => self.tick(server),
            Event::Errand => self.errand(server),
            Event::Again { line } => self.again(server, &line),
            Event::Net(_) | Event::Restart => {}
        }
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
                self.look(server, link, at);
            }
        }
    }

    fn runs(&self, server: usize, start: u32) -> bool {
        self.servers[server].running.is_some() && self.servers[server].start == start
    }

    fn running(&mut self, server: usize) -> &mut Running {
        self.servers[server].running.as_mut().expect("it runs")
    }

    // --- servers

    fn start(&mut self, server: usize) {
        let incarnation = self.random.u64(1..);
        let now = self.moment(server);
        let settings = &self.settings;
        let is_strict = settings.journals && server.is_multiple_of(2);
        let it = &mut self.servers[server];
        it.start += 1;
        it.disk = SimDisk::new(is_strict);
        it.next.fill(None);
        let folder = folder_of(self.folder.path(), server);
        let plan = Plan {
            name: name(server),
            incarnation,
            neighbours: it.neighbours.iter().map(|&other| name(other)).collect(),
            keys: &self.keys,
            timing: settings.timing(),
            forget_after_s: settings.forget_after_s,
            max_line: it.max_line,
            room: settings.room,
            flood: FloodBounds { batches: settings.channel, small_bytes: settings.small_bytes },
            errands: settings.errands,
            journal: settings.journals.then(|| (folder, it.disk.clone())),
        };
        let (woken, start) = (self.woken.clone(), it.start);
        let wake = move |link| woken.lock().expect("no panic before").push((server, start, link));
        it.running = Some(Running::start(plan, now, &it.now_ns, wake));
        for link in 0..self.servers[server].neighbours.len() {
            let at = self.now + self.random.u64(0..50_000);
            self.at(at, server, Event::Dial { link });
        }
        let at = self.now + self.random.u64(0..SECOND);
        self.at(at, server, Event::Tick);
        self.look_at_flood(server, self.now);
    }

    /// Ends a server at once. With `power` some of its journal is lost, too; true if that was something.
    pub fn crash(&mut self, server: usize, back_after: Time, power: bool, forgets: bool) -> bool {
        let Some(running) = self.servers[server].running.take() else { return false };
        let ends = self.owners.iter().filter(|(_, (owner, ..))| *owner == server).map(|(end, _)| *end);
        let mut conns: Vec<_> = ends.map(|end| end.conn).collect();
        conns.sort_unstable();
        conns.dedup();
        drop(running);
        for conn in conns {
            self.net.lock().break_off(conn);
        }
        self.owners.retain(|_, (owner, ..)| *owner != server);
        let mut has_lost = forgets || !self.settings.journals;
        if has_lost {
            // It fails where there was none.
            let _ = std::fs::remove_dir_all(folder_of(self.folder.path(), server));
        } else if power {
            has_lost = self.servers[server].disk.lose_power(&mut self.random);
        }
        self.at(self.now + back_after, server, Event::Restart);
        self.settle();
        has_lost
    }

    fn tick(&mut self, server: usize) {
        let now = self.moment(server);
        let running = self.running(server);
        running.sweeps.go_on(now);
        running.tend();
        self.at(self.now + SECOND, server, Event::Tick);
    }

    fn turn(&mut self, server: usize) {
        if self.running(server).is_in_turn {
            return;
        }
        let (now, net, early) = (self.moment(server), self.net.clone(), self.settings.early_marks);
        let running = self.running(server);
        running.begin_turn(&net, now);
        if early {
            running.room.rest();
        }
        match self.settings.turn {
            0 => self.finish(server),
            most => {
                let at = self.now + self.random.u64(0..=most);
                self.at(at, server, Event::Finish);
            }
        }
    }

    fn finish(&mut self, server: usize) {
        if !self.running(server).is_in_turn {
            return;
        }
        self.moment(server);
        let net = self.net.clone();
        let running = self.running(server);
        running.finish_turn();
        let is_ready = !running.ready(&net.lock()).is_empty() || !running.answers.is_empty();
        let patience = running.room.patience();
        let has_questions = !running.room.outside().questions.lock().expect("no panic before").is_empty();
        if is_ready {
            self.look_at_room(server, self.now + 100);
        } else if let Some(patience) = patience {
            self.look_at_room(server, self.now + patience.as_micros() as Time + 100);
        }
        if has_questions {
            let at = self.soon();
            self.at(at, server, Event::Errand);
        }
        let at = self.now + self.random.u64(0..=self.settings.flood_delay);
        self.look_at_flood(server, at);
    }

    fn flood(&mut self, server: usize) {
        let now = self.moment(server);
        // All that is there, as it takes what has gathered.
        (0..self.settings.channel.min(64) + 1).for_each(|_| assert!(self.running(server).flooder.go_on(now)));
        let due = self.running(server).flooder.due().as_micros() as Time;
        self.look_at_flood(server, due.max(self.now + 1));
    }

    fn errand(&mut self, server: usize) {
        let now = self.moment(server);
        let running = self.running(server);
        let asked = running.room.outside().questions.lock().expect("no panic before");
        let (key, question) = {
            let mut asked = asked;
            if asked.is_empty() {
                return;
            }
            asked.remove(0)
        };
        let answer = match question {
            Question::Places(_) => Answer::Places(b"{}"[..].into()),
            Question::Digest => Answer::Digest(running.node().digest(now.posix_ns).into()),
            Question::Status => Answer::Status(Status::of(&running.core, now).into()),
        };
        running.answers.push((key, answer));
        let at = self.soon();
        self.look_at_room(server, at);
    }

    // --- clients

    /// A client on the same machine tells a server where it is. Returns the AT line, if it is acknowledged.
    pub fn report(&mut self, server: usize, line: &str) -> Option<String> {
        self.servers[server].running.as_ref()?;
        let said = self.say(server, format!("{line}\n").as_bytes());
        let (reply, _) = Reply::of_report(&said)?;
        let Reply::At(record) = reply else { return None };
        Some(String::from_utf8_lossy(record).into_owned())
    }

    /// Says something to a server in a turn of its own, and returns what it says at once.
    pub fn say(&mut self, server: usize, bytes: &[u8]) -> Vec<u8> {
        self.finish(server);
        let end = self.visitor(server, bytes);
        let (now, net) = (self.moment(server), self.net.clone());
        let running = self.running(server);
        // Twice, as it is welcomed in the first.
        for _ in 0..2 {
            running.begin_turn(&net, now);
            running.finish_turn();
        }
        let said = self.net.lock().take_all(End { side: 0, ..end });
        drop(self.net.stream(End { side: 0, ..end }));
        self.look_at_room(server, self.now + 100);
        let at = self.now + self.random.u64(0..=self.settings.flood_delay);
        self.look_at_flood(server, at);
        self.settle();
        said
    }

    /// A connection of somebody on the same machine, who has said something; the server's end of it.
    pub fn visitor(&mut self, server: usize, bytes: &[u8]) -> End {
        let line = Line { bandwidth: None, delay: (0, 0), send_buffer: 1 << 20, receive_buffer: 1 << 20 };
        let conn = self.net.lock().connect(line, (server, server));
        let end = End { conn, side: 1 };
        self.owners.insert(end, (server, self.servers[server].start, None));
        self.net.lock().put(end, bytes);
        self.running(server).backlog.push(end);
        self.look_at_room(server, self.now);
        end
    }

    /// An AT line that a neighbour once sent comes again, by way of somebody who is no worker.
    fn again(&mut self, server: usize, line: &[u8]) {
        let now = self.moment(server);
        let running = self.running(server);
        let Ok(Command::At(fields)) = Command::parse(line) else { panic!("{}", line.escape_ascii()) };
        running.tail.begin();
        running.tail.hear(&running.core, &fields, None, now.posix_ns);
        running.tail.commit(&running.core, now);
        running.tail.end();
        let at = self.soon();
        self.look_at_flood(server, at);
    }

    /// Has a server's record of a client come again somewhere else, at once or much later.
    pub fn repeat(&mut self, from: usize, to: usize, client: &str) {
        let Some(running) = &self.servers[from].running else { return };
        let line = running.node().store.read(client.as_bytes(), |record| record.line().to_vec());
        if let Some(line) = line {
            let at = self.now + self.random.u64(0..30 * SECOND);
            self.at(at, to, Event::Again { line });
        }
    }

    // --- links

    fn dial(&mut self, server: usize, link: usize) {
        let other = self.servers[server].neighbours[link];
        if self.servers[other].running.is_none() || self.is_cut(server, other) {
            return self.dial_later(server, link);
        }
        let conn = self.net.lock().connect(self.settings.line, (server, other));
        let (near, far) = (End { conn, side: 0 }, End { conn, side: 1 });
        self.owners.insert(near, (server, self.servers[server].start, Some(link)));
        self.owners.insert(far, (other, self.servers[other].start, None));
        let (now, stream) = (self.moment(server), Arc::new(self.net.stream(near)) as Arc<dyn Stream>);
        let found = &mut self.running(server).links[link];
        let talk = Talk::begin(found.link.clone(), stream, None, now).expect("random bytes");
        found.talk = Some((talk, near));
        self.running(other).backlog.push(far);
        self.look(server, link, self.now);
        let at = self.soon();
        self.look_at_room(other, at);
    }

    fn dial_later(&mut self, server: usize, link: usize) {
        let at = self.now + self.random.u64(100_000..2 * SECOND);
        self.at(at, server, Event::Dial { link });
    }

    /// What a dialler does when it is woken, or its connection is ready, or it is time.
    fn talk(&mut self, server: usize, link: usize) {
        let (now, net) = (self.moment(server), self.net.clone());
        let Running { links, wire, .. } = self.servers[server].running.as_mut().expect("it runs");
        let found = &mut links[link];
        let Some((talk, end)) = &mut found.talk else { return };
        let is_readable = net.lock().is_readable(*end);
        match talk.go_on(is_readable, now, wire) {
            Ok(()) => {
                let due = talk.due(now.up).as_micros() as Time;
                let (end, has_unsent) = (*end, talk.has_unsent());
                let net = net.lock();
                let is_ready = net.is_readable(end) || (has_unsent && net.is_writable(end));
                drop(net);
                self.look(server, link, if is_ready { self.now + 100 } else { due.max(self.now + 1) });
            }
            Err(why) => {
                let why = talk.last_words(why, now);
                let _ = talk.spare_refused(now);
                // One whose greeting was cut off is refused, and comes again.
                assert_ne!(why, Ended::Stopped);
                found.talk = None;
                found.link.outlet.close();
                self.dial_later(server, link);
            }
        }
    }

    /// A connection breaks, as networks will.
    pub fn break_one(&mut self) {
        let mut open: Vec<_> = self.links().collect();
        open.sort_unstable();
        if let Some(&conn) = self.random.choice(&open) {
            self.net.lock().break_off(conn);
            self.settle();
        }
    }

    /// The connections of links.
    fn links(&self) -> impl Iterator<Item = usize> {
        let links = self.servers.iter().flat_map(|it| &it.running).flat_map(|running| &running.links);
        links.filter_map(|link| Some(link.talk.as_ref()?.1.conn))
    }

    fn arrive(&mut self, end: End) {
        let (a, b) = self.net.lock().servers(end.conn);
        match self.cut_until.get(&(a.min(b), a.max(b))) {
            Some(&until) if until > self.now => self.at(until, 0, Event::Net(Due::Arrive(end))),
            _ => self.net.lock().arrive(end),
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
        self.net.lock().no_memory_one_in = 0;
        (0..self.servers.len()).for_each(|server| self.look_at_everything(server));
    }

    fn look_at_everything(&mut self, server: usize) {
        if self.servers[server].running.is_some() {
            (0..self.servers[server].next.len()).for_each(|what| self.look(server, what, self.now));
        }
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut_until.get(&(a.min(b), a.max(b))).is_some_and(|&until| until > self.now)
    }

    // --- what is known

    /// Whether a server knows where a client is.
    pub fn knows(&self, server: usize, client: &str) -> bool {
        let now_ns = self.posix_ns(server);
        let running = self.servers[server].running.as_ref();
        running.is_some_and(|running| running.node().find(client.as_bytes(), now_ns).is_some())
    }

    /// Whether all servers know the same.
    pub fn agrees(&self) -> bool {
        if !self.servers.iter().all(|server| server.running.is_some()) {
            return false;
        }
        let first = self.digest(0);
        (0..self.servers.len()).all(|server| self.digest(server) == first)
    }

    /// What a server knows, by its own clock.
    pub fn digest(&self, server: usize) -> Digest {
        let running = self.servers[server].running.as_ref();
        running.map(|running| running.node().digest(self.posix_ns(server))).unwrap_or_default()
    }

    /// The second before which all servers have forgotten what was heard, by whichever clock.
    pub fn oldest_s(&self) -> Option<i64> {
        let all = self.servers.iter().enumerate();
        all.filter_map(|(server, it)| it.running.as_ref()?.node().oldest_s(self.posix_ns(server))).max()
    }

    pub fn links_up(&self) -> bool {
        let is_open = |running: &Running| {
            running.links.iter().all(|it| it.talk.as_ref().is_some_and(|(talk, _)| talk.is_open()))
        };
        self.servers.iter().all(|it| it.running.as_ref().is_some_and(is_open))
    }

    /// AT lines that arrived over links.
    pub fn at_lines(&self) -> u64 {
        self.net.lock().at_lines
    }
}

pub fn name(index: usize) -> String {
    format!("S{index}")
}
