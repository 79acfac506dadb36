//! Unit tests: a herd.conf with an engine, right and wrong.

#![cfg(feature = "backbone")]

use std::path::Path;

use super::*;
use crate::config::{Change, Config};

const URLS: &str = "urls = [\"redis://127.0.0.1\"]";

/// A herd.conf with these lines in `[backbone]`, of a server with these in its table and one without any.
fn parse_with(lines: &str, of_ada: &str) -> Result<Config, String> {
    let text = format!(
        "[backbone]\n{lines}\n[servers.Ada]\nlisten = \"127.0.0.1:1\"\n{of_ada}\n[servers.Bo]\nlisten = \"127.0.0.1:2\"\n"
    );
    Config::parse(Path::new("etc/herd.conf"), &text).map_err(|why| why.to_string())
}

fn parse(lines: &str) -> Backbone {
    let config = parse_with(lines, "").unwrap_or_else(|why| panic!("{lines}: {why}"));
    config.backbone.unwrap_or_else(|| panic!("{lines}: there is none"))
}

fn urls(list: &str) -> Vec<String> {
    parse(&format!("urls = {list}\ninsecure_backbone = true")).urls.iter().map(ToString::to_string).collect()
}

/// It is refused at this line, in these words.
fn check(lines: &str, line: usize, hints: &[&str]) -> String {
    let why = parse_with(lines, "").map(|_| ()).expect_err(lines);
    assert!(why.starts_with(&format!("etc/herd.conf:{line}: ")), "{lines}: {why}");
    hints.iter().for_each(|hint| assert!(why.contains(hint), "{lines}: {hint}: {why}"));
    why
}

#[test]
fn an_engine_has_defaults_and_what_herd_conf_says() {
    let secret = |name: &str, line| SecretFile { path: Path::new("etc").join(name), line };
    assert_eq!(
        parse(URLS),
        Backbone {
            urls: vec![EngineUrl { at: HostPort { host: "127.0.0.1".into(), port: 6379 }, is_tls: false }],
            herd: "herd".into(),
            parts: 16,
            linger: Duration::from_millis(5),
            retain: Duration::from_secs(60),
            timeout: Duration::from_secs(2),
            user: None,
            password_file: None,
        }
    );
    let said = parse(
        "urls = [\"redis://localhost:7\"]\nherd = \"a_B-9\"\nparts = 256\nlinger = \"0ms\"\nretain = \"1h\"\n\
         timeout_s = 60\nuser = \"ada\"\npassword_file = \"engine.password\"",
    );
    let times = (said.linger, said.retain, said.timeout);
    assert_eq!((&*said.herd, said.parts), ("a_B-9", 256));
    assert_eq!(times, (Duration::ZERO, Duration::from_secs(3_600), Duration::from_secs(60)));
    assert_eq!(said.user.as_deref(), Some("ada"));
    assert_eq!(said.password_file, Some(secret("engine.password", 9)));
    assert_eq!(parse(&format!("{URLS}\nlinger = \"1s\"\nretain = \"10000ms\"")).linger.as_millis(), 1_000);
}

#[test]
fn a_url_is_a_host_and_a_port() {
    let list =
        "[\"redis://A.example\", \"redis://[::1]\", \"redis://[2001:db8::1]:7\", \"redis://10.0.0.1:65535\"]";
    let expected =
        ["redis://a.example:6379", "redis://[::1]:6379", "redis://[2001:db8::1]:7", "redis://10.0.0.1:65535"];
    assert_eq!(urls(list), expected);
    assert_eq!(urls("[\"redis://node1\"]"), ["redis://node1:6379"]);
    for (url, hint) in [
        ("redis://:hush@127.0.0.1:6379", "password_file = "),
        ("redis://ada:hush@127.0.0.1", "user = "),
        ("rediss://ada:hush@127.0.0.1", "password_file = "),
        ("redis://ada:hu/sh@127.0.0.1", "password_file = "),
        ("redis://127.0.0.1/0", "behind its port"),
        ("redis://127.0.0.1:6379/", "behind its port"),
        ("redis://127.0.0.1?password=hush", "behind its port"),
        ("redis://127.0.0.1#hush", "behind its port"),
        ("rediss://127.0.0.1:6379", "TLS to the engine is not built yet"),
        ("http://hush", "begin with redis://"),
        ("REDIS://hush", "begin with redis://"),
        ("hush:6379", "begin with redis://"),
        ("", "begin with redis://"),
        ("redis://", "without a host and port"),
        ("redis://:6379", "without a host and port"),
        ("redis://hush:", "without a host and port"),
        ("redis://hush:0", "without a host and port"),
        ("redis://hush:65536", "without a host and port"),
        ("redis://hush:no", "without a host and port"),
        ("redis://::1", "without a host and port"),
        ("redis://0.0.0.0:6379", "without a host and port"),
        ("redis://[::]", "without a host and port"),
        ("redis://hu sh", "without a host and port"),
        ("redis://hush,127.0.0.1", "without a host and port"),
        ("redis://127.1", "without a host and port"),
    ] {
        let why = check(&format!("urls = [\n\"redis://127.0.0.1\",\n{url:?}]"), 4, &[hint]);
        assert!(!why.contains("hush") && !why.contains("hu/sh"), "{why}");
    }
    let of = |count: usize| format!("urls = [{}]", vec!["\"redis://[::1]\""; count].join(", "));
    assert_eq!(parse(&of(64)).urls.len(), 64);
    check(&of(0), 2, &["has 0 URLs", "1 to 64"]);
    check(&of(65), 2, &["has 65 URLs", "1 to 64"]);
}

