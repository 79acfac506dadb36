use super::*;

const SECOND_NS: i64 = 1_000_000_000;
const HOUR_MS: u64 = 3_600_000;

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn offset(seconds: i64) -> Offset {
    Offset { least_ns: seconds * SECOND_NS - 1_000_000, most_ns: seconds * SECOND_NS + 1_000_000 }
}

#[test]
fn a_clock_is_between_what_ours_read_before_and_after() {
    assert_eq!(Offset::between(100, 90, 95), Some(Offset { least_ns: 5, most_ns: 10 }));
    assert_eq!(Offset::between(100, 95, 90), None, "our clock was set back meanwhile");
    let years = Offset::between(0, u64::MAX, u64::MAX).expect("one");
    assert_eq!(years.least_ns, i64::MIN);
}

#[test]
fn a_reading_and_its_answer_measure_however_long_the_answer_takes() {
    // The other clock is an hour behind, either way takes 100 ms, and the answer comes after 5 s.
    let (mut ours, mut theirs) = (Meter::default(), Meter::default());
    let epoch_ns: u64 = 1_700_000_000_000_000_000;
    let hour_ns = HOUR_MS * 1_000_000;
    let ns = |time: Duration| time.as_nanos() as u64;
    let sent = ours.say(epoch_ns, at(0), (0, 0));
    let heard_at = Duration::from_millis(100);
    assert_eq!(theirs.hear(&sent, epoch_ns + ns(heard_at) - hour_ns, heard_at), None, "nothing to answer");
    let answered_at = heard_at + at(5);
    let answer = theirs.say(epoch_ns + ns(answered_at) - hour_ns, answered_at, (0, 0));
    let back_at = answered_at + Duration::from_millis(100);
    let found = ours.hear(&answer, epoch_ns + ns(back_at), back_at).expect("measured");
    assert_eq!(found.least_ns, -3_600 * SECOND_NS - 100_000_000);
    assert_eq!(found.most_ns, -3_600 * SECOND_NS + 100_000_000);
    assert!(found.is_apart());
    assert_eq!(found.to_string(), "1 h 0 s behind ours (give or take 100 ms)");
}

#[test]
fn what_may_be_the_way_alone_is_no_difference() {
    let slow_way = Offset { least_ns: -60 * SECOND_NS, most_ns: 0 };
    assert!(!slow_way.is_apart());
    assert!(offset(11).is_apart() && offset(-11).is_apart() && !offset(9).is_apart());
}

#[test]
fn a_difference_is_told_once_until_it_is_gone() {
    let clocks = Clocks::new(at(900));
    assert_eq!(clocks.measured(NeighbourId(1), offset(-3_600), at(1)), Some(Change::Apart(offset(-3_600))));
    assert_eq!(clocks.measured(NeighbourId(1), offset(-3_601), at(2)), None);
    assert_eq!(clocks.apart(), [(NeighbourId(1), offset(-3_601))]);
    assert_eq!(clocks.measured(NeighbourId(1), offset(0), at(3)), Some(Change::Together));
    assert_eq!(clocks.apart(), []);
}

#[test]
fn the_slowest_clock_is_reckoned_with_until_what_it_stamped_is_forgotten() {
    let clocks = Clocks::new(at(900));
    assert_eq!(clocks.lead_s(at(0)), 0);
    clocks.measured(NeighbourId(0), offset(3_600), at(1));
    assert_eq!(clocks.lead_s(at(1)), 0, "one that is ahead makes nobody late");
    clocks.measured(NeighbourId(1), offset(-3_600), at(2));
    assert_eq!(clocks.lead_s(at(2)), 3_600);
    clocks.measured(NeighbourId(1), offset(0), at(10));
    assert_eq!(clocks.lead_s(at(10)), 3_600, "it was set right, and its records are still there");
    assert_eq!(clocks.lead_s(at(902)), 3_600);
    assert_eq!(clocks.lead_s(at(903)), 0);
}

