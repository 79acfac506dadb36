//! `herd --check`: whether a server could listen now, without listening, and who has its port if not.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::Patient;
use crate::limits::{LINK_LINE_MAX, PROBE_PATIENCE, PROBES_AT_ONCE};
use crate::link::{ASKER, Identity, Opening, keys};
use crate::net::{HostPort, socket};
use crate::protocol::neighbour::Word;
use crate::thread;

/// What a server that starts would meet.
#[derive(Debug)]
pub enum Port {
    Free,
    /// This machine has no such address.
    Elsewhere(io::Error),
    /// Somebody listens there: the server itself, as far as the port tells, or not.
    Taken {
        by_itself: bool,
        why: io::Error,
    },
    Refused(io::Error),
}

/// Tries the addresses of servers with these names, many at the same time: whoever is silent takes its time beside the
/// others. The answers come in the order of the servers.
pub fn probe(servers: &[(&HostPort, &str)]) -> Vec<Port> {
    let next = AtomicUsize::new(0);
    let ports: Vec<OnceLock<Port>> = servers.iter().map(|_| OnceLock::new()).collect();
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let (Some(port), Some((at, name))) = (ports.get(index), servers.get(index)) else { return };
            // Each index comes once.
            let _ = port.set(probe_one(at, name));
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..servers.len().min(PROBES_AT_ONCE) {
            if thread::spawn_scoped(scope, "probe", work).is_err() {
                // With fewer it only takes longer.
                break;
            }
        }
        work();
    });
    ports.into_iter().filter_map(OnceLock::into_inner).collect()
}

fn probe_one(at: &HostPort, name: &str) -> Port {
    match socket::bind(at) {
        Ok(()) => Port::Free,
        Err(why) if socket::is_missing(&why) => Port::Elsewhere(why),
        Err(why) => {
            let is_taken = why.kind() == io::ErrorKind::AddrInUse;
            // The server may have a right to its port that whoever asks has not.
            let may_be_taken = is_taken || why.kind() == io::ErrorKind::PermissionDenied;
            let addresses = at.resolve().unwrap_or_default();
            let mut addresses = addresses.into_iter().filter(|_| may_be_taken);
            let by_itself = addresses.any(|address| answers_as(address, name).unwrap_or(false));
            if is_taken || by_itself { Port::Taken { by_itself, why } } else { Port::Refused(why) }
        }
    }
}

/// Greets whoever listens there as one who asks would, and says whether the answer is this server's.
fn answers_as(address: SocketAddr, name: &str) -> io::Result<bool> {
    let mut stream = socket::dial(address, None, PROBE_PATIENCE)?;
    let until = Instant::now() + PROBE_PATIENCE;
    let incarnation = u64::from_be_bytes(keys::random()?);
    // It goes no further than a greeting, so what herd.conf says does not matter.
    let own = Identity { name: ASKER.into(), incarnation, conf: 0 };
    let mut said = Vec::new();
    Opening::greet(&own, keys::random()?, &mut said);
    stream.write_all(&said)?;
    let mut line = Vec::new();
    BufReader::new(Patient { stream, until }).take(LINK_LINE_MAX as u64).read_until(b'\n', &mut line)?;
    let line = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(matches!(Word::parse(line), Some(Word::Welcome { end, .. }) if end.name == name.as_bytes()))
}
