//! A socket that listens, and what its connections are: in clear, or with TLS and never without. The workers accept from
//! it.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::Duration;

use super::stream::Stream;
use super::tls::{Tls, TlsStream};

pub struct Listener {
    socket: TcpListener,
    /// What its connections have to begin with; None for those in clear.
    tls: Option<Arc<Tls>>,
}

/// A connection that was accepted.
pub enum AnyStream {
    Clear(TcpStream),
    Tls(Box<TlsStream>),
}

impl Listener {
    /// One whose connections are in clear.
    pub fn clear(socket: TcpListener) -> Listener {
        Listener { socket, tls: None }
    }

    /// One whose connections have TLS.
    pub fn sealed(socket: TcpListener, tls: Arc<Tls>) -> Listener {
        Listener { socket, tls: Some(tls) }
    }

    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// The next connection that is due.
    ///
    /// # Errors
    /// WouldBlock if none is, or why there is none.
    pub fn accept(&self) -> io::Result<(AnyStream, SocketAddr)> {
        let (socket, address) = self.socket.accept()?;
        let stream = match &self.tls {
            None => AnyStream::Clear(socket),
            Some(tls) => AnyStream::Tls(Box::new(tls.accept(socket)?)),
        };
        Ok((stream, address))
    }
}

impl AsFd for Listener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AnyStream {
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket().local_addr()
    }

    fn socket(&self) -> &TcpStream {
        match self {
            AnyStream::Clear(socket) => socket,
            AnyStream::Tls(stream) => stream.socket(),
        }
    }
}

impl AsFd for AnyStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket().as_fd()
    }
}

impl Stream for AnyStream {
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            AnyStream::Clear(socket) => socket.read_now(buffer),
            AnyStream::Tls(stream) => stream.read_now(buffer),
        }
    }

    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            AnyStream::Clear(socket) => socket.write_now(bytes),
            AnyStream::Tls(stream) => stream.write_now(bytes),
        }
    }

    fn write_apart(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            AnyStream::Clear(socket) => socket.write_apart(bytes),
            AnyStream::Tls(stream) => stream.write_apart(bytes),
        }
    }

    fn finish(&self) -> io::Result<()> {
        match self {
            AnyStream::Clear(socket) => socket.finish(),
            AnyStream::Tls(stream) => stream.finish(),
        }
    }

    fn abandon(&self) {
        match self {
            AnyStream::Clear(socket) => socket.abandon(),
            AnyStream::Tls(stream) => stream.abandon(),
        }
    }

    fn give_up_after(&self, patience: Duration) {
        self.socket().give_up_after(patience);
    }

    fn keep_alive(&self) -> io::Result<()> {
        self.socket().keep_alive()
    }

    fn is_in_handshake(&self) -> bool {
        match self {
            AnyStream::Clear(_) => false,
            AnyStream::Tls(stream) => stream.is_in_handshake(),
        }
    }

    fn has_input(&self) -> bool {
        match self {
            AnyStream::Clear(stream) => stream.has_input(),
            AnyStream::Tls(stream) => stream.has_input(),
        }
    }

    fn has_more(&self) -> bool {
        match self {
            AnyStream::Clear(_) => false,
            AnyStream::Tls(stream) => stream.has_more(),
        }
    }

    fn unsent(&self) -> usize {
        match self {
            AnyStream::Clear(_) => 0,
            AnyStream::Tls(stream) => stream.unsent(),
        }
    }

    fn write_rest(&self) -> io::Result<usize> {
        match self {
            AnyStream::Clear(_) => Ok(0),
            AnyStream::Tls(stream) => stream.write_rest(),
        }
    }
}
