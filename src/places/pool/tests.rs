//! The pool with a provider that answers when the test says so.

use std::sync::atomic::AtomicUsize;

use crossbeam_channel::bounded;

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
    let pool = Pool::start(Arc::new(gate), threads, queue, total).unwrap();
    Setup { pool, asked, go }
}

fn lookup(latitude_deg: f64) -> Lookup {
    Lookup { latitude_deg, longitude_deg: 0.0, radius_m: 1.0, bound: 1 }
}

fn submit(pool: &Pool, lookup: Lookup) -> Receiver<String> {
    let (sender, receiver) = bounded(64);
    let done = move |json: Arc<[u8]>| {
        sender.send(String::from_utf8_lossy(&json).into_owned()).unwrap();
    };
    pool.submit(lookup, done);
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
