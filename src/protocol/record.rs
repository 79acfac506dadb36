//! A record is its AT line. It knows where its fields lie and which of two records is newer.
//! `command` and `node` make records, `store` keeps them, the flood carries them.

use std::cmp::Ordering;

use memchr::memrchr;

use super::{Coordinates, Location, Timestamp, decimal, timestamp};
use crate::limits::AT_LINE_MAX;

/// Where the fields of an AT line lie. Between any two of them is exactly one space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    client: u16,
    location: u16,
    time: u16,
}

/// An AT line without its newline: `AT origin difference client location time`.
#[derive(Clone, Copy, Debug)]
pub struct Record<L> {
    line: L,
    offsets: Offsets,
}

/// A record as the store keeps it, in a piece of memory: three numbers, and then its line. Where the time begins, which
/// is the last field, is found again when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct StoredRecord<'a> {
    line: &'a [u8],
    client: u16,
    location: u16,
}

/// The origin of a note, which no server is called: everything that was heard of its client up to its time is void.
pub const NOTE_ORIGIN: &[u8] = b"*";

/// Whether an AT line is a note. It is a record like any other but for its origin: of two notes the later one wins, and
/// both are kept, sent, compared and written to the journal like records of clients. Its location says nothing.
pub fn is_note(line: &[u8]) -> bool {
    line.get(3..5) == Some(b"* ")
}

/// The five fields behind `AT`.
#[derive(Clone, Copy)]
pub struct AtFields<'a> {
    pub origin: &'a [u8],
    pub difference: &'a [u8],
    pub client: &'a [u8],
    pub location: Location<'a>,
    pub time: Timestamp<'a>,
}

impl Offsets {
    /// Appends the AT line of `parts` to `out` and returns where its fields lie.
    /// No line is longer than `limits::AT_LINE_MAX`, so that an offset fits in 16 bits.
    pub fn write(parts: &AtFields<'_>, out: &mut Vec<u8>) -> Offsets {
        let AtFields { origin, difference, client, location, time } = *parts;
        let start = out.len();
        [&b"AT "[..], origin, b" ", difference].iter().for_each(|part| out.extend_from_slice(part));
        Offsets::write_rest(client, location, time, start, out)
    }

    /// The same from behind the difference on, of a line that begins at `start`.
    pub(super) fn write_rest(
        client: &[u8],
        location: Location<'_>,
        time: Timestamp<'_>,
        start: usize,
        out: &mut Vec<u8>,
    ) -> Offsets {
        let client_at = out.len() + 1 - start;
        let location_at = client_at + client.len() + 1;
        let time_at = location_at + location.text().len() + 1;
        for field in [client, location.text(), time.text()] {
            out.push(b' ');
            out.extend_from_slice(field);
        }
        debug_assert!(out.len() - start <= AT_LINE_MAX, "a line of {} bytes", out.len() - start);
        Offsets { client: client_at as u16, location: location_at as u16, time: time_at as u16 }
    }

    /// The client's ID in the line these offsets belong to.
    pub fn client(self, line: &[u8]) -> &[u8] {
        &line[self.client as usize..self.location as usize - 1]
    }
}

impl<L: AsRef<[u8]>> Record<L> {
    /// `line` must be what [`Offsets::write`] appended when it returned `offsets`.
    pub fn new(line: L, offsets: Offsets) -> Record<L> {
        Record { line, offsets }
    }

    /// The AT line, without a newline: the same bytes on every server.
    pub fn line(&self) -> &[u8] {
        self.line.as_ref()
    }

    pub fn offsets(&self) -> Offsets {
        self.offsets
    }

    /// The client's ID.
    pub fn client(&self) -> &[u8] {
        self.offsets.client(self.line())
    }

    /// The client's location, as the client wrote it.
    pub fn location(&self) -> &[u8] {
        &self.line()[self.offsets.location as usize..self.offsets.time as usize - 1]
    }

    /// Degrees north of the equator and east of Greenwich.
    pub fn degrees(&self) -> (f64, f64) {
        // A record holds no location but a valid one.
        let location = Location::parse(self.location());
        location.map_or((0.0, 0.0), |location| (location.latitude_deg(), location.longitude_deg()))
    }

    /// Where the client is, to seven decimals of a degree.
    pub fn coordinates(&self) -> Coordinates {
        Coordinates::of_text(&self.line()[self.offsets.location as usize..])
    }

    /// The client's time, as it wrote it.
    pub fn time(&self) -> &[u8] {
        &self.line()[self.offsets.time as usize..]
    }

