//! The subcommands that say lines of the protocol, one for a question, or all of stdin. `ctl` calls them.

use memchr::memchr;
use serde_json::{Value, json};

use super::asking::{self, Heard, ask, count_of};
use super::choice::Choice;
use super::out::{Failed, Out, harmless, record_of, text_of};
use super::pipe::{Became, Meant, pipe};
use crate::args::ctl::{At, Near, Whatsat};
use crate::clock::posix_ns;
use crate::protocol::line::Fields;
use crate::protocol::{Command, Location};
use crate::run::exit;
use crate::run::say::remark;

/// `at CLIENT LOCATION [TIME]`.
pub fn at(choice: &Choice, out: &mut Out, at: &At) -> Result<u8, Failed> {
    let (location, time) = match &at.report[..] {
        [location] => (location, None),
        [location, time] => (location, Some(time.as_bytes())),
        _ => {
            return Err(usage(
                "at takes CLIENT LOCATION or CLIENT LOCATION TIME, or - for lines of them from stdin",
            ));
        }
    };
    let line = report(at.client.as_bytes(), location.as_bytes(), time).map_err(usage)?;
    let (name, heard) = ask(choice, &line)?;
    let said = heard.said().ok_or_else(|| refused(&name, &why_refused(&line)))?;
    print_records(out, &name, &said)
}

/// `at -`: lines of `CLIENT LOCATION [TIME]`.
pub fn at_each(choice: &Choice, out: &mut Out, at: &At) -> Result<u8, Failed> {
    if !at.report.is_empty() {
        return Err(usage("at - takes clients and locations from stdin, and none as arguments"));
    }
    let meaning = |line: &[u8]| {
        let mut fields = Fields::of(line);
        let (client, location, time) = (fields.next(), fields.next(), fields.next());
        match (client, location, fields.next()) {
            (None, _, _) => Meant::Nothing,
            (Some(client), Some(location), None) => match report(client, location, time) {
                Ok(line) => Meant::Said(line),
                Err(why) => Meant::Wrong(why),
            },
            _ => Meant::Wrong("a line is CLIENT LOCATION, or CLIENT LOCATION TIME".into()),
        }
    };
    each(choice, out, meaning)
}

/// `send`: lines as they are.
pub fn send(choice: &Choice, out: &mut Out) -> Result<u8, Failed> {
    each(choice, out, |line| match Command::parse(line) {
        Ok(Command::Blank) => Meant::Nothing,
        Ok(Command::Watch(_)) => Meant::Wrong("WATCH has no end; use herdctl watch".into()),
        // A server without a secret takes it, and has no reply to it.
        Ok(Command::At(_) | Command::Link(_)) => Meant::Wrong("it is what servers say to each other".into()),
        Ok(Command::Iamat(_) | Command::Whatsat(_) | Command::Near(_) | Command::Count) | Err(_) => {
            Meant::Said(line.to_vec())
        }
    })
}

/// `whatsat CLIENT [KM [N]]`.
pub fn whatsat(choice: &Choice, out: &mut Out, whatsat: &Whatsat) -> Result<u8, Failed> {
    let Whatsat { client, within } = whatsat;
    let (km, bound) = within_of(within)?;
    let line = command(&["WHATSAT", client, km, bound])?;
    let (name, heard) = ask(choice, &line)?;
    let shown = harmless(client.as_bytes());
    let said = heard
        .said()
        .ok_or_else(|| refused(&name, &format!("it does not know {shown}, or has too much to do")))?;
    // Both were looked at when they were heard.
    let (record, json) = said.split_first().ok_or_else(|| nonsense(&name))?;
    let document = json.join(&b'\n');
    let places = || serde_json::from_slice::<Value>(&document).map_err(|_| nonsense(&name));
    if out.is_json {
        let mut object = record_of(record, &name).ok_or_else(|| nonsense(&name))?;
        object["places"] = places()?;
        out.json(&object)?;
    } else if out.is_terminal {
        out.line(record)?;
        out.text(&table(&places()?))?;
    } else {
        json.iter().try_for_each(|line| out.line(line))?;
    }
    Ok(exit::OK)
}

