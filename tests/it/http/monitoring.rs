//! Debian's Prometheus scrapes five servers with the files of packaging/, and all that these ask has an answer. Where
//! there is no Prometheus these tests say so and do nothing; `.ci/run` installs it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Connection, ask, get};
use crate::docs::page::{Page, rows};
use crate::harness::{GOLOMAN_AND_HANDS, Herd, ONE_LINK, Process, wait_for};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

const SERVERS: [(&str, &str); 5] = [
    ("Goloman", "127.0.0.1:16685"),
    ("Hands", "127.0.0.1:16686"),
    ("Holiday", "127.0.0.1:16687"),
    ("Welsh", "127.0.0.1:16688"),
    ("Wilkes", "127.0.0.1:16689"),
];

fn read(path: &str) -> String {
    std::fs::read_to_string(Path::new(ROOT).join(path)).expect(path)
}

fn is_there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let is_there = found.is_ok_and(|status| status.success());
    assert!(is_there || std::env::var_os("CI").is_none(), "no {program}: .ci/run installs it");
    if !is_there {
        eprintln!("no {program}; not tested");
    }
    is_there
}

/// Families of a page of metrics, as its TYPE lines have them.
fn families(text: &str) -> BTreeSet<(String, String)> {
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    types.map(|(name, kind)| (name.to_owned(), kind.to_owned())).collect()
}

#[test]
fn every_family_has_its_row_and_every_alert_its_advice() {
    let herd = {
        let tables = [("Goloman", "http.listen = \"127.0.0.1:0\"")];
        Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "data_dir = \"data\"", &tables)
    };
    let server = herd.start("Goloman");
    let page = Page::read("docs/metrics.md");
    let quoted = |cell: &String| cell.trim_matches('`').to_owned();
    let listed: BTreeSet<_> = rows(&page.text)
        .iter()
        .filter(|row| row[0].starts_with("`herd_") || row[0].starts_with("`process_"))
        .map(|row| (quoted(&row[0]), row[1].clone()))
        .collect();
    // Nobody may be writing to the journal just then.
    wait_for("all families", || {
        let said = families(&get(&server, "/metrics").body);
        let lacks: Vec<_> = listed.difference(&said).collect();
        let is_busy = lacks.iter().any(|(name, _)| name == "herd_journal_bytes");
        (!is_busy).then(|| assert_eq!(said, listed))
    });
    let alerts: BTreeSet<_> = expressions_of_alerts().into_iter().map(|(name, _)| name).collect();
    let advice: BTreeSet<_> = rows(&page.section("alerts"))
        .iter()
        .filter(|row| row.len() == 2)
        .map(|row| quoted(&row[0]))
        .collect();
    let advice: BTreeSet<_> = advice.into_iter().filter(|name| name.starts_with("Herd")).collect();
    assert_eq!(alerts, advice);
}

/// Each alert's name and what it asks.
fn expressions_of_alerts() -> Vec<(String, String)> {
    let text = read("packaging/prometheus/alerts.yml");
    let alerts = text.split("- alert: ").skip(1).map(|alert| {
        let (name, rest) = alert.split_once('\n').expect("a name");
        let expression = rest.split_once("expr: ").expect("an expression").1;
        let end = ["        for: ", "        labels: "].iter().filter_map(|word| expression.find(word)).min();
        (name.to_owned(), expression[..end.expect("an end")].trim_start_matches('>').to_owned())
    });
    alerts.collect()
}

/// What the dashboard asks, for all servers.
fn expressions_of_dashboard() -> Vec<(String, String)> {
    let json: serde_json::Value = serde_json::from_str(&read("packaging/grafana/herd.json")).expect("JSON");
    let mut found = Vec::new();
    for panel in json["panels"].as_array().expect("panels") {
        for target in panel["targets"].as_array().expect("targets") {
            let text = target["expr"].as_str().expect("an expression");
            let text = text.replace("$__rate_interval", "1m").replace("$server", ".*");
            found.push((panel["title"].as_str().expect("a title").to_owned(), text));
        }
    }
    found
}

