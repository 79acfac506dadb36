//! Unit tests: an outbox, without a link.

use super::*;
use crate::store::digest::Digest;

fn mark(epoch: u32, total: u64) -> Mark {
    Mark { epoch, total, at: Duration::from_secs(total) }
}

/// From which epoch on a walk through the store is due, if it is.
fn walks_after(due: Due) -> Option<u32> {
    match due {
        Due::Walk(walk) => match walk.wanted() {
            Wanted::After(epoch) => Some(*epoch),
            Wanted::In(_) => None,
        },
        Due::Lines { .. } | Due::Nothing => None,
    }
}

#[test]
fn an_opened_link_reads_the_store_from_what_was_seen_and_then_sends_at_once() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.offer(b"lost\n"), Offered::Kept);
    outbox.open(4);
    assert_eq!(outbox.offer(b"kept\n"), Offered::Wake);
    assert_eq!(outbox.offer(b"more\n"), Offered::Kept);
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, logged: 0 } if bytes == b"kept\nmore\n"));
    assert_eq!(walks_after(outbox.take_due()), Some(4));
    assert!(matches!(outbox.take_due(), Due::Nothing));
    assert_eq!(outbox.offer(b"now\n"), Offered::Send);
    outbox.leave_logged(b"now\n", 1);
    assert_eq!(outbox.offer(b"later\n"), Offered::Kept);
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, logged: 3 } if bytes == b"ow\nlater\n"));
    outbox.close();
    assert_eq!(outbox.offer(b"lost\n"), Offered::Kept);
}

#[test]
fn no_mark_passes_what_is_still_in_the_store() {
    let (mut outbox, mut out) = (Outbox::default(), Vec::new());
    assert!(!outbox.mark(mark(1, 1), &mut out));
    outbox.open(0);
    assert!(!outbox.mark(mark(1, 1), &mut out), "nothing has been read yet");
    assert!(matches!(outbox.take_due(), Due::Walk(_)));
    assert!(outbox.mark(mark(2, 1), &mut out), "it waits behind what the walk sends");
    assert!(matches!(outbox.take_due(), Due::Nothing));
    assert!(outbox.mark_behind() && !outbox.mark_behind());
    assert!(!outbox.mark(mark(3, 2), &mut out), "something was dropped");
    outbox.seen(2);
    assert_eq!(walks_after(outbox.take_due()), Some(2), "only what came after");
    assert_eq!(out, b"MARK 2\n");
}

#[test]
fn what_was_dropped_while_the_differences_were_found_is_read_all_the_same() {
    for drop in [false, true] {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        outbox.open(0);
        if drop {
            let _ = outbox.offer(&vec![b'\n'; LINK_PENDING_BYTES + 1]);
        }
        let nowhere = Digest::default().differing(&Digest::default());
        outbox.narrow(nowhere);
        assert_eq!(outbox.mark(mark(1, 1), &mut out), !drop);
        assert_eq!(walks_after(outbox.take_due()) == Some(0), drop);
    }
}

#[test]
fn a_neighbour_without_marks_has_what_was_sent_when_nothing_waits() {
    let mut outbox = Outbox::default();
    outbox.open(3);
    outbox.mark_sent(mark(4, 1));
    assert_eq!(outbox.seen_epoch(), 3, "the store is still to be read");
    assert_eq!(walks_after(outbox.take_due()), Some(3));
    assert!(matches!(outbox.take_due(), Due::Nothing));
    outbox.mark_sent(mark(5, 2));
    outbox.leave(b"waits\n", 0);
    outbox.mark_sent(mark(6, 3));
    outbox.close();
    assert_eq!(outbox.seen_epoch(), 5);
}

#[test]
fn a_full_outbox_reads_the_store_instead() {
    let mut outbox = Outbox::default();
    outbox.open(0);
    assert!(matches!(outbox.take_due(), Due::Walk(_)));
    let chunk = vec![b'\n'; LINK_PENDING_BYTES / 4];
    for _ in 0..5 {
        let _ = outbox.offer(&chunk);
    }
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, .. } if bytes.len() == LINK_PENDING_BYTES));
    assert_eq!(walks_after(outbox.take_due()), Some(0));
    assert!(matches!(outbox.take_due(), Due::Nothing));
}

#[test]
fn marks_that_are_not_seen_take_bounded_memory_and_the_newest_confirms_all() {
    let (mut outbox, mut out) = (Outbox::default(), Vec::new());
    outbox.open(0);
    assert!(matches!(outbox.take_due(), Due::Walk(_)));
    let last = 3 * MARKS_MAX as u32;
    assert!((1..=last).all(|epoch| outbox.mark(mark(epoch, epoch.into()), &mut out)));
    assert_eq!(outbox.unseen(), MARKS_MAX);
    outbox.seen(last - 1);
    assert_eq!(outbox.unseen(), 1);
    outbox.seen(last);
    assert_eq!((outbox.unseen(), outbox.position().lag(last.into(), Duration::ZERO, |_| 1).clients), (0, 0));
}

#[test]
fn lag_is_the_clients_learned_of_since_the_last_mark_that_was_seen() {
    let (mut outbox, mut out) = (Outbox::default(), Vec::new());
    let now = Duration::from_secs(20);
    let lag = |outbox: &Outbox, total| outbox.position().lag(total, now, |epoch| 100 - u64::from(epoch));
    outbox.open(0);
    assert!(matches!(outbox.take_due(), Due::Walk(_)));
    assert!(outbox.mark(mark(1, 10), &mut out) && outbox.mark(mark(2, 15), &mut out));
    assert_eq!(lag(&outbox, 18), Lag { is_up: true, clients: 100, time: Duration::from_secs(10) });
    outbox.seen(1);
    assert_eq!(lag(&outbox, 18), Lag { is_up: true, clients: 99, time: Duration::from_secs(5) });
    outbox.seen(2);
    // A quiet time is no lag, and what has come since the last mark is not late.
    assert_eq!(lag(&outbox, 15), Lag { is_up: true, clients: 0, time: Duration::ZERO });
    assert_eq!(lag(&outbox, 16), Lag { is_up: true, clients: 98, time: Duration::ZERO });
    outbox.close();
    assert!(!outbox.mark(mark(3, 19), &mut out));
    assert_eq!(lag(&outbox, 19), Lag { is_up: false, clients: 98, time: Duration::from_secs(1) });
    outbox.open(2);
    assert!(matches!(outbox.take_due(), Due::Walk(_)));
    assert!(outbox.mark(mark(4, 19), &mut out));
    outbox.seen(4);
    assert_eq!(lag(&outbox, 19), Lag { is_up: true, clients: 0, time: Duration::ZERO });
}
