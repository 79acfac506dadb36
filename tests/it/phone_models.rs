//! Each app's own way to try again, as a model, against real servers that restart, cannot write, lose its token and are
//! sent what does not count. The models' time is their own, so that hours of waiting take seconds.

mod apps;
mod phone;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::harness::{
    Client, Disk, GOLOMAN_AND_HANDS, Herd, ONE_LINK, Server, folder_with, free_address, wait_for,
    write_secret,
};
use crate::http::Connection;
use apps::{App, Item, place};
use phone::{Phone, exchange};

/// Phones that report to one of two servers, whose disk a test has fail.
struct World {
    herd: Herd,
    disk: Disk,
    goloman: Option<Server>,
    hands: Server,
    http: SocketAddr,
    phones: Vec<Phone>,
    now_s: u64,
    /// What the phones' clocks count from: a day ago, so that none is ahead.
    base: u64,
}

impl World {
    /// `top` is of herd.conf.
    fn new(top: &str) -> World {
        let http = free_address();
        let table = format!("http.listen = \"{http}\"");
        let herd = Herd::new(
            &GOLOMAN_AND_HANDS,
            &ONE_LINK,
            &format!("{top}\n[http]\ntokens_file = \"tokens\""),
            &[("Goloman", &table)],
        );
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let mut world = World {
            disk: Disk::new(),
            goloman: None,
            hands: {
                write_secret(&herd.folder.path().join("tokens"), &tokens());
                herd.start("Hands")
            },
            herd,
            http,
            phones: App::ALL.into_iter().map(Phone::new).collect(),
            now_s: 0,
            base: now - 86_400,
        };
        world.start();
        world
    }

    fn start(&mut self) {
        self.goloman = Some(self.disk.herd(self.herd.folder.path(), "Goloman"));
    }

    fn goloman(&self) -> &Server {
        self.goloman.as_ref().expect("it runs")
    }

    fn journal(&self) -> PathBuf {
        self.herd.folder.path().join("data/Goloman")
    }

    /// So many seconds of the phones' time.
    fn run(&mut self, seconds: u64) {
        self.run_until(self.now_s + seconds, true);
    }

    fn run_until(&mut self, end_s: u64, takes_fixes: bool) {
        loop {
            let due = |phone: &Phone| phone.due_s(takes_fixes);
            let next = self.phones.iter_mut().min_by_key(|phone| due(phone)).expect("a phone");
            let at_s = due(next);
            if at_s > end_s {
                break;
            }
            self.now_s = self.now_s.max(at_s);
            if takes_fixes {
                next.take_fixes(self.now_s, self.base);
            }
            next.attempt(self.http, self.now_s, || {});
        }
        if end_s < u64::MAX {
            self.now_s = end_s;
        }
    }

    /// Has every phone take a fix and send all it has; a phone that cannot is blocked.
    fn drain(&mut self) {
        self.run(20);
        self.run_until(self.now_s + 3_600, false);
        for phone in &self.phones {
            let queued = phone.queue.len();
            assert_eq!(queued, 0, "{:?} is blocked by {:?}", phone.app, phone.queue.front());
        }
    }

    /// What was acknowledged is known, on both servers.
    fn check_kept(&self) {
        for phone in &self.phones {
            let Some(newest) = phone.told.newest else { continue };
            for server in [self.goloman(), &self.hands] {
                let what = format!("{} to know {:?} of {newest}", server.name, phone.app);
                wait_for(&what, || (time_of(server, phone.app)? >= newest).then_some(()));
            }
        }
    }

    /// The newest of each phone is the last that was acknowledged, with its digits.
    fn check_newest(&self) {
        for phone in &self.phones {
            let newest = phone.told.newest.expect("something was acknowledged");
            let (lat, lon) = place(newest);
            let tail = format!(" {} +{lat}{lon} {newest}", phone.app.id());
            for server in [self.goloman(), &self.hands] {
                let known = server.knows(&phone.app.id()).expect("it is known");
                assert!(known.ends_with(&tail), "{known} of {:?}, not {tail}", phone.app);
            }
        }
    }

    fn given_up(&self, app: App) -> u64 {
        self.phones.iter().find(|phone| phone.app == app).map_or(0, |phone| phone.told.given_up)
    }

