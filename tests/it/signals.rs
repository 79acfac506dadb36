//! What each signal does to a server, from its first moment to its last.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use rustix::process::Signal;

use crate::docs::page::Page;
use crate::harness::{
    Disk, HANG, HERD, Process, Server, build_library, folder_with, free_address, run, solo, wait_for,
    write_secret,
};

const GOLOMAN: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

/// A resolver that never answers: herd's own library call for it hangs, and says that it does.
const MUTE_RESOLVER: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int getaddrinfo(const char *node, const char *service, const void *hints, void **found)
{
    close(open(getenv("HERD_TEST_ASKED"), O_CREAT | O_WRONLY, 0600));
    for (;;)
        pause();
}
"#;

/// A disk that does not answer whoever opens a secret, as long as there is a file "hang", and says so.
const HANGING_SECRET: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>
int open64(const char *path, int flags, ...)
{
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open64");
    if (strstr(path, "secret") && access("hang", F_OK) == 0) {
        close(real("hangs", O_CREAT | O_WRONLY, 0600));
        for (;;)
            pause();
    }
    return real(path, flags, mode);
}
"#;

/// Has the main thread hang when it is about to hand its sockets to the next program.
const HANGING_UPGRADE: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>
static int is_check(void)
{
    char words[4096];
    int file = open("/proc/self/cmdline", O_RDONLY);
    ssize_t count = read(file, words, sizeof words);
    close(file);
    return count > 0 && memmem(words, count, "--check", 7) != NULL;
}
static int hanging(const char *name, int fd, int command, void *argument)
{
    int (*real)(int, int, ...) = dlsym(RTLD_NEXT, name);
    if (command == F_DUPFD_CLOEXEC && syscall(SYS_gettid) == getpid() && access("hang", F_OK) == 0 && !is_check()) {
        close(open("hangs", O_CREAT | O_WRONLY, 0600));
        for (;;)
            pause();
    }
    return real(fd, command, argument);
}
int fcntl(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return hanging("fcntl", fd, command, argument);
}
int fcntl64(int fd, int command, ...)
{
    va_list rest;
    va_start(rest, command);
    void *argument = va_arg(rest, void *);
    va_end(rest);
    return hanging("fcntl64", fd, command, argument);
}
"#;

fn send(process: &Process, signal: &str) {
    let sent = Command::new("bash").args(["-c", &format!("kill -{signal} {}", process.pid())]).status();
    assert!(sent.expect("bash").success(), "{signal}");
}

#[test]
fn a_signal_that_means_nothing_to_herd_ends_no_server() {
    let (_folder, server) = solo("");
    let real_time = (34..=64).map(|number| number.to_string());
    let others = ["ALRM", "VTALRM", "PROF", "IO", "STKFLT", "XFSZ", "PIPE", "CHLD", "URG", "WINCH", "CONT"];
    for (number, signal) in others.map(str::to_owned).into_iter().chain(real_time).enumerate() {
        send(&server.process, &signal);
        assert!(server.ask(&format!("IAMAT a +1+1 {number}\n")).starts_with("AT Goloman"), "{signal}");
    }
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn every_signal_that_is_to_stop_a_server_stops_it_in_good_order() {
    for signal in ["INT", "TERM", "XCPU", "PWR"] {
        let (folder, server) = solo("");
        let line = server.tell("kiwi");
        send(&server.process, signal);
        assert_eq!(server.wait(), Some(0), "{signal}");
        let log = fs::read_to_string(folder.path().join("log/Goloman.log")).expect("a log");
        assert!(log.contains("Goloman stops"), "{signal}: {log}");
        assert_eq!(Server::start(folder.path(), "Goloman").knows("kiwi"), Some(line), "{signal}");
    }
}

#[test]
fn every_signal_of_the_system_is_in_the_table() {
    let page = Page::read("docs/operations.md");
    let table = page.section("signals");
    let words = table.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| word.starts_with("SIG"));
    let told: BTreeSet<_> = words.map(|word| word.trim_start_matches("SIG").to_owned()).collect();
    let listed =
        Command::new("bash").args(["-c", "for n in {1..31}; do kill -l $n; done"]).output().expect("bash");
    let listed = String::from_utf8(listed.stdout).expect("text");
    for signal in listed.lines().filter(|name| *name != "RTMIN") {
        assert!(told.contains(signal), "SIG{signal} is not in {told:?}");
    }
    assert!(told.contains("RTMIN") && listed.lines().count() > 25, "{listed}");
}

