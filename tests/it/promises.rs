//! What a reply says is so when it is read, should the process die at that moment.

use std::collections::BTreeSet;
use std::io::Read;

use rustix::process::Signal;

use crate::harness::{Herd, LinkEnd, wait_for};

/// So many reports are answered in one turn, so that a reply is read while the last are still being sent.
const REPORTS: usize = 150;

/// Has a server answer many reports in one turn and kills it when the first reply is read. Everything that was
/// acknowledged by then is to be on its way to the neighbour, and there after a restart.
fn kill_with_the_first_reply(sync: &str) {
    let settings = format!("sync = \"{sync}\"\n[timing]\nheartbeat_ms = 3600000");
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], &settings, &[]);
    let hands = herd.listen_as("Hands");
    let mut goloman = herd.start("Goloman");
    let mut link = LinkEnd::accept(&hands, "Hands");
    goloman.wait_for_log("link to Hands is up");
    let mut clients: Vec<_> = (0..REPORTS).map(|_| goloman.client()).collect();
    for client in &mut clients {
        // It is served from here on.
        client.send("WHATSAT nobody 0 0\n");
        client.line();
    }
    goloman.process.signal(Signal::STOP);
    wait_for("it to stop", || goloman.process.is_stopped().then_some(()));
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("IAMAT c{number} +1+1 1\n"));
    }
    goloman.process.signal(Signal::CONT);
    let first = clients[0].text_line();
    goloman.process.signal(Signal::KILL);
    goloman.process.wait();
    let said: Vec<_> = clients.iter_mut().map(|client| client.rest_until_error()).collect();
    let said = String::from_utf8(said.concat()).expect("text");
    // A reply that is cut off in the middle promises nothing.
    let acknowledged: Vec<_> = std::iter::once(first.as_str())
        .chain(said.split_inclusive('\n').filter(|l| l.ends_with('\n')))
        .collect();
    assert!(acknowledged.iter().all(|line| line.starts_with("AT Goloman ")), "{acknowledged:?}");
    let mut heard = Vec::new();
    // Up to the end, or to a reset.
    let _ = link.reader.read_to_end(&mut heard);
    let heard = String::from_utf8(heard).expect("text");
    let heard: BTreeSet<_> = heard.split_inclusive('\n').collect();
    let missing: Vec<_> = acknowledged.iter().filter(|line| !heard.contains(*line)).collect();
    assert!(missing.is_empty(), "{} of {} never left: {missing:?}", missing.len(), acknowledged.len());
    drop(hands);
    let goloman = herd.start("Goloman");
    for line in acknowledged {
        let client = line.split(' ').nth(3).expect("a client");
        assert_eq!(goloman.knows(client).as_deref(), Some(line.trim_end()), "sync {sync}");
    }
}

#[test]
fn a_reply_is_never_ahead_of_its_journal_or_its_flood() {
    ["second", "always", "second", "always"].into_iter().for_each(kill_with_the_first_reply);
}
