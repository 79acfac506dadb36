//! Whoever watches, by `/v1/events` and by WATCH: real servers, and readers that come, go, and do not read.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use herd::limits::{FEED_PIECE_BYTES, KERNEL_UNSENT_BYTES};
use serde_json::Value;

use crate::harness::{
    Disk, GOLOMAN_AND_HANDS, HANG, Herd, ONE_LINK, Server, folder_with, wait_for, write_secret,
};
use crate::http::{alone, ask, get};

mod areas;

/// A reader of events, and what it knows by them.
struct Events {
    lines: BufReader<TcpStream>,
    /// The last ID that came.
    id: Option<String>,
    status: u16,
    known: BTreeMap<String, Value>,
}

/// One event: its name, and its data.
type Event = (String, Value);

impl Events {
    fn of(server: &Server, query: &str) -> Events {
        Events::with(server, query, "")
    }

    fn with(server: &Server, query: &str, fields: &str) -> Events {
        Events::try_with(server, query, fields).expect("a stream")
    }

    /// None where the server goes away meanwhile.
    fn try_with(server: &Server, query: &str, fields: &str) -> Option<Events> {
        let mut stream = TcpStream::connect(server.http.expect("it serves HTTP")).ok()?;
        stream.set_read_timeout(Some(HANG)).expect("set");
        let request = format!("GET /v1/events{query} HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n");
        stream.write_all(request.as_bytes()).ok()?;
        let mut events =
            Events { lines: BufReader::new(stream), id: None, status: 0, known: BTreeMap::new() };
        events.status = events.line()?.get(9..12)?.parse().ok()?;
        while !events.line()?.is_empty() {}
        Some(events)
    }

    fn line(&mut self) -> Option<String> {
        let mut line = String::new();
        self.lines.read_line(&mut line).ok().filter(|_| line.ends_with('\n'))?;
        Some(line.trim_end().to_owned())
    }

    /// The next event; None at the end of the stream. What it says is known then.
    fn next(&mut self) -> Option<Event> {
        let mut name = String::new();
        loop {
            let line = self.line()?;
            if let Some(id) = line.strip_prefix("id: ") {
                self.id = Some(id.to_owned());
            } else if let Some(event) = line.strip_prefix("event: ") {
                name = event.to_owned();
            } else if let Some(data) = line.strip_prefix("data: ") {
                let data: Value = serde_json::from_str(data).expect("JSON");
                self.note(&name, &data);
                return Some((name, data));
            }
        }
    }

    fn note(&mut self, name: &str, data: &Value) {
        let id = || data["id"].as_str().expect("an ID").to_owned();
        match name {
            "snapshot" => self.known.clear(),
            "position" => drop(self.known.insert(id(), data.clone())),
            "gone" => drop(self.known.remove(&id())),
            _ => {}
        }
    }

    /// The events up to one of this name, which is the last of them.
    fn until(&mut self, name: &str) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            events.push(self.next().unwrap_or_else(|| panic!("no {name} came; {events:?}")));
            if events.last().is_some_and(|(last, _)| last == name) {
                return events;
            }
        }
    }

    /// Reads until an ID comes that is another one.
    fn until_id(&mut self) -> String {
        let before = self.id.clone();
        while self.id == before {
            if let Some(id) = self.line().expect("it goes on").strip_prefix("id: ") {
                self.id = Some(id.to_owned());
            }
        }
        self.id.clone().expect("an ID")
    }
}

fn names(events: &[Event]) -> Vec<String> {
    events
        .iter()
        .filter(|(name, _)| name != "link")
        .map(|(name, data)| match data["id"].as_str() {
            Some(id) => format!("{name} {id}"),
            None => name.clone(),
        })
        .collect()
}

