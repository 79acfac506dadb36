//! Clocks of different machines: how far a neighbour's is from ours, which one of the herd is the
//! slowest, and whether our own has jumped. Links measure; `node` forgets nobody before the slowest
//! clock says that it is time.
//!
//! The life of a measurement: one end says what its clock reads (TIME). The other, when it speaks next,
//! says what its own reads, repeats that reading, and how long ago it heard it. So its clock read what it
//! says after the first reading was heard and before the answer came: two readings of our own clock
//! between which theirs is known. The difference lies in between, and half of what is in between is
//! the error. Each end tells the other, too, by how much the slowest clock it knows of is behind its
//! own, and how long ago somebody measured that; so all servers come to know the slowest, in any graph,
//! and what nobody measures any more is forgotten by its age.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::limits::{CLOCK_NARROW_S, CLOCK_STEP_MS, CLOCK_SUSPECT_NS, CLOCK_TOLD_S, CLOCKS_APART_MS};
use crate::node::NeighbourId;
use crate::protocol::neighbour::ClockReading;

/// How far a neighbour's clock is ahead of ours: something between the two, in ns; negative where it
/// is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offset {
    pub least_ns: i64,
    pub most_ns: i64,
}

/// One end of a link, as far as it measures the other's clock. Times are since any fixed moment.
#[derive(Clone, Copy, Debug, Default)]
pub struct Meter {
    /// The other end's last reading, and when it came.
    heard: Option<(u64, Duration)>,
}

/// What is known of the clocks of the herd, as seen from ours.
#[derive(Debug)]
pub struct Clocks {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// How long a clock that was behind is reckoned with after it was set right: what it stamped is
    /// forgotten after this.
    hold: Duration,
    /// By neighbour.
    others: Vec<Other>,
    /// By how many ms the slowest clock was behind ours at most, and when that was last so.
    peak: (u64, Duration),
}

#[derive(Clone, Copy, Debug, Default)]
struct Other {
    /// Measured, and when.
    offset: Option<(Offset, Duration)>,
    /// By how many ms the slowest clock it knows of is behind its own; when it said so, and how old that
    /// was then.
    told: Option<Told>,
    /// It was said that its clock is far from ours.
    is_apart: bool,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    behind_ms: u64,
    /// No clock is behind ours by more.
    most_ms: u64,
    age: Duration,
    at: Duration,
}

/// What a measurement changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The clocks are too far apart, and were not before.
    Apart(Offset),
    /// They are no more.
    Together,
}

/// Finds the jumps of our own clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct Steps {
    last: Option<(u64, Duration)>,
    /// How long a jump is talked about.
    settle: Duration,
    settled_at: Duration,
    has_jumped: bool,
}

impl Offset {
    /// From their reading, taken when ours was between `sent_ns` and `heard_ns`. None when that cannot
    /// be: our clock was set back meanwhile.
    pub fn between(theirs_ns: u64, sent_ns: u64, heard_ns: u64) -> Option<Offset> {
        let difference = |ours: u64| {
            let ns = i128::from(theirs_ns) - i128::from(ours);
            ns.clamp(i64::MIN.into(), i64::MAX.into()) as i64
        };
        let (least_ns, most_ns) = (difference(heard_ns), difference(sent_ns));
        (least_ns <= most_ns).then_some(Offset { least_ns, most_ns })
    }

    /// Whether the clocks are certainly further apart than they should be.
    pub fn is_apart(&self) -> bool {
        const APART_NS: i64 = CLOCKS_APART_MS as i64 * 1_000_000;
        self.least_ns > APART_NS || self.most_ns < -APART_NS
    }

    /// Whether another measurement only says less than this one: it is wider, and the two do not contradict each
    /// other.
    fn is_better(&self, other: &Offset) -> bool {
        let width = |it: &Offset| it.most_ns.saturating_sub(it.least_ns);
        let meet = self.least_ns <= other.most_ns && other.least_ns <= self.most_ns;
        meet && width(self) < width(other)
    }

