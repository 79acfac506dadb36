//! A turn: learn, keep, flood, promise. A turn belongs to no thread: workers commit turns, and so do the lane and
//! the tail of a backbone.
//! Doors put into it what they learn and what they say; its owner commits it, and only then sends what was said.
//! It may touch the node, the journal, the flood and the neighbours. It is the only place that knows what
//! `sync = "always"` asks for.

mod keeping;

use std::ops::Range;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::clock::Moment;
use crate::flood::{self, Flood, TurnCount};
use crate::journal::Journal;
use crate::limits::{SEARCHES_PER_TURN, TURN_KEPT_BYTES, Timing};
use crate::link::{Links, Neighbours, Outlet};
use crate::logging::Wire;
use crate::node::{Heard, NeighbourId, News, Node, Source};
use crate::protocol::record::AtFields;
use crate::protocol::{Record, Report, Rule};
use crate::store::Learned;
use crate::tally::{App, Asked, DoorKind, Ended, InTurn, Reason, Tallies, Traffic};
use keeping::{Keeping, has_room_for_note};

/// What turns work on, shared by all of them.
pub struct Core {
    pub node: Arc<Node>,
    /// Set once, when the journal is read: from then on there are turns that learn.
    opened: OnceLock<Opened>,
    pub flood: Flood,
    pub neighbours: Arc<Neighbours>,
    pub tallies: Tallies,
}

/// What is there from the moment at which the journal is read.
struct Opened {
    /// None where nothing is kept on disk.
    journal: Option<Arc<Journal>>,
    /// Since the start of the process's clock.
    at: Duration,
}

/// What one turn learns and says; reused by the next.
///
/// The life of a promise, which is any reply that says that something was learned: the AT line of a report, or a
/// SEEN. In order:
///
/// 1. A door has the turn learn it, writes the reply into `out`, and tells the turn which bytes those are, and what
///    to say instead if it cannot be kept. With any `sync` but "always" only phones have to be told otherwise, as they
///    send again what was not kept; of all else the turn notes nothing.
/// 2. With "always" a report is only weighed: it is news for the turn, and the store learns it in step 4, so that
///    nobody hears of it before. A report that is no news relies on the record that it repeats, which may itself be
///    on its way to the disk: that record is kept once more with it. A query for a client whose report is still to
///    be kept waits for the next turn.
/// 3. `commit` writes all of the turn to the journal in one append, and with "always" waits until that is on the
///    disk: one sync serves every promise of the turn.
/// 4. If it is kept, the store learns the reports, and the news goes to the flood. If it is not, the reports are
///    taken out of the news, and every promise in `out` is replaced by what is to be said instead. Without "always"
///    the store has learned them already, and they stay in the news.
/// 5. The owner of the turn sends what is in `out`. So no reply is ahead of its journal or of its flood.
pub struct Turn {
    /// What is said, one connection's replies behind another's.
    pub out: Vec<u8>,
    /// Which part of it is for whom.
    sends: Vec<(u64, Range<usize>)>,
    /// What is said to many, behind what `out` has for each of them.
    shared: Shared,
    /// The record of the last report, without a newline.
    pub record: Vec<u8>,
    news: News,
    /// Epochs of neighbours that are stored with this turn.
    seen: Vec<Seen>,
    keeping: Keeping,
    pub wire: Wire,
    /// What was asked in it.
    pub asked: InTurn,
    traffic: Arc<Traffic>,
    /// So that no mark passes what this turn learned.
    count: Arc<TurnCount>,
    /// How often the nearest clients were looked for in it.
    searches: u32,
    /// Nothing is learned in turns of this thread for now: another thread's wait for the journal's disk.
    is_parted: bool,
    /// What the last one said that was visited.
    told: Told,
}

/// Whether somebody said what is to be learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Told {
    #[default]
    Nothing,
    /// And it was.
    Learned,
    /// And another thread is to learn it.
    PutOff,
}

/// All records of a neighbour's start up to this epoch are there.
#[derive(Clone, Copy, Debug)]
struct Seen {
    neighbour: NeighbourId,
    incarnation: u64,
    epoch: u32,
}

