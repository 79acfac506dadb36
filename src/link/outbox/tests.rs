//! Unit tests: an outbox, without a link.

use super::*;
use crate::link::Lag;
use crate::protocol::Span;
use crate::store::digest::Digest;

fn mark(epoch: u32, total: u64) -> Mark {
    Mark { epoch, total, at: Duration::from_secs(total) }
}

/// Opens it to the same start of a neighbour that has all up to an epoch, as it may: that was offered.
fn open(outbox: &mut Outbox, seen: u32) {
    outbox.offered = outbox.offered.max(seen);
    assert!(outbox.open(7, seen, false));
}

/// Has the walk that is due be sent to its end, at once.
fn walk(outbox: &mut Outbox) -> Option<u32> {
    let after = walks_after(outbox.take_due());
    assert!(matches!(outbox.take_due(), Due::Step));
    outbox.walked();
    after
}

/// From which epoch on a walk through the store is due, if it is.
fn walks_after(due: Due) -> Option<u32> {
    match due {
        Due::Walk(walk) => match walk.wanted() {
            Wanted::After(epoch) => Some(*epoch),
            Wanted::In(_) => None,
        },
        Due::Lines { .. } | Due::Step | Due::Full | Due::Nothing => None,
    }
}

#[test]
fn an_opened_link_reads_the_store_from_what_was_seen_and_then_sends_at_once() {
    let mut outbox = Outbox::default();
    assert_eq!(outbox.offer(b"lost\n"), Offered::Kept);
    open(&mut outbox, 4);
    assert_eq!(outbox.offer(b"kept\n"), Offered::Wake);
    assert_eq!(outbox.offer(b"more\n"), Offered::Kept);
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, logged: 0 } if bytes == b"kept\nmore\n"));
    assert_eq!(walk(&mut outbox), Some(4));
    assert!(matches!(outbox.take_due(), Due::Nothing));
    assert_eq!(outbox.offer(b"now\n"), Offered::Send);
    outbox.leave_logged(b"now\n", 1);
    assert_eq!(outbox.offer(b"later\n"), Offered::Kept);
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, logged: 3 } if bytes == b"ow\n"));
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, logged: 0 } if bytes == b"later\n"));
    outbox.close();
    assert_eq!(outbox.offer(b"lost\n"), Offered::Kept);
}

#[test]
fn no_mark_passes_what_is_still_in_the_store_and_the_last_one_follows_it() {
    let (mut outbox, mut out) = (Outbox::default(), Vec::new());
    assert!(!outbox.mark(mark(1, 1), &mut out));
    open(&mut outbox, 0);
    assert!(!outbox.mark(mark(1, 1), &mut out), "nothing has been read yet");
    assert!(matches!(outbox.take_due(), Due::Walk(_)));
    assert!(!outbox.mark(mark(2, 1), &mut out), "it is being read");
    outbox.walked();
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, .. } if bytes == b"MARK 2\n"), "now it was");
    assert!(matches!(outbox.take_due(), Due::Nothing));
    assert!(outbox.mark_behind() && !outbox.mark_behind());
    assert!(!outbox.mark(mark(3, 2), &mut out), "something was dropped");
    assert!(outbox.seen(2) && !outbox.seen(3) && outbox.seen(1), "what was not marked is not seen");
    assert_eq!(walk(&mut outbox), Some(2), "only what came after");
    assert!(out.is_empty());
}

#[test]
fn a_walk_that_was_cut_goes_on_where_the_neighbour_had_read_and_what_is_new_comes_first() {
    let (mut outbox, mut out) = (Outbox::default(), Vec::new());
    let second = Duration::from_secs;
    let cut_at_ten = |outbox: &mut Outbox| {
        outbox.probe(1, second(1), Some(10));
        outbox.probe(2, second(2), Some(20));
        outbox.answered(1, second(3));
        outbox.close();
    };
    assert!(outbox.open(7, 0, true));
    assert!(!outbox.goes_on());
    assert_eq!(walks_after(outbox.take_due()), Some(0));
    cut_at_ten(&mut outbox);
    assert!(!outbox.mark(mark(5, 1), &mut out));
    assert!(outbox.open(7, 0, true) && outbox.goes_on());
    assert_eq!(walk(&mut outbox), Some(0), "all that was offered since the last connection began");
    let Due::Walk(rest) = outbox.take_due() else { panic!("the rest is due") };
    assert_eq!(rest.next(), 10);
    outbox.walked();
    outbox.probe(3, second(4), None);
    // It is not known yet whether any of that arrived.
    outbox.close();
    assert!(outbox.open(7, 0, true));
    assert_eq!(walk(&mut outbox), Some(0));
    assert!(matches!(outbox.take_due(), Due::Walk(rest) if rest.next() == 10));
    outbox.walked();
    outbox.probe(4, second(5), None);
    outbox.answered(4, second(6));
    outbox.close();
    assert!(outbox.open(7, 0, true) && outbox.goes_on());
    assert_eq!(walk(&mut outbox), Some(5), "only what was offered since");
    outbox.close();
    assert!(outbox.open(8, 0, true) && !outbox.goes_on(), "another start may have lost everything");
    assert_eq!(walk(&mut outbox), Some(0));
}

