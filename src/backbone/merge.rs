//! How records get into a part of the engine: by a script that runs there, so that of two servers that write at once the
//! newer record stays, and by the same order as in the store: `Record::cmp_age`.

/// The text of the script. `merge.lua` says what it is given and what it gives. It takes no more records in one call than
/// [`crate::limits::MERGED_AT_ONCE_MAX`].
pub const SCRIPT: &str = concat!(include_str!("append.lua"), include_str!("merge.lua"));

/// The text of the script by which a line takes the place of one that is newer and counts nowhere.
pub const REPLACING: &str = concat!(include_str!("append.lua"), include_str!("replace.lua"));

/// The keys of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    /// A hash from client to AT line.
    pub hash: String,
    /// A stream of what was news: each entry has the height in `n`, and AT lines in `at`.
    pub log: String,
    /// Which life of the part it is, and how many entries were ever in its log, those included for which there was no log.
    pub height: String,
}

impl Keys {
    /// Those of the part of a number, in a herd without braces in its name: the number in braces has a cluster keep all
    /// three on one node.
    pub fn new(herd: &str, part: u16) -> Keys {
        let key = |what: &str| format!("{herd}:{{{part}}}:{what}");
        Keys { hash: key("at"), log: key("log"), height: key("n") }
    }

    /// In the order in which the script takes them.
    pub fn all(&self) -> [&str; 3] {
        [&self.hash, &self.log, &self.height]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_part_have_its_number_in_braces() {
        assert_eq!(Keys::new("herd", 7).all(), ["herd:{7}:at", "herd:{7}:log", "herd:{7}:n"]);
    }
}
