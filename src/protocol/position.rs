//! A location as a client writes it: ISO 6709 decimal degrees, such as `+34.068930-118.445127`.
//! `command` parses it; the places lookup reads its degrees, the store its coordinates.

use super::decimal::{self, Decimal};

/// A valid location, in the client's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Location<'a> {
    text: &'a [u8],
    /// Where the longitude's sign stands.
    longitude_at: usize,
}

/// Where a location is, in ten-millionths of a degree: a step is 11 mm. The first seven decimals count, so that the
/// digits of a phone come back exactly, and every server computes the same.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Coordinates {
    /// North of the equator, −900,000,000 to 900,000,000.
    pub latitude_e7: i32,
    /// East of Greenwich, −1,800,000,000 to 1,800,000,000.
    pub longitude_e7: i32,
}

impl Coordinates {
    /// The latitude of the north pole.
    pub const POLE_E7: i32 = 90 * 10_000_000;

    /// Of a text that begins with a location; behind it may be anything but digits.
    pub fn of_text(text: &[u8]) -> Coordinates {
        let (latitude_e7, rest) = angle_e7(text);
        Coordinates { latitude_e7, longitude_e7: angle_e7(rest).0 }
    }

    /// Degrees north of the equator and east of Greenwich.
    pub fn degrees(self) -> (f64, f64) {
        (f64::from(self.latitude_e7) / 1e7, f64::from(self.longitude_e7) / 1e7)
    }

    /// The nearest to degrees that are in range.
    pub fn of_degrees(latitude_deg: f64, longitude_deg: f64) -> Coordinates {
        let nearest = |degrees: f64| (degrees * 1e7).round() as i32;
        Coordinates { latitude_e7: nearest(latitude_deg), longitude_e7: nearest(longitude_deg) }
    }
}

impl Location<'static> {
    /// Of what is nowhere.
    pub const NOWHERE: Location<'static> = Location { text: b"+0+0", longitude_at: 2 };
}

