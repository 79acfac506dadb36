//! Unit tests: what is in a journal comes back, whatever happened to it, and a disk that fails.

mod at_random;
mod compacting;
mod disks;
mod failing;

use super::*;
use disks::{Failing, Moody, Watched};
use segment::path_of;
use std::fs;
use std::path::Path;
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
    lines.iter().for_each(|line| entries.report(line.as_bytes()));
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
    let path = path_of(folder.path(), 1);
    let whole = fs::read(&path).expect("read");
    for length in 0..=whole.len() {
        let cut = tempfile::tempdir().expect("a folder");
        fs::write(path_of(cut.path(), 1), &whole[..length]).expect("written");
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
    let path = path_of(folder.path(), 1);
    let whole = fs::read(&path).expect("read");
    for bit in 0..8 * whole.len() {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let other = tempfile::tempdir().expect("a folder");
        fs::write(path_of(other.path(), 1), &flipped).expect("written");
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
            let aside = fs::read(other.path().join("00000001.journal.bad")).expect("kept aside");
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
    fs::write(path_of(folder.path(), 7), bytes).expect("written");
    let (journal, replayed, lines) = open(&folder);
    assert_eq!(lines, ["AT G +0 a +1+1 1"]);
    assert!(replayed.bad > 0);
    assert_eq!(journal.active().number, 8);
}

/// Compacts to these lines.
fn compact(journal: &Journal, lines: &[&str]) {
    journal.compact(&|keep: &mut Keep<'_>| lines.iter().try_for_each(|line| keep(line.as_bytes())));
}

fn wait_for(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
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
            ["sync_file 00000001.journal", "sync_folder data"].map(|what| seen.iter().any(|it| it == what));
        assert_eq!(synced, [true, mode != SyncMode::Never], "{mode:?}: {seen:?}");
    }
}

#[test]
fn bad_lines_that_cannot_be_kept_aside_stay_where_they_are() {
    let folder = folder();
    fs::write(path_of(folder.path(), 1), "this is no entry\n").expect("written");
    let aside = folder.path().join("00000001.journal.bad");
    fs::create_dir(&aside).expect("created");
    let (journal, replayed, _) = open(&folder);
    let held = |journal: &Journal| journal.active().parts.iter().filter(|part| part.is_held).count();
    assert_eq!((replayed.bad, held(&journal)), (1, 1));
    compact(&journal, &["live"]);
    drop(journal);
    assert!(path_of(folder.path(), 1).exists(), "a compaction took the only copy");
    // As soon as it can be, it is.
    fs::remove_dir(&aside).expect("removed");
    let (journal, replayed, lines) = open(&folder);
    assert_eq!((replayed.bad, held(&journal), &lines[..]), (1, 0, &["live".to_owned()][..]));
    compact(&journal, &["live"]);
    assert!(!path_of(folder.path(), 1).exists());
    assert_eq!(fs::read(&aside).expect("kept aside"), b"this is no entry\n");
}
