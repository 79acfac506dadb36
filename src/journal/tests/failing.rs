//! A disk that fails: what is said of what, and how a journal comes out of it.

use super::*;

#[test]
fn a_full_disk_is_said_and_healed_by_a_compaction() {
    for mode in [SyncMode::Always, SyncMode::Second, SyncMode::Never] {
        let folder = folder();
        let disk = Failing::full();
        let (journal, ..) = open_on(folder.path(), mode, Box::new(disk.clone()));
        journal.append(&entries(&["before"])).expect("kept");
        disk.left.store(0, Ordering::SeqCst);
        assert_eq!(journal.append(&entries(&["lost"])), Err(NotKept), "{mode:?}");
        assert!(journal.is_degraded());
        assert_eq!(journal.append(&entries(&["lost, too"])), Err(NotKept));
        let live = |keep: &mut Keep<'_>| keep(b"before").and_then(|()| keep(b"lost"));
        journal.tend(0, &live);
        assert!(journal.is_degraded(), "the disk is still full");
        // One that is full only for what is written.
        let segments = || replay::segments(folder.path()).expect("read").len();
        let before = segments();
        for _ in 0..5 {
            disk.left.store(2, Ordering::SeqCst);
            journal.tend(0, &live);
        }
        assert!(journal.is_degraded() && segments() <= before + 1);
        disk.mend();
        journal.tend(0, &live);
        assert!(!journal.is_degraded());
        journal.append(&entries(&["after"])).expect("kept");
        drop(journal);
        let (_, replayed, lines) = open(&folder);
        assert_eq!((lines, replayed.bad), (["before", "lost", "after"].map(str::to_owned).into(), 0));
    }
}

