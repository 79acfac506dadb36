//! One position told to any server is known to all, in any graph, whatever happens to neighbours.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::harness::{Client, HANG, Herd, LinkEnd, Server, folder_with, free_address, wait_for};

const NAMES: [&str; 5] = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];

/// Tells every server a client of its own and waits until each has the same line of all.
fn check_every_origin(servers: &[Server]) {
    let told: Vec<_> = servers
        .iter()
        .map(|server| {
            let client = format!("told-{}", server.name);
            let line = server.ask(&format!("IAMAT {client} +34.068930-118.445127 1520023934.918963997\n"));
            (client, line.trim_end().to_owned())
        })
        .collect();
    for server in servers {
        told.iter().for_each(|(client, line)| server.wait_to_know(client, line));
    }
}

fn check_graph(edges: &[(&str, &str)]) {
    let herd = Herd::new(&NAMES, edges, "", &[]);
    check_every_origin(&herd.start_all());
}

#[test]
fn a_line_floods() {
    check_graph(&[("Goloman", "Hands"), ("Hands", "Holiday"), ("Holiday", "Welsh"), ("Welsh", "Wilkes")]);
}

#[test]
fn a_ring_floods() {
    let line = [("Goloman", "Hands"), ("Hands", "Holiday"), ("Holiday", "Welsh"), ("Welsh", "Wilkes")];
    check_graph(&[&line[..], &[("Wilkes", "Goloman")]].concat());
}

#[test]
fn a_star_floods() {
    check_graph(&NAMES[1..].iter().map(|name| ("Goloman", *name)).collect::<Vec<_>>());
}

#[test]
fn a_full_mesh_floods() {
    let edges = (0..5).flat_map(|a| (a + 1..5).map(move |b| (NAMES[a], NAMES[b])));
    check_graph(&edges.collect::<Vec<_>>());
}

/// The shipped herd.conf with every port replaced by a free one of 127.0.0.1.
fn shipped_conf(host: &str) -> String {
    let mut conf = include_str!("../../herd.conf").to_owned();
    for port in 16_675..16_680 {
        let free = TcpListener::bind((host, 0)).and_then(|listener| listener.local_addr()).expect("free");
        let written = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        conf = conf.replace(&format!("127.0.0.1:{port}"), &format!("{written}:{}", free.port()));
    }
    conf
}

#[test]
fn the_shipped_herd_floods_though_all_share_one_address() {
    let folder = folder_with(&shipped_conf("127.0.0.1"));
    let servers: Vec<_> = NAMES.iter().map(|name| Server::start(folder.path(), name)).collect();
    check_every_origin(&servers);
}

#[test]
fn a_herd_floods_over_ipv6() {
    let folder = folder_with(&shipped_conf("::1"));
    let servers: Vec<_> = NAMES.iter().map(|name| Server::start(folder.path(), name)).collect();
    assert!(servers.iter().all(|server| server.address.is_ipv6()));
    check_every_origin(&servers);
}

#[test]
fn hosts_may_be_names() {
    let port = |_| TcpListener::bind("127.0.0.1:0").and_then(|at| at.local_addr()).expect("free").port();
    let [a, b] = [0, 1].map(port);
    let folder = folder_with(&format!(
        "[servers.A]\nlisten = \"localhost:{a}\"\nneighbours = [\"B\"]\n[servers.B]\nlisten = \"localhost:{b}\"\n"
    ));
    let servers = ["A", "B"].map(|name| Server::start(folder.path(), name));
    check_every_origin(&servers);
}

#[test]
fn a_server_that_listens_everywhere_is_known_by_its_address() {
    let [everywhere, other] = [free_address(), free_address()];
    let port = everywhere.port();
    let folder = folder_with(&format!(
        "insecure_neighbours = true\n[servers.A]\nlisten = \"0.0.0.0:{port}\"\naddress = \"{everywhere}\"\nneighbours = [\"B\"]\n\
         [servers.B]\nlisten = \"{other}\"\n"
    ));
    let servers = ["A", "B"].map(|name| Server::start(folder.path(), name));
    check_every_origin(&servers);
}

