//! The door for HTTP, as programs meet it: real servers, and bytes on real connections.

mod caching;
mod differential;
mod forgetting;
mod listed;
mod monitoring;
mod redacting;
mod requests;
pub mod table;
pub mod tls;
mod tools;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::harness::{
    Client, Disk, GOLOMAN_AND_HANDS, HANG, Herd, ONE_LINK, Server, folder_with, free_address, wait_for,
    write_secret,
};

/// A reply, cut into its parts.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// Cuts the first reply off; None where it is not whole.
    pub fn cut(bytes: &[u8]) -> Option<(Reply, usize)> {
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8(bytes[..end].to_vec()).expect("a head is text");
        let status = head.get(9..12)?.parse().ok()?;
        let length =
            head.lines().find_map(|line| line.strip_prefix("Content-Length: ")?.parse().ok()).unwrap_or(0);
        let body = bytes.get(end..end + length)?;
        Some((Reply { status, head, body: String::from_utf8_lossy(body).into_owned() }, end + length))
    }

    pub fn field(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {}", self.body))
    }
}

/// A connection that says what it is told to.
pub struct Connection(pub TcpStream);

impl Connection {
    pub fn to(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).expect("connected");
        stream.set_read_timeout(Some(HANG)).expect("set");
        Connection(stream)
    }

    pub fn say(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("said");
    }

    /// Everything up to the end of the connection.
    pub fn rest(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        // A server that closes while something is unread resets the connection, after its replies.
        let _ = self.0.read_to_end(&mut bytes);
        bytes
    }

    /// The next reply.
    pub fn reply(&mut self) -> Reply {
        let (mut bytes, mut buffer) = (Vec::new(), [0; 65_536]);
        loop {
            if let Some((reply, length)) = Reply::cut(&bytes) {
                assert_eq!(length, bytes.len(), "more than one reply");
                return reply;
            }
            let count = self.0.read(&mut buffer).expect("a reply");
            assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&bytes));
            bytes.extend_from_slice(&buffer[..count]);
        }
    }
}

/// One request on a connection of its own.
pub fn ask(server: &Server, line: &str, fields: &str, body: &str) -> Reply {
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    connection.say(format!("{line} HTTP/1.1\r\nHost: localhost\r\n{length}{fields}\r\n{body}").as_bytes());
    connection.reply()
}

pub fn get(server: &Server, target: &str) -> Reply {
    ask(server, &format!("GET {target}"), "", "")
}

/// One server with a door for HTTP and these lines in its table.
pub fn alone(settings: &str, table: &str) -> (tempfile::TempDir, Server) {
    let conf = format!(
        "{settings}\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n{table}\n"
    );
    let folder = folder_with(&conf);
    let server = Server::start(folder.path(), "Goloman");
    (folder, server)
}

const KIWI: &str = r#"{"lat":34.068930,"lon":-118.445127,"time":1520023934.918963997}"#;

#[test]
fn a_report_by_http_is_the_line_that_iamat_makes_on_every_server() {
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\""), ("Hands", "http.listen = \"127.0.0.1:0\"")];
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &tables);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    let reply = ask(&goloman, "PUT /v1/clients/kiwi.cs.ucla.edu", "", KIWI);
    assert_eq!((reply.status, &reply.json()["news"]), (200, &true.into()), "{reply:?}");
    let line = reply.json()["at"].as_str().expect("a line").to_owned();
    assert!(line.ends_with(" kiwi.cs.ucla.edu +34.068930-118.445127 1520023934.918963997"), "{line}");
    hands.wait_to_know("kiwi.cs.ucla.edu", &line);
    let feature = get(&hands, "/v1/clients/kiwi.cs.ucla.edu").json();
    assert_eq!(
        (&feature["properties"]["at"], &feature["properties"]["server"]),
        (&line.as_str().into(), &"Goloman".into())
    );
    let again = ask(&goloman, "PUT /v1/clients/kiwi.cs.ucla.edu", "", KIWI).json();
    assert_eq!(again["news"], false);
    let list = get(&hands, "/v1/clients?near=34,-118&radius_m=50000").json();
    assert_eq!(list["features"][0]["properties"]["at"], line);
    wait_for("both to be equal", || {
        let digest = |server| get(server, "/v1/herd").json()["digest"].clone();
        (digest(&goloman) == digest(&hands)).then_some(())
    });
    let places = get(&hands, "/v1/clients/kiwi.cs.ucla.edu/places?bound=1").json();
    assert_eq!(places["results"][0]["name"], "Bel Air");
    let servers = &get(&hands, "/v1/herd").json()["servers"];
    let listed = [("Goloman", ["Hands"]), ("Hands", ["Goloman"])];
    let listed =
        listed.map(|(server, neighbours)| serde_json::json!({ "server": server, "neighbours": neighbours }));
    assert_eq!(*servers, serde_json::json!(listed));
}

