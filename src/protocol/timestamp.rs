//! A client's time: POSIX seconds with up to nine decimals, kept in its digits and exact.
//! `command` parses it, `record` orders by it, `node` takes the difference.

use std::cmp::Ordering;

use super::decimal::{self, Decimal};
use crate::limits::LIKELY_WITHIN_S;

const NANOS: u64 = 1_000_000_000;

/// Whole seconds below this fit in an `i64` of nanoseconds with room for a difference.
const SHORT_DIGITS_MAX: usize = 9 + 1;
const SHORT_SECONDS_MAX: u64 = 4_000_000_000;

/// A valid time, in the client's own bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timestamp<'a> {
    text: &'a [u8],
    /// The same in ns, when the seconds are few enough to fit: all times until 2096.
    short_ns: Option<u64>,
}

impl<'a> Timestamp<'a> {
    /// Digits with an optional fraction of 1–9 digits; no sign, no exponent, any size.
    pub fn parse(text: &'a [u8]) -> Option<Timestamp<'a>> {
        let (digits, seconds) = decimal::leading(text);
        let (decimals, fraction) = match text.get(digits) {
            None => (0, 0),
            Some(b'.') => decimal::leading(&text[digits + 1..]),
            Some(_) => return None,
        };
        let has_point = digits < text.len();
        let is_whole = text.len() == digits + usize::from(has_point) + decimals;
        if digits == 0 || !is_whole || (has_point && decimals == 0) || decimals > 9 {
            return None;
        }
        let nanos = fraction * 10_u64.pow(9 - decimals as u32);
        let is_short = digits <= SHORT_DIGITS_MAX && seconds < SHORT_SECONDS_MAX;
        Some(Timestamp { text, short_ns: is_short.then(|| seconds * NANOS + nanos) })
    }

    /// The time `ns` after 1970, with nine decimals, or none where they are zeros; `text` holds it then.
    pub fn of_ns(ns: u64, text: &'a mut Vec<u8>) -> Timestamp<'a> {
        text.clear();
        write_number(ns / NANOS, text);
        if !ns.is_multiple_of(NANOS) {
            write_decimals(ns, text);
        }
        Timestamp { text, short_ns: Some(ns).filter(|ns| ns / NANOS < SHORT_SECONDS_MAX) }
    }

    /// The client's bytes.
    pub fn text(&self) -> &'a [u8] {
        self.text
    }

    /// Whether the time is more than `ahead_ns` later than `now_ns` (both in ns, POSIX time).
    pub fn is_ahead(&self, now_ns: u64, ahead_ns: u64) -> bool {
        self.is_later(now_ns.saturating_add(ahead_ns))
    }

    /// Whether the time is later than `ns` after 1970.
    pub fn is_later(&self, ns: u64) -> bool {
        match self.short_ns {
            Some(time_ns) => time_ns > ns,
            None => cmp_digits(&nanos_digits(self.text), &number_digits(ns)) == Ordering::Greater,
        }
    }

    /// Of a time that is far ahead of `now_ns`, in words: the unit it may be in, if that is plain to see.
    pub fn likely_cause(&self, now_ns: u64) -> &'static str {
        let (whole, _) = decimal::split(self.text);
        let number = std::str::from_utf8(whole).ok().and_then(|text| text.parse::<u64>().ok());
        let is_near =
            |unit: u64| number.is_some_and(|n| (n / unit).abs_diff(now_ns / NANOS) < LIKELY_WITHIN_S);
        if is_near(1_000) {
            "it looks like milliseconds (JavaScript's Date.now()), and seconds are expected"
        } else if is_near(1_000_000) {
            "it looks like microseconds, and seconds are expected"
        } else if is_near(NANOS) {
            "it looks like nanoseconds, and seconds are expected"
        } else {
            "its clock seems to be wrong"
        }
    }

