//! A server of anyone's own: it is asked what the course asks, may do as it likes where the course's text is silent, and is
//! measured beside herd if that is enough. The servers are in `servers/`; where there is no Python nothing is tested.

use std::process::{Command, Stdio};

use serde_json::Value;

fn bench(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_herd-bench"));
    let ran = command.args(arguments).env("PYTHONDONTWRITEBYTECODE", "1").output().expect("started");
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

/// `--server` for one of the servers, or nothing where it cannot run here.
fn server(command: &str) -> Option<String> {
    let is_new = "import sys; sys.exit(sys.version_info < (3, 11))";
    let python = Command::new("python3").args(["-c", is_new]).stderr(Stdio::null()).status();
    if !python.is_ok_and(|status| status.success()) {
        eprintln!("not tested here: there is no python3 of 3.11 or later");
        return None;
    }
    Some(format!("mine=python3 {}/tests/servers/{command}", env!("CARGO_MANIFEST_DIR")))
}

const STRIPPED: &str = "stripped.py Clark {port} {places}";
const UNTIL_END: &str = "until_end.py {name} {port} {places}";
const OWN_PORT: &str = "own_port.py {name} {places}";
const CLOSES: &str = "closes.py {name} {port}";

#[test]
fn what_the_course_asks_is_enough() {
    for (command, parts) in [
        (STRIPPED, &["21 of 21 cases passed", "it can be measured\n", "these differ:", "nan as a time"][..]),
        (UNTIL_END, &["21 of 21 cases passed", "in `fresh` alone", "has half-closed", "these differ:"]),
        (OWN_PORT, &["21 of 21 cases passed", "it can be measured\n", "a latitude past the pole"]),
        (
            CLOSES,
            &["17 of 21 cases passed", "in `fresh` alone", "ends no line", "without WHATSAT", "{places}"],
        ),
    ] {
        let Some(server) = server(command) else { return };
        let (status, said) = bench(&["conform", "--server", &server]);
        assert_eq!(status, Some(0), "{command}: {said}");
        for part in parts {
            assert!(said.contains(part), "{command}: {part} in {said}");
        }
        // Each with what was sent, expected and got.
        let counts =
            ["    sent      ", "    expected  ", "    got       "].map(|part| said.matches(part).count());
        assert!(counts[0] > 10 && counts.iter().all(|count| *count == counts[0]), "{counts:?}: {said}");
    }
}

#[test]
fn whoever_fails_is_told_all_of_it_at_once() {
    let Some(server) = server(&format!("{CLOSES} wrong")) else { return };
    let (status, said) = bench(&["conform", "--server", &server]);
    assert!(status == Some(1) && said.contains("0 of 22 cases passed; these failed:"), "{said}");
    assert_eq!(said.matches("    got       ").count(), 22, "{said}");
    for part in [
        "  an unknown command\n    sent      HELLO there\\n\n    expected  ? HELLO there\n    got       at Goloman there\n",
        "  WHATSAT of an unknown client\n",
    ] {
        assert!(said.contains(part), "{part} in {said}");
    }
    // Before anything is built or measured, and with a status.
    let out = tempfile::tempdir().expect("a folder");
    let folder = out.path().to_str().expect("UTF-8");
    let (status, said) = bench(&["compare", "--server", &server, "--out", folder]);
    assert!(status == Some(2) && said.contains("0 of 22 cases passed") && !said.contains("tokio"), "{said}");
    assert!(!out.path().join("report.json").exists());
    for (command, hint) in [("mine=false", "exit status: 1"), ("mine=no-such-program", "no-such-program")] {
        for (arguments, expected) in [(&["conform"][..], 2), (&["compare", "--out", folder], 2)] {
            let (status, said) = bench(&[arguments, &["--server", command]].concat());
            assert!(status == Some(expected) && said.contains(hint), "{command}: {said}");
        }
    }
    let (status, said) = bench(&["conform"]);
    assert!(status == Some(2) && said.contains("--server NAME="), "{said}");
}

/// What is measured of a server, by workload.
fn measured(command: &str, workloads: &str) -> Option<(Vec<String>, Value, String)> {
    let server = server(command)?;
    let out = tempfile::tempdir().expect("a folder");
    let folder = out.path().to_str().expect("UTF-8");
    let only = format!("mine,{workloads}");
    let arguments = ["--rounds", "1", "--seconds", "0.2", "--only", &only, "--server", &server];
    let (status, said) = bench(&[&["compare", "--out", folder], &arguments[..]].concat());
    assert_eq!(status, Some(0), "{said}");
    let text = std::fs::read_to_string(out.path().join("report.json")).expect("written");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    for cell in report["cells"].as_array().expect("cells") {
        let round = &cell["rounds"][0];
        let is_measured = round["per_second"].as_f64().is_some_and(|number| number > 0.0);
        assert!(round["void"].is_null() && is_measured, "{cell:#}\n{said}");
    }
    let names = report["cells"].as_array()?.iter().map(|cell| cell["workload"].as_str().map(str::to_owned));
    Some((names.collect::<Option<_>>()?, report.clone(), said))
}

#[test]
fn it_is_measured_in_what_it_does() {
    for (command, workloads, expected) in [
        (STRIPPED, "50,pipelined,mixed,fresh,five", &["50", "pipelined", "mixed", "fresh"][..]),
        (OWN_PORT, "50,fresh", &["50", "fresh"]),
        (UNTIL_END, "50,fresh,mixed", &["fresh"]),
        (CLOSES, "50,fresh,mixed", &["fresh"]),
        // It has answered nothing when the run is over, and is measured for longer.
        ("closes.py {name} {port} slow", "fresh", &["fresh"]),
    ] {
        let Some((names, report, said)) = measured(command, workloads) else { return };
        assert_eq!(names, expected, "{command}: {said}");
        let info = &report["variants"][0];
        assert!(info["differences"].as_u64().is_some_and(|count| count > 10), "{info}");
        assert!(said.contains("`conform` lists them"), "{said}");
    }
}

#[test]
fn whoever_does_none_of_the_workloads_is_told() {
    let Some(server) = server(CLOSES) else { return };
    let out = tempfile::tempdir().expect("a folder");
    let folder = out.path().to_str().expect("UTF-8");
    let (status, said) = bench(&["compare", "--only", "mine,50", "--server", &server, "--out", folder]);
    assert!(status == Some(2) && said.contains("none of these variants is measured"), "{said}");
}

#[test]
fn load_drives_it_too() {
    for (command, hint) in [(STRIPPED, ""), (CLOSES, "say --fresh")] {
        let Some(server) = server(command) else { return };
        let held = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
        let address = held.local_addr().expect("bound");
        drop(held);
        let line = server.replace("{port}", &address.port().to_string()).replace("{places}", "-");
        let mut words = line.trim_start_matches("mine=").split(' ');
        let mut child = Command::new(words.next().expect("a program"))
            .args(words)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stderr(Stdio::null())
            .spawn()
            .expect("started");
        let begun = std::time::Instant::now();
        while std::net::TcpStream::connect(address).is_err() && begun.elapsed().as_secs() < 20 {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        let address = address.to_string();
        let load = |more: &[&str]| bench(&[&["load", &address, "--seconds", "0.5"], more].concat());
        let (plain, fresh) = (load(&[]), load(&["--fresh"]));
        child.kill().and_then(|()| child.wait()).expect("ended");
        assert!(fresh.0 == Some(0) && fresh.1.contains("requests/s"), "{command}: {}", fresh.1);
        match hint {
            "" => assert!(plain.0 == Some(0) && plain.1.contains("requests/s"), "{command}: {}", plain.1),
            hint => assert!(plain.0 == Some(2) && plain.1.contains(hint), "{command}: {}", plain.1),
        }
    }
}

#[test]
fn herd_itself_differs_in_nothing() {
    let herd = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/herd");
    if !std::path::Path::new(herd).exists() {
        // Tests of `compare` build it.
        return;
    }
    let (status, said) =
        bench(&["conform", "--server", &format!("mine={herd} {{name}} --config {{config}}")]);
    assert!(status == Some(0) && said.contains("21 of 21 cases passed\n"), "{said}");
    let (_, rules) = said.split_once("herd's own rules").expect("asked");
    assert!(rules.ends_with(" cases are the same\n\n") || rules.ends_with(" cases are the same\n"), "{said}");
}