    /// By how many ms theirs is certainly behind ours; negative where it may be ahead. What is certain is
    /// all that servers pass on, so that no error grows on a way in a circle.
    fn behind_ms(&self) -> i64 {
        self.most_ns.saturating_neg().div_euclid(1_000_000)
    }
}

/// In words: `1 h 2 min 3 s behind ours`.
impl std::fmt::Display for Offset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let middle_ns = (i128::from(self.least_ns) + i128::from(self.most_ns)) / 2;
        let error_ms = (i128::from(self.most_ns) - i128::from(self.least_ns)) / 2_000_000;
        let seconds = (middle_ns.unsigned_abs() + 500_000_000) / 1_000_000_000;
        let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
        for (count, unit) in [(days, "d"), (hours, "h"), (minutes, "min")] {
            if count > 0 {
                write!(f, "{count} {unit} ")?;
            }
        }
        let side = if middle_ns < 0 { "behind" } else { "ahead of" };
        write!(f, "{} s {side} ours (give or take {error_ms} ms)", seconds % 60)
    }
}

impl Meter {
    /// What to say of our clock, and of the slowest we know of.
    pub fn say(&self, now_ns: u64, now: Duration, slowest: (u64, u64)) -> ClockReading {
        let (echo_ns, held_ms) = match self.heard {
            Some((reading, at)) => (reading, ms(now.saturating_sub(at))),
            None => (0, 0),
        };
        let (behind_ms, age_ms) = slowest;
        ClockReading { now_ns, echo_ns, held_ms, behind_ms, age_ms }
    }

    /// Notes the other end's reading; what it comes to, if it answers one of ours. `now_ns` is our own
    /// clock, now.
    pub fn hear(&mut self, theirs: &ClockReading, now_ns: u64, now: Duration) -> Option<Offset> {
        self.heard = Some((theirs.now_ns, now));
        if theirs.echo_ns == 0 {
            return None;
        }
        // It is said in whole ms, rounded down.
        let sent_ns = theirs.echo_ns.saturating_add(theirs.held_ms.saturating_mul(1_000_000));
        Offset::between(theirs.now_ns, sent_ns, now_ns)
    }
}

impl Clocks {
    /// Of a server that forgets clients after `hold`.
    pub fn new(hold: Duration) -> Clocks {
        Clocks { state: Mutex::new(State { hold, ..State::default() }) }
    }

    /// Clients are forgotten after this long from now on.
    pub fn set_hold(&self, hold: Duration) {
        self.state().hold = hold;
    }

    /// Whether clients are forgotten at all.
    pub fn forgets(&self) -> bool {
        !self.state().hold.is_zero()
    }

    /// Somebody is no neighbour any more: its clock does not matter.
    pub fn let_go(&self, neighbour: NeighbourId) {
        *self.state().other(neighbour) = Other::default();
    }

    /// A neighbour's clock was measured.
    pub fn measured(&self, neighbour: NeighbourId, offset: Offset, now: Duration) -> Option<Change> {
        let mut state = self.state();
        let other = state.other(neighbour);
        if let Some((known, at)) = other.offset
            && known.is_better(&offset)
            && now.saturating_sub(at) <= Duration::from_secs(CLOCK_NARROW_S)
        {
            // A slow answer says less, and nothing else.
            return None;
        }
        other.offset = Some((offset, now));
        let was_apart = std::mem::replace(&mut other.is_apart, offset.is_apart());
        match (was_apart, offset.is_apart()) {
            (false, true) => Some(Change::Apart(offset)),
            (true, false) => Some(Change::Together),
            (true, true) | (false, false) => None,
        }
    }

    /// A neighbour said by how much the slowest clock it knows of is behind its own, and how long ago
    /// that was measured. No clock is behind by more than `most_ms`, which is what ours reads.
    pub fn told(&self, neighbour: NeighbourId, behind_ms: u64, age_ms: u64, most_ms: u64, now: Duration) {
        let age = Duration::from_millis(age_ms);
        self.state().other(neighbour).told = Some(Told { behind_ms, most_ms, age, at: now });
    }

