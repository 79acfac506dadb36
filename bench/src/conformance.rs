//! herd's own rules, which every variant must keep before it is measured: SPEC's rules as cases, checked to the byte but
//! for the difference of an AT line, which is any number with nine decimals. To a server of anyone's own they are told as
//! differences; what that must do is in `course`.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

pub use crate::failure::HANG;
use crate::failure::{End, Failure, Heard, Tally, say, shown};
use crate::link_end;
use crate::stand_in::ANSWER;

/// What a client sends and what it must get. `{D}` stands for a difference.
struct Case {
    about: &'static str,
    sends: Vec<Vec<u8>>,
    expects: Vec<u8>,
}

impl Case {
    /// Whether it is for a server that takes whoever asks for its neighbour.
    fn is_neighbours(&self) -> bool {
        self.sends.iter().any(|piece| piece.starts_with(b"AT ")) || self.about.starts_with("and is known")
    }
}

/// The cases for a server of this name.
fn cases(server: &str) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |about, sends: &[&[u8]], expects: &[u8]| {
        let sends = sends.iter().map(|piece| piece.to_vec()).collect();
        cases.push(Case { about, sends, expects: expects.to_vec() });
    };
    let at = |text: &str| format!("AT {server} {{D}} {text}\n").into_bytes();
    let peers = |line: &str| format!("{line}\n{}\n\n", ANSWER.trim_end()).into_bytes();
    let json = |id: &str| format!("AT {server} {{D}} {id}\n{}\n\n", ANSWER.trim_end()).into_bytes();

    add(
        "IAMAT",
        &[b"IAMAT a +34.068930-118.445127 1520023934.918963997\n"],
        &at("a +34.068930-118.445127 1520023934.918963997"),
    );
    add("a time without a fraction", &[b"IAMAT b +34-118 1520023934\n"], &at("b +34-118 1520023934"));
    add("zeros are kept", &[b"IAMAT c +27.5916+086.5640 0001.50\n"], &at("c +27.5916+086.5640 0001.50"));
    add("the ends of the ranges", &[b"IAMAT d -90+180 0\n"], &at("d -90+180 0"));
    add(
        "just inside the ranges",
        &[b"IAMAT e +90.000-180.000 1.000000001\n"],
        &at("e +90.000-180.000 1.000000001"),
    );
    add("a time in the future", &[b"IAMAT f +1+1 99999999999\n"], &at("f +1+1 99999999999"));
    add("white space of every kind", &[b" \t IAMAT\x0bg\x0c+1+1\r 1 \r\n"], &at("g +1+1 1"));
    add("CRLF", &[b"IAMAT h +1+1 1\r\n"], &at("h +1+1 1"));
    add(
        "an ID that is not UTF-8",
        &[b"IAMAT \xff\xfe\x80 +1+1 1\n"],
        &[format!("AT {server} {{D}} ").as_bytes(), b"\xff\xfe\x80 +1+1 1\n"].concat(),
    );
    add(
        "an ID with a NUL and a no-break space",
        &[b"IAMAT i\x00\xc2\xa0i +1+1 1\n"],
        &[format!("AT {server} {{D}} ").as_bytes(), b"i\x00\xc2\xa0i +1+1 1\n"].concat(),
    );
    add("unterminated before the half-close", &[b"IAMAT j +1+1 1"], &at("j +1+1 1"));
    add("split over segments", &[b"IAM", b"AT k +1", b"+1 1", b"\n"], &at("k +1+1 1"));
    add(
        "several in one segment",
        &[b"IAMAT l +1+1 1\nnonsense\nIAMAT m +1+1 1\n"],
        &[at("l +1+1 1"), b"? nonsense\n".to_vec(), at("m +1+1 1")].concat(),
    );
    add("blank lines have no reply", &[b"\n\r\n \t\n\nIAMAT n +1+1 1\n\n"], &at("n +1+1 1"));
    add("nothing at all", &[b""], b"");

    for (about, line) in [
        ("too few arguments", &b"IAMAT a +1+1"[..]),
        ("too many arguments", b"IAMAT a +1+1 1 1"),
        ("no arguments", b"IAMAT"),
        ("keywords are case-sensitive", b"iamat a +1+1 1"),
        ("an unknown keyword", b"HELLO there"),
        ("a location without its signs", b"IAMAT a 34.0-118.0 1"),
        ("a location without decimals after the point", b"IAMAT a +34.-118. 1"),
        ("a location with a trailing slash", b"IAMAT a +34-118/ 1"),
        ("a latitude of three digits", b"IAMAT a +034-118 1"),
        ("a longitude of four digits", b"IAMAT a +34-0118 1"),
        ("a latitude past the pole", b"IAMAT a +90.1-118 1"),
        ("a longitude past the date line", b"IAMAT a +34+180.1 1"),
        ("only a latitude", b"IAMAT a +34 1"),
        ("an exponent in a location", b"IAMAT a +3e1-118 1"),
        ("a time with a sign", b"IAMAT a +1+1 +1"),
        ("a negative time", b"IAMAT a +1+1 -1"),
        ("a time with an exponent", b"IAMAT a +1+1 1e3"),
        ("nan as a time", b"IAMAT a +1+1 nan"),
        ("inf as a time", b"IAMAT a +1+1 inf"),
        ("a time without decimals after the point", b"IAMAT a +1+1 1."),
        ("a time without digits before the point", b"IAMAT a +1+1 .5"),
        ("a time of ten decimals", b"IAMAT a +1+1 1.0123456789"),
        ("digits that are not ASCII", "IAMAT a +1+1 ١".as_bytes()),
        ("an underscore in a time", b"IAMAT a +1+1 1_0"),
        ("WHATSAT of an unknown client", b"WHATSAT nobody 10 5"),
        ("a radius over 50", b"WHATSAT a 50.1 5"),
        ("a negative radius", b"WHATSAT a -1 5"),
        ("a radius with an exponent", b"WHATSAT a 1e1 5"),
        ("a bound over 20", b"WHATSAT a 10 21"),
        ("a bound with decimals", b"WHATSAT a 10 5.0"),
        ("WHATSAT with too few arguments", b"WHATSAT a 10"),
        ("white space is kept in what is refused", b"  what \t is\rthis  "),
    ] {
        add(about, &[line, b"\n"], &[b"? ", line, b"\n"].concat());
    }
    add("a refused line of CRLF loses both", &[b"nonsense\r\n"], b"? nonsense\n");
    add("a line of 4,096 bytes", &[&[b'x'; 4_096], b"\n"], &[b"? ", &[b'x'; 4_096][..], b"\n"].concat());
    add(
        "a longer one ends the connection",
        &[&[b'x'; 4_097], b"\nIAMAT o +1+1 1\n"],
        &[b"? ", &[b'x'; 4_096][..], b"\n"].concat(),
    );

    add("WHATSAT", &[b"WHATSAT b 10 5\n"], &json("b +34-118 1520023934"));
    add(
        "a radius with decimals and the greatest bound",
        &[b"WHATSAT b 0.5 20\n"],
        &json("b +34-118 1520023934"),
    );
    add(
        "WHATSAT and what follows it keep their order",
        &[b"WHATSAT b 10 5\nIAMAT p +1+1 1\n"],
        &[json("b +34-118 1520023934"), at("p +1+1 1")].concat(),
    );
    add(
        "WHATSAT of a client of this segment",
        &[b"IAMAT q +1+1 1\nWHATSAT q 10 5\n"],
        &[at("q +1+1 1"), json("q +1+1 1")].concat(),
    );
    add("an older report is answered", &[b"IAMAT b +50+50 3\n"], &at("b +50+50 3"));
    add("and changes nothing", &[b"WHATSAT b 10 5\n"], &json("b +34-118 1520023934"));
    add(
        "of one time the greater location wins",
        &[b"IAMAT r +2+2 1\nIAMAT r +1+1 1\nWHATSAT r 10 5\n"],
        &[at("r +2+2 1"), at("r +1+1 1"), json("r +2+2 1")].concat(),
    );
    add(
        "then the greater origin",
        &[b"AT Peer +0.5 w +1+1 5\nAT Peeq +0.7 w +1+1 5\nWHATSAT w 10 5\n"],
        &peers("AT Peer +0.5 w +1+1 5"),
    );
    add(
        "then the greater difference",
        &[b"AT Peer +0.5 y +1+1 5\nAT Peer +0.7 y +1+1 5\nAT Peer +0.6 y +1+1 5\nWHATSAT y 10 5\n"],
        &peers("AT Peer +0.7 y +1+1 5"),
    );
    add(
        "times are exact numbers",
        &[b"IAMAT s +1+1 9007199254740993.5\nIAMAT s +2+2 9007199254740993.25\nWHATSAT s 10 5\n"],
        &[
            at("s +1+1 9007199254740993.5"),
            at("s +2+2 9007199254740993.25"),
            json("s +1+1 9007199254740993.5"),
        ]
        .concat(),
    );
    add("a neighbour's AT has no reply", &[b"AT Peer +0.5 t +1+1 5\n"], b"");
    add(
        "and is known",
        &[b"WHATSAT t 10 5\n"],
        format!("AT Peer +0.5 t +1+1 5\n{}\n\n", ANSWER.trim_end()).as_bytes(),
    );
    add("a neighbour's AT that is none is dropped", &[b"AT Peer 0.5 t +1+1 6\nAT Peer +0.5 t +1+1\n"], b"");
    add(
        "a neighbour's older AT is dropped",
        &[b"AT Peer +0.5 b +1+1 5\nWHATSAT b 10 5\n"],
        &json("b +34-118 1520023934"),
    );
    let long = [b'l'; 4_070];
    let at_long = [b"AT Peer +123456789.123456789 ", &long[..], b" +1+1 5\n"].concat();
    add("a neighbour's AT may be longer than a client's line", &[&at_long], b"");
    add(
        "and is known",
        &[b"WHATSAT ", &long, b" 10 5\n"],
        &[&at_long, ANSWER.trim_end().as_bytes(), b"\n\n"].concat(),
    );
    add("a stump of an AT does not count", &[b"AT Peer +0.5 u +1+1 15"], b"");
    add("so its client is unknown", &[b"WHATSAT u 10 5\n"], b"? WHATSAT u 10 5\n");
    cases
}

