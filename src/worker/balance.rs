//! As few busy workers as keep up: connections gather on the first worker until it is saturated
//! and there is a core to spare; then it hands half of its active ones to another, which hands them
//! back when it is quiet, or when workers wait for cores. Two workers sharing what one can carry
//! each wake for fewer ready sockets and pay the wake-up anyway.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use rustix::param::clock_ticks_per_second;
use rustix::time::{ClockId, clock_gettime};

use crate::limits::{CORE_TO_SPARE, CROWDED, HAS_ROOM, QUIET, QUIET_WINDOWS, SATURATED, WINDOW};

/// What the other workers may know of one.
#[derive(Default)]
pub struct Load {
    /// It has connections or may be given some; it accepts, too.
    at_work: AtomicBool,
    /// Computing time in the last window, in thousandths.
    busy: AtomicU32,
}

/// A worker's measurement of itself. Times are since the start of the process's clock.
pub struct Gauge {
    window: u32,
    window_began: Duration,
    cpu_began: Duration,
    /// Time it waited for a core, of the other workers only.
    delay_began: Duration,
    /// Idle time of all cores when the window began, if the one before it was saturated.
    idle_began: Option<Duration>,
    quiet_windows: u32,
}

/// What a window showed.
#[derive(Clone, Copy)]
struct Measured {
    /// Thousandths of it that this worker computed.
    busy: u32,
    /// Thousandths of it that it waited for a core.
    delayed: u32,
    /// There was a core for another worker.
    core_to_spare: bool,
}

/// What a worker is to do about its load.
#[derive(Debug, PartialEq, Eq)]
pub enum Advice {
    Stay,
    /// Hand half of the connections that were active in this window to that worker.
    HandHalfTo(usize),
    /// Hand all connections to the first worker and rest.
    HandBack,
}

impl Load {
    pub fn is_at_work(&self) -> bool {
        self.at_work.load(Ordering::SeqCst)
    }

    pub fn set_at_work(&self, at_work: bool) {
        self.at_work.store(at_work, Ordering::SeqCst);
    }

    fn busy(&self) -> u32 {
        self.busy.load(Ordering::Relaxed)
    }
}

impl Gauge {
    pub fn new(now: Duration) -> Gauge {
        Gauge {
            window: 1,
            window_began: now,
            cpu_began: cpu_time(),
            delay_began: Duration::ZERO,
            idle_began: None,
            quiet_windows: 0,
        }
    }

    /// What was seen before says nothing of how it is now.
    pub fn begin_anew(&mut self) {
        (self.quiet_windows, self.idle_began) = (0, None);
    }

    /// The number of the window in progress; connections are marked with it when they are read.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// Closes the window if it is due and says what follows from the loads. `own` is the index of
    /// this worker in `loads`.
    pub fn look<'a>(
        &mut self,
        now: Duration,
        own: usize,
        loads: impl Fn(usize) -> Option<&'a Load>,
    ) -> Advice {
        let elapsed = now.saturating_sub(self.window_began);
        if elapsed < WINDOW {
            return Advice::Stay;
        }
        let cpu = cpu_time();
        let busy = share(cpu.saturating_sub(self.cpu_began), elapsed);
        if let Some(load) = loads(own) {
            load.busy.store(busy, Ordering::Relaxed);
        }
        let core_to_spare = busy > SATURATED && self.saw_core_to_spare(elapsed);
        if busy <= SATURATED {
            self.idle_began = None;
        }
        let delay = if own > 0 { run_delay() } else { Duration::ZERO };
        let delayed = share(delay.saturating_sub(self.delay_began), elapsed);
        let advice = self.judge(Measured { busy, delayed, core_to_spare }, own, loads);
        (self.window_began, self.cpu_began, self.delay_began) = (now, cpu, delay);
        // The marks of the window are read by whoever follows the advice before the next turn.
        self.window = self.window.wrapping_add(1);
        advice
    }

    /// Looked at only while saturated, so the first window of that only begins to measure.
    fn saw_core_to_spare(&mut self, elapsed: Duration) -> bool {
        let Some(idle) = idle_time() else { return true };
        let before = self.idle_began.replace(idle);
        before.is_some_and(|before| idle.saturating_sub(before) > elapsed * CORE_TO_SPARE / 1_000)
    }

    fn judge<'a>(
        &mut self,
        found: Measured,
        own: usize,
        loads: impl Fn(usize) -> Option<&'a Load>,
    ) -> Advice {
        if found.busy > SATURATED {
            self.quiet_windows = 0;
            if !found.core_to_spare {
                return Advice::Stay;
            }
            let others = (0..).map_while(|index| loads(index).map(|load| (index, load)));
            let has_room = |load: &Load| !load.is_at_work() || load.busy() < HAS_ROOM;
            let target = others.into_iter().find(|&(index, load)| index != own && has_room(load));
            return target.map_or(Advice::Stay, |(index, _)| Advice::HandHalfTo(index));
        }
        let first = loads(0).map_or(0, Load::busy);
        let quiet = own > 0 && (found.busy + first < QUIET || found.delayed > CROWDED);
        self.quiet_windows = if quiet { self.quiet_windows + 1 } else { 0 };
        if self.quiet_windows >= QUIET_WINDOWS { Advice::HandBack } else { Advice::Stay }
    }
}

