//! Listening and dialling.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use super::HostPort;
use crate::limits::{
    KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_RETRIES, LINK_CONNECT_TIMEOUT_S, LISTEN_BACKLOG,
    LISTENERS_MAX, PORT_TRIES, SEND_BUFFER_BYTES, SEND_WAITING_BYTES,
};

/// Sockets that listen already, taken over from a process before this one, each with the name that it had there.
#[derive(Default)]
pub struct Spare(Vec<(String, TcpListener)>);

impl Spare {
    pub fn add(&mut self, name: String, socket: TcpListener) {
        self.0.push((name, socket));
    }

    /// The one for this address, whatever it is called: the service manager's may have other names. Where any port will
    /// do, that of the same name goes on with its port.
    fn take(&mut self, name: &str, address: SocketAddr) -> Option<TcpListener> {
        let is_meant = |(its_name, socket): &(String, TcpListener)| {
            socket.local_addr().is_ok_and(|own| {
                own == address || address.port() == 0 && own.ip() == address.ip() && its_name == name
            })
        };
        Some(self.0.remove(self.0.iter().position(is_meant)?).1)
    }

    /// One that listens at a port, whatever its address.
    fn of_port(&self, port: u16) -> Option<&TcpListener> {
        let listeners = self.0.iter().map(|(_, socket)| socket);
        listeners.into_iter().find(|socket| socket.local_addr().is_ok_and(|own| own.port() == port))
    }

    /// Closes those of a port; false if there are none.
    fn close(&mut self, port: u16) -> bool {
        let before = self.0.len();
        self.0.retain(|(_, socket)| socket.local_addr().is_ok_and(|own| own.port() != port));
        self.0.len() < before
    }

    /// Where those listen that nobody took.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.0.iter().filter_map(|(_, socket)| socket.local_addr().ok()).collect()
    }
}

/// Listens on every address of a host, all on one port, by a spare socket where there is one: whoever waits in its queue
/// is served. An address that this machine does not have, or of a family that it does not know, is left out with a
/// warning, as long as there is another.
///
/// # Errors
/// `cannot listen on HOST:PORT: why`, with what to do where that is clear.
pub fn listen(name: &str, at: &HostPort, spare: &mut Spare) -> io::Result<Vec<TcpListener>> {
    on_every_address(at, |address| {
        let socket = match spare.take(name, address) {
            Some(socket) => configured(socket.into())?,
            // What listens at another address of the port is in the way.
            None => bound(address).or_else(|why| {
                if why.kind() == io::ErrorKind::AddrInUse && spare.close(address.port()) {
                    bound(address)
                } else {
                    Err(why)
                }
            })?,
        };
        socket.listen(LISTEN_BACKLOG)?;
        Ok(socket)
    })
}

/// Has the kernel keep so few bytes of those who come that nobody reads yet. Left to itself it keeps 128 KB, of thousands.
///
/// # Errors
/// The system does not let it.
pub fn receive_at_most(listener: &TcpListener, bytes: usize) -> io::Result<()> {
    SockRef::from(listener).set_recv_buffer_size(bytes)
}

/// Says whether `listen` would go well, which meanwhile it does for others, too.
///
/// # Errors
/// What `listen` would say.
pub fn bind(at: &HostPort) -> io::Result<()> {
    on_every_address(at, bound).map(drop)
}

/// Says whether `listen` would go well by these spare sockets, which another process has, too: what is in the way it
/// would close.
///
/// # Errors
/// What `listen` would say.
pub fn try_listen(name: &str, at: &HostPort, spare: &mut Spare) -> io::Result<()> {
    let listening = on_every_address(at, |address| match spare.take(name, address) {
        Some(socket) => Ok(socket.into()),
        None => bound(address).or_else(|why| match spare.of_port(address.port()) {
            Some(socket) if why.kind() == io::ErrorKind::AddrInUse => Ok(socket.try_clone()?.into()),
            _ => Err(why),
        }),
    });
    listening.map(drop)
}

fn on_every_address(
    at: &HostPort,
    mut open: impl FnMut(SocketAddr) -> io::Result<Socket>,
) -> io::Result<Vec<TcpListener>> {
    let mut addresses = Vec::new();
    for address in at.resolve().map_err(|why| explain(at, why))? {
        // A hosts file may have a name twice.
        if !addresses.contains(&address) && addresses.len() < LISTENERS_MAX {
            addresses.push(address);
        }
    }
    let mut tries = 0;
    loop {
        match open_all(&addresses, &mut open) {
            // The system gave a port that another address has in use; it has others.
            Err(why) if at.port == 0 && why.kind() == io::ErrorKind::AddrInUse && tries < PORT_TRIES => {
                tries += 1;
            }
            done => return done.map_err(|why| explain(at, why)),
        }
    }
}

