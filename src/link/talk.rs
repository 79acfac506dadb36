//! The dialling end of one connection of a link, from the greeting to the end: bytes in, lines out, and when to
//! look again. A dialler's thread moves it, and so does the simulation; it has no thread and no clock.

mod hearing;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::keys;
use super::reader::{Chunk, Next, Reader};
use super::{Link, Meter, Opening, Progress, Session};
use crate::clock::Moment;
use crate::limits::{LINGER_S, LINK_LOOK_MS};
use crate::logging::{Escaped, Wire};
use crate::net::Stream;
use crate::net::stream::is_retry;
use crate::node::Scope;
use crate::protocol::neighbour::{ClockReading, Word};

/// A connection to a neighbour. Times are since the start of the process's clock.
pub struct Talk {
    link: Arc<Link>,
    stream: Arc<dyn Stream>,
    /// Where it leads to.
    peer: Option<SocketAddr>,
    phase: Phase,
    /// What the neighbour said and has not ended.
    input: Vec<u8>,
    /// What the stream has not taken yet; `sent` bytes of it are gone.
    output: Vec<u8>,
    sent: usize,
    /// When it is too late for the stream to take something, and how long it had; None while nothing is unsent.
    stalls: Option<(Duration, Duration)>,
    reader: Reader,
    /// Nothing is left to be sent: what comes next is sent as it comes.
    is_caught_up: bool,
    session: Session,
    meter: Meter,
    /// Which of the neighbour's starts is at the other end.
    incarnation: u64,
    /// It answers probes.
    is_probed: bool,
    /// When the neighbour's clock is asked next, if it tells.
    ask_time_at: Option<Duration>,
    /// The last thing it said was that it refuses this.
    last_refused: Option<Vec<u8>>,
}

enum Phase {
    /// We said who we are; its answer is awaited.
    Greeting {
        opening: Opening,
        sent_ns: u64,
        until: Duration,
    },
    /// It refuses us, and may say why in its next line.
    Refused {
        until: Duration,
    },
    /// It knows a good deal, but not from this start of ours: its digest is awaited, to find the parts that it
    /// lacks. Without an answer it gets everything.
    Narrowing {
        until: Duration,
    },
    Open,
    /// All is sent, and the neighbour was told so: what it still says is read and dropped, as a connection that is
    /// closed with something unread is reset, and takes with it what the neighbour has not read.
    Leaving {
        until: Duration,
    },
}

/// Why a connection of a link ended, or could not be had.
#[derive(Debug, PartialEq, Eq)]
pub enum Ended {
    /// This server stops, and all is sent.
    Stopped,
    /// The other end is not who it should be, or refuses us, or cannot be dialled at all.
    Refused(String),
    /// The other end closed it, be it with bytes on their way, which resets it.
    Closed(String),
    /// The other end took or said nothing for too long.
    Stalled(String),
    Failed(String),
}

impl From<std::io::Error> for Ended {
    fn from(why: std::io::Error) -> Ended {
        use std::io::ErrorKind::{BrokenPipe, ConnectionReset, Other, TimedOut, UnexpectedEof};
        match why.kind() {
            Other => Ended::Refused(why.to_string()),
            BrokenPipe | ConnectionReset | UnexpectedEof => Ended::Closed(why.to_string()),
            TimedOut => Ended::Stalled(why.to_string()),
            _ => Ended::Failed(why.to_string()),
        }
    }
}

impl std::fmt::Display for Ended {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Ended::Stopped => "this server stops",
            Ended::Refused(why) | Ended::Closed(why) | Ended::Stalled(why) | Ended::Failed(why) => why,
        })
    }
}

impl Talk {
    /// Says who we are on a stream that is connected to the neighbour.
    ///
    /// # Errors
    /// This machine has no random bytes to greet with.
    pub fn begin(
        link: Arc<Link>,
        stream: Arc<dyn Stream>,
        peer: Option<SocketAddr>,
        now: Moment,
    ) -> Result<Talk, Ended> {
        let mut output = Vec::new();
        let opening = Opening::greet(&link.neighbours.identity(), keys::random()?, &mut output);
        let until = now.up + link.timing.greeting;
        let session = Session::new(link.timing, now.up);
        Ok(Talk {
            stream,
            peer,
            phase: Phase::Greeting { opening, sent_ns: now.posix_ns, until },
            input: Vec::new(),
            output,
            sent: 0,
            stalls: None,
            reader: Reader::default(),
            is_caught_up: false,
            session,
            meter: Meter::default(),
            incarnation: 0,
            is_probed: false,
            ask_time_at: None,
            last_refused: None,
            link,
        })
    }

    /// Whether the two have greeted each other, and records may be sent.
    pub fn is_open(&self) -> bool {
        matches!(self.phase, Phase::Open)
    }

