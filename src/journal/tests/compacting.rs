//! Compactions, and what happens beside them.

use super::*;

#[test]
fn a_compaction_leaves_what_it_was_given_and_what_came_after() {
    let folder = folder();
    let (journal, ..) = open(&folder);
    journal.append(&entries(&["old1", "old2"])).expect("kept");
    compact(&journal, &["live"]);
    journal.append(&entries(&["after"])).expect("kept");
    drop(journal);
    let (_, replayed, lines) = open(&folder);
    assert_eq!((lines, replayed.bad), (vec!["live".to_owned(), "after".to_owned()], 0));
    let left = replay::segments(folder.path()).expect("read");
    assert_eq!(left.iter().map(|(number, _)| *number).collect::<Vec<_>>(), [2, 3, 4]);
}

#[test]
fn a_crash_at_any_point_of_a_compaction_loses_nothing() {
    for operations in 2.. {
        let folder = folder();
        let disk = Failing::after(operations);
        let (journal, ..) = open_on(folder.path(), SyncMode::Never, Box::new(disk.clone()));
        let before = journal.append(&entries(&["kept"])).is_ok();
        compact(&journal, &["kept", "live"]);
        let crashed = disk.is_spent();
        drop(journal);
        let (_, _, lines) = open(&folder);
        assert!(
            !before || lines.iter().any(|line| line == "kept"),
            "after {operations} operations: {lines:?}"
        );
        if !crashed {
            assert_eq!(lines, ["kept", "live"]);
            return;
        }
    }
}

#[test]
fn a_failure_during_a_compaction_that_ends_well_is_healed_too() {
    let folder = folder();
    let disk = Failing::after(usize::MAX);
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, Box::new(disk.clone()));
    let live = |keep: &mut Keep<'_>| keep(b"live");
    journal.compact(&|keep| {
        disk.left.store(0, Ordering::SeqCst);
        assert_eq!(journal.append(&entries(&["lost"])), Err(NotKept));
        disk.mend();
        live(keep)
    });
    assert!(journal.is_degraded(), "what came after it is kept nowhere");
    journal.tend(0, &live);
    assert!(!journal.is_degraded());
    journal.append(&entries(&["after"])).expect("kept");
}

#[test]
fn a_journal_that_cannot_be_compacted_goes_on_and_rests_before_it_tries_again() {
    let folder = folder();
    let tries = Arc::new(AtomicUsize::new(0));
    let is_blocked = Arc::new(AtomicBool::new(true));
    let (counted, blocked) = (tries.clone(), is_blocked.clone());
    let disk = Watched::new(move |what, name| match (what, name.ends_with("unfinished")) {
        ("create", true) if blocked.load(Ordering::SeqCst) => {
            counted.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::StorageFull.into())
        }
        _ => Ok(()),
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, disk);
    let journal = journal.resting(Duration::from_millis(50));
    let line = "x".repeat(15_000);
    for _ in 0..crate::limits::COMPACT_MIN_BYTES / 15_000 + 1 {
        journal.append(&entries(&[&line])).expect("kept");
    }
    let tend = || journal.tend(15_000, &|keep: &mut Keep<'_>| keep(line.as_bytes()));
    tend();
    tend();
    assert_eq!(tries.load(Ordering::SeqCst), 1, "it rests");
    wait_for("another try, with nothing appended since", || {
        tend();
        tries.load(Ordering::SeqCst) >= 3
    });
    assert!(!journal.is_degraded());
    is_blocked.store(false, Ordering::SeqCst);
    wait_for("a compaction", || {
        tend();
        replay::segments(folder.path()).expect("read").len() == 2
    });
    journal.append(&entries(&["after"])).expect("kept");
    drop(journal);
    assert!(open(&folder).2 == [&line, "after"]);
}

#[test]
fn what_becomes_known_when_it_is_kept_is_known_to_a_compaction_that_drops_its_segment() {
    let folder = folder();
    let (appended, swapped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let seen = swapped.clone();
    let disk = Watched::new(move |what, name| {
        seen.fetch_or((what, name) == ("create", "00000003.journal"), Ordering::SeqCst);
        Ok(())
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, disk);
    let known = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            journal.keep(&entries(&["slow"]), |kept| {
                assert_eq!(kept, Ok(()));
                appended.store(true, Ordering::SeqCst);
                wait_for("a compaction", || swapped.load(Ordering::SeqCst));
                // Time for a compaction that would not wait.
                std::thread::sleep(Duration::from_millis(50));
                known.lock().expect("unpoisoned").push("slow");
            });
        });
        wait_for("it to be appended", || appended.load(Ordering::SeqCst));
        journal.compact(&|keep: &mut Keep<'_>| {
            known.lock().expect("unpoisoned").iter().try_for_each(|line| keep(line.as_bytes()))
        });
    });
    drop(journal);
    assert_eq!(open(&folder).2, ["slow"]);
}

