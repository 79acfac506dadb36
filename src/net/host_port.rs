//! A host and a port: parsed and compared without a question to anybody, and resolved on request.
//! `config` parses them; who listens or dials resolves them.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

/// A host's name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct HostPort {
    pub host: String,
    pub port: u16,
}

impl HostPort {
    /// `host:port`, with an IPv6 address in brackets.
    pub fn parse(text: &str) -> Option<HostPort> {
        let (host, port) = text.rsplit_once(':')?;
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        if bare.is_none() && host.contains(':') {
            return None;
        }
        let host = bare.unwrap_or(host);
        let sane = !host.is_empty() && host.chars().all(|c| c.is_ascii_graphic() && c != '[' && c != ']');
        // A host of digits and dots is meant as an IPv4 address: resolvers make of `127.1` what they like.
        let numeric = host.chars().all(|c| c.is_ascii_digit() || c == '.');
        let sane = sane && (!numeric || host.parse::<Ipv4Addr>().is_ok());
        let digits = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
        let port = port.parse().ok().filter(|_| sane && digits)?;
        Some(HostPort { host: host.to_ascii_lowercase(), port })
    }

    /// Every address the host has, in the resolver's order.
    pub fn resolve(&self) -> io::Result<Vec<SocketAddr>> {
        let host = &self.host;
        let found = (host.as_str(), self.port).to_socket_addrs();
        let found = found.map_err(|why| io::Error::new(why.kind(), format!("{host}: {why}")))?;
        let addresses: Vec<_> = found.collect();
        if addresses.is_empty() {
            return Err(io::Error::other(format!("the name {host} has no address")));
        }
        Ok(addresses)
    }

    /// The address, where the host is one rather than a name; an IPv4 address in IPv6 is IPv4.
    pub fn ip(&self) -> Option<IpAddr> {
        self.host.parse().ok().map(|ip: IpAddr| ip.to_canonical())
    }

    /// Whether it stands for every address of the machine, which nobody can dial.
    pub fn is_wildcard(&self) -> bool {
        self.ip().is_some_and(|ip| ip.is_unspecified())
    }

    /// Whether it is this very machine.
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.ip().is_some_and(|ip| ip.is_loopback())
    }

    /// Whether two hosts are one, however they are written; names are not resolved.
    pub fn same_host(&self, other: &HostPort) -> bool {
        let is_localhost = |at: &HostPort| {
            at.host == "localhost"
                || matches!(at.ip(), Some(ip) if ip == Ipv4Addr::LOCALHOST || ip == Ipv6Addr::LOCALHOST)
        };
        match (self.ip(), other.ip()) {
            (Some(a), Some(b)) => a == b,
            (None, None) => self.host == other.host,
            (Some(_), None) | (None, Some(_)) => is_localhost(self) && is_localhost(other),
        }
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let HostPort { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_or_addresses() {
        let check = |text: &str, expected: Option<(&str, u16)>| {
            let parsed = HostPort::parse(text);
            assert_eq!(parsed.as_ref().map(|at| (at.host.as_str(), at.port)), expected, "{text}");
        };
        check("127.0.0.1:16675", Some(("127.0.0.1", 16675)));
        check("[fe80::1]:80", Some(("fe80::1", 80)));
        check("Hands.example:1", Some(("hands.example", 1)));
        for bad in [
            "",
            ":1",
            "host",
            "host:",
            "host:65536",
            "host:+1",
            "::1:80",
            "[::1]",
            "a b:1",
            "[::1:80",
            "256.1.1.1:1",
            "127.1:1",
            "1:1",
        ] {
            check(bad, None);
        }
    }
}
