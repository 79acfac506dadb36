//! `herdctl` where it could claim what is not so: against ports of others, servers that hang in the midst, input that comes
//! in pieces, output that goes nowhere, and arguments that name two things.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::completions::{flags_of_herd, subcommands};
use crate::ctl::{ctl, fed, herdctl, objects, terminal};
use crate::harness::{
    Client, GOLOMAN_AND_HANDS, HERD, Herd, ONE_LINK, Process, Server, folder_with, solo, wait_for,
    write_secret,
};

/// A port at which each connection, counted from 0, is talked with so. Its address.
fn fake(talk: impl Fn(TcpStream, usize) + Send + Sync + Clone + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for (number, stream) in listener.incoming().enumerate() {
            let (stream, talk) = (stream.expect("accepted"), talk.clone());
            std::thread::spawn(move || talk(stream, number));
        }
    });
    at
}

/// Reads a line, and forgets it.
fn hear(stream: &TcpStream) {
    let mut line = String::new();
    let _ = BufReader::new(stream).read_line(&mut line);
}

/// Says this to whoever has said a line, and then nothing.
fn says(text: &'static str) -> String {
    fake(move |mut stream, _| {
        hear(&stream);
        let _ = stream.write_all(text.as_bytes());
        let _ = stream.read(&mut [0; 1]);
    })
}

/// Until the other end closes.
fn hang(mut stream: TcpStream) {
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn what_no_herd_server_says_is_no_success() {
    let folder = tempfile::tempdir().expect("a folder");
    let http = "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
    let ssh = "SSH-2.0-OpenSSH_9.2\r\n";
    let other = "AT A +1.0 kiwi +1+1 1\n";
    let tell: &[&str] = &["at", "kiwi", "5,5", "7"];
    for (answer, arguments, stdin) in [
        (http, tell, ""),
        (ssh, &["at", "kiwi", "1,2", "--json"], ""),
        (other, tell, ""),
        ("COUNT 1\n", tell, ""),
        ("? IAMAT moa +1+1 1\n", tell, ""),
        (http, &["at", "-"], "kiwi 1,2 3\n"),
        (other, &["at", "-"], "kiwi 1,2 3\n"),
        (http, &["send"], "IAMAT kiwi +1+1 1\n"),
        (other, &["send"], "COUNT\n"),
        (other, &["send"], "hello\n"),
        (http, &["count"], ""),
        (http, &["near", "1,2"], ""),
        ("AT A +1.0 kiwi +1+1 1\n{\"a\":1}\n\n", &["near", "1,2", "--json"], ""),
        ("AT A +1.0 kiwi +1+1 1\n{not json\n\n", &["whatsat", "kiwi"], ""),
        ("AT A +1.0 moa +1+1 1\n{}\n\n", &["whatsat", "kiwi"], ""),
        (http, &["watch", "-n", "2"], ""),
        (ssh, &["watch", "--json"], ""),
    ] {
        let at = says(answer);
        let said = fed(herdctl(folder.path(), &[&["--host", &at], arguments].concat()), stdin.as_bytes());
        assert_eq!((said.status, said.out.as_str()), (Some(69), ""), "{arguments:?} {answer:?}: {said:?}");
        assert!(said.err.contains("none of a herd server"), "{arguments:?} {answer:?}: {said:?}");
    }
}

#[test]
fn a_line_that_comes_in_pieces_keeps_no_other_waiting() {
    let (folder, server) = solo("");
    let arguments = ["send", "--timeout", "2s", "--host", &server.address.to_string()];
    let mut command = herdctl(folder.path(), &arguments);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("started");
    let mut stdin = child.stdin.take().expect("piped");
    let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    stdin.write_all(b"COUNT\nCOU").expect("taken");
    // The first is said although the second is not there yet.
    stdout.read_line(&mut line).expect("text");
    assert_eq!(line, "COUNT 0\n");
    stdin.write_all(b"NT\n").expect("taken");
    stdout.read_line(&mut line).expect("text");
    assert_eq!(line, "COUNT 0\nCOUNT 0\n");
    drop(stdin);
    assert!(wait_for("the end", || child.try_wait().expect("waited")).success());
}

#[test]
fn a_line_that_is_too_long_is_told_and_the_others_are_sent() {
    let (folder, server) = solo("");
    let at = server.address.to_string();
    let long = "x".repeat(20_000);
    for (subcommand, before, behind) in
        [("send", "IAMAT q3 +1+1 1\n", "\nIAMAT q4 +1+1 1\n"), ("at -", "q5 1,1 1\n", "\nq6 1,1 1\n")]
    {
        let arguments: Vec<_> = subcommand.split(' ').chain(["--host", &at]).collect();
        let text = [before, &long, behind].concat();
        let said = fed(herdctl(folder.path(), &arguments), text.as_bytes());
        assert_eq!((said.status, said.out.lines().count()), (Some(1), 2), "{said:?}");
        assert!(said.err.contains("line 2 is not sent: it has more than 16384 bytes"), "{said:?}");
        assert!(said.err.ends_with("2 replies, 1 refused\n"), "{said:?}");
    }
    assert_eq!(server.ask("COUNT\n"), "COUNT 4\n");
    // What cannot be read to its end: what came before is sent, and it is said how far that went.
    let mut command = herdctl(folder.path(), &["send", "--host", &at]);
    let said = command.stdin(std::fs::File::open(folder.path()).expect("a folder")).output().expect("ended");
    let err = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(71), "{err}");
    assert!(err.contains("cannot read stdin") && err.contains("0 replies"), "{err}");
}

