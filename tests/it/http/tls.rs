//! The door for HTTP with TLS, as programs meet it: certificates that openssl makes, curl, and a client by rustls whose
//! every byte is this test's to send.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use super::Reply;
use crate::harness::{HANG, Server, folder_with, run, wait_for};

const TABLE: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n\
                     http.tls_cert = \"cert.pem\"\nhttp.tls_key = \"key.pem\"\n";

const GET: &str = "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Runs a program in a folder to its end: whether it went well, and what it printed.
fn tool(folder: &Path, program: &str, arguments: &[&str]) -> (bool, String) {
    let run = Command::new(program).args(arguments).current_dir(folder).output();
    let run = run.unwrap_or_else(|why| panic!("{program}: {why}"));
    let said = [run.stdout, run.stderr].concat();
    (run.status.success(), String::from_utf8_lossy(&said).into_owned())
}

/// Whether this machine has what makes certificates, and what asks for them.
fn has_tools() -> bool {
    let missing =
        ["openssl", "curl"].into_iter().find(|it| Command::new(it).arg("version").output().is_err());
    if let Some(missing) = missing {
        assert!(std::env::var_os("CI").is_none(), "no {missing}: .ci/run installs it");
        eprintln!("not tested here: TLS; install {missing}");
    }
    missing.is_none()
}

fn openssl(folder: &Path, arguments: &str) {
    let (is_done, said) = tool(folder, "openssl", &arguments.split(' ').collect::<Vec<_>>());
    assert!(is_done, "openssl {arguments}: {said}");
}

/// Makes `NAME.pem` and the key `NAME-key.pem`, as docs/api.md has it.
fn make(folder: &Path, name: &str) {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/api.md")).expect("a page");
    let line = page.lines().find_map(|line| line.strip_prefix("openssl ")).expect("how to make one");
    let line = line.replace("/CN=herd", &format!("/CN={name}"));
    let line =
        line.replace("key.pem", &format!("{name}-key.pem")).replace("cert.pem", &format!("{name}.pem"));
    openssl(folder, &line);
}

/// The same from one day to another, like 20200101.
fn make_for_days(folder: &Path, name: &str, from: &str, to: &str) {
    let config = "[ca]\ndefault_ca = d\n[d]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\ndefault_md = sha256\n\
                  policy = p\nx509_extensions = e\n[p]\ncommonName = supplied\n[e]\nsubjectAltName = DNS:localhost,IP:127.0.0.1\n";
    fs::write(folder.join("ca.conf"), config).expect("written");
    fs::write(folder.join("index"), "").expect("written");
    make(folder, name);
    openssl(folder, &format!("req -new -key {name}-key.pem -subj /CN={name} -out {name}.csr"));
    openssl(
        folder,
        &format!(
            "ca -batch -selfsign -notext -config ca.conf -in {name}.csr -keyfile {name}-key.pem -out {name}.pem \
             -startdate {from}000000Z -enddate {to}000000Z"
        ),
    );
}

/// Has a server serve this one.
fn install(folder: &Path, name: &str) {
    fs::rename(folder.join(format!("{name}-key.pem")), folder.join("key.pem")).expect("moved");
    fs::copy(folder.join(format!("{name}.pem")), folder.join("cert.pem")).expect("copied");
}

fn folder(settings: &str) -> TempDir {
    let folder = folder_with(&format!("{settings}\n{TABLE}"));
    make(folder.path(), "first");
    install(folder.path(), "first");
    folder
}

/// A server with TLS and these settings, and the certificate that its clients are to trust.
pub fn sealed(settings: &str) -> Option<(TempDir, Server, PathBuf)> {
    if !has_tools() {
        return None;
    }
    let folder = folder(settings);
    let server = Server::start(folder.path(), "Goloman");
    let trusted = folder.path().join("first.pem");
    Some((folder, server, trusted))
}

/// A client's end of TLS.
pub struct Peer {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Peer {
    pub fn to(server: &Server, trusted: &Path) -> Peer {
        Peer::by(server, trusted, &[&version::TLS13, &version::TLS12])
    }

