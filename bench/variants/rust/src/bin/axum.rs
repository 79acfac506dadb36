//! axum on tokio, as a rival of herd's door for HTTP: reports alone, with herd's protocol and store. A client's ID that
//! a line cannot hold as it stands is refused, as no workload has one. `--current-thread` runs the same on one thread.
//! `--rstar` lists the nearest clients, too, by an R-tree of points in space beside the store. `--watch` tells what happens
//! as it happens, and `--watch-every=MS` in batches.

use std::io;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, put};
use axum::serve::ListenerExt;
use herd::protocol::{Location, Record, Report, Timestamp};
use herd::store::Learned;
use rstar::RTree;
use rstar::primitives::GeomWithData;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};
use variants::watching::{self, Feed};
use variants::{Herd, asynchronous};

const EARTH_RADIUS_M: f64 = 6_371_008.8;

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

/// Where who is, on a sphere of the radius 1.
type Entry = GeomWithData<[f64; 3], String>;

struct Server {
    herd: Herd,
    tree: Option<Mutex<RTree<Entry>>>,
    feed: Option<Arc<Feed>>,
}

#[derive(Deserialize)]
struct Asked {
    near: String,
    radius_m: f64,
    limit: usize,
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
    let has_tree = std::env::args().any(|argument| argument == "--rstar");
    let server = Server { herd, tree: has_tree.then(Mutex::default), feed: feed()? };
    let routes = Router::new()
        .route("/v1/clients", get(nearest))
        .route("/v1/clients/{id}", put(report))
        .route("/v1/events", get(watch))
        .with_state(Arc::new(server));
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        served = axum::serve(listener, routes) => served,
        _ = terminate.recv() => Ok(()),
    }
}

/// What those who watch are told by, if the arguments want it.
fn feed() -> io::Result<Option<Arc<Feed>>> {
    let every =
        std::env::args().find_map(|argument| Some(argument.strip_prefix("--watch-every=")?.to_owned()));
    let Some(every) = every else {
        let is_watched = std::env::args().any(|argument| argument == "--watch");
        return Ok(is_watched.then(|| Arc::new(Feed::new(None))));
    };
    let every = Duration::from_millis(every.parse().map_err(io::Error::other)?);
    let feed = Arc::new(Feed::new(Some(every)));
    tokio::spawn(watching::send_batches(feed.clone(), every));
    Ok(Some(feed))
}

async fn watch(State(server): State<Arc<Server>>) -> Response {
    match &server.feed {
        Some(feed) => feed.answer(&server.herd.node),
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn report(State(server): State<Arc<Server>>, Path(id): Path<String>, body: Bytes) -> Response {
    match learn(&server, &id, &body) {
        Some(answer) => ([(header::CONTENT_TYPE, "application/json")], answer).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The body of the answer; None where the report is none.
fn learn(server: &Server, id: &str, body: &[u8]) -> Option<Vec<u8>> {
    let is_of_line =
        |character: char| !(character.is_whitespace() || character.is_control() || "%/".contains(character));
    if !id.chars().all(is_of_line) {
        return None;
    }
    let told: Told<'_> = herd::object::read(body).ok()?;
    let mut text = Vec::new();
    let location = Location::of_numbers(told.lat.get().as_bytes(), told.lon.get().as_bytes(), &mut text)?;
    let time = Timestamp::parse(told.time.get().as_bytes())?;
    let report = Report { client: id.as_bytes(), location, time };
    let now_ns = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let mut line = Vec::new();
    let mut tree = server.tree.as_ref().map(|tree| tree.lock().unwrap_or_else(PoisonError::into_inner));
    let node = &server.herd.node;
    let before = tree.as_ref().and_then(|_| node.store.read(id.as_bytes(), |known| point(&known)));
    let (record, learned) = node.report(&report, now_ns, &mut line).ok()?;
    if let Some(tree) = tree.as_mut().filter(|_| learned == Learned::News) {
        if let Some(before) = before {
            tree.remove(&Entry::new(before, id.to_owned()));
        }
        tree.insert(Entry::new(point(&record), id.to_owned()));
    }
    drop(tree);
    if let Some(feed) = server.feed.as_ref().filter(|_| learned == Learned::News) {
        feed.tell(&record);
    }
    let at = std::str::from_utf8(record.line()).ok()?.trim_end();
    let mut answer = serde_json::to_vec(&Answer { news: learned == Learned::News, at }).ok()?;
    answer.push(b'\n');
    Some(answer)
}

fn point(record: &Record<&[u8]>) -> [f64; 3] {
    let (latitude_deg, longitude_deg) = record.degrees();
    point_at(latitude_deg, longitude_deg)
}

fn point_at(latitude_deg: f64, longitude_deg: f64) -> [f64; 3] {
    let (latitude, longitude) = (latitude_deg.to_radians(), longitude_deg.to_radians());
    [latitude.cos() * longitude.cos(), latitude.cos() * longitude.sin(), latitude.sin()]
}

async fn nearest(State(server): State<Arc<Server>>, Query(asked): Query<Asked>) -> Response {
    match list(&server, &asked) {
        Some(page) => ([(header::CONTENT_TYPE, "application/geo+json")], page).into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The nearest clients as GeoJSON, as herd writes it.
fn list(server: &Server, asked: &Asked) -> Option<String> {
    let (latitude, longitude) = asked.near.split_once(',')?;
    let centre = point_at(latitude.parse().ok()?, longitude.parse().ok()?);
    let found: Vec<_> = {
        let tree = server.tree.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let nearest = tree.nearest_neighbor_iter_with_distance_2(&centre).take(asked.limit);
        nearest.map(|(entry, chord_squared)| (entry.data.clone(), chord_squared)).collect()
    };
    let mut features = Vec::with_capacity(found.len());
    for (id, chord_squared) in found {
        let distance_m = 2.0 * EARTH_RADIUS_M * (chord_squared.sqrt() / 2.0).min(1.0).asin();
        if distance_m <= asked.radius_m {
            features
                .extend(server.herd.node.see(id.as_bytes(), |record| feature(&record, distance_m)).flatten());
        }
    }
    Some(format!("{{\"type\":\"FeatureCollection\",\"features\":[{}]}}\n", features.join(",")))
}

fn feature(record: &Record<&[u8]>, distance_m: f64) -> Option<String> {
    let text = |bytes| std::str::from_utf8(bytes).ok();
    let json = |text: &str| serde_json::to_string(text).ok();
    let location = text(record.location())?;
    let longitude_at = location.get(1..)?.find(['+', '-'])? + 1;
    let (latitude, longitude) = location.split_at(longitude_at);
    let number = |digits: &str| digits.trim_start_matches('+').to_owned();
    Some(format!(
        "{{\"type\":\"Feature\",\"id\":{},\"geometry\":{{\"type\":\"Point\",\"coordinates\":[{},{}]}},\
         \"properties\":{{\"time\":\"{}\",\"server\":{},\"difference\":\"{}\",\"received\":{},\"distance_m\":{},\"at\":{}}}}}",
        json(text(record.client())?)?,
        number(longitude),
        number(latitude),
        text(record.time())?,
        json(text(record.origin())?)?,
        text(record.difference())?,
        record.received_s(),
        distance_m.round(),
        json(text(record.line())?)?,
    ))
}
