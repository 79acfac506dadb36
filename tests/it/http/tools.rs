//! The door for HTTP through the tools of others: schemathesis, a validator of OpenAPI, the parser of Prometheus.
//! `.ci/run` installs them into target/tools; where they are not there these tests say so and do nothing.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{alone, ask, get};
use crate::harness::{GOLOMAN_AND_HANDS, Herd, ONE_LINK, write_secret};

pub const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(ROOT).join("target/tools/bin").join(name);
    if !path.exists() {
        assert!(std::env::var_os("CI").is_none(), "no {}: .ci/run installs it", path.display());
        eprintln!("no {}: .ci/run installs it; not tested", path.display());
        return None;
    }
    Some(path)
}

#[test]
fn schemathesis_finds_nothing() {
    let Some(schemathesis) = tool("schemathesis") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let (token, path) = ("0123456789abcdef0123", folder.path().join("tokens"));
    write_secret(&path, &format!("all read,write,metrics {token}\n"));
    let (_conf, server) = alone("", &format!("http.tokens_file = {path:?}"));
    let url = format!("http://{}/openapi.json", server.http.expect("it serves HTTP"));
    let config = Path::new(ROOT).join("tests/it/http/schemathesis.toml");
    let ran = Command::new(schemathesis)
        .arg("--config-file")
        .arg(config)
        .args(["run", &url, "-H", &format!("Authorization: Bearer {token}"), "--no-color"])
        .args(["--checks", "all", "--max-examples", "40"])
        .current_dir(folder.path())
        .output()
        .expect("started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn the_document_for_programs_is_openapi_3_1() {
    let Some(python) = tool("python3") else { return };
    let document = Path::new(ROOT).join("src/door/http/openapi.json");
    let ran =
        Command::new(python).args(["-m", "openapi_spec_validator"]).arg(document).output().expect("started");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stdout));
}

#[test]
fn the_metrics_are_what_the_parser_of_prometheus_reads() {
    let Some(python) = tool("python3") else { return };
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\"")];
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &tables);
    let server = herd.start("Goloman");
    ask(&server, "PUT /v1/clients/a", "", r#"{"lat":1,"lon":2}"#);
    server.ask("hello\n");
    let said = get(&server, "/metrics");
    assert_eq!(said.field("Content-Type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    let mut parser = Command::new(python)
        .arg(Path::new(ROOT).join("tests/it/http/prometheus.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("started");
    parser.stdin.take().expect("piped").write_all(said.body.as_bytes()).expect("written");
    let ran = parser.wait_with_output().expect("ended");
    let (families, why) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{why}");
    for expected in [
        "herd_clients gauge",
        "herd_news counter",
        "herd_connections gauge",
        "herd_link_up gauge",
        "herd_commands counter",
        "herd_command_duration_seconds histogram",
    ] {
        assert!(families.lines().any(|line| line == expected), "{expected}: {families}");
    }
}
