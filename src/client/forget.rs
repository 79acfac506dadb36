//! `herd --forget CLIENT`: has one server forget a client, which tells the others.

use std::io;
use std::time::Duration;

use super::greeted::Greeted;
use crate::config::Server;
use crate::limits::NOTE_MAX;
use crate::link::Keys;
use crate::logging::Escaped;
use crate::protocol::neighbour::Word;

/// Has a server of the herd forget a client, and returns when it has kept that.
///
/// # Errors
/// It cannot be reached, or says why it does not.
pub fn forget(server: &Server, keys: &Keys, conf: u64, patience: Duration, client: &[u8]) -> io::Result<()> {
    let greeted = Greeted { server, keys, conf, patience };
    greeted.converse(|conversation| {
        conversation.say(&Word::Forget(client))?;
        let answer = conversation.line()?;
        match Word::parse(&answer) {
            Some(Word::Gone(gone)) if gone == client => Ok(()),
            Some(Word::Note(why)) => {
                Err(io::Error::other(Escaped(&why[..why.len().min(NOTE_MAX)]).to_string()))
            }
            _ => Err(io::Error::other("it does not know how to forget a client; is it an older herd?")),
        }
    })
}
