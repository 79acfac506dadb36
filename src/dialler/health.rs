//! How a link behaves while it fails: how long it rests, and what it says of it. Down is logged
//! once, up is logged once, however many tries lie between.

use std::time::Duration;

use crate::limits::{
    LINK_PROOF_MS, LINK_REASONS_MAX, LINK_START_GRACE_S, RECONNECT_DOUBLINGS_MAX, RECONNECT_MAX_S,
    RECONNECT_MIN_S,
};
use crate::link::Ended;

/// A link that never was up is given this long before its failure is worth a warning: servers that
/// start together find each other a moment later. Not so a neighbour that is there and not known.
const START_GRACE: Duration = Duration::from_secs(LINK_START_GRACE_S);

/// How long a link holds before it is believed to be up again.
const PROOF: Duration = Duration::from_millis(LINK_PROOF_MS);

/// Pauses between tries: from `RECONNECT_MIN_S` to a longest that doubles up to `RECONNECT_MAX_S`,
/// with jitter, so that a herd does not dial a restarted server in step.
#[derive(Default)]
pub struct Backoff {
    failures: u32,
}

/// What was last said of the link.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    Up,
    Down,
}

/// What is known of a neighbour and what was said of it. Times are since the start of the process's clock.
pub struct Health {
    name: String,
    /// The reasons that were said since it is down, of which a neighbour may show one after another.
    reasons: Vec<String>,
    said: Said,
    began: Duration,
    connected_at: Option<Duration>,
    /// The last try failed, said or not: the neighbour misses what was due.
    failing: bool,
    /// How long the connection in hand must hold before it counts as up.
    proof: Duration,
    /// When the neighbour closed the link in good order. It may be back a moment later; if it is not, or closes the
    /// next too before that has held a while, it is down.
    closed_at: Option<Duration>,
}

impl Backoff {
    /// The pause before the next try, after a connection (or a try) that lasted `held`.
    pub fn next(&mut self, held: Duration) -> Duration {
        self.failures =
            if held.as_secs_f64() > RECONNECT_MAX_S { 0 } else { self.failures.saturating_add(1) };
        let longest = (RECONNECT_MIN_S * 2f64.powi(self.failures.clamp(1, RECONNECT_DOUBLINGS_MAX) as i32))
            .min(RECONNECT_MAX_S);
        let shortest = (longest / 2.0).max(RECONNECT_MIN_S);
        Duration::from_secs_f64(shortest + (longest - shortest) * fastrand::f64())
    }
}

impl Health {
    pub fn new(name: &str, now: Duration) -> Health {
        Health {
            name: name.to_owned(),
            reasons: Vec::new(),
            said: Said::Nothing,
            began: now,
            connected_at: None,
            failing: false,
            proof: Duration::ZERO,
            closed_at: None,
        }
    }

    pub fn is_failing(&self) -> bool {
        self.failing
    }

    /// A connection stands.
    pub fn connected(&mut self, now: Duration) {
        self.connected_at.get_or_insert(now);
    }

    /// All that was due has been sent: says that the link is up once it has held long enough.
    pub fn caught_up(&mut self, now: Duration) {
        let held = self.connected_at.map(|since| now.saturating_sub(since));
        if self.said != Said::Up && held.is_some_and(|held| held >= self.proof) {
            // The end of a warning is heard where the warning was.
            let level = if self.said == Said::Down { log::Level::Warn } else { log::Level::Info };
            log::log!(level, "link to {} is up", self.name);
            self.said = Said::Up;
            self.proof = PROOF;
        }
        self.closed_at = self.closed_at.filter(|_| held.is_none_or(|held| held < PROOF));
        self.failing = false;
    }

    /// When to look again whether the link has held long enough; None when it is no question.
    pub fn proven_in(&self, now: Duration) -> Option<Duration> {
        let since = self.connected_at.filter(|_| self.said != Said::Up)?;
        let held = now.saturating_sub(since);
        Some(self.proof.saturating_sub(held).max(Duration::from_millis(1)))
    }

