//! The two threads of the backbone: one moves the lane, which puts news into the engine, the other the tail, which takes
//! out what others put in. Each has a connection of its own, and rests after a fault as a link does. Nothing that an
//! engine does or fails to do reaches beyond them.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::engine_settings::EngineSettings;
use super::health::{Backoff, Health};
use crate::backbone::lane::Due;
use crate::backbone::{Engine, Fault, Lane, Tail};
use crate::clock::Clock;
use crate::link::{Ended, Kind, Outbox, Outlet};
use crate::logging::{Sink, Wire};
use crate::net::{Events, Poller, WAKE};
use crate::node::NeighbourId;
use crate::turn::Core;

/// The backbone before its threads begin.
pub struct Backbone {
    settings: EngineSettings,
    poller: Arc<Poller>,
    outlet: Arc<Outlet>,
}

/// The thread of a lane.
pub struct LaneDriver {
    lane: Lane,
    settings: EngineSettings,
    poller: Arc<Poller>,
    clock: Clock,
    tries: Tries,
}

/// The thread of a tail.
pub struct TailDriver {
    tail: Tail,
    settings: EngineSettings,
    poller: Arc<Poller>,
    clock: Clock,
    tries: Tries,
    ending: Arc<Ending>,
}

/// How a tail is ended.
#[derive(Default)]
pub struct Ending {
    is_asked: AtomicBool,
    /// It learns, and does not only wait for the engine.
    is_learning: AtomicBool,
}

/// What became of the tries to have a connection, and what was said of it.
struct Tries {
    health: Health,
    backoff: Backoff,
    began: Duration,
}

impl Backbone {
    /// The engine that a number stands for, and what is said of it under a name.
    ///
    /// # Errors
    /// The system has no room for a poller.
    pub fn new(id: NeighbourId, name: &str, settings: EngineSettings) -> io::Result<Backbone> {
        let poller = Arc::new(Poller::new()?);
        let waker = poller.clone();
        let outlet = Outlet::new(id, name, Kind::Engine, Outbox::default(), Box::new(move || waker.wake()));
        outlet.set_write_timeout(settings.timeout);
        Ok(Backbone { settings, poller, outlet: Arc::new(outlet) })
    }

    /// What the flood sends by.
    pub fn outlet(&self) -> Arc<Outlet> {
        self.outlet.clone()
    }

    /// What its threads run.
    ///
    /// # Errors
    /// The system has no room for a poller.
    pub fn drivers(
        self,
        core: &Arc<Core>,
        clock: Clock,
        sink: &Arc<Sink>,
    ) -> io::Result<(LaneDriver, TailDriver)> {
        let Backbone { settings, poller, outlet } = self;
        let name = outlet.name().to_owned();
        let lane = Lane::new(core.clone(), outlet, settings.parts, Wire::new(sink));
        let tail = Tail::new(core.clone(), &lane, settings.parts, Wire::new(sink));
        let tail = TailDriver {
            tail,
            settings: settings.clone(),
            poller: Arc::new(Poller::new()?),
            clock,
            tries: Tries::new(&format!("{name} (reading)"), clock.up()),
            ending: Arc::default(),
        };
        let tries = Tries::new(&name, clock.up());
        Ok((LaneDriver { lane, settings, poller, clock, tries }, tail))
    }
}

impl LaneDriver {
    /// Runs until `Outlet::stop`; says whether all was published then.
    pub fn run(mut self) -> bool {
        while !self.lane.outlet().is_stopping() {
            let served = dial(&self.settings).and_then(|mut engine| self.serve(&mut *engine));
            self.lane.end();
            let outlet = self.lane.outlet();
            match served {
                Ok(()) => return true,
                // Where a whole herd stops, its engine may, too.
                Err(_) if outlet.is_leaving() => {}
                Err(why) => self.tries.failed(why, outlet.write_timeout(), self.clock.up()),
            }
            let until = self.clock.up() + self.tries.pause(self.clock.up());
            while self.clock.up() < until && !self.lane.outlet().is_stopping() {
                self.wait(until);
            }
        }
        false
    }

