//! Places of one's own, by a running server: several files, files that change, and what `--check` and the log say.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{Server, folder_with, run, wait_for};

const SERVER: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

/// A folder with a herd.conf whose places are these files.
fn folder(paths: &str, more: &str, files: &[(&str, &str)]) -> TempDir {
    let folder = folder_with(&format!("[places]\nprovider = \"file\"\npath = {paths}\n{more}\n{SERVER}"));
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

/// The names and ids of what is near a position.
fn near(server: &Server, location: &str, km: u32) -> Vec<String> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    server.ask(&format!("IAMAT c {location} {}\n", NEXT.fetch_add(1, Ordering::Relaxed)));
    let said = server.ask(&format!("WHATSAT c {km} 20\n"));
    let json = said.split_once('\n').expect("an AT line").1;
    let json: Value = serde_json::from_str(json).expect("JSON");
    let results = json["results"].as_array().expect("results").iter();
    results
        .map(|it| format!("{} {}", it["name"].as_str().unwrap(), it["place_id"].as_str().unwrap()))
        .collect()
}

fn check(folder: &Path) -> (Option<i32>, String) {
    let (status, stdout, stderr) = run(folder, &["--check"]);
    (status, stdout + &stderr)
}

#[test]
fn several_files_are_one_and_the_gazetteer_answers_where_they_have_nothing() {
    let shops = "name;lat;lon;id\nKiosk;60,1700;24,9400;k\nMarket;60,1702;24,9400;m\n";
    let parks = r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[24.94,60.1700],[24.94,60.1702],[24.9402,60.1702],[24.94,60.1700]]]},"properties":{"NAME":"Park","id":"k"}}"#;
    let files = [("shops.csv", shops), ("parks.geojson", parks)];
    let folder = folder("[\"shops.csv\", \"parks.geojson\"]", "also_gazetteer = true", &files);
    let (status, said) = check(folder.path());
    assert_eq!(status, Some(0), "{said}");
    for line in
        ["shops.csv: 2 places read", "parks.geojson: 1 place read", "3 places in all, in 0.1 MB of memory"]
    {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains("1 id had been used before, and got ~2, ~3 and so on behind: \"k\""), "{said}");
    let server = Server::start(folder.path(), "Goloman");
    assert_eq!(near(&server, "+60.1700+24.9400", 1), ["Kiosk k", "Park k~2", "Market m"]);
    if cfg!(feature = "gazetteer") {
        let beyond = near(&server, "+34.0689-118.4451", 10);
        assert!(beyond.iter().any(|place| place.contains("geonames:")), "{beyond:?}");
    }
}

#[test]
fn ids_that_are_made_differ_between_files() {
    let row = "name,lat,lon\nA,1,2\n";
    let folder = folder("[\"one.csv\", \"two.csv\"]", "", &[("one.csv", row), ("two.csv", row)]);
    let server = Server::start(folder.path(), "Goloman");
    let mut found = near(&server, "+1+2", 1);
    found.sort();
    assert_eq!(found, ["A one.csv:1", "A two.csv:1"]);
}

#[test]
fn files_are_read_anew_at_sighup_all_of_them_or_none() {
    let folder = folder(
        "[\"a.csv\", \"b.csv\"]",
        "",
        &[("a.csv", "name,lat,lon\nA,1,2\n"), ("b.csv", "name,lat,lon\nB,1,2\n")],
    );
    let server = Server::start(folder.path(), "Goloman");
    let names = |server: &Server| {
        let mut all: Vec<_> = near(server, "+1+2", 1).iter().map(|it| it[..1].to_owned()).collect();
        all.sort();
        all.concat()
    };
    assert_eq!(names(&server), "AB");
    fs::write(folder.path().join("a.csv"), "name,lat,lon\nC,1,2\n").expect("written");
    fs::write(folder.path().join("b.csv"), "name,lat,lon\nD,north,2\n").expect("written");
    server.process.signal(Signal::HUP);
    server.wait_for_log("not reloaded, keeping what there is: ");
    assert_eq!(names(&server), "AB");
    fs::write(folder.path().join("b.csv"), "name,lat,lon\nD,1,2\n").expect("written");
    server.process.signal(Signal::HUP);
    wait_for("the new places", || (names(&server) == "CD").then_some(()));
    server.wait_for_log("places, read again: ");
}

