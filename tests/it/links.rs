//! Links between servers: who may open one, what a returning neighbour is sent, and how servers
//! are brought to agree.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Client, Herd, LinkEnd, Server, run, wait_for};

const GOLOMAN_AND_HANDS: [&str; 2] = ["Goloman", "Hands"];
const ONE_LINK: [(&str, &str); 1] = [("Goloman", "Hands")];

fn write_secret(path: &Path, text: &str) {
    fs::write(path, text).expect("written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("set");
}

/// Goloman and Hands with a folder, and so a secret file, each.
fn two_with_secrets(secrets: [&str; 2]) -> (Herd, Vec<tempfile::TempDir>) {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "secret_file = \"herd.key\"", &[]);
    let folders = secrets.map(|secret| {
        let folder = tempfile::tempdir().expect("a folder");
        fs::copy(herd.folder.path().join("herd.conf"), folder.path().join("herd.conf")).expect("copied");
        write_secret(&folder.path().join("herd.key"), secret);
        folder
    });
    (herd, folders.into())
}

fn start_both(folders: &[tempfile::TempDir]) -> [Server; 2] {
    [Server::start(folders[0].path(), "Goloman"), Server::start(folders[1].path(), "Hands")]
}

fn tell(server: &Server, client: &str) -> String {
    server.ask(&format!("IAMAT {client} +1+1 1\n")).trim_end().to_owned()
}

const OLD: &str = "the old secret of this herd\n";
const NEW: &str = "the new secret of this herd\n";

#[test]
fn servers_that_share_a_secret_talk_and_an_address_alone_counts_for_nothing() {
    let (herd, folders) = two_with_secrets([OLD, OLD]);
    let [goloman, hands] = start_both(&folders);
    hands.wait_to_know("kiwi", &tell(&goloman, "kiwi"));
    goloman.wait_to_know("fig", &tell(&hands, "fig"));
    let forged = "AT Hands +0.5 forged +1+1 5\n";
    let said = Client::connect_from(herd.ip("Hands"), goloman.address).say(forged);
    assert_eq!(said, format!("? {forged}"));
    assert_eq!(goloman.knows("forged"), None);
}

#[test]
fn a_neighbour_with_the_wrong_secret_is_closed_counted_and_logged_with_its_address() {
    let (herd, folders) = two_with_secrets([OLD, NEW]);
    let [goloman, hands] = start_both(&folders);
    let log = goloman.wait_for_log("link to Hands is down: its proof does not hold");
    assert!(!log.contains("the old secret"), "no secret is in a log");
    tell(&goloman, "kiwi");
    // A dialer that is content with any listener's proof still has to give its own.
    let mut dialer = Client::connect_from(herd.ip("Hands"), goloman.address);
    dialer.send(format!("HERD 1 Hands {:016x} {:032x}\n", 7, 8));
    assert!(dialer.text_line().starts_with("HERD 1 Goloman "));
    let wrong = format!("PROOF {:064x}\n", 9);
    dialer.send(&wrong);
    assert_eq!(dialer.text_line(), format!("? {wrong}"));
    assert!(dialer.is_ended());
    goloman.wait_for_log(&format!("closed a link from {}", herd.ip("Hands")));
    goloman.wait_for_log("its proof does not hold");
    assert_eq!(hands.knows("kiwi"), None);
}

