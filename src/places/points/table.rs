//! CSV, TSV and their like as places, for `points::read`: a header that names the columns in any order, a row a place.
//! The delimiter is told by the header line alone.

use csv::{ByteRecord, ReaderBuilder};

use super::row::{self, Place, Reading, shown, types};
use super::spot::Spot;
use crate::limits::{PLACE_FIELD_LINES_MAX, PLACE_TEXT_MAX, TITLE_LINES_MAX};

/// What may stand between columns, most telling first, and what such a file is called.
const DELIMITERS: [(u8, &str); 4] = [
    (b'\t', "tab-separated"),
    (b';', "semicolon-separated"),
    (b'|', "bar-separated"),
    (b',', "comma-separated"),
];

/// Where in a row the fields are.
struct Columns {
    /// Of each kind, best first: what is blank in one may be in the next.
    name: Vec<usize>,
    latitude: Vec<usize>,
    longitude: Vec<usize>,
    id: Vec<usize>,
    types: Vec<usize>,
    vicinity: Vec<usize>,
    /// How many the header has.
    count: usize,
}

/// How the rows are to be read.
struct Layout {
    columns: Columns,
    delimiter: u8,
    /// Bytes and lines up to the first row.
    begin: usize,
    lines: u64,
}

/// Reads all rows; an error is about the whole file, and begins with a line number.
pub fn read(bytes: &[u8], reading: &mut Reading) -> Result<(), String> {
    let layout = Layout::of(bytes)?;
    let rows = &bytes[layout.begin..];
    if layout.delimiter == b'\t' { layout.plain(rows, reading) } else { layout.quoted(rows, reading) }
}

impl Layout {
    fn of(bytes: &[u8]) -> Result<Layout, String> {
        let (mut begin, mut lines) = (0, 1);
        let mut told = None;
        // Excel's first line may say what is between columns.
        if let [b's' | b'S', b'e' | b'E', b'p' | b'P', b'=', delimiter, rest @ ..] = bytes {
            told = Some(*delimiter);
            begin = 5 + end_of_line(rest);
            lines += 1;
        }
        while begin < bytes.len()
            && bytes[begin..begin + line_length(&bytes[begin..])].iter().all(u8::is_ascii_whitespace)
        {
            begin += end_of_line(&bytes[begin..]);
            lines += 1;
        }
        let header = &bytes[begin..];
        let candidates =
            DELIMITERS.iter().filter(|(delimiter, _)| told.is_none_or(|told| told == *delimiter));
        let mut guess: Option<(Vec<String>, &str)> = None;
        let mut unclosed = None;
        for &(delimiter, called) in candidates {
            let (titles, length) = titles(header, delimiter);
            let is_open = delimiter != b'\t' && Quotes::of(&header[..length], delimiter).are_open;
            if is_open || titles.iter().any(|title| title.lines().count() > TITLE_LINES_MAX) {
                // Read by another delimiter it is another row.
                unclosed = Some(format!(
                    "{lines}: a quote that begins in the header goes on into the rows: close it"
                ));
                continue;
            }
            if let Ok(columns) = Columns::of(&titles) {
                let passed = header[..length].iter().filter(|byte| **byte == b'\n').count() as u64;
                let passed = passed.max(u64::from(length > line_length(header)));
                return Ok(Layout { columns, delimiter, begin: begin + length, lines: lines + passed });
            }
            if guess.as_ref().is_none_or(|(best, _)| best.len() < titles.len()) {
                guess = Some((titles, called));
            }
        }
        if let Some(why) = unclosed {
            return Err(why);
        }
        let Some((titles, called)) = guess else {
            let told = char::from(told.unwrap_or(b'?'));
            return Err(format!("1: sep={told:?}: columns are separated by a comma, semicolon, bar or tab"));
        };
        let missing = Columns::of(&titles).err().unwrap_or_default();
        let count = crate::logging::count(titles.len() as u64, "column");
        Err(format!(
            "{lines}: read as {called}: found {count}, {}: {missing}",
            shown(titles.iter().map(String::as_str))
        ))
    }

    /// Rows in which nothing is quoted: TSV, whose cells hold neither tabs nor line breaks.
    fn plain(&self, mut rest: &[u8], reading: &mut Reading) -> Result<(), String> {
        let (mut line, mut number) = (self.lines, 0);
        while !rest.is_empty() {
            let length = line_length(rest);
            let record: ByteRecord = rest[..length].split(|byte| *byte == self.delimiter).collect();
            self.row(
                &record,
                Place { number: number + 1, line: Some(line), what: "row" },
                &mut number,
                reading,
            )?;
            rest = &rest[end_of_line(rest)..];
            line += 1;
        }
        Ok(())
    }

