//! A tail: what others have put into an engine comes to this server. Of each part it reads all there is, and from then on
//! the log. It has no thread, no socket and no clock; a dialler's thread moves it.
//!
//! How a part begins without a gap: the last entry of the log is noted, then all of the part is read, and then the log
//! from behind that entry. What was there before is in the part; what came after is in the log; what came meanwhile is in one or
//! both. Each entry says how high the part is with it: if that is not one more than the last, some were missed, and
//! the part is begun again.

use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, Entry, EntryId, Fault, Height};
use super::findings::Findings;
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
    /// The lane's, and how many beginnings and departures were seen.
    findings: Arc<Findings>,
    seen: (u64, u64),
    parts: Vec<Progress>,
    scrub: Option<Scrub>,
    /// The last step was no look at the logs, whose turn it is then.
    has_stepped: bool,
    /// When the next one begins, since the start of the process's clock; None before the first connection.
    scrub_at: Option<Duration>,
}

/// How far a part is read.
#[derive(Clone, Debug)]
enum Progress {
    Unread,
    /// The log is read, and beside it all that is there, from the cursor on; None when that is done.
    Read {
        place: Place,
        cursor: Option<u64>,
    },
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
        let (engine, findings) = (lane.outlet().id(), lane.findings());
        let learning = Learning::new(core, engine, findings.clone(), wire);
        let parts = vec![Progress::Unread; usize::from(parts)];
        Tail {
            learning,
            engine,
            identity: None,
            findings,
            seen: (0, 0),
            parts,
            scrub: None,
            has_stepped: false,
            scrub_at: None,
        }
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
            if !is_same || matches!(part, Progress::Read { cursor: Some(_), .. }) {
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
        if !std::mem::replace(&mut self.has_stepped, false)
            && let Some(lines) = self.step(engine, now)?
        {
            self.has_stepped = true;
            return Ok(Step::Lines(lines));
        }
        let places = (0..).zip(&self.parts).filter_map(|(part, progress)| match progress {
            Progress::Read { place, .. } => Some((part, place.id.clone())),
            Progress::Unread => None,
        });
        let places: Vec<_> = places.collect();
        if places.is_empty() {
            return Ok(Step::Entries(Vec::new()));
        }
        let has_steps = self.scrub.is_some() || !self.is_all_read();
        let wait = if has_steps { Duration::ZERO } else { READ_WAIT };
        engine.read(&places, wait).map(Step::Entries)
    }

    fn is_all_read(&self) -> bool {
        self.parts.iter().all(|part| matches!(part, Progress::Read { cursor: None, .. }))
    }

    /// A step beside the logs: through all of a part, or to see whether the engine has all that is known here. None where there
    /// is none to take.
    fn step(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        let unread = self.parts.iter().position(|part| !matches!(part, Progress::Read { cursor: None, .. }));
        match unread {
            Some(part) => self.read_all(engine, part).map(Some),
            None => self.scrub(engine, now),
        }
    }

    fn scrub(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        if self.scrub_at.is_some_and(|at| now.up >= at) {
            self.scrub_at = Some(now.up + Duration::from_secs(SCRUB_S));
            self.scrub = Some(Scrub::new(self.parts.len() as u16));
        }
        let Some(scrub) = &mut self.scrub else { return Ok(None) };
        let lines = scrub.go_on(engine, &self.learning.core.node.store)?;
        if lines.is_none() {
            self.scrub = None;
        }
        Ok(lines)
    }

    /// The lane may have found that the engine has lost something, of which the logs say nothing yet.
    fn look_for_losses(&mut self, now: Moment) {
        let (beginnings, departures) = (self.findings.beginnings(), self.findings.departures());
        let before = std::mem::replace(&mut self.seen, (beginnings, departures));
        // The first one is the lane's start.
        if beginnings > before.0.max(1) {
            self.parts.fill(Progress::Unread);
            self.scrub_soon(now);
        }
        // Who is no member any more may have had something that it had not published.
        if departures > before.1 {
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
    fn read_all(&mut self, engine: &mut dyn Engine, index: usize) -> Result<Vec<Vec<u8>>, Fault> {
        let part = index as u16;
        let cursor = match &self.parts[index] {
            Progress::Read { cursor, .. } => cursor.unwrap_or(0),
            Progress::Unread => {
                // Before the log: what comes in between is higher than this, and never missed.
                let height = engine.heights()?.get(index).copied().flatten();
                let place = match engine.last(part)? {
                    Some(Entry { id, height, .. }) => Place { id, height },
                    None => Place { id: EntryId::first(), height },
                };
                self.parts[index] = Progress::Read { place, cursor: Some(0) };
                0
            }
        };
        let (next, lines) = engine.scan(part, cursor)?;
        if let Progress::Read { cursor, .. } = &mut self.parts[index] {
            *cursor = Some(next).filter(|next| *next > 0);
        }
        Ok(lines)
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
        if self.is_all_read() {
            self.learning.core.neighbours.seen.hear_mark(self.engine);
        }
    }

    /// An entry was read.
    fn pass(&mut self, part: u16, entry: Entry, now: Moment) {
        let Some(progress) = self.parts.get_mut(usize::from(part)) else { return };
        let Progress::Read { place, .. } = progress else { return };
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
