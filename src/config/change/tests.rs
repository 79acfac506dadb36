//! Unit tests: two herd.confs have the same number exactly if no server finds anything new between them.

use std::path::Path;

use super::*;

fn parse(path: &str, text: &str) -> Config {
    Config::parse(Path::new(path), text).unwrap_or_else(|why| panic!("{why}: {text}"))
}

/// Two neighbours and a third server, with lines at the top and in the tables.
fn herd(top: &str, ada: &str, bo: &str) -> String {
    format!(
        "{top}\n[servers.Ada]\nlisten = \"127.0.0.1:1\"\n{ada}\n[servers.Bo]\nlisten = \"127.0.0.1:2\"\n{bo}\n\
         [servers.Cy]\nlisten = \"127.0.0.1:3\"\n"
    )
}

/// What is new for the servers of both, each with its name.
fn news(old: &Config, new: &Config) -> Vec<String> {
    let mut all = Vec::new();
    for (at, server) in old.servers.iter().enumerate() {
        let Some(then) = new.find(&server.name) else { continue };
        let Change { live, restart } = Change::between((old, at), (new, then));
        all.extend(live.iter().chain(&restart).map(|what| format!("{}: {what}", server.name)));
    }
    all
}

#[test]
fn what_is_said_in_another_way_is_the_same() {
    let linked = "neighbours = [\"Bo\"]";
    let back = "neighbours = [\"Ada\"]";
    let door = "http.listen = \"127.0.0.1:8\"\nhttp.ready_after = \"60s\"";
    let also_door = "http = { ready_after = \"1m\", listen = \"127.0.0.1:8\" }";
    for (one, other) in [
        (herd("", "", ""), herd("# a comment\nmax_clients = 1000000\nsync = \"second\"", "", "")),
        (herd("forget_after = \"24h\"", "", ""), herd("forget_after = \"1d\"", "", "")),
        (herd("", linked, ""), herd("", "", back)),
        (herd("", linked, ""), herd("", linked, back)),
        (herd("", linked, ""), herd("", "neighbours = [\"Bo\", \"Bo\"]", "address = \"127.0.0.1:2\"")),
        (herd("", door, ""), herd("", also_door, "")),
        (herd("data_dir = \"data\"", "", ""), herd("data_dir = \"./data/\"", "", "")),
        (
            herd("places.provider = \"file\"\nplaces.path = \"a.csv\"", "", ""),
            herd("[places]\npath = [\"a.csv\"]\nprovider = \"file\"", "", ""),
        ),
        (
            herd("", "neighbours = [\"Bo\"]\nsecret_files = { Bo = \"pair.key\" }", ""),
            herd("", "", "neighbours = [\"Ada\"]\nsecret_files = { Ada = \"pair.key\" }"),
        ),
        (herd("", "", "plain = false\nrefill = true"), herd("insecure_neighbours = true", "", "")),
        (
            herd("", "", ""),
            "[servers.Cy]\nlisten = \"127.0.0.1:3\"\n[servers.Bo]\nlisten = \"127.0.0.1:2\"\n\
             [servers.Ada]\nlisten = \"127.0.0.1:1\"\n"
                .to_owned(),
        ),
    ] {
        let (one, other) = (parse("/etc/herd/herd.conf", &one), parse("herd.conf", &other));
        assert_eq!(news(&one, &other), [""; 0], "{}", other.text);
        assert_eq!(one.fingerprint(), other.fingerprint(), "{}", other.text);
    }
}

