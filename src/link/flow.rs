//! How much may be under way to a neighbour that has not said it read it: as much as it takes in about a second, so
//! that what is new never waits long behind what was sent before, whatever buffers lie between. An outbox asks it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::limits::{
    LINK_WAY_MS, LINK_WINDOW_BYTES, LINK_WINDOW_GROW_MS, LINK_WINDOW_MAX, LINK_WINDOW_MIN,
    LINK_WINDOW_SHRINK_MS,
};

/// The bytes of one connection. A probe is a TIME among them, which the neighbour answers when it has read everything
/// before it.
#[derive(Debug)]
pub struct Flow {
    /// Whether the neighbour answers probes. One that does not is sent whatever the socket takes.
    is_probed: bool,
    /// Bytes that were given to the connection.
    sent: u64,
    /// Those of them that the neighbour is known to have read.
    read: u64,
    /// So many may be sent and not read.
    window: u64,
    /// Not answered yet, oldest first.
    probes: VecDeque<Probe>,
    /// The shortest time that an answer took: the way there and back.
    shortest: Option<Duration>,
    /// When the window last changed. Probes that were sent before say nothing of it.
    changed_at: Duration,
}

/// One that is under way.
#[derive(Clone, Copy, Debug)]
struct Probe {
    /// The clock reading in it, which its answer repeats.
    id: u64,
    /// Bytes sent before it.
    sent: u64,
    at: Duration,
    /// Bytes that were sent and not read then, with which it waits its turn.
    unread: u64,
    progress: Progress,
}

/// How far the walk was that goes on after a cut, when a probe was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    Unknown,
    /// All buckets before this one were sent.
    Before(usize),
    /// It was sent to its end, and so many walks had begun by then.
    Done {
        walks: u32,
    },
}

impl Flow {
    /// The flow of a new connection to a neighbour that answers probes, or does not.
    pub fn new(is_probed: bool) -> Flow {
        Flow {
            is_probed,
            sent: 0,
            read: 0,
            window: LINK_WINDOW_BYTES,
            probes: VecDeque::new(),
            shortest: None,
            changed_at: Duration::ZERO,
        }
    }

    /// So many bytes are given to the connection.
    pub fn count(&mut self, bytes: usize) {
        self.sent += bytes as u64;
    }

    /// Whether more may be sent now.
    pub fn has_room(&self) -> bool {
        !self.is_probed || self.sent - self.read < self.window
    }

    /// How many bytes to send at once.
    pub fn share(&self) -> usize {
        if self.is_probed { (self.window / 2) as usize } else { usize::MAX }
    }

    /// Whether a probe is due: four a window, so that the line has work while an answer is on its way, and a link over
    /// which a few hundred bytes pass in a second is known to live.
    pub fn wants_probe(&self) -> bool {
        let probed = self.probes.back().map_or(self.read, |probe| probe.sent);
        let unprobed = self.sent - probed;
        self.is_probed && (unprobed >= self.window / 4 || (unprobed > 0 && !self.has_room()))
    }

    /// A probe is sent now, behind all that was counted.
    pub fn probe(&mut self, id: u64, at: Duration, progress: Progress) {
        if self.is_probed {
            let unread = self.sent - self.read;
            self.probes.push_back(Probe { id, sent: self.sent, at, unread, progress });
        }
    }

    /// The neighbour repeats the reading of a probe, so it has read all that was sent before it. Returns how far the
    /// walk was then; None for a reading that is in no probe under way.
    pub fn answered(&mut self, id: u64, now: Duration) -> Option<Progress> {
        let found = self.probes.iter().position(|probe| probe.id == id)?;
        let probe = self.probes.drain(..=found).next_back()?;
        self.read = probe.sent;
        self.adapt(&probe, now);
        Some(probe.progress)
    }

