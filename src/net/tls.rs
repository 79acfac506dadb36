//! TLS by rustls, under the conversation of a door: a certificate with its key, and a connection that is read and
//! written in clear here and sealed on its socket. A listener makes one of each connection that it accepts; nothing
//! here waits. No other file names rustls.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, ParsedCertificate};
use rustls::{
    AlertDescription, CertificateError, Error, InconsistentKeys, InvalidMessage, RootCertStore, ServerConfig,
    ServerConnection,
};

use super::stream::{Stream, is_retry};
use crate::limits::{READ_BYTES, TLS_KEPT_BYTES, TLS_RECORD_BYTES};

/// What a server shows and proves to be, with its key.
pub struct Certificate {
    config: Arc<ServerConfig>,
    /// The seconds since 1970 from which and to which it counts; None where it does not say.
    valid_s: Option<(u64, u64)>,
    /// The server's own, without those that vouch for it.
    own: CertificateDer<'static>,
}

/// Which of the two files cannot be used, and why.
#[derive(Debug, PartialEq, Eq)]
pub enum BadPem {
    Certificate(String),
    Key(String),
}

/// The certificate of a listener, which may be replaced.
pub struct Tls(RwLock<Arc<ServerConfig>>);

/// A connection with TLS.
pub struct TlsStream {
    socket: TcpStream,
    session: Mutex<Session>,
}

struct Session {
    tls: ServerConnection,
    /// Bytes in clear that can be read.
    readable: usize,
    /// The peer has said that it sends no more, and that is to be told to whoever reads.
    has_ended: bool,
    /// Records that the socket did not take; `sent` bytes of them are gone.
    output: Vec<u8>,
    sent: usize,
    /// No more is written.
    is_finished: bool,
}

// --- certificates

impl Certificate {
    /// Reads what is in a file with the certificate, and those that vouch for it, and in one with its key.
    ///
    /// # Errors
    /// One of them is no such file, or the two are not of each other.
    pub fn read(certificates: &[u8], key: &[u8]) -> Result<Certificate, BadPem> {
        let unusable = |why: pem::Error| BadPem::Certificate(format!("it is no PEM: {why}"));
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(certificates).collect::<Result<_, _>>().map_err(unusable)?;
        let Some(own) = chain.first().cloned() else {
            let why = "it has no -----BEGIN CERTIFICATE-----; name the file with the certificate in PEM, like fullchain.pem";
            return Err(BadPem::Certificate(why.into()));
        };
        let valid_s = validity(&chain);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|why| BadPem::Certificate(why.to_string()))?
            .with_no_client_auth()
            .with_single_cert(chain, private_key(key)?)
            .map_err(explain_pair)?;
        // Whoever proposes none of these is refused, so 1.0 is there for those who speak nothing else.
        config.alpn_protocols = vec![b"http/1.1".to_vec(), b"http/1.0".to_vec()];
        // What resumes a session is the client's to keep: here it would cost memory, and a lock of all workers.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.ticketer = ring::Ticketer::new().map_err(|why| BadPem::Certificate(why.to_string()))?;
        Ok(Certificate { config: Arc::new(config), valid_s, own })
    }

    /// Why clients will refuse it, so many seconds after 1970; None while they have no such reason.
    pub fn objection(&self, now_s: u64) -> Option<String> {
        match self.valid_s? {
            (_, end) if end < now_s => {
                Some(format!("it expired {} ago", days((now_s - end) / DAY_S, "less than a day")))
            }
            (begin, _) if begin > now_s => {
                let wait = days((begin - now_s) / DAY_S, "less than a day");
                Some(format!("it counts only {wait} from now; is this machine's clock right?"))
            }
            _ => None,
        }
    }

    /// How many whole days it counts from then on.
    pub fn days_left(&self, now_s: u64) -> Option<u64> {
        self.valid_s.map(|(_, end)| end.saturating_sub(now_s) / DAY_S)
    }

    /// The name among these that it is not for, and those that it is for; None when it is for all of them.
    pub fn foreign<'n>(&self, names: &'n [String]) -> Option<(&'n str, Vec<String>)> {
        let certificate = ParsedCertificate::try_from(&self.own).ok()?;
        names.iter().find_map(|name| {
            let server = ServerName::try_from(name.as_str()).ok()?;
            match verify_server_name(&certificate, &server) {
                Err(Error::InvalidCertificate(CertificateError::NotValidForNameContext {
                    presented,
                    ..
                })) => Some((name.as_str(), presented)),
                Err(Error::InvalidCertificate(CertificateError::NotValidForName)) => {
                    Some((name.as_str(), Vec::new()))
                }
                _ => None,
            }
        })
    }
}

const DAY_S: u64 = 86_400;

fn days(number: u64, none: &str) -> String {
    match number {
        0 => none.to_owned(),
        1 => "1 day".to_owned(),
        more => format!("{more} days"),
    }
}

