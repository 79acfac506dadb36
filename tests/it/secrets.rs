//! Secrets of links: who may open one, and how a secret is replaced.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use rustix::process::Signal;

use crate::harness::{Client, GOLOMAN_AND_HANDS, Herd, LinkEnd, ONE_LINK, Server, run, wait_for};

pub fn write_secret(path: &Path, text: &str) {
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

pub const OLD: &str = "the old secret of this herd\n";
const NEW: &str = "the new secret of this herd\n";

#[test]
fn servers_that_share_a_secret_talk_and_an_address_alone_counts_for_nothing() {
    let (herd, folders) = two_with_secrets([OLD, OLD]);
    let [goloman, hands] = start_both(&folders);
    hands.wait_to_know("kiwi", &goloman.tell("kiwi"));
    goloman.wait_to_know("fig", &hands.tell("fig"));
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
    goloman.tell("kiwi");
    // A dialler that is content with any listener's proof still has to give its own.
    let mut dialler = Client::connect_from(herd.ip("Hands"), goloman.address);
    dialler.send(format!("HERD 1 Hands {:016x} {:032x}\n", 7, 8));
    assert!(dialler.text_line().starts_with("HERD 1 Goloman "));
    let wrong = format!("PROOF {:064x}\n", 9);
    dialler.send(&wrong);
    assert_eq!(dialler.text_line(), format!("? {wrong}"));
    assert!(dialler.is_ended());
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
    // Reflected at the dialler, and handed back to the listener.
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
    hands.wait_to_know("c0", &goloman.tell("c0"));
    let both = [OLD, NEW].concat();
    for (round, (of_goloman, of_hands)) in
        [(both.as_str(), OLD), (&both, &both), (&[NEW, OLD].concat(), &both), (NEW, &[NEW, OLD].concat())]
            .into_iter()
            .enumerate()
    {
        write_secret(&folders[0].path().join("herd.key"), of_goloman);
        let before = goloman.log_text().matches("read the secrets again").count();
        goloman.process.signal(Signal::HUP);
        wait_for("the reload", || {
            (goloman.log_text().matches("read the secrets again").count() > before).then_some(())
        });
        write_secret(&folders[1].path().join("herd.key"), of_hands);
        // Started anew it has to prove itself anew, in both directions.
        assert_eq!(hands.stop(), Some(0));
        hands = Server::start(folders[1].path(), "Hands");
        let (a, b) = (format!("a{round}"), format!("b{round}"));
        hands.wait_to_know(&a, &goloman.tell(&a));
        goloman.wait_to_know(&b, &hands.tell(&b));
    }
}

#[test]
fn a_secret_that_cannot_be_read_anew_leaves_the_old_one() {
    let (_herd, folders) = two_with_secrets([OLD, OLD]);
    let [goloman, hands] = start_both(&folders);
    fs::remove_file(folders[0].path().join("herd.key")).expect("removed");
    goloman.process.signal(Signal::HUP);
    goloman.wait_for_log("not reloaded, keeping what there is: ");
    hands.wait_to_know("kiwi", &goloman.tell("kiwi"));
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
    let line = servers[1].tell("kiwi");
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
    let line = servers[1].tell("kiwi");
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
        thief.tell(stolen);
        // It finds that Hands does not prove itself by that secret either, and a thief would go on.
        thief.wait_for_log("link to Hands is down: its proof does not hold");
        let mut dialler = Client::connect_from(herd.ip("Goloman"), hands.address);
        dialler.send(format!(
            "HERD 1 Goloman {:016x} {:032x}\nPROOF {:064x}\nAT Goloman +1 {stolen} +1+1 1\n",
            7, 8, 9
        ));
        assert!(
            dialler.text_line().starts_with("HERD 1 Hands ") && dialler.text_line().starts_with("? PROOF ")
        );
        assert!(dialler.is_ended());
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
