//! The provider's key: where it comes from, and how it stays out of everything people read.

use std::env;
use std::fmt;

use crate::files;
use crate::limits::{PLACES_DETAIL_MAX, PLACES_KEY_ECHO_MIN, PLACES_KEY_MAX, SECRET_FILE_MAX};
use crate::places::Settings;

const VARIABLE: &str = "HERD_PLACES_KEY";

/// Printable ASCII without white space, not empty. `Debug` shows none of it.
pub struct Key(String);

impl Key {
    /// From the environment, else from `places.key_file`.
    pub fn read(settings: &Settings) -> Result<Key, String> {
        match env::var(VARIABLE) {
            Ok(text) if !text.trim().is_empty() => Key::parse(&text, VARIABLE),
            Err(env::VarError::NotUnicode(_)) => Key::parse("\u{fffd}", VARIABLE),
            Ok(_) | Err(env::VarError::NotPresent) => Key::read_file(settings),
        }
    }

    fn read_file(settings: &Settings) -> Result<Key, String> {
        let Some(path) = &settings.key_file else {
            return Err(format!("places: no key for the provider: set {VARIABLE} or places.key_file"));
        };
        let place = format!("places.key_file: {}", path.display());
        let text = files::read_secret(path, SECRET_FILE_MAX).map_err(|why| format!("{place}: {why}"))?;
        Key::parse(&String::from_utf8_lossy(&text), &place)
    }

    fn parse(text: &str, place: &str) -> Result<Key, String> {
        let key = text.trim();
        if key.is_empty() {
            return Err(format!("{place}: empty: put the key and nothing else in it"));
        }
        if key.len() > PLACES_KEY_MAX || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "{place}: not one short word of printable ASCII: put the key and nothing else in it"
            ));
        }
        Ok(Key(key.to_string()))
    }

    /// For the request alone.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Takes the key out of a good answer, should the other side have put it there.
    pub fn scrub_answer(&self, answer: Vec<u8>) -> Vec<u8> {
        if self.0.len() < PLACES_KEY_ECHO_MIN { answer } else { self.scrub(&answer) }
    }

    /// The text with `[key]` for the key, whichever of its characters are percent-encoded.
    fn scrub(&self, text: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(&first) = rest.first() {
            if let Some(after) = strip(rest, self.0.as_bytes()) {
                out.extend_from_slice(b"[key]");
                rest = after;
            } else {
                out.push(first);
                rest = &rest[1..];
            }
        }
        out
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key([key])")
    }
}

/// A provider's own words made fit for a message: no key, no control characters, not long.
pub fn detail(key: Option<&Key>, words: &str) -> String {
    let words = match key {
        Some(key) => String::from_utf8_lossy(&key.scrub(words.as_bytes())).into_owned(),
        None => words.to_string(),
    };
    let words: Vec<&str> =
        words.split(|c: char| c.is_whitespace() || c.is_control()).filter(|w| !w.is_empty()).collect();
    let words = words.join(" ");
    let words = words.trim_end_matches(['.', ' ']);
    match (0..=PLACES_DETAIL_MAX).rev().find(|&end| words.is_char_boundary(end)) {
        Some(end) if words.len() > PLACES_DETAIL_MAX => format!("{}…", &words[..end]),
        _ => words.to_string(),
    }
}

/// As `application/x-www-form-urlencoded` and query strings want it.
pub fn percent_encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// What follows the key at the start of the text, if it is there.
fn strip<'a>(text: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let Some((&byte, rest)) = key.split_first() else {
        return Some(text);
    };
    let plain = text.strip_prefix(&[byte]).and_then(|after| strip(after, rest));
    // A `%` of the key may stand for itself or begin `%25`, so one is tried after the other.
    plain.or_else(|| match text {
        [b'%', high, low, after @ ..] if hex(*high)? * 16 + hex(*low)? == u32::from(byte) => {
            strip(after, rest)
        }
        _ => None,
    })
}

fn hex(digit: u8) -> Option<u32> {
    char::from(digit).to_digit(16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_key() {
        for (text, key) in [
            ("AIza-x_9", Some("AIza-x_9")),
            (" k \r\n", Some("k")),
            ("", None),
            (" \n", None),
            ("a b", None),
            ("ké", None),
            ("a\u{0}b", None),
        ] {
            assert_eq!(Key::parse(text, "test").ok().map(|key| key.0).as_deref(), key, "{text:?}");
        }
        assert_eq!(format!("{:?}", Key("secret".into())), "Key([key])");
    }

    #[test]
    fn the_key_goes_from_texts() {
        let key = Key("a+b/c%=long".into());
        for (words, expected) in [
            ("no trace", "no trace"),
            ("k=a+b/c%=long!", "k=[key]!"),
            ("k=a%2Bb%2fc%25%3Dlong&x", "k=[key]&x"),
            ("a+b/c%=loa+b/c%=long", "a+b/c%=lo[key]"),
            ("%61%2b%62%2f%63%25%3d%6c%6f%6e%67", "[key]"),
            ("tail a+b/c%=lon", "tail a+b/c%=lon"),
            ("two\n\nlines\u{7}.", "two lines"),
            ("100%", "100%"),
        ] {
            assert_eq!(detail(Some(&key), words), expected, "{words}");
        }
        let long = detail(None, &"é".repeat(1000));
        assert!(long.len() < PLACES_DETAIL_MAX + 4 && long.ends_with("é…"));
        assert_eq!(key.scrub_answer(b"a+b/c%=long".to_vec()), b"a+b/c%=long", "short of the limit");
        let key = Key("a-long-enough-key".into());
        assert_eq!(key.scrub_answer(b"<a-long-enough-key>".to_vec()), b"<[key]>");
    }

    #[test]
    fn encoding_for_queries() {
        assert_eq!(percent_encoded("a b+c/~é"), "a%20b%2Bc%2F~%C3%A9");
    }
}
