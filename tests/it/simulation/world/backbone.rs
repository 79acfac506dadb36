//! The ways of servers to the engine, if there is one, and back.

use std::time::Duration;

use herd::backbone::Engine;
use herd::backbone::lane::Due;

use super::super::server::SimBackbone;
use super::super::{SECOND, Time};
use super::World;

impl World {
    pub(super) fn look_at_backbone(&mut self, server: usize) {
        let links = self.servers[server].neighbours.len();
        if self.running(server).backbone.is_some() {
            let (lane, tail) = (self.soon(), self.soon());
            self.look(server, links + 2, lane);
            self.look(server, links + 3, tail);
        }
    }

    /// What the thread of the lane does.
    pub(super) fn lane(&mut self, server: usize) {
        let (now, engine) = (self.moment(server), self.engine.clone());
        let Some(SimBackbone { lane, to, .. }) = &mut self.running(server).backbone else { return };
        let engine = engine.expect("there is one");
        let done = match to {
            Some(connection) => lane.go_on(connection, now),
            None => engine.dial().and_then(|mut connection| {
                lane.begin(&mut connection, now)?;
                *to = Some(connection);
                Ok(Due::Now)
            }),
        };
        let until = match done {
            Ok(Due::Now) => now.up,
            Ok(Due::Rest(until) | Due::At(until)) => until,
            Err(_) => {
                *to = None;
                lane.end();
                now.up + Duration::from_micros(self.random.u64(0..2 * SECOND))
            }
        };
        let lane = self.servers[server].neighbours.len() + 2;
        self.look(server, lane, (until.as_micros() as Time).max(self.now + 100));
    }

    /// What the thread of the tail does.
    pub(super) fn tail(&mut self, server: usize) {
        let (now, engine) = (self.moment(server), self.engine.clone());
        let Some(SimBackbone { tail, from, .. }) = &mut self.running(server).backbone else { return };
        let engine = engine.expect("there is one");
        let done = match from {
            Some(connection) => tail.go_on(connection, now).map(|step| tail.take(step, now)),
            None => engine.dial().and_then(|mut connection| {
                tail.begin(&mut connection as &mut dyn Engine, now)?;
                *from = Some(connection);
                Ok(())
            }),
        };
        if done.is_err() {
            *from = None;
        }
        let most = if done.is_ok() { SECOND / 20 } else { 2 * SECOND };
        let at = self.now + self.random.u64(100..most);
        let tail = self.servers[server].neighbours.len() + 3;
        self.look(server, tail, at);
    }

    /// Something happens to the engine, if there is one.
    pub fn trouble_engine(&mut self) {
        self.engine.iter().for_each(|engine| engine.suffer());
    }

    /// Whether the engine has every record of the herd. Where clients are forgotten it may have others.
    pub fn engine_has_all(&self) -> bool {
        let Some(engine) = self.engine.as_ref().filter(|_| self.settings.forget_after_s.is_none()) else {
            return true;
        };
        if self.settings.notes {
            return true;
        }
        let mut held = engine.lines();
        let mut known = self.at_lines_of(0);
        held.sort();
        known.sort();
        held == known
    }
}
