//! The default layout on one full disk: journal and log side by side, so that nothing but stderr and the exit
//! status can tell that nothing is kept.

use std::fs;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Client, HERD, Herd, Process, wait_for};

/// herd with its journals and logs on a file system of 1 MB, which a file `fill` in its folder has filled, and
/// a file `free` emptied again.
struct Small {
    herd: Herd,
    process: Process,
}

impl Small {
    /// Nothing where this machine does not allow mounts in a namespace.
    fn start(names: &[&str], sync: &str, arguments: &str) -> Option<Small> {
        let settings = format!("sync = \"{sync}\"\ndata_dir = \"disk/data\"\nlog_dir = \"disk/log\"");
        let herd = Herd::new(names, &[], &settings, &[]);
        let folder = herd.folder.path();
        fs::create_dir(folder.join("disk")).expect("created");
        let mount = "mount -t tmpfs -o size=1m none disk";
        let allowed = Command::new("unshare").args(["-rm", "sh", "-c", mount]).current_dir(folder).output();
        if !allowed.is_ok_and(|done| done.status.success()) {
            eprintln!("not tested here: a full disk; this machine does not allow mounts (unshare -rm)");
            return None;
        }
        // What fills the disk ends by itself, whatever becomes of the test.
        let script = format!(
            "wait_for() {{ i=0; while ! [ -e $1 ] && [ $i -lt 1500 ]; do sleep 0.04; i=$((i+1)); done; }}
             {mount} || exit 1
             {{ wait_for fill; head -c 2000000 /dev/zero > disk/filler; touch full
                wait_for free; rm disk/filler; touch freed; }} >/dev/null 2>&1 &
             exec {HERD} {arguments}"
        );
        let mut process = Process::start(Command::new("unshare").args(["-rm", "sh", "-c", &script]), folder);
        process.lines_until(if arguments.is_empty() { "WHATSAT" } else { "listens on" });
        Some(Small { herd, process })
    }

    fn set(&self, what: &str, done: &str) {
        let folder = self.herd.folder.path();
        fs::write(folder.join(what), "").expect("written");
        wait_for(done, || folder.join(done).exists().then_some(()));
    }

    /// Reports to a server until it says what is wrong.
    fn report_until(&self, name: &str, text: &str) {
        let pad = "x".repeat(3_000);
        let mut number = 0;
        wait_for(text, || {
            number += 1;
            Client::connect(self.herd.address(name)).say(format!("IAMAT {pad} +1+1 {number}\n"));
            self.process.stderr().contains(text).then_some(())
        });
    }
}

#[test]
fn a_server_that_ends_while_it_cannot_keep_says_so_whatever_stderr_is_and_by_its_status() {
    for (sync, ending) in [
        ("second", "[ERROR] Goloman: stops while its journal cannot be written: reports acknowledged"),
        ("always", "[ERROR] Goloman: stops while its journal cannot be written; it acknowledged no report"),
    ] {
        let Some(small) = Small::start(&["Goloman"], sync, "Goloman") else { return };
        // More than a full disk has in its corners, where all of it would be written anew.
        let pad = "x".repeat(3_000);
        let reports: String = (0..60).map(|i| format!("IAMAT {pad}{i} +1+1 1\n")).collect();
        let said = Client::connect(small.herd.address("Goloman")).say(reports);
        assert_eq!(said.matches("AT Goloman ").count(), 60);
        small.set("fill", "full");
        small.report_until("Goloman", "[ERROR] Goloman: journal");
        small.report_until("Goloman", "cannot write log");
        assert!(small.process.stderr().contains("is degraded: No space left"), "{}", small.process.stderr());
        small.process.signal(Signal::TERM);
        let (code, _, stderr) = small.process.finish();
        assert_eq!(code, Some(74), "{stderr}");
        assert!(stderr.contains(ending), "{stderr}");
    }
}

#[test]
fn a_whole_herd_passes_on_that_a_server_could_not_keep() {
    let Some(small) = Small::start(&["Goloman", "Hands"], "second", "") else { return };
    small.set("fill", "full");
    small.report_until("Hands", "[ERROR] Hands: journal");
    small.process.signal(Signal::TERM);
    let (code, _, stderr) = small.process.finish();
    assert_eq!(code, Some(74), "{stderr}");
    assert!(stderr.contains("Hands: stops while") && !stderr.contains("died"), "{stderr}");
    assert!(!stderr.contains("Goloman: stops while"), "it learned nothing: {stderr}");
}

#[test]
fn a_disk_that_has_room_again_in_time_is_no_reason_for_another_status() {
    let Some(small) = Small::start(&["Goloman"], "second", "Goloman") else { return };
    small.set("fill", "full");
    small.report_until("Goloman", "is degraded");
    small.set("free", "freed");
    let log = format!("/proc/{}/root{}", small.process.pid(), small.herd.folder.path().display());
    wait_for("the journal to be healed", || {
        let log = fs::read_to_string(format!("{log}/disk/log/Goloman.log")).unwrap_or_default();
        log.contains("can be written again, and was compacted").then_some(())
    });
    small.process.signal(Signal::TERM);
    let (code, _, stderr) = small.process.finish();
    assert_eq!(code, Some(0), "{stderr}");
}

#[test]
fn a_log_stops_before_it_takes_the_journals_room_and_goes_on_when_there_is_some() {
    let Some(small) = Small::start(&["Goloman"], "always", "Goloman") else { return };
    let ask = |lines: &str| Client::connect(small.herd.address("Goloman")).say(lines);
    assert!(ask("IAMAT a +1+1 1\n").starts_with("AT "));
    // Good lines that leave no trace but in the log.
    wait_for("the log to stop", || {
        ask(&"WHATSAT a 0 0\n".repeat(200));
        small.process.stderr().contains("and it leaves 52 KB to the journal").then_some(())
    });
    let reports: String = (0..300).map(|i| format!("IAMAT c{i} +1+1 1\n")).collect();
    assert_eq!(ask(&reports).matches("AT Goloman ").count(), 300, "{}", small.process.stderr());
    assert_eq!(small.process.stderr().matches("cannot write log").count(), 1);
    let log = format!("/proc/{}/root{}", small.process.pid(), small.herd.folder.path().display());
    let log = format!("{log}/disk/log/Goloman.log");
    fs::remove_file(&log).expect("removed");
    wait_for("the log to go on", || {
        ask("WHATSAT a 0 0\n");
        fs::read_to_string(&log).is_ok_and(|log| log.contains(" WHATSAT a 0 0\n")).then_some(())
    });
    assert!(fs::read_to_string(&log).expect("text").contains("log records before this line were lost"));
    wait_for("stderr to say so", || small.process.stderr().contains("is written again; ").then_some(()));
}
