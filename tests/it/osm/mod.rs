//! Extracts of OpenStreetMap as places, and what is kept of them for the next start.

mod encode;
mod large;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant, SystemTime};

use encode::{Extract, blob, bytes_field, framed, head, number_field};
use herd::places::{self, Lookup, Places, Provider, Settings};
use serde_json::Value;
use tempfile::TempDir;

type Tags = &'static [(&'static str, &'static str)];

const NODES: &[(i64, f64, f64, Tags)] = &[
    (
        1,
        60.1700,
        24.9400,
        &[
            ("name", "Kahvila"),
            ("name:en", "Coffee"),
            ("amenity", "cafe"),
            ("shop", "bakery; pastry"),
            ("addr:street", "Katu"),
            ("addr:housenumber", "5"),
        ],
    ),
    (
        2,
        60.1710,
        24.9400,
        &[
            ("name", "Kirkko"),
            ("amenity", "place_of_worship"),
            ("religion", "christian"),
            ("addr:city", "Espoo"),
        ],
    ),
    (3, 60.1720, 24.9400, &[("name", "Kamppi"), ("place", "suburb")]),
    (4, 60.1730, 24.9400, &[("amenity", "bench")]),
    (5, 60.1730, 24.9400, &[("name", "gone"), ("amenity", "no")]),
    (6, 60.1730, 24.9400, &[("name", "wire"), ("railway", "signal")]),
    (7, 60.1730, 24.9400, &[("name:en", "Only English"), ("shop", "yes")]),
    // A square, and one around it.
    (11, 60.1740, 24.9400, &[]),
    (12, 60.1740, 24.9420, &[]),
    (13, 60.1760, 24.9420, &[]),
    (14, 60.1760, 24.9400, &[]),
    (21, 60.1730, 24.9380, &[]),
    (22, 60.1730, 24.9440, &[]),
    (23, 60.1770, 24.9440, &[]),
    (24, 60.1770, 24.9380, &[]),
];

const WAYS: &[(i64, &[i64], Tags)] = &[
    (1, &[11, 12, 13, 14, 11], &[("name", "Puisto"), ("leisure", "park")]),
    (2, &[21, 22], &[("name", "Laituri"), ("tourism", "attraction")]),
    (3, &[21, 22, 23], &[]),
    (4, &[21, 24, 23], &[("highway", "path")]),
    (5, &[11, 12, 13, 14, 11], &[]),
    (6, &[98, 99], &[("name", "Beyond"), ("shop", "kiosk")]),
];

const RELATIONS: &[(i64, &[i64], Tags)] = &[
    (1, &[3, 5, 4], &[("type", "multipolygon"), ("name", "Yliopisto"), ("amenity", "university")]),
    (2, &[3, 4], &[("type", "boundary"), ("name", "Kamppi"), ("place", "suburb")]),
    (3, &[3, 4], &[("type", "route"), ("name", "Reitti"), ("tourism", "attraction")]),
    (4, &[3, 77], &[("type", "multipolygon"), ("name", "Half"), ("historic", "yes")]),
];

fn extract(is_packed: bool) -> Vec<u8> {
    Extract::new(is_packed).nodes(NODES).ways(WAYS).relations(RELATIONS).bytes
}

/// A folder with an extract.
struct Sample {
    folder: TempDir,
    settings: Settings,
}

impl Sample {
    fn of(bytes: &[u8]) -> Sample {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("town.osm.pbf");
        fs::write(&path, bytes).expect("written");
        let cache = Some(folder.path().join("data").join(".places"));
        let settings = Settings { provider: Provider::File, paths: vec![path], cache, ..Settings::default() };
        Sample { folder, settings }
    }

    fn open(&self) -> Arc<dyn Places> {
        places::open(&self.settings).unwrap_or_else(|why| panic!("{why}"))
    }

    fn is_from_cache(&self) -> bool {
        self.open().about()[0].ends_with("from the cache")
    }

    /// The one file that is kept.
    fn kept(&self) -> PathBuf {
        let folder = self.settings.cache.as_ref().expect("a folder");
        let mut files: Vec<_> =
            fs::read_dir(folder).expect("kept").map(|file| file.expect("a file").path()).collect();
        assert_eq!(files.len(), 1, "{files:?}");
        files.remove(0)
    }
}

fn nearby(places: &Arc<dyn Places>) -> Value {
    nearby_at(places, 60.1700, 24.9400)
}

