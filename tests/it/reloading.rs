//! A changed herd.conf is taken up by servers that go on serving, whole or not at all: `herdctl reload` and SIGHUP.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use herd::config::Config;
use rustix::process::Signal;

use crate::ctl::{Said, ctl};
use crate::harness::{
    Client, GOLOMAN_AND_HANDS, HANG, HERD, Herd, LinkEnd, ONE_LINK, Process, Server, folder_with,
    free_address, wait_for, write_secret,
};

fn write_conf(folder: &Path, text: &str) {
    fs::write(folder.join("herd.conf"), text).expect("written");
}

fn conf(folder: &Path) -> String {
    fs::read_to_string(folder.join("herd.conf")).expect("text")
}

fn reload(folder: &Path, name: &str) -> Said {
    ctl(folder, &["reload", name])
}

/// It is done, and this is new.
fn assert_done(said: &Said, news: &str) {
    assert_eq!(said.status, Some(0), "{news}: {said:?}");
    assert!(said.out.contains(news), "{news}: {said:?}");
}

/// Nothing is new, for this reason.
fn assert_kept(said: &Said, status: i32, why: &str) {
    assert_eq!(said.status, Some(status), "{why}: {said:?}");
    assert!(said.out.contains("kept: ") && said.out.contains(why), "{why}: {said:?}");
}

/// The reply to a line, on a connection that stays.
fn said(client: &mut Client, line: &str) -> String {
    client.send(line);
    client.text_line()
}

/// What becomes of a key.
enum Fate {
    Live,
    Restart,
    /// It is about what else the file may say.
    Again,
}

use Fate::{Again, Live, Restart};

/// Every key, with a value that is not the one below.
const KEYS: [(&str, &str, Fate); 71] = [
    ("workers", "3", Restart),
    ("max_connections", "77", Live),
    ("max_per_address", "7", Live),
    ("max_clients", "77", Live),
    ("max_line", "777", Live),
    ("idle_timeout_s", "78", Live),
    ("write_timeout_s", "7", Live),
    ("max_unsent", "70000", Live),
    ("max_unsent_total", "7000000", Live),
    ("stop_timeout_s", "7", Live),
    ("max_ahead", "\"7m\"", Live),
    ("connections", "\"one-shot\"", Live),
    ("secret_file", "\"other.key\"", Live),
    ("insecure_neighbours", "true", Again),
    ("data_dir", "\"elsewhere\"", Restart),
    ("sync", "\"never\"", Live),
    ("sync", "\"always\"", Restart),
    ("forget_after", "\"7d\"", Live),
    ("forgotten_for", "\"77d\"", Live),
    ("index", "false", Restart),
    ("log_dir", "\"elsewhere\"", Restart),
    ("log_level", "\"debug\"", Live),
    ("log_max_bytes", "7000000", Restart),
    ("log_keep", "7", Restart),
    ("places.provider", "\"file\"", Live),
    ("places.url", "\"http://127.0.0.1:7\"", Live),
    ("places.key_file", "\"places.key\"", Live),
    ("places.field_mask", "\"places.name\"", Live),
    ("places.path", "\"mine.csv\"", Live),
    ("places.also_gazetteer", "true", Live),
    ("places.language", "\"de\"", Live),
    ("places.connect_timeout_s", "7", Live),
    ("places.total_timeout_s", "7", Live),
    ("places.threads", "7", Live),
    ("places.queue", "7", Live),
    ("places.daily_budget", "7", Live),
    ("http.listen", "\"127.0.0.1:1\"", Restart),
    ("http.tls_cert", "\"tls.crt\"", Restart),
    ("http.tokens_file", "\"other.tokens\"", Live),
    ("http.names", "[\"herd.example\"]", Live),
    ("http.allow_origins", "[\"https://map.example\"]", Live),
    ("http.max_ahead", "\"7m\"", Live),
    ("http.ready_after", "\"7s\"", Live),
    ("http.insecure_http", "true", Again),
    ("map.tiles", "\"https://tiles.example/{z}/{x}/{y}.png\"", Live),
    ("map.attribution", "\"somebody\"", Live),
    ("backbone.urls", "[\"redis://127.0.0.1:7\"]", Restart),
    ("backbone.herd", "\"zoo\"", Restart),
    ("backbone.parts", "8", Restart),
    ("backbone.linger", "\"7ms\"", Restart),
    ("backbone.retain", "\"77s\"", Restart),
    ("backbone.timeout_s", "7", Restart),
    ("backbone.user", "\"ada\"", Restart),
    ("backbone.password_file", "\"engine.password\"", Restart),
    ("backbone.insecure_backbone", "true", Again),
    ("timing.greeting_ms", "7000", Restart),
    ("timing.heartbeat_ms", "7000", Restart),
    ("timing.compare_ms", "7000", Restart),
    ("timing.compare_busy_ms", "77000", Restart),
    ("timing.digest_wait_ms", "7000", Restart),
    ("timing.differ_ms", "77000", Restart),
    ("timing.compact_rest_ms", "77000", Restart),
    ("timing.silent_ms", "77000", Restart),
    ("timing.settle_ms", "7000", Restart),
    ("servers.Goloman.listen", "\"127.0.0.1:1\"", Restart),
    ("servers.Goloman.address", "\"127.0.0.1:8\"", Live),
    ("servers.Goloman.neighbours", "[]", Live),
    ("servers.Hands.plain", "true", Restart),
    ("servers.Goloman.secret_file", "\"other.key\"", Live),
    ("servers.Goloman.backbone", "false", Restart),
    ("servers.Hands.backbone", "false", Restart),
];