    /// The connection failed, or there was none to be had. It stalls after `write_timeout`.
    pub fn failed(&mut self, why: &Ended, write_timeout: Duration, now: Duration) {
        self.connected_at = None;
        self.failing = true;
        let may_be_late = !matches!(why, Ended::Refused(_));
        let is_new = now.saturating_sub(self.began) < START_GRACE;
        let starting = self.said == Said::Nothing && may_be_late && is_new;
        let closes = self.closed_at.is_none() && self.said == Said::Up && matches!(why, Ended::Closed(_));
        if closes {
            // A restart, or the whole herd stops: what follows tells.
            log::info!("{} closed the link; dialling again", self.name);
            self.closed_at = Some(now);
        }
        // One that is about to end closes what is dialled meanwhile, and is gone then.
        let ending = self.closed_at.is_some_and(|at| now.saturating_sub(at) < PROOF);
        if !(starting || self.said == Said::Up && may_be_late && ending) {
            self.say_down(why);
        }
        self.proof = if matches!(why, Ended::Stalled(_)) { write_timeout + PROOF } else { PROOF };
    }
}

impl Health {
    /// Once a reason, as the first may not be the one that keeps it down.
    fn say_down(&mut self, why: &Ended) {
        if std::mem::replace(&mut self.said, Said::Down) != Said::Down {
            self.reasons.clear();
        }
        let reason = why.to_string();
        if self.reasons.len() < LINK_REASONS_MAX && !self.reasons.contains(&reason) {
            log::warn!("link to {} is down: {reason}; still trying", self.name);
            self.reasons.push(reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALL: Duration = Duration::from_secs(10);

    #[test]
    fn pauses_grow_to_the_longest_and_start_over_after_a_good_connection() {
        let mut backoff = Backoff::default();
        let mut longest = 2.0 * RECONNECT_MIN_S;
        for _ in 0..20 {
            let pause = backoff.next(Duration::ZERO).as_secs_f64();
            assert!(pause >= RECONNECT_MIN_S.max(longest / 2.0) && pause <= longest, "{pause} of {longest}");
            longest = (2.0 * longest).min(RECONNECT_MAX_S);
        }
        assert!(backoff.next(Duration::from_secs(60)).as_secs_f64() <= 2.0 * RECONNECT_MIN_S);
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn closed() -> Ended {
        Ended::Closed("it closed the link".into())
    }

    #[test]
    fn a_neighbour_that_closes_every_link_at_once_is_down() {
        let mut health = Health::new("Hands", at(0));
        for (ms, expected) in [
            (10, Said::Up),
            (20, Said::Up),
            (LINK_PROOF_MS, Said::Up),
            (LINK_PROOF_MS + 10, Said::Down),
            (LINK_PROOF_MS + 20, Said::Down),
        ] {
            health.connected(at(ms));
            health.caught_up(at(ms));
            health.failed(&closed(), STALL, at(ms + 1));
            assert!(health.said == expected, "{ms}");
        }
    }

    #[test]
    fn down_is_said_once_until_the_link_is_up_again() {
        let mut health = Health::new("Hands", at(0));
        let failed = Ended::Failed("connection refused".into());
        health.failed(&failed, STALL, at(1));
        assert!(health.said != Said::Down, "a herd that is starting");
        health.connected(at(2));
        health.caught_up(at(2 + LINK_PROOF_MS));
        assert!(health.said == Said::Up && health.proven_in(at(3_000)).is_none());
        health.failed(&closed(), STALL, at(3_000));
        assert!(health.said != Said::Down, "it may be back at once");
        health.failed(&failed, STALL, at(3_001));
        assert!(health.said != Said::Down, "the herd may be stopping, this server a moment later");
        health.failed(&failed, STALL, at(3_000 + LINK_PROOF_MS));
        assert!(health.said == Said::Down);
        health.connected(at(5_002));
        health.caught_up(at(5_002));
        assert!(health.said == Said::Down, "not believed before it held a while");
        assert!(health.proven_in(at(5_003)).is_some_and(|left| left <= PROOF));
    }

    #[test]
    fn each_reason_is_said_once_while_it_is_down_and_again_the_next_time() {
        let mut health = Health::new("Hands", at(0));
        let refused = Ended::Refused("its proof does not hold".into());
        let gone = Ended::Failed("connection refused".into());
        for (why, count) in [(&gone, 1), (&gone, 1), (&refused, 2), (&gone, 2), (&refused, 2)] {
            health.failed(why, STALL, at(10_000));
            assert_eq!(health.reasons.len(), count, "{why}");
        }
        health.connected(at(20_000));
        health.caught_up(at(20_000 + LINK_PROOF_MS));
        health.failed(&gone, STALL, at(30_000));
        assert_eq!(health.reasons, ["connection refused"]);
    }

    #[test]
    fn one_that_refuses_us_is_told_at_once() {
        let mut health = Health::new("Hands", at(0));
        health.failed(&Ended::Refused("another server listens there".into()), STALL, at(1));
        assert!(health.said == Said::Down);
    }
}
