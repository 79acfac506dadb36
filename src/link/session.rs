//! An open link as its dialler sees it between sending: whether the neighbour lives, and when the
//! two compare what they know. Times are since any fixed moment.

use std::time::Duration;

use crate::limits::Timing;
use crate::protocol::neighbour::{ClockReading, Word};
use crate::store::digest::{Digest, Parts};

pub struct Session {
    timing: Timing,
    /// When the neighbour last said or took something.
    heard: Duration,
    /// When a digest was asked for that has not come.
    asked: Option<Duration>,
    /// The news there was, and since when there has been no more.
    quiet: (u64, Duration),
    /// What the store was when the digest was asked for.
    asked_of: Progress,
    /// What the store was when it was last compared, and when that was asked for.
    compared: Option<(Progress, Duration)>,
    /// How often in a row a comparison has found a difference, and since when.
    differences: (u32, Duration),
    /// It was reported that they differ for long.
    differs_for_long: bool,
    /// Its refusals have been reported.
    refused: bool,
}

/// How often the rest between comparisons that find a difference doubles.
const DOUBLINGS_MAX: u32 = 4;

/// How much has happened to a store: as long as it stands still, so does what the store knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records that were news.
    pub news: u64,
    /// Records that were forgotten.
    pub forgotten: u64,
}

/// What a line of the neighbour comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    /// It has all up to this epoch.
    Seen(u32),
    /// What it knows.
    Digest(Digest),
    /// What its clock says.
    Time(ClockReading),
    /// Another server of our name has a link to it from this address, as it says.
    Twin(Vec<u8>),
    /// It refuses us for this reason, in the word of the exchange.
    Denied(Vec<u8>),
    /// The first of its refusals.
    Refusal,
}

impl Session {
    pub fn new(timing: Timing, now: Duration) -> Session {
        let (quiet, asked_of) = ((0, now), Progress::default());
        Session {
            timing,
            heard: now,
            asked: None,
            quiet,
            asked_of,
            compared: None,
            differences: (0, now),
            differs_for_long: false,
            refused: false,
        }
    }

    /// It took what it was sent, or said something.
    pub fn alive(&mut self, now: Duration) {
        self.heard = now;
    }