#[test]
fn who_watches_is_told_who_is_there_and_then_what_changes() {
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\"")];
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &tables);
    let goloman = herd.start("Goloman");
    goloman.ask("IAMAT kiwi +34.068930-118.445127 1520023934.918963997\n");
    let mut events = Events::of(&goloman, "");
    assert_eq!(names(&events.until("caught-up")), ["snapshot", "position kiwi", "caught-up"]);
    let kiwi = &events.known["kiwi"];
    assert!(kiwi.to_string().contains(r#""lat":34.06893,"lon":-118.445127"#), "{kiwi}");
    assert_eq!(kiwi["time"], "1520023934.918963997");
    // Of the link, and of what comes by it.
    let hands = herd.start("Hands");
    let link = events.until("link").pop().expect("the last").1;
    assert_eq!((&link["neighbour"], &link["up"]), (&"Hands".into(), &true.into()));
    hands.ask("IAMAT van +1+2 1520023934\n");
    assert_eq!(events.until("position").pop().expect("the last").1["server"], "Hands");
    assert_eq!(ask(&goloman, "DELETE /v1/clients/kiwi", "", "").status, 204);
    let gone = events.until("gone").pop().expect("the last").1;
    assert_eq!((&gone["id"], &gone["why"]), (&"kiwi".into(), &"forgotten".into()));
    assert_eq!(hands.stop(), Some(0));
    assert_eq!(events.until("link").pop().expect("the last").1["up"], false);
    assert_eq!(goloman.stop(), Some(0), "whoever watches holds up no stop");
    assert_eq!(events.next(), None);
}

trait Told {
    /// The next line, without its newline.
    fn told(&mut self) -> String;
}

impl Told for crate::harness::Client {
    fn told(&mut self) -> String {
        self.text_line().trim_end().to_owned()
    }
}

#[test]
fn watch_sends_at_lines_by_the_door_for_lines() {
    let (_folder, server) = alone("", "");
    let [kiwi, van] = ["kiwi", "van-1"].map(|client| server.tell(client));
    let mut all = server.client();
    all.send("COUNT\nWATCH\nCOUNT\n");
    assert_eq!(all.told(), "COUNT 2");
    let mut known = [all.told(), all.told()];
    known.sort();
    assert_eq!(known, [kiwi, van.clone()]);
    assert_eq!(all.told(), "", "that is all for now");
    // Whoever says nothing more goes on reading.
    let mut vans = server.client();
    vans.send("WATCH van-\n");
    vans.half_close();
    assert_eq!((vans.told(), vans.told()), (van, String::new()));
    let plum = server.tell("plum");
    assert_eq!(all.told(), plum);
    let second = server.tell("van-2");
    assert_eq!((all.told(), vans.told()), (second.clone(), second));
    assert_eq!(ask(&server, "DELETE /v1/clients/van-2", "", "").status, 204);
    assert_eq!([all.told(), vans.told()], ["GONE van-2", "GONE van-2"]);
    assert_eq!(server.ask("WATCH a b\n"), "? WATCH a b\n");
}

#[test]
fn an_area_tells_who_comes_in_and_who_leaves_over_the_date_line_too() {
    let (_folder, server) = alone("", "");
    let report = |client: &str, location: &str, time: usize| {
        assert!(server.ask(&format!("IAMAT {client} {location} {time}\n")).starts_with("AT "));
    };
    report("there", "-18+178", 1);
    report("elsewhere", "+34-118", 1);
    let queries = ["?bbox=177,-22,-170,0", "?near=-18,179.9&radius_m=500000"];
    let mut readers = queries.map(|query| Events::of(&server, query));
    for reader in &mut readers {
        assert_eq!(names(&reader.until("caught-up")), ["snapshot", "position there", "caught-up"]);
    }
    // Over the line, out of the area from the other side, and in from elsewhere.
    for (location, time) in [("-18-179", 2), ("-18-160", 3), ("-17+179.5", 4)] {
        report("there", location, time);
        report("elsewhere", if time == 2 { "-18-179.5" } else { "+34-118" }, time);
        let expected = match time {
            2 => ["position elsewhere true", "position there null"],
            3 => ["gone elsewhere left", "gone there left"],
            _ => ["position there true", ""],
        };
        for reader in &mut readers {
            let mut told = Vec::new();
            for _ in expected.iter().filter(|it| !it.is_empty()) {
                let (name, data) = reader.next().expect("an event");
                let what = if name == "gone" { data["why"].as_str().unwrap_or("") } else { "" };
                let entered = if name == "gone" { String::new() } else { data["entered"].to_string() };
                told.push(format!("{name} {} {what}{entered}", data["id"].as_str().expect("an ID")));
            }
            told.sort();
            assert_eq!(told, expected.iter().filter(|it| !it.is_empty()).copied().collect::<Vec<_>>());
        }
    }
    for (query, parameter) in [
        ("?bbox=1,2,3", "bbox"),
        ("?bbox=0,0,1,1&near=1,1", "near"),
        ("?radius_m=5", "radius_m"),
        ("?near=1,1", "near"),
        ("?bbox=0,0,1,1&near=1,1&radius_m=5", "near"),
        ("?client=a&prefix=b", "prefix"),
        ("?client=", "client"),
        ("?prefix=b&client=", "prefix"),
        ("?bbox=", "bbox"),
        ("?bbox=0,1,1,0", "bbox"),
        ("?bbox=0,0,181,1", "bbox"),
        ("?bbox=0,-91,1,1", "bbox"),
        ("?bbox=0,0,1,x", "bbox"),
        ("?bbox=0,0,1,1&bbox=0,0,1,1", "bbox"),
        ("?near=91,0&radius_m=1", "near"),
        ("?near=1&radius_m=1", "near"),
        ("?near=1,1&radius_m=-1", "radius_m"),
        ("?near=1,1&radius_m=x", "radius_m"),
        ("?limit=5", "limit"),
    ] {
        let reply = get(&server, &format!("/v1/events{query}"));
        assert_eq!(reply.field("Content-Type"), Some("application/problem+json"), "{query}");
        assert_eq!((reply.status, &reply.json()["parameter"]), (400, &parameter.into()), "{query}");
    }
    assert_eq!(ask(&server, "PUT /v1/events", "", "{}").status, 405);
}

#[test]
fn a_stream_goes_on_where_it_was_cut_and_begins_anew_at_another_start() {
    let folder = folder_with(
        "data_dir = \"data\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n",
    );
    let server = Server::start(folder.path(), "Goloman");
    let clients: Vec<_> = (0..500).map(|number| format!("c{number}")).collect();
    clients.iter().for_each(|client| drop(server.tell(client)));
    let mut events = Events::of(&server, "");
    events.until("caught-up");
    assert_eq!(events.known.len(), 500);
    // Up to here it knows all.
    server.tell("last");
    events.until("position");
    let id = wait_for("an ID up to which it knows all", || {
        let id = events.until_id();
        let again = Events::of(&server, &format!("?last_event_id={id}")).until("caught-up");
        (names(&again) == ["caught-up"]).then_some(id)
    });
    drop(events);
    server.ask("IAMAT c7 +2+2 5\n");
    assert_eq!(ask(&server, "DELETE /v1/clients/c8", "", "").status, 204);
    server.tell("new");
    for (query, fields) in [
        (format!("?last_event_id={id}"), String::new()),
        ("?last_event_id=0000000000000000-1".into(), format!("Last-Event-ID: {id}\r\n")),
    ] {
        let mut again = names(&Events::with(&server, &query, &fields).until("caught-up"));
        again.sort();
        assert_eq!(again, ["caught-up", "gone c8", "position c7", "position new"]);
    }
    // Whoever was told of one client has not been told of all, and the other way round.
    let mut one = Events::of(&server, "?client=c7");
    one.until("caught-up");
    let of_one = one.until_id();
    let first = |query: &str| Events::of(&server, query).until("caught-up")[0].0.clone();
    assert_ne!(first(&format!("?client=c7&last_event_id={of_one}")), "snapshot");
    for query in ["?", "?client=c8&", "?prefix=c&"] {
        assert_eq!(first(&format!("{query}last_event_id={of_one}")), "snapshot", "{query}");
    }
    assert_eq!(first(&format!("?prefix=c&last_event_id={id}")), "snapshot");
    let Value::Number(lat) = Events::of(&server, "?client=c7").until("position")[1].1["lat"].clone() else {
        panic!("no number")
    };
    assert_eq!(lat.as_f64(), Some(2.0));
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(folder.path(), "Goloman");
    let mut events = Events::of(&server, &format!("?last_event_id={id}"));
    assert_eq!(events.until("caught-up")[0].0, "snapshot", "its epochs count anew");
    assert_eq!(events.known.len(), 501);
}

#[test]
fn who_was_not_heard_of_for_long_is_gone_for_those_who_watch_and_for_those_who_come_back() {
    let (_folder, server) = alone("forget_after = \"3s\"\ntiming.settle_ms = 10", "");
    let report = |client: &str| server.ask(&format!("IAMAT {client} +1+1 1\n"));
    report("old");
    let mut events = Events::of(&server, "");
    events.until("caught-up");
    report("new");
    events.until("position");
    let id = events.until_id();
    let (name, gone) = events.until("gone").pop().expect("the last");
    assert_eq!((name.as_str(), &gone["why"]), ("gone", &"forgotten".into()));
    let mut again = Events::of(&server, &format!("?last_event_id={id}"));
    again.until("caught-up");
    assert!(!again.known.contains_key(gone["id"].as_str().expect("an ID")), "{:?}", again.known);
}

#[test]
fn tokens_say_what_may_be_watched_and_until_when() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, token) = (folder.path().join("tokens"), "0123456789abcdef");
    write_secret(&path, &format!("fleet read {token} client=van-*\nwriter write fedcba9876543210\n"));
    let (_conf, server) = alone("", &format!("http.tokens_file = {path:?}"));
    ["van-1", "kiwi"].iter().for_each(|client| drop(server.tell(client)));
    let status = |query: &str| get(&server, &format!("/v1/events{query}")).status;
    assert_eq!(status(""), 401);
    assert_eq!(status("?token=fedcba9876543210"), 403);
    assert_eq!(status(&format!("?client=kiwi&token={token}")), 403);
    assert_eq!(status(&format!("?prefix=k&token={token}")), 403);
    let mut events = Events::of(&server, &format!("?token={token}"));
    assert_eq!(names(&events.until("caught-up")), ["snapshot", "position van-1", "caught-up"]);
    server.tell("plum");
    server.tell("van-2");
    assert_eq!(events.until("position").pop().expect("the last").1["id"], "van-2");
    write_secret(&path, "other read 0123456789abcdeg\n");
    server.process.signal(rustix::process::Signal::HUP);
    server.wait_for_log("read the tokens again");
    server.tell("van-3");
    assert_eq!(events.next(), None, "it is to show a token that counts");
    assert!(!server.log_text().contains(token));
}

