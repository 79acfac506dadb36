//! The places providers by way of `herd::places::open`, each HTTP one against the stand-in: what they answer.

mod failing;

use std::env;
use std::fs;
use std::sync::{Arc, Mutex, Once};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded};
use herd::places::pool::{Asker, Bounds, Pool};
use herd::places::{self, Lookup, Places, PlacesError, Provider, Settings, Status};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::stand_in::{Act, HANG, Refusing, StandIn};

const KEY: &str = "Test-Key/with+odd=characters%0123456789";
const HTTP_PROVIDERS: [Provider; 3] = [Provider::Google, Provider::GoogleLegacy, Provider::Overpass];
const UCLA: Lookup =
    Lookup { latitude_deg: 34.068930, longitude_deg: -118.445127, radius_m: 1000.0, bound: 2 };

/// A provider opened on a URL, with the directory of its key file.
struct Opened {
    places: Arc<dyn Places>,
    _dir: TempDir,
}

impl Opened {
    fn ask(&self, lookup: &Lookup) -> Result<String, PlacesError> {
        let json = self.places.nearby(lookup, Instant::now() + HANG)?;
        Ok(String::from_utf8(json).unwrap())
    }
}

fn settings(provider: Provider, url: &str, dir: &TempDir) -> Settings {
    let key_file = dir.path().join("key");
    crate::harness::write_secret(&key_file, &format!(" {KEY}\n"));
    let (url, key_file) = (Some(url.to_string()), Some(key_file));
    Settings { provider, url, key_file, total_timeout: HANG, ..Settings::default() }
}

fn open(provider: Provider, url: &str) -> Opened {
    capture_log();
    let dir = TempDir::new().unwrap();
    let places = places::open(&settings(provider, url, &dir)).unwrap();
    Opened { places, _dir: dir }
}

/// The key in use: whoever runs the tests may have one in the environment, which comes first.
fn key() -> String {
    env::var("HERD_PLACES_KEY").unwrap_or(KEY.to_string())
}

fn reply(code: u16, body: &Value) -> Act {
    Act::Reply(code, body.to_string().into_bytes())
}

