//! What the text of the course asks of a server (UCLA CS 131, 2018), which is enough to be measured: IAMAT, WHATSAT and the
//! invalid command, a command a connection. Where the text is silent a server may do as it likes: a difference is any
//! number with its sign, the connection may be closed after the reply or go on, and the reply may wait for the end of what
//! the client says.

use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::failure::{End, Failure, Heard, Tally, connect, hear, shown};

/// How a server behaves where the text leaves it free.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manners {
    /// What it calls itself.
    pub server: String,
    /// It answers one command a connection.
    pub is_one_shot: bool,
    /// It answers when the client has ended what it says.
    pub waits_for_end: bool,
    /// Its replies end with a newline.
    pub ends_lines: bool,
    /// Its WHATSAT has what the places provider says.
    pub has_places: bool,
    /// It keeps herd's own rules, all of them.
    pub is_as_herd: bool,
}

impl Manners {
    /// Those of herd, by this name.
    pub fn of_herd(server: &str) -> Manners {
        Manners {
            server: server.into(),
            is_one_shot: false,
            waits_for_end: false,
            ends_lines: true,
            has_places: true,
            is_as_herd: true,
        }
    }
}

/// A difference further from the truth than this is none.
const SKEW_S: f64 = 60.0;

const KIWI: &str = "kiwi.cs.ucla.edu";
const LOCATION: &str = "+34.068930-118.445127";
const TIME: &str = "1520023934.918963997";

/// A command on a connection of its own.
struct Case {
    about: &'static str,
    line: String,
    expects: Expects,
}

/// What must come.
enum Expects {
    /// The AT line of this report.
    Report { rest: String },
    /// The AT line of this report, and JSON with so many results at the most.
    Places { rest: String, most: usize },
    /// `? ` and the command. White space in it may differ.
    Refusal,
}

fn cases(now_s: u64) -> Vec<Case> {
    let mut cases = Vec::new();
    let mut report = |about, id: &str, location: &str, time: &str| {
        let rest = format!("{id} {location} {time}");
        cases.push(Case { about, line: format!("IAMAT {rest}\n"), expects: Expects::Report { rest } });
    };
    report("IAMAT, as in the text", KIWI, LOCATION, TIME);
    report("a location in the south east", "a.cs.ucla.edu", "-33.868820+151.209290", TIME);
    report("a location in the south west", "b.cs.ucla.edu", "-34.603722-58.381592", TIME);
    report("a location in the north east", "c.cs.ucla.edu", "+27.5916+086.5640", TIME);
    report("a client whose clock is ahead", "d.cs.ucla.edu", LOCATION, &format!("{}.125", now_s + 10_000));
    report(
        "an ID of any characters that are no white space",
        "~!@#$%^&*()_=[]{};:,./?<>|'\"",
        LOCATION,
        TIME,
    );
    cases.push(Case {
        about: "white space of every kind, around and between the fields",
        line: format!(" \t IAMAT  e.cs.ucla.edu\x0b{LOCATION}\x0c\t {TIME} \r\n"),
        expects: Expects::Report { rest: format!("e.cs.ucla.edu {LOCATION} {TIME}") },
    });
    for (about, line) in [
        ("an unknown command", "HELLO there"),
        ("IAMAT with too few arguments", "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127"),
        ("IAMAT with too many", "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997 1"),
        ("IAMAT with a time that is no number", "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 noon"),
        ("WHATSAT of an unknown client", "WHATSAT nobody 10 5"),
        ("WHATSAT with too few arguments", "WHATSAT kiwi.cs.ucla.edu 10"),
        ("WHATSAT with a radius over 50", "WHATSAT kiwi.cs.ucla.edu 51 5"),
        ("WHATSAT with a bound over 20", "WHATSAT kiwi.cs.ucla.edu 10 21"),
        ("WHATSAT with a radius that is no number", "WHATSAT kiwi.cs.ucla.edu far 5"),
    ] {
        cases.push(Case { about, line: format!("{line}\n"), expects: Expects::Refusal });
    }
    let places = |about, asked: &str, most, rest: String| Case {
        about,
        line: format!("WHATSAT {asked}\n"),
        expects: Expects::Places { rest, most },
    };
    let kiwi = || format!("{KIWI} {LOCATION} {TIME}");
    cases.push(places("WHATSAT, as in the text", "kiwi.cs.ucla.edu 10 5", 5, kiwi()));
    cases.push(places("WHATSAT with a bound below what there is", "kiwi.cs.ucla.edu 10 2", 2, kiwi()));
    cases.push(places("WHATSAT with the greatest radius and bound", "kiwi.cs.ucla.edu 50 20", 20, kiwi()));
    let newer = format!("{KIWI} +34.071234-118.440000 {now_s}.5");
    cases.push(Case {
        about: "a newer report of a client",
        line: format!("IAMAT {newer}\n"),
        expects: Expects::Report { rest: newer.clone() },
    });
    cases.push(places("and WHATSAT has the newer one", "kiwi.cs.ucla.edu 10 5", 5, newer));
    cases
}