#[test]
fn as_many_watch_as_may_and_one_that_leaves_makes_room() {
    let (_folder, server) = alone("", "");
    server.tell("kiwi");
    let readers = |server: &Server| {
        let text = get(server, "/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix("herd_event_subscribers "));
        line.expect("a metric").parse::<usize>().expect("a number")
    };
    let mut all: Vec<_> = (0..1_000).map(|_| Events::of(&server, "")).collect();
    all.iter_mut().for_each(|events| drop(events.until("caught-up")));
    assert_eq!(readers(&server), 1_000);
    let full = get(&server, "/v1/events");
    assert_eq!((full.status, full.field("Retry-After")), (503, Some("10")), "{full:?}");
    assert_eq!(server.ask("WATCH\n"), "? WATCH\n");
    // All are told.
    server.ask("IAMAT kiwi +2+2 7\n");
    all.iter_mut().for_each(|events| assert_eq!(events.until("position")[0].1["time"], "7"));
    drop(all);
    wait_for("room again", || {
        server.ask("IAMAT kiwi +2+2 7\n");
        let time = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("later");
        server.ask(&format!("IAMAT kiwi +2+2 {}\n", time.as_secs_f64()));
        (readers(&server) == 0).then_some(())
    });
    Events::of(&server, "").until("caught-up");
}

/// Bytes that wait for one who does not read, what the system has of them included: some, and at most the last piece.
const KEPT_MIN: usize = 1_000;
const KEPT_MAX: usize = KERNEL_UNSENT_BYTES + FEED_PIECE_BYTES + 1_024;

#[test]
fn who_does_not_read_costs_a_place_and_is_sent_the_newest_when_it_does() {
    let (_folder, server) = alone("log_level = \"info\"", "");
    let mut slow = Events::of(&server, "");
    let clients: Vec<_> = (0..2_000).map(|number| format!("client-number-{number}")).collect();
    let before = server.process.status("VmRSS");
    let mut connection = TcpStream::connect(server.address).expect("connected");
    connection.set_read_timeout(Some(HANG)).expect("set");
    for round in 1..=60 {
        let lines: String = clients.iter().map(|client| format!("IAMAT {client} +1+1 {round}\n")).collect();
        connection.write_all(lines.as_bytes()).expect("sent");
        let (mut lines, mut buffer) = (0, vec![0; 65_536]);
        while lines < clients.len() {
            let count = connection.read(&mut buffer).expect("replies");
            assert!(count > 0);
            lines += buffer[..count].iter().filter(|&&byte| byte == b'\n').count();
        }
    }
    // 120,000 events have 18 MB.
    let grown_kb = server.process.status("VmRSS").saturating_sub(before);
    assert!(grown_kb < 12_000, "{grown_kb} KB for a reader that does not read");
    let mut count = 0;
    let is_newest =
        |slow: &Events, client: &String| slow.known.get(client).is_some_and(|it| it["time"] == "60");
    while !clients.iter().all(|client| is_newest(&slow, client)) {
        let (name, _) = slow.next().expect("it goes on");
        count += usize::from(name == "position");
    }
    assert!(count < 60_000, "{count} events: what was superseded is left out");
}

/// Some subscribe and never read. Others are told all the same, and what waits is bounded, whatever happens.
#[test]
fn those_who_never_read_hold_up_nobody_and_what_waits_for_them_is_bounded() {
    let (_folder, server) = alone("", "");
    let asleep: Vec<_> = (0..50).map(|_| Events::of(&server, "")).collect();
    let mut awake: Vec<_> = (0..3).map(|_| Events::of(&server, "")).collect();
    let unsent = || {
        let text = get(&server, "/metrics").body;
        let line = text.lines().find_map(|line| line.strip_prefix("herd_unsent_bytes "));
        line.expect("a metric").parse::<usize>().expect("a number")
    };
    let clients: Vec<_> = (0..1_000).map(|number| format!("client-number-{number}")).collect();
    let mut connection = server.client();
    let mut time = 0;
    let mut go_on = |awake: &mut Vec<Events>| {
        time += 1;
        let lines: String = clients.iter().map(|client| format!("IAMAT {client} +1+1 {time}\n")).collect();
        connection.send(lines);
        clients.iter().for_each(|_| assert!(connection.text_line().starts_with("AT ")));
        let now = time.to_string();
        for reader in awake {
            while !clients.iter().all(|it| reader.known.get(it).is_some_and(|known| known["time"] == *now)) {
                reader.next().expect("it goes on");
            }
        }
    };
    wait_for("all who sleep to have left something unread", || {
        go_on(&mut awake);
        (unsent() >= asleep.len() * KEPT_MIN).then_some(())
    });
    (0..20).for_each(|_| go_on(&mut awake));
    let kept = unsent();
    assert!(kept <= asleep.len() * KEPT_MAX, "{kept} bytes for {} who do not read", asleep.len());
    drop(asleep);
    wait_for("nothing to wait any more", || {
        go_on(&mut awake);
        (unsent() == 0).then_some(())
    });
}

/// Readers come and go while clients report, the server dies and comes back with its journal: in the end each knows the
/// newest of every client.
#[test]
fn whoever_is_cut_and_comes_back_misses_the_newest_of_nobody() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let disk = Disk::new();
    let folder = folder_with(
        "data_dir = \"data\"\nsync = \"always\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n",
    );
    let mut server = disk.herd(folder.path(), "Goloman");
    let mut newest = HashMap::new();
    let mut readers: Vec<_> = (0..6).map(|_| Events::of(&server, "")).collect();
    let mut time = 0;
    for _ in 0..40 {
        let mut client = server.client();
        for _ in 0..random.usize(1..30) {
            time += 1;
            let name = format!("c{}", random.u8(..40));
            client.send(format!("IAMAT {name} +1+1 {time}\n"));
            assert!(client.text_line().starts_with("AT "));
            newest.insert(name, time.to_string());
        }
        if random.u8(..10) == 0 {
            server.process.signal(rustix::process::Signal::KILL);
            assert_eq!(server.wait(), None);
            server = disk.herd(folder.path(), "Goloman");
        }
        for reader in &mut readers {
            // Some read a little, some are cut in the midst of it.
            for _ in 0..random.usize(..20) {
                reader.lines.get_ref().set_read_timeout(Some(Duration::from_millis(5))).expect("set");
                let Some(line) = reader.line() else {
                    // Its connection is gone, or it has waited for the rest of a line.
                    reader.come_back(&server);
                    break;
                };
                reader.take(&line);
            }
            if random.u8(..3) == 0 {
                reader.come_back(&server);
            }
        }
    }
    for mut reader in readers {
        reader.come_back(&server);
        reader.until("caught-up");
        let told: HashMap<_, _> =
            reader.known.iter().map(|(id, it)| (id.clone(), it["time"].as_str())).collect();
        for (client, time) in &newest {
            assert_eq!(told.get(client), Some(&Some(time.as_str())), "seed {seed}: {client}");
        }
    }
}

impl Events {
    /// What a line says, of which the event's name may have come before.
    fn take(&mut self, line: &str) {
        if let Some(id) = line.strip_prefix("id: ") {
            self.id = Some(id.to_owned());
        } else if let Some(data) = line.strip_prefix("data: ") {
            let data: Value = serde_json::from_str(data).expect("JSON");
            let name = match (data.get("lat"), data.get("why"), data.get("neighbour"), data.get("server")) {
                (Some(_), ..) => "position",
                (_, Some(_), ..) => "gone",
                (_, _, None, Some(_)) => "snapshot",
                _ => "",
            };
            self.note(name, &data);
        }
    }

    /// Goes on behind the last ID on another connection, with what it knows.
    fn come_back(&mut self, server: &Server) {
        let query = self.id.as_ref().map_or(String::new(), |id| format!("?last_event_id={id}"));
        let again = Events::of(server, &query);
        self.lines = again.lines;
    }
}

#[test]
fn a_silent_stream_says_that_it_lives() {
    let (_folder, server) = alone("", "");
    let mut events = Events::of(&server, "");
    events.until("caught-up");
    let begun = Instant::now();
    while events.line().expect("it goes on") != ": nothing has happened" {}
    assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
}
