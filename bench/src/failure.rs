//! What a server did not answer as it had to: what was sent, what was expected, and what came. The conformance runs make
//! these, and list all that there are.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// Longer than anything takes that works.
pub const HANG: Duration = Duration::from_secs(10);

/// After so many cases in which a server hung, the rest of them are not asked.
const HANGS_MAX: usize = 3;

/// Bytes of a text that are shown.
const SHOWN_MAX: usize = 400;

/// A case that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub about: String,
    pub sent: String,
    pub expected: String,
    pub got: String,
}

/// What came of a run of cases.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub passed: usize,
    pub failures: Vec<Failure>,
    /// Cases that were not asked, as it hung in too many before.
    pub unasked: usize,
    hangs: usize,
}

/// What came, and how it ended.
#[derive(Clone, Debug)]
pub struct Heard {
    pub bytes: Vec<u8>,
    pub end: End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The reply was whole before anything else happened.
    Whole,
    Closed,
    /// Nothing more came for as long as `HANG`.
    Silent,
    Broken(io::ErrorKind),
}

impl Tally {
    /// Counts a case.
    pub fn note(&mut self, found: Result<(), Failure>) {
        match found {
            Ok(()) => self.passed += 1,
            Err(failure) => self.failures.push(failure),
        }
    }

    /// A case that had to wait for as long as a server may take.
    pub fn hung(&mut self) {
        self.hangs += 1;
    }

    /// Whether it is not worth while to ask for more.
    pub fn is_hopeless(&self) -> bool {
        self.hangs >= HANGS_MAX
    }

    pub fn extend(&mut self, other: Tally) {
        self.passed += other.passed;
        self.failures.extend(other.failures);
        self.unasked += other.unasked;
    }

    pub fn cases(&self) -> usize {
        self.passed + self.failures.len() + self.unasked
    }

    /// All cases passed.
    pub fn is_clean(&self) -> bool {
        self.passed == self.cases()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.failures.iter().try_for_each(|failure| writeln!(f, "{failure}"))?;
        match self.unasked {
            0 => Ok(()),
            count => writeln!(f, "  {count} more cases were not asked, as it hung in others"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Failure { about, sent, expected, got } = self;
        write!(f, "  {about}\n    sent      {sent}\n    expected  {expected}\n    got       {got}")
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let end = match &self.end {
            End::Whole if self.bytes.is_empty() => "nothing",
            End::Whole => "",
            End::Closed if self.bytes.is_empty() => "nothing: the connection was closed",
            End::Closed => "",
            End::Silent if self.bytes.is_empty() => "nothing for 10 s",
            End::Silent => ", and then nothing for 10 s",
            End::Broken(why) => {
                let and = if self.bytes.is_empty() { "nothing: " } else { ", and then " };
                return write!(f, "{}{and}{why}", shown(&self.bytes));
            }
        };
        write!(f, "{}{end}", shown(&self.bytes))
    }
}

/// A text as it is shown, what is not plain with its escapes.
pub fn shown(bytes: &[u8]) -> String {
    let mut text = bytes[..bytes.len().min(SHOWN_MAX)].escape_ascii().to_string();
    if bytes.len() > SHOWN_MAX {
        text += &format!("… ({} bytes)", bytes.len());
    }
    text
}

/// A connection that waits for as long as `HANG`.
///
/// # Errors
/// Nobody listens there.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&address, HANG)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANG))?;
    Ok(stream)
}

/// Reads until a reply is whole, or nothing more comes.
pub fn hear(stream: &mut TcpStream, is_whole: impl Fn(&[u8]) -> bool) -> Heard {
    let (mut bytes, mut piece) = (Vec::new(), [0; 4_096]);
    let end = loop {
        if is_whole(&bytes) {
            break End::Whole;
        }
        match stream.read(&mut piece) {
            Ok(0) => break End::Closed,
            Ok(count) => bytes.extend_from_slice(&piece[..count]),
            Err(why) if why.kind() == io::ErrorKind::Interrupted => {}
            Err(why) if matches!(why.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                break End::Silent;
            }
            Err(why) => break End::Broken(why.kind()),
        }
    };
    Heard { bytes, end }
}

/// Sends the pieces, each in a segment of its own, half-closes and reads to the end.
pub fn say(address: SocketAddr, pieces: &[Vec<u8>]) -> Heard {
    let said = || {
        let mut stream = connect(address)?;
        for (index, piece) in pieces.iter().enumerate() {
            if index > 0 && pieces.len() > 2 {
                // So that they are not one segment on the way; any time is right.
                std::thread::sleep(Duration::from_millis(5));
            }
            // Whoever closes before all is sent may have answered.
            if stream.write_all(piece).is_err() {
                break;
            }
        }
        let _ = stream.shutdown(Shutdown::Write);
        Ok(hear(&mut stream, |_| false))
    };
    said().unwrap_or_else(|why: io::Error| Heard { bytes: Vec::new(), end: End::Broken(why.kind()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_tells_what_was_sent_expected_and_got() {
        let failure = Failure {
            about: "IAMAT".into(),
            sent: shown(b"IAMAT a +1+1 1\n"),
            expected: "AT".into(),
            got: Heard { bytes: b"?".to_vec(), end: End::Silent }.to_string(),
        };
        let text = "  IAMAT\n    sent      IAMAT a +1+1 1\\n\n    expected  AT\n    got       ?, and then nothing for 10 s";
        assert_eq!(failure.to_string(), text);
        for (bytes, end, expected) in [
            (&b""[..], End::Closed, "nothing: the connection was closed"),
            (b"", End::Silent, "nothing for 10 s"),
            (b"? x\n", End::Closed, "? x\\n"),
            (b"", End::Broken(io::ErrorKind::ConnectionReset), "nothing: connection reset"),
            (b"AT", End::Broken(io::ErrorKind::ConnectionReset), "AT, and then connection reset"),
        ] {
            assert_eq!(Heard { bytes: bytes.to_vec(), end }.to_string(), expected);
        }
    }

    #[test]
    fn who_hangs_is_not_asked_for_ever() {
        let mut tally = Tally::default();
        (0..HANGS_MAX).for_each(|_| {
            assert!(!tally.is_hopeless());
            tally.hung();
        });
        tally.unasked = 7;
        assert!(tally.is_hopeless() && !tally.is_clean());
        assert!(tally.to_string().contains("7 more cases were not asked"), "{tally}");
    }
}