/// Keys that no line of a file says alone: `refill` is of a plain server, `tls_key` of a certificate, `secret_files` of
/// neighbours with a secret of their own.
const TRIED_ELSEWHERE: [&str; 3] = ["refill", "tls_key", "secret_files"];

/// A herd.conf in which one key has another value; what else that value needs is there.
fn with_key(key: &str, value: &str, address: &str, http: &str) -> String {
    let mut lines = vec![
        ("secret_file", "\"herd.key\"".to_owned()),
        // Where nobody listens.
        ("backbone.urls", "[\"redis://127.0.0.1:1\"]".to_owned()),
        ("servers.Goloman.listen", format!("{address:?}")),
        ("servers.Goloman.neighbours", "[\"Hands\"]".to_owned()),
        ("http.tokens_file", "\"herd.tokens\"".to_owned()),
        ("servers.Goloman.http.listen", format!("{http:?}")),
        ("servers.Hands.listen", "\"127.0.0.1:7\"".to_owned()),
        ("servers.Hands.address", "\"127.0.0.1:7\"".to_owned()),
    ];
    let also: &[(&str, &str)] = match key {
        "places.provider" => &[("places.path", "\"mine.csv\"")],
        "http.tls_cert" => &[("http.tls_key", "\"tls.key\"")],
        "map.tiles" => &[("map.attribution", "\"somebody\"")],
        "map.attribution" => &[("map.tiles", "\"https://tiles.example/{z}/{x}/{y}.png\"")],
        "backbone.user" => &[("backbone.password_file", "\"engine.password\"")],
        "servers.Hands.plain" => &[("insecure_neighbours", "true")],
        _ => &[],
    };
    let key = if key == "http.listen" { "servers.Goloman.http.listen" } else { key };
    for (key, value) in also.iter().chain([&(key, value)]) {
        lines.retain(|(known, _)| known != key);
        lines.push((key, (*value).to_owned()));
    }
    lines.iter().filter(|(key, _)| !key.is_empty()).map(|(key, value)| format!("{key} = {value}\n")).collect()
}

