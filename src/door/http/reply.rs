//! What is answered: status line, fields and body, written whole into the turn's output, so that each reply has its
//! length and leaves in one piece.

use super::date;
use crate::limits::HTTP_REPLY_HEAD_BYTES;

/// A reply without its body's way. What is not set is not said.
#[derive(Clone, Copy, Default)]
pub struct Reply<'a> {
    pub status: u16,
    /// The media type of the body; None where there is no body.
    pub kind: Option<&'static str>,
    pub body: &'a [u8],
    pub etag: Option<&'a str>,
    /// Further fields, each whole with its CRLF.
    pub fields: &'a str,
    /// The body that is left out has no end, and so no length.
    pub is_endless: bool,
}

/// How it is sent.
#[derive(Clone, Copy)]
pub struct Way {
    /// The connection is kept.
    pub is_kept: bool,
    /// The client speaks HTTP/1.0, and is told that the connection is kept.
    pub is_http_1_0: bool,
    /// The request was HEAD: the same without the body.
    pub is_head: bool,
    /// What is refused is told in the way that Overland shows to its user.
    pub is_overland: bool,
    /// The client reads what is packed.
    pub reads_gzip: bool,
    /// Seconds since 1970.
    pub now_s: u64,
}

pub const JSON: &str = "application/json";
pub const GEO_JSON: &str = "application/geo+json";
pub const PROBLEM: &str = "application/problem+json";
pub const TEXT: &str = "text/plain; charset=utf-8";

/// What a client that waits with its body is told.
pub const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";

impl Reply<'_> {
    pub fn write(&self, way: Way, out: &mut Vec<u8>) {
        out.reserve(HTTP_REPLY_HEAD_BYTES + self.fields.len() + self.body.len());
        let mut put = |text: &str| out.extend_from_slice(text.as_bytes());
        put("HTTP/1.1 ");
        let mut number = itoa(self.status.into());
        put(number.text());
        put(" ");
        put(phrase(self.status));
        put("\r\nDate: ");
        put(date::http(way.now_s).text());
        // A body that there may not be has no length either.
        if !matches!(self.status, 204 | 304) && !self.is_endless {
            put("\r\nContent-Length: ");
            number = itoa(self.body.len() as u64);
            put(number.text());
        }
        if let Some(kind) = self.kind {
            put("\r\nContent-Type: ");
            put(kind);
            put("\r\nX-Content-Type-Options: nosniff");
        }
        if let Some(etag) = self.etag {
            put("\r\nETag: ");
            put(etag);
        }
        match (way.is_kept, way.is_http_1_0) {
            (false, _) => put("\r\nConnection: close"),
            (true, true) => put("\r\nConnection: keep-alive"),
            (true, false) => {}
        }
        put("\r\n");
        put(self.fields);
        put("\r\n");
        if !way.is_head && !matches!(self.status, 204 | 304) {
            out.extend_from_slice(self.body);
        }
    }
}

/// The digits of a number, without an allocation.
pub struct Digits {
    bytes: [u8; 20],
    begin: usize,
}

impl Digits {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[self.begin..]).unwrap_or_default()
    }
}

pub fn itoa(number: u64) -> Digits {
    let (mut bytes, mut begin, mut rest) = ([b'0'; 20], 20, number);
    loop {
        begin -= 1;
        bytes[begin] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            return Digits { bytes, begin };
        }
    }
}

/// What a status is called.
pub fn phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        303 => "See Other",
        304 => "Not Modified",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        409 => "Conflict",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        417 => "Expectation Failed",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        501 => "Not Implemented",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "Error",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way = Way {
        is_kept: true,
        is_http_1_0: false,
        is_head: false,
        is_overland: false,
        reads_gzip: false,
        now_s: 784_111_777,
    };

    fn written(reply: Reply<'_>, way: Way) -> String {
        let mut out = Vec::new();
        reply.write(way, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_reply_has_its_length_and_leaves_the_body_out_where_none_may_be() {
        let reply = Reply { status: 200, kind: Some(JSON), body: b"{}\n", ..Reply::default() };
        let expected = "HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Length: 3\r\n\
                        Content-Type: application/json\r\nX-Content-Type-Options: nosniff\r\n\r\n{}\n";
        assert_eq!(written(reply, WAY), expected);
        let head = written(reply, Way { is_head: true, ..WAY });
        assert_eq!(head, expected.trim_end_matches("{}\n"), "the same head, and no body");
        let etag = Some("\"1f\"");
        let unchanged = Reply { status: 304, etag, ..Reply::default() };
        let expected =
            "HTTP/1.1 304 Not Modified\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nETag: \"1f\"\r\n\r\n";
        assert_eq!(written(unchanged, WAY), expected);
        let gone = Reply { status: 404, fields: "Vary: Origin\r\n", ..Reply::default() };
        let closed = written(gone, Way { is_kept: false, ..WAY });
        assert!(
            closed.ends_with("Content-Length: 0\r\nConnection: close\r\nVary: Origin\r\n\r\n"),
            "{closed}"
        );
        let kept = written(gone, Way { is_http_1_0: true, ..WAY });
        assert!(kept.contains("Connection: keep-alive\r\n"), "{kept}");
    }

    #[test]
    fn numbers_are_written_as_fmt_would() {
        for number in [0, 7, 10, 404, u64::MAX] {
            assert_eq!(itoa(number).text(), number.to_string());
        }
    }
}
