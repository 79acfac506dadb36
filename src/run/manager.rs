//! What a service manager is told, by the protocol of sd_notify(3): that the server is ready, how it is, that it lives, and
//! which sockets to keep for the next process. Without a manager nobody is told. `one` and `family` call it.

use std::env;
use std::ffi::OsStr;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, bounded};
use rustix::io::retry_on_intr;
use rustix::net::sockopt::{self, Timeout};
use rustix::net::{
    AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags,
    SocketType, sendmsg_addr, socket_with,
};
use rustix::time::{ClockId, clock_gettime};

use crate::limits::{
    KILL_GRACE, MANAGER_EXTEND, MANAGER_PATIENCE, MANAGER_WATCHDOG_SHARE, PROGRESS_COMPUTED, PROGRESS_REST,
};
use crate::thread;

/// What systemd sets for a service, and a server does not hand on to children that are no service.
pub const VARIABLES: [&str; 6] =
    ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES"];

/// The manager of this process; of none, what is said goes nowhere.
#[derive(Default)]
pub struct Manager {
    /// Where it listens, and what it is told from.
    socket: Option<(OwnedFd, SocketAddrUnix)>,
    /// How often it wants to hear that we live.
    watchdog: Option<Duration>,
    /// It took nothing for as long as it is waited for: until it does, it is not waited for again.
    is_deaf: AtomicBool,
}

/// Whether something has to get there: what is only a sign of life is said again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    Matters,
    IsSaidAgain,
}

impl Manager {
    /// That of the environment.
    ///
    /// # Errors
    /// The environment names one that cannot be spoken to.
    pub fn of_environment() -> io::Result<Manager> {
        let Some(path) = env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else {
            return Ok(Manager::default());
        };
        let address = address(&path)?;
        let socket = socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
        sockopt::set_socket_timeout(&socket, Timeout::Send, Some(MANAGER_PATIENCE))?;
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let is_ours = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| is_ours).map(Duration::from_micros);
        Ok(Manager { socket: Some((socket, address)), watchdog, is_deaf: AtomicBool::new(false) })
    }

    pub fn is_there(&self) -> bool {
        self.socket.is_some()
    }

    /// How often to say that we live, several times as often as it wants to hear it; None if it does not.
    pub fn watch_rest(&self) -> Option<Duration> {
        self.watchdog.map(|watchdog| watchdog / MANAGER_WATCHDOG_SHARE)
    }

    /// The start, or a reload, is done. False if that did not get there, so that it is to be said again.
    pub fn ready(&self, status: &str) -> bool {
        self.tell(&format!("READY=1\nSTATUS={status}"), None, Weight::Matters)
    }

    /// How it is, in one line.
    pub fn status(&self, status: &str) {
        self.tell(&format!("STATUS={status}"), None, Weight::IsSaidAgain);
    }

    /// Does what may take minutes, like reading large files. As long as it computes meanwhile, and does not hang, the
    /// manager is told so.
    pub fn working<T>(&self, on: &str, work: impl FnOnce() -> T) -> T {
        if !self.is_there() {
            return work();
        }
        self.extend(on);
        std::thread::scope(|scope| {
            let (over, is_over) = bounded::<()>(0); // nothing is sent: it ends with the work
            // Without the thread the manager hears nothing meanwhile, as it would without this.
            let _ = thread::spawn_scoped(scope, "progress", move || {
                let mut computed = computed();
                while is_over.recv_timeout(PROGRESS_REST) == Err(RecvTimeoutError::Timeout) {
                    let now = self::computed();
                    if now.saturating_sub(computed) >= PROGRESS_COMPUTED {
                        self.extend(on);
                    }
                    computed = now;
                }
            });
            let done = work();
            drop(over);
            done
        })
    }

    /// A start makes progress, and needs longer. During an upgrade it is a sign of life.
    pub fn extend(&self, status: &str) {
        let us = MANAGER_EXTEND.as_micros();
        self.tell(
            &format!("EXTEND_TIMEOUT_USEC={us}\nWATCHDOG=1\nSTATUS={status}"),
            None,
            Weight::IsSaidAgain,
        );
    }

    /// A reload begins; `ready` ends it.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let us = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(
            &format!("RELOADING=1\nMONOTONIC_USEC={us}\nSTATUS=reads its files again"),
            None,
            Weight::Matters,
        );
    }

    /// The end has begun, and may take so long, whatever the unit has in `TimeoutStopSec=`. Who ends what hangs, and says
    /// so, has its time, too.
    pub fn stopping(&self, within: Duration) {
        let us = (within + 2 * KILL_GRACE).as_micros();
        self.tell(&format!("STOPPING=1\nEXTEND_TIMEOUT_USEC={us}\nSTATUS=stops"), None, Weight::Matters);
    }

    /// The workers go on.
    pub fn live(&self) {
        self.tell("WATCHDOG=1", None, Weight::IsSaidAgain);
    }

    /// Has it keep a listening socket for the next process, by this name; as often as one likes. False if that did not
    /// get there.
    pub fn keep(&self, name: &str, socket: BorrowedFd<'_>) -> bool {
        self.tell(&format!("FDSTORE=1\nFDNAME={name}\nFDPOLL=0"), Some(socket), Weight::Matters)
    }

    /// Has it close every socket of this name that it keeps.
    pub fn close(&self, name: &str) {
        self.tell(&format!("FDSTOREREMOVE=1\nFDNAME={name}"), None, Weight::Matters);
    }

    /// A manager that does not listen is no reason to serve nobody. One that is busy for a moment is waited for with what
    /// matters, once. False if it does not have it.
    fn tell(&self, text: &str, passed: Option<BorrowedFd<'_>>, weight: Weight) -> bool {
        let Some((socket, address)) = &self.socket else { return true };
        let passed: Vec<_> = passed.into_iter().collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !passed.is_empty() {
            control.push(SendAncillaryMessage::ScmRights(&passed));
        }
        let bytes = [IoSlice::new(text.as_bytes())];
        let is_waited_for = weight == Weight::Matters && !self.is_deaf.load(Ordering::Relaxed);
        let flags = if is_waited_for { SendFlags::empty() } else { SendFlags::DONTWAIT };
        let sent = retry_on_intr(|| sendmsg_addr(socket, address, &bytes, &mut control, flags));
        let Err(why) = sent else {
            self.is_deaf.store(false, Ordering::Relaxed);
            return true;
        };
        let what = text.lines().next().unwrap_or_default();
        if is_waited_for {
            self.is_deaf.store(true, Ordering::Relaxed);
            log::warn!("the service manager is not told {what}: {why}");
        } else {
            log::debug!("the service manager is not told {what}: {why}");
        }
        false
    }
}

/// How long this process has computed.
fn computed() -> Duration {
    let since = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(since.tv_sec.try_into().unwrap_or(0), since.tv_nsec.try_into().unwrap_or(0))
}

/// A path, or after `@` an abstract name.
fn address(path: &OsStr) -> io::Result<SocketAddrUnix> {
    match path.as_bytes() {
        [b'@', name @ ..] => Ok(SocketAddrUnix::new_abstract_name(name)?),
        [b'/', ..] => Ok(SocketAddrUnix::new(path)?),
        _ => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("NOTIFY_SOCKET is {path:?}, and should begin with / or @"),
        )),
    }
}
