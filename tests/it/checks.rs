//! `herd --check` tells what a start would meet, and leaves nothing behind.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::geteuid;

use crate::harness::{HERD, Herd, Process, Server, folder_with, free_address, run, write_secret};

const GOLOMAN: &str = "[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

/// What is in a folder besides herd.conf and what the harness keeps there.
fn left_in(folder: &Path) -> Vec<String> {
    let files = fs::read_dir(folder).expect("read").map(|file| file.expect("a file").file_name());
    let names = files.map(|name| name.to_string_lossy().into_owned());
    names.filter(|name| name != "herd.conf" && !name.starts_with("stderr-")).collect()
}

/// Runs `--check` and wants this status, and these words in what it says.
fn check(folder: &Path, arguments: &[&str], status: i32, hints: &[&str]) {
    let (code, stdout, stderr) = run(folder, &[&["--check"], arguments].concat());
    assert_eq!(code, Some(status), "{arguments:?}: {stdout}{stderr}");
    hints
        .iter()
        .for_each(|hint| assert!(format!("{stdout}{stderr}").contains(hint), "{hint}: {stdout}{stderr}"));
}

#[test]
fn a_check_of_what_is_in_order_leaves_nothing_behind() {
    let folder = folder_with(&format!("data_dir = \"a/b/c\"\n{GOLOMAN}"));
    check(folder.path(), &[], 0, &["Goloman"]);
    check(folder.path(), &["Goloman"], 0, &["Goloman"]);
    assert_eq!(left_in(folder.path()), Vec::<String>::new());
}

#[test]
fn a_check_shows_where_http_is_and_what_closes_phones_connections() {
    let hands = "[servers.Hands]\nlisten = \"127.0.0.1:0\"\n";
    let folder = folder_with(&format!("idle_timeout_s = 60\n{GOLOMAN}http.listen = \"[::1]:0\"\n{hands}"));
    check(
        folder.path(),
        &[],
        0,
        &[
            "server   listens on   HTTP at         talks with",
            "Goloman  127.0.0.1:0  http://[::1]:0  nobody",
            "Hands    127.0.0.1:0  -               nobody",
            "idle_timeout_s = 60 closes connections that phones keep: set 300 or more",
        ],
    );
}

#[test]
fn a_check_of_a_server_that_runs_tells_its_own_port_for_http_from_another_s() {
    let other = TcpListener::bind("127.0.0.1:0").expect("bound");
    let taken = other.local_addr().expect("bound");
    for settings in ["", "data_dir = \"\""] {
        let own = free_address();
        let herd =
            Herd::new(&["Goloman"], &[], settings, &[("Goloman", &format!("http.listen = \"{own}\""))]);
        let folder = herd.folder.path();
        let _goloman = herd.start("Goloman");
        check(folder, &["Goloman"], 0, &["Goloman runs already"]);
        let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
        write_secret(&folder.join("tokens"), "");
        let beyond = "192.0.2.1:7".to_owned();
        for (listen, why) in [(taken.to_string(), "Address already in use"), (beyond, "no interface")] {
            let listens = format!("{listen}\"\nhttp.insecure_http = true\nhttp.tokens_file = \"tokens");
            fs::write(folder.join("next.conf"), conf.replace(&own.to_string(), &listens)).expect("written");
            let said = format!("Goloman: http: cannot listen on {listen}");
            check(folder, &["--config", "next.conf", "Goloman"], 71, &[&said, why]);
        }
    }
}

