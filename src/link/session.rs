//! An open link as its dialler sees it between sending: whether the neighbour lives, and when the
//! two compare what they know. Times are since any fixed moment.

use std::time::Duration;

use crate::limits::{COMPARE_DOUBLINGS_MAX, COMPARE_PARTS_MAX, COMPARE_SAMPLE_MS, COMPARE_SAMPLES, Timing};
use crate::node::Scope;
use crate::protocol::Span;
use crate::protocol::neighbour::{ClockReading, Word};
use crate::protocol::reply::refused_line;
use crate::store::digest::{Digest, Parts};

pub struct Session {
    timing: Timing,
    /// When the neighbour last said or took something.
    heard: Duration,
    /// The digest that was asked for and has not come.
    asked: Option<Asked>,
    /// The news there was, and since when there has been no more.
    quiet: (u64, Duration),
    /// What the store was when it was last compared, and when; None before the first time.
    compared: Option<(Progress, Duration)>,
    /// That comparison was of a part of the time.
    is_part: bool,
    /// When it began.
    began: Duration,
    /// A comparison while there is news: how many digests have come, when the last one did, and in which parts
    /// all of them differed.
    samples: Option<(u32, Duration, Parts)>,
    /// The part of the store from which the next such comparison has its share sent.
    next_part: usize,
    /// How often in a row a comparison has found a difference, and since when.
    differences: (u32, Duration),
    /// It was reported that they differ for long.
    differs_for_long: bool,
    /// Its refusals have been reported.
    refused: bool,
}

/// How much has happened to a store: as long as it stands still, so does what the store knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Records that were news.
    pub news: u64,
    /// Records that were forgotten.
    pub forgotten: u64,
}

/// A question that is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Asked {
    scope: Scope,
    span: Span,
    /// What the store was then.
    of: Progress,
    at: Duration,
}

/// The answer to a question.
#[derive(Debug, PartialEq, Eq)]
pub struct Compared {
    /// Of no more records than was asked for.
    pub theirs: Digest,
    pub scope: Scope,
    /// What our store was when it was asked for.
    of: Progress,
    /// There are records of another time, which is compared when it is over.
    is_part: bool,
}

/// What a line of the neighbour comes to.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Nothing,
    /// It has all up to this epoch.
    Seen(u32),
    /// What it knows of what it was asked for.
    Digest(Compared),
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
        Session {
            timing,
            heard: now,
            asked: None,
            quiet: (0, now),
            compared: None,
            is_part: false,
            began: now,
            samples: None,
            next_part: 0,
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
            Some(Word::Digest { span, count, sums }) => self.answer(span, count, sums),
            Some(Word::Time(reading)) => Heard::Time(reading),
            Some(Word::Twin(address)) => Heard::Twin(address.to_vec()),
            Some(Word::Denied(why)) => Heard::Denied(why.to_vec()),
            // The word that follows tells why.
            None if refused_line(line).is_some_and(|refused| refused.starts_with(b"PROOF ")) => {
                Heard::Nothing
            }
            _ if std::mem::replace(&mut self.refused, true) => Heard::Nothing,
            _ => Heard::Refusal,
        }
    }

    /// A digest counts once, and only where it was asked for.
    fn answer(&mut self, span: Span, count: u64, sums: &[u8]) -> Heard {
        let Some(Asked { scope, of, span: asked, .. }) =
            self.asked.take_if(|asked| asked.span.within(span) == span && asked.span.to_s == span.to_s)
        else {
            return Heard::Nothing;
        };
        let compared = |theirs| Heard::Digest(Compared { theirs, scope, of, is_part: asked.to_s.is_some() });
        Digest::from_hex(span, count, sums).map_or(Heard::Nothing, compared)
    }

    /// Of which records it is time to ask for a digest, if it is. Of all once there has been no news for a while, and
    /// not again before something has changed, or while they differ: what one server has forgotten another may have
    /// held against news. While there is always news, now and then of those that are no news any more.
    pub fn scope_due(&mut self, state: Progress, now: Duration) -> Option<Scope> {
        let Timing { compare, compare_busy, digest_wait, .. } = self.timing;
        let past = |since: Duration, wait| now.saturating_sub(since) > wait;
        if state.news != self.quiet.0 {
            self.quiet = (state.news, now);
        }
        if self.asked.is_some_and(|asked| !past(asked.at, digest_wait)) {
            return None;
        }
        if past(self.quiet.1, compare) {
            self.samples = None;
            return self.is_due(state, now).then_some(Scope::All);
        }
        let is_due = match &self.samples {
            Some((_, at, _)) => past(*at, Duration::from_millis(COMPARE_SAMPLE_MS)),
            None => past(self.compared.map_or(self.began, |(_, at)| at), compare_busy),
        };
        is_due.then_some(Scope::Settled)
    }

    /// The same without news.
    fn is_due(&self, state: Progress, now: Duration) -> bool {
        let Timing { compare, compare_busy, .. } = self.timing;
        let Some((then, at)) = self.compared else { return true };
        let (differences, _) = self.differences;
        // A difference that stays is looked at again, and less and less often.
        let rest = compare * 2u32.pow(differences.saturating_sub(1).min(COMPARE_DOUBLINGS_MAX));
        let passed = now.saturating_sub(at);
        let is_other = then.news != state.news || differences > 0;
        (is_other && passed > rest) || ((then != state || self.is_part) && passed > compare_busy.max(rest))
    }

    /// A digest of these records is asked for.
    pub fn asks(&mut self, scope: Scope, span: Span, of: Progress, now: Duration) {
        self.asked = Some(Asked { scope, span, of, at: now });
    }

    /// The parts to send, now that our digest of the same records is known, too. None where they are the same, and
    /// where news came since the question, which may explain the difference: then the two are compared another time.
    pub fn compare(&mut self, own: &Digest, answer: &Compared, news: u64, now: Duration) -> Option<Parts> {
        let parts = own.differing(&answer.theirs);
        if answer.scope == Scope::Settled {
            return self.sample(parts, answer.of, now);
        }
        if news != self.quiet.0 {
            return None;
        }
        (self.compared, self.is_part) = (Some((answer.of, now)), answer.is_part);
        if parts.is_empty() {
            (self.differences, self.differs_for_long) = ((0, now), false);
            return None;
        }
        let (count, since) = self.differences;
        self.differences = (count.saturating_add(1), if count == 0 { now } else { since });
        Some(parts)
    }

    /// Takes one of several digests: what differs in all of them is more than what is on its way. A share of it is
    /// sent, the next share after the next comparison.
    fn sample(&mut self, parts: Parts, of: Progress, now: Duration) -> Option<Parts> {
        let (count, mut common) = match self.samples.take() {
            Some((count, _, common)) => (count + 1, common),
            None => (1, parts.clone()),
        };
        common.meet(&parts);
        if !common.is_empty() && count < COMPARE_SAMPLES {
            self.samples = Some((count, now, common));
            return None;
        }
        self.compared = Some((of, now));
        let (share, next) = common.some(COMPARE_PARTS_MAX, self.next_part);
        self.next_part = next;
        Some(share).filter(|share| !share.is_empty())
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
mod tests;