    /// Whether the neighbour was sent everything that was due.
    pub fn is_caught_up(&self) -> bool {
        self.is_caught_up
    }

    /// Whether to look again as soon as the stream takes more.
    pub fn has_unsent(&self) -> bool {
        self.sent < self.output.len()
    }

    /// When to look again at the latest, should the stream not be ready before.
    pub fn due(&self, now: Duration) -> Duration {
        let timing = self.link.timing;
        let look = now + Duration::from_millis(LINK_LOOK_MS).min(timing.heartbeat).min(timing.compare / 2);
        let phase = match self.phase {
            Phase::Greeting { until, .. }
            | Phase::Refused { until }
            | Phase::Narrowing { until }
            | Phase::Leaving { until } => until,
            Phase::Open => look,
        };
        let stalls = self.stalls.map_or(look, |(at, _)| at);
        phase.min(stalls).min(look)
    }

    /// Goes on: reads what is there, if there may be something; looks at the time; and sends what is due for as
    /// long as the stream takes it.
    ///
    /// # Errors
    /// The connection is over.
    pub fn go_on(&mut self, is_readable: bool, now: Moment, wire: &mut Wire) -> Result<(), Ended> {
        if let Phase::Leaving { until } = self.phase {
            return self.leave(until, now);
        }
        if is_readable {
            self.read(now)?;
        }
        self.look(now, wire)?;
        self.send(now, wire)?;
        if self.link.outlet.is_stopping() {
            self.stop(now)?;
        }
        Ok(())
    }

    /// This server stops: what is due is still sent to a neighbour that has greeted.
    fn stop(&mut self, now: Moment) -> Result<(), Ended> {
        match self.phase {
            Phase::Open if self.is_caught_up => {
                // The neighbour may be gone; then there is nobody to tell.
                let _ = self.stream.finish();
                self.phase = Phase::Leaving { until: now.up + Duration::from_secs(LINGER_S) };
                Ok(())
            }
            Phase::Open | Phase::Leaving { .. } => Ok(()),
            Phase::Narrowing { ref mut until } => {
                *until = Duration::ZERO;
                Ok(())
            }
            Phase::Greeting { .. } | Phase::Refused { .. } => Err(Ended::Stopped),
        }
    }

    /// Reads and drops what the neighbour still says, until it has read all.
    fn leave(&mut self, until: Duration, now: Moment) -> Result<(), Ended> {
        self.input.clear();
        if self.fill(now).is_err() || now.up >= until { Err(Ended::Stopped) } else { Ok(()) }
    }

    // --- what is due at a time

    fn look(&mut self, now: Moment, wire: &mut Wire) -> Result<(), Ended> {
        match self.phase {
            Phase::Greeting { until, .. } if now.up >= until => {
                let seconds = self.link.timing.greeting.as_secs_f64();
                Err(Ended::Stalled(format!("it does not answer HERD for {seconds} s")))
            }
            Phase::Refused { until } if now.up >= until => Err(self.denied(b"")),
            Phase::Narrowing { until } if now.up >= until => {
                self.open(now);
                Ok(())
            }
            Phase::Open => {
                if self.session.is_silent(now.up) {
                    let seconds = self.link.timing.silence().as_secs_f64();
                    return Err(Ended::Stalled(format!("it said nothing for {seconds} s")));
                }
                if self.is_caught_up {
                    self.compare_when_due(now, wire);
                    self.ask_time_when_due(now);
                }
                Ok(())
            }
            Phase::Greeting { .. }
            | Phase::Refused { .. }
            | Phase::Narrowing { .. }
            | Phase::Leaving { .. } => Ok(()),
        }
    }

    fn compare_when_due(&mut self, now: Moment, wire: &mut Wire) {
        let store = &self.link.node.store;
        let progress = Progress { news: store.news(), forgotten: store.forgotten() };
        if let Some(scope) = self.session.scope_due(progress, now.up) {
            let mut line = Vec::new();
            self.ask(scope, progress, now, &mut line);
            // The flood may be writing, too, so it is offered like news.
            self.link.outlet.offer(&line, None, wire);
        }
    }

    /// Asks what the neighbour knows.
    fn ask(&mut self, scope: Scope, of: Progress, now: Moment, out: &mut Vec<u8>) {
        let span = self.link.node.span(scope, now.posix_ns);
        self.session.asks(scope, span, of, now.up);
        Word::Ask(span).write(out);
    }

    /// Asks what the neighbour's clock reads, once a heartbeat.
    fn ask_time_when_due(&mut self, now: Moment) {
        if self.is_time_asked(now) {
            self.ask_time(now);
        }
    }