#[test]
fn a_file_that_may_not_grow_is_a_disk_that_fails_and_ends_no_server() {
    for (sync, settings) in [("second", ""), ("always", ""), ("second", "log_level = \"off\"")] {
        let folder = folder_with(&format!("sync = \"{sync}\"\n{settings}\n{GOLOMAN}"));
        let script = format!("ulimit -f 100; exec {HERD} Goloman");
        let start = || Server::start_by(Command::new("bash").args(["-c", &script]), folder.path(), "Goloman");
        let goloman = start();
        let line = goloman.tell("before");
        let pad = "x".repeat(3_000);
        let mut number = 0;
        wait_for("a file to be full", || {
            number += 1;
            let reply = goloman.ask(&format!("IAMAT {pad} +1+1 {number}\n"));
            assert!(reply.starts_with("AT ") || sync == "always", "{reply}");
            goloman.process.stderr().contains("is degraded: File too large").then_some(())
        });
        let is_log_full = || goloman.process.stderr().contains("cannot write log");
        if settings.is_empty() {
            // It is written by a thread of its own, which may be later.
            wait_for("the log to be full", || is_log_full().then_some(()));
        } else {
            assert!(!is_log_full(), "{}", goloman.process.stderr());
        }
        // It begins another file of the journal, where there is room.
        wait_for("reports to be kept again", || {
            goloman.ask("IAMAT after +1+1 1\n").starts_with("AT ").then_some(())
        });
        goloman.process.signal(Signal::TERM);
        let (code, _, stderr) = goloman.process.finish();
        assert_eq!(code, Some(0), "{stderr}");
        let goloman = start();
        assert_eq!(goloman.knows("before"), Some(line), "{sync}");
        assert!(goloman.knows("after").is_some(), "{sync}");
        assert_eq!(goloman.stop(), Some(0));
    }
}

/// Stops a server before it listens, and checks that it ends soon and with a word.
fn stop_early(mut process: Process, what: &str) {
    let begun = Instant::now();
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0), "{what}: {}", process.stderr());
    assert!(begun.elapsed() < HANG / 2, "{what}: {:?}", begun.elapsed());
    let (_, stdout, stderr) = process.finish();
    assert!(stderr.ends_with("herd: Goloman stops before it has started\n"), "{what}: {stderr}");
    assert_eq!(stdout, "", "{what}");
}

#[test]
fn a_stop_is_heard_while_a_name_is_resolved_that_nobody_answers_for() {
    let folder = folder_with("[servers.Goloman]\nlisten = \"goloman.example:0\"\n");
    let built = tempfile::tempdir().expect("a folder");
    let library = build_library(&built, MUTE_RESOLVER);
    let asked = built.path().join("asked");
    for arguments in [&["Goloman"][..], &[]] {
        let mut command = Command::new(HERD);
        command.args(arguments).env("LD_PRELOAD", &library).env("HERD_TEST_ASKED", &asked);
        let process = Process::start(&mut command, folder.path());
        wait_for("the name to be asked for", || asked.exists().then_some(()));
        fs::remove_file(&asked).expect("removed");
        stop_early(process, "a mute resolver");
    }
}

#[test]
fn a_stop_is_heard_while_the_journal_is_read_on_a_disk_that_hangs() {
    let (folder, goloman) = solo("");
    let line = goloman.tell("kiwi");
    assert_eq!(goloman.stop(), Some(0));
    let disk = Disk::new();
    disk.set("hold");
    let process = disk.begin(folder.path(), "Goloman");
    wait_for("the sync to hang", || disk.is_held().then_some(()));
    stop_early(process, "a disk that hangs");
    assert_eq!(Server::start(folder.path(), "Goloman").knows("kiwi"), Some(line));
}