#[test]
fn servers_told_the_same_time_settle_on_the_same_line() {
    let herd = Herd::new(&NAMES[..2], &[("Goloman", "Hands")], "", &[]);
    let servers = herd.start_all();
    for round in 0..50 {
        let lines: Vec<_> =
            servers.iter().map(|server| server.ask(&format!("IAMAT c{round} +1+1 7\n"))).collect();
        // The greater origin wins, unless Goloman's flood was there before Hands was asked.
        wait_for("both to agree", || {
            let known = servers.iter().map(|server| server.knows(&format!("c{round}"))).collect::<Vec<_>>();
            (known[0].is_some()
                && known[0] == known[1]
                && lines.iter().any(|line| Some(line.trim_end()) == known[0].as_deref()))
            .then_some(())
        });
    }
}

#[test]
fn a_neighbour_that_starts_late_or_comes_back_empty_gets_everything() {
    let herd = Herd::new(&NAMES[..3], &[("Goloman", "Hands"), ("Hands", "Holiday")], "", &[]);
    let goloman = herd.start("Goloman");
    let tell = |i: u32| goloman.ask(&format!("IAMAT c{i} +1+1 {i}\n")).trim_end().to_owned();
    let mut lines: Vec<_> = (0..500).map(tell).collect();
    let mut hands = herd.start("Hands");
    lines.iter().enumerate().for_each(|(i, line)| hands.wait_to_know(&format!("c{i}"), line));
    let holiday = herd.start("Holiday");
    holiday.wait_to_know("c499", &lines[499]);
    goloman.wait_for_log("link to Hands is up");
    hands.process.child.kill().expect("killed");
    hands.process.wait();
    lines.extend((500..600).map(tell));
    let hands = herd.start("Hands");
    for server in [&hands, &holiday] {
        lines.iter().enumerate().for_each(|(i, line)| server.wait_to_know(&format!("c{i}"), line));
    }
    let log = goloman.wait_for_log("link to Hands is up");
    assert!(log.matches("link to Hands is down").count() <= 1, "not a line per try");
}

#[test]
fn a_neighbour_that_is_away_is_logged_once_however_often_it_is_tried() {
    let herd = Herd::new(&NAMES[..2], &[("Goloman", "Hands")], "log_level = \"debug\"", &[]);
    let goloman = herd.start("Goloman");
    goloman.wait_for_log("link to Hands is down");
    let tries = |log: &str| log.matches("next try of Hands").count();
    let before = tries(&goloman.log_text());
    wait_for("two more tries", || (tries(&goloman.log_text()) >= before + 2).then_some(()));
    assert_eq!(goloman.log_text().matches("link to Hands is down").count(), 1);
    let _hands = herd.start("Hands");
    goloman.wait_for_log("link to Hands is up");
}

/// A load of distinct clients on one connection, every reply checked, and the time of the slowest.
fn load(server: &Server, clients: u32, pad: usize) {
    let mut client = server.client();
    let pad = "x".repeat(pad);
    let begun = Instant::now();
    for i in 0..clients {
        client.send(format!("IAMAT load{i}{pad} +1+1 {i}\n"));
        let reply = client.text_line();
        assert!(reply.starts_with("AT ") && reply.ends_with(&format!(" +1+1 {i}\n")), "{reply}");
    }
    assert!(begun.elapsed() < HANG, "a client was held up");
}

