//! Points, and which of them are near a position.
//!
//! Lives here: the search (`near`), and the user's own points as rows of a file (`row`), which is a table or GeoJSON.
//! Called by: the providers `gazetteer` and `file` for both, `overpass` for the distance.
//! May touch: bytes and numbers only. It opens no file and knows no provider.

mod geojson;
mod near;
mod row;
mod table;

pub use near::{Points, distance_m, within};
pub use row::{Row, Spot};

/// The rows of either kind of file; the error begins with a line number.
pub fn rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
    // Spreadsheets begin their exports with a byte order mark.
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') => geojson::rows(bytes),
        _ => table::rows(bytes),
    }
}
