//! Whom an address stands for, where addresses share something out.

use std::net::{IpAddr, Ipv6Addr};

/// Whom an address stands for: of IPv6 a host has a whole /64 to choose from.
pub fn crowd(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        // This machine stays this machine.
        IpAddr::V6(address) if address.is_loopback() => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}
