//! Commands and noise in random pieces against a second, simple reading of SPEC: every line is
//! answered as the model says, in order, however the bytes were cut.

use std::collections::BTreeSet;
use std::io::Write;

use crate::harness::solo;

const MAX_LINE: usize = 256;

/// What the model expects for a line.
#[derive(Debug, PartialEq)]
enum Expected {
    Nothing,
    /// An AT line with these last three fields.
    Located(Vec<u8>),
    /// The AT line of some report of this client, then JSON.
    Nearby(Vec<u8>),
    /// At most so many AT lines, and an empty line.
    Nearest(usize),
    Counted(usize),
    Refused(Vec<u8>),
}

#[derive(Default)]
struct Model {
    known: BTreeSet<Vec<u8>>,
}

impl Model {
    /// The line is without its newline, if it had one.
    fn answer(&mut self, line: &[u8], terminated: bool) -> Expected {
        let is_space = |b: &u8| b" \t\r\n\x0b\x0c".contains(b);
        let fields: Vec<_> = line.split(is_space).filter(|field| !field.is_empty()).collect();
        match fields[..] {
            [] => Expected::Nothing,
            [b"IAMAT", client, location, time] if is_location(location) && is_time(time) => {
                self.known.insert(client.to_vec());
                Expected::Located([client, location, time].join(&b' '))
            }
            [b"WHATSAT", client, radius, bound]
                if is_up_to(radius, 50.0, true)
                    && is_up_to(bound, 20.0, false)
                    && self.known.contains(client) =>
            {
                Expected::Nearby(client.to_vec())
            }
            [b"NEAR", location, radius, bound]
                if is_location(location)
                    && is_up_to(radius, 20_037.0, true)
                    && is_up_to(bound, 1_000.0, false) =>
            {
                Expected::Nearest(std::str::from_utf8(bound).expect("digits").parse().expect("a number"))
            }
            [b"COUNT"] => Expected::Counted(self.known.len()),
            _ if terminated => Expected::Refused(line.strip_suffix(b"\r").unwrap_or(line).to_vec()),
            _ => Expected::Refused(line.to_vec()),
        }
    }
}

fn is_number(text: &str, decimals_max: usize) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, decimals)) => digits(whole) && digits(decimals) && decimals.len() <= decimals_max,
        None => digits(text),
    }
}

fn is_time(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| is_number(text, 9))
}

fn is_up_to(text: &[u8], limit: f64, decimals: bool) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    is_number(text, if decimals { usize::MAX } else { 0 })
        && text.parse::<f64>().is_ok_and(|number| number <= limit)
}

fn is_location(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let Some(second) = text.rfind(['+', '-']).filter(|&at| at > 0) else { return false };
    let angle = |text: &str, digits: usize, limit: f64| {
        let Some(number) = text.strip_prefix(['+', '-']) else { return false };
        is_number(number, usize::MAX)
            && number.split('.').next().is_some_and(|whole| whole.len() <= digits)
            && number.parse::<f64>().is_ok_and(|degrees| degrees <= limit)
    };
    angle(&text[..second], 2, 90.0) && angle(&text[second..], 3, 180.0)
}

/// A line that is often a command, often nearly one, and sometimes noise. It holds no newline.
fn line(random: &mut fastrand::Rng) -> Vec<u8> {
    fn pick<'a>(random: &mut fastrand::Rng, of: &[&'a [u8]]) -> &'a [u8] {
        of[random.usize(..of.len())]
    }
    let client: &[&[u8]] = &[b"a", b"b", b"\xff\xfe", b"IAMAT", b"c\x00d", b"kiwi.cs.ucla.edu"];
    let place: &[&[u8]] = &[
        b"+1-1",
        b"+34.068930-118.445127",
        b"-90+180",
        b"+90.0-180.000",
        b"+90.1+1",
        b"-1+180.5",
        b"1+1",
        b"+1+1/",
        b"+1.+1",
    ];
    let time: &[&[u8]] = &[
        b"0",
        b"1",
        b"1520023934.918963997",
        b"9999999999999999999999",
        b"1.",
        b".5",
        b"-1",
        b"1e3",
        b"1.0123456789",
    ];
    let radius: &[&[u8]] = &[b"0", b"10", b"50", b"50.0", b"0.5", b"50.1", b"-1", b"+1", b"1.", b"x"];
    let bound: &[&[u8]] = &[b"0", b"20", b"007", b"21", b"1.0", b"-1", b"x"];
    let mut fields: Vec<&[u8]> = match random.u8(..10) {
        0..=2 => vec![b"IAMAT", pick(random, client), pick(random, place), pick(random, time)],
        3..=4 => vec![b"WHATSAT", pick(random, client), pick(random, radius), pick(random, bound)],
        8 => vec![b"NEAR", pick(random, place), pick(random, radius), pick(random, bound)],
        9 => vec![b"COUNT"],
        5 => vec![b"AT", b"Hands", b"+0.1", pick(random, client), pick(random, place), pick(random, time)],
        6 => vec![pick(random, client); random.usize(..4)],
        _ => {
            let noise = (0..random.usize(..MAX_LINE)).map(|_| random.u8(..));
            let noise: Vec<u8> = noise.filter(|&byte| byte != b'\n').collect();
            // What begins as TLS does has an end of its own, which the model does not know.
            return if noise.starts_with(b"\x16\x03") { Vec::new() } else { noise };
        }
    };
    if random.u8(..6) == 0 && !fields.is_empty() {
        let at = random.usize(..fields.len());
        if random.bool() {
            fields.remove(at);
        } else {
            fields.push(b"1");
        }
    }
    let mut line = Vec::new();
    for field in fields {
        line.extend_from_slice(pick(random, &[b" ", b" ", b"\t", b"  ", b"\x0b\x0c", b"\r"]));
        line.extend_from_slice(field);
    }
    line.drain(..usize::from(!line.is_empty() && random.bool()));
    line.extend_from_slice(pick(random, &[b"", b"", b"\r", b" "]));
    line
}