fn nearby_at(places: &Arc<dyn Places>, latitude_deg: f64, longitude_deg: f64) -> Value {
    let here = Lookup { latitude_deg, longitude_deg, radius_m: 10_000.0, bound: 20 };
    let json = places.nearby(&here, Instant::now() + Duration::from_secs(5)).expect("an answer");
    serde_json::from_slice(&json).expect("JSON")
}

/// Each place as `id name latitude longitude types vicinity`, sorted.
fn lines(places: &Arc<dyn Places>) -> Vec<String> {
    lines_of(&nearby(places))
}

fn lines_of(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("-").to_owned();
    let line = |it: &Value| {
        let types: Vec<_> = it["types"].as_array().expect("types").iter().map(text).collect();
        let at = &it["geometry"]["location"];
        let (name, types) = (text(&it["name"]), types.join(","));
        format!(
            "{} {name} {} {} {types} {}",
            text(&it["place_id"]),
            at["lat"],
            at["lng"],
            text(&it["vicinity"])
        )
    };
    let mut lines: Vec<_> = answer["results"].as_array().expect("results").iter().map(line).collect();
    lines.sort();
    lines
}

fn error(bytes: &[u8]) -> String {
    places::open(&Sample::of(bytes).settings).err().expect("an error")
}

const EXPECTED: [&str; 8] = [
    "osm:node/1 Kahvila 60.17 24.94 cafe,food,bakery,store,pastry,point_of_interest,establishment Katu 5, Kamppi",
    "osm:node/2 Kirkko 60.171 24.94 church,place_of_worship,point_of_interest,establishment Espoo",
    "osm:node/3 Kamppi 60.172 24.94 sublocality,political -",
    "osm:node/7 Only English 60.173 24.94 store,point_of_interest,establishment Kamppi",
    "osm:relation/1 Yliopisto 60.175 24.939 university,point_of_interest,establishment Kamppi",
    "osm:relation/4 Half 60.173 24.943 historic,point_of_interest,establishment Kamppi",
    "osm:way/1 Puisto 60.175 24.941 park,point_of_interest,establishment Kamppi",
    "osm:way/2 Laituri 60.173 24.941 tourist_attraction,point_of_interest,establishment Kamppi",
];

/// Without what is named in another language only.
fn expected() -> Vec<&'static str> {
    EXPECTED.into_iter().filter(|line| !line.contains("English")).collect()
}

#[test]
fn nodes_ways_and_areas_are_places() {
    for is_packed in [true, false] {
        let sample = Sample::of(&extract(is_packed));
        let opened = sample.open();
        assert_eq!(lines(&opened), expected());
        assert!(opened.about()[0].ends_with("7 places read, skipped: 1 without a position in the file"));
        assert!(nearby(&opened)["html_attributions"][0].as_str().expect("one").contains("ODbL"));
    }
}

#[test]
fn ways_and_areas_over_the_date_line_are_there() {
    let at = |id, latitude, longitude| (id, latitude, longitude, &[] as Tags);
    let nodes = [at(1, -17.0, 179.99), at(2, -17.0, -179.97), at(3, -16.98, -179.97), at(4, -16.98, 179.99)];
    let bytes = Extract::new(true)
        .nodes(&nodes)
        .ways(&[
            (1, &[1, 2, 3, 4, 1], &[("name", "Puisto"), ("leisure", "park")]),
            (2, &[1, 2], &[("name", "Laituri"), ("tourism", "attraction")]),
            (3, &[1, 2, 3], &[]),
            (4, &[3, 4, 1], &[]),
        ])
        .relations(&[(
            1,
            &[3, 4],
            &[("type", "multipolygon"), ("name", "Yliopisto"), ("amenity", "university")],
        )]);
    let opened = Sample::of(&bytes.bytes).open();
    let found = lines_of(&nearby_at(&opened, -17.0, 180.0));
    let places: Vec<_> =
        found.iter().map(|line| line.split(' ').take(4).collect::<Vec<_>>().join(" ")).collect();
    let expected = [
        "osm:relation/1 Yliopisto -16.99 -179.99",
        "osm:way/1 Puisto -16.99 -179.99",
        "osm:way/2 Laituri -17 -179.99",
    ];
    assert_eq!(places, expected);
}