#[test]
fn nobody_is_believed_to_have_what_was_never_marked() {
    let mut outbox = Outbox::default();
    assert!(!outbox.open(7, u32::MAX, true));
    assert_eq!((outbox.seen_epoch(), walk(&mut outbox)), (0, Some(0)));
    assert!(!outbox.seen(1));
    let mut out = Vec::new();
    assert!(outbox.mark(mark(1, 1), &mut out));
    assert!(!outbox.seen(2) && outbox.seen_epoch() == 0);
    assert!(outbox.seen(1) && outbox.seen_epoch() == 1);
}

#[test]
fn what_is_on_its_way_is_bounded_and_the_rest_waits() {
    let mut outbox = Outbox::default();
    assert!(outbox.open(7, 0, true));
    walk(&mut outbox);
    assert!(matches!(outbox.take_due(), Due::Nothing));
    let chunk = vec![b'\n'; 1_024];
    let sent = (0..).take_while(|_| outbox.offer(&chunk) == Offered::Send).count();
    assert_eq!(sent as u64, crate::limits::LINK_WINDOW_BYTES / 1_024);
    assert!(matches!(outbox.take_due(), Due::Full));
    outbox.probe(1, Duration::ZERO, None);
    outbox.answered(1, Duration::ZERO);
    assert!(matches!(outbox.take_due(), Due::Lines { .. }));
    assert!(matches!(outbox.take_due(), Due::Nothing));
}

#[test]
fn what_was_dropped_while_the_differences_were_found_is_read_all_the_same() {
    for drop in [false, true] {
        let (mut outbox, mut out) = (Outbox::default(), Vec::new());
        open(&mut outbox, 0);
        if drop {
            let _ = outbox.offer(&vec![b'\n'; LINK_PENDING_BYTES + 1]);
        }
        let nowhere = Digest::default().differing(&Digest::default());
        outbox.narrow(Differing { parts: nowhere, span: Span::ALL, has_rest: true });
        assert_eq!(outbox.mark(mark(1, 1), &mut out), !drop);
        assert_eq!(walks_after(outbox.take_due()) == Some(0), drop);
    }
}

#[test]
fn a_neighbour_without_marks_has_what_was_sent_when_nothing_waits() {
    let mut outbox = Outbox::default();
    open(&mut outbox, 3);
    outbox.mark_sent(mark(4, 1));
    assert_eq!(outbox.seen_epoch(), 3, "the store is still to be read");
    assert_eq!(walk(&mut outbox), Some(3));
    assert!(matches!(outbox.take_due(), Due::Nothing));
    outbox.mark_sent(mark(5, 2));
    outbox.leave(b"waits\n", 0);
    outbox.mark_sent(mark(6, 3));
    outbox.close();
    assert_eq!(outbox.seen_epoch(), 5);
}

#[test]
fn a_full_outbox_reads_the_store_instead() {
    let (mut outbox, mut out) = (Outbox::default(), Vec::new());
    open(&mut outbox, 0);
    walk(&mut outbox);
    assert!(matches!(outbox.take_due(), Due::Nothing));
    assert!(outbox.mark(mark(3, 1), &mut out));
    outbox.leave(b"rest\n", 0);
    let chunk = vec![b'\n'; LINK_PENDING_BYTES / 4];
    for _ in 0..5 {
        let _ = outbox.offer(&chunk);
    }
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, .. } if bytes == b"rest\n"));
    assert!(matches!(outbox.take_due(), Due::Lines { bytes, .. } if bytes.len() > LINK_PENDING_BYTES / 2));
    assert_eq!(walk(&mut outbox), Some(3), "all that was offered before is on its way");
    assert!(matches!(outbox.take_due(), Due::Nothing));
}

#[test]
fn marks_that_are_not_seen_take_bounded_memory_and_the_newest_confirms_all() {
    let (mut outbox, mut out) = (Outbox::default(), Vec::new());
    open(&mut outbox, 0);
    walk(&mut outbox);
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
    open(&mut outbox, 0);
    walk(&mut outbox);
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
    open(&mut outbox, 2);
    walk(&mut outbox);
    assert!(outbox.mark(mark(4, 19), &mut out));
    outbox.seen(4);
    assert_eq!(lag(&outbox, 19), Lag { is_up: true, clients: 0, time: Duration::ZERO });
}
