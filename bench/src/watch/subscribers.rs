//! Subscribers of a stream of events, all on one thread: each reads as fast as it can, or never. Positions are counted in
//! all streams, and looked at in some.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use memchr::{memchr, memchr_iter, memmem};

use crate::connection::dial;
use crate::dues::{Dues, Seen};
use crate::generator::{histogram, thread_cpu};
use crate::poller::{Events, Interest, Poller};

/// Streams that are looked at, event by event.
const LOOKED_AT: usize = 20;

/// How long a subscriber may wait for the answer to its request, and after the last report for what it has not got.
const ANSWER_MAX: Duration = Duration::from_secs(30);
const SETTLE_MAX: Duration = Duration::from_secs(5);

/// They have heard everything when nothing has come for so long.
const SILENCE: Duration = Duration::from_millis(300);

const READ_BYTES: usize = 256 * 1_024;
const EVENTS_MAX: usize = 1_024;

/// How long the thread waits at once, so that it sees that a run has gone on.
const LOOK: Duration = Duration::from_millis(20);

/// Where a run is: set by whoever makes the reports.
#[derive(Debug, Default)]
pub struct Stage(AtomicU8);

impl Stage {
    const OPEN: u8 = 1;
    const CLOSED: u8 = 2;
    const OVER: u8 = 3;

    /// The measured time begins, then ends.
    pub fn open(&self) {
        self.0.store(Stage::OPEN, Ordering::SeqCst);
    }

    pub fn close(&self) {
        self.0.store(Stage::CLOSED, Ordering::SeqCst);
    }

    /// No report comes any more.
    pub fn end(&self) {
        self.0.store(Stage::OVER, Ordering::SeqCst);
    }

    fn is(&self, stage: u8) -> bool {
        self.0.load(Ordering::SeqCst) == stage
    }
}

/// What subscribers got in the measured time.
#[derive(Clone, Debug)]
pub struct Told {
    /// In all streams, and their bytes.
    pub positions: u64,
    pub bytes: u64,
    /// In the streams that were looked at; and those of them that were the newest of their client then.
    pub seen: u64,
    pub newest: u64,
    /// From when a report was due until a subscriber had read it.
    pub latency_ns: Histogram<u64>,
    /// How often the server said that it left something out.
    pub lags: u64,
    /// Positions that came after a newer one of their client.
    pub steps_back: u64,
    /// Clients whose newest position a stream that was looked at had not got when it was long over.
    pub lacking: u64,
    pub busy: f64,
}

struct Subscriber {
    stream: TcpStream,
    /// Of one that is looked at.
    look: Option<Look>,
}

/// What a stream said.
struct Look {
    /// The front of a line.
    rest: Vec<u8>,
    /// Of each client: the number of the report that came last, and one.
    last: Vec<u64>,
    /// The second of this run.
    base_s: u64,
}

pub struct Subscribers {
    dues: Arc<Dues>,
    poller: Poller,
    reading: Vec<Subscriber>,
    /// They are held, and never read.
    _asleep: Vec<TcpStream>,
    told: Told,
}

