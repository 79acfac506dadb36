//! The invariants of docs/architecture.md, checked on the code.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below a folder of the project.
fn files(folder: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(&root).expect("a folder") {
        let path = entry.expect("an entry").path();
        let inside = format!("{folder}/{}", path.file_name().expect("a name").to_string_lossy());
        if path.is_dir() {
            found.extend(files(&inside));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The code of a file without its unit tests.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).expect("text");
    // Other items that only tests have are held to the same rules.
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// Whether a file holds unit tests only.
fn is_test(path: &Path) -> bool {
    path.iter().any(|part| part == "tests" || part == "tests.rs")
}

/// Fails for each file below `folder` that holds one of `words`.
fn check_free(folder: &str, words: &[&str]) {
    for path in files(folder) {
        for word in words {
            assert!(!code(&path).contains(word), "{} must not name {word}", path.display());
        }
    }
}

/// What each folder of src, and each file beside them, may name of the others: what it stands on. The order is that
/// of the arrows: each names only what comes before it.
const STANDS_ON: [(&str, &[&str]); 25] = [
    ("limits", &[]),
    ("thread", &["limits"]),
    ("clock", &[]),
    ("object", &[]),
    ("files", &["limits"]),
    ("logging", &["files", "limits", "thread"]),
    ("net", &["clock", "limits"]),
    ("protocol", &["limits"]),
    ("tally", &["limits", "protocol"]),
    ("store", &["limits", "protocol"]),
    ("journal", &["files", "limits", "protocol", "tally", "thread"]),
    ("places", &["clock", "files", "limits", "logging", "object", "thread"]),
    ("node", &["limits", "protocol", "store"]),
    ("link", &["clock", "limits", "logging", "net", "node", "protocol", "store", "tally"]),
    ("feed", &["clock", "limits", "link", "node", "protocol", "store"]),
    ("flood", &["clock", "feed", "limits", "link", "logging", "node"]),
    (
        "turn",
        &["clock", "flood", "journal", "limits", "link", "logging", "node", "protocol", "store", "tally"],
    ),
    ("backbone", &["clock", "limits", "link", "logging", "node", "protocol", "store", "turn"]),
    ("status", &["clock", "link", "logging", "protocol", "store", "tally", "turn"]),
    (
        "door",
        &[
            "clock", "feed", "limits", "link", "logging", "node", "object", "places", "protocol", "status",
            "store", "tally", "turn",
        ],
    ),
    ("worker", &["clock", "door", "limits", "link", "logging", "net", "places", "status", "tally", "turn"]),
    ("dialler", &["backbone", "clock", "limits", "link", "logging", "net", "node", "turn"]),
    ("config", &["files", "limits", "net", "places"]),
    ("client", &["clock", "config", "limits", "link", "logging", "net", "protocol", "store", "thread"]),
    (
        "server",
        &[
            "clock", "config", "dialler", "door", "feed", "flood", "journal", "limits", "link", "logging",
            "net", "node", "places", "protocol", "store", "thread", "turn", "worker",
        ],
    ),
];

/// The modules of the crate that a text names: `crate::NAME` and `crate::{NAME, ...}`.
fn named(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for rest in text.split("crate::").skip(1) {
        let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        match rest.strip_prefix('{') {
            Some(list) => {
                names.extend(list.split('}').next().unwrap_or_default().split(',').map(|it| word(it.trim())));
            }
            None => names.push(word(rest)),
        }
    }
    names
}

/// The files of a module: its folder, or its one file and the folder beside it.
fn files_of(module: &str) -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let file = root.join(format!("{module}.rs"));
    let mut found: Vec<_> = Some(file).filter(|file| file.is_file()).into_iter().collect();
    if root.join(module).is_dir() {
        found.extend(files(&format!("src/{module}")));
    }
    assert!(!found.is_empty(), "no module {module}");
    found.retain(|path| !is_test(path));
    found
}

#[test]
fn dependencies_run_one_way() {
    for (index, (module, stands_on)) in STANDS_ON.iter().enumerate() {
        let before: Vec<_> = STANDS_ON[..index].iter().map(|(name, _)| *name).collect();
        stands_on.iter().for_each(|name| assert!(before.contains(name), "{module} names {name}: a circle"));
        let mut used = Vec::new();
        for path in files_of(module) {
            for name in named(&code(&path)).into_iter().filter(|name| name != module) {
                assert!(stands_on.contains(&&*name), "{} must not name {name}", path.display());
                used.push(name);
            }
        }
        let idle = stands_on.iter().find(|name| !used.iter().any(|used| used == **name));
        assert_eq!(idle, None, "{module} may name what it does not name");
    }
}

/// The names that a text takes from the module `path`, such as `super::`: of `super::{Name, part::Other}` these are
/// `Name` and `part`.
fn names_in(path: &str, text: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let mut names = Vec::new();
    for (at, _) in text.match_indices(path) {
        // `super::super::` is another module than `super::`.
        let is_part = text[..at].ends_with("::") || text[at + path.len()..].starts_with("super::");
        match text[at + path.len()..].strip_prefix('{') {
            _ if is_part => {}
            Some(list) => {
                let mut depth = 0;
                let end = list.find(|c| {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    depth < 0
                });
                let mut depth = 0;
                names.push(word(list.trim_start()));
                for (at, c) in list[..end.unwrap_or(list.len())].char_indices() {
                    depth += i32::from(c == '{') - i32::from(c == '}');
                    if c == ',' && depth == 0 {
                        names.push(word(list[at + 1..].trim_start()));
                    }
                }
            }
            None => names.push(word(&text[at + path.len()..])),
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

/// The parts of a folder, each with the files that are part of it: its own, and those of a folder of its name.
fn parts_of(folder: &str) -> Vec<(String, Vec<PathBuf>)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut parts = BTreeMap::<String, Vec<PathBuf>>::new();
    for path in files(folder).into_iter().filter(|path| !is_test(path) && *path != root.join("mod.rs")) {
        let part = path.strip_prefix(&root).expect("below it").iter().next().expect("a part");
        parts.entry(part.to_string_lossy().trim_end_matches(".rs").to_owned()).or_default().push(path);
    }
    parts.into_iter().collect()
}

/// The lines of a folder's head that give a part's names as the folder's own, by name.
fn handed_on(head: &str, parts: &[(String, Vec<PathBuf>)]) -> Vec<(String, String)> {
    let mut handed_on = Vec::new();
    for (part, _) in parts {
        let names =
            ["use ", "use self::"].into_iter().flat_map(|it| names_in(&format!("{it}{part}::"), head));
        handed_on.extend(names.map(|name| (name, part.clone())));
    }
    handed_on
}

/// The head of a folder is left out: it names its parts, and has the types that they share.
#[test]
fn the_files_of_a_folder_name_each_other_one_way() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders: Vec<_> =
        files("src").iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
    folders.sort();
    folders.dedup();
    for folder in folders.iter().filter(|folder| **folder != src && !is_test(folder)) {
        let inside = folder.strip_prefix(&src).expect("below it").to_string_lossy().into_owned();
        let parts = parts_of(&format!("src/{inside}"));
        let head = [folder.join("mod.rs"), folder.with_extension("rs")].into_iter().find(|it| it.is_file());
        let head = code(&head.expect("a head"));
        let handed_on = handed_on(&head, &parts);
        let mut names: Vec<(&str, Vec<String>)> = Vec::new();
        for (part, paths) in &parts {
            let mut named = Vec::new();
            for path in paths {
                let depth =
                    path.strip_prefix(folder).expect("below it").iter().filter(|it| *it != "mod.rs").count();
                for from in ["super::".repeat(depth), format!("crate::{}::", inside.replace('/', "::"))] {
                    named.extend(names_in(&from, &code(path)));
                }
            }
            // What the head only hands on is of the part that has it.
            let of =
                |name: &String| handed_on.iter().find(|(handed, _)| handed == name).map(|(_, part)| part);
            let named: Vec<_> = named.iter().map(|name| of(name).unwrap_or(name).clone()).collect();
            names.push((part, named));
        }
        // Who names nobody who is left can go; who cannot go is in a circle, or names one.
        while let Some(at) = names.iter().position(|(part, named)| {
            !named.iter().any(|name| name != part && names.iter().any(|(other, _)| other == name))
        }) {
            names.swap_remove(at);
        }
        let left: Vec<_> = names.iter().map(|(part, _)| *part).collect();
        assert!(left.is_empty(), "src/{inside} has a circle among {left:?}");
    }
}

#[test]
fn every_module_has_its_place_in_the_order() {
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("text");
    let modules = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    // Those that only `main` calls.
    for module in modules.filter(|module| !["args", "run"].contains(module)) {
        assert!(STANDS_ON.iter().any(|(name, _)| *name == module), "{module} has no place");
    }
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src")).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.join("mod.rs").is_file() {
            let text = fs::read_to_string(path.join("mod.rs")).expect("text");
            let header = text.lines().take_while(|line| line.starts_with("//!")).count();
            assert!((3..=7).contains(&header), "{} says what it is in {header} lines", path.display());
        }
    }
}

