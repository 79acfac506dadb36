//! What the variants on blocking sockets share: the loop of a connection, the links to neighbours,
//! the places. They differ in which thread has a connection, which is in `bin/`.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, bounded};
use herd::node::News;
use socket2::{Domain, Socket, Type};

use crate::{AT_LINE_MAX, Herd, Nearby, Outcome, QUEUE, is_too_long, places, too_long};

/// A running server, shared by the threads of its connections.
pub struct Server {
    herd: Herd,
    http: ureq::Agent,
    links: Vec<Link>,
}

struct Link {
    queue: Sender<Arc<[u8]>>,
    /// The queue was full: the neighbour is to get the whole store.
    behind: Arc<AtomicBool>,
}

/// Listens, starts the links, and gives every connection to `take` for as long as there are any.
///
/// # Errors
/// The address cannot be had.
pub fn run(herd: Herd, mut take: impl FnMut(&Arc<Server>, TcpStream)) -> io::Result<()> {
    let listener = listen(&herd.listen)?;
    herd.ready(listener.local_addr()?);
    let mut links = Vec::new();
    let mut ends = Vec::new();
    for neighbour in herd.neighbours.clone() {
        let (queue, news) = bounded(QUEUE); // full: the neighbour is behind
        let behind = Arc::new(AtomicBool::new(false));
        links.push(Link { queue, behind: behind.clone() });
        ends.push((neighbour, news, behind));
    }
    let config = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5)));
    let server = Arc::new(Server { herd, http: config.build().into(), links });
    for (neighbour, news, behind) in ends {
        let server = server.clone();
        std::thread::spawn(move || link(&server, &neighbour, &news, &behind));
    }
    for stream in listener.incoming() {
        match stream {
            Ok(stream) => take(&server, stream),
            // Out of descriptors: some will be closed.
            Err(_) => std::thread::sleep(Duration::from_millis(50)),
        }
    }
    Ok(())
}

/// Listens with a backlog that a burst of thousands of connections fits in.
///
/// # Errors
/// The address is none, or cannot be had.
pub fn listen(address: &str) -> io::Result<TcpListener> {
    let address: std::net::SocketAddr = address.parse().map_err(io::Error::other)?;
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(4_096)?;
    Ok(socket.into())
}

impl Server {
    /// Answers a connection until it ends.
    ///
    /// # Errors
    /// It broke.
    pub fn serve(&self, stream: TcpStream) -> io::Result<()> {
        stream.set_nodelay(true)?;
        let peer = self.herd.peer(stream.peer_addr()?.ip());
        let (mut writer, mut reader) = (&stream, BufReader::new(&stream));
        let (mut line, mut out, mut news) = (Vec::new(), Vec::new(), News::default());
        loop {
            line.clear();
            out.clear();
            // One more than the longest line with its CRLF is enough to see that it is too long.
            (&mut reader).take(AT_LINE_MAX as u64 + 3).read_until(b'\n', &mut line)?;
            let terminated = line.pop_if(|last| *last == b'\n').is_some();
            if is_too_long(&line, peer) {
                writer.write_all(&too_long(&line))?;
                return close(&stream);
            }
            if !terminated && line.is_empty() {
                return Ok(());
            }
            let outcome = self.herd.answer(&line, terminated, peer, &mut out, &mut news);
            self.flood(&mut news);
            match outcome {
                Outcome::Replied => writer.write_all(&out)?,
                Outcome::Nearby(nearby) => writer.write_all(&self.nearby(nearby))?,
            }
        }
    }

    fn flood(&self, news: &mut News) {
        if news.items.is_empty() {
            return;
        }
        if !self.links.is_empty() {
            self.tell_all(news.lines.as_slice().into());
        }
        news.lines.clear();
        news.items.clear();
    }

    fn tell_all(&self, lines: Arc<[u8]>) {
        for link in &self.links {
            if link.queue.try_send(lines.clone()).is_err() {
                link.behind.store(true, Ordering::SeqCst);
            }
        }
    }

    fn nearby(&self, nearby: Nearby) -> Vec<u8> {
        let Nearby { mut line, lookup } = nearby;
        let json = match self.herd.places.url(&lookup) {
            Some(url) => places::json(self.get(&url), lookup.bound),
            None => places::nothing(),
        };
        line.extend_from_slice(&json);
        line.extend_from_slice(b"\n\n");
        line
    }

    fn get(&self, url: &str) -> Result<String, String> {
        // The error may hold the URL and so the key, which is nobody's business.
        let answer = self.http.get(url).call().and_then(|mut answer| answer.body_mut().read_to_string());
        answer.map_err(|_| "the provider does not answer".to_owned())
    }
}

/// Takes what the peer still sends, so that closing does not reset the reply away.
fn close(mut stream: &TcpStream) -> io::Result<()> {
    stream.shutdown(Shutdown::Write)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    let _ = io::copy(&mut stream, &mut io::sink());
    Ok(())
}

/// Keeps a neighbour connected; on every connection it gets the store, then the news.
fn link(server: &Server, neighbour: &str, news: &Receiver<Arc<[u8]>>, behind: &AtomicBool) {
    let mut rest = Duration::from_millis(100);
    loop {
        if let Ok(mut stream) = TcpStream::connect(neighbour) {
            rest = Duration::from_millis(100);
            // It ends when the neighbour does.
            let _ = tell(server, &mut stream, news, behind);
        }
        std::thread::sleep(rest);
        rest = (rest * 2).min(Duration::from_secs(2));
    }
}

fn tell(
    server: &Server,
    stream: &mut TcpStream,
    news: &Receiver<Arc<[u8]>>,
    behind: &AtomicBool,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(&server.herd.store())?;
    loop {
        match news.recv_timeout(Duration::from_millis(500)) {
            Ok(first) => {
                let mut batch = first.to_vec();
                news.try_iter().for_each(|lines| batch.extend_from_slice(&lines));
                stream.write_all(&batch)?;
            }
            // Nothing to say: see whether there is still somebody to say it to.
            Err(_) => {
                stream.set_nonblocking(true)?;
                let said = stream.read(&mut [0]);
                stream.set_nonblocking(false)?;
                match said {
                    Err(why) if why.kind() == io::ErrorKind::WouldBlock => {}
                    Err(why) => return Err(why),
                    Ok(_) => return Ok(()),
                }
            }
        }
        if behind.swap(false, Ordering::SeqCst) {
            stream.write_all(&server.herd.store())?;
        }
    }
}
