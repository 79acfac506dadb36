//! One line and its reply. The subcommands that ask call it.

use std::io;

use super::choice::{Choice, Chosen};
use super::out::Failed;
use crate::client::Lines;
use crate::limits::REPLY_BYTES_MAX;
use crate::protocol::Command;
use crate::protocol::record::AtFields;
use crate::protocol::reply::refused_line;
use crate::run::exit;

/// How long a reply is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// A line.
    Line,
    /// Lines up to an empty one.
    UpToEmpty,
}

impl Shape {
    fn of(line: &[u8]) -> Shape {
        match Command::parse(line) {
            Ok(Command::Whatsat(_) | Command::Near(_)) => Shape::UpToEmpty,
            Ok(
                Command::Blank
                | Command::Iamat(_)
                | Command::Count
                | Command::Watch(_)
                | Command::At(_)
                | Command::Link(_),
            )
            | Err(_) => Shape::Line,
        }
    }
}

/// A reply.
pub enum Heard {
    /// The line as it came back.
    Refused(Vec<u8>),
    /// A line.
    Line(Vec<u8>),
    /// Lines, without the empty one.
    Lines(Vec<Vec<u8>>),
}

impl Heard {
    /// The lines of a reply that is no refusal.
    pub fn said(self) -> Option<Vec<Vec<u8>>> {
        match self {
            Heard::Refused(_) => None,
            Heard::Line(line) => Some(vec![line]),
            Heard::Lines(lines) => Some(lines),
        }
    }
}

/// Reads the reply to a line. None when the connection ended before it.
///
/// # Errors
/// It does not come, not whole, or cannot be the reply to that line.
pub fn hear(lines: &mut Lines, line: &[u8]) -> io::Result<Option<Heard>> {
    let Some(first) = lines.line()? else { return Ok(None) };
    if let Some(refused) = refused_line(&first) {
        let refused = refused.to_vec();
        // A server may send the beginning of a long line back.
        let is_ours = !refused.trim_ascii().is_empty() && line.trim_ascii().starts_with(refused.trim_ascii());
        return if is_ours { Ok(Some(Heard::Refused(refused))) } else { Err(nonsense()) };
    }
    let heard = match Shape::of(line) {
        Shape::Line => Heard::Line(first),
        // What is no herd server need not say an empty line.
        Shape::UpToEmpty if !first.is_empty() && record(&first).is_none() => return Err(nonsense()),
        Shape::UpToEmpty => Heard::Lines(up_to_empty(lines, first)?),
    };
    if answers(line, &heard) { Ok(Some(heard)) } else { Err(nonsense()) }
}

fn up_to_empty(lines: &mut Lines, first: Vec<u8>) -> io::Result<Vec<Vec<u8>>> {
    let (mut said, mut next, mut size) = (Vec::new(), first, 0);
    while !next.is_empty() {
        size += next.len();
        if size > REPLY_BYTES_MAX {
            return Err(io::Error::other("its reply is longer than any; is it a herd server?"));
        }
        said.push(next);
        next = lines.line()?.ok_or(io::ErrorKind::UnexpectedEof)?;
    }
    Ok(said)
}

/// Whether that can be the reply to a line that is not refused. A port may be anybody's.
fn answers(line: &[u8], heard: &Heard) -> bool {
    match (Command::parse(line), heard) {
        (Ok(Command::Iamat(told)), Heard::Line(said)) => record(said).is_some_and(|at| {
            at.client == told.client
                && at.location.text() == told.location.text()
                && at.time.text() == told.time.text()
        }),
        (Ok(Command::Count), Heard::Line(said)) => count_of(said).is_some(),
        (Ok(Command::Whatsat(query)), Heard::Lines(said)) => {
            said.split_first().is_some_and(|(first, json)| {
                let document = json.join(&b'\n');
                record(first).is_some_and(|at| at.client == query.client)
                    && serde_json::from_slice::<serde::de::IgnoredAny>(&document).is_ok()
            })
        }
        (Ok(Command::Near(_)), Heard::Lines(said)) => said.iter().all(|line| record(line).is_some()),
        _ => false,
    }
}

fn record(line: &[u8]) -> Option<AtFields<'_>> {
    match Command::parse(line) {
        Ok(Command::At(at)) => Some(at),
        _ => None,
    }
}

/// The number that a reply to COUNT tells.
pub fn count_of(said: &[u8]) -> Option<u64> {
    str::from_utf8(said.strip_prefix(b"COUNT ")?).ok()?.parse().ok()
}

/// Asks the server that is chosen one thing, on a connection of its own or the one that was kept for that. Where none was
/// named, and the first that takes the connection says nothing, the next one is asked.
///
/// # Errors
/// It is not reached, or closes the connection.
pub fn ask(choice: &Choice, line: &[u8]) -> Result<(String, Heard), Failed> {
    if let Some(kept) = choice.kept()
        && let Ok(answered) = ask_of(choice, kept, line)
    {
        return Ok(answered);
    }
    let (mut first, mut hung) = (0, None);
    loop {
        let (chosen, next) = match choice.connect_from(first) {
            Ok(connected) => connected,
            Err(why) => return Err(hung.unwrap_or(why)),
        };
        match ask_of(choice, chosen, line) {
            Ok(answered) => return Ok(answered),
            // The kernel takes connections for a process that hangs, too; nothing that is asked does harm twice.
            Err((io::ErrorKind::TimedOut, failed)) => {
                hung.get_or_insert(failed);
                first = next;
            }
            Err((_, failed)) => return Err(failed),
        }
    }
}

/// Asks this one.
fn ask_of(choice: &Choice, chosen: Chosen, line: &[u8]) -> Result<(String, Heard), (io::ErrorKind, Failed)> {
    let Chosen { name, mut lines, mut sayer } = chosen;
    let heard = sayer.say(&[line, b"\n"].concat()).and_then(|()| hear(&mut lines, line));
    match heard.and_then(|heard| heard.ok_or_else(closed)) {
        Ok(heard) => {
            choice.keep(Chosen { name: name.clone(), lines, sayer });
            Ok((name, heard))
        }
        Err(why) => Err((why.kind(), lost(&name, &lines, &why))),
    }
}

/// What is said of a server that answers something else.
pub fn nonsense() -> io::Error {
    io::Error::other("its answer is none of a herd server")
}

fn closed() -> io::Error {
    io::Error::new(
        io::ErrorKind::UnexpectedEof,
        "it closed the connection before its reply; its log may say why",
    )
}

/// The server was reached, and then was not.
pub fn lost(name: &str, lines: &Lines, why: &io::Error) -> Failed {
    let at = lines.address.to_string();
    let whose = if name == at { at } else { format!("{name} ({at})") };
    Failed::Status(exit::NO_ANSWER, format!("{whose}: {why}"))
}
