//! What clients say to a server of the world.

use herd::protocol::{Command, Reply};

use super::super::SECOND;
use super::super::network::{End, Line};
use super::{Event, World};

impl World {
    /// A client on the same machine tells a server where it is. Returns the AT line, if it is acknowledged.
    pub fn report(&mut self, server: usize, line: &str) -> Option<String> {
        self.servers[server].running.as_ref()?;
        let said = self.say(server, format!("{line}\n").as_bytes());
        let (reply, _) = Reply::of_report(&said)?;
        let Reply::At(record) = reply else { return None };
        Some(String::from_utf8_lossy(record).into_owned())
    }

    /// Says something to a server in a turn of its own, and returns what it says at once.
    pub fn say(&mut self, server: usize, bytes: &[u8]) -> Vec<u8> {
        self.finish(server);
        let end = self.visitor(server, bytes);
        let (now, net) = (self.moment(server), self.net.clone());
        let running = self.running(server);
        // Twice, as it is welcomed in the first.
        for _ in 0..2 {
            running.begin_turn(&net, now);
            running.finish_turn();
        }
        let said = self.net.lock().take_all(End { side: 0, ..end });
        drop(self.net.stream(End { side: 0, ..end }));
        self.look_at_room(server, self.now + 100);
        let at = self.now + self.random.u64(0..=self.settings.flood_delay);
        self.look_at_flood(server, at);
        self.settle();
        said
    }

    /// A connection of somebody on the same machine, who has said something; the server's end of it.
    pub fn visitor(&mut self, server: usize, bytes: &[u8]) -> End {
        let line = Line {
            bandwidth: None,
            delay: (0, 0),
            send_buffer: 1 << 20,
            receive_buffer: 1 << 20,
            is_relayed: false,
        };
        let conn = self.net.lock().connect(line, (server, server));
        let end = End { conn, side: 1 };
        self.owners.insert(end, (server, self.servers[server].start, None));
        self.net.lock().put(end, bytes);
        self.running(server).backlog.push(end);
        self.look_at_room(server, self.now);
        end
    }

    /// A neighbour says something on the link that a server has to it, beside what it has to say.
    pub fn say_on_link(&mut self, from: usize, to: usize, bytes: &[u8]) {
        let link =
            self.servers[to].neighbours.iter().position(|&other| other == Some(from)).expect("neighbours");
        let end = self.running(to).links[link].end.expect("the link is up");
        self.net.lock().put(end, bytes);
        self.look(to, link, self.now);
    }

    /// Has a server forget a client. Returns until when what was heard of it is void, in ns since 1970, if that is kept.
    pub fn forget(&mut self, server: usize, client: &str) -> Option<i128> {
        self.servers[server].running.as_ref()?;
        self.finish(server);
        let now = self.moment(server);
        let running = self.running(server);
        running.tail.begin();
        let done = running.tail.forget(&running.core, client.as_bytes(), now.posix_ns);
        running.tail.commit(&running.core, now);
        running.tail.end();
        let until_ns =
            running.node().store.void_until_ns(client.as_bytes(), || running.node().horizon(now.posix_ns));
        let at = self.soon();
        self.look_at_flood(server, at);
        done.ok().and(until_ns).map(i128::from)
    }

    /// An AT line that a neighbour once sent comes again, by way of somebody who is no worker.
    pub(super) fn again(&mut self, server: usize, line: &[u8]) {
        let now = self.moment(server);
        let running = self.running(server);
        let Ok(Command::At(fields)) = Command::parse(line) else { panic!("{}", line.escape_ascii()) };
        running.tail.begin();
        running.tail.hear(&running.core, &fields, None, now.posix_ns);
        running.tail.commit(&running.core, now);
        running.tail.end();
        let at = self.soon();
        self.look_at_flood(server, at);
    }

    /// Has a server's record of a client come again somewhere else, at once or much later.
    pub fn repeat(&mut self, from: usize, to: usize, client: &str) {
        let Some(running) = &self.servers[from].running else { return };
        let line = running.node().store.read(client.as_bytes(), |record| record.line().to_vec());
        if let Some(line) = line {
            let at = self.now + self.random.u64(0..30 * SECOND);
            self.at(at, to, Event::Again { line });
        }
    }
}