#[test]
fn a_stuck_neighbour_holds_up_nobody_and_costs_bounded_memory() {
    let herd =
        Herd::new(&NAMES[..3], &[("Goloman", "Hands"), ("Goloman", "Holiday")], "write_timeout_s = 1", &[]);
    // Accepts, and never reads.
    let stuck = herd.listen_as("Hands");
    let (goloman, holiday) = (herd.start("Goloman"), herd.start("Holiday"));
    let held = LinkEnd::accept(&stuck, "Hands");
    let before_kb = goloman.process.status("VmRSS");
    let line = (0..8).map(|round| {
        load(&goloman, 2_000, 2_000 - round);
        goloman.ask(&format!("IAMAT round{round} +1+1 1\n"))
    });
    for (round, line) in line.enumerate() {
        holiday.wait_to_know(&format!("round{round}"), line.trim_end());
    }
    goloman.wait_for_log("link to Hands is down: it took nothing for 1 s");
    let grown_kb = goloman.process.status("VmRSS") - before_kb;
    assert!(grown_kb < 200_000, "{grown_kb} kB");
    // When it reads again it has everything.
    drop((held, stuck));
    let hands = herd.start("Hands");
    let last = goloman.knows("round7").expect("known");
    hands.wait_to_know("round7", &last);
    hands.wait_to_know(
        &format!("load0{}", "x".repeat(2_000)),
        &goloman.knows(&format!("load0{}", "x".repeat(2_000))).expect("known"),
    );
}

#[test]
fn a_slow_neighbour_gets_all_in_the_end() {
    let herd = Herd::new(&NAMES[..2], &[("Goloman", "Hands")], "", &[]);
    let slow = herd.listen_as("Hands");
    let goloman = herd.start("Goloman");
    let mut link = LinkEnd::accept(&slow, "Hands");
    load(&goloman, 3_000, 1_000);
    // Nothing was read so far; now all is, from the queue or from the store.
    let mut clients = std::collections::BTreeSet::new();
    while clients.len() < 3_000 {
        let line = link.at_line();
        clients.insert(line.split(' ').nth(3).expect("a client").to_owned());
    }
}

/// Accepts connections and collects what each said, until the herd is done.
struct Plain<'a> {
    listener: TcpListener,
    done: &'a AtomicBool,
}

impl Plain<'_> {
    fn collect(self) -> Vec<Vec<u8>> {
        let mut said = Vec::new();
        for stream in self.listener.incoming() {
            let mut bytes = Vec::new();
            stream.expect("accepted").read_to_end(&mut bytes).expect("read");
            if self.done.load(Ordering::SeqCst) {
                break;
            }
            said.push(bytes);
        }
        said
    }
}

#[test]
fn a_plain_neighbour_gets_a_connection_per_line_and_may_end_one_with_its_eof() {
    let herd = Herd::new(&["Goloman", "Plain"], &[("Goloman", "Plain")], "", &[("Plain", "plain = true")]);
    let (listener, done, address) = (herd.listen_as("Plain"), AtomicBool::new(false), herd.address("Plain"));
    let goloman = herd.start("Goloman");
    std::thread::scope(|scope| {
        let plain = scope.spawn(|| Plain { listener, done: &done }.collect());
        let told: Vec<_> = (0..5).map(|i| goloman.ask(&format!("IAMAT c{i} +1+1 1\n"))).collect();
        goloman.wait_for_log("flood Plain AT Goloman");
        wait_for("all lines to be sent", || {
            (goloman.log_text().matches("flood Plain AT").count() == 5).then_some(())
        });
        let heard = Client::connect_from(herd.ip("Plain"), goloman.address).say("AT Plain +0.5 p +1+1 1");
        assert_eq!(heard, "");
        goloman.wait_to_know("p", "AT Plain +0.5 p +1+1 1");
        assert_eq!(goloman.stop(), Some(0));
        done.store(true, Ordering::SeqCst);
        drop(std::net::TcpStream::connect(address).expect("connected"));
        let mut said = plain.join().expect("joined");
        said.sort();
        let mut told: Vec<_> = told.into_iter().map(String::into_bytes).collect();
        told.sort();
        assert_eq!(said, told, "one line a connection, and its own is not sent back");
    });
}

