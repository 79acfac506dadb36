//! How herd grows: CPU for an update and memory, by the number of clients, the length of an ID, the number of neighbours, and
//! the servers of a herd. `compare` calls it.

use std::fs;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use crate::compare::round;
use crate::connection::dial;
use crate::crowd::{Crowd, ID_BYTES_MIN, Size};
use crate::dialect::Dialect;
use crate::failure::HANG;
use crate::five;
use crate::generator::{self, Hooks, Plan};
use crate::observer::Observer;
use crate::pacing::Pace;
use crate::process::Usage;
use crate::report::Round;
use crate::report::growth::{Grown, Point};
use crate::start::{AGREE_MAX, NAME, Started, Starter, neighbour_name};
use crate::variants::Variant;
use crate::workload::{BASE_S, Door, Times};

/// What grows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    Clients,
    IdBytes,
    Neighbours,
    Servers,
}

/// A workload of several sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    pub name: &'static str,
    pub about: &'static str,
    pub of: Of,
    /// Commands under way on each connection; none where updates come at a pace of their own.
    pub depth: usize,
    pub sizes: &'static [usize],
}

/// Another name for all of them.
pub const ALL_NAME: &str = "growth";

pub const ALL: [Growth; 5] = [
    Growth {
        name: "clients",
        about: "random updates over so many clients, 50 connections, 16 commands under way on each",
        of: Of::Clients,
        depth: DEPTH,
        sizes: &[1_000, 10_000, 100_000, 1_000_000, 5_000_000],
    },
    Growth {
        name: "line",
        about: "the same of 1,000 clients whose IDs have so many bytes",
        of: Of::IdBytes,
        depth: DEPTH,
        sizes: &[ID_BYTES_MIN, 64, 256, 1_024, 3_900],
    },
    Growth {
        name: "neighbours",
        about: "the same of 1,000 clients, passed on to so many neighbours, each of which is this program",
        of: Of::Neighbours,
        depth: DEPTH,
        sizes: &[0, 1, 2, 4, 8, 16],
    },
    Growth {
        name: "neighbours-1",
        about: "the same with one command under way on each connection",
        of: Of::Neighbours,
        depth: 1,
        sizes: &[0, 1, 2, 4, 8, 16],
    },
    Growth {
        name: "servers",
        about: "1,000 updates/s of 1,000 clients at one of so many servers, each of which has four neighbours; CPU and memory \
                are of all together",
        of: Of::Servers,
        depth: 0,
        sizes: &[5, 10, 20, 50],
    },
];

/// How many of the sizes `--quick` has.
const QUICK_SIZES: usize = 2;

const CONNECTIONS: usize = 50;
const DEPTH: usize = 16;
const CLIENTS: usize = 1_000;
const SERVERS_PER_SECOND: f64 = 1_000.0;

/// What is introduced at once; the replies fit into what the system buffers.
const INTRODUCED_BYTES: usize = 16 * 1_024;

/// What a size needs at the most, generously: while its table of clients grows, a server has two of them.
const CLIENT_BYTES_MAX: u64 = 600;
const SERVER_BYTES_MAX: u64 = 30_000_000;

/// The client whose update shows that what came before it has come.
const PROBE: usize = 0;

/// How it is measured.
pub struct Bench<'a> {
    pub starter: &'a Starter,
    pub variant: &'a Variant,
    pub times: Times,
    pub rounds: usize,
    pub is_quick: bool,
    /// Says what is being done.
    pub says: &'a dyn Fn(&str),
}

/// The workloads of a name, if it is one.
pub fn find(name: &str) -> Vec<Growth> {
    ALL.into_iter().filter(|growth| name == ALL_NAME || growth.name == name).collect()
}

impl Bench<'_> {
    /// All sizes of it that there is memory for, in each round in another order.
    pub fn run(&self, growth: &Growth) -> Grown {
        let count = if self.is_quick { QUICK_SIZES } else { growth.sizes.len() };
        let sizes = &growth.sizes[..count.min(growth.sizes.len())];
        let at_hand = memory_at_hand();
        let point = |&size: &usize| Point {
            at: size as u64,
            left_out: lacks(growth.of, size, at_hand),
            rounds: Vec::new(),
        };
        let mut points: Vec<_> = sizes.iter().map(point).collect();
        for number in 1..=self.rounds {
            let mut order: Vec<_> = (0..points.len()).collect();
            fastrand::shuffle(&mut order);
            for index in order.into_iter().filter(|&index| sizes.len() > index) {
                let point = &mut points[index];
                if point.left_out.is_some() {
                    continue;
                }
                (self.says)(&format!("{} {}: round {number} of {}", growth.name, point.at, self.rounds));
                let ran = self.measure(growth, sizes[index]);
                let void = |why: io::Error| Round { void: Some(why.to_string()), ..Round::default() };
                point.rounds.push(ran.unwrap_or_else(void));
            }
        }
        Grown {
            name: growth.name.into(),
            about: growth.about.into(),
            variant: self.variant.name.clone(),
            points,
        }
    }

    fn measure(&self, growth: &Growth, size: usize) -> io::Result<Round> {
        let of = growth.of;
        let clients = if of == Of::Clients { size } else { CLIENTS };
        let id_bytes = if of == Of::IdBytes { size } else { ID_BYTES_MIN };
        let crowd = Size { clients, connections: CONNECTIONS, id_bytes };
        let mut observers = Vec::new();
        let started = match of {
            Of::Clients => {
                // The default is fewer than there are to be.
                let mut variant = self.variant.clone();
                variant.settings += "max_clients = 0\n";
                self.starter.one(&variant, &[], Door::Lines)?
            }
            Of::IdBytes => self.starter.one(self.variant, &[], Door::Lines)?,
            Of::Neighbours => {
                let named = (0..size).map(|index| Observer::named(&neighbour_name(index), PROBE + 1));
                observers = named.collect::<io::Result<Vec<_>>>()?;
                let addresses: Vec<_> = observers.iter().map(|observer| observer.address).collect();
                self.starter.one(self.variant, &addresses, Door::Lines)?
            }
            Of::Servers => {
                observers.push(Observer::start(PROBE + 1)?);
                self.starter.ring(self.variant, size, observers[0].address)?
            }
        };
        let address = started.first().address;
        probe(address, &observers, BASE_S)?;
        let first = started.usage();
        introduce(address, crowd)?;
        // What is measured is the load, and not the passing on of these.
        probe(address, &observers, BASE_S + 1)?;
        let round = self.load(&started, first, crowd, growth)?;
        probe(address, &observers, BASE_S + 2)?;
        Ok(round)
    }

    fn load(&self, started: &Started, first: Usage, crowd: Size, growth: &Growth) -> io::Result<Round> {
        let pace = match growth.of {
            Of::Servers => Pace::Open { per_second: SERVERS_PER_SECOND },
            Of::Clients | Of::IdBytes | Of::Neighbours => Pace::Closed { depth: growth.depth },
        };
        let plan = Plan {
            dialect: Dialect::Crowd { server: NAME.into(), size: crowd },
            ..five::plan(started.first().address, CONNECTIONS, pace, self.times)
        };
        let (before, after) = (Mutex::new(first), Mutex::new(first));
        let note = |slot: &Mutex<Usage>| {
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = started.usage();
        };
        let hooks = Hooks { opens: &|| note(&before), closes: &|| note(&after), ..Hooks::NONE };
        let outcome = generator::run(&plan, &hooks)?;
        let read = |slot: Mutex<Usage>| slot.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok(round(&outcome, [first, read(before), read(after)], &started.first().stderr()))
    }
}

