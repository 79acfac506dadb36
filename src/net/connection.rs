//! One connection between turns: its stream, what is unsent, and how it ends. A worker's room owns it, thousands of
//! them: it holds a buffer only while something is unsent. What is said on it is its door's.

use std::io;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use super::poller::Interest;
use super::stream::{Stream, is_retry};
use crate::clock::Stamp;
use crate::limits::{LEFT_PATIENCES, SEND_PIECE_BYTES};

/// A connection. Times are since the start of the process's clock.
pub struct Connection<S> {
    pub stream: S,
    /// The peer has shut its sending side; what it sent is still answered.
    pub eof: bool,
    /// What it is watched for.
    pub watched: Interest,
    /// When the socket last took replies, or first took none.
    taken: Stamp,
    /// None while there are none.
    output: Option<Box<Output>>,
    lingers: Option<Box<Lingers>>,
}

/// Replies that the socket did not take; `sent` bytes of them are gone.
struct Output {
    bytes: Bytes,
    sent: usize,
}

enum Bytes {
    Own(Vec<u8>),
    /// Others are told the same.
    Shared(Arc<[u8]>),
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl Output {
    /// Keeps no more of what is shared than twice what is left: the others may be done with it.
    fn let_go(&mut self) {
        if let Bytes::Shared(bytes) = &self.bytes
            && 2 * self.sent >= bytes.len()
        {
            let own = bytes[self.sent..].to_vec();
            (self.bytes, self.sent) = (Bytes::Own(own), 0);
        }
    }

    /// Adds further ones.
    fn push(&mut self, replies: &[u8]) {
        match &mut self.bytes {
            Bytes::Own(bytes) => bytes.extend_from_slice(replies),
            Bytes::Shared(bytes) => {
                let own = [&bytes[self.sent..], replies].concat();
                (self.bytes, self.sent) = (Bytes::Own(own), 0);
            }
        }
    }
}

/// Until when, and why, the peer's last bytes are read and dropped, so that no reset overtakes a reply.
struct Lingers {
    until: Duration,
    why: &'static str,
}

impl<S: Stream> Connection<S> {
    pub fn new(stream: S, now: Duration) -> Connection<S> {
        Connection {
            stream,
            eof: false,
            watched: Interest::Nothing,
            taken: now.into(),
            output: None,
            lingers: None,
        }
    }

    /// Bytes that wait for room in the socket.
    pub fn unsent(&self) -> usize {
        let unsent = self.output.as_ref().map_or(0, |output| output.bytes.len() - output.sent);
        unsent + self.stream.unsent()
    }

    /// When the socket last took replies.
    pub fn taken(&self) -> Duration {
        self.taken.up()
    }

    /// Reads what is there. What the stream itself has to say to that may be unsent then.
    pub fn read(&mut self, buffer: &mut [u8], now: Duration) -> io::Result<usize> {
        let had_unsent = self.unsent() > 0;
        let read = self.stream.read_now(buffer);
        if !had_unsent && self.unsent() > 0 {
            self.taken = now.into();
        }
        read
    }

    /// Sends replies behind those unsent; what the socket does not take at once is kept.
    pub fn send(&mut self, replies: &[u8], now: Duration) -> io::Result<()> {
        if self.unsent() > 0 {
            self.keep(replies);
            return Ok(());
        }
        let taken = self.write(replies, now)?;
        if taken < replies.len() {
            self.keep(&replies[taken..]);
        }
        Ok(())
    }

    /// The same of what others are sent, too: what is kept of it is not copied.
    pub fn send_shared(&mut self, bytes: &Arc<[u8]>, now: Duration) -> io::Result<()> {
        if self.unsent() > 0 {
            self.keep(bytes);
            return Ok(());
        }
        let sent = self.write(bytes, now)?;
        if sent < bytes.len() {
            let mut output = Box::new(Output { bytes: Bytes::Shared(bytes.clone()), sent });
            output.let_go();
            self.output = Some(output);
        }
        Ok(())
    }

    /// How many bytes the socket takes at once.
    fn write(&mut self, bytes: &[u8], now: Duration) -> io::Result<usize> {
        let taken = match self.stream.write_apart(bytes) {
            Ok(taken) => taken,
            Err(why) if is_retry(&why) => 0,
            Err(why) => return Err(why),
        };
        self.taken = now.into();
        Ok(taken)
    }

    fn keep(&mut self, replies: &[u8]) {
        let none = || Box::new(Output { bytes: Bytes::Own(Vec::new()), sent: 0 });
        self.output.get_or_insert_with(none).push(replies);
    }

