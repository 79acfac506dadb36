//! One server without text, sockets or a clock: verbs in values, what became of them in values.
//! A turn calls it with what a door has parsed, the server's own threads to forget and to compare. It touches the
//! store and `protocol`'s values; it reads no line and writes none but the record that a report becomes.

mod news;

use std::sync::atomic::{AtomicU64, Ordering};

pub use news::{NeighbourId, News, NewsItem, Source};

use crate::protocol::record::AtFields;
use crate::protocol::{Record, Report, Rule};
use crate::store::digest::Digest;
use crate::store::{Learned, Store};

/// The server of one name: what it knows and what it takes.
pub struct Node {
    name: Box<str>,
    bounds: Bounds,
    /// Clients are forgotten so many seconds later, as the clock that stamped their records may be behind ours.
    lead_s: AtomicU64,
    pub store: Store,
}

/// What a server takes and holds.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How far ahead of this server's clock a report may be, in ns.
    pub max_ahead_ns: Option<u64>,
    /// A client not heard of for so long is unknown.
    pub forget_after_s: Option<u64>,
    /// So many clients may be known before a report of another one is refused. What neighbours say of any
    /// client is taken all the same, so that the herd agrees.
    pub max_clients: usize,
}

/// What is known of a client.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its record, without a newline.
    pub record: Vec<u8>,
    /// Degrees north of the equator and east of Greenwich.
    pub latitude_deg: f64,
    pub longitude_deg: f64,
}

/// What a neighbour's record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    News,
    Stale,
    /// It is to be forgotten already: who is slower to forget must not bring it back.
    Past,
}

impl Default for Bounds {
    fn default() -> Bounds {
        Bounds { max_ahead_ns: None, forget_after_s: None, max_clients: usize::MAX }
    }
}

impl Node {
    pub fn new(name: &str, bounds: Bounds) -> Node {
        Node { name: name.into(), bounds, lead_s: AtomicU64::new(0), store: Store::default() }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds
    }

    /// How far the slowest clock of the herd is behind ours, in s: nobody is forgotten before it says so.
    pub fn set_lead_s(&self, lead_s: u64) {
        self.lead_s.store(lead_s, Ordering::Relaxed);
    }

    /// Records heard by their origin before this second are forgotten.
    pub fn oldest_s(&self, now_ns: u64) -> Option<i64> {
        let after_s = self.bounds.forget_after_s?.saturating_add(self.lead_s.load(Ordering::Relaxed));
        let after_s = i64::try_from(after_s).unwrap_or(i64::MAX);
        Some(((now_ns / 1_000_000_000) as i64).saturating_sub(after_s))
    }

    /// A client says where it is. Returns its record, written to `line`, and what that came to.
    ///
    /// # Errors
    /// Its time is too far ahead, or as many clients are known as this server holds.
    pub fn report<'a>(
        &self,
        report: &Report<'_>,
        now_ns: u64,
        line: &'a mut Vec<u8>,
    ) -> Result<(Record<&'a [u8]>, Learned), Rule> {
        let record = self.stamp(report, now_ns, line)?;
        match self.learn_report(&record, now_ns) {
            Learned::Full => Err(Rule::Full),
            learned => Ok((record, learned)),
        }
    }

    /// The record that a report made now is, written to `line`.
    ///
    /// # Errors
    /// Its time is too far ahead.
    pub fn stamp<'a>(
        &self,
        report: &Report<'_>,
        now_ns: u64,
        line: &'a mut Vec<u8>,
    ) -> Result<Record<&'a [u8]>, Rule> {
        if self.bounds.max_ahead_ns.is_some_and(|ahead_ns| report.time.is_ahead(now_ns, ahead_ns)) {
            return Err(Rule::TooFarAhead);
        }
        let mut difference = Vec::with_capacity(32);
        report.time.write_difference(now_ns, &mut difference);
        let fields = AtFields {
            origin: self.name.as_bytes(),
            difference: &difference,
            client: report.client,
            location: report.location,
            time: report.time,
        };
        Ok(Record::write(&fields, line))
    }

    /// Learns the record of a report made to this server.
    pub fn learn_report(&self, record: &Record<&[u8]>, now_ns: u64) -> Learned {
        self.store.learn_report(record, self.oldest_s(now_ns), self.bounds.max_clients)
    }

    /// Where a client is; None while it is not known.
    pub fn find(&self, client: &[u8], now_ns: u64) -> Option<Found> {
        let found = self.store.read(client, |record| {
            if self.is_past(&record, now_ns) {
                return None;
            }
            let (latitude_deg, longitude_deg) = record.degrees();
            Some(Found { record: record.line().to_vec(), latitude_deg, longitude_deg })
        });
        found.flatten()
    }

    /// Merges a record that a neighbour passed on.
    pub fn hear(&self, record: &Record<&[u8]>, now_ns: u64) -> Heard {
        if self.is_past(record, now_ns) {
            return Heard::Past;
        }
        match self.store.learn(record, self.oldest_s(now_ns)) {
            Learned::News => Heard::News,
            Learned::Stale | Learned::Full => Heard::Stale,
        }
    }

    /// Learns a record that was kept. What is to be forgotten is so later: no neighbour has said yet what it
    /// thinks of our clock.
    pub fn restore(&self, record: &Record<&[u8]>) {
        // What is superseded in the same journal is no news.
        let _ = self.store.learn(record, None);
    }

    /// Forgets who is to be forgotten of one bucket of the store; returns how many.
    pub fn forget(&self, bucket: usize, now_ns: u64) -> usize {
        self.oldest_s(now_ns).map_or(0, |oldest_s| self.store.forget(bucket, oldest_s))
    }

    /// What this server knows now, for comparing.
    pub fn digest(&self, now_ns: u64) -> Digest {
        self.store.digest(self.oldest_s(now_ns))
    }

    fn is_past(&self, record: &Record<&[u8]>, now_ns: u64) -> bool {
        self.oldest_s(now_ns).is_some_and(|oldest_s| record.received_s() < oldest_s)
    }
}

#[cfg(test)]
mod tests;