#[test]
fn every_key_is_taken_up_as_the_server_goes_on_or_refused_by_its_name() {
    let raw = include_str!("../../src/config/raw.rs");
    let keys: BTreeSet<_> = raw
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(": ").map(|(key, _)| key))
        .filter(|key| {
            !key.contains(' ') && !["span", "why", "places", "servers", "timing", "map", "http"].contains(key)
        })
        .collect();
    let tried: BTreeSet<_> =
        KEYS.iter().map(|(key, ..)| key.rsplit('.').next().unwrap_or(key)).chain(TRIED_ELSEWHERE).collect();
    assert_eq!(keys, tried);
    let (address, http) = (free_address().to_string(), free_address().to_string());
    let before = with_key("", "", &address, &http);
    let folder = folder_with(&before);
    for (file, text) in [
        ("herd.key", "0123456789abcdef0123456789abcdef"),
        ("other.key", "fedcba9876543210fedcba9876543210"),
        ("herd.tokens", ""),
        ("other.tokens", ""),
        ("places.key", "a key"),
        ("engine.password", "a password"),
    ] {
        write_secret(&folder.path().join(file), &format!("{text}\n"));
    }
    fs::write(folder.path().join("mine.csv"), "name,latitude,longitude\nHome,1,1\n").expect("written");
    let server = Server::start(folder.path(), "Goloman");
    for (key, value, fate) in &KEYS {
        let after = with_key(key, value, &address, &http);
        assert_ne!(after, before, "{key}");
        // What tells one herd.conf from another goes by the same.
        let number = |text: &str| Config::parse(Path::new("herd.conf"), text).expect("valid").fingerprint();
        assert_eq!(number(&after) == number(&before), matches!(fate, Again), "{key}");
        // By a signal, as what asks would go by a secret that the server does not have yet.
        let asked = |conf: &str| {
            write_conf(folder.path(), conf);
            reload_by_signal(&server)
        };
        let short =
            key.strip_prefix("servers.Goloman.").unwrap_or(key).rsplit("Hands.").next().unwrap_or(key);
        let said = asked(&after);
        match fate {
            Live => {
                let news = match *key {
                    "servers.Goloman.neighbours" => "neighbour Hands removed",
                    "map.tiles" | "map.attribution" => "map.tiles: none -> tiles of https://tiles.example",
                    _ => short,
                };
                assert!(said.contains("] reloaded: ") && said.contains(news), "{key}: {said}");
            }
            Restart => {
                assert!(said.contains("needs a restart: ") && said.contains(short), "{key}: {said}");
            }
            Again => assert!(said.contains("] reloaded: nothing is new"), "{key}: {said}"),
        }
        let back = asked(&before);
        assert!(back.contains("] reloaded: "), "{key}: {back}");
    }
    // The prompt hears the same.
    assert_done(&reload(folder.path(), "Goloman"), "nothing is new in herd.conf");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_is_taken_up_counts_at_once() {
    let (address, http) = (free_address().to_string(), free_address().to_string());
    let tables = format!("[servers.Goloman]\nlisten = \"{address}\"\nhttp.listen = \"{http}\"\n");
    let folder = folder_with(&tables);
    let server = Server::start(folder.path(), "Goloman");
    let take_up = |settings: &str, news: &str| {
        write_conf(folder.path(), &format!("{settings}\n{tables}"));
        assert_done(&reload(folder.path(), "Goloman"), news);
    };
    let get = |request: &str| {
        let mut stream = TcpStream::connect(&http).expect("connected");
        stream.set_read_timeout(Some(HANG)).expect("set");
        stream.write_all(format!("{request}\r\nConnection: close\r\n\r\n").as_bytes()).expect("sent");
        let mut reply = String::new();
        stream.read_to_string(&mut reply).expect("a reply");
        reply
    };
    server.tell("kiwi");
    let long = "IAMAT ".to_owned() + &"x".repeat(200) + " +1+1 1\n";
    assert!(server.ask(&long).starts_with("AT "));
    take_up("max_line = 128", "max_line: ");
    assert!(server.ask(&long).starts_with("? "));
    take_up("max_clients = 1", "max_clients: 1000000 -> 1");
    assert!(server.ask("IAMAT moa +1+1 1\n").starts_with("? "));
    take_up("max_ahead = \"10s\"", "max_ahead: none -> 10s");
    assert!(server.ask("IAMAT kiwi +1+1 9999999999\n").starts_with("? "));
    // Who is connected already is served by it, too.
    let mut client = server.client();
    assert!(said(&mut client, "IAMAT kiwi +1+1 2\n").starts_with("AT "));
    take_up("connections = \"one-shot\"", "connections: persistent -> one-shot");
    assert!(said(&mut client, "IAMAT kiwi +1+1 3\n").starts_with("AT "));
    assert!(client.is_ended(), "after one reply");
    let mut client = Client::connect(server.address);
    take_up("idle_timeout_s = 1", "idle_timeout_s: ");
    assert!(client.is_ended(), "as it was silent");
    take_up("max_per_address = 1", "max_per_address: ");
    take_up("log_level = \"warn\"", "log_level: info -> warn");
    server.tell("quiet");
    take_up("log_level = \"debug\"", "log_level: warn -> debug");
    server.tell("loud");
    let log = server.wait_for_log("IAMAT loud");
    assert!(!log.contains("IAMAT quiet"), "{log}");
    let of_elsewhere = "GET /v1/clients/kiwi HTTP/1.1\r\nHost: herd.example";
    assert!(get(of_elsewhere).starts_with("HTTP/1.1 403"), "{}", get(of_elsewhere));
    take_up("http.names = [\"herd.example\"]", "http.names: [] -> [\"herd.example\"]");
    assert!(get(of_elsewhere).starts_with("HTTP/1.1 200"), "{}", get(of_elsewhere));
    fs::write(folder.path().join("mine.csv"), "name,latitude,longitude\nNobody's Home,1,1\n")
        .expect("written");
    take_up("places.provider = \"file\"\nplaces.path = \"mine.csv\"", "places.provider: gazetteer -> file");
    assert!(server.ask("WHATSAT kiwi 1 1\n").contains("Nobody's Home"));
}

