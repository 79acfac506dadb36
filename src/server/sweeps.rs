//! The thread `sweeps`, for what takes longer than a turn may: it does the errands of doors (digests, the status),
//! and once a second it looks at the clock, forgets clients that were not heard of for long, and has the log told of
//! refused lines.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError};

use crate::clock::{Clock, Moment};
use crate::limits::{
    FORGET_LEAST, FORGET_NOTES, FORGET_SHARE, FORGET_SWEEP_S, REFUSALS_REST_S, SWEEPS_IDLE_MS, SWEEPS_TICK_MS,
};
use crate::link::Steps;
use crate::logging::count;
use crate::turn::Core;
use crate::worker::Errand;

/// What is done once a second. It has no thread and no clock.
pub struct Sweeps {
    core: Arc<Core>,
    /// The bucket of the store where the next sweep begins.
    next: usize,
    /// Jumps of our own clock, and how long one is left alone.
    steps: Steps,
    settle: Duration,
    /// When epochs were closed, and which: what is of one of these was learned before then. Oldest first.
    learned: VecDeque<(Duration, u32)>,
    /// Refused lines that the log has been told of, and when.
    told: (u64, Duration),
    /// When it last looked, and how much had been learned by then.
    looked: (Duration, u64),
    tick_at: Duration,
}

/// Between two looks at the clock.
const TICK: Duration = Duration::from_millis(SWEEPS_TICK_MS);
const IDLE: Duration = Duration::from_millis(SWEEPS_IDLE_MS);

/// The thread: ends after what came before `Errand::Stop`.
pub fn run(mut sweeps: Sweeps, due: &Receiver<Errand>, clock: Clock) {
    loop {
        // First, as errands may wait without end, and be done however late it is.
        sweeps.go_on(clock.now());
        match due.recv_deadline(clock.instant(sweeps.tick_at)) {
            Ok(Errand::Do(errand)) => errand(clock.now()),
            Ok(Errand::Stop) | Err(RecvTimeoutError::Disconnected) => return sweeps.finish(clock.up()),
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

impl Sweeps {
    /// Of a server that starts now.
    pub fn new(core: Arc<Core>, settle: Duration, now: Moment) -> Sweeps {
        let steps = Steps::starting(now.posix_ns, now.up, settle);
        let (told, looked, tick_at) = ((0, now.up), (now.up, 0), now.up + TICK);
        core.node.let_hide(now.posix_ns);
        Sweeps { core, next: 0, steps, settle, learned: VecDeque::new(), told, looked, tick_at }
    }

    /// Does what is due.
    pub fn go_on(&mut self, now: Moment) {
        if now.up < self.tick_at {
            return;
        }
        let news = self.core.node.store.news();
        let is_idle = self.core.opened_at().is_some() && news == self.looked.1;
        let since = now.up.saturating_sub(self.looked.0);
        (self.looked, self.tick_at) = ((now.up, news), now.up + if is_idle { IDLE } else { TICK });
        if self.core.opened_at().is_none() {
            // What is still being read is not to be forgotten meanwhile.
            return;
        }
        self.core.neighbours.reckon(&self.core.node, now.up);
        let doubtful = self.core.neighbours.oddities.tell_of_confs(now.up);
        if !doubtful.is_empty() {
            let links = self.core.flood.links();
            // Which herd.conf they have is said when a connection begins.
            links.iter().filter(|link| doubtful.contains(&link.id())).for_each(|link| link.redial());
        }
        if now.up.saturating_sub(self.told.1) >= Duration::from_secs(REFUSALS_REST_S) {
            self.tell_refusals(now.up);
        }
        self.look_at_clock(now);
        if self.core.node.let_return(now.posix_ns) {
            self.core.flood.feed.begin_anew(self.core.node.store.epoch());
        }
        if self.steps.is_settled(now.up) {
            self.core.node.let_pass(now.posix_ns);
            self.forget(now, since);
        } else if !self.steps.has_jumped() {
            self.core.node.let_hide(now.posix_ns);
        }
    }

    /// The last of it.
    fn finish(&mut self, now: Duration) {
        self.tell_refusals(now);
    }

    fn tell_refusals(&mut self, now: Duration) {
        let refusals = &self.core.tallies.refusals;
        let total = refusals.total();
        if total != self.told.0 {
            let lines = count(total, "refused line");
            log::info!("{lines} of clients since the start, by rule: {refusals}");
        }
        self.told = (total, now);
    }

    /// Looks for jumps of our own clock: nothing is forgotten by one that has just jumped.
    fn look_at_clock(&mut self, now: Moment) {
        if let Some(step_ns) = self.steps.look(now.posix_ns, now.up) {
            let seconds = step_ns.unsigned_abs() / 1_000_000_000;
            let side = if step_ns < 0 { "back" } else { "forward" };
            log::warn!(
                "the clock of this machine jumped {side} by {seconds} s; forgetting nobody for {} s",
                self.settle.as_secs_f64()
            );
        }
    }

    /// Goes through the part of the store that is due after such a time, all of it every `FORGET_SWEEP_S`, or slower where
    /// there is much to forget.
    fn forget(&mut self, now: Moment, since: Duration) {
        let after_s = self.core.node.bounds().forget_after_s;
        if after_s.is_none() && self.core.node.store.notes() == 0 {
            return;
        }
        let before = after_s.and_then(|after_s| self.learned_before(Duration::from_secs(after_s), now.up));
        let node = &self.core.node;
        let (mut forgotten, buckets) = (Vec::new(), node.store.buckets().count());
        let share = FORGET_LEAST.max(node.store.count() / FORGET_SHARE);
        let ticks =
            (since.as_millis() as u64).div_ceil(SWEEPS_TICK_MS).clamp(1, SWEEPS_IDLE_MS / SWEEPS_TICK_MS);
        for _ in 0..buckets.div_ceil(FORGET_SWEEP_S) * ticks as usize {
            let (told, epoch) =
                (forgotten.len(), node.forget(self.next, now.posix_ns, before, &mut forgotten));
            self.core.flood.feed.expired(&forgotten[told..], epoch);
            self.next = (self.next + 1) % buckets;
            if forgotten.len() >= share {
                break;
            }
        }
        if !forgotten.is_empty() {
            log::debug!("forgot {}", count(forgotten.len() as u64, "client"));
        }
    }

    /// The last epoch that was closed so long ago. Time in which our own clock may be far behind does not count.
    fn learned_before(&mut self, ago: Duration, now: Duration) -> Option<u32> {
        if self.core.neighbours.oddities.clocks.is_suspect() {
            self.learned.clear();
            return None;
        }
        if self.learned.back().is_none_or(|(at, _)| now.saturating_sub(*at) >= ago / FORGET_NOTES) {
            self.learned.push_back((now, self.core.node.store.close_epoch().0));
        }
        let is_old = |(at, _): &(Duration, u32)| now.saturating_sub(*at) >= ago;
        // The one before may go as soon as a later one is old enough, too.
        while self.learned.get(1).is_some_and(is_old) {
            self.learned.pop_front();
        }
        self.learned.front().filter(|note| is_old(note)).map(|(_, epoch)| *epoch)
    }
}
