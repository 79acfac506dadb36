//! Guests that take all there is: the herd's own go on, the silent make way, and an address has its share.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::harness::{Client, GOLOMAN_AND_HANDS, HERD, Herd, ONE_LINK, Server, run, wait_for};

/// Whether the server has ended a connection on which it has nothing to say.
fn is_ended(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).expect("set");
    let ended = match { stream }.read(&mut [0; 1]) {
        Ok(count) => count == 0,
        Err(why) => why.kind() != std::io::ErrorKind::WouldBlock,
    };
    stream.set_nonblocking(false).expect("set");
    ended
}

/// Holds so many connections without a word, and takes each slot again that becomes free, until told to go.
fn crowd(address: SocketAddr, count: usize, done: &AtomicBool) {
    let mut held: Vec<_> = (0..count).map(|_| TcpStream::connect(address).expect("connected")).collect();
    while !done.load(Ordering::SeqCst) {
        for stream in &mut held {
            if is_ended(stream) {
                *stream = TcpStream::connect(address).expect("connected");
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Ends a crowd, also when a test fails in its midst.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn a_neighbour_is_let_in_and_the_herd_can_be_asked_though_strangers_take_every_slot() {
    for settings in ["", "secret_file = \"herd.key\"\n"] {
        let settings = format!("{settings}max_connections = 20\nlog_level = \"info\"");
        let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, &settings, &[]);
        crate::harness::write_secret(&herd.folder.path().join("herd.key"), "a secret of the herd's\n");
        let goloman = herd.start("Goloman");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _ends = Ends(&done);
            scope.spawn(|| crowd(goloman.address, 60, &done));
            goloman.wait_for_log("connections are open, as max_connections");
            let hands = herd.start("Hands");
            hands.tell("kiwi");
            goloman.wait_for_log(" kiwi +1+1 1");
            let (status, stdout, stderr) = run(herd.folder.path(), &["--agree", "--wait", "10s"]);
            assert_eq!(status, Some(0), "{stdout}{stderr}");
            let hands_again = hands.stop().map(|_| herd.start("Hands")).expect("stopped");
            hands_again.tell("fig");
            goloman.wait_for_log(" fig +1+1 1");
        });
    }
}

/// Proves this name, which no secret protects, on so many connections; those that are still open are kept.
fn prove(herd: &Herd, name: &str, address: SocketAddr, count: usize) -> Vec<Client> {
    let greet = |number: usize| {
        let mut client = Client::connect_from(herd.ip("Hands"), address);
        client.send(format!("HERD 1 {name} {:016x} {number:032x}\n", 7));
        let is_welcome = client.rest_of_a_line().starts_with(b"HERD 1 Goloman ");
        let sent = is_welcome && client.stream.write_all(b"PROOF -\n").is_ok();
        sent.then_some(client)
    };
    (0..count).filter_map(greet).collect()
}

#[test]
fn whoever_has_one_name_or_only_asks_takes_no_slots_of_another_name() {
    for liar in ["Hands", "-"] {
        let settings = "max_connections = 20\nlog_level = \"info\"";
        let herd = Herd::new(
            &["Goloman", "Hands", "Holiday"],
            &[("Goloman", "Hands"), ("Goloman", "Holiday")],
            settings,
            &[],
        );
        let goloman = herd.start("Goloman");
        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let _ends = Ends(&done);
            scope.spawn(|| crowd(goloman.address, 30, &done));
            goloman.wait_for_log("connections are open, as max_connections");
            let _proven = prove(&herd, liar, goloman.address, 200);
            let holiday = herd.start("Holiday");
            holiday.tell("kiwi");
            goloman.wait_for_log(" kiwi +1+1 1");
            goloman.wait_for_log("and no guest's slot is free");
        });
    }
}

#[test]
fn links_beyond_the_slots_of_their_name_make_way_for_clients() {
    let settings = "max_connections = 20\ntiming.silent_ms = 500\nlog_level = \"info\"";
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, settings, &[]);
    let goloman = herd.start("Goloman");
    let mut proven = prove(&herd, "Hands", goloman.address, 60);
    wait_for("a client to be served", || {
        // They go on talking, as links do.
        proven.retain_mut(|link| link.stream.write_all(b"MARK 1\n").is_ok());
        let mut client = goloman.client();
        client.send("hi\n");
        (!client.rest_of_a_line().is_empty()).then_some(())
    });
    assert!(proven.len() >= 2, "those that have slots of their own stay");
}

