//! Clients that read slowly or not at all: what they cost, for how long, and that reading counts however slow it is.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use socket2::{Domain, Socket, Type};

use crate::harness::{HANG, Server, solo, wait_for};

/// A client whose system holds little for it.
fn small_client(server: &Server) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4_096).expect("set");
    socket.connect(&server.address.into()).expect("connected");
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(HANG)).expect("set");
    stream
}

/// A server that knows a client with places around it.
fn knowing_a_client(settings: &str) -> (tempfile::TempDir, Server) {
    let (folder, server) = solo(&format!("{settings}\nlog_level = \"info\""));
    assert!(server.ask("IAMAT kiwi +34.068930-118.445127 1\n").starts_with("AT Goloman"));
    (folder, server)
}

const LOOKUP: &str = "WHATSAT kiwi 50 20\n";

/// The sockets that the system has at an address of ours, each with its state (proc(5)), and the bytes it holds.
fn sockets_at(address: SocketAddr) -> Vec<(String, u64)> {
    let SocketAddr::V4(address) = address else { panic!("an IPv4 address") };
    let own = format!("{:08X}:{:04X}", u32::from_ne_bytes(address.ip().octets()), address.port());
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux");
    let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    let rows = rows.filter(|row| row.get(1).is_some_and(|local| *local == own));
    rows.map(|row| {
        let held = row[4].split(':').next().expect("a size");
        (row[3].to_owned(), u64::from_str_radix(held, 16).expect("a size"))
    })
    .collect()
}

const LISTENING: &str = "0A";

#[test]
fn what_a_client_does_not_read_is_not_kept_by_the_system_after_its_connection_is_closed() {
    let (_folder, server) = knowing_a_client("write_timeout_s = 1");
    let mut clients: Vec<_> = (0..20).map(|_| small_client(&server)).collect();
    for client in &mut clients {
        client.write_all(LOOKUP.repeat(400).as_bytes()).expect("sent");
    }
    wait_for("all to be closed", || {
        (server.log_text().matches("it does not read its replies").count() == clients.len()).then_some(())
    });
    let held = sockets_at(server.address);
    assert!(held.iter().all(|(state, _)| state == LISTENING), "{held:?}");
}

#[test]
fn what_the_system_holds_for_one_that_does_not_read_is_little_and_goes_soon() {
    let (_folder, server) = knowing_a_client("write_timeout_s = 1\nconnections = \"one-shot\"");
    let mut clients: Vec<_> = (0..20).map(|_| small_client(&server)).collect();
    for client in &mut clients {
        client.write_all(LOOKUP.as_bytes()).expect("sent");
    }
    wait_for("all to be closed", || {
        (server.log_text().matches(" one-shot").count() > clients.len()).then_some(())
    });
    wait_for("the system to give up", || {
        sockets_at(server.address).iter().all(|(state, held)| state == LISTENING || *held == 0).then_some(())
    });
}

#[test]
fn a_reader_that_is_slow_and_reads_is_served_to_the_end() {
    let (_folder, server) = knowing_a_client("write_timeout_s = 1");
    let mut client = small_client(&server);
    let lookups = 400;
    let mut writer = client.try_clone().expect("cloned");
    let (begun, mut got, mut buffer) = (Instant::now(), Vec::new(), vec![0; 2_048]);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            writer.write_all(LOOKUP.repeat(lookups).as_bytes()).expect("sent");
            writer.shutdown(std::net::Shutdown::Write).expect("half-closed");
        });
        // For several times the patience of the server it takes a little at a time.
        while begun.elapsed() < Duration::from_secs(4) {
            let count = client.read(&mut buffer).expect("served");
            got.extend_from_slice(&buffer[..count]);
            std::thread::sleep(Duration::from_millis(200));
        }
        client.read_to_end(&mut got).expect("served to the end");
    });
    assert_eq!(String::from_utf8_lossy(&got).matches("AT Goloman ").count(), lookups);
}

#[test]
fn more_is_not_kept_in_all_than_max_unsent_total_whoever_does_not_read() {
    let (_folder, server) =
        knowing_a_client("write_timeout_s = 3600\nmax_unsent_total = 1048576\nplaces.threads = 4");
    let mut clients: Vec<_> = (0..60).map(|_| small_client(&server)).collect();
    for client in &mut clients {
        // What cannot be sent any more is of one that has been closed for it.
        let _ = client.write_all(LOOKUP.repeat(400).as_bytes());
    }
    server.wait_for_log("than max_unsent_total in herd.conf allows");
    wait_for("what is held to be little", || {
        let sockets = sockets_at(server.address);
        let held: u64 = sockets.iter().map(|(_, held)| held).sum();
        let are_open = sockets.iter().all(|(state, _)| state == LISTENING || state == "01" || state == "08");
        (server.log_text().contains("too much is unsent in all") && are_open && held <= 1 << 20).then_some(())
    });
    assert!(server.ask("IAMAT fig +1+1 1\n").starts_with("AT Goloman"));
}
