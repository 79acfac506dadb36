//! What every variant must answer before it is measured: SPEC's rules as cases, checked to the
//! byte but for the difference of an AT line, which is any number with nine decimals.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use crate::link_end;
use crate::stand_in::ANSWER;

/// Longer than anything takes that works.
pub const HANG: Duration = Duration::from_secs(10);

/// What a client sends and what it must get. `{D}` stands for a difference.
struct Case {
    about: &'static str,
    sends: Vec<Vec<u8>>,
    expects: Vec<u8>,
}

const AT: &str = "AT Goloman {D} ";

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |about, sends: &[&[u8]], expects: &[u8]| {
        let sends = sends.iter().map(|piece| piece.to_vec()).collect();
        cases.push(Case { about, sends, expects: expects.to_vec() });
    };
    let at = |text: &str| format!("{AT}{text}\n").into_bytes();
    let peers = |line: &str| format!("{line}\n{}\n\n", ANSWER.trim_end()).into_bytes();
    let json = |id: &str| format!("{AT}{id}\n{}\n\n", ANSWER.trim_end()).into_bytes();

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
        b"AT Goloman {D} \xff\xfe\x80 +1+1 1\n",
    );
    add(
        "an ID with a NUL and a no-break space",
        &[b"IAMAT i\x00\xc2\xa0i +1+1 1\n"],
        b"AT Goloman {D} i\x00\xc2\xa0i +1+1 1\n",
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

/// Runs the cases against a server named Goloman whose neighbour is `neighbour`; returns how many
/// there were.
///
/// # Errors
/// The first case that failed, with what came instead.
pub fn run(address: SocketAddr, neighbour: &TcpListener) -> Result<usize, String> {
    let cases = cases();
    for case in &cases {
        let got = say(address, &case.sends).map_err(|why| format!("{}: {why}", case.about))?;
        if !matches(&got, &case.expects) {
            let show = |bytes: &[u8]| bytes[..bytes.len().min(400)].escape_ascii().to_string();
            return Err(format!("{}: expected {}, got {}", case.about, show(&case.expects), show(&got)));
        }
    }
    bounded(address)?;
    flooded(address, neighbour).map_err(|why| format!("the flood: {why}"))?;
    Ok(cases.len() + 2)
}

/// Whether a server without neighbours takes an AT line for the invalid command it is.
///
/// # Errors
/// It does not; with what came instead.
pub fn alone(address: SocketAddr) -> Result<usize, String> {
    let line = b"AT Peer +0.5 x +1+1 5\n";
    let expected = [b"? ", &line[..], b"? WHATSAT x 10 5\n"].concat();
    let got = say(address, &[[&line[..], b"WHATSAT x 10 5\n"].concat()]).map_err(|why| why.to_string())?;
    if got == expected { Ok(1) } else { Err(format!("an AT of a stranger: got {}", got.escape_ascii())) }
}

/// Sends the pieces, each in a segment of its own, half-closes and reads to the end.
fn say(address: SocketAddr, pieces: &[Vec<u8>]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(HANG))?;
    for (index, piece) in pieces.iter().enumerate() {
        if index > 0 && pieces.len() > 2 {
            // So that they are not one segment on the way; any time is right.
            std::thread::sleep(Duration::from_millis(5));
        }
        stream.write_all(piece)?;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut got = Vec::new();
    stream.read_to_end(&mut got)?;
    Ok(got)
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
fn bounded(address: SocketAddr) -> Result<(), String> {
    let all: serde_json::Value = serde_json::from_str(ANSWER).map_err(|why| why.to_string())?;
    for (radius, bound, expected) in [("10", 2, 2), ("10", 0, 0), ("0", 5, 0)] {
        let asked = format!("WHATSAT b {radius} {bound}\n").into_bytes();
        let got = say(address, &[asked]).map_err(|why| why.to_string())?;
        let text = String::from_utf8_lossy(&got).into_owned();
        let line_end = got.iter().position(|&byte| byte == b'\n').map_or(got.len(), |end| end + 1);
        if !matches(&got[..line_end], format!("{AT}b +34-118 1520023934\n").as_bytes()) {
            return Err(format!("radius {radius} and bound {bound}: the AT line of {text:?}"));
        }
        let json = text.split_once('\n').and_then(|(_, json)| json.strip_suffix("\n\n"));
        let value: Option<serde_json::Value> = json.and_then(|json| serde_json::from_str(json).ok());
        let results = value.as_ref().and_then(|value| value["results"].as_array());
        let wanted = all["results"].as_array().map(|results| &results[..expected]);
        if results.map(Vec::as_slice) != wanted {
            return Err(format!(
                "radius {radius} and bound {bound}: expected {expected} results, got {text:?}"
            ));
        }
    }
    Ok(())
}

/// A report must reach the neighbour as the AT line the client got, and so must another server's AT
/// line; a report that is older than another must not.
fn flooded(address: SocketAddr, neighbour: &TcpListener) -> Result<(), String> {
    let tell = |line: &str| say(address, &[line.as_bytes().to_vec()]).map_err(|why| why.to_string());
    let passed = "AT Peer +0.5 passed +1+1 5\n";
    let reply = tell("IAMAT flooded +1+1 7\n")?;
    let stale = tell("IAMAT flooded +1+1 6\n")?;
    tell(passed)?;
    let last = tell("IAMAT last +1+1 1\n")?;
    let deadline = Instant::now() + HANG;
    neighbour.set_nonblocking(true).map_err(|why| why.to_string())?;
    let mut links: Vec<(TcpStream, Vec<u8>, usize)> = Vec::new();
    while Instant::now() < deadline {
        if let Ok((stream, _)) = neighbour.accept() {
            stream.set_nonblocking(true).map_err(|why| why.to_string())?;
            links.push((stream, Vec::new(), 0));
        }
        for (stream, said, answered) in &mut links {
            // Nothing to read yet, or a link that ended; the deadline decides.
            let _ = stream.read_to_end(said);
            while let Some(end) = memchr::memchr(b'\n', &said[*answered..]) {
                let line = *answered..=*answered + end;
                *answered += end + 1;
                let _ = link_end::answer(&said[line], stream);
            }
            let has = |line: &[u8]| memchr::memmem::find(said, line).is_some();
            if has(&stale) {
                return Err("the neighbour got an older report".into());
            }
            if has(&reply) && has(passed.as_bytes()) && has(&last) {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    let show = |line: &[u8]| String::from_utf8_lossy(line).into_owned();
    Err(format!("the neighbour never got all of {:?}, {passed:?}, {:?}", show(&reply), show(&last)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_forty_cases_and_more() {
        assert!(cases().len() >= 40);
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
