//! WHATSAT of a running server: real places, failing providers, and everybody else unaffected.

use std::fs;
use std::time::Instant;

use serde_json::Value;

use crate::harness::{Client, HANG, Server, folder_with, wait_for};
use crate::stand_in::{Act, Refusing, StandIn};

const KIWI: &str = "IAMAT kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997\n";
const KEY: &str = "Secret-Key-0123456789";

/// A reply taken apart: its AT line with the newline, and its JSON; the empty line is checked.
fn parts(reply: &str) -> (&str, Value) {
    let end = reply.find('\n').expect("an AT line") + 1;
    let json = reply[end..].strip_suffix("\n\n").expect("an empty line at the end");
    assert!(!json.contains("\n\n"), "{json}");
    (&reply[..end], serde_json::from_str(json).expect("JSON"))
}

fn names(json: &Value) -> Vec<&str> {
    json["results"].as_array().expect("results").iter().filter_map(|place| place["name"].as_str()).collect()
}

/// A server with a provider that is asked at this URL, with a key in a file.
fn with_provider(provider: &str, url: &str, settings: &str) -> (tempfile::TempDir, Server) {
    let conf = format!(
        "{settings}\nplaces.provider = \"{provider}\"\nplaces.url = \"{url}\"\nplaces.key_file = \"key\"\n\
         places.threads = 2\nplaces.queue = 1\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n"
    );
    let folder = folder_with(&conf);
    crate::harness::write_secret(&folder.path().join("key"), KEY);
    let server = Server::start(folder.path(), "Goloman");
    (folder, server)
}

