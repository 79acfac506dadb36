//! A journal on a disk that is full, fails, takes its time or loses power.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::harness::{Disk, HERD, Herd, Process, Server, folder_with, run, solo, wait_for};

const GOLOMAN: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

/// Runs herd with its journal on a file system of 1 MB, or says that this machine does not allow it.
struct Small {
    process: Process,
    address: std::net::SocketAddr,
}

fn start_on_a_small_disk(folder: &Path, sync: &str) -> Option<Small> {
    fs::write(folder.join("herd.conf"), format!("sync = \"{sync}\"\nlog_level = \"warn\"\n{GOLOMAN}"))
        .expect("written");
    fs::create_dir_all(folder.join("data")).expect("created");
    let allowed = Command::new("unshare")
        .args(["-rm", "sh", "-c", "mount -t tmpfs -o size=1m none data"])
        .current_dir(folder)
        .output();
    if !allowed.is_ok_and(|done| done.status.success()) {
        eprintln!(
            "not tested here: a full disk; this machine does not allow mounts in a namespace (unshare -rm)"
        );
        return None;
    }
    // The filler keeps the disk full until a file in the folder asks it to make room. It ends by
    // itself, whatever becomes of the test.
    let script = format!(
        "wait_for() {{ i=0; while ! [ -e $1 ] && [ $i -lt 3000 ]; do sleep 0.02; i=$((i+1)); done; }}
         mount -t tmpfs -o size=1m none data || exit 1
         {{ wait_for fill; head -c 2000000 /dev/zero > data/filler; touch full; wait_for free; rm data/filler; touch freed; }} \
             >/dev/null 2>&1 &
         exec {HERD} Goloman"
    );
    let mut process = Process::start(Command::new("unshare").args(["-rm", "sh", "-c", &script]), folder);
    let ready = process.line();
    let address = ready.strip_prefix("Goloman listens on ").and_then(|at| at.parse().ok());
    let address = address.unwrap_or_else(|| panic!("{ready:?}; {}", process.stderr()));
    Some(Small { process, address })
}

#[test]
fn a_full_disk_is_served_through_or_refused_as_promised_and_healed() {
    for sync in ["second", "always"] {
        let folder = tempfile::tempdir().expect("a folder");
        let Some(small) = start_on_a_small_disk(folder.path(), sync) else { return };
        let ask = |line: &str| crate::harness::Client::connect(small.address).say(line);
        let log = || fs::read_to_string(folder.path().join("log/Goloman.log")).unwrap_or_default();
        assert!(ask("IAMAT before +1+1 1\n").starts_with("AT "));
        fs::write(folder.path().join("fill"), "").expect("written");
        wait_for("the disk to be full", || folder.path().join("full").exists().then_some(()));
        let pad = "x".repeat(3_000);
        let mut number = 0;
        wait_for("the journal to be degraded", || {
            number += 1;
            let reply = ask(&format!("IAMAT {pad} +1+1 {number}\n"));
            // What it cannot keep it does not promise, from the first on.
            assert!(reply.starts_with("AT ") || sync == "always", "{reply}");
            log().contains("is degraded").then_some(())
        });
        let reply = ask("IAMAT meanwhile +1+1 1\n");
        let refused = reply == "? IAMAT meanwhile +1+1 1\n";
        assert_eq!(refused, sync == "always", "{reply}");
        assert_eq!(ask("WHATSAT meanwhile 1 1\n").starts_with("AT "), sync == "second");
        assert!(ask("WHATSAT before 1 1\n").starts_with("AT "), "it serves on");
        assert_eq!(log().matches("is degraded").count(), 1, "logged once");
        fs::write(folder.path().join("free"), "").expect("written");
        wait_for("the disk to be free", || folder.path().join("freed").exists().then_some(()));
        wait_for("reports to be taken again", || {
            ask("IAMAT after +1+1 1\n").starts_with("AT ").then_some(())
        });
        wait_for("the journal to be healed", || {
            let entries = |name: &str| {
                let root = format!("/proc/{}/root{}", small.process.pid(), folder.path().display());
                let files = fs::read_dir(format!("{root}/data/Goloman")).ok()?;
                let text: String =
                    files.filter_map(|file| fs::read_to_string(file.ok()?.path()).ok()).collect();
                Some(text.contains(name))
            };
            let kept = [" before ", " after "].iter().all(|name| entries(name) == Some(true));
            let meanwhile = entries(" meanwhile ") == Some(sync == "second");
            (kept && meanwhile).then_some(())
        });
    }
}