#[test]
fn whatever_the_order_and_the_form_of_nodes() {
    let bytes = Extract::new(true).relations(RELATIONS).ways(WAYS).single_nodes(NODES).bytes;
    assert_eq!(lines(&Sample::of(&bytes).open()), expected());
    let mut backward = NODES.to_vec();
    backward.reverse();
    let bytes = Extract::new(false).nodes(&backward).ways(WAYS).relations(RELATIONS);
    assert_eq!(lines(&Sample::of(&bytes.bytes).open()), expected());
    // Blobs of another kind are passed over.
    let mut bytes = extract(true);
    bytes.extend(blob("OSMFuture", b"anything", false));
    assert_eq!(lines(&Sample::of(&bytes).open()), expected());
}

#[test]
fn names_are_in_the_language_that_was_asked_for() {
    let mut sample = Sample::of(&extract(true));
    assert!(!sample.is_from_cache() && sample.is_from_cache());
    for language in ["en", "en-GB"] {
        sample.settings.language = Some(language.to_owned());
        assert!(!sample.is_from_cache() && sample.is_from_cache(), "of another language");
        let found = lines(&sample.open());
        assert!(found[0].starts_with("osm:node/1 Coffee 60.17"), "{found:?}");
        assert_eq!(found[1..], EXPECTED[1..]);
    }
}

#[test]
fn several_files_are_one_set_of_places() {
    let mut sample = Sample::of(&extract(true));
    let table = sample.folder.path().join("ours.csv");
    fs::write(&table, "name,lat,lon,id\nOurs,60.17,24.94,osm:node/1\n").expect("written");
    sample.settings.paths.push(table);
    let before = lines(&sample.open());
    assert_eq!(before.len(), 8);
    assert!(before[1].starts_with("osm:node/1~2 Ours"), "{before:?}");
    assert!(sample.is_from_cache());
    assert_eq!(lines(&sample.open()), before);
}

#[test]
fn what_is_kept_is_for_its_user_and_group_and_is_taken_as_long_as_it_is_of_the_extract() {
    let sample = Sample::of(&extract(true));
    assert!(!sample.is_from_cache() && sample.is_from_cache());
    let mode = |path: &Path| fs::metadata(path).expect("there").permissions().mode() & 0o7777;
    let kept = sample.kept();
    assert_eq!((mode(&kept), mode(kept.parent().expect("a folder"))), (0o640, 0o750));
    assert_eq!(lines(&sample.open()), expected());
    // Another extract, and the same at another time.
    let path = &sample.settings.paths[0];
    fs::write(path, Extract::new(true).nodes(&NODES[..1]).bytes).expect("written");
    assert_eq!(lines(&sample.open()).len(), 1);
    assert!(sample.is_from_cache());
    let file = fs::File::options().write(true).open(path).expect("opened");
    file.set_modified(SystemTime::UNIX_EPOCH).expect("set");
    assert!(!sample.is_from_cache() && sample.is_from_cache());
}

#[test]
fn a_check_keeps_nothing_but_takes_what_is_kept() {
    let mut sample = Sample::of(&extract(true));
    sample.settings.is_cache_kept = false;
    assert!(!sample.is_from_cache() && !sample.folder.path().join("data").exists());
    sample.settings.is_cache_kept = true;
    assert!(!sample.is_from_cache());
    sample.settings.is_cache_kept = false;
    assert!(sample.is_from_cache());
}

#[test]
fn what_is_kept_is_read_anew_when_any_byte_of_it_is_another_or_missing() {
    let sample = Sample::of(&extract(true));
    sample.open();
    let path = sample.kept();
    let good = fs::read(&path).expect("read");
    let broken = (0..good.len()).flat_map(|index| {
        let mut changed = good.clone();
        changed[index] ^= 0x41;
        [changed, good[..index].to_vec()]
    });
    let more = [good.as_slice(), b"x"].concat();
    for bytes in broken.chain([more, b"#!/bin/sh".to_vec()]) {
        fs::write(&path, &bytes).expect("written");
        let opened = sample.open();
        assert!(!opened.about()[0].ends_with("from the cache"));
        assert_eq!(lines(&opened), expected());
        assert_eq!(fs::read(sample.kept()).expect("read"), good, "written anew");
    }
}

#[test]
fn what_cannot_be_kept_is_read_all_the_same() {
    let sample = Sample::of(&extract(true));
    // What should be a folder is a file.
    fs::write(sample.folder.path().join("data"), "").expect("written");
    assert_eq!(lines(&sample.open()), expected());
    assert!(!sample.is_from_cache());
}

