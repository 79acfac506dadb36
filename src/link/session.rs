//! An open link as its dialer sees it between sending: whether the neighbour lives, and when the
//! two compare what they know. Times are since any fixed moment.

use std::time::Duration;

use crate::digest::{Digest, Parts};
use crate::limits::{COMPARE_S, DIGEST_WAIT_S, LINK_SILENCE_S};
use crate::protocol::link::Verb;

pub struct Session {
    /// When the neighbour last said or took something.
    heard: Duration,
    /// When a digest was asked for that has not come.
    asked: Option<Duration>,
    /// The news there was, and since when there has been no more.
    quiet: (u64, Duration),
    /// The news there was when the stores were last compared.
    compared: Option<u64>,
    /// Its refusals have been reported.
    refused: bool,
}

/// What a line of the neighbour comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    /// It has all up to this epoch.
    Seen(u32),
    /// What it knows.
    Digest(Digest),
    /// The first of its refusals.
    Refusal,
}

impl Session {
    pub fn new(now: Duration) -> Session {
        Session { heard: now, asked: None, quiet: (0, now), compared: None, refused: false }
    }

    /// It took what it was sent, or said something.
    pub fn alive(&mut self, now: Duration) {
        self.heard = now;
    }

    /// Whether it has been silent for so long that the link is dead.
    pub fn is_silent(&self, now: Duration) -> bool {
        now.saturating_sub(self.heard) > Duration::from_secs(LINK_SILENCE_S)
    }

    /// How long it may still be silent.
    pub fn patience(&self, now: Duration) -> Duration {
        Duration::from_secs(LINK_SILENCE_S).saturating_sub(now.saturating_sub(self.heard))
    }

    /// Takes a line, without its newline.
    pub fn hear(&mut self, line: &[u8], now: Duration) -> Heard {
        self.heard = now;
        match Verb::parse(line) {
            Some(Verb::Seen(epoch)) => Heard::Seen(epoch),
            Some(Verb::Digest { count, sums }) => {
                self.asked = None;
                Digest::from_hex(count, sums).map_or(Heard::Nothing, Heard::Digest)
            }
            _ if std::mem::replace(&mut self.refused, true) => Heard::Nothing,
            _ => Heard::Refusal,
        }
    }

    /// Whether it is time to ask for a digest: once all has been quiet for a while, and not again
    /// before there is news. `news` is the store's count of it.
    pub fn asks(&mut self, news: u64, now: Duration) -> bool {
        let past = |since: Duration, seconds| now.saturating_sub(since) > Duration::from_secs(seconds);
        if news != self.quiet.0 {
            self.quiet = (news, now);
            return false;
        }
        let asks = self.compared != Some(news)
            && self.asked.is_none_or(|asked| past(asked, DIGEST_WAIT_S))
            && past(self.quiet.1, COMPARE_S);
        if asks {
            self.asked = Some(now);
        }
        asks
    }

    /// The parts to send, now that both digests are known. What was learned meanwhile may explain
    /// the difference: then they compare another time.
    pub fn compare(&mut self, own: &Digest, theirs: &Digest, news: u64) -> Option<Parts> {
        if news != self.quiet.0 {
            return None;
        }
        self.compared = Some(news);
        Some(own.differing(theirs)).filter(|parts| !parts.is_empty())
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
        let mut session = Session::new(at(0));
        assert!(!session.is_silent(at(15)) && session.is_silent(at(16)));
        assert_eq!([0, 14, 99].map(|now| session.patience(at(now)).as_secs()), [15, 1, 0]);
        assert_eq!(session.hear(b"SEEN 7", at(10)), Heard::Seen(7));
        assert!(!session.is_silent(at(25)) && session.is_silent(at(26)));
        session.alive(at(26));
        assert!(!session.is_silent(at(41)));
    }

    #[test]
    fn stores_are_compared_once_when_all_is_quiet() {
        let mut session = Session::new(at(0));
        assert!(!session.asks(5, at(1)) && !session.asks(5, at(11)));
        assert!(!session.asks(6, at(12)), "there was news");
        assert!(session.asks(6, at(23)) && !session.asks(6, at(24)), "it is on its way");
        assert!(session.asks(6, at(34)), "no answer came");
        let (own, theirs) = (digest(&["a", "b"]), digest(&["a"]));
        let mut line = Vec::new();
        Verb::Digest { count: 1, sums: theirs.to_hex().as_bytes() }.write(&mut line);
        assert_eq!(session.hear(line.trim_ascii_end(), at(35)), Heard::Digest(theirs.clone()));
        assert_eq!(session.compare(&own, &theirs, 7), None, "there was news meanwhile");
        assert!(session.asks(6, at(36)));
        let parts = session.compare(&own, &theirs, 6).expect("they differ");
        assert!(parts.has(b"b") && !parts.has(b"a"));
        assert!(!session.asks(6, at(99)), "they were compared");
        assert_eq!(session.compare(&own, &own, 6), None);
    }

    #[test]
    fn refusals_are_reported_once() {
        let mut session = Session::new(at(0));
        let said = ["? AT x", "? AT y", "DIGEST 1 zz"].map(|line| session.hear(line.as_bytes(), at(1)));
        assert_eq!(said, [Heard::Refusal, Heard::Nothing, Heard::Nothing]);
    }
}