#[test]
fn what_is_kept_first_is_known_to_the_next_command_and_a_repetition_is_as_safe() {
    let (folder, goloman) = solo("sync = \"always\"");
    let said =
        goloman.ask("IAMAT fig +1+1 1\nWHATSAT fig 0 0\nIAMAT fig +2+2 2\nWHATSAT plum 0 0\nWHATSAT fig 0 0");
    let lines: Vec<_> = said.lines().filter(|line| line.contains(" fig ") || line.starts_with('?')).collect();
    assert_eq!(lines, [lines[0], lines[0], lines[2], "? WHATSAT plum 0 0", lines[2]], "{said}");
    // It rests on what may be on its way to the disk by somebody else's report: that is written, too.
    let first = lines[2];
    assert_eq!(goloman.ask("IAMAT fig +2+2 2\n").split(' ').nth(3), Some("fig"));
    let journal = fs::read_to_string(folder.path().join("data/Goloman/00000001.journal")).expect("text");
    assert_eq!(journal.matches(first).count(), 2, "{journal}");
}

#[test]
fn what_a_failing_disk_did_not_keep_is_known_nowhere_and_never_again() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "sync = \"always\"", &[]);
    let disk = Disk::new();
    let (goloman, hands) = (disk.herd(herd.folder.path(), "Goloman"), herd.start("Hands"));
    let before = goloman.ask("IAMAT before +1+1 1\n").trim_end().to_owned();
    hands.wait_to_know("before", &before);
    // One that waits for a sync which then fails, beside a client that asks at once where it is.
    disk.set("hold");
    let mut ghost = goloman.client();
    ghost.send("IAMAT ghost +1+1 1\nIAMAT before +1+1 2\nWHATSAT ghost 0 0\nWHATSAT before 0 0\n");
    wait_for("the sync to hang", || disk.is_held().then_some(()));
    // What neighbours know goes round without it: the link is cut, and opened anew.
    assert_eq!(hands.stop(), Some(0));
    fs::remove_dir_all(herd.folder.path().join("data/Hands")).expect("removed");
    let hands = herd.start("Hands");
    hands.wait_to_know("before", &before);
    disk.set("fail-sync");
    disk.unset("hold");
    let refused = ["? IAMAT ghost +1+1 1\n", "? IAMAT before +1+1 2\n", "? WHATSAT ghost 0 0\n"];
    assert_eq!([ghost.text_line(), ghost.text_line(), ghost.text_line()], refused);
    assert_eq!(ghost.text_line().trim_end(), before);
    goloman.wait_for_log("is degraded");
    assert_eq!(goloman.ask("IAMAT ghost +1+1 1\n"), "? IAMAT ghost +1+1 1\n");
    disk.unset("fail-sync");
    wait_for("reports to be taken again", || {
        goloman.ask("IAMAT after +1+1 1\n").starts_with("AT ").then_some(())
    });
    let (status, agreement, _) = run(herd.folder.path(), &["--agree", "--wait", "20s"]);
    assert_eq!(status, Some(0), "{agreement}");
    for server in [&goloman, &hands] {
        let known = ["before", "ghost", "after"].map(|client| server.knows(client).is_some());
        assert_eq!(known, [true, false, true], "{}", server.name);
    }
    drop(goloman);
    let goloman = herd.start("Goloman");
    assert_eq!(
        ["before", "ghost", "after"].map(|client| goloman.knows(client).is_some()),
        [true, false, true]
    );
}

