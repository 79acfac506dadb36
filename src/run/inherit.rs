//! Sockets that listen already when a process of herd begins: the service manager kept them for it, or the process
//! that it was before an upgrade hands them on. `main` takes them before all else, `one` listens on them.

use std::env;
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::TcpListener;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;

use listenfd::ListenFd;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::stdio::dup2_stdin;
use socket2::SockRef;

use super::parent;
use crate::limits::{HANDED_ON_BYTES, HANDED_ON_MAX};
use crate::net::socket::Spare;

/// Tells a process that its stdin has what it was handed on. Its value is the ID of whoever hands it on: the process
/// itself, as an upgrade leaves it its ID, or its parent, for which it checks whether it could take its place.
pub const HANDED_ON: &str = "HERD_HANDED_ON";

/// In a process that checks for its parent: the folder of the journal that the parent has.
pub const JOURNAL: &str = "HERD_JOURNAL";

/// The name under which herd.conf is among the sockets. No door is called so.
const CONF: &str = "herd.conf";

/// In a process that was another program before: somebody has ordered meanwhile that herd.conf be read again.
pub const RELOAD: &str = "HERD_RELOAD";
pub const DUE: &str = "due";

/// What the process begins with.
#[derive(Default)]
pub struct Inherited {
    pub sockets: Spare,
    /// The herd.conf that was checked before an upgrade.
    pub conf: Option<File>,
    /// That is to be read again.
    pub is_reload_due: bool,
    /// Somebody else hands it on, whose place this process would take; the folder of the journal that it has.
    pub checks_for: Option<PathBuf>,
    /// The process was another program before, or checks for its parent: signals may wait for it to act on them.
    pub is_successor: bool,
    /// Why there are fewer than there should be, in sentences for the log.
    pub troubles: Vec<String>,
}

/// Takes what was handed on. To be called once, before there is any other thread, as it takes what the manager said of
/// it out of the environment.
pub fn take() -> Inherited {
    let mut inherited = Inherited::default();
    let giver = env::var(HANDED_ON).ok().and_then(|pid| pid.parse::<i32>().ok());
    let is_own = giver == i32::try_from(std::process::id()).ok();
    let is_parents = giver.is_some() && giver == getppid().map(|pid| pid.as_raw_nonzero().get());
    if is_own || is_parents {
        inherited.is_successor = true;
        if is_parents {
            // Without it, it goes on until it has checked.
            let _ = set_parent_process_death_signal(Some(Signal::KILL));
        }
        inherited.is_reload_due = is_own && env::var(RELOAD).is_ok_and(|due| due == DUE);
        inherited.checks_for = is_parents.then(|| env::var_os(JOURNAL).unwrap_or_default().into());
        if let Err(why) = from_stdin(&mut inherited) {
            inherited.troubles.push(format!("cannot take what was handed on: {why}"));
        }
    }
    from_manager(&mut inherited);
    inherited
}

/// What systemd passes: descriptors from 3 on, and their names.
fn from_manager(inherited: &mut Inherited) {
    let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
    let mut names = names.split(':').map(str::to_owned);
    let mut passed = ListenFd::from_env();
    for index in 0..passed.len() {
        let name = names.next().unwrap_or_default();
        match passed.take_tcp_listener(index) {
            Ok(Some(socket)) => inherited.sockets.add(name, socket),
            Ok(None) => {}
            Err(why) => {
                inherited.troubles.push(format!("socket {name:?} of the service manager is of no use: {why}"))
            }
        }
    }
}

/// Makes a stdin for the next process, from which it takes these sockets by name, its herd.conf, and our stdin.
///
/// # Errors
/// The system refuses it, or they are too many.
pub fn hand_on(mut passed: Vec<(&str, OwnedFd)>, text: &[u8]) -> io::Result<OwnedFd> {
    passed.push((CONF, parent::hand_on(text)?));
    let (ours, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    let names = passed.iter().map(|(name, _)| *name).collect::<Vec<_>>().join("\n");
    let stdin = io::stdin();
    let mut all: Vec<_> = passed.iter().map(|(_, passed)| passed.as_fd()).collect();
    all.push(stdin.as_fd());
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED_ON_MAX))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !control.push(SendAncillaryMessage::ScmRights(&all)) {
        return Err(io::Error::other(format!("{} descriptors are more than can be handed on", all.len())));
    }
    // A message of no bytes has no descriptors.
    let text = format!("{names}\n");
    sendmsg(&ours, &[IoSlice::new(text.as_bytes())], &mut control, SendFlags::empty())?;
    Ok(theirs)
}

fn from_stdin(inherited: &mut Inherited) -> io::Result<()> {
    let mut bytes = [0; HANDED_ON_BYTES];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(HANDED_ON_MAX))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let count = recvmsg(io::stdin(), &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)?.bytes;
    let mut all = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            all.extend(passed);
        }
    }
    let stdin = all.pop().ok_or_else(|| io::Error::other("stdin brings no descriptors"))?;
    dup2_stdin(stdin)?;
    let names = String::from_utf8_lossy(&bytes[..count]).into_owned();
    for (name, socket) in names.lines().zip(all) {
        if name == CONF {
            inherited.conf = Some(socket.into());
            continue;
        }
        if !SockRef::from(&socket).is_listener()? {
            return Err(io::Error::other(format!("{name} does not listen")));
        }
        inherited.sockets.add(name.to_owned(), TcpListener::from(socket));
    }
    Ok(())
}