#[test]
fn a_proof_that_was_seen_before_or_is_the_listeners_own_is_good_nowhere() {
    let (_herd, folders) = two_with_secrets([OLD, OLD]);
    let goloman = Server::start(folders[0].path(), "Goloman");
    // Hands is played by somebody who listens in Goloman's place and knows no secret.
    let hands = _herd.listen_as("Hands");
    let (stream, _) = hands.accept().expect("the link");
    let mut end = LinkEnd::of(stream);
    let hello = end.line();
    // The greeting goes back to its own sender, to have it prove itself.
    let mut mirror = Client::connect(goloman.address);
    mirror.send(hello.replace("Goloman", "Hands"));
    let welcome = mirror.text_line();
    let proof = welcome.split(' ').nth(7).expect("a proof").to_owned();
    assert_eq!(proof.len(), 64, "{welcome}");
    // Reflected at the dialer, and handed back to the listener.
    end.say(&welcome.replace("Goloman", "Hands"));
    goloman.wait_for_log("link to Hands is down: its proof does not hold");
    mirror.send(format!("PROOF {proof}\n"));
    assert_eq!(mirror.text_line(), format!("? PROOF {proof}\n"));
    // The same words once more, on a connection of their own.
    let mut again = Client::connect(goloman.address);
    again.send(hello.replace("Goloman", "Hands"));
    assert_ne!(again.text_line(), welcome, "another nonce and another proof");
    again.send(format!("PROOF {proof}\n"));
    assert_eq!(again.text_line(), format!("? PROOF {proof}\n"));
}

#[test]
fn a_key_is_replaced_server_by_server_without_a_gap() {
    let (_herd, folders) = two_with_secrets([OLD, OLD]);
    let [goloman, mut hands] = start_both(&folders);
    hands.wait_to_know("c0", &tell(&goloman, "c0"));
    let both = [OLD, NEW].concat();
    for (round, (of_goloman, of_hands)) in
        [(both.as_str(), OLD), (&both, &both), (&[NEW, OLD].concat(), &both), (NEW, &[NEW, OLD].concat())]
            .into_iter()
            .enumerate()
    {
        write_secret(&folders[0].path().join("herd.key"), of_goloman);
        let before = goloman.log_text().matches("read the secrets anew").count();
        goloman.process.signal(Signal::HUP);
        wait_for("the reload", || {
            (goloman.log_text().matches("read the secrets anew").count() > before).then_some(())
        });
        write_secret(&folders[1].path().join("herd.key"), of_hands);
        // Started anew it has to prove itself anew, in both directions.
        assert_eq!(hands.stop(), Some(0));
        hands = Server::start(folders[1].path(), "Hands");
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        hands.wait_to_know(&a, &tell(&goloman, &a));
        goloman.wait_to_know(&b, &tell(&hands, &b));
    }
}

#[test]
fn a_secret_that_cannot_be_read_anew_leaves_the_old_one() {
    let (_herd, folders) = two_with_secrets([OLD, OLD]);
    let [goloman, hands] = start_both(&folders);
    fs::remove_file(folders[0].path().join("herd.key")).expect("removed");
    goloman.process.signal(Signal::HUP);
    goloman.wait_for_log("keeping the secrets there were");
    hands.wait_to_know("kiwi", &tell(&goloman, "kiwi"));
}

#[test]
fn a_secret_of_one_server_is_for_its_neighbours_only() {
    let names = ["Goloman", "Hands", "Wilkes"];
    let edges = [("Goloman", "Hands"), ("Goloman", "Wilkes")];
    let own = [("Hands", "secret_file = \"hands.key\"")];
    let herd = Herd::new(&names, &edges, "secret_file = \"herd.key\"", &own);
    write_secret(&herd.folder.path().join("herd.key"), OLD);
    write_secret(&herd.folder.path().join("hands.key"), NEW);
    let servers = herd.start_all();
    let line = tell(&servers[1], "kiwi");
    servers[2].wait_to_know("kiwi", &line);
    // Hands needs none but its own.
    fs::remove_file(herd.folder.path().join("herd.key")).expect("removed");
    let (status, _, stderr) = run(herd.folder.path(), &["--check", "Hands"]);
    assert_eq!((status, stderr.as_str()), (Some(0), ""));
    let (status, _, stderr) = run(herd.folder.path(), &["--check", "Wilkes"]);
    assert_eq!(status, Some(78));
    assert!(stderr.contains("herd.conf:1: secret_file") && stderr.contains("urandom"), "{stderr}");
}

