//! What servers say to each other beside AT lines: the exchange that opens a link, marks and their
//! acknowledgement, and the digest. `link` speaks it.
//!
//! ```text
//! HERD 1 Goloman INCARNATION NONCE               the dialer, first
//! HERD 1 Hands INCARNATION NONCE SEEN COUNT PROOF    the listener's answer
//! PROOF PROOF                                    the dialer's; AT lines may follow
//! MARK EPOCH                                     all the dialer learned up to this epoch is sent
//! SEEN EPOCH                                     the listener has it
//! ASK                                            the dialer wants to compare stores
//! LAG NEIGHBOUR up|down RECORDS MS               the listener's, to `herd --agree` only
//! DIGEST COUNT SUMS                              the listener's
//! ```

use super::decimal;
use super::line::Fields;

/// The version of the exchange.
const VERSION: &[u8] = b"1";

pub const NONCE_BYTES: usize = 16;
pub const PROOF_BYTES: usize = 32;
pub type Nonce = [u8; NONCE_BYTES];
/// Nothing where the herd has no secret.
pub type Proof = Option<[u8; PROOF_BYTES]>;

/// One end of a link, as it presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    pub name: &'a [u8],
    /// Changes at every start of a server; epochs count within one.
    pub incarnation: u64,
    /// Fresh for every connection.
    pub nonce: Nonce,
}

/// A line between servers that is not an AT line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb<'a> {
    Hello(End<'a>),
    Welcome {
        end: End<'a>,
        /// The last epoch of the dialer's incarnation that the listener has all of; 0 is none.
        seen: u32,
        /// Clients the listener knows.
        count: u64,
        proof: Proof,
    },
    Proof(Proof),
    Mark(u32),
    Seen(u32),
    Ask,
    /// How far a neighbour of the listener is behind it.
    Lag {
        name: &'a [u8],
        is_up: bool,
        /// Records it is not known to have.
        records: u64,
        /// Since when it is not known to have everything.
        ms: u64,
    },
    Digest {
        count: u64,
        /// Hexadecimal digits, which `digest` understands.
        sums: &'a [u8],
    },
}

impl<'a> Verb<'a> {
    /// Parses a line without its newline; nothing if it is none of these, in every part.
    pub fn parse(line: &'a [u8]) -> Option<Verb<'a>> {
        let mut fields = Fields::of(line);
        let keyword = fields.next()?;
        Verb::of(keyword, fields)
    }

    /// The same once the first field is taken off.
    pub fn of(keyword: &[u8], fields: Fields<'a>) -> Option<Verb<'a>> {
        match keyword {
            b"HERD" => herd(fields),
            b"PROOF" => fields.exactly().and_then(|[text]| proof(text)).map(Verb::Proof),
            b"MARK" => fields.exactly().and_then(|[text]| number(text)).and_then(epoch).map(Verb::Mark),
            b"SEEN" => fields.exactly().and_then(|[text]| number(text)).and_then(epoch).map(Verb::Seen),
            b"ASK" => fields.exactly::<0>().map(|[]| Verb::Ask),
            b"LAG" => {
                let [name, state, records, ms] = fields.exactly()?;
                let is_up = state == b"up";
                let known = is_up || state == b"down";
                let (records, ms) = (number(records)?, number(ms)?);
                known.then_some(Verb::Lag { name, is_up, records, ms })
            }
            b"DIGEST" => {
                let [count, sums] = fields.exactly()?;
                Some(Verb::Digest { count: number(count)?, sums })
            }
            _ => None,
        }
    }

    /// Appends the line with its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Verb::Hello(end) => write_end(end, out),
            Verb::Welcome { end, seen, count, proof } => {
                write_end(end, out);
                out.extend_from_slice(format!(" {seen} {count} ").as_bytes());
                write_proof(proof, out);
            }
            Verb::Proof(proof) => {
                out.extend_from_slice(b"PROOF ");
                write_proof(proof, out);
            }
            Verb::Mark(epoch) => out.extend_from_slice(format!("MARK {epoch}").as_bytes()),
            Verb::Seen(epoch) => out.extend_from_slice(format!("SEEN {epoch}").as_bytes()),
            Verb::Ask => out.extend_from_slice(b"ASK"),
            Verb::Lag { name, is_up, records, ms } => {
                out.extend_from_slice(b"LAG ");
                out.extend_from_slice(name);
                let state = if *is_up { "up" } else { "down" };
                out.extend_from_slice(format!(" {state} {records} {ms}").as_bytes());
            }
            Verb::Digest { count, sums } => {
                out.extend_from_slice(format!("DIGEST {count} ").as_bytes());
                out.extend_from_slice(sums);
            }
        }
        out.push(b'\n');
    }
}

