//! The poller of the generator and of the variant echo: epoll, level-triggered. The crate `polling` takes five system
//! calls a wait, this takes one, so that the generator is the limit as rarely as can be.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};

pub struct Poller {
    epoll: OwnedFd,
}

/// What one wait found; reused, and of the thread that waits.
pub struct Events(Vec<epoll::Event>);

impl Events {
    pub fn with_capacity(capacity: usize) -> Events {
        Events(Vec::with_capacity(capacity))
    }

    /// The keys of what is ready.
    pub fn keys(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().map(|event| {
            // Copied out by value: epoll's event is packed.
            let epoll::Event { data, .. } = *event;
            data.u64() as usize
        })
    }
}

/// What a connection is watched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    Readable,
    ReadableAndWritable,
}

impl Poller {
    pub fn new() -> io::Result<Poller> {
        Ok(Poller { epoll: epoll::create(CreateFlags::CLOEXEC)? })
    }

    pub fn add(&self, source: impl AsFd, key: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::add(&self.epoll, source, EventData::new_u64(key as u64), interest.flags())?)
    }

    pub fn modify(&self, source: impl AsFd, key: usize, interest: Interest) -> io::Result<()> {
        Ok(epoll::modify(&self.epoll, source, EventData::new_u64(key as u64), interest.flags())?)
    }

    /// Waits for something to be ready, at most so long.
    pub fn wait(&self, events: &mut Events, timeout: Duration) -> io::Result<()> {
        events.0.clear();
        let timeout =
            Timespec { tv_sec: timeout.as_secs() as i64, tv_nsec: i64::from(timeout.subsec_nanos()) };
        match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events.0), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
            Err(why) => Err(why.into()),
        }
    }
}

impl Interest {
    fn flags(self) -> EventFlags {
        match self {
            Interest::Readable => EventFlags::IN,
            Interest::ReadableAndWritable => EventFlags::IN | EventFlags::OUT,
        }
    }
}
