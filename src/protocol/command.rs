//! One line to one command, valid in every part, or the reason why not. The door for lines answers it.

use super::decimal::{self, Decimal};
use super::line::Fields;
use super::neighbour::Word;
use super::record::{AtFields, Offsets, Record};
use super::rule::{self, Rule};
use super::{Location, Timestamp};
use crate::limits::{BOUND_MAX, NEAREST_MAX, NEAREST_RADIUS_MAX_KM, RADIUS_MAX_KM};

/// What a line asks for.
pub enum Command<'a> {
    /// White space only: no command and no reply.
    Blank,
    /// A client says where it is.
    Iamat(Report<'a>),
    /// A client asks what is near a client.
    Whatsat(Query<'a>),
    /// A client asks who is near a position.
    Near(Vicinity<'a>),
    /// A client asks how many clients there are.
    Count,
    /// A client asks to be told what happens, of those whose IDs begin so, or of all.
    Watch(Option<&'a [u8]>),
    /// A neighbour passes on what it learned.
    At(AtFields<'a>),
    /// A neighbour opens a link, or says how far it is on one.
    Link(Word<'a>),
}

/// A line that is no command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// The first rule that it breaks.
    pub rule: Rule,
    /// Its first field is AT: from a neighbour it is a record that was damaged or cut off.
    pub is_at: bool,
}

/// The three fields of an IAMAT, as the client wrote them.
pub struct Report<'a> {
    pub client: &'a [u8],
    pub location: Location<'a>,
    pub time: Timestamp<'a>,
}

impl Report<'_> {
    /// Writes the AT line of it, when it is heard at `now_ns` (POSIX time) by the server whose lines have this `head`, in
    /// place of what is in `line`.
    pub fn record<'a>(&self, head: &[u8], now_ns: u64, line: &'a mut Vec<u8>) -> Record<&'a [u8]> {
        line.clear();
        line.extend_from_slice(head);
        self.time.write_difference(now_ns, line);
        let offsets = Offsets::write_rest(self.client, self.location, self.time, 0, line);
        Record::new(line, offsets)
    }

    /// Appends the command, with its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        for field in [b"IAMAT", self.client, self.location.text()] {
            out.extend_from_slice(field);
            out.push(b' ');
        }
        out.extend_from_slice(self.time.text());
        out.push(b'\n');
    }
}

/// The three fields of a WHATSAT.
pub struct Query<'a> {
    pub client: &'a [u8],
    /// 0 to 50,000.
    pub radius_m: f64,
    /// The most places the client wants: 0 to 20.
    pub bound: u8,
}

/// The three fields of a NEAR.
pub struct Vicinity<'a> {
    pub location: Location<'a>,
    /// 0 to 20,037,000: everywhere.
    pub radius_m: f64,
    /// The most clients that are wanted: 0 to 1000.
    pub bound: u16,
}

