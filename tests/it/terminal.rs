//! What stdout and stderr go to may take nothing for as long as it likes: nobody waits for it.

use std::fs::File;
use std::io::Read;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Action, tcflow};

use crate::harness::{Client, HERD, Herd, wait_for};

/// What a process writes to, and the end at which a person would read it.
struct Outlet {
    kind: &'static str,
    theirs: OwnedFd,
    ours: File,
}

impl Outlet {
    /// A terminal on which Ctrl-S was typed.
    fn stopped_terminal() -> Outlet {
        let ours =
            openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).expect("a terminal");
        grantpt(&ours).and_then(|()| unlockpt(&ours)).expect("unlocked");
        let name = ptsname(&ours, Vec::new()).expect("its name");
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = open(name.as_c_str(), flags, Mode::empty()).expect("its other end");
        tcflow(&theirs, Action::OOff).expect("stopped");
        Outlet { kind: "a stopped terminal", theirs, ours: ours.into() }
    }

    /// A pipe that nobody reads, and that is full.
    fn full_pipe() -> Outlet {
        let (ours, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).expect("a pipe");
        fcntl_setfl(&theirs, OFlags::NONBLOCK).expect("set");
        while rustix::io::write(&theirs, &[b'-'; 4096]).is_ok() {}
        while rustix::io::write(&theirs, b"-").is_ok() {}
        fcntl_setfl(&theirs, OFlags::empty()).expect("set");
        Outlet { kind: "a full pipe", theirs, ours: ours.into() }
    }

    fn both() -> [Outlet; 2] {
        [Outlet::stopped_terminal(), Outlet::full_pipe()]
    }

    /// One more thing that writes there.
    fn stdio(&self) -> Stdio {
        self.theirs.try_clone().expect("cloned").into()
    }

    /// Starts a command all of whose output goes there.
    fn start(&self, folder: &Path, arguments: &[&str]) -> Guard {
        let mut command = Command::new(HERD);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        Guard(command.stdout(self.stdio()).stderr(self.stdio()).spawn().expect("started"))
    }

    /// Goes on as after Ctrl-Q, or begins to read, up to the first output that holds `text`.
    fn read_until(&mut self, text: &str) -> String {
        if self.kind == "a stopped terminal" {
            tcflow(&self.theirs, Action::OOn).expect("started");
        }
        let mut output = Vec::new();
        wait_for(text, || {
            let mut ready = [PollFd::new(&self.ours, PollFlags::IN)];
            if poll(&mut ready, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 })).expect("polled") > 0
            {
                let mut piece = [0; 4096];
                let count = self.ours.read(&mut piece).expect("read");
                output.extend_from_slice(&piece[..count]);
            }
            let found = String::from_utf8_lossy(&output).into_owned();
            found.contains(text).then_some(found)
        })
    }
}

/// A process that is killed when the test is done with it.
struct Guard(Child);

