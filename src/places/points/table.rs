//! CSV and TSV as rows, for `points::rows`: a header that names the columns in any order, a row a place.

use csv::{ByteRecord, Position, ReaderBuilder};

use super::row::{Row, Spot, types};

/// The header names of each column, in lower case.
const NAME: &[&str] = &["name"];
const LATITUDE: &[&str] = &["lat", "latitude"];
const LONGITUDE: &[&str] = &["lon", "lng", "longitude"];
const ID: &[&str] = &["id"];
const TYPES: &[&str] = &["types", "type"];
const VICINITY: &[&str] = &["vicinity"];

/// Where in a row the fields are.
struct Columns {
    name: usize,
    latitude: usize,
    longitude: usize,
    id: Option<usize>,
    types: Option<usize>,
    vicinity: Option<usize>,
}

/// A row for each record; the error begins with a line number.
pub fn rows(bytes: &[u8]) -> Result<Vec<Row>, String> {
    let header_line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let delimiter = if header_line.contains(&b'\t') { b'\t' } else { b',' };
    let mut reader = ReaderBuilder::new().delimiter(delimiter).flexible(true).from_reader(bytes);
    let header = reader.byte_headers().map_err(|e| format!("1: {e}"))?.clone();
    let columns = Columns::of(&header)?;
    Ok(reader
        .byte_records()
        .map(|record| {
            let record = record.map_err(|e| (line(bytes, e.position()), e.to_string()))?;
            let line = line(bytes, record.position());
            columns.spot(&record, line).map_err(|why| (line, why))
        })
        .collect())
}

/// The line a record begins on: its position may be before blank lines that the reader skips.
fn line(bytes: &[u8], position: Option<&Position>) -> u64 {
    let Some(position) = position else {
        return 0;
    };
    let start = usize::try_from(position.byte()).unwrap_or(usize::MAX);
    let skipped = bytes.get(start..).unwrap_or_default().iter().take_while(|b| b"\r\n".contains(b));
    position.line() + skipped.filter(|byte| **byte == b'\n').count() as u64
}

impl Columns {
    fn of(header: &ByteRecord) -> Result<Columns, String> {
        let titles: Vec<String> =
            header.iter().map(|title| String::from_utf8_lossy(title).trim().to_ascii_lowercase()).collect();
        let find = |names: &[&str]| titles.iter().position(|title| names.contains(&title.as_str()));
        let need = |names: &[&str]| {
            let missing = || format!("1: no column {}: add it to the header", names.join(" or "));
            find(names).ok_or_else(missing)
        };
        Ok(Columns {
            name: need(NAME)?,
            latitude: need(LATITUDE)?,
            longitude: need(LONGITUDE)?,
            id: find(ID),
            types: find(TYPES),
            vicinity: find(VICINITY),
        })
    }

    fn spot(&self, record: &ByteRecord, line: u64) -> Result<Spot, String> {
        let cell = |index: usize| match str::from_utf8(record.get(index).unwrap_or_default()) {
            Ok(cell) => Ok(cell.trim()),
            Err(_) => Err("not UTF-8".to_string()),
        };
        let optional = |index: Option<usize>| {
            Ok::<_, String>(index.map(cell).transpose()?.filter(|cell| !cell.is_empty()))
        };
        let degrees = |what: &str, index: usize| {
            let cell = cell(index)?;
            cell.parse::<f64>().map_err(|_| format!("{what} {cell:?} is not a number"))
        };
        Spot {
            latitude_deg: degrees("latitude", self.latitude)?,
            longitude_deg: degrees("longitude", self.longitude)?,
            name: cell(self.name)?.to_string(),
            id: optional(self.id)?.map_or_else(|| format!("file:{line}"), str::to_string),
            types: types(optional(self.types)?.unwrap_or_default()),
            vicinity: optional(self.vicinity)?.map(str::to_string),
        }
        .checked()
    }
}
