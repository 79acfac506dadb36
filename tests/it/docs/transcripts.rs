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

/// Each command is of one of the two kinds that are tried below.
#[test]
fn a_transcript_that_starts_no_server_is_what_happens() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut count = 0;
    for (command, output) in pages().iter().flat_map(transcripts) {
        if command.contains(" | nc -N 127.0.0.1 ") {
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
        let mut conf = include_str!("../../../herd.conf").to_owned();
        let mut free = BTreeMap::new();
        for port in 16_675..16_680_u16 {
            let address = free_address();
            conf = conf.replace(&format!("127.0.0.1:{port}\""), &format!("{address}\""));
            free.insert(port.to_string(), address);
        }
        let folder = folder_with(&conf);
        let _servers =
            ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"].map(|name| Server::start(folder.path(), name));
        let steps = transcripts(&Page::read("README.md"));
        assert_eq!(steps.len(), 3);
        for (command, output) in steps {
            let (printf, port) = command.split_once(" | nc -N 127.0.0.1 ").expect("a pipe to nc");
            let sent = Command::new("sh").args(["-c", printf]).output().expect("printf").stdout;
            let address: SocketAddr = free[port];
            // The flood is on its way when the reply is there, so the next command may be a moment early.
            let mut got = String::new();
            wait_for(&format!("the output of {command}"), || {
                got = Client::connect(address).say(&sent);
                (masked(&got) == masked(&output) || !got.starts_with("? WHATSAT kiwi")).then_some(())
            });
            assert_eq!(masked(&got), masked(&output), "{command}");
        }
    }
}