#[test]
fn a_stolen_box_with_a_secret_a_pair_poses_as_nobody_else() {
    let (names, edges) =
        (["Goloman", "Hands", "Wilkes"], [("Goloman", "Hands"), ("Goloman", "Wilkes"), ("Hands", "Wilkes")]);
    let pairs = [
        ("Goloman", "secret_files = { Hands = \"goloman-hands.key\", Wilkes = \"goloman-wilkes.key\" }"),
        ("Hands", "secret_files = { Wilkes = \"hands-wilkes.key\" }"),
    ];
    let herd = Herd::new(&names, &edges, "", &pairs);
    let keys = ["goloman-hands.key", "goloman-wilkes.key", "hands-wilkes.key"];
    keys.iter()
        .for_each(|key| write_secret(&herd.folder.path().join(key), &format!("{key}, a long secret\n")));
    let servers = herd.start_all();
    let line = tell(&servers[1], "kiwi");
    [0, 2].into_iter().for_each(|server| servers[server].wait_to_know("kiwi", &line));
    let [goloman, hands, wilkes] = <[Server; 3]>::try_from(servers).ok().expect("three");
    assert_eq!((goloman.stop(), wilkes.stop()), (Some(0), Some(0)));
    // All that Wilkes has, at Goloman's own address, under Goloman's name.
    for stolen in ["goloman-wilkes.key", "hands-wilkes.key"] {
        let conf = fs::read_to_string(herd.folder.path().join("herd.conf")).expect("text");
        let thief = crate::harness::folder_with(&conf.replace("goloman-hands.key", stolen));
        for key in ["goloman-wilkes.key", "hands-wilkes.key"] {
            write_secret(&thief.path().join(key), &format!("{key}, a long secret\n"));
        }
        let thief = Server::start(thief.path(), "Goloman");
        tell(&thief, stolen);
        // It finds that Hands does not prove itself by that secret either, and a thief would go on.
        thief.wait_for_log("link to Hands is down: its proof does not hold");
        let mut dialer = Client::connect_from(herd.ip("Goloman"), hands.address);
        dialer.send(format!(
            "HERD 1 Goloman {:016x} {:032x}\nPROOF {:064x}\nAT Goloman +1 {stolen} +1+1 1\n",
            7, 8, 9
        ));
        assert!(
            dialer.text_line().starts_with("HERD 1 Hands ") && dialer.text_line().starts_with("? PROOF ")
        );
        assert!(dialer.is_ended());
        assert_eq!(hands.knows(stolen), None);
    }
}

#[test]
fn a_secret_that_others_may_read_or_a_herd_on_trust_beyond_this_machine_does_not_start() {
    let (_herd, folders) = two_with_secrets([OLD, OLD]);
    let key = folders[0].path().join("herd.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).expect("set");
    let (status, _, stderr) = run(folders[0].path(), &["Goloman"]);
    assert_eq!(status, Some(78));
    assert!(stderr.contains("chmod 600"), "{stderr}");
    let conf = "[servers.A]\nlisten = \"0.0.0.0:0\"\naddress = \"192.0.2.1:7\"\nneighbours = [\"B\"]\n\
                [servers.B]\nlisten = \"192.0.2.2:7\"\n";
    let folder = crate::harness::folder_with(conf);
    let (status, _, stderr) = run(folder.path(), &["--check"]);
    assert_eq!(status, Some(78));
    assert!(
        stderr.contains("herd.conf:2: A and its neighbour B can be reached from other machines"),
        "{stderr}"
    );
    fs::write(folder.path().join("herd.conf"), format!("insecure_neighbours = true\n{conf}"))
        .expect("written");
    assert_eq!(run(folder.path(), &["--check"]).0, Some(0));
}

#[test]
fn a_returning_neighbour_is_sent_only_what_it_lacks() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let hands = herd.listen_as("Hands");
    let goloman = herd.start("Goloman");
    let first: Vec<_> = (0..50).map(|i| tell(&goloman, &format!("first{i}"))).collect();
    let mut link = LinkEnd::accept(&hands, "Hands");
    let mut heard: Vec<_> = first.iter().map(|_| link.line().trim_end().to_owned()).collect();
    heard.sort();
    let mut sorted = first.clone();
    sorted.sort();
    assert_eq!(heard, sorted);
    let mark = link.line();
    let epoch = mark.strip_prefix("MARK ").expect(&mark).trim_end().to_owned();
    drop(link);
    let second = tell(&goloman, "second");
    let mut link = LinkEnd::accept_having(&hands, "Hands", &epoch);
    assert_eq!(link.line().trim_end(), second, "and nothing of what was marked");
}

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
    hands.wait_to_know("kiwi", &tell(&goloman, "kiwi"));
    // Longer than what is confirmed takes, so that it would count if it did.
    std::thread::sleep(std::time::Duration::from_millis(5_500));
    hands.wait_to_know("fig", &tell(&goloman, "fig"));
    let (status, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert_eq!((status, stdout.lines().count()), (Some(0), 3), "{stdout}");
}

