//! Connections between servers: dialled, looked after, broken.

use std::sync::Arc;

use herd::link::{Ended, Talk};
use herd::net::Stream;

use super::super::network::{Due, End};
use super::super::server::Running;
use super::super::{SECOND, Time};
use super::{Event, World};

impl World {
    pub(super) fn dial(&mut self, server: usize, link: usize) {
        let other = self.servers[server].neighbours[link];
        if self.servers[other].running.is_none() || self.is_cut(server, other) {
            return self.dial_later(server, link);
        }
        let conn = self.net.lock().connect(self.settings.line, (server, other));
        let (near, far) = (End { conn, side: 0 }, End { conn, side: 1 });
        self.owners.insert(near, (server, self.servers[server].start, Some(link)));
        self.owners.insert(far, (other, self.servers[other].start, None));
        let (now, stream) = (self.moment(server), Arc::new(self.net.stream(near)) as Arc<dyn Stream>);
        let found = &mut self.running(server).links[link];
        let talk = Talk::begin(found.link.clone(), stream, None, now).expect("random bytes");
        found.talk = Some((talk, near));
        self.running(other).backlog.push(far);
        self.look(server, link, self.now);
        let at = self.soon();
        self.look_at_room(other, at);
    }

    pub(super) fn dial_later(&mut self, server: usize, link: usize) {
        let at = self.now + self.random.u64(100_000..2 * SECOND);
        self.at(at, server, Event::Dial { link });
    }

    /// What a dialler does when it is woken, or its connection is ready, or it is time.
    pub(super) fn talk(&mut self, server: usize, link: usize) {
        let (now, net) = (self.moment(server), self.net.clone());
        let Running { links, wire, .. } = self.servers[server].running.as_mut().expect("it runs");
        let found = &mut links[link];
        let Some((talk, end)) = &mut found.talk else { return };
        let is_readable = net.lock().is_readable(*end);
        match talk.go_on(is_readable, now, wire) {
            Ok(()) => {
                let due = talk.due(now.up).as_micros() as Time;
                let (end, has_unsent) = (*end, talk.has_unsent());
                let net = net.lock();
                let is_ready = net.is_readable(end) || (has_unsent && net.is_writable(end));
                drop(net);
                self.look(server, link, if is_ready { self.now + 100 } else { due.max(self.now + 1) });
            }
            Err(why) => {
                let why = talk.last_words(why, now);
                let _ = talk.spare_refused(now);
                // One whose greeting was cut off is refused, and comes again.
                assert_ne!(why, Ended::Stopped);
                found.talk = None;
                found.link.outlet.close();
                self.dial_later(server, link);
            }
        }
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
        links.filter_map(|link| Some(link.talk.as_ref()?.1.conn))
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