#[test]
fn the_server_and_the_model_agree_on_any_bytes_in_any_pieces() {
    let (_folder, server) = solo(&format!("max_line = {MAX_LINE}"));
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let mut model = Model::default();
    for round in 0..150 {
        let mut client = server.client();
        let lines: Vec<_> = (0..random.usize(1..80)).map(|_| line(&mut random)).collect();
        let mut sent = lines.join(&b'\n');
        // With or without its newline, the last line counts.
        let ends = random.bool();
        sent.extend_from_slice(if ends { b"\n" } else { b"" });
        let pieces = cut(&sent, &mut random);
        let mut writer = client.stream.try_clone().expect("cloned");
        let ending = std::thread::spawn(move || {
            pieces.iter().for_each(|piece| writer.write_all(piece).expect("sent"));
            writer.shutdown(std::net::Shutdown::Write).expect("half-closed");
        });
        for (index, line) in lines.iter().enumerate() {
            let expected = model.answer(line, ends || index + 1 < lines.len());
            let context = || {
                format!("seed {seed} round {round} line {:?}: {expected:?}", line.escape_ascii().to_string())
            };
            match &expected {
                Expected::Nothing => {}
                Expected::Refused(text) => {
                    assert_eq!(client.line(), [b"? ", &text[..], b"\n"].concat(), "{}", context());
                }
                Expected::Counted(count) => {
                    assert_eq!(client.text_line(), format!("COUNT {count}\n"), "{}", context());
                }
                Expected::Nearest(most) => {
                    let lines = std::iter::repeat_with(|| client.line()).take_while(|line| line != b"\n");
                    let lines: Vec<_> = lines.collect();
                    assert!(lines.len() <= *most, "{}", context());
                    let is_known =
                        |end: &[u8]| model.known.iter().any(|id| end.starts_with(&[id, &b" "[..]].concat()));
                    lines.iter().for_each(|line| check_at(line, is_known, &context()));
                }
                Expected::Located(rest) => check_at(&client.line(), |end| end == rest, &context()),
                Expected::Nearby(id) => {
                    check_at(&client.line(), |end| end.starts_with(&[id, &b" "[..]].concat()), &context());
                    while client.line() != b"\n" {}
                }
            }
        }
        assert_eq!(
            client.rest().escape_ascii().to_string(),
            "",
            "seed {seed} round {round}: nothing is left"
        );
        ending.join().expect("joined");
    }
}

/// `AT Goloman`, a difference, and what is to follow it.
fn check_at(reply: &[u8], is_right: impl Fn(&[u8]) -> bool, context: &str) {
    let text = reply.strip_prefix(b"AT Goloman ").and_then(|rest| rest.strip_suffix(b"\n"));
    let (difference, rest) = text
        .and_then(|text| text.iter().position(|&b| b == b' ').map(|at| (&text[..at], &text[at + 1..])))
        .unwrap_or_else(|| panic!("{context}, got {}", reply.escape_ascii()));
    let difference = String::from_utf8_lossy(difference);
    let number = difference.strip_prefix(['+', '-']).unwrap_or_default();
    assert!(
        is_number(number, 9) && number.rsplit('.').next().is_some_and(|nanos| nanos.len() == 9),
        "{context}, got {difference}"
    );
    assert!(is_right(rest), "{context}, got {}", reply.escape_ascii());
}

/// Cuts bytes into random pieces, from single bytes to all at once.
fn cut(bytes: &[u8], random: &mut fastrand::Rng) -> Vec<Vec<u8>> {
    let longest = [1, 7, 100, usize::MAX][random.usize(..4)];
    let mut pieces = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(longest)));
        pieces.push(piece.to_vec());
        rest = after;
    }
    pieces
}