    fn by(server: &Server, trusted: &Path, versions: &[&'static SupportedProtocolVersion]) -> Peer {
        Peer::on(TcpStream::connect(https(server)).expect("connected"), trusted, versions, None)
    }

    /// One whose records have so many bytes at most.
    fn on(
        socket: TcpStream,
        trusted: &Path,
        versions: &[&'static SupportedProtocolVersion],
        record_bytes: Option<usize>,
    ) -> Peer {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(trusted).expect("a certificate");
        roots.add(certificate).expect("a certificate");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.max_fragment_size = record_bytes;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let name = ServerName::try_from("localhost").expect("a name");
        let tls = ClientConnection::new(Arc::new(config), name).expect("a client");
        socket.set_read_timeout(Some(HANG)).expect("set");
        socket.set_write_timeout(Some(HANG)).expect("set");
        socket.set_nodelay(true).expect("set");
        Peer { tls, socket }
    }

    /// What is to be sent now, sealed.
    fn sealed(&mut self) -> Vec<u8> {
        let mut records = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut records).expect("memory");
        }
        records
    }

    /// Reads what the server sends next; false at its end.
    fn hear(&mut self) -> std::io::Result<bool> {
        let count = self.tls.read_tls(&mut self.socket)?;
        self.tls.process_new_packets().map_err(std::io::Error::other)?;
        Ok(count > 0)
    }

    /// The handshake, sent in pieces of so many bytes.
    pub fn shake(mut self, piece: usize) -> Peer {
        while self.tls.is_handshaking() {
            self.send(piece);
            if self.tls.is_handshaking() {
                assert!(self.hear().expect("a handshake"), "closed in the handshake");
            }
        }
        self.send(piece);
        self
    }

    pub fn send(&mut self, piece: usize) {
        let records = self.sealed();
        records.chunks(piece).for_each(|piece| self.socket.write_all(piece).expect("sent"));
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.tls.set_buffer_limit(None);
        self.tls.writer().write_all(bytes).expect("said");
    }

    /// As many bytes as are there in clear, at least one unless it ends.
    fn some(&mut self, buffer: &mut [u8]) -> usize {
        loop {
            match self.tls.reader().read(buffer) {
                Ok(count) => return count,
                Err(why) if why.kind() == std::io::ErrorKind::WouldBlock => {
                    if !self.hear().expect("heard") {
                        panic!("it was cut off");
                    }
                }
                Err(why) => panic!("{why}"),
            }
        }
    }

    /// Replies, until there are so many.
    pub fn replies(&mut self, count: usize) -> Vec<Reply> {
        let (mut bytes, mut at, mut replies, mut buffer) = (Vec::new(), 0, Vec::new(), vec![0; 65_536]);
        while replies.len() < count {
            if let Some((reply, length)) = Reply::cut(&bytes[at..]) {
                replies.push(reply);
                at += length;
                continue;
            }
            let count = self.some(&mut buffer);
            assert!(count > 0, "it ends after {} replies", replies.len());
            bytes.extend_from_slice(&buffer[..count]);
        }
        assert_eq!(at, bytes.len(), "more than that");
        replies
    }

