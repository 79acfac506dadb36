//! Connections between servers: dialled, looked after, broken.

use std::sync::Arc;
use std::time::Duration;

use herd::dialler::Next;
use herd::link::Ended;
use herd::net::{Interest, Stream};

use super::super::engine::SimEngine;
use super::super::network::{Due, End};
use super::super::server::{Running, SimLink};
use super::super::{SECOND, Time};
use super::{Event, World, name};

impl World {
    /// What a dialler does when it is woken, or its connection is ready, or it is time.
    pub(super) fn talk(&mut self, server: usize, link: usize) {
        let (now, net) = (self.moment(server), self.net.clone());
        let Running { links, wire, .. } = self.running(server);
        let SimLink { course, end, .. } = &mut links[link];
        let is_readable = end.is_some_and(|end| net.lock().is_readable(end));
        let next = course.go_on(is_readable, now, wire);
        // One whose greeting was cut off is refused, and comes again.
        *end = end.filter(|_| matches!(next, Next::Serve { .. }));
        let until = match next {
            Next::Stop => return assert!(links[link].is_gone, "nobody else stops"),
            Next::Dial => return self.dial(server, link),
            Next::Rest { until } => until,
            Next::Serve { interest, until } => {
                let (end, net) = (end.expect("a connection"), net.lock());
                let is_ready = net.is_readable(end) || interest == Interest::Both && net.is_writable(end);
                if is_ready { now.up + Duration::from_micros(100) } else { until }
            }
        };
        self.look(server, link, (until.as_micros() as Time).max(self.now + 1));
    }

    fn dial(&mut self, server: usize, link: usize) {
        let Some(other) = self.servers[server].neighbours[link] else { return };
        let now = self.moment(server);
        self.look(server, link, self.now);
        if self.servers[other].running.is_none() || self.is_cut(server, other) {
            let why = Ended::Failed("connection refused".into());
            return self.running(server).links[link].course.failed(&why, now.up);
        }
        let conn = self.net.lock().connect(self.settings.line, (server, other));
        let (near, far) = (End { conn, side: 0 }, End { conn, side: 1 });
        self.owners.insert(near, (server, self.servers[server].start, Some(link)));
        self.owners.insert(far, (other, self.servers[other].start, None));
        let stream = Arc::new(self.net.stream(near)) as Arc<dyn Stream>;
        let found = &mut self.running(server).links[link];
        found.end = Some(near);
        found.course.begin(stream, None, now);
        self.running(other).backlog.push(far);
        let at = self.soon();
        self.look_at_room(other, at);
    }

    /// Two servers become neighbours, or are none any more, which each of them reads in its file at a time of its own.
    pub fn rewire_soon(&mut self, (a, b): (usize, usize)) {
        for (server, other) in [(a, b), (b, a)] {
            let at = self.now + self.random.u64(0..2 * SECOND);
            self.at(at, server, Event::Rewire { other });
        }
    }

    pub(super) fn rewire(&mut self, server: usize, other: usize) {
        let joins = self.edges.contains(&(server.min(other), server.max(other)));
        let now = self.moment(server);
        let (woken, keys) = (self.woken.clone(), self.keys.clone());
        let it = &mut self.servers[server];
        let known = it.neighbours.iter().position(|known| *known == Some(other));
        match (known, joins) {
            (None, true) => {
                let (link, start) = (it.neighbours.len(), it.start);
                it.neighbours.push(Some(other));
                it.next.insert(link, None);
                let wake = move || woken.lock().expect("no panic before").push((server, start, link));
                if let Some(running) = &mut it.running {
                    running.join(&name(other), &keys, now, wake);
                    self.look(server, link, self.now);
                }
            }
            (Some(link), false) => {
                it.neighbours[link] = None;
                if let Some(running) = &mut it.running {
                    running.leave(link);
                    self.look(server, link, self.now);
                }
            }
            (Some(_), true) | (None, false) => {}
        }
        self.settle();
    }

    /// A connection breaks, as networks will.
    pub fn break_one(&mut self) {
        let mut open: Vec<_> = self.links().collect();
        open.sort_unstable();
        if let Some(&conn) = self.random.choice(&open) {
            self.net.lock().break_off(conn);
            self.settle();
        }
    }

    /// The connections of links.
    pub(super) fn links(&self) -> impl Iterator<Item = usize> {
        let links = self.servers.iter().flat_map(|it| &it.running).flat_map(|running| &running.links);
        links.filter_map(|link| Some(link.end?.conn))
    }

    pub(super) fn arrive(&mut self, end: End) {
        let (a, b) = self.net.lock().servers(end.conn);
        match self.cut_until.get(&(a.min(b), a.max(b))) {
            Some(&until) if until > self.now => self.at(until, 0, Event::Net(Due::Arrive(end))),
            _ => self.net.lock().arrive(end),
        }
    }

    pub fn cut(&mut self, a: usize, b: usize, duration: Time) {
        self.cut_until.insert((a.min(b), a.max(b)), self.now + duration);
    }

    pub fn stick(&mut self, server: usize, duration: Time) {
        self.stuck_until[server] = self.now + duration;
    }

    /// All faults end.
    pub fn heal(&mut self) {
        self.cut_until.clear();
        self.stuck_until.fill(0);
        self.net.lock().no_memory_one_in = 0;
        self.engine.iter().for_each(SimEngine::heal);
        (0..self.servers.len()).for_each(|server| self.look_at_everything(server));
    }

    pub(super) fn look_at_everything(&mut self, server: usize) {
        if self.servers[server].running.is_some() {
            (0..self.servers[server].next.len()).for_each(|what| self.look(server, what, self.now));
        }
    }

    pub(super) fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut_until.get(&(a.min(b), a.max(b))).is_some_and(|&until| until > self.now)
    }
}
