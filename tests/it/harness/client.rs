//! A client of herd, whose reads end in a failed test rather than hang.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use socket2::{Domain, Socket, Type};

use super::HANG;

pub struct Client {
    pub stream: TcpStream,
    reader: BufReader<TcpStream>,
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::of(TcpStream::connect(address).expect("connected"))
    }

    /// Dials from an address of this machine, as a neighbour of herd.conf would.
    pub fn connect_from(source: IpAddr, address: SocketAddr) -> Client {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        socket.bind(&SocketAddr::new(source, 0).into()).expect("bound");
        socket.connect(&address.into()).expect("connected");
        Client::of(socket.into())
    }

    fn of(stream: TcpStream) -> Client {
        stream.set_nodelay(true).expect("set");
        stream.set_read_timeout(Some(HANG)).expect("set");
        stream.set_write_timeout(Some(HANG)).expect("set");
        let reader = BufReader::new(stream.try_clone().expect("cloned"));
        Client { stream, reader }
    }

    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).expect("sent");
    }

    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).expect("half-closed");
    }

    /// The next reply line with its newline; empty at the end.
    pub fn line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        self.reader.read_until(b'\n', &mut line).expect("a reply");
        line
    }

    pub fn text_line(&mut self) -> String {
        String::from_utf8_lossy(&self.line()).into_owned()
    }

    /// The next reply line, or what there is of it before the server ends the connection.
    pub fn rest_of_a_line(&mut self) -> Vec<u8> {
        let mut line = Vec::new();
        let _ = self.reader.read_until(b'\n', &mut line);
        line
    }

    /// Everything up to the server's close.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        self.reader.read_to_end(&mut rest).expect("replies");
        rest
    }

    /// Everything up to the server's close, or to its reset.
    pub fn rest_until_error(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        if let Err(why) = self.reader.read_to_end(&mut rest) {
            assert_eq!(why.kind(), io::ErrorKind::ConnectionReset, "{why} after {} bytes", rest.len());
        }
        rest
    }

    /// Whether the server has ended the connection, by a close or a reset.
    pub fn is_ended(&mut self) -> bool {
        match self.reader.read(&mut [0; 1]) {
            Ok(count) => count == 0,
            Err(why) => why.kind() == io::ErrorKind::ConnectionReset,
        }
    }

    /// Sends all, half-closes, and returns all replies.
    pub fn say(mut self, bytes: impl AsRef<[u8]>) -> String {
        self.send(bytes);
        self.half_close();
        String::from_utf8_lossy(&self.rest()).into_owned()
    }
}
