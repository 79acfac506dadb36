//! The load generator: a few threads, each with a poller and its share of the connections. Every
//! reply is checked; a wrong one voids the run. `compare` and `load` call it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};

use crate::connection::{Connection, Fault, dial};
use crate::dialect::{Dialect, Script};
use crate::dues::Dues;
use crate::mob::Mob;
use crate::pacing::{Pace, Schedule};
use crate::poller::{Events, Interest, Poller};

/// What to do to a server.
#[derive(Clone, Debug)]
pub struct Plan {
    pub address: SocketAddr,
    pub dialect: Dialect,
    pub connections: usize,
    /// Clients of each connection, who take turns: 1 but where streams are watched.
    pub clients_each: usize,
    /// Told when reports are due and answered.
    pub dues: Option<Arc<Dues>>,
    /// Connections that are held and say nothing.
    pub idle: usize,
    /// Clients that report once before it begins.
    pub known: usize,
    /// A connection for every command, closed after its reply.
    pub fresh: bool,
    /// With `fresh`: the client half-closes behind its command.
    pub half_closes: bool,
    /// The first connection has `GREEDY_DEPTH` commands under way, and counts only as load.
    pub greedy: bool,
    /// Beside clients that mean no good.
    pub mob: bool,
    pub pace: Pace,
    pub warm_up: Duration,
    pub measured: Duration,
    pub threads: usize,
    /// The number of the first connection's client.
    pub first_client: usize,
    /// The second that their times are fractions of: a later run is news only with a later one.
    pub base_s: u64,
}

/// What came of it, in the measured time.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Latencies in ns, from when a command was due to its whole reply.
    pub latency_ns: Histogram<u64>,
    /// The 99th percentile of each second, by each thread.
    pub p99_ns: Vec<u64>,
    /// Replies that came in the measured time.
    pub replies: u64,
    pub elapsed: Duration,
    /// Commands that had no reply when the run was given up: of an open loop those due in the
    /// measured time, of a closed one those under way since before it. Their wait so far is counted.
    pub unanswered: u64,
    /// The share of the time that the busiest generator thread computed: near 1, it was the limit.
    pub busy: f64,
    /// Why the run is void.
    pub fault: Option<String>,
    /// How many commands of each client were answered.
    pub answered: Vec<(usize, u64)>,
}

/// Latencies are told to three digits up to this.
const LATENCY_MAX_NS: u64 = 600_000_000_000;

/// How long an open loop waits for the replies to what was due.
const DRAIN: Duration = Duration::from_secs(5);

/// Commands under way on a connection that pipelines without end: more than a server reads at once.
const GREEDY_DEPTH: usize = 2_000;

/// Reports under way of clients that are to be known; their replies fit into what the system buffers.
const INTRODUCED_AT_ONCE: usize = 250;

const EVENTS_MAX: usize = 1_024;
const SECOND_NS: u64 = 1_000_000_000;
const READ_BYTES: usize = 64 * 1_024;

/// A generator thread this busy may have been the limit.
pub const BUSY_LIMIT: f64 = 0.95;

pub fn histogram() -> Histogram<u64> {
    let found = Histogram::new_with_bounds(1, LATENCY_MAX_NS, 3);
    found.expect("bounds and digits are constants that hdrhistogram takes")
}

impl Outcome {
    pub fn per_second(&self) -> f64 {
        self.replies as f64 / self.elapsed.as_secs_f64()
    }

    /// One outcome of the threads of a run.
    fn merge(mut self, other: Outcome) -> Outcome {
        let _ = self.latency_ns.add(&other.latency_ns);
        self.p99_ns.extend(other.p99_ns);
        self.replies += other.replies;
        self.elapsed = self.elapsed.max(other.elapsed);
        self.unanswered += other.unanswered;
        self.busy = self.busy.max(other.busy);
        self.fault = self.fault.or(other.fault);
        self.answered.extend(other.answered);
        self
    }
}

/// What is called while a plan runs.
pub struct Hooks<'a> {
    /// With the time from which due times count.
    pub begins: &'a (dyn Fn(Instant) + Sync),
    /// When the measured time begins and ends.
    pub opens: &'a (dyn Fn() + Sync),
    pub closes: &'a (dyn Fn() + Sync),
}