#[test]
fn a_client_is_forgotten_after_the_time_of_a_reload_and_stays_by_that_of_the_next() {
    let address = free_address();
    let with = |forget_after: &str| {
        format!("{forget_after}\ntiming.settle_ms = 10\n[servers.Goloman]\nlisten = \"{address}\"\n")
    };
    let folder = folder_with(&with(""));
    let server = Server::start(folder.path(), "Goloman");
    server.tell("kiwi");
    write_conf(folder.path(), &with("forget_after = \"1s\""));
    assert_done(&reload(folder.path(), "Goloman"), "forget_after: none -> 1s");
    wait_for("kiwi to be forgotten", || server.knows("kiwi").is_none().then_some(()));
    write_conf(folder.path(), &with(""));
    assert_done(&reload(folder.path(), "Goloman"), "forget_after: 1s -> none");
    server.ask("IAMAT moa +1+1 1\n");
    assert!(server.knows("moa").is_some());
}

#[test]
fn a_file_that_is_broken_or_needs_a_restart_changes_nothing_of_it() {
    let address = free_address().to_string();
    let table = format!("[servers.Goloman]\nlisten = \"{address}\"\n");
    let folder = folder_with(&table);
    let server = Server::start(folder.path(), "Goloman");
    // Each file has one thing that could be taken up, and one that cannot.
    for (settings, status, why) in [
        ("max_line = 128\nworkers = 3", 75, "needs a restart: workers: "),
        ("max_line = 128\nworkers = 3\ndata_dir = \"x\"\nindex = false", 75, "; index: true -> false"),
        ("max_line = 128\nplaces.provider = \"file\"\nplaces.path = \"none.csv\"", 78, "none.csv"),
        ("max_line = 128\nsecret_file = \"none.key\"", 78, "none.key"),
    ] {
        write_conf(folder.path(), &format!("{settings}\n{table}"));
        let said = reload_by_signal(&server);
        assert!(said.contains("not reloaded, keeping what there is: ") && said.contains(why), "{said}");
        if !settings.contains("secret") {
            assert_kept(&reload(folder.path(), "Goloman"), status, why);
        }
        assert!(server.ask(&("IAMAT ".to_owned() + &"x".repeat(200) + " +1+1 1\n")).starts_with("AT "));
    }
    write_conf(folder.path(), &format!("nonsense = 1\n{table}"));
    assert!(reload_by_signal(&server).contains("nonsense"));
    // Whoever asks cannot read it either.
    assert_eq!(reload(folder.path(), "Goloman").status, Some(78));
    write_conf(folder.path(), "[servers.Other]\nlisten = \"127.0.0.1:7\"\n");
    assert!(reload_by_signal(&server).contains("has no server Goloman any more"));
    write_conf(folder.path(), &table);
    assert_done(&reload(folder.path(), "Goloman"), "nothing is new");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(reload(folder.path(), "Goloman").status, Some(69));
}

