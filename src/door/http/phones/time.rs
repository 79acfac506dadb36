//! Times as phones write them: seconds, milliseconds and less since 1970, and ISO 8601 in the forms that are about.

use super::super::number;
use crate::limits::{NANO_DIGITS, PHONE_TIME_MIN_S};

/// Seconds from 1970 to 2001, from where Apple counts.
pub const APPLE_EPOCH_S: u64 = 978_307_200;

/// The time of a text in seconds since 1970, as lines have it, with at most nine decimals. None for what is no time, and
/// for a time before September 2001, which is no phone's.
pub fn read(text: &str) -> Option<Vec<u8>> {
    let text = text.trim();
    match number::plain(text) {
        Some(number) => of_number(&number),
        None => of_iso(text),
    }
}

/// The same where a number counts from 2001.
pub fn read_apple(text: &str) -> Option<Vec<u8>> {
    let number = number::plain(text.trim())?;
    let (whole, fraction) = parts(&number)?;
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let seconds = whole.checked_add(APPLE_EPOCH_S).filter(|seconds| *seconds >= PHONE_TIME_MIN_S)?;
    Some(written(seconds, fraction))
}

/// Whether a number is too small to count from 1970.
pub fn is_before_2001(text: &str) -> bool {
    let number = number::plain(text.trim());
    let whole = number.as_deref().and_then(parts).and_then(|(whole, _)| whole.parse::<u64>().ok());
    whole.is_some_and(|whole| whole < PHONE_TIME_MIN_S)
}

/// The digits before and behind the point; None below 0.
fn parts(number: &[u8]) -> Option<(&str, &str)> {
    let text = std::str::from_utf8(number).ok().filter(|text| !text.starts_with('-'))?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    Some((whole.trim_start_matches('0'), fraction))
}

fn written(whole_s: u64, fraction: &str) -> Vec<u8> {
    let fraction = &fraction[..fraction.len().min(NANO_DIGITS)];
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{whole_s}{point}{fraction}").into_bytes()
}

/// Seconds have ten digits from 2001 to 2286; with three more they are milliseconds, and so on.
fn of_number(number: &[u8]) -> Option<Vec<u8>> {
    let (whole, fraction) = parts(number)?;
    let behind = match whole.len() {
        0..=11 => 0,
        12..=14 => 3,
        15..=17 => 6,
        18..=20 => 9,
        _ => return None,
    };
    let (seconds, less) = whole.split_at(whole.len() - behind);
    let seconds: u64 = seconds.parse().ok()?;
    // Whole numbers of milliseconds say no more than that; a second has no point then.
    let fraction = [less, fraction].concat();
    let fraction = if fraction.bytes().all(|digit| digit == b'0') { "" } else { &fraction };
    (seconds >= PHONE_TIME_MIN_S).then(|| written(seconds, fraction))
}

/// `2024-07-07T17:46:39.5+02:00`, with a blank for the T or for a plus that was not encoded, without a colon in the
/// zone, without a zone, which is taken for UTC, and with the zone's name behind it in brackets.
fn of_iso(text: &str) -> Option<Vec<u8>> {
    let text = text.split('[').next().unwrap_or_default().trim_end();
    let bytes = text.as_bytes();
    let digits = |at: usize, count: usize| {
        let digits = bytes.get(at..at + count).filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
        std::str::from_utf8(digits).ok()?.parse::<i64>().ok()
    };
    let is = |at: usize, any: &[u8]| bytes.get(at).is_some_and(|byte| any.contains(byte));
    if !(is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":")) {
        return None;
    }
    let (year, month, day) = (digits(0, 4)?, digits(5, 2)?, digits(8, 2)?);
    let (hour, minute, second) = (digits(11, 2)?, digits(14, 2)?, digits(17, 2)?);
    // A minute may have one second more.
    if !(1..=12).contains(&month)
        || day < 1
        || day > days_in(year, month)
        || hour > 23
        || minute > 59
        || second > 60
    {
        return None;
    }
    let rest = &text[19..];
    let (fraction, zone) = match rest.strip_prefix(['.', ',']) {
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len())),
        None => ("", rest),
    };
    let seconds = days_since_1970(year, month, day) * 86_400 + hour * 3_600 + minute * 60 + second;
    let seconds = u64::try_from(seconds - offset_s(zone)?).ok()?;
    let fraction = if fraction.bytes().all(|digit| digit == b'0') { "" } else { fraction };
    (seconds >= PHONE_TIME_MIN_S).then(|| written(seconds, fraction))
}

