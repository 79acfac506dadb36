//! Times as HTTP writes them: `Sun, 06 Nov 1994 08:49:37 GMT`.

/// The text of a time.
pub struct HttpDate([u8; 29]);

impl HttpDate {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The text of so many seconds since 1970; of the last second of the year 9999 for anything later.
pub fn http(posix_s: u64) -> HttpDate {
    let posix_s = posix_s.min(LAST_S);
    let (days, second) = (posix_s / DAY_S, posix_s % DAY_S);
    let (year, month, day) = civil(days);
    let mut text = *b"Sun, 06 Nov 1994 08:49:37 GMT";
    // 1 January 1970 was a Thursday.
    text[..3].copy_from_slice(DAYS[(days as usize + 4) % 7]);
    put(&mut text[5..7], day);
    text[8..11].copy_from_slice(MONTHS[month as usize - 1]);
    put(&mut text[12..14], year / 100);
    put(&mut text[14..16], year % 100);
    put(&mut text[17..19], second / 3_600);
    put(&mut text[20..22], second / 60 % 60);
    put(&mut text[23..25], second % 60);
    HttpDate(text)
}

const DAYS: [&[u8; 3]; 7] = [b"Sun", b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat"];
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

const DAY_S: u64 = 86_400;
/// 31 December 9999, 23:59:59.
const LAST_S: u64 = 253_402_300_799;

fn put(place: &mut [u8], number: u64) {
    place.copy_from_slice(&[b'0' + (number / 10 % 10) as u8, b'0' + (number % 10) as u8]);
}

/// Year, month and day of a day since 1970, in the Gregorian calendar: counted from 1 March of the year 0, so that a
/// leap day ends a year, in eras of 400 years, which all have as many days.
fn civil(days: u64) -> (u64, u64, u64) {
    let days = days + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_date_does() {
        // As `LC_ALL=C date -u -d @N '+%a, %d %b %Y %T GMT'` prints them.
        for (posix_s, expected) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_399, "Mon, 28 Feb 2000 23:59:59 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_709_251_199, "Thu, 29 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ] {
            assert_eq!(http(posix_s).text(), expected);
        }
    }
}