#[test]
fn a_stream_of_events_goes_on_over_a_reload_of_other_things() {
    let tables =
        format!("[servers.Goloman]\nlisten = \"{}\"\nhttp.listen = \"{}\"\n", free_address(), free_address());
    let folder = folder_with(&tables);
    let server = Server::start(folder.path(), "Goloman");
    let mut stream = TcpStream::connect(server.http.expect("a door")).expect("connected");
    stream.set_read_timeout(Some(HANG)).expect("set");
    stream.write_all(b"GET /v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
    let mut said = String::new();
    let mut read_until = |wanted: &str| {
        while !said.contains(wanted) {
            let mut piece = [0; 4096];
            let count = stream.read(&mut piece).expect("events");
            assert!(count > 0, "it ended: {said}");
            said += &String::from_utf8_lossy(&piece[..count]);
        }
    };
    read_until("caught-up");
    write_conf(folder.path(), &format!("max_line = 1000\n{tables}"));
    assert_done(&reload(folder.path(), "Goloman"), "max_line: ");
    server.tell("kiwi");
    read_until("kiwi");
}

#[test]
fn a_file_of_places_that_is_broken_keeps_all_else_as_it_is() {
    let places = "places.provider = \"file\"\nplaces.path = \"mine.csv\"\n";
    let table = format!("[servers.Goloman]\nlisten = \"{}\"\n", free_address());
    let folder = folder_with(&format!("{places}{table}"));
    fs::write(folder.path().join("mine.csv"), "name,latitude,longitude\nHome,1,1\n").expect("written");
    let server = Server::start(folder.path(), "Goloman");
    fs::write(folder.path().join("mine.csv"), "name,latitude,longitude\nHome,north,1\n").expect("written");
    write_conf(folder.path(), &format!("max_line = 128\n{places}{table}"));
    assert_kept(&reload(folder.path(), "Goloman"), 78, "mine.csv");
    assert!(server.ask(&("IAMAT ".to_owned() + &"x".repeat(200) + " +1+1 1\n")).starts_with("AT "));
    server.tell("kiwi");
    assert!(server.ask("WHATSAT kiwi 1 1\n").contains("Home"));
}

fn reload_by_signal(server: &Server) -> String {
    let before = server.log_text().matches("reloaded").count();
    server.process.signal(Signal::HUP);
    wait_for("the answer in the log", || {
        let text = server.log_text();
        (text.matches("reloaded").count() > before)
            .then(|| text.lines().rfind(|line| line.contains("reloaded")).map(str::to_owned))
            .flatten()
    })
}

#[test]
fn a_sixth_server_joins_five_under_load_and_leaves_again_and_nothing_is_lost() {
    let names = ["A", "B", "C", "D", "E"];
    let herd = Herd::new(&names, &[("A", "B"), ("B", "C"), ("C", "D"), ("D", "E")], "", &[]);
    let servers = herd.start_all();
    let pids: Vec<_> = servers.iter().map(|server| server.process.pid()).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let loads: Vec<_> = servers
        .iter()
        .map(|server| {
            let (over, address, name) = (is_over.clone(), server.address, server.name.clone());
            std::thread::spawn(move || {
                let (mut client, mut number) = (Client::connect(address), 0);
                while !over.load(Ordering::SeqCst) {
                    number += 1;
                    let reply = said(&mut client, &format!("IAMAT {name}-{number} +1+1 1\n"));
                    assert!(reply.starts_with("AT "), "{reply}");
                }
                number
            })
        })
        .collect();
    let five = conf(herd.folder.path());
    let sixth = free_address();
    write_conf(
        herd.folder.path(),
        &format!("{five}[servers.F]\nlisten = \"{sixth}\"\nneighbours = [\"A\", \"E\"]\n"),
    );
    let joined = Server::start(herd.folder.path(), "F");
    let said = ctl(herd.folder.path(), &["reload"]);
    assert_done(&said, "A: neighbour F added, at ");
    assert_done(&said, "E: neighbour F added, at ");
    // It hears of what comes, by both ways.
    wait_for("news at F", || (joined.knows("A-1").is_some() && joined.knows("E-1").is_some()).then_some(()));
    let status = ctl(herd.folder.path(), &["status"]);
    assert!(!status.out.contains("another herd.conf"), "{status:?}");
    is_over.store(true, Ordering::SeqCst);
    let counts: Vec<usize> = loads.into_iter().map(|load| load.join().expect("each was answered")).collect();
    let agreed = ctl(herd.folder.path(), &["agree", "--wait", "20s"]);
    assert_eq!(agreed.status, Some(0), "{agreed:?}");
    let total: usize = counts.iter().sum();
    assert_eq!(joined.ask("COUNT\n"), format!("COUNT {total}\n"));
    let now: Vec<_> = servers.iter().map(|server| server.process.pid()).collect();
    assert_eq!(now, pids, "nobody was restarted");
    // It leaves again: its neighbours take nothing from it any more, nor does it hear of them.
    write_conf(herd.folder.path(), &five);
    assert_done(&ctl(herd.folder.path(), &["reload"]), "A: neighbour F removed");
    servers[0]
        .wait_for_log("which calls itself F: our herd.conf, as this server last read it, names no such");
    joined.tell("alone");
    servers[1].wait_to_know("together", &servers[0].tell("together"));
    assert_eq!((joined.knows("together"), servers[0].knows("alone")), (None, None));
    // And comes back with what it heard meanwhile.
    write_conf(
        herd.folder.path(),
        &format!("{five}[servers.F]\nlisten = \"{sixth}\"\nneighbours = [\"A\", \"E\"]\n"),
    );
    assert_done(&ctl(herd.folder.path(), &["reload"]), "A: neighbour F added, at ");
    wait_for("F to be heard again", || {
        (servers[2].knows("alone").is_some() && joined.knows("together").is_some()).then_some(())
    });
}

#[test]
fn what_is_told_after_a_neighbour_was_added_goes_to_it() {
    // No heartbeat, and so no silence either, has the link come up anew and read what it lacks.
    let settings = "timing.heartbeat_ms = 600000\ntiming.compare_ms = 3600000";
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &[], settings, &[]);
    let [goloman, hands] = <[Server; 2]>::try_from(herd.start_all()).unwrap_or_else(|_| panic!("two"));
    let before = goloman.tell("before");
    let linked =
        format!("{}neighbours = [\"Goloman\"]\n", conf(herd.folder.path()).replace("neighbours = []\n", ""));
    write_conf(herd.folder.path(), &linked);
    assert_done(&ctl(herd.folder.path(), &["reload"]), "neighbour Hands added");
    hands.wait_to_know("before", &before);
    for number in 0..5 {
        let client = format!("after-{number}");
        hands.wait_to_know(&client, &goloman.tell(&client));
        goloman.wait_to_know(&format!("back-{number}"), &hands.tell(&format!("back-{number}")));
    }
}

