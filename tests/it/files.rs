//! The files herd is told to read: by which way they come, what they may be, and who may read them.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, geteuid};

use crate::harness::{Client, HERD, Herd, Process, Server, folder_with, run, wait_for, write_secret};

const GOLOMAN: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

fn make_fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo of the system");
    assert!(made.success());
}

/// `bash`, which knows `<(command)`.
fn bash(script: &str, folder: &Path) -> Process {
    Process::start(Command::new("bash").args(["-c", &script.replace("HERD", HERD)]), folder)
}

#[test]
fn a_herd_conf_that_can_be_read_once_starts_every_server_and_names_itself_in_errors() {
    for (script, path) in [
        ("exec HERD --config <(cat herd.conf)", "/dev/fd/"),
        ("exec HERD --config /dev/stdin < <(cat herd.conf)", "/dev/stdin"),
        ("exec HERD --config /dev/stdin < herd.conf", "/dev/stdin"),
    ] {
        let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "secret_file = \"key\"", &[]);
        write_secret(&herd.folder.path().join("key"), "a secret that both know\n");
        let mut process = bash(script, herd.folder.path());
        process.lines_until("WHATSAT");
        let line = Client::connect(herd.address("Goloman")).say("IAMAT a +1+1 1\n");
        wait_for("Hands to know", || {
            let reply = Client::connect(herd.address("Hands")).say("WHATSAT a 0 0\n");
            (reply.lines().next() == line.lines().next()).then_some(())
        });
        // Relative paths are found where they were, also later on.
        let log = |name: &str| fs::read_to_string(herd.folder.path().join(format!("log/{name}.log")));
        process.signal(Signal::HUP);
        for name in &herd.names {
            let reread = || log(name).is_ok_and(|log| log.contains("read the secrets again")).then_some(());
            wait_for("the secrets to be read anew", reread);
            assert!(herd.folder.path().join("data").join(name).join("lock").exists());
        }
        process.signal(Signal::TERM);
        let (code, _, stderr) = process.finish();
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{script}");
        fs::write(herd.folder.path().join("herd.conf"), "workerz = 1\n").expect("written");
        let (code, _, stderr) = bash(script, herd.folder.path()).finish();
        assert_eq!(code, Some(78), "{script}");
        assert!(stderr.starts_with(&format!("herd: {path}")) && stderr.contains(":1: "), "{stderr}");
    }
}

#[test]
fn one_server_and_a_check_read_herd_conf_from_a_pipe_too() {
    let folder = folder_with(&format!("log_dir = \"logs\"\n{GOLOMAN}"));
    let (code, stdout, stderr) = bash("HERD --check --config <(cat herd.conf)", folder.path()).finish();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Goloman"), "{stdout}");
    let script = format!("exec {HERD} Goloman --config <(cat herd.conf)");
    let goloman = Server::start_by(Command::new("bash").args(["-c", &script]), folder.path(), "Goloman");
    assert!(folder.path().join("logs/Goloman.log").exists());
    assert_eq!(goloman.stop(), Some(0));
}

#[test]
fn a_herd_conf_that_nobody_writes_is_waited_for_and_not_without_a_word() {
    let folder = folder_with(GOLOMAN);
    make_fifo(&folder.path().join("late"));
    let script = format!("exec {HERD} --check --config <(cat late)");
    let mut process = Process::start(Command::new("bash").args(["-c", &script]), folder.path());
    wait_for("a word", || process.stderr().contains("waiting for herd.conf from /dev/fd/").then_some(()));
    assert!(process.child.try_wait().expect("waited").is_none(), "{}", process.stderr());
    fs::write(folder.path().join("late"), GOLOMAN).expect("written");
    let (code, stdout, stderr) = process.finish();
    assert_eq!(code, Some(0), "{stderr}");
    assert!(stdout.contains("Goloman"), "{stdout}");
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn what_is_no_file_is_an_error_with_its_name_and_never_a_hang() {
    let folder = tempfile::tempdir().expect("a folder");
    make_fifo(&folder.path().join("fifo"));
    fs::create_dir(folder.path().join("folder")).expect("created");
    let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("socket")).expect("bound");
    for (what, kind) in [
        ("fifo", "it is a FIFO"),
        ("folder", "it is a folder"),
        ("socket", "it is a socket"),
        ("/dev/zero", "it is a device"),
        ("/dev/null", "it is a device"),
    ] {
        for settings in [
            format!("places.provider = \"file\"\nplaces.path = {what:?}"),
            format!("places.provider = \"google\"\nplaces.key_file = {what:?}"),
            format!("places.provider = \"google-legacy\"\nplaces.key_file = {what:?}"),
            format!("secret_file = {what:?}"),
        ] {
            fs::write(folder.path().join("herd.conf"), format!("{settings}\n{GOLOMAN}")).expect("written");
            for argument in ["--check", "Goloman", "--agree"] {
                if argument == "--agree" && !settings.contains("secret_file") {
                    continue;
                }
                let (code, _, stderr) = run(folder.path(), &[argument]);
                assert_eq!(code, Some(78), "{settings} {argument}: {stderr}");
                assert!(stderr.contains(kind) && stderr.contains(what), "{settings}: {stderr}");
            }
        }
    }
    for (path, hint) in [
        ("folder", "it is a folder"),
        ("fifo", "it is a FIFO"),
        ("socket", "it is a socket"),
        ("/dev/zero", "it is a device"),
        ("/dev/null", "it is a device"),
        ("/dev/ptmx", "it is a device"),
    ] {
        let (code, _, stderr) = run(folder.path(), &["--config", path]);
        assert_eq!(code, Some(78), "{path}: {stderr}");
        assert!(stderr.starts_with(&format!("herd: {path}: ")) && stderr.contains(hint), "{stderr}");
    }
}