    /// By how many ms the slowest clock is behind ours, and how many ms ago that was measured.
    pub fn slowest(&self, now: Duration) -> (u64, u64) {
        self.state().slowest(now)
    }

    /// By how many seconds to forget later than our own clock says: as much as the slowest clock of the
    /// herd is behind it, or was, while what it stamped is still to be forgotten.
    pub fn lead_s(&self, now: Duration) -> u64 {
        let mut state = self.state();
        let (behind_ms, _) = state.slowest(now);
        let (peak_ms, at) = state.peak;
        if behind_ms >= peak_ms || now.saturating_sub(at) > state.hold {
            state.peak = (behind_ms, now);
        }
        state.peak.0.div_ceil(1_000)
    }

    /// Whether our own clock seems to be far behind: more neighbours say so than not, as one alone may be wrong, or
    /// lie.
    pub fn is_suspect(&self) -> bool {
        let state = self.state();
        let measured: Vec<_> = state.others.iter().filter_map(|other| Some(other.offset?.0)).collect();
        let far = measured.iter().filter(|offset| offset.least_ns > CLOCK_SUSPECT_NS).count();
        2 * far > measured.len()
    }

    /// The neighbours whose clocks are too far from ours, as last measured.
    pub fn apart(&self) -> Vec<(NeighbourId, Offset)> {
        let state = self.state();
        let apart = (0..).zip(&state.others).filter(|(_, other)| other.is_apart);
        apart.filter_map(|(index, other)| Some((NeighbourId(index), other.offset?.0))).collect()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn other(&mut self, neighbour: NeighbourId) -> &mut Other {
        let index = neighbour.index();
        if self.others.len() <= index {
            self.others.resize(index + 1, Other::default());
        }
        &mut self.others[index]
    }

    fn slowest(&self, now: Duration) -> (u64, u64) {
        let told_for = Duration::from_secs(CLOCK_TOLD_S);
        let mut slowest = (0, 0);
        for other in &self.others {
            let own = other.offset.map(|(offset, at)| (offset.behind_ms(), now.saturating_sub(at)));
            // What it says is of its own clock.
            let told = other.told.map(|Told { behind_ms, most_ms, age, at }| {
                let number = |ms| i64::try_from(ms).unwrap_or(i64::MAX);
                let its_own = own.map_or(0, |(behind_ms, _)| behind_ms);
                let behind_ms = number(behind_ms).saturating_add(its_own).min(number(most_ms));
                (behind_ms, now.saturating_sub(at).saturating_add(age))
            });
            for (behind_ms, age) in [own, told].into_iter().flatten() {
                let behind_ms = u64::try_from(behind_ms).unwrap_or(0);
                if age <= told_for && behind_ms > CLOCKS_APART_MS && behind_ms > slowest.0 {
                    slowest = (behind_ms, ms(age));
                }
            }
        }
        slowest
    }
}

impl Steps {
    /// Of a server that starts now, and has heard nobody yet.
    pub fn starting(now_ns: u64, now: Duration, settle: Duration) -> Steps {
        Steps { last: Some((now_ns, now)), settle, settled_at: now + settle, has_jumped: false }
    }

    /// Compares our clock with time as it passes; by how many ns the clock has jumped, if it has.
    pub fn look(&mut self, now_ns: u64, now: Duration) -> Option<i64> {
        let (last_ns, last) = self.last.replace((now_ns, now))?;
        let passed = i128::try_from(now.saturating_sub(last).as_nanos()).unwrap_or(i128::MAX);
        let step = i128::from(now_ns) - i128::from(last_ns) - passed;
        if step.unsigned_abs() < u128::from(CLOCK_STEP_MS) * 1_000_000 {
            return None;
        }
        (self.settled_at, self.has_jumped) = (now + self.settle, true);
        Some(step.clamp(i64::MIN.into(), i64::MAX.into()) as i64)
    }

    /// Whether it has jumped since the start.
    pub fn has_jumped(&self) -> bool {
        self.has_jumped
    }

    /// Whether the last jump, or the start, is long enough ago for neighbours to have said what they think of it.
    pub fn is_settled(&self, now: Duration) -> bool {
        now >= self.settled_at
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
