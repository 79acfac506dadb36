//! The places provider of a comparison: HTTP on loopback, the same answer after the same delay to
//! everybody.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// What it answers: five results in the layout of the original service.
pub const ANSWER: &str = include_str!("stand_in.json");

/// Serves until the process ends.
///
/// # Errors
/// There is no port to be had.
pub fn start(delay: Duration) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let builder = std::thread::Builder::new().stack_size(128 * 1_024);
            let _ = builder.spawn(move || serve(&stream, delay));
        }
    });
    Ok(address)
}

fn serve(mut stream: &TcpStream, delay: Duration) -> Option<()> {
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut line = String::new();
    let length = ANSWER.len();
    let reply = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n{ANSWER}"
    );
    loop {
        line.clear();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        // An empty line ends the head of a request; a GET has no body.
        if line == "\r\n" {
            std::thread::sleep(delay);
            stream.write_all(reply.as_bytes()).ok()?;
        }
    }
}
