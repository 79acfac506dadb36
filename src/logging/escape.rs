//! Foreign bytes for a log: one line, printable, and never mistaken for a record of ours.

use std::fmt;

/// Prints bytes with all but printable ASCII escaped: `\n`, `\t`, `\\`, `\xff`.
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::with_capacity(self.0.len());
        escape(self.0, &mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

/// Appends `bytes` as `Escaped` prints them. Says whether that is as they are.
pub fn escape(bytes: &[u8], out: &mut Vec<u8>) -> bool {
    if is_all_plain(bytes) {
        out.extend_from_slice(bytes);
        return true;
    }
    for &byte in bytes {
        if is_plain(byte) {
            out.push(byte);
        } else {
            out.extend(std::ascii::escape_default(byte));
        }
    }
    false
}

/// Looks at every byte of a block, which the compiler turns into a few wide instructions; stopping
/// within one would be slower, and so would what is left behind the last one, byte by byte.
pub fn is_all_plain(bytes: &[u8]) -> bool {
    const BLOCK: usize = 32;
    let are_plain = |block: &[u8; BLOCK]| block.iter().fold(true, |plain, &byte| plain & is_plain(byte));
    let (blocks, rest) = bytes.as_chunks::<BLOCK>();
    blocks.iter().all(are_plain)
        && match bytes.last_chunk::<BLOCK>() {
            Some(last) => are_plain(last),
            None => rest.iter().all(|&byte| is_plain(byte)),
        }
}

/// Printable ASCII but for the escape sign itself.
fn is_plain(byte: u8) -> bool {
    (b' '..=b'~').contains(&byte) && byte != b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_printable_ascii_stays() {
        let check = |bytes: &[u8], expected: &str| assert_eq!(Escaped(bytes).to_string(), expected);
        check(b"IAMAT kiwi \"+34-118\" ~", "IAMAT kiwi \"+34-118\" ~");
        check(b"a\n2026 [WARN] forged", "a\\n2026 [WARN] forged");
        check(b"\\n\r\t\0\x1b[31m\x7f\xff", "\\\\n\\r\\t\\x00\\x1b[31m\\x7f\\xff");
        check("ü".as_bytes(), "\\xc3\\xbc");
    }

    #[test]
    fn a_byte_is_escaped_wherever_it_stands() {
        for length in 1..100 {
            for at in 0..length {
                let mut bytes = vec![b'a'; length];
                bytes[at] = b'\n';
                let expected = format!("{}\\n{}", "a".repeat(at), "a".repeat(length - at - 1));
                assert_eq!(Escaped(&bytes).to_string(), expected);
            }
        }
    }

    #[test]
    fn every_byte_is_told_from_every_other() {
        let mut seen = std::collections::BTreeSet::new();
        for byte in 0..=255 {
            let text = Escaped(&[byte]).to_string();
            assert!(text.bytes().all(|b| (b' '..=b'~').contains(&b)), "{byte}");
            assert!(seen.insert(text), "{byte}");
        }
    }
}