impl Hooks<'_> {
    /// Calls nothing.
    pub const NONE: Hooks<'static> = Hooks { begins: &|_| {}, opens: &|| {}, closes: &|| {} };
}

/// Runs a plan.
///
/// # Errors
/// The connections cannot be made. What goes wrong later voids the outcome.
pub fn run(plan: &Plan, hooks: &Hooks<'_>) -> io::Result<Outcome> {
    introduce(plan).map_err(|why| io::Error::other(format!("telling of clients before: {why}")))?;
    let idle: Vec<_> = (0..plan.idle).map(|number| hold(plan, number)).collect::<io::Result<_>>()?;
    let threads = plan.threads.clamp(1, plan.connections);
    let mut loads: Vec<_> =
        (0..threads).map(|thread| Load::open(plan, thread, threads)).collect::<io::Result<_>>()?;
    let mob = plan.mob.then(|| Mob::call(plan.address));
    let outcome = std::thread::scope(|scope| {
        let start = Instant::now();
        (hooks.begins)(start);
        let running: Vec<_> = loads.iter_mut().map(|load| scope.spawn(move || load.run(start))).collect();
        scope.spawn(move || {
            std::thread::sleep(plan.warm_up);
            (hooks.opens)();
            std::thread::sleep(plan.measured);
            (hooks.closes)();
        });
        let outcomes = running.into_iter().map(|thread| thread.join().expect("a generator thread panicked"));
        outcomes.reduce(Outcome::merge)
    });
    drop(mob);
    still_open(&idle)?;
    outcome.ok_or_else(|| io::Error::other("no connections to load it with"))
}

/// Tells the server of the clients that it is to know, over one connection.
fn introduce(plan: &Plan) -> io::Result<()> {
    let first = plan.first_client + plan.connections * plan.clients_each.max(1) + plan.idle;
    let clients: Vec<_> = (first..first + plan.known).collect();
    let mut stream = dial(plan.address)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(DRAIN))?;
    let mut buffer = vec![0; READ_BYTES];
    for some in clients.chunks(INTRODUCED_AT_ONCE) {
        let (mut reports, mut replies, mut done) = (Vec::new(), Vec::new(), 0);
        let mut scripts: Vec<_> =
            some.iter().map(|client| Script::new(&plan.dialect, *client, plan.base_s)).collect();
        scripts.iter_mut().for_each(|script| script.write(0, &mut reports));
        stream.write_all(&reports)?;
        for script in &mut scripts {
            done += loop {
                if let Some(length) = script.take_reply(0, &replies[done..]).map_err(io::Error::other)? {
                    break length;
                }
                match stream.read(&mut buffer)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    count => replies.extend_from_slice(&buffer[..count]),
                }
            };
        }
    }
    Ok(())
}

/// A connection that is held. By HTTP it has made a report, of a client of its own, so that the server has seen a
/// request of it and keeps it for the next.
fn hold(plan: &Plan, number: usize) -> io::Result<TcpStream> {
    let stream = dial(plan.address)?;
    if !matches!(plan.dialect, Dialect::Http { .. }) {
        return Ok(stream);
    }
    let client = plan.first_client + plan.connections + number;
    let mut connection = Connection::new(stream, client, Script::new(&plan.dialect, client, plan.base_s));
    connection.ask(DRAIN).map_err(|fault| io::Error::other(format!("an idle connection: {fault}")))?;
    Ok(connection.stream)
}

/// The idle connections must have been held to the end.
fn still_open(idle: &[TcpStream]) -> io::Result<()> {
    for stream in idle {
        let mut byte = [0];
        match stream.peek(&mut byte) {
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
            Ok(_) => return Err(io::Error::other("the server closed or spoke on an idle connection")),
            Err(why) => return Err(why),
        }
    }
    Ok(())
}

/// One thread's connections.
struct Load<'a> {
    plan: &'a Plan,
    poller: Poller,
    connections: Vec<Connection>,
    /// This thread's share of an open loop.
    schedule: Option<Schedule>,
    outcome: Outcome,
    /// Latencies of the second that is under way, and when it ends.
    second: Histogram<u64>,
    second_ends_ns: u64,
    /// Measured from here to there, in ns from the start.
    window_ns: std::ops::Range<u64>,
}

