//! A server under measurement: started from its command, ready when it says so, and read in /proc:
//! computing time, resident memory, context switches, threads.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::leftovers;
use crate::listening;
use crate::workload::Door;

/// How long a server may take to listen, and to end.
const START_MAX: Duration = Duration::from_secs(20);
const STOP_MAX: Duration = Duration::from_secs(10);

/// A running server. It is ended with the value.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    http: Option<SocketAddr>,
    stderr: PathBuf,
}

/// What /proc says of a process at one time; differences of two are what a run cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Usage {
    /// User and system.
    pub cpu: Duration,
    pub resident_bytes: u64,
    /// Voluntary and not, of the threads there are.
    pub switches: u64,
    pub threads: u64,
}

/// When a server is ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// When it says `NAME listens on ADDRESS` on stdout, and before it, if it does, where it serves HTTP.
    Listens,
    /// When it says `NAME serves HTTP on ADDRESS`.
    ServesHttp,
    /// It says nothing of the kind, and is ready when it takes connections here.
    Takes(SocketAddr),
    /// Whichever comes first: it says `NAME listens on ADDRESS`, or takes connections here. Without an address, where it
    /// listens is looked up.
    Anyhow(Option<SocketAddr>),
}

impl Process {
    /// Starts a command in `folder` and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, or ends or says something else before it is ready; with its stderr.
    pub fn start(command: &mut Command, folder: &Path, ready: Ready) -> io::Result<Process> {
        let stderr = folder.join(format!("stderr-{}", fastrand::u64(..)));
        if command.get_current_dir().is_none() {
            command.current_dir(folder);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(&stderr)?);
        let mut child = leftovers::spawn(command)
            .map_err(|why| io::Error::new(why.kind(), format!("{:?}: {why}", command.get_program())))?;
        let said = match ready {
            Ready::Takes(address) => wait_to_listen(&mut child, address).map(|()| (address, None)),
            Ready::Anyhow(address) => wait_for_a_port(&mut child, address),
            Ready::Listens | Ready::ServesHttp => wait_to_be_told(&mut child, ready),
        };
        match said {
            Ok((address, http)) => Ok(Process { child, address, http, stderr }),
            Err(why) => {
                end(&mut child);
                let stderr = fs::read_to_string(&stderr).unwrap_or_default();
                Err(io::Error::other(format!("{why}; stderr: {}", stderr.trim_end())))
            }
        }
    }

    /// Where this door of it is.
    ///
    /// # Errors
    /// It did not say that it serves HTTP.
    pub fn at(&self, door: Door) -> io::Result<SocketAddr> {
        match door {
            Door::Lines => Ok(self.address),
            Door::Http => self.http.ok_or_else(|| io::Error::other("it did not say where it serves HTTP")),
        }
    }

    /// Its process ID, for [`usage`].
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it has used until now.
    pub fn usage(&self) -> Usage {
        usage(self.child.id()).unwrap_or_default()
    }

