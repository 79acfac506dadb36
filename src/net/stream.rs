//! A connection's two ways and what watches them, as far as those who use them need to know: the system's, or
//! the simulation's.

use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;

use super::poller::{Interest, Lane, Poller};
use super::socket;

/// A connected socket. Nothing here waits.
pub trait Stream: Send + Sync {
    /// Reads what is there; 0 is the end of what the peer sends.
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize>;
    /// Writes what the socket takes at once.
    fn write_now(&self, bytes: &[u8]) -> io::Result<usize>;
    /// The same, for what is not to be joined to what the socket holds already: what can be joined it takes without
    /// having room for it.
    fn write_apart(&self, bytes: &[u8]) -> io::Result<usize>;
    /// Tells the peer that no more will be sent.
    fn finish(&self) -> io::Result<()>;
    /// Has its close reset the connection and drop what the system still holds for the peer.
    fn abandon(&self);
    /// Has the system break the connection once the peer has taken nothing of what waits for it for this long, or next
    /// to nothing. It counts after a close, too.
    fn give_up_after(&self, patience: Duration);
    /// Finds out when the other end is gone without a word.
    fn keep_alive(&self) -> io::Result<()>;

    // What has more to it than a socket.

    /// Whether both ends still settle how they talk. Nothing that is read is the door's yet, and reading takes far longer
    /// than so few bytes do else.
    fn is_in_handshake(&self) -> bool {
        false
    }

    /// Whether there is something to be read, or the peer has ended what it sends.
    fn has_input(&self) -> bool {
        self.has_more()
    }

    /// Whether there is something to be read of which no event will tell, as the socket does not have it any more.
    fn has_more(&self) -> bool {
        false
    }

    /// Bytes that were taken to be written, or are its own, and that the socket has not taken.
    fn unsent(&self) -> usize {
        0
    }

    /// Writes of those what the socket takes at once.
    fn write_rest(&self) -> io::Result<usize> {
        Ok(0)
    }
}

/// What tells when a stream is ready.
pub trait Watch<S> {
    /// Watches a stream, whose events will carry `key`, until it is removed or closed.
    fn add(&self, lane: Lane, stream: &S, key: u64, interest: Interest) -> io::Result<()>;
    fn modify(&self, stream: &S, key: u64, interest: Interest) -> io::Result<()>;
    fn remove(&self, stream: &S) -> io::Result<()>;
}

/// Whether a read or write is to be tried again when the stream is ready.
pub fn is_retry(why: &io::Error) -> bool {
    matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

/// The socket itself may be in blocking mode.
impl Stream for TcpStream {
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::net::recv(self, buffer, RecvFlags::DONTWAIT)?.0)
    }

    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self, bytes, SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
    }

    fn write_apart(&self, bytes: &[u8]) -> io::Result<usize> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL | SendFlags::EOR;
        Ok(rustix::net::send(self, bytes, flags)?)
    }

    fn has_input(&self) -> bool {
        rustix::net::recv(self, &mut [0_u8], RecvFlags::DONTWAIT | RecvFlags::PEEK).is_ok()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(Shutdown::Write)
    }

    fn abandon(&self) {
        // It fails only for what is no socket any more, which holds nothing.
        let _ = SockRef::from(self).set_linger(Some(Duration::ZERO));
    }

    fn give_up_after(&self, patience: Duration) {
        // It fails only for what is no socket any more, which holds nothing.
        let _ = SockRef::from(self).set_tcp_user_timeout(Some(patience));
    }

    fn keep_alive(&self) -> io::Result<()> {
        socket::keep_alive(SockRef::from(self))
    }
}

impl Watch<TcpStream> for Poller {
    fn add(&self, lane: Lane, stream: &TcpStream, key: u64, interest: Interest) -> io::Result<()> {
        self.add_in(lane, stream, key, interest)
    }

    fn modify(&self, stream: &TcpStream, key: u64, interest: Interest) -> io::Result<()> {
        Poller::modify(self, stream, key, interest)
    }

    fn remove(&self, stream: &TcpStream) -> io::Result<()> {
        Poller::remove(self, stream)
    }
}