impl<'a> Load<'a> {
    fn open(plan: &'a Plan, thread: usize, threads: usize) -> io::Result<Load<'a>> {
        let poller = Poller::new()?;
        let mut connections = Vec::new();
        for client in (thread..plan.connections).step_by(threads) {
            let others = (0..plan.clients_each.max(1)).map(|turn| client + turn * plan.connections);
            let scripts = others
                .map(|client| Script::new(&plan.dialect, plan.first_client + client, plan.base_s))
                .collect();
            let stream = dial(plan.address)?;
            let mut connection = Connection::of_some(stream, client, scripts, plan.dues.clone());
            connection.half_closes = plan.half_closes;
            poller.add(&connection.stream, connections.len(), Interest::Readable)?;
            connections.push(connection);
        }
        let share = connections.len() as f64 / plan.connections as f64;
        let schedule = match plan.pace {
            Pace::Open { per_second } => Some(Schedule::new(per_second * share)),
            Pace::Closed { .. } => None,
        };
        let begin = plan.warm_up.as_nanos() as u64;
        let window_ns = begin..begin + plan.measured.as_nanos() as u64;
        let outcome = Outcome {
            latency_ns: histogram(),
            p99_ns: Vec::new(),
            replies: 0,
            elapsed: plan.measured,
            unanswered: 0,
            busy: 0.0,
            fault: None,
            answered: Vec::new(),
        };
        let (second, second_ends_ns) = (histogram(), begin + SECOND_NS);
        Ok(Load { plan, poller, connections, schedule, outcome, second, second_ends_ns, window_ns })
    }

    fn run(&mut self, start: Instant) -> Outcome {
        if let Err(fault) = self.load(start) {
            self.outcome.fault = Some(fault.to_string());
        }
        self.outcome.answered = self.connections.iter().map(Connection::answered).collect();
        self.outcome.clone()
    }

    fn load(&mut self, start: Instant) -> Result<(), Fault> {
        let mut buffer = vec![0; READ_BYTES];
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut cpu_at_start = None;
        self.begin(start)?;
        loop {
            let now_ns = since(start);
            if now_ns >= self.window_ns.start && cpu_at_start.is_none() {
                cpu_at_start = Some((thread_cpu(), now_ns));
            }
            if now_ns >= self.window_ns.end {
                // What was due before the end is sent, however late that is noticed.
                self.issue_due(self.window_ns.end.saturating_sub(1))?;
                break;
            }
            self.issue_due(now_ns)?;
            let timeout_ns = self.window_ns.end.min(self.next_due_ns()).saturating_sub(since(start));
            self.poller.wait(&mut events, Duration::from_nanos(timeout_ns))?;
            events.keys().try_for_each(|key| self.attend(key, &mut buffer, start))?;
        }
        if let Some((cpu, at_ns)) = cpu_at_start {
            let computed = (thread_cpu() - cpu).as_nanos() as f64;
            self.outcome.busy = computed / (since(start) - at_ns).max(1) as f64;
        }
        if self.schedule.is_some() {
            self.drain(start, &mut events, &mut buffer)?;
        }
        self.give_up(since(start));
        Ok(())
    }

    /// A closed loop begins with its commands under way.
    fn begin(&mut self, start: Instant) -> Result<(), Fault> {
        if let Pace::Closed { depth } = self.plan.pace {
            for key in 0..self.connections.len() {
                let depth = if self.is_greedy(key) { GREEDY_DEPTH } else { depth };
                (0..depth).for_each(|_| self.connections[key].push(since(start)));
                self.send(key)?;
            }
        }
        Ok(())
    }

    /// Whether a connection is the one that counts only as load.
    fn is_greedy(&self, key: usize) -> bool {
        self.plan.greedy && self.connections[key].client() == 0
    }

    fn next_due_ns(&self) -> u64 {
        self.schedule.as_ref().map_or(u64::MAX, Schedule::next_due_ns)
    }

    /// Sends what an open loop has due by now.
    fn issue_due(&mut self, now_ns: u64) -> Result<(), Fault> {
        let Some(schedule) = &mut self.schedule else { return Ok(()) };
        let mut touched = Vec::new();
        while let Some((number, due_ns)) = schedule.take(now_ns) {
            let key = (number % self.connections.len() as u64) as usize;
            if !self.connections[key].has_unsent() {
                touched.push(key);
            }
            self.connections[key].push(due_ns);
        }
        touched.into_iter().try_for_each(|key| self.send(key))
    }

    /// Reads a connection that is ready, and in a closed loop sends a command for every reply.
    fn attend(&mut self, key: usize, buffer: &mut [u8], start: Instant) -> Result<(), Fault> {
        let now_ns = since(start);
        let is_counted = !self.is_greedy(key);
        let (window, outcome) = (&self.window_ns, &mut self.outcome);
        let is_open = self.schedule.is_some();
        let connection = &mut self.connections[key];
        let mut replies = 0;
        connection.receive(buffer, |due_ns| {
            replies += 1;
            if !is_counted {
                return;
            }
            outcome.replies += u64::from(window.contains(&now_ns));
            // Latency is of what was due in the window in an open loop, of what came in it in a closed.
            if window.contains(if is_open { &due_ns } else { &now_ns }) {
                let latency_ns = now_ns.saturating_sub(due_ns).max(1);
                outcome.latency_ns.saturating_record(latency_ns);
                self.second.saturating_record(latency_ns);
            }
        })?;
        if now_ns >= self.second_ends_ns {
            self.second_ends_ns = now_ns + SECOND_NS;
            outcome.p99_ns.push(self.second.value_at_percentile(99.0));
            self.second.reset();
        }
        if self.plan.fresh && replies > 0 {
            // The old socket is closed by this, and leaves the poller.
            connection.replace(dial(self.plan.address)?);
            self.poller.add(&connection.stream, key, Interest::Readable)?;
        }
        if !is_open {
            (0..replies).for_each(|_| connection.push(now_ns));
        }
        self.send(key)
    }

    fn send(&mut self, key: usize) -> Result<(), Fault> {
        let connection = &mut self.connections[key];
        connection.send()?;
        if connection.has_unsent() != connection.watched_for_room {
            connection.watched_for_room = connection.has_unsent();
            let interest =
                if connection.watched_for_room { Interest::ReadableAndWritable } else { Interest::Readable };
            self.poller.modify(&connection.stream, key, interest)?;
        }
        Ok(())
    }

    /// Waits for the replies to all that was due, for so long; what has none then counts as late.
    fn drain(&mut self, start: Instant, events: &mut Events, buffer: &mut [u8]) -> Result<(), Fault> {
        let deadline_ns = self.window_ns.end + DRAIN.as_nanos() as u64;
        while since(start) < deadline_ns && self.connections.iter().any(|one| !one.due_ns.is_empty()) {
            let left = Duration::from_nanos(deadline_ns.saturating_sub(since(start)));
            self.poller.wait(events, left)?;
            events.keys().try_for_each(|key| self.attend(key, buffer, start))?;
        }
        Ok(())
    }

    /// Counts what has no reply, so that a server that leaves some without is seen to.
    fn give_up(&mut self, now_ns: u64) {
        let begin_ns = self.window_ns.start;
        let is_late = |due_ns: &u64| match self.schedule {
            Some(_) => self.window_ns.contains(due_ns),
            None => *due_ns < begin_ns,
        };
        let mut outcome = std::mem::replace(&mut self.outcome.unanswered, 0);
        for key in 0..self.connections.len() {
            if self.is_greedy(key) {
                continue;
            }
            for &due_ns in self.connections[key].due_ns.iter().filter(|due_ns| is_late(due_ns)) {
                outcome += 1;
                self.outcome.latency_ns.saturating_record(now_ns.saturating_sub(due_ns));
            }
        }
        self.outcome.unanswered = outcome;
    }
}

fn since(start: Instant) -> u64 {
    start.elapsed().as_nanos() as u64
}

/// What the calling thread has computed.
pub fn thread_cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests;