    fn set_tokens(&self, text: &str, count: usize) {
        write_secret(&self.herd.folder.path().join("tokens"), text);
        let read = |log: &str| log.matches("read the tokens again: ").count();
        let before = read(&self.goloman().log_text());
        self.goloman().process.signal(Signal::HUP);
        let told = format!("read the tokens again: {count}");
        wait_for(&told, || {
            let log = self.goloman().log_text();
            (read(&log) > before && log.contains(&told)).then_some(())
        });
    }
}

/// A line a phone, each for clients that begin as it does. The first may read all others, too.
fn tokens() -> String {
    let line = |app: App| {
        let (user, secret) = (app.user(), app.secret());
        format!("{user} read,write {secret} client={user}-*\n")
    };
    App::ALL.into_iter().map(line).collect()
}

fn time_of(server: &Server, app: App) -> Option<u64> {
    server.knows(&app.id())?.rsplit(' ').next()?.parse().ok()
}

#[test]
fn every_queue_of_a_phone_drains_whatever_becomes_of_the_server_and_nothing_acknowledged_is_lost() {
    let mut world = World::new("sync = \"always\"");
    world.run(300);
    world.check_kept();

    // An orderly stop, and a while without a server.
    assert_eq!(world.goloman.take().expect("it runs").stop(), Some(0));
    world.run(300);
    world.start();
    world.run(300);
    world.check_kept();
    assert!(world.phones.iter().all(|phone| phone.told.statuses.iter().eq(&[200])), "nothing was refused");

    // The machine loses power while a request of each phone is on its way, some of them to a disk that takes its time.
    for (index, is_slow) in (0..App::ALL.len()).zip([false, true].into_iter().cycle()) {
        world.now_s += 60;
        let (base, now_s, http) = (world.base, world.now_s, world.http);
        if is_slow {
            world.disk.set("hold");
        }
        let pid = Pid::from_child(&world.goloman().process.child);
        let (disk, phone) = (&world.disk, &mut world.phones[index]);
        phone.take_fixes(now_s, base);
        phone.attempt(http, now_s, || {
            if is_slow {
                wait_for("the sync to hang", || disk.is_held().then_some(()));
            }
            kill_process(pid, Signal::KILL).expect("killed");
        });
        assert_eq!(world.goloman.take().expect("it ran").wait(), None);
        world.disk.lose_power(&world.journal());
        if is_slow {
            world.disk.unset("hold");
        }
        world.start();
        world.check_kept();
        world.run(60);
    }

    // A disk on which nothing can be written.
    for failure in ["fail-sync", "fail-write"] {
        world.disk.set(failure);
        world.run(400);
        assert!(world.phones.iter().all(|phone| phone.told.statuses.contains(&503)), "{failure}");
        world.disk.unset(failure);
        wait_for("reports to be taken again", || {
            world.goloman().ask("IAMAT probe +1+1 1\n").starts_with("AT ").then_some(())
        });
        world.run(60);
        world.check_kept();
    }
    assert_eq!(world.given_up(App::Ios), 0, "what a 503 refuses is kept by it");

    // The tokens are lost for longer than OsmAnd keeps what it has.
    world.set_tokens("other write 0123456789-of-another\n", 1);
    world.run(1_200);
    world.set_tokens(&tokens(), App::ALL.len());
    world.run(60);
    for phone in &world.phones {
        let told = &phone.told;
        assert!(told.statuses.iter().eq(&[200, 401, 503]), "{:?}: {:?}", phone.app, told.statuses);
        // docs/phones.md says so of these.
        let gives_up = matches!(phone.app, App::Ios | App::OsmAnd | App::GpsLogger);
        assert_eq!(told.given_up > 0, gives_up, "{:?} gave up {}", phone.app, told.given_up);
    }

    world.drain();
    world.check_kept();
    world.check_newest();
    for phone in &world.phones {
        let all: BTreeSet<_> = phone.app.rubbish(0).into_iter().map(|(_, reason)| reason).collect();
        assert_eq!(phone.told.ignored, all, "{:?} sent one of each", phone.app);
        assert!(phone.told.acknowledged > 200, "{:?}: {}", phone.app, phone.told.acknowledged);
    }
}

#[test]
fn a_full_disk_has_phones_keep_what_they_have_in_the_default_mode_too() {
    let mut world = World::new("");
    world.run(120);
    world.disk.set("fail-write");
    world.run(400);
    assert!(world.phones.iter().all(|phone| phone.told.statuses.contains(&503)));
    let acknowledged: Vec<_> = world.phones.iter().map(|phone| phone.told.newest).collect();
    world.run(60);
    assert!(world.phones.iter().map(|phone| phone.told.newest).eq(acknowledged), "it is still full");
    world.disk.unset("fail-write");
    wait_for("the journal to be whole", || {
        world.goloman().log_text().contains("can be written again, and was").then_some(())
    });
    world.drain();
    world.check_kept();
    world.check_newest();
    assert_eq!(world.given_up(App::Ios), 0, "what a 503 refuses is kept by it");
}

