//! tokio as its tutorials have it: a task a connection, lines by `AsyncBufReadExt`, a write a reply.
//! `--current-thread` runs the same on one thread.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;

use herd::node::News;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use variants::asynchronous::{self, Server};
use variants::{AT_LINE_MAX, Herd, Outcome, is_too_long, too_long};

fn main() -> ExitCode {
    let herd = match Herd::from_args() {
        Ok(herd) => herd,
        Err(status) => return status,
    };
    let one_thread = std::env::args().any(|argument| argument == "--current-thread");
    let mut builder = if one_thread { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    let ran =
        builder.enable_all().build().and_then(|runtime| runtime.block_on(asynchronous::run(herd, serve)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn serve(server: Arc<Server>, stream: TcpStream) -> io::Result<()> {
    let peer = server.herd.peer(stream.peer_addr()?.ip());
    let (reader, mut writer) = stream.into_split();
    let mut reader = BufReader::new(reader);
    let (mut line, mut out, mut news) = (Vec::new(), Vec::new(), News::default());
    loop {
        line.clear();
        out.clear();
        // One more than the longest line with its CRLF is enough to see that it is too long.
        (&mut reader).take(AT_LINE_MAX as u64 + 3).read_until(b'\n', &mut line).await?;
        let terminated = line.pop_if(|last| *last == b'\n').is_some();
        if is_too_long(&line, peer) {
            writer.write_all(&too_long(&line)).await?;
            return close(reader, writer).await;
        }
        if !terminated && line.is_empty() {
            return Ok(());
        }
        let outcome = server.herd.answer(&line, terminated, peer, &mut out, &mut news);
        server.flood(&mut news);
        match outcome {
            Outcome::Replied => writer.write_all(&out).await?,
            Outcome::Nearby(nearby) => writer.write_all(&server.nearby(nearby).await).await?,
        }
    }
}

/// Takes what the peer still sends, so that closing does not reset the reply away.
async fn close(
    mut reader: impl tokio::io::AsyncRead + Unpin,
    mut writer: impl tokio::io::AsyncWrite + Unpin,
) -> io::Result<()> {
    writer.shutdown().await?;
    let wait = std::time::Duration::from_secs(2);
    let _ = tokio::time::timeout(wait, tokio::io::copy(&mut reader, &mut tokio::io::sink())).await;
    Ok(())
}
