//! What a stop does to replies, links and whole herds.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use crate::harness::{HANG, HERD, Herd, Process, Server, solo, wait_for};
use crate::http::get;

#[test]
fn replies_on_their_way_at_a_stop_arrive_whole_though_the_client_goes_on_sending() {
    let (_folder, server) = solo("");
    let mut client = server.client();
    let mut writer = client.stream.try_clone().expect("cloned");
    let sending = std::thread::spawn(move || {
        let mut lines = (0..).map(|i| format!("IAMAT c +1+1 {i}\n"));
        while writer.write_all(lines.by_ref().take(1_000).collect::<String>().as_bytes()).is_ok() {}
    });
    // Nothing is read so far, so replies wait in the server, in its kernel's buffer and in ours.
    let mut answered = 0;
    wait_for("the server to read no more", || {
        let before = std::mem::replace(&mut answered, server.log_text().matches(" out ").count());
        std::thread::sleep(Duration::from_millis(300));
        (answered > 0 && answered == before).then_some(())
    });
    server.process.signal(Signal::TERM);
    server.wait_for_log("Goloman stops");
    let mut replies = Vec::new();
    let mut piece = [0; 20_000];
    loop {
        match client.stream.read(&mut piece).expect("no reset") {
            0 => break,
            count => replies.extend_from_slice(&piece[..count]),
        }
        // Slower than the server, so that what it has written is still under way.
        std::thread::sleep(Duration::from_micros(500));
    }
    let text = String::from_utf8(replies).expect("text");
    for (i, line) in text.split_inclusive('\n').enumerate() {
        assert!(line.ends_with(&format!(" c +1+1 {i}\n")), "{line:?} for {i}");
    }
    sending.join().expect("joined");
    let log = server.log.clone();
    assert_eq!(server.wait(), Some(0));
    let log = fs::read_to_string(log).expect("a log");
    assert_eq!(text.lines().count(), log.matches(" out ").count(), "replies that were made");
}

#[test]
fn what_is_on_its_way_at_a_stop_is_answered_and_whoever_goes_on_is_told_the_end() {
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\"")];
    let herd = Herd::new(&["Goloman"], &[], "", &tables);
    let server = herd.start("Goloman");
    let mut idle = server.client();
    let http = server.http.expect("it serves HTTP");
    // One after another without a pause, by either door: each is answered, or there is the end, and no reset.
    let lines = {
        let mut client = std::net::TcpStream::connect(server.address).expect("connected");
        let mut replies = BufReader::new(client.try_clone().expect("cloned"));
        std::thread::spawn(move || {
            for i in 1.. {
                if client.write_all(format!("IAMAT busy +1+1 {i}\n").as_bytes()).is_err() {
                    return i;
                }
                let mut said = String::new();
                replies.read_line(&mut said).expect("no reset");
                if said.is_empty() {
                    return i;
                }
                assert!(said.ends_with(&format!(" busy +1+1 {i}\n")), "{said}");
            }
            0
        })
    };
    let requests = std::thread::spawn(move || {
        let mut connection = std::net::TcpStream::connect(http).expect("connected");
        let (mut said, mut piece) = (Vec::new(), [0; 4_096]);
        while !String::from_utf8_lossy(&said).contains("Connection: close") {
            said.clear();
            connection.write_all(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("sent");
            while !said.ends_with(b"{\"status\":\"ok\"}\n") {
                match connection.read(&mut piece).expect("no reset") {
                    0 => panic!("closed without a word: {}", String::from_utf8_lossy(&said)),
                    count => said.extend_from_slice(&piece[..count]),
                }
            }
        }
        connection.read(&mut piece).expect("no reset")
    });
    wait_for("both to be served", || server.knows("busy"));
    server.process.signal(Signal::TERM);
    server.wait_for_log("Goloman stops");
    let before = server.log_text().matches(" busy +1+1 ").count();
    wait_for("the next one to be answered", || {
        (server.log_text().matches(" busy +1+1 ").count() > before).then_some(())
    });
    assert!(lines.join().expect("no other reply") > 1);
    assert_eq!(requests.join().expect("each is answered, the last with the word that it is"), 0);
    assert_eq!(idle.rest(), b"");
    assert_eq!(server.wait(), Some(0));
}

/// Waits until a server has accepted all connections that there are: whoever comes last is answered.
fn take_all_in(server: &Server) {
    server.ask("COUNT\n");
    assert_eq!(get(server, "/healthz").status, 200);
}