/// A server of which some thread hangs, by this library, in what a signal has it do. Its workers go on.
fn hanging(folder: &Path, library: &str, signal: &str) -> Server {
    let built = tempfile::tempdir().expect("a folder");
    let library = build_library(&built, library);
    let mut command = Command::new(HERD);
    let goloman = Server::start_by(command.arg("Goloman").env("LD_PRELOAD", library), folder, "Goloman");
    fs::write(folder.join("hang"), "").expect("written");
    send(&goloman.process, signal);
    wait_for("it to hang", || folder.join("hangs").exists().then_some(()));
    assert!(goloman.ask("IAMAT a +1+1 1\n").starts_with("AT "), "its workers go on");
    goloman
}

#[test]
fn a_server_serves_and_stops_while_the_files_of_a_reload_are_on_a_disk_that_hangs() {
    let folder = folder_with(&format!("secret_file = \"secret\"\n{GOLOMAN}"));
    write_secret(&folder.path().join("secret"), "a secret of some length\n");
    let goloman = hanging(folder.path(), HANGING_SECRET, "HUP");
    assert_eq!(goloman.stop(), Some(0));
}

#[test]
fn a_server_whose_main_thread_hangs_is_ended_in_time_and_says_so() {
    let table = format!("[servers.Goloman]\nlisten = \"{}\"\n", free_address());
    let folder = folder_with(&format!("stop_timeout_s = 1\n{table}"));
    let goloman = hanging(folder.path(), HANGING_UPGRADE, "USR2");
    // As many as may wait, and more.
    (0..100).for_each(|_| send(&goloman.process, "USR1"));
    send(&goloman.process, "TERM");
    let (code, _, stderr) = goloman.process.finish();
    assert_eq!(code, Some(74), "{stderr}");
    assert!(stderr.contains("herd: Goloman: it does not end within stop_timeout_s"), "{stderr}");
}

#[test]
fn a_stop_is_heard_by_the_first_process_of_a_container_before_it_has_read_its_herd_conf() {
    let folder = folder_with(GOLOMAN);
    let made = Command::new("mkfifo").arg(folder.path().join("late")).status().expect("mkfifo");
    assert!(made.success());
    let unshare = ["-r", "--pid", "--fork", "--kill-child"];
    let allowed = Command::new("unshare").args(unshare).arg("true").output();
    if !allowed.is_ok_and(|done| done.status.success()) {
        eprintln!(
            "not tested here: the first process of a container; this machine does not allow it (unshare -rp)"
        );
        return;
    }
    // What is read by nobody else, so that it waits.
    let script = format!("exec {HERD} --check --config /dev/fd/3 3<>late");
    let mut process =
        Process::start(Command::new("unshare").args(unshare).args(["bash", "-c", &script]), folder.path());
    wait_for("it to wait", || process.stderr().contains("waiting for herd.conf").then_some(()));
    let children =
        fs::read_to_string(format!("/proc/{0}/task/{0}/children", process.pid())).expect("it lives");
    let child = children.trim().parse().ok().and_then(rustix::process::Pid::from_raw).expect("one child");
    rustix::process::kill_process(child, Signal::TERM).expect("signalled");
    assert_eq!(process.wait().code(), Some(143), "{}", process.stderr());
}

#[test]
fn a_command_that_starts_no_server_ends_by_a_signal_as_others_do() {
    let folder = folder_with(GOLOMAN);
    let (code, ..) = run(folder.path(), &["--check"]);
    assert_eq!(code, Some(0));
    let script = format!("mkfifo late; exec {HERD} --check --config /dev/fd/3 3<>late");
    let mut process = Process::start(Command::new("bash").args(["-c", &script]), folder.path());
    wait_for("it to wait", || process.stderr().contains("waiting for herd.conf").then_some(()));
    process.signal(Signal::TERM);
    assert_eq!(std::os::unix::process::ExitStatusExt::signal(&process.wait()), Some(Signal::TERM.as_raw()));
}
