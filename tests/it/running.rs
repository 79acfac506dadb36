//! Starting, stopping and what the exit status says.

use std::fs;
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{HERD, Herd, Process, Server, folder_with, run, solo, wait_for};

const TWO: &str = "\
[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n\
[servers.Hands]\nlisten = \"127.0.0.1:0\"\n";

#[test]
fn exit_statuses_tell_what_was_wrong() {
    let folder = folder_with(TWO);
    fs::write(folder.path().join("bad.conf"), "workers = 2\nworkerz = 3\n").expect("written");
    let check = |arguments: &[&str], status: i32, hints: &[&str]| {
        let (code, stdout, stderr) = run(folder.path(), arguments);
        assert_eq!(code, Some(status), "{arguments:?}: {stdout}{stderr}");
        for hint in hints {
            assert!(format!("{stdout}{stderr}").contains(hint), "{arguments:?}: {hint} in {stdout}{stderr}");
        }
    };
    check(&["--version"], 0, &[concat!("herd ", env!("CARGO_PKG_VERSION"))]);
    check(&["--help"], 0, &["--config", "--check"]);
    check(&["--check"], 0, &["Goloman  127.0.0.1:0", "Hands"]);
    check(&["--check", "--config", "herd.conf"], 0, &["Goloman"]);
    check(&["--config=herd.conf", "--check"], 0, &["Goloman"]);
    check(&["--explain", "IAMAT a +1+1 1520023934.5"], 0, &["latitude 1", "2018-03-02T20:52:14Z"]);
    check(&["--explain", "IAMAT a 1+1 1"], 65, &["refused: location begins with the latitude's sign"]);
    check(&["--explain=hello\n"], 65, &["no such command"]);
    check(&["--explain", "IAMAT a +1+1 1", "Goloman"], 64, &["--explain asks no server"]);
    check(&["Golomam"], 64, &["Golomam", "Goloman, Hands"]);
    check(&["--nonsense"], 64, &["--nonsense", "--help"]);
    check(&["Goloman", "Hands"], 64, &["Hands"]);
    check(&["--wait", "5s"], 64, &["--wait has no meaning without --agree"]);
    check(&["--wait", "5s", "Goloman"], 64, &["--agree"]);
    check(&["--check", "--agree"], 64, &["two commands"]);
    check(&["--agree", "Goloman"], 64, &["takes no NAME"]);
    check(&["--agree", "--wait", "5"], 64, &["like 10s"]);
    check(&["--check=Goloman"], 64, &["--check takes no value"]);
    check(&["--config", "bad.conf", "Goloman"], 78, &["bad.conf:2: ", "workerz"]);
    check(&["--config", "none.conf"], 78, &["none.conf", "No such file"]);
    let plain = "[servers.Other]\nlisten = \"127.0.0.1:9\"\nplain = true\n";
    fs::write(folder.path().join("plain.conf"), plain).expect("written");
    check(&["--config", "plain.conf"], 78, &["plain.conf", "plain = true"]);
    let empty = tempfile::tempdir().expect("a folder");
    let (code, _, stderr) = run(empty.path(), &[]);
    assert!(
        code == Some(78) && stderr.contains("/etc/herd/herd.conf") && stderr.contains("--config"),
        "{stderr}"
    );
}

