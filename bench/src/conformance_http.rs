//! What a server of reports by HTTP must answer before it is measured: the body to the byte but for the difference, and
//! a status, a length and a date as HTTP wants them. A rival does what the workloads ask for and no more.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::conformance::{HANG, matches};
use crate::http;

/// What is sent on one connection, and what must come.
struct Case {
    about: &'static str,
    sends: Vec<Vec<u8>>,
    expects: Vec<Expected>,
}

/// A status and, of 200, the body, in which `{D}` stands for a difference.
type Expected = (u16, Option<String>);

fn put(id: &str, body: &str) -> Vec<u8> {
    let length = body.len();
    format!(
        "PUT /v1/clients/{id} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

fn told(id: &str, lat: &str, lon: &str, time: &str) -> Vec<u8> {
    put(id, &format!(r#"{{"lat":{lat},"lon":{lon},"time":{time}}}"#))
}

fn answer(news: bool, position: &str) -> Expected {
    (200, Some(format!("{{\"news\":{news},\"at\":\"AT Goloman {{D}} {position}\"}}\n")))
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let mut add = |about, sends: &[Vec<u8>], expects: &[Expected]| {
        cases.push(Case { about, sends: sends.to_vec(), expects: expects.to_vec() });
    };
    add(
        "a report by HTTP",
        &[told("a", "34.068930", "-118.445127", "1520023934.918963997")],
        &[answer(true, "a +34.068930-118.445127 1520023934.918963997")],
    );
    add(
        "the same again is no news",
        &[told("a", "34.068930", "-118.445127", "1520023934.918963997")],
        &[answer(false, "a +34.068930-118.445127 1520023934.918963997")],
    );
    add(
        "times are exact numbers",
        &[
            told("a", "1", "1", "1520023934.918963996"),
            told("a", "1", "1", "1520023934.918963998"),
            told("a", "2", "1", "1520023934.918963997"),
        ],
        &[
            answer(false, "a +1+1 1520023934.918963996"),
            answer(true, "a +1+1 1520023934.918963998"),
            answer(false, "a +2+1 1520023934.918963997"),
        ],
    );
    add(
        "the newest wins, and an older one is answered",
        &[
            told("b", "1", "1", "5"),
            told("b", "2", "2", "3"),
            told("b", "3", "3", "4"),
            told("b", "4", "4", "6"),
        ],
        &[
            answer(true, "b +1+1 5"),
            answer(false, "b +2+2 3"),
            answer(false, "b +3+3 4"),
            answer(true, "b +4+4 6"),
        ],
    );
    add(
        "of one time the greater location wins",
        &[told("c", "2", "2", "1"), told("c", "1", "1", "1"), told("c", "3", "3", "1")],
        &[answer(true, "c +2+2 1"), answer(false, "c +1+1 1"), answer(true, "c +3+3 1")],
    );
    add("zeros are kept", &[told("d", "27.500", "-0.0", "1.50")], &[answer(true, "d +27.500-0.0 1.50")]);
    add("the ends of the ranges", &[told("e", "-90", "180", "0")], &[answer(true, "e -90+180 0")]);
    add(
        "more digits than a float has",
        &[told("f", "37.785834000000001", "-179.99999999999999999", "1.000000001")],
        &[answer(true, "f +37.785834000000001-179.99999999999999999 1.000000001")],
    );
    add(
        "white space and members in another order",
        &[put("g", " {\"time\" : 1,\r\n\t\"lon\":2 , \"lat\": 1 } ")],
        &[answer(true, "g +1+2 1")],
    );
    let report = told("h", "1", "1", "1");
    let (head, body) = report.split_at(report.len() - 20);
    let pieces = [head[..10].to_vec(), head[10..].to_vec(), body.to_vec()];
    add("split over segments", &pieces, &[answer(true, "h +1+1 1")]);
    add(
        "several in one segment",
        &[[told("i", "1", "1", "1"), told("i", "1", "1", "2"), told("j", "1", "1", "1")].concat()],
        &[answer(true, "i +1+1 1"), answer(true, "i +1+1 2"), answer(true, "j +1+1 1")],
    );
    for (about, body) in [
        ("no body", ""),
        ("half of a body", r#"{"lat":1,"lon":1"#),
        ("a body and more", r#"{"lat":1,"lon":1,"time":1}}"#),
        ("no JSON", "IAMAT a +1+1 1"),
        ("a text of JSON", r#""+1+1 1""#),
        ("a list of the members", "[1,1,1]"),
        ("a list of reports", r#"[{"lat":1,"lon":1,"time":1}]"#),
        ("a latitude is missing", r#"{"lon":1,"time":1}"#),
        ("a longitude is missing", r#"{"lat":1,"time":1}"#),
        ("a member too many", r#"{"lat":1,"lon":1,"time":1,"speed":1}"#),
        ("a number with a zero too many", r#"{"lat":01,"lon":1,"time":1}"#),
        ("a latitude that is no number", r#"{"lat":true,"lon":1,"time":1}"#),
        ("a latitude past the pole", r#"{"lat":90.00000000000000000001,"lon":1,"time":1}"#),
        ("a longitude past the date line", r#"{"lat":1,"lon":-180.1,"time":1}"#),
        ("a negative time", r#"{"lat":1,"lon":1,"time":-1}"#),
    ] {
        add(about, &[put("k", body)], &[(400, None)]);
    }
    add(
        "what is refused changes nothing, and the connection goes on",
        &[put("k", "{"), told("k", "1", "1", "0")],
        &[(400, None), answer(true, "k +1+1 0")],
    );
    let nowhere = b"PUT /nowhere HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}".to_vec();
    add("another path", &[nowhere], &[(404, None)]);
    cases
}

/// Runs the cases against a server named Goloman; returns how many there were.
///
/// # Errors
/// The first case that failed, with what came instead.
pub fn run(address: SocketAddr) -> Result<usize, String> {
    let cases = cases();
    for case in &cases {
        check(address, case).map_err(|why| format!("{}: {why}", case.about))?;
    }
    Ok(cases.len())
}

fn check(address: SocketAddr, case: &Case) -> Result<(), String> {
    let mut stream = TcpStream::connect(address).map_err(|why| why.to_string())?;
    stream
        .set_nodelay(true)
        .and_then(|()| stream.set_read_timeout(Some(HANG)))
        .map_err(|why| why.to_string())?;
    for (index, piece) in case.sends.iter().enumerate() {
        if index > 0 {
            // So that they are not one segment on the way; any time is right.
            std::thread::sleep(Duration::from_millis(5));
        }
        stream.write_all(piece).map_err(|why| why.to_string())?;
    }
    let mut got = Vec::new();
    for (status, body) in &case.expects {
        let length = read_reply(&mut stream, &mut got)?;
        let show = || got[..got.len().min(600)].escape_ascii().to_string();
        let reply = http::cut(&got)?.ok_or("it is not whole")?;
        if reply.status != *status {
            return Err(format!("expected the status {status}, got {}", show()));
        }
        if body.as_ref().is_some_and(|body| !matches(reply.body, body.as_bytes())) {
            return Err(format!("expected {}, got {}", body.as_deref().unwrap_or_default(), show()));
        }
        if http::field(reply.head, b"date").is_none() {
            return Err(format!("there is no Date in {}", show()));
        }
        got.drain(..length);
    }
    if got.is_empty() { Ok(()) } else { Err(format!("{} answers nothing", got.escape_ascii())) }
}

/// Reads until a reply is whole; returns how long it is.
fn read_reply(stream: &mut TcpStream, got: &mut Vec<u8>) -> Result<usize, String> {
    let mut buffer = [0; 4_096];
    loop {
        if let Some(reply) = http::cut(got)? {
            return Ok(reply.length());
        }
        let count = stream.read(&mut buffer).and_then(|count| match count {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            count => Ok(count),
        });
        let count = count.map_err(|why| format!("{why} after {}", got.escape_ascii()))?;
        got.extend_from_slice(&buffer[..count]);
    }
}