#[test]
fn whoever_sends_is_told_how_far_it_got() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = fake(|mut stream, _| {
        let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
        for _ in 0..3 {
            let _ = reader.read_line(&mut String::new());
            let _ = stream.write_all(b"COUNT 1\n");
        }
        let _ = stream.shutdown(std::net::Shutdown::Write);
        hang(stream);
    });
    let said = fed(herdctl(folder.path(), &["send", "--host", &at]), "COUNT\n".repeat(9).as_bytes());
    assert_eq!((said.status, said.out.lines().count()), (Some(69), 3), "{said:?}");
    assert!(said.err.contains("3 replies, 0 refused; what follows line 3 has to be sent again"), "{said:?}");
}

#[test]
fn a_line_of_servers_is_not_sent_and_shifts_no_reply() {
    // Without a secret the server takes an AT line, and has no reply to it.
    let (folder, server) = solo("");
    let text = "COUNT\nAT Ada +0.1 kiwi +1+1 5\nNEAR +1+1 1 0\nCOUNT\n";
    let arguments = ["send", "--json", "--host", &server.address.to_string()];
    let said = fed(herdctl(folder.path(), &arguments), text.as_bytes());
    let lines: Vec<_> = objects(&said).iter().map(|object| object["line"].as_u64()).collect();
    assert_eq!((said.status, &lines[..]), (Some(1), &[Some(1), Some(3), Some(4)][..]), "{said:?}");
    assert!(said.err.contains("line 2 is not sent"), "{said:?}");
}

#[test]
fn no_field_gets_into_another_and_two_servers_are_none() {
    let folder = folder_with(
        "http.tokens_file = \"herd.tokens\"\nhttp.listen = \"127.0.0.1:0\"\n[servers.A]\nlisten = \"127.0.0.1:1\"\n",
    );
    for (arguments, hint) in [
        (&["at", "inj +1+2", ""][..], "white space"),
        (&["at", "", "+1+2"], "white space"),
        (&["whatsat", "inj 5", ""], "white space"),
        (&["at", " kiwi ", "1,2"], "white space"),
        (&["at", "a\r", "1,2"], "white space"),
        (&["at", "a", "91,0"], "-90 to 90"),
        (&["at", "a", "1,2,3"], "LAT,LON"),
        (&["near", "1,181"], "-180 to 180"),
        (&["count", "--host", "127.0.0.1:1", "-s", "A"], "either -s"),
        (&["status", "A", "-s", "B"], "either A or -s B"),
        (&["agree", "-s", "A"], "no -s"),
        (&["top", "-s", "A"], "no -s"),
        (&["forget", "kiwi", "--host", "127.0.0.1:1"], "neither --host"),
        (&["check", "--host", "127.0.0.1:1"], "no --host"),
        (&["token", "a", "read", "--host", "127.0.0.1:1"], "no --host"),
        (&["token", "a", "read", "-s", "A"], "no -s"),
        (&["phone", "a", "--host", "127.0.0.1:1"], "no --host"),
        (&["watch", "--km", "5"], "--near"),
        (&["watch", "--near", "here"], "position"),
    ] {
        let said = ctl(folder.path(), arguments);
        assert_eq!((said.status, said.out.as_str()), (Some(64), ""), "{arguments:?}: {said:?}");
        assert!(said.err.contains(hint), "{arguments:?}: {said:?}");
    }
    assert!(!folder.path().join("herd.tokens").exists(), "a token was made");
    let with = |variables: &[(&str, &str)], arguments: &[&str]| {
        let mut command = herdctl(folder.path(), arguments);
        command.envs(variables.iter().copied());
        fed(command, b"").status
    };
    let host = ("HERD_HOST", "127.0.0.1:1");
    assert_eq!(with(&[host], &["forget", "kiwi"]), Some(64));
    assert_eq!(with(&[host, ("HERD_SERVER", "A")], &["count"]), Some(64));
    // Who asks nobody does not read them.
    for arguments in [&["version"][..], &["completions", "bash"], &["completions", "--names"]] {
        assert_eq!(with(&[("HERD_HOST", "garbage")], arguments), Some(0), "{arguments:?}");
    }
}

