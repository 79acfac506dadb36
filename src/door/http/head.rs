//! The head of a request: where it ends, and what it says. Whatever could be read in two ways is read in none, so that
//! no proxy in front takes for one request what is two here. Bytes in, values out.

use httparse::{EMPTY_HEADER, Header, Status};

use crate::limits::{HTTP_FIELDS_MAX, HTTP_HEAD_MAX, HTTP_TARGET_MAX};

/// What a request asks to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Delete,
    Options,
    /// One that is known, and served nowhere.
    Other,
}

impl Method {
    pub fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
            Method::Options => "OPTIONS",
            Method::Other => "OTHER",
        }
    }
}

/// Why a message is none. The connection is closed after it, as nobody knows where the next one would begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bad {
    pub status: u16,
    pub why: &'static str,
}

/// How a request's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Length(usize),
    Chunked,
}

/// What the head of a request says.
#[derive(Debug)]
pub struct Head<'b> {
    pub method: Method,
    /// As it came, still percent-encoded.
    pub path: &'b [u8],
    pub query: &'b [u8],
    /// Whom the request is for, with the port if there is one; None from a client of HTTP/1.0 that does not say.
    pub host: Option<&'b [u8]>,
    pub framing: Framing,
    /// The connection is kept for a further request.
    pub is_kept: bool,
    pub is_http_1_0: bool,
    /// It waits for a word before it sends the body.
    pub expects_continue: bool,
    fields: Vec<Header<'b>>,
}

const fn bad(status: u16, why: &'static str) -> Bad {
    Bad { status, why }
}

/// Finds where the head ends: behind its empty line. `looked` is how far it was looked at before, and is moved on. What
/// is refused is so for the bytes up to some place, so that it does not matter how they are cut.
///
/// # Errors
/// It is none, or too long, whatever follows.
pub fn end(input: &[u8], looked: &mut usize) -> Result<Option<usize>, Bad> {
    // No method begins with anything else: a TLS handshake, say, is answered before it is complete.
    if input.first().is_some_and(|first| !first.is_ascii_graphic() && *first != b'\r') {
        return Err(bad(400, "this is no HTTP/1.1"));
    }
    if input.len() > LINE_MAX && !input[..LINE_MAX].contains(&b'\n') {
        let has_method = input[..LINE_MAX].contains(&b' ');
        return Err(if has_method { TARGET_TOO_LONG } else { NO_METHOD });
    }
    while let Some(at) = memchr::memchr(b'\n', &input[*looked..]) {
        let newline = *looked + at;
        if newline >= HTTP_HEAD_MAX {
            return Err(TOO_LONG);
        }
        if newline == 0 || input[newline - 1] != b'\r' {
            return Err(bad(400, "a line ends in LF without CR"));
        }
        *looked = newline + 1;
        if newline == 1 || input[..newline - 1].ends_with(b"\n") {
            return Ok(Some(*looked));
        }
    }
    *looked = input.len();
    if input.len() > HTTP_HEAD_MAX { Err(TOO_LONG) } else { Ok(None) }
}

/// Bytes of a request line: the target's, and those of the method and the version.
const LINE_MAX: usize = HTTP_TARGET_MAX + 64;

const TARGET_TOO_LONG: Bad = bad(414, "the target is longer than 8 KiB");
const TOO_LONG: Bad = bad(431, "the head is longer than 16 KiB");
const NO_METHOD: Bad = bad(501, "no such method is known");

/// Whether a name may have this byte: of a field, a method, a coding.
pub fn is_of_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Whether a field's value may have this byte.
pub fn is_of_value(byte: u8) -> bool {
    byte == b'\t' || (byte >= b' ' && byte != 0x7f)
}

impl<'b> Head<'b> {
    /// Reads a whole head.
    ///
    /// # Errors
    /// It is none, or can be read in more than one way.
    pub fn parse(bytes: &'b [u8]) -> Result<Head<'b>, Bad> {
        let mut fields = [EMPTY_HEADER; HTTP_FIELDS_MAX];
        let mut request = httparse::Request::new(&mut fields);
        match request.parse(bytes) {
            Ok(Status::Complete(length)) if length == bytes.len() => {}
            Ok(_) => return Err(bad(400, "the head ends twice")),
            Err(why) => return Err(of_httparse(why, bytes)),
        }
        let (Some(method), Some(target), Some(version)) = (request.method, request.path, request.version)
        else {
            return Err(bad(400, "no request line"));
        };
        let is_http_1_0 = version == 0;
        let method = method_of(method)?;
        let fields = request.headers.to_vec();
        let mut head = Head {
            method,
            path: b"",
            query: b"",
            host: host(&fields, is_http_1_0)?,
            framing: framing(&fields, is_http_1_0)?,
            is_kept: is_kept(&fields, is_http_1_0),
            is_http_1_0,
            expects_continue: expects_continue(&fields, is_http_1_0)?,
            fields,
        };
        head.read_target(target.as_bytes())?;
        Ok(head)
    }

    /// Whether no body follows.
    pub fn is_whole(&self) -> bool {
        matches!(self.framing, Framing::Length(0))
    }

    /// The value of a field that stands once, without white space around it.
    pub fn field(&self, name: &str) -> Option<&'b [u8]> {
        let mut values = self.fields(name);
        values.next().filter(|_| values.next().is_none())
    }