/// The parts of a folder's code that have no thread, socket, poller or clock.
#[test]
fn doors_turns_links_and_rooms_take_the_time_and_the_bytes_as_values() {
    let clocks = ["Instant", "SystemTime", "Clock::", "posix_ns()", ".elapsed()", "thread::sleep"];
    let sockets = ["TcpStream", "TcpListener", "socket2", "Poller", "net::socket", "thread::spawn"];
    for module in ["protocol", "store", "node", "link", "turn", "status", "door", "tally"] {
        for path in files_of(module) {
            for word in clocks.iter().chain(&sockets) {
                assert!(!code(&path).contains(word), "{} must not name {word}", path.display());
            }
        }
    }
    // A room has its clock by way of what is around it.
    let room = code(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/worker/room.rs"));
    for word in ["Instant", "SystemTime", "Clock::", "TcpStream", "Poller", "thread::"] {
        assert!(!room.contains(word), "a room must not name {word}");
    }
    for path in files_of("flood").iter().filter(|path| !path.ends_with("flooder.rs")) {
        clocks.iter().for_each(|word| assert!(!code(path).contains(word), "{}: {word}", path.display()));
    }
}

#[test]
fn a_worker_names_no_protocol_and_only_doors_and_clients_write_words() {
    for path in files_of("worker") {
        for word in ["crate::protocol", "Word::", "Reply::", "Command::", "b\"AT", "b\"? "] {
            assert!(!code(&path).contains(word), "{} must not name {word}", path.display());
        }
    }
    // Each reply is written in one place.
    for module in ["node", "turn", "flood", "worker", "server", "status", "store"] {
        for path in files_of(module) {
            let writes = ["b\"? \"", "Word::Seen(epoch).write", "Word::Lag", "Word::Digest"];
            writes.iter().for_each(|word| assert!(!code(&path).contains(word), "{}: {word}", path.display()));
        }
    }
}

#[test]
fn only_the_turn_and_the_journal_know_what_always_asks_for() {
    let others = STANDS_ON.iter().map(|(module, _)| *module).chain(["args", "run"]);
    for module in others.filter(|module| !["turn", "journal"].contains(module)) {
        // `config` reads the word, and the server's start gives the journal what it says.
        let passes_it_on = ["limits", "config", "server"].contains(&module);
        let reads_it = module == "config";
        for path in files_of(module) {
            let code = code(&path);
            for word in ["is_strict", "NotKept)", "relied_on"] {
                assert!(!code.contains(word), "{} must not name {word}", path.display());
            }
            assert!(passes_it_on || !code.contains("SyncMode"), "{} must not name SyncMode", path.display());
            assert!(reads_it || !code.contains("SyncMode::"), "{} must not branch on it", path.display());
        }
    }
}

#[test]
fn the_protocol_knows_no_sockets_locks_or_clocks() {
    check_free("src/protocol", &["std::net", "std::sync", "std::time", "std::io", "std::fs", "log::"]);
}

#[test]
fn config_opens_nothing_but_herd_conf_and_resolves_nothing() {
    check_free(
        "src/config",
        &[".resolve(", "to_socket_addrs", "ToSocketAddrs", "places::open", "read_secret"],
    );
    for path in files("src/config") {
        let is_source = path.ends_with("source.rs");
        let opens = ["std::fs", "files::", "File::open", "OpenOptions"];
        assert!(is_source || !opens.iter().any(|word| code(&path).contains(word)), "{}", path.display());
    }
}

#[test]
fn only_those_who_move_bytes_name_sockets() {
    let may = ["net", "worker", "dialler", "client", "server"];
    for (module, _) in STANDS_ON.iter().filter(|(module, _)| !may.contains(module)) {
        for path in files_of(module).iter().filter(|path| !path.iter().any(|part| part == "ask")) {
            for word in ["TcpStream", "TcpListener", "UdpSocket", "socket2", "ureq::"] {
                assert!(!code(path).contains(word), "{} must not name {word}", path.display());
            }
        }
    }
}

#[test]
fn one_file_names_rustls() {
    for path in files("src").iter().filter(|path| !path.ends_with("net/tls.rs") && !is_test(path)) {
        assert!(!code(path).contains("rustls::"), "{} must not name rustls", path.display());
    }
}

#[test]
fn threads_are_spawned_in_one_place_and_never_unnamed() {
    for path in files("src").iter().filter(|path| !path.ends_with("src/thread.rs") && !is_test(path)) {
        for word in ["thread::Builder", "thread::{Builder", ".stack_size(", ".spawn_scoped(", "scope.spawn("]
        {
            assert!(!code(path).contains(word), "{} must not name {word}", path.display());
        }
    }
    check_free("src", &["std::thread::spawn", "unbounded("]);
}

/// The names in the first column of the table of threads of a text.
fn listed_threads(text: &str) -> BTreeSet<String> {
    let lines = text.lines().map(|line| line.trim_start_matches("//! "));
    let rows = lines.skip_while(|line| !line.starts_with("| thread |")).skip(2);
    let names = rows.take_while(|line| line.starts_with('|')).filter_map(|row| row.split('`').nth(1));
    names.map(str::to_owned).collect()
}

/// The names at the calls that start threads, as the tables have them: `worker-N`.
fn started_threads() -> BTreeSet<String> {
    let mut names = BTreeSet::from(["main".to_owned()]);
    for path in files("src").iter().filter(|path| !path.ends_with("src/thread.rs") && !is_test(path)) {
        let code = code(path);
        // A dialler is asked for the name of its thread.
        let heads = [
            "thread::spawn(",
            "thread::spawn_with_stack(",
            "thread::spawn_scoped(scope, ",
            "fn thread_name(",
        ];
        for call in heads.iter().flat_map(|head| code.split(head).skip(1)) {
            let (before, rest) = call.split_once('"').expect("a name");
            if before.contains(".thread_name()") {
                continue;
            }
            let name = rest.split('"').next().unwrap_or_default();
            names.insert(match name.split_once('{') {
                Some((head, "index}" | "number}")) => format!("{head}N"),
                Some((head, _)) => format!("{head}NAME"),
                None => name.to_owned(),
            });
        }
    }
    names
}

#[test]
fn both_tables_have_every_thread_that_is_started() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for path in ["src/lib.rs", "docs/architecture.md"] {
        let text = fs::read_to_string(root.join(path)).expect("text");
        assert_eq!(listed_threads(&text), started_threads(), "{path}");
    }
}