#[test]
fn forget_has_the_patience_that_it_is_told() {
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = silent.local_addr().expect("bound");
    let folder = folder_with(&format!("[servers.A]\nlisten = \"{at}\"\n"));
    let said = ctl(folder.path(), &["forget", "kiwi", "--timeout", "300ms"]);
    assert!(said.status == Some(69) && said.err.contains("nothing for 0.3 s"), "{said:?}");
}

#[test]
fn a_ping_that_hangs_counts_and_is_not_asked_again_elsewhere() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = fake(|mut stream, number| {
        let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
        for asked in 0.. {
            let mut line = String::new();
            if reader.read_line(&mut line).unwrap_or(0) == 0 {
                return;
            }
            if number == 0 && asked == 1 {
                return hang(stream);
            }
            let _ = stream.write_all(b"? PING\n");
        }
    });
    let arguments = ["ping", "-c", "3", "-i", "1ms", "--timeout", "500ms", "--host", &at];
    let said = ctl(folder.path(), &arguments);
    assert!(said.status == Some(1) && said.err.contains("2 of 3 answered"), "{said:?}");
    assert!(
        said.out.contains(": 1: ") && said.out.contains(": 3: ") && !said.out.contains(": 2: "),
        "{said:?}"
    );
    // Another server of the herd does not answer for one that has gone.
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let (goloman, _hands) = (herd.start("Goloman"), herd.start("Hands"));
    let mut process = Process::start(
        &mut herdctl(herd.folder.path(), &["ping", "-c", "9", "-i", "300ms"]),
        herd.folder.path(),
    );
    assert!(process.line().starts_with("Goloman "));
    goloman.process.signal(Signal::KILL);
    let (status, out, err) = process.finish();
    assert!(status == Some(1) && !out.contains("Hands"), "{out}{err}");
}

#[test]
fn whoever_watches_notices_that_a_server_hangs_or_that_nobody_reads() {
    let folder = tempfile::tempdir().expect("a folder");
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = silent.local_addr().expect("bound").to_string();
    for arguments in [&["watch"][..], &["watch", "--for", "3s"], &["watch", "--for", "100ms"]] {
        let said = ctl(folder.path(), &[&["--timeout", "300ms", "--host", &at], arguments].concat());
        assert!(
            said.status == Some(69) && said.err.contains("says nothing for 0."),
            "{arguments:?}: {said:?}"
        );
    }
    // One that has told all that is there, and then does not even say that there is no news; and one that does.
    let hangs = says("AT A +1.0 kiwi +1+1 1\n\n");
    let hung = Process::start(
        &mut herdctl(folder.path(), &["watch", "--timeout", "300ms", "--host", &hangs]),
        folder.path(),
    );
    let (_server_folder, server) = solo("");
    let link = folder.path().join("herdctl");
    std::os::unix::fs::symlink(HERD, &link).expect("linked");
    let shell = format!("./herdctl watch --host {} | true; exit ${{PIPESTATUS[0]}}", server.address);
    let mut command = std::process::Command::new("timeout");
    let unread = Process::start(command.args(["40", "bash", "-c", &shell]), folder.path());
    let (status, out, err) = hung.finish();
    assert_eq!((status, out.as_str()), (Some(69), "AT A +1.0 kiwi +1+1 1\n"), "{err}");
    assert!(err.contains("says nothing for 15.3 s"), "{err}");
    let (status, _, err) = unread.finish();
    assert_eq!((status, err.as_str()), (Some(0), ""));
}

