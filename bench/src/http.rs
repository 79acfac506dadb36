//! A reply by HTTP: where it ends, and what it says. The generator and the conformance run call it, so it takes one
//! kind of framing only, which every server here uses: Content-Length.

use memchr::{memchr, memmem};

#[derive(Debug, PartialEq, Eq)]
pub struct Reply<'b> {
    pub status: u16,
    /// Status line and fields, with the empty line.
    pub head: &'b [u8],
    pub body: &'b [u8],
}

/// The reply at the front of some bytes; None while it is not whole.
///
/// # Errors
/// It is none, or does not say once how long it is.
pub fn cut(bytes: &[u8]) -> Result<Option<Reply<'_>>, &'static str> {
    let Some(end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let (head, rest) = bytes.split_at(end + 4);
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| number(rest.get(..3)?));
    let status = status.ok_or("it has no status line of HTTP/1.1")?;
    if field(head, b"transfer-encoding").is_some() {
        return Err("it is framed by Transfer-Encoding");
    }
    let length = field(head, b"content-length").and_then(number).ok_or("it has no Content-Length")?;
    let Some(body) = rest.get(..length) else { return Ok(None) };
    Ok(Some(Reply { status: status as u16, head, body }))
}

/// The value of the first field of this name, which is in small letters.
pub fn field<'b>(head: &'b [u8], name: &[u8]) -> Option<&'b [u8]> {
    let mut rest = &head[memchr(b'\n', head)? + 1..];
    while let Some(end) = memchr(b'\n', rest) {
        let line = &rest[..end];
        if let Some((named, value)) = line.split_at_checked(name.len())
            && named.eq_ignore_ascii_case(name)
            && let Some(value) = value.strip_prefix(b":")
        {
            return Some(value.trim_ascii());
        }
        rest = &rest[end + 1..];
    }
    None
}

fn number(text: &[u8]) -> Option<usize> {
    let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

impl Reply<'_> {
    pub fn length(&self) -> usize {
        self.head.len() + self.body.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_ends_where_it_says_and_must_say_so() {
        let head = "HTTP/1.1 200 OK\r\nX: y\r\ncontent-LENGTH:  2 \r\n\r\n";
        let whole = format!("{head}okHTTP");
        let reply = cut(whole.as_bytes()).expect("a reply").expect("whole");
        assert_eq!((reply.status, reply.body, reply.length()), (200, &b"ok"[..], head.len() + 2));
        assert_eq!(field(reply.head, b"x"), Some(&b"y"[..]));
        assert_eq!(field(reply.head, b"http/1.1 200 ok"), None);
        for end in 0..whole.len() - 5 {
            assert_eq!(cut(&whole.as_bytes()[..end]), Ok(None), "{end}");
        }
        for wrong in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            "AT Goloman\r\n\r\n",
        ] {
            assert!(cut(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
