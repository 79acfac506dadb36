//! What the servers of a world know, as the tests ask it.

use std::sync::Arc;

use herd::link::Talk;
use herd::node::Scope;
use herd::protocol::Span;
use herd::store::digest::Digest;
use herd::turn::Core;

use super::super::server::Running;
use super::World;

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
