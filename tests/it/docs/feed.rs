//! The programs of docs/feed.md get what a real server learns.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;

use super::page::Page;
use crate::harness::{Process, Server, folder_with, free_address, wait_for};

/// What the page has its programs print, among others.
const SHOWN: &str = "kiwi +34.068930-118.445127 1520023934.918963997";

/// Where the page has the server and the program listen.
const SERVER: &str = "127.0.0.1:16675";
const FEED: &str = "127.0.0.9:16690";

/// Puts addresses of this test into a text of the page.
fn placed(text: &str, server: SocketAddr, feed: SocketAddr) -> String {
    let (ip, port) = (feed.ip(), feed.port());
    text.replace(SERVER, &server.to_string())
        .replace(FEED, &feed.to_string())
        .replace("\"127.0.0.9\", 16690", &format!("\"{ip}\", {port}"))
        .replace("16690, \"127.0.0.9\"", &format!("{port}, \"{ip}\""))
}

fn the_feed_gets_all(runtime: &str, language: &str, file: &str) {
    let page = Page::read("docs/feed.md");
    let programs = page.blocks_of(language);
    let [program] = &programs[..] else { panic!("{} programs in {language}", programs.len()) };
    if Command::new(runtime).arg("--version").output().is_err() {
        return eprintln!("not tested here: the feed in {language}; {runtime} is not installed");
    }
    let (server, feed) = (free_address(), free_address());
    let conf = placed(&page.blocks_of("toml")[0], server, feed);
    let folder = folder_with(&format!("log_level = \"debug\"\n{conf}\n[timing]\nheartbeat_ms = 100\n"));
    let program = placed(program, server, feed);
    assert!(program.contains(&feed.ip().to_string()), "{program}");
    fs::write(folder.path().join(file), program).expect("written");
    let start = |out: &str| {
        let shell = format!("exec {runtime} {file} > {out}");
        Process::start(Command::new("sh").args(["-c", &shell]), folder.path())
    };
    let heard = |out: &str, process: &Process, line: &str| {
        wait_for(&format!("{line:?} in {out}; {}", process.stderr()), || {
            let text = fs::read_to_string(folder.path().join(out)).unwrap_or_default();
            text.lines().any(|heard| heard == line).then_some(())
        });
    };
    let first = start("first");
    let goloman = Server::start(folder.path(), "Goloman");
    goloman.ask(&format!("IAMAT {SHOWN}\n"));
    heard("first", &first, SHOWN);
    // By the second mark nothing is on its way any more, so that without refill it would not come again.
    let marks = || goloman.log_text().matches("is on its way to all links").count();
    let before = marks();
    wait_for("two marks", || (marks() > before + 1).then_some(()));
    drop(first);
    goloman.ask("IAMAT moa -40.9+174.9 5\n");
    goloman.wait_for_log("link to Feed is down");
    // With refill it gets what it had before, too.
    let second = start("second");
    heard("second", &second, "moa -40.9+174.9 5");
    heard("second", &second, SHOWN);
}

#[test]
fn the_feed_in_python_gets_every_position_and_all_of_them_when_it_is_back() {
    the_feed_gets_all("python3", "python", "feed.py");
}

#[test]
fn the_feed_in_node_gets_every_position_and_all_of_them_when_it_is_back() {
    the_feed_gets_all("node", "js", "feed.mjs");
}

#[test]
fn the_page_says_what_its_programs_print() {
    assert!(Page::read("docs/feed.md").text.contains(&format!("`{SHOWN}`")));
}
