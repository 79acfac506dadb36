//! What a command says on stdout and stderr when no log is open. Every command here calls it, and `main`.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use super::exit;

/// Prints to stdout. That nobody reads it is no reason to fail; that it takes nothing is.
pub fn say(text: impl Display) -> ExitCode {
    match print(text) {
        Ok(()) => ExitCode::from(exit::OK),
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => ExitCode::from(exit::OK),
        Err(why) => unsaid(&why),
    }
}

/// Prints to stdout what is lost where nobody reads it.
///
/// # Errors
/// It is.
pub fn print(text: impl Display) -> io::Result<()> {
    let mut stdout = io::stdout();
    writeln!(stdout, "{text}").and_then(|()| stdout.flush())
}

/// Says on stderr that stdout takes nothing.
pub fn unsaid(why: &io::Error) -> ExitCode {
    fail(exit::OS, format!("cannot write to stdout: {why}"))
}

/// Says on stderr what is no part of the output of a command.
pub fn remark(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Says on stderr why a command ends with this status.
pub fn fail(status: u8, why: impl Display) -> ExitCode {
    let _ = writeln!(io::stderr(), "herd: {why}");
    ExitCode::from(status)
}
