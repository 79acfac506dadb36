//! What a turn learned goes to the journal before anybody hears of it, and what it promised is taken back if it
//! cannot be kept: all that `sync = "always"` asks for. The life of a promise is told above `Turn`.

use std::collections::HashSet;
use std::ops::Range;

use super::{Core, Turn};
use crate::journal::{self, Entries, NotKept, Share};
use crate::node::{News, Node};
use crate::protocol::{Record, Report, Rule};
use crate::store::{Learned, Room};

/// What a turn has to hold, and what it takes to.
#[derive(Default)]
pub struct Keeping {
    promises: Vec<Promise>,
    /// Lines of the store that reports which are no news rely on.
    relied_on: Vec<Vec<u8>>,
    /// The journal's share of a turn where that is not its news as it is; reused.
    entries: Entries,
}

#[cfg(test)]
impl Keeping {
    /// What holds these promises, each with what is to be said instead.
    pub fn promising<const N: usize>(promises: [(Range<usize>, &str); N]) -> Keeping {
        let promises = promises.map(|(range, instead)| Promise { range, instead: instead.into() });
        Keeping { promises: promises.into(), ..Keeping::default() }
    }
}

/// What in a turn's output promises that something was kept.
struct Promise {
    range: Range<usize>,
    /// What to say if it was not.
    instead: Vec<u8>,
}

impl Turn {
    /// What is in `out` from `begin` on promises that something was kept.
    pub fn promise(&mut self, core: &Core, begin: usize, instead: impl FnOnce() -> Vec<u8>) {
        if core.strict_journal().is_some() {
            self.promise_written(core, begin, instead);
        }
    }

    /// The same where `sync` is not "always", too: the peer sends it again if it is told that it was not kept.
    pub fn promise_written(&mut self, core: &Core, begin: usize, instead: impl FnOnce() -> Vec<u8>) {
        if core.journal().is_some() {
            let range = begin..self.out.len();
            self.keeping.promises.push(Promise { range, instead: instead() });
        }
    }

    /// A report that is no news relies on what is known.
    pub(super) fn rely(&mut self, core: &Core, report: &Report<'_>, now_ns: u64) -> Result<(), Rule> {
        let record = core.node.stamp(report, now_ns, &mut self.record)?;
        self.keeping.relied_on.extend(core.node.store.superseding(&record, &core.node.horizon(now_ns)));
        Ok(())
    }

    /// A report that is learned only when it is kept. Says whether it is news.
    pub(super) fn weigh(&mut self, core: &Core, report: &Report<'_>, now_ns: u64) -> Result<bool, Rule> {
        if core.refuses_reports() {
            return Err(Rule::NotKept);
        }
        let record = core.node.stamp(report, now_ns, &mut self.record)?;
        if let Some(line) = core.node.store.superseding(&record, &core.node.horizon(now_ns)) {
            self.keeping.relied_on.push(line);
            return Ok(false);
        }
        if let Some(rule) = refusal(&core.node, &record, &self.news) {
            return Err(rule);
        }
        self.news.add_report(&record);
        Ok(true)
    }

    /// Has the journal keep what the turn learned. What could not be kept is not promised.
    pub(super) fn keep(&mut self, core: &Core, now_ns: u64) {
        // Who has nothing for it waits for nobody who has.
        let is_due = !self.news.is_empty() || !self.seen.is_empty() || !self.keeping.relied_on.is_empty();
        if let Some(journal) = core.journal().filter(|_| is_due) {
            self.count.set_at_disk(true);
            if journal.is_strict() || !self.seen.is_empty() || !self.keeping.relied_on.is_empty() {
                self.collect(core);
                let entries = std::mem::take(&mut self.keeping.entries);
                journal.keep(&entries, |kept| match kept {
                    Ok(()) if journal.is_strict() => self.learn_kept(&core.node, now_ns),
                    Ok(()) => {}
                    Err(NotKept) if journal.is_strict() => self.refuse(),
                    Err(NotKept) => self.retract_logged(),
                });
                self.keeping.entries = entries;
                self.keeping.relied_on.clear();
            } else {
                // All of it stays known, so the news is the journal's share as it is.
                self.news.write_heads(journal::head);
                let lines = std::mem::take(&mut self.news.lines);
                journal.keep(Share::known(&lines), |kept| match kept {
                    Ok(()) => {}
                    Err(NotKept) => self.retract_logged(),
                });
                self.news.lines = lines;
            }
            self.count.set_at_disk(false);
            if self.news.items.iter().any(|item| self.news.record(item).is_note()) {
                // What is void is still in it.
                journal.hasten();
            }
        }
        if self.news.is_empty() {
            // What is not passed on leaves nothing behind.
            self.news.clear();
        }
        self.keeping.promises.clear();
        for seen in self.seen.drain(..) {
            core.neighbours.seen.note(seen.neighbour, seen.incarnation, seen.epoch);
        }
    }

