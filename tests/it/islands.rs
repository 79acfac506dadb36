//! Servers without a link between them, joined by a real engine.

use crate::harness::{Engine, Herd, Server, run, wait_for, write_secret};

const NAMES: [&str; 6] = ["East1", "East2", "East3", "West1", "West2", "West3"];
const EDGES: [(&str, &str); 4] =
    [("East1", "East2"), ("East2", "East3"), ("West1", "West2"), ("West2", "West3")];

/// What herd.conf says of an engine, at the end of its settings.
fn backbone(engine: &Engine) -> String {
    format!("[backbone]\nurls = [\"redis://{}\"]\n", engine.address())
}

/// Two islands of three servers each.
fn islands(engine: &Engine, settings: &str) -> Herd {
    Herd::new(&NAMES, &EDGES, &format!("{settings}\n{}", backbone(engine)), &[])
}

/// Two servers, each alone.
fn two(engine: &Engine, settings: &str) -> Herd {
    Herd::new(&["East", "West"], &[], &format!("{settings}\n{}", backbone(engine)), &[])
}

/// Waits until these are members in the engine.
fn wait_for_members(engine: &Engine, count: usize) {
    wait_for("members in the engine", || {
        (engine.count(&["HLEN", "herd:members"]) == count as u64).then_some(())
    });
}

/// Waits until the engine has so many records.
fn wait_for_held(engine: &Engine, count: u64) {
    wait_for("records in the engine", || {
        let held: u64 = (0..16).map(|part| engine.count(&["HLEN", &format!("herd:{{{part}}}:at")])).sum();
        (held == count).then_some(())
    });
}

/// Waits until all servers know the same.
fn wait_to_agree(herd: &Herd) {
    let (status, stdout, stderr) = run(herd.folder.path(), &["--agree", "--wait", "30s"]);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
}

/// How often the engine was told of records, and of how many entries its logs are.
fn published(engine: &Engine) -> (u64, u64) {
    let stats = engine.info("commandstats");
    let calls = stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls="));
    let calls =
        calls.and_then(|rest| rest.split(',').next()).map_or(0, |calls| calls.parse().expect("a number"));
    let entries = (0..16).map(|part| engine.count(&["XLEN", &format!("herd:{{{part}}}:log")])).sum();
    (calls, entries)
}

#[test]
fn islands_joined_by_an_engine_are_one_herd() {
    let Some(engine) = Engine::start() else { return };
    let herd = islands(&engine, "");
    let servers = herd.start_all();
    wait_for_members(&engine, servers.len());
    for round in 0..30 {
        let (at, client) = (&servers[round % servers.len()], format!("kiwi{round}"));
        let line = at.tell(&client);
        servers.iter().for_each(|server| server.wait_to_know(&client, &line));
    }
    wait_to_agree(&herd);
    assert_eq!(published(&engine), (30, 30), "each update is told once, by who heard it of its client");
}

#[test]
fn an_engine_that_dies_is_served_through_and_refilled() {
    let Some(mut engine) = Engine::start() else { return };
    let herd = two(&engine, "");
    let servers = herd.start_all();
    wait_for_members(&engine, 2);
    let tell = |server: &Server, client: &str| (client.to_owned(), server.tell(client));
    let before: Vec<_> =
        (0..50).map(|number| tell(&servers[number % 2], &format!("before{number}"))).collect();
    before
        .iter()
        .for_each(|(client, line)| servers.iter().for_each(|server| server.wait_to_know(client, line)));
    engine.kill();
    servers[0].wait_for_log("link to backbone:0 is down");
    // Without it all are answered at once.
    let meanwhile: Vec<_> =
        (0..50).map(|number| tell(&servers[number % 2], &format!("meanwhile{number}"))).collect();
    engine.restart();
    for (client, line) in before.iter().chain(&meanwhile) {
        servers.iter().for_each(|server| server.wait_to_know(client, line));
    }
    wait_for_held(&engine, 100);
    servers[0].wait_for_log("link to backbone:0 is up");
    wait_to_agree(&herd);
}

#[test]
fn an_engine_that_forgets_everything_is_told_again() {
    let Some(engine) = Engine::start() else { return };
    let herd = two(&engine, "");
    let servers = herd.start_all();
    wait_for_members(&engine, 2);
    let line = servers[0].tell("kiwi");
    servers[1].wait_to_know("kiwi", &line);
    // It has nothing to say, and nobody says anything to it.
    engine.ask(&["FLUSHALL"]);
    wait_for_held(&engine, 1);
    let line = servers[1].tell("plum");
    servers[0].wait_to_know("plum", &line);
}

#[test]
fn a_paused_engine_holds_up_nobody() {
    let Some(engine) = Engine::start() else { return };
    let herd = two(&engine, "");
    let servers = herd.start_all();
    wait_for_members(&engine, 2);
    let line = servers[0].tell("before");
    servers[1].wait_to_know("before", &line);
    engine.pause();
    let lines: Vec<_> = (0..100).map(|number| servers[number % 2].tell(&format!("kiwi{number}"))).collect();
    servers.iter().for_each(|server| _ = server.wait_for_log("it does not answer"));
    engine.go_on();
    for (number, line) in lines.iter().enumerate() {
        servers.iter().for_each(|server| server.wait_to_know(&format!("kiwi{number}"), line));
    }
    wait_to_agree(&herd);
}

