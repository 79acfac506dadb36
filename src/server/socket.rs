//! The sockets themselves: listening, dialling, reading and writing without waiting, the clock.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ring::rand::{SecureRandom, SystemRandom};
use rustix::net::{RecvFlags, SendFlags};
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};

use crate::config::HostPort;
use crate::limits::{
    KEEPALIVE_IDLE_S, KEEPALIVE_INTERVAL_S, KEEPALIVE_RETRIES, LINK_CONNECT_TIMEOUT_S, LISTEN_BACKLOG,
    SEND_BUFFER_BYTES,
};

/// Listens on the first address of a host that can be had.
///
/// # Errors
/// `cannot listen on HOST:PORT: why`, with what to do where that is clear.
pub fn listen(at: &HostPort) -> io::Result<TcpListener> {
    let explain = |why: io::Error| {
        let remedy = match why.kind() {
            io::ErrorKind::AddrInUse => "; is this server running already? `ss -ltnp` shows who listens",
            io::ErrorKind::AddrNotAvailable => "; no interface of this machine has that address",
            io::ErrorKind::PermissionDenied => "; ports below 1024 need a privilege, choose a higher one",
            _ => "",
        };
        io::Error::new(why.kind(), format!("cannot listen on {at}: {why}{remedy}"))
    };
    let mut last = io::Error::other("no address");
    for address in at.resolve().map_err(explain)? {
        match listen_on(address) {
            Ok(listener) => return Ok(listener),
            Err(why) => last = why,
        }
    }
    Err(explain(last))
}

fn listen_on(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    // Accepted sockets inherit both: replies leave at once, and the kernel keeps few of them for a
    // client that does not read.
    socket.set_tcp_nodelay(true)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(LISTEN_BACKLOG)?;
    // Another worker may take the connection that this one was told of.
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

/// Connects to a neighbour, from `source` if it is one of this machine's addresses.
pub fn dial(target: SocketAddr, source: Option<IpAddr>, write_timeout: Duration) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
    if let Some(source) = source {
        // Behind a router the listening address may not be ours to dial from; then any will do.
        let _ = socket.bind(&SocketAddr::new(source, 0).into());
    }
    socket.connect_timeout(&target.into(), Duration::from_secs(LINK_CONNECT_TIMEOUT_S))?;
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

/// Reads what is there. Sockets are in blocking mode; this never waits.
pub fn read_now(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    Ok(rustix::net::recv(stream, buffer, RecvFlags::DONTWAIT)?.0)
}

/// Writes what the socket takes at once.
pub fn write_now(stream: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
    Ok(rustix::net::send(stream, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// Bytes nobody can guess.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    let filled = SystemRandom::new().fill(&mut bytes);
    filled.map(|()| bytes).map_err(|_| io::Error::other("the system has no random bytes"))
}

/// The time in ns since 1970, as clients count it.
pub fn posix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64)
}