#[test]
fn an_id_is_one_whichever_door_it_comes_by() {
    let (_folder, server) = alone("", "");
    for (path, id) in [("a%20b", "a%20b"), ("a%2Fb", "a%2Fb"), ("Zo%C3%AB", "Zoë"), ("%FF", "%FF")] {
        let told = ask(&server, &format!("PUT /v1/clients/{path}"), "", r#"{"lat":1,"lon":2,"time":5}"#);
        assert!(told.json()["at"].as_str().expect("a line").ends_with(&format!(" {id} +1+2 5")), "{told:?}");
        assert_eq!(get(&server, &format!("/v1/clients/{path}")).json()["id"], id);
        assert!(server.knows(id).is_some());
    }
    // One that a line has as it stands.
    server.ask("IAMAT 50%/x +1+1 5\n");
    assert_eq!(get(&server, "/v1/clients/50%25%2Fx").json()["id"], "50%/x");
    // One that is no text: by its bytes, and by what JSON has in their stead.
    let mut door = TcpStream::connect(server.address).expect("connected");
    door.write_all(b"IAMAT \xffA +1+1 5\n").expect("said");
    wait_for("it to be known", || (get(&server, "/v1/clients/%FFA").status == 200).then_some(()));
    for path in ["%FFA", "%25FFA"] {
        assert_eq!(get(&server, &format!("/v1/clients/{path}")).json()["id"], "%FFA", "{path}");
    }
    // Of two of which one is as the other is spelled, each is found, and forgotten, by what JSON says of it.
    server.ask("IAMAT a/b +3+3 5\nIAMAT x%25 +1+1 5\nIAMAT x% +2+2 5\n");
    for (path, id) in [("a%2Fb", "a/b"), ("a%252Fb", "a%2Fb"), ("x%25", "x%"), ("x%2525", "x%25")] {
        assert_eq!(get(&server, &format!("/v1/clients/{path}")).json()["id"], id, "{path}");
    }
    assert_eq!(ask(&server, "DELETE /v1/clients/a%2Fb", "", "").status, 204);
    assert_eq!((server.knows("a/b"), server.knows("a%2Fb").is_some()), (None, true));
    let unknown = get(&server, "/v1/clients/nobody");
    assert_eq!((unknown.status, &unknown.json()["type"]), (404, &"/problems/unknown-client".into()));
}

#[test]
fn what_cannot_be_used_is_told_with_what_would_be_right() {
    let (_folder, server) = alone("", "");
    for (body, parameter, why) in [
        (r#"{"lat":91,"lon":0}"#, "lat", "from -90 to 90"),
        (r#"{"lat":1}"#, "lon", "missing"),
        (r#"{"lat":"x","lon":1}"#, "lat", "from -90 to 90"),
        (r#"{"lat":1,"lon":1,"time":"nan"}"#, "time", "seconds since 1970"),
        (r#"{"lat":1,"lon":1,"time":-5}"#, "time", "no sign"),
        (r#"{"location":"34,1"}"#, "location", "sign"),
        (r#"{"location":"+1+1","lat":1}"#, "location", "either"),
        (r#"{"lat":1,"lon":1,"speed":1}"#, "speed", "unknown field"),
        (r#"{"lat":1,"lat":2,"lon":1}"#, "lat", "duplicate field"),
        (r#"{"lat":1,"lon":1"#, "", "EOF"),
        ("[1,1,1]", "", "an object"),
        (r#" [1,1,1,"+1+1"]"#, "", "an object"),
        (r#"[{"lat":1,"lon":1}]"#, "", "an object"),
        ("1", "", "an object"),
        ("", "", "the body is empty"),
    ] {
        let reply = ask(&server, "PUT /v1/clients/a", "Content-Type: application/json\r\n", body);
        let problem = reply.json();
        let named = problem["parameter"].as_str().unwrap_or_default();
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(reply.status == 400 && named == parameter && detail.contains(why), "{body}: {reply:?}");
        assert_eq!(reply.field("Content-Type"), Some("application/problem+json"));
    }
    let ahead = ask(&server, "PUT /v1/clients/a", "", r#"{"lat":1,"lon":1,"time":99999999999}"#);
    assert!(ahead.status == 409 && ahead.body.contains("http.max_ahead"), "{ahead:?}");
    for (line, fields, body, status) in [
        ("GET /v1/clients?limit=0", "", "", 400),
        ("GET /v1/clients?bbox=1,2,3", "", "", 400),
        ("GET /v1/clients?bbox=0,10,10,0", "", "", 400),
        ("GET /v1/clients?radius_m=5", "", "", 400),
        ("GET /v1/clients/a?x=1", "", "", 400),
        ("GET /nowhere", "", "", 404),
        ("POST /v1/clients/a", "", "{}", 405),
        ("PATCH /v1/clients/a", "", "", 405),
        ("PUT /v1/clients/a", "Content-Type: text/plain\r\n", "{}", 415),
        ("PUT /v1/clients/a", "Content-Encoding: gzip\r\n", "{}", 415),
        ("PUT /v1/clients/a", "If-Match: \"1\"\r\n", r#"{"lat":1,"lon":1}"#, 412),
    ] {
        let reply = ask(&server, line, fields, body);
        assert_eq!(reply.status, status, "{line}: {reply:?}");
    }
    assert!(server.knows("a").is_none());
}

#[test]
fn a_tag_tells_whether_something_is_as_it_was() {
    let (_folder, server) = alone("", "");
    let told = ask(&server, "PUT /v1/clients/a", "If-None-Match: *\r\n", r#"{"lat":1,"lon":2,"time":5}"#);
    let tag = told.field("ETag").expect("a tag").to_owned();
    let fields = format!("If-None-Match: {tag}\r\n");
    for target in ["/v1/clients/a", "/v1/clients"] {
        let tag = get(&server, target).field("ETag").expect("a tag").to_owned();
        let same = ask(&server, &format!("GET {target}"), &format!("If-None-Match: \"x\", {tag}\r\n"), "");
        assert_eq!((same.status, same.body.as_str(), same.field("ETag")), (304, "", Some(tag.as_str())));
    }
    assert_eq!(
        ask(&server, "PUT /v1/clients/a", "If-None-Match: *\r\n", r#"{"lat":1,"lon":3,"time":6}"#).status,
        412
    );
    let matched =
        ask(&server, "PUT /v1/clients/a", &format!("If-Match: {tag}\r\n"), r#"{"lat":1,"lon":3,"time":6}"#);
    assert_eq!(matched.status, 200);
    assert_eq!(ask(&server, "GET /v1/clients/a", &fields, "").status, 200, "it has moved");
}

#[test]
fn who_may_do_what_is_what_the_tokens_say_and_they_are_read_anew() {
    let (folder, token) = (tempfile::tempdir().expect("a folder"), "0123456789abcdef");
    let path = folder.path().join("tokens");
    write_secret(&path, &format!("anna write,read {token} client=anna\nscraper metrics metrics-metrics-1\n"));
    let (_conf, server) = alone("", &format!("http.tokens_file = {path:?}"));
    let report = r#"{"lat":1,"lon":2,"time":5}"#;
    let with = |line: &str, token: &str, body: &str| {
        ask(&server, line, &format!("Authorization: Bearer {token}\r\n"), body)
    };
    let nobody = get(&server, "/v1/clients/anna");
    assert!(nobody.status == 401 && nobody.head.contains("WWW-Authenticate: Bearer"), "{nobody:?}");
    assert_eq!(with("PUT /v1/clients/anna", token, report).status, 200);
    assert_eq!(with("GET /v1/clients/anna", token, "").status, 200);
    assert_eq!(get(&server, &format!("/v1/clients/anna?token={token}")).status, 200);
    assert_eq!(with("PUT /v1/clients/bert", token, report).status, 403);
    assert_eq!(with("GET /v1/clients/bert", token, "").status, 403);
    assert_eq!(with("GET /metrics", "metrics-metrics-1", "").status, 200);
    assert_eq!(with("GET /v1/herd", "metrics-metrics-1", "").status, 403);
    assert_eq!(get(&server, "/healthz").status, 200);
    // A browser is asked who looks at the page, and again where that is not enough.
    for reply in [get(&server, "/sign-in"), with("GET /sign-in", "metrics-metrics-1", "")] {
        assert!(reply.status == 401 && reply.head.contains("WWW-Authenticate: Basic"), "{reply:?}");
    }
    for line in ["GET /sign-in", "HEAD /sign-in"] {
        let reply = with(line, token, "");
        assert!(reply.status == 303 && reply.head.contains("\r\nLocation: /\r\n"), "{reply:?}");
    }
    server.ask("IAMAT bert +1+1 5\n");
    let seen = with("GET /v1/clients", token, "").json();
    let ids: Vec<_> =
        seen["features"].as_array().expect("a list").iter().map(|it| it["id"].clone()).collect();
    assert_eq!(ids, ["anna"], "of other clients it sees nothing");
    write_secret(&path, "anna write 0123456789abcdeg client=anna\n");
    server.process.signal(rustix::process::Signal::HUP);
    server.wait_for_log("read the tokens again");
    assert_eq!(with("GET /v1/clients/anna", token, "").status, 401);
    assert!(!server.log_text().contains(token), "no token is in the log");
}

#[test]
fn who_guesses_tokens_is_told_nothing_and_who_was_right_before_is_served() {
    let folder = tempfile::tempdir().expect("a folder");
    let (path, known, other) = (folder.path().join("tokens"), "0123456789abcdef", "fedcba9876543210");
    write_secret(&path, &format!("anna read {known}\nbert read {other}\n"));
    let (_conf, server) = alone("", &format!("http.tokens_file = {path:?}"));
    let with =
        |token: &str| ask(&server, "GET /v1/clients", &format!("Authorization: Bearer {token}\r\n"), "");
    assert_eq!(with(known).status, 200);
    (0..30).for_each(|_| assert_eq!(with("the-same-one-again").status, 401, "it is no further guess"));
    let told: Vec<_> = (0..30).map(|guess| with(&format!("guess-number-{guess:04}")).status).collect();
    assert_eq!(told.iter().filter(|status| **status == 401).count(), 8, "{told:?}");
    let shut = with(other);
    assert_eq!((shut.status, shut.json()["type"].as_str()), (429, Some("/problems/too-many-guesses")));
    let rest: u64 = shut.field("Retry-After").and_then(|text| text.parse().ok()).expect("a rest");
    assert!((1..=61).contains(&rest), "{rest}");
    assert_eq!(with(known).status, 200, "it was right from here before");
    assert_eq!((get(&server, "/healthz").status, get(&server, "/v1/clients").status), (200, 401));
    let log = server.wait_for_log("showed 10 wrong tokens");
    assert_eq!(log.matches("showed 10 wrong tokens").count(), 1, "{log}");
    // What was wrong may be right now; what was right and still is stays known.
    write_secret(&path, &format!("anna read {known}\nbert read {other}\ncleo read aaaabbbbccccdddd\n"));
    server.process.signal(rustix::process::Signal::HUP);
    server.wait_for_log("read the tokens again");
    assert_eq!(with(other).status, 200);
}

#[test]
fn an_address_of_other_machines_needs_tokens_and_tls() {
    let check = |table: &str, expected: &str| {
        let conf = format!("[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n{table}\n");
        let folder = folder_with(&conf);
        write_secret(&folder.path().join("tokens"), "a read 0123456789abcdef\n");
        let (status, _, said) = crate::harness::run(folder.path(), &["Goloman"]);
        assert!(status == Some(78) && said.contains(expected), "{table}: {status:?} {said}");
    };
    check("http.listen = \"0.0.0.0:0\"", "add tokens_file");
    check("http.listen = \"0.0.0.0:0\"\nhttp.tokens_file = \"tokens\"", "insecure_http = true");
    check("http.listen = \"127.0.0.1:0\"\nhttp.tokens_file = \"absent\"", "tokens_file");
    check("http.listen = \"127.0.0.1:0\"\nhttp.names = [\"http://a\"]", "http.names");
    check("http.listen = \"127.0.0.1:0\"\nhttp.allow_origins = [\"a.example\"]", "http.allow_origins");
    check("http.listen = \"nowhere\"", "http.listen");
}

#[test]
fn the_map_page_loads_pictures_of_the_tile_server_of_herd_conf_and_of_no_other() {
    let policy = |table: &str| {
        let (_folder, server) = alone("", table);
        let page = ask(&server, "GET /", "Accept: text/html\r\n", "");
        assert_eq!(page.status, 200);
        let policy = page.field("Content-Security-Policy").expect("a policy").to_owned();
        (policy, page.body)
    };
    let (without, page) = policy("");
    assert!(
        without.ends_with("; img-src 'self' data:") && page.contains("&quot;tiles&quot;:null"),
        "{without}"
    );
    let tiles =
        "map.tiles = \"https://Tiles.example:8443/{z}/{x}/{y}.png?key=a\"\nmap.attribution = \"© <b>A</b>\"";
    let (with, page) = policy(tiles);
    assert_eq!(with, format!("{without} https://tiles.example:8443"));
    assert!(page.contains("https://Tiles.example:8443/{z}/{x}/{y}.png?key=a"), "{page}");
    assert!(page.contains("© &lt;b>A&lt;/b>") && !page.contains("<b>A"), "{page}");
    let folder = folder_with(&format!("[servers.Goloman]\nlisten = \"127.0.0.1:0\"\n{tiles}\n"));
    let (status, said, _) = crate::harness::run(folder.path(), &["--check"]);
    assert!(
        status == Some(0) && said.contains("map: tiles of https://tiles.example:8443, © <b>A</b>"),
        "{said}"
    );
}

#[test]
fn a_map_is_labelled_with_towns_or_with_the_users_own_places() {
    let labels = |settings: &str, file: &str| {
        let folder = folder_with(&format!(
            "{settings}\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n"
        ));
        std::fs::write(folder.path().join("places.csv"), file).expect("written");
        let server = Server::start(folder.path(), "Goloman");
        let answer = ask(&server, "GET /v1/labels?bbox=-1,51,1,52&limit=3", "", "");
        let json = answer.json();
        let labels = json["labels"].as_array().expect("labels").iter();
        (labels.map(|label| label["name"].to_string()).collect::<String>(), json["attributions"].to_string())
    };
    let (towns, whose) = labels("", "");
    assert!(towns.starts_with("\"London\"") && whose.contains("GeoNames"), "{towns} {whose}");
    let own = "[places]\nprovider = \"file\"\npath = \"places.csv\"";
    let rows = "name,lat,lon\nDepot,51.5,0\nElsewhere,10,10\nPier,51.6,0\n";
    assert_eq!(labels(own, rows), ("\"Depot\"\"Pier\"".to_owned(), "[]".to_owned()));
    let (both, whose) = labels(&format!("{own}\nalso_gazetteer = true"), rows);
    assert!(both == "\"Depot\"\"Pier\"\"London\"" && whose.contains("GeoNames"), "{both} {whose}");
}

#[test]
fn a_web_page_of_elsewhere_changes_nothing() {
    let (_folder, server) =
        alone("", "http.names = [\"herd.example\"]\nhttp.allow_origins = [\"https://map.example\"]");
    let report = r#"{"lat":1,"lon":2,"time":5}"#;
    for fields in ["Origin: https://evil.example\r\n", "Origin: null\r\n", "Sec-Fetch-Site: cross-site\r\n"] {
        let refused = ask(&server, "PUT /v1/clients/a", fields, report);
        assert_eq!(
            (refused.status, &refused.json()["type"]),
            (403, &"/problems/web-page".into()),
            "{fields}"
        );
    }
    let mut rebound = Connection::to(server.http.expect("it serves HTTP"));
    rebound.say(b"GET /v1/clients HTTP/1.1\r\nHost: evil.example\r\n\r\n");
    assert_eq!(rebound.reply().status, 403, "a name that was made to lead here");
    assert!(server.knows("a").is_none());
    let allowed = ask(&server, "PUT /v1/clients/a", "Origin: https://map.example\r\n", report);
    assert_eq!(
        (allowed.status, allowed.field("Access-Control-Allow-Origin")),
        (200, Some("https://map.example"))
    );
    let asked = ask(
        &server,
        "OPTIONS /v1/clients/a",
        "Origin: https://map.example\r\nAccess-Control-Request-Method: PUT\r\n",
        "",
    );
    assert!(
        asked.status == 204 && asked.head.contains("Access-Control-Allow-Methods: GET, HEAD, PUT"),
        "{asked:?}"
    );
    let strange = ask(&server, "OPTIONS /v1/clients/a", "Origin: https://evil.example\r\n", "");
    assert!(!strange.head.contains("Access-Control"), "{strange:?}");
}

#[test]
fn a_client_that_is_deleted_is_gone_everywhere_and_is_not_brought_back() {
    let tables = [("Goloman", "http.listen = \"127.0.0.1:0\""), ("Hands", "http.listen = \"127.0.0.1:0\"")];
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &tables);
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    // A phone whose clock is years ahead, and somebody else.
    let lines = [goloman.ask("IAMAT phone +1+1 4000000000\n"), goloman.ask("IAMAT other +1+1 5\n")];
    for (client, line) in ["phone", "other"].iter().zip(&lines) {
        hands.wait_to_know(client, line.trim_end());
    }
    // It is away while the client is deleted, and has it in its journal.
    assert_eq!(hands.stop(), Some(0));
    let gone = ask(&goloman, "DELETE /v1/clients/phone", "", "");
    assert_eq!((gone.status, gone.body.as_str()), (204, ""));
    assert_eq!(get(&goloman, "/v1/clients/phone").status, 404);
    let journal = |name: &str| {
        let folder = std::fs::read_dir(herd.folder.path().join("data").join(name)).expect("a journal");
        let files = folder.filter_map(|file| std::fs::read_to_string(file.expect("a file").path()).ok());
        files.collect::<String>()
    };
    wait_for("the journal to be without it", || (!journal("Goloman").contains(" phone +1+1 ")).then_some(()));
    assert!(journal("Goloman").contains("AT * +0 phone "));
    let hands = herd.start("Hands");
    wait_for("the neighbour to forget it", || hands.knows("phone").is_none().then_some(()));
    wait_for("its journal, too", || (!journal("Hands").contains(" phone +1+1 ")).then_some(()));
    assert!(hands.knows("other").is_some());
    assert_eq!(get(&hands, "/v1/clients").json()["features"].as_array().expect("a list").len(), 1);
    assert_eq!(get(&hands, "/v1/herd").json()["clients"], 1);
    // A restart brings nothing back, and what is reported afterwards counts, however old its time.
    assert_eq!(goloman.stop(), Some(0));
    let goloman = herd.start("Goloman");
    assert!(goloman.knows("phone").is_none());
    let line = hands.ask("IAMAT phone +2+2 7\n");
    goloman.wait_to_know("phone", line.trim_end());
    assert_eq!(ask(&goloman, "DELETE /v1/clients/nobody", "", "").status, 204, "it may be known elsewhere");
}

#[test]
fn a_new_token_is_said_once_and_the_file_has_no_secret() {
    let folder = folder_with(
        "[http]\ntokens_file = \"tokens\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n",
    );
    let make = |arguments: &[&str]| crate::harness::run(folder.path(), arguments);
    let (status, said, _) = make(&["--new-token", "anna", "read,write", "--client", "an*"]);
    let secret = said.lines().next().expect("a token").to_owned();
    assert!(status == Some(0) && secret.len() == 32, "{said}");
    let file = std::fs::read_to_string(folder.path().join("tokens")).expect("a file");
    assert!(file.starts_with("anna read,write sha256:") && file.ends_with(" client=an*\n"), "{file}");
    assert!(!file.contains(&secret));
    let server = Server::start(folder.path(), "Goloman");
    let fields = format!("Authorization: Bearer {secret}\r\n");
    let told = |client: &str| {
        ask(&server, &format!("PUT /v1/clients/{client}"), &fields, r#"{"lat":1,"lon":2}"#).status
    };
    assert_eq!((told("anna"), told("bert")), (200, 403));
    for (arguments, why) in [
        (&["--new-token", "anna", "read"][..], "a second time"),
        (&["--new-token", "bert", "all"], "is no scope"),
        (&["--new-token", "bert"], "needs SCOPES"),
        (&["--new-token", "be rt", "read"], "no white space"),
    ] {
        let (status, _, said) = make(arguments);
        assert!(status == Some(64) && said.contains(why), "{arguments:?}: {said}");
    }
    assert_eq!(
        std::fs::read_to_string(folder.path().join("tokens")).expect("a file"),
        file,
        "and nothing was added"
    );
}

#[test]
fn what_a_phone_is_told_to_type_is_what_the_server_takes() {
    let folder = folder_with(
        "[http]\ntokens_file = \"tokens\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n",
    );
    let make = |arguments: &[&str]| crate::harness::run(folder.path(), arguments);
    let (status, said, why) = make(&["--phone", "anna"]);
    assert_eq!(status, Some(0), "{why}");
    let server = Server::start(folder.path(), "Goloman");
    let osmand = said
        .lines()
        .find_map(|line| line.trim().strip_prefix("http://127.0.0.1:0/osmand?id="))
        .expect("a URL");
    let target = format!("/osmand?id={osmand}")
        .replace("{0}", "34.5")
        .replace("{1}", "-118.25")
        .replace("{2}", "1786433532123");
    assert_eq!(get(&server, &target).status, 200);
    assert!(server.knows("anna").is_some_and(|line| line.ends_with(" anna +34.5-118.25 1786433532.123")));
    let secret = said.lines().next().and_then(|line| line.split(": ").nth(1)).expect("a token");
    assert!(!std::fs::read_to_string(folder.path().join("tokens")).expect("a file").contains(secret));
    assert!(why.contains("where no phone gets"), "{why}");
    drop(server);
    // One for some: whatever the settings make of the name may be written.
    let (_, said, _) = make(&["--phone", "van-1", "--client", "van-*"]);
    assert!(
        said.contains("which has to begin with van-") && said.contains("van-1-van1 from OwnTracks"),
        "{said}"
    );
    let secret = said.lines().next().and_then(|line| line.split(": ").nth(1)).expect("a token");
    let server = Server::start(folder.path(), "Goloman");
    let owntracks =
        r#"{"_type":"location","topic":"owntracks/van-1/van1","lat":34.5,"lon":-118.25,"tst":1786433532}"#;
    let bearer = format!("Authorization: Bearer {secret}\r\n");
    let told = [
        ask(&server, "POST /owntracks", &bearer, owntracks),
        ask(&server, "POST /osmand?id=van-1&lat=34.5&lon=-118.25", &bearer, ""),
    ];
    assert!(
        told.iter().all(|reply| reply.status == 200 && reply.field("X-Herd-Ignored").is_none()),
        "{told:?}"
    );
    assert!(server.knows("van-1-van1").is_some() && server.knows("van-1").is_some());
    drop(server);
    for (arguments, status, why) in [
        (&["--phone", "anna"][..], 64, "a second time"),
        (&["--phone", "an na"], 64, "letters of ASCII"),
        (&["--phone", "J\u{fc}rgen"], 64, "letters of ASCII"),
        (&["--phone", "a/b"], 64, "letters of ASCII"),
        (
            &["--phone", "fam", "--client", "an*"],
            64,
            "begin the name so, as in herd --phone an1 --client 'an*'",
        ),
        (&["--phone", "bert", "Nobody"], 64, "no server"),
        (&["--phone", "bert", "--check"], 64, "run one, then the other"),
    ] {
        let (ended, _, said) = make(arguments);
        assert!(ended == Some(status) && said.contains(why), "{arguments:?}: {said}");
    }
}

#[test]
fn where_servers_have_files_of_their_own_a_phone_is_in_that_of_its_server() {
    let of = |server: &str, port: u16| {
        format!(
            "[servers.{server}]\nlisten = \"127.0.0.1:{port}\"\nhttp.listen = \"127.0.0.1:{}\"\n\
             http.tokens_file = \"{server}.tokens\"\n",
            port + 1
        )
    };
    let folder = folder_with(&[of("Goloman", 16_675), of("Hands", 16_677)].concat());
    let make = |arguments: &[&str]| crate::harness::run(folder.path(), arguments);
    let (status, _, why) = make(&["--new-token", "anna", "write"]);
    assert!(status == Some(78) && why.contains("herd --phone NAME SERVER"), "{status:?} {why}");
    for server in ["Hands", "Goloman"] {
        let (status, said, why) = make(&["--phone", "anna", server]);
        assert!(status == Some(0) && said.contains(&format!("{server}.tokens")), "{status:?} {said} {why}");
        assert_eq!(said.contains("127.0.0.1:16678"), server == "Hands", "{said}");
        let kept = std::fs::read_to_string(folder.path().join(format!("{server}.tokens"))).expect("a file");
        assert_eq!(kept.lines().count(), 1, "{kept}");
    }
}

#[test]
fn a_report_that_cannot_be_taken_is_told_what_would_be_right() {
    let (_conf, server) = alone("data_dir = \"\"", "");
    let put = |fields: &str, body: &str| {
        let reply = ask(&server, "PUT /v1/clients/kiwi", fields, body);
        (reply.status, reply.json())
    };
    for (body, status, parameter, why) in [
        (r#"{"lat":1,"lon":2,"time":1786433532123}"#, 409, Some("time"), "looks like milliseconds"),
        (r#"{"lat":1,"lon":2,"time":99999999999}"#, 409, Some("time"), "http.max_ahead"),
    ] {
        let (found, problem) = put("", body);
        assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains(why)), "{body}: {problem}");
        assert_eq!((found, problem["parameter"].as_str()), (status, parameter), "{body}: {problem}");
    }
    let position = r#"{"lat":1,"lon":2}"#;
    let (status, problem) = put("If-Match: *\r\n", position);
    assert!(
        status == 412 && problem["detail"].as_str().is_some_and(|it| it.contains("no such client")),
        "{problem}"
    );
    assert_eq!(put("If-None-Match: *\r\n", position).0, 200);
    let (status, problem) = put("If-None-Match: *\r\n", position);
    assert!(
        status == 412 && problem["detail"].as_str().is_some_and(|it| it.contains("known already")),
        "{problem}"
    );
}

#[test]
fn a_type_of_problem_leads_to_what_to_do() {
    let (_conf, server) = alone("", "");
    for kind in herd::door::http::ProblemKind::ALL {
        let page = get(&server, &format!("/problems/{}", kind.name()));
        let to_do = page.body.lines().find_map(|line| line.strip_prefix("What to do: "));
        assert!(page.status == 200 && to_do.is_some_and(|to_do| to_do.len() > 10), "{page:?}");
    }
    assert_eq!(get(&server, "/problems/none").status, 404);
}

#[test]
fn a_page_is_packed_for_who_reads_that() {
    let (_conf, server) = alone("", "");
    (0..100).for_each(|number| assert!(server.ask(&format!("IAMAT c{number} +1+1 5\n")).starts_with("AT ")));
    let plain = get(&server, "/v1/clients");
    assert_eq!((plain.field("Vary"), plain.field("Content-Encoding")), (Some("Accept-Encoding"), None));
    let mut connection = Connection::to(server.http.expect("it serves HTTP"));
    connection.say(b"GET /v1/clients HTTP/1.0\r\nHost: localhost\r\nAccept-Encoding: br, gzip\r\n\r\n");
    let said = connection.rest();
    let end = said.windows(4).position(|four| four == b"\r\n\r\n").expect("a head") + 4;
    let head = String::from_utf8_lossy(&said[..end]);
    assert!(
        head.contains("Content-Encoding: gzip\r\n") && head.contains("Vary: Accept-Encoding\r\n"),
        "{head}"
    );
    assert!((said.len() - end) * 5 < plain.body.len(), "{} and {}", said.len() - end, plain.body.len());
    let tag = |head: &str| head.lines().find_map(|line| line.strip_prefix("ETag: ").map(str::to_owned));
    assert_ne!(tag(&head), tag(&plain.head), "another text has another tag");
    let mut unpacked = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&said[end..]), &mut unpacked)
        .expect("whole");
    assert_eq!(unpacked, plain.body);
}

#[test]
fn a_client_is_forgotten_by_command_on_a_herd_without_http() {
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "secret_file = \"herd.key\"", &[]);
    write_secret(&herd.folder.path().join("herd.key"), "a secret of many bytes\n");
    let (goloman, hands) = (herd.start("Goloman"), herd.start("Hands"));
    let line = goloman.tell("phone");
    hands.wait_to_know("phone", &line);
    let forget = |arguments: &[&str]| crate::harness::run(herd.folder.path(), arguments);
    let (status, said, _) = forget(&["--forget", "phone", "Hands"]);
    assert_eq!((status, said.as_str()), (Some(0), "phone is forgotten; Hands tells the others\n"));
    wait_for("both to forget it", || {
        [&goloman, &hands].iter().all(|server| server.knows("phone").is_none()).then_some(())
    });
    let (status, _, said) = forget(&["--forget", "my phone"]);
    assert!(status == Some(64) && said.contains("iPhone%2012"), "{said}");
    assert_eq!(hands.ask("FORGET other\n"), "? FORGET other\n", "a stranger has no say");
    drop((goloman, hands));
    let (status, _, said) = forget(&["--forget", "phone"]);
    assert!(status == Some(69) && said.contains("Goloman: ") && said.contains("Hands: "), "{said}");
}

#[test]
fn a_server_is_ready_once_its_neighbours_have_sent_what_they_know_and_no_later_than_it_must() {
    let serve = ("Hands", "http.listen = \"127.0.0.1:0\"");
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "data_dir = \"\"", &[serve]);
    let hands = herd.start("Hands");
    wait_for("the server to be ready, as nobody is up", || {
        Some(get(&hands, "/readyz"))
            .filter(|it| it.json() == serde_json::json!({"ready": true, "reasons": []}))
    });
    let goloman = herd.start("Goloman");
    let line = goloman.tell("a");
    hands.wait_to_know("a", &line);
    drop(hands);
    // One that is up, and greets, and says nothing of what it knows.
    drop(goloman);
    let silent = herd.listen_as("Goloman");
    let hands = herd.start("Hands");
    let end = crate::harness::LinkEnd::accept(&silent, "Goloman");
    let waiting =
        wait_for("the server to wait", || Some(get(&hands, "/readyz")).filter(|it| it.status == 503));
    assert_eq!(waiting.json()["reasons"][0], "Goloman is up, and has not yet sent all it knows");
    drop((end, silent, hands));
    let goloman = herd.start("Goloman");
    let hands = herd.start("Hands");
    wait_for("the server to be ready", || Some(get(&hands, "/readyz")).filter(|it| it.status == 200));
    drop(goloman);
}

#[test]
fn empty_servers_are_ready_as_soon_as_their_links_are_up() {
    let http = "http.listen = \"127.0.0.1:0\"";
    let names = ["A", "B", "C"];
    let tables = names.map(|name| (name, http));
    // No heartbeat comes while this lasts.
    let herd =
        Herd::new(&names, &[("A", "B"), ("B", "C"), ("A", "C")], "timing.heartbeat_ms = 600000", &tables);
    let servers = herd.start_all();
    let began = std::time::Instant::now();
    for server in &servers {
        wait_for("the server to be ready", || {
            let is_up = |link: &serde_json::Value| link["up"] == true;
            let links = get(server, "/v1/herd").json()["links"].clone();
            let is_ready = get(server, "/readyz").status == 200;
            (is_ready && links.as_array().expect("links").iter().all(is_up)).then_some(())
        });
    }
    println!("ready after {:?}", began.elapsed());
}

#[test]
fn a_server_is_not_ready_before_it_has_tried_to_reach_its_neighbours() {
    let serve = ("Hands", "http.listen = \"127.0.0.1:0\"");
    let herd = Herd::new(&GOLOMAN_AND_HANDS, &ONE_LINK, "", &[serve]);
    // One that takes the connection, and says nothing.
    let silent = herd.listen_as("Goloman");
    let hands = herd.start("Hands");
    let began = std::time::Instant::now();
    let waiting = get(&hands, "/readyz");
    if began.elapsed() < std::time::Duration::from_millis(500) {
        assert_eq!(
            (waiting.status, &waiting.json()["reasons"][0]),
            (503, &"Goloman is not reached yet".into())
        );
    }
    wait_for("the server to be ready", || Some(get(&hands, "/readyz")).filter(|it| it.status == 200));
    drop(silent);
}

#[test]
fn while_the_journal_is_read_a_server_says_so_and_takes_no_report() {
    let (http, line) = (free_address(), free_address());
    let tables = format!("[servers.Goloman]\nlisten = \"{line}\"\nhttp.listen = \"{http}\"\n");
    let (folder, disk) = (folder_with(&format!("data_dir = \"data\"\n{tables}")), Disk::new());
    let server = disk.herd(folder.path(), "Goloman");
    server.tell("a");
    assert_eq!(server.stop(), Some(0));
    // What was read is made to last before it counts, and the disk takes its time for that.
    disk.set("hold");
    let mut process = disk.begin(folder.path(), "Goloman");
    let early = |request: &str, body: &str| {
        wait_for("the door for HTTP", || TcpStream::connect(http).ok());
        let mut connection = Connection::to(http);
        let length = body.len();
        let fields =
            format!("Host: {http}\r\nContent-Length: {length}\r\nContent-Type: application/json\r\n");
        connection.say(format!("{request} HTTP/1.1\r\n{fields}\r\n").as_bytes());
        connection.say(body.as_bytes());
        connection.reply()
    };
    let ready = early("GET /readyz", "");
    assert_eq!((ready.status, &ready.json()["reasons"][0]), (503, &"the journal is being read".into()));
    assert_eq!((early("GET /healthz", "").status, early("GET /metrics", "").status), (200, 200));
    let refused = early("PUT /v1/clients/b", r#"{"lat":1,"lon":2}"#);
    assert_eq!((refused.status, refused.json()["type"].as_str()), (503, Some("/problems/starting")));
    assert_eq!(refused.field("Retry-After"), Some("1"));
    assert_eq!(early("GET /v1/clients/a", "").status, 503, "it is not said to be unknown");
    // Whoever speaks lines waits until there is an answer.
    let mut waiting = Client::connect(line);
    waiting.send("WHATSAT a 1 0\n");
    disk.unset("hold");
    process.lines_until("Goloman listens on");
    assert!(waiting.text_line().starts_with("AT Goloman "));
    assert_eq!((early("GET /readyz", "").status, early("GET /v1/clients/a", "").status), (200, 200));
    assert_eq!(early("PUT /v1/clients/b", r#"{"lat":1,"lon":2}"#).status, 200);
}
