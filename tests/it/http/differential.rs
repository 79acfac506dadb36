//! herd's reader of requests beside another: h11, by the same requests, which are those of the table with something
//! changed by chance. What both take they take for the same; where one takes what the other does not, it is for one of a
//! few reasons. `HERD_SEED=... cargo test differential` runs the same requests again, and `HERD_H11_S=600` runs for longer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::table::rows;
use super::tools::{ROOT, tool};
use herd::door::http::body::Incoming;
use herd::door::http::head::{self, Head, Method};
use herd::limits::HTTP_BODY_MAX;

/// What a reader makes of a request.
#[derive(Debug, PartialEq)]
enum Read {
    Whole(Box<Whole>),
    More,
    Bad(String),
}

/// A request that is taken, and how many bytes of the stream it is.
#[derive(Debug, PartialEq)]
struct Whole {
    length: usize,
    method: Vec<u8>,
    /// A path and a query.
    target: Vec<u8>,
    is_http_1_0: bool,
    body: Vec<u8>,
    /// By their names in small letters.
    fields: Vec<(Vec<u8>, Vec<u8>)>,
}

fn by_herd(request: &[u8]) -> Read {
    let bad = |bad: head::Bad| Read::Bad(bad.why.to_owned());
    let begin = request.chunks(2).take_while(|two| two == b"\r\n").count() * 2;
    let rest = &request[begin..];
    let length = match head::end(rest, &mut 0) {
        Ok(Some(length)) => length,
        Ok(None) => return Read::More,
        Err(why) => return bad(why),
    };
    let head = match Head::parse(&rest[..length]) {
        Ok(head) => head,
        Err(why) => return bad(why),
    };
    let mut body = match Incoming::new(head.framing, HTTP_BODY_MAX) {
        Ok(body) => body,
        Err(why) => return bad(why),
    };
    let taken = match body.take(&rest[length..]) {
        Ok(taken) => taken,
        Err(why) => return bad(why),
    };
    if !body.is_whole() {
        return Read::More;
    }
    let method = rest.split(|&byte| byte == b' ').next().unwrap_or_default();
    assert!(head.method == Method::Other || head.method.name().as_bytes() == method);
    let has_query = rest[..length].split(|&byte| byte == b' ').nth(1).is_some_and(|it| it.contains(&b'?'));
    let target = if has_query { [head.path, head.query].join(&b'?') } else { head.path.to_vec() };
    let field = |(name, value): (&str, &[u8])| {
        // h11 has a coding in small letters, too.
        let is_coding = name.eq_ignore_ascii_case("transfer-encoding");
        let value = if is_coding { value.to_ascii_lowercase() } else { value.to_vec() };
        (name.to_ascii_lowercase().into_bytes(), value)
    };
    let fields = head.all_fields().map(field);
    Read::Whole(Box::new(Whole {
        length: begin + length + taken,
        method: method.to_vec(),
        target,
        is_http_1_0: head.is_http_1_0,
        body: body.bytes().to_vec(),
        fields: fields.collect(),
    }))
}

fn by_h11(line: &str) -> Read {
    if let Some(why) = line.strip_prefix("bad ") {
        return Read::Bad(why.to_owned());
    }
    let mut cells = line.split(' ');
    if cells.next() == Some("more") {
        return Read::More;
    }
    let length = cells.next().expect("a length").parse().expect("a number");
    let mut parts = cells.map(|cell| {
        let digit = |at: usize| u8::from_str_radix(&cell[at..at + 2], 16).expect("two digits");
        if cell == "-" { Vec::new() } else { (0..cell.len()).step_by(2).map(digit).collect::<Vec<_>>() }
    });
    let mut next = || parts.next().expect("a part");
    let (method, target, version, body) = (next(), next(), next(), next());
    let parts: Vec<_> = parts.collect();
    let fields = parts.chunks(2).map(|two| (two[0].clone(), two[1].clone())).collect();
    Read::Whole(Box::new(Whole {
        length,
        method,
        target: without_authority(&target),
        is_http_1_0: version == b"1.0",
        body,
        fields,
    }))
}

/// h11 leaves a target as it is.
fn without_authority(target: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(target);
    match text.find("://") {
        Some(at) if !target.starts_with(b"/") => match target[at + 3..].iter().position(|&byte| byte == b'/')
        {
            Some(path_at) => target[at + 3 + path_at..].to_vec(),
            None => b"/".to_vec(),
        },
        _ => target.to_vec(),
    }
}

// --- what they may differ in

