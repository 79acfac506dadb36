//! Neighbours that are odd: whose clock is off, who has the name of another, or another herd.conf, and a
//! server that meets itself. Each is told by name where somebody looks.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use tempfile::TempDir;

use crate::harness::{
    Client, HERD, Herd, LinkEnd, Process, Server, build_library, folder_with, run, wait_for,
};

const QUICK: &str = "timing.heartbeat_ms = 200\ntiming.compare_ms = 300";
const LINE: [(&str, &str); 2] = [("Goloman", "Hands"), ("Hands", "Welsh")];
const NAMES: [&str; 3] = ["Goloman", "Hands", "Welsh"];

/// A clock that a test sets: a library between a server and the system, told by a file.
struct Clock {
    library: PathBuf,
    folder: TempDir,
}

impl Clock {
    fn new() -> Clock {
        let folder = tempfile::tempdir().expect("a folder");
        let library = build_library(&folder, include_str!("harness/clock.c"));
        Clock { library, folder }
    }

    /// Off by so many seconds from here on.
    fn set(&self, seconds: i64) {
        let unfinished = self.folder.path().join("unfinished");
        fs::write(&unfinished, seconds.to_string()).expect("written");
        fs::rename(unfinished, self.file()).expect("renamed");
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("clock")
    }

    fn start(&self, herd: &Herd, name: &str) -> Server {
        let mut command = Command::new(HERD);
        command.arg(name).env("LD_PRELOAD", &self.library).env("HERD_TEST_CLOCK", self.file());
        Server::start_by(&mut command, herd.folder.path(), name)
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs()
}

/// Says where a client is now, by the right time.
fn tell(server: &Server, client: &str) -> String {
    server.ask(&format!("IAMAT {client} +1+1 {}\n", now_s())).trim_end().to_owned()
}

fn agree(herd: &Herd) -> (Option<i32>, String) {
    let (status, stdout, _) = run(herd.folder.path(), &["--agree", "--wait", "15s"]);
    (status, stdout)
}

#[test]
fn a_slow_clock_makes_no_server_mute_and_is_told_by_all() {
    const HOUR: i64 = 3_600;
    for behind in [HOUR, 50 * 365 * 24 * HOUR] {
        let clock = Clock::new();
        clock.set(-behind);
        let herd = Herd::new(&NAMES, &LINE, &format!("forget_after = \"15m\"\n{QUICK}"), &[]);
        let goloman = clock.start(&herd, "Goloman");
        let (hands, welsh) = (herd.start("Hands"), herd.start("Welsh"));
        let line = tell(&goloman, "kiwi");
        hands.wait_to_know("kiwi", &line);
        // Known also where nobody measures the slow clock.
        welsh.wait_to_know("kiwi", &line);
        let (status, stdout) = agree(&herd);
        assert_eq!(status, Some(0), "{stdout}");
        let side = if behind == HOUR { "1 h 0 s" } else { "18250 d 0 s" };
        assert!(stdout.contains(&format!("the clock of Goloman is {side} behind ours")), "{stdout}");
        hands.wait_for_log(&format!("[WARN] the clock of Goloman is {side} behind ours"));
        let log = goloman.wait_for_log(&format!("[WARN] the clock of Hands is {side} ahead of ours"));
        assert_eq!(log.matches("the clock of Hands is").count(), 1, "it is told once");
        // Set right, as when the network comes up.
        clock.set(0);
        goloman.wait_for_log("the clock of this machine jumped forward by");
        hands.wait_for_log("the clock of Goloman and ours agree again");
        // Another client, as a report of the same second would be no news.
        welsh.wait_to_know("fig", &tell(&goloman, "fig"));
        let (status, stdout) = agree(&herd);
        assert!(status == Some(0) && !stdout.contains("the clock of"), "{stdout}");
        // What it stamped is still to be forgotten.
        assert!(stdout.contains("later than forget_after says"), "{stdout}");
    }
}

#[test]
fn a_server_whose_own_clock_is_wrong_accuses_no_client() {
    let clock = Clock::new();
    clock.set(-(now_s() as i64) + 3 * 86_400);
    let herd = Herd::new(&NAMES[..1], &[], "", &[]);
    let goloman = clock.start(&herd, "Goloman");
    for client in ["kiwi", "fig", "plum"] {
        tell(&goloman, client);
    }
    let log =
        goloman.wait_for_log("[WARN] reports are far ahead of this machine's clock, which seems to be wrong");
    assert!(!log.contains("milliseconds") && !log.contains("kiwi reports"), "{log}");
    let (_, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert!(!stdout.contains("far ahead"), "{stdout}");
}

#[test]
fn a_client_far_ahead_of_its_time_hides_nothing_on_any_server() {
    let herd = Herd::new(&NAMES, &LINE, QUICK, &[]);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    let far = goloman.ask("IAMAT kiwi +9+9 2147483647\n");
    assert!(far.starts_with("AT Goloman -"), "{far}");
    goloman.wait_for_log("[WARN] kiwi reports a time far ahead, 2147483647: its clock seems to be wrong");
    hands.wait_to_know("kiwi", far.trim_end());
    // By a neighbour, too, and with a number of any length.
    let mut welsh = Client::connect_from(herd.ip("Welsh"), hands.address);
    welsh.send("AT Welsh +0.1 fig +9+9 99999999999999999999999\n");
    goloman.wait_to_know("fig", "AT Welsh +0.1 fig +9+9 99999999999999999999999");
    let right = ["kiwi", "fig"].map(|client| (client, tell(&hands, client)));
    right.iter().for_each(|(client, line)| goloman.wait_to_know(client, line));
    // Again, to each of them; then a start that reads its journal, and one that has none and hears of it.
    for server in [&goloman, &hands] {
        assert!(server.ask("IAMAT kiwi +9+9 2147483647\n").starts_with("AT "));
    }
    let welsh = herd.start("Welsh");
    right.iter().for_each(|(client, line)| welsh.wait_to_know(client, line));
    assert_eq!((goloman.stop(), hands.stop(), welsh.stop()), (Some(0), Some(0), Some(0)));
    // Its journal has both, and nobody tells it.
    let goloman = herd.start("Goloman");
    for (client, line) in &right {
        assert_eq!(goloman.knows(client).as_deref(), Some(line.as_str()));
    }
    let servers = [goloman, herd.start("Hands"), herd.start("Welsh")];
    let (status, stdout) = agree(&herd);
    assert_eq!(status, Some(0), "{stdout}");
    for (client, line) in &right {
        assert!(servers.iter().all(|server| server.knows(client).as_deref() == Some(line)), "{client}");
    }
}

#[test]
fn a_record_that_comes_too_late_is_counted_and_told() {
    let settings = "forget_after = \"15m\"\ntiming.settle_ms = 10";
    let herd = Herd::new(&NAMES[..2], &LINE[..1], settings, &[]);
    let goloman = herd.start("Goloman");
    let mut hands = Client::connect_from(herd.ip("Hands"), goloman.address);
    // Nobody is too late before the clock has been looked at.
    wait_for("one to be too late", || {
        hands.send(format!("AT Hands +0.5 old +1+1 {}\n", now_s() - 1_000));
        goloman.log_text().contains("it was last heard longer than forget_after ago; 1 so far").then_some(())
    });
    hands.send(format!("AT Hands +0.5 new +1+1 {}\n", now_s()));
    wait_for("the new one", || goloman.knows("new"));
    assert_eq!(goloman.knows("old"), None);
    let (_, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert!(
        stdout.contains(
            "since the start, the last of them lately: of neighbours dropped: forget_after had passed"
        ),
        "{stdout}"
    );
}

#[test]
fn two_servers_of_one_name_are_told_to_both_and_by_agree() {
    let settings = format!("secret_file = \"herd.key\"\n{QUICK}");
    let herd = Herd::new(&NAMES[..2], &LINE[..1], &settings, &[]);
    let conf = fs::read_to_string(herd.folder.path().join("herd.conf")).expect("text");
    let elsewhere = crate::harness::free_address();
    let moved = folder_with(&conf.replace(&herd.address("Hands").to_string(), &elsewhere.to_string()));
    for folder in [&herd.folder, &moved] {
        let key = folder.path().join("herd.key");
        fs::write(&key, "a secret that all of them know\n").expect("written");
        fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    }
    let goloman = herd.start("Goloman");
    let (one, other) = (herd.start("Hands"), Server::start(moved.path(), "Hands"));
    let log = goloman.wait_for_log("two servers call themselves Hands, one at ");
    let told = log.lines().find(|line| line.contains("two servers call")).expect("a line");
    let ips = [one.address.ip(), other.address.ip()].map(|ip| format!("at {ip}:"));
    assert!(told.contains("[WARN]") && ips.iter().all(|ip| told.contains(ip)), "{told}");
    for (hands, ip) in [(&one, other.address.ip()), (&other, one.address.ip())] {
        hands.wait_for_log(&format!(
            "another server calls itself Hands, as we do: Goloman has a link from it at {ip}"
        ));
    }
    let (_, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert!(stdout.contains("two servers call themselves Hands"), "{stdout}");
    // Once one of them is gone nothing is odd any more.
    assert_eq!(other.stop(), Some(0));
    wait_for("the other to be forgotten", || {
        let (status, stdout, _) = run(herd.folder.path(), &["--agree"]);
        (status == Some(0) && !stdout.contains("two servers")).then_some(())
    });
}

#[test]
fn a_restart_is_not_told_as_a_second_server() {
    let herd = Herd::new(&NAMES[..2], &LINE[..1], QUICK, &[]);
    let goloman = herd.start("Goloman");
    for round in 0..3 {
        let mut hands = herd.start("Hands");
        goloman.wait_to_know(&format!("c{round}"), &tell(&hands, &format!("c{round}")));
        hands.process.child.kill().expect("killed");
        hands.process.wait();
    }
    let hands = herd.start("Hands");
    goloman.wait_to_know("last", &tell(&hands, "last"));
    let (_, stdout) = agree(&herd);
    assert!(!stdout.contains("two servers") && !goloman.log_text().contains("two servers"), "{stdout}");
}

#[test]
fn another_herd_conf_is_told_on_both_sides_and_by_agree() {
    let herd = Herd::new(&NAMES[..2], &LINE[..1], QUICK, &[]);
    let conf = fs::read_to_string(herd.folder.path().join("herd.conf")).expect("text");
    let other = folder_with(&format!("forget_after = \"24h\"\n{conf}"));
    let goloman = herd.start("Goloman");
    let hands = Server::start(other.path(), "Hands");
    goloman.wait_for_log("[WARN] the herd.conf of Hands differs from ours");
    hands.wait_for_log("[WARN] the herd.conf of Goloman differs from ours");
    let (_, stdout) = agree(&herd);
    assert!(stdout.contains("the herd.conf of Hands differs from ours"), "{stdout}");
    assert!(stdout.contains("its herd.conf, as it last read it, is not this one"), "{stdout}");
    // The file is copied, and the server that read the old one restarted.
    fs::write(other.path().join("herd.conf"), &conf).expect("written");
    assert_eq!(hands.stop(), Some(0));
    let _hands = Server::start(other.path(), "Hands");
    wait_for("nothing to be odd", || {
        let (status, stdout) = agree(&herd);
        (status == Some(0) && !stdout.contains("herd.conf")).then_some(())
    });
}

#[test]
fn a_difference_that_stays_is_told() {
    let settings = "timing.compare_ms = 100\ntiming.differ_ms = 500";
    let herd = Herd::new(&NAMES[..2], &LINE[..1], settings, &[]);
    let hands = herd.listen_as("Hands");
    let goloman = herd.start("Goloman");
    let mut link = LinkEnd::accept(&hands, "Hands");
    tell(&goloman, "kiwi");
    // A neighbour that never has what it is sent.
    let nothing = format!("DIGEST - - 0 {}\n", "0".repeat(16 * 256));
    let mut asked = 0;
    while !goloman.log_text().contains("known different clients for over 0.5 s") {
        let line = link.line();
        asked += usize::from(line == "ASK - -\n");
        match line.split_once(' ') {
            Some(("MARK", epoch)) => link.say(&format!("SEEN {epoch}")),
            _ if line == "ASK - -\n" => link.say(&nothing),
            _ => {}
        }
        assert!(asked < 50, "it compares again and again and says nothing");
    }
    drop(hands);
    let (_, stdout, _) = run(herd.folder.path(), &["--agree"]);
    assert!(stdout.contains("Hands and this server have long known different clients"), "{stdout}");
}

#[test]
fn a_machine_without_random_bytes_is_told_as_that() {
    let clock = Clock::new();
    let herd = Herd::new(&NAMES[..2], &LINE[..1], "", &[]);
    let goloman = clock.start(&herd, "Goloman");
    fs::write(clock.folder.path().join("clock.random"), "").expect("written");
    let mut hands = Client::connect_from(herd.ip("Hands"), goloman.address);
    hands.send(format!("HERD 1 Hands {:016x} {:032x} {:016x}\n", 7, 8, 9));
    assert!(hands.text_line().starts_with("? HERD 1 Hands "));
    assert_eq!(hands.text_line(), "DENIED random\n");
    goloman.wait_for_log("which calls itself Hands: this machine has no random bytes to greet it with");
}

/// Runs a script as root of a network of its own, whose only ports to dial from are these.
fn few_ports(folder: &TempDir, ports: &str, script: &str) -> Process {
    let script = format!(
        "ip link set lo up && echo '{ports}' > /proc/sys/net/ipv4/ip_local_port_range && echo ready\n{script}"
    );
    let mut command = Command::new("unshare");
    command.args(["-rmnpf", "--kill-child", "--mount-proc", "sh", "-c", &script]);
    Process::start(&mut command, folder.path())
}

#[test]
fn a_server_that_meets_itself_tries_again_and_keeps_nobody_out() {
    let hands: SocketAddr = "127.0.0.1:40001".parse().expect("an address");
    let conf = format!(
        "{QUICK}\nlog_level = \"debug\"\n[servers.Goloman]\nlisten = \"127.0.0.1:7001\"\nneighbours = [\"Hands\"]\n\
         [servers.Hands]\nlisten = \"{hands}\"\n"
    );
    let folder = folder_with(&conf);
    let script = format!(
        "{HERD} Goloman > /dev/null & while ! [ -e go ]; do sleep 0.05; done
         echo '40000 40099' > /proc/sys/net/ipv4/ip_local_port_range
         {HERD} Hands > /dev/null & {HERD} --agree --wait 15s; echo status $?"
    );
    let mut process = few_ports(&folder, "40000 40001", &script);
    if process.line() != "ready" {
        eprintln!("not tested here: a server that meets itself; {}", process.stderr().trim_end());
        return;
    }
    let log =
        |name: &str| fs::read_to_string(folder.path().join(format!("log/{name}.log"))).unwrap_or_default();
    wait_for("it to meet itself", || log("Goloman").contains("connected us to ourselves").then_some(()));
    assert!(!log("Goloman").contains("plain = true"), "{}", log("Goloman"));
    fs::write(folder.path().join("go"), "").expect("written");
    let said = process.lines_until("status");
    assert!(said.iter().any(|line| line == "status 0"), "{said:?} {}", process.stderr());
}
