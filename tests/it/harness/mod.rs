//! Starts real herd processes in folders of their own and waits for what they do. Nothing here
//! sleeps for a length of time: everything waits for a condition, up to a deadline that is a hang.

mod client;
mod disk;
mod engine;
mod held;
mod link;
mod manager;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

pub use client::Client;
pub use disk::Disk;
pub use engine::Engine;
pub use held::Held;
pub use link::LinkEnd;
pub use manager::Manager;

/// Longer than anything takes that works.
pub const HANG: Duration = Duration::from_secs(20);

pub const HERD: &str = env!("CARGO_BIN_EXE_herd");

pub const GOLOMAN_AND_HANDS: [&str; 2] = ["Goloman", "Hands"];
pub const ONE_LINK: [(&str, &str); 1] = [("Goloman", "Hands")];

/// Waits until `look` finds something.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + HANG;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {HANG:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process of this test's, killed when the test is done with it.
pub struct Process {
    pub child: Child,
    stdout: BufReader<ChildStdout>,
    stderr_path: PathBuf,
}

impl Process {
    /// Starts a command in `folder`, its stdout piped and its stderr in a file there.
    pub fn start(command: &mut Command, folder: &Path) -> Process {
        let stderr_path = folder.join(format!("stderr-{}", fastrand::u64(..)));
        let stderr = fs::File::create(&stderr_path).expect("a file for stderr");
        let mut child = command
            .current_dir(folder)
            .env_remove("HERD_PLACES_KEY")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .expect("started");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        Process { child, stdout, stderr_path }
    }

    /// The next line on stdout, without its newline; empty at the end.
    pub fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("stdout is text");
        line.trim_end().to_owned()
    }

    /// Lines on stdout up to the first that holds `text`.
    pub fn lines_until(&mut self, text: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while !lines.last().is_some_and(|line: &String| line.contains(text)) {
            let mut line = String::new();
            let count = self.stdout.read_line(&mut line).expect("stdout is text");
            assert!(count > 0, "no {text:?} in {lines:?}; stderr: {}", self.stderr());
            lines.push(line.trim_end().to_owned());
        }
        lines
    }

    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr_path).expect("stderr is text")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("signalled");
    }

    pub fn wait(&mut self) -> ExitStatus {
        wait_for("the process to end", || self.child.try_wait().expect("waited"))
    }

    /// Waits for the end and returns the exit status, what is left on stdout, and stderr.
    pub fn finish(mut self) -> (Option<i32>, String, String) {
        let mut stdout = String::new();
        self.stdout.read_to_string(&mut stdout).expect("stdout is text");
        (self.wait().code(), stdout, self.stderr())
    }

    /// What is in memory of it, in kB; None once it has ended.
    pub fn resident_kb(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }

    /// A number of a line of /proc/PID/status: threads, or kB.
    pub fn status(&self, key: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("it lives");
        let line = status.lines().find(|line| line.starts_with(key)).expect(key);
        line.split_whitespace().nth(1).and_then(|number| number.parse().ok()).expect(key)
    }

    /// Whether it was stopped by SIGSTOP, every thread of it.
    pub fn is_stopped(&self) -> bool {
        let threads = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("it lives");
        threads.into_iter().all(|thread| {
            let stat = fs::read_to_string(thread.expect("a thread").path().join("stat")).expect("it lives");
            stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" T"))
        })
    }

    /// Computing time so far, in clock ticks (hundredths of a second).
    pub fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).expect("it lives");
        let fields = stat.rsplit_once(')').expect("a name in brackets").1.split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

/// Runs herd to its end: exit status, stdout, stderr.
pub fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    Process::start(Command::new(HERD).args(arguments), folder).finish()
}

/// One server of a config in a folder.
pub struct Server {
    pub process: Process,
    pub name: String,
    pub address: SocketAddr,
    /// Where it serves HTTP, if it does.
    pub http: Option<SocketAddr>,
    pub log: PathBuf,
}

impl Server {
    /// Starts `name` of the herd.conf in `folder` and waits until it listens.
    pub fn start(folder: &Path, name: &str) -> Server {
        Server::start_by(Command::new(HERD).arg(name), folder, name)
    }

    pub fn start_by(command: &mut Command, folder: &Path, name: &str) -> Server {
        let mut process = Process::start(command, folder);
        let mut ready = process.line();
        let served = ["HTTP", "HTTPS"].map(|what| format!("{name} serves {what} on "));
        let http = served.iter().find_map(|it| ready.strip_prefix(it)?.parse().ok());
        if http.is_some() {
            ready = process.line();
        }
        let address = ready.strip_prefix(&format!("{name} listens on ")).and_then(|at| at.parse().ok());
        let address = address.unwrap_or_else(|| panic!("{name} said {ready:?}; {}", process.stderr()));
        let log = folder.join(format!("log/{name}.log"));
        Server { process, name: name.to_owned(), address, http, log }
    }

    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Says a line on a connection of its own and returns the whole reply.
    pub fn ask(&self, line: &str) -> String {
        self.client().say(line)
    }

