//! Who may read what herd writes, and whom it lets choose where.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Signal, geteuid};

use crate::harness::{HERD, Server, folder_with, run, wait_for};

const GOLOMAN: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("set");
}

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).expect("there").permissions().mode() & 0o7777
}

/// Everything below a folder, and the folder.
fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![folder.to_owned()];
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() { found.extend(all(&path)) } else { found.push(path) }
    }
    found
}

/// That all below a folder is for its user and group alone.
fn check_modes(folder: &Path, what: &str) {
    for path in all(folder) {
        let expected = if path.is_dir() { 0o750 } else { 0o640 };
        assert_eq!(mode_of(&path), expected, "{what}: {:o} {}", mode_of(&path), path.display());
    }
}

#[test]
fn logs_and_journals_are_for_their_user_and_group_whatever_the_umask() {
    for umask in ["000", "022", "077", "777"] {
        let dirs = "data_dir = \"a/b/data\"\nlog_dir = \"a/c/log\"\nlog_max_bytes = 131072";
        let folder = folder_with(&format!("{dirs}\n{GOLOMAN}"));
        let script = format!("umask {umask}; exec {HERD} Goloman");
        let start = || Server::start_by(Command::new("bash").args(["-c", &script]), folder.path(), "Goloman");
        let goloman = start();
        goloman.ask(&"IAMAT a +1+1 1\n".repeat(2_000));
        let (log, data) = (folder.path().join("a/c/log"), folder.path().join("a/b/data/Goloman"));
        wait_for("an old log", || log.join("Goloman.log.1").exists().then_some(()));
        assert_eq!(goloman.stop(), Some(0));
        let segment = data.join("00000001.journal");
        let damaged = fs::read(&segment).expect("read");
        fs::write(&segment, [b"damaged\n", &damaged[..]].concat()).expect("written");
        let goloman = start();
        // All of it anew.
        fs::remove_file(data.join("00000002.journal")).expect("removed");
        wait_for("a compaction", || data.join("00000003.journal").exists().then_some(()));
        wait_for("a compaction's end", || (!data.join("00000001.journal").exists()).then_some(()));
        assert!(data.join("00000001.journal.bad").exists());
        check_modes(&folder.path().join("a"), umask);
        assert_eq!(goloman.stop(), Some(0));
    }
}

#[test]
fn what_an_earlier_version_made_for_all_is_taken_from_others() {
    let folder = folder_with(GOLOMAN);
    let goloman = Server::start(folder.path(), "Goloman");
    goloman.tell("kiwi");
    assert_eq!(goloman.stop(), Some(0));
    let (log, data) = (folder.path().join("log"), folder.path().join("data"));
    for path in all(&log).into_iter().chain(all(&data)) {
        set_mode(&path, if path.is_dir() { 0o755 } else { 0o644 });
    }
    let goloman = Server::start(folder.path(), "Goloman");
    assert!(goloman.knows("kiwi").is_some());
    check_modes(&data.join("Goloman"), "data");
    assert_eq!(mode_of(&log.join("Goloman.log")), 0o640);
    // The folders above are whoever's made them.
    assert_eq!([mode_of(&data), mode_of(&log)], [0o755; 2]);
    assert_eq!(goloman.stop(), Some(0));
    // And what is closer stays so.
    set_mode(&log.join("Goloman.log"), 0o600);
    assert_eq!(Server::start(folder.path(), "Goloman").stop(), Some(0));
    assert_eq!(mode_of(&log.join("Goloman.log")), 0o600);
}

