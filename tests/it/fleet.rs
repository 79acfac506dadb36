//! The example herd-fleet, run against real servers: whoever starts it sees clients move, at every server.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{
    GOLOMAN_AND_HANDS, HERD, Herd, ONE_LINK, Process, Server, folder_with, free_address, wait_for,
};

/// The example beside the herd that is tested. `cargo test` builds it, and `cargo test --test it` does not.
fn example() -> PathBuf {
    let path = Path::new(HERD).parent().expect("a folder").join("examples/herd-fleet");
    if !path.exists() {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--quiet", "--example", "herd-fleet"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(cargo.status().expect("cargo").success());
    }
    path
}

fn fleet(folder: &Path, arguments: &[&str]) -> Process {
    Process::start(Command::new(example()).args(arguments), folder)
}

/// Where clients are by a server: the location of each.
fn locations(server: &Server, clients: &[String]) -> Option<HashMap<String, String>> {
    let location =
        |client: &String| Some((client.clone(), server.knows(client)?.split(' ').nth(4)?.to_owned()));
    clients.iter().map(location).collect()
}

/// Waits until all clients are somewhere else than they were, by a server.
fn wait_to_move(server: &Server, clients: &[String]) {
    let what = format!("all clients at {}", server.name);
    let before = wait_for(&what, || locations(server, clients));
    wait_for("them to move", || {
        let now = locations(server, clients)?;
        now.iter().all(|(client, at)| before[client] != *at).then_some(())
    });
}

#[test]
fn a_fleet_drives_about_at_every_server_and_goes_on_when_one_goes() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let [goloman, hands] = herd.start_all().try_into().ok().expect("two servers");
    let clients: Vec<_> = (0..20).map(|number| format!("fleet-{number:04}")).collect();
    let mut fleet = fleet(herd.folder.path(), &["--clients", "20", "--every", "0.1"]);
    assert_eq!(
        fleet.line(),
        "20 clients drive at 28000 km/h on great circles and report every 0.1 s: to Goloman, Hands"
    );
    for server in [&goloman, &hands] {
        wait_to_move(server, &clients);
    }
    // Each tells some of them, and learns of the others.
    let told_by =
        |client: &String| goloman.knows(client).expect("known").split(' ').nth(1).map(str::to_owned);
    let told: Vec<_> = clients.iter().filter_map(told_by).collect();
    assert!(told.iter().any(|name| name == "Goloman") && told.iter().any(|name| name == "Hands"), "{told:?}");
    assert_eq!(hands.stop(), Some(0));
    wait_to_move(&goloman, &clients);
    let hands = herd.start("Hands");
    wait_for("the fleet to come back to Hands", || {
        clients
            .iter()
            .any(|client| hands.knows(client).is_some_and(|line| line.starts_with("AT Hands ")))
            .then_some(())
    });
    fleet.signal(Signal::INT);
    let (status, said, stderr) = fleet.finish();
    let last = said.lines().last().unwrap_or_default();
    assert!(status == Some(0) && stderr.is_empty(), "{said} {stderr}");
    assert!(last.contains(" taken, 0 refused, ") && last.ends_with("; 1 connections lost"), "{said}");
}

#[test]
fn a_fleet_waits_for_a_server_and_says_what_is_wrong_with_what_it_was_told() {
    let (address, folder) = (free_address(), folder_with(""));
    let conf = format!("[servers.Goloman]\nlisten = \"{address}\"\nhttp.listen = \"127.0.0.1:0\"\n");
    std::fs::write(folder.path().join("herd.conf"), conf).expect("written");
    let mut waiting = fleet(folder.path(), &["--clients", "3", "--every", "0.1"]);
    assert!(waiting.line().ends_with(": no server answers yet, of Goloman"));
    assert!(waiting.line().starts_with("a map that shows them: http://"));
    let server = Server::start(folder.path(), "Goloman");
    wait_to_move(&server, &["fleet-0000", "fleet-0001", "fleet-0002"].map(str::to_owned));
    waiting.signal(Signal::TERM);
    assert_eq!(waiting.finish().0, Some(0));
    let empty = folder_with("connections = \"one-shot\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n");
    for (arguments, hint) in [
        (&["--config", "nowhere.conf"][..], "nowhere.conf"),
        (&[], "one-shot"),
        (&["nonsense"], "say HOST:PORT"),
        (&["127.0.0.1:1", "--clients", "0"], "--clients: at least 1"),
        (&["127.0.0.1:1", "--every", "0"], "--every: more than 0"),
        (&["127.0.0.1:1", "--speed-kmh", "-5"], "--speed-kmh: 0 to"),
    ] {
        let (status, _, stderr) = fleet(empty.path(), arguments).finish();
        assert!(status == Some(1) && stderr.contains(hint), "{arguments:?}: {stderr}");
    }
}