#[test]
fn all_agree_or_the_status_says_that_they_do_not() {
    let names = ["Goloman", "Hands", "Wilkes"];
    let herd = Herd::new(&names, &[("Goloman", "Hands")], "secret_file = \"herd.key\"", &[]);
    write_secret(&herd.folder.path().join("herd.key"), OLD);
    let servers = herd.start_all();
    tell(&servers[0], "kiwi");
    let agree = |wait: &str| run(herd.folder.path(), &["--agree", "--wait", wait]);
    // Wilkes talks with nobody.
    let (status, stdout, _) = agree("1s");
    assert_eq!(status, Some(1), "{stdout}");
    tell_all(&servers, &servers[0].knows("kiwi").expect("known"));
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
    tell(&goloman, "fig");
    let (_, stdout, _) = agree("0s");
    assert!(stdout.contains("Hands: down, behind with 1 client for "), "{stdout}");
}

/// Checks that two linked servers agree by what they print.
fn tell_all(servers: &[Server], line: &str) {
    servers[1].wait_to_know("kiwi", line);
}

#[test]
fn stores_that_differ_though_the_link_was_never_down_are_mended() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "timing.compare_ms = 500", &[]);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    hands.wait_to_know("kiwi", &tell(&goloman, "kiwi"));
    // Somebody speaks as this very start of Goloman and keeps from it what it says: only Hands knows
    // of it, and has no reason to pass it back.
    let mut asked = Client::connect_from(herd.ip("Hands"), goloman.address);
    asked.send(format!("HERD 1 Hands {:016x} {:032x}\n", 7, 8));
    let welcome = asked.text_line();
    let incarnation = welcome.split(' ').nth(3).expect("an incarnation");
    let mut other = Client::connect_from(herd.ip("Goloman"), hands.address);
    other.send(format!("HERD 1 Goloman {incarnation} {:032x}\n", 8));
    assert!(other.text_line().starts_with("HERD 1 Hands "));
    other.send("PROOF -\nAT Goloman +0.5 kept +1+1 5\n");
    hands.wait_to_know("kept", "AT Goloman +0.5 kept +1+1 5");
    goloman.wait_to_know("kept", "AT Goloman +0.5 kept +1+1 5");
    hands.wait_for_log("sending what differs");
    let (status, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert_eq!(status, Some(0), "{stdout}");
    assert_eq!(stdout.matches(" 2  ").count(), 2, "{stdout}");
}

/// A report that takes all of the default max_line, and what a server makes of it.
fn long_report(client: &str) -> String {
    format!("IAMAT {client}{} +1+1 1\n", "x".repeat(3_000))
}