    fn quoted(&self, rows: &[u8], reading: &mut Reading) -> Result<(), String> {
        let mut reader = ReaderBuilder::new()
            .delimiter(self.delimiter)
            .flexible(true)
            .has_headers(false)
            .from_reader(rows);
        let (mut record, mut number, mut line, mut counted) = (ByteRecord::new(), 0, self.lines, 0);
        loop {
            // The reader passes over blank lines before a row.
            let start = position(&reader);
            match reader.read_byte_record(&mut record) {
                Ok(true) => {}
                Ok(false) => return Ok(()),
                Err(why) => return Err(format!("{line}: {why}")),
            }
            let blank = rows[start..].iter().take_while(|byte| b"\r\n".contains(byte)).count();
            line += lines_in(rows, counted..start + blank);
            counted = start + blank;
            let end = position(&reader);
            let at = Place { number: number + 1, line: Some(line), what: "row" };
            let text = &rows[counted..end.max(counted)];
            if let Some(why) = swallowed(&record, text, self.delimiter, end == rows.len()) {
                number += 1;
                reading.bad(at, count_lines(text).max(1), &why);
                continue;
            }
            self.row(&record, at, &mut number, reading)?;
        }
    }

    fn row(
        &self,
        record: &ByteRecord,
        at: Place,
        number: &mut u64,
        reading: &mut Reading,
    ) -> Result<(), String> {
        if record.iter().all(|cell| cell.trim_ascii().is_empty()) {
            return Ok(());
        }
        *number += 1;
        let surplus = record.iter().skip(self.columns.count).any(|cell| !cell.trim_ascii().is_empty());
        if surplus {
            let (cells, titles) = (record.len(), self.columns.count);
            let cause = if self.delimiter == b',' { ", and decimals with a point" } else { "" };
            let why = format!(
                "it has {cells} cells, and the header {titles}: write what has a delimiter in it in quotes{cause}"
            );
            reading.bad(at, 1, &why);
            return Ok(());
        }
        let spot = self.columns.spot(record, self.delimiter != b',');
        if matches!(&spot, Ok(None)) {
            reading.skip("without a position");
        }
        reading.take(at, spot)
    }
}

/// What is wrong with a row that has taken more than is its own: a quote that is not closed where it should be.
fn swallowed(record: &ByteRecord, text: &[u8], delimiter: u8, is_last: bool) -> Option<String> {
    let quotes = Quotes::of(text, delimiter);
    if is_last && quotes.are_open {
        return Some("a quote that begins in this row is never closed".to_owned());
    }
    let lines = |cell: &[u8]| count_lines(cell) as usize;
    let characters = |cell: &[u8]| String::from_utf8_lossy(cell).chars().count();
    let long = record.iter().find(|cell| lines(cell) > 0 && characters(cell) > PLACE_TEXT_MAX);
    let tall = record.iter().find(|cell| lines(cell) > PLACE_FIELD_LINES_MAX);
    // A quote of another row has closed this one.
    let broken = || record.iter().find(|cell| lines(cell) > 0).filter(|_| quotes.go_on);
    let cell = tall.or(long).or_else(broken)?;
    let begin: String = String::from_utf8_lossy(cell).chars().take(20).collect();
    let (lines, characters) = (lines(cell) + 1, characters(cell));
    Some(format!(
        "a quote that begins in this row, {begin:?}, goes on for {lines} lines and {characters} characters: close it, or double it where it is part of a name"
    ))
}

/// What quotes do to a row.
struct Quotes {
    /// It ends within them.
    are_open: bool,
    /// Something stands between a closing one and the next delimiter.
    go_on: bool,
}

impl Quotes {
    fn of(text: &[u8], delimiter: u8) -> Quotes {
        let (mut quoted, mut begins, mut go_on) = (false, true, false);
        let mut bytes = text.iter().peekable();
        while let Some(&byte) = bytes.next() {
            match (quoted, byte) {
                (true, b'"') if bytes.peek() == Some(&&b'"') => {
                    bytes.next();
                }
                (true, b'"') => {
                    quoted = false;
                    let ends = [delimiter, b'\n', b'\r', b' '];
                    go_on |= bytes.peek().is_some_and(|next| !ends.contains(next));
                }
                (false, b'"') if begins => quoted = true,
                _ => {}
            }
            begins = !quoted && (byte == delimiter || byte == b'\n' || byte == b'\r');
        }
        Quotes { are_open: quoted, go_on }
    }
}

fn position<R: std::io::Read>(reader: &csv::Reader<R>) -> usize {
    usize::try_from(reader.position().byte()).unwrap_or(usize::MAX)
}

/// Bytes up to the end of a line, which `\n`, `\r\n` or `\r` is.
fn line_length(bytes: &[u8]) -> usize {
    memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len())
}

