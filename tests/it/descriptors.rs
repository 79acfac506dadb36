//! A server out of descriptors: what else needs one, links and the log, goes on when there is room.

use std::io::{Read, Write};
use std::process::Command;

use crate::harness::{Client, HERD, Herd, Server, wait_for};

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