#[test]
fn what_was_left_out_is_told_at_the_start_and_by_check() {
    let mut rows = "name,lat,lon,a\n".to_owned();
    (0..200).for_each(|row| rows += &format!("K{row},1,2,\n"));
    rows += "Nowhere,,,\n,,,\nBad,x,2,\n";
    let folder = folder("\"shops.csv\"", "", &[("shops.csv", &rows)]);
    let (status, said) = check(folder.path());
    assert_eq!(status, Some(0), "{said}");
    assert!(said.contains("shops.csv: 200 places read, skipped: 1 without a position, 1 bad"), "{said}");
    assert!(said.contains("shops.csv:204: row 202: latitude \"x\" is not a number; row left out"), "{said}");
    let server = Server::start(folder.path(), "Goloman");
    let log = server.wait_for_log("places: ");
    assert!(log.contains("200 places read, skipped: 1 without a position, 1 bad"), "{log}");
}

#[test]
fn what_was_changed_of_places_is_told_and_they_are_found() {
    let island = r#"{"type":"Feature","geometry":{"type":"Polygon","coordinates":[[[179.999,-17],[-179.999,-17],[-179.999,-16.998],[179.999,-16.998],[179.999,-17]]]},"properties":{"name":"Taveuni","height":1e999}}"#;
    let reef = r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[180.001,-17]},"properties":{"name":"Reef","h":NaN}}"#;
    let text = format!("callback({{\"type\":\"FeatureCollection\",\"features\":[{island},{reef}]}});\n");
    let folder = folder("\"fiji.json\"", "", &[("fiji.json", &text)]);
    let (status, said) = check(folder.path());
    assert_eq!(status, Some(0), "{said}");
    for line in [
        "fiji.json: 2 places read, changed: 1 whose longitude went on beyond 180",
        "fiji.json: 1 value NaN or Infinity, which JSON does not have, read as null",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let server = Server::start(folder.path(), "Goloman");
    assert_eq!(near(&server, "-16.9990+180.0000", 1), ["Taveuni file:1", "Reef file:2"]);
}

#[test]
fn a_name_with_a_quote_costs_a_tsv_nothing_and_a_csv_is_refused_with_its_line() {
    let table = |delimiter: &str| {
        let name = |row| if row == 10 || row == 290 { "\"Zum Anker" } else { "Kiosk" };
        let rows = (1..=300).map(|row| [name(row), "1", "2"].join(delimiter) + "\n");
        ["name", "lat", "lon"].join(delimiter) + "\n" + &rows.collect::<String>()
    };
    let folder = folder("\"shops.tsv\"", "", &[("shops.tsv", &table("\t")), ("shops.csv", &table(","))]);
    let (status, said) = check(folder.path());
    assert!(status == Some(0) && said.contains("shops.tsv: 300 places read"), "{said}");
    let conf = fs::read_to_string(folder.path().join("herd.conf")).expect("text");
    fs::write(folder.path().join("herd.conf"), conf.replace("shops.tsv", "shops.csv")).expect("written");
    let (status, said) = check(folder.path());
    assert_eq!(status, Some(78), "{said}");
    assert!(
        said.contains("of 300 rows are bad, more than 1 %") && said.contains("shops.csv:11: row 10: a quote"),
        "{said}"
    );
}

#[test]
fn settings_of_files_that_cannot_be_meant_are_told() {
    for (settings, expected) in [
        ("path = []", "places.path must be a path, or a list of paths"),
        ("path = 5", "places.path must be a path, or a list of paths"),
        ("path = [\"a.csv\", 5]", "places.path must be a path, or a list of paths"),
        ("path = \"a.csv\"\nlanguage = \"english please\"", "places.language is \"english please\""),
        ("path = [\"a.csv\", \"none.csv\"]", "none.csv: No such file"),
    ] {
        let folder = folder_with(&format!("[places]\nprovider = \"file\"\n{settings}\n{SERVER}"));
        fs::write(folder.path().join("a.csv"), "name,lat,lon\nA,1,2\n").expect("written");
        let (status, said) = check(folder.path());
        assert!(status == Some(78) && said.contains(expected), "{settings}: {said}");
    }
}
