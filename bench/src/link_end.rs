//! The listening end of a link: servers of herd's make want to know whom they dialled before they
//! send AT lines, and that what they sent has arrived. The variants only send.

use std::io::{self, Write};

/// The name under which servers have this program as a neighbour.
pub const NAME: &str = "Observer";

/// Answers what is no AT line, as a server of this name: a greeting, or a mark. Anything else is left alone.
///
/// # Errors
/// The connection is gone.
pub fn answer(name: &str, line: &[u8], stream: &mut impl Write) -> io::Result<()> {
    if line.starts_with(b"HERD ") {
        // Knows no client of this start and has no secret to prove.
        let (incarnation, nonce) = ("0000000000000001", "00000000000000000000000000000002");
        stream.write_all(format!("HERD 1 {name} {incarnation} {nonce} 0 0 -\n").as_bytes())
    } else if let Some(epoch) = line.strip_prefix(b"MARK ") {
        stream.write_all(&[b"SEEN ", epoch].concat())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn greetings_and_marks_are_answered() {
        let said = |line: &str| {
            let mut out = Vec::new();
            answer(NAME, line.as_bytes(), &mut out).expect("written");
            String::from_utf8(out).expect("ASCII")
        };
        assert!(said("HERD 1 Goloman 1 2\n").starts_with("HERD 1 Observer "));
        assert_eq!(said("MARK 7\n"), "SEEN 7\n");
        assert_eq!(said("AT Goloman +1 kiwi +1+1 1\n"), "");
    }
}