    /// The end of what it said on stderr, for a report of what went wrong.
    pub fn stderr(&self) -> String {
        let text = fs::read_to_string(&self.stderr).unwrap_or_default();
        text.lines().rev().take(5).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Ends it at once, as a crash would.
    pub fn kill(mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    leftovers::forget(child);
    let _ = child.kill();
    let _ = child.wait();
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = kill_process(Pid::from_child(&self.child), Signal::TERM);
        let deadline = Instant::now() + STOP_MAX;
        while matches!(self.child.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                return end(&mut self.child);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        leftovers::forget(&self.child);
    }
}

/// The lines that it says on stdout.
fn lines_of(child: &mut Child) -> Result<mpsc::Receiver<String>, String> {
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let (told, hears) = mpsc::channel();
    // Ends with the server, whose stdout it keeps reading so that it never fills.
    std::thread::spawn(move || {
        let mut reader = BufReader::new(stdout.take(1 << 20));
        loop {
            let mut line = String::new();
            let is_over = !matches!(reader.read_line(&mut line), Ok(1..));
            if is_over || told.send(line).is_err() {
                break;
            }
        }
        let _ = io::copy(&mut reader.into_inner().into_inner(), &mut io::sink());
    });
    Ok(hears)
}

/// Where it says that it listens, and that it serves HTTP.
fn wait_to_be_told(child: &mut Child, ready: Ready) -> Result<(SocketAddr, Option<SocketAddr>), String> {
    let hears = lines_of(child)?;
    let mut http = None;
    loop {
        let line = hears.recv_timeout(START_MAX).map_err(|_| "it did not say that it listens".to_owned())?;
        let address = |words| line.trim_end().rsplit_once(words)?.1.parse::<SocketAddr>().ok();
        if let Some(found) = address(" listens on ") {
            return Ok((found, http));
        }
        http = address(" serves HTTP on ");
        match http {
            Some(found) if ready == Ready::ServesHttp => return Ok((found, http)),
            Some(_) => {}
            None => return Err(format!("instead of `NAME listens on ADDRESS` it said {line:?}")),
        }
    }
}

/// Where it takes connections, whether it says so or not.
fn wait_for_a_port(
    child: &mut Child,
    given: Option<SocketAddr>,
) -> Result<(SocketAddr, Option<SocketAddr>), String> {
    let hears = lines_of(child)?;
    let deadline = Instant::now() + START_MAX;
    while Instant::now() < deadline {
        let told =
            hears.try_iter().find_map(|line| line.trim_end().rsplit_once(" listens on ")?.1.parse().ok());
        let found = match given {
            Some(address) => std::net::TcpStream::connect(address).is_ok().then_some(address),
            None => listening::of(child.id()),
        };
        if let Some(address) = told.or(found) {
            return Ok((address, None));
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended with {status}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(match given {
        Some(address) => format!("nobody answers on {address}"),
        None => "it listens on no port".into(),
    })
}

fn wait_to_listen(child: &mut Child, address: SocketAddr) -> Result<(), String> {
    let deadline = Instant::now() + START_MAX;
    while Instant::now() < deadline {
        if std::net::TcpStream::connect(address).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = child.try_wait() {
            return Err(format!("it ended with {status}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!("it does not listen on {address}"))
}

pub fn usage(pid: u32) -> Option<Usage> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // After the name in brackets, which may hold anything: state is the first.
    let fields: Vec<_> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    let ticks = number(11)? + number(12)?;
    let per_second = rustix::param::clock_ticks_per_second().max(1);
    let page_bytes = rustix::param::page_size() as u64;
    let mut switches = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        switches += status
            .lines()
            .filter(|line| line.contains("ctxt_switches"))
            .filter_map(|line| line.rsplit('\t').next()?.parse::<u64>().ok())
            .sum::<u64>();
    }
    Some(Usage {
        cpu: Duration::from_nanos(ticks * (1_000_000_000 / per_second)),
        resident_bytes: number(21)? * page_bytes,
        switches,
        threads: number(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_ready_when_it_says_so_and_ends_with_the_value() {
        let folder = tempfile::tempdir().expect("a folder");
        let script = "echo 'X listens on 127.0.0.1:5'; exec sleep 100";
        let process = Process::start(Command::new("sh").args(["-c", script]), folder.path(), Ready::Listens);
        let process = process.expect("started");
        assert_eq!(process.address, "127.0.0.1:5".parse().expect("an address"));
        assert_eq!(process.usage().threads, 1);
        let pid = process.child.id();
        drop(process);
        assert!(!Path::new(&format!("/proc/{pid}")).exists());
    }

    #[test]
    fn a_server_that_fails_is_reported_with_its_stderr() {
        let folder = tempfile::tempdir().expect("a folder");
        for (script, hint) in [("echo no module >&2", "no module"), ("echo hello", "hello")] {
            let process =
                Process::start(Command::new("sh").args(["-c", script]), folder.path(), Ready::Listens);
            let why = process.err().expect("failed").to_string();
            assert!(why.contains(hint), "{why}");
        }
        let absent = Process::start(&mut Command::new("no-such-program"), folder.path(), Ready::Listens);
        assert!(absent.is_err());
    }

    #[test]
    fn a_server_says_where_each_of_its_doors_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let (lines, http) = ("X listens on 127.0.0.1:5", "X serves HTTP on 127.0.0.1:6");
        for (said, ready, expected) in [
            (format!("{http}\n{lines}"), Ready::Listens, [Some(5), Some(6)]),
            (lines.to_owned(), Ready::Listens, [Some(5), None]),
            (http.to_owned(), Ready::ServesHttp, [Some(6), Some(6)]),
        ] {
            let script = format!("echo '{said}'; exec sleep 100");
            let process = Process::start(Command::new("sh").args(["-c", &script]), folder.path(), ready);
            let process = process.expect("started");
            let ports = [Door::Lines, Door::Http].map(|door| process.at(door).ok().map(|found| found.port()));
            assert_eq!(ports, expected, "{said}");
        }
    }

    #[test]
    fn a_server_that_says_nothing_is_ready_when_it_listens() {
        let folder = tempfile::tempdir().expect("a folder");
        let start = |script: &str, given| {
            Process::start(Command::new("sh").args(["-c", script]), folder.path(), Ready::Anyhow(given))
        };
        let told = start("echo hello; echo 'X listens on 127.0.0.1:5'; exec sleep 100", None);
        assert_eq!(told.expect("started").address, "127.0.0.1:5".parse().expect("an address"));
        // Somebody else's will do here.
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let given = held.local_addr().expect("bound");
        assert_eq!(start("exec sleep 100", Some(given)).expect("started").address, given);
        for given in [None, Some("127.0.0.1:1".parse().expect("an address"))] {
            let why = start("echo no module >&2; exit 3", given).err().expect("failed").to_string();
            assert!(why.contains("exit status: 3") && why.contains("no module"), "{why}");
        }
    }

    #[test]
    fn computing_time_is_read_in_seconds_and_memory_in_bytes() {
        let Usage { cpu: before, resident_bytes, .. } = usage(std::process::id()).expect("read");
        assert!((100_000..10_000_000_000).contains(&resident_bytes), "{resident_bytes}");
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {}
        let spent = usage(std::process::id()).expect("read").cpu - before;
        assert!(spent >= Duration::from_millis(100) && spent < Duration::from_secs(20), "{spent:?}");
    }
}
