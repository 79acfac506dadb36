//! A whole comparison of a moment: every variant that can run here conforms, is measured, and has
//! its cells in the report. The figures themselves are nobody's business.

use std::process::Command;

use serde_json::Value;

/// What may be missing on a machine; anything else that keeps a variant out is a fault.
const MISSING: &str = "install it with: ";

/// What serves reports by HTTP and no lines.
const HTTP_RIVALS: [&str; 7] =
    ["axum", "axum-1", "axum-rstar", "axum-watch", "axum-watch-100", "aiohttp", "node-http"];

fn compare(arguments: &[&str]) -> (Value, String) {
    let out = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_herd-bench"));
    let ran = command.arg("compare").args(arguments).arg("--out").arg(out.path()).output().expect("started");
    let said = String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned();
    assert!(ran.status.success(), "{said}");
    let text = std::fs::read_to_string(out.path().join("report.json")).expect("written");
    let page = std::fs::read_to_string(out.path().join("report.html")).expect("written");
    assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "a whole page");
    (serde_json::from_str(&text).expect("JSON"), said)
}

#[test]
fn a_herd_of_five_is_measured_and_heals() {
    let (report, said) =
        compare(&["--rounds", "1", "--seconds", "0.2", "--only", "herd,five,five-open,heal"]);
    let cells = report["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 3);
    for cell in cells {
        let round = &cell["rounds"][0];
        assert!(round["void"].is_null() && round["agreed_ms"].as_f64().is_some(), "{cell:#}\n{said}");
    }
}

#[test]
fn every_variant_conforms_and_is_measured_without_a_void_round() {
    let workloads = "50,pipelined,mixed,fresh,beside,open";
    let (report, said) = compare(&["--rounds", "1", "--seconds", "0.2", "--only", workloads]);
    let variants = report["variants"].as_array().expect("variants");
    for variant in variants {
        let name = variant["name"].as_str().expect("a name");
        match variant["skipped"].as_str() {
            Some(why) => {
                assert!(
                    why.starts_with(MISSING) && !["herd", "tokio", "threads"].contains(&name),
                    "{name}: {why}"
                );
                eprintln!("not tested here: {name}; {why}");
            }
            None if ["echo", "redis", "nchan"].contains(&name) => {}
            // It was killed, and knew what it had answered.
            None if name == "redis-kept" => assert_eq!(variant["conformed"], 1, "{variant}"),
            None if HTTP_RIVALS.contains(&name) => {
                assert!(variant["conformed"].as_u64().is_some_and(|cases| cases >= 20), "{variant}");
            }
            None => assert!(variant["conformed"].as_u64().is_some_and(|cases| cases >= 40), "{variant}"),
        }
    }
    let has_lines = |variant: &&Value| {
        variant["name"] != "nchan" && !HTTP_RIVALS.iter().any(|name| variant["name"] == *name)
    };
    let measured = variants.iter().filter(has_lines).filter(|variant| variant["skipped"].is_null()).count();
    let cells = report["cells"].as_array().expect("cells");
    // A yardstick knows no WHATSAT, and has no cell where there is one.
    let yardsticks = ["echo", "redis", "redis-kept"]
        .map(|name| cells.iter().filter(|cell| cell["variant"] == name).count());
    assert!(yardsticks.iter().all(|&count| [0, 5].contains(&count)), "{yardsticks:?}");
    assert_eq!(cells.len(), measured * 6 - yardsticks.iter().filter(|&&count| count > 0).count());
    assert_measured(cells, &said);
}

fn assert_measured(cells: &[Value], said: &str) {
    for cell in cells {
        let rounds = cell["rounds"].as_array().expect("rounds");
        assert_eq!(rounds.len(), 1);
        let is_measured = |round: &Value| {
            round["void"].is_null() && round["per_second"].as_f64().is_some_and(|number| number > 0.0)
        };
        assert!(rounds.iter().all(is_measured), "{cell:#}\n{said}");
    }
}

#[test]
fn every_server_of_reports_by_http_conforms_and_is_measured() {
    // Those with an R-tree or a stream are measured by what they have it for.
    let has_more = |name: &&str| ["axum-rstar", "axum-watch", "axum-watch-100"].contains(name);
    let rivals = HTTP_RIVALS.into_iter().filter(|name| !has_more(name)).collect::<Vec<_>>();
    let only = format!("herd,{},http,http-idle", rivals.join(","));
    let (report, said) = compare(&["--rounds", "1", "--seconds", "0.2", "--only", &only]);
    let variants = report["variants"].as_array().expect("variants");
    for variant in variants {
        let why = variant["skipped"].as_str();
        let may_be_missing = ["aiohttp", "node-http"].iter().any(|name| variant["name"] == *name);
        assert!(why.is_none_or(|why| may_be_missing && why.starts_with(MISSING)), "{variant}");
    }
    let measured = variants.iter().filter(|variant| variant["skipped"].is_null()).count();
    let cells = report["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), 2 * measured);
    assert_measured(cells, &said);
}

#[test]
fn who_is_nearest_is_asked_by_lines_and_by_http() {
    let (report, said) =
        compare(&["--rounds", "1", "--seconds", "0.2", "--only", "herd,axum-rstar,near,near-http"]);
    let cells = report["cells"].as_array().expect("cells");
    let of = |cell: &Value| format!("{} {}", cell["variant"], cell["workload"]).replace('"', "");
    let expected = ["herd near", "herd near-http", "axum-rstar near-http"];
    assert_eq!(cells.iter().map(of).collect::<Vec<_>>(), expected, "{said}");
    assert_measured(cells, &said);
}

#[test]
fn what_happens_is_watched_by_a_thousand_subscribers() {
    let only = "herd,axum-watch,axum-watch-100,nchan,watch";
    let (report, said) = compare(&["--rounds", "1", "--seconds", "0.5", "--only", only]);
    for variant in report["variants"].as_array().expect("variants") {
        let why = variant["skipped"].as_str();
        let may_be_missing = variant["name"] == "nchan";
        assert!(why.is_none_or(|why| may_be_missing && why.starts_with(MISSING)), "{variant}");
    }
    let cells = report["cells"].as_array().expect("cells");
    assert!(cells.len() >= 3, "{said}");
    // nchan may get none to a subscriber in so short a time.
    let others: Vec<_> = cells.iter().filter(|cell| cell["variant"] != "nchan").cloned().collect();
    assert_measured(&others, &said);
    for cell in &others {
        let of_reports = &cell["rounds"][0]["of_reports"];
        assert!(of_reports["per_second"].as_f64().is_some_and(|number| number > 0.0), "{cell:#}");
        assert_eq!(of_reports["lacking"], 0, "{cell:#}");
    }
}

#[test]
fn reports_are_measured_alone_and_beside_subscribers() {
    let herd = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/debug/herd");
    if !std::path::Path::new(herd).exists() {
        // Another test of these builds it.
        return;
    }
    let arguments =
        ["--subscribers", "20", "--asleep", "5", "--clients", "100", "--rate", "500", "--seconds", "0.5"];
    for lines in [&[][..], &["--lines"]] {
        let (status, said) = bench(&[&["watch", "--herd", herd], &arguments[..], lines].concat());
        // A busy machine may have reports wait; all else is a fault.
        assert!(status == Some(0) || said.contains("that is more than 2 times"), "{said}");
        assert!(
            said.contains("beside 20 subscribers, 5 of them asleep: ") && said.contains("; 0 lacked"),
            "{said}"
        );
    }
}

fn bench(arguments: &[&str]) -> (Option<i32>, String) {
    let ran = Command::new(env!("CARGO_BIN_EXE_herd-bench")).args(arguments).output().expect("started");
    (ran.status.code(), String::from_utf8_lossy(&[ran.stdout, ran.stderr].concat()).into_owned())
}

#[test]
fn what_cannot_be_measured_is_told_before_anything_is_measured() {
    for (arguments, hint) in [
        (&["compare", "--rounds", "0"][..], "--rounds: at least 1"),
        (&["compare", "--seconds", "0"], "--seconds 0: less than 0.1"),
        (&["compare", "--out", "/proc/nope"], "/proc/nope: "),
        (&["compare", "old.json", "new.json"], "old.json: "),
        (&["compare", "only.json"], "two reports"),
        (&["load", "127.0.0.1:1", "--seconds", "0"], "--seconds 0: less than 0.1"),
        (&["load", "127.0.0.1:1", "--fresh", "--rate", "5"], "--fresh"),
        (&["load", "127.0.0.1:1", "--whatsat-every", "1"], "2 or more"),
    ] {
        let (status, said) = bench(arguments);
        assert!(status == Some(2) && said.contains(hint), "{arguments:?}: {status:?} {said}");
    }
}

#[test]
fn load_drives_a_server_that_runs_as_often_as_it_is_asked_to() {
    // One that stores nothing, answers in order, and takes every report for news.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bound");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || {
                use std::io::{BufRead, BufReader, Write};
                for line in BufReader::new(&stream).lines().map_while(Result::ok) {
                    let reply = line.replacen("IAMAT", "AT Goloman +0.000000001", 1) + "\n";
                    let _ = (&stream).write_all(reply.as_bytes());
                }
            });
        }
    });
    let load = |extra: &[&str]| {
        bench(&[&["load", &address, "--seconds", "0.2", "--connections", "3"], extra].concat())
    };
    for extra in [&[][..], &["--depth", "4"], &["--rate", "200"]] {
        let (status, said) = load(extra);
        assert!(status == Some(0) && said.contains("requests/s") && said.contains("p99.9"), "{said}");
    }
    let (status, said) = load(&["--name", "Hands"]);
    assert!(status == Some(2) && said.contains("void: wrong reply"), "{said}");
}

