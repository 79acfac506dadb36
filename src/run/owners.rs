//! Which processes of this machine have a socket that listens, as far as whoever asks may see that. `machine` asks.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use crate::journal::Journal;
use crate::net::HostPort;

/// The state of a socket that listens, in /proc/net/tcp.
const LISTENS: &str = "0A";

/// Processes that have a port, and the journal that they may have.
pub struct Owners {
    processes: Vec<PathBuf>,
    lock: Option<PathBuf>,
}

impl Owners {
    /// Of a port; `journal` is the folder of theirs.
    pub fn of(port: &HostPort, journal: Option<PathBuf>) -> Owners {
        let lock = journal.map(|folder| Journal::lock_of(&folder));
        Owners { processes: processes(port), lock: lock.and_then(|lock| fs::canonicalize(lock).ok()) }
    }

    /// False only if it shows that they have another journal.
    pub fn may_have_journal(&self) -> bool {
        self.processes.is_empty() || self.processes.iter().any(|process| self.has_lock(process))
    }

    /// False only if it shows that others have this port.
    pub fn may_have(&self, port: &HostPort) -> bool {
        let others = processes(port);
        let is_own = |process: &PathBuf| self.processes.contains(process) || self.has_lock(process);
        others.is_empty() || others.iter().any(is_own)
    }

    fn has_lock(&self, process: &Path) -> bool {
        self.lock.as_ref().is_some_and(|lock| files_of(process).any(|file| file == *lock))
    }
}

/// Whether somebody listens at a port.
pub fn is_taken(port: &HostPort) -> bool {
    !sockets(port).is_empty()
}

/// The sockets that listen at a port, as /proc names them.
fn sockets(port: &HostPort) -> Vec<PathBuf> {
    let addresses = port.resolve().unwrap_or_default();
    let is_meant = |found: SocketAddr| {
        let is_at = |address: &SocketAddr| {
            let (one, other) = (address.ip().to_canonical(), found.ip().to_canonical());
            address.port() == found.port() && (one == other || one.is_unspecified() || other.is_unspecified())
        };
        addresses.iter().any(is_at)
    };
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    let listening = tables.iter().flat_map(|table| table.lines().filter_map(listener));
    let meant = listening.filter(|(at, _)| is_meant(*at));
    meant.map(|(_, inode)| PathBuf::from(format!("socket:[{inode}]"))).collect()
}

/// The folders in /proc of those who listen at a port. Empty where nobody does, and where it cannot be seen.
fn processes(port: &HostPort) -> Vec<PathBuf> {
    let sockets = sockets(port);
    if sockets.is_empty() {
        return Vec::new();
    }
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    // `self` is one of them by another name.
    let all =
        all.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()));
    all.map(|entry| entry.path())
        .filter(|process| files_of(process).any(|file| sockets.contains(&file)))
        .collect()
}

/// What a process has open.
fn files_of(process: &Path) -> impl Iterator<Item = PathBuf> {
    let open = fs::read_dir(process.join("fd")).into_iter().flatten().flatten();
    open.filter_map(|entry| fs::read_link(entry.path()).ok())
}

/// Where a socket listens, and its inode, by a line of /proc/net/tcp or tcp6.
fn listener(line: &str) -> Option<(SocketAddr, &str)> {
    let mut words = line.split_whitespace();
    let (at, state) = (words.nth(1)?, words.nth(1)?);
    let inode = words.nth(5)?;
    let (address, port) = at.split_once(':')?;
    let words: Vec<u32> = (0..address.len() / 8)
        .map(|index| u32::from_str_radix(address.get(index * 8..index * 8 + 8)?, 16).ok())
        .collect::<Option<_>>()?;
    // Each word in the order of this machine.
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_ne_bytes()).collect();
    let ip = match *bytes.as_slice() {
        [a, b, c, d] => IpAddr::V4(Ipv4Addr::new(a, b, c, d)),
        ref all => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(all).ok()?)),
    };
    (state == LISTENS).then_some((SocketAddr::new(ip, u16::from_str_radix(port, 16).ok()?), inode))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn who_listens_is_found_by_its_port() {
        for address in ["127.0.0.1:0", "[::1]:0", "0.0.0.0:0"] {
            // Without IPv6 there is nothing to find.
            let Ok(listener) = TcpListener::bind(address) else { continue };
            let port = listener.local_addr().expect("an address");
            let own = format!("/proc/{}", std::process::id());
            let at: HostPort = HostPort::parse(&port.to_string()).expect("an address");
            assert_eq!(processes(&at), [PathBuf::from(&own)], "{port}");
            let owners = Owners::of(&at, None);
            assert!(owners.may_have(&at));
            drop(listener);
            assert_eq!(processes(&at), Vec::<PathBuf>::new());
        }
    }

    #[test]
    fn a_line_of_the_system_s_is_read() {
        let v4 = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4711 1 0";
        let v6 = "   1: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 4712 1 0";
        if cfg!(target_endian = "little") {
            assert_eq!(listener(v4), Some(("127.0.0.1:8080".parse().expect("one"), "4711")));
            assert_eq!(listener(v6), Some(("[::1]:8080".parse().expect("one"), "4712")));
        }
        assert_eq!(listener(&v4.replace(" 0A ", " 01 ")), None);
        assert_eq!(
            listener("  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"),
            None
        );
    }
}
