//! One position, told in every way there is, is one AT line.

use std::time::Duration;

use herd::clock::Moment;
use herd::door::http::{Site, Tokens};

use super::masked;
use crate::harness::{GOLOMAN_AND_HANDS, Herd, ONE_LINK};
use crate::http::table::Bare;
use crate::http::{Connection, Reply};

const NOW: Moment = Moment { up: Duration::from_secs(100), posix_ns: 1_795_000_000_123_456_789 };

/// A request that tells where somebody was, of each app in each of its forms. `<id>` is who.
fn requests() -> Vec<(&'static str, String)> {
    let post = |target: &str, fields: &str, body: &str| {
        format!("POST {target} HTTP/1.1\r\nHost: localhost\r\n{fields}<length>\r\n{body}")
    };
    let feature = r#"{"type":"Feature","geometry":{"type":"Point","coordinates":[-118.445127,34.068930]},"properties":{"timestamp":"2024-07-07T17:46:39.250Z","device_id":"<id>"}}"#;
    let coords = r#"{"timestamp":"2024-07-07T19:46:39.250+02:00","coords":{"latitude":34.068930,"longitude":-118.445127}}"#;
    let query = "id=<id>&lat=34.068930&lon=-118.445127&timestamp=1720374399250";
    let position = r#"{"position":{"fixTime":"2024-07-07T17:46:39.250+00:00","latitude":34.068930,"longitude":-118.445127},"device":{"uniqueId":"<id>"}}"#;
    let put = r#"{"lat":34.068930,"lon":-118.445127,"time":1720374399.250}"#;
    vec![
        ("PUT", post("/v1/clients/<id>", "", put).replacen("POST", "PUT", 1)),
        (
            "OwnTracks by its topic",
            post(
                "/owntracks",
                "",
                r#"{"_type":"location","topic":"owntracks/<id>","lat":34.068930,"lon":-118.445127,"tst":1720374399.250}"#,
            ),
        ),
        (
            "OwnTracks by its fields",
            post(
                "/pub",
                "X-Limit-U: <id>\r\n",
                r#"{"lat":"34.068930","lon":"-118.445127","tst":"1720374399250"}"#,
            ),
        ),
        (
            "Overland as OwnTracks",
            post(
                "/owntracks",
                "User-Agent: Overland/1.3\r\n",
                r#"{"_type":"location","topic":"owntracks/<id>","lat":34.068930,"lon":-118.445127,"tst":742067199.250}"#,
            ),
        ),
        ("OsmAnd", format!("GET /osmand?{query} HTTP/1.1\r\nHost: localhost\r\n\r\n")),
        ("Traccar Client 8", post(&format!("/?{query}"), "", "")),
        ("Traccar Client 9", post("/", "", &format!(r#"{{"device_id":"<id>","location":{coords}}}"#))),
        ("Traccar Client 10", post("/", "", query)),
        ("Overland", post("/overland", "", &format!(r#"{{"locations":[{feature}]}}"#))),
        (
            "GPSLogger",
            post(
                "/gpslogger",
                "",
                "latitude=34.068930&longitude=-118.445127&device=<id>&time=2024-07-07T17:46:39.250Z",
            ),
        ),
        ("Traccar", post("/traccar", "", position)),
    ]
}

fn of(request: &str, id: &str) -> Vec<u8> {
    let request = request.replace("<id>", id);
    let body = request.split_once("<length>\r\n").map_or("", |(_, body)| body);
    let length = body.len();
    request.replace("<length>", &format!("Content-Length: {length}\r\n")).into_bytes()
}

#[test]
fn a_position_is_the_same_line_to_the_byte_by_whatever_door_it_comes() {
    let at =
        |tokens: Option<Tokens>| Bare::of(Site::new(Vec::new(), Vec::new(), 86_400_000_000_000, tokens), NOW);
    let line = at(None).say(b"IAMAT kiwi +34.068930-118.445127 1720374399.250\n");
    assert_eq!(line, "AT Goloman +74625600.873456789 kiwi +34.068930-118.445127 1720374399.250\n");
    for (name, request) in requests() {
        let mut bare = at(None);
        let (said, _) = bare.converse([&of(&request, "kiwi")[..]]);
        assert_eq!(bare.lines(), [line.trim_end()], "{name}: {}", String::from_utf8_lossy(&said));
        // A token that is for one client says who it is, whatever the app says.
        if name == "PUT" {
            continue;
        }
        let pinned = Tokens::parse("kiwi write the-token-of-kiwi client=kiwi\n").expect("tokens");
        let (mut bare, request) = (at(Some(pinned)), String::from_utf8(of(&request, "other")).expect("text"));
        let shown = request.replacen("\r\n", "\r\nAuthorization: Bearer the-token-of-kiwi\r\n", 1);
        bare.converse([shown.as_bytes()]);
        assert_eq!(bare.lines(), [line.trim_end()], "{name}");
    }
}

#[test]
fn a_position_by_any_door_is_one_line_on_every_server() {
    let serve = ["Goloman", "Hands"].map(|name| (name, "http.listen = \"127.0.0.1:0\""));
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "data_dir = \"\"", &serve);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    let line = goloman.ask("IAMAT kiwi-line +34.068930-118.445127 1720374399.250\n");
    hands.wait_to_know("kiwi-line", line.trim_end());
    for (number, (name, request)) in requests().into_iter().enumerate() {
        let (id, server) = (format!("kiwi-{number:04}"), if number % 2 == 0 { &goloman } else { &hands });
        let mut connection = Connection::to(server.http.expect("it serves HTTP"));
        connection.say(&of(&request, &id));
        let reply: Reply = connection.reply();
        assert_eq!(reply.status, 200, "{name}: {reply:?}");
        let known = server.knows(&id).unwrap_or_else(|| panic!("{name}: {reply:?}"));
        assert_eq!(masked(&known), masked(&line).replace("kiwi-line", &id), "{name}");
        // To the byte, with the difference, on the other one.
        [&goloman, &hands].iter().for_each(|server| server.wait_to_know(&id, &known));
    }
}
