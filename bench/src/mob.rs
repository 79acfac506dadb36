//! Clients that mean no good, one thread of them: for the workload that asks whether the others
//! notice. Bounded in what they do a second, so that what is measured is the server and not the
//! processor time they take from it.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::connection::dial;

/// Connections that hold half a command.
const HALF: usize = 10_000;
/// Connections that send a byte a second.
const SLOW: usize = 100;
/// Connections that send commands and never read a reply.
const DEAF: usize = 20;
/// Connections a second that are made and reset at once.
const RESETS_PER_SECOND: u32 = 500;
/// Connections a second that send a line without end, and as many that send noise.
const NOISES_PER_SECOND: u32 = 50;

const TICKS_PER_SECOND: u32 = 50;
/// Longer than any line a server takes.
const ENDLESS: [u8; 16_384] = [b'x'; 16_384];

/// Runs until it is dropped.
pub struct Mob {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Mob {
    /// Returns when they are all there with their half commands, or as many as the server lets in.
    pub fn call(address: SocketAddr) -> Mob {
        let open = |count: usize| (0..count).map_while(|_| dial(address).ok()).collect::<Vec<_>>();
        let (half, slow, deaf) = (open(HALF), open(SLOW), open(DEAF));
        half.iter().for_each(|stream| tell(stream, b"IAMAT half"));
        let is_over = Arc::new(AtomicBool::new(false));
        let seen = is_over.clone();
        let thread = std::thread::spawn(move || {
            riot(address, &slow, deaf, &seen);
            drop(half);
        });
        Mob { is_over, thread: Some(thread) }
    }
}

impl Drop for Mob {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

/// What a server does to them, and whether it closes them, is its own affair.
fn riot(address: SocketAddr, slow: &[TcpStream], mut deaf: Vec<TcpStream>, is_over: &AtomicBool) {
    let reports = "IAMAT deaf +1+1 1\n".repeat(1_000);
    let mut noise = 0x9e37_79b9_7f4a_7c15_u64;
    for tick in 0.. {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        // Each slow one has its turn once a second.
        slow.iter()
            .skip((tick % TICKS_PER_SECOND) as usize)
            .step_by(TICKS_PER_SECOND as usize)
            .for_each(|stream| tell(stream, b"I"));
        for stream in &mut deaf {
            let closed = |why: std::io::Error| why.kind() != ErrorKind::WouldBlock;
            if (&*stream).write(reports.as_bytes()).is_err_and(closed)
                && let Ok(new) = dial(address)
            {
                *stream = new;
            }
        }
        for _ in 0..NOISES_PER_SECOND / TICKS_PER_SECOND {
            if let Ok(stream) = dial(address) {
                tell(&stream, &ENDLESS);
            }
            if let Ok(stream) = dial(address) {
                tell(&stream, &random_bytes(&mut noise));
                // Until it is told that it makes no sense, or not, for no longer than that.
                let _ = (&stream).read(&mut [0; 1_024]);
            }
        }
        for _ in 0..RESETS_PER_SECOND / TICKS_PER_SECOND {
            if let Ok(stream) = dial(address) {
                let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
            }
        }
        std::thread::sleep(Duration::from_secs(1) / TICKS_PER_SECOND);
    }
}

/// Sends what there is room for; an error is the server's answer to such a client.
fn tell(mut stream: &TcpStream, bytes: &[u8]) {
    let _ = stream.write(bytes);
}

/// Xorshift: the same noise in every run.
fn random_bytes(state: &mut u64) -> [u8; 1_024] {
    std::array::from_fn(|_| {
        *state ^= *state << 13;
        *state ^= *state >> 7;
        *state ^= *state << 17;
        *state as u8
    })
}
