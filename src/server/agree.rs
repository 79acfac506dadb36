//! `herd --agree`: asks every server what it knows, as a number, and tells whether it is the same
//! everywhere. It proves itself as a neighbour would.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::neighbours::ASKER;
use super::socket;
use crate::config::{Config, Server};
use crate::digest::Digest;
use crate::limits::LINK_LINE_MAX;
use crate::link::{Dialer, Identity, Keys};
use crate::protocol::link::Verb;
use crate::thread;

/// What every server of a herd knows, but for those of another make.
pub struct Agreement {
    servers: Vec<(String, io::Result<Answer>)>,
}

/// What one of them says.
struct Answer {
    digest: Digest,
    /// Its neighbours that are down or have not confirmed all it knows, in words.
    lags: Vec<String>,
}

/// How long to wait before servers that differ are asked again.
const REST: Duration = Duration::from_millis(200);

impl Agreement {
    /// Asks all servers of a herd, again and again until they agree or the time is up; `keys` are
    /// what proves to each that it may be asked.
    pub fn find(config: &Config, keys: &[Keys], wait: Duration) -> Agreement {
        let until = Instant::now() + wait;
        loop {
            let servers = ask_all(config, keys);
            let agreement = Agreement { servers };
            if agreement.is_whole() || Instant::now() >= until {
                return agreement;
            }
            std::thread::sleep(REST.min(until.saturating_duration_since(Instant::now())));
        }
    }

    /// Whether all answered, and the same.
    pub fn is_whole(&self) -> bool {
        let mut digests = self.servers.iter().map(|(_, answer)| Some(&answer.as_ref().ok()?.digest));
        let Some(Some(first)) = digests.next() else { return false };
        digests.all(|digest| digest == Some(first))
    }
}

/// A line a server: its name, how many clients it knows, the number for what it knows of them, and
/// its neighbours that are down or have not confirmed all of it.
impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.servers.iter().map(|(name, _)| name.len()).max().unwrap_or(0).max(6);
        writeln!(f, "{:width$}  {:>10}  digest", "server", "clients")?;
        for (name, answer) in &self.servers {
            match answer {
                Ok(Answer { digest, lags }) => {
                    let lags: String = lags.iter().map(|lag| format!("  {lag}")).collect();
                    writeln!(f, "{name:width$}  {:>10}  {:016x}{lags}", digest.count, digest.total())?;
                }
                Err(why) => writeln!(f, "{name:width$}  {:>10}  {why}", "-")?,
            }
        }
        Ok(())
    }
}

/// Asks all at once, so that one that hangs costs its own time and nobody else's.
fn ask_all(config: &Config, keys: &[Keys]) -> Vec<(String, io::Result<Answer>)> {
    let asked: Vec<_> = config.servers.iter().zip(keys).filter(|(server, _)| !server.plain).collect();
    let patience = config.settings.timing.digest_wait;
    let mut answers: Vec<_> = asked.iter().map(|_| Err(io::Error::other("it was not asked"))).collect();
    std::thread::scope(|scope| {
        for (&(server, keys), answer) in asked.iter().zip(&mut answers) {
            let started = thread::spawn_scoped(scope, "asker", || *answer = ask(server, keys, patience));
            // Without room for a thread it stays unasked, and says so.
            drop(started);
        }
    });
    asked.into_iter().map(|(server, _)| server.name.clone()).zip(answers).collect()
}

/// `patience` is how long a server may take to answer.
fn ask(server: &Server, keys: &Keys, patience: Duration) -> io::Result<Answer> {
    let mut last = io::Error::other("no address");
    for address in server.address.resolve()? {
        match socket::dial(address, None, patience) {
            Ok(stream) => {
                return converse(stream, server, keys, patience).map_err(|why| explain(why, patience));
            }
            Err(why) => last = io::Error::new(why.kind(), format!("{address}: {why}")),
        }
    }
    Err(last)
}

/// In place of what the system says of a read that took too long.
fn explain(why: io::Error, patience: Duration) -> io::Error {
    match why.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let why = format!("it accepts, and says nothing for {} s; does it hang?", patience.as_secs_f64());
            io::Error::new(io::ErrorKind::TimedOut, why)
        }
        _ => why,
    }
}

/// What all that a server says may take.
struct Patient {
    stream: TcpStream,
    until: Instant,
}

impl Read for Patient {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        self.stream.set_read_timeout(Some(left.max(Duration::from_millis(1))))?;
        self.stream.read(buffer)
    }
}

fn converse(mut stream: TcpStream, server: &Server, keys: &Keys, patience: Duration) -> io::Result<Answer> {
    let mut reader =
        BufReader::new(Patient { stream: stream.try_clone()?, until: Instant::now() + patience });
    let own = Identity { name: ASKER.into(), incarnation: u64::from_be_bytes(socket::random()?) };
    let mut said = Vec::new();
    let dialer = Dialer::greet(&own, socket::random()?, &mut said);
    stream.write_all(&said)?;
    let welcome = line(&mut reader)?;
    said.clear();
    let opened = dialer.answer(&welcome, &own, &server.name, keys, &mut said);
    opened.map_err(|why| io::Error::other(why.reason()))?;
    Verb::Ask.write(&mut said);
    stream.write_all(&said)?;
    let mut lags = Vec::new();
    loop {
        let answer = line(&mut reader)?;
        match Verb::parse(&answer) {
            Some(Verb::Lag { name, is_up, records, ms }) if !is_up || records > 0 => {
                let (name, state) = (String::from_utf8_lossy(name), if is_up { "" } else { "down, " });
                let seconds = ms as f64 / 1e3;
                lags.push(format!("{name}: {state}{records} records unconfirmed for {seconds:.1} s"));
            }
            Some(Verb::Lag { .. }) => {}
            Some(Verb::Digest { count, sums }) => {
                let digest = Digest::from_hex(count, sums);
                let digest = digest.ok_or_else(|| io::Error::other("its digest is of another make"))?;
                return Ok(Answer { digest, lags });
            }
            _ => return Err(io::Error::other("it does not answer with a digest; its log may say why")),
        }
    }
}

/// The next line without its newline.
fn line(reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    reader.take(LINK_LINE_MAX as u64).read_until(b'\n', &mut line)?;
    match line.pop() {
        Some(b'\n') => Ok(line),
        _ => {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, "it closed the connection; its log may say why"))
        }
    }
}