#[test]
fn what_is_new_is_said_in_words_of_herd_conf_and_has_another_number() {
    let old = herd("", "neighbours = [\"Bo\"]", "");
    let new = |top: &str| herd(top, "neighbours = [\"Bo\"]", "");
    let with = |ada: &str, bo: &str| herd("", &format!("neighbours = [\"Bo\"]\n{ada}"), bo);
    let web = "http.listen = \"127.0.0.1:8\"\n";
    let tiles = |url: &str| format!("map.tiles = \"https://a.example/{url}\"\nmap.attribution = \"A © B\"\n");
    for (old, new, expected) in [
        (&old, new("workers = 3"), "Ada: workers: one a core -> 3"),
        (&old, new("max_per_address = 3"), "Ada: max_per_address: a quarter of max_connections -> 3"),
        (&old, new("max_ahead = \"24h\""), "Ada: max_ahead: none -> 1d"),
        (&old, new("data_dir = \"\""), "Ada: data_dir: data -> none"),
        (&old, new("log_dir = \"/var/log\""), "Ada: log_dir: log -> /var/log"),
        (&old, new("sync = \"always\""), "Ada: sync: second -> always"),
        (&old, new("secret_file = \"herd.key\""), "Ada: secret_file: none -> herd.key"),
        (&old, new("places.provider = \"google-legacy\""), "Cy: places.provider: gazetteer -> google-legacy"),
        (&old, new("places.language = \"de\""), "Cy: places.language: none -> \"de\""),
        (&old, new("places.url = \"http://a/?key=s\""), "Ada: places.url: none -> a URL"),
        (
            &new("places.url = \"http://a/?key=s\""),
            new("places.url = \"http://a/?key=t\""),
            "Ada: places.url: a URL -> another",
        ),
        (&old, new("places.path = [\"a\", \"b,\"]"), "Ada: places.path: none -> [\"a\", \"b,\"]"),
        (
            &with(web, ""),
            with(&format!("{web}http.tokens_file = \"herd.tokens\""), ""),
            "Ada: http.tokens_file: none -> herd.tokens",
        ),
        (
            &with(web, ""),
            with(&format!("{web}http.names = [\"a.b\"]"), ""),
            "Ada: http.names: [] -> [\"a.b\"]",
        ),
        (&old, with(web, ""), "Ada: http.listen: none -> 127.0.0.1:8"),
        (
            &with(&tiles("{z}/{x}/{y}?key=s"), ""),
            with(&tiles("{z}/{x}/{y}?key=t"), ""),
            "Ada: map.tiles: tiles of https://a.example -> another",
        ),
        (&old, with(&tiles("{z}/{x}/{y}"), ""), "Ada: map.attribution: none -> \"A © B\""),
        (&old, with("", "address = \"b:9\""), "Ada: neighbour Bo: address: 127.0.0.1:2 -> b:9"),
        (
            &old,
            with("secret_files = { Bo = \"pair.key\" }", ""),
            "Bo: secret_files.Ada: secret_file -> pair.key",
        ),
        // Of those who are no neighbours, too.
        (&old, with("", "address = \"b:9\""), "Cy: server Bo: address: 127.0.0.1:2 -> b:9"),
        (&old, herd("", "", ""), "Cy: server Ada: neighbours: Bo -> nobody"),
        (
            &old,
            format!("{old}[servers.Di]\nlisten = \"127.0.0.1:4\"\n"),
            "Cy: server Di added, at 127.0.0.1:4",
        ),
        (&format!("{old}[servers.Di]\nlisten = \"127.0.0.1:4\"\n"), old.clone(), "Cy: server Di removed"),
    ] {
        // A name that nobody resolves is on another machine.
        let free = |text: &str| parse("/etc/herd/herd.conf", &format!("insecure_neighbours = true\n{text}"));
        let (old, new) = (free(old), free(&new));
        let news = news(&old, &new);
        assert!(news.iter().any(|said| said == expected), "{expected}: {news:#?}");
        assert!(!news.iter().any(|said| said.contains("Some(") || said.contains("None")), "{news:#?}");
        assert_ne!(old.fingerprint(), new.fingerprint(), "{expected}");
    }
}

#[test]
fn a_neighbour_of_others_is_told_once_and_many_are_counted() {
    let old = herd("", "neighbours = [\"Bo\"]", "");
    let more: String = (0..20)
        .map(|number| format!("[servers.N{number}]\nlisten = \"127.0.0.1:{}\"\n", 100 + number))
        .collect();
    let (old, new) = (parse("herd.conf", &old), parse("herd.conf", &format!("{old}{more}")));
    let change = Change::between((&old, 0), (&new, 0));
    assert_eq!(change.live.len(), OTHERS_SAID_MAX + 1);
    assert_eq!(change.live.last().map(String::as_str), Some("12 more of other servers"));
    // One that joins us is no news of its other neighbours.
    let joined =
        format!("{}[servers.Di]\nlisten = \"127.0.0.1:4\"\nneighbours = [\"Ada\", \"Bo\"]\n", old.text);
    let new = parse("herd.conf", &joined);
    let change = Change::between((&old, 0), (&new, 0));
    assert_eq!(change.live, ["neighbour Di added, at 127.0.0.1:4"]);
}

/// Versions of herd with the same keys, on whatever machine, have to agree: this is what they made of it at first.
#[test]
fn the_number_of_a_herd_conf_stays_what_it_is() {
    let text = include_str!("../../../herd.conf");
    let at = |path: &str| format!("{:016x}", parse(path, text).fingerprint());
    assert_eq!(at("/etc/herd/herd.conf"), at("herd.conf"));
    assert_eq!(at("herd.conf"), "106d396c1a674286");
}