    /// Collects the turn's entries in the journal's order: records that were heard, reports, what vouches.
    fn collect(&mut self, core: &Core) {
        let (news, entries) = (&self.news, &mut self.keeping.entries);
        entries.clear();
        let heard = news.items.iter().filter(|item| !item.is_report);
        heard.for_each(|item| entries.hear(news.record(item).line()));
        news.reports().for_each(|item| entries.report(news.record(item).line()));
        self.keeping.relied_on.iter().for_each(|line| entries.report(line));
        for seen in &self.seen {
            let line = core.neighbours.seen_line(seen.neighbour, seen.incarnation, seen.epoch);
            entries.vouch(line.as_bytes());
        }
    }

    /// Learns the reports, now that they are kept.
    fn learn_kept(&mut self, node: &Node, now_ns: u64) {
        let (horizon, News { lines, items }) = (node.horizon(now_ns), &mut self.news);
        items.retain(|item| {
            // There was room for it when it was weighed.
            let learn = || node.store.learn_report(&item.record(lines), &horizon, usize::MAX);
            !item.is_report || learn() == Learned::News
        });
    }

    /// Takes back what the turn learned and promised.
    fn refuse(&mut self) {
        self.news.items.retain(|item| !item.is_report);
        self.seen.clear();
        self.retract_logged();
    }

    /// Takes back what was promised, which the log shows as said.
    fn retract_logged(&mut self) {
        let promises = self.keeping.promises.len() as u64;
        if promises > 0 {
            let replies = if promises == 1 { "1 reply".to_owned() } else { format!("{promises} replies") };
            log::warn!(
                "the journal failed before {replies} to what the log shows as accepted, which was refused instead"
            );
            self.retract();
        }
    }

    /// Puts into the output what is to be said instead of the promises.
    fn retract(&mut self) {
        let said = std::mem::take(&mut self.out);
        let mut promises = self.keeping.promises.drain(..).peekable();
        for (_, range) in &mut self.sends {
            let (begin, mut copied) = (self.out.len(), range.start);
            while let Some(promise) = promises.next_if(|promise| promise.range.start < range.end) {
                self.out.extend_from_slice(&said[copied..promise.range.start]);
                self.out.extend_from_slice(&promise.instead);
                copied = promise.range.end;
            }
            self.out.extend_from_slice(&said[copied..range.end]);
            *range = begin..self.out.len();
        }
    }
}

/// Why a node may not learn one more report at the end of this turn, beside those of the turn.
fn refusal(node: &Node, record: &Record<&[u8]>, news: &News) -> Option<Rule> {
    let room = node.store.room(node.bounds().max_clients);
    let refusal = |further: usize| {
        let refusal = Room { count: room.count.saturating_add(further), ..room }.refusal(false)?;
        Some(if refusal == Learned::Full { Rule::Full } else { Rule::FullOfNotes })
    };
    let is_known = |client: &[u8]| node.store.read(client, |_| ()).is_some();
    refusal(news.items.len())?;
    if news.has_report_of(record.client()) || is_known(record.client()) {
        return None;
    }
    // Further clients of this turn are to be learned, too.
    let clients = news.reports().map(|item| news.client(item));
    refusal(clients.filter(|client| !is_known(client)).collect::<HashSet<_>>().len())
}

/// Whether a node may learn the note of a client at the end of this turn, beside those of the turn.
pub fn has_room_for_note(node: &Node, client: &[u8], news: &News) -> bool {
    let room = node.store.room(node.bounds().max_clients);
    let has_room =
        |further: usize| Room { notes: room.notes.saturating_add(further), ..room }.refusal(true).is_none();
    if has_room(news.items.len()) || news.has_report_of(client) || node.store.has(client) {
        return true;
    }
    let notes = news.reports().filter(|item| news.record(item).is_note()).map(|item| news.client(item));
    has_room(notes.filter(|client| !node.store.has(client)).collect::<HashSet<_>>().len())
}
