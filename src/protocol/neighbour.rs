//! What servers say to each other beside AT lines: the exchange that opens a link, marks and their
//! acknowledgement, clocks, and the digest. `link` speaks it.
//!
//! ```text
//! HERD 1 Goloman INCARNATION NONCE [CONF]        the dialler, first
//! HERD 1 Hands INCARNATION NONCE SEEN COUNT PROOF [CONF NOW]    the listener's answer
//! DENIED WHY                                     the listener's, after a `? `, instead of all that follows
//! PROOF PROOF                                    the dialler's; AT lines may follow
//! TIME NOW ECHO HELD BEHIND AGE                  either's: what its clock says
//! MARK EPOCH                                     all the dialler learned up to this epoch is sent
//! SEEN EPOCH                                     the listener has it
//! TWIN ADDRESS                                   the listener's: another server has your name
//! ASK FROM TO                                    the dialler wants to compare what was heard in this time
//! LAG NEIGHBOUR up|down CLIENTS MS               the listener's, to `herd --agree` only
//! NOTE TEXT                                      the same
//! DIGEST FROM TO COUNT SUMS                      the listener's, of this time or what it has whole of it
//! FORGET CLIENT                                  `herd --forget`'s: the herd is to forget it
//! GONE CLIENT                                    the listener's: it is forgotten, or a NOTE says why not
//! HOW                                            `herdctl status`': how is the listener?
//! STATE JSON                                     the listener's: so
//! RELOAD, UPGRADE                                `herdctl`'s: the listener is to read herd.conf again, or to become
//!                                                the program that has taken the place of its own
//! DONE TEXT, KEPT STATUS TEXT                    the listener's: it has, or it has not, and why
//! ```
//!
//! What is in brackets is left out by one who knows only what is before it, and is then told nothing
//! of DENIED, TIME, TWIN and NOTE.

use super::Span;
use super::decimal;
use super::line::Fields;

/// The version of the exchange.
const VERSION: &[u8] = b"1";

pub const NONCE_BYTES: usize = 16;
pub const PROOF_BYTES: usize = 32;
pub type Nonce = [u8; NONCE_BYTES];
/// None where the herd has no secret.
pub type Proof = Option<[u8; PROOF_BYTES]>;

/// One end of a link, as it presents itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End<'a> {
    pub name: &'a [u8],
    /// Changes at every start of a server; epochs count within one.
    pub incarnation: u64,
    /// Fresh for every connection.
    pub nonce: Nonce,
    /// The digest of what its herd.conf says of the herd; None when it does not tell.
    pub conf: Option<u64>,
}

/// What a clock says, and what is known of clocks that are behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClockReading {
    /// The speaker's clock: ns since 1970.
    pub now_ns: u64,
    /// The reading of the other end that was heard last, and how many ms ago; 0 and 0 for none.
    pub echo_ns: u64,
    pub held_ms: u64,
    /// By how many ms the slowest clock that the speaker knows of is behind its own, and how many ms
    /// ago that was measured.
    pub behind_ms: u64,
    pub age_ms: u64,
}

