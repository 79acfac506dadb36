//! The best tokio we can write: a task a connection reads what is there, answers all of it, and
//! sends the replies in one write.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use herd::node::News;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use variants::asynchronous::{self, Server};
use variants::{Herd, Outcome, is_too_long, too_long};

fn main() -> ExitCode {
    let herd = match Herd::from_args() {
        Ok(herd) => herd,
        Err(status) => return status,
    };
    let built = Builder::new_multi_thread().enable_all().build();
    match built.and_then(|runtime| runtime.block_on(asynchronous::run(herd, serve))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(server: Arc<Server>, mut stream: TcpStream) -> io::Result<()> {
    let peer = server.herd.peer(stream.peer_addr()?.ip());
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
                server.flood(&mut news);
                stream.write_all(&out).await?;
                return close(stream).await;
            }
            if end.is_none() && (!is_end || text.is_empty()) {
                break;
            }
            done += text.len() + usize::from(end.is_some());
            let outcome = server.herd.answer(text, end.is_some(), peer, &mut out, &mut news);
            if let Outcome::Nearby(nearby) = outcome {
                server.flood(&mut news);
                stream.write_all(&out).await?;
                out = server.nearby(nearby).await;
            }
        }
        server.flood(&mut news);
        stream.write_all(&out).await?;
        out.clear();
        input.drain(..done);
        if is_end {
            return Ok(());
        }
    }
}

/// Takes what the peer still sends, so that closing does not reset the reply away.
async fn close(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let wait = std::time::Duration::from_secs(2);
    let _ = tokio::time::timeout(wait, tokio::io::copy(&mut stream, &mut tokio::io::sink())).await;
    Ok(())
}
