//! Unit tests: times and differences.

use super::*;

fn time(text: &str) -> Timestamp<'_> {
    Timestamp::parse(text.as_bytes()).expect(text)
}

#[test]
fn differences_are_exact_to_the_nanosecond() {
    fn check(receipt_ns: u64, text: &str, expected: &str) {
        let mut out = Vec::new();
        time(text).write_difference(receipt_ns, &mut out);
        assert_eq!(String::from_utf8_lossy(&out), expected, "{receipt_ns} - {text}");
        let mut long = Vec::new();
        write_long_difference(receipt_ns, text.as_bytes(), &mut long);
        assert_eq!(long, out, "both ways agree on {receipt_ns} - {text}");
    }
    check(1_520_023_934_918_963_997, "1520023934.918963997", "+0.000000000");
    check(1_520_023_935_182_837_383, "1520023934.918963997", "+0.263873386");
    check(1_520_023_934_918_963_996, "1520023934.918963997", "-0.000000001");
    check(1_520_023_934_000_000_000, "1520023934", "+0.000000000");
    check(1_520_023_934_500_000_000, "1520023934.5", "+0.000000000");
    check(1_621_464_827_959_498_503, "0", "+1621464827.959498503");
    check(1_000_000_000, "000000000000000000000000000001.5", "-0.500000000");
    check(0, "0.000000001", "-0.000000001");
    check(1, "4000000000", "-3999999999.999999999");
    check(1, "99999999999999999999", "-99999999999999999998.999999999");
    let huge = format!("1{}", "0".repeat(60));
    check(1, &huge, &format!("-{}.999999999", "9".repeat(60)));
}

#[test]
fn times_are_digits_with_up_to_nine_decimals() {
    for good in ["0", "1520023934", "1520023934.9", "0.123456789", "00001", &"9".repeat(100)] {
        assert!(Timestamp::parse(good.as_bytes()).is_some(), "{good}");
    }
    let bad =
        ["", ".", "1.", ".5", "+1", "-1", "nan", "inf", "1e9", "1.0000000001", "1,5", "0x10", "1_0", "1."];
    for text in bad {
        assert!(Timestamp::parse(text.as_bytes()).is_none(), "{text}");
    }
}

#[test]
fn times_compare_as_numbers() {
    fn check(a: &str, b: &str, expected: Ordering) {
        assert_eq!(cmp_exact(a.as_bytes(), b.as_bytes()), expected, "{a} {b}");
        assert_eq!(cmp_exact(b.as_bytes(), a.as_bytes()), expected.reverse(), "{b} {a}");
    }
    check("1.5", "01.50", Ordering::Equal);
    check("1.500", "1.5", Ordering::Equal);
    check("2", "10", Ordering::Less);
    check("1520023934.918963997", "1520023934.918963998", Ordering::Less);
    check("1520023934.918963997", "1520023934.92", Ordering::Less);
    check("1234.5", "123.45", Ordering::Greater);
    check(&"9".repeat(30), &format!("1{}", "0".repeat(30)), Ordering::Less);
}

#[test]
fn ahead_is_strictly_more_than_the_limit() {
    fn check(text: &str, expected: bool) {
        assert_eq!(time(text).is_ahead(10_000_000_000, 5_000_000_000), expected, "{text}");
    }
    check("15", false);
    check("15.000000001", true);
    check("0000000000000000015.0", false);
    check("99999999999999999999999999", true);
}

#[test]
fn the_unit_of_a_time_far_ahead_is_guessed() {
    let now_ns = 1_795_566_164_631_000_000;
    let check = |text: &str, expected: &str| {
        let time = Timestamp::parse(text.as_bytes()).expect(text);
        let cause = time.likely_cause(now_ns);
        assert!(cause.contains(expected), "{text}: {cause}");
    };
    check("1795566164631", "milliseconds");
    check("1520023934918.963", "milliseconds");
    check("1795566164631000", "microseconds");
    check("1795566164631000000", "nanoseconds");
    check("2147483647", "clock");
    check("99999999999999999999999999999999", "clock");
}

#[test]
fn a_time_of_a_value_is_that_value() {
    for (ns, expected) in [
        (0, "0"),
        (5, "0.000000005"),
        (1_520_023_934_000_000_000, "1520023934"),
        (1_520_023_934_918_963_997, "1520023934.918963997"),
        (u64::MAX, "18446744073.709551615"),
    ] {
        let mut text = Vec::new();
        let time = Timestamp::of_ns(ns, &mut text);
        assert_eq!(time.text(), expected.as_bytes());
        assert_eq!(Timestamp::parse(expected.as_bytes()), Some(time));
        let mut difference = Vec::new();
        time.write_difference(ns, &mut difference);
        assert_eq!(difference, b"+0.000000000");
    }
}
