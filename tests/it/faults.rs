//! Faults in real processes: servers killed in pairs, a rolling restart under load, hosts that do
//! not reach each other for long, and a server that comes back with nothing.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::harness::{HANG, HERD, Herd, Process, Server, run, wait_for};

const NAMES: [&str; 5] = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];
const EDGES: [(&str, &str); 6] = [
    ("Goloman", "Hands"),
    ("Goloman", "Holiday"),
    ("Goloman", "Wilkes"),
    ("Hands", "Wilkes"),
    ("Holiday", "Welsh"),
    ("Holiday", "Wilkes"),
];

fn five(settings: &str) -> Herd {
    Herd::new(&NAMES, &EDGES, settings, &[])
}

fn tell(server: &Server, client: &str, time: u32) -> String {
    server.ask(&format!("IAMAT {client} +1+1 {time}\n")).trim_end().to_owned()
}

fn check_agreement(herd: &Herd) {
    let (status, stdout, stderr) = run(herd.folder.path(), &["--agree", "--wait", "60s"]);
    assert_eq!(status, Some(0), "{stdout}{stderr}");
}

#[test]
fn every_pair_of_five_may_be_killed_and_comes_back_to_agreement() {
    let herd = five("log_level = \"warn\"");
    let mut servers: Vec<_> = herd.start_all().into_iter().map(Some).collect();
    let mut time = 0;
    for first in 0..5 {
        for second in first + 1..5 {
            for killed in [first, second] {
                let mut server = servers[killed].take().expect("it runs");
                server.process.child.kill().expect("killed");
                server.process.wait();
            }
            time += 1;
            let alive: Vec<_> = servers.iter().flatten().collect();
            let told: Vec<_> = alive.iter().map(|server| tell(server, &server.name, time)).collect();
            assert!(told.iter().all(|line| line.starts_with("AT ")));
            for back in [first, second] {
                servers[back] = Some(herd.start(NAMES[back]));
            }
        }
    }
    check_agreement(&herd);
    let newest = servers[0].as_ref().and_then(|server| server.knows("Welsh")).expect("known");
    assert!(newest.ends_with(" 9"), "Welsh last told of itself before it was in the killed pair: {newest}");
}

/// Reports to a server over connections of its own, again and again wherever it is cut off, until
/// told to stop; returns the last time that was acknowledged of each client.
fn report(address: SocketAddr, salt: usize, done: &AtomicBool) -> HashMap<String, u64> {
    let mut acknowledged = HashMap::new();
    let mut number = 0;
    while !done.load(Ordering::SeqCst) {
        let Ok(stream) = TcpStream::connect(address) else {
            std::thread::sleep(Duration::from_millis(5));
            continue;
        };
        stream.set_read_timeout(Some(HANG)).expect("set");
        let mut replies = BufReader::new(stream.try_clone().expect("cloned"));
        while !done.load(Ordering::SeqCst) {
            number += 1;
            let client = format!("c{salt}-{}", number % 20);
            let mut reply = String::new();
            let said = (&stream).write_all(format!("IAMAT {client} +1+1 {number}\n").as_bytes());
            if said.is_err() || !replies.read_line(&mut reply).is_ok_and(|count| count > 0) {
                break;
            }
            if reply.starts_with("AT ") && reply.ends_with('\n') {
                acknowledged.insert(client, number);
            }
        }
    }
    acknowledged
}

#[test]
fn a_rolling_restart_under_load_loses_nothing_that_was_acknowledged() {
    let herd = five("log_level = \"warn\"");
    let mut servers: Vec<_> = herd.start_all().into_iter().map(Some).collect();
    let done = AtomicBool::new(false);
    let acknowledged = std::thread::scope(|scope| {
        let done = &done;
        let loads: Vec<_> = (0..5)
            .map(|index| {
                let address = herd.addresses[index];
                scope.spawn(move || report(address, index, done))
            })
            .collect();
        for (index, name) in NAMES.iter().enumerate() {
            let server = servers[index].take().expect("it runs");
            assert_eq!(server.stop(), Some(0));
            servers[index] = Some(herd.start(name));
        }
        done.store(true, Ordering::SeqCst);
        let all: HashMap<_, _> = loads.into_iter().flat_map(|load| load.join().expect("joined")).collect();
        all
    });
    assert!(acknowledged.len() > 50, "{}", acknowledged.len());
    check_agreement(&herd);
    for server in servers.iter().flatten() {
        for (client, time) in &acknowledged {
            let known = server.knows(client).expect("known");
            let stored: u64 = known.rsplit(' ').next().and_then(|time| time.parse().ok()).expect("a time");
            assert!(stored >= *time, "{}: {known}, acknowledged {time}", server.name);
        }
    }
}

