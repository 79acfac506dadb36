//! Bad lines under the kernel's own TCP: slow, long, lossy, with much room for packets to wait. Each server has a
//! network namespace of its own, and `harness/lines.py` passes the packets between them.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::faults::tell_clients;
use crate::harness::{HERD, Process, Server, folder_with, run, write_secret};

const CLIENTS: u32 = 3_000;

/// Longer than all of it takes that works. TCP by the book (Reno) takes 38 s for such a line with such losses.
const HANG: Duration = Duration::from_secs(120);
const NEWS_HANG: Duration = Duration::from_secs(60);

const CONF: &str = "secret_file = \"herd.key\"\nlog_level = \"info\"\n\
    [servers.Goloman]\nlisten = \"10.9.1.1:16675\"\nneighbours = [\"Hands\"]\n\
    [servers.Hands]\nlisten = \"10.9.2.1:16675\"\n";

/// Runs a test of this file again where it may make networks; false there, and true when it is done or cannot be.
fn runs_among_hosts_of_its_own(name: &str) -> bool {
    if std::env::var_os("HERD_TEST_NETWORK").is_some() {
        return false;
    }
    let script = "mount -t tmpfs none /run && ip link set lo up && ip netns add try \
                  && ip -n try tuntap add dev try mode tun && ip netns exec try python3 -c '' && ip netns del try \
                  || exit 77; exec \"$0\" --exact \"$1\" --nocapture";
    let test = std::env::current_exe().expect("a path");
    let mut command = Command::new("unshare");
    // A process namespace, too, so that nothing in it outlives it.
    command.args(["-rmnpf", "--kill-child", "--mount-proc", "sh", "-c", script]);
    command.arg(test).arg(format!("bad_lines::{name}"));
    let done = command.env("HERD_TEST_NETWORK", "1").output().expect("unshare");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.code() == Some(77) || said.contains("unshare failed") {
        eprintln!(
            "not tested here: {name}; this machine does not allow hosts (unshare -rmnp, ip, TUN, python3)"
        );
        return true;
    }
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    said.lines()
        .filter(|line| line.contains("times what the line takes"))
        .for_each(|line| println!("{line}"));
    true
}

/// A line as it is told to lines.py.
struct Line {
    what: &'static str,
    bytes_per_s: u32,
    queue: u32,
    way_ms: u32,
    loss: f64,
}

fn start(folder: &TempDir, host: &str, name: &str) -> Server {
    Server::start_by(Command::new("ip").args(["netns", "exec", host, HERD, name]), folder.path(), name)
}

/// Two hosts with this line between them. `HERD_TEST_TCP=reno` has them use that congestion control.
fn start_lines(folder: &TempDir, line: &Line) -> Process {
    fs::write(folder.path().join("lines.py"), include_str!("harness/lines.py")).expect("written");
    let Line { bytes_per_s, queue, way_ms, loss, .. } = line;
    let mut command = Command::new("python3");
    command.args(["lines.py", "2", &format!("line 1 2 {bytes_per_s} {queue} {way_ms} {loss}")]);
    command.args(std::env::var("HERD_TEST_TCP").map(|name| format!("tcp {name}")));
    let mut lines = Process::start(&mut command, folder.path());
    assert_eq!(lines.line(), "ready", "{}", lines.stderr());
    lines
}

/// Tells Goloman of somebody new; returns how long Hands took to know it.
fn tell_news(goloman: &Server, hands: &Server, client: &str) -> Duration {
    let said_at = Instant::now();
    let news = goloman.tell(client);
    while hands.knows(client).as_deref() != Some(&news) {
        assert!(said_at.elapsed() < NEWS_HANG, "no {client} in {NEWS_HANG:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
    said_at.elapsed()
}

/// Tells one server of many clients while the other is away. Once the other is there all of them arrive, the link
/// holds, and each of some new reports is seen in bounded time.
fn check(line: &Line) {
    let folder = folder_with(CONF);
    write_secret(&folder.path().join("herd.key"), "a secret that both of them know\n");
    let _lines = start_lines(&folder, line);
    let goloman = start(&folder, "host1", "Goloman");
    tell_clients(&goloman, CLIENTS);
    let bytes = CLIENTS as usize * (goloman.knows("client-00000000.example").expect("known").len() + 1);
    let floor_s = bytes as f64 / f64::from(line.bytes_per_s);

    let (hands, begun) = (start(&folder, "host2", "Hands"), Instant::now());
    // What is told before is not news to the link, and comes in its turn.
    hands.wait_for_log("Goloman links from");
    let mut waits = Vec::new();
    while waits.is_empty() || run(folder.path(), &["--agree"]).0 != Some(0) {
        assert!(begun.elapsed() < HANG, "{}: no agreement in {HANG:?}", line.what);
        waits.push(tell_news(&goloman, &hands, &format!("news{}", waits.len())));
    }
    let took = begun.elapsed().as_secs_f64();
    println!(
        "{}: {took:.1} s, {:.2} times what the line takes ({floor_s:.1} s); news after {:.1} s at most of {}",
        line.what,
        took / floor_s,
        waits.iter().max().expect("some").as_secs_f64(),
        waits.len()
    );
    for (dialler, listener) in [(&goloman, &hands), (&hands, &goloman)] {
        let log = dialler.wait_for_log(&format!("link to {} is up", listener.name));
        let since = log.split("is up").nth(1).unwrap_or_default();
        assert!(!since.contains(&format!("link to {} is down", listener.name)), "{log}");
        let links = listener.log_text().matches(&format!("{} links from", dialler.name)).count();
        assert_eq!(links, 1, "it was dialled again: {log}");
    }
}

#[test]
fn clients_and_news_arrive_over_a_long_line_that_loses_packets() {
    if runs_among_hosts_of_its_own("clients_and_news_arrive_over_a_long_line_that_loses_packets") {
        return;
    }
    check(&Line {
        what: "256 kbit/s, 600 ms there and back, 1 MB of queue, 5 % loss",
        bytes_per_s: 32_000,
        queue: 1 << 20,
        way_ms: 300,
        loss: 0.05,
    });
}

#[test]
fn clients_and_news_arrive_over_a_slow_line_in_which_megabytes_wait() {
    if runs_among_hosts_of_its_own("clients_and_news_arrive_over_a_slow_line_in_which_megabytes_wait") {
        return;
    }
    check(&Line {
        what: "20 KB/s, 4 MB of queue",
        bytes_per_s: 20_000,
        queue: 4 << 20,
        way_ms: 20,
        loss: 0.0,
    });
}