/// The same with what ends it.
fn end_of_line(bytes: &[u8]) -> usize {
    let length = line_length(bytes);
    let end = match bytes.get(length..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([_, ..]) => 1,
        Some([]) | None => 0,
    };
    length + end
}

fn count_lines(bytes: &[u8]) -> u64 {
    lines_in(bytes, 0..bytes.len())
}

/// Line ends in a part of a text; a `\r\n` is one, where its `\n` is.
fn lines_in(bytes: &[u8], part: std::ops::Range<usize>) -> u64 {
    let is_end = |index: &usize| match bytes[*index] {
        b'\n' => true,
        b'\r' => bytes.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    part.filter(is_end).count() as u64
}

/// The titles of a header, and how long it is with the end of its line.
fn titles(header: &[u8], delimiter: u8) -> (Vec<String>, usize) {
    let text = |cell: &[u8]| String::from_utf8_lossy(cell).trim().to_owned();
    if delimiter == b'\t' {
        let cells = header[..line_length(header)].split(|byte| *byte == delimiter);
        return (cells.map(text).collect(), end_of_line(header));
    }
    // A title may hold line breaks, but no more than a field may.
    let most = &header[..header.len().min(64 * 1024)];
    let mut reader =
        ReaderBuilder::new().delimiter(delimiter).flexible(true).has_headers(false).from_reader(most);
    let mut record = ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => {
            // The reader leaves the second half of a line's end to the next row.
            let end = position(&reader);
            let is_cut = header[..end].ends_with(b"\r") && header[end..].starts_with(b"\n");
            (record.iter().map(text).collect(), end + usize::from(is_cut))
        }
        Ok(false) | Err(_) => (Vec::new(), end_of_line(header)),
    }
}

impl Columns {
    fn of(titles: &[String]) -> Result<Columns, String> {
        let columns = |keys: &[&str]| -> Vec<usize> {
            let named = |key: &&str| titles.iter().position(|title| title.trim().eq_ignore_ascii_case(key));
            keys.iter().filter_map(named).collect()
        };
        let need = |what: &str, keys: &[&str]| {
            let missing = || format!("no column for the {what}: add one named {}", keys.join(" or "));
            Some(columns(keys)).filter(|found| !found.is_empty()).ok_or_else(missing)
        };
        Ok(Columns {
            name: need("name", row::NAME)?,
            latitude: need("latitude", row::LATITUDE)?,
            longitude: need("longitude", row::LONGITUDE)?,
            id: columns(row::ID),
            types: columns(row::TYPES),
            vicinity: columns(row::VICINITY),
            count: titles.len(),
        })
    }

    /// The place in a row; None where it says no position.
    fn spot(&self, record: &ByteRecord, has_decimal_commas: bool) -> Result<Option<Spot>, String> {
        let cell = |indices: &[usize]| {
            let mut cells = indices.iter().map(|&index| utf8(record.get(index).unwrap_or_default()));
            cells.find(|cell| !matches!(cell, Ok(""))).unwrap_or(Ok(""))
        };
        let optional = |indices: &[usize]| {
            Ok::<_, String>(Some(cell(indices)?.to_owned()).filter(|cell| !cell.is_empty()))
        };
        let (latitude, longitude) = (cell(&self.latitude)?, cell(&self.longitude)?);
        let is_none =
            |cell: &str| ["", "null", "nan", "none", "n/a"].iter().any(|no| cell.eq_ignore_ascii_case(no));
        if is_none(latitude) && is_none(longitude) {
            return Ok(None);
        }
        let degrees = |what: &str, cell: &str| {
            let number = match has_decimal_commas && !cell.contains('.') {
                true => cell.replacen(',', ".", 1),
                false => cell.to_owned(),
            };
            number.parse::<f64>().map_err(|_| format!("{what} {cell:?} is not a number"))
        };
        Ok(Some(Spot {
            latitude_deg: degrees("latitude", latitude)?,
            longitude_deg: degrees("longitude", longitude)?,
            name: cell(&self.name)?.to_owned(),
            id: optional(&self.id)?,
            types: types(&optional(&self.types)?.unwrap_or_default()),
            vicinity: optional(&self.vicinity)?,
        }))
    }
}

/// The text of a cell; an error that names what it seems to be.
fn utf8(cell: &[u8]) -> Result<&str, String> {
    str::from_utf8(cell).map(str::trim).map_err(|why| {
        let byte = cell.get(why.valid_up_to()).copied().unwrap_or_default();
        let letter = if byte >= 0xa0 {
            format!(", which is {:?} in Latin-1", char::from(byte))
        } else {
            String::new()
        };
        format!("not UTF-8: it has the byte 0x{byte:02x}{letter}; save the file as UTF-8")
    })
}