    /// Publishes until the server stops and all is published.
    fn serve(&mut self, engine: &mut dyn Engine) -> Result<(), Fault> {
        self.lane.begin(engine, self.clock.now())?;
        self.tries.health.connected(self.clock.up());
        loop {
            let began = self.clock.up();
            match self.lane.go_on(engine, self.clock.now())? {
                Due::Now if self.lane.is_walking() => {
                    // Half of the lane's time is for what is new.
                    let now = self.clock.up();
                    self.wait(now + now.saturating_sub(began));
                }
                Due::Now => {}
                Due::Rest(until) => self.wait(until),
                Due::At(_) if self.lane.outlet().is_stopping() => return Ok(()),
                Due::At(until) => {
                    self.tries.health.caught_up(self.clock.up());
                    let proven_at =
                        self.tries.health.proven_in(self.clock.up()).map(|left| self.clock.up() + left);
                    self.wait(proven_at.map_or(until, |at| at.min(until)));
                    if !self.settings.linger.is_zero() && self.lane.outlet().has_lines() {
                        self.wait(self.clock.up() + self.settings.linger);
                    }
                }
            }
        }
    }

    fn wait(&self, until: Duration) {
        wait(&self.poller, until.saturating_sub(self.clock.up()));
    }
}

impl TailDriver {
    /// By which it is ended.
    pub fn ending(&self) -> Arc<Ending> {
        self.ending.clone()
    }

    /// Runs until it is ended.
    pub fn run(mut self) {
        while !self.ending.is_asked() {
            let served = dial(&self.settings).and_then(|mut engine| self.serve(&mut *engine));
            match served {
                Ok(()) => return,
                Err(_) if self.ending.is_asked() => return,
                Err(why) => self.tries.failed(why, self.settings.timeout, self.clock.up()),
            }
            let until = self.clock.up() + self.tries.pause(self.clock.up());
            while self.clock.up() < until && !self.ending.is_asked() {
                wait(&self.poller, until.saturating_sub(self.clock.up()).min(PATIENCE));
            }
        }
    }

    fn serve(&mut self, engine: &mut dyn Engine) -> Result<(), Fault> {
        self.tail.begin(engine, self.clock.now())?;
        self.tries.health.connected(self.clock.up());
        loop {
            let step = self.tail.go_on(engine, self.clock.now())?;
            if !self.ending.learns() {
                return Ok(());
            }
            self.tail.take(step, self.clock.now());
            self.ending.has_learned();
            self.tries.health.caught_up(self.clock.up());
        }
    }
}

/// How long a tail without a connection may take to see that it is to end.
const PATIENCE: Duration = crate::limits::READ_WAIT;

impl Ending {
    /// Has the tail learn nothing any more, once it has learned what it is at.
    pub fn end(&self) {
        self.is_asked.store(true, Ordering::SeqCst);
    }

    /// Whether it learns nothing any more.
    pub fn is_over(&self) -> bool {
        self.is_asked() && !self.is_learning.load(Ordering::SeqCst)
    }

    fn is_asked(&self) -> bool {
        self.is_asked.load(Ordering::SeqCst)
    }

    /// Whether it may learn. Whoever ended it sees the one or the other.
    fn learns(&self) -> bool {
        self.is_learning.store(true, Ordering::SeqCst);
        let may = !self.is_asked();
        if !may {
            self.has_learned();
        }
        may
    }

    fn has_learned(&self) {
        self.is_learning.store(false, Ordering::SeqCst);
    }
}

impl Tries {
    fn new(name: &str, now: Duration) -> Tries {
        Tries { health: Health::new(name, now), backoff: Backoff::default(), began: now }
    }

    fn failed(&mut self, why: Fault, timeout: Duration, now: Duration) {
        log::debug!("the backbone failed: {why}");
        self.health.failed(&Ended::from(why), timeout, now);
    }

    /// How long to rest before the next try.
    fn pause(&mut self, now: Duration) -> Duration {
        let pause = self.backoff.next(now.saturating_sub(self.began));
        self.began = now + pause;
        pause
    }
}

/// A connection to the engine.
#[cfg(feature = "backbone")]
fn dial(settings: &EngineSettings) -> Result<Box<dyn Engine>, Fault> {
    Ok(Box::new(super::engine::Redis::dial(settings)?))
}

/// herd.conf says so first.
#[cfg(not(feature = "backbone"))]
fn dial(_: &EngineSettings) -> Result<Box<dyn Engine>, Fault> {
    Err(Fault::Refused("this herd was built without the feature backbone".into()))
}

fn wait(poller: &Poller, timeout: Duration) {
    let mut events = Events::with_capacity(1);
    if poller.wait(&mut events, Some(timeout)).is_err() {
        // Nobody is woken then, but all goes on.
        std::thread::sleep(timeout);
    }
    if (0..events.len()).any(|index| events.get(index).key == WAKE) {
        poller.woken();
    }
}