#[test]
fn a_check_tells_a_port_that_somebody_else_has_and_that_the_herd_runs() {
    for settings in ["", "data_dir = \"\"", "secret_file = \"key\"", "max_connections = 1"] {
        let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], settings, &[]);
        let folder = herd.folder.path();
        write_secret(&folder.join("key"), "a secret of the herd's\n");
        check(folder, &[], 0, &[]);
        let goloman = herd.start("Goloman");
        // One that has all its connections cannot say who it is.
        let held = (settings == "max_connections = 1").then(|| goloman.client());
        check(folder, &[], 0, &["Goloman runs already"]);
        check(folder, &["Goloman"], 0, &["Goloman runs already"]);
        let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
        if held.is_none() {
            // Its next herd.conf may have it keep its journal elsewhere.
            fs::write(
                folder.join("next.conf"),
                format!("data_dir = \"elsewhere\"\n{}", conf.replace("data_dir", "#")),
            )
            .expect("written");
            check(folder, &["--config", "next.conf"], 0, &["Goloman runs already"]);
        }
        // And another server may have its address, with a journal of another folder.
        let swapped = conf.replace("Goloman", "X").replace("Hands", "Goloman").replace('X', "Hands");
        let other = folder_with(&swapped);
        write_secret(&other.path().join("key"), "a secret of the herd's\n");
        let at = herd.address("Goloman").to_string();
        check(other.path(), &[], 71, &[&format!("Hands: cannot listen on {at}"), "does not answer as Hands"]);
        drop(goloman);
        check(folder, &[], 0, &[]);
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = taken.local_addr().expect("bound").to_string();
    let folder = folder_with(&format!("[servers.Goloman]\nlisten = \"{at}\"\n"));
    std::thread::scope(|scope| {
        // It hangs up on everybody, the test's own end at last.
        scope.spawn(|| {
            while taken
                .accept()
                .is_ok_and(|(stream, _)| std::io::Read::read(&mut &stream, &mut [0; 4]).is_ok_and(|n| n != 3))
            {
            }
        });
        check(
            folder.path(),
            &[],
            71,
            &[&format!("cannot listen on {at}"), "in use", "does not answer as Goloman"],
        );
        let mut last = std::net::TcpStream::connect(&at).expect("connected");
        std::io::Write::write_all(&mut last, b"end").expect("sent");
    });
}

#[test]
fn a_check_of_a_herd_on_several_machines_looks_after_those_that_are_here() {
    let folder = folder_with(&format!("{GOLOMAN}[servers.Hands]\nlisten = \"192.0.2.55:7000\"\n"));
    check(folder.path(), &[], 0, &["Hands is not on this machine"]);
    check(folder.path(), &["Goloman"], 0, &[]);
    check(folder.path(), &["Hands"], 71, &["Hands: cannot listen on 192.0.2.55:7000", "no interface"]);
}

#[test]
fn a_check_tells_a_folder_in_which_the_start_could_not_write() {
    for (key, path) in
        [("data_dir", "file"), ("data_dir", "file/a/b"), ("log_dir", "file"), ("log_dir", "file/a")]
    {
        let folder = folder_with(&format!("{key} = {path:?}\n{GOLOMAN}"));
        fs::write(folder.path().join("file"), "").expect("written");
        check(folder.path(), &[], 71, &["Goloman: ", &format!("{key}: file is no folder")]);
        assert_eq!(left_in(folder.path()), ["file"]);
    }
    for key in ["data_dir", "log_dir"] {
        let folder = folder_with(&format!("{key} = \"disk/x\"\n{GOLOMAN}"));
        fs::create_dir(folder.path().join("disk")).expect("created");
        let script = format!("mount -t tmpfs -o ro none disk || exit 1; echo mounted; exec {HERD} --check");
        let mut process =
            Process::start(Command::new("unshare").args(["-rm", "sh", "-c", &script]), folder.path());
        if process.line() != "mounted" {
            eprintln!(
                "not tested here: a disk that cannot be written; this machine does not allow mounts (unshare -rm)"
            );
            return;
        }
        let (code, _, stderr) = process.finish();
        assert_eq!(code, Some(71), "{stderr}");
        assert!(stderr.contains(&format!("{key}: cannot write in disk: Read-only file system")), "{stderr}");
    }
}

