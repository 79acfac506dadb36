//! Phones, as the apps that people have report: what each sends, in which ways it shows its token, and what it needs back.

mod answers;
mod corpus;
mod doors;

use crate::harness::write_secret;
use tempfile::TempDir;

/// The token of the corpus, and its name.
const TOKEN: &str = "the-token-of-phones";
const TOKEN_NAME: &str = "phones";

/// A file of tokens in a folder of its own, and the settings of a server that has it read.
fn tokens(lines: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("tokens");
    write_secret(&path, lines);
    let settings = format!("[http]\ntokens_file = {path:?}");
    (folder, settings)
}

/// An AT line without the difference, which the clock decides: `AT client location time`.
fn masked(line: &str) -> String {
    let fields: Vec<_> = line.split_whitespace().collect();
    let ["AT", _, _, client, location, time] = fields[..] else { panic!("no AT line: {line}") };
    format!("AT {client} {location} {time}")
}
