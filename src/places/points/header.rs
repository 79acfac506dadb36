//! The header of a table: what is between its columns, and which of them say what. `table` reads rows by it.

use csv::{ByteRecord, ReaderBuilder};

use super::lines::{end_of_line, is_blank, line_length, trim};
use super::quotes::{Quotes, Rows};
use super::row::{self, not_utf8, shown, types};
use super::spot::Spot;
use crate::limits::TITLE_LINES_MAX;

/// What may stand between columns, most telling first, and what such a file is called.
const DELIMITERS: [(u8, &str); 4] = [
    (b'\t', "tab-separated"),
    (b';', "semicolon-separated"),
    (b'|', "bar-separated"),
    (b',', "comma-separated"),
];

/// Where in a row the fields are.
pub struct Columns {
    /// Of each kind, best first: what is blank in one may be in the next.
    name: Vec<usize>,
    latitude: Vec<usize>,
    longitude: Vec<usize>,
    id: Vec<usize>,
    types: Vec<usize>,
    vicinity: Vec<usize>,
    /// How many the header has.
    pub count: usize,
}

/// How the rows are to be read.
pub struct Layout {
    pub columns: Columns,
    pub delimiter: u8,
    /// Bytes and lines up to the first row.
    pub begin: usize,
    pub lines: u64,
    /// Whether a line that begins with `#` is a comment, as there is one before the header.
    pub has_comments: bool,
    /// What is worth a word about the header.
    pub note: Option<String>,
}

impl Layout {
    /// Finds the header, behind what may stand before it.
    ///
    /// # Errors
    /// It lacks a column. The error begins with a line number.
    pub fn of(bytes: &[u8]) -> Result<Layout, String> {
        let told = told_delimiter(bytes);
        let (mut begin, mut lines) = if told.is_some() { (end_of_line(bytes), 2) } else { (0, 1) };
        let mut has_comments = false;
        while begin < bytes.len() {
            let line = &bytes[begin..begin + line_length(&bytes[begin..])];
            if let Some(comment) = line.trim_ascii_start().strip_prefix(b"#") {
                // A header may begin so, too.
                if candidates(told).any(|(delimiter, _)| Columns::of(&titles(comment, delimiter).0).is_ok()) {
                    begin += line.len() - comment.len();
                    break;
                }
                has_comments = true;
            } else if !is_blank_row(line) {
                break;
            }
            begin += end_of_line(&bytes[begin..]);
            lines += 1;
        }
        let found = Layout::at(&bytes[begin..], told, lines)?;
        Ok(Layout { begin: begin + found.begin, has_comments, ..found })
    }

    fn at(header: &[u8], told: Option<u8>, lines: u64) -> Result<Layout, String> {
        let mut guess: Option<(Vec<String>, &str)> = None;
        let mut unclosed = None;
        let line = &header[..line_length(header)];
        let not_utf8 = str::from_utf8(line).err().map(|why| not_utf8(line[why.valid_up_to()]));
        for (delimiter, called) in candidates(told) {
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
                let note = not_utf8.map(|why| format!("{lines}: the header is {why}"));
                let (begin, lines) = (length, lines + passed);
                return Ok(Layout { columns, delimiter, begin, lines, has_comments: false, note });
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
        Err(format!("{lines}: {}", lacking(&titles, told.is_some(), called, not_utf8)))
    }
}

/// What a header lacks, and as what it was read.
fn lacking(titles: &[String], is_told: bool, called: &str, not_utf8: Option<String>) -> String {
    let missing = Columns::of(titles).err().unwrap_or_default();
    let encoding = not_utf8.map(|why| format!("; {why}")).unwrap_or_default();
    let found = crate::logging::count(titles.len() as u64, "column");
    let shown = shown(titles.iter().map(String::as_str));
    match titles {
        [] => format!("there is no row that names the columns: add one, such as name,lat,lon{encoding}"),
        [_] if !is_told => format!(
            "found {found}, {shown}, as no tab, semicolon, bar or comma is in that line: {missing}{encoding}"
        ),
        _ => format!("read as {called}: found {found}, {shown}: {missing}{encoding}"),
    }
}

/// What Excel's first line may say is between columns, `sep=;`: in quotes as well, and with more of them behind it.
fn told_delimiter(bytes: &[u8]) -> Option<u8> {
    let line = bytes[..line_length(bytes)].trim_ascii_start();
    let line = line.strip_prefix(b"\"").unwrap_or(line);
    let (sep, rest) = line.split_at_checked(4)?;
    let (delimiter, rest) = rest.split_first()?;
    let is_all = rest.iter().all(|byte| byte == delimiter || b"\" ".contains(byte));
    (sep.eq_ignore_ascii_case(b"sep=") && is_all).then_some(*delimiter)
}

/// What may be between columns.
fn candidates(told: Option<u8>) -> impl Iterator<Item = (u8, &'static str)> {
    DELIMITERS.into_iter().filter(move |(delimiter, _)| told.is_none_or(|told| told == *delimiter))
}

/// Whether a line has blank cells only.
fn is_blank_row(line: &[u8]) -> bool {
    let is_between = |byte: &u8| *byte == b'"' || DELIMITERS.iter().any(|(delimiter, _)| delimiter == byte);
    line.split(is_between).all(is_blank)
}

/// The titles of a header, and how long it is with the end of its line.
fn titles(header: &[u8], delimiter: u8) -> (Vec<String>, usize) {
    let text = |cell: &[u8]| trim(&String::from_utf8_lossy(cell)).to_owned();
    if header.is_empty() {
        return (Vec::new(), 0);
    }
    if delimiter == b'\t' {
        let cells = header[..line_length(header)].split(|byte| *byte == delimiter);
        return (cells.map(text).collect(), end_of_line(header));
    }
    // A title may hold line breaks, but no more than a field may.
    let most = &header[..header.len().min(64 * 1024)];
    let mut reader = ReaderBuilder::new()
        .delimiter(delimiter)
        .flexible(true)
        .has_headers(false)
        .from_reader(Rows::of(most, delimiter));
    let mut record = ByteRecord::new();
    match reader.read_byte_record(&mut record) {
        Ok(true) => {
            // The reader leaves the second half of a line's end to the next row.
            let end = usize::try_from(reader.position().byte()).unwrap_or(usize::MAX).min(header.len());
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
    pub fn spot(&self, record: &ByteRecord, has_decimal_commas: bool) -> Result<Option<Spot>, String> {
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
    let byte = |why: std::str::Utf8Error| cell.get(why.valid_up_to()).copied().unwrap_or_default();
    str::from_utf8(cell).map(trim).map_err(|why| not_utf8(byte(why)))
}