#[test]
fn news_goes_on_to_all_but_its_source_and_stale_lines_to_nobody() {
    let herd =
        Herd::new(&["Goloman", "Hands", "Wilkes"], &[("Goloman", "Hands"), ("Goloman", "Wilkes")], "", &[]);
    let (hands, wilkes) = (herd.listen_as("Hands"), herd.listen_as("Wilkes"));
    let goloman = herd.start("Goloman");
    let (mut to_hands, mut to_wilkes) =
        (LinkEnd::accept(&hands, "Hands"), LinkEnd::accept(&wilkes, "Wilkes"));
    // From here on only news is sent, no more of the store.
    goloman.wait_for_log("link to Hands is up");
    goloman.wait_for_log("link to Wilkes is up");
    let mut from_hands = Client::connect_from(herd.ip("Hands"), goloman.address);
    from_hands.send("AT Hands +0.1 a +1+1 5\nAT Hands +0.1 a +1+1 4\nAT Hands +0.1 a +1+1 5\n");
    goloman.wait_to_know("a", "AT Hands +0.1 a +1+1 5");
    let mark = goloman.ask("IAMAT mark +1+1 1\n");
    let mut heard = [to_wilkes.at_line(), to_wilkes.at_line()];
    heard.sort();
    assert_eq!(heard, [mark.clone(), "AT Hands +0.1 a +1+1 5\n".to_owned()]);
    assert_eq!(to_hands.at_line(), mark, "its own news is not sent back");
}

#[test]
fn a_server_that_refuses_our_lines_is_reported() {
    let (address, other) = (free_address(), free_address());
    let conf =
        |name: &str, at: SocketAddr, rest: &str| format!("[servers.{name}]\nlisten = \"{at}\"\n{rest}\n");
    let ours = conf("A", address, "neighbours = [\"B\"]") + &conf("B", other, "");
    let (ours, theirs) = (folder_with(&ours), folder_with(&conf("B", other, "")));
    let b = Server::start(theirs.path(), "B");
    let a = Server::start(ours.path(), "A");
    let line = a.ask("IAMAT c +1+1 1\n");
    a.wait_for_log(
        "link to B is down: it refuses us: the herd.conf that B last read does not name A as its \
         neighbour; if the file does now, have it read again there: herdctl reload B",
    );
    b.wait_for_log("which calls itself A: our herd.conf, as this server last read it, names no such");
    assert_eq!(b.knows("c"), None, "{line}");
}

#[test]
fn five_servers_under_load_hold_the_same_in_the_end() {
    let edges = [
        ("Goloman", "Hands"),
        ("Goloman", "Holiday"),
        ("Goloman", "Wilkes"),
        ("Hands", "Wilkes"),
        ("Holiday", "Welsh"),
        ("Holiday", "Wilkes"),
    ];
    let herd = Herd::new(&NAMES, &edges, "log_level = \"warn\"", &[]);
    let servers = herd.start_all();
    std::thread::scope(|scope| {
        for (salt, server) in servers.iter().enumerate() {
            scope.spawn(move || {
                let mut client = server.client();
                let mut random = fastrand::Rng::with_seed(salt as u64);
                let lines: Vec<_> = (0..4_000)
                    .map(|_| {
                        format!("IAMAT c{} +{}+1 {}\n", random.u8(..50), random.u8(..3), random.u8(..40))
                    })
                    .collect();
                client.stream.write_all(lines.concat().as_bytes()).expect("sent");
                lines.iter().for_each(|_| assert!(client.text_line().starts_with("AT ")));
            });
        }
    });
    wait_for("all servers to agree on all clients", || {
        let known = |server: &Server| (0..50).map(|i| server.knows(&format!("c{i}"))).collect::<Vec<_>>();
        let first = known(&servers[0]);
        (first.iter().all(Option::is_some) && servers[1..].iter().all(|server| known(server) == first))
            .then_some(())
    });
}