#[test]
fn an_engine_on_another_machine_is_allowed_by_a_key_of_its_own() {
    for local in ["127.0.0.1", "127.9.9.9:7", "[::1]:7", "localhost", "LOCALHOST:7"] {
        parse(&format!("urls = [\"redis://{local}\"]"));
    }
    for other in ["10.0.0.1", "[2001:db8::1]", "engine.example:7"] {
        let lines = format!("urls = [\"redis://127.0.0.1\", \"redis://{other}\"]");
        check(
            &lines,
            2,
            &[other, "on another machine", "insecure_backbone = true in [backbone]", "a tunnel"],
        );
        check(&format!("{lines}\ninsecure_backbone = false"), 2, &["on another machine"]);
        parse(&format!("{lines}\ninsecure_backbone = true"));
    }
}

#[test]
fn each_key_has_its_range() {
    for (line, hint) in [
        ("herd = \"\"", "1 to 64 letters"),
        ("herd = \"a:b\"", "is \"a:b\", but must be 1 to 64 letters"),
        ("herd = \"{a}\"", "1 to 64 letters"),
        ("herd = \"é\"", "1 to 64 letters"),
        ("parts = 0", "from 1 to 256"),
        ("parts = 257", "from 1 to 256"),
        ("parts = 12", "backbone.parts is 12, but must be a power of two"),
        ("linger = \"1001ms\"", "from \"0ms\" to \"1s\""),
        ("linger = \"2s\"", "from \"0ms\" to \"1s\""),
        ("linger = \"5\"", "from \"0ms\" to \"1s\""),
        ("linger = \"+5ms\"", "from \"0ms\" to \"1s\""),
        ("linger = \"ms\"", "from \"0ms\" to \"1s\""),
        ("linger = \"99999999999999999999ms\"", "from \"0ms\" to \"1s\""),
        ("linger = 5", "expected a text in quotes"),
        ("retain = \"9s\"", "from \"10s\" to \"1h\""),
        ("retain = \"61m\"", "from \"10s\" to \"1h\""),
        ("timeout_s = 0", "from 1 to 60"),
        ("timeout_s = 61", "from 1 to 60"),
        ("user = \"ada\"", "backbone.user needs backbone.password_file"),
        ("user = \"\"", "1 to 128 characters"),
        ("user = \"a b\"", "1 to 128 characters"),
        ("password_file = \"~/engine.password\"", "backbone.password_file is \"~/engine.password\""),
        ("password_file = \"\"", "names nothing"),
        ("uris = 1", "did you mean urls?"),
        ("password = \"hush\"", "did you mean password_file?"),
        ("workers = 3", "belongs above the first [table]"),
    ] {
        check(&format!("{URLS}\n{line}"), 3, &[hint]);
    }
    for line in [
        "urls = \"redis://:hush@a\"",
        "urls = redis://:hush@a",
        "urls = [redis://:hush@a]",
        "parts = \"redis://:hush@a\"",
    ] {
        let why = check(line, 2, &[""]);
        assert!(!why.contains("hush"), "{why}");
    }
    check("urls = \"redis://127.0.0.1\"", 2, &["urls: invalid type: a URL, expected a list"]);
    let why = Config::parse(Path::new("herd.conf"), "[backbones]\n").expect_err("no such table").to_string();
    assert!(why.contains("did you mean [backbone]?"), "{why}");
    let why = Config::parse(Path::new("herd.conf"), "backbone = true\n").expect_err("no table").to_string();
    assert!(why.contains("a table: [backbone] with urls"), "{why}");
}

#[test]
fn there_is_no_backbone_without_urls() {
    for lines in ["", "herd = \"zoo\"\nparts = 4\ninsecure_backbone = true"] {
        for of_ada in ["", "backbone = true", "backbone = false"] {
            let config = parse_with(lines, of_ada).expect("valid");
            assert_eq!(config.backbone, None);
            assert!(!config.servers.iter().any(|server| server.has_backbone));
            assert!(!config.to_string().contains("backbone"), "{config}");
        }
    }
}

