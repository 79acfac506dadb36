//! Which records of several batches go on to the neighbours. The flood's sender calls it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::node::{News, Source};

/// The newest of a client's records in a drain, and of the notes about it: which batch, which item in it.
type Newest<'a> = HashMap<(&'a [u8], bool), (usize, usize)>;

/// The AT lines of each client's newest record, grouped by the neighbour they came from. Of records later than
/// `sure_ns`, which may be too far ahead to count before others, all go on.
pub fn newest_by_source(drained: &[News], sure_ns: u64) -> Vec<(Option<Source>, Cow<'_, [u8]>)> {
    if let [news] = drained
        && let [item] = &news.items[..]
    {
        return vec![(item.from, Cow::Borrowed(news.line(item)))];
    }
    let (mut newest, mut unsure) =
        (Newest::with_capacity(drained.iter().map(|news| news.items.len()).sum()), Vec::new());
    for (batch, news) in drained.iter().enumerate() {
        for (index, item) in news.items.iter().enumerate() {
            let record = news.record(item);
            if record.is_later_than(sure_ns) {
                unsure.push((batch, index));
                continue;
            }
            match newest.entry((news.client(item), record.is_note())) {
                Entry::Vacant(place) => {
                    place.insert((batch, index));
                }
                Entry::Occupied(mut place) => {
                    let (other, at) = *place.get();
                    let stored = drained[other].record(&drained[other].items[at]);
                    if record.cmp_age(&stored).is_gt() {
                        place.insert((batch, index));
                    }
                }
            }
        }
    }
    let mut groups: Vec<(Option<Source>, Cow<'_, [u8]>)> = Vec::new();
    // In the order in which they came.
    let mut newest: Vec<_> = newest.into_values().chain(unsure).collect();
    newest.sort_unstable();
    for (batch, index) in newest {
        let news = &drained[batch];
        let item = &news.items[index];
        let group = match groups.iter().position(|(from, _)| *from == item.from) {
            Some(group) => group,
            None => {
                groups.push((item.from, Cow::default()));
                groups.len() - 1
            }
        };
        groups[group].1.to_mut().extend_from_slice(news.line(item));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::NeighbourId;
    use crate::protocol::{Command, Record};

    /// The news of these AT lines from a neighbour.
    fn news(from: Option<u16>, lines: &[&str]) -> News {
        let from = from.map(|id| Source { neighbour: NeighbourId(id), incarnation: 5 });
        let mut news = News::default();
        for line in lines {
            let Ok(Command::At(fields)) = Command::parse(line.as_bytes()) else { panic!("{line}") };
            news.add_heard(&Record::write(&fields, &mut Vec::new()), from);
        }
        news
    }

    #[test]
    fn only_the_newest_of_a_client_goes_on_whatever_the_order() {
        let drained = [
            news(None, &["AT A +1 kiwi +1+1 5", "AT A +1 kiwi +1+1 7", "AT A +1 fig +1+1 1"]),
            news(Some(2), &["AT A +1 kiwi +1+1 6"]),
            news(Some(2), &["AT A +1 plum +1+1 1", "AT A +1 fig +1+1 2"]),
        ];
        let mut groups = newest_by_source(&drained, u64::MAX);
        groups.sort_by_key(|(from, _)| from.is_some());
        assert_eq!(groups.len(), 2);
        assert_eq!(groups[0], (None, Cow::Borrowed(&b"AT A +1 kiwi +1+1 7\n"[..])));
        let mut lines: Vec<_> = groups[1].1.split_inclusive(|&b| b == b'\n').collect();
        lines.sort();
        assert_eq!(groups[1].0, Some(Source { neighbour: NeighbourId(2), incarnation: 5 }));
        assert_eq!(lines, [b"AT A +1 fig +1+1 2\n", &b"AT A +1 plum +1+1 1\n"[..]]);
    }

    #[test]
    fn what_may_be_too_far_ahead_takes_nobodys_place() {
        let drained = [news(None, &["AT A +1 kiwi +1+1 900", "AT A +1 kiwi +1+1 7", "AT A +1 kiwi +1+1 6"])];
        let groups = newest_by_source(&drained, 100_000_000_000);
        assert_eq!(groups, [(None, Cow::Borrowed(&b"AT A +1 kiwi +1+1 900\nAT A +1 kiwi +1+1 7\n"[..]))]);
    }

    /// By a client's own clock, its report may be older than the note that it was made after.
    #[test]
    fn a_note_and_a_report_of_one_client_both_go_on() {
        let note = "AT * +0 kiwi +0+0 900";
        let drained = [news(None, &[note, "AT A +1000 kiwi +1+1 5"])];
        assert!(drained[0].record(&drained[0].items[0]).is_note(), "{note}");
        let groups = newest_by_source(&drained, u64::MAX);
        let expected = format!("{note}\nAT A +1000 kiwi +1+1 5\n");
        assert_eq!(groups, [(None, Cow::Borrowed(expected.as_bytes()))]);
    }
}
