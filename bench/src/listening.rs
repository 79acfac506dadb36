//! Where a server listens that says nothing about it: /proc knows which sockets are a process's, and its children's.

use std::collections::HashSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The state of a socket that listens, in /proc/net/tcp.
const LISTENS: &str = "0A";

/// An address where the process, or one that it started, takes connections; of several, one of IPv4 and the lowest port.
pub fn of(pid: u32) -> Option<SocketAddr> {
    let own = sockets(pid);
    if own.is_empty() {
        return None;
    }
    let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}")).unwrap_or_default();
    let mut found: Vec<_> = ["tcp", "tcp6"].iter().flat_map(|name| listeners(&table(name), &own)).collect();
    found.sort_by_key(|address| (address.is_ipv6(), address.port()));
    found.first().copied()
}

/// The inodes of the sockets of a process and of all that it started.
fn sockets(pid: u32) -> HashSet<u64> {
    let (mut family, mut next) = (vec![pid], 0);
    let all: Vec<_> = fs::read_dir("/proc").into_iter().flatten().flatten().filter_map(parent).collect();
    while let Some(&parent) = family.get(next) {
        let children = all.iter().filter(|(_, of)| *of == parent).map(|(child, _)| *child);
        let new: Vec<_> = children.filter(|child| !family.contains(child)).collect();
        family.extend(new);
        next += 1;
    }
    let descriptors = |pid| fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let links = family.into_iter().flat_map(descriptors).filter_map(|entry| fs::read_link(entry.path()).ok());
    links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok())
        .collect()
}

/// A process and the one that started it.
fn parent(entry: fs::DirEntry) -> Option<(u32, u32)> {
    let pid = entry.file_name().to_str()?.parse().ok()?;
    let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
    Some((pid, stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?))
}

/// What listens of a table, as one dials it from this machine.
fn listeners(table: &str, own: &HashSet<u64>) -> Vec<SocketAddr> {
    let listener = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let is_own = *fields.get(3)? == LISTENS && own.contains(&fields.get(9)?.parse().ok()?);
        let (host, port) = fields[1].split_once(':')?;
        is_own.then_some(SocketAddr::new(dialled(ip(host)?), u16::from_str_radix(port, 16).ok()?))
    };
    table.lines().filter_map(listener).collect()
}

/// An address of the table: words of 32 bits in hexadecimal, each as this machine stores it.
fn ip(text: &str) -> Option<IpAddr> {
    let words = text.as_bytes().chunks(8).map(|word| {
        let word = u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok()?;
        Some(word.to_ne_bytes())
    });
    let bytes = words.collect::<Option<Vec<_>>>()?.concat();
    match bytes.len() {
        4 => Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?).into()),
        16 => Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).into()),
        _ => None,
    }
}

/// Whoever listens everywhere is dialled on the loopback.
fn dialled(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_of_this_process_is_found() {
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = held.local_addr().expect("bound");
        let (own, pid) = (sockets(std::process::id()), std::process::id());
        let table = fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("read");
        // Other tests of this process listen, too.
        assert!(listeners(&table, &own).contains(&address));
        assert!(of(pid).is_some());
        assert!(!listeners(&table, &HashSet::new()).contains(&address));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_from_the_table() {
        let line = |host: &str| {
            format!(
                "   0: {host}:4124 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0        0 77 1 0\n"
            )
        };
        for (host, expected) in [
            ("0100007F", "127.0.0.1:16676"),
            ("00000000", "127.0.0.1:16676"),
            ("00000000000000000000000001000000", "[::1]:16676"),
            ("00000000000000000000000000000000", "[::1]:16676"),
        ] {
            let found = listeners(&line(host), &HashSet::from([77]));
            assert_eq!(found, [expected.parse().expect("an address")], "{host}");
        }
        assert!(listeners(&line("0100007F").replace(" 0A ", " 01 "), &HashSet::from([77])).is_empty());
    }
}