    /// All values of a field, in their order.
    pub fn fields<'f>(&'f self, name: &'f str) -> impl Iterator<Item = &'b [u8]> {
        values(&self.fields, name)
    }

    /// The name and the value of each field.
    pub fn all_fields(&self) -> impl Iterator<Item = (&'b str, &'b [u8])> {
        self.fields.iter().map(|field| (field.name, field.value.trim_ascii()))
    }

    fn read_target(&mut self, target: &'b [u8]) -> Result<(), Bad> {
        if target.len() > HTTP_TARGET_MAX {
            return Err(TARGET_TOO_LONG);
        }
        let query_at = memchr::memchr(b'?', target).unwrap_or(target.len());
        let is_valid = |(at, &byte): (usize, &u8)| is_of_target(byte) || at > query_at && is_of_query(byte);
        if !target.iter().enumerate().all(is_valid) {
            return Err(bad(400, "the target has a byte that must be percent-encoded"));
        }
        let origin = if target.starts_with(b"/") {
            target
        } else if target == b"*" && self.method == Method::Options {
            b"*"
        } else {
            self.read_absolute(target)?
        };
        let query_at = memchr::memchr(b'?', origin);
        let (path, query) = origin.split_at(query_at.unwrap_or(origin.len()));
        (self.path, self.query) = (path, query.get(1..).unwrap_or_default());
        Ok(())
    }

    /// A proxy's form of it, whose authority counts before the field `Host`.
    fn read_absolute(&mut self, target: &'b [u8]) -> Result<&'b [u8], Bad> {
        let rest = strip_scheme(target).ok_or(bad(400, "the target is no path"))?;
        let path_at = rest.iter().position(|&byte| byte == b'/' || byte == b'?').unwrap_or(rest.len());
        let (authority, path) = rest.split_at(path_at);
        if !is_host(authority) {
            return Err(bad(400, "the target names no host"));
        }
        self.host = Some(authority);
        match path.first() {
            Some(b'/') => Ok(path),
            None => Ok(b"/"),
            Some(_) => Err(bad(400, "the target has no path")),
        }
    }
}

fn strip_scheme(target: &[u8]) -> Option<&[u8]> {
    ["http://", "https://"].iter().find_map(|scheme| {
        let (head, rest) = target.split_at_checked(scheme.len())?;
        head.eq_ignore_ascii_case(scheme.as_bytes()).then_some(rest)
    })
}

/// What a target may hold: visible ASCII but what no URI has, and no fragment.
fn is_of_target(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"#<>\\^`{|}".contains(&byte)
}

/// What a query may hold besides, as browsers and phones do not encode it: `{11}` of a template that nobody filled in.
fn is_of_query(byte: u8) -> bool {
    b"\\^`{|}".contains(&byte)
}

fn method_of(text: &str) -> Result<Method, Bad> {
    Ok(match text {
        "GET" => Method::Get,
        "HEAD" => Method::Head,
        "POST" => Method::Post,
        "PUT" => Method::Put,
        "DELETE" => Method::Delete,
        "OPTIONS" => Method::Options,
        "PATCH" | "TRACE" | "CONNECT" | "QUERY" | "PROPFIND" | "REPORT" | "SEARCH" => Method::Other,
        _ => return Err(NO_METHOD),
    })
}

fn of_httparse(why: httparse::Error, bytes: &[u8]) -> Bad {
    match why {
        httparse::Error::TooManyHeaders => bad(431, "more than 64 fields"),
        httparse::Error::Version => {
            let line = bytes.split(|&byte| byte == b'\r').next().unwrap_or_default();
            // A blank within the target brings what is behind it to the version's place.
            let version = line.splitn(3, |&byte| byte == b' ').nth(2).unwrap_or_default();
            let is_one = version.len() == 8
                && version.starts_with(b"HTTP/")
                && version[5].is_ascii_digit()
                && version[6] == b'.'
                && version[7].is_ascii_digit();
            if is_one { bad(505, "this is no HTTP/1.1 or HTTP/1.0") } else { bad(400, "no HTTP version") }
        }
        httparse::Error::HeaderName => bad(400, "a field's name has a byte that no name has"),
        httparse::Error::HeaderValue => bad(400, "a field's value has a byte that no value has"),
        _ => bad(400, "the request line or a field is malformed"),
    }
}

// --- fields

fn values<'f, 'b>(fields: &'f [Header<'b>], name: &'f str) -> impl Iterator<Item = &'b [u8]> {
    let named = fields.iter().filter(move |field| field.name.eq_ignore_ascii_case(name));
    named.map(|field| field.value.trim_ascii())
}

/// The parts of a field that is a list.
fn list<'f>(fields: &'f [Header<'_>], name: &'f str) -> impl Iterator<Item = &'f [u8]> {
    values(fields, name).flat_map(|value| value.split(|&byte| byte == b',')).map(<[u8]>::trim_ascii)
}

