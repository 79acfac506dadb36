//! A line of the journal: the CRC-32 of what follows, in eight hexadecimal digits, a space, and an
//! AT line or `SEEN NEIGHBOUR INCARNATION EPOCH`.

use crate::limits::{ENTRIES_KEPT_BYTES, ENTRY_HEAD_BYTES as HEAD};

/// Bytes an entry has more than its line, the newline included.
pub const EXTRA: usize = HEAD + 1;

/// Entries on their way to the journal: records that were heard, then reports, then what vouches for
/// records. Which of them are written depends on the journal.
#[derive(Default)]
pub struct Entries {
    bytes: Vec<u8>,
    /// So many bytes are records that stay known, whatever becomes of this.
    heard: usize,
    /// So many are records; the rest vouches for them.
    records: usize,
}

/// What a turn has for the journal, by what becomes of it where it is refused.
#[derive(Clone, Copy)]
pub struct Share<'a> {
    pub all: &'a [u8],
    /// Its beginning: all but what vouches for records.
    pub records: &'a [u8],
    /// The beginning of that: records that stay known.
    pub heard: &'a [u8],
}

impl<'a> Share<'a> {
    /// Whole entries of records that stay known.
    pub fn known(entries: &'a [u8]) -> Share<'a> {
        Share { all: entries, records: entries, heard: entries }
    }
}

impl<'a> From<&'a Entries> for Share<'a> {
    fn from(entries: &'a Entries) -> Share<'a> {
        let all = &entries.bytes[..];
        Share { all, records: &all[..entries.records], heard: &all[..entries.heard] }
    }
}

impl Entries {
    /// Adds the line of a record that is known.
    pub fn hear(&mut self, line: &[u8]) {
        debug_assert_eq!(self.heard, self.bytes.len(), "what was heard comes first");
        write(line, &mut self.bytes);
        (self.heard, self.records) = (self.bytes.len(), self.bytes.len());
    }

    /// Adds the line of a report that is refused if it is not kept.
    pub fn report(&mut self, line: &[u8]) {
        debug_assert_eq!(self.records, self.bytes.len(), "records come first");
        write(line, &mut self.bytes);
        self.records = self.bytes.len();
    }

    /// Adds a line that says that a neighbour's records are in the journal.
    pub fn vouch(&mut self, line: &[u8]) {
        write(line, &mut self.bytes);
    }

    pub fn all(&self) -> &[u8] {
        &self.bytes
    }

    pub fn clear(&mut self) {
        self.bytes.clear();
        (self.heard, self.records) = (0, 0);
        self.bytes.shrink_to(ENTRIES_KEPT_BYTES);
    }
}

/// Appends a line, given without its newline, as an entry.
pub fn write(line: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(&head(line));
    out.extend_from_slice(line);
    out.push(b'\n');
}

/// The line of an entry, given without its newline; None if it is not as it was written.
pub fn read(entry: &[u8]) -> Option<&[u8]> {
    let (found, line) = entry.split_at_checked(HEAD)?;
    (found == head(line)).then_some(line)
}

/// What an entry has before its line, which is given without its newline.
pub fn head(line: &[u8]) -> [u8; HEAD] {
    let (sum, mut head) = (crc32fast::hash(line).to_be_bytes(), [b' '; HEAD]);
    for (digits, byte) in head.chunks_exact_mut(2).zip(sum) {
        digits.copy_from_slice(&[byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nothing_that_differs_in_a_bit() {
        let line = b"AT Goloman +0.1 kiwi +1+1 15";
        let mut entry = Vec::new();
        write(line, &mut entry);
        // The check value of CRC-32/ISO-HDLC over this line, so that the format stays what it is.
        assert_eq!(&entry[..HEAD], format!("{:08x} ", crc32fast::hash(line)).as_bytes());
        assert_eq!(entry.len(), line.len() + EXTRA);
        entry.pop();
        assert_eq!(read(&entry), Some(&line[..]));
        for byte in 0..entry.len() {
            assert_eq!(read(&entry[..byte]), None, "cut at {byte}");
            for bit in 0..8 {
                entry[byte] ^= 1 << bit;
                assert_eq!(read(&entry), None, "bit {bit} of byte {byte}");
                entry[byte] ^= 1 << bit;
            }
        }
        assert_eq!(crc32fast::hash(b"123456789"), 0xcbf4_3926, "the published check value");
    }
}
