//! The transcripts of the pages are real: every command in them gives the output that stands below it.

use std::process::Command;

use super::page::{Page, pages};
use crate::harness::HERD;

/// The commands of a transcript, each with its output.
fn steps(text: &str) -> Vec<(String, String)> {
    let mut steps: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        match (line.strip_prefix("$ "), steps.last_mut()) {
            (Some(command), _) => steps.push((command.to_owned(), String::new())),
            (None, Some((_, output))) => *output += &format!("{line}\n"),
            (None, None) => panic!("output before a command: {line}"),
        }
    }
    steps
}

fn transcripts(page: &Page) -> Vec<(String, String)> {
    page.blocks_of("console").iter().flat_map(|block| steps(block)).collect()
}

/// Each command is of one of the four kinds that are tried below.
#[test]
fn a_transcript_that_starts_no_server_is_what_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut count = 0;
    for (command, output) in pages().iter().flat_map(transcripts) {
        let asks = command.contains(" | nc -N 127.0.0.1 ");
        if asks || command.starts_with("curl ") || command.starts_with("herdctl ") {
            continue;
        }
        let arguments = command.strip_prefix("herd ").unwrap_or_else(|| panic!("who tries {command}?"));
        let shell = format!("'{HERD}' {arguments} 2>&1");
        let said = Command::new("sh").args(["-c", &shell]).current_dir(folder.path()).output().expect("run");
        assert_eq!(String::from_utf8_lossy(&said.stdout), output, "{command}");
        count += 1;
    }
    assert!(count > 1, "{count}");
}

#[cfg(feature = "gazetteer")]
mod herd_of_readme {
    use std::collections::BTreeMap;
    use std::net::SocketAddr;

    use super::*;
    use crate::harness::{Client, Server, folder_with, free_address, wait_for};

    /// The five servers of the shipped herd.conf, and the shipped addresses with those that they have here.
    fn herd() -> (tempfile::TempDir, Vec<Server>, BTreeMap<u16, SocketAddr>) {
        let mut conf = include_str!("../../../herd.conf").to_owned();
        let mut free = BTreeMap::new();
        for port in (16_675..16_680_u16).chain(16_685..16_690) {
            let address = free_address();
            conf = conf.replace(&format!("127.0.0.1:{port}\""), &format!("{address}\""));
            free.insert(port, address);
        }
        let folder = folder_with(&conf);
        let names = ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"];
        let servers = names.map(|name| Server::start(folder.path(), name));
        (folder, servers.into(), free)
    }

    /// What depends on the clock: differences, when a report was received, and the time of a reply.
    fn without_clock(text: &str) -> String {
        let mut masked = text.to_owned();
        for (begin, digits) in [
            ("AT Goloman ", "+.0123456789"),
            ("\"difference\":\"", "+.0123456789"),
            // What a digest is of has differences in it.
            ("Welsh   up     2        ", "0123456789abcdef"),
            ("\"received\":", "0123456789"),
        ] {
            let mut parts = masked.split(begin).map(str::to_owned);
            let first = parts.next().unwrap_or_default();
            masked = parts.fold(first, |all, part| {
                all + begin + "CLOCK" + part.trim_start_matches(|c| digits.contains(c))
            });
        }
        let line =
            |line: &str| if line.starts_with("Date: ") { "Date: CLOCK".to_owned() } else { line.to_owned() };
        masked.lines().map(line).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_transcripts_of_the_api_are_what_happens() {
        if Command::new("curl").arg("--version").output().is_err() {
            assert!(std::env::var_os("CI").is_none(), "no curl: .ci/run installs it");
            eprintln!("no curl; not tested");
            return;
        }
        let (_folder, _servers, free) = herd();
        let steps = transcripts(&Page::read("docs/api.md"));
        assert!(steps.len() >= 8, "{}", steps.len());
        for (command, output) in steps {
            let mut here = command.clone();
            for (port, address) in &free {
                here = here.replace(&format!("127.0.0.1:{port}"), &address.to_string());
            }
            assert_ne!(here, command, "it asks none of these servers");
            // What one server said, another may know a moment later.
            let mut got = String::new();
            wait_for(&format!("the output of {command}"), || {
                let said = Command::new("sh").args(["-c", &here]).output().expect("a shell").stdout;
                got = String::from_utf8(said).expect("text").replace("\r\n", "\n");
                let is_early = !here.contains(" -X ") && without_clock(&got) != without_clock(&output);
                (!is_early).then_some(())
            });
            assert_eq!(without_clock(&got), without_clock(&output), "{command}");
        }
    }

    /// The third field of each AT line depends on the clock.
    fn masked(text: &str) -> String {
        let mask = |line: &str| {
            let mut fields: Vec<_> = line.split(' ').collect();
            if fields[0] == "AT" {
                fields[2] = "+DIFF";
            }
            fields.join(" ")
        };
        text.split('\n').map(mask).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_transcript_of_readme_is_what_happens() {
        let (_folder, _servers, free) = herd();
        let steps = transcripts(&Page::read("README.md"));
        assert_eq!(steps.len(), 3);
        for (command, output) in steps {
            let (printf, port) = command.split_once(" | nc -N 127.0.0.1 ").expect("a pipe to nc");
            let sent = Command::new("sh").args(["-c", printf]).output().expect("printf").stdout;
            let address = free[&port.parse().expect("a port")];
            // The flood is on its way when the reply is there, so the next command may be a moment early.
            let mut got = String::new();
            wait_for(&format!("the output of {command}"), || {
                got = Client::connect(address).say(&sent);
                (masked(&got) == masked(&output) || !got.starts_with("? WHATSAT kiwi")).then_some(())
            });
            assert_eq!(masked(&got), masked(&output), "{command}");
        }
    }

    #[test]
    fn the_transcripts_of_herdctl_are_what_happens() {
        let (folder, _servers, _) = herd();
        std::os::unix::fs::symlink(HERD, folder.path().join("herdctl")).expect("linked");
        let steps = transcripts(&Page::read("docs/herdctl.md"));
        assert!(steps.len() > 5, "{}", steps.len());
        for (command, output) in steps {
            let mut got = String::new();
            // What one server said, another may know a moment later.
            wait_for(&format!("the output of {command}"), || {
                let shell = format!("./{command} 2>&1");
                let mut herdctl = Command::new("sh");
                herdctl.args(["-c", &shell]).current_dir(folder.path());
                for name in ["HERD_CONFIG", "HERD_HOST", "HERD_SERVER"] {
                    herdctl.env_remove(name);
                }
                got = String::from_utf8(herdctl.output().expect("a shell").stdout).expect("text");
                (without_clock(&got) == without_clock(&output)).then_some(())
            });
        }
    }
}