fn host<'b>(fields: &[Header<'b>], is_http_1_0: bool) -> Result<Option<&'b [u8]>, Bad> {
    let mut hosts = values(fields, "host");
    match (hosts.next(), hosts.next()) {
        (Some(_), Some(_)) => Err(bad(400, "two fields Host")),
        // An empty one is for addresses that have no host, of which HTTP has none.
        (Some(host), None) if is_host(host) => Ok(Some(host)),
        (Some(_), None) => Err(bad(400, "Host is no host")),
        (None, _) if is_http_1_0 => Ok(None),
        (None, _) => Err(bad(400, "no field Host")),
    }
}

/// `name`, `name:port`, `192.0.2.1:80`, `[::1]:80`.
fn is_host(text: &[u8]) -> bool {
    let (name, port) = match text.strip_prefix(b"[") {
        Some(rest) => match rest.iter().position(|&byte| byte == b']') {
            Some(end) => {
                let is_v6 = std::str::from_utf8(&rest[..end])
                    .is_ok_and(|text| text.parse::<std::net::Ipv6Addr>().is_ok());
                if !is_v6 {
                    return false;
                }
                (&b"v6"[..], &rest[end + 1..])
            }
            None => return false,
        },
        None => text.split_at(text.iter().position(|&byte| byte == b':').unwrap_or(text.len())),
    };
    let is_name = !name.is_empty()
        && name.iter().all(|&byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte));
    let is_port = match port.strip_prefix(b":") {
        Some(digits) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        None => port.is_empty(),
    };
    is_name && is_port
}