#[test]
fn growth_is_measured_in_small_and_drawn() {
    let out = tempfile::tempdir().expect("a folder");
    let folder = out.path().to_str().expect("UTF-8");
    let (status, said) =
        bench(&["compare", "--quick", "--seconds", "0.2", "--only", "growth", "--out", folder]);
    assert_eq!(status, Some(0), "{said}");
    let text = std::fs::read_to_string(out.path().join("report.json")).expect("written");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    let names: Vec<_> =
        report["growth"].as_array().expect("growth").iter().map(|grown| &grown["name"]).collect();
    assert_eq!(names, ["clients", "line", "neighbours", "neighbours-1", "servers"]);
    assert_eq!(report["cells"].as_array().map(Vec::len), Some(0), "{said}");
    for grown in report["growth"].as_array().expect("growth") {
        let points = grown["points"].as_array().expect("points");
        assert_eq!(points.len(), 2, "{grown:#}");
        for point in points {
            // A small machine may not have the memory of ten servers, and is told so.
            let is_left_out = point["left_out"].as_str().is_some_and(|why| why.contains("GiB of memory"));
            let round = &point["rounds"][0];
            let is_measured = round["void"].is_null()
                && round["per_second"].as_f64().is_some_and(|number| number > 0.0)
                && round["resident_bytes"].as_u64().is_some_and(|bytes| bytes > 0);
            assert!(is_left_out || is_measured, "{point:#}\n{said}");
        }
    }
    let page = std::fs::read_to_string(out.path().join("report.html")).expect("written");
    assert_eq!(page.matches("Growth: ").count(), 5);
    assert!(!page.contains("There is nothing to draw"));
    let (status, said) = bench(&["compare", "--only", "tokio,growth", "--out", folder]);
    assert!(status == Some(2) && said.contains("growth is of herd"), "{said}");
}