impl<'a> Location<'a> {
    /// Sign, 1–2 digits, optional `.` and digits; sign, 1–3 digits, optional `.` and digits;
    /// |latitude| ≤ 90 and |longitude| ≤ 180 exactly. Nothing before, between or behind.
    pub fn parse(text: &'a [u8]) -> Option<Location<'a>> {
        let longitude_at = angle_length(text, 2, 90)?;
        let longitude = &text[longitude_at..];
        let valid = angle_length(longitude, 3, 180)? == longitude.len();
        valid.then_some(Location { text, longitude_at })
    }

    /// The same of two numbers as they were written: `34.068930` and `-118.445127`. Their digits are kept; `text`
    /// holds what the location is then. None for numbers with an exponent, or out of range.
    pub fn of_numbers(latitude: &[u8], longitude: &[u8], text: &'a mut Vec<u8>) -> Option<Location<'a>> {
        text.clear();
        for number in [latitude, longitude] {
            if !number.first().is_some_and(|&first| is_sign(first)) {
                text.push(b'+');
            }
            text.extend_from_slice(number);
        }
        Location::parse(text)
    }

    /// The same of degrees north of the equator and east of Greenwich, in the fewest digits that stand for them.
    /// None out of range.
    pub fn of_degrees(latitude: f64, longitude: f64, text: &'a mut Vec<u8>) -> Option<Location<'a>> {
        let (latitude, longitude) = (latitude.to_string(), longitude.to_string());
        Location::of_numbers(latitude.as_bytes(), longitude.as_bytes(), text)
    }

    /// The client's bytes.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Degrees north of the equator, −90 to 90.
    pub fn latitude_deg(&self) -> f64 {
        degrees(&self.text[..self.longitude_at])
    }

    /// Degrees east of Greenwich, −180 to 180.
    pub fn longitude_deg(&self) -> f64 {
        degrees(&self.text[self.longitude_at..])
    }

    /// Where it is, to seven decimals.
    pub fn coordinates(&self) -> Coordinates {
        Coordinates::of_text(self.text)
    }
}

fn is_sign(byte: u8) -> bool {
    byte == b'+' || byte == b'-'
}

/// The length of the angle that `text` begins with, if it does: as far as its sign, its digits and their point go.
fn angle_length(text: &[u8], digits_max: usize, limit: u32) -> Option<usize> {
    let (sign, number) = text.split_first()?;
    let (digits, degrees) = decimal::leading(number);
    if !is_sign(*sign) || digits == 0 || digits > digits_max {
        return None;
    }
    let mut length = digits;
    if number.get(digits) == Some(&b'.') {
        let (decimals, _) = decimal::leading(&number[digits + 1..]);
        if decimals == 0 {
            return None;
        }
        length += 1 + decimals;
    }
    let in_range = degrees < u64::from(limit) || Decimal::new(&number[..length]).at_most(limit);
    in_range.then_some(1 + length)
}

/// The angle that a valid location, or its longitude, begins with, and what is behind it.
fn angle_e7(text: &[u8]) -> (i32, &[u8]) {
    let (sign, number) = text.split_first().unwrap_or((&b'+', b""));
    let (digits, degrees) = decimal::leading(number);
    let (decimals, rest) = match number.get(digits) {
        Some(b'.') => seven_decimals(&number[digits + 1..]),
        _ => (0, &number[digits..]),
    };
    let angle = (degrees as i32).wrapping_mul(10_000_000).wrapping_add(decimals);
    (if *sign == b'-' { -angle } else { angle }, rest)
}

/// The first seven of the digits that a text begins with, as if zeros were behind them, and what is behind all of them.
/// Eight bytes are looked at in one step, as a store asks this four times of every report.
fn seven_decimals(text: &[u8]) -> (i32, &[u8]) {
    const EACH: u64 = u64::from_le_bytes([1; 8]);
    const HIGHEST_BITS: u64 = 0x80 * EACH;
    let eight = text.first_chunk::<8>().copied().unwrap_or_else(|| {
        let mut padded = [0; 8];
        padded[..text.len()].copy_from_slice(text);
        padded
    });
    let digits = u64::from_le_bytes(eight) ^ (u64::from(b'0') * EACH);
    // The highest bit of each byte that is over nine.
    let others = (((digits & !HIGHEST_BITS) + (0x80 - 10) * EACH) | digits) & HIGHEST_BITS;
    let count = others.trailing_zeros() / 8;
    // A zero before them makes seven digits of eight; the first is in the lowest byte.
    let kept = (digits & ((1 << (8 * count.min(7))) - 1)) << 8;
    let pairs = kept.wrapping_mul(10).wrapping_add(kept >> 8);
    let fours = (pairs & 0x00ff_00ff_00ff_00ff).wrapping_mul(100 << 16 | 1) >> 16 & 0x0000_ffff_0000_ffff;
    let number = (fours & 0xffff) * 10_000 + (fours >> 32);
    let mut rest = &text[count as usize..];
    while count == 8 && rest.first().is_some_and(u8::is_ascii_digit) {
        rest = &rest[1..];
    }
    (number as i32, rest)
}

/// `text` is a sign and a decimal number, which always parses as a float.
fn degrees(text: &[u8]) -> f64 {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn valid_locations_give_their_degrees() {
        fn check(text: &str, latitude: f64, longitude: f64) {
            let location = Location::parse(text.as_bytes()).expect(text);
            assert_eq!((location.latitude_deg(), location.longitude_deg()), (latitude, longitude));
            assert_eq!(location.text(), text.as_bytes());
        }
        check("+34.068930-118.445127", 34.06893, -118.445127);
        check("+34-118", 34.0, -118.0);
        check("+27.5916+086.5640", 27.5916, 86.564);
        check("-0+0", 0.0, 0.0);
        check("+90+180", 90.0, 180.0);
        check("-90.000-180.000", -90.0, -180.0);
        check("+5.5-7.25", 5.5, -7.25);
    }

    #[test]
    fn seven_decimals_of_a_location_are_its_coordinates() {
        fn check(text: &str, latitude_e7: i32, longitude_e7: i32) {
            let location = Location::parse(text.as_bytes()).expect(text);
            assert_eq!(location.coordinates(), Coordinates { latitude_e7, longitude_e7 }, "{text}");
        }
        check("+34.068930-118.445127", 340_689_300, -1_184_451_270);
        check("-0+0", 0, 0);
        check("+90-180.000", 900_000_000, -1_800_000_000);
        check("-5.5+7", -55_000_000, 70_000_000);
        check("+1.12345678999-001.00000009", 11_234_567, -10_000_000);
        check("+1.12345678-1.123456789012345678901234567890", 11_234_567, -11_234_567);
        check("+1.1234567+1.1", 11_234_567, 11_000_000);
        let followed = Coordinates::of_text(b"+5.5-7.25 1520023934.918963997");
        assert_eq!(followed, Coordinates { latitude_e7: 55_000_000, longitude_e7: -72_500_000 });
        let seed = fastrand::u64(..);
        let mut random = fastrand::Rng::with_seed(seed);
        for _ in 0..10_000 {
            let (latitude_e7, longitude_e7) =
                (random.i32(-900_000_000..=900_000_000), random.i32(-1_800_000_000..=1_800_000_000));
            let (latitude, longitude) = (f64::from(latitude_e7) / 1e7, f64::from(longitude_e7) / 1e7);
            check(&format!("{latitude:+.7}{longitude:+.7}"), latitude_e7, longitude_e7);
            let found = Coordinates::of_degrees(latitude, longitude);
            assert_eq!(found, Coordinates { latitude_e7, longitude_e7 }, "seed {seed}");
        }
    }

    #[test]
    fn numbers_keep_their_digits_and_degrees_come_back() {
        let mut text = Vec::new();
        let mut of = |latitude: &str, longitude: &str| {
            let location = Location::of_numbers(latitude.as_bytes(), longitude.as_bytes(), &mut text);
            location.map(|location| String::from_utf8_lossy(location.text()).into_owned())
        };
        assert_eq!(of("34.068930", "-118.445127").as_deref(), Some("+34.068930-118.445127"));
        assert_eq!(of("+5", "7.250").as_deref(), Some("+5+7.250"));
        for (latitude, longitude) in
            [("1e1", "1"), ("91", "0"), ("", "1"), ("1", ""), ("1 ", "1"), ("1-1", "1")]
        {
            assert_eq!(of(latitude, longitude), None, "{latitude} {longitude}");
        }
        for (latitude, longitude) in
            [(34.06893, -118.445127), (-0.0, 180.0), (1e-7, -1e-7), (-90.0, 0.1 + 0.2)]
        {
            let mut text = Vec::new();
            let location = Location::of_degrees(latitude, longitude, &mut text).expect("in range");
            assert_eq!((location.latitude_deg(), location.longitude_deg()), (latitude, longitude));
        }
        for (latitude, longitude) in [(90.1, 0.0), (0.0, -180.5), (f64::NAN, 0.0), (0.0, f64::INFINITY)] {
            assert_eq!(Location::of_degrees(latitude, longitude, &mut Vec::new()), None);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let long = format!("+90.{}1+0", "0".repeat(40));
        let bad = [
            "",
            "+",
            "+34",
            "34.0-118.0",
            "+34.-118.",
            "+34-118/",
            "+34.068930-118.445127/",
            "+.5-1",
            "+34-118.",
            "+91+0",
            "+90.1+0",
            "+0+181",
            "+0-180.0001",
            "+034-118",
            "+34+0118",
            "+1e1+1",
            "+34 -118",
            "+34--118",
            "+34-118-5",
            "++1+1",
            "+nan+1",
            "+inf+1",
            "+1+1\0",
            "+\u{0661}+1",
            &long,
        ];
        for text in bad {
            assert_eq!(Location::parse(text.as_bytes()), None, "{text}");
        }
    }
}