    fn ask(&mut self, request: &str) -> Reply {
        self.say(request.as_bytes());
        self.send(usize::MAX);
        self.replies(1).remove(0)
    }
}

fn https(server: &Server) -> SocketAddr {
    server.http.expect("it serves HTTPS")
}

fn put(client: &str, body: &str) -> String {
    let length = body.len();
    format!("PUT /v1/clients/{client} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
}

#[test]
fn programs_are_served_by_both_versions_and_whoever_does_not_trust_the_certificate_goes_away() {
    let Some((folder, server, trusted)) = sealed("") else { return };
    make(folder.path(), "other");
    for version in [&version::TLS13, &version::TLS12] {
        let mut peer = Peer::by(&server, &trusted, &[version]).shake(usize::MAX);
        assert_eq!(peer.tls.protocol_version(), Some(version.version));
        assert_eq!(peer.tls.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert_eq!(peer.ask(&put("rust", r#"{"lat":1,"lon":2,"time":5}"#)).status, 200);
        assert_eq!(peer.ask(GET).status, 200, "on the same connection");
    }
    let url = format!("https://{}/v1/clients/kiwi", https(&server));
    let curl =
        |arguments: &[&str]| tool(folder.path(), "curl", &[&["-sS", "--max-time", "20"], arguments].concat());
    let json = "Content-Type: application/json";
    let told = curl(&[
        "--cacert",
        "first.pem",
        "-X",
        "PUT",
        "-H",
        json,
        "-d",
        r#"{"lat":1,"lon":2,"time":5}"#,
        &url,
    ]);
    assert!(told.0 && told.1.contains("\"news\":true"), "{told:?}");
    for version in [&["--tlsv1.3"][..], &["--tls-max", "1.2"], &["--http1.0"], &["--no-alpn"]] {
        let asked = curl(&[&["--cacert", "first.pem", &url], version].concat());
        assert!(asked.0 && asked.1.contains("\"coordinates\":[2,1]"), "{version:?}: {asked:?}");
    }
    let refused = curl(&["--cacert", "other.pem", &url]);
    assert!(!refused.0 && refused.1.contains("curl: (60)"), "{refused:?}");
    server.wait_for_log("it refuses the certificate of this server: UnknownCA");
    let old = curl(&["--cacert", "first.pem", "--tls-max", "1.1", &url]);
    assert!(!old.0, "{old:?}");
    assert!(server.knows("rust").is_some() && server.knows("kiwi").is_some());
}

#[test]
fn a_certificate_without_a_name_that_the_server_is_called_by_is_worth_a_warning() {
    if !has_tools() {
        return;
    }
    let folder = folder_with(&format!("http.names = [\"localhost\", \"herd.example\"]\n{TABLE}"));
    make(folder.path(), "first");
    install(folder.path(), "first");
    let (status, _, said) = run(folder.path(), &["--check"]);
    let warning = "cert.pem is not for herd.example, which http.names has, but for ";
    assert!(status == Some(0) && said.contains(warning) && said.contains("localhost"), "{status:?} {said}");
    let server = Server::start(folder.path(), "Goloman");
    assert!(!server.wait_for_log(warning).contains("not for localhost"));
}

#[test]
fn a_certificate_that_expired_is_refused_by_clients_and_worth_a_warning() {
    if !has_tools() {
        return;
    }
    let folder = folder_with(TABLE);
    make_for_days(folder.path(), "old", "20200101", "20210101");
    install(folder.path(), "old");
    let (status, _, said) = run(folder.path(), &["--check"]);
    assert!(status == Some(0) && said.contains("clients will refuse the certificate"), "{status:?} {said}");
    let server = Server::start(folder.path(), "Goloman");
    let log = server.wait_for_log("clients will refuse the certificate");
    assert!(log.contains("cert.pem: it expired ") && log.contains(" days ago"), "{log}");
    let url = format!("https://{}/healthz", https(&server));
    let (is_served, said) =
        tool(folder.path(), "curl", &["-sS", "--max-time", "20", "--cacert", "old.pem", &url]);
    assert!(!is_served && said.contains("certificate has expired"), "{said}");
    let mut peer = Peer::to(&server, &folder.path().join("old.pem"));
    peer.send(usize::MAX);
    let why = loop {
        match peer.hear() {
            Ok(true) => {}
            Ok(false) => panic!("closed"),
            Err(why) => break why.to_string(),
        }
    };
    assert!(why.contains("certificate expired"), "{why}");
    peer.send(usize::MAX);
    server.wait_for_log("it refuses the certificate of this server: CertificateExpired");
    drop(server);
    make_for_days(folder.path(), "new", "20900101", "21000101");
    install(folder.path(), "new");
    let (_, _, said) = run(folder.path(), &["--check"]);
    assert!(said.contains("it counts only ") && said.contains("is this machine's clock right?"), "{said}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_by_its_file_and_line() {
    if !has_tools() {
        return;
    }
    let folder = folder("");
    let path = |name: &str| folder.path().join(name);
    make(folder.path(), "other");
    let good = ["cert.pem", "key.pem"].map(|name| fs::read(path(name)).expect("read"));
    openssl(folder.path(), "pkey -in key.pem -aes256 -passout pass:secret -out encrypted.pem");
    let check = |break_it: &dyn Fn(), line: usize, expected: &str| {
        break_it();
        for arguments in [&["Goloman"][..], &["--check"]] {
            let (status, _, said) = run(folder.path(), arguments);
            assert!(status == Some(78) && said.contains(expected), "{expected}: {status:?} {said}");
            assert!(said.contains(&format!("herd.conf:{line}: http.tls_")), "{said}");
        }
        fs::write(path("cert.pem"), &good[0]).expect("written");
        crate::harness::write_secret(&path("key.pem"), std::str::from_utf8(&good[1]).expect("text"));
    };
    let remove = |name: &str| fs::remove_file(path(name)).expect("removed");
    let write = |name: &str, text: &[u8]| fs::write(path(name), text).expect("written");
    let read = |name: &str| fs::read(path(name)).expect("read");
    let (cert, key) = (5, 6);
    check(&|| remove("cert.pem"), cert, "No such file");
    check(&|| remove("key.pem"), key, "docs/api.md tells how to make one");
    check(&|| write("cert.pem", b""), cert, "it has no -----BEGIN CERTIFICATE-----");
    check(&|| write("cert.pem", &good[1]), cert, "it has no -----BEGIN CERTIFICATE-----");
    let pem = |text: &str| format!("-----BEGIN CERTIFICATE-----\n{text}\n-----END CERTIFICATE-----\n");
    check(&|| write("cert.pem", pem("!").as_bytes()), cert, "it is no PEM");
    check(&|| write("cert.pem", pem("AAAA").as_bytes()), cert, "it cannot be used");
    check(&|| write("key.pem", &good[0]), key, "it has no private key in PEM");
    check(&|| write("key.pem", &read("other-key.pem")), key, "it is not the key of the certificate");
    check(&|| write("key.pem", &read("encrypted.pem")), key, "it is encrypted; decrypt it");
    let mode = |mode| std::os::unix::fs::PermissionsExt::from_mode(mode);
    let open = || fs::set_permissions(path("key.pem"), mode(0o644)).expect("set");
    check(&open, key, "mode 0644");
    assert_eq!(run(folder.path(), &["--check"]).0, Some(0), "and as it was");
}

#[test]
fn what_comes_byte_by_byte_is_read_like_what_comes_at_once() {
    let Some((_folder, server, trusted)) = sealed("") else { return };
    for version in [&version::TLS13, &version::TLS12] {
        let mut peer = Peer::by(&server, &trusted, &[version]).shake(1);
        peer.say(put("slow", r#"{"lat":1,"lon":2,"time":5}"#).as_bytes());
        peer.say(GET.as_bytes());
        peer.send(1);
        let found: Vec<u16> = peer.replies(2).iter().map(|reply| reply.status).collect();
        assert_eq!(found, [200, 200]);
        assert!(server.knows("slow").is_some());
    }
}

/// More than one read of a room takes, in one go: of what rustls has then no event tells.
#[test]
fn what_rustls_holds_is_read_though_the_socket_is_empty() {
    let Some((_folder, server, trusted)) = sealed("") else { return };
    let request =
        |number| put(&format!("c{}", number % 100), &format!(r#"{{"lat":1,"lon":2,"time":{number}}}"#));
    for record_bytes in [100, 1_000, 5_000, 7_000, 10_000, 11_000, 13_000, 16_000] {
        for (count, ends) in [(300, false), (300, true), (1, true), (900, false)] {
            let socket = TcpStream::connect(https(&server)).expect("connected");
            let peer = Peer::on(socket, &trusted, &[&version::TLS13], Some(record_bytes));
            let mut peer = peer.shake(usize::MAX);
            peer.say((0..count).map(request).collect::<String>().as_bytes());
            if ends {
                // It says that no more comes, and does not close: the socket tells of nothing.
                peer.tls.send_close_notify();
            }
            peer.send(usize::MAX);
            let replies = peer.replies(count);
            assert!(replies.iter().all(|reply| reply.status == 200), "{:?}", replies.last());
            if ends {
                assert_eq!(peer.some(&mut [0; 1]), 0, "its end is told, and not cut off");
            }
        }
    }
}

#[test]
fn big_replies_are_read_slowly_and_are_whole() {
    let Some((_folder, server, trusted)) = sealed("") else { return };
    let all: String =
        (0..1_000).map(|number| format!("IAMAT client-{number:04} +1.{number:04}+2 5\n")).collect();
    let mut client = server.client();
    client.send(all);
    (0..1_000).for_each(|_| assert!(client.text_line().starts_with("AT ")));
    for version in [&version::TLS13, &version::TLS12] {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        socket.set_recv_buffer_size(4_096).expect("set");
        socket.connect(&https(&server).into()).expect("connected");
        let mut peer = Peer::on(socket.into(), &trusted, &[version], None).shake(usize::MAX);
        let request = "GET /v1/clients?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
        peer.say(request.repeat(12).as_bytes());
        peer.say(GET.as_bytes());
        peer.send(usize::MAX);
        // What waits for it is more than the system takes.
        wait_for("replies to wait", || (metric(&server, &trusted, "herd_unsent_bytes") > 0.0).then_some(()));
        let replies = peer.replies(13);
        for reply in &replies[..12] {
            let features = reply.json()["features"].as_array().expect("a list").len();
            assert!(reply.status == 200 && features == 1_000 && reply.body == replies[0].body);
        }
        assert_eq!(replies[12].body.trim(), r#"{"status":"ok"}"#);
    }
    wait_for("nothing to wait", || (metric(&server, &trusted, "herd_unsent_bytes") == 0.0).then_some(()));
}

/// A number of /metrics.
fn metric(server: &Server, trusted: &Path, name: &str) -> f64 {
    let mut peer = Peer::to(server, trusted).shake(usize::MAX);
    let reply = peer.ask("GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let line = reply.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {}", reply.body))
}

#[test]
fn who_does_not_read_is_closed_in_time_and_holds_up_nobody() {
    let Some((_folder, server, trusted)) = sealed("write_timeout_s = 1") else { return };
    let all: String = (0..1_000).map(|number| format!("IAMAT client-{number:04} +1+2 5\n")).collect();
    let mut client = server.client();
    client.send(all);
    (0..1_000).for_each(|_| assert!(client.text_line().starts_with("AT ")));
    let mut peer = Peer::to(&server, &trusted).shake(usize::MAX);
    let request = "GET /v1/clients?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n";
    peer.say(request.repeat(100).as_bytes());
    peer.send(usize::MAX);
    server.wait_for_log("it does not read its replies");
    assert!(server.tell("alive").starts_with("AT "));
    assert_eq!(metric(&server, &trusted, "herd_unsent_bytes"), 0.0);
}

#[test]
fn a_certificate_is_renewed_at_a_signal_and_one_of_no_use_changes_nothing() {
    let Some((folder, server, trusted)) = sealed("") else { return };
    let mut before = Peer::to(&server, &trusted).shake(usize::MAX);
    make(folder.path(), "second");
    let second = folder.path().join("second.pem");
    let good = fs::read(&second).expect("read");
    fs::write(folder.path().join("cert.pem"), &good).expect("written");
    server.process.signal(Signal::HUP);
    // Its key is still the first one's.
    let log = server.wait_for_log("not reloaded, keeping what there is: ");
    assert!(log.contains("herd.conf:6: http.tls_key"), "{log}");
    assert_eq!(Peer::to(&server, &trusted).shake(usize::MAX).ask(GET).status, 200);
    install(folder.path(), "second");
    server.process.signal(Signal::HUP);
    server.wait_for_log("read the certificate again: it counts for 36");
    let mut after = Peer::to(&server, &second).shake(usize::MAX);
    assert_eq!(
        after.tls.peer_certificates().expect("one")[0],
        CertificateDer::from_pem_slice(&good).expect("one")
    );
    assert_eq!((after.ask(GET).status, before.ask(GET).status), (200, 200), "who is in stays in");
}

#[test]
fn nothing_is_ever_served_in_clear_where_there_is_tls() {
    let Some((_folder, server, _)) = sealed("") else { return };
    for said in [GET, "IAMAT kiwi +1+1 5\n", "\x16\x03\x01\x02\x00\x01hello, world\r\n\r\n"] {
        let mut socket = TcpStream::connect(https(&server)).expect("connected");
        socket.set_read_timeout(Some(HANG)).expect("set");
        socket.write_all(said.as_bytes()).expect("sent");
        socket.shutdown(std::net::Shutdown::Write).expect("ended");
        let mut heard = Vec::new();
        // What it did not read makes for a reset.
        let _ = socket.read_to_end(&mut heard);
        // At most an alert, which is a record of seven bytes.
        assert!(heard.is_empty() || heard.len() == 7 && heard.starts_with(b"\x15\x03"), "{heard:?}");
    }
    server.wait_for_log("it does not speak TLS, and nothing else is spoken on this port: https:// does");
    assert!(server.knows("kiwi").is_none());
}

#[test]
fn half_a_handshake_is_closed_in_time_however_slowly_it_goes_on() {
    let Some((_folder, server, trusted)) = sealed("") else { return };
    let begun = Instant::now();
    let mut silent = TcpStream::connect(https(&server)).expect("connected");
    let mut half = Peer::to(&server, &trusted);
    let hello = half.sealed();
    half.socket.write_all(&hello).expect("sent");
    assert!(half.hear().expect("its half"), "the server has done its half");
    let mut slow = Peer::to(&server, &trusted);
    let hello = slow.sealed();
    let mut socket = slow.socket.try_clone().expect("cloned");
    // A byte a tick, for longer than the server waits.
    let sender = std::thread::Builder::new().name("sender".into()).spawn(move || {
        for piece in hello.chunks(1) {
            std::thread::sleep(Duration::from_millis(100));
            if socket.write_all(piece).is_err() {
                return;
            }
        }
    });
    silent.set_read_timeout(Some(HANG)).expect("set");
    for socket in [&mut silent, &mut half.socket, &mut slow.socket] {
        let _ = socket.read_to_end(&mut Vec::new());
    }
    let waited = begun.elapsed();
    assert!((9.0..14.0).contains(&waited.as_secs_f64()), "{waited:?}");
    sender.expect("started").join().expect("done");
    wait_for("the log to have all three", || {
        (server.log_text().matches("its handshake did not come to an end").count() == 3).then_some(())
    });
}

/// A storm of handshakes, all of which are due at once.
#[test]
fn a_storm_of_handshakes_leaves_reports_their_time() {
    const HANDSHAKES: usize = 500;
    let Some((_folder, server, trusted)) = sealed("workers = 1\nlog_level = \"warn\"") else { return };
    let hello = Peer::to(&server, &trusted).sealed();
    let address = https(&server);
    let mut sockets: Vec<_> =
        (0..HANDSHAKES).map(|_| TcpStream::connect(address).expect("connected")).collect();
    let descriptors = format!("/proc/{}/fd", server.process.pid());
    wait_for("all to be accepted", || {
        (fs::read_dir(&descriptors).expect("it lives").count() > HANDSHAKES).then_some(())
    });
    let is_over = AtomicBool::new(false);
    let (mut times, took) = std::thread::scope(|scope| {
        let reports = std::thread::Builder::new().name("reports".into()).spawn_scoped(scope, || {
            let (mut client, mut times) = (server.client(), Vec::new());
            while !is_over.load(Ordering::Relaxed) {
                let begun = Instant::now();
                client.send("IAMAT kiwi +1+1 5\n");
                assert!(client.text_line().starts_with("AT "));
                times.push(begun.elapsed());
            }
            times
        });
        let begun = Instant::now();
        for socket in &mut sockets {
            socket.write_all(&hello).expect("sent");
        }
        for socket in &mut sockets {
            socket.set_read_timeout(Some(HANG)).expect("set");
            assert!(socket.read(&mut [0; 1]).expect("answered") == 1);
        }
        let took = begun.elapsed();
        is_over.store(true, Ordering::Relaxed);
        (reports.expect("started").join().expect("done"), took)
    });
    times.sort();
    let p99 = times[times.len() * 99 / 100];
    println!(
        "{HANDSHAKES} handshakes in {took:?}; {} reports, p99 {p99:?}, worst {:?}",
        times.len(),
        times.last()
    );
    // All at once they would take half the time of all; in turns, that of one of 500.
    assert!(times.len() > 50 && p99 < took / 10, "{} reports, p99 {p99:?} of {took:?}", times.len());
}
