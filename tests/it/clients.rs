//! Many clients, idle clients and bad clients beside good ones.

use std::io::Write;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Client, HANG, HERD, Herd, Server, folder_with, solo, wait_for};

/// One client works: each of its reports is answered, in order.
fn check_served(server: &Server, rounds: u32) {
    let mut client = server.client();
    for i in 0..rounds {
        client.send(format!("IAMAT busy +1+1 {i}\n"));
        let reply = client.text_line();
        assert!(reply.ends_with(&format!(" busy +1+1 {i}\n")), "{reply:?}");
    }
}

/// Sends reports until the server does not take any more, without reading a reply.
fn stuff(client: &mut Client) {
    let lines = "IAMAT stuffed +34.068930-118.445127 1520023934.918963997\n".repeat(1_000);
    client.stream.set_write_timeout(Some(Duration::from_millis(200))).expect("set");
    let deadline = Instant::now() + HANG;
    while client.stream.write_all(lines.as_bytes()).is_ok() {
        assert!(Instant::now() < deadline, "it takes without end");
    }
}

#[test]
fn two_thousand_idle_connections_cost_no_thread_and_hold_up_nobody() {
    let (_folder, server) = solo("");
    let threads = server.process.status("Threads");
    let mut idle: Vec<_> = (0..2_000).map(|_| server.client()).collect();
    check_served(&server, 500);
    // They are not only held, they are still served.
    for (i, client) in idle.iter_mut().enumerate() {
        client.send(format!("IAMAT idle{i} +1+1 1\n"));
        assert!(client.text_line().ends_with(&format!("idle{i} +1+1 1\n")));
    }
    // The one that printed where it listens may not have ended when it was counted.
    assert!(server.process.status("Threads") <= threads, "the pool is fixed");
}

#[test]
fn a_client_that_never_reads_is_closed_and_holds_up_nobody() {
    let (_folder, server) = solo("write_timeout_s = 1\nlog_level = \"info\"");
    let mut stuffed: Vec<_> = (0..4).map(|_| server.client()).collect();
    std::thread::scope(|scope| {
        stuffed.iter_mut().for_each(|client| drop(scope.spawn(|| stuff(client))));
        check_served(&server, 500);
    });
    check_served(&server, 500);
    let what = "does not read its replies";
    wait_for("all to be closed", || (server.log_text().matches(what).count() == 4).then_some(()));
}

#[test]
fn a_slow_reader_gets_every_reply() {
    let (_folder, server) = solo("max_unsent = 4096");
    let mut client = server.client();
    let mut writer = client.stream.try_clone().expect("cloned");
    let lines: Vec<_> = (0..60_000).map(|i| format!("IAMAT slow +1+1 {i}\n")).collect();
    std::thread::scope(|scope| {
        scope.spawn(|| writer.write_all(lines.concat().as_bytes()).expect("sent"));
        check_served(&server, 100);
        for i in 0..60_000 {
            let reply = client.text_line();
            assert!(reply.ends_with(&format!(" slow +1+1 {i}\n")), "{reply:?} for {i}");
        }
    });
}

#[test]
fn an_idle_connection_is_closed_after_its_time() {
    let (_folder, server) = solo("idle_timeout_s = 1");
    let mut clients = [server.client(), server.client()];
    clients[1].send("IAMAT half");
    clients.iter_mut().for_each(|client| assert!(client.is_ended()));
    server.wait_for_log(" idle");
}

#[test]
fn one_over_max_connections_is_closed_at_once_and_there_is_room_again() {
    let (_folder, server) = solo("max_connections = 3");
    let mut clients: Vec<_> = (0..3).map(|_| server.client()).collect();
    for client in &mut clients {
        client.send("? hello\n");
        assert_eq!(client.text_line(), "? ? hello\n");
    }
    assert!(server.client().is_ended());
    server.wait_for_log("max_connections");
    drop(clients.pop());
    wait_for("room for one", || {
        let mut client = server.client();
        let _ = client.stream.write_all(b"hi\n");
        let mut reply = [0; 5];
        std::io::Read::read_exact(&mut client.stream, &mut reply).is_ok().then_some(())
    });
    clients[0].send("still\n");
    assert_eq!(clients[0].text_line(), "? still\n");
}

#[test]
fn running_out_of_descriptors_pauses_accepting_and_does_not_spin() {
    let folder = folder_with("[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n");
    // The limit leaves 30 connections; `max_connections` would leave more only to other limits.
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 60; exec \"$0\" Goloman", HERD]);
    let server = Server::start_by(&mut shell, folder.path(), "Goloman");
    let clients: Vec<_> = (0..100).map(|_| Client::connect(server.address)).collect();
    server.wait_for_log("max_connections");
    let (begun, ticks) = (Instant::now(), server.process.cpu_ticks());
    wait_for("two seconds", || (begun.elapsed() > Duration::from_secs(2)).then_some(()));
    let used = server.process.cpu_ticks() - ticks;
    assert!(used < 100, "{used} hundredths of a second in two");
    drop(clients);
    wait_for("room", || {
        let mut client = server.client();
        let _ = client.stream.write_all(b"hi\n");
        std::io::Read::read_exact(&mut client.stream, &mut [0; 5]).is_ok().then_some(())
    });
}

