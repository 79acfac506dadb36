//! `herd --agree` against real servers, and against ones that lie or hang.

use crate::harness::{GOLOMAN_AND_HANDS, Herd, LinkEnd, ONE_LINK, run};
use crate::secrets::{OLD, write_secret};

#[test]
fn servers_that_hang_are_asked_at_once_and_told_by_name() {
    let names = ["Goloman", "Hands", "Welsh", "Wilkes"];
    let herd = Herd::new(&names, &[], "timing.digest_wait_ms = 1000", &[]);
    let _goloman = herd.start("Goloman");
    let _hung = names[1..].iter().map(|name| herd.listen_as(name)).collect::<Vec<_>>();
    let (status, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert_eq!(status, Some(1), "{stdout}");
    assert_eq!(stdout.matches("it accepts, and says nothing for 1 s").count(), 3, "{stdout}");
    assert!(stdout.lines().any(|line| line.starts_with("Goloman           0 ")), "{stdout}");
}

#[test]
fn one_that_answers_without_end_is_told_in_its_time_and_takes_no_memory() {
    let herd = Herd::new(&["Goloman"], &[], "timing.digest_wait_ms = 1000", &[]);
    let goloman = herd.listen_as("Goloman");
    let mut process = crate::harness::Process::start(
        std::process::Command::new(crate::harness::HERD).arg("--agree"),
        herd.folder.path(),
    );
    let mut end = LinkEnd::of(goloman.accept().expect("a question").0);
    assert!(end.line().starts_with("HERD 1 - "));
    end.say(&format!("HERD 1 Goloman {:016x} {:032x} 0 0 - {:016x} 1\n", 1, 2, 3));
    let talk = format!("NOTE {}\n", "x".repeat(1_000)).repeat(1_000);
    use std::io::Write;
    while end.reader.get_mut().write_all(talk.as_bytes()).is_ok() {
        assert!(process.child.try_wait().is_err() || process.status("VmRSS") < 200_000, "it keeps all of it");
    }
    let (status, stdout, _) = process.finish();
    assert!(status == Some(1) && stdout.contains("it says more than any server has to say"), "{stdout}");
}

#[test]
fn a_quiet_time_is_no_lag_and_a_healthy_herd_has_nothing_to_tell() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    hands.wait_to_know("kiwi", &goloman.tell("kiwi"));
    // Longer than what is confirmed takes, so that it would count if it did.
    std::thread::sleep(std::time::Duration::from_millis(5_500));
    hands.wait_to_know("fig", &goloman.tell("fig"));
    let (status, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert_eq!((status, stdout.lines().count()), (Some(0), 3), "{stdout}");
}

#[test]
fn all_agree_or_the_status_says_that_they_do_not() {
    let names = ["Goloman", "Hands", "Wilkes"];
    let herd = Herd::new(&names, &[("Goloman", "Hands")], "secret_file = \"herd.key\"", &[]);
    write_secret(&herd.folder.path().join("herd.key"), OLD);
    let servers = herd.start_all();
    servers[0].tell("kiwi");
    let agree = |wait: &str| run(herd.folder.path(), &["--agree", "--wait", wait]);
    // Wilkes talks with nobody.
    let (status, stdout, _) = agree("1s");
    assert_eq!(status, Some(1), "{stdout}");
    servers[1].wait_to_know("kiwi", &servers[0].knows("kiwi").expect("known"));
    let mut servers = servers.into_iter();
    let mut wilkes = servers.next_back().expect("Wilkes");
    wilkes.process.child.kill().expect("killed");
    wilkes.process.wait();
    let (status, stdout, _) = agree("0s");
    assert_eq!(status, Some(1), "{stdout}");
    assert!(stdout.contains("Wilkes") && stdout.contains("refused"), "{stdout}");
    let mut hands = servers.next_back().expect("Hands");
    hands.process.child.kill().expect("killed");
    hands.process.wait();
    let goloman = servers.next_back().expect("Goloman");
    goloman.wait_for_log("link to Hands is down");
    goloman.tell("fig");
    let (_, stdout, _) = agree("0s");
    assert!(stdout.contains("Hands: down, behind with 1 client for "), "{stdout}");
}

/// What `--agree` prints of a server that greets and then says this.
fn agree_with(said: &str) -> (Option<i32>, String) {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &[], "timing.digest_wait_ms = 1000", &[]);
    let goloman = herd.listen_as("Goloman");
    let process = crate::harness::Process::start(
        std::process::Command::new(crate::harness::HERD).arg("--agree"),
        herd.folder.path(),
    );
    let mut end = LinkEnd::of(goloman.accept().expect("a question").0);
    assert!(end.line().starts_with("HERD 1 - "));
    end.say(&format!("HERD 1 Goloman {:016x} {:032x} 0 0 - {:016x} 1\n", 1, 2, 3));
    end.say(said);
    let (status, stdout, stderr) = process.finish();
    (status, format!("{stdout}{stderr}"))
}

#[test]
fn what_a_server_says_reaches_the_terminal_as_text_and_only_about_servers_of_herd_conf() {
    let lags = format!("LAG \u{1b}[2J down 5 6\nLAG {} down 5 6\nLAG Hands down 5 6\n", "x".repeat(9_000));
    let notes = "NOTE a\u{1b}[31mb\u{7}\r\u{9b}2J\n";
    for end in [
        format!("DIGEST - - 0 {}\n", herd::store::digest::Digest::default().to_hex()),
        "DIGEST \u{1b}[2J x\n".to_owned(),
    ] {
        let (_, printed) = agree_with(&format!("{lags}{notes}{end}"));
        assert_eq!(
            printed.contains("Hands: down, behind with 5 clients"),
            end.contains("DIGEST - - 0"),
            "{printed}"
        );
        let strays = printed.chars().filter(|c| c.is_control() && *c != '\n').count();
        assert!(strays == 0 && !printed.contains("xxxx"), "{printed:?}");
    }
}

#[test]
fn a_server_that_goes_on_slowly_is_given_up_in_its_time() {
    let herd = Herd::new(&["Goloman"], &[], "timing.digest_wait_ms = 1000", &[]);
    let goloman = herd.listen_as("Goloman");
    let process = crate::harness::Process::start(
        std::process::Command::new(crate::harness::HERD).arg("--agree"),
        herd.folder.path(),
    );
    let mut end = LinkEnd::of(goloman.accept().expect("a question").0);
    end.say(&format!("HERD 1 Goloman {:016x} {:032x} 0 0 - {:016x} 1\n", 1, 2, 3));
    use std::io::Write;
    // A line each 100 ms for ever is no answer.
    while end.reader.get_mut().write_all(b"LAG Hands down 5 6\n").is_ok() {
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let (status, stdout, _) = process.finish();
    assert!(status == Some(1) && stdout.contains("says nothing for 1 s"), "{stdout}");
}