#[test]
fn a_check_tells_what_belongs_to_another_user() {
    let folder = folder_with(GOLOMAN);
    let path = folder.path();
    // Files of root's are what a start by sudo leaves behind; one who is not root can only shut himself out.
    let as_nobody = |command: &mut Command| {
        if geteuid().is_root() {
            command.uid(65_534).gid(65_534);
        }
    };
    fs::set_permissions(path, fs::Permissions::from_mode(0o777)).expect("set");
    let herd = |argument: &str| {
        let mut command = Command::new(HERD);
        as_nobody(command.arg(argument));
        command.current_dir(path).output()
    };
    if !herd("--version").is_ok_and(|done| done.status.success()) {
        eprintln!("not tested here: folders of another user; nobody may not run {HERD}");
        return;
    }
    let check = |hint: &str| {
        let done = herd("--check").expect("run");
        let stderr = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(if hint.is_empty() { 0 } else { 71 }), "{stderr}");
        assert!(stderr.contains(hint), "{hint}: {stderr}");
    };
    check("");
    assert_eq!(Server::start(path, "Goloman").stop(), Some(0));
    let set = |file: &str, mode: u32| {
        fs::set_permissions(path.join(file), fs::Permissions::from_mode(mode)).expect("set");
    };
    // The way to them, and what is no matter here.
    set("data", 0o755);
    set("data/Goloman/00000001.journal", 0o644);
    for (file, without, with, hint) in [
        ("data/Goloman", 0o555, 0o777, "data_dir: cannot write in data/Goloman"),
        ("data/Goloman/lock", 0o444, 0o666, "data_dir: cannot write data/Goloman/lock"),
        ("log", 0o555, 0o777, "log_dir: cannot write in log"),
        ("log/Goloman.log", 0o444, 0o666, "log_dir: cannot write log/Goloman.log"),
    ] {
        for open in ["data/Goloman", "log"] {
            set(open, 0o777);
        }
        for open in ["data/Goloman/lock", "log/Goloman.log"] {
            set(open, 0o666);
        }
        set(file, without);
        check(hint);
        set(file, with);
        check("");
    }
    let segments =
        fs::read_dir(path.join("data/Goloman")).expect("read").map(|file| file.expect("a file").path());
    let segment = segments.into_iter().find(|path| !path.ends_with("lock")).expect("a segment");
    fs::set_permissions(&segment, fs::Permissions::from_mode(0o200)).expect("set");
    check("data_dir: cannot read data/Goloman/");
}

#[test]
fn a_check_asks_all_who_are_mute_at_the_same_time_and_tells_of_them_in_order() {
    let mute: Vec<_> = (0..10).map(|_| TcpListener::bind("127.0.0.1:0").expect("bound")).collect();
    let servers = mute.iter().enumerate().map(|(number, listener)| {
        let at = listener.local_addr().expect("bound");
        format!("[servers.S{number}]\nlisten = \"{at}\"\n")
    });
    let folder = folder_with(&servers.collect::<String>());
    let begun = Instant::now();
    let (status, _, stderr) = run(folder.path(), &["--check"]);
    let took = begun.elapsed();
    assert_eq!(status, Some(71), "{stderr}");
    let told: Vec<_> = (0..10).map(|number| stderr.find(&format!("S{number}: cannot listen"))).collect();
    assert!(told.iter().all(Option::is_some) && told.is_sorted(), "{stderr}");
    assert!(took < Duration::from_secs(10), "one after another they take 20 s: {took:?}");
}

#[test]
fn a_check_names_the_parts_of_a_herd_that_nobody_connects() {
    let conf = |edges: &[(&str, &str)]| Herd::new(&["A", "B", "C", "D"], edges, "", &[]);
    let apart = conf(&[("B", "C"), ("C", "D")]);
    check(apart.folder.path(), &[], 0, &["warning: this herd falls into 2 parts", ": A | B, C, D;"]);
    check(apart.folder.path(), &["A"], 0, &[": A | B, C, D;"]);
    let whole = conf(&[("B", "C"), ("C", "D"), ("D", "A")]);
    let (status, stdout, _) = run(whole.folder.path(), &["--check"]);
    assert!(status == Some(0) && !stdout.contains("parts"), "{stdout}");
}

