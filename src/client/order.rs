//! What `herdctl` orders a server to do, and how a server is: words for those who have proven to be of the herd.

use std::io;
use std::time::Instant;

use serde_json::Value;

use super::greeted::Greeted;
use crate::limits::{COMES_BACK_LOOK, NOTE_MAX};
use crate::logging::Escaped;
use crate::protocol::neighbour::Word;

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ordered {
    /// What is new, in words.
    Done(String),
    /// Nothing was changed.
    Kept {
        /// The exit status for that.
        status: u8,
        why: String,
    },
}

/// Has a server read its herd.conf again.
///
/// # Errors
/// It cannot be reached, or does not know the order.
pub fn reload(whom: &Greeted<'_>) -> io::Result<Ordered> {
    whom.converse(|conversation| {
        conversation.say(&Word::Reload)?;
        ordered(&conversation.line()?)
    })
}

/// Has a server become the program that has taken the place of its own, and returns when that one answers.
///
/// # Errors
/// It cannot be reached, does not know the order, or does not come back in time.
pub fn upgrade(whom: &Greeted<'_>) -> io::Result<Ordered> {
    let until = Instant::now() + whom.patience;
    let (ordered, before) = whom.converse(|conversation| {
        conversation.say(&Word::Upgrade)?;
        Ok((ordered(&conversation.line()?)?, conversation.welcome.incarnation))
    })?;
    let Ordered::Done(_) = ordered else { return Ok(ordered) };
    loop {
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let why = "it was about to become the next program, and does not answer since; see its log";
            return Err(io::Error::new(io::ErrorKind::TimedOut, why));
        }
        let again = Greeted { patience: left, ..*whom };
        if again.converse(|conversation| Ok(conversation.welcome.incarnation)).is_ok_and(|now| now != before)
        {
            return Ok(ordered);
        }
        std::thread::sleep(COMES_BACK_LOOK.min(left));
    }
}

/// How a server is; None of one that does not know the question.
///
/// # Errors
/// It cannot be reached.
pub fn state(whom: &Greeted<'_>) -> io::Result<Option<Value>> {
    whom.converse(|conversation| {
        conversation.say(&Word::How)?;
        let line = conversation.line()?;
        Ok(match Word::parse(&line) {
            Some(Word::State(json)) => serde_json::from_slice(json).ok(),
            _ => None,
        })
    })
}

fn ordered(line: &[u8]) -> io::Result<Ordered> {
    let words = |text: &[u8]| Escaped(&text[..text.len().min(NOTE_MAX)]).to_string();
    match Word::parse(line) {
        Some(Word::Done(text)) => Ok(Ordered::Done(words(text))),
        Some(Word::Kept { status, why }) => Ok(Ordered::Kept { status, why: words(why) }),
        _ => Err(io::Error::other(
            "it does not take that order from here; is it an older herd, or, where there is no secret, on another machine?",
        )),
    }
}