impl Subscribers {
    /// Has so many subscribe to a path, and others who do so and read nothing.
    ///
    /// # Errors
    /// Not all of them are let in.
    pub fn connect(
        (address, path): (SocketAddr, &str),
        [reading, asleep]: [usize; 2],
        (clients, base_s): (usize, u64),
        dues: Arc<Dues>,
    ) -> io::Result<Subscribers> {
        let subscribe = || {
            let mut stream = dial(address)?;
            let request =
                format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
            stream.write_all(request.as_bytes())?;
            Ok::<_, io::Error>(stream)
        };
        let poller = Poller::new()?;
        let every = (reading / LOOKED_AT).max(1);
        let mut subscribers = Vec::with_capacity(reading);
        for number in 0..reading {
            let is_looked_at = number % every == 0;
            let look = is_looked_at.then(|| Look { rest: Vec::new(), last: vec![0; clients], base_s });
            subscribers.push(Subscriber { stream: subscribe()?, look });
        }
        for subscriber in &subscribers {
            wait_for_answer(&subscriber.stream)?;
        }
        for (key, subscriber) in subscribers.iter().enumerate() {
            poller.add(&subscriber.stream, key, Interest::Readable)?;
        }
        let asleep = (0..asleep).map(|_| subscribe()).collect::<io::Result<_>>()?;
        let told = Told {
            positions: 0,
            bytes: 0,
            seen: 0,
            newest: 0,
            latency_ns: histogram(),
            lags: 0,
            steps_back: 0,
            lacking: 0,
            busy: 0.0,
        };
        let mut all = Subscribers { dues, poller, reading: subscribers, _asleep: asleep, told };
        all.hear_out().map_err(io::Error::other)?;
        Ok(all)
    }

    /// Reads what everybody is told at first.
    fn hear_out(&mut self) -> Result<(), String> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; READ_BYTES];
        let deadline = Instant::now() + ANSWER_MAX;
        loop {
            self.poller.wait(&mut events, SILENCE).map_err(|why| why.to_string())?;
            let mut keys = events.keys().peekable();
            if keys.peek().is_none() || Instant::now() > deadline {
                return Ok(());
            }
            keys.try_for_each(|key| self.read(key, &mut buffer, false))?;
        }
    }

    /// Reads until the run is over, and what was under way then.
    ///
    /// # Errors
    /// A stream ends, or has what nobody reported.
    pub fn run(mut self, stage: &Stage) -> Result<Told, String> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; READ_BYTES];
        let mut began = None;
        let mut is_measured = false;
        let mut over_since: Option<Instant> = None;
        loop {
            self.poller.wait(&mut events, LOOK).map_err(|why| why.to_string())?;
            if stage.is(Stage::OPEN) && began.is_none() {
                began = Some((thread_cpu(), Instant::now()));
            }
            if stage.is(Stage::OPEN) {
                is_measured = true;
            } else if std::mem::take(&mut is_measured)
                && let Some((cpu, at)) = began
            {
                self.told.busy = (thread_cpu() - cpu).as_secs_f64() / at.elapsed().as_secs_f64().max(1e-9);
            }
            for key in events.keys() {
                self.read(key, &mut buffer, is_measured)?;
            }
            if stage.is(Stage::OVER) {
                let since = *over_since.get_or_insert_with(Instant::now);
                self.told.lacking = self.lacking();
                if self.told.lacking == 0 || since.elapsed() > SETTLE_MAX {
                    return Ok(self.told);
                }
            }
        }
    }

    fn read(&mut self, key: usize, buffer: &mut [u8], is_measured: bool) -> Result<(), String> {
        let Subscriber { stream, look } = &mut self.reading[key];
        let bytes = match stream.read(buffer) {
            Ok(0) => return Err("the server ended a stream".into()),
            Ok(count) => &buffer[..count],
            Err(why) if matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                return Ok(());
            }
            Err(why) => return Err(format!("a stream: {why}")),
        };
        if is_measured {
            self.told.bytes += bytes.len() as u64;
            // A position is an object without others in it; but for the beginning there is nothing else in braces.
            self.told.positions += memchr_iter(b'{', bytes).count() as u64;
        }
        match look {
            Some(look) => look.take(bytes, &self.dues, is_measured, &mut self.told),
            None => Ok(()),
        }
    }

    /// Clients whose newest position did not come, over all streams that are looked at.
    fn lacking(&self) -> u64 {
        let looks = self.reading.iter().filter_map(|subscriber| subscriber.look.as_ref());
        let lacks = |look: &Look| {
            (0..look.last.len()).filter(|&client| look.last[client] < self.dues.count(client)).count()
        };
        looks.map(|look| lacks(look) as u64).sum()
    }
}