/// A server alone with these tokens.
fn serving(tokens: &str) -> (TempDir, Server) {
    let folder = folder_with(
        "[http]\ntokens_file = \"tokens\"\n[servers.Goloman]\nlisten = \"127.0.0.1:0\"\nhttp.listen = \"127.0.0.1:0\"\n",
    );
    write_secret(&folder.path().join("tokens"), tokens);
    let server = Server::start(folder.path(), "Goloman");
    (folder, server)
}

#[test]
fn a_large_batch_waits_for_room_and_keeps_nobody_waiting_meanwhile() {
    let (_folder, server) = serving(&tokens());
    let http = server.http.expect("it serves HTTP");
    let bearer = format!("Authorization: Bearer {}\r\n", App::Overland.secret());
    let mut phone = Phone::new(App::Overland);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
    let fix = |number: u64| Item {
        text: App::Overland.fix(now - 1_000 + number).replace(":-1", &format!(":{}1", " ".repeat(2_000))),
        taken_s: 0,
        time: now - 1_000 + number,
        reason: None,
    };
    phone.queue.extend((0..50).map(fix));
    // As many as there is room for, of a megabyte each, none of which comes in.
    let head = format!(
        "POST /overland HTTP/1.1\r\nHost: localhost\r\n{bearer}Content-Length: 1048576\r\nExpect: 100-continue\r\n\r\n"
    );
    let slow: Vec<_> = (0..64)
        .map(|_| {
            let mut one = Connection::to(http);
            one.say(head.as_bytes());
            assert_eq!(one.reply().status, 100);
            one
        })
        .collect();
    phone.attempt(http, 0, || {
        // A small one has a way past them, and so has a client that speaks lines.
        let small = format!("[{}]", App::Overland.fix(now - 2_000));
        assert_eq!(crate::http::ask(&server, "POST /overland", &bearer, &small).status, 200);
        server.tell("other");
        drop(slow);
    });
    assert!(phone.queue.is_empty(), "{:?}", phone.told.statuses);
    assert!(server.knows(&App::Overland.id()).expect("known").ends_with(&format!(" {}", now - 951)));
}

/// The 99th of 100 latencies of a client that speaks lines, in ms.
fn p99_ms(client: &mut Client) -> f64 {
    let mut taken: Vec<Duration> = (0..2_000)
        .map(|number| {
            let begun = Instant::now();
            client.send(format!("IAMAT other +1+1 {number}\n"));
            assert!(client.text_line().starts_with("AT "));
            begun.elapsed()
        })
        .collect();
    taken.sort();
    taken[taken.len() * 99 / 100].as_secs_f64() * 1e3
}

#[test]
fn an_app_that_tries_again_without_a_pause_costs_another_client_little() {
    let (_folder, server) = serving("other write 0123456789-of-another\n");
    let http = server.http.expect("it serves HTTP");
    let time = 1_786_433_532;
    let fix = Item { text: App::OsmAnd.fix(time), taken_s: 0, time, reason: None };
    let request = App::OsmAnd.request(&[&fix]);
    let mut client = server.client();
    // Other tests have the machine's cores now and then, so one round of some has to show it.
    let mut rounds = Vec::new();
    let is_cheap = (0..5).any(|_| {
        let alone = p99_ms(&mut client);
        let is_over = AtomicBool::new(false);
        let beside = std::thread::scope(|scope| {
            let looping = scope.spawn(|| {
                let mut count = 0;
                while !is_over.load(Ordering::Relaxed) {
                    // A connection for every request, as after an answer whose body is not read.
                    let reply = exchange(&mut None, http, &request, || {}).expect("a reply");
                    assert_eq!(reply.status, 401);
                    count += 1;
                }
                count
            });
            let beside = p99_ms(&mut client);
            is_over.store(true, Ordering::Relaxed);
            assert!(looping.join().expect("it ended") > 50, "it loops");
            beside
        });
        rounds.push((alone, beside));
        beside <= (3.0 * alone).max(5.0)
    });
    assert!(is_cheap, "p99 in ms, alone and beside: {rounds:?}");
}
