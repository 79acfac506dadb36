//! Unit tests: both ends of TLS in one thread, on sockets that take little.

use std::net::TcpListener;
use std::process::Command;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::SockRef;

use super::*;
use crate::net::poller::{Events, Interest, Poller};
use crate::net::{AnyStream, Connection};

/// Longer than anything takes that works.
const HANG: Duration = Duration::from_secs(20);

/// A certificate in PEM and its key; None on a machine that cannot make one.
fn pair() -> Option<[Vec<u8>; 2]> {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 100 -subj /CN=herd -addext \
                     subjectAltName=DNS:localhost -addext basicConstraints=critical,CA:FALSE -keyout key -out cert";
    let mut openssl = Command::new("openssl");
    let made = openssl.args(arguments.split(' ')).current_dir(folder.path()).output();
    let Ok(made) = made else {
        eprintln!("not tested here: TLS; install openssl");
        return None;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(["cert", "key"].map(|name| std::fs::read(folder.path().join(name)).expect("read")))
}

/// A client's end, whose socket waits.
struct Peer {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Peer {
    /// What comes next in clear; 0 at an end that is told.
    fn read(&mut self, buffer: &mut [u8]) -> usize {
        loop {
            while self.tls.wants_write() {
                self.tls.write_tls(&mut self.socket).expect("sent");
            }
            match self.tls.reader().read(buffer) {
                Err(why) if why.kind() == io::ErrorKind::WouldBlock => {
                    self.tls.read_tls(&mut self.socket).expect("read");
                    self.tls.process_new_packets().expect("as it should be");
                }
                read => return read.expect("not cut off"),
            }
        }
    }
}

/// Both ends of a connection whose handshake is done, on sockets with room for little.
fn ends() -> Option<(Connection<AnyStream>, Peer)> {
    let [cert, key] = pair()?;
    let tls = Tls::new(Certificate::read(&cert, &key).expect("a pair"));
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    SockRef::from(&listener).set_recv_buffer_size(8_192).expect("set");
    let socket = TcpStream::connect(listener.local_addr().expect("bound")).expect("connected");
    SockRef::from(&socket).set_recv_buffer_size(8_192).expect("set");
    socket.set_read_timeout(Some(HANG)).expect("set");
    let near = listener.accept().expect("accepted").0;
    SockRef::from(&near).set_send_buffer_size(8_192).expect("set");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(&cert).expect("one")).expect("one");
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("localhost").expect("a name");
    let mut peer = Peer { tls: ClientConnection::new(Arc::new(config), name).expect("a client"), socket };
    let near = AnyStream::Tls(Box::new(tls.accept(near).expect("accepted")));
    let shaking = std::thread::scope(|scope| {
        let far = std::thread::Builder::new().name("far".into()).spawn_scoped(scope, || {
            peer.tls.complete_io(&mut peer.socket).expect("a handshake");
        });
        while near.is_in_handshake() {
            wait(&near, Interest::Readable);
            assert!(near.read_now(&mut [0; 1]).is_err_and(|why| is_retry(&why)), "nothing is said yet");
        }
        far.expect("started").join()
    });
    shaking.expect("done");
    assert_eq!(near.unsent(), 0);
    Some((Connection::new(near, Duration::ZERO), peer))
}

fn wait(stream: &AnyStream, interest: Interest) {
    let (poller, mut events) = (Poller::new().expect("a poller"), Events::with_capacity(1));
    poller.add(stream, 0, interest).expect("watched");
    poller.wait(&mut events, Some(HANG)).expect("waited");
    assert!(!events.is_empty(), "a hang");
}

/// Sends pieces until the last one has to wait, sealed already; how many bytes that were.
fn fill(connection: &mut Connection<AnyStream>, piece: &[u8]) -> usize {
    let mut said = 0;
    while connection.unsent() == 0 {
        connection.send(piece, Duration::ZERO).expect("sent");
        said += piece.len();
    }
    assert_eq!(connection.unsent(), connection.stream.unsent(), "it waits as a record");
    said
}

fn drain(mut connection: Connection<AnyStream>, mut peer: Peer, said: usize) {
    let far = std::thread::Builder::new().name("far".into()).spawn(move || {
        let (mut heard, mut buffer) = (0, [0; 4_096]);
        loop {
            match peer.read(&mut buffer) {
                0 => break,
                count => heard += count,
            }
        }
        // The socket ends with that.
        assert_eq!(peer.socket.read(&mut buffer).expect("an end"), 0);
        heard
    });
    let send_all = |connection: &mut Connection<AnyStream>| {
        while connection.unsent() > 0 {
            wait(&connection.stream, Interest::Writable);
            connection.send_rest(Duration::from_secs(1)).expect("sent");
        }
    };
    send_all(&mut connection);
    connection.linger("it is over", Duration::ZERO);
    send_all(&mut connection);
    assert!(connection.taken() > Duration::ZERO);
    assert_eq!(far.expect("started").join().expect("heard"), said);
}

#[test]
fn what_the_socket_does_not_take_is_unsent_and_sent_when_it_does() {
    for piece in [1, 1_000, 20_000] {
        let Some((mut connection, peer)) = ends() else { return };
        let said = fill(&mut connection, &vec![b'x'; piece]);
        let held = connection.unsent();
        assert!(held <= TLS_RECORD_BYTES + 100, "one record waits at most: {held}");
        // Behind it, in clear.
        connection.send(&[b'y'; 50_000], Duration::ZERO).expect("kept");
        assert_eq!(connection.unsent(), held + 50_000);
        connection.send_rest(Duration::from_secs(9)).expect("kept");
        let is_less = connection.unsent() < held + 50_000;
        assert_eq!(connection.taken() > Duration::ZERO, is_less, "what is sealed and waits is not taken");
        drain(connection, peer, said + 50_000);
    }
}

#[test]
fn an_end_that_has_to_wait_is_told_in_its_turn() {
    let Some((mut connection, peer)) = ends() else { return };
    let said = fill(&mut connection, b"x");
    connection.linger("it is over", Duration::ZERO);
    drain(connection, peer, said);
}

#[test]
fn a_pair_is_one_and_says_how_long_it_counts() {
    let (Some([cert, key]), Some([_, other])) = (pair(), pair()) else { return };
    let is_key = |read: Result<Certificate, BadPem>| matches!(read, Err(BadPem::Key(_)));
    assert!(is_key(Certificate::read(&cert, &other)) && is_key(Certificate::read(&cert, &cert)));
    assert!(matches!(Certificate::read(&key, &key), Err(BadPem::Certificate(_))));
    let read = Certificate::read(&[&cert[..], &cert].concat(), &key).expect("a chain and its key");
    let (begin, end) = read.valid_s.expect("both are there");
    assert_eq!(end - begin, 100 * DAY_S);
    assert_eq!((read.days_left(begin), read.days_left(end + 1)), (Some(100), Some(0)));
    for (now, expected) in [
        (begin, None),
        (end, None),
        (end + 1, Some("it expired less than a day ago")),
        (end + DAY_S, Some("it expired 1 day ago")),
        (begin - 2 * DAY_S, Some("it counts only 2 days from now; is this machine's clock right?")),
    ] {
        assert_eq!(read.objection(now).as_deref(), expected);
    }
}