/// Runs the cases against a server of this name, which passes reports on to `neighbour`; without one, those that need none.
pub fn run(address: SocketAddr, server: &str, neighbour: Option<&TcpListener>) -> Tally {
    let mut tally = Tally::default();
    let cases: Vec<_> =
        cases(server).into_iter().filter(|case| neighbour.is_some() || !case.is_neighbours()).collect();
    for (index, case) in cases.iter().enumerate() {
        if tally.is_hopeless() {
            tally.unasked = cases.len() - index;
            return tally;
        }
        let heard = say(address, &case.sends);
        if heard.end == End::Silent {
            tally.hung();
        }
        tally.note(match matches(&heard.bytes, &case.expects) {
            true if heard.end == End::Closed => Ok(()),
            _ => Err(failure(case, &heard)),
        });
    }
    bounded(address, server, &mut tally);
    if let Some(neighbour) = neighbour {
        tally.note(flooded(address, neighbour));
    }
    tally
}

fn failure(case: &Case, heard: &Heard) -> Failure {
    let expected = match &case.expects[..] {
        b"" => "nothing, and the end of the connection".into(),
        expects => shown(expects),
    };
    Failure {
        about: case.about.into(),
        sent: shown(&case.sends.concat()),
        expected: expected.replace("{D}", "±SECONDS.NANOSECONDS"),
        got: heard.to_string(),
    }
}

