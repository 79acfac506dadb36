//! A real engine: Debian's redis-server, in a folder of its own, without anything on a disk.

use std::net::SocketAddr;
use std::process::Command;

use tempfile::TempDir;

use super::{Process, free_address};

pub struct Engine {
    address: SocketAddr,
    _process: Process,
    _folder: TempDir,
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
        let mut command = Command::new("redis-server");
        command.args(["--bind", &address.ip().to_string(), "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no"]);
        set(&mut command);
        let mut process = Process::start(&mut command, folder.path());
        process.lines_until("Ready to accept connections");
        Some(Engine { address, _process: process, _folder: folder })
    }

    pub fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}", self.address)).expect("an address");
        client.get_connection().expect("connected")
    }
}