#[test]
fn a_link_in_a_folder_that_others_may_write_to_leads_no_log_and_no_journal_elsewhere() {
    for mode in [0o777, 0o1777, 0o775] {
        let folder = folder_with(GOLOMAN);
        let (log, data) = (folder.path().join("log"), folder.path().join("data"));
        let victim = folder.path().join("victim");
        fs::write(&victim, "as it was\n").expect("written");
        fs::create_dir_all(folder.path().join("elsewhere")).expect("created");
        fs::create_dir(&log).and_then(|()| fs::create_dir(&data)).expect("created");
        set_mode(&log, mode);
        set_mode(&data, mode);
        symlink(&victim, log.join("Goloman.log")).expect("linked");
        let goloman = Server::start(folder.path(), "Goloman");
        goloman.tell("kiwi");
        let why = "is a symbolic link, in a folder that others may write to";
        wait_for("the word", || goloman.process.stderr().contains(why).then_some(()));
        // One that comes later is none either.
        fs::remove_file(log.join("Goloman.log")).expect("removed");
        goloman.process.signal(Signal::USR1);
        wait_for("a log", || log.join("Goloman.log").exists().then_some(()));
        fs::remove_file(log.join("Goloman.log")).expect("removed");
        symlink(&victim, log.join("Goloman.log")).expect("linked");
        goloman.process.signal(Signal::USR1);
        wait_for("the word", || (goloman.process.stderr().matches(why).count() == 2).then_some(()));
        assert_eq!(goloman.stop(), Some(0));
        let (status, _, stderr) = run(folder.path(), &["--check"]);
        assert!(
            status == Some(71) && stderr.contains("log_dir") && stderr.contains(why),
            "{status:?} {stderr}"
        );
        fs::remove_file(log.join("Goloman.log")).expect("removed");
        fs::remove_dir_all(data.join("Goloman")).expect("removed");
        symlink(folder.path().join("elsewhere"), data.join("Goloman")).expect("linked");
        for argument in ["Goloman", "--check"] {
            let (status, _, stderr) = run(folder.path(), &[argument]);
            assert_eq!(status, Some(71), "{mode:o} {argument}: {stderr}");
            assert!(stderr.contains(why) && stderr.contains("chmod go-w"), "{stderr}");
        }
        assert_eq!(fs::read_to_string(&victim).expect("text"), "as it was\n");
        assert_eq!(fs::read_dir(folder.path().join("elsewhere")).expect("a folder").count(), 0);
    }
}

#[test]
fn a_link_where_only_its_user_may_write_is_followed_unless_it_leads_to_another_that_is_not() {
    let folder = folder_with(GOLOMAN);
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("log")).and_then(|()| fs::create_dir(path("common"))).expect("created");
    set_mode(&path("log"), 0o755);
    // One that leads nowhere yet, too.
    symlink(path("target"), path("log/Goloman.log")).expect("linked");
    let goloman = Server::start(folder.path(), "Goloman");
    wait_for("the log", || fs::read_to_string(path("target")).is_ok_and(|log| !log.is_empty()).then_some(()));
    assert_eq!(goloman.stop(), Some(0));
    set_mode(&path("common"), 0o777);
    symlink(path("target"), path("common/next")).expect("linked");
    fs::remove_file(path("log/Goloman.log")).expect("removed");
    symlink("../common/next", path("log/Goloman.log")).expect("linked");
    let (status, _, stderr) = run(folder.path(), &["--check"]);
    assert!(status == Some(71) && stderr.contains("next is a symbolic link"), "{status:?} {stderr}");
}

#[test]
fn a_file_of_somebody_else_in_a_folder_that_others_may_write_to_gets_nothing() {
    if geteuid().as_raw() != 0 {
        eprintln!("not tested here: a file of somebody else; only root can make one");
        return;
    }
    let folder = folder_with(GOLOMAN);
    let log = folder.path().join("log");
    fs::create_dir(&log).expect("created");
    set_mode(&log, 0o1777);
    fs::write(log.join("Goloman.log"), "").expect("written");
    chown(log.join("Goloman.log"), Some(1), None).expect("given away");
    let goloman = Server::start(folder.path(), "Goloman");
    wait_for("the word", || goloman.process.stderr().contains("belongs to another user").then_some(()));
    assert_eq!(goloman.stop(), Some(0));
    assert_eq!(fs::read_to_string(log.join("Goloman.log")).expect("text"), "");
    // Where only they may write, it is their choice.
    set_mode(&log, 0o755);
    let goloman = Server::start(folder.path(), "Goloman");
    goloman.wait_for_log("listens on");
    assert_eq!(goloman.stop(), Some(0));
}