/// What was said in a turn, ready to be sent.
#[derive(Default)]
pub struct Said {
    out: Vec<u8>,
    sends: Vec<(u64, Range<usize>)>,
    shared: Shared,
}

/// What many are told is copied for none of them.
#[derive(Default)]
struct Shared {
    sends: Vec<(u64, Arc<[u8]>)>,
    /// The same for whoever is visited.
    next: Option<Arc<[u8]>>,
    /// Bytes of all.
    bytes: usize,
}

impl Said {
    /// Whom each part is for, in the order in which it was said.
    pub fn parts(&self) -> impl Iterator<Item = (u64, &[u8])> {
        self.sends.iter().map(|(to, range)| (*to, &self.out[range.clone()]))
    }

    /// What is shared, and whom it is for: behind their parts.
    pub fn shared(&self) -> impl Iterator<Item = (u64, &Arc<[u8]>)> {
        self.shared.sends.iter().map(|(to, bytes)| (*to, bytes))
    }
}

impl Core {
    /// A core that keeps nothing on disk and floods to nobody.
    pub fn alone(node: Node, neighbours: Neighbours) -> Core {
        let (node, timing) = (Arc::new(node), Timing::default());
        let (flood, _) = Flood::new(
            flood::Bounds::default(),
            Arc::default(),
            Arc::default(),
            node.clone(),
            Wire::mute(),
            timing,
            Duration::ZERO,
        );
        let core = Core::new(node, flood, Arc::new(neighbours));
        core.open(None, Duration::ZERO);
        core
    }

    /// A core whose journal is still to be read.
    pub fn new(node: Arc<Node>, flood: Flood, neighbours: Arc<Neighbours>) -> Core {
        Core { node, opened: OnceLock::new(), flood, neighbours, tallies: Tallies::default() }
    }

    /// The journal is read, or there is none, and no link is up yet. What was kept is no news to a neighbour without
    /// marks. Only the first time counts.
    pub fn open(&self, journal: Option<Arc<Journal>>, now: Duration) {
        self.opened.get_or_init(|| {
            let (epoch, _) = self.node.store.close_epoch();
            self.flood.links().iter().for_each(|link| link.begin_after(epoch));
            self.flood.feed.mark(epoch);
            Opened { journal, at: now }
        });
    }

    /// Has news go to further links, too, of neighbours that were added. What was learned before is in the store, which a
    /// link reads when it comes up: so they come up only after this.
    pub fn add_links(&self, come: &[Arc<Outlet>]) {
        // What was kept before is no news to a neighbour without marks.
        let (epoch, _) = self.node.store.close_epoch();
        come.iter().for_each(|link| link.begin_after(epoch));
        self.set_links(self.flood.links().iter().chain(come).cloned().collect());
    }

    /// Has no news go to these links any more. Their neighbours are none from here on, and their links end by themselves
    /// when they are stopped.
    pub fn remove_links(&self, gone: &[Arc<Outlet>]) {
        gone.iter().for_each(|link| self.neighbours.remove(link.id()));
        let stays = |link: &&Arc<Outlet>| !gone.iter().any(|gone| Arc::ptr_eq(gone, link));
        self.set_links(self.flood.links().iter().filter(stays).cloned().collect());
    }

    fn set_links(&self, links: Links) {
        self.flood.set_links(links.clone());
        self.flood.feed.set_links(links);
    }

    /// When the journal was read; None before that.
    pub fn opened_at(&self) -> Option<Duration> {
        self.opened.get().map(|opened| opened.at)
    }

    /// The journal; None where nothing is kept on disk, and before it is read.
    pub fn journal(&self) -> Option<&Arc<Journal>> {
        self.opened.get()?.journal.as_ref()
    }

    /// Whether a report would be refused now, as it cannot be kept as safe as it must be.
    pub fn refuses_reports(&self) -> bool {
        self.strict_journal().is_some_and(Journal::is_degraded)
    }

    /// Whether what is learned now gets into the journal, if there is one.
    ///
    /// # Errors
    /// It is in memory alone, as the journal cannot be written.
    pub fn check_kept(&self) -> Result<(), Rule> {
        if self.journal().is_some_and(|journal| journal.is_degraded()) { Err(Rule::NotKept) } else { Ok(()) }
    }

