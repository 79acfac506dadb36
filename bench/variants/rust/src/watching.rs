//! What those who watch are sent by axum: Server-Sent Events in herd's words, through a broadcast channel of tokio. Each
//! position is written once, and its bytes are shared by all who watch. Either each goes out as it is learned, or the
//! newest of each client are sent together every so often, as herd does.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use herd::node::Node;
use herd::protocol::Record;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::broadcast::{self, Receiver, Sender};

/// What a receiver may be behind before it is told that it has missed something: positions, or batches.
const POSITIONS_KEPT: usize = 16_384;
const BATCHES_KEPT: usize = 128;

/// Positions that wait are sent as one piece up to about this size.
const PIECE_BYTES: usize = 16 * 1_024;

pub struct Feed {
    sender: Sender<Bytes>,
    /// The newest of each client since the last batch, by its ID; None where nothing is batched.
    batch: Option<Mutex<HashMap<Vec<u8>, Vec<u8>>>>,
}

impl Feed {
    /// `every` is the time between two batches, which the caller sends.
    pub fn new(every: Option<Duration>) -> Feed {
        let kept = if every.is_some() { BATCHES_KEPT } else { POSITIONS_KEPT };
        Feed { sender: broadcast::channel(kept).0, batch: every.map(|_| Mutex::default()) }
    }

    /// Tells of a record that is news.
    pub fn tell(&self, record: &Record<&[u8]>) {
        if self.sender.receiver_count() == 0 {
            return;
        }
        let mut event = Vec::with_capacity(256);
        write(record, &mut event);
        match self.batch() {
            Some(mut batch) => drop(batch.insert(record.client().to_vec(), event)),
            // It fails when the last of them has just gone.
            None => drop(self.sender.send(event.into())),
        }
    }

    /// Sends what has come since this was last called.
    pub fn flush(&self) {
        let Some(batch) = self.batch().map(|mut batch| std::mem::take(&mut *batch)) else { return };
        if !batch.is_empty() {
            let _ = self.sender.send(batch.into_values().collect::<Vec<_>>().concat().into());
        }
    }

    fn batch(&self) -> Option<MutexGuard<'_, HashMap<Vec<u8>, Vec<u8>>>> {
        self.batch.as_ref().map(|batch| batch.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Everybody there is, and then what happens.
    pub fn answer(&self, node: &Node) -> Response {
        // Before the store is read, so that nothing is missed between.
        let receiver = self.sender.subscribe();
        let mut snapshot =
            format!("event: snapshot\ndata: {{\"server\":\"{}\"}}\n\n", node.name()).into_bytes();
        for bucket in node.store.buckets() {
            node.see_bucket(bucket, |record| write(&record, &mut snapshot));
        }
        snapshot.extend_from_slice(b"event: caught-up\ndata: {}\n\n");
        let begin = (receiver, Some(Bytes::from(snapshot)));
        let pieces = stream::unfold(begin, |(mut receiver, first)| async move {
            let piece = match first {
                Some(first) => first,
                None => next(&mut receiver).await?,
            };
            Some((Ok::<_, Infallible>(piece), (receiver, None)))
        });
        let fields = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
        (fields, Body::from_stream(pieces)).into_response()
    }
}

/// What a receiver is sent next: what waits for it, at most about a piece.
async fn next(receiver: &mut Receiver<Bytes>) -> Option<Bytes> {
    let first = match receiver.recv().await {
        Ok(first) => first,
        Err(RecvError::Lagged(missed)) => return Some(lagged(missed)),
        Err(RecvError::Closed) => return None,
    };
    if receiver.is_empty() || first.len() >= PIECE_BYTES {
        return Some(first);
    }
    let mut piece = Vec::with_capacity(PIECE_BYTES);
    piece.extend_from_slice(&first);
    while piece.len() < PIECE_BYTES {
        match receiver.try_recv() {
            Ok(more) => piece.extend_from_slice(&more),
            Err(TryRecvError::Lagged(missed)) => piece.extend_from_slice(&lagged(missed)),
            Err(TryRecvError::Empty | TryRecvError::Closed) => break,
        }
    }
    Some(piece.into())
}

/// Who has missed something is told, and may come back for everybody there is.
fn lagged(missed: u64) -> Bytes {
    format!("event: lagged\ndata: {missed}\n\n").into()
}

/// A position as herd writes it. The IDs are of lines that are text.
fn write(record: &Record<&[u8]>, out: &mut Vec<u8>) {
    let location = record.location();
    let longitude_at =
        location.iter().skip(1).position(|byte| matches!(byte, b'+' | b'-')).map_or(0, |at| at + 1);
    let (latitude, longitude) = location.split_at(longitude_at);
    out.extend_from_slice(b"event: position\ndata: {\"id\":");
    write_json(record.client(), out);
    out.extend_from_slice(b",\"lat\":");
    out.extend_from_slice(latitude.strip_prefix(b"+").unwrap_or(latitude));
    out.extend_from_slice(b",\"lon\":");
    out.extend_from_slice(longitude.strip_prefix(b"+").unwrap_or(longitude));
    out.extend_from_slice(b",\"time\":\"");
    out.extend_from_slice(record.time());
    out.extend_from_slice(b"\",\"server\":");
    write_json(record.origin(), out);
    out.extend_from_slice(b",\"received\":");
    out.extend_from_slice(record.received_s().to_string().as_bytes());
    out.extend_from_slice(b"}\n\n");
}

fn write_json(text: &[u8], out: &mut Vec<u8>) {
    // It fails for nothing that is text.
    let _ = serde_json::to_writer(out, &String::from_utf8_lossy(text));
}

/// Sends batches for as long as the runtime lasts.
pub async fn send_batches(feed: Arc<Feed>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        feed.flush();
    }
}
