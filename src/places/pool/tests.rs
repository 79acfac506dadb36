//! The pool with a provider that answers when the test says so.

use std::sync::atomic::AtomicUsize;

use crossbeam_channel::{Sender, bounded};

use super::*;

const HANG: Duration = Duration::from_secs(20);

/// Tells of each question, and holds it until told to go on.
struct Gate {
    asked: Sender<Lookup>,
    go: Receiver<()>,
    count: AtomicUsize,
}

impl Places for Gate {
    fn nearby(&self, lookup: &Lookup, _: Instant) -> Result<Vec<u8>, PlacesError> {
        self.asked.send(*lookup).unwrap();
        self.go.recv_timeout(HANG).unwrap();
        let count = self.count.fetch_add(1, Ordering::Relaxed);
        Ok(format!("answer {count}").into_bytes())
    }
}

struct Setup {
    pool: Pool,
    asked: Receiver<Lookup>,
    go: Sender<()>,
}

fn setup(threads: usize, queue: usize, total: Duration) -> Setup {
    let ((asked_in, asked), (go, go_out)) = (bounded(64), bounded(64));
    let gate = Gate { asked: asked_in, go: go_out, count: AtomicUsize::new(0) };
    let bounds = Bounds { threads, queue, total, daily_budget: None };
    Setup { pool: Pool::start(Arc::new(gate), bounds).unwrap(), asked, go }
}

fn lookup(latitude_deg: f64) -> Lookup {
    Lookup { latitude_deg, longitude_deg: 0.0, radius_m: 1.0, bound: 1 }
}

/// Asks as somebody who is there to the end.
fn submit(pool: &Pool, lookup: Lookup) -> Receiver<String> {
    submit_as(pool, lookup, 1, &Arc::new(()), true)
}

fn submit_as(pool: &Pool, lookup: Lookup, host: u8, alive: &Arc<()>, for_ever: bool) -> Receiver<String> {
    let asker = Asker { address: [10, 0, 0, host].into(), alive: Arc::downgrade(alive) };
    let kept = for_ever.then(|| alive.clone());
    let (sender, receiver) = bounded(64);
    let done = move |json: Arc<[u8]>| {
        drop(kept);
        // Whoever gave up does not listen.
        let _ = sender.send(String::from_utf8_lossy(&json).into_owned());
    };
    pool.submit(lookup, asker, done);
    receiver
}

#[test]
fn the_same_lookup_is_asked_once() {
    let Setup { pool, asked, go } = setup(2, 8, HANG);
    let first = submit(&pool, lookup(1.0));
    asked.recv_timeout(HANG).unwrap();
    let second = submit(&pool, lookup(1.0));
    let other = submit(&pool, Lookup { bound: 2, ..lookup(1.0) });
    asked.recv_timeout(HANG).unwrap();
    go.send(()).unwrap();
    go.send(()).unwrap();
    let answer = first.recv_timeout(HANG).unwrap();
    assert_eq!(second.recv_timeout(HANG).unwrap(), answer);
    assert_ne!(other.recv_timeout(HANG).unwrap(), answer);
    assert!(asked.is_empty());
    // Answered is no longer in flight: the next one is asked again.
    let later = submit(&pool, lookup(1.0));
    asked.recv_timeout(HANG).unwrap();
    go.send(()).unwrap();
    assert_eq!(later.recv_timeout(HANG).unwrap(), "answer 2");
    assert!(pool.stop(Instant::now() + HANG));
}

#[test]
fn a_full_queue_answers_at_once() {
    let Setup { pool, asked, go } = setup(1, 1, HANG);
    let held = submit(&pool, lookup(1.0));
    asked.recv_timeout(HANG).unwrap();
    let queued = submit(&pool, lookup(2.0));
    let refused = submit(&pool, lookup(3.0)).try_recv().unwrap();
    assert!(refused.contains("UNKNOWN_ERROR") && refused.contains("too many"), "{refused}");
    go.send(()).unwrap();
    go.send(()).unwrap();
    assert_eq!(held.recv_timeout(HANG).unwrap(), "answer 0");
    assert_eq!(queued.recv_timeout(HANG).unwrap(), "answer 1");
}

#[test]
fn nothing_to_ask() {
    let Setup { pool, asked, go: _go } = setup(1, 1, HANG);
    for nothing in [Lookup { bound: 0, ..lookup(1.0) }, Lookup { radius_m: 0.0, ..lookup(1.0) }] {
        assert!(submit(&pool, nothing).try_recv().unwrap().contains("ZERO_RESULTS"));
    }
    assert!(asked.is_empty());
}

#[test]
fn a_lookup_past_its_deadline_is_not_asked() {
    let Setup { pool, asked, go } = setup(1, 8, Duration::ZERO);
    let late = submit(&pool, lookup(1.0)).recv_timeout(HANG).unwrap();
    assert!(late.contains("waited too long"), "{late}");
    assert!(asked.is_empty());
    drop(go);
}

#[test]
fn stopping_answers_what_is_queued() {
    let Setup { pool, asked, go } = setup(1, 8, HANG);
    let held = submit(&pool, lookup(1.0));
    asked.recv_timeout(HANG).unwrap();
    let queued = submit(&pool, lookup(2.0));
    assert!(!pool.stop(Instant::now()), "its thread is still held");
    go.send(()).unwrap();
    assert_eq!(held.recv_timeout(HANG).unwrap(), "answer 0");
    assert!(queued.recv_timeout(HANG).unwrap().contains("stopping"));
}