/// Why one reader takes what the other does not.
struct Difference {
    about: &'static str,
    is_it: fn(&[u8], &Read, &Read) -> bool,
}

fn refuses(read: &Read, words: &[&str]) -> bool {
    matches!(read, Read::Bad(why) if words.iter().any(|word| why.contains(word)))
}

fn holds(request: &[u8], parts: &[&[u8]]) -> bool {
    parts.iter().any(|part| request.windows(part.len()).any(|window| window == *part))
}

const DIFFERENCES: [Difference; 14] = [
    Difference {
        about: "herd knows its methods, and answers others with 501 before it reads more",
        is_it: |_, herd, _| refuses(herd, &["no such method"]),
    },
    Difference {
        about: "herd takes targets that are a path or an address by http, of bytes that such have; h11 looks at none",
        is_it: |_, herd, _| refuses(herd, &["the target"]),
    },
    Difference {
        about: "herd takes hosts that are names or numeric addresses; h11 looks at none, and has HTTP/1.0 say many",
        is_it: |_, herd, _| refuses(herd, &["Host"]),
    },
    Difference {
        about: "herd takes HTTP/1.1 and 1.0; h11 takes any digits for a version",
        is_it: |_, herd, _| refuses(herd, &["this is no HTTP/1.1 or HTTP/1.0", "no HTTP version"]),
    },
    Difference {
        about: "herd refuses LF without CR; h11 takes it in a head and behind a body",
        is_it: |_, herd, _| refuses(herd, &["LF without CR"]),
    },
    Difference {
        about: "herd refuses a length and a coding; h11 goes by the coding",
        is_it: |_, herd, _| refuses(herd, &["both Content-Length and Transfer-Encoding"]),
    },
    Difference {
        about: "herd refuses a length that is a list, is said twice or begins with zeros; h11 takes them if they agree",
        is_it: |_, herd, _| refuses(herd, &["Content-Length"]),
    },
    Difference {
        about: "herd refuses codings in HTTP/1.0; h11 takes them",
        is_it: |_, herd, _| refuses(herd, &["Transfer-Encoding in HTTP/1.0"]),
    },
    Difference {
        about: "herd refuses a field that goes on in the next line; h11 joins them",
        is_it: |request, herd, _| matches!(herd, Read::Bad(_)) && holds(request, &[b"\r\n ", b"\r\n\t"]),
    },
    Difference {
        about: "herd refuses control bytes in values, be it behind a body; h11 refuses NUL and white space alone",
        is_it: |_, herd, _| refuses(herd, &["a field's value has a byte", "behind the body is no field"]),
    },
    Difference {
        about: "herd refuses expectations other than 100-continue; h11 knows none",
        is_it: |_, herd, _| refuses(herd, &["the only expectation"]),
    },
    Difference {
        about: "herd wants chunks' extensions by the grammar, blanks but for those behind it, and has bounds; h11 drops anything behind a semicolon and blanks at the end, and takes none in front",
        is_it: |_, herd, h11| {
            refuses(herd, &["a chunk's size", "a line within the body", "larger than is taken"])
                || refuses(h11, &["illegal chunk header"])
        },
    },
    Difference {
        about: "herd skips empty lines in front of a request; h11 does not",
        is_it: |request, _, h11| request.starts_with(b"\r\n") && matches!(h11, Read::Bad(_)),
    },
    Difference {
        about: "herd drops fields behind a body; h11 reads lengths and codings there",
        is_it: |_, herd, h11| {
            matches!(herd, Read::Whole(_)) && refuses(h11, &["Content-Length", "Transfer-Encoding"])
        },
    },
];

/// Why these are different, if they are: an index of `DIFFERENCES`, or what no reason is known for.
fn difference(request: &[u8], herd: &Read, h11: &Read) -> Result<Option<usize>, String> {
    let is_same = match (herd, h11) {
        (Read::Whole(herd), Read::Whole(h11)) => {
            if herd != h11 {
                return Err("both take it, and not for the same".into());
            }
            true
        }
        // What is not whole may be refused at once, or when it is.
        (Read::More | Read::Bad(_), Read::More | Read::Bad(_)) => true,
        _ => false,
    };
    if is_same {
        return Ok(None);
    }
    let found = DIFFERENCES.iter().position(|known| (known.is_it)(request, herd, h11));
    found.map(Some).ok_or("one takes it, for no reason that is known".into())
}

// --- requests by chance