#[test]
fn a_server_that_comes_back_with_nothing_is_filled_again() {
    let herd = Herd::new(&NAMES[..2], &[("Goloman", "Hands")], "log_level = \"warn\"", &[]);
    let (goloman, mut hands) = (herd.start("Goloman"), herd.start("Hands"));
    tell_clients(&goloman, 20_000);
    check_agreement(&herd);
    hands.process.child.kill().expect("killed");
    hands.process.wait();
    fs::remove_dir_all(herd.folder.path().join("data/Hands")).expect("removed");
    let _hands = herd.start("Hands");
    check_agreement(&herd);
}

/// Tells a server of clients, each once, and waits for the replies.
pub fn tell_clients(server: &Server, clients: u32) {
    let mut client = server.client();
    std::thread::scope(|scope| {
        let mut stream = client.stream.try_clone().expect("cloned");
        scope.spawn(move || {
            for first in (0..clients).step_by(1_000) {
                let reports: String = (first..clients.min(first + 1_000))
                    .map(|i| {
                        format!("IAMAT client-{i:08}.example +34.068930-118.445127 1520023934.918963997\n")
                    })
                    .collect();
                stream.write_all(reports.as_bytes()).expect("sent");
            }
        });
        (0..clients).for_each(|_| assert!(client.line().starts_with(b"AT ")));
    });
}

/// The figures of docs/journal.md: `cargo test --release --test it -- --ignored --nocapture a_million_clients`.
#[test]
#[ignore = "a figure: takes a minute and a gigabyte of disk"]
fn a_million_clients_come_back_from_the_journal_and_from_a_neighbour() {
    const CLIENTS: u32 = 1_000_000;
    let herd = Herd::new(&NAMES[..2], &[("Goloman", "Hands")], "log_level = \"info\"", &[]);
    let (goloman, mut hands) = (herd.start("Goloman"), herd.start("Hands"));
    tell_clients(&goloman, CLIENTS);
    check_agreement(&herd);
    hands.process.child.kill().expect("killed");
    hands.process.wait();
    let log = goloman.log.clone();
    assert_eq!(goloman.stop(), Some(0));
    // It has a line a report, and is searched for the next line.
    fs::remove_file(log).expect("removed");
    let goloman = herd.start("Goloman");
    let read = goloman.wait_for_log("read 1000000 clients");
    let line = read.lines().rev().find(|line| line.contains("read 1000000 clients")).expect("it is there");
    println!("a start: {}", line.split("read ").nth(1).expect("a figure"));
    fs::remove_dir_all(herd.folder.path().join("data/Hands")).expect("removed");
    let before_kb = goloman.process.status("VmHWM");
    let (hands, begun) = (herd.start("Hands"), Instant::now());
    check_agreement(&herd);
    let (took, peaks) =
        (begun.elapsed(), [&goloman, &hands].map(|server| server.process.status("VmHWM") / 1_000));
    println!(
        "an emptied server has all of it after {:.2} s; peak memory {} MB there and {} MB at its neighbour, {} MB before",
        took.as_secs_f64(),
        peaks[1],
        peaks[0],
        before_kb / 1_000
    );
}

/// Two hosts with a wire between them, each a network namespace of this test's.
struct Hosts {
    /// Its namespaces and mounts go with it.
    keeper: Process,
    _folder: tempfile::TempDir,
}

