//! README's transcript is real: every command in it gives the output that stands below it.

use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;

use crate::harness::{Client, Server, folder_with, wait_for};

const README: &str = include_str!("../../README.md");

/// The commands of the transcript, each with its output.
fn transcript() -> Vec<(String, String)> {
    let begin = README.find("```console\n").expect("a transcript") + "```console\n".len();
    let text = &README[begin..begin + README[begin..].find("```").expect("its end")];
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
fn the_transcript_is_what_happens() {
    let mut conf = include_str!("../../herd.conf").to_owned();
    let mut free = BTreeMap::new();
    for port in 16_675..16_680_u16 {
        let address = TcpListener::bind("127.0.0.1:0").and_then(|at| at.local_addr()).expect("free");
        conf = conf.replace(&format!(":{port}\""), &format!(":{}\"", address.port()));
        free.insert(port.to_string(), address);
    }
    let folder = folder_with(&conf);
    let _servers =
        ["Goloman", "Hands", "Holiday", "Welsh", "Wilkes"].map(|name| Server::start(folder.path(), name));
    let steps = transcript();
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
