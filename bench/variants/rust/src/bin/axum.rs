//! axum on tokio, as a rival of herd's door for HTTP: reports alone, with herd's protocol and store. A client's ID that
//! a line cannot hold as it stands is refused, as no workload has one. `--current-thread` runs the same on one thread.

use std::io;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::put;
use axum::serve::ListenerExt;
use herd::protocol::{Location, Report, Timestamp};
use herd::store::Learned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use variants::{Herd, asynchronous};

/// What a client tells. The digits of its numbers stay as they are.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Told<'b> {
    #[serde(borrow)]
    lat: &'b RawValue,
    #[serde(borrow)]
    lon: &'b RawValue,
    #[serde(borrow)]
    time: &'b RawValue,
}

#[derive(Serialize)]
struct Answer<'l> {
    news: bool,
    at: &'l str,
}

fn main() -> ExitCode {
    let herd = match Herd::from_args() {
        Ok(herd) => herd,
        Err(status) => return status,
    };
    let one_thread = std::env::args().any(|argument| argument == "--current-thread");
    let mut builder = if one_thread { Builder::new_current_thread() } else { Builder::new_multi_thread() };
    match builder.enable_all().build().and_then(|runtime| runtime.block_on(run(herd))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(herd: Herd) -> io::Result<()> {
    let address = herd.http.as_ref().ok_or_else(|| io::Error::other("herd.conf has no http.listen"))?;
    let listener = asynchronous::listen(address)?;
    println!("{} serves HTTP on {}", herd.node.name(), listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        // A connection that broke is its client's business.
        let _ = stream.set_nodelay(true);
    });
    let routes = Router::new().route("/v1/clients/{id}", put(report)).with_state(Arc::new(herd));
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, routes) => served,
        _ = terminate.recv() => Ok(()),
    }
}

async fn report(State(herd): State<Arc<Herd>>, Path(id): Path<String>, body: Bytes) -> Response {
    match learn(&herd, &id, &body) {
        Some(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The body of the answer; None where the report is none.
fn learn(herd: &Herd, id: &str, body: &[u8]) -> Option<Vec<u8>> {
    let is_of_line =
        |character: char| !(character.is_whitespace() || character.is_control() || "%/".contains(character));
    if !id.chars().all(is_of_line) {
        return None;
    }
    let told: Told<'_> = serde_json::from_slice(body).ok()?;
    let mut text = Vec::new();
    let location = Location::of_numbers(told.lat.get().as_bytes(), told.lon.get().as_bytes(), &mut text)?;
    let time = Timestamp::parse(told.time.get().as_bytes())?;
    let report = Report { client: id.as_bytes(), location, time };
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut line = Vec::new();
    let (record, learned) = herd.node.report(&report, now_ns, &mut line).ok()?;
    let at = std::str::from_utf8(record.line()).ok()?.trim_end();
    let mut answer = serde_json::to_vec(&Answer { news: learned == Learned::News, at }).ok()?;
    answer.push(b'\n');
    Some(answer)
}
