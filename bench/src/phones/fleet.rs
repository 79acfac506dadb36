//! The phones: one thread with a poller, and for each phone a connection that is kept and the points that it has not got
//! rid of.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use socket2::SockRef;

use super::shape::{Shape, Verdict, secret};
use crate::connection::dial;
use crate::generator::histogram;
use crate::http;
use crate::poller::{Events, Interest, Poller};

/// What the phones do.
#[derive(Clone, Debug)]
pub struct Fleet {
    pub address: SocketAddr,
    pub phones: usize,
    pub shape: Shape,
    /// Every phone has a token of its own.
    pub has_own_tokens: bool,
    /// A phone reports so often; or it has so many points queued, and nothing else.
    pub work: Work,
    /// It is over after this, whatever is left.
    pub most: Duration,
    /// The time of the first points.
    pub base_s: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    Every(Duration),
    Queued(usize),
}

/// What came of it.
pub struct Told {
    /// From when a request was due to its answer, in ns.
    pub latency_ns: Histogram<u64>,
    pub requests: u64,
    pub points: u64,
    /// How many requests were to be made again, and how many connections were lost.
    pub refused: u64,
    pub lost: u64,
    /// Points that no phone got rid of.
    pub left: u64,
    pub took: Duration,
}

const EVENTS_MAX: usize = 1_024;
const READ_BYTES: usize = 64 * 1_024;

/// OwnTracks' way to wait for the next attempt: from a second, twice as long each time, up to this.
const PAUSE_MAX_S: u64 = 120;

/// What waits to be sent is in a phone's own memory. Here the kernel would keep a whole batch of each, more than it has for
/// all of TCP, and would drop what the clients of lines send.
const SEND_BUFFER_BYTES: usize = 16 * 1_024;

fn dial_as_phone(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = dial(address)?;
    SockRef::from(&stream).set_send_buffer_size(SEND_BUFFER_BYTES)?;
    Ok(stream)
}

struct Phone {
    stream: TcpStream,
    output: Vec<u8>,
    sent: usize,
    input: Vec<u8>,
    due_ns: u64,
    /// Points in the request under way, all that are left, and all that were taken.
    asked: usize,
    left: usize,
    taken: u64,
    failures: u32,
    is_watched_for_room: bool,
}

/// Phones with their connections.
pub struct Crowd<'f> {
    fleet: &'f Fleet,
    poller: Poller,
    phones: Vec<Phone>,
    due: BinaryHeap<Reverse<(u64, usize)>>,
    told: Told,
    start: Instant,
}