impl Case {
    fn needs_places(&self) -> bool {
        matches!(self.expects, Expects::Places { .. })
    }

    /// Whether a reply of a server of this name is right, or could still become so.
    fn is_right(&self, reply: &[u8], server: &str) -> bool {
        match &self.expects {
            Expects::Report { rest } => std::str::from_utf8(reply)
                .is_ok_and(|reply| is_report(without_end(reply), server, rest, true)),
            Expects::Refusal => {
                let Ok(text) = std::str::from_utf8(reply) else { return false };
                let copy = without_end(text).strip_prefix("? ").filter(|copy| !copy.contains('\n'));
                copy.is_some_and(|copy| copy.split_whitespace().eq(self.line.split_whitespace()))
            }
            Expects::Places { rest, most } => {
                let Ok(text) = std::str::from_utf8(reply) else { return false };
                let Some((line, json)) = text.split_once('\n') else { return false };
                let Some(json) = json.strip_suffix("\n\n") else { return false };
                let value: Option<serde_json::Value> = serde_json::from_str(json).ok();
                let results = value.as_ref().and_then(|value| value["results"].as_array());
                is_report(line.trim_end_matches('\r'), server, rest, false)
                    && results.is_some_and(|results| results.len() <= *most)
            }
        }
    }

    /// Whether a reply has its end, right or wrong.
    fn is_ended(&self, reply: &[u8]) -> bool {
        match self.needs_places() && reply.starts_with(b"AT") {
            true => reply.ends_with(b"\n\n"),
            false => reply.contains(&b'\n'),
        }
    }

    fn expected(&self, server: &str) -> String {
        let server = if server.is_empty() { "NAME" } else { server };
        match &self.expects {
            Expects::Report { rest } => format!("AT {server} ±SECONDS {rest}"),
            Expects::Refusal => format!("? {}", self.line.trim()),
            Expects::Places { rest, most } => {
                format!(
                    "AT {server} ±SECONDS {rest}, JSON with `results` of {most} at the most, and two newlines"
                )
            }
        }
    }
}

fn without_end(reply: &str) -> &str {
    let reply = reply.strip_suffix('\n').unwrap_or(reply);
    reply.strip_suffix('\r').unwrap_or(reply)
}

/// `AT NAME DIFFERENCE ID LOCATION TIME`; of a server whose name is not known yet, any. The difference is checked against
/// the clock where the report was made just now.
fn is_report(line: &str, server: &str, rest: &str, is_new: bool) -> bool {
    let Some((name, difference)) =
        line.strip_suffix(rest).and_then(|line| line.strip_suffix(' ')?.strip_prefix("AT ")?.split_once(' '))
    else {
        return false;
    };
    let time = rest.rsplit(' ').next().and_then(|time| time.parse::<f64>().ok()).unwrap_or(0.0);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64());
    !name.is_empty()
        && (server.is_empty() || name == server)
        && seconds(difference.as_bytes()).is_some_and(|said| !is_new || (now - time - said).abs() < SKEW_S)
}

/// A difference: a number with its sign, which nothing and zero may lack.
pub fn seconds(text: &[u8]) -> Option<f64> {
    let is_number = |byte: &u8| byte.is_ascii_digit() || b".+-eE".contains(byte);
    let number = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| is_number(&byte)))?;
    let value = number.parse::<f64>().ok().filter(|value| value.is_finite())?;
    (number.starts_with(['+', '-']) || value == 0.0).then_some(value)
}

/// What a server is like, and which cases it passed.
pub struct Found {
    pub manners: Manners,
    pub tally: Tally,
}

impl Found {
    /// Whether it can be measured: what failed, if anything did, is for the places provider alone.
    pub fn is_enough(&self) -> bool {
        !self.manners.server.is_empty() && (self.tally.is_clean() || !self.manners.has_places)
    }
}