/// Waits until an update, which is newer with a greater second, reaches all that observe.
fn probe(address: SocketAddr, observers: &[Observer], at_s: u64) -> io::Result<()> {
    if observers.is_empty() {
        return Ok(());
    }
    observers.iter().for_each(Observer::forget);
    five::tell_once(address, PROBE, at_s)?;
    for observer in observers {
        let seen = observer.wait_for(|_| 1, AGREE_MAX);
        seen.ok_or_else(|| io::Error::other("an update does not reach a neighbour, or the farthest server"))?;
    }
    Ok(())
}

/// Has all clients report once.
fn introduce(address: SocketAddr, size: Size) -> io::Result<()> {
    let mut stream = dial(address)?;
    stream.set_nonblocking(false)?;
    stream.set_read_timeout(Some(HANG))?;
    let mut reader = stream.try_clone()?;
    let mut crowd = Crowd::new(NAME, size, 0, BASE_S);
    let at_once = (INTRODUCED_BYTES / crowd.report_bytes()).max(1);
    let mut piece = vec![0; 64 * 1_024];
    for begin in (0..size.clients).step_by(at_once) {
        let some = begin..size.clients.min(begin + at_once);
        let read = |replies: &mut Vec<u8>| match reader.read(&mut piece) {
            Ok(0) => Err("the server closed it".into()),
            Ok(count) => {
                replies.extend_from_slice(&piece[..count]);
                Ok(())
            }
            Err(why) => Err(why.to_string()),
        };
        crowd.introduce(some, &mut stream, read).map_err(io::Error::other)?;
    }
    Ok(())
}

/// Why a size is left out: there may not be memory for it.
fn lacks(of: Of, size: usize, at_hand: u64) -> Option<String> {
    let size = size as u64;
    let needs = match of {
        Of::Clients => size * CLIENT_BYTES_MAX + SERVER_BYTES_MAX,
        Of::Servers => size * SERVER_BYTES_MAX,
        Of::IdBytes | Of::Neighbours => return None,
    };
    let gib = |bytes: u64| bytes as f64 / f64::from(1 << 30);
    (needs > at_hand).then(|| {
        format!("it may take {:.1} GiB of memory, and {:.1} GiB are at hand", gib(needs), gib(at_hand))
    })
}

/// What the system could give to whoever asks now. All of it where it does not say.
fn memory_at_hand() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let kib = text.lines().find_map(|line| line.strip_prefix("MemAvailable:")?.split_whitespace().next());
    kib.and_then(|kib| kib.parse::<u64>().ok()).map_or(u64::MAX, |kib| kib * 1_024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_is_no_memory_for_is_left_out_and_said_so() {
        for (of, size, at_hand, expected) in [
            (Of::Clients, 5_000_000, 8 << 30, false),
            (Of::Clients, 5_000_000, 2 << 30, true),
            (Of::Clients, 1_000, 2 << 30, false),
            (Of::Servers, 50, 1 << 30, true),
            (Of::Servers, 50, 4 << 30, false),
            (Of::Neighbours, 16, 0, false),
            (Of::IdBytes, 3_900, 0, false),
        ] {
            assert_eq!(lacks(of, size, at_hand).is_some(), expected, "{of:?} {size} {at_hand}");
        }
        let why = lacks(Of::Clients, 5_000_000, 2 << 30).expect("left out");
        assert_eq!(why, "it may take 2.8 GiB of memory, and 2.0 GiB are at hand");
        assert!(memory_at_hand() > 1 << 20);
    }

    #[test]
    fn each_is_found_by_its_name_and_all_by_one() {
        assert_eq!(find(ALL_NAME), ALL);
        assert_eq!(find("line").len(), 1);
        assert_eq!(find("50"), []);
        // None is the name of a workload of the other kind.
        assert!(ALL.iter().all(|growth| crate::workload::Workload::find(growth.name).is_none()));
    }
}