    /// Tells it that a client is at +1+1 since the second 1; the AT line it says.
    pub fn tell(&self, client: &str) -> String {
        self.ask(&format!("IAMAT {client} +1+1 1\n")).trim_end().to_owned()
    }

    /// The AT line the server has of a client, if it has one.
    pub fn knows(&self, client: &str) -> Option<String> {
        let reply = self.ask(&format!("WHATSAT {client} 0 0\n"));
        reply.lines().next().filter(|line| line.starts_with("AT ")).map(str::to_owned)
    }

    /// Waits until the server's record of a client is this AT line.
    pub fn wait_to_know(&self, client: &str, line: &str) {
        let what = format!("{} to know {line}", self.name);
        wait_for(&what, || (self.knows(client).as_deref() == Some(line)).then_some(()));
    }

    /// All that it has logged, the old files first.
    pub fn log_text(&self) -> String {
        let old = (1..=3).rev().map(|number| self.log.with_extension(format!("log.{number}")));
        old.chain([self.log.clone()]).filter_map(|path| fs::read_to_string(path).ok()).collect()
    }

    pub fn wait_for_log(&self, text: &str) -> String {
        let what = format!("{text:?} in the log of {}", self.name);
        wait_for(&what, || Some(self.log_text()).filter(|log| log.contains(text)))
    }

    /// SIGTERM, and the exit status.
    pub fn stop(self) -> Option<i32> {
        self.process.signal(Signal::TERM);
        self.wait()
    }

    /// The exit status, once it ends.
    pub fn wait(mut self) -> Option<i32> {
        self.process.wait().code()
    }
}

/// Builds a library that stands between herd and the system, by the C compiler that herd is built with.
pub fn build_library(folder: &TempDir, source: &str) -> PathBuf {
    let (path, library) = (folder.path().join("library.c"), folder.path().join("library.so"));
    fs::write(&path, source).expect("written");
    let mut cc = Command::new("cc");
    let built = cc.args(["-shared", "-fPIC", "-o"]).args([&library, &path]).arg("-ldl").output();
    let built = built.expect("cc, which herd is built with, too");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    library
}

/// A folder with a herd.conf.
pub fn folder_with(conf: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("herd.conf"), conf).expect("written");
    folder
}

/// Writes a file for its owner alone.
pub fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
}

/// One server alone on a free port of 127.0.0.1, with these settings.
pub fn solo(settings: &str) -> (TempDir, Server) {
    let conf = format!("{settings}\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n");
    let folder = folder_with(&conf);
    let server = Server::start(folder.path(), "Goloman");
    (folder, server)
}

/// A loopback address that no other test uses, and a port that is free on it.
pub fn free_address() -> SocketAddr {
    wait_for("a free loopback address", || {
        let ip = Ipv4Addr::new(127, fastrand::u8(1..255), fastrand::u8(..), fastrand::u8(1..255));
        TcpListener::bind((ip, 0)).and_then(|listener| listener.local_addr()).ok()
    })
}

/// Servers with a loopback address each, so that they tell each other apart, and this test's
/// clients, which dial from 127.0.0.1, are strangers.
pub struct Herd {
    pub folder: TempDir,
    pub names: Vec<String>,
    pub addresses: Vec<SocketAddr>,
}

impl Herd {
    /// Writes the herd.conf of a graph given by its edges, with these settings at its top and
    /// these lines in the tables of servers.
    pub fn new(names: &[&str], edges: &[(&str, &str)], settings: &str, tables: &[(&str, &str)]) -> Herd {
        let addresses: Vec<_> = names.iter().map(|_| free_address()).collect();
        let mut conf = format!("{settings}\n");
        for (name, address) in names.iter().zip(&addresses) {
            let with = edges.iter().filter(|(a, _)| a == name).map(|(_, b)| format!("{b:?}"));
            let neighbours = with.collect::<Vec<_>>().join(", ");
            conf += &format!("[servers.{name}]\nlisten = \"{address}\"\nneighbours = [{neighbours}]\n");
            tables.iter().filter(|(to, _)| to == name).for_each(|(_, line)| conf += &format!("{line}\n"));
        }
        let names = names.iter().map(|name| name.to_string()).collect();
        Herd { folder: folder_with(&conf), names, addresses }
    }

    pub fn start(&self, name: &str) -> Server {
        Server::start(self.folder.path(), name)
    }

    pub fn start_all(&self) -> Vec<Server> {
        self.names.iter().map(|name| self.start(name)).collect()
    }

    pub fn ip(&self, name: &str) -> IpAddr {
        self.address(name).ip()
    }

    pub fn address(&self, name: &str) -> SocketAddr {
        self.addresses[self.names.iter().position(|other| other == name).expect(name)]
    }

    /// Listens in a server's stead.
    pub fn listen_as(&self, name: &str) -> TcpListener {
        TcpListener::bind(self.address(name)).expect("bound")
    }
}
