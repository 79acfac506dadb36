//! A worker's or link's poller: epoll, level-triggered, with a way to wake it from another thread.
//! One wait is one system call, which is why it is not the crate `polling` (five a wait).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::event::{EventfdFlags, Timespec, eventfd};

/// The key of a wake-up among the events.
pub const WAKE: u64 = u64::MAX;

pub struct Poller {
    epoll: OwnedFd,
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
}

impl Poller {
    pub fn new() -> io::Result<Poller> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let waker = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?;
        epoll::add(&epoll, &waker, EventData::new_u64(WAKE), EventFlags::IN)?;
        Ok(Poller { epoll, waker })
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
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(key), interest.flags())?)
    }

    pub fn remove(&self, source: impl AsFd) -> io::Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Waits for events or the timeout; None is for ever. An interrupting signal ends it early.
    pub fn wait(&self, events: &mut Events, timeout: Option<Duration>) -> io::Result<()> {
        events.list.clear();
        // Rounded up to a millisecond, which every kernel's epoll understands.
        let timeout = timeout.map(|timeout| {
            let ms = timeout.as_nanos().div_ceil(1_000_000).min(i32::MAX as u128) as i64;
            Timespec { tv_sec: ms / 1_000, tv_nsec: (ms % 1_000) * 1_000_000 }
        });
        let spare = rustix::buffer::spare_capacity(&mut events.list);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(why) => Err(why.into()),
        }
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
        Events { list: Vec::with_capacity(capacity) }
    }

    pub fn len(&self) -> usize {
        self.list.len()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// The event at an index below `len`.
    pub fn get(&self, index: usize) -> Event {
        // Copied out by value: epoll's event is packed.
        let epoll::Event { flags, data, .. } = self.list[index];
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