/// Runs the cases, and finds out how the server behaves.
pub fn run(address: SocketAddr) -> Found {
    let now_s = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let cases = cases(now_s);
    let mut tally = Tally::default();
    let (mut is_wrong, mut lacks_places, mut hangs_in_places) = (false, false, false);
    let mut manners = Manners::find(address, now_s).unwrap_or_else(|(heard, sent)| {
        // The other cases are asked nonetheless, so that all is told at once.
        if heard.end == End::Silent {
            tally.hung();
        }
        let (about, expected) = ("a first report".into(), "AT NAME ±SECONDS and the three arguments".into());
        tally.note(Err(Failure { about, sent, expected, got: heard.to_string() }));
        is_wrong = true;
        Manners::of_herd("")
    });
    for (index, case) in cases.iter().enumerate() {
        if tally.is_hopeless() {
            tally.unasked += cases.len() - index;
            is_wrong = true;
            break;
        }
        if hangs_in_places && case.needs_places() {
            tally.unasked += 1;
            continue;
        }
        let is_whole = |reply: &[u8]| {
            if manners.ends_lines || case.needs_places() {
                case.is_ended(reply)
            } else {
                case.is_right(reply, &manners.server)
            }
        };
        let heard = ask(address, &case.line, manners.waits_for_end, is_whole);
        match heard.end {
            // It may wait for a provider that it cannot reach.
            End::Silent if case.needs_places() => hangs_in_places = true,
            End::Silent => tally.hung(),
            End::Whole | End::Closed | End::Broken(_) => {}
        }
        if case.is_right(&heard.bytes, &manners.server) {
            tally.note(Ok(()));
            continue;
        }
        is_wrong |= !case.needs_places();
        lacks_places |= case.needs_places();
        tally.note(Err(Failure {
            about: case.about.into(),
            sent: shown(case.line.as_bytes()),
            expected: case.expected(&manners.server),
            got: heard.to_string(),
        }));
    }
    // What is wrong elsewhere, too, is no matter of the provider.
    manners.has_places = is_wrong || !lacks_places;
    Found { manners, tally }
}

/// Says one line on a connection of its own, and waits for the reply.
fn ask(address: SocketAddr, line: &str, ends: bool, is_whole: impl Fn(&[u8]) -> bool) -> Heard {
    let asked = || {
        let mut stream = connect(address)?;
        stream.write_all(line.as_bytes())?;
        if ends {
            stream.shutdown(Shutdown::Write)?;
        }
        Ok(hear(&mut stream, is_whole))
    };
    asked().unwrap_or_else(|why: io::Error| Heard { bytes: Vec::new(), end: End::Broken(why.kind()) })
}

impl Manners {
    /// By two reports on one connection.
    ///
    /// # Errors
    /// There is no AT line in answer to the first: what came, and what was sent.
    pub fn find(address: SocketAddr, now_s: u64) -> Result<Manners, (Heard, String)> {
        let reports = [1, 2].map(|number| format!("manners.bench {LOCATION} {now_s}.{number}"));
        let [first, second] = reports.each_ref().map(|rest| format!("IAMAT {rest}\n"));
        let failed = |heard: Heard| (heard, shown(first.as_bytes()));
        let broken = |why: io::Error| failed(Heard { bytes: Vec::new(), end: End::Broken(why.kind()) });
        let mut stream = connect(address).map_err(broken)?;
        stream.write_all(first.as_bytes()).map_err(broken)?;
        let is_ended = |reply: &[u8]| reply.contains(&b'\n');
        let mut heard = hear(&mut stream, is_ended);
        let waits_for_end = heard.end == End::Silent && heard.bytes.is_empty();
        if waits_for_end {
            stream.shutdown(Shutdown::Write).map_err(broken)?;
            heard = hear(&mut stream, is_ended);
        }
        let text = String::from_utf8_lossy(&heard.bytes).into_owned();
        if !is_report(without_end(&text), "", &reports[0], false) {
            return Err(failed(heard));
        }
        let server = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let ends_lines = text.ends_with('\n');
        let mut goes_on = || {
            let is_sent = stream.write_all(second.as_bytes()).is_ok();
            let again = hear(&mut stream, is_ended).bytes;
            is_sent && is_report(without_end(&String::from_utf8_lossy(&again)), &server, &reports[1], false)
        };
        // Without newlines nobody knows where a reply ends, unless it is the only one.
        let is_one_shot = waits_for_end || !ends_lines || !goes_on();
        let herd = Manners::of_herd(&server);
        Ok(Manners { is_one_shot, waits_for_end, ends_lines, is_as_herd: false, ..herd })
    }

