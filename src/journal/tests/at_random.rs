//! A disk that fails at random and loses power, with real threads: what may and may not be found after.

use super::*;

/// Rounds in which nothing is shown, on a machine that is so busy that threads hardly run.
const ROUNDS_MAX: usize = 20_000;

#[test]
fn what_was_refused_on_a_disk_that_fails_at_random_does_not_come_back() {
    let (mut kept, mut refused) = (0, 0);
    for round in 0..ROUNDS_MAX {
        if round >= 200 && kept > 1_000 && refused > 100 {
            return;
        }
        let (folder, disk) = (folder(), Moody::default());
        let opened = Journal::open(folder.path(), SyncMode::Always, Box::new(disk.clone()), |_| true);
        let Ok((journal, _)) = opened else { continue };
        let (known, lost) = (Mutex::new(Vec::<String>::new()), Mutex::new(Vec::<String>::new()));
        let is_on = AtomicBool::new(true);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (journal, known, lost, is_on) = (&journal, &known, &lost, &is_on);
                scope.spawn(move || {
                    for number in (0..).take_while(|_| is_on.load(Ordering::SeqCst)) {
                        // Of a write that fails the first may be whole.
                        let lines = ["a", "b"].map(|part| format!("w{writer}-{number}{part}"));
                        journal.keep(&entries(&[&lines[0], &lines[1]]), |settled| {
                            let list = if settled.is_ok() { known } else { lost };
                            list.lock().expect("unpoisoned").extend(lines.clone());
                        });
                        std::thread::yield_now();
                    }
                });
            }
            let begun = Instant::now();
            while begun.elapsed() < Duration::from_millis(5) {
                journal.tend(0, &|keep: &mut Keep<'_>| {
                    let known = known.lock().expect("unpoisoned").clone();
                    known.iter().try_for_each(|line| keep(line.as_bytes()))
                });
                std::thread::sleep(Duration::from_micros(fastrand::u64(..500)));
            }
            is_on.store(false, Ordering::SeqCst);
        });
        // The process ends here, healed or not; what could not be cut off can be now.
        disk.calm();
        journal.look();
        drop(journal);
        let (_, _, found) = open(&folder);
        let (known, lost) = (known.into_inner().expect("unpoisoned"), lost.into_inner().expect("unpoisoned"));
        (kept, refused) = (kept + known.len(), refused + lost.len());
        let missing: Vec<_> = known.iter().filter(|line| !found.contains(line)).collect();
        let back: Vec<_> = lost.iter().filter(|line| found.contains(line)).collect();
        assert!(missing.is_empty() && back.is_empty(), "{missing:?} are missing, {back:?} are back");
    }
    panic!("{kept} kept and {refused} refused");
}

#[test]
fn what_vouches_for_records_never_outlives_them_when_power_is_lost() {
    let mut vouched = 0;
    for round in 0..ROUNDS_MAX {
        if round >= 120 && vouched > 500 {
            return;
        }
        let mode = [SyncMode::Always, SyncMode::Second, SyncMode::Never][round % 3];
        let (folder, disk) = (folder(), Moody::default());
        let opened = Journal::open(folder.path(), mode, Box::new(disk.clone()), |_| true);
        let Ok((journal, _)) = opened else { continue };
        // All records up to this one are known, and up to the other one were told to be stored.
        let (heard, seen, is_on) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(true));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for number in (1..).take_while(|_| is_on.load(Ordering::SeqCst)) {
                    heard.store(number, Ordering::SeqCst);
                    let mut turn = Entries::default();
                    turn.hear(format!("heard {number}").as_bytes());
                    turn.vouch(format!("SEEN {number}").as_bytes());
                    journal.keep(&turn, |kept| {
                        if kept.is_ok() || mode != SyncMode::Always {
                            seen.store(number, Ordering::SeqCst);
                        }
                    });
                    std::thread::yield_now();
                }
            });
            scope.spawn(|| {
                while is_on.load(Ordering::SeqCst) {
                    let lines = |keep: &mut Keep<'_>| {
                        keep(format!("SEEN {}", seen.load(Ordering::SeqCst)).as_bytes())?;
                        (1..=heard.load(Ordering::SeqCst))
                            .try_for_each(|number| keep(format!("heard {number}").as_bytes()))
                    };
                    journal.tend(0, &lines);
                    if !journal.is_degraded() {
                        journal.compact(&lines);
                    }
                }
            });
            std::thread::sleep(Duration::from_micros(fastrand::u64(..10_000)));
            disk.lose_power();
            is_on.store(false, Ordering::SeqCst);
        });
        drop(journal);
        let (_, replayed, found) = open(&folder);
        assert_eq!(replayed.bad, 0);
        let seen = found.iter().filter_map(|line| line.strip_prefix("SEEN ")?.parse::<usize>().ok()).max();
        for number in 1..=seen.unwrap_or(0) {
            assert!(
                found.contains(&format!("heard {number}")),
                "{mode:?}: no {number}, but {seen:?} is seen"
            );
        }
        vouched += seen.unwrap_or(0);
    }
    panic!("{vouched} vouched for");
}

#[test]
fn nothing_acknowledged_is_lost_to_a_disk_that_fails_at_random_and_then_to_a_loss_of_power() {
    let mut kept = 0;
    for round in 0..ROUNDS_MAX {
        if round >= 300 && kept > 1_000 {
            return;
        }
        let (folder, disk) = (folder(), Moody::default());
        let opened = Journal::open(folder.path(), SyncMode::Always, Box::new(disk.clone()), |_| true);
        let Ok((journal, _)) = opened else { continue };
        let (known, is_on) = (Mutex::new(Vec::<String>::new()), AtomicBool::new(true));
        let lines = |keep: &mut Keep<'_>| {
            let known = known.lock().expect("unpoisoned").clone();
            known.iter().try_for_each(|line| keep(line.as_bytes()))
        };
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let (journal, known, is_on) = (&journal, &known, &is_on);
                scope.spawn(move || {
                    for number in 0.. {
                        if !is_on.load(Ordering::SeqCst) {
                            return;
                        }
                        let line = format!("w{writer}-{number}");
                        // As a turn does: what is kept is learned and then acknowledged.
                        journal.keep(&entries(&[&line]), |kept| match kept {
                            Ok(()) => known.lock().expect("unpoisoned").push(line.clone()),
                            Err(NotKept) => std::thread::yield_now(),
                        });
                    }
                });
            }
            scope.spawn(|| {
                while is_on.load(Ordering::SeqCst) {
                    journal.compact(&lines);
                    // What is not repaired by the next one is to be found, too.
                    if !journal.is_degraded() {
                        std::thread::sleep(Duration::from_micros(fastrand::u64(..3_000)));
                    }
                }
            });
            std::thread::sleep(Duration::from_micros(fastrand::u64(..10_000)));
            disk.lose_power();
            is_on.store(false, Ordering::SeqCst);
        });
        drop(journal);
        let (_, _, found) = open(&folder);
        let known = known.into_inner().expect("unpoisoned");
        kept += known.len();
        let lost: Vec<_> = known.iter().filter(|line| !found.contains(line)).collect();
        assert!(lost.is_empty(), "{lost:?} of {}", known.len());
    }
    panic!("{kept} kept");
}
