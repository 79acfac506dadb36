//! Names to addresses for ureq, within a time-out: ureq's own would panic when no thread can be
//! had, and takes one even for an address that needs no asking.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};

use crossbeam_channel::bounded;
use ureq::Error;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

use crate::limits::PROVIDER_ADDRESSES_MAX;
use crate::thread;

#[derive(Debug)]
pub struct Names;

impl Resolver for Names {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?;
        let secure = uri.scheme_str() == Some("https");
        let port = uri.port_u16().unwrap_or(if secure { 443 } else { 80 });
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let found = match bare.parse::<IpAddr>() {
            Ok(address) => vec![SocketAddr::new(address, port)],
            Err(_) => look_up(bare.to_string(), port, timeout)?,
        };
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(found.into_iter()).take(PROVIDER_ADDRESSES_MAX) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

/// getaddrinfo cannot be interrupted; a thread that outlives the time-out ends when it returns,
/// which the system's resolver bounds to some tens of seconds.
fn look_up(host: String, port: u16, timeout: NextTimeout) -> Result<Vec<SocketAddr>, Error> {
    let (sender, receiver) = bounded::<io::Result<Vec<SocketAddr>>>(1); // takes the one answer
    let ask = move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
        // Nobody listens any more when the time-out came first.
        let _ = sender.send(found);
    };
    // Detached, as it may outlive the time-out.
    drop(thread::spawn("places-resolver", ask).map_err(Error::Io)?);
    match receiver.recv_timeout(*timeout.after) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(_)) => Err(Error::HostNotFound),
        Err(_) => Err(Error::Timeout(timeout.reason)),
    }
}
