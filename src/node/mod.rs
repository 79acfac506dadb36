//! One server without text, sockets or a clock: verbs in values, what became of them in values.
//! A turn calls it with what a door has parsed, the server's own threads to forget and to compare. It touches the
//! store and `protocol`'s values; it reads no line and writes none but the record that a report becomes.

mod bounds;
mod clients;
mod nearest;
mod news;

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};

pub use bounds::Bounds;
pub use clients::Clients;
pub use nearest::Sought;
pub use news::{NeighbourId, News, NewsItem, Source};

use crate::limits::{CLOCK_SANE_NS, COMPARE_MARGIN_S, COMPARE_SETTLED_S, NEVER_PAST_S};
use crate::protocol::record::{self, AtFields, NOTE_ORIGIN};
use crate::protocol::{Location, Record, Report, Rule, Span, Timestamp};
use crate::store::digest::Digest;
use crate::store::{Batch, Horizon, Learned, Loading, Outdated, Store};
use bounds::LiveBounds;

/// The server of one name: what it knows and what it takes.
pub struct Node {
    name: Box<str>,
    /// What the records of reports to it begin with.
    head: Vec<u8>,
    bounds: LiveBounds,
    /// Clients are forgotten so many seconds later, as the clock that stamped their records may be behind ours.
    lead_s: AtomicU64,
    /// What was heard before this second is past: dropped, and not taken from neighbours. Like the next it moves only
    /// when it is told to, so a clock that has just jumped makes nothing past.
    oldest_s: AtomicI64,
    /// What was heard before this second is not shown.
    shown_s: AtomicI64,
    /// Our own clock may be far behind, so that nothing is ahead by it.
    is_clock_suspect: AtomicBool,
    pub store: Store,
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

/// Which records two servers compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All that are not just being forgotten.
    All,
    /// Those of them that nobody reported lately: what is new may be on its way.
    Settled,
}

/// What a neighbour's record came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    News,
    Stale,
    /// It is to be forgotten already: who is slower to forget must not bring it back.
    Past,
}

