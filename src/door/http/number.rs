//! Numbers as clients write them, with all of their digits: `37.785834000000001` stays that, and is never a float.

use crate::limits::EXPONENT_MAX;
use crate::protocol::decimal;

/// The digits of a number without an exponent, as lines have them: `5.0E-4` is `0.00050`, `+1` is `1`. None for
/// anything else, as NaN.
pub fn plain(text: &str) -> Option<Vec<u8>> {
    let (mantissa, exponent) = match text.find(['e', 'E']) {
        Some(at) => (
            &text[..at],
            text[at + 1..].parse::<i32>().ok().filter(|exponent| exponent.abs() <= EXPONENT_MAX)?,
        ),
        None => (text, 0),
    };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    if !decimal::is_decimal(digits.as_bytes()) {
        return None;
    }
    if exponent == 0 {
        return Some([sign, digits].concat().into_bytes());
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = [whole, fraction].concat();
    let point = whole.len() as i32 + exponent;
    let mut plain = sign.as_bytes().to_vec();
    if point <= 0 {
        plain.extend_from_slice(b"0.");
        plain.resize(plain.len() + point.unsigned_abs() as usize, b'0');
        plain.extend_from_slice(all.as_bytes());
    } else {
        let point = point as usize;
        let (front, back) = all.split_at(point.min(all.len()));
        let front = if front.len() > 1 { front.trim_start_matches('0') } else { front };
        plain.extend_from_slice(if front.is_empty() { b"0" } else { front.as_bytes() });
        plain.resize(plain.len() + point.saturating_sub(all.len()), b'0');
        if !back.is_empty() {
            plain.push(b'.');
            plain.extend_from_slice(back.as_bytes());
        }
    }
    Some(plain)
}

/// The same of degrees, from `-most` to `most`.
pub fn degrees(text: &str, most: u32) -> Option<Vec<u8>> {
    plain(text).filter(|number| {
        let digits = number.strip_prefix(b"-").unwrap_or(number);
        decimal::is_decimal(digits) && decimal::Decimal::new(digits).at_most(most)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_are_kept_and_exponents_written_out() {
        let check = |text: &str, expected: Option<&str>| {
            let found = plain(text).map(|plain| String::from_utf8(plain).expect("text"));
            assert_eq!(found.as_deref(), expected, "{text}");
        };
        check("37.785834000000001", Some("37.785834000000001"));
        check("-0.0", Some("-0.0"));
        check("5.0E-4", Some("0.00050"));
        check("-1.2345e2", Some("-123.45"));
        check("1e2", Some("100"));
        check("12e-1", Some("1.2"));
        check("0.001e1", Some("0.01"));
        check("0.5e3", Some("500"));
        check("+34.07", Some("34.07"));
        check("1e401", None);
        check("true", None);
        check("", None);
        check("NaN", None);
        check("Infinity", None);
        check("1,5", None);
        check("[1]", None);
    }
}