#[test]
fn whatever_has_begun_to_come_at_a_stop_has_time_to_come_whole() {
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\"")];
    let put = "PUT /v1/clients/pear HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{\"lat\":1,\"lon\":1}";
    let whole = put.repeat(10);
    // What was sent before the stop, what comes behind it after more than the silence at which others are closed, and
    // how many replies there are.
    let (line, half, body) = ("IAMAT kiwi +1+1 1\n", &put[..20], &put[..put.len() - 4]);
    let cases = [
        (false, &line[..9], &line[9..], 1),
        (false, line, "", 1),
        (true, half, &put[20..], 1),
        (true, body, &put[put.len() - 4..], 1),
        (true, &whole[..whole.len() - 4], &put[put.len() - 4..], 10),
        (true, &whole, "", 10),
        // Who has just come has said nothing yet.
        (false, "", line, 1),
        (true, "", put, 1),
    ];
    // A machine on which that takes longer than a stop waits begins anew.
    wait_for("the rest to come in time", || {
        let herd = Herd::new(&["Goloman"], &[], "", &tables);
        let server = herd.start("Goloman");
        let http = server.http.expect("it serves HTTP");
        let streams = cases.map(|(is_http, sent, ..)| {
            let address = if is_http { http } else { server.address };
            let mut stream = std::net::TcpStream::connect(address).expect("connected");
            stream.set_read_timeout(Some(HANG)).expect("set");
            stream.write_all(sent.as_bytes()).expect("sent");
            stream
        });
        take_all_in(&server);
        let stopped = Instant::now();
        server.process.signal(Signal::TERM);
        server.wait_for_log("Goloman stops");
        wait_for("a silence", || (stopped.elapsed() > Duration::from_millis(400)).then_some(()));
        let mut sends = cases.iter().zip(&streams);
        let is_sent = sends.all(|((_, _, rest, _), mut stream)| stream.write_all(rest.as_bytes()).is_ok());
        let is_late = stopped.elapsed() > Duration::from_millis(800);
        let said = streams.map(|mut stream| {
            let mut said = String::new();
            stream.read_to_string(&mut said).map(|_| said)
        });
        assert_eq!(server.wait(), Some(0));
        if is_late {
            return None;
        }
        assert!(is_sent);
        for ((is_http, sent, _, count), said) in cases.iter().zip(said) {
            let said = said.expect("no reset");
            let replies = said.matches(if *is_http { "HTTP/1.1 200 " } else { "AT Goloman " }).count();
            assert_eq!(replies, *count, "{sent:?}: {said}");
            assert!(!is_http || said.matches("Connection: close").count() <= 1, "{said}");
        }
        Some(())
    });
}

#[test]
fn a_request_that_has_not_come_whole_when_a_stop_ends_is_told_to_come_again() {
    let herd = Herd::new(&["Goloman"], &[], "", &[("Goloman", "http.listen = \"127.0.0.1:0\"")]);
    let server = herd.start("Goloman");
    let http = server.http.expect("it serves HTTP");
    let head = |target: &str, length: usize| {
        format!("{target} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{{")
    };
    // Those in front of the last take all the room that there is for the large bodies of phones.
    let large = head("POST /overland", 1024 * 1024);
    let sent = [vec![head("PUT /v1/clients/pear", 17)], vec![large; 65]].concat();
    let streams: Vec<_> = sent
        .iter()
        .map(|head| {
            let mut stream = std::net::TcpStream::connect(http).expect("connected");
            stream.set_read_timeout(Some(HANG)).expect("set");
            stream.write_all(head.as_bytes()).expect("sent");
            stream
        })
        .collect();
    take_all_in(&server);
    server.process.signal(Signal::TERM);
    for (head, mut stream) in sent.iter().zip(streams) {
        let mut said = String::new();
        stream.read_to_string(&mut said).expect("no reset");
        assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("Retry-After: "), "{head}: {said}");
        assert_eq!(said.contains("{\"error\":"), head.contains("overland"), "{said}");
    }
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn a_stuck_neighbour_delays_the_stop_by_no_more_than_its_time() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "stop_timeout_s = 1", &[]);
    let stuck = herd.listen_as("Hands");
    let goloman = herd.start("Goloman");
    let _held = stuck.accept().expect("the link");
    let pad = "x".repeat(2_000);
    let mut client = goloman.client();
    for i in 0..5_000 {
        client.send(format!("IAMAT {pad}{i} +1+1 1\n"));
        assert!(client.text_line().starts_with("AT "));
    }
    let begun = Instant::now();
    assert_eq!(goloman.stop(), Some(0));
    assert!(begun.elapsed() < HANG / 2, "{:?}", begun.elapsed());
}

/// What Ctrl-C in a terminal does: the signal goes to every process of the group.
#[test]
fn ctrl_c_stops_the_herd_without_calling_it_dead() {
    let names = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];
    let herd = Herd::new(&names, &[("Goloman", "Hands"), ("Holiday", "Welsh")], "", &[]);
    for _ in 0..10 {
        let mut process = Process::start(Command::new(HERD).process_group(0), herd.folder.path());
        process.lines_until("WHATSAT");
        kill_process_group(Pid::from_child(&process.child), Signal::INT).expect("signalled");
        let status = process.wait();
        assert_eq!((status.code(), process.stderr().as_str()), (Some(0), ""));
    }
}
