//! The body of a request: taken as it comes, however it is cut, to the byte where the next request begins.

use super::head::{Bad, Framing, is_of_token, is_of_value};
use super::site::Reserved;
use crate::limits::{HTTP_CHUNK_LINE_MAX, HTTP_TRAILER_MAX};

/// A body that is coming in.
#[derive(Debug)]
pub struct Incoming {
    bytes: Vec<u8>,
    room: Room,
    /// How many came in.
    taken: usize,
    left: Left,
}

/// What there is room for.
#[derive(Debug)]
pub struct Room {
    /// Bytes that are kept; what is beyond is read and dropped.
    pub keep: usize,
    /// Bytes that are read at most.
    pub max: usize,
    /// For as long as the body is there.
    pub reserved: Option<Reserved>,
}

impl Room {
    /// Room for so many bytes, all of which are kept.
    pub fn of(max: usize) -> Room {
        Room { keep: max, max, reserved: None }
    }
}

/// What is still to come.
#[derive(Debug)]
enum Left {
    /// So many bytes.
    Bytes(usize),
    /// The line that says how long the next chunk is, of which this is there.
    Size(Vec<u8>),
    /// So many bytes of a chunk, and then its CRLF.
    Chunk(usize),
    /// The CRLF behind a chunk, of which so many bytes are there.
    ChunkEnd(usize),
    /// Fields behind the last chunk: bytes of them so far, and of the line that is coming in.
    Trailer {
        total: usize,
        line: Vec<u8>,
    },
    Nothing,
}

const TOO_LARGE: Bad = Bad { status: 413, why: "the body is larger than is taken here" };

const LINE_TOO_LONG: Bad = malformed("a line within the body is too long");
const TRAILER_TOO_LONG: Bad = Bad { status: 431, why: "the fields behind the body are too long" };

const fn malformed(why: &'static str) -> Bad {
    Bad { status: 400, why }
}

impl Incoming {
    /// One that ends as its head says, of at most `max` bytes.
    ///
    /// # Errors
    /// It is larger.
    pub fn new(framing: Framing, max: usize) -> Result<Incoming, Bad> {
        Incoming::within(framing, Room::of(max))
    }

    /// The body of a request that has none.
    pub fn none() -> Incoming {
        Incoming { bytes: Vec::new(), room: Room::of(0), taken: 0, left: Left::Nothing }
    }

    /// The same with room for more to be read than is kept.
    ///
    /// # Errors
    /// It is larger than is read.
    pub fn within(framing: Framing, room: Room) -> Result<Incoming, Bad> {
        let left = match framing {
            Framing::Length(0) => Left::Nothing,
            Framing::Length(length) if length > room.max => return Err(TOO_LARGE),
            Framing::Length(length) => Left::Bytes(length),
            Framing::Chunked => Left::Size(Vec::new()),
        };
        let bytes = match framing {
            // What is set aside for it is taken at once: grown piece by piece it takes up to three times as much.
            Framing::Length(length) if room.reserved.is_some() => Vec::with_capacity(length.min(room.keep)),
            Framing::Length(_) | Framing::Chunked => Vec::new(),
        };
        Ok(Incoming { bytes, room, taken: 0, left })
    }

