//! A whole comparison of a moment: every variant that can run here conforms, is measured, and has
//! its cells in the report. The figures themselves are nobody's business.

use std::process::Command;

use serde_json::Value;

/// What may be missing on a machine; anything else that keeps a variant out is a fault.
const MISSING: &str = "install it with: ";

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
            None if ["echo", "redis"].contains(&name) => {}
            None => assert!(variant["conformed"].as_u64().is_some_and(|cases| cases >= 40), "{variant}"),
        }
    }
    let measured = variants.iter().filter(|variant| variant["skipped"].is_null()).count();
    let cells = report["cells"].as_array().expect("cells");
    assert_eq!(cells.len(), measured * 6);
    for cell in cells {
        let is_yardstick = ["echo", "redis"].contains(&cell["variant"].as_str().expect("a name"));
        let rounds = cell["rounds"].as_array().expect("rounds");
        assert_eq!(rounds.len(), 1);
        let is_measured = |round: &Value| {
            round["void"].is_null() && round["per_second"].as_f64().is_some_and(|number| number > 0.0)
        };
        // A yardstick cannot do all workloads, and says so.
        assert!(is_yardstick || rounds.iter().all(is_measured), "{cell:#}\n{said}");
    }
}
