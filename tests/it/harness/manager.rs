//! What systemd does for a service: it hears how it is, keeps its sockets, and passes them to the next process.

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, recvmsg, sendmsg,
};
use tempfile::TempDir;

use super::{HANG, HERD, Server};

pub struct Manager {
    folder: TempDir,
    socket: UnixDatagram,
    launching: UnixListener,
    /// The sockets that it was given, by name.
    pub kept: Vec<(String, OwnedFd)>,
    /// All that it was told.
    pub told: Vec<String>,
}

impl Manager {
    pub fn new() -> Manager {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("bound");
        socket.set_read_timeout(Some(HANG)).expect("set");
        let launching = UnixListener::bind(folder.path().join("launch")).expect("bound");
        Manager { folder, socket, launching, kept: Vec::new(), told: Vec::new() }
    }

    /// Starts a server with the sockets that are kept, which wants to be heard of every so many microseconds.
    pub fn start(&self, folder: &Path, name: &str, watchdog_us: u64) -> Server {
        let mut command = self.command(watchdog_us);
        command.arg(HERD).arg(name);
        std::thread::scope(|scope| {
            scope.spawn(|| self.hand_over());
            Server::start_by(&mut command, folder, name)
        })
    }

    fn command(&self, watchdog_us: u64) -> Command {
        let launcher = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/harness/launch.py");
        let mut command = Command::new("python3");
        command.arg(launcher).arg(self.folder.path().join("launch"));
        command.env("NOTIFY_SOCKET", self.folder.path().join("notify"));
        command.env("WATCHDOG_USEC", watchdog_us.to_string());
        command
    }

    fn hand_over(&self) {
        let (launcher, _) = self.launching.accept().expect("the launcher");
        let names = self.kept.iter().map(|(name, _)| &**name).collect::<Vec<_>>().join(":");
        let sockets: Vec<_> = self.kept.iter().map(|(_, socket)| socket.as_fd()).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !sockets.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&sockets)), "room");
        }
        let text = format!("{names}\n");
        sendmsg(&launcher, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::empty()).expect("sent");
    }

    /// Leaves no room for what is said, until all that was is heard.
    pub fn fill(&self) {
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.set_nonblocking(true).expect("set");
        while sender.send_to(b"X=1", self.folder.path().join("notify")).is_ok() {}
    }

    /// Hears what is said next.
    pub fn hear(&mut self) -> String {
        let (mut bytes, mut space) =
            ([0; 4_096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(32))]);
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let heard =
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, RecvFlags::CMSG_CLOEXEC);
        let count =
            heard.unwrap_or_else(|why| panic!("nothing is said: {why}; so far {:?}", self.told)).bytes;
        let text = String::from_utf8(bytes[..count].to_vec()).expect("text");
        let name = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or_default().to_owned();
        if text.contains("FDSTOREREMOVE=1") {
            self.kept.retain(|(kept, _)| *kept != name);
        }
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(passed) = message {
                assert!(text.contains("FDSTORE=1"), "{text}");
                self.kept.extend(passed.map(|socket| (name.clone(), socket)));
            }
        }
        self.told.push(text.clone());
        text
    }

    /// Whether nothing is said for several times as long as a server may take that is heard of every 300 ms.
    pub fn falls_silent(&self) -> bool {
        self.socket.set_read_timeout(Some(Duration::from_secs(2))).expect("set");
        // What it said until it was found to hang, and before.
        let is_silent = (0..8).any(|_| self.socket.recv(&mut [0; 4_096]).is_err());
        self.socket.set_read_timeout(Some(HANG)).expect("set");
        is_silent
    }

    /// Hears on until something is said that holds this, and returns that.
    pub fn hear_of(&mut self, what: &str) -> String {
        loop {
            let text = self.hear();
            if text.contains(what) {
                return text;
            }
        }
    }
}
