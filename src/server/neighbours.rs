//! Whose address is whose: what makes an AT line credible until links prove themselves. Workers
//! ask it for every connection; links tell it what a name resolves to.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, PoisonError};

use crate::node::{Peer, PeerKind};

/// The addresses of this server's neighbours, as last resolved.
pub struct Neighbours {
    /// Whether the neighbour at an index is `plain`.
    plain: Vec<bool>,
    /// Each address and the neighbour that has it.
    addresses: Mutex<Vec<(IpAddr, u16)>>,
}

impl Neighbours {
    pub fn new(plain: Vec<bool>) -> Neighbours {
        Neighbours { plain, addresses: Mutex::default() }
    }

    /// Replaces the addresses of one neighbour.
    pub fn update(&self, neighbour: u16, resolved: &[SocketAddr]) {
        let mut addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        addresses.retain(|&(_, index)| index != neighbour);
        addresses.extend(resolved.iter().map(|at| (at.ip().to_canonical(), neighbour)));
    }

    /// Who dials from this address, as far as it tells.
    pub fn peer(&self, address: IpAddr) -> Peer {
        let address = address.to_canonical();
        let addresses = self.addresses.lock().unwrap_or_else(PoisonError::into_inner);
        let mut kind = PeerKind::Stranger;
        for &(_, found) in addresses.iter().filter(|(at, _)| *at == address) {
            let found_plain = self.plain.get(usize::from(found)).copied().unwrap_or(false);
            kind = match kind {
                PeerKind::Stranger => PeerKind::Neighbour { index: Some(found), plain: found_plain },
                PeerKind::Neighbour { index, plain } => {
                    let index = index.filter(|&index| index == found);
                    PeerKind::Neighbour { index, plain: plain || found_plain }
                }
            };
        }
        Peer { address, kind }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_one_neighbour_or_only_that_it_is_one() {
        let neighbours = Neighbours::new(vec![false, false, true]);
        let at = |text: &str| -> SocketAddr { text.parse().expect("an address") };
        neighbours.update(0, &[at("10.0.0.1:1"), at("[::1]:1")]);
        neighbours.update(1, &[at("127.0.0.1:2")]);
        neighbours.update(2, &[at("127.0.0.1:3"), at("127.0.0.1:4")]);
        let check = |text: &str, expected: PeerKind| {
            assert_eq!(neighbours.peer(text.parse().expect("an address")).kind, expected, "{text}");
        };
        check("10.0.0.1", PeerKind::Neighbour { index: Some(0), plain: false });
        check("::ffff:10.0.0.1", PeerKind::Neighbour { index: Some(0), plain: false });
        check("::1", PeerKind::Neighbour { index: Some(0), plain: false });
        check("127.0.0.1", PeerKind::Neighbour { index: None, plain: true });
        check("127.0.0.2", PeerKind::Stranger);
        neighbours.update(0, &[at("10.0.0.2:1")]);
        check("10.0.0.1", PeerKind::Stranger);
        check("10.0.0.2", PeerKind::Neighbour { index: Some(0), plain: false });
    }
}