#[test]
fn a_check_shows_the_engine_and_reads_its_password() {
    let engine = "[backbone]\nurls = [\"redis://127.0.0.1:1\"]\npassword_file = \"engine.password\"\n";
    let hands = "[servers.Hands]\nlisten = \"127.0.0.1:0\"\nbackbone = false\n";
    let folder = folder_with(&format!("{engine}{GOLOMAN}{hands}"));
    let file = folder.path().join("engine.password");
    for who in [&[][..], &["Goloman"]] {
        check(folder.path(), who, 78, &["herd.conf:3: password_file ", "engine.password: No such file"]);
    }
    // Whoever does not speak with the engine needs no password.
    check(
        folder.path(),
        &["Hands"],
        0,
        &["backbone of Goloman: engine redis://127.0.0.1:1, keys of herd, 16 parts"],
    );
    write_secret(&file, "hush\n");
    check(folder.path(), &[], 0, &["backbone of Goloman: ", "falls into 2 parts"]);
    let (_, stdout, stderr) = run(folder.path(), &["--check"]);
    assert!(!format!("{stdout}{stderr}").contains("hush"), "{stdout}{stderr}");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).expect("set");
    check(folder.path(), &[], 78, &["herd.conf:3: password_file ", "mode 0644"]);
    // Both speak with it: nobody is left out.
    let joined = folder_with(&format!(
        "backbone.urls = [\"redis://localhost\"]\n{GOLOMAN}{}",
        hands.replace("false", "true")
    ));
    let (status, stdout, _) = run(joined.path(), &["--check"]);
    assert_eq!(status, Some(0), "{stdout}");
    assert!(stdout.contains("\nbackbone: engine redis://localhost:6379, keys of herd, 16 parts"), "{stdout}");
    assert!(!stdout.contains("falls into"), "{stdout}");
}

#[test]
fn a_check_tells_what_memory_the_limits_allow() {
    let settings = "max_clients = 1000000\nmax_unsent_total = 50000000\nmax_connections = 1000\n";
    let herd = Herd::new(&["A", "B", "C"], &[("A", "B"), ("A", "C")], settings, &[]);
    for (who, links) in [(&[][..], "2 neighbours that"), (&["B"][..], "1 neighbour that")] {
        let most = if who.is_empty() { "memory of A at most" } else { "memory of B at most" };
        check(
            herd.folder.path(),
            who,
            0,
            &[
                most,
                "program          15 MB",
                "156 MB",
                "forgotten       156 MB",
                "index            24 MB",
                " 50 MB",
                " 17 MB",
                "feed            157 MB",
                links,
                "in all",
            ],
        );
        check(herd.folder.path(), who, 0, &["long lines     9480 MB"]);
    }
    let plain = folder_with(&format!("max_clients = 1000000\nindex = false\n{GOLOMAN}"));
    check(plain.path(), &[], 0, &["index             0 MB"]);
    let web = "max_clients = 1000000\nmax_connections = 1000\n";
    let web = folder_with(&format!("{web}{GOLOMAN}\nhttp.listen = \"127.0.0.1:0\""));
    check(web.path(), &[], 0, &["requests         82 MB", "batches          68 MB"]);
    let boundless = folder_with(&format!("max_clients = 0\n{GOLOMAN}"));
    check(boundless.path(), &[], 0, &["clients       no bound", "in all        no bound"]);
    // The one that takes most is shown, by its name, and not the one with most neighbours.
    let doors = Herd::new(&["A", "B", "C"], &[("A", "B"), ("A", "C")], "max_connections = 1000", &[]);
    let conf = doors.folder.path().join("herd.conf");
    let text = fs::read_to_string(&conf).expect("read");
    let with_door = text.replace("[servers.B]\n", "[servers.B]\nhttp.listen = \"127.0.0.1:0\"\n");
    fs::write(&conf, with_door).expect("written");
    check(doors.folder.path(), &[], 0, &["memory of B at most", "requests         82 MB", "of 3 servers"]);
    // Scripts get bytes, of each server.
    let said = crate::ctl::ctl(doors.folder.path(), &["check", "--json"]);
    let object: serde_json::Value = serde_json::from_str(&said.out).expect("JSON");
    let memory = object["memory"].as_array().expect("a list");
    assert_eq!(memory.iter().map(|of| &of["server"]).collect::<Vec<_>>(), ["A", "B", "C"], "{said:?}");
    for of in memory {
        let parts = of["parts"].as_array().expect("parts");
        let sum: u64 = parts.iter().map(|part| part["bytes"].as_u64().expect("bytes")).sum();
        assert_eq!(of["bytes"].as_u64(), Some(sum), "{of}");
    }
    let own = folder_with(&format!("places.provider = \"file\"\nplaces.path = \"mine.csv\"\n{GOLOMAN}"));
    let rows: String = (0..30_000).map(|number| format!("Place {number},1,1\n")).collect();
    fs::write(own.path().join("mine.csv"), format!("name,latitude,longitude\n{rows}")).expect("written");
    check(own.path(), &[], 0, &["places            3 MB  files of places as they are now"]);
}