#[test]
fn a_neighbour_that_moves_is_dialled_where_it_is() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let [goloman, hands] = <[Server; 2]>::try_from(herd.start_all()).unwrap_or_else(|_| panic!("two"));
    hands.wait_to_know("kiwi", &goloman.tell("kiwi"));
    assert_eq!(hands.stop(), Some(0));
    let moved = free_address();
    let old = herd.address("Hands").to_string();
    write_conf(herd.folder.path(), &conf(herd.folder.path()).replace(&old, &moved.to_string()));
    let hands = herd.start("Hands");
    assert_eq!(hands.address, moved);
    let moa = goloman.tell("moa");
    let said = reload(herd.folder.path(), "Goloman");
    assert_done(&said, &format!("neighbour Hands: address: {old} -> {moved}"));
    hands.wait_to_know("moa", &moa);
    goloman.wait_to_know("weka", &hands.tell("weka"));
}

#[test]
fn only_who_runs_the_herd_orders_a_server_about() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "secret_file = \"herd.key\"", &[]);
    write_secret(&herd.folder.path().join("herd.key"), "0123456789abcdef0123456789abcdef\n");
    let goloman = herd.start("Goloman");
    assert_done(&reload(herd.folder.path(), "Goloman"), "nothing is new");
    for order in ["RELOAD", "UPGRADE", "HOW"] {
        assert_eq!(goloman.ask(&format!("{order}\n")), format!("? {order}\n"), "a client has no say");
    }
    write_secret(&herd.folder.path().join("herd.key"), "another one, that is not the server's\n");
    let said = reload(herd.folder.path(), "Goloman");
    assert_ne!(said.status, Some(0), "{said:?}");
    let log = goloman.wait_for_log("orders: Reload");
    assert_eq!(log.matches("orders: Reload").count(), 1, "{log}");
    // A secret that is new in the file is read by whoever still goes by the old one.
    let both = "another one, that is not the server's\n0123456789abcdef0123456789abcdef\n";
    write_secret(&herd.folder.path().join("herd.key"), both);
    assert_done(&reload(herd.folder.path(), "Goloman"), "nothing is new");
    write_secret(&herd.folder.path().join("herd.key"), "another one, that is not the server's\n");
    assert_done(&reload(herd.folder.path(), "Goloman"), "nothing is new");
    // Without a secret a neighbour has none either.
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let goloman = herd.start("Goloman");
    let mut link = LinkEnd::of(Client::connect_from(herd.ip("Hands"), goloman.address).stream);
    link.say("HERD 1 Hands 0000000000000001 00000000000000000000000000000002 0000000000000003\n");
    assert!(link.line().starts_with("HERD 1 Goloman "));
    link.say("PROOF -\nRELOAD\n");
    assert_eq!([link.line(), link.line()], ["? RELOAD\n", "DENIED turn\n"]);
}