/// The names of herd's metrics in an expression.
fn metrics_in(expression: &str) -> Vec<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expression.split(|c| !is_part(c)).map(str::to_owned);
    words.filter(|word| word.starts_with("herd_") || word.starts_with("process_")).collect()
}

#[test]
fn prometheus_scrapes_five_servers_and_all_that_is_asked_of_it_has_an_answer() {
    if !(is_there("prometheus") && is_there("promtool")) {
        return;
    }
    let tables = SERVERS.map(|(name, _)| (name, "http.listen = \"127.0.0.1:0\""));
    let edges = [
        ("Goloman", "Hands"),
        ("Goloman", "Holiday"),
        ("Goloman", "Wilkes"),
        ("Hands", "Wilkes"),
        ("Holiday", "Welsh"),
    ];
    let herd = Herd::new(&SERVERS.map(|(name, _)| name), &edges, "data_dir = \"data\"", &tables);
    let servers = herd.start_all();
    let folder = tempfile::tempdir().expect("a folder");
    let mut conf = read("packaging/prometheus/prometheus.yml").replace("15s", "1s");
    for ((name, shipped), server) in SERVERS.iter().zip(&servers) {
        assert!(conf.contains(shipped), "{name}");
        conf = conf.replace(shipped, &server.http.expect("it serves HTTP").to_string());
    }
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("prometheus.yml"), conf).expect("written");
    std::fs::write(path("alerts.yml"), read("packaging/prometheus/alerts.yml")).expect("written");
    let checked = Command::new("promtool").args(["check", "config"]).arg(path("prometheus.yml")).output();
    let checked = checked.expect("started");
    assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));

    let mut command = Command::new("prometheus");
    command.arg("--web.listen-address=127.0.0.1:0").args(["--config.file", "prometheus.yml"]);
    let prometheus = Process::start(command.args(["--storage.tsdb.path", "data"]), folder.path());
    let address = wait_for("where Prometheus listens", || {
        let said = prometheus.stderr();
        // From then on it answers.
        said.contains("Server is ready to receive web requests").then_some(())?;
        let rest = said.split("msg=\"Listening on\" address=").nth(1)?;
        rest.split_whitespace().next()?.parse().ok()
    });
    let query = |expression: &str| {
        let bytes = expression.bytes();
        let encoded: String = bytes.map(|byte| format!("%{byte:02x}")).collect();
        let mut connection = Connection::to(address);
        let request = format!("GET /api/v1/query?query={encoded} HTTP/1.0\r\nHost: {address}\r\n\r\n");
        connection.say(request.as_bytes());
        let said = String::from_utf8(connection.rest()).expect("text");
        let body = said.split_once("\r\n\r\n").expect("a body").1;
        let json: serde_json::Value =
            serde_json::from_str(body).unwrap_or_else(|why| panic!("{why}: {said}"));
        assert_eq!(json["status"], "success", "{expression}: {said}");
        json["data"]["result"].as_array().expect("a result").clone()
    };
    let value = |expression: &str| {
        Some(query(expression).first()?["value"][1].as_str()?.to_owned()).filter(|text| text != "NaN")
    };

    assert_eq!(ask(&servers[3], "PUT /v1/clients/kiwi", "", r#"{"lat":1,"lon":2}"#).status, 200);
    wait_for("five servers that know the client", || {
        (value("sum(herd_clients{job=\"herd\"})")? == "5").then_some(())
    });
    assert_eq!(value("sum(up{job=\"herd\"})").as_deref(), Some("5"));
    let puts = "herd_commands_total{server=\"Welsh\",command=\"put\",result=\"done\"}";
    assert_eq!(value(puts).as_deref(), Some("1"));
    for (name, expression) in expressions_of_alerts().into_iter().chain(expressions_of_dashboard()) {
        query(&expression);
        for metric in metrics_in(&expression) {
            assert!(value(&metric).is_some(), "{name}: there is no {metric}");
        }
    }
    // A server that is gone is told.
    let mut servers = servers;
    servers.remove(0).stop();
    wait_for("four of five", || (value("sum(up{job=\"herd\"})")? == "4").then_some(()));
    wait_for("an alert that is on its way", || {
        let pending = "ALERTS{alertname=\"HerdServerDown\",server=\"Goloman\"}";
        value(pending)
    });
}