#[test]
fn of_many_that_start_at_once_one_reads_and_all_have_the_same() {
    for round in 0..10 {
        let sample = Sample::of(&extract(round % 2 == 0));
        let together = Barrier::new(8);
        let read = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    together.wait();
                    let opened = sample.open();
                    let is_read = !opened.about()[0].ends_with("from the cache");
                    read.fetch_add(u32::from(is_read), Ordering::Relaxed);
                    (0..20).for_each(|_| assert_eq!(lines(&sample.open()), expected()));
                });
            }
        });
        assert_eq!(read.into_inner(), 1);
        assert!(sample.is_from_cache());
        sample.kept();
    }
}

#[test]
fn one_that_was_killed_over_an_extract_or_could_not_read_it_keeps_nobody_waiting() {
    let sample = Sample::of(&extract(true));
    sample.open();
    let kept = sample.kept();
    fs::rename(&kept, kept.with_extension("part")).expect("renamed");
    assert!(!sample.is_from_cache() && sample.is_from_cache());
    let cut = &extract(true)[..100];
    let sample = Sample::of(cut);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| assert!(places::open(&sample.settings).is_err()));
        }
    });
    let folder = sample.settings.cache.as_ref().expect("a folder");
    assert_eq!(fs::read_dir(folder).expect("there").count(), 0);
}

#[test]
fn an_extract_that_is_cut_off_or_changed_is_an_error_or_an_extract() {
    for is_packed in [true, false] {
        let good = extract(is_packed);
        for index in 0..good.len() {
            let mut changed = good.clone();
            changed[index] = changed[index].wrapping_add(97);
            for bytes in [&changed[..], &good[..index]] {
                let mut sample = Sample::of(bytes);
                sample.settings.cache = None;
                if let Err(why) = places::open(&sample.settings) {
                    assert!(
                        why.starts_with("places.path: ") && why.contains("town.osm.pbf:"),
                        "{index}: {why}"
                    );
                }
            }
        }
    }
    let good = extract(true);
    assert!(error(&good[..good.len() - 1]).contains("was it copied or downloaded whole?"));
}

#[test]
fn what_cannot_be_read_says_why() {
    let schema = head(&["OsmSchema-V0.6", "DenseNodes"]);
    let with = |blob: Vec<u8>| [schema.clone(), blob].concat();
    let mut lz4 = Vec::new();
    bytes_field(&mut lz4, 6, b"packed");
    let mut bomb = Vec::new();
    number_field(&mut bomb, 2, 40 << 20);
    bytes_field(&mut bomb, 3, b"packed");
    let mut negative = 12_u32.to_be_bytes().to_vec();
    bytes_field(&mut negative, 1, b"OSMData");
    number_field(&mut negative, 3, u64::MAX);
    negative[3] = negative.len() as u8 - 4;
    let mut nothing_there = vec![0x0a, 6, 0x0a, 4, b's', b'h', b'o', b'p'];
    bytes_field(&mut nothing_there, 2, &[0x1a, 6, 0x12, 1, 9, 0x1a, 1, 9]);
    for (bytes, expected) in [
        (head(&["HistoricalInformation"]), "it has the history of its elements"),
        (head(&["Teleportation"]), "has to be read with \"Teleportation\""),
        (with(framed("OSMData", &lz4)), "compressed by something else than zlib"),
        (with(framed("OSMData", &bomb)), "a blob of over 32 MiB when unpacked"),
        (with(negative), "a blob is longer than 32 MiB"),
        (with(vec![0, 1, 0, 1]), "the header of a blob is longer than 64 KiB"),
        (with(vec![0, 0]), "the file ends within this blob"),
        (with(blob("OSMData", &nothing_there, true)), "a text that is not in the table"),
        (with(Vec::new()), "no places in it"),
    ] {
        let why = error(&bytes);
        assert!(why.contains(expected), "{expected}: {why}");
    }
}

#[test]
fn a_file_larger_than_any_that_fits_is_told_before_it_is_read() {
    let sample = Sample::of(&extract(true));
    let file = fs::File::options().write(true).open(&sample.settings.paths[0]).expect("opened");
    file.set_len(20 << 30).expect("a sparse file");
    let why = places::open(&sample.settings).err().expect("an error");
    assert!(why.contains("it has 21 GB, more than 17 GB"), "{why}");
}