    /// Whether it is there.
    pub fn is_whole(&self) -> bool {
        matches!(self.left, Left::Nothing)
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Whether room is kept free for it.
    pub fn is_large(&self) -> bool {
        self.room.reserved.is_some()
    }

    /// Gives away what is there of it, and its room.
    pub fn give(&mut self) -> (Vec<u8>, Option<Reserved>) {
        (std::mem::take(&mut self.bytes), self.room.reserved.take())
    }

    /// Whether it was larger than is looked at, so that not all of it is there.
    pub fn is_cut(&self) -> bool {
        self.taken > self.bytes.len()
    }

    /// How many bytes of it came in.
    pub fn taken(&self) -> usize {
        self.taken
    }

    /// Takes what belongs to it from the front of `input`; returns how much that was.
    ///
    /// # Errors
    /// It is malformed, or larger than is taken.
    pub fn take(&mut self, input: &[u8]) -> Result<usize, Bad> {
        let mut done = 0;
        while done < input.len() && !self.is_whole() {
            done += self.step(&input[done..])?;
        }
        Ok(done)
    }

    fn step(&mut self, input: &[u8]) -> Result<usize, Bad> {
        match &mut self.left {
            Left::Bytes(left) | Left::Chunk(left) => {
                let taken = input.len().min(*left);
                let kept = taken.min(self.room.keep.saturating_sub(self.bytes.len()));
                self.bytes.extend_from_slice(&input[..kept]);
                self.taken += taken;
                *left -= taken;
                if *left == 0 {
                    self.left =
                        if matches!(self.left, Left::Bytes(_)) { Left::Nothing } else { Left::ChunkEnd(0) };
                }
                Ok(taken)
            }
            Left::Size(line) => {
                let (taken, is_whole) = take_line(input, line, HTTP_CHUNK_LINE_MAX, LINE_TOO_LONG)?;
                if is_whole {
                    let size = chunk_size(line)?;
                    self.left = if size == 0 {
                        Left::Trailer { total: 0, line: Vec::new() }
                    } else if self.taken + size > self.room.max {
                        return Err(TOO_LARGE);
                    } else {
                        Left::Chunk(size)
                    };
                }
                Ok(taken)
            }
            Left::ChunkEnd(there) => {
                if input[0] != b"\r\n"[*there] {
                    return Err(malformed("a chunk is longer than it says"));
                }
                *there += 1;
                if *there == 2 {
                    self.left = Left::Size(Vec::new());
                }
                Ok(1)
            }
            Left::Trailer { total, line } => {
                let line_max = HTTP_TRAILER_MAX - *total + line.len();
                let (taken, is_whole) = take_line(input, line, line_max, TRAILER_TOO_LONG)?;
                *total += taken;
                if is_whole && line.is_empty() {
                    self.left = Left::Nothing;
                } else if is_whole {
                    // What they say is of no use here, but what is no field may be meant to be something else.
                    let is_field = line.iter().position(|&byte| byte == b':').is_some_and(|at| {
                        let (name, value) = line.split_at(at);
                        at > 0
                            && name.iter().all(|&byte| is_of_token(byte))
                            && value.iter().all(|&byte| is_of_value(byte))
                    });
                    if !is_field {
                        return Err(malformed("what stands behind the body is no field"));
                    }
                    line.clear();
                }
                Ok(taken)
            }
            Left::Nothing => Ok(0),
        }
    }
}

/// Takes a line, as far as it is there, without its CRLF; says how much was taken, and whether it is whole.
fn take_line(input: &[u8], line: &mut Vec<u8>, max: usize, too_long: Bad) -> Result<(usize, bool), Bad> {
    let newline = memchr::memchr(b'\n', input);
    let taken = newline.map_or(input.len(), |at| at + 1);
    line.extend_from_slice(&input[..taken]);
    if line.len() > max {
        return Err(too_long);
    }
    if newline.is_none() {
        return Ok((taken, false));
    }
    match line.strip_suffix(b"\r\n") {
        Some(whole) if !whole.contains(&b'\r') => {
            line.truncate(line.len() - 2);
            Ok((taken, true))
        }
        _ => Err(malformed("a line within the body ends in LF without CR")),
    }
}

/// `1a`, `1A;name=value`: what follows the size is dropped.
fn chunk_size(line: &[u8]) -> Result<usize, Bad> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    if digits == 0 || digits > 8 || !are_extensions(&line[digits..]) {
        return Err(malformed("a chunk's size is no hexadecimal number of at most eight digits"));
    }
    let text = std::str::from_utf8(&line[..digits]).unwrap_or_default();
    usize::from_str_radix(text, 16).map_err(|_| malformed("a chunk's size is no number"))
}

/// Whether these are none or some of ` ; name = value`, ` ; name = "a value"` and ` ; name`.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let name = behind_blanks(rest).strip_prefix(b";").map(behind_blanks);
        let Some(behind) = name.and_then(behind_token) else { return false };
        rest = behind;
        if let Some(value) = behind_blanks(rest).strip_prefix(b"=").map(behind_blanks) {
            let Some(behind) = behind_token(value).or_else(|| behind_quoted(value)) else { return false };
            rest = behind;
        }
    }
    true
}

fn behind_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|&&byte| byte == b' ' || byte == b'\t').count();
    &text[blanks..]
}

fn behind_token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|&&byte| is_of_token(byte)).count();
    (length > 0).then(|| &text[length..])
}