#[test]
fn a_record_longer_than_max_line_hides_none_of_those_behind_it() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let goloman = herd.start("Goloman");
    let long = goloman.ask(&long_report("long"));
    assert!(long.starts_with("AT Goloman"));
    let lines: Vec<_> = (0..200).map(|i| tell(&goloman, &format!("c{i}"))).collect();
    assert_eq!(goloman.stop(), Some(0));
    // What clients say is shorter from here on; what servers say to each other is not.
    let conf = herd.folder.path().join("herd.conf");
    let text = fs::read_to_string(&conf).expect("text");
    fs::write(&conf, format!("max_line = 128\n{text}")).expect("written");
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    for (i, line) in lines.iter().enumerate() {
        hands.wait_to_know(&format!("c{i}"), line);
    }
    let (status, stdout, _) = run(herd.folder.path(), &["--agree", "--wait", "10s"]);
    assert_eq!(status, Some(0), "{stdout}");
    assert_eq!(stdout.matches(" 201  ").count(), 2, "{stdout}");
    assert!(!goloman.log_text().contains("is down"), "{}", goloman.log_text());
}

#[test]
fn the_longest_name_greets_also_where_max_line_is_the_least() {
    let long = "N".repeat(64);
    let key = |herd: &Herd| write_secret(&herd.folder.path().join("herd.key"), OLD);
    let settings = "max_line = 128\nsecret_file = \"herd.key\"";
    let herd = Herd::new(&[&long, "Hands"], &[(&long, "Hands")], settings, &[]);
    key(&herd);
    let (one, hands) = (herd.start(&long), herd.start("Hands"));
    hands.wait_to_know("kiwi", &tell(&one, "kiwi"));
    one.wait_to_know("fig", &tell(&hands, "fig"));
}

#[test]
fn a_line_longer_than_any_record_is_dropped_counted_and_told_and_the_next_one_is_heard() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let goloman = herd.start("Goloman");
    let mut hands = Client::connect_from(herd.ip("Hands"), goloman.address);
    let too_long = format!("AT Hands +1 {} +1+1 1\n", "x".repeat(100_000));
    hands.send(format!("AT Hands +1 before +1+1 1\n{too_long}AT Hands +1 after +1+1 1\n{too_long}"));
    hands.send("AT Hands +1 last +1+1 1\n");
    for client in ["before", "after", "last"] {
        goloman.wait_to_know(client, &format!("AT Hands +1 {client} +1+1 1"));
    }
    goloman.wait_for_log("it is longer than 32864 bytes; 1 so far");
    let (_, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert!(
        stdout.contains("2 AT lines since the start, the last of them lately: of neighbours dropped"),
        "{stdout}"
    );
    // From a stranger it is what it was.
    let said = goloman.ask(&too_long);
    assert!(said.starts_with("? AT Hands") && said.len() == 2 + 4096 + 1, "{}", said.len());
}

#[test]
fn a_neighbour_that_closes_the_link_over_a_record_is_spared_it_and_told_the_others() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let hands = herd.listen_as("Hands");
    let goloman = herd.start("Goloman");
    assert!(goloman.ask(&long_report("long")).starts_with("AT Goloman"));
    let mut left: Vec<_> = (0..200).map(|i| tell(&goloman, &format!("c{i}"))).collect();
    // More than fit into what is said of one at a time.
    for i in 1..80 {
        assert!(goloman.ask(&long_report(&format!("long{i}-"))).starts_with("AT Goloman"));
    }
    // One with a bound of its own, as an earlier version or another implementation may be: it closes the
    // link, as it would do for a client.
    let mut closed = 0;
    while !left.is_empty() {
        let mut link = LinkEnd::accept(&hands, "Hands");
        loop {
            let line = link.at_line();
            if line.len() > 1_000 {
                link.say(&format!("? {}\n", &line[..500]));
                closed += 1;
                break;
            }
            left.retain(|known| *known != line.trim_end());
            if left.is_empty() {
                break;
            }
        }
        assert!(
            closed <= 80,
            "the same records close the link again and again; {} are behind them",
            left.len()
        );
    }
    // Of 80 among 280 some come first, in whatever order.
    assert!(closed > 1, "{closed}");
    drop(hands);
    let log = goloman.wait_for_log("Hands closes the link over a record that it refuses");
    assert_eq!(log.matches("closes the link over a record").count(), 1, "it is told once a minute");
    let (_, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert!(stdout.contains(&format!("Hands refuses the latest record of {closed} clients")), "{stdout}");
}