impl<'f> Crowd<'f> {
    /// # Errors
    /// Not all of them can connect.
    pub fn connect(fleet: &'f Fleet) -> io::Result<Crowd<'f>> {
        let poller = Poller::new()?;
        let mut phones = Vec::with_capacity(fleet.phones);
        for key in 0..fleet.phones {
            let stream = dial_as_phone(fleet.address)?;
            poller.add(&stream, key, Interest::Readable)?;
            let left = match fleet.work {
                Work::Every(_) => usize::MAX,
                Work::Queued(points) => points,
            };
            phones.push(Phone {
                stream,
                output: Vec::new(),
                sent: 0,
                input: Vec::new(),
                due_ns: 0,
                asked: 0,
                left,
                taken: 0,
                failures: 0,
                is_watched_for_room: false,
            });
        }
        let told = Told {
            latency_ns: histogram(),
            requests: 0,
            points: 0,
            refused: 0,
            lost: 0,
            left: 0,
            took: Duration::ZERO,
        };
        Ok(Crowd { fleet, poller, phones, due: BinaryHeap::new(), told, start: Instant::now() })
    }

    /// Has them report until they have nothing left, or their time is over. `is_over` is set then.
    ///
    /// # Errors
    /// An answer that no app would understand.
    pub fn run(mut self, is_over: &AtomicBool) -> Result<Told, String> {
        self.start = Instant::now();
        for key in 0..self.phones.len() {
            let at_ns = match self.fleet.work {
                Work::Every(every) => every.as_nanos() as u64 * key as u64 / self.phones.len() as u64,
                Work::Queued(_) => 0,
            };
            self.due.push(Reverse((at_ns, key)));
        }
        let done = self.converse();
        is_over.store(true, Ordering::SeqCst);
        done?;
        self.told.took = self.start.elapsed();
        if let Work::Queued(_) = self.fleet.work {
            self.told.left = self.phones.iter().map(|phone| phone.left as u64).sum();
        }
        Ok(self.told)
    }

    fn converse(&mut self) -> Result<(), String> {
        let mut events = Events::with_capacity(EVENTS_MAX);
        let mut buffer = vec![0; READ_BYTES];
        while self.start.elapsed() < self.fleet.most && self.phones.iter().any(|phone| phone.left > 0) {
            // A round of the poller, many of them before all phones are looked at again.
            for _ in 0..64 {
                let now_ns = self.start.elapsed().as_nanos() as u64;
                while let Some(&Reverse((at_ns, key))) = self.due.peek() {
                    if at_ns > now_ns {
                        break;
                    }
                    self.due.pop();
                    self.ask(key, at_ns);
                }
                let next_ns = self.due.peek().map_or(u64::MAX, |Reverse((at_ns, _))| *at_ns);
                let wait =
                    Duration::from_nanos(next_ns.saturating_sub(now_ns)).min(Duration::from_millis(10));
                self.poller.wait(&mut events, wait).map_err(|why| why.to_string())?;
                for key in events.keys() {
                    self.attend(key, &mut buffer)?;
                }
            }
        }
        Ok(())
    }

    fn ask(&mut self, key: usize, due_ns: u64) {
        let Fleet { shape, has_own_tokens, base_s, .. } = *self.fleet;
        let phone = &mut self.phones[key];
        let points = match self.fleet.work {
            Work::Every(_) => 1,
            Work::Queued(_) => phone.left.min(shape.batch()),
        };
        if points == 0 {
            return;
        }
        (phone.asked, phone.due_ns, phone.sent) = (points, due_ns, 0);
        phone.output.clear();
        shape.write(key, &secret(key, has_own_tokens), base_s + phone.taken, points, &mut phone.output);
        self.send(key);
    }

    fn send(&mut self, key: usize) {
        let phone = &mut self.phones[key];
        while phone.sent < phone.output.len() {
            match (&phone.stream).write(&phone.output[phone.sent..]) {
                Ok(count) => phone.sent += count,
                Err(why) if why.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return self.lose(key),
            }
        }
        let waits = phone.sent < phone.output.len();
        if !waits {
            // Ten thousand batches are more than this machine has to hold.
            phone.output = Vec::new();
            phone.sent = 0;
        }
        if waits != phone.is_watched_for_room {
            phone.is_watched_for_room = waits;
            let interest = if waits { Interest::ReadableAndWritable } else { Interest::Readable };
            let _ = self.poller.modify(&phone.stream, key, interest);
        }
    }

    fn attend(&mut self, key: usize, buffer: &mut [u8]) -> Result<(), String> {
        let phone = &mut self.phones[key];
        match (&phone.stream).read(buffer) {
            Ok(0) => self.lose(key),
            Ok(count) => {
                phone.input.extend_from_slice(&buffer[..count]);
                self.take_reply(key)?;
            }
            Err(why) if why.kind() == ErrorKind::WouldBlock => self.send(key),
            Err(_) => self.lose(key),
        }
        Ok(())
    }

    fn take_reply(&mut self, key: usize) -> Result<(), String> {
        let phone = &mut self.phones[key];
        let Some(reply) = http::cut(&phone.input)? else { return Ok(()) };
        let verdict = self.fleet.shape.judge(&reply)?;
        if reply.length() != phone.input.len() || phone.asked == 0 {
            return Err("a reply that answers nothing".into());
        }
        phone.input = Vec::new();
        let now_ns = self.start.elapsed().as_nanos() as u64;
        self.told.latency_ns.saturating_record(now_ns.saturating_sub(phone.due_ns).max(1));
        self.told.requests += 1;
        let asked = std::mem::take(&mut phone.asked);
        match verdict {
            Verdict::Taken => {
                phone.failures = 0;
                phone.taken += asked as u64;
                self.told.points += asked as u64;
                let next_ns = match self.fleet.work {
                    Work::Every(every) => phone.due_ns + every.as_nanos() as u64,
                    Work::Queued(_) => {
                        phone.left -= asked;
                        now_ns
                    }
                };
                if phone.left > 0 {
                    self.due.push(Reverse((next_ns, key)));
                }
            }
            Verdict::Refused => {
                self.told.refused += 1;
                self.later(key);
            }
        }
        Ok(())
    }

    /// The connection is gone, and what was on its way with it.
    fn lose(&mut self, key: usize) {
        self.told.lost += 1;
        let phone = &mut self.phones[key];
        (phone.output, phone.input, phone.sent) = (Vec::new(), Vec::new(), 0);
        if let Ok(stream) = dial_as_phone(self.fleet.address) {
            // The old one is closed by this, and leaves the poller.
            phone.stream = stream;
            phone.is_watched_for_room = false;
            let _ = self.poller.add(&phone.stream, key, Interest::Readable);
        }
        if std::mem::take(&mut phone.asked) > 0 {
            self.later(key);
        }
    }

    fn later(&mut self, key: usize) {
        let phone = &mut self.phones[key];
        phone.failures += 1;
        let pause_s = (1 << (phone.failures - 1).min(16)).min(PAUSE_MAX_S);
        let now_ns = self.start.elapsed().as_nanos() as u64;
        self.due.push(Reverse((now_ns + pause_s * 1_000_000_000, key)));
    }
}