    /// What is to be known before its figures are read; empty if it is as herd.
    pub fn told(&self) -> String {
        let mut told = Vec::new();
        if self.is_one_shot {
            told.push("answers one command a connection, and is measured in `fresh` alone");
        }
        if self.waits_for_end {
            told.push("answers when the client has half-closed");
        }
        if !self.ends_lines {
            told.push("ends no line");
        }
        if !self.has_places {
            told.push("has no answer of a places provider, and is measured without WHATSAT");
        }
        told.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_any_number_with_its_sign() {
        for (text, expected) in [
            ("+0.263873386", Some(0.263_873_386)),
            ("-5.25", Some(-5.25)),
            ("+12", Some(12.0)),
            ("+1.5e-05", Some(0.000_015)),
            ("0.0", Some(0.0)),
            ("0.5", None),
            ("--0.5", None),
            ("+inf", None),
            ("+", None),
            ("", None),
            ("+nan", None),
        ] {
            assert_eq!(seconds(text.as_bytes()), expected, "{text}");
        }
    }

    #[test]
    fn who_waits_for_a_provider_for_ever_is_measured_without_it() {
        use std::io::{BufRead, BufReader};
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = listener.local_addr().expect("bound");
        std::thread::spawn(move || {
            let mut held = Vec::new();
            for mut stream in listener.incoming().map_while(Result::ok) {
                let mut line = String::new();
                let read = BufReader::new(&stream).read_line(&mut line);
                let fields: Vec<_> = line.split_whitespace().collect();
                let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs_f64();
                let reply = match fields[..] {
                    ["IAMAT", id, location, time] if time.parse::<f64>().is_ok() => {
                        let skew = now - time.parse::<f64>().expect("a number");
                        format!("AT Clark {skew:+} {id} {location} {time}\n")
                    }
                    ["WHATSAT", KIWI, "10" | "50", "5" | "2" | "20"] => String::new(),
                    _ => format!("? {line}"),
                };
                if read.is_ok() && !reply.is_empty() {
                    stream.write_all(reply.as_bytes()).expect("sent");
                } else {
                    held.push(stream);
                }
            }
        });
        let found = run(address);
        assert!(found.is_enough(), "{}", found.tally);
        assert!(!found.manners.has_places && found.manners.is_one_shot && !found.manners.waits_for_end);
        // One of the four that a provider answers is waited for.
        assert_eq!((found.tally.passed, found.tally.failures.len(), found.tally.unasked), (17, 1, 3));
        assert!(found.tally.failures[0].got.contains("nothing for 10 s"), "{}", found.tally);
    }

    #[test]
    fn a_reply_may_differ_where_the_text_is_silent() {
        let now_s = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs();
        let cases = cases(now_s);
        let find = |about: &str| cases.iter().find(|case| case.about == about).expect("a case");
        let check = |about: &str, reply: &str, expected: bool| {
            assert_eq!(find(about).is_right(reply.as_bytes(), "Clark"), expected, "{about}: {reply:?}");
        };
        let rest = format!("{KIWI} {LOCATION} {TIME}");
        let skew = now_s as f64 - 1_520_023_934.918_964;
        for (reply, expected) in [
            (format!("AT Clark +{skew:.9} {rest}\n"), true),
            (format!("AT Clark +{skew:.1} {rest}\r\n"), true),
            (format!("AT Clark +{skew} {rest}"), true),
            (format!("AT Hands +{skew} {rest}\n"), false),
            (format!("AT Clark {skew} {rest}\n"), false),
            (format!("AT Clark +0.000007 {rest}\n"), false),
            (format!("AT Clark +{skew} {rest}0\n"), false),
            (format!("AT Clark +{skew} {rest}\nmore\n"), false),
        ] {
            check("IAMAT, as in the text", &reply, expected);
        }
        for (reply, expected) in [
            ("? HELLO there\n", true),
            ("? HELLO  there", true),
            ("HELLO there\n", false),
            ("? there\n", false),
        ] {
            check("an unknown command", reply, expected);
        }
        let line = format!("AT Clark +0.5 {rest}");
        for (json, expected) in [
            ("{\"results\":[1,2]}\n\n", true),
            ("{\"results\": [],\n \"status\": \"REQUEST_DENIED\"}\n\n", true),
            ("{\"results\":[1,2]}\n", false),
            ("{\"results\":[1,2,3]}\n\n", false),
            ("{}\n\n", false),
        ] {
            check("WHATSAT with a bound below what there is", &format!("{line}\n{json}"), expected);
        }
    }
}
