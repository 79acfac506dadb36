//! Points, and which of them are near a position.
//!
//! Lives here: the search (`near`), the user's own points in memory (`pack`), and how they are read (`row`, `spot`) from
//! a table (`table`, with `header`, `quotes`, `lines`), from GeoJSON (`geojson`, with `feature`, `shape`, `dateline`,
//! `extent`, `crs`, `json`), or from an extract of OpenStreetMap (`osm`).
//! Called by: the providers `gazetteer` and `file` for both, `overpass` for the distance.
//! May touch: bytes and numbers only. It opens no file and knows no provider.

mod columns;
mod crs;
mod dateline;
mod extent;
mod feature;
mod geojson;
mod header;
mod json;
mod lines;
mod near;
pub mod osm;
pub mod pack;
mod quotes;
pub mod row;
pub mod shape;
mod spot;
mod table;

#[cfg(feature = "gazetteer")]
pub use near::within;
pub use near::{BANDS, Points, distance_m, nearest};
pub use row::Reading;

/// What a file begins with that is none of those that can be read, and what to do about it.
const FOREIGN: [(&[u8], &str); 6] = [
    (b"\xff\xfe", "it is UTF-16: save it as UTF-8"),
    (b"\xfe\xff", "it is UTF-16: save it as UTF-8"),
    (b"\x1f\x8b", "it is compressed (gzip): unpack it"),
    (b"BZh", "it is compressed (bzip2): unpack it"),
    (
        b"PK\x03\x04",
        "it is a ZIP archive, as spreadsheets (.xlsx, .ods) are, too: save it as CSV, or unpack it",
    ),
    (b"<", "it is XML (KML, GPX, OSM): convert it to GeoJSON, or take the .osm.pbf"),
];

/// Reads all places of a table or of GeoJSON, whichever it is.
///
/// # Errors
/// It is neither, or it is not as it should be as a whole. The error begins with a line number.
pub fn read(bytes: &[u8], reading: &mut Reading) -> Result<(), String> {
    // Spreadsheets begin their exports with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    // DOS ended texts with a Ctrl-Z, and some programs still do.
    let bytes = bytes.strip_suffix(b"\x1a").unwrap_or(bytes);
    let first = bytes.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(0);
    if let Some((_, what)) = FOREIGN.iter().find(|(begin, _)| bytes[first..].starts_with(begin)) {
        return Err(format!("1: {what}"));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err("1: it is empty".to_owned());
    }
    let head = &bytes[..bytes.len().min(400)];
    if head.iter().filter(|byte| **byte == 0).count() > head.len() / 4 {
        return Err("1: it seems to be UTF-16: save it as UTF-8".to_owned());
    }
    match (bytes.get(first), json::in_script(bytes)) {
        (Some(b'{' | b'[' | 0x1e), _) => geojson::read(bytes, reading),
        (_, Some(inside)) => geojson::read(inside, reading),
        _ => table::read(bytes, reading),
    }
}

#[cfg(test)]
mod tests;
