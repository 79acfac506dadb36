//! The invariants of docs/architecture.md, checked on the code.

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
    text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()
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

#[test]
fn dependencies_run_one_way() {
    let above_protocol = ["crate::store", "crate::node", "crate::places", "crate::server", "crate::config"];
    check_free("src/protocol", &above_protocol);
    check_free("src/places", &["crate::store", "crate::node", "crate::server", "crate::config"]);
    check_free("src/logging", &["crate::store", "crate::node", "crate::server", "crate::config"]);
    check_free(
        "src/config",
        &["crate::store", "crate::node", "crate::server", "crate::journal", "crate::link"],
    );
    check_free(
        "src/net",
        &["crate::store", "crate::node", "crate::server", "crate::config", "crate::protocol"],
    );
    let run = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/run");
    for path in files("src").iter().filter(|path| !path.starts_with(&run)) {
        assert!(!code(path).contains("crate::run"), "{} must not name run", path.display());
    }
    check_free(
        "src/link",
        &["crate::node", "crate::server", "crate::config", "std::net", "std::thread", "Instant"],
    );
    for (file, banned) in
        [("store.rs", ["crate::node", "crate::server"]), ("node.rs", ["crate::server", "crate::config"])]
    {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(file);
        banned.iter().for_each(|word| assert!(!code(&path).contains(word), "{file} must not name {word}"));
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
fn only_the_server_names_tcp() {
    for folder in ["src/protocol", "src/config", "src/logging"] {
        check_free(folder, &["TcpStream", "TcpListener", "socket2"]);
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

#[test]
fn times_are_bounded_in_limits() {
    for folder in ["src/config", "src/places", "src/logging", "src/journal", "src/run"] {
        for path in files(folder).iter().filter(|path| !is_test(path)) {
            let strays =
                code(path).lines().any(|line| line.contains("const ") && line.contains(": Duration"));
            assert!(!strays, "{} has a bound of its own; it belongs in limits", path.display());
        }
    }
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
