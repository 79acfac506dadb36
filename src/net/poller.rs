//! A worker's or link's poller: epoll, level-triggered, with a way to wake it from another thread.
//! One wait is one system call, which is why it is not the crate `polling` (five a wait).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

use crate::limits::METERED_EVENTS_MAX;

/// The key of a wake-up among the events.
pub const WAKE: u64 = u64::MAX;

/// The key of the metered sources among the others.
const METERED: u64 = u64::MAX - 2;

pub struct Poller {
    epoll: OwnedFd,
    /// The sources of the lane of this name, itself a source of the other poller.
    metered: Option<OwnedFd>,
    /// An eventfd; readable while a wake-up is due.
    waker: OwnedFd,
}

/// What a source is watched for. Errors and hang-ups are always reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Nothing,
    Readable,
    Writable,
    Both,
}

/// How many of the sources that are ready a wait may tell of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// As many as there is room for.
    Open,
    /// A few: however many are ready, those of the other lane wait for so few of them.
    Metered,
}

/// What happened to a source.
#[derive(Clone, Copy, Debug)]
pub struct Event {
    pub key: u64,
    pub readable: bool,
    pub writable: bool,
    /// An error, or both directions are shut.
    pub broken: bool,
}

/// Events of one wait; reused, so that waiting does not allocate.
pub struct Events {
    list: Vec<epoll::Event>,
    /// Those of the metered lane, and how many of them were taken. What is left is taken after the next wait.
    metered: Vec<epoll::Event>,
    taken: usize,
}

impl Poller {
    pub fn new() -> io::Result<Poller> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &waker, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Poller { epoll, metered: None, waker })
    }

    /// One with both lanes.
    pub fn with_lanes() -> io::Result<Poller> {
        let (poller, metered) = (Poller::new()?, epoll::create(CreateFlags::CLOEXEC)?);
        epoll::add(&poller.epoll, &metered, EventData::new_u64(METERED), EventFlags::IN)?;
        Ok(Poller { metered: Some(metered), ..poller })
    }

    /// The same as `add` in a lane.
    pub fn add_in(&self, lane: Lane, source: impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        match &self.metered {
            Some(metered) if lane == Lane::Metered => {
                Ok(epoll::add(metered, source, EventData::new_u64(key), interest.flags())?)
            }
            _ => self.add(source, key, interest),
        }
    }

    /// Watches a source, whose events will carry `key`, until it is removed or closed.
    pub fn add(&self, source: impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(key), interest.flags())?)
    }

    /// Watches a source that other pollers watch too: an event wakes few of them, not all.
    pub fn add_shared(&self, source: impl AsFd, key: u64) -> io::Result<()> {
        let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(key), flags)?)
    }

    pub fn modify(&self, source: impl AsFd, key: u64, interest: Interest) -> io::Result<()> {
        self.in_its_lane(|epoll| epoll::modify(epoll, &source, EventData::new_u64(key), interest.flags()))
    }

    pub fn remove(&self, source: impl AsFd) -> io::Result<()> {
        self.in_its_lane(|epoll| epoll::delete(epoll, &source))
    }

    /// Does something to a source in the lane that it is in.
    fn in_its_lane(&self, act: impl Fn(&OwnedFd) -> rustix::io::Result<()>) -> io::Result<()> {
        match (act(&self.epoll), &self.metered) {
            (Err(rustix::io::Errno::NOENT), Some(metered)) => Ok(act(metered)?),
            (done, _) => Ok(done?),
        }
    }

    /// Waits for events or the timeout; None is for ever. An interrupting signal ends it early.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.list.clear();
        let timeout = if events.has_metered() { Some(Duration::ZERO) } else { timeout };
        // Rounded up to a millisecond, which every kernel's epoll understands.
        let timeout = timeout.map(|timeout| {
            let ms = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i64;
            Timespec { tv_sec: ms / 1_000, tv_nsec: (ms % 1_000) * 1_000_000 }
        });
        let spare = rustix::buffer::spare_capacity(&mut events.list);
        wait(&self.epoll, spare, timeout.as_ref())?;
        let found = events.list.iter().position(|event| {
            let epoll::Event { data, .. } = *event;
            data.u64() == METERED
        });
        if let (Some(index), Some(metered)) = (found, &self.metered) {
            events.list.swap_remove(index);
            if events.has_metered() {
                return Ok(());
            }
            events.metered.clear();
            events.taken = 0;
            let spare = rustix::buffer::spare_capacity(&mut events.metered);
            wait(metered, spare, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }))?;
        }
        Ok(())
    }

    /// Makes the current or the next wait return with a `WAKE` event.
    pub fn wake(&self) {
        // It fails only when the counter is full, and then a wake-up is due anyway.
        let _ = rustix::io::write(&self.waker, &1u64.to_ne_bytes());
    }

    /// Takes note of a `WAKE` event.
    pub fn woken(&self) {
        let _ = rustix::io::read(&self.waker, &mut [0u8; 8]);
    }
}

