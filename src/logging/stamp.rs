//! What a line of the log begins with.

use time::OffsetDateTime;

/// `2026-01-31T23:59:59.123Z [LEVEL] ` for a time in ms since 1970.
pub fn stamp(posix_ms: u64, level: &str) -> String {
    let (seconds, millis) = ((posix_ms / 1_000) as i64, posix_ms % 1_000);
    let now = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = now.to_calendar_date();
    let (hour, minute, second) = now.to_hms();
    let month = u8::from(month);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z [{level}] ")
}