/// What part of `whole` is `part`, in thousandths.
fn share(part: Duration, whole: Duration) -> u32 {
    (part.as_nanos() * 1_000 / whole.as_nanos().max(1)).min(1_000) as u32
}

/// The time this thread has computed since it began: unlike the wall clock it does not count the
/// time when other processes had the core, in which another worker would be no help.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// The time this thread was ready and had no core.
fn run_delay() -> Duration {
    let text = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let delay_ns = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
    Duration::from_nanos(delay_ns.unwrap_or(0))
}

/// The time the machine's cores have idled since it started, all together, in whole ticks.
fn idle_time() -> Option<Duration> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_whitespace();
    // cpu, user, nice, system, idle, iowait (proc(5)).
    let ticks = fields.skip(4).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>().ok()?;
    Some(Duration::from_nanos(ticks * (1_000_000_000 / clock_ticks_per_second().max(1))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loads(busy: &[(bool, u32)]) -> Vec<Load> {
        let load = |&(at_work, busy): &(bool, u32)| Load {
            at_work: AtomicBool::new(at_work),
            busy: AtomicU32::new(busy),
        };
        busy.iter().map(load).collect()
    }

    #[test]
    fn a_saturated_worker_looks_for_one_with_room() {
        let check = |own, busy, others: &[(bool, u32)], expected: Advice| {
            let loads = loads(others);
            let mut gauge = Gauge::new(Duration::ZERO);
            let alone = Measured { busy, delayed: 0, core_to_spare: true };
            assert_eq!(
                gauge.judge(alone, own, |index| loads.get(index)),
                expected,
                "{own} {busy} {others:?}"
            );
            let full = Measured { core_to_spare: false, ..alone };
            assert_eq!(gauge.judge(full, own, |index| loads.get(index)), Advice::Stay);
        };
        check(0, 950, &[(true, 950), (false, 0)], Advice::HandHalfTo(1));
        check(0, 950, &[(true, 950), (true, 800), (false, 999)], Advice::HandHalfTo(2));
        check(0, 950, &[(true, 950), (true, 800)], Advice::Stay);
        check(1, 950, &[(true, 300), (true, 950)], Advice::HandHalfTo(0));
        check(0, 850, &[(true, 850), (false, 0)], Advice::Stay);
        check(0, 999, &[(true, 999)], Advice::Stay);
    }

    fn measured(busy: u32) -> Measured {
        Measured { busy, delayed: 0, core_to_spare: false }
    }

    #[test]
    fn a_quiet_worker_hands_back_after_a_while_and_the_first_never() {
        let loads = loads(&[(true, 300), (true, 100)]);
        let (mut first, mut second) = (Gauge::new(Duration::ZERO), Gauge::new(Duration::ZERO));
        for window in 1..=QUIET_WINDOWS {
            assert_eq!(first.judge(measured(300), 0, |index| loads.get(index)), Advice::Stay);
            let expected = if window < QUIET_WINDOWS { Advice::Stay } else { Advice::HandBack };
            assert_eq!(second.judge(measured(100), 1, |index| loads.get(index)), expected);
        }
        assert_eq!(second.judge(measured(400), 1, |index| loads.get(index)), Advice::Stay);
    }

    #[test]
    fn a_worker_that_waits_for_a_core_hands_back_after_a_while() {
        let loads = loads(&[(true, 700), (true, 600)]);
        let mut second = Gauge::new(Duration::ZERO);
        for window in 1..=QUIET_WINDOWS {
            let crowded = Measured { delayed: 300, ..measured(600) };
            let expected = if window < QUIET_WINDOWS { Advice::Stay } else { Advice::HandBack };
            assert_eq!(second.judge(crowded, 1, |index| loads.get(index)), expected);
        }
    }

    #[test]
    fn the_kernel_tells_idle_time_and_delays() {
        let idle = idle_time().expect("/proc/stat has it");
        assert!(idle > Duration::from_secs(1), "{idle:?}");
        assert!(run_delay() < Duration::from_secs(3_600));
    }
}
