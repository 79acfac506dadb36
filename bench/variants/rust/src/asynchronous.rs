//! What the tokio variants share: the start, the links to neighbours, the places. They differ in
//! the loop of a connection, which is in `bin/`.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use herd::node::News;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc};

use crate::{Herd, Nearby, QUEUE, places};

/// A running server, shared by the tasks of its connections.
pub struct Server {
    pub herd: Herd,
    http: reqwest::Client,
    links: Vec<Link>,
}

struct Link {
    queue: mpsc::Sender<Arc<[u8]>>,
    /// Told when the queue was full: the neighbour is to get the whole store.
    behind: Arc<Notify>,
}

/// Listens and gives every connection to a task of its own until SIGTERM.
///
/// # Errors
/// The address cannot be had.
pub async fn run<F: Future<Output = io::Result<()>> + Send + 'static>(
    herd: Herd,
    serve: impl Fn(Arc<Server>, TcpStream) -> F,
) -> io::Result<()> {
    let listener = listen(&herd.listen)?;
    let mut links = Vec::new();
    let mut ends = Vec::new();
    for neighbour in herd.neighbours.clone() {
        let (queue, news) = mpsc::channel(QUEUE);
        let behind = Arc::new(Notify::new());
        links.push(Link { queue, behind: behind.clone() });
        ends.push((neighbour, news, behind));
    }
    herd.ready(listener.local_addr()?);
    let http =
        reqwest::Client::builder().timeout(Duration::from_secs(5)).build().map_err(io::Error::other)?;
    let server = Arc::new(Server { herd, http, links });
    for (neighbour, news, behind) in ends {
        tokio::spawn(link(server.clone(), neighbour, news, behind));
    }
    let mut terminate = signal(SignalKind::terminate())?;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    stream.set_nodelay(true)?;
                    tokio::spawn(serve(server.clone(), stream));
                }
                // Out of descriptors: some will be closed.
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            },
            _ = terminate.recv() => return Ok(()),
        }
    }
}

/// A listener with a backlog as long as herd's.
///
/// # Errors
/// The address cannot be had.
pub fn listen(address: &str) -> io::Result<TcpListener> {
    let address = address.parse().map_err(io::Error::other)?;
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(4_096)
}

impl Server {
    /// Puts news on its way to every neighbour.
    pub fn flood(&self, news: &mut News) {
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
                link.behind.notify_one();
            }
        }
    }

    /// The whole reply to a WHATSAT.
    pub async fn nearby(&self, nearby: Nearby) -> Vec<u8> {
        let Nearby { mut line, lookup } = nearby;
        let json = match self.herd.places.url(&lookup) {
            Some(url) => {
                places::json(self.get(&url).await.map_err(|why| why.without_url().to_string()), lookup.bound)
            }
            None => places::nothing(),
        };
        line.extend_from_slice(&json);
        line.extend_from_slice(b"\n\n");
        line
    }

    async fn get(&self, url: &str) -> reqwest::Result<String> {
        self.http.get(url).send().await?.error_for_status()?.text().await
    }
}

/// Keeps a neighbour connected; on every connection it gets the store, then the news.
async fn link(
    server: Arc<Server>,
    neighbour: String,
    mut news: mpsc::Receiver<Arc<[u8]>>,
    behind: Arc<Notify>,
) {
    let mut rest = Duration::from_millis(100);
    loop {
        if let Ok(mut stream) = TcpStream::connect(&neighbour).await {
            rest = Duration::from_millis(100);
            // It ends when the neighbour does.
            let _ = tell(&server, &mut stream, &mut news, &behind).await;
        }
        tokio::time::sleep(rest).await;
        rest = (rest * 2).min(Duration::from_secs(2));
    }
}

async fn tell(
    server: &Server,
    stream: &mut TcpStream,
    news: &mut mpsc::Receiver<Arc<[u8]>>,
    behind: &Notify,
) -> io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(&server.herd.store()).await?;
    let mut batch = Vec::new();
    loop {
        let mut byte = [0];
        tokio::select! {
            _ = news.recv_many(&mut batch, QUEUE) => {
                stream.write_all(&batch.concat()).await?;
                batch.clear();
            }
            () = behind.notified() => stream.write_all(&server.herd.store()).await?,
            closed = stream.peek(&mut byte) => {
                closed?;
                return Ok(());
            }
        }
    }
}
