//! A neighbour of the farthest server of a herd: what the flood brings here, that server has. It
//! tells when each update was seen, counted from when it was due, and when all were.

use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use crate::dialect::report_of;
use crate::generator;
use crate::link_end;
use crate::pacing;

pub struct Observer {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// By which it is a neighbour.
    name: String,
    /// How many commands of each client are known to have arrived: the newest's number and one.
    seen: Vec<AtomicU64>,
    timing: Mutex<Option<Timing>>,
}

/// What an open loop's updates are timed by.
pub struct Timing {
    pub start: Instant,
    pub per_second: f64,
    pub connections: usize,
    /// Updates due in this part of the run count, in ns from its start.
    pub window_ns: std::ops::Range<u64>,
    pub latency_ns: Histogram<u64>,
}

impl Timing {
    pub fn new(
        start: Instant,
        per_second: f64,
        connections: usize,
        window_ns: std::ops::Range<u64>,
    ) -> Timing {
        Timing { start, per_second, connections, window_ns, latency_ns: generator::histogram() }
    }

    /// These commands of a client are seen now: with a newer one the older are known to be past.
    fn note(&mut self, client: usize, commands: std::ops::Range<u64>) {
        let now_ns = self.start.elapsed().as_nanos() as u64;
        for command in commands {
            // Clients take turns, so a command's place in the schedule follows from its number.
            let number = command * self.connections as u64 + client as u64;
            let due_ns = pacing::due_ns(self.per_second, number);
            if self.window_ns.contains(&due_ns) {
                self.latency_ns.saturating_record(now_ns.saturating_sub(due_ns).max(1));
            }
        }
    }
}

impl Observer {
    /// Listens for the links of a server that has it as a neighbour, for so many clients.
    ///
    /// # Errors
    /// There is no port to be had.
    pub fn start(clients: usize) -> io::Result<Observer> {
        Observer::named(link_end::NAME, clients)
    }

    /// The same by another name.
    ///
    /// # Errors
    /// There is no port to be had.
    pub fn named(name: &str, clients: usize) -> io::Result<Observer> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let seen = (0..clients).map(|_| AtomicU64::new(0)).collect();
        let state = Arc::new(State { name: name.to_owned(), seen, timing: Mutex::new(None) });
        let shared = state.clone();
        // Ends with the process; a run has one, idle once its herd is gone.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = shared.clone();
                std::thread::spawn(move || state.read(stream));
            }
        });
        Ok(Observer { address, state })
    }

    pub fn time(&self, timing: Timing) {
        *self.state.timing.lock().unwrap_or_else(PoisonError::into_inner) = Some(timing);
    }

    /// What was timed.
    pub fn timed(&self) -> Option<Histogram<u64>> {
        let timing = self.state.timing.lock().unwrap_or_else(PoisonError::into_inner).take();
        timing.map(|timing| timing.latency_ns)
    }

    /// Forgets what was seen, as the server does that is observed when it is killed.
    pub fn forget(&self) {
        self.state.seen.iter().for_each(|seen| seen.store(0, Ordering::SeqCst));
    }

    /// Waits until of every client so many commands have been seen, and says how long that took.
    pub fn wait_for(&self, commands: impl Fn(usize) -> u64, at_most: Duration) -> Option<Duration> {
        let start = Instant::now();
        let all_seen = || {
            let mut seen = self.state.seen.iter().enumerate();
            seen.all(|(client, seen)| seen.load(Ordering::SeqCst) >= commands(client))
        };
        while !all_seen() {
            if start.elapsed() > at_most {
                return None;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Some(start.elapsed())
    }
}

impl State {
    fn read(&self, stream: TcpStream) {
        let mut reader = BufReader::with_capacity(64 * 1_024, stream);
        let mut line = Vec::new();
        while reader.read_until(b'\n', &mut line).is_ok_and(|count| count > 0) {
            self.note(&line);
            if link_end::answer(&self.name, &line, reader.get_mut()).is_err() {
                return;
            }
            line.clear();
        }
    }

    fn note(&self, line: &[u8]) {
        let Some((client, command)) = report_of(line) else { return };
        let Some(seen) = self.seen.get(client) else { return };
        let before = seen.fetch_max(command + 1, Ordering::SeqCst);
        if command < before {
            return;
        }
        if let Some(timing) = self.timing.lock().unwrap_or_else(PoisonError::into_inner).as_mut() {
            timing.note(client, before..command + 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn at_line(client: usize, command: u64) -> String {
        format!("AT Goloman +1.0 c{client:07}.bench +34.068930-118.445127 1520023934.{command:09}\n")
    }

    #[test]
    fn an_update_is_seen_when_it_or_a_newer_one_arrives() {
        let observer = Observer::start(2).expect("listening");
        let mut link = TcpStream::connect(observer.address).expect("connected");
        assert_eq!(observer.wait_for(|_| 1, Duration::from_millis(20)), None);
        let lines = at_line(0, 4)
            + "AT Goloman +1.0 kiwi +1+1 1\n"
            + &at_line(1, 0)
            + &at_line(0, 2)
            + &at_line(9, 9);
        link.write_all(lines.as_bytes()).expect("sent");
        let wanted = |client| if client == 0 { 5 } else { 1 };
        assert!(observer.wait_for(wanted, Duration::from_secs(20)).is_some());
        assert_eq!(observer.wait_for(|_| 2, Duration::from_millis(20)), None);
        observer.forget();
        assert_eq!(observer.wait_for(|_| 1, Duration::from_millis(20)), None);
    }

    #[test]
    fn latency_counts_from_when_an_update_was_due_and_takes_in_what_was_passed_over() {
        let start = Instant::now() - Duration::from_secs(1);
        // Two clients take turns at 10 a second: of client 1, command 1 is the fourth, due at 0.3 s.
        let mut timing = Timing::new(start, 10.0, 2, 100_000_000..400_000_000);
        timing.note(1, 0..2);
        assert_eq!(timing.latency_ns.len(), 2);
        let (min, max) = (timing.latency_ns.min(), timing.latency_ns.max());
        assert!((699_000_000..890_000_000).contains(&min) && (899_000_000..1_090_000_000).contains(&max));
        // Outside of what is measured.
        timing.note(0, 0..1);
        timing.note(0, 2..5);
        assert_eq!(timing.latency_ns.len(), 2);
    }
}
