//! `herdctl` without arguments at a terminal: each line is a subcommand, or a line of the protocol, and one connection
//! answers them. The kernel edits the line. `ctl` calls it.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Read, Stdin};

use super::asking::{Heard, ask};
use super::choice::Choice;
use super::dispatch;
use super::out::{Failed, Out};
use crate::args::Early;
use crate::args::ctl::{CtlArgs, Subcommand};
use crate::limits::SEND_LINE_MAX;
use crate::protocol::Command;
use crate::run::exit;
use crate::run::say::remark;

/// Asks for a line until `quit` or the end. What one line comes to ends nothing.
pub fn run(choice: &Choice, out: &mut Out) -> Result<u8, Failed> {
    let mut stdin = BufReader::new(io::stdin());
    out.text("a line is a subcommand, as in `near 34.07,-118.44`; help lists them, quit or ^D ends it\n")?;
    loop {
        out.text("herdctl> ")?;
        out.flush()?;
        let Some(line) = next(&mut stdin)? else {
            out.text("\n")?;
            return Ok(exit::OK);
        };
        match line.trim() {
            "" => {}
            "quit" | "exit" => return Ok(exit::OK),
            line => match said(choice, out, line) {
                Ok(()) => {}
                Err(Failed::Status(_, why)) => remark(format!("herd: {why}")),
                Err(Failed::Unread) => return Err(Failed::Unread),
            },
        }
    }
}

/// The next line; None at the end.
fn next(stdin: &mut BufReader<Stdin>) -> Result<Option<String>, Failed> {
    let mut line = Vec::new();
    let length = stdin.take(SEND_LINE_MAX).read_until(b'\n', &mut line);
    match length {
        Ok(0) => Ok(None),
        Ok(_) => Ok(Some(String::from_utf8_lossy(&line).into_owned())),
        Err(why) => Err(Failed::Status(exit::OS, format!("cannot read stdin: {why}"))),
    }
}

fn said(choice: &Choice, out: &mut Out, line: &str) -> Result<(), Failed> {
    // Subcommands are small letters.
    if line.starts_with(|c: char| c.is_ascii_uppercase()) {
        return of_protocol(choice, out, line.as_bytes());
    }
    let args = match CtlArgs::parse(words(line).into_iter()) {
        Ok(args) => args,
        Err(Early::Help(text)) => return out.text(&text),
        Err(Early::Usage(why)) => {
            remark(format!("herd: {why}"));
            return Ok(());
        }
    };
    let CtlArgs { config, server, host, json, timeout, subcommand } = args;
    let reads = matches!(&subcommand, Subcommand::Send(_))
        || matches!(&subcommand, Subcommand::At(at) if at.client == "-");
    if reads {
        let why = "that reads stdin to its end; type the lines themselves";
        return Err(Failed::Status(exit::USAGE, why.into()));
    }
    out.is_json = json;
    let is_other = config.is_some() || server.is_some() || host.is_some() || timeout.is_some();
    // The exit status says nothing here that was not said in words.
    if is_other {
        dispatch(&Choice::of(config, server, host, timeout)?, out, subcommand)?;
    } else {
        dispatch(choice, out, subcommand)?;
    }
    out.flush()
}

/// The words of a line. One in quotes, as at a shell, may have spaces in it: `near '-34.5, 118'`.
fn words(line: &str) -> Vec<OsString> {
    let (mut words, mut rest) = (Vec::new(), line.trim_start());
    while let Some(first) = rest.chars().next() {
        let quoted = rest.strip_prefix(['\'', '"']).and_then(|behind| behind.split_once(first));
        let quoted =
            quoted.filter(|(_, behind)| behind.is_empty() || behind.starts_with(char::is_whitespace));
        let (word, behind) =
            quoted.unwrap_or_else(|| rest.split_once(char::is_whitespace).unwrap_or((rest, "")));
        words.push(word.into());
        rest = behind.trim_start();
    }
    words
}

fn of_protocol(choice: &Choice, out: &mut Out, line: &[u8]) -> Result<(), Failed> {
    if let Ok(Command::Watch(_) | Command::At(_) | Command::Link(_)) = Command::parse(line) {
        let why = "that has no end, or no reply; watch -n 5 ends after five lines";
        return Err(Failed::Status(exit::USAGE, why.into()));
    }
    match ask(choice, line)?.1 {
        Heard::Refused(line) => out.line(&[b"? ", line.as_slice()].concat()),
        Heard::Line(line) => out.line(&line),
        Heard::Lines(lines) => lines.iter().try_for_each(|line| out.line(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_quotes_may_have_spaces() {
        for (line, expected) in [
            ("near  '-34.5, 118'  5km ", vec!["near", "-34.5, 118", "5km"]),
            ("at \"a b\" 1,2", vec!["at", "a b", "1,2"]),
            ("at o'neill's 'x", vec!["at", "o'neill's", "'x"]),
            ("at 'a'b '' é", vec!["at", "'a'b", "", "é"]),
            ("", vec![]),
        ] {
            assert_eq!(words(line), expected, "{line}");
        }
    }
}