#[test]
fn a_stranger_without_a_slot_is_closed_at_its_first_word() {
    let settings = "max_connections = 1\nlog_level = \"info\"";
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, settings, &[]);
    let goloman = herd.start("Goloman");
    let mut first = goloman.client();
    for said in [
        "IAMAT kiwi +1+1 1\n",
        "ASK - -\n",
        "PROOF -\n",
        "AT Hands +1 kiwi +1+1 1\n",
        "\n",
        "WHATSAT kiwi 1 1\n",
    ] {
        let mut second = goloman.client();
        second.send(said);
        assert_eq!(second.rest(), b"", "{said}");
    }
    first.send("WHATSAT kiwi 0 0\n");
    assert_eq!(first.text_line(), "? WHATSAT kiwi 0 0\n", "nothing of it counted");
}

#[test]
fn the_silent_make_way_for_those_who_have_something_to_say() {
    let settings = "max_connections = 5\ntiming.silent_ms = 500\nlog_level = \"info\"";
    let (_folder, server) = crate::harness::solo(settings);
    let silent: Vec<_> = (0..4).map(|_| server.client()).collect();
    let mut busy = server.client();
    let mut i = 0;
    let mut say = |client: &mut Client| {
        i += 1;
        client.send(format!("IAMAT busy +1+1 {i}\n"));
        assert!(client.text_line().ends_with(&format!(" busy +1+1 {i}\n")));
    };
    wait_for("a newcomer to be served", || {
        say(&mut busy);
        let mut newcomer = server.client();
        newcomer.stream.set_read_timeout(Some(Duration::from_millis(200))).expect("set");
        newcomer.send("hi\n");
        newcomer.stream.read_exact(&mut [0; 5]).is_ok().then_some(())
    });
    say(&mut busy);
    assert!(silent.iter().filter(|client| is_ended(&client.stream)).count() >= 1);
    server.wait_for_log("which was silent for");
}