#[test]
#[cfg(feature = "gazetteer")]
fn the_gazetteer_answers_with_real_places_nearest_first() {
    let (_folder, server) = crate::harness::solo("");
    let at = server.ask(KIWI);
    let reply = server.ask("WHATSAT kiwi.cs.ucla.edu 10 5\n");
    let (line, json) = parts(&reply);
    assert_eq!((line, &json["status"]), (at.as_str(), &Value::from("OK")));
    assert_eq!(names(&json), ["Bel Air", "Century City", "Brentwood", "Sawtelle", "Beverly Hills"]);
    assert!(json["html_attributions"][0].as_str().is_some_and(|text| text.contains("GeoNames")));
    for (command, status, count) in [
        ("WHATSAT kiwi.cs.ucla.edu 10 2\n", "OK", 2),
        ("WHATSAT kiwi.cs.ucla.edu 50 20\n", "OK", 20),
        ("WHATSAT kiwi.cs.ucla.edu 0 20\n", "ZERO_RESULTS", 0),
        ("WHATSAT kiwi.cs.ucla.edu 50 0\n", "ZERO_RESULTS", 0),
        ("WHATSAT kiwi.cs.ucla.edu 0.001 5\n", "ZERO_RESULTS", 0),
    ] {
        let reply = server.ask(command);
        let (line, json) = parts(&reply);
        assert_eq!((line, names(&json).len()), (at.as_str(), count), "{command}");
        assert_eq!(json["status"], status, "{command}");
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn commands_behind_a_lookup_wait_their_turn_and_a_half_close_does_not_cut_it() {
    let body = br#"{"results":[],"status":"OK"}"#.to_vec();
    let stand_in = StandIn::start(Act::Held(200, body));
    let (_folder, server) = with_provider("google-legacy", &stand_in.url("/json"), "");
    let mut client = server.client();
    client.send(format!("{KIWI}WHATSAT kiwi.cs.ucla.edu 10 5\nfirst\nWHATSAT kiwi.cs.ucla.edu 11 5\nsecond"));
    client.half_close();
    let at = client.text_line();
    stand_in.wait_for_request();
    // The other connections do not wait.
    assert!(server.ask("IAMAT other +1+1 1\n").starts_with("AT "));
    drop(stand_in);
    let reply = String::from_utf8(client.rest()).expect("text");
    let first = reply.find("? first\n").expect("first");
    let second = reply.find("? second\n").expect("second");
    assert!(reply.ends_with("? second\n"), "{reply}");
    assert_eq!(parts(&reply[..first]).0, at);
    assert_eq!(parts(&reply[first + "? first\n".len()..second]).0, at);
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn the_legacy_text_is_kept_byte_for_byte_but_for_the_cut() {
    let body = "{\n\n   \"html_attributions\" : [],\r\n   \"next_page_token\" : \"x\",\n   \"results\" : [ {\"name\" : \"A\\u00e9\"} ,\n {\"name\":\"B\"},{\"name\":\"C\"}\n ],\n\n\n   \"status\" : \"OK\"\n}\n\n\n";
    let cut = "{\n   \"html_attributions\" : [],\r\n   \"next_page_token\" : \"x\",\n   \"results\" : [ {\"name\" : \"A\\u00e9\"} ,\n {\"name\":\"B\"}\n ],\n   \"status\" : \"OK\"\n}\n\n";
    let stand_in = StandIn::start(Act::Reply(200, body.into()));
    let (_folder, server) = with_provider("google-legacy", &stand_in.url("/json"), "");
    let at = server.ask(KIWI);
    assert_eq!(server.ask("WHATSAT kiwi.cs.ucla.edu 1.5 2\n"), format!("{at}{cut}"));
    let target = &stand_in.seen()[0].target;
    assert!(target.contains("location=34.06893,-118.445127") && target.contains("radius=1500"), "{target}");
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_failing_provider_is_explained_and_its_key_is_nowhere() {
    let denied = format!(r#"{{"results":[],"status":"REQUEST_DENIED","error_message":"bad key {KEY}"}}"#);
    let cases = [
        (Act::Reply(200, denied.into()), "REQUEST_DENIED"),
        (Act::Reply(500, b"oops".to_vec()), "UNKNOWN_ERROR"),
        (Act::Reply(429, b"{}".to_vec()), "OVER_QUERY_LIMIT"),
        (Act::Truncated(b"{\"results\":".to_vec(), 100), "UNKNOWN_ERROR"),
        (Act::Reply(200, b"[1, 2".to_vec()), "UNKNOWN_ERROR"),
        (Act::Huge(2 << 20), "UNKNOWN_ERROR"),
        (Act::Close, "UNKNOWN_ERROR"),
        (Act::Reset, "UNKNOWN_ERROR"),
        (Act::Gibberish, "UNKNOWN_ERROR"),
    ];
    let stand_in = StandIn::start(Act::Close);
    let (_folder, server) = with_provider("google-legacy", &stand_in.url("/json"), "log_level = \"trace\"");
    let at = server.ask(KIWI);
    let mut replies = String::new();
    for (act, status) in cases {
        stand_in.always(act.clone());
        let reply = server.ask("WHATSAT kiwi.cs.ucla.edu 10 5\n");
        let (line, json) = parts(&reply);
        assert_eq!((line, &json["status"]), (at.as_str(), &Value::from(status)), "{act:?}: {reply}");
        assert!(json["error_message"].as_str().is_some_and(|why| !why.is_empty()), "{act:?}: {reply}");
        assert_eq!(names(&json).len(), 0);
        replies += &reply;
    }
    assert!(stand_in.seen().iter().all(|seen| seen.target.contains(KEY)), "it was asked with the key");
    let (log, stderr) = (server.log.clone(), server.process.stderr());
    assert_eq!(server.stop(), Some(0));
    let log = fs::read_to_string(log).expect("a log");
    assert!(!format!("{replies}{log}{stderr}").contains(KEY), "the key got out");
    assert!(log.contains("places:"), "lookups are logged");
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_provider_that_refuses_connections_is_explained() {
    let refusing = Refusing::new();
    let (_folder, server) = with_provider("google", &refusing.url(), "");
    server.ask(KIWI);
    let reply = server.ask("WHATSAT kiwi.cs.ucla.edu 10 5\n");
    assert_eq!(parts(&reply).1["status"], "UNKNOWN_ERROR", "{reply}");
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn lookups_stuck_on_a_dead_provider_hold_up_nobody_and_the_surplus_is_told() {
    let stand_in = StandIn::start(Act::Held(200, Vec::new()));
    let (_folder, server) = with_provider("google-legacy", &stand_in.url("/json"), "");
    server.ask(KIWI);
    // Two threads and a queue of one: three lookups are taken, whichever is the fourth is not.
    let mut waiting: Vec<_> = (1..=8)
        .map(|radius| {
            let mut client = server.client();
            client.send(format!("WHATSAT kiwi.cs.ucla.edu {radius} 5\n"));
            client
        })
        .collect();
    server.wait_for_log("too many lookups waiting");
    let begun = Instant::now();
    for i in 0..200 {
        assert!(server.ask(&format!("IAMAT busy +1+1 {i}\n")).starts_with("AT "));
    }
    assert!(begun.elapsed() < HANG);
    drop(stand_in);
    for client in &mut waiting {
        client.half_close();
        let reply = String::from_utf8(client.rest()).expect("text");
        assert_eq!(parts(&reply).1["status"], "UNKNOWN_ERROR", "{reply}");
    }
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn the_same_lookup_in_flight_is_asked_once() {
    let body = br#"{"results":[],"status":"ZERO_RESULTS"}"#.to_vec();
    let stand_in = StandIn::start(Act::Held(200, body));
    let (_folder, server) = with_provider("google-legacy", &stand_in.url("/json"), "");
    server.ask(KIWI);
    let mut clients: Vec<_> = (0..20).map(|_| server.client()).collect();
    clients.iter_mut().for_each(|client| client.send("WHATSAT kiwi.cs.ucla.edu 10 5\n"));
    wait_for("all to be read", || (server.log_text().matches(" WHATSAT ").count() == 20).then_some(()));
    stand_in.release();
    for client in &mut clients {
        client.half_close();
        assert_eq!(parts(&String::from_utf8(client.rest()).expect("text")).1["status"], "ZERO_RESULTS");
    }
    assert_eq!(stand_in.seen().len(), 1);
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_lookup_in_flight_is_answered_before_the_server_stops() {
    let stand_in = StandIn::start(Act::Held(200, Vec::new()));
    let (_folder, server) = with_provider("google-legacy", &stand_in.url("/json"), "stop_timeout_s = 2");
    server.ask(KIWI);
    let mut client = server.client();
    client.send("WHATSAT kiwi.cs.ucla.edu 10 5\n");
    stand_in.wait_for_request();
    assert_eq!(server.stop(), Some(0));
    let reply = String::from_utf8(client.rest()).expect("text");
    assert_eq!(parts(&reply).1["status"], "UNKNOWN_ERROR", "{reply}");
}

#[test]
fn a_file_of_the_users_own_answers() {
    let folder = folder_with(
        "[places]\nprovider = \"file\"\npath = \"my places.csv\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n",
    );
    let rows = "name,lat,lon,types\nFar,34.1,-118.4,cafe\n\"Near, by\",34.0690,-118.4451,park\n";
    fs::write(folder.path().join("my places.csv"), rows).expect("written");
    let server = Server::start(folder.path(), "Goloman");
    server.ask(KIWI);
    let reply = server.ask("WHATSAT kiwi.cs.ucla.edu 10 5\n");
    assert_eq!(names(&parts(&reply).1), ["Near, by", "Far"]);
}

#[test]
fn bad_rows_of_the_users_file_are_reported_with_their_line_at_start() {
    let folder = folder_with(
        "places.provider = \"file\"\nplaces.path = \"my.csv\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n",
    );
    let rows: String = (0..300).map(|i| format!("place {i},34.0,-118.0\n")).collect();
    fs::write(folder.path().join("my.csv"), format!("name,lat,lon\nbad,north,1\n{rows}")).expect("written");
    let (code, _, stderr) = crate::harness::run(folder.path(), &["--check"]);
    assert!(code == Some(0) && stderr.contains("my.csv:2: "), "{stderr}");
    let server = Server::start(folder.path(), "Goloman");
    server.wait_for_log("my.csv:2: ");
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn a_client_that_leaves_in_the_middle_of_a_lookup_harms_nobody() {
    let body = br#"{"results":[],"status":"OK"}"#.to_vec();
    let stand_in = StandIn::start(Act::Trickle);
    stand_in.next(Act::Held(200, body));
    let url = stand_in.url("/json");
    let (_folder, server) = with_provider("google-legacy", &url, "places.total_timeout_s = 2");
    server.ask(KIWI);
    let mut client = server.client();
    client.send("WHATSAT kiwi.cs.ucla.edu 10 5\n");
    stand_in.wait_for_request();
    socket2::SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).expect("set");
    drop(client);
    server.wait_for_log("reset");
    // Whoever has its place now, and waits for a lookup too, gets nothing that was meant for it.
    let mut other = server.client();
    other.send("WHATSAT kiwi.cs.ucla.edu 11 5\n");
    stand_in.wait_for_request();
    stand_in.release();
    other.half_close();
    let reply = String::from_utf8(other.rest()).expect("text");
    assert_eq!(parts(&reply).1["status"], "UNKNOWN_ERROR", "{reply}");
}

/// Clients at places that differ, who have each asked what is near them.
fn ask_from(address: std::net::IpAddr, count: u32, server: &Server) -> Vec<Client> {
    let ask = |i: u32| {
        let mut client = Client::connect_from(address, server.address);
        client.send(format!("IAMAT c{i} +10.{i:03}+020 1\nWHATSAT c{i} 10 5\n"));
        assert!(client.text_line().starts_with("AT Goloman "));
        client
    };
    (0..count).map(ask).collect()
}

#[cfg_attr(not(feature = "online"), ignore = "takes a provider that is asked over the network")]
#[test]
fn lookups_of_connections_that_are_gone_are_not_asked_and_an_address_that_asks_for_much_waits_for_itself() {
    let stand_in =
        StandIn::start(Act::Held(200, b"{\"results\": [], \"status\": \"ZERO_RESULTS\"}".to_vec()));
    let conf = format!(
        "places.provider = \"google-legacy\"\nplaces.url = \"{}\"\nplaces.key_file = \"key\"\nplaces.threads = 2\n\
         places.queue = 8\nplaces.total_timeout_s = 15\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n",
        stand_in.url("/")
    );
    let folder = folder_with(&conf);
    crate::harness::write_secret(&folder.path().join("key"), KEY);
    let server = Server::start(folder.path(), "Goloman");
    let greedy = ask_from([127, 0, 0, 1].into(), 14, &server);
    (0..2).for_each(|_| stand_in.wait_for_request());
    server.wait_for_log("too many lookups waiting");
    // One of another address is not refused, and does not wait for all of those.
    let mut other = ask_from([127, 0, 0, 2].into(), 1, &server).remove(0);
    (0..4).for_each(|_| stand_in.release());
    assert!(other.text_line().starts_with("AT Goloman "));
    assert!(other.text_line().contains("ZERO_RESULTS"));
    // Two are being asked again, and the rest is for connections that are about to be gone.
    let asked = wait_for("two lookups under way", || Some(stand_in.seen().len()).filter(|&seen| seen == 6));
    for client in &greedy {
        socket2::SockRef::from(&client.stream).set_linger(Some(std::time::Duration::ZERO)).expect("set");
    }
    let count = greedy.len();
    drop(greedy);
    wait_for("all to be gone", || (server.log_text().matches(" close ").count() >= count).then_some(()));
    (0..3).for_each(|_| stand_in.release());
    let mut last = ask_from([127, 0, 0, 3].into(), 1, &server).remove(0);
    assert!(last.text_line().starts_with("AT Goloman "));
    assert!(last.text_line().contains("ZERO_RESULTS"));
    assert_eq!(stand_in.seen().len(), asked + 1, "only what somebody waits for was asked");
}

#[test]
fn what_is_answered_behind_a_lookup_is_sent_though_the_connection_is_closed_over_it() {
    let (_folder, server) = crate::harness::solo("");
    let mut client = server.client();
    client.send("IAMAT a +34-118 1\nWHATSAT a 0 0\nGET / HTTP/1.1\n");
    let said = String::from_utf8(client.rest()).expect("text");
    assert!(said.starts_with("AT Goloman ") && said.ends_with("}\n\n? GET / HTTP/1.1\n"), "{said}");
}
