//! What the servers of a world know, as the tests ask it.

use herd::store::digest::Digest;

use super::super::server::Running;
use super::World;

impl World {
    /// Whether a server knows where a client is.
    pub fn knows(&self, server: usize, client: &str) -> bool {
        let now_ns = self.posix_ns(server);
        let running = self.servers[server].running.as_ref();
        running.is_some_and(|running| running.node().find(client.as_bytes(), now_ns).is_some())
    }

    /// Whether all servers know the same.
    pub fn agrees(&self) -> bool {
        if !self.servers.iter().all(|server| server.running.is_some()) {
            return false;
        }
        let first = self.digest(0);
        (0..self.servers.len()).all(|server| self.digest(server) == first)
    }

    /// What a server knows, by its own clock.
    pub fn digest(&self, server: usize) -> Digest {
        let running = self.servers[server].running.as_ref();
        running.map(|running| running.node().digest(self.posix_ns(server))).unwrap_or_default()
    }

    /// The second before which all servers have forgotten what was heard, by whichever clock.
    pub fn oldest_s(&self) -> Option<i64> {
        let all = self.servers.iter().enumerate();
        all.filter_map(|(server, it)| it.running.as_ref()?.node().oldest_s(self.posix_ns(server))).max()
    }

    /// Bytes of the AT lines that a server knows, with their newlines.
    pub fn stored_bytes(&self, server: usize) -> u64 {
        let running = self.servers[server].running.as_ref();
        running.map_or(0, |running| running.node().store.bytes() + running.node().store.count() as u64)
    }

    pub fn links_up(&self) -> bool {
        let is_open = |running: &Running| {
            running.links.iter().all(|it| it.talk.as_ref().is_some_and(|(talk, _)| talk.is_open()))
        };
        self.servers.iter().all(|it| it.running.as_ref().is_some_and(is_open))
    }

    /// AT lines that arrived over links.
    pub fn at_lines(&self) -> u64 {
        self.net.lock().at_lines
    }
}
