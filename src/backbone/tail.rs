//! A tail: what others have put into an engine comes to this server. Of each part it reads all there is, and from then on
//! the log. It has no thread, no socket and no clock; a dialler's thread moves it.
//!
//! How a part begins without a gap: the last entry of the log is noted, then all of the part is read, and then the log
//! from behind that entry. What was there before is in the part; what came after is in the log; what came meanwhile is in one or
//! both. Each entry says how high the part is with it: if that is not one more than the last, some were missed, and
//! the part is begun again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::engine::{Engine, Entry, EntryId, Fault, Height};
use super::lane::Lane;
use super::learning::Learning;
use super::scrub::Scrub;
use crate::clock::Moment;
use crate::limits::{READ_WAIT, SCRUB_S, SCRUB_SOON_S};
use crate::logging::Wire;
use crate::node::NeighbourId;
use crate::turn::Core;

pub struct Tail {
    learning: Learning,
    engine: NeighbourId,
    identity: Option<String>,
    /// The lane's, and how many of them were seen.
    beginnings: Arc<AtomicU64>,
    seen: u64,
    parts: Vec<Progress>,
    /// How many parts were begun again.
    again: u64,
    scrub: Option<Scrub>,
    /// The last step was one of it.
    has_scrubbed: bool,
    /// When the next one begins, since the start of the process's clock; None before the first connection.
    scrub_at: Option<Duration>,
}

/// How far a part is read.
#[derive(Clone, Debug)]
enum Progress {
    Unread,
    /// All that is there is being read.
    All {
        cursor: u64,
        from: Place,
    },
    /// The log is read.
    Log(Place),
}

/// A place in a log.
#[derive(Clone, Debug)]
struct Place {
    /// The last entry that was read.
    id: EntryId,
    /// How high the part was with it; None where nothing was ever news.
    height: Option<Height>,
}

impl Tail {
    /// What comes from the engine to which a lane leads that has so many parts.
    pub fn new(core: Arc<Core>, lane: &Lane, parts: u16, wire: Wire) -> Tail {
        let (engine, beginnings) = (lane.outlet().id(), lane.beginnings());
        let learning = Learning::new(core, engine, wire);
        let parts = vec![Progress::Unread; usize::from(parts)];
        Tail {
            learning,
            engine,
            identity: None,
            beginnings,
            seen: 0,
            parts,
            again: 0,
            scrub: None,
            has_scrubbed: false,
            scrub_at: None,
        }
    }

    /// How many parts had to be begun again.
    pub fn again(&self) -> u64 {
        self.again
    }

