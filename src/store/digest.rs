//! What tells in 4 KB whether two servers know the same of a time, and where they differ. `store` makes it,
//! links exchange it.

use std::fmt::Write;

use xxhash_rust::xxh3::xxh3_64;

use crate::protocol::{Record, Span};

/// Parts a digest has; a difference is sent as the records of its parts.
pub const PARTS: usize = 256;

/// The sums of the XXH3-64 hashes of the AT lines, in parts by the hash of the client's ID. Equal
/// stores have equal digests on every server, whatever its make; unequal ones have, but for a
/// chance of 1 in 2^64, unequal digests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// The records that are summed were heard within this time.
    pub span: Span,
    sums: Box<[u64; PARTS]>,
    pub count: u64,
}

/// Some of the parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts([bool; PARTS]);

/// The records that are to be sent, as digests differ where they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Differing {
    pub parts: Parts,
    /// The digests were of records heard within this time.
    pub span: Span,
    /// Nothing is known of what the neighbour has of another time, so that it is sent, too.
    pub has_rest: bool,
}

impl Differing {
    /// Whether a record is one of them.
    pub fn has(&self, record: &Record<&[u8]>) -> bool {
        if self.span == Span::ALL || self.span.has(record.received_s()) {
            return self.parts.has(record.client());
        }
        self.has_rest
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.parts.is_empty() && (self.span == Span::ALL || !self.has_rest)
    }

    /// These and others, and those of one within the time of the other.
    pub fn join(&mut self, other: &Differing) {
        self.parts.join(&other.parts);
        let Span { from_s, to_s } = self.span;
        let to_s = to_s.zip(other.span.to_s).map(|(one, other)| one.max(other));
        self.span = Span { from_s: from_s.min(other.span.from_s), to_s };
        self.has_rest |= other.has_rest;
    }
}

impl Default for Digest {
    fn default() -> Digest {
        Digest::of(Span::ALL)
    }
}

/// The part in which a client is.
pub fn part_of(client: &[u8]) -> usize {
    xxh3_64(client) as usize % PARTS
}

impl Digest {
    /// One of records heard within this time, which are to be added.
    pub fn of(span: Span) -> Digest {
        Digest { span, sums: Box::new([0; PARTS]), count: 0 }
    }

    /// Counts in the record of a client.
    pub fn add(&mut self, client: &[u8], line: &[u8]) {
        self.add_note(client, line);
        self.count += 1;
    }

    /// Sums a note, which is of no client that is known.
    pub fn add_note(&mut self, client: &[u8], line: &[u8]) {
        let sum = &mut self.sums[part_of(client)];
        *sum = sum.wrapping_add(xxh3_64(line));
    }

    /// One number for the whole: what people compare.
    pub fn total(&self) -> u64 {
        let bytes: Vec<u8> = self.sums.iter().flat_map(|sum| sum.to_le_bytes()).collect();
        xxh3_64(&bytes)
    }

    /// The parts in which two digests differ.
    pub fn differing(&self, other: &Digest) -> Parts {
        Parts(std::array::from_fn(|part| self.sums[part] != other.sums[part]))
    }

    /// As hexadecimal digits, 16 a part.
    pub fn to_hex(&self) -> String {
        let mut text = String::with_capacity(16 * PARTS);
        for sum in self.sums.iter() {
            let _ = write!(text, "{sum:016x}");
        }
        text
    }

    /// The digest of so many records that `to_hex` wrote.
    pub fn from_hex(span: Span, count: u64, text: &[u8]) -> Option<Digest> {
        if text.len() != 16 * PARTS || !text.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let mut digest = Digest { count, ..Digest::of(span) };
        for (sum, digits) in digest.sums.iter_mut().zip(text.chunks(16)) {
            *sum = u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(digest)
    }
}

impl Parts {
    /// Whether a client's record is in one of them.
    pub fn has(&self, client: &[u8]) -> bool {
        self.0[part_of(client)]
    }

    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|part| !part)
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.0.iter().filter(|part| **part).count()
    }

    /// Those that are among others, too.
    pub fn meet(&mut self, other: &Parts) {
        self.0.iter_mut().zip(other.0).for_each(|(part, other)| *part &= other);
    }

    /// At most so many of them, from part `first` on and round; and the part behind the last of these.
    pub fn some(&self, most: usize, first: usize) -> (Parts, usize) {
        let (mut some, mut next) = ([false; PARTS], first % PARTS);
        let round = (0..PARTS).map(|index| (first + index) % PARTS);
        for part in round.filter(|&part| self.0[part]).take(most) {
            some[part] = true;
            next = (part + 1) % PARTS;
        }
        (Parts(some), next)
    }

    /// These and others.
    pub fn join(&mut self, other: &Parts) {
        self.0.iter_mut().zip(other.0).for_each(|(part, other)| *part |= other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_does_not_matter_and_every_line_does() {
        let digest = |lines: &[(&str, &str)]| {
            let mut digest = Digest::default();
            lines.iter().for_each(|(client, line)| digest.add(client.as_bytes(), line.as_bytes()));
            digest
        };
        let a = digest(&[("a", "AT G +0 a +1+1 1"), ("b", "AT G +0 b +1+1 1")]);
        assert_eq!(a, digest(&[("b", "AT G +0 b +1+1 1"), ("a", "AT G +0 a +1+1 1")]));
        let b = digest(&[("a", "AT G +0 a +1+1 2"), ("b", "AT G +0 b +1+1 1")]);
        assert_ne!(a.total(), b.total());
        let parts = a.differing(&b);
        assert!(parts.has(b"a") && !parts.has(b"b") && !parts.is_empty());
        assert!(a.differing(&a).is_empty());
    }

    #[test]
    fn a_share_of_many_parts_goes_round() {
        let parts = |list: &[usize]| Parts(std::array::from_fn(|part| list.contains(&part)));
        let all = parts(&[3, 7, 250]);
        assert_eq!((all.count(), all.some(9, 5)), (3, (all.clone(), 4)));
        assert_eq!(all.some(2, 0), (parts(&[3, 7]), 8));
        assert_eq!(all.some(2, 8), (parts(&[250, 3]), 4));
        let mut common = all;
        common.meet(&parts(&[7, 9]));
        assert_eq!(common, parts(&[7]));
    }

    #[test]
    fn what_differs_joins_to_all_that_either_has() {
        let span = |from_s, to_s| Span { from_s, to_s };
        let parts = |part| Parts(std::array::from_fn(|index| index == part));
        let of =
            |part, from_s, to_s| Differing { parts: parts(part), span: span(from_s, to_s), has_rest: false };
        let mut differing = of(1, Some(5), Some(9));
        differing.join(&of(2, Some(3), Some(7)));
        assert_eq!((differing.parts.count(), differing.span), (2, span(Some(3), Some(9))));
        differing.join(&of(2, None, None));
        assert_eq!(differing.span, Span::ALL);
    }

    #[test]
    fn digits_come_back_as_the_digest_and_nothing_else_does() {
        let mut digest = Digest::default();
        digest.add(b"kiwi", b"AT G +0 kiwi +1+1 1");
        let text = digest.to_hex();
        let from_hex = |text: &[u8]| Digest::from_hex(Span::ALL, 1, text);
        assert_eq!(from_hex(text.as_bytes()), Some(digest));
        assert_eq!(from_hex(&text.as_bytes()[1..]), None);
        assert_eq!(from_hex(text.replace('0', "+").as_bytes()), None);
        assert_eq!(from_hex(text.replace('0', "g").as_bytes()), None);
    }
}
