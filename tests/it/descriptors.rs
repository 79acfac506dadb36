//! A server out of descriptors: it rests, serves whom it has, and goes on when there is room.

use std::io::{Read, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::harness::{Client, HERD, Herd, Server, folder_with, wait_for};

const ONE: &str = "workers = 2\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n";

fn start_with_limit(folder: &std::path::Path, name: &str, files: u32) -> Server {
    let script = format!("ulimit -n {files}; exec \"$0\" {name}");
    Server::start_by(Command::new("sh").args(["-c", &script, HERD]), folder, name)
}

/// Whether a new client is served.
fn is_served(server: &Server) -> bool {
    let mut client = server.client();
    let mut reply = [0; 5];
    client.stream.write_all(b"hi\n").and_then(|()| client.stream.read_exact(&mut reply)).is_ok()
}

#[test]
fn without_a_descriptor_for_the_next_client_the_server_rests_and_goes_on_later() {
    let folder = folder_with(ONE);
    // So few that they are used up before the connections they leave room for are.
    let server = start_with_limit(folder.path(), "Goloman", 20);
    let mut clients: Vec<_> = (0..40).map(|_| server.client()).collect();
    server.wait_for_log("cannot accept");
    clients[0].send("first\n");
    assert_eq!(clients[0].text_line(), "? first\n");
    let (begun, ticks) = (Instant::now(), server.process.cpu_ticks());
    wait_for("a second to pass", || (begun.elapsed() > Duration::from_secs(1)).then_some(()));
    let used = server.process.cpu_ticks() - ticks;
    assert!(used < 50, "{used} hundredths of a second in one");
    clients[0].send("second\n");
    assert_eq!(clients[0].text_line(), "? second\n");
    let told = server.log_text().matches("cannot accept").count();
    assert!(told <= 5, "told {told} times in a second or two");
    drop(clients);
    wait_for("room", || is_served(&server).then_some(()));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn links_and_logs_survive_a_lack_of_descriptors() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "workers = 2", &[]);
    let goloman = start_with_limit(herd.folder.path(), "Goloman", 24);
    let clients: Vec<_> = (0..40).map(|_| Client::connect(goloman.address)).collect();
    goloman.wait_for_log("cannot accept");
    // The neighbour starts while there is no descriptor for the link, and the file is to be opened anew.
    let hands = herd.start("Hands");
    std::fs::rename(&goloman.log, goloman.log.with_extension("old")).expect("renamed");
    goloman.process.signal(rustix::process::Signal::USR1);
    drop(clients);
    wait_for("room", || is_served(&goloman).then_some(()));
    let line = goloman.ask("IAMAT late +1+1 1\n");
    hands.wait_to_know("late", line.trim_end());
    goloman.wait_for_log("IAMAT late");
}
