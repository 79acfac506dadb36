//! Records on their way to the journal and the neighbours. A turn fills it, the flood takes it.

use crate::limits::{ENTRY_HEAD_BYTES, NEWS_KEPT_BYTES};
use crate::protocol::Record;
use crate::protocol::record::Offsets;

/// Which neighbour: a number that stands for its name as long as the process lives, whatever herd.conf says
/// meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NeighbourId(pub u16);

impl NeighbourId {
    /// Its place in a list of all neighbours.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// Where news came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub neighbour: NeighbourId,
    /// Which of its starts; 0 where that is unknown. One that was started anew since may have lost
    /// what it said before, and then has to be told.
    pub incarnation: u64,
}

/// AT lines with their newlines, and whom each came from.
#[derive(Default)]
pub struct News {
    /// Before each line is room for what the journal has there, so that all of it can be the journal's entries.
    pub lines: Vec<u8>,
    pub items: Vec<NewsItem>,
}

/// One record of the news.
#[derive(Clone, Copy)]
pub struct NewsItem {
    start: u32,
    end: u32,
    offsets: Offsets,
    /// The neighbour that sent it and needs no copy.
    pub from: Option<Source>,
    /// It is a client's report to this very server.
    pub is_report: bool,
}

impl NewsItem {
    /// The record, of the news it is in.
    pub fn record<'a>(&self, lines: &'a [u8]) -> Record<&'a [u8]> {
        Record::new(&lines[self.start as usize..self.end as usize], self.offsets)
    }
}

impl News {
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Empties it, to be filled anew.
    pub fn clear(&mut self) {
        self.lines.clear();
        self.items.clear();
        self.lines.shrink_to(NEWS_KEPT_BYTES);
        self.items.shrink_to(NEWS_KEPT_BYTES / size_of::<NewsItem>());
    }

    /// Adds a report to this very server.
    pub fn add_report(&mut self, record: &Record<&[u8]>) {
        self.add(record, None, true);
    }

    /// Adds what a neighbour passed on.
    pub fn add_heard(&mut self, record: &Record<&[u8]>, from: Option<Source>) {
        self.add(record, from, false);
    }

    fn add(&mut self, record: &Record<&[u8]>, from: Option<Source>, is_report: bool) {
        self.lines.extend_from_slice(&[b' '; ENTRY_HEAD_BYTES]);
        let start = self.lines.len() as u32;
        self.lines.extend_from_slice(record.line());
        let end = self.lines.len() as u32;
        self.items.push(NewsItem { start, end, offsets: record.offsets(), from, is_report });
        self.lines.push(b'\n');
    }

    /// Has each line, given without its newline, begin with its head from now on.
    pub fn write_heads(&mut self, head: impl Fn(&[u8]) -> [u8; ENTRY_HEAD_BYTES]) {
        for item in &self.items {
            let (before, line) = self.lines.split_at_mut(item.start as usize);
            let head = head(&line[..(item.end - item.start) as usize]);
            before[item.start as usize - ENTRY_HEAD_BYTES..].copy_from_slice(&head);
        }
    }

    /// The reports to this very server.
    pub fn reports(&self) -> impl Iterator<Item = &NewsItem> {
        self.items.iter().filter(|item| item.is_report)
    }

    /// Whether there is a report of this client to this very server.
    pub fn has_report_of(&self, client: &[u8]) -> bool {
        self.reports().any(|item| self.client(item) == client)
    }

    /// The record of one of the items.
    pub fn record(&self, item: &NewsItem) -> Record<&[u8]> {
        item.record(&self.lines)
    }

    /// The client that one of the items is about.
    pub fn client(&self, item: &NewsItem) -> &[u8] {
        item.offsets.client(&self.lines[item.start as usize..item.end as usize])
    }

    /// The client of each item.
    pub fn clients(&self) -> impl Iterator<Item = &[u8]> {
        self.items.iter().map(|item| self.client(item))
    }

    /// The AT line of one of the items, with its newline.
    pub fn line(&self, item: &NewsItem) -> &[u8] {
        &self.lines[item.start as usize..=item.end as usize]
    }
}
