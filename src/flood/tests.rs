//! Unit tests: when the flooder looks for something to do.

use super::*;
use crate::limits::FLOOD_DIRECT_LINKS;
use crate::link::{Kind, Outbox, Outlet};
use crate::node;

#[test]
fn without_links_nothing_is_looked_for_and_with_the_first_there_are_heartbeats() {
    let (node, timing) = (Arc::new(Node::new("Goloman", node::Bounds::default())), Timing::default());
    let alone = (Arc::default(), Arc::default());
    let (flood, mut flooder) =
        Flood::new(Bounds::default(), alone.0, alone.1, node, Wire::mute(), timing, Duration::ZERO);
    let go_on = |flooder: &mut Flooder, up| assert!(flooder.go_on(Moment { up, posix_ns: 0 }));
    let mut now = timing.heartbeat;
    go_on(&mut flooder, now);
    assert!(flooder.due() > now + 2 * timing.heartbeat, "nobody hears a heartbeat");
    let link = Outlet::new(NeighbourId(0), "Hands", Kind::Herd, Outbox::default(), Box::new(|| ()));
    flood.set_links(Arc::new([Arc::new(link)]));
    go_on(&mut flooder, now);
    for _ in 0..3 {
        let due = flooder.due();
        assert!(due <= now + timing.heartbeat, "the neighbour takes a silent link for a dead one");
        now = due;
        go_on(&mut flooder, now);
    }
}

#[test]
fn a_turn_writes_to_few_links_itself_and_leaves_many_to_the_flooder() {
    for (links, is_quick) in [(1, true), (FLOOD_DIRECT_LINKS, true), (FLOOD_DIRECT_LINKS + 1, false)] {
        let (node, timing) = (Arc::new(Node::new("Goloman", node::Bounds::default())), Timing::default());
        let link = |id| {
            let outbox = Outbox::default();
            Arc::new(Outlet::new(NeighbourId(id as u16), "Hands", Kind::Herd, outbox, Box::new(|| ())))
        };
        let links: Links = (0..links).map(link).collect();
        let (flood, mut flooder) = Flood::new(
            Bounds::default(),
            links,
            Arc::default(),
            node.clone(),
            Wire::mute(),
            timing,
            Duration::ZERO,
        );
        let (mut news, mut line) = (News::default(), Vec::new());
        news.add_report(&node.note(b"kiwi", 5, &mut line));
        let now = Moment { up: Duration::ZERO, posix_ns: 5 };
        assert!(flood.send(news, now).is_empty());
        assert_eq!(flood.batches(), u64::from(is_quick));
        assert!(flooder.go_on(now));
        assert_eq!(flood.batches(), 1);
    }
}
