//! Upgrades and restarts that nobody notices: the sockets go from one process to the next, by hand and by a service
//! manager, and whoever calls meanwhile waits for a moment.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Client, HANG, HERD, Herd, Manager, Process, Server, free_address, wait_for};

/// Clients at both doors of a server, some with a connection for each report and some with one for all.
struct Load {
    is_over: Arc<AtomicBool>,
    reports: Arc<AtomicU64>,
    threads: Vec<JoinHandle<()>>,
}

/// A report, as a line or a request.
fn report(is_http: bool, client: &str, number: u64) -> String {
    let position = format!("{{\"lat\":1,\"lon\":1,\"time\":{number}}}");
    match is_http {
        true => format!(
            "PUT /v1/clients/{client} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{position}",
            position.len()
        ),
        false => format!("IAMAT {client} +1+1 {number}\n"),
    }
}

/// What another thread finds out for a worker.
fn question(is_http: bool) -> String {
    let line = if is_http { "GET /v1/clients HTTP/1.1\r\nHost: localhost\r\n\r" } else { "COUNT" };
    format!("{line}\n")
}

/// The reply to what is sent over a connection; None if that was closed before, or before any of the reply came.
fn exchange(connection: &mut BufReader<TcpStream>, is_http: bool, sent: &str) -> Option<String> {
    if let Err(why) = connection.get_mut().write_all(sent.as_bytes()) {
        assert!(matches!(why.kind(), ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{why}");
        return None;
    }
    let mut said = String::new();
    if !is_http {
        return connection.read_line(&mut said).ok().filter(|count| *count > 0).map(|_| said);
    }
    let mut length = 0;
    while !said.ends_with("\r\n\r\n") {
        if connection.read_line(&mut said).ok()? == 0 {
            assert_eq!(said, "", "cut in its head");
            return None;
        }
        let last = said.lines().last().unwrap_or_default().to_ascii_lowercase();
        length = last.strip_prefix("content-length: ").map_or(length, |text| text.parse().expect("a length"));
    }
    let mut body = vec![0; length];
    connection.read_exact(&mut body).expect("a whole body");
    Some(said + &String::from_utf8_lossy(&body))
}

impl Load {
    /// Begins. Whatever a fresh client meets but an answer is a panic; of a server that is killed, only if it is refused:
    /// what was on its way then has no answer, and is sent again.
    fn of(line: SocketAddr, http: SocketAddr, is_orderly: bool) -> Load {
        let (is_over, reports) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let mut threads = Vec::new();
        for (is_http, address) in [(false, line), (true, http)] {
            for number in 0..4 {
                let asks = number == 3;
                let (over, count) = (is_over.clone(), reports.clone());
                threads.push(std::thread::spawn(move || {
                    let client = format!("fresh-{is_http}-{number}");
                    for i in 1.. {
                        if over.load(Ordering::SeqCst) {
                            return;
                        }
                        let sent = if asks { question(is_http) } else { report(is_http, &client, i) };
                        let reply = exchange(&mut connected(address), is_http, &sent);
                        assert!(reply.is_some() || !is_orderly, "{sent:?} has no answer");
                        match reply {
                            Some(reply) if asks => {
                                let is_answer =
                                    reply.starts_with("COUNT ") || reply.starts_with("HTTP/1.1 200 ");
                                assert!(is_answer, "{reply:?}");
                            }
                            Some(reply) => {
                                check(&reply, &client);
                                count.fetch_add(1, Ordering::SeqCst);
                            }
                            None => {}
                        }
                    }
                }));
            }
            for number in 0..3 {
                let (over, count) = (is_over.clone(), reports.clone());
                threads.push(std::thread::spawn(move || {
                    let client = format!("stays-{is_http}-{number}");
                    let mut connection = connected(address);
                    let mut i = 1;
                    while !over.load(Ordering::SeqCst) {
                        match exchange(&mut connection, is_http, &report(is_http, &client, i)) {
                            Some(reply) => {
                                check(&reply, &client);
                                count.fetch_add(1, Ordering::SeqCst);
                                i += 1;
                            }
                            // It is sent again, which is harmless.
                            None => connection = connected(address),
                        }
                    }
                }));
            }
        }
        Load { is_over, reports, threads }
    }

    /// Waits until so many further reports were answered.
    fn goes_on(&self, further: u64) {
        let before = self.reports.load(Ordering::SeqCst);
        wait_for("the clients to go on", || {
            (self.reports.load(Ordering::SeqCst) >= before + further).then_some(())
        });
    }

    fn end(self) {
        self.is_over.store(true, Ordering::SeqCst);
        self.threads.into_iter().for_each(|thread| thread.join().expect("each was answered"));
    }
}

fn connected(address: SocketAddr) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(address).expect("not refused");
    stream.set_read_timeout(Some(HANG)).expect("set");
    BufReader::new(stream)
}

fn check(reply: &str, client: &str) {
    let is_answer = reply.starts_with("AT ") || reply.starts_with("HTTP/1.1 20");
    assert!(is_answer && reply.contains(client), "{reply:?} to {client}");
}

const DOORS: [(&str, &str); 1] = [("Goloman", "http.listen = \"127.0.0.1:0\"")];

fn starts(server: &Server) -> usize {
    server.log_text().matches(" listens on ").count()
}

/// Has a server upgrade, and waits until it listens again.
fn upgrade(server: &Server) {
    let before = starts(server);
    server.process.signal(Signal::USR2);
    wait_for("it to listen again", || (starts(server) > before).then_some(()));
}

#[test]
fn an_upgrade_refuses_resets_and_forgets_nobody_at_either_door() {
    let herd = Herd::new(&["Goloman"], &[], "", &DOORS);
    let mut server = herd.start("Goloman");
    let (pid, http) = (server.process.pid(), server.http.expect("it serves HTTP"));
    let line = server.tell("kiwi");
    let load = Load::of(server.address, http, true);
    for _ in 0..10 {
        load.goes_on(200);
        upgrade(&server);
        let told = server.process.lines_until(" listens on ");
        assert_eq!(told.last().map(String::as_str), Some(&*format!("Goloman listens on {}", server.address)));
    }
    load.goes_on(200);
    load.end();
    assert_eq!(server.process.pid(), pid);
    assert_eq!(server.knows("kiwi"), Some(line));
    assert_eq!(server.stop(), Some(0));
}

/// Opens a FIFO only where somebody has its other end.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits() as i32;

/// Puts a script, or herd itself, in the place of a program: another file each time, as a package does it.
fn put(program: &Path, text: Option<&str>) {
    let next = program.with_extension("next");
    match text {
        None => drop(fs::copy(HERD, &next).expect("copied")),
        Some(text) => fs::write(&next, text).expect("written"),
    }
    fs::set_permissions(&next, fs::Permissions::from_mode(0o755)).expect("set");
    fs::rename(&next, program).expect("renamed");
}

#[test]
fn what_comes_between_the_check_and_the_next_program_does_not_end_a_server() {
    let herd = Herd::new(&["Goloman"], &[], "", &[]);
    let (folder, program) = (herd.folder.path(), herd.folder.path().join("herd"));
    put(&program, None);
    let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
    let server = Server::start_by(Command::new(&program).arg("Goloman"), folder, "Goloman");
    let line = server.tell("kiwi");
    // Only after the check, and before any line of the next program: herd.conf breaks, and signals come.
    let becomes = |signals: &str| {
        let kills =
            signals.split(' ').map(|signal| format!("kill -{signal} $$")).collect::<Vec<_>>().join("; ");
        format!(
            "#!/bin/sh\ncase \"$*\" in *--check*) ;; *) echo bogus = 1 > herd.conf; {kills} ;; esac\nexec {HERD} \"$@\"\n"
        )
    };
    put(&program, Some(&becomes("HUP USR1")));
    upgrade(&server);
    // That signal was held back, and not lost.
    server.wait_for_log("not reloaded, keeping what there is: herd.conf:1: bogus is no key");
    assert_eq!(server.knows("kiwi"), Some(line));
    assert_eq!(server.stop(), Some(0));
    // And so is a stop.
    fs::write(folder.join("herd.conf"), conf).expect("written");
    put(&program, None);
    let server = Server::start_by(Command::new(&program).arg("Goloman"), folder, "Goloman");
    put(&program, Some(&becomes("TERM")));
    server.process.signal(Signal::USR2);
    assert_eq!(server.wait(), Some(0));
}

#[test]
fn an_upgrade_to_which_the_next_program_objects_changes_nothing() {
    let herd = Herd::new(&["Goloman"], &[], "", &DOORS);
    let (folder, program) = (herd.folder.path(), herd.folder.path().join("herd"));
    let put = |text: Option<&str>| put(&program, text);
    put(None);
    let mut server = Server::start_by(Command::new(&program).arg("Goloman"), folder, "Goloman");
    let line = server.tell("kiwi");
    let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
    let broken = format!("bogus = 1\n{conf}");
    let (own, other) = (server.address.to_string(), TcpListener::bind("127.0.0.1:0").expect("bound"));
    let taken = other.local_addr().expect("an address").to_string();
    let of_http = |address: &str| {
        conf.replace("http.listen = \"127.0.0.1:0\"", &format!("http.listen = \"{address}\""))
    };
    let text = format!(
        "data_dir = \"other\"\nlog_dir = \"other\"\n[servers.Goloman]\nlisten = \"{}\"\n",
        free_address()
    );
    fs::write(folder.join("other.conf"), text).expect("written");
    let mut command = Command::new(HERD);
    let _holds = Server::start_by(command.args(["--config", "other.conf", "Goloman"]), folder, "Goloman");
    for (next, conf, why) in [
        // What it started, and has its stderr, keeps nobody waiting.
        (
            Some("#!/bin/sh\nsleep 3600 &\necho $! > sleeps\necho it is of no use >&2\nexit 3\n"),
            &conf,
            "exit status: 3: it is of no use",
        ),
        (Some("no program"), &conf, "cannot run "),
        (None, &broken, "herd.conf:1: bogus is no key"),
        // Where it cannot listen, and where another journal is open, is known before anybody is sent away.
        (None, &of_http(&taken), "Goloman: http: cannot listen on"),
        (None, &conf.replace(&own, "192.0.2.1:7781"), "Goloman: cannot listen on 192.0.2.1:7781"),
        (None, &conf.replace(&own, &taken), "Goloman: cannot listen on"),
        (None, &format!("data_dir = \"other\"\n{conf}"), "another process has that journal"),
    ] {
        put(next);
        fs::write(folder.join("herd.conf"), conf).expect("written");
        server.process.signal(Signal::USR2);
        let told = server.process.line();
        assert_eq!(told, "Goloman is not upgraded; its log says why", "{why}");
        let log = server.wait_for_log(why);
        assert!(log.contains("not upgraded: "), "{log}");
        assert_eq!(server.knows("kiwi").as_ref(), Some(&line));
    }
    let sleeps = fs::read_to_string(folder.join("sleeps")).expect("read");
    let sleeps = sleeps.trim().parse().ok().and_then(Pid::from_raw).expect("a number");
    kill_process(sleeps, Signal::KILL).expect("it sleeps still");
    put(None);
    fs::write(folder.join("herd.conf"), &conf).expect("written");
    upgrade(&server);
    // One that may listen elsewhere, and have another journal, does so from then on.
    let elsewhere = free_address();
    let text = of_http(&elsewhere.to_string());
    fs::write(folder.join("herd.conf"), format!("data_dir = \"\"\n{text}")).expect("written");
    upgrade(&server);
    TcpStream::connect(elsewhere).expect("it listens there");
    upgrade(&server);
    assert_eq!(server.knows("kiwi"), None);
    fs::write(folder.join("herd.conf"), &conf).expect("written");
    upgrade(&server);
    let runs = fs::read_link(format!("/proc/{}/exe", server.process.pid())).expect("it runs");
    assert_eq!(runs, program, "the new file, which is there");
    assert_eq!(server.knows("kiwi"), Some(line));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn what_is_reloaded_while_an_upgrade_is_checked_is_not_undone() {
    let herd = Herd::new(&["Goloman"], &[], "", &[]);
    let (folder, program) = (herd.folder.path(), herd.folder.path().join("herd"));
    put(&program, None);
    let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
    let server = Server::start_by(Command::new(&program).arg("Goloman"), folder, "Goloman");
    // Each check waits for its own word.
    let checks = format!(
        "#!/bin/sh\ncase \"$*\" in *--check*) touch begun; while [ ! -e go ]; do sleep 0.05; done; rm go ;; esac\nexec {HERD} \"$@\"\n"
    );
    put(&program, Some(&checks));
    server.process.signal(Signal::USR2);
    wait_for("the check", || folder.join("begun").exists().then_some(()));
    fs::write(folder.join("herd.conf"), format!("max_clients = 7777\n{conf}")).expect("written");
    let herdctl = |order: &str| {
        Command::new(HERD).args(["ctl", order, "Goloman"]).current_dir(folder).output().expect("it runs")
    };
    let reloaded = herdctl("reload");
    let said = String::from_utf8_lossy(&reloaded.stdout).into_owned();
    assert!(reloaded.status.success() && said.contains("1000000 -> 7777"), "{reloaded:?}");
    fs::remove_file(folder.join("begun")).expect("removed");
    fs::write(folder.join("go"), "").expect("written");
    wait_for("another check", || folder.join("begun").exists().then_some(()));
    let before = starts(&server);
    fs::write(folder.join("go"), "").expect("written");
    wait_for("it to listen again", || (starts(&server) > before).then_some(()));
    let again = String::from_utf8_lossy(&herdctl("reload").stdout).into_owned();
    assert!(again.contains("nothing is new"), "{again}");
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_herd_that_is_told_to_reload_in_an_upgrade_does_so_and_starts_nobody_whom_the_others_refuse() {
    let herd = Herd::new(&["Ada", "Bell"], &[("Ada", "Bell")], "", &[]);
    let (folder, program) = (herd.folder.path(), herd.folder.path().join("herd"));
    put(&program, None);
    let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
    let mut family = Process::start(&mut Command::new(&program), folder);
    family.lines_until("All 2 servers are ready");
    let log = |name: &str| fs::read_to_string(folder.join(format!("log/{name}.log"))).unwrap_or_default();
    // Each stays between its two programs until it is told to go on. (It starts nothing meanwhile: a shell that waits for
    // a child hears signals that were held back.)
    let waits = format!(
        "#!/bin/sh\ncase \"$*\" in *--check*) ;; *) : > begun; read line < go ;; esac\nexec {HERD} \"$@\"\n"
    );
    assert!(Command::new("mkfifo").arg(folder.join("go")).status().expect("it runs").success());
    let go_on = || {
        wait_for("somebody to wait", || {
            // Only where somebody reads it.
            let go = File::options().write(true).custom_flags(NONBLOCK).open(folder.join("go"));
            go.and_then(|mut go| go.write_all(b"\n")).ok()
        });
    };
    put(&program, Some(&waits));
    family.signal(Signal::USR2);
    wait_for("the first to become another", || folder.join("begun").exists().then_some(()));
    fs::write(folder.join("herd.conf"), format!("max_clients = 7777\n{conf}")).expect("written");
    family.signal(Signal::HUP);
    wait_for("the second to reload", || log("Bell").contains("1000000 -> 7777").then_some(()));
    go_on();
    wait_for("the first to reload", || log("Ada").contains("1000000 -> 7777").then_some(()));
    go_on();
    wait_for("the upgrade", || family.stderr().contains("all servers are upgraded").then_some(()));
    let third = format!("workers = 3\n{conf}[servers.Cori]\nlisten = \"{}\"\n", free_address());
    fs::write(folder.join("herd.conf"), &third).expect("written");
    family.signal(Signal::HUP);
    wait_for("both to refuse", || {
        [log("Ada"), log("Bell")].iter().all(|log| log.contains("not reloaded")).then_some(())
    });
    assert!(family.stderr().contains("Ada: needs a restart: workers"), "{}", family.stderr());
    fs::write(folder.join("herd.conf"), third.replace("workers = 3\n", "")).expect("written");
    family.signal(Signal::HUP);
    wait_for("the third to start", || family.stderr().contains("starts Cori").then_some(()));
    go_on();
    wait_for("the third to serve", || log("Cori").contains("listens on").then_some(()));
    assert_eq!(family.stderr().matches("starts Cori").count(), 1);
    family.signal(Signal::TERM);
    assert_eq!(family.finish().0, Some(0));
}

#[test]
fn a_server_of_a_herd_that_died_is_started_again_when_herd_conf_is_read_anew() {
    let herd = Herd::new(&["Ada"], &[], "", &[]);
    let (folder, taken) = (herd.folder.path(), TcpListener::bind("127.0.0.1:0").expect("bound"));
    let at = taken.local_addr().expect("an address");
    let mut family = Process::start(&mut Command::new(HERD), folder);
    family.lines_until("The server is ready");
    let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
    let text = format!("{conf}[servers.Bell]\nlisten = \"{at}\"\n");
    fs::write(folder.join("herd.conf"), text).expect("written");
    family.signal(Signal::HUP);
    wait_for("it to die", || family.stderr().contains("Bell died").then_some(()));
    drop(taken);
    family.signal(Signal::HUP);
    wait_for("it to listen", || TcpStream::connect(at).ok());
    assert!(family.stderr().contains("starts Bell again"), "{}", family.stderr());
    family.signal(Signal::TERM);
    assert_eq!(family.finish().0, Some(70), "one died");
}

#[test]
fn a_server_that_stops_while_it_is_checked_whether_another_could_take_its_place_leaves_nobody_who_listens() {
    let herd = Herd::new(&["Goloman"], &[], "", &[]);
    let (folder, program) = (herd.folder.path(), herd.folder.path().join("herd"));
    put(&program, None);
    let server = Server::start_by(Command::new(&program).arg("Goloman"), folder, "Goloman");
    put(&program, Some("#!/bin/sh\ntouch begun\nexec sleep 3600\n"));
    server.process.signal(Signal::USR2);
    wait_for("the check", || folder.join("begun").exists().then_some(()));
    let address = server.address;
    assert_eq!(server.stop(), Some(0));
    let refused = TcpStream::connect(address).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_whole_herd_is_upgraded_one_server_after_the_other_and_no_client_notices() {
    let names = ["Ada", "Bell", "Cori", "Dana", "Edna"];
    let edges = [("Ada", "Bell"), ("Bell", "Cori"), ("Cori", "Dana"), ("Dana", "Edna")];
    let https = [free_address(), free_address()];
    let listens = https.map(|http| format!("http.listen = \"{http}\""));
    let herd = Herd::new(&names, &edges, "", &[("Ada", &listens[0]), ("Edna", &listens[1])]);
    let mut family = Process::start(&mut Command::new(HERD), herd.folder.path());
    family.lines_until("All 5 servers are ready");
    let path = |name: &str| herd.folder.path().join(format!("log/{name}.log"));
    let logs = || names.map(|name| fs::read_to_string(path(name)).expect("a log"));
    let pids = || {
        let path = format!("/proc/{0}/task/{0}/children", family.pid());
        fs::read_to_string(path).expect("it lives").split_whitespace().map(str::to_owned).collect::<Vec<_>>()
    };
    let before = pids();
    assert_eq!(before.len(), names.len());
    let ask = |name: &str, line: &str| Client::connect(herd.address(name)).say(line);
    assert!(ask("Ada", "IAMAT kiwi +1+1 1\n").starts_with("AT Ada "));
    let loads = [("Ada", https[0]), ("Edna", https[1])];
    let loads = loads.map(|(name, http)| Load::of(herd.address(name), http, true));
    for round in 1..=2 {
        loads.iter().for_each(|load| load.goes_on(200));
        family.signal(Signal::USR2);
        wait_for("the whole herd to be upgraded", || {
            (family.stderr().matches("all servers are upgraded").count() == round).then_some(())
        });
        logs().iter().for_each(|log| assert_eq!(log.matches(" listens on ").count(), round + 1, "{log}"));
    }
    loads.iter().for_each(|load| load.goes_on(200));
    loads.into_iter().for_each(Load::end);
    assert_eq!(pids(), before);
    // What one was told in the midst of it all know.
    for client in ["kiwi", "fresh-false-0", "stays-true-2"] {
        wait_for("all to know it", || {
            let lines = names
                .map(|name| ask(name, &format!("WHATSAT {client} 1 0\n")).lines().next().map(str::to_owned));
            lines.iter().all(|line| line.is_some() && *line == lines[0]).then_some(())
        });
    }
    family.signal(Signal::TERM);
    let (code, stdout, stderr) = family.finish();
    assert_eq!((code, stdout.matches("servers are ready").count()), (Some(0), 0), "{stdout} {stderr}");
}

#[test]
fn a_service_manager_keeps_the_sockets_over_a_restart_and_a_kill() {
    let herd = Herd::new(&["Goloman"], &[], "", &DOORS);
    let (folder, mut manager) = (herd.folder.path(), Manager::new());
    let mut server = manager.start(folder, "Goloman", 60_000_000);
    let (address, http) = (server.address, server.http.expect("it serves HTTP"));
    manager.hear_of("READY=1\nSTATUS=serving 0 clients");
    let names: Vec<_> = manager.kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["line", "http"]);
    for signal in [Signal::TERM, Signal::KILL] {
        let load = Load::of(address, http, signal == Signal::TERM);
        for _ in 0..5 {
            load.goes_on(200);
            server.process.signal(signal);
            if signal == Signal::TERM {
                manager.hear_of("STOPPING=1");
            }
            server.process.wait();
            server = manager.start(folder, "Goloman", 60_000_000);
            assert_eq!((server.address, server.http), (address, Some(http)), "the same sockets");
            manager.hear_of("READY=1");
        }
        load.goes_on(200);
        load.end();
    }
    // What herd.conf has it listen on no more is closed, there, too.
    let elsewhere = free_address();
    let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
    fs::write(folder.join("herd.conf"), conf.replace(&address.to_string(), &elsewhere.to_string()))
        .expect("written");
    assert_eq!(server.stop(), Some(0));
    manager.kept.dedup_by(|a, b| a.0 == b.0);
    let server = manager.start(folder, "Goloman", 60_000_000);
    manager.hear_of("READY=1");
    assert_eq!((server.address, server.http), (elsewhere, Some(http)));
    let names: Vec<_> = manager.kept.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["line", "http"], "each once");
    drop(manager);
    // A process that another test starts at this moment may have it for an instant more.
    let is_refused = |why: &std::io::Error| why.kind() == ErrorKind::ConnectionRefused;
    wait_for("nobody to listen", || TcpStream::connect(address).err().filter(is_refused));
    assert_eq!(server.stop(), Some(0));
}

#[test]
fn a_service_manager_hears_that_a_server_is_ready_when_it_knows_what_its_neighbours_know() {
    let herd =
        Herd::new(&["Goloman", "Hands", "Welsh"], &[("Goloman", "Hands"), ("Goloman", "Welsh")], "", &[]);
    let (folder, mut manager) = (herd.folder.path(), Manager::new());
    let hands = herd.start("Hands");
    hands.tell("kiwi");
    let goloman = manager.start(folder, "Goloman", 60_000_000);
    // Welsh is off for good, which does not keep it from being ready.
    let ready = manager.hear_of("READY=1");
    assert!(
        ready.ends_with("STATUS=serving 1 client; 1 of 2 neighbours caught up, Welsh not reached"),
        "{ready}"
    );
    let _welsh = herd.start("Welsh");
    manager.hear_of("STATUS=serving 1 client; 2 of 2 neighbours caught up");
    goloman.process.signal(Signal::HUP);
    let reloading = manager.hear_of("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    manager.hear_of("READY=1");
    assert_eq!(goloman.stop(), Some(0));
    // It has what stop_timeout_s says, and some grace, whatever the unit says.
    let stopping = manager.hear_of("STOPPING=1");
    assert!(stopping.contains("\nEXTEND_TIMEOUT_USEC=7000000\n"), "{stopping}");
}

#[test]
fn a_service_manager_that_is_busy_hears_all_that_matters_and_one_that_listens_hears_that_it_lives() {
    let herd = Herd::new(&["Goloman"], &[], "", &DOORS);
    let (folder, mut manager) = (herd.folder.path(), Manager::new());
    // Its socket takes nothing more until it has heard what is in it, longer than it is waited for.
    manager.fill();
    let goloman = manager.start(folder, "Goloman", 300_000);
    goloman.wait_for_log("the service manager is not told FDSTORE=1");
    manager.hear_of("FDSTORE=1\nFDNAME=line");
    manager.hear_of("FDSTORE=1\nFDNAME=http");
    manager.hear_of("READY=1");
    for _ in 0..3 {
        manager.hear_of("WATCHDOG=1");
    }
    assert_eq!(goloman.stop(), Some(0));
    // While a start reads what may be large, it asks for time.
    let goloman = manager.start(folder, "Goloman", 60_000_000);
    for what in ["reads its places", "reads its journal"] {
        let told = manager.hear_of(what);
        assert!(told.contains("EXTEND_TIMEOUT_USEC=") && told.contains("WATCHDOG=1"), "{told}");
    }
    manager.hear_of("READY=1");
    assert_eq!(goloman.stop(), Some(0));
}

#[test]
fn the_journal_of_systemd_is_told_how_much_a_line_matters() {
    let herd = Herd::new(&["Goloman"], &[], "idle_timeout_s = 5", &DOORS);
    let folder = herd.folder.path();
    let script = |stream| format!("JOURNAL_STREAM={stream} exec {HERD} Goloman");
    let start =
        |stream| Server::start_by(Command::new("sh").args(["-c", &script(stream)]), folder, "Goloman");
    let said = |server: &Server| {
        wait_for("both to be said", || {
            Some(server.process.stderr())
                .filter(|said| said.contains("idle_timeout_s") && said.contains("not upgraded"))
        })
    };
    let conf = fs::read_to_string(folder.join("herd.conf")).expect("read");
    for (stream, is_journal) in [("$(stat -L -c %d:%i /proc/self/fd/2)", true), ("1:2", false)] {
        let server = start(stream);
        fs::write(folder.join("herd.conf"), format!("bogus = 1\n{conf}")).expect("written");
        server.process.signal(Signal::USR2);
        let said = said(&server);
        fs::write(folder.join("herd.conf"), &conf).expect("written");
        let begins: Vec<_> = said
            .lines()
            .map(|line| line.starts_with("<4>Goloman: ") || line.starts_with("<3>Goloman: "))
            .collect();
        assert_eq!(begins, [is_journal; 2], "{said}");
        assert_eq!(said.contains("<3>Goloman: not upgraded: "), is_journal, "{said}");
        assert_eq!(server.stop(), Some(0));
    }
}

#[test]
fn a_stop_in_the_midst_of_an_upgrade_stops() {
    let herd = Herd::new(&["Goloman"], &[], "", &[]);
    let server = herd.start("Goloman");
    let mut busy = connected(server.address);
    // It goes on, so that the upgrade takes as long as a drain may.
    let client = std::thread::spawn(move || {
        (1..).take_while(|&i| exchange(&mut busy, false, &report(false, "busy", i)).is_some()).count()
    });
    wait_for("it to be served", || server.knows("busy"));
    server.process.signal(Signal::USR2);
    server.wait_for_log("Goloman becomes ");
    server.process.signal(Signal::TERM);
    let log = server.log.clone();
    assert_eq!(server.wait(), Some(0));
    assert!(client.join().expect("each was answered") > 0);
    let log = fs::read_to_string(log).expect("a log");
    assert_eq!(log.matches(" listens on ").count(), 1, "{log}");
}
