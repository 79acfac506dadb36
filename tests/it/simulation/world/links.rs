//! Connections between servers: dialled, looked after, broken.

use std::sync::Arc;
use std::time::Duration;

use herd::dialler::Next;
use herd::link::Ended;
use herd::net::{Interest, Stream};

use super::super::Time;
use super::super::network::{Due, End};
use super::super::server::{Running, SimLink};
use super::{Event, World};

impl World {
    /// What a dialler does when it is woken, or its connection is ready, or it is time.
    pub(super) fn talk(&mut self, server: usize, link: usize) {
        let (now, net) = (self.moment(server), self.net.clone());
        let Running { links, wire, .. } = self.running(server);
        let SimLink { course, end } = &mut links[link];
        let is_readable = end.is_some_and(|end| net.lock().is_readable(end));
        let next = course.go_on(is_readable, now, wire);
        // One whose greeting was cut off is refused, and comes again.
        *end = end.filter(|_| matches!(next, Next::Serve { .. }));
        let until = match next {
            Next::Stop => panic!("nobody stops"),
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
        let other = self.servers[server].neighbours[link];
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
