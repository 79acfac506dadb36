//! Quotes in a row of a table: where they begin and end, and rows that have taken more than is their own. `table` and
//! `header` ask.

use std::io::{self, Read};

use csv::ByteRecord;

use super::lines::count_lines;
use crate::limits::{PLACE_FIELD_LINES_MAX, PLACE_TEXT_MAX};

/// What is wrong with a row that has taken more than is its own: a quote that is not closed where it should be.
pub fn swallowed(record: &ByteRecord, text: &[u8], delimiter: u8, is_last: bool) -> Option<String> {
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
pub struct Quotes {
    /// It ends within them.
    pub are_open: bool,
    /// Something stands between a closing one and the next delimiter.
    go_on: bool,
}

impl Quotes {
    pub fn of(text: &[u8], delimiter: u8) -> Quotes {
        let (mut quoted, mut begins, mut go_on) = (false, true, false);
        let mut index = 0;
        while let Some(&byte) = text.get(index) {
            let next = text.get(index + 1);
            match (quoted, byte) {
                (true, b'"') if next == Some(&b'"') => index += 1,
                (true, b'"') => {
                    quoted = false;
                    let ends = [delimiter, b'\n', b'\r', b' '];
                    go_on |= next.is_some_and(|next| !ends.contains(next));
                }
                (false, b'"' | b' ') if begins => {
                    let blanks = blanks_before_quote(&text[index..], delimiter);
                    index += blanks.unwrap_or(0);
                    quoted = blanks.is_some();
                }
                _ => {}
            }
            begins = !quoted && (byte == delimiter || byte == b'\n' || byte == b'\r');
            index += 1;
        }
        Quotes { are_open: quoted, go_on }
    }
}

/// How many blanks stand before the quote that a field begins with; None where it begins with none. Behind blanks it is
/// one if it is closed where the field ends, in the same line, and else a part of the text.
fn blanks_before_quote(field: &[u8], delimiter: u8) -> Option<usize> {
    let blanks = field.iter().take_while(|byte| **byte == b' ').count();
    let mut rest = field[blanks..].strip_prefix(b"\"")?;
    if blanks == 0 {
        return Some(0);
    }
    loop {
        let end = rest.iter().position(|byte| b"\"\r\n".contains(byte)).filter(|end| rest[*end] == b'"')?;
        rest = &rest[end + 1..];
        match rest.strip_prefix(b"\"") {
            Some(more) => rest = more,
            None => break,
        }
    }
    let next = rest.iter().find(|byte| **byte != b' ');
    next.is_none_or(|next| [delimiter, b'\n', b'\r'].contains(next)).then_some(blanks)
}

/// Rows as `csv` reads them, for which a quote is one at the very beginning of a field only: of `a, "b, c"` they are
/// `a," b, c"`, so that each byte stays where it is.
pub struct Rows<'a> {
    rest: &'a [u8],
    delimiter: u8,
    at: At,
}

/// Where in a field reading is.
enum At {
    /// Nowhere that matters, to the end of the rows.
    Plain,
    Begin,
    /// Behind a quote that was put before so many blanks.
    Blanks(usize),
    Quoted,
    Behind,
}

impl Rows<'_> {
    pub fn of(rows: &[u8], delimiter: u8) -> Rows<'_> {
        let at = if memchr::memmem::find(rows, b" \"").is_some() { At::Begin } else { At::Plain };
        Rows { rest: rows, delimiter, at }
    }

    /// The next byte.
    fn step(&mut self, byte: u8) -> u8 {
        if matches!(self.at, At::Begin)
            && let Some(blanks @ 1..) = blanks_before_quote(self.rest, self.delimiter)
        {
            self.at = At::Blanks(blanks);
            return b'"';
        }
        self.rest = &self.rest[1..];
        let is_end = byte == self.delimiter || byte == b'\n' || byte == b'\r';
        self.at = match self.at {
            At::Blanks(blanks @ 2..) => At::Blanks(blanks - 1),
            At::Blanks(_) => {
                // The quote itself, which was put before them.
                self.rest = self.rest.get(1..).unwrap_or_default();
                At::Quoted
            }
            At::Begin if byte == b'"' => At::Quoted,
            // What is doubled is closed and opened.
            At::Quoted if byte == b'"' && self.rest.first() == Some(&b'"') => At::Begin,
            At::Quoted if byte != b'"' => At::Quoted,
            _ if is_end => At::Begin,
            _ => At::Behind,
        };
        byte
    }
}

impl Read for Rows<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if matches!(self.at, At::Plain) {
            return self.rest.read(out);
        }
        let mut count = 0;
        while let (Some(place), Some(&byte)) = (out.get_mut(count), self.rest.first()) {
            *place = self.step(byte);
            count += 1;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quote_behind_blanks_is_one_where_the_field_ends_with_it() {
        for (rows, expected) in [
            ("a, \"b, c\",d\n", "a,\" b, c\",d\n"),
            ("  \"a\"  ,   \"b\"\r\n \"c\"", "\"  a\"  ,\"   b\"\r\n\" c\""),
            ("a, \"b \"\"c\"\",d\"", "a,\" b \"\"c\"\",d\""),
            ("\"a, \"\"b\"\"\", \"c\"", "\"a, \"\"b\"\"\",\" c\""),
            ("\"a\n, \"\"b\", \"c\"", "\"a\n, \"\"b\",\" c\""),
        ] {
            for size in [1, 2, 3, 7, 100] {
                let (mut reader, mut out) = (Rows::of(rows.as_bytes(), b','), Vec::new());
                let mut some = vec![0; size];
                while let Ok(count @ 1..) = reader.read(&mut some) {
                    out.extend(&some[..count]);
                }
                assert_eq!(String::from_utf8_lossy(&out), expected);
            }
        }
        for rows in ["a, \"b,c\n", "a, 5\",c\n", "a, \"b\" c,d", "a \"b\",c", "", " \"", "\"a, \"b"] {
            let mut out = Vec::new();
            Rows::of(rows.as_bytes(), b',').read_to_end(&mut out).expect("read");
            assert_eq!(String::from_utf8_lossy(&out), rows);
        }
    }
}