impl Look {
    fn take(&mut self, bytes: &[u8], dues: &Dues, is_measured: bool, told: &mut Told) -> Result<(), String> {
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            if self.rest.is_empty() {
                self.take_line(line, dues, is_measured, told)?;
            } else {
                let mut whole = std::mem::take(&mut self.rest);
                whole.extend_from_slice(line);
                self.take_line(&whole, dues, is_measured, told)?;
            }
            rest = behind;
        }
        self.rest.extend_from_slice(rest);
        Ok(())
    }

    fn take_line(
        &mut self,
        line: &[u8],
        dues: &Dues,
        is_measured: bool,
        told: &mut Told,
    ) -> Result<(), String> {
        if is_measured && line.starts_with(b"event: lagged") {
            told.lags += 1;
        }
        if !line.starts_with(b"data: {\"id\":") {
            return Ok(());
        }
        let wrong = |why: &str| format!("an event is {:?}: {why}", String::from_utf8_lossy(line));
        let (client, second, number) = report_of(line).ok_or_else(|| wrong("not of a client of a run"))?;
        if second < self.base_s {
            // It is of a run before.
            return Ok(());
        }
        let seen = dues.see(client, number).ok_or_else(|| wrong("nobody reported that"))?;
        let last = self.last.get_mut(client).ok_or_else(|| wrong("there is no such client"))?;
        if number + 1 < *last {
            told.steps_back += 1;
            return Ok(());
        }
        *last = number + 1;
        if is_measured {
            told.note(seen, dues);
        }
        Ok(())
    }
}

impl Told {
    fn note(&mut self, Seen { due_ns, is_newest }: Seen, dues: &Dues) {
        self.seen += 1;
        self.newest += u64::from(is_newest);
        if let (Some(due_ns), Some(start)) = (due_ns, dues.start.get()) {
            let now_ns = start.elapsed().as_nanos() as u64;
            self.latency_ns.saturating_record(now_ns.saturating_sub(due_ns).max(1));
        }
    }
}

/// In the data of a position: the client's number, and the run's second and the report's number.
fn report_of(line: &[u8]) -> Option<(usize, u64, u64)> {
    let number = |digits: &[u8]| std::str::from_utf8(digits).ok()?.parse::<u64>().ok();
    let id = line.strip_prefix(b"data: {\"id\":\"c")?;
    let (client, rest) = id.split_at(memchr(b'.', id)?);
    let rest = rest.strip_prefix(b".bench\"")?;
    let time = &rest[memmem::find(rest, b"\"time\":\"")? + 8..];
    let time = &time[..memchr(b'"', time)?];
    let (second, fraction) = time.split_at(memchr(b'.', time)?);
    Some((number(client)? as usize, number(second)?, number(&fraction[1..])?))
}

fn wait_for_answer(stream: &TcpStream) -> io::Result<()> {
    let deadline = Instant::now() + ANSWER_MAX;
    let mut front = [0; 13];
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(ANSWER_MAX))?;
    while stream.peek(&mut front)? < front.len() && Instant::now() < deadline {}
    stream.set_nonblocking(true)?;
    match &front {
        b"HTTP/1.1 200 " => Ok(()),
        front => Err(io::Error::other(format!("a subscriber is answered {}", front.escape_ascii()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_tells_whose_which_report_it_is() {
        let line = concat!(
            "data: {\"id\":\"c0000123.bench\",\"lat\":34.068930,\"lon\":-118.445127,",
            "\"time\":\"1520023934.000000456\",\"server\":\"Goloman\",\"received\":1520023935}"
        );
        assert_eq!(report_of(line.as_bytes()), Some((123, 1_520_023_934, 456)));
        for other in ["data: {\"id\":\"kiwi\"}", "data: {}", "", "data: {\"id\":\"c0000123.bench\"}"] {
            assert_eq!(report_of(other.as_bytes()), None, "{other}");
        }
    }
}