fn herd(mut fields: Fields<'_>) -> Option<Verb<'_>> {
    if fields.next()? != VERSION {
        return None;
    }
    let name = fields.next()?;
    let incarnation = u64::from_be_bytes(from_hex(fields.next()?)?);
    let end = End { name, incarnation, nonce: from_hex(fields.next()?)? };
    let Some(seen) = fields.next() else { return Some(Verb::Hello(end)) };
    let [count, text] = fields.exactly()?;
    let seen = number(seen).and_then(epoch)?;
    Some(Verb::Welcome { end, seen, count: number(count)?, proof: proof(text)? })
}

fn write_end(end: &End<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HERD 1 ");
    out.extend_from_slice(end.name);
    out.push(b' ');
    write_hex(&end.incarnation.to_be_bytes(), out);
    out.push(b' ');
    write_hex(&end.nonce, out);
}

fn proof(text: &[u8]) -> Option<Proof> {
    if text == b"-" { Some(None) } else { from_hex(text).map(Some) }
}

fn write_proof(proof: &Proof, out: &mut Vec<u8>) {
    match proof {
        Some(bytes) => write_hex(bytes, out),
        None => out.push(b'-'),
    }
}

fn number(text: &[u8]) -> Option<u64> {
    if !decimal::is_digits(text) {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn epoch(number: u64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn write_hex(bytes: &[u8], out: &mut Vec<u8>) {
    for byte in bytes {
        out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789abcdef"[usize::from(digit)]));
    }
}

/// Exactly so many bytes of lower-case digits: there is one way to write a value.
fn from_hex<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.chunks(2)) {
        let value = |digit: u8| match digit {
            b'0'..=b'9' => Some(digit - b'0'),
            b'a'..=b'f' => Some(digit - b'a' + 10),
            _ => None,
        };
        *byte = value(digits[0])? << 4 | value(digits[1])?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_parsed_again_and_nothing_near_it_is() {
        let end = End { name: b"Hands", incarnation: 0x0123_4567_89ab_cdef, nonce: [0xa5; NONCE_BYTES] };
        let verbs = [
            Verb::Hello(end),
            Verb::Welcome { end, seen: 7, count: 12, proof: Some([0x5a; PROOF_BYTES]) },
            Verb::Welcome { end, seen: u32::MAX, count: u64::MAX, proof: None },
            Verb::Proof(Some([1; PROOF_BYTES])),
            Verb::Proof(None),
            Verb::Mark(12),
            Verb::Seen(0),
            Verb::Ask,
            Verb::Lag { name: b"Hands", is_up: true, records: 12, ms: 345 },
            Verb::Lag { name: b"Hands", is_up: false, records: 0, ms: 0 },
            Verb::Digest { count: 3, sums: b"00ff" },
        ];
        for verb in verbs {
            let mut line = Vec::new();
            verb.write(&mut line);
            let line = line.strip_suffix(b"\n").expect("a line");
            assert_eq!(Verb::parse(line), Some(verb), "{}", line.escape_ascii());
            // A prefix cut in the last field may be shorter and still whole, as in `MARK 1`.
            for end in 1..line.len() {
                let cut = Verb::parse(&line[..end]);
                assert_ne!(cut, Some(verb), "{}", line[..end].escape_ascii());
            }
            assert_eq!(Verb::parse(&[line, b" x"].concat()), None);
        }
        for line in [
            "HERD 2 Hands 0123456789abcdef 00000000000000000000000000000000",
            "HERD 1 Hands 0123456789ABCDEF 00000000000000000000000000000000",
            "MARK -1",
            "MARK 4294967296",
            "SEEN +1",
            "mark 1",
            "MARK",
            "",
        ] {
            assert_eq!(Verb::parse(line.as_bytes()), None, "{line}");
        }
    }
}