    /// There is a connection.
    ///
    /// # Errors
    /// The engine fails.
    pub fn begin(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<(), Fault> {
        let identity = engine.identity()?;
        let is_same = self.identity.as_ref() == Some(&identity);
        for part in &mut self.parts {
            // Where to go on among all lines is another place in another engine.
            if !is_same || matches!(part, Progress::All { .. }) {
                *part = Progress::Unread;
            }
        }
        // Also at a start: nobody knows what was lost before it.
        if !is_same || self.scrub.take().is_some() {
            self.scrub_soon(now);
        }
        self.identity = Some(identity);
        Ok(())
    }

    /// Takes the next step. Waits for a while where there is nothing to read.
    ///
    /// # Errors
    /// The engine fails, and the connection is of no use any more.
    pub fn go_on(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<Step, Fault> {
        self.learning.correct(engine, self.parts.len() as u16)?;
        self.look_for_losses(now);
        let unread = self.parts.iter().position(|part| !matches!(part, Progress::Log(_)));
        match unread {
            Some(part) => self.read_all(engine, part),
            None => {
                if let Some(lines) = self.scrub(engine, now)? {
                    return Ok(Step::Lines(lines));
                }
                let places = (0..).zip(&self.parts).filter_map(|(part, progress)| match progress {
                    Progress::Log(place) => Some((part, place.id.clone())),
                    Progress::Unread | Progress::All { .. } => None,
                });
                let wait = if self.scrub.is_some() { Duration::ZERO } else { READ_WAIT };
                engine.read(&places.collect::<Vec<_>>(), wait).map(Step::Entries)
            }
        }
    }

    /// A step on the way through all parts, by turns with what is news. None where there is none now.
    fn scrub(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        let parts = self.parts.len() as u16;
        if self.scrub_at.is_some_and(|at| now.up >= at) {
            self.scrub_at = Some(now.up + Duration::from_secs(SCRUB_S));
            self.scrub = Some(Scrub::new(parts));
        }
        if std::mem::replace(&mut self.has_scrubbed, false) {
            return Ok(None);
        }
        let Some(scrub) = &mut self.scrub else { return Ok(None) };
        let lines = scrub.go_on(engine, parts, &self.learning.core.node.store)?;
        if lines.is_none() {
            self.scrub = None;
        }
        self.has_scrubbed = lines.is_some();
        Ok(lines)
    }

    /// The lane may have found that the engine has lost something, of which the logs say nothing yet.
    fn look_for_losses(&mut self, now: Moment) {
        let before = std::mem::replace(&mut self.seen, self.beginnings.load(Ordering::SeqCst));
        // The first one is the lane's start.
        if self.seen > before.max(1) {
            self.parts.fill(Progress::Unread);
            self.scrub_soon(now);
        }
    }

    /// The engine has lost something. Once the others had the time to put in again what is theirs, the rest is.
    fn scrub_soon(&mut self, now: Moment) {
        let (least, most) = SCRUB_SOON_S;
        let at = now.up + Duration::from_secs(fastrand::u64(least..=most));
        self.scrub_at = Some(self.scrub_at.map_or(at, |before| before.min(at)));
    }

    /// A step on the way through all of a part.
    fn read_all(&mut self, engine: &mut dyn Engine, index: usize) -> Result<Step, Fault> {
        let part = index as u16;
        let (cursor, from) = match &self.parts[index] {
            Progress::All { cursor, from } => (*cursor, from.clone()),
            Progress::Unread | Progress::Log(_) => {
                // Before the log: what comes in between is higher than this, and never missed.
                let height = engine.heights()?.get(index).copied().flatten();
                let from = match engine.last(part)? {
                    Some(Entry { id, height, .. }) => Place { id, height },
                    None => Place { id: EntryId::first(), height },
                };
                (0, from)
            }
        };
        let (cursor, lines) = engine.scan(part, cursor)?;
        self.parts[index] = match cursor {
            0 => Progress::Log(from),
            cursor => Progress::All { cursor, from },
        };
        Ok(Step::Lines(lines))
    }

    /// Learns what a step brought.
    pub fn take(&mut self, step: Step, now: Moment) {
        match step {
            Step::Lines(lines) => self.learning.learn(lines.iter().map(Vec::as_slice), now),
            Step::Entries(entries) => {
                let lines = entries.iter().flat_map(|(_, entry)| entry.lines.split(|&byte| byte == b'\n'));
                self.learning.learn(lines, now);
                entries.into_iter().for_each(|(part, entry)| self.pass(part, entry, now));
            }
        }
        if self.parts.iter().all(|part| matches!(part, Progress::Log(_))) {
            self.learning.core.neighbours.seen.hear_mark(self.engine);
        }
    }

    /// An entry was read.
    fn pass(&mut self, part: u16, entry: Entry, now: Moment) {
        let Some(progress) = self.parts.get_mut(usize::from(part)) else { return };
        let Progress::Log(place) = progress else { return };
        let place_height = place.height;
        let is_next = match (place.height, entry.height) {
            (Some(before), Some(height)) => height == before.next(),
            (None, Some(height)) => height.entries == 1,
            (_, None) => false,
        };
        if is_next {
            *place = Place { id: entry.id, height: entry.height };
        } else {
            log::info!(
                "part {part} of the backbone is read anew: its log has not what came behind what was read"
            );
            *progress = Progress::Unread;
            self.again += 1;
            let has_lost = match (place_height, entry.height) {
                (Some(before), Some(height)) => height.life != before.life || height.entries < before.entries,
                _ => false,
            };
            if has_lost {
                self.scrub_soon(now);
            }
        }
    }
}

/// What a step brought.
pub enum Step {
    /// Of a whole part.
    Lines(Vec<Vec<u8>>),
    /// Of logs, by part.
    Entries(Vec<(u16, Entry)>),
}
