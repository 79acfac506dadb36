//! The backbone of a server that has one: its two threads, and how they end.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::clock::Clock;
use crate::dialler::{Backbone, Ending};
use crate::limits::THREAD_LOOK;
use crate::link::Outlet;
use crate::logging::Sink;
use crate::thread;
use crate::turn::Core;

/// What runs of it.
pub struct Running {
    outlet: Arc<Outlet>,
    lane: JoinHandle<bool>,
    tail: JoinHandle<()>,
    ending: Arc<Ending>,
}

impl Running {
    /// Starts its threads.
    ///
    /// # Errors
    /// The system has no room for them.
    pub fn start(
        backbone: Backbone,
        core: &Arc<Core>,
        clock: Clock,
        sink: &Arc<Sink>,
    ) -> io::Result<Running> {
        let outlet = backbone.outlet();
        let (lane, tail) = backbone.drivers(core, clock, sink)?;
        let ending = tail.ending();
        let lane = thread::spawn("lane", move || lane.run())?;
        let tail = thread::spawn("tail", move || tail.run())?;
        Ok(Running { outlet, lane, tail, ending })
    }

    /// From here on what fails is nothing to warn of.
    pub fn leave(&self) {
        self.outlet.leave();
        self.ending.end();
    }

    /// Waits until the tail learns nothing any more; says whether that was so by the deadline. One that only waits for the
    /// engine is not waited for.
    pub fn settle(&self, deadline: Instant) -> bool {
        let is_over = || self.ending.is_over() || self.tail.is_finished();
        while !is_over() && Instant::now() < deadline {
            std::thread::sleep(THREAD_LOOK);
        }
        is_over()
    }

    /// Has the lane publish what is due, and end; says whether that was done by the deadline.
    pub fn stop(self, deadline: Instant) -> bool {
        let is_up = self.outlet.is_up();
        self.outlet.stop();
        // One that is down has nothing to flush, and may be waiting for a dead host.
        !is_up || (thread::ends_by(&self.lane, deadline) && self.lane.join().unwrap_or(false))
    }
}
