//! Cuts out of what strangers say whatever looks like a secret: no token gets into a log, wherever it is shown.
//! The wire calls it for requests and for lines that are no commands, doors for what they tell of a parameter.

use std::borrow::Cow;
use std::ops::Range;

/// What stands in place of a secret.
const HIDDEN: &[u8] = b"...";

/// Words behind which a secret stands, and what is between: the name of a parameter, and the path of a webhook.
const WORDS: [(&[u8], Kind); 2] = [(b"token", Kind::Value), (b"webhook", Kind::Segment)];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// `token=SECRET`, or `"token": "SECRET"`.
    Value,
    /// `webhook/SECRET`.
    Segment,
}

/// The text without secrets, each up to the next `&` or blank.
pub fn hide(text: &[u8]) -> Cow<'_, [u8]> {
    let mut secrets = secrets(text).peekable();
    if secrets.peek().is_none() {
        return Cow::Borrowed(text);
    }
    let (mut out, mut copied) = (Vec::with_capacity(text.len()), 0);
    for secret in secrets {
        out.extend_from_slice(&text[copied..secret.start]);
        out.extend_from_slice(HIDDEN);
        copied = secret.end;
    }
    out.extend_from_slice(&text[copied..]);
    Cow::Owned(out)
}

/// The same of a line that may be one of a request's head.
pub fn hide_line(line: &[u8]) -> Cow<'_, [u8]> {
    match (0..line.len()).find_map(|at| word(b"authorization:", &line[at..]).map(|length| at + length)) {
        Some(end) => Cow::Owned([hide(&line[..end]).as_ref(), HIDDEN].concat()),
        None => hide(line),
    }
}

/// The text up to the first secret: of a value that is decoded nobody knows where that ends.
pub fn hide_rest(text: &str) -> Cow<'_, str> {
    match secrets(text.as_bytes()).next() {
        Some(secret) => Cow::Owned([&text[..secret.start], "..."].concat()),
        None => Cow::Borrowed(text),
    }
}

/// Where the secrets are, in their order.
fn secrets(text: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let mut at = 0;
    // Both words have it, and nearly nothing else that is said.
    let has_words = memchr::memchr3(b'k', b'K', b'%', text).is_some();
    std::iter::from_fn(move || {
        while has_words && at < text.len() {
            let found =
                WORDS.iter().find_map(|(name, kind)| begin(text, at + word(name, &text[at..])?, *kind));
            let Some((start, kind)) = found else {
                at += 1;
                continue;
            };
            let is_end = |byte: &u8| {
                byte.is_ascii_whitespace() || *byte == b'&' || kind == Kind::Segment && *byte == b'?'
            };
            let end = text[start..].iter().position(is_end).map_or(text.len(), |length| start + length);
            at = end.max(at + 1);
            if end > start {
                return Some(start..end);
            }
        }
        None
    })
}

/// Where a secret begins behind its word, if there is one.
fn begin(text: &[u8], behind: usize, kind: Kind) -> Option<(usize, Kind)> {
    let skip = |mut at: usize, bytes: &[u8]| {
        while let Some((_, length)) = byte(&text[at..]).filter(|(byte, _)| bytes.contains(byte)) {
            at += length;
        }
        at
    };
    if kind == Kind::Segment {
        let start = skip(behind, b"/");
        return (start > behind).then_some((start, kind));
    }
    let at = skip(behind, b"\"'");
    let (sign, length) = byte(&text[at..])?;
    match sign {
        b'=' => Some((at + length, kind)),
        b':' => Some((skip(at + length, b" \t"), kind)),
        _ => None,
    }
}

/// How long a word is at the beginning of a text, in whatever letters, percent-encoded or not.
fn word(name: &[u8], text: &[u8]) -> Option<usize> {
    let mut length = 0;
    for expected in name {
        let (found, taken) = byte(&text[length..])?;
        if !found.eq_ignore_ascii_case(expected) {
            return None;
        }
        length += taken;
    }
    Some(length)
}

/// The first byte of a text, decoded, and how long it is there.
fn byte(text: &[u8]) -> Option<(u8, usize)> {
    let digit = |at: usize| char::from(*text.get(at)?).to_digit(16);
    let encoded = || Some((digit(1)? * 16 + digit(2)?) as u8);
    match (text.first()?, encoded()) {
        (b'%', Some(byte)) => Some((byte, 3)),
        (byte, _) => Some((*byte, 1)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_a_secret_is_cut_out() {
        let check = |line: &str, expected: &str| {
            assert_eq!(String::from_utf8_lossy(&hide_line(line.as_bytes())), expected);
        };
        check("GET /v1/clients?token=abc HTTP/1.1", "GET /v1/clients?token=... HTTP/1.1");
        check("GET /?id=7?TOKEN=a?b&lat=1&Token=c", "GET /?id=7?TOKEN=...&lat=1&Token=...");
        check("GET /?a=1%26%74oKen%3Dabc%26x", "GET /?a=1%26%74oKen%3D...");
        check("GET /?a=1;token=abc", "GET /?a=1;token=...");
        check("POST /%61pi//WebHook%2F/abc?x=1", "POST /%61pi//WebHook%2F/...?x=1");
        check("{\"token\": \"abc\", \"lat\": 1}", "{\"token\": ... \"lat\": 1}");
        check("X-Token: abc", "X-Token: ...");
        check("authoriZation: Bearer abc def", "authoriZation:...");
        for line in [
            "",
            "GET /?token=&x=1",
            "GET /v1/clients/token?x=token",
            "%",
            "a token: ",
            "webhook",
            "tok%",
            "k",
        ] {
            check(line, line);
        }
        assert_eq!(hide_rest("1,2?token=a b&c"), "1,2?token=...");
        assert_eq!(hide_rest("ü token"), "ü token");
    }
}