#[test]
fn a_worker_waits_only_for_its_poller() {
    let waits = [".recv(", ".recv_", ".join(", "sleep", ".wait(", ".wait_", "fs::", "sync_all"];
    for path in files_of("worker") {
        // What the system says of a thread is no disk.
        let may = |line: &&str| line.contains("poller.wait(") || line.contains("\"/proc/");
        for line in code(&path).lines().filter(|line| !may(line)) {
            waits.iter().for_each(|word| assert!(!line.contains(word), "{}: {line}", path.display()));
        }
    }
}

/// The files with locks, with the calls in each that wait. The journal's own may be held across what it does to its
/// files.
const LOCKS: [(&str, &[&str]); 26] = [
    ("dialler/route.rs", &[]),
    ("door/http/guesses.rs", &[]),
    ("door/http/site.rs", &[]),
    ("feed/mod.rs", &[]),
    // It rests without the lock, too.
    ("flood/flooder.rs", &["batches.recv_", "thread::sleep(Duration"]),
    ("flood/mod.rs", &[]),
    ("flood/turns.rs", &[]),
    ("journal/mod.rs", &["use std::fs::File"]),
    // Before anybody is served. It lets go of the lock to wait for its turn.
    ("journal/replay.rs", &["fs::", ".wait_while("]),
    ("link/clock.rs", &[]),
    ("link/neighbours.rs", &[]),
    ("link/oddities.rs", &[]),
    ("link/outlet.rs", &[]),
    ("link/seen.rs", &[]),
    // The threads that write let go of the lock to wait, and to write.
    ("logging/console.rs", &[".wait(", ".wait_", "poll(", "use rustix::fs::fstat"]),
    ("logging/sink.rs", &[".wait(", ".wait_"]),
    // Its socket waits for nobody.
    ("net/tls.rs", &[]),
    // At the stop, without the lock.
    ("places/pool.rs", &[".recv_", ".join("]),
    ("places/pool/budget.rs", &[]),
    // Which lets go of the lock.
    ("places/pool/queue.rs", &["changed.wait("]),
    // Which are maps, and no threads.
    ("store/loading.rs", &["clients.join(", "self.map.join("]),
    ("store/mod.rs", &[]),
    ("tally/traffic.rs", &[]),
    ("worker/desk.rs", &[]),
    ("worker/entrance.rs", &[]),
    ("worker/live.rs", &[]),
];

