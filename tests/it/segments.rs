//! What becomes of a journal's files behind a running server's back, and of one with a piece lost.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Client, HERD, Herd, Process, Server, folder_with, run, solo, wait_for};

/// The segments in a folder, in order.
fn segments(folder: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path());
    let is_segment =
        |path: &PathBuf| path.extension().is_some_and(|ending| ending == "journal" || ending == "log");
    let mut found: Vec<_> = files.filter(is_segment).collect();
    found.sort();
    found
}

/// In words, and done to the folder.
type Deed = (&'static str, fn(&Path));

/// What another program does to a journal's folder.
const DEEDS: [Deed; 11] = [
    ("renames the open segment", |folder| rename(last(folder))),
    ("removes the open segment", |folder| fs::remove_file(last(folder)).expect("removed")),
    ("empties the open segment", |folder| drop(fs::File::create(last(folder)).expect("emptied"))),
    ("replaces the open segment by a copy", |folder| {
        let (path, copy) = (last(folder), folder.join("copy"));
        fs::copy(&path, &copy).and_then(|_| fs::rename(&copy, &path)).expect("replaced");
    }),
    ("writes to the open segment", |folder| {
        fs::File::options()
            .append(true)
            .open(last(folder))
            .and_then(|mut file| file.write_all(b"x"))
            .expect("written");
    }),
    ("renames an older segment", |folder| rename(segments(folder).remove(0))),
    ("removes every segment", |folder| {
        segments(folder).iter().for_each(|path| fs::remove_file(path).expect("removed"));
    }),
    ("cuts an older segment short", |folder| {
        let oldest = segments(folder).remove(0);
        fs::File::options().write(true).open(oldest).and_then(|file| file.set_len(10)).expect("cut");
    }),
    ("replaces an older segment by one as long", |folder| {
        let (path, copy) = (segments(folder).remove(0), folder.join("copy"));
        let bytes = fs::read(&path).expect("read").len();
        fs::write(&copy, vec![b'\n'; bytes]).and_then(|()| fs::rename(&copy, &path)).expect("replaced");
    }),
    ("removes the folder", |folder| fs::remove_dir_all(folder).expect("removed")),
    ("moves the folder above it away", |folder| {
        let data = folder.parent().expect("data");
        fs::rename(data, data.with_extension("old")).expect("moved");
    }),
];

fn last(folder: &Path) -> PathBuf {
    segments(folder).pop().expect("a segment")
}

fn rename(path: PathBuf) {
    let mut name = path.clone().into_os_string();
    name.push(".1");
    fs::rename(path, name).expect("renamed");
}

/// A server with something in an older segment and something in the open one.
struct Told {
    folder: tempfile::TempDir,
    goloman: Server,
    /// What was acknowledged: the client and its line.
    lines: Vec<(&'static str, String)>,
}

impl Told {
    fn new(sync: &str) -> Told {
        let folder =
            folder_with(&format!("sync = \"{sync}\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n"));
        let goloman = Server::start(folder.path(), "Goloman");
        let mut told = Told { folder, goloman, lines: Vec::new() };
        assert!(told.tell("older"));
        let Told { folder, goloman, lines } = told;
        assert_eq!(goloman.stop(), Some(0));
        let goloman = Server::start(folder.path(), "Goloman");
        let mut told = Told { folder, goloman, lines };
        assert!(told.tell("before"));
        told
    }

    /// Says whether it was acknowledged.
    fn tell(&mut self, client: &'static str) -> bool {
        let line = self.goloman.ask(&format!("IAMAT {client} +1+1 1\n"));
        let is_kept = line.starts_with("AT ");
        if is_kept {
            self.lines.push((client, line.trim_end().to_owned()));
        }
        is_kept
    }

    fn journal(&self) -> PathBuf {
        self.folder.path().join("data/Goloman")
    }

    /// Stops it, and checks that one started anew knows everything.
    fn check(self, what: &str) {
        assert_eq!(self.goloman.stop(), Some(0), "{what}");
        let goloman = Server::start(self.folder.path(), "Goloman");
        for (client, line) in self.lines {
            assert_eq!(goloman.knows(client), Some(line), "another program {what}");
        }
    }
}

/// Calls it with every mode and every deed, at the same time, as most of it is waiting.
fn with_every_deed(check: impl Fn(&str, &str, fn(&Path)) + Sync) {
    std::thread::scope(|scope| {
        for sync in ["always", "second", "never"] {
            for (what, deed) in DEEDS {
                let check = &check;
                scope.spawn(move || check(sync, what, deed));
            }
        }
    });
}

#[test]
fn a_segment_that_another_program_took_away_is_told_and_what_it_held_is_written_anew() {
    with_every_deed(|sync, what, deed| {
        let mut told = Told::new(sync);
        deed(&told.journal());
        // Refused or kept, as may be, but what is acknowledged counts.
        told.tell("meanwhile");
        let log = told.goloman.wait_for_log("can be written again, and was compacted");
        assert_eq!(log.matches("by another program (keep log rotation").count(), 1, "{sync} {what}: {log}");
        assert!(told.tell("after"), "{sync} {what}");
        let written = segments(&told.journal());
        assert!(written.len() == 2, "{sync} {what}: {written:?}");
        told.check(&format!("{what}, sync {sync}"));
    });
}

#[test]
fn a_segment_that_is_taken_away_just_before_a_stop_is_written_anew_before_the_end() {
    with_every_deed(|sync, what, deed| {
        let mut told = Told::new(sync);
        deed(&told.journal());
        told.tell("meanwhile");
        told.check(&format!("{what} and stops it, sync {sync}"));
    });
}

#[test]
fn with_always_nothing_is_acknowledged_into_a_segment_that_is_gone() {
    for (what, deed) in &DEEDS[..5] {
        let mut told = Told::new("always");
        let before = told.lines.len();
        deed(&told.journal());
        told.tell("meanwhile");
        told.goloman.process.signal(Signal::KILL);
        told.goloman.process.wait();
        let goloman = Server::start(told.folder.path(), "Goloman");
        for (client, line) in &told.lines[before..] {
            assert_eq!(goloman.knows(client).as_ref(), Some(line), "another program {what}");
        }
    }
}

#[test]
fn a_lock_that_was_removed_is_made_anew_so_that_still_no_second_process_starts() {
    let (folder, goloman) = solo("");
    let lock = folder.path().join("data/Goloman/lock");
    fs::remove_file(&lock).expect("removed");
    goloman.wait_for_log("another program removed or replaced its lock file");
    assert!(lock.exists());
    let (status, _, stderr) = run(folder.path(), &["Goloman"]);
    assert_eq!(status, Some(71));
    assert!(stderr.contains("another process has it"), "{stderr}");
    assert!(goloman.ask("IAMAT kiwi +1+1 1\n").starts_with("AT "));
}

#[test]
fn a_server_whose_folder_another_process_has_taken_writes_nothing_there_until_it_is_free() {
    let mut told = Told::new("always");
    told.goloman.process.signal(Signal::STOP);
    wait_for("it to stop", || told.goloman.process.is_stopped().then_some(()));
    fs::remove_file(told.journal().join("lock")).expect("removed");
    let other = Server::start(told.folder.path(), "Goloman");
    told.goloman.process.signal(Signal::CONT);
    told.goloman.wait_for_log("is degraded: another process has it");
    assert!(!told.tell("refused"));
    let line = other.ask("IAMAT others +1+1 1\n").trim_end().to_owned();
    assert_eq!(other.stop(), Some(0));
    told.lines.push(("others", line));
    wait_for("it to have the folder again", || told.tell("after").then_some(()));
    told.check("took its lock");
}

#[test]
fn segments_of_the_old_ending_are_read_and_one_that_was_renamed_is_told() {
    let (folder, goloman) = solo("");
    assert!(goloman.ask("IAMAT kiwi +1+1 1\n").starts_with("AT "));
    assert_eq!(goloman.stop(), Some(0));
    let journal = folder.path().join("data/Goloman");
    fs::rename(last(&journal), journal.join("00000001.log")).expect("renamed");
    let goloman = Server::start(folder.path(), "Goloman");
    assert!(goloman.knows("kiwi").is_some());
    assert!(last(&journal).ends_with("00000002.journal"), "{:?}", last(&journal));
    assert_eq!(goloman.stop(), Some(0));
    fs::rename(journal.join("00000001.log"), journal.join("00000001.log.1")).expect("renamed");
    let goloman = Server::start(folder.path(), "Goloman");
    goloman.wait_for_log("00000001.log.1 is not read");
}

#[test]
fn fifty_restarts_leave_few_segments_and_every_report() {
    let (folder, mut goloman) = solo("");
    let journal = folder.path().join("data/Goloman");
    for restart in 0..50 {
        assert!(goloman.ask(&format!("IAMAT c{restart} +1+1 1\n")).starts_with("AT "));
        assert_eq!(goloman.stop(), Some(0));
        assert!(segments(&journal).len() < 20, "{:?}", segments(&journal));
        goloman = Server::start(folder.path(), "Goloman");
    }
    (0..50).for_each(|restart| assert!(goloman.knows(&format!("c{restart}")).is_some(), "{restart}"));
}

#[test]
fn a_folder_with_the_name_of_a_segment_is_told_and_keeps_no_server_from_its_start() {
    let (folder, goloman) = solo("");
    assert!(goloman.ask("IAMAT kiwi +1+1 1\n").starts_with("AT "));
    assert_eq!(goloman.stop(), Some(0));
    let journal = folder.path().join("data/Goloman");
    for name in ["00000005.journal", "00000001.unfinished", "999999999999999998.journal"] {
        fs::create_dir(journal.join(name)).expect("created");
        fs::write(journal.join(name).join("file"), "somebody's").expect("written");
    }
    for start in 0..2 {
        let goloman = Server::start(folder.path(), "Goloman");
        goloman.wait_for_log("00000005.journal is not read: it has the name of a segment and is a folder");
        assert!(goloman.knows("kiwi").is_some());
        assert!(goloman.ask(&format!("IAMAT fig{start} +1+1 1\n")).starts_with("AT "));
        assert_eq!(goloman.stop(), Some(0));
    }
    let goloman = Server::start(folder.path(), "Goloman");
    assert!(goloman.knows("fig0").is_some() && goloman.knows("fig1").is_some());
    assert!(journal.join("00000005.journal/file").exists());
}

#[test]
fn after_the_highest_number_of_a_segment_what_is_told_is_found_again() {
    let (folder, goloman) = solo("");
    assert!(goloman.ask("IAMAT c0 +1+1 1\n").starts_with("AT "));
    assert_eq!(goloman.stop(), Some(0));
    let journal = folder.path().join("data/Goloman");
    fs::rename(last(&journal), journal.join("999999999999999999.journal")).expect("renamed");
    fs::copy(journal.join("999999999999999999.journal"), journal.join("999999999999999999.log"))
        .expect("copied");
    for start in 1..4 {
        let goloman = Server::start(folder.path(), "Goloman");
        for client in 0..start {
            assert!(goloman.knows(&format!("c{client}")).is_some(), "{client} after {start} starts");
        }
        assert!(goloman.ask(&format!("IAMAT c{start} +1+1 1\n")).starts_with("AT "));
        assert_eq!(goloman.stop(), Some(0));
    }
}

/// Starts a server on a journal of two segments, and returns what it says to have of Hands.
fn seen_with(first: &[u8], second: &[u8]) -> String {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "", &[]);
    let journal = herd.folder.path().join("data/Goloman");
    fs::create_dir_all(&journal).expect("created");
    fs::write(journal.join("00000001.journal"), first).expect("written");
    fs::write(journal.join("00000003.journal"), second).expect("written");
    let goloman = herd.start("Goloman");
    let mut hands = Client::connect_from(herd.ip("Hands"), goloman.address);
    hands.send("HERD 1 Hands 00000000000000aa 00000000000000000000000000000001\n");
    let welcome = hands.text_line();
    welcome.split(' ').nth(5).unwrap_or_else(|| panic!("{welcome}")).to_owned()
}

/// A line of a segment.
fn entry(line: &str) -> String {
    format!("{:08x} {line}\n", crc32fast::hash(line.as_bytes()))
}

#[test]
fn a_segment_that_lost_its_end_before_a_later_one_has_neighbours_asked_for_everything() {
    let record = |client: &str| entry(&format!("AT Hands +0.1 {client} +1+1 1"));
    let (whole, seen) = (record("a") + &record("b"), entry("SEEN Hands 00000000000000aa 7"));
    let cut = |lines: &str| lines[..lines.len() - 3].to_owned();
    let expected = [
        (whole.clone(), seen.clone(), "7"),
        // What is vouched for is in the piece that is gone.
        (cut(&whole), seen.clone(), "0"),
        // The end of all is lost as in any crash, and with it what vouched for it.
        (whole.clone(), seen.clone() + &cut(&record("c")), "7"),
        (whole.clone(), cut(&seen), "0"),
        (whole.replacen("AT", "TA", 1), seen.clone(), "0"),
        // Words of a later version are no damage.
        (entry("HERD-JOURNAL 1.3") + &whole + &entry("DEL a 5"), seen.clone() + &entry("V 2"), "7"),
    ];
    for (first, second, said) in expected {
        assert_eq!(seen_with(first.as_bytes(), second.as_bytes()), said, "{first}{second}");
    }
}

#[test]
fn words_of_a_later_version_are_told_and_a_journal_of_a_later_format_starts_no_server() {
    let folder = folder_with("[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n");
    let journal = folder.path().join("data/Goloman");
    fs::create_dir_all(&journal).expect("created");
    let (first, path) = (entry("HERD-JOURNAL 1"), journal.join("00000001.journal"));
    let record = entry("AT Goloman +0.1 a +1+1 1");
    fs::write(&path, format!("{first}{record}{}", entry("DEL b 5"))).expect("written");
    let goloman = Server::start(folder.path(), "Goloman");
    goloman.wait_for_log("[WARN] the journal has 1 line of a later version of herd, which are kept for it");
    assert!(goloman.knows("a").is_some() && !goloman.log_text().contains("damaged"));
    assert_eq!(goloman.tell("c").split(' ').nth(3), Some("c"));
    assert_eq!(goloman.stop(), Some(0));
    assert!(!journal.join("00000001.journal.bad").exists());
    let second = fs::read_to_string(journal.join("00000002.journal")).expect("text");
    assert!(second.starts_with(&first) && second.contains(" c +1+1 1\n"), "{second}");
    // A compaction, as everything is to be written anew.
    let goloman = Server::start(folder.path(), "Goloman");
    goloman.tell("d");
    fs::remove_file(last(&journal)).expect("removed");
    goloman.wait_for_log("can be written again, and was compacted");
    assert_eq!(goloman.stop(), Some(0));
    let snapshot = fs::read_to_string(segments(&journal).remove(0)).expect("text");
    assert!(snapshot.starts_with(&(first + &entry("DEL b 5"))), "{snapshot}");
    fs::write(&path, format!("{}{record}", entry("HERD-JOURNAL 2"))).expect("written");
    // Which is to end by itself.
    let mut goloman = Process::start(Command::new(HERD).arg("Goloman"), folder.path());
    let (status, stderr) = (goloman.wait().code(), goloman.stderr());
    assert_eq!(status, Some(78), "{stderr}");
    assert!(stderr.contains("a later version of herd wrote it (version 2 of the journal"), "{stderr}");
}

#[test]
fn a_renamed_segment_has_neighbours_asked_for_everything() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "", &[]);
    let journal = herd.folder.path().join("data/Goloman");
    fs::create_dir_all(&journal).expect("created");
    fs::write(journal.join("00000001.journal.1"), entry("AT Hands +0.1 a +1+1 1")).expect("written");
    fs::write(journal.join("00000002.journal"), entry("SEEN Hands 00000000000000aa 7")).expect("written");
    let goloman = herd.start("Goloman");
    let mut hands = Client::connect_from(herd.ip("Hands"), goloman.address);
    hands.send("HERD 1 Hands 00000000000000aa 00000000000000000000000000000001\n");
    assert_eq!(hands.text_line().split(' ').nth(5), Some("0"));
}

#[test]
fn a_compaction_that_failed_is_tried_again_after_its_rest() {
    let (folder, goloman) = solo("max_line = 16384\n[timing]\ncompact_rest_ms = 300");
    // The snapshot of the first try cannot be written, that of the second can.
    let blocked = folder.path().join("data/Goloman/00000002.unfinished");
    fs::create_dir(&blocked).expect("created");
    let client_id = "x".repeat(15_000);
    let reports: Vec<_> = (0..1_200).map(|number| format!("IAMAT {client_id} +1+1 {number}\n")).collect();
    let mut client = goloman.client();
    for report in reports {
        client.send(report);
        assert!(client.line().starts_with(b"AT "));
    }
    goloman.wait_for_log("cannot be compacted");
    fs::remove_dir(blocked).expect("removed");
    // Without a report more.
    goloman.wait_for_log("was compacted to");
    wait_for("the old segments to go", || {
        (segments(&folder.path().join("data/Goloman")).len() == 2).then_some(())
    });
}
