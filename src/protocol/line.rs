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
        let end = field_length(text);
        self.rest = &text[end..];
        Some(&text[..end])
    }
}

/// How many bytes there are before the first that separates fields.
fn field_length(text: &[u8]) -> usize {
    let mut end = 0;
    while let Some(at) = first_up_to_space(&text[end..]) {
        end += at;
        if is_space(text[end]) {
            return end;
        }
        end += 1;
    }
    text.len()
}

/// Where the first byte is that is no greater than a space. Every byte of every line is looked at here, eight of them
/// in one step.
fn first_up_to_space(text: &[u8]) -> Option<usize> {
    const HIGHEST_BITS: u64 = u64::from_le_bytes([0x80; 8]);
    const ABOVE_SPACE: u64 = u64::from_le_bytes([b' ' + 1; 8]);
    let (eights, rest) = text.as_chunks::<8>();
    for (index, eight) in eights.iter().enumerate() {
        let eight = u64::from_le_bytes(*eight);
        // The highest bit of each such byte. What a byte borrows makes only later ones look like one.
        let found = eight.wrapping_sub(ABOVE_SPACE) & !eight & HIGHEST_BITS;
        if found != 0 {
            return Some(8 * index + found.trailing_zeros() as usize / 8);
        }
    }
    rest.iter().position(|&byte| byte <= b' ').map(|at| 8 * eights.len() + at)
}

/// The line as it came, without the `\r` of a `\r\n`; the `\n` is gone already.
pub fn without_cr(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// Whether the first field of a line is `AT`, whatever comes after it.
pub fn is_at(text: &[u8]) -> bool {
    Fields::of(text).next() == Some(b"AT")
}

/// The client that a line is about, if it is likely to be one that tells where a client is. Whether it is valid is not
/// asked.
pub fn client_of(line: &[u8]) -> Option<&[u8]> {
    let mut fields = Fields::of(line);
    match fields.next()? {
        b"IAMAT" => fields.next(),
        b"AT" => fields.nth(2),
        _ => None,
    }
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
    fn lines_that_tell_where_a_client_is_name_it() {
        fn check(line: &[u8], expected: Option<&[u8]>) {
            assert_eq!(client_of(line), expected, "{:?}", line.escape_ascii());
        }
        check(b" IAMAT  kiwi +1+1 1\r", Some(b"kiwi"));
        check(b"AT G +0 kiwi +1+1 1", Some(b"kiwi"));
        check(b"IAMAT kiwi", Some(b"kiwi"));
        for line in [&b""[..], b"IAMAT", b"AT G +0", b"WHATSAT kiwi 1 1", b"iamat kiwi"] {
            check(line, None);
        }
    }

    #[test]
    fn a_field_ends_at_any_place_whatever_its_bytes() {
        for byte in (0..=255).filter(|&byte| !is_space(byte)) {
            for length in 1..=20 {
                let field = vec![byte; length];
                for end in 0..=255 {
                    let line = [&field[..], &[end], &field[..]].concat();
                    let expected = if is_space(end) { length } else { line.len() };
                    assert_eq!(Fields::of(&line).next().map(<[u8]>::len), Some(expected), "{line:?}");
                }
            }
        }
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
