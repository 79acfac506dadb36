//! AT lines that an engine has, learned as a neighbour's are: in turns, with the journal and the flood. Lanes and tails
//! have each its own.

use std::sync::Arc;

use super::engine::{Engine, Fault, Offer};
use super::findings::Findings;
use crate::clock::Moment;
use crate::limits::{BACKBONE_TURN_BYTES, WRONG_MAX};
use crate::link::is_note;
use crate::logging::{Escaped, Wire};
use crate::node::{Heard, NeighbourId, Source};
use crate::protocol::record::AtFields;
use crate::protocol::{Command, Record};
use crate::store::digest::{PARTS, part_of};
use crate::turn::{Core, Turn};

/// What one thread learns from an engine.
pub struct Learning {
    pub core: Arc<Core>,
    /// The number that stands for the engine.
    engine: NeighbourId,
    name: String,
    turn: Turn,
    findings: Arc<Findings>,
    /// Lines that the engine has, and takes for newer than what counts here.
    wrong: Vec<Vec<u8>>,
}

impl Learning {
    pub fn new(core: Arc<Core>, engine: NeighbourId, findings: Arc<Findings>, wire: Wire) -> Learning {
        let (turn, name) = (Turn::new(&core, wire), core.neighbours.name(engine));
        Learning { core, engine, name, turn, findings, wrong: Vec::new() }
    }

    /// Learns lines, each without its newline; what is news goes to the journal and to the neighbours.
    pub fn learn<'l>(&mut self, lines: impl Iterator<Item = &'l [u8]>, now: Moment) {
        let Learning { core, turn, wrong, .. } = self;
        // By a clock that is behind, what is right may seem to be too far ahead.
        let may_correct = !self.findings.is_clock_behind();
        let from = Some(Source { neighbour: self.engine, incarnation: 0 });
        let mut bytes = 0;
        turn.begin();
        turn.wire.at(now.posix_ns);
        turn.wire.with_neighbour(&self.name);
        for line in lines {
            let Ok(Command::At(fields)) = Command::parse(line) else {
                let name = &self.name;
                core.tallies.dropped.count(now.up, |total| {
                    let line = Escaped(line);
                    log::warn!(
                        "{name} has what is no AT line, which is left there: {line}; {total} dropped so far"
                    );
                });
                continue;
            };
            match turn.hear(core, &fields, from, now.posix_ns) {
                Heard::News => _ = turn.wire.received(line),
                Heard::Stale
                    if may_correct
                        && !is_note(line)
                        && wrong.len() < WRONG_MAX
                        && older_than(core, &fields).is_some() =>
                {
                    wrong.push(line.to_vec());
                }
                Heard::Stale => {}
                Heard::Past => core.tallies.past.count(now.up, |_| {}),
            }
            bytes += line.len();
            if bytes >= BACKBONE_TURN_BYTES {
                turn.commit(core, now);
                bytes = 0;
            }
        }
        turn.commit(core, now);
        turn.end();
    }

    /// Of lines that were learned and that the engine takes for newer than what counts here, as their times are too far
    /// ahead, has what is known here take the place.
    ///
    /// # Errors
    /// The engine fails.
    pub fn correct(&mut self, engine: &mut dyn Engine, parts: u16) -> Result<(), Fault> {
        while let Some(line) = self.wrong.last() {
            let parsed = Command::parse(line);
            let own = parsed.ok().and_then(|command| match command {
                Command::At(fields) => older_than(&self.core, &fields),
                _ => None,
            });
            if let Some(((held, _), own)) = offer(line).zip(own) {
                engine.replace(part(held.client, parts), &held, &own)?;
            }
            self.wrong.pop();
        }
        Ok(())
    }

    /// Has the log say what the engine has taken: lines, each with its newline.
    pub fn sent(&mut self, lines: &[u8], now: Moment) {
        let wire = &mut self.turn.wire;
        wire.at(now.posix_ns);
        wire.with_neighbour(&self.name);
        wire.flooded(lines);
        wire.commit();
    }
}

/// The line of a client that counts here though it is older than another one of it; None where there is none.
fn older_than(core: &Core, other: &AtFields<'_>) -> Option<Vec<u8>> {
    let mut line = Vec::new();
    let record = Record::write(other, &mut line);
    let older = |own: Record<&[u8]>| own.cmp_age(&record).is_lt().then(|| own.line().to_vec());
    core.node.store.read(other.client, older).flatten()
}

/// An offer of a line, and who its origin is; None for what is no AT line.
pub fn offer(line: &[u8]) -> Option<(Offer<'_>, &[u8])> {
    let Ok(Command::At(fields)) = Command::parse(line) else { return None };
    Some((Offer { client: fields.client, is_note: is_note(line), line }, fields.origin))
}

/// The part in which a client is, where there are so many.
pub fn part(client: &[u8], parts: u16) -> u16 {
    (part_of(client) * usize::from(parts) / PARTS) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_spread_over_all_parts() {
        for parts in [1u16, 2, 16, 256] {
            let mut counts = vec![0; usize::from(parts)];
            (0..10_000)
                .for_each(|number| counts[usize::from(part(format!("c{number}").as_bytes(), parts))] += 1);
            let most = 10_000 / usize::from(parts) * 2;
            assert!(counts.iter().all(|count| (1..=most).contains(count)), "{parts}: {counts:?}");
        }
    }
}