/// `near LOCATION [KM [N]]`.
pub fn near(choice: &Choice, out: &mut Out, near: &Near) -> Result<u8, Failed> {
    let location = location_of(near.location.as_bytes()).map_err(usage)?;
    let location = String::from_utf8_lossy(&location).into_owned();
    let (km, bound) = within_of(&near.within)?;
    let line = command(&["NEAR", &location, km, bound])?;
    let (name, heard) = ask(choice, &line)?;
    print_records(out, &name, &heard.said().ok_or_else(|| refused(&name, BUSY))?)
}

/// `count`.
pub fn count(choice: &Choice, out: &mut Out) -> Result<u8, Failed> {
    let (name, heard) = ask(choice, b"COUNT")?;
    let said = heard.said().ok_or_else(|| refused(&name, BUSY))?.concat();
    let count = count_of(&said).ok_or_else(|| nonsense(&name))?;
    if out.is_json {
        out.json(&json!({ "server": name, "clients": count }))?;
    } else {
        out.text(&format!("{count}\n"))?;
    }
    Ok(exit::OK)
}

/// Sends what the lines of stdin mean, prints the replies, and says on stderr how many there were.
fn each(
    choice: &Choice,
    out: &mut Out,
    meaning: impl FnMut(&[u8]) -> Meant + std::marker::Send + 'static,
) -> Result<u8, Failed> {
    let (mut replies, mut refused, mut last) = (0_u64, 0_u64, 0_u64);
    let ended = pipe(choice.connect()?, meaning, |number, became, has_more| {
        match became {
            Became::Wrong(why) => {
                refused += 1;
                remark(format!("herd: line {number} is not sent: {why}"));
            }
            Became::Heard(heard) => {
                replies += 1;
                last = number;
                refused += u64::from(matches!(heard, Heard::Refused(_)));
                print_reply(out, number, &heard)?;
            }
        }
        if has_more { Ok(()) } else { out.flush() }
    });
    let ended = ended.and_then(|()| out.flush());
    // However it ended: whoever sends the rest has to know where that begins.
    let rest = match &ended {
        Ok(()) => String::new(),
        Err(Failed::Unread) => {
            format!("; nobody reads them any more, and not all that follows line {last} was sent")
        }
        Err(Failed::Status(..)) => format!("; what follows line {last} has to be sent again"),
    };
    remark(format!("{replies} replies, {refused} refused{rest}"));
    ended.map(|()| if refused == 0 { exit::OK } else { exit::DISAGREE })
}

/// Prints a reply as it came, with the empty line that ends one of several lines.
fn print_reply(out: &mut Out, number: u64, heard: &Heard) -> Result<(), Failed> {
    match heard {
        Heard::Refused(line) if out.is_json => out.json(&json!({ "line": number, "refused": text_of(line) })),
        Heard::Refused(line) => out.line(&[b"? ", line.as_slice()].concat()),
        Heard::Line(line) if out.is_json => out.json(&json!({ "line": number, "reply": [text_of(line)] })),
        Heard::Line(line) => out.line(line),
        Heard::Lines(lines) if out.is_json => {
            let lines: Vec<_> = lines.iter().map(|line| text_of(line)).collect();
            out.json(&json!({ "line": number, "reply": lines }))
        }
        Heard::Lines(lines) => {
            lines.iter().try_for_each(|line| out.line(line))?;
            out.line(b"")
        }
    }
}

fn print_records(out: &mut Out, name: &str, lines: &[Vec<u8>]) -> Result<u8, Failed> {
    for line in lines {
        if out.is_json {
            out.json(&record_of(line, name).ok_or_else(|| nonsense(name))?)?;
        } else {
            out.line(line)?;
        }
    }
    Ok(exit::OK)
}

/// How far, in km, and how many.
fn within_of(within: &[String]) -> Result<(&str, &str), Failed> {
    match within {
        [] => Ok(("10", "10")),
        [km] => Ok((km, "10")),
        [km, bound] => Ok((km, bound)),
        _ => Err(usage("behind it may stand how far, in km, and how many: 10 5")),
    }
}

