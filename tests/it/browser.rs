//! A web page and the line port: whatever a page can have a real browser send, nothing of it is stored.

use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::time::Duration;

use crate::harness::{Herd, Process, Server, wait_for};

const BROWSERS: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];

/// What a page can do without asking anybody: requests of its own, with bodies of its own, and a form.
fn page(herd: std::net::SocketAddr) -> String {
    let lines = "\\nIAMAT evil +1+1 1\\nAT Hands +0.5 forged +1+1 5\\nIAMAT evil2 +1+1 1\\n";
    format!(
        "<!doctype html><body><form id=form method=post enctype=text/plain action='http://{herd}/' target=frame>
        <input name='\nIAMAT form +1+1 1\n' value='\nIAMAT form2 +1+1 1\n'></form><iframe name=frame></iframe>
        <script>
        const to = 'http://{herd}/', body = '{lines}';
        const tries = [
            fetch(to, {{method: 'POST', mode: 'no-cors', body}}),
            fetch(to + 'IAMAT', {{method: 'POST', mode: 'no-cors', body: new Blob([body])}}),
            fetch(to, {{mode: 'no-cors'}}),
            fetch(to, {{method: 'PUT', body}}),
            new Promise(done => {{ const socket = new WebSocket('ws://{herd}/'); socket.onclose = done; }}),
        ];
        navigator.sendBeacon(to, body);
        document.getElementById('form').submit();
        Promise.allSettled(tries).then(() => fetch('/done'));
        </script>"
    )
}

/// Answers requests for the page until the page says that it is done, and returns what it says.
fn serve(listener: &TcpListener, page: &str) -> String {
    loop {
        let (stream, _) = listener.accept().expect("a browser");
        let first = answer(stream, page);
        if first.contains(" /done") {
            return first;
        }
    }
}

/// Returns the first line of the request.
fn answer(mut stream: TcpStream, page: &str) -> String {
    let mut lines = BufReader::new(stream.try_clone().expect("cloned")).lines();
    let first = lines.next().and_then(Result::ok).unwrap_or_default();
    lines.map_while(Result::ok).take_while(|line| !line.is_empty()).for_each(drop);
    let length = page.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
    );
    let _ = stream.write_all(format!("{head}{page}").as_bytes());
    let _ = stream.shutdown(Shutdown::Write);
    first
}

/// The same at the door for HTTP: what a page may send without asking, what a browser asks about first, and requests in
/// a name of the page's own, which leads to this machine by now.
fn http_page(herd: std::net::SocketAddr) -> String {
    let rebound = format!("http://rebound.test:{}", herd.port());
    format!(
        "<!doctype html><body><form id=form method=post enctype=text/plain action='http://{herd}/v1/clients/form' target=frame>
        <input name='{{&quot;lat&quot;:1,&quot;lon&quot;:1,&quot;x' value='&quot;:1}}'></form><iframe name=frame></iframe>
        <script>
        const to = 'http://{herd}/v1/clients/', body = '{{\"lat\":1,\"lon\":1}}';
        const json = {{'Content-Type': 'application/json'}};
        const image = url => new Promise(done => {{ const it = new Image(); it.onload = it.onerror = done; it.src = url; }});
        const tries = [
            fetch(to + 'evil', {{method: 'PUT', body, headers: json}}),
            fetch(to + 'victim', {{method: 'DELETE'}}),
            fetch(to + 'evil', {{method: 'POST', mode: 'no-cors', body}}),
            fetch(to + 'victim'),
            image(to + 'victim'),
            image('http://{herd}/osmand?id=victim&lat=1&lon=1'),
            image('http://{herd}/gpslogger?id=evil&lat=1&lon=1'),
            image('http://{herd}/?id=evil&lat=1&lon=1'),
            image('{rebound}/osmand?id=victim&lat=1&lon=1'),
            fetch('{rebound}/v1/clients/evil', {{method: 'PUT', body, headers: json}}),
            fetch('{rebound}/v1/clients/victim', {{method: 'DELETE'}}),
            fetch('{rebound}/v1/clients', {{mode: 'no-cors'}}),
        ];
        navigator.sendBeacon(to + 'evil', body);
        document.getElementById('form').submit();
        Promise.allSettled(tries).then(results => {{
            const read = results.filter(it => it.value instanceof Response && it.value.type != 'opaque');
            return fetch('/done?' + read.length);
        }});
        </script>"
    )
}