/// Whether a server without neighbours takes an AT line for the invalid command it is.
pub fn alone(address: SocketAddr) -> Tally {
    let line = b"AT Peer +0.5 x +1+1 5\n";
    let sends = vec![[&line[..], b"WHATSAT x 10 5\n"].concat()];
    let expects = [b"? ", &line[..], b"? WHATSAT x 10 5\n"].concat();
    let case = Case { about: "an AT of a stranger", sends, expects };
    let heard = say(address, &case.sends);
    let mut tally = Tally::default();
    tally.note(if heard.bytes == case.expects { Ok(()) } else { Err(failure(&case, &heard)) });
    tally
}

/// Whether bytes are a pattern in which `{D}` is any difference.
pub fn matches(mut got: &[u8], pattern: &[u8]) -> bool {
    let mut parts = split(pattern, b"{D}").into_iter();
    let Some(rest) = got.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    got = rest;
    for part in parts {
        let end = got.iter().position(|&byte| byte == b' ').unwrap_or(got.len());
        if !is_difference(&got[..end]) {
            return false;
        }
        let Some(rest) = got[end..].strip_prefix(part) else { return false };
        got = rest;
    }
    got.is_empty()
}

fn split<'a>(bytes: &'a [u8], by: &[u8]) -> Vec<&'a [u8]> {
    let mut ends: Vec<_> = memchr::memmem::find_iter(bytes, by).collect();
    ends.push(bytes.len());
    let starts = [0].into_iter().chain(ends.iter().map(|end| end + by.len()));
    starts.zip(&ends).map(|(start, &end)| &bytes[start..end]).collect()
}

fn is_difference(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Some((whole, decimals)) = text.split_once('.') else { return false };
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    whole.strip_prefix(['+', '-']).is_some_and(digits) && decimals.len() == 9 && digits(decimals)
}

