//! `herdctl` against real servers, and against ones that hang or close: what it says, and the status it ends with.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::OFlags;
use serde_json::Value;

use crate::harness::{
    Client, GOLOMAN_AND_HANDS, HERD, Herd, ONE_LINK, Process, folder_with, free_address, solo, wait_for,
    write_secret,
};

/// What a run of herdctl came to.
#[derive(Debug)]
pub struct Said {
    pub status: Option<i32>,
    pub out: String,
    pub err: String,
}

/// herdctl by its name, without variables of whoever runs the tests.
pub fn herdctl(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(HERD);
    command.arg0("/usr/bin/herdctl").args(arguments).current_dir(folder);
    for name in ["HERD_CONFIG", "HERD_HOST", "HERD_SERVER"] {
        command.env_remove(name);
    }
    command
}

/// Runs it with this on its stdin.
pub fn fed(mut command: Command, stdin: &[u8]) -> Said {
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("started");
    let mut input = child.stdin.take().expect("piped");
    let said = std::thread::scope(|scope| {
        scope.spawn(move || drop(input.write_all(stdin)));
        child.wait_with_output().expect("ended")
    });
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Said { status: said.status.code(), out: text(said.stdout), err: text(said.stderr) }
}

pub fn ctl(folder: &Path, arguments: &[&str]) -> Said {
    fed(herdctl(folder, arguments), b"")
}

pub fn objects(said: &Said) -> Vec<Value> {
    said.out.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{said:?}"))).collect()
}

#[test]
fn a_position_is_told_asked_for_and_listed() {
    let (folder, server) = solo("");
    let said = |arguments: &[&str]| {
        ctl(folder.path(), &[&["--host", &server.address.to_string()], arguments].concat())
    };
    let told = said(&["at", "kiwi", "-34.5,118", "1520023934.9"]);
    assert_eq!(told.status, Some(0), "{told:?}");
    assert!(
        told.out.starts_with("AT Goloman +") && told.out.ends_with(" kiwi -34.5+118 1520023934.9\n"),
        "{told:?}"
    );
    // Without a time it is now.
    let told = said(&["at", "kiwi", "-34.5+118", "--json"]);
    let [object] = &objects(&told)[..] else { panic!("{told:?}") };
    assert_eq!(
        (&object["client"], &object["latitude"], &object["origin"]),
        (&"kiwi".into(), &(-34.5).into(), &"Goloman".into())
    );
    assert!(
        object["difference"].as_str().is_some_and(|apart| apart.len() < "+10.123456789".len()),
        "{told:?}"
    );
    let near = said(&["near", "-34.4,118", "50", "5"]);
    assert!(
        near.status == Some(0) && near.out.lines().count() == 1 && near.out.contains(" kiwi "),
        "{near:?}"
    );
    assert_eq!(said(&["near", "34,118"]).out, "");
    assert_eq!(
        (said(&["count"]).out.as_str(), said(&["count", "--json"]).out.contains(":1,")),
        ("1\n", true)
    );
    // No terminal: the JSON alone, as it came.
    let places = said(&["whatsat", "kiwi", "50", "3"]);
    assert!(
        serde_json::from_str::<Value>(&places.out).is_ok_and(|it| it["status"].is_string()),
        "{places:?}"
    );
    let whole = said(&["whatsat", "kiwi", "--json"]);
    assert!(objects(&whole)[0]["places"]["status"].is_string(), "{whole:?}");
    let unknown = said(&["whatsat", "moa"]);
    assert_eq!((unknown.status, unknown.out.as_str()), (Some(1), ""), "{unknown:?}");
    assert!(unknown.err.contains("does not know moa"), "{unknown:?}");
}

