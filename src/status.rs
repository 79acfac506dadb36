//! What a server can say of itself at one moment: what it knows, how far its neighbours are, what goes wrong. One
//! snapshot, from which whoever asks is answered: `herd --agree` by the words of a neighbour. The
//! thread for sweeps takes it, as it walks the store.

use std::time::Duration;

use crate::clock::Moment;
use crate::link::{Lag, Outlet};
use crate::logging::count;
use crate::protocol::Span;
use crate::store::Store;
use crate::store::digest::Digest;
use crate::tally::Tally;
use crate::turn::Core;

/// A snapshot.
pub struct Status {
    /// What the server knows, for comparing, and how many clients that are.
    pub digest: Digest,
    /// Bytes of all records, without newlines.
    pub record_bytes: u64,
    /// Records that were news since the start, and records that were forgotten.
    pub news: u64,
    pub forgotten: u64,
    /// One a neighbour.
    pub links: Vec<LinkStatus>,
    pub journal: JournalStatus,
    /// Clocks, names and herd.confs that are not as they should be, in sentences.
    pub oddities: Vec<String>,
    pub counts: Counts,
    /// Lines of clients that were refused since the start.
    pub refused_lines: u64,
}

/// How far a neighbour is.
pub struct LinkStatus {
    pub name: String,
    pub lag: Lag,
    /// Clients whose latest record it refuses.
    pub refused: usize,
    /// It has long known other clients.
    pub differs: bool,
}

/// Whether what is learned is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalStatus {
    /// Nothing is to be kept.
    Absent,
    Written,
    /// It cannot be written.
    Degraded,
}

/// How often something went wrong since the start, and whether it did lately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count {
    pub total: u64,
    pub is_recent: bool,
}

/// What goes wrong now and then, as `tally` counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Connections closed for want of room, and for want of a descriptor.
    pub refused: Count,
    pub starved: Count,
    /// AT lines of neighbours that are no records, and that were cut off.
    pub dropped: Count,
    pub cut: Count,
    /// Links refused.
    pub denied: Count,
    /// Records of neighbours that were to be forgotten when they came.
    pub past: Count,
    /// Reports refused as too many clients are known, and taken with a time far ahead.
    pub full: Count,
    pub far_ahead: Count,
}

impl Status {
    /// Takes a snapshot, with a digest of what was heard within a time. Walks the store.
    pub fn of(core: &Core, span: Span, now: Moment) -> Status {
        let (node, store) = (&core.node, &core.node.store);
        Status {
            digest: node.digest(span, now.posix_ns),
            record_bytes: store.bytes(),
            news: store.news(),
            forgotten: store.forgotten(),
            links: core.flood.links().iter().map(|link| LinkStatus::of(link, store, now.up)).collect(),
            journal: match &core.journal {
                None => JournalStatus::Absent,
                Some(journal) if journal.is_degraded() => JournalStatus::Degraded,
                Some(_) => JournalStatus::Written,
            },
            oddities: core.neighbours.oddities.notes(now.up),
            counts: Counts::of(core, now.up),
            refused_lines: core.tallies.refusals.total(),
        }
    }

    /// What whoever runs the herd should know of this server, in sentences; none while all is well.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = self.oddities.clone();
        notes.extend(self.links.iter().flat_map(LinkStatus::notes));
        if self.journal == JournalStatus::Degraded {
            let what = "the journal cannot be written: what this server learns is in its memory only, or refused; its log \
                        says why";
            notes.push(what.to_owned());
        }
        let counts = &self.counts;
        let worth_a_word = [
            (counts.dropped, "AT line", "of neighbours dropped, as no valid record; the log says why"),
            (counts.past, "record", "of neighbours dropped: forget_after had passed when it came"),
            (
                counts.full,
                "report",
                "refused: its client is not known, and as many as max_clients allows are",
            ),
            (
                counts.far_ahead,
                "report",
                "with a time far ahead, before which any other counts; the log has some of the clients",
            ),
        ];
        let recent = worth_a_word.iter().filter(|(found, ..)| found.is_recent);
        notes.extend(recent.map(|(found, what, rest)| {
            format!("{} since the start, the last of them lately: {rest}", count(found.total, what))
        }));
        notes
    }
}

impl LinkStatus {
    fn of(link: &Outlet, store: &Store, now: Duration) -> LinkStatus {
        let name = link.name().to_owned();
        LinkStatus { name, lag: link.lag(store, now), refused: link.refused(), differs: link.differs() }
    }

    fn notes(&self) -> Vec<String> {
        let (name, mut notes) = (&self.name, Vec::new());
        if self.refused > 0 {
            let clients = count(self.refused as u64, "client");
            notes.push(format!("{name} refuses the latest record of {clients}, and is spared it"));
        }
        if self.differs {
            notes.push(format!(
                "{name} and this server have long known different clients; compare their logs"
            ));
        }
        notes
    }
}

impl Counts {
    fn of(core: &Core, now: Duration) -> Counts {
        let count = |tally: &Tally| Count { total: tally.total(), is_recent: tally.is_recent(now) };
        let tallies = &core.tallies;
        Counts {
            refused: count(&tallies.refused),
            starved: count(&tallies.starved),
            dropped: count(&tallies.dropped),
            cut: count(&tallies.cut),
            denied: count(&tallies.denied),
            past: count(&tallies.past),
            full: count(&tallies.full),
            far_ahead: count(&tallies.far_ahead),
        }
    }
}