    /// Whether the client's time is later than this one, in ns since 1970.
    pub fn is_later_than(&self, ns: u64) -> bool {
        // A record holds no time but a valid one.
        Timestamp::parse(self.time()).is_some_and(|time| time.is_later(ns))
    }

    /// Whether it is a note that its client is to be forgotten.
    pub fn is_note(&self) -> bool {
        is_note(self.line())
    }

    /// The client's time in ns since 1970, or the latest that fits.
    pub fn time_ns(&self) -> u64 {
        u64::try_from(decimal::nanos(self.time())).unwrap_or(u64::MAX)
    }

    /// The name of the server that heard it.
    pub fn origin(&self) -> &[u8] {
        self.origin_and_difference().0
    }

    /// That server's clock when it heard it, less the client's time.
    pub fn difference(&self) -> &[u8] {
        self.origin_and_difference().1
    }

    /// The origin server's name and the difference it took.
    fn origin_and_difference(&self) -> (&[u8], &[u8]) {
        let both = &self.line()[3..self.offsets.client as usize - 1];
        let space = both.iter().position(|&b| b == b' ').unwrap_or(both.len());
        (&both[..space], both.get(space + 1..).unwrap_or_default())
    }

    /// When the origin server heard it, in s since 1970: the client's time and the difference. Every
    /// server finds the same, whatever its own clock says.
    pub fn received_s(&self) -> i64 {
        if let Some(received_ns) = self.received_short_ns() {
            return received_ns.div_euclid(1_000_000_000);
        }
        let received_s = self.received_ns().div_euclid(1_000_000_000);
        received_s.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    /// The same in ns.
    pub fn received_ns(&self) -> i128 {
        if let Some(received_ns) = self.received_short_ns() {
            return received_ns.into();
        }
        let (sign, difference) = self.sign_and_difference();
        let (time, difference) = (decimal::nanos(self.time()), decimal::nanos(difference));
        if sign == b"-" { time - difference } else { time + difference }
    }

    /// The same in 64 bits, where both have few digits, as all have until 2096.
    fn received_short_ns(&self) -> Option<i64> {
        let (sign, difference) = self.sign_and_difference();
        let (time, difference) = (decimal::short_nanos(self.time())?, decimal::short_nanos(difference)?);
        Some(if sign == b"-" { time - difference } else { time + difference })
    }

    fn sign_and_difference(&self) -> (&[u8], &[u8]) {
        let (_, difference) = self.origin_and_difference();
        difference.split_at_checked(1).unwrap_or_default()
    }

    /// The total order by which every server settles on the same record of a client: time as an
    /// exact number, location, origin, difference, and, so that no two lines are ever equal, the
    /// time's digits.
    pub fn cmp_age<M: AsRef<[u8]>>(&self, other: &Record<M>) -> Ordering {
        self.cmp_report(other)
            .then_with(|| self.origin_and_difference().1.cmp(other.origin_and_difference().1))
            .then_with(|| self.time().cmp(other.time()))
    }

    /// The same order down to the origin. A client that repeats its report to the same server
    /// says nothing new, though the repetition's difference is greater.
    pub fn cmp_report<M: AsRef<[u8]>>(&self, other: &Record<M>) -> Ordering {
        timestamp::cmp_exact(self.time(), other.time())
            .then_with(|| self.location().cmp(other.location()))
            .then_with(|| self.origin_and_difference().0.cmp(other.origin_and_difference().0))
    }
}

impl<'a> Record<&'a [u8]> {
    /// Writes the AT line of `parts` in place of what is in `line`.
    pub fn write(parts: &AtFields<'_>, line: &'a mut Vec<u8>) -> Record<&'a [u8]> {
        line.clear();
        let offsets = Offsets::write(parts, line);
        Record::new(line, offsets)
    }
}

/// What the AT lines of a server begin with: all before the difference.
pub fn head_of(origin: &str) -> Vec<u8> {
    format!("AT {origin} ").into_bytes()
}

impl<'a> StoredRecord<'a> {
    /// Bytes before the line.
    const HEAD: usize = size_of::<[u16; 3]>();

    /// How many bytes a record takes with its three numbers.
    pub fn size(record: &Record<&[u8]>) -> usize {
        StoredRecord::HEAD + record.line.len()
    }

    /// Writes a record to memory of that size or more.
    pub fn write(record: &Record<&[u8]>, memory: &mut [u8]) {
        let Offsets { client, location, time: _ } = record.offsets;
        let length = record.line.len();
        let numbers = [length as u16, client, location].map(u16::to_le_bytes);
        memory[..StoredRecord::HEAD].copy_from_slice(numbers.as_flattened());
        memory[StoredRecord::HEAD..][..length].copy_from_slice(record.line);
    }