fn browser(folder: &std::path::Path, url: &str) -> Option<Process> {
    let found = BROWSERS.iter().find(|name| Command::new(name).arg("--version").output().is_ok());
    let Some(name) = found else {
        eprintln!("not tested here: a web page in a real browser; install chromium");
        return None;
    };
    let mut command = Command::new(name);
    command.args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]);
    command.args(["--disable-background-networking", "--disable-component-update", "--disable-sync"]);
    // It would ask before a page may reach this machine, which other browsers do not.
    command.arg("--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests");
    command.arg("--host-resolver-rules=MAP rebound.test 127.0.0.1");
    command.arg(format!("--user-data-dir={}", folder.join("profile").display())).arg(url);
    Some(Process::start(&mut command, folder))
}

#[test]
fn a_web_page_can_have_a_browser_send_what_it_likes_and_stores_nothing() {
    // On loopback without a secret, where an AT line would be taken from the browser's very address.
    let address = crate::harness::free_address();
    let folder = crate::harness::folder_with(&format!(
        "[servers.Goloman]\nlisten = \"{address}\"\nneighbours = [\"Hands\"]\n\
         [servers.Hands]\nlisten = \"127.0.0.1:1\"\n"
    ));
    let goloman = Server::start(folder.path(), "Goloman");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let Some(_browser) = browser(folder.path(), &url) else { return };
    let _ = serve(&listener, &page(goloman.address));
    // Four ways to fetch, a socket, a beacon and a form; a browser may do some of them again.
    wait_for("all requests of the page", || {
        (goloman.log_text().matches("an HTTP or TLS request").count() >= 7).then_some(())
    });
    let log = goloman.log_text();
    for client in ["evil", "evil2", "forged", "form", "form2"] {
        assert_eq!(goloman.knows(client), None, "{client}: {log}");
    }
}

#[test]
fn a_web_page_of_elsewhere_reads_and_changes_nothing_by_http() {
    let (folder, goloman) = crate::http::alone("", "");
    let victim = goloman.tell("victim");
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let Some(_browser) = browser(folder.path(), &url) else { return };
    let done = serve(&listener, &http_page(goloman.http.expect("it serves HTTP")));
    assert!(done.starts_with("GET /done?0 "), "a page read a reply: {done}");
    // Two that a browser asks about first, and gets no leave for; a beacon, a form, and no-cors.
    let log = wait_for("all requests of the page", || {
        let log = goloman.log_text();
        let refused = [
            "OPTIONS /v1/clients/evil",
            "405 ",
            "names a host that is not this server",
            "GET /osmand?id=victim",
            "GET /gpslogger?id=evil",
            "GET /?id=evil",
            "a web page of another origin sends this",
        ];
        refused.iter().all(|words| log.contains(words)).then_some(log)
    });
    assert_eq!(goloman.knows("victim"), Some(victim), "{log}");
    for client in ["evil", "form"] {
        assert_eq!(goloman.knows(client), None, "{client}: {log}");
    }
}

#[test]
fn an_http_request_gets_its_reply_and_nothing_after_it_is_read() {
    let herd = Herd::new(&["Goloman", "Hands"], &[("Goloman", "Hands")], "", &[]);
    let goloman = herd.start("Goloman");
    let tls = "\u{16}\u{3}\u{1} hello";
    for (request, answered) in [
        (&*format!("{tls}\nIAMAT evil +1+1 1\n"), tls),
        ("PRI * HTTP/2.0\r\n\r\nIAMAT evil +1+1 1\n", "PRI * HTTP/2.0"),
        ("POST / HTTP/1.1\r\nHost: x\r\n\r\nIAMAT evil +1+1 1\nAT Hands +1 evil +1+1 1\n", "POST / HTTP/1.1"),
        ("GET /IAMAT%20evil HTTP/1.0\nIAMAT evil +1+1 1\n", "GET /IAMAT%20evil HTTP/1.0"),
        ("IAMAT evil +1+1 1 HTTP/1.1\nIAMAT evil +1+1 1\n", "IAMAT evil +1+1 1 HTTP/1.1"),
        ("\r\n\r\nGET / HTTP/1.1 \t\r\nIAMAT evil +1+1 1\n", "GET / HTTP/1.1 \t"),
        ("GET / HTTP/1.1", "GET / HTTP/1.1"),
    ] {
        // Also from the address of a neighbour, whose AT lines would count.
        for from in ["127.0.0.1".parse().expect("an address"), herd.ip("Hands")] {
            let said = crate::harness::Client::connect_from(from, goloman.address).say(request);
            assert_eq!(said, format!("? {answered}\n"), "{request:?}");
        }
        // In two pieces, as a network may cut it, and kept open.
        let mut client = goloman.client();
        let (one, other) = request.split_at(request.len() / 3);
        client.send(one);
        std::thread::sleep(Duration::from_millis(20));
        client.send(other);
        if request.contains('\n') {
            assert_eq!(client.text_line(), format!("? {answered}\n"), "{request:?}");
            assert!(client.is_ended());
        }
    }
    assert_eq!(goloman.knows("evil"), None);
}