/// What is behind a text in quotes, in which a backslash makes the next byte one of the text.
fn behind_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        let (&byte, behind) = rest.split_first()?;
        rest = match byte {
            b'"' => return Some(behind),
            b'\\' => behind.split_first().filter(|(next, _)| is_of_value(**next))?.1,
            _ if is_of_value(byte) => behind,
            _ => return None,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 64;

    /// The body and what is left behind it, taken in pieces.
    fn take(framing: Framing, input: &[u8], piece: usize) -> Result<(Vec<u8>, usize), u16> {
        let mut body = Incoming::new(framing, MAX).map_err(|bad| bad.status)?;
        let mut done = 0;
        for piece in input.chunks(piece) {
            let taken = body.take(piece).map_err(|bad| bad.status)?;
            done += taken;
            if taken < piece.len() {
                break;
            }
        }
        if body.is_whole() { Ok((body.bytes().to_vec(), input.len() - done)) } else { Err(0) }
    }

    #[test]
    fn a_body_ends_where_it_says_however_it_is_cut() {
        let check = |framing: Framing, text: &str, expected: Result<(&str, usize), u16>| {
            for piece in 1..=text.len() {
                let expected = expected.map(|(body, left)| (body.as_bytes().to_vec(), left));
                assert_eq!(take(framing, text.as_bytes(), piece), expected, "{text:?} by {piece}");
            }
        };
        check(Framing::Length(3), "abcGET", Ok(("abc", 3)));
        check(Framing::Length(9), "abc", Err(0));
        let chunked = |text: &str, expected| check(Framing::Chunked, text, expected);
        chunked("3\r\nabc\r\n0\r\n\r\nGET", Ok(("abc", 3)));
        chunked("3;x=y\r\nabc\r\n1 ;z\r\nd\r\n000\r\nX-Y: z\r\n\r\n", Ok(("abcd", 0)));
        chunked("3 ; x = \"a; \\\"b\\\"\" ;y\t;z=1\r\nabc\r\n0\r\n\r\n", Ok(("abc", 0)));
        chunked("3\r\nabc\r\n0\r\n", Err(0));
        for text in [
            "3\nabc\r\n0\r\n\r\n",
            "3\r\nabcd\r\n0\r\n\r\n",
            "0x3\r\nabc\r\n0\r\n\r\n",
            "+3\r\nabc\r\n0\r\n\r\n",
            " 3\r\nabc\r\n0\r\n\r\n",
            "3 \r\nabc\r\n0\r\n\r\n",
            "-1\r\nabc\r\n0\r\n\r\n",
            "\r\nabc\r\n0\r\n\r\n",
            "000000003\r\nabc\r\n0\r\n\r\n",
            "3\r\nabc0\r\n\r\n",
            "3\r\nabc\r\n0\r\nno field\r\n\r\n",
            "3;x\ry\r\nabc\r\n0\r\n\r\n",
            "3;\r\nabc\r\n0\r\n\r\n",
            "3;a[=b\r\nabc\r\n0\r\n\r\n",
            "3;a=\r\nabc\r\n0\r\n\r\n",
            "3;a \r\nabc\r\n0\r\n\r\n",
            "3;a=\"b\r\nabc\r\n0\r\n\r\n",
            "3;a=\"b\\\r\nabc\r\n0\r\n\r\n",
            "3\x0c;a\r\nabc\r\n0\r\n\r\n",
            "3\r\nabc\r\n0\r\nX: a\0\r\n\r\n",
        ] {
            chunked(text, Err(400));
        }
        chunked("ffffffff\r\n", Err(413));
        check(Framing::Length(65), "a", Err(413));
    }

    #[test]
    fn what_stands_around_chunks_is_bounded() {
        let take = |text: String| take(Framing::Chunked, text.as_bytes(), 100);
        assert_eq!(take(format!("3;{}", "x".repeat(HTTP_CHUNK_LINE_MAX))), Err(400));
        assert_eq!(take(format!("0\r\n{}", "X: y\r\n".repeat(HTTP_TRAILER_MAX))), Err(431));
        // However many lines they are, and wherever they are cut.
        let long = format!("0\r\nX: y\r\nX: {}\r\n", "y".repeat(HTTP_TRAILER_MAX));
        assert_eq!(super::tests::take(Framing::Chunked, long.as_bytes(), long.len()), Err(431));
        assert_eq!(take(long), Err(431));
        let many = format!("{}0\r\n\r\n", "1\r\na\r\n".repeat(MAX + 1));
        assert_eq!(take(many), Err(413));
    }
}
