//! How fast a large extract is read, and in how much memory. It makes one of invented data:
//! `cargo test --release --test it large_extract -- --ignored --nocapture`
//! HERD_OSM_FILE names another one to be read instead, HERD_OSM_MB how large the invented one is.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use super::encode::Extract;
use crate::harness::Herd;

/// Elements in a block, as most programs write them.
const BLOCK: usize = 8_000;

/// Of so many nodes one is a place of itself, and of so many ways.
const NODES_A_PLACE: i64 = 50;
const WAYS_A_PLACE: i64 = 12;

/// Nodes of a way, of which each has its own but for the first one, which closes it.
const NODES_A_WAY: i64 = 9;

#[test]
#[ignore = "it measures, and takes a minute"]
fn a_large_extract() {
    let herd = Herd::new(&["Goloman"], &[], "log_dir = \"log\"", &[]);
    let folder = herd.folder.path();
    let path = match std::env::var_os("HERD_OSM_FILE") {
        Some(path) => path.into(),
        None => {
            let mb: u64 = std::env::var("HERD_OSM_MB").map_or(200, |mb| mb.parse().expect("a number"));
            let path = folder.join("large.osm.pbf");
            write(&path, mb * 1_000_000);
            path
        }
    };
    let bytes = fs::metadata(&path).expect("there").len();
    let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
    let places = format!("[places]\nprovider = \"file\"\npath = {path:?}\n");
    fs::write(folder.join("herd.conf"), format!("{conf}\n{places}")).expect("written");
    for what in ["from the file", "from the cache"] {
        let begun = Instant::now();
        let server = herd.start("Goloman");
        let took = begun.elapsed();
        let most_mb = server.process.status("VmHWM") as f64 / 1e3;
        let rate = bytes as f64 / 1e6 / took.as_secs_f64();
        println!(
            "{:.0} MB {what}: {took:.2?}, {rate:.0} MB/s, at most {most_mb:.0} MB of memory",
            bytes as f64 / 1e6
        );
        server.stop();
    }
    let log = fs::read_to_string(folder.join("log/Goloman.log")).expect("read");
    log.lines().filter(|line| line.contains("places: ")).for_each(|line| println!("{line}"));
}

/// Writes an extract of about so many bytes: a walk of nodes over a country, ways of them one after the other, and
/// areas of these.
fn write(path: &Path, bytes_max: u64) {
    let mut out = BufWriter::new(File::create(path).expect("created"));
    let mut random = fastrand::Rng::with_seed(7);
    let mut written = 0;
    let mut put = |extract: Extract| {
        written += extract.bytes.len() as u64;
        out.write_all(&extract.bytes).expect("written");
        written
    };
    put(Extract::new(true));
    let (mut next, mut at) = (1_i64, (61.0, 25.0));
    loop {
        let named: Vec<_> = (next..next + BLOCK as i64).map(|id| format!("Kahvila {id}")).collect();
        let tags: Vec<_> = named.iter().map(|name| [("name", name.as_str()), ("amenity", "cafe")]).collect();
        let nodes: Vec<_> = (0..BLOCK)
            .map(|index| {
                let id = next + index as i64;
                at.0 = (at.0 + 0.001 * (random.f64() - 0.5)).clamp(59.0, 70.0);
                at.1 = (at.1 + 0.001 * (random.f64() - 0.5)).clamp(20.0, 31.0);
                let tags = match id {
                    _ if id % NODES_A_PLACE == 0 => &tags[index][..],
                    _ if id % 100_000 == 1 => &[("name", "Kylä"), ("place", "village")],
                    _ => &[],
                };
                (id, at.0, at.1, tags)
            })
            .collect();
        next += BLOCK as i64;
        if put(Extract::more().nodes(&nodes)) > bytes_max / 10 * 7 {
            break;
        }
    }
    let mut way = 1_i64;
    while (way + BLOCK as i64) * NODES_A_WAY < next {
        let ids: Vec<_> = (way..way + BLOCK as i64).collect();
        let names: Vec<_> = ids.iter().map(|id| format!("Puisto {id}")).collect();
        let tags: Vec<_> = names.iter().map(|name| [("name", name.as_str()), ("leisure", "park")]).collect();
        let nodes: Vec<Vec<i64>> = ids
            .iter()
            .map(|id| (0..NODES_A_WAY - 1).chain([0]).map(|step| id * NODES_A_WAY + step).collect())
            .collect();
        let building = [("building", "yes")];
        let tags = (0..BLOCK).map(|index| match ids[index] % WAYS_A_PLACE {
            0 => &tags[index][..],
            _ => &building[..],
        });
        let ways: Vec<_> =
            ids.iter().zip(&nodes).zip(tags).map(|((id, nodes), tags)| (*id, &nodes[..], tags)).collect();
        put(Extract::more().ways(&ways));
        way += BLOCK as i64;
    }
    let tags = [("type", "multipolygon"), ("name", "Sairaala"), ("amenity", "hospital")];
    let members: Vec<[i64; 2]> = (1..way / 500).map(|id| [id * 500, id * 500 + 1]).collect();
    for (index, some) in members.chunks(BLOCK).enumerate() {
        let id = |at: usize| (index * BLOCK + at) as i64 + 1;
        let relations: Vec<_> =
            some.iter().enumerate().map(|(at, ways)| (id(at), &ways[..], &tags[..])).collect();
        put(Extract::more().relations(&relations));
    }
    out.flush().expect("written");
    println!("{next} nodes, {way} ways, {} areas", members.len());
}