#[test]
fn whoever_watches_an_area_is_told_who_comes_and_who_leaves() {
    let (folder, server) = solo("");
    server.ask("IAMAT far +50+8 1\n");
    server.ask("IAMAT kiwi +1+1 1\n");
    let at = server.address.to_string();
    let arguments = ["watch", "--near", "1,1", "--km", "20", "-n", "4", "--host", &at];
    let mut process = Process::start(&mut herdctl(folder.path(), &arguments), folder.path());
    assert!(process.line().ends_with(" kiwi +1+1 1"));
    for (report, is_told) in
        [("kiwi +1.01+1 2", true), ("kiwi +2+1 3", true), ("kiwi +3+1 4", false), ("far +1+1 2", true)]
    {
        server.ask(&format!("IAMAT {report}\n"));
        let line = if is_told { process.line() } else { format!(" {report}") };
        assert!(line.ends_with(&format!(" {report}")), "{line}: {report}");
    }
    assert!(process.wait().success());
}

/// Every command, each with what it needs.
const OF_HERDCTL: [&[&str]; 19] = [
    &["at", "kiwi", "+1+1"],
    &["whatsat", "kiwi"],
    &["near", "+1+1"],
    &["count"],
    &["send"],
    &["watch", "-n", "1"],
    &["ping", "-c", "1"],
    &["status"],
    &["agree"],
    &["top", "-c", "1"],
    &["reload"],
    &["upgrade", "A"],
    &["check"],
    &["token", "anna", "read"],
    &["phone", "bert"],
    &["forget", "moa"],
    &["completions", "bash"],
    &["version"],
    &["help", "at"],
];
const OF_HERD: [&[&str]; 9] = [
    &["--check"],
    &["--agree"],
    &["--explain", "COUNT"],
    &["--forget", "moa"],
    &["--new-token", "cleo", "read"],
    &["--phone", "dora"],
    &["--version"],
    &["--help"],
    &["help"],
];

#[test]
fn a_stdout_that_takes_nothing_is_told_once_and_a_token_that_is_lost_too() {
    let known: Vec<_> =
        subcommands().into_iter().map(|(name, _)| name).filter(|name| !name.is_empty()).collect();
    for name in known {
        assert!(OF_HERDCTL.iter().any(|arguments| arguments[0] == name), "{name} is not tried");
    }
    for flag in flags_of_herd().iter().filter(|flag| flag.starts_with("--")) {
        let is_tried = OF_HERD.iter().any(|arguments| arguments[0] == flag);
        assert!(
            is_tried || ["--config", "--wait", "--client"].contains(&flag.as_str()),
            "{flag} is not tried"
        );
    }
    let settings = "http.tokens_file = \"herd.tokens\"\nhttp.listen = \"127.0.0.1:0\"";
    let herd = Herd::new(&["A"], &[], settings, &[]);
    let folder = herd.folder.path();
    write_secret(&folder.join("herd.tokens"), "");
    std::fs::write(folder.join("lines"), "COUNT\n").expect("written");
    let a = herd.start("A");
    a.tell("kiwi");
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").expect("opened");
    let of_herd = |arguments: &[&str]| {
        let mut command = Command::new(HERD);
        command.args(arguments).current_dir(folder);
        command
    };
    let more = [
        &["--help"][..],
        &["at", "--help"],
        &["--json", "status"],
        &["--json", "check"],
        &["--json", "forget", "moa"],
    ];
    let ctl = OF_HERDCTL.iter().chain(&more).map(|arguments| (*arguments, herdctl(folder, arguments)));
    for (arguments, mut command) in
        ctl.chain(OF_HERD.iter().map(|arguments| (*arguments, of_herd(arguments))))
    {
        let lines = std::fs::File::open(folder.join("lines")).expect("opened");
        let said = command.stdin(lines).stdout(full()).output().expect("ended");
        let err = String::from_utf8_lossy(&said.stderr).into_owned();
        assert_eq!(said.status.code(), Some(71), "{arguments:?}: {err}");
        assert_eq!(err.matches("No space left on device").count(), 1, "{arguments:?}: {err}");
        let is_token = ["token", "phone", "--new-token", "--phone"].contains(&arguments[0]);
        let words = if is_token { "the token is lost" } else { "cannot write to stdout" };
        assert!(err.contains(words), "{arguments:?}: {err}");
    }
    assert_eq!(a.stop(), Some(0));
}

