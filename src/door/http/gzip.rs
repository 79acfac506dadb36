//! Replies that are packed, where that pays: pages of clients, made by the thread for what takes long, shrink to a tenth.
//! What a worker makes in its turn is sent as it is: packing 30 KB would take longer than all else of the turn.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::head::Head;
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
    if body.len() < GZIP_BYTES_MIN {
        return body;
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    // Writing to memory does not fail.
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(packed) if packed.len() < body.len() => packed,
        _ => body,
    }
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
    use std::io::Read;

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
        let mut unpacked = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut unpacked).expect("whole");
        assert_eq!(unpacked, body);
        assert_eq!(pack(b"{}".to_vec()), b"{}", "too small to pay");
    }
}