#[test]
fn the_slowest_clock_is_known_beyond_its_neighbours_and_forgotten_with_its_age() {
    // A is an hour behind; B is its neighbour, C is B's, and A and C are neighbours of B alone.
    let (b, c) = (Clocks::new(at(5)), Clocks::new(at(5)));
    b.measured(NeighbourId(0), offset(-3_600), at(0));
    // B and C each see the other behind a little, as ways are longer one way than the other.
    for clocks in [&b, &c] {
        clocks.measured(NeighbourId(1), Offset { least_ns: -SECOND_NS, most_ns: 10_000_000 }, at(0));
        clocks.measured(
            NeighbourId(0),
            if std::ptr::eq(clocks, &b) { offset(-3_600) } else { offset(0) },
            at(0),
        );
    }
    for now in 0..20 {
        let (behind_ms, age_ms) = b.slowest(at(now));
        c.told(NeighbourId(0), behind_ms, age_ms, u64::MAX, at(now));
        let (behind_ms, age_ms) = c.slowest(at(now));
        b.told(NeighbourId(1), behind_ms, age_ms, u64::MAX, at(now));
    }
    assert_eq!((b.lead_s(at(19)), c.lead_s(at(19))), (3_600, 3_600));
    // What goes in circles does not grow, whatever the ways cost.
    assert!(b.slowest(at(19)).0 <= HOUR_MS);
    // A is right again: what B and C still tell each other grows old, whichever says it.
    b.measured(NeighbourId(0), offset(0), at(20));
    for now in 20..=CLOCK_TOLD_S + 20 {
        let (behind_ms, age_ms) = b.slowest(at(now));
        c.told(NeighbourId(0), behind_ms, age_ms, u64::MAX, at(now));
        let (behind_ms, age_ms) = c.slowest(at(now));
        b.told(NeighbourId(1), behind_ms, age_ms, u64::MAX, at(now));
    }
    assert_eq!((b.slowest(at(CLOCK_TOLD_S + 20)).0, c.slowest(at(CLOCK_TOLD_S + 20)).0), (0, 0));
}

#[test]
fn what_a_neighbour_says_is_of_its_own_clock() {
    let clocks = Clocks::new(at(900));
    // It is an hour ahead, so one that is an hour behind it is right.
    clocks.measured(NeighbourId(0), offset(3_600), at(0));
    clocks.told(NeighbourId(0), HOUR_MS, 0, u64::MAX, at(0));
    assert_eq!(clocks.slowest(at(1)).0, 0);
    // It is an hour behind, and another one an hour more.
    clocks.measured(NeighbourId(0), offset(-3_600), at(2));
    assert!(clocks.slowest(at(2)).0 > 2 * HOUR_MS - 1_000);
    // What nobody can mean overflows nothing.
    clocks.told(NeighbourId(0), u64::MAX, u64::MAX, u64::MAX, at(3));
    clocks.told(NeighbourId(1), u64::MAX, 0, u64::MAX, at(3));
    let _ = clocks.lead_s(at(4));
    // No clock is behind by more than there is.
    let clocks = Clocks::new(at(900));
    clocks.told(NeighbourId(0), u64::MAX, 0, 2 * HOUR_MS, at(0));
    assert_eq!(clocks.lead_s(at(1)), 2 * 3_600);
}

#[test]
fn our_own_clocks_jumps_are_found_and_the_passing_of_time_is_none() {
    let mut steps = Steps { settle: at(60), ..Steps::default() };
    let ns = |seconds: u64| seconds * SECOND_NS as u64;
    assert_eq!(steps.look(ns(1_000), at(1)), None);
    assert!(steps.is_settled(at(1)));
    assert_eq!(steps.look(ns(1_100), at(101)), None, "a long rest");
    assert_eq!(steps.look(ns(4_701), at(102)), Some(3_600 * SECOND_NS));
    assert!(!steps.is_settled(at(103)) && steps.is_settled(at(102 + 60)));
    assert_eq!(steps.look(ns(1_101), at(102)), Some(-3_600 * SECOND_NS));
}

#[test]
fn a_slow_answer_takes_nothing_from_what_a_fast_one_told() {
    let clocks = Clocks::new(at(900));
    let wide = |seconds: i64, by: i64| {
        let (least, most) = (seconds - by, seconds + by);
        Offset { least_ns: least * SECOND_NS, most_ns: most * SECOND_NS }
    };
    assert!(clocks.measured(NeighbourId(0), offset(-3_600), at(0)).is_some());
    assert_eq!(clocks.measured(NeighbourId(0), wide(-3_000, 3_600), at(5)), None);
    assert_eq!(clocks.lead_s(at(5)), 3_600);
    // A minute later it is all there is.
    assert_eq!(clocks.measured(NeighbourId(0), wide(-3_000, 3_600), at(61)), Some(Change::Together));
    // It contradicts: the clock was set.
    clocks.measured(NeighbourId(1), offset(-3_600), at(62));
    assert_eq!(clocks.measured(NeighbourId(1), wide(0, 30), at(63)), Some(Change::Together));
}

#[test]
fn our_own_clock_is_suspect_when_most_neighbours_are_far_ahead_of_it() {
    let (clocks, day) = (Clocks::new(at(900)), 86_400);
    assert!(!clocks.is_suspect());
    clocks.measured(NeighbourId(0), offset(2 * day), at(0));
    assert!(clocks.is_suspect(), "the only one there is");
    clocks.measured(NeighbourId(1), offset(0), at(0));
    assert!(!clocks.is_suspect(), "one may lie");
    clocks.measured(NeighbourId(2), offset(3 * day), at(0));
    assert!(clocks.is_suspect());
    clocks.measured(NeighbourId(2), offset(-3 * day), at(1));
    assert!(!clocks.is_suspect());
}
