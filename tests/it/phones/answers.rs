//! What phones are refused, and what they are not: nothing that they would send again and again for good.

use std::io::Read;
use std::net::TcpStream;

use super::{TOKEN, tokens};
use crate::harness::{Disk, Server, folder_with, free_address, wait_for};
use crate::http::{Connection, Reply, alone, ask};

const LOCATION: &str =
    r#"{"_type":"location","topic":"owntracks/anna/phone","lat":1.5,"lon":9.5,"tst":1720374399}"#;
const BATCH: &str = r#"{"locations":[{"geometry":{"coordinates":[9.5,1.5]},"properties":{"timestamp":"2024-07-07T17:46:39Z","device_id":"over"}}]}"#;
const FORM: &str = "id=form&lat=1.5&lon=9.5&timestamp=1720374399";

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}\r\n")
}

/// A location with so many bytes beside it.
fn with_image(bytes: usize) -> String {
    let image = "A".repeat(bytes);
    LOCATION.replace("\"tst\"", &format!("\"image\":\"{image}\",\"tst\""))
}

#[test]
fn a_body_that_is_too_large_is_read_to_its_end_and_acknowledged() {
    let (_folder, settings) = tokens(&format!("phones write {TOKEN}\n"));
    let (_conf, server) = alone(&settings, "");
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    let mut tell = |path: &str, token: &str, body: &str| {
        let fields = bearer(token);
        let length = body.len();
        connection.say(
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: {length}\r\n\r\n{body}"
            )
            .as_bytes(),
        );
        connection.reply()
    };
    // One with a picture counts.
    let reply = tell("/owntracks", TOKEN, &with_image(900_000));
    assert_eq!((reply.status, reply.body.as_str(), reply.field("X-Herd-Ignored")), (200, "[]\n", None));
    assert!(server.knows("anna-phone").is_some_and(|line| line.ends_with(" +1.5+9.5 1720374399")));
    for (path, answer) in [
        ("/owntracks", "[]\n"),
        ("/overland", "{\"result\":\"ok\"}\n"),
        ("/", ""),
        ("/gpslogger", ""),
        ("/traccar", ""),
    ] {
        let reply = tell(path, TOKEN, &with_image(2_000_000));
        let ignored = reply.field("X-Herd-Ignored");
        assert_eq!((reply.status, reply.body.as_str(), ignored), (200, answer, Some("too-large")), "{path}");
    }
    // Nobody's is read, too, so that the reply is heard, and the connection goes on.
    assert_eq!(tell("/owntracks", "no-token-of-this-herd", &with_image(2_000_000)).status, 401);
    let refused = tell("/overland", "no-token-of-this-herd", &with_image(2_000_000));
    assert!(refused.status == 401 && refused.json()["error"].is_string(), "{refused:?}");
    // A batch of a thousand points.
    let points: Vec<_> = (0..1_000)
        .map(|number| {
            let pad = "x".repeat(450);
            format!(r#"{{"geometry":{{"coordinates":[9.5,1.{number:04}]}},"properties":{{"timestamp":{},"device_id":"queue","wifi":"{pad}"}}}}"#, 1_720_374_399 + (number * 7) % 1_000)
        })
        .collect();
    let batch = format!(r#"{{"locations":[{}]}}"#, points.join(","));
    assert!(batch.len() > 550_000 && batch.len() < 1_000_000, "{}", batch.len());
    let reply = tell("/overland", TOKEN, &batch);
    assert_eq!((reply.status, reply.field("X-Herd-Ignored")), (200, None));
    assert!(
        server.knows("queue").is_some_and(|line| line.ends_with(" 1720375398")),
        "{:?}",
        server.knows("queue")
    );
    // More than is read at all.
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    let fields = bearer(TOKEN);
    connection.say(
        format!("POST /owntracks HTTP/1.1\r\nHost: localhost\r\n{fields}Content-Length: 17825792\r\n\r\n")
            .as_bytes(),
    );
    let reply = connection.reply();
    assert_eq!((reply.status, reply.field("Connection")), (413, Some("close")), "{reply:?}");
}

#[test]
fn only_what_the_user_can_cure_is_refused_and_in_the_words_of_the_app() {
    let lines = format!(
        "all write {TOKEN}\nreader read,metrics a-token-to-read-by\nanna write the-token-of-anna client=anna-phone\nvans write the-token-of-vans client=van-*\n"
    );
    let (_folder, settings) = tokens(&lines);
    let (_conf, server) = alone(&format!("data_dir = \"\"\n{settings}"), "");
    let routes = [
        ("/owntracks", LOCATION),
        ("/pub", LOCATION),
        ("/overland", BATCH),
        ("/", FORM),
        ("/osmand", FORM),
        ("/gpslogger", FORM),
        ("/traccar", "{}"),
        ("/api/webhook/no-token-of-this-herd", FORM),
    ];
    for (path, body) in routes {
        for (fields, why) in [
            (String::new(), "no token"),
            (bearer("no-token-of-this-herd"), "no token"),
            (bearer("a-token-to-read-by"), "scope write"),
        ] {
            let reply = ask(&server, &format!("POST {path}"), &fields, body);
            let json = reply.json();
            let said = if path == "/overland" { &json["error"] } else { &json["detail"] };
            assert!(
                reply.status == 401 && said.as_str().is_some_and(|said| said.contains(why)),
                "{path}: {reply:?}"
            );
            assert!(
                reply.head.contains("WWW-Authenticate: Bearer")
                    && reply.head.contains("WWW-Authenticate: Basic"),
                "{reply:?}"
            );
            assert!(json.get("error").is_none() || json.as_object().expect("an object").len() == 1);
        }
    }
    assert_eq!(server.ask("COUNT\n"), "COUNT 0\n");
    // A token that is for one client says who it is; one for some clients is no other's.
    let tell = |token: &str, path: &str, body: &str| {
        let reply = ask(&server, &format!("POST {path}"), &bearer(token), body);
        (reply.status, reply.field("X-Herd-Ignored").unwrap_or_default().to_owned())
    };
    assert_eq!(tell("the-token-of-anna", "/", FORM), (200, String::new()));
    assert!(server.knows("anna-phone").is_some() && server.knows("form").is_none());
    assert_eq!(tell("the-token-of-vans", "/", FORM), (200, "not-allowed".into()));
    assert_eq!(tell("the-token-of-vans", "/", &FORM.replace("form", "van-7")), (200, String::new()));
    assert_eq!(
        tell("the-token-of-vans", "/", "lat=1.5&lon=9.5"),
        (200, "not-allowed".into()),
        "its own name begins otherwise"
    );
    assert_eq!(server.ask("COUNT\n"), "COUNT 2\n");
    // A template with a `?` for each `&`, of which the log has no token either.
    let marks = format!("GET /osmand?id=marks?token={TOKEN}?lat=1.5?lon=9.5");
    assert_eq!(ask(&server, &marks, "", "").status, 200);
    assert!(server.knows("marks").is_some());
    server.wait_for_log("/osmand?id=marks");
    assert!(!server.log_text().contains(TOKEN));
    // IDs that are longer than a line.
    assert_eq!(tell(TOKEN, "/", &FORM.replace("form", &"x".repeat(5_000))), (200, "too-long".into()));
    let (_conf, open) = alone("data_dir = \"\"", "");
    let nobody = ask(&open, "POST /", "", "lat=1.5&lon=9.5&timestamp=1720374399");
    assert_eq!((nobody.status, nobody.field("X-Herd-Ignored")), (200, Some("no-id")));
    // What has no position at all is no reason to send it again.
    for (line, body, status) in [
        ("POST /", "", 200),
        ("GET /?id=1&lat=1&lon=2", "", 200),
        ("GET /owntracks", "", 405),
        ("PUT /osmand", "", 405),
        ("OPTIONS /owntracks", "", 204),
    ] {
        assert_eq!(ask(&open, line, "", body).status, status, "{line}");
    }
    assert!(ask(&open, "GET /", "", "").body.starts_with("herd, "), "a browser gets the page");
    // Never by a redirect.
    for path in
        ["/owntracks", "/owntracks/", "/pub", "/pub/", "/osmand/", "/overland/", "/gpslogger/", "/traccar/"]
    {
        assert_eq!(ask(&open, &format!("POST {path}"), "", "x").status, 200, "{path}");
    }
}

#[test]
fn a_guesser_has_phones_wait_and_not_drop_what_they_have() {
    let (_folder, settings) = tokens(&format!("phones write {TOKEN}\nother write another-token-of-it\n"));
    let (_conf, server) = alone(&settings, "");
    assert_eq!(ask(&server, "POST /", &bearer(TOKEN), FORM).status, 200);
    // Also with bodies for which there would have to be room.
    for guess in 0..12 {
        let body = if guess % 2 == 1 { with_image(100_000) } else { LOCATION.to_owned() };
        let status =
            ask(&server, "POST /owntracks", &bearer(&format!("guess-number-{guess:04}")), &body).status;
        assert_eq!(status, if guess < 9 { 401 } else { 503 }, "{guess}");
    }
    let shut = ask(&server, "POST /owntracks", &bearer("another-token-of-it"), LOCATION);
    assert!(shut.status == 503 && shut.field("Retry-After").is_some(), "{shut:?}");
    assert_eq!(ask(&server, "POST /", &bearer(TOKEN), FORM).status, 200, "it was right from here before");
    server.wait_for_log("showed 10 wrong tokens");
}

#[test]
fn a_web_page_of_elsewhere_reports_nothing_and_a_phone_may_use_any_name() {
    let (_folder, settings) = tokens(&format!("phones write {TOKEN}\n"));
    let (_conf, guarded) = alone(&format!("data_dir = \"\"\n{settings}"), "");
    let (_conf, open) = alone("data_dir = \"\"", "");
    let tell = |server: &Server, host: &str, fields: &str| {
        let mut connection = Connection::to(server.http.expect("it serves HTTP"));
        let token = bearer(TOKEN);
        let length = FORM.len();
        connection.say(format!("POST /osmand HTTP/1.1\r\nHost: {host}\r\n{token}{fields}Content-Length: {length}\r\n\r\n{FORM}").as_bytes());
        let reply = connection.reply();
        (reply.status, server.knows("form").is_some())
    };
    for fields in [
        "Origin: https://evil.example\r\n",
        "Origin: null\r\n",
        "Sec-Fetch-Site: cross-site\r\n",
        "Sec-Fetch-Site: same-site\r\n",
    ] {
        for server in [&guarded, &open] {
            assert_eq!(tell(server, "localhost", fields), (403, false), "{fields}");
        }
    }
    // A picture of a web page, which says no origin.
    let image = ask(
        &open,
        &format!("GET /osmand?{FORM}"),
        "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nSec-Fetch-Dest: image\r\n",
        "",
    );
    assert_eq!((image.status, open.knows("form")), (403, None));
    assert_eq!(tell(&open, "rebound.example", ""), (403, false), "a name that was made to lead here");
    // It has a token, which no web page has.
    assert_eq!(tell(&guarded, "herd.example:8443", ""), (200, true));
    assert_eq!(tell(&open, "localhost", "Sec-Fetch-Site: none\r\n"), (200, true));
}

#[test]
fn what_cannot_be_kept_is_refused_until_it_can_with_every_sync() {
    for sync in ["sync = \"always\"", "", "sync = \"never\""] {
        refuses_what_it_cannot_keep(sync);
    }
}

fn refuses_what_it_cannot_keep(sync: &str) {
    let (conf, disk) = (
        folder_with(&format!(
            "{sync}\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n"
        )),
        Disk::new(),
    );
    let server = disk.herd(conf.path(), "Goloman");
    assert_eq!(ask(&server, "POST /owntracks", "", &LOCATION.replace("anna", "first")).status, 200);
    disk.set("fail-write");
    let reports = [("/owntracks", LOCATION, "anna-phone"), ("/overland", BATCH, "over"), ("/", FORM, "form")];
    // Also what is known by then: it is in memory alone.
    for (path, body, id) in reports.into_iter().chain(reports) {
        let refused = ask(&server, &format!("POST {path}"), "", body);
        assert!(refused.status == 503 && refused.field("Retry-After").is_some(), "{sync}: {refused:?}");
        let json = refused.json();
        assert!(
            if path == "/overland" {
                json["error"].is_string()
            } else {
                json["type"] == "/problems/not-kept"
            },
            "{refused:?}"
        );
        // Others see it all the same, where that promises nothing.
        assert_eq!(server.knows(id).is_some(), !sync.contains("always"), "{sync}: {id}");
        // What is of no use is of none whatever the disk does.
        assert_eq!(ask(&server, &format!("POST {path}"), "", "{").status, 200, "{path}");
    }
    let put = ask(&server, "PUT /v1/clients/put", "", r#"{"lat":1,"lon":2}"#);
    assert_eq!(put.status, if sync.contains("always") { 503 } else { 200 }, "{sync}");
    disk.unset("fail-write");
    for (path, body, id) in reports {
        wait_for("the journal to be whole", || {
            (ask(&server, &format!("POST {path}"), "", body).status == 200).then_some(())
        });
        assert!(server.knows(id).is_some(), "{id}");
    }
    // What was acknowledged outlasts the process.
    drop(server);
    let server = disk.herd(conf.path(), "Goloman");
    for id in ["first-phone", "anna-phone", "over", "form"] {
        assert!(server.knows(id).is_some(), "{sync}: {id}");
    }
}

/// In the default mode, in which a line is answered all the same.
#[test]
fn a_full_disk_loses_nothing_that_a_phone_was_told_is_kept() {
    let conf = folder_with("[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n");
    let disk = Disk::new();
    let server = disk.herd(conf.path(), "Goloman");
    let mut told = Vec::new();
    for number in 0..60 {
        if number == 30 {
            disk.set("fail-write");
        }
        let reply = ask(&server, &format!("POST /osmand?id=p{number}&lat=1&lon=2"), "", "");
        assert!([200, 503].contains(&reply.status), "{reply:?}");
        told.push((number, reply.status));
    }
    assert!(told.iter().all(|&(number, status)| (status == 200) == (number < 30)), "{told:?}");
    // Killed, so that it writes nothing more.
    let pid = rustix::process::Pid::from_child(&server.process.child);
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("killed");
    assert_eq!(server.wait(), None);
    disk.unset("fail-write");
    let server = disk.herd(conf.path(), "Goloman");
    for (number, status) in told {
        assert!(status == 503 || server.knows(&format!("p{number}")).is_some(), "p{number}");
    }
}

#[test]
fn while_the_journal_is_read_phones_are_asked_to_come_again() {
    let (http, line) = (free_address(), free_address());
    let conf = folder_with(&format!(
        "data_dir = \"data\"\n[servers.Goloman]\nlisten = \"{line}\"\nhttp.listen = \"{http}\"\n"
    ));
    let disk = Disk::new();
    let server = disk.herd(conf.path(), "Goloman");
    server.tell("a");
    assert_eq!(server.stop(), Some(0));
    disk.set("hold");
    let mut process = disk.begin(conf.path(), "Goloman");
    let tell = &|path: &str, body: &str| -> Reply {
        wait_for("the door for HTTP", || TcpStream::connect(http).ok());
        let mut connection = Connection::to(http);
        let length = body.len();
        connection.say(
            format!("POST {path} HTTP/1.1\r\nHost: {http}\r\nContent-Length: {length}\r\n\r\n{body}")
                .as_bytes(),
        );
        connection.reply()
    };
    // All at once, as each is kept waiting for a while.
    let asked = [("/owntracks", LOCATION), ("/overland", BATCH), ("/", FORM), ("/owntracks", "{")];
    std::thread::scope(|scope| {
        let all = asked.map(|(path, body)| (path, scope.spawn(move || tell(path, body))));
        for (path, refused) in all {
            let refused = refused.join().expect("a reply");
            assert_eq!((refused.status, refused.field("Retry-After")), (503, Some("1")), "{path}");
        }
    });
    disk.unset("hold");
    process.lines_until("Goloman listens on");
    for (path, body) in [("/owntracks", LOCATION), ("/overland", BATCH), ("/", FORM)] {
        assert_eq!(tell(path, body).status, 200, "{path}");
    }
}

#[test]
fn owntracks_is_told_of_those_whom_its_token_may_read_each_by_a_name_of_its_own() {
    let lines = "van-1 write,read the-token-of-van-1 client=van-*\nall write,read the-token-of-all\npinned write,read the-token-of-pinned client=anna\nmute write the-token-of-mute\n";
    let (_folder, settings) = tokens(lines);
    let (_conf, server) = alone(&format!("data_dir = \"\"\n{settings}"), "");
    server.ask("IAMAT van-2 +1.50+9.5 1720374390.5\nIAMAT bert +1.6+9.5 1720374390\n");
    let tell = |token: &str, topic: &str| {
        ask(&server, "POST /owntracks", &bearer(token), &LOCATION.replace("anna/phone", topic)).json()
    };
    let tids = |list: &serde_json::Value| -> Vec<String> {
        let cards = list.as_array().expect("a list").iter().filter(|one| one["_type"] == "card");
        cards.map(|card| card["tid"].as_str().expect("a tid").to_owned()).collect()
    };
    let vans = tell("the-token-of-van-1", "van-1");
    assert_eq!(tids(&vans), ["van-1", "van-2"], "{vans}");
    let expected = serde_json::json!({"_type": "location", "tid": "van-2", "lat": 1.50, "lon": 9.5, "tst": 1_720_374_390});
    assert_eq!(vans[3], expected);
    let mut all = tids(&tell("the-token-of-all", "zoë/x y"));
    all.sort();
    assert_eq!(all, ["bert", "van-1", "van-2", "zoë-x%20y"]);
    assert_eq!(tell("the-token-of-pinned", "x"), serde_json::json!([]));
    assert_eq!(tell("the-token-of-mute", "x"), serde_json::json!([]));
}

#[test]
fn what_does_not_count_is_counted_and_told_once_an_hour() {
    let (_folder, settings) = tokens(&format!(
        "phones write {TOKEN}\nscraper metrics the-token-of-metrics\nanna write the-token-of-anna client=anna\n"
    ));
    let (_conf, server) = alone(&format!("data_dir = \"\"\n{settings}"), "");
    let encrypted = r#"{"_type":"encrypted","topic":"owntracks/anna/phone","data":"x"}"#;
    (0..5).for_each(|_| assert_eq!(ask(&server, "POST /pub", &bearer(TOKEN), encrypted).status, 200));
    ask(&server, "POST /pub", &bearer(TOKEN), &encrypted.replace("anna", "bert"));
    ask(&server, "POST /overland", &bearer(TOKEN), BATCH);
    let page = ask(&server, "GET /metrics", &bearer("the-token-of-metrics"), "").body;
    for line in [
        "herd_phone_reports_ignored_total{app=\"owntracks\",reason=\"encrypted\"} 6",
        "herd_phone_reports_ignored_total{app=\"traccar\",reason=\"no-id\"} 0",
        "herd_phone_reports_total{app=\"overland\"} 1",
    ] {
        assert!(page.lines().any(|row| row == line), "{line}: {page}");
    }
    // The client that it would be, not what a phone calls itself, and no word of what nobody has to mend.
    let waypoint = r#"{"_type":"waypoint","topic":"owntracks/anna/phone/waypoint"}"#;
    ask(&server, "POST /pub", &bearer("the-token-of-anna"), waypoint);
    for topic in ["owntracks/x/y", "owntracks/z/y/event"] {
        ask(
            &server,
            "POST /pub",
            &bearer("the-token-of-anna"),
            &encrypted.replace("owntracks/anna/phone", topic),
        );
    }
    let log = server.wait_for_log("ignoring what anna sends as owntracks: encrypted");
    assert!(log.contains("[INFO] anna sends other-message as owntracks"), "{log}");
    assert_eq!(log.matches("ignoring what anna sends as owntracks: encrypted").count(), 1, "{log}");
    assert!(!log.contains("ignoring what x-y") && !log.contains("ignoring what z-y"), "{log}");
    let log =
        server.wait_for_log("ignoring what bert-phone sends as owntracks: encrypted; told once an hour");
    assert_eq!(log.matches("ignoring what anna-phone sends as owntracks: encrypted").count(), 1, "{log}");
}

/// Names in a batch are the sender's to choose: that the log was told of as many as are remembered must not make each
/// one more dear.
#[test]
fn many_names_of_no_use_take_no_longer_than_a_few() {
    let (_conf, server) = alone("data_dir = \"\"", "");
    let batch = |from: usize| {
        let one = |number: usize| format!(r#"{{"lat":91,"lon":0,"topic":"{number}"}}"#);
        format!("[{}]", (from..from + 20_000).map(one).collect::<Vec<_>>().join(","))
    };
    let took = |from: usize| {
        let begin = std::time::Instant::now();
        let reply = ask(&server, "POST /owntracks", "", &batch(from));
        assert_eq!((reply.status, reply.field("X-Herd-Ignored")), (200, Some("bad-location")));
        begin.elapsed()
    };
    took(0);
    let (full, again) = (took(100_000), took(200_000));
    assert!(full.min(again).as_secs() < 2, "{full:?} {again:?}");
}

#[test]
fn large_bodies_wait_in_line_for_room_and_little_is_kept_of_them() {
    const MANY: usize = 1_000;
    let (_conf, server) = alone("workers = 1\nmax_connections = 2000", "");
    let http = server.http.expect("it serves HTTP");
    // The largest that is looked at. It is asked for as soon as there is room for it.
    let announce = || {
        let mut connection = Connection::to(http);
        connection.say(
            b"POST /overland HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 1048576\r\n\r\n",
        );
        connection
    };
    let is_asked_for = |connection: &mut Connection| {
        let mut reply = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        connection.0.read_exact(&mut reply).expect("it has room");
        assert!(reply.starts_with(b"HTTP/1.1 100 "));
    };
    // All that came before was read when this is answered.
    let settle = || assert_eq!(ask(&server, "GET /healthz", "", "").status, 200);
    let mut first: Vec<_> = (0..64).map(|_| announce()).collect();
    first.iter_mut().for_each(is_asked_for);
    let before_kb = server.process.status("VmRSS");
    let mut line: Vec<_> = (0..4)
        .map(|_| {
            let connection = announce();
            settle();
            connection
        })
        .collect();
    let many: Vec<_> = (0..MANY)
        .map(|_| {
            let mut connection = Connection::to(http);
            let begun = "[".repeat(12_000);
            connection.say(
                format!(
                    "POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999\r\n\r\n{begun}"
                )
                .as_bytes(),
            );
            connection
        })
        .collect();
    settle();
    let kept_kb = server.process.status("VmRSS").saturating_sub(before_kb);
    assert!(kept_kb < 6 * MANY as u64, "{kept_kb} kB for {MANY}");
    drop(many);
    for next in &mut line {
        drop(first.pop());
        is_asked_for(next);
    }
}

#[test]
fn whoever_keeps_room_and_says_nothing_makes_way_for_those_who_wait() {
    let (_conf, server) = alone("", "");
    let http = server.http.expect("it serves HTTP");
    let announce = || {
        let mut connection = Connection::to(http);
        connection.say(b"POST /overland HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n[");
        connection
    };
    let mut silent: Vec<_> = (0..64).map(|_| announce()).collect();
    assert_eq!(ask(&server, "GET /healthz", "", "").status, 200);
    // It waits for one of them to go.
    let reply = ask(&server, "POST /overland", "", &format!("[{}]", " ".repeat(100_000)));
    assert_eq!((reply.status, &*reply.body), (200, "{\"result\":\"ok\"}\n"));
    let mut said = String::new();
    silent[0].0.read_to_string(&mut said).expect("its end");
    assert!(said.starts_with("HTTP/1.1 503 ") && said.contains("{\"error\":"), "{said}");
}
