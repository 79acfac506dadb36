//! What the servers of a world know, as the tests ask it.

use std::sync::Arc;

use herd::link::Talk;
use herd::node::Scope;
use herd::protocol::Span;
use herd::store::Walk;
use herd::store::digest::Digest;
use herd::turn::Core;

use super::super::server::Running;
use super::{World, name};

impl World {
    /// Whether a server knows where a client is.
    pub fn knows(&self, server: usize, client: &str) -> bool {
        let running = self.servers[server].running.as_ref();
        running.is_some_and(|running| running.node().find(client.as_bytes()).is_some())
    }

    /// Whether all servers know the same.
    pub fn agrees(&self) -> bool {
        if !self.servers.iter().all(|server| server.running.is_some()) {
            return false;
        }
        let span = self.span();
        let first = self.digest(0, span);
        (0..self.servers.len()).all(|server| self.digest(server, span) == first)
    }

    /// The time in which all servers can be compared.
    pub fn span(&self) -> Span {
        let all = self.servers.iter().enumerate();
        let spans = all.filter_map(|(server, it)| {
            Some(it.running.as_ref()?.node().span(Scope::All, self.posix_ns(server)))
        });
        spans.fold(Span::ALL, Span::within)
    }

    fn digest(&self, server: usize, span: Span) -> Digest {
        let running = self.servers[server].running.as_ref();
        running.map(|running| running.node().store.digest(span)).unwrap_or_default()
    }

    /// What a server's turns work on.
    pub fn core(&self, server: usize) -> Arc<Core> {
        self.servers[server].running.as_ref().expect("it runs").core.clone()
    }

    /// How many clients a server has in its store.
    pub fn count(&self, server: usize) -> usize {
        self.servers[server].running.as_ref().map_or(0, |running| running.node().store.count())
    }

    /// The AT lines that a server knows.
    pub fn at_lines_of(&self, server: usize) -> Vec<Vec<u8>> {
        let (mut walk, mut lines) = (Walk::all(), Vec::new());
        let Some(running) = &self.servers[server].running else { return Vec::new() };
        while walk.step(&running.node().store, &mut lines) {}
        lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(<[u8]>::to_vec).collect()
    }

    /// What each has of a client of which not all have the same.
    pub fn difference(&self) -> String {
        let mut all: Vec<_> =
            (0..self.servers.len()).map(|server| (name(server), self.at_lines_of(server))).collect();
        all.extend(self.engine.iter().map(|engine| ("the engine".to_owned(), engine.lines())));
        let mut lines: Vec<_> = all.iter().flat_map(|(_, lines)| lines.clone()).collect();
        lines.sort();
        lines.dedup();
        let odd = lines.iter().find(|line| !all.iter().all(|(_, lines)| lines.contains(line)));
        let Some(odd) = odd else { return "none".to_owned() };
        let client = odd.split(|&byte| byte == b' ').nth(3);
        let of_it = |lines: &[Vec<u8>]| {
            let of_it = lines.iter().filter(|line| line.split(|&byte| byte == b' ').nth(3) == client);
            of_it.map(|line| String::from_utf8_lossy(line).into_owned()).collect::<Vec<_>>().join(" and ")
        };
        let who = all.iter().map(|(who, lines)| format!("{who} has {:?}", of_it(lines)));
        who.collect::<Vec<_>>().join(", ")
    }

    /// Bytes of the AT lines that a server knows, with their newlines.
    pub fn stored_bytes(&self, server: usize) -> u64 {
        let running = self.servers[server].running.as_ref();
        running.map_or(0, |running| running.node().store.bytes() + running.node().store.count() as u64)
    }

    pub fn links_up(&self) -> bool {
        let is_open = |running: &Running| {
            let mut links = running.links.iter().filter(|it| !it.is_gone);
            links.all(|it| it.course.talk().is_some_and(Talk::is_open))
        };
        self.servers.iter().all(|it| it.running.as_ref().is_some_and(is_open))
    }

    /// AT lines that arrived over links.
    pub fn at_lines(&self) -> u64 {
        self.net.lock().at_lines
    }
}
