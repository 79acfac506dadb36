//! What happens in a server: its start and its end, its turns, its threads.

use herd::door::{Answer, Question};
use herd::flood::Bounds as FloodBounds;
use herd::status::HallStatus;

use super::super::disk::SimDisk;
use super::super::server::{Plan, Running, folder_of};
use super::super::{SECOND, Time};
use super::{Event, World, name};

impl World {
    pub(super) fn start(&mut self, server: usize) {
        let incarnation = self.random.u64(1..);
        let now = self.moment(server);
        let settings = &self.settings;
        let is_strict = settings.journals && server.is_multiple_of(2);
        let it = &mut self.servers[server];
        it.start += 1;
        it.disk = SimDisk::new(is_strict);
        let ends = self.edges.iter();
        let ends = ends.filter_map(|&(a, b)| if a == server { Some(b) } else { (b == server).then_some(a) });
        it.neighbours = ends.map(Some).collect();
        it.neighbours.sort_unstable();
        it.next = vec![None; it.neighbours.len() + 4];
        let folder = folder_of(self.folder.path(), server);
        let plan = Plan {
            name: name(server),
            incarnation,
            neighbours: it.neighbours.iter().flatten().map(|&other| name(other)).collect(),
            keys: &self.keys,
            timing: settings.timing(),
            forget_after_s: settings.forget_after_s,
            max_clients: settings.max_clients,
            max_ahead_s: settings.max_ahead_s,
            max_line: it.max_line,
            buckets: settings.buckets,
            room: settings.room,
            flood: FloodBounds { batches: settings.channel, small_bytes: settings.small_bytes },
            feed: settings.feed,
            errands: settings.errands,
            engine_parts: settings.engine.as_ref().and_then(|(parts, who)| who[server].then_some(*parts)),
            journal: settings.journals.then(|| (folder, it.disk.clone())),
        };
        let (woken, start) = (self.woken.clone(), it.start);
        let wake = move |link| woken.lock().expect("no panic before").push((server, start, link));
        it.running = Some(Running::start(plan, now, &it.now_ns, wake));
        for link in 0..self.servers[server].neighbours.len() {
            let at = self.now + self.random.u64(0..50_000);
            self.look(server, link, at);
        }
        let at = self.now + self.random.u64(0..SECOND);
        self.at(at, server, Event::Tick);
        self.look_at_flood(server, self.now);
        self.look_at_backbone(server);
    }

    /// Ends a server at once. With `power` some of its journal is lost, too; true if that was something.
    pub fn crash(&mut self, server: usize, back_after: Time, power: bool, forgets: bool) -> bool {
        let Some(running) = self.servers[server].running.take() else { return false };
        let ends = self.owners.iter().filter(|(_, (owner, ..))| *owner == server).map(|(end, _)| *end);
        let mut conns: Vec<_> = ends.map(|end| end.conn).collect();
        conns.sort_unstable();
        conns.dedup();
        drop(running);
        for conn in conns {
            self.net.lock().break_off(conn);
        }
        self.owners.retain(|_, (owner, ..)| *owner != server);
        let mut has_lost = forgets || !self.settings.journals;
        if has_lost {
            // It fails where there was none.
            let _ = std::fs::remove_dir_all(folder_of(self.folder.path(), server));
        } else if power {
            has_lost = self.servers[server].disk.lose_power(&mut self.random);
        }
        self.at(self.now + back_after, server, Event::Restart);
        self.settle();
        has_lost
    }

    pub(super) fn tick(&mut self, server: usize) {
        let now = self.moment(server);
        let running = self.running(server);
        running.sweeps.go_on(now);
        running.tend();
        let shown_s = running.node().horizon(now.posix_ns).shown_s;
        self.shown_s = self.shown_s.max(shown_s);
        self.at(self.now + SECOND, server, Event::Tick);
    }

    pub(super) fn turn(&mut self, server: usize) {
        if self.running(server).is_in_turn {
            return;
        }
        let (now, net, early) = (self.moment(server), self.net.clone(), self.settings.early_marks);
        let running = self.running(server);
        running.begin_turn(&net, now);
        if early {
            running.room.rest();
        }
        match self.settings.turn {
            0 => self.finish(server),
            most => {
                let at = self.now + self.random.u64(0..=most);
                self.at(at, server, Event::Finish);
            }
        }
    }

    pub(super) fn finish(&mut self, server: usize) {
        if !self.running(server).is_in_turn {
            return;
        }
        self.moment(server);
        let net = self.net.clone();
        let running = self.running(server);
        running.finish_turn();
        let is_ready = !running.ready(&net.lock()).is_empty() || !running.answers.is_empty();
        let patience = running.room.patience();
        let has_questions = !running.room.outside().questions.lock().expect("no panic before").is_empty();
        if is_ready {
            self.look_at_room(server, self.now + 100);
        } else if let Some(patience) = patience {
            self.look_at_room(server, self.now + patience.as_micros() as Time + 100);
        }
        if has_questions {
            let at = self.soon();
            self.at(at, server, Event::Errand);
        }
        let at = self.now + self.random.u64(0..=self.settings.flood_delay);
        self.look_at_flood(server, at);
    }

    pub(super) fn flood(&mut self, server: usize) {
        let now = self.moment(server);
        // All that is there, as it takes what has gathered.
        (0..self.settings.channel.min(64) + 1).for_each(|_| assert!(self.running(server).flooder.go_on(now)));
        let due = self.running(server).flooder.due().as_micros() as Time;
        self.look_at_flood(server, due.max(self.now + 1));
    }

    pub(super) fn errand(&mut self, server: usize) {
        let now = self.moment(server);
        let running = self.running(server);
        let asked = running.room.outside().questions.lock().expect("no panic before");
        let (key, question) = {
            let mut asked = asked;
            if asked.is_empty() {
                return;
            }
            asked.remove(0)
        };
        let answer = match question {
            Question::Places(_) => Answer::Places(b"{}"[..].into()),
            question => question.answer(&running.core, HallStatus::default(), now),
        };
        running.answers.push((key, answer));
        let at = self.soon();
        self.look_at_room(server, at);
    }
}
