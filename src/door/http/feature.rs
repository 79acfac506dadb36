//! A client as GeoJSON (RFC 7946), with the digits that it sent.

use super::name::write_json;
use super::reply::itoa;
use crate::protocol::Record;

/// Appends a client's feature, and how far it is from where the asker is, if that was asked. It has no age, which
/// would be another one a second later: when it was heard is the same for as long as the client says nothing.
pub fn write(record: &Record<&[u8]>, distance_m: Option<f64>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"Feature\",\"id\":");
    write_json(record.client(), out);
    out.extend_from_slice(b",\"geometry\":{\"type\":\"Point\",\"coordinates\":[");
    let (latitude, longitude) = halves(record.location());
    write_number(longitude, out);
    out.push(b',');
    write_number(latitude, out);
    out.extend_from_slice(b"]},\"properties\":{\"time\":\"");
    out.extend_from_slice(record.time());
    out.extend_from_slice(b"\",\"server\":");
    write_json(record.origin(), out);
    out.extend_from_slice(b",\"difference\":\"");
    out.extend_from_slice(record.difference());
    out.extend_from_slice(b"\",\"received\":");
    write_received(record, out);
    if let Some(distance_m) = distance_m {
        out.extend_from_slice(b",\"distance_m\":");
        out.extend_from_slice(itoa(distance_m.round() as u64).text().as_bytes());
    }
    out.extend_from_slice(b",\"at\":");
    write_json(record.line(), out);
    out.extend_from_slice(b"}}");
}

/// Appends when a record was heard, in seconds since 1970.
pub fn write_received(record: &Record<&[u8]>, out: &mut Vec<u8>) {
    let received_s = record.received_s();
    if received_s < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(itoa(received_s.unsigned_abs()).text().as_bytes());
}

/// The latitude and the longitude of a location, each with its sign.
pub fn halves(location: &[u8]) -> (&[u8], &[u8]) {
    // Behind the sign of the latitude, which is the first byte.
    let longitude_at =
        location.iter().skip(1).position(|byte| matches!(byte, b'+' | b'-')).map_or(0, |at| at + 1);
    location.split_at(longitude_at)
}

/// Appends a signed number of a location as one of JSON, which has neither a plus nor zeros in front.
pub fn write_number(text: &[u8], out: &mut Vec<u8>) {
    let (sign, mut digits) = text.split_at(text.len().min(1));
    if sign == b"-" {
        out.push(b'-');
    }
    while digits.len() > 1 && digits[0] == b'0' && digits[1].is_ascii_digit() {
        digits = &digits[1..];
    }
    out.extend_from_slice(digits);
}

/// A tag that changes with the record: two records with the same one have the same line.
pub fn etag(line: &[u8]) -> String {
    let hash = xxhash_rust::xxh3::xxh3_64(line);
    let digit = |place: u32| char::from_digit((hash >> (60 - 4 * place)) as u32 & 15, 16).unwrap_or('0');
    let mut tag = String::with_capacity(18);
    tag.push('"');
    tag.extend((0..16).map(digit));
    tag.push('"');
    tag
}

/// Whether a field that lists tags, `If-None-Match`, has this one: a weak one is as good as a strong one.
pub fn lists_tag<'a>(fields: impl Iterator<Item = &'a [u8]>, tag: &str) -> bool {
    tags(fields)
        .any(|listed| listed == b"*" || listed.strip_prefix(b"W/").unwrap_or(listed) == tag.as_bytes())
}

/// The same of `If-Match`, for which a weak one never is the same (RFC 9110, 13.1.1).
pub fn lists_strong_tag<'a>(fields: impl Iterator<Item = &'a [u8]>, tag: &str) -> bool {
    tags(fields).any(|listed| listed == b"*" || listed == tag.as_bytes())
}

fn tags<'a>(fields: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    fields.flat_map(|field| field.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::Command;

    fn feature(line: &str) -> String {
        let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
        let (mut bytes, mut out) = (Vec::new(), Vec::new());
        write(&Record::write(&fields, &mut bytes), None, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_feature_has_the_digits_that_were_sent() {
        let line = "AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997";
        let expected = concat!(
            r#"{"type":"Feature","id":"kiwi.cs.ucla.edu","geometry":{"type":"Point","coordinates":[-118.445127,34.068930]},"#,
            r#""properties":{"time":"1520023934.918963997","server":"Goloman","difference":"+0.263873386","received":1520023935,"#,
            r#""at":"AT Goloman +0.263873386 kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"}}"#
        );
        assert_eq!(feature(line), expected);
        for (location, expected) in
            [("+01+086.5640", "[86.5640,1]"), ("-00.5-000", "[-0,-0.5]"), ("+0+0", "[0,0]")]
        {
            let json = feature(&format!("AT G +1 a {location} 1"));
            assert!(json.contains(&format!("\"coordinates\":{expected}}}")), "{json}");
            let _: serde_json::Value = serde_json::from_str(&json).expect("JSON");
        }
    }
}