    /// The record that was written to this memory.
    pub fn read(memory: &'a [u8]) -> StoredRecord<'a> {
        let number = |at: usize| u16::from_le_bytes([memory[at], memory[at + 1]]);
        let line = &memory[StoredRecord::HEAD..][..usize::from(number(0))];
        StoredRecord { line, client: number(2), location: number(4) }
    }

    /// The AT line, without a newline.
    pub fn line(self) -> &'a [u8] {
        self.line
    }

    /// The client's ID.
    pub fn client(self) -> &'a [u8] {
        &self.line[self.client as usize..self.location as usize - 1]
    }

    pub fn is_note(self) -> bool {
        is_note(self.line)
    }

    /// The same record, with the place of its time.
    pub fn record(self) -> Record<&'a [u8]> {
        let time = memrchr(b' ', self.line).map_or(0, |space| space + 1) as u16;
        Record::new(self.line, Offsets { client: self.client, location: self.location, time })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Command;
    use super::*;

    fn record(line: &str) -> Record<Vec<u8>> {
        let mut out = Vec::new();
        let Ok(Command::At(parts)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        let offsets = Offsets::write(&parts, &mut out);
        Record::new(out, offsets)
    }

    #[test]
    fn fields_are_found_again() {
        let record = record("AT  Goloman\t+0.263873386 kiwi +34-118 1520023934.9 ");
        assert_eq!(record.line(), b"AT Goloman +0.263873386 kiwi +34-118 1520023934.9");
        assert_eq!(record.client(), b"kiwi");
        assert_eq!(record.location(), b"+34-118");
        assert_eq!(record.time(), b"1520023934.9");
        assert_eq!(record.origin_and_difference(), (&b"Goloman"[..], &b"+0.263873386"[..]));
    }

    #[test]
    fn newer_is_time_then_location_then_origin_then_difference() {
        let ascending = [
            "AT Wilkes +9.9 c +9+9 1",
            "AT Goloman +0.1 c +1+1 1.5",
            "AT Goloman +0.1 c +1+1 1.50",
            "AT Goloman +0.2 c +1+1 1.5",
            "AT Hands +0.1 c +1+1 1.5",
            "AT Goloman +0.1 c +1+2 1.5",
            "AT Goloman +0.1 c -1+1 1.5",
            "AT Goloman +0.1 c +1+1 2",
            "AT Goloman +0.1 c +1+1 10",
        ];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(record(a).cmp_age(&record(b)), i.cmp(&j), "{a} | {b}");
            }
        }
    }

    #[test]
    fn a_repeated_report_is_equal_whatever_its_difference() {
        let (first, again) = (record("AT G +0.1 c +1+1 1.5"), record("AT G +7.5 c +1+1 1.5"));
        assert_eq!(first.cmp_report(&again), Ordering::Equal);
        assert_eq!(first.cmp_report(&record("AT H +0.1 c +1+1 1.5")), Ordering::Less);
    }

    #[test]
    fn the_origins_receipt_is_time_and_difference() {
        let check = |line: &str, expected: i64| assert_eq!(record(line).received_s(), expected, "{line}");
        check("AT G +0.263873386 c +1+1 1520023934.918963997", 1_520_023_935);
        check("AT G -0.918963998 c +1+1 1520023934.918963997", 1_520_023_933);
        check("AT G +12 c +1+1 5", 17);
        check("AT G -12.5 c +1+1 5", -8);
        check("AT G +0.9999999999999999999 c +1+1 0.000000001", 1);
        check("AT G +1 c +1+1 999999999999999999999999999999999999999999999", i64::MAX);
    }

    #[test]
    fn a_record_comes_back_from_memory() {
        for line in ["AT G +0.1 c +1+1 1.5", "AT G +0.123 c +2+2 3", "AT * +0 kiwi +0+0 40"] {
            let record = record(line);
            let borrowed = Record::new(record.line(), record.offsets());
            let mut memory = vec![0xff; StoredRecord::size(&borrowed) + 3];
            StoredRecord::write(&borrowed, &mut memory);
            let stored = StoredRecord::read(&memory);
            assert_eq!((stored.line(), stored.client()), (line.as_bytes(), record.client()));
            assert_eq!(stored.is_note(), record.is_note());
            assert_eq!(
                (stored.record().time(), stored.record().offsets()),
                (record.time(), record.offsets())
            );
        }
    }
}