    fn adapt(&mut self, probe: &Probe, now: Duration) {
        let took = now.saturating_sub(probe.at);
        let shortest = self.shortest.map_or(took, |shortest| shortest.min(took));
        self.shortest = Some(shortest);
        if probe.at < self.changed_at {
            return;
        }
        // What seems to be a long way may be one on which others send, too.
        let waited = took.saturating_sub(shortest.min(Duration::from_millis(LINK_WAY_MS)));
        let is_full = probe.unread >= self.window / 2;
        // With twice the window, of which the probe had a part before it.
        let would_wait = waited.as_millis() as u64 * 2 * self.window / probe.unread.max(1);
        let window = if waited > Duration::from_millis(LINK_WINDOW_SHRINK_MS) {
            self.window / 2
        } else if is_full && would_wait < LINK_WINDOW_GROW_MS {
            self.window * 2
        } else {
            return;
        };
        (self.window, self.changed_at) = (window.clamp(LINK_WINDOW_MIN, LINK_WINDOW_MAX), now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sends for a while over a line of so many bytes a second and a way there and back of so many ms, by the
    /// window alone. Returns the window, and how long an answer took at last.
    fn run(bytes_per_s: u64, ways_ms: u64, seconds: u64) -> (u64, Duration) {
        let mut flow = Flow::new(true);
        let (mut free_at, mut answers, mut took) = (Duration::ZERO, VecDeque::new(), Duration::ZERO);
        flow.probe(1, Duration::ZERO, Progress::Unknown);
        answers.push_back((1, Duration::from_millis(ways_ms), Duration::ZERO));
        for ms in 0..1_000 * seconds {
            let now = Duration::from_millis(ms);
            while let Some((id, at, sent_at)) = answers.pop_front() {
                if at > now {
                    answers.push_front((id, at, sent_at));
                    break;
                }
                assert_eq!(flow.answered(id, now), Some(Progress::Unknown));
                took = now - sent_at;
            }
            while flow.has_room() {
                flow.count(1_000);
                free_at = free_at.max(now) + Duration::from_micros(1_000_000_000 / bytes_per_s);
                if flow.wants_probe() {
                    let id = 2 + answers.len() as u64 + 1_000_000 * ms;
                    flow.probe(id, now, Progress::Unknown);
                    answers.push_back((id, free_at + Duration::from_millis(ways_ms), now));
                }
            }
        }
        (flow.window, took)
    }

    #[test]
    fn the_window_is_what_a_line_takes_in_about_a_second() {
        for (bytes_per_s, ways_ms) in [(20_000, 40), (32_000, 600), (1_000_000, 1), (1_000_000, 600)] {
            let (window, took) = run(bytes_per_s, ways_ms, 120);
            let on_the_way = bytes_per_s * ways_ms / 1_000;
            assert!(
                window >= on_the_way.max(LINK_WINDOW_MIN),
                "{bytes_per_s}: the line would rest: {window}"
            );
            let most = Duration::from_millis(ways_ms + LINK_WINDOW_SHRINK_MS + 500);
            assert!(took <= most, "{bytes_per_s} bytes/s, {ways_ms} ms: {took:?}");
        }
        assert_eq!(run(100_000_000, 1, 5).0, LINK_WINDOW_MAX);
    }

    #[test]
    fn only_an_answer_to_a_probe_makes_room() {
        let mut flow = Flow::new(true);
        flow.count(2 * LINK_WINDOW_BYTES as usize);
        assert!(!flow.has_room() && flow.wants_probe());
        flow.probe(7, Duration::ZERO, Progress::Before(3));
        assert!(!flow.wants_probe(), "one is under way");
        assert_eq!(flow.answered(8, Duration::ZERO), None, "nobody asked that");
        assert!(!flow.has_room());
        assert_eq!(flow.answered(7, Duration::ZERO), Some(Progress::Before(3)));
        assert_eq!(flow.answered(7, Duration::ZERO), None, "it was answered");
        assert!(flow.has_room());
        let mut free = Flow::new(false);
        free.count(1 << 40);
        free.probe(7, Duration::ZERO, Progress::Unknown);
        assert!(free.has_room() && !free.wants_probe() && free.answered(7, Duration::ZERO).is_none());
    }
}