#[test]
fn a_disk_that_fails_is_served_through_and_healed() {
    for failure in ["fail-sync", "fail-write"] {
        let folder = folder_with(&format!("sync = \"second\"\n{GOLOMAN}"));
        let disk = Disk::new();
        let goloman = disk.herd(folder.path(), "Goloman");
        assert!(goloman.ask("IAMAT before +1+1 1\n").starts_with("AT "));
        disk.set(failure);
        let mut number = 0;
        wait_for("the journal to be degraded", || {
            number += 1;
            assert!(goloman.ask(&format!("IAMAT meanwhile +1+1 {number}\n")).starts_with("AT "));
            goloman.log_text().contains("is degraded").then_some(())
        });
        assert!(goloman.knows("meanwhile").is_some_and(|line| line.ends_with(&format!(" {number}"))));
        disk.unset(failure);
        goloman.wait_for_log("can be written again, and was compacted");
        assert_eq!(goloman.log_text().matches("is degraded").count(), 1, "logged once");
        goloman.process.signal(rustix::process::Signal::KILL);
        let mut goloman = goloman;
        goloman.process.wait();
        let goloman = Server::start(folder.path(), "Goloman");
        assert!(goloman.knows("before").is_some());
        let known = goloman.knows("meanwhile");
        assert!(
            known.as_ref().is_some_and(|line| line.ends_with(&format!(" {number}"))),
            "{failure}: {known:?}, not {number}"
        );
    }
}

#[test]
fn what_was_refused_does_not_come_back_though_the_process_dies_before_the_journal_is_healed() {
    for failure in ["fail-sync", "fail-write"] {
        let folder = folder_with(&format!("sync = \"always\"\n{GOLOMAN}"));
        let disk = Disk::new();
        let mut goloman = disk.herd(folder.path(), "Goloman");
        let before = goloman.ask("IAMAT before +1+1 1\n");
        assert!(before.starts_with("AT "));
        disk.set(failure);
        assert_eq!(goloman.ask("IAMAT ghost +1+1 1\n"), "? IAMAT ghost +1+1 1\n");
        goloman.wait_for_log("is degraded");
        goloman.process.signal(rustix::process::Signal::KILL);
        goloman.process.wait();
        let goloman = Server::start(folder.path(), "Goloman");
        let known = ["before", "ghost"].map(|client| goloman.knows(client));
        assert_eq!(known, [Some(before.trim_end().to_owned()), None], "{failure}");
    }
}

#[test]
fn every_new_folder_above_a_journal_is_on_the_disk_before_anything_counts() {
    let folder = folder_with(&format!("data_dir = \"data/b/c/d\"\nsync = \"always\"\n{GOLOMAN}"));
    let disk = Disk::new();
    let goloman = disk.herd(folder.path(), "Goloman");
    let root = folder.path().canonicalize().expect("a folder");
    let expected = ["", "data", "data/b", "data/b/c", "data/b/c/d", "data/b/c/d/Goloman"];
    let synced = disk.synced_folders();
    for level in expected {
        let level = root.join(level).components().collect::<std::path::PathBuf>();
        assert!(synced.contains(&level), "{} is not in {synced:?}", level.display());
    }
    assert_eq!(goloman.stop(), Some(0));
}

#[test]
fn a_server_that_ends_before_a_disk_that_hangs_has_its_journal_says_so_by_its_status() {
    let folder = folder_with(&format!("stop_timeout_s = 1\n{GOLOMAN}"));
    let disk = Disk::new();
    let goloman = disk.herd(folder.path(), "Goloman");
    disk.set("hold");
    assert!(goloman.ask("IAMAT a +1+1 1\n").starts_with("AT "));
    wait_for("the sync to hang", || disk.is_held().then_some(()));
    goloman.process.signal(rustix::process::Signal::TERM);
    let (code, _, stderr) = goloman.process.finish();
    assert_eq!(code, Some(74), "{stderr}");
    assert!(stderr.contains("[ERROR] Goloman: stops before its journal is on the disk"), "{stderr}");
}