/// An interrupting signal ends it early.
fn wait(
    epoll: &OwnedFd,
    spare: rustix::buffer::SpareCapacity<'_, epoll::Event>,
    timeout: Option<&Timespec>,
) -> io::Result<()> {
    match epoll::wait(epoll, spare, timeout) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(why) => Err(why.into()),
    }
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Interest::Nothing => EventFlags::empty(),
            Interest::Readable => EventFlags::IN,
            Interest::Writable => EventFlags::OUT,
            Interest::Both => EventFlags::IN | EventFlags::OUT,
        }
    }
}

impl Events {
    pub fn with_capacity(capacity: usize) -> Events {
        Events {
            list: Vec::with_capacity(capacity),
            metered: Vec::with_capacity(METERED_EVENTS_MAX),
            taken: 0,
        }
    }

    /// How many there are of the open lane.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The event of the open lane at an index below `len`.
    pub fn get(&self, index: usize) -> Event {
        Event::of(&self.list[index])
    }

    /// Takes the next one of the metered lane. Its source may be gone, if it is of an earlier wait.
    pub fn take_metered(&mut self) -> Option<Event> {
        let event = self.metered.get(self.taken).map(Event::of);
        self.taken += usize::from(event.is_some());
        event
    }

    fn has_metered(&self) -> bool {
        self.taken < self.metered.len()
    }
}

impl Event {
    fn of(event: &epoll::Event) -> Event {
        // Copied out by value: epoll's event is packed.
        let epoll::Event { flags, data, .. } = *event;
        Event {
            key: data.u64(),
            readable: flags.contains(EventFlags::IN),
            writable: flags.contains(EventFlags::OUT),
            broken: flags.intersects(EventFlags::ERR | EventFlags::HUP),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn a_wake_up_is_seen_once() {
        let poller = Poller::new().expect("a poller");
        let mut events = Events::with_capacity(4);
        poller.wake();
        poller.wake();
        poller.wait(&mut events, None).expect("woken");
        assert_eq!((events.len(), events.get(0).key), (1, WAKE));
        poller.woken();
        poller.wait(&mut events, Some(Duration::ZERO)).expect("polled");
        assert_eq!(events.len(), 0);
    }

    #[test]
    fn of_metered_sources_few_are_told_at_once_and_all_others() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        let poller = Poller::with_lanes().expect("a poller");
        let pairs: Vec<_> = (0..3 * METERED_EVENTS_MAX as u64)
            .map(|key| {
                let mut near = TcpStream::connect(address).expect("connected");
                near.write_all(b"x").expect("written");
                let (far, _) = listener.accept().expect("accepted");
                let lane = if key < 5 { Lane::Open } else { Lane::Metered };
                poller.add_in(lane, &far, key, Interest::Readable).expect("added");
                (near, far)
            })
            .collect();
        let mut events = Events::with_capacity(256);
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..4 {
            poller.wait(&mut events, None).expect("ready");
            let open: Vec<_> = (0..events.len()).map(|index| events.get(index).key).collect();
            assert!(open.len() == 5 && open.iter().all(|key| *key < 5), "{open:?}");
            // Those that are left come after the next wait.
            let first: Vec<_> = (0..3).filter_map(|_| events.take_metered()).map(|event| event.key).collect();
            poller.wait(&mut events, None).expect("ready");
            let rest: Vec<_> = std::iter::from_fn(|| events.take_metered()).map(|event| event.key).collect();
            assert!(first.len() + rest.len() <= METERED_EVENTS_MAX, "{first:?} {rest:?}");
            seen.extend([open, first, rest].concat());
        }
        assert_eq!(seen.len(), pairs.len(), "each has its turn");
        for (key, (_, far)) in pairs.iter().enumerate() {
            match key % 2 {
                0 => poller.modify(far, key as u64, Interest::Nothing).expect("modified"),
                _ => poller.remove(far).expect("removed"),
            }
        }
        poller.wait(&mut events, Some(Duration::ZERO)).expect("polled");
        assert!(events.is_empty() && events.take_metered().is_none());
    }

    #[test]
    fn sources_report_what_they_are_watched_for() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let mut near = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
        let (far, _) = listener.accept().expect("accepted");
        let poller = Poller::new().expect("a poller");
        let mut events = Events::with_capacity(4);
        near.write_all(b"x").expect("written");
        poller.add(&far, 7, Interest::Readable).expect("added");
        poller.wait(&mut events, None).expect("ready");
        assert!(events.get(0).key == 7 && events.get(0).readable && !events.get(0).writable);
        poller.modify(&far, 8, Interest::Writable).expect("modified");
        poller.wait(&mut events, None).expect("ready");
        assert!(events.get(0).key == 8 && events.get(0).writable && !events.get(0).readable);
        poller.remove(&far).expect("removed");
        poller.wait(&mut events, Some(Duration::ZERO)).expect("polled");
        assert_eq!(events.len(), 0);
    }
}
