//! Names to addresses for ureq, within a time-out: ureq's own would panic when no thread can be
//! had, and takes one even for an address that needs no asking.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crossbeam_channel::bounded;
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;
use ureq::{Error, Timeout};

use crate::limits::PROVIDER_ADDRESSES_MAX;
use crate::thread;

#[derive(Debug)]
pub struct Names {
    /// Questions that the system's resolver has not come back from, and how many there may be.
    asked: Arc<AtomicUsize>,
    max: usize,
}

/// One of those questions, for as long as it lasts.
struct Asked(Arc<AtomicUsize>);

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

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
            Err(_) => {
                let host = bare.to_string();
                let ask = move || (host.as_str(), port).to_socket_addrs().map(Iterator::collect);
                self.look_up(ask, *timeout.after, timeout.reason)?
            }
        };
        let mut addresses = self.empty();
        for address in config.ip_family().keep_wanted(found.into_iter()).take(PROVIDER_ADDRESSES_MAX) {
            addresses.push(address);
        }
        if addresses.is_empty() { Err(Error::HostNotFound) } else { Ok(addresses) }
    }
}

impl Names {
    /// For so many lookups at once.
    pub fn new(lookups: usize) -> Names {
        Names { asked: Arc::default(), max: lookups }
    }

    /// getaddrinfo cannot be interrupted; a thread that outlives the time-out ends when it returns,
    /// which the system's resolver bounds to some tens of seconds. While as many do as there are
    /// lookups, no further one is asked: a name server that is mute costs so many threads and files.
    fn look_up(
        &self,
        ask: impl FnOnce() -> io::Result<Vec<SocketAddr>> + Send + 'static,
        after: Duration,
        reason: Timeout,
    ) -> Result<Vec<SocketAddr>, Error> {
        let asked = Asked(self.asked.clone());
        if self.asked.fetch_add(1, Ordering::SeqCst) >= self.max {
            return Err(Error::Timeout(reason));
        }
        let (sender, receiver) = bounded::<io::Result<Vec<SocketAddr>>>(1); // takes the one answer
        let ask = move || {
            let found = ask();
            drop(asked);
            // Nobody listens any more when the time-out came first.
            let _ = sender.send(found);
        };
        // Detached, as it may outlive the time-out.
        drop(thread::spawn("places-resolver", ask).map_err(Error::Io)?);
        match receiver.recv_timeout(after) {
            Ok(Ok(found)) => Ok(found),
            Ok(Err(_)) => Err(Error::HostNotFound),
            Err(_) => Err(Error::Timeout(reason)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mute_name_server_costs_no_more_threads_than_there_are_lookups() {
        let (names, (begun, asked), (answer, go)) = (Names::new(2), bounded(64), bounded::<()>(0));
        let look_up = |wait: Duration| {
            let (begun, go) = (begun.clone(), go.clone());
            let ask = move || {
                begun.send(()).map_err(io::Error::other)?;
                go.recv_timeout(Duration::from_secs(20)).map_err(io::Error::other)?;
                Ok(Vec::new())
            };
            names.look_up(ask, wait, Timeout::Resolve)
        };
        for _ in 0..5 {
            assert!(matches!(look_up(Duration::from_millis(10)), Err(Error::Timeout(Timeout::Resolve))));
        }
        (0..2).for_each(|_| asked.recv_timeout(Duration::from_secs(20)).expect("asked"));
        (0..2).for_each(|_| answer.send_timeout((), Duration::from_secs(20)).expect("they wait"));
        while names.asked.load(Ordering::SeqCst) > 0 {
            std::thread::yield_now();
        }
        std::thread::scope(|scope| {
            scope.spawn(|| answer.send_timeout((), Duration::from_secs(20)));
            assert!(look_up(Duration::from_secs(20)).is_ok(), "there is room again");
        });
        assert_eq!(asked.try_iter().count(), 1, "and no more were asked");
    }
}
