//! What a log may take, whoever talks to the server.

use std::fs;
use std::path::Path;
use std::time::Instant;

use rustix::process::Signal;

use crate::harness::{Client, folder_with, run, solo, wait_for};

/// What every second of a log may have of refused traffic, as docs/operations.md says.
const RATION: usize = 200;

/// How many lines the log says it left out.
fn left_out(log: &str) -> usize {
    let told = log.lines().filter_map(|line| {
        line.split_once("[INFO] ")?.1.strip_suffix(" further lines about refused traffic are left out here")
    });
    told.map(|number| number.parse::<usize>().expect("a number")).sum()
}

fn count(log: &str, words: &[&str]) -> usize {
    words.iter().map(|word| log.matches(&format!("[INFO] {word} ")).count()).sum()
}

#[test]
fn what_is_refused_costs_less_log_than_bytes_and_what_is_left_out_is_counted() {
    for (line, records) in [("x\n", 2), ("\n", 1), ("MARK 4294967295\n", 2), ("\u{ff}\u{1}\n", 2)] {
        let (_folder, server) = solo("");
        const LINES: usize = 60_000;
        let begun = Instant::now();
        let replies = server.ask(&line.repeat(LINES));
        assert_eq!(replies.lines().count(), if line == "\n" { 0 } else { LINES });
        let seconds = begun.elapsed().as_secs() as usize + 2;
        let good = server.ask("IAMAT a +1+1 1\n");
        let log = server.log.clone();
        assert_eq!(server.stop(), Some(0));
        let log = fs::read_to_string(log).expect("a log");
        assert!(log.len() < seconds * RATION * 300, "{line:?}: {} bytes in {seconds} s", log.len());
        assert!(log.contains(" IAMAT a +1+1 1\n") && log.contains(good.trim_end()), "{line:?}: {log}");
        // Besides two connections, the good line and its reply; the second may have been left out before it was good.
        let all = count(&log, &["open", "in", "refused", "out", "close"]) + left_out(&log);
        assert!((6..=7).contains(&(all - records * LINES)), "{line:?}: {all}");
    }
}

#[test]
fn connections_that_say_nothing_good_cost_little_log_and_one_that_does_is_there_whole() {
    let (_folder, server) = solo("");
    let begun = Instant::now();
    const CONNECTIONS: usize = 3_000;
    for _ in 0..CONNECTIONS {
        assert_eq!(server.ask("x\n"), "? x\n");
    }
    let mut client = server.client();
    let peer = client.stream.local_addr().expect("connected");
    for line in ["x\n", "IAMAT a +1+1 1\n"] {
        client.send(line);
        let _ = client.line();
    }
    drop(client);
    let seconds = begun.elapsed().as_secs() as usize + 2;
    let log = server.wait_for_log(&format!("close {peer} the peer closed it"));
    let path = server.log.clone();
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text} in {log}"));
    assert!(at(&format!("open {peer}")) < at(&format!("in {peer} IAMAT a +1+1 1")));
    assert_eq!(server.stop(), Some(0));
    let log = fs::read_to_string(path).expect("a log");
    let opened = log.matches(" open ").count();
    assert!(opened <= seconds * RATION, "{opened} in {seconds} s");
    let all = count(&log, &["open", "in", "refused", "out", "close"]) + left_out(&log);
    assert!((6..=7).contains(&(all - 4 * CONNECTIONS)), "{all}");
}

/// The names and sizes of the files in a folder.
fn files(folder: &Path) -> Vec<(String, u64)> {
    let files = fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file"));
    let mut found: Vec<_> = files
        .map(|file| (file.file_name().into_string().expect("text"), file.metadata().expect("there").len()))
        .collect();
    found.sort();
    found
}