#[test]
fn a_healing_needs_no_thread_that_the_system_may_not_have() {
    let folder = folder();
    let (full, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let (own_full, own_seen) = (full.clone(), seen.clone());
    let disk = Watched::new(move |what, name| {
        if what == "create" && name.ends_with(".unfinished") {
            own_seen.lock().expect("no panic before").push(std::thread::current().id());
        }
        if own_full.load(Ordering::SeqCst) { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Second, disk);
    full.store(true, Ordering::SeqCst);
    assert_eq!(journal.append(&entries(&["lost"])), Err(NotKept));
    full.store(false, Ordering::SeqCst);
    journal.tend(0, &|keep| keep(b"lost"));
    assert!(!journal.is_degraded());
    assert_eq!(*seen.lock().expect("no panic before"), [std::thread::current().id()]);
}

#[test]
fn a_failure_at_any_operation_of_a_healing_is_healed_by_the_next() {
    for mode in [SyncMode::Always, SyncMode::Second] {
        for operations in 0..16 {
            let folder = folder();
            let disk = Failing::after(usize::MAX);
            let (journal, ..) = open_on(folder.path(), mode, Box::new(disk.clone()));
            journal.append(&entries(&["kept"])).expect("kept");
            let live = |keep: &mut Keep<'_>| keep(b"kept");
            disk.left.store(operations, Ordering::SeqCst);
            journal.compact(&live);
            disk.mend();
            (0..2).for_each(|_| journal.tend(0, &live));
            assert!(!journal.is_degraded(), "{mode:?} {operations}");
            journal.append(&entries(&["after"])).expect("kept");
            drop(journal);
            let (_, replayed, lines) = open(&folder);
            assert_eq!((lines.last().map(String::as_str), replayed.bad), (Some("after"), 0), "{lines:?}");
            assert!(lines.iter().any(|line| line == "kept"), "{mode:?} {operations}: {lines:?}");
        }
    }
}

#[test]
fn one_sync_serves_all_who_wait_and_its_failure_reaches_them_all() {
    let folder = folder();
    let disk = Failing::after(usize::MAX);
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, Box::new(disk.clone()));
    let append_all = |expected: Result<(), NotKept>| {
        std::thread::scope(|scope| {
            for writer in 0..8 {
                let journal = &journal;
                scope.spawn(move || {
                    for number in 0..20 {
                        assert_eq!(journal.append(&entries(&[&format!("w{writer} {number}")])), expected);
                    }
                });
            }
        });
    };
    append_all(Ok(()));
    let open = journal.active().open.clone().expect("it is written");
    assert_eq!((open.safe(), open.appended()), (fs::metadata(&open.path).expect("found").len(), open.safe()));
    // The next append is written and its sync fails.
    disk.left.store(1, Ordering::SeqCst);
    append_all(Err(NotKept));
}

#[test]
fn a_sync_that_fails_while_its_segment_is_replaced_is_no_promise() {
    let folder = folder();
    let (waits, goes_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (waiting, going) = (waits.clone(), goes_on.clone());
    let disk = Watched::new(move |what, name| {
        if (what, name) == ("sync", "00000001.journal") {
            if waiting.swap(true, Ordering::SeqCst) {
                return Ok(());
            }
            wait_for("the compaction", || going.load(Ordering::SeqCst));
            // Time for one that would not wait. The system tells of a failure only once.
            std::thread::sleep(Duration::from_millis(50));
            return Err(io::Error::other("EIO"));
        }
        going.fetch_or((what, name) == ("create", "00000003.journal"), Ordering::SeqCst);
        Ok(())
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, disk);
    std::thread::scope(|scope| {
        let report = scope.spawn(|| journal.append(&entries(&["lost"])));
        wait_for("the sync", || waits.load(Ordering::SeqCst));
        journal.compact(&|keep: &mut Keep<'_>| keep(b"live"));
        assert_eq!(report.join().expect("joined"), Err(NotKept));
    });
    (0..2).for_each(|_| journal.tend(0, &|keep: &mut Keep<'_>| keep(b"live")));
    assert!(!journal.is_degraded());
}

#[test]
fn who_waits_for_the_sync_of_a_segment_that_failed_is_not_served_by_that_of_the_one_that_heals_it() {
    let folder = folder();
    let (waits, appended) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let (waiting, counted) = (waits.clone(), appended.clone());
    let disk = Watched::new(move |what, name| {
        match (what, name) {
            // The first sync waits until another report waits behind it, and fails; later ones do not.
            ("sync", "00000001.journal") if !waiting.swap(true, Ordering::SeqCst) => {
                wait_for("another report", || counted.load(Ordering::SeqCst) == 2);
                return Err(io::Error::other("EIO"));
            }
            ("append", "00000001.journal") => drop(counted.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        Ok(())
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, disk);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| journal.append(&entries(&["lost"])));
        wait_for("the sync", || waits.load(Ordering::SeqCst));
        let second = scope.spawn(|| journal.append(&entries(&["lost, too"])));
        wait_for("the failure", || journal.is_degraded());
        // Healed and synced anew, perhaps before the second comes to look.
        wait_for("it to be healed", || {
            journal.tend(0, &|keep: &mut Keep<'_>| keep(b"live"));
            !journal.is_degraded()
        });
        journal.append(&entries(&["after"])).expect("kept");
        assert_eq!([first, second].map(|it| it.join().expect("joined")), [Err(NotKept); 2]);
    });
    drop(journal);
    assert_eq!(open(&folder).2, ["live", "after"]);
}

#[test]
fn a_write_that_fails_takes_nothing_with_it_of_what_is_being_synced() {
    let folder = folder();
    let (waits, failed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (waiting, failing) = (waits.clone(), failed.clone());
    let disk = Watched::new(move |what, name| match (what, name) {
        ("sync", "00000001.journal") if !waiting.swap(true, Ordering::SeqCst) => {
            wait_for("the failure", || failing.load(Ordering::SeqCst));
            Ok(())
        }
        ("append", "00000001.journal") if waiting.load(Ordering::SeqCst) => {
            Err(io::ErrorKind::StorageFull.into())
        }
        _ => Ok(()),
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, disk);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| journal.append(&entries(&["kept"])));
        wait_for("the sync", || waits.load(Ordering::SeqCst));
        assert_eq!(journal.append(&entries(&["refused"])), Err(NotKept));
        failed.store(true, Ordering::SeqCst);
        assert_eq!(first.join().expect("joined"), Ok(()));
    });
    drop(journal);
    assert_eq!(open(&folder).2, ["kept"]);
}

#[test]
fn a_report_that_is_refused_while_a_journal_is_healed_is_in_no_segment() {
    let folder = folder();
    let disk = Failing::full();
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, Box::new(disk.clone()));
    disk.left.store(0, Ordering::SeqCst);
    assert_eq!(journal.append(&entries(&["first"])), Err(NotKept));
    disk.mend();
    let mut turn = Entries::default();
    turn.hear(b"heard");
    turn.report(b"refused");
    turn.vouch(b"SEEN heard");
    journal.compact(&|keep: &mut Keep<'_>| {
        // Another worker's turn, which began before anything had failed.
        std::thread::scope(|scope| {
            let worker = scope.spawn(|| journal.keep(&turn, |kept| kept));
            assert_eq!(worker.join().expect("joined"), Err(NotKept));
        });
        keep(b"live")
    });
    assert!(!journal.is_degraded());
    journal.append(&entries(&["after"])).expect("kept");
    drop(journal);
    assert_eq!(open(&folder).2, ["live", "heard", "after"]);
}

#[test]
fn nothing_vouches_for_records_while_a_journal_is_healed_and_a_failed_try_leaves_nothing() {
    for fails in [false, true] {
        let folder = folder();
        let disk = Failing::full();
        let (journal, ..) = open_on(folder.path(), SyncMode::Second, Box::new(disk.clone()));
        disk.left.store(0, Ordering::SeqCst);
        assert_eq!(journal.append(&entries(&["lost"])), Err(NotKept));
        disk.mend();
        journal.compact(&|keep: &mut Keep<'_>| {
            let mut both = entries(&["meanwhile"]);
            both.vouch(b"SEEN meanwhile");
            journal.append(&both).expect("written");
            if fails { Err(io::ErrorKind::StorageFull.into()) } else { keep(b"live") }
        });
        assert_eq!(journal.is_degraded(), fails);
        drop(journal);
        let expected: &[&str] = if fails { &[] } else { &["live", "meanwhile"] };
        assert_eq!(open(&folder).2, expected, "{fails}");
    }
}