#[test]
fn no_fifo_in_the_place_of_a_journal_or_a_log_holds_up_a_start_or_a_stop() {
    let folder = folder_with(GOLOMAN);
    fs::create_dir_all(folder.path().join("data/Goloman")).expect("created");
    // Where a damaged line is to be kept aside.
    fs::write(folder.path().join("data/Goloman/00000001.journal"), "damaged\n").expect("written");
    make_fifo(&folder.path().join("data/Goloman/00000001.journal.bad"));
    let goloman = Server::start(folder.path(), "Goloman");
    assert!(goloman.ask("IAMAT a +1+1 1\n").starts_with("AT Goloman"));
    assert_eq!(goloman.stop(), Some(0));
    for file in ["lock", "00000001.log"] {
        let folder = folder_with(GOLOMAN);
        fs::create_dir_all(folder.path().join("data/Goloman")).expect("created");
        make_fifo(&folder.path().join("data/Goloman").join(file));
        let (code, _, stderr) = run(folder.path(), &["Goloman"]);
        assert_eq!(code, Some(71), "{file}: {stderr}");
        assert!(stderr.contains("journal"), "{file}: {stderr}");
    }
    let folder = folder_with(&format!("stop_timeout_s = 1\n{GOLOMAN}"));
    fs::create_dir(folder.path().join("log")).expect("created");
    let log = folder.path().join("log/Goloman.log");
    make_fifo(&log);
    let goloman = Server::start(folder.path(), "Goloman");
    wait_for("the report", || goloman.process.stderr().contains("cannot write log").then_some(()));
    // Whoever reads it now gets what is logged; and should he read no more, that is his loss.
    let reader = rustix::fs::open(
        &log,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
        rustix::fs::Mode::empty(),
    );
    let reader = reader.expect("opened");
    wait_for("a line in the log", || {
        goloman.ask("IAMAT a +1+1 1\n");
        let mut bytes = [0; 4096];
        rustix::io::read(&reader, &mut bytes).is_ok_and(|count| count > 0).then_some(())
    });
    let mut client = goloman.client();
    for round in 0..2_000 {
        client.send(format!("IAMAT a +1+1 {round}\n").repeat(10));
        (0..10).for_each(|_| assert!(client.text_line().starts_with("AT ")));
    }
    assert_eq!(goloman.stop(), Some(0));
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_key_or_a_secret_that_others_may_read_is_refused_with_its_owner_its_mode_and_what_to_do() {
    let own = geteuid().as_raw();
    for settings in ["places.provider = \"google\"\nplaces.key_file = \"key\"", "secret_file = \"key\""] {
        let folder = folder_with(&format!("{settings}\n{GOLOMAN}"));
        let key = folder.path().join("key");
        let check = |mode: u32, hints: &[&str]| {
            fs::set_permissions(&key, fs::Permissions::from_mode(mode)).expect("set");
            let (code, _, stderr) = run(folder.path(), &["--check"]);
            assert_eq!(code, Some(if hints.is_empty() { 0 } else { 78 }), "{mode:o}: {stderr}");
            hints.iter().for_each(|hint| assert!(stderr.contains(hint), "{hint}: {stderr}"));
        };
        fs::write(&key, "a-secret-of-some-length\n").expect("written");
        check(0o600, &[]);
        check(0o400, &[]);
        for mode in [0o644, 0o604, 0o660, 0o666] {
            let (mode_said, user) = (format!("mode {mode:04o}"), format!("user {own}"));
            check(mode, &[&mode_said, &user, "chmod 600", "defaultMode: 0440 with fsGroup"]);
        }
        if own == 0 {
            // What systemd and Kubernetes make for a group, here of root's; and somebody else's.
            check(0o440, &[]);
            chown(&key, Some(1), None).expect("given away");
            check(
                0o600,
                &["belongs to user 1 (mode 0600)", "runs as user 0; run this as that user: sudo -u "],
            );
        } else {
            check(0o440, &["mode 0440", "chmod 600"]);
        }
    }
}
