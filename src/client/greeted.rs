//! A conversation with a server by somebody who has proven to be of the herd, as `--agree` and `--forget` have one. All of
//! it has to be over within a time.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::patient::{Patient, dial};
use crate::clock::posix_ns;
use crate::config::Server;
use crate::limits::LINK_LINE_MAX;
use crate::link::{ASKER, Denied, Identity, Keys, Opening, Welcome, keys};
use crate::protocol::neighbour::Word;

/// Whom to talk with, and how.
#[derive(Clone, Copy)]
pub struct Greeted<'a> {
    pub server: &'a Server,
    /// What proves that it may be asked.
    pub keys: &'a Keys,
    /// The digest of the herd.conf it is asked by.
    pub conf: u64,
    /// How long it may take, from the first address that is dialled to its last word.
    pub patience: Duration,
}

/// A connection on which both have greeted.
pub struct Conversation {
    reader: BufReader<Patient>,
    stream: TcpStream,
    pub welcome: Welcome,
    /// Our clock when we greeted, and when we were answered.
    pub sent_ns: u64,
    pub heard_ns: u64,
}

impl Greeted<'_> {
    /// Dials each of its addresses until one takes the connection, and converses there.
    ///
    /// # Errors
    /// There is none, or the conversation fails.
    pub fn converse<T>(&self, with: impl FnOnce(&mut Conversation) -> io::Result<T>) -> io::Result<T> {
        let until = Instant::now() + self.patience;
        let stream = dial(&self.server.address, until)?;
        let talked = self.greet(stream, until).and_then(|mut conversation| with(&mut conversation));
        talked.map_err(|why| explain(why, self.patience))
    }

    fn greet(&self, mut stream: TcpStream, until: Instant) -> io::Result<Conversation> {
        let mut reader = BufReader::new(Patient { stream: stream.try_clone()?, until });
        let incarnation = u64::from_be_bytes(keys::random()?);
        let own = Identity { name: ASKER.into(), incarnation, conf: self.conf };
        let mut said = Vec::new();
        let opening = Opening::greet(&own, keys::random()?, &mut said);
        let sent_ns = posix_ns();
        stream.write_all(&said)?;
        let welcome = line(&mut reader)?;
        let heard_ns = posix_ns();
        said.clear();
        let opened = opening.answer(&welcome, &own, &self.server.name, self.keys, &mut said);
        let welcome = opened.map_err(|why| match why {
            // It is there, and has another secret: not the same as a server that is down.
            Denied::Unproven => io::Error::new(io::ErrorKind::PermissionDenied, why.reason()),
            _ => io::Error::other(why.reason()),
        })?;
        stream.write_all(&said)?;
        Ok(Conversation { reader, stream, welcome, sent_ns, heard_ns })
    }
}

impl Conversation {
    pub fn say(&mut self, word: &Word<'_>) -> io::Result<()> {
        let mut said = Vec::new();
        word.write(&mut said);
        self.stream.write_all(&said)
    }

    /// The next line without its newline.
    pub fn line(&mut self) -> io::Result<Vec<u8>> {
        line(&mut self.reader)
    }
}

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

/// In place of what the system says of a read that took too long.
pub fn explain(why: io::Error, patience: Duration) -> io::Error {
    match why.kind() {
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
            let why = format!("it accepts, and says nothing for {} s; does it hang?", patience.as_secs_f64());
            io::Error::new(io::ErrorKind::TimedOut, why)
        }
        _ => why,
    }
}
