//! What a command says on stdout and stderr when no log is open. Every command here calls it, and `main`.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

use super::exit;

/// Prints to stdout. That nobody reads it is no reason to fail.
pub fn say(text: impl Display) -> ExitCode {
    let mut stdout = io::stdout();
    let _ = writeln!(stdout, "{text}").and_then(|()| stdout.flush());
    ExitCode::from(exit::OK)
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
