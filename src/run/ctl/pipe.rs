//! Many lines of stdin to one server, without waiting for each reply. `herdctl send` and `at -` call it.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::AsFd;

use crossbeam_channel::{Sender, TrySendError, bounded};
use memchr::memchr;

use super::asking::{Heard, hear, lost};
use super::choice::Chosen;
use super::out::Failed;
use crate::client::Sayer;
use crate::limits::{SEND_AHEAD_MAX, SEND_LINE_MAX};
use crate::run::exit;
use crate::thread;

/// What becomes of a line of stdin.
pub enum Meant {
    /// This line is said.
    Said(Vec<u8>),
    /// It is none: nothing is said.
    Nothing,
    /// It cannot be meant, for this reason.
    Wrong(String),
}

/// What the thread that sends tells the one that reads, in the order of the lines; `number` counts them from 1.
enum Sent {
    Line { number: u64, line: Vec<u8> },
    Wrong { number: u64, why: String },
    Unread(io::Error),
}

/// What came of a line.
pub enum Became {
    Heard(Heard),
    Wrong(String),
}

/// Sends what each line means, and hands each reply to `take` with the line's number. It stops where `take` fails.
///
/// # Errors
/// Stdin cannot be read, the server ends the connection, or `take` fails.
pub fn pipe(
    chosen: Chosen,
    meaning: impl FnMut(&[u8]) -> Meant + std::marker::Send + 'static,
    mut take: impl FnMut(u64, Became, bool) -> Result<(), Failed>,
) -> Result<(), Failed> {
    let Chosen { name, mut lines, sayer } = chosen;
    // When it is full, the sender waits for replies.
    let (sender, sent) = bounded(SEND_AHEAD_MAX);
    // It may wait for stdin when all is over, and ends with the process.
    let started = thread::spawn("sender", move || send(sayer, &sender, meaning));
    started.map_err(|why| Failed::Status(exit::OS, why.to_string()))?;
    let mut replies = 0_u64;
    for event in &sent {
        match event {
            Sent::Line { number, line } => match hear(&mut lines, &line) {
                Ok(Some(heard)) => {
                    replies += 1;
                    take(number, Became::Heard(heard), lines.has_more())?;
                }
                Ok(None) => {
                    let why = format!(
                        "it closed the connection after {replies} replies; what follows has to be sent again. A herd of \
                         connections = \"one-shot\" takes one line a connection"
                    );
                    return Err(lost(&name, &lines, &io::Error::other(why)));
                }
                Err(why) => return Err(lost(&name, &lines, &why)),
            },
            Sent::Wrong { number, why } => take(number, Became::Wrong(why), lines.has_more())?,
            Sent::Unread(why) => return Err(Failed::Status(exit::OS, format!("cannot read stdin: {why}"))),
        }
    }
    Ok(())
}

/// Reads stdin to its end.
fn send(mut sayer: Sayer, sender: &Sender<Sent>, mut meaning: impl FnMut(&[u8]) -> Meant) {
    let mut stdin = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(stdin) => BufReader::new(File::from(stdin)),
        // The reader takes what comes.
        Err(why) => return drop(sender.send(Sent::Unread(why))),
    };
    let (mut line, mut unsaid) = (Vec::new(), Vec::new());
    for number in 1.. {
        let is_much = unsaid.len() as u64 > SEND_LINE_MAX;
        // Reading on may wait, and somebody waits for the reply already.
        let may_wait = memchr(b'\n', stdin.buffer()).is_none();
        if (is_much || may_wait) && !say(&mut sayer, &mut unsaid) {
            return;
        }
        let meant = match next(&mut stdin, &mut line) {
            Ok(Next::Line) => meaning(line.strip_suffix(b"\n").unwrap_or(&line)),
            Ok(Next::TooLong) => {
                Meant::Wrong(format!("it has more than {SEND_LINE_MAX} bytes, which no server takes"))
            }
            Ok(Next::End) => break,
            Err(why) => {
                // What was said is answered first.
                let _ = sayer.end();
                return drop(sender.send(Sent::Unread(why)));
            }
        };
        let event = match meant {
            Meant::Nothing => continue,
            Meant::Wrong(why) => Sent::Wrong { number, why },
            Meant::Said(line) => {
                unsaid.extend_from_slice(&line);
                unsaid.push(b'\n');
                Sent::Line { number, line }
            }
        };
        let is_told = match sender.try_send(event) {
            Ok(()) => true,
            // Nobody answers what was not said.
            Err(TrySendError::Full(event)) => {
                let is_said = say(&mut sayer, &mut unsaid);
                sender.send(event).is_ok() && is_said
            }
            Err(TrySendError::Disconnected(_)) => false,
        };
        if !is_told {
            return;
        }
    }
    if say(&mut sayer, &mut unsaid) {
        // A server that has gone shows at the other end.
        let _ = sayer.end();
    }
}

/// What comes next on stdin.
enum Next {
    /// A line, with its newline unless it is the last.
    Line,
    /// One that is longer than any may be. It is passed over.
    TooLong,
    End,
}

fn next(stdin: &mut BufReader<File>, line: &mut Vec<u8>) -> io::Result<Next> {
    line.clear();
    let length = stdin.take(SEND_LINE_MAX + 1).read_until(b'\n', line)?;
    if length == 0 {
        return Ok(Next::End);
    }
    if length as u64 <= SEND_LINE_MAX {
        return Ok(Next::Line);
    }
    if line.last() != Some(&b'\n') {
        stdin.skip_until(b'\n')?;
    }
    Ok(Next::TooLong)
}

/// Says all that was not said, and whether somebody took it; who does not shows where the reply is waited for.
fn say(sayer: &mut Sayer, unsaid: &mut Vec<u8>) -> bool {
    let is_taken = sayer.say(unsaid).is_ok();
    unsaid.clear();
    is_taken
}
