//! A real engine: Debian's redis-server, in a folder of its own, without anything on a disk.

use std::net::SocketAddr;
use std::process::Command;

use rustix::process::Signal;
use tempfile::TempDir;

use super::{Process, free_address};

pub struct Engine {
    address: SocketAddr,
    process: Process,
    folder: TempDir,
}

impl Engine {
    /// None where it is not installed, which is told, and must not be in CI.
    pub fn start() -> Option<Engine> {
        Engine::start_by(|_| {})
    }

    /// With an environment of its own.
    pub fn start_by(set: impl FnOnce(&mut Command)) -> Option<Engine> {
        if Command::new("redis-server").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "no redis-server: .ci/run installs it");
            eprintln!("not tested here: the backbone; install redis-server");
            return None;
        }
        let folder = tempfile::tempdir().expect("a folder");
        let address = free_address();
        let process = Engine::run(address, &folder, set);
        Some(Engine { address, process, folder })
    }

    fn run(address: SocketAddr, folder: &TempDir, set: impl FnOnce(&mut Command)) -> Process {
        let mut command = Command::new("redis-server");
        command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        set(&mut command);
        let mut process = Process::start(&mut command, folder.path());
        process.lines_until("Ready to accept connections");
        process
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends at once, with all that it has.
    pub fn kill(&mut self) {
        self.process.signal(Signal::KILL);
        self.process.wait();
    }

    /// Starts it again, empty.
    pub fn restart(&mut self) {
        self.process = Engine::run(self.address, &self.folder, |_| {});
    }

    /// Takes connections, and never answers.
    pub fn pause(&self) {
        self.process.signal(Signal::STOP);
    }

    pub fn go_on(&self) {
        self.process.signal(Signal::CONT);
    }

    pub fn ask(&self, words: &[&str]) -> redis::Value {
        let mut command = redis::cmd(words[0]);
        words[1..].iter().for_each(|word| _ = command.arg(word));
        command.query(&mut self.connection()).unwrap_or_else(|why| panic!("{words:?}: {why}"))
    }

    /// What a command counts.
    pub fn count(&self, words: &[&str]) -> u64 {
        redis::from_redis_value(self.ask(words)).expect("a number")
    }

    pub fn info(&self, section: &str) -> String {
        redis::from_redis_value(self.ask(&["INFO", section])).expect("text")
    }

    pub fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}", self.address)).expect("an address");
        client.get_connection().expect("connected")
    }
}
