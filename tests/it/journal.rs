//! What was acknowledged is there after a restart, whatever ended the process before it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::harness::{HANG, HERD, Herd, Process, Server, folder_with, run, solo, wait_for};

const GOLOMAN: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

/// Tells positions of a few clients, one after another, until the connection ends; returns the last
/// line that was acknowledged of each.
fn report_until_cut(server: &Server, salt: u32) -> HashMap<String, String> {
    let mut acknowledged = HashMap::new();
    let Ok(stream) = TcpStream::connect(server.address) else { return acknowledged };
    stream.set_read_timeout(Some(HANG)).expect("set");
    let mut replies = BufReader::new(stream.try_clone().expect("cloned"));
    for number in 1.. {
        let client = format!("c{}-{salt}", number % 7);
        let told = format!("IAMAT {client} +1+1 {number}\n");
        let mut reply = String::new();
        if (&stream).write_all(told.as_bytes()).is_err() {
            break;
        }
        match replies.read_line(&mut reply) {
            Ok(count) if count > 0 && reply.ends_with('\n') => {
                assert!(reply.starts_with("AT Goloman "), "{reply}");
                acknowledged.insert(client, reply.trim_end().to_owned());
            }
            _ => break,
        }
    }
    acknowledged
}

/// Kills a server under load at random moments; everything acknowledged must be there afterwards.
fn kill_and_check(sync: &str, kills: u32) {
    let folder = folder_with(&format!("sync = \"{sync}\"\nlog_level = \"warn\"\n{GOLOMAN}"));
    let mut acknowledged: HashMap<String, String> = HashMap::new();
    for kill in 0..kills {
        let mut server = Server::start(folder.path(), "Goloman");
        for (client, line) in &acknowledged {
            let known: Option<String> = server.knows(client);
            let newer = known.as_deref().is_some_and(|known| time_of(known) >= time_of(line));
            assert!(newer, "sync {sync}, kill {kill}: {known:?} instead of {line}");
        }
        let pause = Duration::from_micros(fastrand::u64(..30_000));
        std::thread::scope(|scope| {
            let server = &server;
            let loads: Vec<_> =
                (0..3).map(|load| scope.spawn(move || report_until_cut(server, 3 * kill + load))).collect();
            // Not a wait for anything: the moment of the kill is to be any.
            std::thread::sleep(pause);
            server.process.signal(rustix::process::Signal::KILL);
            loads.into_iter().for_each(|load| acknowledged.extend(load.join().expect("joined")));
        });
        server.process.wait();
    }
    assert!(!acknowledged.is_empty());
}

fn time_of(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|time| time.parse().ok()).expect("a time")
}

#[test]
fn every_report_acknowledged_survives_a_kill_at_any_moment() {
    kill_and_check("second", 12);
    kill_and_check("always", 12);
}

/// The whole figure of it: `cargo test --release --test it -- --ignored two_hundred`.
#[test]
#[ignore = "takes minutes; the same with fewer kills runs always"]
fn two_hundred_kills_lose_nothing() {
    kill_and_check("second", 200);
    kill_and_check("always", 200);
}

#[test]
fn a_server_that_restarts_knows_what_it_knew_without_any_neighbour() {
    let (folder, goloman) = solo("");
    let lines: Vec<_> =
        (0..50).map(|i| goloman.ask(&format!("IAMAT c{i} +1+1 {i}\n")).trim_end().to_owned()).collect();
    assert_eq!(goloman.stop(), Some(0));
    let goloman = Server::start(folder.path(), "Goloman");
    for (i, line) in lines.iter().enumerate() {
        assert_eq!(goloman.knows(&format!("c{i}")).as_ref(), Some(line));
    }
    goloman.wait_for_log("read 50 clients from 50 entries of the journal");
}

#[test]
fn without_a_data_dir_nothing_is_kept() {
    let (folder, goloman) = solo("data_dir = \"\"");
    goloman.ask("IAMAT c +1+1 1\n");
    assert_eq!(goloman.stop(), Some(0));
    assert!(!folder.path().join("data").exists());
    assert_eq!(Server::start(folder.path(), "Goloman").knows("c"), None);
}