#[test]
fn a_log_begins_anew_at_its_bound_and_the_oldest_of_those_kept_goes() {
    for (keep, names) in
        [(0, vec!["Goloman.log"]), (2, vec!["Goloman.log", "Goloman.log.1", "Goloman.log.2"])]
    {
        let (folder, server) = solo(&format!("log_max_bytes = 131072\nlog_keep = {keep}"));
        for round in 0..12 {
            let reports: String =
                (0..1_000).map(|i| format!("IAMAT a +1+1 {}\n", 1_000 * round + i)).collect();
            assert_eq!(server.ask(&reports).lines().count(), 1_000);
        }
        let log = folder.path().join("log");
        server.wait_for_log("IAMAT a +1+1 11999\n");
        let found = files(&log);
        assert!(found.iter().all(|(_, bytes)| *bytes <= 131_072), "{found:?}");
        assert_eq!(found.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), names);
        // No line is lost or cut where one file ends and the next begins.
        let text: String =
            found.iter().rev().map(|(name, _)| fs::read_to_string(log.join(name)).expect("text")).collect();
        let times = text.lines().filter_map(|line| line.split_once(" IAMAT a +1+1 ")?.1.parse::<u64>().ok());
        let times: Vec<_> = times.collect();
        assert!(times.windows(2).all(|pair| pair[1] == pair[0] + 1), "{times:?}");
        // As with logrotate, which gives it a name of its own.
        fs::rename(&server.log, log.join("moved")).expect("renamed");
        server.process.signal(Signal::USR1);
        wait_for("a new file", || {
            server.ask("IAMAT new +1+1 1\n");
            server.log_text().contains(" IAMAT new ").then_some(())
        });
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn a_log_whose_old_files_cannot_be_kept_is_bounded_all_the_same() {
    let (folder, server) = solo("log_max_bytes = 131072\nlog_keep = 1");
    fs::create_dir_all(folder.path().join("log/Goloman.log.1/full")).expect("created");
    wait_for("the word", || {
        server.ask(&"WHATSAT nobody 1 1\nIAMAT a +1+1 1\n".repeat(500));
        server.process.stderr().contains("cannot keep old logs of").then_some(())
    });
    server.ask("IAMAT last +1+1 1\n");
    let log = server.wait_for_log(" IAMAT last ");
    assert!(log.len() <= 131_072);
    assert_eq!(server.process.stderr().matches("cannot keep old logs of").count(), 1);
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_log_that_is_no_regular_file_is_never_renamed() {
    let (folder, server) = solo("log_max_bytes = 131072\nlog_keep = 1");
    let log = folder.path().join("log/Goloman.log");
    fs::remove_file(&log).expect("removed");
    std::os::unix::fs::symlink("/dev/null", &log).expect("linked");
    server.process.signal(Signal::USR1);
    for _ in 0..3 {
        assert_eq!(server.ask(&"IAMAT a +1+1 1\n".repeat(1_000)).lines().count(), 1_000);
    }
    assert_eq!(server.stop(), Some(0));
    assert_eq!(files(&folder.path().join("log")).len(), 1);
}

#[test]
fn a_bound_too_small_for_a_line_is_refused() {
    let one = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";
    for (setting, status) in [
        ("log_max_bytes = 0", 0),
        ("log_max_bytes = 131072", 0),
        ("log_max_bytes = 131071", 78),
        ("log_keep = -1", 78),
    ] {
        let folder = folder_with(&format!("{setting}\n{one}"));
        let (code, _, stderr) = run(folder.path(), &["--check"]);
        assert_eq!(code, Some(status), "{setting}: {stderr}");
    }
}

#[test]
fn refused_lines_of_many_connections_share_one_ration() {
    let (_folder, server) = solo("workers = 4");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| Client::connect(server.address).say("x\n".repeat(5_000)));
        }
    });
    let seconds = begun.elapsed().as_secs() as usize + 2;
    let log = server.log.clone();
    assert_eq!(server.stop(), Some(0));
    let log = fs::read_to_string(log).expect("a log");
    let refused = log.matches(" refused ").count();
    assert!(refused <= seconds * RATION, "{refused} in {seconds} s");
}
