//! What was acknowledged is there after a restart, whatever ended the process before it.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{Client, Disk, HANG, Herd, Server, folder_with, run, solo, wait_for};

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

/// Kills a server under load at random moments; everything acknowledged must be there afterwards. On a
/// disk of the test's, the machine loses power with it.
fn kill_and_check(sync: &str, kills: u32, disk: Option<&Disk>) {
    let folder = folder_with(&format!("sync = \"{sync}\"\nlog_level = \"warn\"\n{GOLOMAN}"));
    let mut acknowledged: HashMap<String, String> = HashMap::new();
    for kill in 0..kills {
        let mut server = match disk {
            Some(disk) => disk.herd(folder.path(), "Goloman"),
            None => Server::start(folder.path(), "Goloman"),
        };
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
        if let Some(disk) = disk {
            disk.lose_power(&folder.path().join("data/Goloman"));
        }
    }
    assert!(!acknowledged.is_empty());
}

fn time_of(line: &str) -> u64 {
    line.rsplit(' ').next().and_then(|time| time.parse().ok()).expect("a time")
}

#[test]
fn every_report_acknowledged_survives_a_kill_at_any_moment() {
    kill_and_check("second", 12, None);
    kill_and_check("always", 12, None);
}

#[test]
fn an_always_synced_report_is_on_the_disk_with_its_reply() {
    let (disk, conf) = (Disk::new(), format!("sync = \"always\"\n{GOLOMAN}"));
    kill_and_check("always", 6, Some(&disk));
    // And one alone, whose sync nobody else's waits for.
    let folder = folder_with(&conf);
    let mut goloman = disk.herd(folder.path(), "Goloman");
    let line = goloman.ask("IAMAT kiwi +1+1 1\n");
    goloman.process.signal(rustix::process::Signal::KILL);
    goloman.process.wait();
    disk.lose_power(&folder.path().join("data/Goloman"));
    let goloman = Server::start(folder.path(), "Goloman");
    assert_eq!(goloman.knows("kiwi").as_deref(), Some(line.trim_end()));
}

/// The whole figure of it: `cargo test --release --test it -- --ignored two_hundred`.
#[test]
#[ignore = "takes minutes; the same with fewer kills runs always"]
fn two_hundred_kills_lose_nothing() {
    kill_and_check("second", 200, None);
    kill_and_check("always", 200, None);
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
    let path = folder.path().join("data/Goloman/00000001.journal");
    let mut bytes = fs::read(&path).expect("read");
    let second = bytes.windows(4).position(|piece| piece == b" c1 ").expect("a line");
    bytes[second] ^= 1;
    bytes.truncate(bytes.len() - 3);
    fs::write(&path, bytes).expect("written");
    let goloman = Server::start(folder.path(), "Goloman");
    let known = |i: u32| goloman.knows(&format!("c{i}")).is_some();
    assert_eq!((known(0), known(1), known(2)), (true, false, false));
    let log = goloman.wait_for_log("1 lines of it are bad; neighbours are asked for everything");
    assert!(log.contains("of a line cut off at its end, offset "), "{log}");
    let aside =
        fs::read_to_string(folder.path().join("data/Goloman/00000001.journal.bad")).expect("kept aside");
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

/// The figure of docs/journal.md: `cargo test --release --test it -- --ignored --nocapture latency_beside_a_compaction`.
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

#[test]
fn an_old_report_behind_a_new_one_in_the_same_turn_takes_nothing_from_it() {
    for sync in ["always", "second"] {
        let settings = format!("sync = \"{sync}\"\nmax_ahead = \"1h\"\nworkers = 1");
        let herd = Herd::new(&["Goloman"], &[], &settings, &[]);
        let goloman = herd.start("Goloman");
        let now_s = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs();
        let mut client = Client::connect(goloman.address);
        client.send(format!("IAMAT v +2+2 {now_s}\nIAMAT v +1+1 {}\n", now_s - 90_000));
        let new = client.text_line();
        assert!(new.starts_with("AT Goloman ") && client.text_line().starts_with("AT Goloman "));
        assert_eq!(goloman.knows("v").as_deref(), Some(new.trim_end()), "{sync}");
        assert_eq!(goloman.stop(), Some(0));
        let goloman = herd.start("Goloman");
        assert_eq!(goloman.knows("v").as_deref(), Some(new.trim_end()), "{sync}");
    }
}