#[test]
fn what_nobody_waits_for_any_more_is_not_asked() {
    let Setup { pool, asked, go } = setup(1, 2, HANG);
    let held = submit(&pool, lookup(1.0));
    asked.recv_timeout(HANG).unwrap();
    let (gone, stays) = (Arc::new(()), Arc::new(()));
    submit_as(&pool, lookup(2.0), 1, &gone, false);
    submit_as(&pool, lookup(3.0), 1, &gone, false);
    let joined = submit_as(&pool, lookup(3.0), 2, &stays, false);
    drop(gone);
    // The queue was full, and is not with what nobody waits for.
    let last = submit(&pool, lookup(4.0));
    (0..3).for_each(|_| go.send(()).unwrap());
    for (answer, expected) in [(held, "answer 0"), (joined, "answer 1"), (last, "answer 2")] {
        assert_eq!(answer.recv_timeout(HANG).unwrap(), expected);
    }
    let asked: Vec<_> = asked.try_iter().map(|lookup| lookup.latitude_deg).collect();
    assert_eq!(asked, [3.0, 4.0]);
    // What was dropped is asked when somebody asks for it again.
    let again = submit(&pool, lookup(2.0));
    go.send(()).unwrap();
    assert_eq!(again.recv_timeout(HANG).unwrap(), "answer 3");
}

#[test]
fn an_address_that_asks_for_much_waits_for_itself() {
    let Setup { pool, asked, go } = setup(1, 4, HANG);
    let alive = Arc::new(());
    let greedy: Vec<_> = (0..5).map(|i| submit_as(&pool, lookup(f64::from(i)), 1, &alive, false)).collect();
    asked.recv_timeout(HANG).unwrap();
    submit_as(&pool, lookup(0.5), 1, &alive, false);
    let other = submit_as(&pool, lookup(9.0), 2, &alive, false);
    (0..8).for_each(|_| go.send(()).unwrap());
    assert_eq!(other.recv_timeout(HANG).unwrap(), "answer 2", "its turn comes after one of the other's");
    let refused = greedy.iter().filter(|answer| answer.recv_timeout(HANG).unwrap().contains("too many"));
    assert_eq!(refused.count(), 1);
}

#[test]
fn who_asks_the_same_as_a_busy_address_has_a_turn_of_its_own() {
    let Setup { pool, asked, go } = setup(1, 16, HANG);
    let alive = Arc::new(());
    let busy: Vec<_> = (0..6).map(|i| submit_as(&pool, lookup(f64::from(i)), 1, &alive, false)).collect();
    asked.recv_timeout(HANG).unwrap();
    let other = submit_as(&pool, lookup(5.0), 2, &alive, false);
    (0..6).for_each(|_| go.send(()).unwrap());
    assert_eq!(other.recv_timeout(HANG).unwrap(), "answer 2", "its turn comes after one of the other's");
    assert_eq!(busy[5].recv_timeout(HANG).unwrap(), "answer 2", "both have it at once");
    assert_eq!(busy[4].recv_timeout(HANG).unwrap(), "answer 5");
    assert_eq!(asked.try_iter().count(), 5, "and it is asked once");
}

#[test]
fn a_lookup_that_two_ask_for_is_refused_only_when_neither_has_a_place() {
    let Setup { pool, asked, go } = setup(1, 3, HANG);
    let alive = Arc::new(());
    let ask = |latitude, host| submit_as(&pool, lookup(latitude), host, &alive, false);
    let _held = ask(0.0, 1);
    asked.recv_timeout(HANG).unwrap();
    let (_first, shared, joined) = (ask(1.0, 1), ask(2.0, 1), ask(2.0, 2));
    // It takes the place of the busy address, and not that of the other.
    let third = ask(3.0, 3);
    assert!(shared.is_empty() && joined.is_empty(), "it is still to be asked");
    (0..4).for_each(|_| go.send(()).unwrap());
    for answer in [shared, joined, third] {
        assert!(answer.recv_timeout(HANG).unwrap().starts_with("answer"));
    }
}

#[test]
fn beyond_the_budget_of_a_day_nothing_is_asked() {
    let ((asked_in, asked), (go, go_out)) = (bounded(64), bounded(64));
    let gate = Gate { asked: asked_in, go: go_out, count: AtomicUsize::new(0) };
    let bounds = Bounds { threads: 1, queue: 8, total: HANG, daily_budget: Some(1) };
    let pool = Pool::start(Arc::new(gate), bounds).unwrap();
    go.send(()).unwrap();
    assert_eq!(submit(&pool, lookup(1.0)).recv_timeout(HANG).unwrap(), "answer 0");
    // Around midnight there are two days.
    go.send(()).unwrap();
    let answers: Vec<_> =
        (2..4).map(|i| submit(&pool, lookup(f64::from(i))).recv_timeout(HANG).unwrap()).collect();
    assert!(answers[1].contains("OVER_QUERY_LIMIT") && answers[1].contains("used up"), "{answers:?}");
    assert!(asked.len() <= 2);
}