#[test]
fn an_address_in_use_is_named_with_the_reason() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = taken.local_addr().expect("bound");
    let folder = folder_with(&format!("[servers.Goloman]\nlisten = \"{address}\"\n"));
    for arguments in [&["Goloman"][..], &[]] {
        let (code, _, stderr) = run(folder.path(), arguments);
        assert_eq!(code, Some(71), "{stderr}");
        assert!(stderr.contains(&address.to_string()) && stderr.contains("in use"), "{stderr}");
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_missing_key_or_places_file_is_an_error_of_the_config() {
    for (settings, hint) in [
        ("places.provider = \"google\"", "HERD_PLACES_KEY"),
        ("places.provider = \"google\"\nplaces.key_file = \"nokey\"", "nokey"),
        ("places.provider = \"file\"\nplaces.path = \"noplaces.csv\"", "noplaces.csv"),
    ] {
        let folder = folder_with(&format!("{settings}\n{TWO}"));
        for argument in ["Goloman", "--check"] {
            let (code, _, stderr) = run(folder.path(), &[argument]);
            assert!(
                code == Some(78) && stderr.contains(hint) && stderr.contains("herd.conf:1: "),
                "{settings}: {stderr}"
            );
        }
    }
}

#[cfg(not(feature = "online"))]
#[test]
fn a_build_that_asks_nobody_over_the_network_says_so() {
    for provider in ["google", "google-legacy", "overpass\"\nplaces.url = \"http://localhost/"] {
        let folder = folder_with(&format!("places.provider = \"{provider}\"\n{TWO}"));
        for argument in ["Goloman", "--check"] {
            let (code, _, stderr) = run(folder.path(), &[argument]);
            let says_so = stderr.contains("herd.conf:1: ") && stderr.contains("feature online");
            assert!(code == Some(78) && says_so, "{provider}: {stderr}");
        }
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_path_that_only_a_shell_or_a_service_manager_would_fill_in_is_refused_before_it_makes_a_folder() {
    let table = "[servers.Goloman]\nlisten = \"127.0.0.1:7\"\nneighbours = [\"Hands\"]\n";
    for path in [
        "~/herd",
        "~",
        "~herd/x",
        "$HOME/herd",
        "${STATE}/x",
        "a/$(pwd)",
        "%h/herd",
        "x-%i",
        "%USERPROFILE%/x",
    ] {
        for (before, after) in [
            (format!("data_dir = {path:?}"), ""),
            (format!("log_dir = {path:?}"), ""),
            (format!("secret_file = {path:?}"), ""),
            (format!("places.provider = \"file\"\nplaces.path = {path:?}"), ""),
            (format!("places.provider = \"google\"\nplaces.key_file = {path:?}"), ""),
            (String::new(), "secret_file = PATH"),
            (String::new(), "secret_files = { Hands = PATH }"),
        ] {
            let after = after.replace("PATH", &format!("{path:?}"));
            let hands = "[servers.Hands]\nlisten = \"127.0.0.2:7\"\n";
            let folder = folder_with(&format!("{before}\n{table}{after}\n{hands}"));
            let line = if after.is_empty() { before.lines().count() } else { 5 };
            for argument in ["--check", "Goloman"] {
                let (code, _, stderr) = run(folder.path(), &[argument]);
                assert_eq!(code, Some(78), "{before}{after}: {stderr}");
                let start = format!("herd: herd.conf:{line}: ");
                assert!(stderr.starts_with(&start) && stderr.contains(path), "{before}{after}: {stderr}");
                assert!(stderr.contains("absolute"), "{stderr}");
            }
            let left: Vec<_> = fs::read_dir(folder.path()).expect("read").flatten().collect();
            let named: Vec<_> = left.iter().map(|file| file.file_name()).collect();
            assert!(
                named.iter().all(|name| !name.to_string_lossy().starts_with(['~', '$', '%'])),
                "{named:?}"
            );
        }
    }
    for path in ["50%", "a%20b", "100%sure", "cost$", "US$5", "back~", "./~", "data~1", "%", "$"] {
        let folder = folder_with(&format!("data_dir = {path:?}\nlog_dir = {path:?}\n{TWO}"));
        let (code, _, stderr) = run(folder.path(), &["--check"]);
        assert_eq!(code, Some(0), "{path}: {stderr}");
    }
}

#[test]
fn a_link_or_copy_named_for_a_server_runs_it() {
    let folder = folder_with(TWO);
    symlink(HERD, folder.path().join("Goloman")).expect("linked");
    fs::copy(HERD, folder.path().join("Hands")).expect("copied");
    for name in ["Goloman", "Hands"] {
        let server = Server::start_by(&mut Command::new(folder.path().join(name)), folder.path(), name);
        assert!(server.ask("IAMAT a +1+1 1\n").starts_with(&format!("AT {name} ")));
    }
    symlink(HERD, folder.path().join("Nobody")).expect("linked");
    let nobody = Process::start(&mut Command::new(folder.path().join("Nobody")), folder.path());
    let (code, _, stderr) = nobody.finish();
    assert!(code == Some(64) && stderr.contains("Goloman, Hands"), "{stderr}");
}

#[test]
fn signals_end_a_server_in_good_order() {
    for signal in [Signal::TERM, Signal::INT] {
        let (_folder, mut server) = solo("");
        let mut idle = server.client();
        // The replies of the last turn are there, and then the end.
        let mut busy = server.client();
        busy.send("IAMAT a +1+1 1\n");
        assert!(busy.text_line().starts_with("AT "));
        server.process.signal(signal);
        assert_eq!(server.process.wait().code(), Some(0));
        assert!(idle.is_ended() && busy.is_ended());
        let log = server.log_text();
        assert!(log.contains("Goloman stops") && log.contains("the server stops"), "{log}");
        TcpStream::connect(server.address).expect_err("nobody listens");
    }
}

#[test]
fn a_client_that_does_not_read_delays_the_stop_by_no_more_than_its_time() {
    let (_folder, server) = solo("stop_timeout_s = 1");
    let mut client = server.client();
    client.stream.set_write_timeout(Some(std::time::Duration::from_millis(100))).expect("set");
    let lines = "IAMAT a +1+1 1\n".repeat(10_000);
    while client.stream.write_all(lines.as_bytes()).is_ok() {}
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_flood_in_hand_reaches_the_neighbour_before_the_end() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "", &[]);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    goloman.wait_for_log("link to Hands is up");
    let lines: String = (0..2_000).map(|i| format!("IAMAT c{i} +1+1 1\n")).collect();
    let replies = goloman.ask(&lines);
    assert_eq!(goloman.stop(), Some(0));
    for (i, line) in replies.lines().enumerate() {
        hands.wait_to_know(&format!("c{i}"), line);
    }
}

/// The whole herd by one command, in the original graph on addresses of its own.
fn family() -> (Herd, Process, Vec<String>) {
    let names = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];
    let edges = [("Goloman", "Hands"), ("Goloman", "Holiday"), ("Holiday", "Welsh"), ("Hands", "Wilkes")];
    let herd = Herd::new(&names, &edges, "", &[]);
    let mut process = Process::start(&mut Command::new(HERD), herd.folder.path());
    let mut lines = process.lines_until("WHATSAT");
    lines.retain(|line| !line.is_empty());
    (herd, process, lines)
}

/// The processes a process has started.
fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it lives");
    list.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect()
}

fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit_once(')').is_some_and(|(_, rest)| rest.starts_with(" Z"))
}

fn name_of(pid: u32) -> String {
    let command = fs::read(format!("/proc/{pid}/cmdline")).expect("it lives");
    String::from_utf8_lossy(command.split(|&b| b == 0).nth(1).unwrap_or_default()).into_owned()
}

#[test]
fn the_whole_herd_starts_and_stops_by_one_command() {
    let (herd, mut process, lines) = family();
    let text = lines.join("\n");
    for (name, address) in herd.names.iter().zip(&herd.addresses) {
        assert!(
            lines.iter().any(|line| line.starts_with(name) && line.contains(&address.to_string())),
            "{text}"
        );
    }
    assert!(
        text.contains("Goloman, Welsh")
            && text.contains("NAME.log")
            && text.contains("All 5 servers are ready"),
        "{text}"
    );
    // The two lines to try work as they stand.
    let pids = children(process.pid());
    assert_eq!(pids.len(), 5);
    let tries: Vec<_> = lines.iter().filter_map(|line| line.trim_start().strip_prefix("printf ")).collect();
    for (line, expected) in tries.iter().zip(["AT Goloman", "AT Goloman"]) {
        let (text, to) = line.split_once(" | nc -N ").expect("a pipe to nc");
        let (host, port) = to.split_once(' ').expect("host and port");
        let text = text.trim_matches('\'').replace("\\n", "\n");
        let address = format!("{host}:{port}").parse().expect("an address");
        wait_for("the position to be known", || {
            crate::harness::Client::connect(address).say(&text).starts_with(expected).then_some(())
        });
    }
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0), "{}", process.stderr());
    assert!(pids.into_iter().all(has_ended));
}

#[test]
fn a_server_that_dies_is_reported_and_the_others_go_on() {
    let (herd, mut process, _) = family();
    let hands = children(process.pid()).into_iter().find(|&pid| name_of(pid) == "Hands").expect("Hands runs");
    kill_process(Pid::from_raw(hands as i32).expect("a pid"), Signal::KILL).expect("killed");
    wait_for("the report", || process.stderr().contains("Hands died: signal: 9").then_some(()));
    let stderr = process.stderr();
    assert!(stderr.contains("Hands.log") && stderr.contains("Z [INFO] "), "{stderr}");
    let mut client = crate::harness::Client::connect(herd.address("Welsh"));
    client.send("IAMAT a +1+1 1\n");
    assert!(client.text_line().starts_with("AT Welsh"));
    process.signal(Signal::INT);
    assert_eq!(process.wait().code(), Some(70));
}

#[test]
fn no_server_outlives_the_command_that_started_it() {
    let (_herd, mut process, _) = family();
    let pids = children(process.pid());
    process.child.kill().expect("killed");
    process.wait();
    wait_for("all servers to end", || pids.iter().all(|&pid| has_ended(pid)).then_some(()));
}

#[test]
fn a_herd_of_which_one_cannot_start_stops_the_others() {
    let herd = Herd::new(&["Goloman", "Hands", "Wilkes"], &[], "", &[]);
    let _taken = herd.listen_as("Hands");
    let (code, _, stderr) = run(herd.folder.path(), &[]);
    assert_eq!(code, Some(71), "{stderr}");
    assert!(stderr.contains(&herd.address("Hands").to_string()), "{stderr}");
    TcpStream::connect(herd.address("Goloman")).expect_err("stopped");
}

#[test]
fn a_server_with_nothing_to_do_hardly_wakes() {
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\"")];
    let herd = Herd::new(&["Goloman"], &[], "data_dir = \"data\"", &tables);
    let server = herd.start("Goloman");
    server.tell("kiwi");
    let wakes = || {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", server.process.pid())).expect("it lives");
        let of = |task: std::io::Result<std::fs::DirEntry>| {
            let status =
                std::fs::read_to_string(task.expect("a thread").path().join("status")).expect("it lives");
            let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
            line.and_then(|number| number.trim().parse::<u64>().ok()).expect("a number")
        };
        tasks.map(of).sum::<u64>()
    };
    // The sync and the mark of what it was told come first.
    let over = |seconds| {
        let (before, begun) = (wakes(), Instant::now());
        std::thread::sleep(Duration::from_secs(seconds));
        (wakes() - before) as f64 / begun.elapsed().as_secs_f64()
    };
    over(3);
    let wakes = over(10);
    assert!(wakes < 1.5, "{wakes} times a second");
    assert_eq!(server.stop(), Some(0));
}
