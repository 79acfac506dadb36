//! What an engine is asked and what it says, in values. Lanes and tails speak with one; `dialler` has the real one, and
//! the tests one that goes wrong on purpose.

use std::fmt;
use std::time::Duration;

use crate::link::Ended;

/// A connection to an engine. After a fault it is worth nothing any more.
pub trait Engine {
    /// Which engine it is. It is another one once it was started anew, and once another node has taken its place.
    ///
    /// # Errors
    /// As of all of these: it cannot be had, or does not do what it is asked.
    fn identity(&mut self) -> Result<String, Fault>;

    /// Has it merge records into a part. What became of them is taken later, in the same order.
    fn send(&mut self, part: u16, records: &[Offer<'_>]) -> Result<(), Fault>;

    /// What became of the records that were sent first.
    fn receive(&mut self) -> Result<Merged, Fault>;

    /// Has a line take the place of one of the same client, if that is still there, though it is newer.
    fn replace(&mut self, part: u16, held: &Offer<'_>, instead: &[u8]) -> Result<(), Fault>;

    /// How high all parts are; None for one of which there is nothing.
    fn heights(&mut self) -> Result<Vec<Option<Height>>, Fault>;

    /// The last entry in the log of a part.
    fn last(&mut self, part: u16) -> Result<Option<Entry>, Fault>;

    /// Some lines of a part, and where to go on, which is 0 at the end. What is there all the time is among them.
    fn scan(&mut self, part: u16, cursor: u64) -> Result<(u64, Vec<Vec<u8>>), Fault>;

    /// Entries of parts that came behind these; waits for some until so much time has passed.
    fn read(&mut self, after: &[(u16, EntryId)], wait: Duration) -> Result<Vec<(u16, Entry)>, Fault>;

    /// Notes that a server of this name is a member.
    fn join(&mut self, name: &str, life: u64) -> Result<Members, Fault>;
}

/// Who uses an engine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Members {
    /// Those that were there lately.
    pub names: Vec<Vec<u8>>,
    /// What the engine's clock reads, in s since 1970.
    pub clock_s: u64,
}

/// A record for a part.
#[derive(Clone, Copy, Debug)]
pub struct Offer<'a> {
    pub client: &'a [u8],
    /// A note stands beside the record of its client.
    pub is_note: bool,
    /// Without its newline.
    pub line: &'a [u8],
}

/// What became of records that were merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// None where nothing was ever news.
    pub height: Option<Height>,
    /// Lines that are newer than those that were sent.
    pub newer: Vec<Vec<u8>>,
}

/// How high a part is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Height {
    /// Which life of the part: another one whenever all of it was lost.
    pub life: u64,
    /// How many entries its log has had in this life.
    pub entries: u64,
}

impl Height {
    /// Reads `LIFE ENTRIES`; None for anything else, and for no life.
    pub fn parse(text: &str) -> Option<Height> {
        let (life, entries) = text.split_once(' ')?;
        Some(Height { life: life.parse().ok()?, entries: entries.parse().ok()? }).filter(|it| it.life > 0)
    }

    /// That of the next entry.
    pub fn next(self) -> Height {
        Height { entries: self.entries.saturating_add(1), ..self }
    }
}

/// Where an entry is in its log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryId(pub String);

impl EntryId {
    /// Before all.
    pub fn first() -> EntryId {
        EntryId("0-0".into())
    }
}

/// What was news at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub id: EntryId,
    /// With it; None where the log has something else in its place.
    pub height: Option<Height>,
    /// AT lines, each but the last with its newline.
    pub lines: Vec<u8>,
}

/// Why an engine cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is not there, or did not answer in time, or the connection broke.
    Gone(String),
    /// It says that it will not do what it was asked, or is not what it should be.
    Refused(String),
    /// It does not have what it had.
    Lost,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Gone(why) | Fault::Refused(why) => f.write_str(why),
            Fault::Lost => f.write_str("it has lost what it had, and is told again"),
        }
    }
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Ended {
        match fault {
            Fault::Gone(why) => Ended::Failed(why),
            Fault::Refused(_) | Fault::Lost => Ended::Refused(fault.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_height_is_a_life_and_a_number() {
        let height = Height { life: 1_790_000_000_000_000, entries: 7 };
        assert_eq!(Height::parse("1790000000000000 7"), Some(height));
        assert_eq!(height.next().entries, 8);
        for text in ["", "7", "a 7", "7 a", "0 0", "-1 7", "7 7 7", " 7"] {
            assert_eq!(Height::parse(text), None, "{text}");
        }
    }
}