#[test]
fn a_second_process_on_the_same_journal_does_not_start() {
    let (folder, _goloman) = solo("");
    let (status, _, stderr) = run(folder.path(), &["Goloman"]);
    assert_eq!(status, Some(71));
    assert!(stderr.contains("data/Goloman") && stderr.contains("another process has it"), "{stderr}");
}

#[test]
fn a_journal_that_cannot_be_opened_is_an_error_with_a_remedy() {
    let folder = folder_with(GOLOMAN);
    fs::write(folder.path().join("data"), "not a folder").expect("written");
    let (status, _, stderr) = run(folder.path(), &["Goloman"]);
    assert_eq!(status, Some(71));
    assert!(stderr.contains("data_dir = \"\""), "{stderr}");
}

#[test]
fn a_damaged_journal_is_told_and_kept_aside_and_the_rest_is_known() {
    let (folder, goloman) = solo("");
    (0..3).for_each(|i| drop(goloman.ask(&format!("IAMAT c{i} +1+1 1\n"))));
    assert_eq!(goloman.stop(), Some(0));
    let path = folder.path().join("data/Goloman/00000001.log");
    let mut bytes = fs::read(&path).expect("read");
    let second = 1 + bytes.iter().position(|&byte| byte == b'\n').expect("a line");
    bytes[second + 20] ^= 1;
    bytes.truncate(bytes.len() - 3);
    fs::write(&path, bytes).expect("written");
    let goloman = Server::start(folder.path(), "Goloman");
    let known = |i: u32| goloman.knows(&format!("c{i}")).is_some();
    assert_eq!((known(0), known(1), known(2)), (true, false, false));
    let log = goloman.wait_for_log("1 lines of the journal are bad");
    assert!(log.contains("of a line cut off at its end, offset "), "{log}");
    let aside = fs::read_to_string(folder.path().join("data/Goloman/00000001.log.bad")).expect("kept aside");
    assert_eq!(aside.lines().count(), 1);
}

#[test]
fn a_journal_compacts_itself_while_serving() {
    let (folder, goloman) = solo("log_level = \"info\"\nmax_line = 16384");
    let journal = folder.path().join("data/Goloman");
    let size = || -> u64 {
        let files = fs::read_dir(&journal).expect("a folder").filter_map(|file| file.ok()?.metadata().ok());
        files.map(|found| found.len()).sum()
    };
    let client_id = "x".repeat(15_000);
    let mut client = goloman.client();
    let mut last = String::new();
    for number in 0..1_300 {
        client.send(format!("IAMAT {client_id} +1+1 {number}\n"));
        last = client.text_line();
        assert!(last.starts_with("AT "));
    }
    goloman.wait_for_log("was compacted to");
    assert!(size() < 16_000_000, "{}", size());
    assert_eq!(goloman.stop(), Some(0));
    let goloman = Server::start(folder.path(), "Goloman");
    assert_eq!(goloman.knows(&client_id).as_deref(), Some(last.trim_end()));
}

