//! Whether the engine has all that this server knows. A server publishes what it is the origin of; what is of an origin that
//! is gone for good, and that the engine has lost, only others have. So each of them now and then reads all there is, a
//! share of the parts at a time, and publishes what is not there or is older, whoever is its origin.

use std::collections::HashMap;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use super::engine::{Engine, Fault, Offer};
use super::learning::{offer, part};
use crate::limits::{BATCH_BYTES, BATCH_RECORDS, SCRUB_SHARES};
use crate::store::digest::{PARTS, part_of};
use crate::store::{Store, Walk};

/// Parts of a digest in a share.
const SHARE: usize = PARTS / SCRUB_SHARES;

/// One way through all parts.
pub struct Scrub {
    /// The share that is looked at: of the parts of a digest.
    share: Range<usize>,
    /// Where in it the engine is read: its own parts are of one or more of these, or have several shares.
    part: u16,
    cursor: u64,
    /// What the engine has of the share: hashes of clients and of lines.
    held: HashMap<u64, u64>,
    /// What of the share is to be published; None while the engine is read.
    missing: Option<Vec<Vec<u8>>>,
    /// In how many parts the engine has the herd.
    parts: u16,
}

impl Scrub {
    pub fn new(parts: u16) -> Scrub {
        Scrub { part: 0, share: 0..SHARE, cursor: 0, held: HashMap::new(), missing: None, parts }
    }

    /// Takes the next step; None when all parts were looked at. Gives lines that the engine has.
    ///
    /// # Errors
    /// The engine fails.
    pub fn go_on(&mut self, engine: &mut dyn Engine, store: &Store) -> Result<Option<Vec<Vec<u8>>>, Fault> {
        if let Some(missing) = &mut self.missing {
            let newer = publish(engine, missing, self.parts)?;
            if missing.is_empty() {
                self.share = self.share.end..self.share.end + SHARE;
                (self.part, self.cursor, self.missing) = (self.part_of(self.share.start), 0, None);
                self.held.clear();
            }
            return Ok(Some(newer));
        }
        if self.share.start >= PARTS {
            return Ok(None);
        }
        let (cursor, lines) = engine.scan(self.part, self.cursor)?;
        let offers = lines.iter().filter_map(|line| Some(offer(line)?.0));
        let here = offers.filter(|offer| self.share.contains(&part_of(offer.client)));
        self.held.extend(here.map(|offer| (field(&offer), xxh3_64(offer.line))));
        self.cursor = cursor;
        if cursor == 0 {
            self.part += 1;
            if self.part > self.part_of(self.share.end - 1) {
                self.missing = Some(self.missing_in(store));
            }
        }
        Ok(Some(lines))
    }

    /// The part of the engine in which one of a digest is.
    fn part_of(&self, part: usize) -> u16 {
        (part * usize::from(self.parts) / PARTS) as u16
    }

    fn missing_in(&self, store: &Store) -> Vec<Vec<u8>> {
        let (mut missing, mut walk, mut lines) = (Vec::new(), Walk::all(), Vec::new());
        while walk.step(store, &mut lines) {
            for (offer, _) in lines.split(|&byte| byte == b'\n').filter_map(offer) {
                let is_here = self.share.contains(&part_of(offer.client));
                if is_here && self.held.get(&field(&offer)) != Some(&xxh3_64(offer.line)) {
                    missing.push(offer.line.to_vec());
                }
            }
            lines.clear();
        }
        missing
    }
}

/// Publishes some of the lines, all of one part, and takes them out. Gives what the engine has that is newer.
fn publish(engine: &mut dyn Engine, lines: &mut Vec<Vec<u8>>, parts: u16) -> Result<Vec<Vec<u8>>, Fault> {
    let part_of = |line: &[u8]| offer(line).map(|(offer, _)| part(offer.client, parts));
    let Some(index) = lines.last().and_then(|line| part_of(line)) else {
        lines.clear();
        return Ok(Vec::new());
    };
    let (mut batch, mut bytes) = (Vec::new(), 0);
    lines.retain(|line| {
        let fits = batch.len() < BATCH_RECORDS && bytes < BATCH_BYTES && part_of(line) == Some(index);
        if fits {
            bytes += 2 * line.len();
            batch.push(line.clone());
        }
        !fits
    });
    let offers: Vec<Offer<'_>> = batch.iter().filter_map(|line| Some(offer(line)?.0)).collect();
    engine.send(index, &offers)?;
    Ok(engine.receive()?.newer)
}

/// The hash of where a record is in the engine.
fn field(offer: &Offer<'_>) -> u64 {
    xxh3_64(offer.client) ^ u64::from(offer.is_note)
}