/// The line of an IAMAT.
fn report(client: &[u8], location: &[u8], time: Option<&[u8]>) -> Result<Vec<u8>, String> {
    let now_ns = posix_ns();
    let now = format!("{}.{:09}", now_ns / 1_000_000_000, now_ns % 1_000_000_000);
    let location = location_of(location)?;
    checked(&[b"IAMAT", client, &location, time.unwrap_or(now.as_bytes())])
}

/// The line of a command of these fields.
fn command(fields: &[&str]) -> Result<Vec<u8>, Failed> {
    let fields: Vec<_> = fields.iter().map(|field| field.as_bytes()).collect();
    checked(&fields).map_err(usage)
}

/// The line of these fields, if it is one that servers take.
fn checked(fields: &[&[u8]]) -> Result<Vec<u8>, String> {
    for field in fields {
        // Also a line break in an argument would be a line of its own.
        if Fields::of(field).exactly() != Some([*field]) {
            let shown = field.escape_ascii();
            return Err(format!(
                "\"{shown}\" is empty or has white space; by HTTP a space is %20, and so it is in the ID"
            ));
        }
    }
    let line = fields.join(&b' ');
    match Command::parse(&line) {
        Ok(_) => Ok(line),
        Err(invalid) => Err(invalid.rule.words().to_owned()),
    }
}

/// `34.07,-118.44`, also with white space behind the comma as maps have it, as a location is written in lines; anything
/// without a comma as it is.
pub fn location_of(text: &[u8]) -> Result<Vec<u8>, String> {
    let Some(comma) = memchr(b',', text) else { return Ok(text.to_vec()) };
    let (latitude, longitude) = (with_zero(&text[..comma]), with_zero(&text[comma + 1..]));
    let mut written = Vec::new();
    let location = Location::of_numbers(&latitude, &longitude, &mut written);
    location.map(|location| location.text().to_vec()).ok_or_else(|| {
        format!(
            "{} is no LAT,LON: a latitude from -90 to 90 and a longitude from -180 to 180, like 34.07,-118.44",
            text.escape_ascii()
        )
    })
}

/// A number as a person writes it, with the digit before the point that lines have: `-0.5` for `-.5`.
fn with_zero(number: &[u8]) -> Vec<u8> {
    let number = number.trim_ascii();
    let signs = usize::from(number.first().is_some_and(|first| b"+-".contains(first)));
    let (sign, digits) = number.split_at(signs);
    let zero: &[u8] = if digits.first() == Some(&b'.') { b"0" } else { b"" };
    [sign, zero, digits].concat()
}

/// Places for a person, a line each.
fn table(document: &Value) -> String {
    let none = Vec::new();
    let text = |value: &Value| harmless(value.as_str().unwrap_or_default().as_bytes());
    let results = document["results"].as_array().unwrap_or(&none);
    let rows: Vec<_> = results
        .iter()
        .map(|place| (text(&place["name"]), text(&place["types"][0]), text(&place["vicinity"])))
        .collect();
    let width = |of: fn(&(String, String, String)) -> &String| {
        rows.iter().map(|row| of(row).chars().count()).max().unwrap_or(0)
    };
    let (names, kinds) = (width(|row| &row.0), width(|row| &row.1));
    let mut table: String =
        rows.iter().map(|(name, kind, where_)| format!("{name:names$}  {kind:kinds$}  {where_}\n")).collect();
    if rows.is_empty() {
        table += &format!("no places: {}\n", text(&document["status"]));
    }
    table
}

fn usage(why: impl Into<String>) -> Failed {
    Failed::Status(exit::USAGE, why.into())
}

fn refused(name: &str, why: &str) -> Failed {
    Failed::Status(exit::DISAGREE, format!("{name} refused: {why}"))
}

/// Why a line that is valid is refused: by what herd.conf says of times, for one.
fn why_refused(line: &[u8]) -> String {
    format!(
        "herd --explain '{}' says whether herd.conf takes it; if so, the server has no room for a further client, or \
         cannot keep it: see herdctl status and its log",
        line.escape_ascii()
    )
}

/// Why a valid question is refused.
const BUSY: &str = "it has too much to do, or is an older herd; ask again";

fn nonsense(name: &str) -> Failed {
    Failed::Status(exit::NO_ANSWER, format!("{name}: {}", asking::nonsense()))
}
