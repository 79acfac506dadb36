//! Who may read what herd writes, and whom it lets choose where.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
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
    let check = |hint: &str, other: &str| {
        let (status, _, stderr) = run(folder.path(), &["--check"]);
        assert!(
            status == Some(71) && stderr.contains(hint) && !stderr.contains(other),
            "{status:?} {stderr}"
        );
    };
    check("chown root", "sudo");
    // The folder of a service's own, which has to stay that.
    set_mode(&log, 0o755);
    chown(&log, Some(1), None).expect("given away");
    check("run this as that user: sudo -u ", "chown");
    chown(&log, Some(0), None).expect("taken back");
    // Where only they may write, it is their choice.
    set_mode(&log, 0o755);
    let goloman = Server::start(folder.path(), "Goloman");
    goloman.wait_for_log("listens on");
    assert_eq!(goloman.stop(), Some(0));
}

#[test]
fn what_the_user_of_herd_may_not_read_or_write_is_told_with_whose_it_is_and_what_to_do() {
    const NOBODY: u32 = 65_534;
    let as_nobody = |folder: &Path, argument: &str| {
        let mut command = Command::new(HERD);
        command.arg(argument).current_dir(folder).uid(NOBODY).gid(NOBODY);
        command.output().map(|done| (done.status.code(), String::from_utf8_lossy(&done.stderr).into_owned()))
    };
    let is_tried =
        geteuid().is_root() && as_nobody(Path::new("/"), "--version").is_ok_and(|done| done.0 == Some(0));
    if !is_tried {
        eprintln!(
            "not tested here: what another user may not do; that takes root, and a {HERD} that nobody may run"
        );
        return;
    }
    let check = |folder: &Path, argument: &str, expected: i32, hints: &[&str]| {
        let (status, stderr) = as_nobody(folder, argument).expect("run");
        assert_eq!(status, Some(expected), "{stderr}");
        hints.iter().for_each(|hint| assert!(stderr.contains(hint), "{hint}: {stderr}"));
        assert!(!stderr.contains("keeps nothing on disk"), "{stderr}");
    };
    let herd = "Permission denied (os error 13)";
    // A start finds first that it cannot make a folder, then that it cannot write what root's start left in one.
    let folder = folder_with(GOLOMAN);
    set_mode(folder.path(), 0o755);
    for argument in ["Goloman", "--check"] {
        check(
            folder.path(),
            argument,
            71,
            &[herd, "belongs to root (mode 0755), and this runs as ", "install -d -m 0750"],
        );
    }
    assert_eq!(Server::start(folder.path(), "Goloman").stop(), Some(0));
    chown(folder.path().join("data"), Some(NOBODY), None).expect("given away");
    chown(folder.path().join("log"), Some(NOBODY), None).expect("given away");
    for argument in ["Goloman", "--check"] {
        check(
            folder.path(),
            argument,
            71,
            &[herd, "data/Goloman belongs to root (mode 0750)", "chown -R data/Goloman"],
        );
    }
    chown(folder.path().join("data/Goloman"), Some(NOBODY), None).expect("given away");
    check(
        folder.path(),
        "Goloman",
        71,
        &[herd, "data/Goloman/", "belongs to root (mode 0640)", "chown -R data/Goloman"],
    );
    // The folder of a file, and the file.
    for setting in ["secret_file = \"own/it\"", "[http]\ntokens_file = \"own/it\""] {
        let folder = folder_with(&format!("{setting}\n{GOLOMAN}http.listen = \"127.0.0.1:0\"\n"));
        set_mode(folder.path(), 0o755);
        fs::create_dir(folder.path().join("own")).expect("created");
        fs::write(folder.path().join("own/it"), "").expect("written");
        set_mode(&folder.path().join("own/it"), 0o600);
        set_mode(&folder.path().join("own"), 0o700);
        check(folder.path(), "--check", 78, &[herd, "own belongs to root (mode 0700)", "run as enter it"]);
        set_mode(&folder.path().join("own"), 0o755);
        let hint = "own/it belongs to root (mode 0600), and this runs as ";
        check(
            folder.path(),
            "--check",
            78,
            &[herd, hint, "with mode 0600, or to root and a group of theirs with 0640"],
        );
    }
}

#[test]
fn root_who_adds_a_token_that_the_servers_cannot_read_is_told() {
    if !geteuid().is_root() {
        eprintln!("not tested here: a file of tokens of root's; only root can make one");
        return;
    }
    let folder =
        folder_with(&format!("[http]\ntokens_file = \"tokens\"\n{GOLOMAN}http.listen = \"127.0.0.1:0\"\n"));
    fs::create_dir(folder.path().join("data")).expect("created");
    let warns = |name: &str| {
        let (status, _, stderr) = run(folder.path(), &["--new-token", name, "read"]);
        assert!(status == Some(0) && stderr.contains("; herdctl reload, or SIGHUP,"), "{stderr}");
        stderr.contains("is root's (mode 0600), and servers of user ")
    };
    assert!(!warns("anna"));
    chown(folder.path().join("data"), Some(1), None).expect("given away");
    assert!(warns("bert"));
    chown(folder.path().join("tokens"), None, Some(1)).expect("given away");
    set_mode(&folder.path().join("tokens"), 0o640);
    assert!(!warns("carl"));
}
