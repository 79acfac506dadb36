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
    check_free("src/config", &["crate::store", "crate::node", "crate::server"]);
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
fn only_the_server_names_tcp() {
    for folder in ["src/protocol", "src/config", "src/logging"] {
        check_free(folder, &["TcpStream", "TcpListener", "socket2"]);
    }
}

#[test]
fn threads_are_spawned_in_two_places_and_never_unnamed() {
    let spawns = |path: &PathBuf| code(path).contains(".spawn(") && code(path).contains("Builder");
    let names: Vec<_> = files("src").into_iter().filter(spawns).collect();
    let names: Vec<_> = names.iter().filter_map(|path| path.file_name()?.to_str()).collect();
    assert!(names.iter().all(|name| ["thread.rs", "pool.rs", "resolver.rs"].contains(name)), "{names:?}");
    check_free("src", &["std::thread::spawn", "unbounded("]);
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