impl Guard {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).expect("signalled");
    }

    fn wait(&mut self) -> Option<i32> {
        wait_for("the process to end", || self.0.try_wait().expect("waited")).code()
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn connect(herd: &Herd, name: &str) -> Client {
    wait_for("the server to listen", || TcpStream::connect(herd.address(name)).ok());
    Client::connect(herd.address(name))
}

fn log_of(herd: &Herd, name: &str) -> String {
    std::fs::read_to_string(herd.folder.path().join(format!("log/{name}.log"))).unwrap_or_default()
}

/// Has a server close a connection over its limit, about which it warns, and see that it serves on.
fn warn_and_ask(herd: &Herd, name: &str) {
    let mut held = connect(herd, name);
    held.send("IAMAT a +1+1 1\n");
    assert!(held.text_line().starts_with("AT "));
    let mut others = Vec::new();
    wait_for("a warning", || {
        others.extend(TcpStream::connect(herd.address(name)));
        log_of(herd, name).contains("at once").then_some(())
    });
    for i in 2..20 {
        held.send(format!("IAMAT a +1+1 {i}\n"));
        assert!(held.text_line().starts_with("AT "), "{name} answers");
    }
}

#[test]
fn a_server_serves_and_stops_though_its_terminal_or_pipe_takes_nothing() {
    for outlet in Outlet::both() {
        let herd = Herd::new(&["Goloman"], &[], "max_connections = 4", &[]);
        let mut goloman = outlet.start(herd.folder.path(), &["Goloman"]);
        warn_and_ask(&herd, "Goloman");
        goloman.signal(Signal::TERM);
        assert_eq!(goloman.wait(), Some(0), "{}", outlet.kind);
        assert!(log_of(&herd, "Goloman").contains("Goloman stops"));
    }
}

#[test]
fn a_whole_herd_serves_and_stops_though_its_terminal_or_pipe_takes_nothing() {
    for outlet in Outlet::both() {
        let herd = Herd::new(&["Goloman", "Hands"], &[], "max_connections = 4", &[]);
        let mut all = outlet.start(herd.folder.path(), &[]);
        for name in &herd.names {
            warn_and_ask(&herd, name);
        }
        all.signal(Signal::TERM);
        assert_eq!(all.wait(), Some(0), "{}", outlet.kind);
        for name in &herd.names {
            assert!(log_of(&herd, name).contains(&format!("{name} stops")));
        }
    }
}

/// Neither the report of a death nor that of a start that failed waits for the terminal.
#[test]
fn a_herd_whose_server_dies_stops_though_its_terminal_takes_nothing() {
    for outlet in Outlet::both() {
        let herd = Herd::new(&["Goloman", "Hands"], &[], "", &[]);
        let taken = herd.listen_as("Hands");
        let mut all = outlet.start(herd.folder.path(), &[]);
        assert_eq!(all.wait(), Some(71), "{}", outlet.kind);
        drop(taken);
        let mut all = outlet.start(herd.folder.path(), &[]);
        herd.names.iter().for_each(|name| drop(connect(&herd, name)));
        let children = format!("/proc/{0}/task/{0}/children", all.0.id());
        let children = std::fs::read_to_string(children).expect("it lives");
        let first = children.split_whitespace().next().and_then(|pid| pid.parse().ok()).expect("a server");
        kill_process(Pid::from_raw(first).expect("a pid"), Signal::KILL).expect("killed");
        all.signal(Signal::TERM);
        wait_for("the herd to end", || all.0.try_wait().expect("waited"));
    }
}

#[test]
fn what_a_terminal_did_not_take_is_counted_and_told_once_it_does() {
    // A long name, so that few lines of errors fill what is kept for a terminal.
    let name = "key".repeat(80);
    for mut outlet in Outlet::both() {
        let herd = Herd::new(&["Goloman"], &[], &format!("secret_file = \"{name}\""), &[]);
        let key = herd.folder.path().join(&name);
        std::fs::write(&key, "a secret of the herd's\n").expect("written");
        std::fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
        let mut goloman = outlet.start(herd.folder.path(), &["Goloman"]);
        connect(&herd, "Goloman");
        wait_for("signals to be caught", || log_of(&herd, "Goloman").contains("listens on").then_some(()));
        std::fs::remove_file(&key).expect("removed");
        wait_for("more errors than are kept for a terminal", || {
            let before = log_of(&herd, "Goloman").matches("not reloaded, keeping").count();
            goloman.signal(Signal::HUP);
            wait_for("the next error", || {
                (log_of(&herd, "Goloman").matches("not reloaded, keeping").count() > before).then_some(())
            });
            (before >= 250).then_some(())
        });
        let shown = outlet.read_until("lines are missing here");
        let kept = shown.matches("Goloman: not reloaded, keeping").count();
        assert!(kept > 50 && kept < 250, "{}: {kept} in {shown}", outlet.kind);
        goloman.signal(Signal::TERM);
        assert_eq!(goloman.wait(), Some(0));
    }
}