#[test]
fn a_herd_is_well_also_while_clients_report() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[]);
    let folder = herd.folder.path();
    let (goloman, _hands) = (herd.start("Goloman"), herd.start("Hands"));
    wait_for("all to be well", || (ctl(folder, &["status"]).status == Some(0)).then_some(()));
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut client = Client::connect(goloman.address);
            for number in 0.. {
                if is_over.load(std::sync::atomic::Ordering::SeqCst) {
                    return;
                }
                client.send(format!("IAMAT c{} +1+1 {number}\n", number % 500));
                client.line();
            }
        });
        let said: Vec<_> = (0..10).map(|_| ctl(folder, &["status"])).collect();
        is_over.store(true, std::sync::atomic::Ordering::SeqCst);
        let ill: Vec<_> = said.iter().filter(|said| said.status != Some(0)).collect();
        assert!(ill.is_empty(), "{ill:?}");
    });
}

#[test]
fn a_herd_that_cannot_keep_what_it_learns_is_not_well() {
    let folder = folder_with("[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n");
    let script = format!("ulimit -f 4; exec {HERD} Goloman");
    let mut command = std::process::Command::new("bash");
    let goloman = Server::start_by(command.args(["-c", &script]), folder.path(), "Goloman");
    // Its own herd.conf says port 0.
    let conf = format!("[servers.Goloman]\nlisten = \"{}\"\n", goloman.address);
    std::fs::write(folder.path().join("ask.conf"), conf).expect("written");
    let mut number = 0;
    let said = wait_for("a status that is not well", || {
        number += 1;
        goloman.ask(&format!("IAMAT {} +1+1 {number}\n", "x".repeat(3_000)));
        let said = ctl(folder.path(), &["status", "--config", "ask.conf"]);
        said.out.contains("the journal cannot be written").then_some(said)
    });
    assert_eq!(said.status, Some(1), "{said:?}");
}

#[test]
fn a_server_of_another_secret_is_refused_and_not_down() {
    let herd = Herd::new(&["Goloman"], &[], "secret_file = \"herd.key\"", &[]);
    let folder = herd.folder.path();
    write_secret(&folder.join("herd.key"), "a secret of the herd's own\n");
    let _goloman = herd.start("Goloman");
    assert_eq!(ctl(folder, &["status"]).status, Some(0));
    write_secret(&folder.join("herd.key"), "another secret of somebody else\n");
    let said = ctl(folder, &["status"]);
    assert!(said.status == Some(77) && said.out.contains("Goloman  refused  -"), "{said:?}");
    let said = ctl(folder, &["status", "--json"]);
    let object = &objects(&said)[0];
    assert_eq!((&object["up"], &object["refused"]), (&true.into(), &true.into()), "{said:?}");
    assert_eq!(ctl(folder, &["forget", "kiwi"]).status, Some(77));
    assert_eq!(ctl(folder, &["reload"]).status, Some(77));
}

#[test]
fn a_key_or_a_signal_ends_top_also_while_a_server_hangs() {
    use rustix::termios::tcgetattr;
    let silent = TcpListener::bind("127.0.0.1:0").expect("bound");
    let at = silent.local_addr().expect("bound");
    let folder = folder_with(&format!("[servers.A]\nlisten = \"{at}\"\n"));
    let before = |end: &std::fs::File| tcgetattr(end).expect("a terminal").local_modes;
    for signal in [None, Some(Signal::TERM), Some(Signal::INT), Some(Signal::HUP)] {
        let (keyboard, open) = terminal();
        let end = open();
        let modes = before(&end);
        let mut command = herdctl(folder.path(), &["top", "--timeout", "1h"]);
        let mut child = command.stdin(open()).stdout(open()).env("TERM", "xterm").spawn().expect("started");
        wait_for("the terminal to be its own", || (before(&end) != modes).then_some(()));
        let began = Instant::now();
        match signal {
            None => assert!(rustix::io::write(&keyboard, b"q").is_ok()),
            Some(signal) => rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal)
                .expect("signalled"),
        }
        let status = wait_for("the end", || child.try_wait().expect("waited"));
        let by = std::os::unix::process::ExitStatusExt::signal(&status);
        assert_eq!((by, by.is_none()), (signal.map(Signal::as_raw), status.success()));
        assert_eq!(before(&end), modes, "{signal:?}");
        assert!(began.elapsed() < Duration::from_secs(60));
    }
}

