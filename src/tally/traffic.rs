//! What was asked, what came of it, and how long it took: counted by each turn's owner for itself, so that nobody waits
//! for another or takes its cache line; whoever reads sums them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::phones::{Phones, SummedPhones};
use super::times::{SummedTimes, Times, add};

macro_rules! commands {
    ($($command:ident: $door:literal $name:literal,)+) => {
        /// What can be asked.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Asked {
            $($command,)+
        }

        impl Asked {
            pub const ALL: [Asked; 0 $(+ { let _ = Asked::$command; 1 })+] = [$(Asked::$command,)+];

            /// The door by which it is asked.
            pub fn door(self) -> &'static str {
                match self {
                    $(Asked::$command => $door,)+
                }
            }

            /// What it is called there.
            pub fn name(self) -> &'static str {
                match self {
                    $(Asked::$command => $name,)+
                }
            }
        }
    };
}

commands! {
    Iamat: "line" "IAMAT",
    Whatsat: "line" "WHATSAT",
    Near: "line" "NEAR",
    Count: "line" "COUNT",
    Watch: "line" "WATCH",
    At: "line" "AT",
    NoCommand: "line" "none",
    HttpPut: "http" "put",
    HttpGet: "http" "get",
    HttpDelete: "http" "delete",
    HttpList: "http" "list",
    HttpPlaces: "http" "places",
    HttpEvents: "http" "events",
    HttpPhone: "http" "phone",
    HttpOther: "http" "other",
}

const COUNT: usize = Asked::ALL.len();

macro_rules! endings {
    ($($(#[$doc:meta])* $ending:ident: $name:literal,)+) => {
        /// How a connection ended.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Ended {
            $($(#[$doc])* $ending,)+
        }

        impl Ended {
            pub const ALL: [Ended; 0 $(+ { let _ = Ended::$ending; 1 })+] = [$(Ended::$ending,)+];

            pub fn name(self) -> &'static str {
                match self {
                    $(Ended::$ending => $name,)+
                }
            }
        }
    };
}

endings! {
    /// The peer closed or reset it.
    ByPeer: "peer",
    /// Its door had nothing more to say: as it was asked to close, or could not read what was said.
    ByDoor: "door",
    /// Its time was up.
    Timeout: "timeout",
    /// Another needed its place, or there was none for it.
    NoRoom: "no_room",
    /// Its peer did not read, and too much was unsent in all.
    Unread: "unread",
    /// The system could not read, write or watch it.
    Broken: "broken",
    Stopping: "stopping",
}

const ENDINGS: usize = Ended::ALL.len();

/// What is spoken on a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DoorKind {
    Line,
    Http,
}

impl DoorKind {
    pub const ALL: [DoorKind; 2] = [DoorKind::Line, DoorKind::Http];

    pub fn name(self) -> &'static str {
        match self {
            DoorKind::Line => "line",
            DoorKind::Http => "http",
        }
    }
}

/// One owner's. Only the owner writes, so a load and a store add.
#[derive(Default)]
pub struct Traffic {
    commands: [Counts; COUNT],
    connections: [Connections; DoorKind::ALL.len()],
    pub phones: Phones,
}

/// Connections by one door. One may be opened by one owner and closed by another.
#[derive(Default)]
struct Connections {
    opened: AtomicU64,
    closed: [AtomicU64; ENDINGS],
}

/// The sum of all owners' connections by a door.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SummedConnections {
    pub opened: u64,
    pub closed: [u64; ENDINGS],
}

impl SummedConnections {
    /// How many are open.
    pub fn open(&self) -> u64 {
        // The owners are not read at one moment.
        self.opened.saturating_sub(self.closed.iter().sum())
    }
}

#[derive(Default)]
struct Counts {
    done: AtomicU64,
    refused: AtomicU64,
    /// How long those done took.
    times: Times,
}

/// How many were asked in a turn that is not over: done, refused.
#[derive(Default)]
pub struct InTurn {
    counts: [[u32; 2]; COUNT],
    is_empty: bool,
}

/// The sum of all owners.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summed {
    pub done: u64,
    pub refused: u64,
    /// How long those done took.
    pub times: SummedTimes,
}

/// All owners there are.
#[derive(Default)]
pub struct AllTraffic {
    owners: Mutex<Vec<Arc<Traffic>>>,
}

