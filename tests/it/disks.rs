//! A journal on a disk that is full, fails, takes its time or loses power.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::harness::{Disk, HANG, HERD, Herd, Process, Server, folder_with, run, solo, wait_for};

/// For how long a stop answers what still comes.
const DRAIN: Duration = Duration::from_secs(1);

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

/// What comes back on a connection within a second.
fn answered(stream: &TcpStream) -> Option<String> {
    stream.set_read_timeout(Some(Duration::from_secs(1))).expect("set");
    let mut bytes = [0; 4_096];
    match (&*stream).read(&mut bytes) {
        Ok(count) => Some(String::from_utf8_lossy(&bytes[..count]).into_owned()),
        Err(why) => {
            assert!(matches!(why.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{why}");
            None
        }
    }
}

/// All that comes back on one until its end.
fn rest(mut stream: TcpStream) -> String {
    stream.set_read_timeout(Some(HANG)).expect("set");
    let mut said = String::new();
    stream.read_to_string(&mut said).expect("no reset");
    said
}

/// A server whose journal's disk is slow, so that those who report are apart from all others.
struct Parted {
    goloman: Server,
    http: SocketAddr,
    /// One that reports, whose write hangs.
    reporting: TcpStream,
    /// Two that ask, who are answered meanwhile: for a count, and how the server is.
    asking: TcpStream,
    looking: TcpStream,
}

const HEALTHY: &str = "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";

fn connect(address: SocketAddr) -> TcpStream {
    TcpStream::connect(address).expect("connected")
}

fn say(mut stream: &TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).expect("sent");
}

fn part(disk: &Disk, folder: &Path) -> Parted {
    let goloman = disk.herd(folder, "Goloman");
    let http = goloman.http.expect("it serves HTTP");
    let (asking, looking, reporting) = (connect(goloman.address), connect(http), connect(goloman.address));
    disk.set("slow-write");
    say(&reporting, "IAMAT kiwi +1+1 1\n");
    wait_for("a reply", || answered(&reporting));
    goloman.wait_for_log("the disk of the journal is slow");
    disk.unset("slow-write");
    // Those that were there before change workers once they have reported nothing for a second.
    let mut time = 1;
    wait_for("those who ask to be apart from the one who reports", || {
        time += 1;
        disk.set("hold-write");
        say(&reporting, &format!("IAMAT kiwi +1+1 {time}\n"));
        wait_for("the write to hang", || disk.is_writing().then_some(()));
        say(&asking, "COUNT\n");
        say(&looking, HEALTHY);
        let found = (answered(&asking), answered(&looking));
        if let (Some(count), Some(health)) = &found {
            assert!(count.starts_with("COUNT ") && health.starts_with("HTTP/1.1 200 "), "{found:?}");
            return Some(());
        }
        disk.release();
        // What is still owed.
        found.0.is_none().then(|| wait_for("a count", || answered(&asking)));
        found.1.is_none().then(|| wait_for("a reply", || answered(&looking)));
        wait_for("a reply", || answered(&reporting));
        None
    });
    assert_eq!(answered(&reporting), None, "its report is not in the journal yet");
    Parted { goloman, http, reporting, asking, looking }
}

/// What a server of these tests is told.
fn parting(sync: &str) -> TempDir {
    folder_with(&format!(
        "workers = 2\nsync = \"{sync}\"\nstop_timeout_s = 20\n{GOLOMAN}[servers.Goloman.http]\nlisten = \"127.0.0.1:0\"\n"
    ))
}

#[test]
fn while_the_disk_of_the_journal_stalls_who_only_asks_is_answered() {
    for sync in ["second", "always"] {
        let (folder, disk) = (parting(sync), Disk::new());
        let Parted { goloman, http, reporting, asking: _, looking } = part(&disk, folder.path());
        let body = "{\"lat\":1,\"lon\":1}";
        let put = format!(
            "PUT /v1/clients/pear HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // Those that come now and report wait for the disk, too, and nobody else does for them.
        let (late, web) = (connect(goloman.address), connect(http));
        say(&late, "COUNT\nIAMAT plum +1+1 1\nCOUNT\n");
        say(&web, &put);
        assert_eq!(wait_for("a count", || answered(&late)), "COUNT 1\n");
        for _ in 0..2 {
            let now = connect(goloman.address);
            say(&now, "COUNT\n");
            assert_eq!(wait_for("a count", || answered(&now)), "COUNT 1\n");
            say(&looking, HEALTHY);
            assert!(wait_for("a reply", || answered(&looking)).starts_with("HTTP/1.1 200 "));
        }
        assert_eq!((answered(&late), answered(&web)), (None, None));
        disk.release();
        let lines = wait_for("a reply", || answered(&reporting));
        assert!(lines.starts_with("AT Goloman "), "{lines}");
        let mut lines = String::new();
        wait_for("two replies", || {
            lines += &answered(&late)?;
            (lines.lines().count() == 2).then_some(())
        });
        assert!(lines.starts_with("AT Goloman ") && lines.contains("\nCOUNT "), "{lines}");
        assert!(wait_for("a reply", || answered(&web)).starts_with("HTTP/1.1 20"));
        for client in ["kiwi", "plum", "pear"] {
            assert!(goloman.knows(client).is_some(), "{client}");
        }
        assert_eq!(goloman.stop(), Some(0));
    }
}

#[test]
fn a_stop_while_the_disk_of_the_journal_stalls_answers_who_only_asks_and_then_who_reports() {
    // Whoever says nothing for 200 ms at a stop is told the end, so a machine that is too busy for this begins anew.
    wait_for("the clients to get a word in", || {
        let (folder, disk) = (parting("second"), Disk::new());
        stops_while_parted(&disk, folder.path())
    });
}

/// None where a client was told the end before it was to be.
fn stops_while_parted(disk: &Disk, folder: &Path) -> Option<()> {
    let Parted { goloman, http, reporting, asking, looking } = part(disk, folder);
    let (late, fresh) = (connect(goloman.address), connect(http));
    let asks = |one: &TcpStream, what: &str| {
        say(one, what);
        Some(wait_for("a reply", || answered(one))).filter(|said| !said.is_empty())
    };
    let mut web = vec![&looking, &fresh];
    let mut all_ask = || {
        for one in [&asking, &late] {
            assert_eq!(asks(one, "COUNT\n")?, "COUNT 1\n");
        }
        let mut is_cut = false;
        web.retain(|one| {
            let said = asks(one, HEALTHY).unwrap_or_default();
            is_cut |= said.is_empty();
            !said.contains("Connection: close")
        });
        (!is_cut).then_some(web.is_empty())
    };
    all_ask()?;
    goloman.process.signal(Signal::TERM);
    // Until both of those who ask by HTTP were told, with their answers, that there is a stop.
    while !all_ask()? {}
    // Whoever reports at this moment waits for the disk, and nobody does for them.
    say(&late, "IAMAT plum +1+1 1\nCOUNT\n");
    say(&reporting, "IAMAT kiwi +1+1 777\n");
    for _ in 0..2 {
        assert_eq!(asks(&asking, "COUNT\n")?, "COUNT 1\n");
    }
    // They are told the end, though the worker that learns still waits.
    assert_eq!(wait_for("the end", || answered(&asking)), "");
    assert_eq!((answered(&late), answered(&reporting)), (None, None));
    disk.release();
    let (kiwi, plum) = (rest(reporting), rest(late));
    assert_eq!(kiwi.lines().count(), 2, "{kiwi}");
    assert!(kiwi.ends_with(" kiwi +1+1 777\n"), "{kiwi}");
    assert!(plum.starts_with("AT Goloman ") && plum.contains("\nCOUNT 2"), "{plum}");
    assert_eq!(goloman.wait(), Some(0));
    let goloman = disk.herd(folder, "Goloman");
    assert!(goloman.knows("plum").is_some_and(|line| plum.starts_with(&line)));
    assert_eq!(goloman.stop(), Some(0));
    Some(())
}

#[test]
fn what_has_come_while_a_stop_waits_for_the_disk_is_answered_though_the_time_to_say_more_is_over() {
    let folder = folder_with(&format!(
        "workers = 1\nstop_timeout_s = 20\n{GOLOMAN}[servers.Goloman.http]\nlisten = \"127.0.0.1:0\"\n"
    ));
    let disk = Disk::new();
    let goloman = disk.herd(folder.path(), "Goloman");
    let http = goloman.http.expect("it serves HTTP");
    let (reporting, second, web) = (connect(goloman.address), connect(goloman.address), connect(http));
    say(&second, "COUNT\n");
    wait_for("a count", || answered(&second));
    say(&web, HEALTHY);
    wait_for("a reply", || answered(&web));
    disk.set("hold-write");
    say(&reporting, "IAMAT kiwi +1+1 1\n");
    wait_for("the write to hang", || disk.is_writing().then_some(()));
    goloman.process.signal(Signal::TERM);
    goloman.wait_for_log("Goloman stops");
    say(&second, "IAMAT plum +1+1 1\nCOUNT\n");
    say(&web, HEALTHY);
    // Of what comes later than that nothing is read, of a client that can be answered at once.
    let stopped = Instant::now();
    wait_for("that time to pass", || (stopped.elapsed() > DRAIN * 3 / 2).then_some(()));
    disk.release();
    assert!(rest(reporting).ends_with(" kiwi +1+1 1\n"));
    let said = rest(second);
    assert!(said.starts_with("AT Goloman ") && said.ends_with("\nCOUNT 2\n"), "{said}");
    assert!(rest(web).starts_with("HTTP/1.1 200 "));
    assert_eq!(goloman.wait(), Some(0));
}