    /// Whether it has been silent for so long that the link is dead.
    pub fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) > self.timing.silence()
    }

    /// How long it may still be silent.
    pub fn patience(&self, now: Duration) -> Duration {
        self.timing.silence().saturating_sub(now.saturating_sub(self.heard))
    }

    /// Takes a line, without its newline.
    pub fn hear(&mut self, line: &[u8], now: Duration) -> Heard {
        self.heard = now;
        match Word::parse(line) {
            Some(Word::Seen(epoch)) => Heard::Seen(epoch),
            Some(Word::Digest { count, sums }) => {
                self.asked = None;
                Digest::from_hex(count, sums).map_or(Heard::Nothing, Heard::Digest)
            }
            Some(Word::Time(reading)) => Heard::Time(reading),
            Some(Word::Twin(address)) => Heard::Twin(address.to_vec()),
            Some(Word::Denied(why)) => Heard::Denied(why.to_vec()),
            // The word that follows tells why.
            None if line.starts_with(b"? PROOF ") => Heard::Nothing,
            _ if std::mem::replace(&mut self.refused, true) => Heard::Nothing,
            _ => Heard::Refusal,
        }
    }

    /// Whether it is time to ask for a digest: once there has been no news for a while, and not again
    /// before something has changed, or while they differ. What one server has forgotten another may
    /// have held against news.
    pub fn asks(&mut self, state: Progress, now: Duration) -> bool {
        let Timing { compare, digest_wait, .. } = self.timing;
        let past = |since: Duration, wait| now.saturating_sub(since) > wait;
        if state.news != self.quiet.0 {
            self.quiet = (state.news, now);
            return false;
        }
        let (differences, _) = self.differences;
        // A difference that stays is looked at again, and less and less often.
        let rest = compare * 2u32.pow(differences.saturating_sub(1).min(DOUBLINGS_MAX));
        let asks =
            self.compared.is_none_or(|(then, at)| (then != state || differences > 0) && past(at, rest))
                && self.asked.is_none_or(|asked| past(asked, digest_wait))
                && past(self.quiet.1, compare);
        if asks {
            (self.asked, self.asked_of) = (Some(now), state);
        }
        asks
    }

    /// The parts to send, now that both digests are known. None where they are the same, and where news came
    /// since the question, which may explain the difference: then the two are compared another time.
    pub fn compare(&mut self, own: &Digest, theirs: &Digest, news: u64, now: Duration) -> Option<Parts> {
        if news != self.quiet.0 {
            return None;
        }
        self.compared = Some((self.asked_of, now));
        let parts = own.differing(theirs);
        if parts.is_empty() {
            (self.differences, self.differs_for_long) = ((0, now), false);
            return None;
        }
        let (count, since) = self.differences;
        self.differences = (count.saturating_add(1), if count == 0 { now } else { since });
        Some(parts)
    }

    /// Whether they have differed for so long that somebody should look; true once.
    pub fn takes_note_of_difference(&mut self, now: Duration) -> bool {
        let (count, since) = self.differences;
        let is_long = count > 1 && now.saturating_sub(since) >= self.timing.differ;
        is_long && !std::mem::replace(&mut self.differs_for_long, true)
    }

    /// Whether they have differed for long, and still did at the last comparison.
    pub fn differs_for_long(&self) -> bool {
        self.differs_for_long
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn digest(lines: &[&str]) -> Digest {
        let mut digest = Digest::default();
        lines.iter().for_each(|line| digest.add(line.as_bytes(), line.as_bytes()));
        digest
    }

    #[test]
    fn a_link_is_dead_after_fifteen_silent_seconds() {
        let mut session = Session::new(Timing::default(), at(0));
        assert!(!session.is_silent(at(15)) && session.is_silent(at(16)));
        assert_eq!([0, 14, 99].map(|now| session.patience(at(now)).as_secs()), [15, 1, 0]);
        assert_eq!(session.hear(b"SEEN 7", at(10)), Heard::Seen(7));
        assert!(!session.is_silent(at(25)) && session.is_silent(at(26)));
        session.alive(at(26));
        assert!(!session.is_silent(at(41)));
    }

    #[test]
    fn stores_are_compared_once_when_all_is_quiet() {
        let mut session = Session::new(Timing::default(), at(0));
        let of = |news| Progress { news, forgotten: 0 };
        assert!(!session.asks(of(5), at(1)) && !session.asks(of(5), at(11)));
        assert!(!session.asks(of(6), at(12)), "there was news");
        assert!(session.asks(of(6), at(23)) && !session.asks(of(6), at(24)), "it is on its way");
        assert!(session.asks(of(6), at(34)), "no answer came");
        let (own, theirs) = (digest(&["a", "b"]), digest(&["a"]));
        let mut line = Vec::new();
        Word::Digest { count: 1, sums: theirs.to_hex().as_bytes() }.write(&mut line);
        assert_eq!(session.hear(line.trim_ascii_end(), at(35)), Heard::Digest(theirs.clone()));
        assert_eq!(session.compare(&own, &theirs, 7, at(35)), None, "there was news meanwhile");
        assert!(session.asks(of(6), at(36)));
        let parts = session.compare(&own, &theirs, 6, at(37)).expect("they differ");
        assert!(parts.has(b"b") && !parts.has(b"a"));
        assert!(!session.asks(of(6), at(46)) && session.asks(of(6), at(48)), "is it mended?");
        session.hear(line.trim_ascii_end(), at(48));
        assert_eq!(session.compare(&own, &own, 6, at(48)), None);
        assert!(!session.asks(of(6), at(99)), "they are the same");
    }

    #[test]
    fn a_difference_that_stays_is_noted_once_and_looked_at_less_and_less_often() {
        let mut session = Session::new(Timing::default(), at(0));
        let state = Progress { news: 5, forgotten: 0 };
        let (own, theirs) = (digest(&["a", "b"]), digest(&["a"]));
        let mut line = Vec::new();
        Word::Digest { count: 1, sums: theirs.to_hex().as_bytes() }.write(&mut line);
        let mut compared = Vec::new();
        let mut noted = Vec::new();
        for now in 0..2_000 {
            if session.asks(state, at(now)) {
                session.hear(line.trim_ascii_end(), at(now));
                assert!(session.compare(&own, &theirs, 5, at(now)).is_some());
                compared.push(now);
            }
            if session.takes_note_of_difference(at(now)) {
                noted.push(now);
            }
        }
        assert!(compared.len() > 10 && compared.len() < 20, "{compared:?}");
        assert_eq!(noted, [compared[0] + 60]);
        assert!(session.differs_for_long());
        assert_eq!(session.compare(&own, &own, 5, at(2_000)), None);
        assert!(!session.differs_for_long());
    }

    #[test]
    fn what_was_forgotten_since_is_a_reason_to_compare_again_but_not_all_the_time() {
        let mut session = Session::new(Timing::default(), at(0));
        let mut of = |forgotten, now| session.asks(Progress { news: 0, forgotten }, at(now));
        assert!(of(0, 11));
        let same = digest(&["a"]);
        let mut line = Vec::new();
        Word::Digest { count: 1, sums: same.to_hex().as_bytes() }.write(&mut line);
        session.hear(line.trim_ascii_end(), at(12));
        assert_eq!(session.compare(&same, &same, 0, at(12)), None);
        let mut of = |forgotten, now| session.asks(Progress { news: 0, forgotten }, at(now));
        assert!(!of(0, 23) && !of(1, 13) && !of(2, 22) && of(3, 23), "at most every ten seconds");
    }

    #[test]
    fn refusals_are_reported_once() {
        let mut session = Session::new(Timing::default(), at(0));
        assert_eq!(session.hear(b"? PROOF -", at(1)), Heard::Nothing, "DENIED says more");
        let said = ["? AT x", "? AT y", "DIGEST 1 zz"].map(|line| session.hear(line.as_bytes(), at(1)));
        assert_eq!(said, [Heard::Refusal, Heard::Nothing, Heard::Nothing]);
    }
}