#[test]
fn accepting_rests_while_there_are_no_descriptors_and_goes_on_after() {
    let (_folder, server) = solo("");
    let pid = rustix::process::Pid::from_child(&server.process.child);
    let set_files = |soft| {
        let limit = rustix::process::Rlimit { current: Some(soft), maximum: Some(1_024) };
        rustix::process::prlimit(Some(pid), rustix::process::Resource::Nofile, limit).expect("set");
    };
    let mut early = server.client();
    early.send("one\n");
    assert_eq!(early.text_line(), "? one\n");
    // Behind the server's back, so that its own limit of connections does not come first.
    set_files(4);
    let mut late = server.client();
    late.send("late\n");
    server.wait_for_log("cannot accept");
    let (begun, ticks) = (Instant::now(), server.process.cpu_ticks());
    wait_for("a second", || (begun.elapsed() > Duration::from_secs(1)).then_some(()));
    assert!(server.process.cpu_ticks() - ticks < 50, "it spins");
    assert!(server.log_text().matches("cannot accept").count() <= 4, "it is logged once a second");
    early.send("two\n");
    assert_eq!(early.text_line(), "? two\n");
    set_files(1_024);
    assert_eq!(late.text_line(), "? late\n");
}

#[test]
fn half_open_clients_and_resets_leave_no_descriptor_behind() {
    let (_folder, server) = solo("");
    let descriptors =
        || std::fs::read_dir(format!("/proc/{}/fd", server.process.pid())).expect("listed").count();
    check_served(&server, 1);
    let before = wait_for("the client to be gone", || Some(descriptors()));
    for _ in 0..500 {
        let mut client = server.client();
        client.send("IAMAT half +1");
        socket2::SockRef::from(&client.stream).set_linger(Some(Duration::ZERO)).expect("set");
    }
    check_served(&server, 100);
    wait_for("all to be closed", || (descriptors() <= before).then_some(()));
}

#[test]
fn connections_that_change_workers_lose_and_reorder_nothing() {
    let (_folder, server) = solo("workers = 4\nlog_level = \"off\"");
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..6 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.client();
                let mut i = 0;
                // Long enough for the first worker to be found saturated and to hand some over.
                while begun.elapsed() < Duration::from_secs(2) {
                    let lines: String = (i..i + 200).map(|i| format!("IAMAT c{number} +1+1 {i}\n")).collect();
                    client.send(lines);
                    for i in i..i + 200 {
                        let reply = client.text_line();
                        assert!(reply.ends_with(&format!(" c{number} +1+1 {i}\n")), "{reply:?} for {i}");
                    }
                    i += 200;
                }
            });
        }
    });
}

#[test]
fn random_bytes_in_random_pieces_are_answered_line_by_line() {
    let (_folder, server) = solo("max_line = 256");
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..60 {
        let (mut sent, mut expected) = (Vec::new(), Vec::new());
        for _ in 0..random.usize(1..40) {
            let length = random.usize(..200);
            let alphabet: &[u8] = b"IAMATWHS +-.019\t\r\x00\xff\\?";
            let mut line: Vec<u8> = (0..length).map(|_| alphabet[random.usize(..alphabet.len())]).collect();
            // A prefix that is no command, so that the model is simple: it comes back as it came.
            line.insert(0, b'#');
            expected.extend_from_slice(b"? ");
            expected.extend_from_slice(line.strip_suffix(b"\r").unwrap_or(&line));
            expected.push(b'\n');
            sent.extend_from_slice(&line);
            sent.push(b'\n');
        }
        let mut client = server.client();
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let (piece, after) = rest.split_at(random.usize(1..=rest.len().min(300)));
            client.send(piece);
            rest = after;
        }
        client.half_close();
        assert_eq!(client.rest(), expected, "seed {seed}");
        // And bytes of no shape at all do no harm.
        let noise: Vec<_> = (0..random.usize(..2_000)).map(|_| random.u8(..)).collect();
        let mut client = server.client();
        let _ = client.stream.write_all(&noise);
    }
    check_served(&server, 10);
}

#[test]
fn with_max_clients_known_others_are_refused_and_known_ones_and_neighbours_go_on() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "max_clients = 100", &[]);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    let flood: String = (0..150).map(|i| format!("IAMAT c{i} +1+1 1\n")).collect();
    let said = goloman.ask(&flood);
    let (taken, refused) = (said.matches("AT Goloman ").count(), said.matches("? IAMAT ").count());
    assert_eq!((taken, refused), (100, 50), "{said}");
    assert!(goloman.ask("IAMAT c5 +1+1 2\n").starts_with("AT Goloman"), "it is known");
    // What a neighbour took is known here, too, whatever the bound, so that the herd agrees.
    let mut neighbour = Client::connect_from(herd.ip("Hands"), goloman.address);
    neighbour.send("AT Hands +1 heard +1+1 1\n");
    goloman.wait_to_know("heard", "AT Hands +1 heard +1+1 1");
    hands.wait_to_know("c99", &goloman.knows("c99").expect("known"));
    let log =
        goloman.wait_for_log("[WARN] reports of further clients are refused, as 100 clients may be known");
    assert_eq!(log.matches("reports of further clients are refused").count(), 1, "it is told once");
    let (_, stdout, _) = crate::harness::run(herd.folder.path(), &["--agree"]);
    assert!(stdout.contains("50 reports since the start, the last of them lately: refused"), "{stdout}");
}
