//! The best tokio we can write: a task a connection reads what is there, answers all of it, and sends the replies in
//! one write. `bin/tokio-batched.rs` keeps nothing; `bin/tokio-kept.rs` has herd's journal and log before that write.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use herd::node::News;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::asynchronous::Server;
use crate::{Outcome, is_too_long, too_long};

/// What is kept of news before a reply that tells of it is written, and what is logged.
pub trait Keeper: Send + Sync + 'static {
    type Log: Log;

    /// The log of one connection, which begins.
    fn log(&self, peer: SocketAddr) -> Self::Log;

    /// Keeps lines, each with its newline. They are left as they were.
    fn keep(&self, lines: &mut Vec<u8>) -> impl Future<Output = ()> + Send;
}

/// What is logged of a connection.
pub trait Log: Send {
    /// A line came in, and this went out.
    fn answered(&mut self, line: &[u8], reply: &[u8]);
    /// Hands on what was logged.
    fn commit(&mut self);
}

/// Keeps nothing, and logs nothing.
pub struct Nothing;

impl Keeper for Nothing {
    type Log = Nothing;

    fn log(&self, _: SocketAddr) -> Nothing {
        Nothing
    }

    async fn keep(&self, _: &mut Vec<u8>) {}
}

impl Log for Nothing {
    fn answered(&mut self, _: &[u8], _: &[u8]) {}

    fn commit(&mut self) {}
}

/// Serves one connection until it ends.
///
/// # Errors
/// It breaks.
pub async fn serve<K: Keeper>(server: Arc<Server>, keeper: Arc<K>, mut stream: TcpStream) -> io::Result<()> {
    let address = stream.peer_addr()?;
    let (peer, mut log) = (server.herd.peer(address.ip()), keeper.log(address));
    let (mut input, mut out, mut news) = (Vec::with_capacity(8_192), Vec::new(), News::default());
    loop {
        let is_end = stream.read_buf(&mut input).await? == 0;
        let mut done = 0;
        loop {
            let rest = &input[done..];
            let end = memchr::memchr(b'\n', rest);
            let text = &rest[..end.unwrap_or(rest.len())];
            if is_too_long(text, peer) {
                out.extend_from_slice(&too_long(text));
                leave(&server, &*keeper, &mut news, &mut log).await;
                stream.write_all(&out).await?;
                return close(stream).await;
            }
            if end.is_none() && (!is_end || text.is_empty()) {
                break;
            }
            done += text.len() + usize::from(end.is_some());
            let begin = out.len();
            let outcome = server.herd.answer(text, end.is_some(), peer, &mut out, &mut news);
            log.answered(text, &out[begin..]);
            if let Outcome::Nearby(nearby) = outcome {
                leave(&server, &*keeper, &mut news, &mut log).await;
                stream.write_all(&out).await?;
                out = server.nearby(nearby).await;
            }
        }
        leave(&server, &*keeper, &mut news, &mut log).await;
        stream.write_all(&out).await?;
        out.clear();
        input.drain(..done);
        if is_end {
            return Ok(());
        }
    }
}

/// News is kept, and goes to the neighbours, before anybody is told of it.
async fn leave<K: Keeper>(server: &Server, keeper: &K, news: &mut News, log: &mut K::Log) {
    if !news.is_empty() {
        keeper.keep(&mut news.lines).await;
        server.flood(news);
    }
    log.commit();
}

/// Takes what the peer still sends, so that closing does not reset the reply away.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let wait = std::time::Duration::from_secs(2);
    let _ = tokio::time::timeout(wait, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
    Ok(())
}
