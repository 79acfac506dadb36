//! A lane: the way of this server's news into an engine. It is a link with another transport: the same outbox, behind
//! which is the store, a batch a part instead of lines, and what the engine says of them instead of SEEN. It has no
//! thread, no socket and no clock; a dialler's thread moves it.
//!
//! Who publishes (rule R): a server publishes a record if it is its origin, or if the origin is no member. So an update is
//! written once, however many servers hear of it.
//! When again (rule A): all of that is published again when the engine is not the one it was, or has not what it had.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::engine::{Engine, Fault, Height, Members, Merged, Offer};
use super::findings::Findings;
use super::learning::{Learning, offer, part};
use crate::clock::Moment;
use crate::limits::{
    AGAIN_CLIENT_US, AGAIN_MAX_S, BATCH_BYTES, BATCH_RECORDS, BATCHES_UNDER_WAY, CLOCK_BEHIND_S, LANE_BYTES,
    MEMBER_S, STRANGERS_MAX,
};
use crate::link::Outlet;
use crate::link::reader::{Next, Reader};
use crate::logging::Wire;
use crate::protocol::neighbour::Word;
use crate::turn::Core;

/// Times are since the start of the process's clock.
pub struct Lane {
    learning: Learning,
    outlet: Arc<Outlet>,
    reader: Reader,
    /// Which engine it was, and how high its parts were.
    identity: Option<String>,
    heights: Vec<Option<Height>>,
    findings: Arc<Findings>,
    /// What is in the store is published from then on, so that not all servers do that at once.
    walk_at: Duration,
    /// The other members, and who was found to be none.
    members: HashSet<Vec<u8>>,
    strangers: HashSet<Vec<u8>>,
    renew_at: Duration,
}

/// What comes after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// There is more.
    Now,
    /// The same, from then on: much is to be published, and is put off.
    Rest(Duration),
    /// Nothing until then, unless the outlet wakes.
    At(Duration),
}

/// Records for one part.
struct Batch<'a> {
    part: u16,
    records: Vec<Offer<'a>>,
    bytes: usize,
}

impl Lane {
    /// What is offered to the outlet is for an engine with so many parts.
    pub fn new(core: Arc<Core>, outlet: Arc<Outlet>, parts: u16, wire: Wire) -> Lane {
        let findings = Arc::<Findings>::default();
        let learning = Learning::new(core, outlet.id(), findings.clone(), wire);
        Lane {
            learning,
            outlet,
            reader: Reader::default(),
            identity: None,
            heights: vec![None; usize::from(parts)],
            findings,
            walk_at: Duration::ZERO,
            members: HashSet::new(),
            strangers: HashSet::new(),
            renew_at: Duration::ZERO,
        }
    }

    /// What the tail is to know.
    pub(super) fn findings(&self) -> Arc<Findings> {
        self.findings.clone()
    }

    pub fn outlet(&self) -> &Arc<Outlet> {
        &self.outlet
    }

