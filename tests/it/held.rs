//! What becomes of a server one of whose threads is held just where it hurts.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;

use nix::libc::{SYS_execve, SYS_sendto};
use rustix::process::Signal;

use crate::harness::{GOLOMAN_AND_HANDS, HANG, Held, Herd, Manager, ONE_LINK};

#[test]
fn a_service_manager_hears_no_more_of_a_server_whose_worker_hangs_until_it_goes_on() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "workers = 1", &[]);
    let hands = herd.start("Hands");
    let (folder, mut manager) = (herd.folder.path(), Manager::new());
    let server = manager.start(folder, "Goloman", 300_000);
    manager.hear_of("1 of 1 neighbour caught up");
    // A worker with nothing to do is alive for as long as that lasts.
    (0..5).for_each(|_| drop(manager.hear_of("WATCHDOG=1")));
    let mut client = TcpStream::connect(server.address).expect("connected");
    client.set_read_timeout(Some(HANG)).expect("set");
    let held = Held::thread_of(server.process.pid(), "worker-");
    client.write_all(b"IAMAT kiwi +1+1 1\n").expect("written");
    // In the middle of a turn: it has kept the report, no longer waits for a disk, and passes on what is new.
    let journal = folder.join("data/Goloman");
    let is_kept = || {
        let files = fs::read_dir(&journal).expect("a journal").map(|file| file.expect("listed").path());
        files.filter_map(|file| fs::read(file).ok()).any(|bytes| bytes.windows(4).any(|it| it == b"kiwi"))
    };
    while !is_kept() || held.call() != Some(SYS_sendto) {
        held.step();
    }
    assert!(manager.falls_silent(), "it says that it lives, and does not answer: {:?}", manager.told);
    drop(held);
    manager.hear_of("WATCHDOG=1");
    let mut reply = [0; 3];
    client.read_exact(&mut reply).expect("answered");
    assert_eq!(&reply, b"AT ");
    assert_eq!(server.stop(), Some(0));
    assert!(hands.knows("kiwi").is_some());
}

/// Stopped by SIGTERM in the last moment before it is the next program, and once more told to reload there.
#[test]
fn what_a_server_is_told_while_it_becomes_the_next_program_that_program_does() {
    let herd = Herd::new(&["Goloman"], &[], "", &[]);
    let conf = herd.folder.path().join("herd.conf");
    let text = fs::read_to_string(&conf).expect("read");
    let server = herd.start("Goloman");
    for signal in [Signal::HUP, Signal::TERM] {
        let held = Held::thread_of(server.process.pid(), "herd");
        server.process.signal(Signal::USR2);
        while held.call() != Some(SYS_execve) {
            held.step();
        }
        fs::write(&conf, format!("max_clients = 7777\n{text}")).expect("written");
        server.process.signal(signal);
        drop(held);
        if signal == Signal::HUP {
            server.wait_for_log("1000000 -> 7777");
        }
    }
    let (code, _, stderr) = server.process.finish();
    assert_eq!((code, stderr.contains("stops before it has started")), (Some(0), true), "{stderr}");
}