/// Runs a script as root of a user namespace of its own with two network namespaces, `a` and `b`, or
/// says that this machine does not allow it. The script ends within a minute.
fn hosts(folder: tempfile::TempDir) -> Option<Hosts> {
    let script = "set -e
        mount -t tmpfs none /run; mkdir -p /run/netns
        ip netns add a; ip netns add b
        ip link add wire-a netns a type veth peer name wire-b netns b
        for side in a b; do ip -n $side link set lo up; ip -n $side link set wire-$side up; done
        ip -n a addr add 10.99.0.1/24 dev wire-a
        ip -n b addr add 10.99.0.2/24 dev wire-b
        echo ready
        i=0; while [ $i -lt 1500 ] && ! [ -e done ]; do
            if [ -e cut ]; then rm cut; ip -n a link set wire-a down; echo cut > state; fi
            if [ -e mend ]; then rm mend; ip -n a link set wire-a up; echo mended > state; fi
            for side in a b; do
                if [ -e run-$side ]; then
                    mv run-$side ran-$side
                    ip netns exec $side sh ran-$side > out-$side 2>&1 &
                fi
            done
            sleep 0.04; i=$((i+1))
        done
        kill $(jobs -p) 2>/dev/null; wait";
    let mut command = Command::new("unshare");
    // A process namespace, too, so that nothing in it outlives it.
    command.args(["-rmnpf", "--kill-child", "--mount-proc", "sh", "-c", script]);
    let mut keeper = Process::start(&mut command, folder.path());
    if keeper.line() != "ready" {
        eprintln!("not tested here: a partition between hosts; {}", keeper.stderr().trim_end());
        return None;
    }
    Some(Hosts { keeper, _folder: folder })
}

impl Hosts {
    fn file(&self, name: &str) -> std::path::PathBuf {
        self._folder.path().join(name)
    }

    fn put(&self, name: &str, text: &str) {
        let unfinished = self.file("unfinished");
        fs::write(&unfinished, text).expect("written");
        fs::rename(unfinished, self.file(name)).expect("renamed");
    }

    fn set_wire(&self, what: &str, state: &str) {
        self.put(what, "");
        wait_for(state, || (fs::read_to_string(self.file("state")).ok()?.trim_end() == state).then_some(()));
    }

    fn output(&self, side: &str) -> String {
        fs::read_to_string(self.file(&format!("out-{side}"))).unwrap_or_default()
    }
}

#[test]
fn hosts_that_do_not_reach_each_other_for_long_agree_once_they_do() {
    let folder = crate::harness::folder_with(
        "log_level = \"warn\"\nsecret_file = \"key\"\n\
         [servers.A]\nlisten = \"10.99.0.1:7001\"\nneighbours = [\"B\"]\n[servers.B]\nlisten = \"10.99.0.2:7001\"\n",
    );
    let key = folder.path().join("key");
    fs::write(&key, "a secret that both of them know\n").expect("written");
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    // More than any buffer between the two holds.
    let lines = |side: &str| -> String {
        (0..60_000).map(|i| format!("IAMAT {side}{i}-{} +1+1 5\n", "x".repeat(150))).collect()
    };
    for side in ["a", "b"] {
        fs::write(folder.path().join(format!("{side}.txt")), lines(side)).expect("written");
    }
    let Some(mut hosts) = hosts(folder) else { return };
    let say = |address: &str, file: &str| {
        // A client in the shell of that host: all of the file, and as many replies.
        format!(
            "python3 -c \"
import socket, threading
s = socket.create_connection(('{address}', 7001))
data = open('{file}', 'rb').read()
threading.Thread(target=s.sendall, args=(data,)).start()
left = data.count(b'\\n')
while left: left -= s.recv(1 << 20).count(b'\\n')
print('told')
\"\n"
        )
    };
    for (side, name, address) in [("a", "A", "10.99.0.1"), ("b", "B", "10.99.0.2")] {
        let client = say(address, &format!("{side}.txt"));
        hosts.put(
            &format!("run-{side}"),
            &format!("{HERD} {name} 2> err-{name} &\nwhile ! [ -e go ]; do sleep 0.05; done\n{client}wait\n"),
        );
        wait_for("the server to listen", || hosts.output(side).contains("listens on").then_some(()));
    }
    let log = |name: &str| fs::read_to_string(hosts.file(&format!("log/{name}.log"))).unwrap_or_default();
    hosts.set_wire("cut", "cut");
    hosts.put("go", "");
    for side in ["a", "b"] {
        wait_for("all to be told", || hosts.output(side).contains("told").then_some(()));
    }
    wait_for("the link to be down", || log("A").contains("link to B is down").then_some(()));
    hosts.set_wire("mend", "mended");
    hosts.put("agree", &format!("{HERD} --agree --wait 30s; echo status $?\n"));
    fs::rename(hosts.file("agree"), hosts.file("run-a")).expect("renamed");
    wait_for("an answer", || hosts.output("a").contains("status").then_some(()));
    let output = hosts.output("a");
    let counts: Vec<_> = output.lines().filter_map(|line| line.split_whitespace().nth(1)).collect();
    assert_eq!(counts, ["clients", "120000", "120000", "0"], "{output}");
    hosts.put("done", "");
    hosts.keeper.wait();
}
