//! A places provider on loopback that does as it is told, also badly: [`Act`] is what it does with
//! a request. Used in this process and behind real servers.

use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use socket2::{Domain, SockRef, Socket, Type};

/// Nothing that works takes this long.
pub const HANG: Duration = Duration::from_secs(20);

/// What the stand-in does with one request.
#[derive(Clone, Debug)]
pub enum Act {
    Reply(u16, Vec<u8>),
    /// A reply that waits for [`StandIn::release`], or is never sent.
    Held(u16, Vec<u8>),
    /// A redirect to this URL.
    Redirect(String),
    /// Promises this many bytes more than it sends, then closes.
    Truncated(Vec<u8>, usize),
    /// Says 200 and sends this many spaces, in chunks, so that no length is announced.
    Huge(usize),
    /// Says 200 and then a byte now and then until the peer has had enough.
    Trickle,
    /// Closes without a word.
    Close,
    /// Closes with a reset.
    Reset,
    /// Says something that is no HTTP.
    Gibberish,
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Seen {
    /// The header's value, or nothing.
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(found, _)| found.eq_ignore_ascii_case(name));
        found.map_or("", |(_, value)| value)
    }
}

/// Dropping it closes the listener and lets go of held requests.
pub struct StandIn {
    address: SocketAddr,
    shared: Arc<Shared>,
    go: Option<Sender<()>>,
}

struct Shared {
    closed: AtomicBool,
    /// What is done with the next requests, and with all after them.
    acts: Mutex<(VecDeque<Act>, Act)>,
    seen: Mutex<Vec<Seen>>,
    seen_one: (Sender<()>, Receiver<()>),
    held: Receiver<()>,
}

impl StandIn {
    /// Listens, and does `always` with each request.
    pub fn start(always: Act) -> StandIn {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let (go, held) = bounded(64);
        let shared = Arc::new(Shared {
            closed: AtomicBool::new(false),
            acts: Mutex::new((VecDeque::new(), always)),
            seen: Mutex::default(),
            seen_one: bounded(64),
            held,
        });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.closed.load(Ordering::SeqCst) {
                    return;
                }
                let (serving, stream) = (serving.clone(), stream.unwrap());
                thread::spawn(move || serving.serve(stream));
            }
        });
        StandIn { address, shared, go: Some(go) }
    }

    /// The URL of a path, which begins with `/`.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Does this with the next request, and what was said before with those after it.
    pub fn next(&self, act: Act) {
        self.shared.acts.lock().unwrap().0.push_back(act);
    }

    /// Does this with every request from now on.
    pub fn always(&self, act: Act) {
        *self.shared.acts.lock().unwrap() = (VecDeque::new(), act);
    }

    /// Sends one held reply.
    pub fn release(&self) {
        self.go.as_ref().unwrap().send(()).unwrap();
    }

    /// All requests so far.
    pub fn seen(&self) -> Vec<Seen> {
        self.shared.seen.lock().unwrap().clone()
    }

    /// Waits until another request was read since the last wait.
    pub fn wait_for_request(&self) {
        self.shared.seen_one.1.recv_timeout(HANG).expect("the stand-in was not asked");
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.go = None;
        let _ = TcpStream::connect(self.address); // wakes the accepting thread
    }
}

/// An address that refuses connections for as long as this lives.
pub struct Refusing {
    /// Bound but not listening, so nobody else gets the port.
    socket: Socket,
}

impl Refusing {
    pub fn new() -> Refusing {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).unwrap();
        Refusing { socket }
    }

    pub fn url(&self) -> String {
        let address = self.socket.local_addr().unwrap().as_socket().unwrap();
        format!("http://{address}/")
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        let mut requests = BufReader::new(stream);
        while let Ok(Some(seen)) = read_request(&mut requests) {
            self.seen.lock().unwrap().push(seen);
            let act = {
                let mut acts = self.acts.lock().unwrap();
                acts.0.pop_front().unwrap_or_else(|| acts.1.clone())
            };
            let _ = self.seen_one.0.try_send(()); // full: whoever waits is told already
            // A peer that hangs up early is what some of the tests are about.
            if !self.act(act, requests.get_mut()).unwrap_or(false) {
                return;
            }
        }
    }

    /// Says whether the connection can take another request.
    fn act(&self, act: Act, stream: &mut TcpStream) -> io::Result<bool> {
        match act {
            Act::Reply(code, body) => reply(stream, code, "", &body, body.len())?,
            Act::Held(code, body) => {
                if self.held.recv().is_err() {
                    return Ok(false);
                }
                reply(stream, code, "", &body, body.len())?;
            }
            Act::Redirect(url) => reply(stream, 302, &format!("Location: {url}\r\n"), b"", 0)?,
            Act::Truncated(body, missing) => {
                reply(stream, 200, "", &body, body.len() + missing)?;
                return Ok(false);
            }
            Act::Huge(bytes) => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                let chunk = [&b"1000\r\n"[..], &[b' '; 4096], b"\r\n"].concat();
                for _ in 0..bytes.div_ceil(4096) {
                    stream.write_all(&chunk)?;
                }
                stream.write_all(b"0\r\n\r\n")?;
            }
            Act::Trickle => {
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n{")?;
                while !self.closed.load(Ordering::SeqCst) {
                    stream.write_all(b" ")?;
                    thread::sleep(Duration::from_millis(20));
                }
                return Ok(false);
            }
            Act::Close => return Ok(false),
            Act::Reset => {
                SockRef::from(&*stream).set_linger(Some(Duration::ZERO))?;
                return Ok(false);
            }
            Act::Gibberish => {
                stream.write_all(b"220 mail.example ESMTP\r\n\r\n")?;
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn reply(stream: &mut TcpStream, code: u16, headers: &str, body: &[u8], length: usize) -> io::Result<()> {
    let head = format!("HTTP/1.1 {code} Told\r\nContent-Length: {length}\r\n{headers}\r\n");
    stream.write_all(&[head.as_bytes(), body].concat())
}

fn read_request(stream: &mut impl BufRead) -> io::Result<Option<Seen>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut words = line.split_whitespace();
    let method = words.next().unwrap_or_default().to_string();
    let target = words.next().unwrap_or_default().to_string();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_string(), value.trim().to_string()));
    }
    let mut seen = Seen { method, target, headers, body: String::new() };
    let length = seen.header("Content-Length").parse().unwrap_or(0);
    stream.take(length).read_to_string(&mut seen.body)?;
    Ok(Some(seen))
}
