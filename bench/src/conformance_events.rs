//! What a server that tells what happens must do before that is measured: who is there comes first, and then what is
//! reported, in herd's words.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use memchr::memmem;

use crate::conformance::HANG;
use crate::watch::PATH;

/// A stream as it is read.
struct Stream {
    socket: TcpStream,
    got: Vec<u8>,
}

impl Stream {
    fn open(address: SocketAddr) -> Result<Stream, String> {
        let mut socket = connect(address)?;
        let request = format!("GET {PATH} HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n");
        socket.write_all(request.as_bytes()).map_err(|why| why.to_string())?;
        let mut stream = Stream { socket, got: Vec::new() };
        let head = stream.wait_for("\r\n\r\n")?.to_ascii_lowercase();
        let is_stream = head.starts_with("http/1.1 200 ") && head.contains("content-type: text/event-stream");
        if is_stream { Ok(stream) } else { Err(format!("{PATH} is answered {head:?}")) }
    }

    /// Reads until a text came; what came up to its end is taken, and returned.
    fn wait_for(&mut self, text: &str) -> Result<String, String> {
        let mut buffer = [0; 4_096];
        loop {
            if let Some(at) = memmem::find(&self.got, text.as_bytes()) {
                let taken: Vec<u8> = self.got.drain(..at + text.len()).collect();
                return Ok(String::from_utf8_lossy(&taken).into_owned());
            }
            let had = || format!("no {text:?} in {}", self.got.escape_ascii());
            match self.socket.read(&mut buffer) {
                Ok(0) => return Err(format!("{}; the stream ended", had())),
                Ok(count) => self.got.extend_from_slice(&buffer[..count]),
                Err(why) => return Err(format!("{}; {why}", had())),
            }
        }
    }

    /// Waits for a position of a client; the seconds since 1970 when it was heard are any.
    fn wait_for_position(&mut self, id: &str, at: &str, time: &str) -> Result<String, String> {
        let data = format!(
            "event: position\ndata: {{\"id\":\"{id}\",{at},\"time\":\"{time}\",\"server\":\"Goloman\",\"received\":"
        );
        let before = self.wait_for(&data)?;
        let received = self.wait_for("}\n\n")?;
        let digits = received.trim_end_matches("}\n\n");
        match !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
            true => Ok(before),
            false => Err(format!("{data}{received:?} has no seconds")),
        }
    }
}

fn connect(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).map_err(|why| why.to_string())?;
    stream.set_read_timeout(Some(HANG)).map_err(|why| why.to_string())?;
    Ok(stream)
}

/// Sends a body, and waits for an answer that is no refusal.
fn send(address: SocketAddr, request: &str, body: &str) -> Result<(), String> {
    let mut socket = connect(address)?;
    let length = body.len();
    let text = format!("{request} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}");
    socket.write_all(text.as_bytes()).map_err(|why| why.to_string())?;
    let mut status = [0; 10];
    socket.read_exact(&mut status).map_err(|why| format!("{request}: {why}"))?;
    match &status {
        b"HTTP/1.1 2" => Ok(()),
        other => Err(format!("{request} is answered {}", other.escape_ascii())),
    }
}

fn report(address: SocketAddr, id: &str, time: u32) -> Result<(), String> {
    let body = format!("{{\"lat\":34.068930,\"lon\":-118.4450,\"time\":{time}}}");
    send(address, &format!("PUT /v1/clients/{id}"), &body)
}

/// Where `report` says that a client is, with its digits.
const AT: &str = "\"lat\":34.068930,\"lon\":-118.4450";

/// Runs the cases against a server named Goloman; returns how many there were.
///
/// # Errors
/// The first case that failed, with what came instead.
pub fn run(address: SocketAddr) -> Result<usize, String> {
    let case = |about: &str, found: Result<(), String>| found.map_err(|why| format!("{about}: {why}"));
    report(address, "there", 5)?;
    let mut streams = [Stream::open(address)?, Stream::open(address)?];
    for stream in &mut streams {
        let snapshot = || {
            stream.wait_for("event: snapshot\ndata: {\"server\":\"Goloman\"}\n\n")?;
            stream.wait_for_position("there", AT, "5")?;
            stream.wait_for("event: caught-up\ndata: {}\n\n").map(drop)
        };
        case("who is there comes first", { snapshot }())?;
    }
    report(address, "new", 1)?;
    for stream in &mut streams {
        case("what is reported is told to all", stream.wait_for_position("new", AT, "1").map(drop))?;
    }
    report(address, "new", 7)?;
    for stream in &mut streams {
        case("what is newer is told", stream.wait_for_position("new", AT, "7").map(drop))?;
    }
    // It is no news.
    report(address, "new", 3)?;
    report(address, "last", 1)?;
    for stream in &mut streams {
        let before = stream.wait_for_position("last", AT, "1")?;
        let is_untold = !before.contains("\"new\"");
        case("what is older is not told", is_untold.then_some(()).ok_or(before))?;
    }
    Ok(4)
}

/// Sees that what is posted comes to who subscribes.
///
/// # Errors
/// It does not.
pub fn passes_on(address: SocketAddr) -> Result<(), String> {
    let mut stream = Stream::open(address)?;
    for text in ["{\"id\":\"one\"}", "{\"id\":\"two\"}"] {
        send(address, "POST /publish", text)?;
        stream.wait_for(&format!("data: {text}\n"))?;
    }
    Ok(())
}