/// An answer with nothing near, in each provider's own form.
fn nothing(provider: Provider) -> Value {
    match provider {
        Provider::GoogleLegacy => json!({"results": [], "status": "ZERO_RESULTS"}),
        Provider::Overpass => json!({"elements": []}),
        _ => json!({}),
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn google_is_asked_and_put_into_the_legacy_shape() {
    let body = r#"{"places": [
        {"id": "ChIJ1", "types": ["university", "school"], "businessStatus": "OPERATIONAL",
         "location": {"latitude": 34.0700, "longitude": -118.4400},
         "viewport": {"low": {"latitude": 34.06, "longitude": -118.46}, "high": {"latitude": 34.08, "longitude": -118.43}},
         "displayName": {"text": "Café \"U\"\n\nC", "languageCode": "en"},
         "shortFormattedAddress": "Los Angeles"},
        {"id": "ChIJ2", "displayName": {"text": "B"}},
        {"id": "ChIJ3", "displayName": {"text": "past the bound"}}]}"#;
    let stand_in = StandIn::start(Act::Reply(200, body.into()));
    let answer = open(Provider::Google, &stand_in.url("/v1/places:searchNearby")).ask(&UCLA).unwrap();

    let seen = &stand_in.seen()[0];
    assert_eq!((seen.method.as_str(), seen.target.as_str()), ("POST", "/v1/places:searchNearby"));
    assert_eq!(seen.header("X-Goog-Api-Key"), key());
    assert_eq!(
        seen.header("X-Goog-FieldMask"),
        "places.id,places.displayName,places.location,places.types,\
         places.shortFormattedAddress,places.viewport,places.businessStatus"
    );
    assert_eq!(seen.header("Content-Type"), "application/json");
    let circle = json!({"center": {"latitude": 34.068930, "longitude": -118.445127}, "radius": 1000});
    assert_eq!(
        serde_json::from_str::<Value>(&seen.body).unwrap(),
        json!({"maxResultCount": 2, "rankPreference": "DISTANCE", "locationRestriction": {"circle": circle}})
    );

    assert!(answer.contains("\"lat\" : 34.0700,\n"), "digits kept: {answer}");
    assert!(!answer.contains("\n\n") && !answer.ends_with('\n'));
    let point = |lat: f64, lng: f64| json!({"lat": lat, "lng": lng});
    let viewport = json!({"northeast": point(34.08, -118.43), "southwest": point(34.06, -118.46)});
    assert_eq!(
        serde_json::from_str::<Value>(&answer).unwrap(),
        json!({
            "html_attributions": [],
            "results": [
                {
                    "business_status": "OPERATIONAL",
                    "geometry": {"location": point(34.07, -118.44), "viewport": viewport},
                    "name": "Café \"U\"\n\nC",
                    "place_id": "ChIJ1",
                    "types": ["university", "school"],
                    "vicinity": "Los Angeles"
                },
                {"name": "B", "place_id": "ChIJ2", "types": []}
            ],
            "status": "OK"
        })
    );
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn googles_field_mask_can_be_set() {
    let stand_in = StandIn::start(reply(200, &json!({})));
    let dir = TempDir::new().unwrap();
    let mut settings = settings(Provider::Google, &stand_in.url("/"), &dir);
    settings.field_mask = Some("places.id,places.rating".to_string());
    let places = places::open(&settings).unwrap();
    let answer = places.nearby(&UCLA, Instant::now() + HANG).unwrap();
    assert_eq!(answer, places::no_results_json());
    assert_eq!(stand_in.seen()[0].header("X-Goog-FieldMask"), "places.id,places.rating");
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn google_legacy_is_kept_byte_for_byte() {
    let body = "{\n   \"html_attributions\" : [],\n\n   \"next_page_token\" : \"Aap_é\\u00e9\",\n   \"results\" : [\n      { \"a\" : 1.10 },\n\n      {\"b\":[ ]} ,\n      {}\n   ],\n   \"status\" : \"OK\"\n}\n\n";
    let stand_in = StandIn::start(Act::Reply(200, body.into()));
    let opened = open(Provider::GoogleLegacy, &stand_in.url("/maps/json"));
    let kept = "{\n   \"html_attributions\" : [],\n   \"next_page_token\" : \"Aap_é\\u00e9\",\n   \"results\" : [\n      { \"a\" : 1.10 },\n      {\"b\":[ ]}\n   ],\n   \"status\" : \"OK\"\n}";
    assert_eq!(opened.ask(&UCLA).unwrap(), kept);
    let seen = &stand_in.seen()[0];
    let (path, query) = seen.target.split_once("&key=").unwrap();
    assert_eq!(seen.method, "GET");
    assert_eq!(path, "/maps/json?location=34.06893,-118.445127&radius=1000");
    if key() == KEY {
        assert_eq!(query, "Test-Key%2Fwith%2Bodd%3Dcharacters%250123456789");
    }

    // Judged by its status, whatever the HTTP code says.
    stand_in.always(Act::Reply(418, body.into()));
    assert_eq!(opened.ask(&UCLA).unwrap(), kept);
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn overpass_is_asked_wider_until_enough_is_near() {
    let near = json!({"type": "node", "id": 1, "lat": 34.0689, "lon": -118.4452, "tags": {"name": "Kiosk", "shop": "kiosk"}});
    let far = json!({"type": "way", "id": 2, "center": {"lat": 34.09, "lon": -118.4452}, "tags": {"name": "Park", "leisure": "park"}});
    let stand_in = StandIn::start(reply(200, &json!({"elements": [far, near]})));
    let opened = open(Provider::Overpass, &stand_in.url("/api/interpreter"));
    let answer = opened.ask(&Lookup { radius_m: 50_000.0, ..UCLA }).unwrap();
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert_eq!(answer["results"][0]["place_id"], "osm:node/1");
    assert_eq!(answer["results"][1]["place_id"], "osm:way/2");
    assert!(answer["html_attributions"][0].as_str().unwrap().contains("ODbL"));
    let seen = stand_in.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(seen[0].method, "POST");
    for (seen, radius) in seen.iter().zip(["1000", "8000"]) {
        let around = format!("nwr%28around%3A{radius}%2C34.06893%2C-118.445127%29%5Bname%5D");
        assert!(seen.body.starts_with("data=%5Bout%3Ajson%5D") && seen.body.contains(&around));
    }

    stand_in.always(reply(200, &json!({"elements": [], "remark": "runtime error: timed out"})));
    let error = opened.ask(&UCLA).unwrap_err();
    assert_eq!(error.status, Status::UnknownError);
    assert!(error.said.contains("runtime error: timed out"), "{error}");
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn the_pool_asks_once_and_stops_early() {
    let body = json!({"places": [{"id": "one"}]}).to_string();
    let stand_in = StandIn::start(Act::Held(200, body.into_bytes()));
    let opened = open(Provider::Google, &stand_in.url("/"));
    let pool = Pool::start(opened.places.clone(), bounds(HANG)).unwrap();
    let first = submit(&pool, UCLA);
    stand_in.wait_for_request();
    let second = submit(&pool, UCLA);
    stand_in.release();
    let answer = first.recv_timeout(HANG).unwrap();
    assert!(answer.contains("\"one\""), "{answer}");
    assert_eq!(second.recv_timeout(HANG).unwrap(), answer);
    assert_eq!(stand_in.seen().len(), 1);

    let held = submit(&pool, Lookup { bound: 5, ..UCLA });
    stand_in.wait_for_request();
    let begun = Instant::now();
    assert!(pool.stop(Instant::now() + HANG));
    assert!(begun.elapsed() < HANG / 2, "the held call was not ended: {:?}", begun.elapsed());
    assert!(held.recv_timeout(HANG).unwrap().contains("UNKNOWN_ERROR"));
}

#[test]
fn a_file_of_ones_own() {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("my.geojson");
    let feature = |name: &str, lat: f64| json!({"type": "Feature", "geometry": {"type": "Point", "coordinates": [-118.445, lat]}, "properties": {"name": name}});
    let features = json!([feature("north", 34.0700), feature("here", 34.0690), feature("away", 35.0)]);
    fs::write(&path, json!({"type": "FeatureCollection", "features": features}).to_string()).unwrap();
    let settings = Settings { provider: Provider::File, paths: vec![path], ..Settings::default() };
    let json = places::open(&settings).unwrap().nearby(&UCLA, Instant::now() + HANG).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    let names: Vec<&Value> = json["results"].as_array().unwrap().iter().map(|r| &r["name"]).collect();
    assert_eq!(names, ["here", "north"]);
}

/// A figure of docs/places.md: `cargo test --release --test it -- --ignored --nocapture a_million_places`.
#[test]
#[ignore = "prints a figure; nothing to fail"]
fn a_million_places() {
    let dir = TempDir::new().unwrap();
    let mut random = fastrand::Rng::with_seed(1);
    for (what, spread) in [("in one city", 0.5), ("over a country", 10.0)] {
        let towns: Vec<_> =
            (0..2_000).map(|_| (60.0 + spread * random.f64(), 20.0 + spread * random.f64())).collect();
        let mut rows = "name,lat,lon,types,vicinity\n".to_owned();
        for number in 0..1_000_000 {
            let (lat, lon) = towns[random.usize(..towns.len())];
            let near =
                |degrees: f64, random: &mut fastrand::Rng| degrees + 0.05 * random.f64() * random.f64();
            let (lat, lon) = (near(lat, &mut random), near(lon, &mut random));
            rows += &format!("Place {number},{lat:.6},{lon:.6},cafe,Street {}\n", number % 5_000);
        }
        let path = dir.path().join("many.csv");
        fs::write(&path, rows).unwrap();
        let settings = Settings { provider: Provider::File, paths: vec![path], ..Settings::default() };
        let begun = Instant::now();
        let places = places::open(&settings).unwrap();
        let read = begun.elapsed();
        let begun = Instant::now();
        for _ in 0..10_000 {
            let (latitude_deg, longitude_deg) = towns[random.usize(..towns.len())];
            let lookup = Lookup { latitude_deg, longitude_deg, radius_m: 50_000.0, bound: 20 };
            assert!(!places.nearby(&lookup, begun + HANG).unwrap().is_empty());
        }
        let took = begun.elapsed() / 10_000;
        println!(
            "1,000,000 places {what}: read in {read:?}, {took:?} a lookup with its JSON; {:?}",
            places.about()
        );
    }
}

#[test]
fn the_gazetteer_by_default() {
    let opened = places::open(&Settings::default());
    if cfg!(feature = "gazetteer") {
        let json = opened.unwrap().nearby(&Lookup { radius_m: 1e4, ..UCLA }, Instant::now()).unwrap();
        assert!(String::from_utf8(json).unwrap().contains("\"place_id\" : \"geonames:"));
    } else {
        assert!(opened.err().unwrap().contains("left out of this build"));
    }
}

fn bounds(total: Duration) -> Bounds {
    Bounds { threads: 2, queue: 4, total, daily_budget: None }
}

fn submit(pool: &Pool, lookup: Lookup) -> Receiver<String> {
    let (sender, receiver) = bounded(64);
    let there = Arc::new(());
    let asker = Asker { address: [127, 0, 0, 1].into(), alive: Arc::downgrade(&there) };
    pool.submit(lookup, asker, move |json: Arc<[u8]>| {
        drop(there);
        sender.send(String::from_utf8(json.to_vec()).unwrap()).unwrap();
    });
    receiver
}

/// All that any test of this process logs, at every level.
static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Capture;

impl log::Log for Capture {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        LOG.lock().unwrap().push(format!("{} {}", record.target(), record.args()));
    }

    fn flush(&self) {}
}

fn capture_log() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        log::set_logger(&Capture).unwrap();
        log::set_max_level(log::LevelFilter::Trace);
    });
}