#[test]
fn locks_are_private_and_whoever_has_one_waits_for_nothing() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let waits = [".recv(", ".recv_", ".join(", "sleep", ".wait(", ".wait_", "poll(", "fs::", "sync_all"];
    for path in files("src").iter().filter(|path| !is_test(path)) {
        let (code, inside) = (code(path), path.strip_prefix(&src).expect("below it").to_string_lossy());
        let is_lock = |line: &&str| ["Mutex<", "RwLock<"].iter().any(|lock| line.contains(lock));
        let fields = code.lines().map(str::trim).filter(|line| line.contains(": ")).filter(is_lock);
        fields.for_each(|field| {
            assert!(!field.starts_with("pub ") || field.contains('('), "{inside}: {field}")
        });
        let listed = LOCKS.iter().find(|(file, _)| *file == inside);
        assert_eq!(code.lines().any(|line| is_lock(&line)), listed.is_some(), "{inside}: see the lock rule");
        let Some((_, may_wait)) = listed else { continue };
        for line in code.lines().filter(|line| !may_wait.iter().any(|word| line.contains(word))) {
            waits.iter().for_each(|word| assert!(!line.contains(word), "{inside}: {line}"));
        }
    }
}

#[test]
fn times_are_bounded_in_limits() {
    for (module, _) in STANDS_ON.iter().chain(&[("run", &[][..])]).filter(|(module, _)| *module != "limits") {
        for path in files_of(module).iter().filter(|path| !is_test(path)) {
            let strays = code(path).lines().any(|line| {
                let number = line.split("Duration::from_").nth(1).and_then(|rest| rest.split('(').nth(1));
                let is_number = number.is_some_and(|number| number.starts_with(|c: char| c.is_ascii_digit()));
                line.contains("const ") && is_number
            });
            assert!(!strays, "{} has a bound of its own; it belongs in limits", path.display());
        }
    }
}

