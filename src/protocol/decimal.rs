//! Decimal numbers of any length compared as they are written, without rounding.
//! `timestamp`, `position` and `record` call it; a float would lose the ninth decimal.

use std::cmp::Ordering;

/// An unsigned decimal number, still in its digits: `12`, `12.5`, `012.50`.
#[derive(Clone, Copy)]
pub struct Decimal<'a> {
    /// Digits before the point, without leading zeros; empty for zero.
    whole: &'a [u8],
    /// Digits behind the point, without trailing zeros.
    fraction: &'a [u8],
}

impl<'a> Decimal<'a> {
    /// `text` must be digits, optionally a point and digits, as [`is_decimal`] says.
    pub fn new(text: &'a [u8]) -> Decimal<'a> {
        let point = text.iter().position(|&b| b == b'.').unwrap_or(text.len());
        let fraction = text.get(point + 1..).unwrap_or_default();
        let zeros = text[..point].iter().take_while(|&&b| b == b'0').count();
        let kept = fraction.iter().rposition(|&b| b != b'0').map_or(0, |last| last + 1);
        Decimal { whole: &text[zeros..point], fraction: &fraction[..kept] }
    }

    pub fn is_zero(&self) -> bool {
        self.whole.is_empty() && self.fraction.is_empty()
    }

    /// Whether the number is at most `limit`, however many decimals it has.
    pub fn at_most(&self, limit: u32) -> bool {
        let mut whole: u64 = 0;
        for digit in self.whole {
            whole = whole.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
        }
        whole < u64::from(limit) || (whole == u64::from(limit) && self.fraction.is_empty())
    }

    /// Compares the numbers, not the texts: `1.5` equals `01.50`.
    pub fn cmp_value(&self, other: &Decimal<'_>) -> Ordering {
        let by_length = self.whole.len().cmp(&other.whole.len());
        by_length.then_with(|| self.whole.cmp(other.whole)).then_with(|| self.fraction.cmp(other.fraction))
    }
}

/// A decimal number in billionths, of which further decimals are dropped; at most 10^37.
pub fn nanos(text: &[u8]) -> i128 {
    const MAX: i128 = 10_i128.pow(37);
    let (whole, fraction) = split(text);
    let mut nanos: i128 = 0;
    let decimals = (0..9).map(|index| fraction.and_then(|digits| digits.get(index)).unwrap_or(&b'0'));
    for digit in whole.iter().chain(decimals) {
        nanos = (nanos * 10 + i128::from(digit.wrapping_sub(b'0'))).min(MAX / 10);
    }
    nanos
}

/// The same of a number with few digits, as all times until 2096 have: in 64 bits, as digests ask it of every record.
pub fn short_nanos(text: &[u8]) -> Option<i64> {
    let (whole, fraction) = split(text);
    let fraction = fraction.unwrap_or_default();
    if whole.len() > 10 {
        return None;
    }
    let number =
        |digits: &[u8]| digits.iter().fold(0, |n, digit| n * 10 + i64::from(digit.wrapping_sub(b'0')));
    let kept = &fraction[..fraction.len().min(9)];
    let scale = 10_i64.pow(9 - kept.len() as u32);
    // Ten digits up to 4,000,000,000 s leave room for a difference.
    Some(number(whole))
        .filter(|whole| *whole < 4_000_000_000)
        .map(|whole| whole * 1_000_000_000 + number(kept) * scale)
}

/// Whether `text` is one or more digits, optionally followed by a point and one or more digits.
pub fn is_decimal(text: &[u8]) -> bool {
    match split(text) {
        (whole, Some(fraction)) => is_digits(whole) && is_digits(fraction),
        (whole, None) => is_digits(whole),
    }
}

/// The parts before and behind the first point; no second part when there is no point.
pub fn split(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|&b| b == b'.') {
        Some(point) => (&text[..point], Some(&text[point + 1..])),
        None => (text, None),
    }
}

/// How many digits `text` begins with, and their number where it fits: up to 19 of them.
pub fn leading(text: &[u8]) -> (usize, u64) {
    let (mut count, mut number) = (0, 0_u64);
    for byte in text {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            break;
        }
        number = number.wrapping_mul(10).wrapping_add(u64::from(digit));
        count += 1;
    }
    (count, number)
}

/// Whether `text` is one or more of `0` to `9`.
pub fn is_digits(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_exactly() {
        fn check(a: &str, b: &str, expected: Ordering) {
            let (x, y) = (Decimal::new(a.as_bytes()), Decimal::new(b.as_bytes()));
            assert_eq!(x.cmp_value(&y), expected, "{a} {b}");
            assert_eq!(y.cmp_value(&x), expected.reverse(), "{b} {a}");
        }
        check("1", "1", Ordering::Equal);
        check("1.5", "01.50", Ordering::Equal);
        check("0", "000.000", Ordering::Equal);
        check("9", "10", Ordering::Less);
        check("1.05", "1.5", Ordering::Less);
        check("1.5", "1.51", Ordering::Less);
        check("0.999999999", "1", Ordering::Less);
        check("99999999999999999999999999999999", "100000000000000000000000000000000", Ordering::Less);
    }

    #[test]
    fn billionths_of_short_numbers_are_those_of_long_ones() {
        for text in [
            "0",
            "1.5",
            "1520023934.918963997",
            "3999999999.9999999999",
            "0.000000001",
            "12.",
            "00012.25",
            "",
        ] {
            assert_eq!(short_nanos(text.as_bytes()).map(i128::from), Some(nanos(text.as_bytes())), "{text}");
        }
        for text in ["4000000000", "99999999999", "9000000000"] {
            assert_eq!(short_nanos(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn limits_hold_to_the_last_digit() {
        let check = |text: &str, limit, expected| {
            assert_eq!(Decimal::new(text.as_bytes()).at_most(limit), expected, "{text}");
        };
        check("90", 90, true);
        check("090.000", 90, true);
        check("90.00000000000000000000000000001", 90, false);
        check("89.99999999999999999999999999999", 90, true);
        check("91", 90, false);
        check("99999999999999999999999999999999999999999999", 90, false);
    }

    #[test]
    fn leading_digits_are_counted_and_read() {
        assert_eq!(leading(b""), (0, 0));
        assert_eq!(leading(b"+1"), (0, 0));
        assert_eq!(leading(b"007.5"), (3, 7));
        assert_eq!(leading(b"9999999999999999999"), (19, 9_999_999_999_999_999_999));
        assert_eq!(leading(&[b'9'; 100]).0, 100);
    }

    #[test]
    fn decimals_are_digits_with_an_optional_fraction() {
        for good in ["0", "12", "1.5", "00.00"] {
            assert!(is_decimal(good.as_bytes()), "{good}");
        }
        for bad in ["", ".", "1.", ".5", "+1", "-1", "1e3", "nan", "inf", "1.2.3", "1 ", "0x1"] {
            assert!(!is_decimal(bad.as_bytes()), "{bad}");
        }
    }
}
