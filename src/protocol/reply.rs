//! What a server answers to a client, written and read. The line door writes it; dialling ends read what was refused,
//! and tests the rest.

use memchr::memchr;

/// What a refusal begins with.
const REFUSED: &[u8] = b"? ";

/// A reply to one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply<'a> {
    /// To a report: its AT line, without a newline.
    At(&'a [u8]),
    /// To a query: the client's AT line without a newline, and the places as JSON without an empty line in it.
    Places { record: &'a [u8], json: &'a [u8] },
    /// To a search: AT lines, each with its newline.
    Nearest(&'a [u8]),
    /// To the question how many clients there are.
    Count(usize),
    /// To whoever watches: a client is not known any more.
    Gone(&'a [u8]),
    /// To what no server takes, or not from this peer: the line as it came, or its beginning.
    Refused(&'a [u8]),
}

impl<'a> Reply<'a> {
    /// Appends the reply, with the newline or the empty line that ends it.
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Reply::At(record) => out.extend_from_slice(record),
            Reply::Places { record, json } => {
                out.extend_from_slice(record);
                out.push(b'\n');
                out.extend_from_slice(json);
                out.push(b'\n');
            }
            Reply::Nearest(lines) => out.extend_from_slice(lines),
            Reply::Count(count) => {
                out.extend_from_slice(b"COUNT ");
                out.extend_from_slice(count.to_string().as_bytes());
            }
            Reply::Gone(client) => {
                out.extend_from_slice(b"GONE ");
                out.extend_from_slice(client);
            }
            Reply::Refused(line) => {
                out.extend_from_slice(REFUSED);
                out.extend_from_slice(line);
            }
        }
        out.push(b'\n');
    }

    /// Reads the reply to a report from the front of `bytes`; returns it and its length. None while it is not
    /// whole, and for what is no reply.
    pub fn of_report(bytes: &'a [u8]) -> Option<(Reply<'a>, usize)> {
        let end = memchr(b'\n', bytes)?;
        let line = &bytes[..end];
        let reply = match refused_line(line) {
            Some(refused) => Reply::Refused(refused),
            None if line.starts_with(b"AT ") => Reply::At(line),
            None => return None,
        };
        Some((reply, end + 1))
    }
}

/// The line that a reply, without its newline, refuses; None of any other.
pub fn refused_line(reply: &[u8]) -> Option<&[u8]> {
    reply.strip_prefix(REFUSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(reply: &Reply<'_>) -> Vec<u8> {
        let mut out = Vec::new();
        reply.write(&mut out);
        out
    }

    #[test]
    fn what_is_written_is_read_again_and_never_before_it_is_whole() {
        let at = b"AT Goloman +0.263873386 kiwi +34-118 1520023934.9";
        for reply in
            [Reply::At(at), Reply::Refused(b"hello"), Reply::Refused(b"\xff ? "), Reply::Refused(b"")]
        {
            let bytes = written(&reply);
            assert_eq!(Reply::of_report(&bytes), Some((reply, bytes.len())));
            (0..bytes.len()).for_each(|end| assert_eq!(Reply::of_report(&bytes[..end]), None));
            let two = [&bytes[..], b"AT more\n"].concat();
            assert_eq!(Reply::of_report(&two), Some((reply, bytes.len())));
        }
        assert_eq!(Reply::of_report(b"hello\n"), None);
    }

    #[test]
    fn the_words_are_those_of_the_specification() {
        assert_eq!(written(&Reply::Refused(b"hello world")), b"? hello world\n");
        assert_eq!(written(&Reply::At(b"AT G +1 a +1+1 1")), b"AT G +1 a +1+1 1\n");
        let places = Reply::Places { record: b"AT G +1 a +1+1 1", json: b"{}" };
        assert_eq!(written(&places), b"AT G +1 a +1+1 1\n{}\n\n");
        assert_eq!(written(&Reply::Nearest(b"")), b"\n");
        assert_eq!(written(&Reply::Nearest(b"AT G +1 a +1+1 1\n")), b"AT G +1 a +1+1 1\n\n");
        assert_eq!(written(&Reply::Count(12)), b"COUNT 12\n");
        assert_eq!(written(&Reply::Gone(b"kiwi")), b"GONE kiwi\n");
    }
}