/// Numbers that are no bounds: formats, units, keys of a poller, modes, statuses.
const NO_BOUNDS: [&str; 65] = [
    "AIRPORT_ID_MIN",
    "APPLE_EPOCH_S",
    "ASKED",
    "BANDS",
    "BANDS_PER_DEGREE",
    "BLOCK",
    "CHUNK",
    "COLUMN_BYTES",
    "CONFIG",
    "CONNECTION",
    "COUNTS",
    "DAY_NS",
    "DAY_S",
    "DISAGREE",
    "EARTH_RADIUS_M",
    "ENDS_BYTES",
    "FILE_MODE",
    "FOLDER_MODE",
    "FORK_BITS",
    "HALF",
    "HALF_TURN_E7",
    "HEADER_BYTES",
    "HIGHEST_BITS",
    "INVALID",
    "KEPT",
    "LAST_S",
    "LEARNS",
    "LENGTH_BYTES",
    "LEVELS",
    "MAX",
    "MEMBER_WAY",
    "NANOS",
    "NODES",
    "NONCE_BYTES",
    "NOT_ALLOWED",
    "NOT_KEPT",
    "NO_ANSWER",
    "OK",
    "ORDERS_WAIT",
    "OS",
    "PARTS",
    "PLACE_BYTES",
    "POLE_E7",
    "PROOF_BYTES",
    "RECORD_SEPARATOR",
    "RELATIONS",
    "ROOT",
    "SERVER_DIED",
    "SHELF",
    "SHORT_DIGITS_MAX",
    "SHORT_SECONDS_MAX",
    "SLACK",
    "SLACK_DEG",
    "SQUARES",
    "SQUARE_BITS",
    "STEPS",
    "TOWNS",
    "TURN_DEG",
    "TURN_E7",
    "UNITS_PER_DEGREE",
    "USAGE",
    "USUAL_TENTHS",
    "VERSION",
    "WAYS",
    "WORDS_BYTES",
];