    /// Appends `receipt_ns` minus this time in seconds: signed, nine decimals, exact.
    pub fn write_difference(&self, receipt_ns: u64, out: &mut Vec<u8>) {
        let Some(time_ns) = self.short_ns else {
            return write_long_difference(receipt_ns, self.text, out);
        };
        out.push(if receipt_ns >= time_ns { b'+' } else { b'-' });
        let difference = receipt_ns.abs_diff(time_ns);
        write_number(difference / NANOS, out);
        write_decimals(difference, out);
    }
}

/// Compares the texts of two valid times as exact numbers: `1.5` equals `01.50`.
pub fn cmp_exact(a: &[u8], b: &[u8]) -> Ordering {
    if a.len() == b.len() && have_points_alike(a, b) {
        return a.cmp(b);
    }
    Decimal::new(a).cmp_value(&Decimal::new(b))
}

/// Whether the points of two valid times are in the same place. Neither has more than one.
fn have_points_alike(a: &[u8], b: &[u8]) -> bool {
    match a.iter().position(|&byte| byte == b'.') {
        Some(point) => b.get(point) == Some(&b'.'),
        None => !b.contains(&b'.'),
    }
}

/// Appends `number`.
fn write_number(number: u64, out: &mut Vec<u8>) {
    let (mut digits, mut count, mut rest) = ([b'0'; 20], 0, number);
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[digits.len() - count..]);
}

/// Appends a point and the nine decimals of a time in ns.
fn write_decimals(ns: u64, out: &mut Vec<u8>) {
    let (mut text, mut rest) = (*b".000000000", (ns % NANOS) as u32);
    for digit in text[1..].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text);
}

/// The difference on digits, for times of any size: slow, exact and rare.
fn write_long_difference(receipt_ns: u64, time: &[u8], out: &mut Vec<u8>) {
    let (receipt, time) = (number_digits(receipt_ns), nanos_digits(time));
    let negative = cmp_digits(&receipt, &time) == Ordering::Less;
    let (large, small) = if negative { (time, receipt) } else { (receipt, time) };
    let mut difference = subtract_digits(&large, &small);
    while difference.len() < 10 {
        difference.insert(0, b'0');
    }
    let point = difference.len() - 9;
    out.push(if negative { b'-' } else { b'+' });
    out.extend_from_slice(&difference[..point]);
    out.push(b'.');
    out.extend_from_slice(&difference[point..]);
}

/// The time in ns as digits without leading zeros.
fn nanos_digits(time: &[u8]) -> Vec<u8> {
    let (whole, fraction) = decimal::split(time);
    let fraction = fraction.unwrap_or_default();
    let mut digits = whole.to_vec();
    digits.extend_from_slice(fraction);
    digits.resize(whole.len() + 9, b'0');
    without_leading_zeros(digits)
}

fn number_digits(number: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    write_number(number, &mut digits);
    without_leading_zeros(digits)
}

fn without_leading_zeros(mut digits: Vec<u8>) -> Vec<u8> {
    let zeros = digits.iter().take_while(|&&b| b == b'0').count();
    digits.drain(..zeros);
    digits
}

/// Compares numbers given as digits without leading zeros.
fn cmp_digits(a: &[u8], b: &[u8]) -> Ordering {
    a.len().cmp(&b.len()).then_with(|| a.cmp(b))
}

/// `large` − `small` on digits; the result has no leading zeros.
fn subtract_digits(large: &[u8], small: &[u8]) -> Vec<u8> {
    let mut result = large.to_vec();
    let mut borrow = 0;
    for (index, digit) in result.iter_mut().rev().enumerate() {
        let minus = small.len().checked_sub(index + 1).map_or(0, |at| small[at] - b'0') + borrow;
        let value = *digit - b'0';
        borrow = u8::from(value < minus);
        *digit = b'0' + value + 10 * borrow - minus;
    }
    without_leading_zeros(result)
}

#[cfg(test)]
mod tests;
