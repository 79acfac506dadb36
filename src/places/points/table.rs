//! CSV, TSV and their like as places, for `points::read`: a header that names the columns in any order, a row a place.
//! The delimiter is told by the header line alone.

use csv::{ByteRecord, ReaderBuilder};

use super::header::Layout;
use super::lines::{count_lines, end_of_line, is_blank, line_length, lines_in};
use super::quotes::{Rows, swallowed};
use super::row::{Place, Reading};

/// Reads all rows; an error is about the whole file, and begins with a line number.
pub fn read(bytes: &[u8], reading: &mut Reading) -> Result<(), String> {
    let layout = Layout::of(bytes)?;
    reading.notes.extend(layout.note.clone());
    let rows = &bytes[layout.begin..];
    if layout.delimiter == b'\t' { layout.plain(rows, reading) } else { layout.quoted(rows, reading) }
}

impl Layout {
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
            .from_reader(Rows::of(rows, self.delimiter));
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
        if record.iter().all(is_blank) {
            return Ok(());
        }
        if self.has_comments && record.get(0).is_some_and(|cell| cell.trim_ascii_start().starts_with(b"#")) {
            reading.skip("that are comments");
            return Ok(());
        }
        *number += 1;
        let surplus = record.iter().skip(self.columns.count).any(|cell| !is_blank(cell));
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

fn position<R: std::io::Read>(reader: &csv::Reader<R>) -> usize {
    usize::try_from(reader.position().byte()).unwrap_or(usize::MAX)
}