    /// The journal, where nothing may be promised that is not on the disk.
    fn strict_journal(&self) -> Option<&Journal> {
        self.journal().map(|journal| &**journal).filter(|journal| journal.is_strict())
    }
}

impl Turn {
    /// The turns of one thread.
    pub fn new(core: &Core, wire: Wire) -> Turn {
        Turn {
            out: Vec::new(),
            sends: Vec::new(),
            shared: Shared::default(),
            record: Vec::new(),
            news: News::default(),
            seen: Vec::new(),
            keeping: Keeping::default(),
            wire,
            asked: InTurn::default(),
            traffic: core.tallies.traffic.join(),
            count: core.flood.turns.join(),
            searches: 0,
            is_parted: false,
            told: Told::Nothing,
        }
    }

    /// A turn begins: what is learned from now on is waited for by the next mark.
    pub fn begin(&mut self) {
        self.count.begin();
        self.searches = 0;
    }

    /// All that was learned has left.
    pub fn end(&self) {
        self.count.end();
    }

    // --- learn

    /// Has nothing be learned in this thread's turns from here on, or has it be.
    pub fn part(&mut self, is_parted: bool) {
        self.is_parted = is_parted;
    }

    /// Whether what is to be learned may be learned here. Asked before anything of that is done.
    pub fn may_learn(&mut self) -> bool {
        self.told = if self.is_parted { Told::PutOff } else { Told::Learned };
        !self.is_parted
    }

    /// What was said since this was last asked.
    pub fn take_told(&mut self) -> Told {
        std::mem::take(&mut self.told)
    }

    /// A client says where it is; its record is in `record` then. Says whether that is news.
    ///
    /// # Errors
    /// The rule by which the report is refused.
    pub fn report(&mut self, core: &Core, report: &Report<'_>, now_ns: u64) -> Result<bool, Rule> {
        if core.strict_journal().is_some() {
            return self.weigh(core, report, now_ns);
        }
        let (record, learned) = core.node.report(report, now_ns, &mut self.record)?;
        if learned == Learned::News {
            self.news.add_report(&record);
        }
        Ok(learned == Learned::News)
    }

    /// The same of whoever keeps a report until it is told that the journal has it, and tells it again: with any
    /// `sync` the record that a repeated report relies on is kept once more, as it may never have got there.
    ///
    /// # Errors
    /// The rule by which the report is refused.
    pub fn report_to_keep(&mut self, core: &Core, report: &Report<'_>, now_ns: u64) -> Result<bool, Rule> {
        let is_news = self.report(core, report, now_ns)?;
        if !is_news && core.journal().is_some() && core.strict_journal().is_none() {
            self.rely(core, report, now_ns)?;
        }
        Ok(is_news)
    }

    /// A client is to be forgotten, everywhere and for good.
    ///
    /// # Errors
    /// The rule by which that is refused.
    pub fn forget(&mut self, core: &Core, client: &[u8], now_ns: u64) -> Result<(), Rule> {
        let is_strict = core.strict_journal().is_some();
        if is_strict && core.refuses_reports() {
            return Err(Rule::NotKept);
        }
        let has_room = !is_strict || has_room_for_note(&core.node, client, &self.news);
        if !has_room {
            return Err(Rule::FullOfNotes);
        }
        let note = core.node.note(client, now_ns, &mut self.record);
        if !is_strict {
            match core.node.learn_report(&note, now_ns) {
                Learned::News => {}
                Learned::Stale => return Ok(()),
                Learned::Full | Learned::FullOfNotes => return Err(Rule::FullOfNotes),
            }
        }
        self.news.add_report(&note);
        Ok(())
    }

    /// A neighbour passes on a record.
    pub fn hear(&mut self, core: &Core, fields: &AtFields<'_>, from: Option<Source>, now_ns: u64) -> Heard {
        let record = Record::write(fields, &mut self.record);
        let heard = core.node.hear(&record, now_ns);
        if heard == Heard::News {
            self.news.add_heard(&record, from);
        }
        heard
    }

    /// Whether a client was reported in this turn and is known only when that is kept.
    pub fn is_early(&self, core: &Core, client: &[u8]) -> bool {
        core.strict_journal().is_some() && self.news.has_report_of(client)
    }

