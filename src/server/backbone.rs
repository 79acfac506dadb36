//! The backbone of a server that has one: its two threads, and how they end.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Instant;

use crate::clock::Clock;
use crate::dialler::{Backbone, Ending};
use crate::link::Outlet;
use crate::logging::Sink;
use crate::thread;
use crate::turn::Core;

/// What runs of it.
pub struct Running {
    outlet: Arc<Outlet>,
    lane: JoinHandle<()>,
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

    /// Has the lane publish what is due, and end; says whether both were done by the deadline. A tail that only waits for the
    /// engine is not waited for.
    pub fn stop(self, deadline: Instant) -> bool {
        self.outlet.stop();
        let is_done = !self.outlet.is_up() || thread::ends_by(&self.lane, deadline);
        while !self.ending.is_over() && !self.tail.is_finished() && Instant::now() < deadline {
            std::thread::sleep(crate::limits::THREAD_LOOK);
        }
        is_done && (self.ending.is_over() || self.tail.is_finished())
    }
}