    /// There is a connection.
    ///
    /// # Errors
    /// The engine fails.
    pub fn begin(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<(), Fault> {
        let identity = engine.identity()?;
        let heights = engine.heights()?;
        // Before anything is noted: nothing that is still to be done may be forgotten.
        self.look_for_members(engine, now)?;
        let is_same = self.identity.as_ref() == Some(&identity) && self.rise(&heights).is_ok();
        if !is_same {
            if self.identity.is_some() {
                self.walk_at = now.up + self.pause();
            }
            self.findings.begin();
            (self.identity, self.heights) = (Some(identity), heights);
        }
        self.reader = Reader::default();
        let seen = if is_same { self.outlet.seen_epoch() } else { 0 };
        self.outlet.open(None, self.findings.beginnings(), seen, false);
        Ok(())
    }

    /// The connection is gone, and with it what was on its way.
    pub fn end(&mut self) {
        self.outlet.close();
    }

    /// How long to put off publishing everything once more.
    fn pause(&self) -> Duration {
        let clients = self.learning.core.node.store.count() as u64;
        let most = Duration::from_micros(AGAIN_CLIENT_US.saturating_mul(clients));
        most.min(Duration::from_secs(AGAIN_MAX_S)).mul_f64(fastrand::f64())
    }

    /// Publishes some of what is due.
    ///
    /// # Errors
    /// The engine fails, and the connection is of no use any more.
    pub fn go_on(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<Due, Fault> {
        if now.up >= self.renew_at {
            self.renew(engine, now)?;
        }
        let is_paused = now.up < self.walk_at && !self.outlet.is_stopping();
        let (mut lines, mut due) = (Vec::new(), Due::Now);
        while lines.len() < LANE_BYTES && due == Due::Now {
            // What is new goes on meanwhile.
            if is_paused && !self.outlet.has_lines() {
                due = Due::Rest(self.walk_at.min(self.renew_at));
                break;
            }
            match self.reader.next(&self.outlet, &self.learning.core.node.store) {
                Next::Chunk(chunk) => lines.extend(chunk.bytes),
                Next::Full | Next::Nothing => due = Due::At(self.renew_at),
            }
        }
        self.publish(engine, &lines, now)?;
        Ok(due)
    }

    /// Whether the last step was one on the way through the store, and not what is new.
    pub fn is_walking(&self) -> bool {
        self.reader.bucket().is_some()
    }

    fn renew(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<(), Fault> {
        self.look_for_members(engine, now)?;
        let heights = engine.heights()?;
        self.rise(&heights)?;
        Ok(())
    }

    fn look_for_members(&mut self, engine: &mut dyn Engine, now: Moment) -> Result<(), Fault> {
        let own = &self.learning.core.neighbours.own;
        let Members { names, clock_s } = engine.join(&own.name, own.incarnation)?;
        let others: HashSet<_> = names.into_iter().filter(|name| **name != *own.name.as_bytes()).collect();
        if self.members.iter().any(|name| !others.contains(name)) {
            self.findings.depart();
        }
        let own_s = now.posix_ns / 1_000_000_000;
        self.findings.set_clock_behind(clock_s > own_s.saturating_add(CLOCK_BEHIND_S));
        self.members = others;
        self.strangers.clear();
        self.renew_at = now.up + Duration::from_secs(MEMBER_S);
        Ok(())
    }

    /// Takes note of how high all parts are.
    fn rise(&mut self, heights: &[Option<Height>]) -> Result<(), Fault> {
        (0..).zip(heights).try_for_each(|(part, height)| self.rise_in(part, *height))
    }

    fn rise_in(&mut self, part: u16, height: Option<Height>) -> Result<(), Fault> {
        let known = &mut self.heights[usize::from(part)];
        match (*known, height) {
            (Some(before), Some(now)) if now.life != before.life || now.entries < before.entries => {
                Err(Fault::Lost)
            }
            (Some(_), None) => Err(Fault::Lost),
            _ => {
                *known = height;
                Ok(())
            }
        }
    }

    /// Publishes those of the lines that are to be, and takes what the engine says of them.
    fn publish(&mut self, engine: &mut dyn Engine, lines: &[u8], now: Moment) -> Result<(), Fault> {
        let mut seen = None;
        let (mut full, mut open) = (Vec::new(), Vec::new());
        open.resize_with(self.heights.len(), || None);
        for line in lines.split(|&byte| byte == b'\n') {
            match offer(line) {
                Some((offer, origin)) => {
                    if self.publishes(engine, origin, now)? {
                        self.gather(offer, &mut open, &mut full);
                    }
                }
                None => {
                    if let Some(Word::Mark(epoch)) = Word::parse(line) {
                        seen = Some(epoch);
                    }
                }
            }
        }
        let (mut under_way, mut newer) = (VecDeque::new(), Vec::new());
        let batches: Vec<Batch<'_>> = full.into_iter().chain(open.into_iter().flatten()).collect();
        for batch in &batches {
            engine.send(batch.part, &batch.records)?;
            under_way.push_back(batch);
            if under_way.len() >= BATCHES_UNDER_WAY {
                self.take(engine, under_way.pop_front(), &mut newer, now)?;
            }
        }
        while !under_way.is_empty() {
            self.take(engine, under_way.pop_front(), &mut newer, now)?;
        }
        // A server that stops keeps nothing any more.
        if !newer.is_empty() && !self.outlet.is_leaving() {
            self.learning.learn(newer.iter().map(Vec::as_slice), now);
            self.learning.correct(engine, self.heights.len() as u16)?;
        }
        if let Some(epoch) = seen {
            self.outlet.seen(epoch);
        }
        Ok(())
    }

    /// Whether what is of this origin is published here. One that is not known is asked for: it may have joined just now.
    fn publishes(&mut self, engine: &mut dyn Engine, origin: &[u8], now: Moment) -> Result<bool, Fault> {
        if *origin == *self.learning.core.neighbours.own.name.as_bytes() || self.strangers.contains(origin) {
            return Ok(true);
        }
        if !self.members.contains(origin) {
            self.look_for_members(engine, now)?;
        }
        let is_member = self.members.contains(origin);
        if !is_member && self.strangers.len() < STRANGERS_MAX {
            self.strangers.insert(origin.to_vec());
        }
        Ok(!is_member)
    }

    fn gather<'a>(&self, offer: Offer<'a>, open: &mut [Option<Batch<'a>>], full: &mut Vec<Batch<'a>>) {
        let part = part(offer.client, self.heights.len() as u16);
        let slot = &mut open[usize::from(part)];
        let batch = slot.get_or_insert_with(|| Batch { part, records: Vec::new(), bytes: 0 });
        batch.bytes += offer.line.len() + offer.client.len();
        batch.records.push(offer);
        if batch.records.len() >= BATCH_RECORDS || batch.bytes >= BATCH_BYTES {
            full.extend(slot.take());
        }
    }

    /// What became of the batch that was sent first.
    fn take(
        &mut self,
        engine: &mut dyn Engine,
        batch: Option<&Batch<'_>>,
        newer: &mut Vec<Vec<u8>>,
        now: Moment,
    ) -> Result<(), Fault> {
        let Some(Batch { part, records, .. }) = batch else { return Ok(()) };
        let Merged { height, newer: lines } = engine.receive()?;
        newer.extend(lines);
        let taken: Vec<u8> =
            records.iter().flat_map(|record| [record.line, b"\n"]).flatten().copied().collect();
        self.learning.sent(&taken, now);
        self.rise_in(*part, height)
    }
}