#[test]
fn each_server_has_it_unless_its_table_says_otherwise_or_it_is_plain() {
    let has = |of_ada: &str| {
        let config = parse_with(URLS, of_ada).unwrap_or_else(|why| panic!("{why}"));
        let shown = config.to_string().lines().last().map(str::to_owned).unwrap_or_default();
        (config.servers[0].has_backbone, config.servers[1].has_backbone, shown)
    };
    let engine = "engine redis://127.0.0.1:6379, keys of herd, 16 parts";
    for (of_ada, expected, shown) in [
        ("", (true, true), "backbone: "),
        ("backbone = true", (true, true), "backbone: "),
        ("backbone = false", (false, true), "backbone of Bo: "),
        ("plain = true", (false, true), "backbone: "),
        ("plain = true\nbackbone = false", (false, true), "backbone: "),
    ] {
        assert_eq!(has(of_ada), (expected.0, expected.1, format!("{shown}{engine}")), "{of_ada}");
    }
    let why = parse_with(URLS, "plain = true\nbackbone = true").map(|_| ()).expect_err("plain");
    assert!(why.starts_with("etc/herd.conf:6: a plain server knows of no backbone"), "{why}");
    let why = parse_with(URLS, "backbone = 1").map(|_| ()).expect_err("a number");
    assert!(why.contains("expected true or false"), "{why}");
}

#[test]
fn what_is_shown_of_an_engine_has_neither_its_user_nor_its_file() {
    let lines = "urls = [\"redis://[::1]\", \"redis://localhost:7\"]\nherd = \"zoo\"\nparts = 1\nuser = \"ada\"\n\
                 password_file = \"hush\"";
    let shown = parse(lines).to_string();
    assert_eq!(shown, "engine redis://[::1]:6379 or redis://localhost:7, keys of zoo, 1 part");
}

#[test]
fn servers_of_the_engine_are_in_one_part_of_the_herd() {
    let parts = |lines: &str, of_ada: &str| parse_with(lines, of_ada).expect("valid").parts().len();
    assert_eq!(parts("", ""), 2);
    assert_eq!(parts(URLS, ""), 1);
    assert_eq!(parts(URLS, "backbone = false"), 2);
    assert_eq!(parts(URLS, "backbone = false\nneighbours = [\"Bo\"]"), 1);
}

#[test]
fn all_of_it_needs_a_restart_and_has_another_number() {
    let file = "password_file = \"engine.password\"";
    for (old, new, expected) in [
        ("", URLS, "backbone.urls: none -> [\"redis://127.0.0.1:6379\"]"),
        (URLS, "", "backbone.urls: [\"redis://127.0.0.1:6379\"] -> none"),
        (
            URLS,
            "urls = [\"redis://[::1]\"]",
            "backbone.urls: [\"redis://127.0.0.1:6379\"] -> [\"redis://[::1]:6379\"]",
        ),
        (URLS, &format!("{URLS}\nherd = \"zoo\""), "backbone.herd: \"herd\" -> \"zoo\""),
        (URLS, &format!("{URLS}\nparts = 4"), "backbone.parts: 16 -> 4"),
        (URLS, &format!("{URLS}\nlinger = \"1s\""), "backbone.linger: 5ms -> 1s"),
        (URLS, &format!("{URLS}\nlinger = \"0s\""), "backbone.linger: 5ms -> 0ms"),
        (URLS, &format!("{URLS}\nretain = \"10500ms\""), "backbone.retain: 1m -> 10500ms"),
        (URLS, &format!("{URLS}\ntimeout_s = 3"), "backbone.timeout_s: 2 -> 3"),
        (URLS, &format!("{URLS}\n{file}"), "backbone.password_file: none -> engine.password"),
        (
            &format!("{URLS}\n{file}"),
            &format!("{URLS}\n{file}\nuser = \"ada\""),
            "backbone.user: none -> \"ada\"",
        ),
    ] {
        let (old, new) = (parse_with(old, "").expect("valid"), parse_with(new, "").expect("valid"));
        let Change { live, restart } = Change::between((&old, 0), (&new, 0));
        assert_eq!((live, restart), (Vec::new(), vec![expected.to_owned()]));
        assert_ne!(old.fingerprint(), new.fingerprint(), "{expected}");
    }
    for same in [
        "urls = [\"redis://127.0.0.1:6379\"]",
        "urls = [\"redis://127.0.0.1\"]\ninsecure_backbone = true\nlinger = \"5ms\"\nretain = \"60000ms\"",
    ] {
        let (old, new) = (parse_with(URLS, "").expect("valid"), parse_with(same, "").expect("valid"));
        assert!(Change::between((&old, 0), (&new, 0)).is_none(), "{same}");
        assert_eq!(old.fingerprint(), new.fingerprint());
    }
}

#[test]
fn whether_a_server_has_it_needs_a_restart_of_every_server() {
    let with = |of_ada: &str| parse_with(URLS, of_ada).expect("valid");
    for linked in ["", "neighbours = [\"Bo\"]\n"] {
        let (old, new) = (with(linked), with(&format!("{linked}backbone = false")));
        let restart_of = |index| Change::between((&old, index), (&new, index)).restart;
        assert_eq!(restart_of(0), ["backbone: true -> false"]);
        assert_eq!(restart_of(1), ["server Ada: backbone: true -> false"]);
        assert_ne!(old.fingerprint(), new.fingerprint());
    }
    let none = |of_ada: &str| parse_with("", of_ada).expect("valid");
    assert!(Change::between((&none(""), 0), (&none("backbone = false"), 0)).is_none());
}