impl<'a> Command<'a> {
    /// Parses a line without its newline.
    ///
    /// # Errors
    /// The first thing wrong with it. Whether an AT may come from this peer is not asked here.
    pub fn parse(line: &'a [u8]) -> Result<Command<'a>, Invalid> {
        let mut fields = Fields::of(line);
        let keyword = fields.next();
        let parsed = match keyword {
            None => Ok(Command::Blank),
            Some(b"IAMAT") => parse_iamat(fields).map(Command::Iamat),
            Some(b"WHATSAT") => parse_whatsat(fields).map(Command::Whatsat),
            Some(b"NEAR") => parse_near(fields).map(Command::Near),
            Some(b"COUNT") => fields.exactly::<0>().map(|_| Command::Count).ok_or(Rule::CountFields),
            Some(b"WATCH") => parse_watch(fields).map(Command::Watch),
            Some(b"AT") => parse_at(fields).map(Command::At),
            Some(other) => Word::of(other, fields).map(Command::Link).ok_or_else(|| rule::of_keyword(other)),
        };
        parsed.map_err(|rule| Invalid { rule, is_at: keyword == Some(b"AT") })
    }
}

fn parse_iamat(fields: Fields<'_>) -> Result<Report<'_>, Rule> {
    let [client, location, time] = fields.exactly().ok_or(Rule::IamatFields)?;
    let location = Location::parse(location).ok_or_else(|| rule::of_location(location))?;
    let time = Timestamp::parse(time).ok_or_else(|| rule::of_time(time))?;
    Ok(Report { client, location, time })
}

fn parse_whatsat(fields: Fields<'_>) -> Result<Query<'_>, Rule> {
    let [client, radius, bound] = fields.exactly().ok_or(Rule::WhatsatFields)?;
    let radius_m = parse_radius_m(radius, RADIUS_MAX_KM).ok_or_else(|| rule::of_radius(radius))?;
    let bound = parse_bound(bound, u32::from(BOUND_MAX)).ok_or_else(|| rule::of_bound(bound))?;
    Ok(Query { client, radius_m, bound: bound as u8 })
}

fn parse_near(fields: Fields<'_>) -> Result<Vicinity<'_>, Rule> {
    let [location, radius, bound] = fields.exactly().ok_or(Rule::NearFields)?;
    let location = Location::parse(location).ok_or_else(|| rule::of_location(location))?;
    let radius_m =
        parse_radius_m(radius, NEAREST_RADIUS_MAX_KM).ok_or_else(|| rule::of_near_radius(radius))?;
    let bound = parse_bound(bound, NEAREST_MAX).ok_or_else(|| rule::of_near_bound(bound))?;
    Ok(Vicinity { location, radius_m, bound })
}

fn parse_watch(mut fields: Fields<'_>) -> Result<Option<&[u8]>, Rule> {
    let prefix = fields.next();
    if fields.next().is_some() { Err(Rule::WatchFields) } else { Ok(prefix) }
}

fn parse_at(fields: Fields<'_>) -> Result<AtFields<'_>, Rule> {
    let [origin, difference, client, location, time] = fields.exactly().ok_or(Rule::AtFields)?;
    let location = Location::parse(location).ok_or_else(|| rule::of_location(location))?;
    let time = Timestamp::parse(time).ok_or_else(|| rule::of_time(time))?;
    if !is_difference(difference) {
        return Err(rule::of_difference(difference));
    }
    Ok(AtFields { origin, difference, client, location, time })
}

/// A sign and a decimal number with any number of decimals.
fn is_difference(text: &[u8]) -> bool {
    matches!(text, [b'+' | b'-', number @ ..] if decimal::is_decimal(number))
}

fn parse_radius_m(text: &[u8], max_km: u32) -> Option<f64> {
    let in_range = decimal::is_decimal(text) && Decimal::new(text).at_most(max_km);
    let km: f64 = std::str::from_utf8(text).ok().filter(|_| in_range)?.parse().ok()?;
    Some(km * 1000.0)
}

fn parse_bound(text: &[u8], max: u32) -> Option<u16> {
    if !decimal::is_digits(text) || !Decimal::new(text).at_most(max) {
        return None;
    }
    Some(text.iter().fold(0, |bound, digit| bound * 10 + u16::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The outcome of a line in a word.
    fn outcome(line: &[u8]) -> String {
        match Command::parse(line) {
            Ok(Command::Blank) => "blank".into(),
            Ok(Command::Iamat(_)) => "iamat".into(),
            Ok(Command::Whatsat(query)) => format!("whatsat {} {}", query.radius_m, query.bound),
            Ok(Command::Near(near)) => {
                format!("near {} {}", near.radius_m, near.bound)
            }
            Ok(Command::Count) => "count".into(),
            Ok(Command::Watch(prefix)) => format!("watch {}", prefix.unwrap_or_default().escape_ascii()),
            Ok(Command::At(_)) => "at".into(),
            Ok(Command::Link(_)) => "link".into(),
            Err(why) => format!("{:?}", why.rule),
        }
    }

    #[test]
    fn lines_become_commands_or_reasons() {
        fn check(line: &[u8], expected: &str) {
            assert_eq!(outcome(line), expected, "{}", line.escape_ascii());
        }
        check(b"", "blank");
        check(b" \t\r", "blank");
        check(b"IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997", "iamat");
        check(b"\tIAMAT  \xff\xfe\x0b+34-118\x0c1\r", "iamat");
        check(b"iamat kiwi +34-118 1", "KeywordCase");
        check(b"IAMAT", "IamatFields");
        check(b"IAMAT kiwi +34-118", "IamatFields");
        check(b"IAMAT kiwi +34-118 1 2", "IamatFields");
        check(b"IAMAT kiwi 34.0-118.0 1", "LatitudeSign");
        check(b"IAMAT kiwi +34-118 nan", "TimeDigits");
        check(b"IAMAT kiwi +34-118 -1", "TimeSign");
        check(b"WHATSAT kiwi 10 5", "whatsat 10000 5");
        check(b"WHATSAT kiwi 0.5 20", "whatsat 500 20");
        check(b"WHATSAT kiwi 050.000 007", "whatsat 50000 7");
        check(b"WHATSAT kiwi 0 0", "whatsat 0 0");
        check(b"WHATSAT kiwi 10", "WhatsatFields");
        check(b"WHATSAT kiwi 10 5 5", "WhatsatFields");
        for radius in ["50.0000000000000000000001", "51"] {
            check(format!("WHATSAT kiwi {radius} 5").as_bytes(), "RadiusRange");
        }
        for radius in ["-1", "+1", "1e1", "nan", "inf", ".5", "5.", "x"] {
            check(format!("WHATSAT kiwi {radius} 5").as_bytes(), "RadiusNumber");
        }
        for bound in ["21", "276", "99999999999999999999999"] {
            check(format!("WHATSAT kiwi 5 {bound}").as_bytes(), "BoundRange");
        }
        for bound in ["-1", "+1", "1.0", "x"] {
            check(format!("WHATSAT kiwi 5 {bound}").as_bytes(), "BoundNumber");
        }
        check(b"NEAR +34.068930-118.445127 10 5", "near 10000 5");
        check(b" NEAR  -0+0\t20037.000 01000\r", "near 20037000 1000");
        check(b"NEAR +34-118 0.5 0", "near 500 0");
        check(b"NEAR +34-118 10", "NearFields");
        check(b"NEAR kiwi +34-118 10 5", "NearFields");
        check(b"NEAR kiwi 10 5", "LatitudeSign");
        check(b"NEAR +34-181 10 5", "LongitudeRange");
        check(b"NEAR +34-118 20037.1 5", "NearRadiusRange");
        check(b"NEAR +34-118 -1 5", "RadiusNumber");
        check(b"NEAR +34-118 10 1001", "NearBoundRange");
        check(b"NEAR +34-118 10 99999999999999999999", "NearBoundRange");
        check(b"NEAR +34-118 10 1.0", "BoundNumber");
        check(b"near +34-118 10 5", "KeywordCase");
        check(b"COUNT", "count");
        check(b" COUNT \t", "count");
        check(b"COUNT 1", "CountFields");
        check(b"WATCH", "watch ");
        check(b"WATCH van- ", "watch van-");
        check(b"WATCH a b", "WatchFields");
        check(b"Count", "KeywordCase");
        check(b"COUNTS", "Keyword");
        check(b"AT Goloman +0.263873386 kiwi +34-118 1", "at");
        check(b"AT Goloman -12 kiwi +34-118 1", "at");
        check(b"AT Goloman +0.12345678901234567890 kiwi +34-118 1", "at");
        check(b"AT Goloman 0.2 kiwi +34-118 1", "DifferenceSign");
        check(b"AT Goloman +nan kiwi +34-118 1", "DifferenceNumber");
        check(b"AT Goloman +0.1 kiwi +34-118 1.", "TimeFraction");
        check(b"AT Goloman +0.1 kiwi +34-118", "AtFields");
        check(b"MARK 5", "link");
        check(b"MARK five", "LinkFields");
        check(b"ATGoloman +0.1 kiwi +34-118 1", "Keyword");
    }

    #[test]
    fn a_report_that_is_written_is_read_again() {
        for line in ["IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997", "IAMAT a +1-1 5"] {
            let Ok(Command::Iamat(report)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
            let mut written = Vec::new();
            report.write(&mut written);
            assert_eq!(written, format!("{line}\n").as_bytes());
        }
    }

    #[test]
    fn no_bytes_make_the_parser_panic() {
        let words: [&[u8]; 14] = [
            b"IAMAT",
            b"WHATSAT",
            b"NEAR",
            b"COUNT",
            b"AT",
            b" ",
            b"+34.068930-118.445127",
            b"1520023934.9",
            b"+0.1",
            b"10",
            b"5",
            b"\r",
            b"\0",
            b".",
        ];
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..200_000 {
            let mut line = Vec::new();
            for _ in 0..random.usize(..9) {
                match random.u8(..3) {
                    0 => line.push(random.u8(..)),
                    1 => line.extend_from_slice(b" "),
                    _ => line.extend_from_slice(words[random.usize(..words.len())]),
                }
            }
            let result = std::panic::catch_unwind(|| outcome(&line));
            assert!(result.is_ok(), "seed {seed}: {}", line.escape_ascii());
        }
    }
}