/// How far a zone is ahead of UTC.
fn offset_s(zone: &str) -> Option<i64> {
    if zone.is_empty() || zone.eq_ignore_ascii_case("z") {
        return Some(0);
    }
    let (sign, rest) = match zone.as_bytes()[0] {
        b'+' | b' ' => (1, &zone[1..]),
        b'-' => (-1, &zone[1..]),
        _ => return None,
    };
    let digits: String = rest.chars().filter(|c| *c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || !matches!(digits.len(), 2 | 4) {
        return None;
    }
    let hours: i64 = digits[..2].parse().ok()?;
    let minutes: i64 = if digits.len() == 4 { digits[2..].parse().ok()? } else { 0 };
    (hours <= 18 && minutes <= 59).then_some(sign * (hours * 3_600 + minutes * 60))
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days of the calendar from 1970 on, below 0 before.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let before = year - 1;
    let leaps = before / 4 - before / 100 + before / 400;
    let months: i64 = (1..month).map(|month| days_in(year, month)).sum();
    // There were 719,162 days from the year 1 to 1970.
    before * 365 + leaps + months + day - 1 - 719_162
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_phones_write() {
        let check = |text: &str, expected: Option<&str>| {
            let found = read(text).map(|time| String::from_utf8(time).expect("text"));
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("1786433532", Some("1786433532"));
        check("1786433532.25", Some("1786433532.25"));
        check("1786433532000", Some("1786433532"));
        check("1786433532123", Some("1786433532.123"));
        check("1786433532123456", Some("1786433532.123456"));
        check("1786433532123456789", Some("1786433532.123456789"));
        check("1.786433532E9", Some("1786433532"));
        check("1786433532.1234567891", Some("1786433532.123456789"));
        check("2024-07-07T17:46:39Z", Some("1720374399"));
        check("2024-07-07T17:46:39.500Z", Some("1720374399.500"));
        check("2024-07-07T17:46:39.000+00:00", Some("1720374399"));
        check("2024-07-07T10:46:39-0700", Some("1720374399"));
        check("2024-07-07T19:46:39+02:00", Some("1720374399"));
        check("2024-07-07T19:46:39 02:00", Some("1720374399"));
        check("2024-07-07T19:46:39+02", Some("1720374399"));
        check("2024-07-07T19:46:39+02:00[Europe/Berlin]", Some("1720374399"));
        check("2024-07-07 17:46:39", Some("1720374399"));
        check("2016-01-15 21:41:18.000", Some("1452894078"));
        check("2024-02-29T00:00:00Z", Some("1709164800"));
        check("2100-03-01T00:00:00Z", Some("4107542400"));
        for text in [
            "",
            "0",
            "-1786433532",
            "817000000",
            "999999999",
            "NaN",
            "yesterday",
            "2023-02-29T00:00:00Z",
            "2024-07-07T25:46:39Z",
            "2024-07-07T17:46:39+99:00",
            "2024-07-07",
            "2024-07-07T17:46:39+é0",
            "17864335320000000000000",
            "1969-12-31T23:59:59Z",
        ] {
            check(text, None);
        }
    }

    #[test]
    fn apple_counts_from_2001() {
        assert_eq!(read_apple("742067199"), Some(b"1720374399".to_vec()));
        assert_eq!(read_apple("742067199.5"), Some(b"1720374399.5".to_vec()));
        // A receiver that lost count says no more by it.
        assert!(read_apple("0").is_none() && read_apple("-5").is_none() && read_apple("21692799").is_none());
        assert!(is_before_2001("742067199") && !is_before_2001("1720374399") && !is_before_2001("x"));
    }

    #[test]
    fn the_calendar_is_right_for_every_day_of_four_centuries() {
        let mut days = days_since_1970(1970, 1, 1);
        assert_eq!(days, 0);
        for year in 1970..2370 {
            for month in 1..=12 {
                for day in 1..=days_in(year, month) {
                    assert_eq!(days_since_1970(year, month, day), days, "{year}-{month}-{day}");
                    days += 1;
                }
            }
        }
        assert_eq!(days, 146_097);
    }
}