impl InTurn {
    /// One more was asked, and done or refused.
    pub fn count(&mut self, asked: Asked, is_done: bool) {
        self.counts[asked as usize][usize::from(!is_done)] += 1;
        self.is_empty = false;
    }
}

impl Traffic {
    /// Takes over what was asked in a turn, which took so long to be answered.
    pub fn take(&self, turn: &mut InTurn, took: Duration) {
        if std::mem::replace(&mut turn.is_empty, true) {
            return;
        }
        for (counts, [done, refused]) in self.commands.iter().zip(&mut turn.counts) {
            if *done > 0 {
                counts.take(std::mem::take(done).into(), took);
            }
            if *refused > 0 {
                add(&counts.refused, std::mem::take(refused).into());
            }
        }
    }

    /// Counts one that was asked some turns ago.
    pub fn count(&self, asked: Asked, is_done: bool, took: Duration) {
        let counts = &self.commands[asked as usize];
        if is_done { counts.take(1, took) } else { add(&counts.refused, 1) }
    }

    /// A connection was let in by a door.
    pub fn opened(&self, by: DoorKind) {
        add(&self.connections[by as usize].opened, 1);
    }

    /// One is gone.
    pub fn closed(&self, by: DoorKind, ended: Ended) {
        add(&self.connections[by as usize].closed[ended as usize], 1);
    }
}

impl Counts {
    fn take(&self, count: u64, took: Duration) {
        self.times.take(count, took);
        add(&self.done, count);
    }
}

impl AllTraffic {
    /// A new owner's own.
    pub fn join(&self) -> Arc<Traffic> {
        let own = Arc::<Traffic>::default();
        self.owners().push(own.clone());
        own
    }

    /// What all owners counted of a command.
    pub fn of(&self, asked: Asked) -> Summed {
        let mut summed = Summed::default();
        for owner in self.owners().iter() {
            let counts = &owner.commands[asked as usize];
            let get = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            summed.done += get(&counts.done);
            summed.refused += get(&counts.refused);
            counts.times.add_to(&mut summed.times);
        }
        summed
    }

    /// What all owners counted of phones.
    pub fn phones(&self) -> SummedPhones {
        let mut summed = SummedPhones::default();
        self.owners().iter().for_each(|owner| owner.phones.add_to(&mut summed));
        summed
    }

    /// What all owners counted of the connections of a door.
    pub fn connections(&self, by: DoorKind) -> SummedConnections {
        let mut summed = SummedConnections::default();
        for owner in self.owners().iter() {
            let counts = &owner.connections[by as usize];
            summed.opened += counts.opened.load(Ordering::Relaxed);
            let closed = counts.closed.iter().map(|count| count.load(Ordering::Relaxed));
            summed.closed.iter_mut().zip(closed).for_each(|(sum, count)| *sum += count);
        }
        summed
    }

    fn owners(&self) -> MutexGuard<'_, Vec<Arc<Traffic>>> {
        self.owners.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_owners_count_for_themselves_is_summed() {
        let all = AllTraffic::default();
        let (first, second) = (all.join(), all.join());
        let mut turn = InTurn::default();
        turn.count(Asked::Iamat, true);
        turn.count(Asked::Iamat, true);
        turn.count(Asked::Iamat, false);
        first.take(&mut turn, Duration::from_micros(60));
        first.take(&mut turn, Duration::from_micros(60));
        second.count(Asked::Iamat, true, Duration::from_secs(60));
        let summed = all.of(Asked::Iamat);
        let times = summed.times;
        assert_eq!((summed.done, summed.refused, times.beyond, times.buckets[1]), (3, 1, 1, 2));
        assert_eq!(times.count(), summed.done);
        first.opened(DoorKind::Http);
        first.opened(DoorKind::Http);
        second.closed(DoorKind::Http, Ended::Timeout);
        let connections = all.connections(DoorKind::Http);
        let of = |ended: Ended| connections.closed[ended as usize];
        assert_eq!((connections.open(), of(Ended::Timeout), of(Ended::ByPeer)), (1, 1, 0));
        assert_eq!(all.connections(DoorKind::Line), SummedConnections::default());
        assert_eq!(all.of(Asked::At), Summed::default());
    }
}
