//! A mob of every kind of bad client at once. What it costs is given back, nobody is held up, and
//! nothing of it makes a panic.

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::harness::{Client, HANG, Herd, Server, solo, wait_for};

fn descriptors(server: &Server) -> usize {
    fs::read_dir(format!("/proc/{}/fd", server.process.pid())).expect("it lives").count()
}

/// Runs until the mob is called off: each kind in a loop of its own.
fn mob<'scope>(
    scope: &'scope std::thread::Scope<'scope, '_>,
    server: &'scope Server,
    done: &'scope AtomicBool,
) {
    let address = server.address;
    let goes_on = move || !done.load(Ordering::SeqCst);
    let half_open = half_open();
    let (are_held, held) = std::sync::mpsc::channel();
    // Half a command, and then nothing.
    scope.spawn(move || {
        let held: Vec<_> = (0..half_open).map(|_| TcpStream::connect(address).expect("connected")).collect();
        held.iter().for_each(|mut stream| drop(stream.write_all(b"IAMAT half")));
        are_held.send(()).expect("somebody waits");
        while goes_on() {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    // A byte at a time.
    scope.spawn(move || {
        let slow: Vec<_> = (0..50).filter_map(|_| TcpStream::connect(address).ok()).collect();
        for byte in b"IAMAT slow +1+1 1\n".iter().cycle() {
            slow.iter().for_each(|mut stream| drop(stream.write_all(&[*byte])));
            std::thread::sleep(Duration::from_millis(20));
            if !goes_on() {
                return;
            }
        }
    });
    // Reports without reading a reply.
    scope.spawn(move || {
        let lines = "IAMAT deaf +1+1 1\n".repeat(5_000);
        while goes_on() {
            let Ok(mut stream) = TcpStream::connect(address) else { continue };
            let _ = stream.set_write_timeout(Some(Duration::from_millis(50)));
            while goes_on() && stream.write_all(lines.as_bytes()).is_ok() {}
        }
    });
    // A line without end, and noise, some of it in the words of servers.
    scope.spawn(move || {
        let mut random = fastrand::Rng::new();
        let words: [&[u8]; 8] = [
            b"HERD 1 ",
            b"PROOF -\n",
            b"MARK 9\n",
            b"ASK - -\n",
            b"SEEN 1\n",
            b"AT G +1 c +1+1 1\n",
            b"\n",
            b"DIGEST - - 1 ",
        ];
        while goes_on() {
            let Ok(mut stream) = TcpStream::connect(address) else { continue };
            let _ = stream.write_all(&[b'x'; 20_000]);
            let Ok(mut stream) = TcpStream::connect(address) else { continue };
            for _ in 0..200 {
                let noise: Vec<_> = (0..random.usize(0..40)).map(|_| random.u8(..)).collect();
                let _ = stream.write_all(&noise);
                let _ = stream.write_all(words[random.usize(..words.len())]);
            }
        }
    });
    // Connects and resets.
    scope.spawn(move || {
        while goes_on() {
            let Ok(stream) = TcpStream::connect(address) else { continue };
            let _ = socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO));
        }
    });
    held.recv_timeout(3 * HANG).expect("all half commands are held");
}

/// Connections that ask for more digests in one go than are taken, each of many at once.
fn ask_without_end(herd: &Herd, server: &Server) -> Vec<Client> {
    (0..300)
        .map(|asker| {
            let mut client = Client::connect_from(herd.ip("Goloman"), server.address);
            let hello = format!("HERD 1 - {:016x} {asker:032x}\nPROOF -\n", 7);
            client.send(format!("{hello}{}", "ASK - -\n".repeat(4_000)));
            client
        })
        .collect()
}

#[test]
fn questions_without_end_are_answered_one_after_another_however_many_are_refused() {
    let settings = "log_level = \"warn\"\nmax_unsent = 4096";
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], settings, &[]);
    let goloman = herd.start("Goloman");
    let askers = ask_without_end(&herd, &goloman);
    for i in 0..50 {
        assert!(goloman.ask(&format!("IAMAT good +1+1 {i}\n")).starts_with("AT Goloman"));
    }
    // Each of them gets an answer in its time, though nearly all of its questions were too many.
    for mut asker in askers {
        assert!(asker.text_line().starts_with("HERD 1 Goloman "));
        assert!(asker.text_line().starts_with("LAG Hands "));
    }
    assert!(!goloman.process.stderr().contains("overflow"), "{}", goloman.process.stderr());
    assert_eq!(goloman.stop(), Some(0));
}