/// A line between servers that is not an AT line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Word<'a> {
    Hello(End<'a>),
    Welcome {
        end: End<'a>,
        /// The last epoch of the dialler's incarnation that the listener has all of; 0 is none.
        seen: u32,
        /// Clients the listener knows.
        count: u64,
        proof: Proof,
        /// The listener's clock in ns since 1970; with `conf`, or not at all.
        now_ns: u64,
    },
    /// Why a listener refuses a dialler, in a word that `link` knows.
    Denied(&'a [u8]),
    Proof(Proof),
    Time(ClockReading),
    /// Another server of the dialler's name has a link from this address.
    Twin(&'a [u8]),
    Mark(u32),
    Seen(u32),
    /// What does the listener know of the records that were heard within this time?
    Ask(Span),
    /// How far a neighbour of the listener is behind it.
    Lag {
        name: &'a [u8],
        is_up: bool,
        /// Clients of which it is not known to have the latest record.
        clients: u64,
        /// Since when it is not known to have everything.
        ms: u64,
    },
    /// Something that whoever runs the herd should know, in words.
    Note(&'a [u8]),
    /// A client is to be forgotten by the whole herd.
    Forget(&'a [u8]),
    /// It is.
    Gone(&'a [u8]),
    /// How is the listener?
    How,
    /// So, in JSON.
    State(&'a [u8]),
    /// The listener is to read its herd.conf again.
    Reload,
    /// It is to become the program that has taken the place of its own.
    Upgrade,
    /// It has, in words.
    Done(&'a [u8]),
    /// It has not, and is what it was.
    Kept {
        /// The exit status for that.
        status: u8,
        why: &'a [u8],
    },
    Digest {
        /// Of which records it is.
        span: Span,
        count: u64,
        /// Hexadecimal digits, which `digest` understands.
        sums: &'a [u8],
    },
}

impl<'a> Word<'a> {
    /// Parses a line without its newline; None if it is not exactly one of these.
    pub fn parse(line: &'a [u8]) -> Option<Word<'a>> {
        let mut fields = Fields::of(line);
        let keyword = fields.next()?;
        Word::of(keyword, fields)
    }

    /// The same once the first field is taken off.
    pub fn of(keyword: &[u8], mut fields: Fields<'a>) -> Option<Word<'a>> {
        match keyword {
            b"HERD" => herd(fields),
            b"PROOF" => fields.exactly().and_then(|[text]| proof(text)).map(Word::Proof),
            b"DENIED" => fields.exactly().map(|[why]| Word::Denied(why)),
            b"TIME" => {
                let [now_ns, echo_ns, held_ms, behind_ms, age_ms] = fields.exactly()?.map(number);
                Some(Word::Time(ClockReading {
                    now_ns: now_ns?,
                    echo_ns: echo_ns?,
                    held_ms: held_ms?,
                    behind_ms: behind_ms?,
                    age_ms: age_ms?,
                }))
            }
            b"TWIN" => fields.exactly().map(|[address]| Word::Twin(address)),
            b"FORGET" => fields.exactly().map(|[client]| Word::Forget(client)),
            b"GONE" => fields.exactly().map(|[client]| Word::Gone(client)),
            b"HOW" => fields.exactly::<0>().map(|[]| Word::How),
            b"RELOAD" => fields.exactly::<0>().map(|[]| Word::Reload),
            b"UPGRADE" => fields.exactly::<0>().map(|[]| Word::Upgrade),
            b"STATE" => Some(Word::State(fields.rest())).filter(|_| fields.next().is_some()),
            b"DONE" => Some(Word::Done(fields.rest())).filter(|_| fields.next().is_some()),
            b"KEPT" => {
                let status = fields.next().and_then(number).and_then(|status| u8::try_from(status).ok())?;
                Some(Word::Kept { status, why: fields.rest() }).filter(|_| fields.next().is_some())
            }
            b"NOTE" => Some(Word::Note(fields.rest())).filter(|_| fields.next().is_some()),
            b"MARK" => fields.exactly().and_then(|[text]| number(text)).and_then(epoch).map(Word::Mark),
            b"SEEN" => fields.exactly().and_then(|[text]| number(text)).and_then(epoch).map(Word::Seen),
            b"ASK" => {
                let span = Span::parse(&mut fields)?;
                fields.exactly::<0>().map(|[]| Word::Ask(span))
            }
            b"LAG" => {
                let [name, state, clients, ms] = fields.exactly()?;
                let is_up = state == b"up";
                let known = is_up || state == b"down";
                let (clients, ms) = (number(clients)?, number(ms)?);
                known.then_some(Word::Lag { name, is_up, clients, ms })
            }
            b"DIGEST" => {
                let span = Span::parse(&mut fields)?;
                let [count, sums] = fields.exactly()?;
                Some(Word::Digest { span, count: number(count)?, sums })
            }
            _ => None,
        }
    }

    /// Appends the line with its newline.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Word::Hello(end) => {
                write_end(end, out);
                write_conf(end.conf, out);
            }
            Word::Welcome { end, seen, count, proof, now_ns } => {
                write_end(end, out);
                out.extend_from_slice(format!(" {seen} {count} ").as_bytes());
                write_proof(proof, out);
                if end.conf.is_some() {
                    write_conf(end.conf, out);
                    out.extend_from_slice(format!(" {now_ns}").as_bytes());
                }
            }
            Word::Denied(why) => write_words(b"DENIED", why, out),
            Word::Time(ClockReading { now_ns, echo_ns, held_ms, behind_ms, age_ms }) => {
                let said = format!("TIME {now_ns} {echo_ns} {held_ms} {behind_ms} {age_ms}");
                out.extend_from_slice(said.as_bytes());
            }
            Word::Twin(address) => write_words(b"TWIN", address, out),
            Word::Note(text) => write_words(b"NOTE", text, out),
            Word::Forget(client) => write_words(b"FORGET", client, out),
            Word::Gone(client) => write_words(b"GONE", client, out),
            Word::How => out.extend_from_slice(b"HOW"),
            Word::Reload => out.extend_from_slice(b"RELOAD"),
            Word::Upgrade => out.extend_from_slice(b"UPGRADE"),
            Word::State(json) => write_words(b"STATE", json, out),
            Word::Done(text) => write_words(b"DONE", text, out),
            Word::Kept { status, why } => write_words(format!("KEPT {status}").as_bytes(), why, out),
            Word::Proof(proof) => {
                out.extend_from_slice(b"PROOF ");
                write_proof(proof, out);
            }
            Word::Mark(epoch) => out.extend_from_slice(format!("MARK {epoch}").as_bytes()),
            Word::Seen(epoch) => out.extend_from_slice(format!("SEEN {epoch}").as_bytes()),
            Word::Ask(span) => {
                out.extend_from_slice(b"ASK");
                span.write(out);
            }
            Word::Lag { name, is_up, clients, ms } => {
                out.extend_from_slice(b"LAG ");
                out.extend_from_slice(name);
                let state = if *is_up { "up" } else { "down" };
                out.extend_from_slice(format!(" {state} {clients} {ms}").as_bytes());
            }
            Word::Digest { span, count, sums } => {
                out.extend_from_slice(b"DIGEST");
                span.write(out);
                out.extend_from_slice(format!(" {count} ").as_bytes());
                out.extend_from_slice(sums);
            }
        }
        out.push(b'\n');
    }
}

fn herd(mut fields: Fields<'_>) -> Option<Word<'_>> {
    if fields.next()? != VERSION {
        return None;
    }
    let name = fields.next()?;
    let incarnation = u64::from_be_bytes(from_hex(fields.next()?)?);
    let end = End { name, incarnation, nonce: from_hex(fields.next()?)?, conf: None };
    let Some(first) = fields.next() else { return Some(Word::Hello(end)) };
    let Some(count) = fields.next() else {
        return Some(Word::Hello(End { conf: Some(conf(first)?), ..end }));
    };
    let (seen, count, proof) = (number(first).and_then(epoch)?, number(count)?, proof(fields.next()?)?);
    let Some(theirs) = fields.next() else {
        return Some(Word::Welcome { end, seen, count, proof, now_ns: 0 });
    };
    let [now_ns] = fields.exactly()?;
    let end = End { conf: Some(conf(theirs)?), ..end };
    Some(Word::Welcome { end, seen, count, proof, now_ns: number(now_ns)? })
}

fn conf(text: &[u8]) -> Option<u64> {
    from_hex(text).map(u64::from_be_bytes)
}

fn write_conf(conf: Option<u64>, out: &mut Vec<u8>) {
    if let Some(conf) = conf {
        out.push(b' ');
        write_hex(&conf.to_be_bytes(), out);
    }
}

fn write_words(keyword: &[u8], words: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(keyword);
    out.push(b' ');
    out.extend_from_slice(words);
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
        let (incarnation, nonce) = (0x0123_4567_89ab_cdef, [0xa5; NONCE_BYTES]);
        let end = End { name: b"Hands", incarnation, nonce, conf: None };
        let told = End { conf: Some(0xfedc_ba98_7654_3210), ..end };
        let reading = ClockReading { now_ns: 1, echo_ns: 2, held_ms: 3, behind_ms: 4, age_ms: u64::MAX };
        let verbs = [
            Word::Hello(end),
            Word::Hello(told),
            Word::Welcome { end, seen: 7, count: 12, proof: Some([0x5a; PROOF_BYTES]), now_ns: 0 },
            Word::Welcome { end, seen: u32::MAX, count: u64::MAX, proof: None, now_ns: 0 },
            Word::Welcome { end: told, seen: 7, count: 12, proof: None, now_ns: 1_520_023_934 },
            Word::Denied(b"unknown"),
            Word::Time(reading),
            Word::Twin(b"127.0.0.1:5"),
            Word::Proof(Some([1; PROOF_BYTES])),
            Word::Proof(None),
            Word::Mark(12),
            Word::Seen(0),
            Word::Forget(b"kiwi"),
            Word::Gone(b"\xff"),
            Word::Ask(Span::ALL),
            Word::Ask(Span { from_s: Some(1_520_023_934), to_s: Some(1_520_023_999) }),
            Word::Lag { name: b"Hands", is_up: true, clients: 12, ms: 345 },
            Word::Lag { name: b"Hands", is_up: false, clients: 0, ms: 0 },
            Word::Digest { span: Span { from_s: None, to_s: Some(5) }, count: 3, sums: b"00ff" },
        ];
        for verb in verbs {
            let mut line = Vec::new();
            verb.write(&mut line);
            let line = line.strip_suffix(b"\n").expect("a line");
            assert_eq!(Word::parse(line), Some(verb), "{}", line.escape_ascii());
            // A prefix cut in the last field may be shorter and still whole, as in `MARK 1`.
            for end in 1..line.len() {
                let cut = Word::parse(&line[..end]);
                assert_ne!(cut, Some(verb), "{}", line[..end].escape_ascii());
            }
            assert_eq!(Word::parse(&[line, b" x"].concat()), None);
        }
        let (mut line, text) = (Vec::new(), b"the clock of Hands is behind");
        Word::Note(text).write(&mut line);
        assert_eq!(Word::parse(line.trim_ascii_end()), Some(Word::Note(text)));
        for line in [
            "HERD 2 Hands 0123456789abcdef 00000000000000000000000000000000",
            "HERD 1 Hands 0123456789ABCDEF 00000000000000000000000000000000",
            "HERD 1 Hands 0123456789abcdef 00000000000000000000000000000000 x",
            "HERD 1 Hands 0123456789abcdef 00000000000000000000000000000000 1 2 - 0123456789abcdef",
            "TIME 1 2 3 4",
            "TIME 1 2 3 4 -5",
            "NOTE",
            "NOTE  ",
            "MARK -1",
            "MARK 4294967296",
            "SEEN +1",
            "mark 1",
            "MARK",
            "ASK",
            "ASK -",
            "DIGEST 3 00ff",
            "",
        ] {
            assert_eq!(Word::parse(line.as_bytes()), None, "{line}");
        }
    }
}