/// WHATSAT with a bound below what the provider sent: the first of it.
fn bounded(address: SocketAddr, server: &str, tally: &mut Tally) {
    let all: serde_json::Value = serde_json::from_str(ANSWER).unwrap_or_default();
    for (radius, bound, expected) in [("10", 2, 2), ("10", 0, 0), ("0", 5, 0)] {
        let asked = format!("WHATSAT b {radius} {bound}\n").into_bytes();
        let heard = say(address, std::slice::from_ref(&asked));
        let got = &heard.bytes;
        let line_end = got.iter().position(|&byte| byte == b'\n').map_or(got.len(), |end| end + 1);
        let is_at = matches(&got[..line_end], format!("AT {server} {{D}} b +34-118 1520023934\n").as_bytes());
        let json = got[line_end..].strip_suffix(b"\n\n");
        let value: Option<serde_json::Value> = json.and_then(|json| serde_json::from_slice(json).ok());
        let results = value.as_ref().and_then(|value| value["results"].as_array());
        let wanted = all["results"].as_array().map(|results| &results[..expected]);
        tally.note(match is_at && results.map(Vec::as_slice) == wanted {
            true => Ok(()),
            false => Err(Failure {
                about: format!("a radius of {radius} and a bound of {bound}"),
                sent: shown(&asked),
                expected: format!("the AT line, and {expected} of the provider's results"),
                got: heard.to_string(),
            }),
        });
    }
}

/// A report must reach the neighbour as the AT line the client got, and so must another server's AT
/// line; a report that is older than another must not.
fn flooded(address: SocketAddr, neighbour: &TcpListener) -> Result<(), Failure> {
    let lines = [
        "IAMAT flooded +1+1 7\n",
        "IAMAT flooded +1+1 6\n",
        "AT Peer +0.5 passed +1+1 5\n",
        "IAMAT last +1+1 1\n",
    ];
    let [reply, stale, _, last] = lines.map(|line| say(address, &[line.as_bytes().to_vec()]).bytes);
    let passed = lines[2];
    let failure = |got: String| Failure {
        about: "the flood to a neighbour".into(),
        sent: shown(lines.concat().as_bytes()),
        expected: format!("at the neighbour: {}, {}, {}", shown(&reply), passed.escape_debug(), shown(&last)),
        got,
    };
    let deadline = Instant::now() + HANG;
    neighbour.set_nonblocking(true).map_err(|why| failure(why.to_string()))?;
    let mut links: Vec<(TcpStream, Vec<u8>, usize)> = Vec::new();
    while Instant::now() < deadline {
        if let Ok((stream, _)) = neighbour.accept() {
            stream.set_nonblocking(true).map_err(|why| failure(why.to_string()))?;
            links.push((stream, Vec::new(), 0));
        }
        for (stream, said, answered) in &mut links {
            // Nothing to read yet, or a link that ended; the deadline decides.
            let _ = stream.read_to_end(said);
            while let Some(end) = memchr::memchr(b'\n', &said[*answered..]) {
                let line = *answered..=*answered + end;
                *answered += end + 1;
                let _ = link_end::answer(link_end::NAME, &said[line], stream);
            }
            let has = |line: &[u8]| !line.is_empty() && memchr::memmem::find(said, line).is_some();
            if has(&stale) {
                return Err(failure(format!("the older report, {}", shown(&stale))));
            }
            if has(&reply) && has(passed.as_bytes()) && has(&last) {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let said: Vec<_> = links.iter().map(|(_, said, _)| shown(said)).collect();
    Err(failure(format!("in {} connections, by 10 s after: {}", said.len(), said.join(" | "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_forty_cases_and_more() {
        assert!(cases("Goloman").len() >= 40);
    }

    #[test]
    fn a_pattern_takes_any_difference_and_nothing_else() {
        let check = |got: &str, pattern: &str, expected: bool| {
            assert_eq!(matches(got.as_bytes(), pattern.as_bytes()), expected, "{got} | {pattern}");
        };
        check("AT G +0.123456789 a\n", "AT G {D} a\n", true);
        check("AT G -12.123456789 a\nAT G +1.000000000 b\n", "AT G {D} a\nAT G {D} b\n", true);
        check("AT G 0.123456789 a\n", "AT G {D} a\n", false);
        check("AT G +0.12345678 a\n", "AT G {D} a\n", false);
        check("AT G +0.123456789 a\nx", "AT G {D} a\n", false);
        check("AT G +0.123456789 a\n", "AT G {D} b\n", false);
        check("", "", true);
        check("x", "", false);
    }
}