/// Runs a test of this file again where 10.9.0.1 is an address of the machine's; false where that is not allowed, and
/// where it already is there.
fn runs_in_a_network_of_its_own(name: &str) -> bool {
    if std::env::var_os("HERD_TEST_NETWORK").is_some() {
        return false;
    }
    let script = "ip link set lo up && ip addr add 10.9.0.1/24 dev lo && ip addr add fd09::1/64 dev lo nodad \
                  && ip addr add fd09::2/64 dev lo nodad && ip addr add fd09::9/64 dev lo nodad || exit 77; exec \"$0\" --exact \"$1\" --nocapture";
    let test = std::env::current_exe().expect("a path");
    let mut command = Command::new("unshare");
    command.args(["-rn", "sh", "-c", script]).arg(test).arg(format!("guests::{name}"));
    let done = command.env("HERD_TEST_NETWORK", "1").output().expect("unshare");
    let said = format!("{}{}", String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.code() == Some(77) || said.contains("unshare failed") {
        eprintln!("not tested here: {name}; this machine does not allow networks (unshare -rn, ip)");
        return true;
    }
    assert!(done.status.success() && said.contains("1 passed"), "{said}");
    true
}

#[test]
fn an_address_has_its_share_of_the_connections_and_this_machine_all() {
    if runs_in_a_network_of_its_own("an_address_has_its_share_of_the_connections_and_this_machine_all") {
        return;
    }
    let conf = "max_connections = 40\nmax_per_address = 3\ntiming.silent_ms = 5000\nlog_level = \"info\"\n\
                [servers.Goloman]\nlisten = \"[::]:16675\"\naddress = \"127.0.0.1:16675\"\n";
    let folder = crate::harness::folder_with(conf);
    let server = Server::start(folder.path(), "Goloman");
    let from = |source: &str| {
        let source: std::net::IpAddr = source.parse().expect("an address");
        let target = if source.is_ipv4() { "127.0.0.1" } else { "fd09::9" };
        Client::connect_from(source, SocketAddr::new(target.parse().expect("an address"), 16_675))
    };
    let is_served = |client: &mut Client| {
        client.send("hi\n");
        !client.rest_of_a_line().is_empty()
    };
    for sources in [["10.9.0.1"; 3], ["fd09::1", "fd09::2", "fd09::1"]] {
        let mut held: Vec<_> = sources.map(from).into();
        held.iter_mut().for_each(|client| assert!(is_served(client)));
        assert!(!is_served(&mut from(sources[1])), "one more than its share");
        server.wait_for_log("its address has 3 connections, as max_per_address");
        drop(held.pop());
        wait_for("its share to be free again", || is_served(&mut from(sources[1])).then_some(()));
    }
    // Of an address with its share whoever is silent makes way, and nobody from elsewhere.
    // The server may not yet know that those before are gone.
    let enter = |source: &str| {
        wait_for("room", || {
            let mut client = from(source);
            is_served(&mut client).then_some(client)
        })
    };
    let others = [enter("fd09::1"), enter("fd09::1"), enter("fd09::1")];
    let mut held: Vec<_> = (0..3).map(|_| enter("10.9.0.1")).collect();
    wait_for("the silent one to make way", || {
        held[1..].iter_mut().for_each(|client| assert!(is_served(client)));
        is_served(&mut from("10.9.0.1")).then_some(())
    });
    assert!(is_ended(&held[0].stream));
    server.wait_for_log("to let in another: its address has max_per_address");
    assert!(others.iter().all(|client| !is_ended(&client.stream)));
    drop((others, held));
    let mut home: Vec<_> = (0..10).map(|_| from("127.0.0.1")).collect();
    home.iter_mut().for_each(|client| assert!(is_served(client)));
}

#[test]
fn descriptors_of_links_are_not_the_guests_to_take() {
    let names: Vec<_> = ["Goloman".to_owned()].into_iter().chain((0..80).map(|i| format!("N{i}"))).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let edges: Vec<_> = names[1..].iter().map(|name| ("Goloman", *name)).collect();
    let herd = Herd::new(&names, &edges, "workers = 2\nlog_level = \"info\"", &[]);
    let script = "ulimit -n 700; exec \"$0\" Goloman";
    let goloman =
        Server::start_by(Command::new("sh").args(["-c", script, HERD]), herd.folder.path(), "Goloman");
    let mut neighbour = herd.start("N0");
    goloman.wait_for_log("N0 links from");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let _ends = Ends(&done);
        scope.spawn(|| crowd(goloman.address, 720, &done));
        goloman.wait_for_log("connections are open, as max_connections or the file limit");
        for client in ["kiwi", "fig"] {
            assert_eq!(neighbour.stop(), Some(0));
            neighbour = herd.start("N0");
            neighbour.tell(client);
            // Both ways: by the link that it dials, and by the one that dials it.
            goloman.wait_for_log(&format!(" {client} +1+1 1"));
            neighbour.wait_for_log("Goloman links from");
        }
        assert!(!goloman.log_text().contains("Too many open files"), "{}", goloman.process.stderr());
    });
}

#[test]
fn whoever_is_on_this_machine_may_ask_whatever_its_address_is() {
    if runs_in_a_network_of_its_own("whoever_is_on_this_machine_may_ask_whatever_its_address_is") {
        return;
    }
    let conf = "insecure_neighbours = true\n[servers.Goloman]\nlisten = \"0.0.0.0:16675\"\n\
                address = \"10.9.0.1:16675\"\nneighbours = [\"Hands\"]\n\
                [servers.Hands]\nlisten = \"10.9.0.200:16675\"\nplain = true\n";
    let folder = crate::harness::folder_with(conf);
    let goloman = Server::start(folder.path(), "Goloman");
    let (status, stdout, stderr) = run(folder.path(), &["--agree"]);
    assert_eq!(status, Some(0), "{stdout}{stderr}{}", goloman.log_text());
    // From another address of another machine, as it seems.
    let mut stranger = Client::connect_from([10, 9, 0, 1].into(), ([127, 0, 0, 1], 16_675).into());
    stranger.send(format!("HERD 1 - {:016x} {:032x}\n", 7, 8));
    assert!(stranger.text_line().starts_with("? HERD "));
}