#[test]
fn what_no_server_takes_is_refused_before_one_is_asked() {
    // Nobody listens there.
    let folder = folder_with(&format!("[servers.A]\nlisten = \"{}\"\n", free_address()));
    for (arguments, hint) in [
        (&["at", "a b", "+1+1"][..], "white space"),
        (&["at", "a\nCOUNT", "+1+1"], "white space"),
        (&["at", "a", "1"], "latitude"),
        (&["at", "a", "91,1"], "latitude"),
        (&["at", "a", "+1+1", "soon"], "time"),
        (&["at", "a"], "LOCATION"),
        (&["at", "a", "+1+1", "1", "2"], "LOCATION"),
        (&["at", "-", "+1+1"], "stdin"),
        (&["whatsat", "a", "51"], "50 km"),
        (&["near", "+1+1", "1", "2", "3"], "how many"),
        (&["watch", "a b"], "white space"),
        (&["count", "-s", "B"], "there are A"),
        (&["status", "--host", "127.0.0.1:1"], "neither --host"),
        (&["completions"], "bash"),
        (&["nonsense"], "herdctl --help"),
        (&[], "herdctl --help"),
    ] {
        let said = ctl(folder.path(), arguments);
        assert_eq!((said.status, said.out.as_str()), (Some(64), ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains(hint), "{arguments:?}: {said:?}");
    }
    for (variable, value) in [("HERD_HOST", "here"), ("HERD_SERVER", "B")] {
        let mut command = herdctl(folder.path(), &["count"]);
        command.env(variable, value);
        assert_eq!(fed(command, b"").status, Some(64), "{variable}");
    }
    assert_eq!(ctl(folder.path(), &["count"]).status, Some(69));
    assert_eq!(ctl(folder.path(), &["--config", "none", "count"]).status, Some(78));
    assert_eq!(ctl(folder.path(), &["--version"]).out, format!("herd {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn the_server_that_is_meant_is_asked_or_else_the_first_that_answers() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &[], "", &[]);
    let folder = herd.folder.path();
    let hands = herd.start("Hands");
    let origin = |said: &Said| objects(said)[0]["origin"].as_str().map(str::to_owned);
    let tell = ["at", "kiwi", "+1+1", "--json"];
    // Goloman is not there.
    assert_eq!(origin(&ctl(folder, &tell)).as_deref(), Some("Hands"));
    let goloman = herd.start("Goloman");
    assert_eq!(origin(&ctl(folder, &tell)).as_deref(), Some("Goloman"));
    assert_eq!(origin(&ctl(folder, &[&["-s", "Hands"], &tell[..]].concat())).as_deref(), Some("Hands"));
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = herdctl(Path::new("/"), arguments);
        command.envs(variables.iter().copied());
        fed(command, b"")
    };
    let (conf, at) = (folder.join("herd.conf"), hands.address.to_string());
    let conf = conf.to_str().expect("text");
    let by_variable = [("HERD_CONFIG", conf), ("HERD_SERVER", "Hands")];
    assert_eq!(origin(&with(&by_variable, &tell)).as_deref(), Some("Hands"));
    assert_eq!(origin(&with(&[("HERD_HOST", &at)], &tell)).as_deref(), Some("Hands"));
    // An argument counts before a variable.
    let host = ["--host", &goloman.address.to_string()];
    assert_eq!(origin(&with(&by_variable, &[&host, &tell[..]].concat())).as_deref(), Some("Goloman"));
    let server = ["-s", "Goloman", "--config", conf];
    assert_eq!(
        origin(&with(&[("HERD_HOST", &at)], &[&server, &tell[..]].concat())).as_deref(),
        Some("Goloman")
    );
    // Behind `herd`, too.
    let (status, out, _) = crate::harness::run(folder, &["ctl", "count", "-s", "Hands"]);
    assert_eq!((status, out.as_str()), (Some(0), "1\n"));
}

#[test]
fn lines_of_stdin_are_sent_without_waiting_and_each_refusal_is_told() {
    let (folder, server) = solo("");
    let at = server.address.to_string();
    let reports: String = (0..20_000).map(|number| format!("IAMAT c{number} +1+1 {number}\n\n")).collect();
    let sent = fed(herdctl(folder.path(), &["send", "--host", &at]), reports.as_bytes());
    assert_eq!((sent.status, sent.err.as_str()), (Some(0), "20000 replies, 0 refused\n"));
    let replies: Vec<_> = sent.out.lines().collect();
    assert_eq!(replies.len(), 20_000);
    assert!(replies[19_999].ends_with(" c19999 +1+1 19999"), "{}", replies[19_999]);
    let mixed = "NEAR +1+1 1 2\nhello\nWHATSAT c1 0 0\nWATCH\nCOUNT\nCOUNT all";
    let sent = fed(herdctl(folder.path(), &["send", "--host", &at]), mixed.as_bytes());
    assert_eq!(sent.status, Some(1), "{sent:?}");
    assert!(
        sent.err.contains("line 4 is not sent") && sent.err.ends_with("5 replies, 3 refused\n"),
        "{sent:?}"
    );
    assert!(
        sent.out.contains("\n\n? hello\nAT ") && sent.out.ends_with("\nCOUNT 20000\n? COUNT all\n"),
        "{sent:?}"
    );
    let sent = fed(herdctl(folder.path(), &["send", "--json", "--host", &at]), b"COUNT\nhello\n");
    let lines = objects(&sent);
    assert_eq!((&lines[0]["reply"][0], &lines[1]["refused"]), (&"COUNT 20000".into(), &"hello".into()));
    let told = fed(
        herdctl(folder.path(), &["at", "-", "--host", &at]),
        b"kiwi -34.5,118\nmoa +1+1 7\n\nemu here\nx\n",
    );
    assert_eq!((told.status, told.out.lines().count()), (Some(1), 2), "{told:?}");
    assert!(
        told.err.contains("line 4 ") && told.err.contains("line 5 ") && told.err.contains("2 refused"),
        "{told:?}"
    );
    let long = fed(herdctl(folder.path(), &["send", "--host", &at]), &[b'x'; 20_000]);
    assert!(long.status == Some(1) && long.err.contains("line 1 is not sent"), "{long:?}");
}

#[test]
fn a_line_is_sent_and_its_reply_printed_while_more_may_come() {
    let (folder, server) = solo("");
    let mut command = herdctl(folder.path(), &["send", "--host", &server.address.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = std::io::BufReader::new(child.stdout.take().expect("piped"));
    for _ in 0..3 {
        let mut line = String::new();
        stdin.write_all(b"COUNT\n\n").expect("taken");
        std::io::BufRead::read_line(&mut stdout, &mut line).expect("text");
        assert_eq!(line, "COUNT 0\n");
    }
    drop(stdin);
    assert!(wait_for("the end", || child.try_wait().expect("waited")).success());
}

#[test]
fn a_server_that_closes_after_each_reply_answers_questions_and_pings_and_not_many_lines() {
    let (folder, server) = solo("connections = \"one-shot\"");
    let at = server.address.to_string();
    assert_eq!(ctl(folder.path(), &["count", "--host", &at]).out, "0\n");
    let pinged = ctl(folder.path(), &["ping", "-c", "3", "-i", "1ms", "--host", &at]);
    assert!(pinged.status == Some(0) && pinged.out.contains("3 of 3 answered"), "{pinged:?}");
    let sent = fed(herdctl(folder.path(), &["send", "--host", &at]), b"COUNT\nCOUNT\n");
    assert_eq!((sent.status, sent.out.as_str()), (Some(69), "COUNT 0\n"), "{sent:?}");
    assert!(sent.err.contains("one-shot"), "{sent:?}");
}

#[test]
fn nobody_waits_for_a_server_that_is_silent_or_gone() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = silent.local_addr().expect("bound").to_string();
    let folder = tempfile::tempdir().expect("a folder");
    for arguments in [&["count"][..], &["at", "a", "+1+1"], &["ping", "-c", "1"], &["near", "+1+1"]] {
        let said = ctl(folder.path(), &[&["--timeout", "200ms", "--host", &at], arguments].concat());
        assert_eq!((said.status, said.out.as_str()), (Some(69), ""), "{said:?}");
        assert!(said.err.contains("says nothing for 0.2 s"), "{said:?}");
    }
    drop(silent);
    let said = ctl(folder.path(), &["count", "--host", &at]);
    // A process that another test starts at this moment may have the listener for an instant more.
    let is_gone = ["refused", "reset"].iter().any(|how| said.err.contains(how));
    assert!(said.status == Some(69) && is_gone, "{said:?}");
}

#[test]
fn what_talks_without_end_or_breaks_off_is_no_answer_and_takes_no_memory() {
    for (talk, hint) in [
        ("x".repeat(1 << 20), "longer than any reply"),
        ("AT A +0 x +1+1 1\n".repeat(1 << 18), "its reply is longer"),
    ] {
        let liar = TcpListener::bind("127.0.0.1:0").expect("bound");
        let at = liar.local_addr().expect("bound").to_string();
        let folder = tempfile::tempdir().expect("a folder");
        let process =
            Process::start(&mut herdctl(folder.path(), &["near", "+1+1", "--host", &at]), folder.path());
        let (mut stream, _) = liar.accept().expect("a question");
        while stream.write_all(talk.as_bytes()).is_ok() {
            // None once it has ended.
            assert!(process.resident_kb().is_none_or(|kb| kb < 100_000), "it keeps all of it");
        }
        let (status, _, err) = process.finish();
        assert!(status == Some(69) && err.contains(hint), "{err}");
    }
    let (folder, ended) =
        (tempfile::tempdir().expect("a folder"), TcpListener::bind("127.0.0.1:0").expect("bound"));
    let at = ended.local_addr().expect("bound").to_string();
    let process =
        Process::start(&mut herdctl(folder.path(), &["near", "+1+1", "--host", &at]), folder.path());
    let (mut stream, _) = ended.accept().expect("a question");
    stream.write_all(b"AT A +0 a +1+1 1\nAT").expect("said");
    drop(stream);
    let (status, out, err) = process.finish();
    assert!(status == Some(69) && out.is_empty(), "{out}{err}");
}

#[test]
fn where_nobody_reads_on_it_ends_quietly() {
    let (folder, server) = solo("");
    server.tell("kiwi");
    let link = folder.path().join("herdctl");
    std::os::unix::fs::symlink(HERD, &link).expect("linked");
    let at = server.address;
    // Only `send` says so: what it was for may not be done.
    for (shell, hint) in [
        (
            format!("yes COUNT | ./herdctl send --host {at} | head -n 1; exit ${{PIPESTATUS[1]}}"),
            "nobody reads them any more",
        ),
        (format!("./herdctl watch --host {at} | head -n 1; exit ${{PIPESTATUS[0]}}"), ""),
        ("./herdctl --help | true; exit ${PIPESTATUS[0]}".to_owned(), ""),
    ] {
        let mut command = Command::new("timeout");
        command.args(["20", "bash", "-c", &shell]).current_dir(folder.path());
        let mut process = Process::start(&mut command, folder.path());
        // News, by which `watch` finds out.
        let mut client = Client::connect(at);
        let mut time = 2;
        wait_for("the end", || {
            client.send(format!("IAMAT kiwi +1+1 {time}\n"));
            client.line();
            time += 1;
            process.child.try_wait().expect("waited")
        });
        let (status, out, err) = process.finish();
        assert!(status == Some(0) && err.contains(hint), "{shell}: {out}{err}");
        assert_eq!(err.is_empty(), hint.is_empty(), "{shell}: {out}{err}");
    }
}

#[test]
fn whoever_watches_is_told_what_is_there_and_what_comes() {
    let (folder, server) = solo("");
    let at = server.address.to_string();
    let there = server.tell("kiwi");
    let arguments = ["watch", "kiwi", "-n", "2", "--host", &at];
    let mut process = Process::start(&mut herdctl(folder.path(), &arguments), folder.path());
    assert_eq!(process.line(), there);
    server.tell("moa");
    let news = server.ask("IAMAT kiwi +2+2 2\n");
    assert_eq!(process.line(), news.trim_end());
    assert!(process.wait().success());
    let quiet = ctl(folder.path(), &["watch", "emu", "--for", "500ms", "--host", &at]);
    assert_eq!((quiet.status, quiet.out.as_str()), (Some(0), ""), "{quiet:?}");
    let few = ctl(folder.path(), &["watch", "-n", "9", "--for=500ms", "--json", "--host", &at]);
    let told = objects(&few);
    assert_eq!((few.status, told.len(), &told[2]["snapshot"]), (Some(1), 3, &"over".into()), "{few:?}");
    assert!(told.iter().all(|object| object["server"] == at.as_str()), "{few:?}");
    let process =
        Process::start(&mut herdctl(folder.path(), &["watch", "emu", "--host", &at]), folder.path());
    server.wait_for_log("WATCH emu");
    server.stop();
    let (status, _, err) = process.finish();
    assert!(status == Some(69) && err.contains("ended the connection"), "{err}");
}

#[test]
fn status_has_a_line_for_each_server_and_says_whether_all_is_well() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "secret_file = \"herd.key\"", &[]);
    let folder = herd.folder.path();
    write_secret(&folder.join("herd.key"), "a secret of the herd's own\n");
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    hands.wait_to_know("kiwi", &goloman.tell("kiwi"));
    let said =
        wait_for("all to be well", || Some(ctl(folder, &["status"])).filter(|said| said.status == Some(0)));
    let rows: Vec<Vec<_>> = said.out.lines().map(|line| line.split_whitespace().collect()).collect();
    let head =
        "server state clients digest links behind up for connections refused journal version herd.conf";
    assert_eq!(rows[0], head.split(' ').collect::<Vec<_>>());
    assert_eq!(
        (rows.len(), &rows[1][..3], &rows[1][4..6]),
        (3, &["Goloman", "up", "1"][..], &["1/1", "-"][..])
    );
    // For how long, in one or two words, and then its connections, what it refused, its journal, its version and its
    // herd.conf, which is ours.
    let behind = &rows[1][rows[1].len() - 5..];
    assert_eq!(&behind[1..4], &["0", "written", env!("CARGO_PKG_VERSION")], "{said:?}");
    assert!(behind[0].parse::<u32>().is_ok() && behind[4].len() == 8, "{said:?}");
    assert_eq!(rows[1][3], rows[2][3], "the digest");
    let one = ctl(folder, &["status", "Hands", "--json"]);
    let [object] = &objects(&one)[..] else { panic!("{one:?}") };
    assert_eq!((&object["server"], &object["links"][0]["neighbour"]), (&"Hands".into(), &"Goloman".into()));
    let state = &object["state"];
    assert_eq!((&state["server"], &state["journal"]), (&"Hands".into(), &"written".into()), "{one:?}");
    assert!(state["connections"].is_u64() && state["config"].is_string(), "{one:?}");
    assert_eq!((&object["same"], &object["ill"]), (&true.into(), &false.into()), "{one:?}");
    assert_eq!(
        (&object["config_here"], &object["notes"]),
        (&state["config"], &serde_json::json!([])),
        "{one:?}"
    );
    // By another herd.conf than the servers have.
    let text = std::fs::read_to_string(folder.join("herd.conf")).expect("text");
    std::fs::write(folder.join("other.conf"), format!("max_line = 128\n{text}")).expect("written");
    let other = ctl(folder, &["status", "Hands", "--json", "--config", "other.conf"]);
    let [object] = &objects(&other)[..] else { panic!("{other:?}") };
    let note = object["notes"][0].as_str().expect("a note");
    assert!(note.contains("it goes by another herd.conf") && object["config_here"].is_string(), "{other:?}");
    assert_ne!(object["config_here"], object["state"]["config"], "{other:?}");
    assert_eq!(ctl(folder, &["agree", "--wait", "10s"]).status, Some(0));
    let ticks = ctl(folder, &["top", "-c", "2", "-i", "50ms"]);
    assert!(ticks.status == Some(0) && !ticks.out.contains('\u{1b}'), "{ticks:?}");
    let heads = ticks
        .out
        .lines()
        .filter(|line| line.starts_with("server ") && line.contains(" clients/s  news/s "))
        .count();
    assert!(heads == 2 && ticks.out.contains(" +0.0 "), "{ticks:?}");
    let ticks = ctl(folder, &["top", "-c", "2", "-i", "50ms", "--json"]);
    let last = &objects(&ticks)[3];
    assert_eq!((&last["clients_per_s"], &last["news_per_s"]), (&0.0.into(), &0.0.into()), "{ticks:?}");
    // A client that is new between two ticks shows at both servers, and so does its record.
    let mut top = herdctl(folder, &["top", "-i", "100ms", "--json"]);
    let mut top = top.stdout(Stdio::piped()).spawn().expect("spawned");
    let mut lines = BufReader::new(top.stdout.take().expect("piped")).lines();
    lines.nth(1).expect("the first tick").expect("text");
    goloman.tell("kea");
    let of = |name| [(name, "clients_per_s"), (name, "news_per_s")];
    let mut due = [of("Goloman"), of("Hands")].concat();
    while !due.is_empty() {
        let line = lines.next().expect("a tick").expect("text");
        let object: Value = serde_json::from_str(&line).expect("JSON");
        let comes = |key: &str| object[key].as_f64().expect("a number") > 0.0;
        due.retain(|(name, key)| object["server"] != *name || !comes(key));
    }
    drop(lines);
    assert_eq!(top.wait().expect("it ends").code(), Some(0));
    hands.stop();
    goloman.wait_for_log("link to Hands is down");
    let said = ctl(folder, &["status"]);
    assert!(said.status == Some(1) && said.out.contains("Hands    down   -"), "{said:?}");
    let said = ctl(folder, &["status", "--json"]);
    assert_eq!((said.status, &objects(&said)[1]["up"]), (Some(1), &false.into()), "{said:?}");
    // Of one alone, too: its neighbour is down.
    assert_eq!(ctl(folder, &["status", "Goloman"]).status, Some(1));
    assert_eq!(ctl(folder, &["agree"]).status, Some(1));
    std::fs::remove_file(folder.join("herd.key")).expect("removed");
    assert_eq!(ctl(folder, &["status"]).status, Some(78));
}

#[test]
fn what_herd_does_by_options_it_does_by_subcommands() {
    let herd = Herd::new(
        &["Goloman"],
        &[],
        "http.tokens_file = \"herd.tokens\"\nhttp.listen = \"127.0.0.1:0\"",
        &[],
    );
    let folder = herd.folder.path();
    let made = ctl(folder, &["token", "anna", "read,write", "--client", "kiwi"]);
    assert!(made.status == Some(0) && made.out.trim().len() > 20, "{made:?}");
    assert_eq!(ctl(folder, &["token", "anna", "nonsense"]).status, Some(64));
    let tokens = std::fs::read_to_string(folder.join("herd.tokens")).expect("text");
    assert!(tokens.contains("anna") && tokens.contains("kiwi"), "{tokens}");
    // The same for scripts: the token and its settings alone, as stderr has what else is to be said.
    let made = ctl(folder, &["token", "bert", "read", "--json"]);
    let object = &objects(&made)[0];
    assert_eq!(
        (&object["name"], &object["scopes"], &object["client"]),
        (&"bert".into(), &"read".into(), &Value::Null)
    );
    assert!(object["token"].as_str().is_some_and(|token| token.len() > 20), "{made:?}");
    assert_eq!(object["file"].as_str().map(|file| folder.join(file)), Some(folder.join("herd.tokens")));
    let made = ctl(folder, &["phone", "cleo", "--json"]);
    let object = &objects(&made)[0];
    let token = object["token"].as_str().expect("a token");
    assert!(
        object["osmand"].as_str().is_some_and(|url| url.ends_with(&format!("&token={token}"))),
        "{made:?}"
    );
    assert!(
        object["owntracks"].as_str().is_some_and(|link| link.starts_with("owntracks:///config?")),
        "{made:?}"
    );
    let checked = ctl(folder, &["check", "--json"]);
    assert_eq!(objects(&checked)[0]["servers"], serde_json::json!(["Goloman"]), "{checked:?}");
    let checked = ctl(folder, &["check", "Goloman"]);
    assert!(checked.status == Some(0) && checked.out.contains("Goloman  127."), "{checked:?}");
    assert_eq!(ctl(folder, &["forget", "kiwi"]).status, Some(69));
    let goloman = herd.start("Goloman");
    goloman.tell("kiwi");
    let forgotten = ctl(folder, &["forget", "kiwi"]);
    assert!(forgotten.status == Some(0) && forgotten.out.contains("is forgotten"), "{forgotten:?}");
    assert_eq!(goloman.knows("kiwi"), None);
    let forgotten = ctl(folder, &["forget", "kea", "--json"]);
    let object = serde_json::json!({ "server": "Goloman", "client": "kea", "forgotten": true });
    assert_eq!(objects(&forgotten), [object], "{forgotten:?}");
}

#[test]
fn no_server_may_be_called_as_herdctl_is() {
    let folder = folder_with("[servers.ctl]\nlisten = \"127.0.0.1:0\"\n");
    let (status, _, err) = crate::harness::run(folder.path(), &["--check"]);
    assert!(status == Some(78) && err.contains("`herd ctl` is herdctl"), "{err}");
}

/// A terminal: the end at which somebody types and reads, and what opens the other end.
pub fn terminal() -> (OwnedFd, impl Fn() -> File) {
    use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("a terminal");
    grantpt(&terminal).and_then(|()| unlockpt(&terminal)).expect("unlocked");
    let name = ptsname(&terminal, Vec::new()).expect("a name").into_string().expect("text");
    let open = move || {
        let mut options = File::options();
        options.read(true).write(true).custom_flags(OFlags::NOCTTY.bits() as i32);
        options.open(&name).expect("its other end")
    };
    (terminal, open)
}

#[test]
fn what_a_server_says_does_nothing_to_a_terminal() {
    let (folder, server) = solo("");
    server.ask("IAMAT a\u{1b}[2Jb +1+1 1\n");
    let (terminal, open) = terminal();
    let stdout = open();
    let mut command = herdctl(folder.path(), &["near", "+1+1", "--host", &server.address.to_string()]);
    let mut child = command.stdout(stdout).spawn().expect("started");
    assert!(wait_for("the end", || child.try_wait().expect("waited")).success());
    let mut printed = [0; 512];
    let length = rustix::io::read(&terminal, &mut printed).expect("printed");
    let printed = String::from_utf8_lossy(&printed[..length]);
    assert!(printed.contains("a\\u{1b}[2Jb") && !printed.contains('\u{1b}'), "{printed:?}");
}

#[test]
fn a_key_ends_top_and_leaves_the_terminal_as_it_was() {
    use rustix::termios::tcgetattr;
    let herd = Herd::new(&["Goloman"], &[], "", &[]);
    let _goloman = herd.start("Goloman");
    for key in [b"q", b"\x03"] {
        let (terminal, open) = terminal();
        let end = open();
        let before = tcgetattr(&end).expect("a terminal").local_modes;
        let mut command = herdctl(herd.folder.path(), &["top", "-i", "1h"]);
        let mut child = command.stdin(open()).stdout(open()).env("TERM", "xterm").spawn().expect("started");
        let mut printed = String::new();
        while !printed.contains("q ends it") {
            let mut some = [0; 512];
            let length = rustix::io::read(&terminal, &mut some).expect("printed");
            printed += &String::from_utf8_lossy(&some[..length]);
        }
        assert!(printed.contains("Goloman  up "), "{printed:?}");
        rustix::io::write(&terminal, key).expect("typed");
        assert!(wait_for("the end", || child.try_wait().expect("waited")).success());
        assert_eq!(tcgetattr(&end).expect("a terminal").local_modes, before);
    }
}