    /// Sends more of what is unsent, now that there may be room: piece by piece, so that what the peer takes shows as
    /// soon as it is as much as one. The system itself reports room only when there is much.
    pub fn send_rest(&mut self, now: Duration) -> io::Result<()> {
        while self.unsent() > 0 {
            let written = match &mut self.output {
                Some(output) if self.stream.unsent() == 0 => {
                    let end = output.bytes.len().min(output.sent + SEND_PIECE_BYTES);
                    self.stream.write_apart(&output.bytes[output.sent..end]).map(|taken| output.sent += taken)
                }
                // What the stream itself holds was said before.
                _ => self.stream.write_rest().map(|_| ()),
            };
            match written {
                Ok(()) => self.taken = now.into(),
                Err(why) if is_retry(&why) => {
                    self.output.iter_mut().for_each(|output| output.let_go());
                    return Ok(());
                }
                Err(why) => return Err(why),
            }
        }
        self.output = None;
        Ok(())
    }

    /// All is sent: tells the peer so and drops what it still sends, for a while.
    pub fn linger(&mut self, why: &'static str, until: Duration) {
        // The peer may be gone already, which the next event will tell.
        let _ = self.stream.finish();
        self.lingers = Some(Box::new(Lingers { until, why }));
    }

    /// It is about to be closed: what is unsent is dropped here and in the system, and what the system has of a whole
    /// reply is the peer's for as long as it takes some of it. `patience` is how long it may take nothing.
    pub fn leave(&mut self, patience: Duration) {
        if self.unsent() > 0 {
            self.stream.abandon();
        } else {
            self.stream.give_up_after(patience * LEFT_PATIENCES);
        }
    }

    /// Until when it lingers, and why it ends; None while it does not.
    pub fn lingers(&self) -> Option<(Duration, &'static str)> {
        self.lingers.as_ref().map(|lingers| (lingers.until, lingers.why))
    }

    /// What to watch it for; `reads` says whether its door takes more.
    pub fn interest(&self, reads: bool) -> Interest {
        if self.unsent() > 0 {
            Interest::Writable
        } else if (reads || self.lingers.is_some()) && !self.eof {
            Interest::Readable
        } else {
            Interest::Nothing
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    /// A socket with room for so many bytes.
    struct Room(AtomicUsize);

    impl Stream for Room {
        fn read_now(&self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::ErrorKind::WouldBlock.into())
        }

        fn write_now(&self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0.load(Ordering::Relaxed));
            self.0.fetch_sub(taken, Ordering::Relaxed);
            if taken == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(taken) }
        }

        fn write_apart(&self, bytes: &[u8]) -> io::Result<usize> {
            self.write_now(bytes)
        }

        fn finish(&self) -> io::Result<()> {
            Ok(())
        }

        fn abandon(&self) {}

        fn give_up_after(&self, _: Duration) {}

        fn keep_alive(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_connection_owns_a_buffer_only_while_something_is_unsent() {
        let room = Room(AtomicUsize::new(10));
        let mut connection = Connection::new(room, Duration::ZERO);
        connection.send(b"AT Goloman", Duration::ZERO).expect("sent");
        assert!(connection.unsent() == 0 && connection.output.is_none());
        connection.stream.0.store(4, Ordering::Relaxed);
        connection.send(b"AT Goloman", Duration::ZERO).expect("sent");
        connection.send_rest(Duration::ZERO).expect("sent");
        assert!(connection.unsent() == 6 && connection.output.is_some());
        connection.stream.0.store(6, Ordering::Relaxed);
        connection.send_rest(Duration::ZERO).expect("sent");
        assert!(connection.unsent() == 0 && connection.output.is_none());
    }

    #[test]
    fn what_is_shared_is_not_copied_until_half_of_it_is_sent_or_something_comes_behind_it() {
        let mut connection = Connection::new(Room(AtomicUsize::new(4)), Duration::ZERO);
        let shared: Arc<[u8]> = b"0123456789".as_slice().into();
        connection.send_shared(&shared, Duration::ZERO).expect("sent");
        assert_eq!((connection.unsent(), Arc::strong_count(&shared)), (6, 2));
        connection.stream.0.store(2, Ordering::Relaxed);
        connection.send_rest(Duration::ZERO).expect("sent");
        assert_eq!((connection.unsent(), Arc::strong_count(&shared)), (4, 1));
        connection.send_rest(Duration::ZERO).expect("nothing is sent");
        connection.send(b"ab", Duration::ZERO).expect("kept");
        connection.send_shared(&shared, Duration::ZERO).expect("kept");
        let rest = connection.output.as_ref().map(|output| output.bytes[output.sent..].to_vec());
        assert_eq!(rest.as_deref(), Some(b"6789ab0123456789".as_slice()));
        assert_eq!(Arc::strong_count(&shared), 1);
        connection.stream.0.store(16, Ordering::Relaxed);
        connection.send_rest(Duration::ZERO).expect("sent");
        assert!(connection.output.is_none());
        connection.send_shared(&shared, Duration::ZERO).expect("kept");
        assert_eq!(Arc::strong_count(&shared), 2);
        connection.send(b"ab", Duration::ZERO).expect("kept");
        assert_eq!((connection.unsent(), Arc::strong_count(&shared)), (12, 1));
    }
}