fn private_key(text: &[u8]) -> Result<PrivateKeyDer<'static>, BadPem> {
    let is_encrypted = text.windows(b"ENCRYPTED".len()).any(|part| part == b"ENCRYPTED");
    PrivateKeyDer::from_pem_slice(text).map_err(|why| {
        BadPem::Key(match why {
            _ if is_encrypted => {
                "it is encrypted; decrypt it: `(umask 077; openssl pkey -in KEY -out NEW)`".into()
            }
            pem::Error::NoItemsFound => {
                "it has no private key in PEM, like -----BEGIN PRIVATE KEY-----".into()
            }
            why => format!("it is no PEM: {why}"),
        })
    })
}

/// Why a certificate and a key cannot be used together.
fn explain_pair(why: Error) -> BadPem {
    match why {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => BadPem::Key(
            "it is not the key of the certificate; name the two files that were made together".into(),
        ),
        Error::InvalidCertificate(CertificateError::Other(why)) => {
            BadPem::Certificate(format!("it cannot be used: {why}; it has to be one of X.509 version 3"))
        }
        Error::InvalidCertificate(why) => BadPem::Certificate(format!("it cannot be used: {why}")),
        why => BadPem::Key(format!("it cannot be used: {why}; there are RSA, ECDSA and Ed25519 keys")),
    }
}

/// From when to when a certificate counts. Whoever checks one at another time is told.
fn validity(chain: &[CertificateDer<'_>]) -> Option<(u64, u64)> {
    let parsed = ParsedCertificate::try_from(chain.first()?).ok()?;
    let roots = RootCertStore::empty();
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let at = |time: Duration| {
        let time = UnixTime::since_unix_epoch(time);
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], time, algorithms)
    };
    let begin = match at(Duration::ZERO) {
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. })) => {
            not_before.as_secs()
        }
        _ => 0,
    };
    match at(Duration::MAX) {
        Err(Error::InvalidCertificate(CertificateError::ExpiredContext { not_after, .. })) => {
            Some((begin, not_after.as_secs()))
        }
        _ => None,
    }
}

impl Tls {
    pub fn new(certificate: Certificate) -> Tls {
        Tls(RwLock::new(certificate.config))
    }

    /// Has this one shown to whoever connects from now on.
    pub fn replace(&self, certificate: Certificate) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = certificate.config;
    }

    /// The near end of TLS on a connection that was accepted.
    ///
    /// # Errors
    /// rustls does not want the certificate after all, which it says when it is read.
    pub fn accept(&self, socket: TcpStream) -> io::Result<TlsStream> {
        let config = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        let mut tls = ServerConnection::new(config).map_err(io::Error::other)?;
        tls.set_buffer_limit(Some(TLS_KEPT_BYTES));
        let session =
            Session { tls, readable: 0, has_ended: false, output: Vec::new(), sent: 0, is_finished: false };
        Ok(TlsStream { socket, session: Mutex::new(session) })
    }
}

// --- connections

impl TlsStream {
    pub fn socket(&self) -> &TcpStream {
        &self.socket
    }

    fn session(&self) -> MutexGuard<'_, Session> {
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stream for TlsStream {
    fn read_now(&self, buffer: &mut [u8]) -> io::Result<usize> {
        self.session().read(&self.socket, buffer)
    }

    fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
        self.session().write(&self.socket, bytes)
    }

    fn write_apart(&self, bytes: &[u8]) -> io::Result<usize> {
        self.write_now(bytes)
    }

    fn finish(&self) -> io::Result<()> {
        self.session().finish(&self.socket)
    }

    fn abandon(&self) {
        self.session().is_finished = true;
        self.socket.abandon();
    }

    fn give_up_after(&self, patience: Duration) {
        self.socket.give_up_after(patience);
    }

    fn keep_alive(&self) -> io::Result<()> {
        self.socket.keep_alive()
    }

    fn is_in_handshake(&self) -> bool {
        self.session().tls.is_handshaking()
    }

    fn has_input(&self) -> bool {
        self.has_more() || self.socket.has_input()
    }

    fn has_more(&self) -> bool {
        let session = self.session();
        session.readable > 0 || session.has_ended
    }

    fn unsent(&self) -> usize {
        self.session().unsent()
    }

    fn write_rest(&self) -> io::Result<usize> {
        self.session().write_rest(&self.socket)
    }
}

/// Whoever closes says so first, so that the peer knows that nobody cut it off.
impl Drop for TlsStream {
    fn drop(&mut self) {
        let session = self.session.get_mut().unwrap_or_else(PoisonError::into_inner);
        // The peer may be gone, and then there is nobody to tell.
        let _ = session.finish(&self.socket);
    }
}

impl Session {
    /// Bytes that wait for room in the socket.
    fn unsent(&self) -> usize {
        self.output.len() - self.sent
    }