/// Types lines at the prompt, each with what is to be said then.
fn at_prompt(host: &str, lines: &[(&str, &str)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let (keyboard, open) = terminal();
    let mut command = herdctl(folder.path(), &[]);
    let command = command.env("HERD_HOST", host).stdin(open()).stdout(open()).stderr(open());
    let mut child = command.spawn().expect("started");
    let read_prompt = || {
        let mut printed = String::new();
        while !printed.contains("herdctl> ") {
            let mut some = [0; 4096];
            let length = rustix::io::read(&keyboard, &mut some).expect("printed");
            printed += &String::from_utf8_lossy(&some[..length]);
        }
        printed
    };
    read_prompt();
    for (line, answer) in lines {
        assert!(rustix::io::write(&keyboard, format!("{line}\n").as_bytes()).is_ok());
        let said = read_prompt();
        // The line itself is echoed, and ends so.
        let said = said.split_once("\r\n").expect("an echo").1;
        assert!(said.contains(answer), "{line}: {said}");
    }
    assert!(rustix::io::write(&keyboard, b"quit\n").is_ok());
    assert!(wait_for("the end", || child.try_wait().expect("waited")).success());
}

#[test]
fn a_terminal_without_arguments_is_asked_for_one_line_after_the_other() {
    let (_folder, server) = solo("");
    at_prompt(
        &server.address.to_string(),
        &[
            ("at kiwi -34.5,118 7", " kiwi -34.5+118 7"),
            ("nonsense", "herdctl --help"),
            ("", ""),
            ("at kiwi 91,0", "LAT,LON"),
            ("at kiwi -.5,+.25 8", " kiwi -0.5+0.25 8"),
            ("at kiwi .,3", "LAT,LON"),
            ("whatsta kiwi", "did you mean whatsat?"),
            ("status --jsno", "did you mean --json?"),
            ("whatsat moa", "does not know moa"),
            ("send", "reads stdin"),
            ("HELLO kiwi", "? HELLO kiwi"),
            ("WATCH", "no end"),
            ("help", "Commands:"),
            ("count --json", "\"clients\":1"),
            ("count", "1\r\n"),
            ("COUNT", "COUNT 1"),
            ("NEAR -0.5+0.25 1 1", " kiwi -0.5+0.25 8"),
            ("version", env!("CARGO_PKG_VERSION")),
        ],
    );
    // One connection has them all, and another one where that is gone.
    let at = fake(|mut stream, number| {
        let mut reader = BufReader::new(stream.try_clone().expect("cloned"));
        for _ in 0..2 {
            let _ = reader.read_line(&mut String::new());
            let _ = stream.write_all(format!("COUNT {number}\n").as_bytes());
        }
    });
    at_prompt(&at, &[("count", "0\r\n"), ("COUNT", "COUNT 0"), ("count", "1\r\n")]);
}

#[test]
fn a_server_that_hangs_keeps_nobody_from_those_that_answer() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &[], "", &[]);
    let folder = herd.folder.path();
    let _silent = herd.listen_as("Goloman");
    let _hands = herd.start("Hands");
    for arguments in [&["count"][..], &["at", "kiwi", "1,2"], &["near", "1,2"], &["whatsat", "kiwi"]] {
        let said = ctl(folder, &[&["--json", "--timeout", "500ms"], arguments].concat());
        assert_eq!(said.status, Some(0), "{arguments:?}: {said:?}");
        assert!(said.out.contains("\"server\":\"Hands\""), "{arguments:?}: {said:?}");
        // But for the one that is meant.
        let said = ctl(folder, &[&["-s", "Goloman", "--timeout", "500ms"], arguments].concat());
        assert!(said.status == Some(69) && said.err.contains("says nothing"), "{arguments:?}: {said:?}");
    }
}