    fn is_time_asked(&self, now: Moment) -> bool {
        self.ask_time_at.is_some_and(|at| at <= now.up)
    }

    /// The same now, behind what the flood has sent; false where it could not be sent.
    fn ask_time(&mut self, now: Moment) -> bool {
        let mut line = Vec::new();
        Word::Time(self.reading(now)).write(&mut line);
        self.link.outlet.offer_probe(&line, now.posix_ns, now.up)
    }

    fn reading(&mut self, now: Moment) -> ClockReading {
        self.ask_time_at = Some(now.up + self.link.timing.heartbeat);
        let slowest = self.link.neighbours.oddities.clocks.slowest(now.up);
        self.meter.say(now.posix_ns, now.up, slowest)
    }

    // --- what we say

    /// Sends what is due until the stream takes no more, or nothing is due.
    fn send(&mut self, now: Moment, wire: &mut Wire) -> Result<(), Ended> {
        loop {
            if self.has_unsent() && !self.write(now)? {
                self.is_caught_up = false;
                return Ok(());
            }
            if !self.is_open() {
                return Ok(());
            }
            match self.reader.next(&self.link.outlet, &self.link.node.store) {
                Next::Chunk(chunk) => self.give(chunk, now, wire),
                // A probe may have been lost, as the system had no memory for it.
                Next::Full if self.link.outlet.wants_probe() || self.is_time_asked(now) => self.probe(now),
                Next::Full => {
                    self.is_caught_up = false;
                    return Ok(());
                }
                Next::Nothing => {
                    self.is_caught_up = true;
                    if !self.link.outlet.wants_probe() || self.ask_time(now) {
                        return Ok(());
                    }
                    if self.link.outlet.is_live() {
                        // The socket takes nothing now: whoever fills it next has us look again.
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Takes up what is to be sent next, and a probe behind it if one is due.
    fn give(&mut self, chunk: Chunk, now: Moment, wire: &mut Wire) {
        let Chunk { bytes, logged } = chunk;
        wire.at(now.posix_ns);
        wire.with_neighbour(self.link.outlet.name());
        wire.flooded(&bytes[logged..]);
        wire.commit();
        (self.output, self.sent) = (bytes, 0);
        if self.link.outlet.wants_probe() {
            self.probe(now);
        }
    }

    /// Has the neighbour say when it has read what it was sent so far: it answers TIME when it comes to it.
    fn probe(&mut self, now: Moment) {
        Word::Time(self.reading(now)).write(&mut self.output);
        self.link.outlet.probe(now.posix_ns, now.up, self.reader.bucket());
    }

    /// Writes what the stream takes at once; true when that is all there is.
    fn write(&mut self, now: Moment) -> Result<bool, Ended> {
        let taken = match self.stream.write_now(&self.output[self.sent..]) {
            Ok(taken) => taken,
            Err(why) if is_retry(&why) => 0,
            Err(why) => return Err(why.into()),
        };
        self.sent += taken;
        if taken > 0 {
            if !self.is_probed {
                // It takes what it is sent, whether or not it finds time to say so. Of one that answers probes more is
                // known than what the system takes for it.
                self.session.alive(now.up);
            }
            self.stalls = None;
        }
        if !self.has_unsent() {
            (self.output, self.sent) = (Vec::new(), 0);
            return Ok(true);
        }
        // It is not waited for longer than for a word of it.
        let patience = self.link.outlet.write_timeout().min(self.session.patience(now.up));
        let (at, waited) = *self.stalls.get_or_insert((now.up + patience, patience));
        if now.up < at {
            return Ok(false);
        }
        Err(Ended::Stalled(format!("it took nothing for {} s", waited.as_secs_f64().ceil())))
    }

    // --- the end

    /// The connection is over, as far as is known for this reason; what it said last may tell better why. What is
    /// still on its way is dropped: the next connection is not to compete with a copy of what it sends.
    pub fn last_words(&mut self, why: Ended, now: Moment) -> Ended {
        self.stream.abandon();
        if matches!(why, Ended::Refused(_)) {
            return why;
        }
        self.read(now).err().filter(|said| matches!(said, Ended::Refused(_))).unwrap_or(why)
    }

    /// Spares the neighbour a record over which it closed the connection; true if there was one.
    pub fn spare_refused(&mut self, now: Moment) -> bool {
        let Some(beginning) = self.last_refused.take() else { return false };
        if !self.link.outlet.spare(&beginning) {
            return false;
        }
        let (name, record) = (self.link.outlet.name(), Escaped(&beginning));
        self.link.outlet.spared.count(now.up, |total| {
            log::warn!(
                "{name} closed the link because it rejects a record, which is not sent to it any more: {record}; \
                 {total} so far"
            );
        });
        true
    }
}