    fn read(&mut self, socket: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
        if self.readable == 0 && !self.has_ended {
            self.fill(socket, buffer.len())?;
            if self.readable > 0 {
                // What rustls read the last records into it gives back only when it begins to read again, and a phone that
                // has said all may be silent for long.
                let _ = self.tls.read_tls(&mut Nothing);
            }
        }
        match self.tls.reader().read(buffer) {
            Ok(count) => {
                self.readable -= count.min(self.readable);
                self.has_ended &= count > 0;
                Ok(count)
            }
            // It was cut off, or does not say that it ends; what is a whole message the door knows.
            Err(why) if why.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
            Err(why) => Err(why),
        }
    }

    /// Reads from the socket until so many bytes are there in clear, or as many have come as may at once: a peer can
    /// send any number of records with nothing in them.
    fn fill(&mut self, socket: &TcpStream, wanted: usize) -> io::Result<()> {
        let mut came = 0;
        while self.readable < wanted && came < READ_BYTES {
            let mut from = Inlet { socket, is_empty: false };
            match self.tls.read_tls(&mut from) {
                Ok(count) => came += count,
                Err(why) if is_retry(&why) => return Ok(()),
                // It is told once what came before it is read.
                Err(_) if self.readable > 0 => return Ok(()),
                Err(why) => return Err(why),
            }
            let processed = self.tls.process_new_packets();
            // What is to be said of an error, too.
            let pushed = self.push(socket);
            let state = processed.map_err(|why| explain(&why))?;
            pushed?;
            self.readable = state.plaintext_bytes_to_read();
            self.has_ended = state.peer_has_closed();
            if from.is_empty || self.has_ended {
                break;
            }
        }
        Ok(())
    }

    /// Seals bytes for as long as the socket takes the records: one more may have to wait here.
    fn write(&mut self, socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        while self.unsent() > 0 {
            self.write_rest(socket)?;
        }
        let mut taken = 0;
        while taken < bytes.len() && self.unsent() == 0 {
            let end = bytes.len().min(taken + TLS_RECORD_BYTES);
            match self.tls.writer().write(&bytes[taken..end])? {
                0 => break,
                count => taken += count,
            }
            self.push(socket)?;
        }
        if taken == 0 && !bytes.is_empty() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
    }

    /// Sends what rustls has to say; what the socket does not take is kept.
    fn push(&mut self, socket: &TcpStream) -> io::Result<()> {
        while self.tls.wants_write() {
            let is_free = self.unsent() == 0;
            self.tls.write_tls(&mut Outlet { socket, output: &mut self.output, is_free })?;
        }
        Ok(())
    }

    /// Sends of what is kept what the socket takes.
    fn write_rest(&mut self, socket: &TcpStream) -> io::Result<usize> {
        let taken = socket.write_apart(&self.output[self.sent..])?;
        self.sent += taken;
        if self.unsent() == 0 {
            (self.output, self.sent) = (Vec::new(), 0);
            if self.is_finished {
                socket.shutdown(Shutdown::Write)?;
            }
        }
        Ok(taken)
    }

    /// Says that no more comes; the socket ends with the last byte of it.
    fn finish(&mut self, socket: &TcpStream) -> io::Result<()> {
        if self.is_finished {
            return Ok(());
        }
        self.is_finished = true;
        self.tls.send_close_notify();
        self.push(socket)?;
        if self.unsent() == 0 { socket.shutdown(Shutdown::Write) } else { Ok(()) }
    }
}

/// What a peer that is closed for it did wrong.
fn explain(why: &Error) -> io::Error {
    let text = match why {
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => "it does not speak TLS, and nothing else is spoken on this port: https:// does".to_owned(),
        Error::AlertReceived(
            alert @ (AlertDescription::UnknownCA
            | AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown),
        ) => format!("it refuses the certificate of this server: {alert:?}"),
        why => format!("TLS: {why}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// A socket, as rustls reads it.
struct Inlet<'s> {
    socket: &'s TcpStream,
    /// It had less than was asked for.
    is_empty: bool,
}

impl Read for Inlet<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.socket.read_now(buffer)?;
        self.is_empty = count < buffer.len();
        Ok(count)
    }
}

/// A socket that has nothing, as rustls reads it.
struct Nothing;

impl Read for Nothing {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        Err(io::ErrorKind::WouldBlock.into())
    }
}

/// A socket, as rustls writes to it: what it does not take is put behind what waits.
struct Outlet<'s> {
    socket: &'s TcpStream,
    output: &'s mut Vec<u8>,
    /// Nothing waits.
    is_free: bool,
}

impl Write for Outlet<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = if self.is_free { self.socket.write_apart(bytes) } else { Ok(0) };
        let taken = match sent {
            Ok(taken) => taken,
            Err(why) if is_retry(&why) => 0,
            Err(why) => return Err(why),
        };
        if taken < bytes.len() {
            self.is_free = false;
            self.output.extend_from_slice(&bytes[taken..]);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