/// Why this machine cannot listen somewhere, and what to do.
fn explain(at: &HostPort, why: io::Error) -> io::Error {
    let remedy = match why.kind() {
        io::ErrorKind::AddrInUse => "; is this server running already? `ss -ltnp` shows who listens",
        io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
        io::ErrorKind::PermissionDenied => {
            "; ports below 1024 need a privilege: choose a higher one, or see \"Ports below 1024\" in docs/operations.md"
        }
        _ => "",
    };
    // The kind stays, as far as it tells what is wrong.
    let kind = if is_missing(&why) { io::ErrorKind::AddrNotAvailable } else { why.kind() };
    io::Error::new(kind, format!("cannot listen on {at}: {why}{remedy}"))
}

fn open_all(
    addresses: &[SocketAddr],
    mut open: impl FnMut(SocketAddr) -> io::Result<Socket>,
) -> io::Result<Vec<TcpListener>> {
    let mut listeners: Vec<TcpListener> = Vec::with_capacity(addresses.len());
    let mut missing = Vec::new();
    for &address in addresses {
        let mut address = address;
        if let Some(first) = listeners.first() {
            address.set_port(first.local_addr()?.port());
        }
        match open(address) {
            Ok(socket) => listeners.push(socket.into()),
            Err(why) if is_missing(&why) => missing.push((address, why)),
            Err(why) => return Err(why),
        }
    }
    match missing.pop() {
        Some((_, why)) if listeners.is_empty() => return Err(why),
        last => missing.extend(last),
    }
    for (address, why) in missing {
        log::warn!("does not listen on {address}: {why}; going on with the other addresses of that name");
    }
    Ok(listeners)
}

/// Whether a machine has no such address, or no addresses of that kind at all.
pub fn is_missing(why: &io::Error) -> bool {
    why.kind() == io::ErrorKind::AddrNotAvailable
        || why.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
}

fn bound(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    let socket = configured(socket)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// A socket to listen on, with the options that it needs.
fn configured(socket: Socket) -> io::Result<Socket> {
    // Accepted sockets inherit all of it: replies leave at once, and the kernel keeps few of them for a
    // client that does not read.
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_tcp_notsent_lowat(SEND_WAITING_BYTES)?;
    // Another worker may take the connection that this one was told of.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// Connects to a neighbour, from `source` if it is one of this machine's addresses.
pub fn dial(target: SocketAddr, source: Option<IpAddr>, write_timeout: Duration) -> io::Result<TcpStream> {
    dial_within(target, source, Duration::from_secs(LINK_CONNECT_TIMEOUT_S), write_timeout)
}

/// The same for whoever waits no longer than that for the other end to take the connection.
pub fn dial_within(
    target: SocketAddr,
    source: Option<IpAddr>,
    connect_timeout: Duration,
    write_timeout: Duration,
) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source {
        // Behind a router the listening address may not be ours to dial from; then any will do.
        let _ = socket.bind(&SocketAddr::new(source, 0).into());
    }
    socket.connect_timeout(&target.into(), connect_timeout)?;
    refuse_self(&socket)?;
    socket.set_tcp_nodelay(true)?;
    keep_alive(SockRef::from(&socket))?;
    socket.set_write_timeout(Some(write_timeout))?;
    Ok(socket.into())
}

/// A port of this machine on which nobody listens may be given to the very socket that dials it, which
/// then is connected to itself, and keeps the server out that is to listen there.
fn refuse_self(socket: &Socket) -> io::Result<()> {
    let own = socket.local_addr()?.as_socket();
    if own.is_none() || own != socket.peer_addr()?.as_socket() {
        return Ok(());
    }
    // By a reset: a close in good order would keep the port taken for a minute.
    socket.set_linger(Some(Duration::ZERO))?;
    let why = "nobody listens there; the system connected us to ourselves";
    Err(io::Error::new(io::ErrorKind::ConnectionRefused, why))
}

/// Has the kernel find out when the other end of a link is gone without a word.
pub fn keep_alive(socket: SockRef<'_>) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(KEEPALIVE_IDLE_S))
        .with_interval(Duration::from_secs(KEEPALIVE_INTERVAL_S))
        .with_retries(KEEPALIVE_RETRIES);
    socket.set_tcp_keepalive(&keepalive)
}
