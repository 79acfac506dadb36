//! Unit tests: what is in a journal comes back, whatever happened to it, and a disk that fails.

use super::*;
use std::sync::atomic::AtomicUsize;
use tempfile::TempDir;

type Found = Vec<String>;

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
    bytes.extend_from_slice(&entries(&["AT G +0 a +1+1 1"]).0);
    fs::write(segment_path(folder.path(), 7), bytes).expect("written");
    let (journal, replayed, lines) = open(&folder);
    assert_eq!(lines, ["AT G +0 a +1+1 1"]);
    assert!(replayed.bad > 0);
    assert_eq!(journal.active().number, 8);
}

/// Compacts to these lines.
fn compact(journal: &Journal, lines: &[&str]) {
    journal.compact(&|keep| lines.iter().try_for_each(|line| keep(line.as_bytes())));
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
        let live =
            |keep: &mut dyn FnMut(&[u8]) -> io::Result<()>| keep(b"before").and_then(|()| keep(b"lost"));
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
            let live = |keep: &mut dyn FnMut(&[u8]) -> io::Result<()>| keep(b"kept");
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
    let live = |keep: &mut dyn FnMut(&[u8]) -> io::Result<()>| keep(b"live");
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
