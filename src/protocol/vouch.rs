//! The journal's line `SEEN NAME INCARNATION EPOCH`: all records of a neighbour's start up to this epoch are stored.
//! The neighbours write and read it, the journal and the start know it by its word. (On a link, SEEN is another word.)

/// What the line begins with.
const WORD: &str = "SEEN";

/// What is stored of a neighbour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Vouch<'a> {
    pub name: &'a str,
    /// Which of its starts.
    pub incarnation: u64,
    pub epoch: u32,
}

impl<'a> Vouch<'a> {
    /// The line, without a newline.
    pub fn line(&self) -> String {
        let Vouch { name, incarnation, epoch } = self;
        format!("{WORD} {name} {incarnation:016x} {epoch}")
    }

    /// Reads such a line, without its newline.
    pub fn parse(line: &'a [u8]) -> Option<Vouch<'a>> {
        let mut fields = std::str::from_utf8(line).ok()?.split(' ');
        let (word, name) = (fields.next()?, fields.next()?);
        let (incarnation, epoch) = (fields.next()?, fields.next()?);
        if word != WORD || fields.next().is_some() {
            return None;
        }
        let incarnation = u64::from_str_radix(incarnation, 16).ok()?;
        Some(Vouch { name, incarnation, epoch: epoch.parse().ok()? })
    }
}

/// Whether a line of the journal is one of these, by its word.
pub fn is_vouch(line: &[u8]) -> bool {
    line.strip_prefix(WORD.as_bytes()).is_some_and(|rest| rest.starts_with(b" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_and_nothing_near_it_is() {
        for (incarnation, epoch) in [(0, 0), (0xabc, 7), (u64::MAX, u32::MAX)] {
            let vouch = Vouch { name: "Hands", incarnation, epoch };
            let line = vouch.line();
            assert!(is_vouch(line.as_bytes()));
            assert_eq!(Vouch::parse(line.as_bytes()), Some(vouch), "{line}");
            assert_eq!(Vouch::parse(format!("{line} x").as_bytes()), None, "{line}");
        }
        assert_eq!(Vouch { name: "B", incarnation: 0xabc, epoch: 7 }.line(), "SEEN B 0000000000000abc 7");
        for other in [
            "",
            "SEEN",
            "SEEN B x 9",
            "SEEN B 0000000000000abc",
            "SEEN B 0 -1",
            "SEEN B 0 4294967296",
            "AT B 0 1",
        ] {
            assert_eq!(Vouch::parse(other.as_bytes()), None, "{other}");
        }
        assert!(is_vouch(b"SEEN 3") && !is_vouch(b"SEENS 3") && !is_vouch(b"SEEN"));
    }
}
