//! Unit tests: what is in a journal comes back, whatever happened to it, and a disk that fails.

mod at_random;
mod compacting;
mod disks;
mod failing;
mod reading;

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
        // The first line is the version's.
        let ends = whole[..length].iter().filter(|&&byte| byte == b'\n').count().saturating_sub(1);
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
        let expected: Found = (1..4)
            .filter(|&index| index != damaged && !(joined && index == damaged + 1))
            .map(|index| written[index - 1].to_owned())
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

/// Lines with their sums, as in a segment.
fn segment(lines: &[&str]) -> Vec<u8> {
    entries(lines).all().to_vec()
}

#[test]
fn words_of_a_later_version_are_no_damage_and_outlast_every_compaction() {
    for mode in [SyncMode::Always, SyncMode::Never] {
        let folder = folder();
        let later = ["DEL k1 12345", "V 2"];
        let written = segment(&["HERD-JOURNAL 1.5", "AT G +0 a +1+1 1", later[0], later[1], later[0]]);
        fs::write(path_of(folder.path(), 1), &written).expect("written");
        for start in 0..3 {
            let mut lines = Found::new();
            let (journal, replayed) = Journal::open(folder.path(), mode, Box::new(RealDisk), |line| {
                lines.push(String::from_utf8_lossy(line).into_owned());
                line.starts_with(b"AT ")
            })
            .expect("opened");
            assert_eq!((replayed.bad, replayed.later.count(), replayed.doubt()), (0, 2, None), "{start}");
            assert!(lines.contains(&"AT G +0 a +1+1 1".to_owned()), "{lines:?}");
            journal.append(&entries(&["AT G +0 b +1+1 1"])).expect("kept");
            compact(&journal, &["AT G +0 a +1+1 1"]);
            assert!(!path_of(folder.path(), 1).exists(), "{start}");
        }
        let all: Vec<u8> = replay::segments(folder.path())
            .expect("found")
            .iter()
            .flat_map(|(_, path)| fs::read(path).expect("read"))
            .collect();
        let all = String::from_utf8(all).expect("text");
        assert_eq!(later.map(|line| all.matches(line).count()), [1, 1], "{all}");
        assert_eq!(
            fs::read_dir(folder.path())
                .expect("found")
                .flatten()
                .filter(|it| it.path().extension().is_some_and(|ending| ending == "bad"))
                .count(),
            0
        );
    }
}

#[test]
fn a_segment_with_more_of_a_later_version_than_is_kept_stays_where_it_is() {
    let folder = folder();
    let lines: Vec<_> = (0..200).map(|number| format!("NEW {number} {}", "x".repeat(30_000))).collect();
    let lines: Vec<_> = lines.iter().map(String::as_str).collect();
    fs::write(path_of(folder.path(), 1), segment(&lines[..3])).expect("written");
    fs::write(path_of(folder.path(), 2), segment(&lines[3..])).expect("written");
    let open =
        || Journal::open(folder.path(), SyncMode::Never, Box::new(RealDisk), |_| false).expect("opened");
    let (journal, replayed) = open();
    assert_eq!(replayed.later.count() as u64 + replayed.left, 200);
    compact(&journal, &["AT G +0 a +1+1 1"]);
    assert_eq!([1, 2].map(|number| path_of(folder.path(), number).exists()), [false, true]);
    drop(journal);
    let (_, replayed) = open();
    assert!(replayed.later.count() as u64 + replayed.left >= 200 && replayed.bad == 1, "{replayed:?}");
}

#[test]
fn a_journal_of_a_later_format_is_left_as_it_is() {
    let folder = folder();
    let written = segment(&["HERD-JOURNAL 2", "AT G +0 a +1+1 1"]);
    fs::write(path_of(folder.path(), 1), &written).expect("written");
    let opened = Journal::open(folder.path(), SyncMode::Never, Box::new(RealDisk), |_| true);
    let why = opened.err().expect("refused");
    assert_eq!(why.kind(), io::ErrorKind::InvalidData);
    assert!(why.to_string().contains("version 2 of the journal"), "{why}");
    assert_eq!(fs::read(path_of(folder.path(), 1)).expect("read"), written);
    assert!(!path_of(folder.path(), 2).exists());
}
