//! What a server can say of itself at one moment: what it knows, how far its neighbours are, what goes wrong. One
//! snapshot, from which whoever asks is answered: `herd --agree` by the words of a neighbour. The
//! thread for sweeps takes it, as it walks the store.

mod process;

use std::time::Duration;

use crate::clock::Moment;
use crate::link::{Lag, Outlet};
use crate::logging::count;
use crate::protocol::{Rule, Span};
use crate::store::digest::Digest;
use crate::tally::{Asked, DoorKind, Summed, SummedConnections, SummedPhones, SummedTimes, Tallies, Tally};
use crate::turn::Core;

pub use process::Process;

/// A snapshot.
pub struct Status {
    /// What the server knows, for comparing; None where nobody asked for it, as it takes a walk through the store.
    pub digest: Option<Digest>,
    /// How many clients it knows.
    pub clients: usize,
    /// Bytes of all records, without newlines.
    pub record_bytes: u64,
    /// Records that were news since the start, and records that were forgotten.
    pub news: u64,
    pub forgotten: u64,
    /// One a neighbour.
    pub links: Vec<LinkStatus>,
    /// When its journal was read, since the start of the process's clock; None before that.
    pub opened_at: Option<Duration>,
    pub journal: JournalStatus,
    /// Bytes of its files; None without one, and while somebody writes to it.
    pub journal_bytes: Option<u64>,
    /// How long its syncs took, and how often it could not be written; None without one.
    pub journal_work: Option<(SummedTimes, u64)>,
    /// How many watch what happens.
    pub watchers: usize,
    /// Batches of news that were handed to links.
    pub flood_batches: u64,
    /// What phones sent.
    pub phones: SummedPhones,
    /// Connections by door.
    pub connections: Vec<(DoorKind, SummedConnections)>,
    /// What the system counts of this process.
    pub process: Process,
    /// Clocks, names and herd.confs that are not as they should be, in sentences.
    pub oddities: Vec<String>,
    pub counts: Counts,
    /// Lines of clients that were refused since the start, by rule.
    pub refused_lines: Vec<(Rule, u64)>,
    /// What was asked, and what came of it.
    pub traffic: Vec<(Asked, Summed)>,
    pub hall: HallStatus,
}

/// What the worker's hall knows: connections, lookups and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HallStatus {
    /// Connections of guests, of those who may still prove to be of the herd, and of those who have.
    pub guests: usize,
    pub on_trial: usize,
    pub herd: usize,
    /// Bytes of replies that clients have not read, the system's share included.
    pub unsent_bytes: usize,
    pub lookups_waiting: usize,
    /// Lookups since the start, by what came of them.
    pub lookups: Vec<(&'static str, u64)>,
    /// None when there is no bound.
    pub lookups_left_today: Option<u64>,
    /// Records of the log that were dropped since the start.
    pub log_dropped: u64,
    /// What tells one herd.conf from another.
    pub config: u64,
}

/// How far a neighbour is.
pub struct LinkStatus {
    pub name: String,
    pub lag: Lag,
    /// Clients whose latest record it refuses, and records that it closed a connection over.
    pub refused: usize,
    pub spared: Count,
    /// What it said of our marks that cannot be.
    pub untrue: Count,
    /// It has long known other clients.
    pub differs: bool,
    /// It is of the herd, and has not yet sent all it knew since our start.
    pub is_still_sending: bool,
    /// Nobody knows whether it is there.
    pub is_untried: bool,
}

/// Whether what is learned is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JournalStatus {
    /// Nothing is to be kept.
    Absent,
    /// What was kept before the start is still being read.
    Reading,
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
    /// Connections closed for want of room, as they were silent, as too much was unsent, and for want of a descriptor.
    pub refused: Count,
    pub evicted: Count,
    pub shed: Count,
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
    pub full_of_notes: Count,
    pub far_ahead: Count,
    /// Addresses that showed as many wrong tokens as may be.
    pub guessed: Count,
    /// The same, where our own clock seems to be wrong.
    pub suspect: Count,
    /// Words of neighbours about another server of our own name.
    pub twins_told: Count,
}