#[test]
fn numbers_are_bounded_in_limits() {
    let mut met = BTreeSet::new();
    let limits = files_of("limits");
    for path in files("src").iter().filter(|path| !limits.contains(path) && !is_test(path)) {
        for line in code(path).lines() {
            let Some((name, rest)) = line.split_once("const ").and_then(|(_, rest)| rest.split_once(": "))
            else {
                continue;
            };
            let Some((kind, value)) = rest.split_once(" = ") else { continue };
            let kind = kind.trim_start_matches(['u', 'i', 'f']);
            let is_number = kind == "size" || kind.bytes().all(|byte| byte.is_ascii_digit());
            // What is reckoned from a bound has its reason there.
            if is_number && value.starts_with(|c: char| c.is_ascii_digit()) {
                let is_bound = !NO_BOUNDS.contains(&name);
                assert!(!is_bound, "{}: {name} is a bound; it belongs in limits", path.display());
                met.insert(name.to_owned());
            }
        }
    }
    let idle = NO_BOUNDS.iter().find(|name| !met.contains(**name));
    assert_eq!(idle, None, "is not there any more");
}

#[test]
fn places_are_asked_over_the_network_in_one_folder() {
    let sockets = ["std::net", "TcpStream", "ureq"];
    for folder in ["src/places/providers", "src/places/points"] {
        check_free(folder, &sockets);
    }
    check_free("src/places/points", &["std::fs", "crate::files", "places::ask", "places::providers"]);
    check_free("src/places/ask", &["places::providers", "places::points"]);
}

#[test]
fn there_is_no_async_runtime_and_no_unsafe_code() {
    let lock = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.lock")).expect("text");
    for runtime in
        ["tokio", "mio", "async-std", "async-io", "smol", "futures", "futures-executor", "glommio", "monoio"]
    {
        assert!(!lock.contains(&format!("name = \"{runtime}\"\n")), "{runtime} is in Cargo.lock");
    }
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).expect("text");
    assert!(lib.contains("#![forbid(unsafe_code)]"));
    check_free("src", &["async fn", ".await"]);
}
