//! What `herdctl` prints, and how it ends: quietly where nobody reads on. Every subcommand calls it.

use std::io::{self, BufWriter, IsTerminal, Stdout, Write};
use std::process::ExitCode;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::{Value, json};

use crate::protocol::Command;
use crate::run::exit;
use crate::run::say::fail;

/// Why a subcommand ends before its time.
pub enum Failed {
    /// With this status, and a sentence.
    Status(u8, String),
    /// Nobody reads the output any more, as behind `| head`: that is no fault.
    Unread,
}

impl Failed {
    pub fn tell(self) -> ExitCode {
        match self {
            Failed::Status(status, why) => fail(status, why),
            Failed::Unread => ExitCode::from(exit::OK),
        }
    }
}

/// Stdout.
pub struct Out {
    stdout: BufWriter<Stdout>,
    /// An object of JSON a line is wanted.
    pub is_json: bool,
    /// A person reads it.
    pub is_terminal: bool,
}

impl Out {
    pub fn new(is_json: bool) -> Out {
        let stdout = io::stdout();
        Out { is_terminal: stdout.is_terminal(), is_json, stdout: BufWriter::new(stdout) }
    }

    /// Prints a line of a server's: as it came, or without what a terminal would obey.
    ///
    /// # Errors
    /// Stdout takes nothing more.
    pub fn line(&mut self, line: &[u8]) -> Result<(), Failed> {
        let printed = if self.is_terminal { harmless(line).into_bytes() } else { line.to_vec() };
        self.stdout.write_all(&printed).and_then(|()| self.stdout.write_all(b"\n")).map_err(unwritten)
    }

    /// # Errors
    /// The same.
    pub fn json(&mut self, object: &Value) -> Result<(), Failed> {
        writeln!(self.stdout, "{object}").map_err(unwritten)
    }

    /// Prints as it is.
    ///
    /// # Errors
    /// The same.
    pub fn text(&mut self, text: &str) -> Result<(), Failed> {
        self.stdout.write_all(text.as_bytes()).map_err(unwritten)
    }

    /// # Errors
    /// The same.
    pub fn flush(&mut self) -> Result<(), Failed> {
        self.stdout.flush().map_err(unwritten)
    }

    /// Whether nobody reads it any more, as far as that shows without writing.
    pub fn is_unread(&self) -> bool {
        let mut polled = [PollFd::new(self.stdout.get_ref(), PollFlags::empty())];
        poll(&mut polled, Some(&Timespec::default())).is_ok()
            && polled[0].revents().intersects(PollFlags::ERR | PollFlags::NVAL)
    }
}

fn unwritten(why: io::Error) -> Failed {
    match why.kind() {
        io::ErrorKind::BrokenPipe => Failed::Unread,
        _ => Failed::Status(exit::OS, format!("cannot write to stdout: {why}")),
    }
}

/// A text of a server's for a terminal: characters that would move its cursor or change its colours are escaped.
pub fn harmless(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for character in String::from_utf8_lossy(bytes).chars() {
        if character.is_control() { text.extend(character.escape_default()) } else { text.push(character) }
    }
    text
}

/// A client's ID or a name in JSON: bytes that are no text stand as `%FF`, as by HTTP.
pub fn text_of(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        text += chunk.valid();
        chunk.invalid().iter().for_each(|byte| text += &format!("%{byte:02X}"));
    }
    text
}

/// An AT line as an object; the time and the difference stay texts, as no number has all their digits. None of what is no
/// AT line.
pub fn record_of(line: &[u8], server: &str) -> Option<Value> {
    let Ok(Command::At(at)) = Command::parse(line) else { return None };
    let mut object = json!({
        "client": text_of(at.client),
        "latitude": at.location.latitude_deg(),
        "longitude": at.location.longitude_deg(),
        "time": text_of(at.time.text()),
        "origin": text_of(at.origin),
        "difference": text_of(at.difference),
        "server": server,
    });
    name_bytes(&mut object, at.client);
    Some(object)
}

/// A client that is known no more.
pub fn gone_of(client: &[u8], server: &str) -> Value {
    let mut object = json!({ "client": text_of(client), "gone": true, "server": server });
    name_bytes(&mut object, client);
    object
}

/// What `text_of` makes of an ID that is no text could be the ID of another client, so its bytes stand there, too.
fn name_bytes(object: &mut Value, client: &[u8]) {
    if str::from_utf8(client).is_err() {
        object["client_hex"] = client.iter().map(|byte| format!("{byte:02x}")).collect::<String>().into();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_does_nothing_to_a_terminal() {
        assert_eq!(harmless(b"Zo\xc3\xab \x1b[2J\x07"), "Zo\u{eb} \\u{1b}[2J\\u{7}");
        assert_eq!(text_of(b"a\xffb"), "a%FFb");
    }

    #[test]
    fn an_at_line_is_an_object() {
        let object =
            record_of(b"AT Goloman +0.5 kiwi -34.5+118 1520023934.918963997", "A").expect("a record");
        assert_eq!(object["latitude"], -34.5);
        assert_eq!((&object["time"], &object["server"]), (&"1520023934.918963997".into(), &"A".into()));
        assert!(object.get("client_hex").is_none());
        assert!(record_of(b"hello", "A").is_none());
        // Two clients whose IDs look the same.
        let (bytes, text) = (gone_of(b"\xff", "A"), gone_of(b"%FF", "A"));
        assert_eq!((&bytes["client"], &bytes["client_hex"]), (&text["client"], &"ff".into()));
        assert!(text.get("client_hex").is_none());
    }
}
