//! What a herd as a whole cannot be: addresses that clash or cannot be dialled, and links without a secret that
//! strangers reach. `servers` and `validate` call it. No name is resolved.

use toml::Spanned;

use super::raw::{Problem, RawServer};
use super::{Config, Server};
use crate::net::HostPort;

/// No two servers on one address, however it is written.
pub fn distinct(tables: &[(Spanned<String>, RawServer)], servers: &[Server]) -> Result<(), Problem> {
    for (index, ((_, table), server)) in tables.iter().zip(servers).enumerate() {
        let first = servers[..index].iter().find(|other| other.listen.port != 0 && clash(other, server));
        if let Some(first) = first {
            let why = format!("{} listens on {} already; choose another port", first.name, first.listen);
            return Err(Problem::at(&table.listen, why));
        }
        let same = |other: &&Server| {
            other.address.port == server.address.port && other.address.same_host(&server.address)
        };
        let dialled = |other: &&Server| other.address.port != 0 && same(other);
        if let Some(first) = servers[..index].iter().find(dialled) {
            let why = format!("{} has the address {} already; give each its own", first.name, first.address);
            return Err(Problem::at(table.address.as_ref().unwrap_or(&table.listen), why));
        }
    }
    Ok(())
}

/// Nor a door for HTTP on an address that is taken. Servers that are not all on one machine may each have the same one.
pub fn distinct_http(tables: &[(Spanned<String>, RawServer)], servers: &[Server]) -> Result<(), Problem> {
    let mut taken: Vec<(&Server, &HostPort)> =
        servers.iter().map(|server| (server, &server.listen)).collect();
    for ((_, table), server) in tables.iter().zip(servers) {
        let Some(http) = &server.http else { continue };
        let is_beside = |other: &Server| {
            let are_here = other.listen.is_loopback() && server.listen.is_loopback();
            let is_wide = other.listen.is_wildcard() || server.listen.is_wildcard();
            other.name == server.name || are_here || (!is_wide && other.listen.same_host(&server.listen))
        };
        let is_taken = |at: &HostPort| {
            let is_wide = at.is_wildcard() || http.listen.is_wildcard();
            at.port != 0 && at.port == http.listen.port && (is_wide || at.same_host(&http.listen))
        };
        if let Some((other, at)) = taken.iter().find(|(other, at)| is_beside(other) && is_taken(at)) {
            let why = format!("{} listens on {at} already; choose another port for http.listen", other.name);
            let place = table.http.as_ref().and_then(|http| http.listen.as_ref()).unwrap_or(&table.listen);
            return Err(Problem::at(place, why));
        }
        taken.push((server, &http.listen));
    }
    Ok(())
}

/// Whether two servers cannot both listen, as far as can be told without asking for names. One that
/// listens on every address of its machine and is dialled by another may be on another machine.
fn clash(a: &Server, b: &Server) -> bool {
    let elsewhere = |server: &Server| server.listen.is_wildcard() && server.address != server.listen;
    if a.listen.port != b.listen.port || elsewhere(a) || elsewhere(b) {
        return false;
    }
    let either_wildcard = a.listen.is_wildcard() || b.listen.is_wildcard();
    let here = |at: &HostPort| at.is_wildcard() || at.is_loopback();
    a.listen.same_host(&b.listen) || (either_wildcard && here(&a.listen) && here(&b.listen))
}

/// Neighbours know each other by their addresses, so these must be of one family.
pub fn one_family(tables: &[(Spanned<String>, RawServer)], servers: &[Server]) -> Result<(), Problem> {
    for ((_, table), server) in tables.iter().zip(servers) {
        for other in server.neighbours.iter().map(|&other| &servers[other]) {
            let (Some(own), Some(others)) = (server.listen.ip(), other.address.ip()) else { continue };
            if own.is_unspecified() || server.plain || other.plain || own.is_ipv4() == others.is_ipv4() {
                continue;
            }
            let why = format!(
                "{} and its neighbour {} are on addresses of different families ({own} and {others}) and would \
                 not know each other; give both IPv4 or both IPv6 addresses",
                server.name, other.name
            );
            return Err(Problem::at(&table.listen, why));
        }
    }
    Ok(())
}

/// A server with neighbours has an address that they can dial.
pub fn dialable(tables: &[(Spanned<String>, RawServer)], servers: &[Server]) -> Result<(), Problem> {
    for ((_, table), server) in tables.iter().zip(servers) {
        if server.neighbours.is_empty() {
            continue;
        }
        let place = table.address.as_ref().unwrap_or(&table.listen);
        if server.address.port == 0 {
            return Err(Problem::at(place, "port 0 cannot be dialled by its neighbours; choose a port"));
        }
        if server.address.is_wildcard() {
            let why = format!(
                "{} cannot be dialled by its neighbours; add address = \"HOST:{}\" to its table",
                server.address, server.address.port
            );
            return Err(Problem::at(place, why));
        }
    }
    Ok(())
}

/// No server takes AT lines from other machines on trust.
pub fn guarded(config: &Config, mut places: Vec<(usize, std::ops::Range<usize>)>) -> Result<(), Problem> {
    places.sort_by_key(|(start, _)| *start);
    let is_outside = |server: &Server| !server.listen.is_loopback() || !server.address.is_loopback();
    for (index, (server, (_, listen))) in config.servers.iter().zip(places).enumerate() {
        let trusted = server.neighbours.iter().find(|&&other| {
            config.shared_secret(index, other).is_none()
                && (is_outside(server) || is_outside(&config.servers[other]))
        });
        if let Some(&other) = trusted {
            let why = format!(
                "{} and its neighbour {} can be reached from other machines and share no secret, so anybody there \
                 could forge positions; add secret_file = \"herd.key\", or insecure_neighbours = true to accept it",
                server.name, config.servers[other].name
            );
            return Err(Problem { span: Some(listen), why });
        }
    }
    Ok(())
}

/// The indices of servers that reach each other, by neighbours or by the engine, ascending; a part for each group of them,
/// in the order of the file.
pub fn parts(servers: &[Server]) -> Vec<Vec<usize>> {
    let mut is_found = vec![false; servers.len()];
    let mut parts = Vec::new();
    let joined: Vec<_> = (0..servers.len()).filter(|&index| servers[index].has_backbone).collect();
    for first in 0..servers.len() {
        if std::mem::replace(&mut is_found[first], true) {
            continue;
        }
        let mut part = vec![first];
        let mut next = 0;
        while let Some(&index) = part.get(next) {
            next += 1;
            let by_engine = if servers[index].has_backbone { &joined[..] } else { &[] };
            for &other in servers[index].neighbours.iter().chain(by_engine) {
                if !std::mem::replace(&mut is_found[other], true) {
                    part.push(other);
                }
            }
        }
        part.sort_unstable();
        parts.push(part);
    }
    parts
}