#[test]
fn lookups_without_end_are_answered_one_after_another_however_many_are_refused() {
    let settings = "log_level = \"warn\"\nplaces.queue = 1\nplaces.threads = 1";
    let (_folder, server) = solo(settings);
    assert!(server.ask("IAMAT kiwi +34.068930-118.445127 1\n").starts_with("AT Goloman"));
    let lookups = "WHATSAT kiwi 50 1\n".repeat(1_500);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let said = server.ask(&lookups);
                assert_eq!(said.matches("AT Goloman ").count(), 1_500);
            });
        }
    });
    assert_eq!(server.stop(), Some(0));
}

/// How many half commands: 10,000, or what this machine's file limit leaves of them.
fn half_open() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("raised");
    let room = limit.maximum.unwrap_or(u64::MAX).saturating_sub(2_000).min(10_000);
    if room < 10_000 {
        eprintln!("only {room} half commands are held, as the file limit (ulimit -Hn) leaves no more");
    }
    room
}

#[test]
fn a_mob_is_served_through_and_everything_it_took_is_given_back() {
    let (_folder, server) = solo("log_level = \"warn\"\nwrite_timeout_s = 1\ndata_dir = \"\"");
    let (before_fds, before_kb) = (descriptors(&server), server.process.status("VmRSS"));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        mob(scope, &server, &done);
        let mut client = server.client();
        for i in 0..3_000 {
            client.send(format!("IAMAT good +1+1 {i}\n"));
            let reply = client.text_line();
            assert!(reply.ends_with(&format!(" good +1+1 {i}\n")), "{reply:?}");
        }
        done.store(true, Ordering::SeqCst);
    });
    wait_for("all descriptors to be given back", || (descriptors(&server) <= before_fds).then_some(()));
    let grown_kb = server.process.status("VmRSS").saturating_sub(before_kb);
    assert!(grown_kb < 20_000, "{grown_kb} kB are kept");
    assert!(!server.process.stderr().contains("panic"), "{}", server.process.stderr());
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_neighbour_that_talks_nonsense_costs_no_more_than_a_client() {
    let herd = Herd::new(
        &["Goloman", "Hands"],
        &[("Goloman", "Hands")],
        "log_level = \"warn\"\ntiming.greeting_ms = 1500",
        &[],
    );
    let goloman = herd.start("Goloman");
    let hello = format!("HERD 1 Hands {:016x} {:032x}\n", 7, 8);
    for nonsense in [
        "PROOF -\nPROOF -\n",
        "MARK 5\n",
        "ASK - -\n",
        "PROOF -\nHERD 1 Hands 0000000000000007 00000000000000000000000000000008\n",
        "PROOF -\nSEEN 5\n",
        "PROOF -\nDIGEST - - 1 00\n",
    ] {
        let mut link = Client::connect_from(herd.ip("Hands"), goloman.address);
        link.send(format!("{hello}{nonsense}"));
        let said = String::from_utf8_lossy(&link.rest()).into_owned();
        let refused = nonsense.lines().next_back().expect("a line");
        assert!(said.starts_with("HERD 1 Goloman ") && said.ends_with(&format!("? {refused}\n")), "{said}");
    }
    goloman.wait_for_log("closed a link from");
    // A link that is opened and greets no further is closed by itself, also if it goes on byte by byte.
    let mut silent = Client::connect_from(herd.ip("Hands"), goloman.address);
    silent.send(hello);
    assert!(silent.text_line().starts_with("HERD 1 Goloman "));
    let mut drip = silent.stream.try_clone().expect("cloned");
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // For no longer than anybody waits for the end of it.
            for _ in 0..HANG.as_millis() / 100 {
                if ended.load(Ordering::SeqCst) || drip.write_all(b"P").is_err() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        assert!(silent.is_ended());
        ended.store(true, Ordering::SeqCst);
    });
    goloman.wait_for_log("it did not prove who it is; ");
    assert!(goloman.ask("IAMAT a +1+1 1\n").starts_with("AT Goloman"));
}
