//! Packs src/places/data/gazetteer.tsv into the form `src/places/providers/pack.rs` describes, for `include_bytes!`, and says
//! how the program is laid out.

#[allow(dead_code)] // the reader uses all of the form, the writer only most of it
#[path = "src/places/providers/pack.rs"]
mod pack;

use std::collections::BTreeMap;
use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use pack::{AIRPORT_ID_MIN, Columns, MAGIC, UNITS_PER_DEGREE};

const TABLE: &str = "src/places/data/gazetteer.tsv";
const LAYOUT: &str = "packaging/layout.ld";
/// Towns by which a map is labelled.
const LABELS: usize = 5_000;
const HEADER: &str = "lat\tlon\tname\tregion\tcountry\ttype\tpopulation\tid";

struct Row<'a> {
    latitude: i32,
    longitude: i32,
    id: u32,
    name: &'a str,
    /// Region and country, as shown.
    vicinity: String,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/places/providers/pack.rs");
    println!("cargo::rerun-if-changed={TABLE}");
    lay_out();
    if env::var_os("CARGO_FEATURE_GAZETTEER").is_none() {
        return Ok(());
    }
    let table = fs::read_to_string(TABLE).map_err(|e| format!("{TABLE}: {e}"))?;
    let mut lines = table.lines();
    if lines.next() != Some(HEADER) {
        return Err(format!("{TABLE}:1: the header is not {HEADER:?}").into());
    }
    let (mut rows, mut towns) = (Vec::new(), Vec::new());
    for (index, line) in lines.enumerate() {
        towns.extend(town(line));
        rows.push(row(line).ok_or_else(|| format!("{TABLE}:{}: bad row", index + 2))?);
    }
    rows.sort_by_key(|row| (row.latitude, row.longitude, row.id));
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    fs::write(out.join("gazetteer.pack"), packed(&rows)?)?;
    // The largest first.
    towns.sort_by_key(|(people, _)| std::cmp::Reverse(*people));
    let labels: String = towns.iter().take(LABELS).map(|(_, line)| line.as_str()).collect();
    fs::write(out.join("labels.tsv"), labels)?;
    Ok(())
}

/// Has the linker put together what a server executes, so that the system maps less of the program. See packaging/layout.
fn lay_out() {
    println!("cargo::rerun-if-changed={LAYOUT}");
    let var = |name| env::var(name).unwrap_or_default();
    let linker = var("RUSTC_LINKER");
    let linker = linker.rsplit('/').next().unwrap_or_default();
    // Other linkers than GNU's and LLVM's do not take it, and they are named by an argument.
    let flag = match linker {
        _ if var("CARGO_ENCODED_RUSTFLAGS").contains("link") => return,
        "rust-lld" => "-T",
        "" | "cc" => "-Wl,-T,",
        _ if linker.ends_with("gcc") => "-Wl,-T,",
        _ => return,
    };
    if var("PROFILE") == "release" && var("CARGO_CFG_TARGET_OS") == "linux" {
        println!("cargo::rustc-link-arg-bins={flag}{}/{LAYOUT}", var("CARGO_MANIFEST_DIR"));
    }
}

/// How many live in a town, and its line among the labels.
fn town(line: &str) -> Option<(u64, String)> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [latitude, longitude, name, _, _, "locality", people, _] = fields[..] else { return None };
    Some((people.parse().ok()?, format!("{latitude}\t{longitude}\t{name}\n")))
}

fn row(line: &str) -> Option<Row<'_>> {
    let fields: Vec<&str> = line.split('\t').collect();
    let [latitude, longitude, name, region, country, kind, _, id] = fields[..] else {
        return None;
    };
    let id = match (id.split_once(':')?, kind) {
        (("gn", number), "locality") => number.parse().ok().filter(|id| *id < AIRPORT_ID_MIN)?,
        (("ap", code), "airport") => {
            let code = u32::from_be_bytes(code.as_bytes().try_into().ok()?);
            Some(code).filter(|code| *code >= AIRPORT_ID_MIN)?
        }
        _ => return None,
    };
    let vicinity = if region.is_empty() { country.into() } else { format!("{region}, {country}") };
    let (latitude, longitude) = (units(latitude, 90.0)?, units(longitude, 180.0)?);
    Some(Row { latitude, longitude, id, name, vicinity })
}

fn units(degrees: &str, limit_deg: f64) -> Option<i32> {
    let degrees: f64 = degrees.parse().ok().filter(|deg: &f64| deg.abs() <= limit_deg)?;
    Some((degrees * UNITS_PER_DEGREE).round() as i32)
}

fn packed(rows: &[Row<'_>]) -> Result<Vec<u8>, Box<dyn Error>> {
    let mut regions: BTreeMap<&str, u16> = BTreeMap::new();
    for row in rows {
        regions.insert(&row.vicinity, 0);
    }
    for (number, region) in regions.values_mut().enumerate() {
        *region = u16::try_from(number)?;
    }
    let name_bytes = rows.iter().map(|row| row.name.len()).sum();
    let text_bytes = regions.keys().map(|text| text.len()).sum();

    let mut pack = MAGIC.to_vec();
    for number in [rows.len(), regions.len(), name_bytes, text_bytes] {
        pack.extend(u32::try_from(number)?.to_le_bytes());
    }
    pack.extend(rows.iter().flat_map(|row| row.latitude.to_le_bytes()));
    pack.extend(rows.iter().flat_map(|row| row.longitude.to_le_bytes()));
    pack.extend(rows.iter().flat_map(|row| row.id.to_le_bytes()));
    starts(&mut pack, rows.iter().map(|row| row.name))?;
    pack.extend(rows.iter().flat_map(|row| regions[row.vicinity.as_str()].to_le_bytes()));
    starts(&mut pack, regions.keys().copied())?;
    pack.extend(rows.iter().flat_map(|row| row.name.bytes()));
    pack.extend(regions.keys().flat_map(|text| text.bytes()));

    let columns = Columns::new(rows.len(), regions.len(), name_bytes, text_bytes);
    if pack.len() != columns.end {
        return Err("the writer and src/places/providers/pack.rs disagree".into());
    }
    Ok(pack)
}

fn starts<'a>(pack: &mut Vec<u8>, texts: impl Iterator<Item = &'a str>) -> Result<(), Box<dyn Error>> {
    let mut start = 0;
    pack.extend(u32::to_le_bytes(0));
    for text in texts {
        start += text.len();
        pack.extend(u32::try_from(start)?.to_le_bytes());
    }
    Ok(())
}