#[test]
fn an_upgrade_by_herdctl_returns_when_the_next_program_answers() {
    let address = free_address();
    let folder = folder_with(&format!("[servers.Goloman]\nlisten = \"{address}\"\n"));
    let server = Server::start(folder.path(), "Goloman");
    let line = server.tell("kiwi");
    let pid = server.process.pid();
    let said = ctl(folder.path(), &["upgrade", "Goloman"]);
    assert_done(&said, "Goloman: becomes ");
    assert_eq!(server.knows("kiwi"), Some(line));
    assert_eq!(server.process.pid(), pid);
    assert_eq!(ctl(folder.path(), &["upgrade"]).status, Some(64), "a name, or --all");
    // What the next program would refuse is said, and nobody is stopped.
    write_conf(
        folder.path(),
        &format!("data_dir = \"/dev/null/x\"\n[servers.Goloman]\nlisten = \"{address}\"\n"),
    );
    let said = ctl(folder.path(), &["upgrade", "Goloman"]);
    assert_kept(&said, 75, "");
    assert!(server.knows("kiwi").is_some());
}

#[test]
fn a_whole_herd_starts_the_servers_that_are_new_in_its_file() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let mut process = Process::start(&mut Command::new(HERD), herd.folder.path());
    process.lines_until("WHATSAT");
    let line = Client::connect(herd.address("Goloman")).say("IAMAT kiwi +1+1 1\n");
    let wilkes = free_address();
    let two = conf(herd.folder.path());
    write_conf(herd.folder.path(), &format!("nonsense = 1\n{two}"));
    process.signal(Signal::HUP);
    wait_for("the reason on stderr", || process.stderr().contains("nonsense").then_some(()));
    write_conf(
        herd.folder.path(),
        &format!("{two}[servers.Wilkes]\nlisten = \"{wilkes}\"\nneighbours = [\"Hands\"]\n"),
    );
    process.signal(Signal::HUP);
    wait_for("Wilkes to know", || {
        let reply =
            TcpStream::connect(wilkes).is_ok().then(|| Client::connect(wilkes).say("WHATSAT kiwi 0 0\n"));
        (reply?.lines().next() == line.lines().next()).then_some(())
    });
    assert!(process.stderr().contains("herd: starts Wilkes, as herd.conf has it"), "{}", process.stderr());
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    assert!(TcpStream::connect(wilkes).is_err(), "it stops with the others");
}