fn framing(fields: &[Header<'_>], is_http_1_0: bool) -> Result<Framing, Bad> {
    let mut lengths = values(fields, "content-length");
    let length = lengths.next();
    if lengths.next().is_some() {
        return Err(bad(400, "two fields Content-Length"));
    }
    match (length, coding(fields)?) {
        (None, None) => Ok(Framing::Length(0)),
        (Some(length), None) => {
            // Behind a zero some read an octal number.
            let is_octal = length.len() > 1 && length.starts_with(b"0");
            let is_number = !length.is_empty() && length.iter().all(u8::is_ascii_digit) && !is_octal;
            let number = std::str::from_utf8(length).ok().filter(|_| is_number);
            let number = number.ok_or(bad(400, "Content-Length is no number"))?;
            // One that fits in nothing is too long, not malformed.
            Ok(Framing::Length(number.parse().unwrap_or(usize::MAX)))
        }
        (Some(_), Some(_)) => Err(bad(400, "both Content-Length and Transfer-Encoding")),
        (None, Some(_)) if is_http_1_0 => Err(bad(400, "Transfer-Encoding in HTTP/1.0")),
        (None, Some(Coding::Chunked)) => Ok(Framing::Chunked),
        (None, Some(Coding::Unknown)) => Err(bad(501, "the only Transfer-Encoding that is known is chunked")),
        (None, Some(Coding::Endless)) => Err(bad(400, "Transfer-Encoding does not end in chunked, once")),
    }
}

/// How a body is coded.
enum Coding {
    Chunked,
    /// In a way that is not known, and then chunked.
    Unknown,
    /// So that nobody can tell where it ends.
    Endless,
}

fn coding(fields: &[Header<'_>]) -> Result<Option<Coding>, Bad> {
    let (mut count, mut chunked, mut is_last) = (0, 0, false);
    for part in list(fields, "transfer-encoding") {
        if part.is_empty() {
            return Err(bad(400, "a Transfer-Encoding has no name"));
        }
        is_last = part.eq_ignore_ascii_case(b"chunked");
        (count, chunked) = (count + 1, chunked + u32::from(is_last));
    }
    Ok(match (count, chunked, is_last) {
        (0, ..) => None,
        (1, 1, _) => Some(Coding::Chunked),
        (_, 1, true) => Some(Coding::Unknown),
        _ => Some(Coding::Endless),
    })
}

fn is_kept(fields: &[Header<'_>], is_http_1_0: bool) -> bool {
    let says = |word: &[u8]| list(fields, "connection").any(|part| part.eq_ignore_ascii_case(word));
    if is_http_1_0 { says(b"keep-alive") && !says(b"close") } else { !says(b"close") }
}

fn expects_continue(fields: &[Header<'_>], is_http_1_0: bool) -> Result<bool, Bad> {
    let mut expected = values(fields, "expect");
    let Some(value) = expected.next() else { return Ok(false) };
    // An old client cannot mean it.
    if is_http_1_0 {
        return Ok(false);
    }
    let is_known = value.eq_ignore_ascii_case(b"100-continue") && expected.next().is_none();
    if is_known { Ok(true) } else { Err(bad(417, "the only expectation that is known is 100-continue")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, u16> {
        let bytes = text.as_bytes();
        let mut looked = 0;
        let end = end(bytes, &mut looked).map_err(|bad| bad.status)?.ok_or(0_u16)?;
        let head = Head::parse(&bytes[..end]).map_err(|bad| bad.status)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let host = head.host.map(text).unwrap_or_default();
        let kept = if head.is_kept { "kept" } else { "closed" };
        Ok(format!(
            "{:?} {} {} {host} {:?} {kept}",
            head.method,
            text(head.path),
            text(head.query),
            head.framing
        ))
    }

    #[test]
    fn a_head_is_read_in_one_way_or_in_none() {
        let check = |text: &str, expected: Result<&str, u16>| {
            assert_eq!(parse(text), expected.map(str::to_owned), "{text:?}");
        };
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok("Get /  a Length(0) kept"));
        check(
            "GET /x?y=1 HTTP/1.1\r\nhost: [::1]:80\r\nConnection: close\r\n\r\n",
            Ok("Get /x y=1 [::1]:80 Length(0) closed"),
        );
        check("GET http://b:1/x HTTP/1.1\r\nHost: a\r\n\r\n", Ok("Get /x  b:1 Length(0) kept"));
        check("GET HTTP://b HTTP/1.1\r\nHost: a\r\n\r\n", Ok("Get /  b Length(0) kept"));
        check("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n", Ok("Options *  a Length(0) kept"));
        check("GET / HTTP/1.0\r\n\r\n", Ok("Get /   Length(0) closed"));
        check("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Ok("Get /   Length(0) kept"));
        check("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n", Ok("Put /  a Chunked kept"));
        check("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n", Ok("Put /  a Length(7) kept"));
        for (head, status) in [
            ("GET / HTTP/1.1\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n", 400),
            ("GET / HTTP/1.1\nHost: a\n\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\n X: folded\r\n\r\n", 400),
            ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\u{e9} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /# HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET * HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            ("GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505),
            ("GET / http/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /\r\n\r\n", 400),
            ("BREW / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("get / HTTP/1.1\r\nHost: a\r\n\r\n", 501),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nContent-Length: 7\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7, 7\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: +7\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501),
            ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked,\r\n\r\n", 400),
            (
                "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
                400,
            ),
            ("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 07\r\n\r\n", 400),
            ("GET / HTTP/1.1\r\nHost:\r\n\r\n", 400),
            ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /{a} HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /?a=\"b HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("GET /?a=b#c HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("PUT / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            ("PUT / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", 417),
            ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400),
            ("\x16\x03\x01", 400),
        ] {
            check(head, Err(status));
        }
    }

    #[test]
    fn heads_are_bounded_before_they_end() {
        let mut looked = 0;
        let long = format!("GET /{}", "x".repeat(HTTP_TARGET_MAX + 64));
        assert_eq!(end(long.as_bytes(), &mut looked).map_err(|bad| bad.status), Err(414));
        let fields = format!("GET / HTTP/1.1\r\n{}", "X: y\r\n".repeat(HTTP_HEAD_MAX / 6));
        looked = 0;
        assert_eq!(end(fields.as_bytes(), &mut looked).map_err(|bad| bad.status), Err(431));
        assert_eq!(parse(&format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(64))), Err(431));
        let half = b"GET / HTTP/1.1\r\nHost: a\r\n";
        looked = 0;
        assert!((1..=half.len()).all(|length| end(&half[..length], &mut looked) == Ok(None)));
    }
}