#[test]
fn a_tail_that_was_away_too_long_reads_anew() {
    let Some(engine) = Engine::start() else { return };
    let herd = two(&engine, "");
    let (east, west) = (herd.start("East"), herd.start("West"));
    wait_for_members(&engine, 2);
    let line = east.tell("before");
    west.wait_to_know("before", &line);
    // It does not run for a while, in which all that the log has goes by.
    west.process.signal(rustix::process::Signal::STOP);
    let lines: Vec<_> =
        (0..200).map(|number| (format!("kiwi{number}"), east.tell(&format!("kiwi{number}")))).collect();
    wait_for_held(&engine, 201);
    (0..16).for_each(|part| _ = engine.ask(&["XTRIM", &format!("herd:{{{part}}}:log"), "MAXLEN", "0"]));
    west.process.signal(rustix::process::Signal::CONT);
    let one_more = east.tell("after");
    west.wait_to_know("after", &one_more);
    // A part of which nothing new came is still to say so.
    let mut round = 0;
    wait_for("all parts to be read anew", || {
        round += 1;
        let client = format!("more{round}");
        west.wait_to_know(&client, &east.tell(&client));
        lines.iter().all(|(client, line)| west.knows(client).as_ref() == Some(line)).then_some(())
    });
    west.wait_for_log("of the backbone is read anew");
    wait_to_agree(&herd);
}

#[test]
fn who_is_no_member_is_published_by_its_neighbours() {
    let Some(engine) = Engine::start() else { return };
    let tables = [("East2", "backbone = false")];
    let settings = backbone(&engine);
    let herd = Herd::new(&["East1", "East2", "West1"], &[("East1", "East2")], &settings, &tables);
    let servers = herd.start_all();
    wait_for_members(&engine, 2);
    let line = servers[1].tell("kiwi");
    servers.iter().for_each(|server| server.wait_to_know("kiwi", &line));
    let line = servers[2].tell("plum");
    servers.iter().for_each(|server| server.wait_to_know("plum", &line));
}

#[test]
fn an_engine_without_room_is_told_and_healed() {
    let Some(engine) = Engine::start() else { return };
    let herd = two(&engine, "");
    let servers = herd.start_all();
    wait_for_members(&engine, 2);
    let before = servers[0].tell("before");
    servers[1].wait_to_know("before", &before);
    engine.ask(&["CONFIG", "SET", "maxmemory", "1"]);
    let line = servers[0].tell("kiwi");
    servers[0].wait_for_log("OOM");
    assert_eq!(servers[1].knows("kiwi"), None);
    engine.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    servers[1].wait_to_know("kiwi", &line);
}

#[test]
fn a_server_stops_though_the_engine_never_answers() {
    let Some(engine) = Engine::start() else { return };
    let herd = two(&engine, "stop_timeout_s = 10");
    let server = herd.start("East");
    wait_for_members(&engine, 1);
    server.wait_for_log("link to backbone:0 is up");
    engine.pause();
    server.tell("kiwi");
    server.process.signal(rustix::process::Signal::TERM);
    // It says whether all that it had to say was said.
    assert!(server.wait().is_some(), "it ended by itself");
}

/// The rights that docs/backbone.md gives, with this password.
fn rights(password: &str) -> Vec<String> {
    let page = include_str!("../../docs/backbone.md");
    let (_, told) = page.split_once("ACL SETUSER ").expect("the rights");
    let (told, _) = told.split_once("```").expect("their end");
    let words = told.split_whitespace().map(|word| word.replace(">PASSWORD", &format!(">{password}")));
    ["ACL", "SETUSER"].map(str::to_owned).into_iter().chain(words).collect()
}

#[test]
fn the_engine_is_used_with_no_more_rights_than_told() {
    let Some(engine) = Engine::start() else { return };
    let rights = rights("secret");
    engine.ask(&rights.iter().map(String::as_str).collect::<Vec<_>>());
    let settings = format!("{}user = \"herd\"\npassword_file = \"engine.key\"\n", backbone(&engine));
    let herd = Herd::new(&["East", "West"], &[], &settings, &[]);
    let key = herd.folder.path().join("engine.key");
    write_secret(&key, "wrong\n");
    let east = herd.start("East");
    east.wait_for_log("it does not take backbone.user");
    assert_eq!(east.stop(), Some(0));
    write_secret(&key, "secret\n");
    let servers = herd.start_all();
    wait_for_members(&engine, 2);
    // A time that is too far ahead, and the right one after it, take every script there is.
    let far = servers[0].ask("IAMAT kiwi +1+1 99999999999\n");
    servers[1].wait_to_know("kiwi", far.trim_end());
    let right = servers[0].tell("kiwi");
    servers[1].wait_to_know("kiwi", &right);
    wait_for("the right one in the engine", || {
        let held = (0..16).map(|part| engine.ask(&["HGET", &format!("herd:{{{part}}}:at"), "kiwi"]));
        held.into_iter()
            .any(|held| held == redis::Value::BulkString(right.clone().into_bytes()))
            .then_some(())
    });
    assert!(!servers[0].log_text().contains("NOPERM"), "{}", servers[0].log_text());
}
