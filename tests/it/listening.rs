//! Where servers listen: every address of a name, and whatever a server is called.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;

use rustix::process::Signal;

use crate::harness::{Client, HERD, Process, folder_with, run, wait_for};

/// Names that a test may count on: with two addresses, with one twice, with one that is nobody's here.
const HOSTS: &str = "127.0.0.1 localhost\n::1 localhost\n127.0.0.1 both\n127.0.0.5 both\n127.0.0.1 both\n\
                     127.0.0.1 half\n192.0.2.55 half\n192.0.2.55 none\n";

/// herd where these names are known, or nothing where this machine does not allow that.
fn herd(arguments: &str, folder: &Path) -> Option<Process> {
    fs::write(folder.join("hosts"), HOSTS).expect("written");
    let mount = "mount --bind hosts /etc/hosts";
    let allowed = Command::new("unshare").args(["-rm", "sh", "-c", mount]).current_dir(folder).output();
    if !allowed.is_ok_and(|done| done.status.success()) {
        eprintln!(
            "not tested here: names with several addresses; this machine does not allow mounts (unshare -rm)"
        );
        return None;
    }
    let script = format!("{mount} && exec {HERD} {arguments}");
    Some(Process::start(Command::new("unshare").args(["-rm", "sh", "-c", &script]), folder))
}

fn conf(listen: &str) -> String {
    format!("[servers.Goloman]\nlisten = {listen:?}\n")
}

fn has_ipv6() -> bool {
    TcpListener::bind("[::1]:0").is_ok()
}

/// A port that is free on all of these.
fn free_port(hosts: &[&str]) -> u16 {
    wait_for("a port", || {
        let port = TcpListener::bind((hosts[0], 0)).and_then(|at| at.local_addr()).expect("bound").port();
        hosts.iter().all(|host| TcpListener::bind((*host, port)).is_ok()).then_some(port)
    })
}

#[test]
fn a_server_listens_on_every_address_of_its_name_on_one_port() {
    for (name, hosts) in [("both", ["127.0.0.1", "127.0.0.5"]), ("localhost", ["127.0.0.1", "::1"])] {
        if name == "localhost" && !has_ipv6() {
            eprintln!("not tested here: IPv6, which this machine does not have");
            continue;
        }
        for port in [0, free_port(&hosts)] {
            let folder = folder_with(&conf(&format!("{name}:{port}")));
            let Some(mut process) = herd("Goloman", folder.path()) else { return };
            let line = process.line();
            let list = line.strip_prefix("Goloman listens on ").unwrap_or_else(|| panic!("{line}"));
            let addresses: Vec<SocketAddr> =
                list.split(", ").map(|at| at.parse().expect("an address")).collect();
            let mut ips: Vec<_> = addresses.iter().map(|at| at.ip().to_string()).collect();
            ips.sort();
            assert_eq!(ips, hosts, "{line}");
            assert!(
                addresses
                    .iter()
                    .all(|at| at.port() == addresses[0].port() && (port == 0 || at.port() == port))
            );
            // Several clients at a time, at each of them.
            let mut clients: Vec<_> =
                (0..20).map(|i| Client::connect(addresses[i % addresses.len()])).collect();
            clients.iter_mut().for_each(|client| client.send("IAMAT a +1+1 1\n"));
            clients.iter_mut().for_each(|client| assert!(client.text_line().starts_with("AT Goloman")));
            process.signal(Signal::TERM);
            let (code, _, stderr) = process.finish();
            assert_eq!((code, stderr.as_str()), (Some(0), ""));
        }
    }
}

#[test]
fn an_address_of_a_name_that_this_machine_lacks_is_left_out_and_one_in_use_is_not() {
    let folder = folder_with(&conf("half:0"));
    let Some(mut process) = herd("Goloman", folder.path()) else { return };
    let line = process.line();
    let address: SocketAddr = line.trim_start_matches("Goloman listens on ").parse().expect("one address");
    assert!(Client::connect(address).say("IAMAT a +1+1 1\n").starts_with("AT "));
    wait_for("a warning", || process.stderr().contains("does not listen on 192.0.2.55:").then_some(()));
    process.signal(Signal::TERM);
    assert_eq!(process.wait().code(), Some(0));
    let taken = TcpListener::bind("127.0.0.5:0").expect("bound");
    let port = taken.local_addr().expect("bound").port();
    for (listen, hint) in [("none:0".to_owned(), "no interface"), (format!("both:{port}"), "in use")] {
        let folder = folder_with(&conf(&listen));
        let (code, _, stderr) = herd("Goloman", folder.path()).expect("as before").finish();
        assert_eq!(code, Some(71), "{stderr}");
        assert!(stderr.contains(&listen) && stderr.contains(hint), "{stderr}");
    }
}

#[test]
fn a_server_may_be_called_help_and_neighbours_find_each_other_by_a_name_with_two_addresses() {
    let hosts: &[&str] = if has_ipv6() { &["127.0.0.1", "::1"] } else { &["127.0.0.1"] };
    let (help, hands) = (free_port(hosts), free_port(hosts));
    let folder = folder_with(&format!(
        "[servers.help]\nlisten = \"localhost:{help}\"\n[servers.Hands]\nlisten = \"localhost:{hands}\"\n\
         neighbours = [\"help\"]\n"
    ));
    let Some(mut process) = herd("", folder.path()) else { return };
    process.lines_until("WHATSAT");
    for host in hosts {
        let reply = Client::connect(SocketAddr::new(host.parse().expect("an address"), help))
            .say(format!("IAMAT at-{host} +1+1 1\n"));
        assert!(reply.starts_with("AT help "), "{reply}");
        wait_for("Hands to know", || {
            let at = SocketAddr::new(host.parse().expect("an address"), hands);
            let known = Client::connect(at).say(format!("WHATSAT at-{host} 0 0\n"));
            known.starts_with(reply.trim_end()).then_some(())
        });
    }
    process.signal(Signal::TERM);
    assert_eq!(process.finish().0, Some(0));
    let mut alone = herd("help", folder.path()).expect("as before");
    assert!(alone.line().starts_with("help listens on "));
    alone.signal(Signal::TERM);
    assert_eq!(alone.finish().0, Some(0));
}

#[test]
fn help_is_what_it_says_where_no_server_has_that_name() {
    let folder = folder_with(&conf("127.0.0.1:0"));
    let broken = folder_with("workerz = 1\n");
    let nothing = tempfile::tempdir().expect("a folder");
    for folder in [folder.path(), broken.path(), nothing.path()] {
        for argument in ["help", "--help", "-h"] {
            let (code, stdout, stderr) = run(folder, &[argument]);
            assert_eq!(code, Some(0), "{stderr}");
            assert!(stdout.contains("--config"), "{stdout}");
        }
    }
}