const PARTS: [&[u8]; 34] = [
    b"\r\n",
    b"\n",
    b"\r",
    b" ",
    b"\t",
    b":",
    b",",
    b";",
    b"\0",
    b"\x0b",
    b"\x0c",
    b"\x7f",
    b"\xc3\xa9",
    b"0",
    b"1",
    b"1a",
    b"0\r\n\r\n",
    b"1a;a=\"b\"\r\n",
    b"=",
    b"/",
    b"?",
    b"*",
    b"http://a",
    b"HTTP/1.0",
    b"HTTP/1.1",
    b"Host: localhost\r\n",
    b"Content-Length: 5\r\n",
    b"Content-Length: 0\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Expect: 100-continue\r\n",
    b"X: y\r\n",
    b"chunked",
    b"\r\n ",
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
];

/// One of the requests with something changed, and a good one behind it.
fn request(random: &mut fastrand::Rng, from: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = from[random.usize(..from.len())].clone();
    for _ in 0..random.usize(0..4) {
        let at = random.usize(..=bytes.len());
        let end = (at + random.usize(..=8)).min(bytes.len());
        match random.u8(..7) {
            0 => drop(bytes.splice(at..end, [])),
            1 => {
                let part = PARTS[random.usize(..PARTS.len())];
                bytes.splice(at..at, part.iter().copied());
            }
            2 => {
                let part = PARTS[random.usize(..PARTS.len())];
                bytes.splice(at..end, part.iter().copied());
            }
            3 => bytes.insert(at, random.u8(..)),
            4 if at < bytes.len() => bytes[at] ^= 1 << random.u8(..8),
            // A line of it once more, somewhere else.
            5 => {
                let mut lines: Vec<_> = bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect();
                let line = lines[random.usize(..lines.len())].clone();
                lines.insert(random.usize(..=lines.len()), line);
                bytes = lines.join(&b'\n');
            }
            // The end of another one.
            6 => {
                let other = &from[random.usize(..from.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[random.usize(..=other.len())..]);
            }
            _ => {}
        }
    }
    bytes.extend_from_slice(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n");
    bytes
}

const BATCH: usize = 500;

#[test]
fn differential_of_herd_and_h11() {
    let Some(python) = tool("python3") else { return };
    let asked = |name| std::env::var(name).ok().and_then(|number| number.parse().ok());
    let seed = asked("HERD_SEED").unwrap_or_else(|| fastrand::u64(..));
    let until = Instant::now() + Duration::from_secs(asked("HERD_H11_S").unwrap_or(8));
    let mut h11 = Command::new(python)
        .arg(Path::new(ROOT).join("tests/it/http/differential.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("started");
    let (mut said, mut read) =
        (h11.stdin.take().expect("piped"), BufReader::new(h11.stdout.take().expect("piped")));
    let mut random = fastrand::Rng::with_seed(seed);
    let from: Vec<_> =
        rows().iter().map(|row| row.bytes("\"1f\"")).filter(|bytes| bytes.len() < 600).collect();
    let (mut count, mut both, mut met) = (0, 0, BTreeMap::<usize, u32>::new());
    while Instant::now() < until {
        let batch: Vec<_> = (0..BATCH).map(|_| request(&mut random, &from)).collect();
        let mut bytes = Vec::new();
        for request in &batch {
            bytes.extend_from_slice(&(request.len() as u32).to_be_bytes());
            bytes.extend_from_slice(request);
        }
        bytes.extend_from_slice(&[0; 4]);
        said.write_all(&bytes).expect("h11 reads");
        for request in &batch {
            let mut line = String::new();
            read.read_line(&mut line).expect("h11 answers");
            let (herd, h11) = (by_herd(request), by_h11(line.trim_end()));
            both += u32::from(matches!((&herd, &h11), (Read::Whole(_), Read::Whole(_))));
            match difference(request, &herd, &h11) {
                Ok(Some(index)) => *met.entry(index).or_default() += 1,
                Ok(None) => {}
                Err(why) => {
                    let request = request.escape_ascii();
                    panic!("HERD_SEED={seed}: {why}: {request}\nherd {herd:?}\nh11 {h11:?}");
                }
            }
        }
        count += batch.len();
    }
    drop(said);
    assert!(h11.wait().expect("ended").success());
    println!("{count} requests, of which both take {both}");
    for (index, known) in DIFFERENCES.iter().enumerate() {
        println!("{:>8} {}", met.get(&index).unwrap_or(&0), known.about);
    }
    // A reason that is none any more leaves the list.
    let are_met = (0..DIFFERENCES.len()).all(|index| met.contains_key(&index));
    assert!(both > 0 && (are_met || count < 500_000));
}
