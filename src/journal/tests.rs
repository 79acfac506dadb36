//! Unit tests: what is in a journal comes back, whatever happened to it, and a disk that fails.

use super::*;
use std::sync::atomic::AtomicUsize;
use tempfile::TempDir;

type Found = Vec<String>;
/// What a snapshot hands its lines to.
type Keep<'a> = dyn FnMut(&[u8]) -> io::Result<()> + 'a;

fn open_on(folder: &Path, mode: SyncMode, disk: Box<dyn Disk>) -> (Journal, Replayed, Found) {
    let mut lines = Found::new();
    let (journal, replayed) = Journal::open(folder, mode, disk, |line| {
        lines.push(String::from_utf8_lossy(line).into_owned());
        true
    })
    .expect("opened");
    (journal, replayed, lines)
}

fn open(folder: &TempDir) -> (Journal, Replayed, Found) {
    open_on(folder.path(), SyncMode::Never, Box::new(RealDisk))
}

fn entries(lines: &[&str]) -> Entries {
    let mut entries = Entries::default();
    lines.iter().for_each(|line| entries.push(line.as_bytes()));
    entries
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

#[test]
fn what_was_appended_comes_back_over_several_starts() {
    let folder = folder();
    for start in 0..3 {
        let (journal, replayed, lines) = open(&folder);
        let expected: Found = (0..start).flat_map(|n| [format!("a{n}"), format!("b{n}")]).collect();
        assert_eq!((lines, replayed.bad, replayed.cut), (expected, 0, 0));
        journal.append(&entries(&[&format!("a{start}"), &format!("b{start}")])).expect("kept");
    }
}

#[test]
fn a_second_process_is_kept_out() {
    let folder = folder();
    let (journal, ..) = open(&folder);
    let second = Journal::open(folder.path(), SyncMode::Never, Box::new(RealDisk), |_| true);
    assert!(second.is_err_and(|why| why.to_string().contains("another process has it")));
    drop(journal);
    drop(open(&folder));
}

#[test]
fn a_journal_cut_at_any_byte_gives_every_whole_line() {
    let folder = folder();
    let written = ["AT G +0 a +1+1 1", "AT G +0 bb +1+1 2", "AT G +0 ccc +1+1 3"];
    let (journal, ..) = open(&folder);
    journal.append(&entries(&written)).expect("kept");
    drop(journal);
    let path = segment_path(folder.path(), 1);
    let whole = fs::read(&path).expect("read");
    for length in 0..=whole.len() {
        let cut = tempfile::tempdir().expect("a folder");
        fs::write(segment_path(cut.path(), 1), &whole[..length]).expect("written");
        let (_, replayed, lines) = open(&cut);
        let ends = whole[..length].iter().filter(|&&byte| byte == b'\n').count();
        assert_eq!(lines, written[..ends], "{length}");
        let is_cut = length > 0 && whole[length - 1] != b'\n';
        assert_eq!((replayed.bad, replayed.cut), (0, u64::from(is_cut)), "{length}");
    }
}

#[test]
fn a_bit_that_flipped_costs_its_line_alone_which_is_kept_aside() {
    let folder = folder();
    let written = ["AT G +0 a +1+1 1", "AT G +0 bb +1+1 2", "AT G +0 ccc +1+1 3"];
    let (journal, ..) = open(&folder);
    journal.append(&entries(&written)).expect("kept");
    drop(journal);
    let path = segment_path(folder.path(), 1);
    let whole = fs::read(&path).expect("read");
    for bit in 0..8 * whole.len() {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let other = tempfile::tempdir().expect("a folder");
        fs::write(segment_path(other.path(), 1), &flipped).expect("written");
        let (_, replayed, lines) = open(&other);
        // A newline that flipped joins two lines, one that appeared makes two of one.
        let damaged = whole[..bit / 8].iter().filter(|&&byte| byte == b'\n').count();
        let joined = whole[bit / 8] == b'\n';
        let expected: Found = (0..3)
            .filter(|&index| index != damaged && !(joined && index == damaged + 1))
            .map(|index| written[index].to_owned())
            .collect();
        assert_eq!(lines, expected, "bit {bit}");
        assert!(replayed.bad + replayed.cut > 0, "bit {bit}");
        if replayed.cut == 0 {
            let aside = fs::read(other.path().join("00000001.log.bad")).expect("kept aside");
            assert!(!aside.is_empty());
        }
    }
}

#[test]
fn garbage_without_a_newline_is_read_in_bounded_memory_and_never_fatal() {
    let folder = folder();
    let mut bytes = vec![b'x'; 3 * crate::limits::REPLAY_BYTES];
    bytes.push(b'\n');
    bytes.extend_from_slice(entries(&["AT G +0 a +1+1 1"]).all());
    fs::write(segment_path(folder.path(), 7), bytes).expect("written");
    let (journal, replayed, lines) = open(&folder);
    assert_eq!(lines, ["AT G +0 a +1+1 1"]);
    assert!(replayed.bad > 0);
    assert_eq!(journal.active().number, 8);
}

/// Compacts to these lines.
fn compact(journal: &Journal, lines: &[&str]) {
    journal.compact(&|keep: &mut Keep<'_>| lines.iter().try_for_each(|line| keep(line.as_bytes())));
}

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

/// A disk on which operations fail from one on, as in a crash or when it is full.
#[derive(Clone)]
struct Failing {
    /// Operations left.
    left: Arc<AtomicUsize>,
    /// A full disk still removes what is on it; one that is gone does not.
    is_full: bool,
}

impl Failing {
    fn after(operations: usize) -> Failing {
        Failing { left: Arc::new(AtomicUsize::new(operations)), is_full: false }
    }

    fn full() -> Failing {
        Failing { is_full: true, ..Failing::after(usize::MAX) }
    }

    fn spend(&self) -> io::Result<()> {
        let spent = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        spent.map(|_| ()).map_err(|_| io::ErrorKind::StorageFull.into())
    }

    fn is_spent(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn mend(&self) {
        self.left.store(usize::MAX, Ordering::SeqCst);
    }
}

struct FailingSegment(Failing, Arc<dyn Segment>);

impl Disk for Failing {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        self.spend()?;
        Ok(Arc::new(FailingSegment(self.clone(), RealDisk.create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.spend()?;
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        if !self.is_full {
            self.spend()?;
        }
        RealDisk.remove(path)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        RealDisk.sync_file(path)
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.spend()?;
        RealDisk.sync_folder(folder)
    }
}

impl Segment for FailingSegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let FailingSegment(disk, segment) = self;
        if let Err(why) = disk.spend() {
            // A disk that fills takes a part of it.
            segment.append(&bytes[..bytes.len() / 2])?;
            return Err(why);
        }
        segment.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.spend()?;
        self.1.sync()
    }
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
    let active = journal.active();
    assert_eq!((active.appended, active.synced), (160, 160));
    drop(active);
    // The next append is written and its sync fails.
    disk.left.store(1, Ordering::SeqCst);
    append_all(Err(NotKept));
}

/// A disk on which a function is called before every operation, with its name and the file's, and may
/// fail it or take its time.
#[derive(Clone)]
struct Watched(Arc<Watch>);
type Watch = dyn Fn(&str, &str) -> io::Result<()> + Send + Sync;

struct WatchedSegment(Watched, String, Arc<dyn Segment>);

impl Watched {
    fn new(watch: impl Fn(&str, &str) -> io::Result<()> + Send + Sync + 'static) -> Box<Watched> {
        Box::new(Watched(Arc::new(watch)))
    }

    fn see(&self, what: &str, path: &Path) -> io::Result<String> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        (self.0)(what, &name).map(|()| name)
    }
}

impl Disk for Watched {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        let name = self.see("create", path)?;
        Ok(Arc::new(WatchedSegment(self.clone(), name, RealDisk.create(path)?)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.see("rename", to).and_then(|_| RealDisk.rename(from, to))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.see("remove", path).and_then(|_| RealDisk.remove(path))
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.see("sync_file", path).and_then(|_| RealDisk.sync_file(path))
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        self.see("sync_folder", folder).and_then(|_| RealDisk.sync_folder(folder))
    }
}

impl Segment for WatchedSegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let WatchedSegment(disk, name, segment) = self;
        (disk.0)("append", name).and_then(|()| segment.append(bytes))
    }

    fn sync(&self) -> io::Result<()> {
        let WatchedSegment(disk, name, segment) = self;
        (disk.0)("sync", name).and_then(|()| segment.sync())
    }
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + std::time::Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn what_is_replayed_is_synced_before_it_counts_and_so_is_the_folders_own_name() {
    for mode in [SyncMode::Always, SyncMode::Second, SyncMode::Never] {
        let root = folder();
        let path = root.path().join("data/Goloman");
        let (journal, ..) = open_on(&path, SyncMode::Never, Box::new(RealDisk));
        journal.append(&entries(&["a"])).expect("kept");
        drop(journal);
        let seen = Arc::new(Mutex::new(Vec::new()));
        let noted = seen.clone();
        let disk = Watched::new(move |what, name| {
            noted.lock().expect("unpoisoned").push(format!("{what} {name}"));
            Ok(())
        });
        let _ = open_on(&path, mode, disk);
        let seen = seen.lock().expect("unpoisoned").clone();
        let synced =
            ["sync_file 00000001.log", "sync_folder data"].map(|what| seen.iter().any(|it| it == what));
        assert_eq!(synced, [mode != SyncMode::Never; 2], "{mode:?}: {seen:?}");
    }
}

#[test]
fn bad_lines_that_cannot_be_kept_aside_stay_where_they_are() {
    let folder = folder();
    fs::write(segment_path(folder.path(), 1), "this is no entry\n").expect("written");
    let aside = folder.path().join("00000001.log.bad");
    fs::create_dir(&aside).expect("created");
    let (journal, replayed, _) = open(&folder);
    assert_eq!((replayed.bad, &replayed.held[..]), (1, &[1][..]));
    compact(&journal, &["live"]);
    drop(journal);
    assert!(segment_path(folder.path(), 1).exists(), "a compaction took the only copy");
    // As soon as it can be, it is.
    fs::remove_dir(&aside).expect("removed");
    let (journal, replayed, lines) = open(&folder);
    assert_eq!((replayed.bad, replayed.held.len(), &lines[..]), (1, 0, &["live".to_owned()][..]));
    compact(&journal, &["live"]);
    assert!(!segment_path(folder.path(), 1).exists());
    assert_eq!(fs::read(&aside).expect("kept aside"), b"this is no entry\n");
}

#[test]
fn a_journal_that_cannot_be_compacted_goes_on_and_rests_before_it_tries_again() {
    let folder = folder();
    let tries = Arc::new(AtomicUsize::new(0));
    let counted = tries.clone();
    let disk = Watched::new(move |what, name| match (what, name.ends_with("unfinished")) {
        ("create", true) => {
            counted.fetch_add(1, Ordering::SeqCst);
            Err(io::ErrorKind::StorageFull.into())
        }
        _ => Ok(()),
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, disk);
    journal.append(&entries(&["before"])).expect("kept");
    for _ in 0..3 {
        journal.active().bytes = crate::limits::COMPACT_MIN_BYTES;
        journal.tend(0, &|_: &mut Keep<'_>| Ok(()));
        journal.append(&entries(&["after"])).expect("it was never degraded");
    }
    assert_eq!((tries.load(Ordering::SeqCst), journal.is_degraded()), (1, false));
    drop(journal);
    assert_eq!(open(&folder).2, ["before", "after", "after", "after"]);
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

#[test]
fn what_becomes_known_when_it_is_kept_is_known_to_a_compaction_that_drops_its_segment() {
    let folder = folder();
    let (appended, swapped) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let seen = swapped.clone();
    let disk = Watched::new(move |what, name| {
        seen.fetch_or((what, name) == ("create", "00000003.log"), Ordering::SeqCst);
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
                std::thread::sleep(std::time::Duration::from_millis(50));
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
fn a_sync_that_fails_while_its_segment_is_replaced_is_no_promise() {
    let folder = folder();
    let (waits, goes_on) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (waiting, going) = (waits.clone(), goes_on.clone());
    let disk = Watched::new(move |what, name| {
        if (what, name) == ("sync", "00000001.log") {
            if waiting.swap(true, Ordering::SeqCst) {
                return Ok(());
            }
            wait_for("the compaction", || going.load(Ordering::SeqCst));
            // Time for one that would not wait. The system tells of a failure only once.
            std::thread::sleep(std::time::Duration::from_millis(50));
            return Err(io::Error::other("EIO"));
        }
        going.fetch_or((what, name) == ("create", "00000003.log"), Ordering::SeqCst);
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
    let (journal, ..) = open_on(folder.path(), SyncMode::Always, Box::new(RealDisk));
    journal.active().syncing = true;
    std::thread::scope(|scope| {
        let report = scope.spawn(|| journal.append(&entries(&["lost"])));
        wait_for("it to be written", || journal.active().appended == 1);
        let mut active = journal.active();
        journal.degrade(&mut active, &io::Error::other("EIO"));
        active.segment = Some(RealDisk.create(&segment_path(folder.path(), 3)).expect("created"));
        active.syncing = false;
        drop(active);
        journal.synced.notify_all();
        assert_eq!(report.join().expect("joined"), Err(NotKept));
    });
}

#[test]
fn reports_are_synced_every_second_while_the_disk_is_slow_to_take_a_snapshot() {
    let folder = folder();
    let syncs = Arc::new(AtomicUsize::new(0));
    let counted = syncs.clone();
    let disk = Watched::new(move |what, name| {
        match (what, name.ends_with("unfinished")) {
            ("sync", true) => wait_for("two more syncs", || counted.load(Ordering::SeqCst) >= 2),
            ("sync", false) if name == "00000003.log" => drop(counted.fetch_add(1, Ordering::SeqCst)),
            _ => {}
        }
        Ok(())
    });
    let (journal, ..) = open_on(folder.path(), SyncMode::Second, disk);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let deadline = Instant::now() + std::time::Duration::from_secs(30);
            while !done.load(Ordering::SeqCst) && Instant::now() < deadline {
                journal.append(&entries(&["report"])).expect("kept");
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        journal.compact(&|keep: &mut Keep<'_>| keep(b"live"));
        done.store(true, Ordering::SeqCst);
    });
    assert!(syncs.load(Ordering::SeqCst) >= 2);
}

/// A disk that fails at random, forgets what it could not sync, and at last loses power.
#[derive(Clone, Default)]
struct Moody(Arc<Mutex<Files>>);

#[derive(Default)]
struct Files {
    is_off: bool,
    /// How much of each file would survive a loss of power.
    synced: std::collections::HashMap<PathBuf, u64>,
}

struct MoodySegment {
    disk: Moody,
    /// As it was created.
    path: PathBuf,
    file: File,
}

impl Moody {
    fn files(&self) -> MutexGuard<'_, Files> {
        self.0.lock().expect("unpoisoned")
    }

    /// Most operations go well, until the power is gone.
    fn spend(&self) -> io::Result<MutexGuard<'_, Files>> {
        std::thread::yield_now();
        let files = self.files();
        if files.is_off || fastrand::u8(..30) == 0 { Err(io::Error::other("EIO")) } else { Ok(files) }
    }

    fn lose_power(&self) {
        let mut files = self.files();
        files.is_off = true;
        for (path, synced) in &files.synced {
            if let Ok(file) = File::options().write(true).open(path) {
                file.set_len(*synced).expect("cut");
            }
        }
    }
}

impl Disk for Moody {
    fn create(&self, path: &Path) -> io::Result<Arc<dyn Segment>> {
        let mut files = self.spend()?;
        let file = File::options().append(true).create_new(true).open(path)?;
        files.synced.insert(path.to_owned(), 0);
        Ok(Arc::new(MoodySegment { disk: self.clone(), path: path.to_owned(), file }))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut files = self.spend()?;
        let length = files.synced.remove(from).expect("it was created");
        files.synced.insert(to.to_owned(), length);
        RealDisk.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let _files = self.spend()?;
        RealDisk.remove(path)
    }

    fn sync_file(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        self.spend().map(drop)
    }
}

impl Segment for MoodySegment {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        let half = &bytes[..bytes.len() / 2];
        let _files = self.disk.spend().inspect_err(|_| {
            let files = self.disk.files();
            if !files.is_off {
                self.file.append(half).expect("written");
            }
        })?;
        self.file.append(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        let length = self.file.metadata()?.len();
        match self.disk.spend() {
            Ok(mut files) => {
                files.synced.insert(self.path.clone(), length);
                Ok(())
            }
            Err(why) => {
                let files = self.disk.files();
                if !files.is_off {
                    // The system drops what it could not write, and says so once.
                    self.file.set_len(files.synced.get(&self.path).copied().unwrap_or(0))?;
                }
                Err(why)
            }
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_a_disk_that_fails_at_random_and_then_to_a_loss_of_power() {
    let mut kept = 0;
    for _ in 0..300 {
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
                        std::thread::sleep(std::time::Duration::from_micros(fastrand::u64(..3_000)));
                    }
                }
            });
            std::thread::sleep(std::time::Duration::from_micros(fastrand::u64(..10_000)));
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
    assert!(kept > 1_000, "{kept}");
}