impl Status {
    /// Takes a snapshot, with a digest of what was heard within a time, if one is named: that walks the store.
    pub fn of(core: &Core, hall: HallStatus, span: Option<Span>, now: Moment) -> Status {
        let (node, store) = (&core.node, &core.node.store);
        Status {
            digest: span.map(|span| node.digest(span, now.posix_ns)),
            clients: store.count(),
            record_bytes: store.bytes(),
            news: store.news(),
            forgotten: store.forgotten(),
            links: core.flood.links().iter().map(|link| LinkStatus::of(link, core, now.up)).collect(),
            opened_at: core.opened_at(),
            journal: match core.journal() {
                None if core.opened_at().is_none() => JournalStatus::Reading,
                None => JournalStatus::Absent,
                Some(journal) if journal.is_degraded() => JournalStatus::Degraded,
                Some(_) => JournalStatus::Written,
            },
            journal_bytes: core.journal().and_then(|journal| journal.bytes()),
            journal_work: core.journal().map(|journal| (journal.syncs(), journal.failures())),
            watchers: core.flood.feed.readers(),
            flood_batches: core.flood.batches(),
            phones: core.tallies.traffic.phones(),
            connections: DoorKind::ALL.map(|by| (by, core.tallies.traffic.connections(by))).into(),
            process: Process::look(),
            oddities: core.neighbours.oddities.notes(now.up),
            counts: Counts::of(core, now.up),
            refused_lines: core.tallies.refusals.by_rule(),
            traffic: Asked::ALL.into_iter().map(|asked| (asked, core.tallies.traffic.of(asked))).collect(),
            hall,
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
                counts.full_of_notes,
                "client",
                "that is not known neither taken nor forgotten: as many that were forgotten are remembered as max_clients \
                 allows",
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
    fn of(link: &Outlet, core: &Core, now: Duration) -> LinkStatus {
        let is_still_sending = !link.kind().is_plain() && !core.neighbours.seen.has_marked(link.id());
        let name = link.name().to_owned();
        LinkStatus {
            name,
            lag: link.lag(&core.node.store, now),
            refused: link.refused(),
            spared: Count::of(&link.spared, now),
            untrue: Count::of(&link.untrue, now),
            differs: link.differs(),
            is_still_sending,
            is_untried: !link.kind().is_plain() && !link.was_tried(),
        }
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

impl Count {
    fn of(tally: &Tally, now: Duration) -> Count {
        Count { total: tally.total(), is_recent: tally.is_recent(now) }
    }
}

impl Counts {
    fn of(core: &Core, now: Duration) -> Counts {
        let count = |tally: &Tally| Count::of(tally, now);
        // Without `..`, so that none is left out.
        let Tallies {
            refused,
            evicted,
            shed,
            starved,
            dropped,
            cut,
            denied,
            past,
            full,
            full_of_notes,
            guessed,
            far_ahead,
            suspect,
            refusals: _,
            traffic: _,
        } = &core.tallies;
        Counts {
            refused: count(refused),
            evicted: count(evicted),
            shed: count(shed),
            starved: count(starved),
            dropped: count(dropped),
            cut: count(cut),
            denied: count(denied),
            past: count(past),
            full: count(full),
            full_of_notes: count(full_of_notes),
            guessed: count(guessed),
            far_ahead: count(far_ahead),
            suspect: count(suspect),
            twins_told: count(&core.neighbours.oddities.twins_told),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{Identity, KeyRing, Neighbours};
    use crate::node::{Bounds, Node};

    #[test]
    fn every_tally_shows_under_its_own_name() {
        let own = Identity { name: "Goloman".into(), incarnation: 1, conf: 3 };
        let beat = Duration::from_secs(5);
        let neighbours = Neighbours::new(own, Vec::new(), KeyRing::default(), Duration::ZERO, beat);
        let core = Core::alone(Node::new("Goloman", Bounds::default()), neighbours);
        let (tallies, now) = (&core.tallies, Moment { up: beat, posix_ns: 1_520_023_934_918_963_997 });
        let count = |tally: &Tally, times: u64| (0..times).for_each(|_| tally.count(beat, |_| {}));
        count(&tallies.evicted, 1);
        count(&tallies.shed, 2);
        count(&tallies.suspect, 3);
        count(&tallies.far_ahead, 4);
        count(&core.neighbours.oddities.twins_told, 5);
        (0..2).for_each(|_| tallies.refusals.count(Rule::Keyword));
        let hall = HallStatus { guests: 7, ..HallStatus::default() };
        let status = Status::of(&core, hall.clone(), Some(Span::ALL), now);
        let Counts { evicted, shed, suspect, far_ahead, twins_told, full, .. } = status.counts;
        let totals = [evicted, shed, suspect, far_ahead, twins_told, full].map(|count| count.total);
        assert_eq!(totals, [1, 2, 3, 4, 5, 0]);
        assert_eq!((status.refused_lines, status.hall), (vec![(Rule::Keyword, 2)], hall));
    }
}
