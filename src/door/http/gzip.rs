//! Replies that are packed for those who read that, where it pays: pages of clients, which shrink to a tenth, and what
//! else has no small bound.

use std::borrow::Cow;
use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

use super::head::Head;
use super::reply::Way;
use crate::limits::GZIP_BYTES_MIN;

/// What the field of a packed reply says, and of one that might have been packed.
pub const PACKED: &str = "Content-Encoding: gzip\r\nVary: Accept-Encoding\r\n";
pub const UNPACKED: &str = "Vary: Accept-Encoding\r\n";

/// Whether whoever asks reads what is packed.
pub fn is_wanted(head: &Head<'_>) -> bool {
    let codings = head.fields("accept-encoding").flat_map(|field| field.split(|&byte| byte == b','));
    let mut codings = codings.map(|coding| {
        let mut parts = coding.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        (parts.next().unwrap_or_default(), parts.next().unwrap_or_default())
    });
    codings.any(|(name, quality)| {
        let is_none = quality.strip_prefix(b"q=").is_some_and(|q| q.iter().all(|byte| b"0.".contains(byte)));
        name.eq_ignore_ascii_case(b"gzip") && !is_none
    })
}

/// The body packed, or as it is where that would not pay.
pub fn pack(body: Vec<u8>) -> Vec<u8> {
    pack_as(body, Compression::fast())
}

/// The same as small as it gets: for what is packed once and sent often.
pub fn pack_once(body: Vec<u8>) -> Vec<u8> {
    pack_as(body, Compression::best())
}

fn pack_as(body: Vec<u8>, level: Compression) -> Vec<u8> {
    if body.len() < GZIP_BYTES_MIN {
        return body;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), level);
    // Writing to memory does not fail.
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(packed) if packed.len() < body.len() => packed,
        _ => body,
    }
}

/// What was packed, up to so many bytes; as far as it can be read.
pub fn unpack(packed: &[u8], max: usize) -> Vec<u8> {
    let mut body = Vec::new();
    // What was read until then stays in it.
    let _ = GzDecoder::new(packed).take(max as u64).read_to_end(&mut body);
    body
}

/// The same for whoever reads it.
pub fn pack_for(way: Way, body: Cow<'_, [u8]>) -> Cow<'_, [u8]> {
    if way.reads_gzip { Cow::Owned(pack(body.into_owned())) } else { body }
}

/// Whether a body, which is text if not, is packed.
pub fn is_packed(body: &[u8]) -> bool {
    body.starts_with(&[0x1f, 0x8b])
}

/// The fields of a body that might have been packed.
pub fn fields(body: &[u8]) -> &'static str {
    if is_packed(body) { PACKED } else { UNPACKED }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_packed_for_those_who_read_that() {
        let is_wanted = |field: &str| {
            let text = format!("GET / HTTP/1.1\r\nHost: a\r\n{field}\r\n");
            is_wanted(&Head::parse(text.as_bytes()).expect("a head"))
        };
        for field in ["gzip", "br, GZIP;q=0.5", "deflate,gzip ; q=1"] {
            assert!(is_wanted(&format!("Accept-Encoding: {field}\r\n")), "{field}");
        }
        for field in [
            "",
            "Accept-Encoding: gzip;q=0\r\n",
            "Accept-Encoding: identity\r\n",
            "Accept-Encoding: gzip; q=0.000\r\n",
        ] {
            assert!(!is_wanted(field), "{field}");
        }
        let body = b"{\"type\":\"Feature\"}".repeat(1_000);
        let packed = pack(body.clone());
        assert!(is_packed(&packed) && packed.len() * 10 < body.len());
        assert_eq!(unpack(&packed, usize::MAX), body);
        assert_eq!(unpack(&packed, 100), body[..100]);
        assert_eq!(unpack(&packed[..4], 100), b"");
        assert_eq!(pack(b"{}".to_vec()), b"{}", "too small to pay");
    }
}
