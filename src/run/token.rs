//! `herd --new-token WHOSE SCOPES`: makes a token for the door for HTTP. `main` calls it. The token is printed once; the
//! file that herd.conf names gets its digest alone.

use std::fmt::Display;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use serde_json::json;

use super::exit;
use super::say::{fail, print, remark, unsaid};
use crate::config::Config;
use crate::door::http::{Token, Tokens};
use crate::files;
use crate::files::who::{self, ROOT};
use crate::limits::{SECRET_MODE, TOKEN_BYTES, TOKENS_FILE_MAX};
use crate::link::keys;

/// Makes one for whoever this is, and says it, or prints it as an object of JSON.
pub fn run(config: &Config, whose: &str, scopes: &str, client: Option<&str>, is_json: bool) -> ExitCode {
    let made = file_of(config)
        .map_err(|why| Failed(exit::CONFIG, why))
        .and_then(|path| make(&path, whose, scopes, client));
    match made {
        Ok(made) => {
            // So that `herd --new-token ... > FILE` has the token alone.
            let done = if is_json {
                let (token, file) = (&made.secret, &made.file);
                made.print(json!({ "name": whose, "scopes": scopes, "client": client, "token": token, "file": file }))
            } else {
                made.print(&made.secret)
            };
            remark(&made.added);
            if let Some(warning) = file_of(config).ok().and_then(|file| shut_out(config, &file)) {
                remark(warning);
            }
            if client.is_none() {
                remark(format!("it is for all clients; --client {whose} would limit it to one"));
            }
            done
        }
        Err(failed) => failed.fail(),
    }
}

/// A token that is in the file by its digest.
pub struct Made {
    pub secret: String,
    pub file: PathBuf,
    /// A sentence of where it is, and what to do for it to count.
    pub added: String,
    /// What to do with that where the token got lost.
    pub undone: String,
}

impl Made {
    /// Prints a text that has the token, which stands nowhere else.
    pub fn print(&self, text: impl Display) -> ExitCode {
        match print(text) {
            Ok(()) => ExitCode::from(exit::OK),
            Err(why) => {
                let status = unsaid(&why);
                remark(&self.undone);
                status
            }
        }
    }
}

/// Why there is none: the exit status, and a sentence.
pub struct Failed(u8, String);

impl Failed {
    pub fn fail(self) -> ExitCode {
        fail(self.0, self.1)
    }
}

/// Makes one and adds it to a file.
///
/// # Errors
/// What is wanted is no token, or it cannot be written.
pub fn make(path: &Path, whose: &str, scopes: &str, client: Option<&str>) -> Result<Made, Failed> {
    let secret = keys::random::<TOKEN_BYTES>().map_err(|why| Failed(exit::OS, why.to_string()))?;
    let secret = text_of(&secret);
    let is_word = |text: &str| !text.is_empty() && !text.contains(char::is_whitespace);
    if !is_word(whose) || whose.starts_with('#') || client.is_some_and(|client| !is_word(client)) {
        let why = "whose token it is, and for which client, stand in a word each of the file: they have no white space";
        return Err(Failed(exit::USAGE, why.to_owned()));
    }
    let line = Token::line(whose, scopes, &secret, client);
    add(path, &line).map_err(|refused| match refused {
        Refused::Wrong(why) => {
            Failed(exit::USAGE, format!("{}, with the new line at its end: {why}", path.display()))
        }
        Refused::Failed(why) => {
            let path = path.display();
            let how = "where only root may make that file: sudo install -o USER -g USER -m 0600 /dev/null";
            let how =
                if why.contains("ermission denied") { format!("; {how} {path}") } else { String::new() };
            Failed(exit::OS, format!("{path}: {why}{how}"))
        }
    })?;
    let added = format!(
        "added to {}; herdctl reload, or SIGHUP, has running servers read it (one that runs in a terminal ends at that \
         signal)",
        path.display()
    );
    let undone = format!(
        "the token is lost: take the line of {whose} out of {} again, and make another one",
        path.display()
    );
    Ok(Made { secret, file: path.to_owned(), added, undone })
}

enum Refused {
    /// What was asked for is no token.
    Wrong(String),
    Failed(String),
}

impl From<io::Error> for Refused {
    fn from(why: io::Error) -> Refused {
        Refused::Failed(why.to_string())
    }
}

/// The one file of tokens that herd.conf names.
fn file_of(config: &Config) -> Result<PathBuf, String> {
    let files = config.servers.iter().filter_map(|server| server.http.as_ref()?.tokens_file.as_ref());
    let mut paths: Vec<_> = files.map(|file| file.path.clone()).collect();
    paths.sort();
    paths.dedup();
    match &paths[..] {
        [path] => Ok(path.clone()),
        [] => Err(no_file(config)),
        several => {
            let names: Vec<_> = several.iter().map(|path| path.display().to_string()).collect();
            Err(format!(
                "herd.conf names several files of tokens ({}): herd --phone NAME SERVER makes one in the file of that \
                 server; or write the line into one by hand",
                names.join(", ")
            ))
        }
    }
}

/// What to say where root adds to a file that the servers cannot read, which run as the user whose journals are there.
pub fn shut_out(config: &Config, file: &Path) -> Option<String> {
    let found = file.metadata().ok().filter(|found| found.uid() == ROOT && found.mode() & 0o040 == 0)?;
    let journals = config.data_dir.as_ref()?.metadata().ok().filter(|folder| folder.uid() != ROOT)?;
    let (path, user) = (file.display(), who::user(journals.uid()));
    Some(format!(
        "warning: {path} is root's (mode {:04o}), and servers of {user}, whose data_dir is, cannot read it: chown {} {path}",
        found.mode() & 0o7777,
        journals.uid()
    ))
}

/// What to say where herd.conf names no file of tokens.
pub fn no_file(config: &Config) -> String {
    let path = config.path.display();
    format!("{path}: no http.tokens_file: add tokens_file = \"herd.tokens\" to [http]")
}

/// Adds a line to a file, which is made where it is not there, for its owner alone.
fn add(path: &Path, line: &str) -> Result<(), Refused> {
    let mut file = OpenOptions::new().read(true).append(true).create(true).mode(SECRET_MODE).open(path)?;
    let mut text = String::new();
    (&file).take(TOKENS_FILE_MAX).read_to_string(&mut text)?;
    // Also one that others can read is told now, and not at the next start.
    files::read_secret(path, TOKENS_FILE_MAX)?;
    let begin = if text.is_empty() || text.ends_with('\n') { "" } else { "\n" };
    let whole = format!("{text}{begin}{line}\n");
    Tokens::parse(&whole).map_err(|why| Refused::Wrong(why.to_string()))?;
    file.write_all(format!("{begin}{line}\n").as_bytes())?;
    file.sync_all()?;
    Ok(())
}

/// In letters, digits, `-` and `_`, so that it can stand in a header and in a URL.
fn text_of(bytes: &[u8]) -> String {
    use base64::Engine;
    base64::prelude::BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
