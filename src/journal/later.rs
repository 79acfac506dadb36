//! What other versions of herd wrote: the first line of a segment says which version of the format it has, and lines
//! with words of a later version are kept for it. `replay` reads them, and a compaction writes them anew.

use std::collections::BTreeSet;

use super::entry;
use crate::limits::LATER_KEPT_BYTES;
use crate::protocol::vouch::is_vouch;

/// The version of the format that this version of herd writes. One that adds words keeps the number, as those before
/// keep what they do not know; one that gives a word another meaning has a higher one. Segments without the line,
/// of versions before it, are read as the first.
pub const VERSION: u64 = 1;

/// What the line begins with.
const WORD: &[u8] = b"HERD-JOURNAL ";

/// The first entry of a segment.
pub fn first() -> Vec<u8> {
    let mut first = Vec::new();
    entry::write(&[WORD, VERSION.to_string().as_bytes()].concat(), &mut first);
    first
}

/// The version that a line states: `HERD-JOURNAL 1`, or with more behind the number, `HERD-JOURNAL 1.2`. None of a line
/// that states none.
pub fn version_of(line: &[u8]) -> Option<u64> {
    let stated = std::str::from_utf8(line.strip_prefix(WORD)?).ok()?;
    let digits = stated.split(|c: char| !c.is_ascii_digit()).next()?;
    // So large a number is a later one, too.
    (!digits.is_empty()).then(|| digits.parse().unwrap_or(u64::MAX))
}

/// Whether a line, which is as it was written, has a word that this version does not know.
pub fn is_later(line: &[u8]) -> bool {
    !line.starts_with(b"AT ") && !is_vouch(line)
}

/// Entries of later versions, each once, as their order does not matter.
#[derive(Debug, Default)]
pub struct Later {
    entries: BTreeSet<Vec<u8>>,
    bytes: usize,
}

impl Later {
    /// Takes an entry, given without its newline; false when there is no room for it.
    pub fn keep(&mut self, entry: &[u8]) -> bool {
        if self.entries.contains(entry) {
            return true;
        }
        if self.bytes + entry.len() >= LATER_KEPT_BYTES {
            return false;
        }
        self.bytes += entry.len() + 1;
        self.entries.insert(entry.to_vec())
    }

    pub fn count(&self) -> usize {
        self.entries.len()
    }

    /// All of them, as they stand in a segment.
    pub fn all(&self) -> Vec<u8> {
        self.entries.iter().flat_map(|entry| entry.iter().copied().chain([b'\n'])).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_number_and_what_is_behind_it_is_for_those_who_know_it() {
        for (line, expected) in [
            ("HERD-JOURNAL 1", Some(1)),
            ("HERD-JOURNAL 2", Some(2)),
            ("HERD-JOURNAL 1.7 x", Some(1)),
            ("HERD-JOURNAL 99999999999999999999", Some(u64::MAX)),
            ("HERD-JOURNAL ", None),
            ("HERD-JOURNAL x", None),
            ("HERD-JOURNALS 1", None),
            ("AT G +0 a +1+1 1", None),
        ] {
            assert_eq!(version_of(line.as_bytes()), expected, "{line}");
        }
        let first = first();
        assert_eq!(entry::read(&first[..first.len() - 1]).and_then(version_of), Some(VERSION));
    }

    #[test]
    fn what_is_kept_is_kept_once_and_bounded() {
        let mut later = Later::default();
        assert!([b"b", b"a", b"b"].iter().all(|entry| later.keep(*entry)));
        assert_eq!(later.all(), b"a\nb\n");
        let large = vec![b'x'; LATER_KEPT_BYTES / 2];
        assert!(
            later.keep(&large) && later.keep(&large) && !later.keep(&[large.clone(), b"y".to_vec()].concat())
        );
        assert_eq!(later.count(), 3);
    }
}
