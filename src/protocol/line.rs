//! A line and its fields: where they begin and end. `command` splits what a door has read.

/// Whether a byte separates fields: space, tab, CR, LF, FF or VT.
pub fn is_space(byte: u8) -> bool {
    // Most bytes of a line are above the space, and known by one comparison.
    byte <= b' ' && (byte == b' ' || (9..=13).contains(&byte))
}

/// The fields of a line, in order, without the white space around them.
pub struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    pub fn of(line: &'a [u8]) -> Fields<'a> {
        Fields { rest: line }
    }

    /// All that is left, without the white space around it.
    pub fn rest(&self) -> &'a [u8] {
        self.rest.trim_ascii()
    }

    /// Exactly `N` fields and no more, or nothing.
    pub fn exactly<const N: usize>(mut self) -> Option<[&'a [u8]; N]> {
        let mut fields: [&[u8]; N] = [&[]; N];
        for field in &mut fields {
            *field = self.next()?;
        }
        self.next().is_none().then_some(fields)
    }
}

impl<'a> Iterator for Fields<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let start = self.rest.iter().position(|&b| !is_space(b))?;
        let text = &self.rest[start..];
        let end = text.iter().position(|&b| is_space(b)).unwrap_or(text.len());
        self.rest = &text[end..];
        Some(&text[..end])
    }
}

/// The line as it came, without the `\r` of a `\r\n`; the `\n` is gone already.
pub fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether the first field of a line is `AT`, whatever comes after it.
pub fn is_at(text: &[u8]) -> bool {
    Fields::of(text).next() == Some(b"AT")
}

/// Whether a line is the first of an HTTP request: its last field is `HTTP/1.0` or `HTTP/1.1`, or another version in
/// that form, and not its only one.
pub fn is_http(line: &[u8]) -> bool {
    let end = line.iter().rposition(|&b| !is_space(b)).map_or(0, |last| last + 1);
    let Some((before, version)) = line[..end].split_last_chunk::<8>() else { return false };
    if !matches!(version, [b'H', b'T', b'T', b'P', b'/', b'0'..=b'9', b'.', b'0'..=b'9']) {
        return false;
    }
    before.last().is_some_and(|&byte| is_space(byte)) && !before.trim_ascii().is_empty()
}

/// Whether a line is the beginning of a TLS handshake, as a browser sends it where a page names `https:`.
pub fn is_tls(line: &[u8]) -> bool {
    line.starts_with(b"\x16\x03")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_space_separates_and_surrounds() {
        fn check(line: &[u8], expected: &[&[u8]]) {
            assert_eq!(Fields::of(line).collect::<Vec<_>>(), expected, "{:?}", line.escape_ascii());
        }
        check(b"", &[]);
        check(b" \t\r\x0b\x0c\n", &[]);
        check(b"IAMAT", &[b"IAMAT"]);
        check(b"\t a \x0b\x0cb\r", &[b"a", b"b"]);
        check(b"a\x00b \xff\xfe", &[b"a\x00b", b"\xff\xfe"]);
        check(b"a\xc2\xa0b", &[b"a\xc2\xa0b"]);
    }

    #[test]
    fn an_http_request_is_known_by_its_end() {
        for line in
            ["GET / HTTP/1.1\r", "POST /a b HTTP/1.0", "x HTTP/1.1 \t", "IAMAT\tHTTP/1.1", "PRI * HTTP/2.0"]
        {
            assert!(is_http(line.as_bytes()), "{line:?}");
        }
        for line in
            ["HTTP/1.1", " HTTP/1.1", "GET / HTTP/2", "GET / HTTP/1.1x", "GET /HTTP/1.1", "", "x HTTP/1."]
        {
            assert!(!is_http(line.as_bytes()), "{line:?}");
        }
    }

    #[test]
    fn exactly_refuses_fewer_and_more() {
        assert_eq!(Fields::of(b" a b ").exactly::<2>(), Some([&b"a"[..], b"b"]));
        assert_eq!(Fields::of(b"a b").exactly::<3>(), None);
        assert_eq!(Fields::of(b"a b").exactly::<1>(), None);
    }

    #[test]
    fn only_one_carriage_return_belongs_to_the_line_end() {
        assert_eq!(without_cr(b"x\r"), b"x");
        assert_eq!(without_cr(b"x\r\r"), b"x\r");
        assert_eq!(without_cr(b"\rx"), b"\rx");
    }
}