    /// The same of any client.
    pub fn is_early_for_any(&self, core: &Core) -> bool {
        core.strict_journal().is_some() && self.news.reports().next().is_some()
    }

    /// Whether the nearest clients may be looked for once more in this turn: others wait for its end.
    pub fn may_search(&mut self) -> bool {
        self.searches += 1;
        self.searches <= SEARCHES_PER_TURN
    }

    /// A neighbour says that all of its records up to an epoch were sent. Returns the epoch that may be
    /// confirmed: that one, or the last one that was, while what is heard cannot be kept.
    pub fn mark(&mut self, core: &Core, neighbour: NeighbourId, incarnation: u64, epoch: u32) -> u32 {
        let before = core.neighbours.seen.of(neighbour, incarnation);
        let epoch = if core.refuses_reports() { before } else { epoch };
        if epoch != before {
            self.seen.push(Seen { neighbour, incarnation, epoch });
        }
        epoch
    }

    /// Whether what is learned waits for the disk, so that as much as can be is committed at once.
    pub fn is_commit_dear(&self, core: &Core) -> bool {
        core.strict_journal().is_some()
    }

    // --- say

    /// Says what others are told, too. It is the last that whoever is visited is told in this turn.
    pub fn share(&mut self, bytes: Arc<[u8]>) {
        self.shared.bytes += bytes.len();
        self.shared.next = Some(bytes);
    }

    /// What was said from `begin` on, and what was shared since this was last called, is for `to`.
    pub fn send(&mut self, to: u64, begin: usize) {
        self.sends.push((to, begin..self.out.len()));
        self.shared.sends.extend(self.shared.next.take().map(|bytes| (to, bytes)));
    }

    /// How many bytes are to be sent.
    pub fn said_bytes(&self) -> usize {
        self.out.len() + self.shared.bytes
    }

    /// Takes out what was said. Give it back to be used again.
    pub fn take_said(&mut self) -> Said {
        Said {
            out: std::mem::take(&mut self.out),
            sends: std::mem::take(&mut self.sends),
            shared: std::mem::take(&mut self.shared),
        }
    }

    pub fn give_back(&mut self, mut said: Said) {
        said.sends.clear();
        if self.sends.is_empty() {
            self.sends = said.sends;
        }
        if self.out.is_empty() {
            said.out.clear();
            said.out.shrink_to(TURN_KEPT_BYTES);
            self.out = said.out;
        }
    }

    /// Something was answered that was asked in an earlier turn.
    pub fn answered(&self, asked: Asked, is_done: bool, took: Duration) {
        self.traffic.count(asked, is_done, took);
    }

    /// All that was asked in this turn is answered, after so long.
    pub fn settle(&mut self, took: Duration) {
        self.traffic.take(&mut self.asked, took);
    }

    // --- phones

    /// So many reports of an app were taken.
    pub fn heard_of_phones(&self, app: App, count: u64) {
        self.traffic.phones.heard(app, count);
    }

    /// Something that an app sent does not count.
    pub fn ignored_of_phones(&self, app: App, reason: Reason, count: u64) {
        self.traffic.phones.ignored(app, reason, count);
    }

    // --- connections

    /// Its owner was given a connection that came in.
    pub fn opened(&self, by: DoorKind) {
        self.traffic.opened(by);
    }

    /// A connection of its owner is gone.
    pub fn closed(&self, by: DoorKind, ended: Ended) {
        self.traffic.closed(by, ended);
    }

    // --- commit

    /// Whether there is something to commit.
    pub fn is_due(&self) -> bool {
        !self.sends.is_empty() || !self.news.is_empty() || !self.seen.is_empty()
    }

    /// Everything that was learned leaves, in this order: to the journal, to the flood, to the log. What was
    /// promised may be sent then.
    pub fn commit(&mut self, core: &Core, now: Moment) {
        self.keep(core, now.posix_ns);
        if !self.news.is_empty() {
            // The flood is logged by whoever sends it: after what it comes from.
            self.wire.commit_received();
            self.news = core.flood.send(std::mem::take(&mut self.news), now);
        }
        self.wire.commit();
    }
}

#[cfg(test)]
mod tests;
