//! Lines and blanks of a table. `table`, `header` and `quotes` ask.

/// Whether there is nothing to be seen in a cell: blanks of every kind, and what old systems end files with.
pub fn is_blank(cell: &[u8]) -> bool {
    match cell.first() {
        None => true,
        Some(byte) if byte.is_ascii_graphic() => false,
        Some(_) => str::from_utf8(cell).is_ok_and(|text| trim(text).is_empty()),
    }
}

/// A text without the blanks around it.
pub fn trim(text: &str) -> &str {
    text.trim_matches(|letter: char| letter.is_whitespace() || "\u{1a}\u{feff}\u{200b}\0".contains(letter))
}

/// Bytes up to the end of a line, which `\n`, `\r\n` or `\r` is.
pub fn line_length(bytes: &[u8]) -> usize {
    memchr::memchr2(b'\n', b'\r', bytes).unwrap_or(bytes.len())
}

/// The same with what ends it.
pub fn end_of_line(bytes: &[u8]) -> usize {
    let length = line_length(bytes);
    let end = match bytes.get(length..) {
        Some([b'\r', b'\n', ..]) => 2,
        Some([_, ..]) => 1,
        Some([]) | None => 0,
    };
    length + end
}

pub fn count_lines(bytes: &[u8]) -> u64 {
    lines_in(bytes, 0..bytes.len())
}

/// Line ends in a part of a text; a `\r\n` is one, where its `\n` is.
pub fn lines_in(bytes: &[u8], part: std::ops::Range<usize>) -> u64 {
    let is_end = |index: &usize| match bytes[*index] {
        b'\n' => true,
        b'\r' => bytes.get(index + 1) != Some(&b'\n'),
        _ => false,
    };
    part.filter(is_end).count() as u64
}