#[test]
fn nothing_vouches_in_a_new_segment_before_the_one_before_is_on_the_disk() {
    for mode in [SyncMode::Second, SyncMode::Never] {
        let folder = folder();
        let (waits, goes_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let (waiting, going) = (waits.clone(), goes_on.clone());
        let disk = Watched::new(move |what, name| {
            if (what, name) == ("sync", "00000001.journal") {
                waiting.store(true, Ordering::SeqCst);
                wait_for("it to go on", || going.load(Ordering::SeqCst));
            }
            Ok(())
        });
        let (journal, ..) = open_on(folder.path(), mode, disk);
        journal.append(&entries(&["before"])).expect("kept");
        let turn = || {
            let mut turn = entries(&["meanwhile"]);
            turn.vouch(b"SEEN before");
            journal.append(&turn).expect("kept");
            fs::read_to_string(path_of(folder.path(), 3)).expect("text")
        };
        std::thread::scope(|scope| {
            scope.spawn(|| compact(&journal, &["before"]));
            wait_for("the sync", || waits.load(Ordering::SeqCst));
            let written = turn();
            assert!(written.contains("meanwhile") && !written.contains("SEEN"), "{mode:?}: {written}");
            goes_on.store(true, Ordering::SeqCst);
        });
        assert!(turn().contains("SEEN"), "{mode:?}");
    }
}

#[test]
fn reports_are_synced_every_second_while_the_disk_is_slow_to_take_a_snapshot() {
    let folder = folder();
    let syncs = Arc::new(AtomicUsize::new(0));
    let counted = syncs.clone();
    let disk = Watched::new(move |what, name| {
        match (what, name.ends_with("unfinished")) {
            ("sync", true) => wait_for("two more syncs", || counted.load(Ordering::SeqCst) >= 2),
            ("sync", false) if name == "00000003.journal" => drop(counted.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        Ok(())
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Second, disk);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = Instant::now() + Duration::from_secs(30);
            while !done.load(Ordering::SeqCst) && Instant::now() < deadline {
                journal.append(&entries(&["report"])).expect("kept");
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        journal.compact(&|keep: &mut Keep<'_>| keep(b"live"));
        done.store(true, Ordering::SeqCst);
    });
    assert!(syncs.load(Ordering::SeqCst) >= 2);
}

#[test]
fn segments_of_the_old_ending_go_with_a_compaction_and_one_that_was_put_back_stays() {
    let folder = folder();
    let old = folder.path().join("00000001.log");
    let (journal, ..) = open(&folder);
    journal.append(&entries(&["old"])).expect("kept");
    drop(journal);
    fs::rename(path_of(folder.path(), 1), &old).expect("renamed");
    let (journal, _, lines) = open(&folder);
    assert_eq!(lines, ["old"]);
    // By the names that are next for the snapshot and for the new segment.
    let put_back = [3, 4].map(|number| path_of(folder.path(), number));
    put_back.iter().for_each(|path| fs::write(path, entries(&["put back"]).all()).expect("written"));
    compact(&journal, &["live"]);
    assert!(!old.exists());
    drop(journal);
    assert_eq!(open(&folder).2, ["put back", "put back", "live"]);
}