/// README's figure: `cargo test --release --test it -- --ignored --nocapture latency_beside_a_compaction`.
#[test]
#[ignore = "a figure: takes a minute and a gigabyte of disk"]
fn latency_beside_a_compaction() {
    let (_folder, goloman) = solo("log_level = \"info\"");
    // All clients twice is just not due.
    for time in 1..3 {
        let mut client = goloman.client();
        std::thread::scope(|scope| {
            let mut stream = client.stream.try_clone().expect("cloned");
            scope.spawn(move || {
                for first in (0..1_000_000).step_by(1_000) {
                    let reports: String = (first..first + 1_000)
                        .map(|i| format!("IAMAT client-{i:08} +1+1 {time}\n"))
                        .collect();
                    stream.write_all(reports.as_bytes()).expect("sent");
                }
            });
            (0..1_000_000).for_each(|_| assert!(client.line().starts_with(b"AT ")));
        });
    }
    fs::remove_file(&goloman.log).expect("removed");
    goloman.process.signal(rustix::process::Signal::USR1);
    let done = AtomicBool::new(false);
    let (mut samples, ended) = std::thread::scope(|scope| {
        let loads: Vec<_> = (0..4)
            .map(|load| {
                let (goloman, done) = (&goloman, &done);
                scope.spawn(move || {
                    let (mut client, mut samples) = (goloman.client(), Vec::new());
                    for number in 3.. {
                        if done.load(Ordering::SeqCst) {
                            break;
                        }
                        let begun = Instant::now();
                        client.send(format!("IAMAT load-{load} +1+1 {number}\n"));
                        assert!(client.line().starts_with(b"AT "));
                        samples.push((begun, begun.elapsed()));
                    }
                    samples
                })
            })
            .collect();
        let log = loop {
            std::thread::sleep(Duration::from_millis(200));
            let found = Command::new("grep").arg("was compacted").arg(&goloman.log).output().expect("grep");
            if found.status.success() {
                break String::from_utf8_lossy(&found.stdout).into_owned();
            }
        };
        let ended = Instant::now();
        std::thread::sleep(Duration::from_secs(5));
        done.store(true, Ordering::SeqCst);
        println!("{}", log.trim_end());
        (loads.into_iter().flat_map(|load| load.join().expect("joined")).collect::<Vec<_>>(), ended)
    });
    let mut p99 = |from: Instant, to: Instant| {
        samples.sort_by_key(|(_, took)| *took);
        let within: Vec<_> = samples.iter().filter(|(at, _)| (from..to).contains(at)).collect();
        (within[within.len() * 99 / 100].1.as_micros(), within.len())
    };
    let second = Duration::from_secs(1);
    // It is told up to 0.4 s after its end, and takes over two seconds.
    let during = p99(ended - 2 * second - second / 2, ended - second / 2);
    let after = p99(ended + second, ended + 4 * second);
    println!("p99 in µs, of so many: {during:?} beside it, {after:?} after it");
}

#[test]
fn clients_not_heard_of_for_long_are_forgotten_everywhere_and_do_not_come_back() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "forget_after = \"3s\"", &[]);
    let servers = herd.start_all();
    // Its time is long past; what counts is when it was told.
    let line = servers[0].ask("IAMAT kiwi +1+1 5\n").trim_end().to_owned();
    servers[1].wait_to_know("kiwi", &line);
    for server in &servers {
        wait_for("kiwi to be forgotten", || server.knows("kiwi").is_none().then_some(()));
    }
    let mut servers = servers.into_iter();
    let (goloman, hands) = (servers.next().expect("Goloman"), servers.next().expect("Hands"));
    assert_eq!((goloman.stop(), hands.stop()), (Some(0), Some(0)));
    let servers = herd.start_all();
    assert!(servers.iter().all(|server| server.knows("kiwi").is_none()));
}

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

/// A disk that a test has fail or wait: a library between herd and the system, told by files.
struct Disk {
    library: std::path::PathBuf,
    folder: TempDir,
}

impl Disk {
    fn new() -> Disk {
        let folder = tempfile::tempdir().expect("a folder");
        let (source, library) = (folder.path().join("failing.c"), folder.path().join("failing.so"));
        fs::write(&source, include_str!("harness/failing.c")).expect("written");
        // The C compiler that herd is built with.
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .output();
        let built = built.expect("cc, which herd is built with, too");
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        Disk { library, folder }
    }

    fn herd(&self, folder: &Path, name: &str) -> Server {
        let mut command = Command::new(HERD);
        command.arg(name).env("LD_PRELOAD", &self.library).env("HERD_TEST_DISK", self.folder.path());
        Server::start_by(&mut command, folder, name)
    }

    fn set(&self, what: &str) {
        fs::write(self.folder.path().join(what), "").expect("written");
    }

    fn unset(&self, what: &str) {
        fs::remove_file(self.folder.path().join(what)).expect("removed");
    }

    fn is_held(&self) -> bool {
        self.folder.path().join("held").exists()
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
    let journal = fs::read_to_string(folder.path().join("data/Goloman/00000001.log")).expect("text");
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
fn an_always_synced_report_is_on_the_disk_with_its_reply() {
    let (folder, goloman) = solo("sync = \"always\"");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = goloman.client();
            while !done.load(Ordering::SeqCst) {
                client.send("IAMAT other +1+1 1\n");
                client.line();
            }
        });
        for number in 0..100 {
            let line = goloman.ask(&format!("IAMAT c{number} +1+1 1\n"));
            let journal = fs::read_to_string(folder.path().join("data/Goloman/00000001.log")).expect("text");
            assert!(journal.contains(line.trim_end()), "{line}");
        }
        done.store(true, Ordering::SeqCst);
    });
}