impl Node {
    pub fn new(name: &str, bounds: Bounds) -> Node {
        Node {
            name: name.into(),
            head: record::head_of(name),
            bounds: LiveBounds::new(bounds),
            lead_s: AtomicU64::new(0),
            oldest_s: AtomicI64::new(NEVER_PAST_S),
            shown_s: AtomicI64::new(NEVER_PAST_S),
            is_clock_suspect: AtomicBool::new(false),
            store: Store::new(bounds.is_indexed),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn bounds(&self) -> Bounds {
        self.bounds.get()
    }

    /// Has other bounds count from now on, but that there is an index or not as before. What the old ones hid is shown
    /// again once the clock is looked at, if the new ones do not hide it.
    pub fn set_bounds(&self, bounds: Bounds) {
        self.bounds.set(bounds);
        if bounds.forget_after_s.is_none() {
            self.oldest_s.store(NEVER_PAST_S, Ordering::Relaxed);
            self.shown_s.store(NEVER_PAST_S, Ordering::Relaxed);
        }
    }

    /// How far the slowest clock of the herd is behind ours, in s: nobody is forgotten before it says so. And whether
    /// our own seems to be far behind others.
    pub fn set_clocks(&self, lead_s: u64, is_suspect: bool) {
        self.lead_s.store(lead_s, Ordering::Relaxed);
        self.is_clock_suspect.store(is_suspect, Ordering::Relaxed);
    }

    /// Time has passed up to now, by a clock that has not just jumped: who was heard `forget_after` ago is not shown.
    pub fn let_hide(&self, now_ns: u64) {
        if let Some(oldest_s) = self.oldest_at(now_ns) {
            self.shown_s.store(oldest_s, Ordering::Relaxed);
        }
    }

    /// The same, and neighbours had the time to say what they think of our clock: it is past.
    pub fn let_pass(&self, now_ns: u64) {
        self.let_hide(now_ns);
        if let Some(oldest_s) = self.oldest_at(now_ns) {
            self.oldest_s.store(oldest_s, Ordering::Relaxed);
        }
    }

    /// The clock reads less than it did, or a slower one is known: nothing is past any more that is not by now, however
    /// lately it jumped. That takes nothing from anybody. Says whether somebody may be shown again.
    pub fn let_return(&self, now_ns: u64) -> bool {
        let Some(oldest_s) = self.oldest_at(now_ns) else { return false };
        self.oldest_s.fetch_min(oldest_s, Ordering::Relaxed);
        self.shown_s.fetch_min(oldest_s, Ordering::Relaxed) > oldest_s
    }

    fn oldest_at(&self, now_ns: u64) -> Option<i64> {
        let after_s = self.bounds().forget_after_s?.saturating_add(self.lead_s.load(Ordering::Relaxed));
        Some(seconds(now_ns).saturating_sub(seconds_of(after_s)))
    }

    fn oldest_s(&self) -> Option<i64> {
        Some(self.oldest_s.load(Ordering::Relaxed)).filter(|oldest_s| *oldest_s != NEVER_PAST_S)
    }

    /// Up to when a client's time is believed; None while our own clock cannot tell.
    fn latest_ns(&self, now_ns: u64) -> Option<u64> {
        let is_suspect = now_ns < CLOCK_SANE_NS || self.is_clock_suspect.load(Ordering::Relaxed);
        (!is_suspect).then(|| now_ns.saturating_add(self.bounds().max_ahead_ns))
    }

    /// What is believed of times now.
    pub fn horizon(&self, now_ns: u64) -> Horizon {
        let shown_s = Some(self.shown_s.load(Ordering::Relaxed)).filter(|shown_s| *shown_s != NEVER_PAST_S);
        let (latest_ns, oldest_note_s) = (self.latest_ns(now_ns), Some(self.oldest_note_s(now_ns)));
        Horizon { oldest_s: self.oldest_s(), shown_s, latest_ns, oldest_note_s }
    }

    fn oldest_note_s(&self, now_ns: u64) -> i64 {
        seconds(now_ns).saturating_sub(seconds_of(self.bounds().forgotten_for_s))
    }

    // --- comparing

    /// The time in which two servers know the same, if they know the same. What is about to be forgotten here may be
    /// forgotten there already, as no two clocks are equal, and what is not heard yet, by our clock, is forgotten by
    /// each server's own uptime.
    pub fn span(&self, scope: Scope, now_ns: u64) -> Span {
        let from_s = self.oldest_s().map(|oldest_s| oldest_s.saturating_add(self.margin_s()));
        let latest_s = self.bounds().forget_after_s.and(self.latest_ns(now_ns)).map(seconds);
        let settled_s = (scope == Scope::Settled).then(|| seconds(now_ns).saturating_sub(COMPARE_SETTLED_S));
        Span { from_s, to_s: settled_s.or(latest_s) }
    }

    /// What this server knows of a time that somebody else asks for, or of as much of it as it can tell.
    pub fn digest(&self, asked: Span, now_ns: u64) -> Digest {
        self.store.digest(self.span_within(asked, now_ns))
    }

    /// The time as asked, as long as this server is not about to forget what is in it.
    fn span_within(&self, asked: Span, now_ns: u64) -> Span {
        let least_s = self.oldest_s().map(|oldest_s| oldest_s.saturating_add(self.margin_s() / 2));
        if asked.from_s >= least_s {
            return asked;
        }
        Span { from_s: asked.from_s.max(self.span(Scope::All, now_ns).from_s), ..asked }
    }

    /// A part of `forget_after`, where that is short.
    fn margin_s(&self) -> i64 {
        let quarter_s = self.bounds().forget_after_s.map_or(i64::MAX, |after_s| seconds_of(after_s / 4));
        COMPARE_MARGIN_S.min(quarter_s)
    }

    // --- verbs

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
            Learned::FullOfNotes => Err(Rule::FullOfNotes),
            learned @ (Learned::News | Learned::Stale) => Ok((record, learned)),
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
        if self.bounds().refuses_ahead && self.is_far_ahead(report, now_ns) {
            return Err(Rule::TooFarAhead);
        }
        // The clock by which it was to be forgotten may have been ahead of ours; what is reported afterwards counts.
        let void_until_ns = self.store.void_until_ns(report.client, || self.horizon(now_ns));
        let now_ns = now_ns.max(void_until_ns.map_or(0, |until_ns| until_ns.saturating_add(1)));
        Ok(report.record(&self.head, now_ns, line))
    }

    /// Whether a report is further ahead of this server's clock than counts before others.
    pub fn is_far_ahead(&self, report: &Report<'_>, now_ns: u64) -> bool {
        report.time.is_ahead(now_ns, self.bounds().max_ahead_ns)
    }

    /// The note that a client is to be forgotten, written to `line`: all that was heard of it up to now is void, and
    /// what is known of it, though a clock that was ahead heard that.
    pub fn note<'a>(&self, client: &[u8], now_ns: u64, line: &'a mut Vec<u8>) -> Record<&'a [u8]> {
        // A note that is too far ahead would count for nothing, and one of now voids what is too far ahead.
        let horizon = self.horizon(now_ns);
        let heard_ns = self.store.read(client, |record| record.received_ns());
        let heard_ns = heard_ns.filter(|heard_ns| !horizon.is_heard_ahead(*heard_ns)).unwrap_or(0);
        let until_ns = now_ns.max(u64::try_from(heard_ns).unwrap_or(0));
        let mut time = Vec::new();
        let fields = AtFields {
            origin: NOTE_ORIGIN,
            difference: b"+0",
            client,
            location: Location::NOWHERE,
            time: Timestamp::of_ns(until_ns, &mut time),
        };
        Record::write(&fields, line)
    }

    /// Learns the record of a report made to this server, or a note made here.
    pub fn learn_report(&self, record: &Record<&[u8]>, now_ns: u64) -> Learned {
        self.store.learn_report(record, &self.horizon(now_ns), self.bounds().max_clients)
    }

    /// Where a client is; None while it is not known.
    pub fn find(&self, client: &[u8]) -> Option<Found> {
        self.see(client, |record| {
            let (latitude_deg, longitude_deg) = record.degrees();
            Found { record: record.line().to_vec(), latitude_deg, longitude_deg }
        })
    }

    /// Hands a client's record to `see`, while the store is locked; None while it is not known.
    pub fn see<T>(&self, client: &[u8], see: impl FnOnce(Record<&[u8]>) -> T) -> Option<T> {
        let is_shown = self.shows();
        self.store.read(client, |record| is_shown(&record).then(|| see(record))).flatten()
    }

    /// Hands the records of all clients that are shown in one bucket of the store to `see`, while it is locked.
    pub fn see_bucket(&self, bucket: usize, mut see: impl FnMut(Record<&[u8]>)) {
        let is_shown = self.shows();
        self.store.read_bucket(bucket, |record| {
            if is_shown(&record) {
                see(record);
            }
        });
    }

    /// The same of those that were learned after an epoch, and the notes of clients of which nothing else is known.
    pub fn see_newer(&self, bucket: usize, epoch: u32, mut see: impl FnMut(Record<&[u8]>)) {
        let is_shown = self.shows();
        self.store.read_newer(bucket, epoch, |record| {
            if record.is_note() || is_shown(&record) {
                see(record);
            }
        });
    }

    /// The same for the clients with these hashes.
    pub fn see_hashes(&self, hashes: &[u64], mut see: impl FnMut(Record<&[u8]>)) {
        let is_shown = self.shows();
        self.store.read_hashes(hashes, |record| {
            if is_shown(&record) {
                see(record);
            }
        });
    }

    /// How many clients are shown. None where all would have to be looked at, as some may be hidden.
    pub fn count_soon(&self) -> Option<usize> {
        (self.shown_s.load(Ordering::Relaxed) == NEVER_PAST_S).then(|| self.store.count())
    }

    /// The same, if need be by looking at all.
    pub fn count(&self) -> usize {
        self.count_soon().unwrap_or_else(|| {
            let mut count = 0;
            self.store.buckets().for_each(|bucket| self.see_bucket(bucket, |_| count += 1));
            count
        })
    }

    /// Tells whether a record is shown now.
    fn shows(&self) -> impl Fn(&Record<&[u8]>) -> bool + use<> {
        let shown_s = self.shown_s.load(Ordering::Relaxed);
        move |record| shown_s == NEVER_PAST_S || record.received_s() >= shown_s
    }

    /// Merges a record that a neighbour passed on.
    pub fn hear(&self, record: &Record<&[u8]>, now_ns: u64) -> Heard {
        let horizon = self.horizon(now_ns);
        if horizon.is_past(record) {
            return Heard::Past;
        }
        match self.store.learn(record, &horizon) {
            Learned::News => Heard::News,
            Learned::Stale | Learned::Full | Learned::FullOfNotes => Heard::Stale,
        }
    }

    /// Learns a record that was kept, in whatever order: a turn's entries do not stand in the order of its news. None
    /// is too old yet: before old ones are forgotten, neighbours have to say what they think of our clock. But by our
    /// clock alone a client's own later record counts before one that is to be forgotten.
    pub fn restore(&self, record: &Record<&[u8]>, now_ns: u64) {
        // What is superseded in the same journal is no news.
        let _ = self.store.learn(record, &self.restoring(now_ns));
    }

    /// The same for many.
    pub fn restore_batch(&self, batch: &Batch, loading: &Loading<'_>, now_ns: u64) {
        loading.learn(batch, &self.restoring(now_ns));
    }

    fn restoring(&self, now_ns: u64) -> Horizon {
        let (shown_s, latest_ns) = (self.oldest_at(now_ns), self.latest_ns(now_ns));
        Horizon { oldest_s: None, shown_s, latest_ns, oldest_note_s: None }
    }

    /// Forgets who is to be forgotten of one bucket of the store, and tells whom; returns the epoch in which that was. Of
    /// those who were heard later than can be, nobody knows when that was: they are forgotten if they were learned up to
    /// the epoch `before`.
    pub fn forget(&self, bucket: usize, now_ns: u64, before: Option<u32>, gone: &mut Vec<Vec<u8>>) -> u32 {
        let oldest_s = self.oldest_s().unwrap_or(NEVER_PAST_S);
        let unheard = self.latest_ns(now_ns).map(seconds).zip(before);
        let outdated = Outdated { oldest_s, unheard, oldest_note_s: self.oldest_note_s(now_ns) };
        self.store.forget(bucket, &outdated, gone)
    }
}

fn seconds(ns: u64) -> i64 {
    seconds_of(ns / 1_000_000_000)
}

fn seconds_of(seconds: u64) -> i64 {
    i64::try_from(seconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
